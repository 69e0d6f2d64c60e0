(ns espalier.model.backoff
  "How often, and after which pauses, something that fails is tried again: values.")

(def ^:private longest-ms 5000)

(defn pause-ms
  "Milliseconds to wait before an attempt: none before the first, 100 before the second,
  then twice as long each time, five seconds at the most.

      (map pause-ms [1 2 3 4])  ;=> (0 100 200 400)"
  [attempt]
  (if (= 1 attempt)
    0
    (min longest-ms (bit-shift-left 100 (min 10 (- attempt 2))))))

(def ^:private settled-ms
  "Who has lived for so long after it was restored has not died of that." 2000)

(defn first-attempt
  "The number of the first attempt after a loss: 1, but for a server that ended by
  itself soon after it was restored. What was restored may have ended it, and would do so
  again: the attempts before count on.

  `attempts`    how many it took to restore it last, nil where it was not
  `lived-ms`    for how long it has been online since
  `by-itself?`  whether nothing from without is known to have ended it

      (first-attempt 3 100 true)  ;=> 4"
  [attempts lived-ms by-itself?]
  (if (and attempts by-itself? (< lived-ms settled-ms))
    (inc attempts)
    1))

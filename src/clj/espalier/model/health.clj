(ns espalier.model.health
  "How well a link to a server does, as values: durations as a histogram, what is told of it, a
  line of that.

  A histogram is a vector of counts: each place is a range of durations an eighth of a power of
  two wide, so that what is read from it is right within some six per cent."
  (:import
   (java.io Writer)
   (java.util Locale)))

(set! *warn-on-reflection* true)

(def place-count
  "How many places a histogram has: for durations from a nanosecond to centuries."
  488)

(defn place
  "The place in a histogram of a duration in nanoseconds.

      (place 1000)  ;=> 63"
  ^long [^long nanos]
  (let [nanos (max 1 nanos)
        power (- 63 (Long/numberOfLeadingZeros nanos))]
    (if (< power 3)
      nanos
      (+ (* 8 (- power 2)) (bit-and 7 (bit-shift-right nanos (- power 3)))))))

(defn nanos
  "The duration in the middle of a place, in nanoseconds.

      (nanos 63)  ;=> 992"
  ^long [^long place]
  (if (< place 8)
    place
    (let [power (+ 2 (quot place 8))
          width (bit-shift-left 1 (- power 3))]
      (+ (* width (+ 8 (rem place 8))) (quot width 2)))))

(defn- milliseconds [nanos]
  (/ (Math/round (/ (double nanos) 1e3)) 1e3))

(defn- at-share
  "The duration below which that share of all lies, in milliseconds."
  [counts total share]
  (let [wanted (max 1 (long (Math/ceil (* (double share) (long total)))))]
    (loop [place 0, seen 0]
      (let [seen (+ seen (long (nth counts place)))]
        (if (<= wanted seen)
          (milliseconds (nanos place))
          (recur (inc place) seen))))))

(defn durations
  "What a histogram tells, in milliseconds; without anything in it, only that.

      (durations [0 0 0])  ;=> {:count 0}"
  [counts]
  (let [total (reduce + counts)]
    (if (zero? (long total))
      {:count 0}
      {:count     total
       :median-ms (at-share counts total 0.5)
       :p99-ms    (at-share counts total 0.99)
       :most-ms   (at-share counts total 1)})))

;; ---- a line

(defn- number [n]
  (String/format Locale/ROOT "%,d" (object-array [(long n)])))

(defn line
  "What is told of a link as one line, with what is wrong in it and nothing of what is not.

      (line {:sent {:packet-count 12}, :received {:packet-count 9}, :late {:count 2}, :round-trips {:median-ms 0.7}})
      ;=> \"12 sent, 9 received, 2 late, round trip 0.7 ms\""
  [{:keys [sent received lost waits late sent-late round-trips suspected]}]
  (let [some-of (fn [n what] (when (pos? (long (or n 0))) (str ", " (number n) " " what)))]
    (str (number (:packet-count sent)) " sent, " (number (:packet-count received)) " received"
         (some-of (reduce + (remove nil? (vals lost))) "lost")
         (some-of (:malformed-count received) "malformed")
         (some-of (:count waits) "waits")
         (some-of (:count late) "late")
         (some-of (:count sent-late) "sent late")
         (some-of (reduce + (vals suspected)) "doubts")
         (when-let [ms (:median-ms round-trips)] (str ", round trip " ms " ms")))))

(defmethod print-method ::health [health ^Writer w]
  (if (:sent health)
    (.write w (str "#<Health " (line health) ">"))
    (print-method (vary-meta health dissoc :type) w)))

(defn shown
  "What is told of a link, a map that prints as one line."
  [health]
  (with-meta health {:type ::health}))

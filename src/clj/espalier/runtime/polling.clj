(ns espalier.runtime.polling
  "Values over time, by asking again and again.")

(set! *warn-on-reflection* true)

(defn poll
  "Calls `f`, which returns a vector of numbers, `n` times, `interval-ms` apart, and returns a vector
  of float arrays, one for each place of the vectors. A call that comes late, for one before it took long, is made
  at once.

      (poll #(sc/get-buses group) 100 10)"
  [f n interval-ms]
  (let [start (System/nanoTime)
        rows  (mapv (fn [i]
                      (let [wait-ms (- (* (long i) (double interval-ms)) (/ (- (System/nanoTime) start) 1e6))]
                        (when (pos? wait-ms)
                          (Thread/sleep (long wait-ms) (int (* 1e6 (- wait-ms (Math/floor wait-ms))))))
                        (f)))
                    (range n))]
    (apply mapv (fn [& xs] (float-array xs)) rows)))

(ns espalier.bench.measure
  "Times, rates, allocation and their medians. What is ours and what is bare is
  measured in turns, A B A B …, so that the machine's moods meet both."
  (:import
   (com.sun.management ThreadMXBean)
   (java.lang.management ManagementFactory)))

(set! *warn-on-reflection* true)

(defn percentile
  "The value below which the share `p` (0 to 1) of `xs` lies.

      (percentile [4 1 3 2 5] 0.5)  ;=> 3"
  [xs p]
  (nth (vec (sort xs)) (Math/round (* (double p) (dec (count xs))))))

(defn median
  "The middle one of `xs`."
  [xs]
  (percentile xs 0.5))

(defmacro elapsed-ns
  "How long the body takes, in nanoseconds."
  [& body]
  `(let [begin# (System/nanoTime)]
     ~@body
     (- (System/nanoTime) begin#)))

(defn in-turns
  "Calls `ours` and `bare` in turns, `n` times each, after `warm-up` times that do
  not count; whose turn is first alternates. Returns what they returned, as
  `{:ours [x …], :bare [x …]}`."
  [n warm-up ours bare]
  (dotimes [_ warm-up] (ours) (bare))
  (reduce (fn [results i]
            (if (even? i)
              (let [a (ours), b (bare)] (-> results (update :ours conj a) (update :bare conj b)))
              (let [b (bare), a (ours)] (-> results (update :ours conj a) (update :bare conj b)))))
          {:ours [], :bare []}
          (range n)))

(def ^:private ^ThreadMXBean threads
  (ManagementFactory/getThreadMXBean))

(defn allocated-bytes
  "Bytes that this thread has allocated so far."
  ^long []
  (.getThreadAllocatedBytes threads (.getId (Thread/currentThread))))

(ns espalier.model.envelope
  "Envelopes: break-points as values, and the inputs that EnvGen and IEnvGen have for
  them.

      {:kind :envelope, :levels [0 1 0], :times [0.01 1], :curves [-4], :release-node nil,
       :loop-node nil, :offset 0}

  A curve is the name of a shape (`espalier.model.ugen/envelope-shapes`) or a number:
  0 is straight, below 0 falls fast at first, above 0 slowly. Fewer curves than segments
  repeat. Levels, times and curves may be UGens; where they are sequences, there is an
  envelope for each element."
  (:require
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(defn envelope?
  "Whether x is an envelope."
  [x]
  (and (map? x) (= :envelope (:kind x))))

(defn- row [x] (if (sequential? x) (vec x) [x]))

(defn shape-number
  "The number of a shape or curve.

  Throws `:espalier.error/unknown-shape`.

      (shape-number :exp)  ;=> 2
      (shape-number -4)    ;=> 5"
  [curve]
  (cond
    (or (keyword? curve) (string? curve))
    (or (get ugen/envelope-shapes (keyword curve))
        (graph/refuse :unknown-shape
                      (str "There is no shape " (error/shown curve) "." (error/hint curve (keys ugen/envelope-shapes))
                           " A segment may be " (apply str (interpose ", " (sort (keys ugen/envelope-shapes)))) ", or a number.")
                      {:shape curve}))
    (or (number? curve) (graph/signal? curve)) 5
    :else
    (graph/refuse :unknown-shape (str "A curve is a number, a UGen or the name of a shape, not " (error/shown curve) ".") {:shape curve})))

(defn- curve-value [curve]
  (if (or (keyword? curve) (string? curve)) 0 curve))

(defn envelope
  "An envelope.

  `levels`  at the break-points, one more than there are times
  `times`   of the segments, in seconds; fewer repeat
  `curves`  of the segments, a sequence or one for all; fewer repeat

  and a map of `:release-node` (the break-point that is held while gate is above 0),
  `:loop-node` (where to go back to from there) and `:offset` (seconds, for IEnvGen).

  Throws `:espalier.error/invalid-envelope`, `:espalier.error/unknown-shape`.

      (envelope [0 1 0] [0.01 1] :lin {})"
  [levels times curves {:keys [release-node loop-node offset]}]
  (let [levels (if (sequential? levels)
                 (vec levels)
                 (graph/refuse :invalid-envelope (str "The levels of an envelope are a sequence, not " (error/shown levels) ".") {:levels levels}))
        n      (dec (count levels))
        times  (row times)
        curves (if (nil? curves) [:lin] (row curves))]
    (when (or (< n 0) (empty? times) (empty? curves))
      (graph/refuse :invalid-envelope "An envelope has at least one level, one time and one curve." {:levels levels, :times times, :curves curves}))
    (run! #(run! shape-number (row %)) curves)
    {:kind         :envelope
     :levels       levels
     :times        (vec (take n (cycle times)))
     :curves       curves
     :release-node release-node
     :loop-node    loop-node
     :offset       (or offset 0)}))

(defn- flopped
  "Rows of values of which some are sequences: one row for each of their elements; a
  vector of one row where none is."
  [values]
  (let [n (reduce (fn [n x] (if (sequential? x) (max (long n) (count x)) n)) 1 values)]
    (mapv (fn [i] (mapv (fn [x] (if (sequential? x) (nth x (rem (long i) (count x))) x)) values)) (range n))))

(defn- segments [{:keys [levels times curves]} f]
  (mapcat (fn [i level duration]
            (let [curve (nth curves (rem (long i) (count curves)))]
              (f level duration
                 (if (sequential? curve) (mapv shape-number curve) (shape-number curve))
                 (if (sequential? curve) (mapv curve-value curve) (curve-value curve)))))
          (range)
          (rest levels)
          times))

(defn env-gen-inputs
  "What EnvGen reads of an envelope, a vector, for each of its channels: the first
  level, the number of segments, the release and loop nodes or -99, then level, time,
  shape and curve of each segment (SCgf as sclang 3.13 writes it)."
  [{:keys [levels times release-node loop-node] :as env}]
  (flopped (into [(first levels) (count times) (or release-node -99) (or loop-node -99)]
                 (segments env (fn [level duration shape curve] [level duration shape curve])))))

(defn env-gen-row?
  "Whether a row of `size` values, the second `segments`, has the size of what EnvGen reads:
  it would read on behind its end."
  [size segments]
  (and (number? segments) (== (long size) (+ 4 (* 4 (double segments))))))

(defn ienv-gen-row?
  "The same for IEnvGen, which says its number of segments in the third."
  [size _]
  (and (<= 4 (long size)) (zero? (rem (long size) 4))))

(defn ienv-gen-inputs
  "What IEnvGen reads of an envelope, for each of its channels: offset, first level,
  number of segments, total duration, then time, shape, curve and level of each segment."
  [{:keys [levels times offset] :as env}]
  (let [total (reduce #(graph/binary (ugen/binary-index "+") %1 %2) 0 times)]
    (flopped (into [offset (first levels) (count times) total]
                   (segments env (fn [level duration shape curve] [duration shape curve level]))))))

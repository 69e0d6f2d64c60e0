(ns espalier.model.rehearsal-gen
  "What `/b_gen` writes into the buffers of a rehearsal: sines, Chebyshev polynomials,
  envelopes, copies. Computed as scsynth does, in double precision, kept as floats."
  (:require
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-samples :as samples]))

(set! *warn-on-reflection* true)

(defn- floats!
  "All further arguments as Floats."
  [r]
  (loop [found []]
    (if (message/more? r) (recur (conj found (message/float! r))) found)))

(defn- partials!
  "The flags, and partials of `n` numbers each; a last one that is short is filled with zeros."
  [r n]
  {:flags (message/int! r), :partials (mapv #(vec (take n (concat % (repeat (float 0))))) (partition-all n (floats! r)))})

(defn- segments! [r]
  (let [level (message/float! r)
        n     (message/int! r)]
    (message/int! r)
    (message/int! r)
    {:level level
     :segments (into [] (map (fn [_] {:end (message/float! r), :duration (message/float! r), :shape (message/int! r), :curve (message/float! r)}))
                     (range (min n 10000)))}))

(defn- peak! [r] {:peak (if (message/more? r) (message/float! r) (float 1))})

(defn arguments!
  "What the rest of a `/b_gen` says to a command, a map; nil for a command that is not known."
  [command r]
  (case command
    ("sine1" "cheby") (partials! r 1)
    "sine2"           (partials! r 2)
    "sine3"           (partials! r 3)
    ("normalize" "wnormalize") (peak! r)
    "copy"            {:to (message/int! r), :source (message/int! r), :from (message/int! r), :length (message/int! r)}
    "env"             (segments! r)
    ("cantorFill" "PreparePartConv") {}
    nil))

;; ---- arrays that are written in place

(defn- add! [^floats xs i x]
  (let [i (int i)]
    (aset xs i (unchecked-float (+ (double (aget xs i)) (double x))))))

(defn- add-function!
  "Adds to each sample what `f` is at its phase."
  [^floats xs f start step]
  (loop [i 0, phase (double start)]
    (when (< i (alength xs))
      (add! xs i (f phase))
      (recur (inc i) (+ phase (double step))))))

(defn- add-wavetable!
  "The same in pairs, as wavetables are: each point, and the step to the next."
  [^floats xs f start step]
  (loop [i 0, phase (+ (double start) (double step)), current (double (f start))]
    (when (< (inc i) (alength xs))
      (let [following (double (f phase))]
        (add! xs i (- (* 2 current) following))
        (add! xs (inc i) (- following current))
        (recur (+ i 2) (+ phase (double step)) following)))))

(defn- wavetable? [flags] (bit-test (long flags) 1))

(defn- add-sine! [^floats xs flags [partial amp phase]]
  (let [amp  (double amp)
        size (if (wavetable? flags) (bit-shift-right (alength xs) 1) (alength xs))]
    (when-not (zero? amp)
      ((if (wavetable? flags) add-wavetable! add-function!)
       xs (fn [p] (* amp (Math/sin (double p)))) phase (/ (* (double partial) 2.0 Math/PI) (double size))))))

(defn- add-chebyshev! [^floats xs flags [partial amp]]
  (let [amp     (double amp)
        partial (double partial)
        size    (if (wavetable? flags) (bit-shift-right (alength xs) 1) (alength xs))
        offset  (* (- amp) (Math/cos (* partial (/ Math/PI 2.0))))]
    (when-not (zero? amp)
      ((if (wavetable? flags) add-wavetable! add-function!)
       xs (fn [p] (+ (* amp (Math/cos (* partial (Math/acos (double p))))) offset)) -1.0 (/ 2.0 (double size))))))

(defn- scale! [^floats xs largest peak]
  (let [largest (float largest), peak (float peak)]
    (when-not (or (zero? largest) (= largest peak))
      (let [factor (/ peak largest)
            factor (unchecked-float factor)]
        (dotimes [i (alength xs)]
          (aset xs i (unchecked-float (* (aget xs i) factor))))))))

(defn- normalize! [^floats xs peak]
  (scale! xs (areduce xs i m (float 0) (float (max m (Math/abs (aget xs i))))) peak))

(defn- wnormalize! [^floats xs peak]
  (scale! xs
          (loop [i 0, m (float 0)]
            (if (< (inc i) (alength xs))
              (recur (+ i 2) (float (max m (Math/abs (unchecked-float (+ (aget xs i) (aget xs (inc i))))))))
              m))
          peak))

(defn- cantor! [^floats xs]
  (dotimes [i (alength xs)]
    (when (loop [j i] (cond (zero? j) true, (= 1 (rem j 3)) false, :else (recur (quot j 3))))
      (add! xs i 1.0))))

;; ---- envelopes

(defn- segment-values
  "The levels of a segment of `n` samples that begins at `level`, a lazy sequence that is
  longer; nil for a shape that there is not."
  [{:keys [end shape curve]} level n]
  (let [level (double level), end (double end), n (double n), curve (double curve)
        lin   (fn [] (let [grow (/ (- end level) n)] (iterate #(+ (double %) grow) level)))
        wave  (fn [a2 b1 y1 y2 start]
                (map first (iterate (fn [[_ y1 y2]]
                                      (let [y0 (- (* (double b1) (double y1)) (double y2))] [(- (double a2) y0) y0 y1]))
                                    [start y1 y2])))]
    (case (long shape)
      0 (repeat end)
      8 (repeat level)
      1 (lin)
      2 (let [grow (Math/pow (/ end level) (/ 1.0 n))] (iterate #(* (double %) grow) level))
      3 (let [w  (/ Math/PI n), a2 (* 0.5 (+ end level)), y1 (* 0.5 (- end level))]
          (wave a2 (* 2.0 (Math/cos w)) y1 (* y1 (Math/sin (- (* Math/PI 0.5) w))) (- a2 y1)))
      4 (let [w (/ (* Math/PI 0.5) n)
              [a2 y1 y2] (if (>= end level)
                           [level 0.0 (* (- (Math/sin w)) (- end level))]
                           [end (- level end) (* (Math/cos w) (- level end))])]
          (wave a2 (* 2.0 (Math/cos w)) y1 y2 (+ (double a2) (double y1))))
      5 (if (< (Math/abs curve) 0.001)
          (lin)
          (let [a1 (/ (- end level) (- 1.0 (Math/exp curve))), a2 (+ level a1), grow (Math/exp (/ curve n))]
            (cons level (map #(- a2 (double %)) (rest (iterate #(* (double %) grow) a1))))))
      6 (let [y1 (Math/sqrt level), grow (/ (- (Math/sqrt end) y1) n)]
          (cons level (map #(* (double %) (double %)) (rest (iterate #(+ (double %) grow) y1)))))
      7 (let [y1 (Math/pow level 0.33333333), grow (/ (- (Math/pow end 0.33333333) y1) n)]
          (cons level (map #(* (double %) (double %) (double %)) (rest (iterate #(+ (double %) grow) y1)))))
      nil)))

(defn- envelope! [^floats xs {:keys [level segments]}]
  (let [size (alength xs)]
    (loop [[{:keys [end duration] :as segment} & more] segments, level level, pos 0.0, index 0, left size]
      (when segment
        (let [length (* (double duration) size)
              n      (min (- (long length) (long pos)) (long left))
              values (segment-values segment level n)]
          (when (and values (pos? n))
            (dorun (map-indexed (fn [i x] (aset xs (int (+ (long index) (long i))) (unchecked-float (double x)))) (take n values))))
          (recur more end (+ (double pos) length) (if values (+ (long index) (max 0 n)) index) (- (long left) n)))))))

;; ---- the commands

(defn- partial-sum [data {:keys [flags partials]} add-partial!]
  (let [n  (:size data)
        xs (if (bit-test (long flags) 2) (float-array n) (samples/floats-of data 0 n))]
    (doseq [p partials] (add-partial! xs flags p))
    (when (bit-test (long flags) 0)
      (if (wavetable? flags) (wnormalize! xs 1.0) (normalize! xs 1.0)))
    (samples/of-floats xs)))

(defn- in-place [data f]
  (let [xs (samples/floats-of data 0 (:size data))]
    (f xs)
    (samples/of-floats xs)))

(defn- numbered [partials] (map-indexed (fn [i [amp]] [(inc (long i)) amp 0.0]) partials))

(defn copied
  "The samples of a buffer with some of another's, both with their `:frames` and `:channels`."
  [{:keys [frames channels]} data other other-data {:keys [to from length]}]
  (let [clip   (fn [x high] (max 0 (min (long x) (dec (long high)))))
        from   (long (clip from (:frames other)))
        to     (long (clip to frames))
        most   (min (- (long (:frames other)) from) (- (long frames) to))
        length (if (neg? (long length)) most (min (long length) most))]
    (if (and (= channels (:channels other)) (pos? length))
      (samples/with-floats data (* to (long channels))
        (samples/floats-of other-data (* from (long channels)) (* length (long channels))))
      data)))

(defn generate
  "The samples of a buffer after a `/b_gen`, all but `copy`.

  `channels`   of the buffer: most write to one of one channel only
  `arguments`  from `arguments!`"
  [command channels data arguments]
  (let [mono? (= 1 channels)]
    (case command
      "sine1"      (if mono? (partial-sum data (update arguments :partials numbered) add-sine!) data)
      "sine2"      (if mono? (partial-sum data (update arguments :partials (fn [ps] (map #(conj % 0.0) ps))) add-sine!) data)
      "sine3"      (if mono? (partial-sum data arguments add-sine!) data)
      "cheby"      (if mono? (partial-sum data (update arguments :partials numbered) add-chebyshev!) data)
      "normalize"  (in-place data #(normalize! % (:peak arguments)))
      "wnormalize" (in-place data #(wnormalize! % (:peak arguments)))
      "cantorFill" (in-place data cantor!)
      "env"        (if mono? (in-place data #(envelope! % arguments)) data)
      data)))

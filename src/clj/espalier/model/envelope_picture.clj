(ns espalier.model.envelope-picture
  "Envelopes, see `espalier.model.envelope`, as pictures, see `espalier.model.drawing`: what
  EnvGen puts out over time."
  (:require
   [espalier.model.axis :as axis]
   [espalier.model.envelope :as envelope]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]))

(set! *warn-on-reflection* true)

(defn level
  "The level of a segment from `a` to `b` at the part `t` of its time, 0 to 1, as EnvGen has it.

  `shape`  its number, of `espalier.model.ugen/envelope-shapes`
  `curve`  that of shape 5

      (level 1 0 0.0 1.0 0.5)  ;=> 0.5"
  [shape curve a b t]
  (let [a (double a), b (double b), t (double t), curve (double curve), rise (- b a)]
    (case (int shape)
      0 b
      2 (if (pos? (* a b)) (* a (Math/pow (/ b a) t)) (if (< t 1.0) a b))
      3 (+ a (* rise (- 0.5 (* 0.5 (Math/cos (* Math/PI t))))))
      4 (if (< a b)
          (+ a (* rise (Math/sin (* 0.5 Math/PI t))))
          (- b (* rise (Math/sin (* 0.5 Math/PI (- 1.0 t))))))
      5 (if (< (abs curve) 0.001)
          (+ a (* rise t))
          (+ a (* rise (/ (- 1.0 (Math/exp (* curve t))) (- 1.0 (Math/exp curve))))))
      6 (let [root (+ (Math/sqrt (abs a)) (* t (- (Math/sqrt (abs b)) (Math/sqrt (abs a)))))] (* root root))
      7 (let [root (+ (Math/cbrt a) (* t (- (Math/cbrt b) (Math/cbrt a))))] (* root root root))
      8 (if (< t 1.0) a b)
      (+ a (* rise t)))))

(defn- row-of
  "One channel of an envelope."
  [[start _ release-node loop-node & segments]]
  (let [segments (map (fn [[level duration shape curve]] {:level level, :time duration, :shape shape, :curve curve}) (partition 4 segments))]
    {:segments     segments
     :levels       (into [start] (map :level) segments)
     :times        (vec (reductions + 0.0 (map :time segments)))
     :release-node (when-not (neg? (double release-node)) (long release-node))
     :loop-node    (when-not (neg? (double loop-node)) (long loop-node))}))

(defn- rows [env]
  (let [rows (envelope/env-gen-inputs env)
        odd  (some (fn [x] (when-not (and (number? x) (Double/isFinite (double x))) [x])) (apply concat rows))]
    (when odd
      (throw (error/error :no-picture
                          (str "The envelope holds " (error/shown (first odd))
                               ", and its picture needs finite numbers. Draw one with numbers in its place, (picture/svg (env/adsr 0.01 0.3)) for example,"
                               " or the whole SynthDef, which shows what is wired to its envelopes.")
                          {:envelope env})))
    (mapv row-of rows)))

(def ^:private left 56)
(def ^:private right 28)
(def ^:private steps "Points of a curved segment." 40)

(defn- segment-points [plot {:keys [shape curve]} a b from until]
  (let [spot (fn [t v] [:L (axis/x-of plot (+ (double from) (* (double t) (- (double until) (double from))))) (axis/y-of plot v)])]
    (cond
      (== 0 (double shape))                                          [(spot 0 b) (spot 1 b)]
      (== 8 (double shape))                                          [(spot 1 a) (spot 1 b)]
      (or (== 1 (double shape))
          (and (== 5 (double shape)) (zero? (double curve))))        [(spot 1 b)]
      :else (map (fn [k] (let [t (/ (long k) (double steps))] (spot t (level shape curve a b t)))) (range 1 (inc (long steps)))))))

(defn- path-of [plot {:keys [segments levels times]}]
  (into [[:M (axis/x-of plot 0.0) (axis/y-of plot (first levels))]]
        (mapcat (fn [segment a b from until] (segment-points plot segment a b from until))
                segments levels (rest levels) times (rest times))))

(defn- node-line
  "The line at a break-point, with words at its top."
  [{:keys [y height] :as plot} {:keys [times]} node words down]
  (when (and node (< (long node) (count times)))
    (let [x (axis/x-of plot (times node))]
      [[:path {:class :dashed, :d [[:M x y] [:L x (+ (double y) (double height))]]}]
       [:text {:class :note, :x (+ x 5), :y (+ (double y) (double down))} words]])))

(defn- row-shapes [plot {:keys [levels times release-node loop-node] :as row}]
  (let [path (path-of plot row)
        base (axis/y-of plot (max (double (:low plot)) (min 0.0 (double (:high plot)))))]
    (concat [[:path {:class :area, :d (conj path [:L (axis/x-of plot (peek times)) base] [:L (axis/x-of plot 0.0) base] [:Z])}]]
            (node-line plot row release-node "held while gate is above 0" 14)
            (node-line plot row loop-node "back to here" 28)
            [[:path {:class :curve, :d path}]]
            (map (fn [t v] [:circle {:class :dot, :x (axis/x-of plot t), :y (axis/y-of plot v), :r 3.5}]) times levels))))

(defn picture
  "An envelope as a picture: its levels over seconds, break-points as dots.

  `:width-px` `:height-px`  of the picture (default 640 by 260)
  `:title`                  a line above it

  Throws `:espalier.error/no-picture` where the envelope holds UGens.

      (picture (espalier.env/adsr) {})"
  [env {:keys [width-px height-px title] :or {width-px 640, height-px 260}}]
  (let [rows   (rows env)
        levels (mapcat :levels rows)
        low    (double (reduce min 0.0 levels))
        high   (double (reduce max low levels))
        high   (if (= low high) (+ low 1.0) high)
        margin (* 0.06 (- high low))
        top    (if title 40 16)
        plot   {:x left, :y top, :width (- (long width-px) (long left) (long right)), :height (- (long height-px) top 30)
                :from 0.0, :to (max 1e-9 (double (reduce max (map (comp peek :times) rows))))
                :low (if (neg? low) (- low margin) low), :high (+ high margin)}]
    {:title  (or title "Envelope")
     :width  width-px
     :height height-px
     :shapes (-> (axis/heading title)
                 (into (axis/vertical plot))
                 (conj (axis/frame plot))
                 (into (mapcat #(row-shapes plot %)) rows)
                 (into (axis/horizontal plot "s")))}))

(ns espalier.model.wave-picture
  "Samples over time as pictures, see `espalier.model.drawing`: a lane for each channel, and of
  each column of pixels all that the samples in it reach."
  (:require
   [espalier.model.axis :as axis]))

(set! *warn-on-reflection* true)

(def ^:private left "Pixels for the numbers at the left." 56)
(def ^:private right 28)

(defn- finite ^double [^double x]
  (if (or (Double/isNaN x) (Double/isInfinite x)) 0.0 x))

(defn- reach
  "The least and the largest of the samples from `from` to before `until`."
  [^floats xs ^long from ^long until]
  (let [x (finite (aget xs from))]
    (loop [i (inc from), low x, high x]
      (if (< i until)
        (let [x (finite (aget xs i))]
          (recur (inc i) (Math/min low x) (Math/max high x)))
        [low high]))))

(defn- peak [lanes]
  (double (reduce (fn [peak ^floats xs]
                    (if (pos? (alength xs))
                      (let [[low high] (reach xs 0 (alength xs))] (max (double peak) (- (double low)) (double high)))
                      peak))
                  0.0 lanes)))

(defn- bound
  "A round number that no sample is beyond."
  [lanes]
  (let [peak (double (peak lanes))]
    (if (or (zero? peak) (<= 0.3 peak 1.0))
      1.0
      (let [power (Math/pow 10.0 (Math/floor (Math/log10 peak)))]
        (* power (double (some (fn [m] (when (<= peak (* (double m) power 1.000001)) m)) [1.0 1.5 2.0 3.0 5.0 7.5 10.0])))))))

(defn- outline
  "The path around all that samples reach, in columns of a pixel."
  [plot ^floats xs]
  (let [n       (alength xs)
        columns (long (:width plot))
        reaches (mapv (fn [c]
                        (let [from (quot (* (long c) n) columns)]
                          (reach xs from (max (inc from) (min n (inc (quot (* (inc (long c)) n) columns)))))))
                      (range columns))
        x       (fn [c] (+ (double (:x plot)) 0.5 (long c)))
        y       (fn [v] (axis/y-of plot v))]
    [[:path {:class :wave
             :d     (-> [[:M (x 0) (y (second (reaches 0)))]]
                        (into (map-indexed (fn [c [_ high]] [:L (x c) (y high)])) reaches)
                        (into (map (fn [c] [:L (x c) (y (first (reaches c)))])) (range (dec columns) -1 -1))
                        (conj [:Z]))}]]))

(defn- line
  "The line through samples, with a dot on each where there is room."
  [plot ^floats xs]
  (let [n     (alength xs)
        spot  (fn [i] [(axis/x-of plot i) (axis/y-of plot (finite (aget xs i)))])
        dots? (< (* 8 n) (long (:width plot)))]
    (into [[:path {:class :curve, :d (into [(into [:M] (spot 0))] (map (fn [i] (into [:L] (spot i)))) (range 1 n))}]]
          (when dots? (map (fn [i] (let [[x y] (spot i)] [:circle {:class :dot, :x x, :y y, :r 3}])) (range n))))))

(defn- many?
  "Whether there are too many samples for a line from each to the next."
  [{:keys [width]} n]
  (< (* 2 (long width)) (long n)))

(defn- lane-shapes [plot ^floats xs]
  (let [n (alength xs)]
    (-> (vec (axis/vertical plot))
        (conj (axis/frame plot))
        (into (cond (zero? n)      []
                    (many? plot n) (outline plot xs)
                    :else          (line (assoc plot :from 0, :to (max 1 (dec n))) xs))))))

(defn- time-axis
  "The shapes of the axis of `most` samples. A line ends at the last of them."
  [plot most sample-rate-hz]
  (let [end     (if (many? plot most) most (max 0 (dec (long most))))
        seconds (when sample-rate-hz (/ (long end) (double sample-rate-hz)))]
    (cond
      (nil? seconds)           (axis/horizontal (assoc plot :to (max 1 (long end))) "samples")
      (< (double seconds) 0.2) (axis/horizontal (assoc plot :to (max 1e-9 (* 1000.0 (double seconds)))) "ms")
      :else                    (axis/horizontal (assoc plot :to seconds) "s"))))

(defn picture
  "Samples as a picture.

  `lanes`  float arrays of one size, one a channel

  `:sample-rate-hz`  for an axis in seconds; without it in samples
  `:width-px`        of the picture (default 960)
  `:lane-height-px`  of each channel (default 150)
  `:title`           a line above it

      (picture [(float-array [0 1 0 -1])] {:sample-rate-hz 48000})"
  [lanes {:keys [sample-rate-hz width-px lane-height-px title] :or {width-px 960, lane-height-px 150}}]
  (let [most   (reduce max 0 (map (fn [^floats xs] (alength xs)) lanes))
        odd    (long (reduce + 0 (map (fn [^floats xs] (areduce xs i n 0 (if (Float/isFinite (aget xs i)) n (inc n)))) lanes)))
        high   (double (bound lanes))
        top    (if title 40 16)
        step   (+ (long lane-height-px) 12)
        plots  (map (fn [i] {:x left, :y (+ top (* (long i) step)), :width (- (long width-px) (long left) (long right)), :height lane-height-px
                             :low (- high), :high high, :from 0})
                    (range (count lanes)))
        bottom (+ top (* (count lanes) step) -12)]
    {:title  (or title "Samples")
     :width  width-px
     :height (+ bottom 30 (if (pos? odd) 18 0))
     :shapes (-> (axis/heading title)
                 (into (mapcat lane-shapes plots lanes))
                 (into (time-axis (last plots) most sample-rate-hz))
                 (into (when (pos? odd) [[:text {:class :note, :x 16, :y (+ bottom 38)} (str odd (if (= 1 odd) " sample is" " samples are") " no number, drawn as 0.")]])))}))

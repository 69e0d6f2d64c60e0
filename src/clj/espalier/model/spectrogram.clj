(ns espalier.model.spectrogram
  "How loud each frequency is over time, as a picture, see `espalier.model.drawing`: windows of Hann, in
  decibels, in colours that seem as bright as they are loud."
  (:require
   [espalier.model.axis :as axis]
   [espalier.model.drawing :as drawing]
   [espalier.model.spectrum :as spectrum]))

(set! *warn-on-reflection* true)

(def ^:private stops
  "Colours of Matplotlib's map magma, evenly apart."
  [[0 0 4] [28 16 68] [79 18 123] [129 37 129] [181 54 122] [229 80 100] [251 135 97] [254 194 135] [252 253 191]])

(def colours
  "256 colours from the silent to the loudest, as 0xRRGGBB."
  (mapv (fn [i]
          (let [place (* (/ (double i) 255.0) (dec (count stops)))
                k     (min (- (count stops) 2) (long place))
                part  (- place k)]
            (reduce (fn [c [a b]] (bit-or (bit-shift-left (long c) 8) (Math/round (+ (double a) (* part (- (double b) (double a)))))))
                    0 (map vector (stops k) (stops (inc k))))))
        (range 256)))

(defn- window
  "`size` samples about the place `middle`, with silence where there are none."
  ^doubles [^floats xs middle size]
  (let [out  (double-array size)
        from (- (long middle) (quot (long size) 2))]
    (dotimes [i size]
      (let [j (+ from i)]
        (when (< -1 j (alength xs))
          (let [x (double (aget xs j))]
            (when (Double/isFinite x) (aset out i x))))))
    out))

(defn- decibels
  "The levels of samples: for each of `columns` moments, evenly apart, a double array of the
  levels of frequencies, from 0 to below half the sample rate, in dB; a sine of amplitude 1 has 0.

  `size`  samples of a window, a power of two

      (decibels samples 100 2048)"
  [^floats xs columns size]
  (let [n (alength xs)]
    (mapv (fn [c]
            (let [found (spectrum/magnitudes (window xs (* (/ (+ 0.5 (long c)) (double columns)) n) size))]
              (dotimes [i (alength found)]
                (aset found i (* 20.0 (Math/log10 (Math/max 1e-12 (aget found i))))))
              found))
          (range columns))))

(defn- row-level
  "The loudest of the levels between two places in the array; where none is between them, what
  the two about their middle make of it."
  ^double [^doubles levels ^double from ^double until]
  (let [last-i (dec (alength levels))
        a      (long (Math/ceil from))
        b      (min last-i (long (Math/ceil (- until 1.0))))]
    (if (<= a b)
      (loop [i a, high -1000.0]
        (if (<= i b) (recur (inc i) (Math/max high (aget levels i))) high))
      (let [middle (min (double last-i) (* 0.5 (+ from until)))
            i      (max 0 (min (dec last-i) (long middle)))
            part   (- middle i)]
        (+ (* (- 1.0 part) (aget levels i)) (* part (aget levels (inc i))))))))

(defn- pixels
  "The bytes of the image, the highest frequency at the top; `edges` are the edges of the rows, from the
  bottom, as places in an array of levels."
  ^bytes [columns ^doubles edges low high]
  (let [width (count columns)
        rows  (dec (alength edges))
        out   (byte-array (* width rows))
        low   (double low)
        scale (/ 255.0 (- (double high) low))]
    (dotimes [c width]
      (let [levels (nth columns c)]
        (dotimes [r rows]
          (let [v (* scale (- (row-level levels (aget edges r) (aget edges (inc r))) low))]
            (aset out (+ c (* width (- rows 1 r))) (unchecked-byte (Math/round (Math/max 0.0 (Math/min 255.0 v)))))))))
    out))

;; ---- axes

(defn- hz-text [hz]
  (if (<= 1000.0 (double hz)) (str (drawing/number-text (/ (double hz) 1000.0)) "k") (drawing/number-text hz)))

(defn- hz-axis
  "The shapes of the frequencies at the left; `place` is from one to its value of the plot's axis."
  [{:keys [x] :as plot} low-hz high-hz frequency-axis place]
  (let [ticks (if (= :log frequency-axis)
                (for [power [10 100 1000 10000], m [1 2 5], :let [hz (* (long power) (long m))], :when (<= (double low-hz) hz (double high-hz))] hz)
                (drawing/ticks low-hz high-hz 8))]
    (mapcat (fn [hz]
              (let [y (axis/y-of plot (place hz))]
                [[:path {:class :axis, :d [[:M (- (double x) 4) y] [:L x y]]}]
                 [:text {:class :tick, :anchor :end, :x (- (double x) 7), :y (+ y 4)} (str (hz-text hz) (when (= hz (last ticks)) " Hz"))]]))
            ticks)))

(defn- legend
  "The colours with their decibels, at the right of a plot."
  [{:keys [x y width height]} low high]
  (let [left (+ (double x) (double width) 14)
        bar  {:x left, :y y, :width 12, :height height, :low low, :high high}]
    (concat [[:image {:x left, :y y, :width 12, :height height, :columns 1, :rows 256, :colours colours
                      :pixels (byte-array (map unchecked-byte (range 255 -1 -1)))}]
             (axis/frame bar)]
            (mapcat (fn [db]
                      (let [v (axis/y-of bar db)]
                        [[:path {:class :axis, :d [[:M (+ left 12) v] [:L (+ left 16) v]]}]
                         [:text {:class :tick, :x (+ left 19), :y (+ v 4)} (str (drawing/number-text db) (when (= db (peek (drawing/ticks low high 6))) " dB"))]]))
                    (drawing/ticks low high 6)))))

(defn picture
  "A spectrogram of one channel.

  `xs`  a float array

  `:sample-rate-hz`         (default 44,100)
  `:window-size`            samples of a window, a power of two (default 2,048)
  `:range-db`               how far below the loudest is black (default 80)
  `:frequency-axis`         :log (default) or :linear
  `:low-hz` `:high-hz`      which are shown (default from 30, or from 0 where linear, to half the sample rate)
  `:width-px` `:height-px`  of the picture (default 960 by 400)
  `:title`                  a line above it

      (picture samples {:sample-rate-hz 48000})"
  [^floats xs {:keys [sample-rate-hz window-size range-db frequency-axis low-hz high-hz width-px height-px title]
               :or   {sample-rate-hz 44100, window-size 2048, range-db 80, frequency-axis :log, width-px 960, height-px 400}}]
  (let [log?    (= :log frequency-axis)
        high-hz (double (or high-hz (/ (double sample-rate-hz) 2)))
        low-hz  (double (or low-hz (if log? 30 0)))
        place   (fn [hz] (if log? (Math/log (double hz)) (double hz)))
        top     (if title 40 16)
        seconds (/ (alength xs) (double sample-rate-hz))
        plot    {:x 64, :y top, :width (- (long width-px) 64 84), :height (- (long height-px) top 30)
                 :from 0.0, :to (max 1e-9 seconds), :low (place low-hz), :high (place high-hz)}
        rows    (long (:height plot))
        bin     (/ (double window-size) (double sample-rate-hz))
        edge    (fn [r] (let [v (+ (double (:low plot)) (* (/ (long r) (double rows)) (- (double (:high plot)) (double (:low plot)))))]
                          (* bin (if log? (Math/exp v) v))))
        columns (decibels xs (:width plot) window-size)
        loudest (reduce (fn [high ^doubles levels] (max (double high) (areduce levels i top -240.0 (Math/max top (aget levels i))))) -240.0 columns)
        high    (max -120.0 (* 5.0 (Math/ceil (/ (double loudest) 5.0))))
        low     (- high (double range-db))]
    {:title  (or title "Spectrogram")
     :width  width-px
     :height height-px
     :shapes (-> (axis/heading title)
                 (conj [:image {:x (:x plot), :y top, :width (:width plot), :height rows, :columns (:width plot), :rows rows, :colours colours
                                :pixels (pixels columns (double-array (map edge (range (inc rows)))) low high)}])
                 (conj (axis/frame plot))
                 (into (hz-axis plot low-hz high-hz frequency-axis place))
                 (into (if (< seconds 0.2) (axis/horizontal (update plot :to #(* 1000.0 (double %))) "ms") (axis/horizontal plot "s")))
                 (into (legend plot low high)))}))

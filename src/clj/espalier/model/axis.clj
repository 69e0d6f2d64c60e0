(ns espalier.model.axis
  "The frame of a picture of values over time: two axes with their numbers, see
  `espalier.model.drawing`.

  A plot is where the values are, `{:x :y :width :height}`, and their range, `:from` and `:to` from the left to
  the right, `:low` and `:high` from the bottom to the top."
  (:require
   [espalier.model.drawing :as drawing]))

(set! *warn-on-reflection* true)

(defn x-of
  "Where a value of the horizontal axis is."
  ^double [{:keys [x width from to]} v]
  (+ (double x) (* (double width) (/ (- (double v) (double from)) (max 1e-300 (- (double to) (double from)))))))

(defn y-of
  "Where a value of the vertical axis is."
  ^double [{:keys [y height low high]} v]
  (- (+ (double y) (double height)) (* (double height) (/ (- (double v) (double low)) (max 1e-300 (- (double high) (double low)))))))

(defn- label [v unit last?]
  (str (drawing/number-text v) (when (and unit last?) (str " " unit))))

(defn horizontal
  "Shapes of the horizontal axis, below a plot, with its unit behind its last number."
  [{:keys [y width height from to] :as plot} unit]
  (let [bottom (+ (double y) (double height))
        ticks  (drawing/ticks from to (max 2 (quot (long width) 90)))]
    (mapcat (fn [v]
              (let [x (x-of plot v)]
                [[:path {:class :axis, :d [[:M x bottom] [:L x (+ bottom 4)]]}]
                 [:text {:class :tick, :anchor :middle, :x x, :y (+ bottom 17)} (label v unit (= v (peek ticks)))]]))
            ticks)))

(defn vertical
  "Shapes of the vertical axis, at the left of a plot, with lines across it."
  [{:keys [x width height low high] :as plot}]
  (mapcat (fn [v]
            (let [y (y-of plot v)]
              [[:path {:class :grid, :d [[:M x y] [:L (+ (double x) (double width)) y]]}]
               [:text {:class :tick, :anchor :end, :x (- (double x) 7), :y (+ y 4)} (label v nil false)]]))
          (drawing/ticks low high (max 2 (quot (long height) 40)))))

(defn frame
  "The shape around a plot."
  [{:keys [x y width height]}]
  [:rect {:class :frame, :x x, :y y, :width width, :height height}])

(defn heading
  "The shapes of a title, none where there is none."
  [title]
  (if title [[:text {:class :title, :x 16, :y 26} (drawing/cut title 90)]] []))

(ns espalier.model.graph-picture
  "Graphs of UGens, see `espalier.model.ugen-graph`, as pictures, see
  `espalier.model.drawing`: sound goes from the left to the right."
  (:require
   [clojure.string :as str]
   [espalier.model.drawing :as drawing]
   [espalier.model.layers :as layers]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(def ^:private margin 16)
(def ^:private pad 9)
(def ^:private header-height 24)
(def ^:private row-height 17)

;; ---- sizes

(defn- row-runs [{:keys [wired value], row-name :name}]
  (if wired
    [[:input row-name]]
    [[:value (str row-name "  ")] [:input value]]))

(defn- side-text [{:keys [kind rate note value]}]
  (if (= :control kind)
    (str/join "  " (remove nil? [value note]))
    (ugen/suffix rate)))

(defn- side-class [{:keys [kind rate]}]
  (if (= :control kind) :value (keyword (str "text-" (name rate)))))

(defn- several? [{:keys [outputs]}] (< 1 (count outputs)))

(defn- line-count
  "How many rows of a box: inputs at the left, outputs, where there are several, at the right."
  ^long [{:keys [rows outputs] :as node}]
  (max (count rows) (if (several? node) (count outputs) 0)))

(defn- box [{:keys [title rows outputs] :as node}]
  (let [head  (+ (drawing/text-width :name title) 16 (drawing/text-width :value (side-text node)))
        out   (if (several? node) (+ 20 (drawing/text-width :value (str (peek outputs)))) 0)
        lines (line-count node)]
    (assoc node
           :width  (Math/ceil (+ (* 2 (long pad)) (max head (+ out (double (reduce max 0.0 (map (fn [r] (drawing/text-width nil (row-runs r))) rows)))))))
           :height (+ (long header-height) (* lines (long row-height)) (if (pos? lines) 5 0)))))

(defn- row-middle
  "How far below the top of a box the middle of a row is."
  ^double [i]
  (+ (long header-height) (* (long i) (long row-height)) (/ (long row-height) 2.0)))

(defn- output-middle ^double [node i]
  (if (several? node) (row-middle i) (/ (long header-height) 2.0)))

;; ---- shapes

(defn- wire-path
  "The path through the points of a route: straight within layers, curves between them."
  [[[x y] & more]]
  (loop [d [[:M x y]], [x y] [x y], [[nx ny] & more] more, straight? true]
    (if nx
      (let [bend (* 0.5 (- (double nx) (double x)))]
        (recur (cond (not straight?)             (conj d [:C (+ (double x) bend) y (- (double nx) bend) ny nx ny])
                     (< (double x) (double nx))  (conj d [:L nx ny])
                     :else                       d)
               [nx ny] more (not straight?)))
      d)))

(defn- rate-class [prefix rate] (keyword (str prefix "-" (name rate))))

(defn- port [rate x y] [:circle {:class (rate-class "port" rate), :x x, :y y, :r 4}])

(defn- box-shapes
  "The shapes of a node; `entering` are the rates of what comes in, by its rows."
  [{:keys [kind title rate rows outputs width height] :as node} [x y] entering]
  (let [x       (double x), y (double y), right (+ x (double width))
        control (= :control kind)
        base    (+ y 16.5)]
    (-> [[:rect {:class  (cond (not control) :ugen, (= :audio rate) :pill-ar, (= :scalar rate) :pill-ir, :else :pill)
                 :x x, :y y, :width width, :height height, :radius (if control 12 4)}]]
        (into (when-not control [[:rect {:class (rate-class "bar" rate), :x x, :y (+ y 4), :width 3, :height (- (double height) 8)}]]))
        (into [[:text {:class :name, :x (+ x (long pad)), :y base} title]
               [:text {:class (side-class node), :anchor :end, :x (- right (long pad)), :y base} (side-text node)]])
        (into (mapcat (fn [i row] (let [middle (+ y (row-middle i))]
                                    (cond-> [[:text {:class :input, :x (+ x (long pad)), :y (+ middle 4)} (row-runs row)]]
                                      (:wired row) (conj (port (entering i rate) x middle)))))
                      (range) rows))
        (into (mapcat (fn [i output]
                        (let [middle (+ y (output-middle node i))]
                          (cond-> [(port rate right middle)]
                            (several? node) (conj [:text {:class :value, :anchor :end, :x (- right (long pad)), :y (+ middle 4)} (str output)]))))
                      (range) outputs)))))

(defn picture
  "A graph of UGens as a picture.

      (picture (espalier.model.ugen-graph/graph d))"
  [{:keys [nodes wires variants], synthdef-name :name}]
  (let [boxes    (mapv box nodes)
        ends     (mapv (fn [{[a output] :from, [b row] :to}] {:from [a (output-middle (boxes a) output)], :to [b (row-middle row)]}) wires)
        {:keys [width height places routes]} (layers/layout boxes ends)
        top      (+ (long margin) 28)
        shift    (fn [[x y]] [(+ (double x) (long margin)) (+ (double y) top)])
        entering (reduce (fn [m {[b row] :to, rate :rate}] (assoc-in m [b row] rate)) {} wires)
        title    (str "SynthDef " (drawing/cut synthdef-name 80))
        note     (when (seq variants) (drawing/cut (str "variants: " (str/join ", " variants)) 120))
        shapes   (concat [[:text {:class :title, :x margin, :y (+ (long margin) 13)} title]]
                         (map (fn [{:keys [rate]} route] [:path {:class (rate-class "wire" rate), :d (wire-path (map shift route))}]) wires routes)
                         (mapcat (fn [i b place] (box-shapes b (shift place) (get entering i {}))) (range) boxes places)
                         (when note [[:text {:class :note, :x margin, :y (+ top (double height) 20)} note]]))]
    {:title  title
     :width  (Math/ceil (+ (* 2 (long margin)) (max (double width) (drawing/text-width :title title) (if note (drawing/text-width :note note) 0.0))))
     :height (Math/ceil (+ top (double height) (long margin) (if note 16 0)))
     :shapes (vec shapes)}))

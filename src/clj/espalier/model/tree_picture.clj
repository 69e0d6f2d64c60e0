(ns espalier.model.tree-picture
  "Node trees as pictures, see `espalier.model.drawing`: groups around what they hold, in the
  order in which it plays. Nothing here recurses: trees may be of any depth."
  (:require
   [espalier.model.drawing :as drawing]
   [espalier.model.outline :as outline]
   [espalier.model.tree :as tree]))

(set! *warn-on-reflection* true)

(def ^:private margin 12)
(def ^:private pad 10)
(def ^:private gap 6)
(def ^:private header-height 26)
(def ^:private line-height 16)
(def ^:private widest-controls "Pixels of a line of controls." 330)
(def ^:private most-lines "Lines of controls." 3)
(def ^:private longest-name "Characters." 48)

;; ---- texts

(defn- value-run [was? was x]
  (let [text (drawing/cut (outline/value-text x) 30)]
    (cond was?        [:text-changed (if (nil? was) text (str (drawing/cut (outline/value-text was) 16) " → " text))]
          (string? x) [:text-control text]
          :else       [:value text])))

(defn- control-runs
  "Of each control its runs of text."
  [{:keys [controls marks]}]
  (for [[k x] controls]
    [[:input (str (drawing/cut (if (keyword? k) (name k) (str k)) longest-name) " ")]
     (value-run (contains? (:changed marks) k) (get-in marks [:changed k]) x)]))

(defn- control-lines
  "The controls of a node as lines of runs, as many as there may be."
  [node]
  (loop [todo (control-runs node), line [], lines []]
    (if-let [[runs & more] (seq todo)]
      (let [longer (into (if (seq line) (conj line [:value "   "]) line) runs)]
        (cond
          (or (empty? line) (<= (drawing/text-width nil longer) (double widest-controls)))
          (recur more longer lines)

          (= (inc (count lines)) (long most-lines))
          (conj lines (conj line [:value (str "   … " (count todo) " more")]))

          :else
          (recur todo [] (conj lines line))))
      (cond-> lines (seq line) (conj line)))))

(defn- name-runs [{:keys [kind def words], k :key}]
  (let [k (when (some? k) (drawing/cut (pr-str k) longest-name))]
    (case kind
      :omission [[:note words]]
      :synth    (cond-> [[:name (drawing/cut (if (some? def) (outline/value-text def) "?") longest-name)]]
                  k (conj [:key (str "  " k)]))
      (cond-> [[:name "group"]] k (conj [:key (str "  " k)])))))

(defn- side-runs
  "What stands at the right of a header."
  [{:keys [id paused parallel marks]} {:keys [ids]}]
  (let [{:keys [words]} marks
        runs (cond-> (mapv (fn [[class word]] [(keyword (str "text-" (name class))) word]) words)
               parallel                             (conj [:key "parallel"])
               (and paused (not-any? #{[:changed "paused"]} words)) (conj [:note "paused"])
               (and ids (int? id) (<= 0 (long id))) (conj [:id (str id)]))]
    (into [] (map-indexed (fn [i [class text]] [class (if (zero? (long i)) text (str "   " text))])) runs)))

;; ---- sizes from the leaves up, places from the top down

(defn- measured
  "A row's node with its texts, and how large it is beside what it holds."
  [[{:keys [kind] :as node} parent] {:keys [controls] :as options}]
  (let [lines (if controls (control-lines node) [])
        names (name-runs node)
        side  (side-runs node options)]
    {:node   node
     :parent parent
     :names  names
     :side   side
     :lines  lines
     :width  (+ (* 2 (long pad))
                (max 90.0
                     (+ (drawing/text-width nil names) (if (seq side) 24 0) (drawing/text-width nil side))
                     (double (reduce max 0.0 (map #(drawing/text-width nil %) lines)))))
     :height (cond (= :omission kind) (+ 2 (long line-height))
                   (seq lines)        (+ (long header-height) (* (count lines) (long line-height)) 4)
                   :else              header-height)}))

(defn- sized
  "Boxes with the sizes of what they hold."
  [boxes]
  (loop [i (dec (count boxes)), boxes (vec boxes)]
    (if (pos? i)
      (let [{:keys [parent width height]} (nth boxes i)]
        (recur (dec i)
               (update boxes parent
                       (fn [p] (let [empty? (not (:holds p))]
                                 (-> p
                                     (assoc :holds true)
                                     (update :width max (+ (double width) (* 2 (long pad))))
                                     (update :height + (double height) (if empty? (long pad) (long gap)))))))))
      boxes)))

(defn- placed
  "Boxes with their places, below each other within that which holds them."
  [boxes x y]
  (:out
    (reduce (fn [{:keys [out next]} {:keys [parent height] :as box}]
              (if (neg? (long parent))
                {:out  (conj out (assoc box :x x :y y))
                 :next (conj next (+ (double y) (double (:head box))))}
                (let [around (nth out parent)
                      top    (nth next parent)]
                  {:out  (conj out (assoc box :x (+ (double (:x around)) (long pad)), :y top, :width (- (double (:width around)) (* 2 (long pad)))))
                   :next (-> next
                             (assoc parent (+ (double top) (double height) (long gap)))
                             (conj (+ (double top) (double (:head box)))))})))
            {:out [], :next []}
            boxes)))

(defn- laid-out [rows options]
  (let [boxes (mapv #(measured % options) rows)]
    (mapv (fn [box own] (assoc box :head (:height own))) (sized boxes) boxes)))

;; ---- shapes

(defn- box-shapes [{:keys [x y width height names side lines head node]}]
  (let [{:keys [kind level paused parallel marks]} node
        {:keys [mark]} marks
        synth? (= :synth kind)
        rect   {:x x, :y y, :width width, :height height, :radius (if synth? 4 7)}
        middle (+ (double y) 17.5)]
    (if (= :omission kind)
      [[:text {:class :note, :x x, :y (+ (double y) 13)} (:words node)]]
      (cond-> [[:rect (assoc rect :class (cond synth? :synth, (odd? (long level)) :group-2, :else :group))]]
        parallel     (conj [:rect (assoc rect :class :parallel)])
        synth?       (conj [:rect {:class (if mark (keyword (str "bar-" (name mark))) :bar), :x x, :y (+ (double y) 4), :width 3, :height (- (double height) 8)}])
        true         (conj [:text {:class :name, :x (+ (double x) (long pad)), :y middle} names])
        (seq side)   (conj [:text {:class :id, :anchor :end, :x (- (+ (double x) (double width)) (long pad)), :y middle} side])
        (seq lines)  (into (map-indexed (fn [i line] [:text {:class :value, :x (+ (double x) (long pad)), :y (+ (double y) (long header-height) 10 (* (long i) (long line-height)))} line]))
                           lines)
        paused       (conj [:rect {:class :veil, :x x, :y y, :width width, :height (if synth? height head), :radius 4}])
        mark         (conj [:rect (assoc rect :class mark)])))))

(defn- block
  "The shapes of a tree whose corner is at x, y, and its `:width` and `:height`."
  [tree options x y]
  (let [rows (outline/rows tree options)
        bare (= -1 (:id (first (first rows))))             ; a top that is only there to hold several
        rows (if bare (mapv (fn [[node p]] [(cond-> node (:level node) (update :level dec)) p]) rows) rows)
        all  (laid-out rows options)
        all  (if bare
               (update all 0 (fn [{:keys [width height head] :as top}]
                               (assoc top :head 0.0, :width width, :height (max 20.0 (- (double height) (double head) (long pad))))))
               all)
        x    (if bare (- (double x) (long pad)) x)
        {:keys [width height]} (first all)
        boxes (placed all x y)]
    {:shapes (into [] (mapcat box-shapes) (if bare (rest boxes) boxes))
     :width  (if bare (- (double width) (* 2 (long pad))) width)
     :height height
     :empty? (and bare (= 1 (count boxes)))}))

(defn- notes-at [notes y]
  (map-indexed (fn [i note] [:text {:class :note, :x margin, :y (+ (double y) (* 16 (long i)))} note]) notes))

(defn- widest [notes] (reduce max 0.0 (map #(drawing/text-width :note %) notes)))

(defn picture
  "A tree, as `espalier.core/query-tree` returns it, as a picture. A group with the id -1 is not
  drawn, only what it holds.

  `:ids` `:controls`  whether these are shown (default true)
  `:depth`            how many levels below the top (default 24)
  `:most-children`    how many nodes of each group (default 40); of what is left out there is the number

      (picture {:kind :group, :id 1, :children [{:kind :synth, :def \"bell\", :controls {\"freq\" 440.0}}]} {})"
  [tree options]
  (let [options (merge outline/defaults options)
        {:keys [shapes width height empty?]} (block tree options margin margin)
        notes   (cond-> (tree/shortcomings tree options) empty? (conj "no nodes"))
        foot    (if (seq notes) (+ 8 (* 16 (count notes))) 0)]
    {:title  "Node tree"
     :width  (Math/ceil (+ (* 2 (long margin)) (max (double width) (double (widest notes)))))
     :height (Math/ceil (+ (* 2 (long margin)) (double height) foot))
     :shapes (into shapes (notes-at notes (+ (long margin) (double height) 18)))}))

(defn change
  "Two trees beside each other, of which nodes have `:marks`, see
  `espalier.model.marks`, and lines of text below them. Options as of `picture`."
  [before after lines options]
  (let [options (merge outline/defaults options)
        top     (+ (long margin) 24)
        left    (block before options margin top)
        x       (+ (long margin) (max 120.0 (double (:width left))) 36)
        right   (block after options x top)
        height  (max (double (:height left)) (double (:height right)))
        below   (+ top height)
        most    20
        lines   (mapv #(drawing/cut % 110) lines)
        lines   (if (< most (count lines)) (conj (subvec lines 0 most) (str "… " (- (count lines) most) " more")) lines)
        head    (fn [x text] [:text {:class :title, :x x, :y (+ (long margin) 12)} text])
        none    (fn [{:keys [empty?]} x] (when empty? [[:text {:class :note, :x x, :y (+ top 14)} "no nodes"]]))]
    {:title  "Change of a node tree"
     :width  (Math/ceil (+ (long margin) (max (+ (double x) (max 120.0 (double (:width right)))) (+ (long margin) (double (widest lines))))))
     :height (Math/ceil (+ below (long margin) (if (seq lines) (+ 8 (* 16 (count lines))) 0)))
     :shapes (-> [(head margin "before") (head x "after")
                  [:path {:class :guide, :d [[:M (- (double x) 26) (+ top (/ height 2))] [:L (- (double x) 10) (+ top (/ height 2))]
                                             [:M (- (double x) 15) (- (+ top (/ height 2)) 5)] [:L (- (double x) 10) (+ top (/ height 2))]
                                             [:L (- (double x) 15) (+ top (/ height 2) 5)]]}]]
                 (into (:shapes left))
                 (into (none left margin))
                 (into (:shapes right))
                 (into (none right x))
                 (into (notes-at lines (+ below 20))))}))

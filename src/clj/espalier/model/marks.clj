(ns espalier.model.marks
  "What edits, see `espalier.model.diff`, do to each node of a tree: marks for a
  picture of before and after.

  The `:marks` of a node are a map: `:mark`, the one that it is drawn with, :added :freed :moved or
  :changed; `:words`, all of them `[[:moved \"moved\"] …]`; `:changed`, from the names of
  controls that are set to what they were, or nil where that is not known."
  (:require
   [espalier.model.diff :as diff]
   [espalier.model.nesting :as nesting]))

(set! *warn-on-reflection* true)

(defn- places
  "From the names that edits have for the nodes of rows to their places."
  [rows]
  (into {}
        (comp (map-indexed (fn [i [{:keys [id], k :key}]]
                             (cond-> [[(or id (if (zero? (long i)) 0 (- (inc (long i))))) i]]
                               (some? k) (conj [k i]))))
              cat)
        rows))

(defn- word
  "What an edit does, as a mark and a word for it."
  [{:keys [edit running?]}]
  (case edit
    :free    [:freed "freed"]
    :move    [:moved "moved"]
    :replace [:changed "replaced"]
    :set     [:changed "set"]
    :name    [:changed "named"]
    :run     [:changed (if running? "resumed" "paused")]
    :add     [:added "added"]))

(def ^:private strength
  "The stronger one is drawn."
  {:changed 1, :moved 2, :added 3, :freed 4})

(defn- marked [marks {:keys [edit controls] :as e} node]
  (let [[mark :as w] (word e)]
    (cond-> (update (or marks {:words []}) :words #(if (some #{w} %) % (conj % w)))
      (< (long (strength (:mark marks) 0)) (long (strength mark))) (assoc :mark mark)
      (= :set edit) (update :changed (fnil into {}) (map (fn [[k _]] [k (get-in node [:controls k])])) controls))))

(defn- marks-of
  "From the place of each row that an edit is about to its marks."
  [rows edits]
  (first
    (reduce (fn [[marks names] {:keys [edit node id], k :key :as e}]
              (let [place (names node)]
                [(if (and (int? place) (not= :add edit))
                   (update marks place marked e (first (nth rows place)))
                   marks)
                 (cond-> names
                   (= :add edit)            (assoc node :new)
                   (and (= :add edit) id)   (assoc id :new)
                   (and place (= :name edit)) (assoc k place))]))
            [{} (places rows)]
            edits)))

(defn- inherited
  "Marks in which what is below a freed node is freed too."
  [rows marks]
  (loop [i 1, marks marks]
    (if (< i (count rows))
      (let [freed? (fn [j] (= :freed (:mark (get marks j))))]
        (recur (inc i)
               (if (and (freed? (second (nth rows i))) (nil? (get marks i)))
                 (assoc marks i {:mark :freed, :words []})
                 marks)))
      marks)))

(defn- with-marks [rows marks]
  (nesting/tree (into [] (map-indexed (fn [i [node p]] [(if-let [m (get marks i)] (assoc node :marks m) node) p])) rows)))

(defn- settled
  "The tree without marks that say nothing."
  [tree]
  (nesting/tree
    (mapv (fn [[{:keys [marks] :as node} p]]
            [(if (= [] (:words marks)) (dissoc node :marks) node) p])
          (nesting/rows tree))))

(defn before-and-after
  "A tree, a group, with its nodes marked, and what the edits make of it, marked as well.

      (before-and-after {:kind :group, :id -1, :children [{:kind :synth, :key :a, :def \"bell\", :controls {}}]}
                        [{:edit :free, :node :a}])
      ;=> [{:kind :group, :id -1, :children [{:kind :synth, :key :a, :def \"bell\", :controls {}, :marks {:mark :freed, :words [[:freed \"freed\"]]}}]}
      ;    {:kind :group, :id -1, :children []}]"
  [tree edits]
  (let [rows  (nesting/rows tree)
        marks (marks-of rows edits)
        made  (map (fn [{:keys [edit] :as e}]
                     (if (contains? #{:add :replace} edit) (assoc e :marks (marked nil e nil)) e))
                   edits)
        ;; In the first of both a control shows what it was, alone.
        left  (inherited rows (update-vals marks (fn [m] (cond-> m (:changed m) (update :changed update-vals (constantly nil))))))]
    [(with-marks rows left)
     (settled (diff/apply-edits (with-marks rows marks) made))]))

(ns espalier.model.adoption
  "Which node of a tree that plays is which of a form, where no key tells: found by their
  structure, their SynthDefs and their controls. Trees are rows, see `espalier.model.nesting`.

  Of the children of two groups that are one, those are the same that have the same id;
  then those that are the same with all that is below them, synths with the same controls
  first; then those of one kind and SynthDef, in their order. Unlike in
  `espalier.model.diff`, where what has a key is known by it, order says least here: a group
  is found by what is in it, wherever it is among its siblings.")

(set! *warn-on-reflection* true)

(defn- places-below
  "By the place of a group, those of its children, in order."
  [rows]
  (reduce (fn [below i] (update below (second (nth rows i)) (fnil conj []) i)) {} (range 1 (count rows))))

(defn- kind-of [{:keys [kind def parallel]}]
  [kind def (boolean parallel)])

(defn- shapes
  "Numbers for the rows, equal for what has the same below it, in whatever order; `known` has
  those that were given so far. Returns both."
  [rows below known]
  (loop [i (dec (count rows)), shapes {}, known known]
    (if (neg? i)
      [shapes known]
      (let [shape [(kind-of (first (nth rows i))) (sort (map shapes (get below i)))]
            known (if (contains? known shape) known (assoc known shape (count known)))]
        (recur (dec i) (assoc shapes i (get known shape)) known)))))

(defn- paired
  "Pairs of what is in both, the first with the first that has the same `mark`; a mark of nil
  has no other."
  [these those mark-these mark-those]
  (loop [[x & more] these, free (group-by mark-those those), pairs []]
    (if (nil? x)
      pairs
      (let [mark (mark-these x)]
        (if-some [y (when (some? mark) (first (get free mark)))]
          (recur more (update free mark rest) (conj pairs [x y]))
          (recur more free pairs))))))

(defn matches
  "From the places of rows of `wanted` to those of `playing` that are the same nodes.

      (matches [[{:kind :group} -1] [{:kind :synth, :def \"bell\"} 0]]
               [[{:kind :group, :id 1} -1] [{:kind :synth, :id 1000, :def \"bell\"} 0]])
      ;=> {0 0, 1 1}"
  [wanted playing]
  (let [below-wanted  (places-below wanted)
        below-playing (places-below playing)
        [wanted-shapes known] (shapes wanted below-wanted {})
        [playing-shapes]      (shapes playing below-playing known)
        node     (fn [rows i] (first (nth rows i)))
        controls (fn [rows i] (:controls (node rows i)))
        ;; One pass after the other, each with what the ones before have left.
        passes   (fn [these]
                   (concat
                     [[#(:id (node wanted %)) #(:id (node playing %))]]
                     (for [ks (sort-by (comp - count) (distinct (keep #(when (seq (controls wanted %)) (set (keys (controls wanted %)))) these)))]
                       [#(when (= ks (set (keys (controls wanted %)))) [(wanted-shapes %) (controls wanted %)])
                        #(vector (playing-shapes %) (select-keys (controls playing %) ks))])
                     [[wanted-shapes playing-shapes]
                      [#(kind-of (node wanted %)) #(kind-of (node playing %))]]))]
    (loop [todo [[0 0]], found {0 0}]
      (if-let [[g b] (peek todo)]
        (let [these (get below-wanted g), those (get below-playing b)
              pairs (loop [passes (passes these), these these, those those, pairs []]
                      (if-let [[mark-these mark-those] (first passes)]
                        (let [new   (paired these those mark-these mark-those)
                              firsts (into #{} (map first) new), seconds (into #{} (map second) new)]
                          (recur (rest passes) (remove firsts these) (remove seconds those) (into pairs new)))
                        pairs))]
          (recur (into (pop todo) pairs) (into found pairs)))
        found))))

(defn- invented
  "A key for a node of which there is none: the name of its SynthDef, or :group; with a number
  where that is taken."
  [{:keys [kind def]} taken]
  (let [base (if (= :group kind) :group (keyword def))]
    (first (remove taken (cons base (map (fn [i] [base i]) (iterate inc 2)))))))

(defn- all-keyed
  "Rows with a key for each node but the first."
  [rows]
  (second
    (reduce (fn [[taken done] [node parent :as row]]
              (if (or (neg? (long parent)) (some? (:key node)))
                [taken (conj done row)]
                (let [k (invented node taken)]
                  [(conj taken k) (conj done [(assoc node :key k) parent])])))
            [(into #{} (keep (comp :key first)) rows) []]
            rows)))

(defn adopted
  "Rows that play with the keys, and SynthDefs, of those of `wanted` that they are; without any that
  are wanted, with keys that are made up. Returns `:rows`, the `:missing` ones of `wanted` that do
  not play, the `:unknown` ones of `playing` that are not wanted, and how many are `:found`."
  [wanted playing]
  (if (nil? (next wanted))
    {:rows (all-keyed playing), :missing [], :unknown [], :found (dec (count playing))}
    (let [found  (matches wanted playing)
          of     (into {} (map (fn [[w p]] [p w])) found)
          others (fn [rows known] (into [] (keep-indexed (fn [i row] (when-not (contains? known i) row))) rows))
          keys-wanted (into #{} (keep (comp :key first)) wanted)]
      {:rows    (into [] (map-indexed (fn [i [node parent]]
                                        [(if-let [w (when (pos? i) (get of i))]
                                           (merge (dissoc node :key :synthdef) (select-keys (first (nth wanted w)) [:key :once :synthdef]))
                                           (cond-> node (contains? keys-wanted (:key node)) (dissoc :key)))
                                         parent]))
                      playing)
       :missing (others wanted found)
       :unknown (others playing of)
       :found   (dec (count found))})))

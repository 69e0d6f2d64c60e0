(ns espalier.trees
  "Random node trees, as generators of test.check: trees as they are wanted, pairs of
  which the second is partly the first, and forms of them. The same seed makes the same:
  `(gen/generate (trees/pair {}) 50 seed)`.

  Options of the generators:

      :defs       SynthDef name -> control name -> size (default `some-defs`)
      :max-nodes  how many nodes a tree has at the most (default 40)
      :parallel   whether there are parallel groups (default true)
      :paused     whether some nodes are paused (default true)
      :once       whether some synths are played once (default true)
      :mappings   strings that a control may be mapped to (default [\"c5\" \"a3\"])
      :changes    how many changes are between the two of a pair at the most (default 12)"
  (:require
   [clojure.test.check.generators :as gen]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]))

(set! *warn-on-reflection* true)

(def some-defs
  "SynthDefs that no server has."
  {"bell" {"freq" 1, "amp" 1, "out" 1}
   "pad"  {"freqs" 4, "amp" 1, "cutoff" 1}
   "tick" {}
   "long" (into {} (map (fn [i] [(str "c" i) 1])) (range 12))})

;; ---- nodes

(def ^:private a-number (gen/elements [0.0 1.0 0.1 -1.0 440.0 55.5 1.0e9]))

(defn- a-value [size mappings]
  (let [one (if (seq mappings)
              (gen/frequency [[6 a-number] [1 (gen/elements mappings)]])
              a-number)]
    (if (= 1 size)
      one
      (gen/frequency [[2 one] [3 (gen/vector one 1 size)]]))))

(defn- controls-of [controls {:keys [mappings] :or {mappings ["c5" "a3"]}}]
  (if (empty? controls)
    (gen/return {})
    (gen/fmap #(into {} %)
              (gen/vector (gen/let [[k size] (gen/elements (vec controls))] (gen/tuple (gen/return k) (a-value size mappings)))
                          0 4))))

(defn- key-of [sort n]
  (case (int sort)
    0 nil
    1 (keyword (str "k" n))
    2 (keyword "in.space" (str "k" n))
    3 (symbol (str "k" n))
    4 (str "k " n)
    5 [:voice n]
    6 ["x" [:y n] 0.5]))

(defn- rarely [what? n] (if what? (gen/frequency [[n (gen/return false)] [1 (gen/return true)]]) (gen/return false)))

(defn- a-synth [{:keys [defs paused once] :or {defs some-defs, paused true, once true} :as opts}]
  (gen/let [[def-name controls] (gen/elements (vec defs))
            controls (controls-of controls opts)
            paused   (rarely paused 8)
            once     (rarely once 8)]
    (cond-> {:kind :synth, :def def-name, :controls controls} paused (assoc :paused true), once (assoc :once true))))

(defn- a-group [{:keys [parallel paused] :or {parallel true, paused true}}]
  (gen/let [parallel (rarely parallel 5)
            paused   (rarely paused 8)]
    (cond-> {:kind :group} parallel (assoc :parallel true), paused (assoc :paused true))))

(defn- a-node [opts]
  (gen/let [node     (gen/frequency [[3 (a-synth opts)] [2 (a-group opts)]])
            key-sort (gen/frequency [[1 (gen/return 0)] [3 (gen/choose 1 6)]])
            ;; The group it is in: the last one for deep trees, the first for wide ones, or any.
            group    (gen/frequency [[2 (gen/return :last)] [2 (gen/return :first)] [4 gen/nat]])]
    {:node node, :key-sort key-sort, :group group}))

(defn- keyed [{:keys [once] :as node} key-sort n]
  (let [k (key-of (if (and once (zero? (long key-sort))) 1 key-sort) n)]
    (cond-> node (some? k) (assoc :key k))))

(defn- grown
  "The tree of which `a-node` has made the nodes."
  [nodes]
  (loop [[{:keys [node key-sort group] :as more?} & more] nodes, rows [[{:kind :group} -1]], groups [0]]
    (if more?
      (let [n      (count rows)
            parent (case group :last (peek groups), :first 0, (nth groups (mod group (count groups))))]
        (recur more
               (conj rows [(keyed node key-sort n) parent])
               (cond-> groups (= :group (:kind node)) (conj n))))
      (nesting/tree rows))))

(defn tree
  "A generator of groups as they are wanted, in canonical form, without ids."
  ([] (tree {}))
  ([{:keys [max-nodes] :or {max-nodes 40} :as opts}]
   (gen/fmap grown (gen/vector (a-node opts) 0 max-nodes))))

(defn with-ids
  "The tree, all of whose nodes have ids, as a server has given them: the group itself
  `top`, what is in it from `from`."
  ([tree] (with-ids tree 1 1000))
  ([tree top from]
   (let [[[root _] & below] (nesting/rows tree)]
     (nesting/tree (into [[(assoc root :id top) -1]]
                         (map-indexed (fn [i [node parent]] [(assoc node :id (+ (long from) (long i))) parent]))
                         below)))))

;; ---- changes: a plan of a tree is `:node` by number, `:children` and `:parent`; the group itself is 0

(defn- plane [tree]
  (let [rows (nesting/rows tree)]
    {:node     (into {} (map-indexed (fn [i [node]] [i node])) rows)
     :parent   (into {} (map-indexed (fn [i [_ parent]] [i parent])) rows)
     :children (reduce (fn [m [i [_ parent]]] (update m parent (fnil conj []) i)) {} (rest (map-indexed vector rows)))
     :next     (count rows)}))

(defn- plane-tree [{:keys [node children]}]
  (loop [todo (list [0 -1]), rows []]
    (if-let [[n parent] (peek todo)]
      (let [place (count rows)]
        (recur (into (pop todo) (map (fn [c] [c place])) (rseq (vec (children n))))
               (conj rows [(node n) parent])))
      (nesting/tree rows))))

(defn- pick [xs n] (when (seq xs) (nth xs (mod (long n) (count xs)))))

(defn- numbers
  "The nodes of a kind, or all, but the group itself."
  [p kind]
  (sort (keep (fn [[n node]] (when (and (pos? (long n)) (or (nil? kind) (= kind (:kind node)))) n)) (:node p))))

(defn- groups [p] (cons 0 (numbers p :group)))

(defn- below? [p n group]
  (loop [n n] (cond (= n group) true, (neg? (long n)) false, :else (recur (get-in p [:parent n])))))

(defn- taken-out [p n]
  (update-in p [:children (get-in p [:parent n])] (fn [c] (vec (remove #{n} c)))))

(defn- put-in [p n group at]
  (-> p
      (assoc-in [:parent n] group)
      (update-in [:children group] (fn [c] (let [c (vec c), [x y] (split-at (mod (long at) (inc (count c))) c)] (vec (concat x [n] y)))))))

(defn- place-of [p n] (.indexOf ^java.util.List (get-in p [:children (get-in p [:parent n])]) n))

(defn- removed [p n]
  (let [all (loop [todo [n], all []] (if-let [x (peek todo)] (recur (into (pop todo) (get-in p [:children x])) (conj all x)) all))]
    (-> (taken-out p n)
        (update :node #(apply dissoc % all))
        (update :parent #(apply dissoc % all))
        (update :children #(apply dissoc % all)))))

(defn- added [p node group at]
  (let [n (:next p)]
    (-> p (assoc :next (inc (long n))) (assoc-in [:node n] node) (put-in n group at))))

(defn- unwrapped
  "The children of a group in its place, and it after them, empty."
  [p n]
  (let [parent (get-in p [:parent n]), at (place-of p n)]
    (reduce (fn [p [i c]] (put-in (taken-out p c) c parent (+ (long at) (long i))))
            p (map-indexed vector (get-in p [:children n])))))

(defn- changed
  "The plan after one change. `x`, `y` and `z` are naturals that choose, `new` is a node."
  [p [change x y z {:keys [node key-sort]}]]
  (let [n      (pick (numbers p nil) x)
        synth  (pick (numbers p :synth) x)
        group  (pick (numbers p :group) x)
        target (pick (groups p) y)
        fresh  (keyed node key-sort (+ 100000 (long (:next p))))]
    (case change
      :add     (added p fresh target z)
      :remove  (if n (removed p n) p)
      :move    (if (and n (not (below? p target n))) (put-in (taken-out p n) n target z) p)
      :reorder (if (seq (get-in p [:children target]))
                 (update-in p [:children target] (fn [c] (let [c (vec c), i (mod (long x) (count c)), j (mod (long z) (count c))] (assoc c i (c j) j (c i)))))
                 p)
      :shuffle (update-in p [:children target] (fn [c] (let [c (java.util.ArrayList. ^java.util.Collection (vec c))] (java.util.Collections/shuffle c (java.util.Random. (long z))) (vec c))))
      :wrap    (if n
                 (let [parent (get-in p [:parent n]), at (place-of p n), w (:next p)]
                   (-> (added p (-> fresh (select-keys [:key]) (assoc :kind :group)) parent at)
                       (taken-out n)
                       (put-in n w 0)))
                 p)
      :unwrap  (if group (removed (unwrapped p group) group) p)
      :flip    (let [parent (when group (get-in p [:parent group]))]
                 (if (and group (pos? (long parent)))
                   (let [above (get-in p [:parent parent]), at (place-of p parent)]
                     (-> p (taken-out group) (put-in group above at) (taken-out parent) (put-in parent group z)))
                   p))
      :def     (if synth (update-in p [:node synth] merge (if (= :synth (:kind node)) (select-keys node [:def :controls]) {:def "tick", :controls {}})) p)
      :kind    (cond
                 (nil? n) p
                 (= :synth (get-in p [:node n :kind])) (update-in p [:node n] (fn [old] (assoc (select-keys old [:key :id]) :kind :group)))
                 :else    (let [p (unwrapped p n)]
                            (-> p
                                (update-in [:node n] (fn [old] (merge (select-keys old [:key :id]) {:kind :synth, :def "tick", :controls {}})))
                                (update :children dissoc n))))
      :set     (if synth (update-in p [:node synth :controls] (fn [c] (if (= :synth (:kind node)) (merge c (:controls node)) {}))) p)
      :pause   (if n (update-in p [:node n] (fn [x] (if (:paused x) (dissoc x :paused) (assoc x :paused true)))) p)
      :parallel (if group (update-in p [:node group] (fn [x] (if (:parallel x) (dissoc x :parallel) (assoc x :parallel true)))) p)
      :unkey   (if n (update-in p [:node n] dissoc :key :once) p)
      :rekey   (if n (-> p (update :next inc) (update-in [:node n] (fn [x] (if-let [k (:key fresh)] (assoc x :key k) x)))) p)
      :keep-id (if n (assoc-in p [:node n :pasted] true) p))))

(defn- a-change [{:keys [parallel paused] :or {parallel true, paused true} :as opts}]
  (gen/tuple (gen/elements (cond-> [:add :remove :move :move :reorder :shuffle :wrap :unwrap :flip :def :kind :set :unkey :rekey :keep-id]
                             parallel (conj :parallel)
                             paused   (conj :pause)))
             gen/nat gen/nat gen/nat (a-node opts)))

(defn- only-pasted-ids [tree]
  (nesting/tree (mapv (fn [[{:keys [pasted] :as node} parent]] [(cond-> (dissoc node :pasted) (not pasted) (dissoc :id)) parent])
                      (nesting/rows tree))))

(defn mutated
  "What a tree with ids becomes by changes, as it is wanted: only few nodes tell their id."
  [tree changes]
  (only-pasted-ids (plane-tree (reduce changed (plane tree) changes))))

(defn pair
  "A generator of `[a b]`: `a` a tree with ids, as a server has it, `b` one that is wanted,
  mostly `a` with some changes, now and then quite another one with the same keys."
  ([] (pair {}))
  ([{:keys [changes] :or {changes 12} :as opts}]
   (gen/let [a       (gen/fmap with-ids (tree opts))
             changes (gen/vector (a-change opts) 0 changes)
             other   (gen/frequency [[8 (gen/return nil)] [1 (tree opts)]])]
     [a (or other (mutated a changes))])))

;; ---- forms

(defn- composed [children [way & ways]]
  (case (int (or way 0))
    0 (seq children)
    1 (list (list* nil children))
    2 (list (into [:<>] children))
    3 (list (vec (cons nil children)))
    4 (list (map identity children) nil)))

(defn as-form
  "A form of the nodes in a group: some as vectors, some as maps, some in sequences and
  fragments, as `ways`, naturals, choose."
  [tree ways]
  (let [rows (nesting/rows tree)
        ways (vec (or (seq ways) [0]))]
    (loop [i (dec (count rows)), children {}]
      (let [[node parent] (nth rows i)
            inside (composed (children i) [(mod (long (nth ways (mod i (count ways)))) 5)])
            form   (if (and (pos? i) (zero? (mod (+ i (long (first ways))) 3)))
                     (cond-> node (= :group (:kind node)) (assoc :children inside))
                     (let [w (form/written node)] (into w (when (= :group (:kind node)) inside))))]
        (if (zero? i)
          inside
          (recur (dec i) (update children parent (fn [forms] (cons form forms)))))))))

(ns espalier.model.diff
  "What turns one node tree into another: edits, as few as there can be.

  Both trees are groups, whose own place is not looked at: what is below the one is
  to become what is below the other. A node of the first that is also of the second
  stays the same node, and its sound goes on: nodes of one kind are the same by their
  `:key`; by their `:id`, where the second has one and the keys say nothing else; and, of
  those that have no key and that no id finds, by their group, kind, SynthDef and order.

  Edits name a node by its key, or by its id where it has none. One that is not made
  yet and has no key is named by a negative number. They are to be done in their
  order:

      {:edit :name, :node 1000, :key :lead}
      {:edit :free, :node :old}
      {:edit :add, :node :bass, :kind :synth, :def \"bass\", :controls {\"freq\" 55.0}, :to [:tail :voices]}
      {:edit :move, :node :lead, :to [:after :bass]}
      {:edit :move, :node :lead, :to [:after :bass], :from :voices, :into :mix}
      {:edit :replace, :node :pad, :def \"pad-2\", :controls {}}
      {:edit :set, :node :bass, :controls {\"freq\" 60.0}}
      {:edit :run, :node :bass, :running? false}

  `:name` gives a key to a node that is known by its id, or by an earlier key; the edits
  behind it use that. A place is `[:tail group]`, `[:before node]` or `[:after node]`. A move tells `:from`
  and `:into` where it is from one group into another. Nothing here recurses: trees
  may be of any depth."
  (:require
   [espalier.model.nesting :as nesting])
  (:import
   (java.util ArrayDeque ArrayList HashMap Iterator)
   (java.util.function Function)))

(set! *warn-on-reflection* true)

;; ---- a tree in arrays: of each row its node, parent, first child and next sibling, -1 for none

(deftype ^:private Plane [^long n ^objects nodes ^ints parent ^ints head ^ints next])

(defn- linked
  "The plane of nodes with the places of their parents."
  ^Plane [^ArrayList nodes ^ArrayList parents]
  (let [n      (.size nodes)
        parent (int-array n)
        head   (int-array n -1)
        next   (int-array n -1)]
    ;; From the last, so that each becomes the head of its siblings behind it.
    (loop [i (dec n)]
      (when (<= 0 i)
        (let [p (int (.get parents i))]
          (aset parent i p)
          (when (<= 0 p)
            (aset next i (aget head p))
            (aset head p i))
          (recur (dec i)))))
    (Plane. n (.toArray nodes) parent head next)))

(defn- plane
  "The plane of a tree, or of its rows."
  ^Plane [tree]
  (let [nodes   (ArrayList.)
        parents (ArrayList.)]
    (if (vector? tree)
      (run! (fn [[node parent]] (.add nodes node) (.add parents parent)) tree)
      ;; Parents before their children, and these in order: a walk with an iterator for each level.
      (loop [stack (list [(.iterator ^Iterable (list tree)) -1])]
        (when-let [[^Iterator siblings parent] (peek stack)]
          (if (.hasNext siblings)
            (let [node (.next siblings), children (get node :children), place (.size nodes)]
              (.add nodes node)
              (.add parents parent)
              (recur (if (and children (pos? (count children))) (conj stack [(.iterator ^Iterable children) place]) stack)))
            (recur (pop stack))))))
    (linked nodes parents)))

(defn- node-at [^Plane p ^long i] (aget ^objects (.-nodes p) i))
(defn- parent-at ^long [^Plane p ^long i] (aget ^ints (.-parent p) i))

(defn- first-child ^long [^Plane p ^long i] (aget ^ints (.-head p) i))
(defn- next-sibling ^long [^Plane p ^long i] (aget ^ints (.-next p) i))

(defmacro ^:private each-child
  "Evaluates the body for each child `c`, a long, of row `i`."
  [[c plane i] & body]
  `(loop [~c (first-child ~plane ~i)]
     (when (<= 0 ~c)
       ~@body
       (recur (next-sibling ~plane ~c)))))

;; ---- which node is which

(defn- same-kind? [a b]
  (and (= (:kind a) (:kind b))
       (= (boolean (:parallel a)) (boolean (:parallel b)))))

(defn- replaced?
  "Whether a synth that is the same by name is another by its SynthDef."
  [b a]
  (and (= :synth (:kind a))
       (or (not= (:def a) (:def b))
           (let [da (:synthdef a), db (:synthdef b)]
             (and da db (not (identical? da db)) (not= da db))))))

(defn- index-by ^HashMap [k ^Plane p]
  (let [m (HashMap.)]
    (dotimes [i (.-n p)]
      (when-some [x (get (node-at p i) k)] (.put m x i)))
    m))

(defn- match-named!
  "Matches what has a key or an id. `match` is from rows of the second tree to rows of
  the first, `taken` the other way round; -1 is none."
  [^Plane before ^Plane after ^HashMap keys-after ^ints match ^ints taken]
  (let [keys-before (index-by :key before)
        ids-before  (if (some :id (.-nodes after)) (index-by :id before) (HashMap.))
        try-match!  (fn [i j]
                      (when (and j (= -1 (aget taken (int j))) (= -1 (aget match (int i)))
                                 (pos? (long j))
                                 (same-kind? (node-at after i) (node-at before j)))
                        (aset match (int i) (int j))
                        (aset taken (int j) (int i))))]
    (loop [i 1]
      (when (< i (.-n after))
        (when-some [k (:key (node-at after i))] (try-match! i (.get keys-before k)))
        (recur (inc i))))
    (loop [i 1]
      (when (< i (.-n after))
        (when-some [id (:id (node-at after i))]
          (when-some [j (.get ^HashMap ids-before id)]
            (let [b (node-at before (long j)), a (node-at after i)]
              ;; One that replaces another gets a new id: it is another node.
              (when-not (or (.containsKey keys-after (:key b)) (replaced? b a))
                (try-match! i j)))))
        (recur (inc i))))))

(def ^:private ^Function new-queue (reify Function (apply [_ _] (ArrayDeque.))))

(defn- match-by-order!
  "Matches what has neither key nor id with what is nobody's yet, group by group."
  [^Plane before ^Plane after ^ints match ^ints taken unknown?]
  (loop [g 0]
    (when (< g (.-n after))
      (let [j (aget match g)]
        (when (and (<= 0 j) (= :group (:kind (node-at after g))) (<= 0 (first-child after g)))
          (let [free  (HashMap.)
                sign  (fn [node] [(:kind node) (:def node) (boolean (:parallel node))])
                offer (fn [c]
                        (let [node (node-at before c)]
                          (when (and (= -1 (aget taken (int c))) (nil? (:key node)) (not (unknown? node)))
                            (.addLast ^ArrayDeque (.computeIfAbsent free (sign node) new-queue) c))))]
            ;; A parallel group has no order that lasts; the ids tell in which its nodes were made.
            (if (:parallel (node-at before j))
              (let [children (ArrayList.)]
                (each-child [c before j] (.add children c))
                (run! offer (sort-by (fn [c] (or (:id (node-at before c)) c)) children)))
              (each-child [c before j] (offer c)))
            (when-not (.isEmpty free)
              (each-child [c after g]
                (let [node (node-at after c)]
                  (when (and (= -1 (aget match c)) (nil? (:key node)))
                    (when-some [b (some-> ^ArrayDeque (.get free (sign node)) .pollFirst)]
                      (aset match c (int b))
                      (aset taken (int b) (int c))))))))))
      (recur (inc g)))))

;; ---- which may stay where they are

(defn- longest-rising!
  "Marks in `kept` those of the `n` rows `of` whose `places` are a longest rising
  sequence."
  [^ints of ^ints places n ^booleans kept]
  (let [n    (long n)
        ends (int-array n)                                 ; by length - 1, the one that ends lowest
        back (int-array n -1)
        size (long
               (loop [i 0, size 0]
                 (if (= i n)
                   size
                   (let [x (aget places i)
                         k (long (loop [low 0, high size]
                                   (if (< low high)
                                     (let [mid (quot (+ low high) 2)]
                                       (if (< (aget places (aget ends mid)) x) (recur (inc mid) high) (recur low mid)))
                                     low)))]
                     (aset ends k i)
                     (when (pos? k) (aset back i (aget ends (dec k))))
                     (recur (inc i) (max size (inc k)))))))]
    (when (pos? size)
      (loop [i (long (aget ends (dec size)))]
        (when (<= 0 i)
          (aset kept (aget of i) true)
          (recur (long (aget back i))))))))

(defn- keep-places!
  "Marks which nodes of the second tree stay where they are in the first: as many as
  can, then what is replaced, as far as it fits between these."
  [^Plane before ^Plane after ^ints match ^booleans kept]
  (let [^ints place (let [places (int-array (.-n before) 0)]
                      (dotimes [g (.-n before)]
                        (loop [c (first-child before g), i 0]
                          (when (<= 0 c)
                            (aset places c i)
                            (recur (next-sibling before c) (inc i)))))
                      places)
        stays? (fn [^long c g]
                 (let [b (aget match c)]
                   (and (<= 0 b) (= (parent-at before b) (long g)))))
        of     (int-array (.-n after))
        places (int-array (.-n after))]
    (dotimes [g (.-n after)]
      (let [j (aget match g)]
        (when (and (<= 0 j) (<= 0 (first-child after g)))
          (if (:parallel (node-at after g))
            (each-child [c after g]
              (when (stays? c j) (aset kept c true)))
            (let [n (loop [c (first-child after g), n 0]
                      (if (neg? c)
                        n
                        (if (and (stays? c j) (not (replaced? (node-at before (aget match c)) (node-at after c))))
                          (do (aset of n c)
                              (aset places n (aget place (aget match c)))
                              (recur (next-sibling after c) (inc n)))
                          (recur (next-sibling after c) n))))]
              (longest-rising! of places n kept)
              ;; What is replaced stays if its place is behind the last that stays, and before the next.
              (let [next-kept (fn [c] (loop [c (long c)]
                                        (cond (neg? c)         Long/MAX_VALUE
                                              (aget kept c) (long (aget place (aget match c)))
                                              :else            (recur (next-sibling after c)))))]
                (loop [c (first-child after g), last -1, until -1]
                  (when (<= 0 c)
                    (let [b     (aget match c)
                          next  (next-sibling after c)]
                      (cond
                        (aget kept c) (recur next (long (aget place b)) -1)
                        (and (stays? c j) (replaced? (node-at before b) (node-at after c)))
                        (let [until (if (neg? until) (long (next-kept c)) until)
                              p     (long (aget place b))]
                          (if (< last p until)
                            (do (aset kept c true) (recur next p until))
                            (recur next last until)))
                        :else (recur next last until)))))))))))))

;; ---- the edits

(defn- same-value?
  "Whether a control that has the value `old` need not be set to `new`. A value alone
  is the first of an array."
  [old new]
  (cond
    (= old new)                         true
    (and (vector? new) (vector? old))   (and (<= (count new) (count old)) (= new (subvec old 0 (count new))))
    (vector? old)                       (= new (first old))
    (vector? new)                       (and (= 1 (count new)) (= old (first new)))
    :else                               false))

(defn- changed-controls
  "The controls of `a` that `b` does not have so."
  [b a]
  (let [old (:controls b)]
    (reduce-kv (fn [m k v]
                 (if (same-value? (get old k ::none) v) m (assoc m k v)))
               nil (:controls a))))

(defn- doomed-rows
  "Of the first tree, which rows are freed (1), survive as they are nobody's (2), or
  are of both trees (0)."
  ^bytes [^Plane before ^ints taken unknown? {:keys [prune shared-root] :or {prune true}}]
  (let [fate (byte-array (.-n before))]
    (loop [i 1]
      (when (< i (.-n before))
        (when (= -1 (aget taken i))
          (let [p (parent-at before i)]
            (aset fate i (byte (if (and (unknown? (node-at before i))
                                        (or (not prune)
                                            (= 2 (aget fate p))
                                            (and shared-root (zero? p))))
                                 2 1)))))
        (recur (inc i))))
    fate))

(defn- salvage-rows
  "Of the first tree, which rows have below them something that is not freed."
  ^booleans [^Plane before ^bytes fate]
  (let [salvage (boolean-array (.-n before))]
    (loop [i (dec (.-n before))]
      (when (pos? i)
        (when (or (aget salvage i) (not= 1 (aget fate i)))
          (aset salvage (int (parent-at before i)) true))
        (recur (dec i))))
    salvage))

(defn diff
  "The edits that make of the tree `before` the tree `after`, both groups in canonical
  form, see `espalier.model.form`, or their rows, see `espalier.model.nesting`. A control that `after` does not mention is untouched.

  `:declared`     the ids of the nodes of `before` that had been declared, a set; all
                  others are unknown, and no node of `after` is one of them but by its
                  `:key` or `:id`. Without it none is unknown
  `:prune`        whether unknown nodes are freed (default true)
  `:shared-root`  whether those that are directly in the top group stay in any case

      (diff {:kind :group, :children [{:kind :synth, :id 1000, :key :a, :def \"bell\", :controls {}}]}
            {:kind :group, :children []})
      ;=> [{:edit :free, :node :a}]"
  ([before after] (diff before after {}))
  ([before after {:keys [declared] :as options}]
   (let [b        (plane before)
         a        (plane after)
         nb       (.-n b)
         na       (.-n a)
         unknown? (if declared (fn [node] (not (contains? declared (:id node)))) (constantly false))
         match    (int-array na -1)
         taken    (int-array nb -1)
         kept     (boolean-array na)
         keys-after (index-by :key a)
         _        (do (aset match 0 0) (aset taken 0 0)
                      (match-named! b a keys-after match taken)
                      (match-by-order! b a match taken unknown?)
                      (keep-places! b a match kept))
         fate     (doomed-rows b taken unknown? options)
         salvage  (salvage-rows b fate)
         top      (fn [node] (or (:key node) (:id node) 0))
         ;; The key, unless the second tree gives it to another node.
         ref-b    (fn [^long j]
                    (let [{:keys [key id] :as node} (node-at b j)]
                      (cond (zero? j) (top node)
                            (and (some? key) (or (not= -1 (aget taken j)) (not (.containsKey keys-after key)))) key
                            :else (or id (- (inc j))))))
         ;; Of a node of the second tree, with the key that it has got by then.
         ref-a    (fn [^long i]
                    (let [{:keys [key]} (node-at a i), j (aget match i)]
                      (cond (zero? i)   (top (node-at b 0))
                            (<= 0 j)    (ref-b j)
                            (some? key) key
                            :else       (- (+ nb i 1)))))
         ;; The same for a node of the first that is also of the second.
         ref-now  (fn [^long j] (let [i (aget taken j)] (if (neg? i) (ref-b j) (ref-a i))))
         named    (fn [out]
                    (loop [i 1, out out]
                      (if (= i na)
                        out
                        (recur (inc i)
                               (let [j (aget match i), key (:key (node-at a i))]
                                 (if (and (<= 0 j) (some? key) (not= key (:key (node-at b j))))
                                   (conj! out {:edit :name, :node (ref-b j), :key key})
                                   out))))))
         out      (named (transient []))
         free     (fn [out salvaged?]
                    (loop [j 1, out out]
                      (if (= j nb)
                        out
                        (recur (inc j)
                               (if (and (= 1 (aget fate j)) (not= 1 (aget fate (int (parent-at b j)))) (= salvaged? (aget salvage j)))
                                 (conj! out {:edit :free, :node (ref-b j)})
                                 out)))))
         out      (free out false)
         made     (fn [^long i] (let [node (node-at a i)]
                                  (if (= :group (:kind node))
                                    (select-keys node [:kind :parallel])
                                    (select-keys node [:kind :def :controls :once :synthdef]))))
         place    (fn [out ^long i to]
                    (let [j (aget match i), node (node-at a i)]
                      (if (or (neg? j) (replaced? (node-at b j) node))
                        (conj! (if (neg? j) out (conj! out {:edit :free, :node (ref-a i)}))
                               (assoc (made i) :edit :add, :node (ref-a i), :to to))
                        (let [from (parent-at b j), into-group (parent-at a i)]
                          (conj! out (cond-> {:edit :move, :node (ref-a i), :to to}
                                       (not= from (long (aget match into-group)))
                                       (assoc :from (ref-now from), :into (ref-a into-group))))))))
         settled  (fn [out ^long i]
                    (let [j (aget match i), node (node-at a i), old (when (<= 0 j) (node-at b j))
                          new? (or (nil? old) (replaced? old node))
                          set  (when-not new? (changed-controls old node))]
                      (cond-> out
                        set (conj! {:edit :set, :node (ref-a i), :controls set})
                        (if new? (:paused node) (not= (boolean (:paused old)) (boolean (:paused node))))
                        (conj! {:edit :run, :node (ref-a i), :running? (not (:paused node))}))))
         structure
         (fn [out]
           (loop [g 0, out out]
             (if (= g na)
               out
               (let [first-kept (loop [c (first-child a g)]
                                  (cond (neg? c) -1, (aget kept c) c, :else (recur (next-sibling a c))))
                     tail?      (or (neg? first-kept) (:parallel (node-at a g)))]
                 (recur (inc g)
                        (loop [c (first-child a g), previous -1, out out]
                          (if (neg? c)
                            out
                            (recur (next-sibling a c) c
                                   (cond
                                     (not (aget kept c))
                                     (place out c (cond tail?           [:tail (ref-a g)]
                                                        (neg? previous) [:before (ref-a first-kept)]
                                                        :else           [:after (ref-a previous)]))
                                     (replaced? (node-at b (aget match c)) (node-at a c))
                                     (conj! out (assoc (dissoc (made c) :kind) :edit :replace, :node (ref-a c)))
                                     :else out)))))))))
         out      (structure out)
         out      (loop [i 1, out out]
                    (if (= i na) out (recur (inc i) (settled out i))))
         ;; What nobody declared leaves a group that is freed, to where that was.
         doomed-top (fn [^long j] (loop [j j] (let [p (parent-at b j)] (if (= 1 (aget fate p)) (recur p) j))))
         out      (loop [j 1, out out]
                    (if (= j nb)
                      out
                      (let [p (parent-at b j)]
                        (recur (inc j)
                               (if (and (= 2 (aget fate j)) (= 1 (aget fate p)))
                                 (let [t (doomed-top p), group (parent-at b t)]
                                   (conj! out {:edit :move, :node (ref-b j)
                                               :to   (if (:parallel (node-at b group)) [:tail (ref-now group)] [:before (ref-b t)])
                                               :from (ref-b p), :into (ref-now group)}))
                                 out)))))]
     (persistent! (free out true)))))

;; ---- edits done to a tree. Of each node a cell: the node, the cells of its parent, of the siblings before it and behind
;; ---- it, and of its first and last child.

(def ^:private the-node 0)
(def ^:private parent 1)
(def ^:private previous 2)
(def ^:private following 3)
(def ^:private head 4)
(def ^:private tail 5)

(defn- cell ^objects [node] (object-array [node nil nil nil nil nil]))

(defn- cell-of
  "The cell of a node.

  Throws `IllegalArgumentException` for one that is not there."
  ^objects [^HashMap cells node]
  (or (.get cells node) (throw (IllegalArgumentException. (str "No node " (pr-str node) " is there.")))))

(defn- part [^objects cell k] (aget cell (int k)))
(defn- part! [^objects cell k x] (aset cell (int k) x))

(defn- take-out! [cell]
  (let [before (part cell previous), behind (part cell following)]
    (if before (part! before following behind) (part! (part cell parent) head behind))
    (if behind (part! behind previous before) (part! (part cell parent) tail before))))

(defn- put-in! [cell where target]
  (let [group  (if (= :tail where) target (part target parent))
        before (case where :tail (part target tail), :before (part target previous), :after target)
        behind (case where :tail nil, :before target, :after (part target following))]
    (part! cell parent group)
    (part! cell previous before)
    (part! cell following behind)
    (if before (part! before following cell) (part! group head cell))
    (if behind (part! behind previous cell) (part! group tail cell))))

(defn- cells-of
  "The cells of a tree by the names that edits have for its nodes, and that of its top."
  [tree]
  (let [rows  (nesting/rows tree)
        cells (HashMap.)
        made  (mapv (fn [[node]] (cell node)) rows)]
    (dotimes [j (count rows)]
      (let [[{:keys [key id]} group] (nth rows j), c (nth made j)]
        (.put cells (or id (if (zero? j) 0 (- (inc j)))) c)
        (when (some? key) (.put cells key c))
        (when-not (neg? (long group)) (put-in! c :tail (nth made group)))))
    [cells (nth made 0)]))

(defn- tree-of [top]
  (loop [todo (list [top -1]), rows (transient [])]
    (if-let [[cell group] (peek todo)]
      (let [place (count rows)]
        (recur (loop [todo (pop todo), child (part cell tail)]
                 (if child
                   (recur (conj todo [child place]) (part child previous))
                   todo))
               (conj! rows [(part cell the-node) group])))
      (nesting/tree (persistent! rows)))))

(defn- with-controls
  "The controls `old` with others set. What is set of an array is its beginning."
  [old controls]
  (reduce-kv (fn [m k v]
               (let [was (get m k)]
                 (assoc m k (if (vector? was)
                              (let [n (if (vector? v) (count v) 1)]
                                (if (< n (count was)) (into (if (vector? v) v [v]) (subvec was n)) v))
                              v))))
             (or old {}) controls))

(defn- named-node
  "The node that an edit adds."
  [{:keys [node] :as edit}]
  (cond-> (dissoc edit :edit :to :node)
    (not (int? node)) (assoc :key node)))

(defn apply-edits
  "The tree with the edits of `diff` done to it. Nodes that are added have the `:id` that
  their edit has, or none.

  `:lenient`  whether an edit is passed over that names a node which is not there, and
              a node is moved where it is added again (default false)

  Throws `IllegalArgumentException` where an edit names a node that is not there.

      (apply-edits {:kind :group, :children [{:kind :group, :key :a, :children []}]}
                   [{:edit :free, :node :a}])
      ;=> {:kind :group, :children []}"
  ([tree edits] (apply-edits tree edits {}))
  ([tree edits {:keys [lenient]}]
   (let [[^HashMap cells top] (cells-of tree)
         change! (fn [node f] (let [c (cell-of cells node)] (part! c the-node (f (part c the-node)))))
         place!  (fn [c [where target]] (put-in! c where (cell-of cells target)))
         there?  (fn [{:keys [edit node to]}]
                   (and (or (= :add edit) (.containsKey cells node))
                        (or (nil? to) (.containsKey cells (second to)))))]
     (doseq [{:keys [edit node to id] :as e} edits
             :when (or (not lenient) (there? e))]
       (case edit
         :free    (do (take-out! (cell-of cells node))
                      (when lenient (.remove cells node)))
         :add     (let [there (when lenient (.get cells (or id node)))
                        c     (or there (cell (named-node e)))]
                    (when there (take-out! there))
                    (place! c to)
                    (.put cells node c)
                    (when id (.put cells id c)))
         :move    (let [c (cell-of cells node)]
                    (take-out! c)
                    (place! c to))
         :replace (do (change! node (fn [old] (merge (select-keys old [:kind :key]) (dissoc (named-node e) :key))))
                      (when id (.put cells id (cell-of cells node))))
         :name    (let [c (cell-of cells node)]
                    (part! c the-node (assoc (part c the-node) :key (:key e)))
                    (.put cells (:key e) c))
         :set     (change! node (fn [old] (update old :controls with-controls (:controls e))))
         :run     (change! node (fn [old] (if (:running? e) (dissoc old :paused) (assoc old :paused true))))))
     (tree-of top))))

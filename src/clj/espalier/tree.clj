(ns espalier.tree
  "Node trees as values: what `espalier.core/reconcile!` takes, what `query-tree`
  returns, and what is between two of them.

      (require '[espalier.tree :as tree])

      (tree/diff [:group {:key :mix} [:synth {:key :a, :def :bell}]]
                 [:group {:key :mix} [:synth {:key :a, :def :bell} {:freq 330}]])
      ;=> [{:edit :set, :node :a, :controls {\"freq\" 330.0}}]

  `espalier.model.form` tells how trees are written, `espalier.model.diff` what edits
  are. Nothing here knows a server."
  (:require
   [espalier.model.diff :as diff]
   [espalier.model.error :as error]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.model.plan :as plan]
   [espalier.model.tree :as tree]))

(set! *warn-on-reflection* true)

(defn nodes
  "The nodes that a form stands for, a vector of maps.

  `names`  what keywords among the values of controls mean: a map to buses, buffers or numbers

  Throws `:espalier.error/invalid-tree`, `:espalier.error/duplicate-key`,
  `:espalier.error/unknown-name`, with the `:path` to what is wrong in the form.

      (tree/nodes [:synth {:key :bass, :def :bass} {:freq 55}])
      ;=> [{:kind :synth, :key :bass, :def \"bass\", :controls {\"freq\" 55.0}}]"
  ([form] (nodes form {}))
  ([form names] (form/nodes form names)))

(defn form
  "A node, as `nodes` or `espalier.core/query-tree` returns it, as one writes it.

      (tree/form {:kind :synth, :key :bass, :def \"bass\", :controls {\"freq\" 55.0}})
      ;=> [:synth {:key :bass, :def :bass} {:freq 55.0}]"
  [node]
  (form/written (first (form/nodes node))))

(defn- top
  "The nodes of a form as what is in one group, which has a name of its own."
  [form]
  {:kind :group, :id -1, :children (form/nodes form)})

(defn diff
  "The edits that make of the tree `a` the tree `b`, in their order: see
  `espalier.model.diff`. Each is a form, or a node as a query returns it; two snapshots,
  two servers, what is wanted and what is there. What is around each is named -1 in edits.

  `:prune`     whether nodes of `a` that were not declared are freed (default true)
  `:declared`  the ids of those that were, a set; without it all were

  Throws what `nodes` throws.

      (tree/diff [:synth {:key :a, :def :bell}] nil)  ;=> [{:edit :free, :node :a}]"
  ([a b] (diff a b {}))
  ([a b opts]
   ;; The kind of an edit first, for that is how one reads it.
   (mapv (fn [{:keys [edit node] :as e}] (into {:edit edit, :node node} e))
         (diff/diff (top a) (top b) opts))))

(def ^:private kinds-of-edits [:name :free :add :move :replace :set :run])

(defn- no-node [node e]
  (error/error :no-such-node
               (str "No node " (pr-str node) " is there for the edit " (pr-str e)
                    ". Edits name nodes by key, or by id where they have none; (tree/diff a b) makes those that fit the tree a.")
               {:node node, :edit e}))

(defn- check-edit
  "Throws where an edit is none."
  [{:keys [edit to] :as e}]
  (when-not (some #{edit} kinds-of-edits)
    (throw (error/error :invalid-edit
                        (str (pr-str edit) " is no kind of edit." (if (keyword? edit) (error/hint edit kinds-of-edits) "") " There are "
                             (apply str (interpose ", " kinds-of-edits)) ". Seen: " (pr-str e) ".")
                        {:edit e})))
  (when (and (contains? #{:add :move} edit)
             (not (and (vector? to) (= 2 (count to)) (contains? #{:tail :before :after} (first to)))))
    (throw (error/error :invalid-edit (str "Where a node is put is [:tail group], [:before node] or [:after node], not " (pr-str to) ". Seen: " (pr-str e) ".")
                        {:edit e}))))

(defn- edits-in
  "A sequence of edits, each of which is one."
  [edits]
  (when-not (and (or (nil? edits) (sequential? edits)) (every? map? edits))
    (throw (error/error :invalid-edit (str "Edits are a sequence of maps, as (tree/diff a b) makes them, not " (binding [*print-length* 8] (pr-str edits)) ".") {:value edits})))
  (run! check-edit edits)
  edits)

(defn- check-edits
  "Throws where an edit is none, or names a node that is not there."
  [tree edits]
  (reduce (fn [names {:keys [edit node key id to] :as e}]
            (when-not (or (= :add edit) (contains? names node))
              (throw (no-node node e)))
            (when (contains? #{:add :move} edit)
              (when-not (contains? names (second to))
                (throw (no-node (second to) e))))
            (case edit
              :add  (cond-> (conj names node) id (conj id))
              :name (conj names key)
              names))
          (into #{}
                (comp (map-indexed (fn [i [{:keys [id key]}]] [(or id (- (inc (long i)))) key])) cat (remove nil?))
                (nesting/rows tree))
          (edits-in edits)))

(defn apply-edits
  "What the edits of `diff` make of a tree: a node, or where there is not one alone, a
  group of them.

  Throws `:espalier.error/no-such-node` for an edit of a node that is not there,
  `:espalier.error/invalid-edit` for what is none, and what `nodes` throws.

      (tree/apply-edits {:kind :group, :children [{:kind :synth, :key :a, :def \"bell\", :controls {}}]}
                        [{:edit :free, :node :a}])
      ;=> {:kind :group, :children []}"
  [tree edits]
  (let [before (top tree)
        _      (check-edits before edits)
        {:keys [children] :as all} (diff/apply-edits before edits)]
    (if (= 1 (count children))
      (first children)
      (dissoc all :id))))

(defn- told?
  "Whether a tree is one as a query returns it, which may lack what a form must have."
  [tree]
  (loop [todo (list tree)]
    (if (seq todo)
      (let [node (peek todo)
            {:keys [kind def children]} (when (map? node) node)]
        (and (map? node)
             (contains? #{:group :synth} kind)
             (or (nil? def) (string? def))
             (or (nil? children) (vector? children))
             (recur (into (pop todo) children))))
      true)))

(defn text
  "A tree, a form or as a query returns it, as lines of text: see
  `espalier.model.tree/text`.

  Throws what `nodes` throws.

      (println (tree/text [:group {:key :mix} [:synth {:key :bass, :def :bass} {:freq 55}]]))

      NODE TREE group :mix
          bass :bass
              freq: 55.0"
  [tree]
  (if (told? tree)
    (tree/text tree)
    (let [nodes (form/nodes tree)]
      (tree/text (if (= 1 (count nodes)) (first nodes) nodes)))))

(defn edits-text
  "Edits in words, one a line.

      (println (tree/edits-text (tree/diff a b)))

      move :lead behind :bass
      set :bass: freq 60.0"
  [edits]
  (apply str (interpose "\n" (map plan/text (edits-in edits)))))

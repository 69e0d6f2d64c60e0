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
   [espalier.model.form :as form]
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
   (diff/diff (top a) (top b) opts)))

(defn apply-edits
  "What the edits of `diff` make of a tree: a node, or where there is not one alone, a
  group of them.

  Throws `IllegalArgumentException` for an edit of a node that is not there.

      (tree/apply-edits {:kind :group, :children [{:kind :synth, :key :a, :def \"bell\", :controls {}}]}
                        [{:edit :free, :node :a}])
      ;=> {:kind :group, :children []}"
  [tree edits]
  (let [{:keys [children] :as all} (diff/apply-edits (top tree) edits)]
    (if (= 1 (count children))
      (first children)
      (dissoc all :id))))

(defn text
  "A tree as lines of text: see `espalier.model.tree/text`."
  [tree]
  (tree/text tree))

(defn edits-text
  "Edits in words, one a line.

      (println (tree/edits-text (tree/diff a b)))

      move :lead behind :bass
      set :bass: freq 60.0"
  [edits]
  (apply str (interpose "\n" (map plan/text edits))))

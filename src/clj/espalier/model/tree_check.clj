(ns espalier.model.tree-check
  "Whether a node tree is as somebody expects it, who says no more of it than matters."
  (:require
   [clojure.string :as str]
   [espalier.model.diff :as diff]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.model.plan :as plan]
   [espalier.model.tree :as tree]))

(set! *warn-on-reflection* true)

(defn- top [nodes] {:kind :group, :id -1, :children (vec nodes)})

(defn- without-keys
  "Rows of nodes without the keys but these: who does not mention a key does not mind it."
  [rows kept]
  (mapv (fn [[node parent]] [(cond-> node (not (contains? kept (:key node))) (dissoc :key)) parent]) rows))

(defn check
  "How the nodes that are there differ from what a form says:

      {:edits [edit …], :wanted [node …], :there [node …]}

  `:edits` would make of them what the form says, and are empty where they are so already. What the
  form does not mention does not count: ids, keys and controls of its nodes.

  `there`  a sequence of nodes, as a query returns them
  `form`   as `espalier.model.form` tells
  `names`  what keywords among the values of controls stand for

  Throws what `espalier.model.form/nodes` throws."
  [there form names]
  (let [wanted (form/nodes form names)
        rows   (nesting/rows (top wanted))]
    {:edits  (diff/diff (without-keys (nesting/rows (top there)) (into #{} (keep (comp :key first)) rows)) rows {})
     :wanted wanted
     :there  (vec there)}))

(defn- indented [text]
  (str/join "\n" (map #(str "    " %) (str/split-lines text))))

(defn- shown [nodes]
  (indented (case (count nodes)
              0 "nothing"
              1 (tree/text (first nodes))
              (tree/text (vec nodes)))))

(defn text
  "What `check` has found, as lines: the edits in words, what was expected, what is there.

      (println (text (check [{:kind :synth, :id 1000, :def \"bell\", :controls {\"freq\" 440.0}}]
                            [:synth {:def :bell} {:freq 330}]
                            {})))

      The tree is not as expected. What would make it so:
          set 1000: freq 330.0
      expected:
          …"
  [{:keys [edits wanted there]}]
  (if (empty? edits)
    "The tree is as expected."
    (str "The tree is not as expected. What would make it so:\n"
         (indented (str/join "\n" (map plan/text edits)))
         "\nexpected:\n" (shown wanted)
         "\nthere:\n" (shown there))))

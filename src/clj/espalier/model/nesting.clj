(ns espalier.model.nesting
  "Nested node trees as lists of their nodes, and back, for trees that are deeper than
  the stack.

  A list is a vector of rows `[node parent]`, parents before their children and these
  in order: `node` is a node without its `:children`, `parent` the place of its parent's
  row, -1 for the first.")

(set! *warn-on-reflection* true)

(defn rows
  "The nodes of a tree as rows.

      (rows {:kind :group, :children [{:kind :synth, :def \"bell\"}]})
      ;=> [[{:kind :group} -1] [{:kind :synth, :def \"bell\"} 0]]"
  [tree]
  (loop [todo (list [tree -1]), found (transient [])]
    (if-let [[node parent] (peek todo)]
      (let [place (count found)]
        (recur (into (pop todo) (map (fn [child] [child place])) (rseq (vec (:children node))))
               (conj! found [(dissoc node :children) parent])))
      (persistent! found))))

(defn tree
  "The tree that rows tell. Every group has `:children`, a vector.

      (tree [[{:kind :group} -1] [{:kind :synth, :def \"bell\"} 0]])
      ;=> {:kind :group, :children [{:kind :synth, :def \"bell\"}]}"
  [rows]
  (let [n        (count rows)
        children (object-array n)]                        ; lists, the first child first, for rows come from the last
    (loop [i (dec n)]
      (let [[node parent] (nth rows i)
            built (if (= :group (:kind node))
                    (assoc node :children (vec (aget children i)))
                    node)]
        (if (zero? i)
          built
          (do (aset children parent (cons built (aget children parent)))
              (recur (dec i))))))))

(ns espalier.model.dot
  "Node trees and graphs of UGens as text for Graphviz, which lays them out: `dot -Tsvg`."
  (:require
   [clojure.string :as str]
   [espalier.model.drawing :as drawing]
   [espalier.model.outline :as outline]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(defn- quoted
  "A text as a label that says just that: Graphviz has escapes and entities of its own."
  [text]
  (str "\"" (drawing/printable (str/escape (str text) {\" "\\\"", \\ "\\\\", \& "&amp;", \newline "\\n"})) "\""))

(defn- field
  "A text within the label of a record, and within quotes."
  [text]
  (str/escape (drawing/printable text) {\" "\\\"", \\ "\\\\", \& "&amp;", \{ "\\{", \} "\\}", \| "\\|", \< "\\<", \> "\\>", \space "\\ "}))

(defn- colour [k] (first (drawing/colours k)))

(defn- attributes [m]
  (str "[" (str/join ", " (for [[k v] m, :when (some? v)] (str (name k) "=" (if (number? v) v (quoted v))))) "]"))

(defn- digraph [title lines]
  (str "digraph " (quoted title) " {\n"
       "  graph [rankdir=LR, ordering=out, fontname=Helvetica]\n"
       "  node [shape=box, fontname=Helvetica, fontsize=11, style=\"rounded,filled\", fillcolor=\"" (colour :card) "\", color=\"" (colour :line) "\"]\n"
       "  edge [arrowsize=0.5, color=\"" (colour :faint) "\"]\n"
       (str/join (map #(str "  " % "\n") lines))
       "}\n"))

;; ---- trees

(defn- node-label [{:keys [kind id def paused parallel controls marks], k :key} {show-ids :ids, show-controls :controls}]
  (str/join "\n"
            (cond-> [(str/join " " (remove nil? [(if (= :synth kind) (if (some? def) (outline/value-text def) "?") "group")
                                                 (when (some? k) (pr-str k))
                                                 (when (and show-ids (int? id) (<= 0 (long id))) id)]))]
              (or paused parallel (:words marks))
              (conj (str/join " " (remove nil? (concat [(when parallel "(parallel)") (when paused "(paused)")] (map second (:words marks))))))

              (and show-controls (seq controls))
              (into (map (fn [[k v]] (str (if (keyword? k) (name k) k) " " (outline/value-text v)))) controls))))

(defn- node-attributes [{:keys [kind parallel paused marks words] :as node} options]
  (attributes
    (if (= :omission kind)
      [[:label words] [:shape "plaintext"] [:fillcolor "transparent"]]
      [[:label (node-label node options)]
       [:fillcolor (colour (if (= :group kind) :group-2 :card))]
       [:style (when parallel "rounded,filled,dashed")]
       [:fontcolor (when paused (colour :faint))]
       [:color (colour (cond (:mark marks) (:mark marks), (= :synth kind) :synth, :else :line))]
       [:penwidth (when (:mark marks) 2)]])))

(defn- tree-lines
  "The lines of a tree whose nodes are named with `prefix`."
  [tree prefix options]
  (let [bare? (= -1 (:id tree))]
    (mapcat (fn [i [node p]]
              (when-not (and bare? (zero? (long i)))
                (cond-> [(str prefix i " " (node-attributes node options))]
                  (not (or (neg? (long p)) (and bare? (zero? (long p))))) (conj (str prefix p " -> " prefix i)))))
            (range)
            (outline/rows tree options))))

(defn tree
  "A node tree, as `espalier.core/query-tree` returns it, as a graph. A group with the id -1 is
  not shown, only what it holds. Options as of `espalier.model.tree-picture/picture`.

      (tree {:kind :synth, :def \"bell\"} {})"
  [root options]
  (digraph "node tree" (tree-lines root "n" (merge outline/defaults options))))

(defn- cluster [title lines]
  (concat [(str "subgraph " (quoted (str "cluster " title)) " {") (str "  label=" (quoted title) "; color=\"" (colour :line) "\"")]
          (map #(str "  " %) lines)
          ["}"]))

(defn change
  "Two trees with marks, see `espalier.model.marks`, as two clusters of one graph."
  [before after options]
  (let [options (merge outline/defaults options)]
    (digraph "change of a node tree"
             (concat (cluster "before" (tree-lines before "b" options))
                     (cluster "after" (tree-lines after "a" options))))))

;; ---- UGens

(defn- ports [prefix texts]
  (when (seq texts)
    (str "{" (str/join "|" (map-indexed (fn [i text] (str "<" prefix i "> " (field text))) texts)) "}")))

(defn- ugen-line [i {:keys [kind title rate rows value note outputs]}]
  (let [middle (field (str/join " " (remove nil? (if (= :control kind) [title value note] [title (ugen/suffix rate)]))))
        middle (if (= 1 (count outputs)) (str "<o0> " middle) middle)
        fields (remove nil? [(ports "i" (map (fn [{:keys [value], row-name :name}] (if value (str row-name " " value) row-name)) rows))
                             middle
                             (when (< 1 (count outputs)) (ports "o" outputs))])]
    (str "n" i " [shape=" (if (= :control kind) "Mrecord" "record") ", color=\"" (colour rate)
         "\", fillcolor=\"" (colour (if (= :control kind) :pill :card)) "\", style=filled, label=\"{" (str/join "|" fields) "}\"]")))

(defn graph
  "A graph of UGens, see `espalier.model.ugen-graph`, as one of Graphviz.

      (graph (espalier.model.ugen-graph/graph d))"
  [{:keys [nodes wires], synthdef-name :name}]
  (digraph synthdef-name
           (concat (map-indexed ugen-line nodes)
                   (map (fn [{[a output] :from, [b row] :to, rate :rate}]
                          (str "n" a ":o" output ":e -> n" b ":i" row ":w [color=\"" (colour rate) "\"]"))
                        wires))))

(ns espalier.bench.tree
  "What it costs to find what has changed between two trees, warm: edits and their requests
  for ten changes among 1,000 to 100,000 nodes in small and in large groups, and the
  reading of forms. All without a server."
  (:require
   [clojure.string :as str]
   [espalier.bench.measure :as measure]
   [espalier.model.diff :as diff]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.model.plan :as plan])
  (:import
   (java.util Locale)))

(set! *warn-on-reflection* true)

(defn- declared
  "A form of `n` nodes: groups of `per` nodes, themselves among them, each synth with three
  controls."
  [n per]
  (for [g (range (quot (long n) (long per)))]
    (into [:group {:key [:group g]}]
          (for [i (range (dec (long per)))]
            [:synth {:key [:synth g i], :def :bell} {:freq (+ 110 (long i)), :amp 0.1, :pan (/ (long i) 1000.0)}]))))

(defn- with-ids [nodes]
  (nesting/tree (into [] (map-indexed (fn [i [node parent]] [(assoc node :id (+ 999 (long i))) parent]))
                      (nesting/rows {:kind :group, :children nodes}))))

(defn- ten-changes
  "The form with ten changes spread over its groups, of each kind some."
  [form]
  (let [groups (vec form), n (count groups)
        at     (fn [i] (quot (* (long i) n) 10))
        ;; A group is [:group attributes & children].
        change {0 (fn [g] (assoc-in g [2 2 :freq] 1.0))
                1 (fn [g] (into [:group (second g) (peek g)] (pop (subvec g 2))))
                2 (fn [g] (assoc-in g [2 1 :def] :pad))
                3 (fn [g] (conj g [:synth {:key [:new (:key (second g))], :def :bell} {:freq 5}]))
                4 pop}]
    (reduce (fn [groups i] (update groups (at i) (change (mod (long i) 5)))) groups (range 10))))

(defn- ms [times] (/ (measure/median times) 1e6))

(defn- measured
  "Medians in milliseconds: of the edits with their requests, and of the forms."
  [n per rounds]
  (let [form   (doall (declared n per))
        before (with-ids (form/nodes form))
        wanted (ten-changes form)
        after  {:kind :group, :children (form/nodes wanted)}
        ids    (into {} (map (fn [[{:keys [key id]}]] [key id])) (rest (nesting/rows before)))
        plan   #(let [edits (diff/diff before after)] (plan/plan edits ids (range 1000000 1000100) :scsynth))
        read   #(form/nodes wanted)
        timed  (fn [f] (dotimes [_ rounds] (f)) (ms (vec (repeatedly rounds #(measure/elapsed-ns (f))))))]
    {:n n, :per per, :edit-count (count (diff/diff before after)), :plan (timed plan), :read (timed read)}))

(defn- line [{:keys [n per edit-count plan read]}]
  (String/format Locale/ROOT "tree of %,d in groups of %d, %d edits: diff and plan %.2f ms, %.0f ns a node; form %.2f ms, %.0f ns a node"
                 (object-array [n per edit-count (double plan) (/ (* 1e6 (double plan)) (double n)) (double read) (/ (* 1e6 (double read)) (double n))])))

(defn- row [figure ms at-most]
  {:figure figure, :unit "ms", :ours ms, :ours-at-most at-most})

(defn run
  "The rows of this section."
  []
  (let [found (into {} (for [[n rounds] [[1000 300] [3000 100] [10000 60] [30000 25] [100000 15]], per [10 100]]
                         [[n per] (measured n per rounds)]))
        at    (fn [n per k] (k (found [n per])))]
    [(row "diff and plan, 10 of 1,000, groups of 10" (at 1000 10 :plan) 2.0)
     (row "diff and plan, 10 of 1,000, groups of 100" (at 1000 100 :plan) 2.0)
     (row "diff and plan, 10 of 10,000, groups of 10" (at 10000 10 :plan) 25.0)
     (row "diff and plan, 10 of 10,000, groups of 100" (at 10000 100 :plan) 25.0)
     (row "form of 1,000 nodes" (at 1000 10 :read) 2.0)
     (assoc (row "form of 10,000 nodes" (at 10000 10 :read) 15.0)
            :remark (str/join "\n" (map line (sort-by (juxt :per :n) (vals found)))))]))

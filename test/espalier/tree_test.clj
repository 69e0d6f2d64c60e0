(ns espalier.tree-test
  "Trees as values: what the docstrings show, and any two trees."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.properties :as prop]
   [espalier.model.diff]
   [espalier.model.error :as error]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.model.plan]
   [espalier.tree :as tree]
   [espalier.trees :as trees]))

(set! *warn-on-reflection* true)

(defn- examples
  "The forms of a docstring with what it says they return."
  [doc]
  (for [[_ example] (re-seq #"(?s)\n\n?((?:      .*\n?)+)" (str "\n" doc "\n"))
        :let [[code result] (str/split example #";=>")]
        :when (and result (str/starts-with? (str/trim code) "("))]
    [(read-string (str/trim code)) (read-string (str/replace result #"(?m)^\s*;" ""))]))

(deftest docstrings-are-true
  (doseq [n '[espalier.tree espalier.model.form espalier.model.diff espalier.model.plan espalier.model.nesting]
          [v-name v] (ns-publics n)
          [code result] (examples (:doc (meta v)))]
    (testing v-name
      (is (= result (binding [*ns* (create-ns 'espalier.tree-test)]
                      (eval (if (= 'espalier.tree n)
                              code
                              (list* (symbol (str n) (name (first code))) (rest code)))))))))
  (is (= 1 (count (examples (:doc (meta #'form/nodes)))))))

(deftest any-two-trees
  (let [mix [:group {:key :mix} [:synth {:key :a, :def :bell}]]]
    (is (= [{:edit :set, :node :a, :controls {"freq" 330.0}}]
           (tree/diff mix [:group {:key :mix} [:synth {:key :a, :def :bell} {:freq 330}]])))
    (is (= [] (tree/diff mix mix) (tree/diff nil nil)))
    (is (= [:free] (map :edit (tree/diff mix nil))))
    (testing "the group itself, too"
      (is (= [:run] (map :edit (tree/diff [:group] [:group {:paused true}]))))
      (is (= [:free :add] (map :edit (tree/diff [:group] [:group {:parallel true}])))))
    (testing "two servers: ids differ, nodes do not"
      (let [told (fn [from] {:kind :group, :id from, :children [{:kind :synth, :id (inc from), :def "bell", :controls {"freq" 1.0}}]})]
        (is (= [] (tree/diff (told 1000) (told 2000))))))
    (is (= "set :a: freq 330.0\npause :a"
           (tree/edits-text (tree/diff mix [:group {:key :mix} [:synth {:key :a, :def :bell, :paused true} {:freq 330}]]))))))

(deftest edits-that-do-not-fit
  (let [mix  [:group {:key :mix} [:synth {:key :a, :def :bell}] [:synth {:def :bell}]]
        code (fn [edits] (error/code (try (tree/apply-edits mix edits) nil (catch clojure.lang.ExceptionInfo e e))))]
    (doseq [edit [{} {:edit :fre, :node :a} {:edit 5} 5 {:edit :move, :node :a} {:edit :move, :node :a, :to [:head :mix]} {:edit :add, :node :b, :to :mix}]]
      (is (= :espalier.error/invalid-edit (code [edit])) (pr-str edit)))
    (doseq [edit [{:edit :free, :node :b} {:edit :free} {:edit :set, :node 1000, :controls {}} {:edit :move, :node :a, :to [:after :b]} {:edit :add, :node :c, :kind :group, :to [:tail :b]}]]
      (is (= :espalier.error/no-such-node (code [edit])) (pr-str edit)))
    (is (nil? (code [{:edit :name, :node :a, :key :b} {:edit :free, :node :b}
                     {:edit :add, :node :g, :kind :group, :to [:tail :mix]} {:edit :free, :node :g}])))
    (is (nil? (code [{:edit :free, :node -4}])) "what has neither key nor id, as diff names it")
    (is (= [:edit :node] (take 2 (keys (first (tree/diff nil mix))))))))

(deftest trees-as-text
  (is (= "NODE TREE organ :a" (tree/text [:synth {:def :organ, :key :a}]) (tree/text {:kind :synth, :def :organ, :key :a})))
  (is (= "NODE TREE group :mix\n    organ\n        freq: 3.0" (tree/text [:group {:key :mix} [:synth {:def :organ} {:freq 3}]])))
  (is (= "NODE TREE 2 nodes\n    organ :a\n    group :b\n        organ" (tree/text [[:synth {:def :organ, :key :a}] [:group {:key :b} [:synth {:def :organ}]]])))
  (is (= "NODE TREE 0 nodes" (tree/text nil) (tree/text [])))
  (is (= "NODE TREE 1 group\n    1000 ?" (tree/text {:kind :group, :id 1, :complete? true, :children [{:kind :synth, :id 1000}]})))
  (is (= "add organ :a at the top: freq 3.0" (tree/edits-text (tree/diff nil [:synth {:def :organ, :key :a} {:freq 3}])))))

(defspec edits-lead-from-any-tree-to-any {:num-tests 150, :seed 61, :max-size 60}
  (prop/for-all [[a b] (trees/pair)]
    (let [a     (:children a)
          b     (:children b)
          there (tree/apply-edits a (tree/diff a b))
          there (if (= 1 (count b)) [there] (:children there))]
      (and (empty? (tree/diff there b))
           (empty? (tree/diff a a))
           (= (count (nesting/rows {:kind :group, :children b})) (count (nesting/rows {:kind :group, :children there})))))))

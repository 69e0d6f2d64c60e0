(ns espalier.testing-page-test
  "The tests that doc/testing.md shows are run here as they stand."
  (:require
   [clojure.string :as str]
   [clojure.test :as t :refer [deftest is use-fixtures]]
   [espalier.markdown :as markdown]
   [espalier.servers :as servers]))

(use-fixtures :each servers/leaves-nothing)

(deftest the-page-is-a-test
  (let [code (markdown/code-blocks (slurp "doc/testing.md"))
        n    (create-ns 'espalier.testing-page-example)]
    (try
      (binding [*ns* n]
        (refer-clojure)
        (run! load-string code))
      (let [tests (sort-by (comp :line meta) (filter (comp :test meta) (vals (ns-interns n))))]
        (is (= (count (re-seq #"\(deftest " (str/join code))) (count tests)))
        (t/test-vars tests))
      (finally (remove-ns 'espalier.testing-page-example)))))

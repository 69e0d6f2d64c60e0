(ns espalier.model.operation-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is]]
   [espalier.model.operation :as operation]))

(set! *warn-on-reflection* true)

(deftest the-page-is-made-from-the-table
  (let [page (slurp "doc/nrepl.md")]
    (is (= page (operation/page page)) "doc/nrepl.md is made anew as its comment says"))
  (is (str/includes? (operation/reference) (:doc (operation/table "espalier/plan"))))
  (is (= (operation/page "what is written\n") (operation/page (operation/page "what is written\n")))))

(deftest operations-are-described-as-nrepl-wants-it
  (doseq [[op described] operation/table]
    (is (str/starts-with? op "espalier/"))
    (is (= #{:doc :requires :optional :returns} (set (keys described))))
    (is (every? (fn [[k text]] (and (string? k) (string? text)))
                (mapcat described [:requires :optional :returns])))))

(ns espalier.model.plain-test
  (:require
   [clojure.test :refer [are deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.plain :refer [plain]]))

(set! *warn-on-reflection* true)

(deftest values-become-plain
  (are [x said] (= said (plain x))
    :synth                          "synth"
    :espalier.error/no-answer       "espalier.error/no-answer"
    {:a nil, :b true, "c" false}    {"b" 1, "c" 0}
    {:key :mix, :controls {"f" 1.5}} {"key" ":mix", "controls" {"f" "1.5"}}
    {:key "mix"}                    {"key" "\"mix\""}
    [nil 1 (int 2) 3N 1/2 'x]       [[] 1 2 "3" "1/2" "x"]
    (map inc [1 2])                 [2 3]
    (byte-array 3)                  "3 bytes"
    (ex-info "No." {})              "No."))

(defn- plain? [x]
  (cond
    (map? x)        (every? (fn [[k v]] (and (string? k) (plain? v))) x)
    (sequential? x) (every? plain? x)
    :else           (or (string? x) (int? x))))

(defspec anything-becomes-plain 50
  (prop/for-all [x gen/any]
    (plain? (plain x))))

(deftest what-is-plain-stays
  (let [x {"a" ["b" 1 {"c" []}]}]
    (is (= x (plain x)))))

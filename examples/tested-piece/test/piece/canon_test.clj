(ns piece.canon-test
  "No server is needed: a rehearsal in this JVM plays one, with a clock that the tests move."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.rehearsal :as rehearsal]
   [espalier.testing :refer [*server* advance! failures is-tree sent-by]]
   [piece.canon :as canon]))

(use-fixtures :each (espalier.testing/rehearsal-fixture {:clock :virtual}))

(def ^:private drone [:synth {:key :drone, :def :pad}])

(deftest it-is-prepared
  (canon/prepare! *server*)
  (is-tree *server* [[:group {:key :voices}] drone])
  (testing "twice is once"
    (is (= [] (remove #(= "/d_recv" (first %)) (sent-by [*server*] (canon/prepare! *server*)))))))

(deftest notes-are-sent-ahead
  (canon/prepare! *server*)
  (let [start (rehearsal/now *server*)
        sent  (sent-by [*server*] (canon/play! *server* (canon/canon canon/melody 2 4) 500))]
    (is (= 12 (count sent)))
    (is (= {:at start, :beats [0 500 1000 1500 2000 3000, 2000 2500 3000 3500 4000 5000]}
           {:at (:at (first sent)), :beats (map #(.toMillis (java.time.Duration/between start (:at %))) sent)}))
    (is (every? #(= [["/s_new" "pluck"]] (map (fn [m] (subvec m 0 2)) (:packets %))) sent))))

(deftest the-voices-come-and-go
  (let [s    *server*
        note (fn [midi] [:synth {:def :pluck} {:freq (canon/hz midi)}])]
    (canon/prepare! s)
    (canon/play! s (canon/canon canon/melody 2 4) 500)
    (is-tree s [[:group {:key :voices} (note 62)] drone])
    (advance! s 2100)
    (testing "the second voice enters, an octave lower"
      (is-tree s (map note [67 50]) {:root (sc/node s :voices)}))
    (advance! s 5900)
    (is-tree s [[:group {:key :voices}] drone])
    (is (= [] (failures s)))))

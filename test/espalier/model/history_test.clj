(ns espalier.model.history-test
  (:require
   [clojure.test :refer [deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.history :as history]))

(defspec what-was-undone-can-be-redone 100
  (prop/for-all [values (gen/vector gen/small-integer 0 30)]
    (let [h     (reduce history/change (history/history ::first) values)
          steps (take-while some? (iterate history/undo h))
          back  (take-while some? (iterate history/redo (last steps)))]
      (and (= (map :now steps) (reverse (cons ::first values)))
           (= (map :now back) (cons ::first values))))))

(deftest the-past-is-bounded
  (let [h (reduce history/change (history/history -1) (range 1000))]
    (is (= 101 (count (take-while some? (iterate history/undo h)))))))

(deftest a-change-ends-what-can-be-redone
  (let [h (-> (history/history 1) (history/change 2) history/undo)]
    (is (= 2 (:now (history/redo h))))
    (is (nil? (history/redo (history/change h 3))))
    (is (= [10 20] ((juxt :now #(:now (history/redo %))) (history/revise h #(* 10 %)))))))

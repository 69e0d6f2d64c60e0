(ns espalier.model.watch-test
  (:require
   [clojure.test :refer [deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.watch :as watch]))

(defn- actions
  "The actions of ticks [now heard]."
  [ticks]
  (map :action (rest (reductions (fn [w [now heard]] (watch/step w now heard)) (watch/start 0 1000 5000) ticks))))

(deftest a-server-that-answers-is-pinged
  (is (= (repeat 20 :ping) (actions (for [i (range 1 21)] [(* 1000 i) (- (* 1000 i) 990)])))))

(deftest silence-is-suffered-as-long-as-patience-lasts
  (is (= [:ping :ping :ping :ping :ping :lost] (actions (for [i (range 1 7)] [(* 1000 i) 0])))))

(deftest after-a-sleep-patience-begins-anew
  (is (= [:ping :woke :ping :ping :ping :ping :ping :lost]
         (actions (cons [1000 900] (for [i (range 7)] [(+ 100000 (* 1000 i)) 900])))))
  (is (= 98000 (:asleep-ms (watch/step (watch/start 1000 1000 5000) 100000 900)))))

(defspec a-server-heard-within-patience-is-never-lost 200
  (prop/for-all [gaps (gen/vector (gen/choose 1 60000)), late (gen/choose 0 4999)]
    (let [nows (rest (reductions + 0 gaps))]
      (not-any? #{:lost} (actions (map (fn [now] [now (- now late)]) nows))))))

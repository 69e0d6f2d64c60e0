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

;; ---- one that is to be restored

(def ^:private attentive
  (watch/settings {:watch-interval-ms 1000, :watch-patience-ms 5000, :on-lost :restore} true))

(defn- attended
  "The actions of ticks [now heard stopped]."
  [ticks]
  (map :action (rest (reductions (fn [w [now heard stopped]] (watch/step w now heard stopped)) (watch/start 0 attentive) ticks))))

(defn- every-200-ms [n heard stopped]
  (for [i (range 1 (inc n))] [(* 200 i) heard stopped]))

(deftest only-what-is-to-be-restored-is-watched-closely
  (is (= {:interval-ms 1000, :patience-ms 5000} (watch/settings {:watch-interval-ms 1000, :watch-patience-ms 5000, :on-lost :offline} true)))
  (is (= 50 (:interval-ms (watch/settings {:watch-interval-ms 50, :watch-patience-ms 5000, :on-lost identity} false)))))

(deftest a-silence-is-told-within-a-second-and-suffered-all-the-same
  (let [actions (attended (every-200-ms 26 0 nil))]
    (is (= [:ping :ping :slow :ping] (take 4 actions)))
    (is (= 1 (count (filter #{:slow} actions))))
    (is (= [25 1] (map count (split-with #(not= :lost %) actions))) "after more than five seconds"))
  (is (= [:ping :ping :slow :again :ping] (attended [[200 0] [400 0] [600 0] [800 790] [1000 990]]))))

(deftest what-is-stopped-is-lost-within-a-second
  (is (= [:ping :ping :lost] (attended (every-200-ms 3 0 "it"))))
  (is (= [:ping :ping :ping] (attended [[200 190 "it"] [400 390 "it"] [600 590 nil]])) "one that speaks is not")
  (is (= [:ping :ping :slow :ping :lost] (attended [[200 0 "it"] [400 0 nil] [600 0 "it"] [800 0 "it"] [1000 0 "it"]])) "it counts from the last stop"))

(deftest a-watcher-that-was-stalled-blames-nobody
  (is (= [:ping :ping :ping :ping] (attended [[200 0 "it"] [700 0 "it"] [900 0 "it"] [1000 0 "it"]])) "less than 400 ms since it looks again"))

(ns espalier.model.health-test
  "Durations as a histogram, and what is told of it."
  (:require
   [clojure.test :refer [deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.health :as health]))

(set! *warn-on-reflection* true)

(def ^:private any-duration
  "Of all sizes alike."
  (gen/let [power (gen/choose 0 62), x gen/nat]
    (+ (bit-shift-left 1 power) (mod (* (long x) 7919) (bit-shift-left 1 power)))))

(defspec a-duration-is-read-back-within-six-per-cent 1000
  (prop/for-all [n any-duration]
    (let [read-back (health/nanos (health/place n))]
      (<= (/ (abs (- (double read-back) (double n))) (double n)) 0.0625))))

(defspec the-longer-has-the-later-place 1000
  (prop/for-all [a any-duration, b any-duration]
    (= (<= (health/place a) (health/place b))
       (or (<= (long a) (long b)) (= (health/place a) (health/place b))))))

(deftest every-duration-has-a-place
  (is (= [1 1 (dec health/place-count)] [(health/place -5) (health/place 0) (health/place Long/MAX_VALUE)])))

(defn- histogram [durations]
  (reduce (fn [counts n] (update counts (health/place n) inc)) (vec (repeat health/place-count 0)) durations))

(deftest what-is-told
  (is (= {:count 0} (health/durations (histogram []))))
  (let [{:keys [median-ms p99-ms most-ms] n :count} (health/durations (histogram (concat (repeat 98 1000000) [50000000 400000000])))]
    (is (= 100 n))
    (is (< 0.93 (double median-ms) 1.07))
    (is (< 46.0 (double p99-ms) 54.0))
    (is (< 370.0 (double most-ms) 430.0))))

(deftest a-line
  (let [fine {:sent {:packet-count 1204, :byte-count 9}, :received {:packet-count 310, :byte-count 9, :malformed-count 0}
              :lost {:sent 0, :received nil}, :waits {:count 0, :ms 0.0}, :late {:count 0}, :sent-late {:count 0}
              :round-trips {:count 0}, :suspected {:contradiction 0, :burst 0, :count 0}}]
    (is (= "#<Health 1,204 sent, 310 received>" (pr-str (health/shown fine))))
    (is (= "#<Health 1,204 sent, 310 received, 3 lost, 2 late, 1 doubts, round trip 0.7 ms>"
           (pr-str (health/shown (assoc fine :lost {:sent 1, :received 2}, :late {:count 2}, :suspected {:burst 1}, :round-trips {:count 9, :median-ms 0.7})))))
    (is (= "{:a 1}" (pr-str (select-keys (assoc (health/shown fine) :a 1) [:a]))) "a part of it prints as what it is")))

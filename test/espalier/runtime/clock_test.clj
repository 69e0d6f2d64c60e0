(ns espalier.runtime.clock-test
  (:require
   [clojure.test :refer [deftest is]]
   [espalier.runtime.clock :as clock]
   [espalier.servers :refer [error-of]])
  (:import
   (espalier.kernel TimeTag)
   (java.time Duration Instant)))

(deftest times-as-users-write-them
  (is (nil? (clock/instant nil)))
  (is (= TimeTag/IMMEDIATE (clock/time-tag nil)))
  (is (= (Instant/ofEpochSecond 1700000000 500000000)
         (clock/instant 1.7000000005E9) (clock/instant 3400000001/2) (clock/instant 1.7000000005E9M)))
  (is (= (Instant/ofEpochSecond 1700000000) (clock/instant 1700000000)))
  (let [t (Instant/parse "2026-01-01T00:00:00.123456789Z")]
    (is (= t (clock/instant t) (TimeTag/toInstant (clock/time-tag t)))))
  (let [before (clock/now)
        t      (clock/instant (Duration/ofSeconds 10))]
    (is (not (.isBefore t (.plusSeconds before 10))))
    (is (not (.isAfter t (.plusSeconds (clock/now) 10)))))
  (doseq [bad ["now" :now [] {} ##NaN ##Inf 1e12 0 0.1 -5]]
    (is (= :invalid-time (error-of #(clock/instant bad))) (pr-str bad)))
  (is (= :invalid-time (error-of #(clock/time-tag (Instant/parse "1960-01-01T00:00:00Z"))) (error-of #(clock/time-tag 4e9)))))

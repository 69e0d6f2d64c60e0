(ns espalier.model.backoff-test
  (:require
   [clojure.test :refer [are deftest is]]
   [espalier.model.backoff :as backoff]))

(deftest pauses-grow-and-are-bounded
  (is (= [0 100 200 400 800 1600 3200 5000 5000] (map backoff/pause-ms (range 1 10))))
  (is (= 5000 (backoff/pause-ms 1000))))

(deftest what-restoring-has-ended-counts-on
  (are [attempt attempts lived-ms by-itself?] (= attempt (backoff/first-attempt attempts lived-ms by-itself?))
    1 nil 0 true       ; never restored
    4 3 100 true
    1 3 100 false      ; killed
    1 3 5000 true))

(ns espalier.model.message-test
  (:require
   [clojure.test :refer [are deftest is]]
   [espalier.model.error :as error]
   [espalier.model.message :as message]))

(deftest prefixes
  (are [fits? prefix m] (= fits? (message/matches? prefix m))
    true  ["/tr"]      ["/tr" 1000 0 0.5]
    true  ["/tr" 1000] ["/tr" (int 1000) 0 0.5]
    true  []           ["/tr"]
    false ["/tr" 1001] ["/tr" 1000 0 0.5]
    false ["/tr" 1000] ["/tr"]
    false ["/t"]       ["/tr"]))

(deftest the-status-of-both-engines
  (let [expected {:ugen-count 1, :synth-count 2, :group-count 3, :synthdef-count 4, :average-cpu-percent 0.5
                  :peak-cpu-percent 0.75, :target-sample-rate-hz 44100.0, :actual-sample-rate-hz 44100.5}]
    (is (= expected
           (message/status ["/status.reply" 1 1 2 3 4 (float 0.5) (float 0.75) 44100.0 44100.5])
           (message/status ["/status.reply" 1 1 2 3 4 (float 0.5) (float 0.75) (float 44100.0) 44100.5]))))
  (doseq [bad [["/status.reply" 1 2] ["/done" "/quit"] []]]
    (is (= :espalier.error/bad-reply (try (message/status bad) (catch Exception e (error/code e)))))))

(deftest versions
  (is (= {:engine :supernova, :version "3.13.0"} (message/version ["/version.reply" "supernova" 3 13 ".0" "" "na"])))
  (is (= :espalier.error/bad-reply (try (message/version ["/version.reply"]) (catch Exception e (error/code e))))))

(deftest answers-to-notify
  (are [expected m] (= expected (message/login m))
    {:client-id 0, :maximum-logins 4} ["/done" "/notify" 0 4]
    {:client-id 1}                    ["/done" "/notify" 1]
    {:already true, :client-id 3}     ["/fail" "/notify" "notify: already registered\n" 3]
    {:already true}                   ["/fail" "/notify" "notify: already registered"]
    {:refused "too many users"}       ["/fail" "/notify" "too many users\n"]))

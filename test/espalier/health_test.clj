(ns espalier.health-test
  "What is told of the health of a link, and of times that are past or too many."
  (:require
   [clojure.core.async :as a]
   [clojure.core.protocols :refer [datafy]]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.channels :as channels]
   [espalier.core :as sc]
   [espalier.rehearsal :as rehearsal]
   [espalier.servers :as servers :refer [each-kind error-of eventually refused]])
  (:import
   (java.time Duration Instant)))

(set! *warn-on-reflection* true)

(use-fixtures :once servers/sharing)

(deftest a-link-that-is-well
  (each-kind servers/kinds nil
    (fn [s]
      (let [before (sc/health s)]
        (dotimes [_ 20] (sc/sync! s))
        (dotimes [i 10] (sc/send! s ["/c_set" 0 i]))
        ;; Who has an answer may go on before it is counted.
        (is (eventually #(let [{:keys [round-trips queues]} (sc/health s)]
                           (and (<= 20 (- (long (:count round-trips)) (long (get-in before [:round-trips :count]))))
                                (= {:waiting-calls 0, :handler-messages 0, :pending-bundles 0} (dissoc queues :unread-packets))))))
        (let [{:keys [sent received lost round-trips] :as now} (sc/health s)]
          (is (str/starts-with? (pr-str now) "#<Health "))
          (is (<= 30 (- (long (:packet-count sent)) (long (get-in before [:sent :packet-count])))))
          (is (<= (+ (* 30 16) (long (get-in before [:sent :byte-count]))) (long (:byte-count sent))))
          (is (<= 20 (- (long (:packet-count received)) (long (get-in before [:received :packet-count])))))
          (is (= 0 (:malformed-count received)))
          (is (<= 0 (double (:median-ms round-trips)) (double (:p99-ms round-trips)) (double (:most-ms round-trips))))
          (is (= (if (and (= :udp (:protocol (servers/address s))) (.exists (java.io.File. "/proc/net/udp")))
                   {:sent 0, :received 0}
                   {:sent nil, :received nil})
                 lost))
          (is (= (keys now) (keys (:health (datafy s)))) "inspectors find it, too"))))))

(deftest what-is-wrong-is-counted
  (sc/with-server [s (servers/options {:executable :rehearsal})]
    (rehearsal/trouble! s {:notification-limit 5})
    (sc/at s nil (dotimes [_ 50] (sc/add-group! s)))
    (is (eventually #(let [{:keys [suspected repairs]} (sc/health s)]
                       (and (pos? (long (reduce + (vals suspected)))) (pos? (long (:tree repairs)))))))
    (is (= :server-offline (error-of #(sc/health (sc/server)))))))

(deftest a-channel-of-it
  (sc/with-server [s (servers/options {:executable :rehearsal})]
    (let [c (channels/health s {:every-ms 5})]
      (is (= [true true] (map (fn [h] (contains? h :round-trips)) [(a/<!! c) (a/<!! c)])))
      (sc/quit! s)
      (is (eventually #(= "#<Channel of health, closed>" (str c)))))
    (is (= :invalid-option (error-of #(channels/health s {:every-ms 0}))))
    (is (= :server-offline (error-of #(channels/health s))))))

(defn- times-of [s k]
  (long (get-in (sc/health s) [k :count])))

(deftest what-comes-too-late
  (each-kind servers/udp-kinds nil
    (fn [s]
      (let [past #(.minusMillis (Instant/now) 250)
            sent (times-of s :sent-late)
            late (times-of s :late)]
        (testing "is done at once, and told"
          (is (sc/await-started (sc/at s (past) (sc/add-group! s))))
          (is (= (inc sent) (times-of s :sent-late)))
          (is (eventually #(= (inc late) (times-of s :late))) "by the server too")
          (is (<= 200.0 (double (get-in (sc/health s) [:sent-late :most-ms]))))
          (sc/send! s {:at (past), :packets [["/c_set" 0 1]]})
          (is (= (+ 2 sent) (times-of s :sent-late))))
        (testing "is refused where that is wanted, and nothing has changed"
          (refused s [[:too-late #(sc/at s {:when (past), :late :refuse} (sc/add-group! s))]
                      [:too-late #(sc/reconcile! s [:group {:key :late}] {:at (past), :late :refuse})]
                      [:invalid-option #(sc/at s {:when (past), :late :never} (sc/add-group! s))]
                      [:invalid-option #(sc/reconcile! s nil {:late :never})]])
          (let [a (sc/add-group! s)]
            (is (= (inc (long (:id a))) (:id (sc/add-group! s))))
            (is (= {:id (+ 2 (long (:id a)))}
                   (select-keys (sc/at s {:when (Duration/ofSeconds 60), :late :refuse} (sc/add-group! s)) [:id])))))))))

(deftest more-than-the-server-has-places-for
  (each-kind (take 1 servers/udp-kinds) nil
    (fn [s]
      (let [in-an-hour (.plusSeconds (Instant/now) 3600), waiting #(get-in (sc/health s) [:queues :pending-bundles])]
        (sc/send! s {:at nil, :packets [{:at in-an-hour, :packets [["/c_set" 0 1]]}, {:at in-an-hour, :packets [["/c_set" 1 1]]}]})
        (is (= 2 (waiting)) "of bundles in a bundle each has a place")
        (dotimes [i 2045] (sc/send! s {:at in-an-hour, :packets [["/c_set" i 1]]}))
        (sc/at s in-an-hour (sc/send! s ["/c_set" 0 1]))
        (is (= 2048 (waiting)))
        (refused s [[:too-many-pending #(sc/at s in-an-hour (sc/send! s ["/c_set" 0 1]))]
                    [:too-many-pending #(sc/send! s {:at in-an-hour, :packets [["/c_set" 0 1]]})]
                    [:too-many-pending #(sc/reconcile! s [:group {:key :g}] {:at in-an-hour})]])
        (sc/reset-server! s)
        (is (= 0 (waiting)) "what was forgotten has no place")
        (sc/at s (Duration/ofMillis 50) (sc/send! s ["/c_set" 1 7]))
        (is (eventually #(= ["/c_set" 1 7.0] (sc/command! s :c-get {:buses [1]}))))
        (is (eventually #(= 0 (waiting))) "nor what is done")))))

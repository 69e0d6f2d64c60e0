(ns espalier.runtime.origin-test
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.origin :as origin]
   [espalier.runtime.trace :as trace]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(use-fixtures :once servers/sharing)

(def ^:private ^:dynamic *who* nil)

(defn- known-by [f]
  (origin/find-by! (fn [] *who*))
  (try (f) (finally (origin/find-by! nil))))

(defn- causes [s fail]
  (map (juxt :origin :request) (trace/causes (handle/trace-of s) fail)))

(deftest packets-know-who-has-sent-them
  (servers/each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (known-by
        (fn []
          (let [free (fn [id] (sc/send! s ["/n_free" id]))
                fail (fn [id] ["/fail" "/n_free" (str "Node " id " not found")])]
            (binding [*who* :a] (free 7001) (free 7002) @(future (free 7003)))
            (binding [*who* :b] (free 7001))
            (free 7004)
            (is (= [[:b ["/n_free" 7001]] [:a ["/n_free" 7001]]] (causes s (fail 7001))) "the latest first")
            (is (= [[:a ["/n_free" 7003]]] (causes s (fail 7003))) "bindings go to futures")
            (is (= [[nil ["/n_free" 7004]]] (causes s (fail 7004))))
            (is (= [] (causes s (fail 7005))))
            (testing "within bundles and completions"
              (binding [*who* :c]
                (sc/at s nil (free 7006) (sc/add-buffer! s {:frame-count 8}) (free 7007)))
              (is (= [[:c ["/n_free" 7006]]] (causes s (fail 7006))))
              (is (= [[:c ["/n_free" 7007]]] (causes s (fail 7007)))))
            (testing "what is to come has caused nothing"
              (binding [*who* :d]
                (sc/at s (java.time.Duration/ofSeconds 5) (free 7001)))
              (is (= [:b :a] (map first (causes s (fail 7001))))))))))))

(deftest nobody-asks-unless-told
  (servers/each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (binding [*who* :a] (sc/send! s ["/n_free" 7010]))
      (is (= [[nil ["/n_free" 7010]]] (causes s ["/fail" "/n_free" "Node 7010 not found"]))))))

(deftest handles-that-are-online-are-listed
  (let [there (set (sc/servers))]
    (with-open [s ^java.io.Closeable (sc/server (servers/options {:executable :rehearsal} {:maximum-logins 2}))]
      (is (= there (set (sc/servers))))
      (sc/boot! s)
      (is (= s (peek (sc/servers))))
      (with-open [other ^java.io.Closeable (sc/connect! (sc/server) (servers/address s))]
        (is (= [s other] (take-last 2 (sc/servers)))))
      (is (= s (peek (sc/servers))))
      (sc/quit! s)
      (is (= there (set (sc/servers)))))))

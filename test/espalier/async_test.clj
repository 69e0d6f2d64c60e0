(ns espalier.async-test
  "The waiting calls as channels and as Java futures."
  (:require
   [clojure.core.async :as a]
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.async :as async]
   [espalier.core :as sc]
   [espalier.future :as future]
   [espalier.servers :refer [each-kind leaves-nothing options udp-kinds]])
  (:import
   (java.util.concurrent CancellationException CompletableFuture ExecutionException TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each leaves-nothing)

(defn- soon
  "What a channel gives, or :late."
  [c]
  (a/alt!! c ([x] x) (a/timeout 20000) :late))

(defn- code [e] (some-> e ex-data :espalier/error name keyword))

(deftest a-life-in-a-go-block
  (doseq [kind udp-kinds]
    (is (= [:online 440.0 [0.25 0.5] :offline]
           (soon (a/go
                   (try
                     (let [s (sc/server (options kind))]
                       (async/<?? (async/boot! s))
                       (let [status (sc/boot-status s)
                             _  (async/<?? (async/add-synthdefs! s (io/resource "golden/instruments/bell.scsyndef")))
                             y  (async/<?? (async/add-synth! s :bell {:freq 440} {:confirm true}))
                             b  (async/<?? (async/add-buffer! s {:samples [0.25 0.5]}))
                             f  (:freq (async/<?? (async/get-controls y [:freq])))
                             xs (vec (async/<?? (async/get-sample-range b 0 2)))]
                         (async/<?? (async/quit! s))
                         [status f xs (sc/boot-status s)]))
                     (catch Throwable e e))))))))

(deftest errors-are-values
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (is (= :no-such-node (code (soon (async/query-node s 99999)))))
               (is (= :server-offline (code (soon (async/status (sc/server))))))
               (is (= :no-answer (code (soon (async/request! s ["/c_set" 0 1] ["/never"] {:timeout-ms 50})))))
               (is (= :no-such-node (soon (a/go (try (async/<?? (async/query-node s 99999)) (catch Exception e (code e)))))))
               (testing "a channel gives its value as often as it is asked"
                 (let [c (async/query-node s 1)]
                   (is (= 1 (:id (soon c)) (:id (soon c))))))
               (testing "nil closes it"
                 (is (nil? (soon (async/command! s :n-set {:id 1, :controls {:freq 1}})))))
               (testing "a thousand at once"
                 (is (= {1 1000} (frequencies (map (comp :id soon) (doall (repeatedly 1000 #(async/query-node s 1))))))))
               (testing "none slips out of a moment"
                 (is (= :moment-elsewhere (code (sc/at s nil (soon (async/add-group! s))))))))))

(deftest java-futures
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (is (= 44100.0 (:target-sample-rate-hz (.get ^CompletableFuture (future/status s) 20 TimeUnit/SECONDS))))
               (is (= :no-such-node (try (.get ^CompletableFuture (future/query-node s 99999) 20 TimeUnit/SECONDS)
                                         (catch ExecutionException e (code (ex-cause e))))))
               (testing "cancelled, the call is given up"
                 (let [^CompletableFuture f (future/request! s ["/c_set" 0 1] ["/never"] {:timeout-ms 60000})]
                   (is (.cancel f true))
                   (is (= :cancelled (try (.get f) (catch CancellationException _ :cancelled))))
                   (is (= 1 (:id (sc/query-node s 1)))))))))

(deftest every-call-that-waits-has-its-twins
  (doseq [n future/waiting]
    (is (ns-resolve 'espalier.core n) n)
    (is (= (:arglists (meta (ns-resolve 'espalier.core n)))
           (:arglists (meta (ns-resolve 'espalier.async n)))
           (:arglists (meta (ns-resolve 'espalier.future n))))
        n))
  (is (= [] (for [[n v] (ns-publics 'espalier.core)
                  :when (re-find #":timeout-ms" (str (:doc (meta v))))
                  :when (not (or (some #{n} future/waiting) (contains? #{'server 'at 'print-tree 'add-group! 'boot! 'connect!} n)))]
              n))
      "none that has a deadline is missing"))

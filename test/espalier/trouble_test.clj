(ns espalier.trouble-test
  "What the client does in trouble: every call does what it says or throws within its
  deadline, and afterwards it knows what the server has."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.rehearsal :as rehearsal]
   [espalier.servers :as servers :refer [error-of eventually events]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (java.io Closeable)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ^:private hum [out 0, freq 220]
  (ugens/out:kr out freq))

(defn- rehearse
  "Calls `f` with a handle that has booted a rehearsal."
  [options f]
  (with-open [^Closeable s (sc/boot! (sc/server (merge {:executable :rehearsal, :port (sc/find-free-port)} options)))]
    (sc/add-synthdefs! s hum)
    (f s)))

(defn- agrees?
  "Whether the client knows the very nodes that the server has."
  [s]
  (= (set (map :id (tree-seq :children :children (sc/query-tree s {:group 0, :controls false}))))
     (set (keys (:nodes (sc/state s))))))

(defn- many-calls
  "What becomes of twenty-five calls of each sort, each with a short deadline: frequencies of :none
  and of error codes."
  [s]
  (frequencies
    (mapcat (fn [i]
              [(error-of #(sc/sync! s {:timeout-ms 100}))
               (error-of #(sc/status s {:timeout-ms 100}))
               (error-of #(sc/add-group! s))
               (error-of #(sc/add-synth! s :hum {:freq i}))])
            (range 25))))

(deftest packets-are-lost
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:drop 0.3, :seed 5})
      (let [seen (many-calls s)]
        (is (= #{:none :no-answer} (set (keys seen))) "an answer, or the word that none came")
        (is (< 5 (:no-answer seen) 45)))
      (rehearsal/trouble! s nil)
      (is (eventually #(agrees? s)) "nodes of which nothing was told are found, those that never came forgotten")
      (testing "a declared tree becomes what it was to be, or the call says that it did not"
        (rehearsal/trouble! s {:drop 0.2, :seed 6})
        (dotimes [i 8]
          (let [outcome (try (:confirmed? (sc/reconcile! s [:group {:key :g} [:synth {:key :a, :def :hum} {:freq i}]] {:timeout-ms 150}))
                             (catch clojure.lang.ExceptionInfo e (:espalier/error (ex-data e))))]
            (is (contains? #{true false :espalier.error/no-answer :espalier.error/not-started} outcome))))
        (rehearsal/trouble! s nil)
        (is (eventually #(agrees? s)))
        (sc/reconcile! s [:group {:key :g} [:synth {:key :a, :def :hum} {:freq 99}]])
        (sc/repair! s)
        (is (= [] (sc/drift s)))
        (is (= {:freq 99.0} (sc/get-controls (sc/node s :a) [:freq])))))))

(deftest what-is-lost-is-not-said-to-be-done
  (rehearse {:timeout-ms 100}
    (fn [s]
      (let [b      (sc/add-buffer! s {:frame-count 20000})
            losing (fn [i f]
                     (rehearsal/trouble! s {:drop {:received 0.3}, :seed i})
                     (let [outcome (error-of f)]
                       (rehearsal/trouble! s nil)
                       (is (contains? #{:none :no-answer} outcome))
                       outcome))]
        (testing "a piece of many samples"
          (dotimes [i 8]
            (let [samples (float-array 20000 (inc i))]
              (is (or (not= :none (losing i #(sc/set-sample-range! b 0 samples)))
                      (= (seq samples) (seq (sc/get-sample-range b 0 20000))))))))
        (testing "a reset"
          (dotimes [i 8]
            (sc/add-group! s {:confirm true})
            (is (or (not= :none (losing i #(sc/reset-server! s)))
                    (= [] (sc/children (sc/default-group s)))))))
        (testing "a buffer whose end is not certain can be freed once more"
          (let [b (sc/add-buffer! s {:frame-count 8})]
            (rehearsal/trouble! s {:silent true})
            (is (= :no-answer (error-of #(sc/free! b))))
            (rehearsal/trouble! s nil)
            (is (= b (sc/free! b)))))))))

(deftest an-answer-that-is-lost-is-not-taken-for-a-refusal
  (rehearse {}
    (fn [s]
      (let [y (sc/add-synth! s :hum {:freq 3} {:confirm true})]
        (rehearsal/trouble! s {:drop {:sent 0.3}, :seed 9})
        (is (= #{:none :no-answer} (set (repeatedly 40 #(error-of (fn [] (sc/get-controls y [:freq] {:timeout-ms 50})))))))))))

(deftest packets-come-late
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:delay-ms {:sent 100}})
      (is (= :no-answer (error-of #(sc/get-controls (sc/add-synth! s :hum {:freq 1}) [:freq] {:timeout-ms 20}))))
      (testing "an answer that comes after its deadline is none to the next question"
        (is (= {:freq 2.0} (sc/get-controls (sc/add-synth! s :hum {:freq 2}) [:freq]))))
      (rehearsal/trouble! s {:delay-ms 0})
      (is (eventually #(agrees? s))))))

(deftest packets-come-twice
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:duplicate 1})
      (let [g (sc/add-group! s), y (sc/add-synth! s :hum {:freq 5} {:target g})]
        (is (= {:freq 5.0} (sc/get-controls y [:freq])))
        (is (= [(:id y)] (map :id (sc/children g))))
        (sc/free! y)
        (is (sc/await-ended y))
        (is (= [] (sc/children g))))
      (rehearsal/trouble! s nil)
      (is (eventually #(agrees? s))))))

(deftest packets-overtake
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:reorder {:sent 0.5}, :seed 3})
      (is (contains? #{:none :no-answer} (error-of #(dotimes [i 50] (let [y (sc/add-synth! s :hum {:freq i})] (when (even? i) (sc/free! y)))))))
      (rehearsal/trouble! s nil)
      (sc/sync! s)
      (is (eventually #(agrees? s)) "notifications in another order are no other tree"))))

(deftest notifications-beyond-the-limit
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:notification-limit 10})
      (let [made (sc/at s nil (vec (repeatedly 100 #(sc/add-group! s))))]
        (is (eventually #(every? (:nodes (sc/state s)) (map :id made))) "what the server has not told is asked for")
        (is (eventually #(agrees? s)))))))

(deftest replies-beyond-the-limit
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:reply-limit-bytes 2000})
      (let [groups (vec (repeatedly 10 #(sc/add-group! s {:action :tail})))]
        (doseq [g groups, i (range 20)] (sc/add-synth! s :hum {:freq i} {:target g, :action :tail}))
        (let [{:keys [complete? children]} (sc/query-tree s {:group (sc/default-group s)})]
          (is complete? "a tree that fits into no reply is read in parts")
          (is (= (repeat 10 (map double (range 20))) (map (fn [g] (map #(get-in % [:controls "freq"]) (:children g))) children))))))))

(deftest silence
  (rehearse {:watch-interval-ms 50, :watch-patience-ms 300}
    (fn [s]
      (let [seen (events s)]
        (rehearsal/trouble! s {:silent true})
        (is (= [:server-silent :process-quit :disconnected :lost] (seen :lost)))
        (is (= :server-offline (error-of #(sc/sync! s))))
        (is (= :online (sc/boot-status (sc/boot! s))) "and it boots again")))))

(deftest logins-are-refused
  (rehearse {:maximum-logins 4}
    (fn [s]
      (rehearsal/trouble! s {:refuse-logins true})
      (is (= :too-many-clients (error-of #(sc/connect! (sc/server) (servers/address s)))))
      (rehearsal/trouble! s nil)
      (with-open [^Closeable guest (sc/connect! (sc/server) (servers/address s))]
        (is (= :online (sc/boot-status guest)))))))

(deftest what-takes-long
  (rehearse {}
    (fn [s]
      (rehearsal/trouble! s {:slow-done-ms 200})
      (is (= :no-answer (error-of #(sc/add-buffer! s {:frame-count 64, :timeout-ms 20}))))
      (is (= 64 (:frame-count (sc/query-buffer (sc/add-buffer! s {:frame-count 64})))) "who waits longer has it")
      (rehearsal/trouble! s nil)
      (is (= 32 (:frame-count (sc/query-buffer (sc/add-buffer! s {:frame-count 32}))))))))

(deftest death
  (rehearse {}
    (fn [s]
      (let [seen (events s), waiting (future (error-of #(sc/sync! s {:timeout-ms 30000})))]
        (rehearsal/trouble! s {:silent true})
        (rehearsal/die! s)
        (is (= [:process-died :disconnected :lost] (seen :lost)))
        (is (contains? #{:server-offline :none} (deref waiting 10000 :still-waiting)))
        (is (= :server-offline (error-of #(sc/add-group! s))))
        (is (= :online (sc/boot-status (sc/boot! s))))
        (is (agrees? s))))))

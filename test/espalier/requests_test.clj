(ns espalier.requests-test
  "Questions and their answers: each call has its own, whoever else asks, and each
  failure reaches the call that caused it."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :refer [each-kind error-of eventually kinds often sharing supernova? thrown udp-kinds]])
  (:import
   (java.util.concurrent LinkedBlockingQueue)))

(set! *warn-on-reflection* true)

(use-fixtures :once sharing)

(defn- at-once
  "Calls `f` with 0 to n - 1, each on a thread of its own; returns the results."
  [n f]
  (mapv deref (doall (for [i (range n)] (future (f i))))))

(deftest each-of-many-threads-gets-its-own-answers
  (each-kind kinds {}
             (fn [s]
               (sc/add-synthdefs! s (io/resource "golden/instruments/bell.scsyndef"))
               (let [groups  (vec (repeatedly 8 #(sc/add-group! s)))
                     synths  (vec (for [g groups, i (range 5)] (sc/add-synth! s :bell {:freq (+ (:id g) (/ i 8)), :decay 600} {:target g})))
                     asked   (fn [i k]
                               (let [g (groups (mod (+ i k) 8))
                                     n (mod (+ (* 7 i) k) 40)
                                     y (synths n)
                                     missing (+ 70000 (* 1000 i) k)]
                                 [(= (:id g) (:id (sc/query-tree s {:group g})))
                                  (= {:freq (double (+ (:id (groups (quot n 5))) (/ (mod n 5) 8)))} (sc/get-controls y [:freq]))
                                  (= [(:id y) (:id (groups (quot n 5)))] ((juxt :id :parent) (sc/query-node s y)))
                                  (or (not= 0 (mod k 10))
                                      (= missing (:node (ex-data (thrown #(sc/query-node s missing))))))]))]
                 (is (= {true (* 32 (often 200))}
                        (frequencies (flatten (at-once 8 (fn [i] (mapv (partial asked i) (range (often 200)))))))))))))

(deftest a-failure-reaches-the-call-that-caused-it-alone
  (each-kind udp-kinds {}
             (fn [s]
               (sc/add-synthdefs! s (io/resource "golden/instruments/bell.scsyndef"))
               (let [told (LinkedBlockingQueue.)
                     _    (sc/on-lifecycle! s :command-failed #(.put told (:message %)))
                     y    (sc/add-synth! s :bell)
                     b    (sc/add-buffer! s {:frame-count 64})
                     results (at-once 4 (fn [i]
                                          (doall (for [k (range 100)]
                                                   (case (int i)
                                                     ;; What one sends without waiting fails each time,
                                                     0 (do (sc/send! s ["/n_query" 80000]) (sc/send! s ["/s_new" "nope" -1 0 1])
                                                           (sc/send! s ["/s_get" 80001 "freq"]) (sc/send! s ["/b_get" 0 999999]) :sent)
                                                     ;; what the others ask never.
                                                     1 (= (:id y) (:id (sc/query-node s y)))
                                                     2 (= {:freq 440.0} (sc/get-controls y [:freq]))
                                                     3 (if (even? k)
                                                         (= {0 0.0} (sc/get-samples b [0]))
                                                         (let [y (sc/add-synth! s :bell {} {:confirm true})]
                                                           (= y (sc/free! y)))))))))]
                 (is (= [{:sent 100} {true 100} {true 100} {true 100}] (map frequencies results)))
                 (sc/sync! s)
                 (testing "and what nobody waited for is told, all of it"
                   (is (eventually #(= (if (not (supernova? s))
                                         {"/n_query" 100, "/s_new" 100, "/s_get" 100, "/b_get" 100}
                                         {})
                                       (frequencies (map second (vec (.toArray told))))))))))))

(deftest a-question-without-an-answer-fails-at-once
  (each-kind kinds {:timeout-ms 60000}
             (fn [s]
               (sc/add-synthdefs! s (io/resource "golden/instruments/bell.scsyndef"))
               (is (= :no-such-node (error-of #(sc/query-node s 99999))))
               (is (= :no-such-node (error-of #(sc/query-tree s {:group 99999}))))
               (is (= :no-such-node (error-of #(sc/command! s :s-get {:id 99999, :controls [:freq]}))))
               (is (= :no-such-node (error-of #(sc/command! s :s-getn {:id 99999, :control 0, :count 3}))))
               (is (= :no-such-node (error-of #(sc/request! s ["/s_get" 99999 "freq"] ["/n_set" 99999]))))
               (is (= :online (sc/boot-status s))))))

(deftest one-control-bus-is-enough-for-a-fence
  (each-kind udp-kinds {:control-bus-channel-count 1}
             (fn [s]
               (is (= 1 (:id (sc/query-node s 1))))
               (is (= :no-such-node (error-of #(sc/query-node s 99999))))
               (is (= :too-few (try (dotimes [_ 2] (sc/add-bus! s)) (catch clojure.lang.ExceptionInfo _ :too-few))))
               (is (= 2 (count (vec (sc/get-sample-range (sc/add-buffer! s {:samples [1 2]}) 0 2))))))))

(deftest three-control-buses-are-too
  (each-kind udp-kinds {:control-bus-channel-count 3}
             (fn [s]
               (dotimes [_ 300] (is (= 1 (:id (sc/query-node s 1)))))
               (is (= :no-such-node (error-of #(sc/query-node s 99999)))))))

(deftest handlers-see-no-fences
  (each-kind udp-kinds {}
             (fn [s]
               (let [heard (LinkedBlockingQueue.)
                     bus   (sc/add-bus! s)]
                 (sc/on-osc! s "/c_set" #(.put heard %))
                 (sc/on-osc! s ["/c_set" (:id bus)] #(.put heard [:by-prefix %]))
                 (sc/on-osc! s (fn [m] (= "/c_set" (first m))) (fn [_] (throw (ex-info "broken" {}))))
                 (sc/on-osc! s "/c_set" #(.put heard [:once %]) {:once true})
                 (sc/set-bus! bus 7)
                 (dotimes [_ 20] (sc/query-node s 1))
                 (is (= 7.0 (sc/get-bus bus)))
                 (is (= 7.0 (sc/get-bus bus)))
                 (is (eventually #(= 5 (.size heard))))
                 (is (= {["/c_set" (:id bus) 7.0] 2, [:by-prefix ["/c_set" (:id bus) 7.0]] 2, [:once ["/c_set" (:id bus) 7.0]] 1}
                        (frequencies (vec (.toArray heard)))))))))

(deftest the-trace-shows-both-ways
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (let [n (:n (peek (sc/trace s)))
                     b (sc/add-buffer! s {:frame-count 8})]
                 (is (= [[:sent {:at nil, :packets [["/b_alloc" (:id b) 8 1] ["/sync"]]}]
                         [:received ["/done" "/b_alloc" (:id b)]]
                         [:received ["/synced"]]]
                        (map (juxt :direction #(if (map? (:packet %))
                                                 (update (:packet %) :packets update 1 subvec 0 1)
                                                 (cond-> (:packet %) (= "/synced" (first (:packet %))) (subvec 0 1))))
                             (sc/trace s {:after n, :address #{"/b_alloc" "/done" "/synced"}}))))
                 (is (every? #(= :received (:direction %)) (sc/trace s {:direction :received})))
                 (is (= 2 (count (sc/trace s {:limit 2}))))
                 (is (apply < (map :n (sc/trace s))))
                 (is (inst? (:at (first (sc/trace s)))))
                 (dotimes [_ 5000] (sc/send! s ["/c_set" 0 0]))
                 (is (= 4096 (count (sc/trace s))) "the last ones")
                 (is (= :unknown-option (error-of #(sc/trace s {:direction :sent, :adress "/b_alloc"}))))))))

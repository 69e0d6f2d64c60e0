(ns ^:many-servers espalier.moments-test
  "Moments: one bundle, in the order that was written, at one time, or not at all."
  (:require
   [clojure.core.async :as a]
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :refer [each-kind error-of eventually kinds often options sent-after sharing supernova? thrown udp-kinds]]
   [espalier.synthdef :as synthdefs]
   [espalier.ugens :refer [multiply out:kr]])
  (:import
   (java.io InputStream)
   (java.time Duration Instant)
   (java.util.concurrent LinkedBlockingQueue)))

(set! *warn-on-reflection* true)

(use-fixtures :once sharing)

(defn- synthdef [n]
  (with-open [in (io/input-stream (io/resource (str "golden/instruments/" n ".scsyndef")))]
    (.readAllBytes ^InputStream in)))

(defn- failures
  "Collects what fails: returns a function that returns it."
  [s]
  (let [queue (LinkedBlockingQueue.)]
    (sc/on-lifecycle! s [:command-failed :malformed-packet :late] #(.put queue %))
    #(vec (.toArray queue))))

(defn- last-n [s] (:n (peek (sc/trace s)) -1))

(defn- node-ids [s]
  (set (map :id (tree-seq :children :children (sc/query-tree s {:controls false})))))

(deftest a-moment-is-one-bundle
  (each-kind udp-kinds {}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "bell"))
               (let [n (last-n s)
                     [g y] (sc/at s nil
                             (let [g (sc/add-group! s)
                                   y (sc/add-synth! s :bell {:freq 440} {:target g})]
                               (sc/set-controls! y {:amp 0.5})
                               (sc/set-controls! y {:pan -1})
                               [g y]))]
                 (is (= [{:at nil, :packets [["/g_new" (:id g) 0 1]
                                             ["/s_new" "bell" (:id y) 0 (:id g) "freq" 440]
                                             ["/n_set" (:id y) "amp" 0.5 "pan" -1]]}]
                        (sent-after s n))
                     "settings of one node are one message")
                 (is (= {:freq 440.0, :amp 0.5, :pan -1.0} (sc/get-controls y [:freq :amp :pan])))
                 (testing "one request goes without a bundle, none not at all"
                   (let [n (last-n s)]
                     (is (= y (sc/at s nil (sc/set-controls! y {:amp 0.25}))))
                     (is (= :nothing (sc/at s nil :nothing)))
                     (is (= [["/n_set" (:id y) "amp" 0.25]] (sent-after s n)))))
                 (testing "raw messages too"
                   (sc/at s nil (sc/send! s ["/n_set" y :amp 0.75]) (sc/send! s ["/n_free" g]))
                   (is (sc/await-ended y)))))))

(deftest what-is-written-happens-in-that-order
  (each-kind kinds {}
             (fn [s]
               (let [failed (failures s), d (synthdef "pluck")]
                 (dotimes [_ (often (if (re-find #" -u " (str s)) 1000 200))]
                   (let [[b y] (sc/at s nil
                                 (sc/add-synthdefs! s d)
                                 (let [b (sc/add-buffer! s {:frame-count 64})]
                                   [b (sc/add-synth! s "pluck" {:freq b})]))]
                     (sc/at s nil (sc/free! y) (sc/free! b))))
                 (sc/sync! s)
                 (is (= [] (failed)))
                 (testing "through several rows, each with a command that takes no completion at its end"
                   (let [b (sc/at s nil
                             (let [b (sc/add-buffer! s {:frame-count 512})]
                               (sc/generate! b :sine1 {:amplitudes [1], :wavetable false})
                               (sc/set-samples! b {0 0.25})
                               (sc/normalize-buffer! b {:peak 2})
                               (sc/set-samples! b {1 0.125})
                               b))]
                     (is (< 1.99 (apply max (sc/get-sample-range b 0 512)) 2.01))
                     (is (= {0 0.5, 1 0.125} (update-vals (sc/get-samples b [0 1]) #(/ (Math/round (* 8 (double %))) 8.0))))))
                 (is (= [] (failed)))))))

(deftest a-body-that-throws-leaves-nothing-behind
  (each-kind udp-kinds {}
             (fn [s]
               (let [before (sc/state s), n (last-n s), taken (volatile! nil)]
                 (is (= "no" (ex-message (thrown #(sc/at s nil
                                                    (vreset! taken [(sc/add-group! s) (sc/add-buffer! s {:frame-count 8}) (sc/add-bus! s)])
                                                    (sc/at s (Duration/ofSeconds 1) (sc/add-group! s))
                                                    (sc/add-synthdefs! s (synthdef "bell"))
                                                    (throw (ex-info "no" {})))))))
                 (is (= [] (sent-after s n)))
                 (is (= before (sc/state s)))
                 (is (= @taken (mapv #(assoc %1 :born (:born %2))
                                     [(sc/add-group! s) (sc/add-buffer! s {:frame-count 8}) (sc/add-bus! s)]
                                     @taken))
                     "the ids that were taken come again")
                 (testing "an inner moment that throws takes back only its own"
                   (let [g (sc/at s nil
                             (let [g (sc/add-group! s)]
                               (is (= "inner" (ex-message (thrown #(sc/at s nil (sc/add-group! s) (throw (ex-info "inner" {})))))))
                               g))]
                     (is (= #{(:id g)} (into #{} (filter #(<= (:id g) %)) (node-ids s))))))))))

(deftest moments-within-moments
  (each-kind udp-kinds {}
             (fn [s]
               (sc/with-server [other (options {:executable "scsynth", :protocol :udp})]
                 (let [n (last-n s), m (last-n other)
                       [a b c d] (sc/at s nil
                                   (let [a (sc/add-group! s)
                                         b (sc/at s nil (sc/add-group! s {:target a}))
                                         c (sc/at s (Duration/ofMillis 50) (sc/add-group! s {:target a}))
                                         d (sc/at other nil (sc/add-group! other))]
                                     (is (= [] (sent-after s n) (sent-after other m)) "all is sent when the outer one is")
                                     [a b c d]))]
                   (is (= [{:at nil, :packets [["/g_new" (:id a) 0 1] ["/g_new" (:id b) 0 (:id a)]]}]
                          (take 1 (sent-after s n))))
                   (is (sc/await-started c))
                   (is (= :group (:kind (sc/query-node other d)))))
                 (is (= :moment-of-other-server (error-of #(sc/at s nil (sc/add-group! other)))))))))

(deftest a-moment-belongs-to-its-thread
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (let [n (last-n s)
                     cause #(error-of (fn [] (throw (ex-cause %))))]
                 (is (= :moment-elsewhere
                        (sc/at s nil (try @(future (sc/add-group! s)) (catch java.util.concurrent.ExecutionException e (cause e))))))
                 (is (= :moment-elsewhere
                        (sc/at s nil (a/<!! (a/go (error-of #(sc/add-group! s)))))))
                 (is (= [] (sent-after s n)))
                 (testing "a moment of its own is another's affair"
                   (let [g (sc/at s nil @(future (sc/at s nil (sc/add-group! s))))]
                     (is (= :group (:kind (sc/query-node s g))))))
                 (testing "eight threads, each with moments of its own"
                   (let [n       (last-n s)
                         bundles (mapv deref (doall (for [_ (range 8)]
                                                      (future (doall (for [_ (range 50)]
                                                                       (sc/at s nil [(sc/add-group! s) (sc/add-group! s)])))))))]
                     (is (= (set (for [moments bundles, [a b] moments]
                                   {:at nil, :packets [["/g_new" (:id a) 0 1] ["/g_new" (:id b) 0 1]]}))
                            (set (sent-after s n))))))
                 (testing "questions are refused"
                   (doseq [ask [#(sc/query-tree s) #(sc/status s) #(sc/sync! s) #(sc/query-node s 1) #(sc/children (sc/default-group s))
                                #(sc/request! s ["/version"] ["/version.reply"]) #(sc/command! s :status {})
                                #(sc/await-started (sc/default-group s))]]
                     (is (= :question-in-moment (error-of #(sc/at s nil (ask)))))))
                 (is (= :invalid-message (error-of #(sc/at s nil (sc/send! s {:packets [["/sync" 1]]})))))
                 (is (= :invalid-time (error-of #(sc/at s "soon" (sc/add-group! s)))))
                 (is (= :unknown-option (error-of #(sc/at s {:whenn nil} (sc/add-group! s)))))))))

(deftest a-lazy-result-is-realised-in-the-moment
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (let [n (last-n s)
                     gs (sc/at s nil {:groups (map (fn [_] (sc/add-group! s)) (range 3))})]
                 (is (= 1 (count (sent-after s n))))
                 (is (= 3 (count (:groups gs))))))))

(deftest a-time-to-come
  (each-kind kinds {}
             (fn [s]
               (let [failed (failures s)
                     t      (.plusMillis (Instant/now) 300)
                     n      (last-n s)
                     [y b]  (sc/at s t
                              (sc/add-synthdefs! s (synthdef "pluck"))
                              (let [b (sc/add-buffer! s {:samples [1 2 3]})]
                                [(sc/add-synth! s "pluck" {:freq b}) b]))]
                 (is (= [1.0 2.0 3.0] (map double (sc/get-sample-range b 0 3))) "buffers are made ahead")
                 (is (= [{:at t, :packets [["/s_new" "pluck" (:id y) 0 1 "freq" (:id b)]]}]
                        (filterv :at (map #(if (and (map? %) (:at %)) (update % :at (fn [^Instant i] (if (< (abs (.toMillis (Duration/between i t))) 1) t i))) %)
                                          (sent-after s n)))))
                 (is (not (contains? (node-ids s) (:id y))))
                 (is (= y (sc/await-started y)))
                 (testing "what destroys waits for the time"
                   (sc/at s (Duration/ofMillis 150) (sc/free! y) (sc/free! b))
                   (is (contains? (node-ids s) (:id y)))
                   (is (= 3 (nth (sc/request! s ["/b_query" (:id b)] ["/b_info" (:id b)]) 2)))
                   (is (= :freed-entity (error-of #(sc/query-buffer b))))
                   (sc/await-ended y)
                   (is (eventually #(= 0 (nth (sc/request! s ["/b_query" (:id b)] ["/b_info" (:id b)]) 2)))))
                 (is (= [] (failed)))))))

(deftest a-late-bundle-is-told
  (each-kind udp-kinds {}
             (fn [s]
               (let [heard (promise)]
                 (sc/on-lifecycle! s :late #(deliver heard %))
                 (sc/at s (.minusMillis (Instant/now) 250) (sc/add-group! s))
                 (is (< 0.2 (:late-s (deref heard 10000 {:late-s 0}))) "by how much it came too late")))))

(deftest a-completion-for-one-command-alone
  (each-kind kinds {}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "bell"))
               (let [n     (last-n s)
                     [b y] (sc/with-completion s [b (sc/add-buffer! s {:frame-count 64})]
                             [b (sc/add-synth! s :bell {:freq b})])
                     [{[[address _ _ _ {:keys [completion]}]] :packets}] (sent-after s n)]
                 (is (= "/b_alloc" address))
                 (is (= [["/s_new" "bell" (:id y) 0 1 "freq" (int (:id b))]] completion))
                 (is (= :synth (:kind (sc/query-node s y))))
                 (testing "beside what does not wait"
                   (let [[inner outer] (sc/at s nil
                                         [(sc/with-completion s [_ (sc/add-buffer! s {:frame-count 64})] (sc/add-group! s))
                                          (sc/add-group! s)])]
                     (is (= [(:id inner) (:id outer)] (filter #{(:id inner) (:id outer)} (map :id (sc/children (sc/default-group s)))))
                         "the one that waited came to the head last")))
                 (is (= :no-completion (error-of #(sc/with-completion s [_ (sc/add-group! s)] (sc/add-group! s)))))))))

(deftest failures-are-named-when-asked-for
  (each-kind kinds {}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "bell"))
               (let [y     (sc/add-synth! s :bell {} {:confirm true})
                     asked #(let [e (thrown %)] [(name (:espalier/error (ex-data e))) (:words (ex-data e))])]
                 (is (= ["no-such-synthdef" "SynthDef not found"] (asked #(sc/add-synth! s :nope {} {:confirm true}))))
                 (is (= "no-such-node" (first (asked #(sc/add-synth! s :bell {} {:target 77777, :confirm true})))))
                 (is (= "no-such-node" (first (asked #(sc/add-synth! s :bell {} {:target 77777, :action :after, :confirm true})))))
                 (is (= ["duplicate-node" "duplicate node ID"] (asked #(sc/add-synth! s :bell {} {:id (:id y), :confirm true}))))
                 (is (= "no-such-node" (first (asked #(sc/command! s :n-set {:id 77777, :controls {:freq 1}} {:confirm true})))))
                 (testing "in a moment, with every failure"
                   (let [e (thrown #(sc/at s {:confirm true}
                                      (sc/add-group! s)
                                      (sc/add-synth! s :nope)
                                      (sc/add-buffer! s {:frame-count 8})
                                      (sc/add-synth! s :bell {} {:target 77777})
                                      (sc/set-controls! y {:freq 333})))]
                     (is (= [:espalier.error/no-such-synthdef :espalier.error/no-such-node]
                            (map (comp :espalier/error ex-data) (:failures (ex-data e)))))
                     (is (= {:freq 333.0} (sc/get-controls y [:freq])) "what could be done was")))
                 (testing "of asynchronous commands without being asked"
                   (is (= :file-failed (error-of #(sc/add-buffer! s {:path "/nowhere.wav"}))))
                   (is (= :file-failed (error-of #(sc/at s nil (sc/add-buffer! s {:path "/nowhere.wav"}) (sc/add-group! s))))))
                 (testing "the ids of what failed come again"
                   (let [free (sc/add-bus! s), b (sc/add-buffer! s {:frame-count 4})]
                     (is (thrown #(sc/add-buffer! s {:path "/nowhere.wav"})))
                     (is (= (inc (:id b)) (:id (sc/add-buffer! s {:frame-count 4}))))
                     (is (sc/free! free))))))))

(deftest a-full-node-table
  (doseq [kind udp-kinds]
    (sc/with-server [s (options kind {:maximum-node-count 64, :memory-size 65536})]
      (let [g (sc/add-group! s {:confirm true})]
        (sc/at s nil (dotimes [_ 60] (sc/add-group! s {:target g})))
        (is (= :too-many-nodes (some (fn [_] (let [e (error-of #(sc/add-group! s {:target g, :confirm true}))] (when (not= :none e) e)))
                                     (range 10))))
        (testing "a moment that can never fit is refused before anything is sent"
          (let [n (last-n s)]
            (is (= :too-many-nodes (error-of #(sc/at s nil (dotimes [_ 70] (sc/add-group! s))))))
            (is (= [] (sent-after s n)))))
        (is (pos? (:group-count (sc/status s))))))))

(def ^:private light
  "A bell that computes next to nothing: thousands of the real one are more than a busy
  machine can play."
  (synthdefs/synthdef :bell [:freq 440, :amp 0.1] (fn [freq amp] (out:kr 100 (multiply freq amp)))))

(deftest what-is-too-large-for-a-packet-happens-in-one-block
  (each-kind kinds {:maximum-node-count 8192, :memory-size 262144}
             (fn [s]
               (sc/add-synthdefs! s light)
               (let [g      (sc/add-group! s)
                     failed (failures s)
                     n      (last-n s)
                     ys     (sc/at s nil (vec (repeatedly 3000 #(sc/add-synth! s :bell {:freq 440, :amp 0} {:target g, :action :tail}))))
                     parts  (filter #(and (map? %) (= "/s_new" (ffirst (:packets %)))) (sent-after s n))]
                 (is (= 3000 (:synth-count (sc/status s))))
                 (is (= 1 (count (set (map :at parts)))) "all parts have one time")
                 (is (= (map :id ys) (map :id (sc/children g))))
                 (is (= [] (failed)))
                 (sc/free! g)
                 (testing "one that fits into none is refused, and gives back what it took"
                   (let [m (last-n s), b (sc/add-bus! s)]
                     (sc/free! b)
                     (is (= :packet-too-large (error-of #(sc/at s nil (sc/add-bus! s) (sc/send! s ["/n_set" 1 "x" (byte-array 20000000)])))))
                     (is (= [] (filter map? (sent-after s m))))
                     (is (= (:id b) (:id (sc/add-bus! s))))))))))

(deftest too-large-with-asynchronous-commands
  (each-kind udp-kinds {:maximum-node-count 8192, :memory-size 262144}
             (fn [s]
               (let [failed (failures s)
                     g (sc/at s nil
                         (sc/add-synthdefs! s light)
                         (let [g (sc/add-group! s)]
                           (dotimes [_ 1500] (sc/add-synth! s :bell {:freq 440, :amp 0} {:target g}))
                           (sc/add-synthdefs! s (synthdef "pluck"))
                           (dotimes [_ 10] (sc/add-synth! s :pluck {:freq 440, :amp 0} {:target g}))
                           g))]
                 (is (= 1510 (count (sc/children g))))
                 (is (= [] (failed)))))))

(deftest ids-come-again-only-when-nothing-came-of-them
  (each-kind udp-kinds {:maximum-node-count 64, :memory-size 65536, :buffer-count 64}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "pad"))
               (let [fresh! #(let [y (sc/add-synth! s :pad {} {:confirm true})] (sc/free! y {:confirm true}) (:id y))]
                 (testing "all moments are looked at before the first is sent"
                   (let [n (last-n s)]
                     (is (= :packet-too-large (error-of #(sc/at s nil
                                                           (sc/add-synth! s :pad)
                                                           (sc/at s (Duration/ofMillis 100) (sc/send! s ["/foo" (byte-array 70000)]))))))
                     (is (= :packet-too-large (error-of #(sc/at s (Duration/ofMillis 200)
                                                           (sc/add-buffer! s {:frame-count 64})
                                                           (sc/send! s ["/foo" (byte-array 70000)])))))
                     (is (= [] (sent-after s n)))
                     (is (= 0 (:id (sc/free! (sc/add-buffer! s {:frame-count 4})))))))
                 (testing "what the server refuses half-way is not taken back, for the rest plays"
                   (let [y (sc/add-synth! s :pad {} {:confirm true})]
                     (is (= :no-such-synthdef (error-of #(sc/at s {:confirm true} (sc/add-group! s) (sc/add-synth! s :nope)))))
                     (let [before (node-ids s)]
                       (is (not (contains? before (fresh!)))))
                     (sc/free! y)))
                 (testing "a call that fails in a moment gives back once"
                   (let [taken (promise)]
                     (is (= "no" (ex-message (thrown #(sc/at s nil
                                                        (is (= :invalid-argument (error-of (fn [] (sc/add-synth! s :pad {:amp ##NaN})))))
                                                        (deliver taken (sc/at s nil @(future (sc/at s {:confirm true} (sc/add-synth! s :pad)))))
                                                        (throw (ex-info "no" {})))))))
                     (is (not= (:id @taken) (:id (sc/add-synth! s :pad {} {:confirm true}))))))
                 (testing "one that was given by hand is not given in turn"
                   (let [a (sc/add-group! s), by-hand (sc/add-group! s {:id (+ 2 (:id a))})]
                     (is (apply distinct? (map :id [a by-hand (sc/add-group! s {:confirm true}) (sc/add-group! s {:confirm true})])))
                     (is (= :duplicate-node (error-of #(sc/add-group! s {:id (:id by-hand)}))))
                     (is (= :group (:kind (sc/query-node s by-hand))))))
                 (testing "buffers of files that are not there, more often than there are numbers"
                   (dotimes [_ 70]
                     (when-not (= :file-failed (error-of #(sc/at s nil (sc/add-buffer! s {:path "/nowhere.wav"}))))
                       (is false)))
                   (is (= 0 (:id (sc/add-buffer! s {:frame-count 4})))))
                 (testing "a bus is freed when the moment is sent"
                   (let [bus (sc/add-bus! s)]
                     (is (= "no" (ex-message (thrown #(sc/at s nil (sc/free! bus) (throw (ex-info "no" {})))))))
                     (is (= bus (sc/set-bus! bus 1)))
                     (sc/at s (Duration/ofMillis 300) (sc/free! bus) (sc/add-group! s))
                     (is (not= (:id bus) (:id (sc/add-bus! s))))))
                 (testing "of two threads that free a bus one does"
                   (dotimes [_ 200]
                     (let [bus (sc/add-bus! s)]
                       (is (= [:freed-entity :none] (sort (map deref (doall (repeatedly 2 #(future (error-of (fn [] (sc/free! bus)))))))))))))))))

(deftest a-thousand-steps-are-each-confirmed
  (each-kind udp-kinds {}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "pad"))
               (let [y (sc/add-synth! s :pad {} {:confirm true})
                     n      (if (not (supernova? s)) 3000 700)
                     moment (fn [where]
                              (error-of #(sc/at s {:confirm true}
                                           (dotimes [i n]
                                             (if (= i where)
                                               (sc/add-synth! s :nope)
                                               (sc/send! s ["/n_set" (:id y) "amp" 0.1]))))))]
                 (is (= [:no-such-synthdef :no-such-synthdef :none] (map moment [0 (dec n) nil])))
                 (when (= 700 n)
                   (is (= :too-much-at-once (error-of #(sc/at s {:confirm true} (dotimes [_ 3000] (sc/set-controls! y {:amp 1} {}) (sc/add-group! s)))))))))))

(deftest a-synth-to-come-can-be-freed-when-it-has-come
  (each-kind udp-kinds {}
             (fn [s]
               (sc/add-synthdefs! s (synthdef "pad"))
               (let [y (sc/at s (Duration/ofMillis 150) (sc/add-synth! s :pad))]
                 (is (= :node-not-started (error-of #(sc/set-controls! y {:amp 0.2}))))
                 (is (= :node-not-started (error-of #(sc/free! y))))
                 (sc/await-started y)
                 (is (= {:amp 0.2} (sc/get-controls (sc/set-controls! y {:amp 0.2}) [:amp])))
                 (sc/free! y)
                 (is (= y (sc/await-ended y)))
                 (is (false? (sc/active? y)))))))

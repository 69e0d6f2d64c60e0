(ns espalier.lifecycle-test
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.pprint :as pprint]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [error-of events]])
  (:import
   (java.time Duration)
   (java.util.concurrent CountDownLatch LinkedBlockingQueue TimeUnit)
   (java.util.function Consumer)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(deftest a-new-handle-is-offline
  (let [s (sc/server)]
    (is (re-matches #"#<Server OFFLINE \[\S*scsynth -R 0 -l 1 -u 57110\]>" (pr-str s)))
    (is (= (pr-str s) (str/trim (with-out-str (pprint/pprint s)))))
    (is (= :offline (sc/boot-status s) (:status (datafy s))))
    (is (nil? (sc/client-id s)))
    (is (nil? (sc/process s)))
    (is (nil? (sc/osc-client s)))
    (is (identical? s (sc/quit! s)) "there is nothing to quit")
    (is (identical? s (sc/disconnect! s)))
    (doseq [call [#(sc/status s) #(sc/sync! s) #(sc/send! s ["/status"]) #(sc/reset-server! s)
                  #(sc/default-group s) #(sc/query-tree s)]]
      (is (= :server-offline (error-of call))))))

(deftest boots-quits-and-boots-again
  (doseq [kind servers/kinds]
    (testing kind
      (let [s    (sc/server (servers/options kind))
            seen (events s)]
        (dotimes [_ 2]
          (is (identical? s (sc/boot! s)))
          (is (re-matches #"#<Server ONLINE \[\S*(scsynth|supernova|rehearsal) .*\]>" (pr-str s)))
          (is (= [:booting :process-booted :connecting :connected :booted] (seen :booted)))
          (is (true? (sc/owner? s)))
          (is (= 0 (sc/client-id s)))
          (is (= :server-online (error-of #(sc/boot! s)) (error-of #(sc/connect! s))))
          (is (= :owned-server-shutdown (error-of #(sc/disconnect! s))))
          (is (= 44100.0 (:target-sample-rate-hz (sc/status s))))
          (is (= (get {"supernova" :supernova} (:executable kind) :scsynth) (:engine (datafy s))))
          (is (identical? s (sc/quit! s)))
          (is (= :offline (sc/boot-status s)))
          (is (= [:quitting :process-quit :disconnected :quit] (seen :quit)))
          (is (empty? (servers/our-processes)) "the process is gone when quit! returns")
          (is (identical? s (sc/quit! s))))))))

(deftest says-what-the-server-says
  (servers/each-kind servers/kinds {}
    (fn [s]
      (is (= {:ugen-count 0, :synth-count 0, :group-count 2, :synthdef-count 0}
             (select-keys (sc/status s) [:ugen-count :synth-count :group-count :synthdef-count])))
      (is (every? double? ((juxt :actual-sample-rate-hz :average-cpu-percent :peak-cpu-percent) (sc/status s))))
      (is (= ["#<Group 0>" "#<Group 1>" "#<BusGroup 0..7 audio>" "#<BusGroup 8..15 audio>"]
             (map #(pr-str (% s)) [sc/root-node sc/default-group sc/audio-output-bus-group sc/audio-input-bus-group])))
      (is (= "NODE TREE 0 group\n    1 group\n" (with-out-str (sc/print-tree s)))))))

(deftest sends-messages-and-bundles
  (servers/each-kind servers/kinds {}
    (fn [s]
      (let [children #(map :id (:children (sc/query-tree s {:group 1})))]
        (is (identical? s (sc/send! s ["/g_new" 1000 1 (sc/default-group s)])))
        (sc/send! s {:packets [["/g_new" 1001 1 1] ["/g_new" 1002 1 1]]})
        (is (= [1000 1001 1002] (children)))
        (testing "at a time"
          (let [gone (promise)]
            (sc/on-osc! s ["/n_end" 1001] (fn [_] (deliver gone true)) {:once true})
            (sc/send! s {:at (Duration/ofMillis 300), :packets [["/n_free" 1001]]})
            (is (= [1000 1001 1002] (children)))
            (is (true? (deref gone 5000 false)))
            (is (= [1000 1002] (children)))))
        (testing "what OSC cannot carry is refused and sent not even in part"
          (doseq [bad [["/n_free" nil] ["/n_free" 3000000000] ["n_free" 1000] ["/n_free" (Object.)] [:n_free 1000] "/n_free"
                       {:packets [["/n_free" 1000] ["/n_free" nil]]} {:at nil} [] ["/x" [[1]]] ["/x" "a\u0000b"]]]
            (is (= :invalid-message (error-of #(sc/send! s bad))) (pr-str bad)))
          (doseq [at ["now" 1]]
            (is (= :invalid-time (error-of #(sc/send! s {:at at, :packets [["/n_free" 1000]]})))))
          (is (= :packet-too-large (error-of #(sc/send! s ["/x" (byte-array 17000000)]))))
          (is (= [1000 1002] (children))))
        (sc/reset-server! s)
        (is (= [] (children)))))))

(deftest requests-bring-the-servers-words
  (servers/each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (let [e (servers/thrown #(sc/request! s ["/n_query" 4711] ["/n_info" 4711]))]
        (is (= "Node 4711 not found" (:words (ex-data e))))
        (is (= :espalier.error/no-such-node (:espalier/error (ex-data e)))))
      (let [e (servers/thrown #(sc/request! s ["/none"] ["/never"] {:timeout-ms 50}))]
        (is (= [:espalier.error/no-answer 50] ((juxt :espalier/error :timeout-ms) (ex-data e)))))
      (is (= ["/b_info" 0 0 0 0.0] (sc/request! s ["/b_query" 0] ["/b_info" 0])))
      (testing "many at once, each its own"
        (is (every? true? (pmap (fn [i] (= ["/c_set" i (float i)]
                                           (do (sc/send! s ["/c_set" i i])
                                               (sc/request! s ["/c_get" i] ["/c_set" i]))))
                                (range 200))))))))

(deftest handlers-hear-what-fits
  (servers/each-kind servers/udp-kinds {}
    (fn [s]
      (let [seen   (events s)
            heard  (LinkedBlockingQueue.)
            hear   (fn [k] (fn [m] (.put heard [k (second m)])))
            take-n (fn [n] (set (repeatedly n #(.poll heard 5 TimeUnit/SECONDS))))
            gate   (CountDownLatch. 1)]
        (let [all (sc/on-osc! s "/n_go" (hear :all))]
          (sc/on-osc! s ["/n_go" 1001] (hear :prefix))
          (sc/on-osc! s #(= ["/n_go" 1002] (take 2 %)) (hear :predicate))
          (sc/on-osc! s "/n_go" (hear :once) {:once true})
          (sc/on-osc! s "/n_go" (fn [_] (throw (ex-info "on purpose" {}))) {:once true})
          (sc/on-osc! s "/n_go" (fn [_] (.await gate)))
          (sc/send! s ["/g_new" 1001 0 1 1002 0 1])
          (is (= #{[:all 1001] [:all 1002] [:prefix 1001] [:predicate 1002] [:once 1001]} (take-n 5)))
          (is (= [:handler-failed] (seen :handler-failed)))
          (is (true? (sc/off! s all)))
          (is (false? (sc/off! s all)))
          (sc/send! s ["/g_new" 1003 0 1])
          (sc/sync! s)
          (sc/send! s ["/n_free" 1001])
          (sc/on-osc! s "/n_end" (hear :end))
          (sc/send! s ["/n_free" 1002])
          (is (= #{[:end 1002]} (disj (take-n 2) [:end 1001] nil)))
          (.countDown gate))
        (is (= :invalid-pattern (error-of #(sc/on-osc! s 5 identity)) (error-of #(sc/on-osc! s [5] identity))))))))

(deftest options-of-a-boot-are-of-that-boot
  (let [port (sc/find-free-port)
        s    (sc/server (servers/options {:executable "scsynth"}))]
    (sc/boot! s {:port port, :ip-address "0.0.0.0", :input-bus-channel-count 2})
    (is (str/includes? (pr-str s) (str " -B 0.0.0.0 -D 0 -R 0 -i 2 -l 1 -u " port)))
    (is (= 2 (:count (sc/audio-input-bus-group s))))
    (sc/reboot! s)
    (is (str/includes? (pr-str s) (str "-u " port)) "reboot! keeps them")
    (sc/quit! s)
    (is (not (str/includes? (pr-str s) (str port))) "and then they are forgotten")
    (is (= 8 (:input-bus-channel-count (:options (clojure.core.protocols/datafy s)))))))

(deftest a-server-can-be-silent-about-being-ready
  (sc/with-server [s (servers/options {:executable "scsynth"} {:verbosity -1})]
    (is (= 2 (:group-count (sc/status s))))))

(deftest reset-brings-the-default-groups-back
  (servers/each-kind servers/kinds {:maximum-logins 2}
    (fn [s]
      (let [tree (sc/query-tree s {:group 1})
            root (set (map :id (:children (sc/query-tree s))))]
        (sc/send! s ["/g_new" 1000 0 0 1001 0 1 1002 0 1001])
        (sc/send! s {:at (Duration/ofSeconds 60), :packets [["/g_new" 1003 0 1]]})
        (is (identical? s (sc/reset-server! s)))
        (is (= tree (sc/query-tree s {:group 1})))
        (is (= root (set (map :id (:children (sc/query-tree s))))))))))

(deftest wrong-calls-are-named
  (sc/with-server [s (servers/options {:executable "scsynth"})]
    (doseq [[code call] {:unknown-option #(sc/sync! s {:timeout 5}), :invalid-option #(sc/sync! s 500)}]
      (is (= code (error-of call))))
    (is (= :invalid-option (error-of #(sc/status s {:timeout-ms "500"})) (error-of #(sc/query-tree s 1000))
           (error-of #(sc/query-tree s {:group "1"})) (error-of #(sc/sync! s {:timeout-ms 0}))))
    (is (= :unknown-option (error-of #(sc/quit! s {:forse true})) (error-of #(sc/on-osc! s "/x" prn {:onze true}))))
    (is (= :no-handle (error-of #(sc/boot! {:audio :dummy})) (error-of #(sc/status nil)) (error-of #(sc/send! 5 ["/x"]))))
    (is (= :unknown-event (error-of #(sc/on-lifecycle! s [:qiut] prn))))
    (is (= :no-function (error-of #(sc/on-osc! s "/x" nil)) (error-of #(sc/on-lifecycle! s nil))))
    (testing "what Java has in place of functions"
      (let [heard (LinkedBlockingQueue.)
            hears (reify Consumer (accept [_ x] (.put heard x)))
            group (do (sc/on-osc! s "/n_go" hears {:once true})
                      (sc/call-at s nil (reify Callable (call [_] (sc/add-group! s)))))]
        (is (= ["/n_go" (:id group)] (take 2 (.poll heard 5 TimeUnit/SECONDS))))
        (sc/on-lifecycle! s :command-failed hears)
        (sc/send! s ["/n_free" 12345])
        (is (= :command-failed (:event (.poll heard 5 TimeUnit/SECONDS))))))
    (testing "what send! brings about is an event"
      (let [failed (promise)]
        (sc/on-lifecycle! s :command-failed #(deliver failed (:message %)))
        (sc/send! s ["/s_new" "nosuch" 1000 0 1])
        (is (= ["/fail" "/s_new" "SynthDef not found"] (deref failed 5000 :nothing)))
        (is (servers/eventually (fn [] (some #(re-find #"nosuch" %) (sc/server-output s)))))))))

(deftest with-server-always-quits
  (let [kept (atom nil)]
    (is (= 42 (sc/with-server [s (servers/options {})] (reset! kept s) 42)))
    (is (= :offline (sc/boot-status @kept)))
    (is (thrown-with-msg? Exception #"on purpose"
                          (sc/with-server [s (servers/options {})] (reset! kept s) (throw (ex-info "on purpose" {})))))
    (is (= :offline (sc/boot-status @kept)))))

(deftest kill-all-ends-what-we-started
  (let [s    (sc/boot! (sc/server (servers/options {})))
        seen (events s)]
    (is (= (if (= :rehearsal servers/*scsynth*) 1 2) (sc/kill-all!)) "the server and its JACK")
    (is (= [:process-died :disconnected :lost] (seen :lost)))
    (is (= :lost (sc/boot-status s)))
    (is (= 0 (sc/kill-all!)))
    (testing "a lost handle boots again"
      (is (= :server-offline (error-of #(sc/status s))))
      (sc/boot! s)
      (is (= :online (sc/boot-status s)))
      (sc/quit! s))))

(deftest calls-at-the-same-time-take-turns
  (let [s       (sc/server (servers/options {}))
        results (doall (map deref (doall (repeatedly 4 #(future (error-of (fn [] (sc/boot! s))))))))]
    (is (= {:none 1, :server-online 3} (frequencies results)))
    (doall (map deref (doall (repeatedly 4 #(future (sc/quit! s))))))
    (is (= :offline (sc/boot-status s)))))

(ns espalier.interrupts-test
  "Calls that are cancelled, blocked or made at the same time leave nothing behind
  and the handle usable."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [error-of events]])
  (:import
   (espalier.kernel ServerProcess ServerProcess$Spec)
   (java.time Duration)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- settles
  "Waits until a handle is at rest, and returns its status."
  [s]
  (servers/eventually #(#{:offline :online :lost} (sc/boot-status s))))

(deftest a-boot-that-is-cancelled
  (let [s (sc/server (servers/options {:executable "scsynth"}))]
    (doseq [delay-ms [2 10 30 80 150]]
      (let [boot (future (sc/boot! s))]
        (.await (java.util.concurrent.CountDownLatch. 1) delay-ms TimeUnit/MILLISECONDS)
        (future-cancel boot)
        (is (#{:offline :online} (settles s)) delay-ms)
        (sc/quit! s)
        (is (servers/eventually #(empty? (servers/our-processes))) delay-ms)))
    (is (= :online (sc/boot-status (sc/boot! s))))
    (sc/quit! s)))

(deftest a-quit-that-is-cancelled
  (let [s (sc/boot! (sc/server (servers/options {:executable "scsynth"})))]
    (servers/signal! "STOP" (servers/pid s))
    (let [quit (future (sc/quit! s))]
      (is (servers/eventually #(= :quitting (sc/boot-status s))))
      (future-cancel quit)
      (is (= :offline (settles s)))
      (is (servers/eventually #(empty? (servers/our-processes)))))))

(deftest with-server-quits-for-who-is-interrupted
  (let [kept (atom nil)]
    (is (true? (deref (future (sc/with-server [s (servers/options {:executable "scsynth"})]
                                (reset! kept s)
                                (.interrupt (Thread/currentThread)))
                              (Thread/interrupted))
                      30000 :hangs))
        "and the interrupt is not lost")
    (is (= :offline (sc/boot-status @kept)))))

(deftest closing-a-handle-that-boots
  (let [s    (sc/server (servers/options {:executable "scsynth"}))
        boot (future (sc/boot! s))]
    (is (servers/eventually #(= :booting (sc/boot-status s))))
    (.close ^java.io.Closeable s)
    (is (= s (deref boot 30000 :hangs)))
    (is (= :offline (sc/boot-status s)))))

(deftest handlers-may-call-anything
  (doseq [event [:booting :process-booted :connecting :connected :booted]]
    (let [s    (sc/server (servers/options {:executable "scsynth"}))
          done (promise)]
      (sc/on-lifecycle! s event (fn [_] (deliver done (error-of #(sc/quit! s)))))
      (error-of #(sc/boot! s))
      (is (= :none (deref done 30000 :hangs)) event)
      (sc/quit! s))))

(deftest boots-at-the-same-time
  (testing "each with a JACK of its own"
    (let [handles (vec (repeatedly 3 #(sc/server (servers/options {:executable "scsynth"}))))]
      (is (= [:none] (distinct (map deref (doall (map #(future (error-of (fn [] (sc/boot! %)))) handles))))))
      (sc/quit! (first handles))
      (doseq [s (rest handles)]
        (is (= 2 (:group-count (sc/status s))))
        (sc/quit! s))))
  (testing "on one port, where one wins and keeps its shared memory"
    (let [{:keys [port] :as opts} (servers/options {:executable "scsynth"})
          handles (vec (repeatedly 2 #(sc/server opts)))
          results (mapv deref (doall (map #(future (error-of (fn [] (sc/boot! %)))) handles)))
          winner  (first (filter #(= :online (sc/boot-status %)) handles))]
      (is (= {:none 1, :server-cannot-boot 1} (frequencies results)))
      (is (.exists (io/file (str "/dev/shm/SuperColliderServer_" port))))
      (is (= 2 (:group-count (sc/status winner))))
      (testing "nor by the other protocol"
        (let [other (sc/server (assoc opts :protocol :tcp))]
          (is (= :server-cannot-boot (error-of #(sc/boot! other))))
          (is (.exists (io/file (str "/dev/shm/SuperColliderServer_" port))))))
      (sc/quit! winner))))

(deftest a-connection-that-is-full
  (let [s    (sc/boot! (sc/server (servers/options {:executable "scsynth", :protocol :tcp}
                                                   {:watch-interval-ms 100, :watch-patience-ms 1000})))
        seen (events s)]
    (servers/signal! "STOP" (servers/pid s))
    (let [blocked (future (error-of #(while true (sc/send! s ["/x" (byte-array 1000000)]))))]
      (is (= [:server-silent :process-quit :disconnected :lost] (seen :lost)))
      (is (#{:link-closed :server-offline} (deref blocked 10000 :hangs)))))
  (testing "does not hold up quit!"
    (let [s (sc/boot! (sc/server (servers/options {:executable "scsynth", :protocol :tcp})))]
      (servers/signal! "STOP" (servers/pid s))
      (let [blocked (future (error-of #(while true (sc/send! s ["/x" (byte-array 1000000)]))))]
        (is (= s (deref (future (sc/quit! s)) 20000 :hangs)))
        (is (#{:link-closed :server-offline} (deref blocked 10000 :hangs)))))))

(deftest a-death-ends-every-wait-at-once
  (doseq [protocol [:udp :tcp]]
    (let [s (sc/boot! (sc/server (servers/options {:executable "scsynth", :protocol protocol} {:timeout-ms 60000})))]
      (servers/signal! "STOP" (servers/pid s))
      (let [waits [(future (error-of #(sc/reset-server! s))) (future (error-of #(sc/sync! s)))]]
        (servers/signal! "KILL" (servers/pid s))
        (is (= [:server-offline :server-offline] (map #(deref % 20000 :hangs) waits)) protocol))
      (is (servers/eventually #(= :lost (sc/boot-status s))))
      (testing "and reboot! remembers how it was booted"
        (sc/quit! s)))))

(deftest reboot-after-a-loss-is-as-the-boot-was
  (let [port (sc/find-free-port)
        s    (sc/boot! (sc/server (servers/options {:executable "scsynth"})) {:port port, :input-bus-channel-count 2})
        seen (events s)]
    (servers/signal! "KILL" (servers/pid s))
    (seen :lost)
    (sc/reboot! s)
    (is (= [port 2] [(:port (servers/address s)) (:count (sc/audio-input-bus-group s))]))
    (sc/quit! s)))

(deftest a-server-without-our-groups-and-with-too-many-logins
  (let [jack ((requiring-resolve 'espalier.runtime.audio/start-dummy!)
              {:dummy-sample-rate-hz 44100, :dummy-period-frames 64, :boot-timeout-ms 10000})
        port (sc/find-free-port)
        bare (ServerProcess/start
               (ServerProcess$Spec. [(sc/find-scsynth) "-u" (str port) "-R" "0" "-D" "0"] (:environment jack)
                                    (reify java.util.function.Predicate (test [_ line] (.contains ^String line "server ready")))
                                    (.toPath (io/file (str "/dev/shm/SuperColliderServer_" port)))
                                    (reify java.util.function.Consumer (accept [_ _]))))]
    (try
      (.awaitReady bare (Duration/ofSeconds 10))
      (let [guests (vec (repeatedly 32 #(sc/connect! (sc/server {:port port}))))]
        (is (= (range 1 33) (map (comp :id sc/default-group) guests)))
        (is (= (set (range 1 33)) (set (map :id (:children (sc/query-tree (first guests)))))) "each made its own")
        (let [late (sc/server {:port port})]
          (is (= :too-many-clients (error-of #(sc/connect! late))) "client 32 has no node ids")
          (sc/disconnect! (guests 5))
          (dotimes [_ 40] (error-of #(sc/connect! late {:timeout-ms 1})))
          (sc/disconnect! late)
          (sc/sync! (first guests))
          (testing "a login that came to nothing gives its place back: they go round until it is the turn of ours"
            (let [turn (fn [id]
                         (sc/disconnect! (guests id))
                         (= id (some (fn [_]
                                       (when (= :none (error-of #(sc/connect! late)))
                                         (sc/client-id late)))
                                     (range 64))))]
              ;; On a busy machine one in some hundred logins of a millisecond keeps its place; not two in turn.
              (is (or (turn 5) (turn 6))))
            (sc/disconnect! late)))
        (run! sc/disconnect! guests))
      (finally
        (.end bare nil Duration/ZERO (Duration/ofSeconds 1))
        ((requiring-resolve 'espalier.runtime.audio/stop-dummy!) jack)))))

(deftest supernova-by-ipv6
  (sc/with-server [s (servers/options {:executable "supernova"} {:ip-address "::1"})]
    (is (= 2 (:group-count (sc/status s))))))

(deftest a-quiet-server-by-tcp
  (doseq [executable ["scsynth" "supernova"]]
    (sc/with-server [s (servers/options {:executable executable, :protocol :tcp} {:verbosity -1})]
      (is (= 2 (:group-count (sc/status s)))))))

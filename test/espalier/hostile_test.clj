(ns espalier.hostile-test
  "Others who mean harm, or know no better: strangers who answer in the server's place, packets that are none, clients who
  free what is ours, flood the server and end it; and answers that come when nobody waits for them any more."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.proxy :as proxy]
   [espalier.runtime.link :as link]
   [espalier.servers :as servers :refer [error-of eventually events]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (espalier.kernel Link OscCodec)
   (java.io Closeable)
   (java.net DatagramPacket DatagramSocket InetAddress InetSocketAddress)
   (java.nio ByteBuffer)
   (java.util SplittableRandom)
   (java.util.concurrent CountDownLatch)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private loopback (InetAddress/getLoopbackAddress))

(defsynth ^:private hum [out 0, freq 220]
  (ugens/out:kr out freq))

(defn- bytes-of ^bytes [message]
  (let [^ByteBuffer out (.encode (OscCodec. 65507) (link/packet message))
        bytes           (byte-array (.limit out))]
    (.get out bytes)
    bytes))

(defn- known-ids [s] (set (keys (:nodes (sc/state s)))))

(defn- told-ids [s]
  (set (map :id (tree-seq :children :children (sc/query-tree s {:controls false})))))

;; ---- answers in the server's place

(deftest what-a-stranger-says-is-not-heard
  (servers/each-kind (take 1 servers/udp-kinds) {}
    (fn [s]
      (with-open [stranger (DatagramSocket. 0 loopback)]
        (let [group  (sc/add-group! s {:confirm true})
              bus    (sc/set-bus! (sc/add-bus! s) 7 {:confirm true})
              ^Link l (sc/osc-client s)
              to     (InetSocketAddress. ^InetAddress loopback (.localPort l))
              before (.received l)]
          (doseq [lie [["/n_end" (:id group) 1 -1 -1 1 -1 -1] ["/n_go" 5000 0 -1 -1 0] ["/c_set" (:id bus) 99.0] ["/synced" 1] ["/stranger" 1]]]
            (let [bytes (bytes-of lie)]
              (.send stranger (DatagramPacket. bytes (alength bytes) to))))
          (is (= 7.0 (sc/get-bus bus)))
          (is (= (:id group) (:id (sc/query-node s group))))
          (is (not (contains? (known-ids s) 5000)))
          (is (= [] (sc/trace s {:address "/stranger"})))
          (is (< before (.received l)) "what the server itself says is"))))))

(deftest an-answer-that-comes-too-late-is-none-to-the-same-question
  (servers/each-kind servers/udp-kinds {:maximum-logins 2}
    (fn [witness]
      (with-open [^Closeable p (proxy/start! (servers/address witness))
                  ^Closeable s (sc/connect! (sc/server (assoc (servers/address witness) :port (proxy/port p))))]
        (let [bus (sc/set-bus! (sc/add-bus! s) 1 {:confirm true})]
          (proxy/trouble! p {:delay-ms {:sent 300}})
          (is (= :no-answer (error-of #(sc/get-bus bus {:timeout-ms 50}))))
          (sc/set-bus! bus 2)
          (is (= 2.0 (sc/get-bus bus)))
          (proxy/trouble! p nil))))))

;; ---- packets that are none

(defn- recorded
  "Packets as servers send them, bytes."
  [s]
  (into [] (comp (map :packet) (filter vector?) (map bytes-of)) (sc/trace s {:direction :received})))

(defn- heap-after-gc ^long []
  (dotimes [_ 3] (System/gc))
  (let [r (Runtime/getRuntime)] (- (.totalMemory r) (.freeMemory r))))

(defn- spoilt-packets!
  "Has `n` spoilt packets sent to a client from where its server is; it must know no more, nor less, than before."
  [n seed]
  (do
    (sc/with-server [real (servers/options {:executable "scsynth"} {:maximum-logins 2})]
      (sc/add-synthdefs! real hum)
      (let [y (sc/add-synth! real :hum {} {:confirm true})]
        (sc/get-controls y [:freq])
        (sc/query-node real y)
        (sc/sync! real)
        (let [packets (recorded real)
              random  (SplittableRandom. seed)]
          (with-open [^Closeable p (proxy/start! (servers/address real))
                      ^Closeable s (sc/connect! (sc/server (assoc (servers/address real) :port (proxy/port p))))]
            (let [^Link l   (sc/osc-client s)
                  malformed (.malformed l)
                  heap      (heap-after-gc)]
              (dotimes [i n]
                (proxy/inject! p (proxy/spoil random (packets (.nextInt random (count packets)))))
                ;; No more than the socket holds.
                (when (zero? (rem (inc i) 500)) (error-of #(sc/sync! s {:timeout-ms 2000}))))
              (is (eventually #(= :none (error-of (fn [] (sc/sync! s {:timeout-ms 500}))))))
              (is (< malformed (.malformed l)) "they are counted")
              ;; A few that are OSC, and nonsense, are passed over as faults of who hears them.
              (is (< (.listenerFaults l) (quot (long n) 100)))
              (is (= :online (sc/boot-status s)))
              (is (eventually #(= (known-ids s) (told-ids real))) "what is false in what it knows is found")
              (let [made (sc/add-synth! s :hum {:freq 3} {:confirm true})]
                (is (= {:freq 3.0} (sc/get-controls made [:freq]))))
              {:packets n, :malformed (- (.malformed l) malformed), :heap-growth-bytes (- (heap-after-gc) heap)})))))))

(deftest five-thousand-spoilt-packets
  (spoilt-packets! 5000 1))

(deftest ^:soak a-hundred-thousand-spoilt-packets
  (doseq [seed [1 (rand-int 1000000)]]
    (let [{:keys [heap-growth-bytes] :as seen} (spoilt-packets! 100000 seed)]
      (println seed seen)
      (is (< heap-growth-bytes 20000000)))))

;; ---- clients who mean harm

(deftest a-client-who-frees-what-is-ours
  (servers/each-kind servers/udp-kinds {:maximum-logins 2}
    (fn [s]
      (with-open [^Closeable rival (sc/connect! (sc/server (servers/address s)))]
        (sc/add-synthdefs! s hum)
        (let [y    (sc/add-synth! s :hum {} {:confirm true})
              form [:group {:key :g} [:synth {:key :a, :def hum} {:freq 1}]]]
          (sc/reconcile! s form)
          (sc/send! rival ["/g_freeAll" 1])
          (sc/sync! rival)
          (is (eventually #(not (sc/active? y))))
          (is (= :freed-entity (error-of #(sc/set-controls! y {:freq 1}))))
          (is (seq (sc/drift s)))
          (sc/repair! s)
          (is (= [] (sc/drift s)))
          (is (eventually #(= (known-ids s) (told-ids s)))))))))

(deftest a-client-who-floods
  (servers/each-kind servers/udp-kinds {:maximum-logins 2, :watch-patience-ms 10000}
    (fn [s]
      (with-open [^Closeable rival (sc/connect! (sc/server (servers/address s)))]
        (let [on?   (atom true)
              flood (future (while @on? (dotimes [_ 200] (sc/send! rival ["/c_set" 0 1])) (error-of #(sc/sync! rival {:timeout-ms 100}))))
              codes (set (repeatedly 20 #(error-of (fn [] (sc/sync! s {:timeout-ms 500})))))]
          (is (every? #{:none :no-answer} codes))
          (reset! on? false)
          @flood)
        (is (= :none (error-of #(sc/sync! s))))
        (is (= :online (sc/boot-status s)))))))

(deftest a-client-who-ends-the-server
  (servers/each-kind (take 1 servers/udp-kinds) {:maximum-logins 2, :timeout-ms 60000}
    (fn [s]
      (let [seen (events s), port (:port (servers/address s))]
        (is (= :no-such-synthdef (error-of #(sc/add-synth! s "nosuch" {} {:confirm true}))))
        (with-open [rival (DatagramSocket. 0 loopback)]
          (let [bytes (bytes-of ["/quit"])]
            (.send rival (DatagramPacket. bytes (alength bytes) (InetSocketAddress. ^InetAddress loopback (int port))))))
        (is (= [:process-died :disconnected :lost] (seen :lost)))
        (let [e (try (sc/sync! s) (catch clojure.lang.ExceptionInfo e e))]
          (is (= :espalier.error/server-offline (error/code e)))
          (is (= "The server was lost: its process ended (exit 0); (sc/boot! s) boots it again." (ex-message e))
              "and nothing of the SynthDef that it did not have"))
        (is (= :online (sc/boot-status (sc/boot! s))))))))

;; ---- handlers

(deftest handlers-that-throw-block-and-call-back-harm-nobody
  (servers/each-kind (take 1 servers/udp-kinds) {}
    (fn [s]
      (let [gate    (CountDownLatch. 1)
            called  (promise)
            calls   [(sc/on-osc! s "/n_go" (fn [_] (throw (StackOverflowError.))))
                     (sc/on-osc! s "/n_go" (fn [_] (.await gate)))
                     (sc/on-osc! s "/n_go" (fn [[_ id]] (deliver called (error-of #(do (sc/sync! s) (sc/free! (sc/add-group! s {:confirm true}))
                                                                                        (sc/query-node s id))))))
                     (sc/on-lifecycle! s (fn [_] (throw (AssertionError.))))]
            group   (sc/add-group! s {:confirm true})]
        (is (= :none (deref called 10000 :hangs)) "a handler may ask")
        (is (= (:id group) (:id (sc/query-node s group))) "and others are answered")
        (.countDown gate)
        (run! #(sc/off! s %) calls)))))

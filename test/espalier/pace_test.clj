(ns espalier.pace-test
  "However fast one sends, nothing is lost, and who cannot be heard is told so."
  (:require
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [each-kind error-of eventually]])
  (:import
   (espalier.kernel Link)
   (java.net DatagramPacket DatagramSocket InetSocketAddress)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private bus-count 5000)

(defn- set-all!
  "Sets each control bus by a message of its own, from several threads at once."
  [s thread-count value]
  (->> (range thread-count)
       (mapv (fn [t] (future (doseq [i (range t bus-count thread-count)] (sc/send! s ["/c_set" i (+ (long value) (long i))])))))
       (run! deref)))

(defn- wrong
  "How many buses have another value."
  [s value]
  (let [got (sc/get-buses (sc/add-bus-group! s {:count bus-count}))]
    (count (remove true? (map == got (range value (+ (long value) (long bus-count))))))))

(deftest a-burst-arrives
  (each-kind servers/kinds {:dummy-period-frames 1024}
    (fn [s]
      (set-all! s 1 10)
      (set-all! s 4 20)
      (is (zero? (long (wrong s 20)))))))

(deftest ^:soak a-flood-arrives
  (doseq [period [64 1024]]
    (each-kind servers/kinds {:dummy-period-frames period}
      (fn [s]
        (dotimes [i 20]
          (set-all! s (if (even? i) 1 4) (* 100 i)))
        (is (zero? (long (wrong s 1900))))
        (is (contains? #{0 nil} (get-in (sc/health s) [:lost :sent])))))))

(deftest light-traffic-is-as-before
  (each-kind (take 1 servers/udp-kinds) nil
    (fn [s]
      (let [n (servers/last-n s)]
        (dotimes [i 60] (sc/send! s ["/c_set" 0 i]))
        (is (= 60 (count (servers/sent-after s n))) "nothing is asked")
        (is (zero? (.waits ^Link (sc/osc-client s))))))))

(defn- flood!
  "Sends more to a port of this machine than a socket keeps."
  [port]
  (let [nothing (.getBytes "/none\0\0\0,\0\0\0")]
    (with-open [socket (DatagramSocket.)]
      (dotimes [_ 400]
        (.send socket (DatagramPacket. nothing (alength nothing) (InetSocketAddress. "127.0.0.1" (int port))))))))

(deftest a-server-that-does-not-read
  (if (= :rehearsal servers/*scsynth*)
    (is true "a rehearsal reads always")
    (sc/with-server [s (servers/options {:executable "scsynth"} {:timeout-ms 300, :watch-patience-ms 60000})]
      (let [pid (servers/pid s), lost #(get-in (sc/health s) [:lost :sent])]
        (servers/signal! "STOP" pid)
        (try
          (let [sent (count (take-while #(= :none %) (map (fn [i] (error-of #(sc/send! s ["/c_set" i 7]))) (range 1000))))]
            (is (< 100 sent 600) "as many as its socket holds, and what it read before it stood still")
            (is (= :server-behind (error-of #(dotimes [_ 100] (sc/send! s ["/c_set" 999 7])))) "then at once")
            (is (= :server-behind (error-of #(sc/at s nil (sc/add-group! s)))))
            (is (= :server-behind (error-of #(sc/sync! s))))
            (is (contains? #{0 nil} (lost)))
            (flood! (:port (servers/address s)))
            (is (or (nil? (lost)) (< 100 (long (lost)))) "what others lose there is seen")
            (servers/signal! "CONT" pid)
            (is (eventually #(= :none (error-of (fn [] (sc/sync! s))))) "what it read makes room")
            (is (= [7.0] (distinct (sc/get-buses (sc/add-bus-group! s {:count sent}))))))
          (finally (servers/signal! "CONT" pid)))))))

(deftest who-waits-holds-up-nobody
  (if (= :rehearsal servers/*scsynth*)
    (is true)
    (let [s   (sc/boot! (sc/server (servers/options {:executable "scsynth"} {:timeout-ms 60000, :watch-patience-ms 60000})))
          pid (servers/pid s)]
      (servers/signal! "STOP" pid)
      (let [waits (future (error-of #(while true (sc/send! s ["/c_set" 0 7]))))]
        (is (eventually #(< 200 (long (get-in (sc/health s) [:queues :unread-packets])))))
        (is (= s (deref (future (sc/quit! s)) 20000 :hangs)))
        (is (contains? #{:link-closed :server-offline} (deref waits 10000 :hangs)))))))

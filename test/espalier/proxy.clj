(ns espalier.proxy
  "Between a client and a real server on this machine: packets get lost, late, doubled, out of
  order or spoilt on their way, as a seed says.

      (with-open [p (proxy/start! {:port 57110, :protocol :udp})]
        (sc/connect! s {:port (proxy/port p)})
        (proxy/trouble! p {:drop 0.1, :seed 7})
        …
        (proxy/trouble! p nil))

  By UDP, trouble is that of `espalier.model.rehearsal-trouble`, where what a server receives
  and sends has these names, and `:corrupt`, how probably a packet of the server is spoilt. What
  goes to the server never is: scsynth does not survive it. By TCP there is `:delay-ms`, and
  `:chunk`, the most bytes that go on at a time; `cut!` ends all connections in mid-packet."
  (:require
   [espalier.model.rehearsal-trouble :as trouble])
  (:import
   (java.io Closeable InputStream OutputStream)
   (java.net DatagramPacket DatagramSocket InetAddress InetSocketAddress ServerSocket Socket SocketException)
   (java.util Arrays SplittableRandom)
   (java.util.concurrent ConcurrentHashMap ConcurrentLinkedQueue Executors ScheduledExecutorService ThreadFactory TimeUnit)
   (java.util.concurrent.atomic AtomicLong AtomicReference)))

(set! *warn-on-reflection* true)

(def ^:private ^InetAddress loopback (InetAddress/getLoopbackAddress))

(def ^:private longest-hold-ms "How long a packet waits for another to overtake it." 20)

(defprotocol Proxy
  (port [p] "The port to connect to.")
  (trouble! [p trouble] "Makes this trouble from now on, in place of all that there was; returns it.")
  (cut! [p] "By TCP, ends all connections after half of what comes next from the server.")
  (inject! [p bytes] "By UDP, sends bytes to every client, as if they were the server's.")
  (counts [p] "How many packets came: `:received` by the server, `:sent` by it, and what became of them, by kind."))

(defn- thread! [f]
  (doto (Thread. ^Runnable f "proxy") (.setDaemon true) (.start)))

(defn spoil
  "Bytes with a few of them changed, cut short or made longer, as `random` says."
  ^bytes [^SplittableRandom random ^bytes bytes]
  (let [n   (alength bytes)
        out (case (.nextInt random 6)
              0 (Arrays/copyOf bytes (.nextInt random (inc n)))
              1 (Arrays/copyOf bytes (+ n (inc (.nextInt random 8))))
              (Arrays/copyOf bytes n))]
    (when (pos? (alength out))
      (dotimes [_ (inc (.nextInt random 4))]
        (aset out (.nextInt random (alength out)) (unchecked-byte (.nextInt random 256)))))
    out))

;; ---- UDP

(defn- carry!
  "Lets a packet go on its way by `go!`, called with its bytes, or what becomes of it instead."
  [{:keys [trouble numbers tallies ^ScheduledExecutorService later held]} direction ^bytes bytes go!]
  (let [n      (.getAndIncrement ^AtomicLong (numbers direction))
        {:keys [corrupt seed] :as all} @trouble
        {:keys [copies delay-ms hold?]} (trouble/fate (dissoc all :corrupt) direction n)
        random (SplittableRandom. (+ 7919 (* 31 (long (or seed 0))) (long n)))
        spoilt? (and corrupt (= :sent direction) (< (.nextDouble random) (double corrupt)))
        bytes  (if spoilt? (spoil random bytes) bytes)
        tally! (fn [k] (swap! tallies update k (fnil inc 0)))
        send!  (fn [] (dotimes [_ copies] (go! bytes)))
        after! (fn [ms f] (.schedule later ^Runnable f (long ms) TimeUnit/MILLISECONDS))
        ^AtomicReference waiting (held direction)
        before (.getAndSet waiting nil)]
    (tally! direction)
    (cond spoilt? (tally! :corrupt)
          (zero? (long copies)) (tally! :drop)
          (= 2 copies) (tally! :duplicate)
          (and hold? (nil? before)) (tally! :reorder))
    (cond
      (pos? (double delay-ms)) (after! delay-ms send!)
      (and hold? (nil? before)) (do (.set waiting send!)
                                    (after! longest-hold-ms #(when (.compareAndSet waiting send! nil) (send!))))
      :else (send!))
    (when before (before))))

(defn- relay-udp!
  "Receives packets until the socket is closed, and gives each with its sender to `f`."
  [^DatagramSocket socket f]
  (let [packet (DatagramPacket. (byte-array 65536) 65536)]
    (try
      (while (not (.isClosed socket))
        (.setLength packet 65536)
        ;; Nobody listening is a packet that is lost.
        (when (try (.receive socket packet) true (catch java.net.PortUnreachableException _ false))
          (f (.getSocketAddress packet) (Arrays/copyOf (.getData packet) (.getLength packet)))))
      (catch SocketException _))))

(defn- send-udp! [^DatagramSocket socket to ^bytes bytes]
  (try (.send socket (if to (DatagramPacket. bytes (alength bytes) ^InetSocketAddress to) (DatagramPacket. bytes (alength bytes))))
       (catch java.io.IOException _)))

(defn- start-udp! [server-port]
  (let [front   (doto (DatagramSocket. nil) (.setReceiveBufferSize (bit-shift-left 4 20)) (.bind (InetSocketAddress. loopback 0)))
        backs   (ConcurrentHashMap.)
        order   (ConcurrentLinkedQueue.)
        later   (Executors/newSingleThreadScheduledExecutor
                  (reify ThreadFactory (newThread [_ f] (doto (Thread. f "proxy-later") (.setDaemon true)))))
        parts   {:trouble (atom nil), :tallies (atom {}), :later later
                 :numbers {:received (AtomicLong.), :sent (AtomicLong.)}
                 :held    {:received (AtomicReference.), :sent (AtomicReference.)}}
        back-of (fn [client]
                  (or (.get backs client)
                      (let [back (doto (DatagramSocket. nil) (.setReceiveBufferSize (bit-shift-left 4 20)) (.bind (InetSocketAddress. loopback 0))
                                       (.connect (InetSocketAddress. loopback (int server-port))))]
                        (.put backs client back)
                        ;; Who has come again does so from another port.
                        (.add order client)
                        (when (< 8 (.size order)) (.close ^DatagramSocket (.remove backs (.poll order))))
                        (thread! (fn [] (relay-udp! back (fn [_ bytes] (carry! parts :sent bytes #(send-udp! front client %))))))
                        back)))]
    (thread! (fn [] (relay-udp! front (fn [client bytes]
                                        (let [back (back-of client)]
                                          (carry! parts :received bytes #(send-udp! back nil %)))))))
    (reify Proxy
      (port [_] (.getLocalPort front))
      (trouble! [_ trouble]
        (trouble/check (dissoc trouble :corrupt))
        (reset! (:trouble parts) trouble))
      (cut! [_] (throw (UnsupportedOperationException.)))
      (inject! [_ bytes] (run! #(send-udp! front % bytes) (keys backs)))
      (counts [_] @(:tallies parts))
      Closeable
      (close [_]
        (.close front)
        (run! #(.close ^DatagramSocket %) (vals backs))
        (.shutdownNow later)))))

;; ---- TCP

(defn- pump!
  "Takes what comes in on to where it goes, in pieces, until either end is closed."
  [^Socket from ^Socket to trouble cut tally!]
  (let [buffer (byte-array 65536)
        random (SplittableRandom. (long (:seed @trouble 0)))]
    (try
      (let [^InputStream in (.getInputStream from), ^OutputStream out (.getOutputStream to)]
        (loop []
          (let [n (.read in buffer)]
            (when (pos? n)
              (tally!)
              (let [{:keys [chunk delay-ms]} @trouble]
                (when delay-ms (.sleep TimeUnit/MILLISECONDS (long delay-ms)))
                (if (compare-and-set! cut true :done)
                  (.write out buffer 0 (quot n 2))
                  (loop [at 0]
                    (when (< at n)
                      (let [size (long (min (- n at) (if chunk (inc (.nextInt random (int chunk))) n)))]
                        (.write out buffer at size)
                        (.flush out)
                        (recur (+ at (long size))))))))
              (when-not (= :done @cut)
                (recur))))))
      (catch java.io.IOException _)
      (catch InterruptedException _)
      (finally (.close from) (.close to)))))

(defn- start-tcp! [server-port]
  (let [front   (ServerSocket. 0 50 loopback)
        sockets (ConcurrentHashMap/newKeySet)
        trouble (atom nil)
        tallies (atom {})
        cut     (atom false)]
    (thread! (fn []
               (try
                 (while true
                   (let [client (doto (.accept front) (.setTcpNoDelay true))
                         server (doto (Socket. loopback (int server-port)) (.setTcpNoDelay true))
                         tally  (fn [k] #(swap! tallies update k (fnil inc 0)))]
                     (reset! cut false)
                     (.add sockets client)
                     (.add sockets server)
                     (thread! #(pump! client server trouble (atom false) (tally :received)))
                     (thread! #(pump! server client trouble cut (tally :sent)))))
                 (catch java.io.IOException _))))
    (reify Proxy
      (port [_] (.getLocalPort front))
      (trouble! [_ t] (reset! trouble t))
      (cut! [_] (reset! cut true) nil)
      (inject! [_ _] (throw (UnsupportedOperationException.)))
      (counts [_] @tallies)
      Closeable
      (close [_]
        (.close front)
        (run! #(.close ^Socket %) sockets)))))

(defn start!
  "Starts a proxy for the server at a port of this machine. `java.io.Closeable`.

      (start! {:port 57110, :protocol :udp})"
  ^Closeable [{server-port :port, :keys [protocol]}]
  (if (= :tcp protocol) (start-tcp! server-port) (start-udp! server-port)))

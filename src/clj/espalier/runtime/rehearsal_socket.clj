(ns espalier.runtime.rehearsal-socket
  "The sockets of a rehearsal: packets in, each with the client that it came from, and out.

  A client is `{:name \"127.0.0.1:50000\", :identity …}` and where it is reached. As scsynth
  3.13 does, all that come by TCP are taken for the same."
  (:require
   [espalier.model.error :as error])
  (:import
   (java.io BufferedInputStream DataInputStream IOException)
   (java.net BindException DatagramPacket DatagramSocket InetAddress InetSocketAddress ServerSocket Socket SocketException)
   (java.nio ByteBuffer)
   (java.util Arrays)
   (java.util.concurrent ConcurrentHashMap Semaphore)))

(set! *warn-on-reflection* true)

(def ^:private largest-udp 65507)
(def ^:private buffer-bytes (bit-shift-left 1 22))

(defn- port-taken [{:keys [protocol ip-address]} port cause]
  (error/error :server-cannot-boot
               (str "*** ERROR: failed to open " (if (= :tcp protocol) "TCP" "UDP") " socket: address in use. Port " port " of " ip-address
                    " is taken. (rehearsal/start! {:port nil}) takes a free one.")
               {:reason :port-taken, :port port, :protocol protocol, :ip-address ip-address}
               cause))

(defn open
  "Opens the socket that options ask for, on this port, 0 for a free one.

  Throws `:espalier.error/server-cannot-boot` with `:reason :port-taken`."
  [{:keys [protocol ip-address maximum-logins] :as opts} port]
  (let [address (InetSocketAddress. (InetAddress/getByName ip-address) (int port))]
    (try
      (if (= :tcp protocol)
        {:server      (doto (ServerSocket.) (.setReuseAddress true) (.bind address 200))
         :connections (ConcurrentHashMap.)
         :slots       (Semaphore. (int maximum-logins))}
        {:udp (doto (DatagramSocket. nil)
                (.setReuseAddress false)
                (.setReceiveBufferSize (int buffer-bytes))
                (.bind address))})
      (catch BindException e
        (throw (port-taken opts port e))))))

(defn port
  "The port that it listens on."
  [{:keys [^DatagramSocket udp ^ServerSocket server]}]
  (if udp (.getLocalPort udp) (.getLocalPort server)))

(defn reliable?
  "Whether nothing is lost on the way to this client."
  [client]
  (some? (:connection client)))

(defn- thread! [thread-name f]
  (doto (Thread. ^Runnable f (str "espalier-rehearsal-" thread-name))
    (.setDaemon true)
    (.start)))

(defn- address-name [^InetSocketAddress address]
  (str (.getHostAddress (.getAddress address)) ":" (.getPort address)))

(defn- read-udp! [^DatagramSocket socket on-packet]
  (let [room    (byte-array 65536)
        packet  (DatagramPacket. room (alength room))
        clients (ConcurrentHashMap.)]
    (try
      (while true
        (.setLength packet (alength room))
        (.receive socket packet)
        (let [address (.getSocketAddress packet)
              client  (or (.get clients address)
                          (let [c {:name (address-name address), :identity [:udp address], :address address}]
                            (.put clients address c)
                            c))]
          (on-packet client (Arrays/copyOf room (.getLength packet)))))
      (catch SocketException _))))

(defn- read-frames! [^Socket socket client on-packet]
  (with-open [in (DataInputStream. (BufferedInputStream. (.getInputStream socket)))]
    (loop []
      (let [size (.readInt in)]
        (when-not (neg? size)
          (when (pos? size)
            (let [bytes (byte-array size)]
              (.readFully in bytes)
              (on-packet client bytes)))
          (recur))))))

(defn- serve! [{:keys [^ConcurrentHashMap connections ^Semaphore slots]} ^Socket socket on-packet]
  (let [address (address-name (.getRemoteSocketAddress socket))
        client  {:name address, :identity :tcp, :connection address}]
    (.setTcpNoDelay socket true)
    (.put connections address socket)
    (thread! (str "tcp-" address)
             (fn []
               (try (read-frames! socket client on-packet)
                    (catch IOException _)
                    (finally
                      (.remove connections address)
                      (.close socket)
                      (.release slots)))))))

(defn- accept! [{:keys [^ServerSocket server ^Semaphore slots] :as sockets} on-packet]
  (try
    (while true
      (.acquire slots)
      (serve! sockets (.accept server) on-packet))
    (catch IOException _)
    (catch InterruptedException _)))

(defn listen!
  "Begins to call `on-packet` with each client and the bytes of its packets, on threads of
  the sockets."
  [{:keys [^DatagramSocket udp ^ServerSocket server] :as sockets} on-packet]
  (if udp
    (thread! (str "udp-" (port sockets)) #(read-udp! udp on-packet))
    (thread! (str "tcp-" (.getLocalPort server)) #(accept! sockets on-packet))))

(defn- send-frame! [^Socket socket ^bytes bytes]
  (let [frame (doto (ByteBuffer/allocate (+ 4 (alength bytes)))
                (.putInt (alength bytes))
                (.put bytes))]
    (try (.write (.getOutputStream socket) (.array frame))
         nil
         (catch IOException _ "Bad file descriptor"))))

(defn send!
  "Sends bytes to a client; returns nil, or what a server prints where it cannot."
  [{:keys [^DatagramSocket udp ^ConcurrentHashMap connections]} {:keys [address connection]} ^bytes bytes]
  (if udp
    (if (< (long largest-udp) (alength bytes))
      "Message too long"
      (try (.send udp (DatagramPacket. bytes (alength bytes) ^InetSocketAddress address))
           nil
           (catch IOException e (ex-message e))))
    (if-let [socket (.get connections connection)]
      (send-frame! socket bytes)
      "Bad file descriptor")))

(defn close!
  "Closes them all; harmless where they are closed."
  [{:keys [^DatagramSocket udp ^ServerSocket server ^ConcurrentHashMap connections ^Semaphore slots]}]
  (when udp (.close udp))
  (when server
    (.close server)
    (doseq [^Socket socket (vals connections)]
      (try (.setSoLinger socket true 0) (catch SocketException _))
      (.close socket))
    ;; Whoever waits for one wakes, and finds the socket closed.
    (.release slots (int 1000))))

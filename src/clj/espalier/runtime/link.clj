(ns espalier.runtime.link
  "Between Clojure's data and the kernel's packets and links: the one namespace
  that names their classes.

  A message is a vector `[\"/s_new\" \"bell\" 1000 0 1 \"freq\" 440]`, a bundle a map
  `{:at when, :packets [message …]}`."
  (:require
   [espalier.model.error :as error]
   [espalier.runtime.clock :as clock])
  (:import
   (espalier.kernel BadPacketException Link LinkListener OscBundle OscCodec OscMessage OscPacket PacketTooLargeException ServerBehindException TcpLink UdpLink)
   (java.io IOException)
   (java.net InetAddress InetSocketAddress NetworkInterface)
   (java.time Duration)
   (java.util.function UnaryOperator)))

(set! *warn-on-reflection* true)

(declare packet completion)

(defn- argument
  "What the kernel can send for an argument that it does not know."
  [x]
  (cond
    (and (map? x) (:completion x))    (completion (:completion x))
    (instance? clojure.lang.Named x)  (name x)
    (boolean? x)                      (if x (int 1) (int 0))
    (ratio? x)                        (double x)
    (decimal? x)                      (double x)
    (integer? x)                      (if (<= Long/MIN_VALUE x Long/MAX_VALUE) (long x) Long/MAX_VALUE)
    (and (map? x) (integer? (:id x))) (:id x)
    :else                             x))

(def ^:private ^UnaryOperator coerce
  (reify UnaryOperator (apply [_ x] (argument x))))

(defn- message-packet [m]
  (let [address (first m)]
    (when-not (string? address)
      (throw (IllegalArgumentException. (str "A message begins with its address, a string such as \"/status\", not "
                                             (pr-str address)))))
    (OscMessage. ^String address
                 ^java.util.List (if (vector? m) (subvec m 1) (or (next m) []))
                 coerce)))

(defn- bundle-packet [{:keys [at packets] :as bundle}]
  (when-not (sequential? packets)
    (throw (IllegalArgumentException. (str "A bundle holds :packets, a sequence of messages, unlike "
                                           (pr-str (keys bundle))))))
  (OscBundle. (clock/time-tag at) (mapv packet packets)))

(defn normal
  "A message with names and the like as the strings and numbers that are sent."
  [m]
  (into [(first m)]
        (map (fn [x] (if (or (number? x) (string? x) (sequential? x)) x (argument x))))
        (rest m)))

(defn packet
  "The kernel's packet for a message (a vector) or bundle (a map). Numbers become
  32-bit integers and floats, keywords and symbols strings, true and false 1 and
  0, maps with an `:id` that id, byte arrays blobs, float arrays as many floats,
  sequences OSC arrays."
  ^OscPacket [x]
  (cond
    (sequential? x)           (message-packet x)
    (map? x)                  (bundle-packet x)
    (instance? OscPacket x)   x
    :else (throw (IllegalArgumentException.
                   (str "A message is a vector such as [\"/sync\" 1], a bundle a map such as"
                        " {:at nil :packets [[\"/sync\" 1]]}; this is neither: " (pr-str x))))))

(defn- completion
  "The packet that a server carries out when what it belongs to is done."
  [requests]
  (if (next requests)
    (OscBundle. (mapv packet requests))
    (packet (first requests))))

(defn message
  "The vector of a message that arrived. Integers and floats keep their 32 bits."
  [^OscMessage m]
  (let [arguments (.arguments m)
        n         (.size arguments)]
    (loop [i 0, v (transient [(.address m)])]
      (if (= i n)
        (persistent! v)
        (recur (inc i) (conj! v (.get arguments i)))))))

(defn message-array
  "What `message` returns, as an array: cheaper for a long one that is read but once."
  ^objects [^OscMessage m]
  (let [arguments (.toArray (.arguments m))
        all       (object-array (inc (alength arguments)))]
    (aset all 0 (.address m))
    (System/arraycopy arguments 0 all 1 (alength arguments))
    all))

(defn messages
  "The messages within a packet, in order, still as kernel values."
  [p]
  (if (instance? OscMessage p)
    [p]
    (mapcat messages (.packets ^OscBundle p))))

(defn embedded
  "The kernel packet that a blob is, a completion message, or nil."
  ^OscPacket [^bytes blob]
  (when (and (< 7 (alength blob)) (contains? #{(int \/) (int \#)} (int (aget blob 0))))
    (try (.decode (OscCodec. 65536) (aclone blob) 0 (alength blob))
         (catch BadPacketException _))))

(defn open
  "Opens a link to a server and returns it.

  `protocol`    :udp or :tcp
  `timeout-ms`  how long a TCP connection may take
  `listen`      map of functions, called on the link's reader thread: `:packet`
                with each kernel message, `:sent` with each kernel packet
                just before it goes out, `:malformed` with an exception,
                `:unreachable` with nothing, `:closed` with an exception or nil;
                `:idle?` says whether nobody waits for a packet; of a link that
                is paced, `:echo` returns a question, a message, and `:unread`
                how many bytes wait in the server's socket, or nil

  Throws IOException where a TCP connection is not accepted."
  ^Link [{:keys [protocol ip-address port timeout-ms]} listen]
  (let [remote   (InetSocketAddress. ^String ip-address (int port))
        sent     (:sent listen)
        listener (reify LinkListener
                   (onPacket [_ p]
                     (if (instance? OscMessage p)
                       ((:packet listen) p)
                       (run! (:packet listen) (messages p))))
                   (isIdle [_] (boolean ((:idle? listen))))
                   (onSend [_ p] (when sent (sent p)))
                   (echo [_] (packet ((:echo listen))))
                   (unreadLoad [_] (or ((:unread listen)) -1))
                   (onMalformed [_ _ why] ((:malformed listen) why))
                   (onUnreachable [_] ((:unreachable listen)))
                   (onClosed [_ cause] ((:closed listen) cause)))]
    (if (= :tcp protocol)
      (TcpLink/open remote (Duration/ofMillis timeout-ms) listener)
      (UdpLink/open remote listener))))

(defn local?
  "Whether a link leads to this machine, so that paths mean the same on both ends."
  [^Link link]
  (let [^InetAddress address (.getAddress (.remote link))]
    (or (.isLoopbackAddress address) (some? (NetworkInterface/getByInetAddress address)))))

(defn closed
  "The error of a link that is gone; `cause` is why."
  [^Exception cause]
  (error/error :link-closed (str "The connection to the server is gone: " (ex-message cause) ".") {} cause))

(defn- put!
  "Calls `f`, which sends x; throws what `send!` does."
  [f x]
  (try
    (f (packet x))
    nil
    (catch PacketTooLargeException e
      (throw (error/error :packet-too-large
                          (str "This does not fit into the " (.limit e) " bytes that the server takes at once: send it in parts.")
                          {:limit-bytes (.limit e)} e)))
    (catch ServerBehindException e
      (throw (error/error :server-behind
                          (str "Not sent, for " (ex-message e) ". What is many messages can be one bundle: (sc/at s nil …).")
                          {:unread-count (.unread e)} e)))
    (catch IllegalArgumentException e
      (throw (error/error :invalid-message (str "Cannot be sent: " (ex-message e) ".") {:message x} e)))
    (catch IOException e
      (throw (closed e)))))

(defn send!
  "Sends a message or bundle; returns nil. Waits where the server has not read enough of
  what was sent before: see `espalier.runtime.pace`.

  Throws `:espalier.error/invalid-message` for what OSC cannot carry,
  `:espalier.error/packet-too-large`, `:espalier.error/server-behind` where the wait was in
  vain, and `:espalier.error/link-closed`. Nothing was sent then."
  [^Link link x]
  (put! (fn [^OscPacket p] (.send link p)) x))

(defn send-at-once!
  "Sends as `send!` does, without waiting for the server: what shall end it, or shows whether
  it is alive."
  [^Link link x]
  (put! (fn [^OscPacket p] (.sendAtOnce link p)) x))

(ns espalier.bench.bare
  "The limit to compare with: a connected DatagramChannel, direct buffers, packets
  that are encoded beforehand, one thread."
  (:require
   [espalier.runtime.link :as link])
  (:import
   (espalier.kernel OscCodec)
   (java.io Closeable)
   (java.net InetAddress InetSocketAddress StandardSocketOptions)
   (java.nio ByteBuffer)
   (java.nio.channels DatagramChannel)))

(set! *warn-on-reflection* true)

(defn packet
  "The bytes of a message, in a direct buffer."
  ^ByteBuffer [message]
  (let [bytes (.encode (OscCodec. 65507) (link/packet message))]
    (.flip (.put (ByteBuffer/allocateDirect (.remaining bytes)) bytes))))

(defn open
  "A channel, connected to a UDP port of this machine."
  ^DatagramChannel [port]
  (doto (DatagramChannel/open)
    (.setOption StandardSocketOptions/SO_RCVBUF (Integer/valueOf (bit-shift-left 4 20)))
    (.bind (InetSocketAddress. 0))
    (.connect (InetSocketAddress. (InetAddress/getLoopbackAddress) (int port)))))

(deftype Line [^DatagramChannel channel ^ByteBuffer in ^ByteBuffer sync ^ByteBuffer n-set]
  Closeable
  (close [_] (.close channel)))

(def ^:private n-set-id-at "Where the node id is in `/n_set isfsf`." 16)
(def ^:private sync-id-at "Where the id is in `/sync i`." 12)

(defn line
  "A line to a UDP port of this machine."
  ^Line [port]
  (Line. (open port) (ByteBuffer/allocateDirect 65536)
         (packet ["/sync" 0])
         (packet ["/n_set" 0 "freq" 440.0 "amp" 0.1])))

(defn sync!
  "One `/sync` and its answer."
  [^Line line ^long id]
  (let [^DatagramChannel channel (.-channel line)
        ^ByteBuffer in           (.-in line)
        ^ByteBuffer out          (.-sync line)]
    (.putInt out (int sync-id-at) (int id))
    (.write channel (.rewind out))
    (loop []
      (.read channel (.clear in))
      (when-not (and (= 16 (.position in)) (= id (.getInt in (int sync-id-at))))
        (recur)))))

(defn n-sets!
  "`n` packets of `/n_set`, numbered from `from` in place of the node id."
  [^Line line ^long from ^long n]
  (let [^DatagramChannel channel (.-channel line)
        ^ByteBuffer out          (.-n_set line)]
    (loop [i from]
      (when (< i (+ from n))
        (.putInt out 16 (unchecked-int i))
        (.write channel (.rewind out))
        (recur (inc i))))))

(defn send!
  "Sends a message."
  [^Line line message]
  (.write ^DatagramChannel (.-channel line) (packet message)))

(defn request!
  "Sends a message; returns the first packet that comes back."
  ^ByteBuffer [^Line line message]
  (let [^ByteBuffer in (.-in line)]
    (send! line message)
    (.read ^DatagramChannel (.-channel line) (.clear in))
    (.flip in)))

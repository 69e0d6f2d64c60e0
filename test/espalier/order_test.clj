(ns espalier.order-test
  "What one thread sends through a handle arrives in its order: a server of the
  test's own is the witness. It answers what a client asks when it connects."
  (:require
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.runtime.link :as link]
   [espalier.servers :as servers])
  (:import
   (espalier.kernel OscCodec)
   (java.io BufferedInputStream DataInputStream DataOutputStream)
   (java.net DatagramPacket DatagramSocket InetAddress ServerSocket)
   (java.nio ByteBuffer)
   (java.util.concurrent CountDownLatch Semaphore TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private threads 16)
(def ^:private messages 10000)

(defn- answer
  "What a server with room for one client says to a message, or nil."
  [[address x & more]]
  (case address
    "/version" ["/version.reply" "scsynth" 3 13 ".0" "" ""]
    "/notify"  (cond (= 0 x)    ["/done" "/notify"]
                     (seq more) ["/fail" "/notify" "already registered"] ; who asks for an id has logged in
                     :else      ["/done" "/notify" 0 1])
    "/n_query" ["/n_info" x 0 -1 -1 1 -1 -1]
    "/sync"    ["/synced" x]
    "/c_get"   (into ["/c_set"] (mapcat (fn [bus] [bus 0.0])) (cons x more))
    "/g_queryTree" ["/g_queryTree.reply" 0 0 0]
    nil))

(defn- witness
  "Counts the numbered messages of each thread as they come; `in-order` is false
  once one comes out of turn."
  []
  (let [next-of  (int-array threads)
        in-order (volatile! true)
        left     (CountDownLatch. (* threads messages))
        room     (Semaphore. 2000)
        codec    (OscCodec. 65507)]
    {:in-order in-order, :left left, :room room
     :see (fn [^bytes bs n reply!]
            (doseq [[address t i :as m] (map link/message (link/messages (.decode codec bs 0 n)))]
              (if (= "/numbered" address)
                (do (when (not= i (aget next-of t)) (vreset! in-order false))
                    (aset next-of t (int (inc i)))
                    (.countDown left)
                    (.release room))
                (when-let [a (answer m)]
                  (let [^ByteBuffer out (.encode codec (link/packet a))
                        reply           (byte-array (.limit out))]
                    (.get out reply)
                    (reply! reply))))))}))

(defn- judge
  "Sends from all threads through a handle and waits for the witness. No more than
  2,000 are under way, for what the system drops of a flood is nobody's to keep."
  [protocol port {:keys [in-order ^CountDownLatch left ^Semaphore room]}]
  (with-open [^java.io.Closeable s (sc/connect! (sc/server {:protocol protocol, :port port}))]
    (run! deref
          (doall (for [t (range threads)]
                   (future (dotimes [i messages]
                             (.acquire room)
                             (sc/send! s ["/numbered" t i]))))))
    (is (.await left 60 TimeUnit/SECONDS) (str (.getCount left) " were lost"))
    (is (true? @in-order))))

(deftest order-is-kept-by-udp
  (with-open [socket (doto (DatagramSocket. 0 (InetAddress/getLoopbackAddress)) (.setReceiveBufferSize (bit-shift-left 4 20)))]
    (let [{:keys [see] :as w} (witness)
          packet (DatagramPacket. (byte-array 1000) 1000)]
      (future (try (while true
                     (.setLength packet 1000)
                     (.receive socket packet)
                     (see (.getData packet) (.getLength packet)
                          (fn [^bytes reply] (.send socket (DatagramPacket. reply (alength reply) (.getSocketAddress packet))))))
                   (catch java.net.SocketException _)))
      (judge :udp (.getLocalPort socket) w))))

(deftest order-is-kept-by-tcp
  (with-open [server (ServerSocket. 0 1 (InetAddress/getLoopbackAddress))]
    (let [{:keys [see] :as w} (witness)]
      (future (with-open [socket (.accept server)]
                (let [in  (DataInputStream. (BufferedInputStream. (.getInputStream socket)))
                      out (DataOutputStream. (.getOutputStream socket))]
                  (try (while true
                         (let [bs (byte-array (.readInt in))]
                           (.readFully in bs)
                           (see bs (alength bs)
                                (fn [^bytes reply] (.writeInt out (alength reply)) (.write out reply)))))
                       (catch java.io.IOException _)))))
      (judge :tcp (.getLocalPort server) w))))

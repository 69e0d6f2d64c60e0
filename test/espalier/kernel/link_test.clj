(ns espalier.kernel.link-test
  "What a link tells its listener, and when."
  (:require
   [clojure.test :refer [deftest is]])
  (:import
   (espalier.kernel LinkListener OscMessage UdpLink)
   (java.io IOException)
   (java.net DatagramPacket DatagramSocket InetAddress InetSocketAddress SocketTimeoutException)))

(set! *warn-on-reflection* true)

(defn- received?
  "Whether something comes to a socket within some milliseconds."
  [^DatagramSocket socket ms]
  (.setSoTimeout socket ms)
  (try (.receive socket (DatagramPacket. (byte-array 100) 100)) true
       (catch SocketTimeoutException _ false)))

(deftest packets-are-told-before-they-go-out
  (with-open [peer (DatagramSocket. (InetSocketAddress. (InetAddress/getLoopbackAddress) 0))]
    (let [told (atom [])
          link (UdpLink/open (InetSocketAddress. (InetAddress/getLoopbackAddress) (.getLocalPort peer))
                             (reify LinkListener
                               (onPacket [_ _])
                               (onSend [_ p]
                                 (swap! told conj [(.address ^OscMessage p) (received? peer 20)]))))
          message (OscMessage. "/status" (object-array 0))]
      (.send link message)
      (is (= [["/status" false]] @told) "so that nothing it causes is heard of before")
      (is (received? peer 5000))
      (.close link)
      (is (thrown? IOException (.send link message)))
      (is (= 1 (count @told)) "what a closed link does not send is not told"))))

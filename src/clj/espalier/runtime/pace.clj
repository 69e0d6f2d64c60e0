(ns espalier.runtime.pace
  "No more is sent than a server holds. What arrives while its socket is full, or its queue,
  is lost without a word. So the link counts what is not known to have been read. The answer
  to any fence shows that all before it was, for servers answer in order: see
  `espalier.runtime.dispatch`. Where there is none half-way to the limit, one is sent for that,
  an echo, and at the limit whoever sends waits. A server of this machine is not waited for
  where the system tells that its socket is empty again, which is sooner."
  (:require
   [espalier.model.engine :as engine]
   [espalier.runtime.port :as port])
  (:import
   (espalier.kernel Link)
   (java.net InetSocketAddress)))

(set! *warn-on-reflection* true)

(def ^:private socket-bytes
  "What the buffer of a server's UDP socket holds, as Linux counts it: 256 small packets, or six
  of 32 KiB. Less a tenth, for the echoes."
  190000)

(defn- share
  "What each of so many clients may have of what they share."
  [all maximum-logins]
  (quot (long all) (max 1 (min 8 (long maximum-logins)))))

(defn server-socket
  "What the system tells of the UDP socket of a server of this machine, as `port/udp-socket`
  has it; nil where that is not known."
  [{:keys [^Link link local? protocol]}]
  (when (and local? (= :udp protocol))
    (port/udp-socket (.getPort ^InetSocketAddress (.remote link)))))

(defn unread
  "How many bytes wait in that socket; nil where that is not known."
  [session]
  (:unread-bytes (server-socket session)))

(defn start!
  "Paces the link of a session from now on."
  [{:keys [^Link link engine protocol maximum-logins timeout-ms]}]
  (.pace link
         (share (engine/trait engine :max-unread-packets) maximum-logins)
         (share (engine/trait engine :max-unread-bytes) maximum-logins)
         (if (= :udp protocol) (share socket-bytes maximum-logins) Long/MAX_VALUE)
         timeout-ms))

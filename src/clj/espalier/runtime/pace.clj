(ns espalier.runtime.pace
  "No more is sent than a server holds. What arrives while its socket is full, or its queue,
  is lost without a word. So the link counts what is not known to have been read: half-way
  to the limit it asks an echo, a question whose answer shows that all before it was read,
  and at the limit whoever sends waits for that. A server of this machine is not waited for
  where the system tells that its socket is empty again, which is sooner."
  (:require
   [espalier.model.engine :as engine]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.link :as link]
   [espalier.runtime.port :as port])
  (:import
   (espalier.kernel Link)
   (java.net InetSocketAddress)
   (java.util.concurrent ConcurrentLinkedQueue)))

(set! *warn-on-reflection* true)

(def ^:private socket-bytes
  "What the buffer of a server's UDP socket holds, as Linux counts it: 256 small packets, or six
  of 32 KiB. Less a tenth, for the echoes."
  190000)

(defn- share
  "What each of so many clients may have of what they share."
  [all maximum-logins]
  (quot (long all) (max 1 (min 8 (long maximum-logins)))))

(defn echoes
  "A function that returns the message of an echo, by its number: a fence. The answer is told to
  the link of the session that `session`, a function, returns."
  [dispatcher session]
  (let [asked (ConcurrentLinkedQueue.)]
    (fn [n]
      (let [{:keys [link control-buses]} (session)
            [k message] (dispatch/new-fence! dispatcher (or control-buses 1) false)]
        (.add asked [n k])
        (dispatch/on-fence! dispatcher k
                            (fn []
                              (.echoed ^Link link (long n))
                              ;; The answers of those before are lost, or their questions.
                              (loop []
                                (when-let [[m k :as oldest] (.peek asked)]
                                  (when (<= (long m) (long n))
                                    (when (.remove asked oldest) (dispatch/unfence! dispatcher k))
                                    (recur))))))
        message))))

(defn unread
  "How many bytes wait in the UDP socket of a server of this machine; nil where that is not
  known."
  [{:keys [^Link link local?]}]
  (when local?
    (:unread-bytes (port/udp-socket (.getPort ^InetSocketAddress (.remote link))))))

(defn start!
  "Paces the link of a session from now on."
  [{:keys [^Link link engine protocol maximum-logins timeout-ms]}]
  (.pace link
         (share (engine/trait engine :max-unread-packets) maximum-logins)
         (share (engine/trait engine :max-unread-bytes) maximum-logins)
         (if (= :udp protocol) (share socket-bytes maximum-logins) Long/MAX_VALUE)
         timeout-ms))

(ns espalier.nrepl.news
  "What is told to sessions unasked: news to those that have subscribed, and what a server
  refuses to the session whose evaluation has asked for it, even when that is over."
  (:require
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.plain :refer [plain]]
   [espalier.nrepl.servers :as servers]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.origin :as origin]
   [espalier.runtime.subscription :as subscription]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.worker :as worker]
   [nrepl.middleware.interruptible-eval :as interruptible-eval]
   [nrepl.misc :refer [response-for]]
   [nrepl.transport :as transport])
  (:import
   (espalier.runtime.handle Server)
   (java.util WeakHashMap)))

(set! *warn-on-reflection* true)

(defn send!
  "Sends the maps, merged, as an answer to a message, or to what is left of one."
  [{:keys [transport] :as message} & maps]
  (transport/send transport (response-for message (apply merge maps))))

;; ---- subscriptions

(defonce ^:private ^{:doc "By the id of the session, and by handle, functions: `:stop`, `:add!`."} subscriptions (atom {}))

(defn- event-news
  "A lifecycle event, in strings and the like."
  [event]
  (plain (dissoc event :server)))

(defn- news-message [server-name {:keys [event changes passed dropped events-dropped]}]
  (merge {"server" server-name, :status #{"espalier/news"}}
         (when event {"espalier/event" (event-news event)})
         (when events-dropped {"espalier/events-dropped" events-dropped})
         (when changes {"espalier/changes" (plain changes), "espalier/passed" passed, "espalier/dropped" dropped})))

(defn- remove! [session-id s]
  (let [[old _] (swap-vals! subscriptions
                            (fn [known]
                              (let [others (dissoc (get known session-id) s)]
                                (if (seq others) (assoc known session-id others) (dissoc known session-id)))))]
    (when-let [{:keys [stop]} (get-in old [session-id s])]
      (stop)
      true)))

(defn subscribe!
  "Sends news of a server to the session of a message, from now on. `what` is a set of \"tree\"
  and \"events\"."
  [message {s :server, server-name :name} what interval-ms]
  (let [session-id (:session message)
        message    (select-keys message [:transport :id :session])
        tell       (fn [news]
                     (try (send! message (news-message server-name news))
                          ;; Nobody is there any more.
                          (catch Throwable e
                            (remove! session-id s)
                            (throw e))))]
    (remove! session-id s)
    (swap! subscriptions assoc-in [session-id s]
           (subscription/subscribe! s tell {:tree        (contains? what "tree")
                                            :events      (when (contains? what "events") (disj handle/events :command-failed :reconcile-failed))
                                            :interval-ms interval-ms}))))

(defn unsubscribe!
  "Ends the subscriptions of a session: that to a server, or all where that is nil. Returns
  how many there were."
  [session-id s]
  (count (filterv #(remove! session-id %) (if s [s] (keys (get @subscriptions session-id))))))

(defn- tell-subscribers! [s event]
  (doseq [[_ by-handle] @subscriptions
          :let  [{:keys [add!]} (get by-handle s)]
          :when add!]
    (add! event)))

;; ---- failures

(defn- origin
  "The evaluation that is under way on this thread, or has started it."
  []
  (when-some [{:keys [transport session id]} interruptible-eval/*msg*]
    (when transport
      {:transport transport, :id id, :session (:id (meta session))})))

(def ^:private most-failures
  "So many failures of one evaluation are told, one by one." 20)

(defonce ^:private ^{:doc "By transport, who sends on it: one that nobody reads blocks whoever does."} senders (WeakHashMap.))

(defn- sender [transport]
  (locking senders
    (or (.get ^WeakHashMap senders transport)
        (doto (worker/worker (fn [send] (send)) (fn [_]))
          (->> (.put ^WeakHashMap senders transport))))))

(defn- tell-failure! [{:keys [transport] :as origin} server-name e more]
  (worker/offer! (sender transport)
                 #(send! origin {"server"           server-name
                                 "err"              (str (ex-message e) "\n")
                                 "espalier/failure" (merge {"error" (plain (error/code e)), "message" (str (ex-message e))} more)})))

(defn- cause
  "What has most probably caused a `/fail`: the latest of what could have, of which no other
  is known to be of. `blamed` counts that by the number of the packet."
  [s fail blamed]
  (loop [[{:keys [n] :as found} & others] (trace/causes (handle/trace-of s) fail), blamed blamed]
    (if (pos? (long (get blamed n 0)))
      (recur others (update blamed n dec))
      found)))

(defn- still-traced
  "What is blamed, without what is forgotten."
  [blamed n]
  (if (< 8192 (count blamed))
    (into {} (filter (fn [[k _]] (< (- (long n) 4096) (long k)))) blamed)
    blamed))

(defn- failure-of
  "The error that a `/fail` is, by the request that has caused it."
  [s request [_ address :as fail]]
  (failure/error-of (or request [address]) (failure/words fail)
                    {:reply fail, :known (some->> (handle/session s) :mirror mirror/known :synthdefs keys)}))

(def ^:private most-looked-up
  "For so many failures in a second it is looked up who has caused them: that takes time where
  packets are large." 50)

(defn- tell-who-caused!
  "Tells whoever has caused a `/fail`. Returns what is remembered for the next one."
  [s {fail :message :as event} {:keys [blamed last-told told] :as memory}]
  (let [{:keys [n request origin]} (cause s fail blamed)
        told (if (= origin last-told) (inc (long told)) 1)]
    (cond
      (nil? origin)                  (tell-subscribers! s event)
      (<= told (long most-failures)) (let [e (failure-of s request fail)]
                                       (tell-failure! origin (servers/name-of s) e
                                                      {"words" (failure/words fail), "request" (pr-str request)}))
      (= told (inc (long most-failures)))
      (tell-failure! origin (servers/name-of s)
                     (error/error :command-failed "The server has refused more than that, which is not told one by one; (sc/trace s) has all." {})
                     {}))
    (assoc memory :blamed (if n (still-traced (update blamed n (fnil inc 0)) n) blamed), :last-told origin, :told told)))

(defn- command-failed!
  "Tells of a `/fail`. Returns what is remembered for the next one."
  [s event {:keys [in-second], then :second, :as memory}]
  (let [now       (quot (System/nanoTime) 1000000000)
        in-second (if (= now then) (inc (long in-second)) 1)
        memory    (assoc memory :second now, :in-second in-second)]
    (if (<= in-second (long most-looked-up))
      (tell-who-caused! s event memory)
      (do (tell-subscribers! s event)
          memory))))

(defn- reconcile-failed! [s {:keys [origin error] :as event}]
  (if origin
    (tell-failure! origin (servers/name-of s) error {})
    (tell-subscribers! s event)))

;; ---- all of this, from each handle

(defonce ^:private ^{:doc "By handle, the id of its listener."} listeners (WeakHashMap.))

(defn- hear!
  "Listens to a handle, once."
  [^Server s]
  (locking listeners
    (when-not (.containsKey ^WeakHashMap listeners s)
      (let [blamed (atom {:blamed {}, :last-told nil, :told 0, :second nil, :in-second 0})]
        (.put ^WeakHashMap listeners s
              (handle/on-lifecycle! s [:command-failed :reconcile-failed]
                                    (fn [{:keys [event] s :server :as e}]
                                      (if (= :command-failed event)
                                        (reset! blamed (command-failed! s e @blamed))
                                        (reconcile-failed! s e)))))))))

(defn start!
  "Hears of all handles that are online and will be, and has packets remember which
  evaluation they are of. Harmless when it was called before."
  []
  (origin/find-by! #'origin)
  (add-watch handle/handles ::hear (fn [_ _ _ online] (run! hear! online)))
  (run! hear! @handle/handles))

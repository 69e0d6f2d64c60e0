(ns espalier.runtime.handle
  "The handle of a server: what the user holds. One atom says where it stands, one
  lock lets one change of that happen at a time, listeners hear of each.
  `espalier.runtime.server` does the changing."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.log :as model.log]
   [espalier.model.options :as options]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.health :as health]
   [espalier.runtime.listener :as listener]
   [espalier.runtime.log :as log]
   [espalier.runtime.session :as session]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel Link RunningServer)
   (java.io Closeable Writer)
   (java.util.concurrent TimeUnit)
   (java.util.concurrent.locks ReentrantLock)
   (java.util.function Consumer)))

(set! *warn-on-reflection* true)

(declare describe)

(deftype Server
  [options                   ; as given to `server`; a boot's own are merged over them
   dispatcher
   state                     ; atom: see `state` below
   listeners                 ; atom: id -> {:events, a set or nil for all; :worker}
   trace                     ; the last packets
   log                       ; the last events, and what the server printed
   health                    ; counts of the login
   ^ReentrantLock lock
   close-with]               ; called with the handle to close it
  Closeable
  (close [this] (close-with this) nil)
  Object
  (toString [this] (describe this)))

(defmethod print-method Server [s ^Writer w] (.write w (str s)))

(defn state
  "Where the handle stands, a map: `:status`, and while it lives `:options`,
  `:process`, `:jack`, `:session`, `:watch`, and of one that was restored
  `:restored`. `:lost` says why it was lost, `:last-options` with what it had been
  booted, `:kept` what is remembered of it, `:restoring` a promise that is delivered when it was restored, or was
  not, by `:healing`.

  Throws `:espalier.error/no-handle` for anything that is no handle."
  [s]
  (if (instance? Server s)
    @(.-state ^Server s)
    (throw (error/error :no-handle
                        (str "This function wants a handle first, not " (pr-str s)
                             ". (def s (sc/server {:port 57120})) makes one, (sc/boot! s) boots it.")
                        {:value s}))))

;; ---- lifecycle events

(defn emit!
  "Tells the listeners of an event, and the log; `data` is merged into it."
  [^Server s event & [data]]
  (let [event (merge {:event event, :status (:status @(.-state s)), :at (clock/now), :server s} data)]
    (log/add! (.-log s) (model.log/of-event event))
    (health/event! (.-health s) event)
    (doseq [{wanted :events, w :worker} (vals @(.-listeners s))]
      (when (or (nil? wanted) (wanted (:event event)))
        (worker/offer! w event)))))

(def events
  "The names of all lifecycle events; `espalier.core/on-lifecycle!` tells their order."
  #{:booting :process-booted :connecting :connected :booted :connect-failed :boot-failed :disconnecting :disconnected
    :quitting :process-quit :quit :process-died :server-silent :connection-closed :lost :woke :command-failed
    :handler-failed :handler-behind :malformed-packet :late :reconcile-failed :drifted
    :server-slow :restoring :restored :restore-failed})

(defn check-events
  "The names of events as a set, of one or a collection.

  Throws `:espalier.error/unknown-event`."
  [wanted]
  (let [wanted (if (keyword? wanted) [wanted] wanted)]
    (doseq [event (if (coll? wanted) wanted [wanted])]
      (when-not (events event)
        (throw (error/error :unknown-event
                            (str "There is no lifecycle event " (pr-str event) "." (error/hint event events)
                                 " (doc sc/on-lifecycle!) lists them.")
                            {:event event}))))
    (set wanted)))

(defn- handler
  "A handler as a function: Java has `Consumer`s."
  [f]
  (if (instance? Consumer f)
    (fn [x] (.accept ^Consumer f x))
    (error/check-function "A handler is a function of one argument, or a Consumer" f)))

(defn on-lifecycle!
  "See `espalier.core/on-lifecycle!`; `wanted` of nil is all events."
  [^Server s wanted f]
  (state s)
  (let [f      (handler f)
        wanted (some-> wanted check-events)
        id     (listener/of-events wanted)
        ;; A listener that throws when it is told of a fault would be told again for ever.
        listen (fn [event]
                 (try (f event)
                      (catch Throwable e
                        (when (not= :handler-failed (:event event))
                          (emit! s :handler-failed {:error e})))))]
    (swap! (.-listeners s) assoc id
           {:events wanted, :worker (worker/worker listen (fn [_]))})
    id))

(defn off!
  "Removes a handler or listener; returns whether it was there."
  [^Server s id]
  (state s)
  (let [[old _] (swap-vals! (.-listeners s) dissoc id)]
    (some-> (get-in old [id :worker]) worker/stop!)
    (or (contains? old id) (dispatch/unhandle! (.-dispatcher s) id))))

;; ---- the handle

(defn handle
  "An offline handle with options of its own, which are checked here already."
  [opts close-with]
  (options/check opts)
  (let [made       (promise)
        counts     (health/health)
        state      (atom {:status :offline})
        dispatcher (dispatch/dispatcher
                     {:fault   (fn [fault] (emit! @made (if (:error fault) :handler-failed :handler-behind) fault))
                      :failure (fn [message] (emit! @made :command-failed {:message message}))
                      :answer  (fn [nanos] (health/answered! counts nanos))
                      :sent    (fn [] (if-some [^Link link (:link (:session @state))] (.sent link) 0))
                      :read    (fn [n] (some-> ^Link (:link (:session @state)) (.wasRead (long n))))})]
    @(doto made
       (deliver (Server. opts dispatcher state (atom {}) (trace/trace) (log/log) counts (ReentrantLock. true) close-with)))))

(defn merged
  "The handle's own options with those of one boot over them.

  Throws `:espalier.error/invalid-option` where these are no map."
  [^Server s opts]
  (if (map? opts)
    (merge (.-options s) opts)
    (options/check opts)))

(defn status "Where the handle stands, a keyword." [s] (:status (state s)))
(defn process "The process that this handle has booted, or nil." ^RunningServer [s] (:process (state s)))
(defn pid
  "The process id of a server that was booted; nil where it is no process."
  [^RunningServer process]
  (try (.pid process)
       (catch UnsupportedOperationException _ nil)))

(defn session "The login, or nil." [s] (:session (state s)))
(defn log-of "The log of what has happened." [s] (state s) (.-log ^Server s))
(defn health-of "The counts of the login." [s] (state s) (.-health ^Server s))
(defn trace-of "The trace of the last packets." [s] (state s) (.-trace ^Server s))
(defn owner? "Whether this handle has booted the server." [s] (some? (process s)))
(defn effective-options "The options in force, complete." [s] (or (:options (state s)) (options/check (.-options ^Server s))))

(defn- command-line [^Server s]
  (let [opts (effective-options s)]
    (str/join " " (options/command-line opts
                                        (try (executable/find-executable (:executable opts))
                                             (catch clojure.lang.ExceptionInfo _ (or (:executable opts) "scsynth")))))))

(defn describe
  "One line: status, and the command line of a server of ours, or the address of
  another's."
  [^Server s]
  (let [{:keys [status session process options kept]} @(.-state s)
        shown (str/upper-case (name status))]
    (cond
      process (str "#<Server " shown " [" (str/join " " (.command ^RunningServer process)) "]>")
      session (str "#<Server " shown " [" (name (:engine session)) " at " (:ip-address options) ":" (:port options)
                   " (" (name (:protocol options)) "), client " (:client-id session) " of " (:maximum-logins session) "]>")
      (and options kept (not (:owner? kept)))
              (str "#<Server " shown " [" (:ip-address options) ":" (:port options) "]>")
      :else   (str "#<Server " shown " [" (command-line s) "]>"))))

(defn offline
  "The error of a call that needs a server."
  [^Server s]
  (let [{:keys [status lost]} @(.-state s)]
    (error/error :server-offline
                 (cond
                   (= :restoring status) (str "The server is being restored, for it was lost: " lost ". {:when-restoring :wait} has calls wait meanwhile.")
                   lost                  (str "The server was lost: " lost ".")
                   :else                 (str "The server is " (name status) ". (sc/boot! s) boots it, (sc/connect! s) logs in where one runs."))
                 {:status status, :lost lost})))

(def ^{:dynamic true
       :doc "The handle that this thread restores, or nil: for it alone the server is online already."}
  *restores*
  nil)

(defn- once-restored
  "The session of a handle that is being restored, when it is, for a call that waits; else
  nil."
  [^Server s {:keys [restoring options]}]
  ;; Who holds the lock would wait for himself.
  (when (and (= :wait (:when-restoring options)) (not (.isHeldByCurrentThread ^ReentrantLock (.-lock s))))
    (deref restoring (:timeout-ms options) nil)
    (let [{:keys [status session]} @(.-state s)]
      (when (= :online status) session))))

(defn live
  "The session of a handle that is online. While it is restored, a call waits for that where
  the option `:when-restoring` says so.

  Throws `:espalier.error/server-offline`."
  [s]
  (let [{:keys [status session restoring] :as stands} (state s)]
    (or (cond
          (or (= :online status) (identical? s *restores*)) session
          restoring                                         (once-restored s stands))
        (throw (offline s)))))

(defn- beginning
  "A message, or how one begins, as a vector.

  Throws `:espalier.error/invalid-message`."
  [x]
  (if (and (sequential? x) (string? (first x)))
    (vec x)
    (throw (error/error :invalid-message (str "A message is a vector that begins with its address, [\"/sync\" 1] for example, and so is the beginning of"
                                              " a reply; this is neither: " (error/shown x) ".")
                        {:message x}))))

(defn request!
  "See `espalier.core/request!`; a `timeout-ms` of nil is the handle's."
  [s message reply timeout-ms]
  (session/request! (live s) (beginning message) (beginning reply) (or timeout-ms (:timeout-ms (effective-options s)))))

(defn sync!
  "See `espalier.core/sync!`; a `timeout-ms` of nil is the handle's."
  [s timeout-ms]
  (session/sync! (live s) (or timeout-ms (:timeout-ms (effective-options s)))))

(defn on-osc!
  "See `espalier.core/on-osc!`."
  [^Server s pattern f once?]
  (state s)
  (dispatch/handle! (.-dispatcher s) pattern (handler f) once?))

(defn behind!
  "Calls `f` behind the messages that wait for a handler of `on-osc!`, on its thread."
  [^Server s id f]
  (dispatch/behind! (.-dispatcher s) id f))

;; ---- those that are online

(defonce ^{:doc "An atom: the handles of this JVM that are online, a vector, in the order in which they came to be."}
  handles
  (atom []))

(defn- note-online! [s status]
  (swap! handles (fn [known]
                   (let [others (filterv #(not (identical? s %)) known)]
                     (cond
                       (not= :online status)               others
                       (= (count others) (count known)) (conj known s)
                       :else                               known)))))

;; ---- one change of state at a time

(defn locked
  "Calls `f` while no other change of state is under way.

  Throws `:espalier.error/busy` where one takes longer than any should."
  [^Server s f]
  (state s)
  (let [^ReentrantLock lock (.-lock s)
        patience            60]
    (when-not (.tryLock lock patience TimeUnit/SECONDS)
      (throw (error/error :busy (str "The server has been " (name (status s)) " for " patience " s on another thread. Call again when"
                                    " (sc/boot-status s) tells something else; (sc/kill-all!) ends all servers that were booted here.")
                          {:status (status s)})))
    (try (f) (finally (.unlock lock)))))

(defn become!
  "Changes the status, and whatever else is in `more`."
  [^Server s status & [more]]
  (swap! (.-state s) (fn [old] (merge old more {:status status})))
  (note-online! s status))

(defn hold!
  "Notes what the handle has, `more`, while its status stays."
  [^Server s more]
  (swap! (.-state s) merge more))

(defn leave!
  "Back to a handle that has nothing but what is in `more`."
  [^Server s status & [more]]
  (reset! (.-state s) (merge {:status status} more))
  (note-online! s status))

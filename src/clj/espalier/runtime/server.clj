(ns espalier.runtime.server
  "The handle of a server and its life: offline, booting, online, quitting, lost.

  One atom per handle holds where it stands; one lock lets one change of state
  happen at a time. `espalier.core` has the same verbs with their full
  documentation."
  (:require [clojure.core.protocols :as protocols]
            [clojure.pprint :as pprint]
            [clojure.string :as str]
            [espalier.model.engine :as engine]
            [espalier.model.error :as error]
            [espalier.model.options :as options]
            [espalier.model.watch :as watch]
            [espalier.runtime.audio :as audio]
            [espalier.runtime.clock :as clock]
            [espalier.runtime.dispatch :as dispatch]
            [espalier.runtime.executable :as executable]
            [espalier.runtime.link :as link]
            [espalier.runtime.port :as port]
            [espalier.runtime.session :as session]
            [espalier.runtime.worker :as worker])
  (:import [espalier.kernel ServerOutput ServerProcess ServerProcess$Ask ServerProcess$Exit
            ServerProcess$NotReadyException ServerProcess$Spec]
           [java.io Closeable Writer]
           [java.nio.file Path]
           [java.time Duration]
           [java.util.concurrent CompletableFuture CountDownLatch TimeUnit TimeoutException]
           [java.util.concurrent.atomic AtomicLong]
           [java.util.concurrent.locks ReentrantLock]
           [java.util.function Consumer Predicate]))

(set! *warn-on-reflection* true)

(declare close! describe)

(deftype Server
  [options                   ; as given to `server`; a boot's own are merged over them
   dispatcher
   state                     ; atom: :status, and while it lives :options :process :jack :session :watch
   listeners                 ; atom: id -> {:events, a set or nil for all; :worker}
   ^ReentrantLock lock]
  Closeable
  (close [this] (close! this))
  Object
  (toString [this] (describe this)))

(defmethod print-method Server [s ^Writer w] (.write w (str s)))
(defmethod pprint/simple-dispatch Server [s] (pr s))

;; ---- lifecycle events

(defn- emit! [^Server s event & [data]]
  (let [event (merge {:event event, :status (:status @(.-state s)), :at (clock/now), :server s} data)]
    (doseq [{:keys [events] w :worker} (vals @(.-listeners s))]
      (when (or (nil? events) (events (:event event)))
        (worker/offer! w event)))))

(defn on-lifecycle!
  "Calls `f` with each lifecycle event whose name is in `events` (nil: all).
  Returns an id for `off!`."
  [^Server s events f]
  (let [id     (Object.)
        ;; A listener that throws when it is told of a fault would be told again for ever.
        listen (fn [event]
                 (try (f event)
                      (catch Throwable e
                        (when (not= :handler-failed (:event event))
                          (emit! s :handler-failed {:error e})))))]
    (swap! (.-listeners s) assoc id
           {:events (some-> events set), :worker (worker/worker listen (fn [_]))})
    id))

(defn off!
  "Removes a handler or listener; returns whether it was there."
  [^Server s id]
  (let [[old _] (swap-vals! (.-listeners s) dissoc id)]
    (some-> (get-in old [id :worker]) worker/stop!)
    (or (contains? old id) (dispatch/unhandle! (.-dispatcher s) id))))

;; ---- the handle

(defn server
  "An offline handle with options of its own, which are checked here already."
  [opts]
  (options/check opts)
  (let [state (promise)
        fault (fn [fault]
                (emit! @state (if (:error fault) :handler-failed :handler-behind) fault))
        s     (Server. opts (dispatch/dispatcher fault) (atom {:status :offline}) (atom {}) (ReentrantLock. true))]
    (deliver state s)
    s))

(defn status "Where the handle stands." [^Server s] (:status @(.-state s)))
(defn process "The process that this handle has booted, or nil." ^ServerProcess [^Server s] (:process @(.-state s)))
(defn session "The login, or nil." [^Server s] (:session @(.-state s)))
(defn owner? "Whether this handle has booted the server." [^Server s] (some? (process s)))
(defn effective-options "The options in force, complete." [^Server s] (or (:options @(.-state s)) (options/check (.-options s))))

(defn- command-line [^Server s]
  (let [opts (effective-options s)]
    (str/join " " (options/command-line opts
                                        (try (executable/find-executable (:executable opts))
                                             (catch clojure.lang.ExceptionInfo _ (or (:executable opts) "scsynth")))))))

(defn describe
  "One line: status, and the command line of a server of ours, or the address of
  another's."
  [^Server s]
  (let [{:keys [status session process options]} @(.-state s)
        shown (str/upper-case (name status))]
    (cond
      process (str "#<Server " shown " [" (str/join " " (.command ^ServerProcess process)) "]>")
      session (str "#<Server " shown " [" (name (:engine session)) " at " (:ip-address options) ":" (:port options)
                   " (" (name (:protocol options)) "), client " (:client-id session) " of " (:maximum-logins session) "]>")
      :else   (str "#<Server " shown " [" (command-line s) "]>"))))

(extend-type Server
  protocols/Datafiable
  (datafy [^Server s]
    (let [{:keys [status session process lost]} @(.-state s)]
      (cond-> {:status status, :options (effective-options s), :owner? (owner? s)}
        process (assoc :pid (.pid ^ServerProcess process) :command (vec (.command ^ServerProcess process)))
        session (merge (select-keys session [:engine :version :client-id :maximum-logins]))
        session (assoc :link (str (:link session)))
        lost    (assoc :lost lost)))))

(defn- offline [^Server s]
  (let [{:keys [status lost]} @(.-state s)]
    (error/error :server-offline
                 (if lost
                   (str "The server was lost: " lost ". (sc/boot! s) boots it again.")
                   (str "The server is " (name status) ". (sc/boot! s) boots it, (sc/connect! s) logs in where one runs."))
                 {:status status, :lost lost})))

(defn live
  "The session of a handle that is online.

  Throws `:espalier.error/server-offline`."
  [^Server s]
  (let [{:keys [status session]} @(.-state s)]
    (if (= :online status) session (throw (offline s)))))

(defn send! [s message]
  (link/send! (:link (live s)) message))

(defn request! [s message reply timeout-ms]
  (session/request! (live s) message reply (or timeout-ms (:timeout-ms (effective-options s)))))

(defn sync! [s timeout-ms]
  (session/sync! (live s) (or timeout-ms (:timeout-ms (effective-options s)))))

(defn on-osc! [^Server s pattern f once?]
  (dispatch/handle! (.-dispatcher s) pattern f once?))

;; ---- one change of state at a time

(defn- locked
  "Calls `f` while no other change of state is under way.

  Throws `:espalier.error/busy` where one takes longer than any should."
  [^Server s f]
  (let [^ReentrantLock lock (.-lock s)
        patience            60]
    (when-not (.tryLock lock patience TimeUnit/SECONDS)
      (throw (error/error :busy (str "The server has been " (name (status s)) " for " patience " s on another thread.") {:status (status s)})))
    (try (f) (finally (.unlock lock)))))

(defn- become! [^Server s status & [more]]
  (swap! (.-state s) (fn [old] (merge old more {:status status}))))

(defn- leave!
  "Back to a handle without a server; `status` is :offline or :lost."
  [^Server s status & [more]]
  (reset! (.-state s) (merge {:status status} more)))

(defn- refuse-online [^Server s verb]
  (when (#{:online :booting :quitting} (status s))
    (throw (error/error :server-online
                        (str "The server is " (name (status s)) " already; it cannot " verb " again. (sc/reboot! s) boots it anew,"
                             " (sc/quit! s) or (sc/disconnect! s) ends it first.")
                        {:status (status s)}))))

;; ---- a server that goes away

(defn- stop-watch! [{:keys [^CountDownLatch watch]}]
  (some-> watch .countDown))

(defn- kill! [^ServerProcess process]
  (when process
    (.end process nil Duration/ZERO (Duration/ofMillis 500))))

(defn- lost!
  "The server of `session` is gone or as good as gone: `event` says how, `why` in
  words. Does nothing where the handle has gone on meanwhile."
  [^Server s session event why data]
  (locked s
    (fn []
      (let [{:keys [status jack] ^ServerProcess process :process current :session :as state} @(.-state s)]
        (when (and (= :online status) (identical? session current))
          (leave! s :lost {:lost why})
          (stop-watch! state)
          (emit! s event data)
          (session/abandon! session (offline s))
          (let [killed? (and process (.isAlive process))]
            (kill! process)
            (audio/stop-dummy! jack)
            (when killed? (emit! s :process-quit)))
          (emit! s :disconnected)
          (emit! s :lost {:why why}))))))

(defn- process-ended! [^Server s ^ServerProcess process ^ServerProcess$Exit exit]
  (let [{:keys [status session] current :process} @(.-state s)]
    (when (identical? process current)
      (if (= :online status)
        (lost! s session :process-died
               (str "its process ended (" exit "): " (.reason process))
               {:exit-code (.code exit), :reason (.reason process)})
        (dispatch/fail-all! (.-dispatcher s)
                            (error/error :server-cannot-boot
                                         (str "The server ended while booting (" exit "): " (.reason process))
                                         {:reason :process-ended, :exit-code (.code exit)}))))))

(defn- link-closed!
  "The link ended by itself. Where our own process has ended too, its exit tells
  more and comes at once."
  [^Server s session ^Exception cause]
  (when cause
    (let [process (process s)]
      (when-not (and process
                     (try (.get (.exit process) 1 TimeUnit/SECONDS) true
                          (catch TimeoutException _ false)))
        (lost! s session :connection-closed (str "the connection ended: " (ex-message cause)) {:error cause})))))

(defn- start-watch!
  "Asks for the status at an interval, and notices silence."
  [^Server s {:keys [^AtomicLong heard link] :as session}
   {:keys [watch-interval-ms watch-patience-ms port]}]
  (let [stop (CountDownLatch. 1)
        tick (fn [w]
               (when-not (.await stop watch-interval-ms TimeUnit/MILLISECONDS)
                 (let [{:keys [action] :as w} (watch/step w (session/milliseconds) (.get heard))]
                   (if (= :lost action)
                     (lost! s session :server-silent (str "it has said nothing for " watch-patience-ms " ms")
                            {:patience-ms watch-patience-ms})
                     (do (when (= :woke action) (emit! s :woke (select-keys w [:asleep-ms])))
                         (try (link/send! link ["/status"]) (catch clojure.lang.ExceptionInfo _))
                         w)))))]
    (doto (Thread. #(loop [w (watch/start (session/milliseconds) watch-interval-ms watch-patience-ms)]
                      (when-let [w (tick w)] (recur w)))
                   (str "espalier-watch-" port))
      (.setDaemon true)
      (.start))
    stop))

;; ---- boot and connect

(defn- cannot-boot [reason message data & [cause]]
  (error/error :server-cannot-boot message (assoc data :reason reason) cause))

(defn- boot-failure
  "Why a process that ended, or never was ready, could not boot."
  [^ServerProcess process ended? timeout-ms]
  (let [lines (mapv #(.text ^espalier.kernel.ServerProcess$Line %) (.output process))
        words (.reason process)
        data  {:command (vec (.command process)), :output lines}]
    (cond
      (some #(ServerOutput/saysPortTaken %) lines)
      (cannot-boot :port-taken (str "The port is taken: " words ". (sc/boot! s {:port (sc/find-free-port)}) takes another.") data)

      (some #(ServerOutput/saysNoAudio %) lines)
      (cannot-boot :no-audio (str "There is no audio to play on: " words " No JACK server runs here that this server could join. "
                                  "(sc/boot! s {:audio :dummy}) boots without any device; for sound, start JACK first, "
                                  "with jackd -d alsa for example.") data)
      ended?
      (cannot-boot :process-ended (str "The server ended instead of booting (" (.getNow (.exit process) nil) "): " words) data)

      :else
      (cannot-boot :never-ready (str "The server was not ready within " timeout-ms " ms; the last that it said: " words
                                     ". (sc/boot! s {:boot-timeout-ms " (* 2 timeout-ms) "}) waits longer.") data))))

(defn- shared-memory
  "The file that a server leaves in Linux's shared memory when it is killed; its
  name has the port."
  ^Path [port]
  (Path/of (str "/dev/shm/SuperColliderServer_" port) (make-array String 0)))

(defn- ready? [line]
  (= "READY" (str (ServerOutput/meaning line))))

(defn- spawn! [^Server s opts executable jack]
  (let [process (ServerProcess/start
                  (ServerProcess$Spec. (options/command-line opts executable)
                                       (or (:environment jack) (audio/environment))
                                       (reify Predicate (test [_ line] (ready? line)))
                                       (shared-memory (:port opts))
                                       (reify Consumer (accept [_ _]))))]
    (become! s :booting {:process process})
    (.thenAccept ^CompletableFuture (.exit process)
                 (reify Consumer (accept [_ exit] (process-ended! s process exit))))
    process))

(defn- await-answer!
  "Waits until the server answers: scsynth of negative verbosity does not say that
  it is ready."
  [^ServerProcess process {:keys [boot-timeout-ms] :as opts}]
  (let [deadline (+ (session/milliseconds) boot-timeout-ms)]
    (while (not (or (.isDone (.ready process))
                    (> (session/milliseconds) deadline)
                    (session/answers? opts 50))))
    (when-not (.isAlive process)
      (.awaitReady process (Duration/ofSeconds 1)))
    (when (> (session/milliseconds) deadline)
      (throw (TimeoutException.)))))

(defn- await-ready! [^ServerProcess process {:keys [boot-timeout-ms verbosity] :as opts}]
  (try (if (neg? verbosity)
         (await-answer! process opts)
         (.awaitReady process (Duration/ofMillis boot-timeout-ms)))
       (catch ServerProcess$NotReadyException _
         (.get (.exit process) 1 TimeUnit/SECONDS)
         (throw (boot-failure process true boot-timeout-ms)))
       (catch TimeoutException _
         (throw (boot-failure process false boot-timeout-ms)))))

(defn- open-session! [^Server s opts owner?]
  (emit! s :connecting)
  (try
    (let [session (promise)]
      (deliver session
               (session/open! (.-dispatcher s) opts (options/engine opts) owner?
                              {:on-malformed #(emit! s :malformed-packet {:error %})
                               :on-closed    (fn [cause]
                                               (when (realized? session) (link-closed! s @session cause)))}))
      @session)
    (catch Throwable e
      (emit! s :connect-failed {:error e})
      (throw e))))

(defn- online! [^Server s session opts]
  (become! s :online {:session session})
  (become! s :online {:watch (start-watch! s session opts)})
  (emit! s :connected))

(defn boot! [^Server s boot-options]
  (locked s
    (fn []
      (refuse-online s "boot")
      (let [asked      (merge (.-options s) boot-options)
            executable (executable/find-executable (:executable (options/check asked)))
            opts       (options/check (assoc asked :executable executable) (executable/platform))]
        (leave! s :booting {:options opts})
        (emit! s :booting {:warnings (options/warnings opts (executable/platform))})
        (try
          (port/check-free! opts (engine/trait (options/engine opts) :reuses-tcp-port?))
          (let [jack    (when (= :dummy (:audio opts)) (audio/start-dummy! opts))
                _       (become! s :booting {:jack jack})
                process (spawn! s opts executable jack)]
            (await-ready! process opts)
            (emit! s :process-booted {:pid (.pid ^ServerProcess process)})
            (online! s (open-session! s opts true) opts)
            (emit! s :booted)
            ;; It may have died before it was online, when nobody minded.
            (when-not (.isAlive ^ServerProcess process)
              (process-ended! s process (.get (.exit ^ServerProcess process) 1 TimeUnit/SECONDS)))
            s)
          (catch Throwable e
            (let [{:keys [process jack] :as state} @(.-state s)]
              (stop-watch! state)
              (leave! s :offline)
              (kill! process)
              (audio/stop-dummy! jack)
              (when process (emit! s :process-quit))
              (emit! s :boot-failed {:error e})
              (throw e))))))))

(defn connect! [^Server s connect-options]
  (locked s
    (fn []
      (refuse-online s "connect")
      (let [opts (options/check (merge (.-options s) connect-options))]
        (leave! s :booting {:options opts})
        (try
          (online! s (open-session! s opts false) opts)
          s
          (catch Throwable e
            (leave! s :offline)
            (throw e)))))))

;; ---- disconnect, quit, reboot, reset

(defn- end-session! [^Server s session]
  (session/abandon! session (offline s))
  (leave! s :offline))

(defn disconnect! [^Server s]
  (locked s
    (fn []
      (let [{:keys [status session options] :as state} @(.-state s)]
        (when (owner? s)
          (throw (error/error :owned-server-shutdown
                              "This handle has booted the server and cannot just leave it. (sc/quit! s) ends the server." {})))
        (case status
          :online (do (become! s :quitting)
                      (stop-watch! state)
                      (emit! s :disconnecting)
                      (session/close! session (:timeout-ms options))
                      (end-session! s session)
                      (emit! s :disconnected))
          (leave! s :offline))
        s))))

(defn- quit-process! [{:keys [^ServerProcess process session]}]
  (.end process
        (reify ServerProcess$Ask (run [_] (link/send! (:link session) ["/quit"])))
        (Duration/ofSeconds 2)
        (Duration/ofSeconds 1)))

(defn- quit-other! [{:keys [session options]}]
  (try (session/request! session ["/quit"] ["/done" "/quit"] (:timeout-ms options))
       (catch clojure.lang.ExceptionInfo _)))

(defn quit! [^Server s force?]
  (locked s
    (fn []
      (let [{:keys [status session process jack] :as state} @(.-state s)]
        (case status
          :online (do (when-not (or process force?)
                        (throw (error/error :unowned-server-shutdown
                                            (str "This handle has not booted the server. (sc/disconnect! s) leaves it,"
                                                 " (sc/quit! s {:force true}) ends it for everybody.") {})))
                      (become! s :quitting)
                      (stop-watch! state)
                      (emit! s :quitting)
                      (if process (quit-process! state) (quit-other! state))
                      (end-session! s session)
                      (audio/stop-dummy! jack)
                      (when process (emit! s :process-quit))
                      (emit! s :disconnected)
                      (emit! s :quit))
          (leave! s :offline))
        s))))

(defn reboot! [^Server s]
  (locked s
    (fn []
      (let [opts (:options @(.-state s))]
        (quit! s false)
        (boot! s (or opts {}))))))

(defn reset-server! [^Server s]
  (locked s
    (fn []
      (session/clear! (live s) (effective-options s))
      s)))

(defn close!
  "Ends it rightly: quits a server of ours, leaves another's."
  [^Server s]
  (if (owner? s) (quit! s false) (disconnect! s))
  nil)

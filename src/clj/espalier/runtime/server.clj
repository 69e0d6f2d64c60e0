(ns espalier.runtime.server
  "The life of a handle: offline, booting, online, quitting, lost. Each function
  that `espalier.core` has under the same name is documented there."
  (:require
   [clojure.string :as str]
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.watch :as watch]
   [espalier.runtime.audio :as audio]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.handle :as handle :refer [become! effective-options emit! leave! live locked offline owner? process status]]
   [espalier.runtime.link :as link]
   [espalier.runtime.port :as port]
   [espalier.runtime.session :as session]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel ServerOutput ServerProcess ServerProcess$Ask ServerProcess$Exit ServerProcess$Line ServerProcess$NotReadyException ServerProcess$Spec)
   (espalier.runtime.handle Server)
   (java.nio.file Files LinkOption Path)
   (java.time Duration)
   (java.util Set)
   (java.util.concurrent CompletableFuture ConcurrentHashMap CountDownLatch TimeUnit TimeoutException)
   (java.util.concurrent.atomic AtomicLong)
   (java.util.function Consumer Predicate)))

(set! *warn-on-reflection* true)

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
      (let [{:keys [status jack options] ^ServerProcess process :process current :session :as state} @(.-state s)]
        (when (and (= :online status) (identical? session current))
          (leave! s :lost {:lost why, :last-options options})
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
      (let [how (str "(" exit ")" (some->> (.orElse (.failure process) nil) (str ": ")) "; (sc/boot! s) boots it again")]
        ;; Before the lock: whoever holds it may be waiting for this very server.
        (dispatch/fail-all! (.-dispatcher s)
                            (if (= :booting status)
                              (error/error :server-cannot-boot (str "The server ended while booting " how)
                                           {:reason :process-ended, :exit-code (.code exit)})
                              (error/error :server-offline (str "The server ended " how ".")
                                           {:status status, :exit-code (.code exit)})))
        (when (= :online status)
          (lost! s session :process-died (str "its process ended " how)
                 {:exit-code (.code exit), :reason (.reason process)}))))))

(defn- what-next
  "What brings a lost server back."
  [s {:keys [owner?]}]
  (if owner?
    "; (sc/boot! s) boots it again"
    (str "; (sc/connect! s {:port " (:port (effective-options s)) "}) logs in again where it runs")))

(defn- port-closed!
  "The machine of another's server says that nobody listens there any more. Of our
  own the process tells."
  [^Server s session]
  (when-not (:owner? session)
    (lost! s session :connection-closed (str "its port was closed" (what-next s session)) {})))

(defn- link-closed!
  "The link ended by itself. Where our own process has ended too, its exit tells
  more and comes at once."
  [^Server s session ^Exception cause]
  (when cause
    (let [process (process s)]
      (when-not (and process
                     (try (.get (.exit process) 1 TimeUnit/SECONDS) true
                          (catch TimeoutException _ false)))
        (lost! s session :connection-closed (str "the connection ended: " (ex-message cause) (what-next s session)) {:error cause})))))

(defn- start-watch!
  "Asks for the status at an interval, and notices silence."
  [^Server s {:keys [^AtomicLong heard link] :as session}
   {:keys [watch-interval-ms watch-patience-ms port]}]
  (let [stop (CountDownLatch. 1)
        ;; By a worker, for a TCP connection that is full blocks whoever sends.
        ping (worker/worker (fn [_] (link/send! link ["/status"])) (fn [_]))
        tick (fn [w]
               (when-not (.await stop watch-interval-ms TimeUnit/MILLISECONDS)
                 (let [{:keys [action] :as w} (watch/step w (session/milliseconds) (.get heard))]
                   (if (= :lost action)
                     (lost! s session :server-silent (str "it has said nothing for " watch-patience-ms " ms" (what-next s session))
                            {:patience-ms watch-patience-ms})
                     (do (when (= :woke action) (emit! s :woke (select-keys w [:asleep-ms])))
                         (worker/offer! ping :ping)
                         w)))))]
    (doto (Thread. #(loop [w (watch/start (session/milliseconds) watch-interval-ms watch-patience-ms)]
                      (when-let [w (tick w)] (recur w)))
                   (str "espalier-watch-" port))
      (.setDaemon true)
      (.start))
    stop))

;; ---- boot and connect

(defn- refuse-online [^Server s verb]
  (when (#{:online :booting :quitting} (status s))
    (throw (error/error :server-online
                        (str "The server is " (name (status s)) " already; it cannot " verb " again. (sc/reboot! s) boots it anew,"
                             " (sc/quit! s) or (sc/disconnect! s) ends it first.")
                        {:status (status s)}))))

(defn- cannot-boot [reason message data & [cause]]
  (error/error :server-cannot-boot message (assoc data :reason reason) cause))

(defn- sentence [words]
  (str (str/replace words #"[.\s]+$" "") "."))

(defn- boot-failure
  "Why a process that ended, or never was ready, could not boot."
  [^ServerProcess process jack ended? timeout-ms & [cause]]
  (let [lines (mapv #(.text ^ServerProcess$Line %) (.output process))
        words (.reason process)
        data  {:command (vec (.command process)), :output lines}]
    (cond
      (some #(ServerOutput/saysPortTaken %) lines)
      (cannot-boot :port-taken (str "The port is taken: " (sentence words) " (sc/boot! s {:port (sc/find-free-port)}) takes another.") data cause)

      (and jack (some #(ServerOutput/saysNoAudio %) lines))
      (cannot-boot :no-audio (str "The private JACK server did not take the server: " (sentence words)
                                  " Its last words: " (sentence (.reason ^ServerProcess (:process jack)))) data cause)

      (some #(ServerOutput/saysNoAudio %) lines)
      (cannot-boot :no-audio (str "There is no audio to play on: " (sentence words) " No JACK server runs here that this server could join. "
                                  "(sc/boot! s {:audio :dummy}) boots without any device; for sound, start JACK first, "
                                  "with jackd -d alsa for example.") data cause)
      ended?
      (cannot-boot :process-ended (str "The server ended instead of booting (" (.getNow (.exit process) nil) "): " (sentence words)) data cause)

      :else
      (cannot-boot :never-ready (str "The server was not ready within " timeout-ms " ms; the last that it said: " (sentence words)
                                     " (sc/boot! s {:boot-timeout-ms " (* 2 timeout-ms) "}) waits longer.") data cause))))

(defn- login-failure
  "Why a process that was ready could not be logged in to: where it has ended, that."
  [^ServerProcess process jack {:keys [boot-timeout-ms]} e]
  (if (try (.get (.exit process) 300 TimeUnit/MILLISECONDS) (catch TimeoutException _ nil))
    (boot-failure process jack true boot-timeout-ms e)
    (cannot-boot :no-login (str "The server is ready, but the login failed: " (ex-message e)) {} e)))

(defn- shared-memory
  "The file that a server leaves in Linux's shared memory when it is killed; its
  name has the port."
  ^Path [port]
  (Path/of (str "/dev/shm/SuperColliderServer_" port) (make-array String 0)))

(def ^:private booting
  "The ports on which servers of this JVM are being booted."
  (ConcurrentHashMap/newKeySet))

(defn- check-port!
  "Throws where a server on this port would fail, or harm another: the name of the
  shared memory is the same for UDP and TCP, and whoever boots replaces it."
  [{:keys [protocol port] :as opts}]
  (let [reuses? (engine/trait (options/engine opts) :reuses-tcp-port?)]
    (port/check-free! opts reuses?)
    (when (Files/exists (shared-memory port) (make-array LinkOption 0))
      (port/check-free! (assoc opts :protocol ({:udp :tcp, :tcp :udp} protocol)) reuses?))))

(defn- alone-on-port
  "Calls `f` while no other boot of this JVM is under way on the port."
  [{:keys [port] :as opts} f]
  (when-not (.add ^Set booting port)
    (throw (cannot-boot :port-taken (str "Another handle is booting on port " port ". (sc/boot! s {:port (sc/find-free-port)}) takes another.")
                        (select-keys opts [:port :protocol :ip-address]))))
  (try (f)
       (finally (.remove ^Set booting port))))

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
  (let [deadline (+ (session/milliseconds) boot-timeout-ms)
        ready    (.ready process)]
    (while (not (or (.isDone ready)
                    (> (session/milliseconds) deadline)
                    (session/answers? opts 50)
                    (Thread/sleep 20))))
    (when-not (.isAlive process)
      (.awaitReady process (Duration/ofSeconds 1)))
    (when (> (session/milliseconds) deadline)
      (throw (TimeoutException.)))))

(defn- await-ready! [^ServerProcess process jack {:keys [boot-timeout-ms verbosity] :as opts}]
  (try (if (and (neg? verbosity) (not (engine/trait (options/engine opts) :always-says-ready?)))
         (await-answer! process opts)
         (.awaitReady process (Duration/ofMillis boot-timeout-ms)))
       (catch ServerProcess$NotReadyException _
         (.get (.exit process) 1 TimeUnit/SECONDS)
         (throw (boot-failure process jack true boot-timeout-ms)))
       (catch TimeoutException _
         (throw (boot-failure process jack false boot-timeout-ms)))))

(defn- open-session! [^Server s opts owner?]
  (emit! s :connecting)
  (try
    (let [session (promise)]
      (deliver session
               (session/open! (.-dispatcher s) opts (options/engine opts) owner?
                              {:on-malformed   #(emit! s :malformed-packet {:error %})
                               :on-unreachable (fn [e]
                                                 (if (realized? session)
                                                   (port-closed! s @session)
                                                   (dispatch/fail-all! (.-dispatcher s) e)))
                               :on-closed      (fn [cause]
                                                 (cond
                                                   (realized? session) (link-closed! s @session cause)
                                                   cause (dispatch/fail-all! (.-dispatcher s) (link/closed cause))))}))
      @session)
    (catch Throwable e
      (emit! s :connect-failed {:error e})
      (throw e))))

(defn- online! [^Server s session opts]
  (become! s :online {:session session})
  (become! s :online {:watch (start-watch! s session opts)})
  (emit! s :connected))

(defn- boot-process!
  "Starts audio and server and waits until it is ready; returns the process."
  [^Server s opts executable]
  (let [jack    (when (= :dummy (:audio opts)) (audio/start-dummy! opts))
        _       (become! s :booting {:jack jack})
        process (spawn! s opts executable jack)]
    (await-ready! process jack opts)
    process))

(defn- boot-process-again!
  "As `boot-process!`, and once more where a private JACK has started and then would
  not take the server: a young JACK was seen to refuse its first client."
  [^Server s opts executable]
  (try
    (boot-process! s opts executable)
    (catch clojure.lang.ExceptionInfo e
      (let [{:keys [jack process]} @(.-state s)]
        (when-not (and jack process (= :no-audio (:reason (ex-data e))))
          (throw e))
        (become! s :booting {:jack nil, :process nil})
        (kill! process)
        (audio/stop-dummy! jack)
        (boot-process! s opts executable)))))

(defn- start!
  "Starts what must run, and logs in."
  [^Server s opts executable]
  (check-port! opts)
  (let [^ServerProcess process (boot-process-again! s opts executable)]
    (emit! s :process-booted {:pid (.pid process)})
    (online! s (open-session! s opts true) opts)
    (emit! s :booted)
    ;; It may have died before it was online, when nobody minded.
    (when-not (.isAlive process)
      (process-ended! s process (.get (.exit process) 1 TimeUnit/SECONDS)))))

(defn boot!
  "See `espalier.core/boot!`."
  [^Server s boot-options]
  (locked s
    (fn []
      (refuse-online s "boot")
      (let [asked      (merge (.-options s) boot-options)
            executable (executable/find-executable (:executable (options/check asked)))
            opts       (options/check (assoc asked :executable executable) (executable/platform))]
        (leave! s :booting {:options opts})
        (emit! s :booting {:warnings (options/warnings opts (executable/platform))})
        (try
          (alone-on-port opts #(start! s opts executable))
          s
          (catch Throwable e
            (let [{:keys [jack] ^ServerProcess process :process :as state} @(.-state s)
                  e (if (or (nil? process) (not (instance? Exception e)) (instance? InterruptedException e)
                            (= :espalier.error/server-cannot-boot (error/code e)))
                      e
                      (login-failure process jack opts e))]
              (stop-watch! state)
              (leave! s :offline)
              (kill! process)
              (audio/stop-dummy! jack)
              (when process (emit! s :process-quit))
              (emit! s :boot-failed {:error e})
              (throw e))))))))

(defn connect!
  "See `espalier.core/connect!`."
  [^Server s connect-options]
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

(defn disconnect!
  "See `espalier.core/disconnect!`."
  [^Server s]
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
                      (try (session/close! session (:timeout-ms options))
                           (finally (end-session! s session)
                                    (emit! s :disconnected))))
          (leave! s :offline))
        s))))

(defn- quit-process! [{:keys [^ServerProcess process session]}]
  (.end process
        (reify ServerProcess$Ask (run [_] (link/send! (:link session) ["/quit"])))
        (Duration/ofSeconds 2)
        (Duration/ofSeconds 1)))

(defn- quit-other! [{:keys [session options]}]
  (session/request! session ["/quit"] ["/done" "/quit"] (:timeout-ms options)))

(defn quit!
  "See `espalier.core/quit!`."
  [^Server s force?]
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
                      (try (if process (quit-process! state) (quit-other! state))
                           (finally
                             (end-session! s session)
                             (audio/stop-dummy! jack)
                             (when process (emit! s :process-quit))
                             (emit! s :disconnected)
                             (emit! s :quit))))
          (leave! s :offline))
        s))))

(defn reboot!
  "See `espalier.core/reboot!`."
  [^Server s]
  (locked s
    (fn []
      (let [{:keys [options last-options]} @(.-state s)]
        (quit! s false)
        (boot! s (or options last-options {}))))))

(defn reset-server!
  "See `espalier.core/reset-server!`."
  [^Server s]
  (locked s
    (fn []
      (session/clear! (live s) (effective-options s))
      s)))

(defn close!
  "Ends it rightly: quits a server of ours, leaves another's."
  [^Server s]
  ;; An interrupt must not keep a server alive that nobody holds any more.
  (let [interrupted? (Thread/interrupted)]
    (try (locked s #(if (owner? s) (quit! s false) (disconnect! s)))
         (finally (when interrupted? (.interrupt (Thread/currentThread))))))
  nil)

(defn server
  "See `espalier.core/server`."
  [opts]
  (handle/handle opts close!))

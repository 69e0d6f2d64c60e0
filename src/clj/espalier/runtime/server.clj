(ns espalier.runtime.server
  "The life of a handle: offline, booting, online, quitting, lost. Each function
  that `espalier.core` has under the same name is documented there."
  (:require
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.watch :as watch]
   [espalier.runtime.audio :as audio]
   [espalier.runtime.boot :as boot]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.health :as health]
   [espalier.runtime.handle :as handle :refer [become! effective-options emit! leave! live locked offline owner? process status]]
   [espalier.runtime.link :as link]
   [espalier.runtime.session :as session]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.tree-query :as tree-query]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel RunningServer ServerProcess$Ask ServerProcess$Exit)
   (espalier.runtime.handle Server)
   (java.time Duration)
   (java.util.concurrent CountDownLatch TimeUnit TimeoutException)
   (java.util.concurrent.atomic AtomicLong)))

(set! *warn-on-reflection* true)

;; ---- a server that goes away

(defn- stop-watch! [{:keys [^CountDownLatch watch]}]
  (some-> watch .countDown))

(defn- lost!
  "The server of `session` is gone or as good as gone: `event` says how, `why` in
  words. Does nothing where the handle has gone on meanwhile."
  [^Server s session event why data]
  (locked s
    (fn []
      (let [{:keys [status jack options] ^RunningServer process :process current :session :as state} @(.-state s)]
        (when (and (= :online status) (identical? session current))
          (leave! s :lost {:lost why, :last-options options})
          (stop-watch! state)
          (emit! s event data)
          (session/abandon! session (offline s))
          (let [killed? (and process (.isAlive process))]
            (boot/kill! process)
            (audio/stop-dummy! jack)
            (when killed? (emit! s :process-quit)))
          (emit! s :disconnected)
          (emit! s :lost {:why why}))))))

(defn- process-ended! [^Server s ^RunningServer process ^ServerProcess$Exit exit]
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
        ping (worker/worker (fn [_] (link/send-at-once! link ["/status"])) (fn [_]))
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

(defn- open-session! [^Server s opts owner?]
  (emit! s :connecting)
  (health/clear! (handle/health-of s))
  (try
    (let [session (promise)]
      (deliver session
               (entities/login
                 s opts
                 (session/open! (.-dispatcher s) opts (options/engine opts) owner?
                   {:clock          (if-let [process (handle/process s)] (.clock process) clock/wall)
                    :health         (handle/health-of s)
                    :mend!          tree-query/mend!
                    :on-packet      #(trace/add! (.-trace s) :received %)
                    :on-sent        #(trace/add! (.-trace s) :sent %)
                    :on-malformed   #(emit! s :malformed-packet {:error %})
                    :on-unreachable (fn [e]
                                      (if (realized? session)
                                        (port-closed! s @session)
                                        (dispatch/fail-all! (.-dispatcher s) e)))
                    :on-closed      (fn [cause]
                                      (cond
                                        (realized? session) (link-closed! s @session cause)
                                        cause (dispatch/fail-all! (.-dispatcher s) (link/closed cause))))})))
      @session)
    (catch Throwable e
      (emit! s :connect-failed {:error e})
      (throw e))))

(defn- online! [^Server s session opts]
  (become! s :online {:session session})
  (become! s :online {:watch (start-watch! s session opts)})
  (emit! s :connected))

(defn- start!
  "Starts what must run, and logs in."
  [^Server s opts executable]
  (boot/check-port! opts)
  (let [^RunningServer process (boot/boot-process! s opts executable #(process-ended! s %1 %2))]
    (emit! s :process-booted {:pid (handle/pid process)})
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
      (let [asked      (handle/merged s boot-options)
            executable (executable/find-executable (:executable (options/check asked)))
            opts       (options/check (assoc asked :executable executable) (executable/platform))]
        (leave! s :booting {:options opts})
        (emit! s :booting (assoc (select-keys opts [:ip-address :port :protocol])
                                 :warnings (options/warnings opts (executable/platform))))
        (try
          (boot/alone-on-port opts #(start! s opts executable))
          s
          (catch Throwable e
            (let [{:keys [jack] ^RunningServer process :process :as state} @(.-state s)
                  e (if (or (nil? process) (not (instance? Exception e)) (instance? InterruptedException e)
                            (= :espalier.error/server-cannot-boot (error/code e)))
                      e
                      (boot/login-failure process jack opts e))]
              (stop-watch! state)
              (leave! s :offline)
              (boot/kill! process)
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
      (let [opts (options/check (handle/merged s connect-options))]
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
          :online (do (session/wind-up! session)
                      (become! s :quitting)
                      (stop-watch! state)
                      (emit! s :disconnecting)
                      (try (session/close! session (:timeout-ms options))
                           (finally (end-session! s session)
                                    (emit! s :disconnected))))
          (leave! s :offline))
        s))))

(defn- quit-process! [{:keys [^RunningServer process session]}]
  (.end process
        (reify ServerProcess$Ask (run [_] (link/send-at-once! (:link session) ["/quit"])))
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
                      (session/wind-up! session)
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
      (let [session (live s)]
        (session/clear! session (effective-options s))
        (declared/forget-pending! session nil))
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

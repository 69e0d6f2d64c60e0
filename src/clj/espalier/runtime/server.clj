(ns espalier.runtime.server
  "The life of a handle: offline, booting, online, quitting, restoring, lost. Each function
  that `espalier.core` has under the same name is documented there."
  (:require
   [espalier.model.backoff :as backoff]
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
   [espalier.runtime.handle :as handle :refer [become! effective-options emit! hold! leave! live locked offline owner? process status]]
   [espalier.runtime.healing :as healing]
   [espalier.runtime.health :as health]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.restoration :as restoration]
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

(defn- remembered
  "What the next login must know to be the same: who we are, and what
  `espalier.runtime.restoration` remembers, once it is wanted: by then each call that was
  under way has put in order what it leaves."
  [s {:keys [owner? client-id] :as session}]
  {:owner?    owner?
   :client-id client-id
   :memory    (delay (restoration/remember s session))})

(defn- what-next
  "What brings a lost server back."
  [s {:keys [owner?]}]
  (cond
    (not= :offline (:on-lost (effective-options s))) ""
    owner? "; (sc/boot! s) boots it again"
    :else  (str "; (sc/connect! s {:port " (:port (effective-options s)) "}) logs in again where it runs")))

(defn- trouble
  "What is stopped of a server of ours, in words; nil where nothing is known to be."
  [{:keys [^RunningServer process jack]}]
  (if (and process (.isStopped process))
    "its process is stopped"
    (audio/trouble jack)))

(declare restore-once!)

(defn- heal!
  "Has restored what was just lost; `by-itself?` says that nothing from without is known to
  have ended it."
  [^Server s h loss {:keys [attempts at-ms]} by-itself?]
  (healing/begin! s h loss
                  (fn [attempt] (restore-once! s h attempt))
                  (backoff/first-attempt attempts (- (clock/milliseconds) (long (or at-ms 0))) by-itself?)))

(defn- lost!
  "The server of `session` is gone or as good as gone: `event` says how, `why` in
  words. Does nothing where the handle has gone on meanwhile.

  `wanted?`  whether that was meant to be: then nothing is restored"
  ([s session event why data] (lost! s session event why data false))
  ([^Server s session event why data wanted?]
   (locked s
     (fn []
       (let [{:keys [status jack options restored] ^RunningServer process :process current :session :as state} @(.-state s)]
         (when (and (= :online status) (identical? session current))
           (let [heals? (and (not wanted?) (not= :offline (:on-lost options)))
                 loss   {:lost why, :last-options options, :kept (remembered s session)}
                 ;; Killed, or without its JACK: that would not come again from what is restored.
                 by-itself? (and process (not= 137 (:exit-code data)) (not (trouble state)))
                 h      (healing/healing)]
             (if heals?
               ;; JACK takes its time to end and to start; one that is well serves the next as well.
               (leave! s :restoring (assoc loss :options options, :jack jack, :healing h, :restoring (healing/over h)))
               (leave! s :lost loss))
             (stop-watch! state)
             (emit! s event data)
             (session/abandon! session (offline s))
             (let [alive? (and process (.isAlive process))]
               (boot/kill! process)
               (when-not heals? (audio/stop-dummy! jack))
               (when alive? (emit! s :process-quit)))
             (emit! s :disconnected)
             (if heals?
               (heal! s h (assoc data :event event, :why why) restored by-itself?)
               (emit! s :lost {:why why})))))))))

(defn- process-ended! [^Server s ^RunningServer process ^ServerProcess$Exit exit]
  (let [{:keys [status session jack] current :process} @(.-state s)]
    (when (identical? process current)
      (let [;; Code 0 is of an end in order: an error in the output is of something before.
            failed? (not= 0 (.code exit))
            how     (str "(" exit ")" (some->> (if failed? (.orElse (.failure process) nil) (audio/trouble jack)) (str ": ")) (what-next s {:owner? true}))]
        ;; Before the lock: whoever holds it may be waiting for this very server.
        (dispatch/fail-all! (.-dispatcher s)
                            (if (contains? #{:booting :restoring} status)
                              (error/error :server-cannot-boot (str "The server ended while booting " how)
                                           {:reason :process-ended, :exit-code (.code exit)})
                              (error/error :server-offline (str "The server ended " how ".")
                                           {:status status, :exit-code (.code exit)})))
        (when (= :online status)
          (lost! s session :process-died (str "its process ended " how)
                 (cond-> {:exit-code (.code exit)} failed? (assoc :reason (.reason process)))
                 ;; By `kill-all!`, for whoever else asks is not online any more.
                 (.wasAsked exit)))))))

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

(defn- told-of-its-end?
  "Whether the end of the server would have been noticed: of our own the process tells, and of a
  connection that it was closed."
  [{:keys [owner? protocol]}]
  (or owner? (= :tcp protocol)))

(defn- another-server!
  "In the place of another's server is a new one, which knows nothing of us."
  [^Server s session]
  (let [current (handle/session s)]
    (when (identical? (:link session) (:link current))
      (lost! s current :connection-closed (str "another server answers in its place" (what-next s session)) {}))))

(defn- look-after-silence!
  "What came meanwhile may be lost; of another's server we may have missed that it is a new one."
  [^Server s {:keys [timeout-ms] :as session}]
  (if (or (told-of-its-end? session) (session/known? session timeout-ms))
    (mirror/repair! (:mirror session) nil)
    (another-server! s session)))

(defn- mend!
  "Makes the mirror of a session right that may be wrong. Where the nodes of a guest are gone
  untold, its server may be a new one."
  [^Server s {:keys [timeout-ms] :as session} mirror]
  (if (try (or (told-of-its-end? session)
               (not (session/nodes-gone? session timeout-ms))
               (session/known? session timeout-ms))
           ;; It is gone, or too busy to say.
           (catch clojure.lang.ExceptionInfo _ true))
    (tree-query/mend! session mirror)
    (another-server! s session)))

(defn- start-watch!
  "Asks for the status at an interval, and notices silence."
  [^Server s {:keys [^AtomicLong heard link owner?] :as session}
   {:keys [port] :as options}]
  (let [{:keys [interval-ms patience-ms stopped-ms] :as settings} (watch/settings options owner?)
        stop (CountDownLatch. 1)
        ;; By a worker, for a TCP connection that is full blocks whoever sends.
        ping (worker/worker (fn [_] (link/send-at-once! link ["/status"])) (fn [_]))
        look (worker/worker (fn [_] (look-after-silence! s session)) (fn [_]))
        tick (fn [w]
               (when-not (.await stop interval-ms TimeUnit/MILLISECONDS)
                 (let [stopped (when stopped-ms (trouble @(.-state s)))
                       {:keys [action stopped silent-ms] :as w} (watch/step w (clock/milliseconds) (.get heard) stopped)]
                   (if (= :lost action)
                     (lost! s session :server-silent
                            (str (if stopped (str stopped ", and it") "it") " has said nothing for " (if stopped silent-ms patience-ms) " ms" (what-next s session))
                            (cond-> {:patience-ms (if stopped stopped-ms patience-ms)} stopped (assoc :reason stopped)))
                     (do (case action
                           :woke (emit! s :woke (select-keys w [:asleep-ms]))
                           :slow (emit! s :server-slow (select-keys w [:silent-ms]))
                           nil)
                         (worker/offer! ping :ping)
                         (when (contains? #{:woke :again} action) (worker/offer! look :look))
                         w)))))]
    (doto (Thread. #(loop [w (watch/start (clock/milliseconds) settings)]
                      (when-let [w (tick w)] (recur w)))
                   (str "espalier-watch-" port))
      (.setDaemon true)
      (.start))
    stop))

;; ---- boot and connect

(defn- refuse-online [^Server s verb]
  (when (#{:online :booting :quitting :restoring} (status s))
    (throw (error/error :server-online
                        (str "The server is " (name (status s)) " already; it cannot " verb " again. (sc/reboot! s) boots it anew,"
                             " (sc/quit! s) or (sc/disconnect! s) ends it first.")
                        {:status (status s)}))))

(defn- open-session!
  "Logs in, as whom `kept` remembers where that is not nil."
  [^Server s opts owner? kept]
  (emit! s :connecting)
  (health/clear! (handle/health-of s))
  (try
    (let [session (promise)]
      (deliver session
               (entities/login
                 s opts
                 (session/open! (.-dispatcher s) opts (options/engine opts) owner?
                   {:wish           (:client-id kept)
                    :clock          (if-let [process (handle/process s)] (.clock process) clock/wall)
                    :health         (handle/health-of s)
                    :mend!          #(mend! s %1 %2)
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

(defn- not-restored [^Throwable e]
  (error/error :server-not-restored (str "What was there could not be made again: " (ex-message e)) {} e))

(defn- restore!
  "Makes all as it was when `kept` was remembered; returns the report. Nobody else has the
  session as yet.

  Throws `:espalier.error/server-not-restored`, and `:espalier.error/server-cannot-boot`
  where a server of ours ends meanwhile."
  [s {:keys [owner?] :as session} opts {:keys [memory]}]
  (try
    ;; On a server that has lived on, what is left of us is in the way.
    (when-not owner? (session/clear! session opts))
    (binding [handle/*restores* s]
      (restoration/restore-login! s @memory {:by-hand (:restore-by-hand opts)}))
    (catch InterruptedException e (throw e))
    (catch Exception e
      (throw (if (= :espalier.error/server-cannot-boot (error/code e)) e (not-restored e))))))

(defn- log-in!
  "Logs in, restores what is `kept`, unless that is nil, and is online then."
  [^Server s opts owner? {:keys [attempt] :as kept}]
  (let [session (open-session! s opts owner? kept)
        _       (hold! s {:session session})
        report  (when kept (restore! s session opts kept))]
    (become! s :online {:restored (when kept {:attempts attempt, :at-ms (clock/milliseconds), :report report})
                        :healing nil, :restoring nil, :lost nil, :kept nil, :last-options nil})
    (hold! s {:watch (start-watch! s session opts)})
    (when kept (emit! s :restored {:report report}))
    (emit! s :connected)))

(defn- start!
  "Starts what must run, logs in, and restores what is `kept`, unless that is nil."
  [^Server s opts executable kept]
  (boot/check-port! opts)
  (let [^RunningServer process (boot/boot-process! s opts executable #(process-ended! s %1 %2))]
    (emit! s :process-booted {:pid (handle/pid process)})
    (log-in! s opts true kept)
    (emit! s :booted)
    ;; It may have died before it was online, when nobody minded.
    (when-not (.isAlive process)
      (process-ended! s process (.get (.exit process) 1 TimeUnit/SECONDS)))))

(defn- boot-failed!
  "Ends what a boot has begun that failed with `e`, and returns the error of that. The
  handle is left in `status` with `more`; the JACK server in it goes on."
  [^Server s opts ^Throwable e status more]
  (let [{:keys [jack session] ^RunningServer process :process :as state} @(.-state s)
        e (if (or (nil? process) (not (instance? Exception e)) (instance? InterruptedException e)
                  (contains? #{:espalier.error/server-cannot-boot :espalier.error/server-not-restored} (error/code e)))
            e
            (boot/login-failure process jack opts e))]
    (stop-watch! state)
    (leave! s status more)
    (when session (session/abandon! session e))
    (boot/kill! process)
    (when-not (:jack more) (audio/stop-dummy! jack))
    (when process (emit! s :process-quit))
    (emit! s :boot-failed {:error e})
    e))

(defn- connect-failed!
  "Logs out again from a server on which `e` came in the way."
  [^Server s {:keys [timeout-ms]} status more]
  (let [{:keys [session] :as state} @(.-state s)]
    (stop-watch! state)
    (leave! s status more)
    (when session (session/close! session timeout-ms))))

(defn- boot-as!
  "Boots, and restores what is `kept`, unless that is nil."
  [^Server s boot-options kept]
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
          (boot/alone-on-port opts #(start! s opts executable kept))
          s
          (catch Throwable e
            (throw (boot-failed! s opts e :offline (when kept {:kept kept, :last-options opts})))))))))

(defn boot!
  "See `espalier.core/boot!`."
  [s boot-options]
  (boot-as! s boot-options nil))

(defn connect!
  "See `espalier.core/connect!`."
  [^Server s connect-options]
  (locked s
    (fn []
      (refuse-online s "connect")
      (let [opts (options/check (handle/merged s connect-options))]
        (leave! s :booting {:options opts})
        (try
          (log-in! s opts false nil)
          s
          (catch Throwable e
            (connect-failed! s opts :offline nil)
            (throw e)))))))

(defn- restore-once!
  "One attempt to bring back what was lost, unless the handle has gone on meanwhile."
  [^Server s h attempt]
  (locked s
    (fn []
      (when (healing/under-way? s h)
        (let [{:keys [options kept] :as lost} @(.-state s)
              kept (assoc kept :attempt attempt)
              lost (select-keys lost [:options :lost :last-options :kept :healing :restoring])]
          (if (:owner? kept)
            (try
              (healing/interruptible h (fn [] (boot/alone-on-port options #(start! s options (:executable options) kept))))
              (catch Throwable e
                (let [{:keys [jack]} @(.-state s)]
                  (throw (boot-failed! s options e :restoring
                                       (cond-> lost
                                         (and jack (= :port-taken (:reason (ex-data e)))) (assoc :jack jack)))))))
            (try
              (healing/interruptible h #(log-in! s options false kept))
              (catch Throwable e
                (connect-failed! s options :restoring lost)
                (throw e)))))))))

;; ---- disconnect, quit, reboot, reset

(defn- end-session! [^Server s session]
  (session/abandon! session (offline s))
  (leave! s :offline))

(defn disconnect!
  "See `espalier.core/disconnect!`."
  [^Server s]
  (healing/stop! s)
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
  (healing/stop! s)
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
  [^Server s opts]
  (options/check-call opts #{:restore})
  (healing/stop! s)
  (locked s
    (fn []
      (let [{:keys [status options last-options session kept]} @(.-state s)
            {:keys [restore]} opts
            opts     (or options last-options {})
            restore? (if (nil? restore) (not (contains? #{nil :offline} (:on-lost opts))) restore)
            kept     (when restore? (if (= :online status) (remembered s session) kept))]
        ;; While it has what is to be remembered. What this throws is told when it is to be restored.
        (try (some-> kept :memory deref) (catch Exception _))
        (quit! s false)
        (boot-as! s opts kept)))))

(defn reset-server!
  "See `espalier.core/reset-server!`."
  [^Server s]
  ;; Who holds the lock cannot wait for what is restored.
  (live s)
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
    (healing/stop! s)
    (try (locked s #(if (owner? s) (quit! s false) (disconnect! s)))
         (finally (when interrupted? (.interrupt (Thread/currentThread))))))
  nil)

(defn server
  "See `espalier.core/server`."
  [opts]
  (handle/handle opts close!))

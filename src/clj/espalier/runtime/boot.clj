(ns espalier.runtime.boot
  "From options to a process that is ready: the port that is tried first, the audio,
  the server, and why one of them would not start."
  (:require
   [clojure.string :as str]
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.model.log :as model.log]
   [espalier.model.options :as options]
   [espalier.runtime.audio :as audio]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.handle :refer [emit! hold!]]
   [espalier.runtime.log :as log]
   [espalier.runtime.port :as port]
   [espalier.runtime.session :as session])
  (:import
   (espalier.kernel RunningServer ServerOutput ServerOutput$Meaning ServerProcess ServerProcess$Line ServerProcess$NotReadyException ServerProcess$Spec)
   (espalier.runtime.handle Server)
   (java.nio.file Files LinkOption Path)
   (java.time Duration)
   (java.util Set)
   (java.util.concurrent CompletableFuture ConcurrentHashMap TimeUnit TimeoutException)
   (java.util.function Consumer Predicate)))

(set! *warn-on-reflection* true)

(defn kill!
  "Ends a process without asking it; nil is ignored."
  [^RunningServer process]
  (when process
    ;; A stopped one hears no SIGTERM.
    (.end process nil Duration/ZERO (if (.isStopped process) Duration/ZERO (Duration/ofMillis 500)))))

(defn- cannot-boot [reason message data & [cause]]
  (error/error :server-cannot-boot message (assoc data :reason reason) cause))

(defn- sentence [words]
  (str (str/replace words #"[.\s]+$" "") "."))

(defn- boot-failure
  "Why a process that ended, or never was ready, could not boot."
  [^RunningServer process jack ended? timeout-ms & [cause]]
  (let [lines (mapv #(.text ^ServerProcess$Line %) (.output process))
        words (.reason process)
        data  {:command (vec (.command process)), :output lines}]
    (cond
      (some #(ServerOutput/saysPortTaken %) lines)
      (cannot-boot :port-taken (str "The port is taken: " (sentence words) " (sc/boot! s {:port (sc/find-free-port)}) takes another.") data cause)

      (and jack (some #(ServerOutput/saysNoAudio %) lines))
      (cannot-boot :no-audio (str "The private JACK server did not take the server: " (sentence words)
                                  " Its last words: " (sentence (.reason ^RunningServer (:process jack)))) data cause)

      (some #(ServerOutput/saysNoAudio %) lines)
      (cannot-boot :no-audio (str "There is no audio to play on: " (sentence words) " No JACK server runs here that this server could join. "
                                  "(sc/boot! s {:audio :dummy}) boots without any device; for sound, start JACK first, "
                                  "with jackd -d alsa for example.") data cause)
      ended?
      (cannot-boot :process-ended (str "The server ended instead of booting (" (.getNow (.exit process) nil) "): " (sentence words)) data cause)

      :else
      (cannot-boot :never-ready (str "The server was not ready within " timeout-ms " ms; the last that it said: " (sentence words)
                                     " (sc/boot! s {:boot-timeout-ms " (* 2 timeout-ms) "}) waits longer.") data cause))))

(defn login-failure
  "Why a process that was ready could not be logged in to: where it has ended, that."
  [^RunningServer process jack {:keys [boot-timeout-ms]} e]
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

(defn check-port!
  "Throws where a server on this port would fail, or harm another: the name of the
  shared memory is the same for UDP and TCP, and whoever boots replaces it."
  [{:keys [protocol port] :as opts}]
  (let [reuses? (engine/trait (options/engine opts) :reuses-tcp-port?)]
    (port/check-free! opts reuses?)
    (when (Files/exists (shared-memory port) (make-array LinkOption 0))
      (port/check-free! (assoc opts :protocol ({:udp :tcp, :tcp :udp} protocol)) reuses?))))

(defn alone-on-port
  "Calls `f` while no other boot of this JVM is under way on the port."
  [{:keys [port] :as opts} f]
  (when-not (.add ^Set booting port)
    (throw (cannot-boot :port-taken (str "Another handle is booting on port " port ". (sc/boot! s {:port (sc/find-free-port)}) takes another.")
                        (select-keys opts [:port :protocol :ip-address]))))
  (try (f)
       (finally (.remove ^Set booting port))))

(defn- heard!
  "Notes a line of the server, and tells when it says that a bundle came too late."
  [^Server s line]
  (log/add! (.-log s) (model.log/of-line line (= ServerOutput$Meaning/FAILURE (ServerOutput/meaning line)) (clock/now)))
  (let [seconds (ServerOutput/lateBy line)]
    (when (.isPresent seconds)
      (emit! s :late {:late-s (.getAsDouble seconds)}))))

(def ^:private rehearsals
  "The rehearsals of this JVM's handles that run."
  (ConcurrentHashMap/newKeySet))

(defn kill-rehearsals!
  "Kills every rehearsal that a handle has booted; returns how many."
  []
  (count (mapv kill! rehearsals)))

(defn- rehearse!
  "Starts a rehearsal in place of a process. What it needs is loaded only then."
  ^RunningServer [opts executable on-line]
  (let [start! (requiring-resolve 'espalier.runtime.rehearsal/start!)
        it     (start! (assoc (merge opts (options/rehearsal executable)) :on-line on-line))]
    (.add ^Set rehearsals it)
    (.thenRun (.exit ^RunningServer it) #(.remove ^Set rehearsals it))
    it))

(defn- start-process! ^RunningServer [opts executable jack on-line]
  (ServerProcess/start
    (ServerProcess$Spec. (options/command-line opts executable)
                         (or (:environment jack) (audio/environment))
                         (reify Predicate (test [_ line] (= ServerOutput$Meaning/READY (ServerOutput/meaning line))))
                         (shared-memory (:port opts))
                         (reify Consumer (accept [_ line] (on-line line))))))

(defn- spawn! [^Server s opts executable jack on-exit]
  (let [on-line (fn [^ServerProcess$Line line] (heard! s (.text line)))
        process (if (options/rehearsal executable)
                  (rehearse! opts executable on-line)
                  (start-process! opts executable jack on-line))]
    (hold! s {:process process})
    (.thenAccept ^CompletableFuture (.exit ^RunningServer process)
                 (reify Consumer (accept [_ exit] (on-exit process exit))))
    process))

(defn- await-answer!
  "Waits until the server answers: scsynth of negative verbosity does not say that
  it is ready."
  [^RunningServer process {:keys [boot-timeout-ms] :as opts}]
  (let [deadline (+ (clock/milliseconds) boot-timeout-ms)
        ready    (.ready process)]
    (while (not (or (.isDone ready)
                    (> (clock/milliseconds) deadline)
                    (session/answers? opts 50)
                    (Thread/sleep 20))))
    (when-not (.isAlive process)
      (.awaitReady process (Duration/ofSeconds 1)))
    (when (> (clock/milliseconds) deadline)
      (throw (TimeoutException.)))))

(defn- await-ready! [^RunningServer process jack {:keys [boot-timeout-ms verbosity] :as opts}]
  (try (if (and (neg? verbosity) (not (engine/trait (options/engine opts) :always-says-ready?)))
         (await-answer! process opts)
         (.awaitReady process (Duration/ofMillis boot-timeout-ms)))
       (catch ServerProcess$NotReadyException _
         (.get (.exit process) 1 TimeUnit/SECONDS)
         (throw (boot-failure process jack true boot-timeout-ms)))
       (catch TimeoutException _
         (throw (boot-failure process jack false boot-timeout-ms)))))

(defn- private-jack!
  "A private JACK server: the one that a server before has left, where there is one."
  [^Server s opts]
  (let [{:keys [jack]} @(.-state s)]
    (if (and jack (nil? (audio/trouble jack)))
      jack
      (do (audio/stop-dummy! jack)
          (hold! s {:jack nil})
          (audio/start-dummy! opts)))))

(defn- attempt!
  "Starts audio and server and waits until it is ready; returns the process."
  [^Server s opts executable on-exit]
  (let [jack    (when (and (= :dummy (:audio opts)) (not (options/rehearsal executable))) (private-jack! s opts))
        _       (hold! s {:jack jack})
        process (spawn! s opts executable jack on-exit)]
    (await-ready! process jack opts)
    process))

(defn boot-process!
  "Starts audio and server, which the handle's state holds from then on, and waits
  until the server is ready; returns its process. Once more where a private JACK
  has started and then would not take the server: a young JACK was seen to refuse
  its first client.

  `on-exit`  called with the process and its exit when it has ended

  Throws `:espalier.error/server-cannot-boot`."
  [^Server s opts executable on-exit]
  (try
    (attempt! s opts executable on-exit)
    (catch clojure.lang.ExceptionInfo e
      (let [{:keys [jack process]} @(.-state s)]
        (when-not (and jack process (= :no-audio (:reason (ex-data e))))
          (throw e))
        (hold! s {:jack nil, :process nil})
        (kill! process)
        (audio/stop-dummy! jack)
        (attempt! s opts executable on-exit)))))

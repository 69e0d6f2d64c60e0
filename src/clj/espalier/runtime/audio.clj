(ns espalier.runtime.audio
  "What the server plays on: the machine's audio, or a private JACK server with
  the dummy driver, for machines without any."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error])
  (:import
   (espalier.kernel ServerProcess ServerProcess$Spec)
   (java.io File RandomAccessFile)
   (java.nio.channels OverlappingFileLockException)
   (java.time Duration)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(defn environment
  "What a server's environment must say to play on the machine's own audio: it
  must not start a JACK of its own, which takes six seconds to fail, and connects
  to the device's ports unless the user has said otherwise."
  []
  (into {"JACK_NO_START_SERVER" "1"}
        (for [k ["SC_JACK_DEFAULT_INPUTS" "SC_JACK_DEFAULT_OUTPUTS"]
              :when (nil? (System/getenv k))]
          [k "system"])))

(defn- on-path [program]
  (some #(let [f (File. ^String % ^String program)] (when (.canExecute f) (str f)))
        (str/split (or (System/getenv "PATH") "") (re-pattern File/pathSeparator))))

(defn find-jackd
  "The path of jackd, which `{:audio :dummy}` needs, or nil where it is not on the PATH."
  []
  (on-path "jackd"))

(defn- cannot-boot [message data]
  (error/error :server-cannot-boot message (assoc data :reason :no-audio)))

(defn- sockets
  "The sockets by which a JACK server of this name is reached. JACK 2 keeps them in
  /dev/shm on Linux and in /tmp elsewhere, named after the server and the user."
  [server]
  (for [dir  ["/dev/shm" "/tmp"]
        file (.listFiles (File. ^String dir))
        :let [file-name (.getName ^File file)]
        :when (and (str/starts-with? file-name (str "jack_" server "_"))
                   (str/ends-with? file-name "_0"))]
    file))

(defn- claim
  "Claims the name of a private JACK server among all JVMs of this user, for as long
  as the file that is returned stays open; nil where it is taken."
  ^RandomAccessFile [server]
  (let [file (RandomAccessFile. (File. (System/getProperty "java.io.tmpdir")
                                       (str server "-" (System/getProperty "user.name") ".lock"))
                                "rw")]
    (or (try (when (.tryLock (.getChannel file)) file)
             (catch OverlappingFileLockException _ nil))
        (do (.close file) nil))))

(defn- end! [^ServerProcess jack]
  ;; A stopped one hears no SIGTERM.
  (.end jack nil Duration/ZERO (if (.isStopped jack) Duration/ZERO (Duration/ofSeconds 2))))

(def ^:private servers
  "The names of private JACK servers. JACK remembers eight servers on a machine, a
  killed one until its name is used again: so names come again."
  (map #(str "espalier-" %) (range 1 9)))

(defn- start-jack! ^ServerProcess [jackd server {:keys [dummy-sample-rate-hz dummy-period-frames]}]
  (ServerProcess/start
    (ServerProcess$Spec. [jackd "-n" server "-r" "-p" "4096" "--no-mlock" "-d" "dummy"
                          "-r" (str dummy-sample-rate-hz) "-p" (str dummy-period-frames)])))

(defn- attempt!
  "Starts a JACK server and waits until it listens, or has ended, or the time is up
  and it is ended."
  ^ServerProcess [jackd server {:keys [boot-timeout-ms] :as options}]
  (run! #(.delete ^File %) (sockets server))
  (let [jack     (start-jack! jackd server options)
        deadline (+ (System/nanoTime) (* 1000000 (long boot-timeout-ms)))]
    (try
      (while (and (.isAlive jack) (empty? (sockets server)))
        (when (pos? (- (System/nanoTime) deadline))
          (end! jack))
        (Thread/sleep 2))
      (when-not (.isAlive jack)
        (.get (.exit jack) 1 TimeUnit/SECONDS))
      jack
      (catch InterruptedException e
        (end! jack)
        (throw e)))))

(defn- start-named!
  "What `start-dummy!` returns, for a server of this name; nil where the name is
  taken; or `{:failed reason}`."
  [jackd server options]
  (when-let [claimed (claim server)]
    (let [^ServerProcess jack
          (try (attempt! jackd server options)
               (catch Throwable e
                 (.close claimed)
                 (throw e)))]
      (if (.isAlive jack)
        {:process     jack
         :claim       claimed
         :environment {"JACK_DEFAULT_SERVER" server, "JACK_NO_START_SERVER" "1"}}
        (do (.close claimed)
            {:failed (.reason jack)})))))

(defn start-dummy!
  "Starts a private JACK server with the dummy driver and waits until it listens.
  Returns `{:process ServerProcess, :environment {…}}`; a server started with that
  environment plays on it.

  `:dummy-sample-rate-hz`, `:dummy-period-frames`  what it pretends to be
  `:boot-timeout-ms`                               how long it may take

  Throws `:espalier.error/server-cannot-boot` with `:reason :no-audio`."
  [options]
  (let [jackd (or (find-jackd)
                  (throw (cannot-boot (str "{:audio :dummy} needs jackd, which is not on the PATH. On Debian or Ubuntu: "
                                           "apt-get install jackd2; on macOS: brew install jack.")
                                      {:path (System/getenv "PATH")})))]
    (loop [[server & more] servers, failed nil, tries 5]
      (cond
        server
        (let [started (start-named! jackd server options)]
          (if (:process started)
            started
            (recur more (or (:failed started) failed) tries)))

        ;; JACK servers that start and end in the same moment stand in each other's way.
        (and failed (< 1 (long tries)))
        (do (Thread/sleep 200)
            (recur servers nil (dec (long tries))))

        :else
        (throw (cannot-boot (str "No private JACK server could be started: "
                                 (or failed "eight run already, and JACK allows no more on a machine")
                                 ". If no other JACK runs here, its list of dead ones is full: rm /dev/shm/jack-shm-registry") {}))))))

(defn trouble
  "What is wrong with a private JACK server, in words; nil where nothing is known to be."
  [{:keys [^ServerProcess process]}]
  (when process
    (cond
      (not (.isAlive process)) "its JACK server has ended"
      (.isStopped process)     "its JACK server is stopped")))

(defn stop-dummy!
  "Ends a private JACK server; nil is ignored."
  [{:keys [process ^RandomAccessFile claim]}]
  (some-> process end!)
  (some-> claim .close)
  nil)

(ns espalier.runtime.audio
  "What the server plays on: the machine's audio, or a private JACK server with
  the dummy driver, for machines without any."
  (:require [clojure.string :as str]
            [espalier.model.error :as error])
  (:import [espalier.kernel ServerProcess ServerProcess$Exit ServerProcess$Spec]
           [java.io File]
           [java.time Duration]
           [java.util.concurrent.atomic AtomicLong]
           [java.util.function Consumer Predicate]))

(set! *warn-on-reflection* true)

(def ^:private jack-count (AtomicLong.))

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

(defn- listening?
  "Whether a JACK server of this name listens: JACK 2 keeps its socket in /dev/shm
  on Linux and in /tmp elsewhere, named after the server and the user."
  [server]
  (let [prefix (str "jack_" server "_")]
    (some (fn [dir]
            (some #(and (str/starts-with? % prefix) (str/ends-with? % "_0"))
                  (.list (File. ^String dir))))
          ["/dev/shm" "/tmp"])))

(defn- cannot-boot [message data]
  (error/error :server-cannot-boot message (assoc data :reason :no-audio)))

(defn- await-jack! [^ServerProcess jack server timeout-ms]
  (let [deadline (+ (System/nanoTime) (* 1000000 (long timeout-ms)))]
    (loop []
      (cond
        (listening? server) nil

        (not (.isAlive jack))
        (do (.get (.exit jack) 1 java.util.concurrent.TimeUnit/SECONDS)
            (throw (cannot-boot (str "The private JACK server ended at once: " (.reason jack)) {:command (vec (.command jack))})))

        (pos? (- (System/nanoTime) deadline))
        (do (.end jack nil Duration/ZERO (Duration/ofSeconds 1))
            (throw (cannot-boot (str "The private JACK server was not ready within " timeout-ms " ms: " (.reason jack))
                                {:command (vec (.command jack))})))

        :else (do (Thread/sleep 2) (recur))))))

(defn start-dummy!
  "Starts a private JACK server with the dummy driver and waits until it listens.
  Returns `{:process ServerProcess, :environment {…}}`; a server started with that
  environment plays on it.

  `:dummy-sample-rate-hz`, `:dummy-period-frames`  what it pretends to be
  `:boot-timeout-ms`  how long it may take

  Throws `:espalier.error/server-cannot-boot` with `:reason :no-audio`."
  [{:keys [dummy-sample-rate-hz dummy-period-frames boot-timeout-ms]}]
  (let [jackd   (or (on-path "jackd")
                    (throw (cannot-boot (str "{:audio :dummy} needs jackd, which is not on the PATH. On Debian or Ubuntu: "
                                             "apt-get install jackd2; on macOS: brew install jack.")
                                        {:path (System/getenv "PATH")})))
        server  (str "espalier-" (.pid (java.lang.ProcessHandle/current)) "-" (.incrementAndGet ^AtomicLong jack-count))
        command [jackd "-n" server "-r" "-p" "1024" "--no-mlock" "-d" "dummy"
                 "-r" (str dummy-sample-rate-hz) "-p" (str dummy-period-frames)]
        jack    (ServerProcess/start
                  (ServerProcess$Spec. command {} (reify Predicate (test [_ _] false)) nil
                                       (reify Consumer (accept [_ _]))))]
    (await-jack! jack server boot-timeout-ms)
    {:process jack
     :environment {"JACK_DEFAULT_SERVER"  server
                   "JACK_NO_START_SERVER" "1"}}))

(defn stop-dummy!
  "Ends a private JACK server; nil is ignored."
  [{:keys [^ServerProcess process]}]
  (when process
    (.end process nil Duration/ZERO (Duration/ofSeconds 2)))
  nil)

(ns espalier.bench.boot
  "How long a boot takes until the handle is :online, against the bare process plus
  the same messages from a raw socket: /notify, /g_new, /sync.

  A server finds its JACK by its environment, which it has from this JVM: so a
  JACK is started first, and the boots happen in a JVM that is told of it."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [espalier.bench.bare :as bare]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.bench.responder :as responder]
   [espalier.core :as sc]
   [espalier.model.options :as options]
   [espalier.runtime.audio :as audio])
  (:import
   (java.io BufferedReader)
   (java.lang ProcessBuilder$Redirect)
   (java.util List Map)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(defn- ours-ms [opts]
  (let [s  (sc/server opts)
        ns (measure/elapsed-ns (sc/boot! s))]
    (sc/quit! s)
    (/ ns 1e6)))

(defn- spawn
  "The process that the handle spawns too, by a plain ProcessBuilder."
  ^Process [opts]
  (let [^List command (options/command-line (options/check opts) (sc/find-scsynth))
        builder       (ProcessBuilder. command)]
    (.putAll (.environment builder) ^Map (audio/environment))
    (.start (.redirectError builder ProcessBuilder$Redirect/DISCARD))))

(defn- await-ready [^BufferedReader out]
  (when-not (.contains (.readLine out) "server ready")
    (recur out)))

(defn- bare-ms [{:keys [port] :as opts}]
  (let [begin   (System/nanoTime)
        process (spawn opts)]
    (await-ready (io/reader (.getInputStream process)))
    (with-open [line (bare/line port)]
      (bare/request! line ["/notify" 1])
      (bare/send! line ["/g_new" 1 1 0])
      (bare/sync! line 1)
      (let [ns (- (System/nanoTime) begin)]
        (bare/send! line ["/quit"])
        (when-not (.waitFor process 2 TimeUnit/SECONDS)
          (.destroyForcibly process))
        (/ ns 1e6)))))

(defn -main
  "Prints the boot times of ours and of the bare process, as EDN."
  [pairs]
  (let [opts {:port (sc/find-free-port)}]
    (prn (measure/in-turns (parse-long pairs) 2 #(ours-ms opts) #(bare-ms opts)))
    (shutdown-agents)))

(defn- in-jvm-with
  "What `-main` prints in a JVM with this environment."
  [environment pairs]
  (let [^List command [(responder/java) "-cp" (System/getProperty "java.class.path")
                       "clojure.main" "-m" "espalier.bench.boot" (str pairs)]
        builder       (ProcessBuilder. command)]
    (.putAll (.environment builder) ^Map environment)
    (let [process (.start (.redirectError builder ProcessBuilder$Redirect/INHERIT))]
      (try (edn/read-string (slurp (.getInputStream process)))
           (finally (.destroy process))))))

(defn- measure-boots [period-frames pairs]
  (let [jack (audio/start-dummy! {:dummy-sample-rate-hz 44100
                                  :dummy-period-frames  period-frames
                                  :boot-timeout-ms      10000})]
    (try (assoc (in-jvm-with (:environment jack) pairs)
                :peers (peer/figures "boot" [(sc/find-free-port) pairs (sc/find-scsynth)]
                                     :environment (merge (audio/environment) (:environment jack))))
         (finally (audio/stop-dummy! jack)))))

(defn run
  "The rows of this section."
  []
  (for [[period-frames pairs] [[1024 15] [64 15]]
        :let [{:keys [ours bare peers]} (measure-boots period-frames pairs)]]
    {:figure  (str "boot to :online, period " period-frames)
     :unit    "ms"
     :ours    (measure/median ours)
     :bare    (measure/median bare)
     :peers   (update-vals peers (fn [{:keys [ms]}] {:value ms}))
     :at-most 1.10}))

(ns espalier.doctor
  "What this machine has of what Espalier needs, and what to do about the rest."
  (:require
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.model.options :as options]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.port :as port])
  (:import
   (espalier.kernel ServerProcess ServerProcess$Line ServerProcess$Spec)
   (java.io FileInputStream IOException)
   (java.time Duration)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(def ^:private install
  {:linux   {"scsynth"   "apt-get install supercollider-server"
             "supernova" "apt-get install supercollider-supernova"
             "jackd"     "apt-get install jackd2"}
   :macos   {"scsynth"   "brew install --cask supercollider"
             "supernova" "brew install --cask supercollider"
             "jackd"     "brew install jack"}
   :windows {"scsynth"   "install SuperCollider"
             "supernova" "install SuperCollider"
             "jackd"     "install JACK2"}})

(defn- first-line
  "The first line that a program prints within five seconds that has a number in
  it, or nil."
  [command]
  (try
    (let [process (ServerProcess/start (ServerProcess$Spec. command))]
      (try (.get (.exit process) 5 TimeUnit/SECONDS)
           (finally (.end process nil Duration/ZERO (Duration/ofMillis 200))))
      (first (filter #(re-find #"\d" %) (map #(.text ^ServerProcess$Line %) (.output process)))))
    (catch Exception _ nil)))

(defn- program
  "A row about an executable."
  [program-name version-flag needed?]
  (try
    (let [path (sc/find-scsynth program-name)]
      {:what program-name, :found path, :version (some-> (first-line [path version-flag]) (->> (re-find #"\d+(?:\.\d+)+"))), :ok? true})
    (catch clojure.lang.ExceptionInfo _
      {:what program-name, :found "not found", :ok? (not needed?)
       :advice (get-in install [(executable/platform) program-name])})))

(defn- java-row []
  {:what "java", :found (System/getProperty "java.home"), :version (System/getProperty "java.version"), :ok? true})

(defn- port-row []
  (let [{:keys [ip-address port protocol]} (options/defaults)
        free? (try (port/check-free! {:ip-address ip-address, :port port, :protocol protocol} true) true
                   (catch clojure.lang.ExceptionInfo _ false))
        {:keys [pid command]} (when-not free? (port/holder protocol port))]
    {:what   (str "port " port)
     :found  (cond free? "free" pid (str "taken by process " pid " (" command ")") :else "taken")
     :ok?    true
     :advice (when-not free? "(sc/boot! s {:port (sc/find-free-port)}), or (sc/connect! s) to what is there")}))

(defn- buffer-row
  "The kernel's limit of receive buffers, which decides how large a burst of
  replies survives; on Linux alone it can be read."
  []
  (try
    ;; One read, for such a file has neither a length nor a second part.
    (let [digits (byte-array 32)
          size   (with-open [in (FileInputStream. "/proc/sys/net/core/rmem_max")] (.read in digits))
          bytes  (parse-long (str/trim (String. digits 0 (int size))))]
      {:what "rmem_max", :found (format "%,d bytes" bytes), :ok? true
       :advice (when (< bytes 4194304) "sysctl -w net.core.rmem_max=4194304, or replies are lost in bursts")})
    (catch IOException _ nil)))

(defn- boot-row
  "Whether a server really boots, on the machine's audio or without."
  []
  (letfn [(attempt [opts]
            (sc/with-server [s (merge {:port (sc/find-free-port)} opts)]
              (str (Math/round (double (:target-sample-rate-hz (sc/status s)))) " Hz")))]
    (try {:what "audio", :found (str "scsynth plays at " (attempt {})), :ok? true}
         (catch clojure.lang.ExceptionInfo e
           (if (= :no-audio (:reason (ex-data e)))
             (try {:what "audio", :found (str "no device; without one scsynth runs at " (attempt {:audio :dummy})), :ok? true
                   :advice "boot with {:audio :dummy}, or start JACK for sound"}
                  (catch clojure.lang.ExceptionInfo e
                    {:what "audio", :found "none", :ok? false, :advice (ex-message e)}))
             {:what "audio", :found "scsynth does not boot", :ok? false, :advice (ex-message e)})))))

(defn check
  "What was found, a vector of maps: `:what`, `:found`, `:version` (or nil), `:ok?`,
  and `:advice` where there is something to do. Boots a server on a free port for a
  moment."
  []
  (let [scsynth (program "scsynth" "-v" true)]
    (filterv some?
             [(java-row)
              scsynth
              (program "supernova" "-v" false)
              (program "jackd" "--version" false)
              (port-row)
              (buffer-row)
              (when (:ok? scsynth) (boot-row))])))

(defn report
  "The rows of `check` as a table: a string."
  [rows]
  (let [width (fn [k] (apply max 0 (map (comp count str k) rows)))
        line  (str "%-4s%-" (width :what) "s  %-" (max 1 (width :version)) "s  %s")]
    (str/join "\n"
              (mapcat (fn [{:keys [what found version ok? advice]}]
                        (cons (format line (if ok? "ok" "--") what (or version "") found)
                              (when advice [(str "      " advice)])))
                      rows))))

(defn run
  "Prints the table; returns 0 where all that is needed is there, else 1."
  []
  (let [rows (check)]
    (println (report rows))
    (if (every? :ok? rows) 0 1)))

(ns espalier.jvm-test
  "What becomes of a server when its JVM dies, or sleeps."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.runtime.port :as port]
   [espalier.servers :as servers])
  (:import
   (java.io BufferedReader)
   (java.lang ProcessBuilder$Redirect ProcessHandle)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- child ^Process [options]
  (.start (doto (ProcessBuilder. ^"[Ljava.lang.String;"
                                 (into-array String
                                             [(str (io/file (System/getProperty "java.home") "bin" "java"))
                                              "-cp" (System/getProperty "java.class.path")
                                              "clojure.main" "-m" "espalier.child" (pr-str options)]))
            (.redirectError ProcessBuilder$Redirect/INHERIT))))

(defn- read-until
  "Reads what a child says until `wanted?` holds of a line."
  [^BufferedReader in wanted?]
  (loop []
    (when-let [line (.readLine in)]
      (let [x (edn/read-string line)]
        (if (wanted? x) x (recur))))))

(defn- gone? [pid]
  (not (.isPresent (.filter (ProcessHandle/of pid)
                            (reify java.util.function.Predicate (test [_ p] (.isAlive ^ProcessHandle p)))))))

(defn- with-child [options f]
  (let [process (child options)]
    (try (with-open [in (io/reader (.getInputStream process))]
           (f process in))
         (finally (.waitFor (.destroyForcibly process))))))

(deftest no-server-outlives-its-jvm
  (doseq [[kind death] [[{:executable "scsynth"} "KILL"]
                        [{:executable "scsynth", :protocol :tcp} "TERM"]
                        [{:executable "supernova"} "KILL"]]]
    (testing [kind death]
      (let [{:keys [port] :as options} (servers/options kind)]
        (with-child options
          (fn [^Process process in]
            (let [pids (read-until in vector?)]
              (is (= 2 (count pids)))
              (is (not-any? gone? pids))
              (servers/signal! death (.pid process))
              (is (.waitFor process 10 TimeUnit/SECONDS))
              (is (servers/eventually #(every? gone? pids)))
              (is (servers/eventually #(not (.exists (io/file (str "/dev/shm/SuperColliderServer_" port)))))
                  "its shared memory is gone"))))))))

(deftest a-stopped-server-does-not-outlive-its-jvm
  (with-child (servers/options {:executable "scsynth"})
    (fn [^Process process in]
      (let [[server :as pids] (read-until in vector?)]
        (servers/signal! "STOP" server)
        (servers/signal! "KILL" (.pid process))
        (is (servers/eventually #(every? gone? pids)))))))

(deftest ^:soak a-jvm-that-dies-while-it-restores-leaves-nothing
  (let [{:keys [port] :as options} (servers/options {:executable "scsynth"} {:on-lost :restore})]
    (with-child options
      (fn [^Process process in]
        (let [[server jack] (read-until in vector?)]
          (servers/signal! "KILL" server)
          (read-until in #{:process-booted})
          (servers/signal! "KILL" (.pid process))
          (is (servers/eventually #(and (gone? jack) (nil? (port/holder :udp port))))))))))

(deftest a-jvm-that-slept-does-not-lose-its-server
  (with-child (servers/options {:executable "scsynth"} {:watch-interval-ms 100, :watch-patience-ms 1000})
    (fn [^Process process in]
      (let [[server] (read-until in vector?)]
        (servers/signal! "STOP" (.pid process))
        ;; The sleep itself is what is tested: longer than the patience.
        (Thread/sleep 3000)
        (servers/signal! "CONT" (.pid process))
        (is (= :woke (read-until in #{:woke :lost})))
        (is (not (gone? server)))))))

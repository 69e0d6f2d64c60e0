(ns espalier.servers
  "Real servers for the tests: each kind of them, on free ports with a private
  JACK, and what must be gone when they have ended."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :as t :refer [is testing]]
   [espalier.core :as sc]
   [espalier.model.error :as error])
  (:import
   (java.io IOException)
   (java.lang ProcessHandle)
   (java.nio.file Files)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(def rehearsals
  "The stand-in within this JVM by every protocol."
  (for [protocol [:udp :tcp]]
    {:executable :rehearsal, :protocol protocol}))

(def ^:dynamic kinds
  "Every engine by every protocol; with ESPALIER_TEST_SERVERS=rehearsal rehearsals alone."
  (if (= "rehearsal" (System/getenv "ESPALIER_TEST_SERVERS"))
    rehearsals
    (for [executable ["scsynth" "supernova"], protocol [:udp :tcp]]
      {:executable executable, :protocol protocol})))

(def ^:dynamic udp-kinds "Each engine once." (filter #(= :udp (:protocol %)) kinds))

(def ^:dynamic *scsynth*
  "What plays where a test asks for scsynth, or for no engine: an option `:executable`."
  (if (= rehearsals kinds) :rehearsal "scsynth"))

(defn often
  "How often something is repeated in the hope of an accident: a tenth of it on rehearsals, where less is left
  to chance."
  [n]
  (if (= :rehearsal *scsynth*) (quot n 10) n))

(defn on-rehearsals
  "Calls `f` while rehearsals stand in for all servers."
  [f]
  (binding [kinds rehearsals, udp-kinds (take 1 rehearsals), *scsynth* :rehearsal] (f)))

(def ^:private lane
  "Which of the JVMs this is that share the tests, or nil." (some-> (System/getProperty "espalier.test.lane") parse-long))

(defn- free-port
  "A free port that no other of these JVMs takes in the same moment."
  []
  (first (filter #(or (nil? lane) (= lane (mod (long %) 2))) (repeatedly sc/find-free-port))))

(defn options
  "Options to boot a server of this kind beside any others."
  [kind & [more]]
  (-> (merge {:audio :dummy, :port (free-port), :load-synthdefs false, :executable "scsynth"} kind more)
      (update :executable #(if (= "scsynth" %) *scsynth* %))))

(defn supernova? "Whether a handle is one of supernova." [s]
  (= :supernova (:engine (datafy s))))

(defn address
  "What another client must know to connect to a booted handle."
  [s]
  (select-keys (:options (datafy s)) [:port :protocol]))

(declare ends-with-nothing)

(def ^:private shared
  "By kind and options, the servers that the tests of a namespace share; nil where they
  share none." (atom nil))

(def ^:private most-shared
  "So many servers are kept: JACK allows eight on a machine." 4)

(defn sharing
  "A fixture for a namespace: `each-kind` boots a server once and resets it for each test
  that wants one with the same options. In the end nothing of ours remains."
  [tests]
  (reset! shared {})
  (try (tests)
       (finally
         (run! sc/quit! (vals @shared))
         (reset! shared nil)
         (ends-with-nothing))))

(defn keeping
  "For a fixture of a namespace: calls `tests` with a handle for each of `options` in the atom `handles`, and quits
  what `online` has booted of these. In the end nothing of ours remains."
  [handles options tests]
  (reset! handles (mapv sc/server options))
  (try
    (tests)
    (finally
      (run! sc/quit! @handles)
      (reset! handles [])
      (ends-with-nothing))))

(defn online
  "The handles, each of them online: boots those that are not yet, or that a test has ended. Tests do so and not
  their fixture, for what a fixture throws ends all that Kaocha runs."
  [handles]
  (doseq [s handles :when (not= :online (sc/boot-status s))]
    (sc/boot! s))
  handles)

(defn- call-with-shared
  "Calls `f` with a server that is kept, as good as new but for SynthDefs."
  [kind more f]
  (let [s (or (get @shared [kind more])
              (get (swap! shared assoc [kind more] (sc/server (options kind more))) [kind more]))]
    (if (= :online (sc/boot-status s))
      (sc/reset-server! s)
      (sc/boot! s))
    (f s)))

(defn each-kind
  "Calls `f` with a booted server of each kind, one after the other."
  [kinds more f]
  (doseq [kind kinds]
    (testing (str (name (:executable kind)) " " (name (:protocol kind)))
      (if (and @shared (or (contains? @shared [kind more]) (< (count @shared) most-shared)))
        (call-with-shared kind more f)
        (sc/call-with-server (options kind more) f)))))

(defn error-of
  "The error code that `f` throws, without its namespace; :none where it does not."
  [f]
  (try (f) :none
       (catch clojure.lang.ExceptionInfo e (some-> (error/code e) name keyword))))

(defn thrown
  "The exception that `f` throws, or nil."
  [f]
  (try (f) nil (catch clojure.lang.ExceptionInfo e e)))

(defn code-of
  "The error code that `f` throws, or the class of what is no error of ours."
  [f]
  (try (error-of f) (catch Throwable e (class e))))

(defn- own-question?
  "Whether a packet asks whether the server is alive, what it has read, or how its tree is where that may have
  changed untold."
  [packet]
  (or (= ["/status"] packet)
      (and (vector? packet) (= ["/c_get" 0] [(first packet) (get packet 2)]))
      (= ["/g_queryTree" 0 0] (first (:packets packet)))))

(defn sent-after
  "What went out since packet `n`, but for what Espalier asks for itself."
  [s n]
  (into [] (comp (map :packet) (remove own-question?)) (sc/trace s {:direction :sent, :after n})))

(defn last-n
  "The number of the last packet that went either way."
  [s]
  (:n (peek (sc/trace s {:limit 1}))))

(defn refused
  "Asserts of each `[code call what]` that the call throws that error, and that nothing
  of all this reaches the server."
  [s rows]
  (let [n (last-n s)]
    (doseq [[code call what] rows]
      (testing (if (nil? what) "" (pr-str what))
        (is (= code (code-of call)))))
    (is (= [] (sent-after s n)))))

(defn refuses "As `refused`, for one call." [s code f] (refused s [[code f]]))

(defn eventually
  "Waits until `f` returns something true, and returns it; false after 10 s."
  [f]
  (loop [tries 1000]
    (or (f)
        (and (pos? tries)
             (do (.await (java.util.concurrent.CountDownLatch. 1) 10 TimeUnit/MILLISECONDS)
                 (recur (dec tries)))))))

(defn events
  "Listens to the lifecycle of `s`. Returns a function that returns the names of
  the events since its last call, up to `final`, for which it waits."
  [s]
  (let [queue (LinkedBlockingQueue.)]
    (sc/on-lifecycle! s #(.put queue (:event %)))
    (fn [final]
      (loop [seen []]
        (let [event (.poll queue 15 TimeUnit/SECONDS)]
          (cond (nil? event)      (conj seen :none-came)
                (= final event)   (conj seen event)
                :else             (recur (conj seen event))))))))

(defn- our-threads []
  (for [^Thread t (keys (Thread/getAllStackTraces))
        :when (str/starts-with? (.getName t) "espalier-")]
    (.getName t)))

(defn our-processes
  "Servers and JACKs below this JVM, guards too."
  []
  (vec (for [^ProcessHandle p (iterator-seq (.iterator (.descendants (ProcessHandle/current))))
             :let  [command (.orElse (.commandLine (.info p)) "")]
             :when (re-find #"scsynth|supernova|jackd|espalier-guard" command)]
         command)))

(defn nothing-left
  "Asserts that no thread and no process of ours remains."
  []
  (is (eventually #(empty? (our-processes))) (str "processes left: " (our-processes)))
  (is (eventually #(empty? (our-threads))) (str "threads left: " (vec (our-threads)))))

(defn leaves-nothing
  "A fixture, `:each`: after each test nothing of ours remains."
  [test]
  (test)
  (nothing-left))

(defn ends-with-nothing
  "As `nothing-left`, where a fixture of a namespace ends: it throws, for what is asserted outside of a test
  counts for clojure.test and not for Kaocha."
  []
  (when-not (eventually #(and (empty? (our-processes)) (empty? (our-threads))))
    (throw (ex-info "Something of ours is left." {:processes (our-processes), :threads (vec (our-threads))}))))

(defn skip!
  "Tells why a test is skipped. That is pending for Kaocha, where one that asserts nothing fails."
  [why]
  (t/inc-report-counter :pending)
  (t/with-test-out (println why)))

(defn- stopped?
  "Whether each thread of a process stands still, as far as /proc tells."
  [pid]
  (every? (fn [thread]
            (try (re-find #"\) T " (String. (Files/readAllBytes (.toPath (io/file thread "stat")))))
                 (catch IOException _ false)))
          (.listFiles (io/file "/proc" (str pid) "task"))))

(defn signal!
  "Sends a signal to a process: (signal! \"STOP\" pid). One that is stopped stands still when this returns."
  [signal-name pid]
  (.waitFor (.start (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String ["sh" "-c" "kill -$0 $1" signal-name (str pid)]))))
  (when (= "STOP" signal-name)
    (eventually #(stopped? pid))))

(defn pid
  "The process id of a booted server; a rehearsal has none, and that throws: what a test sends a
  signal to must be a process."
  [s]
  (.pid (sc/process s)))

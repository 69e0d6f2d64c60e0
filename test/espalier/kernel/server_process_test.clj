(ns espalier.kernel.server-process-test
  "The kernel's processes by themselves, with shells for children."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing use-fixtures]]
   [espalier.servers :as servers])
  (:import
   (espalier.kernel ServerOutput ServerProcess ServerProcess$Ask ServerProcess$Exit ServerProcess$Line ServerProcess$NotReadyException ServerProcess$Spec)
   (java.io File)
   (java.nio.file Path)
   (java.time Duration)
   (java.util.concurrent TimeUnit TimeoutException)
   (java.util.function Consumer Predicate)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- shell
  "Starts a shell script; it is ready when it prints \"ready\"."
  (^ServerProcess [script] (shell script {} nil (fn [_])))
  (^ServerProcess [script environment leftover listener]
   (ServerProcess/start
     (ServerProcess$Spec. ["/bin/sh" "-c" script] environment
                          (reify Predicate (test [_ line] (= "ready" line)))
                          leftover
                          (reify Consumer (accept [_ line] (listener line)))))))

(defn- ended ^ServerProcess$Exit [^ServerProcess p]
  (.get (.exit p) 10 TimeUnit/SECONDS))

(defn- end [^ServerProcess p ask]
  (.end p ask (Duration/ofSeconds 5) (Duration/ofMillis 300)))

(def ^:private short-while (Duration/ofMillis 50))

(deftest what-lines-mean
  (are [meaning line] (= meaning (str (ServerOutput/meaning line)))
    "READY"    "SuperCollider 3 server ready."
    "READY"    "SuperCollider 3 server ready (debug build)."
    "READY"    "Supernova ready"
    "HARMLESS" "*** ERROR: open directory failed '/root/.local/share/SuperCollider/synthdefs'"
    "HARMLESS" "*** ERROR: dlopen '/x/y.so' err 'file too short'"
    "HARMLESS" "JackDriver: couldn't connect  SuperCollider:out_1 to system:playback_1"
    "HARMLESS" "Zeroconf: failed to create client: Daemon not running"
    "FAILURE"  "*** ERROR: failed to open UDP socket: address in use."
    "FAILURE"  "ERROR: Invalid option -q"
    "FAILURE"  "could not initialize audio."
    "FAILURE"  "Exception in World_New: FAILURE IN SERVER: HashTable allocation failed: out of memory!"
    "OTHER"    "SC_AudioDriver: sample rate = 44100.000000, driver's block size = 64"
    "OTHER"    ""))

(deftest which-lines-say-that-there-is-no-audio
  (are [says? line] (= says? (ServerOutput/saysNoAudio line))
    true  "could not initialize audio."
    true  "Cannot open supernova client"
    false "SC_AudioDriver: sample rate = 44100.000000, driver's block size = 64"))

(deftest becomes-ready-and-ends
  (let [p (shell "echo ready; read x; exec sleep 100")]
    (.awaitReady p (Duration/ofSeconds 10))
    (is (.isAlive p))
    (is (thrown? TimeoutException (.get (.exit p) 20 TimeUnit/MILLISECONDS)))
    (is (= [143 true] ((juxt #(.code ^ServerProcess$Exit %) #(.wasAsked ^ServerProcess$Exit %)) (end p nil))))
    (is (= "exit 143 (SIGTERM)" (str (ended p))))
    (is (str/includes? (str p) "exit 143"))
    (is (= 143 (.code ^ServerProcess$Exit (end p nil))) "ending it again is harmless")))

(deftest is-not-ready-when-it-ends
  (let [p (shell "echo 'ERROR: the reason' >&2; echo and so on; exit 3")]
    (is (thrown-with-msg? ServerProcess$NotReadyException #"^ERROR: the reason$" (.awaitReady p (Duration/ofSeconds 10))))
    (is (= 3 (.code (ended p))))
    (is (false? (.wasAsked (ended p))))))

(deftest has-a-deadline
  (let [p (shell "exec sleep 100")]
    (is (thrown? TimeoutException (.awaitReady p short-while)))
    (end p nil)))

(deftest asks-before-it-signals
  (let [p (shell "trap '' TERM; echo ready; while :; do sleep 0.05; done")]
    (.awaitReady p (Duration/ofSeconds 10))
    (is (= 137 (.code ^ServerProcess$Exit (.end p (reify ServerProcess$Ask (run [_] (throw (Exception. "cannot be asked"))))
                                                short-while short-while)))
        "who hears nothing is killed"))
  (let [file (File/createTempFile "espalier" "ask")
        p    (shell (str "echo ready; while [ -e " file " ]; do sleep 0.02; done; exit 7"))]
    (.awaitReady p (Duration/ofSeconds 10))
    (is (= 7 (.code ^ServerProcess$Exit (end p (reify ServerProcess$Ask (run [_] (.delete file)))))))))

(deftest drains-what-nobody-reads
  (let [p (shell "i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; echo ready; echo last; echo last >&2")]
    (.awaitReady p (Duration/ofSeconds 30))
    (is (= 0 (.code (ended p))))
    (let [lines (.output p)]
      (is (= 500 (count lines)))
      (is (= "last" (.text ^ServerProcess$Line (last lines)))))))

(deftest listens-line-by-line
  (let [lines (java.util.concurrent.LinkedBlockingQueue.)
        p     (shell "printf 'one\\ntw'; printf 'o\\n\\303\\274\\n'; printf 'bad \\377 byte\\n' >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; printf unended; echo $LAST >&2"
                     {"LAST" "from the environment"} nil
                     (fn [^ServerProcess$Line line]
                       (.put lines [(.isError line) (.text line)])
                       (throw (ex-info "a listener's fault" {}))))]
    (ended p)
    (let [all (vec lines)]
      (is (= [[false "one"] [false "two"] [false "ü"]] (take 3 (remove first all))))
      (is (some #{[true "bad � byte"]} all))
      (is (some #{[true "from the environment"]} all))
      (is (some #{[false "unended"]} all))
      (is (= 8192 (apply max (map (comp count second) all)))))))

(deftest removes-what-it-leaves
  (let [file (File/createTempFile "espalier" " with a space")
        p    (shell "echo ready; exec sleep 100" {} (.toPath file) (fn [_]))]
    (.awaitReady p (Duration/ofSeconds 10))
    (is (.exists file))
    (servers/signal! "KILL" (.pid p))
    (is (= 137 (.code (ended p))))
    (is (not (.exists file)))))

(deftest a-terminal-interrupt-does-not-reach-it
  (let [p (shell "echo ready; exec sleep 100")]
    (.awaitReady p (Duration/ofSeconds 10))
    (servers/signal! "INT" (.pid p))
    (is (thrown? TimeoutException (.get (.exit p) 100 TimeUnit/MILLISECONDS)))
    (end p nil)))

(deftest what-cannot-be-run-ends-at-once
  (let [p (ServerProcess/start (ServerProcess$Spec. ["/nowhere/at all"]))]
    (is (= 127 (.code (ended p))))
    (is (thrown? ServerProcess$NotReadyException (.awaitReady p (Duration/ofSeconds 1))))))

(ns espalier.bench.peer
  "Other clients of the same servers, where they are installed. What one measures
  it measures in a process of its own, after ours and bare, on the same JACK and
  against the same responder."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.string :as str])
  (:import
   (java.io IOException)
   (java.lang ProcessBuilder$Redirect ProcessHandle)
   (java.util List Map)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(defn- python
  "The words of a command for Python, whose own are one file name or some words."
  [& arguments]
  (let [said (or (not-empty (System/getenv "ESPALIER_BENCH_PYTHON")) "python3")]
    (into (if (.isFile (io/file said)) [said] (str/split (str/trim said) #"\s+"))
          arguments)))

(defn- supriya [section]
  (python (str (io/file (io/resource "espalier/bench/supriya_peer.py"))) section))

(defn- sclang []
  ["sh" "-c" "exec sclang -D \"$0\" 2> /dev/null"       ; where Qt complains
   (str (io/file (io/resource "espalier/bench/sclang_peer.scd")))])

(def ^:private table
  "Who could be measured:

      :peer       the name of its column
      :installed  a command that prints a version, and fails where there is none
      :environment  what is added to the environment of its processes
      :commands   section -> the command that measures it and prints one EDN map, in a
                  line of its own; the section adds its arguments, and reads the keys that
                  are named here

      boot        port times scsynth         {:ms …}
      round-trip  port times trips           {:p50 …, :p99 …} in us
      send        port times messages burst  {:rate …, :sent …} per second, in all
      play        port times settings burst synths  {:rate …, :moment …} per second, in ms
      load        times                      {:beyond …, :bare …} in ms
      synthdef                               name -> {:us …, :bytes …}"
  [{:peer      "supriya"
    :installed (python "-c" "import platform, supriya; print(supriya.__version__, 'on Python', platform.python_version())")
    :commands  {"boot"       (supriya "boot")
                "round-trip" (supriya "round-trip")
                "send"       (supriya "send")
                "play"       (supriya "play")
                "load"       (supriya "load")}}
   {:peer        "sclang"
    :installed   ["sclang" "-v"]
    :environment {"QT_QPA_PLATFORM" "offscreen", "QTWEBENGINE_DISABLE_SANDBOX" "1"}   ; no display, and root may
    :commands    {"synthdef" (sclang)}}])

(def ^:private limit-s "How long one command may take." 120)

(defn- end!
  "Ends a process and what it has started."
  [^Process process]
  (let [children (vec (.toArray (.descendants process)))]
    (.destroyForcibly process)
    (run! #(.destroyForcibly ^ProcessHandle %) children)))

(defn- printed
  "What a command prints; nil where it fails or takes too long."
  [^List command ^Map environment ^ProcessBuilder$Redirect errors]
  (try
    (let [builder (.redirectError (ProcessBuilder. command) errors)]
      (.putAll (.environment builder) environment)
      (let [process (.start builder)]
        (.close (.getOutputStream process))
        (future
          (when-not (.waitFor process limit-s TimeUnit/SECONDS)
            (end! process)))
        (let [text (str/trim (slurp (.getInputStream process)))]
          (when (zero? (.waitFor process))
            text))))
    (catch IOException _ nil)))

(def ^:private installed
  (delay
    (vec (for [{:keys [installed] :as entry} table
               :let  [version (printed installed {} ProcessBuilder$Redirect/DISCARD)]
               :when version]
           (assoc entry :version (first (str/split version #" \(")))))))

(defn names
  "The peers that are installed."
  []
  (map :peer @installed))

(defn versions
  "The peers that are installed, with their versions."
  []
  (map (fn [{:keys [peer version]}] (if (str/starts-with? version peer) version (str peer " " version))) @installed))

(defn- answer
  "The map among the lines that a peer printed."
  [text]
  (some-> (first (filter #(str/starts-with? % "{") (str/split-lines text))) edn/read-string))

(defn figures
  "What the peers print for a section, as `{peer {…}}`; one that fails says why on
  the error stream, and is not in it.

  `:environment`  what is added to the environment of its process
  `:witness`      is called before each peer and after it; what it then returns is
                  its `:seen`"
  [section arguments & {:keys [environment witness] :or {environment {}, witness (constantly nil)}}]
  (into {}
        (for [{:keys [peer commands] :as entry} @installed
              :let  [command (commands section)
                     _       (witness)
                     text    (when command
                               (printed (into command (map str) arguments) (merge (:environment entry) environment) ProcessBuilder$Redirect/INHERIT))
                     found   (some-> text answer)]
              :when found]
          [peer (assoc found :seen (witness))])))

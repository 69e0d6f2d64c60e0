(ns espalier.bench
  "Runs the benchmarks and prints a table: `bin/clj -M:bench [section …]`, all of
  them without an argument.

      boot        until the handle is :online, against the bare process and three messages
      round-trip  one (sc/sync! s), against a bare DatagramChannel
      send        200,000 (sc/send! s [\"/n_set\" …]), against a bare DatagramChannel
      play        settings of controls, a moment of 500 synths, a million samples
      query       a tree of 5,000 synths, against the bare transfer of the replies
      load        (require 'espalier.core), against bare Clojure
      startup     from bin/espalier repl to the first sound, against the start of bare Clojure
      synthdef    SynthDefs from the call to their bytes, and (require 'espalier.ugens)
      tree        what ten changes of a tree are, and forms, without a server
      reconcile   declared trees of 1,000 and 10,000 synths on scsynth

  Ours and bare are measured in turns in one run; what is shown are medians. It
  takes less than ten minutes. Nothing is judged by the exit code.

  A peer that is installed gets a column too: its value, and the ratio of that to
  bare, or to ours where there is no bare. There are sclang, for SynthDefs, and
  Supriya, where `python3 -c \"import supriya\"` works, or works with the Python that
  ESPALIER_BENCH_PYTHON names; PYTHONPATH and all else are as in this environment:

      PYTHONPATH=… ESPALIER_BENCH_PYTHON=… bin/clj -M:bench

  Its times are measured by its own clock in its own process, after ours and bare,
  and of its load the ratio is to bare Python. Another peer is one more entry in the
  table of espalier.bench.peer."
  (:require
   [clojure.string :as str]
   [espalier.bench.peer :as peer]
   [espalier.core :as sc])
  (:import
   (java.lang.management ManagementFactory)
   (java.util Locale)))

(set! *warn-on-reflection* true)

(def ^:private sections
  "What can be measured: name -> function that returns rows. A row is a map of
  `:figure`, `:unit`, `:ours`, `:bare`, the target as `:at-most` or `:at-least` (a
  ratio) or `:ours-at-most`, `:peers` as `{name {:value …, :bare …}}` where a peer's
  bare is the row's unless it has its own, and `:remark`."
  (array-map "boot"       'espalier.bench.boot/run
             "round-trip" 'espalier.bench.round-trip/run
             "send"       'espalier.bench.send/run
             "play"       'espalier.bench.play/run
             "query"      'espalier.bench.query/run
             "load"       'espalier.bench.load/run
             "startup"    'espalier.bench.startup/run
             "synthdef"   'espalier.bench.synthdef/run
             "tree"       'espalier.bench.tree/run
             "reconcile"  'espalier.bench.reconcile/run))

(defn- ratio [{:keys [ours bare]}]
  (when-not (or (nil? bare) (zero? bare)) (/ ours (double bare))))

(defn- number [x unit]
  (when x
    (String/format Locale/ROOT (if (< (abs (double x)) 100) "%,.1f %s" "%,.0f %s")
                   (object-array [(double x) unit]))))

(defn- times [ratio]
  (when ratio
    (String/format Locale/ROOT "%.2f x" (object-array [(double ratio)]))))

(defn- verdict [{:keys [ours at-most at-least ours-at-most] :as row}]
  (cond
    at-most      (if (<= (ratio row) at-most) "yes" "NO")
    at-least     (if (>= (ratio row) at-least) "yes" "NO")
    ours-at-most (if (<= ours ours-at-most) "yes" "NO")))

(defn- target [{:keys [at-most at-least ours-at-most unit]}]
  (cond
    at-most      (String/format Locale/ROOT "<= %.2f x" (object-array [(double at-most)]))
    at-least     (String/format Locale/ROOT ">= %.2f x" (object-array [(double at-least)]))
    ours-at-most (str "<= " (number ours-at-most unit))))

(defn- peer-cell [{:keys [ours bare unit peers]} peer]
  (when-let [{:keys [value] :as figure} (get peers peer)]
    (str/join ", " (keep identity [(number value unit)
                                   (times (ratio {:ours value, :bare (:bare figure bare)}))
                                   (when-not (or bare (:bare figure))
                                     (str (times (ratio {:ours value, :bare ours})) " ours"))]))))

(defn- cells [peers {:keys [figure ours bare unit] :as row}]
  (into [] (map #(or % ""))
        (list* figure (number ours unit) (number bare unit) (times (ratio row)) (target row) (verdict row)
               (map #(peer-cell row %) peers))))

(defn- table
  "Rows of text as lines of aligned columns, the first to the left."
  [rows]
  (let [widths (apply map (fn [& column] (apply max (map count column))) rows)]
    (for [[figure & others] rows]
      (str/trimr (str/join "  " (cons (format (str "%-" (first widths) "s") figure)
                                      (map #(format (str "%" %1 "s") %2) (rest widths) others)))))))

(defn- scsynth-version []
  (try (let [process (.start (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String [(sc/find-scsynth) "-v"])))]
         (first (str/split-lines (str/trim (slurp (.getInputStream process))))))
       (catch Exception e (ex-message e))))

(defn- machine []
  (let [system (ManagementFactory/getOperatingSystemMXBean)]
    (str "Java " (System/getProperty "java.version") ", Clojure " (clojure-version)
         ", " (.getAvailableProcessors system) " processors, load "
         (String/format Locale/ROOT "%.1f" (object-array [(.getSystemLoadAverage system)]))
         ", " (System/getProperty "os.name") " " (System/getProperty "os.arch")
         ", " (str/join ", " (cons (scsynth-version) (peer/versions))))))

(defn- measure [section]
  (binding [*out* *err*] (println "measuring" section "…"))
  (vec ((requiring-resolve (sections section)))))

(defn -main [& names]
  (if-let [unknown (seq (remove sections names))]
    (println "There is no section" (str/join ", " unknown) "but" (str/join ", " (keys sections)))
    (let [rows  (into [] (mapcat measure) (or names (keys sections)))
          peers (filter (fn [peer] (some #(get-in % [:peers peer]) rows)) (peer/names))]
      (run! println (table (into [(into ["figure" "ours" "bare" "ratio" "target" "met"] peers)] (map #(cells peers %)) rows)))
      (println)
      (run! println (keep :remark rows))
      (println (machine))))
  (shutdown-agents))

(ns espalier.test-runner
  "Runs with clojure.test what tests.edn names: bin/test [namespace | namespace/var …]
  All of it is shared by two JVMs, for tests wait for servers most of the time. JACK allows
  eight servers on a machine, so namespaces with `^:many-servers` are run by one of them,
  one after the other."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.pprint :refer [pprint]]
   [clojure.string :as str]
   [clojure.test :as t]
   [clojure.test.check.clojure-test :as check])
  (:import
   (java.io BufferedReader PushbackReader Writer)
   (java.lang ProcessBuilder$Redirect)
   (java.lang.management ManagementFactory)
   (java.util Collection)
   (java.util.concurrent ConcurrentLinkedQueue)))

(set! *warn-on-reflection* true)

;; What to run: pairs of a namespace and a function that picks vars of it.

(defn- namespaces
  "The namespaces in the files of a suite of tests.edn, in the order of their names."
  [{:keys [test-paths ns-patterns]}]
  (sort
    (for [root  test-paths
          file  (file-seq (io/file root))
          :let  [[_ path] (re-matches #"(.+)\.cljc?" (str file))]
          :when path
          :let  [relative (subs path (inc (count root)))
                 ns-name  (str/replace (str/replace relative #"[/\\]" ".") "_" "-")]
          :when (some #(re-find (re-pattern %) ns-name) ns-patterns)]
      (symbol ns-name))))

(defn- configured
  "What tests.edn asks for."
  []
  (for [{:keys [skip-meta] :as suite} (:tests (edn/read-string {:default (fn [_ form] form)}
                                                               (slurp "tests.edn")))
        ns-name (namespaces suite)
        :let    [skipped? (fn [x] (some #(get (meta x) %) skip-meta))]]
    [ns-name (fn [n]
               (when-not (skipped? n)
                 (remove skipped? (vals (ns-interns n)))))]))

(defn- named
  "What the command line asks for: all of a namespace, or some of its vars."
  [args]
  (for [[ns-name args] (group-by #(symbol (or (namespace %) (name %))) (map symbol args))]
    [ns-name (fn [n]
               (if (some simple-symbol? args)
                 (vals (ns-interns n))
                 (for [arg args]
                   (or (ns-resolve n (symbol (name arg)))
                       (throw (ex-info (str "There is no test " arg ".") {}))))))]))

;; What is seen. These replace the methods of clojure.test.

(defn- print-value [label x]
  (let [[line & lines] (str/split-lines (with-out-str (pprint x)))]
    (println (format "%10s  %s" label line))
    (run! #(println (str "            " %)) lines)))

(defn- frames
  "The lines of a stack trace that are ours, or the first ones where none is."
  [^Throwable e]
  (let [lines (map str (.getStackTrace e))]
    (take 8 (or (seq (filter #(re-find #"^espalier\.(?!test_runner)" %) lines))
                (take 3 lines)))))

(defn- print-exception [e]
  (doseq [[label e] (map vector (cons "thrown" (repeat "cause")) (take-while some? (iterate ex-cause e)))]
    (println (format "%10s  %s: %s" label (.getName (class e)) (ex-message e)))
    (some->> (ex-data e) (print-value "data"))
    (run! #(println "             at" %) (frames e))))

(defn- print-failure
  "Prints the place, the contexts, the form, and what it compared or threw."
  [{:keys [type message expected actual file line]}]
  (println (str "\n" (str/upper-case (name type))
                (some->> t/*testing-vars* first symbol (format " in %3$s (%1$s:%2$s)" file line))))
  (run! #(println " " %) (remove str/blank? [(t/testing-contexts-str) (str message)]))
  (some->> expected (print-value "expected"))
  (cond
    (instance? Throwable actual)
    (print-exception actual)

    (and (seq? actual) (= 'not (first actual)) (seq? (second actual)) (= '= (first (second actual))))
    (run! #(print-value "=" %) (rest (second actual)))

    :else
    (print-value "actual" actual)))

(defmethod t/report :begin-test-ns [_])

(defn- told
  "How many assertions there were so far, and tests that were skipped."
  []
  (apply + (vals (select-keys @t/*report-counters* [:pass :fail :error :pending]))))

(def ^:private told-before
  "By the tests that run, what was `told` when they began." (atom {}))

(defmethod t/report :begin-test-var [{v :var}]
  (swap! told-before assoc v (told)))

;; As for Kaocha, a test that asserts nothing fails.
(defmethod t/report :end-test-var [{v :var}]
  (when (= (told) (get @told-before v))
    (t/do-report (merge {:type :fail, :message "It asserts nothing: did you forget an (is …)?"}
                        (select-keys (meta v) [:file :line])))))

(defmethod t/report :fail [event]
  (t/with-test-out
    (t/inc-report-counter :fail)
    (print-failure event)))

(defmethod t/report :error [event]
  (t/with-test-out
    (t/inc-report-counter :error)
    (print-failure event)))

;; Running.

(defn- run-ns [ns-name pick]
  (try
    (require ns-name)
    (let [n    (the-ns ns-name)
          vars (sort-by (comp :line meta) (filter (comp :test meta) (pick n)))]
      (t/do-report {:type :begin-test-ns, :ns n})
      (t/test-vars vars)
      (t/do-report {:type :end-test-ns, :ns n}))
    (catch Throwable e
      (t/do-report {:type :error, :message (str "outside of the tests of " ns-name), :actual e}))))

(defn- run
  "Runs the plan; returns the counters of clojure.test."
  [plan]
  (binding [t/*report-counters*        (ref t/*initial-report-counters*)
            check/*report-completion* false]
    (doseq [[ns-name pick] plan
            :let [start (System/nanoTime)]]
      (run-ns ns-name pick)
      (let [seconds (/ (- (System/nanoTime) start) 1e9)]
        (when (< 1 seconds)
          (println (format "%6.1f s  %s" seconds ns-name)))))
    @t/*report-counters*))

(def ^:private end-mark
  "Begins the line that tells the counters of a namespace." "\u0000")

(defn- run-lane
  "Runs the namespaces that are asked for on standard input, a line each, and tells the
  counters of each in a line."
  []
  (let [plan (into {} (configured))]
    (doseq [line (line-seq (BufferedReader. *in*))
            :let [counters (run (select-keys plan [(symbol line)]))]]
      (println (str end-mark (pr-str counters))))))

(defn- start-lane
  "A JVM like this one, for `run-lane`."
  ^Process [lane]
  (.start (doto (ProcessBuilder. ^"[Ljava.lang.String;"
                                 (into-array String
                                             (-> [(str (System/getProperty "java.home") "/bin/java")]
                                                 (into (.getInputArguments (ManagementFactory/getRuntimeMXBean)))
                                                 (conj (str "-Despalier.test.lane=" lane))
                                                 (into ["-cp" (System/getProperty "java.class.path")
                                                        "clojure.main" "-m" "espalier.test-runner" "--lane"]))))
            (.redirectError ProcessBuilder$Redirect/INHERIT))))

(defn- ask-lane
  "Has a lane run a namespace: prints what it says, and returns the counters; nil where
  the lane has ended."
  [^BufferedReader in ^Writer out ns-name]
  (.write out (str ns-name "\n"))
  (.flush out)
  (loop [said []]
    (let [line (.readLine in)]
      (if (or (nil? line) (str/starts-with? line end-mark))
        (do (when (seq said)
              (println (str/join "\n" said)))
            (some-> line (subs 1) edn/read-string))
        (recur (conj said line))))))

(defn- drive-lane
  "Has a lane run all that `next-one` gives; returns the sum of the counters."
  [lane next-one]
  (let [process (start-lane lane)]
    (with-open [in (io/reader (.getInputStream process)), out (io/writer (.getOutputStream process))]
      (loop [sum {}]
        (if-let [ns-name (next-one)]
          (if-let [counters (ask-lane in out ns-name)]
            (recur (merge-with + sum (dissoc counters :type)))
            (do (println (str "\nERROR\n  The JVM has ended that ran " ns-name))
                (merge-with + sum {:error 1})))
          sum)))))

(defn- many-servers?
  "Whether the tests of a namespace run many servers at once."
  [ns-name]
  (let [path (str (str/replace (str/replace (str ns-name) "-" "_") "." "/") ".clj")]
    (with-open [in (PushbackReader. (io/reader (io/resource path)))]
      (:many-servers (meta (second (read in)))))))

(defn- run-in-lanes
  "Runs all that is configured in two JVMs; returns the sum of the counters."
  []
  (let [{many true, few false} (group-by (comp boolean many-servers?) (map first (configured)))
        many  (ConcurrentLinkedQueue. ^Collection (or many []))
        few   (ConcurrentLinkedQueue. ^Collection (or few []))
        lanes [(future (drive-lane 0 #(or (.poll many) (.poll few))))
               (future (drive-lane 1 #(.poll few)))]
        sum   (apply merge-with + {:test 0, :pass 0, :fail 0, :error 0} (map deref lanes))]
    (cond-> sum
      (or (seq many) (seq few)) (update :error + (count many) (count few)))))

(defn -main [& args]
  (if (= ["--lane"] args)
    (run-lane)
    (let [{:keys [test pass fail error pending]} (if args (run (named args)) (run-in-lanes))
          none? (and (zero? test) (zero? error))]
      (when none?
        (println "No test was found."))
      (println (str pass " passed, " (+ fail error) " failed" (when pending (str ", " pending " skipped"))))
      (shutdown-agents)
      (System/exit (if (or none? (pos? (+ fail error))) 1 0)))))

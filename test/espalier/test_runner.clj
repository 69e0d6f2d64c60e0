(ns espalier.test-runner
  "Runs with clojure.test what tests.edn names: bin/test [namespace | namespace/var …]"
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.pprint :refer [pprint]]
   [clojure.string :as str]
   [clojure.test :as t]
   [clojure.test.check.clojure-test :as check]))

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

(defn -main [& args]
  (let [{:keys [test pass fail error]} (run (if args (named args) (configured)))
        none? (and (zero? test) (zero? error))]
    (when none?
      (println "No test was found."))
    (println (format "%d passed, %d failed" pass (+ fail error)))
    (shutdown-agents)
    (System/exit (if (or none? (pos? (+ fail error))) 1 0))))

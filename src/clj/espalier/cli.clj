(ns espalier.cli
  "The commands behind `bin/espalier`, but for `repl`, which is `espalier.repl` at Clojure's
  own prompt."
  (:require
   [clojure.edn :as edn]
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(def ^:private help
  "espalier demo [path] [--option value …]   plays a short piece and records it, to demo.wav or path
espalier repl                             a prompt with (boot), (play …), (about …); nREPL where there is one
espalier doctor                           what this machine has, and what to do about the rest

An --option is any of (sc/doc-options): bin/espalier demo --executable supernova --port 57120")

(defn- usage [message]
  (binding [*out* *err*]
    (when message (println message))
    (println help))
  2)

(defn- value
  "An option's value as it is typed: a number, a keyword, true, or else text."
  [text]
  (let [x (try (edn/read-string text) (catch RuntimeException _ text))]
    (if (or (number? x) (keyword? x) (boolean? x)) x text)))

(defn- options
  "The map of `--name value …` and at most one path before, after or between."
  [args]
  (loop [[x y & more :as args] args, opts {}]
    (cond
      (empty? args)               opts
      (= "--help" x)              {:help true}
      (str/starts-with? x "--")   (if y
                                    (recur more (assoc opts (keyword (subs x 2)) (value y)))
                                    (throw (ex-info (str x " wants a value.") {})))
      (:path opts)                (throw (ex-info (str "Two paths: " (:path opts) " and " x ".") {}))
      :else                       (recur (rest args) (assoc opts :path x)))))

(defn run
  "Runs a command with its arguments; returns the exit code."
  [[command & args]]
  (case command
    "demo"   (let [opts (try (options args) (catch clojure.lang.ExceptionInfo e e))]
               (cond
                 (instance? Throwable opts) (usage (ex-message opts))
                 (contains? opts :help)     (usage nil)
                 :else                      ((requiring-resolve 'espalier.demo/run) opts)))
    "doctor" ((requiring-resolve 'espalier.doctor/run))
    ("help" "--help" "-h") (do (println help) 0)
    (usage (when command (str "There is no command " command ".")))))

(defn -main
  "Runs a command and ends the JVM with its exit code."
  [& args]
  (let [code (run args)]
    (shutdown-agents)
    (System/exit code)))

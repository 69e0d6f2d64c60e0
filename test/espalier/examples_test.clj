(ns espalier.examples-test
  "The programs in examples/ run, each in a JVM of its own that finds no server."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.string :as str]
   [clojure.test :refer [deftest is]])
  (:import
   (java.io File)))

(set! *warn-on-reflection* true)

(def ^:private own-paths "What an example has only when it depends on us." #"(^|/)(dev|test)$")

(defn- class-path
  "The class path of this JVM without our tests, and `more`."
  [& more]
  (str/join File/pathSeparator
            (concat (map #(File/.getAbsolutePath (io/file ^String %)) more)
                    (for [entry (str/split (System/getProperty "java.class.path") (re-pattern File/pathSeparator))
                          :when (not (re-find own-paths entry))]
                      (File/.getAbsolutePath (io/file ^String entry))))))

(defn- java
  "The exit code and all output of a JVM in a directory. Nothing is on its PATH, and who looks for a server
  fails: one is named that is not there."
  [dir & args]
  (let [{:keys [exit out err]} (apply shell/sh (concat [(str (io/file (System/getProperty "java.home") "bin" "java"))]
                                                       args
                                                       [:dir dir, :env {"PATH" "", "ESPALIER_SCSYNTH" "/nowhere/scsynth"}]))]
    [exit (str out err)]))

(deftest a-piece-with-tests-needs-no-server
  (let [[exit text] (java "examples/tested-piece" "-cp" (class-path "examples/tested-piece/src" "examples/tested-piece/test")
                          "clojure.main" "-m" "piece.test")]
    (is (= 0 exit) text)
    (is (re-find #"Ran 3 tests containing \d+ assertions\.\n0 failures, 0 errors\." text) text)))

(deftest it-is-a-project-that-depends-on-this-one
  (let [{:keys [paths deps aliases]} (edn/read-string (slurp "examples/tested-piece/deps.edn"))
        root (io/file "examples/tested-piece" (get-in deps ['espalier/espalier :local/root]))
        ours (edn/read-string (slurp "deps.edn"))]
    (is (= (.getCanonicalPath (io/file ".")) (.getCanonicalPath root)))
    (is (= (get-in ours [:deps 'org.clojure/clojure]) (get deps 'org.clojure/clojure)))
    (is (every? #(.isDirectory (io/file "examples/tested-piece" %)) (concat paths (get-in aliases [:test :extra-paths]))))
    (is (contains? ours :deps/prep-lib))))

(deftest a-plain-java-program-plays
  (let [[exit text] (java "examples/plain-java" "-cp" (class-path) "Rehearse.java")]
    (is (= 0 exit) text)
    (doseq [words [#"kernel: \d+ bytes, .*/s_new.*bell.*1000" #"#<Server ONLINE \[rehearsal .*\]>" #"#<Report 3 added, 1 bundle of \d+ bytes, confirmed>"
                   #"1 group\n +1000 group :mix\n +\d+ organ :low\n" #"synths: 2"]]
      (is (re-find words text)))))

(ns espalier.conventions-test
  "What holds for all of the source: which namespace may require which, that
  everything public is explained, and that loading starts nothing."
  (:require
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]])
  (:import
   (java.io File PushbackReader)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(def ^:private sources
  (filter #(str/ends-with? (.getName ^File %) ".clj") (file-seq (io/file "src/clj"))))

(defn- ns-form [^File file]
  (with-open [in (PushbackReader. (io/reader file))]
    (read in)))

(defn- clauses [form k]
  (mapcat rest (filter #(and (seq? %) (= k (first %))) form)))

(defn- requires [form]
  (map #(if (sequential? %) (first %) %) (clauses form :require)))

(defn- band [ns-name]
  (condp re-find (str ns-name)
    #"^espalier\.model\."   :model
    #"^espalier\.runtime\." :runtime
    #"^espalier\."          :face
    :other))

(def ^:private namespaces
  "All that can be loaded: what needs nREPL, only where that is on the classpath."
  (for [file sources
        :let [form (ns-form file)]
        :when (or (io/resource "nrepl/core.clj") (not (re-find #"^espalier\.nrepl" (str (second form)))))]
    (second form)))

(deftest each-band-requires-only-what-is-below
  (doseq [file sources
          :let [form (ns-form file), n (second form)]]
    (testing n
      (doseq [required (requires form)]
        (is (contains? (case (band n)
                         :model   #{:model :other}
                         :runtime #{:model :runtime :other}
                         :face    #{:model :runtime :face :other})
                       (band required))
            (str n " requires " required)))
      (when (= :model (band n))
        (is (not-any? #(str/starts-with? (str %) "espalier.kernel") (map #(if (sequential? %) (first %) %) (clauses form :import)))
            "a model knows no kernel")
        (is (not (re-find #"\((atom|agent|future|promise|delay|Thread\.|volatile!|System/(nanoTime|currentTimeMillis))[\s)]" (slurp file)))
            "a model has no state, thread or clock")))))

(deftest nothing-else-needs-nrepl
  (doseq [file sources
          :let  [form (ns-form file)]
          :when (not (re-find #"^espalier\.nrepl" (str (second form))))]
    (is (not-any? #(re-find #"^(espalier\.)?nrepl" (str %)) (requires form)) (str (second form)))))

(deftest who-only-plays-loads-no-ugens
  (let [needs (into {} (map (comp (juxt second (comp set requires)) ns-form)) sources)
        all   (loop [found #{'espalier.core}]
                (let [more (into found (mapcat needs) found)]
                  (if (= more found) found (recur more))))]
    (is (contains? all 'espalier.runtime.synthdefs))
    (is (not-any? all '[espalier.ugens espalier.synthdef espalier.instruments]))))

(deftest everything-public-is-explained
  (doseq [n namespaces]
    (require n)
    (is (not (str/blank? (:doc (meta (find-ns n))))) (str n " says nothing of itself"))
    (doseq [[v-name v] (ns-publics n)
            :when (not (or (re-find #"^(->|map->)" (str v-name)) (:protocol (meta v))))]
      (is (not (str/blank? (:doc (meta v)))) (str v " has no docstring")))))

(deftest no-public-name-hides-one-of-clojure
  (run! require namespaces)
  (doseq [n namespaces, v-name (keys (ns-publics n))]
    (is (not (contains? (ns-publics 'clojure.core) v-name)) (str n "/" v-name))))

(defn- said-while-loading
  "What a JVM of its own prints for `espalier.loading`, on both streams; it works, and is at home, in `directory`."
  [directory]
  (let [class-path (map #(.getAbsolutePath (io/file ^String %))
                        (str/split (System/getProperty "java.class.path") (re-pattern File/pathSeparator)))
        {:keys [out err]} (apply shell/sh (concat [(str (io/file (System/getProperty "java.home") "bin" "java"))
                                                   (str "-Duser.home=" directory) (str "-Djava.io.tmpdir=" directory)
                                                   "-cp" (str/join File/pathSeparator class-path) "clojure.main" "-m" "espalier.loading"]
                                                  (map str (sort namespaces))
                                                  [:dir directory, :env (assoc (into {} (System/getenv)) "HOME" (str directory))]))]
    (str out err)))

(deftest loading-is-quiet-and-starts-nothing
  (let [directory (.toFile (Files/createTempDirectory "loading" (make-array FileAttribute 0)))]
    (try
      (is (= "#{}" (str/trim (said-while-loading directory)))
          "no thread, no socket, no file, no reflection warning, no line of any library")
      (is (= [] (vec (.list directory))) "nothing was written")
      (finally (run! io/delete-file (reverse (file-seq directory)))))))

(deftest every-file-warns-of-reflection
  (doseq [^File file sources
          :when (re-find #"\(\.\w|:import" (slurp file))]
    (is (str/includes? (slurp file) "(set! *warn-on-reflection* true)") (str file))))

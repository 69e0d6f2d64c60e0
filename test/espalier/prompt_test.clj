(ns espalier.prompt-test
  "What `bin/espalier repl` starts, dev/user.clj, in a JVM of its own."
  (:require
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.core :as sc])
  (:import
   (java.io File)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(defn- typed
  "What a prompt with a class cache, or without where that is nil, makes of lines, as `clojure.java.shell/sh`
  returns it."
  [cache & lines]
  (shell/sh (str (io/file (System/getProperty "java.home") "bin" "java"))
            (str "-Despalier.class-cache=" (or cache ""))
            "-cp" (str/join File/pathSeparator [(str cache "/classes.jar") "dev" (System/getProperty "java.class.path")])
            "clojure.main" "-e" "(prompt)" :in (str/join "\n" lines)))

(defn- playing
  "Lines that boot and play, again after all was loaded anew."
  []
  ["(about :no-answer)" (str "(go " (pr-str {:audio :dummy, :port (sc/find-free-port), :load-synthdefs false}) ")")
   "(play :bell)" "(reset)" "(play :bell)" "(go)" "(halt)" "(doc boot)"])

(defn- plays? [{:keys [exit out err]}]
  (let [[greeting nrepl & lines] (str/split-lines out)]
    (is (= [0 ""] [exit err]))
    (is (str/starts-with? greeting "Espalier, Clojure 1."))
    (is (str/includes? nrepl "nREPL"))
    (is (= "user=> :espalier.error/no-answer" (first lines)) "at the third line is the prompt")
    (is (= ["boot: scsynth" "play: #<Synth" "quit: the" "boot: scsynth" "play: #<Synth" "boot: scsynth" "quit: the"]
           (keep #(second (re-find #"^(?:user=> )?((?:boot|play|quit): \S+)" %)) lines)))
    (is (some #{"espalier.repl/boot"} lines) "Clojure's doc is there")))

(deftest ^:soak the-prompt-of-a-terminal
  (plays? (apply typed nil (playing))))

(deftest ^:soak classes-of-an-earlier-start
  (let [parent   (str (Files/createTempDirectory "espalier-classes" (make-array FileAttribute 0)))
        cache    (str parent "/classes-1")
        others   (map #(io/file parent %) ["classes-0/classes.jar" "compiling-999999999/classes" "nrepl"])
        compiled "(instance? clojure.lang.DynamicClassLoader (.getClassLoader (class sc/server)))"
        says     (fn [{:keys [exit out]}] [exit (second (re-find #"user=> (true|false)" out))])]
    (run! io/make-parents others)
    (run! #(spit % "") others)
    (testing "the first start compiles"
      (is (= [0 "true"] (says (typed cache compiled))))
      (is (= #{"classes-1" "nrepl"} (set (.list (io/file parent)))) "what is of no use any more is gone")
      (is (= #{"classes.jar" "namespaces.jar"} (set (.list (io/file cache))))))
    (testing "the next one does not"
      (is (= [0 "false"] (says (typed cache compiled)))))
    (testing "all of it can be loaded anew from sources"
      (plays? (apply typed cache (playing)))
      (is (= [0 "true"] (says (typed cache (str "(do (require 'espalier.core :reload) " compiled ")"))))))
    (testing "classes that cannot be read are thrown away"
      (spit (io/file cache "classes.jar") "no jar")
      (is (= [0 "true"] (says (typed cache compiled))))
      (is (not (.exists (io/file cache)))))
    (run! io/delete-file (reverse (file-seq (io/file parent))))))

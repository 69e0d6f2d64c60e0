(ns espalier.prompt-test
  "What `bin/espalier repl` starts, dev/user.clj, in a JVM of its own."
  (:require
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.string :as str]
   [clojure.test :refer [deftest is]]
   [espalier.core :as sc]))

(deftest ^:soak the-prompt-of-a-terminal
  (let [opts  {:audio :dummy, :port (sc/find-free-port), :load-synthdefs false}
        typed (str/join "\n" ["(about :no-answer)" (str "(go " (pr-str opts) ")") "(play :bell)" "(reset)" "(play :bell)" "(go)" "(halt)" "(doc boot)"])
        {:keys [exit out err]}
        (shell/sh (str (io/file (System/getProperty "java.home") "bin" "java"))
                  "-cp" (str "dev" java.io.File/pathSeparator (System/getProperty "java.class.path"))
                  "clojure.main" "-e" "(prompt)" :in typed)
        [greeting nrepl & lines] (str/split-lines out)]
    (is (= [0 ""] [exit err]))
    (is (str/starts-with? greeting "Espalier, Clojure 1."))
    (is (str/includes? nrepl "nREPL"))
    (is (= "user=> :espalier.error/no-answer" (first lines)) "at the third line is the prompt")
    (is (= ["boot: scsynth" "play: #<Synth" "quit: the" "boot: scsynth" "play: #<Synth" "boot: scsynth" "quit: the"]
           (keep #(second (re-find #"^(?:user=> )?((?:boot|play|quit): \S+)" %)) lines)))
    (is (some #{"espalier.repl/boot"} lines) "Clojure's doc is there")))

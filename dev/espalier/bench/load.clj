(ns espalier.bench.load
  "How long `(require 'espalier.core)` takes beyond the start of bare Clojure, each
  in a fresh JVM."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.bench.responder :as responder])
  (:import
   (java.io File)
   (java.lang ProcessBuilder$Redirect)
   (java.util List Locale)))

(set! *warn-on-reflection* true)

(defn- class-path
  "That of this JVM without the benchmarks: what a user of Espalier has."
  []
  (str/join File/pathSeparator
            (remove #{"dev" "test"} (str/split (System/getProperty "java.class.path") (re-pattern File/pathSeparator)))))

(defn jvm-ms
  "How long a fresh JVM lives that evaluates an expression."
  [expression]
  (let [^List command [(responder/java) "-cp" (class-path) "clojure.main" "-e" expression]]
    (/ (measure/elapsed-ns
         (-> (ProcessBuilder. command)
             (.redirectOutput ProcessBuilder$Redirect/DISCARD)
             (.redirectError ProcessBuilder$Redirect/INHERIT)
             .start
             .waitFor))
       1e6)))

(defn conditions
  "In words: what is compiled ahead of time, and what is not."
  []
  (str "Espalier's Clojure is " (if (io/resource "espalier/core__init.class") "compiled ahead of time" "compiled as it is loaded")
       ", its kernel is classes; class path of " (count (str/split (class-path) (re-pattern File/pathSeparator)))
       " entries; JVM with its default flags"))

(defn beyond
  "How many milliseconds an expression takes beyond another, each in a fresh JVM, `n` times
  in turns: `{:beyond median, :bare median of the other}`."
  [expression other n]
  (let [{:keys [ours bare]} (measure/in-turns n 1 #(jvm-ms expression) #(jvm-ms other))]
    {:beyond (measure/median (map - ours bare))
     :bare   (measure/median bare)}))

(defn- bare-of [[peer {:keys [bare]}]]
  (String/format Locale/ROOT "bare of %s is its interpreter, %.1f ms" (object-array [peer (double bare)])))

(defn run
  "The rows of this section."
  []
  (let [{:keys [beyond bare]} (beyond "(require 'espalier.core)" "nil" 9)
        peers                 (update-vals (peer/figures "load" [9]) #(array-map :value (:beyond %) :bare (:bare %)))]
    [{:figure "require espalier.core, beyond bare Clojure"
      :unit   "ms"
      :ours   beyond
      :bare   bare
      :peers  peers
      :ours-at-most 1000.0
      :remark (str/join "; " (cons (conditions) (map bare-of peers)))}]))

(ns espalier.bench.startup
  "How long it takes from `bin/espalier repl` to the first sound, typed at its prompt, against the start
  of bare Clojure."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.bench.load :as load]
   [espalier.bench.measure :as measure])
  (:import
   (java.io BufferedReader)
   (java.lang ProcessBuilder$Redirect)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(def ^:private typed
  "What is typed at the prompt."
  ["(boot {:audio :dummy})"
   "(sc/on-osc! (server) \"/n_go\" (fn [_] (println \"heard: a node\")))"
   "(play :bell)"])

(def ^:private steps
  "What the lines say by which a step is known to be done."
  {"prompt" #"^Espalier, " "online" #"boot: " "sound" #"heard: "})

(defn- first-sound
  "The times of the steps in ms since the command was started."
  []
  (let [start   (System/nanoTime)
        process (.start (doto (ProcessBuilder. ^"[Ljava.lang.String;" (into-array ["bin/espalier" "repl"]))
                          (.redirectError ProcessBuilder$Redirect/DISCARD)))]
    (with-open [in (io/writer (.getOutputStream process)), out (io/reader (.getInputStream process))]
      (.write in (str (str/join "\n" typed) "\n"))
      (.flush in)
      (loop [seen {}]
        (if (= (count steps) (count seen))
          (do (.write in "(quit)\n")
              (.close in)
              (dorun (line-seq out))
              (.waitFor process 60 TimeUnit/SECONDS)
              seen)
          (let [line (or (.readLine ^BufferedReader out) (throw (ex-info "bin/espalier repl has ended." {:seen seen})))]
            (recur (into seen (for [[step pattern] steps :when (and (not (seen step)) (re-find pattern line))]
                                [step (/ (- (System/nanoTime) start) 1e6)])))))))))

(defn run
  "The rows of this section."
  []
  (first-sound)                                   ; where classes are not kept yet, they are now
  (let [{:keys [ours bare]} (measure/in-turns 5 0 first-sound #(load/jvm-ms "nil"))
        row (fn [step figure] {:figure figure, :unit "ms", :ours (measure/median (map #(get % step) ours)), :bare (measure/median bare)})]
    [(row "prompt" "bin/espalier repl until its prompt")
     (row "online" "… until (boot) has returned")
     (assoc (row "sound" "… until (play :bell) is heard of") :ours-at-most 5000.0
            :remark "startup: bare is the start of bare Clojure; bin/espalier repl had been started before, and kept its classes")]))

(ns espalier.bench.responder
  "Responder.java as a process of its own."
  (:require
   [clojure.java.io :as io])
  (:import
   (java.io BufferedReader File)
   (java.lang ProcessBuilder$Redirect)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(defn java
  "The java that runs this."
  []
  (str (File. (System/getProperty "java.home") (str "bin" File/separator "java"))))

(defn call-with-responder
  "Calls `f` with the UDP port of a responder, which ends when `f` does."
  [f]
  (let [source  (str (io/file (io/resource "espalier/bench/Responder.java")))
        ^java.util.List command [(java) "-Xmx64m" "-XX:+UseSerialGC" source]
        process (-> (ProcessBuilder. command)
                    (.redirectError ProcessBuilder$Redirect/INHERIT)
                    (.start))
        ^BufferedReader out (io/reader (.getInputStream process))]
    (try
      (f (parse-long (.readLine out)))
      (finally
        (.close (.getOutputStream process))
        (when-not (.waitFor process 2 TimeUnit/SECONDS)
          (.destroyForcibly process))))))

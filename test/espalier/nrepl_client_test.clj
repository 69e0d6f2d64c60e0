(ns espalier.nrepl-client-test
  "The middleware, by a client that is no Clojure: test/nrepl_client.py. Where Python 3 or nREPL
  is not there, that is said and nothing is tested."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers])
  (:import
   (java.io File)
   (java.lang ProcessBuilder$Redirect)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- start ^Process [& words]
  (.start (doto (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String words))
            (.redirectError ProcessBuilder$Redirect/INHERIT))))

(defn- on-path? [program]
  (some #(.canExecute (io/file % program)) (str/split (System/getenv "PATH") (re-pattern File/pathSeparator))))

(defn- missing []
  (cond (not (on-path? "python3"))              "Python 3"
        (not (io/resource "nrepl/core.clj")) "nREPL"))

(defn- played-through
  "What the client says of nREPL at a port."
  [port]
  (let [process (start "python3" "test/nrepl_client.py" (str port) "check")]
    (try (slurp (.getInputStream process))
         (finally (.destroy process)
                  (.waitFor process 10 TimeUnit/SECONDS)))))

(deftest all-is-as-promised
  (if-let [what (missing)]
    (servers/skip! (str what " is not here: the client in Python is not tested."))
    (let [handler ((requiring-resolve 'nrepl.server/default-handler) (requiring-resolve 'espalier.nrepl/wrap-espalier))
          server  ((requiring-resolve 'nrepl.server/start-server) :bind "127.0.0.1" :handler handler)]
      (try (is (= "all is as promised" (last (str/split-lines (played-through (:port server))))))
           (finally (run! #(.close ^java.io.Closeable %) (sc/servers))
                    ((requiring-resolve 'nrepl.server/stop-server) server))))))

(defn- port-written
  "Waits until the file has a port, for as long as the process lives."
  [^File file ^Process process]
  (loop []
    (let [port (if (.exists file) (slurp file) "")]
      (cond
        (seq port)                                       port
        (.waitFor process 50 TimeUnit/MILLISECONDS) (throw (ex-info "bin/espalier repl has ended." {}))
        :else                                            (recur)))))

;; A JVM has all of this to load, which takes longer than the whole test above.
(deftest ^:soak bin-espalier-repl-is-as-promised
  (if-let [what (missing)]
    (servers/skip! (str what " is not here: the client in Python is not tested."))
    (let [file    (io/file ".nrepl-port")
          before  (when (.exists file) (slurp file))
          _       (.delete file)
          process (start "bin/espalier" "repl")]
      (try
        (let [said (future (slurp (.getInputStream process)))]
          (is (= "all is as promised" (last (str/split-lines (played-through (port-written file process))))))
          (.close (.getOutputStream process))
          (is (.waitFor process 30 TimeUnit/SECONDS) "the end of the input ends it")
          (is (= 0 (.exitValue process)))
          (is (str/includes? @said ".nrepl-port"))
          (is (not (.exists file)) "its port is said no more"))
        (finally
          (.destroy process)
          (.waitFor process 10 TimeUnit/SECONDS)
          (when before (spit file before)))))))

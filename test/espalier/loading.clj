(ns espalier.loading
  "A JVM of its own for `espalier.conventions-test`: loads namespaces, and tells what that has started."
  (:import
   (java.io File IOException)
   (java.nio.file Files)))

(set! *warn-on-reflection* true)

(defn- threads []
  (map Thread/.getName (keys (Thread/getAllStackTraces))))

(defn- open-files
  "What this process has open, sockets too, but for what the JVM opens by itself; nothing where there is no /proc."
  []
  (for [^File file (.listFiles (File. "/proc/self/fd"))
        :let  [open (try (str (Files/readSymbolicLink (.toPath file))) (catch IOException _ ""))]
        :when (not (re-find #"\.jar$|^/proc|^/sys|^$" open))]
    open))

(defn- going-on [] (into #{} (concat (threads) (open-files))))

(defn -main
  "Prints, as a set, the threads and files that there are once the namespaces are loaded, and were not before."
  [& namespaces]
  (let [before (going-on)]
    (run! (comp require symbol) namespaces)
    (prn (into #{} (remove before) (going-on)))))

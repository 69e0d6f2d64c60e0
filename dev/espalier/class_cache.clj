(ns espalier.class-cache
  "Loads namespaces from the classes that an earlier start has compiled: a third of the time
  that their sources take. For `bin/espalier repl`, which names a directory by all that
  decides what is compiled, the sources, the class path and the JDK, so that nothing
  in it is ever out of date. The first start with that name loads sources and writes two jars there:

      classes.jar     all classes but those that load a namespace: on the class path
      namespaces.jar  those, which only `require!` sees

  So what is loaded after the start, `:reload` and `(reset)` among it, is loaded from
  its source. Without the system property `espalier.class-cache` sources are all there is."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str])
  (:import
   (clojure.lang Compiler DynamicClassLoader RT)
   (java.io File IOException)
   (java.lang ProcessHandle)
   (java.nio.file Files)
   (java.time LocalDateTime)
   (java.util.zip ZipEntry ZipOutputStream)))

(set! *warn-on-reflection* true)

(def ^:private directory
  "Where the jars are, or will be; nil where nothing is kept."
  (some-> (System/getProperty "espalier.class-cache") not-empty io/file))

(def ^:private kept?
  "Whether the jars are there."
  (boolean (some-> directory (io/file "namespaces.jar") .isFile)))

(def ^:private fresh
  "Where classes are written until they are kept."
  (when (and directory (not kept?))
    (io/file (.getParentFile ^File directory) (str "compiling-" (.pid (ProcessHandle/current))))))

(defn- delete-tree! [^File file]
  (run! delete-tree! (.listFiles file))
  (.delete file))

(defn- require-kept [libs]
  (let [loader (doto (DynamicClassLoader. (RT/baseLoader))
                 (.addURL (io/as-url (io/file directory "namespaces.jar"))))]
    (with-bindings {Compiler/LOADER loader}
      (apply require libs))))

(defn- require-and-write [libs]
  (let [classes (io/file fresh "classes")]
    (.mkdirs classes)
    (binding [*compile-path* (str classes), *compile-files* true]
      (apply require libs))))

(defn- require-sources
  "Loads from sources what `before` had not loaded."
  [before libs]
  (dosync (alter @#'clojure.core/*loaded-libs* #(into (sorted-set) (filter before) %)))
  (apply require libs))

(defn- of-files?
  "Whether an exception comes from classes that cannot be read or written, not from what they do."
  [e]
  (some #(or (instance? LinkageError %) (instance? IOException %)) (take-while some? (iterate ex-cause e))))

(defn require!
  "As `require`, for namespaces that are to be loaded fast. Where classes cannot be read or
  written they are thrown away, and the sources are loaded.

      (require! '[espalier.core :as sc])"
  [& libs]
  (let [before (loaded-libs)]
    (try
      (cond
        kept? (require-kept libs)
        fresh (require-and-write libs)
        :else (apply require libs))
      (catch Throwable e
        (when-not (and directory (of-files? e))
          (throw e))
        (delete-tree! (if kept? directory fresh))
        (require-sources before libs)))))

(defn- write-jar!
  "Writes the files of a directory for which `picked?` holds. They are newer than any source."
  [^File jar ^File root picked?]
  (with-open [out (doto (ZipOutputStream. (io/output-stream jar)) (.setLevel 0))]
    (doseq [^File file (file-seq root)
            :when (and (.isFile file) (picked? file))]
      (.putNextEntry out (doto (ZipEntry. (str/replace (str (.relativize (.toPath root) (.toPath file))) "\\" "/"))
                           (.setTimeLocal (LocalDateTime/of 2100 1 1 0 0))))
      (Files/copy (.toPath file) out)
      (.closeEntry out))))

(defn- left-over?
  "Whether a file beside ours is of no use to anybody: classes of other sources, or of a start that has ended."
  [^File file]
  (let [[_ what id] (re-matches #"(classes|compiling)-(.+)" (.getName file))]
    (case what
      "classes"   (not= file directory)
      "compiling" (.isEmpty (ProcessHandle/of (parse-long id)))
      false)))

(defn keep!
  "Keeps, for later starts, what `require!` has compiled, in place of all that was kept before.
  A JVM that still uses that has its jars open."
  []
  (let [classes (io/file fresh "classes")
        ;; The second is of `ns`, which goes on loading by the loader that has found it.
        loads?  #(re-find #"__init\.class$|\$loading__" (str %))]
    (when (and fresh (.isDirectory classes))
      (write-jar! (io/file fresh "classes.jar") classes (complement loads?))
      (write-jar! (io/file fresh "namespaces.jar") classes loads?)
      (delete-tree! classes)
      (.renameTo ^File fresh directory)
      (delete-tree! fresh)
      (run! delete-tree! (filter left-over? (.listFiles (.getParentFile ^File directory)))))))

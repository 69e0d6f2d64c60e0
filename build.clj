(ns build
  "Builds Espalier: bin/clj -T:build javac | jar | install | ci | clean"
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.tools.build.api :as b])
  (:import
   (java.io File)
   (java.time LocalDateTime ZoneOffset)
   (java.util.jar JarFile JarOutputStream)
   (java.util.zip ZipEntry)))

(def lib 'espalier/espalier)

(defn version
  "MAJOR.MINOR.COMMITS"
  []
  (format "0.1.%s" (or (b/git-count-revs nil) "0")))

(def ^:private classes "target/classes")

(defn- basis [] (b/create-basis {:project "deps.edn" :user nil}))

;; A JDK that is newer than this file may find fault with what is right today.
(def ^:private known-linters? (<= (.feature (Runtime/version)) 25))

(defn clean
  "Deletes target."
  [_]
  (b/delete {:path "target"}))

(defn- compile-kernel [class-dir]
  (b/javac {:src-dirs   ["src/java"]
            :class-dir  class-dir
            :basis      (basis)
            :javac-opts (cond-> ["--release" "17" "-encoding" "UTF-8" "-parameters" "-Xlint:all"]
                          known-linters? (conj "-Werror"))}))

(defn javac
  "Compiles the kernel into target/classes, which is replaced as a whole or, where a source is wrong, not at all."
  [_]
  (let [fresh (str "target/javac-" (.pid (java.lang.ProcessHandle/current)))]
    (b/delete {:path fresh})
    (try
      (compile-kernel fresh)
      (.mkdirs (io/file fresh))
      (b/delete {:path classes})
      (.renameTo (io/file fresh) (io/file classes))
      (finally
        (b/delete {:path fresh})))))

(defn- jar-file [] (format "target/%s-%s.jar" (name lib) (version)))

(def ^:private jar-dir "What goes into the jar." "target/jar")

(defn- git
  "The output of git, or nil where it fails: a source archive has no history."
  [args]
  (b/git-process {:git-args args}))

(defn- scm
  "Where the source is: the commit, and the repository that this one was cloned from, unless that is a directory."
  []
  (let [[_ host path] (some->> (git "config --get remote.origin.url")
                               (re-matches #"(?:https://|ssh://git@|git@)([\w.-]+)[:/](.+?)(?:\.git)?/?"))
        address       (when host (str host "/" path))]
    (cond-> {:tag (git "rev-parse HEAD")}
      address (assoc :url        (str "https://" address)
                     :connection (str "scm:git:https://" address ".git")))))

(defn- write-pom []
  (b/write-pom {:class-dir jar-dir
                :lib       lib
                :version   (version)
                :basis     (assoc (basis) :mvn/repos {})        ; all that it needs is on Central
                :src-dirs  ["src/clj"]
                :scm       (scm)
                :pom-data  [[:description "A Clojure toolkit for SuperCollider's audio servers, scsynth and supernova."]
                            [:licenses
                             [:license
                              [:name "EPL-2.0"]
                              [:url "https://www.eclipse.org/legal/epl-2.0/"]]]]})
  ;; A comment says when this was written.
  (let [file (io/file jar-dir "META-INF/maven" (str lib) "pom.properties")]
    (spit file (str (str/join "\n" (remove #(str/starts-with? % "#") (str/split-lines (slurp file)))) "\n"))))

(defn- settle!
  "Writes a jar anew, its files in the order of their names and as old as the commit: the same commit is the same bytes."
  [path]
  (let [time    (LocalDateTime/ofEpochSecond (parse-long (or (git "log -1 --format=%ct") "946684800")) 0 ZoneOffset/UTC)
        settled (File. (str path ".settled"))]
    (with-open [in  (JarFile. (io/file path))
                out (JarOutputStream. (io/output-stream settled))]
      (doseq [^ZipEntry entry (sort-by #(let [n (.getName ^ZipEntry %)] [(not= n JarFile/MANIFEST_NAME) n])
                                       (remove #(.isDirectory ^ZipEntry %) (enumeration-seq (.entries in))))]
        (.putNextEntry out (doto (ZipEntry. (.getName entry)) (.setTimeLocal time)))
        (io/copy (.getInputStream in entry) out)
        (.closeEntry out)))
    (b/delete {:path path})
    (.renameTo settled (io/file path))))

(defn jar
  "Writes the jar: kernel classes, Clojure sources, resources, licences, pom. Prints its path."
  [_]
  (b/delete {:path jar-dir})
  (compile-kernel jar-dir)
  (b/copy-dir {:src-dirs ["src/clj" "resources"] :target-dir jar-dir})
  (b/copy-dir {:src-dirs ["licenses"] :target-dir (str jar-dir "/META-INF/licenses")})
  (b/copy-file {:src "LICENSE" :target (str jar-dir "/META-INF/LICENSE")})
  (write-pom)
  (b/jar {:class-dir jar-dir
          :jar-file  (jar-file)
          :manifest  {"Automatic-Module-Name" "espalier"}})
  (settle! (jar-file))
  (println (jar-file)))

(defn install
  "Builds the jar and copies it to the local Maven repository, or to that of :local-repo. Prints what to depend on."
  [{:keys [local-repo]}]
  (jar nil)
  (b/install {:lib       lib
              :version   (version)
              :basis     (cond-> (basis) local-repo (assoc :mvn/local-repo local-repo))
              :jar-file  (jar-file)
              :class-dir jar-dir})
  (println lib (format "{:mvn/version \"%s\"}" (version))))

(defn- test! [& tests]
  (when-not (zero? (:exit (b/process {:command-args (into ["bin/test"] tests)})))
    (System/exit 1)))

(defn ci
  "Runs every test, then all pieces and projects in examples/, then builds the jar."
  [_]
  (test!)
  (test! "espalier.pieces-test" "espalier.examples-test")
  (jar nil))

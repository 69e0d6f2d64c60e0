(ns build
  "Builds Espalier: bin/clj -T:build javac | jar | install | ci | clean"
  (:require
   [clojure.java.io :as io]
   [clojure.tools.build.api :as b]))

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

(defn javac
  "Compiles the kernel into target/classes, which is replaced as a whole or, where a source is wrong, not at all."
  [_]
  (let [fresh (str "target/javac-" (.pid (java.lang.ProcessHandle/current)))]
    (b/delete {:path fresh})
    (try
      (b/javac {:src-dirs   ["src/java"]
                :class-dir  fresh
                :basis      (basis)
                :javac-opts (cond-> ["--release" "17" "-encoding" "UTF-8" "-parameters" "-Xlint:all"]
                              known-linters? (conj "-Werror"))})
      (.mkdirs (io/file fresh))
      (b/delete {:path classes})
      (.renameTo (io/file fresh) (io/file classes))
      (finally
        (b/delete {:path fresh})))))

(defn- jar-file [] (format "target/%s-%s.jar" (name lib) (version)))

(defn jar
  "Writes the jar: kernel classes, Clojure sources, resources, pom."
  [_]
  (javac nil)
  (let [dir "target/jar"]
    (b/delete {:path dir})
    (b/copy-dir {:src-dirs (filter #(.isDirectory (io/file %)) ["src/clj" "resources" classes]) :target-dir dir})
    (b/copy-file {:src "LICENSE" :target (str dir "/META-INF/LICENSE")})
    (b/write-pom {:class-dir dir
                  :lib       lib
                  :version   (version)
                  :basis     (basis)
                  :src-dirs  ["src/clj"]
                  :pom-data  [[:description "A Clojure toolkit for SuperCollider's audio servers, scsynth and supernova."]
                              [:licenses
                               [:license
                                [:name "EPL-2.0"]
                                [:url "https://www.eclipse.org/legal/epl-2.0/"]]]]})
    (b/jar {:class-dir dir
            :jar-file  (jar-file)
            :manifest  {"Automatic-Module-Name" "espalier"}})
    (println (jar-file))))

(defn install
  "Builds the jar and copies it to the local Maven repository."
  [_]
  (jar nil)
  (b/install {:lib lib :version (version) :basis (basis) :jar-file (jar-file) :class-dir "target/jar"}))

(defn ci
  "Runs every test, then builds the jar."
  [_]
  (when-not (zero? (:exit (b/process {:command-args ["bin/test"]})))
    (System/exit 1))
  (jar nil))

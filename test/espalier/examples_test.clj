(ns espalier.examples-test
  "The jar holds what it should, and the projects in examples/ run with it, each in a JVM of its own that finds
  no server. What is built and installed is under target/."
  (:require
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]])
  (:import
   (java.io File)
   (java.nio.file Files Path)
   (java.nio.file.attribute FileAttribute)
   (java.util.jar JarFile)))

(set! *warn-on-reflection* true)

(def ^:private repository
  "A Maven repository of our own." (.getCanonicalFile (io/file "target/m2")))

(defn- absolute ^String [path] (.getAbsolutePath (io/file path)))

(defn- output
  "What a command prints on standard output; it must not fail."
  [& command]
  (let [{:keys [exit out err]} (apply shell/sh command)]
    (when-not (zero? exit)
      (throw (ex-info (str (str/join " " (take 3 command)) " has failed: " out err) {})))
    out))

(def ^:private installed
  "The path of the jar, which is installed in our repository, and its version."
  (delay
    (let [[jar coordinates] (str/split-lines (output "bin/clj" "-T:build" "install" ":local-repo" (pr-str (str repository))))]
      {:jar     jar
       :version (second (re-matches #"espalier/espalier \{:mvn/version \"(0\.1\.\d+)\"\}" coordinates))})))

(defn- jar-text [path]
  (with-open [jar (JarFile. (io/file (:jar @installed)))]
    (slurp (.getInputStream jar (.getEntry jar path)))))

(defn- files [dir ending]
  (let [root (.toPath (io/file dir))]
    (set (for [^File f (file-seq (io/file dir)) :when (and (.isFile f) (str/ends-with? (.getName f) ending))]
           (str (.relativize root (.toPath f)))))))

(deftest the-jar-holds-the-library-and-nothing-else
  (let [names   (with-open [jar (JarFile. (io/file (:jar @installed)))]
                  (mapv #(.getName ^java.util.zip.ZipEntry %) (enumeration-seq (.entries jar))))
        ending  (fn [s] (set (filter #(str/ends-with? % s) names)))
        classes (ending ".class")]
    (is (= (files "src/clj" ".clj") (ending ".clj")))
    (is (set/subset? (files "resources" "") (set names)))
    (testing "of classes the kernel's alone"
      (is (= (files "src/java" ".java")
             (conj (into #{} (map #(str/replace % #"(\$\w+)*\.class$" ".java")) classes) "espalier/kernel/package-info.java"))))
    (is (= #{"META-INF/MANIFEST.MF" "META-INF/LICENSE" "META-INF/licenses/JavaOSC.txt"
             "META-INF/maven/espalier/espalier/pom.xml" "META-INF/maven/espalier/espalier/pom.properties"}
           (set/difference (set names) (ending ".clj") classes (files "resources" ""))))
    (is (str/includes? (jar-text "META-INF/licenses/JavaOSC.txt") "Chandrasekhar Ramakrishnan"))
    (is (str/includes? (jar-text "META-INF/MANIFEST.MF") "Automatic-Module-Name: espalier\r\n"))))

(deftest the-pom-asks-for-what-it-needs
  (let [pom    (jar-text "META-INF/maven/espalier/espalier/pom.xml")
        inside (fn [tag text] (map second (re-seq (re-pattern (str "(?s)<" tag ">\\s*(.*?)\\s*</" tag ">")) text)))]
    (is (= #{"org.clojure/clojure" "org.clojure/core.async" "com.illposed.osc/javaosc-core" "org.slf4j/slf4j-api"}
           (set (for [d (inside "dependency" pom)] (str (first (inside "groupId" d)) "/" (first (inside "artifactId" d)))))))
    (is (= #{"slf4j-ext" "slf4j-log4j12" "log4j"} (set (mapcat #(inside "artifactId" %) (inside "exclusion" pom)))))
    (is (= (:version @installed) (first (inside "version" pom))))
    (is (= ["EPL-2.0"] (mapcat #(inside "name" %) (inside "license" pom))))
    (is (= [(str/trim (output "git" "rev-parse" "HEAD"))] (inside "tag" pom)) "where it comes from")
    (is (= [] (inside "repository" pom)))))

(def ^:private own-paths "What the jar has, or who depends on it has not." #"(^|/)(dev|test|src/clj|resources|target/classes)$")

(defn- class-path
  "The jar, the libraries on the class path of this JVM, and `more`."
  [& more]
  (str/join File/pathSeparator
            (map absolute (concat more
                                  [(:jar @installed)]
                                  (remove #(re-find own-paths %)
                                          (str/split (System/getProperty "java.class.path") (re-pattern File/pathSeparator)))))))

(defn- java
  "The exit code and all output of a JVM in a directory. Nothing is on its PATH, and who looks for a server
  fails: one is named that is not there."
  [dir & args]
  (let [{:keys [exit out err]} (apply shell/sh (concat [(str (io/file (System/getProperty "java.home") "bin" "java"))]
                                                       args
                                                       [:dir dir, :env {"PATH" "", "ESPALIER_SCSYNTH" "/nowhere/scsynth"}]))]
    [exit (str out err)]))

(defn- passes [[exit text]]
  (is (= 0 exit) text)
  (is (re-find #"Ran 3 tests containing \d+ assertions\.\n0 failures, 0 errors\." text) text))

(defn- plays [[exit text]]
  (is (= 0 exit) text)
  (doseq [words [#"#<Server ONLINE \[rehearsal .*\]>" #"#<Report 2 added, 1 bundle of \d+ bytes, confirmed>" #"#<Synth 1002 organ>"
                 #"1 group\n +1002 organ\n.*freq: 330\.0" #"1000 group :mix\n +1001 organ :low\n.*freq: 112\.0"
                 #"synths: 2\n" #"kernel: /status\.reply 1 "]]
    (is (re-find words text))))

(deftest a-library-runs-its-tests-with-the-jar
  (passes (java "examples/tested-piece" "-cp" (class-path "examples/tested-piece/src" "examples/tested-piece/test") "clojure.main" "-m" "piece.test")))

(deftest a-java-program-plays-with-the-jar
  (plays (java "examples/plain-java" "-cp" (class-path) "src/main/java/Rehearse.java")))

;; ---- as whoever depends on it does

(defn- share-libraries!
  "Lets our repository have what the user's has, but for us: nothing need be fetched twice, and nothing of ours comes there."
  []
  (doseq [^File theirs (.listFiles (io/file (System/getProperty "user.home") ".m2/repository"))
          :let  [^Path ours (.toPath (io/file repository (.getName theirs)))]
          :when (and (not= "espalier" (.getName theirs)) (not (.exists (.toFile ours))))]
    (Files/createSymbolicLink ours (.toPath theirs) (make-array FileAttribute 0))))

(defn- copied
  "A copy of an example under target/, as one finds it: without what was built."
  ^File [example]
  (let [path (str "examples/" example)]
    (doseq [file (remove #(str/starts-with? % "target/") (files path ""))
            :let [copy (io/file "target" path file)]]
      (io/make-parents copy)
      (io/copy (io/file path file) copy))
    (io/file "target" path)))

(defn- resolved
  "The class path of a project as the Clojure CLI resolves it, with `extra` in its deps.edn; libraries are prepared."
  [dir extra]
  (str/split-lines
    (output "bin/clj" "-M:build" "-e"
            (pr-str `(do (require '[clojure.tools.build.api :as ~'b] '[clojure.tools.deps])
                         (binding [clojure.tools.build.api/*project-root* ~(absolute dir)]
                           (let [basis# (clojure.tools.build.api/create-basis {:user nil, :aliases [:test], :extra '~extra})]
                             (clojure.tools.deps/prep-libs! (:libs basis#) {:action :prep} basis#)
                             (run! println (:classpath-roots basis#)))))))))

(defn- tested
  "What the tests of the library say with such a class path."
  [dir class-path]
  (java (str dir) "-cp" (str/join File/pathSeparator class-path) "clojure.main" "-m" "piece.test"))

(deftest ^:soak projects-depend-on-what-is-installed
  @installed
  (share-libraries!)
  (testing "Clojure"
    (let [dir (copied "tested-piece")
          cp  (resolved dir {:mvn/local-repo (str repository)})]
      (is (some #(str/ends-with? % (str "espalier-" (:version @installed) ".jar")) cp))
      (passes (tested dir cp))))
  (testing "Java, by Maven"
    (let [{:keys [exit out err]} (shell/sh "mvn" "-q" "-B" (str "-Dmaven.repo.local=" repository) "compile" "exec:java" :dir (copied "plain-java"))]
      (plays [exit (str out err)]))))

(deftest ^:soak the-same-commit-is-the-same-jar
  (let [before (.readAllBytes (io/input-stream (io/file (:jar @installed))))]
    (output "bin/clj" "-J-Duser.timezone=Asia/Tokyo" "-T:build" "jar")
    (is (java.util.Arrays/equals ^bytes before (.readAllBytes (io/input-stream (io/file (:jar @installed))))))))

(deftest ^:soak projects-depend-on-the-source
  (let [dir   (copied "tested-piece")
        clone (absolute "target/clone")]
    (output "rm" "-rf" clone)
    (output "git" "clone" "-q" "." clone)
    (passes (tested dir (resolved dir {:deps {'espalier/espalier {:local/root clone}}})))
    (is (.exists (io/file clone "target/classes/espalier/kernel/Link.class")) "its kernel is compiled")))

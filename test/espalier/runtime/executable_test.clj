(ns espalier.runtime.executable-test
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [espalier.model.error :as error]
   [espalier.runtime.executable :as executable])
  (:import
   (java.io File)
   (java.nio.file Files Path)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(defn- with-folder
  "Calls `f` with the path of a new folder, which is removed afterwards."
  [f]
  (let [folder (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try (f (str folder))
         (finally (run! io/delete-file (reverse (file-seq folder)))))))

(defn- file!
  "A file below `folder`, executable unless said otherwise; returns its path."
  [folder path & {:keys [executable?] :or {executable? true}}]
  (let [file (io/file folder path)]
    (io/make-parents file)
    (spit file "#!/bin/sh\n")
    (.setExecutable file executable?)
    (str file)))

(defn- machine
  "A machine whose usual places are all below `home`."
  [home & {:as env}]
  {:platform :macos, :env (or env {}), :home home})

(defn- thrown [& args]
  (try (apply executable/find-executable args) nil
       (catch clojure.lang.ExceptionInfo e e)))

(defn- code [& args]
  (some-> (error/code (apply thrown args)) name keyword))

(deftest platforms
  (are [os platform] (= platform (executable/platform os))
    "Linux" :linux, "Mac OS X" :macos, "Windows 11" :windows, "FreeBSD" :linux)
  (is (contains? #{:linux :macos :windows} (executable/platform)))
  (let [{:keys [platform env home]} (executable/machine)]
    (is (= platform (executable/platform)))
    (is (= (System/getenv "PATH") (env "PATH")))
    (is (string? home))))

(deftest nothing-asked-is-the-variable-or-scsynth
  (with-folder
    (fn [folder]
      (let [scsynth (file! folder "bin/scsynth")
            other   (file! folder "other/my-scsynth")
            path    (str folder "/bin:" folder "/other")]
        (are [found env] (= found (executable/find-executable nil (assoc (machine folder) :env env)))
          scsynth {"PATH" path}
          scsynth {"PATH" path, "ESPALIER_SCSYNTH" ""}
          other   {"PATH" path, "ESPALIER_SCSYNTH" other}
          other   {"PATH" path, "ESPALIER_SCSYNTH" "my-scsynth"})
        (testing "the variable is as binding as the option"
          (let [e (thrown nil (machine folder "PATH" path "ESPALIER_SCSYNTH" "supernova-of-mine"))]
            (is (= :espalier.error/no-executable (error/code e)))
            (is (= :environment (:origin (ex-data e))))
            (is (str/includes? (ex-message e) "environment variable ESPALIER_SCSYNTH")))
          (is (= :no-executable (code nil (machine folder "PATH" path "ESPALIER_SCSYNTH" "/nowhere/scsynth")))))
        (testing "but the option comes first"
          (is (= scsynth (executable/find-executable "scsynth" (machine folder "PATH" path "ESPALIER_SCSYNTH" other)))))))))

(deftest names-are-looked-for-on-the-path-then-in-the-usual-places
  (with-folder
    (fn [folder]
      (let [usual  (file! folder "Applications/SuperCollider.app/Contents/Resources/my-supernova")
            in-a  (file! folder "a/my-supernova")
            in-b  (file! folder "b/my-supernova")
            on     (fn [asked path] (executable/find-executable asked (machine folder "PATH" path)))]
        (is (= in-a (on "my-supernova" (str folder "/a:" folder "/b"))))
        (is (= in-b (on "my-supernova" (str folder "/b:" folder "/a"))))
        (is (= in-b (on :my-supernova (str folder "/empty::" folder "/b"))))
        (is (= usual (on "my-supernova" "")))
        (is (= usual (executable/find-executable "my-supernova" (machine folder))) "without any PATH")
        (testing "never another name"
          (is (= :no-executable (code "my-scsynth" (machine folder "PATH" (str folder "/a"))))))
        (testing "what may not be executed is passed over, but said where nothing else is found"
          (file! folder "c/my-supernova" :executable? false)
          (is (= in-a (on "my-supernova" (str folder "/c:" folder "/a"))))
          (file! folder "c/half-done" :executable? false)
          (is (= :not-executable (code "half-done" (machine folder "PATH" (str folder "/c"))))))
        (testing "a folder is no server"
          (io/make-parents (io/file folder "d" "my-supernova" "x"))
          (is (= in-a (on "my-supernova" (str folder "/d:" folder "/a")))))
        (testing "the places can be given"
          (is (= in-b (executable/find-executable "my-supernova" (assoc (machine folder) :folders [(str folder "/b")])))))))))

(deftest paths-are-that-file-or-an-error
  (with-folder
    (fn [folder]
      (let [server (file! folder "bin/scsynth")
            plain  (file! folder "bin/notes" :executable? false)
            m      (machine folder "PATH" (str folder "/bin"))]
        (is (= server (executable/find-executable server m)))
        (is (= server (executable/find-executable (io/file server) m)))
        (is (= server (executable/find-executable (.toPath (io/file server)) m)))
        (is (= server (executable/find-executable "~/bin/scsynth" m)))
        (testing "relative to the working folder, and absolute in the answer"
          (let [relative (str (.relativize (.toAbsolutePath (Path/of "" (make-array String 0))) (.toPath (io/file server))))
                found    (executable/find-executable (str "./" relative) m)]
            (is (.isAbsolute (io/file found)))
            (is (= (.getCanonicalPath (io/file server)) (.getCanonicalPath (io/file found))))))
        (testing "links stay links"
          (let [link (io/file folder "server")]
            (Files/createSymbolicLink (.toPath link) (.toPath (io/file server)) (make-array FileAttribute 0))
            (is (= (str link) (executable/find-executable (str link) m)))))
        (let [e (thrown plain m)]
          (is (= :espalier.error/not-executable (error/code e)))
          (is (str/includes? (ex-message e) (str "chmod +x " plain))))
        (let [e (thrown (str folder "/elsewhere/scsynth") m)]
          (is (= :espalier.error/no-executable (error/code e)))
          (is (= [(str folder "/elsewhere/scsynth")] (:looked (ex-data e))))
          (is (str/includes? (ex-message e) "does not exist")))
        (is (str/includes? (ex-message (thrown (str folder "/bin") m)) "is a folder"))
        (is (= :no-executable (code "/a\u0000b" m)))))))

(deftest a-failed-search-lists-every-place-and-the-remedy
  (with-folder
    (fn [folder]
      (doseq [[platform separator remedy place] [[:linux ":" "apt install supercollider-server" "/usr/local/bin/scsynht"]
                                                 [:macos ":" "brew install --cask supercollider"
                                                  "/Applications/SuperCollider.app/Contents/Resources/scsynht"]
                                                 [:windows ";" "supercollider.github.io" (str folder File/separator "SuperCollider-*" File/separator "scsynht.exe")]]
              :let [m (assoc (machine folder "PATH" (str folder "/p1" separator folder "/p2") "ProgramFiles" folder)
                             :platform platform)
                    e (thrown "scsynht" m)]]
        (testing platform
          (is (= :espalier.error/no-executable (error/code e)))
          (is (= (str folder "/p1/scsynht" (when (= :windows platform) ".exe")) (first (:looked (ex-data e)))))
          (is (some #{place} (:looked (ex-data e))))
          (doseq [looked (:looked (ex-data e))]
            (is (str/includes? (ex-message e) looked)))
          (doseq [part [remedy ":executable" "Did you mean \"scsynth\"?"]]
            (is (str/includes? (ex-message e) part))))))))

(deftest windows
  (with-folder
    (fn [folder]
      (let [m      (fn [& env] (assoc (apply machine folder "ProgramFiles" folder env) :platform :windows))
            old    (file! folder "SuperCollider-3.9.3/scsynth.exe")
            recent (file! folder "SuperCollider-3.13.0/scsynth.exe")
            own    (file! folder "own/scsynth.exe")]
        (is (not= old recent))
        (is (= recent (executable/find-executable nil (m))) "the newest version")
        (is (= recent (executable/find-executable "scsynth.exe" (m))))
        (is (= own (executable/find-executable nil (m "PATH" (str folder "/nothing;" folder "/own")))))
        (is (= own (executable/find-executable (str folder "/own/scsynth") (m))) "as Windows itself does")))))

(deftest the-real-servers
  (doseq [program ["scsynth" "supernova"]
          :when   (.canExecute (io/file "/usr/bin" program))
          :let    [m {:platform :linux, :env {}, :home "/nowhere"}]]
    (is (.canExecute (io/file ^String (executable/find-executable program))))
    (is (str/ends-with? (executable/find-executable (keyword program) m) (str "/bin/" program)))))

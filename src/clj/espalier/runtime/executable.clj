(ns espalier.runtime.executable
  "Where the server's binary is: the one that was asked for, or an error that says
  where it was looked for."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.options :as options])
  (:import
   (java.io File)))

(set! *warn-on-reflection* true)

(def variable
  "The environment variable that names the server where no option does."
  "ESPALIER_SCSYNTH")

(defn platform
  "`:linux`, `:macos` or `:windows`; other systems are taken for Linux.

  `os-name`  as the property os.name has it, by default this machine's

      (platform \"Mac OS X\")  ;=> :macos"
  ([] (platform (System/getProperty "os.name")))
  ([os-name]
   (cond
     (str/starts-with? os-name "Mac")     :macos
     (str/starts-with? os-name "Windows") :windows
     :else                                :linux)))

(defn machine
  "What a search depends on: `:platform`, `:env` (a function or map from the name
  of an environment variable to its value) and `:home` (the user's directory)."
  []
  {:platform (platform)
   :env      (fn [k] (System/getenv k))
   :home     (System/getProperty "user.home")})

;; ---- places

(defn- version-numbers
  "The numbers in a name, filled up so that vectors of them sort as versions do."
  [s]
  (vec (take 8 (concat (map parse-long (re-seq #"\d{1,9}" s)) (repeat 0)))))

(defn- program-folders
  "The folders of SuperCollider below Program Files, newest version first; the
  pattern of their names where there is none."
  [env]
  (for [root  (distinct (remove nil? [(env "ProgramFiles") (env "ProgramFiles(x86)") "C:\\Program Files"]))
        :let  [found (filter #(str/starts-with? % "SuperCollider") (File/.list (io/file root)))]
        child (if (seq found)
                (reverse (sort-by version-numbers found))
                ["SuperCollider-*"])]
    (str (io/file root child))))

(defn- usual-folders [{:keys [platform env home]}]
  (case platform
    :macos   ["/Applications/SuperCollider.app/Contents/Resources"
              "/Applications/SuperCollider/SuperCollider.app/Contents/Resources"
              (str home "/Applications/SuperCollider.app/Contents/Resources")
              "/opt/homebrew/bin"
              "/usr/local/bin"]
    :windows (program-folders env)
    ["/usr/local/bin" "/usr/bin"]))

(defn- path-folders [{:keys [platform env]}]
  (remove str/blank? (str/split (or (env "PATH") "") (if (= :windows platform) #";" #":"))))

(defn- files-named
  "Where a server of this name may be, in the order of the search."
  [{:keys [platform folders] :as machine} file-name]
  (let [file-name (if (and (= :windows platform) (not (str/ends-with? (str/lower-case file-name) ".exe")))
                    (str file-name ".exe")
                    file-name)]
    (distinct
      (for [folder (or folders (concat (path-folders machine) (usual-folders machine)))]
        (File/.getAbsolutePath (io/file folder file-name))))))

(defn- runnable? [path]
  (let [file (io/file path)]
    (and (File/.isFile file) (File/.canExecute file))))

;; ---- errors

(def ^:private remedies
  {:linux   (str "Install it (Debian, Ubuntu: apt install supercollider-server, for supernova supercollider-supernova;"
                 " Fedora, Arch: the package supercollider)")
   :macos   "Install SuperCollider (brew install --cask supercollider, or supercollider.github.io/downloads)"
   :windows "Install SuperCollider (supercollider.github.io/downloads)"})

(defn- where-asked [origin]
  (if (= :environment origin)
    (str "asked for by the environment variable " variable)
    "asked for by the option :executable"))

(defn- none-named [{:keys [platform]} file-name looked origin]
  (error/error :no-executable
               (str "No " file-name " found" (when origin (str ", " (where-asked origin))) "."
                    (error/hint file-name ["scsynth" "supernova"]) " Looked for:\n"
                    (str/join "\n" (map #(str "  " %) looked)) "\n"
                    (get remedies platform (:linux remedies))
                    ", or say where it is: (sc/boot! s {:executable \"/path/to/" file-name "\"})"
                    (when (not= :option origin) (str ", or set the environment variable " variable))
                    ".")
               {:asked file-name, :origin origin, :looked (vec looked), :platform platform}))

(defn- none-at [path origin]
  (let [kind (if (File/.isDirectory (io/file path)) "is a folder" "does not exist")]
    (error/error :no-executable
                 (str path ", " (where-asked origin) ", " kind ". No other server is taken in its place:"
                      " correct it, or name none to have scsynth looked for.")
                 {:asked path, :origin origin, :looked [path]})))

(defn- not-executable [path]
  (error/error :not-executable
               (str path " is there, but you may not execute it. Make it executable: chmod +x " path)
               {:path path}))

;; ---- the search

(defn- search [machine file-name origin]
  (let [looked (files-named machine file-name)]
    (or (first (filter runnable? looked))
        (throw (if-let [there (first (filter #(File/.isFile (io/file %)) looked))]
                 (not-executable there)
                 (none-named machine file-name looked origin))))))

(defn- exactly [{:keys [platform home]} asked origin]
  (let [asked (if (re-find #"^~[/\\]" asked) (str home (subs asked 1)) asked)
        path  (File/.getAbsolutePath (io/file asked))
        exe   (str path ".exe")]
    (cond
      (runnable? path)                                  path
      (File/.isFile (io/file path))                     (throw (not-executable path))
      (and (= :windows platform) (runnable? exe))       exe
      :else                                             (throw (none-at path origin)))))

(defn- path? [{:keys [platform]} asked]
  (or (str/includes? asked "/")
      (and (= :windows platform) (str/includes? asked "\\"))))

(defn- find-file [asked {:keys [env] :as machine}]
  (let [named    (env variable)
        [s from] (cond
                   (keyword? asked)         [(name asked) :option]
                   (some? asked)            [(str asked) :option]
                   (str/blank? (str named)) ["scsynth" nil]
                   :else                    [named :environment])]
    (if (path? machine s)
      (exactly machine s from)
      (search machine s from))))

(defn find-executable
  "The absolute path of the server's binary, a string; symbolic links stay.

  `asked`    nil: what the environment variable ESPALIER_SCSYNTH says, else
             \"scsynth\"
             a name (string or keyword): looked for on the PATH, then where
             SuperCollider is usually installed
             a path, that is with a separator (string, File or Path): that very
             file; `~/` at its beginning is the user's directory
             :rehearsal or what `espalier.rehearsal/rehearsal` returns: that, for
             it is no file
  `machine`  as `machine` returns it, by default this one; `:folders` in it
             replaces the PATH and the usual places

  Never returns another binary than the one asked for. Throws
  `:espalier.error/no-executable`, with every place looked at under `:looked`, or
  `:espalier.error/not-executable` where the file is there but may not be run.

      (find-executable nil)          ;=> \"/usr/bin/scsynth\"
      (find-executable \"supernova\")  ;=> \"/usr/bin/supernova\""
  ([asked] (find-executable asked (machine)))
  ([asked {:keys [env] :as machine}]
   (if (options/rehearsal asked)
     asked
     (find-file asked machine))))

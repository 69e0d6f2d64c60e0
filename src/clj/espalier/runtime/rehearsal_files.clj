(ns espalier.runtime.rehearsal-files
  "What a rehearsal does with files: sounds are read and written, SynthDefs read."
  (:require
   [clojure.string :as str]
   [espalier.model.sound-bytes :as sound-bytes])
  (:import
   (java.io File IOException)
   (java.nio.file FileSystems Files Path)))

(set! *warn-on-reflection* true)

(defn- path ^Path [s] (Path/of s (make-array String 0)))

(defn- system-words [^File file]
  (str "System error : "
       (cond
         (not (.exists file)) "No such file or directory."
         (.isDirectory file)  "Is a directory."
         :else                "Permission denied.")))

(def ^:private no-format "Format not recognised.")

(defn- read-sound [^String s]
  (let [file (File. s)]
    (cond
      (.isDirectory file)        {:error no-format}
      (not (.canRead file))      {:error (system-words file)}
      :else
      (try (or (sound-bytes/decode (Files/readAllBytes (path s))) {:error no-format})
           (catch IOException _ {:error (system-words file)})))))

(defn- write-sound
  "Writes a sound; as libsndfile does, it leaves an empty file where the format is none that
  it can write."
  [^String s {:keys [header sample-format] :as sound}]
  (let [bytes (sound-bytes/encode sound header sample-format)]
    (try (Files/write (path s) ^bytes (or bytes (byte-array 0)) ^"[Ljava.nio.file.OpenOption;" (make-array java.nio.file.OpenOption 0))
         (when-not bytes {:error no-format})
         (catch IOException _ {:error (system-words (File. s))}))))

(defn- read-all
  "Their bytes, without those that cannot be read."
  [files]
  (into [] (keep (fn [^File f] (try (Files/readAllBytes (.toPath f)) (catch IOException _ nil)))) files))

(defn- glob
  "The files that a path with * and ? in its last part means, in the order of their names."
  [^String s]
  (let [file (File. s)]
    (if-not (re-find #"[*?\[]" s)
      (when (.isFile file) [file])
      (let [matcher (.getPathMatcher (FileSystems/getDefault) (str "glob:" (.getName file)))]
        (sort (filter (fn [^File f] (and (.isFile f) (.matches matcher (.getFileName (.toPath f)))))
                      (.listFiles (or (.getParentFile file) (File. ".")))))))))

(defn- below [^String s]
  (sort (filter (fn [^File f] (and (.isFile f) (str/ends-with? (.getName f) ".scsyndef"))) (file-seq (File. s)))))

(defn- synthdef-folders
  "Where a server looks for SynthDefs at boot."
  []
  (let [home (System/getProperty "user.home")]
    (if-let [path (System/getenv "SC_SYNTHDEF_PATH")]
      (str/split path (re-pattern File/pathSeparator))
      [(str home (if (re-find #"(?i)mac" (System/getProperty "os.name"))
                   "/Library/Application Support/SuperCollider/synthdefs"
                   "/.local/share/SuperCollider/synthdefs"))])))

(defn synthdefs-at-boot
  "The files that a server reads at boot, byte arrays."
  []
  (into [] (comp (map below) (mapcat read-all)) (synthdef-folders)))

(defn io
  "Does what `espalier.model.rehearsal` asks for."
  [[kind s sound]]
  (case kind
    :read-sound      (read-sound s)
    :write-sound     (write-sound s sound)
    :synthdef-files  (read-all (glob s))
    :synthdef-folder (read-all (below s))))

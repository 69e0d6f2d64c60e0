(ns espalier.runtime.synthdef-file
  "SynthDef files and folders of them."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.synthdef :as synthdef])
  (:import
   (java.io File IOException InputStream UncheckedIOException)
   (java.net URL)
   (java.nio.file FileVisitOption Files LinkOption Path)))

(set! *warn-on-reflection* true)

(defn file?
  "Whether x names a file: a path, File, Path or URL."
  [x]
  (or (string? x) (instance? File x) (instance? Path x) (instance? URL x)))

(defn- check-file [x]
  (when-not (file? x)
    (throw (error/error :invalid-argument
                        (if (nil? x)
                          "There is no file in nil; a resource or file of that name was not found, it may be."
                          (str "A file is a path, a File, a Path or a URL, not " (pr-str x) "."))
                        {:argument :file, :value x}))))

(defn file-of
  "The File of a path, File or Path.

  Throws `:espalier.error/invalid-argument`."
  ^File [x]
  (check-file x)
  (if (instance? Path x) (.toFile ^Path x) (io/file x)))

(defn- failed [x e]
  (error/error :file-failed (str "No SynthDef file can be read at " x ": " (ex-message e) ".") {:path (str x)} e))

(defn read-file
  "The SynthDefs of a file, a path, File, Path or URL.

  Throws `:espalier.error/invalid-synthdef` with `:path` and the `:offset` of the byte,
  `:espalier.error/file-failed`, `:espalier.error/invalid-argument`."
  [x]
  (check-file x)
  (let [bytes (try (with-open [in (io/input-stream (if (instance? Path x) (.toFile ^Path x) x))]
                     (.readAllBytes ^InputStream in))
                   (catch IOException e (throw (failed x e))))]
    (try (synthdef/parse bytes)
         (catch clojure.lang.ExceptionInfo e
           (throw (error/error :invalid-synthdef (str x ": " (ex-message e)) (assoc (ex-data e) :path (str x)) e))))))

(def ^:private passed-over
  "Folders that scsynth does not look into either."
  #{"help" "ignore" ".svn" ".git" "_darcs"})

(defn- files-below [^Path root]
  (with-open [paths (Files/walk root (into-array FileVisitOption [FileVisitOption/FOLLOW_LINKS]))]
    (->> (iterator-seq (.iterator paths))
         (remove (fn [^Path path]
                   (some #(passed-over (str/lower-case (str %))) (butlast (iterator-seq (.iterator (.relativize root path)))))))
         (filter (fn [^Path path] (and (str/ends-with? (str path) ".scsyndef") (Files/isRegularFile path (make-array LinkOption 0)))))
         (sort-by str)
         vec)))

(defn read-directory
  "The SynthDefs of all .scsyndef files in a folder and in those within it, in the order of
  their paths; what scsynth passes over is passed over.

  Throws what `read-file` does."
  [directory]
  (let [folder (file-of directory)]
    (when-not (.isDirectory folder)
      (throw (error/error :file-failed (str "There is no directory of SynthDefs at " directory ".") {:path (str directory)})))
    (into []
          (mapcat read-file)
          (try (files-below (.toPath folder))
               (catch UncheckedIOException e (throw (failed directory (ex-cause e))))
               (catch IOException e (throw (failed directory e)))))))

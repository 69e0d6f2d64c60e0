(ns espalier.runtime.synthdefs
  "SynthDefs on their way to the server. Each function that `espalier.core` has under
  the same name is documented there."
  (:require
   [clojure.java.io :as io]
   [espalier.model.command :as command]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.synthdef :as synthdef]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment])
  (:import
   (java.io File IOException InputStream)
   (java.net URL)
   (java.nio.file Path)))

(set! *warn-on-reflection* true)

(defn- file-bytes [x]
  (try (with-open [in (io/input-stream (if (instance? Path x) (.toFile ^Path x) x))]
         (.readAllBytes ^InputStream in))
       (catch IOException e
         (throw (error/error :file-failed (str "No SynthDef file can be read at " x ": " (ex-message e) ".") {:path (str x)} e)))))

(defn- read-defs
  "The SynthDefs that x stands for."
  [x]
  (cond
    (nil? x) (throw (error/error :invalid-argument "There is no SynthDef in nil; a resource or file of that name was not found, it may be." {:argument :synthdefs, :value x}))
    (and (map? x) (= :synthdef (:kind x))) [x]
    (bytes? x)                             (synthdef/parse x)
    (or (string? x) (instance? File x) (instance? Path x) (instance? URL x)) (synthdef/parse (file-bytes x))
    :else
    (throw (error/error :invalid-argument
                        (str "A SynthDef is a value that (espalier.model.synthdef/parse bytes) returns, the bytes of a SynthDef file,"
                             " or the path, File or URL of one, not " (pr-str x) ".")
                        {:argument :synthdefs, :value x}))))

(defn add-synthdefs!
  "See `espalier.core/add-synthdefs!`."
  [s synthdefs opts]
  (options/check-call opts #{:timeout-ms})
  (let [session  (handle/live s)
        all      (into [] (mapcat read-defs) (if (or (sequential? synthdefs) (set? synthdefs)) synthdefs [synthdefs]))
        ;; One by one, for supernova reads no second of a file.
        requests (mapv #(command/request :d-recv {:synthdef (synthdef/encode [%])} (:limits session)) all)
        before   (select-keys (:synthdefs (mirror/known (:mirror session))) (map :name all))
        tell!    #(mirror/tell! (:mirror session) [:synthdefs (into {} (map (juxt :name synthdef/controls)) all)])]
    (if (moment/inside? s)
      (do (run! #(moment/request! s % {}) requests)
          (tell!)
          (moment/undo! s #(do (mirror/tell! (:mirror session) [:synthdefs-gone (map :name all)])
                               (mirror/tell! (:mirror session) [:synthdefs before]))))
      (do (when (seq requests)
            (moment/call-at s opts (fn [] (run! #(moment/request! s % {}) requests))))
          (tell!)))
    (mapv :name all)))

(defn free-synthdefs!
  "See `espalier.core/free-synthdefs!`."
  [s synthdefs opts]
  (options/check-call opts #{:timeout-ms})
  (let [session (handle/live s)
        those   (if (or (sequential? synthdefs) (set? synthdefs)) synthdefs [synthdefs])
        request (command/request :d-free {:names those} (:limits session))]
    (moment/request! s request opts)
    (moment/afterwards! s #(mirror/tell! (:mirror session) [:synthdefs-gone (subvec request 1)]))
    s))

(ns espalier.model.rehearsal-synthdef
  "The SynthDefs of a rehearsal's world: read from bytes, refused with the words of
  scsynth, kept as long as a synth needs them."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.rehearsal-envelope :as envelope]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-node :as node]
   [espalier.model.rehearsal-world :as world]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.synthdef-check :as synthdef-check]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(defn- installed? [ugen-class]
  (or (synthdef-check/unlisted ugen-class)
      (contains? (:engines (get ugen/ugens ugen-class)) :scsynth)))

(defn- prepared
  "A SynthDef as synths need it."
  [d]
  {:name       (:name d)
   :base       (:name d)
   :controls   (mapv #(float %) (:parameters d))
   :slots      (update-vals (synthdef/controls d) #(select-keys % [:index :size]))
   :names      (into {} (map (fn [[control i]] [i control])) (:parameter-names d))
   :ugen-count (count (:ugens d))
   :ugens      (:ugens d)
   :constants  (:constants d)
   :timers     (not-empty (envelope/timers d))
   :variants   (mapv (fn [[variant values]] [variant (mapv #(float %) values)]) (:variants d))})

(defn- refusal
  "What the server says of SynthDefs that it does not take, or nil."
  [defs wire-count]
  (or (some (fn [{:keys [ugens]}]
              (some (fn [{:keys [class]}] (when-not (installed? class) (str "UGen '" class "' not installed."))) ugens))
            defs)
      (when (some #(< (long wire-count) (long (synthdef-check/wire-count %))) defs)
        "exceeded number of interconnect buffers.")))

(defn- too-long
  "What the server says of a file that is refused for the length of a name, or nil."
  [e]
  (when-let [[_ seen] (re-find #"^(\d+) bytes$" (str (:seen (ex-data e))))]
    (when (re-find #"name" (str (:expected (ex-data e))))
      (str "name too long (> 31 chars): " seen " bytes"))))

(defn- magic? [^bytes bytes]
  (and (<= 8 (alength bytes)) (= "SCgf" (String. bytes 0 4 "ISO-8859-1"))))

(defn- version [^bytes bytes]
  (.getInt (java.nio.ByteBuffer/wrap bytes) 4))

(defn read-defs
  "The SynthDefs in the bytes of a file, in the order in which a server takes them:
  `{:synthdefs […]}`, with `:line` where it says why there are none. What is no SynthDef file
  at all is passed over."
  [^bytes bytes wire-count]
  (cond
    (not (and bytes (magic? bytes)))               {:synthdefs []}
    (not (contains? #{0 1 2} (version bytes)))     {:synthdefs []}
    :else
    (try
      (let [defs (synthdef/parse bytes)]
        (if-let [why (refusal defs wire-count)]
          {:synthdefs [], :line (str "exception in GraphDef_Recv: " why)}
          {:synthdefs (mapv prepared (rseq defs))}))
      (catch clojure.lang.ExceptionInfo e
        (if (= :espalier.error/invalid-synthdef (error/code e))
          {:synthdefs [], :line (str "exception in GraphDef_Recv: " (or (too-long e) (ex-message e)))}
          (throw e))))))

;; ---- the table

(defn- remove-def
  "The world in which a SynthDef and its variants are not in the table any more."
  [w {:keys [uid base variants] synthdef-name :name}]
  (-> w
      (update :synthdefs (fn [table]
                           (reduce (fn [table k] (if (= uid (:uid (get table k))) (dissoc table k) table))
                                   table
                                   (cons synthdef-name (map first variants)))))
      (node/release uid base)))

(defn- put-in-table [w k d]
  (cond
    (< (count (:synthdefs w)) (long (:max-synthdefs w)))
    (if (get-in w [:synthdefs k]) w (assoc-in w [:synthdefs k] d))
    :else
    (-> w
        (world/say (str "ERROR: Could not add SynthDef " k "."))
        (world/say "Try adjusting ServerOptions:maxSynthDefs or the -d cmdline flag."))))

(defn define
  "The world that has a SynthDef, in place of any of its name."
  [w {synthdef-name :name, :keys [variants] :as d}]
  (let [before (get-in w [:synthdefs synthdef-name])
        w      (cond-> w before (remove-def before))
        uid    (:next-uid w)
        d      (assoc d :uid uid)
        w      (-> w (update :next-uid inc) (node/retain uid) (put-in-table synthdef-name d))]
    (reduce (fn [w [variant values]]
              (put-in-table w variant (assoc d :name variant, :controls values, :variants [])))
            w variants)))

(defn free
  "The world without the SynthDef of a name; its synths play on."
  [w synthdef-name]
  (if-let [d (get-in w [:synthdefs synthdef-name])]
    (remove-def w d)
    w))

(defn- free-every
  "The world without SynthDefs. Nobody is told."
  [w]
  (assoc w :synthdefs {}, :references {}))

;; ---- commands

(defn- define-all [w defs] (reduce define w defs))

(defn- free-named [w r]
  (loop [w w]
    (if-not (message/more? r)
      w
      (if-let [synthdef-name (message/text! r)]
        (recur (free w synthdef-name))
        (world/fail w "SynthDef not found")))))

(def commands
  "By name: functions of the world, a reader and the client."
  {"d_free"    (fn [w r _] (free-named w r))
   "d_freeAll" (fn [w _ _] (free-every w))})

(defn- read-files
  "What of these files, byte arrays, a server takes, with the lines that it says."
  [w files]
  (reduce (fn [[w defs] bytes]
            (let [{:keys [synthdefs line]} (read-defs bytes (:wire-buffer-count (:options w)))]
              [(cond-> w line (world/say (str/replace line "GraphDef_Recv" "GraphDef_Load"))) (into synthdefs defs)]))
          [w []]
          files))

(defn define-files
  "The world that has the SynthDefs of these files, byte arrays, as a server has that finds them
  at boot."
  [w files]
  (let [[w defs] (read-files w files)]
    (define-all w defs)))

(defn- from-path
  "How SynthDefs are loaded from files: `kind` says to the caller's `io` which are meant."
  [kind none]
  {:begin  (fn [_ r]
             (if-let [path (message/text! r)]
               {:path path, :completion (message/blob! r)}
               "wrong argument type"))
   :io     (fn [w {:keys [path]}] [kind (world/restricted w path)])
   :ahead  (fn [w {:keys [path result client command] :as item}]
             (let [path     (world/restricted w path)
                   [w defs] (read-files w result)]
               (if (seq defs)
                 [w (assoc item :synthdefs defs)]
                 [(-> w (world/send-now client ["/fail" (str "/" command) path]) (world/say (none path))) nil])))
   :finish (fn [w item] (define-all w (:synthdefs item)))
   :done   (fn [{:keys [command]}] ["/done" (str "/" command)])})

(def asynchronous
  "The commands that the other thread works on, by name: see `espalier.model.rehearsal`."
  {"d_recv"    {:begin  (fn [_ r]
                          (if-let [bytes (message/blob! r)]
                            {:bytes bytes, :completion (message/blob! r)}
                            "failed"))
                :ahead  (fn [w {:keys [bytes] :as item}]
                          (let [{:keys [synthdefs line]} (read-defs bytes (:wire-buffer-count (:options w)))]
                            [(cond-> w line (world/say line)) (assoc item :synthdefs synthdefs)]))
                :finish (fn [w item] (define-all w (:synthdefs item)))
                :done   (fn [_] ["/done" "/d_recv"])}
   "d_load"    (from-path :synthdef-files #(str "File '" % "' could not be opened"))
   "d_loadDir" (from-path :synthdef-folder #(str "No synthdefs found in directory: '" % "'"))})

(ns espalier.runtime.recording
  "Recordings: buses on their way to a sound file. Each function that `espalier.core` has
  under the same name is documented there.

  DiskOut hands what it has gathered to a disk thread of the server, and `/b_close` does not
  wait for that: what is not written by then is lost without a word. So before the file is
  closed, a read behind all writes is seen to be done."
  (:require
   [espalier.model.command :as command]
   [espalier.model.entity :refer [entity?]]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.recorder :as recorder]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.buffer :as buffer]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.link :as link]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.node :as node]
   [espalier.runtime.session :as session]
   [espalier.runtime.sound-file :as sound-file]
   [espalier.runtime.synthdefs :as synthdefs])
  (:import
   (java.io Closeable File Writer)
   (java.nio.file Path)))

(set! *warn-on-reflection* true)

(declare stop-recording!)

;; `parts`: what it consists of on the server; `state`: an atom of `:status` (:recording, :stopped or :lost), and `:result`
;; or `:error` at the end; `over`: delivered then.
(deftype Recording [path server parts state over]
  Closeable
  (close [this] (stop-recording! this {}) nil)
  Object
  (toString [_]
    (let [{:keys [status result]} @state]
      (str "#<Recording " (.toUpperCase (name status)) " " path ", " (counted (:channel-count parts) "channel")
           (when-let [frames (:frames result)] (str ", " frames " frames")) ">"))))

(defmethod print-method Recording [r ^Writer w] (.write w (str r)))

;; ---- what to record

(defn- invalid [k value expected]
  (error/error :invalid-argument (str k " is " expected ", not " (pr-str value) ".") {:argument k, :value value}))

(defn- not-writable [path why]
  (error/error :not-writable (str "No recording can be written to " path ": " why ". Name another file.") {:path path}))

(defn- check-file
  "The path as the server is to have it; of a file on this machine, absolute and looked at."
  [s session path]
  (let [path (if (or (instance? File path) (instance? Path path)) (str path) path)]
    (if (and (string? path) (link/local? (:link session)))
      (let [file   (.getAbsoluteFile (File. ^String path))
            folder (.getParentFile file)
            base   (:restricted-path (handle/effective-options s))]
        (cond
          (.isDirectory file)                                  (throw (not-writable (str file) "it is a directory"))
          (not (and folder (.isDirectory folder)))             (throw (not-writable (str file) (str "there is no directory " folder)))
          (not (.canWrite (if (.exists file) file folder)))    (throw (not-writable (str file) "this user may not write there"))
          (and base (not (.startsWith (str file) ^String base))) (throw (not-writable (str file) (str "the server keeps to " base))))
        (str file))
      path)))

(defn- check-bus
  "The first bus to record, and how many."
  [s session bus channels]
  (let [{:keys [audio-bus-channel-count]} (:limits session)
        [first-bus default]
        (cond
          (nil? bus)    [0 (min 2 (long (:output-bus-channel-count (handle/effective-options s))))]
          (entity? bus) (do (when-not (and (contains? #{:bus :bus-group} (:kind bus)) (= :audio (:rate bus)))
                              (throw (invalid :bus bus "an audio bus, a group of them, or the number of one")))
                            [(entities/resolve-in s session bus) (:count bus 1)])
          (nat-int? bus) [bus 2]
          :else          (throw (invalid :bus bus "an audio bus, a group of them, or the number of one")))
        n (if (nil? channels) default channels)]
    (when-not (pos-int? n)
      (throw (invalid :channel-count n "a whole number from 1 up")))
    (when (< (long audio-bus-channel-count) (+ (long first-bus) (long n)))
      (throw (error/error :invalid-argument
                          (str n " buses from bus " first-bus " on cannot be recorded, for there are " audio-bus-channel-count " audio buses.")
                          {:argument :channel-count, :value n})))
    [first-bus n]))

(def ^:private most-seconds
  "Twelve days; scsynth counts the blocks of a duration with 32 bits."
  1000000)

(defn- check-duration [x]
  (when-not (or (nil? x) (and (number? x) (< 0 x) (<= x most-seconds)))
    (throw (invalid :duration-s x (str "seconds, above 0 and up to " most-seconds)))))

(defn- blocks
  "Frames of two blocks of the server: of that many, or a multiple, are the buffers of DiskIn
  and DiskOut."
  ^long [s]
  (* 2 (long (:block-size (options/effective (handle/effective-options s))))))

(defn- check-frames [s x]
  (when-not (and (pos-int? x) (<= (long x) 16777216) (zero? (rem (long x) (blocks s))))
    (throw (invalid :buffer-frames x (str "a multiple of " (blocks s) ", two blocks of the server, up to 16,777,216")))))

;; ---- its end

;; Permanent, for others give the ids that come in turn by hand.
(def ^:private root {:target 0, :action :tail, :confirm true, :permanent true})

(defn- await-disk!
  "Returns when the server's disk thread has done all that it was given."
  [s opts]
  (let [b (buffer/add-buffer! s (assoc opts :frame-count (blocks s)))]
    (try
      (buffer/set-samples! b {0 1} {})
      (synthdefs/add-synthdefs! s recorder/disk-fence opts)
      (let [y   (node/add-synth! s recorder/disk-fence {:buffer b} (merge root opts))
            end (+ (clock/milliseconds) (long (or (:timeout-ms opts) (:timeout-ms (handle/live s)))))]
        (try
          (while (not (zero? (double (get (buffer/get-samples b [0] opts) 0))))
            (when (< end (clock/milliseconds))
              (throw (error/error :no-answer "The server's disk thread has not done what it was given in time: the disk is too slow. :timeout-ms says how long to wait." {}))))
          (finally (node/free! y (assoc opts :confirm true)))))
      (finally (buffer/free! b opts)))))

(def ^:private full-bytes
  "A disk with less room is full: servers do not tell that one has refused what they wrote." 4096)

(defn- result-of
  "What a recording has come to.

  Throws `:espalier.error/file-failed` where the disk is full."
  [{:keys [path parts server]}]
  (let [here? (link/local? (:link (handle/live server)))
        {:keys [frames sample-rate-hz]} (when here?
                                          ;; Of a format that is not read here nothing is known.
                                          (try (sound-file/facts path) (catch clojure.lang.ExceptionInfo _)))
        result {:path          path
                :frames        frames
                :channel-count (:channel-count parts)
                :duration-s    (when (and frames (pos? (long sample-rate-hz))) (/ (double frames) (double sample-rate-hz)))}]
    (when (and here? (< (.getUsableSpace (File. ^String path)) (long full-bytes)))
      (throw (error/error :file-failed
                          (str "The disk of " path " is full, so the recording is not whole" (when frames (str ": it has " frames " frames")) ". Make room, or name a file elsewhere.")
                          {:path path, :result result})))
    result))

(defn- let-go!
  "Removes what listens for the end of a recording."
  [^Recording r]
  (let [{:keys [handlers session]} (.-parts r)]
    (session/not-before-end! session r)
    (run! #(handle/off! (.-server r) %) @handlers)))

(defn- finish!
  "Closes the file of a recording whose synth has ended, once; returns the result, or throws
  what went wrong."
  [^Recording r opts]
  (locking r
    (let [state (.-state r)]
      (when (= :recording (:status @state))
        (let [{b :buffer} (.-parts r)
              s           (.-server r)]
          (swap! state merge
                 (try
                   (try (when-not (options/rehearsal (:executable (handle/effective-options s)))    ; which has no disk thread
                          (await-disk! s opts))
                        (finally
                          (try (buffer/close-buffer! b opts)
                               (finally (buffer/free! b opts)))))
                   {:status :stopped, :result (result-of {:path (.-path r), :parts (.-parts r), :server s})}
                   (catch Throwable e {:status :stopped, :error e})))
          (let-go! r)
          (deliver (.-over r) true)))
      (let [{:keys [result error]} @state]
        (if error (throw error) result)))))

(defn- lost! [^Recording r]
  (locking r
    (when (= :recording (:status @(.-state r)))
      (swap! (.-state r) assoc
             :status :lost
             :error (error/error :recording-lost
                                 (str "The server went away while it recorded " (.-path r) ": what it had written by then is there, the end of the file may not be.")
                                 {:path (.-path r)}))
      (let-go! r)
      (deliver (.-over r) true))))

(defn- check-recording [r]
  (when-not (instance? Recording r)
    (throw (error/error :invalid-argument (str "A recording is what (sc/record! s path) returns, not " (pr-str r) ".") {:argument :recording, :value r}))))

(defn stop-recording!
  "See `espalier.core/stop-recording!`."
  [r opts]
  (check-recording r)
  (let [opts (options/check-call opts #{:timeout-ms})
        {:keys [synth]} (.-parts ^Recording r)]
    (moment/refuse-inside! "stop-recording!")
    (when (= :recording (:status @(.-state ^Recording r)))
      (node/free! synth opts)
      (node/await-ended synth opts))
    (finish! r opts)))

(defn await-recording
  "See `espalier.core/await-recording`."
  [r opts]
  (check-recording r)
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        {:keys [duration-s session]} (.-parts ^Recording r)
        timeout-ms (or timeout-ms (+ (long (:timeout-ms session)) (long (* 1000.0 (double (or duration-s 0))))))]
    (moment/refuse-inside! "await-recording")
    (when-not (deref (.-over ^Recording r) timeout-ms nil)
      (throw (error/error :no-answer (str r " is not over within " timeout-ms " ms. :timeout-ms says how long to wait, (sc/stop-recording! …) ends it.")
                          {:timeout-ms timeout-ms})))
    (finish! r {})))

;; ---- its beginning

(defn- over?
  "Whether a synth is not there any more, asked of the server."
  [s synth]
  (try (node/query-node s (:id synth) {})
       false
       (catch clojure.lang.ExceptionInfo e
         (or (= :espalier.error/no-such-node (error/code e)) (throw e)))))

(defn- watch!
  "Has the file closed when the synth ends by itself or is freed by another, and before the
  server is left; and lets go when the server goes away."
  [^Recording r]
  (let [s (.-server r), {:keys [handlers session synth]} (.-parts r)]
    (session/before-end! session r #(stop-recording! r {}))
    (reset! handlers [(handle/on-osc! s ["/n_end" (:id synth)] (fn [_] (try (finish! r {}) (catch clojure.lang.ExceptionInfo _))) true)
                      (handle/on-lifecycle! s :disconnected (fn [_] (lost! r)))])
    (cond
      (not= :recording (:status @(.-state r))) (let-go! r)
      ;; It may have been over before anybody listened.
      (over? s synth)                          (finish! r {}))))

(defn record!
  "See `espalier.core/record!`."
  [s path opts]
  (options/check-call opts #{:bus :channel-count :header-format :sample-format :duration-s :buffer-frames :timeout-ms})
  (let [{:keys [bus channel-count duration-s buffer-frames] :or {buffer-frames 65536}} opts
        session         (handle/live s)
        _               (moment/refuse-inside! "record!")
        path            (check-file s session path)
        [first-bus n]   (check-bus s session bus channel-count)
        _               (check-duration duration-s)
        _               (check-frames s buffer-frames)
        _               (command/request :b-write {:buffer 0, :path path} (:limits session))
        file-format     (recorder/file-format path opts)
        _               (command/request :b-write (merge {:buffer 0, :path path} file-format) (:limits session))
        opts            (select-keys opts [:timeout-ms])
        synthdef        (recorder/recorder n (some? duration-s))
        _               (synthdefs/add-synthdefs! s synthdef opts)
        b               (buffer/add-buffer! s (merge opts {:frame-count buffer-frames, :channel-count n}))]
    (try
      (buffer/write-buffer! b path (merge opts file-format {:frame-count 0, :leave-open true}))
      (let [synth (node/add-synth! s synthdef (cond-> {:bus first-bus, :buffer b} duration-s (assoc :duration duration-s)) (merge root opts))]
        (doto (Recording. path s
                          {:synth synth, :buffer b, :channel-count n, :duration-s duration-s, :session session, :handlers (atom nil)}
                          (atom {:status :recording}) (promise))
          watch!))
      (catch Throwable e
        (try (buffer/free! b opts) (catch clojure.lang.ExceptionInfo _))
        (throw e)))))

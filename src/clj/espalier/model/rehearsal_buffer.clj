(ns espalier.model.rehearsal-buffer
  "What the commands for buffers do to a rehearsal's world.

  A buffer is known twice, as the audio thread sees it and as the other thread does, which
  is ahead: after `/b_alloc` both are equal only when it is done. The samples are there
  once, so that what either writes is seen by both."
  (:require
   [espalier.model.rehearsal-command :as command]
   [espalier.model.rehearsal-gen :as gen]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-samples :as samples]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

(def ^:private none {:frames 0, :channels 0, :samples 0, :rate 0.0, :data nil})

(defn- place
  "Where the buffer of this number is: one that there is not is number 0 to scsynth."
  [w i]
  (if (<= 0 (long i) (long (:buffer-count (:options w)))) i 0))

(defn- current [w i] (get (:buffers w) (place w i) none))
(defn- prepared [w i] (get (:buffers-ahead w) (place w i) none))
(defn- with-current [w i b] (assoc-in w [:buffers (place w i)] b))
(defn- with-prepared [w i b] (assoc-in w [:buffers-ahead (place w i)] b))

(def ^:private nothing (samples/zeros 0))

(defn- data [w {id :data}] (get (:samples w) id nothing))

(defn- with-data [w {id :data} xs]
  (cond-> w (contains? (:samples w) id) (assoc :samples (assoc (:samples w) id xs))))

(defn- let-go
  "The world without the samples that a buffer had."
  [w id]
  (cond-> w id (update :samples dissoc id)))

(defn- allocated
  "The world with new samples, and the buffer that has them: `[world buffer]`, nil where there
  would be none."
  [w frames channels rate xs]
  (let [n  (message/int32 (* (long frames) (long channels)))
        id (:next-uid w)]
    (when (pos? n)
      [(-> w (update :next-uid inc) (assoc-in [:samples id] (or xs (samples/zeros n))))
       {:frames frames, :channels channels, :samples n, :rate (double rate), :data id}])))

(defn- no-index [w] (world/fail w "index out of range"))

;; ---- at once

(defn- set-samples [w r]
  (let [i (message/int! r), b (current w i), size (long (:samples b))]
    (loop [xs (data w b)]
      (if (< (message/remaining r) 8)
        (with-data w b xs)
        (let [at (message/int! r), x (message/float! r)]
          (if (< -1 at size)
            (recur (samples/with-value xs at x))
            (no-index (with-data w b xs))))))))

(defn- range-of
  "The first and last index of `n` samples from `start` on that are within, or nil."
  [start n size]
  (let [end (message/int32 (+ (long start) (long n) -1))]
    (when-not (or (neg? end) (>= (long start) (long size)))
      [(message/clip (long start) 0 (dec (long size))) (message/clip end 0 (dec (long size)))])))

(defn- floats!
  "At most `n` numbers, as many as there are."
  ^floats [r n]
  (let [n  (long n)
        xs (float-array n)]
    (loop [i 0]
      (if (and (< i n) (message/more? r))
        (do (aset xs i (float (message/float! r))) (recur (inc i)))
        (if (= i n) xs (java.util.Arrays/copyOf xs (int i)))))))

(defn- set-ranges [w r]
  (let [i (message/int! r), b (current w i)]
    (loop [xs (data w b)]
      (if-not (message/more? r)
        (with-data w b xs)
        (let [start (message/int! r), n (message/int! r)]
          (recur (if-let [[from to] (range-of start n (:samples b))]
                   (samples/with-floats xs from (floats! r (inc (- (long to) (long from)))))
                   xs)))))))

(defn- fill [w r]
  (let [i (message/int! r), b (current w i)]
    (loop [xs (data w b)]
      (if (< (message/remaining r) 12)
        (with-data w b xs)
        (let [start (message/int! r), n (message/int! r), x (message/float! r)]
          (recur (if-let [[from to] (range-of start n (:samples b))]
                   (samples/filled xs from (inc (long to)) x)
                   xs)))))))

(defn- query [w r client]
  (let [n (quot (message/remaining r) 4)]
    (loop [reply ["/b_info"]]
      (if (message/more? r)
        (let [i (message/int! r), {:keys [frames channels rate]} (current w i)]
          (recur (conj reply i frames channels (float rate))))
        (if (< 8192 (+ 8 (* 20 n)))
          (world/fail w "buffer overflow")
          (world/reply w client (with-meta reply {:tag-count (inc (* 4 n))})))))))

(defn- get-samples [w r client]
  (let [i (message/int! r), b (current w i), xs (data w b)
        n (quot (message/remaining r) 4)]
    (loop [reply ["/b_set" i]]
      (if (< (message/remaining r) 4)
        (command/answer w client (with-meta reply {:tag-count (+ 2 (* 2 n))}))
        (let [at (message/int! r)]
          (if (< -1 at (long (:samples b)))
            (recur (conj reply at (samples/value xs at)))
            (no-index w)))))))

(defn- get-ranges [w r client]
  (let [i (message/int! r), b (current w i), xs (data w b)]
    (loop [reply ["/b_setn" i]]
      (if-not (message/more? r)
        (command/answer w client reply)
        (let [start (message/int! r), n (message/int! r), end (message/int32 (+ start n -1))]
          (cond
            (or (neg? start) (>= end (long (:samples b))) (> start end)) (no-index w)
            (< 20000 n) (world/fail w "buffer overflow")
            :else       (recur (into (conj reply start n) (samples/floats-of xs start n)))))))))

(def commands
  "By name: functions of the world, a reader and the client."
  {"b_set"   (fn [w r _] (set-samples w r))
   "b_setn"  (fn [w r _] (set-ranges w r))
   "b_fill"  (fn [w r _] (fill w r))
   "b_query" query
   "b_get"   get-samples
   "b_getn"  get-ranges})

;; ---- by the other thread

(defn- done [{:keys [command index]}] ["/done" (str "/" command) index])

(defn- refused
  "The world that says why a file could not be used: nothing is left to finish."
  [w {:keys [command index client]} words]
  (let [words (subs words 0 (min 511 (count words)))]
    [(-> w
         (world/send-now client ["/fail" (str "/" command) words index])
         (world/say (.trim ^String words)))
     nil]))

(defn- not-opened [w item words]
  (refused w item (str "File '" (world/restricted w (:path item)) "' could not be opened: " words "\n")))

(defn- take-over
  "The world in which the audio thread sees the buffer as it was prepared."
  [w {:keys [index buffer freed]}]
  (-> w (with-current index buffer) (let-go freed)))

(def ^:private alloc
  {:begin  (fn [_ r]
             (let [index (message/int! r), frames (message/int! r), channels (message/int! r 1)]
               {:index index, :frames frames, :channels channels, :completion (message/blob! r)}))
   :ahead  (fn [w {:keys [index frames channels] :as item}]
             (let [freed (:data (prepared w index))]
               (if-let [[w b] (allocated w frames channels (:sample-rate w) nil)]
                 [(with-prepared w index b) (assoc item :buffer b, :freed freed)]
                 [(world/say w "/b_alloc: memory allocation failed") nil])))
   :finish take-over
   :done   done})

(def ^:private free
  {:begin  (fn [_ r] {:index (message/int! r), :completion (message/blob! r)})
   :ahead  (fn [w {:keys [index] :as item}]
             (let [{:keys [rate] freed :data} (prepared w index)]
               [(with-prepared w index (assoc none :rate rate)) (assoc item :freed freed)]))
   :finish (fn [w {:keys [index freed]}]
             (-> w (with-current index (assoc none :rate (:rate (current w index)))) (let-go freed)))
   :done   done})

(def ^:private zero
  {:begin  (fn [_ r] {:index (message/int! r), :completion (message/blob! r)})
   :ahead  (fn [w {:keys [index] :as item}]
             (let [b (prepared w index)] [(with-data w b (samples/zeros (:samples b))) item]))
   :finish (fn [w _] w)
   :done   done})

(def ^:private close
  {:begin  (fn [_ r] {:index (message/int! r), :completion (message/blob! r)})
   :ahead  (fn [w item] [w item])
   :finish (fn [w _] w)
   :done   done})

;; ---- sound files

(defn- channels! [r]
  (loop [found []]
    (if (and (message/more? r) (= \i (message/tag r \0)))
      (recur (conj found (message/int! r)))
      found)))

(defn- selection
  "Which frames of a file are meant: `[from n]`."
  [{:keys [offset count]} {:keys [frames]} all?]
  (let [frames (long frames)
        from   (message/clip (long offset) 0 frames)
        n      (long count)]
    [from (if (or (all? n) (> (+ n from) frames)) (- frames from) n)]))

(defn- chosen
  "`n` frames of a sound from `from` on, of these channels or all: a float array."
  ^floats [{:keys [^floats data channels]} from n wanted]
  (let [from (long from), n (long n), channels (long channels)]
    (if (empty? wanted)
      (java.util.Arrays/copyOfRange data (int (* from channels)) (int (* (+ from n) channels)))
      (let [width (count wanted)
            out   (float-array (* n width))]
        (doseq [[to c] (map-indexed vector wanted)
                :let   [to (long to), c (long c)]
                :when  (< -1 c channels)
                i      (range n)
                :let   [i (long i)]]
          (aset out (+ to (* i width)) (aget data (+ c (* channels (+ from i))))))
        out))))

(defn- bad-channel? [wanted sound]
  (some #(<= (long (:channels sound)) (long %)) wanted))

(def ^:private channel-words "Channel index out of range.\n")

(defn- alloc-read [with-channels?]
  {:begin (fn [_ r]
            (let [index (message/int! r)]
              (if-let [path (message/text! r)]
                (let [offset (message/int! r), n (message/int! r), wanted (if with-channels? (channels! r) [])]
                  {:index index, :path path, :offset offset, :count n, :wanted wanted, :completion (message/blob! r)})
                "wrong argument type")))
   :io    (fn [w {:keys [path]}] [:read-sound (world/restricted w path)])
   :ahead (fn [w {:keys [index wanted] sound :result :as item}]
            (let [[from n] (when-not (:error sound) (selection item sound #(<= (long %) 0)))
                  before   (prepared w index)
                  width    (if (seq wanted) (count wanted) (:channels sound))]
              (cond
                (:error sound)               (not-opened w item (:error sound))
                (bad-channel? wanted sound) (refused w item channel-words)
                :else
                (if-let [[w b] (allocated w n width (:rate sound) (samples/of-floats (chosen sound from n wanted)))]
                  [(with-prepared w index b) (assoc (dissoc item :result) :buffer b, :freed (:data before))]
                  [w (assoc (dissoc item :result) :buffer before, :freed nil)]))))
   :finish take-over
   :done   done})

(defn- frames-left ^long [w {:keys [index at]}]
  (- (long (:frames (prepared w index))) (long at)))

(defn- mismatch [w {:keys [path index]} sound]
  (str "Channel mismatch. File '" (world/restricted w path) "' has " (:channels sound) " channels. Buffer has "
       (:channels (prepared w index)) " channels.\n"))

(defn- read-into [with-channels?]
  {:begin (fn [_ r]
            (let [index (message/int! r)]
              (if-let [path (message/text! r)]
                (let [offset (message/int! r), n (message/int! r -1), at (message/int! r), _ (message/int! r)
                      wanted (if with-channels? (channels! r) [])]
                  {:index index, :path path, :offset offset, :count n, :at at, :wanted wanted, :completion (message/blob! r)})
                "wrong argument type")))
   :io    (fn [w {:keys [path] :as item}] (when (pos? (frames-left w item)) [:read-sound (world/restricted w path)]))
   :ahead (fn [w {:keys [index wanted at] sound :result :as item}]
            (let [b (prepared w index)]
              (cond
                (nil? sound)   [w item]
                (:error sound) (not-opened w item (:error sound))

                (and (not with-channels?) (not= (:channels sound) (:channels b)))
                (refused w item (mismatch w item sound))

                (bad-channel? wanted sound) (refused w item channel-words)

                :else
                (let [[from n] (selection item sound #(neg? (long %)))
                      n        (min (long n) (frames-left w item))
                      width    (if (seq wanted) (count wanted) (:channels b))]
                  [(if (pos? n)
                     (with-data w b (samples/with-floats (data w b) (* (max 0 (long at)) (long width)) (chosen sound from n wanted)))
                     w)
                   (assoc (dissoc item :result) :rate (:rate sound))]))))
   :finish (fn [w {:keys [index rate]}] (cond-> w rate (with-current index (assoc (current w index) :rate (double rate)))))
   :done   done})

(def ^:private header-formats
  #{"aiff" "aifc" "riff" "wavex" "wave" "wav" "sun" "ircam" "next" "raw" "mat4" "mat5" "paf" "svx" "nist" "voc" "w64" "pvf" "xi" "htk"
    "sds" "avr" "sd2" "flac" "ogg" "caf" "rf64" "mpeg"})

(def ^:private sample-formats
  #{"uint8" "int8" "int16" "int24" "int32" "float" "double" "mulaw" "ulaw" "alaw" "vorbis" "opus" "mp1" "mp2" "mp3"})

(defn- lower [s] (some-> s String/.toLowerCase))

(defn- written
  "What of a buffer is written: how many frames, and the samples."
  [w {:keys [index count at]}]
  (let [{:keys [frames channels] :as b} (prepared w index)
        at       (long at)
        left     (max 0 (- (long frames) at))
        n        (long count)
        n        (min left (if (or (neg? n) (> n (long frames))) (long frames) n))]
    (samples/floats-of (data w b) (* (max 0 at) (long channels)) (* n (long channels)))))

(def ^:private write
  {:begin (fn [_ r]
            (let [index (message/int! r)]
              (if-let [path (message/text! r)]
                (let [header (message/text! r "aiff"), format (message/text! r "int16")
                      n      (message/int! r -1), at (message/int! r), _ (message/int! r)
                      item   {:index index, :path path, :count n, :at at, :completion (message/blob! r)
                              :header (or (lower header) "aiff"), :sample-format (or (lower format) "int16")}]
                  (if (and (header-formats (:header item)) (sample-formats (:sample-format item)))
                    item
                    "failed"))
                "wrong argument type")))
   :io    (fn [w {:keys [index path header sample-format] :as item}]
            (let [{:keys [channels rate]} (prepared w index)]
              [:write-sound (world/restricted w path)
               {:header header, :sample-format sample-format, :channels channels, :rate (long rate), :data (written w item)}]))
   :ahead (fn [w {:keys [result] :as item}]
            (if (:error result)
              (not-opened w item (:error result))
              [w (dissoc item :result)]))
   :finish (fn [w _] w)
   :done   done})

;; ---- generated

(def ^:private generate
  {:begin  (fn [_ r]
             (let [index (message/int! r)]
               (if-let [routine (message/text! r)]
                 (if-let [arguments (gen/arguments! routine r)]
                   {:index index, :routine routine, :arguments arguments}
                   "buf gen routine not found")
                 "wrong argument type")))
   :ahead  (fn [w {:keys [index routine arguments] :as item}]
             (let [b  (prepared w index)
                   xs (data w b)]
               [(with-data w b
                  (if (= "copy" routine)
                    (let [source (long (:source arguments))
                          other  (current w (if (< -1 source (long (:buffer-count (:options w)))) source 0))]
                      (gen/copied b xs other (data w other) arguments))
                    (gen/generate routine (:channels b) xs arguments)))
                (assoc item :buffer b)]))
   :finish (fn [w {:keys [index buffer]}] (with-current w index buffer))
   :done   done})

(def asynchronous
  "The commands that the other thread works on, by name: see `espalier.model.rehearsal`."
  {"b_alloc"            alloc
   "b_free"             free
   "b_zero"             zero
   "b_close"            close
   "b_allocRead"        (alloc-read false)
   "b_allocReadChannel" (alloc-read true)
   "b_read"             (read-into false)
   "b_readChannel"      (read-into true)
   "b_write"            write
   "b_gen"              generate})

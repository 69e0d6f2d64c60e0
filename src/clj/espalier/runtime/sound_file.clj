(ns espalier.runtime.sound-file
  "What the header of a sound file says, for those that `/b_write` makes most: WAV, AIFF and
  FLAC. Needs no javax.sound, which reduced Java runtimes lack."
  (:require
   [espalier.model.error :refer [error]])
  (:import
   (java.io File FileInputStream)
   (java.nio ByteBuffer ByteOrder)
   (java.nio.channels FileChannel)
   (java.nio.charset StandardCharsets)))

(set! *warn-on-reflection* true)

(defn- fail [code path offset message]
  (throw (error code (str path ": " message) {:path path :offset offset})))

(defn- truncated [path offset wanted size]
  (fail :truncated-wav path offset
        (str "the file ends at byte " size ", in the middle of the " wanted " bytes that begin at byte " offset
             ". (sc/stop-recording! recording), or (sc/close-buffer! b) of the buffer that writes it, completes a file before the server quits.")))

(defn read-at
  "`n` bytes of a channel from `offset`, as a little-endian buffer.

  Throws `:truncated-wav` where they are not there."
  ^ByteBuffer [^FileChannel channel path offset n]
  (let [buffer (.order (ByteBuffer/allocate (int n)) ByteOrder/LITTLE_ENDIAN)]
    (while (and (.hasRemaining buffer)
                (not (neg? (.read channel buffer (+ (long offset) (.position buffer)))))))
    (when (.hasRemaining buffer)
      (truncated path offset n (.size channel)))
    (.flip buffer)))

(defn- ascii [^ByteBuffer buffer offset]
  (String. (.array buffer) (int offset) 4 StandardCharsets/US_ASCII))

(defn- u16 [^ByteBuffer buffer offset] (bit-and 0xffff (.getShort buffer (int offset))))
(defn- u32 [^ByteBuffer buffer offset] (bit-and 0xffffffff (.getInt buffer (int offset))))

(defn- chunks
  "The chunks of the file from byte 12 on, lazily: {:id :offset :size}, `:offset`
  being that of the chunk's first byte behind its header."
  [^FileChannel channel path ^ByteOrder order offset]
  (lazy-seq
    (when (< (long offset) (.size channel))
      (let [header (.order (read-at channel path offset 8) order)
            size   (u32 header 4)
            start  (+ (long offset) 8)]
        (cons {:id (ascii header 0) :offset start :size size}
              (chunks channel path order (+ start size (bit-and size 1))))))))

(defn- find-chunk
  "The first chunk of that id."
  [^FileChannel channel path order id]
  (or (first (filter (comp #{id} :id) (chunks channel path order 12)))
      (fail :truncated-wav path (.size channel)
            (str "the file ends at byte " (.size channel) " without a chunk " (pr-str id) "."))))

;; ---- WAV

(def ^:private encodings
  "Format tag and bits of a sample to the number by which `espalier.wav` knows them."
  {[1 8] 0, [1 16] 1, [1 24] 2, [1 32] 3, [3 32] 4, [3 64] 5})

(defn- read-format
  "What the chunk \"fmt \" says: {:encoding :channels :sample-rate-hz :frame-size}."
  [channel path {:keys [offset size]}]
  (when (< size 16)
    (fail :not-a-wav path offset (str "the format chunk at byte " offset " has " size " bytes, not 16 or more.")))
  (let [b        (read-at channel path offset (min size 40))
        tag      (u16 b 0)
        tag      (if (and (= tag 0xfffe) (<= 26 size)) (u16 b 24) tag)     ; the true one of WAVE_FORMAT_EXTENSIBLE
        channels (u16 b 2)
        bits     (u16 b 14)
        encoding (encodings [tag bits])]
    (when-not (and encoding (pos? channels) (= (u16 b 12) (* channels (quot bits 8))))
      (fail :not-a-wav path offset
            (str "the format chunk at byte " offset " says format " tag ", " channels " channels of " bits
                 " bits, " (u16 b 12) " bytes a frame; this reads integers (format 1) of 8, 16, 24, 32 bits and"
                 " floats (format 3) of 32, 64 bits.")))
    {:encoding encoding :channels channels :sample-rate-hz (u32 b 4) :frame-size (u16 b 12)}))

(defn wav
  "What the header of a WAV file says, a channel of it: `:frames :channels :sample-rate-hz
  :encoding :frame-size`, and the `:offset` of the first sample.

  Throws `:not-a-wav`, `:truncated-wav`, with the byte `:offset` in their data."
  [^FileChannel channel path]
  (when (< (.size channel) 12)
    (truncated path 0 12 (.size channel)))
  (let [riff  (read-at channel path 0 12)
        _     (when-not (= ["RIFF" "WAVE"] [(ascii riff 0) (ascii riff 8)])
                (fail :not-a-wav path 0
                      (str "it begins with " (pr-str (ascii riff 0)) " and " (pr-str (ascii riff 8))
                           ", a WAV file with \"RIFF\" and, at byte 8, \"WAVE\".")))
        found #(find-chunk channel path ByteOrder/LITTLE_ENDIAN %)
        {:keys [frame-size] :as fmt} (read-format channel path (found "fmt "))
        {:keys [offset size]} (found "data")]
    (when (< (.size channel) (+ (long offset) (long size)))
      (truncated path offset size (.size channel)))
    (assoc fmt :frames (quot (long size) (long frame-size)) :offset offset)))

;; ---- AIFF and FLAC

(defn- extended
  "The number of 80 bits at byte `i`, a whole one as sample rates are."
  [^ByteBuffer b i]
  (let [exponent (- (bit-and 0x7fff (long (u16 b i))) 16383)]
    (unsigned-bit-shift-right (.getLong b (int (+ 2 (long i)))) (- 63 exponent))))

(defn- aiff [^FileChannel channel path]
  (let [{:keys [offset]} (find-chunk channel path ByteOrder/BIG_ENDIAN "COMM")
        {at :offset, size :size} (find-chunk channel path ByteOrder/BIG_ENDIAN "SSND")
        b (.order (read-at channel path offset 18) ByteOrder/BIG_ENDIAN)]
    (when (< (.size channel) (+ (long at) (long size)))
      (truncated path at size (.size channel)))
    {:channels (u16 b 0), :frames (u32 b 2), :sample-rate-hz (extended b 8)}))

(defn- flac [channel path]
  (let [b (.order (read-at channel path 18 8) ByteOrder/BIG_ENDIAN)
        x (.getLong b 0)]
    {:sample-rate-hz (unsigned-bit-shift-right x 44)
     :channels       (inc (bit-and 7 (unsigned-bit-shift-right x 41)))
     :frames         (bit-and x 0xfffffffff)}))

(defn call-with-channel
  "Calls `f` with a channel of the file at `path`, and the path as a string.

  Throws `:no-such-file`."
  [path f]
  (let [path (str path)
        file (File. path)]
    (when-not (.isFile file)
      (fail :no-such-file path 0 "there is no such file."))
    (with-open [in (FileInputStream. file)]
      (f (.getChannel in) path))))

(defn facts
  "What the header of a sound file says: `:frames :channels :sample-rate-hz`; nil for a kind
  that is not WAV, AIFF or FLAC.

  Throws `:no-such-file`, and what `wav` throws.

      (facts \"take.wav\")  ;=> {:frames 44100, :channels 2, :sample-rate-hz 44100}"
  [path]
  (call-with-channel
    path
    (fn [^FileChannel channel path]
      (when (<= 12 (.size channel))
        (case (ascii (read-at channel path 0 12) 0)
          "RIFF" (select-keys (wav channel path) [:frames :channels :sample-rate-hz])
          "FORM" (aiff channel path)
          "fLaC" (flac channel path)
          nil)))))

(ns espalier.wav
  "How loud a WAV file is: the check that a recording holds sound.

  Reads RIFF files of integers (8, 16, 24, 32 bits) and of floats (32, 64 bits),
  as `/b_write` and non-realtime rendering make them. Needs no javax.sound, which
  reduced Java runtimes lack."
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
             ". Was its buffer closed with /b_close before the server quit?")))

(defn- read-at
  "`n` bytes from `offset`, as a little-endian buffer."
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

(def ^:private encodings
  "Format tag and bits of a sample to the number by which `sample` knows them."
  {[1 8] 0, [1 16] 1, [1 24] 2, [1 32] 3, [3 32] 4, [3 64] 5})

(defn- sample
  "The sample at byte `i` of the buffer, as a number from -1 to 1."
  ^double [^ByteBuffer b ^long encoding ^long i]
  (let [i (int i)]
    (case encoding
      0 (/ (- (bit-and 0xff (.get b i)) 128) 128.0)
      1 (/ (.getShort b i) 32768.0)
      2 (/ (bit-or (bit-shift-left (long (.get b (+ i 2))) 16) (bit-and 0xffff (.getShort b i))) 8388608.0)
      3 (/ (.getInt b i) 2147483648.0)
      4 (.getFloat b i)
      5 (.getDouble b i))))

(defn- chunks
  "The chunks of the file from byte 12 on, lazily: {:id :offset :size}, `:offset`
  being that of the chunk's first byte behind its header."
  [^FileChannel channel path offset]
  (lazy-seq
    (when (< (long offset) (.size channel))
      (let [header (read-at channel path offset 8)
            size   (u32 header 4)
            start  (+ (long offset) 8)]
        (cons {:id (ascii header 0) :offset start :size size}
              (chunks channel path (+ start size (bit-and size 1))))))))

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

(defn- measure
  "Peak and sum of squares of `n` bytes of samples from `offset`: [peak sum]."
  [channel path {:keys [encoding channels frame-size]} offset n]
  (let [width (quot (long frame-size) (long channels))
        block (* 48 1024)                                  ; a whole number of samples of any width
        end   (+ (long offset) (long n))]
    (loop [at (long offset), peak 0.0, sum 0.0]
      (if (= at end)
        [peak sum]
        (let [size (min block (- end at))
              b    (read-at channel path at size)
              [p s] (loop [i 0, p peak, s sum]
                      (if (= i size)
                        [p s]
                        (let [x (sample b (long encoding) i)]
                          (recur (+ i width) (Math/max p (Math/abs x)) (+ s (* x x))))))]
          (recur (+ at size) (double p) (double s)))))))

(defn level
  "How long and how loud the WAV file at `path` is.

  `path`  a path or `java.io.File`; integers of 8, 16, 24, 32 bits or floats of 32,
          64 bits, any number of channels

  Returns a map:

      :frames          samples of each channel
      :channels        number of channels
      :sample-rate-hz  frames a second
      :duration-s      seconds, a double
      :peak            largest absolute sample of all channels; 1.0 is full scale
      :rms             root of the mean square of all samples of all channels

  Peak and RMS of a file without samples are 0.0.

  Throws `:no-such-file`; `:not-a-wav` for another kind of file or an encoding it
  does not read; `:truncated-wav` where the file ends before what its header
  promises. The last two have the byte `:offset` in their data.

      (level \"demo.wav\")
      ;=> {:frames 330752 :channels 2 :sample-rate-hz 44100 :duration-s 7.5
      ;    :peak 0.42 :rms 0.081}"
  [path]
  (let [file (File. (str path))
        path (str path)]
    (when-not (.isFile file)
      (fail :no-such-file path 0 "there is no such file."))
    (with-open [in (FileInputStream. file)]
      (let [channel (.getChannel in)
            _       (when (< (.size channel) 12)
                      (truncated path 0 12 (.size channel)))
            riff    (read-at channel path 0 12)
            _       (when-not (= ["RIFF" "WAVE"] [(ascii riff 0) (ascii riff 8)])
                      (fail :not-a-wav path 0
                            (str "it begins with " (pr-str (ascii riff 0)) " and " (pr-str (ascii riff 8))
                                 ", a WAV file with \"RIFF\" and, at byte 8, \"WAVE\".")))
            found   (fn [id]
                      (or (first (filter (comp #{id} :id) (chunks channel path 12)))
                          (fail :truncated-wav path (.size channel)
                                (str "the file ends at byte " (.size channel) " without a chunk " (pr-str id) "."))))
            {:keys [frame-size channels sample-rate-hz] :as fmt} (read-format channel path (found "fmt "))
            {:keys [offset size]} (found "data")
            _       (when (< (.size channel) (+ (long offset) (long size)))
                      (truncated path offset size (.size channel)))
            frames  (quot (long size) (long frame-size))
            samples (* frames (long channels))
            [peak sum] (measure channel path fmt offset (* frames (long frame-size)))]
        {:frames         frames
         :channels       channels
         :sample-rate-hz sample-rate-hz
         :duration-s     (if (pos? (long sample-rate-hz)) (/ frames (double sample-rate-hz)) 0.0)
         :peak           peak
         :rms            (if (pos? samples) (Math/sqrt (/ (double sum) samples)) 0.0)}))))

(ns espalier.wav
  "How loud a WAV file is, and its samples: the check that a recording holds sound.

  Reads RIFF files of integers (8, 16, 24, 32 bits) and of floats (32, 64 bits),
  as `/b_write` and non-realtime rendering make them."
  (:require
   [espalier.model.error :refer [error]]
   [espalier.runtime.sound-file :as sound-file])
  (:import
   (java.nio ByteBuffer)))

(set! *warn-on-reflection* true)

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
              b    (sound-file/read-at channel path at size)
              [p s] (loop [i 0, p peak, s sum]
                      (if (= i size)
                        [p s]
                        (let [x (sample b (long encoding) i)]
                          (recur (+ i width) (Math/max p (Math/abs x)) (+ s (* x x))))))]
          (recur (+ at size) (double p) (double s)))))))

(defn- with-wav
  "Calls `f` with a channel of the WAV file at `path`, the path as a string, and what its
  header says."
  [path f]
  (sound-file/call-with-channel path (fn [channel path] (f channel path (sound-file/wav channel path)))))

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
      ;=> {:frames 352800 :channels 2 :sample-rate-hz 44100 :duration-s 8.0
      ;    :peak 0.46 :rms 0.086}"
  [path]
  (with-wav path
    (fn [channel path {:keys [frames channels sample-rate-hz frame-size offset] :as fmt}]
      (let [samples    (* (long frames) (long channels))
            [peak sum] (measure channel path fmt offset (* (long frames) (long frame-size)))]
        {:frames         frames
         :channels       channels
         :sample-rate-hz sample-rate-hz
         :duration-s     (if (pos? (long sample-rate-hz)) (/ frames (double sample-rate-hz)) 0.0)
         :peak           peak
         :rms            (if (pos? samples) (Math/sqrt (/ (double sum) samples)) 0.0)}))))

(defn samples
  "One channel of the WAV file at `path`, a float array.

  `path`     as of `level`
  `channel`  which, from 0 (default 0)

  Throws what `level` throws; `:no-such-channel`.

      (alength (samples \"demo.wav\"))  ;=> 352800"
  (^floats [path] (samples path 0))
  (^floats [path channel-index]
   (with-wav path
     (fn [channel path {:keys [frames channels frame-size offset encoding]}]
       (when-not (and (int? channel-index) (< -1 (long channel-index) (long channels)))
         (throw (error :no-such-channel (str path " has " channels " channels, from 0 on, and none " (pr-str channel-index) ".")
                       {:path path, :channel channel-index, :channels channels})))
       (let [out        (float-array frames)
             frame-size (long frame-size)
             width      (quot frame-size (long channels))
             first-byte (* (long channel-index) width)
             block      4096]
         (loop [done 0]
           (when (< done (long frames))
             (let [n (min block (- (long frames) done))
                   b (sound-file/read-at channel path (+ (long offset) (* done frame-size)) (* n frame-size))]
               (dotimes [i n]
                 (aset out (+ done i) (float (sample b (long encoding) (+ first-byte (* i frame-size))))))
               (recur (+ done n)))))
         out)))))

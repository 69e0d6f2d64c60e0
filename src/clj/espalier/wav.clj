(ns espalier.wav
  "How loud a WAV file is, and how high: the check that a recording holds the sound that
  it should.

  Reads RIFF files of integers (8, 16, 24, 32 bits) and of floats (32, 64 bits),
  as `/b_write` and non-realtime rendering make them."
  (:require
   [espalier.model.error :refer [error]]
   [espalier.runtime.sound-file :as sound-file])
  (:import
   (java.io File FileInputStream)
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
  (let [path (str path)
        file (File. path)]
    (when-not (.isFile file)
      (throw (error :no-such-file (str path ": there is no such file.") {:path path :offset 0})))
    (with-open [in (FileInputStream. file)]
      (let [channel (.getChannel in)]
        (f channel path (sound-file/wav channel path))))))

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

      (alength (samples \"demo.wav\"))  ;=> 330752"
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

;; ---- pitch

(defn- fft!
  "The discrete Fourier transform in place, real and imaginary parts, of a power of two of
  them."
  [^doubles re ^doubles im]
  (let [n    (alength re)
        bits (Long/numberOfTrailingZeros n)]
    (dotimes [i n]
      (let [j (int (unsigned-bit-shift-right (Integer/toUnsignedLong (Integer/reverse i)) (- 32 bits)))]
        (when (< i j)
          (let [r (aget re i), m (aget im i)]
            (aset re i (aget re j)) (aset im i (aget im j))
            (aset re j r) (aset im j m)))))
    (loop [half 1]
      (when (< half n)
        (let [step (/ Math/PI (- half))]
          (dotimes [k half]
            (let [c (Math/cos (* step k)), s (Math/sin (* step k))]
              (loop [i k]
                (when (< i n)
                  (let [j  (+ i half)
                        tr (- (* c (aget re j)) (* s (aget im j)))
                        ti (+ (* c (aget im j)) (* s (aget re j)))]
                    (aset re j (- (aget re i) tr)) (aset im j (- (aget im i) ti))
                    (aset re i (+ (aget re i) tr)) (aset im i (+ (aget im i) ti))
                    (recur (+ i (* 2 half)))))))))
        (recur (* 2 half))))))

(def ^:private most-bins
  "The transform takes no more samples than that." 65536)

(defn spectral-peak-hz
  "The frequency of the strongest partial of a mono signal, in Hz: that of a tone within a
  hundredth of the distance of two bins. Of 0.1 s or more it is near enough for any
  instrument. Uses the first samples, as many as a power of two up to 65,536: under a Hann
  window, by a parabola through the logarithms of the strongest bin and its neighbours.

  `samples`         a float array of 64 samples or more
  `sample-rate-hz`  frames a second

  Returns a double, 0.0 for silence. Throws `:too-few-samples`.

      (spectral-peak-hz (samples \"a4.wav\") 44100)  ;=> 440.003"
  [^floats samples sample-rate-hz]
  (when (< (alength samples) 64)
    (throw (error :too-few-samples (str "A spectrum needs 64 samples or more, and there are " (alength samples) ".") {:samples (alength samples)})))
  (let [n   (int (min (long most-bins) (Long/highestOneBit (alength samples))))
        re  (double-array n)
        im  (double-array n)
        _   (dotimes [i n]
              (aset re i (* (double (aget samples i)) (- 0.5 (* 0.5 (Math/cos (/ (* 2 Math/PI i) n)))))))
        _   (fft! re im)
        power (fn ^double [^long k] (let [r (aget re k), m (aget im k)] (+ (* r r) (* m m))))
        top (long (loop [k 2, best 1]
                    (if (< k (quot n 2))
                      (recur (inc k) (if (< (double (power best)) (double (power k))) k best))
                      best)))]
    (if (zero? (double (power top)))
      0.0
      (let [tiny      Double/MIN_NORMAL
            [a b c]   (map (fn [k] (Math/log (max tiny (double (power k))))) [(dec top) top (inc top)])
            curvature (+ (- (double a) (* 2 (double b))) (double c))
            shift     (if (zero? curvature) 0.0 (/ (* 0.5 (- (double a) (double c))) curvature))]
        (/ (* (+ top shift) (double sample-rate-hz)) n)))))

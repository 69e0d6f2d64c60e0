(ns espalier.model.spectrum
  "What is in samples: how loud they are, and which tones. Pure functions of arrays of
  doubles.")

(set! *warn-on-reflection* true)

(defn peak
  "The largest absolute sample."
  ^double [^doubles xs]
  (areduce xs i found 0.0 (Math/max found (Math/abs (aget xs i)))))

(defn rms
  "The root of the mean square."
  ^double [^doubles xs]
  (Math/sqrt (/ (double (areduce xs i sum 0.0 (+ sum (* (aget xs i) (aget xs i)))))
                (max 1 (alength xs)))))

(defn part
  "The samples from second `from` on, `n` of them, or as many as there are."
  ^doubles [^doubles xs rate-hz from n]
  (let [start (min (alength xs) (long (* (double rate-hz) (double from))))]
    (java.util.Arrays/copyOfRange xs start (min (alength xs) (+ start (long n))))))

(defn- exchange! [^doubles xs i j]
  (let [x (aget xs (int i))]
    (aset xs (int i) (aget xs (int j)))
    (aset xs (int j) x)))

(defn- fft!
  "The Fourier transform of a signal whose size is a power of two, in its place."
  [^doubles re ^doubles im]
  (let [n     (alength re)
        shift (inc (Integer/numberOfLeadingZeros (dec n)))
        place (fn [i] (unsigned-bit-shift-right (bit-and 0xffffffff (Integer/reverse (int i))) (dec shift)))]
    (dotimes [i n]
      (let [j (long (place i))]
        (when (< i j)
          (exchange! re i j)
          (exchange! im i j))))
    (loop [size 2]
      (when (<= size n)
        (let [half (quot size 2)]
          (dotimes [k half]
            (let [angle (/ (* -2.0 Math/PI k) size)
                  c     (Math/cos angle)
                  s     (Math/sin angle)]
              (loop [i k]
                (when (< i n)
                  (let [j (+ i half)
                        a (- (* c (aget re j)) (* s (aget im j)))
                        b (+ (* c (aget im j)) (* s (aget re j)))]
                    (aset re j (- (aget re i) a))
                    (aset im j (- (aget im i) b))
                    (aset re i (+ (aget re i) a))
                    (aset im i (+ (aget im i) b)))
                  (recur (+ i size)))))))
        (recur (* 2 size))))))

(defn magnitudes
  "The magnitude of each frequency below half the sample rate, of the first samples, as many
  as a power of two has, through a Hann window. A sine of amplitude 1 has the magnitude 1."
  ^doubles [^doubles xs]
  (let [n  (Integer/highestOneBit (alength xs))
        re (double-array n)
        im (double-array n)]
    (dotimes [i n]
      (aset re i (* (aget xs i) (- 1.0 (Math/cos (/ (* 2.0 Math/PI i) n))) 2.0)))
    (fft! re im)
    (let [found (double-array (quot n 2))]
      (dotimes [i (alength found)]
        (aset found i (/ (Math/hypot (aget re i) (aget im i)) n)))
      found)))

(defn- summit
  "Where a parabola through three neighbours has its top, from the middle one."
  ^double [^double a ^double b ^double c]
  (let [bend (+ a (* -2.0 b) c)]
    (if (zero? bend) 0.0 (/ (* 0.5 (- a c)) bend))))

(defn strongest
  "The frequency of the strongest tone, or of the strongest within two frequencies, more
  exactly than the lines of the spectrum lie."
  (^double [xs rate-hz] (strongest xs rate-hz nil))
  (^double [^doubles xs rate-hz within]
   (let [found     (magnitudes xs)
         n         (alength found)
         line-hz   (/ (double rate-hz) (* 2 n))
         [low high] (or within [0 (/ rate-hz 2)])
         top       (reduce (fn [a b] (if (< (aget found (int a)) (aget found (int b))) b a))
                           (range (max 1 (long (/ low line-hz)))
                                  (min (dec n) (long (/ high line-hz)))))
         level     (fn [i] (Math/log (+ 1e-12 (aget found (int i)))))]
     (* line-hz (+ (long top) (summit (level (dec (long top))) (level top) (level (inc (long top)))))))))

(ns espalier.wav-test
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.model.error :as error]
   [espalier.wav :as wav])
  (:import
   (java.io ByteArrayOutputStream File)
   (java.nio ByteBuffer ByteOrder)))

(set! *warn-on-reflection* true)

(defn- bytes-le
  "Little-endian bytes of pairs of a width in bytes (or :f32, :f64, a string) and a value."
  ^bytes [& parts]
  (let [out (ByteArrayOutputStream.)
        b   (fn ^ByteBuffer [n] (.order (ByteBuffer/allocate n) ByteOrder/LITTLE_ENDIAN))]
    (doseq [[kind x] (partition 2 parts)]
      (.writeBytes out
                   (case kind
                     :text (.getBytes ^String x "US-ASCII")
                     :raw  x
                     :f32  (.array (.putFloat ^ByteBuffer (b 4) x))
                     :f64  (.array (.putDouble ^ByteBuffer (b 8) x))
                     (byte-array (take kind (.array (.putLong ^ByteBuffer (b 8) (long x))))))))
    (.toByteArray out)))

(defn- riff-chunk ^bytes [id ^bytes body]
  (bytes-le :text id 4 (alength body) :raw body :raw (byte-array (mod (alength body) 2))))

(defn- fmt ^bytes [tag channels rate bits]
  (bytes-le 2 tag 2 channels 4 rate 4 (* rate channels (quot bits 8)) 2 (* channels (quot bits 8)) 2 bits))

(defn- wav-bytes ^bytes [& parts]
  (let [^bytes body (apply bytes-le (interleave (repeat :raw) parts))]
    (bytes-le :text "RIFF" 4 (+ 4 (alength body)) :text "WAVE" :raw body)))

(defn- with-file [^bytes content f]
  (let [file (File/createTempFile "espalier-" ".wav")]
    (try
      (io/copy content file)
      (f (str file))
      (finally (.delete file)))))

(defn- level-of [content] (with-file content wav/level))

(defn- near? [a b] (< (abs (- (double a) (double b))) 1e-6))

(def ^:private wave
  "Two channels of 10000 frames, more than one block: a sine of amplitude 0.5, one of 0.25."
  (for [i (range 10000)
        a [0.5 -0.25]]
    (* a (Math/sin (/ (* 2 Math/PI i) 100)))))

(defn- samples ^bytes [kind scale]
  (apply bytes-le (mapcat (fn [x] [kind (if scale (Math/round (* (double scale) (double x))) x)]) wave)))

(def ^:private wave-rms (Math/sqrt (/ (+ (* 0.5 0.5) (* 0.25 0.25)) 4)))

(deftest reads-every-encoding
  (doseq [[tag bits kind scale tolerance] [[1 16 2 32768 1e-4]
                                           [1 24 3 8388608 1e-6]
                                           [1 32 4 2147483648 1e-8]
                                           [3 32 :f32 nil 1e-7]
                                           [3 64 :f64 nil 1e-12]]]
    (testing (str "format " tag ", " bits " bits")
      (let [{:keys [peak rms] :as seen} (level-of (wav-bytes (riff-chunk "fmt " (fmt tag 2 44100 bits))
                                                             (riff-chunk "data" (samples kind scale))))]
        (is (= {:frames 10000 :channels 2 :sample-rate-hz 44100} (dissoc seen :peak :rms :duration-s)))
        (is (near? (/ 10000 44100.0) (:duration-s seen)))
        (is (< (abs (- 0.5 peak)) tolerance))
        (is (< (abs (- wave-rms rms)) tolerance)))))
  (testing "8 bits, whose zero is 128; an odd data chunk and the padding behind it"
    (is (= {:frames 3 :channels 1 :sample-rate-hz 8000 :duration-s (/ 3 8000.0) :peak 1.0 :rms (Math/sqrt (/ 1.25 3))}
           (level-of (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 8))
                                (riff-chunk "data" (bytes-le 1 128 1 0 1 192)))))))
  (testing "full scale"
    (is (= [1.0 1.0]
           ((juxt :peak :rms) (level-of (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 16))
                                                   (riff-chunk "data" (bytes-le 2 -32768)))))))))

(deftest reads-past-other-chunks
  (is (= {:frames 1 :channels 2 :peak 0.5}
         (-> (level-of (wav-bytes (riff-chunk "JUNK" (byte-array 7))
                                  (riff-chunk "fmt " (bytes-le :raw (fmt 1 2 48000 16) 2 0))
                                  (riff-chunk "fact" (byte-array 4))
                                  (riff-chunk "data" (bytes-le 2 16384 2 -8192))
                                  (riff-chunk "LIST" (byte-array 3))))
             (select-keys [:frames :channels :peak]))))
  (testing "the extensible format, whose true tag comes later"
    (is (= 0.25 (:peak (level-of (wav-bytes (riff-chunk "fmt " (bytes-le :raw (fmt 0xfffe 1 48000 32)
                                                                 2 22 2 32 4 0 2 3 :raw (byte-array 14)))
                                            (riff-chunk "data" (bytes-le :f32 -0.25)))))))))

(deftest measures-silence-and-nothing
  (is (= {:frames 8 :channels 1 :sample-rate-hz 8 :duration-s 1.0 :peak 0.0 :rms 0.0}
         (level-of (wav-bytes (riff-chunk "fmt " (fmt 1 1 8 16)) (riff-chunk "data" (byte-array 16))))))
  (is (= {:frames 0 :channels 2 :sample-rate-hz 8 :duration-s 0.0 :peak 0.0 :rms 0.0}
         (level-of (wav-bytes (riff-chunk "fmt " (fmt 1 2 8 16)) (riff-chunk "data" (byte-array 0)))))))

(defn- failure [f]
  (try (f) nil (catch clojure.lang.ExceptionInfo e e)))

(deftest says-what-is-wrong-and-where
  (doseq [[what code offset content]
          [["empty"                  :truncated-wav 0  (byte-array 0)]
           ["another kind of file"   :not-a-wav     0  (.getBytes "FORM....AIFFCOMM....")]
           ["RIFF but not WAVE"      :not-a-wav     0  (.getBytes "RIFF....AVI LIST....")]
           ["mu-law"                 :not-a-wav     20 (wav-bytes (riff-chunk "fmt " (fmt 7 1 8000 8)) (riff-chunk "data" (byte-array 4)))]
           ["no channels"            :not-a-wav     20 (wav-bytes (riff-chunk "fmt " (fmt 1 0 8000 16)) (riff-chunk "data" (byte-array 4)))]
           ["a short format"         :not-a-wav     20 (wav-bytes (riff-chunk "fmt " (byte-array 4)) (riff-chunk "data" (byte-array 4)))]
           ["half a chunk header"    :truncated-wav 36 (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 16)) (.getBytes "dat"))]
           ["no data chunk"          :truncated-wav 36 (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 16)))]
           ["half its data"          :truncated-wav 44 (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 16))
                                                                  (bytes-le :text "data" 4 100 :raw (byte-array 50)))]]]
    (testing what
      (let [e (with-file content (fn [path] (failure (fn [] (wav/level path)))))]
        (is (= (keyword "espalier.error" (name code)) (some-> e error/code)))
        (is (= offset (:offset (ex-data e))) (ex-message e))
        (is (str/includes? (str (ex-message e)) (str (:path (ex-data e))))))))
  (testing "no file"
    (is (= :espalier.error/no-such-file (some-> (failure (fn [] (wav/level "no/such.wav"))) error/code)))
    (is (= :espalier.error/no-such-file (some-> (failure (fn [] (wav/level "."))) error/code)))))

(deftest every-cut-file-is-a-named-error
  (let [whole (wav-bytes (riff-chunk "fmt " (fmt 1 1 8000 16)) (riff-chunk "data" (byte-array 40)))]
    (doseq [n (range (alength whole))]
      (is (= :espalier.error/truncated-wav
             (some-> (with-file (byte-array (take n whole)) (fn [path] (failure (fn [] (wav/level path))))) error/code))
          (str n " bytes")))))

;; ---- samples

(deftest samples-of-one-channel
  (let [content (wav-bytes (riff-chunk "fmt " (fmt 1 2 44100 16)) (riff-chunk "data" (samples 2 32768)))]
    (doseq [[channel first-of-pair] [[0 0] [1 1]]]
      (let [^floats read-samples (with-file content (fn [path] (wav/samples path channel)))
            expected             (take-nth 2 (drop first-of-pair wave))]
        (is (= 10000 (alength read-samples)))
        (is (every? true? (map (fn [x y] (< (abs (- (double x) (double y))) 1e-4)) expected read-samples)))))
    (is (= (vec (with-file content (fn [path] (wav/samples path 0)))) (vec (with-file content wav/samples))))
    (doseq [channel [2 -1 nil 0.5]]
      (is (= :espalier.error/no-such-channel (some-> (with-file content (fn [path] (failure (fn [] (wav/samples path channel))))) error/code))))
    (is (= :espalier.error/no-such-file (some-> (failure (fn [] (wav/samples "no/such.wav"))) error/code)))))

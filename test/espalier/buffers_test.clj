(ns ^:many-servers espalier.buffers-test
  "Buffers on every kind of server: what a call says that it does, the server must say
  too. One server of each kind, with few buffers, plays all of these."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest do-report is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [code-of error-of refused refuses sent-after]])
  (:import
   (java.io File)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)
   (java.time Duration)
   (java.util Arrays Random)))

(set! *warn-on-reflection* true)

;; ---- the servers

(def ^:private buffer-count 32)

(def ^:private handles (atom []))

(defn- with-each-kind [tests]
  (servers/keeping handles (map #(servers/options % {:buffer-count buffer-count}) servers/kinds) tests))

(use-fixtures :once with-each-kind)

(defn- allocated
  "The numbers of the buffers that the server has."
  [s]
  (into [] (filter #(pos? (long (nth (sc/request! s ["/b_query" %] ["/b_info" %]) 2)))) (range buffer-count)))

(defn- each-server
  "Calls `f` with each server, which has no buffers. One that a test has killed is
  booted again for the next."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (str (name (:engine (datafy s))) " " (name (:protocol (:options (datafy s)))))
      (try (f s)
           (catch Throwable e (do-report {:type :error, :expected nil, :actual e})))
      (is (= :online (sc/boot-status s)))
      (when (= :online (sc/boot-status s))
        (is (= [] (allocated s)) "each test gives back what it takes")
        (when (seq (allocated s)) (sc/reboot! s))))))

(defn- another-than [s] (first (remove #(identical? s %) @handles)))

;; ---- what is seen

(defn- samples
  "All samples of a buffer, as the server has them."
  [b]
  (let [{:keys [frame-count channel-count]} (sc/query-buffer b)]
    (vec (sc/get-sample-range b 0 (* (long frame-count) (long channel-count))))))

(defn- size [b] ((juxt :frame-count :channel-count) (sc/query-buffer b)))

(defn- near?
  "Whether two sequences of numbers are the same within a ten-thousandth, or `most`."
  ([xs ys] (near? 1e-4 xs ys))
  ([most xs ys]
   (and (= (count xs) (count ys))
        (every? true? (map (fn [x y] (<= (abs (- (double x) (double y))) (double most))) xs ys)))))

(defn- open-files
  "The files that the server's process has open."
  [s]
  (set (keep (fn [^File f] (try (str (Files/readSymbolicLink (.toPath f))) (catch java.io.IOException _)))
             (.listFiles (io/file "/proc" (str (servers/pid s)) "fd")))))

(defn- with-files
  "Calls `f` with a function from names to paths in a directory that is deleted then."
  [f]
  (let [directory (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try
      (f (fn [file-name] (str (io/file directory file-name))))
      (finally (run! io/delete-file (reverse (file-seq directory)))))))

(def ^:private stereo
  "Eight frames that every sample format holds exactly or nearly."
  (vec (mapcat (fn [i] [(/ i 16.0) (/ i -8.0)]) (range 8))))

(defn- frames
  "What the stereo file has in its frames from `start` to before `end`, some channels of it."
  ([start end] (frames start end [0 1]))
  ([start end channels] (into [] (mapcat (fn [i] (map #(nth stereo (+ (* 2 (long i)) (long %))) channels))) (range start end))))

(defn- stereo-file! [s path]
  (let [b (sc/add-buffer! s {:samples stereo, :channel-count 2})]
    (sc/write-buffer! b path)
    (sc/free! b)
    path))

;; ---- making

(deftest buffers-are-allocated
  (each-server
    (fn [s]
      (let [a (sc/add-buffer! s {:frame-count 100})
            b (sc/add-buffer! s {:frame-count 64, :channel-count 2, :timeout-ms 2000})
            c (sc/add-buffer! s {:frame-count 1})]
        (is (= {:frame-count 100, :channel-count 1, :sample-rate-hz 44100.0} (sc/query-buffer a)))
        (is (= [[100 1] [64 2] [1 1]] (mapv size [a b c])))
        (is (= (repeat 128 0.0) (samples b)))
        (is (= (set (allocated s)) (set (map :id [a b c]))))
        (is (identical? b (sc/free! b)))
        (is (= [0 0] (subvec (sc/request! s ["/b_query" (:id b)] ["/b_info"]) 2 4)))
        (is (= [[100 1] [1 1]] (mapv size [a c])))
        (run! sc/free! [a c])))))

(deftest buffer-groups-are-rows-of-buffers
  (each-server
    (fn [s]
      (let [g (sc/add-buffer-group! s {:count 4, :frame-count 16, :channel-count 2})
            [a b :as members] (sc/members g)]
        (is (= (map #(+ (long (:id g)) (long %)) (range 4)) (map :id members) (allocated s)))
        (is (= (repeat 4 [16 2]) (map size members)))
        (is (= [a] (sc/members a)))
        (sc/fill-samples! b 0 32 0.5)
        (is (= [(repeat 32 0.0) (repeat 32 0.5)] [(samples a) (samples b)]))
        (refuses s :part-of-group #(sc/free! a))
        (refuses s :no-entity #(sc/query-buffer g))
        (is (identical? g (sc/free! g)))
        (is (= [] (allocated s)))
        (refuses s :freed-entity #(sc/free! g))
        (refuses s :freed-entity #(sc/query-buffer b))))))

(deftest buffers-are-made-of-samples
  (each-server
    (fn [s]
      (doseq [[given kept] [[[1 -2 3N 1/2 0.25M] [1.0 -2.0 3.0 0.5 0.25]]
                            [(range 5) [0.0 1.0 2.0 3.0 4.0]]
                            [(list 0.1 -0.1) [(float 0.1) (float -0.1)]]
                            [(map #(/ % 4.0) (range 3)) [0.0 0.25 0.5]]
                            [(double-array [0.5 1.5]) [0.5 1.5]]
                            [(long-array [7 8 9]) [7.0 8.0 9.0]]
                            [(float-array [0.5 ##Inf ##-Inf]) [0.5 ##Inf ##-Inf]]
                            [[##Inf 3.4028234663852886E38 ##-Inf] [##Inf Float/MAX_VALUE ##-Inf]]]]
        (testing (pr-str given)
          (let [b (try (sc/add-buffer! s {:samples given}) (catch Throwable e (is (nil? (ex-message e)))))]
            (when b
              (is (= [(count kept) 1] (size b)))
              (is (= (mapv unchecked-float kept) (samples b)))
              (sc/free! b)))))
      (let [b (sc/add-buffer! s {:samples stereo, :channel-count 2})]
        (is (= [8 2] (size b)))
        (is (= stereo (mapv double (samples b))))
        (sc/free! b)))))

(defn- random-floats
  "Floats of all kinds of bits but NaN, the same at each call."
  ^floats [n]
  (let [random (Random. 7)
        out    (float-array n)]
    (dotimes [i n]
      (let [x (Float/intBitsToFloat (.nextInt random))]
        (aset out i (if (Float/isNaN x) (float 0.5) x))))
    (doseq [[i x] (map-indexed vector [-0.0 Float/MIN_VALUE Float/MAX_VALUE Float/POSITIVE_INFINITY])
            :when (< (long i) (long n))]
      (aset out (int i) (float x)))
    out))

;; On servers of its own, for a trace that holds millions of samples is slow to look through.
(deftest float-arrays-of-any-length-come-back-bit-for-bit
  (servers/each-kind servers/kinds {}
    (fn [s]
      (doseq [n [1 4096 4097 100000 1000000]]
        (testing n
          (let [floats (random-floats n)
                b      (sc/add-buffer! s {:samples floats})]
            (is (= [n 1] (size b)))
            (is (Arrays/equals floats (sc/get-sample-range b 0 n)))
            (sc/free! b))))
      (testing "into a part of a buffer, in pieces"
        (let [floats (random-floats 10000)
              b      (sc/add-buffer! s {:frame-count 6000, :channel-count 2})]
          (is (identical? b (sc/set-sample-range! b 1000 floats)))
          (is (Arrays/equals floats (sc/get-sample-range b 1000 10000)))
          (is (= (repeat 1000 0.0) (seq (sc/get-sample-range b 0 1000)) (seq (sc/get-sample-range b 11000 1000))))
          (is (Arrays/equals (Arrays/copyOfRange floats 3000 8000) (sc/get-sample-range b 4000 5000)))
          (testing "of doubles"
            (aset floats 3 (float 0.5))
            (sc/set-sample-range! b 0 (map double floats))
            (is (Arrays/equals floats (sc/get-sample-range b 0 10000))))
          (sc/free! b))))))

;; ---- samples

(deftest samples-are-set-filled-and-asked
  (each-server
    (fn [s]
      (let [b (sc/add-buffer! s {:frame-count 8})
            all #(mapv double (samples b))]
        (is (identical? b (sc/set-samples! b {0 0.5, 7 -0.5, 3 1/4})))
        (is (= [0.5 0.0 0.0 0.25 0.0 0.0 0.0 -0.5] (all)))
        (is (= {0 0.5, 7 -0.5, 1 0.0} (sc/get-samples b [0 7 1])))
        (sc/set-samples! b {1 0.1} {:confirm true})
        (is (= {1 0.1} (sc/get-samples b [1])))
        (is (identical? b (sc/fill-samples! b 2 3 9)))
        (is (= [9.0 9.0 9.0 0.0] (subvec (all) 2 6)))
        (sc/fill-samples! b 0 8 ##Inf {:confirm true})
        (is (= (repeat 8 ##Inf) (all)))
        (is (identical? b (sc/set-sample-range! b 4 [1 2 3 4])))
        (is (= [1.0 2.0 3.0 4.0] (subvec (all) 4)))
        (is (= [2.0 3.0] (mapv double (sc/get-sample-range b 5 2))))
        (is (= b (sc/set-sample-range! b 0 [])))
        (is (identical? b (sc/zero-buffer! b)))
        (is (= (repeat 8 0.0) (all)))
        (sc/free! b)))))

(deftest buffers-of-any-size-are-zeroed
  (each-server
    (fn [s]
      (doseq [[n channels] [[1 1] [3 1] [63 1] [64 1] [21 3] [32 2] [1000 2]]]
        (testing [n channels]
          (let [all (* (long n) (long channels))
                b   (sc/add-buffer! s {:samples (repeat all 1), :channel-count channels})]
            (is (= (repeat all 1.0) (samples b)))
            (is (identical? b (sc/zero-buffer! b)))
            (is (= (repeat all 0.0) (samples b)))
            (sc/free! b))))
      (testing "the members of a group too"
        (let [g (sc/add-buffer-group! s {:count 2, :frame-count 4})
              [a b] (sc/members g)]
          (run! #(sc/fill-samples! % 0 4 1) [a b])
          (sc/zero-buffer! b)
          (is (= [(repeat 4 1.0) (repeat 4 0.0)] [(samples a) (samples b)]))
          (sc/free! g))))))

(deftest what-a-moment-makes-is-as-it-is-written
  (each-server
    (fn [s]
      (let [[a b] (sc/at s nil
                    (let [a (sc/add-buffer! s {:samples [1 2 3 4]})
                          b (sc/add-buffer! s {:frame-count 4})]
                      (sc/fill-samples! b 0 4 0.5)
                      (sc/copy-buffer! a b {:from-sample 1, :to-sample 2, :sample-count 2})
                      [a b]))]
        (is (= [[1.0 2.0 3.0 4.0] [0.5 0.5 2.0 3.0]] [(samples a) (samples b)]))
        (sc/at s nil (sc/free! a) (sc/free! b))
        (refuses s :freed-entity #(sc/query-buffer a))))))

;; ---- generated

(def ^:private tau (* 2 Math/PI))

(defn- sines
  "The sum of sines `[cycles amplitude phase]` in `n` samples."
  [n parts]
  (mapv (fn [i] (reduce + (map (fn [[cycles amplitude phase]]
                                 (* (double amplitude) (Math/sin (+ (double phase) (/ (* tau (double cycles) (long i)) (long n))))))
                               parts)))
        (range n)))

(defn- chebyshev
  "The sum of Chebyshev polynomials, each moved so that it is 0 in the middle, in `n`
  samples from -1 to 1."
  [n amplitudes]
  (let [t (fn [k x] (Math/cos (* (long k) (Math/acos (double x)))))]
    (mapv (fn [i]
            (let [x (+ -1.0 (/ (* 2.0 (long i)) (long n)))]
              (reduce + (map-indexed (fn [k a] (* (double a) (- (t (inc (long k)) x) (t (inc (long k)) 0.0)))) amplitudes))))
          (range n))))

(defn- to-peak [peak xs]
  (let [top (reduce max (map abs xs))]
    (mapv #(* (double peak) (/ (double %) (double top))) xs)))

(deftest buffers-are-generated
  (each-server
    (fn [s]
      (let [n     256
            b     (sc/add-buffer! s {:frame-count n})
            plain {:normalize false, :wavetable false}]
        (is (identical? b (sc/generate! b :sine1 (merge plain {:amplitudes [1 0.5 0 0.25]}))))
        (is (near? (sines n [[1 1 0] [2 0.5 0] [4 0.25 0]]) (samples b)))
        (sc/generate! b :sine2 (merge plain {:frequencies [1.5 3], :amplitudes [0.5 0.25]}))
        (is (near? (sines n [[1.5 0.5 0] [3 0.25 0]]) (samples b)))
        (sc/generate! b :sine3 (merge plain {:frequencies [1 5], :amplitudes [0.5 -0.5], :phases [0.25 1]}))
        (is (near? (sines n [[1 0.5 0.25] [5 -0.5 1]]) (samples b)))
        (testing "on top of what is there"
          (sc/generate! b :sine1 (merge plain {:amplitudes [1]}))
          (sc/generate! b :sine1 (merge plain {:amplitudes [0 0.5], :clear false}))
          (is (near? (sines n [[1 1 0] [2 0.5 0]]) (samples b))))
        (testing "with its peak at 1"
          (sc/generate! b :sine1 {:amplitudes [1 0.5], :wavetable false})
          (is (near? (to-peak 1 (sines n [[1 1 0] [2 0.5 0]])) (samples b))))
        (testing "as polynomials"
          (sc/generate! b :cheby (merge plain {:amplitudes [0.5 0 0.25]}))
          (is (near? (chebyshev n [0.5 0 0.25]) (samples b)))
          (sc/generate! b :cheby (merge plain {:amplitudes [1 0.5 -0.25 0.125]}))
          (is (near? (chebyshev n [1 0.5 -0.25 0.125]) (samples b))))
        (testing "as a wavetable, whose pairs add up to the samples"
          (sc/generate! b :sine1 {:amplitudes [1]})
          (is (near? (sines (/ n 2) [[1 1 0]]) (map (fn [[x y]] (+ (double x) (double y))) (partition 2 (samples b))))))
        (sc/free! b)))))

(deftest buffers-are-copied
  (each-server
    (fn [s]
      (let [a (sc/add-buffer! s {:samples (range 1 9)})
            b (sc/add-buffer! s {:frame-count 8})]
        (is (identical? b (sc/copy-buffer! a b)))
        (is (= (samples a) (samples b)))
        (sc/zero-buffer! b)
        (sc/copy-buffer! a b {:from-sample 2, :to-sample 5, :sample-count 2})
        (is (= [0.0 0.0 0.0 0.0 0.0 3.0 4.0 0.0] (samples b)))
        (sc/copy-buffer! a b {:to-sample 6})
        (is (= [1.0 2.0] (subvec (samples b) 6)) "as many as there is room for")
        (is (= (mapv float (range 1 9)) (samples a)))
        (run! sc/free! [a b])))))

(deftest buffers-are-normalized
  (each-server
    (fn [s]
      (let [b (sc/add-buffer! s {:samples [0.1 -0.5 0.25 0]})]
        (is (identical? b (sc/normalize-buffer! b)))
        (is (near? [0.2 -1 0.5 0] (samples b)))
        (sc/normalize-buffer! b {:peak 0.25})
        (is (near? [0.05 -0.25 0.125 0] (samples b)))
        (sc/free! b)
        (let [b (sc/add-buffer! s {:frame-count 256})]
          (sc/generate! b :sine1 {:amplitudes [0.25], :normalize false})
          (sc/normalize-buffer! b {:wavetable true, :peak 0.5})
          (is (near? (sines 128 [[1 0.5 0]]) (map (fn [[x y]] (+ (double x) (double y))) (partition 2 (samples b)))))
          (sc/free! b))))))

;; ---- files

(deftest buffers-are-made-of-files
  (each-server
    (fn [s]
      (with-files
        (fn [path]
          (let [file (stereo-file! s (path "stereo.wav"))]
            (doseq [[options kept-size kept]
                    [[{} [8 2] stereo]
                     [{:start-frame 2, :frame-count 3} [3 2] (frames 2 5)]
                     [{:start-frame 6} [2 2] (frames 6 8)]
                     [{:channels [1]} [8 1] (frames 0 8 [1])]
                     [{:channels [1 0], :start-frame 1, :frame-count 4} [4 2] (frames 1 5 [1 0])]
                     [{:channels [0 0 1]} [8 3] (frames 0 8 [0 0 1])]]]
              (testing options
                (let [b (sc/add-buffer! s (assoc options :path file))]
                  (is (= kept-size (size b)))
                  (is (= kept (mapv double (samples b))))
                  (is (= 44100.0 (:sample-rate-hz (sc/query-buffer b))))
                  (sc/free! b))))
            (testing "a File for a path"
              (let [b (sc/add-buffer! s {:path (io/file file)})]
                (is (= [8 2] (size b)))
                (sc/free! b)))))))))

(deftest buffers-are-written-in-many-formats
  (each-server
    (fn [s]
      (with-files
        (fn [path]
          (let [a (sc/add-buffer! s {:samples stereo, :channel-count 2})]
            (doseq [[header sample exact?] [["wav" "float" true] ["wav" "int16" false] ["wav" "int24" false] ["aiff" "int16" false]
                                            [:aiff :float true] ["w64" "double" true] ["caf" "int32" false] ["flac" "int24" false]
                                            ["wav" "uint8" false]]
                    :let [file (path (str (name header) "." (name sample)))]]
              (testing [header sample]
                (is (identical? a (sc/write-buffer! a file {:header-format header, :sample-format sample})))
                (let [b (sc/add-buffer! s {:path file})]
                  (is (= [8 2] (size b)))
                  (is (near? (if exact? 0 0.01) stereo (samples b)))
                  (sc/free! b))))
            (testing "a part"
              (sc/write-buffer! a (path "part.wav") {:start-frame 3, :frame-count 2})
              (let [b (sc/add-buffer! s {:path (path "part.wav")})]
                (is (= (frames 3 5) (mapv double (samples b))))
                (sc/free! b)))
            (testing "and goes on being written, until it is closed"
              (let [file (path "open.wav")]
                (sc/write-buffer! a file {:leave-open true, :frame-count 4})
                (is (contains? (open-files s) file))
                (is (identical? a (sc/close-buffer! a)))
                (is (not (contains? (open-files s) file)))
                (let [b (sc/add-buffer! s {:path file})]
                  (is (= (frames 0 4) (mapv double (samples b))))
                  (sc/free! b))))
            (sc/free! a)))))))

(deftest files-are-read-into-buffers
  (each-server
    (fn [s]
      (with-files
        (fn [path]
          (let [file (stereo-file! s (path "stereo.wav"))
                b    (sc/add-buffer! s {:frame-count 8, :channel-count 2})
                mono (sc/add-buffer! s {:frame-count 8})
                small (sc/add-buffer! s {:frame-count 3, :channel-count 2})
                all  #(mapv double (samples %))]
            (is (identical? b (sc/read-buffer! b file)))
            (is (= stereo (all b)))
            (sc/zero-buffer! b)
            (sc/read-buffer! b file {:start-frame 1, :frame-count 2, :buffer-frame 5})
            (is (= (concat (repeat 10 0.0) (frames 1 3) (repeat 2 0.0)) (all b)))
            (testing "as many as fit"
              (sc/read-buffer! small file {:start-frame 4})
              (is (= (frames 4 7) (all small))))
            (testing "cued for DiskIn, with the file open until it is closed"
              (is (identical? small (sc/cue-buffer! small file {:start-frame 2})))
              (is (= (frames 2 5) (all small)))
              (is (contains? (open-files s) file))
              (is (identical? small (sc/close-buffer! small)))
              (is (not (contains? (open-files s) file)))
              (is (= small (sc/close-buffer! small)) "harmless")
              (sc/cue-buffer! small file)
              (is (contains? (open-files s) file))
              (sc/free! small)
              (is (not (contains? (open-files s) file)) "a buffer that goes takes its file along"))
            (testing "what the server refuses is named"
              (is (= :file-failed (error-of #(sc/read-buffer! mono file))) "two channels into one")
              (is (= :file-failed (error-of #(sc/read-buffer! b (path "none.wav"))))))
            (run! sc/free! [b mono])))))))

(deftest some-channels-of-files-are-read-into-buffers
  (each-server
    (fn [s]
      (with-files
        (fn [path]
          (let [file (stereo-file! s (path "stereo.wav"))
                b    (sc/add-buffer! s {:frame-count 8, :channel-count 2})
                mono (sc/add-buffer! s {:frame-count 8})]
            (is (= :none (code-of #(sc/read-buffer! mono file {:channels [1]}))))
            (is (= (frames 0 8 [1]) (mapv double (samples mono))))
            (is (= :none (code-of #(sc/read-buffer! b file {:channels [1 0], :frame-count 2, :start-frame 3}))))
            (is (= (frames 3 5 [1 0]) (subvec (mapv double (samples b)) 0 4)))
            (is (= :file-failed (code-of #(sc/read-buffer! mono file {:channels [2]}))))
            ;; More channels than the buffer has write beyond it: scsynth dies.
            (refuses s :refused-command #(sc/read-buffer! mono file {:channels [0 1]}))
            (run! sc/free! [b mono])))))))

(deftest files-that-cannot-be-are-named-and-the-number-comes-back
  (each-server
    (fn [s]
      (with-files
        (fn [path]
          (spit (path "text.wav") "this is no sound")
          (let [file  (stereo-file! s (path "stereo.wav"))
                b     (sc/add-buffer! s {:frame-count 8})
                taken #(let [b (sc/add-buffer! s {:frame-count 1})] (sc/free! b) (:id b))
                id    (taken)]
            (doseq [call [#(sc/add-buffer! s {:path (path "none.wav")})
                          #(sc/add-buffer! s {:path (path "text.wav")})
                          #(sc/add-buffer! s {:path file, :channels [2]})
                          #(sc/write-buffer! b (path "no/such/directory/a.wav"))
                          #(sc/write-buffer! b (path "a.flac") {:header-format "flac", :sample-format "float"})]]
              (is (= :file-failed (error-of call)))
              (is (= id (taken))))
            (sc/free! b)))))))

;; ---- numbers

(deftest a-number-comes-again-when-the-server-has-freed-it
  (each-server
    (fn [s]
      (let [a    (sc/add-buffer! s {:frame-count 64})
            done (promise)
            id   (:id a)]
        (sc/free! a)
        (let [b (sc/add-buffer! s {:frame-count 32})]
          (is (= id (:id b)) "free! has waited")
          (is (not= a b) "another buffer, though of the same number")
          (refuses s :freed-entity #(sc/set-samples! a {0 1}))
          (refuses s :refused-command #(sc/set-samples! b {32 1}))
          (sc/on-osc! s ["/done" "/b_free" id] (fn [_] (deliver done true)) {:once true})
          (sc/at s (Duration/ofMillis 250) (sc/free! b))
          (refuses s :freed-entity #(sc/query-buffer b))
          (let [c (sc/add-buffer! s {:frame-count 16})]
            (is (not= id (:id c)) "not while the server still has it")
            (is (contains? (set (allocated s)) id))
            (is (true? (deref done 5000 false)))
            (is (= [16 1] (size c)))
            (let [d (sc/add-buffer! s {:frame-count 8})]
              (is (= id (:id d)))
              (run! sc/free! [c d]))))))))

(deftest numbers-that-are-used-up-are-named-and-come-back
  (each-server
    (fn [s]
      (refuses s :no-free-ids #(sc/add-buffer-group! s {:count (inc (long buffer-count)), :frame-count 1}))
      (let [all  (sc/add-buffer-group! s {:count buffer-count, :frame-count 2})
            n    (:n (peek (sc/trace s {:limit 1})))
            full (servers/thrown #(sc/add-buffer! s {:frame-count 1}))]
        (is (= [:espalier.error/no-free-ids 0] ((juxt :espalier/error :available) (ex-data full))))
        (is (str/includes? (ex-message full) ":buffer-count"))
        (is (= [] (sent-after s n)))
        (is (= (range buffer-count) (allocated s)))
        (sc/free! all)
        (is (= [] (allocated s))))
      (testing "a moment that throws gives back what it took, and sends nothing"
        (let [n (:n (peek (sc/trace s {:limit 1})))]
          (is (thrown-with-msg? Exception #"on purpose"
                                (sc/at s nil
                                  (sc/add-buffer-group! s {:count buffer-count, :frame-count 1})
                                  (throw (ex-info "on purpose" {})))))
          (is (= [] (sent-after s n)))
          (is (= buffer-count (:count (sc/free! (sc/add-buffer-group! s {:count buffer-count, :frame-count 1}))))))))))

(deftest a-moment-that-throws-frees-no-buffer
  (each-server
    (fn [s]
      (let [b (sc/add-buffer! s {:frame-count 8})]
        (is (thrown-with-msg? Exception #"on purpose" (sc/at s nil (sc/free! b) (throw (ex-info "on purpose" {})))))
        (is (= [8 1] (size b)))
        (is (identical? b (sc/free! b)))))))

  ;; ---- values

(deftest buffers-are-values
  (each-server
    (fn [s]
      (let [b (sc/add-buffer! s {:frame-count 8})
            g (sc/add-buffer-group! s {:count 3, :frame-count 8})]
        (is (= (str "#<Buffer " (:id b) ">") (str b) (pr-str b)))
        (is (= (str "#<BufferGroup " (:id g) ".." (+ 2 (long (:id g))) ">") (pr-str g)))
        (is (= (str "#<Buffer " (:id g) ">") (pr-str (first (sc/members g)))))
        (is (= (str "{:kick #<Buffer " (:id b) ">}") (pr-str {:kick b})))
        (is (= (sc/members g) (sc/members g)))
        (is (= [:b :g] (map {b :b, g :g} [b g])))
        (is (= 3 (count (set (sc/members g)))))
        (is (sc/entity? g))
        (is (= [:buffer s] ((juxt :kind :server) b)))
        (testing "in a message that is sent as it is"
          (sc/send! s ["/b_set" b 3 0.75])
          (is (= {3 0.75} (sc/get-samples b [3]))))
        (run! sc/free! [b g])))))

  ;; ---- bad input

(deftest bad-buffers-are-named-and-take-no-number
  (each-server
    (fn [s]
      (refused s
        (for [[code options]
              [[:invalid-argument {}]
               [:invalid-argument {:frame-count 0}]
               [:invalid-argument {:frame-count -1}]
               [:invalid-argument {:frame-count 1.5}]
               [:invalid-argument {:frame-count "8"}]
               [:invalid-argument {:frame-count 3000000000}]
               [:invalid-argument {:frame-count 8, :channel-count 0}]
               [:refused-command {:frame-count 600000000}]
               [:refused-command {:frame-count 2000000000, :channel-count 2000000000}]
               [:unknown-option {:frames 8}]
               [:invalid-option {:path "/tmp/a.wav", :samples [1]}]
               [:invalid-option {:frame-count 8, :channels [0]}]
               [:invalid-option {:frame-count 8, :start-frame 1}]
               [:invalid-argument {:path ""}]
               [:invalid-argument {:path 5}]
               [:invalid-argument {:path "/tmp/a\u0000b.wav"}]
               [:invalid-argument {:path "/tmp/a.wav", :channels []}]
               [:invalid-argument {:path "/tmp/a.wav", :channels [-1]}]
               [:invalid-argument {:path "/tmp/a.wav", :start-frame -1}]
               [:invalid-argument {:path "/tmp/a.wav", :frame-count -1}]
               [:invalid-argument {:samples [1 2 3], :channel-count 2}]
               [:invalid-argument {:samples [1 2], :channel-count 0}]
               [:invalid-argument {:samples []}]
               [:invalid-argument {:samples 5}]
               [:invalid-argument {:samples "12"}]
               [:invalid-argument {:samples [0 ##NaN]}]
               [:invalid-argument {:samples (float-array [0 Float/NaN])}]
               [:invalid-argument {:samples [nil]}]
               [:invalid-argument {:samples ["a"]}]
               [:invalid-argument {:samples [1e39]}]
               [:invalid-argument {:samples [3.45e38]}]
               [:invalid-argument {:samples [true]}]
               [:invalid-argument {:samples (object-array [1 nil])}]]]
          [code #(sc/add-buffer! s options) options]))
      (refused s
        (for [[code options] [[:invalid-argument {:frame-count 8}]
                              [:invalid-argument {:count 0, :frame-count 8}]
                              [:invalid-argument {:count 2}]
                              [:invalid-argument {:count 2, :frame-count 0}]
                              [:unknown-option {:count 2, :frame-count 8, :samples [1]}]]]
          [code #(sc/add-buffer-group! s options) options]))
      (is (= buffer-count (:count (sc/free! (sc/add-buffer-group! s {:count buffer-count, :frame-count 1}))))
          "every number is free still"))))

(deftest bad-places-and-values-are-named
  (each-server
    (fn [s]
      (let [b (sc/add-buffer! s {:samples (range 8), :channel-count 2})
            g (sc/add-buffer-group! s {:count 2, :frame-count 8})
            foreign (sc/add-buffer! (another-than s) {:frame-count 8})]
        (refused s
          [[:refused-command #(sc/set-samples! b {8 1})]
           [:refused-command #(sc/set-samples! b {0 1, 2147483646 1})]
           [:invalid-argument #(sc/set-samples! b {-1 1})]
           [:invalid-argument #(sc/set-samples! b {3000000000 1})]
           [:invalid-argument #(sc/set-samples! b {0.5 1})]
           [:invalid-argument #(sc/set-samples! b {0 ##NaN})]
           [:invalid-argument #(sc/set-samples! b {0 1e39})]
           [:invalid-argument #(sc/set-samples! b {0 3000000000})]
           [:invalid-argument #(sc/set-samples! b {0 nil})]
           [:invalid-argument #(sc/set-samples! b {0 [1 2]})]
           [:invalid-argument #(sc/set-samples! b {})]
           [:invalid-argument #(sc/set-samples! b 5)]
           [:refused-command #(sc/get-samples b [8])]
           [:invalid-argument #(sc/get-samples b [-1])]
           [:invalid-argument #(sc/get-samples b [])]
           [:refused-command #(sc/get-sample-range b 0 9)]
           [:refused-command #(sc/get-sample-range b 8 1)]
           [:refused-command #(sc/get-sample-range b 2147483646 2147483646)]
           [:invalid-argument #(sc/get-sample-range b -1 2)]
           [:invalid-argument #(sc/get-sample-range b 0 -1)]
           [:invalid-argument #(sc/get-sample-range b 0 nil)]
           [:refused-command #(sc/set-sample-range! b 6 [1 2 3])]
           [:refused-command #(sc/set-sample-range! b 0 (float-array 100000))]
           [:invalid-argument #(sc/set-sample-range! b -1 [1])]
           [:invalid-argument #(sc/set-sample-range! b 0 [##NaN])]
           [:invalid-argument #(sc/set-sample-range! b 0 nil)]
           [:invalid-argument #(sc/set-sample-range! b nil [1])]
           [:refused-command #(sc/fill-samples! b 1 8 0)]
           [:invalid-argument #(sc/fill-samples! b 0 0 0)]
           [:invalid-argument #(sc/fill-samples! b 0 -1 0)]
           [:invalid-argument #(sc/fill-samples! b -1 1 0)]
           [:invalid-argument #(sc/fill-samples! b 0 1 ##NaN)]
           [:invalid-argument #(sc/generate! b :sinus {:amplitudes [1]})]
           [:invalid-argument #(sc/generate! b :sine1 {})]
           [:invalid-argument #(sc/generate! b :sine1 {:amplitudes []})]
           [:invalid-argument #(sc/generate! b :sine1 {:amplitudes [##NaN]})]
           [:invalid-argument #(sc/generate! b :sine1 {:amplitudes 1})]
           [:invalid-argument #(sc/generate! b :sine1 {:amplitudes [1], :phases [0]})]
           [:invalid-argument #(sc/generate! b :sine2 {:amplitudes [1]})]
           [:invalid-argument #(sc/generate! b :sine2 {:amplitudes [1], :frequencies [1 2]})]
           [:invalid-argument #(sc/generate! b :sine3 {:amplitudes [1], :frequencies [1]})]
           [:unknown-option #(sc/generate! b :sine1 {:amplitudes [1], :normalise true})]
           [:invalid-argument #(sc/copy-buffer! b b {:from-sample -1})]
           [:invalid-argument #(sc/copy-buffer! b b {:to-sample 0.5})]
           [:invalid-argument #(sc/copy-buffer! b b {:sample-count ##NaN})]
           [:foreign-entity #(sc/copy-buffer! foreign b)]
           [:no-entity #(sc/copy-buffer! 0 b)]
           [:no-entity #(sc/copy-buffer! g b)]
           [:invalid-argument #(sc/normalize-buffer! b {:peak ##NaN})]
           [:invalid-argument #(sc/write-buffer! b "/tmp/espalier-none.wav" {:header-format "wave"})]
           [:invalid-argument #(sc/write-buffer! b "/tmp/espalier-none.wav" {:sample-format "int17"})]
           [:invalid-argument #(sc/write-buffer! b "/tmp/espalier-none.wav" {:frame-count -2})]
           [:invalid-argument #(sc/write-buffer! b "")]
           [:invalid-argument #(sc/read-buffer! b nil)]
           [:invalid-argument #(sc/read-buffer! b "/tmp/espalier-none.wav" {:start-frame -1})]
           [:invalid-argument #(sc/read-buffer! b "/tmp/espalier-none.wav" {:leave-open "yes"})]
           [:unknown-option #(sc/cue-buffer! b "/tmp/espalier-none.wav" {:buffer-frame 1})]
           [:no-entity #(sc/zero-buffer! g)]
           [:no-entity #(sc/zero-buffer! (:id b))]
           [:no-entity #(sc/set-samples! (sc/default-group s) {0 1})]
           [:question-in-moment #(sc/at s nil (sc/query-buffer b))]
           [:question-in-moment #(sc/at s nil (sc/get-samples b [0]))]
           [:question-in-moment #(sc/at s nil (sc/get-sample-range b 0 1))]
           [:moment-of-other-server #(sc/at (another-than s) nil (sc/zero-buffer! b))]
           [:invalid-argument #(sc/command! s :b-query {:buffers [buffer-count]})]
           [:invalid-argument #(sc/command! s :b-query {:buffers [-1]})]
           [:invalid-argument #(sc/command! s :b-zero {:buffer 100000})]
           [:invalid-argument #(sc/command! s :b-free {:buffer 2147483647})]])
        (is (= (mapv float (range 8)) (samples b)))
        (run! sc/free! [b g foreign])
        (refused s (for [call [#(sc/query-buffer b) #(sc/free! b) #(sc/zero-buffer! b) #(sc/set-samples! b {0 1}) #(sc/get-samples b [0])
                               #(sc/set-sample-range! b 0 [1]) #(sc/get-sample-range b 0 1) #(sc/fill-samples! b 0 1 1)
                               #(sc/generate! b :sine1 {:amplitudes [1]}) #(sc/normalize-buffer! b)
                               #(sc/read-buffer! b "/tmp/espalier-none.wav") #(sc/write-buffer! b "/tmp/espalier-none.wav")
                               #(sc/close-buffer! b) #(sc/cue-buffer! b "/tmp/espalier-none.wav")
                               #(sc/query-buffer (first (sc/members g))) #(sc/at s nil (sc/zero-buffer! b))]]
                     [:freed-entity call]))))))

(deftest buffers-end-with-their-server
  (servers/each-kind (take 1 servers/kinds) {}
    (fn [s]
      (let [b     (sc/add-buffer! s {:frame-count 8})
            calls [#(sc/query-buffer b) #(sc/free! b) #(sc/zero-buffer! b) #(sc/set-samples! b {0 1}) #(sc/get-sample-range b 0 1)]]
        (sc/quit! s)
        (doseq [call (conj calls #(sc/add-buffer! s {:frame-count 8}) #(sc/add-buffer-group! s {:count 2, :frame-count 8}))]
          (is (= :server-offline (error-of call))))
        (sc/boot! s)
        (sc/sync! s)
        (refused s (for [call calls] [:dead-entity call]))
        (is (= 0 (:id (sc/add-buffer! s {:frame-count 8})))))))
  (is (= :server-offline (error-of #(sc/add-buffer! (sc/server) {:frame-count 8})))))

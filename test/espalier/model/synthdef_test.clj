(ns espalier.model.synthdef-test
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.model.error :as error]
   [espalier.model.synthdef :as synthdef])
  (:import
   (java.io ByteArrayOutputStream DataOutputStream File)
   (java.nio.file Files)
   (java.util Random)))

(set! *warn-on-reflection* true)

;; what sclang 3.13 and Supriya compiled, each beside what it holds, as sclang tells; and our own
(def ^:private files
  (sort (filter (fn [file] (str/ends-with? (str file) ".scsyndef"))
                (mapcat (fn [dir] (.listFiles (io/file dir)))
                        ["test/golden/synthdefs" "test/golden/instruments"]))))

(defn- file-bytes ^bytes [^File file]
  (Files/readAllBytes (.toPath file)))

(defn- golden [file-name]
  (first (synthdef/parse (file-bytes (io/file "test/golden/synthdefs" (str file-name ".scsyndef"))))))

(def ^:private small
  {:kind            :synthdef
   :name            "bell"
   :constants       [0.0]
   :parameters      [440.0 0.1]
   :parameter-names [["freq" 0] ["amp" 1]]
   :ugens           [{:class "Control" :rate :control :inputs [] :outputs [:control :control] :special 0}
                     {:class "SinOsc" :rate :audio :inputs [[:ugen 0 0] [:constant 0]] :outputs [:audio] :special 0}
                     {:class "BinaryOpUGen" :rate :audio :inputs [[:ugen 1 0] [:ugen 0 1]] :outputs [:audio] :special 2}
                     {:class "Out" :rate :audio :inputs [[:constant 0] [:ugen 2 0]] :outputs [] :special 0}]
   :variants        [["bell.low" [110.0 0.1]]]})

(defn- refused
  "The data of the error that reading or writing ends with, nil where it succeeds."
  [f x]
  (try (f x)
       nil
       (catch clojure.lang.ExceptionInfo e
         (when (= :espalier.error/invalid-synthdef (error/code e))
           (assoc (ex-data e) :message (ex-message e))))))

;; --- Real files

(deftest every-file-is-written-as-it-was-read
  (is (< 30 (count files)))
  (doseq [file files]
    (is (= (seq (file-bytes file)) (seq (synthdef/encode (synthdef/parse (file-bytes file))))) (str file))))

(defn- told
  "A SynthDef the way the files of sclang's account have it."
  [{:keys [constants parameters parameter-names ugens variants] :as d}]
  {:name           (:name d)
   :constants      constants
   :param-defaults parameters
   :param-names    parameter-names
   :variants       variants
   :ugens          (for [{:keys [rate inputs outputs special] :as ugen} ugens]
                     {:class   (:class ugen)
                      :rate    ({:scalar :ir, :control :kr, :audio :ar, :demand :dr} rate)
                      :special special
                      :inputs  (for [[kind index output] inputs]
                                 (if (= :constant kind) (nth constants index) [:u index output]))
                      :outputs (map {:scalar :ir, :control :kr, :audio :ar, :demand :dr} outputs)})})

(deftest what-is-read-is-what-sclang-tells
  (doseq [^File file files
          :let [account (io/file (str/replace (str file) ".scsyndef" ".edn"))]
          :when (.exists account)]
    (is (= (update (edn/read-string (slurp account)) :ugens (partial map (fn [ugen] (dissoc ugen :i :op))))
           (told (first (synthdef/parse (file-bytes file)))))
        (str file))))

(deftest a-synthdef-prints-as-it-reads
  (doseq [file files, d (synthdef/parse (file-bytes file))]
    (is (= d (edn/read-string (pr-str d))) (str file))))

(deftest several-synthdefs-in-one-file
  (let [defs (into [small] (map (comp first synthdef/parse file-bytes)) files)]
    (is (= defs (synthdef/parse (synthdef/encode defs))))
    (is (= [] (synthdef/parse (synthdef/encode []))))))

;; --- Version 1, written by hand

(defn- written ^bytes [write]
  (let [bytes (ByteArrayOutputStream.)]
    (write (DataOutputStream. bytes))
    (.toByteArray bytes)))

(defn- text! [^DataOutputStream out ^String s]
  (.writeByte out (count s))
  (.writeBytes out s))

(deftest version-1-is-read
  (let [file (written (fn [^DataOutputStream out]
                        (let [short! (fn [& xs] (doseq [x xs] (.writeShort out (int x))))
                              byte!  (fn [& xs] (doseq [x xs] (.writeByte out (int x))))]
                          (.writeBytes out "SCgf")
                          (.writeInt out 1)
                          (short! 1)
                          (text! out "bell")
                          (short! 1)
                          (.writeFloat out 0.0)
                          (short! 2)
                          (.writeFloat out 440.0)
                          (.writeFloat out 0.1)
                          (short! 2)
                          (text! out "freq")
                          (short! 0)
                          (text! out "amp")
                          (short! 1 4)
                          (text! out "Control")
                          (byte! 1)
                          (short! 0 2 0)
                          (byte! 1 1)
                          (text! out "SinOsc")
                          (byte! 2)
                          (short! 2 1 0 0 0 -1 0)
                          (byte! 2)
                          (text! out "BinaryOpUGen")
                          (byte! 2)
                          (short! 2 1 2 1 0 0 1)
                          (byte! 2)
                          (text! out "Out")
                          (byte! 2)
                          (short! 2 0 0 -1 0 2 0)
                          (short! 1)
                          (text! out "bell.low")
                          (.writeFloat out 110.0)
                          (.writeFloat out 0.1))))]
    (is (= [small] (synthdef/parse file)))
    (is (= [small] (synthdef/parse (synthdef/encode (synthdef/parse file)))) "from then on version 2")
    (doseq [n (range (alength file))]
      (is (refused synthdef/parse (java.util.Arrays/copyOf file (int n))) (str "cut to " n " bytes")))))

;; --- Numbers

(deftest every-float-keeps-its-bits
  (let [random (Random. 1)
        bits   (concat [0 0x80000000 1 0x80000001 0x7f7fffff 0xff7fffff 0x7f800000 0xff800000
                        0x7fc00000 0xffc00000 0x7f800001 0xffbfffff 0x7fffffff 0x007fffff 0x00800000]
                       (repeatedly 20000 #(.nextInt random)))
        file   (written (fn [^DataOutputStream out]
                          (.writeBytes out "SCgf")
                          (.writeInt out 2)
                          (.writeShort out 1)
                          (text! out "many")
                          (.writeInt out (count bits))
                          (doseq [b bits] (.writeInt out (unchecked-int b)))
                          (dotimes [_ 3] (.writeInt out 0))
                          (.writeShort out 0)))]
    (is (= (seq file) (seq (synthdef/encode (synthdef/parse file)))))))

(deftest a-number-is-the-shortest-that-is-its-float
  (is (= [0.1 -0.0 1.4E-45 3.4028235E38 ##Inf]
         (:constants (first (synthdef/parse (synthdef/encode [(assoc small :constants [(float 0.1) -0.0 1e-45 Float/MAX_VALUE ##Inf])]))))))
  (is (= [0.5 7.0] (subvec (:constants (first (synthdef/parse (synthdef/encode [(assoc small :constants [1/2 7])])))) 0 2))))

;; --- Controls

(deftest controls-are-told-in-the-order-of-the-file
  (is (= 2 (synthdef/control-count small)))
  (is (= {"freq" {:index 0 :size 1 :default 440.0}, "amp" {:index 1 :size 1 :default 0.1}}
         (synthdef/controls small)))
  (testing "arrays reach to the next index"
    (let [d (golden "param_array")]
      (is (= (map first (:parameter-names d)) (keys (synthdef/controls d))))
      (is (some (comp vector? :default) (vals (synthdef/controls d))))
      (is (= (synthdef/control-count d) (reduce + (map :size (vals (synthdef/controls d))))))))
  (testing "indices in another order than the names"
    (is (= [["b" {:index 3 :size 1 :default 4.0}] ["a" {:index 0 :size 3 :default [1.0 2.0 3.0]}]]
           (seq (synthdef/controls {:parameters [1.0 2.0 3.0 4.0] :parameter-names [["b" 3] ["a" 0]]})))))
  (testing "of one name twice the first"
    (is (= {"x" {:index 0 :size 1 :default 1.0}, "y" {:index 1 :size 1 :default 2.0}}
           (synthdef/controls {:parameters [1.0 2.0 3.0] :parameter-names [["x" 0] ["y" 1] ["x" 2]]}))))
  (testing "none, and many"
    (is (= {} (synthdef/controls (golden "no_params"))))
    (let [n 3000]
      (is (= (map #(str "c" %) (range n))
             (keys (synthdef/controls {:parameters      (vec (repeat n 0.0))
                                       :parameter-names (mapv (fn [i] [(str "c" i) i]) (range n))})))))))

;; --- What is refused

(deftest every-cut-file-is-refused
  (doseq [file files
          :let [whole (file-bytes file)]]
    (is (every? (fn [n] (refused synthdef/parse (java.util.Arrays/copyOf whole (int n)))) (range (alength whole))) (str file))
    (is (= (alength whole) (:offset (refused synthdef/parse (java.util.Arrays/copyOf whole (inc (alength whole)))))) (str file))))

(deftest what-would-harm-a-server-is-refused
  (let [long-name (fn [n] (str/join (repeat n "x")))
        ugen      (fn [i k v] (assoc-in small [:ugens i k] v))]
    (doseq [[why d] {"a name of 256 bytes"                 (assoc small :name (long-name 256))
                     "a UGen's name of 32 bytes"           (ugen 3 :class (long-name 32))
                     "a control's name of 32 bytes"        (assoc-in small [:parameter-names 0 0] (long-name 32))
                     "a control's name of 32 bytes, UTF-8" (assoc-in small [:parameter-names 0 0] (str (long-name 30) "ü"))
                     "a variant's name of 32 bytes"        (assoc-in small [:variants 0 0] (long-name 32))
                     "no name"                             (dissoc small :name)
                     "a variant with a value too few"      (assoc-in small [:variants 0 1] [1.0])
                     "a UGen that reads itself"            (ugen 1 :inputs [[:ugen 1 0]])
                     "a UGen that reads a later one"       (ugen 1 :inputs [[:ugen 2 0]])
                     "a negative UGen"                     (ugen 1 :inputs [[:ugen -2 0]])
                     "an output that is not there"         (ugen 1 :inputs [[:ugen 0 2]])
                     "a negative output"                   (ugen 1 :inputs [[:ugen 0 -1]])
                     "a constant that is not there"        (ugen 1 :inputs [[:constant 1]])
                     "an input of no kind"                 (ugen 1 :inputs [440.0])
                     "a control's index without a slot"    (assoc-in small [:parameter-names 1 1] 2)
                     "a negative control's index"          (assoc-in small [:parameter-names 1 1] -1)
                     "a Control without slots"             (ugen 0 :special 1)
                     "an unknown rate"                     (ugen 1 :rate :kr)
                     "a special index too large"           (ugen 1 :special 32768)
                     "a constant that is no number"        (assoc small :constants ["0"])}
            :let [{:keys [offset message]} (refused synthdef/encode [d])]]
      (is (nat-int? offset) why)
      (is (str/includes? (str message) (str "Byte " offset " ")) why))
    (testing "but the longest names are read"
      (let [longest (-> (assoc small :name (long-name 255))
                        (assoc-in [:ugens 3 :class] (long-name 31))
                        (assoc-in [:parameter-names 0 0] (str (long-name 29) "ü"))
                        (assoc-in [:variants 0 0] (long-name 31)))]
        (is (= [longest] (synthdef/parse (synthdef/encode [longest]))))))))

(defn- spoilt ^bytes [bytes at values]
  (let [copy (aclone ^bytes bytes)]
    (doseq [[i x] (map vector (range at (alength copy)) values)]
      (aset-byte copy i (unchecked-byte x)))
    copy))

(deftest errors-say-where-and-what
  (let [good (synthdef/encode [small])]
    (doseq [[offset seen at values] [[0 "0x53436765" 0 [0x53 0x43 0x67 0x65]]
                                     [4 0 4 [0 0 0 0]]
                                     [4 3 4 [0 0 0 3]]
                                     [8 -1 8 [0xff 0xff]]
                                     [8 32767 8 [0x7f 0xff]]
                                     [10 "bytes that are no UTF-8" 11 [0xff]]
                                     [15 Integer/MAX_VALUE 15 [0x7f 0xff 0xff 0xff]]
                                     [15 -1 15 [0xff 0xff 0xff 0xff]]]
            :let [error (refused synthdef/parse (spoilt good at values))]]
      (is (= {:offset offset :seen seen} (select-keys error [:offset :seen])) (:message error))
      (is (string? (:expected error)))
      (is (str/includes? (:message error) (str "Byte " offset " of the SynthDef file: " seen))))
    (is (= 0 (:offset (refused synthdef/parse (byte-array 0)))))))

;; --- Files changed by chance, of both versions

(defn- version-1
  "The bytes of a file, format version 1, that holds SynthDef `d`: as version 2, with
  integers of 16 bits."
  ^bytes [{:keys [constants parameters parameter-names ugens variants] :as d}]
  (let [rate {:scalar 0, :control 1, :audio 2, :demand 3}]
    (written
      (fn [^DataOutputStream out]
        (let [short! (fn [x] (.writeShort out (int x)))
              utf8!  (fn [^String s] (let [bytes (.getBytes s "UTF-8")] (.writeByte out (alength bytes)) (.write out bytes)))
              floats (fn [xs] (run! (fn [x] (.writeInt out (int (#'synthdef/bits-of-float x)))) xs))] ; a NaN keeps its bits
          (.writeBytes out "SCgf")
          (.writeInt out 1)
          (short! 1)
          (utf8! (:name d))
          (short! (count constants))
          (floats constants)
          (short! (count parameters))
          (floats parameters)
          (short! (count parameter-names))
          (doseq [[k i] parameter-names] (utf8! k) (short! i))
          (short! (count ugens))
          (doseq [ugen ugens]
            (utf8! (:class ugen))
            (.writeByte out (rate (:rate ugen)))
            (run! short! [(count (:inputs ugen)) (count (:outputs ugen)) (:special ugen)])
            (doseq [[kind i k] (:inputs ugen)] (run! short! (if (= :constant kind) [-1 i] [i k])))
            (doseq [r (:outputs ugen)] (.writeByte out (rate r))))
          (short! (count variants))
          (doseq [[k values] variants] (utf8! k) (floats values)))))))

(deftest every-file-is-read-in-version-1-too
  (doseq [file files, d (synthdef/parse (file-bytes file))]
    (is (= [d] (synthdef/parse (version-1 d))) (str file))))

(defn- spliced
  "The first `i` of some bytes, and those of others from `j` on."
  ^bytes [^bytes a i ^bytes b j]
  (let [rest-of-b (- (alength b) (long j))
        whole     (java.util.Arrays/copyOf a (int (+ (long i) rest-of-b)))]
    (System/arraycopy b (int j) whole (int i) (int rest-of-b))
    whole))

(defn- mutated
  "A copy of one of `wholes` with some of its bytes changed, or a number of 16 or 32 bits,
  and perhaps cut, longer, without a piece, with a piece twice, or going on as another."
  ^bytes [^Random random wholes]
  (let [below   (fn [n] (.nextInt random (int n)))
        any     (fn [xs] (nth xs (below (count xs))))
        ^bytes whole (any wholes)
        n       (alength whole)
        copy    (aclone whole)
        numbers [0 1 -1 2 127 128 255 256 0x7fff 0x8000 0xffff 0x10000 0x7fffffff -0x80000000 0x40000000 0x20000000 -2]
        put!    (fn [size] (let [i (below (- n (long size))), b (java.nio.ByteBuffer/wrap copy)]
                             (if (= 2 size) (.putShort b (int i) (unchecked-short (any numbers))) (.putInt b (int i) (unchecked-int (any numbers))))))]
    (dotimes [_ (below 4)]
      (case (int (below 5))
        0 (aset-byte copy (below n) (unchecked-byte (below 256)))
        1 (aset-byte copy (below n) (unchecked-byte (any [0 1 2 3 31 32 127 128 255 254])))
        2 (let [i (below n)] (aset-byte copy i (unchecked-byte (bit-xor (aget copy i) (bit-shift-left 1 (below 8))))))
        3 (put! 2)
        4 (put! 4)))
    (case (int (below 10))
      0 (java.util.Arrays/copyOf copy (int (below n)))
      1 (java.util.Arrays/copyOf copy (int (+ n (long (below 9)))))
      2 (let [i (below n)] (spliced copy i copy (min n (+ (long i) 1 (long (below 8))))))
      3 (let [i (below n)] (spliced copy i copy (max 0 (- (long i) (long (below 40))))))
      4 (let [^bytes other (any wholes)] (spliced copy (below n) other (below (alength other))))
      copy)))

(defn- outcome
  "What reading `bytes` came to: :refused at one of its bytes, :same where writing what was
  read gives them again, otherwise what is wrong. Any other exception goes through."
  [^bytes bytes]
  (try (let [defs  (synthdef/parse bytes)
             again (cond (= 2 (aget bytes 7))      (synthdef/encode defs)
                         (= 1 (count defs))        (version-1 (first defs)))]
         (if (or (nil? again) (java.util.Arrays/equals bytes ^bytes again)) :same :another))
       (catch clojure.lang.ExceptionInfo e
         (cond
           (not= :espalier.error/invalid-synthdef (error/code e)) (throw e)
           (<= 0 (long (:offset (ex-data e))) (alength bytes))    :refused
           :else                                                  (ex-data e)))))

(defn- outcomes
  "How often which outcome came of `n` files changed by chance."
  [seed n]
  (let [random (Random. seed)
        wholes (into [] (mapcat (fn [file] (let [bytes (file-bytes file)] (cons bytes (map version-1 (synthdef/parse bytes)))))) files)]
    (frequencies (repeatedly n #(outcome (mutated random wholes))))))

(deftest a-spoilt-file-is-refused-at-an-offset-or-read-exactly
  (let [seen (outcomes 42 50000)]
    (is (= #{:refused :same} (set (keys seen))) (pr-str seen))))

(deftest ^:soak more-spoilt-files-are-refused-at-an-offset-or-read-exactly
  (let [seed (System/nanoTime)
        seen (outcomes seed 1000000)]
    (is (= #{:refused :same} (set (keys seen))) (str "seed " seed ": " seen))))

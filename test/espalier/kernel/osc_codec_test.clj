(ns espalier.kernel.osc-codec-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop])
  (:import
   (espalier.kernel BadPacketException OscBundle OscCodec OscMessage OscPacket PacketTooLargeException TimeTag)
   (java.io ByteArrayOutputStream DataOutputStream)
   (java.lang.reflect Method)
   (java.nio ByteBuffer)
   (java.time Instant)
   (java.util.function UnaryOperator)))

(set! *warn-on-reflection* true)

;; A second encoder, written from the OSC 1.0 specification alone.

(defn- padded ^bytes [^bytes bs]
  (byte-array (* 4 (inc (quot (alength bs) 4))) bs))

(defn- reference-bytes ^bytes [[^String address & args]]
  (let [out  (ByteArrayOutputStream.)
        data (DataOutputStream. out)
        tag  (fn tag [x]
               (cond (instance? Integer x) "i" (float? x) "f" (string? x) "s" (bytes? x) "b"
                     :else (str "[" (str/join (map tag x)) "]")))
        put  (fn put [x]
               (cond (instance? Integer x) (.writeInt data x)
                     (float? x)            (.writeFloat data x)
                     (string? x)           (.write data (padded (.getBytes ^String x "UTF-8")))
                     (bytes? x)            (do (.writeInt data (alength ^bytes x))
                                               (.write data ^bytes x)
                                               (.write data (byte-array (mod (- (alength ^bytes x)) 4))))
                     :else                 (run! put x)))]
    (.write data (padded (.getBytes address "UTF-8")))
    (.write data (padded (.getBytes ^String (str "," (str/join (map tag args))) "UTF-8")))
    (run! put args)
    (.toByteArray out)))

(def ^:private refuse (reify UnaryOperator (apply [_ x] x)))

(defn- message ^OscMessage [[address & args]]
  (OscMessage. ^String address ^java.util.List (vec args) refuse))

(defn- encoded
  (^bytes [packet] (encoded packet 65507))
  (^bytes [^OscPacket packet limit]
   (let [buffer (.encode (OscCodec. limit) packet)
         out    (byte-array (.limit buffer))]
     (.get buffer out)
     out)))

(def ^:private javaosc-path
  (doto (.getDeclaredMethod OscCodec "encodeByJavaOsc" (into-array Class [OscPacket]))
    (.setAccessible true)))

(defn- javaosc-buffer ^ByteBuffer [^OscCodec codec packet]
  (.invoke ^Method javaosc-path codec (object-array [packet])))

(defn- decoded [^bytes bs]
  (.decode (OscCodec. 65507) bs 0 (alength bs)))

(def ^:private gen-text
  (gen/fmap #(str/replace % "\u0000" "") gen/string))

(def ^:private gen-float32
  (gen/fmap #(float (max -1e30 (min 1e30 %))) (gen/double* {:NaN? false :infinite? false})))

(def ^:private gen-plain
  (gen/one-of [(gen/fmap int (gen/choose Integer/MIN_VALUE Integer/MAX_VALUE)) gen-float32 gen-text gen/bytes]))

(def ^:private gen-message
  ;; Sized to stay well below what fits a packet.
  (gen/let [address (gen/elements ["/s_new" "/n_set" "/a" "/abc" "/abcd/efg" "/ünïcode"])
            args    (gen/resize 12 (gen/vector (gen/frequency [[6 gen-plain] [1 (gen/vector gen-plain)]])))
            floats  (gen/frequency [[3 (gen/return [])] [1 (gen/vector gen-float32 1 40)]])]
    (vec (concat [address] args floats))))

(defspec encodes-as-the-specification-says 300
  (prop/for-all [m gen-message]
    (java.util.Arrays/equals (reference-bytes m) (encoded (message m)))))

(defspec decodes-what-it-encodes 300
  (prop/for-all [m gen-message]
    (= (message m) (decoded (reference-bytes m)))))

(defspec bundles-go-there-and-back 100
  (prop/for-all [ms (gen/vector gen-message 0 5), time (gen/choose 1 Long/MAX_VALUE)]
    (let [bundle (OscBundle. time (mapv message ms))]
      (= bundle (decoded (encoded bundle))))))

;; Any text at all: one to four bytes a character, and halves of surrogate pairs.
(def ^:private gen-wide-text
  (gen/fmap str/join
            (gen/vector (gen/frequency [[5 (gen/elements ["a" "/" " " "\u007f"])]
                                        [2 (gen/elements ["\u0080" "é" "\u07ff"])]
                                        [2 (gen/elements ["\u0800" "漢" "\uffff"])]
                                        [2 (gen/elements ["😀" "\ud83d" "\ude00"])]]))))

(def ^:private gen-packet
  (gen/recursive-gen
    (fn [inner]
      (gen/fmap (fn [[time packets]] (OscBundle. time packets))
                (gen/tuple (gen/choose 1 Long/MAX_VALUE) (gen/vector inner 0 4))))
    (gen/let [m gen-message, texts (gen/vector gen-wide-text 0 3), floats (gen/elements [[] [(float-array 20)]])]
      (message (into (into m texts) floats)))))

(defspec the-direct-path-writes-what-javaosc-does {:num-tests 200 :seed 17}
  (let [direct  (OscCodec. 1000000)
        javaosc (OscCodec. 1000000)]
    (prop/for-all [packet gen-packet]
      (= (javaosc-buffer javaosc packet) (.encode direct packet)))))

(defspec sizes-are-known-before {:num-tests 200 :seed 18}
  (prop/for-all [packet gen-packet]
    (= (OscCodec/sizeOf packet) (.remaining (.encode (OscCodec. 1000000) packet)))))

(deftest both-paths-share-a-buffer-that-grows
  (let [codec (OscCodec. 1000000)]
    (doseq [n [1 3000 5 40000 40001 2 150000]]
      (let [packet (OscBundle. [(message ["/x" (byte-array n) [(int 1)]]) (message ["/y" (float-array n)])])
            bytes  (encoded packet 1000000)]
        (is (= (ByteBuffer/wrap bytes) (.encode codec packet)) n)
        (is (= (ByteBuffer/wrap bytes) (javaosc-buffer codec packet)) n)))
    (is (thrown? PacketTooLargeException (.encode codec (message ["/x" (byte-array 1000000)]))))
    (is (= 8 (.remaining (.encode codec (message ["/x"])))) "and goes on afterwards")))

(deftest what-is-not-direct-goes-through-javaosc
  (let [tagged (fn [tags] (byte-array (concat (padded (.getBytes "/x")) (padded (.getBytes (str "," tags)))
                                              (range 8) [0 0 0 5])))]
    (testing "a time tag that a server sent goes back as it came, in a bundle too"
      (let [m (decoded (tagged "ti"))]
        (is (= (seq (tagged "ti")) (seq (encoded m))))
        (is (= 20 (OscCodec/sizeOf m)))
        (is (= (seq (tagged "ti")) (drop 20 (encoded (OscBundle. [m])))))
        (is (= (message ["/y" (tagged "ti")]) (message ["/y" m])))))
    (testing "64-bit numbers are only read"
      (doseq [tags ["di" "hi"], :let [m (decoded (tagged tags))]]
        (is (= 20 (OscCodec/sizeOf m)))
        (is (thrown? IllegalArgumentException (encoded m)))
        (is (thrown? IllegalArgumentException (message ["/y" m])))))))

(deftest packets-as-arguments-are-blobs
  (testing "a completion message"
    (let [note   ["/s_new" "sine" (int 1000) (int 0) (int 1) "freq" (float 440)]
          load   (message ["/d_recv" (byte-array [1 2 3]) (message note)])]
      (is (= (message ["/d_recv" (byte-array [1 2 3]) (reference-bytes note)]) load))
      (is (= (seq (reference-bytes ["/d_recv" (byte-array [1 2 3]) (reference-bytes note)])) (seq (encoded load))))
      (is (= (message note) (decoded (second (.arguments load)))))))
  (testing "a bundle, in an array too, and what a rule makes of something else"
    (let [bundle (OscBundle. 5 [(message ["/a" 1]) (message ["/b"])])
          bytes  (encoded bundle)]
      (is (= (message ["/x" bytes [bytes 1]]) (message ["/x" bundle [bundle 1]])))
      (is (= (message ["/x" bytes])
             (OscMessage. "/x" [:later] (reify UnaryOperator (apply [_ _] bundle)))))))
  (testing "one within another, 200 deep, and larger than any link would send"
    (let [nested (nth (iterate #(message ["/b_alloc" 1 %]) (message ["/x" (byte-array 100000)])) 200)
          inner  (fn [m] (decoded (peek (vec (.arguments ^OscMessage m)))))]
      (is (= (message ["/x" (byte-array 100000)]) (nth (iterate inner nested) 200)))))
  (testing "bundles too"
    (let [nested (nth (iterate #(OscBundle. 1 [%]) (message ["/x"])) 200)]
      (is (= (+ 8 (* 200 20)) (OscCodec/sizeOf nested) (alength (encoded nested))))
      (is (= (message ["/y" (encoded nested)]) (message ["/y" nested])))))
  (is (thrown? IllegalArgumentException (message ["/x" (message ["no slash"])]))))

(defspec floats-in-a-row-are-the-same-as-one-array 100
  (prop/for-all [m gen-message, floats (gen/vector gen-float32 1 60)]
    (let [boxed     (message (into m floats))
          primitive (message (conj m (float-array floats)))]
      (and (= boxed primitive)
           (= (seq floats) (seq (.floats primitive (dec (count m)))))
           (= (seq floats) (seq (.floats boxed (dec (count m)))))
           (java.util.Arrays/equals (encoded boxed) (encoded primitive))))))

(defspec nothing-but-a-bad-packet-comes-of-bad-bytes 2000
  (prop/for-all [m       gen-message
                 floats  (gen/elements [0 20])
                 changes (gen/vector (gen/tuple gen/nat gen/byte) 1 6)
                 cut     gen/nat]
    (let [bs (reference-bytes (into m (repeat floats (float 1))))
          n  (alength bs)]
      (doseq [[at b] changes] (aset-byte bs (mod at n) b))
      (try (some? (.decode (OscCodec. 65507) bs 0 (max 0 (- n (mod cut 9)))))
           (catch BadPacketException e (str/starts-with? (ex-message e) "Not an OSC packet"))))))

;; A codec keeps short strings by the place that their bytes give them: two may want the same, and a kept one may be longer.
(defspec strings-are-told-apart-whatever-came-before 50
  (prop/for-all [texts (gen/vector (gen/vector (gen/elements ["a" "b" "é"]) 0 34) 1 200)]
    (let [codec (OscCodec. 65507)
          texts (mapv str/join texts)
          bs    (reference-bytes (into ["/x"] texts))]
      (= texts
         (.arguments ^OscMessage (.decode codec bs 0 (alength bs)))
         (.arguments ^OscMessage (.decode codec bs 0 (alength bs)))))))

(deftest reads-what-a-server-sent
  (testing "the reply of scsynth 3.13 to /g_queryTree 0 1, with mapped controls"
    (let [hex (str "2f675f7175657279547265652e7265706c790000"
                   "2c696969696969697369737373737366" "00000000"
                   "0000000100000000000000010000000100000001000003e8ffffffff73696e650000000000000003"
                   "6672657100000000" "63350000" "616d7000" "61330000" "6f757400" "00000000")
          bs  (byte-array (map #(unchecked-byte (Integer/parseInt (str/join %) 16)) (partition 2 hex)))
          m   ^OscMessage (decoded bs)]
      (is (= "/g_queryTree.reply" (.address m)))
      (is (= [1 0 1 1 1 1000 -1 "sine" 3 "freq" "c5" "amp" "a3" "out" 0.0] (.arguments m)))))
  (testing "doubles, as /status.reply has them"
    (let [m ^OscMessage (decoded (byte-array (concat (padded (.getBytes "/x")) (padded (.getBytes ",d"))
                                                     [64 9 0x21 (unchecked-byte 0xfb) 0x54 0x44 0x2d 0x18])))]
      (is (= [Math/PI] (.arguments m)))))
  (testing "addresses that a SendReply may choose"
    (is (= "no slash, #1" (.address ^OscMessage (decoded (reference-bytes ["no slash, #1" (int 5)]))))))
  (testing "a string whose padding is not zero"
    (is (= ["ab" "abcd" 7] (.arguments ^OscMessage (decoded (byte-array (concat (padded (.getBytes "/x")) (padded (.getBytes ",ssi"))
                                                                                [97 98 0 113] (padded (.getBytes "abcd")) [0 0 0 7])))))))
  (testing "a message without type tags"
    (is (= [] (.arguments ^OscMessage (decoded (padded (.getBytes "/done"))))))))

(deftest sends-only-what-servers-read
  (is (= [(int 5) (float 0.5) (int 3)] (.arguments (message ["/x" 5 0.5 (short 3)])))
      "64-bit numbers kill scsynth: they are narrowed")
  (doseq [bad [nil true :k 3000000000 -3000000000 (Object.) {:a 1} [[1]]]]
    (is (thrown? IllegalArgumentException (message ["/x" bad])) (pr-str bad)))
  (is (thrown? IllegalArgumentException (encoded (message ["/x" "a\u0000b"]))))
  (is (thrown? IllegalArgumentException (encoded (message ["no-slash" 1]))))
  (is (thrown? IllegalArgumentException (encoded (message ["no slash" (float-array 20)])))))

(deftest refuses-what-does-not-fit
  (let [codec (OscCodec. 1000)]
    (is (= 1000 (try (.encode codec (message ["/x" (byte-array 1000)]))
                     (catch PacketTooLargeException e (.limit e)))))
    (is (= 992 (.limit (.encode codec (message ["/x" (byte-array 980)])))) "and goes on afterwards")
    (is (thrown? PacketTooLargeException (.encode codec (message ["/x" (float-array 250)]))))))

(deftest a-message-is-a-value
  (let [blob (byte-array [1 2 3])
        m    (message ["/x" blob 1])]
    (aset-byte blob 0 9)
    (is (= m (message ["/x" (byte-array [1 2 3]) 1])) "it keeps its own copy")
    (is (= (hash m) (hash (message ["/x" (byte-array [1 2 3]) 1]))))
    (is (not= m (message ["/x" (byte-array [1 2 4]) 1])))
    (is (thrown? UnsupportedOperationException (.add (.arguments m) 1)))
    (is (= "/x <3 bytes> 1" (str m)))))

(deftest bundles-nested-without-end-are-refused
  (let [bundle (reduce (fn [inner _] (OscBundle. 1 [inner])) (message ["/x"]) (range 100))]
    (is (thrown-with-msg? BadPacketException #"nested deeper" (decoded (encoded bundle))))))

(defspec time-tags-keep-nanoseconds 500
  (prop/for-all [seconds (gen/choose 0 2085978495), nanos (gen/choose 0 999999999)]
    (let [t (Instant/ofEpochSecond seconds nanos)]
      (= t (TimeTag/toInstant (TimeTag/of t))))))

(deftest time-tags-have-ends
  (is (= (bit-shift-left 2208988800 32) (TimeTag/of Instant/EPOCH)) "RFC 5905: 1970 is 2,208,988,800 s after 1900")
  (is (thrown? IllegalArgumentException (TimeTag/of (Instant/parse "1968-01-20T03:14:07Z"))))
  (is (thrown? IllegalArgumentException (TimeTag/of (Instant/parse "2036-02-07T06:28:16Z")))))

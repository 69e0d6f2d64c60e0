(ns espalier.model.sound-bytes
  "Sound as the bytes of a WAV or AIFF file, and back:

      {:frames 64, :channels 1, :rate 48000, :data float-array}   ; the channels of a frame side by side

  Numbers become floats, and floats numbers, as libsndfile has them, which the servers use."
  (:import
   (java.nio ByteBuffer ByteOrder)
   (java.nio.charset StandardCharsets)))

(set! *warn-on-reflection* true)

(def ^:private widths {:uint8 1, :int8 1, :int16 2, :int24 3, :int32 4, :float 4, :double 8})

;; ---- samples

(defn- read-sample ^double [^ByteBuffer in format at]
  (let [at (int at)]
    (case format
      :uint8  (/ (- (bit-and 0xff (.get in at)) 128) 128.0)
      :int8   (/ (.get in at) 128.0)
      :int16  (/ (.getShort in at) 32768.0)
      :int24  (let [big? (= ByteOrder/BIG_ENDIAN (.order in))
                    [a b c] (if big? [0 1 2] [2 1 0])
                    byte-at (fn [i] (long (.get in (int (+ at (long i))))))]
                (/ (bit-or (bit-shift-left (long (byte-at a)) 16)
                           (bit-shift-left (bit-and 0xff (long (byte-at b))) 8)
                           (bit-and 0xff (long (byte-at c))))
                   8388608.0))
      :int32  (/ (.getInt in at) 2147483648.0)
      :float  (double (.getFloat in at))
      :double (.getDouble in at))))

(defn- whole
  "A float as a 32-bit number, clipped."
  ^long [^double x]
  (let [scaled (* x 2147483648.0)]
    (cond
      (>= scaled 2147483647.0)  2147483647
      (<= scaled -2147483648.0) -2147483648
      :else                     (long (Math/rint scaled)))))

(defn- write-sample [^ByteBuffer out format ^double x]
  (case format
    :uint8  (.put out (unchecked-byte (+ 128 (bit-shift-right (whole x) 24))))
    :int8   (.put out (unchecked-byte (bit-shift-right (whole x) 24)))
    :int16  (.putShort out (unchecked-short (bit-shift-right (whole x) 16)))
    :int24  (let [n     (bit-shift-right (whole x) 8)
                  parts [(bit-shift-right n 16) (bit-shift-right n 8) n]]
              (doseq [b (if (= ByteOrder/BIG_ENDIAN (.order out)) parts (rseq parts))]
                (.put out (unchecked-byte (long b)))))
    :int32  (.putInt out (int (whole x)))
    :float  (.putFloat out (unchecked-float x))
    :double (.putDouble out x)))

(defn- read-samples [^ByteBuffer in format from n]
  (let [width (long (widths format))
        out   (float-array n)]
    (dotimes [i n]
      (aset out i (unchecked-float (read-sample in format (+ (long from) (* i width))))))
    out))

;; ---- chunks

(defn- four [^ByteBuffer in at]
  (let [b (byte-array 4)]
    (.get in (int at) b)
    (String. b StandardCharsets/ISO_8859_1)))

(defn- unsigned ^long [^ByteBuffer in at] (bit-and 0xffffffff (.getInt in (int at))))
(defn- short-at ^long [^ByteBuffer in at] (bit-and 0xffff (.getShort in (int at))))

(defn- chunks
  "The chunks of a file, `{\"fmt \" [offset size]}`, the first of each id."
  [^ByteBuffer in]
  (loop [at 12, found {}]
    (if (< (+ at 8) (.limit in))
      (let [id (four in at), size (unsigned in (+ at 4))]
        (recur (+ at 8 size (bit-and 1 size)) (merge {id [(+ at 8) (min size (- (.limit in) at 8))]} found)))
      found)))

(defn- sound [^ByteBuffer in format channels rate [offset size]]
  (let [frames (quot (long size) (* (long channels) (long (widths format))))]
    {:frames frames, :channels channels, :rate rate
     :data   (read-samples in format offset (* frames (long channels)))}))

(defn- wav [^ByteBuffer in]
  (let [in        (.order in ByteOrder/LITTLE_ENDIAN)
        found     (chunks in)
        [at size] (get found "fmt ")]
    (when (and at (get found "data"))
      (let [tag    (short-at in at)
            tag    (if (and (= 0xfffe tag) (<= 26 (long size))) (short-at in (+ (long at) 24)) tag)
            format ({[1 8] :uint8, [1 16] :int16, [1 24] :int24, [1 32] :int32, [3 32] :float, [3 64] :double}
                    [tag (short-at in (+ (long at) 14))])]
        (when format
          (sound in format (short-at in (+ (long at) 2)) (unsigned in (+ (long at) 4)) (get found "data")))))))

(defn- extended
  "The whole number of 80 bits at `at`."
  ^long [^ByteBuffer in at]
  (let [exponent (- (bit-and 0x7fff (short-at in at)) 16383)]
    (unsigned-bit-shift-right (.getLong in (int (+ 2 (long at)))) (- 63 exponent))))

(defn- aiff [^ByteBuffer in]
  (let [in        (.order in ByteOrder/BIG_ENDIAN)
        found     (chunks in)
        [at size] (get found "COMM")
        [data n]  (get found "SSND")]
    (when (and at data)
      (let [bits   (short-at in (+ (long at) 6))
            kind   (if (<= 22 (long size)) (four in (+ (long at) 18)) "NONE")
            format (case kind
                     ("NONE" "twos" "sowt") ({8 :int8, 16 :int16, 24 :int24, 32 :int32} bits)
                     "raw "                  :uint8
                     ("fl32" "FL32")         :float
                     ("fl64" "FL64")         :double
                     nil)]
        (when format
          (let [channels (short-at in at)
                rate     (extended in (+ (long at) 8))
                in       (if (= "sowt" kind) (.order in ByteOrder/LITTLE_ENDIAN) in)]
            (sound in format channels rate [(+ 8 (long data)) (- (long n) 8)])))))))

(defn decode
  "The sound in the bytes of a file, or nil where they are none that is known.

      (decode (encode {:frames 1, :channels 1, :rate 48000, :data (float-array 1)} \"wav\" \"float\"))"
  [^bytes bytes]
  (let [in (ByteBuffer/wrap bytes)]
    (when (<= 12 (alength bytes))
      (try
        (case [(four in 0) (four in 8)]
          ["RIFF" "WAVE"]                    (wav in)
          (["FORM" "AIFF"] ["FORM" "AIFC"]) (aiff in)
          nil)
        (catch IndexOutOfBoundsException _ nil)))))

;; ---- to bytes

(defn- samples-bytes ^bytes [^floats data format order]
  (let [out (.order (ByteBuffer/allocate (* (alength data) (long (widths format)))) order)]
    (dotimes [i (alength data)]
      (write-sample out format (aget data i)))
    (.array out)))

(defn- put-four [^ByteBuffer out ^String text]
  (.put out (.getBytes text StandardCharsets/ISO_8859_1)))

(defn- encode-wav ^bytes [{:keys [channels rate data]} format]
  (let [content (samples-bytes data format ByteOrder/LITTLE_ENDIAN)
        width   (long (widths format))
        pad     (bit-and 1 (alength content))
        out     (.order (ByteBuffer/allocate (+ 44 (alength content) pad)) ByteOrder/LITTLE_ENDIAN)
        size    (* (long channels) width)]
    (doto out
      (put-four "RIFF") (.putInt (+ 36 (alength content) pad)) (put-four "WAVE")
      (put-four "fmt ") (.putInt 16) (.putShort (short (if (#{:float :double} format) 3 1))) (.putShort (short channels))
      (.putInt (int rate)) (.putInt (int (* (long rate) size))) (.putShort (short size)) (.putShort (short (* 8 width)))
      (put-four "data") (.putInt (alength content)) (.put content))
    (.array out)))

(defn- put-extended [^ByteBuffer out rate]
  (let [rate (long rate)
        top  (- 63 (Long/numberOfLeadingZeros rate))]
    (if (zero? rate)
      (doto out (.putShort 0) (.putLong 0))
      (doto out (.putShort (short (+ 16383 top))) (.putLong (bit-shift-left rate (- 63 top)))))))

(defn- encode-aiff ^bytes [{:keys [channels rate ^floats data]} format]
  (let [content (samples-bytes data format ByteOrder/BIG_ENDIAN)
        width   (long (widths format))
        kind    (case format :float "fl32", :double "fl64", :uint8 "raw ", nil)
        common  (if kind 24 18)
        pad     (bit-and 1 (alength content))
        size    (+ 12 8 common 8 8 (alength content) pad)
        out     (ByteBuffer/allocate size)]
    (doto out
      (put-four "FORM") (.putInt (- size 8)) (put-four (if kind "AIFC" "AIFF"))
      (put-four "COMM") (.putInt (int common)) (.putShort (short channels))
      (.putInt (int (quot (alength data) (max 1 (long channels))))) (.putShort (short (* 8 width))) (put-extended rate))
    (when kind
      (doto out (put-four kind) (.putShort 0)))
    (doto out
      (put-four "SSND") (.putInt (+ 8 (alength content))) (.putInt 0) (.putInt 0) (.put content))
    (.array out)))

(defn encode
  "The bytes of a file that holds a sound, or nil where there is no such file.

  `header`         \"wav\", \"wave\", \"riff\", \"aiff\" or \"aifc\"
  `sample-format`  \"uint8\", \"int8\", \"int16\", \"int24\", \"int32\", \"float\" or \"double\"

      (encode {:channels 1, :rate 48000, :data (float-array 64)} \"wav\" \"int16\")"
  ^bytes [{:keys [channels] :as sound} header sample-format]
  (let [format (keyword sample-format)]
    (when (and (pos? (long channels)) (widths format))
      (case header
        ("wav" "wave" "riff") (when-not (= :int8 format) (encode-wav sound format))
        ("aiff" "aifc")       (encode-aiff sound format)
        nil))))

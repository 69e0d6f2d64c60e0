(ns espalier.model.synthdef
  "SynthDef files to values and back: the format SCgf, versions 1 and 2.

  A SynthDef is a map that prints:

      {:kind            :synthdef
       :name            \"bell\"
       :constants       [0.0]
       :parameters      [440.0 0.1]                 ; defaults, one a slot
       :parameter-names [[\"freq\" 0] [\"amp\" 1]]      ; the first slot of each
       :ugens           [{:class \"Control\", :rate :control, :inputs [], :outputs [:control :control], :special 0}
                         {:class \"SinOsc\", :rate :audio, :inputs [[:ugen 0 0] [:constant 0]], :outputs [:audio], :special 0}]
       :variants        [[\"bell.low\" [110.0 0.1]]]}

  An input is `[:ugen index output]` or `[:constant index]`; a rate is `:scalar`,
  `:control`, `:audio` or `:demand`. A number is a double: the shortest one that is
  the 32-bit float of the file, 0.1 and not 0.10000000149.

  What makes a server crash, or refuse a SynthDef without saying so, is refused
  here, read or written."
  (:require
   [espalier.model.error :refer [error]]
   [espalier.model.message :as message])
  (:import
   (java.io ByteArrayOutputStream DataOutputStream)
   (java.nio ByteBuffer)
   (java.nio.charset CharacterCodingException StandardCharsets)))

(set! *warn-on-reflection* true)

(def ^:private magic 0x53436766)                           ; SCgf

(def ^:private rates [:scalar :control :audio :demand])

(def ^:private longest-name
  "Bytes that a server takes for the name of a SynthDef." 255)

(def ^:private longest-part
  "Bytes that a server takes for the name of a UGen, a control or a variant." 31)

(def control-classes
  "UGens whose special index is their first slot."
  #{"Control" "LagControl" "TrigControl" "AudioControl"})

(defn- bad
  "Throws `:invalid-synthdef` for the byte at `offset`."
  [offset seen expected]
  (throw (error :invalid-synthdef
                (str "Byte " offset " of the SynthDef file: " seen " where " expected " belongs."
                     " A server could crash on that, so nothing was read or written. Compile the SynthDef again.")
                {:offset offset :seen seen :expected expected})))

;; ---- Numbers. A NaN goes by its bits, for the processor would change some of them.

(defn- float-of-bits [bits]
  (let [bits (int bits), x (Float/intBitsToFloat bits)]
    (if (Float/isNaN x)
      (Double/longBitsToDouble (bit-or (bit-shift-left (bit-and bits 0x80000000) 32)
                                       0x7ff0000000000000
                                       (bit-shift-left (bit-and bits 0x7fffff) 29)))
      (message/decimal x))))

(defn- bits-of-float ^long [^Number x]
  (let [x (.doubleValue x)]
    (if (Double/isNaN x)
      (let [bits    (Double/doubleToRawLongBits x)
            payload (bit-and (unsigned-bit-shift-right bits 29) 0x7fffff)]
        (unchecked-int (bit-or (bit-and (unsigned-bit-shift-right bits 32) 0x80000000)
                               0x7f800000
                               (if (zero? payload) 0x400000 payload))))
      (Float/floatToRawIntBits (unchecked-float x)))))

;; ---- Numbers as they are in a file

(defn shortest
  "The double that `parse` reads where x was written: of all that are the same 32-bit
  float, the one with the fewest digits.

      (shortest (/ 1.0 3.0))  ;=> 0.33333334"
  ^double [^double x]
  (if (and (== x (Math/rint x)) (< (Math/abs x) 16777216.0))
    x
    (double (float-of-bits (bits-of-float x)))))

;; ---- Bytes to values. `in` stands where the next thing is read; `wide?`: version 2, integers of 32 bits.

(defn- need [^ByteBuffer in size expected]
  (when (< (.remaining in) (long size))
    (bad (.position in) (str "the end after " (.remaining in) " bytes") expected)))

(defn- read-byte [^ByteBuffer in expected]
  (need in 1 expected)
  (bit-and 0xff (.get in)))

(defn- read-short [^ByteBuffer in expected]
  (need in 2 expected)
  (long (.getShort in)))

(defn- read-integer [^ByteBuffer in wide? expected]
  (if wide?
    (do (need in 4 expected)
        (long (.getInt in)))
    (read-short in expected)))

(defn- read-index
  "An integer from 0 to below `limit`."
  [^ByteBuffer in wide? limit expected]
  (let [at (.position in)
        n  (long (read-integer in wide? expected))]
    (if (< -1 n (long limit))
      n
      (bad at n (str expected " below " limit)))))

(defn- read-count
  "A count of things that take at least `size` bytes each, which must be there."
  [^ByteBuffer in wide? size expected]
  (let [at (.position in)
        n  (long (read-integer in wide? expected))]
    (if (<= 0 (* n (long size)) (.remaining in))
      n
      (bad at n (str expected " that the " (.remaining in) " bytes behind it can hold")))))

(defn- read-text [^ByteBuffer in longest expected]
  (let [at (.position in)
        n  (long (read-byte in expected))]
    (when (> n (long longest))
      (bad at (str n " bytes") (str expected " of at most " longest " bytes")))
    (need in n expected)
    (let [text (.limit (.slice in) (int n))]
      (.position in (int (+ at 1 n)))
      (try
        (str (.decode (.newDecoder StandardCharsets/UTF_8) ^ByteBuffer text))
        (catch CharacterCodingException _
          (bad at "bytes that are no UTF-8" expected))))))

(defn- read-rate [^ByteBuffer in]
  (let [at (.position in)
        n  (read-byte in "a rate")]
    (or (get rates n)
        (bad at n "a rate from 0 to 3"))))

(defn- read-floats [^ByteBuffer in n]
  (need in (* 4 (long n)) (str n " numbers"))
  (into [] (map (fn [_] (float-of-bits (.getInt in)))) (range n)))

(defn- read-parameter-name [in wide? parameter-count]
  [(read-text in longest-part "a control's name")
   (read-index in wide? parameter-count "a control's index")])

(defn- read-input [^ByteBuffer in wide? constant-count ugens]
  (let [at    (.position in)
        ugen  (read-integer in wide? "an input")
        known (count ugens)]
    (cond
      (= -1 ugen)        [:constant (read-index in wide? constant-count "a constant's index")]
      (< -1 ugen known) [:ugen ugen (read-index in wide? (count (:outputs (nth ugens ugen))) "an output's index")]
      :else              (bad at ugen (str "-1, or a UGen before this one: below " known ",")))))

(defn- read-special
  "The special index; that of a control UGen with `output-count` slots is within the parameters."
  [^ByteBuffer in ugen-class output-count parameter-count]
  (let [at    (.position in)
        n     (read-short in "a special index")
        limit (- parameter-count output-count)]
    (when (and (control-classes ugen-class) (not (<= 0 n limit)))
      (bad at n (str "the first slot of " output-count ", with " parameter-count " parameters,")))
    n))

(defn- read-ugen [in wide? constant-count parameter-count ugens]
  (let [ugen-class   (read-text in longest-part "a UGen's name")
        rate         (read-rate in)
        input-count  (read-count in wide? (if wide? 8 4) "a number of inputs")
        output-count (read-count in wide? 1 "a number of outputs")
        special      (read-special in ugen-class output-count parameter-count)]
    {:class   ugen-class
     :rate    rate
     :inputs  (into [] (map (fn [_] (read-input in wide? constant-count ugens))) (range input-count))
     :outputs (into [] (map (fn [_] (read-rate in))) (range output-count))
     :special special}))

(defn- read-variant [in parameter-count]
  [(read-text in longest-part "a variant's name") (read-floats in parameter-count)])

(defn- read-synthdef [in wide?]
  (let [size            (if wide? 4 2)
        synthdef-name   (read-text in longest-name "a SynthDef's name")
        constant-count  (read-count in wide? 4 "a number of constants")
        constants       (read-floats in constant-count)
        parameter-count (read-count in wide? 4 "a number of parameters")
        parameters      (read-floats in parameter-count)
        name-count      (read-count in wide? (+ 1 size) "a number of control names")
        parameter-names (into [] (map (fn [_] (read-parameter-name in wide? parameter-count))) (range name-count))
        ugen-count      (read-count in wide? (+ 4 size size) "a number of UGens")
        ugens           (reduce (fn [ugens _] (conj ugens (read-ugen in wide? constant-count parameter-count ugens)))
                                []
                                (range ugen-count))
        variant-count   (read-count in false (+ 1 (* 4 parameter-count)) "a number of variants")]
    {:kind            :synthdef
     :name            synthdef-name
     :constants       constants
     :parameters      parameters
     :parameter-names parameter-names
     :ugens           ugens
     :variants        (into [] (map (fn [_] (read-variant in parameter-count))) (range variant-count))}))

(defn- read-wide?
  "Whether the file, behind whose beginning `in` stands then, is of version 2."
  [in]
  (let [seen (read-integer in true "SCgf")]
    (when-not (= magic seen)
      (bad 0 (format "0x%08x" (unchecked-int seen)) "SCgf")))
  (let [version (read-integer in true "the format's version")]
    (case (long version)
      1 false
      2 true
      (bad 4 version "the format's version, 1 or 2,"))))

(defn parse
  "The SynthDefs of a file.

  `bytes`  the whole file, a byte array

  Returns a vector of SynthDefs in the order of the file, each as this namespace
  describes it.

  Throws `:espalier.error/invalid-synthdef`, with the `:offset` of the byte, what
  was `:seen` and what was `:expected`, for anything but a whole file: for one that
  ends early or goes on behind its last SynthDef, for format versions other than 1
  and 2, for names that are too long for a server or not UTF-8, for an input that
  is not an output of an earlier UGen or a constant that is there, for control
  names and control UGens without a slot.

      (:name (first (parse bytes)))  ;=> \"bell\""
  [^bytes bytes]
  (when-not (bytes? bytes)
    (throw (error :invalid-synthdef (str "The SynthDefs of a file are its bytes, a byte array, not " (pr-str bytes) ".") {:value bytes})))
  (let [in    (ByteBuffer/wrap bytes)
        wide? (read-wide? in)
        n     (read-count in false (if wide? 19 11) "a number of SynthDefs")
        defs  (into [] (map (fn [_] (read-synthdef in wide?))) (range n))]
    (when (.hasRemaining in)
      (bad (.position in) (str (.remaining in) " more bytes") "the end"))
    defs))

;; ---- Values to bytes. Each thing is checked as `parse` would check it.

(defn- write-index
  "An integer from 0 to below `limit`."
  [^DataOutputStream out x limit expected]
  (if (and (int? x) (< -1 (long x) (long limit)))
    (.writeInt out (int x))
    (bad (.size out) (pr-str x) (str expected " below " limit))))

(defn- write-short [^DataOutputStream out x expected]
  (if (and (int? x) (<= Short/MIN_VALUE (long x) Short/MAX_VALUE))
    (.writeShort out (int x))
    (bad (.size out) (pr-str x) (str expected " of 16 bits"))))

(defn- write-text [^DataOutputStream out text longest expected]
  (let [bytes (when (string? text) (.getBytes ^String text StandardCharsets/UTF_8))]
    (if (and bytes (<= (alength ^bytes bytes) (long longest)))
      (do (.writeByte out (alength ^bytes bytes))
          (.write out ^bytes bytes))
      (bad (.size out) (pr-str text) (str expected " of at most " longest " bytes")))))

(defn- write-floats [^DataOutputStream out xs]
  (run! (fn [x]
          (if (number? x)
            (.writeInt out (bits-of-float x))
            (bad (.size out) (pr-str x) "a number")))
        xs))

(defn- write-rate [^DataOutputStream out rate]
  (case rate
    :scalar  (.writeByte out 0)
    :control (.writeByte out 1)
    :audio   (.writeByte out 2)
    :demand  (.writeByte out 3)
    (bad (.size out) (pr-str rate) (str "one of " rates))))

(defn- write-input
  "An input of UGen `i`."
  [^DataOutputStream out constant-count ugens i input]
  (let [kind (when (vector? input) (nth input 0 nil))]
    (case kind
      :constant (do (.writeInt out -1)
                    (write-index out (nth input 1 nil) constant-count "a constant's index"))
      :ugen     (let [ugen (nth input 1 nil)]
                  (if (and (int? ugen) (< -1 (long ugen) (long i)))
                    (do (.writeInt out (int ugen))
                        (write-index out (nth input 2 nil) (count (:outputs (nth ugens ugen))) "an output's index"))
                    (bad (.size out) (pr-str ugen) (str "a UGen before this one: from 0 to below " i ","))))
      (bad (.size out) (pr-str input) "[:ugen index output] or [:constant index]"))))

(defn- check-special
  "That the slots of a control UGen are among the parameters."
  [^DataOutputStream out {:keys [outputs special] :as ugen} parameter-count]
  (when (control-classes (:class ugen))
    (let [limit (- (long parameter-count) (count outputs))]
      (when-not (and (int? special) (<= 0 (long special) limit))
        (bad (.size out) (pr-str special) (str "the first slot of " (count outputs) ", with " parameter-count " parameters,"))))))

(defn- write-ugen [^DataOutputStream out constant-count parameter-count ugens i]
  (let [{:keys [rate inputs outputs special] :as ugen} (nth ugens i)]
    (write-text out (:class ugen) longest-part "a UGen's name")
    (write-rate out rate)
    (.writeInt out (count inputs))
    (.writeInt out (count outputs))
    (check-special out ugen parameter-count)
    (write-short out special "a special index")
    (run! (fn [input] (write-input out constant-count ugens i input)) inputs)
    (run! (fn [rate] (write-rate out rate)) outputs)))

(defn- write-variant [^DataOutputStream out parameters [variant-name values]]
  (write-text out variant-name longest-part "a variant's name")
  (when-not (= (count parameters) (count values))
    (bad (.size out) (str (count values) " values") (str (count parameters) ", one a parameter,")))
  (write-floats out values))

(defn- write-synthdef [^DataOutputStream out {:keys [constants parameters parameter-names ugens variants] :as d}]
  (let [ugens (vec ugens)]
    (write-text out (:name d) longest-name "a SynthDef's name")
    (.writeInt out (count constants))
    (write-floats out constants)
    (.writeInt out (count parameters))
    (write-floats out parameters)
    (.writeInt out (count parameter-names))
    (doseq [[parameter-name index] parameter-names]
      (write-text out parameter-name longest-part "a control's name")
      (write-index out index (count parameters) "a control's index"))
    (.writeInt out (count ugens))
    (dotimes [i (count ugens)]
      (write-ugen out (count constants) (count parameters) ugens i))
    (write-short out (count variants) "a number of variants")
    (run! (fn [variant] (write-variant out parameters variant)) variants)))

(defn encode
  "The bytes of a file, format version 2, that holds `defs`.

  `defs`  SynthDefs as this namespace describes them, in the order of the file

  Returns a byte array that `parse` reads. Of what `parse` read from a file of
  version 2 it is that file, byte for byte.

  Throws `:espalier.error/invalid-synthdef`, with the `:offset` where it would have
  stood, for what `parse` would refuse or the format cannot hold.

      (encode (parse bytes))"
  ^bytes [defs]
  (let [bytes (ByteArrayOutputStream. 1024)
        out   (DataOutputStream. bytes)]
    (.writeInt out magic)
    (.writeInt out 2)
    (write-short out (count defs) "a number of SynthDefs")
    (run! (fn [d]
            (if (map? d)
              (write-synthdef out d)
              (bad (.size out) (pr-str d) "a SynthDef, which is a map,")))
          defs)
    (.toByteArray bytes)))

;; ---- Controls

(defn- first-of-each
  "The entries [name index] without those whose name an earlier one has."
  [entries]
  (:kept (reduce (fn [{:keys [seen] :as acc} [k :as entry]]
                   (if (seen k)
                     acc
                     {:seen (conj seen k) :kept (conj (:kept acc) entry)}))
                 {:seen #{} :kept []}
                 entries)))

(defn control-count
  "How many slots a synth of SynthDef `d` has for control values.

      (control-count d)  ;=> 2"
  [d]
  (count (:parameters d)))

(defn controls
  "The controls of SynthDef `d`, a map in the order of the file from name to

      {:index 0, :size 1, :default 440.0}

  `:size` is the distance to the next control's index, or to the end: what a server
  takes for it. The default of an array, `:size` above 1, is a vector. Of two controls
  of one name the first is told, which is the one that a server sets.

      (controls d)  ;=> {\"freq\" {:index 0, :size 1, :default 440.0}
                    ;    \"amp\"  {:index 1, :size 1, :default 0.1}}"
  [{:keys [parameters parameter-names]}]
  (let [starts  (into (sorted-set) (map second) parameter-names)
        ends    (zipmap starts (concat (rest starts) [(count parameters)]))
        control (fn [index]
                  (let [end (ends index)]
                    {:index   index
                     :size    (- end index)
                     :default (if (= end (inc index))
                                (nth parameters index)
                                (into [] (subvec parameters index end)))}))]
    (clojure.lang.PersistentArrayMap.                      ; keeps the order, however many there are
      (object-array (mapcat (fn [[k index]] [k (control index)]) (first-of-each parameter-names))))))

;; ---- Text

(def ^:private rate-marks {:scalar "ir" :control "kr" :audio "ar" :demand "dr"})

(defn- slot-names
  "The name of each slot of a SynthDef's parameters, a vector: freqs[1] is one of an array."
  [d]
  (reduce (fn [names [k {:keys [index size]}]]
            (reduce (fn [names i]
                      (assoc names (+ (long index) (long i)) (if (= 1 size) k (str k "[" i "]"))))
                    names (range size)))
          (vec (repeat (control-count d) nil))
          (reverse (controls d))))

(defn- input-text [{:keys [constants ugens]} slots [kind index output]]
  (if (= :constant kind)
    (str (nth constants index))
    (let [{:keys [outputs special] :as ugen} (nth ugens index)]
      (or (when (control-classes (:class ugen)) (nth slots (+ (long special) (long output)) nil))
          (str "#" index (when (< 1 (count outputs)) (str "." output)))))))

(defn text
  "A SynthDef as text for people: a line for its name and controls, one for each UGen with
  its rate and inputs, in which #3 is what UGen 3 puts out and #3.1 its second output.

  `operator-name`  a function of the class and number of an operator, for its sign

      (println (text d))"
  ([d] (text d (fn [_ number] (str number))))
  ([{:keys [ugens variants] :as d} operator-name]
   (let [slots (slot-names d)
         width (count (str (dec (count ugens))))
         pad   (fn [x] (str (apply str (repeat (- width (count (str x))) " ")) x))]
     (str "SynthDef " (:name d) "\n"
          (apply str (map (fn [[k {:keys [default]}]] (str "  " k " " default "\n")) (controls d)))
          (apply str (map (fn [[k values]] (str "  variant " k " " (pr-str values) "\n")) variants))
          (apply str (map-indexed
                       (fn [i {:keys [rate inputs special] :as ugen}]
                         (str "  #" (pad i) " " (:class ugen)
                              (when (#{"UnaryOpUGen" "BinaryOpUGen"} (:class ugen)) (str " " (operator-name (:class ugen) special)))
                              " " (rate-marks rate)
                              (apply str (map #(str " " (input-text d slots %)) inputs))
                              "\n"))
                       ugens))))))

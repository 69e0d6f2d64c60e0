(ns espalier.model.graph
  "UGen graphs while they are written: UGens, the outputs that others read, operators,
  multichannel expansion, controls.

  A UGen is an immutable value that equals only itself: two calls make two
  oscillators. What is made while a graph function runs is gathered in its order, by
  `build`; this matters for UGens that nothing reads, such as Out, and for the order
  in a SynthDef. A UGen that was made before becomes part of each graph that reads
  it.

  An input is a number, a UGen, an output of one, or a buffer or bus, which stands for
  its number. Where a sequence stands for one, there is a UGen for each of its
  elements, and the result is a vector: the longest sequence says how many, shorter
  ones repeat, and sequences within sequences do the same again."
  (:require
   [clojure.string :as str]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.ugen Spec)
   (java.io Writer)
   (java.util ArrayList HashMap)))

(set! *warn-on-reflection* true)

;; ---- what a graph is made of

(deftype UGen [^Spec spec ^objects inputs ^long channels ^long special]
  Object
  (toString [_]
    (str "#<UGen " (or (ugen/operator-name (.class-name spec) special) spec) ">")))

(deftype Output [^UGen ugen ^long index]
  Object
  (toString [_] (str "#<Output " index " of " (.spec ugen) ">")))

(deftype Fixed [items])

(defmethod print-method UGen [x ^Writer w] (.write w (str x)))
(defmethod print-method Output [x ^Writer w] (.write w (str x)))

(deftype Building
         [synthdef            ; its name
          ^Thread thread      ; which alone may add to it
          ^ArrayList ugens    ; in the order of creation
          ^ArrayList values   ; the defaults of all controls
          ^ArrayList names    ; [name index of its first value]
          ^HashMap controls]) ; name -> how it was declared and what it puts out

(def ^:dynamic ^:private *building* nil)

(defn rate
  "The rate of an input: `:audio`, `:control`, `:scalar` (numbers too) or `:demand`."
  [x]
  (cond
    (instance? UGen x)   (.rate ^Spec (.spec ^UGen x))
    (instance? Output x) (.rate ^Spec (.spec ^UGen (.ugen ^Output x)))
    :else                :scalar))

(defn rank
  "The place of a rate where the fastest is wanted: demand behind control, as the class
  library sorts them."
  ^long [rate]
  (case rate :audio 0, :control 1, :demand 2, 3))

(defn fastest
  "The fastest rate of inputs, which may be sequences of inputs."
  [inputs]
  (reduce (fn [found x]
            (let [r (if (sequential? x) (fastest x) (rate x))]
              (if (< (rank r) (rank found)) r found)))
          :scalar
          inputs))

(defn signal?
  "Whether x is a UGen or an output of one."
  [x]
  (or (instance? UGen x) (instance? Output x)))

(defn channels?
  "Whether a UGen or an output puts something out that another can read."
  [x]
  (or (instance? Output x) (and (instance? UGen x) (pos? (.channels ^UGen x)))))

(defn declared?
  "Whether the graph that is being written has a control of this name."
  [control-name]
  (some-> ^Building *building* .controls (as-> ^HashMap m (.containsKey m control-name))))

;; ---- errors

(def ^:private inner
  "Namespaces whose frames do not tell where a mistake is."
  #"^(clojure|java|jdk|espalier\.(model|runtime|ugens|env|synthdef|core|repl))[$.]")

(defn- place
  "\"file.clj:12\", where the graph is written that an exception comes from, or nil."
  [^Throwable e]
  (some (fn [^StackTraceElement frame]
          (when-not (or (re-find inner (.getClassName frame)) (contains? #{nil "NO_SOURCE_FILE"} (.getFileName frame)))
            (str (.getFileName frame) ":" (.getLineNumber frame))))
        (.getStackTrace e)))

(defn refuse
  "Throws the error `code` of the graph that is being written; its message begins with
  the SynthDef and says where in the source it happened."
  ([code message data] (refuse code message data nil))
  ([code message data ^Throwable cause]
   (let [building ^Building *building*
         where    (place (or cause (Throwable.)))]
     (throw (error/error code
                         (str (when building (str "SynthDef " (.synthdef building) ": ")) message (when where (str " At " where ".")))
                         (cond-> data
                           building (assoc :synthdef (.synthdef building))
                           where    (assoc :at where))
                         cause)))))

(defn- bad-input
  "Throws for argument `argument` of a UGen, or for an operand, by its number, of an operator."
  [who argument x]
  (refuse :invalid-input
          (str who ": " (if (keyword? argument) (str "argument " argument) (str "the " (nth ["first" "second" "third" "fourth"] argument (str (inc (long argument)) "th")) " operand")) " is " (error/shown x) ", where "
               (cond
                 (boolean? x)                         "a number or a UGen belongs; 1 and 0 are true and false."
                 (nil? x)                             "a number or a UGen belongs; a function that returns nil was called, it may be."
                 (fn? x)                              "a number or a UGen belongs; a function was not called, it may be."
                 (instance? UGen x)                   "a UGen belongs that puts something out, and this one does not."
                 (and (number? x) (Double/isNaN (double x))) "a number belongs; NaN would silence all that it reaches."
                 :else                                "a number, a UGen, a buffer or a bus belongs."))
          {(if (keyword? argument) :ugen :operator) (str who), :argument argument, :value x}))

;; ---- inputs

(defn- input
  "What is written for x: a Double, a UGen or an Output; nil where x is none."
  [x]
  (cond
    (instance? UGen x)      (when (pos? (.channels ^UGen x)) x)
    (instance? Output x)    x
    (number? x)             (let [d (double x)] (when-not (Double/isNaN d) d))
    (entity/entity? x)      (double (:id x))
    :else                   nil))

(def ^:private ^:const most-elements 65536)

(defn finite
  "x; throws `:espalier.error/invalid-input` where it is a sequence without an end, or of
  more elements than a graph can be meant to have."
  [x]
  (when (and (sequential? x) (< most-elements (bounded-count (inc most-elements) x)))
    (refuse :invalid-input (str "A sequence has no end, or more than " most-elements " elements. Take as many as there shall be channels: (take 2 …).")
            {:limit most-elements}))
  x)

(defn- sequence-of
  "A vector of the elements of a sequence that an argument may be."
  [x]
  (if (vector? x) x (vec x)))

(declare argument-at)

(defn- refuse-empty
  "Throws for an empty sequence among the items of a UGen's spec, or of none."
  [^Spec spec items]
  (let [i      (first (keep-indexed (fn [i x] (when (and (sequential? x) (empty? x)) i)) items))
        said?  (and spec (map? (.channels spec)))
        k      (when spec (argument-at spec (if said? (dec (long i)) i)))]
    (refuse :invalid-input
            (str (when spec (str spec ": ")) (if k (str "argument " k " is") "there is") " an empty sequence, where an input belongs. Give it an element, or leave the UGen out.")
            (cond-> {:value []}
              spec (assoc :ugen (str spec), :argument k)))))

(defn- expanded [spec f ^objects items]
  (let [size (alength items)
        n    (long (loop [i 0, n -1]
                     (if (= i size)
                       n
                       (let [x (aget items i)]
                         (recur (inc i) (if (sequential? x) (Math/max n (long (count (finite x)))) n))))))]
    (cond
      (neg? n)  (f items)
      (or (zero? n) (some #(and (sequential? %) (empty? %)) items))
      (refuse-empty spec items)

      :else
      (let [items (object-array (map (fn [x] (if (sequential? x) (sequence-of x) x)) items))]
        (mapv (fn [^long i]
                (expanded spec f (let [one (aclone items)]
                                   (dotimes [j size]
                                     (let [x (aget one j)]
                                       (when (vector? x)
                                         (aset one j (nth x (rem i (count x)))))))
                                   one)))
              (range n))))))

(defn expand
  "Calls `f` with `items`, an object array, where none is a sequence; otherwise with
  each array that has an element for each sequence, and returns a vector of the
  results.

      (expand vec (object-array [1 [2 3]]))  ;=> [[1 2] [1 3]]"
  [f items]
  (expanded nil f items))

;; ---- UGens

(defn- check-thread [^Building building]
  (when-not (identical? (Thread/currentThread) (.thread building))
    (refuse :graph-elsewhere
            (str "A graph is made by one thread, and a UGen of it is made on another, " (.getName (Thread/currentThread))
                 ": a future, pmap or go block. Make it with map or for, or before the graph.")
            {:thread (.getName (Thread/currentThread))})))

(defn- made
  "A new UGen, which is gathered where a graph is being written."
  ^UGen [spec ^objects inputs channels special]
  (let [u (UGen. spec inputs (long channels) (long special))]
    (when-some [^Building building *building*]
      (check-thread building)
      (.add ^ArrayList (.ugens building) u))
    u))

(defn- outputs
  "What a call returns that has made a UGen: the UGen, or its outputs where they are
  apart from it."
  [^UGen u]
  (if (.multi-out? ^Spec (.spec u))
    (if (= 1 (.channels u))
      (Output. u 0)
      (mapv #(Output. u %) (range (.channels u))))
    u))

(defn argument-at
  "The key of the argument that an input was made of."
  [^Spec spec i]
  (let [layout (.layout spec)
        splice (first (keep-indexed (fn [i x] (when (vector? x) i)) layout))
        place  (nth layout (if (and splice (< (long splice) (long i))) splice i) nil)
        place  (if (vector? place) (first place) place)]
    (if (int? place)
      (:key (nth (.arguments spec) place))
      i)))

(defn- check-rate [^Spec spec ^objects inputs i rates]
  (when (< (long i) (alength inputs))
    (let [x    (aget inputs (long i))
          seen (rate x)]
      (when (contains? rates seen)
        (let [wanted (first (remove rates [:audio :control :scalar]))]
          (refuse :wrong-rate
                  (str spec ": argument " (argument-at spec i) " is " (error/shown x) " of " (name seen) " rate, where only "
                       (str/join " or " (map name (remove rates [:audio :control :scalar]))) " rate is taken."
                       (case wanted
                         :audio   (if (number? x) (str " (dc:ar " (error/shown x) ") is that number at audio rate.") " (k2a:ar …) makes it audio rate.")
                         :control (if (= :audio seen) " (a2k:kr …) makes it control rate." (str " (dc:kr " (error/shown x) ") is it at control rate."))
                         ""))
                  {:ugen (str spec), :argument (argument-at spec i), :value x, :rate seen}))))))

(defn- check-rates [^Spec spec ^objects inputs]
  (when-some [rejects (.rejects spec)]
    (reduce-kv (fn [_ i rates] (check-rate spec inputs i rates)) nil rejects))
  (when-some [[from rates] (.rejects-rest spec)]
    (loop [i (long from)]
      (when (< i (alength inputs))
        (check-rate spec inputs i rates)
        (recur (inc i))))))

(defn channel-count
  "`n`, a number of channels; `whose` and `data` say of what it is in the error.

  Throws `:espalier.error/invalid-channel-count`.

      (channel-count 2 \"play-buf:ar\" {:ugen \"play-buf:ar\"})  ;=> 2"
  [n whose data]
  (if (and (int? n) (<= 1 (long n) 4096))
    n
    (refuse :invalid-channel-count
            (str whose ": the number of channels is " (error/shown n) ", where a whole number from 1 to 4096 belongs, for it is part of the SynthDef.")
            (assoc data :value n))))

(defn- channels-of [^Spec spec n]
  (channel-count n spec {:ugen (str spec), :argument (:key (nth (.arguments spec) (:argument (.channels spec)) nil))}))

(defn- opened
  "`items` with the items of each Fixed in its place."
  ^objects [^objects items]
  (if (some #(instance? Fixed %) items)
    (object-array (mapcat #(if (instance? Fixed %) (.items ^Fixed %) [%]) items))
    items))

(defn- make-one
  "One UGen of `items`, its inputs, before which there is the number of its channels
  where an argument says it. Returns what its call returns."
  [^Spec spec ^objects items]
  (let [said?  (map? (.channels spec))
        items  (opened items)
        offset (if said? 1 0)
        n      (- (alength items) offset)
        inputs (object-array n)]
    (dotimes [i n]
      (let [x (aget items (+ i offset))]
        (aset inputs i (or (input x) (bad-input spec (argument-at spec i) x)))))
    (check-rates spec inputs)
    (outputs (made spec
                   inputs
                   (cond
                     said?                       (channels-of spec (aget items 0))
                     (= :inputs (.channels spec)) (- n 2)
                     :else                       (.channels spec))
                   0))))

(defn make
  "The UGens of a spec for a vector of inputs, expanded, before which there is the
  number of channels where an argument says it. Returns what a call returns: a UGen, an
  output, a vector of outputs, or a vector of these.

  Throws `:espalier.error/invalid-input`, `:espalier.error/wrong-rate`,
  `:espalier.error/invalid-channel-count`.

      (make (ugen/find-spec \"SinOsc\" :audio) [440 0])  ;=> #<UGen sin-osc:ar>"
  [^Spec spec items]
  (expanded spec #(make-one spec %) (object-array items)))

(defn fixed
  "A row of inputs that does not expand: an envelope."
  [items]
  (Fixed. items))

(defn as-row
  "The elements of an argument that may be one value, several or nil."
  [x]
  (cond (nil? x) [], (sequential? x) x, :else [x]))

(declare mul-add)

(defn construct
  "The UGens of a spec for its arguments, an object array in their order: expanded, with
  mul and add. Returns and throws what `make` does."
  [^Spec spec ^objects arguments]
  (let [layout   (.layout spec)
        channels (.channels spec)
        items    (ArrayList.)]
    (when (map? channels)
      (.add items (aget arguments (long (:argument channels)))))
    (run! (fn [place]
            (if (vector? place)
              (run! #(.add items %) (as-row (aget arguments (long (first place)))))
              (.add items (if (int? place) (aget arguments (long place)) place))))
          layout)
    (let [made (expanded spec #(make-one spec %) (.toArray items))]
      (cond
        (.mul-add spec) (let [[mul add] (.mul-add spec)]
                          (mul-add made (aget arguments (long mul)) (aget arguments (long add))))
        (.returns spec) (aget arguments (long (.returns spec)))
        :else           made))))

;; ---- operators

(defn- of-each-rate [class-name facts]
  (into {} (map (fn [rate] [rate (ugen/built-in class-name rate facts)])) [:audio :control :scalar :demand]))

(def ^:private unary-specs (of-each-rate "UnaryOpUGen" {:pure? true}))
(def ^:private binary-specs (of-each-rate "BinaryOpUGen" {:pure? true}))
(def ^:private mul-add-specs (of-each-rate "MulAdd" {}))
(def ^:private sum3-specs (of-each-rate "Sum3" {}))
(def ^:private sum4-specs (of-each-rate "Sum4" {}))

(defn spec-of
  "The spec of MulAdd, Sum3, Sum4 or BinaryOpUGen at a rate."
  [class-name rate]
  (get (case class-name "MulAdd" mul-add-specs, "Sum3" sum3-specs, "Sum4" sum4-specs, "BinaryOpUGen" binary-specs) rate))

(defn- of-number
  "What a unary operator makes of a number. The formulas are compiled when the first is
  needed: they would be a third of the time that UGens take to load."
  [index x]
  ((requiring-resolve 'espalier.model.operator/of-number) (:name (nth ugen/unary-operators index)) x))

(defn- of-numbers [index a b]
  ((requiring-resolve 'espalier.model.operator/of-numbers) (:name (nth ugen/binary-operators index)) a b))

(defn- operand [operators index i x]
  (or (input x)
      (bad-input (:name (nth operators index)) i x)))

(defn- unary-one [index x]
  (let [x (operand ugen/unary-operators index 0 x)]
    (or (when (number? x) (of-number index x))
        (made (get unary-specs (rate x)) (doto (object-array 1) (aset 0 x)) 1 index))))

(defn unary
  "A unary operator, by its number, of x: a UGen, the number where x is one, or a
  vector for a sequence.

      (unary (ugen/unary-index \"midicps\") 69)  ;=> 440.0"
  [index x]
  (if (sequential? x)
    (expand #(unary-one index (aget ^objects % 0)) (object-array [x]))
    (unary-one index x)))

(def ^:private plus (ugen/binary-index "+"))
(def ^:private minus (ugen/binary-index "-"))
(def ^:private times (ugen/binary-index "*"))
(def ^:private divide (ugen/binary-index "/"))
(def ^:private neg (ugen/unary-index "neg"))

(defn- is? [x n] (and (number? x) (== (double x) (double n))))

(defn binary-rate
  "The rate of a binary operator of inputs of two rates."
  [a b]
  (cond
    (or (= :demand a) (= :demand b))   :demand
    (or (= :audio a) (= :audio b))     :audio
    (or (= :control a) (= :control b)) :control
    :else                              :scalar))

(defn- binary-made [index a b]
  (made (get binary-specs (binary-rate (rate a) (rate b)))
        (doto (object-array 2) (aset 0 a) (aset 1 b))
        1 index))

(defn- binary-ugen
  "A binary operator of two inputs, not both of them numbers, or what is the same."
  [index a b]
  (let [index (long index)]
    (cond
      (= index (long times))  (cond
                                (or (is? a 0) (is? b 0)) 0.0
                                (is? a 1)                b
                                (is? a -1)               (unary neg b)
                                (is? b 1)                a
                                (is? b -1)               (unary neg a)
                                :else                    (binary-made index a b))
      (= index (long plus))   (cond
                                (is? a 0) b
                                (is? b 0) a
                                :else     (binary-made index a b))
      (= index (long minus))  (cond
                                (is? a 0) (unary neg b)
                                (is? b 0) a
                                :else     (binary-made index a b))
      (= index (long divide)) (cond
                                (is? b 1)  a
                                (is? b -1) (unary neg a)
                                :else      (binary-made index a b))
      :else                   (binary-made index a b))))

(defn- binary-one [index a b]
  (let [x (operand ugen/binary-operators index 0 a)
        y (operand ugen/binary-operators index 1 b)]
    (or (when (and (number? a) (number? b)) (of-numbers index a b))
        (binary-ugen index x y))))

(defn binary
  "A binary operator, by its number, of a and b: a UGen, the number where both are
  numbers, or a vector where one is a sequence. What changes nothing makes no UGen:
  times 1, plus 0, minus 0, by 1; times 0 is 0.

      (binary (ugen/binary-index \"*\") 2 21)  ;=> 42"
  [index a b]
  (if (or (sequential? a) (sequential? b))
    (expand (fn [^objects xs] (binary-one index (aget xs 0) (aget xs 1))) (object-array [a b]))
    (binary-one index a b)))

(defn fusable?
  "Whether MulAdd takes inputs of these rates: `x` times `mul` plus `add`."
  [x mul add]
  (or (= :audio x)
      (and (= :control x)
           (or (= :control mul) (= :scalar mul))
           (or (= :control add) (= :scalar add)))))

(defn- mul-add-made [x mul add]
  (made (get mul-add-specs (fastest [x mul add]))
        (doto (object-array 3) (aset 0 x) (aset 1 mul) (aset 2 add))
        1 0))

(defn- mul-add-one [x mul add]
  (if (and (number? x) (number? mul) (number? add))
    (if (and (int? x) (int? mul) (int? add)) (+' (*' x mul) add) (+ (* (double x) (double mul)) (double add)))
    (let [checked (fn [i x] (or (input x) (bad-input "MulAdd" i x)))
          x       (checked 0 x)
          mul     (checked 1 mul)
          add     (checked 2 add)]
      (cond
        (is? mul 0)                     add
        (and (is? mul 1) (is? add 0))   x
        (and (is? mul -1) (is? add 0))  (unary neg x)
        (is? add 0)                     (binary times x mul)
        (is? mul -1)                    (binary minus add x)
        (is? mul 1)                     (binary plus x add)
        (fusable? (rate x) (rate mul) (rate add)) (mul-add-made x mul add)
        (fusable? (rate mul) (rate x) (rate add)) (mul-add-made mul x add)
        :else                           (binary plus (binary times x mul) add)))))

(defn mul-add
  "`x` times `mul` plus `add`, expanded, in one UGen where that is possible and in none
  where nothing is to be done."
  [x mul add]
  (if (or (sequential? x) (sequential? mul) (sequential? add))
    (expand (fn [^objects xs] (mul-add-one (aget xs 0) (aget xs 1) (aget xs 2))) (object-array [x mul add]))
    (mul-add-one x mul add)))

(defn by-rate
  "Inputs in the order in which Sum3 and Sum4 have them: the fastest first, those of one
  rate from the last to the first."
  [rank-of inputs]
  (sort-by rank-of (reverse inputs)))

(defn- summed [specs inputs]
  (made (get specs (fastest inputs)) (object-array (by-rate #(rank (rate %)) inputs)) 1 0))

(declare sum4-one)

(defn- sum3-one [a b c]
  (cond
    (is? c 0) (binary plus a b)
    (is? b 0) (binary plus a c)
    (is? a 0) (binary plus b c)
    :else     (summed sum3-specs [a b c])))

(defn- sum4-one [a b c d]
  (cond
    (is? a 0) (sum3-one b c d)
    (is? b 0) (sum3-one a c d)
    (is? c 0) (sum3-one a b d)
    (is? d 0) (sum3-one a b c)
    :else     (summed sum4-specs [a b c d])))

(defn sum
  "The sum of three or four inputs in one UGen, expanded."
  [inputs]
  (expand (fn [^objects xs]
            (let [n  (alength xs)
                  xs (map-indexed (fn [i x] (or (input x) (bad-input (str "Sum" n) i x))) xs)]
              (apply (if (= 3 n) sum3-one sum4-one) xs)))
          (object-array inputs)))

;; ---- controls

(def ^:private control-specs
  {:scalar  (ugen/built-in "Control" :scalar {:multi-out? true})
   :trigger (ugen/built-in "TrigControl" :control {:multi-out? true})
   :audio   (ugen/built-in "AudioControl" :audio {:multi-out? true})
   :control (ugen/built-in "Control" :control {:multi-out? true})
   :lagged  (ugen/built-in "LagControl" :control {:multi-out? true, :layout [[0]]})})

(defn- control-ugen
  "The outputs, a vector, of a new control UGen for `values`, whose defaults they become."
  [kind values lags]
  (let [^Building building *building*
        index              (.size ^ArrayList (.values building))
        _                  (.addAll ^ArrayList (.values building) values)
        u                  (made (get control-specs kind) (object-array lags) (count values) index)]
    (mapv #(Output. u %) (range (count values)))))

(defn- control-ugens
  "The same for any number of values, which LagControl takes sixteen at a time."
  [kind values lags]
  (if (and (= :control kind) (some #(not (and (number? %) (zero? (double %)))) lags))
    (into [] (mapcat (fn [[values lags]] (control-ugen :lagged values lags)))
          (map vector (partition-all 16 values) (partition-all 16 lags)))
    (control-ugen kind values nil)))

(defn- check-name [control-name]
  (let [^Building building *building*
        bytes              (alength (.getBytes ^String control-name "UTF-8"))]
    (when (or (zero? bytes) (< 31 bytes))
      (refuse :invalid-control
              (str "The control " (pr-str control-name) " has a name of " bytes " bytes, of which a server takes from 1 to 31. Rename it.")
              {:control control-name}))
    (when (.containsKey ^HashMap (.controls building) control-name)
      (refuse :duplicate-control
              (str "There are two controls of the name " (pr-str control-name) ", of which a server would set only the first. Rename one of them.")
              {:control control-name}))))

(defn- declared!
  "Notes a control: its place among the names of the SynthDef, and what it puts out."
  [{control-name :name, :keys [values single?] :as control} index outs]
  (let [^Building building *building*
        result             (if single? (first outs) outs)]
    (.add ^ArrayList (.names building) [control-name index])
    (.put ^HashMap (.controls building) control-name (assoc control :values values :result result))
    result))

(defn declare-controls
  "Makes the controls of a graph function's parameters, maps of

      :name      a string
      :rate      :scalar, :trigger, :audio or :control
      :values    its defaults, a vector of doubles
      :single?   whether it is one value and not an array of one
      :lags      lag times in seconds, numbers, one a value; of :control only

  grouped by rate in this order. Returns what each puts out, in their order.

  Throws `:espalier.error/invalid-control`, `:espalier.error/duplicate-control`,
  `:espalier.error/no-graph` outside of a graph function."
  [parameters]
  (let [_       (check-thread (or *building*
                                  (refuse :no-graph "Parameters are part of a SynthDef: declare them inside of a graph function."
                                          {:controls (mapv :name parameters)})))
        indexed (map-indexed vector parameters)
        groups  (keep (fn [rate] (seq (filter #(= rate (:rate (second %))) indexed))) [:scalar :trigger :audio :control])
        _       (reduce (fn [seen {control-name :name}]
                          (check-name control-name)
                          (when (seen control-name)
                            (refuse :duplicate-control
                                    (str "There are two parameters of the name " (pr-str control-name) ". Rename one of them.")
                                    {:control control-name}))
                          (conj seen control-name))
                        #{} parameters)
        placed  (into {}
                      (mapcat
                        (fn [group]
                          (let [controls (map second group)
                                values   (into [] (mapcat :values) controls)
                                start    (.size ^ArrayList (.values ^Building *building*))
                                outs     (control-ugens (:rate (first controls)) values (mapcat :lags controls))]
                            (loop [group group, at 0, placed []]
                              (if-let [[[i {:keys [values]}] & more] (seq group)]
                                (recur more (+ at (count values)) (conj placed [i [(+ start at) (subvec outs at (+ at (count values)))]]))
                                placed)))))
                      groups)]
    (mapv (fn [[i parameter]]
            (let [[index outs] (placed i)]
              (declared! parameter index outs)))
          indexed)))

(defn named-control
  "A control that is declared where it is used, a map as of `declare-controls`. Asked for
  again, with the same values and rate or without values, it is the same one.

  Throws `:espalier.error/duplicate-control` where it was declared otherwise,
  `:espalier.error/invalid-control`, `:espalier.error/no-graph` outside of a graph
  function."
  [{control-name :name, :keys [rate values lags] :as control}]
  (let [^Building building (or *building*
                               (refuse :no-graph (str "The control " (pr-str control-name) " is part of a SynthDef: ask for it inside of a graph function.") {:control control-name}))
        _     (check-thread building)
        known (.get ^HashMap (.controls building) control-name)
        lags  (when lags (vec (take (count (or values (:values known) [0.0])) (cycle lags))))]
    (if (and known (:named? known))
      (do (when (or (and values (not= values (:values known))) (not= rate (:rate known)) (and lags (not= lags (:lags known))))
            (refuse :duplicate-control
                    (str "The control " (pr-str control-name) " was declared as " (name (:rate known)) " with " (pr-str (:values known))
                         (when (:lags known) (str " and lags " (pr-str (:lags known))))
                         ", and is asked for as " (name rate) " with " (pr-str values) (when lags (str " and lags " (pr-str lags)))
                         ". Give both the same, or one another name.")
                    {:control control-name}))
          (:result known))
      (do (check-name control-name)
          (let [values (or values [0.0])
                index  (.size ^ArrayList (.values building))]
            (declared! (assoc control :values values :lags lags :named? true) index (control-ugens rate values lags)))))))

;; ---- building

(defn- realise
  "Realises what a graph function returns, however lazy, while its UGens are gathered."
  [x]
  (when (sequential? x)
    (run! realise (finite x))))

(defn- signals [x]
  (cond
    (sequential? x)      (mapcat signals x)
    (instance? UGen x)   [x]
    (instance? Output x) [(.ugen ^Output x)]
    :else                nil))

(defn build
  "Calls `f`, a function without arguments, and gathers the UGens that it makes.

  `synthdef`  the name, for errors

  Returns a map that the compiler takes: `:ugens` (a list in the order of creation),
  `:roots` (those that `f` returned), `:values` and `:names` of the controls,
  `:result`, what `f` returned."
  [synthdef f]
  (let [building (Building. synthdef (Thread/currentThread) (ArrayList.) (ArrayList.) (ArrayList.) (HashMap.))]
    (binding [*building* building]
      (let [result (f)]
        (realise result)
        {:ugens  (.ugens building)
         :roots  (signals result)
         :values (vec (.values building))
         :names  (vec (.names building))
         :result result}))))

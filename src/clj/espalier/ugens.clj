(ns espalier.ugens
  "The UGens of scsynth and supernova as functions.

      (require '[espalier.synthdef :refer [defsynth]]
               '[espalier.env :as env]
               '[espalier.ugens :refer :all])

      (defsynth blip [out 0, freq 440, amp 0.1]
        (out:ar out (* amp (sin-osc:ar freq) (env-gen:kr (env/perc) :done-action :free-self))))

  **Names.** A UGen is a class of SuperCollider's in Clojure's way of writing, and behind a
  colon its rate: `sin-osc:ar` is SinOsc at audio rate, `lf-noise1:kr` LFNoise1 at control
  rate, `rand:ir` Rand, which is computed once, when a synth starts, `dseq:dr` Dseq, a
  demand UGen. The rate is always there, also where a class has one only: it is what one
  must know of a UGen to connect it, and no such name is one of clojure.core's.
  `(doc sin-osc:ar)` tells what it does, its arguments and their defaults.

  **Arguments** go by position, by name, or first by position and then by name:
  `(sin-osc:ar 440 0)`, `(sin-osc:ar :freq 440)`, `(sin-osc:ar 440 :mul 0.1)`. `mul` and
  `add` scale and shift what comes out. A done action may be a number or a name, such as
  `:free-self`. Buffers and buses stand for their numbers.

  **Expansion.** A sequence where one value belongs makes a UGen for each element, and the
  call returns a vector: `(sin-osc:ar [440 442])`. Shorter sequences repeat.

  **Operators** work on UGens, on numbers (then they just compute), and on sequences. They
  have the names of SuperCollider, `midicps`, `dbamp`, `clip2`; those that clojure.core
  has are words here: `add subtract multiply divide modulo minimum maximum absolute equal
  unequal less greater at-most at-least logical-not bitwise-and bitwise-or bitwise-xor
  bitwise-not random`. Inside `defsynth`, and inside `with-operators`, the signs and names
  of clojure.core themselves do: `+ - * / mod min max abs inc dec == < > <= >= not`."
  (:require
   [espalier.model.constructor :as constructor :refer [defcall]]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.graph UGen)
   (espalier.model.ugen Spec)))

(set! *warn-on-reflection* true)

;; ---- UGens, from the table

(def ^:private rate-words {:audio "audio rate", :control "control rate", :scalar "once, when the synth starts", :demand "demand rate"})

(defn- channels-text [^Spec spec]
  (let [channels (.channels spec)]
    (cond
      (#{0 1} channels)  nil
      (number? channels) (str channels " channels.")
      (map? channels)    (str "as many channels as " (name (:key (nth (.arguments spec) (:argument channels)))) " says, a number.")
      :else              "as many channels as there are demand UGens.")))

(defn- docstring [^Spec spec]
  (let [{class-name :name, text :doc, :keys [engines]} (ugen/ugens (.class-name spec))
        out (StringBuilder. ^String class-name)]
    (.append out ", ") (.append out (rate-words (.rate spec))) (.append out ". ") (.append out text)
    (when (seq (.arguments spec)) (.append out "\n"))
    (run! (fn [{k :key :as argument}]
            (let [arg-name (name k)]
              (.append out "\n    ") (.append out arg-name)
              (loop [i (count arg-name)] (.append out " ") (when (< i 16) (recur (inc i))))
              (.append out ^String (ugen/default-text argument))))
          (.arguments spec))
    (when-let [channels (channels-text spec)] (.append out "\n\n  Puts out ") (.append out channels))
    (when (= #{:scsynth} engines) (.append out "\n\n  Not on supernova."))
    (when (= #{:supernova} engines) (.append out "\n\n  Not on scsynth."))
    (str out)))

(defn- intern-ugens! []
  (run! (fn [^Spec spec]
          (intern 'espalier.ugens
                  (with-meta (symbol (str spec))
                             {:doc      (docstring spec)
                              :arglists (list (mapv (comp symbol name :key) (.arguments spec)))})
                  (fn [& given] (constructor/call spec given))))
        (remove #(= "MaxLocalBufs" (.class-name ^Spec %)) (ugen/specs))))

;; ---- operators, from the table

(def ^:private words
  "Operators whose names clojure.core has."
  {"+" "add", "-" "subtract", "*" "multiply", "/" "divide", "mod" "modulo", "min" "minimum", "max" "maximum", "abs" "absolute"
   "==" "equal", "!=" "unequal", "<" "less", ">" "greater", "<=" "at-most", ">=" "at-least", "not" "logical-not"
   "bitAnd" "bitwise-and", "bitOr" "bitwise-or", "bitXor" "bitwise-xor", "bitNot" "bitwise-not", "rand" "random"})

(defn- operator-name [operator] (symbol (or (words operator) (ugen/kebab operator))))

(defn- computed?
  "Whether a server computes an operator: others it takes for `thru` or for `+`."
  [operator]
  (not (false? (:server operator))))

(def ^:private by-core
  "Operators that are defined below, for clojure.core computes them on numbers."
  #{"+" "-" "*" "/" "min" "max" "mod" "==" "<" ">" "<=" ">="})

(defn- intern-operators! []
  (let [intern! (fn [{:keys [doc] operator :name} arglist f]
                  (intern 'espalier.ugens
                          (with-meta (operator-name operator) {:doc (str "Operator " operator ". " doc), :arglists (list arglist)})
                          f))]
    (run! (fn [{:keys [index] :as operator}] (intern! operator '[a] (fn [a] (graph/unary index a))))
          (filter computed? ugen/unary-operators))
    (run! (fn [{:keys [index] :as operator}] (intern! operator '[a b] (fn [a b] (graph/binary index a b))))
          (remove #(by-core (:name %)) (filter computed? ugen/binary-operators)))))

(defmacro ^:private define-from-table
  "Defines a function for each UGen, rate and operator of the table. They are interned and
  not written out, which is ten times faster to load; it is a macro for the sake of
  clj-kondo, whose hook tells it their names."
  []
  `(do (intern-ugens!)
       (intern-operators!)))

(define-from-table)

(defn- numbers? [x y] (and (number? x) (number? y)))

(defmacro ^:private defarithmetic
  "An operator of clojure.core's that takes any number of operands: of numbers alone it is
  clojure.core's. `none` is what it is of none, a list where it takes none."
  [function-name docstring operator core none one]
  (let [index (ugen/binary-index operator)]
    `(defn ~function-name
       ~docstring
       ~@(when-not (seq? none) [`([] ~none)])
       ([x#] (~one x#))
       ([x# y#] (if (numbers? x# y#) (~core x# y#) (graph/binary ~index x# y#)))
       ([x# y# & more#] (reduce ~function-name (~function-name x# y#) more#)))))

(defn- negative [x] (if (number? x) (- x) (neg x)))
(defn- inverse [x] (if (number? x) (/ x) (reciprocal x)))

(defarithmetic add "The sum of operands: UGens, numbers, sequences of these." "+" +' 0 identity)
(defarithmetic subtract "The first operand less the others; of one, the same with the other sign." "-" -' () negative)
(defarithmetic multiply "The product of operands." "*" *' 1 identity)
(defarithmetic divide "The first operand by the others; of one, 1 by it." "/" / () inverse)
(defarithmetic minimum "The smallest of operands at each moment." "min" min () identity)
(defarithmetic maximum "The largest of operands at each moment." "max" max () identity)

(defmacro ^:private defcomparison
  "A comparison: of numbers alone true or false, otherwise a signal of 1 and 0."
  [function-name docstring operator core]
  (let [index (ugen/binary-index operator)]
    `(defn ~function-name
       ~docstring
       ([x#] true)
       ([x# y#] (if (numbers? x# y#) (~core x# y#) (graph/binary ~index x# y#)))
       ([x# y# & more#]
        (if (every? number? (list* x# y# more#))
          (apply ~core x# y# more#)
          (graph/refuse :invalid-input (str "The operator " ~operator " compares two signals, not more.") {:operator ~operator}))))))

(defcomparison equal "1 where two signals are equal, otherwise 0." "==" ==)
(defcomparison less "1 where the first signal is below the second, otherwise 0." "<" <)
(defcomparison greater "1 where the first signal is above the second, otherwise 0." ">" >)
(defcomparison at-most "1 where the first signal is not above the second, otherwise 0." "<=" <=)
(defcomparison at-least "1 where the first signal is not below the second, otherwise 0." ">=" >=)

(defn modulo
  "The rest of a signal by a number or signal, never below 0 for one that is above."
  [x y]
  (if (numbers? x y) (mod x y) (graph/binary (ugen/binary-index "mod") x y)))

(defn- keeping
  "A unary operator of signals and sequences; of all else the function of clojure.core."
  [operator core]
  (let [index (ugen/unary-index operator)]
    (fn [x] (if (or (graph/signal? x) (sequential? x)) (graph/unary index x) (core x)))))

(def ^:private absolute-or-core (keeping "abs" abs))
(def ^:private not-or-core (keeping "not" not))

(defmacro with-operators
  "Evaluates `body`, in which + - * / mod min max abs inc dec == < > <= >= and not work on
  UGens and sequences too. `defsynth` does so by itself; this is for functions that it
  calls.

      (defn detuned [freq]
        (with-operators (* 0.5 (+ (saw:ar freq) (saw:ar (* 1.01 freq))))))"
  [& body]
  `(let [~'+   add, ~'- subtract, ~'* multiply, ~'/ divide, ~'mod modulo, ~'min minimum, ~'max maximum
         ~'inc (fn [x#] (add x# 1)), ~'dec (fn [x#] (subtract x# 1)), ~'abs @#'absolute-or-core, ~'not @#'not-or-core
         ~'==  equal, ~'< less, ~'> greater, ~'<= at-most, ~'>= at-least]
     ~@body))

;; ---- controls

(defn- row [x] (if (sequential? x) (graph/finite x) [x]))

(defn- control-numbers
  "x, a number or a sequence of numbers, as a vector of doubles."
  [control-name what x]
  (let [xs (row x)]
    (when (or (empty? xs) (not-every? #(and (number? %) (not (NaN? (double %)))) xs))
      (graph/refuse :invalid-control (str "The " what " of the control " (error/shown control-name) " is " (error/shown x) ", where a number or a sequence of numbers belongs.")
                    {:control control-name, :value x}))
    (mapv double xs)))

(def ^:private control-call
  (ugen/call-spec "control" (constructor/parameters '[value nil lag nil])))

(defn- control [rate control-name given]
  (when-not (or (ident? control-name) (string? control-name))
    (graph/refuse :invalid-control (str "A control is called " (error/shown control-name) ", where a name belongs.") {:control control-name}))
  (let [[value lag]  (constructor/arguments-of control-call given)
        control-name (name control-name)
        values       (when (some? value) (control-numbers control-name "default" value))
        prefix       (when (re-find #"^._" control-name) (first control-name))
        kind         (case prefix \a :audio, \t :trigger, \i :scalar, rate)
        lags         (when (some? lag) (control-numbers control-name "lag" lag))]
    (when (and lags (not= :control kind))
      (graph/refuse :invalid-control (str "The control " (error/shown control-name) " has a lag, which only a control of rate :kr can have.") {:control control-name}))
    (graph/named-control {:name control-name, :rate kind, :values values, :single? (not (sequential? value)), :lags lags})))

(defn control:kr
  "A control where it is used: its name, then `value`, at first, a number or several, and
  `lag`, the seconds that it takes to follow, by position or by name. Asked for again, it
  is the same. Of a name that begins with i_, t_ or a_ the rate is that of the prefix.

  Throws `:espalier.error/invalid-control`, `:espalier.error/duplicate-control`,
  `:espalier.error/no-graph` outside of a graph function.

      (sin-osc:ar (control:kr :freq 440 :lag 0.1))"
  {:arglists '([control-name value lag])}
  [control-name & given]
  (control :control control-name given))

(defn control:ir
  "A control that is read once, when the synth starts; see `control:kr`."
  {:arglists '([control-name value])}
  [control-name & given]
  (control :scalar control-name given))

(defn control:tr
  "A control that is 0 again one block after it was set; see `control:kr`."
  {:arglists '([control-name value])}
  [control-name & given]
  (control :trigger control-name given))

(defn control:ar
  "A control to which an audio bus can be mapped; see `control:kr`."
  {:arglists '([control-name value])}
  [control-name & given]
  (control :audio control-name given))

;; ---- mixing

(defn- each
  "Calls `f` with x and `others`, or, where x is a sequence, with each element of it and
  of those of `others` that are sequences too; shorter ones repeat."
  [f x & others]
  (if (sequential? x)
    (let [all    (cons x others)
          _      (when (some #(and (sequential? %) (empty? %)) all)
                   (graph/refuse :invalid-input "An empty sequence stands where a signal or number belongs. Give it an element." {:value []}))
          n      (reduce max (map #(if (sequential? %) (count (graph/finite %)) 1) all))
          nth-of (fn [x i] (if (sequential? x) (nth x (rem (long i) (count x))) x))]
      (mapv (fn [i] (apply each f (map #(nth-of % i) all))) (range n)))
    (apply f x others)))

(defn sum
  "The sum of a sequence of signals, from the first to the last; sequences in it are added
  channel by channel."
  [signals]
  (reduce add 0 (row signals)))

(defn mix
  "The sum of a sequence of signals, in as few UGens as possible."
  [signals]
  (let [parts (mapv (fn [part] (if (< (count part) 3) (sum part) (graph/sum part)))
                    (partition-all 4 (row signals)))]
    (case (count parts)
      (0 1 2) (sum parts)
      3       (graph/sum parts)
      (recur parts))))

(defn- make [class-name rate & inputs]
  (graph/make (or (ugen/find-spec class-name rate)
                  (ugen/built-in class-name rate {:pure? (some-> (ugen/find-spec class-name :control) (.-pure?))}))
              inputs))

(defn mix:ar
  "`mix` at audio rate, whatever the rate of what is mixed."
  [signals]
  (each #(if (= :scalar (graph/rate %)) (make "DC" :audio %) (constructor/audio-rate %)) (mix signals)))

(defn mix:kr
  "`mix` at control rate, whatever the rate of what is mixed."
  [signals]
  (let [slowed (fn slowed [x] (cond (sequential? x) (mapv slowed x), (= :audio (graph/rate x)) (make "A2K" :control x), :else x))
        mixed  (mix (slowed (if (sequential? signals) signals [signals])))]
    (each #(if (= :scalar (graph/rate %)) (make "DC" :control %) %) mixed)))

;; ---- ranges

(defn- quotient
  "a by b. Of numbers it is a double, and infinite where b is 0: a range may be empty, and
  clojure.core would throw."
  [a b]
  (graph/binary (ugen/binary-index "/") a b))

(defn- unipolar? [x]
  (and (instance? UGen x) (.unipolar? ^Spec (.spec ^UGen x))))

(defn- of-class? [x class-name] (and (instance? UGen x) (= class-name (.class-name ^Spec (.spec ^UGen x)))))

(defn- demand? [x] (and (instance? UGen x) (.demand? ^Spec (.spec ^UGen x))))

(defn- one-clip [x low high]
  (cond
    (number? x)               (maximum low (minimum high x))
    (= :demand (graph/rate x)) (maximum low (minimum high x))
    :else                     (make "Clip" (graph/rate x) x low high)))

(defn clip
  "A signal kept between two bounds (default 0 and 1), at its own rate."
  ([x] (clip x 0.0 1.0))
  ([x low high]
   (graph/expand (fn [[x low high]] (one-clip x low high)) (object-array [x low high]))))

(defn- no-demand
  "Throws where a signal is of demand rate, at which there is no such UGen."
  [operation x]
  (when (demand? x)
    (graph/refuse :wrong-rate (str "There is no " operation " of demand rate. (demand:kr trigger 0 x) reads " (error/shown x) " into a signal.")
                  {:operation operation, :value x})))

(defn- bounded [operation class-name]
  (fn [[x low high]]
    (no-demand operation x)
    (make class-name (graph/rate x) x low high)))

(defn fold
  "A signal that turns back at two bounds (default 0 and 1)."
  ([x] (fold x 0.0 1.0))
  ([x low high] (graph/expand (bounded "fold" "Fold") (object-array [x low high]))))

(defn wrap
  "A signal that enters again at the other of two bounds (default 0 and 1)."
  ([x] (wrap x 0.0 1.0))
  ([x low high] (graph/expand (bounded "wrap" "Wrap") (object-array [x low high]))))

(defn- prune [x low high clipping]
  (case clipping
    :minmax (one-clip x low high)
    :min    (maximum x low)
    :max    (minimum x high)
    nil     x
    (graph/refuse :invalid-input (str "What happens beyond a range is :minmax, :min, :max or nil, not " (error/shown clipping) ".") {:value clipping})))

(defn- scaled
  "x, linearly, from one range to another, as it is done at a rate."
  [rate x in-min in-max out-min out-max]
  (let [scale  (quotient (subtract out-max out-min) (subtract in-max in-min))
        offset (subtract out-min (multiply scale in-min))]
    (if (= :audio rate)
      (graph/mul-add x scale offset)
      (add (multiply x scale) offset))))

(defn- linear [x in-min in-max out-min out-max]
  (add (multiply (quotient (subtract x in-min) (subtract in-max in-min)) (subtract out-max out-min)) out-min))

(defn linlin
  "A signal from one range to another, both linear. `clipping` says what happens to what is
  beyond the first: :minmax (default) keeps it at both ends, :min, :max at one, nil lets it.

      (linlin (sin-osc:kr 1) -1 1 200 800)"
  ([x in-min in-max out-min out-max] (linlin x in-min in-max out-min out-max :minmax))
  ([x in-min in-max out-min out-max clipping]
   (each (fn [x in-min in-max out-min out-max]
           (let [pruned (prune x in-min in-max clipping)]
             (if (or (number? x) (demand? x))
               (linear pruned in-min in-max out-min out-max)
               (scaled (graph/rate x) pruned in-min in-max out-min out-max))))
         x in-min in-max out-min out-max)))

(defn linexp
  "A signal from a linear range to an exponential one; see `linlin`. The second range does
  not touch 0."
  ([x in-min in-max out-min out-max] (linexp x in-min in-max out-min out-max :minmax))
  ([x in-min in-max out-min out-max clipping]
   (each (fn [x in-min in-max out-min out-max]
           (cond
             (number? x) (multiply (pow (quotient out-max out-min)
                                        (quotient (subtract (prune x in-min in-max clipping) in-min) (subtract in-max in-min)))
                                   out-min)
             (demand? x) (prune (multiply (pow (quotient out-max out-min) (quotient (subtract x in-min) (subtract in-max in-min))) out-min)
                                out-min out-max clipping)
             :else       (let [pruned (prune x in-min in-max clipping)]
                           (make "LinExp" (graph/rate x) pruned in-min in-max out-min out-max))))
         x in-min in-max out-min out-max)))

(defn explin
  "A signal from an exponential range to a linear one; see `linlin`."
  ([x in-min in-max out-min out-max] (explin x in-min in-max out-min out-max :minmax))
  ([x in-min in-max out-min out-max clipping]
   (each (fn [x in-min in-max out-min out-max]
           (let [position (log (quotient (prune x in-min in-max clipping) in-min))
                 whole    (log (quotient in-max in-min))]
             (add (multiply (quotient position whole) (subtract out-max out-min)) out-min)))
         x in-min in-max out-min out-max)))

(defn expexp
  "A signal from one exponential range to another; see `linlin`."
  ([x in-min in-max out-min out-max] (expexp x in-min in-max out-min out-max :minmax))
  ([x in-min in-max out-min out-max clipping]
   (each (fn [x in-min in-max out-min out-max]
           (let [ratio    (quotient out-max out-min)
                 position (log (quotient (prune x in-min in-max clipping) in-min))]
             (multiply (pow ratio (quotient position (log (quotient in-max in-min)))) out-min)))
         x in-min in-max out-min out-max)))

(defn- select-at
  "Select at the rate of x."
  [x which & choices]
  (apply make "Select" (graph/rate x) which choices))

(defn- straight? [curve] (and (number? curve) (< (abs (double curve)) 0.125)))

(defn- where-bent
  "`bent`, or, while a curve that is a signal is next to straight, what `straight` makes."
  [x curve straight bent]
  (if (= :scalar (graph/rate curve))
    bent
    (let [bent? (at-least (absolute-or-core curve) 0.125)]
      (select-at x bent? (straight) bent))))

(defn lincurve
  "A signal from a linear range to one that is bent by `curve`: 0 not at all, above 0 it
  rises slowly at first; see `linlin`."
  ([x in-min in-max out-min out-max] (lincurve x in-min in-max out-min out-max -4))
  ([x in-min in-max out-min out-max curve] (lincurve x in-min in-max out-min out-max curve :minmax))
  ([x in-min in-max out-min out-max curve clipping]
   (each (fn [x in-min in-max out-min out-max curve]
           (if (straight? curve)
             (linlin x in-min in-max out-min out-max clipping)
             (let [grow     (exp curve)
                   a        (quotient (subtract out-max out-min) (subtract 1.0 grow))
                   b        (add out-min a)
                   position (quotient (subtract (prune x in-min in-max clipping) in-min) (subtract in-max in-min))
                   curved   (subtract b (multiply a (pow grow position)))]
               (where-bent x curve #(linlin x in-min in-max out-min out-max clipping) curved))))
         x in-min in-max out-min out-max curve)))

(defn curvelin
  "A signal from a range that is bent by `curve` to a linear one; see `lincurve`."
  ([x in-min in-max out-min out-max] (curvelin x in-min in-max out-min out-max -4))
  ([x in-min in-max out-min out-max curve] (curvelin x in-min in-max out-min out-max curve :minmax))
  ([x in-min in-max out-min out-max curve clipping]
   (each (fn [x in-min in-max out-min out-max curve]
           (if (straight? curve)
             (linlin x in-min in-max out-min out-max clipping)
             (let [grow     (exp curve)
                   a        (quotient (subtract in-max in-min) (subtract 1.0 grow))
                   b        (add in-min a)
                   position (log (quotient (subtract b (prune x in-min in-max clipping)) a))
                   line     (add (quotient (multiply position (subtract out-max out-min)) curve) out-min)]
               (where-bent x curve #(linlin x in-min in-max out-min out-max clipping) line))))
         x in-min in-max out-min out-max curve)))

(defn bilin
  "A signal from one range to another in two straight lines that meet at a centre; see
  `linlin`."
  ([x in-center in-min in-max out-center out-min out-max] (bilin x in-center in-min in-max out-center out-min out-max :minmax))
  ([x in-center in-min in-max out-center out-min out-max clipping]
   (each (fn [x in-center in-min in-max out-center out-min out-max]
           (let [low? (less x in-center)]
             (select-at x low?
                        (linlin x in-center in-max out-center out-max clipping)
                        (linlin x in-min in-center out-min out-center clipping))))
         x in-center in-min in-max out-center out-min out-max)))

(defn linrange
  "A signal, of -1 to 1 or of 0 to 1 as its UGen puts it out, in a linear range; `range` in
  SuperCollider.

      (linrange (lf-noise1:kr 2) 200 800)"
  [x low high]
  (each (fn [x low high]
          (cond
            (of-class? x "LFGauss") (let [width (aget ^objects (.inputs ^UGen x) 1)]
                                      (linlin x (exp (quotient 1.0 (multiply -2.0 (graph/unary (ugen/unary-index "squared") width)))) 1 low high))
            (unipolar? x)        (graph/mul-add x (subtract high low) low)
            :else                (let [half (multiply (subtract high low) 0.5)]
                                   (graph/mul-add x half (add half low)))))
        x low high))

(defn exprange
  "As `linrange`, in an exponential range that does not touch 0."
  [x low high]
  (each (fn [x low high] (linexp x (if (unipolar? x) 0 -1) 1 low high nil)) x low high))

(defn curverange
  "As `linrange`, in a range that is bent by `curve` (default -4); see `lincurve`."
  ([x low high] (curverange x low high -4))
  ([x low high curve] (each (fn [x low high curve] (lincurve x (if (unipolar? x) 0 -1) 1 low high curve nil)) x low high curve)))

(defn unipolar
  "A signal in the range from 0 to `level`."
  ([x] (unipolar x 1))
  ([x level] (linrange x 0 level)))

(defn bipolar
  "A signal in the range from -`level` to `level`."
  ([x] (bipolar x 1))
  ([x level] (each (fn [x level] (linrange x (subtract level) level)) x level)))

;; ---- at the rate of the signal

(defn- following
  "A function of a signal that makes a UGen at its rate; numbers stay as they are."
  [class-name]
  (fn [x & more]
    (graph/expand (fn [[x & more]]
                    (no-demand class-name x)
                    (if (number? x) x (apply make class-name (graph/rate x) x more)))
                  (object-array (cons x more)))))

(def ^:private lag-ugen (following "Lag"))
(def ^:private lag-ud-ugen (following "LagUD"))
(def ^:private lag2-ugen (following "Lag2"))
(def ^:private lag2-ud-ugen (following "Lag2UD"))
(def ^:private lag3-ugen (following "Lag3"))
(def ^:private lag3-ud-ugen (following "Lag3UD"))

(defn lag
  "A signal that follows x within `up` seconds (to 60 dB), within `down` where it falls and
  that is given."
  ([x] (lag x 0.1))
  ([x up] (lag-ugen x up))
  ([x up down] (lag-ud-ugen x up down)))

(defn lag2
  "`lag` twice: without corners."
  ([x] (lag2 x 0.1))
  ([x up] (lag2-ugen x up))
  ([x up down] (lag2-ud-ugen x up down)))

(defn lag3
  "`lag` three times."
  ([x] (lag3 x 0.1))
  ([x up] (lag3-ugen x up))
  ([x up down] (lag3-ud-ugen x up down)))

(def ^:private slew-ugen (following "Slew"))

(defn varlag
  "A signal that follows x within `duration` seconds along the curve of an envelope's
  segment: `warp` is a shape or 5, then `curvature` bends it."
  ([x] (varlag x 0.1))
  ([x duration] (varlag x duration 0))
  ([x duration curvature] (varlag x duration curvature 5))
  ([x duration curvature warp]
   (each (fn [x duration curvature warp]
           (no-demand "varlag" x)
           (if (= :scalar (graph/rate x)) x (constructor/varlag-as x duration curvature warp)))
         x duration curvature warp)))

(defn slew
  "A signal that follows x no faster than `up` and `down`, in units a second."
  ([x] (slew x 1 1))
  ([x up down] (slew-ugen x up down)))

(def ^:private sanitize-ugen (following "Sanitize"))

(defn sanitize
  "A signal in which 0 stands for NaN, infinite and denormal numbers."
  [x]
  (sanitize-ugen x 0.0))

(defn moddif
  "The smaller of the differences of two signals on a circle of `modulus`."
  ([x y] (moddif x y 1.0))
  ([x y modulus]
   (graph/expand (fn [[x y modulus]] (no-demand "ModDif" x) (make "ModDif" (graph/rate x) x y modulus)) (object-array [x y modulus]))))

(defn min-nyquist
  "A frequency, no higher than half of the sample rate."
  [freq]
  (minimum freq (multiply (make "SampleRate" :scalar) 0.5)))

(defn degrad
  "Radians of degrees."
  [x]
  (multiply x 0.01745329251994329547))

(defn raddeg
  "Degrees of radians."
  [x]
  (multiply x 57.29577951308232286465))

(defn blend
  "A crossfade of two signals: 0 is the first, 1 the second."
  ([a b] (blend a b 0.5))
  ([a b fraction]
   (graph/expand
     (fn [[a b fraction]]
       (if (numbers? a b)
         (add a (multiply fraction (subtract b a)))
         (let [pan (linlin fraction 0.0 1.0 -1 1)]
           (cond
             (= :audio (graph/rate a)) (make "XFade2" :audio a (constructor/audio-rate b) pan 1.0)
             (= :audio (graph/rate b)) (make "XFade2" :audio b (constructor/audio-rate a) (subtract pan) 1.0)
             :else                     (make "LinXFade2" :control a b pan)))))
     (object-array [a b fraction]))))

(defn poll
  "Has the server print the values of a signal, `trigger` times a second or at each trigger,
  with a label; see `espalier.core/server-output`. Returns the signal."
  ([x] (poll x 10))
  ([x trigger] (poll x trigger nil))
  ([x trigger label] (poll x trigger label -1))
  ([x trigger label id]
   (each #(no-demand "poll" %) x)
   (constructor/poll-as trigger x label id)))

;; ---- what is made of several UGens, with the names of the class library

(defcall changed:ar
  "1 where the input changes by more than `threshold` from one sample to the next."
  [input threshold 0]
  (constructor/changed :audio input threshold))

(defcall changed:kr
  "1 where the input changes by more than `threshold` from one block to the next."
  [input threshold 0]
  (constructor/changed :control input threshold))

(defcall lin-lin:ar
  "The input, linearly, from the range `srclo` to `srchi` to that of `dstlo` to `dsthi`."
  [in 0.0 srclo 0.0 srchi 1.0 dstlo 1.0 dsthi 2.0]
  (let [scale (quotient (subtract dsthi dstlo) (subtract srchi srclo))]
    (graph/mul-add in scale (subtract dstlo (multiply scale srclo)))))

(defcall lin-lin:kr
  "As `lin-lin:ar`, at control rate."
  [in 0.0 srclo 0.0 srchi 1.0 dstlo 1.0 dsthi 2.0]
  (let [scale  (quotient (subtract dsthi dstlo) (subtract srchi srclo))
        offset (subtract dstlo (multiply scale srclo))]
    (add (multiply in scale) offset)))

(defcall silent:ar
  "Silence, one UGen for all its channels."
  [num-channels 1]
  (graph/channel-count num-channels "silent:ar" {:ugen "silent:ar", :argument :num-channels})
  (let [silence (make "DC" :audio 0)]
    (if (= 1 num-channels) silence (vec (repeat num-channels silence)))))

(defcall sound-in:ar
  "What the device hears: `bus` counts its channels from 0; a sequence is several."
  [bus 0 mul 1.0 add 0.0]
  (let [offset (make "NumOutputBuses" :scalar)
        in     (fn [bus channels] (graph/make (ugen/find-spec "In" :audio) [channels (espalier.ugens/add offset bus)]))
        row?   (and (sequential? bus) (every? number? bus) (every? (fn [[a b]] (== (inc a) b)) (partition 2 1 bus)))]
    (graph/mul-add (cond
                     row?              (in (first bus) (count bus))
                     (sequential? bus) (graph/make (ugen/find-spec "In" :audio) [1 (espalier.ugens/add offset bus)])
                     :else             (in bus 1))
                   mul add)))

(defn- splayed [rate in-array spread level center level-comp]
  (graph/expand
    (fn [[spread level center & in-array]]
      (let [n         (max 2 (count in-array))
            step      (/ 2.0 (dec n))
            positions (mapv #(add % center) (mapv #(multiply (- (* % step) 1) spread) (range n)))
            level     (cond
                        (not level-comp) level
                        (= :audio rate)  (multiply level (Math/sqrt (/ 1.0 n)))
                        :else            (quotient level n))]
        (multiply (mix (graph/make (ugen/find-spec "Pan2" rate) [(vec in-array) positions 1.0])) level)))
    (object-array (list* spread level center (if (sequential? in-array) in-array [in-array])))))

(defcall splay:ar
  "Spreads signals over the stereo field, by equal steps, `spread` (0 to 1) wide about
  `center`. `level-comp` keeps the loudness whatever their number."
  [in-array spread 1 level 1 center 0.0 level-comp true]
  (splayed :audio in-array spread level center level-comp))

(defcall splay:kr
  "As `splay:ar`, at control rate."
  [in-array spread 1 level 1 center 0.0 level-comp true]
  (splayed :control in-array spread level center level-comp))

(defn- transposed [rows]
  (let [n (reduce max 1 (map #(if (sequential? %) (count %) 1) rows))]
    (mapv (fn [i] (mapv #(if (sequential? %) (nth % (rem (long i) (count %))) %) rows)) (range n))))

(defn- splayed-az [rate channels in-array spread level width center orientation level-comp]
  (let [in-array  (if (sequential? in-array) (vec in-array) [in-array])
        n         (count in-array)
        low       (subtract center spread)
        high      (add center spread)
        factor    (/ 1.0 (max 1 (dec n)))
        positions (if (= 1 n)
                    center
                    (mapv (fn [i]
                            (let [at    (* (long i) factor)
                                  floor (dec (Math/ceil at))
                                  a     (if (<= floor 0) low high)
                                  b     (if (< floor 0) low high)]
                              (blend a b (abs (- at floor)))))
                          (range n)))
        level     (if level-comp (multiply level (Math/sqrt (/ 1.0 n))) level)
        panned    (graph/make (ugen/find-spec "PanAz" rate) [channels in-array positions level width orientation])]
    (mapv mix (transposed panned))))

(defcall splay-az:ar
  "Spreads signals over a ring of `num-chans` loudspeakers; see `splay:ar`."
  [num-chans 4 in-array spread 1 level 1 width 2 center 0.0 orientation 0.5 level-comp true]
  (splayed-az :audio num-chans in-array spread level width center orientation level-comp))

(defcall splay-az:kr
  "As `splay-az:ar`, at control rate."
  [num-chans 4 in-array spread 1 level 1 width 2 center 0.0 orientation 0.5 level-comp true]
  (splayed-az :control num-chans in-array spread level width center orientation level-comp))

(defn- choices-of
  "A sequence of signals that an argument is, with at least one."
  [function-name x]
  (when-not (and (sequential? x) (seq x))
    (graph/refuse :invalid-input (str function-name ": argument :array is " (error/shown x) ", where a sequence of signals belongs.")
                  {:ugen function-name, :argument :array, :value x}))
  x)

(defn- selected [fade rate which choices]
  (let [choices (choices-of "select-x" choices)
        pick (fn [which] (graph/make (ugen/find-spec "Select" rate) (cons which choices)))
        op   (fn [operator a b] (graph/binary (ugen/binary-index operator) a b))
        a    (pick (op "round" which 2))
        b    (pick (op "+" (op "trunc" which 2) 1))]
    (constructor/call (ugen/find-spec fade rate) [a b (op "fold2" (op "-" (op "*" which 2) 1) 1)])))

(defcall select-x:ar
  "One of a sequence of signals; between two of them, a crossfade of equal power."
  [which array]
  (selected "XFade2" :audio which array))

(defcall select-x:kr
  "As `select-x:ar`, at control rate."
  [which array]
  (selected "XFade2" :control which array))

(defcall lin-select-x:ar
  "As `select-x:ar`, with a linear crossfade."
  [which array]
  (selected "LinXFade2" :audio which array))

(defcall lin-select-x:kr
  "As `lin-select-x:ar`, at control rate."
  [which array]
  (selected "LinXFade2" :control which array))

(defcall select-x-focus
  "The sum of a sequence of signals, each the louder the nearer `which` is to it: `focus` says
  how near. `wrap` joins the ends."
  [which array focus 1 wrap false]
  (mix (map-indexed (fn [i in]
                      (let [distance (if wrap (moddif which i (count array)) (graph/binary (ugen/binary-index "absdif") which i))]
                        (multiply (maximum (subtract 1 (multiply distance focus)) 0) in)))
                    (choices-of "select-x-focus" array))))

(defn- chosen [rate trigger choices]
  (graph/make (ugen/find-spec "Select" rate)
              (cons (graph/make (ugen/find-spec "TIRand" rate) [0 (dec (count (choices-of "t-choose" choices))) trigger]) choices)))

(defcall t-choose:ar
  "One of a sequence of signals, another by chance at each trigger."
  [trig array]
  (chosen :audio trig array))

(defcall t-choose:kr
  "As `t-choose:ar`, at control rate."
  [trig array]
  (chosen :control trig array))

(defn- weighed [rate trigger choices weights normalize]
  (graph/make (ugen/find-spec "Select" rate)
              (cons (graph/make (ugen/find-spec "TWindex" rate) (list* trigger normalize (row weights))) (choices-of "tw-choose" choices))))

(defcall tw-choose:ar
  "As `t-choose:ar`, with the probability of each, which `normalize` 1 lets sum up to 1."
  [trig array weights normalize 0]
  (weighed :audio trig array weights normalize))

(defcall tw-choose:kr
  "As `tw-choose:ar`, at control rate."
  [trig array weights normalize 0]
  (weighed :control trig array weights normalize))

(defn- second-order
  "The coefficients of BLowPass (sign 1) or BHiPass (sign -1), as SuperCollider computes
  them (the filters of R. Bristow-Johnson)."
  [sign freq rq]
  (let [unary  (fn [operator x] (graph/unary (ugen/unary-index operator) x))
        _      (make "SampleRate" :scalar)
        w0     (multiply (multiply (* Math/PI 2) freq) (make "SampleDur" :scalar))
        cosine (unary "cos" w0)
        i      (if (pos? sign) (subtract 1 cosine) (add 1 cosine))
        alpha  (multiply (multiply (unary "sin" w0) 0.5) rq)
        b0     (unary "reciprocal" (add 1 alpha))
        a0     (multiply (multiply i 0.5) b0)
        a1     (multiply (if (pos? sign) i (unary "neg" i)) b0)
        b1     (multiply (multiply cosine 2) b0)
        rest   (subtract 1 alpha)
        b2     (multiply rest (unary "neg" b0))]
    [a0 a1 a0 b1 b2]))

(defn- twice [sign in freq rq mul add]
  (let [coefficients (second-order sign freq (graph/unary (ugen/unary-index "sqrt") rq))
        sos          (fn [in] (graph/make (ugen/find-spec "SOS" :audio) (cons in coefficients)))]
    (graph/mul-add (sos (sos in)) mul add)))

(defcall b-low-pass4:ar
  "A low-pass filter of 24 dB an octave; `rq` is the reciprocal of its Q."
  [in freq 1200.0 rq 1.0 mul 1.0 add 0.0]
  (twice 1 in freq rq mul add))

(defcall b-hi-pass4:ar
  "A high-pass filter of 24 dB an octave; `rq` is the reciprocal of its Q."
  [in freq 1200.0 rq 1.0 mul 1.0 add 0.0]
  (twice -1 in freq rq mul add))

(defn- pm-osc [rate carfreq modfreq index phase mul add]
  (let [sine      (fn [freq phase] (graph/make (ugen/find-spec "SinOsc" rate) [freq phase]))
        modulator (graph/mul-add (sine modfreq phase) index 0)]
    (graph/mul-add (sine carfreq modulator) mul add)))

(defcall pm-osc:ar
  "A sine whose phase is modulated by another, `pmindex` radians deep; frequencies in Hz."
  [carfreq modfreq pmindex 0.0 modphase 0.0 mul 1.0 add 0.0]
  (pm-osc :audio carfreq modfreq pmindex modphase mul add))

(defcall pm-osc:kr
  "As `pm-osc:ar`, at control rate."
  [carfreq modfreq pmindex 0.0 modphase 0.0 mul 1.0 add 0.0]
  (pm-osc :control carfreq modfreq pmindex modphase mul add))

(defcall compander-d:ar
  "Compander of the delayed input, so that attacks are not too early for it."
  [in 0.0 thresh 0.5 slope-below 1.0 slope-above 1.0 clamp-time 0.01 relax-time 0.01 mul 1.0 add 0.0]
  (let [delayed (constructor/call (ugen/find-spec "DelayN" :audio) [in clamp-time clamp-time])]
    (graph/mul-add (graph/make (ugen/find-spec "Compander" :audio) [delayed in thresh slope-below slope-above clamp-time relax-time])
                   mul add)))

(defn- dyn-klank [rate specification in scale offset decay]
  (graph/expand
    (fn [[in scale offset decay]]
      (let [[freqs amps times] (constructor/checked-bank "dyn-klank" specification)]
        (sum (constructor/call (ugen/find-spec "Ringz" rate)
                               [in (add (multiply (or freqs [440.0]) scale) offset) (multiply (or times [1.0]) decay)
                                :mul (or amps [1.0])]))))
    (object-array [in scale offset decay])))

(defcall dyn-klank:ar
  "A bank of resonators, [frequencies amplitudes-or-nil ring-times-or-nil], that may change
  while it sounds; see `klank:ar`."
  [specifications-array-ref input freqscale 1.0 freqoffset 0.0 decayscale 1.0]
  (dyn-klank :audio specifications-array-ref input freqscale freqoffset decayscale))

(defcall dyn-klank:kr
  "As `dyn-klank:ar`, at control rate."
  [specifications-array-ref input freqscale 1.0 freqoffset 0.0 decayscale 1.0]
  (dyn-klank :control specifications-array-ref input freqscale freqoffset decayscale))

(defn- dyn-klang [rate specification scale offset]
  (graph/expand
    (fn [[scale offset]]
      (let [[freqs amps phases] (constructor/checked-bank "dyn-klang" specification)]
        (sum (constructor/call (ugen/find-spec "SinOsc" rate)
                               [(add (multiply (or freqs [440.0]) scale) offset) (or phases [0.0]) :mul (or amps [1.0])]))))
    (object-array [scale offset])))

(defcall dyn-klang:ar
  "A bank of sines, [frequencies amplitudes-or-nil phases-or-nil], that may change while it
  sounds; see `klang:ar`."
  [specifications-array-ref freqscale 1.0 freqoffset 0.0]
  (dyn-klang :audio specifications-array-ref freqscale freqoffset))

(defcall dyn-klang:kr
  "As `dyn-klang:ar`, at control rate."
  [specifications-array-ref freqscale 1.0 freqoffset 0.0]
  (dyn-klang :control specifications-array-ref freqscale freqoffset))

(defcall hilbert-fir:ar
  "The input, delayed, and the same with all phases shifted by 90 degrees, by FFT in
  `buffer`."
  [in buffer]
  (let [fft      (graph/make (ugen/find-spec "FFT" :control) [buffer in 0.5 0 1 0])
        shifted  (graph/make (ugen/find-spec "PV_PhaseShift90" :control) [fft])
        duration (graph/make (ugen/find-spec "BufDur" :control) [buffer])
        delayed  (constructor/call (ugen/find-spec "DelayN" :audio) [in duration duration])]
    [delayed (graph/make (ugen/find-spec "IFFT" :audio) [shifted 0 0])]))

(defcall tap:ar
  "Reads a buffer that `record-buf:ar` fills, `delaytime` seconds behind it."
  [bufnum 0 num-channels 1 delaytime 0.2]
  (let [scale (graph/make (ugen/find-spec "BufRateScale" :control) [bufnum])
        start (multiply delaytime (multiply (graph/unary (ugen/unary-index "neg") (make "SampleRate" :scalar)) scale))]
    (graph/make (ugen/find-spec "PlayBuf" :audio) [num-channels bufnum scale 0 start 1 0])))

(defcall unpack-fft
  "The magnitudes and phases of an FFT chain as demand UGens, bin by bin in turn, from
  `frombin` to `tobin` (default: half of `bufsize`, which must be a number)."
  [chain bufsize frombin 0 tobin nil]
  (when-not (and (int? bufsize) (<= 2 (long bufsize) 65536) (int? frombin) (or (nil? tobin) (int? tobin)))
    (graph/refuse :invalid-input (str "unpack-fft: :bufsize, :frombin and :tobin are whole numbers, the first up to 65,536, not " (error/shown [bufsize frombin tobin]) ".")
                  {:ugen "unpack-fft", :argument :bufsize, :value bufsize}))
  (let [limit   (/ bufsize 2)
        bins    (range frombin (inc (if tobin (min tobin limit) limit)))
        measure (fn [which] (graph/make (ugen/find-spec "Unpack1FFT" :demand) [chain bufsize (vec bins) which]))]
    (vec (interleave (measure 0) (measure 1)))))

(defcall env-gate
  "An envelope that fades in from `i-level` and, once the control gate is 0, out, each in the
  seconds of the control fadeTime (0.02); then it does `done-action`."
  [i-level 1 gate nil fade-time nil done-action 2 curve :sin]
  (let [gate      (or gate (control:kr :gate 1.0))
        fade-time (or fade-time (control:kr :fadeTime 0.02))]
    (constructor/call (ugen/find-spec "EnvGen" :control)
                      [[i-level 2 1 -99 1.0 1.0 (get ugen/envelope-shapes curve curve) 0 0.0 1.0 (get ugen/envelope-shapes curve curve) 0]
                       gate 1.0 0.0 fade-time done-action])))

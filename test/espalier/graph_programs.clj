(ns espalier.graph-programs
  "Random graph functions as data, and what such data are in two languages: calls of our
  functions, and sclang's text.

      {:name       \"g17\"
       :parameters [[\"p0\" {:default 440.0}] [\"t_p1\" {:default [1 2]}]]
       :variants   {\"low\" {\"p0\" 110}}
       :body       [[:let [:ugen \"SinOsc\" :ar \"sin-osc:ar\" [[:p \"p0\"]] []]] …]}

  A statement is `[:let expression]`, whose value the following know as `[:v i]`, or
  `[:do expression]`. While a graph is generated our own functions say of what rate and
  shape a value is: so the graphs are legal, by our own account."
  (:require
   [clojure.string :as str]
   [espalier.env]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen]
   [espalier.synthdef :as synthdef]
   [espalier.ugens])
  (:import
   (espalier.model.ugen Spec)
   (java.util Random)))

(set! *warn-on-reflection* true)

;; --- Operators and functions: our names, sclang's

(def ^:private operator-words
  "Operators whose functions have other names than clojure.core's."
  {"+" "add", "-" "subtract", "*" "multiply", "/" "divide", "mod" "modulo", "min" "minimum", "max" "maximum", "abs" "absolute"
   "==" "equal", "<" "less", ">" "greater", "<=" "at-most", ">=" "at-least", "not" "logical-not", "!=" "unequal"
   "bitAnd" "bitwise-and", "bitOr" "bitwise-or", "bitXor" "bitwise-xor", "bitNot" "bitwise-not", "rand" "random"})

(def ^:private infix {"==" "|==|", "mod" "%", "pow" "**"})

(def ^:private signs #{"+" "-" "*" "/" "<" ">" "<=" ">=" "|==|" "!=" "%" "**"})

(def ^:private unary-operators
  (into [] (comp (remove #(or (false? (:server %)) (#{"silence" "thru"} (:name %)))) (map :name)) ugen/unary-operators))

(def ^:private binary-operators
  (into [] (comp (remove #(or (false? (:server %)) (= "firstArg" (:name %)))) (map :name)) ugen/binary-operators))

(def ^:private of-chance
  "What sclang draws once, when it compiles, where it is given a number."
  #{"rand" "rand2" "linrand" "bilinrand" "sum3rand" "coin" "rrand" "exprand"})

(def ^:private not-of-numbers
  "What sclang does not know of numbers, or computes of some of them in another way than
  the servers."
  #{"scaleneg" "clip2" "excess" "div" "mod" "not" "sqrt" "log" "log2" "log10" "asin" "acos" "ampdb" "cpsmidi" "ratiomidi" "cpsoct" "pow"})

(def ^:private of-integers
  "What sclang knows of integers only: small ones here, for they have 32 bits there."
  #{"bitNot" "bitAnd" "bitOr" "bitXor" "lcm" "gcd" "leftShift" "rightShift"})

(def ^:private ours
  "The function of espalier.ugens of a name."
  (memoize (fn [function-name]
             (or (ns-resolve 'espalier.ugens (symbol function-name))
                 (throw (ex-info (str "No function " function-name) {}))))))

;; --- Data to calls

(declare value-of)

(defn- values-of [known exprs] (mapv #(value-of known %) exprs))

(defn- value-of
  "What an expression is by our functions. `known`: `{:v [value …] :p {name value}}`."
  [known expr]
  (if-not (and (vector? expr) (keyword? (first expr)))
    expr
    (let [[kind a b c d e] expr]
      (case kind
        :v       (nth (:v known) a)
        :p       (get (:p known) a)
        :at      (nth (value-of known a) b)
        :array   (values-of known (rest expr))
        :ugen    (let [positional (values-of known d)
                       named      (mapv (fn [[k x]] [(keyword (ugen/kebab k)) (value-of known x)]) e)]
                   (apply (ours c) (concat positional (mapcat identity named))))
        :op      (let [f        (ours (or (operator-words a) (ugen/kebab a)))
                       operands (values-of known (drop 2 expr))]
                   (try (apply f operands)
                        (catch ArithmeticException _ (throw (ex-info "clojure.core does not divide numbers by 0" {::by-zero true})))))
        :method  (apply (ours a) (values-of known (drop 3 expr)))
        :class   (apply (ours a) (values-of known (drop 3 expr)))
        :bank    (mapv #(value-of known %) (rest expr))
        :env     (apply (ns-resolve 'espalier.env (symbol a)) (values-of known (drop 3 expr)))
        :rect    (values-of known (rest expr))
        :control (apply (ours (str "control:" (name a))) (keyword b) c (when d [:lag d]))
        :wrap    (synthdef/declare-parameters (into [] (mapcat (fn [[k opts]] [k opts])) a))))))

(defn- graph-function
  "The graph function of a program."
  [{:keys [parameters body]}]
  (fn [& values]
    (reduce (fn [known [kind expr]]
              (let [x (value-of known expr)]
                (cond-> known (= :let kind) (update :v conj x))))
            {:v [], :p (zipmap (map first parameters) values)}
            body)
    nil))

(defn compiled
  "The SynthDef of a program, by our functions."
  [{:keys [parameters variants] synthdef-name :name :as program}]
  (synthdef/synthdef synthdef-name (into [] cat parameters) (graph-function program) {:variants variants}))

(defn ugens
  "The UGens of a program as they are made, before anything is left out or joined."
  [{:keys [parameters] :as program}]
  (let [made (volatile! nil)]
    (synthdef/synthdef "seen" (into [] cat parameters)
                       (fn [& _]
                         (vreset! made (:ugens (graph/build "seen" #(apply (graph-function program) (synthdef/declare-parameters (into [] cat parameters))))))
                         nil))
    @made))

;; --- Data to text

(defn- digits [x]
  (cond
    (and (double? x) (Double/isInfinite x)) "inf"
    (int? x)                                (str x)
    :else                                   (.toPlainString (BigDecimal. (str (double x))))))

(declare text-of)

(defn- texts-of [exprs] (str/join ", " (map text-of exprs)))

(defn- named-class [class-name constructor]
  (if (= :new constructor) class-name (str class-name "." (name constructor))))

(defn- parameter-text [[parameter {:keys [default]}]]
  (str parameter " = " (if (sequential? default) (str "#[" (str/join ", " (map digits default)) "]") (digits default))))

(defn- rates-text [parameters]
  (str "[" (str/join ", " (map (fn [[_ {:keys [rate lag]}]]
                                 (cond rate              (str "\\" (name rate))
                                       (sequential? lag) (str "[" (str/join ", " (map digits lag)) "]")
                                       lag               (digits lag)
                                       :else             "nil"))
                               parameters))
       "]"))

(defn- text-of
  "What an expression is in sclang."
  [expr]
  (cond
    (nil? expr)     "nil"
    (boolean? expr) (str expr)
    (number? expr)  (if (neg? (double expr)) (str "(" (digits expr) ")") (digits expr))
    (string? expr)  (pr-str expr)
    (keyword? expr) (str "\\" (name expr))
    :else
    (let [[kind a b c d e] expr]
      (case kind
        :v       (str "v" a)
        :p       (str a)
        :at      (str (text-of a) "[" b "]")
        :array   (str "[" (texts-of (rest expr)) "]")
        :ugen    (str (named-class a b) "("
                      (str/join ", " (concat (map text-of d) (map (fn [[k x]] (str k ": " (text-of x))) e)))
                      ")")
        :op      (let [sign     (infix a a)
                       operands (map text-of (drop 2 expr))]
                   (cond
                     (= "!=" sign)                      (str "BinaryOpUGen('!=', " (str/join ", " operands) ")")
                     (and (signs sign) (next operands)) (str "(" (str/join (str " " sign " ") operands) ")")
                     (next operands)                    (str (first operands) "." sign "(" (second operands) ")")
                     (= "-" sign)                       (str (first operands) ".neg")
                     :else                              (str (first operands) "." sign)))
        :method  (str (text-of c) "." b "(" (texts-of (drop 4 expr)) ")")
        :class   (str b "(" (texts-of (drop 3 expr)) ")")
        :bank    (str "`[" (texts-of (rest expr)) "]")
        :env     (str "Env." b "(" (texts-of (drop 3 expr)) ")")
        :rect    (str "Rect(" (texts-of (rest expr)) ")")
        :control (str "\\" b "." (name a) "("
                      (str/join ", " (cons (text-of (if (vector? c) (into [:array] c) c))
                                           (when d [(text-of (if (vector? d) (into [:array] d) d))])))
                      ")")
        :wrap    (str "SynthDef.wrap({ |" (str/join ", " (map parameter-text a)) "| [" (str/join ", " (map first a)) "] }, " (rates-text a) ")")))))

(defn text
  "A program in sclang."
  [{:keys [parameters variants body] synthdef-name :name}]
  (let [n (count (filter #(= :let (first %)) body))]
    (str "SynthDef(\"" synthdef-name "\", {"
         (when (seq parameters) (str " |" (str/join ", " (map parameter-text parameters)) "|"))
         "\n"
         (when (pos? n) (str "\tvar " (str/join ", " (map #(str "v" %) (range n))) ";\n"))
         (first
           (reduce (fn [[text i] [kind expr]]
                     (if (= :let kind)
                       [(str text "\tv" i " = " (text-of expr) ";\n") (inc (long i))]
                       [(str text "\t" (text-of expr) ";\n") i]))
                   ["" 0]
                   body))
         "\tnil\n}, " (rates-text parameters)
         (when (seq variants)
           (str ", variants: ("
                (str/join ", " (map (fn [[k settings]]
                                      (str k ": [" (str/join ", " (map (fn [[p x]] (str "\\" p ", " (if (vector? x) (text-of (into [:array] x)) (text-of x)))) settings)) "]"))
                                    variants))
                ")"))
         ")")))

;; --- Chance

(def ^:dynamic ^:private ^Random *random* nil)

(defn- below ^long [n] (.nextInt *random* (int n)))

(defn- chance [p] (< (.nextDouble *random*) (double p)))

(defn- one-of [xs] (nth xs (below (count xs))))

(defn- shuffled [xs]
  (let [all (java.util.ArrayList. ^java.util.Collection xs)]
    (java.util.Collections/shuffle all *random*)
    (vec all)))

(defn- some-of [lo hi f]
  (vec (repeatedly (+ (long lo) (below (inc (- (long hi) (long lo))))) f)))

(defn- weighted
  "One of pairs of a weight and a function, called."
  [& pairs]
  (let [pairs (partition 2 pairs)]
    (loop [x (below (reduce + (map first pairs))), [[weight f] & more] pairs]
      (if (< x (long weight)) (f) (recur (- x (long weight)) more)))))

(defn- number []
  (weighted 3 #(one-of [0 1 -1 2 0.0 1.0 -1.0 2.0])
            3 #(one-of [0.5 -0.5 0.25 0.1 0.01 1.5 3 440 220 1200 0.3 -2 12.5 100])
            1 #(- (below 400) 100)
            2 #(/ (double (inc (below 20000))) 1000.0)))

(defn- positive [] (one-of [0.1 0.2 0.5 0.75 1 1.5 2 3 5 8.5 20 100 440 2000]))

;; --- What there is while a graph is generated

(def ^:dynamic ^:private *state*
  "What is known so far: `:known` as of `value-of`, `:leaves` (of each value that is no
  sequence, its expression), `:chains`, `:taps`, `:statements`, `:names`."
  nil)

(defn- leaves-of
  "Each single value in `x`, a sequence or not, with its expression."
  [expr x]
  (if (sequential? x)
    (mapcat (fn [i x] (leaves-of [:at expr i] x)) (range) x)
    (when (or (number? x) (graph/channels? x))
      [[expr x]])))

(defn- leaf
  "The expression of a value of one of these rates, or nil."
  [rates]
  (let [fitting (filterv (fn [[_ x]] (and (contains? rates (graph/rate x)) (not (number? x)))) (:leaves @*state*))]
    (when (seq fitting)
      ;; the later, the likelier
      (first (nth fitting (max (below (count fitting)) (below (count fitting))))))))

(defn- row
  "The expression of a sequence of values, all of these rates, or nil; of signals only, if
  that is asked."
  ([rates] (row rates false))
  ([rates signals?]
   (let [fits?   (fn [[_ x]] (and (contains? rates (graph/rate x)) (not (and signals? (number? x)))))
         fitting (filterv (fn [[_ x]]
                            (let [leaves (leaves-of nil x)]
                              (and (<= 2 (count leaves) 4) (every? fits? leaves))))
                          (:rows @*state*))]
     (when (seq fitting) (first (one-of fitting))))))

(defn- constructor-of
  "How sclang calls what makes the UGens of a spec, and its arguments there."
  [^Spec spec]
  (let [rates (:rates (ugen/ugens (.class-name spec)))
        fits  (filter (fn [[constructor facts]]
                        (= (.rate spec) (or (:rate facts) ({:ar :audio, :kr :control, :ir :scalar} constructor))))
                      rates)]
    (or (first (filter #(not= :new (key %)) fits)) (first fits))))

(defn- simple [class-name constructor & arguments]
  (let [spec (ugen/find-spec class-name ({:ar :audio, :kr :control, :ir :scalar} constructor
                                         (if (#{"Rand" "IRand" "ExpRand" "LinRand" "LocalBuf"} class-name) :scalar
                                             (if (= "FFT" class-name) :control :demand))))]
    [:ugen class-name constructor (str spec) (vec arguments) []]))

(defn- source
  "A new UGen of a rate."
  [rate]
  (case rate
    :audio   (weighted 3 #(simple "SinOsc" :ar (number))
                       1 #(simple "WhiteNoise" :ar)
                       1 #(simple "Saw" :ar (number))
                       1 #(simple "LFPulse" :ar (number) 0 0.3)
                       1 #(simple "Impulse" :ar (number)))
    :control (weighted 3 #(simple "LFNoise1" :kr (number))
                       1 #(simple "SinOsc" :kr (number))
                       1 #(simple "Impulse" :kr (number))
                       1 #(simple "DC" :kr (number)))
    :scalar  (weighted 2 #(simple "Rand" :new (number) (number))
                       1 #(simple "IRand" :new 0 (below 100))
                       1 #(simple "SampleRate" :ir))
    :demand  (weighted 2 #(simple "Dseq" :new (into [:array] (some-of 1 3 number)) (one-of [1 2 ##Inf]))
                       1 #(simple "Dwhite" :new (number) (number))
                       1 #(simple "Dseries" :new (number) (number) 5))))

(def ^:private any-rate #{:audio :control :scalar})

(declare expression)

(defn- input
  "An expression of which each single value is of one of `rates`; `depth` says how far
  sequences may lie in each other."
  ([rates] (input rates 1))
  ([rates depth]
   (let [x (.nextDouble *random*)]
     (or (when (and (< x 0.09) (pos? (long depth)))
           (into [:array] (some-of 1 3 #(input rates (dec (long depth))))))
         (when (and (< x 0.12) (pos? (long depth)))
           (row rates))
         (when (and (< x 0.50) (contains? rates :scalar))
           (number))
         (when (< x 0.88)
           (leaf rates))
         (when (and (< x 0.93) (contains? rates :scalar))
           (number))
         (source (one-of (vec rates)))))))

(defn- single [rates] (input rates 0))

(defn- numbers [lo hi] (into [:array] (some-of lo hi number)))

;; --- UGens

(def ^:private reads-chain?
  "Classes whose buffer arguments are FFT chains."
  (into #{"IFFT" "PackFFT" "Unpack1FFT" "Onsets" "Loudness" "KeyTrack" "MFCC" "SpecFlatness" "SpecPcile" "SpecCentroid"}
        (filter #(str/starts-with? % "PV_"))
        (keys ugen/ugens)))

(defn- chain []
  (let [known (:chains @*state*)]
    (if (and (seq known) (chance 0.85))
      (one-of known)
      (simple "FFT" :new (simple "LocalBuf" :new (one-of [512 1024 2048])) (input #{:audio} (if (chance 0.1) 1 0))))))

(defn- rejected
  "Which rates argument `i` of a spec must not have."
  [^Spec spec i]
  (let [layout  (.layout spec)
        splice  (first (keep-indexed (fn [j x] (when (vector? x) j)) layout))
        [from rest-rates] (.rejects-rest spec)]
    (into (if (and from (= [i] (nth layout splice))) rest-rates #{})
          (mapcat (fn [[j rates]]
                    (let [j (if (and splice (< (long splice) (long j))) -1 j)]
                      (when (= i (nth layout j nil)) rates))))
          (.rejects spec))))

(defn- allowed [^Spec spec i]
  (let [bad (rejected spec i)]
    (into #{} (remove bad) (cond-> any-rate
                             (or (and (.demand? spec) (chance 0.5)) (chance 0.02)) (conj :demand)))))

(defn- mul-or-add []
  (weighted 2 #(one-of [0 1 -1 0.0 1.0 -1.0])
            1 number
            3 #(input any-rate)))

(defn- channels-of [rates]
  (into [:array] (some-of 1 4 #(weighted 5 (fn [] (single rates))
                                         1 (fn [] (or (row rates) (single rates)))
                                         1 (fn [] (into [:array] (some-of 1 2 (fn [] (single rates)))))))))

(defn- silence-or [f] (if (chance 0.15) (one-of [0 0.0]) (f)))

(defn- put-out [rate]
  (if (= :audio rate)
    (let [all (into [:array] (some-of 1 4 (fn [] (silence-or #(if (chance 0.15)
                                                                (into [:array] (some-of 1 3 (fn [] (silence-or (fn [] (single #{:audio}))))))
                                                                (single #{:audio}))))))]
      ;; sclang looks into a sequence only where there is a 0 beside it
      (cond-> all
        (and (not-any? number? all) (some #(and (vector? %) (= :array (first %)) (some number? %)) all)) (conj 0)))
    (channels-of any-rate)))

(defn- shape []
  (weighted 3 #(one-of (vec (sort (keys ugen/envelope-shapes))))
            2 #(one-of [-4 0 2.5 -1 3])
            1 #(single any-rate)))

(defn- curve [] (if (chance 0.3) (into [:array] (some-of 1 4 shape)) (shape)))

(defn- env-value [] (weighted 4 number, 2 #(single any-rate), 1 #(into [:array] (some-of 1 2 number))))

(defn- some-arguments
  "The first few of what these functions give."
  [& fs]
  (mapv #(%) (take (below (inc (count fs))) fs)))

(defn- envelope []
  (let [v env-value
        e (fn [our-name their-name arguments] (into [:env our-name their-name] arguments))]
    (weighted
      4 #(let [n (inc (below 4))]
           (e "envelope" "new" (into [(into [:array] (repeatedly (inc n) v)) (if (chance 0.2) (positive) (into [:array] (some-of 1 n v)))]
                                     (some-arguments curve (fn [] (when (chance 0.5) (below (inc n)))) (fn [] (when (chance 0.5) (below (inc n))))))))
      1 #(e "triangle" "triangle" (some-arguments v v))
      1 #(e "sine" "sine" (some-arguments v v))
      2 #(e "perc" "perc" (some-arguments v v v curve))
      1 #(e "linen" "linen" (some-arguments v v v v curve))
      1 #(e "cutoff" "cutoff" (some-arguments v v (fn [] (one-of [:lin :exp :sin -4 2]))))
      ;; sclang adds a sequence of biases to the levels one by one
      2 #(e "adsr" "adsr" (some-arguments v v v v v curve number))
      1 #(e "dadsr" "dadsr" (some-arguments v v v v v v curve number))
      2 #(e "asr" "asr" (some-arguments v v v curve))
      1 #(let [n (inc (below 3))]
           (e "step" "step" [(into [:array] (repeatedly n v)) (into [:array] (repeatedly n v))]))
      1 #(let [times (shuffled [0 0.1 0.25 1 2.5])]
           (e "points" "xyc" [(into [:array] (map (fn [t] (into [:array t] (cond-> [(number)] (chance 0.5) (conj (one-of [:lin :exp -4 2]))))))
                                    (take (+ 2 (below 3)) times))]))
      1 #(let [times (shuffled [0 0.1 0.25 1 2.5])]
           (e "points" "pairs" [(into [:array] (map (fn [t] [:array t (number)])) (take (+ 2 (below 3)) times)) (one-of [:lin :exp -4])])))))

(defn- bank []
  (let [n   (inc (below 3))
        row (fn [] (into [:array] (repeatedly (if (chance 0.8) n (inc (below n))) #(if (chance 0.1) (numbers 2 2) (if (chance 0.8) (number) (single any-rate))))))]
    (into [:bank (into [:array] (repeatedly n #(if (chance 0.1) (numbers 2 2) (number))))]
          (some-arguments #(when (chance 0.6) (row)) #(when (chance 0.6) (row))))))

(defn- tap [rate]
  (or (some->> (filterv #(= rate (first %)) (:taps @*state*)) seq vec one-of second)
      (simple "DelTapWr" (if (= :audio rate) :ar :kr) (below 8) (single (if (= :audio rate) any-rate #{:control :audio})))))

(def ^:private warps #{"MouseX" "MouseY"})

(defn- argument
  "What argument `i` of a spec may be."
  [^Spec spec i]
  (let [{k :key} (nth (.arguments spec) i)
        class    (.class-name spec)
        audio?   (= :audio (.rate spec))
        rates    (allowed spec i)
        splice?  (some #{[i]} (.layout spec))]
    (cond
      ;; PanAz of one channel is a sequence of one in sclang
      (= i (:argument (.channels spec)))                                        (+ (if (= :num-chans k) 2 1) (below 4))
      (some #{i} (.mul-add spec))                                               (mul-or-add)
      (= :done-action k)                                                        (one-of [0 1 2 2 13 14])
      (and (reads-chain? class) (#{:buffer :buffer-a :buffer-b :chain} k))      (chain)
      (and (#{"FFT" "FFTTrigger"} class) (= :buffer k))                         (simple "LocalBuf" :new (one-of [256 1024]) 1)
      (= "BeatTrack" class)                                                     (if (= :chain k) (if (chance 0.7) (chain) (single #{:audio})) (number))
      (and (#{"Out" "OffsetOut" "ReplaceOut" "XOut" "LocalOut"} class) splice?) (put-out (.rate spec))
      (= :envelope k)                                                           (envelope)
      (= :specifications-array-ref k)                                           (bank)
      (and (= "DelTapWr" class) (= :buffer k))                                  (if (chance 0.6) (below 8) (simple "LocalBuf" :new 4096))
      (and (= "DelTapRd" class) (= :phase k))                                   (tap (.rate spec))
      (= :orientation k)                                                        (if (= "DecodeB2" class) 0.5 (input rates))     ; which sclang ignores
      (= "InRect" class)                                                        (if (= :rect k) (into [:rect] (repeatedly 4 positive)) (input rates))
      (and (warps class) (= :warp k))                                           (one-of [0 1 :linear :exponential])
      (= :odftype k)                                                            (one-of [0 3 :power :mkl])
      (and (= "LocalIn" class) (= :default k))                                  (if (chance 0.5) (number) (numbers 1 3))
      (= "SetBuf" class)                                                        (case k :values (numbers 1 4), :buf (simple "LocalBuf" :new 16), (number))
      (= :buf k)                                                                (if (= "ClearBuf" class) (simple "LocalBuf" :new 64) (number))
      (and (= "PackFFT" class) (= :magsphases k))                               (into [:array] (some-of 2 4 #(single (if (chance 0.5) #{:demand} any-rate))))
      (= :bufsize k)                                                            (one-of [8 512])
      (= :label k)                                                              (one-of ["a" "some label"])
      (= :cmd-name k)                                                           (one-of ["/tick" "/a/b"])
      ;; of deeper sequences sclang writes bytes that no server reads
      (and (= "SendReply" class) (= :values k))                                 (let [row (fn [] (into [:array] (some-of 1 4 #(single any-rate))))]
                                                                                  (if (chance 0.8) (row) (into [:array] (some-of 1 3 row))))
      (= "SendReply" class)                                                     (case k
                                                                                  :trig     (if (chance 0.8) (single rates) (into [:array] (some-of 1 3 #(single rates))))
                                                                                  :reply-id (if (chance 0.8) (number) (single any-rate)))
      (and (= "SendPeakRMS" class) (= :sig k))                                  (into [:array] (some-of 1 3 #(single any-rate)))
      (= "SendPeakRMS" class)                                                   (number)
      (and (= "Dwrand" class) (= :weights k))                                   (numbers 1 4)
      (and (#{"Duty" "TDuty"} class) (= :reset k))                              (input (conj #{:scalar} (.rate spec)))
      (and (#{"Duty" "TDuty" "DemandEnvGen"} class) (chance 0.5))               (input (conj any-rate :demand))
      (and (= "Demand" class) splice?)                                          (into [:array] (some-of 1 3 #(single (if (chance 0.8) #{:demand} any-rate))))
      (and (= "VarLag" class) (= :warp k))                                      (one-of [1 1 5 2 0])
      (and (= "VarLag" class) (#{:curvature} k))                                (number)
      (and (= "Poll" class) (= :in k))                                          (input any-rate)
      splice?                                                                   (if (and (chance 0.15) (not audio?)) (or (row rates) (channels-of rates)) (channels-of rates))
      :else                                                                     (input rates (if (chance 0.1) 2 1)))))

(defn- call-of
  "A call of what makes the UGens of a spec: its first arguments by position, others by name."
  [^Spec spec]
  (let [[constructor {names :args}] (constructor-of spec)
        arguments  (.arguments spec)
        n          (count arguments)
        required?  (fn [i] (let [{:keys [same-as optional] :as a} (nth arguments i)]
                             (or (contains? (rejected spec i) :scalar)
                                 (contains? #{:chain :in} (:key a))
                                 (not (or (contains? a :default) same-as optional)))))
        k          (below (inc n))
        positional (mapv #(argument spec %) (range k))
        more       (filterv #(or (required? %) (chance 0.25)) (range k n))
        named      (mapv (fn [i] [(first (nth names i)) (argument spec i)]) (if (chance 0.2) (reverse more) more))]
    [:ugen (.class-name spec) constructor (str spec) positional named]))

(def ^:private all-specs (vec (remove #(= "MaxLocalBufs" (.class-name ^Spec %)) (ugen/specs))))

(def ^:private by-class (group-by #(.class-name ^Spec %) all-specs))

(def ^:private irregular
  (into [] (mapcat by-class)
        ["Out" "XOut" "LocalOut" "LocalIn" "EnvGen" "Klank" "Klang" "LocalBuf" "Select" "Poll" "SendReply" "Demand" "Duty" "VarLag"
         "Lag" "LagUD" "DelayC" "CombN" "BufAllpassC" "DelTapRd" "Dwrand" "IEnvGen" "Linen" "LFGauss" "WhiteNoise" "PlayBuf" "Pan2"]))

(def ^:private of-chains
  (into [] (mapcat by-class) (sort (filter reads-chain? (keys by-class)))))

;; --- Operators

(defn- operand [rates depth]
  (if (and (pos? (long depth)) (chance 0.6))
    (expression rates (dec (long depth)))
    (input rates (if (chance 0.1) 1 0))))

(defn- constant
  "A constant operand: a float to sclang, for of integers some operators make something
  else there."
  [expr]
  (if (number? expr) (double expr) expr))

(defn- known-operand
  "An operand that sclang's `operator` takes: no number where it draws lots or does not know
  it, and a literal one where it must be an integer."
  [operator expr]
  (let [number-like? (or (number? expr) (#{:op :method :class :array} (first expr)))]
    (cond
      (and number-like? (or (of-chance operator) (not-of-numbers operator))) (source :control)
      (and number-like? (of-integers operator))                              (if (number? expr) (mod (Math/round (double expr)) 16) (source :control))
      :else                                                                  (constant expr))))

(defn expression
  "Sums, products, negations and other operators of values, in each other."
  [rates depth]
  (weighted
    7 #(vector :op "+" (operand rates depth) (operand rates depth))
    1 #(into [:op "+"] (repeatedly 3 (fn [] (or (leaf rates) (number)))))
    5 #(into [:op "*"] (repeatedly 2 (fn [] (operand rates depth))))
    4 #(into [:op "-"] (repeatedly 2 (fn [] (operand rates depth))))
    3 #(vector :op "neg" (operand rates depth))
    1 #(vector :op "/" (operand rates depth) (operand rates depth))
    1 #(vector :method "sum" "sum" (into [:array] (repeatedly (+ 2 (below 4)) (fn [] (operand rates 0)))))
    1 #(vector :class "mix" "Mix" (into [:array] (repeatedly (+ 1 (below 7)) (fn [] (operand rates 0)))))
    2 #(let [operator (one-of unary-operators)]
         [:op operator (if (= "not" operator)                ; no sequence has it
                         (or (leaf rates) (source :control))
                         (known-operand operator (operand rates (min 1 (long depth)))))])
    3 #(let [operator (one-of binary-operators)
             x        (operand rates (min 1 (long depth)))
             y        (operand rates 0)
             ;; where the first is a number, sclang exchanges the operands, or compares itself
             x        (if (#{"==" "!=" "<" ">" "<=" ">="} operator) (or (leaf rates) (source :control)) x)]
         [:op operator (known-operand operator x) (if (of-integers operator) (known-operand operator (if (number? y) y (or (leaf rates) (source :control)))) (constant y))])))

;; --- Functions beside UGens

(defn- receiver [rates]
  (if (chance 0.15)
    (or (row rates true) (into [:array] (some-of 1 3 #(or (leaf rates) (source :control)))))
    (if (chance 0.5)
      (or (leaf rates) (source :control))
      (source (one-of [:audio :control])))))

(defn- bound [] (weighted 7 positive, 1 #(one-of [-0.5 -1 -20 0.3 12.5]), 1 #(single any-rate), 1 #(into [:array] (some-of 2 2 positive))))

(defn- clipping [] (one-of [:minmax :min :max nil]))

(defn- method
  "A call of a function of a signal."
  []
  (let [b     bound
        made  (fn [our-name their-name & arguments]
                ;; of a scalar signal sclang makes broken UGens
                (let [no-scalar? (#{"lincurve" "curvelin" "curverange" "bilin" "varlag" "sanitize"} our-name)]
                  (into [:method our-name their-name (receiver (if no-scalar? #{:audio :control} any-rate))] arguments)))
        maybe (fn [& fs] (apply some-arguments fs))]
    (weighted
      3 #(made "linrange" "range" (b) (b))
      3 #(made "exprange" "exprange" (b) (b))
      2 #(apply made "curverange" "curverange" (b) (b) (maybe (fn [] (one-of [-4 2 0 0.05 4]))))
      1 #(apply made "unipolar" "unipolar" (maybe b))
      1 #(apply made "bipolar" "bipolar" (maybe b))
      3 #(apply made "linlin" "linlin" (b) (b) (b) (b) (maybe clipping))
      3 #(apply made "linexp" "linexp" (b) (b) (b) (b) (maybe clipping))
      2 #(apply made "explin" "explin" (b) (b) (b) (b) (maybe clipping))
      2 #(apply made "expexp" "expexp" (b) (b) (b) (b) (maybe clipping))
      3 #(apply made "lincurve" "lincurve" (b) (b) (b) (b) (maybe (fn [] (weighted 3 (fn [] (one-of [-4 2 0 0.05 4])) 1 (fn [] (single #{:control})))) clipping))
      3 #(apply made "curvelin" "curvelin" (b) (b) (b) (b) (maybe (fn [] (weighted 3 (fn [] (one-of [-4 2 0 0.05 4])) 1 (fn [] (single #{:control})))) clipping))
      2 #(apply made "bilin" "bilin" (b) (b) (b) (b) (b) (b) (maybe clipping))
      2 #(made "clip" "clip" (b) (b))
      1 #(made "fold" "fold" (b) (b))
      1 #(made "wrap" "wrap" (b) (b))
      2 #(apply made "lag" "lag" (maybe b b))
      1 #(apply made "lag2" "lag2" (maybe b b))
      1 #(apply made "lag3" "lag3" (maybe b b))
      1 #(apply made "varlag" "varlag" (maybe b (fn [] (one-of [0 -4 2])) (fn [] (one-of [5 1 2]))))
      1 #(made "slew" "slew" (b) (b))
      1 #(apply made "moddif" "moddif" (b) (maybe b))
      1 #(made "min-nyquist" "minNyquist")
      1 #(made "degrad" "degrad")
      1 #(made "raddeg" "raddeg")
      ;; of two signals that are not of one rate sclang makes a crossfade that it then refuses
      2 #(let [rate (one-of [:audio :control])]
           (into [:method "blend" "blend" (single #{rate}) (single #{rate})] (maybe (fn [] (single any-rate)))))
      1 #(let [x (or (leaf #{:audio :control}) (source :control))] [:method "sanitize" "sanitize" x])
      1 #(let [x (or (leaf any-rate) (source :control))] [:method "poll" "poll" x (if (chance 0.6) (positive) (single #{(one-of [:audio :control])})) "label"]))))

(defn- composed
  "A call of what the class library makes of several UGens."
  []
  (let [audio #(input #{:audio} 0)
        any   #(input any-rate 0)
        many  (fn [rates lo hi] (into [:array] (some-of lo hi #(single rates))))
        rated (fn [our-name their-name rate arguments] (into [:class (str our-name ":" rate) (str their-name "." rate)] arguments))
        ar-kr (fn [f] (if (chance 0.5) (f "ar" #{:audio}) (f "kr" any-rate)))]
    (weighted
      1 (fn [] (ar-kr (fn [rate _] (rated "changed" "Changed" rate [(single (if (= "ar" rate) #{:audio} #{:control})) (number)]))))
      1 (fn [] (rated "lin-lin" "LinLin" (one-of ["ar" "kr"]) [(any) (positive) (bound) (bound) (bound)]))
      1 (fn [] (rated "silent" "Silent" "ar" [(inc (below 3))]))
      1 (fn [] (rated "sound-in" "SoundIn" "ar" [(one-of [0 1 [:array 0 1] [:array 2 0] [:array 1 2 3]])]))
      3 (fn [] (ar-kr (fn [rate rates] (rated "splay" "Splay" rate (into [(many rates 1 5)] (some-arguments any any any #(chance 0.5)))))))
      2 (fn [] (ar-kr (fn [rate rates] (let [signal #(if (chance 0.7) (number) (or (leaf #{:control}) (source :control)))
                                             center (if (chance 0.7) number signal)]
                                         (rated "splay-az" "SplayAz" rate (into [(+ 2 (below 4)) (many rates 1 5)] (some-arguments number any any center any #(chance 0.5))))))))
      2 (fn [] (ar-kr (fn [rate rates] (rated "select-x" "SelectX" rate [(any) (many rates 2 4)]))))
      1 (fn [] (ar-kr (fn [rate rates] (rated "lin-select-x" "LinSelectX" rate [(any) (many rates 2 4)]))))
      1 (fn [] (into [:class "select-x-focus" "SelectXFocus" (single #{:audio :control}) (many any-rate 2 4)] (some-arguments any #(chance 0.5))))
      1 (fn [] (ar-kr (fn [rate rates] (rated "t-choose" "TChoose" rate [(any) (many rates 2 4)]))))
      1 (fn [] (ar-kr (fn [rate rates] (rated "tw-choose" "TWChoose" rate [(any) (many rates 2 3) (numbers 2 3) (below 2)]))))
      1 (fn [] (rated "b-low-pass4" "BLowPass4" "ar" (into [(audio)] (some-arguments any positive mul-or-add mul-or-add))))
      1 (fn [] (rated "b-hi-pass4" "BHiPass4" "ar" (into [(audio)] (some-arguments any positive mul-or-add mul-or-add))))
      1 (fn [] (rated "pm-osc" "PMOsc" (one-of ["ar" "kr"]) (into [(any) (any)] (some-arguments any any mul-or-add mul-or-add))))
      1 (fn [] (rated "compander-d" "CompanderD" "ar" (into [(any)] (some-arguments number number number number number))))
      1 (fn [] (ar-kr (fn [rate _] (rated "dyn-klank" "DynKlank" rate (into [(bank) (single (if (= "ar" rate) #{:audio} #{:control}))] (some-arguments any any any))))))
      1 (fn [] (ar-kr (fn [rate _] (rated "dyn-klang" "DynKlang" rate (into [(bank)] (some-arguments any any))))))
      1 (fn [] [:class "hilbert-fir:ar" "HilbertFIR.ar" (audio) (simple "LocalBuf" :new 1024)])
      1 (fn [] (rated "tap" "Tap" "ar" [(below 5) (inc (below 2)) (any)]))
      1 (fn [] [:class "unpack-fft" "UnpackFFT" (chain) 8 0 (below 3)])
      1 (fn [] (into [:class "env-gate" "EnvGate"] (some-arguments any any any)))
      1 (fn [] [:class "mix:ar" "Mix.ar" (many any-rate 1 5)])
      1 (fn [] [:class "mix:kr" "Mix.kr" (many #{:control :scalar} 1 5)]))))

;; --- Controls

(defn- fresh-name [prefix]
  (let [n (count (:names (vswap! *state* update :names conj nil)))]
    (str prefix "n" n)))

(defn- control []
  (let [[rate prefix] (one-of [[:kr ""] [:kr ""] [:kr ""] [:ir ""] [:tr ""] [:ar ""] [:kr "i_"] [:kr "t_"] [:kr "a_"]])
        values        (if (chance 0.3) (some-of 2 3 number) (number))
        lag           (when (and (= :kr rate) (= "" prefix) (chance 0.3)) (one-of [0.1 0.5 2]))]
    [:control rate (fresh-name prefix) values lag]))

(defn- parameter [i]
  (let [default (fn [] (weighted 4 number, 1 #(some-of 1 3 number)))
        d       (default)]
    (weighted
      6 #(vector (str "p" i) {:default d})
      2 #(vector (str "p" i) {:default d, :lag (if (and (vector? d) (chance 0.3)) (some-of 1 2 (fn [] (one-of [0 0.1 0.5]))) (one-of [0.1 0.2 1]))})
      1 #(vector (str "p" i) {:default d, :rate (one-of [:ir :tr :ar :kr])})
      1 #(vector (str (one-of ["i_" "t_" "a_"]) "p" i) {:default d}))))

;; --- Programs

(defn- note!
  "Adds what statement `expr`, of value `x`, offers to those behind it."
  [expr x]
  (let [i      (count (:v (:known @*state*)))
        ref    [:v i]
        kind   (when (= :ugen (first expr)) (nth expr 1))
        spec   (when kind (first (filter #(= (nth expr 3) (str %)) (by-class kind))))
        chain? (and spec (.pv-chain? ^Spec spec))
        leaves (leaves-of ref x)]
    (vswap! *state* update :known update :v conj x)
    (vswap! *state* update :statements conj [:let expr])
    (cond
      ;; a copy of what these return is more than sclang can make
      chain?              (when (and (<= (count leaves) 3) (not (#{"PackFFT" "FFTTrigger"} kind))) (vswap! *state* update :chains into (map first) leaves))
      (= "DelTapWr" kind) (vswap! *state* update :taps into (map (fn [[e x]] [(graph/rate x) e])) leaves)
      (< (count leaves) 25)
      (do (vswap! *state* update :leaves into (take 8) leaves)
          (when (sequential? x) (vswap! *state* update :rows conj [ref x]))))))

(def ^:private without-value
  "UGens whose calls return nothing in sclang that could be read."
  (into #{} (for [[class-name {:keys [rates]}] ugen/ugens, [_ {:keys [returns]}] rates
                  :when (number? returns)]
              class-name)))

(defn- attempt!
  "Evaluates a statement by our functions and keeps it; returns the error's data where it is
  refused."
  [expr]
  (try
    (let [x (value-of (:known @*state*) expr)]
      (if (and (= :ugen (first expr)) (without-value (nth expr 1)))
        (vswap! *state* update :statements conj [:do expr])
        (note! expr x))
      nil)
    (catch clojure.lang.ExceptionInfo e
      (cond
        (error/code e)          (ex-data e)
        (::by-zero (ex-data e)) nil
        :else                   (throw e)))))

(defn- statement []
  (weighted
    7 #(call-of (one-of all-specs))
    3 #(call-of (one-of irregular))
    2 #(call-of (one-of of-chains))
    8 #(expression (if (chance 0.5) #{:audio :scalar} any-rate) 3)
    1 #(expression #{:scalar} 1)
    1 #(expression #{:demand :scalar} 2)
    3 method
    2 composed
    1 control))

(defn- variant [parameters]
  (into {} (keep (fn [[k {:keys [default]}]]
                   (when (chance 0.6)
                     [k (if (vector? default) (some-of 1 (count default) number) (number))])))
        parameters))

(defn program
  "The program of a seed. Beside it may tell, under `:refused`, a statement that was refused,
  its error, and how many statements came before: sclang must refuse that too."
  [^long seed]
  (binding [*random* (Random. (unchecked-multiply seed 0x5DEECE66D))
            *state*  (volatile! {:known {:v [], :p {}}, :leaves [], :rows [], :chains [], :taps [], :statements [], :names [], :refused nil})]
    (let [parameters (mapv parameter (range (below 6)))
          add!       (fn [expr]
                       (when-let [refused (attempt! expr)]
                         (when-not (:refused @*state*)
                           (vswap! *state* assoc :refused {:statement expr, :error refused, :after (count (:statements @*state*))}))))
          declare!   (fn [values]
                       (doseq [[[k] x] (map vector parameters values)]
                         (vswap! *state* update :known update :p assoc k x)
                         (vswap! *state* update :leaves into (leaves-of [:p k] x))
                         (when (sequential? x) (vswap! *state* update :rows conj [[:p k] x]))))]
      (synthdef/synthdef "generated" (into [] cat parameters)
                         (fn [& values]
                           (declare! values)
                           (when (chance 0.08)
                             (add! [:wrap (mapv #(update (parameter %) 0 str "w") (range (inc (below 2))))]))
                           (dotimes [_ (+ 2 (below 7))]
                             (add! (statement)))
                           ;; each in its turn, so that none is left out
                           (add! (call-of (nth all-specs (mod seed (count all-specs)))))
                           (dotimes [_ (+ 2 (below 7))]
                             (add! (statement)))
                           (add! (simple "Out" :ar (number) (into [:array] (some-of 1 5 #(single #{:audio})))))
                           (add! (simple "Out" :kr 4 (into [:array] (some-of 1 5 #(single #{:control :scalar})))))
                           nil))
      {:name       (str "g" seed)
       :parameters parameters
       :variants   (if (and (seq parameters) (chance 0.1))
                     (into {} (map (fn [k] [k (variant parameters)])) (take (inc (below 2)) ["low" "high"]))
                     {})
       :body       (:statements @*state*)
       :refused    (:refused @*state*)})))

(defn refused-program
  "The program whose last statement was refused, and which puts out what that returns."
  [{:keys [body refused] :as p}]
  (let [before (subvec body 0 (:after refused))
        i      (count (filter #(= :let (first %)) before))]
    (assoc p
      :name    (str (:name p) "r")
      :body    (conj before [:let (:statement refused)] [:do (simple "Out" :kr 0 [:v i])])
      :refused nil)))

(defn functions-of
  "The names of the functions of UGens that a program calls."
  [{:keys [body]}]
  (into #{} (keep #(when (and (vector? %) (= :ugen (first %))) (nth % 3)))
        (tree-seq vector? seq body)))

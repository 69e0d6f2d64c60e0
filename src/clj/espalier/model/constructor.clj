(ns espalier.model.constructor
  "From the call of a UGen function to its UGens: arguments by position and by name, their
  defaults, and those UGens whose inputs are not simply their arguments."
  (:require
   [clojure.string :as str]
   [espalier.model.envelope :as envelope]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.graph Output UGen)
   (espalier.model.ugen Spec)))

(set! *warn-on-reflection* true)

;; ---- arguments

(defn- usage [^Spec spec]
  (str "(" (str/join " " (cons (str spec) (map (comp name :key) (.arguments spec)))) ")"))

(defn- place-of [^Spec spec k]
  (let [arguments (.arguments spec)]
    (loop [i 0]
      (when (< i (count arguments))
        (if (identical? k (:key (nth arguments i)))
          i
          (recur (inc i)))))))

(defn- unknown-argument [^Spec spec k]
  (graph/refuse :unknown-argument
                (str spec " has no argument " (error/shown k) "." (error/hint k (map :key (.arguments spec))) " It is " (usage spec) ".")
                {:ugen (str spec), :argument k, :known (mapv :key (.arguments spec))}))

(def ^:private absent (Object.))

(defn- place-named!
  "Puts arguments by name, `more`, into their places."
  [^Spec spec ^objects places more]
  (loop [more (seq more)]
    (when more
      (let [k (first more)
            i (or (when (keyword? k) (place-of spec k)) (unknown-argument spec k))]
        (when-not (next more)
          (graph/refuse :missing-argument (str spec ": there is no value behind " k ".") {:ugen (str spec), :argument k}))
        (when-not (identical? absent (aget places (int i)))
          (graph/refuse :duplicate-argument (str spec ": argument " k " is given twice.") {:ugen (str spec), :argument k}))
        (aset places (int i) (second more))
        (recur (nnext more))))))

(def ^:private numbers-of
  "Arguments for which a name stands for a number."
  (let [warps {:linear 0, :lin 0, :exponential 1, :exp 1}]
    {["MouseX" :warp]   warps
     ["MouseY" :warp]   warps
     ["Onsets" :odftype] (zipmap [:power :magsum :complex :rcomplex :phase :wphase :mkl] (range))
     ["VarLag" :warp]   ugen/envelope-shapes}))

(defn- names-of [^Spec spec k]
  (if (= :done-action k)
    ugen/done-actions
    (numbers-of [(.class-name spec) k])))

(defn- named?
  "Whether an argument may be a name, so that a keyword is its value."
  [spec k]
  (or (= :curve k) (some? (names-of spec k))))

(defn- named-number
  "x, or the number that it is a name of."
  [^Spec spec k x]
  (cond
    (or (keyword? x) (string? x))
    (if-let [names (names-of spec k)]
      (or (get names (keyword x))
          (graph/refuse :invalid-input
                        (str spec ": argument " k " is " (error/shown x) "." (error/hint x (keys names))
                             " It is a number or one of " (str/join " " (sort (keys names))) ".")
                        {:ugen (str spec), :argument k, :value x}))
      x)
    (and (sequential? x) (some #(or (keyword? %) (string? %)) x) (names-of spec k))
    (mapv #(named-number spec k %) x)
    :else x))

(defn- filled!
  "Puts defaults where no argument was given."
  [^Spec spec ^objects places]
  (let [arguments (.arguments spec)]
    (dotimes [i (count arguments)]
      (let [{:keys [key same-as optional] :as argument} (nth arguments i)
            x (graph/finite (aget places i))]
        (aset places i
              (cond
                (and (identical? absent x) (contains? argument :default)) (named-number spec key (:default argument))
                (and (or (identical? absent x) (nil? x)) same-as)         same-as
                (and (or (identical? absent x) (nil? x)) optional)        nil
                (identical? absent x)
                (graph/refuse :missing-argument (str spec ": argument " key " is missing. It is " (usage spec) ".") {:ugen (str spec), :argument key})
                :else (named-number spec key x)))))
    (dotimes [i (count arguments)]
      (when-let [other (:same-as (nth arguments i))]
        (when (identical? other (aget places i))
          (aset places i (aget places (int (place-of spec other)))))))
    places))

(defn arguments-of
  "The arguments of a call in their order, an object array: by position up to the first
  keyword that is the name of one, by name from there on; defaults where none was given.

  Throws what `call` does."
  ^objects [^Spec spec given]
  (let [n      (count (.arguments spec))
        places (object-array n)]
    (java.util.Arrays/fill places absent)
    (loop [i 0, given (seq given)]
      (when given
        (let [x (first given)]
          (cond
            (and (keyword? x) (place-of spec x))
            (place-named! spec places given)

            (and (keyword? x) (or (= i n) (not (named? spec (:key (nth (.arguments spec) i))))))
            (unknown-argument spec x)

            (= i n)
            (graph/refuse :too-many-arguments (str spec " has " n " arguments, and is given more. It is " (usage spec) ".") {:ugen (str spec)})

            :else
            (do (aset places i x)
                (recur (inc i) (next given)))))))
    (filled! spec places)))

;; ---- what is made on the way

(defn- ugen
  "A UGen of a class by its inputs."
  [class-name rate & inputs]
  (graph/make (ugen/find-spec class-name rate) inputs))

(defn- binary [operator a b] (graph/binary (ugen/binary-index operator) a b))

(defn- no-empty
  "Throws where one of values is an empty sequence, of which nothing can be made."
  [^Spec spec k values]
  (when (some #(and (sequential? %) (empty? %)) values)
    (graph/refuse :invalid-input (str spec ": an empty sequence stands in argument " k ", where an input belongs. Give it an element, or leave the UGen out.")
                  {:ugen (str spec), :argument k, :value []})))

(defn audio-rate
  "x at audio rate: numbers by DC, other UGens by K2A, each element of a sequence."
  [x]
  (cond
    (sequential? x)            (mapv audio-rate x)
    (number? x)                (ugen "DC" :audio x)
    (= :audio (graph/rate x))  x
    :else                      (ugen "K2A" :audio x)))

(defn- silent-zeros
  "The channels of an output at audio rate, in which one DC stands for all zeros."
  [channels]
  (let [channels (graph/finite channels)
        zero?   #(and (number? %) (== 0.0 (double %)))
        silence (when (some zero? channels) (ugen "DC" :audio 0))]
    (mapv #(cond (zero? %) silence, (sequential? %) (silent-zeros %), :else %) channels)))

(defn- codes
  "The length of a text and its characters, as UGens carry it."
  [^Spec spec k text]
  (when-not (or (string? text) (keyword? text) (symbol? text))
    (graph/refuse :invalid-input (str spec ": argument " k " is " (error/shown text) ", where a string belongs.") {:ugen (str spec), :argument k, :value text}))
  (let [text (if (string? text) text (name text))]
    (when-not (every? #(< (int %) 128) text)
      (graph/refuse :invalid-input (str spec ": argument " k " is " (error/shown text) ", of which a server takes ASCII characters only.")
                    {:ugen (str spec), :argument k, :value text}))
    (into [(count text)] (map int) text)))

(defn- class-name-of
  "What the class library calls an input, in labels."
  [x]
  (cond
    (instance? Output x) "OutputProxy"
    (instance? UGen x)   (.class-name ^Spec (.spec ^UGen x))
    (integer? x)         "Integer"
    :else                "Float"))

;; ---- UGens by hand. Each is a function of the spec and the arguments.

(defn- with-arguments
  "A maker that changes arguments, by their places, before the usual."
  [f]
  (fn [spec ^objects arguments]
    (graph/construct spec (object-array (f spec (vec arguments))))))

(defn- delay-ugen [k]
  (with-arguments
    (fn [^Spec spec arguments]
      (cond-> arguments
        (= :audio (.rate spec)) (update (place-of spec k) audio-rate)))))

(defn- noise [^Spec spec [mul add]]
  (graph/mul-add (if (sequential? mul)
                   (mapv (fn [_] (graph/make spec [])) mul)
                   (graph/make spec []))
                 mul add))

(defn- out [fixed]
  (fn [^Spec spec arguments]
    (let [channels (graph/as-row (nth arguments fixed))
          channels (if (= :audio (.rate spec)) (silent-zeros channels) channels)]
      (when (empty? channels)
        (graph/refuse :missing-argument (str spec ": there is no channel to put out.") {:ugen (str spec), :argument :channels-array}))
      (graph/make spec (concat (take fixed arguments) channels)))))

(defn- lag-ugen [^Spec spec [in duration :as arguments]]
  (let [[mul add] (take-last 2 arguments)]
    (if (or (= :scalar (graph/fastest (graph/as-row in)))
            (and (= 4 (count arguments)) (number? duration) (zero? (double duration))))
      (graph/mul-add in mul add)
      (graph/construct spec (object-array arguments)))))

(defn changed
  "Whether a signal changes by more than `threshold` from one sample to the next."
  [rate x threshold]
  (binary ">" (graph/unary (ugen/unary-index "abs") (ugen "HPZ1" rate x)) threshold))

(defn- var-lag-one [^Spec spec in duration curvature warp start]
  (let [start (if (nil? start) in start)
        rate  (.rate spec)]
    (if (and (number? warp) (== 1 (double warp)))
      (graph/make spec [in duration start])
      (let [trigger (binary "+" (changed rate in 0) (ugen "Impulse" rate 0 0))
            trigger (if (= :scalar (graph/rate duration))
                      trigger
                      (binary "+" trigger (changed :control duration 0)))]
        (graph/make (ugen/find-spec "EnvGen" rate)
                    [trigger 1 0 1 0 (graph/fixed [start 1 -99 -99 in duration warp curvature])])))))

(defn- var-lag [^Spec spec [in duration curvature warp start mul add]]
  (graph/mul-add
    (if (or (= :scalar (graph/fastest (graph/as-row in))) (and (number? duration) (zero? (double duration))))
      in
      (graph/expand (fn [xs] (apply var-lag-one spec xs)) (object-array [in duration curvature warp start])))
    mul add))

(defn varlag-as
  "VarLag at the rate of its input, also where the duration is 0."
  [in duration curvature warp]
  (graph/expand (fn [[in duration curvature warp]]
                  (let [spec (ugen/find-spec "VarLag" (graph/rate in))]
                    (var-lag-one spec in duration curvature (named-number spec :warp warp) nil)))
                (object-array [in duration curvature warp])))

(defn- env-inputs
  "What stands for an envelope among inputs: a value of `espalier.env`, or the row of
  numbers of one, or a sequence of either."
  [^Spec spec of-envelope row? x]
  (cond
    (envelope/envelope? x) (let [channels (mapv graph/fixed (of-envelope x))]
                             (if (= 1 (count channels)) (first channels) channels))
    (and (sequential? x) (some #(or (envelope/envelope? %) (sequential? %)) x)) (mapv #(env-inputs spec of-envelope row? %) x)
    (and (sequential? x) (row? (count x) (nth (vec x) 1 nil))) (graph/fixed x)
    :else
    (graph/refuse :invalid-input
                  (str spec ": argument :envelope is " (if (fn? x) "a function, which was not called" (error/shown x))
                       ", where an envelope belongs, such as (espalier.env/perc 0.01 1)"
                       (if (sequential? x) ", or the row of numbers of one, 4 and 4 more for each segment." "."))
                  {:ugen (str spec), :argument :envelope, :value x})))

(defn- env-gen [spec [env & others]]
  (graph/make spec (concat others [(env-inputs spec envelope/env-gen-inputs envelope/env-gen-row? env)])))

(defn- ienv-gen [spec [env index mul add]]
  (graph/mul-add (graph/make spec [index (env-inputs spec envelope/ienv-gen-inputs envelope/ienv-gen-row? env)]) mul add))

(defn checked-bank
  "The specification of a bank of sines or resonators: frequencies, amplitudes or nil, and phases or
  times or nil.

  Throws `:espalier.error/invalid-input` for anything else, of the UGen or function `ugen`."
  [ugen specification]
  (when-not (and (sequential? specification) (some? (first specification)))
    (graph/refuse :invalid-input
                  (str ugen ": its specification is " (error/shown specification)
                       ", where [frequencies amplitudes-or-nil others-or-nil] belongs.")
                  {:ugen (str ugen), :argument :specifications-array-ref, :value specification}))
  specification)

(defn- partials
  "The specification of a bank, a sequence of frequencies, amplitudes or nil, and times
  or phases or nil, as one fixed row of triples; several where values are sequences."
  [^Spec spec defaults specification]
  (checked-bank spec specification)
  (let [frequencies (graph/as-row (first specification))
        rows        (cons frequencies
                          (map (fn [x default] (if (nil? x) (repeat (count frequencies) default) (graph/as-row x)))
                               (concat (rest specification) (repeat nil)) defaults))
        _           (no-empty spec :specifications-array-ref (concat rows (mapcat identity rows)))
        n           (long (reduce max 1 (map count (filter sequential? (mapcat identity rows)))))
        one         (fn [i]
                      (let [rows (map (fn [xs] (mapv (fn [x] (if (sequential? x) (nth x (rem (long i) (count x))) x)) xs)) rows)
                            size (reduce max (map count rows))]
                        (graph/fixed (mapcat (fn [k] (map (fn [xs] (nth xs (rem (long k) (count xs)))) rows)) (range size)))))]
    (if (= 1 n) (one 0) (mapv one (range n)))))

(defn- klang [spec [specification scale offset]]
  (graph/make spec [scale offset (partials spec [1.0 0.0] specification)]))

(defn- klank [spec [specification in scale offset decay]]
  (graph/make spec [in scale offset decay (partials spec [1.0 1.0] specification)]))

(defn- beat-track [spec [chain lock]]
  (let [chain (if (and (instance? UGen chain) (= "FFT" (class-name-of chain)))
                chain
                (let [large  (binary ">" (ugen "SampleRate" :scalar) 48000)
                      frames (binary "+" (binary "*" large 1024) 1024)]
                  (ugen "FFT" :control (ugen "LocalBuf" :scalar 1 frames) chain 0.5 0 1 0)))]
    (graph/make spec [chain lock])))

(defn- local-in [^Spec spec [channels default]]
  (let [default (graph/as-row default)]
    (if (and (int? channels) (pos? (long channels)) (seq default))
      (graph/make spec (cons channels (take channels (cycle default))))
      (graph/make spec [channels 0.0]))))

(defn- poll-one [^Spec spec rate trigger in label id]
  (let [rate    (if (= :scalar rate) :control rate)
        trigger (if (number? trigger) (ugen "Impulse" rate trigger 0) trigger)
        spec    (or (ugen/find-spec "Poll" rate) spec)]
    (graph/make spec (concat [trigger in id] (codes spec :label (or label (str "UGen(" (class-name-of in) ")")))))
    in))

(defn- poll [^Spec spec [trigger in label id]]
  (graph/expand (fn [[trigger in label id]] (poll-one spec (.rate spec) trigger in label id))
                (object-array [trigger in label id]))
  in)

(defn poll-as
  "Polls each of `in` at its own rate; returns `in`."
  [trigger in label id]
  (graph/expand (fn [[trigger in label id]] (poll-one nil (graph/rate in) trigger in label id))
                (object-array [trigger in label id]))
  in)

(defn- dpoll [spec [in label run id]]
  (graph/expand (fn [[in label run id]]
                  (graph/make spec (concat [in id run] (codes spec :label (or label (str "DemandUGen(" (class-name-of in) ")"))))))
                (object-array [in label run id])))

(defn- send-reply [spec [trigger command values id]]
  (let [values (graph/as-row values)
        values (if (some sequential? values) values [values])
        _      (run! (fn [[k xs]] (no-empty spec k xs)) {:trig [trigger], :cmd-name [command], :reply-id [id], :values values})
        nth-of (fn [x i] (if (sequential? x) (nth x (rem (long i) (count x))) x))
        n      (long (reduce max (count values) (map count (filter sequential? [trigger command id]))))
        all    (mapv (fn [i]
                       (graph/make spec (concat [(nth-of trigger i) (nth-of id i)] (codes spec :cmd-name (nth-of command i)) (graph/as-row (nth-of values i)))))
                     (range n))]
    (if (= 1 n) (first all) all)))

(defn- send-peak-rms [spec [signals reply-rate lag command id]]
  (let [signals (graph/as-row signals)]
    (graph/make spec (concat [reply-rate lag id (count signals)] (mapcat graph/as-row signals) (codes spec :cmd-name command)))))

(defn- dwrand [spec [items weights repeats]]
  (let [items (graph/as-row items)
        n     (count items)]
    (graph/make spec (concat [repeats n] (take n (concat (graph/as-row weights) (repeat 0.0))) items))))

(defn- pack-fft [spec [chain size values from to zero]]
  (let [values (graph/as-row values)]
    (graph/make spec (concat [chain size from (if (nil? to) (binary "/" size 2) to) zero (count values)] values))))

(defn- duty
  "Duty and TDuty, whose reset must follow a demand-rate duration."
  [^Spec spec arguments]
  (let [[duration reset] arguments
        seen             (graph/rate reset)]
    (when (and (= :demand (graph/rate duration)) (not (contains? #{:demand :scalar (.rate spec)} seen)))
      (graph/refuse :wrong-rate
                    (str spec ": argument :reset is of " (name seen) " rate, where a demand-rate :dur wants it of demand, scalar or "
                         (name (.rate spec)) " rate.")
                    {:ugen (str spec), :argument :reset, :value reset, :rate seen}))
    (graph/construct spec (object-array arguments))))

(defn- del-tap-rd [^Spec spec arguments]
  (let [phase (nth arguments 1)]
    (when (some number? (flatten [phase]))
      (graph/refuse :invalid-input
                    (str spec ": argument :phase is " (error/shown phase)
                         ", where what (del-tap-wr:" (ugen/suffix (.rate spec)) " …) returns belongs. scsynth crashes on others.")
                    {:ugen (str spec), :argument :phase, :value phase}))
    (graph/construct spec (object-array arguments))))

(defn- del-tap-wr [^Spec spec arguments]
  (let [buffer (first arguments)]
    (when (some #(and (number? %) (neg? (double %))) (flatten [buffer]))
      (graph/refuse :invalid-input
                    (str spec ": argument :buffer is " (error/shown buffer) ", where the number of a buffer belongs. scsynth crashes on negative ones.")
                    {:ugen (str spec), :argument :buffer, :value buffer}))
    ((delay-ugen :in) spec (object-array arguments))))

(def ^:private by-hand
  (merge
    (zipmap ["AllpassC" "AllpassL" "AllpassN" "CombC" "CombL" "CombN" "DelayC" "DelayL" "DelayN"
             "BufAllpassC" "BufAllpassL" "BufAllpassN" "BufCombC" "BufCombL" "BufCombN" "BufDelayC" "BufDelayL" "BufDelayN"]
            (repeat (delay-ugen :in)))
    (zipmap ["WhiteNoise" "BrownNoise" "PinkNoise" "GrayNoise" "ClipNoise"] (repeat noise))
    (zipmap ["Lag" "Lag2" "Lag3" "Ramp" "LagUD" "Lag2UD" "Lag3UD" "Slew"] (repeat lag-ugen))
    (zipmap ["Out" "OffsetOut" "ReplaceOut"] (repeat (out 1)))
    (zipmap ["Duty" "TDuty"] (repeat duty))
    {"LocalOut"     (out 0)
     "XOut"         (out 2)
     "LocalIn"      local-in
     "LocalBuf"     (fn [spec [frames channels]] (graph/make spec [channels frames]))
     "SetBuf"       (fn [spec [buffer values offset]]
                      (let [values (graph/as-row values)] (graph/make spec (concat [buffer offset (count values)] values))))
     "DelTapRd"     del-tap-rd
     "DelTapWr"     del-tap-wr
     "DecodeB2"     (fn [spec arguments] (graph/make spec arguments))
     "DemandEnvGen" (with-arguments
                      (fn [^Spec spec arguments]
                        (let [gate (place-of spec :gate), reset (place-of spec :reset)
                              audio? #(= :audio (graph/fastest [(nth arguments %)]))
                              raised (fn [x] (ugen "K2A" :audio x))]
                          (if (and (= :audio (.rate spec)) (not= (audio? gate) (audio? reset)))
                            (update arguments (if (audio? gate) reset gate) raised)
                            arguments))))
     "EnvGen"       env-gen
     "IEnvGen"      ienv-gen
     "VarLag"       var-lag
     "Klang"        klang
     "Klank"        klank
     "InRect"       (fn [spec [x y rect]]
                      (when-not (and (sequential? rect) (= 4 (count rect)))
                        (graph/refuse :invalid-input (str spec ": argument :rect is " (error/shown rect) ", where [left top width height] belongs.")
                                      {:ugen (str spec), :argument :rect, :value rect}))
                      (let [[left top width height] rect]
                        (graph/make spec [x y left top (binary "+" left width) (binary "+" top height)])))
     "LinXFade2"    (fn [spec [a b pan level]] (binary "*" (graph/make spec [a b pan]) level))
     "BeatTrack"    beat-track
     "Poll"         poll
     "Dpoll"        dpoll
     "SendReply"    send-reply
     "SendPeakRMS"  send-peak-rms
     "Dwrand"       dwrand
     "PackFFT"      pack-fft}))

(defn call
  "The UGens that a call of a UGen function makes.

  `given`  its arguments: by position, then by name, `[440 :mul 0.5]`

  Returns and throws what `espalier.model.graph/construct` does, and throws
  `:espalier.error/unknown-argument`, `:espalier.error/missing-argument`,
  `:espalier.error/duplicate-argument`, `:espalier.error/too-many-arguments`.

      (call (ugen/find-spec \"SinOsc\" :audio) [440])  ;=> #<UGen sin-osc:ar>"
  [^Spec spec given]
  (let [arguments (arguments-of spec given)]
    (if-let [f (by-hand (.class-name spec))]
      (f spec arguments)
      (graph/construct spec arguments))))

(defn parameters
  "The arguments of a call spec from a vector of names and, behind those that have one,
  defaults; a default of nil is one that the function finds itself.

      (parameters '[in spread 1])  ;=> [{:key :in} {:key :spread, :default 1}]"
  [names]
  (loop [names (seq names), found []]
    (if names
      (let [k (keyword (first names))]
        (if (and (next names) (not (symbol? (second names))))
          (recur (nnext names)
                 (conj found (if (nil? (second names)) {:key k, :optional true} {:key k, :default (second names)})))
          (recur (next names) (conj found {:key k}))))
      found)))

(defn caller
  "A function of any arguments that calls `f` with all of them in their order, by a spec
  of `ugen/call-spec`."
  [spec f]
  (fn [& given] (apply f (arguments-of spec given))))

(defn- defaults-text
  "The arguments of a call spec with their defaults, as the docs of UGens have them."
  [names]
  (apply str "\n"
         (map (fn [{k :key :as argument}]
                (str "\n    " (name k) (apply str (repeat (max 1 (- 17 (count (name k)))) " ")) (ugen/default-text argument)))
              (parameters names))))

(defmacro defcall
  "Defines a function whose arguments may be given by position and by name.

      (defcall splay:ar
        \"Spreads…\"
        [in-array spread 1 level 1]
        (…))"
  [function-name docstring names & body]
  (let [bound (filterv symbol? names)]
    `(def ~(vary-meta function-name assoc :doc (str docstring (defaults-text names)) :arglists `'(~bound))
       (caller (ugen/call-spec ~(name function-name) (parameters '~names))
               (fn ~bound ~@body)))))

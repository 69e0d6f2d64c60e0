(ns espalier.synthdef
  "SynthDefs: written, read from files, looked at.

      (require '[espalier.synthdef :as synthdef :refer [defsynth]]
               '[espalier.env :as env]
               '[espalier.ugens :refer :all])

      (defsynth blip
        \"A sine that fades.\"
        [out 0, freq 440, amp {:default 0.1, :lag 0.05}]
        (out:ar out (* amp (sin-osc:ar freq) (env-gen:kr (env/perc) :done-action :free-self))))

      (sc/add-synthdefs! s blip)
      (sc/add-synth! s blip {:freq 660})

  A SynthDef is an immutable value, the map that `espalier.model.synthdef` describes: it
  can be compared, printed whole with `pprint`, kept in a file by `write-file!`. It prints
  in one line; `text` shows its UGens. Defining one again changes no server: those that have
  it get the new one by `(sc/add-synthdefs! s blip)`, and synths that play go on with what
  they were made of.

  The bytes are those that sclang 3.13 writes for the same graph."
  (:require
   [clojure.core.protocols :as protocols]
   [clojure.string :as str]
   [espalier.model.compiler :as compiler]
   [espalier.model.constructor :as constructor]
   [espalier.model.error :as error]
   [espalier.model.glossary :as glossary]
   [espalier.model.graph :as graph]
   [espalier.model.synthdef :as model]
   [espalier.model.ugen :as ugen]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.synthdef-file :as synthdef-file]
   [espalier.ugens :as ugens :refer [env-gate linen:kr lpf:ar offset-out:ar pan2:ar rand:ir var-saw:ar x-line:kr]])
  (:import
   (java.io IOException Writer)
   (java.nio.file Files InvalidPathException)))

(set! *warn-on-reflection* true)

;; ---- parameters

(defn- refuse
  "Throws an error of a SynthDef that is not built yet; of the one that is, where `synthdef`
  is nil."
  ([synthdef message data] (refuse :invalid-control synthdef message data))
  ([code synthdef message data]
   (if synthdef
     (graph/refuse code (str "SynthDef " synthdef ": " message) (assoc data :synthdef synthdef))
     (graph/refuse code (str (str/upper-case (subs message 0 1)) (subs message 1)) data))))

(def ^:private kinds {:ir :scalar, :tr :trigger, :ar :audio, :kr :control})

(defn- kind-of
  "The rate of a parameter, by the option `:rate` or the prefix of its name, in the order
  in which sclang looks."
  [parameter asked]
  (let [prefix (fn [text] (str/starts-with? parameter text))]
    (cond
      (or (= :ir asked) (prefix "i_")) :scalar
      (or (= :tr asked) (prefix "t_")) :trigger
      (or (= :ar asked) (prefix "a_")) :audio
      :else                            :control)))

(defn- number-of [synthdef parameter what x]
  (cond
    (nil? x) 0.0
    (and (number? x) (not (Double/isNaN (double x)))) (double x)
    :else
    (refuse synthdef (str "the " what " of parameter " parameter " is " (error/shown x) ", where a number belongs.") {:control parameter, :value x})))

(defn- parameter [synthdef [k x]]
  (when-not (or (ident? k) (string? k))
    (refuse synthdef (str "a parameter is called " (error/shown k) ", where a name belongs.") {:control k}))
  (let [parameter (name k)
        {:keys [default rate lag] :as options} (if (map? x) x {:default x})
        unknown   (first (remove #{:default :rate :lag} (keys options)))
        _         (when unknown
                    (refuse synthdef (str "parameter " parameter " has the option " (error/shown unknown) "." (error/hint unknown [:default :rate :lag])
                                          " It may have :default, :rate and :lag.")
                            {:control parameter, :option unknown}))
        _         (when-not (or (nil? rate) (kinds rate))
                    (refuse synthdef (str "the rate of parameter " parameter " is " (error/shown rate) ", not one of :ir :tr :ar :kr.") {:control parameter, :value rate}))
        kind      (kind-of parameter rate)
        array?    (sequential? default)
        values    (mapv #(number-of synthdef parameter "default" %) (if array? (graph/finite default) [default]))
        lags      (mapv #(number-of synthdef parameter "lag" %) (if (sequential? lag) (graph/finite lag) [lag]))]
    (when (or (empty? values) (empty? lags))
      (refuse synthdef (str "parameter " parameter " is an array without values.") {:control parameter}))
    (when (and lag (not= :control kind))
      (refuse synthdef (str "parameter " parameter " has a lag, which only a parameter of rate :kr can have.") {:control parameter}))
    {:name    parameter
     :rate    kind
     :values  values
     :single? (not array?)
     :lags    (vec (take (count values) (cycle lags)))}))

(defn- pairs [synthdef parameters]
  (when-not (and (vector? parameters) (even? (count parameters)))
    (refuse synthdef (str "its parameters are " (error/shown parameters) ", where a vector of names, each with a default, belongs: [freq 440, amp 0.1].")
            {:value parameters}))
  (partition 2 parameters))

;; ---- variants

(defn- variant
  "The values of all controls of a variant, and its name."
  [{:keys [parameters] :as d} [k settings]]
  (let [synthdef  (:name d)
        full-name (str synthdef "." (name k))
        controls  (model/controls d)]
    (when (< 31 (alength (.getBytes full-name "UTF-8")))
      (refuse :invalid-variant synthdef (str "the variant " full-name " has a name of more than 31 bytes, which no server takes.") {:variant full-name}))
    [full-name
     (reduce-kv
       (fn [values k value]
         (let [{:keys [index size]} (get controls (name k))
               given (if (sequential? value) value [value])]
           (when-not index
             (refuse :unknown-control synthdef
                     (str "the variant " full-name " sets " (name k) ", which is no control of it." (error/hint k (keys controls)))
                     {:variant full-name, :control k, :known (vec (keys controls))}))
           (when (< (long size) (count given))
             (refuse :invalid-variant synthdef (str "the variant " full-name " gives " (count given) " values to " (name k) ", which has " size ".")
                     {:variant full-name, :control k}))
           (reduce-kv (fn [values i x] (assoc values (+ (long index) (long i)) (model/shortest (number-of synthdef (name k) "value in a variant" x))))
                      values (vec given))))
       parameters
       settings)]))

(defn- checked-variants [synthdef variants]
  (let [named? #(or (ident? %) (string? %))]
    (when-not (or (nil? variants)
                  (and (map? variants)
                       (every? (fn [[k settings]] (and (named? k) (map? settings) (every? named? (keys settings)))) variants)))
      (refuse :invalid-variant synthdef
              (str "its variants are " (error/shown variants) ", where a map of names to maps of controls belongs: {:low {:freq 110}}.")
              {:value variants}))
    variants))

;; ---- making

(defn- line [d]
  (str "#<SynthDef " (:name d) " ["
       (str/join ", " (map (fn [[k {:keys [default]}]] (str k " " default)) (model/controls d)))
       "] " (counted (count (:ugens d)) "UGen") ">"))

(defmethod print-method ::synthdef [d ^Writer w]
  (if (and (= :synthdef (:kind d)) (vector? (:ugens d)))
    (.write w ^String (line d))
    (print-method (vary-meta d dissoc :type) w)))          ; what some function has made of one

(defn- ugen-of
  "A UGen of a SynthDef, which datafies to what the table knows of it."
  [ugen]
  (vary-meta ugen assoc `protocols/datafy (fn [{:keys [class] :as ugen}] (merge (dissoc (glossary/ugen-entry class) :text) ugen))))

(defn- data
  "What tools find that look into a SynthDef: its controls by name, and UGens that lead to
  their docs."
  [d]
  {:name     (:name d)
   :controls (model/controls d)
   :ugens    (with-meta (mapv ugen-of (:ugens d)) {:portal.viewer/default :portal.viewer/table})
   :variants (:variants d)})

(defn- shown [d] (with-meta d {:type ::synthdef, `protocols/datafy data}))

(defn- checked-name [synthdef]
  (let [text (if (or (ident? synthdef) (string? synthdef)) (name synthdef) "")]
    (if (<= 1 (alength (.getBytes ^String text "UTF-8")) 255)
      text
      (graph/refuse :invalid-name (str "A SynthDef is called " (error/shown synthdef) ", where a name of 1 to 255 bytes belongs.") {:synthdef synthdef}))))

(defn- called
  "What a graph function returns for the signals of its parameters. What clojure.core says
  of its mistakes is said in words of SynthDefs."
  [f signals]
  (try
    (apply f signals)
    (catch ClassCastException e
      (if (re-find #"(espalier\.model\.graph\.(UGen|Output)|Vector|Seq) cannot be cast to class java\.lang\.Number" (str (ex-message e)))
        (graph/refuse :invalid-input
                      (str "A function of numbers was called with a signal. In functions outside of defsynth, + - * / work on signals within"
                           " (espalier.ugens/with-operators …), or as add, subtract, multiply, divide.")
                      {} e)
        (throw e)))
    (catch clojure.lang.ArityException e
      (if (and (= (count signals) (.actual e)) (str/starts-with? (.name e) (str/replace (.getName (class f)) #"__\d+$" "")))
        (graph/refuse :invalid-argument (str "it declares " (count signals) " parameters, and its graph function takes another number.") {:argument :f} e)
        (throw e)))))

(defn synthdef
  "A SynthDef from a graph function; `defsynth` is sugar over it.

  `synthdef-name`  a keyword, symbol or string
  `parameters`     a vector of names and defaults. A default is a number, a vector of
                   numbers (the parameter is then a vector of signals), or a map of
                     `:default`  that
                     `:rate`     :kr (default), :ir read once, :tr 0 again after one block,
                                 :ar for an audio bus. A name that begins with i_, t_ or
                                 a_ says it as well
                     `:lag`      seconds (one number or a vector) to follow a change, at :kr
  `f`              function of as many signals; what it makes of UGens is the graph
  `:variants`      sets of defaults by name, `{:low {:freq 110}}`: `bell.low` is one
                   (scsynth only)

  Throws `:espalier.error/invalid-control`, `:espalier.error/duplicate-control`,
  `:espalier.error/invalid-name`, `:espalier.error/invalid-variant`,
  `:espalier.error/unknown-control`, and what UGens throw: among others
  `:espalier.error/invalid-input`, `:espalier.error/wrong-rate`,
  `:espalier.error/missing-argument`. Their data says `:ugen`, `:argument`, `:value`, and
  `:at` where in the source.

      (synthdef :hum [:freq 50] (fn [freq] (out:ar 0 (sin-osc:ar freq 0 :mul 0.1))))"
  ([synthdef-name parameters f] (synthdef synthdef-name parameters f {}))
  ([synthdef-name parameters f opts]
   (when-not (map? opts)
     (graph/refuse :invalid-option (str "The options of a SynthDef are a map, such as {:variants {…}}, not " (error/shown opts) ".") {:value opts}))
   (when-let [k (first (remove #{:variants} (keys opts)))]
     (graph/refuse :unknown-option (str "A SynthDef has no option " (error/shown k) "." (error/hint k [:variants])) {:option k}))
   (when-not (ifn? f)
     (graph/refuse :invalid-option (str "A SynthDef is made by a graph function, such as (fn [freq] (out:ar 0 (sin-osc:ar freq))), not by " (error/shown f) ".") {:value f}))
   (let [variants      (:variants opts)
         synthdef-name (checked-name synthdef-name)
         declared      (mapv #(parameter synthdef-name %) (pairs synthdef-name parameters))
         d             (compiler/finish synthdef-name
                                        (graph/build synthdef-name (fn [] (called f (graph/declare-controls declared)))))]
     (shown (assoc d :variants (mapv #(variant d %) (checked-variants synthdef-name variants)))))))

(defn- bad-parameters [synthdef parameters]
  (throw (error/error :invalid-control
                      (str "defsynth " synthdef " wants a vector of parameters, each a symbol with a default behind it: (defsynth " synthdef
                           " [freq 440, amp 0.1] …), not " (pr-str parameters) ".")
                      {:synthdef (str synthdef), :value parameters})))

(defn- parameter-names
  "The symbols of a vector of parameters; throws where one is none or has no default."
  [synthdef parameters]
  (when-not (and (vector? parameters)
                 (even? (count parameters))
                 (every? simple-symbol? (take-nth 2 parameters)))
    (bad-parameters synthdef parameters))
  (vec (take-nth 2 parameters)))

(defmacro defsynth
  "Defines a SynthDef of the same name, from a docstring and options that may be left out, a
  vector of parameters with defaults, and a body that makes its UGens. In the body,
  + - * / and their like work on UGens (`espalier.ugens/with-operators`). Parameters,
  options and errors are those of `synthdef`.

      (defsynth bell
        \"A struck bell.\"
        {:variants {:low {:freq 220}}}
        [out 0, freq 440, amp 0.1]
        (out:ar out (* amp (sin-osc:ar freq) (env-gen:kr (env/perc 0.001 3) :done-action :free-self))))"
  {:arglists '([name docstring? options? [parameter default …] & body])}
  [synthdef-name & more]
  (let [[docstring more]      (if (string? (first more)) [(first more) (rest more)] [nil more])
        [options more]        (if (map? (first more)) [(first more) (rest more)] [{} more])
        [parameters & body]   more
        names                 (parameter-names synthdef-name parameters)]
    ;; Made before the def: so an error is itself, and not the cause of a compiler's.
    `(let [d# (synthdef ~(name synthdef-name)
                        ~(into [] (mapcat (fn [[k default]] [(keyword k) default])) (partition 2 parameters))
                        (ugens/with-operators (fn [~@names] ~@body))
                        ~options)]
       (def ~(cond-> synthdef-name docstring (vary-meta assoc :doc docstring)) d#))))

(defn declare-parameters
  "The signals of further parameters, a vector as `synthdef` takes it, in the middle of a
  graph function; `with-parameters` is sugar over it. They are grouped among themselves and
  come behind those that are there.

  Throws what `synthdef` throws for parameters; `:espalier.error/no-graph` outside of a
  graph function."
  [parameters]
  (graph/declare-controls (mapv #(parameter nil %) (pairs nil parameters))))

(defmacro with-parameters
  "Evaluates `body` with further parameters of the SynthDef that is being written: for
  functions that add some of their own.

      (defn filtered [in]
        (with-parameters [cutoff 1200, rq 0.5]
          (rlpf:ar in cutoff rq)))"
  [parameters & body]
  (let [names (parameter-names "in with-parameters" parameters)]
    `(let [signals# (declare-parameters ~(into [] (mapcat (fn [[k default]] [(keyword k) default])) (partition 2 parameters)))]
       (ugens/with-operators
         (let [~names signals#] ~@body)))))

;; ---- hearing a graph

(defn- check-playable
  "The options of `playable`, if they are right."
  [f {:keys [channels] :as opts}]
  (error/check-function "A graph to play is a function without arguments" f)
  (when-let [k (first (remove #{:channels :fade-time-s} (keys opts)))]
    (graph/refuse :unknown-option (str "A graph to play has no option " (error/shown k) "." (error/hint k [:channels :fade-time-s])) {:option k}))
  (when channels (graph/channel-count channels "A graph to play" {}))
  opts)

(defn- option-map [opts]
  (if (map? opts)
    opts
    (graph/refuse :invalid-option (str "The options of a graph to play are a map, not " (error/shown opts) ".") {:value opts})))

(defn playable
  "The SynthDef that puts out what `f`, a function without arguments, returns: signals, or a
  UGen that puts out itself. Beside what controls it declares there are `out`, the first
  bus, and, unless it declares a `gate` itself, `gate` and `fadeTime`, by which it fades in
  and out.

  `channels`  how many channels one signal is put on (default 1)

      (playable :test (fn [] (sin-osc:ar 440)))"
  ([synthdef-name f] (playable synthdef-name f {}))
  ([synthdef-name f opts]
   (let [{:keys [channels fade-time-s]} (check-playable f (option-map opts))]
     (synthdef synthdef-name [:out {:default 0, :rate :ir}]
               (fn [out]
                 (let [result (graph/finite (f))
                       rate   (graph/fastest (if (sequential? result) result [result]))]
                   (cond
                     ;; It puts out itself.
                     (or (nil? result) (and (graph/signal? result) (not (graph/channels? result))))
                     result

                     (contains? #{:audio :control} rate)
                     (let [faded   (if (graph/declared? "gate")
                                     result
                                     (ugens/multiply (env-gate :i-level 0 :fade-time (ugens/control:kr :fadeTime (or fade-time-s 0.02))) result))
                           signals (if (sequential? faded) faded (vec (repeat (or channels 1) faded)))]
                       (if (= :audio rate)
                         (ugens/out:ar out (mapv constructor/audio-rate signals))
                         (ugens/out:kr out signals)))

                     (some graph/signal? (flatten [result]))
                     result

                     :else
                     (graph/refuse :invalid-input (str "What is to be played is " (error/shown result) ", where a signal belongs, such as (sin-osc:ar 440 :mul 0.1)."
                                                       (when (or (map? result) (string? result) (ident? result))
                                                         " (sc/add-synth! s :bell) starts a synth of a SynthDef."))
                                   {:value result}))))))))

;; ---- reading and looking

(defn- looked-at
  "The SynthDef that d is."
  [d]
  (when-not (and (map? d) (vector? (:parameters d)) (vector? (:parameter-names d)) (vector? (:ugens d)))
    (throw (error/error :invalid-argument (str "What is looked at is a SynthDef, a value as (synthdef/read-file …) returns some, not " (error/shown d) ".")
                        {:argument :d, :value d})))
  d)

(defn controls
  "The controls of a SynthDef, a map in the order of its parameters: name to `:index`,
  `:size` and `:default`, of an array a vector.

  Throws `:espalier.error/invalid-argument` where it is no SynthDef value.

      (controls blip)  ;=> {\"freq\" {:index 0, :size 1, :default 440.0}}"
  [d]
  (model/controls (looked-at d)))

(defn parse
  "The SynthDefs of a file's bytes, a vector; format versions 1 and 2.

  Throws `:espalier.error/invalid-synthdef` with the `:offset` of the byte."
  [^bytes bytes]
  (mapv shown (model/parse bytes)))

(defn encode
  "The bytes of a file, format version 2, that holds SynthDefs: one or a sequence.

  Throws `:espalier.error/invalid-synthdef`."
  ^bytes [defs]
  (model/encode (if (sequential? defs) defs [defs])))

(defn read-file
  "The SynthDefs of a .scsyndef file, a vector.

  `file`  a path, File, Path or URL

  Throws `:espalier.error/invalid-synthdef` with `:path` and the `:offset` of the byte,
  `:espalier.error/file-failed`, `:espalier.error/invalid-argument`."
  [file]
  (mapv shown (synthdef-file/read-file file)))

(defn read-directory
  "The SynthDefs of all .scsyndef files in a folder, and in those within it: a sorted map
  from their names; of one name the last, as a server would have it.

      (sc/add-synthdefs! s (synthdef/read-directory \"synthdefs\"))

  Throws what `read-file` does."
  [directory]
  (into (sorted-map) (map (juxt :name shown)) (synthdef-file/read-directory directory)))

(defn write-file!
  "Writes SynthDefs, one or a sequence, to a .scsyndef file; returns the file's path.

  Throws `:espalier.error/invalid-synthdef`, `:espalier.error/file-failed`."
  [file defs]
  (let [bytes (encode defs)
        file  (synthdef-file/file-of file)]
    (try (Files/write (.toPath file) bytes ^"[Ljava.nio.file.OpenOption;" (make-array java.nio.file.OpenOption 0))
         (str file)
         (catch Exception e
           (when-not (or (instance? IOException e) (instance? InvalidPathException e)) (throw e))
           (throw (error/error :file-failed (str "No SynthDef file can be written at " file ": " (ex-message e) ".") {:path (str file)} e))))))

(defn text
  "A SynthDef as text: its controls, then each UGen with what it reads, by number.

  Throws `:espalier.error/invalid-argument` where it is no SynthDef value.

      (println (text blip))"
  [d]
  (model/text (looked-at d) (fn [class-name number] (or (ugen/operator-name class-name number) number))))

;; ---- the default

(def default
  "The SynthDef to try things with: three sawtooths through a filter that closes, with
  amplitude, frequency, gate, pan and out. It fades away once gate is 0."
  (synthdef :default [:amplitude 0.1, :frequency 440, :gate 1, :pan 0.5, :out {:default 0, :rate :ir}]
            (fn [amplitude frequency gate pan out]
              (ugens/with-operators
                (let [saw      (fn [freq] (var-saw:ar freq 0 0.3))
                      saws     (ugens/mix [(saw frequency)
                                           (saw (+ frequency (rand:ir -0.4 0)))
                                           (saw (+ frequency (rand:ir 0 0.4)))])
                      filtered (lpf:ar (* saws 0.3) (x-line:kr (rand:ir 4000 5000) (rand:ir 2500 3200) 1))]
                  (offset-out:ar out (pan2:ar (* filtered (linen:kr gate 0.01 0.7 0.3 :free-self) amplitude) pan)))))))

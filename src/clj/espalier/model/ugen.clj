(ns espalier.model.ugen
  "The UGens and operators that the servers know: a table, read from the resource
  `espalier/ugens.edn`, and what can be asked of it.

  Each UGen has a class name (\"SinOsc\") and, for each of its rates, a `Spec`, which
  says how its arguments become the inputs of a SynthDef. A rate is `:audio`,
  `:control`, `:scalar` or `:demand`; in names of functions it is `ar`, `kr`, `ir`,
  `dr`."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.string :as str])
  (:import
   (java.io PushbackReader)
   (java.util HashMap)))

(set! *warn-on-reflection* true)

(def ^:private table
  (with-open [in (PushbackReader. (io/reader (io/resource "espalier/ugens.edn")))]
    (edn/read in)))

(def done-actions
  "What a UGen may do with its synth when it has finished, by name:
  `{:none 0, :pause-self 1, :free-self 2 …}`."
  (:done-actions table))

(def envelope-shapes
  "The number of each shape that a segment of an envelope may have, by name:
  `{:step 0, :lin 1, :exp 2 …}`. A segment whose curve is a number has shape 5."
  (:env-shapes table))

(def ^:private rate-suffixes {:audio "ar", :control "kr", :scalar "ir", :demand "dr"})

(defn suffix
  "How functions end that make UGens of a rate.

      (suffix :audio)  ;=> \"ar\""
  [rate]
  (rate-suffixes rate))

(defn kebab
  "A name of SuperCollider's in the way of Clojure's.

      (kebab \"SinOsc\")     ;=> \"sin-osc\"
      (kebab \"PV_MagMul\")  ;=> \"pv-mag-mul\"
      (kebab \"initCPs\")    ;=> \"init-cps\""
  [text]
  (-> ^String text
      (str/replace "CPs" "Cps")
      (str/replace "UGens" "Ugens")
      (str/replace "_" "-")
      (str/replace #"([a-z])([A-Z])" "$1-$2")
      (str/replace #"([A-Z])([A-Z][a-z])" "$1-$2")
      (str/replace #"([0-9])([A-Z][A-Z])" "$1-$2")
      str/lower-case))

;; ---- specs

(deftype Spec
  [class-name
   rate
   arguments       ; vector of {:key :freq, :default 440.0 | absent, :same-as :other-argument}
   layout          ; vector, one of an input: the index of an argument, [index] for the elements of one, or a number
   channels        ; how many outputs, or {:argument index of the one that says it}, or :inputs (Demand)
   mul-add         ; the indices of mul and add, which are not inputs, or nil
   rejects         ; {input #{rate}}: which rates an input must not have
   rejects-rest    ; [from #{rate}]: the same of all inputs from there on, or nil
   returns         ; the index of the argument that is returned instead of the UGen, or nil
   pure?           ; goes where nothing reads it
   width-first?    ; comes before all that is made after it
   pv-chain?       ; passes an FFT buffer on
   multi-out?      ; its outputs are apart from it, even where it is one
   unipolar?       ; puts out 0 to 1, not -1 to 1
   demand?]        ; is a demand UGen
  Object
  (toString [_] (if rate (str (kebab class-name) ":" (suffix rate)) class-name)))

(defmethod print-method Spec [x ^java.io.Writer w]
  (.write w (str "#<Spec " x ">")))

(defn- index-of [arguments arg-name]
  (first (keep-indexed (fn [i [n]] (when (= arg-name n) i)) arguments)))

(defn- layout-of
  "`inputs` of the table, with names replaced by indices. What the table writes for
  strings, envelopes and the like stays as it is: those UGens are laid out by hand."
  [arguments inputs]
  (mapv (fn [input]
          (if (string? input)
            (if (str/ends-with? input "*")
              [(index-of arguments (subs input 0 (dec (count input))))]
              (index-of arguments input))
            input))
        inputs))

(defn- argument [[arg-name default] nil-defaults]
  (let [other (get nil-defaults arg-name)]
    (cond-> {:key (keyword (kebab arg-name))}
      (some? default)                                          (assoc :default default)
      (number? other)                                          (assoc :default other)
      (and (string? other) (not (str/starts-with? other "<"))) (assoc :same-as (keyword (kebab other)))
      (contains? #{"tobin" "label"} arg-name)                  (assoc :optional true))))

(defn- spec
  [{class-name :name, traits :traits} constructor {:keys [args nil-defaults rate inputs outputs madd returns rejects]}]
  (let [rate    (or rate ({:ar :audio, :kr :control, :ir :scalar} constructor))
        layout  (layout-of args inputs)
        splice  (first (keep-indexed (fn [i x] (when (vector? x) i)) layout))
        rejects (into {} (map (fn [[i rates]] [i (into #{:demand} rates)])) rejects)]
    (Spec. class-name
           rate
           (mapv #(argument % (into {} nil-defaults)) args)
           layout
           (cond
             (map? outputs)     {:argument (index-of args (:arg outputs))}
             (number? outputs)  outputs
             :else              :inputs)
           (when madd [(index-of args "mul") (index-of args "add")])
           (not-empty (cond->> rejects splice (into {} (remove #(<= (long splice) (long (key %)))))))
           (when-let [rates (and splice (get rejects splice))] [splice rates])
           (when (map? returns) (index-of args (:arg returns)))
           (contains? traits :dead-code)
           (contains? traits :width-first)
           (contains? traits :pv-chain)
           (contains? traits :multi-out)
           (contains? traits :unipolar)
           (contains? traits :demand))))

(defn- whole
  "`:rates` of a row without references from one to another."
  [rates]
  (update-vals rates (fn [{:keys [as rejects] :as facts}]
                       (if as
                         (cond-> (dissoc (get rates as) :rejects) rejects (assoc :rejects rejects))
                         facts))))

(def ugens
  "All UGens, by class name, as the table has them: `:name :doc :categories :traits
  :engines :rates`. `:engines` are those of `:scsynth` and `:supernova` that have it.

      (:engines (get ugens \"SinOsc\"))  ;=> #{:scsynth :supernova}"
  (into {} (map (fn [row] [(:name row) (update row :rates whole)])) (:ugens table)))

(def ^:private specs-by-class
  (let [specs (HashMap.)]
    (doseq [row (vals ugens)
            [constructor facts] (:rates row)
            :let [s (spec row constructor facts)]]
      (.put specs [(:name row) (.rate ^Spec s)] s))
    specs))

(defn find-spec
  "The spec of a class at a rate, or nil where it has none.

      (find-spec \"SinOsc\" :audio)  ;=> #<Spec sin-osc:ar>"
  ^Spec [class-name rate]
  (.get ^HashMap specs-by-class [class-name rate]))

(defn specs
  "The specs of all UGens that a server has, in the order of their names."
  []
  (sort-by str (filter #(seq (:engines (ugens (.class-name ^Spec %)))) (vals specs-by-class))))

(defn call-spec
  "A spec of what is called like a UGen, with arguments by position and by name, and is
  made of several.

      (call-spec \"splay:ar\" [{:key :in-array} {:key :spread, :default 1}])"
  [function-name arguments]
  (Spec. function-name nil arguments [] 0 nil nil nil nil false false false false false false))

(defn default-text
  "What an argument of a spec is where it is not given, in words.

      (default-text {:key :freq, :default 440.0})   ;=> \"440.0\"
      (default-text {:key :stop, :same-as :start})  ;=> \"as start\""
  [{:keys [default same-as optional] :as argument}]
  (cond
    (contains? argument :default) (str default)
    same-as                       (str "as " (name same-as))
    optional                      "may be left out"
    :else                         "must be given"))

(defn built-in
  "A spec of what the table does not list, for a SynthDef is made of it without being
  asked: controls and operators.

      (built-in \"MulAdd\" :audio {})"
  [class-name rate {:keys [pure? multi-out? layout]}]
  (Spec. class-name rate [] (or layout []) 1 nil nil nil nil (boolean pure?) false false (boolean multi-out?) false false))

;; ---- operators

(def unary-operators
  "The 54 unary operators in the order of their numbers: `:index :name :doc`, and
  `:server false` for those that no server knows."
  (:unary table))

(def binary-operators
  "The 49 binary operators, as `unary-operators`; `:aliases` are other signs of sclang's."
  (:binary table))

(defn unary-index
  "The number of the unary operator of this name.

      (unary-index \"midicps\")  ;=> 17"
  [operator]
  (some #(when (= operator (:name %)) (:index %)) unary-operators))

(defn binary-index
  "The number of the binary operator of this name.

      (binary-index \"*\")  ;=> 2"
  [operator]
  (some #(when (= operator (:name %)) (:index %)) binary-operators))

(defn operator-name
  "The name of an operator by its number, of the class UnaryOpUGen or BinaryOpUGen; nil where there is
  none.

      (operator-name \"BinaryOpUGen\" 2)  ;=> \"*\""
  [class-name number]
  (:name (nth (case class-name "UnaryOpUGen" unary-operators, "BinaryOpUGen" binary-operators, []) number nil)))

(ns espalier.ugen-table
  "Makes resources/espalier/ugens.edn, the table of UGens and operators, from what is
  installed: `bin/clj -M:dev -m espalier.ugen-table`, in the root of the checkout. It
  takes about half a minute; sclang, scsynth, supernova and jackd must be there.

  - How a UGen is made, its arguments, inputs, outputs and traits, comes from sclang:
    dev/ugens/ugens.scd asks its class library.
  - What a UGen does is said in dev/ugens/docs.edn, which is written by hand. One that has
    no sentence there, or a sentence without one, is an error.
  - Which engine knows a UGen comes from the engines: each is booted, and sent a
    SynthDef of each UGen.

  Where sclang is not on the PATH, ESPALIER_SCLANG names it."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.model.synthdef :as synthdef])
  (:import
   (java.io File IOException)
   (java.util List)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(def path "Where the table is in the checkout." "resources/espalier/ugens.edn")

;; ---- what sclang says

(def ^:private questions "dev/ugens/ugens.scd")

(def ^:private sclang-timeout-s 120)

(defn- start-sclang
  "Runs the questions, the answer into a file, the chatter into another; nil where there is no sclang."
  ^Process [^File answer ^File chatter]
  (let [^List command [(or (System/getenv "ESPALIER_SCLANG") "sclang") "-D" "-u" (str (sc/find-free-port)) questions]
        builder       (-> (ProcessBuilder. command)
                          (.redirectErrorStream true)
                          (.redirectOutput chatter))]
    (doto (.environment builder)
      (.put "ESPALIER_UGENS" (str answer))
      (.putIfAbsent "QT_QPA_PLATFORM" "offscreen")
      (.putIfAbsent "QTWEBENGINE_DISABLE_SANDBOX" "1"))
    (try (doto (.start builder) (-> .getOutputStream .close))
         (catch IOException _))))

(defn ask-sclang
  "What the class library of the installed sclang says of its UGens, as ugens.scd writes
  it; nil where there is no sclang. Takes some 3 seconds."
  []
  (let [answer  (File/createTempFile "espalier-ugens" ".edn")
        chatter (File/createTempFile "espalier-sclang" ".txt")]
    (try
      (when-let [process (start-sclang answer chatter)]
        (try
          (when-not (and (.waitFor process sclang-timeout-s TimeUnit/SECONDS) (zero? (.exitValue process)))
            (throw (ex-info (str "sclang did not answer. It printed:\n" (slurp chatter)) {:questions questions})))
          (finally (.destroyForcibly process)))
        (try (edn/read-string (slurp answer))
             (catch RuntimeException e
               (throw (ex-info (str "sclang's answer breaks off. It printed:\n" (slurp chatter)) {:questions questions} e)))))
      (finally (.delete answer) (.delete chatter)))))

;; ---- which engine knows what

(defn- lone-ugen
  "A SynthDef of one UGen without inputs or outputs: enough for an engine to look for its name, never to be played."
  [n ugen]
  {:kind :synthdef, :name (str "lone-" n), :constants [], :parameters [], :parameter-names [], :variants []
   :ugens [{:class ugen, :rate :control, :inputs [], :outputs [], :special 0}]})

(defn- known
  "The UGens among `names` that a booted server knows: it takes SynthDefs of no others, though it does not say so, and tells
  how many it has."
  [s names]
  (second
    (reduce (fn [[n found] ugen]
              (sc/send! s ["/d_recv" (synthdef/encode [(lone-ugen n ugen)])])
              (sc/sync! s)
              (let [now (:synthdef-count (sc/status s))]
                [now (cond-> found (> (long now) (long n)) (conj ugen))]))
            [(:synthdef-count (sc/status s)) #{}]
            names)))

(defn ask-engines
  "Which UGens among `names` each installed engine knows: `{:scsynth #{\"SinOsc\" …} :supernova #{…}}`."
  [names]
  (into {}
        (for [engine [:scsynth :supernova]]
          (sc/with-server [s {:executable (name engine), :audio :dummy, :port (sc/find-free-port), :load-synthdefs false}]
            (let [nonsense "EspalierHasNoSuch"
                  found    (known s (cons nonsense names))]
              (when (or (found nonsense) (not (found "SinOsc")))
                (throw (ex-info (str (name engine) " does not count its SynthDefs as expected.") {:found found})))
              [engine found])))))

;; ---- the table

(def ^:private no-rows
  "Classes below UGen that are no row of the table, and why."
  (merge
    (zipmap ["AbstractIn" "AbstractOut" "BEQSuite" "BasicOpUGen" "BufInfoUGenBase" "ChaosGen" "DUGen" "Filter" "InfoUGenBase"
             "ListDUGen" "MultiOutUGen" "PV_ChainUGen" "PureMultiOutUGen" "PureUGen" "WidthFirstUGen"]
            (repeat "is never made itself"))
    (zipmap ["BinaryOpUGen" "MulAdd" "Sum3" "Sum4" "UnaryOpUGen"] (repeat "is an operator"))
    (zipmap ["AudioControl" "Control" "LagControl" "TrigControl"] (repeat "is made of the controls of a SynthDef"))
    {"OutputProxy" "is an output of another"}
    (zipmap ["Changed" "CompanderD" "Dstutter" "Dunique" "DynKlang" "DynKlank" "HilbertFIR" "InBus" "Splay" "SplayAz" "Tap"
             "UnpackFFT"]
            (repeat "makes other UGens only"))))

(def ^:private implied-rates {:ar :audio, :kr :control, :ir :scalar})

(defn- ordered
  "A map with these keys and values in this order, without those that are nil."
  [& kvs]
  (apply array-map (mapcat (fn [[k v]] (when (some? v) [k v])) (partition 2 kvs))))

(defn- spliced
  "The inputs, with the elements of an array as one: it was tried with two."
  [inputs]
  (reduce (fn [acc input]
            (if (and (string? input) (str/ends-with? input "*") (= input (peek acc))) acc (conj acc input)))
          []
          inputs))

(defn- constructor-row [ugen {:keys [constructor args nil-defaults rate inputs outputs returns rejects]}]
  (ordered :args         args
           :nil-defaults (not-empty nil-defaults)
           :rate         (when (not= rate (implied-rates constructor)) rate)
           :inputs       (spliced inputs)
           :outputs      (if (= ugen "Demand") :per-demandUGens outputs)
           :madd         (when (and (= returns :madd) (some #(= "mul" (first %)) args)) true)
           :returns      (when-not (#{:itself :madd} returns) returns)
           :rejects      (not-empty rejects)))

(defn- once
  "Pairs of a constructor and its row, where what is said of the first is said once: {:as :ar} and the rejections."
  [[[constructor row] & more]]
  (cons [constructor row]
        (for [[c r] more]
          [c (if (= (dissoc r :rejects) (dissoc row :rejects))
               (ordered :as constructor, :rejects (:rejects r))
               r)])))

(defn- ugen-row [docs engines {:keys [categories constructors traits] ugen :name}]
  (when-let [rates (seq (for [{:keys [constructor threw instead] :as c} constructors :when (not (or threw instead))]
                          [constructor (constructor-row ugen c)]))]
    (ordered :name       ugen
             :doc        (get docs ugen)
             :categories (not-empty (mapv #(str/replace % #"^UGens>" "") categories))
             :traits     (not-empty (into (sorted-set) traits))
             :engines    (into (sorted-set) (for [[engine known] engines :when (contains? known ugen)] engine))
             :rates      (apply array-map (mapcat identity (once rates))))))

(def ^:private only-in-the-servers
  "Operators that have a number in the servers and no selector in sclang."
  [["digitValue" 45 1] ["silence" 46 1] ["thru" 47 1]])

(def ^:private aliases
  "Other ways that sclang writes an operator."
  {"mod" ["%"], "pow" ["**"], "bitAnd" ["&"], "bitOr" ["|"], "leftShift" ["<<"], "rightShift" [">>"]
   "unsignedRightShift" ["+>>"], "==" ["|==|"]})

(def ^:private unheard-of
  "Operators that have a number and that no server computes, as was tried: what comes out is the input, or the sum of both."
  #{"isNil" "notNil" "asFloat" "asInteger" "digitValue" "unsignedRightShift" "fill"})

(defn- operator-rows [operators arity docs]
  (vec (for [[operator index] (sort-by second (filter #(= arity (peek %)) (concat operators only-in-the-servers)))]
         (ordered :index   index
                  :name    operator
                  :aliases (aliases operator)
                  :server  (when (unheard-of operator) false)
                  :doc     (get docs operator)))))

(defn- kebab-case [s]
  (str/lower-case (str/replace s #"([a-z0-9])([A-Z])" "$1-$2")))

(defn- numbered
  "A map of keywords in the order of their numbers."
  [pairs]
  (apply array-map (mapcat (fn [[k v]] [(keyword (kebab-case k)) v]) (sort-by (juxt second (comp count first)) pairs))))

(defn- check-docs
  "Throws, naming them, where rows have no sentence and sentences no row."
  [what rows docs]
  (let [names   (set (map :name rows))
        missing (sort (set/difference names (set (keys docs))))
        surplus (sort (set/difference (set (keys docs)) names))]
    (when (or (seq missing) (seq surplus))
      (throw (ex-info (str "dev/ugens/docs.edn, " (name what) ": no sentence for " (vec missing) ", none such as " (vec surplus) ".")
                      {:missing missing, :surplus surplus})))))

(defn docs
  "The sentences of dev/ugens/docs.edn: `{:ugens {\"SinOsc\" \"…\"} :unary {…} :binary {…}}`."
  []
  (edn/read-string (slurp "dev/ugens/docs.edn")))

(defn- check-classes
  "Throws where a class is neither a row nor known not to be one, or is both: a newer class library has another."
  [classes rows]
  (let [rows (set (map :name rows))]
    (when-let [odd (seq (filter #(= (contains? rows %) (contains? no-rows %)) (map :name classes)))]
      (throw (ex-info (str "Is this a UGen, or does it belong to `no-rows`? " (str/join ", " odd)) {:classes odd})))))

(defn ugen-names
  "The names of all rows that `answer`, of sclang, makes."
  [answer]
  (vec (remove no-rows (map :name (:classes answer)))))

(defn table
  "The table as a value.

  `answer`   of `ask-sclang`
  `docs`     the sentences: `(docs)`
  `engines`  of `ask-engines`

  Throws where a sentence is missing or one too many, and where a class is new."
  [answer docs engines]
  (let [ugens  (into [] (comp (remove (comp no-rows :name)) (keep #(ugen-row (:ugens docs) engines %))) (:classes answer))
        unary  (operator-rows (:operators answer) 1 (:unary docs))
        binary (operator-rows (:operators answer) 2 (:binary docs))]
    (check-classes (:classes answer) ugens)
    (run! (fn [[what rows]] (check-docs what rows (get docs what))) {:ugens ugens, :unary unary, :binary binary})
    (array-map :sclang-version (:version answer)
               :done-actions   (numbered (:done-actions answer))
               :env-shapes     (numbered (:env-shapes answer))
               :unary          unary
               :binary         binary
               :ugens          ugens)))

(def ^:private heading
  ";; The UGens and operators of SuperCollider: made by dev/espalier/ugen_table.clj, which see; do not edit.
;;
;; :rates    constructor -> how it makes the UGen:
;;   :args          [[name default] …], without a default nil
;;   :nil-defaults  [[name input] …], what stands for an argument whose default is nil; a string is another argument
;;   :rate          where the constructor does not say it (:ar :audio, :kr :control, :ir :scalar)
;;   :inputs        the arguments in the order of the inputs; \"x*\" are the elements of the array x, a number is itself (an
;;                  array was tried with two elements, a label as \"ab\", a command name as \"/xy\")
;;   :outputs       how many; {:arg x}, as many as the integer x; :per-demandUGens, as many as elements of that array
;;   :madd          mul and add are applied to what comes out
;;   :returns       where that is not the UGen: a number, {:arg x}, or :op, an operation on it
;;   :rejects       [[index [rates]] …]: rates that the input of this index must not have
;;   :as            all but :rejects is what this other constructor of the UGen has
;; :traits   :dead-code goes when nothing reads it, :width-first comes before all that is made after it, :out has no outputs,
;;           :unipolar is 0..1 and not -1..1, :filter has a signal for its first input
;; :engines  that know it; :server false of an operator: none computes it
")

(defn- edn
  "As `pr-str`, without the commas between the entries of a map: the file is read at each start."
  [x]
  (cond
    (map? x)    (str "{" (str/join " " (for [[k v] x] (str (edn k) " " (edn v)))) "}")
    (vector? x) (str "[" (str/join " " (map edn x)) "]")
    (set? x)    (str "#{" (str/join " " (map edn x)) "}")
    :else       (pr-str x)))

(defn text
  "The file of a `table`: a UGen or an operator a line."
  [table]
  (str heading
       "{"
       (str/join "\n " (for [[k v] table]
                         (str k (if (vector? v)
                                  (str "\n [" (str/join "\n  " (map edn v)) "]")
                                  (str " " (edn v))))))
       "}\n"))

(defn -main
  "Writes the table, and says what is in it."
  []
  (let [answer  (or (ask-sclang) (throw (ex-info "There is no sclang on the PATH; ESPALIER_SCLANG may name it." {})))
        _       (table answer (docs) {})                   ; what is wrong in it shows before a server is booted
        made    (table answer (docs) (ask-engines (ugen-names answer)))
        lacking (for [engine [:scsynth :supernova]]
                  (str (name engine) " lacks "
                       (str/join " " (for [{:keys [engines] ugen :name} (:ugens made) :when (not (engines engine))] ugen))))]
    (spit path (text made))
    (println (str path ": " (.length (io/file path)) " bytes, " (count (:ugens made)) " UGens"))
    (run! println lacking)
    (shutdown-agents)))

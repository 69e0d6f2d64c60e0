(ns espalier.model.glossary
  "All that the tables know by a name: commands, options, UGens and operators, errors. An
  entry is a map of

  | key | what it has |
  |---|---|
  | `:kind` | :command, :option, :ugen, :operator or :error |
  | `:name` | how it is written in Clojure, a string: \":s-new\", \"sin-osc:ar\" |
  | `:doc`  | one sentence or more |
  | `:text` | all that is known of it, lines of text |

  and what its kind has beside that."
  (:require
   [clojure.core.protocols :as protocols]
   [clojure.string :as str]
   [espalier.model.command-page :as command-page]
   [espalier.model.command-table :as command-table]
   [espalier.model.error :as error]
   [espalier.model.error-table :as error-table]
   [espalier.model.options-table :as options-table]
   [espalier.model.options-type :as options-type]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.ugen Spec)))

(set! *warn-on-reflection* true)

;; ---- one entry of each kind

(defn- command-entry [{:keys [command address doc]}]
  {:kind :command, :name (str command), :address address, :doc doc, :text (command-page/text command)})

(defn- option-entry
  "The entry of an option, a row of `espalier.model.options-table`."
  [{k :name, :keys [flag default engines doc] :as row}]
  {:kind    :option, :name (str k), :flag flag, :default default, :values (options-type/brief row), :engines engines, :doc doc
   :text    (str k (when flag (str "  " flag)) "\n  " doc
                 "\n  " (options-type/brief row) " (default " (pr-str default) ")"
                 (when (and engines (= 1 (count engines))) (str "; " (name (first engines)) " only")))})

(defn- error-entry [[code doc]]
  {:kind :error, :name (str code), :doc doc, :text (str code "\n  " doc)})

(defn- argument-text [{k :key :as argument}]
  (str "  " (format "%-16s " (name k)) (ugen/default-text argument)))

(defn ugen-entry
  "The entry of a UGen of a class, \"SinOsc\", with `:functions`, `:rates`, `:arguments` and
  `:engines`; nil where the table has none."
  [class-name]
  (when-let [{:keys [doc engines categories]} (ugen/ugens class-name)]
    (let [specs     (keep #(ugen/find-spec class-name %) [:audio :control :scalar :demand])
          functions (mapv str specs)
          arguments (some-> ^Spec (first specs) .arguments)]
      {:kind       :ugen, :name (ugen/kebab class-name), :class class-name, :doc doc, :functions functions
       :rates      (mapv #(.rate ^Spec %) specs), :arguments arguments, :engines engines, :categories categories
       :text       (str/join "\n" (concat [(str class-name "  " (str/join " " functions)) (str "  " doc)]
                                          (map argument-text arguments)
                                          (cond
                                            (empty? engines)      ["  No server has it."]
                                            (= 1 (count engines)) [(str "  " (name (first engines)) " only.")])))})))

(defn- operator-entry [kind {operator :name, :keys [doc]}]
  {:kind :operator, :name (ugen/kebab operator), :operator operator, :operands ({:unary 1, :binary 2} kind), :doc doc
   :text (str operator "  a " (name kind) " operator" (when (not= operator (ugen/kebab operator)) (str ", " (ugen/kebab operator))) "\n  " doc)})

(extend-type Spec
  protocols/Datafiable
  (datafy [^Spec spec]
    (assoc (ugen-entry (.class-name spec)) :rate (.rate spec))))

;; ---- looking up

(defn- spelled
  "How a name is compared: without colon and namespace, and case."
  [x]
  (let [text (if (instance? clojure.lang.Named x) (name x) (str/replace-first (str x) #"^:?(espalier\.error/)?" ""))]
    (str/lower-case text)))

(defn- ugen-name
  "How a UGen's name is compared: without the rate and the hyphens, so that \"SinOsc\",
  sin-osc and sin-osc:ar are one."
  [x]
  (-> (spelled x) (str/replace #":(ar|kr|ir|dr)$" "") (str/replace #"[-_]" "")))

(def ^:private commands
  (into {} (mapcat (fn [{:keys [command address] :as row}] [[(spelled command) row] [(spelled address) row]])) command-table/table))

(def ^:private options-by-name (into {} (map (juxt (comp spelled :name) identity)) options-table/table))
(def ^:private errors (into {} (map (juxt (comp spelled key) identity)) error-table/table))
(def ^:private classes (into {} (map (juxt ugen-name identity)) (keys ugen/ugens)))

(defn- operators [x]
  (for [[kind operators] [[:unary ugen/unary-operators] [:binary ugen/binary-operators]]
        {operator :name :as row} operators
        :when (or (= (spelled x) (str/lower-case operator)) (= (spelled x) (ugen/kebab operator)))]
    (operator-entry kind row)))

(defn look-up
  "The entries that a name has, a vector: none, one, or some of several kinds. A name is a
  keyword, symbol or string, in the way of Clojure or of SuperCollider.

      (map :kind (look-up :s-new))     ;=> (:command)
      (map :name (look-up \"SinOsc\"))   ;=> (\"sin-osc\")"
  [x]
  (let [k (spelled x)]
    (into []
          (remove nil?)
          (concat [(some-> (commands k) command-entry)
                   (some-> (options-by-name k) option-entry)
                   (some-> (classes (ugen-name x)) ugen-entry)]
                  (operators x)
                  [(some-> (errors k) error-entry)]))))

(defn nearest
  "The name that is most like one that nothing has, as text; nil where none is near.

      (nearest :s-nwe)  ;=> \":s-new\""
  [x]
  (let [known (concat (for [{:keys [command]} command-table/table] (str command))
                      (map (comp str :name) options-table/table)
                      (map ugen/kebab (keys ugen/ugens))
                      (map str (keys error-table/table)))
        ;; One spelling for each, so that a colon is no slip.
        by    (into {} (mapcat (fn [n] [[(spelled n) n] [(ugen-name n) n]])) known)]
    (get by (error/nearest (spelled x) (sort (keys by))))))

(defn about
  "The entries of a name.

  Throws `:espalier.error/nothing-known`, with the nearest name."
  [x]
  (let [entries (look-up x)]
    (when (empty? entries)
      (throw (error/error :nothing-known
                          (str "Nothing is known of " (error/shown x) "."
                               (if (fn? x)
                                 " A function does not know its name; quote it: (about 'sin-osc:ar)."
                                 (when-let [near (nearest x)] (str " Did you mean " near "?")))
                               " There are commands (:s-new), options (:port), UGens (SinOsc or sin-osc), errors (:no-answer) and instruments (:bell).")
                          {:name x, :nearest (nearest x)})))
    entries))

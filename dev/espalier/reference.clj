(ns espalier.reference
  "Makes doc/errors.md and doc/ugens.md, after the tables or docstrings that they are made of have changed:
  `bin/clj -M:dev -m espalier.reference`, in the root of the checkout."
  (:require
   [clojure.string :as str]
   [espalier.model.error-table :as error-table]
   [espalier.model.ugen :as ugen]
   [espalier.ugens])
  (:import
   (espalier.model.ugen Spec)))

(set! *warn-on-reflection* true)

(defn- made-from [what]
  (str "<!-- Made from " what ". After a change there: bin/clj -M:dev -m espalier.reference -->\n\n"))

;; ---- errors

(def ^:private faces
  "The namespaces whose docstrings tell what they throw, with the alias that the pages use."
  '[[espalier.core sc] [espalier.synthdef synthdef] [espalier.ugens ugens] [espalier.env env] [espalier.tree tree] [espalier.instruments instruments]
    [espalier.channels channels] [espalier.rehearsal rehearsal] [espalier.testing testing] [espalier.picture picture] [espalier.inspector inspector]
    [espalier.repl repl] [espalier.wav wav] [espalier.demo demo]])

(defn- thrown-by
  "From a code to the functions whose docstrings name it."
  []
  (run! (comp require first) faces)
  (apply merge-with into
         (for [[n alias] faces
               [v-name v] (sort-by key (ns-publics n))
               :when (:line (meta v))                       ; UGens say nothing of errors
               [_ code] (re-seq #"`:(?:espalier\.error/)?([a-z-]+)`" (:doc (meta v) ""))
               :let [code (keyword "espalier.error" code)]
               :when (error-table/table code)]
           {code (sorted-set (str "`" alias "/" v-name "`"))})))

(defn errors
  "The page doc/errors.md."
  []
  (let [by (thrown-by)]
    (str (made-from "the table of errors, and from the docstrings that name them")
         "# Errors\n\n"
         "Every error of Espalier is an `ex-info` whose data has its code as `:espalier/error`, beside what was seen. Its message says what was seen, where,\n"
         "and the call that repairs it.\n\n"
         "```clojure\n"
         "(try (sc/boot! s {:executable \"/nowhere/scsynth\"})\n"
         "     (catch clojure.lang.ExceptionInfo e\n"
         "       (:espalier/error (ex-data e))))\n"
         "```\n\n"
         "The codes are keywords in the namespace `espalier.error`: `:busy` below is `:espalier.error/busy`. The last column has the functions whose docstrings name them;\n"
         "those that do what these do throw the same.\n\n"
         "| code | what it means | named by |\n|---|---|---|\n"
         (str/join (for [[code meaning] (sort-by key error-table/table)
                         :let [functions (seq (by code))]]
                     (str "| `:" (name code) "` | " meaning " | "
                          (str/join ", " (take 5 functions))
                          (when (next (drop 4 functions)) (str " and " (- (count functions) 5) " more"))
                          " |\n"))))))

;; ---- UGens

(defn- heading [{:keys [categories]}]
  (-> (first categories) (or "Others") (str/replace ">" ": ")))

(defn- number-text [x]
  (if (and (number? x) (== x (long x))) (str (long x)) (str x)))

(defn- arguments-text [^Spec spec]
  (str/join ", " (for [{k :key, :keys [default same-as]} (.arguments spec)]
                   (str (name k) (cond (some? default) (str " " (if (= ##Inf default) "∞" (number-text default)))
                                       same-as         (str " = " (name same-as)))))))

(defn- calls-text
  "The functions of a UGen, each with its arguments; those of several rates that take the same stand together."
  [specs]
  (str/join "; " (for [alike (partition-by arguments-text specs)
                       :let  [arguments (arguments-text (first alike))]]
                   (str (str/join " " (map #(str "`" % "`") alike))
                        (when (seq arguments) (str " *" arguments "*"))))))

(defn- ugen-line [specs]
  (let [{:keys [doc engines]} (ugen/ugens (.class-name ^Spec (first specs)))]
    (str "- " (calls-text specs) ". " doc
         (when (= 1 (count engines)) (str " Not on " (if (engines :scsynth) "supernova" "scsynth") "."))
         "\n")))

(defn- operator-line [[operator v]]
  (str "- `" operator "` *" (str/join ", " (first (:arglists (meta v)))) "*. "
       (str/replace (:doc (meta v)) #"^Operator \S+ " "") "\n"))

(defn ugens
  "The page doc/ugens.md."
  []
  (let [rows (->> (ugen/specs)
                  (remove #(= "MaxLocalBufs" (.class-name ^Spec %)))
                  (group-by #(.class-name ^Spec %))
                  (sort-by (comp str first val))
                  (map val))
        operators (->> (ns-publics 'espalier.ugens)
                       (remove (comp :line meta val))
                       (remove #(str/includes? (str (key %)) ":"))
                       (sort-by key))]
    (str (made-from "the table of UGens")
         "# UGens\n\n"
         (count rows) " UGens of scsynth and supernova as functions of `espalier.ugens`, with their arguments and defaults; what has no default must be given. How they are called\n"
         "tells [SynthDefs](synthdefs.md); `(doc sin-osc:ar)` says the same at a REPL.\n"
         (str/join (for [[category rows] (sort-by key (group-by #(heading (ugen/ugens (.class-name ^Spec (first %)))) rows))]
                     (str "\n## " category "\n\n" (str/join (map ugen-line rows)))))
         "\n## Operators\n\n"
         "Those that have names of clojure.core, such as `+` and `max`, are there too: see [SynthDefs](synthdefs.md#operators).\n\n"
         (str/join (map operator-line operators)))))

(defn -main [& _]
  (spit "doc/errors.md" (errors))
  (spit "doc/ugens.md" (ugens)))

(ns espalier.model.glossary-test
  "What can be looked up, and that nothing is missing."
  (:require
   [clojure.datafy :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [are deftest is]]
   [espalier.model.command-table :as command-table]
   [espalier.model.error-table :as error-table]
   [espalier.model.glossary :as glossary]
   [espalier.model.options-table :as options-table]
   [espalier.model.ugen :as ugen]
   [espalier.servers :refer [thrown]]))

(deftest one-thing-has-many-names
  (are [kind entry-name x] (= [[kind entry-name]] (map (juxt :kind :name) (glossary/about x)))
    :command  ":s-new"                   :s-new
    :command  ":s-new"                   "/s_new"
    :command  ":s-new"                   's-new
    :ugen     "sin-osc"                  "SinOsc"
    :ugen     "sin-osc"                  'sin-osc:ar
    :ugen     "sin-osc"                  :sin-osc
    :ugen     "pv-mag-mul"               "PV_MagMul"
    :option   ":memory-size"             :memory-size
    :option   ":memory-size"             "memory-size"
    :error    ":espalier.error/no-answer" :espalier.error/no-answer
    :error    ":espalier.error/no-answer" :no-answer
    :operator "midicps"                  "midicps"))

(deftest a-slip-is-told-with-what-was-meant
  (are [near x] (= near (:nearest (ex-data (thrown #(glossary/about x)))))
    ":s-new"                    :s-nwe
    "sin-osc"                   "SnOsc"
    ":port"                     :prot
    ":espalier.error/no-answer" :no-anser
    nil                         :qqqqqqqqqq)
  (is (str/includes? (ex-message (thrown #(glossary/about :s-nwe))) "Did you mean :s-new?")))

(deftest every-row-of-the-tables-is-found
  (doseq [x (concat (map :command command-table/table) (map :name options-table/table) (keys ugen/ugens) (keys error-table/table)
                    (map :name ugen/unary-operators) (map :name ugen/binary-operators))]
    (is (every? #(and (:kind %) (:doc %) (str/includes? (:text %) (:doc %))) (glossary/about x)) (str x))))

(def ^:private sources
  (for [f (file-seq (io/file "src/clj"))
        :when (and (str/ends-with? (str f) ".clj") (not (str/ends-with? (str f) "error_table.clj")))]
    (slurp f)))

(deftest every-error-of-the-source-is-in-the-table
  (let [thrown (into #{} (comp (mapcat #(re-seq #"\((?:error/)?(?:error|fail) :([a-z-]+)|refuse :([a-z-]+)|:espalier\.error/([a-z-]+)" %))
                               (map (fn [[_ a b c]] (keyword "espalier.error" (or a b c)))))
                     sources)
        words  (into #{} (mapcat #(re-seq #":[a-z][a-z-]+" %)) sources)]
    (is (= #{} (set/difference thrown (set (keys error-table/table)))))
    (is (= [] (remove #(words (str ":" (name %))) (keys error-table/table))) "what no source has is not told")))

(deftest a-spec-datafies-to-its-doc
  (let [{:keys [name rate doc arguments engines]} (datafy (ugen/find-spec "SinOsc" :audio))]
    (is (= ["sin-osc" :audio #{:scsynth :supernova} :freq] [name rate engines (:key (first arguments))]))
    (is (str/includes? doc "Sine"))))

(ns espalier.model.completion
  "What a name that somebody is typing may become: commands, options, UGens, and the
  SynthDefs that a server has."
  (:require
   [clojure.string :as str]
   [espalier.model.command-table :as command-table]
   [espalier.model.options-table :as options-table]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(def kinds
  "The kinds of candidates, in the order in which they are offered."
  [:synthdef :control :command :option :ugen])

(def ^:private commands
  (mapcat (fn [{:keys [command address doc]}]
            [{:candidate (str command), :type "command", :doc doc}
             {:candidate address, :type "command", :doc doc}])
          command-table/table))

(def ^:private options
  (map (fn [{k :name, :keys [doc]}] {:candidate (str k), :type "option", :doc doc}) options-table/table))

(def ^:private ugens
  (map (fn [^espalier.model.ugen.Spec spec]
         {:candidate (str spec), :type "ugen", :doc (:doc (ugen/ugens (.class-name spec)))})
       (ugen/specs)))

(defn- written
  "A name as a keyword and as a string's content."
  [type doc n]
  [{:candidate (str ":" n), :type type, :doc doc} {:candidate n, :type type, :doc doc}])

(defn- of-kind [kind synthdefs synthdef]
  (case kind
    :synthdef (mapcat (fn [[n controls]] (written "synthdef" (str/join " " (sort (keys controls))) n)) (sort-by key synthdefs))
    :control  (mapcat (fn [[n {:keys [default]}]] (written "control" (str default) n)) (sort-by key (get synthdefs synthdef)))
    :command  commands
    :option   options
    :ugen     ugens))

(defn candidates
  "What begins with `prefix`: maps of `:candidate`, `:type` (the name of a kind) and `:doc`, at
  most `limit`. Keywords are offered for a prefix with a colon, addresses for one with a
  slash, names of UGens, SynthDefs and controls for others.

  `kinds`      those that are wanted, of `kinds`; nil for all
  `synthdefs`  by name the controls of the SynthDefs that are known, as
               `espalier.model.state` has them
  `synthdef`   the name of the one whose controls are wanted, or nil
  `limit`      how many

      (map :candidate (candidates \"sin-osc:\" {:limit 10}))  ;=> (\"sin-osc:ar\" \"sin-osc:kr\")"
  [prefix {wanted :kinds, :keys [synthdefs synthdef limit]}]
  (into []
        (comp (filter (set (or wanted kinds)))
              (mapcat #(of-kind % synthdefs synthdef))
              (filter #(str/starts-with? (:candidate %) prefix))
              (take limit))
        kinds))

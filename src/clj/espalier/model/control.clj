(ns espalier.model.control
  "The controls of a SynthDef that is known, and what is wrong with values for them.
  `known` is as `espalier.model.synthdef/controls` returns it; nil where the SynthDef is not
  known, which no value is wrong for."
  (:require
   [espalier.model.error :as error]
   [espalier.model.words :refer [counted]]))

(set! *warn-on-reflection* true)

(defn control-name
  "The name of a control, a string; an index stays one."
  [control]
  (if (ident? control) (name control) control))

(defn- unknown-control [control synthdef known]
  (error/error :unknown-control
               (str "SynthDef " synthdef " has no control " (pr-str control) "." (error/hint control (keys known))
                    " It has " (if (seq known) (apply str (interpose ", " (keys known))) "none") ".")
               {:control control, :synthdef synthdef}))

(defn control-count
  "How many values the controls of a SynthDef have.

      (control-count {\"freq\" {:index 0 :size 1}, \"pan\" {:index 1 :size 2}})  ;=> 3"
  ^long [known]
  (reduce (fn [n {:keys [index size]}] (max (long n) (+ (long index) (long size)))) 0 (vals known)))

(defn check-known
  "Throws where one of these is none of the controls of a SynthDef, `known`, unless that is
  nil."
  [known synthdef controls]
  (when known
    (reduce (fn [_ control]
              (when-not (if (integer? control)
                          (< -1 control (control-count known))
                          (contains? known (control-name control)))
                (throw (unknown-control control synthdef known))))
            nil
            controls)))

(defn check-arrays
  "Throws where a control is given more values than it has, of which the server would
  silently take some."
  [known synthdef controls]
  (when known
    (reduce-kv (fn [_ control value]
                 (when (and (sequential? value) (not (integer? control)))
                   (let [{:keys [size]} (get known (control-name control))]
                     (when (and size (< (long size) (bounded-count (inc (long size)) value)))
                       (throw (error/error :invalid-argument
                                           (str "Control " (pr-str control) " of SynthDef " synthdef " has " (counted size "value") ", and "
                                                (if (and (vector? value) (every? string? value))
                                                  (str "the mapping has " (count value) " channels. " (pr-str (first value)) " in its place maps to the first of them.")
                                                  "is given more."))
                                           {:argument control, :value value, :synthdef synthdef}))))))
               nil
               controls)))

(defn overlay
  "The value of a control that had `old` and is given `new`: fewer values than an array
  has are its first.

      (overlay [220.0 330.0] 110.0)  ;=> [110.0 330.0]"
  [old new]
  (let [values (if (vector? new) new [new])]
    (cond
      (and (vector? old) (< (count values) (count old))) (into values (subvec old (count values)))
      (vector? old)                                     values
      :else                                             new)))

(defn defaults
  "The values that the controls of a SynthDef have where nobody sets them."
  [known]
  (into {} (map (fn [[k {:keys [default]}]] [k default])) known))

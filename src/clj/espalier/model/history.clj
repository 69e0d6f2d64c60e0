(ns espalier.model.history
  "What was declared, and what before that: a value with a bounded past, for undo and redo.

      {:now value, :past (newest …), :future (next …)}")

(def ^:private longest
  "So many values of the past are kept."
  100)

(defn history
  "A history that begins with a value."
  [value]
  {:now value, :past (), :future ()})

(defn change
  "The history with another value as the present one; nothing remains to redo."
  [{:keys [now past]} value]
  {:now value, :past (doall (take longest (cons now past))), :future ()})

(defn undo
  "The history a step earlier, or nil where it has no past."
  [{:keys [now past future]}]
  (when (seq past)
    {:now (first past), :past (rest past), :future (cons now future)}))

(defn redo
  "The history a step later, or nil where nothing was undone."
  [{:keys [now past future]}]
  (when (seq future)
    {:now (first future), :past (cons now past), :future (rest future)}))

(defn revise
  "The history with `f` done to each of its values."
  [{:keys [now past future]} f]
  {:now (f now), :past (doall (map f past)), :future (doall (map f future))})

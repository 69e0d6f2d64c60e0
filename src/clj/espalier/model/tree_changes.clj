(ns espalier.model.tree-changes
  "What happens to nodes, as news for somebody who looks less often than it happens: by node
  the last that became of it, in the order of their first change, and never more than a
  limit.")

(set! *warn-on-reflection* true)

(def none
  "No changes."
  {:nodes [], :by-node {}, :passed 0, :dropped 0})

(def ^:private names
  {"/n_go" :started, "/n_end" :ended, "/n_move" :moved, "/n_on" :resumed, "/n_off" :paused})

(defn change
  "The change that a notification tells, or nil for other messages.

      (change [\"/n_go\" 1000 1 -1 -1 0])
      ;=> {:change :started, :id 1000, :kind :synth, :parent 1}"
  [[address id parent previous following group? :as message]]
  (when-let [what (names address)]
    (when (<= 6 (count message))
      (cond-> {:change what, :id (long id), :kind (if (= 1 group?) :group :synth)}
        (not= :ended what)                                 (assoc :parent (long parent))
        (and (not= :ended what) (not= -1 previous))  (assoc :previous (long previous))
        (and (not= :ended what) (not= -1 following)) (assoc :next (long following))))))

(defn- later
  "What two changes of one node come to; nil where it came and went."
  [before {:keys [change] :as after}]
  (case change
    :ended (when-not (= :started (:change before)) after)
    ;; A node that is new to whoever looks stays so.
    (if (= :started (:change before))
      (cond-> (assoc after :change :started)
        (case change :paused true, :resumed false, (:paused before)) (assoc :paused true))
      after)))

(defn add
  "The changes with one more. Beyond `limit` nodes, changes of further ones are only counted, as
  `:dropped`; a node that came and went is counted as `:passed`."
  [{:keys [nodes by-node] :as changes} {:keys [id] :as change} limit]
  (let [before (get by-node id)]
    (cond
      (and (nil? before) (<= (long limit) (count nodes))) (update changes :dropped inc)
      (nil? before) (-> changes (update :nodes conj id) (assoc-in [:by-node id] change))
      :else         (if-let [both (later before change)]
                      (assoc-in changes [:by-node id] both)
                      (-> changes (update :by-node dissoc id) (update :passed inc))))))

(defn told
  "The changes as they are told: `:changes`, a vector, `:passed` and `:dropped`. nil where
  nothing has happened."
  [{:keys [nodes by-node passed dropped] :as changes}]
  (when (not= none changes)
    {:changes (into [] (comp (distinct) (keep by-node)) nodes), :passed passed, :dropped dropped}))

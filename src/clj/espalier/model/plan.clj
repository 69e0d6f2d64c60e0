(ns espalier.model.plan
  "Edits of `espalier.model.diff`, with ids, to requests in their order; and to text."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(defn makes-node?
  "Whether an edit makes a node, which needs an id."
  [{:keys [edit]}]
  (or (= :add edit) (= :replace edit)))

(defn- controls-of [controls]
  (reduce-kv (fn [v k x] (conj v k x)) [] controls))

(defn- synth-request [{:keys [def controls]} id action target]
  (into ["/s_new" def id action target] (controls-of controls)))

(defn- place-codes [[where target] id-of]
  [(case where :tail 1, :before 2, :after 3) (id-of target)])

(defn- add-requests [{:keys [kind parallel to] :as edit} id id-of]
  (let [[action target] (place-codes to id-of)]
    [(if (= :group kind)
       [(if parallel "/p_new" "/g_new") id action target]
       (synth-request edit id action target))]))

(defn- move-requests
  "What moves a node. supernova's tree does not survive it that a node is put next to
  one of another group, so it goes into that group first."
  [{:keys [node to into]} id-of engine]
  (let [[where target] to
        id   (id-of node)
        move (case where
               :tail   ["/g_tail" (id-of target) id]
               :before ["/n_before" id (id-of target)]
               :after  ["/n_after" id (id-of target)])]
    (if (and into (not= :tail where) (= :supernova engine))
      [["/g_tail" (id-of into) id] move]
      [move])))

(defn plan
  "What edits are on a server: `{:requests [request …], :ids {name id}, :made [id …]}`. `:ids`
  has all names after the edits, `:made` the ids of the nodes that they make, in the
  order of the edits.

  `ids`      map from the names that the edits have for nodes that are there to their ids; a
             positive number is its own
  `new-ids`  ids for the nodes that are made, one for each edit that `makes-node?`
  `engine`   :scsynth or :supernova

  A synth is replaced by a new one behind it and its own end, both in one bundle: the
  command that does both at once leaves the old one without an id where the new one
  fails, and supernova does not survive it.

      (plan [{:edit :set, :node :bass, :controls {\"freq\" 60.0}}] {:bass 1000} [] :scsynth)
      ;=> {:requests [[\"/n_set\" 1000 \"freq\" 60.0]], :ids {:bass 1000}, :made []}"
  [edits ids new-ids engine]
  (loop [edits (seq edits), ids (transient ids), new-ids (seq new-ids), made (transient []), requests (transient [])]
    (if-let [{:keys [edit node] :as e} (first edits)]
      (let [id-of (fn [x] (let [id (get ids x)] (cond (some? id) id, (nat-int? x) x, :else (throw (IllegalArgumentException. (str "No id for node " (pr-str x)))))))
            new   (when (makes-node? e) (first new-ids))
            more  (case edit
                    :name    nil
                    :free    [["/n_free" (id-of node)]]
                    :add     (add-requests e new id-of)
                    :move    (move-requests e id-of engine)
                    :replace [(synth-request e new 3 (id-of node)) ["/n_free" (id-of node)]]
                    :set     [(into ["/n_set" (id-of node)] (controls-of (:controls e)))]
                    :run     [["/n_run" (id-of node) (if (:running? e) 1 0)]])]
        (recur (next edits)
               (cond new            (assoc! ids node new)
                     (= :name edit) (assoc! ids (:key e) (id-of node))
                     :else          ids)
               (if new (next new-ids) new-ids)
               (if new (conj! made new) made)
               (reduce conj! requests more)))
      {:requests (persistent! requests), :ids (persistent! ids), :made (persistent! made)})))

(defn resolved
  "The edits with ids for names, for trees all of whose nodes have ids: what is added
  gets its `:id`, and its `:key` where it has one.

  `ids` and `new-ids` as for `plan`"
  [edits ids new-ids]
  (loop [edits (seq edits), ids ids, new-ids (seq new-ids), done []]
    (if-let [{:keys [edit node to from into] :as e} (first edits)]
      (let [id-of (fn [x] (get ids x x))
            new   (when (makes-node? e) (first new-ids))
            e     (cond-> (assoc e :node (if (= :add edit) new (id-of node)))
                    to  (assoc :to [(first to) (id-of (second to))])
                    into (assoc :from (id-of from), :into (id-of into))
                    new (assoc :id new)
                    (and new (not (int? node))) (assoc :key node))]
        (recur (next edits)
               (cond new            (assoc ids node new)
                     (= :name edit) (assoc ids (:key e) (:node e))
                     :else          ids)
               (if new (next new-ids) new-ids)
               (conj done e)))
      done)))

(defn peak
  "How many nodes there are at the most while edits are done.

  `there`    how many there are before
  `size-of`  how many nodes end when one is freed, of its name"
  ^long [edits there size-of]
  (loop [edits (seq edits), n (long there), most (long there)]
    (if-let [{:keys [edit node]} (first edits)]
      (case edit
        :add     (recur (next edits) (inc n) (max most (inc n)))
        :replace (recur (next edits) n (max most (inc n)))
        :free    (recur (next edits) (- n (long (size-of node))) most)
        (recur (next edits) n most))
      most)))

(defn wedging
  "The group in rows, see `espalier.model.nesting`, for which supernova 3.13 plays no more, or nil:
  in a tree with parallel groups, a group that is the last in one which is not, has groups
  in it and no synth, and comes behind a synth. Found by experiment; scsynth plays all
  trees."
  [rows]
  (let [n         (count rows)
        synths    (int-array n)                            ; how many are below each, itself included
        last-of   (int-array n -1)                         ; the last child of each
        groups?   (boolean-array n)]                       ; whether there is a group in each
    (dotimes [i n]
      (let [[{:keys [kind]} parent] (nth rows i), p (int parent)]
        (when (= :synth kind) (aset synths i 1))
        (when (<= 0 p)
          (aset last-of p i)
          (when (= :group kind) (aset groups? p true)))))
    (loop [i (dec n)]
      (when (pos? i)
        (let [p (int (second (nth rows i)))]
          (aset synths p (+ (aget synths p) (aget synths i)))
          (recur (dec i)))))
    (loop [i (if (some (fn [[node]] (:parallel node)) rows) 1 n)]
      (when (< i n)
        (let [p (int (second (nth rows i)))]
          (if (and (aget groups? i)
                   (zero? (aget synths i))
                   (= i (aget last-of p))
                   (pos? (aget synths p))
                   (not (:parallel (first (nth rows p)))))
            (first (nth rows i))
            (recur (inc i))))))))

;; ---- text

(defn- value-text [x]
  (if (vector? x) (str "[" (str/join " " (map value-text x)) "]") (str x)))

(defn- controls-text [controls]
  (str/join ", " (map (fn [[k v]] (str k " " (value-text v))) controls)))

(defn- unnamed? [node] (and (int? node) (neg? (long node))))

(defn- group-text [group]
  (cond (= -1 group) "the top", (unnamed? group) "a group without a key", :else (pr-str group)))

(defn- place-text [[where target]]
  (let [node (if (unnamed? target) "a node without a key" (pr-str target))]
    (case where
      :tail   (if (= -1 target) "at the top" (str "at the tail of " (group-text target)))
      :before (str "before " node)
      :after  (str "behind " node))))

(defn text
  "An edit in words. The group -1, as `espalier.tree/diff` has it, is the top.

      (text {:edit :move, :node :lead, :to [:after :bass]})  ;=> \"move :lead behind :bass\""
  [{:keys [edit node key kind parallel def controls to from into running?]}]
  (let [name (if (unnamed? node) "" (str " " (pr-str node)))]
    (case edit
      :name    (str "name" name " " (pr-str key))
      :free    (str "free" name)
      :add     (str "add " (cond (not= :group kind) def, parallel "parallel group", :else "group") name " " (place-text to)
                    (when (seq controls) (str ": " (controls-text controls))))
      :move    (str "move" name " " (place-text to) (when into
                                                                      (str ", from " (group-text from)
                                                                           (when-not (= :tail (first to)) (str " into " (group-text into))))))
      :replace (str "replace" name " by " def (when (seq controls) (str ": " (controls-text controls))))
      :set     (str "set" name ": " (controls-text controls))
      :run     (str (if running? "resume" "pause") name))))

(defn summary
  "How many edits of each kind there are, in words; \"nothing\" for none.

      (summary [{:edit :free, :node 1000}])  ;=> \"1 freed\""
  [edits]
  (let [n (frequencies (map :edit edits))]
    (if (empty? edits)
      "nothing"
      (str/join ", " (keep (fn [[k word]] (when-let [n (n k)] (str n " " word)))
                           [[:name "named"] [:free "freed"] [:add "added"] [:move "moved"] [:replace "replaced"] [:set "set"] [:run "paused or resumed"]])))))

(ns espalier.model.snapshot
  "What a client has on a server, as a value: its SynthDefs, buffers, buses, and its tree with
  what was declared of it; and what makes it so again.

      {:espalier/snapshot 1
       :engine         :scsynth
       :client-id      0
       :maximum-logins 1
       :options        {:port 57110, …}
       :synthdefs      {\"bell\" {:kind :synthdef, …}}
       :freed          {}                                        ; of what plays, though it was freed, as by `play`
       :loads          [[\"/d_load\" \"kick.scsyndef\"]]
       :blocks         {:buffer [[3 1]], :control-bus [[0 2]], :audio-bus []}    ; first number, how many
       :buffers        {3 {:frame-count 1024, :channel-count 1, :steps [[\"/b_alloc\" 3 1024 1] …]}}
       :bus-values     {0 0.25}
       :nodes          [{:id 1000, :in 1, :kind :synth, :def \"bell\", :key :low, :root 1, :controls {\"freq\" 110.0}}]
       :declared       {1 {:rows […], :keys {:low 1000}, …}}}

  Nodes come in the order of the tree, each behind the group that it is `:in`; one that was
  declared has the `:root` of which it was. What else a buffer or a root has is as
  `espalier.model.ledger` and `espalier.runtime.declared` have it.

  In a file, see `written`, it is plain EDN: samples are text."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.ledger :as ledger]
   [espalier.model.message :as message]
   [espalier.model.state :as state]
   [espalier.model.wiring :as wiring])
  (:import
   (java.nio ByteBuffer)
   (java.util Base64)))

(set! *warn-on-reflection* true)

(def version
  "The version that is written, and the newest that is read." 1)

;; ---- of a session

(defn- own-node?
  "Whether a node's id is of a client's share, and no default group."
  [client-id id]
  (let [base (bit-shift-left (long client-id) 26)]
    (< (+ base 32) (long id) (+ base (bit-shift-left 1 26)))))

(defn- ours?
  "Whether a SynthDef is one by which Espalier itself does something."
  [synthdef]
  (str/starts-with? (str synthdef) "espalier-"))

(defn- declared-controls
  "By id, the controls that are declared of nodes with keys."
  [roots]
  (into {}
        (mapcat (fn [{:keys [rows], by-key :keys}]
                  (keep (fn [[{:keys [key controls]}]]
                          (when-some [id (when (some? key) (get by-key key))] [id controls]))
                        rows)))
        (vals roots)))

(defn- nodes-of
  "The nodes of a client, in the order of the tree."
  [{:keys [client-id state ledger roots]}]
  (let [{:keys [nodes synthdefs]} state
        root-of  (into {} (mapcat (fn [[root {:keys [ids]}]] (map (fn [id] [id root]) ids))) roots)
        declared (declared-controls roots)
        node     (fn [{:keys [id parent kind def key parallel? status]}]
                   (let [root (get root-of id)]
                     (cond-> {:id id, :in parent, :kind kind}
                       root                 (assoc :root root)
                       (some? key)          (assoc :key key)
                       parallel?            (assoc :parallel true)
                       (= :paused status)   (assoc :paused true)
                       (= :synth kind)      (assoc :def def
                                                   :controls (merge (ledger/controls (get-in ledger [:nodes id]) (get synthdefs def))
                                                                    (get declared id))))))]
    (into []
          (comp (map nodes)
                (filter (fn [{:keys [id def]}] (and (or (own-node? client-id id) (contains? root-of id)) (not (ours? def)))))
                (map node))
          ;; Behind their groups.
          (loop [todo (list 0), found []]
            (if-let [id (peek todo)]
              (recur (into (pop todo) (rseq (state/children state id))) (conj found id))
              found)))))

(defn- own-buffers
  "The numbers of the buffers that Espalier itself has, for recordings."
  [{:keys [state ledger]}]
  (into #{}
        (keep (fn [[_ {:keys [def] :as synth}]]
                (when (ours? def) (some-> (get (ledger/controls synth (get (:synthdefs state) def)) "buffer") long))))
        (:nodes ledger)))

(defn numbers
  "The numbers in blocks, `[first-number count]` each.

      (numbers [[3 2] [9 1]])  ;=> [3 4 9]"
  [blocks]
  (into [] (mapcat (fn [[id n]] (range id (+ (long id) (long n))))) blocks))

(defn- buffers-of [{:keys [state ledger blocks]} own]
  (let [taken (into (sorted-set) (numbers (:buffer blocks)))]
    (into (sorted-map)
          (keep (fn [id]
                  (when-not (own id)
                    (let [{:keys [steps why]} (get-in ledger [:buffers id])]
                      [id (cond-> (select-keys (get-in state [:buffers id]) [:frame-count :channel-count])
                            steps       (assoc :steps steps)
                            (not steps) (assoc :why (or why "how it was made is not known here")))]))))
          (into taken (map long) (keys (:buffers ledger))))))

(defn- values-of
  "The values of control buses, but for those that all have in the beginning."
  [values]
  (into (sorted-map) (comp (remove (fn [[_ x]] (zero? (double x)))) (map (fn [[bus x]] [(long bus) (message/number x)]))) values))

(defn- plain?
  "Whether a value of an option can be written."
  [x]
  (or (nil? x) (boolean? x) (number? x) (string? x) (keyword? x) (and (coll? x) (every? plain? x))))

(defn- block-of
  "Where the buses or the buffer of an entity are, without their server."
  [{:keys [id rate], n :count}]
  (cond-> {:id id} rate (assoc :rate rate) n (assoc :count n)))

(defn of
  "The snapshot of a session that is known by

  `:engine` `:client-id` `:maximum-logins` `:options`
  `:state`      see `espalier.model.state`
  `:ledger`     see `espalier.model.ledger`
  `:synthdefs`  by name those that were sent from here
  `:freed`      by name those of these that were freed, of which something may play on
  `:blocks`     by space, :buffer, :control-bus or :audio-bus, what is taken: `[first-number count]` each
  `:roots`      what is declared, see `espalier.runtime.declared`"
  [{:keys [engine client-id maximum-logins options state ledger synthdefs freed blocks roots] :as known}]
  (let [own   (own-buffers known)
        nodes (nodes-of known)]
    {:espalier/snapshot version
     :engine         engine
     :client-id      client-id
     :maximum-logins maximum-logins
     ;; A file is no place for a password.
     :options        (into {} (filter (fn [[_ x]] (plain? x))) (dissoc options :password))
     :synthdefs      (into {} (remove (fn [[n _]] (ours? n))) synthdefs)
     :freed          (apply dissoc (select-keys freed (keep :def nodes)) (keys synthdefs))
     :loads          (:loads ledger)
     :blocks         (update blocks :buffer (fn [rows] (into [] (remove (fn [[id]] (own id))) rows)))
     :buffers        (buffers-of known own)
     :bus-values     (values-of (:buses ledger))
     :nodes          nodes
     :declared       (into (sorted-map)
                           (map (fn [[root {:keys [rows shared? prune once buses buffers], by-key :keys}]]
                                  [root {:rows    (mapv (fn [[node parent]] [(dissoc node :synthdef) parent]) rows)
                                         :shared? shared?, :prune prune, :once once, :keys by-key
                                         :buses   (update-vals buses (fn [{:keys [spec entity]}] (assoc (block-of entity) :spec spec)))
                                         :buffers (update-vals buffers (fn [{:keys [spec entity]}] (assoc (block-of entity) :spec spec)))}]))
                           roots)}))

;; ---- and of its server

(defn control-buses
  "The control buses of a snapshot whose values are to be known, those below `limit`, sorted."
  [{:keys [blocks bus-values]} limit]
  (into (sorted-set) (comp cat (filter #(< -1 (long %) (long limit))))
        [(keys bus-values) (numbers (:control-bus blocks))]))

(defn runs
  "Numbers, sorted, as runs of no more than `most`: `[first count]` each.

      (runs [3 4 5 9] 200)  ;=> [[3 3] [9 1]]"
  [numbers most]
  (reduce (fn [runs x]
            (let [[start n] (peek runs)]
              (if (and start (= (long x) (+ (long start) (long n))) (< (long n) (long most)))
                (conj (pop runs) [start (inc (long n))])
                (conj runs [x 1]))))
          [] numbers))

(defn- mapped? [x] (if (vector? x) (some string? x) (string? x)))

(defn told
  "A snapshot with what its server tells: by id synths with their `:def` and `:controls`, and
  whether these tell what is mapped, `:mappings?`; and the values of control buses."
  [snapshot synths values]
  (let [node (fn [{:keys [id], known :controls :as node}]
               (if-let [{told :controls, :keys [def mappings?]} (get synths id)]
                 (assoc node :def def, :controls
                   (into {}
                         (map (fn [[k x]] (if (and (false? mappings?) (contains? known k) (mapped? (get known k))) [k (get known k)] [k x])))
                         (remove (fn [[k _]] (str/starts-with? (str k) "t_")) told)))
                 node))]
    (-> snapshot
        (update :nodes #(mapv node %))
        (assoc :bus-values (values-of values)))))

;; ---- in a file

(defn- text-of [^floats xs]
  (let [bytes (ByteBuffer/allocate (* 4 (alength xs)))]
    (.put (.asFloatBuffer bytes) xs)
    (.encodeToString (Base64/getEncoder) (.array bytes))))

(defn- floats-in ^floats [^String text]
  (let [bytes (ByteBuffer/wrap (.decode (Base64/getDecoder) text))
        xs    (float-array (quot (.remaining bytes) 4))]
    (.get (.asFloatBuffer bytes) xs)
    xs))

(defn- map-steps
  "Steps of a buffer, with `f` of the last value of each that sets samples."
  [steps f]
  (mapv (fn [step]
          (cond
            (map? step)                (update step :of map-steps f)
            (= "/b_setn" (first step)) (update step 4 f)
            :else                      step))
        steps))

(defn- plain-step [step]
  (if (map? step)
    (-> step (update :copy plain-step) (update :of #(mapv plain-step %)))
    (mapv (fn [x] (if (number? x) (if (integer? x) (long x) (message/number x)) x)) step)))

(defn- plain-spec
  "How a buffer was declared, as a value that can be written."
  [spec]
  (cond
    (map? spec) (cond-> (dissoc spec :restore-with)
                  (:path spec)    (update :path str)
                  (:samples spec) (update :samples (fn [xs] (if (instance? float/1 xs) {:base64 (text-of xs)} (vec xs)))))
    (string? spec) spec
    :else (str spec)))

(defn- read-spec [spec]
  (if-let [text (when (map? spec) (:base64 (:samples spec)))]
    (assoc spec :samples (floats-in text))
    spec))

(defn written
  "A snapshot as plain EDN, which `pr-str` writes and `clojure.edn/read-string` reads."
  [snapshot]
  (-> snapshot
      (update :buffers update-vals (fn [{:keys [steps] :as b}] (cond-> b steps (assoc :steps (mapv plain-step (map-steps steps text-of))))))
      (update :loads #(mapv plain-step %))
      ;; What has them print as one line is left behind.
      (update :synthdefs update-vals #(with-meta % nil))
      (update :freed update-vals #(with-meta % nil))
      (update :declared update-vals (fn [root] (update root :buffers update-vals #(update % :spec plain-spec))))))

(defn- invalid [says seen]
  (error/error :invalid-snapshot (str says " A snapshot is what (sc/snapshot s) returns, or the same read from a file by clojure.edn/read-string.")
               {:seen seen}))

(defn- step?
  "Whether x may be a step by which a buffer is made."
  [x]
  (if (map? x)
    (and (step? (:copy x)) (vector? (:of x)) (every? step? (:of x)))
    (and (vector? x) (contains? ledger/buffer-commands (first x)) (nat-int? (second x)))))

(def ^:private parts
  {:engine keyword?, :client-id nat-int?, :maximum-logins pos-int?, :options map?, :synthdefs map?, :freed map?, :loads vector?, :blocks map?
   :buffers map?, :bus-values map?, :nodes vector?, :declared map?})

(defn check
  "The snapshot that a value is, written or not.

  Throws `:espalier.error/invalid-snapshot` for what is none, or of a newer version."
  [x]
  (let [v (when (map? x) (:espalier/snapshot x))]
    (when-not (pos-int? v)
      (throw (invalid (str "This is no snapshot: it has no number under :espalier/snapshot. Seen: "
                           (error/shown x) ".")
                      x)))
    (when (< (long version) (long v))
      (throw (invalid (str "This snapshot has version " v ", and this Espalier knows them up to " version ": a newer Espalier has written it.") v)))
    (doseq [[k good?] parts]
      (when-not (good? (get x k))
        (throw (invalid (str "This snapshot is damaged: its " k " is " (error/shown (get x k)) ".") (get x k)))))
    (when-let [bad (or (first (remove step? (mapcat (comp :steps val) (:buffers x))))
                       (first (remove #(and (vector? %) (contains? ledger/load-commands (first %))) (:loads x))))]
      (throw (invalid (str "This snapshot is damaged: by " (error/shown bad) " nothing is made that it could have.") bad)))
    (-> x
        (update :buffers update-vals (fn [{:keys [steps] :as b}]
                                       (cond-> b steps (assoc :steps (map-steps steps (fn [xs] (if (string? xs) (floats-in xs) xs)))))))
        (update :declared update-vals (fn [root] (update root :buffers update-vals #(update % :spec read-spec)))))))

;; ---- with other numbers

(defn- moved-value
  "The value of a control with other numbers for the buses that it is mapped to."
  [x {:keys [control-buses audio-buses]}]
  (cond
    (vector? x) (mapv #(moved-value % {:control-buses control-buses, :audio-buses audio-buses}) x)
    (string? x) (let [n (parse-long (subs x 1)), buses (if (str/starts-with? x "a") audio-buses control-buses)]
                  (if-some [to (get buses n)] (str (subs x 0 1) to) x))
    :else       x))

(defn- moved-controls [{:keys [def] :as node} ids numbers]
  (cond-> node
    (:controls node) (update :controls (fn [controls] (wiring/moved (update-vals controls #(moved-value % ids)) (get numbers def) ids)))))

(defn moved
  "A snapshot with other numbers: `ids` has by :nodes, :buffers, :control-buses and :audio-buses
  the new ones of the old ones that change. Buffers have the number that each `:was`.

  `numbers`  by SynthDef, which controls are such numbers, see `espalier.model.wiring`"
  [snapshot {:keys [nodes buffers control-buses audio-buses] :as ids} numbers]
  (if (every? empty? (vals ids))
    (update snapshot :buffers (fn [all] (into (sorted-map) (map (fn [[id b]] [id (assoc b :was id)])) all)))
    (let [node  #(get nodes % %)
          space {:buffer buffers, :control-bus control-buses, :audio-bus audio-buses}
          named (fn [{:keys [id rate] :as x}]
                  (assoc x :id (get (case rate :audio audio-buses :control control-buses buffers) id id)))]
      (-> snapshot
          (update :blocks (fn [blocks] (into {} (map (fn [[k rows]] [k (mapv (fn [[id n]] [(get (space k) id id) n]) rows)])) blocks)))
          (update :buffers (fn [all] (into (sorted-map) (map (fn [[id b]] (let [to (get buffers id id)] [to (cond-> (assoc b :was id) (:steps b) (update :steps ledger/for-buffer to))]))) all)))
          (update :bus-values update-keys #(get control-buses % %))
          (update :nodes (fn [all] (mapv (fn [x] (cond-> (moved-controls (update (update x :id node) :in node) ids numbers) (:root x) (update :root node))) all)))
          (update :declared (fn [roots]
                              (into (sorted-map)
                                    (map (fn [[root x]]
                                           [(node root)
                                            (-> x
                                                (update :keys update-vals node)
                                                (update :rows (fn [rows] (mapv (fn [[x parent]] [(moved-controls (cond-> x (:id x) (update :id node)) ids numbers) parent]) rows)))
                                                (update :buses update-vals named)
                                                (update :buffers update-vals named))]))
                                    roots)))))))

;; ---- what is to be done

(defn mapped-beyond
  "The controls of a node that are mapped to buses which a server with these limits has not."
  [{:keys [controls]} {:keys [control-bus-channel-count audio-bus-channel-count]}]
  (let [beyond? (fn [x] (and (string? x)
                             (<= (long (if (str/starts-with? x "a") audio-bus-channel-count control-bus-channel-count)) (long (parse-long (subs x 1))))))]
    (into {} (filter (fn [[_ x]] (if (vector? x) (some beyond? x) (beyond? x)))) controls)))

(defn wanted-nodes
  "The nodes of a snapshot that are to be made: those that were declared, with those that were made
  by hand or without them, and the groups that they are in."
  [{:keys [nodes declared]} by-hand?]
  (let [asked? (fn [{:keys [id root]}] (or by-hand? root (contains? declared id)))
        by-id  (into {} (map (juxt :id identity)) nodes)
        wanted (reduce (fn [wanted {:keys [id] :as node}]
                         (if (asked? node)
                           (loop [wanted wanted, id id]
                             (if (and (contains? by-id id) (not (contains? wanted id)))
                               (recur (conj wanted id) (:in (by-id id)))
                               wanted))
                           wanted))
                       #{} nodes)]
    (filterv #(contains? wanted (:id %)) nodes)))

(defn node-requests
  "The requests that make nodes, each at the tail of its group, and pause those that are paused."
  [nodes]
  (into (mapv (fn [{:keys [id in kind def controls parallel]}]
                (if (= :group kind)
                  [(if parallel "/p_new" "/g_new") id 1 in]
                  (reduce-kv conj ["/s_new" def id 1 in] (or controls {}))))
              nodes)
        (keep (fn [{:keys [id paused]}] (when paused ["/n_run" id 0])))
        nodes))

(defn bus-requests
  "The requests that set control buses to values, below `limit`."
  [values limit]
  (mapv (fn [[start n]] (into ["/c_setn" start n] (map #(get values (+ (long start) (long %)))) (range n)))
        (runs (sort (filter #(< -1 (long %) (long limit)) (keys values))) 1000)))

(defn step-end
  "Where what a step of a buffer sets ends, in samples; 0 where it sets none."
  ^long [step]
  (if (and (vector? step) (contains? #{"/b_setn" "/b_fill"} (first step)))
    (+ (long (nth step 2)) (long (nth step 3)))
    0))

(ns espalier.runtime.wish
  "What is wanted of a server, from what people declare: the tree with the SynthDefs, buses
  and buffers that it needs, all checked before anything is sent."
  (:require
   [clojure.string :as str]
   [espalier.model.control :as control]
   [espalier.model.entity :refer [entity?]]
   [espalier.model.error :as error]
   [espalier.model.form :as form]
   [espalier.model.plan :as plan]
   [espalier.model.synthdef :as synthdef]
   [espalier.runtime.buffer :as buffer]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.tree-query :as tree-query]))

(set! *warn-on-reflection* true)

;; ---- what is declared: a tree, or a map of a tree with what it needs

(def ^:private parts #{:tree :buses :buffers :synthdefs})

(def ^:private of-nodes
  "What tells of a map that it is meant as a node."
  [:def :key :id :controls :children :paused :parallel :once])

(defn- declaration
  "The map that `x` is, or the tree `x` as one."
  [x]
  (if (and (map? x) (not (entity? x)) (not (:kind x)))
    (do (when (some #(contains? x %) of-nodes)
          (throw (error/error :invalid-tree
                              (str "A node as a map wants :kind :synth or :group. What is declared may also be a map of :tree, :buses, :buffers and :synthdefs; it has none of "
                                   (str/join ", " (filter #(contains? x %) of-nodes)) ".")
                              {:seen x})))
        (doseq [k (keys x)]
          (when-not (parts k)
            (throw (error/error :invalid-tree
                                (str "What is declared is a tree, or a map of :tree, :buses, :buffers and :synthdefs; it has no " (pr-str k) "." (error/hint k parts))
                                {:seen k}))))
        (when-not (contains? x :tree)
          (throw (error/error :invalid-tree "The map has no :tree; {:tree nil} frees all that is declared." {:seen x})))
        (doseq [k [:buses :buffers]]
          (when-not (or (nil? (k x)) (and (map? (k x)) (every? keyword? (keys (k x)))))
            (throw (error/error :invalid-tree (str (pr-str k) " are a map from keywords, {" (pr-str k) " {:verb 2}} for example, not " (pr-str (k x)) ".") {:seen (k x)}))))
        (when-let [twice (some (set (keys (:buses x))) (keys (:buffers x)))]
          (throw (error/error :duplicate-key (str (pr-str twice) " names a bus and a buffer; a name is for one.") {:key twice})))
        x)
    {:tree x}))

(defn- named-error
  "The error of what is declared under a name, with that."
  [what name e]
  (error/error (keyword (clojure.core/name (error/code e))) (str what " " (pr-str name) ": " (ex-message e)) (assoc (ex-data e) :name name) e))

(defn- named-try
  "What `f` returns. Its errors tell the name of what it is about."
  [what name f]
  (try (f)
       (catch clojure.lang.ExceptionInfo e
         (throw (if (error/code e) (named-error what name e) e)))))

(defn- check-new
  "Throws where an entity, which is there already, is declared under a name."
  [name spec]
  (when (entity? spec)
    (throw (error/error :invalid-tree (str spec " is there already, and is not declared under a name, as " (pr-str name) " is: give it to the control itself, or in [:map bus].")
                        {:seen spec, :name name}))))

(defn- bus-of
  "How a bus is declared, as what `entities/add-block` takes: [count rate], where a
  count of nil is a single one."
  [name spec]
  (check-new name spec)
  (let [{:keys [rate], n :count, :or {rate :audio}, :as m} (cond (int? spec) {:count spec}, (keyword? spec) {:rate spec}, (map? spec) spec)]
    (when-not (and m (contains? #{:audio :control} rate) (every? #{:rate :count} (keys m)) (or (nil? n) (and (int? n) (<= 1 (long n) 4096))))
      (throw (error/error :invalid-tree
                          (str "A bus is declared by a number of audio channels, by :audio or :control, or by {:rate :control, :count 2}, not " (pr-str spec) " for " (pr-str name) ".")
                          {:seen spec, :name name})))
    [(when (and n (< 1 (long n))) n) rate]))

(defn usable?
  "Whether an entity may still be used."
  [s session e]
  (try (entities/resolve-in s session e) true
       (catch clojure.lang.ExceptionInfo _ false)))

(defn- same-spec?
  "Whether a bus or buffer is declared as before; of samples it counts what they are."
  [a b]
  (let [samples (fn [spec] (when (map? spec) (:samples spec)))
        x (samples a), y (samples b)]
    (if (and (instance? float/1 x) (instance? float/1 y))
      (and (= (dissoc a :samples) (dissoc b :samples)) (java.util.Arrays/equals ^floats x ^floats y))
      (= a b))))

(defn- check-buffer
  "Throws where a buffer is declared by nothing that could make one."
  [name spec]
  (check-new name spec)
  (when (if (map? spec)
          (and (not-any? spec [:frame-count :path :samples]) (every? #{:channel-count :start-frame :channels :restore-with :timeout-ms} (keys spec)))
          (not (or (string? spec) (instance? java.io.File spec) (instance? java.nio.file.Path spec))))
    (throw (error/error :invalid-argument
                        (str "A buffer is declared by the path of a file, or by a map as add-buffer! takes it, {:frame-count 1024} for example, not " (pr-str spec) " for " (pr-str name) ".")
                        {:seen spec, :name name}))))

(defn- resources
  "Buses or buffers by name: those that are there already and are declared so again,
  others anew by `make`, which gets the name and what is declared and returns a map of
  `:entity` and perhaps `:make!`."
  [s session there specs make]
  (into {}
        (map (fn [[name spec]]
               (let [{old :spec, e :entity :as known} (get there name)]
                 [name (if (and known (same-spec? old spec) (usable? s session e))
                         known
                         (assoc (make name spec) :spec spec, :new? true))])))
        specs))

(defn give-back!
  "Gives back buses and buffers that were taken anew and are not kept; what the server
  has made is freed. After an error `e`, if given, that leaves open whether the server makes a
  buffer yet, its number is not used again."
  ([session rows] (give-back! session rows nil))
  ([{:keys [mirror] :as session} rows e]
   (doseq [{:keys [entity new?]} rows :when new?]
     (cond
       (not= :buffer (:kind entity)) (entities/give-back! entity session)
       (= :allocated (:status (get (:buffers (mirror/known mirror)) (:id entity)))) (buffer/free! entity {})
       (or (nil? e) (entities/never-sent? e)) (entities/give-back! entity session)))))

(defn- named-resources
  "The buses and buffers of a declaration, `:buses` and `:buffers` by name; ids are taken
  for those that are new."
  [s session memory {:keys [buses buffers]}]
  ;; All is looked at before any id is taken.
  (run! (fn [[name spec]] (bus-of name spec)) buses)
  (run! (fn [[name spec]] (check-buffer name spec)) buffers)
  (let [buses (resources s session (:buses memory) buses
                         (fn [name spec]
                           (let [[n rate] (bus-of name spec)]
                             (named-try "Bus" name (fn [] {:entity (entities/add-block s :bus n {:rate rate})})))))]
    (try
      {:buses   buses
       :buffers (resources s session (:buffers memory) buffers
                           (fn [name spec]
                             (-> (named-try "Buffer" name #(buffer/reserve-buffer s (if (map? spec) spec {:path spec})))
                                 (update :make! (fn [make!] #(named-try "Buffer" name make!))))))}
      (catch Throwable e
        (give-back! session (vals buses))
        (throw e)))))

(defn kept
  "Buses or buffers as they are remembered."
  [resources]
  (into {} (map (fn [[name row]] [name (select-keys row [:spec :entity])])) resources))

;; ---- where it is declared

(defn- no-group [id]
  (error/error :no-such-node (str "The group " id ", whose content is declared, is not there. (sc/print-tree s) shows what there is. Without :root it is the default group; should that be gone, (sc/reset-server! s) makes it again.")
               {:node id}))

(defn- without-top
  "The rows of what is in the one group that rows are of."
  [rows]
  (mapv (fn [[node parent]] [node (dec (long parent))]) (subvec rows 1)))

(defn root-id
  "The id of the group that `:root` says, nil for none.

  Throws `:espalier.error/invalid-option` for anything that is no group, and what
  `entities/resolve-in` throws."
  [s session root]
  (cond
    (and (entity? root) (= :group (:kind root)))                        (entities/resolve-in s session root)
    (or (nil? root) (and (nat-int? root) (<= (long root) Integer/MAX_VALUE))) root
    :else (throw (error/error :invalid-option (str ":root is a group or the id of one, not " (pr-str root) ".") {:option :root, :value root}))))

(defn- root-of
  "The id of the group whose content is declared, whether others may have nodes directly
  in it, and the `:rows` of the content."
  [{:keys [mirror] :as session} rows given]
  (let [[top]   (get rows 1)
        own     (session/default-group-id (:client-id session))
        pasted  (when (and (= :group (:kind top)) (:id top) (nil? (:key top)) (not-any? (fn [[_ parent]] (= 0 parent)) (subvec rows 2)))
                  (:id top))
        id      (or given pasted own)
        pasted? (= id pasted)
        kind    (:kind (get (:nodes (mirror/known mirror)) id))]
    (when-not (= :group kind)
      (when-not (and (nil? kind)
                     (let [[_ _ _ _ _ group] (get (session/look-at! session [id] (:timeout-ms session)) id)] (= 1 group)))
        (throw (no-group id)))
      ;; It is there, and the mirror does not know it.
      (tree-query/mend! session mirror))
    {:root id, :shared? (and (nil? given) (not pasted?)), :rows (if pasted? (without-top rows) rows)}))

;; ---- SynthDefs and controls

(def ^:private synths (comp (map (fn [[node]] node)) (filter #(= :synth (:kind %)))))

(defn given-synthdefs
  "By name, the SynthDefs that a declaration has as values."
  [rows extra]
  (into (into {} (map (juxt :name identity)) extra)
        (comp synths (keep (fn [{:keys [def synthdef]}] (when synthdef [def synthdef]))))
        rows))

(defn- in-node
  "An error of the node in row `i`, with where that is."
  [e rows i]
  (let [{:keys [key id]} (first (nth rows i))]
    (error/error (keyword (name (error/code e))) (str (ex-message e) " In " (form/whereabouts rows i) ".")
                 (cond-> (ex-data e) (some? key) (assoc :key key), (or (some? key) id) (assoc :node (if (some? key) key id))))))

(defn- check-known-defs
  "Throws where the tree has a SynthDef that is neither given nor known, nor there on
  the server, which is asked once."
  [s {:keys [mirror] :as session} rows given opts]
  (let [known   (:synthdefs (mirror/known mirror))
        there   (:there (declared/known session))
        unknown (into [] (comp synths (map :def) (remove #(or (contains? given %) (contains? known %) (contains? there %))) (distinct)) rows)]
    (when (seq unknown)
      (let [missing (synthdefs/missing s session unknown (select-keys opts [:timeout-ms]))]
        (declared/change! session update :there into (remove (set missing)) unknown)
        (when-let [d (first missing)]
          (throw (in-node (error/error :unknown-synthdef
                                       (str "The tree has SynthDef " (pr-str d) ", which the server does not have." (error/hint d (distinct (concat (keys known) (keys given) there)))
                                            " (sc/add-synthdefs! s …) sends it; a SynthDef value as :def is sent by itself.")
                                       {:synthdef d, :missing missing})
                          rows
                          (first (keep-indexed (fn [i [node]] (when (= d (:def node)) i)) rows)))))))))

(defn- check-mapping [{:keys [control-bus-channel-count audio-bus-channel-count]} control v]
  (doseq [x (if (vector? v) v [v]) :when (string? x)]
    (let [n (parse-long (subs x 1)), most (if (str/starts-with? x "a") audio-bus-channel-count control-bus-channel-count)]
      (when (<= (long most) (long n))
        (throw (error/error :invalid-argument (str "Control " (pr-str control) " is mapped to " (pr-str x) ", and the server has " most " such buses.") {:argument control, :value x}))))))

(defn- named-controls
  "Controls with names for indices, where the SynthDef, `known`, is. An index within an
  array has no name, and nothing that could be compared: it is refused."
  [known synthdef controls]
  (if (and known (reduce-kv (fn [_ k _] (when (int? k) (reduced true))) nil controls))
    (let [names (into {} (map (fn [[k {:keys [index]}]] [index k])) known)]
      (reduce-kv (fn [named k v]
                   (if (and (int? k) (not (contains? names k)))
                     (let [[array {:keys [index size]}] (last (filter (fn [[_ {:keys [index]}]] (< (long index) (long k))) (sort-by (comp :index val) known)))]
                       (throw (error/error :unknown-control
                                           (str "Index " k " is within control " (pr-str array) " of SynthDef " synthdef ", which has indices " index " to "
                                                (dec (+ (long index) (long size))) ". A tree declares an array as a whole, {" (pr-str array) " [" (str/join " " (repeat size "…")) "]}.")
                                           {:control k, :synthdef synthdef})))
                     (assoc named (get names k k) v)))
                 {}
                 controls))
    controls))

(defn- checked-rows
  "The rows with controls as the SynthDefs name them, all checked."
  [{:keys [mirror limits]} rows given]
  (let [known  (:synthdefs (mirror/known mirror))
        own    (into {} (map (fn [[n d]] [n (synthdef/controls d)])) given)
        check  (fn [{:keys [kind def controls] :as node}]
                 (if (or (= :group kind) (empty? controls))
                   node
                   (let [facts (get own def (get known def))]
                     (control/check-known facts def (keys controls))
                     (control/check-arrays facts def controls)
                     (reduce-kv (fn [_ k v] (when-not (number? v) (check-mapping limits k v))) nil controls)
                     (assoc node :controls (named-controls facts def controls)))))]
    (into []
          (map-indexed (fn [i [node parent :as row]]
                         (let [checked (try (check node)
                                            (catch clojure.lang.ExceptionInfo e
                                              (throw (if (error/code e) (in-node e rows i) e))))]
                           (if (identical? checked node) row [checked parent]))))
          rows)))

(defn- check-engine
  "Throws where the server does not survive the tree."
  [{:keys [engine]} rows]
  (when (= :supernova engine)
    (when-let [{:keys [key]} (plan/wedging rows)]
      (throw (error/error :invalid-tree
                          (str "supernova plays no more with this tree: " (if (some? key) (str "group " (pr-str key)) "a group")
                               " has groups in it and no synth, and is the last in its own group, behind a synth; that must not be where there are parallel groups."
                               " Put a synth into it, put it first, or leave :parallel away.")
                          {:key key})))))

;; ---- all together

(defn wish
  "What a declaration wants on this server, all checked: `:root`, `:shared?`, `:prune`, `:rows`,
  `:buses`, `:buffers`, and the SynthDefs that are `:given`."
  [s session x {:keys [prune root] :or {prune true} :as opts}]
  (let [{:keys [tree synthdefs] :as declaration} (declaration x)
        _     (when-not (boolean? prune) (throw (error/error :invalid-option (str ":prune is true or false, not " (pr-str prune) ".") {:option :prune, :value prune})))
        given-root (root-id s session root)
        ;; Names are wanted before it is known whose they are: a tree that is pasted says its root itself.
        read  (fn read [guess]
                (let [{:keys [buses buffers] :as named} (named-resources s session (get-in (declared/known session) [:roots guess]) declaration)
                      give-back! #(give-back! session (concat (vals buses) (vals buffers)))]
                  (try
                    (let [names (into {} (map (fn [[n {:keys [entity]}]] [n entity])) (concat buses buffers))
                          {:keys [root] :as place} (root-of session (form/rows tree names #(entities/resolve-in s session %)) given-root)]
                      (if (or (= guess root) (empty? names))
                        (assoc (merge place named) :give-back! give-back!)
                        (do (give-back!) (read root))))
                    (catch Throwable e
                      (give-back!)
                      (throw e)))))
        {:keys [rows give-back!] :as place} (read (or given-root (session/default-group-id (:client-id session))))]
    (try
      (let [given (given-synthdefs rows (when synthdefs (synthdefs/values synthdefs)))]
        (check-engine session rows)
        (check-known-defs s session rows given opts)
        (assoc (dissoc place :give-back!) :prune prune, :given given, :rows (checked-rows session rows given)))
      (catch Throwable e
        (give-back!)
        (throw e)))))

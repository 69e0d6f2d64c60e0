(ns espalier.runtime.inspection
  "What tools that look into values, such as Portal, Reveal, Morse and Cursive, find in a
  handle and in entities: `clojure.datafy/datafy` of them is a map of what this client
  knows, and `clojure.datafy/nav` leads from a handle to the tree, SynthDefs, buffers, buses
  and options, from a node to its parent, children and SynthDef.

  Nothing here throws, online or offline. `datafy` asks nobody. `nav` asks the server for
  one thing, the controls of a synth, and returns what is known where it does not answer.
  Hints for viewers are metadata; no viewer is needed."
  (:require
   [clojure.core.protocols :as protocols]
   [espalier.model.entity :as entity]
   [espalier.model.log :as model.log]
   [espalier.model.options :as options]
   [espalier.model.options-table :as options-table]
   [espalier.model.state :as state]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.health :as health]
   [espalier.runtime.log :as log]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.node :as node]
   [espalier.runtime.session :as session])
  (:import
   (espalier.kernel RunningServer)
   (espalier.model.entity Entity)
   (espalier.runtime.handle Server)))

(set! *warn-on-reflection* true)

(defn- navigable
  "A collection whose parts lead to what `go`, a function of key and value, says."
  [coll go]
  (vary-meta coll assoc `protocols/nav (fn [_ k v] (go k v))))

(defn- value-or
  "What `f` returns, or `otherwise` where it throws."
  [otherwise f]
  (try (f) (catch clojure.lang.ExceptionInfo _ otherwise)))

;; ---- options

(defn- option-page [k value]
  (if-let [row (some #(when (= k (:name %)) %) options-table/table)]
    (assoc (select-keys row [:name :flag :default :range :values :engines :doc]) :value value)
    value))

(defn- options-of [s]
  (navigable (handle/effective-options s) option-page))

;; ---- SynthDefs

(defn- synthdef-of
  "A SynthDef by its name: the value, where it was sent from here, else what is known."
  [{:keys [mirror defined]} synthdef-name]
  (let [{:keys [synthdefs]} (mirror/known mirror)]
    (or (when (contains? synthdefs synthdef-name) (get @defined synthdef-name))
        {:kind :synthdef, :name synthdef-name, :controls (get synthdefs synthdef-name)})))

(defn- synthdefs-of [{:keys [mirror] :as session}]
  (navigable (into (sorted-map) (:synthdefs (mirror/known mirror)))
             (fn [synthdef-name _] (synthdef-of session synthdef-name))))

;; ---- nodes

(defn- node-or-nil [s session id]
  (when id
    (entities/known-node s session (:kind (get (:nodes (mirror/known (:mirror session))) id) :group) id)))

(defn- controls-of
  "The controls of a synth as far as they are known without asking: what its SynthDef says,
  and over it what was declared."
  [{:keys [mirror] :as session} id def-name]
  (not-empty (merge (update-vals (get (:synthdefs (mirror/known mirror)) def-name) :default)
                    (declared/controls-of session id))))

(defn- told-controls
  "The controls of a synth as the server has them; `known` where it does not tell."
  [synth known]
  (value-or known #(node/get-controls synth (keys known) {:timeout-ms 1000})))

(defn- there
  "The session in which an entity is, or nil."
  [^Entity e]
  (let [session (handle/session (.-server e))]
    (when (and session (entities/of-login? session e) (value-or false #(entities/resolve-in (.-server e) session e)))
      session)))

(defn- node-map [s {:keys [mirror] :as session} ^Entity e]
  (let [known (mirror/known mirror)
        {:keys [parent previous next status def parallel?] k :key} (get (:nodes known) (.-id e))
        node (partial node-or-nil s session)
        def  (or def (:def e))]
    (cond-> {:id (.-id e), :kind (.-kind e), :status (or status :expected), :parent (node parent), :server s}
      (some? k)           (assoc :key k)
      parallel?           (assoc :parallel? true)
      previous            (assoc :previous (node previous))
      next                (assoc :next (node next))
      (= :group (.-kind e)) (assoc :children (mapv node (state/children known (.-id e))))
      def                 (assoc :def def)
      (= :synth (.-kind e)) (assoc :controls (controls-of session (.-id e) def)))))

(defn- node-data [s session ^Entity e]
  (navigable (node-map s session e)
             (fn [k v]
               (case k
                 :def      (synthdef-of session v)
                 :controls (told-controls e v)
                 v))))

;; ---- buffers and buses

(defn- buffer-data [s {:keys [mirror]} {:keys [id part] n :count}]
  (let [{:keys [buffers]} (mirror/known mirror)
        facts (fn [id] (dissoc (get buffers id) :id))]
    (if (and n (not part))
      {:id id, :kind :buffer-group, :count n, :server s, :buffers (mapv (fn [i] (merge {:id i} (facts i))) (range id (+ (long id) (long n))))}
      (merge {:id id, :kind :buffer, :server s} (facts id)))))

(defn- mapped
  "The synths that have a control which this client has mapped to a bus."
  [s {:keys [mirror] :as session} bus]
  (let [symbols (set (entity/bus-symbols bus))
        mapped? (fn [v] (if (vector? v) (some symbols v) (symbols v)))]
    (into []
          (comp (filter (fn [[id {:keys [kind]}]] (and (= :synth kind) (some (comp mapped? val) (declared/controls-of session id)))))
                (map (fn [[id]] (node-or-nil s session id))))
          (sort-by key (:nodes (mirror/known mirror))))))

(defn- bus-data [s session {:keys [id kind rate] n :count :as e}]
  (cond-> {:id id, :kind kind, :rate rate, :server s, :mapped (mapped s session e)}
    n (assoc :count n)))

;; ---- entities

(defn- entity-data [^Entity e]
  (let [s (.-server e)]
    (if-let [session (there e)]
      (case (.-kind e)
        (:group :synth)         (node-data s session e)
        (:buffer :buffer-group) (buffer-data s session e)
        (bus-data s session e))
      (assoc (into {} (remove (comp nil? val)) (dissoc (into {} e) :era :born)) :status :gone))))

(extend-type Entity
  protocols/Datafiable
  (datafy [e] (entity-data e)))

;; ---- the handle

(defn- buffers-of [s {:keys [mirror] :as session}]
  (navigable (into (sorted-map) (:buffers (mirror/known mirror)))
             (fn [id _] (entities/known-block s session :buffer nil id))))

(defn- buses-of [s session]
  (into {} (map (fn [[rate ids]] [rate (mapv #(entities/known-block s session :bus rate %) ids)])) (entities/taken-buses session)))

(defn- login-data [s {:keys [link client-id] :as session}]
  (assoc (select-keys session [:engine :version :client-id :maximum-logins])
         :link          (str link)
         :health        (health/of-session session)
         :tree          (node-or-nil s session 0)
         :default-group (node-or-nil s session (session/default-group-id client-id))
         :synthdefs     (synthdefs-of session)
         :buffers       (buffers-of s session)
         :buses         (buses-of s session)))

(extend-type Server
  protocols/Datafiable
  (datafy [^Server s]
    (let [{:keys [status session process lost restored]} (handle/state s)
          warnings (value-or [] #(options/warnings (handle/effective-options s)))]
      (cond-> {:status status, :options (options-of s), :owner? (handle/owner? s)
               :log    (model.log/shown (log/entries (handle/log-of s) {}))}
        (seq warnings) (assoc :warnings warnings)
        process (assoc :pid (handle/pid process) :command (vec (.command ^RunningServer process)))
        session (merge (login-data s session))
        restored (assoc :restored (:report restored))
        lost    (assoc :lost lost)))))

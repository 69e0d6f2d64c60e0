(ns espalier.runtime.node
  "Groups and synths. Each function that `espalier.core` has under the same name is
  documented there."
  (:require
   [espalier.model.command :as command]
   [espalier.model.control :refer [check-arrays check-known control-count control-name]]
   [espalier.model.entity :refer [entity?]]
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.model.synthdef :as synthdef]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.entities :as entities :refer [live-entity]]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.session :as session]
   [espalier.runtime.tree-query :as tree-query]))

(set! *warn-on-reflection* true)

(def ^:private nodes #{:group :synth})

;; ---- names of controls

(defn- known-controls
  "The controls of a SynthDef by their names, or nil where it was not sent from here."
  [session synthdef]
  (get (:synthdefs (mirror/known (:mirror session))) synthdef))

(defn- check-controls
  "Throws where one of these is no control of the SynthDef, as far as it is known."
  [session synthdef controls]
  (check-known (known-controls session synthdef) synthdef controls))

(defn- from-index
  "The place of a control of a SynthDef that is known, checked to have `n` values from
  there on; the control itself where it is not known."
  [session synthdef control n]
  (if-let [known (known-controls session synthdef)]
    (let [index (if (integer? control) control (:index (get known (control-name control))))]
      (when (< (control-count known) (+' index n))
        (throw (error/error :index-out-of-range
                            (str "SynthDef " synthdef " has " (control-count known) " values of controls, and " n " from " (pr-str control) " on end beyond them.")
                            {:control control, :count n, :synthdef synthdef})))
      index)
    control))

(defn- check-map [what x]
  (when-not (map? x)
    (throw (error/error :invalid-argument (str what " are a map from controls to values, {:freq 440} for example, not " (pr-str x) ".")
                        {:argument :controls, :value x}))))

;; ---- sending

(defn- refuse-waiting!
  "Throws where a node is to start at a time to come, so that nothing can reach it."
  [{:keys [server id] :as e} session]
  (when (and (mirror/waits? (:mirror session) id) (not (moment/inside? server)))
    (throw (error/error :node-not-started
                        (str e " starts at a time to come, and cannot be reached before. Say it in its moment, or in a later one; (sc/await-started …) waits.")
                        {:entity e}))))

(defn- send!
  "Sends a command about an entity; returns the entity."
  [{:keys [server] :as e} session command args options]
  (refuse-waiting! e session)
  (moment/request! server (command/request command args (:limits session)) options)
  e)

(def ^:private call-options #{:confirm :timeout-ms})

(defn- send-all!
  "Sends requests as one."
  [s requests opts]
  (if (next requests)
    (moment/call-at s (moment/inner-options s opts) (fn [] (run! #(moment/request! s % {}) requests)))
    (run! #(moment/request! s % opts) requests)))

;; ---- making

(defn- target-or-default
  "What a new node is put to: `x`, or this client's default group where that is nil."
  [session x]
  (if (nil? x) (session/default-group-id (:client-id session)) x))

(defn- refuse-duplicate!
  "Throws where a group's own id is there already: scsynth would say nothing."
  [session request {:keys [id confirm]}]
  (when (and id confirm (contains? #{"/g_new" "/p_new"} (first request))
             (seq (session/look-at! session [id] (:timeout-ms session))))
    (throw (failure/error-of request "duplicate node ID" {:node id}))))

(defn- send-making!
  "Sends the requests that make a node: one, or, on supernova, two to replace another,
  for it does not survive the command for that."
  [s {:keys [engine limits] :as session} command args options]
  (let [replaces? (fn [action] (contains? #{:replace 4} action))
        after     (fn [action] (if (replaces? action) :after action))
        [action target] (if (= :s-new command) [(:action args) (:target args)] (rest (first (:groups args))))]
    (if (and (= :supernova engine) (replaces? action))
      (let [requests [(command/request command
                                       (if (= :s-new command)
                                         (update args :action after)
                                         (update-in args [:groups 0 1] after))
                                       limits)
                      (command/request :n-free {:ids [target]} limits)]]
        (send-all! s requests (select-keys options [:confirm :timeout-ms])))
      (let [request (command/request command args limits)]
        (when-not (moment/inside? s) (refuse-duplicate! session request options))
        (moment/request! s request (select-keys options [:confirm :timeout-ms]))))))

(defn- made!
  "Sends what makes a node; where it fails, the id is given back."
  [s session command args options {:keys [entity give-back!]}]
  (try
    (send-making! s session command args options)
    entity
    (catch Throwable e
      (when (entities/never-sent? e)
        (give-back!))
      (throw e))))

(def ^:private making-options #{:target :action :id :permanent :confirm :timeout-ms})

(defn add-group!
  "See `espalier.core/add-group!`."
  [s opts]
  (options/check-call opts (conj making-options :parallel))
  (let [{:keys [target action parallel]} opts
        session (handle/live s)
        node    (entities/add-node s :group opts (when parallel {:parallel? true}))]
    (made! s session (if parallel :p-new :g-new)
           {:groups [[(:id (:entity node)) (or action :head) (target-or-default session target)]]}
           opts node)))

(defn- synthdef-name [x]
  (let [x (if (map? x) (:name x) x)]
    (if (ident? x) (name x) x)))

(defn add-synth!
  "See `espalier.core/add-synth!`."
  [s synthdef controls opts]
  (options/check-call opts making-options)
  (let [session  (handle/live s)
        own      (when (and (map? synthdef) (= :synthdef (:kind synthdef)) (:parameters synthdef)) (synthdef/controls synthdef))
        synthdef (synthdef-name synthdef)
        known    (or own (known-controls session synthdef))]
    (check-map "The controls of a synth" controls)
    (when-not (string? synthdef)
      (throw (error/error :invalid-argument (str "A synth is made from a SynthDef or the name of one, not " (pr-str synthdef) ".")
                          {:argument :synthdef, :value synthdef})))
    (check-known known synthdef (keys controls))
    (check-arrays known synthdef controls)
    (let [node (entities/add-node s :synth opts {:def synthdef})]
      (made! s session :s-new
             {:synthdef synthdef, :id (:id (:entity node)), :action (or (:action opts) :head)
              :target (target-or-default session (:target opts)), :controls controls}
             opts node))))

;; ---- controls

(defn set-controls!
  "See `espalier.core/set-controls!`."
  [node controls opts]
  (check-map "Controls" controls)
  (options/check-call opts call-options)
  (let [session (live-entity node nodes)]
    (when-let [d (:def node)]
      (check-controls session d (keys controls))
      (check-arrays (known-controls session d) d controls))
    (if (zero? (count controls))
      node
      (send! node session :n-set {:id (:id node), :controls controls} opts))))

(defn set-control-range!
  "See `espalier.core/set-control-range!`."
  [node control values opts]
  (options/check-call opts call-options)
  (let [session (live-entity node nodes)]
    (when-let [d (:def node)] (check-controls session d [control]))
    (let [control (if (and (:def node) (sequential? values)) (from-index session (:def node) control (count values)) control)]
      (send! node session :n-setn {:id (:id node), :ranges [[control values]]} opts))))

(defn- mapping [bus]
  (if (nil? bus)
    [:n-map -1 nil]
    (case [(:kind bus) (:rate bus)]
      [:bus :control]       [:n-map bus nil]
      [:bus :audio]         [:n-mapa bus nil]
      [:bus-group :control] [:n-mapn bus (:count bus)]
      [:bus-group :audio]   [:n-mapan bus (:count bus)]
      (throw (error/error :invalid-argument (str "A control is mapped to a bus or a bus group, or to nil for none, not to " (pr-str bus) ".")
                          {:argument :buses, :value bus})))))

(defn- facts
  "What is known of a control of a synth."
  [session node control]
  (get (known-controls session (:def node)) (control-name control)))

(defn- slots
  "What a control that may be an array is let go of by: the places of all its values."
  [session node control]
  (let [{:keys [index size]} (facts session node control)]
    (if (and size (< 1 (long size)))
      (range index (+ (long index) (long size)))
      [control])))

(defn map-controls!
  "See `espalier.core/map-controls!`."
  [node controls opts]
  (options/check-call opts call-options)
  (let [session (live-entity node nodes)]
    (check-map "Mapped controls" controls)
    (when-let [d (:def node)] (check-controls session d (keys controls)))
    (let [requests (mapv (fn [[command rows]]
                           (command/request command {:id node, :buses (mapv (fn [[control [_ bus n]]] (if n [control bus n] [control bus])) rows)}
                                            (:limits session)))
                         (group-by (fn [[_ [command]]] command)
                                   (mapcat (fn [[control bus]]
                                             (for [control (if (nil? bus) (slots session node control) [control])]
                                               [control (mapping bus)]))
                                           controls)))]
      (send-all! (:server node) requests opts)
      node)))

(defn get-controls
  "See `espalier.core/get-controls`."
  [synth controls opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        session  (live-entity synth #{:synth})
        known    (known-controls session (:def synth))
        controls (cond
                   (some? controls) (if (or (sequential? controls) (set? controls)) (vec controls) [controls])
                   known            (vec (keys known))
                   :else (throw (error/error :unknown-synthdef
                                             (str "Which controls " synth " has is not known here, for its SynthDef was not sent from here."
                                                  " Name them: (sc/get-controls synth [:freq]).")
                                             {:entity synth})))]
    (check-controls session (:def synth) controls)
    (if (empty? controls)
      {}
      (let [ask    (fn [command args] (moment/question! (:server synth) (command/request command args (:limits session)) timeout-ms))
            size   (fn [control] (:size (facts session synth control) 1))
            single (filterv #(= 1 (size %)) controls)
            found  (into {}
                         (map (fn [control]
                                [control (mapv message/number (drop 4 (ask :s-getn {:id synth, :control control, :count (size control)})))]))
                         (remove #(= 1 (size %)) controls))
            found  (if (seq single)
                     (into found (zipmap single (map message/number (take-nth 2 (drop 3 (ask :s-get {:id synth, :controls single}))))))
                     found)]
        ;; In the order of asking.
        (into (array-map) (map (fn [control] [control (get found control)])) controls)))))

(defn get-control-range
  "See `espalier.core/get-control-range`."
  [synth control n opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        session (live-entity synth #{:synth})]
    (check-controls session (:def synth) [control])
    (when (and (= :supernova (:engine session)) (not (known-controls session (:def synth))))
      (throw (error/error :unknown-synthdef
                          (str "How many controls " synth " has is not known here, for its SynthDef was not sent from here, and supernova reads beyond them.")
                          {:entity synth})))
    (mapv message/number
          (drop 4 (moment/question! (:server synth) (command/request :s-getn {:id synth, :control (if (and (int? n) (<= 1 (long n) 4096)) (from-index session (:def synth) control n) control), :count n} (:limits session)) timeout-ms)))))

;; ---- life

(defn- here?
  "Whether a node that this handle made is still there, as far as is known. One of a
  server that is gone is an error all the same."
  [node]
  (try (live-entity node nodes)
       (catch clojure.lang.ExceptionInfo e
         (when-not (= :espalier.error/freed-entity (error/code e))
           (throw e)))))

(defn free!
  "Frees a node; harmless where it has ended."
  [node opts]
  (options/check-call opts call-options)
  (when (and (entity? node) (= :group (:kind node)) (session/default-group? (:id node)))
    (throw (error/error :refused-command (str node " is not freed: new nodes go there. (sc/free-children! …) frees what is in it.") {:entity node})))
  (when-let [session (here? node)]
    (refuse-waiting! node session)
    (let [{:keys [mirror limits]} session
          request (command/request :n-free {:ids [node]} limits)
          ;; One that has not started is not reached, and may be freed later.
          ends?   (and (not (moment/inside? (:server node))) (mirror/started? mirror (:id node)))]
      (when ends? (mirror/ending! mirror (:id node)))
      (try (moment/request! (:server node) request opts)
           (catch Throwable e
             (when ends? (mirror/not-ending! mirror (:id node)))
             (throw e)))))
  node)

(defn release!
  "See `espalier.core/release!`."
  [node opts]
  (options/check-call opts call-options)
  (when-let [session (here? node)]
    (let [known (known-controls session (:def node))]
      (if (and known (not (contains? known "gate")))
        (send! node session :n-free {:ids [node]} opts)
        (send! node session :n-set {:id node, :controls {"gate" 0}} opts))))
  node)

(defn set-running!
  "Pauses a node, or lets it run."
  [node running? opts]
  (options/check-call opts call-options)
  (send! node (live-entity node nodes) :n-run {:runs [[node running?]]} opts))

(defn- info
  "What an `/n_info` says, as a map."
  [[_ id parent previous next group head tail]]
  (let [node (fn [x] (when (and x (<= 0 (long x))) (long x)))]
    (cond-> {:id (long id), :kind (if (= 1 group) :group :synth), :parent (node parent), :previous (node previous), :next (node next)}
      (= 1 group) (assoc :head (node head), :tail (node tail), :parallel? (= -2 head)))))

(defn- node-id [s session node]
  (if (entity? node) (entities/resolve-in s session node) node))

(defn- group-of
  "The id of the group that a node is in: asked of the server, and within a moment, where
  that cannot be, what is known of it.

  Throws `:espalier.error/no-such-node`."
  [s {:keys [mirror] :as session} node]
  (let [id (node-id s session node)]
    (or (when (moment/inside? s) (mirror/parent mirror id))
        (:parent (info (moment/question! s (command/request :n-query {:id id} (:limits session)) nil))))))

(defn- beside-requests
  "What puts a node before or after another. On supernova, whose tree a move across
  groups leaves wrong, it goes into the other's group first."
  [s {:keys [engine limits] :as session} command node target]
  (if (= :supernova engine)
    (let [move (command/request command {:moves [[node target]]} (dissoc limits :parent-of))]
      [(command/request :g-tail {:moves [[(group-of s session target) node]]} limits) move])
    [(command/request command {:moves [[node target]]} limits)]))

(defn- move-requests
  "What moves a node, an entity or id."
  [s {:keys [limits] :as session} node action target]
  (case action
    :before (beside-requests s session :n-before node target)
    :after  (beside-requests s session :n-after node target)
    :head   [(command/request :g-head {:moves [[target node]]} limits)]
    :tail   [(command/request :g-tail {:moves [[target node]]} limits)]
    (throw (error/error :invalid-argument
                        (str "A node is moved :before or :after another, or to the :head or :tail of a group, not " (pr-str action) "."
                             (error/hint action [:before :after :head :tail]))
                        {:argument :action, :value action}))))

(defn move!
  "See `espalier.core/move!`."
  [node action target opts]
  (options/check-call opts call-options)
  (let [session (live-entity node nodes)]
    (send-all! (:server node) (move-requests (:server node) session node action target) opts)
    node))

(defn order!
  "See `espalier.core/order!`."
  [action target nodes-in-order opts]
  (options/check-call opts call-options)
  (let [{:keys [engine limits] :as session} (live-entity target nodes)
        s       (:server target)
        _       (when-not (or (nil? nodes-in-order) (sequential? nodes-in-order) (set? nodes-in-order))
                  (throw (error/error :invalid-argument (str "Nodes to put in order are a sequence, not " (pr-str nodes-in-order) ".")
                                      {:argument :nodes, :value nodes-in-order})))
        ids     (vec nodes-in-order)
        request (command/request :n-order {:action action, :target target, :ids ids} (dissoc limits :parent-of))]
    (send-all! s
               (if (= :supernova engine)
                 ;; It puts them the other way round, or wrongly across groups, so they are moved one by one.
                 (into [] (mapcat #(move-requests s session % action target))
                       (if (contains? #{:head :after} action) (rseq ids) ids))
                 [request])
               opts)
    target))

(defn trace!
  "See `espalier.core/print-ugens!`."
  [node opts]
  (options/check-call opts call-options)
  (send! node (live-entity node nodes) :n-trace {:ids [node]} opts))

(defn free-children!
  "See `espalier.core/free-children!`."
  [group opts]
  (let [{:keys [synths-only] :as opts} (options/check-call opts (conj call-options :synths-only))
        session (live-entity group #{:group})]
    (send! group session (if synths-only :g-deep-free :g-free-all) {:ids [group]} (select-keys opts [:confirm :timeout-ms]))))

;; ---- questions

(defn query-node
  "See `espalier.core/query-node`."
  [s node opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        session (handle/live s)]
    (info (moment/question! s (command/request :n-query {:id (node-id s session node)} (:limits session)) timeout-ms))))

(defn parent
  "See `espalier.core/parent`."
  [node opts]
  (let [session (live-entity node nodes)
        s       (:server node)]
    (when-let [id (and (not= 0 (:id node)) (:parent (query-node s node opts)))]
      (entities/known-node s session :group id))))

(defn children
  "See `espalier.core/children`."
  [group opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        session (live-entity group #{:group})
        server  (:server group)]
    (moment/refuse-inside! "children")
    (mapv (fn [{:keys [id kind def]}] (cond-> (entities/known-node server session kind id) def (assoc :def def)))
          (:children (tree-query/read-tree session (:id group) {:controls? false, :timeout-ms (or timeout-ms (:timeout-ms session))})))))

(defn active?
  "See `espalier.core/active?`."
  [node]
  (let [session (entities/check-login node nodes)]
    (= :playing (:status (get (:nodes (mirror/known (:mirror session))) (:id node))))))

;; ---- waiting

(defn- await-news
  "Waits for a message about a node, or for what a look at it shows; `what` has not
  happened when it is in vain."
  [node address what seen? timeout-ms]
  (moment/refuse-inside! address)
  (let [{:keys [dispatcher] :as session} (entities/check-login node nodes)
        id         (:id node)
        timeout-ms (long (or timeout-ms (:timeout-ms session)))
        end        (+ (clock/milliseconds) timeout-ms)
        heard?     (fn [waiter wait-ms]
                     (try (dispatch/await! dispatcher waiter wait-ms) true
                          (catch clojure.lang.ExceptionInfo e
                            (when-not (= :espalier.error/no-answer (error/code e)) (throw e)))))]
    ;; A message may be lost in a burst, so every half second the node is looked at.
    (loop []
      (let [waiter (dispatch/expect! dispatcher [address id] [address id])
            left   (- end (clock/milliseconds))]
        (case (try (cond
                     (seen? (session/look-at! session [id] (max 1000 left))) :done
                     (heard? waiter (max 1 (min 500 left)))                  :done
                     (< 0 left)                                              :again)
                   (finally (dispatch/forget! dispatcher waiter)))
          :done  node
          :again (recur)
          (throw (error/error :no-answer (str node " has not " what " within " timeout-ms " ms. :timeout-ms says how long to wait"
                                                (when (= "/n_go" address) "; (sc/log s {:level :warn}) has what the server refused") ".")
                              {:entity node, :timeout-ms timeout-ms})))))))

(defn await-started
  "See `espalier.core/await-started`."
  [node opts]
  (await-news node "/n_go" "started" #(contains? % (:id node)) (:timeout-ms (options/check-call opts #{:timeout-ms}))))

(defn await-ended
  "See `espalier.core/await-ended`."
  [node opts]
  (await-news node "/n_end" "ended"
              (fn [there]
                (not (or (contains? there (:id node))
                         (= :expected (:status (get (:nodes (mirror/known (:mirror (handle/live (:server node))))) (:id node)))))))
              (:timeout-ms (options/check-call opts #{:timeout-ms}))))

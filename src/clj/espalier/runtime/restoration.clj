(ns espalier.runtime.restoration
  "What a client has on a server, remembered and made again: on a fresh server after the old
  one was lost, or on any from a snapshot. What is remembered is thought of in
  `espalier.model.ledger` and `snapshot`; each function that `espalier.core` has under the same
  name is documented there.

  A client chooses the numbers of its nodes, buffers and buses. So on a server that gives
  it the same client id all gets the numbers that it had, and what the user holds stays
  valid. Otherwise numbers change, and the report says how."
  (:require
   [clojure.string :as str]
   [espalier.model.control :as control]
   [espalier.model.error :as error]
   [espalier.model.ledger :as model.ledger]
   [espalier.model.message :as message]
   [espalier.model.nesting :as nesting]
   [espalier.model.options :as options]
   [espalier.model.snapshot :as snapshot]
   [espalier.model.wiring :as wiring]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.buffer :as buffer]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.delivery :as delivery]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.ledger :as ledger]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.pretty :as pretty]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.tree-query :as tree-query]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel NodeIds)
   (java.io Writer)
   (java.util.concurrent ConcurrentHashMap ExecutionException)))

(set! *warn-on-reflection* true)

;; ---- what is returned: a map that prints as one line

(defrecord Report [] Object (toString [this] (pr-str this)))

(def ^:private words
  [[:nodes "node" "nodes"] [:synthdefs "SynthDef" "SynthDefs"] [:buffers "buffer" "buffers"] [:buses "value of a bus" "values of buses"]])

(defmethod print-method Report [{:keys [restored not-restored ids elapsed-ms] :as report} ^Writer w]
  (if (and restored elapsed-ms)
    (let [done (keep (fn [[k one many]] (let [n (long (get restored k 0))] (when (pos? n) (counted n one many)))) words)
          {:keys [kind id why]} (first not-restored)]
      (.write w (str "#<Report restored " (if (seq done) (str/join ", " done) "nothing") " in " elapsed-ms " ms"
                     (when (seq ids) (str ", with other " (str/join ", " (map (comp #(str/replace % "-" " ") name) (keys ids)))))
                     (when kind (str "; not " (name kind) " " (if (string? id) (pr-str id) id) ": " why (when (next not-restored) (str "; " (dec (count not-restored)) " more"))))
                     ">")))
    (print-method (into {} report) w)))

;; ---- what is known

(defn- known-of
  "What `espalier.model.snapshot/of` wants to know of a session."
  [s {:keys [engine client-id maximum-logins mirror ledger defined undefined] :as session}]
  {:engine         engine
   :client-id      client-id
   :maximum-logins maximum-logins
   :options        (handle/effective-options s)
   :state          (mirror/known mirror)
   :ledger         (ledger/known ledger)
   :synthdefs      @defined
   :freed          @undefined
   :blocks         (entities/blocks session)
   :roots          (:roots (declared/known session))})

(defn remember
  "All that a session of a handle knows of what it has on its server, for `restore-login!`. It
  asks the server nothing, so that this may be gone."
  [s session]
  {:snapshot  (snapshot/of (known-of s session))
   :legacy    (entities/legacy session)
   :synthdefs (into {} (mapcat :synthdefs) (vals (:roots (declared/known session))))
   :refillers (ledger/refillers (:ledger session))})

;; ---- a restoration: what is to be done, and a list of what could not be

(defn- lack!
  "Notes that something could not be restored; `why` is in words, or an exception."
  [{:keys [lacking]} kind id why]
  (swap! lacking conj {:kind kind, :id id, :why (if (instance? Throwable why) (ex-message why) why)})
  nil)

(defmacro ^:private trying
  "What the body returns; where it throws, nil, and that is noted as what lacks."
  [restoration kind id & body]
  `(try ~@body
        (catch clojure.lang.ExceptionInfo e#
          ;; Without a server nothing more can be done.
          (when (error/server-gone? e#) (throw e#))
          (lack! ~restoration ~kind ~id e#))))

(def ^:private at-once
  "So many buffers are made at the same time." 16)

(defn- for-all!
  "Calls `f` with each, some at a time, and returns what it returns."
  [f xs]
  (into []
        (mapcat (fn [some-xs]
                  (let [results (mapv (fn [x] (worker/completable (bound-fn* #(f x)))) some-xs)]
                    (mapv (fn [result] (try (deref result) (catch ExecutionException e (throw (ex-cause e))))) results))))
        (partition-all at-once xs)))

;; ---- numbers

(defn- claim-blocks!
  "Takes the numbers of buffers and buses; returns by space the new ones of those that
  change. Of what is left without any it is noted."
  [{:keys [session legacy snapshot] :as restoration}]
  (into {}
        (map (fn [[space rows]]
               [space (into {}
                            (mapcat (fn [[id n]]
                                      (if-let [to (entities/claim-block! session space id n (get (:blocks legacy) [space id]))]
                                        (when-not (= to id) (map (fn [i] [(+ (long id) (long i)) (+ (long to) (long i))]) (range n)))
                                        (run! #(lack! restoration (case space :buffer :buffer :bus) % "this client has no more numbers of that kind on this server")
                                              (snapshot/numbers [[id n]])))))
                            rows)]))
        (:blocks snapshot)))

(def ^:private ugens
  "The table, which is large, and wanted only where numbers change."
  (delay @(requiring-resolve 'espalier.model.ugen/ugens)))

(defn- number-controls
  "By SynthDef, which controls are numbers of buses or buffers."
  [{:keys [snapshot]}]
  (update-vals (:synthdefs snapshot) #(wiring/numbers % @ugens)))

(defn- with-mappings
  "A node with those of its controls that are mapped to buses which the server has."
  [{:keys [session] :as restoration} {:keys [id] :as node}]
  (let [lost (snapshot/mapped-beyond node (:limits session))]
    (run! (fn [[k x]] (lack! restoration :control [id k] (str "it was mapped to " (pr-str x) ", and this server has fewer buses"))) lost)
    (cond-> node (seq lost) (update :controls #(reduce dissoc % (keys lost))))))

(defn- reserve-nodes!
  "Reserves nodes, in their order; returns pairs of the node, with its new id and that of
  its group, and what gives the id back. Of those that have no place it is noted. `moved` has
  the new ids of groups that are there."
  [{:keys [s session legacy] :as restoration} nodes moved]
  (let [^NodeIds ids (:node-ids session)
        ^ConcurrentHashMap births (:node-births session)
        known (:nodes (mirror/known (:mirror session)))]
    (loop [[{:keys [id in kind def parallel key] :as node} & more] nodes, moved moved, reserved []]
      (cond
        (nil? node) reserved

        (and (= :synth kind) (nil? def))
        (do (lack! restoration :node id "of which SynthDef it was is not known here")
            (recur more moved reserved))

        (not (or (contains? moved in) (= :group (:kind (get known in)))))
        (do (lack! restoration :node id (str "group " in ", which it was in, is not there"))
            (recur more moved reserved))

        :else
        (let [same? (and (.owns ids (int id)) (not (.containsKey births id)) (not (contains? known id)))
              {:keys [entity give-back!]}
              (entities/reserve-node s session kind (if same? {:id id} {})
                                     (cond-> {}
                                       (= :synth kind) (assoc :def def)
                                       parallel        (assoc :parallel? true)
                                       (some? key)     (assoc :key key))
                                     false)
              to    (:id entity)]
          (when (and same? legacy) (entities/inherit-node! session legacy id))
          (recur more (assoc moved id to) (conj reserved [(cond-> (assoc node :was id, :id to, :in (get moved in in)) (:root node) (update :root #(get moved % %)))
                                                                      give-back!])))))))

;; ---- SynthDefs

(defn- restore-synthdefs!
  "Sends SynthDefs, those too that are to be freed again; returns how many the server has taken."
  [{:keys [s session snapshot opts] :as restoration}]
  (let [defs (merge (:freed snapshot) (:synthdefs snapshot))
        sent (try (when (seq defs) (synthdefs/add-synthdefs! s (vals defs) opts))
                  (catch clojure.lang.ExceptionInfo _
                    ;; One may be why none was taken.
                    (into [] (keep (fn [[n d]] (trying restoration :synthdef n (synthdefs/add-synthdefs! s d opts) n))) defs)))]
    (declared/change! session update :sent into (select-keys defs sent))
    (+ (count sent)
       (count (keep (fn [[_ path :as request]] (trying restoration :synthdef path (moment/request! s request opts) true)) (:loads snapshot))))))

;; ---- buffers

(defn- sample-count
  "How many samples a buffer has, as far as is known."
  ^long [{:keys [mirror]} id]
  (let [{:keys [frame-count channel-count]} (get-in (mirror/known mirror) [:buffers id])]
    (* (long (or frame-count 0)) (long (or channel-count 0)))))

(defn- make-base!
  "Makes a buffer by its first step."
  [{:keys [s session opts]} id [address _ frames channels :as step]]
  (mirror/tell! (:mirror session) [:buffer id (cond-> {:status :expected} (= "/b_alloc" address) (assoc :frame-count frames, :channel-count channels))])
  (moment/request! s step opts)
  (when-not (= "/b_alloc" address)
    (session/question! session ["/b_query" id] (or (:timeout-ms opts) (:timeout-ms session)))))

(declare play-steps!)

(defn- copy!
  "Does a step that copies from a buffer as that was then."
  [{:keys [s session opts] :as restoration} {:keys [copy of]}]
  (let [tmp (entities/add-block s :buffer nil nil)]
    (try
      (play-steps! restoration (:id tmp) (model.ledger/for-buffer of (:id tmp)))
      (moment/request! s (assoc copy (model.ledger/source-place copy) (:id tmp)) opts)
      (finally (if (contains? (:buffers (mirror/known (:mirror session))) (:id tmp))
                 (buffer/free! tmp {})
                 (entities/give-back! tmp session))))))

(defn- play-step! [{:keys [s session opts] :as restoration} id step]
  (cond
    (map? step)
    (copy! restoration step)

    (< (sample-count session id) (snapshot/step-end step))
    (throw (error/error :refused-command (str "What was sent for it ends at sample " (snapshot/step-end step) ", and its file has only " (sample-count session id) " now.") {:buffer id}))

    (= "/b_setn" (first step))
    (buffer/set-pieces! session (entities/known-block s session :buffer nil id) (nth step 2) (nth step 4) opts)

    (and (= "/b_zero" (first step)) (= :supernova (:engine session)) (< (sample-count session id) 64))
    (moment/request! s ["/b_fill" id 0 (sample-count session id) 0.0] opts)

    :else
    (moment/request! s step opts)))

(defn- play-steps!
  "Makes a buffer by steps."
  [restoration id [base & steps]]
  (make-base! restoration id base)
  (run! #(play-step! restoration id %) steps))

(defn- make-empty!
  "Makes a buffer of the size that it had: what reads it finds silence, and not the sound of another."
  [restoration id {:keys [frame-count channel-count]}]
  (when (and frame-count channel-count)
    (trying restoration :buffer id (make-base! restoration id ["/b_alloc" id frame-count channel-count]))))

(defn- restore-buffer!
  "Makes a buffer; returns whether it is as it was."
  [{:keys [s session refillers] :as restoration} id {:keys [was why] [base & steps] :steps :as facts}]
  (let [refill (get refillers was)]
    (when refill (ledger/refill-with! (:ledger session) id refill))
    (cond
      (and base (not (trying restoration :buffer id (make-base! restoration id base) true)))
      (do (make-empty! restoration id facts) false)

      refill
      (do (when-not base (make-empty! restoration id facts))
          (try (refill (entities/known-block s session :buffer nil id)) true
               (catch Exception e (lack! restoration :buffer id (str "the function that fills it has thrown: " (ex-message e))))))

      (nil? base)
      (do (make-empty! restoration id facts)
          (lack! restoration :buffer id why))

      :else
      (trying restoration :buffer id (run! #(play-step! restoration id %) steps) true))))

(defn- restore-buffers!
  "Makes buffers; returns how many are as they were."
  [{:keys [session snapshot] :as restoration}]
  (let [limit (:buffer-count (:limits session))
        fits? (fn [[id]] (or (< -1 (long id) (long limit))
                             (lack! restoration :buffer id (str "this server has only " limit " buffers"))))]
    (count (filter true? (for-all! (fn [[id facts]] (restore-buffer! restoration id facts)) (filterv fits? (:buffers snapshot)))))))

;; ---- buses

(defn- restore-buses!
  "Sets control buses to the values that they had; returns how many."
  [{:keys [s session snapshot] :as restoration}]
  (let [limit  (:control-bus-channel-count (:limits session))
        values (:bus-values snapshot)]
    (run! (fn [bus] (when (<= (long limit) (long bus)) (lack! restoration :bus bus (str "this server has only " limit " control buses")))) (keys values))
    (run! #(moment/request! s % {}) (snapshot/bus-requests values limit))
    (count (filter #(< (long %) (long limit)) (keys values)))))

;; ---- nodes

(defn- most-at-once
  "So many requests are carried out in one block: supernova does not survive more."
  [{:keys [tells-failures?]}]
  (if tells-failures? Integer/MAX_VALUE 1000))

(defn- send-nodes!
  "Sends what makes nodes, as one; notes what the server does not start, and returns the ids
  of the others."
  [{:keys [session opts] :as restoration} reserved]
  (let [{:keys [mirror]} session
        nodes   (mapv first reserved)
        timeout (or (:timeout-ms opts) (:timeout-ms session))
        failed  (into {}
                      (mapcat (fn [requests]
                                (try
                                  (map (fn [e] [(nth (:request (ex-data e)) 2 nil) (ex-message e)])
                                       (:failures (delivery/send-plan! session (delivery/checked session (mapv (fn [r] {:request r}) requests) {})
                                                                       {:wait? true, :timeout-ms timeout, :done! (fn [])})))
                                  (catch clojure.lang.ExceptionInfo e
                                    (map (fn [[_ a b]] [(if (string? a) b a) (ex-message e)]) requests)))))
                      (partition-all (most-at-once session) (snapshot/node-requests nodes)))
        ;; Of many at once some may have come untold.
        untold  (into #{} (filter #(mirror/due? mirror %)) (map :id nodes))]
    (when (seq untold)
      (tree-query/mend! session mirror))
    (into #{}
          (keep (fn [[{:keys [id was]} give-back!]]
                  (if (and (contains? untold id) (not (mirror/started? mirror id)))
                    (do (lack! restoration :node was (get failed id "the server has not started it; (sc/server-output s) may tell why"))
                        (give-back!))
                    id)))
          reserved)))

;; ---- what was declared

(defn- declare-root!
  "Has what was declared of a root be declared again."
  [{:keys [s session snapshot] was-made-of :synthdefs} there root]
  (let [{:keys [rows shared? prune once buses buffers], by-key :keys} (get-in snapshot [:declared root])
        nodes  (filterv (fn [{:keys [id], r :root}] (and (= root r) (contains? there id))) (:nodes snapshot))
        known  (:synthdefs (mirror/known (:mirror session)))
        block  (fn [kind] (fn [{:keys [id rate spec], n :count}] {:spec spec, :entity (entities/known-block s session kind rate id n)}))]
    (doseq [{:keys [id kind def controls]} nodes :when (= :synth kind)]
      (declared/remember-controls! session id (control/defaults (get known def)))
      (declared/remember-controls! session id controls))
    (declared/change! session assoc-in [:roots root]
                      {:rows rows, :shared? shared?, :prune prune, :once once, :pending []
                       :ids       (into #{} (map :id) nodes)
                       :keys      (into {} (filter (fn [[_ id]] (contains? there id))) by-key)
                       :synthdefs (into {} (keep (fn [{:keys [id was]}] (when-let [d (get was-made-of was)] [id d]))) nodes)
                       :buses     (update-vals buses (block :bus))
                       :buffers   (update-vals buffers (block :buffer))})))

(defn- restore-roots!
  "Has all that was declared be declared again, where nobody has declared it otherwise meanwhile, and
  mends what does not play so, where that is asked for."
  [{:keys [s session snapshot opts repair?] :as restoration} there]
  (let [{:keys [nodes]} (mirror/known (:mirror session))
        there? (fn [root] (or (= :group (:kind (get nodes root)))
                              (lack! restoration :declared root "the group of which it was declared is not there")))
        roots  (filterv there? (remove (:roots (declared/known session)) (keys (:declared snapshot))))]
    ;; All before any is mended: to one root, what is of another within it is nothing that is too much.
    (run! #(declare-root! restoration there %) roots)
    (when repair?
      (run! #(trying restoration :declared % (reconcile/repair! s (assoc opts :root %))) roots))))

;; ---- all together

(defn- own-groups
  "From the default group that the client had to the one that it has, where that is another."
  [{:keys [session snapshot]}]
  (let [was (session/default-group-id (:client-id snapshot)), now (session/default-group-id (:client-id session))]
    (if (= was now) {} {was now})))

(defn- changed
  "From old ids to new ones, where they differ."
  [reserved]
  (into {} (keep (fn [[{:keys [id was]}]] (when (not= id was) [was id]))) reserved))

(defn- restored!
  "Makes what a restoration has to do so, and returns the report."
  [{:keys [s session legacy by-hand? opts] :as restoration}]
  (let [began    (clock/milliseconds)
        _        (when legacy (entities/inherit! session legacy))
        blocks   (claim-blocks! restoration)
        numbers  (when (some (comp seq val) blocks) (number-controls restoration))
        moved    (fn [nodes] (snapshot/moved (:snapshot restoration)
                                             {:nodes nodes, :buffers (:buffer blocks), :control-buses (:control-bus blocks), :audio-buses (:audio-bus blocks)}
                                             numbers))
        ;; SynthDefs, buffers and buses are there before what uses them.
        early    (assoc restoration :snapshot (moved {}))
        synthdefs (restore-synthdefs! early)
        buffers  (restore-buffers! early)
        buses    (restore-buses! early)
        own      (own-groups restoration)
        reserved (reserve-nodes! early (mapv #(with-mappings early %) (snapshot/wanted-nodes (:snapshot early) by-hand?)) own)
        nodes    (into own (changed reserved))
        late     (assoc restoration :snapshot (assoc (moved nodes) :nodes (mapv first reserved)))
        there    (send-nodes! late reserved)]
    (when-let [names (seq (keys (:freed (:snapshot restoration))))]
      (trying restoration :synthdef (first names) (synthdefs/free-synthdefs! s names opts)))
    (restore-roots! late there)
    (pretty/teach! Report)
    (map->Report
      {:restored     {:synthdefs synthdefs, :buffers buffers, :buses buses, :nodes (count there)}
       :not-restored @(:lacking restoration)
       :ids          (into {} (filter (comp seq val)) {:nodes nodes, :buffers (:buffer blocks), :control-buses (:control-bus blocks), :audio-buses (:audio-bus blocks)})
       :elapsed-ms   (- (clock/milliseconds) began)})))

(defn restore-login!
  "Makes of what `remember` has returned what the login of a handle has, on a fresh server:
  SynthDefs, buffers, the values of buses, and the tree with what was declared of it.
  What was made by hand stays away, but for groups in which something was declared. Under
  the same client id all numbers stay, and the entities that the user holds are valid.

  `:by-hand`     whether nodes that were made by hand come again too (default false)
  `:timeout-ms`  how long each wait may take (default: the handle's)

  The report is as that of `espalier.core/restore!`. Where the server goes away meanwhile
  it throws `:espalier.error/server-offline`, and what was remembered can be restored on the
  next one."
  [s {:keys [snapshot legacy refillers synthdefs]} {:keys [by-hand] :as opts}]
  (let [session (handle/live s)]
    (declared/locked
      session
      (fn []
        (restored! {:s s, :session session, :opts (select-keys opts [:timeout-ms]), :lacking (atom []), :repair? true
                    :snapshot snapshot, :synthdefs synthdefs, :refillers refillers
                    :legacy (when (= (:client-id snapshot) (:client-id session)) legacy)
                    :by-hand? by-hand})))))

;; ---- snapshots

(defn- told-synths
  "By id, the synths as the server has them, with their controls."
  [session nodes timeout-ms]
  (when (seq nodes)
    (let [{:keys [mappings?] :as tree} (tree-query/read-tree session 0 {:controls? true, :timeout-ms timeout-ms})]
      (into {}
            (keep (fn [[{:keys [id controls] :as node}]] (when controls [id (assoc node :mappings? mappings?)])))
            (nesting/rows tree)))))

(defn- told-buses
  "The values of control buses as the server has them."
  [session buses timeout-ms]
  (into {}
        (mapcat (fn [[start n]]
                  (map-indexed (fn [i x] [(+ (long start) (long i)) (message/number x)])
                               (drop 3 (session/question! session ["/c_getn" start n] timeout-ms)))))
        (snapshot/runs buses 200)))

(defn snapshot
  "See `espalier.core/snapshot`."
  [s opts]
  (options/check-call opts #{:timeout-ms})
  (moment/refuse-inside! "snapshot")
  (let [{:keys [timeout-ms] :as session} (reconcile/live s opts)]
    (declared/locked
      session
      (fn []
        (reconcile/settle! session)
        (let [known (snapshot/of (known-of s session))]
          (snapshot/written
            (snapshot/told known
                           (told-synths session (:nodes known) timeout-ms)
                           (told-buses session (snapshot/control-buses known (:control-bus-channel-count (:limits session))) timeout-ms))))))))

(defn- clear!
  "Frees what this client has on the server."
  [{:keys [s session opts] :as restoration}]
  (let [{:keys [nodes blocks buffers bus-values]} (snapshot/of (known-of s session))
        own   (into #{} (map :id) nodes)
        tops  (remove #(contains? own (:in %)) nodes)
        taken (set (snapshot/numbers (:buffer blocks)))]
    (when (seq tops)
      (run! #(mirror/ending! (:mirror session) (:id %)) nodes)
      (doseq [some-tops (partition-all (most-at-once session) tops)]
        (moment/call-at s nil (fn [] (run! (fn [{:keys [id]}] (moment/request! s ["/n_free" id] {})) some-tops))))
      (reconcile/settle! session))
    (run! #(declared/forget-controls! session (:id %)) nodes)
    (declared/change! session assoc :roots {})
    (for-all! (fn [[id n]] (buffer/free! (entities/known-block s session :buffer nil id n) opts)) (:buffer blocks))
    (for-all! (fn [id] (moment/request! s ["/b_free" id] opts)) (remove taken (keys buffers)))
    (doseq [[space rate] {:control-bus :control, :audio-bus :audio}, [id n] (get blocks space)]
      (entities/freed! (entities/known-block s session :bus rate id n) session))
    (restore-buses! (assoc restoration :snapshot {:bus-values (update-vals bus-values (constantly 0.0))}))))

(defn restore!
  "See `espalier.core/restore!`."
  [s x opts]
  (options/check-call opts #{:timeout-ms})
  (moment/refuse-inside! "restore!")
  (let [session     (reconcile/live s opts)
        restoration {:s s, :session session, :opts opts, :lacking (atom []), :snapshot (snapshot/check x), :by-hand? true}]
    (declared/locked
      session
      (fn []
        (reconcile/settle! session)
        (clear! restoration)
        (restored! restoration)))))

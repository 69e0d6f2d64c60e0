(ns espalier.runtime.entities
  "The entities of a live server: their ids, taken and given back, and whether one
  may still be used."
  (:require
   [espalier.model.engine :as engine]
   [espalier.model.entity :as entity :refer [entity?]]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.ledger :as ledger]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.session :as session])
  (:import
   (espalier.kernel BlockIds NodeIds)
   (espalier.model.entity Entity)
   (java.util Set)
   (java.util.concurrent ConcurrentHashMap)
   (java.util.concurrent.atomic AtomicBoolean AtomicLong)))

(set! *warn-on-reflection* true)

;; ---- what was taken: by [space id], which entity has it

(def ^:private spaces
  {:buffer "buffers", :control-bus "control buses", :audio-bus "audio buses"})

(defn- space-of [{:keys [kind rate]}]
  (case kind
    (:buffer :buffer-group) :buffer
    (:bus :bus-group)       (if (= :audio rate) :audio-bus :control-bus)
    nil))

(defn- ids-of ^BlockIds [session space]
  (get (:ids session) (case space :buffer :buffers, :control-bus :control-buses, :audio-bus :audio-buses)))

;; ---- may it be used?

(defn- anew
  "The call that makes another entity of a kind."
  [kind]
  (str "(sc/add-" (name kind) "! s …)"))

(defn- foreign [e s]
  (error/error :foreign-entity
               (str e " is of another server, " (:server e) ", not of " s ". " (anew (:kind e)) " makes one of this server.")
               {:entity e}))

(defn- dead [e]
  (error/error :dead-entity
               (str e " was of a server that has ended, or of a login that has: what is online now knows nothing of it. " (anew (:kind e)) " makes it anew.")
               {:entity e}))

(defn- freed [e]
  (error/error :freed-entity
               (str e " is not there any more: it was freed, has ended, or the server was reset. " (anew (:kind e)) " makes another.")
               {:entity e}))

(defn- node-birth [session id]
  (.getOrDefault ^ConcurrentHashMap (:node-births session) id 0))

(defn- node-there?
  "Whether a node is there as far as is known. Of one that another client has made, or
  the server, nothing is known."
  [session ^Entity e]
  (let [id   (.-id e)
        mine ^NodeIds (:node-ids session)]
    (or (not (.owns mine (int id)))
        (session/default-group? id)
        (and (mirror/there? (:mirror session) id)
             (= (.-born e) (node-birth session id))))))

(defn- there? [session ^Entity e]
  (case (.-kind e)
    (:group :synth) (node-there? session e)
    (or (zero? (long (.-born e)))
        (= (.-born e) (.get ^ConcurrentHashMap (:taken session) [(space-of e) (.-id e)])))))

(defn of-login?
  "Whether an entity is of the login `session`, or of one that this has been restored from."
  [session ^Entity e]
  (or (= (.-era e) (:era session))
      (.contains ^Set (:eras session) (.-era e))))

(defn resolve-in
  "The id of an entity for the server of `s`, whose login is `session`.

  Throws `:espalier.error/foreign-entity`, `:espalier.error/dead-entity`,
  `:espalier.error/freed-entity`."
  [s session ^Entity e]
  (when-not (identical? s (.-server e)) (throw (foreign e s)))
  (when-not (of-login? session e) (throw (dead e)))
  (when-not (there? session e) (throw (freed e)))
  (.-id e))

(defn- below?
  "Whether node `a` lies below node `b`, as far as is known."
  [session a b]
  (let [nodes (:nodes (mirror/known (:mirror session)))]
    (loop [id (:parent (nodes a)), steps 100000]
      (cond
        (or (nil? id) (zero? steps)) false
        (= id b)                     true
        :else                        (recur (:parent (nodes id)) (dec steps))))))

(defonce ^:private eras (AtomicLong.))

(defn login
  "The session with what its entities need: a number of its own, and the limits that
  requests are checked against."
  [s opts session]
  (let [{:keys [buffer-count control-bus-channel-count audio-bus-channel-count maximum-node-count
                wire-buffer-count maximum-synthdef-count load-synthdefs restricted-path]} (options/effective opts)
        {:keys [owner?]} session
        known   #(mirror/known (:mirror session))
        session (assoc session
                       :era (.incrementAndGet ^AtomicLong eras)
                       ;; Those of earlier logins that this one was restored from: their entities are valid.
                       :eras (ConcurrentHashMap/newKeySet)
                       :taken (ConcurrentHashMap.)
                       :node-ids (:nodes (:ids session))
                       :births (AtomicLong.)
                       :declared (declared/memory)
                       ;; By name the SynthDefs that were sent from here, values.
                       :defined (atom {})
                       ;; And of those that were freed, what still plays.
                       :undefined (atom {})
                       :maximum-node-count maximum-node-count
                       ;; What this server was seen to have for SynthDefs, and the names of those that it may not have taken. Of
                       ;; another's, and where it has loaded some at boot, which may have given it more wires, the options do not tell.
                       :proven (atom {:ugens #{}, :wires (if owner? wire-buffer-count 0), :files? false, :doubtful #{}}))]
    (assoc session
           :limits {:engine                    (:engine session)
                    :version                   (:version session)
                    :buffer-count              buffer-count
                    :control-bus-channel-count control-bus-channel-count
                    :audio-bus-channel-count   audio-bus-channel-count
                    :wire-buffer-count         (when (and owner? (not load-synthdefs)) wire-buffer-count)
                    :maximum-synthdef-count    (when owner? maximum-synthdef-count)
                    :restricted-path           (when (engine/trait (:engine session) :keeps-to-path?) restricted-path)
                    :resolve                   (fn [e] (when (entity? e) (resolve-in s session e)))
                    :kind-of                   (fn [id] (let [{:keys [kind status]} (get (:nodes (known)) id)]
                                                          (when (not= :expected status) kind)))
                    :parent-of                 (fn [id] (mirror/parent (:mirror session) id))
                    :below?                    (fn [a b] (below? session a b))
                    :channels-of               (fn [id] (:channel-count (get (:buffers (known)) id)))
                    :samples-of                (fn [id]
                                                 (let [{:keys [frame-count channel-count]} (get (:buffers (known)) id)]
                                                   (when (and frame-count channel-count) (* (long frame-count) (long channel-count)))))})))

(defn- no-entity [e kinds]
  (error/error :no-entity
               (str "This function wants a " (apply str (interpose " or a " (map name (sort kinds)))) ", an entity such as "
                    (anew (first (sort kinds))) " returns, not " (error/shown e) ".")
               {:value e, :kinds kinds}))

(defn check-login
  "The session of an entity of whatever server, freed or not.

  Throws `:espalier.error/no-entity`, `:espalier.error/dead-entity`,
  `:espalier.error/server-offline`."
  [e kinds]
  (when-not (and (entity? e) (contains? kinds (:kind e)))
    (throw (no-entity e kinds)))
  (let [session (handle/live (:server e))]
    (when-not (of-login? session e) (throw (dead e)))
    session))

(defn live-entity
  "The session in which an entity may be used, after a look whether it may.

  Throws `:espalier.error/no-entity` for anything that is none or of another kind
  than `kinds`, a set, what `resolve-in` throws, and `:espalier.error/server-offline`."
  [e kinds]
  (let [session (check-login e kinds)]
    (resolve-in (:server e) session e)
    session))

;; ---- nodes

(defn- birth ^long [session]
  (.incrementAndGet ^AtomicLong (:births session)))

(defn- check-own-id [{:keys [ids client-id]} id]
  (when-not (and (int? id) (pos? (long id)) (<= (long id) Integer/MAX_VALUE))
    (throw (error/error :invalid-argument (str "An :id of a node is a whole number from 1 up, not " (pr-str id) ". Without :id, Espalier takes a free one.")
                        {:argument :id, :value id})))
  (when-not (.owns ^NodeIds (:nodes ids) (int id))
    (throw (error/error :foreign-id (str "Node id " id " is of another client's share: client " client-id " has the ids from "
                                         (bit-shift-left (long client-id) 26) " on. Without :id, Espalier takes a free one.")
                        {:id id}))))

(defn- in-the-way?
  "Whether an id that has its turn is taken: by a node to which it was given by hand, or one that an
  earlier client with our number has left."
  [{:keys [^ConcurrentHashMap node-births mirror]} id]
  (or (.containsKey node-births (long id))
      (mirror/there? mirror (long id))))

(defn next-permanent
  "An id for a node that nobody gives by hand; `permanent-again!` gives it back where no
  node has come of it.

  Throws `:espalier.error/no-free-ids`."
  [{:keys [ids] :as session}]
  (try (loop [id (.nextPermanent ^NodeIds (:nodes ids))]
         (if (in-the-way? session id) (recur (.nextPermanent ^NodeIds (:nodes ids))) id))
       (catch IllegalStateException e
         (throw (error/error :no-free-ids (str (ex-message e) "; (sc/free! …) gives back, and other nodes need none.") {:space :permanent-nodes} e)))))

(defn permanent-again!
  "Gives back an id of `next-permanent`."
  [session id]
  (.freePermanent ^NodeIds (:nodes (:ids session)) (int id)))

(defn never-sent?
  "Whether an error says that nothing has come of a request: it was not sent, or the
  server has refused it. Without an answer, or interrupted, nobody knows."
  [e]
  (when-let [code (error/code e)]
    (not (or (= :espalier.error/no-answer code) (error/server-gone? e)))))

(defn reserve-node
  "An entity for a node that is to be made, with an id of its own or `id`, and `:give-back!`,
  which undoes this. The mirror expects it.

  `more`       `:def`, `:parallel?` or `:key`
  `permanent`  whether its id shall not be handed out again in turn
  `sent?`      whether the request goes out now; otherwise the mirror is told when"
  [s session kind {:keys [id permanent]} more sent?]
  (let [^NodeIds ids (:nodes (:ids session))
        given    id
        _        (when given (check-own-id session given))
        ^ConcurrentHashMap births (:node-births session)
        _        (when (and given (.containsKey births given) (mirror/there? (:mirror session) given))
                   (throw (error/error :duplicate-node (str "Node " given " is there already: duplicate node ID. Without :id, Espalier takes one that is free.")
                                       {:node given, :words "duplicate node ID"})))
        id       (long (cond
                         given     given
                         permanent (next-permanent session)
                         :else     (loop [id (long (.next ids))]
                                     (if (in-the-way? session id) (recur (long (.next ids))) id))))
        born     (birth session)
        before   (.get births id)
        given-back (AtomicBoolean.)
        give-back! (fn []
                     (when (.compareAndSet given-back false true)
                       (if before (.put births id before) (.remove births id))
                       (mirror/forget! (:mirror session) [id])
                       (cond given nil, permanent (.freePermanent ids id) :else (.giveBack ids id))))]
    (.put births id born)
    (mirror/expect! (:mirror session) id (assoc more :kind kind) sent?)
    {:entity (entity/entity kind id s (:era session) born (dissoc more :key)), :give-back! give-back!}))

(defn add-node
  "`reserve-node` for a call that sends at once, or leaves its request to the moment
  that is open."
  [s kind opts more]
  (let [{:keys [give-back!] :as node} (reserve-node s (handle/live s) kind opts more (not (moment/inside? s)))]
    (moment/undo! s give-back!)
    node))

(defn known-node
  "An entity for a node that is there; what else is known of it comes from the mirror."
  [s session kind id]
  (let [{:keys [def parallel?]} (get (:nodes (mirror/known (:mirror session))) id)]
    (entity/entity kind id s (:era session) (node-birth session id) (cond-> nil def (assoc :def def) parallel? (assoc :parallel? true)))))

;; ---- buffers and buses

(defn- none-left [space n ^BlockIds ids maximum-logins]
  (error/error :no-free-ids
               (str "No " n " " (spaces space) " in a row are free of this client's " (- (.end ids) (.first ids))
                    (when (< 1 (long maximum-logins)) (str " (shared by " maximum-logins " clients)"))
                    ". (sc/free! …) gives back; (sc/boot! s {" ({:buffer ":buffer-count", :control-bus ":control-bus-channel-count", :audio-bus ":audio-bus-channel-count"} space)
                    " …}) boots a server with more.")
               {:space space, :count n, :available (.available ids)}))

(defn- let-go!
  "Ends the hold of an entity on what it has taken; returns whether it had one. Of two
  threads that try, one has."
  [{:keys [^ConcurrentHashMap taken]} space id n born]
  (when (.remove taken [space id] born)
    (dotimes [i (dec (long n))] (.remove taken [space (+ (long id) i 1)]))
    true))

(defn- take! [session space id n born]
  (dotimes [i n]
    (.put ^ConcurrentHashMap (:taken session) [space (+ (long id) i)] born)))

(defn give-back!
  "Gives back what was taken for a buffer or bus, or a group of them, that the server
  has never heard of."
  [{:keys [id born] :as e} session]
  (let [space (space-of e), n (:count e 1)]
    (when (let-go! session space id n born)
      (when (= :buffer space)
        (dotimes [i n] (mirror/tell! (:mirror session) [:buffer-gone (+ (long id) i)])))
      (.free (ids-of session space) id))))

(defn give-up-buffer!
  "Has a buffer freed, or a group of them, of which nobody knows whether the server has made it: its
  number comes again when the server says so."
  [{:keys [id born] :as e} {:keys [mirror link] :as session}]
  (let [n (:count e 1)]
    (when (let-go! session :buffer id n born)
      (session/free-buffers! session id n)
      (dotimes [i n]
        (mirror/tell! mirror [:buffer-gone (+ (long id) i)])
        (ledger/forget-buffer! (:ledger session) (+ (long id) i))
        (try (link/send! link ["/b_free" (+ (long id) i)])
             ;; Then it is gone with all the rest.
             (catch clojure.lang.ExceptionInfo _))))))

(defn add-block
  "An entity for `n` buffers or buses in a row, `kind` :buffer or :bus; a group where
  `n` is given. `more` is what the entity has beside its id."
  [s kind n more]
  (let [session (handle/live s)
        space   (space-of (assoc more :kind kind))
        ids     (ids-of session space)
        count   (or n 1)
        _       (when-not (and (int? count) (<= 1 (long count) Integer/MAX_VALUE))
                  (throw (error/error :invalid-argument (str "A :count is a whole number from 1 up, not " (pr-str n) ".") {:argument :count, :value n})))
        id      (.allocate ids (int count))
        _       (when (.isEmpty id) (throw (none-left space count ids (:maximum-logins session))))
        id      (long (.getAsInt id))
        born    (birth session)]
    (take! session space id count born)
    (when (= :buffer space)
      (dotimes [i count] (mirror/tell! (:mirror session) [:buffer (+ id i) {:status :expected}])))
    (let [e (entity/entity (if n (keyword (str (name kind) "-group")) kind)
                           id s (:era session) born (cond-> more n (assoc :count n)))]
      (moment/undo! s (with-meta (fn [] (give-back! e session)) {:entity e, :give-up! #(give-up-buffer! e session)}))
      e)))

(defn not-freed!
  "Takes `freed!` of a buffer, or a group of them, back."
  [{:keys [id born] :as e} session]
  (let [n (:count e 1)
        left (filterv #(.remove ^ConcurrentHashMap (:freeing session) (+ (long id) (long %))) (range n))]
    ;; Without any, the server has said meanwhile that it is freed.
    (when (seq left)
      (take! session (space-of e) id n born))))

(defn freed!
  "Notes that a buffer or bus, or a group of them, is freed: it may not be used any
  more. Buses come again at once, buffers when the server says that they are free."
  [{:keys [id server] :as e} session]
  (let [space (space-of e)
        n     (:count e 1)]
    (when-not (let-go! session space id n (:born e))
      (throw (freed e)))
    (if (= :buffer space)
      (do (session/free-buffers! session id n)
          (moment/undo! server #(not-freed! e session)))
      (do (moment/undo! server #(take! session space id n (:born e)))
          (moment/afterwards! server #(.free (ids-of session space) id))))))

(defn part-of-group
  "The error of freeing one buffer or bus of a group."
  [{:keys [kind] :as e}]
  (error/error :part-of-group
               (str e " belongs to a " (name kind) " group, which is freed as one: (sc/free! group), with what "
                    (anew (str (name kind) "-group")) " has returned.")
               {:entity e}))

(defn hardware-buses
  "The group of the audio buses that a device has, from `id` on."
  [s id n]
  (entity/entity :bus-group id s (:era (handle/live s)) 0 {:rate :audio, :count n}))

(defn known-block
  "An entity for one buffer or bus that is taken, `kind` :buffer or :bus, or for a group of `n`."
  ([s session kind rate id] (known-block s session kind rate id nil))
  ([s session kind rate id n]
   (let [space (space-of {:kind kind, :rate rate})]
     (entity/entity (if n (keyword (str (name kind) "-group")) kind)
                    id s (:era session) (.getOrDefault ^ConcurrentHashMap (:taken session) [space id] 0)
                    (cond-> nil rate (assoc :rate rate) n (assoc :count n))))))

(defn taken-buses
  "By rate, the numbers of the buses that are taken, sorted."
  [session]
  (reduce (fn [buses [space id]]
            (case space
              :control-bus (update buses :control conj id)
              :audio-bus   (update buses :audio conj id)
              buses))
          {:control (sorted-set), :audio (sorted-set)}
          (keys (:taken session))))

;; ---- a login that is restored from another

(defn blocks
  "What is taken of each space, :buffer, :control-bus and :audio-bus: by its first number, in
  order, `[first-number count]` each."
  [{:keys [^ConcurrentHashMap taken] :as session}]
  (into {}
        (map (fn [space]
               (let [ids (ids-of session space)]
                 [space (into []
                              (comp (filter (fn [[k]] (= space k)))
                                    (map second)
                                    (keep (fn [id] (let [n (.sizeOf ids (int id))] (when (pos? n) [id n])))))
                              (sort (keys taken)))])))
        (keys spaces)))

(defn claim-block!
  "Takes `n` numbers of a space, from `id` on where they are free and this client's, else
  others; returns the first, or nil where none are left. `born` is whose they were."
  [session space id n born]
  (let [ids (ids-of session space)
        id  (if (.claim ids (int id) (int n)) id (let [other (.allocate ids (int n))] (when (.isPresent other) (.getAsInt other))))]
    (when id
      (take! session space (long id) n (or born (birth session)))
      (long id))))

(defn legacy
  "What a login leaves to one that is restored from it, so that its entities stay valid."
  [{:keys [era ^Set eras ^AtomicLong births ^ConcurrentHashMap node-births ^ConcurrentHashMap taken]}]
  {:eras (conj (set eras) era), :birth-count (.get births), :nodes (into {} node-births), :blocks (into {} taken)})

(defn inherit!
  "Has the entities of a `legacy` be valid in this login, as soon as what they are of is there."
  [{:keys [^Set eras ^AtomicLong births]} {earlier :eras, :keys [birth-count]}]
  (.updateAndGet births (reify java.util.function.LongUnaryOperator (applyAsLong [_ n] (max n (long birth-count)))))
  (.addAll eras earlier))

(defn inherit-node!
  "Has the entities of a `legacy` that are of a node be valid for the one with its id."
  [{:keys [^ConcurrentHashMap node-births]} {:keys [nodes]} id]
  (when-let [born (get nodes id)]
    (.put node-births id born)))

(ns espalier.runtime.reconcile
  "Declared trees on a server: what is wanted is compared with what is expected there,
  and the difference sent. The thinking is in `espalier.model.form`, `diff` and `plan`; each
  function that `espalier.core` has under the same name is documented there."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.control :as control]
   [espalier.model.diff :as diff]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.nesting :as nesting]
   [espalier.model.options :as options]
   [espalier.model.plan :as plan]
   [espalier.model.state :as state]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.buffer :as buffer]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.delivery :as delivery]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.pretty :as pretty]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.tree-query :as tree-query]
   [espalier.runtime.wish :as wish]
   [espalier.runtime.worker :as worker])
  (:import
   (java.io Writer)))

(set! *warn-on-reflection* true)

;; ---- what is returned: maps that print as one line

(defrecord Report [] Object (toString [this] (pr-str this)))
(defrecord Plan [] Object (toString [this] (pr-str this)))

(defn- shown
  "A report or plan, which `make` makes of a map."
  [make x]
  (pretty/teach! Report Plan)
  (make x))

;; ---- what is expected

(defn- confirmed-rows
  "The rows of the group `root` as far as the mirror knows it: what is being freed left
  out."
  [{:keys [mirror] :as session} root made-of]
  (let [{:keys [nodes]} (mirror/known mirror)
        row (fn [{:keys [id kind def key parallel? status]}]
              (if (= :group kind)
                (cond-> {:kind :group, :id id}
                  (some? key) (assoc :key key), parallel? (assoc :parallel true), (= :paused status) (assoc :paused true))
                (let [of (get made-of id)]
                  (cond-> {:kind :synth, :id id, :def def, :controls (or (declared/controls-of session id) {})}
                    (some? key) (assoc :key key), of (assoc :synthdef of), (= :paused status) (assoc :paused true)))))]
    (loop [todo (list [(get nodes root {:id root, :kind :group}) -1]), rows (transient [])]
      (if-let [[{:keys [kind tail] :as node} parent] (peek todo)]
        (let [place (count rows)]
          (recur (if (= :group kind)
                   ;; From the tail, so that the first child lies on top.
                   (loop [todo (pop todo), {:keys [id previous] :as child} (get nodes tail)]
                     (if child
                       (recur (if (mirror/ending? mirror id) todo (conj todo [child place])) (get nodes previous))
                       todo))
                   (pop todo))
                 (conj! rows [(row node) parent])))
        (persistent! rows)))))

(defn- with-pending
  "Rows with what is still to come."
  [rows pending]
  (if (seq pending)
    (nesting/rows (reduce (fn [tree {:keys [edits]}] (diff/apply-edits tree edits {:lenient true})) (nesting/tree rows) pending))
    rows))

(defn- without
  "The rows but those that `out?` tells of a node, and what is below them."
  [rows out?]
  (let [places (int-array (count rows) -1)]
    (loop [i 0, left (transient [])]
      (if (= i (count rows))
        (persistent! left)
        (let [[node parent] (nth rows i), parent (int parent)]
          (if (and (pos? i) (or (neg? (aget places parent)) (out? node)))
            (recur (inc i) left)
            (do (aset places i (count left))
                (recur (inc i) (conj! left [node (if (zero? i) -1 (aget places parent))])))))))))

(defn- own-rows
  "The rows without what was declared of roots further in: that is theirs, and may have
  the keys that are given here too. Nor are the clients' own groups part of what is declared
  of the server's root."
  [session root rows]
  (let [{:keys [roots]} (declared/known session)
        others (dissoc roots root)
        own    (get-in roots [root :ids] #{})
        inner  (when (seq others) (into [] (keep (fn [[{:keys [id]}]] (:ids (get others id)))) rows))]
    (cond
      (= 0 root)   (without rows (fn [{:keys [id]}] (and (not (own id))
                                                         (or (neg? (long id)) (session/default-group? id) (some #(contains? % id) inner)))))
      (seq inner)  (without rows (fn [{:keys [id]}] (and (not (own id)) (some #(contains? % id) inner))))
      :else        rows)))

(defn- expected-rows
  "The rows of the group `root` when all has been done that was sent so far."
  [session root {:keys [synthdefs pending]}]
  (with-pending (own-rows session root (confirmed-rows session root synthdefs)) pending))

(defn settle!
  "Waits for what is on its way, and has the mirror looked over where it may be wrong."
  [{:keys [mirror timeout-ms] :as session}]
  (declared/forget-pending! session (.minusMillis (clock/now (:clock session)) (+ 1000 (long timeout-ms))))
  (when (mirror/unsettled? mirror)
    (session/sync! session timeout-ms))
  ;; What is on its way even now will not come, or came untold.
  (cond
    (:doubt? (declared/known session))
    (if (tree-query/mend! session mirror)
      (declared/change! session dissoc :doubt?)
      (throw (error/error :no-answer (str "Of what was sent before there was no answer, and the tree of the server could not be read within "
                                          timeout-ms " ms. A longer :timeout-ms may do.")
                          {:timeout-ms timeout-ms})))

    (or (:suspect? (mirror/known mirror)) (mirror/unsettled? mirror))
    (tree-query/mend! session mirror)))

(defn told-rows
  "The rows of a root as the server tells it, with its controls. What it cannot tell is as
  it is expected: triggers, and, of a group too large for one reply, which controls are
  mapped."
  [session root {:keys [synthdefs]} timeout-ms]
  (let [{:keys [missing changed mappings?] :as tree} (tree-query/read-tree session root {:controls? true, :timeout-ms timeout-ms})
        mapped? (fn [[_ v]] (if (vector? v) (some string? v) (string? v)))
        ;; Which is 0 again after one block.
        trigger? (fn [[k _]] (and (string? k) (str/starts-with? k "t_")))
        told    (fn [{:keys [id kind controls] :as node}]
                  (if (= :group kind)
                    node
                    (let [expected (declared/controls-of session id)
                          of       (get synthdefs id)]
                      (cond-> (assoc node :controls (if controls
                                                      (into controls (filter #(or (trigger? %) (and (false? mappings?) (mapped? %)))) expected)
                                                      (or expected {})))
                        of (assoc :synthdef of)))))]
    (when (or (seq changed) (some (fn [[_ lacking]] (contains? lacking :children)) missing))
      (throw (error/error :no-answer (str "What is in group " root " could not be read within " timeout-ms " ms: "
                                          (if (seq changed) "it changes faster. A longer :timeout-ms may do." "the server does not tell it. (sc/server-output s) may say why."))
                          {:root root})))
    (own-rows session root (mapv (fn [[node parent]] [(told node) parent]) (nesting/rows tree)))))

;; ---- plans

(defn- keys-in [rows]
  (into #{} (keep (fn [[node]] (:key node))) rows))

(defn- still-wanted
  "The rows without those that are played once and have been."
  [rows once before]
  (if (empty? once)
    rows
    (let [there (keys-in before)
          over? (fn [[{:keys [key def] :as node}]]
                  (and (:once node) (= def (get once key)) (not (contains? there key))))]
      (if (some over? rows)
        ;; Synths have nothing below them, so the places of the others only close up.
        (let [places (vec (reductions + 0 (map (fn [row] (if (over? row) 0 1)) rows)))]
          (into [] (comp (remove over?)
                         (map (fn [[node parent]] [node (if (neg? (long parent)) -1 (nth places parent))])))
                rows))
        rows))))

(defn- gone-symbols
  "What maps to buses that were declared, in `old`, and are no more."
  [old wish]
  (into #{}
        (comp (remove (fn [[name {:keys [entity]}]] (identical? entity (:entity (get-in wish [:buses name])))))
              (mapcat (fn [[_ {:keys [entity]}]] (entity/bus-symbols entity))))
        (:buses old)))

(defn- unmapping
  "Edits that let go of buses which are freed: controls that are still mapped to one, and
  nobody declares, get their defaults."
  [{:keys [mirror]} before edits gone]
  (when (seq gone)
    (let [known   (:synthdefs (mirror/known mirror))
          handled (into #{} (comp (filter #(contains? #{:free :replace} (:edit %))) (map :node)) edits)
          set     (into {} (comp (filter #(= :set (:edit %))) (map (juxt :node :controls))) edits)
          mapped? (fn [v] (if (vector? v) (some gone v) (gone v)))]
      (for [[{:keys [key id def controls]}] before
            :let  [node   (if (some? key) key id)
                   let-go (into {}
                                (keep (fn [[k v]]
                                        (when (and (mapped? v) (not (contains? (set node) k)))
                                          [k (get-in known [def k :default] 0.0)])))
                                controls)]
            :when (and (seq let-go) (not (handled node)) (not (handled id)))]
        {:edit :set, :node node, :controls let-go}))))

(defn- edits-between
  "What makes of the rows `before` what is wanted: `:edits`, and the rows that are `:wanted`
  now. `memory` is what was declared before."
  [session before {:keys [rows shared? prune] :as wish} {:keys [ids once] :as memory}]
  (let [wanted (still-wanted rows once before)
        edits  (diff/diff before wanted {:declared (or ids #{}), :prune prune, :shared-root shared?})]
    {:wanted wanted
     :edits  (into edits (unmapping session before edits (gone-symbols memory wish)))}))

(defn- adopted
  "By id, the keys, or nil, of nodes that are declared by their id."
  [before wanted]
  (when (some (fn [[node]] (:id node)) (subvec wanted 1))
    (let [there  (into #{} (map (fn [[node]] (:id node))) before)
          by-key (keys-in before)]
      (into {} (keep (fn [[{:keys [id key]}]] (when (and id (there id) (not (contains? by-key key))) [id key])))
            (subvec wanted 1)))))

(defn- reserve-ids!
  "Takes ids for the nodes that edits make: `[id give-back!]` each."
  [s session edits]
  (let [taken (volatile! [])]
    (try
      (doseq [{:keys [kind def parallel node] :as e} edits :when (plan/makes-node? e)]
        (let [kind (or kind :synth)
              {:keys [entity give-back!]}
              (entities/reserve-node s session kind {}
                                     (cond-> {}
                                       (= :synth kind)  (assoc :def def)
                                       parallel         (assoc :parallel? true)
                                       (not (int? node)) (assoc :key node))
                                     false)]
          (vswap! taken conj [(:id entity) give-back!])))
      @taken
      (catch Throwable e
        (run! (fn [[_ give-back!]] (give-back!)) @taken)
        (throw e)))))

(defn- sizes
  "By the names that edits may have for them, how many nodes end with each."
  [rows]
  (let [counts (int-array (count rows) 1)]
    (loop [i (dec (count rows))]
      (when (pos? i)
        (let [parent (int (second (nth rows i)))]
          (aset counts parent (+ (aget counts parent) (aget counts i)))
          (recur (dec i)))))
    (into {} (mapcat (fn [i] (let [[{:keys [id key]}] (nth rows i), n (aget counts i)] [[id n] [key n]]))) (range (count rows)))))

(defn- check-room
  "Throws where there would be more nodes than the server holds."
  [{:keys [mirror maximum-node-count]} before edits]
  (when (some plan/makes-node? edits)
    (let [{:keys [groups synths]} (state/counts (mirror/known mirror))
          size-of (if (some #(= :free (:edit %)) edits) (sizes before) {})
          there   (+ (long groups) (long synths))
          peak    (plan/peak edits there #(get size-of % 1))]
      (when (< (long maximum-node-count) (inc peak))
        (throw (error/error :too-many-nodes
                            (str "The tree does not fit: there would be " peak " nodes, and the server holds " (dec (long maximum-node-count))
                                 ". Nothing was sent. (sc/boot! s {:maximum-node-count " (* 2 (long maximum-node-count)) "}) boots a server for more.")
                            {:nodes peak, :nodes-there there, :maximum-node-count maximum-node-count}))))))

(defn- ids-of
  "By the names that edits have for them, the ids of nodes that are there."
  [before edits]
  (let [names (into #{} (comp (mapcat (fn [{:keys [node to into]}] [node (second to) into])) (remove int?)) edits)]
    (if (empty? names)
      {}
      (into {} (keep (fn [[{:keys [id key]}]] (when (and (some? key) (contains? names key)) [key id]))) before))))

(defn- planned
  "Edits with ids and requests, all that is to be known before they are sent, and
  `:give-back!`, which undoes that ids were taken."
  [s {:keys [engine] :as session} before edits]
  (check-room session before edits)
  (let [there     (ids-of before edits)
        taken     (reserve-ids! s session edits)
        new-ids   (mapv first taken)
        {:keys [requests ids made]} (plan/plan edits there new-ids engine)]
    {:edits      edits
     :requests   requests
     :resolved   (plan/resolved edits there new-ids)
     :made       made
     :ids        ids
     :give-back! (fn [] (run! (fn [[_ give-back!]] (give-back!)) taken))}))

(defn- keys-after
  "The ids by key of what is declared, after edits."
  [old-keys before wanted {:keys [resolved ids]} adopted]
  (if (and (empty? adopted) (not-any? #(or (plan/makes-node? %) (= :free (:edit %))) resolved))
    old-keys
    (let [there (into {} (keep (fn [[{:keys [id key]}]] (when (some? key) [key id]))) before)]
      (into {}
            (keep (fn [[{:keys [key id]}]]
                    (when (some? key)
                      (when-some [id (or (get ids key) (get there key) (when (contains? adopted id) id))] [key id]))))
            wanted))))

;; ---- what is remembered

(defn- with-root
  "What is remembered, with what is declared of a root; of one with nothing, nothing."
  [known root {:keys [rows buses buffers pending] :as memory}]
  (if (and (nil? (next rows)) (empty? buses) (empty? buffers) (empty? pending))
    (update known :roots dissoc root)
    (assoc-in known [:roots root] memory)))

(defn- remember!
  "Notes what edits make of what is declared."
  [{:keys [mirror] :as session} root {:keys [rows shared? prune buses buffers]} before wanted {:keys [resolved] :as plan} at]
  (let [{:keys [ids once synthdefs pending], old-keys :keys} (get-in (declared/known session) [:roots root])
        adopted   (adopted before wanted)
        made      (into {} (comp (filter plan/makes-node?) (map (juxt :id identity))) resolved)
        same?     (and (empty? adopted) (every? #(contains? #{:set :move :run} (:edit %)) resolved))
        now       (if same?
                    (or ids #{})
                    (let [there (into #{} (map (fn [[node]] (:id node))) before)
                          gone  (into #{} (comp (filter #(contains? #{:free :replace} (:edit %))) (map :node)) resolved)]
                      (-> #{} (into (filter #(and (there %) (not (gone %)))) ids) (into (keys adopted)) (into (keys made)))))
        by-key    (keys-after old-keys before wanted plan adopted)]
    (when-not same?
      (run! (fn [id] (when-not (now id) (declared/forget-controls! session id))) ids))
    (doseq [{:keys [edit node id controls] :as e} resolved]
      (cond
        (and (plan/makes-node? e) (not= :group (:kind e)))
        (do (declared/remember-controls! session id (control/defaults (get (:synthdefs (mirror/known mirror)) (:def e))))
            (declared/remember-controls! session id controls))
        (= :set edit) (declared/remember-controls! session node controls)))
    (when-let [notes (seq (keep (fn [{:keys [edit node key]}] (when (= :name edit) [node {:key key}])) resolved))]
      (mirror/tell! mirror [:note notes]))
    (declared/change! session with-root root
                      {:rows      rows
                       :shared?   shared?
                       :prune     prune
                       :ids       now
                       :keys      by-key
                       :once      (into {}
                                        (comp (map (fn [[node]] node))
                                              (filter (fn [{:keys [key def] :as node}] (and (:once node) (or (= def (get once key)) (contains? by-key key)))))
                                              (map (juxt :key :def)))
                                        rows)
                       :synthdefs (if same?
                                    synthdefs
                                    (into (select-keys synthdefs (filter now (keys synthdefs)))
                                          (keep (fn [[id {:keys [synthdef]}]] (when synthdef [id synthdef])))
                                          made))
                       :buses     (wish/kept buses)
                       :buffers   (wish/kept buffers)
                       :pending   (cond-> (vec pending) (and at (seq resolved)) (conj {:edits resolved, :at at}))})))

(defn- done!
  "Forgets that edits are still to come."
  [session root edits]
  (declared/change! session
                    (fn [known]
                      (if-let [memory (get-in known [:roots root])]
                        (with-root known root (update memory :pending (fn [pending] (into [] (remove #(identical? edits (:edits %))) pending))))
                        known))))

;; ---- sending

(defn- send-needs!
  "Sends the SynthDefs that the server does not have so, and makes the buffers."
  [s {:keys [mirror] :as session} given buffers opts]
  (let [known (:synthdefs (mirror/known mirror))
        sent  (:sent (declared/known session))
        new   (into [] (comp (remove (fn [[n d]] (and (contains? known n) (= d (get sent n))))) (map val)) given)]
    (when (seq new)
      (synthdefs/add-synthdefs! s new (select-keys opts [:timeout-ms]))
      ;; What else was sent is as it was: only those of others are forgotten as they go out.
      (declared/change! session assoc :sent (into sent (map (juxt :name identity)) new)))
    (run! (fn [{:keys [new? make!]}] (when new? (make!))) (vals buffers))))

(defn- let-go!
  "Frees the buses and buffers that are not declared any more."
  [s session old new]
  (doseq [k [:buses :buffers], [name {:keys [entity]}] (get old k)
          :when (and (not (identical? entity (:entity (get-in new [k name])))) (wish/usable? s session entity))]
    (if (= :buses k)
      (entities/freed! entity session)
      (buffer/free! entity {}))))

(defn- bury!
  "Forgets what was declared of groups that are not there any more, and frees what it
  needed: nobody can declare it otherwise again."
  [s {:keys [mirror] :as session}]
  (let [nodes (:nodes (mirror/known mirror))]
    (doseq [[root {:keys [ids] :as memory}] (:roots (declared/known session))
            :when (not (or (contains? nodes root) (mirror/due? mirror root) (session/default-group? root)))]
      (run! #(declared/forget-controls! session %) ids)
      (declared/change! session update :roots dissoc root)
      (let-go! s session memory nil))))

(defn- unstarted
  "Of nodes that were asked for, those that have not come."
  [{:keys [mirror]} made]
  (filterv #(mirror/due? mirror %) made))

(def ^:private hopeless
  "What no second try mends."
  #{:espalier.error/too-many-nodes :espalier.error/out-of-memory :espalier.error/no-such-synthdef})

(defn- with-reason
  "A difference with why it may be."
  [known started {:keys [edit node running?] :as e}]
  (assoc e :why (cond
                  (= :add edit)  (if (contains? started node) "it was started and has ended" "it did not start")
                  (= :free edit) "it came meanwhile"
                  (and running? (int? node) (state/held? known node))
                  "it has never played, a group that it is in is paused, and it has no :key by which another could take its place"
                  :else          "it was changed meanwhile, by hand or by another client")))

(defn- incomplete [e report restored?]
  (error/error (keyword (name (error/code e)))
               (str (ex-message e)
                    (if restored?
                      " What was declared before is restored; the :report tells how far it came."
                      " The tree is not as it was declared; the :report tells what differs, (sc/repair! s) tries again."))
               (assoc (ex-data e) :report report)))

(def ^:private undone-at-once
  "So many requests of an undoing go in one bundle: a server without memory has none for
  a large one." 100)

(defn- restore!
  "Undoes edits for which the server has no room, whatever has become of them, so that
  what was declared before, `old`, is declared again."
  [s {:keys [mirror link] :as session} root old before resolved timeout-ms]
  (let [after (nesting/rows (diff/apply-edits (nesting/tree before) resolved {:lenient true}))
        edits (diff/diff after before)
        {:keys [requests made] :as plan} (planned s session after edits)]
    (remember! session root (or old {:rows [[{:kind :group} -1]], :shared? true, :prune true}) after before plan nil)
    (mirror/sent! mirror made 0)
    (doseq [some-requests (partition-all undone-at-once requests)]
      (link/send! link {:packets some-requests})
      (session/sync! session timeout-ms))
    (mirror/forget! mirror (filter #(mirror/due? mirror %) made))
    (tree-query/mend! session mirror)))

(defn- restored?
  "Whether what was declared before `failure` could be restored, by `restore!`."
  [^Throwable failure restore!]
  (try (restore!) true
       (catch Exception e
         (.addSuppressed failure e)
         false)))

(defn- passed-over
  "The error of a plan that is not answered by a server that answers what is small: without
  memory scsynth passes over what is large."
  [e]
  (error/error :out-of-memory
               (str "The server has not done all of it, though it answers: its memory must be full. (sc/boot! s {:memory-size 65536}) boots a server with more.")
               (assoc (ex-data e) :inferred true)
               e))

(defn- answers?
  "Whether the server still answers."
  [session]
  (try (session/sync! session 1000) true
       (catch clojure.lang.ExceptionInfo _ false)))

(defn- failure-of
  "The first error of a round, also where a server tells of none: a node that has not
  started."
  [failures unstarted resolved]
  (or (first failures)
      (when-let [id (first unstarted)]
        (let [{:keys [def] :as e} (some #(when (= id (:id %)) %) resolved)]
          (error/error :not-started (str "The server has not started " (if def (str "synth " id " of SynthDef " (pr-str def)) (str "group " id)) ". Its memory may be full, or it does not know the SynthDef; (sc/server-output s) may tell.")
                       {:node id, :edit e})))))

(def ^:private large-bytes
  "What is smaller any server has memory for: without an answer, it was lost." 8192)

(defn- send-ready!
  "Sends what was made ready, if anything was, and returns what `delivery/send-plan!` does."
  [session {:keys [items] :as ready} how]
  (if ready
    (try
      (delivery/send-plan! session ready how)
      (catch clojure.lang.ExceptionInfo e
        (if (and (= :espalier.error/no-answer (error/code e)) (answers? session))
          {:bundle-count 0, :byte-count 0, :unanswered? true
           :failures [(if (and (session/lossy? session) (< (command/packets-bytes (map :request items)) (long large-bytes)))
                        e
                        (passed-over e))]}
          (throw e))))
    {:bundle-count 0, :byte-count 0, :failures []}))

(defn- timing
  "When it is done, `:at`, nil for now, and whether to wait for it. What is declared later
  happens later."
  [session {:keys [pending]} {:keys [at confirm]} timeout-ms]
  (let [latest (fn [a b] (if (and a b) (if (neg? (compare a b)) b a) (or a b)))
        due    (reduce latest at (map :at pending))]
    {:at    due
     :wait? (or confirm (and (nil? at) (or (nil? due) (<= (delivery/milliseconds-until session due) (long timeout-ms)))))}))

(defn- resumed-ids
  "The ids of the nodes that edits resume."
  [resolved]
  (into #{} (keep (fn [{:keys [edit node running?]}] (when (and (= :run edit) running?) node))) resolved))

(defn- instead-of-resuming
  "The edits, with another synth in place of each that was resumed before, `resumed`, and is
  paused all the same. scsynth does not resume a synth that was paused before its first block
  until it has had that, which does not come while a group that it is in is paused. Such a
  synth has never played, so nothing is lost with it: its controls are as the server tells them.
  In a parallel group a synth without a key is known by when it was made, so there it stays."
  [{:keys [mirror engine] :as session} root memory before resumed edits timeout-ms]
  (let [known   (mirror/known mirror)
        waits?  (fn [[{:keys [id kind key]} parent]]
                  (and (= :synth kind)
                       (contains? resumed id)
                       (state/held? known id)
                       (or (some? key) (not (:parallel (first (nth before parent)))))))
        waiting (when (and (= :scsynth engine) (every? #(= :run (:edit %)) edits))
                  (into #{} (comp (filter waits?) (map (comp :id first))) before))]
    (if (empty? waiting)
      edits
      (let [synths (into {}
                         (keep (fn [[{:keys [id key] :as node}]]
                                 (when (waiting id) [(if (some? key) key id) (select-keys node [:def :controls :synthdef])])))
                         (told-rows session root memory timeout-ms))]
        (mapv (fn [{:keys [node running?] :as e}]
                (if-let [synth (when running? (get synths node))]
                  (assoc synth :edit :replace, :node node)
                  e))
              edits)))))

(defn- send-edits!
  "Plans and sends once what makes `before` what is wanted, and remembers it: the plan with
  `:edits`, and what became of it. What was never sent is forgotten again. `:resumed` are the
  ids of nodes for which it was no use to resume them."
  [s session {:keys [root] :as wish} before {:keys [at timeout-ms needs! done! resumed] :as how}]
  (let [memory (get-in (declared/known session) [:roots root])
        {:keys [edits wanted]} (edits-between session before wish memory)
        edits  (instead-of-resuming session root memory before resumed edits timeout-ms)
        {:keys [requests give-back!] :as plan} (planned s session before edits)
        ;; What was sent without an answer may have been lost.
        doubt! (fn [] (declared/doubt! session (keep (fn [{:keys [id node]}] (or id node)) (:resolved plan))))
        undo!  (fn []
                 (give-back!)
                 (declared/change! session (fn [known] (if memory (assoc-in known [:roots root] memory) (update known :roots dissoc root)))))
        ready  (try
                 (let [ready (when (or (seq requests) at)
                               (delivery/checked session (mapv (fn [r] {:request r}) requests) {:at at}))]
                   (needs!)
                   (remember! session root wish before wanted plan at)
                   ready)
                 (catch Throwable e
                   (undo!)
                   (throw e)))]
    (try
      (let [{:keys [unanswered?] :as sent} (send-ready! session ready (assoc how :done! #(done! plan)))]
        (when unanswered? (doubt!))
        (merge plan sent))
      (catch Throwable e
        (if (entities/never-sent? e) (undo!) (doubt!))
        (throw e)))))

(defn- added-up
  "A report of the rounds so far, and one more."
  [report before {:keys [edits requests bundle-count byte-count]} at]
  (cond-> {:before       (or (:before report) (nesting/tree before))
           :edits        (into (vec (:edits report)) edits)
           :requests     (into (vec (:requests report)) requests)
           :bundle-count (+ (long (:bundle-count report 0)) (long bundle-count))
           :byte-count   (+ (long (:byte-count report 0)) (long byte-count))}
    at (assoc :at at)))

(defn- setting? [{:keys [edit]}] (= :set edit))

(defn- with-set-controls
  "The rows with the controls that edits have set."
  [session rows edits]
  (let [new (into {} (map (fn [{id :node}] [id (declared/controls-of session id)])) edits)]
    (if (empty? new)
      rows
      (mapv (fn [[node parent :as row]]
              (if-some [controls (get new (:id node))] [(assoc node :controls controls) parent] row))
            rows))))

(defn- finished
  "A report with what there is in the end, the tree `after`; `left` are the edits that would still
  be needed."
  [{:keys [mirror] :as session} root report after {:keys [resolved]} wait? missing left]
  (let [memory  (get-in (declared/known session) [:roots root])
        started (into #{} (comp (filter plan/makes-node?) (remove #(some #{(:id %)} missing)) (map (fn [{:keys [key id]}] (or key id)))) resolved)]
    (shown map->Report
           (assoc report
             :root        root
             :after       after
             :ids         (:keys memory {})
             :confirmed?  (boolean (and wait? (empty? left)))
             :differences (mapv #(with-reason (mirror/known mirror) started %) left)))))

(def ^:private most-rounds
  "So often it is tried, where another interferes." 3)

(defn- carry-out!
  "Plans, sends and looks, again where another has interfered; returns the report."
  [s {:keys [mirror timeout-ms] :as session} {:keys [root given buffers] :as wish} opts first-before]
  (let [old        (get-in (declared/known session) [:roots root])
        expected   #(expected-rows session root (get-in (declared/known session) [:roots root]))
        look       #(let [rows (expected)]
                      (assoc (edits-between session rows wish (get-in (declared/known session) [:roots root])) :rows rows))
        {:keys [at wait?]} (timing session old opts timeout-ms)
        done!      (fn [{:keys [resolved]}]
                     (when at
                       (done! session root resolved)
                       (when-not wait? (worker/completable (fn [] (let-go! s session old wish))))))]
    (loop [round 1, report nil, before (or first-before (expected)), resumed nil]
      (let [nodes   (:nodes (mirror/known mirror))
            {:keys [failures resolved made unanswered?] :as sent}
            (send-edits! s session wish before
                         {:at at, :wait? wait?, :timeout-ms timeout-ms, :done! done!, :resumed resumed
                          :needs! #(when (= 1 round) (send-needs! s session given buffers opts))})
            ;; Of controls nothing is told. Of all else something is, or it has not been done.
            look?   (and wait? (or (not-every? setting? resolved) (not (identical? nodes (:nodes (mirror/known mirror)))) (seq failures)))
            glance  (when look? (look))
            doubt?  (and look? (or unanswered? (seq (:edits glance))))
            sure?   (or (not doubt?) (tree-query/mend! session mirror) (not unanswered?))
            seen    (if doubt? (look) glance)
            left    (:edits seen)
            missing (when (seq left) (unstarted session made))
            failure (when (or (seq left) (not sure?)) (failure-of failures missing resolved))
            report  (added-up report before sent at)
            after   #(if wait?
                       (nesting/tree (cond
                                       (and seen (empty? missing))                  (:rows seen)
                                       (and (nil? seen) (every? setting? resolved)) (with-set-controls session before resolved)
                                       :else                                        (expected)))
                       (diff/apply-edits (nesting/tree before) resolved {:lenient true}))
            finish  #(finished session root report (after) sent wait? missing left)
            again?  (and (seq left) sure? (< round (long most-rounds))
                         (if failure
                           (not (hopeless (error/code failure)))
                           ;; A synth that has never played, in a group that has been resumed, can be resumed now.
                           (every? #(= :run (:edit %)) left)))]
        (mirror/forget! mirror missing)
        (cond
          again?        (recur (inc round) report (expected) (when-not failure (resumed-ids resolved)))
          (nil? failure) (do (when wait? (let-go! s session old wish))
                             (finish))
          (hopeless (error/code failure))
          (let [report (finish)]
            (throw (incomplete failure report (restored? failure #(restore! s session root old before resolved timeout-ms)))))
          :else
          (let [report (finish)]
            (let-go! s session old wish)
            (throw (incomplete failure report false))))))))

;; ---- the calls

(defmethod print-method Report [{:keys [edits bundle-count byte-count confirmed? differences at] :as report} ^Writer w]
  (if (and edits bundle-count byte-count)
    (.write w (str "#<Report " (plan/summary edits)
                   (when (pos? (long bundle-count)) (str ", " (counted bundle-count "bundle") " of " byte-count " bytes"))
                   (cond
                     (seq differences) (str ", and " (counted (count differences) "difference") ", " (plan/text (first differences)) ": " (:why (first differences)))
                     confirmed?        ", confirmed"
                     at                (str ", at " at))
                   ">"))
    (print-method (into {} report) w)))

(def ^:private most-edits-shown 6)

(defmethod print-method Plan [{:keys [edits] :as plan} ^Writer w]
  (if edits
    (.write w (str "#<Plan " (if (seq edits) (str/join "; " (map plan/text (take most-edits-shown edits))) "nothing")
                   (when (< (long most-edits-shown) (count edits)) (str "; … " (- (count edits) (long most-edits-shown)) " more"))
                   ">"))
    (print-method (into {} plan) w)))

(defn live
  "The session for a call, whose every wait takes as long as the call's options say."
  [s {:keys [timeout-ms]}]
  (cond-> (handle/live s)
    timeout-ms (assoc :timeout-ms timeout-ms)))

(defn reconcile!
  "See `espalier.core/reconcile!`."
  [s x opts]
  (options/check-call opts #{:root :at :late :prune :confirm :timeout-ms})
  (delivery/check-late (:late opts))
  (moment/refuse-inside! "reconcile!")
  (let [session (live s opts)
        opts    (cond-> opts (:at opts) (update :at clock/instant (:clock session)))]
    (delivery/check-time session (:at opts) (:late opts))
    (declared/locked
      session
      (fn []
        (settle! session)
        (bury! s session)
        (let [{:keys [buses buffers] :as wish} (wish/wish s session x opts)]
          (try
            (carry-out! s session wish opts nil)
            (catch Throwable e
              (let [{kept-buses :buses, kept-buffers :buffers} (get-in (declared/known session) [:roots (:root wish)])
                    unkept (fn [kept rows] (keep (fn [[name row]] (when-not (identical? (:entity row) (:entity (get kept name))) row)) rows))]
                (wish/give-back! session (concat (unkept kept-buses buses) (unkept kept-buffers buffers)) e))
              (throw e))))))))

(defn plan
  "See `espalier.core/plan`."
  [s x opts]
  (options/check-call opts #{:root :prune :timeout-ms})
  (moment/refuse-inside! "plan")
  (let [session (live s opts)]
    (declared/locked
      session
      (fn []
        (settle! session)
        (let [{:keys [root buses buffers] :as wish} (wish/wish s session x opts)]
          (try
            (let [memory (get-in (declared/known session) [:roots root])
                  before (expected-rows session root memory)
                  tree   (nesting/tree before)
                  {:keys [edits wanted]} (edits-between session before wish memory)
                  {:keys [requests resolved give-back!] :as plan} (planned s session before edits)]
              (give-back!)
              (shown map->Plan
                     {:before   tree
                      :after    (diff/apply-edits tree resolved {:lenient true})
                      :edits    edits
                      :requests requests
                      :ids      (keys-after (:keys memory {}) before wanted plan (adopted before wanted))}))
            (finally (wish/give-back! session (concat (vals buses) (vals buffers))))))))))

(defn declared?
  "Whether anything is declared of the group with an id."
  [s root]
  (contains? (:roots (declared/known (handle/live s))) root))

(defn- roots
  "The ids of the groups whose content is declared: that of `:root`, or all."
  [s session {:keys [root]}]
  (let [known (:roots (declared/known session))]
    (if (nil? root)
      ;; A group that has ended takes with it what was declared of it.
      (sort (filter #(= :group (:kind (get (:nodes (mirror/known (:mirror session))) %))) (keys known)))
      (let [id (wish/root-id s session root)]
        (when-not (contains? known id)
          (throw (error/error :not-declared (str "Nothing is declared of group " (pr-str id) ". (sc/reconcile! s tree {:root …}) declares it.") {:root root})))
        [id]))))

(defn drift
  "See `espalier.core/drift`."
  [s opts]
  (options/check-call opts #{:root :timeout-ms})
  (moment/refuse-inside! "drift")
  (let [{:keys [timeout-ms] :as session} (live s opts)]
    (declared/locked
      session
      (fn []
        (into []
              (mapcat (fn [root]
                        (let [memory (get-in (declared/known session) [:roots root])
                              told   (with-pending (told-rows session root memory timeout-ms) (:pending memory))]
                          (:edits (edits-between session told (assoc memory :root root) memory)))))
              (roots s session opts))))))

(defn repair!
  "See `espalier.core/repair!`."
  [s opts]
  (options/check-call opts #{:root :timeout-ms})
  (moment/refuse-inside! "repair!")
  (let [{:keys [mirror timeout-ms] :as session} (live s opts)]
    (declared/locked
      session
      (fn []
        (settle! session)
        (tree-query/mend! session mirror)
        (mapv (fn [root]
                (let [{:keys [ids rows pending] :as memory} (get-in (declared/known session) [:roots root])
                      told (told-rows session root memory timeout-ms)]
                  (doseq [[{:keys [id controls]}] told :when (and controls (contains? ids id))]
                    (declared/remember-controls! session id controls))
                  (carry-out! s session (assoc memory :root root, :given (wish/given-synthdefs rows nil)) (select-keys opts [:timeout-ms])
                              (with-pending told pending))))
              (roots s session opts))))))

(defn node
  "See `espalier.core/node`."
  [s k]
  (let [{:keys [mirror client-id] :as session} (handle/live s)
        known (:roots (declared/known session))
        own   (session/default-group-id client-id)
        nodes (:nodes (mirror/known mirror))]
    (some (fn [root]
            (let [id (get-in known [root :keys k]), {:keys [kind]} (get nodes id)]
              (when (and kind (mirror/there? mirror id))
                (entities/known-node s session kind id))))
          (cons own (keys known)))))

(ns espalier.model.state
  "What the client knows of its server: a value, stepped by the messages of the
  server and by what the client itself does.

      {:nodes       {0    {:id 0 :kind :group :parent nil :previous nil :next nil :head 1000 :tail 1000 :status :playing}
                     1000 {:id 1000 :kind :synth :def \"bell\" :parent 0 :previous nil :next nil :status :playing}}
       :buffers     {5 {:status :allocated :frame-count 1024 :channel-count 1}}
       :synthdefs   {\"bell\" {\"freq\" {:index 0 :size 1 :default 440.0}}}
       :played      #{\"bell\"}
       :suspect?    false
       :group-count 1
       :synth-count 1}

  `:played` has the names of the SynthDefs of which the client has asked for a synth.

  A node that was declared with a key has that as its `:key`. A node is `:expected`,
  `:playing` or `:paused`. One that is not expected is confirmed: the server told of it. Its siblings are a linked list from the `:head`
  of its parent to the `:tail`, so that a notification touches its neighbours only,
  however many nodes there are. A confirmed node with no `:parent`, other than the
  root, is somewhere, but the messages do not fit where.

  A mirror of notifications is no truth, for servers lose some. Where a message
  contradicts the mirror, `:suspect?` becomes true and stays so until a whole tree,
  queried from the server, is stepped in.")

(set! *warn-on-reflection* true)

(defn initial
  "The state for a server that has just been booted: its root node, nothing else.

      (step (initial) [\"/n_go\" 1000 0 -1 -1 0])"
  []
  {:nodes       {0 {:id 0 :kind :group :parent nil :previous nil :next nil :head nil :tail nil :status :playing}}
   :buffers     {}
   :synthdefs   {}
   :played      #{}
   :suspect?    false
   :group-count 1
   :synth-count 0})

(defn- group? [node]
  (= :group (:kind node)))

(defn- confirmed? [node]
  (and (some? node) (not= :expected (:status node))))

(defn- node-of [state id]
  (get (:nodes state) id))

(defn- suspect [state]
  (assoc state :suspect? true))

;; --- Lists of siblings. These take and return the map of nodes.

(defn- change [nodes id k v]
  (assoc nodes id (assoc (get nodes id) k v)))

(defn- link
  "`node` as a child of `parent` between two neighbours, which are neighbours so far;
  nil: it becomes the first, the last."
  [nodes {:keys [id] :as node} parent previous next]
  (let [nodes (assoc nodes id (assoc node :parent parent :previous previous :next next))
        nodes (if previous (change nodes previous :next id) (change nodes parent :head id))]
    (if next (change nodes next :previous id) (change nodes parent :tail id))))

(defn- unlink
  "Closes the gap that `node` leaves. The node itself stays as it is."
  [nodes {:keys [parent previous next]}]
  (if parent
    (let [nodes (if previous (change nodes previous :next next) (change nodes parent :head next))]
      (if next (change nodes next :previous previous) (change nodes parent :tail previous)))
    nodes))

(defn- append [nodes node parent]
  (link nodes node parent (:tail (get nodes parent)) nil))

(defn- orphan [node]
  (assoc node :parent nil :previous nil :next nil))

(defn- follower
  "The child of `parent` behind `previous`, its first where that is nil; `:stranger`
  where `previous` is no child of it."
  [nodes parent previous]
  (if previous
    (let [node (get nodes previous)]
      (if (= parent (:parent node)) (:next node) :stranger))
    (:head (get nodes parent))))

(defn- link-near
  "`node` as a child of `parent` and next to that of its neighbours which is there."
  [nodes node parent previous next]
  (let [child? (fn [id] (and id (= parent (:parent (get nodes id)))))]
    (cond
      (child? previous) (link nodes node parent previous (:next (get nodes previous)))
      (child? next)     (link nodes node parent (:previous (get nodes next)) next)
      (nil? previous)   (link nodes node parent nil (:head (get nodes parent)))
      :else             (append nodes node parent))))

(def ^:private levels-looked-up
  "How far up it is looked whether a group would be moved into itself: where it ends,
  a notification stays cheap in a tree of any depth."
  100)

(defn- within?
  "Whether `id` is node `root` or below it, as far as can be seen from `id`."
  [nodes root id]
  (loop [id id, levels levels-looked-up]
    (cond
      (nil? id)      false
      (= root id)    true
      (zero? levels) false
      :else          (recur (:parent (get nodes id)) (dec levels)))))

;; --- Nodes come and go. From here on functions take and return the state.

(defn- count-node [state node n]
  (let [k (if (group? node) :group-count :synth-count)]
    (assoc state k (+ (long (get state k)) (long n)))))

(defn- drop-below
  "Removes every node below the group `node`, which is left with an empty list; even
  where the lists lead back to it, which is then nowhere."
  [state {:keys [id parent head] :as node}]
  (loop [todo (list head), nodes (transient (:nodes state)), groups 0, synths 0]
    (if-let [child-id (peek todo)]
      (let [child  (when (not= id child-id) (get nodes child-id))
            group? (group? child)]
        (recur (cond-> (pop todo)
                 (:next child) (conj (:next child))
                 (:head child) (conj (:head child)))
               (if child (dissoc! nodes child-id) nodes)
               (if group? (inc groups) groups)
               (if (or group? (nil? child)) synths (inc synths))))
      (assoc state
        :nodes       (persistent! (assoc! nodes id (cond-> (assoc node :head nil :tail nil)
                                                     (nil? (get nodes parent)) orphan)))
        :group-count (- (long (:group-count state)) groups)
        :synth-count (- (long (:synth-count state)) synths)))))

(defn- drop-node
  "Removes a node with all that is below it; the root stays."
  [state id]
  (let [{:keys [head] :as node} (node-of state id)]
    (cond
      (or (nil? node) (= 0 id)) state
      (not (confirmed? node))   (assoc state :nodes (dissoc (:nodes state) id))
      :else
      (let [{:keys [nodes] :as state} (if head (drop-below state node) state)]
        (count-node (assoc state :nodes (dissoc (unlink nodes (get nodes id)) id)) node -1)))))

;; --- Notifications: [address id parent previous next group? head tail]. -1 is none; in a parallel
;; --- group, whose children have no order, -2 stands for neighbours, head and tail.

(def ^:private unordered -2)

(defn- notification? [event]
  (let [n (count event)]
    (and (<= 6 n)
         (int? (nth event 1)) (int? (nth event 2)) (int? (nth event 3)) (int? (nth event 4))
         (let [group? (nth event 5)]
           (or (= 0 group?)
               (and (= 1 group?) (<= 8 n) (int? (nth event 6)) (int? (nth event 7))))))))

(defn- id-at [event i]
  (let [id (long (nth event i))]
    (when-not (= -1 id) id)))

(defn- told-kind [event]
  (if (= 1 (nth event 5)) :group :synth))

(defn- there?
  "Whether `node` is where `event` tells it to be. In a parallel group any place will do."
  [node event]
  (let [previous (id-at event 3)]
    (and (= (:parent node) (id-at event 2))
         (or (= unordered previous)
             (and (= (:previous node) previous)
                  (= (:next node) (id-at event 4)))))))

(defn- check-ends
  "Looks whether the list of group `id` begins and ends where `event` tells; of a
  synth there is nothing to look at."
  [state id event]
  (if (= 0 (nth event 5))
    state
    (let [{:keys [head tail parallel?]} (node-of state id)]
      (cond
        (= unordered (id-at event 6))
        (if parallel? state (assoc-in state [:nodes id :parallel?] true))

        (and (= head (id-at event 6)) (= tail (id-at event 7)))
        state

        :else
        (suspect state)))))

(defn- place
  "Puts `node`, which is in no list, where `event` tells. Where one node is in the
  way, that one was replaced if `born?`, for scsynth does not tell the end of such a
  node. Where it does not fit otherwise it is put as near as can be, and the state
  is suspect."
  [{:keys [nodes] :as state} node event born?]
  (let [parent   (id-at event 2)
        previous (id-at event 3)
        next     (id-at event 4)
        siblings (get nodes parent)]
    (cond
      (not (and (group? siblings) (confirmed? siblings)))
      (suspect (assoc state :nodes (assoc nodes (:id node) (orphan node))))

      (= unordered previous)
      (assoc state :nodes (append (if (:parallel? siblings) nodes (change nodes parent :parallel? true)) node parent))

      :else
      (let [follower (follower nodes parent previous)
            obstacle (get nodes follower)]
        (cond
          (= next follower)
          (assoc state :nodes (link nodes node parent previous next))

          (and born? obstacle (= next (:next obstacle)))
          (let [state (drop-node state follower)]
            (assoc state :nodes (link (:nodes state) node parent previous next)))

          :else
          (suspect (assoc state :nodes (link-near nodes node parent previous next))))))))

(defn- newcomer
  "A node that `event` tells of, with what was expected of it."
  [expected event]
  (let [id   (id-at event 1)
        kind (told-kind event)
        base (if (= kind (:kind expected)) expected {:id id :kind kind})]
    (cond-> (assoc base :status :playing)
      (= :group kind) (assoc :head nil :tail nil))))

(defn- add
  "Adds the node of `event`, which was not confirmed so far."
  [state event born?]
  (let [node (newcomer (node-of state (id-at event 1)) event)]
    (place (count-node state node 1) node event born?)))

(defn- relink
  "Puts a confirmed node where `event` tells, unless that is within itself or next to
  itself."
  [{:keys [nodes] :as state} {:keys [id parent] :as node} event]
  (let [to (id-at event 2)]
    (if (or (= id (id-at event 3))
            (= id (id-at event 4))
            (and (group? node) (not= to parent) (within? nodes id to)))
      (suspect state)
      (place (assoc state :nodes (unlink nodes node)) node event false))))

(defn- go
  "A node has begun. One that is confirmed may be a group that was made once more,
  which changes nothing. Otherwise the message came twice, its end was lost, or it was
  replaced by a node of its own id: nobody knows the SynthDef, and what is below it stays
  until a tree tells."
  [state event]
  (let [id   (id-at event 1)
        node (node-of state id)]
    (cond
      (not (confirmed? node))
      (add state event true)

      (or (= 0 id) (and (group? node) (= :group (told-kind event)) (there? node event)))
      state

      (= (:kind node) (told-kind event))
      (let [node (dissoc node :def)]
        (suspect (if (there? node event) (assoc-in state [:nodes id] node) (relink state node event))))

      :else
      (suspect (add (drop-node state id) event true)))))

(defn- seen
  "A node is where `event` tells. `moved?`: since now."
  [state event moved?]
  (let [id   (id-at event 1)
        node (node-of state id)]
    (cond
      (= 0 id)                               state
      (not (confirmed? node))                (suspect (add state event false))
      (not= (:kind node) (told-kind event)) (suspect (add (drop-node state id) event false))
      (there? node event)                    state
      moved?                                 (relink state node event)
      :else                                  (suspect (relink state node event)))))

(defn- set-status [{:keys [nodes] :as state} id status]
  (if (= status (:status (get nodes id)))
    state
    (assoc state :nodes (change nodes id :status status))))

(defn- was-there?
  "Whether `node` has ended where it was. supernova, freeing all children of a group,
  still names the one before, which has ended already."
  [state {:keys [parent previous next] :as node} event]
  (or (there? node event)
      (and (nil? previous)
           (= parent (id-at event 2))
           (= next (id-at event 4))
           (nil? (node-of state (id-at event 3))))))

(defn- ended
  "A node has ended. Where its place is told, it must have been there."
  [state event]
  (let [id   (id-at event 1)
        node (node-of state id)
        gone (drop-node state id)]
    (if (or (not (confirmed? node)) (nil? (id-at event 2)) (was-there? state node event))
      gone
      (suspect gone))))

(defn- notified [state event]
  (let [id (when (notification? event) (id-at event 1))]
    (if (nil? id)
      state
      (case (nth event 0)
        "/n_go"   (check-ends (go state event) id event)
        "/n_end"  (ended state event)
        "/n_move" (check-ends (seen state event true) id event)
        "/n_info" (check-ends (seen state event false) id event)
        "/n_on"   (check-ends (set-status (seen state event false) id :playing) id event)
        "/n_off"  (check-ends (set-status (seen state event false) id :paused) id event)))))

;; --- What the client does, and what it asked for

(defn- expect
  "The state with nodes expected, `[id attributes]` each."
  [state expected]
  (assoc state
    :played (into (:played state) (keep (fn [[_ attributes]] (:def attributes))) expected)
    :nodes
    (persistent!
      (reduce (fn [nodes [id attributes]]
                (let [id (long id)]
                  (if (confirmed? (get nodes id))
                    nodes
                    (assoc! nodes id (cond-> (assoc (orphan attributes) :id id :status :expected)
                                       (group? attributes) (assoc :head nil :tail nil))))))
              (transient (:nodes state))
              expected))))

(defn- note-nodes
  "More of what the client knows of nodes, `[id facts]` each; those that are not there
  are passed over."
  [state notes]
  (assoc state :nodes
    (reduce (fn [nodes [id facts]] (if-let [node (get nodes id)] (assoc nodes id (merge node facts)) nodes))
            (:nodes state)
            notes)))

(defn- forget [state ids]
  (assoc state :nodes
    (reduce (fn [nodes id] (if (= :expected (:status (get nodes id))) (dissoc nodes id) nodes))
            (:nodes state)
            ids)))

(defn- told-node
  "The node that a part of a tree tells of, at `place`, with what is known of it already."
  [known {:keys [id kind children] :as told} place]
  (let [base (if (= kind (:kind known)) known {:id id :kind kind})]
    (cond-> (merge base place)
      (not= :paused (:status base)) (assoc :status :playing)
      (= :synth kind)               (assoc :def (:def told))
      (= :group kind)               (assoc :head (:id (first children)) :tail (:id (last children))))))

(defn- told-children
  "The nodes of which the children of a part of a tree tell."
  [known {:keys [id children]}]
  (let [ids (mapv :id children)]
    (map-indexed (fn [i child]
                   (told-node (get known (:id child))
                              child
                              {:parent id, :previous (get ids (dec i)), :next (get ids (inc i))}))
                 children)))

(defn- told-below
  "All nodes below the top of a tree, parents before children."
  [known tree]
  (loop [todo (list tree), nodes []]
    (if-let [part (peek todo)]
      (recur (into (pop todo) (filter (comp seq :children)) (:children part))
             (into nodes (told-children known part)))
      nodes)))

(defn- take-in
  "Adds nodes that were not confirmed so far, links and all."
  [state nodes]
  (let [groups (count (filter group? nodes))]
    (assoc state
      :nodes       (into (:nodes state) (map (juxt :id identity)) nodes)
      :group-count (+ (long (:group-count state)) groups)
      :synth-count (+ (long (:synth-count state)) (- (count nodes) groups)))))

(defn- replant-root
  "The whole tree anew; only what is expected stays."
  [{:keys [nodes] :as state} tree]
  (take-in (assoc state
             :nodes       (into {} (remove (comp confirmed? val)) nodes)
             :group-count 0
             :synth-count 0
             :suspect?    false)
           (cons (told-node (get nodes 0) tree {}) (told-below nodes tree))))

(defn- drop-strays
  "Removes nodes that should not be there, as their place is elsewhere."
  [state ids]
  (if-let [strays (seq (filter (fn [id] (confirmed? (node-of state id))) ids))]
    (suspect (reduce drop-node state strays))
    state))

(defn- replant-below
  "What is below the top of `tree` anew. The top keeps its place; where it has none,
  or where a node of the tree was elsewhere, the state is suspect."
  [state {:keys [id] :as tree}]
  (let [known  (:nodes state)
        below  (told-below known tree)
        top    (get known id)
        state  (cond
                 (not (confirmed? top))            state
                 (not= (:kind top) (:kind tree)) (drop-node state id)
                 (group? top)                      (drop-below state top)
                 :else                             state)
        state  (drop-strays state (map :id below))
        placed (node-of state id)]
    (if (confirmed? placed)
      (cond-> (take-in (assoc-in state [:nodes id] (told-node placed tree {})) below)
        (nil? (:parent placed)) suspect)
      (suspect (take-in state (cons (told-node top tree (orphan {})) below))))))

(defn- replant [state {:keys [id] :as tree}]
  (if (= 0 id) (replant-root state tree) (replant-below state tree)))

;; --- Buffers

(def ^:private allocating
  "Commands behind which a buffer is there."
  #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read" "/b_readChannel"})

(defn- note-buffer [state id facts]
  (update-in state [:buffers id] merge facts))

(defn- done [{:keys [buffers] :as state} command id]
  (cond
    (not (contains? buffers id)) state
    (allocating command)         (note-buffer state id {:status :allocated})
    (= "/b_free" command)        (assoc state :buffers (dissoc buffers id))
    :else                        state))

(defn- informed
  "`/b_info` tells of buffers; one without frames is not there, and says nothing."
  [state facts]
  (reduce (fn [state [id frames channels rate]]
            (if (and (int? id) (int? frames) (int? channels) (number? rate) (pos? (long frames)))
              (note-buffer state (long id) {:status         :allocated
                                            :frame-count    (long frames)
                                            :channel-count  (long channels)
                                            :sample-rate-hz (double rate)})
              state))
          state
          (partition 4 facts)))

;; --- The face

(defn step
  "The state after `event`, a vector. Any other event than these, and any that is not
  as it should be, leaves the state as it is.

  Messages of the server, as they arrive:

      \"/n_go\" \"/n_end\" \"/n_move\" \"/n_on\" \"/n_off\" \"/n_info\"
      \"/done\" of /b_alloc, /b_allocRead, /b_allocReadChannel, /b_read, /b_readChannel and /b_free
      \"/b_info\"

  What the client does:

      [:expect id {:kind :synth :def \"bell\"}]  it asked for a node, which it knows nothing of yet
      [:expect-all [[id {…}] …]]               the same of many
      [:note [[id {:key :bass}] …]]            it knows more of nodes
      [:forget ids]                            what of these is still only expected will not come
      [:tree tree]                             `espalier.model.tree/parse` of a queried group
      [:gone ids]                              these do not exist, nor what was below them
      [:synthdefs {\"bell\" controls}]           defined; controls as of `espalier.model.synthdef/controls`, or nil
      [:synthdefs-gone names]
      [:buffer id {:frame-count 1024}]         more facts of a buffer
      [:buffer-gone id]

  A tree of the root replaces all but the nodes that are expected, and clears
  `:suspect?`. One of another group replaces what is below that group.

      (step state [\"/n_end\" 1000 0 -1 -1 0])"
  [state event]
  (case (nth event 0 nil)
    ("/n_go" "/n_end" "/n_move" "/n_on" "/n_off" "/n_info") (notified state event)
    "/done"  (done state (nth event 1 nil) (nth event 2 nil))
    "/b_info" (informed state (rest event))
    :expect  (expect state [(subvec event 1)])
    :expect-all (expect state (nth event 1))
    :note    (note-nodes state (nth event 1))
    :forget  (forget state (nth event 1))
    :tree    (replant state (nth event 1))
    :gone    (reduce drop-node state (nth event 1))
    :synthdefs (update state :synthdefs merge (nth event 1))
    :synthdefs-gone (update state :synthdefs (fn [known] (reduce dissoc known (nth event 1))))
    :buffer (note-buffer state (nth event 1) (nth event 2))
    :buffer-gone (update state :buffers dissoc (nth event 1))
    state))

(defn children
  "The ids of the children of group `id`, a vector in the order of the server; empty
  for a synth, or where there is no such node.

      (children state 0)  ;=> [1 1000]"
  [{:keys [nodes]} id]
  (into [] (take-while some?) (iterate (fn [id] (:next (get nodes id))) (:head (get nodes id)))))

(defn held?
  "Whether a group that node `id` is in is paused, so that nothing of it plays whether it is
  paused itself or not.

      (held? state 1000)  ;=> false"
  [{:keys [nodes]} id]
  (loop [id (:parent (get nodes id))]
    (let [{:keys [parent status]} (get nodes id)]
      (cond
        (nil? status)      false
        (= :paused status) true
        :else              (recur parent)))))

(defn below
  "The ids of the nodes below group `id`, each behind those that are below it; nodes in
  `more`, a map from group to ids, count as its children too.

      (below state 0)  ;=> (1000 1)"
  ([state id] (below state id {}))
  ([state id more]
   (loop [todo (list id), found ()]
     (if-let [id (peek todo)]
       (let [ids (concat (children state id) (get more id))]
         (recur (into (pop todo) ids) (into found ids)))
       found))))

(defn- branch
  "The tree of a confirmed node. A node has one parent, so a walk that does not end
  comes back to where it began: a group within itself ends there."
  [nodes top]
  (loop [id top, built nil, path ()]
    (cond
      (nil? built)
      (let [{:keys [head] :as node} (get nodes id)]
        (cond
          (not (group? node))             (recur id {:id id :kind :synth :def (:def node)} path)
          (or (nil? head) (= head top)) (recur id {:id id :kind :group :children []} path)
          :else                           (recur head nil (conj path [id []]))))

      (empty? path)
      built

      :else
      (let [[parent siblings] (peek path)
            siblings (conj siblings built)
            next     (:next (get nodes id))]
        (if (and next (not= next top))
          (recur next nil (conj (pop path) [parent siblings]))
          (recur parent {:id parent :kind :group :children siblings} (pop path)))))))

(defn tree
  "The confirmed nodes as nested data, all of them or those from node `id`, in the
  form of `espalier.model.tree/parse` without controls. A SynthDef that nobody told
  is nil. Returns nil where node `id` is not confirmed.

      (tree state)
      ;=> {:id 0 :kind :group :children [{:id 1 :kind :group :children []} {:id 1000 :kind :synth :def \"bell\"}]}"
  ([state] (tree state 0))
  ([{:keys [nodes]} id]
   (when (confirmed? (get nodes id))
     (branch nodes (:id (get nodes id))))))

(defn counts
  "How many groups, the root included, and synths are confirmed.

      (counts state)  ;=> {:groups 2, :synths 1}"
  [{:keys [group-count synth-count]}]
  {:groups group-count, :synths synth-count})

(ns espalier.model.rehearsal-node
  "The node tree of a rehearsal: how nodes come, move, pause and end, and what is told of
  it. Siblings are a linked list, so that each of this touches neighbours only.

  These functions take and return a world. They do what scsynth does also where that is
  strange: a group put into itself is nowhere, but keeps its id."
  (:require
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

(defn node
  "The node of an id; -1 is the one that was made last."
  [{:keys [nodes recent-id]} id]
  (get nodes (if (= -1 id) recent-id id)))

(defn group?
  "Whether a node is a group."
  [node]
  (= :group (:kind node)))

(defn change
  "The world with one key of a node changed."
  [w id k v]
  (assoc w :nodes (let [nodes (:nodes w)] (assoc nodes id (assoc (get nodes id) k v)))))

;; ---- what is told

(defn- told [{:keys [id kind parent previous next head tail]} address]
  (let [none (fn [x] (or x -1))]
    (if (= :group kind)
      [address id (none parent) (none previous) (none next) 1 (none head) (none tail)]
      [address id (none parent) (none previous) (none next) 0])))

(defn tell
  "The world that will tell all clients of a node: `address` is /n_go for example. What
  does not fit into one block is lost, and nodes with a negative id are told of only where
  they are asked for."
  [{:keys [notifications notification-limit] :as w} id address]
  (if (or (and (neg? (long id)) (not= "/n_info" address))
          (>= (count notifications) (long notification-limit)))
    w
    (assoc w :notifications (conj notifications (told (get (:nodes w) id) address)))))

;; ---- lists of siblings

(defn detach
  "The world with a node taken out of its group."
  [w id]
  (let [{:keys [parent previous next]} (get (:nodes w) id)
        w (cond previous (change w previous :next next)
                parent   (change w parent :head next)
                :else    w)
        w (cond next   (change w next :previous previous)
                parent (change w parent :tail previous)
                :else  w)
        nodes (:nodes w)]
    (assoc w :nodes (assoc nodes id (assoc (get nodes id) :parent nil :previous nil :next nil)))))

(defn- place [w id parent previous next]
  (let [nodes (:nodes w)]
    (assoc w :nodes (assoc nodes id (assoc (get nodes id) :parent parent :previous previous :next next)))))

(defn add-head
  "The world with a node as the first of a group."
  [w group id]
  (if (= 0 id)
    w
    (let [head (:head (get (:nodes w) group))
          w    (place w id (:parent (get (:nodes w) id)) nil head)
          w    (if head
                 (-> w (change head :previous id) (change group :head id))
                 (-> w (change group :head id) (change group :tail id)))]
      (change w id :parent group))))

(defn add-tail
  "The world with a node as the last of a group."
  [w group id]
  (if (= 0 id)
    w
    (let [tail (:tail (get (:nodes w) group))
          w    (place w id (:parent (get (:nodes w) id)) tail nil)
          w    (if tail
                 (-> w (change tail :next id) (change group :tail id))
                 (-> w (change group :head id) (change group :tail id)))]
      (change w id :parent group))))

(defn add-after
  "The world with a node behind another, if that is in a group."
  [w id other]
  (let [{:keys [parent]} (get (:nodes w) other)]
    (if (or (nil? parent) (= 0 id))
      w
      (let [next (:next (get (:nodes w) other))
            w    (place w id parent other next)
            w    (if next (change w next :previous id) (change w parent :tail id))]
        (change w other :next id)))))

(defn add-before
  "The world with a node before another, if that is in a group."
  [w id other]
  (let [{:keys [parent]} (get (:nodes w) other)]
    (if (or (nil? parent) (= 0 id))
      w
      (let [previous (:previous (get (:nodes w) other))
            w        (place w id parent previous other)
            w        (if previous (change w previous :next id) (change w parent :head id))]
        (change w other :previous id)))))

;; ---- what is below

(defn below
  "The nodes below a group, depth first, groups before what is in them.

  Throws what `crash` makes where the group is within itself."
  [{:keys [nodes]} id]
  (let [limit (count nodes)]
    (loop [todo (list (:head (get nodes id))), found (transient [])]
      (cond
        (> (count found) limit) (throw (message/crash "a group that is within itself"))
        (empty? todo)           (persistent! found)
        :else
        (let [child (get nodes (peek todo)), todo (pop todo)]
          (if (nil? child)
            (recur todo found)
            (recur (cond-> (conj todo (:next child)) (:head child) (conj (:head child)))
                   (conj! found child))))))))

(defn children
  "The nodes of a group, in their order."
  [{:keys [nodes]} id]
  (let [limit (count nodes)]
    (loop [at (:head (get nodes id)), found []]
      (cond
        (nil? at)               found
        (> (count found) limit) (throw (message/crash "a list of nodes without an end"))
        :else                   (let [child (get nodes at)] (recur (:next child) (conj found child)))))))

(defn above
  "The groups that a node is in, from the nearest up."
  [{:keys [nodes]} id]
  (let [limit (count nodes)]
    (loop [at (:parent (get nodes id)), found []]
      (if (or (nil? at) (> (count found) limit))
        found
        (recur (:parent (get nodes at)) (conj found (get nodes at)))))))

;; ---- births

(defn- new-id
  "The id that a node gets where `id` is wished: `[id world]`; a string says why it gets none."
  [{:keys [hidden-id] :as w} id]
  (cond
    (= -1 id)       (let [id (- (long hidden-id) 8)] [id (assoc w :hidden-id id)])
    (neg? (long id)) ["negative node IDs are reserved" w]
    :else            [id w]))

(defn create
  "The world with a new node of this id, `attributes` and all, in no group yet: `[world id]`.
  Where it cannot be made, the world has failed and the id is nil."
  [w id attributes]
  (let [[id w] (new-id w id)]
    (cond
      (string? id)            [(world/fail w id) nil]
      (get (:nodes w) id)     [(world/fail w "duplicate node ID") nil]
      (> (count (:nodes w)) (long (:max-nodes w))) [(world/fail w "too many nodes") nil]
      :else
      [(assoc w
              :nodes     (assoc (:nodes w) id (assoc attributes :id id, :parent nil, :previous nil, :next nil))
              :recent-id id)
       id])))

(defn create-group
  "As `create`, for a group."
  [w id]
  (let [[w id] (create w id {:kind :group, :head nil, :tail nil, :calc :run})]
    [(cond-> w id (update :group-count inc)) id]))

(defn hide
  "The world in which a node has lost its id, and has one that nobody knows: `[world id]`."
  [w id]
  (if (= 0 id)
    [w 0]
    (let [hidden (- (long (:hidden-id w)) 8)
          {:keys [parent previous next] :as node} (get (:nodes w) id)
          ids    (fn [x] (if (= id x) hidden x))
          nodes  (-> (:nodes w)
                     (dissoc id)
                     (assoc hidden (assoc node :id hidden, :parent (ids parent), :previous (ids previous), :next (ids next))))
          w      (assoc w :nodes nodes, :hidden-id hidden)
          w      (cond previous (if (= id previous) w (change w previous :next hidden))
                       parent   (change w (ids parent) :head hidden)
                       :else    w)
          w      (cond next   (if (= id next) w (change w next :previous hidden))
                       parent (change w (ids parent) :tail hidden)
                       :else  w)]
      [(reduce (fn [w child] (change w (:id child) :parent hidden))
               w
               (if (group? node) (children w hidden) []))
       hidden])))

;; ---- SynthDefs are kept as long as a synth needs them

(defn retain
  "The world in which one more needs the SynthDef of this number."
  [w uid]
  (update-in w [:references uid] (fnil inc 0)))

(defn release
  "The world in which one less needs it; where nobody does, its name is told as removed."
  [{:keys [references] :as w} uid synthdef-name]
  (if-let [n (get references uid)]
    (if (= 1 n)
      (world/broadcast (update w :references dissoc uid) ["/d_removed" synthdef-name])
      (assoc-in w [:references uid] (dec (long n))))
    w))

;; ---- deaths

(defn- forget
  "The world without a node; nothing is left that leads to it."
  [w {:keys [id kind synthdef calc] :as node}]
  (let [w (-> w
              (assoc :nodes (dissoc (:nodes w) id))
              (cond-> (:end node) (update :ends dissoc (:end node))
                      (contains? #{:null :null-first} calc) (update :paused-count dec)))]
    (if (= :group kind)
      (update w :group-count dec)
      (-> w
          (update :synth-count dec)
          (update :ugen-count - (:ugen-count synthdef))))))

(defn- end
  "The world in which this node, by now in the place that is told, has ended. What was below it
  has ended already."
  [w {:keys [id kind synthdef] :as node}]
  (let [w (cond-> w (= :synth kind) (release (:uid synthdef) (:base synthdef)))]
    (-> w (tell id "/n_end") (detach id) (forget node))))

(defn- postorder
  "The nodes below a group, each before the group that it is in."
  [w id]
  ;; Reversed, what is below comes before what it is below of; siblings keep their order by being taken from the end.
  (let [nodes (:nodes w), limit (count nodes)]
    (loop [todo (list (:tail (get nodes id))), found ()]
      (cond
        (> (count found) limit) (throw (message/crash "a group that is within itself"))
        (empty? todo)           found
        :else
        (let [child (get nodes (peek todo)), todo (pop todo)]
          (if (nil? child)
            (recur todo found)
            (recur (cond-> (conj todo (:previous child)) (:tail child) (conj (:tail child)))
                   (conj found child))))))))

(defn free-all
  "The world in which all below a group has ended."
  [w id]
  (let [gone (postorder w id)
        w    (reduce (fn [w {:keys [id kind synthdef] :as node}]
                       (let [nowhere (cond-> (assoc node :parent nil :previous nil :next nil)
                                       (= :group kind) (assoc :head nil :tail nil))
                             w       (assoc w :nodes (assoc (:nodes w) id nowhere))]
                         (-> w
                             (cond-> (= :synth kind) (release (:uid synthdef) (:base synthdef)))
                             (tell id "/n_end")
                             (forget nowhere))))
                     w gone)
        nodes (:nodes w)]
    (assoc w :nodes (assoc nodes id (assoc (get nodes id) :head nil :tail nil)))))

(defn free
  "The world without a node and all that is below it; the root stays."
  [w id]
  (if (= 0 id)
    w
    (let [w (if (group? (get (:nodes w) id)) (free-all w id) w)]
      (end w (get (:nodes w) id)))))

(defn free-synths
  "The world in which all synths below a group have ended; groups stay."
  [w id]
  (reduce (fn [w {:keys [id]}] (-> w (detach id) (free id)))
          w
          (remove group? (below w id))))

(defn replace-node
  "The world with a new node where another is, which ends."
  [w id other]
  (let [{:keys [parent previous next]} (get (:nodes w) other)]
    (if (or (nil? parent) (= 0 id))
      w
      (let [w (place w id parent previous next)
            w (if previous (change w previous :next id) (change w parent :head id))
            w (if next (change w next :previous id) (change w parent :tail id))]
        (-> w (place other nil nil nil) (free other))))))

;; ---- running

(defn- calculated-there?
  "Whether what is in the groups of a node is calculated: they are in the tree, and none of them
  is paused."
  [w id]
  (let [groups (above w id)]
    (and (= 0 (:id (peek groups)))
         (not-any? #(= :null (:calc %)) groups))))

(defn running?
  "Whether a node is calculated: neither it nor a group that it is in is paused, and it is
  in the tree."
  [w id]
  (and (not (contains? #{:null :null-first} (:calc (get (:nodes w) id))))
       (calculated-there? w id)))

(defn unblock
  "The world in which nodes that were made where nothing is calculated are looked at again."
  [{:keys [blocked] :as w}]
  (if (seq blocked)
    (-> w (update :fresh into blocked) (assoc :blocked []))
    w))

(defn set-run
  "The world with a node paused or going on. One that was made and paused within a block
  goes on only when it has been calculated once: until then nothing starts it."
  [w id run?]
  (let [{:keys [calc]} (get (:nodes w) id)]
    (cond
      (and run? (= :null calc))
      (-> w (change id :calc :run) (update :paused-count dec) (tell id "/n_on") unblock (world/touch id))

      run? w

      (= :first calc)
      (-> w (change id :calc :null-first) (update :paused-count inc) (tell id "/n_off") (world/touch id))

      (= :null-first calc)
      (-> w (change id :calc :null) (tell id "/n_off"))

      (not= :null calc)
      (-> w (change id :calc :null) (update :paused-count inc) (tell id "/n_off") (world/touch id))

      :else w)))

(defn calculate-first
  "The world in which the synths that are new have been calculated once, where anything is."
  [{:keys [fresh] :as w}]
  (reduce (fn [w id]
            (let [{:keys [calc]} (get (:nodes w) id)]
              (cond
                (not (contains? #{:first :null-first} calc)) w
                (calculated-there? w id)
                (change w id :calc (if (= :first calc) :run :null))
                :else (update w :blocked conj id))))
          (assoc w :fresh [])
          fresh))

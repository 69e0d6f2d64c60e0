(ns espalier.model.rehearsal-command
  "What the commands for nodes do to a rehearsal's world, at once, in the audio thread: functions of the world, a reader of the arguments and the client."
  (:require
   [espalier.model.rehearsal-envelope :as envelope]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-node :as node]
   [espalier.model.rehearsal-synth :as synth]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

;; ---- nodes as arguments

(defn- along
  "The node that a path leads to from another: h head, t tail, u up, p previous, n next."
  [{:keys [nodes]} n path]
  (reduce (fn [n step]
            (if (nil? n)
              (reduced nil)
              (case step
                \h (when (node/group? n) (get nodes (:head n)))
                \t (when (node/group? n) (get nodes (:tail n)))
                \u (or (get nodes (:parent n)) (throw (message/crash "a path beyond the root")))
                \p (get nodes (:previous n))
                \n (get nodes (:next n))
                n)))
          n path))

(defn- node!
  "The node that the next arguments name, `[node id]`: nil where there is none."
  [w r]
  (if (= \s (message/tag r \i))
    (let [path (message/text! r), id (message/int! r)]
      [(along w (node/node w id) path) id])
    (let [id (message/int! r)]
      [(node/node w id) id])))

(defn- no-node [w id] (world/fail w (str "Node " id " not found")))
(defn- no-target [w id] (world/fail w (str "target Node " id " not found")))
(defn- no-group [w id] (world/fail w (str "Group " id " not found")))

(defn- while-arguments
  "Calls `f` with the world as long as there are arguments and nothing has failed."
  [w r f]
  (loop [w w]
    (if (and (message/more? r) (nil? (:error w)))
      (recur (f w))
      w)))

(defn- each-node
  "Calls `f` with the world and each node that is named, until one is not there."
  [w r f]
  (while-arguments w r (fn [w] (let [[n id] (node! w r)] (if n (f w n) (no-node w id))))))

(defn- each-group [w r f]
  (while-arguments w r (fn [w] (let [[n id] (node! w r)] (if (node/group? n) (f w n) (no-group w id))))))

(defn- on-node
  "Calls `f` with the world and the node that is named first, if there is one."
  [w r f]
  (let [[n id] (node! w r)] (if n (f w n) (no-node w id))))

;; ---- births

(defn- add
  "The world with a new node where an add action and its target say: `make` makes it."
  [w r action {:keys [make no-near replacing]}]
  (let [[target id] (node! w r)
        near        (fn [put]
                      (if (nil? target)
                        [(no-near w id) nil]
                        (let [[w new] (make w (:id target))] [(cond-> w new (put new (:id target))) new])))
        in          (fn [put]
                      (if (node/group? target)
                        (let [[w new] (make w (:id target))] [(cond-> w new (put (:id target) new)) new])
                        [(no-group w id) nil]))]
    (case (long action)
      0 (in (fn [w group new] (node/add-head w group new)))
      1 (in (fn [w group new] (node/add-tail w group new)))
      2 (near node/add-before)
      3 (near node/add-after)
      4 (if (nil? target) [(no-near w id) nil] (replacing w target))
      [(world/fail w "failed") nil])))

(defn- born [[w id]]
  (if id
    (-> w (node/tell id "/n_go") (world/touch id))
    w))

(defn- create-synth
  "The world with a new synth in no group yet, and its id."
  [w id synthdef settings]
  (let [[w new] (node/create w id (synth/configure w (synth/fresh synthdef) settings))]
    (if new
      [(-> w
           (update :synth-count inc)
           (update :ugen-count + (:ugen-count synthdef))
           (update :fresh conj new)
           (node/retain (:uid synthdef)))
       new]
      [w nil])))

(defn- new-synth [w r settings! hide?]
  (if-let [def-name (message/text! r)]
    (let [id       (message/int! r)
          action   (message/int! r)
          synthdef (get-in w [:synthdefs def-name])
          make     (fn [w _] (create-synth w id synthdef (settings! r)))]
      (if (nil? synthdef)
        (-> w
            (world/say (str "*** ERROR: SynthDef " def-name " not found"))
            (world/fail "SynthDef not found"))
        (born (if (<= 0 action 4)
                (add w r action
                     {:make      make
                      :no-near   no-node
                      :replacing (fn [w target]
                                   (let [[w old] (if hide? (node/hide w (:id target)) [w (:id target)])
                                         [w new] (make w old)]
                                     [(cond-> w new (node/replace-node new old)) new]))})
                [(world/fail w "failed") nil]))))
    (world/fail w "wrong argument type")))

(defn- existing-group
  "As the server takes a group that is made once more: where it is in the same group, it is
  told as if it were new."
  [w id parent]
  (let [n (node/node w id)]
    (if (and (node/group? n) (:parent n) (= parent (:parent n)))
      [(dissoc w :error) (:id n)]
      [w nil])))

(defn- new-group [w r]
  (let [id     (message/int! r)
        action (message/int! r)
        make   (fn [near?]
                 (fn [w target]
                   (let [[w new] (node/create-group w id)]
                     (if (= "duplicate node ID" (:error w))
                       (let [[w old] (existing-group w id (if near? (:parent (node/node w target)) target))]
                         [w (when old [:old old])])
                       [w (when new [:new new])]))))
        put    (fn [[w new] f] (if (vector? new) [(if (= :new (nth new 0)) (f w (nth new 1)) w) (nth new 1)] [w nil]))
        [target missing] (when (<= 0 action 4) (node! w r))
        in     (fn [f] (if (node/group? target)
                         (put ((make false) w (:id target)) (fn [w new] (f w (:id target) new)))
                         [(no-group w missing) nil]))
        near   (fn [f] (if target
                         (put ((make true) w (:id target)) (fn [w new] (f w new (:id target))))
                         [(no-target w missing) nil]))]
    (born (case action
            0 (in node/add-head)
            1 (in node/add-tail)
            2 (near node/add-before)
            3 (near node/add-after)
            4 (cond
                (nil? target)       [(no-target w missing) nil]
                (= 0 (:id target)) [(world/fail w "can't replace group 0") nil]
                :else               (let [[w old] (node/hide w (:id target))
                                          [w new] (node/create-group w id)]
                                      [(cond-> w new (node/replace-node new old)) new]))
            [(world/fail w "failed") nil]))))

;; ---- moves

(defn- settled-in
  "The world in which a node that has come elsewhere counts as what it is there: only where
  something is paused can that be another thing."
  [w id]
  (cond-> (node/unblock w)
    (pos? (long (:paused-count w))) (world/touch id)))

(defn- move
  "The world with a node taken out and put in by `put`, and told if `tell?`."
  ([w id put] (move w id put true))
  ([w id put tell?]
   (let [w (put (node/detach w id))]
     (settled-in (if tell? (node/tell w id "/n_move") w) id))))

(defn- move-beside
  "`/n_before` and `/n_after`: pairs of nodes, of which those that are not there are passed
  over. A pair is carried out when the next names another node, the last one at the end."
  [w r put self?]
  (let [one (fn [w [id target]] (move w id (fn [w] (put w id target))))]
    (loop [w w, pending nil]
      (if (message/more? r)
        (let [[n]      (node! w r)
              [target] (node! w r)]
          (if (and n target)
            (recur (if (and pending (not= (nth pending 0) (:id n))) (one w pending) w)
                   [(:id n) (:id target)])
            (recur w pending)))
        (if (and pending (or self? (not= (nth pending 0) (nth pending 1))))
          (one w pending)
          w)))))

(defn- first-listed
  "The first node named that is there, with the world, and the id looked for last:
  `[world node id]`."
  [w r]
  (loop [w w, last-id nil]
    (if (message/more? r)
      (let [[n id] (node! w r)]
        (if n
          [w n id]
          (recur (world/say w "Warning Node not found") id)))
      [w nil last-id])))

(defn- follow-on
  "The world with the nodes that are named, in this order, behind the one of `id`."
  [w r id]
  (loop [w w, last-id id]
    (if (message/more? r)
      (let [[n] (node! w r)]
        (if n
          (recur (move w (:id n) (fn [w] (node/add-after w (:id n) last-id))) (:id n))
          (recur (world/say w "Warning Node not found") last-id)))
      w)))

(defn- order [w r]
  (let [action      (message/int! r)
        [target id] (when (<= 0 action 3) (node! w r))
        start       (fn [put tell?]
                      (let [[w n looked] (first-listed w r)]
                        (if n
                          (follow-on (move w (:id n) (fn [w] (put w (:id n))) (tell? n)) r (:id n))
                          (no-node w (or looked id)))))
        group       (:id target)
        elsewhere?  (fn [n] (not= group (:parent n)))]
    (cond
      (not (<= 0 action 3))                          (world/fail w "failed")
      (and (<= action 1) (not (node/group? target))) (no-group w id)
      (nil? target)                                  (no-target w id)
      :else
      (case action
        0 (start (fn [w n] (node/add-head w group n)) elsewhere?)
        1 (start (fn [w n] (node/add-tail w group n)) elsewhere?)
        2 (start (fn [w n] (node/add-before w n group)) (constantly true))
        3 (start (fn [w n] (node/add-after w n group)) (constantly true))))))

(defn- into-group [w r put]
  (each-group w r (fn [w group] (on-node w r (fn [w n] (move w (:id n) (fn [w] (put w (:id group) (:id n)))))))))

;; ---- settings

(defn- set-controls [w r settings!]
  (on-node w r (fn [w n]
                 (let [[w ids] (synth/apply-settings w (:id n) (settings! r))]
                   (reduce world/touch w ids)))))

;; ---- what is asked

(defn answer
  "The world that will send this reply; one that is too long for a server fails."
  [{:keys [reply-limit] :as w} client message]
  (if (> (alength (message/encode message)) (long reply-limit))
    (world/fail w "buffer overflow")
    (world/reply w client message)))

(defn- controls-told [{:keys [synthdef controls maps]}]
  (let [names (:names synthdef)]
    (into [(count controls)]
          (mapcat (fn [i] [(get names i i) (or (get maps i) (nth controls i))]))
          (range (count controls)))))

(defn- tree-told
  "The arguments of a tree's reply from a group on."
  [w group controls?]
  (into [(:id group) (count (node/children w (:id group)))]
        (mapcat (fn [{:keys [id synthdef] :as n}]
                  (if (node/group? n)
                    [id (count (node/children w id))]
                    (into [id -1 (:name synthdef)] (when controls? (controls-told n))))))
        (node/below w (:id group))))

(defn- query-tree [w r client]
  (each-group w r (fn [w group]
                    (let [controls? (not= 0 (message/int! r))]
                      (answer w client (into ["/g_queryTree.reply" (if controls? 1 0)] (tree-told w group controls?)))))))

(defn- dumped
  "The lines of a tree, as `/g_dumpTree` prints them."
  [w group controls?]
  (letfn [(number [x] (let [d (double x)] (if (== d (Math/rint d)) (str (long d)) (str d))))
          (text [{:keys [synthdef maps controls]}]
            (apply str (map-indexed (fn [i x] (str " " (when-let [c (get-in synthdef [:names i])] (str c ": "))
                                                   (or (get maps i) (number x))))
                                    controls)))
          (lines [{:keys [id] :as group} depth]
            (mapcat (fn [{:keys [id synthdef] :as n}]
                      (let [pad (apply str (repeat depth "   "))]
                        (if (node/group? n)
                          (cons (str pad id " group") (lines n (inc depth)))
                          (cond-> [(str pad id " " (:name synthdef))]
                            (and controls? (seq (:controls n))) (conj (str " " pad (text n)))))))
                    (node/children w id)))]
    (cons (str "NODE TREE Group " (:id group)) (lines group 1))))

(defn- dump-tree [w r]
  (each-group w r (fn [w group]
                    (let [controls? (not= 0 (message/int! r))]
                      (reduce world/say w (dumped w group controls?))))))

(defn- traced-ugen
  "The lines of a UGen: of its inputs those are told that need no sound to be known."
  [synth i {:keys [class inputs]}]
  [(str "  unit " i " " class)
   (apply str "    in " (map #(str " " (or (envelope/input-value synth %) "?")) inputs))
   "    out"])

(defn- trace [w n]
  (reduce world/say w
          (if (node/group? n)
            (cons (str "TRACE Group " (:id n))
                  (map (fn [{:keys [id synthdef]}] (str "   " id " " (:name synthdef "group"))) (node/children w (:id n))))
            (let [calculated (into [] (filter (comp #{:audio :control} :rate)) (:ugens (:synthdef n)))]
              (into ["" (str "TRACE " (:id n) "  " (:name (:synthdef n)) "    #units: " (count calculated))]
                    (mapcat identity (map-indexed (partial traced-ugen n) calculated)))))))

(defn- on-synth [w r f]
  (let [[n id] (node! w r)]
    (if (= :synth (:kind n)) (f w n) (no-node w id))))

(defn- get-controls [w r client]
  (on-synth w r (fn [w n]
                  (let [heads (if-let [n (message/tag-count r)] (dec (long n)) (quot (message/remaining r) 4))]
                    (loop [reply ["/n_set" (:id n)]]
                      (if (< (message/remaining r) 4)
                        (answer w client (with-meta reply {:tag-count (+ 2 (* 2 (long heads)))}))
                        (recur (if (= \s (message/tag r \i))
                                 (let [control (message/text! r)] (conj reply control (synth/value n control 0)))
                                 (let [i (message/int! r)] (conj reply i (synth/value n nil i)))))))))))

(defn- get-ranges [w r client]
  (on-synth w r (fn [w n]
                  (loop [reply ["/n_setn" (:id n)]]
                    (if-not (message/more? r)
                      (answer w client reply)
                      (let [control (when (= \s (message/tag r \i)) (message/text! r))
                            index   (if control 0 (message/int! r))
                            many    (message/int! r)]
                        (when (< 20000 many) (throw (message/crash (str "a count of " many))))
                        (recur (into (conj reply (or control index) many)
                                     (map (fn [i] (synth/value n control (+ index (long i)))))
                                     (range many)))))))))

(defn- hide-synths [w r]
  (while-arguments w r (fn [w] (let [[n] (node! w r)] (if (= :synth (:kind n)) (nth (node/hide w (:id n)) 0) w)))))

(defn- unit-command [w r]
  (let [id (message/int! r)
        n  (node/node w id)]
    (cond
      (not= :synth (:kind n))                                              (no-node w id)
      (not (< -1 (message/int! r) (long (:ugen-count (:synthdef n))))) (world/fail w "index out of range")
      :else                                                                (world/fail w "failed"))))

(def commands
  "By name: functions of the world, a reader and the client."
  {"n_free"     (fn [w r _] (each-node w r (fn [w n] (node/free w (:id n)))))
   "n_run"      (fn [w r _] (each-node w r (fn [w n] (node/set-run w (:id n) (not= 0 (message/int! r))))))
   "n_set"      (fn [w r _] (set-controls w r #(synth/settings! % false)))
   "n_setn"     (fn [w r _] (set-controls w r synth/ranges!))
   "n_fill"     (fn [w r _] (set-controls w r synth/fills!))
   "n_map"      (fn [w r _] (set-controls w r #(synth/maps! % :map false)))
   "n_mapn"     (fn [w r _] (set-controls w r #(synth/maps! % :map true)))
   "n_mapa"     (fn [w r _] (set-controls w r #(synth/maps! % :map-audio false)))
   "n_mapan"    (fn [w r _] (set-controls w r #(synth/maps! % :map-audio true)))
   "n_before"   (fn [w r _] (move-beside w r node/add-before false))
   "n_after"    (fn [w r _] (move-beside w r node/add-after true))
   "n_order"    (fn [w r _] (order w r))
   "n_query"    (fn [w r _] (each-node w r (fn [w n] (node/tell w (:id n) "/n_info"))))
   "n_trace"    (fn [w r _] (each-node w r trace))
   "s_new"      (fn [w r _] (new-synth w r #(synth/settings! % true) true))
   "s_newargs"  (fn [w r _] (new-synth w r synth/ranges! false))
   "s_get"      get-controls
   "s_getn"     get-ranges
   "s_noid"     (fn [w r _] (hide-synths w r))
   "g_new"      (fn [w r _] (while-arguments w r (fn [w] (new-group w r))))
   "p_new"      (fn [w r _] (while-arguments w r (fn [w] (new-group w r))))
   "g_head"     (fn [w r _] (into-group w r node/add-head))
   "g_tail"     (fn [w r _] (into-group w r node/add-tail))
   "g_freeAll"  (fn [w r _] (each-group w r (fn [w n] (node/free-all w (:id n)))))
   "g_deepFree" (fn [w r _] (each-group w r (fn [w n] (node/free-synths w (:id n)))))
   "g_queryTree" query-tree
   "g_dumpTree" (fn [w r _] (dump-tree w r))
   "u_cmd"      (fn [w r _] (unit-command w r))})

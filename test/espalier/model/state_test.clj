(ns espalier.model.state-test
  (:require
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check :as tc]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.state :as state]
   [espalier.model.tree :as tree]))

(set! *warn-on-reflection* true)

(defn- after
  "The state after events, from the beginning or from `s`."
  ([events] (after (state/initial) events))
  ([s events] (reduce state/step s events)))

(defn- synth [id def-name] {:id id :kind :synth :def def-name})

(defn- group [id & children] {:id id :kind :group :children (vec children)})

(defn- places
  "The place and the status of a node."
  [s id]
  (select-keys (get-in s [:nodes id]) [:parent :previous :next :head :tail :status]))

(defn- unsound
  "What is wrong with the lists and the counts of a state, nil where nothing is."
  [{:keys [nodes] :as s}]
  (let [confirmed (remove (comp #{:expected} :status) (vals nodes))
        lists     (for [{:keys [id kind]} confirmed :when (= :group kind)]
                    [id (vec (take (inc (count nodes)) (state/children s id)))])
        wrong     (concat
                    (for [[id {:keys [id parent status] :as node}] nodes
                          :when (or (not= id (:id node))
                                    (and (= :expected status) (some? parent)))]
                      node)
                    (for [[id ids] lists
                          :let [{:keys [head tail]} (get nodes id)
                                links (map (juxt :parent :previous :next) (map nodes ids))]
                          :when (not= [head tail links]
                                      [(first ids) (peek ids) (map (fn [_ before after] [id before after]) ids (cons nil ids) (concat (rest ids) [nil]))])]
                      [id ids links])
                    (let [listed (frequencies (mapcat second lists))]
                      (for [{:keys [id parent]} confirmed :when (not= (if parent 1 0) (listed id 0))]
                        [id parent])))]
    (cond
      (seq wrong) (vec wrong)

      (not= (state/counts s) {:groups (count (filter (comp #{:group} :kind) confirmed))
                              :synths (count (filter (comp #{:synth} :kind) confirmed))})
      [(state/counts s) nodes])))

;; --- Nodes

(deftest begins-with-the-root
  (is (= {0 {:id 0 :kind :group :parent nil :previous nil :next nil :head nil :tail nil :status :playing}}
         (:nodes (state/initial))))
  (is (= [{} {} false] ((juxt :buffers :synthdefs :suspect?) (state/initial))))
  (is (= {:groups 1 :synths 0} (state/counts (state/initial))))
  (is (= (group 0) (state/tree (state/initial)))))

(deftest follows-what-scsynth-tells
  (let [s (after [["/n_go" (int 1) (int 0) (int -1) (int -1) (int 1) (int -1) (int -1)]
                  [:expect 1000 {:kind :synth :def "bell"}]
                  ["/n_go" (int 1000) (int 1) (int -1) (int -1) (int 0)]
                  ["/n_go" 1001 1 1000 -1 0]
                  ["/n_go" 1002 1 1000 1001 0]])]
    (is (= (group 0 (group 1 (synth 1000 "bell") (synth 1002 nil) (synth 1001 nil))) (state/tree s)))
    (is (= (synth 1000 "bell") (state/tree s 1000)))
    (is (= [1000 1002 1001] (state/children s 1)))
    (is (= {:parent 1 :previous 1000 :next 1001 :status :playing} (places s 1002)))
    (is (= {:groups 2 :synths 3} (state/counts s)))
    (is (nil? (unsound s)))
    (testing "moved, paused, ended"
      (is (= [1002 1001 1000] (state/children (after s [["/n_move" 1000 1 1001 -1 0]]) 1)))
      (is (= :paused (:status (places (after s [["/n_off" 1000 1 -1 1002 0]]) 1000))))
      (is (= :playing (:status (places (after s [["/n_off" 1000 1 -1 1002 0] ["/n_on" 1000 1 -1 1002 0]]) 1000))))
      (is (= [1000 1001] (state/children (after s [["/n_end" 1002 1 1000 1001 0]]) 1)))
      (is (= [1000 1001] (state/children (after s [["/n_end" 1002 -1 -1 -1 0]]) 1))))
    (testing "a group takes all below it along"
      (let [s (after s [["/n_end" 1 0 -1 -1 1 -1 -1]])]
        (is (= (group 0) (state/tree s)))
        (is (= [0] (keys (:nodes s))))
        (is (= {:groups 1 :synths 0} (state/counts s)))))
    (testing "what is no news"
      (doseq [event [["/n_info" 1000 1 -1 1002 0] ["/n_info" 0 -1 -1 -1 1 1 1] ["/n_info" 1 0 -1 -1 1 1000 1001]
                     ["/n_go" 1 0 -1 -1 1 1000 1001] ["/n_on" 1000 1 -1 1002 0]
                     ["/n_end" 4711 0 -1 -1 0] ["/n_end" 4711 -1 -1 -1 0]]]
        (is (= s (state/step s event)) (pr-str event))))))

(deftest what-is-no-event-changes-nothing
  (doseq [event [[] ["/tr" 1000 1 0.5] ["/n_go"] ["/n_go" 1000 0 -1 -1] ["/n_go" "1000" 0 -1 -1 0] ["/n_go" 1000.0 0.0 -1.0 -1.0 0.0]
                 ["/n_go" 1000 0 -1 -1 1] ["/n_go" 1000 0 -1 -1 2] ["/n_go" -1 0 -1 -1 0] ["/n_end" nil nil nil nil nil] ["/n_end" 0 -1 -1 -1 1 -1 -1] ["/n_go" 0 1 -1 -1 0]
                 ["/done"] ["/done" "/sync"] ["/done" "/b_alloc" 5] ["/b_info"] ["/b_info" 5 0 0 0.0] ["/b_info" 5 "x" 1 44100.0]
                 [:unheard-of 1] [:gone [0]] [:gone [4711]] [:forget [0 4711]] ["/d_removed" "bell"]]]
    (is (= (state/initial) (state/step (state/initial) event)) (pr-str event))))

(deftest a-replaced-node-is-gone
  (let [s (after [["/n_go" 1000 0 -1 -1 0] ["/n_go" 1 0 1000 -1 1 -1 -1] ["/n_go" 1001 1 -1 -1 0] ["/n_go" 1002 0 1 -1 0]])]
    (doseq [[event expected] [[["/n_go" 1003 0 -1 1 0] [(synth 1003 nil) (group 1 (synth 1001 nil)) (synth 1002 nil)]]
                              [["/n_go" 1003 0 1000 1002 0] [(synth 1000 nil) (synth 1003 nil) (synth 1002 nil)]]
                              [["/n_go" 1003 0 1 -1 0] [(synth 1000 nil) (group 1 (synth 1001 nil)) (synth 1003 nil)]]
                              [["/n_go" 1003 1 -1 -1 0] [(synth 1000 nil) (group 1 (synth 1003 nil)) (synth 1002 nil)]]]
            :let [s (state/step s event)]]
      (is (= (apply group 0 expected) (state/tree s)) (pr-str event))
      (is (not (:suspect? s)) (pr-str event))
      (is (nil? (unsound s)) (pr-str event)))
    (testing "by a node with its own id: then nobody knows what it plays"
      (let [s (after [[:expect 1000 {:kind :synth :def "bell"}] ["/n_go" 1000 0 -1 -1 0] ["/n_go" 1000 0 -1 -1 0]])]
        (is (= (group 0 (synth 1000 nil)) (state/tree s)))
        (is (:suspect? s))))
    (testing "a message that comes twice takes nothing away"
      (let [s (after s [[:note [[1 {:key :mix}]]] ["/n_go" 1 0 1000 -1 1 -1 -1]])]
        (is (= (group 0 (synth 1000 nil) (group 1 (synth 1001 nil)) (synth 1002 nil)) (state/tree s)))
        (is (= :mix (get-in s [:nodes 1 :key])))
        (is (:suspect? s))
        (is (nil? (unsound s)))))))

;; what supernova 3.13 said when a group of three was freed
(deftest supernova-names-neighbours-that-have-ended
  (let [s (after [["/n_go" 1 0 -1 -1 1 -1 -1] ["/n_go" 1000 1 -1 -1 0] ["/n_go" 1001 1 1000 -1 0] ["/n_go" 2 1 1001 -1 1 -1 -1]
                  ["/n_end" 1000 1 -1 1001 0] ["/n_end" 1001 1 1000 2 0] ["/n_end" 2 1 1001 -1 1 -1 -1] ["/n_end" 1 0 -1 -1 1 -1 -1]])]
    (is (= (state/initial) s))))

(deftest what-is-expected-is-not-there-yet
  (let [s (after [[:expect 1000 {:kind :synth :def "bell"}] [:expect 1 {:kind :group}]])]
    (is (= {:id 1000 :kind :synth :def "bell" :parent nil :previous nil :next nil :status :expected} (get-in s [:nodes 1000])))
    (is (= (group 0) (state/tree s)))
    (is (= {:groups 1 :synths 0} (state/counts s)))
    (is (nil? (state/tree s 1000)))
    (is (= [0] (keys (:nodes (after s [[:forget [1000 1]]])))))
    (is (= [0] (keys (:nodes (after s [[:gone [1000 1]]])))))
    (is (= [0] (keys (:nodes (after s [["/n_end" 1000 0 -1 -1 0] ["/n_end" 1 -1 -1 -1 1 -1 -1]])))))
    (testing "and may come as something else"
      (is (= (group 0 (group 1000)) (state/tree (after s [["/n_go" 1000 0 -1 -1 1 -1 -1]])))))
    (testing "what plays stays as it is"
      (let [s (after s [["/n_go" 1000 0 -1 -1 0]])]
        (is (= (:nodes s) (:nodes (after s [[:expect 1000 {:kind :synth :def "pad"}] [:forget [1000]]]))))))))

(deftest a-message-that-does-not-fit-makes-the-state-suspect
  (let [s (after [["/n_go" 1 0 -1 -1 1 -1 -1] ["/n_go" 2 0 1 -1 1 -1 -1]
                  ["/n_go" 1000 1 -1 -1 0] ["/n_go" 1001 1 1000 -1 0] ["/n_go" 1002 1 1001 -1 0] ["/n_go" 3 1 1002 -1 1 -1 -1]])]
    (doseq [[why event children] [["unknown parent" ["/n_go" 1003 77 -1 -1 0] [1000 1001 1002 3]]
                                  ["a synth as parent" ["/n_go" 1003 1000 -1 -1 0] [1000 1001 1002 3]]
                                  ["no parent" ["/n_move" 1000 -1 -1 -1 0] [1001 1002 3]]
                                  ["unknown neighbours" ["/n_go" 1003 1 77 78 0] [1000 1001 1002 3 1003]]
                                  ["an unknown neighbour" ["/n_go" 1003 1 77 1001 0] [1000 1003 1001 1002 3]]
                                  ["an unknown neighbour at the end" ["/n_go" 1003 1 77 -1 0] [1000 1001 1002 3 1003]]
                                  ["neighbours that are none" ["/n_go" 1003 1 1000 3 0] [1000 1003 1001 1002 3]]
                                  ["a neighbour from elsewhere" ["/n_go" 1003 2 1000 -1 0] [1000 1001 1002 3]]
                                  ["itself as neighbour" ["/n_move" 1001 1 1001 1002 0] [1000 1001 1002 3]]
                                  ["a move over a node that is gone" ["/n_move" 1000 1 1001 3 0] [1001 1000 1002 3]]
                                  ["unknown, moved" ["/n_move" 1003 1 3 -1 0] [1000 1001 1002 3 1003]]
                                  ["unknown, paused" ["/n_off" 1003 1 3 -1 0] [1000 1001 1002 3 1003]]
                                  ["at another place" ["/n_info" 1000 1 3 -1 0] [1001 1002 3 1000]]
                                  ["ended at another place" ["/n_end" 1000 2 -1 -1 0] [1001 1002 3]]
                                  ["of another kind" ["/n_info" 3 1 1002 -1 0] [1000 1001 1002 3]]
                                  ["with a child that nobody knows" ["/n_info" 3 1 1002 -1 1 1003 1003] [1000 1001 1002 3]]
                                  ["without the children" ["/n_info" 1 0 -1 2 1 -1 -1] [1000 1001 1002 3]]
                                  ["a group within itself" ["/n_move" 1 3 -1 -1 1 1000 3] [1000 1001 1002 3]]
                                  ["a group as its own child" ["/n_move" 1 1 -1 1000 1 1000 3] [1000 1001 1002 3]]]
            :let [s (state/step s event)]]
      (is (:suspect? s) why)
      (is (= children (state/children s 1)) why)
      (is (nil? (unsound s)) why)
      (testing "until the whole tree is told"
        (let [s (after s [[:tree (group 0 (group 1 (synth 1000 "bell")))]])]
          (is (not (:suspect? s)) why)
          (is (= (group 0 (group 1 (synth 1000 "bell"))) (state/tree s)) why)
          (is (= #{0 1 1000} (set (keys (:nodes s)))) why)
          (is (nil? (unsound s)) why))))))

(deftest children-of-a-parallel-group-have-no-order
  (let [s (after [["/n_go" 1 0 -1 -1 1 -2 -2] ["/n_go" 1000 1 -2 -2 0] ["/n_go" 1001 1 -2 -2 0] ["/n_go" 2 1 -2 -2 1 -1 -1]
                  ["/n_off" 1000 1 -2 -2 0] ["/n_info" 1 0 -1 -1 1 -2 -2] ["/n_go" 1002 0 1 -1 0]])]
    (is (true? (get-in s [:nodes 1 :parallel?])))
    (is (= [1000 1001 2] (state/children s 1)))
    (is (= [1001 2 1002] (state/children (after s [["/n_end" 1000 1 -2 -2 0] ["/n_move" 1002 1 -2 -2 0]]) 1)))
    (is (= [1 1000 1002] (state/children (after s [["/n_move" 1000 0 1 1002 0]]) 0)))
    (is (not (:suspect? s)))
    (is (nil? (unsound s)))
    (testing "which a tree does not tell, so it is kept"
      (is (true? (get-in (after s [[:tree (group 0 (group 1 (group 2)))]]) [:nodes 1 :parallel?]))))))

(deftest a-group-moved-far-within-itself-ends-no-walk
  (let [s (after (concat [["/n_go" 1000 0 -1 -1 0]]
                         (map (fn [i] ["/n_go" i (if (= 1 i) 0 (dec i)) (if (= 1 i) 1000 -1) -1 1 -1 -1]) (range 1 301))
                         [["/n_go" 1001 300 -1 -1 0] ["/n_move" 1 300 1001 -1 1 2 2]]))]
    (is (= (group 0 (synth 1000 nil)) (state/tree s)) "as on the server, where it is lost too")
    (is (= 1 (:id (state/tree s 1))))
    (is (= {:groups 301 :synths 2} (state/counts s)))
    (is (nil? (unsound s)))
    (doseq [event [["/n_end" 1 300 1001 -1 1 2 2] ["/n_end" 150 149 -1 -1 1 151 151] [:gone [300]] [:tree (group 0 (synth 1000 "bell"))]]
            :let [s (state/step s event)]]
      (is (= #{0 1000} (set (keys (:nodes s)))) (pr-str event))
      (is (nil? (unsound s)) (pr-str event)))
    (is (nil? (unsound (after s [[:tree (group 150)]]))))))

;; --- Trees and ends that were asked for

(deftest what-is-in-a-paused-group-is-held
  (let [s (after [["/n_go" 1 0 -1 -1 1 -1 -1]
                  ["/n_go" 2 1 -1 -1 1 -1 -1]
                  ["/n_go" 1000 2 -1 -1 0]
                  ["/n_off" 1000 2 -1 -1 0]])
        held (fn [s] (filterv #(state/held? s %) [0 1 2 1000 5]))]
    (is (= [] (held s)) "but not by itself")
    (is (= [2 1000] (held (after s [["/n_off" 1 0 -1 -1 1 2 2]]))))
    (is (= [1 2 1000] (held (after s [["/n_off" 0 -1 -1 -1 1 1 1]]))))
    (is (= [] (held (after s [["/n_off" 1 0 -1 -1 1 2 2] ["/n_on" 1 0 -1 -1 1 2 2]]))))))

(deftest a-queried-tree-replaces-what-is-below
  (let [s (after [["/n_go" 1 0 -1 -1 1 -1 -1] ["/n_go" 2 0 1 -1 1 -1 -1] ["/n_go" 1000 1 -1 -1 0] ["/n_go" 1001 1 1000 -1 0]
                  ["/n_go" 1002 2 -1 -1 0] ["/n_off" 1001 1 1000 -1 0] [:expect 1003 {:kind :synth :def "pad"}]])
        told (tree/parse ["/g_queryTree.reply" 0 1 2 1001 -1 "bell" 3 1 1004 -1 "bass"])
        seen (after s [[:tree told]])]
    (is (= (group 0 told (group 2 (synth 1002 nil))) (state/tree seen)))
    (is (= :paused (:status (places seen 1001))))
    (is (= :expected (:status (places seen 1003))))
    (is (not (:suspect? seen)))
    (is (nil? (unsound seen)))
    (is (= {:groups 4 :synths 3} (state/counts seen)))
    (testing "controls are left out"
      (is (= (group 0 (synth 1000 "bell"))
             (state/tree (after [[:tree {:id 0 :kind :group :children [{:id 1000 :kind :synth :def "bell" :controls {"freq" 1.0}}]}]])))))
    (testing "what was expected is there"
      (let [s (after s [[:tree (group 0 (synth 1003 "pad"))]])]
        (is (= (group 0 (synth 1003 "pad")) (state/tree s)))
        (is (= :playing (:status (places s 1003))))))
    (testing "what was elsewhere is suspect"
      (let [s (after s [[:tree (group 1 (synth 1002 "pad"))]])]
        (is (= (group 0 (group 1 (synth 1002 "pad")) (group 2)) (state/tree s)))
        (is (:suspect? s))
        (is (nil? (unsound s)))))
    (testing "what was above is suspect"
      (let [s (after s [["/n_go" 3 1 1001 -1 1 -1 -1] [:tree (group 3 (group 1))]])]
        (is (= (group 3 (group 1)) (state/tree s 3)))
        (is (:suspect? s))
        (is (nil? (unsound s)))))
    (testing "a group whose place nobody knows is suspect"
      (let [s (after s [[:tree (group 9 (synth 1009 "pad"))]])]
        (is (= (group 9 (synth 1009 "pad")) (state/tree s 9)))
        (is (= nil (:parent (places s 9))))
        (is (:suspect? s))
        (is (nil? (unsound s)))))
    (testing "a tree of a synth"
      (is (= "pad" (get-in (after s [[:tree (synth 1000 "pad")]]) [:nodes 1000 :def]))))))

(deftest what-does-not-exist-is-removed
  (let [s (after [["/n_go" 1 0 -1 -1 1 -1 -1] ["/n_go" 1000 1 -1 -1 0] ["/n_go" 1001 0 1 -1 0]])]
    (is (= (group 0 (synth 1001 nil)) (state/tree (after s [[:gone [1 4711 1000]]]))))
    (is (nil? (unsound (after s [[:gone [1]]]))))))

;; --- SynthDefs and buffers

(deftest synthdefs-are-kept-by-name
  (is (= {"bell" nil, "pad" {"freq" {:index 0 :size 1 :default 440.0}}}
         (:synthdefs (after [[:synthdefs {"bell" {} "bass" nil}] [:synthdefs {"bell" nil "pad" {"freq" {:index 0 :size 1 :default 440.0}}}]
                             [:synthdefs-gone ["bass" "nobody"]]])))))

(deftest buffers-are-followed
  (is (= {5 {:status :expected :frame-count 1024 :channel-count 1}}
         (:buffers (after [[:buffer 5 {:status :expected :frame-count 1024}] [:buffer 5 {:channel-count 1}]]))))
  (doseq [command ["/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read" "/b_readChannel"]]
    (is (= {5 {:status :allocated}} (:buffers (after [[:buffer 5 {:status :expected}] ["/done" command (int 5)]]))) command))
  (is (= {5 {:status :expected}} (:buffers (after [[:buffer 5 {:status :expected}] ["/done" "/b_zero" 5] ["/done" "/b_alloc" 6]]))))
  (is (= {} (:buffers (after [[:buffer 5 {}] ["/done" "/b_free" (int 5)]]))))
  (is (= {} (:buffers (after [[:buffer 5 {}] [:buffer-gone 5]]))))
  (is (= {5 {:status :allocated :frame-count 1024 :channel-count 2 :sample-rate-hz 44100.0 :path "a.wav"}
          7 {:status :allocated :frame-count 1 :channel-count 1 :sample-rate-hz 48000.0}}
         (:buffers (after [[:buffer 5 {:status :expected :path "a.wav"}]
                           ["/b_info" (int 5) (int 1024) (int 2) (float 44100.0) 6 0 0 0.0 7 1 1 48000.0]])))))

;; --- Size

(deftest depth-and-width-have-no-limit
  (let [n    100000
        wide (after (cons ["/n_go" 1 0 -1 -1 1 -1 -1]
                          (map (fn [i] ["/n_go" (+ 1000 i) 1 (if (pos? i) (+ 999 i) -1) -1 0]) (range n))))
        deep (after (map (fn [i] ["/n_go" (inc i) i -1 -1 1 -1 -1]) (range n)))]
    (is (= {:groups 2 :synths n} (state/counts wide)))
    (is (= (range 1000 (+ 1000 n)) (state/children wide 1)))
    (is (= n (count (:children (state/tree wide 1)))))
    (is (= (state/initial) (after wide [["/n_end" 1 0 -1 -1 1 -1 -1]])))
    (is (= {:groups (inc n) :synths 0} (state/counts deep)))
    (is (= n (:id (nth (iterate (comp first :children) (state/tree deep)) n))))
    (is (= (state/initial) (after deep [[:gone [1]]])))
    (is (= {:groups (inc n) :synths 0} (state/counts (after [[:tree (state/tree deep)]]))))
    (is (= {:groups 2 :synths n} (state/counts (after [[:tree (state/tree wide)]]))))))

;; --- A server as small as can be: a tree, what of it is paused, and what it would have said

(defn- path-to
  "The indices that lead from the top of a tree to node `id`, nil where it is not there."
  [tree id]
  (if (= id (:id tree))
    []
    (first (keep-indexed (fn [i child] (some->> (path-to child id) (into [:children i])))
                         (:children tree)))))

(defn- nodes-of [tree] (tree-seq :children :children tree))

(defn- place-of
  "[parent previous next], -1 for none."
  [tree id]
  (let [path (path-to tree id)]
    (if (empty? path)
      [-1 -1 -1]
      (let [parent (get-in tree (pop (pop path)))
            at     (fn [i] (get-in parent [:children i :id] -1))]
        [(:id parent) (at (dec (peek path))) (at (inc (peek path)))]))))

(defn- message [address {:keys [id kind children]} place]
  (into [address id]
        (concat place (if (= :group kind)
                        [1 (:id (first children) -1) (:id (peek children) -1)]
                        [0]))))

(defn- tell
  "What the server says of a node in its tree."
  [tree address id]
  (message address (get-in tree (path-to tree id)) (place-of tree id)))

(defn- ends
  "The ends of all below a node, children first, none of which is told its place."
  [node]
  (mapcat (fn [child] (concat (ends child) [(message "/n_end" (dissoc child :children) [-1 -1 -1])]))
          (:children node)))

(defn- cut [tree id]
  (let [path (path-to tree id)]
    (update-in tree (pop path) (fn [children] (into (subvec children 0 (peek path)) (subvec children (inc (peek path))))))))

(defn- plant
  "`node` put by an add action, 0 to 3, at `target`."
  [tree node action target]
  (let [path   (path-to tree target)
        insert (fn [children i] (into (conj (subvec children 0 i) node) (subvec children i)))]
    (case (int action)
      0 (update-in tree (conj path :children) insert 0)
      1 (update-in tree (conj path :children) conj node)
      2 (update-in tree (pop path) insert (peek path))
      3 (update-in tree (pop path) insert (inc (peek path))))))

(defn- pruned
  "Without synths."
  [node]
  (update node :children (fn [children] (into [] (comp (remove (comp #{:synth} :kind))
                                                       (map (fn [child] (if (= :group (:kind child)) (pruned child) child))))
                                              children))))

(defn- pick [n xs] (when (seq xs) (nth xs (mod n (count xs)))))

(defn- groups-of [tree] (filter (comp #{:group} :kind) (nodes-of tree)))

(defn- execute
  "A command of numbers by chance: {:tree … :paused …} after it, and what was said."
  [{:keys [tree paused] :as server} [command a b c]]
  (let [any    (pick a (nodes-of tree))
        node   (pick a (rest (nodes-of tree)))
        any-of (fn [groups-only?] (pick b (if groups-only? (groups-of tree) (rest (nodes-of tree)))))
        said   (fn [tree & messages] (assoc server :tree tree :said messages))]
    (case command
      :new
      (let [action  (mod c 5)
            target  (:id (any-of (< action 2)))
            id      (pick a (remove (set (map :id (nodes-of tree))) (range 1000 1060)))
            newborn (if (even? (quot c 5)) (group id) (synth id (str "def" (mod a 7))))
            asked   [:expect id (select-keys newborn [:kind :def])]
            born    (fn [tree before]
                      (apply said tree (concat [asked] before [(tell tree "/n_go" id)])))]
        (cond
          (nil? target) (said tree)
          (= 4 action)  (born (cut (plant tree newborn 2 target) target)
                              (ends (get-in tree (path-to tree target))))
          :else         (born (plant tree newborn action target) nil)))

      :free
      (if node
        (apply said (cut tree (:id node))
               (concat (ends node) [(message "/n_end" (dissoc node :children) (place-of tree (:id node)))]))
        (said tree))

      :free-all
      (let [{:keys [id] :as g} (any-of true)]
        (apply said (assoc-in tree (conj (path-to tree id) :children) []) (ends g)))

      :deep-free
      (let [{:keys [id] :as g} (any-of true)]
        (apply said (if (= 0 id) (pruned tree) (update-in tree (path-to tree id) pruned))
               (for [{:keys [kind] :as n} (nodes-of g) :when (= :synth kind)]
                 (message "/n_end" n [-1 -1 -1]))))

      :move
      (let [action (mod c 4)
            target (:id (any-of (< action 2)))]
        (if (or (nil? node) (nil? target) (path-to node target))
          (said tree)
          (let [tree (plant (cut tree (:id node)) node action target)]
            (said tree (tell tree "/n_move" (:id node))))))

      :run
      (let [id (:id any), run? (even? c)]
        (if (= run? (contains? paused id))
          (assoc server
            :paused ((if run? disj conj) paused id)
            :said [(tell tree (if run? "/n_on" "/n_off") id)])
          (said tree)))

      :query
      (said tree (tell tree "/n_info" (:id any)))

      :again                                               ; /g_new of a group that is there
      (let [{:keys [id]} (any-of true)]
        (if (= 0 id) (said tree) (said tree (tell tree "/n_go" id)))))))

(defn- run-command
  "`execute`, with nobody paused who is not there, or has been there only since."
  [server command]
  (let [{:keys [tree said] :as server} (execute server command)
        born (set (for [[address id] said :when (= "/n_go" address)] id))
        kept (if (= :new (first command)) (remove born (map :id (nodes-of tree))) (map :id (nodes-of tree)))]
    (update server :paused (fn [paused] (into #{} (filter paused) kept)))))

(def ^:private gen-command
  (gen/tuple (gen/frequency [[8 (gen/return :new)] [2 (gen/return :free)] [4 (gen/return :move)] [2 (gen/return :run)]
                             [1 (gen/elements [:free-all :deep-free :query :again])]])
             gen/nat gen/nat (gen/choose 0 19)))

(def ^:private booted {:tree (group 0) :paused #{} :said []})

(defn- paused-of [{:keys [nodes]}]
  (set (for [[id {:keys [status]}] nodes :when (= :paused status)] id)))

(defn- differs
  "How the state differs from the server, nil where it does not."
  [s {:keys [tree paused]}]
  (cond
    (:suspect? s)                 :suspect
    (not= tree (state/tree s))   {:server tree :mirror (state/tree s)}
    (not= paused (paused-of s)) {:server paused :mirror (paused-of s)}
    :else                         (unsound s)))

(defn- holds [n property]
  (let [{:keys [pass? shrunk result]} (tc/quick-check n property :max-size 80 :seed 20)]
    (is pass? (str result " smallest: " (pr-str (:smallest shrunk))))))

(deftest the-mirror-is-the-tree-of-the-server
  (holds 300
         (prop/for-all [commands (gen/vector gen-command 0 80)]
           (loop [server booted, s (state/initial), commands commands]
             (if (empty? commands)
               true
               (let [server (run-command server (first commands))
                     s      (after s (:said server))]
                 (if-let [difference (differs s server)]
                   (throw (ex-info "differs" {:difference difference :said (:said server)}))
                   (recur server s (rest commands)))))))))

(deftest a-queried-tree-repairs-what-was-lost
  (holds 300
         (prop/for-all [commands (gen/vector (gen/tuple gen-command gen/boolean gen/nat) 0 80)
                        more     (gen/vector gen-command 0 20)]
           (let [[server s] (reduce (fn [[server s] [command lost? n]]
                                      (let [server (run-command server command)
                                            s      (after s (if lost? (take-nth 2 (:said server)) (:said server)))
                                            part   (pick n (groups-of (:tree server)))
                                            s      (if (= 0 (mod n 9)) (after s [[:tree part]]) s)]
                                        (when-let [wrong (unsound s)]
                                          (throw (ex-info "unsound" {:wrong wrong :said (:said server)})))
                                        (when (and (= 0 (mod n 9)) (not= part (state/tree s (:id part))))
                                          (throw (ex-info "differs" {:server part :mirror (state/tree s (:id part))})))
                                        [server s]))
                                    [booted (state/initial)]
                                    commands)
                 s (after s [[:tree (:tree server)]])
                 ;; what is paused the tree does not tell
                 s (after s (for [{:keys [id]} (nodes-of (:tree server))]
                              (tell (:tree server) (if ((:paused server) id) "/n_off" "/n_on") id)))]
             (if-let [difference (differs s server)]
               (throw (ex-info "differs" {:difference difference}))
               (loop [server server, s s, commands more]
                 (if (empty? commands)
                   true
                   (let [server (run-command server (first commands))
                         s      (after s (:said server))]
                     (if-let [difference (differs s server)]
                       (throw (ex-info "differs later" {:difference difference :said (:said server)}))
                       (recur server s (rest commands)))))))))))

(ns espalier.model.form-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.trees :as trees]))

(set! *warn-on-reflection* true)

(defn- bell [key & [controls]] {:kind :synth, :key key, :def "bell", :controls (or controls {})})

(def ^:private bus (entity/entity :bus 17 nil 1 0 {:rate :audio}))
(def ^:private control-buses (entity/entity :bus-group 4 nil 1 0 {:rate :control, :count 3}))
(def ^:private buffer (entity/entity :buffer 9 nil 1))

(deftest children-are-composed
  (let [a [:synth {:key :a, :def :bell}], b [:synth {:key :b, :def :bell}], c (bell :c)
        all [(bell :a) (bell :b) (bell :c)]]
    (are [form] (= all (form/nodes form))
      [a b c]
      (list a b c)
      [:<> a b c]
      (list nil a [nil b] (list (list c)) nil)
      [:<> nil [:<> a [:<>]] (map identity [b nil c])]
      [nil a [[[b]]] c])
    (are [form] (= [{:kind :group, :key :g, :children all}] (form/nodes form))
      [:group {:key :g} a b c]
      [:group {:key :g} nil (list a nil b) c]
      [:group {:key :g} [:<> a b] nil c]
      {:kind :group, :key :g, :children [a b c]}
      {:kind :group, :key :g, :children (list nil [:<> a b] c)}))
  (is (= [] (form/nodes nil) (form/nodes []) (form/nodes ()) (form/nodes [:<>]) (form/nodes [nil [nil]])))
  (is (= [{:kind :group, :children []}] (form/nodes [:group]) (form/nodes [:group {}]) (form/nodes {:kind :group})))
  (is (= [{:kind :group, :children [{:kind :group, :children []}]}] (form/nodes [:group [:group]]) (form/nodes [:group {:kind :group}]))))

(deftest attributes-are-canonical
  (is (= [{:kind :synth, :key :a, :id 1000, :def "bell", :paused true, :once true, :controls {}}]
         (form/nodes [:synth {:key :a, :id 1000, :def 'bell, :paused true, :once true}])))
  (is (= [{:kind :group, :parallel true, :children []}] (form/nodes [:group {:parallel true, :paused false, :key nil}])))
  (testing "a SynthDef value"
    (let [d {:kind :synthdef, :name "ping", :ugens []}]
      (is (= [{:kind :synth, :def "ping", :synthdef d, :controls {}}] (form/nodes [:synth {:def d}])))
      (is (= [:synth {:def d}] (form/written (first (form/nodes [:synth {:def d}])))))))
  (testing "keys that are equal are one"
    (are [k] (= [(assoc (bell [:voice 1 [0.5]]) :key [:voice 1 [0.5]])] (form/nodes [:synth {:key k, :def :bell}]))
      [:voice 1 [0.5]] [:voice (int 1) [(float 0.5)]] [:voice 1N [0.5]])
    (is (= :espalier.error/duplicate-key
           (error/code (try (form/nodes [[:group {:key [:a (int 1)]}] [:group {:key [:a 1]}]]) (catch Exception e e)))))))

(deftest values-are-canonical
  (are [x value] (= {"x" value} (:controls (first (form/nodes [:synth {:def :bell} {:x x}] {:verb bus, :lfo control-buses, :n 5}))))
    1              1.0
    0.1            0.1
    (float 0.1)    0.1
    1/3            0.33333334
    123456789      1.23456792E8
    ##Inf          ##Inf
    true           1.0
    false          0.0
    bus            17.0
    buffer         9.0
    control-buses  4.0
    :verb          17.0
    :n             5.0
    "c5"           "c5"
    [:map bus]     "a17"
    [:map :verb]   "a17"
    [:map :lfo]    ["c4" "c5" "c6"]
    [1 "c5" bus]   [1.0 "c5" 17.0]
    (list 1 [:map bus]) [1.0 "a17"]
    (range 3)      [0.0 1.0 2.0]
    (float-array [1 2]) [1.0 2.0])
  (testing "names of controls"
    (is (= {"freq" 1.0, "amp" 2.0, 5 3.0} (:controls (first (form/nodes [:synth {:def :bell} {:freq 1, "amp" 2, (int 5) 3, :gone nil}]))))))
  (testing "in their order, however many"
    (let [names (mapv #(str "c" %) (range 100))]
      (is (= names (keys (:controls (first (form/nodes {:kind :synth, :def "x", :controls (apply array-map (interleave names (range)))})))))))))

(deftest what-a-query-returns-is-a-form
  (let [told {:kind :group, :id 1, :complete? true, :mappings? true
              :children [{:kind :group, :id 1000, :parallel true, :paused true
                          :children [{:kind :synth, :id 1001, :def "pad", :paused true, :controls {"freqs" [1.0 "a7"], 4 3.0}}]}
                         {:kind :synth, :id 1002, :def "bell"}]}]
    (is (= [{:kind :group, :id 1
             :children [{:kind :group, :id 1000, :parallel true, :paused true
                         :children [{:kind :synth, :id 1001, :def "pad", :paused true, :controls {"freqs" [1.0 "a7"], 4 3.0}}]}
                        {:kind :synth, :id 1002, :def "bell", :controls {}}]}]
           (form/nodes told)))))

(defspec forms-and-nodes-are-the-same {:num-tests 150, :seed 51, :max-size 60}
  (prop/for-all [tree (trees/tree), ways (gen/vector gen/nat 1 6)]
    (and (= (:children tree) (form/nodes (map form/written (:children tree))))
         (= (:children tree) (form/nodes (:children tree)))
         (= (:children tree) (form/nodes (trees/as-form tree ways)))
         (= (:children (trees/with-ids tree)) (form/nodes (map form/written (:children (trees/with-ids tree))))))))

;; ---- errors

(defn- failure [form & [names]]
  (try (form/nodes form names) nil
       (catch clojure.lang.ExceptionInfo e e)))

(deftest errors-tell-what-where-and-what-to-do
  (doseq [[form code path says]
          [[[:grup {}]                              :invalid-tree  [0]           #"not :grup\. Did you mean :group\?"]
           [[:bell {:freq 3}]                       :invalid-tree  [0]           #"\[:synth \{:def :bell\} …\] is a synth"]
           [[:group 5]                              :invalid-tree  [1]           #"A node is a vector.* Seen: 5 at \[1\]"]
           [[:group :mix [:group]]                  :invalid-tree  [1]           #"Did you mean \[:group \{:key :mix\} …\]\? Seen: :mix at \[1\]"]
           [[:synth :organ {:freq 300}]             :invalid-tree  [1]           #"The attributes come first, as a map: \[:synth \{:def :organ\} …\]\. Seen: :organ at \[1\]"]
           [[:synth {:kind :synthdef, :name "a"}]   :invalid-tree  [1]           #"The attributes come first"]
           [[:group (list :synth {:def :a})]        :invalid-tree  [1]           #"A list is a sequence of nodes; a node is a vector: \[:synth …\]"]
           [[:group {:key :a, :target 3}]           :invalid-tree  [1 :target]   #"It takes :key, :id, :paused, :parallel\."]
           [[:group {:id bus}]                      :invalid-tree  [1 :id]       #"\(:id entity\) is its number"]
           [[:group inc]                            :invalid-tree  [1]           #"a function: call it"]
           [[:group #'bus]                          :invalid-tree  [1]           #"@state is what it holds; \(sc/follow! s state\)"]
           [[:group (delay 1)]                      :invalid-tree  [1]           #"@ gives what it holds"]
           [{:kind :synth, :def :a, :control {}}    :invalid-tree  [:control]    #"Did you mean :controls\?"]
           [{:kind :group, :childen []}             :invalid-tree  [:childen]    #"Did you mean :children\?"]
           [[{:key :a, :def :organ, :freq 300}]     :invalid-tree  [0 :kind]     #"A node as a map wants :kind :synth or :group"]
           [[:group [:synth]]                       :invalid-tree  [1 1 :def]    #"wants :def.* Below a group"]
           [[:synth {:def ""}]                      :invalid-tree  [1 :def]      #"wants :def"]
           [[:synth {:def {:kind :synthdef}}]       :invalid-tree  [1 :def]      #"wants :def"]
           [[:synth {:def :bell, :frq 3}]           :invalid-tree  [1 :frq]      #"no attribute :frq.*Controls are a map of their own"]
           [[:synth {:def :bell, :parallel true}]   :invalid-tree  [1 :parallel] #"no attribute :parallel"]
           [[:synth {:def :bell, :controls {}}]     :invalid-tree  [1 :controls] #"no attribute :controls"]
           [[:group {:paralel true}]                :invalid-tree  [1 :paralel]  #"Did you mean :parallel\?"]
           [[:group {:parallel 1}]                  :invalid-tree  [1 :parallel] #":parallel is true or false"]
           [[:group {:id -1}]                       :invalid-tree  [1 :id]       #":id is the number"]
           [[:group {:key 5}]                       :invalid-tree  [1 :key]      #"\[:voice 5\] for example"]
           [[:group {:key [##NaN]}]                 :invalid-tree  [1 :key]      #"A key is"]
           [[:synth {:def :bell, :once true}]       :invalid-tree  [1 :once]     #"wants a :key"]
           [[:group {:key :a} {:freq 3}]            :invalid-tree  [2]           #"controls are a synth's"]
           [[:synth {:def :bell} {} [:group]]       :invalid-tree  [3]           #"no children"]
           [[:synth {:def :bell} [:group]]          :invalid-tree  [2]           #"no children"]
           [{:kind :synth, :def :a, :children [[:group]]} :invalid-tree [:children] #"no children"]
           [{:kind :group, :children 5}             :invalid-tree  [:children]   #"a sequence of nodes"]
           [{:kind :group, :controls {:freq 1}}     :invalid-tree  [:controls]   #"no controls"]
           [{:kind :synth, :def :a, :synthdef 5}    :invalid-tree  [:synthdef]   #"a value"]
           [{:key :a}                               :invalid-tree  [:kind]       #"wants :kind"]
           [[:group {:kind :synthdef, :name "a"}]   :invalid-tree  [1 :kind]     #"is the :def of a synth"]
           [[:group bus]                            :invalid-tree  [1]           #"is an entity"]
           [[:synth {:def :a} {:x "five"}]          :invalid-tree  [2 :x]        #"The value of a control is"]
           [[:synth {:def :a} {:x ##NaN}]           :invalid-tree  [2 :x]        #"32 bits"]
           [[:synth {:def :a} {:x 1e39}]            :invalid-tree  [2 :x]        #"32 bits"]
           [[:synth {:def :a} {:x []}]              :invalid-tree  [2 :x]        #"a sequence of these"]
           [[:synth {:def :a} {:x [1 [2]]}]         :invalid-tree  [2 :x 1]      #"holds no arrays"]
           [[:synth {:def :a} {:x [1 nil]}]         :invalid-tree  [2 :x 1]      #"The value of a control is"]
           [[:synth {:def :a} {:x [:map]}]          :invalid-tree  [2 :x]        #"A mapping is"]
           [[:synth {:def :a} {:x [:map 5]}]        :invalid-tree  [2 :x 1]      #"wants a bus.*\"c5\" or \"a5\" in its place maps to a bus by its number"]
           [[:synth {:def :a} {:x [:map :n]}]       :invalid-tree  [2 :x 1]      #":n stands for the number 5, and a number cannot be mapped to: a bus can"]
           [[:synth {:def :a} {:x [:map :wobble]}]  :unknown-name  [2 :x 1]      #"No bus :wobble .*\{:buses \{:wobble :control\}, :tree \[…\]\} declares one"]
           [[:synth {:def :a} {:x [:map :lof]}]     :unknown-name  [2 :x 1]      #"Did you mean :lfo\?"]
           [[:synth {:def :a} {:x [:mapp 3]}]       :unknown-name  [2 :x 0]      #"Did you mean \[:map 3\]\?"]
           [[:synth {:def :a} {:x [:lof :lfo]}]     :unknown-name  [2 :x 0]      #"Did you mean :lfo\? A mapping is \[:map bus\]"]
           [[:synth {:def :a} {:x [:map :lfos]}]    :unknown-name  [2 :x 1]      #"Did you mean :lfo\?"]
           [[:synth {:def :a} {:x :lof}]            :unknown-name  [2 :x]        #"\{:buses \{:lof 1\}, :tree …|declares a bus"]
           [[:group {:key :a} [:group {:key :b}] [:group {:key :a}]] :duplicate-key [3] #"here and at the top"]
           [[[:group {:key :a}] [:group [:group {:key :a}]]]         :duplicate-key [1 1] #"here and at \[0\]"]
           [[:<> [:group] [:<> [:group {:key 5}]]]  :invalid-tree  [2 1 1 :key]  #"Seen: 5 at \[2 1 1 :key\]"]
           [[:group {:key :m} nil {:kind :group, :children [{:kind :group, :key :x, :children [[:synth {:def :a} {:f :lof}]]}]}]
            :unknown-name [3 :children 0 :children 0 2 :f] #"Below :m > a group > :x"]]]
    (testing (pr-str form)
      (let [e (failure form {:lfo control-buses, :n 5})]
        (is (= (keyword "espalier.error" (name code)) (error/code e)))
        (is (= path (:path (ex-data e))))
        (is (= (get-in form path) (:seen (ex-data e))) "the path leads to what was seen")
        (is (re-find says (str (ex-message e))) (ex-message e))))))

(deftest where-a-node-is-in-words
  (let [rows [[{:kind :group} -1]
              [{:kind :group, :key :mix} 0]
              [{:kind :synth, :key [:voice 3]} 1]
              [{:kind :group} 1]
              [{:kind :synth, :id 1000} 3]
              [{:kind :synth} 3]
              [{:kind :synth} 0]]]
    (is (= ["node :mix" "node [:voice 3], below :mix" "child 2 of :mix" "node 1000, below :mix > a group" "child 2 of a group, below :mix" "child 2 of the top"]
           (map #(form/whereabouts rows %) (range 1 7)))))
  (is (= "node 8, below … > 2 > 3 > 4 > 5 > 6 > 7" (form/whereabouts (mapv (fn [i] [{:kind :group, :id i} (dec i)]) (range 9)) 8))))

(deftest names-and-places-that-are-no-values-in-the-form
  (is (= {:path [2], :seen ""} (select-keys (ex-data (failure [:synth {:def :a} {"" 1}])) [:path :seen])))
  (is (= [2] (:path (ex-data (failure [:synth {:def :a} {:x 1, "x" 2}])))))
  (is (re-find #"\[:group \{:id 1000\} …\]" (ex-message (failure [:group (entity/entity :group 1000 nil 1)])))))

(deftest endless-and-deep-forms-end
  (doseq [endless [(repeat [:group]) (repeat nil) (list [:group (repeat [])])
                   [:synth {:def :a} {:x (range)}] [:group {:key [(range)]}] [:synth {:def :a} {:x [:map (range)]}] [:synth {:def (range)}]]]
    (is (= :espalier.error/invalid-tree (error/code (failure endless)))))
  (let [nest (fn [n wrap x] (nth (iterate wrap x) n))
        deep (nest 20000 (fn [x] [:group x]) [:synth {:def :a} {:x 1}])]
    (is (= 20002 (count (nesting/rows {:kind :group, :children (form/nodes deep)}))))
    (is (= [:synth {:def :a} {:x 1.0}] (nth (iterate peek (form/written (first (form/nodes deep)))) 20000)))
    (is (= 20002 (count (:path (ex-data (failure (nest 20000 (fn [x] [:group x]) [:synth {:def :a} {:x :y}])))))) "the whole path")
    (is (< (count (ex-message (failure (nest 20000 (fn [x] [:group x]) [:synth {:def :a} {:x :y}])))) 1000) "but not in the message")
    (is (= 1 (count (form/nodes (nest 20000 (fn [x] [:<> x]) [:group])))))
    (doseq [f [(fn [x] [:synth {:def :a} {:x x}]) (fn [x] [:synth {:def :a} {:x [:map x]}]) (fn [x] [:group {:key x}])]]
      (is (= :espalier.error/invalid-tree (error/code (failure (f (nest 20000 vector :a)))))))
    (is (= 50000 (count (form/nodes (repeat 50000 [:group])))))))

(def ^:private garbage
  (gen/one-of [gen/any-printable
               (gen/elements [nil :group :synth :<> :map [] {} #{} "" "c5" ##NaN ##Inf 1e300 -1 1N 1/3 (Object.) [:map] [:map :a] bus buffer control-buses
                              {:kind :synth} {:kind :group} {:kind 5} [:synth] [:group] [:group nil] (range) (byte-array 2) (float-array [##NaN])
                              {:kind :synthdef, :name "a"} #'str inc \a])]))

(defn- places
  "The paths to all parts of a form of vectors and maps."
  [form]
  (loop [todo [[[] form]], found []]
    (if-let [[path x] (peek todo)]
      (recur (into (pop todo) (cond
                                (map? x)    (map (fn [[k v]] [(conj path k) v]) x)
                                (vector? x) (map-indexed (fn [i v] [(conj path i) v]) x)))
             (conj found path))
      found)))

(defspec garbage-is-refused-by-name-alone {:num-tests 1500, :seed 52, :max-size 30}
  (prop/for-all [tree (trees/tree {:max-nodes 6}), at gen/nat, x garbage, k? gen/boolean]
    (let [form   (mapv form/written (:children tree))
          path   (let [all (places form)] (nth all (mod at (count all))))
          spoilt (cond
                   (empty? path)                                 x
                   (and k? (map? (get-in form (pop path))))      (update-in form (pop path) (fn [m] (assoc (dissoc m (peek path)) x 1)))
                   :else                                         (assoc-in form path x))]
      (try (form/nodes spoilt) true
           (catch clojure.lang.ExceptionInfo e
             (and (contains? #{:espalier.error/invalid-tree :espalier.error/duplicate-key :espalier.error/unknown-name} (error/code e))
                  (not (str/blank? (ex-message e)))
                  (vector? (:path (ex-data e)))))))))

(ns espalier.model.plan-test
  (:require
   [clojure.test :refer [are deftest is testing]]
   [espalier.model.plan :as plan]))

(set! *warn-on-reflection* true)

(def ^:private ids {:mix 1000, :bass 1001, :lead 1002})

(defn- requests [edits & [engine new-ids]]
  (:requests (plan/plan edits ids (or new-ids [2000 2001 2002]) (or engine :scsynth))))

(deftest edits-are-requests
  (are [edit made] (= made (requests [edit]))
    {:edit :free, :node :bass}                                        [["/n_free" 1001]]
    {:edit :free, :node 1050}                                         [["/n_free" 1050]]
    {:edit :name, :node 1050, :key :pad}                              []
    {:edit :add, :node :g, :kind :group, :to [:tail :mix]}            [["/g_new" 2000 1 1000]]
    {:edit :add, :node :g, :kind :group, :parallel true, :to [:before :lead]} [["/p_new" 2000 2 1002]]
    {:edit :add, :node -5, :kind :synth, :def "bell", :controls {"freq" 1.0, "xs" [1.0 "c5"]}, :to [:after :bass]}
    [["/s_new" "bell" 2000 3 1001 "freq" 1.0 "xs" [1.0 "c5"]]]
    {:edit :move, :node :lead, :to [:after :bass]}                    [["/n_after" 1002 1001]]
    {:edit :move, :node :lead, :to [:before :bass]}                   [["/n_before" 1002 1001]]
    {:edit :move, :node :lead, :to [:tail :mix], :from 1, :into :mix} [["/g_tail" 1000 1002]]
    {:edit :replace, :node :bass, :def "pad", :controls {"amp" 0.5}}  [["/s_new" "pad" 2000 3 1001 "amp" 0.5] ["/n_free" 1001]]
    {:edit :set, :node :bass, :controls {"freq" 60.0}}                [["/n_set" 1001 "freq" 60.0]]
    {:edit :run, :node :bass, :running? false}                        [["/n_run" 1001 0]]
    {:edit :run, :node :bass, :running? true}                         [["/n_run" 1001 1]])
  (testing "supernova: into the other group first"
    (let [edit {:edit :move, :node :lead, :to [:after :bass], :from 1, :into :mix}]
      (is (= [["/n_after" 1002 1001]] (requests [edit])))
      (is (= [["/g_tail" 1000 1002] ["/n_after" 1002 1001]] (requests [edit] :supernova)))
      (is (= [["/n_after" 1002 1001]] (requests [(dissoc edit :from :into)] :supernova))))))

(deftest ids-follow-the-edits
  (is (= {:requests [["/g_new" 2000 1 1000] ["/s_new" "bell" 2001 1 2000] ["/s_new" "pad" 2002 3 1001] ["/n_free" 1001] ["/n_set" 2002 "x" 1.0] ["/n_run" 1050 0]]
          :ids      {:mix 1000, :bass 2002, :lead 1002, :g 2000, -9 2001, :pad 1050}
          :made     [2000 2001 2002]}
         (plan/plan [{:edit :name, :node 1050, :key :pad}
                     {:edit :add, :node :g, :kind :group, :to [:tail :mix]}
                     {:edit :add, :node -9, :kind :synth, :def "bell", :controls {}, :to [:tail :g]}
                     {:edit :replace, :node :bass, :def "pad", :controls {}}
                     {:edit :set, :node :bass, :controls {"x" 1.0}}
                     {:edit :run, :node :pad, :running? false}]
                    ids [2000 2001 2002] :scsynth)))
  (is (thrown-with-msg? IllegalArgumentException #"No id for node :nobody" (requests [{:edit :free, :node :nobody}]))))

(deftest resolved-edits-have-ids-alone
  (is (= [{:edit :name, :node 1050, :key :pad}
          {:edit :add, :node 2000, :kind :group, :to [:tail 1000], :id 2000, :key :g}
          {:edit :add, :node 2001, :kind :synth, :def "bell", :controls {}, :to [:tail 2000], :id 2001}
          {:edit :replace, :node 1001, :def "pad", :controls {}, :id 2002, :key :bass}
          {:edit :move, :node 1050, :to [:after 2002], :from 2000, :into 1000}]
         (plan/resolved [{:edit :name, :node 1050, :key :pad}
                         {:edit :add, :node :g, :kind :group, :to [:tail :mix]}
                         {:edit :add, :node -9, :kind :synth, :def "bell", :controls {}, :to [:tail :g]}
                         {:edit :replace, :node :bass, :def "pad", :controls {}}
                         {:edit :move, :node :pad, :to [:after :bass], :from :g, :into :mix}]
                        ids [2000 2001 2002]))))

(deftest the-most-nodes-at-one-time
  (are [edits most] (= most (plan/peak edits 10 {:mix 3, :bass 1}))
    []                                                        10
    [{:edit :free, :node :mix} {:edit :add} {:edit :add}]     10
    [{:edit :add} {:edit :add} {:edit :free, :node :mix}]     12
    [{:edit :replace, :node :bass}]                           11
    [{:edit :free, :node :bass} {:edit :replace, :node :x}]   10
    [{:edit :move} {:edit :set} {:edit :run} {:edit :name}]   10))

(deftest edits-in-words
  (are [edit said] (= said (plan/text edit))
    {:edit :name, :node 1000, :key :lead}                                         "name 1000 :lead"
    {:edit :free, :node :a}                                                       "free :a"
    {:edit :add, :node -4, :kind :group, :to [:tail 1]}                           "add group at the tail of 1"
    {:edit :add, :node :g, :kind :group, :parallel true, :to [:tail 1]}           "add parallel group :g at the tail of 1"
    {:edit :add, :node :a, :kind :synth, :def "bell", :controls {"f" [1.0 "c5"]}, :to [:before :b]} "add bell :a before :b: f [1.0 c5]"
    {:edit :move, :node [:v 1], :to [:after "x"]}                                 "move [:v 1] behind \"x\""
    {:edit :move, :node :a, :to [:tail :h], :from :g, :into :h}                   "move :a at the tail of :h, from :g"
    {:edit :move, :node :a, :to [:after :b], :from :g, :into :h}                  "move :a behind :b, from :g into :h"
    {:edit :move, :node :a, :to [:tail :h], :from -1, :into :h}                   "move :a at the tail of :h, from the top"
    {:edit :move, :node :a, :to [:before :b], :from :h, :into -1}                 "move :a before :b, from :h into the top"
    {:edit :add, :node :g, :kind :group, :to [:tail -1]}                          "add group :g at the top"
    {:edit :add, :node -7, :kind :group, :to [:tail -5]}                          "add group at the tail of a group without a key"
    {:edit :add, :node -7, :kind :group, :to [:after -5]}                         "add group behind a node without a key"
    {:edit :replace, :node :a, :def "pad", :controls {"amp" 0.5}}                 "replace :a by pad: amp 0.5"
    {:edit :set, :node :a, :controls {"freq" 60.0, 4 "a3"}}                       "set :a: freq 60.0, 4 a3"
    {:edit :run, :node :a, :running? true}                                        "resume :a"
    {:edit :run, :node :a, :running? false}                                       "pause :a")
  (is (= "nothing" (plan/summary [])))
  (is (= "1 named, 1 freed, 2 added, 1 set" (plan/summary [{:edit :set} {:edit :add} {:edit :free} {:edit :add} {:edit :name}]))))

(ns espalier.model.failure-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]))

(set! *warn-on-reflection* true)

(defn- code [e] (some-> (error/code e) name keyword))

;; words

(deftest words-of-a-fail
  (are [fail said] (= said (failure/words fail))
    ["/fail" "/n_free" "Node 5 not found"]                         "Node 5 not found"
    ["/fail" "/b_read" "File 'x' could not be opened: no.\n" 5]    "File 'x' could not be opened: no."
    ["/fail" "/foo"]                                               ""
    ["/fail"]                                                      ""
    ["/fail" "/foo" 5]                                             "5"))

(deftest what-servers-say-has-a-name
  (are [expected said] (= expected (code (failure/error-of ["/x" 5] said {})))
    :no-such-node       "Node 5 not found"
    :no-such-node       "Group 5 not found"
    :no-such-node       "target Node 5 not found"
    :no-such-node       "Node -1 not found"
    :no-such-synthdef   "SynthDef not found"
    :duplicate-node     "duplicate node ID"
    :too-many-nodes     "too many nodes"
    :out-of-memory      "out of real time memory"
    :out-of-memory      "alloc failed, increase server's memory allocation (e.g. via ServerOptions)"
    :index-out-of-range "index out of range"
    :reply-too-large    "buffer overflow"
    :unknown-command    "Command not found"
    :file-failed        "File '/x.wav' could not be opened: System error : No such file or directory.\n"
    :file-failed        "System error : No such file or directory."
    :file-failed        "Format not recognised."
    :file-failed        "Channel mismatch. File '/x.wav' has 2 channels. Buffer has 1 channels.\n"
    :file-failed        "Channel index out of range.\n"
    :command-failed     "negative node IDs are reserved"
    :command-failed     "can't replace group 0"
    :command-failed     "wrong argument type"
    :command-failed     "failed"
    :command-failed     "buf gen routine not found"
    :command-failed     ""))

(deftest errors-hold-what-was-asked-and-said
  (let [e (failure/error-of ["/n_set" 5 "a" 1] "Node 5 not found" {:reply [:x]})]
    (is (= {:espalier/error :espalier.error/no-such-node, :request ["/n_set" 5 "a" 1], :words "Node 5 not found", :node 5, :reply [:x]}
           (ex-data e)))
    (is (str/includes? (ex-message e) "[\"/n_set\" 5 \"a\" 1]: Node 5 not found; "))
    (is (str/includes? (ex-message e) "(sc/print-tree s)")))
  (is (nil? (:node (ex-data (failure/error-of ["/s_new"] "SynthDef not found" {})))))
  (is (> 500 (count (ex-message (failure/error-of (into ["/b_setn" 0 0 1000] (range 1000)) "failed" {})))))
  (testing "a number of no node"
    (is (= :no-such-node (code (failure/error-of ["/n_free" 5] "Node 99999999999999999999 not found" {}))))))

;; whose it is

(deftest fails-are-of-the-request-that-they-name
  (are [mine request fail] (= mine (failure/mine? request fail))
    true  ["/n_query" 5]                     ["/fail" "/n_query" "Node 5 not found"]
    false ["/n_query" 5]                     ["/fail" "/n_query" "Node 6 not found"]
    false ["/n_query" 5]                     ["/fail" "/n_set" "Node 5 not found"]
    true  ["/n_free" 5 6 7]                  ["/fail" "/n_free" "Node 7 not found"]
    false ["/n_free" 5 6 7]                  ["/fail" "/n_free" "Node 8 not found"]
    true  ["/s_new" "bell" 1000 0 5]         ["/fail" "/s_new" "Group 5 not found"]
    false ["/s_new" "bell" 1000 0 6]         ["/fail" "/s_new" "Group 5 not found"]
    true  ["/s_new" "bell" 1000 0 6]         ["/fail" "/s_new" "SynthDef not found"]
    true  ["/b_read" 5 "x" 0 -1 0 0]         ["/fail" "/b_read" "File 'x' could not be opened.\n" 5]
    false ["/b_read" 6 "x" 0 -1 0 0]         ["/fail" "/b_read" "File 'x' could not be opened.\n" 5]
    true  ["/b_write" 6 "x" "wav" "float"]   ["/fail" "/b_write" "failed"]
    true  ["/d_load" "/tmp/x"]               ["/fail" "/d_load" "/tmp/x"]
    false ["/d_load" "/tmp/x"]               ["/fail" "/d_load" "/tmp/y"]
    true  ["/d_loadDir" "/tmp/x"]            ["/fail" "/d_loadDir" "/tmp/x"]
    false ["/d_loadDir" "/tmp/x"]            ["/fail" "/d_loadDir" "/tmp/y"]
    true  ["/d_recv" :bytes]                 ["/fail" "/d_recv" "failed"]
    true  ["/foo"]                           ["/fail" "/foo" "Command not found"]
    true  ["/foo"]                           ["/fail" "/foo"]))

;; servers that say nothing

(deftest questions-without-an-answer
  (are [expected said request] (let [e (failure/unanswered request)]
                                 (and (= expected (code e)) (= said (:words (ex-data e))) (true? (:inferred (ex-data e)))
                                      (= request (:request (ex-data e)))))
    :no-such-node   "Node 5 not found"  ["/n_query" 5]
    :no-such-node   "Node 5 not found"  ["/s_get" 5 "freq"]
    :no-such-node   "Node 5 not found"  ["/s_getn" 5 "freq" 2]
    :no-such-node   "Group 5 not found" ["/g_queryTree" 5 1]
    :command-failed nil                 ["/b_getn" 5 0 1]
    :command-failed nil                 ["/foo"]))

(deftest nodes-that-requests-need-and-make
  (are [request needs makes] (= {:needs needs, :makes makes} (failure/nodes-of request))
    ["/s_new" "bell" 1000 0 1]              {1 true}               [1000]
    ["/s_new" "bell" 1000 1 1 "freq" 440]   {1 true}               [1000]
    ["/s_new" "bell" 1000 2 5]              {5 false}              [1000]
    ["/s_new" "bell" 1000 4 5]              {5 false}              [1000]
    ["/s_newargs" "bell" 1000 3 5 "f" 1 2]  {5 false}              [1000]
    ["/g_new" 10 0 1]                       {1 true}               [10]
    ["/g_new" 10 0 1 11 2 5]                {1 true, 5 false}      [10 11]
    ["/p_new" 10 1 0]                       {0 true}               [10]
    ["/n_free" 5 6]                         {5 false, 6 false}     []
    ["/n_trace" 5]                          {5 false}              []
    ["/n_query" 5]                          {5 false}              []
    ["/s_noid" 5]                           {5 false}              []
    ["/g_freeAll" 5]                        {5 true}               []
    ["/g_deepFree" 5 6]                     {5 true, 6 true}       []
    ["/n_run" 5 1 6 0]                      {5 false, 6 false}     []
    ["/n_before" 5 6]                       {5 false, 6 false}     []
    ["/n_after" 5 6 7 8]                    {5 false, 6 false, 7 false, 8 false} []
    ["/g_head" 5 6]                         {5 true, 6 false}      []
    ["/g_tail" 5 6 5 7]                     {5 true, 6 false, 7 false} []
    ["/n_order" 0 5 6 7]                    {5 true, 6 false, 7 false} []
    ["/n_order" 2 5 6]                      {5 false, 6 false}     []
    ["/n_set" 5 "freq" 1]                   {5 false}              []
    ["/n_setn" 5 0 1 1]                     {5 false}              []
    ["/n_mapan" 5 0 1 1]                    {5 false}              []
    ["/u_cmd" 5 0 "x"]                      {5 false}              []
    ["/b_zero" 5]                           {}                     []
    ["/c_set" 5 1]                          {}                     []
    ["/foo" 5]                              {}                     [])
  (testing "one that is moved and then moved into is a group, whatever the order"
    (is (= {5 true, 6 true, 7 false} (:needs (failure/nodes-of ["/g_head" 5 6 6 7]))))
    (is (= {5 true, 6 true, 7 false} (:needs (failure/nodes-of ["/g_head" 6 7 5 6])))))
  (testing "what a request makes itself need not be there"
    (is (= {:needs {1 true}, :makes [10 11]} (failure/nodes-of ["/g_new" 10 0 1 11 0 10])))))

(defspec raw-requests-have-nodes-or-none {:num-tests 500, :seed 31}
  ;; A moment with :confirm may hold what (sc/send! s …) was given, however it looks.
  (prop/for-all [request (gen/let [address (gen/elements ["/s_new" "/s_newargs" "/g_new" "/p_new" "/n_free" "/n_run" "/n_before" "/g_head"
                                                          "/n_order" "/n_set" "/u_cmd" "/g_freeAll" "/foo"])
                                   args    (gen/vector (gen/elements ["x" 5 1.5 0 [1 2]]) 0 6)]
                           (into [address] args))]
                (let [{:keys [needs makes]} (failure/nodes-of request)]
                  (and (map? needs) (vector? makes)))))

(deftest failures-are-inferred-from-what-is-there
  (let [before {1 :group, 5 :synth, 6 :group}
        seen   (fn [request before after & [known]]
                 (let [e (failure/inferred request before after (or known #{"bell"}))]
                   (when e (is (true? (:inferred (ex-data e)))))
                   [(some-> e code) (:node (ex-data e))]))]
    (testing "nothing is wrong"
      (are [request after] (= [nil nil] (seen request before (merge before after)))
        ["/s_new" "bell" 1000 0 1]   {1000 :synth}
        ["/s_new" "other" 1000 0 1]  {1000 :synth}
        ["/s_new" "bell" 1000 0 0]   {1000 :synth}
        ["/s_new" "bell" 1000 4 5]   {1000 :synth}
        ["/g_new" 10 0 1 11 1 1]     {10 :group, 11 :group}
        ["/g_new" 10 0 1 11 0 10]    {10 :group, 11 :group}
        ["/n_set" 5 "freq" 1]        {}
        ["/n_free" 5 6]              {5 nil, 6 nil}
        ["/g_head" 6 5]              {}
        ["/g_freeAll" 0]             {}
        ["/c_set" 0 1]               {}))
    (testing "in the order in which scsynth looks"
      (are [expected request after] (= expected (seen request before (merge before after)))
        [:no-such-synthdef nil] ["/s_new" "other" 1000 0 1] {}
        [:out-of-memory nil]    ["/s_new" "bell" 1000 0 1]  {}
        [:out-of-memory nil]    ["/g_new" 10 0 1]           {}
        [:out-of-memory nil]    ["/g_new" 10 0 1 11 0 1]    {10 :group}
        [:duplicate-node 5]     ["/s_new" "bell" 5 0 1]     {}
        [:duplicate-node 6]     ["/g_new" 6 0 1]            {}
        [:no-such-node 9]       ["/s_new" "bell" 1000 0 9]  {}
        [:no-such-node 5]       ["/s_new" "bell" 1000 0 5]  {}
        [:no-such-node 9]       ["/s_new" "bell" 1000 2 9]  {}
        [:no-such-node 9]       ["/n_set" 9 "freq" 1]       {}
        [:no-such-node 9]       ["/n_free" 5 9]             {}
        [:no-such-node 5]       ["/g_freeAll" 5]            {}
        [:no-such-node 5]       ["/g_head" 5 6]             {}
        [:no-such-node 9]       ["/n_order" 0 1 5 9]        {}))))

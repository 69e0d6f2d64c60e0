(ns espalier.model.inspector-test
  "What the inspector's page shows, and what is new in it."
  (:require
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :refer [for-all]]
   [espalier.model.error :as error]
   [espalier.model.inspector :as inspector]
   [espalier.model.json :as json]
   [espalier.model.state :as state]
   [espalier.pages :as pages]))

(set! *warn-on-reflection* true)

;; ---- JSON

(deftest values-as-json
  (are [text value] (= text (json/text value))
    "null"                       nil
    "true"                       true
    "12"                         12
    "0.5"                        1/2
    "440.0"                      440.0
    "1.0E-5"                     1e-5
    "\"NaN\""                    ##NaN
    "\"-Infinity\""              ##-Inf
    "\"bell\""                   :bell
    "\"a\\\"\\\\\\n\\u0001é\""   "a\"\\\n\u0001é"
    "\"\\u2028\\ud800\""         (str \u2028 (char 0xd800))
    "[1,[2,\"x\"],{}]"           [1 '(2 "x") {}]
    "{\"a\":[],\"1000\":{\"b\":null}}" (array-map :a #{} 1000 {:b nil})))

(def ^:private any-json
  (gen/recursive-gen (fn [inner] (gen/one-of [(gen/vector inner) (gen/map (gen/fmap keyword (gen/not-empty gen/string-alphanumeric)) inner)]))
                     (gen/one-of [gen/string gen/small-integer gen/boolean (gen/return nil) (gen/double* {:infinite? false, :NaN? false})])))

(defspec json-can-be-read 60
  (for-all [x any-json]
    (= x (pages/json (json/text x)))))

;; ---- nodes

(def ^:private known
  (reduce state/step (state/initial)
          [[:expect 1001 {:kind :synth, :def "bell"}]
           ["/n_go" 1 0 -1 -1 1 -1 -1]
           ["/n_go" 1000 1 -1 -1 1 -1 -1]
           ["/n_go" 1001 1000 -1 -1 0]
           ["/n_off" 1001 1000 -1 -1 0]
           [:note [[1000 {:key :mix}]]]]))

(def ^:private tree
  {:id 0, :kind :group, :complete? true
   :children [{:id 1, :kind :group
               :children [{:id 1000, :kind :group, :key :mix
                           :children [{:id 1001, :kind :synth, :def "bell", :paused true, :controls {"freq" 440.0, "amp" "c5", "pan" [0.0 1.0]}}]}]}]})

(def ^:private nodes
  {0    {:id 0, :kind :group, :children [1]}
   1    {:id 1, :kind :group, :children [1000]}
   1000 {:id 1000, :kind :group, :key ":mix", :children [1001]}
   1001 {:id 1001, :kind :synth, :def "bell", :paused true, :controls [["freq" 440.0] ["amp" "c5"] ["pan" [0.0 1.0]]]}})

(deftest a-tree-by-id
  (is (= nodes (inspector/told-nodes {} tree)))
  (testing "what is known without a question is the same but for values"
    (is (= (update nodes 1001 dissoc :controls) (inspector/known-nodes {} known)))
    (is (= nodes (inspector/known-nodes nodes known))))
  (testing "values are those of a synth with that SynthDef"
    (is (= (update nodes 1001 dissoc :controls) (inspector/known-nodes (assoc-in nodes [1001 :def] "other") known))))
  (testing "controls that a tree lacks are those from before"
    (is (= nodes (inspector/told-nodes nodes (update-in tree [:children 0 :children 0 :children 0] dissoc :controls))))))

(deftest what-may-be-asked-for
  (is (= {:port 8000, :write? true, :controls? true, :meters? false, :poll-ms 500, :drift-ms nil}
         (inspector/options {:port 8000, :write? true, :drift-ms nil})))
  (are [code words opts] (let [e (try (inspector/options opts) (catch clojure.lang.ExceptionInfo e e))]
                           (and (= code (error/code e)) (re-find words (ex-message e))))
    :espalier.error/unknown-option #"Did you mean :port" {:prot 1}
    :espalier.error/invalid-option #":write\? is true or false, not 1" {:write? 1}
    :espalier.error/invalid-option #"not 70000" {:port 70000}
    :espalier.error/invalid-option #":poll-ms" {:poll-ms 1}
    :espalier.error/invalid-option #":drift-ms" {:drift-ms 1.5}
    :espalier.error/invalid-option #"a map" nil)
  (are [value text] (= value (inspector/control-value text))
    440.0 "440", -1.5e-3 " -1.5e-3 ", [0.5 1.0] "0.5, 1", [1.0 2.0] "[1 2]")
  (doseq [text [nil "" "loud" "1, loud" "1;2"]]
    (is (thrown? IllegalArgumentException (inspector/control-value text)) text)))

(deftest what-is-said-in-words
  (are [line event] (= line (inspector/event-line event))
    ["late" "warn" "A bundle came 0.02 s late."]                {:event :late, :late-s 0.02}
    ["fail" "error" "The server refused /s_new: no such thing."] {:event :command-failed, :message ["/fail" "/s_new" "no such thing"]}
    ["lifecycle" "error" "The server is lost: it ended."]        {:event :lost, :why "it ended"}
    ["lifecycle" "info" "Logged in."]                            {:event :connected})
  (is (= {:roots 1, :edits ["free :bass"], :error nil} (inspector/drift 1 [{:edit :free, :node :bass}])))
  (is (= "no-answer: None." (:error (inspector/drift 1 [] (error/error :no-answer "None." {})))))
  (is (= [["bell" [["freq" 440.0] ["amp" 0.1]]] ["old" nil]]
         (inspector/synthdefs {"old" nil, "bell" {"amp" {:index 1, :size 1, :default 0.1}, "freq" {:index 0, :size 1, :default 440.0}}}))))

(deftest the-log-is-bounded
  (let [page (reduce (fn [page n] (inspector/logged page "now" "output" "info" (str n))) inspector/page (range 1200))]
    (is (= (map str (range 700 1200)) (map :text (:log page))))
    (is (= 1200 (:logged page)))
    (testing "who has seen nothing for long is told those that are kept"
      (is (= 500 (count (:log (inspector/news inspector/page page))))))))

;; ---- what is new

(def ^:private node
  (gen/let [id (gen/choose 0 8), d (gen/elements ["a" "b"]), v (gen/choose 0 2)]
    {:id id, :kind :synth, :def d, :controls [["freq" v]]}))

(def ^:private pages
  "Pages that follow each other: logs only grow."
  (gen/fmap (fn [steps]
              (reductions (fn [page [nodes status n stale]]
                            (-> (reduce (fn [page i] (inspector/logged page "now" "output" "info" (str i))) page (range n))
                                (assoc :nodes (into {} (map (juxt :id identity)) nodes) :stale stale)
                                (assoc-in [:server :status] status)))
                          inspector/page steps))
            (gen/vector (gen/tuple (gen/vector node 0 6) (gen/elements ["online" "lost"]) (gen/choose 0 3) gen/boolean) 1 12)))

(defn- as-browser
  "A page as a browser has it."
  [page]
  (pages/json (json/text (-> page (dissoc :logged) (update :nodes vals)))))

(defspec news-make-of-one-page-the-next 100
  (for-all [all pages, skipped (gen/vector gen/boolean 13)]
    ;; Of some steps nothing is told.
    (let [seen  (cons (first all) (remove nil? (map (fn [page skip?] (when-not skip? page)) (rest all) skipped)))
          told  (cons (inspector/news (first seen)) (keep (fn [[a b]] (inspector/news a b)) (partition 2 1 seen)))
          shown (reduce pages/apply-news {} (map (comp pages/json json/text) told))]
      (= (-> (as-browser (last seen)) (update :nodes set))
         (-> (dissoc shown :told) (update :nodes (comp set vals)))))))

(deftest nothing-new-nothing-told
  (is (nil? (inspector/news inspector/page inspector/page)))
  (is (nil? (inspector/news inspector/page (assoc inspector/page :nodes {}))))
  (is (= {:nodes {:changed [{:id 1, :kind :synth}], :gone [2]}}
         (inspector/news (assoc inspector/page :nodes {2 {:id 2, :kind :synth}, 3 {:id 3}})
                         (assoc inspector/page :nodes {1 {:id 1, :kind :synth}, 3 {:id 3}})))))

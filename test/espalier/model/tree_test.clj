(ns espalier.model.tree-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check :as tc]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.error :as error]
   [espalier.model.tree :as tree]))

(set! *warn-on-reflection* true)

;; what scsynth 3.13 answered: a chord of four notes with two mapped slots, a synth with a control named twice
(def ^:private from-scsynth
  ["/g_queryTree.reply" 1 0 1 1 2 1000 2
   1001 -1 "pad" 9 "out" (float 0.0) "freqs" (float 100.0) 2 "a7" 3 (float 300.0) 4 (float 400.0)
   "amp" "c5" "gate" (float 1.0) "attack" (float 0.8) "release" (float 1.2)
   1002 -1 "dup" 5 "x" (float 1.0) "arr" (float 5.0) 2 (float 6.0) 3 (float 7.0) "x" (float 3.0)
   1003 0])

(def ^:private pad-controls
  {"out" 0.0 "freqs" [100.0 "a7" 300.0 400.0] "amp" "c5" "gate" 1.0 "attack" 0.8 "release" 1.2})

(deftest reads-what-scsynth-answers
  (is (= {:id 0 :kind :group
          :children
          [{:id 1 :kind :group
            :children
            [{:id 1000 :kind :group
              :children
              [{:id 1001 :kind :synth :def "pad" :controls pad-controls}
               {:id 1002 :kind :synth :def "dup" :controls {"x" 1.0 "arr" [5.0 6.0 7.0] 4 3.0}}]}
             {:id 1003 :kind :group :children []}]}]}
         (tree/parse from-scsynth)))
  (testing "controls in the order of the server"
    (is (= ["out" "freqs" "amp" "gate" "attack" "release"]
           (-> (tree/parse from-scsynth) :children first :children first :children first :controls keys))))
  (testing "what supernova answers for a control named twice: the first has no name"
    (is (= {0 1.0 "arr" [5.0 6.0] "x" 3.0}
           (:controls (tree/parse ["/g_queryTree.reply" 1 7 -1 "dup" 4 0 1.0 "arr" 5.0 2 6.0 "x" 3.0]))))))

(deftest reads-replies-without-controls
  (is (= {:id 0 :kind :group
          :children [{:id 1 :kind :group :children [{:id 1000 :kind :synth :def "pad"}]}
                     {:id 2 :kind :group :children []}]}
         (tree/parse ["/g_queryTree.reply" 0 0 2 1 1 1000 -1 "pad" 2 0]))))

(deftest shows-the-layout-of-the-reference-page
  (is (= (str/join "\n"
                   ["NODE TREE 0 group"
                    "    1 group"
                    "        1000 group"
                    "            1001 bell"
                    "                out: 4.0, freq: 440.0, amp: 0.1"])
         (tree/text (tree/parse ["/g_queryTree.reply" 1 0 1 1 1 1000 1 1001 -1 "bell" 3
                                 "out" (float 4.0) "freq" (float 440.0) "amp" (float 0.1)]))))
  (is (= (str/join "\n"
                   ["NODE TREE 0 group"
                    "    1 group"
                    "        1000 group"
                    "            1001 pad"
                    (str "                out: 0.0, freqs: [100.0, a7, 300.0, 400.0], amp: c5, gate: 1.0,"
                         " attack: 0.8, release: 1.2")
                    "            1002 dup"
                    "                x: 1.0, arr: [5.0, 6.0, 7.0], 4: 3.0"
                    "        1003 group"])
         (tree/text (tree/parse from-scsynth))))
  (testing "a synth without controls is one line"
    (is (= "NODE TREE 1000 ping" (tree/text {:id 1000 :kind :synth :def "ping" :controls {}})))))

(deftest rounds-to-six-digits
  (let [shown (fn [x] (second (re-find #"x: (.*)" (tree/text {:id 1 :kind :synth :def "d" :controls {"x" x}}))))]
    (is (= ["0.333333" "55.0" "-0.5" "440.0" "16777216.0" "0.000001" "0.0" "120.5"]
           (map shown [(/ 1.0 3.0) 55 -0.5 440 16777216.0 0.000001 0.0 120.5])))
    (testing "what is too small or too large for that is shown as it is, never as 0"
      (is (= ["1.0E-9" "3.4E38" "Infinity" "NaN"]
             (map shown [1e-9 3.4e38 ##Inf ##NaN]))))))

;; --- laws

(def ^:private gen-float
  (gen/one-of [(gen/elements [0.0 1.0 0.1 440.0 -1.0])
               (gen/fmap (fn [x] (Double/parseDouble (Float/toString (float x))))
                         (gen/double* {:min -1e30 :max 1e30 :NaN? false :infinite? false}))]))

(def ^:private gen-value
  (gen/frequency [[6 gen-float]
                  [1 (gen/fmap (fn [[c n]] (str c n)) (gen/tuple (gen/elements ["a" "c"]) (gen/choose 0 20000)))]]))

(def ^:private gen-controls
  (gen/let [names  (gen/vector-distinct gen/string-alphanumeric {:max-elements 20})
            values (gen/vector (gen/one-of [gen-value (gen/vector gen-value 2 9)]) (count names))]
    (apply array-map (interleave names values))))

(def ^:private gen-id (gen/choose 0 Integer/MAX_VALUE))

(defn- gen-tree [controls?]
  (gen/recursive-gen
    (fn [child] (gen/fmap (fn [[id children]] {:id id :kind :group :children children})
                          (gen/tuple gen-id (gen/vector child 0 6))))
    (gen/fmap (fn [[id def-name controls]]
                (cond-> {:id id :kind :synth :def def-name} controls? (assoc :controls controls)))
              (gen/tuple gen-id gen/string-alphanumeric gen-controls))))

(defn- slots [controls]
  (second
    (reduce (fn [[slot out] [k v]]
              (let [vs (if (vector? v) v [v])
                    ks (cons k (range (inc slot) (+ slot (count vs))))
                    wire (map (fn [x] (if (number? x) (float x) x)) vs)]
                [(+ slot (count vs)) (into out (interleave ks wire))]))
            [0 []]
            controls)))

(defn- encoded [{:keys [id kind children controls] :as node}]
  (if (= :group kind)
    (into [id (count children)] (mapcat encoded) children)
    (cond-> [id -1 (:def node)]
      controls (-> (conj (quot (count (slots controls)) 2)) (into (slots controls))))))

(defn- reply [controls? tree]
  (into ["/g_queryTree.reply" (if controls? 1 0)] (encoded tree)))

(defn- control-orders [tree]
  (map (comp seq :controls) (tree-seq :children :children tree)))

(def ^:private gen-case
  (gen/let [controls? gen/boolean
            tree      (gen-tree controls?)]
    {:tree tree :reply (reply controls? tree)}))

(defn- holds [n property]
  (let [{:keys [pass? shrunk seed]} (tc/quick-check n property :max-size 20)]
    (is pass? (str "seed " seed ", smallest: " (pr-str (:smallest shrunk))))))

(deftest every-tree-is-read-back
  (holds 200
         (prop/for-all [{:keys [tree reply]} gen-case]
                       (let [seen (tree/parse reply)]
                         (and (= tree seen)
                              (= (control-orders tree) (control-orders seen)))))))

(deftest every-node-has-its-line
  (holds 100
         (prop/for-all [{:keys [tree]} gen-case]
                       (= (map :id (tree-seq :children :children tree))
                          (keep (fn [line] (some-> (re-find #"^(?:NODE TREE )?\s*(\d+) (?!.*: )" line) second parse-long))
                                (str/split-lines (tree/text tree)))))))

(defn- named-error? [reply]
  (try (tree/parse reply)
       false
       (catch clojure.lang.ExceptionInfo e
         (= :espalier.error/bad-reply (error/code e)))))

(deftest every-cut-reply-is-a-named-error
  (holds 100
         (prop/for-all [{:keys [reply]} gen-case
                        cuts (gen/vector gen/nat 1 20)]
                       (and (every? (fn [n] (named-error? (subvec reply 0 (mod n (count reply))))) cuts)
                            (named-error? (conj reply 1000))))))

(deftest spoilt-replies-fail-only-by-name
  (holds 200
         (prop/for-all [{:keys [reply]} gen-case
                        places (gen/vector (gen/tuple gen/nat (gen/elements [nil -2 -1 0 3 Integer/MAX_VALUE 0.5 "" "c" :k [] false]))
                                           1 4)]
                       (let [spoilt (reduce (fn [r [i x]] (assoc r (mod i (count r)) x)) reply places)]
                         (or (named-error? spoilt) (some? (tree/parse spoilt)))))))

(deftest bad-replies-say-where
  (doseq [[index reply] [[0 []]
                         [0 ["/n_info" 0 0 1]]
                         [1 ["/g_queryTree.reply"]]
                         [3 ["/g_queryTree.reply" 0 0 -2]]
                         [3 ["/g_queryTree.reply" 0 0 "1"]]
                         [4 ["/g_queryTree.reply" 0 0 1]]
                         [4 ["/g_queryTree.reply" 0 0 0 5]]
                         [4 ["/g_queryTree.reply" 0 0 -1 7]]
                         [5 ["/g_queryTree.reply" 1 0 -1 "x" -1]]
                         [6 ["/g_queryTree.reply" 1 0 -1 "x" 1 3 0.0]]
                         [7 ["/g_queryTree.reply" 1 0 -1 "x" 1 "freq" "x5"]]]]
    (let [e (try (tree/parse reply) nil (catch clojure.lang.ExceptionInfo e e))]
      (is (= :espalier.error/bad-reply (some-> e error/code)) reply)
      (is (= index (:index (ex-data e))) reply)
      (is (str/includes? (str (ex-message e)) (str " at " index))))))

(deftest depth-and-size-have-no-limit
  (let [depth 20000
        deep  (tree/parse (into ["/g_queryTree.reply" 0] (mapcat (fn [id] [id (if (= id depth) 0 1)])) (range (inc depth))))]
    (is (= depth (:id (nth (iterate (comp first :children) deep) depth)))))
  (testing "text of a deep tree"
    (let [deep (reduce (fn [child id] {:id id :kind :group :children [child]})
                       {:id 0 :kind :group :children []}
                       (range 1 2000))]
      (is (= 2000 (count (str/split-lines (tree/text deep)))))))
  (testing "many children, many controls"
    (let [n    3000
          wide (tree/parse (into ["/g_queryTree.reply" 1 0 1 5 -1 "many" n]
                                 (mapcat (fn [i] [(str "c" i) (float i)]))
                                 (range n)))]
      (is (= (map #(str "c" %) (range n)) (keys (:controls (first (:children wide)))))))))

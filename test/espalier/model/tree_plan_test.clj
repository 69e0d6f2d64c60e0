(ns espalier.model.tree-plan-test
  "A tree that does not fit into one reply is read by questions, and an answer that is
  lost is asked for again."
  (:require
   [clojure.test :refer [deftest is testing]]
   [espalier.model.tree-plan :as plan]))

(set! *warn-on-reflection* true)

(def ^:private controls {"freq" {:index 0, :size 1, :default 440.0}})

(def ^:private ids [20 21 30 31])

(def ^:private known
  "A group of some synths."
  {:synthdefs {"bell" controls}
   :nodes     (into {1 {:id 1, :kind :group, :parent 0, :previous nil, :next nil, :head (first ids), :tail (peek ids)}}
                    (map (fn [before id after] [id {:id id, :kind :synth, :def "bell", :parent 1, :previous before, :next after}])
                         (cons nil ids) ids (conj (subvec ids 1) nil)))})

(def ^:private structure
  "What the server tells without controls."
  {:id 1, :kind :group, :children (mapv (fn [id] {:id id, :kind :synth, :def "bell"}) ids)})

(defn- answer [{:keys [what id]}]
  (case what
    :structure structure
    :values    [(double id)]))

(def ^:private limit
  "Enough for the tree without its controls."
  (aget ^longs (.get ^java.util.HashMap (plan/sizes known 1) 1) 1))

(defn- read-through
  "The tree that is read from a server that leaves those questions unanswered of which `lost?`
  tells, of each and how often it was asked before; and all that was asked."
  [lost?]
  (loop [reading (plan/reading {:known known, :top 1, :sizes (plan/sizes known 1), :tree-controls? true, :limit-bytes limit
                                :controls? true, :max-depth 100, :max-infos 100, :root-told? true})
         round 0, asked []]
    (let [wants (plan/wants reading)]
      (if (or (empty? wants) (= 20 round))
        {:tree (plan/assembled reading identity nil), :asked asked}
        (let [times   (frequencies (map (juxt :what :id) asked))
              answers (into {} (keep (fn [{:keys [what id] :as want}]
                                       (when-not (lost? want (get times [what id] 0)) [[what id] (answer want)])))
                            wants)]
          (recur (plan/learn reading round wants answers) (inc round) (into asked wants)))))))

(defn- freqs [tree]
  (into {} (keep (fn [{:keys [id controls]}] (when controls [id controls]))) (tree-seq :children :children tree)))

(def ^:private all {20 {"freq" 20.0}, 21 {"freq" 21.0}, 30 {"freq" 30.0}, 31 {"freq" 31.0}})

(deftest answers-that-are-lost
  (testing "none"
    (let [{:keys [tree]} (read-through (constantly false))]
      (is (= [true all] [(:complete? tree) (freqs tree)]))))
  (testing "one that comes the second or third time"
    (doseq [n [1 2]]
      (let [{:keys [tree]} (read-through (fn [{:keys [what id]} times] (and (= [:values 21] [what id]) (< (long times) (long n)))))]
        (is (= [true all] [(:complete? tree) (freqs tree)])))))
  (testing "one that never comes is missing, and reading ends"
    (let [{:keys [tree asked]} (read-through (fn [{:keys [what id]} _] (= [:values 21] [what id])))]
      (is (= [false {21 #{:controls}}] [(:complete? tree) (:missing tree)]))
      (is (= (dissoc all 21) (freqs tree)))
      (is (< (count asked) 20)))))

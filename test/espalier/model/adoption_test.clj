(ns espalier.model.adoption-test
  (:require
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.adoption :as adoption]
   [espalier.model.form :as form]))

(set! *warn-on-reflection* true)

(defn- rows
  "The rows of a form; those that play have ids from 100 on, in order, and no keys."
  [form]
  (form/rows form nil :id))

(defn- playing [form]
  (into [] (map-indexed (fn [i [node parent]] [(cond-> (dissoc node :key) (pos? i) (assoc :id (+ 99 i))) parent])) (rows form)))

(defn- keyed
  "From the keys of a form to the ids of what plays."
  [form plays]
  (into {} (keep (fn [[{:keys [key id]}]] (when (some? key) [key id]))) (:rows (adoption/adopted (rows form) (playing plays)))))

(deftest keys-name-what-plays
  (let [bell (fn [k freq] [:synth {:key k, :def :bell} {:freq freq}])]
    (testing "as it stands"
      (is (= {:g 100, :a 101, :b 102}
             (keyed [:group {:key :g} (bell :a 1) (bell :b 2)] [:group (bell nil 1) (bell nil 2)]))))
    (testing "by the controls, wherever it is among its siblings"
      (is (= {:b 100, :a 101} (keyed [(bell :a 1) (bell :b 2)] [(bell nil 2) (bell nil 1)]))))
    (testing "by the order, where the controls are others"
      (is (= {:a 100, :b 101} (keyed [(bell :a 1) (bell :b 2)] [(bell nil 3) (bell nil 4)]))))
    (testing "a group by what is in it"
      (is (= {:two 100, :one 102, :a 103, :b 101}
             (keyed [[:group {:key :one} (bell :a 1)] [:group {:key :two} [:synth {:key :b, :def :organ}]]]
                    [[:group [:synth {:def :organ}]] [:group (bell nil 1)]]))))
    (testing "a group in which more plays, and less, by the order"
      (is (= {:one 100, :a 101} (keyed [[:group {:key :one} (bell :a 1) [:synth {:key :c, :def :organ}]]] [[:group (bell nil 1) (bell nil 5)]]))))
    (testing "by an id that is given"
      (is (= {:a 101} (keyed [:synth {:key :a, :id 101, :def :bell} {:freq 1}] [(bell nil 1) (bell nil 2)]))))
    (testing "not what is of another kind"
      (is (= {} (keyed [(bell :a 1)] [[:synth {:def :organ}] [:group]]))))))

(deftest what-lacks-and-what-nobody-knows
  (let [{:keys [rows missing unknown found]} (adoption/adopted (rows [[:synth {:key :a, :def :bell}] [:synth {:key :b, :def :organ}]])
                                                       (playing [[:synth {:def :bell}] [:synth {:def :bell}]]))]
    (is (= 1 found))
    (is (= [101] (map (comp :id first) unknown)))
    (is (= [:b] (map (comp :key first) missing)))
    (is (= [nil :a nil] (map (comp :key first) rows)))))

(deftest keys-are-made-up
  (is (= [nil :group :bell [:bell 2] [:group 2] :organ]
         (map (comp :key first)
              (:rows (adoption/adopted [[{:kind :group} -1]]
                                       (playing [[:group [:synth {:def :bell}] [:synth {:def :bell}]] [:group [:synth {:def :organ}]]])))))))

(def ^:private tree
  (gen/recursive-gen
    (fn [inner] (gen/fmap (fn [children] (into [:group {}] children)) (gen/vector inner 0 4)))
    (gen/let [d (gen/elements [:bell :organ]), freq (gen/choose 1 3)] [:synth {:def d} {:freq freq}])))

(defspec a-tree-is-found-in-itself-however-it-is-shuffled 40
  (prop/for-all [forms (gen/vector tree 0 4), seed gen/large-integer]
    (let [random  (java.util.Random. seed)
          mixed   (fn mixed [[kind :as form]]
                    (if (= :group kind)
                      (let [children (java.util.ArrayList. ^java.util.Collection (mapv mixed (drop 2 form)))]
                        (java.util.Collections/shuffle children random)
                        (into [:group {}] children))
                      form))
          wanted  (rows (into [:group {}] forms))
          playing (playing (mixed (into [:group {}] forms)))
          found   (adoption/matches wanted playing)
          what    (fn [rows i] (let [{:keys [kind def]} (first (nth rows i))] [kind def]))]
      (and (= (count wanted) (count found) (count (set (vals found))))
           (every? (fn [[w p]] (= (what wanted w) (what playing p))) found)))))

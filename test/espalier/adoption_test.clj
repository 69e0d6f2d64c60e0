(ns espalier.adoption-test
  "Trees that play already, taken over by a client that has not declared them."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(use-fixtures :once servers/sharing)

(defn- voice [k freq] [:synth {:key k, :def instruments/organ} {:freq freq, :amp 0}])

(def ^:private piece
  [[:group {:key :low} (voice :a 100) (voice :b 200)]
   [:group {:key :high} (voice :c 300) [:synth {:key :d, :def instruments/bass} {:amp 0}]]])

(def ^:private moved
  "The same, in another order, with one control set and one synth more."
  [[:group {:key :high} [:synth {:key :d, :def instruments/bass} {:amp 0}] (voice :c 330)]
   [:group {:key :low} (voice :b 200) (voice :a 100) (voice :new 500)]])

(defn- with-guest
  "Calls `f` with an owner that has the piece declared, and another client."
  [f]
  (servers/each-kind servers/udp-kinds {:maximum-logins 4, :memory-size 65536}
    (fn [s]
      (sc/reconcile! s piece)
      (with-open [guest ^java.io.Closeable (sc/server)]
        (sc/connect! guest (servers/address s))
        (f s guest)))))

(defn- ids [s] (into {} (map (fn [k] [k (:id (sc/node s k))])) [:low :high :a :b :c :d]))

(deftest a-fresh-client-goes-on-with-what-plays
  (with-guest
    (fn [s guest]
      (let [{:keys [root found missing unknown] :as report} (sc/adopt! guest moved)]
        (is (= [1 6 [:new] []] [root found missing unknown]))
        (is (re-find #"^#<Report adopted 6 nodes of group 1; what does not play: :new>$" (pr-str report)))
        (is (= (ids s) (:ids report) (ids guest)) "keys name what plays")
        (is (= [] (sc/drift guest)))
        (is (= #{:move :set :add} (set (map :edit (:edits (sc/plan guest moved {:root 1}))))) "nothing is freed")
        (let [{:keys [edits confirmed?]} (sc/reconcile! guest moved {:root 1})]
          (is (= {:add 1, :set 1} (select-keys (frequencies (map :edit edits)) [:add :set :free :replace])))
          (is confirmed?))
        (is (= (ids s) (ids guest)))
        (is (= [] (sc/drift guest)))
        (is (= {:freq 330.0} (sc/get-controls (sc/node guest :c) [:freq])))))))

(deftest without-a-tree-keys-are-made-up
  (with-guest
    (fn [_ guest]
      (let [{:keys [ids tree]} (sc/adopt! guest)]
        (is (= #{:group [:group 2] :organ [:organ 2] [:organ 3] :bass} (set (keys ids))))
        (is (= {:freq 200.0} (sc/get-controls (sc/node guest [:organ 2]) [:freq])))
        (is (= 0 (:bundle-count (sc/reconcile! guest tree {:root 1}))) "its tree is what plays")
        (is (= 1 (:bundle-count (sc/reconcile! guest (pop tree) {:root 1}))) "and what is left out is freed")
        (is (nil? (sc/node guest [:organ 3])))))))

(deftest what-is-not-in-the-tree-is-told
  (with-guest
    (fn [s guest]
      (let [{:keys [unknown found]} (sc/adopt! guest (first piece))]
        (is (= 3 found))
        (is (= [(:id (sc/node s :high)) (:id (sc/node s :c)) (:id (sc/node s :d))] unknown))
        (is (= {:free 1} (frequencies (map :edit (:edits (sc/plan guest (first piece) {:root 1}))))))))))

(deftest of-several-clients-one-is-said
  (with-guest
    (fn [s guest]
      (sc/add-group! guest)
      (with-open [third ^java.io.Closeable (sc/server)]
        (sc/connect! third (servers/address s))
        (is (= :invalid-option (servers/error-of #(sc/adopt! third piece))))
        (is (= [1 6] ((juxt :root :found) (sc/adopt! third piece {:root 1}))))
        (is (= :unknown-synthdef (servers/error-of #(sc/adopt! third [:synth {:def :nobody}] {:root 1}))))
        (is (= [] (sc/drift third)) "what was wrong has changed nothing")))))

(deftest what-was-adopted-is-in-a-snapshot
  (with-guest
    (fn [_ guest]
      (sc/adopt! guest piece)
      (is (= [:low :a :b :high :c :d] (mapv :key (:nodes (sc/snapshot guest))))))))

(ns espalier.state-test
  "What the client knows of its server, beside what the server says."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :refer [address each-kind error-of eventually kinds leaves-nothing supernova? udp-kinds]]))

(set! *warn-on-reflection* true)

(use-fixtures :each leaves-nothing)

(defn- children [nodes id]
  (take-while some? (iterate #(:next (nodes %)) (:head (nodes id)))))

(defn- known-tree
  "The tree as the state links it, without SynthDefs."
  ([s] (known-tree (:nodes (sc/state s)) 0))
  ([nodes id]
   (if (= :group (:kind (nodes id)))
     {:id id, :kind :group, :children (mapv #(known-tree nodes %) (children nodes id))}
     {:id id, :kind (:kind (nodes id))})))

(defn- told-tree [tree]
  (if (= :group (:kind tree))
    (update (select-keys tree [:id :kind :children]) :children #(mapv told-tree %))
    (select-keys tree [:id :kind])))

(defn- agrees?
  "Whether the client knows the tree that the server tells, and expects nothing more.
  After a burst supernova may have no memory to tell it, for a moment, and says so or nothing."
  [s]
  (and (= (known-tree s) (try (told-tree (sc/query-tree s {:controls false, :timeout-ms 1000}))
                              (catch clojure.lang.ExceptionInfo e
                                (when-not (#{:espalier.error/reply-too-large :espalier.error/no-answer} (:espalier/error (ex-data e)))
                                  (throw e)))))
       (= (count (:nodes (sc/state s)))
          (count (tree-seq :children :children (known-tree s))))))

(deftest the-state-follows-the-server
  (each-kind kinds {}
             (fn [s]
               (is (eventually #(agrees? s)))
               (let [[bell] (sc/add-synthdefs! s (io/resource "golden/instruments/bell.scsyndef"))
                     g (sc/add-group! s), h (sc/add-group! s {:action :after, :target g})
                     y (sc/add-synth! s bell {} {:target g}), z (sc/add-synth! s bell {} {:target y, :action :before})]
                 (is (contains? #{:expected :playing} (get-in (sc/state s) [:nodes (:id y) :status])))
                 (is (eventually #(agrees? s)))
                 (is (= {:kind :synth, :def "bell", :parent (:id g), :previous (:id z), :next nil, :status :playing}
                        (select-keys (get-in (sc/state s) [:nodes (:id y)]) [:kind :def :parent :previous :next :status])))
                 (is (contains? (get-in (sc/state s) [:synthdefs "bell"]) "freq"))
                 (sc/move! z :tail h)
                 (sc/pause! y)
                 (is (eventually #(and (agrees? s) (= :paused (get-in (sc/state s) [:nodes (:id y) :status])))))
                 (testing "a node that replaces another"
                   (let [w (sc/add-synth! s bell {} {:target z, :action :replace})]
                     (is (eventually #(and (agrees? s) (get-in (sc/state s) [:nodes (:id w)]))))
                     (is (= :freed-entity (error-of #(sc/set-controls! z {:freq 1}))))))
                 (testing "buffers and buses"
                   (let [b (sc/add-buffer! s {:frame-count 10, :channel-count 2}), bus (sc/add-bus! s {:rate :audio})]
                     (is (= {:frame-count 10, :channel-count 2, :status :allocated}
                            (select-keys (get-in (sc/state s) [:buffers (:id b)]) [:frame-count :channel-count :status])))
                     (is (= #{(:id bus)} (get-in (sc/state s) [:buses :audio])))
                     (sc/free! b)
                     (sc/free! bus)
                     (is (= [{} #{}] [(:buffers (sc/state s)) (get-in (sc/state s) [:buses :audio])]))))
                 (sc/reset-server! s)
                 (is (eventually #(agrees? s)))
                 (is (= :freed-entity (error-of #(sc/set-controls! y {:freq 1}))))
                 (is (= :freed-entity (error-of #(sc/set-controls! g {:freq 1}))))))))

(deftest what-is-lost-in-a-burst-is-found-again
  (each-kind kinds {:maximum-node-count 16384, :memory-size 262144}
             (fn [s]
               (let [keeper (sc/add-group! s {:confirm true})
                     make-and-free! (fn [n]
                                      (sc/at s nil
                                        (let [a (sc/add-group! s {:target keeper})]
                                          (dotimes [_ n] (sc/add-group! s {:target a}))
                                          (sc/free! a))))]
                 (testing "5,000 nodes made and freed in one block; supernova would not survive that, but 1,900"
                   (if (supernova? s)
                     (do (is (= :too-much-at-once (error-of #(make-and-free! 5000))))
                         (make-and-free! 1900))
                     (make-and-free! 5000))
                   (is (eventually #(agrees? s)))
                   (is (contains? (:nodes (sc/state s)) (:id keeper))))
                 (testing "3,000 nodes made in one block, more than one reply of a tree tells"
                   (let [ids (sc/at s nil (vec (repeatedly 3000 #(:id (sc/add-group! s {:target keeper, :action :tail})))))]
                     (is (eventually #(= ids (children (:nodes (sc/state s)) (:id keeper)))))))
                 (testing "freed in one block"
                   (sc/free-children! keeper)
                   (is (eventually #(agrees? s))))))))

(deftest another-client-is-seen
  (doseq [kind udp-kinds]
    (each-kind [kind] {:maximum-logins 2}
               (fn [s]
                 (with-open [^java.io.Closeable guest (sc/connect! (sc/server) (address s))]
                   (let [g (sc/add-group! guest {:confirm true})]
                     (is (eventually #(get-in (sc/state s) [:nodes (:id g)])))
                     (is (eventually #(agrees? s)))
                     (is (eventually #(agrees? guest)) "what was there before it came, too")))))))

(deftest what-never-came-is-not-expected-for-ever
  (each-kind udp-kinds {}
             (fn [s]
               (let [y (sc/add-synth! s :no-such-def)]
                 (is (eventually #(not (contains? (:nodes (sc/state s)) (:id y)))))
                 (is (= :freed-entity (error-of #(sc/set-controls! y {:freq 1}))))))))

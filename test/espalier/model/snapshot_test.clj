(ns espalier.model.snapshot-test
  (:require
   [clojure.edn :as edn]
   [clojure.test :refer [deftest is testing]]
   [espalier.instruments :as instruments]
   [espalier.model.ledger :as ledger]
   [espalier.model.snapshot :as snapshot]
   [espalier.model.state :as state]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.ugen :as ugen]
   [espalier.model.wiring :as wiring]
   [espalier.servers :as servers]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer [in:ar out:ar out:kr play-buf:ar]]))

(set! *warn-on-reflection* true)

(defn- snapshot-of [more]
  (snapshot/of (merge {:engine :scsynth, :client-id 0, :maximum-logins 1, :options {:port 57110, :on-lost +, :password "sesame"}
                       :state (state/initial), :ledger ledger/initial, :synthdefs {}, :freed {}, :blocks {:buffer [], :control-bus [], :audio-bus []}, :roots {}}
                      more)))

(def ^:private playing
  "A state with a group of another client, the default group, and in that a group with a synth, and a
  recorder."
  (reduce state/step (state/initial)
          [[:tree {:id 0, :kind :group
                   :children [{:id 1, :kind :group, :children [{:id 1000, :kind :group, :children [{:id 1001, :kind :synth, :def "bell"}]}
                                                               {:id 1002, :kind :synth, :def "espalier-recorder-2"}]}
                              {:id 67109864, :kind :group, :children []}]}]
           [:synthdefs {"bell" (synthdef/controls instruments/bell), "espalier-recorder-2" {"buffer" {:index 0, :size 1, :default 0.0}}}]]))

(deftest only-what-is-this-clients-and-the-users
  (let [l (reduce #(ledger/step %1 %2 {:known-of (:synthdefs playing), :below {}}) ledger/initial
                  [["/s_new" "bell" 1001 0 1000 "freq" 330.0] ["/s_new" "espalier-recorder-2" 1002 0 1 "buffer" 4]
                   ["/b_alloc" 4 65536 2] ["/b_alloc" 5 64 1] ["/c_set" 3 0.5 4 0.0]])
        x (snapshot-of {:state playing, :ledger l, :blocks {:buffer [[4 1] [5 1]], :control-bus [[3 2]], :audio-bus []}
                        :synthdefs {"espalier-recorder-2" {}}, :freed {"bell" instruments/bell, "pad" {}}})]
    (is (= [{:id 1000, :in 1, :kind :group} {:id 1001, :in 1000, :kind :synth, :def "bell", :controls {"freq" 330.0}}] (:nodes x)))
    (is (= {5 {:steps [["/b_alloc" 5 64 1]]}} (:buffers x)))
    (is (= [[5 1]] (:buffer (:blocks x))))
    (is (= [{} {"bell" instruments/bell}] [(:synthdefs x) (:freed x)]) "of what was freed, what plays")
    (is (= {3 0.5} (:bus-values x)) "all begin with 0")
    (is (= {:port 57110} (:options x)) "a function cannot be written, and a password should not")))

(deftest written-it-is-plain
  (let [x (-> (snapshot-of {:synthdefs {"bell" instruments/bell}})
              (assoc :buffers {3 {:steps [["/b_alloc" 3 2 1] ["/b_setn" 3 0 2 (float-array [0.1 -2])]
                                          {:copy ["/b_gen" 3 "copy" 0 4 0 -1], :of [["/b_alloc" 4 1 1] ["/b_setn" 4 0 1 (float-array [5])]]}]}}
                     :declared {1 {:rows [], :buffers {:table {:spec {:samples (float-array [1 2])}}
                                                       :kick  {:spec (java.io.File. "kick.wav")}
                                                       :own   {:spec {:frame-count 5, :restore-with +}}}}}))
        y (edn/read-string (pr-str (snapshot/written x)))
        z (snapshot/check y)]
    (is (= (snapshot/written x) y))
    (is (= instruments/bell (get-in z [:synthdefs "bell"])))
    (is (= [(float 0.1) -2.0] (vec (get-in z [:buffers 3 :steps 1 4]))))
    (is (= [5.0] (vec (get-in z [:buffers 3 :steps 2 :of 1 4]))))
    (is (= [1.0 2.0] (vec (get-in z [:declared 1 :buffers :table :spec :samples]))))
    (is (= "kick.wav" (get-in z [:declared 1 :buffers :kick :spec])))
    (is (= {:frame-count 5} (get-in z [:declared 1 :buffers :own :spec])))))

(deftest what-is-none-is-refused
  (let [x (snapshot-of {})]
    (doseq [bad [nil 5 {} [] (assoc x :espalier/snapshot 99) (dissoc x :nodes) (assoc x :buffers []) (assoc x :loads [["/quit"]])
                 (assoc x :buffers {3 {:steps [["/quit"]]}}) (assoc x :buffers {3 {:steps [{:copy ["/b_gen" 3 "copy" 0 4 0 -1], :of [["/n_free" 1]]}]}}) (assoc x :espalier/snapshot "1")]]
      (is (= :invalid-snapshot (servers/error-of #(snapshot/check bad))) (pr-str bad)))
    (is (re-find #"version 99.* up to 1" (ex-message (servers/thrown #(snapshot/check (assoc x :espalier/snapshot 99))))))))

(deftest nodes-come-with-the-groups-they-are-in
  (let [x {:nodes [{:id 10, :in 1, :kind :group} {:id 11, :in 10, :kind :group} {:id 12, :in 11, :kind :synth, :root 10}
                   {:id 13, :in 1, :kind :synth} {:id 14, :in 1, :kind :synth, :root 1}]
           :declared {1 {}, 10 {}}}
        ids (fn [by-hand?] (mapv :id (snapshot/wanted-nodes x by-hand?)))]
    (is (= [10 11 12 14] (ids false)))
    (is (= [10 11 12 13 14] (ids true)))))

(deftest mapped-to-what-is-not-there
  (is (= {"a" "c8", "b" [1.0 "a4"]}
         (snapshot/mapped-beyond {:controls {"a" "c8", "b" [1.0 "a4"], "c" "c7", "d" "a3", "e" 9.0}} {:control-bus-channel-count 8, :audio-bus-channel-count 4}))))

(deftest requests
  (is (= [["/g_new" 10 1 1] ["/p_new" 11 1 10] ["/s_new" "bell" 12 1 10 "freq" 330.0] ["/n_run" 10 0]]
         (snapshot/node-requests [{:id 10, :in 1, :kind :group, :paused true} {:id 11, :in 10, :kind :group, :parallel true}
                                  {:id 12, :in 10, :kind :synth, :def "bell", :controls {"freq" 330.0}}])))
  (is (= [["/c_setn" 3 2 0.5 0.25] ["/c_setn" 9 1 1.0]] (snapshot/bus-requests {9 1.0, 4 0.25, 3 0.5, 100 1.0} 100)))
  (is (= [[3 3] [6 1] [9 1]] (snapshot/runs [3 4 5 6 9] 3))))

(defsynth ^:private wired
  [out 0, bus 0, buffer 0, lfo 0, freq 440, outs [0 1]]
  (out:ar out (in:ar bus 1))
  (out:ar (* 2 freq) (play-buf:ar 1 buffer))
  (out:ar (second outs) (in:ar bus 1))
  (out:kr lfo 1))

(deftest controls-that-are-numbers
  (let [numbers (wiring/numbers wired ugen/ugens)]
    (is (= {"out" :audio-buses, "bus" :audio-buses, "buffer" :buffers, "lfo" :control-buses, "outs" [nil :audio-buses]} numbers)
        "what a UGen reads with nothing in between")
    (is (= {"out" 20.0, "freq" 16.0, "buffer" 7.0, "outs" [16.0 20.0], "lfo" 16.0, "bus" "c16"}
           (wiring/moved {"out" 16.0, "freq" 16.0, "buffer" 3.0, "outs" [16.0 16.0], "lfo" 16.0, "bus" "c16"} numbers
                         {:audio-buses {16 20}, :buffers {3 7}})))))

(deftest with-other-numbers
  (let [x {:blocks   {:buffer [[3 1]], :control-bus [[0 2]], :audio-bus [[16 1]]}
           :buffers  {3 {:steps [["/b_alloc" 3 8 1] {:copy ["/b_gen" 3 "copy" 0 4 0 -1], :of [["/b_alloc" 4 8 1]]}]}}
           :bus-values {1 0.5}
           :nodes    [{:id 1000, :in 1, :kind :synth, :def "wired", :root 1, :controls {"out" 16.0, "freq" "c1", "outs" ["a16" 16.0]}}]
           :declared {1 {:rows  [[{:kind :group} -1] [{:kind :synth, :key :a, :def "wired", :controls {"out" 16.0, "freq" "c1"}} 0]]
                         :keys  {:a 1000}
                         :buses {:verb {:id 16, :rate :audio}, :lfo {:id 0, :rate :control, :count 2}}, :buffers {:tab {:id 3}}}}}
        numbers {"wired" (wiring/numbers wired ugen/ugens)}]
    (is (= {:blocks   {:buffer [[7 1]], :control-bus [[5 2]], :audio-bus [[20 1]]}
            :buffers  {7 {:was 3, :steps [["/b_alloc" 7 8 1] {:copy ["/b_gen" 7 "copy" 0 4 0 -1], :of [["/b_alloc" 4 8 1]]}]}}
            :bus-values {6 0.5}
            :nodes    [{:id 2000, :in 2, :kind :synth, :def "wired", :root 2, :controls {"out" 20.0, "freq" "c6", "outs" ["a20" 20.0]}}]
            :declared {2 {:rows  [[{:kind :group} -1] [{:kind :synth, :key :a, :def "wired", :controls {"out" 20.0, "freq" "c6"}} 0]]
                          :keys  {:a 2000}
                          :buses {:verb {:id 20, :rate :audio}, :lfo {:id 5, :rate :control, :count 2}}, :buffers {:tab {:id 7}}}}}
           (snapshot/moved x {:nodes {1000 2000, 1 2}, :buffers {3 7}, :control-buses {0 5, 1 6}, :audio-buses {16 20}} numbers)))
    (is (= (assoc-in x [:buffers 3 :was] 3) (snapshot/moved x {:nodes {}, :buffers {}} numbers)))))

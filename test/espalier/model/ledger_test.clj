(ns espalier.model.ledger-test
  (:require
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.ledger :as ledger]))

(set! *warn-on-reflection* true)

(def ^:private known
  {"freq" {:index 0, :size 1, :default 440.0}
   "amps" {:index 1, :size 3, :default [0.1 0.2 0.3]}
   "t_on" {:index 4, :size 1, :default 0.0}})

(defn- after
  "The ledger after requests, where SynthDef bell is known and group 7 has nodes 1000 and 1001 in it."
  [& requests]
  (reduce (fn [l request] (ledger/step l request {:known-of {"bell" known}, :below {7 [1000 1001]}})) ledger/initial requests))

(defn- controls [l id]
  (ledger/controls (get-in l [:nodes id]) (get {"bell" known} (get-in l [:nodes id :def]))))

(deftest controls-are-as-they-were-set-last
  (doseq [[wanted requests]
          [[{"freq" 220.0} [["/s_new" "bell" 1000 0 1 "freq" 220]]]
           [{"freq" 330.0} [["/s_new" "bell" 1000 0 1 "freq" 220] ["/n_set" 1000 "freq" 330.0]]]
           [{"freq" 330.0} [["/s_new" "bell" 1000 0 1] ["/n_set" 1000 0 330.0]]]
           [{"freq" 330.0} [["/s_new" "bell" 1000 0 1] ["/n_set" 7 "freq" 330.0]]]
           [{} [["/s_new" "bell" 1000 0 1] ["/n_set" 8 "freq" 330.0]]]
           [{"freq" 0.1} [["/s_new" "bell" 1000 0 1 "freq" (float 0.1)]]]
           [{} [["/s_new" "bell" 1000 0 1 "freqs" 330.0]]]]]
    (testing requests
      (is (= wanted (controls (apply after requests) 1000))))))

(deftest arrays-are-told-whole
  (doseq [[wanted requests]
          [[[1.0 2.0 3.0] [["/n_set" 1000 "amps" [1 2 3]]]]
           [[1.0 2.0 3.0] [["/n_set" 1000 "amps" [1 2 3 4]]]]
           [[0.1 9.0 0.3] [["/n_set" 1000 2 9.0]]]
           [[0.1 8.0 9.0] [["/n_setn" 1000 2 2 8.0 9.0]]]
           [[5.0 5.0 0.3] [["/n_fill" 1000 "amps" 2 5.0]]]
           [["c3" "c4" 0.3] [["/n_mapn" 1000 "amps" 3 2]]]
           [["a3" 0.2 0.3] [["/n_mapa" 1000 "amps" 3]]]
           [["c5" 0.2 0.3] [["/n_set" 1000 "amps" "c5"]]]]]
    (testing requests
      (is (= {"amps" wanted} (controls (apply after ["/s_new" "bell" 1000 0 1] requests) 1000))))))

(deftest what-is-mapped-keeps-its-value
  (let [l (after ["/s_new" "bell" 1000 0 1 "freq" 220.0] ["/n_map" 1000 "freq" 5])]
    (is (= {"freq" "c5"} (controls l 1000)))
    (is (= {"freq" 220.0} (controls (ledger/step l ["/n_map" 1000 "freq" -1] {:known-of {"bell" known}}) 1000)))
    (is (= {"freq" 330.0} (controls (ledger/step l ["/n_set" 1000 "freq" 330.0] {:known-of {"bell" known}}) 1000)))))

(deftest what-is-no-request-leaves-nothing
  (doseq [request [["/s_new" "bell"] ["/s_new"] ["/n_set"] ["/n_set" "bell" "freq" 1] ["/n_fill" 1000 "freq" 2000000000 1.0] ["/c_set" "a" 1 5]
                   ["/c_setn" 5] ["/b_alloc"] ["/b_alloc" "a" 1 1] ["/b_setn" 3 0 4] ["/b_gen" 3] ["/b_zero" 3] ["/d_free" "bell"]]]
    (testing request
      (is (= ledger/initial (after request)))))
  (let [l (apply after ["/b_alloc" 3 8 1] (repeat 5000 ["/b_fill" 3 0 2000000000 1.0]))]
    (is (= 1 (count (:buffers l))) "and no memory is taken for it")))

(deftest of-a-synthdef-that-is-not-known-there-is-what-was-named
  (is (= {"freq" 220.0, 3 0.5, "amps" [1.0 2.0]}
         (controls (after ["/s_new" "other" 1000 0 1 "freq" 220.0 "amps" [1 2]] ["/n_set" 1000 3 0.5]) 1000))))

(deftest triggers-have-passed
  (is (= {"freq" 220.0} (controls (after ["/s_new" "bell" 1000 0 1 "freq" 220.0 "t_on" 1]) 1000))))

(deftest synths-that-ended-are-forgotten
  (let [l (after ["/s_new" "bell" 1000 0 1] ["/s_new" "bell" 1001 0 1])]
    (is (= [1001] (keys (:nodes (ledger/ended l 1000)))))
    (is (= [1000] (keys (:nodes (ledger/only l #{1000 5})))))))

(deftest buses-have-their-last-values
  (is (= {3 0.5, 4 1.0, 5 2.0, 9 7.0, 10 7.0}
         (:buses (after ["/c_set" 3 0.25 4 0.0] ["/c_set" 3 0.5] ["/c_setn" 4 2 1.0 2.0] ["/c_fill" 9 2 7.0])))))

;; ---- buffers

(defn- steps [l id] (get-in l [:buffers id :steps]))

(deftest what-makes-a-buffer
  (let [alloc ["/b_alloc" 3 1024 1], file ["/b_allocRead" 3 "kick.wav" 0 0], sine ["/b_gen" 3 "sine1" 7 1.0]]
    (doseq [[wanted requests]
            [[[alloc] [alloc]]
             [[file] [alloc file]]
             [nil [alloc ["/b_free" 3]]]
             [nil [["/b_zero" 3]]]
             [[alloc] [alloc sine ["/b_zero" 3]]]
             [[file ["/b_zero" 3]] [file ["/b_zero" 3]]]
             [[alloc sine] [alloc ["/b_fill" 3 0 9 1.0] sine]]
             [[["/b_alloc" 3 8 2] ["/b_fill" 3 0 9 1.0] sine] [["/b_alloc" 3 8 2] ["/b_fill" 3 0 9 1.0] sine]]
             [[file sine] [file sine]]
             [[alloc ["/b_fill" 3 0 9 1.0] ["/b_gen" 3 "sine1" 3 1.0]] [alloc ["/b_fill" 3 0 9 1.0] ["/b_gen" 3 "sine1" 3 1.0]]]
             [[alloc ["/b_read" 3 "kick.wav" 0 -1 0 0]] [alloc ["/b_read" 3 "kick.wav" 0 -1 0 1] ["/b_close" 3]]]
             [[alloc ["/b_gen" 3 "copy" 9 3 0 8]] [alloc ["/b_gen" 3 "copy" 9 3 0 8]]]
             [[alloc {:copy ["/b_gen" 3 "copy" 0 0 0 -1], :of [["/b_alloc" 0 8 1] ["/b_fill" 0 0 8 1.0]]}]
              [alloc ["/b_alloc" 4 8 1] ["/b_fill" 4 0 8 1.0] ["/b_gen" 3 "copy" 0 4 0 -1] ["/b_free" 4]]]]]
      (testing requests
        (is (= wanted (steps (apply after requests) 3)))))))

(deftest steps-for-another-buffer
  (is (= [["/b_alloc" 7 8 1] ["/b_gen" 7 "copy" 4 7 0 2] {:copy ["/b_gen" 7 "copy" 0 0 0 -1], :of [["/b_alloc" 0 8 1]]}]
         (ledger/for-buffer [["/b_alloc" 3 8 1] ["/b_gen" 3 "copy" 4 3 0 2] {:copy ["/b_gen" 3 "copy" 0 0 0 -1], :of [["/b_alloc" 0 8 1]]}] 7))))

(deftest what-cannot-be-known-is-said
  (is (= "it was made from buffer 4, and how that was made is not known"
         (get-in (after ["/b_alloc" 3 8 1] ["/b_gen" 3 "copy" 0 4 0 -1]) [:buffers 3 :why])))
  (testing "nor is all kept"
    (let [piece (fn [id i] ["/b_setn" id (* i 65536) 65536 (float-array 65536)])
          l     (apply after ["/b_alloc" 4 8 1] ["/b_alloc" 3 100000000 1] (map #(piece 3 %) (range 300)))]
      (is (= "more was sent for it, or for all buffers together, than is kept" (get-in l [:buffers 3 :why])))
      (is (= [["/b_alloc" 4 8 1]] (steps l 4)))
      (is (= (:cost l) (get-in l [:buffers 4 :sum]))))
    (let [l (apply after ["/b_alloc" 3 1024 1] (repeat 4200 ["/b_gen" 3 "normalize" 1.0]))]
      (is (some? (get-in l [:buffers 3 :why]))))))

(deftest samples-that-are-sent-again-cost-no-more
  (let [l (apply after ["/b_alloc" 3 4096 1] (for [i (range 3000)] ["/b_setn" 3 0 4096 (float-array 4096 i)]))]
    (is (< (long (:cost l)) 200000))
    (is (= 2999.0 (last (vec (last (last (steps l 3)))))))))

(defn- played
  "The samples of a buffer that steps set."
  [n steps]
  (let [image (float-array n)]
    (doseq [[address _ start k x] steps]
      (case address
        "/b_alloc" nil
        "/b_setn"  (System/arraycopy ^floats x 0 image (int start) (int k))
        "/b_fill"  (java.util.Arrays/fill image (int start) (int (+ (long start) (long k))) (float x))))
    (vec image)))

(def ^:private write
  (gen/let [start (gen/choose 0 50), n (gen/choose 1 14), x (gen/choose 1 1000), how (gen/elements [:set :setn :boxed :fill])]
    (case how
      :set   (into ["/b_set" 3] (mapcat (fn [i] [(+ start i) x])) (range n))
      :setn  ["/b_setn" 3 start n (float-array n x)]
      :boxed (into ["/b_setn" 3 start n] (repeat n (float x)))
      :fill  ["/b_fill" 3 start n (float x)])))

(defspec whatever-was-sent-the-steps-set-the-same 40
  (prop/for-all [writes (gen/vector write 0 60), often (gen/choose 1 15)]
    (let [writes (apply concat (repeat often writes))
          naive  (fn [[address _ & args]]
                   (case address
                     "/b_set"  (for [[i x] (partition 2 args)] ["/b_fill" 3 i 1 x])
                     "/b_fill" [(into ["/b_fill" 3] args)]
                     "/b_setn" [["/b_setn" 3 (first args) (second args) (if (instance? float/1 (nth args 2)) (nth args 2) (float-array (drop 2 args)))]]))
          l      (apply after ["/b_alloc" 3 64 1] writes)]
      (and (= (played 64 (mapcat naive writes)) (played 64 (steps l 3)))
           (<= (long (:cost l)) 75000)
           (= (:cost l) (get-in l [:buffers 3 :sum]))))))

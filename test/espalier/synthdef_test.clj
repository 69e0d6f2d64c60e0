(ns espalier.synthdef-test
  "What one meets when one writes SynthDefs: how they print, what their operators do, what
  is refused. The bytes are tested by golden-test and sclang-test."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.env :as env]
   [espalier.servers :refer [error-of thrown]]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.ugens :refer [control:kr out:kr pan2:ar sin-osc:ar with-operators]])
  (:import
   (java.io File)
   (java.util.concurrent ExecutionException)))

(set! *warn-on-reflection* true)

(defsynth ^:private hum
  "Hums."
  {:variants {:low {:freq 25}}}
  [freq 50, mod 2, amp {:default 0.1, :lag 0.5}]
  (out:kr 0 (* freq mod amp)))

(deftest it-prints-in-one-line-and-is-data
  (is (= "#<SynthDef hum [freq 50.0, mod 2.0, amp 0.1] 4 UGens>" (pr-str hum)))
  (is (= "Hums." (:doc (meta #'hum))))
  (is (= [["hum.low" [25.0 2.0 0.1]]] (:variants hum)))
  (is (= hum (first (synthdef/parse (synthdef/encode hum)))))
  (is (= #{1} (set (vals (update-vals hum (constantly 1))))))
  (is (str/starts-with? (pr-str (update-vals hum (constantly 1))) "{") "what a function makes of one prints as it is")
  (is (str/includes? (synthdef/text hum) "Out kr 0.0"))
  (doseq [x [:hum nil {} [hum] '(1 2 3)]]
    (is (= :invalid-argument (error-of #(synthdef/controls x)) (error-of #(synthdef/text x))) (pr-str x))))

(deftest operators-are-those-of-clojure-on-numbers
  (is (= [0 1 6 -2 1/2 true false 3] (with-operators [(reduce + []) (apply * []) (+ 1 2 3) (- 2) (/ 2) (< 1 2 3) (not 1) (abs -3)])))
  (is (= [[3 4] [0.5 1.0]] (with-operators [(+ [1 2] 2) (* 0.5 [1.0 2.0])]))))

(deftest controls-may-be-declared-where-they-are-used
  (is (= {"f" [1.0 2.0], "g" 0.0}
         (update-vals (synthdef/controls (synthdef/synthdef :x [] (fn [] (out:kr 0 (control:kr :f [1 2] :lag 0.1)) (out:kr 2 (control:kr :f :lag 0.1)) (out:kr 4 (control:kr :g)))))
                      :default)))
  (is (= :duplicate-control (error-of #(synthdef/synthdef :x [] (fn [] (control:kr :f 1 0.1) (control:kr :f 1 0.2)))))))

(deftest a-graph-is-made-by-one-thread-and-ends
  (let [graph (synthdef/synthdef :x [] (fn [] (try (doall (pmap (fn [_] (sin-osc:ar)) (range 4)))
                                                   (catch ExecutionException e (is (= :espalier.error/graph-elsewhere (:espalier/error (ex-data (ex-cause e)))))))
                                         nil))]
    (is (= [] (:ugens graph))))
  (doseq [endless [#(synthdef/synthdef :x [] (fn [] (repeat (sin-osc:ar))))
                   #(synthdef/playable :x (fn [] (repeat (sin-osc:ar))))
                   #(synthdef/synthdef :x [:f (repeat 440)] (fn [_]))]]
    (is (= :invalid-input (error-of endless)))))

(deftest mistakes-of-functions-are-named
  (testing "clojure.core called with a signal"
    (let [e (thrown #(synthdef/synthdef :x [] (fn [] (clojure.core/* 2 (sin-osc:ar)))))]
      (is (str/includes? (ex-message e) "with-operators"))))
  (is (thrown? ClassCastException (synthdef/synthdef :x [] (fn [] (name [1])))) "others are left alone")
  (is (= :invalid-argument (error-of #(synthdef/synthdef :x [:a 1] (fn [])))))
  (is (= :no-graph (error-of #(synthdef/declare-parameters [:a 1]))))
  (is (= :invalid-input (error-of #(synthdef/playable :x (fn [] 440)))))
  (is (= :unknown-option (error-of #(synthdef/playable :x (fn [] (sin-osc:ar)) {:chanels 2}))))
  (is (= :invalid-argument (error-of #(synthdef/read-file nil)) (error-of #(synthdef/read-directory nil)))))

(deftest what-is-played-keeps-its-rate
  (is (not-any? #{"K2A"} (map :class (:ugens (synthdef/playable :x (fn [] (pan2:ar (sin-osc:ar [440 443])))))))))

(deftest a-cutoff-takes-a-sequence-of-curves
  (is (= (env/cutoff 0.1 1 :exp) (env/cutoff 0.1 1 [:exp]))))

(deftest a-folder-is-written-and-read
  (let [folder (File. (System/getProperty "java.io.tmpdir") (str "espalier-" (java.util.UUID/randomUUID)))
        file   (File. folder "hum.scsyndef")]
    (.mkdir folder)
    (try
      (is (= (str file) (synthdef/write-file! file hum)))
      (is (= {"hum" hum} (synthdef/read-directory folder)))
      (is (= [hum] (synthdef/read-file (.toPath file))))
      (spit file "no SynthDef")
      (is (= {:path (str file), :offset 0} (select-keys (ex-data (thrown #(synthdef/read-file file))) [:path :offset])))
      (finally (.delete file) (.delete folder)))))

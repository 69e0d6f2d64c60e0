(ns espalier.model.synthdef-check-test
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing]]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.synthdef-check :as check])
  (:import
   (java.io File)
   (java.nio.file Files)))

(set! *warn-on-reflection* true)

(defn- golden [file-name]
  (first (synthdef/parse (Files/readAllBytes (.toPath ^File (io/file "test/golden/synthdefs" (str file-name ".scsyndef")))))))

(defn- ugen [ugen-class rate inputs outputs]
  {:class ugen-class, :rate rate, :inputs inputs, :outputs outputs, :special 0})

(defn- synthdef [ugens]
  {:kind :synthdef, :name "x", :constants [0.0], :parameters [], :parameter-names [], :ugens ugens, :variants []})

(defn- sine [& inputs] (ugen "SinOsc" :audio (vec inputs) [:audio]))

(defn- wires [& ugens] (check/wire-count (synthdef ugens)))

(deftest wires-are-counted-as-scsynth-does
  (is (= 0 (wires)))
  (is (= 0 (wires (ugen "SinOsc" :control [[:constant 0]] [:control]))) "only signals at audio rate need one")
  (is (= 1 (wires (sine) (sine [:ugen 0 0]) (sine [:ugen 1 0]))) "a chain writes into what it reads")
  (is (= 3 (wires (sine) (sine) (sine))) "what nobody reads keeps its own")
  (is (= 2 (wires (sine) (sine) (ugen "Out" :audio [[:ugen 0 0] [:ugen 1 0]] []) (sine) (sine))) "what was read is used again")
  (is (= 2 (wires (sine) (sine [:ugen 0 0]) (ugen "Out" :audio [[:ugen 0 0] [:ugen 1 0]] []))))
  (is (= 1 (wires (sine) (ugen "Out" :audio [[:ugen 0 0] [:ugen 0 0]] []) (sine))) "read twice by one")
  (testing "a UGen that does not write where it reads"
    (is (= 2 (wires (sine) (ugen "PlayBuf" :audio [[:ugen 0 0]] [:audio]))))
    (is (= 1 (wires (sine) (ugen "LPF" :audio [[:ugen 0 0]] [:audio])))))
  (testing "what a UGen at demand rate reads is not used again"
    (is (= 2 (wires (sine) (ugen "Dseq" :demand [[:ugen 0 0]] [:demand]) (sine)))))
  (testing "several outputs"
    (is (= 4 (wires (ugen "In" :audio [] [:audio :audio :audio :audio]) (ugen "Out" :audio [[:ugen 0 0] [:ugen 0 3]] []) (sine) (sine))))
    (is (= 1 (wires (ugen "Pan2" :audio [] [:audio :control]))))))

(deftest wires-of-what-sclang-compiled
  (is (= {"default" 3, "mix_eight" 5, "local_feedback" 4, "playbuf_stereo" 2, "binary_ops" 0, "demand_seq" 1, "fft_chain" 1, "muladd" 5}
         (into {} (map (juxt identity (comp check/wire-count golden)))
               ["default" "mix_eight" "local_feedback" "playbuf_stereo" "binary_ops" "demand_seq" "fft_chain" "muladd"]))))

(def ^:private known {"SinOsc" #{:scsynth :supernova}, "Out" #{:scsynth :supernova}, "OnlyHere" #{:scsynth}, "Nowhere" #{}})

(defn- problems
  ([d limits] (problems d limits known))
  ([d limits known] (mapv :problem (check/problems d limits known))))

(deftest what-is-known-to-be-wrong
  (let [d (synthdef [(sine) (sine) (ugen "Out" :audio [[:ugen 0 0] [:ugen 1 0]] [])])]
    (is (= [] (problems d {:engine :scsynth, :wire-buffer-count 2}) (problems d {:engine :supernova, :wire-buffer-count 1})))
    (is (= [:too-many-wires] (problems d {:engine :scsynth, :wire-buffer-count 1})))
    (is (= [] (problems d {:engine :scsynth, :wire-buffer-count nil})) "nobody knows how many there are")
    (testing "UGens"
      (let [with (fn [& ugen-classes] (update d :ugens into (map #(ugen % :control [] [:control])) ugen-classes))]
        (is (= [] (problems (with "OnlyHere" "APlugin") {:engine :scsynth})) "what is in no table may be a plug-in")
        (is (= [:no-such-ugen] (problems (with "OnlyHere" "OnlyHere") {:engine :supernova})))
        (is (= ["Nowhere" "OnlyHere"] (map :ugen (check/problems (with "OnlyHere" "Nowhere") {:engine :supernova} known))))
        (is (= [] (problems (with "Nowhere") {:engine :scsynth} nil)) "without a table")))
    (testing "names"
      (doseq [[n engines] [["" #{:scsynth :supernova}]
                           ["жук" #{:scsynth :supernova}]
                           [(apply str (repeat 128 \a)) #{:supernova}]
                           [(apply str (repeat 127 \a)) #{}]
                           ["käfer" #{}]]
              engine      [:scsynth :supernova]]
        (is (= (if (engines engine) [:bad-name] []) (problems (assoc d :name n) {:engine engine})) (pr-str n engine))))
    (is (every? (comp string? :says) (check/problems (assoc d :name "") {:engine :scsynth, :wire-buffer-count 1} {"Out" #{}})))))

(deftest definitions-count-variants
  (let [d (golden "default")]
    (is (= [0 1 2 5] (map check/definitions [[] [d] [d d] [d (assoc d :variants [["d.a" []] ["d.b" []] ["d.c" []]])]])))))

(deftest what-is-not-known-is-a-need
  (let [d    (synthdef [(sine) (sine) (ugen "Out" :audio [[:ugen 0 0] [:ugen 1 0]] [])])
        none {:ugens #{}, :wires 0}]
    (is (= #{[:ugen "SinOsc"] [:ugen "Out"] [:whole d]} (check/needs [d d] none :scsynth nil)))
    (is (= #{[:ugen "SinOsc"] [:ugen "Out"]} (check/needs [d] none :supernova nil)) "supernova has wires for all")
    (is (= #{[:ugen "Out"]} (check/needs [d] {:ugens #{"SinOsc"}, :wires 2} :scsynth nil)))
    (is (= #{} (check/needs [] none :scsynth nil)))
    (testing "a UGen of which nobody knows how it writes may need more"
      (let [d (synthdef [(sine) (ugen "APlugin" :audio [[:ugen 0 0]] [:audio])])]
        (is (= #{} (check/needs [d] {:ugens #{"SinOsc" "APlugin"}, :wires 1} :scsynth (assoc known "APlugin" #{:scsynth}))))
        (is (= #{[:whole d]} (check/needs [d] {:ugens #{"SinOsc" "APlugin"}, :wires 1} :scsynth known)))
        (is (= #{} (check/needs [(synthdef [(sine) (ugen "BinaryOpUGen" :audio [[:ugen 0 0] [:constant 0]] [:audio])])]
                                {:ugens #{"SinOsc" "BinaryOpUGen"}, :wires 1} :scsynth known))
            "operators are in no table of UGens")))
    (testing "trials can be written, and need nothing else"
      (doseq [need (conj (check/needs [d] none :scsynth nil) [:room] [:files])]
        (let [trial (check/trial need "t")]
          (is (= [(assoc trial :name "t")] (synthdef/parse (synthdef/encode [trial]))))
          (is (<= (count (:ugens trial)) (if (= :whole (first need)) 3 1))))))
    (testing "what was met is no need any more"
      (let [proven (check/met none (check/needs [d] none :scsynth nil))]
        (is (= {:ugens #{"SinOsc" "Out"}, :wires 2} proven))
        (is (= #{} (check/needs [d] proven :scsynth nil)))
        (is (:files? (check/met proven [[:room] [:files]])))))
    (testing "what was not met is a problem of those that need it"
      (is (= [[[:no-such-ugen "Out"]] [] [[:too-many-wires 2]] [] [[:no-such-ugen "SinOsc"]]]
             (for [[needs d] [[[[:ugen "Out"]] d] [[[:ugen "Saw"]] d] [[[:whole d]] d] [[[:whole d]] (assoc d :name "other")]
                              [[[:whole d] [:ugen "SinOsc"]] d]]]
               (map (juxt :problem #(or (:ugen %) (:wires %))) (check/unmet d needs :scsynth))))))))

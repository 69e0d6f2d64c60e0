(ns espalier.play-test
  "Graphs that are heard at once, on real servers."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.instruments :as instruments]
   [espalier.servers :as servers :refer [error-of eventually]]
   [espalier.ugens :refer [add control:kr dc:ar dc:kr env-gen:kr out:kr sin-osc:ar]]))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- synth-count [s] (:synth-count (sc/status s)))

(defn- heard
  "The values of control buses, to a thousandth."
  [buses]
  (mapv #(/ (Math/rint (* 1000 (double %))) 1000) (sc/get-buses buses)))

(defn- plays-fades-and-ends [s]
  (let [before (:synthdef-count (sc/status s))
        synth  (sc/play s (* 0.1 (sin-osc:ar [440 442])))]
    (is (= :synth (:kind synth)))
    (is (= 1 (synth-count s)))
    (is (= before (:synthdef-count (sc/status s))) "the SynthDef is forgotten")
    (is (= {"gate" 1.0, "fadeTime" 0.02, "out" 0.0} (sc/get-controls synth ["gate" "fadeTime" "out"])))
    (sc/release! synth)
    (is (= synth (sc/await-ended synth)))
    (is (= 0 (synth-count s)))))

(defn- goes-where-it-is-told [s]
  (let [buses (sc/add-bus-group! s {:count 3})
        synth (sc/play s (dc:kr 0.5) {:bus buses, :fade-time-s 0})]
    (is (eventually #(= [0.5 0.5 0.0] (heard buses))) "one signal is on two channels")
    (sc/free! synth)
    (sc/set-buses! buses [0 0 0])
    (let [synth (sc/play s [(dc:kr 0.1) (dc:kr 0.2) (+ (dc:kr 0.1) 0.2)] {:bus buses, :fade-time-s 0})]
      (is (eventually #(= [0.1 0.2 0.3] (heard buses))) "several are on as many")
      (sc/free! synth))
    (sc/set-buses! buses [0 0 0])
    (let [synth (sc/play s (out:kr (:id buses) (dc:kr 0.7)))]
      (is (eventually #(= [0.7 0.0 0.0] (heard buses))) "what puts out itself is left alone")
      (sc/free! synth))))

(defn- ends-by-itself-and-has-controls [s]
  (is (sc/await-ended (sc/play s (* (sin-osc:ar) 0.1 (env-gen:kr (env/perc 0.001 0.01) :done-action :free-self)))))
  (let [synth (sc/play s (* (sin-osc:ar (control:kr :freq 300)) (env-gen:kr (env/asr 0.01 0.1 0.02) (control:kr :gate 1) :done-action :free-self)))]
    (sc/set-controls! synth {:freq 500})
    (is (= {:freq 500.0} (sc/get-controls synth [:freq])))
    (sc/release! synth)
    (is (sc/await-ended synth))))

(defn- plays-in-a-moment [s]
  (let [[group a b] (sc/at s nil
                      (let [group (sc/add-group! s)]
                        [group (sc/play s (dc:ar 0) {:target group}) (sc/play s (dc:ar 0) {:target group, :action :tail})]))]
    (is (eventually #(= [(:id a) (:id b)] (mapv :id (sc/children group)))))))

(defn- refuses-mistakes [s]
  (let [n (servers/last-n s)]
    (is (= :wrong-rate (error-of #(sc/play s (espalier.ugens/lpf:ar (dc:kr 1))))))
    (is (= :invalid-input (error-of #(sc/play-graph! s (fn [] (add (sin-osc:ar) nil))))))
    (is (= :unknown-option (error-of #(sc/play s (dc:ar 0) {:buss 3}))))
    (doseq [x [:bell instruments/bell]]
      (is (re-find #"signal belongs.* \(sc/add-synth! s :bell\) starts a synth of a SynthDef\. At play_test\.clj:\d+\.$" (ex-message (servers/thrown #(sc/play s x))))))
    (is (= [] (servers/sent-after s n)) "nothing is sent"))
  (let [before (:synthdef-count (sc/status s))]
    (is (= :invalid-argument (error-of #(sc/play s (dc:ar 0) {:action :nowhere}))))
    (is (= before (:synthdef-count (sc/status s))) "nor is a SynthDef left")))

(deftest a-graph-is-heard
  (servers/each-kind servers/udp-kinds {}
    (fn [s]
      (doseq [[what f] {"plays, fades and ends"              plays-fades-and-ends
                        "goes where it is told"              goes-where-it-is-told
                        "ends by itself, and has controls"   ends-by-itself-and-has-controls
                        "plays in a moment"                  plays-in-a-moment
                        "a mistake starts nothing"           refuses-mistakes}]
        (testing what (f s))))))

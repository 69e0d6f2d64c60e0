(ns ^:many-servers espalier.pieces-test
  "The pieces in examples/ sound: each is rendered, and its length and loudness are measured."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.servers :as servers]
   [espalier.wav :as wav]
   [pieces.main :as pieces])
  (:import
   (java.io File)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- loudness
  "The RMS of each whole second of a channel."
  [path channel rate-hz]
  (let [^floats samples (wav/samples path channel)
        rate-hz         (long rate-hz)]
    (for [i (range (quot (alength samples) rate-hz))
          :let [part (java.util.Arrays/copyOfRange samples (int (* (long i) rate-hz)) (int (* (inc (long i)) rate-hz)))]]
      (Math/sqrt (/ (double (areduce part j sum 0.0 (+ sum (let [x (aget part j)] (* x x))))) rate-hz)))))

(defn- render
  "Renders a piece; returns what `pieces.main/render!` does, with `:loudness` of each channel."
  [piece]
  (let [file (File/createTempFile (str piece) ".wav")
        path (str file)]
    (try
      (let [{:keys [sample-rate-hz] :as rendered} (pieces/render! piece path)]
        (assoc rendered :loudness (mapv #(vec (loudness path % sample-rate-hz)) [0 1])))
      (finally (io/delete-file file)))))

(def ^:private played
  "What pieces return that tell of themselves."
  {'stream {:notes 196, :late 0}, 'jam {:answered 7}})

(defn- check [piece]
  (let [{:keys [duration-s peak loudness] :as rendered} (render piece)]
    (testing piece
      (is (< 12 duration-s 25))
      (is (< 0.2 peak 0.95))
      (doseq [seconds loudness]
        (is (< 0.6 (/ (count (filter #(< 0.01 %) seconds)) (double (count seconds)))) (pr-str seconds))
        (is (< (peek seconds) 0.02) "it comes to an end"))
      (is (= (get played piece (:played rendered)) (:played rendered))))))

(defn- check-all
  "Renders pieces at the same time: JACK allows eight servers on a machine."
  [pieces]
  (run! deref (mapv #(future (check %)) pieces)))

(deftest some-pieces-sound
  (check-all '[mix stream jam]))

(deftest ^:soak the-others-sound
  (check-all (remove '#{mix stream jam} pieces/pieces)))

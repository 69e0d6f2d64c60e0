(ns espalier.instruments-test
  "The instruments as a server plays them: all at once, each on buses of its own and
  recorded into a buffer of its own, one note of 0.8 seconds and the silence behind it."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is testing]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.servers :as servers]
   [espalier.model.spectrum :as spectrum]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.ugens :refer [in:ar record-buf:ar]])
  (:import
   (java.nio.file Files)))

(set! *warn-on-reflection* true)

(deftest sclang-makes-the-same-bytes
  (doseq [d [instruments/bell instruments/pluck instruments/bass instruments/pad instruments/reverb]
          :let [file (io/file "test/golden/instruments" (str (:name d) ".scsyndef"))]]
    (is (= (seq (Files/readAllBytes (.toPath file))) (seq (synthdef/encode d))) (:name d))))

(deftest they-take-the-same-controls
  (doseq [d instruments/all
          :let [controls (set (keys (synthdef/controls d)))]
          :when (not= "reverb" (:name d))]
    (is (every? controls ["out" "amp"]) (:name d))
    (when-not (= "pad" (:name d))
      (is (= ["out" "freq" "amp" "pan"] (take 4 (keys (synthdef/controls d)))) (:name d)))))

;; ---- played

(def ^:private rate-hz 44100)
(def ^:private frames 66150)
(def ^:private gate-s 0.8)

(defsynth tape
  "Records two buses to a buffer, once."
  [in 0, buf 0]
  (record-buf:ar (in:ar in 2) buf :loop 0 :done-action :free-self))

(def ^:private notes
  "A note of each, with a peak of about 0.5, that has ended within 1.4 seconds.

      :pitch   the frequency of the strongest tone
      :within  the frequencies among which it is looked for: where chance colours a
               sound, or what is loudest is not what gives the pitch
      :bright  the frequency about which a sound without pitch is balanced"
  [{:synth instruments/bell :set {:freq 660 :amp 0.5 :decay 1} :pitch 660}
   {:synth instruments/pluck :set {:freq 220 :amp 0.4 :decay 1} :pitch 220 :within [160 310]}
   {:synth instruments/pluck :set {:freq 880 :amp 0.6 :decay 1} :pitch 880 :within [630 1240]}
   {:synth instruments/bass :set {:freq 55 :amp 0.5 :dur 1} :pitch 55}
   {:synth instruments/electric-piano :set {:freq 220 :amp 0.5 :decay 1.2} :pitch 220}
   {:synth instruments/electric-piano :set {:freq 440 :amp 0.5 :decay 20} :pitch 440 :gate true}
   {:synth instruments/pad :set {:freqs [330 330 330 330] :amp 0.5 :attack 0.1 :release 0.3} :pitch 330 :gate true}
   {:synth instruments/lead :set {:freq 440 :amp 0.5} :pitch 440 :gate true}
   {:synth instruments/organ :set {:freq 220 :amp 0.5} :pitch 220 :gate true}
   {:synth instruments/kick :set {:freq 50 :amp 0.5 :decay 0.9} :pitch 50 :from-s 0.1}
   {:synth instruments/snare :set {:freq 185 :amp 0.5 :decay 0.5} :pitch 185 :within [100 1000]}
   {:synth instruments/hat :set {:freq 8000 :amp 0.5 :decay 0.6} :bright 8000}
   {:synth synthdef/default :set {:frequency 330 :amplitude 0.5 :pan 0} :pitch 330 :gate true}])

(defn- play!
  "Plays the notes, each recorded; returns them with their buffers when all have ended."
  [s]
  (let [notes   (sc/at s nil
                  (mapv #(assoc % :bus    (sc/add-bus-group! s {:count 2, :rate :audio})
                                  :buffer (sc/add-buffer! s {:frame-count frames, :channel-count 2}))
                        notes))
        start-s (+ 0.2 (/ (System/currentTimeMillis) 1000.0))
        playing (sc/at s start-s
                  (mapv (fn [{:keys [synth bus buffer] :as note}]
                          (assoc note
                                 :voice (sc/add-synth! s synth (assoc (:set note) :out bus))
                                 :tape  (sc/add-synth! s tape {:in bus, :buf buffer} {:action :tail})))
                        notes))]
    (sc/at s (+ start-s gate-s)
      (doseq [{:keys [gate voice]} playing :when gate]
        (sc/set-controls! voice {:gate 0})))
    (doseq [{:keys [voice tape]} playing]
      (sc/await-ended voice)
      (sc/await-ended tape))
    playing))

(defn- left
  "The first `n` samples of the left channel of a buffer."
  ^doubles [buffer n]
  (let [both ^floats (sc/get-sample-range buffer 0 (* 2 n))
        xs   (double-array n)]
    (dotimes [i (alength xs)]
      (aset xs i (double (aget both (* 2 i)))))
    xs))

(defn- last-sound
  "The place of the last sample that is not silent."
  [^doubles xs]
  (loop [i (dec (alength xs))]
    (if (or (zero? i) (< 1e-4 (Math/abs (aget xs i))))
      i
      (recur (dec i)))))

(defn- near? [expected seen part]
  (< (abs (- expected seen)) (* part expected)))

(defn- centre
  "The frequency about which the spectrum is balanced: where it is bright."
  [xs rate-hz]
  (let [found  (spectrum/magnitudes xs)
        moment (reduce + (map-indexed * found))]
    (/ (* rate-hz moment) (* 2.0 (count found) (max 1e-12 (reduce + found))))))

(defn- judge [{:keys [synth pitch within bright from-s buffer] :or {from-s 0.05}}]
  (testing (:name synth)
    (let [xs    (left buffer frames)
          tone  (spectrum/part xs rate-hz from-s 32768)
          end   (long (last-sound xs))]
      (is (< 0.1 (spectrum/peak xs) 1) "amp is about the peak")
      (is (< 0.008 (spectrum/rms (spectrum/part xs rate-hz 0 16384))))
      (when pitch
        (is (near? pitch (spectrum/strongest tone rate-hz within) 0.01) (spectrum/strongest tone rate-hz within)))
      (when bright
        (is (near? bright (centre tone rate-hz) 0.25)))
      (is (< end (* 1.4 rate-hz)) "silence at the end")
      (is (< (spectrum/peak (spectrum/part xs rate-hz (/ (- end 44) rate-hz) 45)) 0.01) "it fades out, without a click")
      (is (< (abs (aget xs 0)) 0.1) "and in"))))

(deftest each-sounds-at-its-pitch-and-ends
  (sc/with-server [s (servers/options {:audio :dummy, :dummy-period-frames 1024})]
    (sc/add-synthdefs! s (conj instruments/all synthdef/default tape))
    (run! judge (play! s))
    (is (= [] (sc/children (sc/default-group s))) "no node is left"))
  (servers/nothing-left))

(deftest supernova-plays-them-too
  (sc/with-server [s (servers/options {:executable "supernova", :audio :dummy, :dummy-period-frames 1024})]
    (sc/add-synthdefs! s (conj instruments/all synthdef/default tape))
    (doseq [{:keys [synth buffer]} (play! s)
            :let [xs (left buffer 4096)]]
      (testing (:name synth)
        (is (< 0.05 (spectrum/peak xs) 1))))
    (is (= [] (sc/children (sc/default-group s))) "no node is left"))
  (servers/nothing-left))

(ns piece.canon
  "A canon: one melody, and voices that follow it. The melody is data, the score is a function of it, and
  only `play!` knows a server."
  (:require
   [espalier.core :as sc]
   [espalier.instruments :as instruments])
  (:import
   (java.time Duration)))

(set! *warn-on-reflection* true)

(def melody
  "Pairs of a MIDI note and its length in beats."
  [[62 1] [64 1] [65 1] [69 1], [67 2] [65 2]])

(defn hz
  "The frequency of a MIDI note."
  [note]
  (* 440.0 (Math/pow 2.0 (/ (- note 69) 12.0))))

(defn voice
  "The notes of one voice: `{:beat when, :note midi, :beats length}`."
  [melody first-beat transposition]
  (let [beats (reductions + first-beat (map second melody))]
    (mapv (fn [beat [note length]] {:beat beat, :note (+ note transposition), :beats length}) beats melody)))

(defn canon
  "The notes of all voices: each begins `entry` beats behind the one before, an octave lower."
  [melody voice-count entry]
  (vec (mapcat (fn [i] (voice melody (* i entry) (* -12 i))) (range voice-count))))

(defn prepare!
  "The tree that the notes play in: a group for them, and a pad below that holds the tonic."
  [s]
  (sc/add-synthdefs! s instruments/pluck)
  (sc/reconcile! s
    [[:group {:key :voices}]
     [:synth {:key :drone, :def instruments/pad} {:freqs (map hz [38 45 50 57]), :amp 0.05}]]))

(defn play!
  "Sends the notes ahead of their time, each as a bundle of its own. Returns the synths."
  [s notes beat-ms]
  (let [group (sc/node s :voices)]
    (mapv (fn [{:keys [beat note beats]}]
            (sc/at s (Duration/ofMillis (* beat beat-ms))
              (sc/add-synth! s :pluck {:freq (hz note), :decay (/ (* beats beat-ms) 1000.0)} {:target group, :action :tail})))
          notes)))

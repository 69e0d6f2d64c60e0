(ns pieces.stream
  "Two players have one pattern, and one of them is a little faster: they drift apart and meet again, a note
  later. That is heard only where time is kept. The notes are a lazy sequence; each is a bundle that goes out
  three seconds ahead of its time, and the server does the rest. Nothing here is in a hurry, and nothing is late.

      (stream/play! s)   ;=> {:notes 196, :late 0}"
  (:require
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.instruments :as instruments]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer :all]))

(defsynth mallet [out 0, freq 440, amp 0.1, pan 0]
  (let [ring (fn [ratio level length] (* level (sin-osc:ar (* freq ratio)) (env-gen:ar (env/perc 0.002 length 1 -5))))
        free (env-gen:kr (env/perc 0.002 0.9) :done-action :free-self)]
    (out:ar out (pan2:ar (* (+ (ring 1 1 0.8) (ring 4 0.25 0.15) (ring 9.2 0.08 0.05)) free) pan amp))))

(def pattern
  "MIDI notes, of which the first has an accent."
  [64 66 71 73 74 66 64 73 71 66 74 73])

(defn player
  "The notes of one player: `n` of them in `seconds`, a lazy sequence. Half way the pattern falls a fourth."
  [n seconds pan]
  (map (fn [i note]
         (let [part (/ i (double n))]
           {:at   (* part seconds)
            :note (if (< part 0.5) note (- note 5))
            :amp  (* (if (zero? (mod i (count pattern))) 0.3 0.2) (min 1 (+ 0.5 (* 4 part))))
            :pan  pan}))
       (range n) (cycle pattern)))

(defn in-time
  "Two sequences of notes as one."
  [[a & more-as :as as] [b & more-bs :as bs]]
  (lazy-seq
    (cond
      (empty? as)          bs
      (empty? bs)          as
      (<= (:at a) (:at b)) (cons a (in-time more-as bs))
      :else                (cons b (in-time as more-bs)))))

(defn stream!
  "Makes `synth-of` a bundle for each note, and sends it `lead-s` seconds ahead, or at once where that has passed; `start`
  is the POSIX time of 0. Returns how many notes there were."
  [s notes start lead-s synth-of]
  (reduce (fn [n note]
            (let [time (+ start (:at note))]
              (Thread/sleep (max 0 (long (- (* 1000 (- time lead-s)) (System/currentTimeMillis)))))
              (sc/at s time (synth-of note))
              (inc n)))
          0 notes))

(defn play!
  "Returns when all has died away: how many notes there were, and how many of them came late."
  [s]
  (let [late  (atom 0)
        heard (sc/on-lifecycle! s :late (fn [_] (swap! late inc)))
        bus   (sc/add-bus-group! s {:count 2, :rate :audio})
        _     (sc/add-synthdefs! s [mallet instruments/reverb])
        group (sc/add-group! s)
        room  (sc/add-synth! s :reverb {:in bus, :mix 0.2, :room 0.7, :amp 1.5} {:target group, :action :after})
        start (+ 1.2 (/ (System/currentTimeMillis) 1000.0))
        notes (concat (in-time (player 96 14.4 -0.6) (player 98 14.4 0.6))      ; 98 for 96: at the end, two notes ahead
                      [{:at 14.4, :note 47, :amp 0.35, :pan 0} {:at 14.4, :note 59, :amp 0.3, :pan 0}])
        n     (stream! s notes start 3.0
                (fn [{:keys [note amp pan]}]
                  (sc/add-synth! s mallet {:freq (midicps note), :amp amp, :pan pan, :out bus} {:target group})))]
    (sc/await-ended room {:timeout-ms 60000})
    (sc/free! group)
    (sc/free! bus)
    (sc/off! s heard)
    {:notes n, :late @late}))

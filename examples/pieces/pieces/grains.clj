(ns pieces.grains
  "One second of a plucked chord, computed here and put into a buffer, becomes fifteen: it is read in grains, ever so
  slowly, and again an octave higher and lower.

      (grains/play! s)"
  (:require
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.instruments :as instruments]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer :all]))

(def ^:private rate-hz 44100)

(defn string
  "A plucked string of `n` samples: noise that goes round, and loses its edge each time."
  [freq n seed]
  (let [random (java.util.Random. seed)
        period (Math/round (/ rate-hz (double freq)))
        out    (float-array n)]
    (dotimes [i n]
      (aset out i (float (if (< i period)
                           (- (.nextFloat random) 0.5)
                           (* 0.4985 (+ (aget out (- i period)) (aget out (max 0 (- i period 1)))))))))
    out))

(defn chord
  "Strings that are plucked one after the other, 30 ms apart, as one sound of a second."
  [freqs]
  (let [out (float-array rate-hz)]
    (doseq [[i freq] (map-indexed vector freqs)
            :let [late (* i 1323), ^floats tone (string freq (- rate-hz late) i)]]
      (dotimes [j (alength tone)]
        (aset out (+ late j) (float (+ (aget out (+ late j)) (* 0.5 (aget tone j)))))))
    out))

(defsynth cloud
  "Reads the buffer once in `dur` seconds, `density` grains a second of `size` seconds each, anywhere left and right."
  [out 0, buffer 0, dur 12, rate 1, density 30, size 0.15, blur 0.02, amp 0.1]
  (let [tick  (dust:ar density)
        place (+ (line:kr 0.02 0.85 dur) (t-rand:ar (- blur) blur tick))
        fade  (env-gen:kr (env/linen (* 0.25 dur) (* 0.45 dur) (* 0.3 dur)) :done-action :free-self)]
    (out:ar out (* amp fade (grain-buf:ar 2 tick size buffer rate place 2 (t-rand:ar -0.9 0.9 tick) -1 256)))))

(defn play!
  "Returns when the last echo has died away."
  [s]
  (sc/add-synthdefs! s [cloud instruments/reverb])
  (let [buffer (sc/normalize-buffer! (sc/add-buffer! s {:samples (chord (map midicps [45 52 57 61 64 68 71]))}))
        bus    (sc/add-bus-group! s {:count 2, :rate :audio})
        room   (sc/add-synth! s :reverb {:in bus, :mix 0.3, :room 0.85} {:action :tail})
        start  (+ 0.5 (/ (System/currentTimeMillis) 1000.0))]
    (doseq [[at controls] {0   {:dur 13, :density 45, :size 0.18, :amp 0.5}
                           2   {:dur 11, :rate 0.5, :density 18, :size 0.4, :blur 0.01, :amp 0.5}
                           4.5 {:dur 8, :rate 2, :density 25, :size 0.06, :blur 0.08, :amp 0.35}
                           7   {:dur 6, :rate 4, :density 14, :size 0.03, :blur 0.1, :amp 0.25}}]
      (sc/at s (+ start at)
        (sc/add-synth! s cloud (merge {:buffer buffer, :out bus} controls))))
    (sc/await-ended room {:timeout-ms 60000})
    (sc/free! buffer)
    (sc/free! bus)))

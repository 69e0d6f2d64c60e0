(ns pieces.mix
  "A mix is declared, and edited while it plays: every bar has a tree of its own, and what differs from the bar
  before is all that is sent. Synths that stay sound on.

      (def s (sc/boot! (sc/server)))
      (mix/play! s)

      (sc/reconcile! s (mix/tree {:chord [45 57 60 64], :pad 0.2}))   ; or by hand, as one goes
      (sc/reconcile! s (mix/tree {:chord [41 57 60 65], :pad 0.2, :arpeggio 0.3, :echo 0.5}))"
  (:require
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer :all]))

(defsynth pad [out 0, chord {:default [45 57 60 64], :lag 0.25}, amp {:default 0, :lag 2}]
  (let [freqs (midicps chord)
        drift (linrange (lf-noise1:kr (repeat 4 0.3)) 0.996 1.004)]
    (out:ar out (* amp (line:kr 0 1 1.5) (splay:ar (lpf:ar (+ (saw:ar (* freqs drift)) (saw:ar (/ freqs drift))) 900) 0.8)))))

(defsynth arpeggio [out 0, notes [69 76 72 81], beat 0.25, amp {:default 0, :lag 0.5}, cutoff {:default 700, :lag 1}]
  (let [tick  (impulse:ar (/ beat))
        freq  (midicps (demand:ar tick 0 (dseq:dr notes ##Inf)))
        pluck (decay2:ar tick 0.004 0.3)
        tone  (rlpf:ar (pulse:ar freq 0.35) (* cutoff (+ 1 (* 3 pluck))) 0.4)]
    (out:ar out (pan2:ar (* amp pluck tone) (demand:ar tick 0 (dseq:dr [-0.6 0.6 -0.2 0.2] ##Inf))))))

(defsynth drums [out 0, beat 0.25, amp {:default 0, :lag 0.05}]
  (let [tick (impulse:ar (/ beat))
        hit  (fn [steps] (* tick (demand:ar tick 0 (dseq:dr steps ##Inf))))
        low  (hit [1 0 0 0, 0 0 1 0])
        kick (* (sin-osc:ar (+ 48 (* 140 (decay:ar low 0.06)))) (decay2:ar low 0.002 0.35))
        hat  (* 0.25 (hpf:ar (white-noise:ar) 7000) (decay2:ar (hit [0.3 0 1 0.3, 0 0.3 1 0]) 0.001 0.08))]
    (out:ar out (pan2:ar (* amp (+ (tanh (* 1.6 kick)) hat))))))

(defsynth echo [bus 0, beat 0.25, level {:default 0, :lag 0.2}]
  (let [dry (in:ar bus 2)]
    (replace-out:ar bus (+ dry (* level (comb-n:ar (hpf:ar dry 300) 2 (* beat [3 4]) 3))))))

(defn tree
  "The tree of a bar. What is not told is not heard; without a chord only the room is left, and ends with its last echo."
  [{chord :chord, pad-amp :pad, arpeggio-amp :arpeggio, drums-amp :drums, echo-level :echo, :keys [cutoff]}]
  {:buses {:bus 2}
   :tree  [[:group {:key :band}
             (when chord
               [[:synth {:key :pad, :def pad} {:out :bus, :chord chord, :amp (or pad-amp 0)}]
                [:synth {:key :arpeggio, :def arpeggio} {:out :bus, :notes (map + chord [24 24 12 24]), :amp (or arpeggio-amp 0), :cutoff (or cutoff 700)}]
                [:synth {:key :drums, :def drums} {:out :bus, :amp (or drums-amp 0)}]])]
           (when echo-level
             [:synth {:key :echo, :def echo} {:bus :bus, :level echo-level}])
           [:synth {:key :room, :def instruments/reverb} {:in :bus, :mix 0.25, :room 0.8}]]})

(def bars
  "What the mix is in each bar of two seconds."
  (let [am [45 57 60 64], f [41 57 60 65], c [48 55 60 64], g [43 55 59 62]]
    [{:chord am, :pad 0.24}
     {:chord am, :pad 0.24, :arpeggio 0.3}
     {:chord f, :pad 0.24, :arpeggio 0.4, :drums 0.7}
     {:chord c, :pad 0.2, :arpeggio 0.4, :drums 0.7, :cutoff 2500}
     {:chord g, :pad 0.28, :arpeggio 0.32, :cutoff 1200, :echo 0.6}      ; the drums rest, and the echo comes between band and room
     {:chord am, :pad 0.2, :arpeggio 0.4, :drums 0.7, :cutoff 3000, :echo 0.4}
     {:chord f, :pad 0.24, :arpeggio 0.2, :echo 0.6}
     {:chord am, :pad 0.28, :echo 0.6}
     {:chord am, :pad 0, :echo 0.3}
     {}]))

(defn play!
  "Edits the mix from bar to bar; returns when the last echo has died away."
  [s]
  (let [start (+ 1 (/ (System/currentTimeMillis) 1000.0))]
    (doseq [[i bar] (map-indexed vector bars)]
      (sc/reconcile! s (tree bar) {:at (+ start (* 2 i))})))
  (sc/await-ended (sc/node s :room) {:timeout-ms 60000})
  (sc/reconcile! s nil))

(ns pieces.feedback
  "A network that hears itself. Each node is a string with a bus of its own, and listens, a while later, to the bus of
  another: a ring. What one is struck with goes round, from string to string. The edges are controls: set to other
  buses, the ring becomes another one while it sounds. `tanh` keeps a loop that would grow from doing so.

      (feedback/play! s)"
  (:require
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer :all]))

(defsynth node
  "`from` and `to` are buses, `hears` is how much of what comes from there, `later` is when, in seconds; `t_strike` plucks it."
  [from 0, to 0, out 0, freq 220, later 0.3, hears {:default 0.8, :lag 0.5}, pan 0, t_strike 0]
  (let [echo   (lpf:ar (delay-c:ar (in-feedback:ar from) 2 later) 1200)
        pluck  (* (lpf:ar (pink-noise:ar) 3500) (decay2:ar (k2a:ar t_strike) 0.002 0.03))
        string (comb-c:ar (+ pluck (* hears 0.12 echo)) 0.1 (reciprocal freq) 2.5)
        sig    (leak-dc:ar (tanh (lpf:ar string 4000)))]
    (out:ar to sig)
    (out:ar out (pan2:ar sig pan 0.22))))

(def strings
  "MIDI notes, from the left to the right, and how long each waits."
  [[45 0.5] [52 0.375] [57 0.625] [60 0.25] [64 0.75] [67 0.4375]])

(defn- edge [i] (keyword (str "edge-" i)))

(defn network
  "The tree of all nodes; `from` says for each which one it hears, `hears` how much of it."
  [{:keys [from hears]}]
  (let [n (count strings)]
    {:buses (into {:mix 2} (for [i (range n)] [(edge i) 1]))
     :tree  [[:group {:key :net}
               (for [[i [note later]] (map-indexed vector strings)]
                 [:synth {:key [:string i], :def node}
                         {:freq (midicps note), :later later, :pan (- (* 1.6 (/ i (dec n))) 0.8)
                          :from (edge (from i)), :to (edge i), :out :mix, :hears hears}])]
             [:synth {:key :room, :def instruments/reverb} {:in :mix, :mix 0.3, :room 0.8}]]}))

(def ^:private ring  "Each hears the one before it."          [5 0 1 2 3 4])
(def ^:private star  "All hear the lowest, and that the highest." [5 0 0 0 0 0])
(def ^:private pairs "Neighbours hear each other."            [1 0 3 2 5 4])

(defn play!
  "Strikes strings, and changes who hears whom; returns when the last has died away."
  [s]
  (let [start   (+ 1 (/ (System/currentTimeMillis) 1000.0))
        rewire! (fn [at wiring] (sc/reconcile! s (network wiring) {:at (+ start at)}))
        strike! (fn [at i] (sc/at s (+ start at) (sc/set-controls! (sc/node s [:string i]) {:t_strike 1})))]
    (rewire! 0 {:from ring, :hears 1.0})
    (run! (partial apply strike!) {0.1 0, 2.6 3, 4.1 1})
    (rewire! 5 {:from star, :hears 1.1})
    (run! (partial apply strike!) {5.1 0, 6.6 5, 7.6 2})
    (rewire! 9 {:from pairs, :hears 1.2})
    (run! (partial apply strike!) {9.1 0, 9.6 4})
    (rewire! 12 {:from ring, :hears 0})
    (sc/await-ended (sc/node s :room) {:timeout-ms 60000})
    (sc/reconcile! s nil)))

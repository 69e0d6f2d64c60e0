(ns pieces.jam
  "Two clients of one server. The first has booted it, plays drums and a bass, and writes the root of each bar on a
  control bus. The second has an address and what they have agreed on, four numbers. It logs in, hears when a bar begins,
  asks what the root is, and plays over it, in the group of the first. Their ids never collide.

      (def s (sc/boot! (sc/server {:maximum-logins 2})))
      (jam/play! s)"
  (:require
   [clojure.core.protocols :refer [datafy]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.ugens :refer [midicps]])
  (:import
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(def options "What the server needs." {:maximum-logins 2})

(def ^:private eighth-s 0.25)
(def ^:private roots "Of the bars, MIDI." [38 38 43 36 41 45 38])

(defn rhythm!
  "The first player: sends all bars ahead, from the POSIX time `start` on. Each begins with writing its root, and with a
  bass in the group `:bars`; the last is one long note."
  [s {:keys [root out stage bars]} start]
  (let [note (fn [synthdef controls & [group]] (sc/add-synth! s synthdef (assoc controls :out out) {:target (or group stage)}))]
    (doseq [[bar n] (map-indexed vector roots), i (range 8)
            :let [last? (= bar (dec (count roots)))]]
      (sc/at s (+ start (* eighth-s (+ i (* 8 bar))))
        (when (zero? i)
          (sc/set-bus! root n)
          (note :bass {:freq (midicps n), :dur (if last? 3 0.6), :amp 0.3} bars)
          (note :kick {:amp 0.4}))
        (when-not last?
          (note :hat {:amp (if (odd? i) 0.2 0.1), :pan -0.3})
          (case i
            (2 6) (note :snare {:amp 0.2, :decay 0.2, :pan 0.1})
            3     (note :bass {:freq (midicps (+ n 12)), :dur 0.25, :amp 0.2})
            5     (do (note :kick {:amp 0.35})
                      (note :bass {:freq (midicps (+ n 7)), :dur 0.4, :amp 0.25}))
            nil))))))

(def ^:private answers
  "What the second player can say to a root: eighths of the bar, and semitones above."
  [[[2 24] [3 27] [4 31] [6 38]]
   [[2 38] [3 34] [4 31] [5 27] [6 31]]
   [[1 31] [2 34] [4 38] [6 36] [7 34]]
   [[2 36] [3 38] [4 43] [5 38] [7 34]]])

(defn solo!
  "The second player, a client of its own, which delivers `ready` when it listens. Returns how many bars it has answered."
  [address {:keys [root out stage bars]} ready]
  (let [s     (sc/connect! (sc/server options) address)
        begun (LinkedBlockingQueue.)]
    (try
      (sc/add-synthdefs! s instruments/electric-piano)
      (sc/on-osc! s (fn [[address _ group]] (and (= "/n_go" address) (= bars group)))
                  (fn [_] (.put begun (/ (System/currentTimeMillis) 1000.0))))
      (deliver ready true)
      (loop [bar 0]
        (if-let [time (and (< bar (count roots)) (.poll begun 30 TimeUnit/SECONDS))]
          (let [[_ _ n] (sc/request! s ["/c_get" root] ["/c_set" root])]
            (doseq [[i semitones] (nth answers (mod bar (count answers)))]
              (sc/at s (+ time (* eighth-s i))
                (sc/add-synth! s :electric-piano {:freq (midicps (+ n semitones)), :amp 0.2, :touch 0.7, :decay 1.5, :pan 0.3, :out out} {:target stage})))
            (recur (inc bar)))
          (do (sc/sync! s) bar)))
      (finally (sc/disconnect! s)))))

(defn play!
  "Returns when the last note has died away: how many bars the second player has answered."
  [s]
  (sc/add-synthdefs! s instruments/all)
  (let [mix   (sc/add-bus-group! s {:count 2, :rate :audio})
        root  (sc/add-bus! s)
        stage (sc/add-group! s)
        bars  (sc/add-group! s {:target stage})
        room  (sc/add-synth! s :reverb {:in mix, :mix 0.2, :room 0.7} {:target stage, :action :after})
        ready (promise)
        solo  (future (solo! (select-keys (:options (datafy s)) [:port :protocol])
                             {:root (:id root), :out (:id mix), :stage (:id stage), :bars (:id bars)}
                             ready))]
    (deref ready 10000 nil)
    (rhythm! s {:root root, :out mix, :stage stage, :bars bars} (+ 1 (/ (System/currentTimeMillis) 1000.0)))
    (sc/await-ended room {:timeout-ms 60000})
    (run! sc/free! [stage root mix])
    {:answered @solo}))

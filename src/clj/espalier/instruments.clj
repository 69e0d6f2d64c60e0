(ns espalier.instruments
  "Some instruments to play at once, and to learn from how they are made.

      (require '[espalier.instruments :as instruments])

      (sc/add-synthdefs! s instruments/all)
      (sc/add-synth! s :bell {:freq 660})
      (def note (sc/add-synth! s :organ {:freq 220}))
      (sc/set-controls! note {:gate 0})

  What each takes tell `(doc instruments/bell)` and `(synthdef/controls instruments/bell)`.
  Common to all that sound are

      out   the first of two buses to play on, left and right
      freq  hertz; the pitch that one hears, of a drum the one that it ends at
      amp   the peak of a note at the centre, about
      pan   -1 left to 1 right

  bell, pluck, bass, electric-piano, kick, snare and hat end by themselves; pad, lead and
  organ sound until their `gate` is 0. Each fades in and out, and frees itself."
  (:require
   [espalier.env :as env]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer :all]))

(set! *warn-on-reflection* true)

;; ---- struck and plucked

(defsynth bell
  "A struck bell of seven partials, the higher the shorter. The lowest, the hum, is an octave
  below `freq`.

  `decay`  seconds until the last has ended"
  [out 0, freq 440, amp 0.1, pan 0, decay 3]
  (let [ratios  [0.5 1 2 2.76 4.07 5.4 8.2]
        levels  [0.2 1 0.4 0.3 0.16 0.1 0.05]
        lengths [1 0.9 0.6 0.4 0.3 0.2 0.1]
        partial-tone (fn [ratio level length done-action]
                       (* (sin-osc:ar (* freq ratio) :mul level)
                          (env-gen:ar (env/perc 0.003 (* decay length) 1 -6) :done-action done-action)))
        tones   (mapv partial-tone ratios levels lengths (cons :free-self (repeat :none)))]   ; the first is the longest
    (out:ar out (pan2:ar (* (sum tones) 0.55) pan (* amp 1.4)))))

(defsynth pluck
  "A plucked string (Karplus and Strong): a noise that goes round in a delay line.

  `decay`  seconds for a fall of 60 dB
  `damp`   0 bright to 1 dull"
  [out 0, freq 220, amp 0.1, pan 0, decay 2, damp 0.3]
  (let [cutoff (min (* freq 8) 9000)
        hit    (* (lpf:ar (white-noise:ar) cutoff)
                  (sqrt (/ 22050 cutoff)))                  ; as loud low as high
        dull   (min damp 0.95)
        period (- (reciprocal freq) (* (/ dull (- 1 dull)) (sample-dur:ir)))   ; less what the damping delays
        string (leak-dc:ar (pluck:ar hit (impulse:kr 0) 0.05 period decay dull))
        fade   (env-gen:ar (env/envelope [0 1 1 0] [0.002 (* decay 0.7) (* decay 0.3)] [0 0 -3]) :done-action :free-self)]
    (out:ar out (pan2:ar (* string fade) pan (* amp 0.95)))))

(defsynth bass
  "A round bass: two saws behind a filter that closes, and a sine below them.

  `dur`  seconds from the start to the end"
  [out 0, freq 55, amp 0.2, pan 0, dur 1]
  (let [body   (env-gen:ar (env/envelope [0 1 0.7 0] [0.012 (* dur 0.6) (* dur 0.4)] [2 -3 -3]) :done-action :free-self)
        cutoff (linexp (env-gen:kr (env/perc 0.01 (* dur 0.7) 1 -5)) 0 1 180 1400)
        saws   (* (rlpf:ar (sum (saw:ar (* freq [0.998 1.002]))) cutoff 0.6) 0.35)
        sig    (* (+ saws (sin-osc:ar freq 0 0.6)) body)]
    (out:ar out (pan2:ar sig pan (* amp 1.8)))))

(defsynth electric-piano
  "An electric piano of two sines, of which one bends the phase of the other, and the ring of
  a metal tine. It ends by itself, and sooner when `gate` is 0.

  `touch`    0 soft and round to 1 hard and bright
  `decay`    seconds until it has ended
  `tremolo`  how far it goes from left to right, 0 to 1"
  [out 0, freq 220, amp 0.1, pan 0, gate 1, touch 0.5, decay 4, tremolo 0.2]
  (let [rings (env-gen:ar (env/perc 0.002 decay) :done-action :free-self)
        key   (env-gen:ar (env/cutoff 0.25 1 -4) gate :done-action :free-self)
        bend  (* touch 2 (env-gen:ar (env/perc 0.002 (* decay 0.5))))
        tone  (pm-osc:ar freq freq bend)
        tine  (* touch 0.2 (sin-osc:ar (* freq 7)) (env-gen:ar (env/perc 0.002 0.25)))]
    (out:ar out (pan2:ar (* (+ tone tine) rings key)
                         (+ pan (* tremolo (sin-osc:kr 4.6)))
                         (* amp 1.3)))))

;; ---- held

(defsynth pad
  "A warm chord of four notes, spread over the stereo field. It sounds until `gate` is 0.

  `freqs`    four frequencies
  `attack`   seconds until it is all there
  `release`  seconds until it has faded"
  [out 0, freqs [220 277.18 329.63 440], amp 0.1, gate 1, attack 0.8, release 1.2]
  (let [fade  (env-gen:ar (env/asr attack 1 release [-2 -3]) gate :done-action :free-self)
        voice (fn [i freq]
                (let [drift (+ 1 (sin-osc:kr (+ 0.21 (* 0.07 i)) i 0.0025))]
                  (+ (saw:ar (* freq 0.998 drift))
                     (saw:ar (/ (* freq 1.002) drift)))))
        sig   (lpf:ar (mapv voice (range) freqs)
                      (linrange (sin-osc:kr 0.19 -1) 700 1700))]
    (out:ar out (* (splay:ar sig 0.8) fade amp 1.1))))

(defsynth lead
  "Three saws side by side behind a filter that opens with each note. It sounds until `gate`
  is 0, and glides to another `freq`.

  `cutoff`   hertz to which the filter opens
  `glide`    seconds to reach another pitch
  `vibrato`  part of the pitch by which it comes to waver
  `release`  seconds until it has faded"
  [out 0, freq 440, amp 0.1, pan 0, gate 1, cutoff 4000, glide 0.06, vibrato 0.004, release 0.3]
  (let [fade  (env-gen:ar (env/adsr 0.008 0.2 0.8 release) gate :done-action :free-self)
        open  (env-gen:kr (env/adsr 0.02 0.5 0.5 release) gate)
        sway  (+ 1 (* vibrato (sin-osc:kr 5.5) (line:kr 0 1 0.8)))
        saws  (mix (saw:ar (* (lag freq glide) sway [0.9965 1 1.0035])))
        sig   (moog-ff:ar saws (clip (* cutoff open) 100 12000) 2)]
    (out:ar out (pan2:ar (* (tanh (* 2 sig)) fade) pan (* amp 1.5)))))

(defsynth organ
  "An organ of nine sines and a speaker that turns. It sounds until `gate` is 0.

  `drawbars`  how loud each sine is, 0 to 8, from an octave below `freq` to three above
  `turns`     of the speaker in a second: 0.8 slow, 6.7 fast; it takes a while to follow"
  [out 0, freq 220, amp 0.1, pan 0, gate 1, drawbars [5 4 8 6 0 2 0 0 3], turns {:default 0.8, :lag 0.8}]
  (let [fade   (env-gen:ar (env/asr 0.006 1 0.06) gate :done-action :free-self)
        phase  (sin-osc:kr turns)
        levels (* (dbamp (* 3 (- drawbars 8))) (> drawbars 0))   ; a drawbar has steps of 3 dB
        sines  (sin-osc:ar (* freq (+ 1 (* 0.002 phase)) [0.5 1.5 1 2 3 4 5 6 8]))
        sig    (/ (mix (* sines levels)) (sum levels))]
    (out:ar out (pan2:ar (* sig fade) (+ pan (* 0.4 phase)) (* amp 1.8)))))

;; ---- drums

(defsynth kick
  "A bass drum: a sine that falls, with a click, to `freq`.

  `decay`  seconds until it has ended"
  [out 0, freq 50, amp 0.3, pan 0, decay 0.6]
  (let [pitch (* freq (env-gen:ar (env/envelope [7 1] [0.08] -6)))
        skin  (* (sin-osc:ar pitch) (env-gen:ar (env/perc 0.002 decay) :done-action :free-self))
        click (* 0.3 (lpf:ar (white-noise:ar) 5000) (env-gen:ar (env/perc 0.001 0.015)))]
    (out:ar out (pan2:ar (tanh (* 1.5 (+ skin click))) pan (* amp 1.5)))))

(defsynth snare
  "A snare drum: the two tones of its skin, the lower of which is `freq`, and the noise of
  its wires.

  `wires`  0 only skin to 1 only wires
  `decay`  seconds until it has ended"
  [out 0, freq 185, amp 0.3, pan 0, wires 0.5, decay 0.3]
  (let [skin  (* (sin-osc:ar (* freq [1 1.6])) [1 0.5] (env-gen:ar (env/perc 0.001 (* decay 0.6))))
        noise (* (hpf:ar (white-noise:ar) 1500) (env-gen:ar (env/perc 0.001 decay) :done-action :free-self))
        sig   (+ (* (sum skin) (- 1 wires)) (* noise wires))]
    (out:ar out (pan2:ar (tanh (* 1.5 sig)) pan (* amp 1.5)))))

(defsynth hat
  "A hi-hat: six pulses that make no chord, of which only what is around `freq` is left.

  `decay`  seconds until it has ended: 0.08 closed, 0.8 open"
  [out 0, freq 9000, amp 0.2, pan 0, decay 0.08]
  (let [metal (mix (pulse:ar (* 40 [2 3 4.16 5.43 6.79 8.21])))
        sig   (hpf:ar (bpf:ar metal freq 0.4) (* freq 0.8))
        fade  (env-gen:ar (env/perc 0.001 decay) :done-action :free-self)]
    (out:ar out (pan2:ar (* sig fade) pan (* amp 4)))))

;; ---- what stands behind instruments

(defsynth reverb
  "A room: reads two buses, writes two. It frees itself, once it has sounded, when the last
  echo has died away.

  `in`    the first of the buses that it reads
  `mix`   0 all dry to 1 all wet
  `room`  its size, 0 to 1
  `damp`  0 bright to 1 dull
  `amp`   how loud the wet part is"
  [in 4, out 0, mix 0.3, room 0.6, damp 0.5, amp 1]
  (let [[left right] (leak-dc:ar (in:ar in 2))
        sig          (free-verb2:ar left right mix room damp amp)]
    (detect-silence:ar (sum (abs sig)) 0.0003 0.1 :free-self)
    (out:ar out (limiter:ar sig 0.9 0.01))))

(def all
  "All of these, for `espalier.core/add-synthdefs!`."
  [bell pluck bass electric-piano pad lead organ kick snare hat reverb])

(ns espalier.golden-test
  "SynthDefs that sclang 3.13 compiled, written in Clojure: the bytes are the same. The
  comment over each says what is compared, where the name does not."
  (:require
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.env :as env]
   [espalier.model.synthdef :as model]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.ugens :refer :all])
  (:import
   (java.io File)
   (java.nio.file Files)))

(set! *warn-on-reflection* true)

;; --- As they would be written

(defsynth sine_minimal []
  (out:ar 0 (sin-osc:ar 440)))

;; one UGen on two channels
(defsynth sine_params [out 0, freq 440, amp 0.1]
  (out:ar out (repeat 2 (sin-osc:ar freq 0 amp))))

;; a scalar parameter first; expansion by an array among numbers; Mix to Sum3
(defsynth default [out {:default 0, :rate :ir}, freq 440, amp 0.1, pan 0, gate 1]
  (let [saws (var-saw:ar (+ freq [0 (rand:ir -0.4 0.0) (rand:ir 0.0 0.4)]) 0 0.3 0.3)
        z    (* (lpf:ar (mix saws) (x-line:kr (rand:ir 4000 5000) (rand:ir 2500 3200) 1))
                (linen:kr gate 0.01 0.7 0.3 :free-self))]
    (offset-out:ar out (pan2:ar z pan amp))))

(defsynth no_params []
  (out:kr 4 (lf-noise2:kr 3)))

;; numbers of operators
(defsynth unary_ops [x 2]
  (let [a (sin-osc:kr x)]
    (out:kr 0 [(- a) (abs a) (squared a) (sqrt a) (midicps a) (dbamp a) (tanh a) (distort a) (reciprocal a) (floor a)])))

(defsynth binary_ops [x 2, y 3]
  (let [a (sin-osc:kr x)
        b (lf-noise0:kr y)]
    (out:kr 0 [(- a b) (/ a b) (mod a b) (pow a b) (< a b) (>= a b) (min a b) (max a b)
               (hypot a b) (atan2 a b) (round a 0.1) (clip2 a 0.5)])))

;; equal constants once, in the order of their use
(defsynth constants_dedup []
  (let [a (sin-osc:ar 200 0.5)
        b (lf-saw:ar 0.5 200)
        c (lf-pulse:ar 3 0.5 (/ 200 1000))]
    (out:ar 0 (* [a b c] 0.5))))

;; what nobody reads goes, with what only that reads; noise stays
(defsynth dead_code [out 0, freq 300]
  (lpf:ar (sin-osc:ar (* freq 2)) 999)
  (white-noise:ar)
  (out:ar out (sin-osc:ar freq)))

;; mul and add; products and sums to MulAdd
(defsynth muladd [amp 0.2, offset 0.1]
  (let [a (sin-osc:ar 440 0 amp offset)
        b (+ (* (saw:ar 220) amp) offset)
        c (pulse:ar 110 0.5 1 0)
        d (lf-tri:ar 55 :add offset)
        e (lf-tri:ar 56 :mul amp)]
    (out:ar 0 [a b c d e])))

;; chains of additions to Sum3 and Sum4
(defsynth sum_chains []
  (let [s (mapv #(sin-osc:ar (+ 100 (* % 50))) (range 9))]
    (out:ar 0 (+ (s 0) (s 1) (s 2)))
    (out:ar 1 (+ (s 3) (s 4) (s 5) (s 6)))
    (out:ar 2 (+ (s 7) (s 8)))))

(defsynth mix_eight [out 0]
  (out:ar out (mix (for [i (range 8)] (sin-osc:ar (* 110 (inc i)) :mul 0.1)))))

(defsynth ranges [out 0]
  (let [a (linrange (lf-noise1:kr 2) 200 800)
        b (linrange (lf-pulse:kr 3) 0.1 0.9)
        c (exprange (sin-osc:kr 0.2) 300 3000)]
    (out:ar out (rlpf:ar (saw:ar a) c b))))

;; expansion
(defsynth expand_basic []
  (out:ar 0 (sin-osc:ar [440 442 660] :mul 0.1)))

;; expansion of sequences of several lengths
(defsynth expand_wrap []
  (out:ar 0 (sin-osc:ar [100 200 300] [0 0.5] [0.1 0.2 0.3 0.4])))

;; parameters: an array, lags, rates by prefix, and controls where they are used
(defsynth param_array [out 0, freqs [220 330 440], amp 0.2]
  (out:ar out (* (sum (sin-osc:ar freqs)) amp)))

(defsynth param_lags [out 0, freq {:default 440, :lag 0.2}, amp {:default 0.1, :lag 0.05}]
  (out:ar out (* (saw:ar freq) amp)))

(defsynth params_mixed_rates [out 0, i_dur 2, t_trig 1, a_mod 0.25, freq 330]
  (let [envelope (env-gen:kr (env/perc 0.01 i_dur) t_trig)]
    (out:ar out (* (sin-osc:ar (+ freq a_mod)) envelope))))

(defsynth named_controls []
  (let [freq (control:kr :freq 440)
        amp  (control:kr :amp 0.1)
        out  (control:ir :out 0)
        trig (control:tr :trig 1)]
    (out:ar out (* (sin-osc:ar freq) (decay:kr trig 0.5) amp))))

(defsynth variant_one
  {:variants {:low {:freq 110, :amp 0.4}}}
  [out 0, freq 440, amp 0.1, pan 0]
  (out:ar out (pan2:ar (sin-osc:ar freq) pan amp)))

;; envelopes
(defsynth env_adsr [out 0, freq 440, amp 0.1, gate 1]
  (let [envelope (env-gen:kr (env/adsr 0.02 0.3 0.6 0.8) gate :done-action :free-self)]
    (out:ar out (* (var-saw:ar freq 0 0.3) envelope amp))))

(defsynth env_perc_pan [out 0, freq 880, amp 0.3, pan 0, decay 0.5]
  (let [sig (* (sin-osc:ar freq) (env-gen:ar (env/perc 0.005 decay) :done-action :free-self))]
    (out:ar out (pan2:ar sig pan amp))))

;; several outputs, a filter on each
(defsynth in_multichannel [in 8, out 0, cutoff 1200]
  (out:ar out (lpf:ar (in:ar in 3) cutoff)))

(defsynth playbuf_stereo [out 0, bufnum 0, rate 1]
  (out:ar out (play-buf:ar 2 bufnum (* (buf-rate-scale:kr bufnum) rate) :loop 1 :done-action :free-self)))

(defsynth select_index [out 0, which 1]
  (out:ar out (select:ar which [(sin-osc:ar 200) (saw:ar 200) (pulse:ar 200)])))

(defsynth demand_seq [out 0, rate 4]
  (let [freq (midicps (demand:kr (impulse:kr rate) 0 (dseq:dr [60 62 64 67] ##Inf)))]
    (out:ar out (* (lf-tri:ar freq) 0.1))))

(defsynth klank_basic [out 0]
  (out:ar out (klank:ar [[800 1071 1353] nil [1 0.8 0.5]] (impulse:ar 2 :mul 0.1))))

(defsynth local_feedback [out 0, in 2]
  (let [in       (in:ar in 2)
        feedback (local-in:ar 2)
        sig      (+ in (delay-n:ar feedback 0.3 0.25 0.7))]
    (local-out:ar (reverse sig))
    (out:ar out sig)))

;; a local buffer, and the order that an FFT chain asks for
(defsynth fft_chain [out 0, threshold 10]
  (let [chain (fft:kr (local-buf:ir 1024) (white-noise:ar 0.2))
        chain (pv-mag-above:kr chain threshold)]
    (out:ar out (ifft:ar chain))))

(defsynth send_reply [rate 10]
  (send-reply:kr (impulse:kr rate) "/tick" [(sin-osc:kr 0.5) 3] 77))

;; --- Compared

(def ^:private ours
  [sine_minimal sine_params default no_params unary_ops binary_ops constants_dedup dead_code muladd sum_chains mix_eight
   ranges expand_basic expand_wrap param_array param_lags params_mixed_rates named_controls variant_one env_adsr
   env_perc_pan in_multichannel playbuf_stereo select_index demand_seq klank_basic local_feedback fft_chain send_reply])

(defn- golden ^bytes [synthdef-name]
  (Files/readAllBytes (.toPath (io/file "test/golden/synthdefs" (str synthdef-name ".scsyndef")))))

(deftest the-bytes-are-those-of-sclang
  (doseq [d ours]
    (testing (:name d)
      (let [whole (golden (:name d))]
        ;; the text first: where it differs, it tells more than bytes
        (is (= (synthdef/text (first (synthdef/parse whole))) (synthdef/text d)))
        (is (= (seq whole) (seq (synthdef/encode d))))))))

(deftest nothing-golden-is-left-out
  (is (= #{"supriya_default"}                              ; which sclang did not compile; see below
         (set/difference (into #{} (keep (fn [^File file] (second (re-matches #"(.+)\.scsyndef" (.getName file)))))
                               (.listFiles (io/file "test/golden/synthdefs")))
                         (into #{} (map :name) ours)))))

;; --- Supriya's default. Supriya has a compiler of its own: it sorts before it removes what
;; is not used, does not turn the inputs of Sum3 around, numbers constants in the order of
;; the file and sorts parameters by name. The bytes cannot be the same; the graph is.

(defn- tree
  "What UGen `i` of a SynthDef computes: its class, rate and number, and all that it reads in
  turn, a control by its name, the summands of Sum3 in no order."
  [{:keys [ugens constants parameter-names] :as d} i]
  (let [{:keys [rate special inputs] :as ugen} (nth ugens i)
        slots (into {} (map (fn [[k index]] [index k])) parameter-names)
        read  (fn [[kind k output]]
                (cond
                  (= :constant kind)                                         (nth constants k)
                  (str/ends-with? (:class (nth ugens k)) "Control") (slots (+ (long (:special (nth ugens k))) (long output)))
                  :else                                                      [(tree d k) output]))]
    [(:class ugen) rate special (cond-> (map read inputs) (= "Sum3" (:class ugen)) frequencies)]))

(deftest the-graph-of-the-default-is-that-of-supriya
  (let [theirs (first (model/parse (golden "supriya_default")))
        ours   synthdef/default]
    (is (= (model/controls theirs) (into {} (model/controls ours))))
    (is (= (set (:constants theirs)) (set (:constants ours))))
    (is (= (frequencies (map :class (:ugens theirs))) (frequencies (map :class (:ugens ours)))))
    (is (= (tree theirs (dec (count (:ugens theirs)))) (tree ours (dec (count (:ugens ours))))))))

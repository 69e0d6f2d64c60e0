(ns espalier.env
  "Envelopes for `env-gen:ar`, `env-gen:kr` and `i-env-gen:ar`: values that print.

      (require '[espalier.env :as env])

      (env-gen:kr (env/perc 0.01 1) :done-action :free-self)
      (env-gen:kr (env/adsr :release-time 2) gate :done-action :free-self)

  Times are in seconds. Arguments may be given by position, by name, or some of them by
  position and then others by name. Each may be a UGen or a control. A `curve` is a
  shape, `:step :lin :exp :sin :wel :sqr :cub :hold`, or a number, 0 for a straight
  line, below 0 for a fast fall at first; or a sequence with one for each segment.

  Those with a release node (adsr, asr, dadsr, cutoff) hold a level as long as their
  gate is above 0.

  The break-points are those of SuperCollider's Env class. Each throws
  `:espalier.error/invalid-envelope`, `:espalier.error/unknown-shape`, and what calls of UGens
  throw for unknown and missing arguments."
  (:require
   [espalier.model.constructor :refer [defcall]]
   [espalier.model.envelope :as envelope]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(defn- times [a b] (graph/binary (ugen/binary-index "*") a b))
(defn- plus [a b] (graph/binary (ugen/binary-index "+") a b))

(defcall envelope
  "An envelope of break-points.

  `levels`        at the break-points
  `durations`     of the segments, in seconds, one fewer; fewer still repeat
  `curve`         default :lin
  `release-node`  the number, from 0, of the break-point that is held while gate is above 0
  `loop-node`     from the release node it goes on there, until gate is 0
  `offset`        seconds; of IEnvGen only, where it begins

  Throws `:espalier.error/invalid-envelope`, `:espalier.error/unknown-shape`.

      (env/envelope [0 1 0.5 0] [0.01 0.1 1] [:lin :exp -4] 2)"
  [levels durations curve :lin release-node nil loop-node nil offset 0]
  (envelope/envelope levels durations curve {:release-node release-node, :loop-node loop-node, :offset offset}))

(defcall triangle
  "Up and down again in straight lines.

      (env/triangle 2 0.5)  ; two seconds, peak 0.5"
  [duration 1.0 level 1.0]
  (let [half (times duration 0.5)]
    (envelope/envelope [0 level 0] [half half] :lin {})))

(defcall sine
  "Up and down again in a half-wave."
  [duration 1.0 level 1.0]
  (let [half (times duration 0.5)]
    (envelope/envelope [0 level 0] [half half] :sine {})))

(defcall perc
  "A hit: up in `attack-time`, down in `release-time`.

      (env/perc 0.001 2)"
  [attack-time 0.01 release-time 1.0 level 1.0 curve -4.0]
  (envelope/envelope [0 level 0] [attack-time release-time] curve {}))

(defcall linen
  "Up, level for `sustain-time`, and down."
  [attack-time 0.01 sustain-time 1.0 release-time 1.0 level 1.0 curve :lin]
  (envelope/envelope [0 level level 0] [attack-time sustain-time release-time] curve {}))

(defcall cutoff
  "A level that is held while gate is above 0, then down: to -100 dB with the curve :exp,
  which never reaches 0."
  [release-time 0.1 level 1.0 curve :lin]
  (let [end (if (= 2 (envelope/shape-number (if (sequential? curve) (first curve) curve))) (graph/unary (ugen/unary-index "dbamp") -100) 0)]
    (envelope/envelope [level end] [release-time] curve {:release-node 0})))

(defn- from-bias [levels bias] (mapv #(plus % bias) levels))

(defcall adsr
  "Attack, decay, a level that is held while gate is above 0, release. The level is a part
  of `peak-level`; `bias` is added to all."
  [attack-time 0.01 decay-time 0.3 sustain-level 0.5 release-time 1.0 peak-level 1.0 curve -4.0 bias 0.0]
  (envelope/envelope (from-bias [0 peak-level (times peak-level sustain-level) 0] bias)
                     [attack-time decay-time release-time] curve {:release-node 2}))

(defcall dadsr
  "As `adsr`, after a delay."
  [delay-time 0.1 attack-time 0.01 decay-time 0.3 sustain-level 0.5 release-time 1.0 peak-level 1.0 curve -4.0 bias 0.0]
  (envelope/envelope (from-bias [0 0 peak-level (times peak-level sustain-level) 0] bias)
                     [delay-time attack-time decay-time release-time] curve {:release-node 3}))

(defcall asr
  "Attack, a level that is held while gate is above 0, release."
  [attack-time 0.01 sustain-level 1.0 release-time 1.0 curve -4.0]
  (envelope/envelope [0 sustain-level 0] [attack-time release-time] curve {:release-node 1}))

(defcall step
  "Levels without transitions: each holds for its duration.

      (env/step [1 0.5 0.25] [0.1 0.1 0.2])"
  [levels durations release-node nil loop-node nil offset 0]
  (when-not (and (sequential? levels) (seq levels) (sequential? durations))
    (graph/refuse :invalid-envelope (str "Levels and durations of steps are sequences, not " (error/shown levels) " and " (error/shown durations) ".")
                  {:levels levels, :times durations}))
  (when-not (= (count levels) (count durations))
    (graph/refuse :invalid-envelope (str "Each step has a level and a duration: " (count levels) " levels, " (count durations) " durations.")
                  {:levels levels, :times durations}))
  (envelope/envelope (into [(first levels)] levels) durations :step {:release-node release-node, :loop-node loop-node, :offset offset}))

(defcall points
  "Break-points `[time level]` or `[time level curve]`, in any order, where times count from
  the first; a curve is that of the segment behind its point.

      (env/points [[0 0] [0.01 1 -4] [1 0]])"
  [all curve nil]
  (when-not (and (sequential? all) (seq all) (every? #(and (sequential? %) (<= 2 (count %) 3)) all))
    (graph/refuse :invalid-envelope (str "The points of an envelope are a sequence of [time level] or [time level curve], not " (error/shown all) ".") {:points all}))
  (let [all    (map (fn [[t level c]] [t level (or c curve :lin)]) all)
        all    (if (every? (comp number? first) all) (sort-by first all) all)
        starts (map first all)]
    (envelope/envelope (mapv second all)
                       (mapv (fn [a b] (graph/binary (ugen/binary-index "-") b a)) starts (rest starts))
                       (mapv #(nth % 2) all)
                       {:offset (first starts)})))

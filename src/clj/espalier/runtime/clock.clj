(ns espalier.runtime.clock
  "The time, and the times that users write."
  (:require
   [espalier.model.error :as error])
  (:import
   (espalier.kernel TimeTag)
   (java.time Duration Instant InstantSource)))

(set! *warn-on-reflection* true)

(def wall
  "The clock of this machine."
  (InstantSource/system))

(defn virtual?
  "Whether a clock is none of this machine, but one that somebody moves."
  [clock]
  (not= wall clock))

(defn now
  "This moment, an Instant, by this machine or by another clock."
  (^Instant [] (now wall))
  (^Instant [^InstantSource clock] (.instant clock)))

(defn milliseconds
  "Milliseconds of a clock that only goes forward."
  ^long []
  (quot (System/nanoTime) 1000000))

(defn- named-instant ^Instant [when clock]
  (cond
    (nil? when)               nil
    (instance? Instant when)  when
    (instance? Duration when) (.plus (now clock) ^Duration when)
    (and (number? when) (< 1e9 (double when) 1e11))
    (let [seconds (Math/floor (double when))]
      (Instant/ofEpochSecond (long seconds) (Math/round (* 1e9 (- (double when) seconds)))))
    :else
    (throw (error/error :invalid-time
                        (str "A time is nil (now), an Instant, a Duration from now such as (Duration/ofMillis 100),"
                             " or POSIX seconds, some 1.8e9, not " (pr-str when) ".")
                        {:when when}))))

(defn instant
  "The Instant that `when` names: an Instant; a Duration, from now on by this machine or
  by another clock; or a number, POSIX seconds. nil, which means now, gives nil.

  Throws `:espalier.error/invalid-time` for anything else."
  (^Instant [when] (named-instant when wall))
  (^Instant [when clock] (named-instant when clock)))

(defn time-tag
  "The 64-bit NTP time tag of `when`, which is whatever `instant` takes.

  Throws `:espalier.error/invalid-time` for a time that no tag can hold."
  ^long [when]
  (if-let [t (instant when)]
    (try (TimeTag/of t)
         (catch IllegalArgumentException e
           (throw (error/error :invalid-time (ex-message e) {:when when} e))))
    TimeTag/IMMEDIATE))

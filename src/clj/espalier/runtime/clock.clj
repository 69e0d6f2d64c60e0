(ns espalier.runtime.clock
  "The time, and the times that users write."
  (:require
   [espalier.model.error :as error])
  (:import
   (espalier.kernel TimeTag)
   (java.time Duration Instant)))

(set! *warn-on-reflection* true)

(defn now
  "This moment, an Instant."
  ^Instant []
  (Instant/now))

(defn instant
  "The Instant that `when` names: an Instant; a Duration, from now on; or a
  number, POSIX seconds. nil, which means now, gives nil.

  Throws `:espalier.error/invalid-time` for anything else."
  ^Instant [when]
  (cond
    (nil? when)               nil
    (instance? Instant when)  when
    (instance? Duration when) (.plus (now) ^Duration when)
    (and (number? when) (< 1e9 (double when) 1e11))
    (let [seconds (Math/floor (double when))]
      (Instant/ofEpochSecond (long seconds) (Math/round (* 1e9 (- (double when) seconds)))))
    :else
    (throw (error/error :invalid-time
                        (str "A time is nil (now), an Instant, a Duration from now such as (Duration/ofMillis 100),"
                             " or POSIX seconds, some 1.8e9, not " (pr-str when) ".")
                        {:when when}))))

(defn time-tag
  "The 64-bit NTP time tag of `when`, which is whatever `instant` takes.

  Throws `:espalier.error/invalid-time` for a time that no tag can hold."
  ^long [when]
  (if-let [t (instant when)]
    (try (TimeTag/of t)
         (catch IllegalArgumentException e
           (throw (error/error :invalid-time (ex-message e) {:when when} e))))
    TimeTag/IMMEDIATE))

(ns espalier.runtime.playing
  "A graph heard at once: its SynthDef is sent, one synth of it started, and the SynthDef
  forgotten."
  (:require
   [espalier.model.options :as options]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.node :as node]
   [espalier.runtime.synthdefs :as synthdefs])
  (:import
   (java.util.concurrent.atomic AtomicLong)))

(set! *warn-on-reflection* true)

(defonce ^:private counter (AtomicLong.))

(defn play-graph!
  "See `espalier.core/play-graph!`. `make` makes the SynthDef, from its name and options."
  [s make opts]
  (options/check-call opts #{:bus :fade-time-s :target :action :confirm :timeout-ms})
  (let [session (handle/live s)
        stereo? (< 1 (long (:output-bus-channel-count (handle/effective-options s))))
        ;; The name is its own, for another client may play at the same time.
        d       (make (str "play-" (:client-id session) "-" (.incrementAndGet ^AtomicLong counter))
                      {:channels (if stereo? 2 1), :fade-time-s (:fade-time-s opts)})
        start!  (fn []
                  (let [synth (node/add-synth! s d {:out (:bus opts 0)} (select-keys opts [:target :action]))]
                    (synthdefs/free-synthdefs! s [(:name d)] {})
                    synth))]
    (synthdefs/add-synthdefs! s d (select-keys opts [:timeout-ms]))
    (if (moment/inside? s)
      (start!)
      (try
        (moment/call-at s (select-keys opts [:confirm :timeout-ms]) start!)
        (catch Throwable e
          (try (synthdefs/free-synthdefs! s [(:name d)] {}) (catch clojure.lang.ExceptionInfo _))
          (throw e))))))

(ns espalier.runtime.origin
  "On whose behalf a packet is sent: what an editor's middleware, for example, must know of
  the `/fail` that comes later. Nothing is asked and nothing kept until somebody wants to
  know it."
  (:import
   (java.util.concurrent.atomic AtomicReference)))

(set! *warn-on-reflection* true)

(defonce ^:private ^AtomicReference finder (AtomicReference.))

(defn find-by!
  "Has `f` called without arguments on each thread that sends a packet or changes what is
  followed. What it returns, nil for nobody, is kept beside the packet. It must be quick and
  must not throw. A nil in place of `f` ends that; the last one that was given is asked."
  [f]
  (.set ^AtomicReference finder f))

(defn current
  "On whose behalf this thread works, or nil."
  []
  (when-some [f (.get ^AtomicReference finder)]
    (f)))

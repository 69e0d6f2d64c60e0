(ns espalier.future
  "The calls of `espalier.core` that wait, without waiting: each function here has the
  name and the arguments of its twin there and returns a `CompletableFuture` at once.
  It completes with what the twin returns, or exceptionally with what it throws.
  Cancelling it interrupts the call. Made for Java:

      IFn status = Clojure.var(\"espalier.future\", \"status\");
      CompletableFuture<Map> f = (CompletableFuture<Map>) status.invoke(server);

  Waiting costs a daemon thread from a pool, not one of the caller's."
  (:require
   [espalier.core]
   [espalier.model.error :as error]
   [espalier.runtime.worker :as worker])
  (:import
   (java.util.concurrent CompletableFuture)))

(set! *warn-on-reflection* true)

(def waiting
  "The functions of `espalier.core` that wait for a server, by name."
  '[print-ugens! call-with-completion boot! connect! disconnect! quit! reboot! reset-server! request! sync! status query-tree command! call-at
    add-synthdefs! load-synthdef-directory! free-synthdefs! add-group! add-synth! play-graph! set-controls! set-control-range! map-controls! get-controls get-control-range
    release! pause! resume! move! order! free! free-children! query-node parent parentage children await-started await-ended
    add-buffer! add-buffer-group! read-buffer! cue-buffer! write-buffer! close-buffer! zero-buffer! query-buffer
    set-samples! set-sample-range! fill-samples! get-samples get-sample-range generate! copy-buffer! normalize-buffer!
    set-bus! set-buses! fill-buses! get-bus get-buses record! stop-recording! await-recording
    reconcile! plan drift repair! adopt! snapshot restore! follow! await-followed])

(defn call
  "Calls `f` with `args` on a thread of its own; returns the `CompletableFuture` of its
  result."
  ^CompletableFuture [f & args]
  (error/check-function "What is called is a function" f)
  ;; With the bindings of the caller: a call within a moment must not slip out of it.
  (worker/completable (bound-fn* #(apply f args))))

(defmacro ^:private mirror []
  `(do ~@(for [n waiting
               :let [twin (ns-resolve 'espalier.core n)
                     twin-name (symbol "espalier.core" (name n))]]
           `(defn ~n
              ~(str "A `CompletableFuture` of what `" twin-name "` returns or throws, with the same arguments.")
              {:arglists '~(:arglists (meta twin))}
              [& ~'args]
              (apply call ~twin-name ~'args)))))

(mirror)

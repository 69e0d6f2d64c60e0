(ns espalier.inspector
  "A page in the browser that shows a server live: its status, its node tree with the values
  of controls, drift, SynthDefs, a log.

      (require '[espalier.inspector :as inspector])

      (def i (inspector/start! s))
      i                      ;=> #<Inspector http://127.0.0.1:40403/kcTgbAGuK7dHPZdVMJoQbg/ read-only, 0 pages open>
      (inspector/stop! i)

  Only this machine reaches it, only with the token in the address, and unless asked it
  changes nothing. Requiring this starts nothing."
  (:require
   [espalier.runtime.inspector :as inspector]))

(set! *warn-on-reflection* true)

(defn start!
  "Serves the page of a server on 127.0.0.1; returns the inspector, a `java.io.Closeable`.
  It lives through the end of the server and shows the next that the handle boots.

  `:port`       where to listen (default nil: a free port)
  `:write?`     whether the page may set controls, pause and free nodes (default false)
  `:controls?`  whether values of controls are shown, for which the server is asked (default
                true)
  `:poll-ms`    so often the tree is asked for while nothing is known to change, in
                milliseconds (default 500): what other clients set is told in no other way.
                Of a large tree it is asked less often, a tenth of the time at the most
  `:drift-ms`   so often what plays is compared with what was declared (default 5,000; nil for
                only when the page's button is pressed)
  `:meters?`    whether the levels of the outputs are shown (default false): that needs a
                SynthDef and a synth on the server, at the tail of its root group, while
                somebody looks

  While no page is open, the server is asked nothing.

  Throws `:espalier.error/no-handle`, `:espalier.error/unknown-option`,
  `:espalier.error/invalid-option`, `:espalier.error/port-taken`.

      (inspector/start! s {:write? true, :meters? true})"
  ([s] (start! s {}))
  ([s opts] (inspector/start! s opts)))

(defn stop!
  "Ends the page, its connections and its threads; returns the inspector. Harmless where it
  has ended.

  Throws `:espalier.error/invalid-argument`."
  [i]
  (inspector/stop! i))

(defn url
  "The address of the page, with the token, a string.

  Throws `:espalier.error/invalid-argument`.

      (inspector/url i)  ;=> \"http://127.0.0.1:40403/kcTgbAGuK7dHPZdVMJoQbg/\""
  [i]
  (inspector/url i))

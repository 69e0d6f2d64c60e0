(ns espalier.rehearsal
  "A silent stand-in for scsynth within this JVM, for tests and for machines without audio.
  It listens on a port of its own and speaks scsynth 3.13's protocol, command by command,
  reply by reply, with the same words where something fails.

      (def r (rehearsal/start! {:port nil}))
      (sc/connect! s {:port (rehearsal/port r)})
      (rehearsal/stop! r)

  No sound is computed. So a control bus that only UGens write stays as it was set, nothing
  comes of SendReply and SendTrig, and of synths whose end depends on a signal nobody knows
  when it comes: `unknown` names them."
  (:require
   [espalier.runtime.rehearsal :as rehearsal]))

(set! *warn-on-reflection* true)

(defn start!
  "Starts a rehearsal and returns it. It can be printed and closed.

  `options`  those of `espalier.core/boot!`, of which the limits count (`:maximum-node-count`,
             `:buffer-count` …), `:ip-address` and `:protocol`; a `:port` of nil takes a free
             one. Beside them `:clock`: `:wall` (default), or `:virtual`, which stands still
             until `advance!` moves it.

  Throws what `espalier.core/boot!` throws for options, and `:espalier.error/server-cannot-boot`
  with `:reason :port-taken`.

      (start! {:port nil, :maximum-logins 4})"
  ([] (start! {}))
  ([options] (rehearsal/start! options)))

(defn port
  "The port that it listens on."
  [r]
  (rehearsal/port r))

(defn stop!
  "Ends it, without asking it; harmless where it has ended. Returns nil."
  [r]
  (rehearsal/stop! r))

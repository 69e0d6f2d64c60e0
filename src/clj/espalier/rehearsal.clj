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

(defn rehearsal
  "The option `:executable` that makes `espalier.core/boot!` start a rehearsal in place of a
  process; `:rehearsal` alone is one with the clock of the wall.

  `:clock`  as of `start!`

      (sc/boot! s {:executable (rehearsal/rehearsal {:clock :virtual})})"
  ([] (rehearsal {}))
  ([options] (assoc options :kind :rehearsal)))

(defn- of
  "The rehearsal that is meant: itself, or the one that a handle has booted."
  [x]
  (rehearsal/of x))

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
  (rehearsal/port (of r)))

(defn stop!
  "Ends it, without asking it; harmless where it has ended. Returns nil."
  [r]
  (rehearsal/stop! (of r)))

;; ---- time

(defn now
  "What time it is there, an Instant: on a virtual clock where `advance!` has left it. A
  Duration that is given to `espalier.core/at` counts from then, of a handle that has booted
  the rehearsal.

      (sc/at s (.plusMillis (now s) 500) (sc/add-synth! s :bell))"
  ^java.time.Instant [r]
  (rehearsal/now (of r)))

(defn advance!
  "Moves the virtual clock of a rehearsal by so many milliseconds. What is due meanwhile
  happens in its order, bundles and ends of synths, block by block, and has happened when this
  returns. Returns `r`.

  Packets count from when they have arrived: `(sc/sync! s)` before makes sure of it.

  `r`   a rehearsal, or a handle that has booted one; so everywhere here
  `ms`  milliseconds, with fractions if need be

  Throws `:espalier.error/wall-clock` where the clock is the wall's.

      (advance! r 500)"
  [r ms]
  (rehearsal/advance! (of r) ms)
  r)

(defn unknown
  "The synths of which nobody can know when they end by themselves, for that depends on a
  signal, or on a control that is mapped to a bus: a vector of maps with `:id`, `:synthdef`
  and `:ugen`, the class of the UGen that would end them. They play on until they are freed.

      (unknown r)  ;=> [{:id 1000, :synthdef \"gong\", :ugen \"DetectSilence\"}]"
  [r]
  (rehearsal/unknown (of r)))

;; ---- trouble

(defn trouble!
  "Makes trouble, from now on; returns all that there is then. What is not given stays as it
  was, nil for one ends it, nil in place of the map ends all. On packets it depends on nothing but
  `:seed`, the direction and the packet's number, so the same happens again in the next run.

  `:drop`, `:duplicate`, `:reorder`  how probably a packet is lost, comes twice, or is overtaken
                          by the next one: 0 to 1, for both directions or each:
                          `{:received 0.1, :sent 0}`. By TCP nothing of that happens
  `:delay-ms`, `:jitter-ms`  how much later packets come, and at most how much more by chance
  `:seed`                 a whole number, default 0
  `:silent`               true: it does all and says nothing
  `:refuse-logins`        true: too many users, whoever comes
  `:notification-limit`   notifications of nodes in one block, further ones are lost (1,023)
  `:reply-limit-bytes`    the longest reply (65,516), above it is a /fail
  `:slow-done-ms`         how much longer asynchronous commands take

  Throws `:espalier.error/invalid-trouble`.

      (trouble! r {:drop 0.1, :seed 42})"
  [r trouble]
  (rehearsal/trouble! (of r) trouble))

(defn die!
  "Makes it die as of SIGKILL: nothing is said, the port is closed, the exit code is 137."
  [r]
  (rehearsal/die! (of r)))

;; ---- what was said

(defn received
  "The last 4,096 packets that came in, the oldest first: a vector of maps.

      {:at     #<Instant>           ; on the wall
       :time   #<Instant>           ; on the clock of the rehearsal
       :client \"127.0.0.1:50311\"
       :packet [\"/s_new\" \"bell\" 1000 0 1]}

  A bundle is `{:at instant-or-nil, :packets [packet …]}`; what is no packet is its bytes, and
  nil a large one that memory was needed for."
  [r]
  (rehearsal/received (of r)))

(defn sent
  "The last 4,096 messages that went out, also those that trouble has lost on their way: as
  `received`, `:client` being who it was for."
  [r]
  (rehearsal/sent (of r)))

(defn world
  "All that it has, as a value: `espalier.model.rehearsal-world` tells what is in it."
  [r]
  (rehearsal/world (of r)))

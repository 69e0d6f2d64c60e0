(ns espalier.core
  "Playing SuperCollider's servers, scsynth and supernova: the namespace to require.

      (require '[espalier.core :as sc])

      (def s (sc/server))
      (sc/boot! s)
      (sc/status s)
      (sc/quit! s)

  A handle is :offline, :booting, :online, :quitting, or :lost when its server
  went away unasked; from :offline and :lost it can be booted again. Every wait
  has a deadline. Every error is an `ex-info` with `:espalier/error` in its data.
  Requiring this starts nothing."
  (:require
   [espalier.model.error :as error]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.model.tree :as tree]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.port :as port]
   [espalier.runtime.server :as server]
   [espalier.runtime.session :as session])
  (:import
   (espalier.kernel Link ServerProcess ServerProcess$Line)
   (java.lang ProcessHandle)))

(set! *warn-on-reflection* true)

;; ---- before there is a server

(defn options
  "All options with their defaults, as a map. `doc-options` tells what they mean.

      (:port (sc/options))  ;=> 57110"
  []
  (options/defaults))

(defn doc-options
  "Prints every option: name, flag, default, range, engine, meaning. Returns nil."
  []
  (println ((requiring-resolve 'espalier.model.options-page/text))))

(defn find-scsynth
  "The path of the server's executable.

  `executable`  nil: `ESPALIER_SCSYNTH` where it is set, else scsynth on the PATH,
                else in the usual places of this platform. A name such as
                \"supernova\": that program. A path: exactly that file

  Throws `:espalier.error/no-executable` with every place that was looked at, and
  `:espalier.error/not-executable`. Never returns another program than asked for.

      (sc/find-scsynth)  ;=> \"/usr/bin/scsynth\""
  ([] (find-scsynth nil))
  ([executable] (executable/find-executable executable)))

(defn find-free-port
  "A port of this machine that nobody uses, for UDP or TCP. It is not reserved.

      (sc/boot! s {:port (sc/find-free-port)})"
  []
  (port/find-free-port))

(defn server
  "A handle, offline. Starts nothing.

  `opts`  options for each boot and connect of this handle: see `doc-options`

  Throws `:espalier.error/unknown-option`, `:espalier.error/invalid-option`,
  `:espalier.error/option-of-other-engine`.

      (sc/server)  ;=> #<Server OFFLINE [/usr/bin/scsynth -R 0 -l 1 -u 57110]>"
  ([] (server {}))
  ([opts] (server/server opts)))

;; ---- lifecycle

(defn boot!
  "Boots the server and logs in; returns the handle, online.

  `opts`  options for this boot only, merged over those of the handle. They hold
          until the server has ended, `reboot!` included, and are forgotten then.
          `:boot-timeout-ms` (default 10,000) is how long the process may take to
          be ready, `:timeout-ms` (5,000) how long each answer may. `{:audio :dummy}`
          plays on a private JACK without any device

  The port is tried before the process is started. Default groups are made for
  all clients, as many as the server says that it lets in.

  Throws what `server` throws; `:espalier.error/server-online`;
  `:espalier.error/no-executable`, `:espalier.error/not-executable`; and
  `:espalier.error/server-cannot-boot`, whose `:reason` is :port-taken,
  :bad-address, :no-audio, :process-ended, :never-ready or :no-login. The handle
  is offline then, and nothing is left behind.

      (sc/boot! s {:input-bus-channel-count 2})"
  ([s] (boot! s {}))
  ([s opts] (server/boot! s opts)))

(defn connect!
  "Logs in on a server that runs already; returns the handle, online and not its
  owner. Give it the options that the server was booted with: they say how many
  buses and buffers there are to share.

  Throws what `server` throws; `:espalier.error/server-online`;
  `:espalier.error/nobody-listens`; `:espalier.error/no-answer`;
  `:espalier.error/link-closed`; `:espalier.error/too-many-clients`; `:espalier.error/already-registered`. The
  handle is offline then.

      (sc/connect! (sc/server) {:port 57110})"
  ([s] (connect! s {}))
  ([s opts] (server/connect! s opts)))

(defn disconnect!
  "Logs out from a server that another has booted, which goes on playing; returns
  the handle, offline. Harmless when it is offline.

  Throws `:espalier.error/owned-server-shutdown` where this handle has booted it."
  [s]
  (server/disconnect! s))

(defn quit!
  "Ends the server and returns the handle, offline. Harmless when it is offline.
  The process is asked, and after two seconds signalled; it is gone when this
  returns, at once where it obeys, within some five seconds where it does not.

  `:force`  asks a server to end too that another has booted

  Throws `:espalier.error/unowned-server-shutdown` for another's server without
  `:force`, and `:espalier.error/no-answer` where another's does not answer; the
  handle is offline then."
  ([s] (quit! s {}))
  ([s opts] (server/quit! s (:force (options/check-call opts #{:force})))))

(defn reboot!
  "Quits and boots again with the options of the last boot; returns the handle.

  Throws what `quit!` and `boot!` throw."
  [s]
  (server/reboot! s))

(defn reset-server!
  "Frees all nodes and all bundles that wait for their time, and returns the
  handle; the default groups are there afterwards. On a server that another has
  booted, only the nodes of our own default group are freed. SynthDefs, buffers
  and buses stay as they are.

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`."
  [s]
  (server/reset-server! s))

(defn call-with-server
  "Boots a new handle with `opts`, calls `f` with it, and quits whatever happens.
  Returns what `f` returns; `with-server` is sugar over it."
  [opts f]
  (with-open [^java.io.Closeable s (boot! (server opts))]
    (f s)))

(defmacro with-server
  "Evaluates `body` with `s` bound to a new handle, booted with `opts`; quits
  whatever happens. Returns what the body returns.

      (sc/with-server [s {:audio :dummy}]
        (sc/status s))"
  [[s opts :as binding] & body]
  (when-not (and (vector? binding) (symbol? s) (<= (count binding) 2))
    (throw (IllegalArgumentException. "with-server wants a vector first: (with-server [s {:audio :dummy}] …)")))
  `(call-with-server ~(or opts {}) (fn [~s] ~@body)))

(defn on-lifecycle!
  "Calls `f` with each lifecycle event, on a thread of its own, in their order.
  Returns an id for `off!`.

  `events`  the name of the one to hear of, or a collection; without it all

  An event is a map of `:event`, `:status` (of the handle, after it), `:at` (an
  Instant), `:server`, and what is named here. Their order by path:

      boot!                    :booting(:warnings) :process-booted(:pid) :connecting :connected :booted
      boot! that fails         :booting [:process-booted] [:connecting :connect-failed(:error)] [:process-quit] :boot-failed(:error)
      connect!                 :connecting :connected
      connect! that fails      :connecting :connect-failed(:error)
      disconnect!              :disconnecting :disconnected
      quit!                    :quitting :process-quit :disconnected :quit
      quit! of another's       :quitting :disconnected :quit
      the process died         :process-died(:exit-code :reason) :disconnected :lost(:why)
      the server is silent     :server-silent(:patience-ms) [:process-quit] :disconnected :lost(:why)
      the connection ended     :connection-closed [:process-quit] :disconnected :lost(:why)
      the machine slept        :woke(:asleep-ms)
      a /fail that no call waited for, after send! :command-failed(:message)
      a handler threw          :handler-failed(:error)
      a handler is too slow    :handler-behind(:behind), and messages to it are dropped
      no OSC packet arrived    :malformed-packet(:error)

  What is in [ ] happens where it applies: a process that is killed for being
  silent was ours; `:warnings` are sentences about options that will not do what
  they seem to, which `datafy` of the handle shows too.

  Throws `:espalier.error/unknown-event`, `:espalier.error/no-function`.

      (sc/on-lifecycle! s :lost (fn [event] (println (:why event))))"
  ([s f] (handle/on-lifecycle! s nil f))
  ([s events f] (handle/on-lifecycle! s events f)))

(defn boot-status
  "Where the handle stands: :offline, :booting, :online, :quitting or :lost."
  [s]
  (handle/status s))

(defn kill-all!
  "Kills every server process that this JVM has started, the private JACK servers
  too; returns how many. Their handles are lost then.

  `:others`  also every other scsynth and supernova of this machine that may be
             killed, whoever has started it"
  ([] (kill-all! {}))
  ([opts]
   (let [{:keys [others]} (options/check-call opts #{:others})
         ours (ServerProcess/endAll)]
     (if others
       (+ ours
          (count
            (filterv (fn [^ProcessHandle p]
                       (and (re-find #"(^|[/\\])(scsynth|supernova)(\.exe)?$"
                                     (.orElse (.command (.info p)) ""))
                            (.destroyForcibly p)))
                     (iterator-seq (.iterator (ProcessHandle/allProcesses))))))
       ours))))

;; ---- who and where

(defn owner?
  "Whether this handle has booted its server, and so may quit it."
  [s]
  (handle/owner? s))

(defn client-id
  "The number by which the server knows this client, from 0; nil while offline."
  [s]
  (:client-id (handle/session s)))

(defn root-node
  "The group at the root of the node tree."
  [_]
  {:kind :group, :id 0})

(defn default-group
  "This client's default group, where its nodes go unless told otherwise.

  Throws `:espalier.error/server-offline`, for the server says who we are.

      (sc/default-group s)  ;=> {:kind :group, :id 1}"
  [s]
  {:kind :group, :id (session/default-group-id (:client-id (handle/live s)))})

(defn audio-output-bus-group
  "The audio buses that are heard.

      (sc/audio-output-bus-group s)  ;=> {:kind :bus-group, :rate :audio, :id 0, :count 8}"
  [s]
  {:kind :bus-group, :rate :audio, :id 0, :count (:output-bus-channel-count (handle/effective-options s))})

(defn audio-input-bus-group
  "The audio buses that hold what the device hears; they follow the outputs.

      (sc/audio-input-bus-group s)  ;=> {:kind :bus-group, :rate :audio, :id 8, :count 8}"
  [s]
  (let [{:keys [input-bus-channel-count output-bus-channel-count]} (handle/effective-options s)]
    {:kind :bus-group, :rate :audio, :id output-bus-channel-count, :count input-bus-channel-count}))

(defn process
  "The process that this handle has booted, a kernel `ServerProcess`; nil where
  there is none.

      (.pid (sc/process s))  ;=> 4711"
  ^ServerProcess [s]
  (handle/process s))

(defn server-output
  "The last 500 lines that the server printed, strings; empty where this handle
  has not booted it."
  [s]
  (if-let [p (process s)]
    (mapv #(.text ^ServerProcess$Line %) (.output p))
    []))

(defn osc-client
  "The kernel `Link` to the server, with its counts; nil while offline."
  ^Link [s]
  (:link (handle/session s)))

;; ---- talking to it

(defn send!
  "Sends a message or a bundle as it is, and returns the handle. What is sent by
  one thread arrives in that order, and a send that returned before another began
  arrives before it. Nothing is checked but that OSC can carry it, and nothing
  is waited for: what scsynth refuses is heard as the lifecycle event
  :command-failed; supernova tells only its output, `(sc/server-output s)`.

  `message`  `[\"/n_set\" 1000 \"freq\" 440]`, or `{:at when, :packets [message …]}`, where
             `when` is nil for now, POSIX seconds, an Instant, or a Duration from
             now. Integers and reals are sent with 32 bits, keywords as strings,
             true and false as 1 and 0, groups and the like as their id, byte
             arrays as blobs, float arrays as so many floats, sequences as arrays

  Throws `:espalier.error/server-offline`, `:espalier.error/invalid-message`,
  `:espalier.error/packet-too-large`, `:espalier.error/link-closed`; nothing is
  sent then.

      (sc/send! s [\"/g_new\" 1000 0 1])"
  [s message]
  (handle/send! s message)
  s)

(defn request!
  "Sends a message and waits for its reply, which is returned as a vector.

  `reply`        how the reply begins: `[\"/synced\" 7]`
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws what `send!` throws; `:espalier.error/command-failed` with the server's
  words where it answers with `/fail`; `:espalier.error/no-answer`.

      (sc/request! s [\"/b_query\" 0] [\"/b_info\" 0])  ;=> [\"/b_info\" 0 0 0 0.0]"
  ([s message reply] (request! s message reply {}))
  ([s message reply opts]
   (handle/request! s message reply (:timeout-ms (options/check-call opts #{:timeout-ms})))))

(defn sync!
  "Returns the handle when everything that was sent before has been completed,
  asynchronous commands too. Bundles that wait for their time are not waited for.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`."
  ([s] (sync! s {}))
  ([s opts]
   (handle/sync! s (:timeout-ms (options/check-call opts #{:timeout-ms})))
   s))

(defn status
  "What the server says of itself: `:actual-sample-rate-hz :target-sample-rate-hz
  :average-cpu-percent :peak-cpu-percent :ugen-count :synth-count :group-count` (the
  root included) `:synthdef-count`.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`."
  ([s] (status s {}))
  ([s opts] (message/status (request! s ["/status"] ["/status.reply"] opts))))

(defn query-tree
  "The node tree below a group, as data: see `espalier.model.tree`.

  `:group`       where to begin, an id or a group (default: the root)
  `:controls`    whether controls are asked for (default true)
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`,
  `:espalier.error/command-failed`: there is no such group, or its tree is larger
  than the server can say at once."
  ([s] (query-tree s {}))
  ([s opts]
   (let [{:keys [group controls] :or {group 0, controls true}} (options/check-call opts #{:group :controls :timeout-ms})
         id   (if (map? group) (:id group) group)
         flag (if controls 1 0)]
     (when-not (int? id)
       (throw (error/error :invalid-option (str ":group is the id of a group or a group, 0 for example, not " (pr-str group) ".")
                           {:option :group, :value group})))
     (tree/parse (request! s ["/g_queryTree" id flag] ["/g_queryTree.reply" flag id] (select-keys opts [:timeout-ms]))))))

(defn print-tree
  "Prints the node tree as text; returns nil. Takes what `query-tree` takes."
  ([s] (print-tree s {}))
  ([s opts] (println (tree/text (query-tree s opts)))))

(defn on-osc!
  "Calls `f` with each message from the server that fits, on a thread of its own,
  in their order. Returns an id for `off!`. Handlers stay through quit and boot.

  `pattern`  an address `\"/tr\"`; the beginning of a message `[\"/n_end\" 1000]`; or a
             predicate on the message
  `:once`    whether to stop after the first that fits

  A handler that throws is reported as the lifecycle event :handler-failed and
  goes on; one that blocks delays nobody else.

  Throws `:espalier.error/invalid-pattern`.

      (sc/on-osc! s [\"/tr\" 1000] (fn [[_ node id value]] …))"
  ([s pattern f] (on-osc! s pattern f {}))
  ([s pattern f opts] (handle/on-osc! s pattern f (:once (options/check-call opts #{:once})))))

(defn off!
  "Removes what `on-osc!` or `on-lifecycle!` has added; returns whether it was
  there."
  [s id]
  (handle/off! s id))

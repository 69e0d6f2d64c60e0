(ns espalier.core
  "Playing SuperCollider's servers, scsynth and supernova: the namespace to require.

      (require '[espalier.core :as sc])

      (def s (sc/server))
      (sc/boot! s)
      (sc/status s)
      (sc/quit! s)

  A handle is :offline, :booting, :online, :quitting, or :lost when its server
  went away unasked; from :offline and :lost it can be booted again. With
  `{:on-lost :restore}` it is :restoring then, and :online again. Every wait
  has a deadline. Every error is an `ex-info` with `:espalier/error` in its data.
  Requiring this starts nothing."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.log :as model.log]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.model.tree :as tree]
   [espalier.runtime.adoption :as adoption]
   [espalier.runtime.boot :as boot]
   [espalier.runtime.buffer :as buffer]
   [espalier.runtime.bus :as bus]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.follow :as follow]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.health :as health]
   [espalier.runtime.inspection]
   [espalier.runtime.log :as log]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.node :as node]
   [espalier.runtime.playing :as playing]
   [espalier.runtime.port :as port]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.recording :as recording]
   [espalier.runtime.restoration :as restoration]
   [espalier.runtime.server :as server]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.tree-query :as tree-query])
  (:import
   (espalier.kernel Link RunningServer ServerProcess ServerProcess$Line)
   (java.io Console)
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

  `:on-lost` says what happens when the server goes away unasked: its process dies,
  hangs or is stopped, or its JACK goes:

  `:offline`  the handle is :lost (default)
  `:restore`  the handle is :restoring. What is left of the server is ended, it is booted
              again on its port with its options, and gets back its SynthDefs, buffers,
              values of buses and declared trees, with `{:restore-by-hand true}` the nodes
              that were made by hand too; a handle that is not the owner logs in
              again when the server is back. Entities and keys stay valid. Up to
              `:restore-attempts` times (10), with growing pauses; then it is :lost
  a function  called with the handle and a map of `:why`, `:event` and what that event
              has: what it returns is done, :restore or :offline

  Calls made meanwhile throw `:espalier.error/server-offline`; with
  `{:when-restoring :wait}` they wait, for `:timeout-ms` at the most. See doc/survival.md.

  Throws `:espalier.error/unknown-option`, `:espalier.error/invalid-option`,
  `:espalier.error/option-of-other-engine`, `:espalier.error/option-of-other-platform`.

      (sc/server)  ;=> #<Server OFFLINE [/usr/bin/scsynth -R 0 -l 1 -u 57110]>
      (sc/server {:on-lost :restore, :when-restoring :wait})"
  ([] (server {}))
  ([opts] (server/server opts)))

(defn servers
  "The handles of this JVM that are online, a vector, in the order in which they came to be.

      (run! sc/quit! (filter sc/owner? (sc/servers)))"
  []
  @handle/handles)

;; ---- lifecycle

(defn boot!
  "Boots the server and logs in; returns the handle, online.

  `opts`  options for this boot only, merged over those of the handle. They hold
          until the server has ended, `reboot!` included, and are forgotten then.
          `:boot-timeout-ms` (default 10,000) is how long the process may take to
          be ready, `:timeout-ms` (5,000) how long each answer may. `{:audio :dummy}`
          plays on a private JACK without any device, `{:executable :rehearsal}`
          starts no process but a silent stand-in: see `espalier.rehearsal`

  It listens at `:ip-address` and `:port`, by default 127.0.0.1:57110, which only this
  machine can reach: see doc/security.md. The port is tried before the process is started. Default groups are made for
  all clients, as many as the server says that it lets in.

  Throws what `server` throws; `:espalier.error/server-online`; `:espalier.error/busy` where
  another thread has been booting or quitting it for a minute;
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

  `:restore`  whether what was there comes back: SynthDefs, buffers, values of buses and
              declared trees, as after a loss (default: whether `:on-lost` is other than
              :offline). The :restored event has the report. A handle that was lost
              gets back what it had then

  Throws what `quit!` and `boot!` throw, and `:espalier.error/server-not-restored`.

      (sc/reboot! s {:restore true})"
  ([s] (reboot! s {}))
  ([s opts] (server/reboot! s opts)))

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
  "Calls `f`, a function or a `Consumer` of Java's, with each lifecycle event, on a thread
  of its own, in their order. Returns an id for `off!`.

  `events`  the name of the one to hear of, or a collection; without it all

  An event is a map of `:event`, `:status` (of the handle, after it), `:at` (an
  Instant), `:server`, and what is named here. Their order by path:

      boot!                    :booting(:ip-address :port :protocol :warnings) :process-booted(:pid) :connecting :connected :booted
      boot! that fails         :booting [:process-booted] [:connecting :connect-failed(:error)] [:process-quit] :boot-failed(:error)
      connect!                 :connecting :connected
      connect! that fails      :connecting :connect-failed(:error)
      disconnect!              :disconnecting :disconnected
      quit!                    :quitting :process-quit :disconnected :quit
      quit! of another's       :quitting :disconnected :quit
      the process died         :process-died(:exit-code :reason) :disconnected :lost(:why)
      the server is silent     :server-silent(:patience-ms :reason) [:process-quit] :disconnected :lost(:why)
      the connection ended     :connection-closed [:process-quit] :disconnected :lost(:why)
      … of one that restores   … :disconnected :restoring(:why :attempt :pause-ms), then as boot! from :process-booted
                               or connect! on, with :restored(:report) before :connected
      an attempt that fails    as boot! or connect! that fails, then :restoring(:error), its attempt one more,
                               or in the end :restore-failed(:error) :lost(:why)
      quit! of one that restores               [:process-quit] [:boot-failed(:error)] :lost(:why)
      one that restores says nothing for 0.6 s :server-slow(:silent-ms)
      the machine slept        :woke(:asleep-ms)
      a /fail that no call waited for, after send! :command-failed(:message)
      a handler threw          :handler-failed(:error)
      a handler is too slow    :handler-behind(:behind), and messages to it are dropped
      no OSC packet arrived    :malformed-packet(:error)
      a followed tree was not reconciled       :reconcile-failed(:error :reference)
      what played had drifted from one, and is repaired :drifted(:edits :reference)
      our server did a bundle after its time   :late(:late-s), in seconds; supernova's whole seconds are unknown

  What is in [ ] happens where it applies: a process that is killed for being
  silent was ours; `:warnings` are sentences about options that will not do what
  they seem to, which `datafy` of the handle shows too.

  Throws `:espalier.error/unknown-event`, `:espalier.error/no-function`.

      (sc/on-lifecycle! s :lost (fn [event] (println (:why event))))"
  ([s f] (handle/on-lifecycle! s nil f))
  ([s events f] (handle/on-lifecycle! s events f)))

(defn boot-status
  "Where the handle stands: :offline, :booting, :online, :quitting, :restoring or :lost."
  [s]
  (handle/status s))

(defn kill-all!
  "Kills every server process that this JVM has started, the private JACK servers
  and the rehearsals that handles have booted too; returns how many. Their handles
  are lost then.

  `:others`  also every other scsynth and supernova of this machine that may be
             killed, whoever has started it"
  ([] (kill-all! {}))
  ([opts]
   (let [{:keys [others]} (options/check-call opts #{:others})
         ours (+ (ServerProcess/endAll) (boot/kill-rehearsals!))]
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
  "The group at the root of the node tree.

  Throws `:espalier.error/server-offline`.

      (sc/root-node s)  ;=> #<Group 0>"
  [s]
  (entities/known-node s (handle/live s) :group 0))

(defn default-group
  "This client's default group, where its nodes go unless told otherwise.

  Throws `:espalier.error/server-offline`, for the server says who we are.

      (sc/default-group s)  ;=> #<Group 1>"
  [s]
  (let [session (handle/live s)]
    (entities/known-node s session :group (session/default-group-id (:client-id session)))))

(defn audio-output-bus-group
  "The audio buses that are heard.

  Throws `:espalier.error/server-offline`.

      (sc/audio-output-bus-group s)  ;=> #<BusGroup 0..7 audio>"
  [s]
  (entities/hardware-buses s 0 (:output-bus-channel-count (handle/effective-options s))))

(defn audio-input-bus-group
  "The audio buses that hold what the device hears; they follow the outputs.

  Throws `:espalier.error/server-offline`.

      (sc/audio-input-bus-group s)  ;=> #<BusGroup 8..15 audio>"
  [s]
  (let [{:keys [input-bus-channel-count output-bus-channel-count]} (handle/effective-options s)]
    (entities/hardware-buses s output-bus-channel-count input-bus-channel-count)))

(defn process
  "The process that this handle has booted, a kernel `RunningServer`; nil where
  there is none. Of a rehearsal that was booted it is the rehearsal, which has no pid.

      (.pid (sc/process s))  ;=> 4711"
  ^RunningServer [s]
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
  arrives before it. Nothing is checked but that OSC can carry it. Nothing is waited
  for but that the server has read enough of what was sent before, for servers lose
  what comes too fast; that wait has a deadline. What scsynth refuses is heard as the
  lifecycle event :command-failed; supernova tells only its output, `(sc/server-output s)`.

  `message`  `[\"/n_set\" 1000 \"freq\" 440]`, or `{:at when, :packets [message …]}`, where
             `when` is nil for now, POSIX seconds, an Instant, or a Duration from
             now. Within `at`, a message becomes part of the moment. Integers and reals are sent with 32 bits, keywords as strings,
             true and false as 1 and 0, groups and the like as their id, byte
             arrays as blobs, float arrays as so many floats, sequences as arrays

  Throws `:espalier.error/server-offline`, `:espalier.error/invalid-message`,
  `:espalier.error/packet-too-large`, `:espalier.error/too-many-pending`,
  `:espalier.error/server-behind`, `:espalier.error/link-closed`; nothing is
  sent then.

      (sc/send! s [\"/g_new\" 1000 0 1])"
  [s message]
  (moment/send-raw! s message)
  s)

(defn request!
  "Sends a message and waits for its reply, which is returned as a vector.

  `reply`        how the reply begins: `[\"/synced\" 7]`
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws what `send!` throws; `:espalier.error/command-failed` with the server's
  words where it answers with `/fail`, or what these words mean, among others
  `:espalier.error/reply-too-large`; `:espalier.error/no-answer`. By UDP a question of the
  table of commands is asked anew where only its answer was lost.

      (sc/request! s [\"/b_query\" 0] [\"/b_info\" 0])  ;=> [\"/b_info\" 0 0 0 0.0]"
  ([s message reply] (request! s message reply {}))
  ([s message reply opts]
   (moment/refuse-inside! (if (sequential? message) (first message) "request!"))
   (handle/request! s message reply (:timeout-ms (options/check-call opts #{:timeout-ms})))))

(defn sync!
  "Returns the handle when everything that was sent before has been completed,
  asynchronous commands too. Bundles that wait for their time are not waited for.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`."
  ([s] (sync! s {}))
  ([s opts]
   (moment/refuse-inside! "sync!")
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

(defn- tree-of
  "The node tree as `query-tree` has it."
  [s {:keys [group controls timeout-ms] :or {group 0, controls true}}]
  (moment/refuse-inside! "query-tree")
  (let [session (handle/live s)
        id      (if (entity/entity? group) (entities/resolve-in s session group) group)]
    (when-not (int? id)
      (throw (error/error :invalid-option (str ":group is the id of a group or a group, 0 for example, not " (pr-str group) ".")
                          {:option :group, :value group})))
    (tree-query/read-tree session id {:controls?  (boolean controls)
                                      :timeout-ms (or timeout-ms (:timeout-ms (handle/effective-options s)))})))

(defn query-tree
  "The node tree below a group, of any size, as data:

      {:id 0, :kind :group, :complete? true, :children [{:id 1000, :kind :synth, :def \"bell\", :controls {\"freq\" 440.0}} …]}

  | key | what it tells |
  |---|---|
  | `:children`  | of a group: its nodes, in the order of the server |
  | `:def`       | of a synth: the name of its SynthDef |
  | `:controls`  | of a synth: by name the value, the shortest double that is the server's float; of an array control a vector; \"c5\" or \"a3\" where it is mapped to a bus |
  | `:key`       | the node's key, where this client has given it one |
  | `:paused`    | true where the node is paused, as far as this client knows |
  | `:parallel`  | true of a parallel group, as far as this client knows |
  | `:complete?` | of the top: whether the tree tells all, and was so at one moment |

  A tree that does not fit into one reply is read in parts, in as few bundles as the answers may be
  under way: by sub-group, without controls and those one by one, node by node. What changes meanwhile is read again.
  On supernova, synths whose last control is an array are read without controls and those one by one, too: 3.13 tells
  garbage of that array, or crashes, when it is asked for both. A SynthDef that this client has not sent it cannot know.
  Control values are those of the moment in which their part was read. The top says more then:

  | key | what it tells |
  |---|---|
  | `:mappings?` | false where some controls were read one by one, which tells a value of those that are mapped, not the bus |
  | `:missing`   | of a tree that is not `:complete?`: by node id what could not be read, a set of `:children`, `:def`, `:controls`; a SynthDef that this client has not sent has no names for its controls then |
  | `:changed`   | of one too: the ids of groups that did not keep still until the time was over |

  `:group`       where to begin, an id or a group (default: the root)
  `:controls`    whether controls are asked for (default true)
  `:timeout-ms`  how long to read (default: the handle's, 5,000); what was read by then is returned

  Throws `:espalier.error/server-offline`, `:espalier.error/no-such-node` where there is no such group,
  `:espalier.error/no-answer` where nothing has come in time.

      (sc/query-tree s {:group 1, :controls false})"
  ([s] (query-tree s {}))
  ([s opts] (tree-of s (options/check-call opts #{:group :controls :timeout-ms}))))

(defn- terminal?
  "Whether what is printed here is seen at a terminal that may have colours."
  []
  (and (identical? *out* (.getRawRoot #'*out*))
       (str/blank? (System/getenv "NO_COLOR"))
       (when-let [console (System/console)]
         ;; From Java 22 on there is a console without a terminal too, which says so.
         (try (.invoke (.getMethod Console "isTerminal" (make-array Class 0)) console (object-array 0))
              (catch NoSuchMethodException _ true)))))

(defn print-tree
  "Prints the node tree as text; returns nil. Takes what `query-tree` takes, and

  `:ids`      whether ids are shown (default true)
  `:controls` whether controls are (default true)
  `:depth`    how many levels below the group are shown (default: all); of what is not, the number is
  `:colours`  whether with the colours of a terminal (default: where the output is one, and the
              environment has no NO_COLOR)

  A tree that is not complete says so in its last line. Throws as `query-tree`.

      (sc/print-tree s {:depth 1})

      NODE TREE 0 group
          1 group
              … 12 nodes"
  ([s] (print-tree s {}))
  ([s opts]
   (let [{:keys [depth] :as opts} (options/check-call opts #{:group :controls :timeout-ms :ids :depth :colours})]
     (when-not (or (nil? depth) (nat-int? depth))
       (throw (error/error :invalid-option (str ":depth is a number of levels, 0 or more, not " (pr-str depth) ".")
                           {:option :depth, :value depth})))
     (println (tree/text (tree-of s opts)
                         (merge {:colours (boolean (terminal?))} (select-keys opts [:ids :controls :depth :colours])))))))

(defn show
  "Opens a picture of `x` with the viewer that the desktop has for SVG files, where there is a desktop:
  of a handle, a node or a tree, of a plan or report before and after, of a SynthDef, an envelope,
  a buffer, samples, a recording. It is `espalier.picture/show`, which is loaded at the first call, with all its
  options; `espalier.picture` has the kinds of `x`. Returns the file that was written, a `java.io.File`.

  Throws what `espalier.picture/save!` throws, and nothing for lack of a desktop.

      (sc/show (sc/plan s [:synth {:key :low, :def :bell}]))"
  ([x] (show x {}))
  ([x opts] ((requiring-resolve 'espalier.picture/show) x opts)))

(defn on-osc!
  "Calls `f`, a function or a `Consumer` of Java's, with each message from the server that
  fits, on a thread of its own, in their order. Returns an id for `off!`. Handlers stay
  through quit and boot.

  `pattern`  an address `\"/tr\"`; the beginning of a message `[\"/n_end\" 1000]`; or a
             predicate on the message
  `:once`    whether to stop after the first that fits

  A handler that throws is reported as the lifecycle event :handler-failed and
  goes on; one that blocks delays nobody else.

  Throws `:espalier.error/invalid-pattern`, `:espalier.error/no-function`.

      (sc/on-osc! s [\"/tr\" 1000] (fn [[_ node id value]] …))"
  ([s pattern f] (on-osc! s pattern f {}))
  ([s pattern f opts] (handle/on-osc! s pattern f (:once (options/check-call opts #{:once})))))

(defn off!
  "Removes what `on-osc!` or `on-lifecycle!` has added; returns whether it was
  there."
  [s id]
  (handle/off! s id))

(defn trace
  "The last 4,096 packets that went to the server and came from it, in order, as data:

      {:n 17, :at #inst …, :direction :sent, :packet [\"/n_set\" 1000 \"freq\" 440.0]}

  A bundle is `{:at nil-or-Instant, :packets […]}`. `:n` counts all packets of this handle.

  `:direction`  :sent or :received
  `:address`    an address, or a set of them; bundles that hold such a message too
  `:after`      only packets with a greater `:n`
  `:limit`      only so many, the last ones

      (sc/trace s {:direction :sent, :limit 5})"
  ([s] (trace s {}))
  ([s opts]
   (let [{:keys [address] :as opts} (options/check-call opts #{:direction :address :after :limit})]
     (trace/entries (handle/trace-of s)
                    (cond-> opts address (assoc :address (if (coll? address) (set address) #{address})))))))

(defn log
  "What is worth telling of the last time, the newest last: lifecycle events, what the server
  refused, bundles that came late, trees that had drifted, and the lines that the server
  printed. A vector of maps that prints as one line; the last 1,000 are kept, through quit
  and boot.

      {:n 12, :at #object[Instant], :level :warn, :what :late, :text \"A bundle came 0.012 s late.\", :late-s 0.012}

  `:what` is the name of an event, as `on-lifecycle!` has them with what else there is, or
  :output. `:n` counts all entries of this handle.

  `:level`  :info, :warn or :error: entries of that level and those above it
  `:after`  only entries with a greater `:n`
  `:limit`  only so many, the last ones

      (sc/log s {:level :warn})                  ;=> #<Log 1 entry, 1 error>
      (run! println (map :text (sc/log s)))      ; to read it"
  ([s] (log s {}))
  ([s opts]
   (let [{:keys [level] :as opts} (options/check-call opts #{:level :after :limit})]
     (when-not (or (nil? level) (some #{level} model.log/levels))
       (throw (error/error :invalid-option (str ":level is :info, :warn or :error, not " (pr-str level) ".") {:option :level, :value level})))
     (model.log/shown (log/entries (handle/log-of s) opts)))))

(defn tap-log!
  "Whether each new entry of the log goes to `tap>`, as a map, from now on. Returns the handle.

      (sc/tap-log! s true)"
  [s on?]
  (log/tap! (handle/log-of s) on?)
  s)

(defn health
  "How well the link to the server has done since the login, a map that prints as one line:

  | key | what it tells |
  |---|---|
  | `:at` `:since` | when this was, and the login |
  | `:sent` `:received` | `:packet-count`, `:byte-count`, of what came also `:malformed-count` |
  | `:lost`        | packets that had no room: `:sent`, in the server's socket, of whatever client, `:received`, in ours; nil where the system does not tell, elsewhere than on Linux, on other machines, by TCP |
  | `:waits`       | how often a call waited for the server to read what was sent before, `:count`, and how long in all, `:ms` |
  | `:round-trips` | `:count`, `:median-ms`, `:p99-ms`, `:most-ms` of what answers took |
  | `:late`        | the same of bundles that the server did after their time, where this handle reads what it prints |
  | `:sent-late`   | the same of bundles that were sent after their time, by this client's clock |
  | `:queues`      | `:unread-packets` not known to have been read by the server, `:pending-bundles` that wait for their time, `:waiting-calls` without an answer, `:handler-messages` that wait for handlers |
  | `:suspected`   | how often notifications were thought missing: a message did not fit (`:contradiction`), so many came that some may be lost (`:burst`), the server counts other nodes (`:count`) |
  | `:repairs`     | how often what is known was made right by a tree that the server told (`:tree`), and what plays by what was declared (`:drift`) |

  Durations are right within six per cent. The server is not asked.

  Throws `:espalier.error/server-offline`.

      (get-in (sc/health s) [:queues :pending-bundles])  ;=> 0"
  [s]
  (health/of-session (handle/live s)))

(defn state
  "What this client knows of the server, a value that messages keep up to date:

  | key | what it has |
  |---|---|
  | `:nodes`     | by id: `:kind :parent :previous :next :status` (:expected, :playing or :paused), of a group `:head :tail`, of a synth `:def` where it is known |
  | `:buffers`   | by number: `:frame-count :channel-count :sample-rate-hz :status` |
  | `:buses`     | by rate, :audio or :control: the numbers that are taken |
  | `:synthdefs` | by name: the controls |

  It is a hint. What the server does not tell, or tells too fast, is asked for after a
  moment; `query-tree` and its like ask the server itself.

  Throws `:espalier.error/server-offline`.

      (get-in (sc/state s) [:nodes 1000 :status])  ;=> :playing"
  [s]
  (let [session (handle/live s)]
    (assoc (dissoc (mirror/known (:mirror session)) :suspect? :played)
           :buses (entities/taken-buses session))))

;; ---- requests

(defn doc-command
  "Prints what the table knows of a command, or, without one, every command in a line.
  Returns nil.

      (sc/doc-command :s-new)"
  ([] (println ((requiring-resolve 'espalier.model.command-page/overview))))
  ([command] (println ((requiring-resolve 'espalier.model.command-page/text) command))))

(defn request
  "A request as a vector, ready for `send!`, checked against the table of commands as
  far as that goes without a server.

  Throws `:espalier.error/unknown-command`, `:espalier.error/unknown-argument`,
  `:espalier.error/invalid-argument`, `:espalier.error/refused-command`.

      (sc/request :n-set {:id 1000 :controls {:freq 440.0}})
      ;=> [\"/n_set\" 1000 \"freq\" 440.0]"
  [command args]
  (command/request command args))

(defn command!
  "Sends any command of the table, checked against it and against what there is on
  this server. Returns the reply of a command that has one, a vector, else nil.
  Within `at`, what is no question becomes part of the moment.

  `command`      its name; `(sc/doc-command)` lists them
  `args`         map from the names of its arguments to their values
  `:confirm`     whether to wait until it is done, and to throw where it is refused;
                 asynchronous commands are always waited for
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws what `request` throws, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`, and the named errors of what the server refuses.

      (sc/command! s :b-query {:buffers [0]})  ;=> [\"/b_info\" 0 0 0 0.0]"
  ([s command args] (command! s command args {}))
  ([s command args opts]
   (let [{:keys [timeout-ms]} (options/check-call opts #{:confirm :timeout-ms})
         request (command/request command args (moment/limits s))
         {:keys [async? reply]} (command/of request)]
     (if (and reply (not async?))
       (moment/question! s request timeout-ms)
       (moment/request! s request opts)))))

(defn call-at
  "Calls `f`, a function or a `Callable`, and sends what it asks of the server `s` as one
  moment; `at` is sugar over it, and says all about it."
  [s when-or-options f]
  (moment/call-at s when-or-options f))

(defmacro at
  "Sends what the body asks of `s` as one bundle, which takes effect at one time, and
  returns what the body returns.

  `when`  nil for now, POSIX seconds, an Instant, a Duration from now; or a map of
          `:when`, `:late`, `:confirm` and `:timeout-ms`

  - The body runs at once; only the delivery waits. When it throws, nothing is sent
    and the ids that it took are given back. Lazy sequences in its result are realised.
  - Order as written is order as it happens. What follows asynchronous commands
    (SynthDefs, buffers) becomes the completion of the last of those in a row, and so
    waits for them all. `at` then returns when all is done; where one fails it throws
    that error, and what was to follow the last of the row has happened unless that
    one failed. `with-completion` says what is to follow one command alone.
  - With a time to come, SynthDefs and buffers that the body makes, and what fills
    these buffers, are carried out ahead, and waited for; the rest is sent for that
    time and not waited for. A bundle that arrives after its time is done at once, and
    is the lifecycle event :late. With `:late` :refuse nothing is sent where the time is
    past, and it throws.
  - `:confirm` waits until all has been carried out and throws the first error;
    `:failures` in its data has all. Without it, failures are events :command-failed.
    The `:confirm` and `:timeout-ms` of calls in the body do nothing; those of the moment
    hold for all.
  - Requests that can be one message become one: settings of one node for example.
  - A moment within a moment of the same server is part of it where its `when` is nil;
    with a time, or for another server, it is sent after the outer one, and not at all
    when that throws.
  - A moment belongs to its thread: a call for `s` in a future or go block within the
    body throws, unless it opens a moment of its own. Questions throw.
  - What is too large for one packet (by UDP 65,507 bytes for scsynth, 32,768 for
    supernova) goes in several with the same time, now and a tenth of a second where
    there is none, so that all takes effect in one block of the sound; `at` waits for
    that where there was no time. With asynchronous commands among it, each row of
    these is carried out and waited for before what follows it is sent.

  Throws `:espalier.error/server-offline`, `:espalier.error/invalid-time`,
  `:espalier.error/too-late`, `:espalier.error/too-many-pending` where 2,048 bundles of this
  client wait for their time on scsynth, `:espalier.error/server-behind`,
  `:espalier.error/question-in-moment`, `:espalier.error/moment-elsewhere`,
  `:espalier.error/moment-of-other-server`, `:espalier.error/packet-too-large`,
  `:espalier.error/too-many-nodes` where more nodes are made than
  `:maximum-node-count`, `:espalier.error/too-much-at-once` where supernova would crash of what it
  has to tell: more than 4,000 nodes that start or end in one block, or 800 requests to
  confirm.

      (sc/at s (java.time.Duration/ofMillis 200)
        (let [g (sc/add-group! s)]
          (sc/add-synth! s :bell {:freq 440} {:target g})))"
  [s when & body]
  `(call-at ~s ~when (fn [] ~@body)))

(defn call-with-completion
  "Calls `make`, whose last request must be asynchronous, and then `f` with what it
  returned: what `f` asks of `s` follows when that request is done, and nothing else
  waits for it. `with-completion` is sugar over it."
  [s make f]
  (moment/call-with-completion s make f))

(defmacro with-completion
  "Makes what the body asks of `s` the completion of one asynchronous command: the
  server carries it out as soon as that is done. Returns what the body returns. In a
  moment, what is written after it does not wait for it; with a time to come, the
  completion waits for that time.

  Throws `:espalier.error/no-completion` where the binding's last request is none that
  takes one, and what `at` throws.

      (sc/with-completion s [b (sc/add-buffer! s {:path \"kick.wav\"})]
        (sc/add-synth! s :sampler {:buf b}))"
  [s [binding-name make :as binding-form] & body]
  (when-not (and (vector? binding-form) (= 2 (count binding-form)))
    (throw (IllegalArgumentException. "with-completion wants a server and a vector of a name and a call: (with-completion s [b (sc/add-buffer! s {…})] …)")))
  `(call-with-completion ~s (fn [] ~make) (fn [~binding-name] ~@body)))

;; ---- SynthDefs

(defn add-synthdefs!
  "Sends SynthDefs and returns their names, a vector, when the server has them. Those that
  it has already are redefined; synths that play go on as they are. Nothing is sent again
  by itself: a value that has changed is added again.

  `synthdefs`    one or a sequence: a SynthDef value, the bytes of a SynthDef file, its path,
                 File or URL
  `:timeout-ms`  how long to wait for each answer (default: the handle's, 5,000)

  - Servers answer `/done` to SynthDefs that they reject. So what is known to be wrong is
    refused before anything is sent: UGens that this server does not have, a name that is
    too long for it, more wires than `:wire-buffer-count` (scsynth). What is not known, the
    UGens of plug-ins above all, is tried with a SynthDef that holds nothing else; that
    costs one round trip when a UGen is met for the first time since the login. Either way
    nothing has changed on the server, and what it had under that name stays.
  - scsynth has places for `:maximum-synthdef-count` SynthDefs and variants. Where these end,
    the error tells what is `:missing`; the others are there.
  - supernova knows no variants: it gets the SynthDef without them.
  - What is too large for a packet goes to a server of this machine by a temporary file.
  - Within `at` nothing can be waited for: what is known to be wrong is refused, and what is
    too large for a packet; what the server rejects shows when a synth is made of it.

  Their controls are known from now on: a synth is not given others.

  Throws `:espalier.error/synthdef-rejected` with `:rejected`, by name what is wrong, and
  `:lines`, what a server that this handle has booted has printed of it;
  `:espalier.error/too-many-synthdefs`, `:espalier.error/synthdef-too-large`,
  `:espalier.error/invalid-synthdef`, `:espalier.error/invalid-argument`,
  `:espalier.error/file-failed`, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`.

      (sc/add-synthdefs! s espalier.instruments/bell)  ;=> [\"bell\"]"
  ([s synthdefs] (add-synthdefs! s synthdefs {}))
  ([s synthdefs opts] (synthdefs/add-synthdefs! s synthdefs opts)))

(defn load-synthdef-directory!
  "Adds the SynthDefs of all `.scsyndef` files in a directory of this machine and below it,
  in the order of their paths, and returns their names. As with scsynth, directories named
  help, ignore, .git, .svn and _darcs are passed over. Each file is read here first: one
  that is damaged crashes scsynth.

  `directory`    a path or File
  `:timeout-ms`  as of `add-synthdefs!`

  Throws what `add-synthdefs!` throws; `:espalier.error/invalid-synthdef` with the `:path` and
  the byte's `:offset`, before anything is sent; `:espalier.error/file-failed` where there is
  no such directory.

      (sc/load-synthdef-directory! s \"synthdefs\")  ;=> [\"bass\" \"bell\"]"
  ([s directory] (load-synthdef-directory! s directory {}))
  ([s directory opts] (synthdefs/load-synthdef-directory! s directory opts)))

(defn free-synthdefs!
  "Has the server forget SynthDefs, and returns the handle. Synths that play go on. Names
  that it does not know are harmless, and variants go with their SynthDef.

  `synthdefs`  one or a sequence: names, as strings or keywords, or SynthDef values

  Throws `:espalier.error/invalid-argument`, `:espalier.error/server-offline`.

      (sc/free-synthdefs! s [:bell \"pad\"])"
  ([s synthdefs] (free-synthdefs! s synthdefs {}))
  ([s synthdefs opts] (synthdefs/free-synthdefs! s synthdefs opts)))

;; ---- entities

(defn entity?
  "Whether x is an entity: a group, synth, buffer, buffer group, bus or bus group. An
  entity is an immutable map with `:kind`, `:id`, `:server`; using one whose server has
  ended throws `:espalier.error/dead-entity`, one that has been freed
  `:espalier.error/freed-entity`, one of another server `:espalier.error/foreign-entity`."
  [x]
  (entity/entity? x))

(defn members
  "The single buffers of a buffer group, or buses of a bus group, in order; of a single
  one, itself in a vector.

      (sc/members (sc/add-bus-group! s {:count 2}))  ;=> [#<Bus 0 control> #<Bus 1 control>]"
  [e]
  (entity/members e))

(defn free!
  "Frees an entity and returns it. A node goes with all that is in it, and it is harmless
  where it has ended already; a buffer is waited for; a bus is only given back. A
  second time, buffers and buses throw, for their number may be another's by now.

  `:confirm`     of a node: whether to wait, and to throw where the server refuses
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/freed-entity`, `:espalier.error/dead-entity`,
  `:espalier.error/part-of-group` for a single buffer or bus of a group, or a bus of the
  device, `:espalier.error/no-entity`, `:espalier.error/server-offline`."
  ([e] (free! e {}))
  ([e opts]
   (case (:kind e)
     (:buffer :buffer-group) (buffer/free! e opts)
     (:bus :bus-group)       (bus/free! e opts)
     (node/free! e opts))))

;; ---- nodes

(defn add-group!
  "Makes a group and returns it.

  `:target`    the group or node that `:action` names, an entity or id (default: the
               default group)
  `:action`    :head (default) or :tail of the target, :before or :after it, or :replace
  `:parallel`  whether supernova may compute its children at the same time; on scsynth
               a group like others
  `:permanent` whether its id never comes again in turn
  `:id`        an id of this client's own, in place of the next
  `:confirm`   whether to wait until it is there, and to throw where it is refused;
               otherwise a refusal is the event :command-failed, on scsynth
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/invalid-argument`, `:espalier.error/refused-command`,
  `:espalier.error/foreign-id`, `:espalier.error/server-offline`; with `:confirm` also
  `:espalier.error/no-such-node`, `:espalier.error/duplicate-node`,
  `:espalier.error/too-many-nodes`, `:espalier.error/out-of-memory`,
  `:espalier.error/no-answer`.

      (sc/add-group! s {:action :tail})  ;=> #<Group 1000>"
  ([s] (add-group! s {}))
  ([s opts] (node/add-group! s opts)))

(defn add-synth!
  "Makes a synth and returns it.

  `synthdef`  the name of its SynthDef, or a SynthDef value: that name, and controls that are
              known; the server must have it, and is not sent it again
  `controls`  map from controls (keyword, string or index) to numbers, to buses and
              buffers (their number), to \"c5\" or \"a5\" (mapped: see `map-symbol`), or to
              a sequence of these for an array control

  The options are those of `add-group!` but for `:parallel`.

  Throws what `add-group!` throws; `:espalier.error/unknown-control` where the SynthDef
  is known and has none of that name; with `:confirm` also
  `:espalier.error/no-such-synthdef`.

      (sc/add-synth! s :bell {:freq 660} {:action :tail})  ;=> #<Synth 1000 bell>"
  ([s synthdef] (add-synth! s synthdef {} {}))
  ([s synthdef controls] (add-synth! s synthdef controls {}))
  ([s synthdef controls opts] (node/add-synth! s synthdef controls opts)))

(defn set-controls!
  "Sets controls of a synth, or of all synths in a group, and returns it.

  `controls`  as of `add-synth!`
  `:confirm`, `:timeout-ms`  as of `add-group!`

  Throws `:espalier.error/unknown-control`, `:espalier.error/invalid-argument`,
  `:espalier.error/node-not-started` where it is to start at a time to come, `:espalier.error/freed-entity`, `:espalier.error/dead-entity`,
  `:espalier.error/server-offline`; with `:confirm` also `:espalier.error/no-such-node`.

      (sc/set-controls! synth {:freq 220, :amp 0.1})"
  ([node controls] (node/set-controls! node controls {}))
  ([node controls opts] (node/set-controls! node controls opts)))

(defn set-control-range!
  "Sets a control and those that follow it to a sequence of values; returns the node. It
  goes on into other controls where the SynthDef was sent from here, and otherwise ends
  with the array that is named. Options and errors as of `set-controls!`;
  `:espalier.error/index-out-of-range` beyond the last control.

      (sc/set-control-range! synth :freqs [220 330 440])"
  ([node control values] (set-control-range! node control values {}))
  ([node control values opts] (node/set-control-range! node control values opts)))

(defn map-controls!
  "Lets controls follow buses, and returns the node: a bus maps one control, a bus
  group as many from that control on, nil lets go.

  `controls`  map from controls to buses, bus groups or nil
  Options and errors as of `set-controls!`.

      (sc/map-controls! synth {:freq lfo-bus, :amp nil})"
  ([node controls] (map-controls! node controls {}))
  ([node controls opts] (node/map-controls! node controls opts)))

(defn get-controls
  "The values of a synth's controls as the server has them, a map with the names as they
  were asked for. Of a mapped control it is the value that was set last.

  `controls`     which; nil for all, where the SynthDef was sent from here
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/no-such-node`, `:espalier.error/unknown-control`,
  `:espalier.error/unknown-synthdef`, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`.

      (sc/get-controls synth [:freq :amp])  ;=> {:freq 440.0, :amp 0.1}"
  ([synth] (get-controls synth nil {}))
  ([synth controls] (get-controls synth controls {}))
  ([synth controls opts] (node/get-controls synth controls opts)))

(defn get-control-range
  "The values of `n` controls from `control` on, a vector. Options and errors as of
  `get-controls`; `:espalier.error/index-out-of-range` beyond the last control.

      (sc/get-control-range synth :freqs 3)  ;=> [220.0 330.0 440.0]"
  ([synth control n] (get-control-range synth control n {}))
  ([synth control n opts] (node/get-control-range synth control n opts)))

(defn release!
  "Sets the control gate to 0, so that a synth with such an envelope fades and ends; one
  whose SynthDef is known to have no gate is freed. Returns the node; harmless where it
  has ended. Options as of `free!`."
  ([node] (release! node {}))
  ([node opts] (node/release! node opts)))

(defn pause!
  "Stops a node where it is, with all that is in it; returns it. Options and errors as
  of `set-controls!`.

  scsynth does not survive two pauses of a synth before it has played once. Where that could
  be, this waits until it is told whether the synth is paused already, and then sends nothing;
  in a moment at a time to come it throws `:espalier.error/refused-command`.
  Of several pauses and resumes of a node in one moment the last one counts."
  ([node] (pause! node {}))
  ([node opts] (node/set-running! node false opts)))

(defn resume!
  "Lets a paused node go on; returns it. Options and errors as of `set-controls!`.

  scsynth does not let a synth go on that was paused before it ever played, while a group that
  it is in is paused: with `{:confirm true}` that is `:espalier.error/not-resumed`, without it
  `active?` tells. What is declared, with `reconcile!`, plays all the same."
  ([node] (resume! node {}))
  ([node opts] (node/set-running! node true opts)))

(defn active?
  "Whether a node plays: it has started, has not ended and is not paused, as far as this
  client was told.

  Throws `:espalier.error/dead-entity`, `:espalier.error/server-offline`."
  [node]
  (node/active? node))

(defn move!
  "Moves a node and returns it: :before or :after another, to the :head or :tail of a
  group. Options and errors as of `set-controls!`; `:espalier.error/refused-command` for
  a group that would come below itself.

      (sc/move! synth :tail group)"
  ([node action target] (move! node action target {}))
  ([node action target opts] (node/move! node action target opts)))

(defn order!
  "Puts nodes in a row at one place, in their order: at the :head or :tail of a group,
  :before or :after a node. Returns the target. Options and errors as of `move!`.

      (sc/order! :head group [synth-1 synth-2])"
  ([action target nodes] (order! action target nodes {}))
  ([action target nodes opts] (node/order! action target nodes opts)))

(defn print-ugens!
  "Has the server print the UGens of a node with their inputs and outputs, once; see
  `server-output`. Returns the node."
  ([node] (print-ugens! node {}))
  ([node opts] (node/trace! node opts)))

(defn free-children!
  "Frees what is in a group, and returns the group.

  `:synths-only`  whether the groups in it stay, and only the synths in them go
  `:confirm`, `:timeout-ms`  as of `add-group!`"
  ([group] (free-children! group {}))
  ([group opts] (node/free-children! group opts)))

(defn query-node
  "What the server says of a node, an entity or id: `:id :kind :parent :previous :next`, of
  a group also `:head :tail :parallel?`; nil for what there is not.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/no-such-node`, `:espalier.error/refused-command` for the root of
  supernova, `:espalier.error/server-offline`, `:espalier.error/no-answer`.

      (sc/query-node s 1000)
      ;=> {:id 1000, :kind :synth, :parent 1, :previous nil, :next nil}"
  ([s node] (query-node s node {}))
  ([s node opts] (node/query-node s node opts)))

(defn parent
  "The group that a node is in, asked of the server; nil for the root. Options and
  errors as of `query-node`."
  ([node] (parent node {}))
  ([node opts] (node/parent node opts)))

(defn parentage
  "The groups that a node is in, from the nearest to the root, asked of the server.
  Options and errors as of `query-node`."
  ([node] (parentage node {}))
  ([node opts] (into [] (take-while some?) (rest (iterate #(when % (parent % opts)) node)))))

(defn children
  "The nodes in a group, in order, asked of the server. Options and errors as of
  `query-node`."
  ([group] (children group {}))
  ([group opts] (node/children group opts)))

(defn await-started
  "Waits until a node has started, and returns it: one that a moment to come will make,
  for example.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/no-answer`, `:espalier.error/server-offline`."
  ([node] (await-started node {}))
  ([node opts] (node/await-started node opts)))

(defn await-ended
  "Waits until a node has ended, and returns it. Options and errors as of
  `await-started`."
  ([node] (await-ended node {}))
  ([node opts] (node/await-ended node opts)))

;; ---- hearing a graph

(defn play-graph!
  "Plays what `f`, a function without arguments, returns: signals of `espalier.ugens`, which
  are put out from a bus on, or a UGen that puts something out itself. Returns the synth;
  `play` is sugar over it. One signal is put on two channels. It fades in, and
  `(sc/release! synth)` lets it fade out and end, unless the graph has a control `gate` of
  its own. The SynthDef is forgotten once the synth is there.

  `:bus`          the first bus, a bus or its number (default 0)
  `:fade-time-s`  seconds of the fades (default 0.02)
  `:target`, `:action`, `:confirm`, `:timeout-ms`  as of `add-group!`

  Throws what `espalier.synthdef/synthdef`, `add-synthdefs!` and `add-synth!` throw.

      (sc/play-graph! s (fn [] (sin-osc:ar 440 :mul 0.1)))  ;=> #<Synth 1000 play-0-1>"
  ([s f] (play-graph! s f {}))
  ([s f opts]
   (playing/play-graph! s (fn [synthdef opts] ((requiring-resolve 'espalier.synthdef/playable) synthdef f opts)) opts)))

(defmacro play
  "Plays a graph at once, and returns its synth: `play-graph!` of an expression, in which
  + - * / and their like work on UGens. Options are those of `play-graph!`.

      (def hum (sc/play s (* 0.1 (sin-osc:ar [220 221]))))
      (sc/release! hum)"
  ([s graph] `(play ~s ~graph {}))
  ([s graph opts]
   (requiring-resolve 'espalier.ugens/with-operators)      ; there before it is expanded
   `(play-graph! ~s (fn [] (espalier.ugens/with-operators ~graph)) ~opts)))

;; ---- buffers

(defn add-buffer!
  "Makes a buffer and returns it when it is there.

  `:frame-count`    frames; of a file, how many to read (default: all)
  `:channel-count`  channels (default 1)
  `:path`           a sound file of the server's machine, to be read into it
  `:start-frame`    the first frame of the file (default 0)
  `:channels`       which channels of the file, from 0 (default: all)
  `:samples`        a float array or a sequence of numbers of any length to fill it,
                    channels interleaved
  `:restore-with`   a function of the buffer that fills it again, when a handle with
                    `{:on-lost :restore}` has made it anew. Without it what was read into it and
                    sent for it is read and sent again, and what synths have written is lost
  `:timeout-ms`     how long to wait for each answer (default: the handle's, 5,000)

  Throws `:espalier.error/no-free-ids`, `:espalier.error/file-failed`,
  `:espalier.error/invalid-argument`, `:espalier.error/invalid-option`,
  `:espalier.error/refused-command`, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`.

      (sc/add-buffer! s {:frame-count 44100, :channel-count 2})  ;=> #<Buffer 0>"
  [s opts]
  (buffer/add-buffer! s opts))

(defn add-buffer-group!
  "Makes `:count` buffers with successive numbers, of `:frame-count` frames and
  `:channel-count` channels each (default 1), and returns the group; `members` has the
  single ones. `:timeout-ms` and errors as of `add-buffer!`.

      (sc/add-buffer-group! s {:count 8, :frame-count 2048})  ;=> #<BufferGroup 0..7>"
  [s opts]
  (buffer/add-buffer-group! s opts))

(defn read-buffer!
  "Reads a sound file of the server's machine into a buffer; returns the buffer.

  `:start-frame`   the first frame of the file (default 0)
  `:frame-count`   how many frames (default -1: as many as fit)
  `:buffer-frame`  where in the buffer they go (default 0)
  `:channels`      which channels of the file, from 0; as many as the buffer has
  `:leave-open`    whether the file stays open, for DiskIn; see `cue-buffer!`
  `:timeout-ms`    how long to wait (default: the handle's, 5,000)

  Throws `:espalier.error/file-failed`, `:espalier.error/invalid-argument`,
  `:espalier.error/freed-entity`, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`."
  ([b path] (read-buffer! b path {}))
  ([b path opts] (buffer/read-buffer! b path opts)))

(defn cue-buffer!
  "Reads the beginning of a sound file into a buffer and leaves the file open, for
  DiskIn to go on reading; `close-buffer!` closes it. Returns the buffer.

  `:start-frame`  where in the file to begin (default 0)
  `:timeout-ms`   how long to wait (default: the handle's, 5,000)"
  ([b path] (cue-buffer! b path {}))
  ([b path opts]
   (options/check-call opts #{:start-frame :timeout-ms})
   (buffer/read-buffer! b path (assoc opts :leave-open true))))

(defn write-buffer!
  "Writes a buffer to a sound file of the server's machine; returns the buffer.

  `:header-format`  \"wav\" (default), \"aiff\", \"flac\", \"w64\" …
  `:sample-format`  \"float\" (default), \"int16\", \"int24\" …
  `:frame-count`    how many frames (default -1: to the end)
  `:start-frame`    the first frame (default 0)
  `:leave-open`     whether the file stays open, for DiskOut to go on writing
  `:timeout-ms`     how long to wait (default: the handle's, 5,000)

  Throws as `read-buffer!` does."
  ([b path] (write-buffer! b path {}))
  ([b path opts] (buffer/write-buffer! b path opts)))

(defn close-buffer!
  "Closes the file that a buffer has left open; returns the buffer. `:timeout-ms` as of
  `read-buffer!`."
  ([b] (close-buffer! b {}))
  ([b opts] (buffer/close-buffer! b opts)))

(defn zero-buffer!
  "Sets a buffer to zero; returns it. `:timeout-ms` as of `read-buffer!`."
  ([b] (zero-buffer! b {}))
  ([b opts] (buffer/zero-buffer! b opts)))

(defn query-buffer
  "What the server says of a buffer: `:frame-count :channel-count :sample-rate-hz`.
  `:timeout-ms` as of `read-buffer!`.

      (sc/query-buffer b)  ;=> {:frame-count 44100, :channel-count 2, :sample-rate-hz 44100.0}"
  ([b] (query-buffer b {}))
  ([b opts] (buffer/query-buffer b opts)))

(defn set-samples!
  "Sets samples of a buffer, a map from places to numbers; returns the buffer. Channels
  are interleaved: place 3 of a stereo buffer is the right channel of frame 1.

  `:confirm`, `:timeout-ms`  as of `add-group!`

  Throws `:espalier.error/refused-command` beyond the buffer's end,
  `:espalier.error/invalid-argument`, `:espalier.error/freed-entity`,
  `:espalier.error/server-offline`.

      (sc/set-samples! b {0 0.5, 7 -0.5})"
  ([b samples] (set-samples! b samples {}))
  ([b samples opts] (buffer/set-samples! b samples opts)))

(defn set-sample-range!
  "Sets the samples of a buffer from place `start` on to a float array or a sequence of
  numbers, of any length; returns the buffer. What does not fit into one packet is sent
  in pieces, no faster than the server takes them, and waited for.

  `:timeout-ms`  how long to wait for each few pieces (default: the handle's, 5,000)

  Throws as `set-samples!` does, and `:espalier.error/no-answer`.

      (sc/set-sample-range! b 0 (float-array 1000000))"
  ([b start samples] (set-sample-range! b start samples {}))
  ([b start samples opts] (buffer/set-sample-range! b start samples opts)))

(defn fill-samples!
  "Sets `n` samples of a buffer from place `start` on to one value; returns the buffer.
  Options and errors as of `set-samples!`."
  ([b start n value] (fill-samples! b start n value {}))
  ([b start n value opts] (buffer/fill-samples! b start n value opts)))

(defn get-samples
  "Samples of a buffer, a map from the places that were asked for to their values.
  `:timeout-ms` as of `read-buffer!`.

  Throws `:espalier.error/refused-command` or `:espalier.error/index-out-of-range` beyond
  the buffer's end, `:espalier.error/no-answer`, `:espalier.error/server-offline`.

      (sc/get-samples b [0 7])  ;=> {0 0.5, 7 -0.5}"
  ([b places] (get-samples b places {}))
  ([b places opts] (buffer/get-samples b places opts)))

(defn get-sample-range
  "The `n` samples of a buffer from place `start` on, a float array; asked for in pieces
  that replies can hold. Options and errors as of `get-samples`.

      (alength (sc/get-sample-range b 0 100000))  ;=> 100000"
  (^floats [b start n] (get-sample-range b start n {}))
  (^floats [b start n opts] (buffer/get-sample-range b start n opts)))

(defn generate!
  "Fills a buffer with a sum of sines or of Chebyshev polynomials, and returns it.

  `routine`       :sine1 (`:amplitudes` of the harmonics), :sine2 (`:frequencies` in cycles a
                  buffer, `:amplitudes`), :sine3 (`:phases` too, in radians), or :cheby
                  (`:amplitudes` of the polynomials)
  `:normalize`    whether the peak becomes 1 (default true)
  `:wavetable`    whether in the format of Osc and Shaper, for which the size is a power
                  of two (default true)
  `:clear`        whether what was there goes first (default true)
  `:timeout-ms`   how long to wait (default: the handle's, 5,000)

  Throws as `read-buffer!` does.

      (sc/generate! b :sine1 {:amplitudes [1 0.5 0.25]})"
  [b routine opts]
  (buffer/generate! b routine opts))

(defn copy-buffer!
  "Copies samples from one buffer to another, and returns the other.

  `:from-sample`, `:to-sample`  the first places (default 0)
  `:sample-count`               how many (default -1: as many as there are)
  `:timeout-ms`                 how long to wait (default: the handle's, 5,000)"
  ([from to] (copy-buffer! from to {}))
  ([from to opts] (buffer/copy-buffer! from to opts)))

(defn normalize-buffer!
  "Scales a buffer so that its peak becomes `:peak` (default 1.0), and returns it.

  `:wavetable`   whether it is in wavetable format
  `:timeout-ms`  how long to wait (default: the handle's, 5,000)"
  ([b] (normalize-buffer! b {}))
  ([b opts] (buffer/normalize-buffer! b opts)))

;; ---- buses

(defn add-bus!
  "Takes a bus and returns it. `:rate` is :control (default) or :audio.

  Throws `:espalier.error/no-free-ids`, `:espalier.error/invalid-argument`,
  `:espalier.error/server-offline`.

      (sc/add-bus! s {:rate :audio})  ;=> #<Bus 16 audio>"
  ([s] (add-bus! s {}))
  ([s opts] (bus/add-bus! s nil (options/check-call opts #{:rate}))))

(defn add-bus-group!
  "Takes `:count` buses with successive numbers and returns the group; `members` has the
  single ones. `:rate` and errors as of `add-bus!`.

      (sc/add-bus-group! s {:count 2, :rate :audio})  ;=> #<BusGroup 16..17 audio>"
  [s opts]
  (options/check-call opts #{:count :rate})
  (bus/add-bus! s (:count opts 0) opts))

(defn set-bus!
  "Sets a control bus, and returns it. `:confirm`, `:timeout-ms` as of `add-group!`.

  Throws `:espalier.error/audio-bus`, `:espalier.error/invalid-argument`,
  `:espalier.error/freed-entity`, `:espalier.error/server-offline`."
  ([bus value] (set-bus! bus value {}))
  ([bus value opts] (bus/set-bus! bus value opts)))

(defn set-buses!
  "Sets the buses of a control bus group to a sequence of values, and returns it. Options
  and errors as of `set-bus!`.

      (sc/set-buses! group [0.1 0.2])"
  ([group values] (set-buses! group values {}))
  ([group values opts] (bus/set-buses! group values opts)))

(defn fill-buses!
  "Sets all buses of a control bus group to one value, and returns it. Options and errors
  as of `set-bus!`."
  ([group value] (fill-buses! group value {}))
  ([group value opts] (bus/fill-buses! group value opts)))

(defn get-bus
  "The value of a control bus.

  `:timeout-ms`  how long to wait (default: the handle's, 5,000)

  Throws as `set-bus!` does, and `:espalier.error/no-answer`."
  ([bus] (get-bus bus {}))
  ([bus opts] (bus/get-bus bus opts)))

(defn get-buses
  "The values of a control bus group, a vector. Options and errors as of `get-bus`."
  ([group] (get-buses group {}))
  ([group opts] (bus/get-buses group opts)))

(defn map-symbol
  "What maps a control to a bus where it stands for a value: \"c5\" or \"a5\".

      (sc/add-synth! s :bell {:freq (sc/map-symbol lfo-bus)})"
  [bus]
  (bus/map-symbol bus))

;; ---- recording

(defn record!
  "Records audio buses to a sound file, and returns the recording when it runs: at the tail
  of the root group, after all that is there. It prints as one line, and is a
  `java.io.Closeable`.

  `path`            a file of the server's machine; where that is this one, a path or File of
                    here. One that is there is overwritten
  `:bus`            an audio bus, a group of them, or the number of the first (default: the
                    audio outputs, the first two of them)
  `:channel-count`  how many buses (default: as many as `:bus` has, 2 from a number on)
  `:header-format`  \"wav\", \"aiff\", \"flac\", \"w64\", \"caf\" … (default: what the path ends
                    in, otherwise \"wav\")
  `:sample-format`  \"int16\", \"int24\" (default), \"float\" … Integers clip at 1, floats do not,
                    and \"flac\" has no floats
  `:duration-s`     stops by itself after so many seconds, rounded to blocks
  `:buffer-frames`  frames between the sound and the disk (default 65,536, 1.5 s at 44.1 kHz), a
                    multiple of two blocks
  `:timeout-ms`     how long to wait for each answer (default: the handle's, 5,000)

  The file is complete when `stop-recording!` has returned. That is called by itself when
  the duration is over, when the recording's synth is freed, by `reset-server!` for example,
  and when this handle quits or disconnects. On a busy machine with `{:audio :dummy}`, give
  that a longer period, `{:dummy-period-frames 1024}`.

  Throws `:espalier.error/not-writable` where the file is of this machine and cannot be,
  `:espalier.error/file-failed` where the server cannot write it,
  `:espalier.error/synthdef-rejected` for more channels than the server has wire buffers,
  `:espalier.error/invalid-argument`, `:espalier.error/no-free-ids`,
  `:espalier.error/question-in-moment` within `at`, `:espalier.error/server-offline`,
  `:espalier.error/no-answer`.

      (sc/record! s \"take.wav\")  ;=> #<Recording RECORDING /home/me/take.wav, 2 channels>"
  ([s path] (record! s path {}))
  ([s path opts] (recording/record! s path opts)))

(defn stop-recording!
  "Ends a recording. When this returns, all that was recorded is in the file and the file is
  closed; synth and buffer are freed. Harmless where it has ended, and then returns the same:

      {:path \"/home/me/take.wav\", :frames 88200, :channel-count 2, :duration-s 2.0}

  `:frames` and `:duration-s` are those that the file says, nil where it is on another machine
  or no WAV, AIFF or FLAC file.

  `:timeout-ms`  how long to wait for each answer (default: the handle's, 5,000)

  Throws `:espalier.error/file-failed` where the disk is full, with what is in the file as
  `:result`; `:espalier.error/recording-lost` where the server has gone away meanwhile,
  `:espalier.error/no-answer`, `:espalier.error/server-offline`."
  ([recording] (stop-recording! recording {}))
  ([recording opts] (recording/stop-recording! recording opts)))

(defn await-recording
  "Waits until a recording is over by itself, and returns what `stop-recording!` does.

  `:timeout-ms`  how long to wait (default: its `:duration-s` and the handle's 5,000 ms)

  Throws `:espalier.error/no-answer` where it goes on, and what `stop-recording!` throws.

      (sc/await-recording (sc/record! s \"take.wav\" {:duration-s 2}))"
  ([recording] (await-recording recording {}))
  ([recording opts] (recording/await-recording recording opts)))

;; ---- declared trees

(defn reconcile!
  "Makes what plays what is declared, by the fewest changes: nodes that stay the same
  are moved, set, paused, and sound on. All takes effect at once. Returns a report.

      (sc/reconcile! s [:group {:key :mix}
                         [:synth {:key :bass, :def :bass} {:freq 55}]])

  `tree`  what is to be in the group `:root`: a node, a sequence of nodes, or nil for none,
          as `espalier.model.form` tells; or a map of that as `:tree`, and what it needs:

      {:buses     {:verb 2, :lfo :control}                 ; audio channels, or {:rate :control, :count 2}
       :buffers   {:kick \"kick.wav\", :table {:frame-count 1024}} ; a path, or what `add-buffer!` takes
       :synthdefs [bell]                                   ; as `add-synthdefs!` takes them
       :tree      [:synth {:key :kick, :def :player} {:buffer :kick, :out :verb, :rate [:map :lfo]}]}

  SynthDefs, as values, are sent first, once each; buses and buffers live as long as
  they are declared.

  A node is the same as before by its `:key`. One without a key is so by its group, kind,
  SynthDef and order. A node that is not declared any more is freed. A synth with
  another SynthDef is replaced at its place. A control that is not declared keeps its
  value, and one that was set by hand is set again.

  `:root`        the group, or the id of one, whose content is declared: all of it, also what was
                 made there by hand. Without it, it is the default group, and what is directly in
                 that and was never declared stays as it is. A tree of one group that has an
                 `:id` and no `:key`, as `query-tree` returns it, is the content of that group.
                 What was declared of a root within is left to that; the groups of clients are
                 no content of root 0
  `:at`          when it takes effect, as for `at` (default: now). It is not waited for then. What is
                 declared later for the same root does not happen before: it is done at that
                 time too, and is waited for if that is within `:timeout-ms`
  `:late`        with :refuse, an `:at` that is past is an error, and nothing is done
  `:prune`       whether nodes in declared groups that were never declared are freed (default true)
  `:confirm`     with `:at`, whether to wait all the same
  `:timeout-ms`  how long each wait may take (default: the handle's, 5,000)

  The report is a map that prints in one line:

  | key | what it tells |
  |---|---|
  | `:root`         | the id of the group whose content it is |
  | `:before` `:after` | the trees of the root, what is still to come included |
  | `:edits` `:requests` | what was done, see `espalier.model.diff`, and what was sent |
  | `:ids`          | from keys to node ids |
  | `:bundle-count` `:byte-count` | how much was sent; nothing where nothing differs |
  | `:confirmed?`   | whether the server was seen to be so |
  | `:differences`  | the edits that are missing all the same, each with `:why`: a synth that has freed itself, for example. Declared with `:once true` it is none |

  Calls of several threads go one after the other. Where another client interferes
  it is tried three times.

  Throws, before anything has changed, `:espalier.error/invalid-tree`, `:espalier.error/duplicate-key`,
  `:espalier.error/unknown-name`, `:espalier.error/unknown-synthdef`, `:espalier.error/unknown-control`,
  `:espalier.error/too-late`, `:espalier.error/too-many-pending` with `:at`,
  `:espalier.error/no-such-node` for a root that is not there, `:espalier.error/too-many-nodes` for a tree that does not
  fit, `:espalier.error/too-much-at-once` where supernova would not survive so large a change,
  `:espalier.error/busy` where another thread has been changing what is declared for a minute,
  what `add-synthdefs!` and `add-buffer!` throw; and the errors of what the server refused,
  `:espalier.error/not-started` where it has not said why,
  with the `:report` of what has become of it.

      (sc/reconcile! s nil)"
  ([s tree] (reconcile! s tree {}))
  ([s tree opts] (reconcile/reconcile! s tree opts)))

(defn plan
  "What `reconcile!` would do, without doing it: a map of `:before`, `:after`, `:edits`,
  `:requests` and `:ids`, which prints as the edits in words. Ids of nodes, buses and buffers
  that would be made are the next free ones.

  Takes the `:root`, `:prune` and `:timeout-ms` of `reconcile!`, and throws what it throws before anything has
  changed.

      (sc/plan s [:synth {:key :bass, :def :bass} {:freq 60}])  ;=> #<Plan set :bass: freq 60.0>"
  ([s tree] (plan s tree {}))
  ([s tree opts] (reconcile/plan s tree opts)))

(defn drift
  "How what plays differs from what was declared: the edits that would mend it, a
  vector, empty where nothing does. The server is asked, controls and all.

  `:root`        the group whose content was declared (default: all of those)
  `:timeout-ms`  how long to read each (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`, `:espalier.error/not-declared`.

      (sc/drift s)  ;=> [{:edit :set, :node :bass, :controls {\"freq\" 55.0}}]"
  ([s] (drift s {}))
  ([s opts] (reconcile/drift s opts)))

(defn repair!
  "Mends what `drift` finds. Returns the reports of `reconcile!`, one for each root, and
  takes what `drift` takes.

  `:timeout-ms`  how long each wait may take (default: the handle's, 5,000)

  Throws what `drift` throws, and the errors of what the server refused."
  ([s] (repair! s {}))
  ([s opts] (reconcile/repair! s opts)))

(defn node
  "The group or synth that was declared with a key, an entity, or nil where it is not
  there.

      (sc/set-controls! (sc/node s :bass) {:freq 60})"
  [s k]
  (reconcile/node s k))

(defn adopt!
  "Takes over what plays already, as if it had been declared from here: a fresh REPL that has
  connected to a server goes on with its tree. Nothing is sent that could be heard. Returns a report.

      (sc/connect! s {:port 57110})
      (sc/adopt! s piece)                ; the keys of the piece name what plays
      (sc/reconcile! s piece)            ; moves and sets, and starts nothing again

  `tree`  a tree as `reconcile!` takes it; nil, or none, for keys that are made up from what
          plays: :bell, [:bell 2], :group …

  Which node is which is found group by group: by ids, where the tree has them; then by what is the
  same with all that is below it, synths with the same controls first; then by kind,
  SynthDef and order. What plays counts as declared then, with the controls that it has: `drift`
  finds nothing, `plan` tells what `reconcile!` would change, and that frees what is not in
  the tree. Buses and buffers that the tree names are made by that `reconcile!`: which ones
  play nobody knows.

  `:root`        the group whose content is adopted, or its id (default: the default group in which
                 something plays, the handle's own first)
  `:timeout-ms`  how long each wait may take (default: the handle's, 5,000)

  The report is a map that prints in one line:

  | key | what it tells |
  |---|---|
  | `:root`    | the id of the group; another client's is the `:root` for `reconcile!` too |
  | `:ids`     | from keys to node ids |
  | `:found`   | how many nodes of the tree play |
  | `:missing` | the keys of those that do not |
  | `:unknown` | the ids of what plays and is not in the tree |
  | `:tree`    | what plays, as one writes it |

  Throws `:espalier.error/invalid-option` where several other clients play and `:root` does not say
  which, and what `reconcile!` throws before anything has changed."
  ([s] (adopt! s nil {}))
  ([s tree] (adopt! s tree {}))
  ([s tree opts] (adoption/adopt! s tree opts)))

(defn snapshot
  "All that this client has on its server, as a value of plain EDN: `pr-str` writes it,
  `clojure.edn/read-string` reads it, and `restore!` makes it so on any server.

      (spit \"evening.edn\" (pr-str (sc/snapshot s)))

  It has the SynthDefs that were sent from here, the buffers with the files that were read into them and
  the samples that were sent, which buses are taken and the values of control buses, and
  the client's nodes with their controls, and with what was declared of them, as
  `espalier.model.snapshot` tells. Controls and values of buses are asked of the server.
  It does not have what synths have written into buffers, nor what is to come at a later time.

  `:timeout-ms`  how long each wait may take (default: the handle's, 5,000)

  Throws `:espalier.error/server-offline`, `:espalier.error/no-answer`, `:espalier.error/question-in-moment`."
  ([s] (snapshot s {}))
  ([s opts] (restoration/snapshot s opts)))

(defn restore!
  "Makes what this client has on its server what a snapshot tells, on scsynth, supernova or a
  rehearsal, in this JVM or another. Returns a report.

      (sc/restore! s (clojure.edn/read-string (slurp \"evening.edn\")))

  What the client has had there is freed first, its nodes, buffers and buses; SynthDefs
  stay. Then come SynthDefs, buffers and values of buses, and last all nodes, in one block. What
  was declared is declared again: keys name the new nodes, and `drift` finds what it found then.

  Nodes, buffers and buses get the numbers that they had where they are this client's on this
  server. Otherwise they get others, and controls follow: those that are mapped, and those that a
  UGen reads as the number of a bus or buffer with nothing in between.

  `:timeout-ms`  how long each wait may take (default: the handle's, 5,000)

  The report is a map that prints in one line:

  | key | what it tells |
  |---|---|
  | `:restored`     | how many there are of `:synthdefs`, `:buffers`, `:buses` and `:nodes` |
  | `:not-restored` | what could not be, a map of `:kind`, `:id` and `:why` each. A buffer that cannot be filled is there, and silent |
  | `:ids`          | by `:nodes`, `:buffers`, `:control-buses` and `:audio-buses`, the new numbers of old ones, where they differ |
  | `:elapsed-ms`   | how long it took |

  Throws, before anything has changed, `:espalier.error/invalid-snapshot`, also for one of a
  newer version, and `:espalier.error/server-offline`."
  ([s snapshot] (restore! s snapshot {}))
  ([s snapshot opts] (restoration/restore! s snapshot opts)))

(defn follow!
  "Keeps the server in the shape that an atom, var, ref or agent has, from now on: each
  change is reconciled, and what changes meanwhile as one. With a var, evaluating a `def`
  again changes the sound.

  `reference`    holds what `reconcile!` takes
  `:root` `:prune` `:timeout-ms`  as for `reconcile!`
  `:repair-ms`   looks so often, in milliseconds, whether what plays has drifted, and repairs it
                 (default: never)

  Returns a handle for `unfollow!` and `await-followed`, a `java.io.Closeable`. Deref it for `:status`, `:change-count`,
  `:bundle-count`, `:byte-count`, the last `:report`, and the `:error` of the last change where that failed: then what plays stays as
  it was, and it is the lifecycle event :reconcile-failed too. A server that is
  booted or connected again is reconciled anew. One reference is followed for a root:
  to follow again, the same or another, ends the following before.

  Throws what `reconcile!` throws for what the reference holds now; it is not followed then.

      (def tree [:synth {:key :bass, :def :bass} {:freq 55}])
      (sc/follow! s #'tree)
      (def tree [:synth {:key :bass, :def :bass} {:freq 60}])"
  ([s reference] (follow! s reference {}))
  ([s reference opts] (follow/follow! s reference opts)))

(defn unfollow!
  "Follows a reference no longer, and leaves what plays as it is. Returns the handle;
  harmless when it has ended."
  [followed]
  (follow/unfollow! followed))

(defn await-followed
  "Waits until what the reference held when this was called has been reconciled, and
  returns the last report; nil for a server that is offline.

  `:timeout-ms`  how long to wait (default: that of the following)

  Throws the error of the last change where that failed, `:espalier.error/no-answer`, `:espalier.error/not-followed`."
  ([followed] (await-followed followed {}))
  ([followed opts] (follow/await-followed followed opts)))

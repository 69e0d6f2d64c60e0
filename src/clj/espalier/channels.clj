(ns espalier.channels
  "What a server tells, as channels of core.async that go on: lifecycle events, OSC messages,
  the values of a bus, changes of the tree, the health of the link.

      (require '[espalier.channels :as channels] '[clojure.core.async :as a])

      (def ends (channels/osc s \"/n_end\"))
      (a/go-loop []
        (when-let [[_ id] (a/<! ends)]
          (println \"node\" id \"has ended\")
          (recur)))
      (a/close! ends)

  The rules, for all of them:

  - Whoever takes too slowly delays nobody. A channel holds `:buffer` values, and where it is full
    one is lost: with `{:policy :sliding}`, the default, the oldest, with `:dropping` the
    new one. `dropped` tells how many so far.
  - `clojure.core.async/close!` removes the handler behind it at once. What was there already can
    still be taken.
  - When the server has quit, is lost or was logged out from, the channel closes by itself.
    One may be made before the server is booted, and lasts until that.
  - They can be taken from, not put to, and print in one line.

  `espalier.async` has the calls that wait, whose channels give one value."
  (:require
   [clojure.core.async :as a]
   [clojure.core.async.impl.protocols :as impl]
   [espalier.core :as sc]
   [espalier.model.diff :as diff]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.state :as state]
   [espalier.runtime.bus :as bus]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.health :as health]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.worker :as worker])
  (:import
   (java.io Writer)
   (java.util.concurrent CompletableFuture TimeUnit)
   (java.util.concurrent.atomic AtomicBoolean AtomicLong)))

(set! *warn-on-reflection* true)

;; ---- a channel that loses what nobody takes

(deftype Stream
  [what                       ; in words
   channel policy
   ^AtomicLong dropped
   stop]                      ; atom: what is called when it closes; nil once it has
  impl/ReadPort
  (take! [_ handler] (impl/take! channel handler))
  impl/Channel
  (close! [_]
    (let [[stops _] (reset-vals! stop nil)]
      (impl/close! channel)
      (run! (fn [f] (f)) stops)))
  (closed? [_] (impl/closed? channel))
  Object
  (toString [this] (str "#<Channel of " what (when (impl/closed? this) ", closed")
                        (when (pos? (.get dropped)) (str ", " (.get dropped) " dropped")) ">")))

(defmethod print-method Stream [s ^Writer w] (.write w (str s)))

(defn- stream
  "A channel with the `:buffer` and `:policy` of `opts`."
  [what {:keys [buffer policy] :or {policy :sliding}} usual-buffer]
  (let [buffer (or buffer usual-buffer)]
    (when-not (and (int? buffer) (<= 1 (long buffer) 1000000))
      (throw (error/error :invalid-option (str ":buffer is how many values wait, 1 or more, not " (pr-str buffer) ".") {:option :buffer, :value buffer})))
    (when-not (contains? #{:sliding :dropping} policy)
      (throw (error/error :invalid-option (str ":policy is :sliding, which loses the oldest value, or :dropping, which loses the new one, not " (pr-str policy) ".")
                          {:option :policy, :value policy})))
    (Stream. what (a/chan buffer) policy (AtomicLong.) (atom []))))

(defn- when-closed!
  "Has `f` called when the channel closes, at once where it has."
  [^Stream s f]
  (when-not (swap! (.-stop s) (fn [stops] (some-> stops (conj f))))
    (f)))

(defn- give!
  "Puts a value without waiting; what has no room is counted. Called by one thread at a time."
  [^Stream s x]
  (let [channel (.-channel s)]
    ;; false is a channel that is closed, nil one that is full.
    (when (nil? (a/offer! channel x))
      (.incrementAndGet ^AtomicLong (.-dropped s))
      (when (= :sliding (.-policy s))
        ;; Where somebody has taken one meanwhile, none is lost.
        (when-not (a/poll! channel) (.decrementAndGet ^AtomicLong (.-dropped s)))
        (recur s x)))))

(defn dropped
  "How many values a channel of this namespace has lost so far, for nobody has taken them."
  ^long [channel]
  (when-not (instance? Stream channel)
    (throw (error/error :invalid-argument (str "This wants a channel of espalier.channels, not " (pr-str channel) ".") {:argument :channel, :value channel})))
  (.get ^AtomicLong (.-dropped ^Stream channel)))

;; ---- lifecycle events

(defn- last-event?
  "Whether an event is the last of a login; `before` is the one before it."
  [before event]
  (or (contains? #{:quit :lost} event)
      (and (= :disconnected event) (= :disconnecting before))))

(defn events
  "A channel of lifecycle events, maps as `espalier.core/on-lifecycle!` tells them. :quit,
  :lost, or the :disconnected of `disconnect!` is the last.

  `:events`  the name of the one to hear of, or a collection (default: all)
  `:buffer`  how many wait (default 1,024)
  `:policy`  :sliding (default) or :dropping

  Throws `:espalier.error/unknown-event`, `:espalier.error/invalid-option`.

      (channels/events s {:events [:late :command-failed]})"
  ([s] (events s {}))
  ([s opts]
   (options/check-call opts #{:events :buffer :policy})
   (let [wanted  (some-> (:events opts) handle/check-events)
         stream  (stream "lifecycle events" opts 1024)
         before  (atom nil)
         id      (handle/on-lifecycle! s nil
                   (fn [{:keys [event] :as e}]
                     (when (or (nil? wanted) (wanted event)) (give! stream e))
                     (when (last-event? @before event) (a/close! stream))
                     (reset! before event)))]
     (when-closed! stream #(handle/off! s id))
     stream)))

(defn- until-it-ends!
  "Closes a channel when the login of `s` has ended; `close!`, where it is given, does that."
  ([s stream] (until-it-ends! s stream #(a/close! stream)))
  ([s stream close!]
   (let [id (handle/on-lifecycle! s :disconnected (fn [_] (close!)))]
     (when-closed! stream #(handle/off! s id))
     stream)))

;; ---- OSC messages

(defn osc
  "A channel of the messages from the server that fit, vectors as `espalier.core/on-osc!` hears
  them.

  `pattern`  an address `\"/n_go\"`; the beginning of a message `[\"/n_end\" 1000]`; or a
             predicate on the message
  `:buffer`  how many wait (default 1,024)
  `:policy`  :sliding (default) or :dropping

  Throws `:espalier.error/invalid-pattern`, `:espalier.error/invalid-option`.

      (channels/osc s \"/tr\" {:buffer 16})"
  ([s pattern] (osc s pattern {}))
  ([s pattern opts]
   (options/check-call opts #{:buffer :policy})
   (let [stream (stream (str "OSC " (if (fn? pattern) "messages" (pr-str pattern))) opts 1024)
         id     (handle/on-osc! s pattern (fn [message] (give! stream message)) false)]
     (when-closed! stream #(handle/off! s id))
     ;; Behind the messages that came before.
     (until-it-ends! s stream (fn [] (handle/behind! s id #(a/close! stream)))))))

;; ---- what is looked at again and again

(defn- check-every [every-ms]
  (when-not (and (int? every-ms) (<= 1 (long every-ms) 86400000))
    (throw (error/error :invalid-option (str ":every-ms is a number of milliseconds, 1 or more, not " (pr-str every-ms) ".") {:option :every-ms, :value every-ms}))))

(defn- later!
  "Offers a worker something in so many milliseconds."
  [w every-ms]
  (.execute (CompletableFuture/delayedExecutor (long every-ms) TimeUnit/MILLISECONDS)
            (fn [] (worker/offer! w :look))))

(defn- again!
  "Calls `look!` until the channel is closed, which it is where that throws, and waits so long
  between."
  [stream every-ms look!]
  (let [made (promise)
        w    (worker/worker (fn [_]
                              (look!)
                              (when-not (impl/closed? stream) (later! @made every-ms)))
                            (fn [_] (a/close! stream)))]
    (deliver made w)
    (when-closed! stream #(worker/stop! w))
    (worker/offer! w :look)))

(def ^:private over
  "Errors after which a bus tells nothing any more."
  #{:espalier.error/freed-entity :espalier.error/dead-entity :espalier.error/server-offline})

(defn- look-at-bus!
  "Puts the value of a bus, or the values of a group of buses."
  [stream bus]
  (try
    (give! stream (if (= :bus-group (:kind bus)) (sc/get-buses bus) (sc/get-bus bus)))
    (catch clojure.lang.ExceptionInfo e
      ;; What is not answered in time is asked for again.
      (when (contains? over (error/code e)) (a/close! stream)))))

(defn bus-values
  "A channel of the value of a control bus, a number, asked for again and again; of a group of
  buses vectors. Closes when the bus is freed, too.

  `:every-ms`  how long to wait between an answer and the next question (default 50)
  `:buffer`    how many values wait (default 16)
  `:policy`    :sliding (default) or :dropping

  Throws `:espalier.error/no-entity`, `:espalier.error/audio-bus`, `:espalier.error/freed-entity`,
  `:espalier.error/dead-entity`, `:espalier.error/server-offline`, `:espalier.error/invalid-option`.

      (channels/bus-values lfo-bus {:every-ms 20, :buffer 1})"
  ([bus] (bus-values bus {}))
  ([bus opts]
   (let [{:keys [every-ms] :or {every-ms 50}} (options/check-call opts #{:every-ms :buffer :policy})
         _      (check-every every-ms)
         _      (bus/control-session bus #{:bus :bus-group})
         stream (stream (str bus) opts 16)]
     (until-it-ends! (:server bus) stream)
     (again! stream every-ms (fn [] (look-at-bus! stream bus)))
     stream)))

;; ---- the tree

(defn- keyed
  "A tree whose nodes all have names: their keys, else their ids."
  [nodes {:keys [id children] :as node}]
  (let [{k :key, :keys [status parallel?]} (get nodes id)]
    (cond-> (assoc node :key (if (some? k) k id))
      (= :paused status) (assoc :paused true)
      parallel?          (assoc :parallel true)
      children           (assoc :children (mapv #(keyed nodes %) children)))))

(defn- tree-of [known]
  (keyed (:nodes known) (state/tree known)))

(defn- change
  "What has changed from a tree to another, or nil."
  [before after]
  (when (not= before after)
    {:edits (diff/diff before after), :before before, :after after, :at (clock/now)}))

(defn tree-changes
  "A channel of the changes of the server's node tree, whoever has made them:

      {:edits [{:edit :add, :node 1000, :kind :synth, :def \"bell\", :to [:tail 1]}], :before tree, :after tree, :at instant}

  Edits are as of `espalier.tree/diff`, and name nodes by their keys, those without by their ids.
  They are what this client hears, of nodes and their order, pauses too; not of controls,
  which servers do not tell. What changes within `:every-ms` is one change.

  `:every-ms`  how long to gather (default 50)
  `:buffer`    how many changes wait (default 64)
  `:policy`    :sliding (default) or :dropping

  Throws `:espalier.error/server-offline`, `:espalier.error/invalid-option`.

      (a/<!! (channels/tree-changes s))"
  ([s] (tree-changes s {}))
  ([s opts]
   (let [{:keys [every-ms] :or {every-ms 50}} (options/check-call opts #{:every-ms :buffer :policy})
         _       (check-every every-ms)
         m       (:mirror (handle/live s))
         stream  (stream "tree changes" opts 64)
         seen    (atom (tree-of (mirror/known m)))
         waiting (AtomicBoolean.)
         w       (worker/worker (fn [_]
                                  (.set waiting false)
                                  (let [after (tree-of (mirror/known m)), before (first (reset-vals! seen after))]
                                    (some->> (change before after) (give! stream))))
                                (fn [_]))
         look!   (fn [] (when (.compareAndSet waiting false true) (later! w every-ms)))
         k       (Object.)]
     (mirror/watch! m k (fn [old new] (when-not (identical? (:nodes old) (:nodes new)) (look!))))
     (when-closed! stream (fn [] (mirror/unwatch! m k) (worker/stop! w)))
     (until-it-ends! s stream)
     (look!)
     stream)))

;; ---- health

(defn health
  "A channel of the health of the link, again and again, as `espalier.core/health` tells it.

  `:every-ms`  how long to wait between two (default 1,000)
  `:buffer`    how many wait (default 16)
  `:policy`    :sliding (default) or :dropping

  Throws `:espalier.error/server-offline`, `:espalier.error/invalid-option`.

      (channels/health s {:every-ms 5000, :buffer 1})"
  ([s] (health s {}))
  ([s opts]
   (let [{:keys [every-ms] :or {every-ms 1000}} (options/check-call opts #{:every-ms :buffer :policy})
         _       (check-every every-ms)
         session (handle/live s)
         stream  (stream "health" opts 16)]
     (until-it-ends! s stream)
     (again! stream every-ms (fn [] (give! stream (health/of-session session))))
     stream)))

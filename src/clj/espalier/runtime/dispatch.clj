(ns espalier.runtime.dispatch
  "Brings what arrives to whoever waits for it: a reply to the call that asked, a
  `/fail` to the call that caused it, everything to the handlers.

  Calls wait on their own thread with a deadline. Each handler has a worker of its
  own, so that one that blocks or throws delays nobody but itself."
  (:require
   [espalier.model.error :as error]
   [espalier.model.message :as message]
   [espalier.runtime.link :as link]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel OscMessage)
   (java.util Queue)
   (java.util.concurrent CompletableFuture ConcurrentHashMap ConcurrentLinkedQueue ExecutionException TimeUnit TimeoutException)
   (java.util.concurrent.atomic AtomicInteger)
   (java.util.function Function)))

(set! *warn-on-reflection* true)

;; A call that waits: the beginning of the reply that it waits for, and where the reply goes.
(deftype ^:private Waiter [reply command ^CompletableFuture answer])

(deftype Dispatcher
  [^ConcurrentHashMap by-reply     ; address of a reply -> waiters, the oldest first
   ^ConcurrentHashMap by-command   ; command that was sent -> waiters
   ^AtomicInteger waiting          ; how many wait
   handlers                        ; atom: id -> {:address, or nil for any; :worker}
   on-fault
   on-failure])

(defn dispatcher
  "A dispatcher with nobody waiting.

  `on-fault`    called with a map when a handler throws (`:error`) or falls so far
                behind that it loses messages (`:behind`)
  `on-failure`  called with a `/fail` that nobody waits for, a vector"
  [on-fault on-failure]
  (Dispatcher. (ConcurrentHashMap.) (ConcurrentHashMap.) (AtomicInteger.) (atom {}) on-fault on-failure))

;; ---- calls that wait

(def ^:private new-queue
  (reify Function (apply [_ _] (ConcurrentLinkedQueue.))))

(defn- queue-of ^Queue [^ConcurrentHashMap m k]
  (.computeIfAbsent m k ^Function new-queue))

(defn forget!
  "Takes a waiter out, whose answer nobody wants any more; returns nil."
  [^Dispatcher d ^Waiter w]
  (when (some-> ^Queue (.get ^ConcurrentHashMap (.-by_reply d) (first (.-reply w))) (.remove w))
    (.decrementAndGet ^AtomicInteger (.-waiting d)))
  (some-> ^Queue (.get ^ConcurrentHashMap (.-by_command d) (.-command w)) (.remove w))
  nil)

(defn expect!
  "Registers a wait, before its question is sent. Returns a waiter for `await!`.

  `reply`    how the reply begins, such as `[\"/synced\" 3]`
  `command`  the address that was sent: a `/fail` that names it ends the wait too"
  [^Dispatcher d reply command]
  (let [w (Waiter. reply command (CompletableFuture.))]
    (.incrementAndGet ^AtomicInteger (.-waiting d))
    (.add (queue-of (.-by_reply d) (first reply)) w)
    (.add (queue-of (.-by_command d) command) w)
    w))

(defn idle?
  "Whether nobody waits."
  [^Dispatcher d]
  (zero? (.get ^AtomicInteger (.-waiting d))))

(defn answered?
  "Whether the reply is there."
  [^Waiter w]
  (.isDone ^CompletableFuture (.-answer w)))

(defn await!
  "Waits for the reply of a waiter and returns it as a vector: the reply that was
  expected, or the `/fail` that names the command.

  Throws `:espalier.error/no-answer` after `timeout-ms`, and at once what
  `fail-all!` was given when the server goes away meanwhile."
  [^Dispatcher d ^Waiter w timeout-ms]
  (try
    (link/message (.get ^CompletableFuture (.-answer w) timeout-ms TimeUnit/MILLISECONDS))
    (catch TimeoutException _
      (forget! d w)
      (throw (error/error :no-answer
                          (str "No answer to " (.-command w) " within " timeout-ms " ms: the server is busy, stopped or gone, or has nothing to say to it"
                               " (supernova tells of most failures only in its output). :timeout-ms says how long to wait.")
                          {:command (.-command w) :expected (.-reply w) :timeout-ms timeout-ms})))
    (catch ExecutionException e
      ;; Wrapped anew, so that its stack trace shows the call that waited.
      (let [cause (ex-cause e)]
        (throw (ex-info (ex-message cause) (or (ex-data cause) {}) cause))))
    (catch Throwable e
      (forget! d w)
      (throw e))))

(defn fail-all!
  "Ends every wait with the exception `e`."
  [^Dispatcher d e]
  (doseq [^Queue q (.values ^ConcurrentHashMap (.-by_reply d)), ^Waiter w q]
    (forget! d w)
    (.completeExceptionally ^CompletableFuture (.-answer w) e)))

(defn- begins-with?
  "Whether the arguments of a kernel message begin as those of `reply` do."
  [reply ^OscMessage m]
  (let [arguments (.arguments m)
        n         (dec (count reply))]
    (and (<= n (.size arguments))
         (loop [i 0]
           (or (= i n)
               (and (= (nth reply (inc i)) (.get arguments i))
                    (recur (inc i))))))))

(defn- answer-first!
  "Gives `m` to the oldest waiter in `q` for whom `fits?` holds; returns whether
  there was one."
  [^Dispatcher d ^Queue q fits? ^OscMessage m]
  (boolean
    (when q
      (loop [ws (.iterator q)]
        (when (.hasNext ws)
          (let [^Waiter w (.next ws)]
            (if (and (fits? w) (.complete ^CompletableFuture (.-answer w) m))
              (do (forget! d w) true)
              (recur ws))))))))

;; ---- handlers

(defn unhandle!
  "Removes a handler; what waits for it is not delivered. Returns whether it was
  there."
  [^Dispatcher d id]
  (let [[old _] (swap-vals! (.-handlers d) dissoc id)]
    (some-> (get-in old [id :worker]) worker/stop!)
    (contains? old id)))

(defn- acceptor [pattern]
  (cond
    (string? pattern)                               (constantly true)
    (and (vector? pattern) (string? (first pattern))) #(message/matches? pattern %)
    (fn? pattern)                                   pattern
    :else
    (throw (error/error :invalid-pattern
                        (str "A pattern is an address such as \"/tr\", a vector such as [\"/tr\" 1000],"
                             " or a predicate on the message, not " (pr-str pattern) ".")
                        {:pattern pattern}))))

(defn handle!
  "Adds a handler and returns its id, for `unhandle!`.

  `pattern`  an address, a vector that begins as the message does, or a predicate
             on the message vector, which runs on the handler's thread
  `f`        called with the message vector
  `once?`    whether the first match is the last"
  [^Dispatcher d pattern f once?]
  (let [id       (Object.)
        accepts? (acceptor pattern)
        call     (fn [m]
                   (when (and (accepts? m) (or (not once?) (unhandle! d id)))
                     (f m)))]
    (swap! (.-handlers d) assoc id
           {:address (cond (string? pattern) pattern (vector? pattern) (first pattern))
            :worker  (worker/worker call (.-on_fault d))})
    id))

(defn arrived!
  "Brings one kernel message to whoever waits for it; called on the link's reader
  thread."
  [^Dispatcher d ^OscMessage m]
  (let [address (.address m)]
    (if (= "/fail" address)
      (when-not (and (pos? (.size (.arguments m)))
                     (answer-first! d (.get ^ConcurrentHashMap (.-by_command d) (.get (.arguments m) 0)) any? m))
        ((.-on_failure d) (link/message m)))
      (answer-first! d (.get ^ConcurrentHashMap (.-by_reply d) address)
                     (fn [^Waiter w] (begins-with? (.-reply w) m)) m))
    (let [handlers @(.-handlers d)]
      (when (pos? (count handlers))
        (let [v (delay (link/message m))]
          (doseq [{wanted :address, w :worker} (vals handlers)]
            (when (or (nil? wanted) (= wanted address))
              (worker/offer! w @v))))))))

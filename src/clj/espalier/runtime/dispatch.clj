(ns espalier.runtime.dispatch
  "Brings what arrives to whoever waits for it: a reply to the call that asked, a
  `/fail` to the call that caused it, everything to the handlers.

  The protocol has no request numbers. So a question travels in one bundle with a
  fence, a second question whose answer nobody else can mistake: `/c_get` of a row of
  buses that spells a number, or `/sync`. Servers answer in their order. When the
  fence is answered and the question is not, it has failed, and the last `/fail` that
  fits is its own; supernova sends none, and has failed without a word.

  Calls wait on their own thread with a deadline. Each handler has a worker of its
  own, so that one that blocks or throws delays nobody but itself."
  (:require
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.message :as message]
   [espalier.runtime.link :as link]
   [espalier.runtime.listener :as listener]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel OscMessage)
   (java.util ArrayList Queue)
   (java.util.concurrent CompletableFuture ConcurrentHashMap ConcurrentLinkedQueue CopyOnWriteArrayList ExecutionException
                         Semaphore TimeUnit TimeoutException)
   (java.util.concurrent.atomic AtomicBoolean AtomicInteger AtomicLongArray)
   (java.util.function Function)))

(set! *warn-on-reflection* true)

;; A call that waits. `reply` is how its answer begins, nil in it standing for anything; `notes` are the /fails that
;; may be its own, `fence` the key of its fence, or nil, `asked` when that was, in nanoseconds. Who has given it up waits
;; no more, but its answer may still come.
(deftype ^:private Waiter [request reply fence patient? ^long asked ^CompletableFuture answer ^Queue notes ^AtomicBoolean given-up])

;; A /fail that somebody may claim: how many may, and whether one has.
(deftype ^:private Note [fail ^AtomicInteger holders ^AtomicBoolean claimed])

;; A call that waits for all that happens between its fences. `windows` says by fence which step begins behind it, or
;; nil; `step` is the one that is open; what comes meanwhile is collected.
(deftype ^:private Watch [windows claims? finished? ^CompletableFuture answer ^ArrayList seen ^objects step])

;; A call that takes in all that answers its bundles of questions. `marks` says by fence whether what comes behind it is
;; its own; what `digest` makes of messages, and the keys of fences that are answered, come in the order of their arrival.
;; While it is `quiet` nobody is woken for what comes: waking a thread for each message costs more than reading it.
(deftype ^:private Collector [digest hears news ^ConcurrentHashMap marks ^AtomicBoolean open ^AtomicBoolean quiet ^Queue came ^Semaphore woken])

(deftype Dispatcher
  [^ConcurrentHashMap by-reply     ; address of a reply -> waiters, the oldest first
   ^ConcurrentHashMap by-command   ; command that was sent -> waiters
   ^ConcurrentHashMap by-fence     ; key of a fence -> waiter, watch or collector
   ^CopyOnWriteArrayList watches
   ^CopyOnWriteArrayList collectors
   ^AtomicInteger waiting          ; how many wait
   ^Queue given-up                 ; those that wait no more, and whose answer may still come, the oldest first
   ^AtomicInteger fences           ; counts them
   ^AtomicLongArray marks          ; of the last fences, by turns, the number and how many packets had been sent before
   handlers                        ; atom: id -> {:address, or nil for any; :worker}
   on])                            ; what is called: see `dispatcher`

(def ^:private mark-count
  "So many fences, the last ones, are known to show what the server has read."
  256)

(defn dispatcher
  "A dispatcher with nobody waiting. `on` has functions:

  `:fault`    called with a map when a handler throws (`:error`) or falls so far
              behind that it loses messages (`:behind`)
  `:failure`  called with a `/fail` that nobody waits for, a vector
  `:answer`   called with the nanoseconds that an answer took
  `:sent`     returns how many packets have been sent
  `:read`     called with how many of these the server has read, at least, for it has
              answered a fence"
  [on]
  (Dispatcher. (ConcurrentHashMap.) (ConcurrentHashMap.) (ConcurrentHashMap.) (CopyOnWriteArrayList.) (CopyOnWriteArrayList.)
               (AtomicInteger.) (ConcurrentLinkedQueue.) (AtomicInteger.) (AtomicLongArray. (int (* 2 (long mark-count)))) (atom {}) on))

;; ---- fences

(def ^:private fence-count
  "So many fences may be on their way: seven digits of eight, twenty-one of two."
  2097152)

(defn- mark-of
  "Where the mark of the fence with a number is: its number modulo `fence-count`."
  [^long n]
  (int (* 2 (rem n (long mark-count)))))

(defn- mark!
  "Notes how much had been sent before a fence."
  [^Dispatcher d ^long n]
  (let [^AtomicLongArray marks (.-marks d), at (int (mark-of n))]
    (.set marks at (rem n (long fence-count)))
    (.set marks (inc at) (long ((:sent (.-on d)))))))

(defn- read!
  "A fence is answered: what had been sent before it was read."
  [^Dispatcher d ^long k]
  (let [n (rem (if (neg? k) (- -1 k) k) (long fence-count))
        ^AtomicLongArray marks (.-marks d), at (int (mark-of n))]
    (when (= n (.get marks at))
      ((:read (.-on d)) (.get marks (inc at))))))

(defn new-fence!
  "A question to put behind others, `[key message]`, for a server with so many control
  buses: eight to spell with are best, one will not do.

  `asynchronous?`  whether it is to be answered only when what the server does beside
                   the sound is done too"
  [^Dispatcher d buses asynchronous?]
  (let [n    (bit-and (.incrementAndGet ^AtomicInteger (.-fences d)) 0x7fffffff)
        base (min 8 (long buses))]
    (mark! d n)
    (if (or asynchronous? (< base 2))
      [(- -1 n) ["/sync" n]]
      (let [digits (if (= 8 base) 7 21)
            n      (rem n (long fence-count))]
        [n (into ["/c_get" (dec base) 0]
                 (map (fn [i] (rem (quot n (long (Math/pow base i))) base)))
                 (range digits))]))))

(defn- fence-key
  "The key of the fence that a message answers, or nil where it answers none."
  [^OscMessage m]
  (let [address   (.address m)
        arguments (.arguments m)
        n         (.size arguments)]
    (cond
      (and (= "/synced" address) (= 1 n)) (- -1 (long (.get arguments 0)))

      (and (= "/c_set" address) (or (= 18 n) (= 46 n)) (= 0 (.get arguments 2)))
      (let [base (inc (long (.get arguments 0)))]
        (loop [i (- n 2), key 0]
          (if (= i 2)
            key
            (recur (- i 2) (+ (* key base) (long (.get arguments i))))))))))

;; ---- calls that wait

(def ^:private new-queue
  (reify Function (apply [_ _] (ConcurrentLinkedQueue.))))

(defn- queue-of ^Queue [^ConcurrentHashMap m k]
  (.computeIfAbsent m k ^Function new-queue))

(defn- release!
  "Lets go of a waiter's notes; those that nobody has claimed are told."
  [^Dispatcher d ^Waiter w]
  (loop []
    (when-some [^Note note (.poll ^Queue (.-notes w))]
      (when (and (zero? (.decrementAndGet ^AtomicInteger (.-holders note)))
                 (not (.get ^AtomicBoolean (.-claimed note))))
        ((:failure (.-on d)) (.-fail note)))
      (recur))))

(defn- take-out! [^Dispatcher d ^Waiter w]
  (when (some-> ^Queue (.get ^ConcurrentHashMap (.-by_reply d) (first (.-reply w))) (.remove w))
    (if (.get ^AtomicBoolean (.-given_up w))
      (.remove ^Queue (.-given_up d) w)
      (.decrementAndGet ^AtomicInteger (.-waiting d))))
  (some-> ^Queue (.get ^ConcurrentHashMap (.-by_command d) (first (.-request w))) (.remove w)))

(defn forget!
  "Takes a waiter out, whose answer nobody wants any more; returns nil."
  [^Dispatcher d ^Waiter w]
  (take-out! d w)
  (release! d w))

(defn expect!
  "Registers a wait, before its question is sent. Returns a waiter for `await!`.

  `request`   what is to be sent: a `/fail` that may be of it ends the wait too
  `reply`     how the answer begins, such as `[\"/synced\" 3]`; nil in it stands for
              anything
  `fence`     the key of a fence that is sent behind the request, or nil
  `patient?`  whether the answer may come after the fence's, so that only a `/fail`
              ends the wait there"
  ([d request reply] (expect! d request reply nil false))
  ([^Dispatcher d request reply fence patient?]
   (let [w (Waiter. request reply fence patient? (System/nanoTime) (CompletableFuture.) (ConcurrentLinkedQueue.) (AtomicBoolean.))]
     (.incrementAndGet ^AtomicInteger (.-waiting d))
     (.add (queue-of (.-by_reply d) (first reply)) w)
     (.add (queue-of (.-by_command d) (first request)) w)
     (when fence (.put ^ConcurrentHashMap (.-by_fence d) fence w))
     w)))

(defn idle?
  "Whether nobody waits."
  [^Dispatcher d]
  (zero? (.get ^AtomicInteger (.-waiting d))))

(defn waiting
  "How many wait."
  ^long [^Dispatcher d]
  (.get ^AtomicInteger (.-waiting d)))

(defn answered?
  "Whether the reply is there."
  [^Waiter w]
  (.isDone ^CompletableFuture (.-answer w)))

(def ^:private most-given-up
  "So many that wait no more are kept for their answers." 100)

(defn give-up!
  "Waits no more for what has not come. Where a fence will tell that the answer can come no more,
  the waiter stays until then: what comes late is not the answer to the same question asked
  anew."
  [^Dispatcher d ^Waiter w]
  (cond
    (answered? w) nil

    (or (nil? (.-fence w)) (.-patient? w))
    (forget! d w)

    (.compareAndSet ^AtomicBoolean (.-given_up w) false true)
    (do (.decrementAndGet ^AtomicInteger (.-waiting d))
        (some-> ^Queue (.get ^ConcurrentHashMap (.-by_command d) (first (.-request w))) (.remove w))
        (release! d w)
        (.add ^Queue (.-given_up d) w)
        (when (< (long most-given-up) (.size ^Queue (.-given_up d)))
          (when-some [^Waiter oldest (.peek ^Queue (.-given_up d))]
            (.remove ^ConcurrentHashMap (.-by_fence d) (.-fence oldest) oldest)
            (take-out! d oldest))))))

(defn- anew
  "Wrapped, so that its stack trace shows the call that waited."
  [^Throwable e]
  (ex-info (ex-message e) (or (ex-data e) {}) e))

(defn- rethrown [^ExecutionException e]
  (anew (ex-cause e)))

(defn no-answer
  "The error of a request that nobody has answered in time."
  [request expected timeout-ms]
  (error/error :no-answer
               (str "No answer to " (error/shown request) " within " timeout-ms " ms: the server is busy, stopped or gone"
                    (when (:at request) ", or its clock is behind this one")
                    ". :timeout-ms says how long to wait.")
               {:command (first request) :request request :expected expected :timeout-ms timeout-ms}))

(defn await!
  "Waits for the answer to a waiter and returns it as a vector: the reply that was
  expected, or the `/fail` of its request; nil where the fence was answered, and the
  server had nothing to say before.

  Throws `:espalier.error/no-answer` after `timeout-ms`, and at once what
  `fail-all!` was given when the server goes away meanwhile."
  [^Dispatcher d ^Waiter w timeout-ms]
  (try
    (let [m (.get ^CompletableFuture (.-answer w) timeout-ms TimeUnit/MILLISECONDS)]
      (if (instance? OscMessage m) (link/message m) m))
    (catch TimeoutException _
      (give-up! d w)
      (throw (no-answer (.-request w) (.-reply w) timeout-ms)))
    (catch ExecutionException e
      (throw (rethrown e)))
    (catch Throwable e
      (give-up! d w)
      (throw e))))

(defn await-floats!
  "Waits as `await!` does, for a reply that ends in floats, and returns those from the
  argument at index `from` on as an array; nil where the fence was answered and the reply has
  not come. Of a `/fail` it throws the error."
  ^floats [^Dispatcher d ^Waiter w from timeout-ms]
  (try
    (let [m (.get ^CompletableFuture (.-answer w) timeout-ms TimeUnit/MILLISECONDS)]
      (cond
        (nil? m)                 nil
        (instance? OscMessage m) (.floats ^OscMessage m (int from))
        :else                    (throw (failure/error-of (.-request w) (failure/words m) {:reply m}))))
    (catch TimeoutException _
      (throw (no-answer (.-request w) (.-reply w) timeout-ms)))
    (catch ExecutionException e
      (throw (rethrown e)))
    (finally (give-up! d w))))

(defn- begins-with?
  "Whether the arguments of a kernel message begin as those of `reply` do."
  [reply ^OscMessage m]
  (let [arguments (.arguments m)
        n         (dec (count reply))]
    (and (<= n (.size arguments))
         (loop [i 0]
           (or (= i n)
               (let [wanted (nth reply (inc i))]
                 (and (or (nil? wanted) (= wanted (.get arguments i)))
                      (recur (inc i)))))))))

(defn- measured!
  "Tells how long the answer to a waiter took."
  [^Dispatcher d ^Waiter w]
  ((:answer (.-on d)) (- (System/nanoTime) (.-asked w))))

(defn- answer-first!
  "Gives `m` to the oldest waiter in `q` for whom `fits?` holds, or, where it is news
  for all, to each; returns whether there was one."
  [^Dispatcher d ^Queue q fits? ^OscMessage m all?]
  (boolean
    (when q
      (loop [ws (.iterator q), given false]
        (if (.hasNext ws)
          (let [^Waiter w (.next ws)]
            (cond
              (not (fits? w)) (recur ws given)

              ;; The late answer to a question that nobody asks any more.
              (.get ^AtomicBoolean (.-given_up w))
              (do (take-out! d w) true)

              (.complete ^CompletableFuture (.-answer w) m)
              (do (forget! d w)
                  (when-not all? (measured! d w))
                  (if all? (recur ws true) true))

              :else (recur ws given)))
          given)))))

(defn- note!
  "Leaves a `/fail` with each fenced waiter whose own it may be; without any, gives it
  to the oldest that waits without a fence. Returns whether somebody has it."
  [^Dispatcher d ^OscMessage m]
  (let [arguments (.arguments m)
        q         (when (pos? (.size arguments)) (.get ^ConcurrentHashMap (.-by_command d) (.get arguments 0)))]
    (when q
      (let [fail  (link/message m)
            fits  (filterv (fn [^Waiter w] (failure/mine? (.-request w) fail)) (iterator-seq (.iterator ^Queue q)))
            those (filterv (fn [^Waiter w] (.-fence w)) fits)]
        (if (seq those)
          (let [note (Note. fail (AtomicInteger. (count those)) (AtomicBoolean.))]
            (run! (fn [^Waiter w] (.add ^Queue (.-notes w) note)) those)
            true)
          (answer-first! d q (fn [w] (some #(identical? w %) fits)) m false))))))

(defn- last-note ^Note [^Waiter w]
  (reduce (fn [_ note] note) nil (iterator-seq (.iterator ^Queue (.-notes w)))))

(defn- fenced!
  "The fence of a waiter is answered: it has failed by its last note, or without a
  word, unless it has its answer."
  [^Dispatcher d ^Waiter w]
  (.remove ^ConcurrentHashMap (.-by_fence d) (.-fence w) w)
  (let [note (last-note w)]
    (when (or note (not (.-patient? w)))
      (when (.complete ^CompletableFuture (.-answer w) (some-> note .-fail))
        (measured! d w)
        (some-> note ^AtomicBoolean (.-claimed) (.set true)))
      (forget! d w))))

;; ---- calls that watch

(defn watch!
  "Registers a call that watches what happens between its fences. Returns a watch,
  for `watched!`.

  `windows`    from the key of each fence to the step that begins behind it, nil for
               none
  `claims?`    of a `/fail` that comes while no step is open: whether it is of this call
  `finished?`  called with the key of each fence that is answered and what was seen so
               far, a vector of `{:step, :message}`; true ends the watch

  `/done`, `/n_info` and claimed `/fail`s are seen at any time, every `/fail` in a
  step. A fence for which `windows` has :same ends no step."
  [^Dispatcher d windows claims? finished?]
  (let [w (Watch. windows claims? finished? (CompletableFuture.) (ArrayList.) (object-array 1))]
    (.incrementAndGet ^AtomicInteger (.-waiting d))
    (.add ^CopyOnWriteArrayList (.-watches d) w)
    (run! (fn [k] (.put ^ConcurrentHashMap (.-by_fence d) k w)) (keys windows))
    w))

(defn unwatch!
  "Takes a watch out; returns nil."
  [^Dispatcher d ^Watch w]
  (when (.remove ^CopyOnWriteArrayList (.-watches d) w)
    (.decrementAndGet ^AtomicInteger (.-waiting d)))
  (run! (fn [k] (.remove ^ConcurrentHashMap (.-by_fence d) k w)) (keys (.-windows w)))
  nil)

(defn watch-ended?
  "Whether what a watch waits for has come."
  [^Watch w]
  (.isDone ^CompletableFuture (.-answer w)))

(defn watched!
  "Waits until a watch ends and returns what it has seen.

  Throws as `await!` does; `request` is named in the error."
  [^Dispatcher d ^Watch w request timeout-ms]
  (try
    (.get ^CompletableFuture (.-answer w) timeout-ms TimeUnit/MILLISECONDS)
    (catch TimeoutException _ (throw (no-answer request :fences timeout-ms)))
    (catch ExecutionException e (throw (rethrown e)))
    (finally (unwatch! d w))))

(defn- step-on!
  "The fence `k` of a watch is answered."
  [^Dispatcher d ^Watch w k]
  (.remove ^ConcurrentHashMap (.-by_fence d) k w)
  (let [step (get (.-windows w) k)]
    (when-not (= :same step)
      (aset ^objects (.-step w) 0 step)))
  (let [seen (vec (.-seen w))]
    (when ((.-finished? w) k seen)
      (unwatch! d w)
      (.complete ^CompletableFuture (.-answer w) seen))))

(defn- seen!
  "Shows a message to the watches; returns whether one of them claims it."
  [^Dispatcher d ^OscMessage m]
  (let [address (.address m)]
    (when (or (= "/fail" address) (= "/n_info" address) (= "/done" address))
      (let [v (delay (link/message m))]
        (reduce (fn [claimed ^Watch w]
                  (let [step  (aget ^objects (.-step w) 0)
                        mine? (and (= "/fail" address) (or step ((.-claims? w) @v)))]
                    (when (or mine? (= "/done" address) (= "/n_info" address))
                      (.add ^ArrayList (.-seen w) {:step step, :message @v}))
                    (boolean (or claimed mine?))))
                false
                (.-watches d))))))

;; ---- calls that collect

(defn collector!
  "Registers a call that asks many questions. Each of its bundles has a fence before
  the questions and one behind them: what comes between their answers is of these
  questions only, and nobody else hears of it but the handlers.

  `hears`   the addresses of the replies
  `news`    addresses that are collected at any time, and reach everybody else too
  `digest`  called with each kernel message on the link's reader thread: what it returns is
            collected. There it is done while the server sends the next, which another
            thread would begin too late"
  [^Dispatcher d hears news digest]
  (let [c (Collector. digest hears news (ConcurrentHashMap.) (AtomicBoolean. false) (AtomicBoolean. false)
                      (ConcurrentLinkedQueue.) (Semaphore. 0))]
    (.incrementAndGet ^AtomicInteger (.-waiting d))
    (.add ^CopyOnWriteArrayList (.-collectors d) c)
    c))

(defn fences!
  "Registers fences of a collector: by key, whether what comes behind it is its own."
  [^Dispatcher d ^Collector c fences]
  (.set ^AtomicBoolean (.-quiet c) true)
  (doseq [[k own?] fences]
    (.put ^ConcurrentHashMap (.-marks c) k own?)
    (.put ^ConcurrentHashMap (.-by_fence d) k c)))

(defn- collect! [^Collector c x]
  (.add ^Queue (.-came c) x)
  (when (or (instance? Throwable x) (not (.get ^AtomicBoolean (.-quiet c))))
    (.release ^Semaphore (.-woken c))))

(defn collected!
  "The next that has come for a collector: what `digest` made of a message, or the key of a
  fence that is answered; nil where nothing comes within `timeout-ms`. Throws what `digest`
  threw, and what `fail-all!` was given when the server goes away meanwhile."
  [^Collector c timeout-ms]
  (let [^Queue came      (.-came c)
        ^Semaphore woken (.-woken c)
        until            (+ (System/nanoTime) (* 1000000 (long timeout-ms)))
        x (loop []
            ;; A permit may be of what was taken already: then it is looked and waited again.
            (or (.poll came)
                (if (.tryAcquire woken (- until (System/nanoTime)) TimeUnit/NANOSECONDS)
                  (recur)
                  (.poll came))))]
    (if (instance? Throwable x) (throw (anew x)) x)))

(defn uncollect!
  "Takes a collector out; returns nil. The answers of its fences that still come are
  nobody's."
  [^Dispatcher d ^Collector c]
  (.set ^AtomicBoolean (.-open c) false)
  (when (.remove ^CopyOnWriteArrayList (.-collectors d) c)
    (.decrementAndGet ^AtomicInteger (.-waiting d)))
  nil)

(defn- fence-collected! [^Dispatcher d ^Collector c k]
  (.remove ^ConcurrentHashMap (.-by_fence d) k)
  (let [own? (boolean (.remove ^ConcurrentHashMap (.-marks c) k))]
    (.set ^AtomicBoolean (.-open c) own?)
    (when-not own? (.set ^AtomicBoolean (.-quiet c) false)))
  (collect! c k))

(defn- taken?
  "Gives a message to the collectors; returns whether it is of one alone."
  [^Dispatcher d ^OscMessage m]
  (let [address (.address m)]
    (reduce (fn [own? ^Collector c]
              (let [its-own? (and (.get ^AtomicBoolean (.-open c)) (contains? (.-hears c) address))]
                (when (or its-own? (contains? (.-news c) address))
                  (collect! c (try ((.-digest c) m) (catch Throwable e e))))
                (or own? its-own?)))
            false
            (.-collectors d))))

(defn fail-all!
  "Ends every wait with the exception `e`."
  [^Dispatcher d e]
  (doseq [^Queue q (.values ^ConcurrentHashMap (.-by_reply d)), ^Waiter w q]
    (forget! d w)
    (.completeExceptionally ^CompletableFuture (.-answer w) e))
  (doseq [^Watch w (.-watches d)]
    (unwatch! d w)
    (.completeExceptionally ^CompletableFuture (.-answer w) e))
  (doseq [^Collector c (.-collectors d)]
    (uncollect! d c)
    (collect! c e))
  (.clear ^ConcurrentHashMap (.-by_fence d)))

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
  (let [accepts? (acceptor pattern)
        id       (listener/of-messages pattern)
        call     (fn [m]
                   (cond
                     ;; See `behind!`.
                     (fn? m)                                                (m)
                     (and (accepts? m) (or (not once?) (unhandle! d id))) (f m)))]
    (swap! (.-handlers d) assoc id
           {:address (cond (string? pattern) pattern (vector? pattern) (first pattern))
            :worker  (worker/worker call (:fault (.-on d)))})
    id))

(defn behind!
  "Calls `f` on the thread of a handler when it has done the messages that wait for it now."
  [^Dispatcher d id f]
  (some-> (get-in @(.-handlers d) [id :worker]) (worker/offer! f)))

(defn backlog
  "How many messages wait for the handlers together."
  [^Dispatcher d]
  (transduce (map (fn [{w :worker}] (worker/backlog w))) + (vals @(.-handlers d))))

(defn- tell-handlers! [^Dispatcher d ^OscMessage m]
  (let [handlers @(.-handlers d)]
    (when (pos? (count handlers))
      (let [v (delay (link/message m))]
        (doseq [{wanted :address, w :worker} (vals handlers)]
          (when (or (nil? wanted) (= wanted (.address m)))
            (worker/offer! w @v)))))))

(def ^:private news
  "What the server tells everybody, unasked."
  #{"/n_go" "/n_end" "/n_on" "/n_off" "/n_move"})

(defn arrived!
  "Brings one kernel message to whoever waits for it; called on the link's reader
  thread. A fence's answer goes to its own call alone."
  [^Dispatcher d ^OscMessage m]
  (let [address  (.address m)
        fence    (fence-key m)
        _        (when fence (read! d fence))
        fenced   (when fence (.get ^ConcurrentHashMap (.-by_fence d) fence))
        claimed? (when-not (.isEmpty ^CopyOnWriteArrayList (.-watches d)) (seen! d m))
        taken?   (when-not (or fenced (.isEmpty ^CopyOnWriteArrayList (.-collectors d))) (taken? d m))]
    (cond
      taken?                    nil
      (instance? Collector fenced) (fence-collected! d fenced fence)
      (instance? Watch fenced)  (step-on! d fenced fence)
      (instance? Waiter fenced) (fenced! d fenced)
      (= "/fail" address)       (when-not (or claimed? (note! d m))
                                  ((:failure (.-on d)) (link/message m)))
      :else (answer-first! d (.get ^ConcurrentHashMap (.-by_reply d) address)
                           (fn [^Waiter w] (begins-with? (.-reply w) m)) m (contains? news address)))
    (when-not fenced
      (tell-handlers! d m))))

(ns espalier.runtime.mirror
  "What the client knows of its server, kept up as messages arrive: an atom of the
  value that `espalier.model.state` steps. scsynth drops what it has to tell when much
  happens at once, so the mirror asks again after a burst, when a message
  contradicts it, and when the server's own counts do."
  (:require
   [espalier.model.message :as message]
   [espalier.model.state :as state]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.link :as link]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel OscMessage)
   (java.time InstantSource)
   (java.util Set)
   (java.util.concurrent ConcurrentHashMap)
   (java.util.concurrent.atomic AtomicBoolean AtomicLong LongAdder)))

(set! *warn-on-reflection* true)

;; What is known of a node that was asked for; when it should have come, in milliseconds by the clock of the server; and
;; when that was noted, in milliseconds of a clock that only goes forward.
(deftype ^:private Expected [facts ^long at ^long noted])

(deftype Mirror
  [known                      ; atom: the state
   ^AtomicLong news           ; how many notifications have come
   ^AtomicLong burst          ; how many since the last look at the counts
   ^AtomicLong at-last-count  ; how many had come at the last status
   ^ConcurrentHashMap due     ; node that is expected -> Expected
   ^Set ending                ; nodes that are being freed
   ^ConcurrentHashMap runs    ; node that this client has paused -> :paused, or :played where it has certainly been calculated
   ^ConcurrentHashMap headed  ; node -> group that it will be in when what was sent is done
   ^AtomicBoolean repairing
   doubts                     ; why it was looked over -> LongAdder, how often
   ^LongAdder repairs         ; how often a tree was taken over
   repair                     ; worker: called with the mirror
   clock])                    ; by which the server does what is to come

(def ^:private burst-limit
  "So many notifications between two looks are a burst; scsynth drops what is beyond
  1,023 in one period."
  500)

(defn mirror
  "A mirror of an empty server.

  `repair!`  called with the mirror, on a thread of its own, when it may be wrong
  `clock`    by which the server does what is to come, by default this machine's"
  ([repair!] (mirror repair! clock/wall))
  ([repair! clock]
   (Mirror. (atom (state/initial)) (AtomicLong.) (AtomicLong.) (AtomicLong. -1)
            (ConcurrentHashMap.) (ConcurrentHashMap/newKeySet) (ConcurrentHashMap.) (ConcurrentHashMap.) (AtomicBoolean.)
            {:contradiction (LongAdder.), :burst (LongAdder.), :count (LongAdder.)} (LongAdder.)
            (worker/worker (fn [^Mirror m]
                             (.set ^AtomicBoolean (.-repairing m) false)
                             (repair! m))
                           (fn [_]))
            clock)))

(defn known
  "The state, a value."
  [^Mirror m]
  @(.-known m))

(defn watch!
  "Calls `f` with the state before and after each change of it, on whatever thread, from now
  on; `k` is for `unwatch!`."
  [^Mirror m k f]
  (add-watch (.-known m) k (fn [_ _ old new] (f old new))))

(defn unwatch!
  "Ends a `watch!`."
  [^Mirror m k]
  (remove-watch (.-known m) k))

(defn news
  "How many notifications have come so far."
  ^long [^Mirror m]
  (.get ^AtomicLong (.-news m)))

(defn tell!
  "Steps the state by an event of the client's own; returns the state."
  [^Mirror m event]
  (swap! (.-known m) state/step event))

(defn- server-milliseconds
  "By the clock of the server; where that is the machine's, by one that only goes forward."
  ^long [^Mirror m]
  (if (clock/virtual? (.-clock m))
    (.millis ^InstantSource (.-clock m))
    (clock/milliseconds)))

(def ^:private grace-ms
  "So long after its time a node may still come."
  200)

(defn expect!
  "Notes that a node was asked for. `sent?` says whether the request goes out now;
  otherwise `sent!` is told when."
  [^Mirror m id facts sent?]
  (.remove ^ConcurrentHashMap (.-runs m) id)
  (.put ^ConcurrentHashMap (.-due m) id (Expected. facts (if sent? (server-milliseconds m) Long/MAX_VALUE) (clock/milliseconds)))
  (when sent? (tell! m [:expect id facts])))

(defn sent!
  "Notes that the requests for expected nodes went out, to be done in `ahead-ms`."
  [^Mirror m ids ahead-ms]
  (let [at                     (+ (server-milliseconds m) (long ahead-ms))
        noted                  (clock/milliseconds)
        ^ConcurrentHashMap due (.-due m)
        news                   (into []
                                     (keep (fn [id]
                                             (when-let [facts (some-> ^Expected (.get due id) .-facts)]
                                               (.put due id (Expected. facts at noted))
                                               [id facts])))
                                     ids)]
    (tell! m [:expect-all news])))

(defn forget!
  "Notes that expected nodes will not come."
  [^Mirror m ids]
  (run! (fn [id] (.remove ^ConcurrentHashMap (.-due m) id)
          (.remove ^ConcurrentHashMap (.-headed m) id)) ids)
  (tell! m [:forget ids]))

(defn ending!
  "Notes that a node is being freed."
  [^Mirror m id]
  (.add ^Set (.-ending m) id))

(defn started?
  "Whether a node plays or is paused, as far as is known."
  [^Mirror m id]
  (contains? #{:playing :paused} (:status (get (:nodes (known m)) id))))

(defn waits?
  "Whether a node is to start at a time to come."
  [^Mirror m id]
  (when-let [^Expected due (.get ^ConcurrentHashMap (.-due m) id)]
    (and (< (server-milliseconds m) (.-at due)) (< (.-at due) Long/MAX_VALUE))))

(defn not-ending!
  "Takes `ending!` back."
  [^Mirror m id]
  (.remove ^Set (.-ending m) id))

(defn there?
  "Whether a node is there or is expected, and not being freed, as far as is known."
  [^Mirror m id]
  (and (or (.containsKey ^ConcurrentHashMap (.-due m) id)
           (contains? (:nodes (known m)) id))
       (not (.contains ^Set (.-ending m) id))))

(defn headed!
  "Notes into which group a node will come by what is being sent."
  [^Mirror m id group]
  (.put ^ConcurrentHashMap (.-headed m) id group))

(defn parent
  "The group that a node is in, or will be, as far as is known; else nil."
  [^Mirror m id]
  (or (.get ^ConcurrentHashMap (.-headed m) id)
      (:parent (get (:nodes (known m)) id))))

(defn pausing!
  "Notes that a node is paused from here. Returns :played where it is known to have been calculated,
  :paused where it was paused from here before and is not, nil else."
  [^Mirror m id]
  (.putIfAbsent ^ConcurrentHashMap (.-runs m) id :paused))

(defn pausing?
  "Whether a node was paused from here and is not known to have been calculated."
  [^Mirror m id]
  (= :paused (.get ^ConcurrentHashMap (.-runs m) id)))

(defn played!
  "Notes that a node has been calculated."
  [^Mirror m id]
  (.put ^ConcurrentHashMap (.-runs m) id :played))

(defn played?
  "Whether a node that was paused is known to have been calculated."
  [^Mirror m id]
  (= :played (.get ^ConcurrentHashMap (.-runs m) id)))

(defn groups-paused?
  "Whether any group is paused, or is to be, as far as is known."
  [^Mirror m]
  (boolean (some (fn [[id {:keys [kind status]}]]
                   (and (= :group kind) (or (= :paused status) (pausing? m id))))
                 (:nodes (known m)))))

(defn unsettled?
  "Whether something is on its way, as far as is known: nodes that were asked for and
  have not come, or are being freed."
  [^Mirror m]
  (or (not (.isEmpty ^Set (.-ending m)))
      (let [now (server-milliseconds m)]
        (boolean (some (fn [^Expected due] (<= (.-at due) now)) (.values ^ConcurrentHashMap (.-due m)))))))

(defn ending?
  "Whether a node is being freed."
  [^Mirror m id]
  (.contains ^Set (.-ending m) id))

(defn due?
  "Whether a node was asked for, and has not come."
  [^Mirror m id]
  (.containsKey ^ConcurrentHashMap (.-due m) id))

(defn- limits
  "What came due and was noted before these milliseconds, by the clock of the server and by
  our own, should be there now. A clock that is moved moves when all that was due is done."
  [^Mirror m]
  (let [limit (- (clock/milliseconds) (long grace-ms))]
    (if (clock/virtual? (.-clock m))
      [(inc (server-milliseconds m)) limit]
      [limit Long/MAX_VALUE])))

(defn- overdue
  "The nodes that should have come by the `limits`, and have not."
  [^Mirror m [at noted]]
  (let [at (long at), noted (long noted)]
    (into [] (keep (fn [[id ^Expected due]] (when (and (< (.-at due) at) (< (.-noted due) noted)) id))) (.-due m))))

(defn replant!
  "Takes over the tree of the root that `read-tree` returns, unless something happens
  meanwhile; returns whether it did."
  [^Mirror m read-tree]
  (let [due  (limits m)
        news (news m)
        tree (read-tree)]
    (locking m
      (when (= news (.get ^AtomicLong (.-news m)))
        (.increment ^LongAdder (.-repairs m))
        (let [late (overdue m due)]
          ;; First the tree: of those in it that nothing was told of, it keeps what they were asked for with.
          (tell! m [:tree tree])
          (forget! m late)
          (let [{:keys [nodes]} (known m)]
            (run! (fn [id] (when (contains? #{:playing :paused} (:status (get nodes id))) (.remove ^ConcurrentHashMap (.-due m) id))) (vec (keys (.-due m))))
            (run! (fn [id] (when-not (contains? nodes id) (.remove ^Set (.-ending m) id))) (vec (.-ending m)))
            (run! (fn [id] (when-not (contains? nodes id) (.remove ^ConcurrentHashMap (.-headed m) id))) (vec (keys (.-headed m))))
            (run! (fn [id] (when-not (there? m id) (.remove ^ConcurrentHashMap (.-runs m) id))) (vec (keys (.-runs m))))))
        true))))

(defn repair!
  "Has the mirror looked over soon, once however often it is asked meanwhile.

  `doubt`  why it may be wrong: :contradiction where a message does not fit what is known, :burst
           where so many came that some may be lost, :count where the server counts others; nil
           where nothing is known yet"
  [^Mirror m doubt]
  (when (.compareAndSet ^AtomicBoolean (.-repairing m) false true)
    (some-> ^LongAdder (get (.-doubts m) doubt) .increment)
    (worker/offer! (.-repair m) m))
  nil)

(defn suspicions
  "How often it was looked over so far, by the reason of `repair!`."
  [^Mirror m]
  (update-vals (.-doubts m) (fn [^LongAdder n] (.sum n))))

(defn repairs
  "How often it has taken over a tree that the server told."
  ^long [^Mirror m]
  (.sum ^LongAdder (.-repairs m)))

(defn- notified! [^Mirror m ^OscMessage message]
  (let [id    (long (.get (.arguments message) 0))
        known (locking m
                (.incrementAndGet ^AtomicLong (.-news m))
                (.remove ^ConcurrentHashMap (.-due m) id)
                (case (.address message)
                  "/n_go"  (.remove ^Set (.-ending m) id)
                  "/n_end" (do (.remove ^Set (.-ending m) id)
                               (.remove ^ConcurrentHashMap (.-runs m) id))
                  "/n_on"  (played! m id)
                  nil)
                (tell! m (link/message message)))]
    (when-let [doubt (cond
                       (:suspect? known)                                              :contradiction
                       (= burst-limit (.incrementAndGet ^AtomicLong (.-burst m))) :burst)]
      (.set ^AtomicLong (.-burst m) 0)
      (repair! m doubt))))

(defn- told-counts
  "What a `/status.reply` tells; nil where it is spoilt."
  [^OscMessage reply]
  (try (message/status (link/message reply))
       (catch clojure.lang.ExceptionInfo _)))

(defn- counted!
  "The server has told its counts. Where they are not ours, and nothing has come
  since it told them last, ours are wrong."
  [^Mirror m ^OscMessage reply]
  (.set ^AtomicLong (.-burst m) 0)
  (let [n       (news m)
        quiet?  (= n (.getAndSet ^AtomicLong (.-at_last_count m) n))
        theirs  (told-counts reply)
        ours    (state/counts (known m))]
    (when (and quiet?
               theirs
               (or (not= ours {:groups (:group-count theirs), :synths (:synth-count theirs)})
                   (seq (overdue m (limits m)))))
      (repair! m :count))))

(defn arrived!
  "Steps the state by what the server says; called on the link's reader thread,
  before anybody else hears of the message."
  [^Mirror m ^OscMessage message]
  (case (.address message)
    ("/n_go" "/n_end" "/n_move" "/n_on" "/n_off") (when (message/begins-with-id? (.arguments message))
                                                    (notified! m message))
    ("/done" "/b_info")                           (tell! m (link/message message))
    "/status.reply"                               (counted! m message)
    nil))

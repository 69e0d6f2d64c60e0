(ns espalier.runtime.rehearsal
  "A rehearsal that runs: sockets, a thread that owns the world, the clock, the trouble. Each
  function that `espalier.rehearsal` has under the same name is documented there."
  (:require
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.rehearsal :as model]
   [espalier.model.rehearsal-end :as end]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-synthdef :as synthdef]
   [espalier.model.rehearsal-trouble :as trouble]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.rehearsal-files :as files]
   [espalier.runtime.rehearsal-socket :as socket])
  (:import
   (espalier.kernel OscBundle OscCodec OscMessage RunningServer ServerProcess$Ask ServerProcess$Exit ServerProcess$Line TimeTag)
   (espalier.runtime.handle Server)
   (java.io Closeable Writer)
   (java.lang.ref SoftReference)
   (java.time Duration Instant InstantSource)
   (java.util.concurrent CompletableFuture ExecutionException LinkedBlockingQueue TimeUnit TimeoutException)))

(set! *warn-on-reflection* true)

(def ^:private kept "How many packets of each direction are remembered." 4096)

(def ^:private kept-lines 500)

(def ^:private stack-bytes
  "What the thread that owns the world may use: groups can be very deep."
  (bit-shift-left 1 26))

(declare describe end-process! output stop! virtual-clock)

(deftype Rehearsal
  [options                       ; complete and checked
   clock                         ; :wall or :virtual
   sockets                       ; atom: what `rehearsal-socket` opened
   world                         ; atom, changed by the thread alone
   ^LinkedBlockingQueue tasks    ; functions of nothing, for the thread
   later                         ; atom: sorted-map from [nanoseconds number] to such functions
   held                          ; atom: direction -> the function that waits for the next packet
   settling                      ; atom: whether what is asynchronous will be done later
   troubles                      ; atom
   counts                        ; atom: direction -> packets so far
   received                      ; atom: vector of entries
   sent                          ; atom: the same
   lines                         ; atom: vector
   on-line                       ; called with each ServerProcess$Line
   ending                        ; atom: the Exit, as soon as it is certain
   ^CompletableFuture exit       ; and when all have been told
   asked]                        ; atom: whether somebody has asked it to end
  Closeable
  (close [this] (stop! this) nil)
  RunningServer
  (ready [_] (CompletableFuture/completedFuture nil))
  (exit [_] (.copy exit))
  (awaitReady [_ _])
  (end [this ask patience _] (end-process! this ask patience))
  (output [this] (output this))
  (isAlive [_] (nil? @ending))
  (pid [_] (throw (UnsupportedOperationException. "A rehearsal is no process, and has no process id.")))
  (clock [this] (if (= :virtual clock) (virtual-clock this) clock/wall))
  (command [_] (options/command-line options :rehearsal))
  Object
  (toString [this] (describe this)))

(defmethod print-method Rehearsal [r ^Writer w] (.write w (str r)))

(defn port "See `espalier.rehearsal/port`." [^Rehearsal r] (:port (.-options r)))

(defn alive? "Whether it runs." [^Rehearsal r] (nil? @(.-ending r)))

(defn describe
  "One line: where it listens, its clock, how it ended."
  [^Rehearsal r]
  (let [{:keys [ip-address protocol]} (.-options r)]
    (str "#<Rehearsal " ip-address ":" (port r) " (" (name protocol) "), " (name (.-clock r)) " clock, "
         (or (some-> @(.-ending r) str) "running") ">")))

;; ---- time

(defn- wall-tag ^long [] (TimeTag/of (Instant/now)))

(defn- now-tag ^long [^Rehearsal r]
  (if (= :virtual (.-clock r))
    (long (:now @(.-world r)))
    (wall-tag)))

(defn now
  "See `espalier.rehearsal/now`."
  ^Instant [^Rehearsal r]
  (TimeTag/toInstant (now-tag r)))

(defn- virtual-clock
  "The clock of a rehearsal whose time is moved."
  ^InstantSource [^Rehearsal r]
  (reify InstantSource (instant [_] (now r))))

(defn- kept-as
  "A packet as it is remembered: a large one only while there is memory."
  [packet size]
  (if (< 1000 (long size)) (SoftReference. packet) packet))

(defn- remember! [log entry]
  (swap! log (fn [entries]
               (let [entries (conj entries entry)]
                 (if (< (* 2 (long kept)) (count entries))
                   (subvec entries (- (count entries) (long kept)))
                   entries)))))

;; ---- what goes out

(defn- print-line! [^Rehearsal r text]
  (let [line (ServerProcess$Line. false text)]
    (swap! (.-lines r) (fn [lines] (let [lines (conj lines line)]
                                     (if (< (* 2 (long kept-lines)) (count lines)) (subvec lines (long kept-lines)) lines))))
    (try ((.-on_line r) line) (catch Throwable _))))

(defn- transmit! [^Rehearsal r to ^bytes bytes]
  (when-let [words (socket/send! @(.-sockets r) to bytes)]
    (print-line! r words)))

(defn- in! [^Rehearsal r ms f]
  (swap! (.-later r) assoc [(+ (System/nanoTime) (long (* 1e6 (double ms)))) (swap! (.-counts r) update :later (fnil inc 0))] f))

(def ^:private longest-hold-ms "How long a packet waits for another to overtake it." 20)

(defn- let-go! [^Rehearsal r direction f]
  (let [[before _] (swap-vals! (.-held r) (fn [held] (if (identical? f (get held direction)) (dissoc held direction) held)))]
    (when (identical? f (get before direction)) (f))))

(defn- pass!
  "Lets a packet go its way, by calling `f` as often and as late as trouble has it."
  [^Rehearsal r direction reliable? f]
  (let [trouble @(.-troubles r)]
    (if (empty? trouble)
      (f)
      (let [n (long (get (swap! (.-counts r) update direction (fnil inc 0)) direction))
            {:keys [copies delay-ms hold?]} (trouble/fate trouble direction n)
            copies (if reliable? 1 copies)
            go     (fn [] (dotimes [_ copies] (f)))
            before (get @(.-held r) direction)]
        (cond
          (zero? (long copies)) nil
          (pos? (double delay-ms)) (in! r delay-ms go)
          (and hold? (not reliable?) (nil? before))
          (do (swap! (.-held r) assoc direction go)
              (in! r longest-hold-ms #(let-go! r direction go)))
          :else (go))
        (when before (let-go! r direction before))))))

(defn- put-out! [^Rehearsal r {:keys [to line] m :message}]
  (if line
    (print-line! r line)
    (when-not (:silent @(.-troubles r))
      (remember! (.-sent r) {:at (Instant/now), :tag (now-tag r), :client (:name to), :packet (kept-as m (count m))})
      (let [bytes (message/encode m)]
        (pass! r :sent (socket/reliable? to) #(transmit! r to bytes))))))

(defn- finish!
  "Ends it, with an exit code as a process has it."
  [^Rehearsal r code]
  (let [exit (ServerProcess$Exit. (int code) (boolean @(.-asked r)))]
    (when (compare-and-set! (.-ending r) nil exit)
      (socket/close! @(.-sockets r))
      ;; Who hears of it may wait for what the thread of the world does: so on a thread of its own.
      (doto (Thread. #(.complete ^CompletableFuture (.-exit r) exit) (str "espalier-rehearsal-exit-" (port r)))
        (.setDaemon true)
        (.start)))))

(defn- fault!
  "A fault of ours: as the real server does with its own, it goes on, with what `mend` makes of
  the world."
  [^Rehearsal r e mend]
  (print-line! r (str "exception in real time: " e))
  (swap! (.-world r) mend)
  nil)

(defn- change-world!
  "Gives the world to `f`, which returns it with what is to be sent and printed."
  [^Rehearsal r f & [mend]]
  (when (alive? r)
    (let [mend    (or mend identity)
          crashed (try
                    (let [[w out] (f @(.-world r))]
                      (reset! (.-world r) w)
                      (run! #(put-out! r %) out)
                      nil)
                    (catch clojure.lang.ExceptionInfo e
                      (if (= :espalier.error/server-crashed (error/code e))
                        e
                        (fault! r e mend)))
                    (catch StackOverflowError e
                      e)
                    (catch Exception e
                      (fault! r e mend)))]
      (cond
        crashed               (do (print-line! r (str "Segmentation fault: " (ex-message crashed)))
                                  (finish! r 139))
        (:quit? @(.-world r)) (finish! r 0)))))

;; ---- what comes in

(defn- take-in! [^Rehearsal r client ^bytes bytes]
  (change-world! r #(model/step % client bytes (now-tag r) files/io)))

(defn- arrived!
  "A packet came, on the thread of its socket."
  [^Rehearsal r client ^bytes bytes]
  (.put ^LinkedBlockingQueue (.-tasks r)
        (fn []
          (remember! (.-received r) {:at (Instant/now), :tag (now-tag r), :client (:name client), :packet (kept-as bytes (alength bytes))})
          (pass! r :received (socket/reliable? client) #(take-in! r client bytes)))))

;; ---- the thread

(defn- nanos-until-tag ^long [^long tag]
  (long (Math/ceil (* (/ (double (- tag (wall-tag))) 4294967296.0) 1e9))))

(defn- patience
  "Nanoseconds until something is due by itself."
  ^long [^Rehearsal r]
  (let [later (first (keys @(.-later r)))
        tag   (when (not= :virtual (.-clock r)) (model/next-time @(.-world r)))]
    (max 0 (long (min 1000000000
                      (if later (- (long (nth later 0)) (System/nanoTime)) 1000000000)
                      (if tag (nanos-until-tag tag) 1000000000))))))

(defn- run-later! [^Rehearsal r]
  (loop []
    (when-let [[[at :as k] f] (first @(.-later r))]
      (when (<= (long at) (System/nanoTime))
        (swap! (.-later r) dissoc k)
        (f)
        (recur)))))

(defn- slow-ms [^Rehearsal r] (double (:slow-done-ms @(.-troubles r) 0)))

(defn- settle-virtual!
  "Where time stands still, what is asynchronous is done as soon as nothing else is to do."
  [^Rehearsal r]
  (when (and (seq (:finishing @(.-world r))) (.isEmpty ^LinkedBlockingQueue (.-tasks r)))
    (if (pos? (double (slow-ms r)))
      (when (compare-and-set! (.-settling r) false true)
        (in! r (slow-ms r) (fn []
                             (reset! (.-settling r) false)
                             (change-world! r #(model/settled % files/io)))))
      (change-world! r #(model/settled % files/io)))))

(defn- turn! [^Rehearsal r]
  (when-let [task (.poll ^LinkedBlockingQueue (.-tasks r) (patience r) TimeUnit/NANOSECONDS)]
    (task))
  (run-later! r)
  (if (= :virtual (.-clock r))
    (settle-virtual! r)
    (when-let [tag (model/next-time @(.-world r))]
      (when (<= (long tag) (wall-tag))
        (change-world! r #(model/advance % (wall-tag) files/io) model/skip)))))

(defn- run-thread! [^Rehearsal r]
  (try
    (while (alive? r) (turn! r))
    (catch Throwable e
      (print-line! r (str "exception in real time: " e))
      (finish! r 134))))

(defn- call!
  "Calls `f` on the thread and returns what it returns."
  [^Rehearsal r f]
  (let [result (CompletableFuture.)]
    (.put ^LinkedBlockingQueue (.-tasks r)
          (fn [] (try (.complete result (f)) (catch Throwable e (.completeExceptionally result e)))))
    (loop []
      (let [answer (try (.get result 100 TimeUnit/MILLISECONDS)
                        (catch TimeoutException _ (if (alive? r) ::wait nil))
                        (catch ExecutionException e (throw (ex-cause e))))]
        (if (= ::wait answer) (recur) answer)))))

;; ---- from outside

(def ^:private own-options "Options of a rehearsal that no other server has." [:clock :on-line])

(defn- booted
  "The world that a rehearsal begins with."
  [{:keys [load-synthdefs] :as opts}]
  (cond-> (model/boot opts (wall-tag))
    load-synthdefs (synthdef/define-files (files/synthdefs-at-boot))))

(defn start!
  "See `espalier.rehearsal/start!`. `:on-line` is called with each line that it prints."
  [{:keys [clock on-line] :as opts}]
  (let [clock   (or clock :wall)
        _       (when-not (#{:wall :virtual} clock)
                  (throw (error/error :invalid-option (str ":clock is :wall or :virtual, not " (pr-str clock) ".") {:option :clock, :value clock})))
        asked   (apply dissoc opts :executable own-options)
        free?   (and (contains? asked :port) (nil? (:port asked)))
        checked (options/check (cond-> asked free? (dissoc :port)))
        opened  (socket/open checked (if free? 0 (:port checked)))
        opts    (assoc checked :port (socket/port opened))
        r       (Rehearsal. opts clock (atom opened) (atom (booted opts))
                            (LinkedBlockingQueue.) (atom (sorted-map)) (atom {}) (atom false) (atom {}) (atom {})
                            (atom []) (atom []) (atom []) (or on-line (fn [_])) (atom nil) (CompletableFuture.) (atom false))]
    (print-line! r (str "SC_AudioDriver: sample rate = " (long (:sample-rate @(.-world r))) ".000000, driver's block size = " (:block-size opts)))
    (socket/listen! opened (fn [client bytes] (arrived! r client bytes)))
    (doto (Thread. nil #(run-thread! r) (str "espalier-rehearsal-" (port r)) (long stack-bytes))
      (.setDaemon true)
      (.start))
    (when-not (neg? (long (:verbosity opts)))
      (print-line! r "SuperCollider 3 server ready."))
    r))

(defn end!
  "Ends it at once with an exit code; harmless where it has ended."
  [^Rehearsal r code asked?]
  (when asked? (reset! (.-asked r) true))
  (finish! r code)
  (.put ^LinkedBlockingQueue (.-tasks r) (fn []))
  nil)

(defn- end-process!
  "As `RunningServer` ends: asked first, then killed."
  [^Rehearsal r ^ServerProcess$Ask ask ^Duration patience]
  (reset! (.-asked r) true)
  (let [^CompletableFuture exit (.-exit r)]
    (when (and ask (alive? r))
      (try (.run ask)
           (.get exit (.toNanos patience) TimeUnit/NANOSECONDS)
           (catch TimeoutException _)
           (catch InterruptedException e (end! r 143 true) (throw e))
           (catch Exception _)))
    (when (alive? r) (end! r 143 true))
    (.join exit)))

(defn stop! "See `espalier.rehearsal/stop!`." [^Rehearsal r] (end! r 0 true))

(defn die! "See `espalier.rehearsal/die!`." [^Rehearsal r] (end! r 137 false))

(defn- running [^Rehearsal r]
  (when-not (alive? r)
    (throw (error/error :server-offline (str "This rehearsal has ended: " @(.-ending r) ". (rehearsal/start! {}) starts another.") {})))
  r)

(defn trouble!
  "See `espalier.rehearsal/trouble!`."
  [^Rehearsal r changes]
  (trouble/check changes)
  (running r)
  (call! r (fn []
             (let [all (if (nil? changes) (reset! (.-troubles r) {}) (swap! (.-troubles r) #(trouble/check (merge % changes))))
                   {:keys [block-size sample-rate]} @(.-world r)
                   blocks (long (/ (* (double (:slow-done-ms all 0)) (double sample-rate)) (* 1000.0 (double block-size))))]
               (swap! (.-world r) assoc
                      :refuse-logins?     (boolean (:refuse-logins all))
                      :notification-limit (:notification-limit all 1023)
                      :reply-limit        (:reply-limit-bytes all 65516)
                      :finishing-delay    blocks)
               all))))

(defn- later
  "The time tag so many milliseconds behind another, by whole nanoseconds: so it is the tag of an Instant
  that is as much later."
  ^long [tag ms]
  (TimeTag/of (.plusNanos (TimeTag/toInstant (long tag)) (Math/round (* 1e6 (double ms))))))

(defn advance!
  "See `espalier.rehearsal/advance!`."
  [^Rehearsal r ms]
  (when-not (= :virtual (.-clock r))
    (throw (error/error :wall-clock "The time of this rehearsal is the wall's. (rehearsal/start! {:clock :virtual}) starts one whose time can be moved." {})))
  (running r)
  (call! r (fn [] (change-world! r (fn [w] (model/advance w (later (:now w) ms) files/io)))))
  r)

(defn- readable [x]
  (cond
    (instance? OscMessage x) (into [(.address ^OscMessage x)] (map (fn [a] (if (instance? java.util.List a) (vec a) a))) (.arguments ^OscMessage x))
    (instance? OscBundle x)  {:at      (when-not (= TimeTag/IMMEDIATE (.timeTag ^OscBundle x)) (TimeTag/toInstant (.timeTag ^OscBundle x)))
                              :packets (mapv readable (.packets ^OscBundle x))}))

(defn- decoded [^bytes bytes]
  (try (readable (.decode (OscCodec. 65536) (aclone bytes) 0 (alength bytes)))
       (catch Exception _ bytes)))

(defn- recent [entries]
  (let [n (count entries)]
    (subvec entries (max 0 (- n (long kept))))))

(defn- entry [{:keys [packet tag] :as e}]
  (-> e
      (assoc :time   (TimeTag/toInstant (long tag))
             :packet (if (instance? SoftReference packet) (.get ^SoftReference packet) packet))
      (dissoc :tag)))

(defn received
  "See `espalier.rehearsal/received`."
  [^Rehearsal r]
  (mapv #(update (entry %) :packet (fn [bytes] (some-> bytes decoded))) (recent @(.-received r))))

(defn sent
  "See `espalier.rehearsal/sent`."
  [^Rehearsal r]
  (mapv entry (recent @(.-sent r))))

(defn output "The last lines that it printed, ServerProcess$Lines." [^Rehearsal r]
  (let [lines @(.-lines r)] (subvec lines (max 0 (- (count lines) (long kept-lines))))))

(defn world "The world as it is now." [^Rehearsal r] @(.-world r))

(defn unknown "See `espalier.rehearsal/unknown`." [^Rehearsal r] (end/unknown @(.-world r)))

(defn of
  "The rehearsal that `x` is or, of a handle, has booted.

  Throws `:espalier.error/no-rehearsal` for anything else."
  ^Rehearsal [x]
  (let [r (if (instance? Server x) (handle/process x) x)]
    (if (instance? Rehearsal r)
      r
      (throw (error/error :no-rehearsal
                          (str "This is no rehearsal, nor a handle that has booted one: " (pr-str x)
                               ". (rehearsal/start! {}) starts one, (sc/boot! s {:executable :rehearsal}) boots one.")
                          {:value x})))))

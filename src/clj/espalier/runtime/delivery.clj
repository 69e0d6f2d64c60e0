(ns espalier.runtime.delivery
  "How requests go to a server: as one bundle, or as parts that take effect together,
  at once or at a time, and what is waited for. What they are to be is worked out by
  `espalier.model.bundle`."
  (:require
   [espalier.model.bundle :as bundle]
   [espalier.model.command :as command]
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.message :as message]
   [espalier.model.runs :as runs]
   [espalier.model.state :as state]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.health :as health]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.pauses :as pauses]
   [espalier.runtime.pending :as pending]
   [espalier.runtime.session :as session])
  (:import
   (java.time Duration Instant)
   (java.util.concurrent CompletableFuture TimeUnit)))

(set! *warn-on-reflection* true)

(defn- confirmable
  "The items with fences around each request that is carried out with the sound, and
  with looks at the nodes where the server tells of no failure: `:items`, `:windows`,
  and by step its `:request`."
  [session items]
  (let [looks?  (not (:tells-failures? session))
        ;; scsynth passes over a node that is not there, but not here.
        nods    (fn [[address :as request]]
                  (when (and (not looks?) (contains? #{"/n_before" "/n_after" "/n_order"} address))
                    (map (fn [id] {:request ["/n_set" id]}) (remove zero? (keys (:needs (failure/nodes-of request)))))))
        look    (fn [ids] (into [] (comp (remove zero?) (map (fn [id] {:request ["/n_query" id]}))) ids))
        fence   (fn [] (let [[k m] (session/fence! session false)] [k {:request m}]))
        fenced  (fn fenced [acc {:keys [request completion] :as item}]
                  (if (bundle/asynchronous? item)
                    (let [inner (reduce fenced (assoc acc :items [], :open nil) completion)]
                      (-> (merge acc (select-keys inner [:windows :steps]))
                          (update :items conj (cond-> item completion (assoc :completion (:items inner))))
                          (assoc :open nil)))
                    (let [i     (count (:steps acc))
                          {:keys [needs makes]} (when looks? (failure/nodes-of request))
                          ;; The fence that opens this step: the last one's end, or a new one.
                          [open open-items] (if (:open acc) [(:open acc) []] (let [[k f] (fence)] [k [f]]))
                          [mid mid-items]   (if looks?
                                              (let [[k f] (fence)]
                                                [k (conj (look (concat (keys needs) makes)) f)])
                                              [nil []])
                          [end f]           (fence)]
                      (-> acc
                          (update :items into (concat open-items mid-items (nods request) [{:request request}] (when looks? (look makes)) [f]))
                          (update :windows merge (cond-> {open [i (if looks? :before :after)], end nil} mid (assoc mid [i :after])))
                          (update :steps conj request)
                          (assoc :open end)))))]
    (reduce fenced {:items [], :windows {}, :steps [], :open nil} items)))

(defn- seen-nodes [seen step]
  (into {} (comp (filter #(and (= step (:step %)) (= "/n_info" (first (:message %)))))
                 (map (fn [{[_ id _ _ _ group] :message}] [(long id) (if (= 1 group) :group :synth)])))
        seen))

(defn- seen-again
  "The error of a request of which nobody knows whether it was carried out, for what was told
  of it may be lost: it is looked at the nodes that it makes and needs."
  [session request timeout-ms known]
  (let [{:keys [needs makes]} (failure/nodes-of request)
        there (update-vals (session/look-at! session (distinct (concat (remove zero? (keys needs)) makes)) timeout-ms)
                           (fn [info] (if (= 1 (nth info 5)) :group :synth)))]
    (failure/inferred request (apply dissoc there makes) there known)))

(defn- freed-by
  "The nodes that requests free."
  [requests]
  (into #{} (mapcat #(when (= "/n_free" (first %)) (rest %))) requests))

(defn- failures
  "The errors of the steps that failed, in their order. Where packets may be lost, a `/fail` may be, or what a look at
  a node has told: a node of which nothing is heard is looked at once more."
  [{:keys [tells-failures? mirror proven] :as session} steps seen timeout-ms]
  (let [known   (remove (:doubtful @proven) (keys (:synthdefs (mirror/known mirror))))
        lossy?  (session/lossy? session)
        freed   (delay (freed-by steps))
        ;; What is told may overtake what was told before: of a node that was there already no start is told, and both
        ;; looks at it are answered.
        taken?  (fn [e]
                  (let [id (:node (ex-data e))]
                    (and (mirror/due? mirror id)
                         (<= 2 (count (filter #(= ["/n_info" id] (take 2 (:message %))) seen))))))
        unheard (fn [request] (some #(and (mirror/due? mirror %) (not (contains? @freed %))) (:makes (failure/nodes-of request))))
        again   (fn [request] (seen-again session request timeout-ms known))
        flags   (into {} (comp (filter runs/run?) (mapcat runs/flags) (map vec)) steps)]
    (into []
          (keep-indexed
            (fn [i request]
              (if tells-failures?
                (or (some (fn [{[address :as fail] :message, step :step}]
                            (when (and (= "/fail" address) (= [i :after] step))
                              (failure/error-of request (failure/words fail) {:reply fail, :known known})))
                          seen)
                    (pauses/in-vain session request flags timeout-ms)
                    (when (and lossy? (unheard request)) (again request)))
                (when-let [e (failure/inferred request (seen-nodes seen [i :before]) (seen-nodes seen [i :after]) known)]
                  (cond
                    (not lossy?)                                            e
                    (not= :espalier.error/duplicate-node (error/code e)) (again request)
                    :else                                                   (or (again request) (when (taken? e) e)))))))
          steps)))

(defn- level-failures
  "The errors of asynchronous requests whose `/sync` is answered and which were not."
  [{:keys [requests]} seen]
  (let [said (map :message seen)]
    (into []
          (keep (fn [request]
                  (when-not (or (= "/sync" (first request))
                                (some #(message/matches? (command/reply-to request) %) said))
                    (if-let [fail (some #(when (and (= "/fail" (first %)) (failure/mine? request %)) %) said)]
                      (failure/error-of request (failure/words fail) {:reply fail})
                      (failure/error-of request "it has gone on without saying that this is done" {:inferred true})))))
          requests)))

(defn- done-all-the-same?
  "Whether an asynchronous request of which the server has not said that it is done was carried out, nil where nobody can tell."
  [session [address id] timeout-ms]
  (case address
    ("/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_free")
    (let [[_ _ frames] (session/question! session ["/b_query" id] timeout-ms)]
      (= (= "/b_free" address) (zero? (long frames))))
    nil))

(defn- not-lost
  "The errors of asynchronous requests, less those that were carried out and whose answer was lost. `all-heard?` is
  false where there was more to wait for."
  [session errors all-heard? timeout-ms]
  (if (and (seq errors) (session/lossy? session))
    (into []
          (keep (fn [e]
                  (let [{:keys [request inferred]} (ex-data e)
                        done? (if inferred (done-all-the-same? session request timeout-ms) false)]
                    (cond (false? done?)            e
                          (and done? all-heard?) nil
                          :else                     (dispatch/no-answer request (command/reply-to request) timeout-ms)))))
          errors)
    errors))

(defn- throw-first [errors]
  (when-let [e (first errors)]
    (throw (if (next errors)
             (error/error (keyword (name (error/code e)))
                          (str (ex-message e) " (and " (dec (count errors)) " more, in :failures)")
                          (assoc (ex-data e) :failures (vec errors)))
             e))))

(defn- send-watched!
  "Sends packets and waits until all fences of the steps and levels are answered, or
  those of a level that has failed, behind which nothing comes."
  [session packets {:keys [windows steps levels]} timeout-ms]
  (let [by-sync   (into {} (map (fn [{:keys [sync] :as level}] [(- -1 (long sync)) level])) levels)
        missing   (atom (into (set (keys windows)) (keys by-sync)))
        requests  (mapcat :requests levels)
        seen      (session/watch! session packets
                                  (merge windows (zipmap (keys by-sync) (repeat nil)))
                                  (fn [fail] (some #(failure/mine? % fail) requests))
                                  (fn [k seen]
                                    (or (empty? (swap! missing disj k))
                                        (some-> (by-sync k) (level-failures seen) seq)))
                                  timeout-ms)
        arrived?  (fn [{:keys [sync]}] (not (contains? @missing (- -1 (long sync)))))]
    (throw-first (into (not-lost session (into [] (mapcat #(level-failures % seen)) (filter arrived? levels)) (empty? @missing) timeout-ms)
                       (failures session steps seen timeout-ms)))))

;; ---- times

(defn- late-by
  "How far an Instant is past by the server's clock, in nanoseconds, or nil."
  [{:keys [clock]} ^Instant at]
  (let [late (.toNanos (Duration/between at (clock/now clock)))]
    (when (pos? late) late)))

(defn schedule!
  "Notes that so many bundles are sent now for a time: they have places on the server until
  then, or are late.

  Throws `:espalier.error/too-many-pending`."
  [{:keys [health] :as session} at n]
  (if-let [late (late-by session at)]
    (health/sent-late! health late)
    (pending/take! session at n)))

(defn check-late
  "Throws `:espalier.error/invalid-option` where `late` is not what `check-time` takes."
  [late]
  (when-not (contains? #{nil :send :refuse} late)
    (throw (error/error :invalid-option (str ":late is :send, which has what comes too late done at once, or :refuse, not " (pr-str late) ".")
                        {:option :late, :value late}))))

(defn check-time
  "Throws, before anything is sent for a time, `:espalier.error/too-late` where that is past and
  `late` is :refuse, `:espalier.error/too-many-pending` where the server has no place for it."
  [session at late]
  (when at
    (if-let [nanos (late-by session at)]
      (when (= :refuse late)
        (let [late-s (/ (Math/round (/ (double nanos) 1e3)) 1e6)]
          (throw (error/error :too-late
                              (str "It is " late-s " s after " at ", and {:late :refuse} sends nothing then. Without it what is late is done at once.")
                              {:late-s late-s, :at at}))))
      (pending/check! session 1))))

(defn- packet-of [requests at]
  (if (and (nil? at) (= 1 (count requests)))
    (first requests)
    {:at at, :packets requests}))

(defn- split-lead
  "How far ahead of now the parts of a moment are sent that must happen together. Where
  time stands still they do."
  ^Duration [{:keys [clock]}]
  (if (clock/virtual? clock) Duration/ZERO (Duration/ofMillis 100)))

(defn- send-parts!
  "Sends requests in several bundles of one time, so that all are carried out in one
  block, and waits until each part has been."
  [{:keys [limit-bytes] :as session} requests checks at timeout-ms wait?]
  (let [parts  (bundle/parts requests (- (long limit-bytes) 64))
        fences (repeatedly (count parts) #(session/fence! session false))
        ready  (mapv (fn [part [_ fence]] (conj part fence)) parts fences)
        at     (or at (.plus (clock/now (:clock session)) (split-lead session)))
        ready  (mapv #(packet-of % at) ready)]
    (schedule! session at (count ready))
    (if wait?
      (send-watched! session ready (update checks :windows merge (zipmap (map first fences) (repeat :same))) timeout-ms)
      (run! #(link/send! (:link session) %) ready))))

(def ^:private most-levels
  "Completions nested deeper are sent one after the other instead."
  50)

(declare send-now!)

(defn- send-staged!
  "Sends items that are too many or too deep for one packet one stage after the other."
  [{:keys [limit-bytes] :as session} items options]
  (let [stages (mapcat (fn [stage]
                         (if (some bundle/asynchronous? stage)
                           (map (fn [part] (mapv (fn [r] {:request r}) part))
                                (bundle/parts (map :request stage) (- (long limit-bytes) 32)))
                           [stage]))
                       (bundle/stages items))]
    ;; Each that is too large is found before anything is sent.
    (run! #(bundle/parts (map :request %) (- (long limit-bytes) 64)) stages)
    (run! #(send-now! session % options) stages)))

(defn- send-chained!
  "Sends items some of which are asynchronous, or are to be confirmed, as one bundle,
  and waits."
  [{:keys [limit-bytes] :as session} items {:keys [confirm timeout-ms] :as options}]
  (let [checks  (if confirm (confirmable session items) {:items items})
        {:keys [packets levels]} (bundle/chain (:items checks) (repeatedly #(second (second (session/fence! session true)))))
        checks  (assoc checks :levels levels)]
    (cond
      (<= (command/packets-bytes packets) (long limit-bytes))
      (send-watched! session [(packet-of packets nil)] checks timeout-ms)

      (not-any? bundle/asynchronous? items)
      (send-parts! session packets checks nil timeout-ms true)

      (next items)
      (send-staged! session items options)

      :else
      (bundle/parts packets (dec (long limit-bytes))))))

(defn- send-now!
  "Sends items at once. Waits for what is asynchronous, for what is to be confirmed,
  and where there are several parts."
  [{:keys [limit-bytes link] :as session} items {:keys [confirm timeout-ms] :as options}]
  (let [async? (some bundle/asynchronous? items)]
    (cond
      (and async? (next items)
           (< (long most-levels) (bounded-count (inc (long most-levels)) (bundle/levels items))))
      (send-staged! session items options)

      (or async? confirm)
      (send-chained! session items options)

      :else
      (let [requests (mapv :request items)]
        (if (<= (command/packets-bytes requests) (long limit-bytes))
          (link/send! link (packet-of requests nil))
          (send-parts! session requests {} nil timeout-ms true))))))

(defn- too-large-together [at limit-bytes]
  (error/error :packet-too-large
               (str "What is to happen at " at " does not fit into the " limit-bytes " bytes that the server takes at once,"
                    " and cannot be split for the asynchronous commands in it. Give them a moment of their own.")
               {:limit-bytes limit-bytes}))

(defn milliseconds-until
  "How long it is until an Instant by the server's clock, 0 where it is past."
  ^long [{:keys [clock]} ^Instant at]
  (max 0 (.toMillis (Duration/between (clock/now clock) at))))

(defn- send-at!
  "Sends items for a time to come: ahead what makes things that are not there yet."
  [{:keys [limit-bytes link] :as session} items ^Instant at {:keys [confirm timeout-ms] :as options}]
  (let [[ahead later] (bundle/ahead items)]
    (when (seq ahead)
      (send-now! session (bundle/merged ahead) options))
    (when (seq later)
      (let [later   (bundle/merged later)
            checks  (if confirm (confirmable session later) {:items later})
            {:keys [packets]} (bundle/chain (:items checks) nil)
            wait-ms (when confirm (+ (milliseconds-until session at) (long timeout-ms)))]
        (cond
          (< (command/packets-bytes packets) (- (long limit-bytes) 16))
          (do (schedule! session at 1)
              (if confirm
                (send-watched! session [{:at at, :packets packets}] checks wait-ms)
                (link/send! link {:at at, :packets packets})))

          (some bundle/asynchronous? later)
          (throw (too-large-together at limit-bytes))
          :else (send-parts! session packets checks at wait-ms confirm))))))

(defn- made-nodes
  "The ids of the nodes that items make."
  [items]
  (into []
        (mapcat (fn [{[address :as request] :request, completion :completion}]
                  (case address
                    ("/s_new" "/s_newargs") [(nth request 2)]
                    ("/g_new" "/p_new")     (take-nth 3 (rest request))
                    (when completion (made-nodes completion)))))
        items))

(defn- check-node-count
  "Throws where more nodes are to be made than the server can hold."
  [session made items confirm timeout-ms]
  (let [made (count made)
        {:keys [tells-failures? maximum-node-count]} session]
    (when (pos? made)
      ;; supernova minds no limit, and dies where its memory ends.
      (let [there (if (and confirm (not tells-failures?))
                    (let [{:keys [synth-count group-count]} (message/status (session/question! session ["/status"] timeout-ms))]
                      (+ (long synth-count) (long group-count)))
                    1)]
        (when (< (long maximum-node-count) (+ (long there) (long made)))
          (throw (failure/error-of (:request (first items)) "too many nodes"
                                   {:nodes made, :nodes-there there, :maximum-node-count maximum-node-count})))))))

;; supernova 3.13 has no more memory for what it tells of nodes than some 2,500 starts and ends in a burst need, and
;; crashes beyond. Freed one by one the bursts are slower, and 4,000 in one block go well.

(def ^:private many-nodes 200)
(def ^:private most-news-at-once 4000)

(def ^:private frees-groups #{"/n_free" "/g_freeAll" "/g_deepFree"})

(defn- made-below
  "By group, the nodes that items make in it, as far as that can be told."
  [items known]
  (reduce (fn [{:keys [parents] :as acc} [id action target]]
            (let [parent (if (< (long action) 2) target (or (get parents target) (:parent (get (:nodes known) target))))]
              (-> acc (assoc-in [:parents id] parent) (update-in [:children parent] (fnil conj []) id))))
          {:parents {}, :children {}}
          (mapcat (fn [{[address :as request] :request}]
                    (case address
                      "/s_new"            [(subvec request 2 5)]
                      ("/g_new" "/p_new") (partition 3 (rest request))
                      nil))
                  items)))

(defn- freed-one-by-one
  "The items, with what is in a group freed node by node before the group is, where
  there is much of it."
  [{:keys [mirror]} items]
  (let [known    (mirror/known mirror)
        children (delay (:children (made-below items known)))]
    (into []
          (mapcat (fn [{[address & ids] :request :as item}]
                    (if (contains? frees-groups address)
                      (let [below (mapcat #(state/below known % @children) ids)
                            below (if (= "/g_deepFree" address) (filter #(= :synth (:kind (get (:nodes known) %))) below) below)]
                        (if (< (long many-nodes) (bounded-count 1000 below))
                          (conj (mapv (fn [id] {:request ["/n_free" id]}) below) item)
                          [item]))
                      [item])))
          items)))

(defn careful?
  "Whether a request must not go as it is to this server."
  [{:keys [tells-failures?]} request]
  (if tells-failures?
    (runs/run? request)
    (contains? frees-groups (nth request 0))))

(defn- ready
  "Items as they are sent to this server, and what is to be known of them."
  [session items]
  (let [made   (made-nodes items)
        alone? (nil? (next items))
        items  (if (and (not (:tells-failures? session)) (some #(careful? session (:request %)) items))
                 (freed-one-by-one session items)
                 items)
        news   (if (:tells-failures? session) 0 (+ (count made) (count (filter #(= "/n_free" (first (:request %))) items))))]
    {:items items, :made made, :alone? alone?, :news news, :often? (< (long most-news-at-once) (long news))}))

(defn- check-sizes
  "Throws where one request fits into no packet, or what is to come together not into
  one that it must."
  [{:keys [limit-bytes]} items at]
  (let [room (- (long limit-bytes) 64)]
    (bundle/parts (map :request items) room)
    (when at
      (let [[_ later] (bundle/ahead items)]
        (when (some bundle/asynchronous? later)
          (let [{:keys [packets]} (bundle/chain (bundle/merged later) nil)]
            (when (< room (command/packets-bytes packets))
              (throw (too-large-together at limit-bytes)))))))))

(defn checked
  "Items made ready, after all has been looked at that can be known to be wrong before
  anything is sent."
  [session items {:keys [at late confirm] :as options}]
  (check-time session at late)
  (let [{:keys [items made alone? news] :as ready} (ready session items)
        ;; To confirm a request takes up to five answers.
        news (if (and confirm (not (:tells-failures? session))) (+ (long news) (* 5 (count items))) news)]
    (when (and (< (long most-news-at-once) (long news)) (not alone?))
      (throw (error/error :too-much-at-once
                          (str "Of this supernova would have to tell " news " things in one block, and it does not survive more than " most-news-at-once
                               ". Do it in several moments.")
                          {:news news, :most most-news-at-once})))
    (check-node-count session made items false 0)
    (check-sizes session items at)
    (assoc ready :items (pauses/safe session items options))))

(defn send-ready!
  "Sends items that were made ready on a session.

  `at`          an Instant, or nil for now
  `confirm`     whether to wait for everything, and to throw what the server refuses
  `timeout-ms`  how long to wait; nil is the session's own"
  [session {:keys [items made often?]} {:keys [at confirm timeout-ms]}]
  (let [{:keys [timeout-ms] :as session} (update session :timeout-ms #(or timeout-ms %))
        options {:confirm confirm, :timeout-ms timeout-ms}]
    (when confirm (check-node-count session made items confirm timeout-ms))
    (mirror/sent! (:mirror session) made (if at (milliseconds-until session at) 0))
    (cond
      ;; A pause of what is paused.
      (empty? items) nil
      at     (send-at! session items at options)
      often? (run! #(send-parts! session (mapv :request %) {} nil timeout-ms true) (partition-all 1000 items))
      :else  (send-now! session (bundle/merged items) options))))

;; ---- plans

(defn- plan-packets
  "Requests as one bundle, or as parts of one time: `:packets`, `:windows` for a watch, and
  `:end`, the key of the fence behind all."
  [{:keys [limit-bytes] :as session} requests at]
  (let [[open opening] (session/fence! session false)
        ;; Of nothing there is the end to wait for.
        parts  (or (not-empty (bundle/parts requests (- (long limit-bytes) 256))) [[]])
        fences (vec (repeatedly (count parts) #(session/fence! session false)))
        at     (or at (when (next parts) (.plus (clock/now (:clock session)) (split-lead session))))
        end    (first (peek fences))]
    {:packets (into [] (map-indexed (fn [i part]
                                      {:at at, :packets (cond-> (conj part (second (nth fences i)))
                                                          (zero? (long i)) (->> (into [opening])))}))
                    parts)
     :windows (-> (zipmap (map first fences) (repeat :same)) (assoc open :plan, end nil))
     :at      at
     :end     end}))

(defn send-plan!
  "Sends items that were made ready as one bundle, or as parts of one time, and returns
  `:failures`, the errors of what the server has refused, with `:bundle-count` and
  `:byte-count`.

  `at`          an Instant, or nil for now
  `wait?`       whether to wait until all is done; without it `:failures` are nil
  `timeout-ms`  how long to wait, from that time on
  `done!`       called when all is done, on the thread that reads"
  [{:keys [dispatcher link mirror] :as session} {:keys [items made]} {:keys [at wait? timeout-ms done!]}]
  (let [requests (mapv :request items)
        {:keys [packets windows end at]} (plan-packets session requests at)
        wait-ms   (+ (long timeout-ms) (if at (milliseconds-until session at) 0))
        finished? (fn [k _] (when (= end k) (done!) true))
        _         (when at (schedule! session at (count packets)))
        sent      {:bundle-count (count packets), :byte-count (reduce + (map #(command/packets-bytes (:packets %)) packets))}]
    (when (seq made)
      (mirror/sent! mirror made (if at (milliseconds-until session at) 0)))
    (if wait?
      (let [known (keys (:synthdefs (mirror/known mirror)))]
        (assoc sent :failures
               (into []
                     (keep (fn [{[address :as fail] :message, step :step}]
                             (when (and (= "/fail" address) (= :plan step))
                               (failure/error-of (or (some #(when (failure/mine? % fail) %) requests) [(second fail)])
                                                 (failure/words fail) {:reply fail, :known known}))))
                     (session/watch! session packets windows (constantly false) finished? wait-ms))))
      (let [watch (dispatch/watch! dispatcher windows (constantly false) finished?)]
        (try (run! #(link/send! link %) packets)
             (catch Throwable e
               (dispatch/unwatch! dispatcher watch)
               (throw e)))
        (.execute (CompletableFuture/delayedExecutor wait-ms TimeUnit/MILLISECONDS) #(dispatch/unwatch! dispatcher watch))
        sent))))

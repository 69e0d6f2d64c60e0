(ns espalier.runtime.tree-query
  "Node trees of any size, asked of the server: at once where they fit into one reply,
  otherwise in as few bundles as its replies may be under way, by the plan of
  `espalier.model.tree-plan`."
  (:require
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.message :as message]
   [espalier.model.tree :as tree]
   [espalier.model.tree-plan :as plan]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.session :as session])
  (:import
   (espalier.kernel Link OscMessage)
   (java.util HashMap)
   (java.util.concurrent ConcurrentHashMap)
   (java.util.concurrent.atomic AtomicReference)))

(set! *warn-on-reflection* true)

(defn- hints
  "What the client knows that helps to read the tree below group `id`. It takes as long as a third of
  the reading of a large tree, so it is kept until another tree is asked for or a node has
  changed."
  [{:keys [engine mirror ^AtomicReference tree-hints]} id]
  (let [{:keys [nodes synthdefs played] :as known} (mirror/known mirror)
        kept (.get tree-hints)]
    (if (and (= id (:top kept)) (identical? nodes (:nodes (:known kept))) (identical? synthdefs (:synthdefs (:known kept))))
      kept
      (let [hints {:top id, :known known, :sizes (plan/sizes known id), :own (plan/own-knowledge nodes)
                   :tree-controls? (or (engine/trait engine :tells-last-array?) (not-any? #(plan/ends-in-array? (get synthdefs %)) played))}]
        (.set tree-hints hints)
        hints))))

(defn- finisher
  "A function that adds to a node of a tree what only the client knows of it."
  [own]
  (if (empty? own)
    identity
    (fn [node]
      (if-some [more (get own (get node :id))]
        (conj node (if (= :synth (:kind node)) (dissoc more :parallel) more))
        node))))

;; ---- one bundle of questions

(def ^:private overhead-bytes
  "What a reply takes in a receive buffer beside its own bytes."
  900)

(def ^:private question-bytes
  "What a question takes in a bundle, at the most."
  32)

(def ^:private fences-bytes 400)

(defn- window-bytes
  "How many bytes of replies may be under way: they must fit into the receive buffer, and
  until they are sent into the memory of the server."
  [{:keys [^Link link memory-bytes]}]
  (max 65536 (min (quot (* 3 (.receiveBufferBytes link)) 4)
                  (quot (long memory-bytes) 8))))

(defn- first-bundle
  "Those of the wants that one bundle can ask, at least one."
  [{:keys [limit-bytes] :as session} max-infos wants]
  (let [questions (quot (- (long limit-bytes) (long fences-bytes)) (long question-bytes))]
    (loop [taken [], [{:keys [what] :as want} & more] wants, bytes (long (window-bytes session)), infos (long max-infos)]
      (let [left (when want (- bytes (long (:bytes want)) (long overhead-bytes)))
            ;; Each such answer takes a place in a queue of the server.
            info (if (or (= :info what) (= :values what)) 1 0)]
        (if (and want
                 (or (empty? taken)
                     (and (<= 0 (long left)) (<= info infos) (< (count taken) questions))))
          (recur (conj taken want) more (long left) (- infos info))
          taken)))))

(defn- question [{:keys [what id slots]} flag]
  (case what
    :tree      ["/g_queryTree" id flag]
    :structure ["/g_queryTree" id 0]
    :info      ["/n_query" id]
    :values    ["/s_getn" id 0 slots]))

(defn- digest
  "What a message tells: `{:key want-key, :answer …}`, the key as `espalier.model.tree-plan/learn`
  wants it, or, of a notification, `{:news [node group]}`."
  [^OscMessage m flag finish]
  (case (.address m)
    "/g_queryTree.reply" (let [reply (link/message-array m)
                               tree? (= flag (aget reply 1))]
                           {:key    [(if tree? :tree :structure) (long (aget reply 2))]
                            :answer (tree/parse reply (if tree? finish identity))})
    "/n_setn"            {:key    [:values (long (.get (.arguments m) 0))]
                          :answer (mapv message/number (.floats m 3))}
    "/n_info"            (let [info (link/message m)] {:key [:info (long (nth info 1))], :answer info})
    {:news [(long (.get (.arguments m) 0)) (long (.get (.arguments m) 1))]}))

(def ^:private replies #{"/g_queryTree.reply" "/n_setn"})
(def ^:private news #{"/n_info" "/n_go" "/n_end" "/n_move"})

(defn- ask!
  "Sends the questions of one bundle and takes in what comes until all is answered. Returns
  `{:answers map, :news [[node parent] …], :finished? bool}`.

  `settle?`  whether to wait for what was notified before, too"
  [{:keys [dispatcher link control-buses] :as session} collector wants flag settle? deadline]
  (let [single?       (< (long (or control-buses 1)) 2)
        [open opens]  (when-not single? (session/fence! session false))
        [close closes] (session/fence! session single?)
        asked-infos   (into #{} (comp (filter #(= :info (:what %))) (map :id)) wants)
        infos         (count asked-infos)
        [end ends]    (when (and (not single?) (or settle? (pos? infos))) (session/fence! session true))
        answers       (HashMap.)]
    (dispatch/fences! dispatcher collector (cond-> {close false} open (assoc open true) end (assoc end false)))
    (link/send! link {:packets (-> (if open [opens] [])
                                   (conj ["/error" -1])
                                   (into (map #(question % flag)) wants)
                                   (conj ["/error" -2] closes)
                                   (cond-> end (conj ends)))})
    (loop [told [], infos infos, closed? false]
      (let [left (- (long deadline) (clock/milliseconds))
            m    (when (pos? left) (dispatch/collected! collector left))
            done (fn [finished?] {:answers (into {} answers), :news told, :finished? finished?})]
        (cond
          (nil? m)                       (done false)
          (= end m)                      (done true)
          (= close m)                    (if (or (nil? end) (and (zero? infos) (not settle?)))
                                           (done true)
                                           (recur told infos true))
          (number? m)                    (recur told infos closed?)
          (:news m)                      (recur (conj told (:news m)) infos closed?)
          :else
          (let [{k :key, :keys [answer]} m
                first? (nil? (.put answers k answer))
                infos  (if (and first? (= :info (first k)) (contains? asked-infos (second k))) (dec infos) infos)]
            (if (and closed? (zero? infos) (not settle?))
              (done true)
              (recur told infos closed?))))))))

;; ---- bundle after bundle

(defn- read-parts
  "Reads a tree that does not fit into one reply; returns it."
  [{:keys [dispatcher] :as session} reading finish flag deadline request]
  (let [collector (dispatch/collector! dispatcher replies news #(digest % flag finish))]
    (try
      (loop [reading reading, round 0, journal [], rounds []]
        (let [wants     (plan/wants reading)
              conflicts (when (empty? wants) (plan/conflicts reading journal rounds))
              over?     (<= (long deadline) (clock/milliseconds))
              give      (fn [conflicts] (plan/assembled reading finish conflicts))]
          (cond
            (:no-such-group reading)                      (throw (failure/unanswered request))
            (and (empty? wants) (empty? conflicts))       (give nil)
            (and over? (empty? (:parts reading)))         (throw (dispatch/no-answer request ["/g_queryTree.reply"] (:timeout-ms session)))
            over?                                         (give (or conflicts (plan/conflicts reading journal rounds)))
            (empty? wants)                                (recur (plan/reread reading conflicts) round journal rounds)
            :else
            (let [asked (first-bundle session (:max-infos reading) wants)
                  {:keys [answers finished?] told :news} (ask! session collector asked flag
                                                               (or (pos? round) (< (count asked) (count wants)))
                                                               deadline)
                  all   (into journal told)]
              (recur (plan/learn reading round (if finished? asked (filterv #(contains? answers [(:what %) (:id %)]) asked)) answers)
                     (inc round)
                     all
                     (conj rounds {:sent (count journal), :done (count all)}))))))
      (finally (dispatch/uncollect! dispatcher collector)))))

(defn- reading-of [{:keys [engine protocol]} hints controls?]
  (plan/reading (merge hints
                       {:controls?   controls?
                        :limit-bytes (get (engine/trait engine :max-reply-bytes) protocol)
                        :max-depth   (engine/trait engine :max-reply-depth)
                        :max-infos   (engine/trait engine :max-infos)
                        :root-told?  (engine/trait engine :tells-root?)})))

(defn- in-one-reply
  "The tree in one reply, or nil where the server cannot send it."
  [session request finish timeout-ms]
  (try
    (assoc (tree/parse (session/question! session request timeout-ms) finish) :complete? true)
    (catch clojure.lang.ExceptionInfo e
      (when-not (contains? #{:espalier.error/reply-too-large :espalier.error/out-of-memory} (error/code e))
        (throw e)))))

(defn read-tree
  "The node tree below group `id`, as `espalier.model.tree/parse` has it, of any size, with what
  only the client knows of its nodes; `espalier.core/query-tree` tells of its keys.

  `:controls?`   whether controls are asked for
  `:timeout-ms`  how long to read
  `:at-once?`    whether one reply is asked for even where the client thinks that the tree is
                 too large for one: it may be wrong

  Throws `:espalier.error/no-such-node`, and `:espalier.error/no-answer` where nothing of it came
  in time."
  [session id {:keys [controls? timeout-ms at-once?]}]
  (let [id       (long id)
        deadline (+ (clock/milliseconds) (long timeout-ms))
        flag     (if controls? 1 0)
        request  ["/g_queryTree" id flag]
        hints    (hints session id)
        finish   (finisher (:own hints))
        reading  (reading-of session hints controls?)
        whole?   (or (plan/fits? reading id)
                     (and at-once? (plan/survived? reading id)))]
    (or (when whole? (in-one-reply session request finish timeout-ms))
        (read-parts (assoc session :timeout-ms timeout-ms)
                    (if whole? (plan/too-large reading id) reading)
                    finish flag deadline request))))

(defn- structure
  "The whole tree, without controls, that was so at one moment and of which no group is missing."
  [{:keys [timeout-ms] :as session}]
  (let [{:keys [missing changed] :as tree} (read-tree session 0 {:controls? false, :timeout-ms timeout-ms, :at-once? true})]
    (when (or (seq changed) (some (fn [[_ lacking]] (contains? lacking :children)) missing))
      (throw (error/error :no-answer "The tree of the server changes faster than it can be read." {})))
    tree))

(defn mend!
  "Makes a mirror right: reads the tree until nothing happens meanwhile, ten times at
  the most; then the server's next counts bring it here again. Returns whether it is right."
  [session mirror]
  (try
    (loop [tries 10]
      (cond
        (mirror/replant! mirror #(structure session))
        (do (run! (fn [id] (when-not (mirror/there? mirror id) (.remove ^ConcurrentHashMap (:node-births session) id)))
                  (vec (keys (:node-births session))))
            true)

        (< 1 tries) (recur (dec tries))
        :else       false))
    ;; The server is gone, or too busy to say; the next look at its counts asks again.
    (catch clojure.lang.ExceptionInfo _ false)))

(ns espalier.runtime.session
  "One login on one server, from the first packet to the last: the link, who the
  server says that we are, and the ids that are ours for it."
  (:require
   [espalier.model.bundle :as bundle]
   [espalier.model.command :as command]
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.model.register :as register]
   [espalier.model.state :as state]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.health :as health]
   [espalier.runtime.ledger :as ledger]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.pace :as pace]
   [espalier.runtime.pending :as pending]
   [espalier.runtime.port :as port]
   [espalier.runtime.worker :as worker])
  (:import
   (espalier.kernel BlockIds Link NodeIds OscMessage)
   (java.io IOException)
   (java.time Instant)
   (java.util.concurrent ConcurrentHashMap CountDownLatch TimeUnit)
   (java.util.concurrent.atomic AtomicInteger AtomicLong AtomicReference)
   (java.util.function BooleanSupplier)))

(set! *warn-on-reflection* true)

(defn- place [{:keys [protocol ip-address port]}]
  (str ip-address ":" port " (" (name protocol) ")"))

(defn- target
  "The address to send to: a server that is bound to every address is reached at
  the loopback."
  [{:keys [ip-address] :as options}]
  (cond-> options
    (= "0.0.0.0" ip-address) (assoc :ip-address "127.0.0.1")
    (= "::" ip-address)      (assoc :ip-address "::1")))

(defn- nobody-listens [options cause]
  (error/error :nobody-listens
               (str "Nobody listens at " (place options) ". (sc/boot! s) starts a server there, (sc/connect! s {:port …}) looks elsewhere.")
               (select-keys options [:protocol :ip-address :port])
               cause))

(defn- send-awaited!
  "Registers a waiter by calling `expect` and sends what is to be answered: in one
  order, for of two equal questions the first reply is that of the first."
  [{:keys [dispatcher link]} expect packet]
  (locking dispatcher
    (let [waiter (expect)]
      (try (link/send! link packet)
           (catch Throwable e
             (dispatch/forget! dispatcher waiter)
             (throw e)))
      waiter)))

(defn- ask!
  "Sends a question without a fence and returns the waiter for its reply, which
  begins with `reply`."
  [{:keys [dispatcher] :as session} message reply]
  (send-awaited! session #(dispatch/expect! dispatcher message reply) message))

(defn- answer
  "Waits for a reply, or the `/fail`, as a vector; nil where the server had nothing to
  say."
  [{:keys [dispatcher ^Link link]} waiter timeout-ms]
  (.assist link (reify BooleanSupplier (getAsBoolean [_] (dispatch/answered? waiter))))
  (dispatch/await! dispatcher waiter timeout-ms))

(defn fence!
  "A fence for this server: see `dispatch/new-fence!`."
  [{:keys [dispatcher control-buses]} asynchronous?]
  (dispatch/new-fence! dispatcher (or control-buses 1) asynchronous?))

(defn- ask-fenced!
  "Sends a question with a fence behind it and returns the waiter for its reply."
  [{:keys [dispatcher] :as session} message reply asynchronous? patient?]
  (let [[k fence] (fence! session asynchronous?)]
    (send-awaited! session #(dispatch/expect! dispatcher message reply k patient?) {:packets [message fence]})))

(defn- can-be-fenced? [{:keys [command own] :as entry}]
  (and entry (not own) (not (contains? #{:sync :plugin :u-cmd} command))))

(defn- ask-synced!
  "Sends messages with a `/sync` behind them, and returns the waiter for its answer. It is one
  packet: where that is lost, nothing is answered."
  [{:keys [dispatcher] :as session} messages]
  (let [[_ [_ n :as sync]] (dispatch/new-fence! dispatcher 1 true)]
    (send-awaited! session
                   #(dispatch/expect! dispatcher sync ["/synced" n])
                   (if (seq messages) {:packets (conj (vec messages) sync)} sync))))

(defn- send-synced!
  "Sends messages and returns when they have taken effect."
  [session messages timeout-ms]
  (answer session (ask-synced! session messages) timeout-ms)
  nil)

(defn sync!
  "Returns when everything that was sent before has taken effect: the server has
  answered a `/sync`."
  [session timeout-ms]
  (send-synced! session [] timeout-ms))

(defn watch!
  "Sends packets, with fences among their messages, and returns what is seen between
  them: see `dispatch/watch!`."
  [{:keys [dispatcher ^Link link]} packets windows claims? finished? timeout-ms]
  (let [watch (dispatch/watch! dispatcher windows claims? finished?)]
    (try (run! #(link/send! link %) packets)
         (catch Throwable e
           (dispatch/unwatch! dispatcher watch)
           (throw e)))
    (.assist link (reify BooleanSupplier (getAsBoolean [_] (dispatch/watch-ended? watch))))
    (dispatch/watched! dispatcher watch (first packets) timeout-ms)))

(defn lossy?
  "Whether packets of this session may be lost on their way, or overtake each other."
  [{:keys [protocol]}]
  (= :udp protocol))

(def ^:private most-asked
  "So often a question is asked whose answer has not come, though what was asked behind it is
  answered: it may have been lost." 5)

(defn- look-once!
  [session ids timeout-ms]
  (let [[to close] (fence! session true)]
    (into {}
          (map (fn [{[_ id :as info] :message}] [(long id) info]))
          (filter #(= "/n_info" (first (:message %)))
                  (watch! session
                          [{:packets (concat [["/error" -1]] (map (fn [id] ["/n_query" id]) ids) [["/error" -2] close])}]
                          {to nil}
                          (constantly false)
                          (fn [k _] (= to k))
                          timeout-ms)))))

(defn look-at!
  "What the server says of these nodes: a map from the ids of those that are there to
  their `/n_info`. The server prints nothing for the others."
  [session ids timeout-ms]
  (into {}
        (mapcat (fn [ids]
                  (loop [there {}, asked 1]
                    (let [there (into there (look-once! session (remove there ids) timeout-ms))]
                      (if (and (lossy? session) (< asked (long most-asked)) (some (complement there) ids))
                        (recur there (inc asked))
                        there)))))
        (partition-all 200 ids)))

(defn- silent
  "The error of a question to which the server has said nothing. supernova says as
  little when it has no memory for an answer as when there is nothing to tell; scsynth
  says why it does not answer, unless that is lost."
  [{:keys [tells-failures?] :as session} [_ id :as message] timeout-ms]
  (cond
    (and tells-failures? (lossy? session) (:reply (command/of message)) (not (:async? (command/of message))))
    (dispatch/no-answer message (command/reply-to message) timeout-ms)

    (and (= :g-query-tree (:command (command/of message)))
         (or (= 0 id) (seq (look-at! session [id] timeout-ms))))
    (failure/error-of message "buffer overflow" {:inferred true})

    :else (failure/unanswered message)))

(defn- ask-again!
  "What a server says to a question: asks it until there is an answer, or that is not to be expected."
  [session message reply fenced async? patient? timeout-ms]
  (let [until (+ (clock/milliseconds) (long timeout-ms))]
    (loop [asked 1]
      (let [waiter (if fenced
                     (ask-fenced! session message reply async? patient?)
                     (ask! session message reply))
            said   (try (answer session waiter (max 1 (- until (clock/milliseconds))))
                        (catch clojure.lang.ExceptionInfo e
                          ;; Of all the time, not of what was left.
                          (throw (if (= :espalier.error/no-answer (error/code e)) (dispatch/no-answer message reply timeout-ms) e))))]
        (if (and (nil? said) (lossy? session) (not async?) (< asked (long most-asked)))
          (recur (inc asked))
          said)))))

(defn request!
  "Sends `message` and waits for the reply that begins with `reply`; returns it as
  a vector.

  Throws the named error of its `/fail`, or of an answer that the server does not
  give: `:espalier.error/no-such-node`, `:espalier.error/index-out-of-range`,
  `:espalier.error/command-failed` and their like; `:espalier.error/no-answer` after
  `timeout-ms`, what `send!` throws, and what ended the session where it ends
  meanwhile."
  [{:keys [engine] :as session} message reply timeout-ms]
  (let [{:keys [command async?] usual :reply :as entry} (command/of message)
        ;; scsynth tells of nodes, and of its status, by another way than it answers.
        patient? (or (not= (first reply) (first usual)) (= :status command)
                     (and (= :n-query command) (not= :supernova engine)))
        said     (ask-again! session message reply (can-be-fenced? entry) async? patient? timeout-ms)]
    (cond
      (nil? said) (throw (silent session message timeout-ms))
      (and (= "/fail" (first said)) (not= "/fail" (first reply)))
      (throw (failure/error-of message (failure/words said) {:reply said}))
      :else said)))

(defn ask-later!
  "Sends a request that has a reply and returns the waiter for `dispatch/await-floats!`."
  [session request]
  (ask-fenced! session request (command/reply-to request) false false))

(defn question!
  "Asks a request that has a reply, and returns that reply. Throws as `request!`."
  [session request timeout-ms]
  (request! session request (command/reply-to request) timeout-ms))

(defn- look!
  "The reply, or the `/fail`, to a question that a server may leave unanswered; nil
  where none has come by the time that a `/sync` after it is answered."
  [{:keys [dispatcher] :as session} message reply timeout-ms]
  (let [waiter (ask! session message reply)]
    (try
      (sync! session timeout-ms)
      (when (dispatch/answered? waiter)
        (answer session waiter timeout-ms))
      (finally (dispatch/forget! dispatcher waiter)))))

;; ---- who we are

(defn- no-answer
  "Nobody has answered the first question; `e` is how that showed."
  [{:keys [protocol timeout-ms] :as options} e]
  (error/error :no-answer
               (str "No answer from " (place options) " within " timeout-ms " ms: the server there is busy or stopped, or it is none."
                    (when (= :tcp protocol)
                      " By TCP, scsynth accepts further clients than its :maximum-logins and answers them only when one leaves."))
               (ex-data e)
               e))

(defn- ask-version! [session]
  (ask! session ["/version"] ["/version.reply"]))

(defn- version
  "Engine and version, or `fallback` as the engine where the server does not know
  the command."
  [session waiter {:keys [timeout-ms] :as options} fallback]
  (try
    (let [reply (answer session waiter timeout-ms)]
      (if (= "/fail" (first reply))
        {:engine fallback, :version nil}
        (message/version reply)))
    (catch clojure.lang.ExceptionInfo e
      (throw (if (= :espalier.error/no-answer (error/code e)) (no-answer options e) e)))))

(defn- too-many-clients
  "The server, or what we know of it, has no place for us; `data` says more."
  [options words & [data]]
  (error/error :too-many-clients
               (str "The server at " (place options) " takes no more clients: " words
                    ". A client that leaves by (sc/disconnect! s) makes room; the server's owner boots it for more by (sc/quit! s),"
                    " then (sc/boot! s {:maximum-logins 4}).")
               (assoc data :words words)))

(defn- already-registered [options]
  (error/error :already-registered
               (str "The server at " (place options) " takes this client for one that is logged in already. "
                    "By TCP, scsynth tells only one client apart: disconnect the other, or connect by UDP.")
               (select-keys options [:protocol :ip-address :port])))

(defn- ask-login!
  "`wish` is the client id that we had before, or nil."
  [session wish]
  ;; With a number: the answer to a logout that our port's owner before us did not wait for has none.
  (ask! session (cond-> ["/notify" 1] wish (conj wish)) ["/done" "/notify" nil]))

(defn- login
  "`{:client-id …, :maximum-logins …}` as the server has it."
  [session waiter {:keys [protocol timeout-ms] :as options} wish]
  (let [{:keys [already refused] :as granted} (message/login (answer session waiter timeout-ms))]
    (cond
      refused           (throw (too-many-clients options refused {:refused-by-server true}))
      (not already)     granted
      (= :tcp protocol) (throw (already-registered options))
      ;; A dead client had our port: what it left is ended, then we are new.
      :else (do (request! session ["/notify" 0] ["/done" "/notify"] timeout-ms)
                (message/login (answer session (ask-login! session wish) timeout-ms))))))

(defn- query-register! [session {:keys [timeout-ms]}]
  (some-> (look! session ["/g_queryTree" register/group-id 0] ["/g_queryTree.reply" 0 register/group-id] timeout-ms)
          register/parse))

(defn- dead-claims
  "The claims of clients that are gone without having logged out, as far as can be told: where
  only this machine's can be here, those whose port nobody has."
  [{:keys [protocol port]} claims]
  (when (port/loopback-alone? protocol port)
    (remove #(port/in-use? (register/port-of %)) (vals claims))))

(defn- claim!
  "Claims a client id in the register, `wish` where it is free; returns what `login` does,
  and the claim."
  [session {:keys [timeout-ms] :as options} maximum-logins wish]
  (loop [tries 100]
    (let [{:keys [claims] :as known} (query-register! session options)
          client (register/free-client known maximum-logins wish)]
      (if-let [dead (when (and (nil? client) (pos? tries)) (seq (dead-claims options claims)))]
        (do (send-synced! session [(into ["/n_free"] dead)] timeout-ms)
            (recur (dec tries)))
        (let [_     (when (or (nil? client) (zero? tries))
                      (throw (too-many-clients options (str "all " maximum-logins " client ids are claimed: " (vec (keys claims))
                                                            ". A client of another machine that has died leaves its claim: (sc/reboot! s) of the owner forgets it"))))
              claim (register/claim-id client (.localPort ^Link (:link session)) (rand-int 15))]
          (link/send! (:link session) ["/g_new" claim 1 register/group-id])
          (if (try (= claim (get-in (query-register! session options) [:claims client]))
                   (catch Throwable e
                     (try (link/send! (:link session) ["/n_free" claim]) (catch clojure.lang.ExceptionInfo _))
                     (throw e)))
            {:client-id client, :maximum-logins maximum-logins, :claim claim}
            (do (link/send! (:link session) ["/n_free" claim])
                (sync! session timeout-ms)
                (recur (dec tries)))))))))

(defn- register!
  "The login on a server that counts none: `position` is our place in its list of
  clients, which says only whether we are alone."
  [session options owner? position wish]
  (let [own (:maximum-logins options)]
    (when (and owner? (> own 1))
      (run! #(link/send! (:link session) %) (register/rows own {})))
    (if-let [known (when (or (not owner?) (> own 1)) (query-register! session options))]
      (claim! session options (or (:maximum-logins known) own) wish)
      ;; Who was one of several may be here before the owner, who makes the register.
      (if (and (zero? position) (zero? (or wish 0)))
        {:client-id 0, :maximum-logins 1}
        (throw (too-many-clients options "it was booted for one, and one is there"))))))

;; ---- what is ours

(defn allocators
  "The ids of client `client-id` of `maximum-logins`: node ids, and its share of
  buffers, control buses and private audio buses, divided as sclang does.

      {:nodes NodeIds, :buffers BlockIds, :control-buses BlockIds, :audio-buses BlockIds}"
  [{:keys [buffer-count control-bus-channel-count audio-bus-channel-count
           input-bus-channel-count output-bus-channel-count initial-node-id]}
   client-id maximum-logins]
  (let [hardware (+ input-bus-channel-count output-bus-channel-count)
        share    (fn [from total]
                   (let [n (quot total maximum-logins)]
                     (BlockIds. (int (+ from (* client-id n))) (int n))))]
    {:nodes         (NodeIds. (int client-id) (int initial-node-id))
     :buffers       (share 0 buffer-count)
     :control-buses (share 0 control-bus-channel-count)
     :audio-buses   (share hardware (- audio-bus-channel-count hardware))}))

(defn- frees-id? [^OscMessage m]
  (case (.address m)
    "/done"  (and (= 2 (.size (.arguments m)))
                  (= "/b_free" (.get (.arguments m) 0))
                  (message/id? (.get (.arguments m) 1)))
    "/n_end" (message/begins-with-id? (.arguments m))
    false))

(defn free-buffers!
  "Says that `n` buffers from `id` on, taken together, come again when the server has
  freed them all."
  [{:keys [^ConcurrentHashMap freeing]} id n]
  (let [block {:start id, :left (AtomicInteger. n)}]
    (dotimes [i n] (.put freeing (+ (long id) i) block))))

(defn- buffer-freed! [{:keys [^ConcurrentHashMap freeing ids]} id]
  (when-let [{:keys [start ^AtomicInteger left]} (.remove freeing (long id))]
    (when (zero? (.decrementAndGet left))
      (.free ^BlockIds (:buffers ids) (int start)))))

(defn- id-freed!
  "Takes back the id of a buffer or a permanent node that the server has freed."
  [{:keys [ids] :as session} ^OscMessage m]
  (if (= "/n_end" (.address m))
    (do (.remove ^ConcurrentHashMap (:node-births session) (long (.get (.arguments m) 0)))
        (.freePermanent ^NodeIds (:nodes ids) (int (.get (.arguments m) 0))))
    (buffer-freed! session (.get (.arguments m) 1))))

(defn default-group-id
  "The id of a client's default group."
  ^long [client-id]
  (inc (long client-id)))

(defn default-group?
  "Whether a node's id is the root's or one of a default group, of whatever client."
  [id]
  (<= (long id) NodeIds/MAX_CLIENTS))

(defn- ensure-default-group!
  "Makes our default group if it is not there."
  [{:keys [client-id] :as session} timeout-ms]
  (let [id (default-group-id client-id)]
    (when (not= "/n_info" (first (look! session ["/n_query" id] ["/n_info" id] timeout-ms)))
      (send-synced! session [["/g_new" id 1 0]] timeout-ms))))

(defn- making-default-groups
  "The message that makes the default groups of `n` clients below the root."
  [n]
  (into ["/g_new"] (mapcat (fn [c] [(default-group-id c) 1 0])) (range n)))

;; ---- coming and going

(defn open!
  "Logs in on the server that the options name and returns the session, a map.

  `options`     as `espalier.model.options/check` returns them
  `engine`      what the server is taken for until it says
  `owner?`      whether we have booted it: then all default groups are made
  `wish`        the client id that we had on the server before, which is taken again
                where it is free, or nil
  `clock`       by which the server does what is to come
  `health`      what counts how well the link does
  `mend!`       called with the session and its mirror where that may be wrong
  `on-packet`, `on-sent`  called with each kernel message that arrives, each kernel
                packet that was sent
  `on-malformed`, `on-unreachable`, `on-closed`  called by the link, with an
                exception, or nil where it was closed as it should be

  Throws `:espalier.error/nobody-listens`, `:espalier.error/no-answer`,
  `:espalier.error/too-many-clients`, `:espalier.error/already-registered`; the
  link is closed then."
  [dispatcher {:keys [protocol timeout-ms] :as options} engine owner?
   {:keys [wish clock health mend! on-packet on-sent on-malformed on-unreachable on-closed]}]
  (let [heard   (AtomicLong. (clock/milliseconds))
        opened  (promise)
        mirror  (mirror/mirror (fn [m] (when-let [session (deref opened 0 nil)] (mend! session m))) clock)
        ledger  (ledger/ledger mirror)
        link    (try
                  (link/open (target options)
                             {:packet      (fn [m]
                                             (.set heard (clock/milliseconds))
                                             (on-packet m)
                                             (mirror/arrived! mirror m)
                                             (ledger/arrived! ledger m)
                                             (when-let [session (and (frees-id? m) (deref opened 0 nil))]
                                               (id-freed! session m))
                                             (dispatch/arrived! dispatcher m))
                              :sent        (fn [p] (on-sent p) (ledger/sent! ledger p))
                              :idle?       #(dispatch/idle? dispatcher)
                              :echo        #(second (dispatch/new-fence! dispatcher (or (:control-bus-channel-count options) 1) false))
                              :unread      (fn [] (pace/unread @opened))
                              :malformed   on-malformed
                              :unreachable #(on-unreachable (nobody-listens options nil))
                              :closed      on-closed})
                  (catch IOException e (throw (nobody-listens options e))))
        session {:dispatcher dispatcher, :link link, :heard heard, :owner? owner?, :clock clock
                 :control-buses (:control-bus-channel-count options), :mirror mirror, :ledger ledger
                 :health health, :since (Instant/now), :pending (pending/pending-bundles), :protocol protocol, :local? (link/local? link)}
        session (assoc session :dropped-before (health/dropped session))]
    (try
      ;; All is asked at once, for each answer takes one period of the audio or two.
      (let [asked-version (ask-version! session)
            asked-login   (ask-login! session wish)
            expected      (:maximum-logins (options/effective options))
            asked-groups  (when owner? (ask-synced! session [(making-default-groups expected)]))
            program       (version session asked-version options engine)
            _             (.limitPackets ^Link link (get (engine/trait (:engine program) :max-packet-bytes) protocol))
            granted       (login session asked-login options wish)
            session       (merge session program
                                 (if (engine/trait (:engine program) :counts-logins?)
                                   granted
                                   (register! session options owner? (:client-id granted) wish)))
            {:keys [client-id maximum-logins]} session]
        (when (>= client-id NodeIds/MAX_CLIENTS)
          (throw (too-many-clients options (str "it gave client id " client-id ", and only " NodeIds/MAX_CLIENTS
                                                " clients have node ids of their own"))))
        (when owner?
          (answer session asked-groups timeout-ms)
          (when (> maximum-logins expected)
            (send-synced! session [(making-default-groups maximum-logins)] timeout-ms)))
        ;; Of some hundred boots of supernova under load one had lost the groups, though it had answered the /sync.
        (when-not (and owner? (engine/trait (:engine program) :counts-logins?))
          (ensure-default-group! session timeout-ms))
        (let [session (assoc session
                             :timeout-ms  timeout-ms
                             :freeing     (ConcurrentHashMap.)
                             :node-births (ConcurrentHashMap.)
                             :before-end  (ConcurrentHashMap.)
                             :tree-hints  (AtomicReference.)
                             :memory-bytes (* 1024 (long (:memory-size options)))
                             :tells-failures? (engine/trait (:engine session) :tells-failures?)
                             :limit-bytes (get (engine/trait (:engine session) :max-packet-bytes) protocol)
                             :ids         (allocators options client-id maximum-logins))]
          (deliver opened session)
          (pace/start! session)
          (when owner?
            (mirror/tell! mirror [:tree {:id 0, :kind :group
                                         :children (mapv (fn [c] {:id (default-group-id c), :kind :group, :children []}) (range maximum-logins))}]))
          (cond
            ;; What an earlier client with our number has left is in the way of our ids.
            (not owner?)                                            (mend! session mirror)
            (not (engine/trait (:engine session) :counts-logins?)) (mirror/repair! mirror nil))
          session))
      (catch Throwable e
        ;; The server may have let us in all the same. By TCP, scsynth would log out whom it takes us for.
        (when-not (or (:refused-by-server (ex-data e))
                      (and (= :tcp protocol) (= 1 (engine/trait engine :tcp-clients))))
          (try (link/send! link ["/notify" 0]) (catch Throwable _)))
        (.close ^Link link)
        (dispatch/fail-all! dispatcher e)
        (throw e)))))

(defn known?
  "Whether the server still knows this login. One that has been booted at its place
  meanwhile does not."
  [{:keys [client-id link] :as session} timeout-ms]
  (let [said   (answer session (ask-login! session client-id) timeout-ms)
        known? (= "/fail" (first said))]
    ;; It has taken us for a new client.
    (when-not known? (link/send! link ["/notify" 0]))
    known?))

(defn nodes-gone?
  "Whether the server has nothing to say of a node that we have, as far as is known."
  [{:keys [mirror ids] :as session} timeout-ms]
  (when-let [id (some (fn [[id {:keys [status]}]]
                        (when (and (not= :expected status) (not (default-group? id)) (.owns ^NodeIds (:nodes ids) (int id)))
                          id))
                      (:nodes (mirror/known mirror)))]
    (not= "/n_info" (first (look! session ["/n_query" id] ["/n_info" id] timeout-ms)))))

(defn answers?
  "Whether a server answers at the address of the options, within `wait-ms`."
  [options wait-ms]
  (let [answer (CountDownLatch. 1)]
    (try
      (with-open [link (link/open (assoc (target options) :timeout-ms wait-ms)
                                  {:packet      (fn [_] (.countDown answer))
                                   :idle?       (constantly false)
                                   :malformed   (fn [_])
                                   :unreachable (fn [])
                                   :closed      (fn [_])})]
        (link/send! link ["/status"])
        (.await answer wait-ms TimeUnit/MILLISECONDS))
      (catch IOException _ false)
      (catch clojure.lang.ExceptionInfo _ false))))

;; ---- before it ends

(defn before-end!
  "Has `f` called before the session is ended as it should be; `k` is for
  `not-before-end!`."
  [{:keys [^ConcurrentHashMap before-end]} k f]
  (.put before-end k f))

(defn not-before-end!
  "Takes `before-end!` back."
  [{:keys [^ConcurrentHashMap before-end]} k]
  (.remove before-end k))

(defn wind-up!
  "Calls what is to be called before the session ends; what fails is passed over."
  [{:keys [^ConcurrentHashMap before-end]}]
  (doseq [f (vec (.values before-end))]
    (try (f) (catch Exception _))))

(defn- log-out! [{:keys [link claim] :as session} timeout-ms]
  (try
    (when claim
      (link/send! link ["/n_free" claim]))
    (request! session ["/notify" 0] ["/done" "/notify"] timeout-ms)
    (catch clojure.lang.ExceptionInfo _)))

(defn close!
  "Logs out and closes the link. Waits for the server's answer, for `patience-ms`
  at the most; a server that gives none is left all the same."
  [{:keys [^Link link] :as session} patience-ms]
  ;; By a worker, for a TCP connection that is full blocks whoever sends.
  (let [out (promise)]
    (worker/offer! (worker/worker (fn [_] (log-out! session patience-ms) (deliver out true)) (fn [_]))
                   :log-out)
    (try (deref out patience-ms nil)
         (finally (.close link)))))

(defn abandon!
  "Closes the link to a server that has ended, and ends every wait with the
  exception `why`."
  [{:keys [dispatcher ^Link link]} why]
  (.abort link)
  (dispatch/fail-all! dispatcher why))

(defn- free-one-by-one!
  "Frees what is known to be below a group node by node, on a server that does not
  survive it otherwise."
  [{:keys [mirror tells-failures? limit-bytes timeout-ms] :as session} group]
  (when-not tells-failures?
    (doseq [part (bundle/parts (map (fn [id] ["/n_free" id]) (remove neg? (state/below (mirror/known mirror) group))) (- (long limit-bytes) 64))]
      (send-synced! session part timeout-ms))))

(defn clear!
  "Frees what may be freed: all nodes and all pending bundles where we own the
  server, our own default group's nodes where we do not. The default groups are
  there afterwards."
  [{:keys [owner? client-id maximum-logins claim] :as session} {:keys [timeout-ms] :as options}]
  (free-one-by-one! session (if owner? 0 (default-group-id client-id)))
  (if owner?
    (let [known (when claim (query-register! session options))]
      (pending/clear! session)
      (send-synced! session
                    (concat [["/clearSched"] ["/g_freeAll" 0]]
                            (when known (register/rows maximum-logins (:claims known)))
                            [(making-default-groups maximum-logins)])
                    timeout-ms))
    (do (ensure-default-group! session timeout-ms)
        (send-synced! session [["/g_freeAll" (default-group-id client-id)]] timeout-ms))))

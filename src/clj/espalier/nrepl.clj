(ns espalier.nrepl
  "Middleware for nREPL, for editors: operations that begin with `espalier/`, and failures
  that go to the session which has caused them. doc/nrepl.md tells how it is used.

      clojure -M:dev:nrepl                              ; in this project
      --middleware '[espalier.nrepl/wrap-espalier]'     ; in yours, for nrepl.cmdline

  A server does what an evaluation asks of it after the evaluation has returned, and what it
  refuses comes later still. With this middleware that comes as `err` to the session that
  evaluated, in a message with the id of the evaluation and `espalier/failure`, a map of
  `error`, `message`, `words` and `request`. So does what was wrong with a tree that is
  followed, when a `def` has changed it. What no evaluation has caused goes to all sessions
  that have subscribed. supernova sends no `/fail` and so has nothing to tell.

  It needs nREPL 1.0 or newer, which nothing else in Espalier does. All that it sends is
  made of strings, integers, lists and maps. Requiring it starts nothing."
  (:require
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.model.operation :as operation]
   [espalier.model.plain :refer [plain]]
   [espalier.model.tree :as tree-text]
   [espalier.nrepl.news :as news :refer [send!]]
   [espalier.nrepl.servers :as servers]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.worker :as worker]
   [espalier.tree :as tree]
   [nrepl.middleware :as middleware]
   [nrepl.middleware.interruptible-eval :as interruptible-eval]
   [nrepl.middleware.session :as session])
  (:import
   (clojure.lang Compiler LineNumberingPushbackReader)
   (java.io StringReader)
   (java.time Duration)))

(set! *warn-on-reflection* true)

;; ---- parameters

(defn- wrong [k value expected]
  (error/error :invalid-argument (str (name k) " is " expected ", not " (pr-str value) ".") {:argument k, :value value}))

(defn- integer
  "An integer parameter, which some clients send as text; nil where it is absent."
  [message k]
  (when-some [x (get message k)]
    (or (if (int? x) x (parse-long (str x)))
        (throw (wrong k x "an integer")))))

(defn- flag [message k default]
  (case (str (get message k default)) ("1" "true") true, ("0" "false" "[]" "nil") false,
    (throw (wrong k (get message k) "1 or 0"))))

(defn- words
  "A parameter that is a list of some of the words, or one of them."
  [message k known]
  (if-some [x (get message k)]
    (let [found (set (if (coll? x) x [x]))]
      (if (every? (set known) found)
        found
        (throw (wrong k x (str "a list of " (str/join ", " known))))))
    (set known)))

(defn- options
  "Options of a call, without those that are absent."
  [& pairs]
  (into {} (for [[k v] (partition 2 pairs) :when (some? v)] [k v])))

;; ---- operations

(defn- status [message]
  (let [{s :server, server-name :name} (servers/meant message)
        {:keys [port protocol]} (handle/effective-options s)
        stands (handle/status s)]
    {"server"           server-name
     "espalier/status"  (plain (merge {:status stands, :port port, :protocol protocol, :owner? (sc/owner? s)
                                       :pid    (some-> (sc/process s) handle/pid)}
                                      (select-keys (handle/session s) [:engine :version :client-id :maximum-logins])
                                      (when (= :online stands)
                                        (sc/status s (options :timeout-ms (integer message :timeout-ms))))))
     "espalier/text"    (str s)
     "espalier/servers" (servers/choices)}))

(defn- whole-tree [message]
  (let [{s :server, server-name :name} (servers/meant message)
        controls? (flag message :controls 1)
        found     (sc/query-tree s (options :group (integer message :group), :controls controls?
                                            :timeout-ms (integer message :timeout-ms)))]
    {"server"        server-name
     "espalier/tree" (plain found)
     "espalier/text" (tree-text/text found (options :controls controls?, :depth (integer message :depth)))}))

(defn- check-session
  "Throws for a message without a session."
  [{:keys [session]}]
  (when-not (string? session)
    (throw (error/error :no-session "This needs a session; the operation clone makes one." {}))))

(defn- subscribe [message]
  (check-session message)
  (let [what        (words message :what ["tree" "events"])
        interval-ms (or (integer message :interval-ms) 50)
        which       (servers/meant message)]
    (when-not (<= 1 (long interval-ms) 60000)
      (throw (wrong :interval-ms interval-ms "1 to 60000")))
    (news/subscribe! message which what interval-ms)
    {"server" (:name which)}))

(defn- unsubscribe [{:keys [session] :as message}]
  (check-session message)
  {"espalier/ended" (news/unsubscribe! session (when (:server message) (:server (servers/meant message))))})

(defn- log [message]
  (let [{s :server, server-name :name} (servers/meant message)
        bounds (options :limit (or (integer message :limit) 100), :after (integer message :after))]
    {"server"       server-name
     "espalier/log" (case (str (:what message "log"))
                      "log"     (plain (map #(dissoc % :origin) (sc/log s (merge bounds (options :level (some-> (:level message) keyword))))))
                      "packets" (plain (sc/trace s (merge bounds (options :direction (when (:direction message)
                                                                                       (keyword (first (words message :direction ["sent" "received"]))))))))
                      (throw (wrong :what (:what message) "log or packets")))}))

(defn- complete [{:keys [prefix synthdef] :as message}]
  (when-not (string? prefix)
    (throw (wrong :prefix prefix "a string")))
  (let [candidates @(requiring-resolve 'espalier.model.completion/candidates)
        kinds      @(requiring-resolve 'espalier.model.completion/kinds)
        s          (:server (servers/meant-if-any message))]
    {"completions" (plain (candidates prefix {:kinds     (map keyword (words message :kinds (map name kinds)))
                                              :synthdefs (when (and s (= :online (handle/status s))) (:synthdefs (sc/state s)))
                                              :synthdef  (some-> synthdef (str/replace-first #"^:" ""))
                                              :limit     (or (integer message :limit) 200)}))}))

(defn- doc [{n :name}]
  (when-not (string? n)
    (throw (wrong :name n "a string")))
  (let [entries ((requiring-resolve 'espalier.model.glossary/look-up) n)]
    (merge {"espalier/docs" (plain (map #(select-keys % [:kind :name :doc :text]) entries))
            "espalier/text" (str/join "\n\n" (map :text entries))}
           (when (empty? entries)
             (merge {:status #{"no-doc"}}
                    (options "espalier/nearest" ((requiring-resolve 'espalier.model.glossary/nearest) n)))))))

;; ---- operations that evaluate

(defn- load-code
  "Evaluates the code that a message had before it became an evaluation; returns the value of
  the last form."
  [{::keys [code line], :keys [file]}]
  (let [reader (LineNumberingPushbackReader. (StringReader. code))]
    (when line (.setLineNumber reader (int line)))
    (Compiler/load reader (or file "NO_SOURCE_PATH") (or file "NO_SOURCE_FILE"))))

(defn- error-reply [e]
  (merge {"espalier/error" (plain (or (error/code e) (.getName (class e))))}
         (options "espalier/choices" (:choices (ex-data e)))))

(defn- meant-here
  "The server that the message being evaluated means."
  []
  (let [message interruptible-eval/*msg*]
    (when-not (::code message)
      (throw (error/error :no-session "Only the middleware calls this, for an operation that evaluates code." {})))
    (try (servers/meant message)
         (catch clojure.lang.ExceptionInfo e
           (send! message (error-reply e))
           (throw e)))))

(defn- when-of [message]
  (let [at (:at message), in-ms (integer message :in-ms)]
    (cond
      (and at in-ms) (throw (wrong :at at "not to be given beside in-ms"))
      in-ms          (Duration/ofMillis in-ms)
      at             (or (parse-double (str at)) (throw (wrong :at at "POSIX seconds"))))))

(defn evaluate-as-bundle
  "Evaluates the code of the operation `espalier/eval-as-bundle` within one moment; called by
  the middleware, on the session's thread."
  []
  (let [message interruptible-eval/*msg*
        {s :server} (meant-here)]
    (sc/call-at s
                (options :when (when-of message), :confirm (when (flag message :confirm 0) true)
                         :timeout-ms (integer message :timeout-ms))
                #(load-code message))))

(defn evaluate-plan
  "Evaluates the code of the operation `espalier/plan`, sends the edits, and returns the plan;
  called by the middleware, on the session's thread."
  []
  (let [message interruptible-eval/*msg*
        {s :server, server-name :name} (meant-here)
        planned (sc/plan s (load-code message)
                         (options :root (integer message :root), :prune (flag message :prune 1)
                                  :timeout-ms (integer message :timeout-ms)))]
    (send! message {"server"            server-name
                    "espalier/edits"    (plain (:edits planned))
                    "espalier/requests" (plain (:requests planned))
                    "espalier/text"     (tree/edits-text (:edits planned))})
    planned))

(defn- as-evaluation
  "A message that has the code of another evaluated by a function of this namespace."
  [{:keys [code line] :as message} f]
  (-> message
      (dissoc :line :column)
      (assoc :op "eval", :code (pr-str (list f)), ::code code, ::line line)))

;; ---- the middleware

(def ^:private operations
  {"espalier/subscribe"   subscribe
   "espalier/unsubscribe" unsubscribe
   "espalier/log"         log
   "espalier/complete"    complete
   "espalier/doc"         doc
   "espalier/status"      status
   "espalier/tree"        whole-tree})

(def ^:private waits
  "Those that wait for the server, and must not keep a connection from hearing what else comes."
  #{"espalier/status" "espalier/tree"})

(def ^:private evaluations
  {"espalier/eval-as-bundle" `evaluate-as-bundle
   "espalier/plan"           `evaluate-plan})

(defn- answer! [message f]
  (send! message
         (try
           (let [reply (f message)]
             (update reply :status (fnil conj #{}) "done"))
           (catch Exception e
             (assoc (error-reply e) "err" (str (or (ex-message e) e) "\n"), :status #{"error" "done"})))))

(defn- handle-message [h {:keys [op code session] :as message}]
  (let [f (operations op)]
    (when (and (= "close" op) session)
      (news/unsubscribe! session nil))
    (cond
      (contains? waits op) (worker/completable #(answer! message f))
      f                    (answer! message f)
      (nil? (evaluations op)) (h message)
      (string? code)       (h (as-evaluation message (evaluations op)))
      :else                (send! message {:status #{"error" "no-code" "done"}}))))

(defn wrap-espalier
  "Middleware with the operations of `espalier.model.operation/table`; failures that an
  evaluation has caused go to its session."
  [h]
  (news/start!)
  (fn [message] (handle-message h message)))

(middleware/set-descriptor! #'wrap-espalier
                            {:requires #{}
                             ;; Outside of sessions, for only there the end of one is seen.
                             :expects  #{#'session/session "eval"}
                             :handles  operation/table})

(def middleware
  "What `nrepl.server/default-handler` takes."
  [#'wrap-espalier])

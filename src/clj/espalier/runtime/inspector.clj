(ns espalier.runtime.inspector
  "A live page about a server. One thread looks at the server while somebody looks at the
  page, ten times a second: what the client knows by notifications costs no question;
  values of controls, which nobody notifies, are asked for after a change, and now and
  then. What it has seen is one value, `espalier.model.inspector`. A browser's own thread
  tells it what is new in that since what it was told last: one that reads slowly misses
  what was between, and delays nobody."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.inspector :as inspector]
   [espalier.model.json :as json]
   [espalier.model.message :as message]
   [espalier.model.meter :as meter]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.node :as node]
   [espalier.runtime.page-server :as page-server]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.tree-query :as tree-query])
  (:import
   (clojure.lang ExceptionInfo)
   (espalier.kernel ServerProcess ServerProcess$Line)
   (java.io Closeable Writer)
   (java.util.concurrent CountDownLatch TimeUnit)
   (java.util.concurrent.atomic AtomicInteger)))

(set! *warn-on-reflection* true)

(declare stop! describe)

(deftype Inspector
  [server options
   page                     ; atom: what is shown
   ^Object monitor          ; notified when the page has changed, and when somebody comes to look
   ^AtomicInteger lookers   ; how many browsers look
   output                   ; atom: the :process whose output was read last, and its :lines
   ^CountDownLatch stopped
   parts]                   ; promise: the :page-server, the :thread, the :handlers
  Closeable
  (close [this] (stop! this) nil)
  Object
  (toString [this] (describe this)))

(defmethod print-method Inspector [i ^Writer w] (.write w (str i)))

(defn- stopped? [^Inspector i]
  (zero? (.getCount ^CountDownLatch (.-stopped i))))

(defn- pause!
  "Waits so long, or until the inspector ends."
  [^Inspector i ms]
  (.await ^CountDownLatch (.-stopped i) (long ms) TimeUnit/MILLISECONDS))

(defn- wake! [^Inspector i]
  (locking (.-monitor i) (.notifyAll ^Object (.-monitor i))))

(defn- await-that
  "Waits until `f` returns true, of which `wake!` tells; for so long at the most."
  [^Inspector i ms f]
  (let [end (+ (session/milliseconds) (long ms))]
    (locking (.-monitor i)
      (loop []
        (let [left (- end (session/milliseconds))]
          (cond
            (f)           true
            (pos? left)   (do (.wait ^Object (.-monitor i) left) (recur))
            :else         false))))))

(defn- publish!
  "Changes the page by `f` with arguments."
  [^Inspector i f & args]
  (let [[before after] (swap-vals! (.-page i) (fn [page] (apply f page args)))]
    (when-not (identical? before after)
      (wake! i))))

(defn- assoc-new
  "As `assoc`, and the same map where the value is there already."
  [m k v]
  (if (= v (get m k)) m (assoc m k v)))

;; ---- the log

(defn- log! [^Inspector i [kind level text]]
  (publish! i inspector/logged (clock/now) kind level text))

(def ^:private most-old-lines "Of what the server had printed before, so many lines are shown." 100)

(defn- new-lines
  "The lines of a process that came after those that were read before."
  [before lines]
  (let [last-read (peek before)
        at        (when last-read (last (keep-indexed (fn [n line] (when (identical? last-read line) n)) lines)))]
    (cond
      at        (subvec lines (inc (long at)))
      last-read lines
      :else     (vec (take-last most-old-lines lines)))))

(defn- read-output!
  "Logs what the server has printed since the last look; also of a process that has ended
  meanwhile."
  [^Inspector i]
  (locking (.-output i)
    (let [{:keys [process lines] :as before} @(.-output i)
          current (or (handle/process (.-server i)) process)]
      (when current
        (let [before (if (identical? current process) lines [])
              now    (vec (.output ^ServerProcess current))]
          (when-not (identical? (peek before) (peek now))
            (run! (fn [^ServerProcess$Line line]
                    (when-not (str/blank? (.text line))
                      (log! i ["output" (if (.isError line) "warn" "info") (.text line)])))
                  (new-lines before now)))
          (reset! (.-output i) {:process current, :lines now})))
      before)))

;; ---- what is seen of the server

(defn- show-server!
  "Shows where the handle stands, and `more` of the server."
  [^Inspector i more]
  (let [s (.-server i)
        {:keys [status session lost]} (handle/state s)
        facts (cond-> {:status (name status), :shown (handle/describe s), :owner (handle/owner? s), :lost lost}
                session (assoc :engine (name (:engine session)), :version (:version session)
                               :client-id (:client-id session), :maximum-logins (:maximum-logins session)))]
    (publish! i (fn [page] (assoc-new page :server (merge (:server page) facts more))))))

(defn- heard! [^Inspector i {:keys [event] :as e}]
  (read-output! i)
  ;; All that fail are logged, not only those that nobody waits for.
  (when-not (= :command-failed event)
    (log! i (inspector/event-line e)))
  (when (= :late event)
    (publish! i update-in [:server :late-count] inc))
  (show-server! i {}))

(defn- handlers! [^Inspector i]
  (let [s (.-server i)]
    [(handle/on-lifecycle! s nil (fn [e] (heard! i e)))
     (handle/on-osc! s "/fail" (fn [message] (log! i ["fail" "error" (str/join " " (rest message))])) false)
     (handle/on-osc! s "/status.reply" (fn [message] (show-server! i (message/status message))) false)
     (handle/on-osc! s meter/address (fn [message] (publish! i assoc :meters (meter/levels message))) false)]))

(def ^:private sets-controls
  #{"/n_set" "/n_setn" "/n_fill" "/n_map" "/n_mapn" "/n_mapa" "/n_mapan"})

(defn- look-at-structure!
  "Shows the nodes that the client knows of, where they have changed, and what it has sent
  since that sets controls. Returns the look with `:ask?` true where there is something to ask
  the server."
  [^Inspector i {:keys [mirror era]} {:keys [known n] :as look}]
  (let [t     (handle/trace-of (.-server i))
        now   (mirror/known mirror)
        sent  (trace/packet-count t)
        fresh (not= era (:era look))
        moved (or fresh (not (identical? (:nodes now) (:nodes known))))
        set?  (and (:controls? (.-options i)) (< (long (or n sent)) sent)
                   (seq (trace/entries t {:after (dec (long n)), :direction :sent, :address sets-controls, :limit 1})))]
    (when moved
      (publish! i (fn [page] (assoc page :nodes (inspector/known-nodes (if fresh {} (:nodes page)) now) :stale false))))
    (when (or fresh (not (identical? (:synthdefs now) (:synthdefs known))))
      (publish! i assoc :synthdefs (inspector/synthdefs (:synthdefs now))))
    (cond-> (assoc look :era era, :known now, :n sent)
      (or moved set?) (assoc :ask? true))))

(defn- read-tree [^Inspector i session]
  (try (tree-query/read-tree session 0 {:controls? (:controls? (.-options i)), :timeout-ms 2000})
       ;; The server is busy or gone; who is waited for by all says so.
       (catch ExceptionInfo _)))

(defn- ask!
  "Asks the server for its tree and shows it. What has changed meanwhile the client knows
  better."
  [^Inspector i {:keys [mirror] :as session} look]
  (let [began (session/milliseconds)
        known (mirror/known mirror)
        tree  (read-tree i session)
        now   (mirror/known mirror)
        end   (session/milliseconds)]
    (when tree
      (publish! i (fn [{:keys [nodes] :as page}]
                    (let [told (inspector/told-nodes nodes tree)]
                      (assoc page
                             :complete (not (false? (:complete? tree)))
                             :nodes    (if (identical? (:nodes known) (:nodes now))
                                         told
                                         (inspector/known-nodes told now)))))))
    (assoc look :ask? (nil? tree), :asked end, :took (- end began))))

(defn- time-to-ask?
  "A question may take a fifth of the time after changes, and a tenth of it otherwise."
  [^Inspector i {:keys [ask? asked took]}]
  (or (nil? asked)
      (let [since (- (session/milliseconds) (long asked))]
        (<= (if ask? (* 4 (long took)) (max (long (:poll-ms (.-options i))) (* 9 (long took)))) since))))

(defn- look-at-drift!
  "Shows how what plays differs from what was declared."
  [^Inspector i session]
  (let [roots (count (:roots (declared/known session)))
        shown (if (zero? roots)
                (inspector/drift 0 [])
                (try (inspector/drift roots (reconcile/drift (.-server i) {:timeout-ms 2000}))
                     (catch ExceptionInfo e (inspector/drift roots [] e))))]
    (publish! i assoc-new :drift shown)))

;; ---- meters

(def ^:private meter-rate-hz 10)
(def ^:private most-channels "So many channels are measured." 32)

(defn- add-meter!
  "Has the server measure its outputs, at the tail of its tree; returns the synth."
  [^Inspector i]
  (let [s (.-server i)
        n (min (long most-channels) (long (:output-bus-channel-count (handle/effective-options s))))
        d (meter/meter n meter-rate-hz)]
    (synthdefs/add-synthdefs! s d {})
    (node/add-synth! s d {} {:target 0, :action :tail, :confirm true, :permanent true})))

(defn- keep-meter!
  "Sees to it that the outputs are measured, also after a reset; tries every two seconds."
  [^Inspector i {:keys [mirror era]} {:keys [meter metered] :as look}]
  (let [now (session/milliseconds)]
    (if (or (and meter (= era (:era meter)) (mirror/there? mirror (:id meter)))
            (and metered (< (- now (long metered)) 2000)))
      look
      (assoc look :metered now, :meter (try (add-meter! i)
                                            (catch ExceptionInfo e
                                              (log! i ["lifecycle" "error" (str "no meters: " (ex-message e))])
                                              nil))))))

(defn- free-meter! [^Inspector i look]
  (when-let [synth (:meter look)]
    (try (node/free! synth {})
         (synthdefs/free-synthdefs! (.-server i) (:def synth) {})
         ;; They have gone with their server.
         (catch ExceptionInfo _)))
  (dissoc look :meter :metered))

;; ---- the thread that looks

(defn- unwatched
  "The page of a server that is not there, or that nobody looks at."
  [page]
  (-> page (assoc-new :stale (some? (seq (:nodes page)))) (assoc-new :meters nil) (assoc-new :drift nil)))

(defn- look-online!
  "One look at a server that is there."
  [^Inspector i session look]
  (let [{:keys [meters? drift-ms]} (.-options i)
        look (cond-> (look-at-structure! i session look)
               meters? (as-> look (keep-meter! i session look)))
        look (if (time-to-ask? i look) (ask! i session look) look)]
    (if (and drift-ms (<= (long drift-ms) (- (session/milliseconds) (long (:drifted look 0)))))
      (do (look-at-drift! i session)
          (assoc look :drifted (session/milliseconds)))
      look)))

(defn- look!
  "One look at the server; returns what the next one must know."
  [^Inspector i look]
  (let [{:keys [status session]} (handle/state (.-server i))]
    (read-output! i)
    (when (not= status (:status look))
      (show-server! i {}))
    (if (= :online status)
      (assoc (look-online! i session look) :status status)
      (do (publish! i unwatched)
          {:status status}))))

(defn- looked-at? [^Inspector i]
  (pos? (.get ^AtomicInteger (.-lookers i))))

(defn- keep-looking! [^Inspector i]
  (loop [look {}]
    (cond
      (stopped? i)
      (free-meter! i look)

      (looked-at? i)
      (let [look (try (look! i look)
                      (catch Exception e
                        (log! i ["lifecycle" "error" (str "the inspector could not look: " (ex-message e))])
                        (pause! i 2000)
                        look))]
        (pause! i 100)
        (recur look))

      :else
      (do (free-meter! i look)
          ;; Until somebody looks again, nothing here is kept up to date.
          (publish! i unwatched)
          (await-that i 60000 (fn [] (or (stopped? i) (looked-at? i))))
          (recur {})))))

;; ---- browsers

(def ^:private interval-ms "A browser is told something so often at the most." 100)
(def ^:private alive-ms "And so often at least, for only sending shows whether it is there." 10000)

(defn- event [news]
  (str "data: " (json/text news) "\n\n"))

(defn- tell-news!
  "Tells one browser what there is, and what is new, until it has gone."
  [^Inspector i send!]
  (let [page (.-page i), {:keys [write? meters?]} (.-options i)]
    (send! "retry: 1000\n\n")
    (loop [shown nil]
      (let [now  @page
            news (cond (nil? shown)               (assoc (inspector/news now) :write write? :metered meters?)
                       (not (identical? shown now)) (inspector/news shown now))]
        (when news (send! (event news)))
        (when-not (pause! i interval-ms)
          (when-not (await-that i alive-ms (fn [] (or (stopped? i) (not (identical? now @page)))))
            (send! ": alive\n\n"))
          (when-not (stopped? i)
            (recur now)))))))

(defn tell!
  "Calls `send!` with the page as text of a stream of events, and then with what is new in
  it, ten times a second at the most and not again before it has returned; returns when the
  inspector has ended. What `send!` throws ends it too."
  [^Inspector i send!]
  (let [^AtomicInteger lookers (.-lookers i)]
    (.incrementAndGet lookers)
    (wake! i)
    (try (tell-news! i send!)
         (finally (.decrementAndGet lookers)))))

;; ---- what the page may do

(defn- entity-of
  "The node whose id an action names."
  [^Inspector i {:strs [id]}]
  (let [s       (.-server i)
        session (handle/live s)
        id      (or (some-> id parse-long) (throw (IllegalArgumentException. "id is a node's number.")))
        kind    (:kind (get (:nodes (mirror/known (:mirror session))) id))]
    (when-not kind
      (throw (error/error :no-such-node (str "There is no node " id " any more.") {:node id})))
    (entities/known-node s session kind id)))

(def ^:private confirmed {:confirm true, :timeout-ms 2000})

(defn- actions [^Inspector i]
  (cond-> {"drift" (fn [_] (look-at-drift! i (handle/live (.-server i))))}
    (:write? (.-options i))
    (assoc "set"    (fn [{:strs [control value] :as p}]
                      (when (str/blank? control) (throw (IllegalArgumentException. "control is the name of one.")))
                      (node/set-controls! (entity-of i p) {control (inspector/control-value value)} confirmed)
                      nil)
           "pause"  (fn [p] (node/set-running! (entity-of i p) false confirmed) nil)
           "resume" (fn [p] (node/set-running! (entity-of i p) true confirmed) nil)
           "free"   (fn [p] (node/free! (entity-of i p) confirmed) nil))))

(def ^:private files
  {""         ["espalier/inspector/page.html" "text/html; charset=utf-8"]
   "page.css" ["espalier/inspector/page.css" "text/css; charset=utf-8"]
   "page.js"  ["espalier/inspector/page.js" "text/javascript; charset=utf-8"]})

(def ^:private most-pages "So many browsers may look at once." 16)

;; ---- its life

(defn start!
  "See `espalier.inspector/start!`."
  [s opts]
  (handle/state s)
  (let [opts (inspector/options opts)
        i    (Inspector. s opts (atom inspector/page) (Object.) (AtomicInteger.) (atom nil) (CountDownLatch. 1) (promise))
        http (page-server/start! {:port (or (:port opts) 0), :files files, :actions (actions i), :stream (fn [send!] (tell! i send!))
                                  :on-fault (fn [e] (when-not (stopped? i) (log! i ["lifecycle" "error" (str "the inspector failed: " e)])))
                                  :limit most-pages, :name "espalier-inspector"})]
    (read-output! i)
    (show-server! i {})
    (deliver (.-parts i) {:page-server http
                          :handlers    (handlers! i)
                          :thread      (doto (Thread. (fn [] (keep-looking! i)) "espalier-inspector-look")
                                         (.setDaemon true)
                                         .start)})
    i))

(defn- check-inspector [i]
  (when-not (instance? Inspector i)
    (throw (error/error :invalid-argument (str "An inspector is what (inspector/start! s) returns, not " (pr-str i) ".") {:argument :inspector, :value i}))))

(defn stop!
  "See `espalier.inspector/stop!`."
  [^Inspector i]
  (check-inspector i)
  (locking (.-stopped i)
    (when-not (stopped? i)
      (let [{:keys [handlers page-server ^Thread thread]} @(.-parts i)]
        (run! (fn [id] (handle/off! (.-server i) id)) handlers)
        (.countDown ^CountDownLatch (.-stopped i))
        (wake! i)
        (page-server/stop! page-server)
        (.join thread 5000))))
  i)

(defn url
  "See `espalier.inspector/url`."
  [^Inspector i]
  (check-inspector i)
  (page-server/url (:page-server @(.-parts i))))

(defn- describe [^Inspector i]
  (let [n (.get ^AtomicInteger (.-lookers i))]
    (str "#<Inspector " (if (stopped? i)
                          "STOPPED"
                          (str (url i) " " (if (:write? (.-options i)) "read-write" "read-only") ", " n (if (= 1 n) " page" " pages") " open"))
         ">")))

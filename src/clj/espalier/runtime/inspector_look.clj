(ns espalier.runtime.inspector-look
  "What an inspector sees of its server. One thread looks while somebody looks at the page,
  ten times a second: what the client knows by notifications costs no question; values of
  controls, which nobody notifies, are asked for after a change, and now and then."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.inspector :as inspector]
   [espalier.model.message :as message]
   [espalier.model.meter :as meter]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.inspector-page :as page :refer [assoc-new log! publish!]]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.node :as node]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.synthdefs :as synthdefs]
   [espalier.runtime.trace :as trace]
   [espalier.runtime.tree-query :as tree-query])
  (:import
   (clojure.lang ExceptionInfo)
   (espalier.kernel RunningServer ServerProcess$Line)
   (espalier.runtime.inspector_page Page)))

(set! *warn-on-reflection* true)

;; ---- what the server has printed

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

(defn read-output!
  "Logs what the server has printed since the last look; also of a process that has ended
  meanwhile."
  [^Page p]
  (locking (.-output p)
    (let [{:keys [process lines] :as before} @(.-output p)
          current (or (handle/process (.-server p)) process)]
      (when current
        (let [before (if (identical? current process) lines [])
              now    (vec (.output ^RunningServer current))]
          (when-not (identical? (peek before) (peek now))
            (run! (fn [^ServerProcess$Line line]
                    (when-not (str/blank? (.text line))
                      (log! p ["output" (if (.isError line) "warn" "info") (.text line)])))
                  (new-lines before now)))
          (reset! (.-output p) {:process current, :lines now})))
      before)))

;; ---- what is seen of the server

(defn show-server!
  "Shows where the handle stands, and `more` of the server."
  [^Page p more]
  (let [s (.-server p)
        {:keys [status session lost]} (handle/state s)
        facts (cond-> {:status (name status), :shown (handle/describe s), :owner (handle/owner? s), :lost lost}
                session (assoc :engine (name (:engine session)), :version (:version session)
                               :client-id (:client-id session), :maximum-logins (:maximum-logins session)))]
    (publish! p (fn [page] (assoc-new page :server (merge (:server page) facts more))))))

(defn- heard! [^Page p {:keys [event] :as e}]
  (read-output! p)
  ;; All that fail are logged, not only those that nobody waits for.
  (when-not (= :command-failed event)
    (log! p (inspector/event-line e)))
  (when (= :late event)
    (publish! p update-in [:server :late-count] inc))
  (show-server! p {}))

(defn handlers!
  "Hears what the handle tells, and shows it; returns the ids of the handlers, for `handle/off!`."
  [^Page p]
  (let [s (.-server p)]
    [(handle/on-lifecycle! s nil (fn [e] (heard! p e)))
     (handle/on-osc! s "/fail" (fn [message] (log! p ["fail" "error" (str/join " " (rest message))])) false)
     (handle/on-osc! s "/status.reply" (fn [message] (show-server! p (message/status message))) false)
     (handle/on-osc! s meter/address (fn [message] (publish! p assoc :meters (meter/levels message))) false)]))

(defn- look-at-structure!
  "Shows the nodes that the client knows of, where they have changed, and what it has sent
  since that sets controls. Returns the look with `:ask?` true where there is something to ask
  the server."
  [^Page p {:keys [mirror era]} {:keys [known n] :as look}]
  (let [t     (handle/trace-of (.-server p))
        now   (mirror/known mirror)
        sent  (trace/packet-count t)
        fresh (not= era (:era look))
        moved (or fresh (not (identical? (:nodes now) (:nodes known))))
        set?  (and (:controls? (.-options p)) (< (long (or n sent)) sent)
                   (seq (trace/entries t {:after (dec (long n)), :direction :sent, :address command/sets-controls, :limit 1})))]
    (when moved
      (publish! p (fn [page] (assoc page :nodes (inspector/known-nodes (if fresh {} (:nodes page)) now) :stale false))))
    (when (or fresh (not (identical? (:synthdefs now) (:synthdefs known))))
      (publish! p assoc :synthdefs (inspector/synthdefs (:synthdefs now))))
    (cond-> (assoc look :era era, :known now, :n sent)
      (or moved set?) (assoc :ask? true))))

(defn- read-tree [^Page p session]
  (try (tree-query/read-tree session 0 {:controls? (:controls? (.-options p)), :timeout-ms 2000})
       ;; The server is busy or gone; who is waited for by all says so.
       (catch ExceptionInfo _)))

(defn- ask!
  "Asks the server for its tree and shows it. What has changed meanwhile the client knows
  better."
  [^Page p {:keys [mirror] :as session} look]
  (let [began (clock/milliseconds)
        known (mirror/known mirror)
        tree  (read-tree p session)
        now   (mirror/known mirror)
        end   (clock/milliseconds)]
    (when tree
      (publish! p (fn [{:keys [nodes] :as page}]
                    (let [told (inspector/told-nodes nodes tree)]
                      (assoc page
                             :complete (not (false? (:complete? tree)))
                             :nodes    (if (identical? (:nodes known) (:nodes now))
                                         told
                                         (inspector/known-nodes told now)))))))
    (assoc look :ask? (nil? tree), :asked end, :took (- end began))))

(defn- time-to-ask?
  "A question may take a fifth of the time after changes, and a tenth of it otherwise."
  [^Page p {:keys [ask? asked took]}]
  (or (nil? asked)
      (let [since (- (clock/milliseconds) (long asked))]
        (<= (if ask? (* 4 (long took)) (max (long (:poll-ms (.-options p))) (* 9 (long took)))) since))))

(defn look-at-drift!
  "Shows how what plays differs from what was declared."
  [^Page p session]
  (let [roots (count (:roots (declared/known session)))
        shown (if (zero? roots)
                (inspector/drift 0 [])
                (try (inspector/drift roots (reconcile/drift (.-server p) {:timeout-ms 2000}))
                     (catch ExceptionInfo e (inspector/drift roots [] e))))]
    (publish! p assoc-new :drift shown)))

;; ---- meters

(def ^:private meter-rate-hz 10)
(def ^:private most-channels "So many channels are measured." 32)

(defn- add-meter!
  "Has the server measure its outputs, at the tail of its tree; returns the synth."
  [^Page p]
  (let [s (.-server p)
        n (min (long most-channels) (long (:output-bus-channel-count (handle/effective-options s))))
        d (meter/meter n meter-rate-hz)]
    (synthdefs/add-synthdefs! s d {})
    (node/add-synth! s d {} {:target 0, :action :tail, :confirm true, :permanent true})))

(defn- keep-meter!
  "Sees to it that the outputs are measured, also after a reset; tries every two seconds."
  [^Page p {:keys [mirror era]} {:keys [meter metered] :as look}]
  (let [now (clock/milliseconds)]
    (if (or (and meter (= era (:era meter)) (mirror/there? mirror (:id meter)))
            (and metered (< (- now (long metered)) 2000)))
      look
      (assoc look :metered now, :meter (try (add-meter! p)
                                            (catch ExceptionInfo e
                                              (log! p ["lifecycle" "error" (str "no meters: " (ex-message e))])
                                              nil))))))

(defn- free-meter! [^Page p look]
  (when-let [synth (:meter look)]
    (try (node/free! synth {})
         (synthdefs/free-synthdefs! (.-server p) (:def synth) {})
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
  [^Page p session look]
  (let [{:keys [meters? drift-ms]} (.-options p)
        look (cond-> (look-at-structure! p session look)
               meters? (as-> look (keep-meter! p session look)))
        look (if (time-to-ask? p look) (ask! p session look) look)]
    (if (and drift-ms (<= (long drift-ms) (- (clock/milliseconds) (long (:drifted look 0)))))
      (do (look-at-drift! p session)
          (assoc look :drifted (clock/milliseconds)))
      look)))

(defn- look!
  "One look at the server; returns what the next one must know."
  [^Page p look]
  (let [{:keys [status session]} (handle/state (.-server p))]
    (read-output! p)
    (when (not= status (:status look))
      (show-server! p {}))
    (if (= :online status)
      (assoc (look-online! p session look) :status status)
      (do (publish! p unwatched)
          {:status status}))))

(defn keep-looking!
  "Looks while somebody looks at the page, until the inspector ends."
  [^Page p]
  (loop [look {}]
    (cond
      (page/stopped? p)
      (free-meter! p look)

      (page/looked-at? p)
      (let [look (try (look! p look)
                      (catch Exception e
                        (log! p ["lifecycle" "error" (str "the inspector could not look: " (ex-message e))])
                        (page/pause! p 2000)
                        look))]
        (page/pause! p 100)
        (recur look))

      :else
      (do (free-meter! p look)
          ;; Until somebody looks again, nothing here is kept up to date.
          (publish! p unwatched)
          (page/await-that p 60000 (fn [] (or (page/stopped? p) (page/looked-at? p))))
          (recur {})))))

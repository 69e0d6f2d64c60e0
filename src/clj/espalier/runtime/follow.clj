(ns espalier.runtime.follow
  "Keeps a server in the shape of a reference: each change of an atom, var, ref or agent
  is reconciled, one after the other on a thread of its own, and what changed meanwhile
  as one. Each function that `espalier.core` has under the same name is documented there."
  (:require
   [espalier.model.entity :refer [entity?]]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.origin :as origin]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.worker :as worker])
  (:import
   (clojure.lang IDeref IPending IRef)
   (java.io Closeable Writer)
   (java.lang.ref WeakReference)
   (java.util WeakHashMap)
   (java.util.concurrent CompletableFuture TimeUnit)
   (java.util.concurrent.atomic AtomicBoolean)))

(set! *warn-on-reflection* true)

(declare unfollow! describe)

(deftype Follow
  [server ^IRef reference options
   state                   ; atom: :status, :change-count, :bundle-count, :byte-count, :report, :error; :value and :login, the last done; :origin of the last change
   ^AtomicBoolean waiting  ; whether a change waits to be looked at
   ^AtomicBoolean looking  ; whether a look for what has drifted is to come
   stop                    ; atom: what is called when it ends
   worker]                 ; takes :changed, :repair, and promises that are delivered when all before is done
  IDeref
  (deref [_] (dissoc @state :value :login :origin))
  Closeable
  (close [this] (unfollow! this) nil)
  Object
  (toString [this] (describe this)))

(defn- describe [^Follow f]
  (let [{:keys [status change-count bundle-count error]} @(.-state f)]
    (str "#<Follow " (if (var? (.-reference f)) (.-reference f) (.getSimpleName (class (.-reference f)))) " " (name status) ", "
         (counted change-count "change") " in " (counted bundle-count "bundle") (when error (str ", the last one failed: " (ex-message error))) ">")))

(defmethod print-method Follow [f ^Writer w] (.write w (str f)))

(prefer-method print-method Follow IDeref)

(defn- become
  "The state with another status, unless it has ended."
  [state status]
  (cond-> state (not= :ended (:status state)) (assoc :status status)))

(defn- login
  "Which login of the handle it is, nil while offline: on another one nothing is declared."
  [^Follow f]
  (:era (handle/session (.-server f))))

(defn- reconciled! [^Follow f value login report]
  (swap! (.-state f) (fn [state]
                       (-> (become state :following)
                           (dissoc :error)
                           (assoc :value value, :login login, :report report)
                           (update :change-count inc)
                           (update :bundle-count + (:bundle-count report))
                           (update :byte-count + (:byte-count report))))))

(defn- reconcile! [^Follow f]
  (let [value @(.-reference f), login (login f)]
    (reconciled! f value login (reconcile/reconcile! (.-server f) value (dissoc (.-options f) :repair-ms)))))

(defn- done?
  "Whether what the reference holds was reconciled last, on this login."
  [^Follow f]
  (let [{:keys [value], then :login} @(.-state f)]
    (and (identical? @(.-reference f) value) (= then (login f)))))

(defn- failed! [^Follow f e]
  (let [{:keys [origin]} (swap! (.-state f) assoc :error e)]
    (handle/emit! (.-server f) :reconcile-failed
                  (cond-> {:error e, :reference (.-reference f)} origin (assoc :origin origin)))))

(defn- repair! [^Follow f]
  (let [s (.-server f), root (:root (:report @(.-state f)))]
    ;; Of nothing that is declared there is nothing to repair.
    (when (reconcile/declared? s root)
      (let [opts (assoc (select-keys (.-options f) [:timeout-ms]) :root root)]
        (when-let [edits (seq (reconcile/drift s opts))]
          (handle/emit! s :drifted {:edits (vec edits), :reference (.-reference f)})
          (run! (fn [report]
                  (swap! (.-state f) (fn [state] (-> state (update :bundle-count + (:bundle-count report)) (update :byte-count + (:byte-count report))))))
                (reconcile/repair! s opts)))))
    ;; Where the last change was done, it was the look before that had failed.
    (when (done? f)
      (swap! (.-state f) dissoc :error))))

(defn- repair-later!
  "Has it look again after a while, where it is asked to and does not wait for that already."
  [^Follow f]
  (when-let [ms (:repair-ms (.-options f))]
    (when (.compareAndSet ^AtomicBoolean (.-looking f) false true)
      (.execute (CompletableFuture/delayedExecutor ms TimeUnit/MILLISECONDS)
                (fn [] (worker/offer! (.-worker f) :repair))))))

(defn- step!
  "Does what a worker was offered. Without a server it waits for the next."
  [^Follow f what]
  (case what
    :changed (.set ^AtomicBoolean (.-waiting f) false)
    :repair  (.set ^AtomicBoolean (.-looking f) false)
    nil)
  (if (not= :online (handle/status (.-server f)))
    (swap! (.-state f) #(-> (become % :offline) (assoc :value ::none) (dissoc :report :error)))
    (try
      (cond
        ;; What has failed is tried again when it has changed.
        (and (not (done? f)) (or (= :changed what) (nil? (:error @(.-state f))))) (reconcile! f)
        (= :repair what) (repair! f))
      (catch Exception e (failed! f e))))
  (when (instance? IPending what) (deliver what true))
  ;; The next look comes after this one, however long that took, and none while there is no server.
  (when (= :online (handle/status (.-server f)))
    (repair-later! f)))

(defn- changed! [^Follow f]
  (let [origin (origin/current)]
    (when-not (identical? origin (:origin @(.-state f)))
      (swap! (.-state f) assoc :origin origin)))
  (when (.compareAndSet ^AtomicBoolean (.-waiting f) false true)
    (worker/offer! (.-worker f) :changed)))

(defn- watch-key [s] [::follow s])

(defonce ^:private ^{:doc "By handle, and by root as it was given, who follows."} followers (WeakHashMap.))

(defn- take-over!
  "Ends whoever has followed for the same root so far."
  [^Follow f]
  (let [^WeakHashMap followers followers
        root   (:root (.-options f))
        root   (if (entity? root) (:id root) root)
        before (locking followers
                 (let [known (.get followers (.-server f))]
                   (.put followers (.-server f) (assoc known root (WeakReference. f)))
                   (some-> ^WeakReference (get known root) .get)))]
    (when (and before (not= :ended (:status @before)))
      (unfollow! before)
      ;; It may have had the last word.
      (swap! (.-state f) assoc :value ::none))))

(defn follow!
  "See `espalier.core/follow!`."
  [s reference opts]
  (options/check-call opts #{:root :prune :timeout-ms :repair-ms})
  (when-not (and (instance? IRef reference) (instance? IDeref reference))
    (throw (error/error :invalid-argument (str "An atom, var, ref or agent can be followed, (sc/follow! s #'tree) for example, not " (pr-str reference) ".")
                        {:argument :reference, :value reference})))
  (let [{:keys [repair-ms]} opts]
    (when-not (or (nil? repair-ms) (pos-int? repair-ms))
      (throw (error/error :invalid-option (str ":repair-ms is how often what plays is looked at, in milliseconds, not " (pr-str repair-ms) ".") {:option :repair-ms, :value repair-ms}))))
  (let [k    (watch-key s)
        made (promise)
        f    (Follow. s reference opts
                      (atom {:status :following, :change-count 0, :bundle-count 0, :byte-count 0, :value ::none})
                      (AtomicBoolean.) (AtomicBoolean.) (atom [])
                      (worker/worker (fn [what] (step! @made what)) (fn [_])))]
    (deliver made f)
    (reconcile! f)
    ;; Of two threads that follow at once, one replaces the other.
    (locking s
      (some-> (get (.getWatches ^IRef reference) k) meta :follow unfollow!)
      (take-over! f)
      (add-watch reference k (with-meta (fn [_ _ _ _] (changed! f)) {:follow f}))
      (let [listener (handle/on-lifecycle! s #{:booted :connected}
                                           (fn [{:keys [event]}]
                                             ;; A boot connects too, before it is done.
                                             (when (or (= :booted event) (not (handle/owner? s)))
                                               (changed! f))))]
        (reset! (.-stop f) [#(remove-watch reference k) #(handle/off! s listener)])))
    (repair-later! f)
    ;; What changed before there was a watch.
    (changed! f)
    f))

(defn- check [f]
  (when-not (instance? Follow f)
    (throw (error/error :invalid-argument (str "This wants what (sc/follow! s reference) returns, not " (pr-str f) ".") {:value f}))))

(defn unfollow!
  "See `espalier.core/unfollow!`."
  [^Follow f]
  (check f)
  (let [[stop _] (reset-vals! (.-stop f) [])]
    (run! (fn [g] (g)) stop)
    (swap! (.-state f) assoc :status :ended)
    (worker/stop! (.-worker f))
    f))

(defn await-followed
  "See `espalier.core/await-followed`."
  [^Follow f opts]
  (check f)
  (let [timeout-ms (or (:timeout-ms (options/check-call opts #{:timeout-ms}))
                       (:timeout-ms (.-options f))
                       (:timeout-ms (handle/effective-options (.-server f))))
        done       (promise)]
    (when (= :ended (:status @f))
      (throw (error/error :not-followed (str f " follows no more. (sc/follow! s reference) follows again.") {})))
    (worker/offer! (.-worker f) done)
    (when-not (deref done timeout-ms nil)
      (throw (error/error :no-answer (str f " has not done all changes within " timeout-ms " ms. :timeout-ms says how long to wait.") {:timeout-ms timeout-ms})))
    (let [{:keys [report error]} @f]
      (when error (throw error))
      report)))

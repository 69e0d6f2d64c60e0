(ns espalier.runtime.subscription
  "News of a server for somebody elsewhere, an editor for example: what becomes of its nodes,
  gathered over a while, and lifecycle events. Whoever takes it slowly hears of it less
  often and in larger pieces, and delays nobody."
  (:require
   [espalier.model.tree-changes :as tree-changes]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.worker :as worker])
  (:import
   (java.util.concurrent CompletableFuture TimeUnit)
   (java.util.concurrent.atomic AtomicBoolean)))

(set! *warn-on-reflection* true)

(def ^:private most-nodes
  "Of so many nodes the changes are told at a time; of others only their number."
  500)

(def ^:private most-events
  "So many events may wait for whoever takes them slowly; the oldest go first."
  200)

(defn- note-event [{:keys [events] :as news} event]
  (if (< (count events) (long most-events))
    (update news :events conj event)
    (assoc news :events (conj (subvec events 1) event), :events-dropped (inc (long (:events-dropped news 0))))))

(defn- note! [{:keys [news]} message]
  (when-let [change (tree-changes/change message)]
    (swap! news update :tree tree-changes/add change most-nodes)
    true))

(def ^:private nothing {:tree tree-changes/none, :events []})

(defn- tell-all!
  "Tells what has gathered; ends for good where that throws."
  [{:keys [news tell ^AtomicBoolean due stop]}]
  (.set due false)
  (let [[{:keys [tree events events-dropped]} _] (reset-vals! news nothing)]
    (try
      (doseq [event events]
        (tell {:event event}))
      (when events-dropped
        (tell {:events-dropped events-dropped}))
      (when-let [changes (tree-changes/told tree)]
        (tell changes))
      (catch Throwable _ (@stop)))))

(defn- tell-soon! [{:keys [^AtomicBoolean due interval-ms teller]}]
  (when (.compareAndSet due false true)
    (.execute (CompletableFuture/delayedExecutor interval-ms TimeUnit/MILLISECONDS)
              #(worker/offer! teller :news))))

(defn subscribe!
  "Has `tell` called with what happens on the server of a handle, through quit and boot, on
  a thread of its own: `{:event event}` with a lifecycle event, `{:events-dropped n}` where there
  were more than it took, or what `espalier.model.tree-changes/told` returns. Returns
  functions: `:stop` ends it, and is called by itself when `tell` throws, `:add!` has an event
  told that the handle has not.

  `:tree`         whether to tell what becomes of nodes
  `:events`       the names of the lifecycle events to tell
  `:interval-ms`  how long changes gather before they are told"
  [s tell {:keys [tree events interval-ms]}]
  (let [stop (atom nil)
        made (promise)
        sub  {:news (atom nothing), :tell tell, :due (AtomicBoolean.), :interval-ms (long interval-ms), :stop stop
              :teller (worker/worker (fn [_] (tell-all! @made)) (fn [_]))}
        osc  (when tree
               (handle/on-osc! s #(contains? #{"/n_go" "/n_end" "/n_move" "/n_on" "/n_off"} (first %))
                               #(when (note! sub %) (tell-soon! sub))
                               false))
        add! (fn [event]
               (swap! (:news sub) note-event event)
               (tell-soon! sub))
        life (when (seq events)
               (handle/on-lifecycle! s events add!))]
    (deliver made sub)
    (reset! stop (fn []
                   (some->> osc (handle/off! s))
                   (some->> life (handle/off! s))
                   (worker/stop! (:teller sub))))
    {:stop (fn [] (@stop)), :add! add!}))

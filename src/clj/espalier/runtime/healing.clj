(ns espalier.runtime.healing
  "What becomes of a handle whose server was lost: who decides that, and tries again until
  it is restored or there is no hope. How one attempt is made, `espalier.runtime.server`
  knows."
  (:require
   [espalier.model.backoff :as backoff]
   [espalier.model.error :as error]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.audio :as audio]
   [espalier.runtime.handle :as handle :refer [emit! leave! locked]])
  (:import
   (espalier.runtime.handle Server)
   (java.util.concurrent CountDownLatch TimeUnit)))

(set! *warn-on-reflection* true)

;; `phase` is an atom: :between, :open while `thread`, a promise, may be interrupted, or :cancelled. `over` is a promise
;; that is delivered when it has come to an end, whatever that is.
(deftype ^:private Healing [phase thread over])

(defn healing
  "A healing that has not begun."
  []
  (Healing. (atom :between) (promise) (promise)))

(defn over
  "What is delivered when a healing has come to an end."
  [^Healing h]
  (.-over h))

(defn cancelled?
  "Whether a healing is to end without success."
  [^Healing h]
  (= :cancelled @(.-phase h)))

(defn under-way?
  "Whether it is this healing that decides what becomes of the handle."
  [^Server s h]
  (and (identical? h (:healing @(.-state s)))
       (not (cancelled? h))))

(defn interruptible
  "Calls `f`, which `stop!` may interrupt. What is done elsewhere on the thread of a
  healing, to clean up, is not disturbed."
  [^Healing h f]
  (locking h
    (when (cancelled? h) (throw (InterruptedException.)))
    (reset! (.-phase h) :open))
  (try (f)
       (finally
         (locking h
           (compare-and-set! (.-phase h) :open :between)
           (Thread/interrupted)))))

(defn- cancel! [^Healing h]
  (let [thread (.-thread h)]
    (locking h
      (when (and (= :open @(.-phase h)) (not (identical? @thread (Thread/currentThread))))
        (.interrupt ^Thread @thread))
      (reset! (.-phase h) :cancelled))))

(defn- give-up!
  "The handle stays lost; `error` says why it could not be restored, nil where that was not
  wanted."
  [^Server s h error]
  (locked s
    (fn []
      (let [{:keys [lost jack] current :healing :as state} @(.-state s)]
        (when (identical? h current)
          (leave! s :lost (assoc (select-keys state [:kept :last-options])
                                 :lost (if error (str lost ", and " (ex-message error)) lost)))
          (audio/stop-dummy! jack)
          (when error (emit! s :restore-failed {:error error}))
          (emit! s :lost {:why lost}))))))

(defn stop!
  "Ends at once what restores the handle, if anything does; the handle is lost then, and
  nothing is left behind."
  [s]
  (when-let [h (:healing (handle/state s))]
    (cancel! h)
    (give-up! s h nil)))

(defn- wanted
  "What shall become of a lost handle, :restore or :offline; the option may be a function
  that decides."
  [s on-lost loss]
  (if (keyword? on-lost)
    on-lost
    (try (if (= :restore (on-lost s loss)) :restore :offline)
         (catch Throwable e
           (emit! s :handler-failed {:error e})
           :offline))))

(defn- not-restored [attempts ^Throwable e]
  (error/error :server-not-restored
               (str "was not restored in " (counted attempts "attempt")
                    (when e (str "; the last one failed: " (ex-message e)))
                    " (sc/reboot! s {:restore true}) tries once more.")
               {:attempts attempts}
               e))

(defn- pause! [h ms]
  (when (pos? (long ms))
    (interruptible h #(.await (CountDownLatch. 1) ms TimeUnit/MILLISECONDS))))

(defn- try-again! [^Server s h attempt! from]
  (let [{:keys [lost options]} @(.-state s)
        limit (:restore-attempts options)]
    (loop [n from, failure nil]
      (cond
        (not (under-way? s h)) nil
        (< (long limit) (long n)) (give-up! s h (not-restored (dec (long n)) failure))
        :else
        (let [pause-ms (backoff/pause-ms n)]
          (emit! s :restoring (cond-> {:why lost, :attempt n, :pause-ms pause-ms} failure (assoc :error failure)))
          (when-let [e (try (pause! h pause-ms)
                            (attempt! n)
                            nil
                            (catch Throwable e e))]
            (recur (inc (long n)) e)))))))

(defn begin!
  "Has a handle restored that was lost, on a thread of its own: where its options want
  that, or the function says so that they have in place of it.

  `loss`      what that function is told, a map of `:why` and the event
  `attempt!`  called with the number of the attempt, until it does not throw
  `from`      the number of the first attempt"
  [^Server s ^Healing h loss attempt! from]
  (let [{:keys [options]} @(.-state s)
        work   (fn []
                 (try (if (= :restore (wanted s (:on-lost options) loss))
                        (try-again! s h attempt! from)
                        (give-up! s h nil))
                      (when (cancelled? h) (give-up! s h nil))
                      (finally (deliver (.-over h) true))))
        thread (doto (Thread. ^Runnable work (str "espalier-healing-" (:port options)))
                 (.setDaemon true))]
    (deliver (.-thread h) thread)
    (.start thread)))

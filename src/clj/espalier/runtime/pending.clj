(ns espalier.runtime.pending
  "Bundles that a server keeps for their time: scsynth has places for 2,048 and drops others
  without a word. Those of this client are counted, and what has no place is refused."
  (:require
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.runtime.clock :as clock])
  (:import
   (java.time Duration Instant)
   (java.util PriorityQueue)))

(set! *warn-on-reflection* true)

(def ^:private ^Duration grace
  "So long after its time a bundle may still have its place."
  (Duration/ofMillis 100))

(defn pending-bundles
  "Nothing so far: the times of bundles, the next first."
  ^PriorityQueue []
  (PriorityQueue.))

(defn- over
  "What is before this has been carried out."
  ^Instant [{:keys [clock]}]
  (cond-> (clock/now clock) (not (clock/virtual? clock)) (.minus grace)))

(defn- prune! [^PriorityQueue times ^Instant limit]
  (loop []
    (when-let [^Instant next (.peek times)]
      (when (.isBefore next limit)
        (.poll times)
        (recur)))))

(defn pending
  "How many bundles of this client wait for their time, as far as it knows."
  ^long [{:keys [^PriorityQueue pending] :as session}]
  (locking pending
    (prune! pending (over session))
    (.size pending)))

(defn check!
  "Throws `:espalier.error/too-many-pending` where a server has no place for so many bundles
  more."
  [{:keys [engine] :as session} n]
  (let [places  (long (engine/trait engine :max-pending-bundles))
        waiting (pending session)]
    (when (< places (+ waiting (long n)))
      (throw (error/error :too-many-pending
                          (str waiting " bundles of this client wait for their time, and the server has places for " places
                               ": it would drop more without a word. Send them later, or (sc/reset-server! s).")
                          {:pending-count waiting, :most places})))))

(defn take!
  "Takes places for `n` bundles of a time, an Instant; those of a time that is past need none.

  Throws as `check!` does."
  [{:keys [^PriorityQueue pending clock] :as session} ^Instant at n]
  (when (.isAfter at (clock/now clock))
    (locking pending
      (check! session n)
      (dotimes [_ n] (.add pending at)))))

(defn clear!
  "The server has forgotten all bundles."
  [{:keys [^PriorityQueue pending]}]
  (locking pending (.clear pending)))

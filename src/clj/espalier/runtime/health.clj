(ns espalier.runtime.health
  "Counts how well the link to a server does, while it does: nothing here allocates or locks
  where packets pass. `of-session` makes it the value that `espalier.model.health` tells of."
  (:require
   [espalier.model.health :as health]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.pace :as pace]
   [espalier.runtime.pending :as pending]
   [espalier.runtime.port :as port])
  (:import
   (espalier.kernel Link)
   (java.time Instant)
   (java.util.concurrent.atomic AtomicLongArray LongAdder)))

(set! *warn-on-reflection* true)

;; Histograms of durations in nanoseconds, and how often what played was made right.
(deftype Health [^AtomicLongArray round-trips ^AtomicLongArray late ^AtomicLongArray sent-late ^LongAdder drifts])

(defn health
  "Counts of nothing so far."
  []
  (Health. (AtomicLongArray. (int health/place-count)) (AtomicLongArray. (int health/place-count))
           (AtomicLongArray. (int health/place-count)) (LongAdder.)))

(defn- count! [^AtomicLongArray histogram ^long nanos]
  (.incrementAndGet histogram (int (health/place nanos))))

(defn clear!
  "Back to nothing: another login begins."
  [^Health h]
  (doseq [^AtomicLongArray histogram [(.-round_trips h) (.-late h) (.-sent_late h)], i (range health/place-count)]
    (.set histogram (int i) 0))
  (.reset ^LongAdder (.-drifts h)))

(defn answered!
  "Notes that a question was answered after so long."
  [^Health h ^long nanos]
  (count! (.-round_trips h) nanos))

(defn sent-late!
  "Notes that a bundle was sent so long after its time."
  [^Health h ^long nanos]
  (count! (.-sent_late h) nanos))

(defn event!
  "Notes a lifecycle event, where it tells of health."
  [^Health h {:keys [event late-s]}]
  (case event
    :late    (count! (.-late h) (long (* 1e9 (double late-s))))
    :drifted (.increment ^LongAdder (.-drifts h))
    nil))

(defn- durations [^AtomicLongArray histogram]
  (health/durations (mapv #(.get histogram (int %)) (range health/place-count))))

;; ---- what the system tells

(defn dropped
  "How many packets had no room in the server's socket, and in ours, as far as the system tells."
  [{:keys [^Link link protocol] :as session}]
  {:sent     (:dropped (pace/server-socket session))
   :received (when (= :udp protocol) (:dropped (port/udp-socket (.localPort link))))})

(defn- lost
  "How many packets were dropped since the login."
  [{:keys [dropped-before] :as session}]
  (merge-with (fn [now before] (when (and now before) (max 0 (- (long now) (long before)))))
              (dropped session) dropped-before))

(defn of-session
  "The health of a login, a value; see `espalier.core/health`."
  [{:keys [^Link link mirror dispatcher since] h :health :as session}]
  (let [^Health h h]
    (health/shown
      {:at          (Instant/now)
       :since       since
       :sent        {:packet-count (.sent link), :byte-count (.sentBytes link)}
       :received    {:packet-count (.received link), :byte-count (.receivedBytes link), :malformed-count (.malformed link)}
       :lost        (lost session)
       :waits       {:count (.waits link), :ms (/ (quot (.waitedNanos link) 1000) 1e3)}
       :round-trips (durations (.-round_trips h))
       :late        (durations (.-late h))
       :sent-late   (durations (.-sent_late h))
       :queues      {:unread-packets   (.unread link)
                     :pending-bundles  (pending/pending session)
                     :waiting-calls    (dispatch/waiting dispatcher)
                     :handler-messages (dispatch/backlog dispatcher)}
       :suspected   (mirror/suspicions mirror)
       :repairs     {:tree (mirror/repairs mirror), :drift (.sum ^LongAdder (.-drifts h))}})))

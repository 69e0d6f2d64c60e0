(ns espalier.runtime.trace
  "The last packets in both directions, as they were on the wire: kept as they are,
  made data when somebody looks."
  (:require
   [espalier.model.error :as error]
   [espalier.model.failure :as failure]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.link :as link]
   [espalier.runtime.origin :as origin])
  (:import
   (espalier.kernel OscBundle OscMessage OscPacket TimeTag)
   (java.lang.ref SoftReference)
   (java.time Duration Instant)
   (java.util Date)
   (java.util.concurrent.atomic AtomicLong AtomicReferenceArray)))

(set! *warn-on-reflection* true)

(def ^:private size
  "How many packets are kept, a power of two."
  4096)

(deftype ^:private Entry [^long n ^long nanos direction packet origin])

(deftype Trace [^AtomicReferenceArray entries ^AtomicLong taken ^Instant started ^long started-nanos])

(defn trace
  "An empty trace."
  []
  (Trace. (AtomicReferenceArray. (int size)) (AtomicLong.) (Instant/now) (System/nanoTime)))

(defn- kept
  "A packet as it is kept: a large one only while there is memory."
  [packet]
  (if (if (instance? OscMessage packet)
        (< 1000 (.size (.arguments ^OscMessage packet)))
        (< 200 (.size (.packets ^OscBundle packet))))
    (SoftReference. packet)
    packet))

(defn add!
  "Notes a kernel packet; `direction` is :sent or :received."
  [^Trace t direction packet]
  (let [n (.getAndIncrement ^AtomicLong (.-taken t))]
    (.set ^AtomicReferenceArray (.-entries t) (int (bit-and n (dec (long size))))
          (Entry. n (System/nanoTime) direction (kept packet) (when (identical? :sent direction) (origin/current))))))

(defn packet-count
  "How many packets there have been so far; the next has this as its `:n`."
  ^long [^Trace t]
  (.get ^AtomicLong (.-taken t)))

(declare data)

(defn- completion
  "What a blob holds where it is a packet, a completion, in readable form; else the
  blob."
  [^bytes blob]
  (if-some [p (link/embedded blob)]
    {:completion (if (instance? OscMessage p) [(data p)] (:packets (data p)))}
    blob))

(defn- data
  "A kernel packet as `espalier.runtime.link/packet` takes it."
  [^OscPacket p]
  (if (instance? OscMessage p)
    (mapv #(cond
             (bytes? %)                    (completion %)
             (instance? java.util.List %) (vec %)
             :else                         %)
          (link/message p))
    (let [^OscBundle bundle p]
      {:at      (when-not (= TimeTag/IMMEDIATE (.timeTag bundle)) (TimeTag/toInstant (.timeTag bundle)))
       :packets (mapv data (.packets bundle))})))

(defn- packet-of [^Entry e]
  (let [p (.-packet e)]
    (if (instance? SoftReference p) (.get ^SoftReference p) p)))

(defn- addresses [p]
  (cond
    (instance? OscMessage p) [(.address ^OscMessage p)]
    (instance? OscBundle p)  (mapcat addresses (.packets ^OscBundle p))))

(defn entries
  "What is kept, the oldest first: maps of `:n`, the number of the packet, `:at`
  (a Date), `:direction`, `:packet`, which is nil of a large one that memory was
  needed for. The options are those of `espalier.core/trace`, with `:address` a set."
  [^Trace t {:keys [direction address after limit]}]
  (when-not (contains? #{nil :sent :received} direction)
    (throw (error/error :invalid-option (str ":direction is :sent or :received, not " (pr-str direction) ".") {:option :direction, :value direction})))
  (let [wanted? (fn [^Entry e]
                  (and e
                       (or (nil? direction) (= direction (.-direction e)))
                       (or (nil? after) (< (long after) (.-n e)))
                       (or (nil? address) (some address (addresses (packet-of e))))))
        found   (sort-by (fn [^Entry e] (.-n e))
                         (filter wanted? (map #(.get ^AtomicReferenceArray (.-entries t) (int %)) (range size))))]
    (mapv (fn [^Entry e]
            {:n         (.-n e)
             :at        (Date/from (.plusNanos ^Instant (.-started t) (- (.-nanos e) (.-started_nanos t))))
             :direction (.-direction e)
             :packet    (some-> (packet-of e) data)})
          (if limit (take-last limit found) found))))

;; ---- what has failed

(def ^:private ^Duration ahead
  "So long before a bundle's time a server may do it: it computes sound ahead of when it is heard."
  (Duration/ofMillis 100))

(defn- done-by?
  "Whether what is to be done at an Instant, or at once where that is nil, may have been done."
  [at now]
  (or (nil? at) (not (.isAfter ^Instant at now))))

(defn- requests
  "The messages within a packet as `data` has it that are done by an Instant, completions too."
  [p now]
  (if (map? p)
    (when (done-by? (:at p) now)
      (mapcat #(requests % now) (:packets p)))
    (cons p (mapcat #(when (map? %) (mapcat (fn [m] (requests m now)) (:completion %))) p))))

(defn- hides-completion? [^OscPacket p]
  (if (instance? OscMessage p)
    (some bytes? (.arguments ^OscMessage p))
    (some hides-completion? (.packets ^OscBundle p))))

(defn causes
  "What may have caused a `/fail`, the latest first, lazily: maps of `:n`, the number of the
  packet, `:request`, a message in it, and `:origin`, see `espalier.runtime.origin`. What is
  to be done at a time to come has caused nothing yet."
  [^Trace t [_ address :as fail]]
  (let [now    (.plus (clock/now) ahead)
        newest (dec (.get ^AtomicLong (.-taken t)))]
    (for [i     (range newest (max -1 (- newest (long size))) -1)
          :let  [^Entry e (.get ^AtomicReferenceArray (.-entries t) (int (bit-and (long i) (dec (long size)))))
                 p        (when (and e (= i (.-n e)) (= :sent (.-direction e))) (packet-of e))]
          :when (and p (or (some #{address} (addresses p)) (hides-completion? p)))
          request (requests (data p) now)
          :when (failure/mine? request fail)]
      {:n i, :request request, :origin (.-origin e)})))

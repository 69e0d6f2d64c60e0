(ns espalier.model.rehearsal-trouble
  "What happens to packets on their way to and from a rehearsal: numbers of a seed, so that
  the same seed does the same to the same packets.

      {:drop 0.1, :duplicate 0.05, :reorder 0.1, :delay-ms 5, :seed 42}

  Each is for both directions, or a map: `{:drop {:received 0.1, :sent 0}}`."
  (:require
   [espalier.model.error :as error])
  (:import
   (java.util SplittableRandom)))

(set! *warn-on-reflection* true)

(def known
  "The kinds of trouble, with what says that a value is right."
  (let [chance   (fn [x] (and (number? x) (<= 0 x 1)))
        quantity (fn [x] (and (number? x) (<= 0 x)))
        each     (fn [right?] (fn [x] (if (map? x) (and (every? #{:received :sent} (keys x)) (every? right? (vals x))) (right? x))))
        count?   (fn [x] (and (integer? x) (<= 0 x)))]
    {:drop               (each chance)
     :duplicate          (each chance)
     :reorder            (each chance)
     :delay-ms           (each quantity)
     :jitter-ms          (each quantity)
     :seed               integer?
     :silent             boolean?
     :refuse-logins      boolean?
     :notification-limit count?
     :reply-limit-bytes  count?
     :slow-done-ms       quantity}))

(defn check
  "`trouble` as it is, where it is right; nil values are none.

  Throws `:espalier.error/invalid-trouble`.

      (check {:drop 0.1})  ;=> {:drop 0.1}"
  [trouble]
  (when-not (or (nil? trouble) (map? trouble))
    (throw (error/error :invalid-trouble (str "Trouble is a map such as {:drop 0.1}, not " (pr-str trouble) ".") {:value trouble})))
  (doseq [[k x] trouble]
    (when-not (known k)
      (throw (error/error :invalid-trouble (str "There is no trouble " (pr-str k) "." (error/hint k (keys known))
                                                " (doc rehearsal/trouble!) lists them.") {:trouble k})))
    (when-not (or (nil? x) ((known k) x))
      (throw (error/error :invalid-trouble (str (pr-str k) " cannot be " (pr-str x) ". (doc rehearsal/trouble!) tells what it can be.")
                          {:trouble k, :value x}))))
  (into {} (remove (comp nil? val)) trouble))

(defn- of [trouble k direction]
  (let [x (get trouble k 0)]
    (double (if (map? x) (get x direction 0) x))))

(defn fate
  "What becomes of packet number `n` in a direction, `:received` or `:sent`:

      {:copies 1, :delay-ms 5.0, :hold? false}

  `:copies` is 0 where it is lost; one with `:hold?` waits until the next has gone before it."
  [trouble direction n]
  (let [random (SplittableRandom. (+ (* 1000003 (long (:seed trouble 0))) (* 2 (long n)) (if (= :sent direction) 1 0)))
        chance (fn [k] (< (.nextDouble random) (double (of trouble k direction))))
        lost?  (chance :drop)
        twice? (chance :duplicate)
        hold?  (chance :reorder)]
    {:copies   (cond lost? 0, twice? 2, :else 1)
     :hold?    hold?
     :delay-ms (+ (double (of trouble :delay-ms direction))
                  (* (.nextDouble random) (double (of trouble :jitter-ms direction))))}))

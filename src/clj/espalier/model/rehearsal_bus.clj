(ns espalier.model.rehearsal-bus
  "What the commands for control buses do to a rehearsal's world. Nothing but them writes a
  bus: what UGens would write is not known."
  (:require
   [espalier.model.rehearsal-command :as command]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

(defn- bus-count
  "How many control buses the world has."
  ^long [w]
  (long (:control-bus-channel-count (:options w))))

(defn value
  "What a control bus holds, a Float."
  [w i]
  (get (:control-buses w) i (float 0)))

(defn- out-of-range [w] (world/fail w "index out of range"))

(defn- set-buses [w r]
  (loop [w w]
    (if (< (message/remaining r) 8)
      w
      (let [i (message/int! r), x (message/float! r)]
        (if (< -1 i (bus-count w))
          (recur (assoc w :control-buses (assoc (:control-buses w) i x)))
          (out-of-range w))))))

(defn- set-ranges [w r]
  (loop [w w]
    (if-not (message/more? r)
      w
      (let [start (message/int! r)
            end   (message/int32 (+ start (message/int! r) -1))]
        (if (or (neg? start) (>= end (bus-count w)) (> start end))
          (out-of-range w)
          (recur (loop [i start, w w]
                   (if (and (<= i end) (message/more? r))
                     (recur (inc i) (assoc w :control-buses (assoc (:control-buses w) i (message/float! r))))
                     w))))))))

(defn- fill [w r]
  (loop [w w]
    (if (< (message/remaining r) 12)
      w
      (let [start (message/int! r)
            end   (message/int32 (+ start (message/int! r) -1))
            x     (message/float! r)
            n     (bus-count w)]
        (recur (if (or (neg? end) (>= start n))
                 w
                 (assoc w :control-buses
                   (reduce (fn [buses i] (assoc buses i x))
                           (:control-buses w)
                           (range (message/clip start 0 (dec n)) (inc (message/clip end 0 (dec n))))))))))))

(defn- get-buses [w r client]
  (let [heads (quot (message/remaining r) 4)]
    (loop [reply ["/c_set"]]
      (if (< (message/remaining r) 4)
        (command/answer w client (with-meta reply {:tag-count (inc (* 2 heads))}))
        (let [i (message/int! r)]
          (if (< -1 i (bus-count w))
            (recur (conj reply i (value w i)))
            (out-of-range w)))))))

(defn- get-ranges [w r client]
  (loop [reply ["/c_setn"]]
    (if-not (message/more? r)
      (command/answer w client reply)
      (let [start (message/int! r)
            n     (message/int! r)
            end   (message/int32 (+ start n -1))]
        (if (or (neg? start) (>= end (bus-count w)) (> start end))
          (out-of-range w)
          (recur (into (conj reply start n) (map (fn [i] (value w i))) (range start (inc end)))))))))

(def commands
  "By name: functions of the world, a reader and the client."
  {"c_set"  (fn [w r _] (set-buses w r))
   "c_setn" (fn [w r _] (set-ranges w r))
   "c_fill" (fn [w r _] (fill w r))
   "c_get"  get-buses
   "c_getn" get-ranges})

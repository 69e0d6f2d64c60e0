(ns espalier.bench.send
  "How fast 200,000 `/n_set` leave, and whether they arrive, all and in order. The
  witness is the responder, in a process of its own.

  Each thousand is followed by a `/sync`, ours and bare alike, during which the
  clock stands still: the system throws packets away where their reader has no
  turn for longer than its receive buffer lasts (some 10,000 such packets)."
  (:require
   [espalier.bench.bare :as bare]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.bench.responder :as responder]
   [espalier.core :as sc])
  (:import
   (java.nio ByteBuffer)))

(set! *warn-on-reflection* true)

(def ^:private message-count 200000)
(def ^:private burst 1000)

(defn- send-ours! [s ^long from ^long n]
  (loop [i from]
    (when (< i (+ from n))
      (sc/send! s ["/n_set" i "freq" 440.0 "amp" 0.1])
      (recur (inc i)))))

(defn- paced-ns
  "Calls `send!` with the first number of each burst and its size, and `sync!` after
  it; returns how long the sending took."
  [send! sync!]
  (loop [from 0, total 0]
    (if (= from message-count)
      total
      (let [ns (measure/elapsed-ns (send! from burst))]
        (sync! from)
        (recur (+ from (long burst)) (+ total (long ns)))))))

(defn- seen
  "What the witness has counted since it was asked last."
  [line]
  (let [^ByteBuffer reply (bare/request! line ["/seen"])]
    {:arrived (.getInt reply 16), :disorders (.getInt reply 20)}))

(defn- allocated-per-message [f]
  (let [before (measure/allocated-bytes)]
    (f message-count)
    (/ (- (measure/allocated-bytes) before) (double message-count))))

(defn- messages-per-s [ns]
  (/ message-count (/ ns 1e9)))

(defn- lost
  "How many of so many messages are missing or out of order by what the witness has
  seen."
  [sent {:keys [arrived disorders]}]
  (+ (- sent arrived) disorders))

(defn- measure-sends [s line port]
  (let [witnessed (atom [])
        run       (fn [who send! sync!]
                    (fn []
                      (let [ns (paced-ns send! sync!)]
                        (swap! witnessed conj (assoc (seen line) :who who))
                        ns)))]
    (assoc (measure/in-turns 7 2
                             (run :ours #(send-ours! s %1 %2) (fn [_] (sc/sync! s)))
                             (run :bare #(bare/n-sets! line %1 %2) #(bare/sync! line %)))
           :witnessed @witnessed
           :peers (peer/figures "send" [port 7 message-count burst] :witness #(seen line))
           :bytes (allocated-per-message #(dotimes [_ %] (sc/send! s ["/n_set" 1000 "freq" 440.0 "amp" 0.1]))))))

(defn- lost-at-worst [who witnessed]
  (apply max (for [w witnessed :when (= who (:who w))]
               (lost message-count w))))

(defn run
  "The rows of this section."
  []
  (responder/call-with-responder
    (fn [port]
      (with-open [^java.io.Closeable s    (sc/connect! (sc/server {:port port}))
                  ^java.io.Closeable line (bare/line port)]
        (let [{:keys [ours bare witnessed peers bytes]} (measure-sends s line port)]
          [{:figure   "200,000 /n_set, sent per second"
            :unit     "msg/s"
            :ours     (messages-per-s (measure/median ours))
            :bare     (messages-per-s (measure/median bare))
            :peers    (update-vals peers (fn [{:keys [rate]}] {:value rate}))
            :at-least 0.5}
           {:figure  "of these lost or out of order, at worst"
            :unit    "msg"
            :ours    (lost-at-worst :ours witnessed)
            :bare    (lost-at-worst :bare witnessed)
            :peers   (update-vals peers (fn [{:keys [sent seen]}] {:value (lost sent seen)}))
            :ours-at-most 0}
           {:figure "allocated per message of these"
            :unit   "bytes"
            :ours   bytes
            :bare   0}])))))

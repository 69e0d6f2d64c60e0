(ns espalier.bench.round-trip
  "How long one `/sync` takes, from the call to its return: against a responder
  that answers at once, which leaves the client's own cost, and against scsynth."
  (:require
   [espalier.bench.bare :as bare]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.bench.responder :as responder]
   [espalier.core :as sc]))

(set! *warn-on-reflection* true)

(defn- trips-us
  "The times of `n` calls of `f`, in microseconds."
  [n f]
  (let [times (long-array n)]
    (dotimes [i n]
      (aset times i (long (measure/elapsed-ns (f i)))))
    (mapv #(/ % 1e3) times)))

(defn- measure-trips [s port {:keys [rounds warm-up trips]}]
  (with-open [line (bare/line port)]
    (let [{:keys [ours bare]} (measure/in-turns rounds warm-up
                                                #(trips-us trips (fn [_] (sc/sync! s)))
                                                #(trips-us trips (fn [i] (bare/sync! line i))))]
      {:ours (into [] cat ours), :bare (into [] cat bare)})))

(defn- rows [what {:keys [ours bare peers]} target]
  (for [[p k] [[0.5 :p50] [0.99 :p99]]]
    (cond-> {:figure (str "round trip, " what ", " (name k))
             :unit   "us"
             :ours   (measure/percentile ours p)
             :bare   (measure/percentile bare p)
             :peers  (update-vals peers (fn [said] {:value (k said)}))}
      (= 0.5 p) (assoc :at-most target))))

(defn- with-instant-responder []
  (responder/call-with-responder
    (fn [port]
      (with-open [^java.io.Closeable s (sc/connect! (sc/server {:port port}))]
        (assoc (measure-trips s port {:rounds 60, :warm-up 150, :trips 1000})
               :peers (peer/figures "round-trip" [port 60 1000]))))))

(defn- with-scsynth []
  (let [port (sc/find-free-port)]
    (sc/with-server [s {:port port, :audio :dummy, :dummy-period-frames 64, :maximum-logins 2}]
      (measure-trips s port {:rounds 8, :warm-up 1, :trips 60}))))

(defn run
  "The rows of this section."
  []
  (concat (rows "instant responder" (with-instant-responder) 1.5)
          (rows "scsynth, period 64" (with-scsynth) nil)))

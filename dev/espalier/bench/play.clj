(ns espalier.bench.play
  "What playing costs: 100,000 settings of controls through an entity, each thousand
  followed by a `/sync` during which the clock stands still; a moment of 500 synths with
  five controls, built, encoded and sent; and a million samples to a buffer and back,
  which are compared. The settings go to the responder, the others to a real scsynth.

  Of the settings, bare is a DatagramChannel that sends messages of the same size; of the
  moment, the same bytes sent at once."
  (:require
   [espalier.bench.bare :as bare]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.bench.responder :as responder]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.runtime.link :as link])
  (:import
   (espalier.kernel OscCodec)
   (java.nio ByteBuffer)))

(set! *warn-on-reflection* true)

(def ^:private settings 100000)
(def ^:private burst 1000)
(def ^:private synths 500)
(def ^:private samples 1000000)

(defn- paced-ns [send! sync!]
  (loop [from 0, total 0]
    (if (= from settings)
      total
      (let [ns (measure/elapsed-ns (send! from burst))]
        (sync! from)
        (recur (+ from (long burst)) (+ total (long ns)))))))

(defn- per-s [ns]
  (/ settings (/ ns 1e9)))

(defn- chord! [s synthdef group]
  (sc/at s nil
    (dotimes [i synths]
      (sc/add-synth! s synthdef {:attack (+ 0.5 i), :amp 0.0, :gate 1, :release 2.0, :out 0} {:target group}))))

(defn- chord-bytes
  "The bytes of the moment that was sent last."
  ^ByteBuffer [s]
  (.encode (OscCodec. 65507)
           (link/packet (:packet (peek (sc/trace s {:direction :sent, :address "/s_new"}))))))

(defn- alone
  "How long `f`, of a new group, takes; what it has made is freed when the clock stands."
  [s f]
  (let [group (sc/add-group! s)
        ns    (measure/elapsed-ns (f group))]
    (sc/sync! s)
    (sc/free! group)
    (sc/sync! s)
    ns))

(defn- chords
  "The times of moments, ours, and bare: the bytes of one, sent."
  [s]
  (let [[synthdef] (sc/add-synthdefs! s instruments/pad)
        _          (alone s #(chord! s synthdef %))
        bytes      (chord-bytes s)]
    (measure/in-turns 100 300
                      #(alone s (fn [group] (chord! s synthdef group)))
                      #(alone s (fn [_] (.sendBytes (sc/osc-client s) bytes))))))

(defn- there-and-back
  "Milliseconds for the samples to a buffer, and back."
  [s]
  (let [b     (sc/add-buffer! s {:frame-count samples})
        there (float-array (repeatedly samples #(float (rand))))
        once  (fn []
                (let [back (volatile! nil)
                      ns   [(measure/elapsed-ns (sc/set-sample-range! b 0 there))
                            (measure/elapsed-ns (vreset! back (sc/get-sample-range b 0 samples)))]]
                  (when-not (java.util.Arrays/equals ^floats there ^floats @back)
                    (throw (ex-info "The samples that came back are others." {})))
                  (mapv #(/ % 1e6) ns)))
        times (drop 2 (doall (repeatedly 9 once)))]
    (mapv measure/median [(map first times) (map second times)])))

(defn- on-a-server
  "What needs a real server: `[chords there-and-back]`."
  []
  (sc/with-server [s {:audio :dummy, :port (sc/find-free-port), :load-synthdefs false, :maximum-node-count 2048, :memory-size 65536}]
    [(chords s) (there-and-back s)]))

(defn run
  "The rows of this section."
  []
  (responder/call-with-responder
    (fn [port]
      (with-open [^java.io.Closeable s    (sc/connect! (sc/server {:port port}))
                  ^java.io.Closeable line (bare/line port)]
        (let [synth   (sc/add-synth! s "default")
              bytes   (let [before (measure/allocated-bytes)]
                        (dotimes [i settings] (sc/set-controls! synth {:frequency 440.0, :amplitude 0.1}))
                        (/ (- (measure/allocated-bytes) before) (double settings)))
              set-ns  (measure/in-turns 7 3
                                        #(paced-ns (fn [_ n] (dotimes [_ n] (sc/set-controls! synth {:frequency 440.0, :amplitude 0.1})))
                                                   (fn [_] (sc/sync! s)))
                                        #(paced-ns (fn [from n] (bare/n-sets! line from n)) (fn [from] (bare/sync! line from))))
              peers   (peer/figures "play" [port 7 settings burst synths])
              [at-ns [there back]] (on-a-server)]
          [{:figure   "100,000 settings of two controls, per second"
            :unit     "set/s"
            :ours     (per-s (measure/median (:ours set-ns)))
            :bare     (per-s (measure/median (:bare set-ns)))
            :peers    (update-vals peers (fn [{:keys [rate]}] {:value rate}))
            :at-least 0.5}
           {:figure "allocated per setting"
            :unit   "bytes"
            :ours   bytes
            :bare   0}
           {:figure "a moment of 500 synths with 5 controls"
            :unit   "ms"
            :ours   (/ (measure/median (:ours at-ns)) 1e6)
            :bare   (/ (measure/median (:bare at-ns)) 1e6)
            :peers  (update-vals peers (fn [{:keys [moment]}] {:value moment}))
            :ours-at-most 2.0}
           {:figure "1,000,000 samples to a buffer"
            :unit   "ms"
            :ours   there
            :bare   0}
           {:figure "1,000,000 samples back, identical"
            :unit   "ms"
            :ours   back
            :bare   0}])))))

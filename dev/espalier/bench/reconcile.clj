(ns espalier.bench.reconcile
  "What a declared tree costs on scsynth with a period of 64 frames, from the form to the
  server's word that it is so."
  (:require
   [espalier.bench.measure :as measure]
   [espalier.core :as sc]
   [espalier.synthdef :as synthdef]))

(set! *warn-on-reflection* true)

(defn- form
  "A tree of `n` synths in groups of 100; `freq` is that of one synth."
  [n freq]
  (for [g (range (quot (long n) 100))]
    (into [:group {:key [:group g]}]
          (for [i (range 100)]
            [:synth {:key [:synth g i], :def :default} {:frequency (if (and (= 3 g) (= 33 i)) freq (+ 100 (long i))), :amplitude 0, :pan 0.5}]))))

(defn- median-ms [n f]
  (/ (measure/median (vec (repeatedly n #(measure/elapsed-ns (f))))) 1e6))

(defn run
  "Rows for `espalier.bench`."
  []
  (sc/with-server [s {:audio :dummy, :port (sc/find-free-port), :load-synthdefs false, :maximum-node-count 16384, :memory-size 262144}]
    (sc/add-synthdefs! s synthdef/default)
    (let [bus      (sc/add-bus! s {:rate :control})
          freq     (atom 0)
          change   #(sc/reconcile! s (form 1000 (swap! freq inc)))
          _        (dotimes [_ 400] (change))
          trip     (median-ms 200 #(sc/get-bus bus))
          one      (median-ms 200 change)
          report   (change)
          nothing  (median-ms 200 #(sc/reconcile! s (form 1000 @freq)))
          make     (fn [n]
                     (let [made (measure/elapsed-ns (sc/reconcile! s (form n 0)))]
                       (sc/reconcile! s nil)
                       (/ made 1e6)))
          _        (sc/reconcile! s nil)
          thousand (measure/median (vec (repeatedly 5 #(make 1000))))
          many     (measure/median (vec (repeatedly 3 #(make 10000))))]
      [{:figure "reconcile!, one control of 1,000 synths", :unit "ms", :ours one, :ours-at-most (+ 5 (* 2 trip))
        :remark (str "one round trip is " (format "%.1f" trip) " ms; " (count (:requests report)) " request, " (:bundle-count report) " bundle of " (:byte-count report) " bytes")}
       {:figure "reconcile!, nothing of 1,000 synths", :unit "ms", :ours nothing, :remark "nothing is sent"}
       {:figure "reconcile!, 1,000 synths made", :unit "ms", :ours thousand}
       {:figure "reconcile!, 10,000 synths made", :unit "ms", :ours many, :remark "in parts of one time, 100 ms ahead"}])))

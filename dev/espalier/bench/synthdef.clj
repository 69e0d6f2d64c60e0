(ns espalier.bench.synthdef
  "What a SynthDef costs from the call to its bytes, warm: a note of some twenty UGens, a
  graph of 200 and one of 2,000, a sum of 1,500 terms from the left, in which every
  addition joins those before it. Where sclang is installed it does the same, in a
  process of its own. And how long the UGens take to load beyond the core."
  (:require
   [clojure.string :as str]
   [espalier.bench.load :as load]
   [espalier.bench.measure :as measure]
   [espalier.bench.peer :as peer]
   [espalier.synthdef :as synthdef]
   [espalier.ugens :refer :all])
  (:import
   (java.util Locale)))

(set! *warn-on-reflection* true)

(defn- note []
  (synthdef/synthdef :note [:out 0, :freq 440, :amp 0.1, :pan 0, :gate 1]
                     (fn [out freq amp pan gate]
                       (with-operators
                         (let [tone (sum (var-saw:ar (* freq [0.998 1 1.003]) 0 0.3 0.3))
                               sig  (lpf:ar tone (x-line:kr (exp-rand:ir 4000 5000) (exp-rand:ir 2500 3200) 1))]
                           (offset-out:ar out (pan2:ar (* sig (linen:kr gate 0.01 0.7 0.3 :free-self)) pan amp)))))))

(defn- partials [n]
  (synthdef/synthdef :partials [:out 0, :freq 110]
                     (fn [out freq]
                       (with-operators
                         (let [sig (mapv (fn [i] (* (sin-osc:ar (* freq (+ i 1)) (* i 0.1)) (/ 0.5 (+ i 1)))) (range n))]
                           (out:ar out (pan2:ar (reduce + sig) 0 0.1)))))))

(defn- sum-of [n]
  (synthdef/synthdef :sum [] (fn [] (out:ar 0 (reduce add (repeatedly n white-noise:ar))))))

(def ^:private graphs
  "Those that sclang_peer.scd makes too, by the same names: what is called how often, the
  target in microseconds."
  [["note" "a note"                 note                2000  300.0]
   ["200"  "200 UGens"              #(partials 66)      500  2500.0]
   ["2000" "2,000 UGens"            #(partials 666)     50  25000.0]
   ["sum"  "a sum of 1,500 terms"   #(sum-of 1500)      50  15000.0]])

(defn- measured
  "Of `rounds` after as many that do not count: the median in microseconds, the bytes that
  one allocates, and those of the file."
  [make rounds]
  (let [once   #(synthdef/encode (make))
        _      (dotimes [_ rounds] (once))
        before (measure/allocated-bytes)
        times  (vec (repeatedly rounds #(measure/elapsed-ns (once))))
        after  (measure/allocated-bytes)]
    {:us        (/ (measure/median times) 1e3)
     :allocated (quot (- after before) (long rounds))
     :bytes     (alength ^bytes (once))}))

(defn- allocation [figure {:keys [allocated bytes]}]
  (String/format Locale/ROOT "%s: %,.0f kB allocated for %,d bytes" (object-array [figure (/ (long allocated) 1e3) bytes])))

(defn- same?
  "Whether a peer makes as many bytes of a graph."
  [[k] found figures]
  (= (:bytes found) (:bytes (get figures k))))

(defn- row [[k what _ _ target :as graph] found peers]
  {:figure       (str "SynthDef to bytes: " what)
   :unit         "us"
   :ours         (:us found)
   :peers        (into {} (for [[peer figures] peers :when (same? graph found figures)] [peer {:value (:us (get figures k))}]))
   :ours-at-most target})

(defn- remarks [all-found peers]
  (concat (map (fn [[_ what] found] (allocation what found)) graphs all-found)
          (for [[peer figures] peers
                [[_ what :as graph] found] (map vector graphs all-found)
                :when (not (same? graph found figures))]
            (str peer " makes another number of bytes of " what ": its time is left out"))
          (when-not (contains? peers "sclang")
            ["sclang is not installed: there is no column of it"])))

(defn run
  "The rows of this section."
  []
  (let [all-found (mapv (fn [[_ _ make rounds]] (measured make rounds)) graphs)
        peers     (peer/figures "synthdef" [])
        beyond    (load/beyond "(require 'espalier.core 'espalier.ugens)" "(require 'espalier.core)" 5)]
    (conj (mapv #(row %1 %2 peers) graphs all-found)
          {:figure       "require espalier.ugens, beyond espalier.core"
           :unit         "ms"
           :ours         (:beyond beyond)
           :bare         (:bare beyond)
           :ours-at-most 500.0
           :remark       (str/join "\n" (remarks all-found peers))})))

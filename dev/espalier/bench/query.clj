(ns espalier.bench.query
  "How long a large node tree takes to read: 5,000 synths with 5 controls in 50 groups, on
  scsynth with a period of 64 frames, against the bare transfer: a DatagramChannel that
  sends the 50 `/g_queryTree` in one bundle and takes in the bytes of the 50 replies. And what
  a reply of 1,000 such synths takes to parse."
  (:require
   [espalier.bench.bare :as bare]
   [espalier.bench.measure :as measure]
   [espalier.core :as sc]
   [espalier.model.tree :as tree]
   [espalier.synthdef :refer [synthdef]]
   [espalier.ugens :as ugens])
  (:import
   (java.nio ByteBuffer)
   (java.nio.channels DatagramChannel)
   (java.util Locale)))

(set! *warn-on-reflection* true)

(def ^:private group-count 50)
(def ^:private synths-each 100)

(def ^:private five-controls
  (synthdef :bench [:out 0, :freq 440, :amp 0.1, :pan 0.25, :cutoff 1200]
            (fn [out _ _ _ _] (ugens/out:kr out 0))))

(defn- fill!
  "Makes the groups and their synths, in a group that is paused, so that the server has time
  to answer; returns the ids of the groups."
  [s]
  (sc/add-synthdefs! s five-controls)
  (let [all (sc/add-group! s)]
    (sc/pause! all)
    (vec (for [g (range group-count)]
           (:id (sc/at s nil
                  (let [group (sc/add-group! s {:target all, :action :tail})]
                    (dotimes [i synths-each]
                      (sc/add-synth! s five-controls {:freq (+ 100 g i), :amp (rand), :pan 0.3} {:target group, :action :tail}))
                    group)))))))

(defn- take-in!
  "Sends the packet and reads so many replies; returns how many bytes they were."
  [^DatagramChannel channel ^ByteBuffer out ^ByteBuffer in n]
  (.write channel (.rewind out))
  (loop [left (long n), bytes 0]
    (if (pos? left)
      (recur (dec left) (+ bytes (do (.read channel (.clear in)) (.position in))))
      bytes)))

(defn- read-row []
  (let [port (sc/find-free-port)]
    (sc/with-server [s {:port port, :audio :dummy, :dummy-period-frames 64, :maximum-logins 2
                        :maximum-node-count 8192, :memory-size 65536}]
      (let [groups (fill! s)
            out    (bare/packet {:packets (mapv (fn [id] ["/g_queryTree" id 1]) groups)})
            in     (ByteBuffer/allocateDirect 65536)
            _      (sc/sync! s)
            _      (sc/query-tree s)
            tree   (sc/query-tree s)
            synths (filter :def (tree-seq :children :children tree))]
        (when-not (and (:complete? tree) (= (* group-count synths-each) (count synths)) (every? #(= 5 (count (:controls %))) synths))
          (throw (ex-info "The tree that was read is not the one that was made." (dissoc tree :children))))
        (with-open [channel (bare/open port)]
          (let [bytes (take-in! channel out in group-count)
                {:keys [ours bare]} (measure/in-turns 100 200
                                                      #(measure/elapsed-ns (sc/query-tree s))
                                                      #(measure/elapsed-ns (take-in! channel out in group-count)))]
            {:figure  "read 5,000 synths in 50 groups, complete"
             :unit    "ms"
             :ours    (/ (measure/median ours) 1e6)
             :bare    (/ (measure/median bare) 1e6)
             :at-most 3.0
             :remark  (String/format Locale/ROOT "the tree of 5,000 synths is %,d bytes in %d replies; the bare reader does not look at them"
                                     (object-array [bytes group-count]))}))))))

(defn- reply [n]
  (into ["/g_queryTree.reply" (int 1) (int 1000) (int n)]
        (mapcat (fn [i] [(int (+ 1001 i)) (int -1) (str "bench") (int 5)
                         "out" (float 0) "freq" (float (+ 100 i)) "amp" (float (rand)) "pan" (float 0.3) "cutoff" (float 1200)]))
        (range n)))

(defn- parse-row []
  (let [reply (reply 1000)]
    (dotimes [_ 1000] (tree/parse reply))
    {:figure       "parse the reply of 1,000 synths"
     :unit         "ms"
     :ours         (/ (measure/median (repeatedly 200 #(measure/elapsed-ns (tree/parse reply)))) 1e6)
     :ours-at-most 3.0}))

(defn run
  "The rows of this section."
  []
  [(read-row) (parse-row)])

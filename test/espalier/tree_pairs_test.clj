(ns espalier.tree-pairs-test
  "Random trees, one after the other, on real servers: whatever was there before, what
  plays then is what was declared, by the server's own word, and no server refuses
  anything."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.generators :as gen]
   [espalier.core :as sc]
   [espalier.model.nesting :as nesting]
   [espalier.model.plan :as plan]
   [espalier.servers :as servers]
   [espalier.synthdef :refer [defsynth]]
   [espalier.tree :as tree]
   [espalier.trees :as trees]
   [espalier.ugens :refer [out:ar sin-osc:ar]]))

(set! *warn-on-reflection* true)

(defsynth ^:private bell [freq 220, amp 0, out 0]          ; which may be any number, and is no bus
  (out:ar 0 (sin-osc:ar freq (+ amp out) :mul 0)))

(defsynth ^:private pad [freqs [220 330 440 550], amp 0, cutoff 0]
  (out:ar 0 (sin-osc:ar freqs (+ amp cutoff) :mul 0)))

(defsynth ^:private tick []
  (out:ar 0 (sin-osc:ar 0)))

(defsynth ^:private long-one [c0 0, c1 0, c2 0, c3 0, c4 0, c5 0, c6 0, c7 0, c8 0, c9 0, c10 0, c11 0]
  (out:ar 0 (sin-osc:ar (+ c0 c1 c2 c3 c4 c5) (+ c6 c7 c8 c9 c10 c11) :mul 0)))

(def ^:private synthdefs
  "With the names and controls of `espalier.trees/some-defs`."
  [bell pad tick (assoc long-one :name "long")])

(def ^:private failed-seeds
  "Of pairs that were wrong once." [1795532891953 1795532892323 1795532893212])

(defn- playable
  "The tree without ids, and with such controls as its SynthDefs have."
  [tree]
  (nesting/tree
    (mapv (fn [[{:keys [def] :as node} parent]]
            (let [sizes (get trees/some-defs def)]
              [(cond-> (dissoc node :id)
                 def (update :controls (fn [controls]
                                         (into {} (filter (fn [[k v]] (<= 1 (if (vector? v) (count v) 1) (sizes k 0)))) controls))))
               parent]))
          (nesting/rows tree))))

(defn- for-engine
  "The tree, on supernova without parallel groups where it does not survive it with them."
  [tree kind]
  (let [rows (nesting/rows tree)]
    (if (and (= "supernova" (:executable kind)) (plan/wedging rows))
      (nesting/tree (mapv (fn [[node parent]] [(dissoc node :parallel) parent]) rows))
      tree)))

(defn- nodes-in ^long [tree]
  (count (nesting/rows tree)))

(defn- pair-of
  "Two trees of a seed; one in ten has up to 200 nodes."
  [seed]
  (let [large? (zero? (mod (long seed) 10))]
    (mapv playable (gen/generate (trees/pair {:once false, :max-nodes (if large? 200 25), :changes (if large? 40 12)}) (if large? 100 30) seed))))

(defn- unresumable?
  "Whether an edit may be left on scsynth: a synth without a key in a parallel group that has
  never played, in a group that is paused, is not resumed."
  [{:keys [edit node running?]}]
  (and (= :run edit) running? (int? node)))

(defn- wrong-with
  "What is wrong when `wanted` has been declared, or nil."
  [s wanted]
  (let [{:keys [confirmed? differences]} (sc/reconcile! s (:children wanted))
        told (dissoc (sc/query-tree s {:group 1}) :id)
        left (tree/diff told wanted)]
    (when-not (and (= (nodes-in told) (nodes-in wanted))
                   (= confirmed? (empty? differences))
                   (= left (map #(dissoc % :why) differences))
                   (every? unresumable? left))
      {:confirmed? confirmed?, :differences differences, :left left, :nodes [(nodes-in told) (nodes-in wanted)]})))

(defn- run-pairs
  "Declares both trees of each seed one after the other on a server of this kind."
  [kind seeds]
  (sc/with-server [s (servers/options kind {:memory-size 262144, :maximum-node-count 2048})]
    (sc/add-synthdefs! s synthdefs)
    (let [fails (atom [])]
      (sc/on-osc! s "/fail" #(swap! fails conj %))
      (is (= [] (into [] (comp (mapcat (fn [seed] (map (fn [t] [seed (for-engine t kind)]) (pair-of seed))))
                               (keep (fn [[seed wanted]]
                                       (when-let [wrong (try (wrong-with s wanted)
                                                             (catch clojure.lang.ExceptionInfo e {:error (ex-message e)}))]
                                         (assoc wrong :seed seed))))
                               (take 3))
                      seeds)))
      (sc/sync! s)
      (is (= [] @fails))
      (is (= [] (sc/drift s)))
      (is (= :online (:status (datafy s)))))))

;; Each tree but the first is the second of two pairs: with the one before it, and the one behind.
(deftest each-tree-becomes-the-next
  (doseq [kind servers/udp-kinds]
    (testing (:executable kind)
      (run-pairs kind (concat failed-seeds (range 250))))))

(deftest ^:soak each-tree-becomes-the-next-for-longer
  (let [seed (System/currentTimeMillis)]
    (testing (str "seed " seed)
      (doseq [kind servers/udp-kinds]
        (run-pairs kind (range seed (+ seed 2000)))))))

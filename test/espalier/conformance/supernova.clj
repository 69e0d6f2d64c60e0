(ns espalier.conformance.supernova
  "What of scsynth's behaviour supernova shares: which commands are compared, what is left
  out of them, and in what the answers are known to differ."
  (:require
   [espalier.conformance.side :refer [group-ids]]))

(set! *warn-on-reflection* true)

(def compared
  "The commands that are sent to both, in their plain form. Left out are buffers, whose
  numbers supernova does not check (it crashes); SynthDefs beside those that are there from
  the beginning; array controls (`/g_queryTree` of one that is last crashes it);
  `/n_before` and `/n_after` (the group that is left goes on to count the node); maps;
  several nodes in one message; and whatever is wrong by its types: supernova logs it where
  scsynth reads something else."
  #{"/s_new" "/g_new" "/n_free" "/n_run" "/n_set" "/g_head" "/g_tail" "/g_freeAll" "/g_deepFree"
    "/g_queryTree" "/s_get" "/c_set" "/c_get"})

(def differences
  "In what the answers of the commands that are compared differ: what, and why."
  [["`/fail`" "supernova sends none for nodes and buses: what fails is compared by what it leaves"]
   ["`/n_end`" "supernova tells the old parent and neighbours where scsynth tells -1"]
   ["`/n_move`" "supernova tells the place before some moves, where scsynth tells the place behind them"]
   ["`/g_new`" "of a group that is there: scsynth tells it once more, supernova ignores it; each is made once here"]
   ["`/n_on`, `/n_off`" "supernova tells them though nothing changes"]
   ["`/n_info`" "supernova answers it to the sender"]
   ["`/status.reply`, `/notify`" "other arguments"]])

(def ^:private nodes (set (concat group-ids (range 1000 1008))))

(defn- number-controls? [controls]
  (and (even? (count controls))
       (every? (fn [[control value]] (and (#{"freq" "amp" "pan"} control) (number? value))) (partition 2 controls))))

(defn- plain? [[address & args]]
  (case address
    "/s_new"                   (let [[synthdef id action target & controls] args]
                                 (and (#{"plain" "bare"} synthdef) (nodes id) (#{0 1 2 3} action) (nodes target) (number-controls? controls)))
    "/g_new"                   (let [[id action target & more] args]
                                 (and (nil? more) (nodes id) (#{0 1 2 3} action) (nodes target)))
    "/n_set"                   (and (nodes (first args)) (next args) (number-controls? (rest args)))
    ("/n_free" "/g_freeAll" "/g_deepFree") (and (= 1 (count args)) (nodes (first args)))
    "/n_run"                   (and (= 2 (count args)) (nodes (first args)) (#{0 1} (second args)))
    ("/g_head" "/g_tail") (and (= 2 (count args)) (every? nodes args) (apply distinct? args))
    "/g_queryTree"             (and (= 2 (count args)) (nodes (first args)) (#{0 1} (second args)))
    "/s_get"                   (and (<= 2 (count args)) (nodes (first args)) (every? #{"freq" "amp" "pan"} (rest args)))
    "/c_set"                   (and (seq args) (even? (count args)) (every? #(and (int? (first %)) (<= 0 (first %) 31) (number? (second %))) (partition 2 args)))
    "/c_get"                   (and (seq args) (every? #(and (int? %) (<= 0 % 31)) args))
    false))

(defn common
  "Of a sequence what is compared."
  [packets]
  (first (reduce (fn [[kept groups] [address id :as m]]
                   (let [group? (= "/g_new" address)]
                     (if (and (vector? m) (compared address) (plain? m) (not (and group? (groups id))))
                       [(conj kept m) (cond-> groups group? (conj id))]
                       [kept groups])))
                 [[] #{1}] (filter vector? packets))))

(defn view
  "Of a segment of answers what is compared."
  [segment]
  (-> segment
      (update :replies #(filterv (comp #{"/g_queryTree.reply" "/n_set" "/c_set" "/c_setn"} first) %))
      (update :notifications (fn [ms] (into [] (comp (filter (comp #{"/n_go" "/n_end" "/n_move"} first))
                                                     (map #(if (= "/n_go" (first %)) % (subvec % 0 2))))
                                            ms)))
      (dissoc :removed)))

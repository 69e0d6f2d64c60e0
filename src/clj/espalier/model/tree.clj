(ns espalier.model.tree
  "Node trees as the server tells them: `/g_queryTree.reply` to nested data, and
  nested data to text.

  A node is a map, its children and its controls in the order of the server:

      {:id 0 :kind :group :children [{:id 1000 :kind :synth :def \"bass\"
                                      :controls {\"freq\" 55.0 \"amp\" \"c5\"}}]}

  Nothing here recurses: trees of any depth can be read and shown."
  (:require
   [clojure.string :as str]
   [espalier.model.error :refer [error]]))

(set! *warn-on-reflection* true)

(defn- bad
  "Throws `:bad-reply` for the element of `reply` at `index`."
  [reply index expected]
  (let [seen (if (< index (count reply)) (pr-str (nth reply index)) "the end")]
    (throw (error :bad-reply
                  (str "The /g_queryTree.reply holds " seen " at " index " where "
                       expected " belongs. Ask again with (sc/query-tree s); should it stay"
                       " so, Espalier does not know this version of the server.")
                  {:index index :expected expected :seen (nth reply index nil)
                   :reply-size (count reply)}))))

(defn- int-at [reply index expected]
  (let [x (nth reply index nil)]
    (if (int? x) (long x) (bad reply index expected))))

(defn- string-at [reply index expected]
  (let [x (nth reply index nil)]
    (if (string? x) x (bad reply index expected))))

(defn- value-at
  "The control value at `index`: a double, or \"c5\" / \"a3\" where it is mapped."
  [reply index]
  (let [x (nth reply index nil)]
    (cond
      (number? x) (Double/parseDouble (Float/toString (.floatValue ^Number x)))
      (and (string? x) (re-matches #"[ac]\d+" x)) x
      :else (bad reply index "a control's value"))))

(defn- add-slot
  "Appends slot `slot`, which the server calls `k`, to the entries of a synth's
  controls: [key values] pairs. A number as name continues the array before it;
  a name that was there before, or none, leaves the slot its number as its key."
  [{:keys [entries seen]} slot k v]
  (cond
    (and (string? k) (not (seen k)))
    {:entries (conj entries [k [v]]) :seen (conj seen k)}

    (and (int? k) (string? (first (peek entries))))
    {:entries (conj (pop entries) (update (peek entries) 1 conj v)) :seen seen}

    :else
    {:entries (conj entries [slot [v]]) :seen seen}))

(defn- controls-map
  "A map of the entries that keeps their order, however many there are."
  [entries]
  (clojure.lang.PersistentArrayMap.
    (object-array (mapcat (fn [[k [v & more :as vs]]] [k (if more vs v)]) entries))))

(defn- controls-at
  "Reads the controls that begin at `index`: [controls next-index]."
  [reply index]
  (let [n (int-at reply index "the number of controls")]
    (when (neg? n) (bad reply index "the number of controls"))
    (loop [slot 0, i (inc index), acc {:entries [] :seen #{}}]
      (if (= slot n)
        [(controls-map (:entries acc)) i]
        (let [k (nth reply i nil)]
          (when-not (or (string? k) (and (int? k) (= k slot)))
            (bad reply i (str "the name of control " slot ", or that number,")))
          (recur (inc slot) (+ i 2) (add-slot acc slot k (value-at reply (inc i)))))))))

(defn- node-at
  "Reads the node that begins at `index`: [node child-count next-index]."
  [reply index controls?]
  (let [id (int-at reply index "a node's id")
        n  (int-at reply (inc index) "a number of children, or -1 for a synth,")]
    (cond
      (nat-int? n) [{:id id :kind :group} n (+ index 2)]
      (not= n -1)  (bad reply (inc index) "a number of children, or -1 for a synth,")
      :else
      (let [synth {:id id :kind :synth :def (string-at reply (+ index 2) "a SynthDef's name")}]
        (if controls?
          (let [[controls after] (controls-at reply (+ index 3))]
            [(assoc synth :controls controls) 0 after])
          [synth 0 (+ index 3)])))))

(defn- nodes-of
  "All nodes of the reply, parents before children: [node child-count] pairs."
  [reply]
  (let [flag (int-at reply 1 "the flag 0 or 1")]
    (loop [index 2, missing 1, nodes []]
      (cond
        (pos? missing)
        (let [[node n after] (node-at reply index (= flag 1))]
          (recur (long after) (+ missing -1 (long n)) (conj nodes [node n])))

        (= index (count reply)) nodes
        :else (bad reply index "nothing")))))

(defn parse
  "The node tree that a `/g_queryTree.reply` tells.

  `reply`  the whole message as a vector, address first

  Returns nested data: a group is `{:id 0 :kind :group :children […]}`, a synth
  `{:id 1000 :kind :synth :def \"bass\" :controls {\"freq\" 55.0}}`. The controls keep
  the server's order. A value is a double (the shortest that is the server's
  32-bit float: 0.1, not 0.10000000149), or a string such as \"c5\" or \"a3\" where
  the control is mapped to that bus; the value of an array control is a vector of
  these. A slot that has no name, or one that an earlier control has, is found
  under its number. Without controls in the reply (flag 0) `:controls` is absent.
  The protocol tells no parallel group from a group.

  Throws `:bad-reply`, with the `:index` of the element, where the reply ends
  early, has something left over or an element of the wrong kind.

      (parse [\"/g_queryTree.reply\" 1 0 1 1000 -1 \"bass\" 1 \"freq\" 55.0])
      ;=> {:id 0 :kind :group
      ;    :children [{:id 1000 :kind :synth :def \"bass\" :controls {\"freq\" 55.0}}]}"
  [reply]
  (when-not (= "/g_queryTree.reply" (first reply))
    (bad (vec reply) 0 "\"/g_queryTree.reply\""))
  (first
    (reduce (fn [later [node n]]
              (if (= :group (:kind node))
                (conj (nthrest later n) (assoc node :children (vec (take n later))))
                (conj later node)))
            ()
            (rseq (nodes-of (vec reply))))))

(defn- number-text
  "A number with at most six digits behind the point, and at least one."
  [x]
  (let [x       (double x)
        rounded (when (< (abs x) 1e15)
                  (.setScale (BigDecimal. x) 6 java.math.RoundingMode/HALF_EVEN))]
    (if (or (nil? rounded)                                 ; huge, infinite or no number
            (and (zero? (.signum ^BigDecimal rounded)) (not (zero? x))))
      (str x)
      (let [plain (.toPlainString (.stripTrailingZeros ^BigDecimal rounded))]
        (if (str/includes? plain ".") plain (str plain ".0"))))))

(defn- value-text [x]
  (cond
    (number? x)     (number-text x)
    (sequential? x) (str "[" (str/join ", " (map value-text x)) "]")
    (instance? clojure.lang.Named x) (name x)
    :else           (str x)))

(defn- node-text [{:keys [id kind] :as node}]
  (str id " " (if (= :synth kind) (value-text (:def node)) (name kind))))

(defn- controls-text [controls]
  (str/join ", " (map (fn [[k v]] (str (if (int? k) k (value-text k)) ": " (value-text v))) controls)))

(defn text
  "A tree, as `parse` returns it, as lines of text: each node with its id and, for
  a synth, the name of its SynthDef, below it its controls, each level indented by
  four spaces. Numbers are rounded to six digits behind the point.

      (println (text tree))

      NODE TREE 0 group
          1 group
              1000 bell
                  out: 4.0, freq: 440.0, amp: 0.1"
  [tree]
  (loop [todo (list [0 tree]), lines []]
    (if-let [[depth {:keys [controls children] :as node}] (peek todo)]
      (let [indent (str/join (repeat depth "    "))]
        (recur (into (pop todo) (map (fn [child] [(inc depth) child])) (reverse children))
               (cond-> (conj lines (str indent (node-text node)))
                 (seq controls) (conj (str indent "    " (controls-text controls))))))
      (str "NODE TREE " (str/join "\n" lines)))))

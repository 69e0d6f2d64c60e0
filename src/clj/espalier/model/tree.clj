(ns espalier.model.tree
  "Node trees as the server tells them: `/g_queryTree.reply` to nested data, and
  nested data to text.

  A node is a map, its children and its controls in the order of the server:

      {:id 0 :kind :group :children [{:id 1000 :kind :synth :def \"bass\"
                                      :controls {\"freq\" 55.0 \"amp\" \"c5\"}}]}

  Nothing here recurses: trees of any depth can be read and shown."
  (:require
   [clojure.string :as str]
   [espalier.model.error :refer [error]]
   [espalier.model.message :as message]
   [espalier.model.words :refer [counted]])
  (:import
   (clojure.lang PersistentArrayMap)
   (java.util ArrayDeque Arrays HashSet)))

(set! *warn-on-reflection* true)

(defn- bad
  "Throws `:bad-reply` for the element of `reply` at `index`."
  [^objects reply ^long index expected]
  (let [there? (< index (alength reply))
        seen   (if there? (pr-str (aget reply index)) "the end")]
    (throw (error :bad-reply
                  (str "The /g_queryTree.reply holds " seen " at " index " where "
                       expected " belongs. Ask again with (sc/query-tree s); should it stay"
                       " so, Espalier does not know this version of the server.")
                  {:index index :expected expected :seen (when there? (aget reply index))
                   :reply-size (alength reply)}))))

(defn- int-at ^long [^objects reply ^long index expected]
  (let [x (when (< index (alength reply)) (aget reply index))]
    (if (int? x) (long x) (bad reply index expected))))

(defn- string-at ^String [^objects reply ^long index expected]
  (let [x (when (< index (alength reply)) (aget reply index))]
    (if (string? x) x (bad reply index expected))))

(defn- value-at
  "The control value at `index`: a double, or \"c5\" / \"a3\" where it is mapped."
  [^objects reply ^long index]
  (let [x (when (< index (alength reply)) (aget reply index))]
    (cond
      (instance? Float x) (message/decimal (.floatValue ^Float x))
      (number? x) (message/decimal (.doubleValue ^Number x))
      (and (string? x) (re-matches #"[ac]\d+" x)) x
      :else (bad reply index "a control's value"))))

(defn- key-among?
  "Whether `k` is one of the first `n` keys in an array of keys and values."
  [^objects entries ^long n ^String k]
  (let [hash (.hashCode k)]
    (loop [i 0]
      (and (< i n)
           (or (let [other (aget entries (* 2 i))]
                 (and (= hash (.hashCode other)) (.equals k other)))
               (recur (inc i)))))))

(defn- array-map-of
  "A map of the first `n` entries of an array of keys and values, in their order."
  [^objects entries ^long n]
  (PersistentArrayMap. (if (= (alength entries) (* 2 n)) entries (Arrays/copyOf entries (int (* 2 n))))))

(def ^:private few
  "Of so many keys it is faster to look through them than to keep a set."
  12)

(defn- controls-at
  "Reads the controls that begin at `index`, and moves the cursor behind them. A number
  as name continues the array before it; a name that was there before, or none,
  leaves the slot its number as its key."
  [^objects reply ^long index ^longs cursor]
  (let [n (int-at reply index "the number of controls")]
    (when (neg? n) (bad reply index "the number of controls"))
    (let [^objects entries (object-array (* 2 (min n (quot (- (alength reply) index) 2))))
          ^HashSet seen    (when (< (long few) n) (HashSet.))]
      (loop [slot 0, i (inc index), used 0]
        (if (= slot n)
          (do (aset cursor 0 i)
              (array-map-of entries used))
          (let [k (when (< i (alength reply)) (aget reply i))
                _ (when-not (or (string? k) (and (int? k) (= (long k) slot)))
                    (bad reply i (str "the name of control " slot ", or that number,")))
                v (value-at reply (inc i))]
            (if (and (int? k) (pos? used) (string? (aget entries (* 2 (dec used)))))
              (let [at (dec (* 2 used)), before (aget entries at)]
                (aset entries at (if (vector? before) (conj before v) [before v]))
                (recur (inc slot) (+ i 2) used))
              (do (aset entries (* 2 used)
                        (if (and (string? k) (if seen (.add seen k) (not (key-among? entries used k))))
                          k
                          slot))
                  (aset entries (inc (* 2 used)) v)
                  (recur (inc slot) (+ i 2) (inc used))))))))))

(defn- synth-at
  "Reads the synth that begins at `index`, and moves the cursor behind it."
  [^objects reply ^long index ^longs cursor]
  (let [id       (long (aget reply index))
        index    (+ index 2)
        def-name (string-at reply index "a SynthDef's name")]
    (if (= 1 (aget reply 1))
      {:id id :kind :synth :def def-name :controls (controls-at reply (inc index) cursor)}
      (do (aset cursor 0 (inc index))
          {:id id :kind :synth :def def-name}))))

(defn- close-groups
  "Gives a node that is complete to the group that is open, and closes those that are
  complete with it; returns the top of the tree when that is, else nil."
  [^ArrayDeque open node finish]
  (loop [node (finish node)]
    (if-some [^objects frame (.peek open)]
      (let [missing (dec (long (aget frame 1)))]
        (aset frame 2 (conj! (aget frame 2) node))
        (aset frame 1 (num missing))
        (when (zero? missing)
          (.pop open)
          (recur (finish {:id (aget frame 0) :kind :group :children (persistent! (aget frame 2))}))))
      node)))

(defn parse
  "The node tree that a `/g_queryTree.reply` tells.

  `reply`   the whole message, address first, as a vector or an array
  `finish`  a function of each node, its children finished already, to what stands for
            it in the tree (default: the node itself)

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
  ([reply] (parse reply identity))
  ([reply finish]
   (let [reply  (to-array reply)
         _      (when-not (and (pos? (alength reply)) (= "/g_queryTree.reply" (aget reply 0)))
                  (bad reply 0 "\"/g_queryTree.reply\""))
         _      (int-at reply 1 "the flag 0 or 1")
         cursor (long-array 1)
         open   (ArrayDeque.)]
     (loop [index 2]
       (let [id    (int-at reply index "a node's id")
             n     (int-at reply (inc index) "a number of children, or -1 for a synth,")
             synth (when (= n -1) (synth-at reply index cursor))
             after (if synth (aget cursor 0) (+ index 2))
             top   (cond
                     synth     (close-groups open synth finish)
                     (zero? n) (close-groups open {:id id :kind :group :children []} finish)
                     (pos? n)  (do (.push open (doto (object-array 3) (aset 0 (num id)) (aset 1 (num n)) (aset 2 (transient [])))) nil)
                     :else     (bad reply (inc index) "a number of children, or -1 for a synth,"))]
         (cond
           (nil? top)                (recur after)
           (= after (alength reply)) top
           :else                     (bad reply after "nothing")))))))

(defn named-values
  "The controls of a synth as `parse` has them, of the values of all its slots.

  `controls`  those of its SynthDef, as of `espalier.model.synthdef/controls`
  `values`    doubles, from slot 0 on

      (named-values {\"freq\" {:index 0 :size 1}, \"pan\" {:index 1 :size 2}} [55.0 -1.0 1.0])
      ;=> {\"freq\" 55.0, \"pan\" [-1.0 1.0]}"
  [controls values]
  (let [by-index (into {} (map (fn [[k {:keys [index size]}]] [index [k size]])) controls)
        n        (count values)]
    (loop [slot 0, entries []]
      (if (< slot n)
        (let [[k size] (get by-index slot)
              size     (min (long (or size 1)) (- n slot))]
          (recur (+ slot size)
                 (conj entries (or k slot) (if (= 1 size) (nth values slot) (subvec values slot (+ slot size))))))
        (PersistentArrayMap. (object-array entries))))))

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

(def ^:private colours
  "What stands before each part of a text at a terminal."
  {:id "\u001b[2m", :group "\u001b[34m", :synth "\u001b[32m", :key "\u001b[36m", :note "\u001b[33m", :bus "\u001b[35m"})

(defn- paint [colours? part text]
  (if colours? (str (get colours part) text "\u001b[0m") text))

(defn- node-text [{:keys [id kind paused parallel] k :key :as node} {:keys [ids colours]}]
  (str/join " "
            (cond-> []
              (and ids (some? id)) (conj (paint colours :id (str id)))
              true                 (conj (paint colours kind (if (= :synth kind) (value-text (if (some? (:def node)) (:def node) "?")) (name kind))))
              (some? k)            (conj (paint colours :key (pr-str k)))
              paused               (conj (paint colours :note "(paused)"))
              parallel             (conj (paint colours :note "(parallel)")))))

(defn- controls-text [controls {:keys [colours]}]
  (str/join ", " (map (fn [[k v]] (str (if (int? k) k (value-text k)) ": "
                                       (if (string? v) (paint colours :bus v) (value-text v))))
                      controls)))

(defn- count-below
  "How many nodes are below a node."
  [node]
  (loop [todo (list node), n 0]
    (if-let [{:keys [children]} (peek todo)]
      (recur (into (pop todo) children) (+ n (count children)))
      n)))

(defn shortcomings
  "What the last lines of a text say of a tree that does not tell all, a vector of strings.
  `:controls` as of `text`.

      (shortcomings {:kind :group, :children [], :complete? false} {})  ;=> [\"INCOMPLETE\"]"
  [{:keys [complete? missing changed mappings?]} {:keys [controls]}]
  (let [lack (fn [k what] (let [n (count (filter (fn [[_ ks]] (contains? ks k)) missing))]
                            (when (pos? n) (str (name k) " of " (counted n what)))))]
    (cond-> []
      (false? complete?)
      (conj (str "INCOMPLETE"
                 (when-let [parts (seq (keep identity [(lack :children "group") (lack :def "synth") (lack :controls "synth")]))]
                   (str ", not read: " (str/join ", " parts)))
                 (when (seq changed)
                   (str ", changed while it was read: " (counted (count changed) "group")))))

      (and controls (false? mappings?))
      (conj "Of controls that are mapped, some are shown with a value in place of the bus."))))

(defn text
  "A tree, as `parse` returns it, or a vector of several, as lines of text: each node with its
  id, where it has one, and, for a synth, the name of its SynthDef, below it its controls, each level indented by
  four spaces. A node's `:key` stands behind it, and whether it is `:paused` or
  `:parallel`. Numbers are rounded to six digits behind the point. A tree that is not
  `:complete?` says so in the last line.

  `:ids`       whether ids are shown (default true)
  `:controls`  whether controls are (default true)
  `:depth`     how many levels below the top are shown (default: all)
  `:colours`   whether with the colours of a terminal (default false)

      (println (text tree))

      NODE TREE 0 group
          1 group
              1000 bell
                  out: 4.0, freq: 440.0, amp: 0.1"
  ([tree] (text tree {}))
  ([tree options]
   (let [{:keys [depth] :as options} (merge {:ids true, :controls true} options)]
     (loop [todo  (if (vector? tree) (into () (map (fn [node] [1 node])) (rseq tree)) (list [0 tree]))
            lines (if (vector? tree) [(counted (count tree) "node")] [])]
       (if-let [[level {:keys [controls children] :as node}] (peek todo)]
         (let [indent (str/join (repeat level "    "))
               cut?   (and depth (<= (long depth) (long level)) (seq children))]
           (recur (if cut?
                    (pop todo)
                    (into (pop todo) (map (fn [child] [(inc (long level)) child])) (rseq (vec children))))
                  (cond-> (conj lines (str indent (node-text node options)))
                    (and (:controls options) (seq controls)) (conj (str indent "    " (controls-text controls options)))
                    cut?                                     (conj (str indent "    … " (counted (count-below node) "node"))))))
         (str "NODE TREE " (str/join "\n" (into lines (shortcomings tree options)))))))))

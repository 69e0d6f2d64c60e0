(ns espalier.model.form
  "Declared trees: what people write, to nodes as `espalier.model.tree` has them, and back.

  A node is written `[kind attributes controls & children]`:

      [:group {:key :mix}
        [:synth {:key :bass, :def :bass} {:freq 55, :amp 0.2}]
        (for [i (range 3)]
          [:synth {:key [:voice i], :def :bell} {:freq (* 110 (inc i))}])
        (when reverb?
          [:synth {:key :reverb, :def :reverb} {:in 16, :mix [:map :lfo]}])]

  Children may be nodes, nil, and sequences of these; `[:<> & children]` is several
  nodes where one is wanted. A node may also be a map as a query returns it:

      {:kind :synth, :key :bass, :def \"bass\", :controls {\"freq\" 55.0, \"amp\" 0.2}}

  | attribute | of | meaning |
  |---|---|---|
  | `:key`      | both   | names the node for as long as it is declared: a keyword, symbol, string, or a vector of these and numbers |
  | `:id`       | both   | the node with this id, where there is one and no key says more |
  | `:paused`   | both   | whether it is paused (default false) |
  | `:parallel` | groups | whether supernova may play its children at the same time, in no order |
  | `:def`      | synths | a SynthDef, or the name of one |
  | `:once`     | synths | whether it is not started again when it has ended by itself; wants a key |

  The value of a control is a number, true or false, a buffer or bus for its number, a
  name that was declared beside the tree for the same; `[:map bus]`, \"c5\" or \"a5\" for a
  bus to be mapped to; or a sequence of these for an array. nil is as if it was not
  written."
  (:require
   [clojure.string :as str]
   [espalier.model.command-type :as command-type]
   [espalier.model.entity :as entity]
   [espalier.model.error :refer [error hint]]
   [espalier.model.nesting :as nesting]))

(set! *warn-on-reflection* true)

;; ---- errors

(defn- shown [x]
  (let [s (binding [*print-length* 6, *print-level* 4] (pr-str x))]
    (if (< 120 (count s)) (str (subs s 0 120) "…") s)))

(defn- trail
  "Where a node is, in words: the keys of the groups above it."
  [rows parent]
  (loop [i parent, names ()]
    (if (or (nil? i) (<= (long i) 0))                      ; the first row stands for whatever the form is put into
      (when (seq names) (str " Below " (str/join " > " names) "."))
      (let [[{:keys [key]} above] (nth rows i)]
        (recur above (cons (if (some? key) (pr-str key) "a group") names))))))

(defn- invalid
  "The error of a part of a form. `at` has the `:path` to it and the `:rows` so far."
  [code says {:keys [path rows parent]} seen data]
  (error code (str says " Seen: " (shown seen) (when (seq path) (str " at " (pr-str path))) "." (trail rows parent))
         (merge {:path path, :seen seen} data)))

;; ---- values of controls

(defn- shortest
  "The shortest double that 32 bits tell from its neighbours, as replies are read."
  ^double [x]
  (let [f (float x), d (double f)]
    (if (and (== d (Math/rint d)) (< (Math/abs d) 1.0e7))
      d
      (Double/parseDouble (Float/toString f)))))

(def ^:private value-says
  "The value of a control is a number that 32 bits hold, true or false, a buffer or bus, the name of one that is declared beside the tree, [:map bus], or a sequence of these.")

(defn- named
  "The entity or number that is declared under a keyword."
  [k names at]
  (let [x (get names k ::none)]
    (if (identical? ::none x)
      (throw (invalid :unknown-name
                      (str "No bus or buffer " (pr-str k) " is declared beside the tree." (hint k (keys names))
                           " {:buses {" (pr-str k) " 1}, :tree […]} declares a bus.")
                      at k {:name k}))
      x)))

(defn- bus-symbols
  "What maps to a bus, or to each of a group of them."
  [x at seen]
  (let [letter (case (:rate x) :audio "a" :control "c" nil)]
    (when-not (and (entity/entity? x) letter)
      (throw (invalid :invalid-tree "[:map bus] wants a bus, a bus group, or the name of one that is declared beside the tree." at seen {})))
    (let [symbols (mapv (fn [i] (str letter (+ (long (:id x)) (long i)))) (range (:count x 1)))]
      (if (:count x) symbols (first symbols)))))

(declare value)

(defn- element [x names at]
  (let [v (value x names at)]
    (when (vector? v) (throw (invalid :invalid-tree "An array of values holds no arrays." at x {})))
    v))

(defn- value
  "The canonical value of a control: a double, \"c5\", or a vector of these."
  [x names at]
  (cond
    (number? x)  (if (command-type/finite x) (shortest x) (throw (invalid :invalid-tree value-says at x {})))
    (boolean? x) (if x 1.0 0.0)
    (string? x)  (if (re-matches #"[ac]\d{1,9}" x) x (throw (invalid :invalid-tree value-says at x {})))
    (keyword? x) (let [e (named x names at)] (if (number? e) (shortest e) (value e {} at)))
    (and (entity/entity? x) (contains? #{:bus :bus-group :buffer :buffer-group} (:kind x))) (shortest (:id x))
    (and (vector? x) (= :map (first x)))
    (let [bus (second x)]
      (when-not (= 2 (count x)) (throw (invalid :invalid-tree "A mapping is [:map bus]." at x {})))
      (bus-symbols (if (keyword? bus) (named bus names at) bus) at x))
    (and (sequential? x) (seq x) (<= (bounded-count 5000 x) 4096)) (mapv #(element % names at) x)
    (instance? float/1 x) (mapv shortest x)
    :else (throw (invalid :invalid-tree value-says at x {}))))

(defn- control-key [k at]
  (cond
    (ident? k)                           (name k)
    (and (string? k) (not= "" k))        k
    (and (int? k) (<= 0 (long k) 65535)) k
    :else (throw (invalid :invalid-tree "A control is named by a keyword, a string or its index." at k {}))))

(defn- canonical-controls [controls names at]
  (when-not (map? controls)
    (throw (invalid :invalid-tree "The controls of a synth are a map, {:freq 440} for example." at controls {})))
  (reduce-kv (fn [m k x]
               (if (nil? x)
                 m
                 (let [k' (control-key k at)]
                   (when (contains? m k') (throw (invalid :invalid-tree (str "Control " (pr-str k') " is written twice.") at controls {})))
                   (assoc m k' (value x names (update at :path conj k))))))
             {} controls))

;; ---- attributes

(def ^:private of-groups #{:key :id :parallel :paused})
(def ^:private of-synths #{:key :id :def :once :paused})

(def ^:private told
  "What a query or an earlier tree says beside, which nobody declares."
  #{:kind :children :controls :complete? :mappings? :synthdef})

(defn- key? [x]
  (or (ident? x) (string? x) (and (vector? x) (seq x) (every? #(or (number? %) (key? %)) x))))

(defn- check-key [k at]
  (when-not (key? k)
    (throw (invalid :invalid-tree
                    (str "A key is a keyword, symbol, string, or a vector of these and numbers." (when (number? k) (str " [:voice " k "] for example.")))
                    at k {:key k}))))

(defn- check-flag [attribute x at]
  (when-not (or (nil? x) (boolean? x))
    (throw (invalid :invalid-tree (str (pr-str attribute) " is true or false.") at x {:attribute attribute}))))

(defn- check-attributes [kind attributes at]
  (let [known (if (= :group kind) of-groups of-synths)]
    (doseq [k (keys attributes)]
      (when-not (or (known k) (told k))
        (throw (invalid :invalid-tree
                        (str "A " (name kind) " has no attribute " (pr-str k) "." (hint k known)
                             (when (= :synth kind) " Controls are a map of their own: [:synth {:def :bell} {:freq 440}]."))
                        at attributes {:attribute k}))))
    (let [{:keys [key id parallel paused once]} attributes]
      (when (some? key) (check-key key at))
      (when-not (or (nil? id) (and (int? id) (<= 0 (long id) Integer/MAX_VALUE)))
        (throw (invalid :invalid-tree "An :id is the number of a node." at id {})))
      (check-flag :parallel parallel at)
      (check-flag :paused paused at)
      (check-flag :once once at)
      (when (and once (nil? key))
        (throw (invalid :invalid-tree "A synth that is played :once wants a :key, by which it is known when it has ended." at attributes {}))))))

(defn- synthdef-of
  "The name of a SynthDef, and the SynthDef itself where that was given."
  [x at]
  (let [d    (when (and (map? x) (= :synthdef (:kind x))) x)
        name (cond d (:name d), (ident? x) (name x), (string? x) x)]
    (when-not (and (string? name) (not= "" name))
      (throw (invalid :invalid-tree "A synth wants :def, a SynthDef or the name of one." at x {})))
    [name d]))

(defn- canonical-node
  "The node of a kind with its attributes and controls, without children. `place` is
  where the controls are in its form."
  [kind {:keys [key id parallel paused once] :as attributes} controls place names at]
  (when-not (contains? #{:group :synth} kind)
    (throw (invalid :invalid-tree (str "A node is a :group or a :synth, not " (shown kind) "." (when (keyword? kind) (hint kind [:group :synth]))) at kind {:kind kind})))
  (check-attributes kind attributes at)
  (let [node (cond-> {:kind kind}
               (some? key) (assoc :key key)
               id          (assoc :id id)
               parallel    (assoc :parallel true)
               paused      (assoc :paused true))]
    (if (= :group kind)
      node
      (let [[def-name synthdef] (synthdef-of (:def attributes) at)
            synthdef (or synthdef (:synthdef attributes))]
        (cond-> (assoc node :def def-name, :controls (canonical-controls (or controls {}) names (update at :path conj place)))
          once     (assoc :once true)
          synthdef (assoc :synthdef synthdef))))))

;; ---- forms

(defn- several?
  "Whether a form stands for any number of nodes."
  [form]
  (or (nil? form)
      (and (vector? form) (or (empty? form) (= :<> (first form)) (not (keyword? (first form)))))
      (and (sequential? form) (not (vector? form)))))

(def ^:private most-nodes
  "More than any server holds: an endless sequence ends here."
  1000000)

(defn- split
  "A node's form as `[kind attributes controls place children]`: `place` is where the
  controls are, the children come with their paths."
  [form {:keys [path] :as at}]
  (cond
    (entity/entity? form)
    (throw (invalid :invalid-tree (str form " is an entity. [:" (name (:kind form)) " {:id " (:id form) "} …] declares the node that it names.") at form {}))

    (map? form)
    (let [{:keys [kind controls children]} form]
      (when (and (= :synth kind) (seq children))
        (throw (invalid :invalid-tree "A synth has no children." at form {})))
      (when-not (or (nil? children) (sequential? children))
        (throw (invalid :invalid-tree ":children are a sequence of nodes." at children {})))
      [kind form controls :controls [[children (conj path :children)]]])

    (vector? form)
    (let [[kind & more] form
          attributes    (when (and (map? (first more)) (not (:kind (first more)))) (first more))
          after         (if attributes (next more) more)
          second-map    (when (and attributes (map? (first after)) (not (:kind (first after)))) (first after))
          children      (if second-map (next after) after)
          from          (- (count form) (count children))]
      (when (= :synth kind)
        (when (some some? children)
          (throw (invalid :invalid-tree "A synth is [:synth attributes controls], and has no children." at form {}))))
      (when (and second-map (= :group kind))
        (throw (invalid :invalid-tree "A group has attributes alone; controls are a synth's." at form {})))
      [kind attributes second-map 2 (map-indexed (fn [i child] [child (conj path (+ from (long i)))]) children)])

    :else
    (throw (invalid :invalid-tree "A node is a vector, [:synth {:def :bell} {:freq 440}] for example, or a map with a :kind." at form {}))))

(defn- spread
  "What a form of several nodes stands for, with the paths."
  [form path]
  (cond
    (nil? form)                     nil
    (and (vector? form) (= :<> (first form))) (map-indexed (fn [i x] [x (conj path (inc (long i)))]) (rest form))
    :else                           (map-indexed (fn [i x] [x (conj path i)]) form)))

(defn- note-key [seen {:keys [key]} {:keys [path] :as at}]
  (cond
    (nil? key) seen
    (contains? seen key)
    (throw (invalid :duplicate-key (str "Key " (pr-str key) " is given to two nodes, here and at " (pr-str (seen key)) "; a key names one.") at key {:key key, :first-path (seen key)}))
    :else (assoc seen key path)))

(defn- read-rows
  "The rows of a group with what `form` stands for as its children."
  [form names]
  (loop [todo (list [form [] 0]), rows [[{:kind :group} -1]], seen {}]
    (if-let [[form path parent] (peek todo)]
      (let [todo (pop todo)]
        (if (several? form)
          (recur (into todo (map (fn [[x path]] [x path parent])) (reverse (spread form path))) rows seen)
          (let [at    {:path path, :rows rows, :parent parent}
                _     (when (< (long most-nodes) (count rows))
                        (throw (invalid :invalid-tree (str "A tree has at most " most-nodes " nodes; is a sequence endless?") at form {})))
                [kind attributes controls controls-at children] (split form at)
                node  (canonical-node kind attributes controls controls-at names at)
                place (count rows)]
            (recur (into todo (map (fn [[x path]] [x path place])) (reverse children))
                   (conj rows [node parent])
                   (note-key seen node at)))))
      rows)))

(defn nodes
  "The nodes that a form stands for, a vector of canonical nodes.

  `names`  what keywords among the values of controls mean: a map to buses, buffers or numbers

  Throws `:espalier.error/invalid-tree`, `:espalier.error/duplicate-key` and
  `:espalier.error/unknown-name`, with the `:path` to what is wrong in the form.

      (nodes [:synth {:key :bass, :def :bass} {:freq 55}])
      ;=> [{:kind :synth, :key :bass, :def \"bass\", :controls {\"freq\" 55.0}}]"
  ([form] (nodes form nil))
  ([form names]
   (:children (nesting/tree (read-rows form names)))))

(defn- node-form [{:keys [kind children] :as node}]
  (let [attributes (select-keys node [:key :id :def :parallel :once :paused])
        attributes (if (= :synth kind) (update attributes :def (fn [d] (or (:synthdef node) (if (re-matches #"[A-Za-z][\w.*+!?<>=-]*" d) (keyword d) d)))) attributes)
        controls   (into (array-map) (map (fn [[k v]] [(if (and (string? k) (re-matches #"[A-Za-z_][\w-]*" k)) (keyword k) k) v])) (:controls node))]
    (cond-> [kind]
      (seq attributes)                        (conj attributes)
      (and (= :synth kind) (seq controls))    (conj controls)
      (seq children)                          (into children))))

(defn written
  "A canonical node as one writes it, from which `nodes` makes the same again.

      (written {:kind :group, :key :mix, :children [{:kind :synth, :def \"bell\", :controls {\"freq\" 440.0}}]})
      ;=> [:group {:key :mix} [:synth {:def :bell} {:freq 440.0}]]"
  [node]
  (let [rows (nesting/rows node)]
    ;; From the last, for trees may be deeper than the stack.
    (loop [i (dec (count rows)), children {}]
      (let [[node parent] (nth rows i)
            form (node-form (assoc node :children (children i)))]
        (if (zero? i)
          form
          (recur (dec i) (update (dissoc children i) parent (fn [forms] (cons form forms)))))))))

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

  A map may have `:complete?`, `:mappings?` and `:synthdef` beside, as a query or an earlier
  tree tells them.

  The value of a control is a number, true or false, a buffer or bus for its number, a
  name that was declared beside the tree for the same; `[:map bus]`, \"c5\" or \"a5\" for a
  bus to be mapped to; or a sequence of these for an array. nil is as if it was not
  written."
  (:require
   [clojure.string :as str]
   [espalier.model.command-type :as command-type]
   [espalier.model.entity :as entity]
   [espalier.model.error :refer [error hint]]
   [espalier.model.nesting :as nesting])
  (:import
   (clojure.lang IDeref IRef PersistentArrayMap)
   (java.util ArrayList HashMap HashSet)))

(set! *warn-on-reflection* true)

;; ---- where a part of a form is: `:path`, a list from the last step to the first, for
;; ---- it is told in errors alone; the `:rows` so far; and the place of its `:parent` there

(defn- within [at & steps] (update at :path into steps))

(defn- whole [path] (vec (reverse path)))

(defn- shown
  ([x] (shown x 6 120))
  ([x length most]
   (let [s (binding [*print-length* length, *print-level* 4] (pr-str x))]
     (if (< (long most) (count s)) (str (subs s 0 most) "…") s))))

(defn- trail
  "Which groups a node is in, in words: the keys of the last few."
  [{:keys [^ArrayList rows parent]}]
  (loop [i parent, names ()]
    (if (<= (long i) 0)                                    ; the first row stands for whatever the form is put into
      (when (seq names) (str " Below " (str/join " > " names) "."))
      (if (= 6 (count names))
        (recur 0 (cons "…" names))
        (let [[{:keys [key]} above] (.get rows (int i))]
          (recur above (cons (if (some? key) (shown key) "a group") names)))))))

(defn whereabouts
  "Which node is in row `i`, see `espalier.model.nesting`, in words: by its key or id, or its place in its
  group, and the groups above it.

      (whereabouts [[{:kind :group} -1] [{:kind :group, :key :mix} 0] [{:kind :synth, :key [:voice 3]} 1]] 2)
      ;=> \"node [:voice 3], below :mix\""
  [rows i]
  (let [name   (fn [i] (let [{:keys [key id]} (first (nth rows i))] (cond (some? key) (shown key), id (str id), :else "a group")))
        parent (fn [i] (long (second (nth rows i))))
        above  (fn [i] (take 7 (take-while pos? (iterate parent i))))
        below  (fn [groups] (when (seq groups)
                              (str ", below " (str/join " > " (cond->> (map name (reverse (take 6 groups))) (< 6 (count groups)) (cons "…"))))))
        group  (parent i)
        {:keys [key id]} (first (nth rows i))]
    (if (or (some? key) id)
      (str "node " (name i) (below (above group)))
      (str "child " (inc (long (count (filter (fn [j] (= group (parent j))) (range (inc group) i)))))
           " of " (if (pos? group) (str (name group) (below (above (parent group)))) "the top")))))

(defn- invalid
  "The error of what is `seen` in a form `at` some place."
  ([says at seen] (invalid :invalid-tree says at seen {}))
  ([code says at seen data]
   (let [path (whole (:path at))]
     (error code (str says " Seen: " (shown seen) (when (seq path) (str " at " (shown path 40 300))) "." (trail at))
            (merge {:path path, :seen seen} data)))))

;; ---- values of controls

(defn- shortest
  "The shortest double that 32 bits tell from its neighbours, as replies are read."
  ^double [^double d]
  (let [size  (Math/abs d)
        ;; Six digits 32 bits always tell apart.
        scale (cond (< size 1.0) 1e6, (< size 10.0) 1e5, (< size 100.0) 1e4, (< size 1000.0) 1e3, :else 1e2)]
    (if (or (and (< size 1e7) (== d (Math/rint d)))
            (and (< size 1e4) (== d (/ (Math/rint (* d scale)) scale))))
      d
      (Double/parseDouble (Float/toString (unchecked-float d))))))

(def ^:private value-says
  "The value of a control is a number that 32 bits hold, true or false, a buffer or bus, the name of one that is declared beside the tree, [:map bus], or a sequence of these.")

(defn- bus? [x] (and (entity/entity? x) (contains? #{:bus :bus-group} (:kind x))))

(defn- unknown-name
  "The error of a name that is not declared, with words on what may be meant."
  [what k says at]
  (invalid :unknown-name (str "No " what " " (shown k) " is declared beside the tree." says) at k {:name k}))

(defn- named
  "The entity or number that is declared under a keyword."
  [k names at]
  (let [x (get names k ::none)]
    (if (identical? ::none x)
      (throw (unknown-name "bus or buffer" k (str (hint k (keys names)) " {:buses {" (shown k) " 1}, :tree […]} declares a bus.") at))
      x)))

(defn- named-bus
  "The bus that is declared under a keyword."
  [k names at]
  (let [x (get names k ::none)]
    (cond
      (identical? ::none x)
      (throw (unknown-name "bus" k (str (hint k (keep (fn [[k x]] (when (bus? x) k)) names)) " {:buses {" (shown k) " :control}, :tree […]} declares one.") at))

      (number? x)
      (throw (invalid (str (shown k) " stands for the number " (shown x) ", and a number cannot be mapped to: a bus can, and \"c" (shown x) "\" or \"a" (shown x) "\".") at k))

      :else x)))

(defn- bus-symbols
  "What maps to a bus, or to each of a group of them."
  [x at]
  (when-not (and (entity/entity? x) (:rate x))
    (throw (invalid (str "[:map bus] wants a bus, a bus group, or the name of one that is declared beside the tree."
                         (when (and (int? x) (<= 0 (long x))) (str " \"c" x "\" or \"a" x "\" in its place maps to a bus by its number.")))
                    at x)))
  (let [symbols (entity/bus-symbols (assoc x :id ((:id-of at) x)))]
    (if (:count x) symbols (first symbols))))

(def ^:private longest-array 4096)

(defn- number-value
  "The canonical value that a number is, or nil."
  [x]
  (cond
    (instance? Double x) (let [d (double x)] (when (or (<= (Math/abs d) 3.4028234663852886E38) (Double/isInfinite d)) (shortest d)))
    (number? x)          (when-some [n (command-type/finite x)] (shortest (double n)))))

(defn- mapping? [x] (and (vector? x) (= :map (nth x 0 nil))))

(declare value)

(defn- array [xs names at]
  ;; A mapping with a slip in it looks like an array.
  (when (vector? xs)
    (let [k (nth xs 0)]
      (when (and (keyword? k) (next xs) (not (contains? names k)))
        (throw (unknown-name "bus or buffer" k
                             (if (= "" (hint k (keys names)))
                               (str " Did you mean " (shown (assoc xs 0 :map)) "?")
                               (str (hint k (keys names)) " A mapping is [:map bus]."))
                             (within at 0))))))
  (into [] (map-indexed (fn [i x]
                          (let [at (within at i)
                                v  (if (and (sequential? x) (not (mapping? x))) x (value x names at))]
                            (when (sequential? v) (throw (invalid "An array of values holds no arrays." at x)))
                            v)))
        xs))

(defn- value
  "The canonical value of a control: a double, \"c5\", or a vector of these."
  [x names at]
  (cond
    (number? x)  (or (number-value x) (throw (invalid value-says at x)))
    (boolean? x) (if x 1.0 0.0)
    (string? x)  (if (re-matches #"[ac]\d{1,9}" x) x (throw (invalid value-says at x)))
    (keyword? x) (value (named x names at) {} at)
    (and (entity/entity? x) (contains? #{:bus :bus-group :buffer :buffer-group} (:kind x))) (shortest (double ((:id-of at) x)))
    (mapping? x)
    (let [bus (second x)]
      (when-not (= 2 (count x)) (throw (invalid "A mapping is [:map bus]." at x)))
      (bus-symbols (if (keyword? bus) (named-bus bus names (within at 1)) bus) (within at 1)))
    (and (sequential? x) (seq x) (<= (bounded-count (inc (long longest-array)) x) (long longest-array))) (array x names at)
    (instance? float/1 x) (value (vec x) names at)
    :else (throw (invalid value-says at x))))

(defn- control-name
  "The canonical name of a control, or nil."
  [k]
  (cond
    (ident? k)                           (name k)
    (and (string? k) (not= "" k))        k
    (and (int? k) (<= 0 (long k) 65535)) (long k)))

(defn- ordered
  "A map of what a list has in turns, which keeps that order."
  [^ArrayList entries]
  (PersistentArrayMap. (.toArray entries)))

(defn- canonical-controls
  "The controls that are written at the step `place` of a node."
  [controls names at place]
  (cond
    (nil? controls)       {}
    (not (map? controls)) (throw (invalid "The controls of a synth are a map, {:freq 440} for example." (within at place) controls))
    :else
    (let [entries (ArrayList.)
          seen    (HashSet.)]
      (reduce-kv (fn [_ k x]
                   (when (some? x)
                     (let [k' (or (control-name k) (throw (invalid "A control is named by a keyword, a string or its index." (within at place) k)))
                           v  (or (number-value x) (value x names (within at place k)))]
                       (when-not (.add seen k')
                         (throw (invalid (str "Control " (shown k') " is written twice.") (within at place) controls)))
                       (.add entries k')
                       (.add entries v))))
                 nil controls)
      (ordered entries))))

;; ---- attributes

(def ^:private of-groups [:key :id :paused :parallel])
(def ^:private of-synths [:key :id :paused :def :once])

(def ^:private attributes-of {:group (set of-groups), :synth (set of-synths)})

(defn- attribute? [kind k] (contains? (get attributes-of kind) k))

(def ^:private told
  "What only a node that is written as a map may have beside its attributes."
  #{:kind :children :controls :complete? :mappings? :synthdef})

(defn- same-number
  "One number for all that are equal, which stands in a key; nil for none."
  [x]
  (cond
    (instance? Long x) x
    (integer? x)       (if (<= Long/MIN_VALUE x Long/MAX_VALUE) (long x) x)
    (float? x)         (let [d (double x)] (when-not (Double/isNaN d) d))
    :else              x))

(defn- plain-part?
  "Whether part of a key is canonical, surely."
  [x]
  (or (instance? Long x) (ident? x) (string? x)))

(defn- canonical-key
  "The key that `x` is, or nil. `depth` is how many vectors it may be."
  [x ^long depth]
  (cond
    (ident? x)  x
    (string? x) x
    (and (vector? x) (pos? (count x)) (pos? depth))
    (if (every? plain-part? x)
      x
      (reduce (fn [k y]
                (let [y (if (number? y) (same-number y) (canonical-key y (dec depth)))]
                  (if (nil? y) (reduced nil) (conj k y))))
              [] x))))

(defn- bad-key [x at]
  (invalid :invalid-tree
           (str "A key is a keyword, symbol, string, or a vector of these and numbers." (when (number? x) (str " [:voice " (shown x) "] for example.")))
           at x {:key x}))

(defn- synthdef? [x] (and (map? x) (= :synthdef (:kind x)) (string? (:name x))))

(defn- def-name
  "The name of the SynthDef that a synth's `:def` is, or nil."
  [x]
  (let [s (cond (ident? x) (name x), (string? x) x, (synthdef? x) (:name x))]
    (when-not (= "" s) s)))

(defn- no-def [x at] (invalid "A synth wants :def, a SynthDef or the name of one." at x))

(defn- no-attribute [kind k x map-form? at]
  (let [synth? (= :synth kind)
        those  (cond-> (if synth? of-synths of-groups) map-form? (conj (if synth? :controls :children)))]
    (invalid :invalid-tree
             (str "A " (name kind) " has no attribute " (shown k) "." (when (keyword? k) (hint k those))
                  " It takes " (str/join ", " those) "."
                  (when synth?
                    (if map-form? " Controls are a map below :controls." " Controls are a map of their own: [:synth {:def :bell} {:freq 440}].")))
             at x {:attribute k})))

(defn- with-attributes
  "The node of a kind with its attributes. `at-of` tells where an attribute is."
  [kind attributes map-form? at-of]
  (let [group? (= :group kind)
        node   (reduce-kv
                 (fn [node k x]
                   (case (when (keyword? k) k)
                     :key
                     (if (nil? x) node (assoc node :key (or (canonical-key x 8) (throw (bad-key x (at-of k))))))

                     :id
                     (cond
                       (nil? x)                                              node
                       (and (int? x) (<= 0 (long x) Integer/MAX_VALUE)) (assoc node :id (long x))
                       :else
                       (throw (invalid (str "An :id is the number of a node." (when (entity/entity? x) " (:id entity) is its number.")) (at-of k) x)))

                     (:paused :parallel :once :def)
                     (cond
                       (not (attribute? kind k)) (throw (no-attribute kind k x map-form? (at-of k)))
                       (= :def k)    (cond-> (assoc node :def (or (def-name x) (throw (no-def x (at-of k)))))
                                       (map? x) (assoc :synthdef x))
                       (true? x)     (assoc node k true)
                       (not x)       node
                       :else         (throw (invalid :invalid-tree (str (pr-str k) " is true or false.") (at-of k) x {:attribute k})))

                     (if (and map-form? (keyword? k) (contains? told k)) node (throw (no-attribute kind k x map-form? (at-of k))))))
                 {:kind kind} attributes)]
    (when-not (or group? (:def node))
      (throw (no-def nil (at-of :def))))
    (when (and (:once node) (nil? (:key node)))
      (throw (invalid "A synth that is played :once wants a :key, by which it is known when it has ended." (at-of :once) true)))
    node))

;; ---- nodes: each reader returns the node without its children, and these, a sequence, with the way to the first

(defn- check-kind
  "Throws where the kind, at the step `place` of a node, is none."
  [kind at place]
  (when-not (or (= :group kind) (= :synth kind))
    (throw (invalid :invalid-tree
                    (str (if (nil? kind) "A node as a map wants :kind :synth or :group." (str "A node is a :group or a :synth, not " (shown kind) "."))
                         (cond
                           (= :synthdef kind) " A SynthDef is the :def of a synth: [:synth {:def …}]."
                           (keyword? kind)    (let [said (hint kind [:group :synth])]
                                                (if (= "" said) (str " [:synth {:def " (shown kind) "} …] is a synth.") said))))
                    (within at place) kind {:kind kind}))))

(defn- read-map [{:keys [kind controls children synthdef] :as form} names at]
  (check-kind kind at :kind)
  (when-not (or (nil? children) (sequential? children))
    (throw (invalid ":children are a sequence of nodes." (within at :children) children)))
  (when (and (= :synth kind) (seq children))
    (throw (invalid "A synth has no children." (within at :children) children)))
  (when (and (= :group kind) controls (not= {} controls))
    (throw (invalid "A group has no controls; those of a synth are." (within at :controls) controls)))
  (when-not (or (nil? synthdef) (and (= :synth kind) (synthdef? synthdef)))
    (throw (invalid ":synthdef is the SynthDef of a synth, a value." (within at :synthdef) synthdef)))
  (let [node (with-attributes kind form true (fn [k] (within at k)))]
    [(if (= :group kind)
       node
       (cond-> (assoc node :controls (canonical-controls controls names at :controls))
         (and synthdef (not (:synthdef node))) (assoc :synthdef synthdef)))
     (when children (list children))
     :children nil]))

(defn- map-of
  "The element of a form at `i` if that is a map and no node."
  [form ^long i]
  (let [x (nth form i nil)]
    (when (and (map? x) (nil? (:kind x))) x)))

(defn- check-attributes
  "Throws where the name of a SynthDef or the key of a group stands in place of the attributes."
  [kind form at]
  (let [x     (nth form 1 nil)
        name? (or (ident? x) (string? x))]
    (cond
      (and (= :synth kind) (or name? (synthdef? x)))
      (throw (invalid (str "The attributes come first, as a map: [:synth {:def " (if name? (shown x) "…") "} …].") (within at 1) x))

      (and (= :group kind) name?)
      (throw (invalid (str "The attributes of a group are a map. Did you mean [:group {:key " (shown x) "} …]?") (within at 1) x)))))

(defn- read-vector [form names at]
  (let [kind       (nth form 0)
        _          (check-kind kind at 0)
        _          (check-attributes kind form at)
        attributes (map-of form 1)
        controls   (when attributes (map-of form 2))
        from       (cond controls 3, attributes 2, :else 1)
        node       (with-attributes kind attributes false (fn [k] (within at 1 k)))]
    (if (= :group kind)
      (do (when controls
            (throw (invalid "A group has attributes alone; controls are a synth's." (within at 2) controls)))
          [node (seq (subvec form (min (long from) (count form)))) nil from])
      (do (loop [i (long from)]
            (when (< i (count form))
              (when-some [child (nth form i)]
                (throw (invalid "A synth is [:synth attributes controls], and has no children." (within at i) child)))
              (recur (inc i))))
          [(assoc node :controls (canonical-controls controls names at 2)) nil nil nil]))))

(defn- read-node [form names at]
  (cond
    (entity/entity? form)
    (throw (invalid (str form " is an entity."
                         (when (contains? #{:group :synth} (:kind form))
                           (str " [" (:kind form) " {:id " (:id form) "} …] declares the node that it names.")))
                    at form))

    (map? form)    (read-map form names at)
    (vector? form) (read-vector form names at)

    :else
    (throw (invalid (str "A node is a vector, [:synth {:def :bell} {:freq 440}] for example, or a map with a :kind."
                         (cond
                           (instance? IRef form)   " This is a reference: @state is what it holds; (sc/follow! s state) follows it."
                           (instance? IDeref form) " This is a reference: @ gives what it holds."
                           (fn? form)              " This is a function: call it."))
                    at form))))

(defn- fragment? [form] (and (vector? form) (= :<> (nth form 0 nil))))

(defn- several?
  "Whether a form stands for any number of nodes."
  [form]
  (if (vector? form)
    (let [x (nth form 0 nil)] (or (not (keyword? x)) (= :<> x)))
    (sequential? form)))

(def ^:private most-forms
  "More than any server holds nodes: an endless sequence ends here."
  300000)

(defn- read-rows
  "The rows of a group with what `form` stands for as its children."
  [form names id-of]
  (let [rows  (ArrayList.)
        paths (HashMap.)]
    (.add rows [{:kind :group} -1])
    ;; What is still to be read, the next on top: siblings, the step to the first of them (nil where there is none), the way
    ;; to all, and the place of their group.
    (loop [todo (list [(list form) nil () 0]), n 0]
      (when-let [[siblings step path parent] (peek todo)]
        (let [form (first siblings)
              path (if step (conj path step) path)
              todo (let [more (next siblings)]
                     (if more
                       (conj (pop todo) [more (inc (long step)) (rest path) parent])
                       (pop todo)))
              at   {:path path, :rows rows, :parent parent, :id-of id-of}]
          (when (= n (long most-forms))
            (throw (invalid (str "A tree has at most " most-forms " nodes; is a sequence endless?") at form)))
          (cond
            (nil? form)
            (recur todo (inc n))

            (and (seq? form) (keyword? (first form)))
            (throw (invalid (str "A list is a sequence of nodes; a node is a vector: [" (first form) " …].") at form))

            (several? form)
            (let [[inside first-step] (if (fragment? form) [(next form) 1] [(seq form) 0])]
              (recur (if inside (conj todo [inside first-step path parent]) todo) (inc n)))

            :else
            (let [[{:keys [key] :as node} inside way first-step] (read-node form names at)
                  place (.size rows)]
              (when (some? key)
                (when-let [before (.putIfAbsent paths key path)]
                  (throw (invalid :duplicate-key
                                  (str "Key " (shown key) " is given to two nodes, here and at " (if (seq before) (shown (whole before) 40 300) "the top") "; a key names one.")
                                  at form {:key key, :first-path (whole before)}))))
              (.add rows [node parent])
              (recur (if inside (conj todo [inside first-step (if way (conj path way) path) place]) todo) (inc n)))))))
    rows))

(defn rows
  "The rows, see `espalier.model.nesting`, of a group of the nodes that a form stands for.
  Takes and throws what `nodes` does.

  `id-of`  from a bus or buffer, an entity, to its id; may throw"
  [form names id-of]
  (vec (read-rows form names id-of)))

(defn nodes
  "The nodes that a form stands for, a vector of canonical nodes.

  `names`  what keywords among the values of controls mean: a map to buses, buffers or numbers

  Throws `:espalier.error/invalid-tree`, `:espalier.error/duplicate-key` and
  `:espalier.error/unknown-name`, with the `:path` to what was `:seen` in the form.

      (nodes [:synth {:key :bass, :def :bass} {:freq 55}])
      ;=> [{:kind :synth, :key :bass, :def \"bass\", :controls {\"freq\" 55.0}}]"
  ([form] (nodes form nil))
  ([form names]
   (:children (nesting/tree (read-rows form names :id)))))

(defn- node-form [{:keys [kind children] :as node}]
  (let [attributes (select-keys node [:key :id :def :parallel :once :paused])
        attributes (if (= :synth kind) (update attributes :def (fn [d] (or (:synthdef node) (if (re-matches #"[A-Za-z][\w.*+!?<>=-]*" d) (keyword d) d)))) attributes)
        controls   (let [entries (ArrayList.)]
                     (doseq [[k v] (:controls node)]
                       (.add entries (if (and (string? k) (re-matches #"[A-Za-z_][\w-]*" k)) (keyword k) k))
                       (.add entries v))
                     (ordered entries))]
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

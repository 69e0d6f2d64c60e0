(ns espalier.model.rehearsal-synth
  "The controls of a rehearsal's synths: what a message sets, on one synth or on all below
  a group, and what can be read of it.

  A setting is `[kind name index value]`: `kind` is `:set`, `:map` or `:map-audio`, `name` a
  control's or nil, `index` counts from there or from the first slot, `value` is a Float or
  the number of a bus."
  (:require
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-node :as node]))

(set! *warn-on-reflection* true)

;; ---- settings of messages

(defn- bus-number
  "The number that scsynth reads at the beginning of a text: its digits, -1 where there is no
  text at all."
  ^long [text]
  (if (= "" text)
    -1
    (reduce (fn [n c] (long (unchecked-int (+ (* 10 (long n)) (- (int c) (int \0))))))
            0
            (re-find #"^\d*" text))))

(defn- mapping
  "The kind and bus that a string names, or nil."
  [text]
  (case (first text)
    \c [:map (bus-number (subs text 1))]
    \a [:map-audio (bus-number (subs text 1))]
    nil))

(defn- values!
  "The settings of one name or index: of one value, or an array. Of strings that name no
  bus `count-all?` says whether they take a slot."
  [r control base count-all?]
  (loop [i 0, depth 0, found []]
    (let [setting (fn [[kind x] i] [kind control (+ (long base) (long i)) x])
          next-one (case (message/tag r \f)
                     (\f \i) [(inc i) depth (conj found (setting [:set (message/float! r)] i))]
                     \s      (let [m (mapping (message/text! r))]
                               [(if (or m count-all?) (inc i) i) depth (cond-> found m (conj (setting m i)))])
                     \[      (do (message/skip-tag! r) [i (inc depth) found])
                     \]      (do (message/skip-tag! r) [(if count-all? (inc i) i) (dec depth) found])
                     (if (zero? depth)
                       [i depth found]
                       (throw (message/crash "an array of what is neither number nor string"))))
          [i depth found] next-one]
      (if (zero? (long depth))
        found
        (recur (long i) (long depth) found)))))

(defn- control!
  "The name of a control and 0, or nil and its index."
  [r]
  (if (= \s (message/tag r \i))
    [(message/text! r) 0]
    [nil (message/int! r)]))

(defn settings!
  "The settings of `/n_set` (`count-all?` false) and `/s_new` (true): names or indices, each
  with a value or an array of them."
  [r count-all?]
  (loop [found []]
    (if (< (message/remaining r) 8)
      found
      (let [[control base] (control! r)]
        (recur (into found (values! r control base count-all?)))))))

(defn ranges!
  "The settings of `/n_setn` and `/s_newargs`: names or indices, each with a number of values
  and the values."
  [r]
  (loop [found []]
    (if-not (message/more? r)
      found
      (let [[control base] (control! r)
            n              (message/int! r)]
        (recur
          (loop [i 0, found found]
            (if (and (< i n) (message/more? r))
              (let [x (if (= \s (message/tag r \f))
                        (mapping (message/text! r))
                        [:set (message/float! r)])]
                (recur (inc i) (cond-> found x (conj [(nth x 0) control (+ (long base) i) (nth x 1)]))))
              found)))))))

(defn- check-count
  "Throws for so many that a server would be busy for ever."
  [n]
  (when (< 1000000 (long n))
    (throw (message/crash (str "a count of " n)))))

(defn fills!
  "The settings of `/n_fill`, which reads a second value behind each and takes that."
  [r]
  (loop [found []]
    (if (< (message/remaining r) 12)
      found
      (let [[control base] (control! r)
            n              (message/int! r)
            _              (check-count n)
            all            (fn [found kind x]
                             (into found (map (fn [i] [kind control (+ (long base) (long i)) (if (= :set kind) x (+ (long x) (long i)))]))
                                   (range n)))
            found          (all found :set (message/float! r))]
        (recur (if (= \s (message/tag r \f))
                 (let [[kind bus] (mapping (or (message/text! r) ""))]
                   (if (= :map kind) (all found :map bus) found))
                 (all found :set (message/float! r))))))))

(defn maps!
  "The settings of `/n_map` and, with `many?`, of `/n_mapn`; `kind` is `:map` or `:map-audio`."
  [r kind many?]
  (loop [found []]
    (if (< (message/remaining r) (if many? 12 8))
      found
      (let [[control base] (control! r)
            bus            (message/int! r)
            n              (if many? (message/int! r) 1)]
        (check-count n)
        (recur (into found
                     (map (fn [i] [kind control (+ (long base) (long i)) (if (= -1 bus) -1 (+ bus (long i)))]))
                     (range n)))))))

;; ---- their effect

(defn slot
  "The slot of a synth that a control's name or nil, and an index, mean; nil for none."
  [{:keys [synthdef]} control index]
  (let [index (long index)
        limit (count (:controls synthdef))]
    (if control
      (when-let [{start :index, :keys [size]} (get (:slots synthdef) control)]
        (when (and (< -1 index (long size)) (< (+ (long start) index) limit))
          (+ (long start) index)))
      (when (< -1 index limit) index))))

(defn- apply-setting [{:keys [options]} {:keys [controls maps] :as synth} [kind control index x]]
  (if-let [i (slot synth control index)]
    (case kind
      :set (assoc synth :controls (assoc controls i x) :maps (dissoc maps i))
      (cond
        (neg? (long x)) (assoc synth :maps (dissoc maps i))
        (< (long x) (long ((if (= :map kind) :control-bus-channel-count :audio-bus-channel-count) options)))
        (assoc synth :maps (assoc maps i (str (if (= :map kind) "c" "a") x)))
        :else synth))
    synth))

(defn configure
  "A synth, not in the world yet, with settings."
  [w synth settings]
  (reduce (fn [synth setting] (apply-setting w synth setting)) synth settings))

(defn apply-settings
  "The world in which a node, or all synths below a group, have these settings."
  [w id settings]
  (let [n   (node/node w id)
        ids (if (node/group? n)
              (into [] (comp (remove node/group?) (map :id)) (node/below w (:id n)))
              [(:id n)])]
    (if (empty? settings)
      [w []]
      [(assoc w :nodes (reduce (fn [nodes id] (assoc nodes id (configure w (get nodes id) settings)))
                               (:nodes w) ids))
       ids])))

(defn value
  "The number that a control of a synth was set to, also where a bus is mapped to it; 0.0 for
  one that is not there."
  [synth control index]
  (if-let [i (slot synth control index)]
    (nth (:controls synth) i)
    (float 0)))

(defn fresh
  "A synth of a SynthDef, as it is before any message sets it."
  [synthdef]
  {:kind :synth, :synthdef synthdef, :controls (:controls synthdef), :maps {}, :calc :first})

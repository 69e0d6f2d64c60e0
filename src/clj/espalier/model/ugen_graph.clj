(ns espalier.model.ugen-graph
  "What a picture of a SynthDef shows: its controls and its UGens as nodes, with the names that
  the table of UGens has for their inputs, constants in their place, and wires.

      {:name  \"bell\"
       :nodes [{:kind :control, :title \"freq\", :rate :control, :value \"440\", :rows [], :outputs [0]}
               {:kind :ugen, :title \"SinOsc\", :rate :audio, :outputs [0]
                :rows [{:name \"freq\", :wired true} {:name \"phase\", :value \"0\"}]}]
       :wires [{:from [0 0], :to [1 0], :rate :control}]}

  A wire leads from an output of a node, by its place among `:outputs`, to a row of another with a higher number. Of a control that
  is an array `:outputs` are the elements that are used."
  (:require
   [clojure.string :as str]
   [espalier.model.drawing :as drawing]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.ugen Spec)))

(set! *warn-on-reflection* true)

;; ---- names of inputs

(def ^:private own-names
  "Of what the table does not list, or lists with more than names. A last string with a star names all that follows."
  {"UnaryOpUGen"  ["a"]
   "BinaryOpUGen" ["a" "b"]
   "MulAdd"       ["in" "mul" "add"]
   "MaxLocalBufs" ["count"]
   "LocalBuf"     ["num-channels" "num-frames" "max-local-bufs"]
   "IEnvGen"      ["index" "envelope*"]
   "Klank"        ["input" "freqscale" "freqoffset" "decayscale" "specifications*"]
   "PackFFT"      ["chain" "bufsize" "frombin" "tobin" "zeroothers" "size" "magsphases*"]
   "DynKlank"     ["input" "freqscale" "freqoffset" "decayscale" "specifications*"]})

(defn- table-names
  "The names that the table has for the inputs of a class, as of `own-names`."
  [class-name rate]
  (when-let [^Spec spec (ugen/find-spec class-name rate)]
    (let [arguments (mapv (comp name :key) (.arguments spec))]
      (loop [layout (seq (.layout spec)), names []]
        (if-let [[place & more] layout]
          (cond
            (and (vector? place) (int? (first place))) (conj names (str (arguments (first place)) "*"))
            (and (int? place) (< -1 (long place) (count arguments))) (recur more (conj names (arguments place)))
            :else names)
          names)))))

(defn- spelled
  "The names of n inputs: those of an array by their places."
  [names n]
  (let [rest-name (when (str/ends-with? (or (peek names) "") "*") (subs (peek names) 0 (dec (count (peek names)))))
        names     (if rest-name (pop names) names)]
    (mapv (fn [i]
            (cond (< (long i) (count names)) [(nth names i)]
                  rest-name                  [(str rest-name "[" (- (long i) (count names)) "]") rest-name]
                  :else                      [(str "in " i)]))
          (range n))))

(defn- input-names
  "For each input `[name]`, or `[name array]` for an element of an array."
  [{:keys [rate inputs], class-name :class}]
  (spelled (or (own-names class-name) (table-names class-name rate) []) (count inputs)))

;; ---- rows of inputs

(defn- element [x] (if (number? x) (drawing/number-text x) "·"))

(def ^:private longest-list 26)

(defn- joined [xs] (drawing/cut (str/join " " (map element xs)) longest-list))

(defn- wired-row [input-name input] {:name input-name, :wired true, :input input})

(defn- array-rows
  "The rows of an array: its constants in one, each element that is wired in one of its own."
  [array-name names xs]
  (cond->> (keep (fn [[[input-name] x]] (when-not (number? x) (wired-row input-name x))) (map vector names xs))
    (some number? xs) (cons {:name array-name, :value (joined xs)})))

(defn- envelope-rows
  "What EnvGen reads of an envelope: its levels, times and curves, and of them what is
  wired."
  [xs]
  (let [[level _ release loop-node & segments] xs
        segments (partition 4 segments)
        column   (fn [k] (map #(nth % k) segments))
        wired    (fn [row-name from xs] (keep-indexed (fn [i x] (when-not (number? x) (wired-row (str row-name " " (+ (long from) (long i))) x))) xs))
        levels   (cons level (column 0))
        node     (fn [row-name x] (when-not (and (number? x) (neg? (double x))) [{:name row-name, :value (element x)}]))]
    (concat [{:name "levels", :value (joined levels)}] (wired "level" 0 levels)
            [{:name "times", :value (joined (column 1))}] (wired "time" 1 (column 1))
            [{:name "curves", :value (drawing/cut (str/join " " (map (fn [[_ _ shape curve]]
                                                                       (or (when (and (number? shape) (not (== 5 (double shape))))
                                                                             (some (fn [[k n]] (when (== (double n) (double shape)) (name k))) (sort ugen/envelope-shapes)))
                                                                           (element curve)))
                                                                     segments)) longest-list)}]
            (wired "curve" 1 (column 3))
            (node "release-node" release)
            (node "loop-node" loop-node))))

(defn- letters
  "Rows of a text that is told as its size and its characters, then of an array."
  [text-name array-name [size & xs]]
  (let [n (long (if (number? size) size 0))]
    (concat [{:name text-name, :value (drawing/cut (str/join (map (fn [x] (if (number? x) (char (long x)) "?")) (take n xs))) longest-list)}]
            (let [xs (drop n xs)]
              (when (seq xs)
                (array-rows array-name (map (fn [i] [(str array-name "[" i "]")]) (range)) xs))))))

(defn- plain-rows
  "Rows of inputs, an array as one as far as it is constants."
  [names xs]
  (mapcat (fn [part]
            (let [[[[input-name array]]] part, xs (map second part)]
              (cond
                array                (array-rows array (map first part) xs)
                (number? (first xs)) [{:name input-name
                                       :value (or (when (= "done-action" input-name)
                                                    (some (fn [[k n]] (when (== (double n) (double (first xs))) (name k))) (sort ugen/done-actions)))
                                                  (element (first xs)))}]
                :else                [(wired-row input-name (first xs))])))
          (partition-by (fn [[[input-name array]]] (or array [input-name])) (map vector names xs))))

(defn- rows
  "The rows of a UGen, of whose inputs `xs` the constants are numbers."
  [{:keys [rate inputs], class-name :class, :as u} xs]
  (let [first-names (fn [n] (take n (if (= "EnvGen" class-name) (spelled (table-names class-name rate) n) (input-names u))))
        split       (fn [names more] (let [n (count names)] (concat (plain-rows (map vector names) (take n xs)) (more (drop n xs)))))]
    (cond
      (and (= "EnvGen" class-name) (<= 9 (count inputs)))
      (concat (plain-rows (first-names 5) (take 5 xs)) (envelope-rows (drop 5 xs)))

      (and (= "SendReply" class-name) (< 2 (count inputs)))
      (split ["trig" "reply-id"] #(letters "cmd-name" "values" %))

      (and (= "Poll" class-name) (< 3 (count inputs)))
      (split ["trig" "in" "trigid"] #(letters "label" "more" %))

      :else
      (plain-rows (input-names u) xs))))

;; ---- nodes

(defn- title [{:keys [special], class-name :class}]
  (if (contains? #{"UnaryOpUGen" "BinaryOpUGen"} class-name)
    (or (ugen/operator-name class-name special) (str special))
    class-name))

(defn- control-note
  "What is particular of a control, by the UGen that reads it: its trigger, its lag."
  [{:keys [inputs], class-name :class} constants offset]
  (let [[kind index] (get inputs offset)
        lag          (when (and (= "LagControl" class-name) (= :constant kind)) (double (nth constants index)))]
    (cond (= "TrigControl" class-name) "trigger"
          (and lag (pos? lag))         (str "lag " (drawing/number-text lag)))))

(defn- value-text [x]
  (if (vector? x) (drawing/cut (str "[" (str/join " " (map drawing/number-text x)) "]") longest-list) (drawing/number-text x)))

(defn- controls
  "The nodes of the controls, and from each slot to its node and place within it."
  [{:keys [ugens constants parameters] :as d}]
  (let [readers (into {} (for [u ugens, :when (synthdef/control-classes (:class u)), i (range (count (:outputs u)))]
                           [(+ (long (:special u)) (long i)) [u i]]))
        named   (synthdef/controls d)
        starts  (into (sorted-map) (map (fn [[k {:keys [index] :as c}]] [index (assoc c :title k)])) named)
        covered (into #{} (mapcat (fn [{:keys [index size]}] (range index (+ (long index) (long size))))) (vals named))
        bare    (for [slot (range (count parameters)), :when (not (covered slot))]
                  [slot {:index slot, :size 1, :title (str slot), :default (nth parameters slot)}])
        all     (vals (into starts bare))]
    {:nodes (mapv (fn [{:keys [index default title]}]
                    (let [[reader offset] (readers index)]
                      {:kind :control, :title (drawing/cut title 40), :rate (:rate reader :control), :value (value-text default)
                       :note (when reader (control-note reader constants offset)), :rows [], :index index}))
                  all)
     :slots (into {} (mapcat (fn [i {:keys [index size]}] (map (fn [k] [(+ (long index) (long k)) [i k]]) (range size))) (range) all))}))

(defn- source
  "The node and the output that an input reads: `numbers` are those of the nodes of UGens."
  [ugens slots numbers [_ i output]]
  (let [u (nth ugens i)]
    (if (synthdef/control-classes (:class u))
      (or (slots (+ (long (:special u)) (long output))) [0 0])
      [(numbers i) output])))

(defn graph
  "The nodes and wires of a SynthDef, `espalier.model.synthdef`, as this namespace describes them.

      (graph d)"
  [{:keys [ugens constants variants] :as d}]
  (let [{:keys [nodes slots]} (controls d)
        shown   (into [] (keep-indexed (fn [i u] (when-not (synthdef/control-classes (:class u)) i))) ugens)
        numbers (into {} (map-indexed (fn [k i] [i (+ (count nodes) (long k))])) shown)
        value   (fn [[kind index :as input]] (if (= :constant kind) (nth constants index) input))
        made    (mapv (fn [i]
                        (let [{:keys [rate inputs outputs] :as u} (nth ugens i)]
                          {:kind :ugen, :title (title u), :rate rate, :outputs (vec (range (count outputs)))
                           :rows (vec (rows u (mapv value inputs)))}))
                      shown)
        sources (for [[k {:keys [rows]}] (map-indexed vector made), [r {:keys [input]}] (map-indexed vector rows), :when input]
                  [(source ugens slots numbers input) [(+ (count nodes) (long k)) r]
                   (let [[_ i output] input] (nth (:outputs (nth ugens i)) output))])
        used    (reduce (fn [m [[node output]]] (update m node (fnil conj (sorted-set)) output)) {} sources)
        nodes   (into [] (map-indexed (fn [i node] (-> node (assoc :outputs (vec (get used i))) (dissoc :index)))) nodes)
        all     (into nodes (map (fn [node] (update node :rows (partial mapv #(dissoc % :input))))) made)]
    {:name     (:name d)
     :nodes    all
     :variants (mapv first variants)
     :wires    (mapv (fn [[[node output] to rate]]
                       {:from [node (long (.indexOf ^java.util.List (:outputs (nth all node)) output))], :to to, :rate rate})
                     sources)}))

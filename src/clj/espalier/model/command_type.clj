(ns espalier.model.command-type
  "What the arguments of commands may be: each type reads what people write and
  returns what is sent.

  A limit map says what there is: `:engine`, `:buffer-count`,
  `:control-bus-channel-count`, `:audio-bus-channel-count`, and `:resolve`, a function from an
  entity to its id, which throws where it may not be used."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.synthdef :as synthdef]))

(set! *warn-on-reflection* true)

;; A reader takes the value, the limits and the options of the argument, and returns what is sent, or nil.

(defn- int32 [x]
  (when (and (integer? x) (<= Integer/MIN_VALUE x) (<= x Integer/MAX_VALUE))
    (long x)))

(defn- read-integer [x _ {[low high] :range}]
  (when-let [n (int32 x)]
    (when (or (nil? low) (<= (long low) (long n) (long high))) n)))

(defn- natural
  "x where it is from 0 to below `n`."
  [x n]
  (when-let [i (int32 x)]
    (when (and (<= 0 (long i)) (< (long i) (long n))) i)))

(defn- read-index [x _ _] (natural x Integer/MAX_VALUE))
(defn- read-size [x _ {:keys [most] :or {most Integer/MAX_VALUE}}] (when-let [n (natural x Integer/MAX_VALUE)] (when (<= 1 (long n) (long most)) n)))

(defn finite
  "The number that can be sent for `x`, or nil: not NaN, and within 32 bits."
  [x]
  (cond
    (instance? Long x)    (let [n (long x)] (when (== n (unchecked-int n)) x))
    (instance? Double x)  (let [d (double x)]
                            (when (or (and (<= -3.4028234663852886E38 d) (<= d 3.4028234663852886E38)) (Double/isInfinite d)) x))
    (instance? Integer x) x
    (instance? Float x)   (when-not (Float/isNaN x) x)
    (number? x)           (finite (if (integer? x) (if (<= Long/MIN_VALUE x Long/MAX_VALUE) (long x) ##NaN) (double x)))))

(defn- read-number [x _ _] (finite x))

(defn- read-flag [x _ _]
  (case x (true 1) 1, (false 0) 0, nil))

(defn- plain-bytes
  "How many bytes a string has on the wire, or -1 where a letter is none that servers
  know: Latin-1, no control letter."
  ^long [^String s]
  (let [n (.length s)]
    (loop [i 0, bytes 0]
      (if (= i n)
        bytes
        (let [c (int (.charAt s i))]
          (if (and (<= 32 c) (<= c 255) (not (== c 127)))
            (recur (inc i) (if (< c 128) (inc bytes) (+ bytes 2)))
            -1))))))

(defn- entity-like?
  "Whether x is a map that can be asked for its kind."
  [x]
  (and (map? x) (not (sorted? x))))

(defn- text
  "The string of a string, keyword or symbol that a server can take for a name."
  [x limits]
  (let [s (cond (keyword? x) (.getName ^clojure.lang.Keyword x) (string? x) x (symbol? x) (name x))]
    (when s
      (let [bytes (plain-bytes s)]
        (when (and (< 0 bytes) (< bytes (if (identical? :supernova (get limits :engine)) 128 256)))
          s)))))

(defn- read-name [x limits _]
  (text (if (and (entity-like? x) (= :synthdef (:kind x))) (:name x) x) limits))

(def ^:private most-path-bytes
  "Longer paths crash servers."
  1000)

(defn- check-fence
  "Throws where a path leads out of the directory to which a server keeps. scsynth takes such a
  path for another, below that directory, and passes over each step upward."
  [path restricted-path]
  (let [directory (str (str/replace restricted-path #"/+$" "") "/")]
    (when (or (some #{".."} (str/split path #"/"))
              (and (str/starts-with? path "/") (not (str/starts-with? path directory))))
      (throw (error/error :outside-restricted-path
                          (str (pr-str path) " is not below " directory ", the :restricted-path of this server, which would take another file for it."
                               " A path without a slash at its beginning is one below that directory.")
                          {:path path, :restricted-path restricted-path})))))

(defn- read-path [x {:keys [restricted-path]} _]
  (let [s (if (or (instance? java.io.File x) (instance? java.nio.file.Path x)) (str x) x)]
    (when (and (string? s) (not (str/blank? s)) (not (re-find #"\p{Cntrl}" s))
               (< (alength (.getBytes ^String s "UTF-8")) (long most-path-bytes)))
      (some->> restricted-path (check-fence s))
      s)))

(defn- read-choice [x _ {:keys [values]}]
  (let [s (cond (string? x) x (ident? x) (name x))]
    (some #(when (= % s) %) values)))

(def ^:private actions {:head 0, :tail 1, :before 2, :after 3, :replace 4, 0 0, 1 1, 2 2, 3 3, 4 4})

(defn- read-action [x _ _] (actions x))
(defn- read-order-action [x _ _] (when-let [n (actions x)] (when (< (long n) 4) n)))

;; ---- entities, or their ids

(defn- id-of
  "The id of an entity of one of these kinds, or x itself where it is none."
  [x kinds limits]
  (if (map? x)
    (when (and (entity-like? x) (kinds (:kind x)))
      ((:resolve limits :id) x))
    x))

(defn- read-node [x limits _] (natural (id-of x #{:group :synth} limits) Integer/MAX_VALUE))
(defn- read-group [x limits _] (natural (id-of x #{:group} limits) Integer/MAX_VALUE))
(defn- read-synth [x limits _] (natural (id-of x #{:synth} limits) Integer/MAX_VALUE))
(defn- read-new-node [x _ _] (when-let [id (natural x Integer/MAX_VALUE)] (when (pos? (long id)) id)))

(defn- read-buffer [x limits _]
  (natural (id-of x #{:buffer :buffer-group} limits) (:buffer-count limits)))

(defn- read-bus [x rate limits]
  (when-not (and (entity-like? x) (not= rate (:rate x)))
    (natural (id-of x #{:bus :bus-group} limits)
             (if (= :audio rate) (:audio-bus-channel-count limits) (:control-bus-channel-count limits)))))

(defn- read-control-bus [x limits _] (read-bus x :control limits))
(defn- read-audio-bus [x limits _] (read-bus x :audio limits))
(defn- or-none [read-it] (fn [x limits options] (if (or (nil? x) (= -1 x)) -1 (read-it x limits options))))

;; ---- controls

(defn- read-control [x limits _]
  (if (or (keyword? x) (string? x))
    (text x limits)
    (if (integer? x) (natural x Integer/MAX_VALUE) (text x limits))))

(defn- mapping [^String s limits]
  (let [n (when (re-matches #"[ac]\d{1,9}" s) (parse-long (subs s 1)))]
    (when (and n (natural n (if (str/starts-with? s "a") (:audio-bus-channel-count limits) (:control-bus-channel-count limits))))
      s)))

(defn- scalar [x limits]
  (cond
    (number? x)  (finite x)
    (string? x)  (mapping x limits)
    (boolean? x) (if x 1 0)
    (map? x)     (natural (id-of x #{:buffer :buffer-group :bus :bus-group} limits) Integer/MAX_VALUE)))

(def ^:private most-values
  "More values than any packet holds; an endless sequence ends here."
  4000000)

(defn- numbers
  "A vector of what a sequence or Java array holds, each read by `f`; nil where one
  cannot be sent or there is none."
  [xs f]
  (when (or (sequential? xs) (and (some? xs) (.isArray (class xs))))
    (let [v (mapv f (take (inc most-values) xs))]
      (when (and (seq v) (every? some? v) (<= (count v) most-values)) v))))

(defn- read-value [x limits _]
  (if (or (number? x) (string? x) (map? x) (boolean? x))
    (scalar x limits)
    (numbers x #(scalar % limits))))

;; ---- runs: a count and so many values

(defn- read-run
  "The values of a run as they are sent, behind their number: floats stay as they
  are, in one array. `one` reads a single value."
  [one x limits _]
  (if (instance? float/1 x)
    (let [^floats floats x]
      (when (and (pos? (alength floats))
                 (loop [i 0] (or (= i (alength floats)) (and (not (Float/isNaN (aget floats i))) (recur (inc i))))))
        [(alength floats) floats]))
    (when-let [v (numbers x #(one % limits))]
      (into [(count v)] v))))

(defn- number-or-mapping
  "One value of a run of controls: supernova takes numbers alone."
  [x {:keys [engine] :as limits}]
  (if (= :supernova engine) (finite x) (scalar x limits)))

(def ^:private read-control-run (partial read-run number-or-mapping))
(def ^:private read-number-run (partial read-run (fn [x _] (finite x))))

(defn- read-any [x _ _]
  (cond
    (number? x)  (finite x)
    (ident? x)   (recur (name x) nil nil)
    (string? x)  (when-not (str/includes? x "\0") x)
    (boolean? x) (if x 1 0)
    (bytes? x)   x))

(defn- read-synthdef-bytes [x limits _]
  (when (bytes? x)
    (let [defs (synthdef/parse x)]
      (when (and (seq defs)
                 (or (not= :supernova (:engine limits))
                     (and (= 1 (count defs)) (> 128 (plain-bytes (:name (first defs))) 0))))
        x))))

(def ^:private types
  {:integer             [read-integer "a whole number of 32 bits"]
   :index               [read-index "a whole number from 0 up"]
   :size                [read-size "a whole number from 1 up"]
   :count               [read-size "a whole number from 1 to 4096" {:most 4096}]
   :samples             [read-size "a whole number from 1 up"]
   :sample              [read-index "a place in the buffer, from 0 up"]
   :buses               [read-size "a whole number from 1 up"]
   :number              [read-number "a number, not NaN, that 32 bits can hold"]
   :flag                [read-flag "true or false"]
   :name                [read-name "a name: a string or keyword of Latin-1 letters, at most 255, on supernova 127"]
   :path                [read-path "a path: a string or a File"]
   :choice              [read-choice "one of"]
   :action              [read-action ":head, :tail, :before, :after or :replace"]
   :order-action        [read-order-action ":head, :tail, :before or :after"]
   :node                [read-node "a group, a synth, or a node's id from 0 up"]
   :new-node            [read-new-node "a node's id from 1 up"]
   :group               [read-group "a group or its id"]
   :synth               [read-synth "a synth or its id"]
   :buffer              [read-buffer "a buffer, or its number from 0 to below :buffer-count"]
   :control-bus         [read-control-bus "a control bus, or its number from 0 to below :control-bus-channel-count"]
   :audio-bus           [read-audio-bus "an audio bus, or its number from 0 to below :audio-bus-channel-count"]
   :control-bus-or-none [(or-none read-control-bus) "a control bus, its number, or nil for none"]
   :audio-bus-or-none   [(or-none read-audio-bus) "an audio bus, its number, or nil for none"]
   :control             [read-control "a control: its name as a keyword or string, or its index"]
   :value               [read-value (str "a number, not NaN, that 32 bits can hold; a bus or buffer of this server; \"c5\" or \"a5\","
                                         " a bus that is there, to map the control to it; or a sequence of these")]
   :run                 [read-control-run "a sequence of numbers, none of them NaN"]
   :run-of-samples      [read-number-run "a sequence of numbers or a float array, none of them NaN"]
   :run-of-buses        [read-number-run "a sequence of numbers, none of them NaN"]
   :any                 [read-any "a number, string or byte array"]
   :synthdef-bytes      [read-synthdef-bytes "the bytes of a SynthDef file, for supernova of one SynthDef alone"]})

(defn says
  "What an argument of a type may be, in a phrase."
  [type {:keys [values range]}]
  (cond
    values (str "one of " (str/join ", " values))
    range  (str "a whole number from " (first range) " to " (second range))
    :else  (second (types type))))

(defn reader
  "The function that reads a value of a type: of the value, the limits and the
  options of the argument; nil where it is not of the type."
  [type]
  (let [[f _ own] (types type)]
    (when-not f
      (throw (error/error :unknown-type (str "The table of commands has no type " type "." (error/hint type (keys types)) " It has " (str/join ", " (sort (keys types))) ".") {:type type})))
    (if own (fn [x limits options] (f x limits (merge own options))) f)))

(defn run?
  "Whether a type spreads into a count and so many values."
  [type]
  (contains? #{:run :run-of-samples :run-of-buses} type))

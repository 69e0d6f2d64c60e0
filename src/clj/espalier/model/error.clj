(ns espalier.model.error
  "Every error with a name that Espalier throws is made here.

  An error is an `ex-info` whose data holds `:espalier/error`, a keyword in the
  namespace `espalier.error` that programs can match on, beside whatever was
  seen. Its message says what was seen, where, and the call that repairs it."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(defn- from-its-maker
  "The exception, with a trace that begins where it was made, and not here."
  [^Throwable e]
  (let [here? (fn [^StackTraceElement frame] (str/starts-with? (.getClassName frame) "espalier.model.error$"))]
    (doto e (.setStackTrace (into-array StackTraceElement (drop-while here? (.getStackTrace e)))))))

(defn error
  "Returns (does not throw) an `ex-info` for the error `code`.

  `code`     a simple keyword such as `:no-executable`; `:espalier/error` in the
             data becomes `:espalier.error/no-executable`
  `message`  what was seen, and the call that repairs it
  `data`     map of what was seen
  `cause`    the exception behind it, optional

      (throw (error :no-executable \"No scsynth on PATH.\" {:looked [\"/usr/bin\"]}))"
  ([code message data] (error code message data nil))
  ([code message data cause]
   (from-its-maker
    (ex-info message
             (assoc data :espalier/error (keyword "espalier.error" (name code)))
             cause))))

(defn code
  "The `:espalier/error` keyword of exception `e`, or nil where it has none.

      (code (error :port-taken \"…\" {}))  ;=> :espalier.error/port-taken"
  [e]
  (:espalier/error (ex-data e)))

(defn server-gone?
  "Whether an exception says that the server, or the connection to it, is gone.

      (server-gone? (error :link-closed \"…\" {}))  ;=> true"
  [e]
  (contains? #{:espalier.error/server-offline :espalier.error/link-closed} (code e)))

(defn shown
  "x in a message: not more than its beginning, and of what cannot be printed its class.

  `length`   how many elements of a collection, 8 without this
  `letters`  how many letters, 80 without this

      (shown (range))  ;=> \"(0 1 2 3 4 5 6 7 ...)\""
  ([x] (shown x 8 80))
  ([x length letters]
   (let [text (try (binding [*print-length* length, *print-level* 3] (pr-str x))
                   (catch Exception _ (str (class x))))]
     (if (< (long letters) (count text)) (str (subs text 0 (dec (long letters))) "…") text))))

(defn check-function
  "`f`, where it can be called.

  `what`  what it is, in words: \"A handler is a function of one argument\"

  Throws `:espalier.error/no-function`."
  [what f]
  (if (ifn? f)
    f
    (throw (error :no-function (str what ", not " (shown f) ".") {:value f}))))

(defn- distance
  "How many slips are between two strings: insertions, deletions, replacements, and two
  neighbours in each other's place."
  [a b]
  (loop [i 0, before nil, above (vec (range (inc (count b))))]
    (if (= i (count a))
      (peek above)
      (recur (inc i)
             above
             (reduce (fn [row j]
                       (let [same? (fn [i j] (= (nth a i) (nth b j)))
                             n     (min (inc (peek row))
                                        (inc (nth above (inc j)))
                                        (+ (nth above j) (if (same? i j) 0 1)))]
                         (conj row (if (and before (pos? j) (same? i (dec j)) (same? (dec i) j))
                                     (min n (inc (nth before (dec j))))
                                     n))))
                     [(inc i)]
                     (range (count b)))))))

(defn nearest
  "The entry of `known` (keywords, symbols or strings) whose name is most like
  the name of `seen`, or nil where none is near enough to be a slip of the
  finger: at most a third of its letters differ, or one name holds the other. Two
  neighbours in each other's place are one slip.

      (nearest :buffer-cuont [:buffer-count :port])  ;=> :buffer-count"
  [seen known]
  (let [text   (fn [x] (str/lower-case (if (instance? clojure.lang.Named x) (name x) (str x))))
        seen   (text seen)
        limit  (max 1 (quot (count seen) 3))
        holds? (fn [k] (and (> (count seen) 2) (or (str/includes? k seen) (str/includes? seen k))))
        ;; What is longer than any name is none, and would take long to compare.
        known  (when (< (count seen) 200) known)]
    (->> known
         (map (fn [k] [(distance seen (text k)) k]))
         (filter (fn [[d k]] (or (<= d limit) (holds? (text k)))))
         (sort-by first)
         first
         second)))

(defn hint
  "\" Did you mean :x?\" for the nearest of `known`, or the empty string. To a keyword even a
  string is told as a keyword, for names may be written either way.

      (hint :pord [:port :protocol])  ;=> \" Did you mean :port?\""
  [seen known]
  (if-let [k (nearest seen known)]
    (str " Did you mean " (pr-str (if (and (keyword? seen) (string? k)) (keyword k) k)) "?")
    ""))

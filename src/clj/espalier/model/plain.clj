(ns espalier.model.plain
  "Values as text protocols such as bencode carry them: strings, integers, lists, and maps
  of these by strings.")

(set! *warn-on-reflection* true)

(defn- text-of
  "A name as text: a keyword in a namespace keeps that, for otherwise two could be one."
  [x]
  (if (instance? clojure.lang.Named x)
    (if-let [space (namespace x)] (str space "/" (name x)) (name x))
    (str x)))

(declare plain)

(defn- plain-entry [[k v]]
  (when (some? v)
    ;; A node's key may be anything: as it is written, it can be read again.
    [(text-of k) (if (= :key k) (pr-str v) (plain v))]))

(defn plain
  "x in strings, integers, lists, and maps by strings. A keyword becomes its name, true and
  false 1 and 0, nil an empty list; in a map what is nil is left out. A number with a point
  becomes its text, for there are none in bencode; the `:key` of a node its text in Clojure;
  an exception its message, an array what it holds and how many; anything else what `str` makes of it.

      (plain {:id 1000, :kind :synth, :key :bass, :controls {\"freq\" 55.0}})
      ;=> {\"id\" 1000, \"kind\" \"synth\", \"key\" \":bass\", \"controls\" {\"freq\" \"55.0\"}}"
  [x]
  (cond
    (string? x)                 x
    (nil? x)                    []
    (boolean? x)                (if x 1 0)
    (int? x)                    x
    (keyword? x)                (text-of x)
    (record? x)                 (str x)
    (map? x)                    (into {} (keep plain-entry) x)
    (or (coll? x) (seq? x))     (mapv plain x)
    (instance? Throwable x)     (str (ex-message x))
    (.isArray (class x))        (str (java.lang.reflect.Array/getLength x) " " (.getSimpleName (.getComponentType (class x))) "s")
    :else                       (str x)))

(ns espalier.model.json
  "Values as JSON text. Only this way: nothing here reads JSON."
  (:import
   (clojure.lang Named Ratio)
   (java.util Map)))

(set! *warn-on-reflection* true)

(defn- write-string [^StringBuilder out ^String s]
  (.append out \")
  (dotimes [i (.length s)]
    (let [c (.charAt s i), n (int c)]
      (cond
        (= \" c)                               (.append out "\\\"")
        (= \\ c)                               (.append out "\\\\")
        (= 10 n)                               (.append out "\\n")
        ;; Control characters; half characters, which UTF-8 cannot carry; and what ends a line in JavaScript.
        (or (< n 32) (<= 0xd800 n 0xdfff) (= 0x2028 n) (= 0x2029 n) (= 127 n))
        (.append out (format "\\u%04x" n))
        :else                                  (.append out c))))
  (.append out \"))

(defn- write-number [^StringBuilder out x]
  (let [x (if (instance? Ratio x) (double x) x)]
    (cond
      (not (or (double? x) (float? x))) (.append out (str x))
      (Double/isNaN (double x))         (write-string out "NaN")
      (Double/isInfinite (double x))    (write-string out (if (pos? (double x)) "Infinity" "-Infinity"))
      :else                             (.append out (str x)))))

(defn- key-text [k]
  (if (instance? Named k) (name k) (str k)))

(defn- write [^StringBuilder out x]
  (cond
    (nil? x)            (.append out "null")
    (string? x)         (write-string out x)
    (boolean? x)        (.append out (str x))
    (number? x)         (write-number out x)
    (instance? Named x) (write-string out (name x))
    (instance? Map x)   (do (.append out \{)
                            (reduce (fn [first? [k v]]
                                      (when-not first? (.append out \,))
                                      (write-string out (key-text k))
                                      (.append out \:)
                                      (write out v)
                                      false)
                                    true
                                    x)
                            (.append out \}))
    (coll? x)           (do (.append out \[)
                            (reduce (fn [first? v]
                                      (when-not first? (.append out \,))
                                      (write out v)
                                      false)
                                    true
                                    x)
                            (.append out \]))
    :else               (write-string out (str x))))

(defn text
  "A value as JSON on one line. Maps become objects, other collections arrays, keywords and
  symbols their name, ratios decimals. NaN and the infinities, which JSON does not have,
  become strings, and so does whatever else there is.

      (text {:id 1000, :controls [[\"freq\" 440.0]]})
      ;=> \"{\\\"id\\\":1000,\\\"controls\\\":[[\\\"freq\\\",440.0]]}\""
  ^String [x]
  (let [out (StringBuilder.)]
    (write out x)
    (.toString out)))

(ns espalier.model.rehearsal-message
  "Packets as scsynth reads and writes them, byte by byte: what it takes for an argument
  that is missing, or is of another type than it wants, depends on where it stands then.

  A reader goes over the arguments of one message once. It belongs to whoever made it."
  (:require
   [espalier.model.error :as error])
  (:import
   (java.nio ByteBuffer)
   (java.nio.charset StandardCharsets)))

(set! *warn-on-reflection* true)

(defn crash
  "The error of what kills a real scsynth; `why` says what did.

      (throw (crash \"a 64-bit argument\"))"
  [why]
  (error/error :server-crashed (str "A real scsynth does not survive this: " why ".") {:why why}))

;; ---- numbers

(defn clip
  "`x`, not less than `low` and not more than `high`."
  ^long [^long x ^long low ^long high]
  (max low (min high x)))

(defn int32
  "The 32 bits that C keeps of a sum."
  ^long [x]
  (long (unchecked-int (long x))))

;; ---- reading

(definterface Cursor
  (^int remaining [])
  (^char tag [])
  (^int position [])
  (^void advance [^int size])
  (^void skipTag []))

(deftype Reader [^bytes all ^int end ^String tags ^:unsynchronized-mutable ^int at ^:unsynchronized-mutable ^int n]
  Cursor
  (remaining [_] (unchecked-int (unchecked-subtract-int end at)))
  (position [_] at)
  (tag [_]
    (cond
      (nil? tags)              (char 0xffff)
      (< n (.length tags))     (.charAt tags n)
      :else                    (char 0)))
  (advance [_ size]
    (let [next (unchecked-add-int at size)]
      (when (> next end)
        (throw (crash "arguments that are not there")))
      (set! at next)
      (set! n (unchecked-inc-int n))))
  (skipTag [_]
    ;; One or two beyond the last do no harm; whoever goes on reads for ever.
    (when (and tags (> n (+ 100 (.length tags))))
      (throw (crash "more bytes than type tags")))
    (set! n (unchecked-inc-int n))))

(defn- nul-from
  "The index of the first zero byte."
  ^long [^bytes all ^long from ^long end]
  (loop [i from]
    (cond
      (>= i end)            (throw (crash "a string without an end"))
      (zero? (aget all i)) i
      :else                 (recur (inc i)))))

(defn- padded ^long [^long n] (bit-and (+ n 3) -4))

(defn- text-between [^bytes all ^long from ^long to]
  (String. all (int from) (int (- to from)) StandardCharsets/UTF_8))

(defn reader
  "A reader of the arguments in `bytes` from `from` to below `end`."
  ^Reader [^bytes bytes from end]
  (let [from (long from), end (long end)]
    (if (and (< from end) (= (byte 44) (aget bytes from)))
      (let [nul (nul-from bytes from end)]
        (Reader. bytes (int end) (text-between bytes (inc from) nul) (int (min end (+ from (padded (inc (- nul from)))))) (int 0)))
      (Reader. bytes (int end) nil (int (min from end)) (int 0)))))

(defn remaining
  "How many bytes of arguments are still to be read."
  ^long [^Reader r]
  (long (.remaining r)))

(defn more?
  "Whether bytes of arguments are still to be read."
  [^Reader r]
  (pos? (.remaining r)))

(defn tag
  "The type tag of the next argument, a character; `none` where the message has no tags."
  [^Reader r none]
  (let [c (.tag r)]
    (if (= c (char 0xffff)) none c)))

(defn skip-tag!
  "Goes over a tag that has no bytes: the end of an array."
  [^Reader r]
  (.skipTag r))

(defn tag-count
  "How many type tags the message has, the comma not counted; nil where it has none."
  [^Reader r]
  (some-> (.-tags r) String/.length))

(defn- word ^long [^Reader r]
  (long (.getInt (ByteBuffer/wrap (.-all r)) (.position r))))

(defn- float-word [^Reader r]
  (.getFloat (ByteBuffer/wrap (.-all r)) (.position r)))

(defn- need [^Reader r ^long n]
  (when (< (.remaining r) n)
    (throw (crash "arguments that are not there"))))

(defn- over-text!
  "The string that stands here; goes over it."
  [^Reader r]
  (let [from (long (.position r))
        nul  (nul-from (.-all r) from (.-end r))
        text (text-between (.-all r) from nul)]
    (.advance r (int (min (.remaining r) (padded (inc (- nul from))))))
    text))

(defn- over-blob! [^Reader r]
  (need r 4)
  (let [size (word r)]
    (when (neg? size) (throw (crash "a blob of negative size")))
    (.advance r (int (min (+ 4 (padded size)) Integer/MAX_VALUE)))))

(defn- truncated
  "A float as the integer that C makes of it."
  ^long [^double x]
  (if (and (< -2147483649.0 x) (< x 2147483648.0))
    (long x)
    Integer/MIN_VALUE))

(defn int!
  "The next argument as an integer: `default`, or 0, where there is none or it is no number."
  (^long [r] (int! r 0))
  (^long [^Reader r ^long default]
   (if-not (more? r)
     default
     (case (tag r \i)
       \i (do (need r 4) (let [x (word r)] (.advance r (int 4)) x))
       \f (do (need r 4) (let [x (double (float-word r))] (.advance r (int 4)) (truncated x)))
       \s (do (over-text! r) default)
       \b (do (over-blob! r) default)
       (do (.skipTag r) default)))))

(defn float!
  "The next argument as a Float: 0.0 where there is none or it is no number."
  [^Reader r]
  (if-not (more? r)
    (float 0)
    (case (tag r \f)
      \f (do (need r 4) (let [x (float-word r)] (.advance r (int 4)) x))
      \i (do (need r 4) (let [x (word r)] (.advance r (int 4)) (float x)))
      \d (do (need r 8) (let [x (.getDouble (ByteBuffer/wrap (.-all r)) (.position r))] (.advance r (int 8)) (unchecked-float x)))
      \s (do (over-text! r) (float 0))
      \b (do (over-blob! r) (float 0))
      (do (.skipTag r) (float 0)))))

(defn text!
  "The next argument as a string: nil where there is none, `default`, or nil, where it is
  no string. Then it stays: what follows is read in its place."
  ([r] (text! r nil))
  ([^Reader r default]
   (when (more? r)
     (case (tag r \s)
       \s (over-text! r)
       (do (.skipTag r) default)))))

(defn blob!
  "The bytes of the next argument, or nil where it is no blob or an empty one; then it stays."
  [^Reader r]
  (when (and (more? r) (= \b (tag r \f)))
    (need r 4)
    (let [size (word r), from (+ 4 (.position r))]
      (when (pos? size)
        (need r (+ 4 size))
        (over-blob! r)
        (java.util.Arrays/copyOfRange ^bytes (.-all r) (int from) (int (+ from size)))))))

;; ---- messages and bundles

(def ^:private bundle-mark (.getBytes "#bundle\0" StandardCharsets/US_ASCII))

(defn bundle?
  "Whether the packet in `bytes` from `from` to below `end` is a bundle."
  [^bytes bytes from end]
  (let [from (long from)]
    (and (<= (+ from 16) (long end))
         (java.util.Arrays/equals bytes (int from) (int (+ from 8)) ^bytes bundle-mark (int 0) (int 8)))))

(defn time-tag
  "The 64 bits of the time tag of the bundle at `from`."
  ^long [^bytes bytes from]
  (.getLong (ByteBuffer/wrap bytes) (int (+ 8 (long from)))))

(defn elements
  "Where the parts of a bundle are, a vector of `[from end]`."
  [^bytes bytes from end]
  (let [in (ByteBuffer/wrap bytes), end (long end)]
    (loop [at (+ 16 (long from)), found []]
      (if (>= at end)
        found
        (let [size (if (<= (+ at 4) end) (long (.getInt in (int at))) -1)
              to   (+ at 4 size)]
          (when (or (neg? size) (> to end))
            (throw (crash "a bundle whose parts have wrong sizes")))
          (recur to (conj found [(+ at 4) to])))))))

(defn address
  "The address of the message at `from`, a string, or the number that stands in its place,
  and where its arguments begin: `[address at]`."
  [^bytes bytes from end]
  (let [from (long from), end (long end)]
    (if (or (>= from end) (zero? (aget bytes from)))
      [(if (<= (+ from 4) end) (bit-and 0xff (aget bytes (+ from 3))) 0) (min end (+ from 4))]
      (let [nul (nul-from bytes from end)]
        [(text-between bytes from nul) (min end (+ from (padded (inc (- nul from)))))]))))

;; ---- writing

(defn- size-of ^long [x]
  (cond
    (string? x)          (padded (inc (alength (.getBytes ^String x StandardCharsets/UTF_8))))
    (instance? Double x) 8
    (bytes? x)           (+ 4 (padded (alength ^bytes x)))
    :else                4))

(defn- tag-of [x]
  (cond
    (instance? Float x)  \f
    (string? x)          \s
    (instance? Double x) \d
    (bytes? x)           \b
    :else                \i))

(defn- put-text [^ByteBuffer out ^String text ^long size]
  (let [at (.position out)]
    (.put out (.getBytes text StandardCharsets/UTF_8))
    (.position out (int (+ at size)))))

(defn encode
  "The bytes of a reply: a vector of its address and arguments, of which whole numbers are
  32-bit integers, Floats and Doubles what they are, strings and byte arrays too.

  Where scsynth reserves more room for type tags than they need, `:tag-count` in the
  reply's metadata says how many.

      (encode [\"/synced\" 1])"
  ^bytes [[^String address & arguments :as reply]]
  (let [tags     (apply str \, (map tag-of arguments))
        reserved (if-let [n (:tag-count (meta reply))] (padded (inc (long n))) 0)
        room     (max (padded (inc (count tags))) (long reserved))
        head     (size-of address)
        out      (ByteBuffer/allocate (int (reduce + (+ head room) (map size-of arguments))))]
    (put-text out address head)
    (put-text out tags room)
    (doseq [x arguments]
      (cond
        (string? x)          (put-text out x (size-of x))
        (instance? Float x)  (.putFloat out (float x))
        (instance? Double x) (.putDouble out (double x))
        (bytes? x)           (let [at (.position out)]
                               (.putInt out (alength ^bytes x))
                               (.put out ^bytes x)
                               (.position out (int (+ at (size-of x)))))
        :else                (.putInt out (unchecked-int (long x)))))
    (.array out)))

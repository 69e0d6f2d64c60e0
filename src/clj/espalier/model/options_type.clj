(ns espalier.model.options-type
  "What values an option may have: each type of the option table reads what
  people write and returns one normal form."
  (:require
   [clojure.string :as str])
  (:import
   (java.io File)
   (java.net InetAddress)
   (java.nio.file Path)))

(set! *warn-on-reflection* true)

;; A reader returns the normal form in a vector, or nil where the value is not of the type.

(defn- whole
  "The long that a number stands for: 64, 64N, 64.0 and 64M are 64; else nil."
  [x]
  (when (and (number? x) (<= -1e15 x 1e15))
    (let [n (long x)]
      (when (== n x) n))))

(defn- read-integer [{[low high] :range} x]
  (when-let [n (whole x)]
    (when (<= low n high) [n])))

(defn- read-level [_ x]
  (cond
    (or (= "inf" x) (= :inf x))                [:inf]
    (not (number? x))                          nil
    (<= 0 x Float/MAX_VALUE)                   [(or (whole x) (double x))]
    (== ##Inf x)                               [:inf]))

(defn- read-boolean [_ x]
  (when (instance? Boolean x) [(boolean x)]))

(defn- text? [x]
  (and (string? x) (not (str/blank? x)) (not (re-find #"^-|\p{Cntrl}" x))))

(defn- read-text [_ x]
  (when (text? x) [x]))

(defn- place
  "The string of a path, a File or a string; else nil."
  [x]
  (let [s (if (or (instance? File x) (instance? Path x)) (str x) x)]
    (when (text? s) s)))

(defn- read-path [_ x]
  (when-let [s (place x)]
    (when-not (str/starts-with? s "~") [s])))

(defn- read-paths [entry x]
  (let [xs    (if (sequential? x) x [x])
        paths (map #(first (read-path entry %)) (take 1000 xs))]
    (when (and (seq paths) (every? some? paths) (empty? (drop 1000 xs)))
      [(str/join File/pathSeparator paths)])))

(defn- read-mask [_ x]
  (when (and (string? x) (re-matches #"[01]*" x)) [x]))

(defn- read-choice [{:keys [values]} x]
  (when (or (string? x) (ident? x))
    (some #(when (= (name x) (name %)) [%]) values)))

(defn- read-policy [entry x]
  (if (or (fn? x) (var? x)) [x] (read-choice entry x)))

(defn- read-executable [_ x]
  (cond
    (= :rehearsal x)                     [x]
    (and (map? x) (= :rehearsal (:kind x))) [x]
    (or (= :scsynth x) (= :supernova x)) [(name x)]
    (place x)                           [(place x)]))

(defn ipv6?
  "Whether an address is one of IPv6, by its look: `(ipv6? \"::1\")  ;=> true`"
  [address]
  (str/includes? address ":"))

(defn- read-address [_ x]
  (let [s     (if (instance? InetAddress x) (InetAddress/.getHostAddress x) x)
        octet "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"]
    (when (and (string? s)
               (or (re-matches (re-pattern (str octet "(\\." octet "){3}")) s)
                   (and (re-matches #"[0-9A-Fa-f:][0-9A-Fa-f:.]{1,44}" s)
                        (ipv6? s)
                        ;; looks up nothing: a string with a colon is never a name
                        (try (InetAddress/getByName s) (catch java.net.UnknownHostException _ nil)))))
      [s])))

(defn- span [{[low high] :range}]
  (str low " to " high))

(defn- choices [{:keys [values]}]
  (str/join " or " values))

(def ^:private types
  "By type how a value is read, what it may be in a phrase and in a table: each a
  string, or a function of the entry."
  {:integer    [read-integer (fn [entry] (str "a whole number from " (span entry))) span]
   :level      [read-level "a number from 0 up, or :inf" "from 0 up, or :inf"]
   :boolean    [read-boolean "true or false" "true or false"]
   :switch     [read-boolean "true or false" "true or false"]
   :text       [read-text "a string, not empty, that does not begin with -" "string"]
   :path       [read-path "a string, File or Path, that does not begin with - or ~" "path"]
   :paths      [read-paths "a path or a vector of paths, that do not begin with - or ~" "path or vector of paths"]
   :mask       [read-mask "a string of the digits 0 and 1" "string of 0 and 1"]
   :address    [read-address "a string with a numeric IP address: host names are not looked up" "IP address"]
   :choice     [read-choice choices choices]
   :policy     [read-policy #(str (choices %) ", or a function of the handle and the loss that returns one of these") #(str (choices %) " or function")]
   :executable [read-executable "a path or a name (string, File or Path), :scsynth, :supernova, :rehearsal or what (rehearsal/rehearsal …) returns" "path or name"]})

(defn- words [entry part]
  (let [w (part (types (:type entry)))]
    (str (if (fn? w) (w entry) w)
         (when (nil? (:default entry)) ", or nil"))))

(defn says
  "What the option of an entry may be, in a phrase: \"a whole number from 1 to 32\"."
  [entry]
  (words entry second))

(defn brief
  "What the option of an entry may be, for a table: \"1 to 32\"."
  [entry]
  (words entry peek))

(defn read-value
  "The normal form of `x` in a vector, or nil where the option of `entry` cannot
  be that. nil is a value of those options whose default is nil.

      (read-value {:type :integer :default 1 :range [1 32]} 4.0)  ;=> [4]"
  [entry x]
  (if (nil? x)
    (when (nil? (:default entry)) [nil])
    ((first (types (:type entry))) entry x)))

(ns espalier.model.entity
  "Entities: what users hold of a server. An entity is an immutable map that knows
  its kind, its id and its server; whether it is still there, only the server
  knows.

  | kind | what else it has |
  |---|---|
  | `:group`        | `:parallel?` where it is one |
  | `:synth`        | `:def`, the name of its SynthDef |
  | `:buffer`       | |
  | `:buffer-group` | `:count` |
  | `:bus`          | `:rate`, :audio or :control |
  | `:bus-group`    | `:rate`, `:count` |"
  (:require
   [clojure.string :as str])
  (:import
   (java.io Writer)))

(set! *warn-on-reflection* true)

(defrecord ^{:doc "`server` is the handle, `era` counts its logins, and `born` what it has made since: a freed id that comes again is another entity."}
           Entity [kind id server era born]
           Object
           (toString [this] (let [{:keys [def rate parallel?], n :count} this]
                              (str "#<" (when parallel? "Parallel")
                                   (str/join (map str/capitalize (str/split (name kind) #"-")))
                                   " " id
                                   (when n (str ".." (+ (long id) (dec (long n)))))
                                   (when rate (str " " (name rate)))
                                   (when def (str " " def))
                                   ">"))))

(defmethod print-method Entity [e ^Writer w] (.write w (str e)))

(defn entity
  "An entity; `more` is a map of what its kind has beside its id.

      (entity :synth 1000 s 1 0 {:def \"bell\"})  ;=> #<Synth 1000 bell>"
  ([kind id server era] (entity kind id server era 0 nil))
  ([kind id server era born more]
   (Entity. kind id server era born nil more)))

(defn entity?
  "Whether x is an entity."
  [x]
  (instance? Entity x))

(defn bus-symbols
  "What maps a control to a bus, or to each of a group of them, in order.

      (bus-symbols {:kind :bus-group, :rate :audio, :id 16, :count 2})  ;=> [\"a16\" \"a17\"]"
  [{:keys [id rate], n :count}]
  (mapv (fn [i] (str (if (= :audio rate) "a" "c") (+ (long id) (long i)))) (range (or n 1))))

(defn members
  "The single buffers or buses of a group of them, in order; of a single one,
  itself."
  [e]
  (if-let [kind (when (entity? e) ({:buffer-group :buffer, :bus-group :bus} (:kind e)))]
    (mapv (fn [i] (-> e (dissoc :count) (assoc :kind kind, :id (+ (long (:id e)) (long i)), :part true))) (range (:count e)))
    [e]))

(ns espalier.model.traffic
  "What of the packets between a client and its server is the user's: without the questions by which
  Espalier itself knows that the server lives, how its tree is, and that something is done."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.message :as message]
   [espalier.model.synthdef :as synthdef]))

(set! *warn-on-reflection* true)

(defn- names-in
  "The names of the SynthDefs in the bytes of a file; the bytes where they are none."
  [bytes]
  (try {:synthdefs (mapv :name (synthdef/parse bytes))}
       (catch clojure.lang.ExceptionInfo e
         (if (error/code e) bytes (throw e)))))

;; ---- what Espalier asks by itself

(defn- fence?
  "Whether a message is a question that is put behind others: see `espalier.runtime.dispatch/new-fence!`.
  Its digits are seven or twenty-one."
  [[address base zero & digits]]
  (and (= "/c_get" address)
       (int? base)
       (= 0 zero)
       (contains? #{7 21} (count digits))
       (every? #(and (int? %) (<= 0 (long %) (long base))) digits)))

(defn- fence-answer?
  "Whether a message answers such a question: of each of its buses there is the value."
  [[address & pairs]]
  (and (= "/c_set" address)
       (even? (count pairs))
       (fence? (into ["/c_get"] (take-nth 2) pairs))))

(defn- trial-name?
  "Whether a SynthDef is one that shows whether the server has a UGen: see `espalier.runtime.synthdefs`."
  [synthdef]
  (str/starts-with? synthdef "espalier-trial-"))

(defn- trial?
  "Whether a message sends such a SynthDef."
  [[address bytes]]
  (and (= "/d_recv" address)
       (bytes? bytes)
       (boolean (some trial-name? (:synthdefs (names-in bytes))))))

(defn- own-question? [[address a b :as m]]
  (or (contains? #{"/status" "/sync" "/notify" "/version"} address)
      (and (= "/error" address) (contains? #{-1 -2} a))
      (= ["/g_queryTree" 0 0] [address a b])
      (and (= "/n_set" address) (= 2 (count m)))           ; sets nothing: whether the node is there
      (fence? m)
      (trial? m)))

(defn- own-answer? [[address a b :as m]]
  (or (contains? #{"/status.reply" "/synced" "/version.reply"} address)
      (and (= "/done" address) (= "/notify" a))
      (= ["/g_queryTree.reply" 0 0] [address a b])
      (and (= "/d_removed" address) (trial-name? a))
      (fence-answer? m)))

;; ---- what one reads

(declare asked)

(defn- in-fences
  "The messages of a bundle with fences, without the looks at nodes: whether they are there before and after."
  [packets]
  (let [fence? (fn [m] (and (vector? m) (or (fence? m) (= "/sync" (first m)))))
        look?  (fn [m] (and (vector? m) (= "/n_query" (first m))))]
    (cond->> packets
      (and (some fence? packets)
           (not-every? (some-fn fence? look?) packets))
      (remove look?))))

(defn- argument [x]
  (cond
    (float? x)                     (message/number x)
    (vector? x)                    (mapv argument x)
    (and (map? x) (:completion x)) (when-let [left (seq (keep asked (:completion x)))] {:completion (vec left)})
    :else                          x))

(defn- readable
  "A message with plain numbers, SynthDefs by their names, and completions without what is Espalier's own."
  [[address & arguments]]
  (into [address]
        (comp (map #(if (and (= "/d_recv" address) (bytes? %)) (names-in %) (argument %)))
              (remove nil?))
        arguments))

(defn asked
  "A packet that was sent as its reader wants it, or nil where all of it is Espalier's own: without such
  questions, with doubles that are the shortest for their 32 bits, SynthDefs by their names. A bundle
  without a time is its message where one is left.

      (asked {:at nil, :packets [[\"/n_query\" 1] [\"/sync\" 7]]})  ;=> [\"/n_query\" 1]
      (asked [\"/d_recv\" bytes])                                 ;=> [\"/d_recv\" {:synthdefs [\"bell\"]}]"
  [packet]
  (if (map? packet)
    (let [left (into [] (keep asked) (in-fences (:packets packet)))]
      (cond
        (empty? left)                                     nil
        (and (nil? (:at packet)) (= 1 (count left)))      (first left)
        :else                                             (assoc packet :packets left)))
    (when-not (own-question? packet)
      (readable packet))))

(defn told
  "A message that was received as its reader wants it, or nil where it answers what Espalier asks by
  itself."
  [message]
  (when-not (own-answer? message)
    (readable message)))

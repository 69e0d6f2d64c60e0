(ns espalier.conformance.hazards
  "What must not be sent to a real server, for it would crash, hang, or lose track of its
  nodes; found by sending it. `harmless` leaves it out of a sequence."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(defn- integer
  "The integer that a server reads from an argument; nil where it reads no plain one."
  [x]
  (cond
    (int? x)    x
    (number? x) (if (< -2147483649.0 x 2147483648.0) (long x) Integer/MIN_VALUE)))

;; ---- moves. A group that is put into itself is lost, and a query of it never ends.

(defn- ancestors-of
  "Every node that may be above `id`, itself too: `above` has all parents that each id may
  have had."
  [above id]
  (loop [found #{}, [x & more :as ids] [id]]
    (cond (empty? ids)        found
          (contains? found x) (recur found more)
          :else               (recur (conj found x) (into (vec more) (above x))))))

(defn- put [above id parents] (update above id (fnil into #{}) parents))

(defn- made
  "`above` after a new node `id`: under its target, or where its target may be."
  [above [id action target]]
  (let [id (integer id), action (integer action), target (integer target)]
    (cond
      (or (nil? target) (neg? target)) (put above id [:any])
      (#{0 1} action)                  (put above id [target])
      :else                            (put above id (above target)))))

(defn- move-steps
  "What a message that moves nodes does, as `[id target into?]`; `into?` says that the
  target is the new parent."
  [[address & args]]
  (case address
    ("/n_before" "/n_after") (for [[id target] (partition-all 2 args)] [id target false])
    ("/g_head" "/g_tail")    (for [[target id] (partition-all 2 args)] [id target true])
    "/n_order"               (let [[action target & ids] args]
                               (for [id ids] [id target (contains? #{0 1} (integer action))]))
    nil))

(defn- step-hazard [above [id target into?]]
  (let [id (integer id), target (integer target)]
    (or (nil? id) (nil? target) (neg? id) (neg? target) (zero? id) (= id target)
        (and (not into?) (zero? target))
        (let [over (ancestors-of above target)]
          (or (contains? over :any) (contains? over id))))))

(defn- moved
  "`above` after a message that moves, or nil where that is a hazard."
  [above message]
  (let [steps (move-steps message)
        ids   (map first steps)]
    (when-not (and (= "/n_order" (first message)) (seq ids) (not (apply distinct? ids)))
      (reduce (fn [above [id target into? :as step]]
                (if (step-hazard above step)
                  (reduced nil)
                  (put above (integer id) (if into? [(integer target)] (above (integer target))))))
              above steps))))

;; ---- single messages: what and why

(defn- negative-after-first?
  "Whether an argument behind the first is read as a negative integer."
  [message]
  (boolean (some #(some-> (integer %) neg?) (drop 2 message))))

(defn- argument [message i] (integer (nth message (inc i) 0)))

(defn- read-inside?
  "Whether a message reads a file to a place within the buffer that may not be there."
  [message]
  (let [start (argument message 4)]
    (not (or (= 0 start) (and start (<= 0 start 6) (= 2 (argument message 0)))))))

(defn- short-second-buffer? [[address :as message]]
  (and (= 2 (argument message 0))
       (not (and (= "/b_alloc" address) (<= 8 (or (argument message 1) 0))))))

(defn- beside-root?
  "Whether one of the nodes that `places`, triples of id, action and target, would make
  goes before, after or in place of the root, or may."
  [places]
  (boolean (some (fn [[_ action target]]
                   (and (not (#{0 1} (integer (or action 0))))
                        (contains? #{nil 0} (integer (or target 0)))))
                 places)))

(defn- array-as-control?
  "Whether, in a node with controls and values behind it, an array may be read as a control: by
  a string for the node, which takes two arguments, they change places."
  [[node & controls]]
  (boolean (some vector? (if (string? node) controls (take-nth 2 controls)))))

(defn- wavetable? [[address _ routine flags :as message]]
  (and (= "/b_gen" address)
       (or (= "wnormalize" routine)
           (and (contains? #{"sine1" "sine2" "sine3" "cheby"} routine)
                (or (nil? (integer flags)) (bit-test (integer flags) 1))))
       (not= 3 (argument message 0))))

(defn- odd-third-buffer? [[address :as message]]
  (and (= 3 (argument message 0))
       (if (= "/b_alloc" address)
         (not (and (argument message 1) (even? (argument message 1))))
         true)))

(defn- beyond-file? [[_ _ {:keys [path]} start]]
  (let [start (integer (or start 0))]
    (not (and start (<= 0 start (if (#{"mono.wav" "stereo.wav"} path) 10 0))))))

(def table
  "Messages by address (a set; :all is each of them), the reason, and a function that says
  whether a message is one."
  [{:addresses #{"/quit"}, :why "the server ends"}
   {:addresses #{"/dumpOSC" "/n_trace" "/g_dumpTree"}, :why "they only print"}
   {:addresses #{"/d_freeAll"}, :why "it frees SynthDefs that synths still use"}
   {:addresses #{"/d_free"}, :where (fn [m] (some #(and (string? %) (str/starts-with? % "varied")) (rest m)))
    :why "synths of a variant go on with the freed memory of their SynthDef; so does a redefinition"}
   {:addresses #{"/g_new" "/p_new"}, :where (fn [m] (beside-root? (partition-all 3 (rest m))))
    :why "nothing is beside the root"}
   {:addresses #{"/s_new" "/s_newargs"}, :where (fn [[_ _ & place]] (beside-root? [(take 3 place)]))
    :why "nothing is beside the root"}
   {:addresses #{"/b_gen"}, :where wavetable?
    :why "a wavetable of an odd number of samples is written beyond the buffer; buffer 3 alone is always even"}
   {:addresses #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel"}, :where odd-third-buffer?
    :why "buffer 3 is to be even, for wavetables"}
   {:addresses #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_close" "/b_free" "/b_gen" "/b_read" "/b_readChannel" "/b_write" "/b_zero"}
    :where     (fn [m] (not (<= 0 (or (argument m 0) 0) 15)))
    :why       "it writes into other memory"}
   {:addresses #{"/b_allocRead" "/b_allocReadChannel"}, :where beyond-file?
    :why "a buffer of no frames is made of a file that ends before its start"}
   {:addresses #{"/b_readChannel"}, :where (fn [m] (not= 8 (count m)))
    :why "whether the buffer has as many channels is not looked at: it writes beyond it; one channel fits"}
   {:addresses #{"/b_read" "/b_readChannel"}, :where read-inside?
    :why "before the buffer it writes into other memory; behind it, it sets a sample rate that is left to chance: buffer 2 alone is long enough"}
   {:addresses #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel"}, :where short-second-buffer?
    :why "buffer 2 is to be long enough"}
   {:addresses #{"/b_write"}, :where (fn [[_ _ path]] (not (map? path)))
    :why "files are written in a folder of the test only"}
   {:addresses #{"/b_write"}, :where (fn [[_ _ {:keys [path]} _ _ frames start]]
                                       (and (not= "out/open" path) (or (= 0 (integer (or frames -1))) (not= 0 (integer (or start 0))))))
    :why "a file of no frames: /b_allocRead of it frees samples that are in use"}
   {:addresses #{"/b_write"}, :where (fn [[_ _ {:keys [path]} & more]] (and (not= "out/open" path) (not= 0 (integer (nth more 4 0)))))
    :why "what stands in a file that is still open is left to chance: out/open is never read"}
   {:addresses #{"/s_get" "/s_getn"}, :where #(string? (second %))
    :why "a path in place of an id takes two arguments, and what follows is read beside its type tags"}
   {:addresses #{"/s_getn"}, :where #(not (and (even? (count %)) (every? (fn [n] (some-> (integer n) (>= 0))) (take-nth 2 (drop 3 %)))))
    :why "without a count, or with one below 0, the reply has other values than its type tags say"}
   {:addresses #{"/b_get" "/b_getn" "/b_query" "/c_get" "/c_getn"}, :where #(some string? (rest %))
    :why "the reply has other type tags than values"}
   {:addresses #{"/n_set"}, :where #(array-as-control? (rest %))
    :why "an array where a control is named hangs it"}
   {:addresses #{"/s_new" "/s_newargs"}, :where #(array-as-control? (drop 4 %))
    :why "an array where a control is named hangs it"}
   {:addresses #{"/b_fill" "/b_setn"}, :where negative-after-first?
    :why "in a buffer that is not there a start before 0 crashes; /b_setn takes the values of what lies beyond the end for further ranges"}])

(defn hazard
  "Why a message must not be sent, by the table, or nil."
  [message]
  (some (fn [{:keys [addresses why where]}]
          (and (or (= :all addresses) (contains? addresses (first message)))
               (or (nil? where) (where message))
               why))
        table))

(def ^:private makers #{"/g_new" "/p_new"})

(defn- after-message
  "`above` after a message, or nil where that is a hazard."
  [above message]
  (let [[address & args :as m] message]
    (cond
      (hazard m)                       nil
      (makers address)                 (reduce made above (partition-all 3 args))
      (#{"/s_new" "/s_newargs"} address) (made above (rest args))
      :else                            (moved above m))))

(declare keep-harmless)

(defn- keep-arguments
  "A message whose completions are harmless, and `above` after them."
  [above message]
  (reduce (fn [[above m] x]
            (if-let [inner (and (map? x) (:completion x))]
              (let [[above kept] (keep-harmless above inner)]
                [above (conj m {:completion kept})])
              [above (conj m x)]))
          [above [(first message)]] (rest message)))

(defn- keep-harmless [above packets]
  (reduce (fn [[above kept] x]
            (if (map? x)
              (let [[above inner] (keep-harmless above (:packets x))]
                [above (conj kept (assoc x :packets inner))])
              (if-let [after (after-message above x)]
                (let [[after m] (keep-arguments after x)]
                  [after (conj kept m)])
                [above kept])))
          [above []] packets))

(defn harmless
  "A sequence without what must not be sent: depends on nothing but the sequence."
  [packets]
  (second (keep-harmless {1 #{0}} packets)))

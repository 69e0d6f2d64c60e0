(ns espalier.model.ledger
  "What was asked of a server that outlives the asking, and that the server does not tell
  of by itself: a value, stepped by each such request as it goes out.

      {:nodes   {1000 {:def \"bell\", :set {0 440.0, 1 0.5}, :mapped {2 \"c5\"}}}
       :buses   {5 0.25}
       :buffers {3 {:steps [[\"/b_alloc\" 3 1024 1] [\"/b_setn\" 3 0 2 floats]], :cost 18, :sum 18}}
       :loads   [[\"/d_load\" \"bell.scsyndef\"]]
       :cost    18}

  Of a synth there are the values that its controls were set to: by their index where
  its SynthDef is known, otherwise by what they were named by. A control that is mapped
  keeps the value that it had before.

  Of a buffer there are the requests that make it anew. Samples that were sent are kept
  as they are, those that were sent again in place of the old ones: a buffer costs no
  more than twice its size. A copy of another buffer has with it how that one was made
  then: `{:copy request, :of steps}`. Where it would become too much, or where that is
  not known, there is `:why` in place of the steps."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.message :as message])
  (:import
   (java.util BitSet)))

(set! *warn-on-reflection* true)

(def initial
  "Nothing was asked yet."
  {:nodes {}, :buses {}, :buffers {}, :loads [], :cost 0})

(def ^:private node-commands
  (conj command/sets-controls "/s_new"))

(def buffer-commands
  "The addresses of those that make or fill a buffer."
  #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read" "/b_readChannel" "/b_set" "/b_setn" "/b_fill" "/b_zero" "/b_gen" "/b_close" "/b_free"})

(def ^:private bus-commands #{"/c_set" "/c_setn" "/c_fill"})

(def load-commands
  "The addresses of those that load SynthDefs from files."
  #{"/d_load" "/d_loadDir"})

(def commands
  "The addresses of the requests that leave something behind."
  (into #{} cat [node-commands buffer-commands bus-commands load-commands]))

;; ---- synths

(defn- mapping? [x] (and (string? x) (boolean (re-matches #"[ac]\d+" x))))

(defn- put
  "A synth with one value at a place."
  [synth place x]
  (cond
    (mapping? x) (assoc synth :mapped (assoc (:mapped synth) place x))
    (number? x)  (cond-> (assoc synth :set (assoc (:set synth) place x))
                   (contains? (:mapped synth) place) (update :mapped dissoc place))
    :else        synth))

(defn- place-of
  "Where the values of a control begin: its index, or itself where the SynthDef is not known;
  nil where it has none such."
  [known control]
  (cond
    (or (nil? known) (number? control)) control
    :else                               (:index (get known control))))

(defn- put-run
  "A synth with values from a control on."
  [synth known control xs]
  (if-some [place (place-of known control)]
    (cond
      (number? place)     (reduce (fn [[synth i] x] [(put synth i x) (inc (long i))]) [synth (long place)] xs)
      (next xs)           [(reduce (fn [synth [i x]] (put synth [place i] x)) synth (map-indexed vector xs))]
      :else               [(put synth place (first xs))])
    [synth]))

(defn- assign
  "A synth with a control set to a value, or to several from there on."
  [synth known control x]
  (if (sequential? x)
    (let [size (:size (get known control))]
      (first (put-run synth known control (if size (take size x) x))))
    (if-some [place (place-of known control)] (put synth place x) synth)))

(defn- assign-from
  "A synth with the controls set that a request has in turns with their values, from a place on."
  [synth known request from]
  (loop [synth synth, i (long from)]
    (if (< (inc i) (count request))
      (recur (assign synth known (nth request i) (nth request (inc i))) (+ i 2))
      synth)))

(defn- runs
  "Of `[control n x1 … xn …]` each control with its values."
  [xs]
  (loop [xs (seq xs), found []]
    (if (nnext xs)
      (let [[control n & more] xs]
        (recur (seq (drop n more)) (conj found [control (vec (take n more))])))
      found)))

(defn- unmap [synth known control n]
  (let [place (place-of known control)]
    (reduce (fn [synth i] (update synth :mapped dissoc (if (number? place) (+ (long place) (long i)) place)))
            synth
            (range n))))

(defn- map-to [synth known letter control bus n]
  (cond
    (neg? (long bus)) (unmap synth known control n)
    :else             (first (put-run synth known control (mapv (fn [i] (str letter (+ (long bus) (long i)))) (range n))))))

(def ^:private most-in-a-run
  "So many controls or buses no SynthDef and no server has." 1048576)

(defn- change-synth
  "A synth after a request that sets or maps controls."
  [{:keys [def] :as synth} [address :as request] known-of]
  (let [known (known-of def)
        of    (fn [n f] (reduce f synth (partition n (subvec request 2))))]
    (case address
      "/n_set"   (assign-from synth known request 2)
      "/n_setn"  (reduce (fn [synth [control xs]] (first (put-run synth known control xs))) synth (runs (subvec request 2)))
      "/n_fill"  (of 3 (fn [synth [control n x]] (first (put-run synth known control (repeat (min (long n) (long most-in-a-run)) x)))))
      "/n_map"   (of 2 (fn [synth [control bus]] (map-to synth known "c" control bus 1)))
      "/n_mapa"  (of 2 (fn [synth [control bus]] (map-to synth known "a" control bus 1)))
      "/n_mapn"  (of 3 (fn [synth [control bus n]] (map-to synth known "c" control bus (min (long n) (long most-in-a-run)))))
      "/n_mapan" (of 3 (fn [synth [control bus n]] (map-to synth known "a" control bus (min (long n) (long most-in-a-run))))))))

(defn- node-step [{:keys [nodes] :as ledger} [address a b :as request] {:keys [known-of below]}]
  (if (= "/s_new" address)
    (assoc ledger :nodes (assoc nodes b (assign-from {:def a} (known-of a) request 5)))
    (assoc ledger :nodes
      (reduce (fn [nodes id]
                (if-some [synth (get nodes id)]
                  (assoc nodes id (change-synth synth request known-of))
                  nodes))
              nodes
              ;; Settings of a group are of all that is in it.
              (if (contains? nodes a) [a] (below a))))))

(defn controls
  "The controls of a synth as they were set, by their names as far as its SynthDef, `known`, is:
  numbers, \"c5\" for what is mapped, vectors of these for arrays. Triggers are left out, which
  have passed.

      (controls {:def \"bell\", :set {0 440.0}, :mapped {1 \"c5\"}}
                {\"freq\" {:index 0, :size 1, :default 220.0}, \"amp\" {:index 1, :size 1, :default 0.1}})
      ;=> {\"freq\" 440.0, \"amp\" \"c5\"}"
  [{:keys [set mapped]} known]
  (let [places (merge (update-vals set message/number) mapped)
        arrays (group-by (fn [k] (when (vector? k) (first k))) (keys places))
        known-places (into #{} (mapcat (fn [[_ {:keys [index size]}]] (range index (+ (long index) (long size))))) known)]
    (-> {}
        (into (keep (fn [[k {:keys [index size default]}]]
                      (when-not (str/starts-with? k "t_")
                        (if (= 1 size)
                          (when (contains? places index) [k (get places index)])
                          (let [all (map (fn [i] (get places (+ (long index) (long i)))) (range size))]
                            (when (some some? all) [k (mapv (fn [x d] (if (some? x) x d)) all default)]))))))
              known)
        ;; What was named where the SynthDef was not known.
        (into (remove (fn [[k _]] (or (vector? k) (contains? known-places k)))) places)
        (into (keep (fn [[k ks]] (when (some? k) [k (mapv places (sort-by second ks))]))) arrays))))

;; ---- buffers

(def ^:private most-cost
  "So many samples of buffers are kept at the most, 4 bytes each; a step that is no sample
  counts as some." 16777216)

(def ^:private too-much
  "more was sent for it, or for all buffers together, than is kept")

(defn- write?
  "Whether a step sets samples, and nothing else."
  [step]
  (and (vector? step) (contains? #{"/b_setn" "/b_fill"} (first step))))

(defn- cost-of ^long [step]
  (cond
    (map? step)   (long (reduce + 4096 (map cost-of (:of step))))
    (write? step) (+ 16 (if (= "/b_setn" (first step)) (long (nth step 3)) 0))
    :else         4096))

(defn- extent [[_ _ start n]] [(long start) (+ (long start) (long n))])

(defn- compacted
  "Steps that set samples between two places as those that set each but once."
  [id writes from to]
  (let [from  (long from)
        image (float-array (- (long to) from))
        set   (BitSet.)]
    (doseq [[address _ start n x] writes
            :let [at (int (- (long start) from))]]
      (if (= "/b_setn" address)
        (System/arraycopy ^floats x 0 image at (int n))
        (java.util.Arrays/fill image at (int (+ at (long n))) (float x)))
      (.set set at (int (+ at (long n)))))
    (loop [i (.nextSetBit set 0), found []]
      (if (neg? i)
        found
        (let [end (.nextClearBit set i)]
          (recur (.nextSetBit set end)
                 (conj found ["/b_setn" id (+ from i) (- end i) (java.util.Arrays/copyOfRange image i end)])))))))

(defn- tidied
  "The steps of a buffer, with what was set again and again set once."
  [id steps]
  (let [place  (- (count steps) (count (take-while write? (rseq steps))))
        writes (subvec steps place)]
    (if (next writes)
      (let [from (reduce min (map (comp first extent) writes)), to (reduce max (map (comp second extent) writes))]
        (if (<= (- (long to) (long from)) (long most-cost))
          (into (subvec steps 0 place) (compacted id writes from to))
          steps))
      steps)))

(defn- total ^long [steps] (long (reduce + (map cost-of steps))))

(defn- put-buffer
  "The ledger with a buffer that is made by `steps`, which cost `sum`."
  [{:keys [cost] :as ledger} id steps sum]
  (let [{before :sum, :keys [limit] :or {before 0, limit 65536}} (get-in ledger [:buffers id])
        tidy? (< (long limit) (long sum))
        steps (if tidy? (tidied id steps) steps)
        sum   (if tidy? (total steps) (long sum))
        cost  (+ (- (long cost) (long before)) sum)]
    (if (< (long most-cost) cost)
      (-> ledger (assoc :cost (- cost sum)) (assoc-in [:buffers id] {:why too-much}))
      (-> ledger (assoc :cost cost)
          (assoc-in [:buffers id] {:steps steps, :sum sum, :limit (if tidy? (max 65536 (* 2 sum)) limit)})))))

(defn- without-buffer [ledger id]
  (-> ledger
      (update :cost (fn [cost] (- (long cost) (long (get-in ledger [:buffers id :sum] 0)))))
      (update :buffers dissoc id)))

(defn- add-steps
  "The ledger with further steps for a buffer that it knows how to make."
  [ledger id more]
  (if-let [{:keys [steps sum]} (let [b (get-in ledger [:buffers id])] (when (:steps b) b))]
    (put-buffer ledger id (into steps more) (+ (long sum) (total more)))
    ledger))

(defn- with-steps
  "The ledger with other steps for a buffer."
  [ledger id steps]
  (put-buffer ledger id steps (total steps)))

(defn- unknown-from [ledger id why]
  (assoc-in (without-buffer ledger id) [:buffers id] {:why why}))

(defn- floats-of ^floats [xs]
  (if (instance? float/1 xs) xs (float-array xs)))

(defn- writes
  "The steps that a request is which sets samples, one for each run."
  [[address id & args]]
  (case address
    "/b_set"  (for [[i x] (partition 2 args)] ["/b_setn" id i 1 (float-array [x])])
    "/b_fill" (for [[start n x] (partition 3 args)] ["/b_fill" id start n x])
    "/b_setn" (loop [xs (seq args), found []]
                (if (nnext xs)
                  (let [[start n x & more] xs]
                    (if (instance? float/1 x)
                      (recur more (conj found ["/b_setn" id start n x]))
                      (recur (seq (drop n (cons x more))) (conj found ["/b_setn" id start n (floats-of (take n (cons x more)))]))))
                  found))))

(defn source-place
  "Where in a request the number is of the buffer that it generates from; nil where there is none."
  [[address _ routine]]
  (when (= "/b_gen" address)
    (case routine "copy" 4, "PreparePartConv" 3, nil)))

(defn for-buffer
  "Steps of a buffer for one with another number."
  [steps id]
  (mapv (fn [step]
          (if (map? step)
            (assoc-in step [:copy 1] id)
            (let [place (source-place step)]
              ;; Here it is only in those that copy within one buffer.
              (cond-> (assoc step 1 id) place (assoc place id)))))
        steps))

(defn- copy-of
  "The step of a request that generates from another buffer, which was made by steps; that has the
  number 0 here, whichever it was."
  [request place steps]
  {:copy (assoc request place 0), :of (for-buffer steps 0)})

(defn- clears?
  "Whether a request writes a buffer, which was made by `steps`, anew as a whole. Of one with more
  channels than one it leaves all as it is."
  [[[made _ _ channels]] [_ _ routine flags]]
  (and (= "/b_alloc" made) (= 1 channels)
       (contains? #{"sine1" "sine2" "sine3" "cheby"} routine) (number? flags) (bit-test (long flags) 2)))

(defn- emptied
  "The steps of a buffer without what has filled it so far."
  [steps]
  (subvec steps 0 1))

(defn- buffer-step [{:keys [buffers] :as ledger} [address id :as request]]
  (case address
    ("/b_alloc" "/b_allocRead" "/b_allocReadChannel") (with-steps (without-buffer ledger id) id [request])
    "/b_free"                      (without-buffer ledger id)
    ("/b_set" "/b_setn" "/b_fill") (add-steps ledger id (writes request))
    "/b_zero"                      (let [[[made] :as steps] (:steps (get buffers id))]
                                     ;; What was allocated is zero.
                                     (if (= "/b_alloc" made) (with-steps ledger id (emptied steps)) (add-steps ledger id [request])))
    "/b_close"                     (if-let [steps (:steps (get buffers id))]
                                     (assoc-in ledger [:buffers id :steps] (mapv (fn [step] (if (and (vector? step) (= "/b_read" (first step))) (assoc step 6 0) step)) steps))
                                     ledger)
    "/b_gen"                       (let [place (source-place request), from (when place (nth request place nil)), steps (:steps (get buffers id))]
                                     (cond
                                       (nil? steps)                ledger
                                       (clears? steps request)     (with-steps ledger id (conj (emptied steps) request))
                                       (or (nil? from) (= id from)) (add-steps ledger id [request])
                                       (:steps (get buffers from)) (add-steps ledger id [(copy-of request place (:steps (get buffers from)))])
                                       :else                       (unknown-from ledger id (str "it was made from buffer " from ", and how that was made is not known"))))
    (add-steps ledger id [request])))

;; ---- buses, and files of SynthDefs

(defn- set-bus [buses bus x]
  (if (and (int? bus) (number? x)) (assoc buses bus x) buses))

(defn- bus-step [{:keys [buses] :as ledger} [address :as request]]
  (let [args     (subvec request 1)
        set-from (fn [buses bus xs] (first (reduce (fn [[buses bus] x] [(set-bus buses bus x) (inc (long bus))]) [buses (long bus)] xs)))]
    (assoc ledger :buses
      (case address
        "/c_set"  (loop [buses buses, i 1]
                    (if (< (inc i) (count request))
                      (recur (set-bus buses (nth request i) (nth request (inc i))) (+ i 2))
                      buses))
        "/c_setn" (reduce (fn [buses [bus xs]] (set-from buses bus xs)) buses (runs args))
        "/c_fill" (reduce (fn [buses [bus n x]] (set-from buses bus (repeat (min (long n) (long most-in-a-run)) x))) buses (partition 3 args))))))

(def ^:private most-loads 1000)

(defn- loaded
  "The files that were loaded, with one more; what a large SynthDef was sent by is no file of the user's."
  [loads [_ path :as request]]
  (if (or (re-find #"espalier-[^/]*\.scsyndef$" (str path)) (some #{request} loads) (= (long most-loads) (count loads)))
    loads
    (conj loads request)))

;; ---- all together

(defn step
  "The ledger after a request that goes out, a vector with numbers, strings and sequences of
  these, and a float array perhaps at the end of a `/b_setn`.

  `known-of`  from the name of a SynthDef to its controls as `espalier.model.synthdef/controls` has
              them, or nil
  `below`     from the id of a group to those of the nodes below it

      (step initial [\"/c_set\" 5 0.25] {:known-of {}, :below {}})"
  [ledger [address :as request] context]
  (cond
    (bus-commands address)    (bus-step ledger request)
    (load-commands address)   (update ledger :loads loaded request)
    (not (int? (nth request (if (= "/s_new" address) 2 1) nil))) ledger
    (node-commands address)   (node-step ledger request context)
    (buffer-commands address) (buffer-step ledger request)
    :else                     ledger))

(defn ended
  "The ledger without a node."
  [ledger id]
  (if (contains? (:nodes ledger) id) (update ledger :nodes dissoc id) ledger))

(defn only
  "The ledger with those nodes alone that `there?` tells of an id."
  [ledger there?]
  (update ledger :nodes (fn [nodes] (into {} (filter (fn [[id _]] (there? id))) nodes))))

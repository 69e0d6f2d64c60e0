(ns espalier.model.compiler
  "From the UGens of a graph, as `espalier.model.graph/build` gathers them, to a SynthDef
  value: what sclang 3.13 makes of the same graph, in the same order, so that the bytes
  are the same. Each step visits each UGen and each input once.

  1. The UGens in the order of their creation; those that were made before the graph
     come where they are first read. MaxLocalBufs comes before the first LocalBuf.
  2. An FFT chain that several UGens change is copied for each but the last.
  3. Additions are joined to Sum3, Sum4 and MulAdd, negations to subtractions; what
     nothing reads and does nothing else is left out.
  4. Constants in the order of their first use.
  5. The order of the file: each UGen behind those it reads, depth first; and all that
     is made after a UGen that changes a buffer, behind that.

  Where sclang has a defect (an FFT chain that is copied without any LocalBuf, a
  negation subtracted from itself), this does what was meant."
  (:require
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.ugen :as ugen])
  (:import
   (espalier.model.graph Output UGen)
   (espalier.model.ugen Spec)
   (java.util ArrayList HashMap IdentityHashMap)))

(set! *warn-on-reflection* true)

(defn- ugen-of ^UGen [x]
  (cond (instance? UGen x) x, (instance? Output x) (.ugen ^Output x)))

(defn- class-of [^UGen u] (.class-name ^Spec (.spec u)))

;; ---- 1: the order of creation

(defn- foreign-control [synthdef-name ^UGen u]
  (error/error :foreign-control
               (str "SynthDef " synthdef-name ": a control of another SynthDef is read, number " (.special u)
                    " of its values. Controls are the parameters of one graph function; hand them to it as such.")
               {:ugen (str u), :synthdef synthdef-name}))

(defn- gathered
  "All UGens in the order of creation: those of the graph, and before each those that
  it reads and that were made before the graph. Depth first, without recursion."
  ^ArrayList [synthdef-name ugens roots]
  (let [mine  (IdentityHashMap.)
        there (IdentityHashMap.)
        order (ArrayList.)
        stack (ArrayList.)]
    (run! #(.put mine % true) ugens)
    (doseq [^UGen u (concat ugens roots)]
      (.add stack u)
      (while (pos? (.size stack))
        (let [^UGen u (.get stack (dec (.size stack)))
              inputs  ^objects (.inputs u)
              before  (when-not (.containsKey there u)
                        (loop [i 0]
                          (when (< i (alength inputs))
                            (let [v (ugen-of (aget inputs i))]
                              (if (and v (not (.containsKey there v)))
                                v
                                (recur (inc i)))))))]
          (if before
            (.add stack before)
            (do (.remove stack (dec (.size stack)))
                (when-not (.containsKey there u)
                  (when (and (synthdef/control-classes (class-of u)) (not (.containsKey mine u)))
                    (throw (foreign-control synthdef-name u)))
                  (.put there u true)
                  (.add order u)))))))
    order))

;; A step is a UGen with what it reads and, beside that, waits for: {:ugen :inputs :behind}.
;; `behind` are the UGens that change buffers: the last one made before, for that one
;; waits for those before it.

(deftype Step [^UGen ugen ^objects inputs behind])

(defn- steps-of
  ^ArrayList [^ArrayList order]
  (let [steps (ArrayList. (.size order))]
    (loop [i 0, behind nil]
      (when (< i (.size order))
        (let [^UGen u (.get order i)]
          (.add steps (Step. u (.inputs u) (when behind [behind])))
          (recur (inc i) (if (.width-first? ^Spec (.spec u)) u behind)))))
    steps))

;; ---- 2: FFT chains

(def ^:private buf-frames-spec (ugen/find-spec "BufFrames" :scalar))
(def ^:private local-buf-spec (ugen/find-spec "LocalBuf" :scalar))
(def ^:private pv-copy-spec (ugen/find-spec "PV_Copy" :control))
(def ^:private max-local-bufs-spec (ugen/find-spec "MaxLocalBufs" :scalar))

(defn- row ^objects [& xs] (object-array xs))

(defn- chain? [^UGen u] (.pv-chain? ^Spec (.spec u)))

(defn- readers-of-chains
  "For each FFT chain the UGens that change or read its buffer, in order."
  ^IdentityHashMap [^ArrayList steps]
  (let [readers (IdentityHashMap.)]
    (doseq [^Step step steps
            :let [u ^UGen (.ugen step)]
            :when (and (.width-first? ^Spec (.spec u)) (not= "PV_Copy" (class-of u)))
            chain (into #{} (filter #(and (instance? UGen %) (chain? %))) (.inputs step))]
      (.put readers chain (conj (get readers chain []) u)))
    readers))

(defn- frames-of
  "What says how long the buffer of a chain is: a new UGen, or the size that PackFFT was
  given."
  [^UGen chain]
  (let [inputs ^objects (.inputs chain)]
    (case (class-of chain)
      "PackFFT" (aget inputs 1)
      (let [in (aget inputs 0)]
        (if (and (instance? UGen in) (chain? in) (not= "FFT" (class-of chain)))
          (recur in)
          (UGen. buf-frames-spec (row in) 1 0))))))

(defn- with-copies
  "`steps` where each reader of a chain but the last has a copy of its own."
  ^ArrayList [^ArrayList steps]
  (let [readers (readers-of-chains steps)
        copied  (filterv #(< 1 (count (val %))) readers)]
    (if (empty? copied)
      steps
      (let [behind   (IdentityHashMap.)
            inputs   (IdentityHashMap.)
            inserted (IdentityHashMap.)
            where    (IdentityHashMap.)]
        (doseq [^Step step steps]
          (.put behind (.ugen step) (.behind step))
          (.put where (.ugen step) (.size where))
          (.put inputs (.ugen step) (.inputs step)))
        (doseq [[chain those] (sort-by #(get where (key %)) copied)
                reader (butlast those)]
          (let [mine (aclone ^objects (get inputs reader))]
            (dotimes [i (alength mine)]
              (when (identical? chain (aget mine i))
                (let [frames (frames-of chain)
                      buf    (UGen. local-buf-spec (row 1.0 frames) 1 0)
                      copy   (UGen. pv-copy-spec (row chain buf) 1 0)]
                  (aset mine i copy)
                  (.put inserted chain
                        (concat (when (instance? UGen frames) [(Step. frames (.inputs ^UGen frames) nil)])
                                [(Step. buf (.inputs ^UGen buf) nil)
                                 (Step. copy (.inputs ^UGen copy) (conj (vec (get behind chain)) buf))]
                                (get inserted chain))))))
            (.put inputs reader mine)))
        (let [all (ArrayList.)]
          (doseq [^Step step steps]
            (.add all (Step. (.ugen step) (get inputs (.ugen step)) (.behind step)))
            (run! #(.add all %) (get inserted (.ugen step))))
          all)))))

(defn- with-local-bufs
  "`steps` with one MaxLocalBufs before the first LocalBuf, which each of them reads."
  ^ArrayList [^ArrayList steps]
  (let [local? (fn [^Step step] (= "LocalBuf" (class-of (.ugen step))))
        n      (count (filter local? steps))]
    (if (zero? n)
      steps
      (let [total (UGen. max-local-bufs-spec (row (double n)) 1 0)
            all   (ArrayList.)
            [before from] (split-with (complement local?) steps)]
        (.addAll all before)
        (.add all (Step. total (.inputs total) (.behind ^Step (first from))))
        (doseq [^Step step from]
          (.add all (if (local? step)
                      (let [[channels frames] (.inputs step)]
                        (Step. (.ugen step) (row channels frames total) (.behind step)))
                      step)))
        all))))

;; ---- 3: rewriting. From here on UGens are numbers: their places in the order of creation.
;; An input is a long: a constant k is -1 - k, an output is the place of its UGen, shifted,
;; and its index. What a UGen is joined to takes its place.

(def ^:private ^:const output-bits 20)
(def ^:private ^:const output-mask 1048575)

(defmacro ^:private place-of [x] `(bit-shift-right ~x output-bits))

(def ^:private ^:const plain 0)
(def ^:private ^:const plus 1)
(def ^:private ^:const minus 2)
(def ^:private ^:const times 3)
(def ^:private ^:const neg 4)
(def ^:private ^:const sum3 5)

(def ^:private plus-index (ugen/binary-index "+"))
(def ^:private minus-index (ugen/binary-index "-"))
(def ^:private kinds
  {"BinaryOpUGen" {plus-index plus, minus-index minus, (ugen/binary-index "*") times}
   "UnaryOpUGen"  {(ugen/unary-index "neg") neg}})

(defn- kind-of [^UGen u]
  (let [class-name (class-of u)]
    (cond
      (= "Sum3" class-name) sum3
      :else                 (get (get kinds class-name) (.special u) plain))))

(deftype Plan
         [^objects specs ^ints specials ^objects inputs ^ints channels
          ^bytes kinds ^ints users ^booleans alive ^booleans joined ^objects behind
          ^ArrayList constants])

(defn- constant-of
  "The place of a constant among those seen so far."
  ^long [^ArrayList constants ^HashMap places x]
  (if-let [i (.get places x)]
    (long i)
    (let [i (.size constants)]
      (.add constants x)
      (.put places x i)
      i)))

(defn- distinct-places
  "Calls `f` with the place of each UGen that `inputs` read, once."
  [^longs inputs f]
  (let [n (alength inputs)]
    (dotimes [i n]
      (let [x (aget inputs i)]
        (when-not (neg? x)
          (let [p (place-of x)]
            (when-not (loop [j 0]
                        (when (< j i)
                          (let [y (aget inputs j)]
                            (or (and (not (neg? y)) (= p (place-of y)))
                                (recur (inc j))))))
              (f p))))))))

(defn- plan-of ^Plan [^ArrayList steps]
  (let [n         (.size steps)
        places    (IdentityHashMap. (* 2 n))
        constants (ArrayList.)
        known     (HashMap.)
        plan      (Plan. (object-array n) (int-array n) (object-array n) (int-array n)
                         (byte-array n) (int-array n) (boolean-array n true) (boolean-array n) (object-array n) constants)]
    (dotimes [i n]
      (let [^Step step (.get steps i)
            ^UGen u    (.ugen step)
            given      ^objects (.inputs step)
            inputs     (long-array (alength given))]
        (.put places u i)
        (dotimes [j (alength given)]
          (let [x (aget given j)]
            (aset inputs j
                  (long (cond
                          (instance? UGen x)   (bit-shift-left (long (.get places x)) output-bits)
                          (instance? Output x) (bit-or (bit-shift-left (long (.get places (.ugen ^Output x))) output-bits)
                                                       (.index ^Output x))
                          :else                (- -1 (constant-of constants known x)))))))
        (aset ^objects (.specs plan) i (.spec u))
        (aset ^ints (.specials plan) i (int (.special u)))
        (aset ^objects (.inputs plan) i inputs)
        (aset ^ints (.channels plan) i (int (.channels u)))
        (aset ^bytes (.kinds plan) i (byte (kind-of u)))
        (aset ^objects (.behind plan) i (mapv #(.get places %) (.behind step)))
        (distinct-places inputs (fn [p]
                                  (let [p (long p), users ^ints (.users plan)]
                                    (aset users p (inc (aget users p))))))))
    plan))

(defn- spec-at ^Spec [^Plan plan i] (aget ^objects (.specs plan) (long i)))

(defn- inputs-at ^longs [^Plan plan i] (aget ^objects (.inputs plan) (long i)))

(defn- rate-at
  "The rate of an input."
  [^Plan plan ^long x]
  (if (neg? x) :scalar (.rate (spec-at plan (place-of x)))))

(defn- only?
  "Whether input x is a UGen of this kind that nothing else reads."
  [^Plan plan ^long x ^long kind]
  (and (not (neg? x))
       (let [p (place-of x)]
         (and (= kind (aget ^bytes (.kinds plan) p))
              (= 1 (aget ^ints (.users plan) p))))))

(defn- occurrences
  "How often `inputs` read UGen `p`."
  ^long [^longs inputs ^long p]
  (let [n (alength inputs)]
    (loop [i 0, found 0]
      (if (= i n)
        found
        (let [x (aget inputs i)]
          (recur (inc i) (if (and (not (neg? x)) (= p (place-of x))) (inc found) found)))))))

(defn- counted
  "How often UGen `i` is among the users of `p`: once, but what has been joined as often
  as it reads `p`, as sclang counts."
  ^long [^Plan plan ^long i ^long p]
  (let [n (occurrences (inputs-at plan i) p)]
    (if (aget ^booleans (.joined plan) i) n (Math/min n 1))))

(defn- join!
  "Puts something else in the place of UGen `i`, which takes in the UGen of input
  `taken` with its inputs."
  [^Plan plan i taken class-name kind special inputs]
  (let [i      (long i)
        p      (place-of (long taken))
        inputs (long-array inputs)
        users  ^ints (.users plan)]
    (aset ^booleans (.alive plan) p false)
    (distinct-places inputs
                     (fn [q]
                       (let [q (long q)
                             n (occurrences inputs q)]
                         (aset users q (int (- (+ (aget users q) n) (Math/min n (counted plan i q)) (Math/min n (counted plan p q))))))))
    (aset ^objects (.inputs plan) i inputs)
    (aset ^booleans (.joined plan) i true)
    (aset ^bytes (.kinds plan) i (byte kind))
    (aset ^ints (.specials plan) i (int special))
    (aset ^objects (.specs plan) i
          (graph/spec-of class-name
                         (let [rates (map #(rate-at plan %) inputs)]
                           (if (= "BinaryOpUGen" class-name)
                             (apply graph/binary-rate rates)
                             (first (sort-by graph/rank rates))))))))

(defn- sorted-by-rate [plan inputs]
  (graph/by-rate #(graph/rank (rate-at plan %)) inputs))

(defn- join-sum! [plan i taken class-name inputs]
  (join! plan i taken class-name (if (= "Sum3" class-name) sum3 plain) 0 (sorted-by-rate plan inputs)))

(defn- join-product!
  "`taken`, a product that only UGen `i` reads, and what is added to it, as MulAdd where
  that takes their rates. Returns whether it did."
  [plan i taken added]
  (when (only? plan taken times)
    (let [[x y] (inputs-at plan (place-of (long taken)))
          rate  #(rate-at plan %)]
      (when-let [inputs (cond
                          (graph/fusable? (rate x) (rate y) (rate added)) [x y added]
                          (graph/fusable? (rate y) (rate x) (rate added)) [y x added])]
        (join! plan i taken "MulAdd" plain 0 inputs)
        true))))

(declare rewrite!)

(defn- rewrite-addition! [^Plan plan i]
  (let [inputs  (inputs-at plan i)
        a       (aget inputs 0)
        b       (aget inputs 1)
        same?   (= a b)
        demand? (or (= :demand (rate-at plan a)) (= :demand (rate-at plan b)))
        of      (fn [x] (seq (inputs-at plan (place-of (long x)))))]
    (cond
      (and (not demand?) (only? plan a plus))
      (let [[x y] (of a)]
        (if same?
          (join-sum! plan i a "Sum4" [x x y y])
          (join-sum! plan i a "Sum3" [x y b])))

      (and (not demand?) (only? plan b plus))
      (join-sum! plan i b "Sum3" (concat (of b) [a]))

      same? nil

      (and (not demand?) (only? plan a sum3))
      (join-sum! plan i a "Sum4" (concat (of a) [b]))

      (and (not demand?) (only? plan b sum3))
      (join-sum! plan i b "Sum4" (concat (of b) [a]))

      (join-product! plan i a b) nil
      (join-product! plan i b a) nil

      (only? plan b neg)
      (do (join! plan i b "BinaryOpUGen" minus minus-index [a (first (of b))])
          (rewrite! plan i))

      (only? plan a neg)
      (do (join! plan i a "BinaryOpUGen" minus minus-index [b (first (of a))])
          (rewrite! plan i)))))

(defn- rewrite-subtraction! [^Plan plan i]
  (let [inputs (inputs-at plan i)
        a      (aget inputs 0)
        b      (aget inputs 1)]
    (when (and (not= a b) (only? plan b neg))
      (join! plan i b "BinaryOpUGen" plus plus-index [a (aget (inputs-at plan (place-of b)) 0)])
      (rewrite! plan i))))

(defn- rewrite!
  "Joins UGen `i`, an addition or subtraction, with what it reads, where that is possible."
  [^Plan plan i]
  (let [kind (aget ^bytes (.kinds plan) (long i))]
    (cond
      (= plus kind)  (rewrite-addition! plan i)
      (= minus kind) (rewrite-subtraction! plan i))))

(defn- useless? [^Plan plan ^long i]
  (and (.pure? (spec-at plan i))
       (zero? (aget ^ints (.users plan) i))
       (aget ^booleans (.alive plan) i)))

(defn- remove-useless!
  "Leaves out UGen `i`, and looks again at each that it alone has read, in turn, before
  the next: without recursion, for such a chain may be long."
  [^Plan plan i]
  (let [stack  (ArrayList.)
        users  ^ints (.users plan)
        enter! (fn [i]
                 (aset ^booleans (.alive plan) (long i) false)
                 (.add stack (long-array [i 0])))]
    (enter! i)
    (while (pos? (.size stack))
      (let [top    ^longs (.get stack (dec (.size stack)))
            inputs (inputs-at plan (aget top 0))
            k      (aget top 1)]
        (if (= k (alength inputs))
          (.remove stack (dec (.size stack)))
          (let [x (aget inputs k)]
            (aset top 1 (inc k))
            (when-not (neg? x)
              (let [p (place-of x)]
                (when-not (.multi-out? (spec-at plan p))
                  (when (or (aget ^booleans (.joined plan) (aget top 0))
                            (not (loop [j 0]
                                   (when (< j k)
                                     (or (= x (aget inputs j)) (recur (inc j)))))))
                    (aset users p (dec (aget users p))))
                  (if (useless? plan p)
                    (enter! p)
                    (when (aget ^booleans (.alive plan) p)
                      (rewrite! plan p))))))))))))

(defn- rewrite-all! [^Plan plan]
  (dotimes [i (alength ^booleans (.alive plan))]
    (when (aget ^booleans (.alive plan) i)
      (if (useless? plan i)
        (remove-useless! plan i)
        (rewrite! plan i)))))

;; ---- 4 and 5: constants, order

(defn- numbered-constants
  "The constants that are left, in the order of their use, and where each of the plan is
  among them."
  [^Plan plan]
  (let [places (int-array (.size ^ArrayList (.constants plan)) -1)
        used   (ArrayList.)]
    (dotimes [i (alength ^booleans (.alive plan))]
      (when (aget ^booleans (.alive plan) i)
        (let [inputs (inputs-at plan i)]
          (dotimes [j (alength inputs)]
            (let [x (aget inputs j)]
              (when (neg? x)
                (let [k (- -1 x)]
                  (when (neg? (aget places k))
                    (aset places k (.size used))
                    (.add used (.get ^ArrayList (.constants plan) k))))))))))
    [(mapv synthdef/shortest used) places]))

(defn- successors
  "For each UGen those that wait for it, in the order of creation, and how many each
  waits for."
  [^Plan plan]
  (let [n       (alength ^booleans (.alive plan))
        after   (object-array n)
        waiting (int-array n)
        marked  (int-array n -1)
        wait!   (fn [i p]
                  (let [i (long i), p (long p)]
                    (when-not (= i (aget marked p))
                      (aset marked p (int i))
                      (aset waiting i (inc (aget waiting i)))
                      (let [^ArrayList those (or (aget after p) (aset after p (ArrayList.)))]
                        (.add those i)))))]
    (dotimes [i n]
      (when (aget ^booleans (.alive plan) i)
        (let [inputs (inputs-at plan i)]
          (dotimes [j (alength inputs)]
            (let [x (aget inputs j)]
              (when-not (neg? x)
                (wait! i (place-of x))))))
        (run! #(wait! i %) (aget ^objects (.behind plan) i))))
    [after waiting]))

(defn- sorted
  "The places of the UGens that are left, in the order of the file."
  ^ArrayList [^Plan plan]
  (let [n               (alength ^booleans (.alive plan))
        [after waiting] (successors plan)
        after           ^objects after
        waiting         ^ints waiting
        ready           (ArrayList.)
        order           (ArrayList.)]
    (loop [i (dec n)]
      (when-not (neg? i)
        (when (and (aget ^booleans (.alive plan) i) (zero? (aget waiting i)))
          (.add ready i))
        (recur (dec i))))
    (while (pos? (.size ready))
      (let [i     (.remove ready (dec (.size ready)))
            those ^ArrayList (aget after (long i))]
        (.add order i)
        (when those
          (loop [k (dec (.size those))]
            (when-not (neg? k)
              (let [j    (long (.get those k))
                    left (dec (aget waiting j))]
                (aset waiting j left)
                (when (zero? left)
                  (.add ready j)))
              (recur (dec k)))))))
    order))

(defn- ugens-of
  "The UGens of the SynthDef value."
  [^Plan plan ^ints constants]
  (let [order  (sorted plan)
        places (int-array (alength ^booleans (.alive plan)))
        input  (fn [x]
                 (let [x (long x)]
                   (if (neg? x)
                     [:constant (aget constants (- -1 x))]
                     [:ugen (aget places (place-of x)) (bit-and x (long output-mask))])))]
    (dotimes [k (.size order)]
      (aset places (long (.get order k)) k))
    (into []
          (map (fn [i]
                 (let [i    (long i)
                       spec (spec-at plan i)]
                   {:class   (.class-name spec)
                    :rate    (.rate spec)
                    :inputs  (mapv input (inputs-at plan i))
                    :outputs (into [] (repeat (aget ^ints (.channels plan) i) (.rate spec)))
                    :special (aget ^ints (.specials plan) i)})))
          order)))

(defn finish
  "The SynthDef value of a graph, as `espalier.model.synthdef` describes it.

  `synthdef`  the name, a string
  `graph`     what `espalier.model.graph/build` returned

  Throws `:espalier.error/foreign-control` where a control of another SynthDef is read."
  [synthdef {:keys [ugens roots values names]}]
  (let [plan               (-> (gathered synthdef ugens roots) steps-of with-copies with-local-bufs plan-of)
        _                  (rewrite-all! plan)
        [constants places] (numbered-constants plan)]
    {:kind            :synthdef
     :name            synthdef
     :constants       constants
     :parameters      (mapv synthdef/shortest values)
     :parameter-names names
     :ugens           (ugens-of plan places)
     :variants        []}))

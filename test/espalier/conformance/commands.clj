(ns espalier.conformance.commands
  "Random sequences of commands, right and wrong ones, as data that print and read back:
  messages are vectors, bundles `{:at :now, :packets […]}`; what a vector cannot hold is
  named (see `espalier.conformance.material`).

  Ids are few, and sequences begin by making nodes and buffers: so most commands meet
  what they name."
  (:require
   [clojure.test.check.generators :as gen]
   [clojure.test.check.random :as random]
   [clojure.test.check.rose-tree :as rose]
   [espalier.conformance.side :refer [buffers group-ids synth-ids]]))

(set! *warn-on-reflection* true)

;; ---- arguments

(defn- often
  "A generator of weights and generators, or values."
  [& pairs]
  (gen/frequency (for [[weight g] (partition 2 pairs)] [weight (if (gen/generator? g) g (gen/return g))])))

(def ^:private group (gen/elements group-ids))
(def ^:private synth (gen/elements synth-ids))

(def ^:private strange-node (gen/elements [0 -1 -5 5 999 2147483647]))

(def ^:private a-node (often 5 synth, 3 group, 1 strange-node))
(def ^:private a-synth (often 12 synth, 1 group, 1 strange-node))
(def ^:private a-group (often 12 group, 1 synth, 2 0, 1 strange-node))

(def ^:private number
  (often 4 (gen/elements [0.0 1.0 0.5 -0.75 440.0 0.1 1e-3 1e30 -0.0 16777217.0]), 2 (gen/choose 0 10), 1 (gen/choose -3 -1)))

(def ^:private mapping (gen/elements ["c0" "c3" "c31" "c32" "c" "c-1" "cx" "a0" "a3" "a63" "a64" "a" "hello" ""]))

(def ^:private control
  (often 6 (gen/elements ["freq" "amp" "pan"]), 3 (gen/choose 0 6), 1 (gen/elements ["gain" "cutoff" "nothing" "" -1 100])))

(def ^:private value
  (often 10 number, 3 mapping, 2 (gen/vector (often 3 number, 1 mapping) 1 4)))

(def ^:private controls
  "A few controls and values, one after the other."
  (gen/fmap #(into [] cat %) (gen/vector (gen/tuple control value) 0 3)))

(def ^:private ranges
  "A few controls with a count and so many values, or not quite."
  (gen/fmap #(into [] cat %)
            (gen/vector (gen/bind (gen/choose 0 4)
                                  (fn [n] (gen/fmap (fn [[c off values]] (into [c (+ n off)] values))
                                                    (gen/tuple control (often 12 0, 1 1, 1 -1) (gen/vector (often 6 number, 1 mapping) n)))))
                        1 2)))

(def ^:private synthdef-name
  (often 12 (gen/elements ["plain" "arrays" "rates" "varied" "bare"])
         2 (gen/elements ["varied.low" "varied.soft" "extra" "second" "other"])
         1 (gen/elements ["nothing" "plain.low" ""])))

(def ^:private add-action (often 12 (gen/choose 0 3), 2 4, 1 (gen/elements [5 -1])))

(defn- place
  "Add action and target that mostly fit."
  [actions]
  (gen/bind actions #(gen/tuple (gen/return %) (if (#{0 1} %) a-group a-node))))

(def ^:private bus (often 8 (gen/choose 0 7), 2 (gen/choose 28 31), 1 (gen/elements [-1 32 1000])))
(def ^:private audio-bus (often 8 (gen/choose 0 7), 1 (gen/elements [-1 63 64 1000])))
(def ^:private buffer (often 20 (gen/elements buffers), 1 (gen/elements [-1 15 20])))
(def ^:private sample-index (often 8 (gen/choose 0 7), 2 (gen/choose 8 24), 1 (gen/elements [-1 1000])))
(def ^:private few (often 8 (gen/choose 1 4), 1 (gen/choose 0 12), 1 -1))

(def ^:private sound-path
  (gen/fmap #(array-map :path %) (often 4 "mono.wav", 4 "stereo.wav", 2 "out/a", 1 "out/b", 1 "missing.wav", 1 "text.wav", 1 "none")))

(def ^:private flag (gen/elements [0 1]))

;; ---- messages

(defn- message
  "A message of an address and generators of arguments; what a generator in a vector gives
  is a run of arguments."
  [address & gens]
  (gen/fmap (fn [args] (into [address] (mapcat (fn [g x] (if (vector? g) x [x])) gens args)))
            (apply gen/tuple (map #(if (vector? %) (first %) %) gens))))

(defn- some-of
  "One to three times what a generator gives, in a row."
  [& gens]
  [(gen/fmap #(into [] (comp cat (mapcat (fn [x] (if (seq? x) x [x])))) %)
             (gen/vector (apply gen/tuple gens) 1 2))])

(defn- run [g] [g])

(def ^:private new-synth
  (message "/s_new" synthdef-name (often 12 synth, 1 group, 1 (gen/elements [-1 -5 0])) (run (place add-action)) (run controls)))

(def ^:private new-group
  (let [one (gen/fmap (fn [[id [action target]]] [id action target])
                      (gen/tuple (often 14 group, 1 (gen/elements [-1 -5 0])) (place add-action)))]
    (message "/g_new" (run (gen/fmap #(into [] cat %) (gen/vector one 1 2))))))

(def ^:private alloc
  (message "/b_alloc" buffer (often 4 (gen/choose 1 12), 8 (gen/elements [2 8 10 16]), 1 0) (run (often 3 [], 6 [1], 5 [2]))))

(def ^:private read-region
  "First frame, how many, first frame in the buffer, and whether the file stays open: none
  or all."
  (often 2 [], 2 (gen/tuple (often 6 (gen/choose 0 12), 1 -1) (often 3 -1, 4 (gen/choose 0 12)) (often 6 (gen/choose 0 6), 1 -1) flag)))

(def ^:private channels (gen/vector (often 8 (gen/choose 0 1), 1 (gen/elements [2 -1])) 1 2))

(def ^:private generated
  "What follows a buffer in /b_gen."
  (let [flags (gen/choose 0 7), numbers #(gen/vector (gen/elements [1.0 0.5 0.25 -1.0 0.0 2.0 3]) % 4)]
    (often 3 (gen/fmap (fn [[flags xs]] (into ["sine1" flags] xs)) (gen/tuple flags (numbers 0)))
           2 (gen/fmap (fn [[flags xs]] (into ["sine2" flags] xs)) (gen/tuple flags (numbers 0)))
           2 (gen/fmap (fn [[flags xs]] (into ["sine3" flags] xs)) (gen/tuple flags (numbers 0)))
           2 (gen/fmap (fn [[flags xs]] (into ["cheby" flags] xs)) (gen/tuple flags (numbers 0)))
           2 (gen/fmap (fn [xs] (into ["normalize"] xs)) (gen/elements [[] [1.0] [0.5] [2]]))
           1 (gen/fmap (fn [xs] (into ["wnormalize"] xs)) (gen/elements [[] [1.0]]))
           3 (gen/fmap (fn [xs] (into ["copy"] xs))
                       (gen/tuple (gen/choose 0 6) (gen/elements buffers) (gen/choose 0 6) (often 2 -1, 2 (gen/choose 0 8))))
           1 (gen/elements [["nothing"] []]))))

(def ^:private node-commands
  (often
    6 new-synth
    5 new-group
    1 (gen/fmap #(assoc % 0 "/p_new") new-group)
    1 (message "/s_newargs" synthdef-name synth (run (place add-action)) (run ranges))
    4 (message "/n_free" (run (often 4 (gen/vector a-node 1), 1 (gen/vector a-node 2 3))))
    3 (message "/n_run" (run (gen/fmap #(into [] cat %) (gen/vector (gen/tuple a-node flag) 1 2))))
    7 (message "/n_set" a-node (run controls))
    4 (message "/n_setn" a-node (run ranges))
    1 (message "/n_fill" a-node control few number)
    2 (message "/n_map" a-node control bus)
    2 (message "/n_mapn" a-node control bus few)
    2 (message "/n_mapa" a-node control audio-bus)
    2 (message "/n_mapan" a-node control audio-bus few)
    4 (message "/n_before" a-node a-node)
    4 (message "/n_after" a-node a-node)
    1 (message "/n_before" a-node a-node a-node a-node)
    1 (message "/n_after" a-node a-node a-node a-node)
    3 (message "/n_order" (run (place (often 12 (gen/choose 0 3), 1 (gen/elements [4 -1])))) (run (gen/vector a-node 1 4)))
    3 (message "/n_query" (run (gen/vector a-node 1 2)))
    5 (message "/s_get" a-synth (run (gen/vector control 1 3)))
    4 (message "/s_getn" a-synth control (often 8 (gen/choose 0 4), 1 12))
    1 (message "/s_noid" (run (gen/vector a-synth 1 2)))
    4 (message "/g_head" a-group a-node)
    4 (message "/g_tail" a-group a-node)
    1 (message "/g_tail" a-group a-node a-group a-node)
    1 (message "/g_freeAll" a-group)
    1 (message "/g_deepFree" a-group)
    4 (message "/g_queryTree" a-group (run (gen/elements [[] [0] [1] [1]])))))

(def ^:private bus-commands
  (often
    4 (message "/c_set" (run (gen/fmap #(into [] cat %) (gen/vector (gen/tuple bus number) 1 3))))
    3 (message "/c_setn" bus (run (gen/bind (gen/choose 0 4)
                                            (fn [n] (gen/fmap #(into [n] %) (gen/vector number n))))))
    2 (message "/c_fill" bus few number)
    3 (message "/c_get" (run (gen/vector bus 1 3)))
    2 (message "/c_getn" bus (often 8 (gen/choose 1 4), 1 0, 1 12))))

(def ^:private buffer-commands
  (often
    6 alloc
    3 (message "/b_allocRead" buffer sound-path (run (often 2 [], 3 (gen/tuple (often 6 (gen/choose 0 12), 1 -1) (often 2 0, 3 (gen/choose 1 30), 1 -1)))))
    2 (message "/b_allocReadChannel" buffer sound-path (gen/choose 0 6) (gen/choose 0 8) (run channels))
    3 (message "/b_read" buffer sound-path (run read-region))
    2 (message "/b_readChannel" buffer sound-path (gen/choose 0 6) (gen/choose -1 6) (gen/choose 0 3) flag (run channels))
    3 (message "/b_write" buffer (gen/fmap #(array-map :path %) (often 3 "out/a", 3 "out/b", 1 "out/open", 1 "none/such/c"))
               (often 4 "wav", 4 "aiff", 1 "nothing") (often 4 "float", 4 "int16", 1 "nothing")
               (run (often 2 [], 2 (gen/tuple (often 2 -1, 2 (gen/choose 0 8)) (gen/choose 0 6) (often 5 0, 1 1)))))
    2 (message "/b_free" buffer)
    1 (message "/b_close" buffer)
    2 (message "/b_zero" buffer)
    5 (message "/b_gen" buffer (run generated))
    4 (message "/b_set" buffer (run (gen/fmap #(into [] cat %) (gen/vector (gen/tuple sample-index number) 1 3))))
    4 (message "/b_setn" buffer sample-index (run (gen/bind (gen/choose 0 6) (fn [n] (gen/fmap #(into [n] %) (gen/vector number n))))))
    3 (message "/b_fill" buffer sample-index few number)
    4 (message "/b_query" (run (gen/vector buffer 1 3)))
    4 (message "/b_get" buffer (run (gen/vector sample-index 1 3)))
    4 (message "/b_getn" buffer sample-index (often 8 (gen/choose 1 4), 1 0))))

(def ^:private synthdef-bytes
  (gen/fmap #(array-map :synthdef %) (often 5 :extra, 3 :plain-again, 2 :plain, 2 :two, 1 :other, 1 :other-again, 1 :no-ugen, 1 :long-name, 1 :magic, 1 :version)))

(def ^:private synthdef-commands
  (often
    5 (message "/d_recv" (often 12 synthdef-bytes, 1 (gen/return {:bytes []})))
    2 (message "/d_load" (gen/fmap #(array-map :path %) (gen/elements ["extra.scsyndef" "two.scsyndef" "magic.scsyndef" "missing.scsyndef" "e*.scsyndef"])))
    1 (message "/d_loadDir" (gen/fmap #(array-map :path %) (gen/elements ["defs" "none" "missing"])))
    3 (message "/d_free" (run (gen/vector synthdef-name 1 2)))))

(def ^:private server-commands
  (often
    3 (message "/status")
    1 (message "/version")
    2 (message "/sync" (gen/choose 1 9))
    2 (message "/error" (gen/elements [0 1 1 -1 -2]))
    1 (message "/clearSched")
    2 (message "/notify" flag (run (gen/elements [[] [0] [1] [5]])))
    1 (message "/none")
    1 (message "/rtMemoryStatus")
    1 (message "/cmd" (gen/elements ["nothing"]))
    1 (message "/u_cmd" a-synth (gen/choose 0 2) (gen/return "nothing"))
    1 (gen/elements [["/nothing"] ["/n_nothing" 1000]])))

(def ^:private right
  (often 12 node-commands, 3 bus-commands, 3 buffer-commands, 1 synthdef-commands, 1 server-commands))

(def ^:private wrong-argument (gen/elements [0 1 -1 3 1.5 -1.0 100.0 "freq" "c1" "" "h" "hn"]))

(defn- spoil
  "A message with one argument of another kind, less or more."
  [[how place x] m]
  (let [n (dec (count m)), i (inc (mod place (max 1 n)))]
    (case how
      :replace (if (pos? n) (assoc m i x) m)
      :shorten (subvec m 0 (min i (count m)))
      :append  (conj m x))))

(def ^:private a-message
  (often 14 right
         1 (gen/fmap (fn [[how m]] (spoil how m))
                     (gen/tuple (gen/tuple (often 4 :replace, 3 :shorten, 3 :append) (gen/choose 0 5) wrong-argument) right))))

;; ---- packets

(def ^:private completed
  "Asynchronous commands with a completion message."
  (let [completion (fn [g] (gen/fmap #(array-map :completion %) (gen/vector g 1 3)))
        bearer     (fn [g] (often 3 (message "/d_recv" synthdef-bytes (completion g))
                                  3 (message "/b_alloc" buffer (gen/choose 1 12) (gen/choose 1 2) (completion g))
                                  1 (message "/b_free" buffer (completion g))
                                  1 (message "/b_zero" buffer (completion g))
                                  1 (message "/b_allocRead" buffer sound-path (gen/return 0) (gen/return 0) (completion g))))]
    (bearer (often 6 a-message, 1 (bearer a-message)))))

(def ^:private bundle
  (let [of (fn [g] (gen/fmap (fn [[at packets]] {:at at, :packets packets})
                             (gen/tuple (often 6 :now, 2 :past, 1 :never) (gen/vector g 0 4))))]
    (often 6 (of a-message), 1 (of (of a-message)))))

(def ^:private a-packet (often 30 a-message, 2 bundle, 1 completed))

(def ^:private beginning (often 6 new-synth, 5 new-group, 3 alloc))

(defn- each-of
  "A generator of vectors with one element of each of `gens`, which shrink to any part of
  that."
  [gens]
  (gen/->Generator
    (fn [rnd size]
      (rose/shrink-vector vector (mapv #(gen/call-gen %1 %2 size) gens (random/split-n rnd (count gens)))))))

(defn sequences
  "A generator of sequences of `n` packets."
  [n]
  (let [made (min 10 (quot n 4))]
    (gen/resize 20 (each-of (concat (repeat made beginning) (repeat (- n made) a-packet))))))

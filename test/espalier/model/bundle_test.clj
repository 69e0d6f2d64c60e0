(ns espalier.model.bundle-test
  (:require
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.bundle :as bundle]
   [espalier.model.command :as command]
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

(defn- items [& requests] (mapv (fn [r] {:request r}) requests))

(defn- merged [& requests] (mapv :request (bundle/merged (apply items requests))))

;; merging

(deftest neighbours-become-one
  (are [before after] (= after (apply merged before))
    []                                                              []
    [["/n_set" 1 "a" 1] ["/n_set" 1 "b" 2]]                         [["/n_set" 1 "a" 1 "b" 2]]
    [["/n_set" 1 "a" 1] ["/n_set" 1 "a" 2] ["/n_set" 1 "a" 3]]      [["/n_set" 1 "a" 1 "a" 2 "a" 3]]
    [["/n_setn" 1 0 2 5 6] ["/n_setn" 1 4 1 7]]                     [["/n_setn" 1 0 2 5 6 4 1 7]]
    [["/n_map" 1 "a" 5] ["/n_map" 1 "b" -1]]                        [["/n_map" 1 "a" 5 "b" -1]]
    [["/n_mapa" 1 "a" 5] ["/n_mapa" 1 "b" 6]]                       [["/n_mapa" 1 "a" 5 "b" 6]]
    [["/n_mapn" 1 0 5 2] ["/n_mapn" 1 2 9 1]]                       [["/n_mapn" 1 0 5 2 2 9 1]]
    [["/c_set" 1 0.5] ["/c_set" 2 0.5]]                             [["/c_set" 1 0.5 2 0.5]]
    [["/c_setn" 1 2 5 6] ["/c_setn" 2 1 5]]                         [["/c_setn" 1 2 5 6 2 1 5]]
    [["/c_fill" 1 2 5] ["/c_fill" 2 1 5]]                           [["/c_fill" 1 2 5 2 1 5]]
    [["/b_setn" 0 0 1 5] ["/b_setn" 0 3 1 5]]                       [["/b_setn" 0 0 1 5 3 1 5]]
    [["/b_fill" 0 0 1 5] ["/b_fill" 0 3 1 5]]                       [["/b_fill" 0 0 1 5 3 1 5]]))

(deftest what-is-not-the-same-stays-apart
  (are [requests] (= requests (apply merged requests))
    [["/n_set" 1 "a" 1] ["/n_set" 2 "a" 1]]
    [["/n_set" 1 "a" 1] ["/n_set" 2 "a" 1] ["/n_set" 1 "a" 2]]
    [["/n_set" 1 "a" 1] ["/n_map" 1 "a" 1]]
    [["/n_set" 1 "a" 1] ["/sync" 1] ["/n_set" 1 "a" 2]]
    [["/b_setn" 0 0 1 5] ["/b_setn" 1 0 1 5]]
    [["/n_free" 1] ["/n_free" 2]]
    [["/s_new" "a" 1 0 1] ["/s_new" "a" 2 0 1]]
    [["/sync" 1] ["/sync" 1]]
    [["/foo" 1] ["/foo" 1]])
  (testing "items with completions are kept as they are"
    (let [row [{:request ["/b_zero" 0], :completion (items ["/sync" 1])} {:request ["/b_zero" 0]}]]
      (is (= row (bundle/merged row)))))
  (testing "raw messages that are not whole"
    (are [requests] (= requests (mapv :request (bundle/merged (mapv #(assoc % :raw true) (apply items requests)))))
      [["/n_set"] ["/n_set"]]
      [["/n_set" 1 "a"] ["/n_set" 1 "b" 2]]
      [["/c_set" 1] ["/c_set" 2 3.0]])))

(deftest a-place-out-of-range-stops-its-own-message-alone
  ;; scsynth ends a /b_set at the first place that is not in the buffer.
  (is (= 2 (count (merged ["/b_set" 0 99999 1.0] ["/b_set" 0 0 1.0])))))

(deftest merging-makes-nothing-that-fits-into-no-packet
  (let [floats (fn [start] ["/b_setn" 0 start 10000 (float-array 10000)])
        array  (fn [control] ["/n_set" 1 control (vec (repeat 5000 0.5))])
        names  (fn [i] ["/n_set" 1 (apply str (repeat 250 (char (+ 97 (mod (long i) 26))))) 1])]
    (doseq [[limit requests] {65507 [(map floats (range 0 50000 10000)) (map array ["a" "b" "c" "d"]) (map names (range 1000))]
                              32768 [(map array ["a" "b" "c"]) (map names (range 1000))
                                     (repeat 20 ["/b_setn" 0 0 1000 (float-array 1000)])]}
            requests         requests]
      (is (= :fits (try (bundle/parts requests limit)
                        (bundle/parts (map :request (bundle/merged (apply items requests))) limit)
                        :fits
                        (catch clojure.lang.ExceptionInfo e (error/code e))))
          (str (first (first requests)) " within " limit)))))

;; A little world: two nodes of eight slots, the group 1 of both, buses and buffers.

(defn- slot ^long [control] (case control "a" 0 "b" 4 (long control)))

(defn- nodes-of [id] (if (= 1 id) [2 3] [id]))

(defn- put [world node i x]
  (if (< (long i) 8)
    (update-in world [node i] (fn [[old]] (cond (number? x) [x nil] (string? x) [old x])))
    world))

(defn- put-row [world node start xs]
  (reduce (fn [w [i x]] (put w node (+ (long start) (long i)) x)) world (map-indexed vector xs)))

(defn- runs [args]
  (when (seq args)
    (let [[start n & more] args]
      (cons [start (take n more)] (runs (drop n more))))))

(defn- fills [args] (map (fn [[start n x]] [start (repeat n x)]) (partition 3 args)))

(defn- on-node [world id f]
  (reduce f world (nodes-of id)))

(defn- carried-out [world [address x & more :as request]]
  (let [rows   (fn [w k rs] (reduce (fn [w [start xs]] (reduce (fn [w [i v]] (assoc-in w [k (+ (long start) (long i))] v)) w (map-indexed vector xs))) w rs))
        mapped (fn [letter bus] (when-not (= -1 bus) (str letter bus)))
        to     (fn [w node i m] (update-in w [node i] (fn [[old]] [old m])))]
    (case address
      "/n_set"  (on-node world x (fn [w node] (reduce (fn [w [c v]] (put-row w node (slot c) (if (sequential? v) v [v]))) w (partition 2 more))))
      "/n_setn" (on-node world x (fn [w node] (reduce (fn [w [c vs]] (put-row w node (slot c) vs)) w (runs more))))
      "/n_map"  (on-node world x (fn [w node] (reduce (fn [w [c bus]] (to w node (slot c) (mapped "c" bus))) w (partition 2 more))))
      "/n_mapa" (on-node world x (fn [w node] (reduce (fn [w [c bus]] (to w node (slot c) (mapped "a" bus))) w (partition 2 more))))
      "/n_mapn" (on-node world x (fn [w node] (reduce (fn [w [c bus n]]
                                                        (reduce (fn [w i] (to w node (+ (slot c) (long i)) (mapped "c" (+ (long bus) (long i))))) w (range n)))
                                                      w (partition 3 more))))
      "/c_set"  (rows world :buses (map (fn [[bus v]] [bus [v]]) (partition 2 (rest request))))
      "/c_setn" (rows world :buses (runs (rest request)))
      "/c_fill" (rows world :buses (fills (rest request)))
      "/b_set"  (rows world [:buffer x] (map (fn [[i v]] [i [v]]) (partition 2 more)))
      "/b_setn" (rows world [:buffer x] (runs more))
      "/b_fill" (rows world [:buffer x] (fills more))
      "/n_free" (assoc world x {}))))

(def ^:private setting
  (let [id      (gen/elements [1 2 3])
        control (gen/elements ["a" "b" 0 1 5 7])
        value   (gen/one-of [gen/small-integer (gen/elements ["c1" "c2" "a1"]) (gen/vector (gen/one-of [gen/small-integer (gen/return "c3")]) 1 4)])
        row     (gen/fmap (fn [xs] (into [(count xs)] xs)) (gen/vector gen/small-integer 1 4))
        place   (gen/choose 0 6)
        rows    (fn [& gens] (gen/fmap #(vec (apply concat %)) (gen/vector (gen/fmap #(vec (flatten %)) (apply gen/tuple gens)) 1 3)))
        whole   (fn [address & parts] (gen/fmap (fn [xs] (into [address] (apply concat xs))) (apply gen/tuple parts)))
        one     (fn [g] (gen/fmap vector g))]
    (gen/frequency
      [[6 (whole "/n_set" (one id) (gen/fmap #(vec (apply concat %)) (gen/vector (gen/tuple control value) 1 3)))]
       [3 (whole "/n_setn" (one id) (rows control row))]
       [3 (whole "/n_map" (one id) (rows control (gen/choose -1 3)))]
       [2 (whole "/n_mapa" (one id) (rows control (gen/choose -1 3)))]
       [2 (whole "/n_mapn" (one id) (rows (gen/elements ["a" 1]) (gen/choose 0 3) (gen/choose 1 3)))]
       [3 (whole "/c_set" (rows place gen/small-integer))]
       [3 (whole "/c_setn" (rows place row))]
       [3 (whole "/c_fill" (rows place (gen/choose 1 3) gen/small-integer))]
       [3 (whole "/b_set" (one (gen/choose 0 1)) (rows place gen/small-integer))]
       [3 (whole "/b_setn" (one (gen/choose 0 1)) (rows place row))]
       [3 (whole "/b_fill" (one (gen/choose 0 1)) (rows place (gen/choose 1 3) gen/small-integer))]
       [1 (whole "/n_free" (one id))]])))

(def ^:private settings
  "Settings with many neighbours of one kind."
  (gen/fmap (fn [rows] (vec (mapcat (fn [[a b n]] (if n [a b a] [a b])) rows)))
            (gen/vector (gen/tuple setting setting gen/boolean) 0 12)))

(defspec merged-settings-do-the-same {:num-tests 1000, :seed 21}
  (prop/for-all [requests settings]
                (let [after (apply merged requests)]
                  (and (= (reduce carried-out {} requests) (reduce carried-out {} after))
                       (<= (count after) (count requests))
                       (= after (apply merged after))))))

;; chains

(def ^:private alloc ["/b_alloc" 0 64 1])
(def ^:private sine ["/b_gen" 0 "sine1" 7 1.0])
(def ^:private play ["/s_new" "bell" 1000 0 1])

(deftest rows-of-asynchronous-commands-make-levels
  (are [requests levels] (= levels (bundle/levels (apply items requests)))
    []                          []
    [play]                      [{:now (items play), :async []}]
    [alloc]                     [{:now [], :async (items alloc)}]
    [alloc sine]                [{:now [], :async (items alloc sine)}]
    [play alloc alloc play]     [{:now (items play), :async (items alloc alloc)} {:now (items play), :async []}]
    [alloc play alloc]          [{:now [], :async (items alloc)} {:now (items play), :async (items alloc)}])
  (testing "what takes no completion gets the carrier behind it, where something follows"
    (is (= [{:now [], :async [{:request alloc} {:request sine} bundle/carrier]} {:now (items play), :async []}]
           (bundle/levels (items alloc sine play))))
    (is (= [{:now [], :async [{:request ["/sync" 5]} bundle/carrier]} {:now (items play), :async []}]
           (bundle/levels (items ["/sync" 5] play)))))
  (testing "explicit completions stay beside"
    (let [item {:request alloc, :completion (items play)}]
      (is (= [{:now [item {:request play}], :async []}] (bundle/levels [item {:request play}])))
      (is (= [{:now [], :async (items alloc)} {:now [item], :async []}] (bundle/levels [{:request alloc} item]))))))

(deftest chains-nest-what-follows
  (let [chained (fn [ids & requests] (bundle/chain (apply items requests) ids))]
    (is (= {:packets [], :levels [], :ids nil} (chained nil)))
    (is (= {:packets [play], :levels [], :ids [1 2]} (chained [1 2] play)))
    (is (= {:packets [alloc ["/sync" 1]], :levels [{:sync 1, :requests [alloc]}], :ids [2]} (chained [1 2] alloc)))
    (is (= {:packets [(conj alloc {:completion [play]}) ["/sync" 1]], :levels [{:sync 1, :requests [alloc]}], :ids []}
           (chained [1] alloc play)))
    (is (= {:packets [play (conj alloc {:completion [play (conj ["/b_zero" 0] {:completion [play]}) ["/sync" 1]]}) ["/sync" 2]]
            :levels  [{:sync 2, :requests [alloc]} {:sync 1, :requests [["/b_zero" 0]]}]
            :ids     [3]}
           (chained [1 2 3] play alloc play ["/b_zero" 0] play)))
    (is (= {:packets [alloc sine (conj (:request bundle/carrier) {:completion [play]}) ["/sync" 1]]
            :levels  [{:sync 1, :requests [alloc sine (:request bundle/carrier)]}], :ids []}
           (chained [1] alloc sine play)))
    (testing "without numbers there is no /sync"
      (is (= [(conj alloc {:completion [play]})] (:packets (chained nil alloc play)))))
    (testing "explicit completions hold what is theirs alone"
      (is (= {:packets [(conj alloc {:completion [play]}) play ["/sync" 1]], :levels [{:sync 1, :requests [alloc]}], :ids []}
             (bundle/chain [{:request alloc, :completion (items play)} {:request play}] [1])))
      (is (= {:packets [(conj alloc {:completion [(conj ["/b_zero" 0] {:completion [play]}) ["/sync" 1]]}) ["/sync" 2]]
              :levels  [{:sync 2, :requests [alloc]} {:sync 1, :requests [["/b_zero" 0]]}], :ids []}
             (bundle/chain [{:request alloc, :completion (items ["/b_zero" 0] play)}] [1 2])))
      (is (= {:packets [alloc ["/sync" 1]], :levels [{:sync 1, :requests [alloc]}], :ids []}
             (bundle/chain [{:request alloc, :completion []}] [1]))))
    (is (= :espalier.error/no-completion
           (error/code (try (bundle/chain [{:request sine, :completion (items play)}] nil) (catch clojure.lang.ExceptionInfo e e)))))))

(deftest long-chains-are-counted-not-died-of
  ;; What is too deep for a packet is found by its size.
  (let [row (interleave (map (fn [i] {:request ["/b_alloc" i 1 1]}) (range 5000)) (repeat {:request play}))]
    (is (< 65507 (command/packets-bytes (:packets (bundle/chain row nil)))))))

;; A little server: what is asynchronous is done one after the other, when all else is.

(defn- happenings
  "In the order in which a server does them: requests, each asynchronous one when it
  is done."
  [packets]
  (loop [now packets, queue clojure.lang.PersistentQueue/EMPTY, done []]
    (if-let [[r & more] (seq now)]
      (if (:async? (command/of r))
        (recur more (conj queue r) done)
        (recur more queue (conj done r)))
      (if-let [r (peek queue)]
        (let [completion (when (map? (peek r)) (:completion (peek r)))]
          (recur completion (pop queue) (conj done (if completion (pop r) r))))
        done))))

(def ^:private step
  "A request with a number of its own, by which it is told apart."
  (gen/elements [["/n_free"] ["/c_set" 0] ["/s_new" "bell"] ["/b_alloc"] ["/b_zero"] ["/b_read"] ["/d_load"] ["/b_gen"]]))

(defn- numbered [row]
  (let [n (volatile! 0)]
    (letfn [(number [{:keys [request completion] :as item}]
              (let [r (conj request (vswap! n inc))]
                (cond-> (assoc item :request r) completion (assoc :completion (mapv number completion)))))]
      (mapv number row))))

(def ^:private flat-row
  (gen/fmap numbered (gen/vector (gen/fmap (fn [r] {:request r}) step) 0 20)))

(def ^:private deep-row
  (gen/fmap numbered
            (gen/recursive-gen (fn [inner]
                                 (gen/vector (gen/let [r step, completion inner, own? gen/boolean]
                                               (cond-> {:request r} (and own? (:completion? (command/of r))) (assoc :completion completion)))
                                             0 8))
                               (gen/vector (gen/fmap (fn [r] {:request r}) step) 0 6))))

(defn- requests-in [row] (mapcat (fn [{:keys [request completion]}] (cons request (requests-in completion))) row))

(defn- added? [r] (or (= "/sync" (first r)) (= (:request bundle/carrier) r)))

(defspec chains-happen-in-the-order-as-written {:num-tests 1000, :seed 22}
  (prop/for-all [row flat-row]
                (= (map :request row)
                   (remove added? (happenings (:packets (bundle/chain row (range 100))))))))

(defspec everything-happens-once-and-completions-after-their-own {:num-tests 500, :seed 23}
  (prop/for-all [row deep-row]
                (let [done  (remove added? (happenings (:packets (bundle/chain row (range 1000)))))
                      place (zipmap done (range))
                      after (fn after [{:keys [request completion]}]
                              (every? (fn [item] (and (< (long (place request)) (long (place (:request item)))) (after item))) completion))]
                  (and (= (frequencies (requests-in row)) (frequencies done))
                       (every? after row)))))

(defspec when-a-sync-is-answered-its-level-is-done {:num-tests 500, :seed 24}
  (prop/for-all [row deep-row]
                (let [{:keys [packets levels ids]} (bundle/chain row (range 1000))
                      done  (happenings packets)
                      place (zipmap done (range))
                      syncs (map :sync levels)]
                  (and (or (empty? syncs) (apply distinct? syncs))
                       (= (set (range 1000)) (into (set ids) syncs))
                       (= (set (filter #(:async? (command/of %)) (remove added? done)))
                          (set (remove added? (mapcat :requests levels))))
                       (every? (fn [{:keys [sync requests]}]
                                 (every? #(< (long (place %)) (long (place ["/sync" sync]))) (remove added? requests)))
                               levels)))))

;; a time to come

(defn- split [& requests]
  (mapv (partial mapv :request) (bundle/ahead (apply items requests))))

(deftest what-makes-things-goes-ahead
  (let [fill ["/b_setn" 0 0 1 1.0]]
    (are [requests ahead later] (= [ahead later] (apply split requests))
      []                                  []                 []
      [play]                              []                 [play]
      [alloc play]                        [alloc]            [play]
      [play alloc]                        [alloc]            [play]
      [["/d_recv" 1] play]                [["/d_recv" 1]]    [play]
      [alloc fill sine play]              [alloc fill sine]  [play]
      [fill alloc]                        []                 [fill alloc]
      [["/b_read" 0 "x"] play]            []                 [["/b_read" 0 "x"] play]
      [alloc ["/b_free" 0]]               [alloc]            [["/b_free" 0]]
      [alloc ["/b_setn" 1 0 1 1.0]]       [alloc]            [["/b_setn" 1 0 1 1.0]]
      [["/b_allocRead" 0 "x"] ["/b_zero" 0]] [["/b_allocRead" 0 "x"] ["/b_zero" 0]] [])))

(deftest copies-go-ahead-where-both-buffers-do
  (let [copy ["/b_gen" 0 "copy" 0 5 0 -1], source ["/b_alloc" 5 64 1]]
    (is (= [[alloc] [copy]] (split alloc copy)))
    (is (= [[source alloc copy] []] (split source alloc copy)))
    (testing "and what comes after one that waits, waits too"
      (is (= [[alloc] [copy ["/b_setn" 0 0 1 1.0]]] (split alloc copy ["/b_setn" 0 0 1 1.0])))
      (is (= [[alloc ["/b_alloc" 1 64 1]] [copy ["/b_gen" 1 "copy" 0 0 0 -1]]]
             (split alloc ["/b_alloc" 1 64 1] copy ["/b_gen" 1 "copy" 0 0 0 -1]))))))

(deftest a-number-that-is-freed-first-is-not-made-ahead
  (is (= [[] [["/b_free" 0] alloc]] (split ["/b_free" 0] alloc)))
  (is (= [[alloc] [["/b_free" 0] alloc]] (split alloc ["/b_free" 0] alloc)))
  (is (= [[] [["/d_free" "bell"] ["/d_load" "x"]]] (split ["/d_free" "bell"] ["/d_load" "x"]))))

(deftest completions-wait-for-the-time
  (is (= [(items alloc) (items play)] (bundle/ahead [{:request alloc, :completion (items play)}])))
  (testing "of what waits itself, beside what follows"
    (let [item {:request ["/b_read" 7 "x"], :completion (items play)}]
      (is (= [[] [item {:request ["/n_free" 5]}]] (bundle/ahead [item {:request ["/n_free" 5]}]))))))

(defn- filled
  "Buffers as the lists of what was done to them."
  [buffers [address b routine _ source :as request]]
  (case address
    "/b_alloc" (assoc buffers b [:new])
    "/b_free"  (dissoc buffers b)
    "/b_gen"   (update buffers b conj (if (= "copy" routine) [request (get buffers source)] request))
    (update buffers b conj request)))

(def ^:private buffer-work
  "Work on buffers that are there, 0 and 1, and on some that are made, each once and
  before it is used."
  (gen/fmap (fn [work]
              (reduce (fn [row [address b _ _ source :as r]]
                        (let [unmade (fn [row b]
                                       (cond-> row
                                         (and b (<= 10 (long b)) (not-any? #(= ["/b_alloc" b 64 1] %) row)) (conj ["/b_alloc" b 64 1])))]
                          (conj (unmade (unmade row b) (when (= "/b_gen" address) source)) r)))
                      [] work))
            (gen/vector (gen/let [b (gen/elements [0 1 10 11 12 13]), source (gen/elements [0 1 10 11]), x gen/nat]
                          (gen/elements [["/b_zero" b] ["/b_setn" b 0 1 x] ["/b_gen" b "copy" 0 source 0 -1] ["/b_free" b]]))
                        0 12)))

(defspec ahead-and-later-do-the-same {:num-tests 500, :seed 25}
  (prop/for-all [row buffer-work]
                (let [[ahead later] (apply split row)
                      there         {0 [:old], 1 [:old]}]
                  (and (= (frequencies row) (frequencies (concat ahead later)))
                       (= (reduce filled there row) (reduce filled there (concat ahead later)))))))

;; limits

(deftest parts-fit
  (is (= [] (bundle/parts [] 100)))
  (is (= [[["/sync" 1]]] (bundle/parts [["/sync" 1]] 100)))
  ;; A /sync has 16 bytes, 4 for its length, and the bundle begins with 16.
  (is (= [[["/sync" 1] ["/sync" 2]] [["/sync" 3]]] (bundle/parts [["/sync" 1] ["/sync" 2] ["/sync" 3]] 56)))
  (is (= 3 (count (bundle/parts [["/sync" 1] ["/sync" 2] ["/sync" 3]] 55))))
  (is (= 1 (count (bundle/parts [["/sync" 1]] 36))))
  (let [e (try (bundle/parts [["/sync" 1] ["/b_setn" 0 0 100 (float-array 100)]] 500) (catch clojure.lang.ExceptionInfo e e))]
    (is (= {:espalier/error :espalier.error/packet-too-large, :limit-bytes 500, :bytes 528, :command "/b_setn"} (ex-data e)))
    (is (> 300 (count (ex-message e))))))

(defn- size [part] (reduce + 16 (map #(+ 4 (command/bytes-of %)) part)))

(defspec parts-hold-all-in-order {:num-tests 500, :seed 26}
  (prop/for-all [requests (gen/vector (gen/let [n (gen/choose 0 40), s gen/string-alphanumeric] (into ["/c_set" s] (range n))) 0 30)
                 limit    (gen/choose 600 2000)]
                (let [parts (bundle/parts requests limit)]
                  (and (= requests (apply concat parts))
                       (every? seq parts)
                       (every? #(<= (long (size %)) (long limit)) parts)
                       (every? (fn [[a b]] (< (long limit) (long (size (conj a (first b)))))) (partition 2 1 parts))))))

(deftest stages-are-rows-of-one-kind
  (is (= [] (bundle/stages [])))
  (is (= [(items play play) (items alloc ["/b_zero" 0]) (items play) (items alloc)]
         (bundle/stages (items play play alloc ["/b_zero" 0] play alloc)))))

(defspec stages-hold-all-in-order {:num-tests 300, :seed 27}
  (prop/for-all [row flat-row]
                (let [stages (bundle/stages row)]
                  (and (= (map :request row) (remove added? (map :request (apply concat stages))))
                       (every? seq stages)
                       (every? #(apply = (map bundle/asynchronous? %)) stages)))))

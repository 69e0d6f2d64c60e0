(ns espalier.proxy-test
  "What the client does when packets between it and a real server are lost, late, doubled, out
  of order or spoilt: each call does what it says, or throws an error with a name within its
  deadline, and afterwards all is as it was declared. A second client, whose packets are
  left alone, is the witness."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.proxy :as proxy]
   [espalier.servers :as servers :refer [error-of eventually]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (java.io Closeable)
   (java.util Random)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ^:private hum [out 0, freq 220, amp 0.1]
  (ugens/out:kr out (* freq amp)))

;; ---- calls, each with what must be true when it has returned

(def ^:private timeout-ms 250)

(def ^:private waiting {:timeout-ms timeout-ms})
(def ^:private confirmed (assoc waiting :confirm true))

(defn- one-of [^Random r coll]
  (let [v (vec coll)]
    (when (seq v) (v (.nextInt r (count v))))))

(defn- number [^Random r] (double (.nextInt r 1000)))

(defn- seen
  "What the witness is told of a node, or nil where there is none."
  [{:keys [witness]} node]
  (try (sc/query-node witness (:id node))
       (catch clojure.lang.ExceptionInfo e
         (when-not (= :espalier.error/no-such-node (error/code e)) (throw e)))))

(defn- controls-at [{:keys [witness]} node n]
  (mapv float (drop 4 (sc/request! witness ["/s_getn" (:id node) 0 n] ["/n_setn" (:id node)]))))

(defn- freq-of [all node] (second (controls-at all node 2)))

(defn- size-of [{:keys [witness]} buffer]
  (subvec (sc/request! witness ["/b_query" (:id buffer)] ["/b_info" (:id buffer)]) 2 4))

(defn- samples-of [{:keys [witness]} buffer n]
  (into []
        (mapcat (fn [from]
                  (map float (drop 4 (sc/request! witness ["/b_getn" (:id buffer) from (min 1000 (- (long n) (long from)))] ["/b_setn" (:id buffer) from])))))
        (range 0 n 1000)))

(defn- within-ms
  "Whether `f` returns something true within so many milliseconds."
  [ms f]
  (let [end (+ (System/nanoTime) (* 1000000 (long ms)))]
    (loop [] (or (f) (and (neg? (- (System/nanoTime) end)) (recur))))))

(defn- value-of [{:keys [witness]} bus]
  (float (nth (sc/request! witness ["/c_get" (:id bus)] ["/c_set" (:id bus)]) 2)))

(defn- tree-of [{:keys [witness]} group]
  (sc/query-tree witness {:group (:id group)}))

(defn- shape
  "A tree without what only one client knows."
  [{:keys [id kind children def controls]}]
  (cond-> {:id id, :kind kind}
    (= :group kind) (assoc :children (mapv shape children))
    def             (assoc :def def)
    controls        (assoc :controls controls)))

(defn- synth? [all node] (= :synth (:kind (seen all node))))

(defn- tree-form [^Random r]
  (let [synth (fn [k] [:synth {:key k, :def hum} {:freq (number r)}])]
    (into [:group {:key :top}]
          (comp (filter (fn [_] (.nextBoolean r)))
                (map (fn [k] (if (.nextBoolean r) (synth k) [:group {:key (keyword (str "g-" (name k)))} (synth k)]))))
          (if (.nextBoolean r) [:a :b :c :d :e] [:e :c :d :a :b]))))

(defn- frequencies-of
  "A declared form, or a queried tree, as nested vectors of the frequencies."
  [x]
  (if (vector? x)
    (if (= :synth (first x)) (:freq (nth x 2)) (mapv frequencies-of (drop 2 x)))
    (if (= :synth (:kind x)) (get (:controls x) "freq") (mapv frequencies-of (:children x)))))

(def ^:private calls
  "By name a call, `:do`, which gets what there is and a random generator, and `:true?`, which gets what
  there is and what was returned. `:wants` is what is picked for it: a synth `:y`, a group `:g`, a
  buffer `:b` of so many samples. `:gives` is what of the result is there from now on."
  {:add-group
   {:wants [:g]
    :do    (fn [{:keys [s g]} _] (sc/add-group! s (assoc confirmed :target g)))
    :true? (fn [{:keys [g] :as all} made] (= [:group (:id g)] ((juxt :kind :parent) (seen all made))))
    :gives (fn [g] {:groups [g]})}
   :add-synth
   {:wants [:g]
    :do    (fn [{:keys [s g]} r] (let [freq (number r)] [(sc/add-synth! s :hum {:freq freq} (assoc confirmed :target g)) freq]))
    :true? (fn [all [y freq]] (and (synth? all y) (= (float freq) (freq-of all y))))
    :gives (fn [[y]] {:synths [y]})}
   :set-controls
   {:wants [:y]
    :do    (fn [{:keys [y]} r] (let [freq (number r)] (sc/set-controls! y {:freq freq} confirmed) freq))
    :true? (fn [{:keys [y] :as all} freq] (= (float freq) (freq-of all y)))}
   :set-control-range
   {:wants [:y]
    :do    (fn [{:keys [y]} r] (let [freq (number r)] (sc/set-control-range! y :freq [freq 0.25] confirmed) freq))
    :true? (fn [{:keys [y] :as all} freq] (= [(float freq) (float 0.25)] (rest (controls-at all y 3))))}
   :get-controls
   {:wants [:y]
    :do    (fn [{:keys [y]} _] (:freq (sc/get-controls y [:freq] waiting)))
    :true? (fn [{:keys [y] :as all} freq] (= (float freq) (freq-of all y)))}
   :free-synth
   {:wants [:y]
    :do    (fn [{:keys [y]} _] (sc/free! y confirmed))
    :true? (fn [all y] (nil? (seen all y)))
    :takes :y}
   :move
   {:wants [:y :g]
    :do    (fn [{:keys [y g]} _] (sc/move! y :tail g confirmed))
    :true? (fn [{:keys [g] :as all} y] (= [(:id g) nil] ((juxt :parent :next) (seen all y))))}
   :await-started
   {:do    (fn [{:keys [s]} _] (sc/await-started (sc/add-synth! s :hum) waiting))
    :true? synth?
    :gives (fn [y] {:synths [y]})}
   :await-ended
   {:wants [:y]
    :do    (fn [{:keys [y]} _] (sc/free! y) (sc/await-ended y waiting))
    :true? (fn [all y] (nil? (seen all y)))
    :takes :y}
   :add-buffer
   {:do    (fn [{:keys [s]} ^Random r] (let [n (inc (.nextInt r 100))] [(sc/add-buffer! s (assoc waiting :frame-count n, :channel-count 2)) n]))
    :true? (fn [all [b n]] (= [n 2] (size-of all b)))
    :gives (fn [[b n]] {:buffers [[b (* 2 (long n))]]})}
   :add-filled-buffer
   {:do    (fn [{:keys [s]} ^Random r] (let [xs (vec (repeatedly 9000 #(float (number r))))] [(sc/add-buffer! s (assoc waiting :samples xs)) xs]))
    :true? (fn [all [b xs]] (and (= [9000 1] (size-of all b)) (= xs (samples-of all b 9000))))
    :gives (fn [[b]] {:buffers [[b 9000]]})}
   :set-sample-range
   {:wants [:b]
    :do    (fn [{[b n] :b} r] (let [xs (vec (repeatedly n #(float (number r))))] (sc/set-sample-range! b 0 xs waiting) xs))
    ;; What fits into one packet is not waited for, and may be lost: it is let arrive, for whoever asks next.
    :true? (fn [{[b n] :b, :as all} xs]
             (if (< (long n) 4097)
               (do (within-ms 200 #(= xs (samples-of all b n))) true)
               (= xs (samples-of all b n))))}
   :get-sample-range
   {:wants [:b]
    :do    (fn [{[b n] :b} _] (vec (sc/get-sample-range b 0 n waiting)))
    :true? (fn [{[b n] :b, :as all} xs] (= xs (samples-of all b n)))}
   :zero-buffer
   {:wants [:b]
    :do    (fn [{[b] :b} _] (sc/zero-buffer! b waiting))
    :true? (fn [{[b n] :b, :as all} _] (every? zero? (samples-of all b n)))}
   :free-buffer
   {:wants [:b]
    :do    (fn [{[b] :b} _] (sc/free! b waiting))
    :true? (fn [all b] (= [0 0] (size-of all b)))
    :takes :b}
   :set-bus
   {:do    (fn [{:keys [bus]} r] (let [x (number r)] (sc/set-bus! bus x confirmed) x))
    :true? (fn [{:keys [bus] :as all} x] (= (float x) (value-of all bus)))}
   :get-bus
   {:do    (fn [{:keys [bus]} _] (sc/get-bus bus waiting))
    :true? (fn [{:keys [bus] :as all} x] (= (float x) (value-of all bus)))}
   :status
   {:do    (fn [{:keys [s]} _] (:synth-count (sc/status s waiting)))
    :true? (fn [{:keys [witness]} n] (= n (:synth-count (sc/status witness))))}
   :sync
   {:do    (fn [{:keys [s]} _] (sc/sync! s waiting))
    :true? (constantly true)}
   :query-tree
   {:wants [:g]
    :do    (fn [{:keys [s g]} _] (sc/query-tree s (assoc waiting :group g)))
    :true? (fn [{:keys [g] :as all} tree] (or (not (:complete? tree)) (= (shape tree) (shape (tree-of all g)))))}
   :children
   {:wants [:g]
    :do    (fn [{:keys [g]} _] (sc/children g waiting))
    :true? (fn [{:keys [g] :as all} nodes] (= (map :id nodes) (map :id (:children (tree-of all g)))))}
   :moment
   {:wants [:g]
    :do    (fn [{:keys [s g]} r]
             (let [freq (number r)]
               (sc/at s confirmed
                 (let [made (sc/add-group! s {:target g})]
                   [made (sc/add-synth! s :hum {:freq freq} {:target made}) freq]))))
    :true? (fn [all [made y freq]] (and (= (:id made) (:parent (seen all y))) (= (float freq) (freq-of all y))))
    :gives (fn [[made y]] {:groups [made], :synths [y]})}
   :moment-to-come
   {:wants [:g]
    :do    (fn [{:keys [s g]} _]
             (sc/at s (assoc confirmed :when (java.time.Duration/ofMillis 30)) (sc/add-synth! s :hum {} {:target g})))
    :true? synth?
    :gives (fn [y] {:synths [y]})}
   :moment-with-a-buffer
   {:wants [:g]
    :do    (fn [{:keys [s g]} _]
             (sc/at s confirmed
               (let [b (sc/add-buffer! s {:frame-count 64})]
                 [b (sc/add-synth! s :hum {:out b} {:target g})])))
    :true? (fn [all [b y]] (and (= [64 1] (size-of all b)) (synth? all y)))
    :gives (fn [[b y]] {:buffers [[b 64]], :synths [y]})}
   :add-synthdefs
   {:do    (fn [{:keys [s]} _] (sc/add-synthdefs! s hum waiting))
    :true? (fn [{:keys [witness]} _] (sc/free! (sc/add-synth! witness :hum {} {:confirm true})) true)}
   :reconcile
   {:do    (fn [{:keys [s declared]} r] (let [form (tree-form r)] [form (sc/reconcile! s form (assoc waiting :root declared))]))
    :true? (fn [{:keys [declared] :as all} [form report]]
             (or (not (:confirmed? report)) (= [(frequencies-of form)] (frequencies-of (tree-of all declared)))))}})

;; ---- one of them

(def ^:private longest-ms
  "A call may wait for some answers one after the other, and the machine may be busy."
  (+ 2000 (* 12 (long timeout-ms))))

(def ^:private false-errors
  "Errors that say something of what there is, with what shows that it is not so."
  {:no-such-node  (fn [{:keys [y g] :as all}] (and (or y g) (or (nil? y) (seen all y)) (or (nil? g) (seen all g))))
   :freed-entity  (fn [{:keys [y g b] :as all}] (and (or (nil? y) (seen all y)) (or (nil? g) (seen all g)) (or (nil? b) (not= [0 0] (size-of all (first b))))))
   :not-started   (constantly false)})

(defn- call!
  "Makes one call: what became of it is `:what`, :did, :lied, or the name of an error."
  [all r call-name]
  (let [{call :do, :keys [true?]} (calls call-name)
        start  (System/nanoTime)
        result (try {:what :did, :result (call all r)}
                    (catch clojure.lang.ExceptionInfo e {:what (or (some-> (error/code e) name keyword) (class e)), :error e})
                    (catch Throwable e {:what (class e), :error e}))
        ms     (quot (- (System/nanoTime) start) 1000000)
        false? (get false-errors (:what result) (constantly false))]
    (cond-> (assoc result :call call-name, :ms ms)
      (and (= :did (:what result)) (not (true? all (:result result)))) (assoc :what :lied)
      (false? all)                                                 (assoc :what :false-error, :error-code (:what result)))))

(defn- picked
  "What there is, with what a call wants picked from it; nil where that is not there."
  [all ^Random r {:keys [wants]}]
  (reduce (fn [all k]
            (if-some [x (one-of r (all ({:y :synths, :g :groups, :b :buffers} k)))]
              (assoc all k x)
              (reduced nil)))
          (dissoc all :y :g :b)
          wants))

(defn- after-call
  "What there is after a call. Of what was being freed when something went wrong nobody knows; a buffer
  that was is `:doubtful`."
  [all {:keys [call what result]}]
  (let [{:keys [gives takes]} (calls call)]
    (cond-> all
      (and (= :b takes) (not= :did what)) (update :doubtful conj (first (:b all)))
      takes                       (update ({:y :synths, :b :buffers} takes) (fn [xs] (filterv #(not (identical? % (all takes))) xs)))
      (and gives (= :did what))   (as-> all (merge-with into all (gives result))))))

(defn- work!
  "Makes `n` calls of the names, by chance. Returns what became of each, and at the last what
  there is, as `:all`."
  [all ^Random r n call-names]
  (loop [all all, i 0, outcomes []]
    (if (= i n)
      {:all all, :outcomes outcomes}
      (let [call-name (one-of r call-names)]
        (if-some [ready (picked all r (calls call-name))]
          (let [outcome (call! ready r call-name)]
            (recur (after-call ready outcome) (inc i) (conj outcomes outcome)))
          (recur all (inc i) outcomes))))))

;; ---- a client in trouble, and a witness

(defn- with-client-in-trouble
  "Boots a server, connects a second client through a proxy, and calls `f` with what there is."
  [kind f]
  (with-open [^Closeable witness (sc/boot! (sc/server (servers/options kind {:maximum-logins 4, :memory-size 65536})))
              ^Closeable p       (proxy/start! (servers/address witness))
              ^Closeable s       (sc/connect! (sc/server (assoc (servers/address witness) :port (proxy/port p))))]
    (sc/add-synthdefs! s hum)
    (let [group (sc/add-group! s {:confirm true}), declared (sc/add-group! s {:confirm true})]
      (sc/reconcile! s [:group {:key :top}] {:root declared})
      (f {:s s, :witness witness, :proxy p, :group group, :declared declared, :bus (sc/add-bus! s),
          :groups [group], :synths [], :buffers []}))))

(defn- agrees?
  "Whether the client knows the very nodes that the server has."
  [{:keys [s witness]}]
  (= (set (map :id (tree-seq :children :children (sc/query-tree witness {:controls false}))))
     (set (keys (:nodes (sc/state s))))))

(defn- buffers-agree?
  "Whether the buffers that the client knows of are there, with the size that it knows."
  [{:keys [s] :as all}]
  (every? (fn [[id {:keys [frame-count channel-count]}]] (= [frame-count channel-count] (size-of all {:id id})))
          (:buffers (sc/state s))))

(defn- is-whole-again
  "Without trouble, what was declared is repaired and the client knows what there is."
  [{:keys [s proxy declared doubtful unasked?] :as all}]
  (proxy/trouble! proxy nil)
  (sc/sync! s)
  (sc/repair! s)
  (is (= [] (sc/drift s)))
  (is (eventually #(agrees? all)))
  (run! #(error-of (fn [] (sc/free! %))) doubtful)
  ;; What was spoilt may have told of a buffer that cannot be, of which supernova must not be asked.
  (is (or unasked? (buffers-agree? all)))
  (sc/reconcile! s [:group {:key :top} [:synth {:key :a, :def hum} {:freq 99}]] {:root declared})
  (is (= [[99.0]] (frequencies-of (tree-of all declared))))
  (is (= (:synth-count (sc/status s)) (:synth-count (sc/status (:witness all)))))
  (is (eventually #(not (espalier.runtime.mirror/unsettled? (:mirror (espalier.runtime.handle/session s)))))))

(defn- row [label outcomes]
  (let [whats (frequencies (map :what outcomes))]
    {:trouble label, :calls (count outcomes), :did (:did whats 0), :lied (:lied whats 0), :false (:false-error whats 0)
     :threw (dissoc whats :did :lied :false-error), :longest-ms (reduce max 0 (map :ms outcomes))}))

;; ---- the tests

(def ^:private spoilt
  "Where bytes are changed on their way, what is told is what has come: then nobody can know better." :corrupt)

(defn- in-trouble
  "Makes `n` calls in this trouble, and asserts what must be so. Returns a row of the table."
  [kind [trouble-name :as label] trouble n seed]
  (testing (str (:executable kind) " " label " seed " seed)
    (with-client-in-trouble kind
      (fn [{:keys [proxy] :as all}]
        (proxy/trouble! proxy (some-> trouble (assoc :seed seed)))
        (let [{:keys [outcomes all]} (work! all (Random. seed) n (keys calls))]
          ;; How many calls were possible is left to chance, so all are asserted at once.
          (is (= [] (filter #(contains? (if (= spoilt trouble-name) #{} #{:lied :false-error}) (:what %)) outcomes)))
          (is (= [] (remove (comp keyword? :what) outcomes)) "they threw what is no error of ours")
          (is (= [] (filter #(<= (long longest-ms) (long (:ms %))) outcomes)) "they took too long")
          (is-whole-again (assoc all :unasked? (and (= spoilt trouble-name) (= "supernova" (:executable kind)))))
          (row (str (:executable kind) " " label) outcomes))))))

(def ^:private troubles
  {:drop      (fn [rate] {:drop rate})
   :delay     (fn [rate] {:delay-ms (* 50 rate), :jitter-ms (* 100 rate)})
   :duplicate (fn [rate] {:duplicate rate})
   :reorder   (fn [rate] {:reorder rate})
   :corrupt   (fn [rate] {:corrupt rate})})

(deftest without-trouble-every-call-does-what-it-says
  (doseq [kind servers/udp-kinds]
    (is (= #{:did} (set (keys (filter (comp pos? val) (select-keys (in-trouble kind [:none] nil 60 1) [:did :lied :false]))))))))

(deftest a-tenth-is-lost
  (doseq [kind servers/udp-kinds]
    (let [{:keys [did threw]} (in-trouble kind [:drop 0.1] {:drop 0.1} 25 11)]
      (is (pos? (long did)))
      (is (every? #{:no-answer} (keys threw))))))

(deftest half-overtakes-and-half-comes-twice
  (doseq [kind servers/udp-kinds]
    (is (pos? (long (:did (in-trouble kind [:reorder 0.5] {:reorder 0.5, :duplicate 0.5} 40 12)))))))

(def ^:private by-tcp
  "scsynth tells only one TCP client apart." {:executable "supernova", :protocol :tcp})

(deftest in-pieces-by-tcp
  (with-client-in-trouble by-tcp
    (fn [{:keys [proxy] :as all}]
      (proxy/trouble! proxy {:chunk 5, :delay-ms 1})
      (let [{:keys [outcomes all]} (work! all (Random. 3) 25 (remove #{:add-filled-buffer} (keys calls)))]
        (is (= #{:did} (set (map :what outcomes))))
        (is-whole-again all)))))

(deftest cut-off-by-tcp
  (with-client-in-trouble by-tcp
    (fn [{:keys [proxy s witness]}]
      (let [seen  (servers/events s)
            waits (do (proxy/trouble! proxy {:delay-ms 200})
                      (doall (repeatedly 3 #(future (error-of (fn [] (sc/sync! s {:timeout-ms 60000})))))))]
        (proxy/cut! proxy)
        (is (= [:connection-closed :disconnected :lost] (seen :lost)))
        (is (every? #{:server-offline :link-closed :none} (map #(deref % 10000 :hangs) waits)))
        (proxy/trouble! proxy nil)
        (is (= :online (sc/boot-status (sc/connect! s))))
        (is (= (:group-count (sc/status witness)) (:group-count (sc/status s))))))))

(deftest ^:soak every-trouble-at-every-rate
  (let [fresh (rand-int 1000000)]
    (println "fresh seed" fresh)
    (doseq [seed [1 fresh], kind servers/udp-kinds, [trouble-name trouble] troubles, rate [0.01 0.1 0.5]]
      (let [{:keys [trouble calls did lied threw longest-ms], false-errors :false}
            (in-trouble kind [trouble-name rate] (trouble rate) 200 seed)]
        (println (format "| %-26s | %4d | %4d | %4d | %4d | %-40s | %5d ms |" trouble calls did lied false-errors (str threw) longest-ms))))))

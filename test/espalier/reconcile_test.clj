(ns espalier.reconcile-test
  "Declared trees on real servers: what was declared is what the server says that it
  has, by the fewest messages, whoever interferes."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.string :as str]
   [clojure.test :refer [deftest do-report is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.model.error :as error]
   [espalier.servers :as servers :refer [code-of error-of eventually last-n refused sent-after thrown]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.model.spectrum :as spectrum]
   [espalier.tree :as tree]
   [espalier.ugens :refer [env-gen:kr out:ar sin-osc:ar]]
   [espalier.wav :as wav])
  (:import
   (java.io File)
   (java.time Duration)
   (java.util.concurrent CountDownLatch)))

(set! *warn-on-reflection* true)

;; ---- the servers

(def ^:private handles (atom []))

(defsynth ^:private hum [out 0, freq 220, amp 0]
  (out:ar out (* amp (sin-osc:ar freq))))

(defsynth ^:private chord [out 0, freqs [220 330 440], amp 0]
  (out:ar out (* amp (sin-osc:ar freqs))))

(defsynth ^:private ping [out 0, amp 0, decay 0.01]
  (out:ar out (* amp (env-gen:kr (env/perc 0.001 decay) :done-action :free-self) (sin-osc:ar 880))))

(defn- with-each-engine [tests]
  (servers/keeping handles (map #(servers/options % {:memory-size 262144, :maximum-node-count 2048, :maximum-logins 2}) servers/udp-kinds) tests))

(use-fixtures :once with-each-engine)

(defn- each-server
  "Calls `f` with each server, on which nothing is declared and nothing plays."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (name (:engine (datafy s)))
      (sc/reset-server! s)
      (try
        (sc/add-synthdefs! s [hum chord ping])
        (sc/reconcile! s nil)
        (f s)
        (catch Throwable e (do-report {:type :error, :expected nil, :actual e})))
      (is (= :online (sc/boot-status s))))))

;; ---- what is seen

(defn- told
  "What is in a group, as the server tells it, with the keys that the client knows."
  ([s] (told s 1))
  ([s group] (:children (sc/query-tree s {:group group}))))

(defn- no-difference
  "Asserts that what is in a group is what a form says, by the server's own word."
  ([s form] (no-difference s form 1))
  ([s form group]
   (let [wanted {:kind :group, :children (tree/nodes form)}
         there  {:kind :group, :children (told s group)}]
     (is (= [] (tree/diff there wanted)))
     (is (= (count (tree-seq :children :children wanted)) (count (tree-seq :children :children there)))))))

(defn- messages
  "The messages that went out since packet `n`, without the fences."
  [s n]
  (into []
        (comp (mapcat #(if (map? %) (:packets %) [%]))
              (remove (comp #{"/c_get" "/sync"} first)))
        (sent-after s n)))

;; ---- the ordinary way

(deftest what-is-declared-plays
  (each-server
    (fn [s]
      (let [a [:group {:key :mix}
               [:synth {:key :bass, :def :hum} {:freq 55, :amp 0.01}]
               [:synth {:key :lead, :def :hum} {:freq 440.1}]
               [:synth {:def :chord} {:freqs [1 2 3]}]]
            {:keys [ids confirmed? differences bundle-count edits] :as report} (sc/reconcile! s a)]
        (is (= [true [] 1 4] [confirmed? differences bundle-count (count edits)]))
        (is (= #{:mix :bass :lead} (set (keys ids))))
        (is (re-find #"^#<Report 4 added, 1 bundle of \d+ bytes, confirmed>$" (pr-str report)))
        (is (= "{:bundle-count 1}" (pr-str (select-keys report [:bundle-count]))))
        (is (str/starts-with? (pr-str (select-keys report [:edits])) "{:edits ["))
        (no-difference s a)
        (testing "again: nothing is sent"
          (let [n (last-n s), report (sc/reconcile! s a)]
            (is (= [] (sent-after s n) (:edits report)))
            (is (= ids (:ids report)))))
        (testing "one control: one message"
          (let [n (last-n s), b (assoc-in a [2 2 :freq] 56)]
            (is (= "#<Plan set :bass: freq 56.0>" (pr-str (sc/plan s b))))
            (is (= [] (sent-after s n)) "a plan sends nothing")
            (sc/reconcile! s b)
            (is (= [["/n_set" (:bass ids) "freq" 56.0]] (messages s n)))
            (is (= 1 (count (sent-after s n))))
            (no-difference s b)))
        (testing "moved, re-grouped, paused; the nodes stay the same"
          (let [c [[:synth {:key :lead, :def :hum, :paused true}]
                   [:group {:key :mix} [:group {:key :low} [:synth {:key :bass, :def :hum}]] [:synth {:def :chord}]]]
                report (sc/reconcile! s c)]
            (is (= ids (dissoc (:ids report) :low)))
            (is (= {:add 1, :move 2, :run 1} (frequencies (map :edit (:edits report)))))
            (no-difference s c)
            (is (= [:lead true] ((juxt :key :paused) (first (told s)))))
            (is (= 56.0 (get-in (second (told s)) [:children 0 :children 0 :controls "freq"])) "a control that is not mentioned is untouched")
            (is (= {"freqs" [1.0 2.0 3.0]} (select-keys (:controls (peek (:children (second (told s))))) ["freqs"])))))
        (testing "another SynthDef at its place"
          (let [d [[:synth {:key :lead, :def :chord} {:freqs [5]}] [:group {:key :mix}]]
                report (sc/reconcile! s d)]
            (is (= [:free :free :replace] (map :edit (remove #(= :run (:edit %)) (:edits report)))))
            (is (not= (:lead ids) (:lead (:ids report))))
            (no-difference s d)
            (is (= {"freqs" [5.0 330.0 440.0]} (select-keys (:controls (first (told s))) ["freqs"])))))
        (testing "what a query returns can be declared"
          (let [n (last-n s), queried (sc/query-tree s {:group 1})]
            (is (= [] (:edits (sc/reconcile! s queried))))
            (is (= [] (:edits (sc/reconcile! s (map tree/form (:children queried))))))
            (is (= [["/g_queryTree" 1 1]] (messages s n)))))
        (testing "nothing"
          (sc/reconcile! s nil)
          (is (= [] (told s))))))))

(deftest a-synth-that-never-played-is-resumed-in-a-paused-group
  (each-server
    (fn [s]
      (let [form (fn [paused]
                   [:group {:key :still, :paused true}
                    [:synth {:key :ping, :def :ping, :paused paused} {:amp 0.5}]
                    [:synth {:def :chord, :paused paused} {:freqs [330 440]}]])]
        (sc/reconcile! s (form true))
        (sc/set-controls! (sc/node s :ping) {:decay 0.25})
        (let [{:keys [confirmed? differences ids]} (sc/reconcile! s (form false))]
          (is (= [true [] []] [confirmed? differences (sc/drift s)]))
          (no-difference s (form false))
          (is (= (:id (sc/node s :ping)) (:ping ids)))
          (is (= {"amp" 0.5, "decay" 0.25} (sc/get-controls (sc/node s :ping) ["amp" "decay"])))
          (testing "and plays to its end as soon as its group does"
            (let [ping (sc/node s :ping)]
              (sc/resume! (sc/node s :still))
              (is (= ping (sc/await-ended ping))))))))))

(deftest a-synth-that-cannot-be-resumed-is-told
  (each-server
    (fn [s]
      (let [form (fn [paused?] [:group {:key :still, :paused true, :parallel true} [:synth {:def :hum, :paused paused?}]])]
        (sc/reconcile! s (form true))
        (let [{:keys [confirmed? differences]} (sc/reconcile! s (form false))
              told (mapv #(dissoc % :why) differences)]
          (is (= [(sc/drift s) (empty? told)] [told confirmed?]))
          (is (= (if (= :supernova (:engine (datafy s))) [] [:run]) (mapv :edit told)))
          (is (every? #(str/starts-with? (:why %) "it has never played") differences)))))))

(deftest a-synth-that-has-played-is-resumed-as-it-is
  (each-server
    (fn [s]
      (let [form (fn [still? paused?]
                   [:group {:key :still, :paused still?} [:synth {:key :lead, :def :hum, :paused paused?}]])
            ids  (:ids (sc/reconcile! s (form false false)))]
        (doseq [[still? paused?] [[true true] [true false] [true true] [false false]]]
          (is (= [true ids] ((juxt :confirmed? :ids) (sc/reconcile! s (form still? paused?)))))
          (is (= [] (sc/drift s))))
        (testing "as is one that plays first when its group is resumed with it"
          (sc/reconcile! s nil)
          (let [{:keys [ids]} (sc/reconcile! s (form true true))]
            (is (= [true ids] ((juxt :confirmed? :ids) (sc/reconcile! s (form false false)))))
            (is (= [] (sc/drift s)))))))))

(deftest controls-are-mapped-and-let-go
  (each-server
    (fn [s]
      (let [bus   (sc/add-bus! s {:rate :control})
            audio (sc/add-bus-group! s {:count 2, :rate :audio})
            form  (fn [freq freqs] [[:synth {:key :a, :def :hum} {:freq freq, :out audio}] [:synth {:key :b, :def :chord} {:freqs freqs}]])
            a     (form [:map bus] [1 [:map bus] 3])
            b     (form (str "a" (:id audio)) [:map audio])
            c     (form 300 [7 8 9])]
        (doseq [x [a b c a]]
          (is (:confirmed? (sc/reconcile! s x)))
          (no-difference s x))
        (is (= [(str "c" (:id bus)) (double (:id audio))] (map (:controls (first (told s))) ["freq" "out"])))
        (run! sc/free! [bus audio])
        (is (= :freed-entity (error-of #(sc/reconcile! s a))))))))

(deftest a-bus-that-is-freed-is-let-go
  (each-server
    (fn [s]
      (sc/reconcile! s {:buses {:a :control, :b {:rate :control, :count 2}}
                        :tree  [[:synth {:key :x, :def :hum} {:freq [:map :a]}] [:synth {:key :y, :def :chord} {:freqs [:map :b], :amp [:map :a]}]]})
      (let [report (sc/reconcile! s {:buses {:a :control}, :tree [[:synth {:key :x, :def :hum}] [:synth {:key :y, :def :chord}]]})
            report' (sc/reconcile! s [[:synth {:key :x, :def :hum}] [:synth {:key :y, :def :chord} {:amp 0.5}]])]
        (is (= [{:edit :set, :node :y, :controls {"freqs" [220.0 330.0 440.0]}}] (:edits report)))
        (is (= #{{:edit :set, :node :x, :controls {"freq" 220.0}} {:edit :set, :node :y, :controls {"amp" 0.5}}} (set (:edits report'))))
        (is (= [220.0 [220.0 330.0 440.0]] [(get-in (first (told s)) [:controls "freq"]) (get-in (second (told s)) [:controls "freqs"])]))
        (is (= [] (sc/drift s)))))))

(deftest what-was-added-by-hand-lives-beside
  (each-server
    (fn [s]
      (let [by-hand (sc/add-synth! s :hum {} {:confirm true})
            form    [[:group {:key :a} [:synth {:key :x, :def :hum}]] [:synth {:key :b, :def :hum}]]
            ids     (fn [] (map :id (told s)))
            report  (sc/reconcile! s form)
            other   (sc/add-synth! s :hum {} {:target (:a (:ids report)), :confirm true})]
        (is (= [(:id by-hand) (:a (:ids report)) (:b (:ids report))] (ids)))
        (testing "what is in a declared group and nobody has declared stays with :prune false"
          (is (= [] (:edits (sc/reconcile! s form {:prune false}))))
          (is (= [:move] (map :edit (:edits (sc/reconcile! s [[:synth {:key :x, :def :hum}] [:group {:key :a}] [:synth {:key :b, :def :hum}]] {:prune false})))))
          (is (contains? (set (map :id (tree-seq :children :children (sc/query-tree s)))) (:id other))))
        (testing "and goes without"
          (is (= [{:edit :free, :node (:id other)}] (filter #(= :free (:edit %)) (:edits (sc/reconcile! s form)))))
          (is (= :freed-entity (do (sc/await-ended other) (error-of #(sc/set-controls! other {:amp 0}))))))
        (testing "a declared group that goes takes with it what is not declared"
          (let [other (sc/add-synth! s :hum {} {:target (:a (:ids report)), :confirm true})]
            (sc/reconcile! s [:synth {:key :x, :def :hum}])
            (is (= [(:id by-hand) (:x (:ids report))] (ids)))
            (sc/await-ended other)))
        (testing "a node that was added by hand is declared by its id"
          (is (= [:name :set] (map :edit (:edits (sc/reconcile! s [[:synth {:key :mine, :id (:id by-hand), :def :hum} {:freq 5}] [:synth {:key :x, :def :hum}]])))))
          (is (= by-hand (sc/node s :mine)))
          (is (= [:free] (map :edit (:edits (sc/reconcile! s [:synth {:key :x, :def :hum}]))))))
        (testing "nodes by key are entities"
          (is (= 220.0 (:freq (sc/get-controls (sc/node s :x) [:freq]))))
          (is (nil? (sc/node s :nobody))))))))

(defn- next-bus
  "The number of the next audio bus that is free."
  [s]
  (let [b (sc/add-bus! s {:rate :audio})]
    (sc/free! b)
    (:id b)))

(deftest a-root-may-be-in-another-and-has-its-own-keys
  (each-server
    (fn [s]
      (let [g     (sc/add-group! s {:action :tail})
            outer (fn [i] [:synth {:key :a, :def :hum} {:freq i}])
            inner (fn [i] [:synth {:key :a, :def :hum} {:freq i}])
            ids   (fn [] [(map :id (told s)) (map :id (told s (:id g)))])]
        (sc/reconcile! s (inner 1) {:root g})
        (is (= [:add] (map :edit (:edits (sc/reconcile! s (outer 2))))) "what is declared of the root within is not taken from it")
        (let [before (ids)]
          (is (= [:set] (map :edit (:edits (sc/reconcile! s (inner 3) {:root g})))))
          (is (= [:set] (map :edit (:edits (sc/reconcile! s (outer 4))))))
          (is (= before (ids)))
          (is (= [] (sc/drift s)))))
      (testing "a declared group is the root of another tree"
        (sc/reconcile! s [:group {:key :g}])
        (sc/reconcile! s [:synth {:key :x, :def :hum}] {:root (sc/node s :g)})
        (is (= [:add] (map :edit (:edits (sc/reconcile! s [[:group {:key :g}] [:synth {:key :y, :def :hum}]])))))
        (is (= [:x] (map :key (told s (:id (sc/node s :g))))))
        (is (= [] (sc/drift s)))))))

(deftest the-groups-of-clients-are-no-content-of-the-server's-root
  (each-server
    (fn [s]
      (sc/reconcile! s [:synth {:key :a, :def :hum}])
      (is (= [:add] (map :edit (:edits (sc/reconcile! s [:synth {:key :last, :def :hum}] {:root 0})))))
      (is (= [] (sc/drift s)))
      (is (= [:free] (map :edit (:edits (sc/reconcile! s nil {:root 0})))))
      (is (= [:a] (map :key (told s)))))))

(deftest a-root-that-has-ended-keeps-nothing
  (each-server
    (fn [s]
      (let [bus (next-bus s)]
        (dotimes [_ 3]
          (let [g (sc/add-group! s)]
            (sc/reconcile! s {:buses {:x 2}, :tree [:synth {:key :a, :def :hum} {:out :x}]} {:root g})
            (is (not= bus (next-bus s)))
            (sc/free! g)
            (sc/await-ended g)
            (sc/reconcile! s nil)
            (is (= bus (next-bus s)))))
        (testing "a key is found where it is"
          (let [g (sc/add-group! s)]
            (sc/reconcile! s [:synth {:key :a, :def :ping} {:decay 0.001}])
            (some-> (sc/node s :a) sc/await-ended)
            (sc/reconcile! s [:synth {:key :a, :def :hum}] {:root g})
            (is (= "hum" (:def (sc/node s :a))))))))))

(deftest a-tree-that-is-pasted-has-its-own-buses
  (each-server
    (fn [s]
      (let [g    (sc/add-group! s)
            bus  (next-bus s)
            form (fn [buses] {:buses buses, :tree {:kind :group, :id (:id g), :children [{:kind :synth, :key :x, :def "hum", :controls {"out" (if buses :v 0)}}]}})]
        (sc/reconcile! s (form {:v 2}))
        (is (= [] (:edits (sc/reconcile! s (form {:v 2})))))
        (sc/reconcile! s {:buses {:v 2}, :tree [:synth {:key :y, :def :hum} {:out :v}]})
        (sc/reconcile! s (form nil))
        (is (= bus (next-bus s)))
        (is (= [] (:edits (sc/reconcile! s {:buses {:v 2}, :tree [:synth {:key :y, :def :hum} {:out :v}]}))))))))

(deftest another-group-can-be-the-root
  (each-server
    (fn [s]
      (let [g    (sc/add-group! s)
            hand (sc/add-synth! s :hum {} {:target g, :confirm true})
            form [[:synth {:key :a, :def :hum}] [:synth {:key :b, :def :hum}]]]
        (sc/reconcile! s [:synth {:key :a, :def :hum}])
        (sc/reconcile! s form {:root g})
        (no-difference s form g)
        (is (= 2 (count (told s))) "g, and what is declared without a root")
        (is (= [] (sc/drift s)))
        (sc/await-ended hand)
        (sc/free! g)
        (sc/await-ended g)
        (is (= :freed-entity (error-of #(sc/reconcile! s form {:root g}))))
        (is (= :no-such-node (error-of #(sc/reconcile! s form {:root (:id g)})) (error-of #(sc/reconcile! s form {:root 99999}))))
        (is (= :no-such-node (error-of #(sc/reconcile! s [:group {:id 99999} form]))))))))

;; ---- what a tree needs

(deftest synthdefs-buses-and-buffers-live-as-long-as-they-are-declared
  (each-server
    (fn [s]
      (let [f (File/createTempFile "espalier" ".wav")]
        (try
          (let [b (sc/add-buffer! s {:frame-count 100})]
            (sc/write-buffer! b (str f) {:header-format :wav, :sample-format :int16})
            (sc/free! b)
            (sc/sync! s))
          (sc/free-synthdefs! s ["hum"])
          (sc/sync! s)
          (let [form     (fn [buses buffers controls] {:buses buses, :buffers buffers, :tree [:synth {:key :a, :def hum} controls]})
                report   (sc/reconcile! s (form {:verb 2, :lfo :control} {:kick (str f), :table {:frame-count 64}}
                                                {:out :verb, :freq [:map :lfo], :amp :kick}))
                controls (:controls (first (told s)))]
            (is (:confirmed? report))
            (is (= "c" (subs (get controls "freq") 0 1)))
            (is (<= 16.0 (get controls "out")))
            (let [kick (long (get controls "amp"))]
              (is (= ["/b_info" kick 100 1] (take 4 (sc/request! s ["/b_query" kick] ["/b_info"]))))
              (testing "the same again: nothing is sent"
                (let [n (last-n s)]
                  (sc/reconcile! s (form {:verb 2, :lfo :control} {:kick (str f), :table {:frame-count 64}} {:out :verb, :freq [:map :lfo], :amp :kick}))
                  (is (= [] (sent-after s n)))))
              (testing "no longer"
                (sc/reconcile! s (form {:lfo :control} nil {:out 0, :freq [:map :lfo]}))
                (sc/sync! s)
                (is (= ["/b_info" kick 0] (take 3 (sc/request! s ["/b_query" kick] ["/b_info"]))))
                (is (= (get controls "out") (double (:id (sc/add-bus-group! s {:count 2, :rate :audio})))) "the bus is free again")))
            (testing "a plan takes nothing"
              (let [planned #(pr-str (sc/plan s (form {:lfo :control, :x 1} {:y {:frame-count 10}} {:out :x, :amp :y})))]
                (is (= (planned) (planned)))))
            (testing "a name that is not declared, and one declared wrongly"
              (is (= :unknown-name (error-of #(sc/reconcile! s (form {:lfo :control} nil {:out :lfoo})))))
              (is (str/includes? (ex-message (thrown #(sc/reconcile! s (form {:lfo :control} nil {:out :lfoo})))) "Did you mean :lfo?"))
              (is (= :invalid-tree (error-of #(sc/reconcile! s {:buses {:a "b"}, :tree nil})) (error-of #(sc/reconcile! s {:busses {}, :tree nil}))))
              (is (= :file-failed (error-of #(sc/reconcile! s (form {:new 1} {:kick "/no/such.wav"} {:out :new})))))
              (is (= [] (sc/drift s)) "what was declared before still is")))
          (finally (.delete f)))))))

(deftest a-synthdef-that-was-added-by-hand-is-not-what-was-declared
  (each-server
    (fn [s]
      (let [tree (fn [& ks] (for [k ks] [:synth {:key k, :def hum}]))]
        (sc/reconcile! s (tree :a))
        (sc/add-synthdefs! s [(espalier.synthdef/synthdef "hum" ["out" 0, "freq" 110] (fn [out freq] (out:ar out (sin-osc:ar freq :mul 0))))])
        (sc/reconcile! s (tree :a :b))
        (is (= [220.0 220.0] (map #(get-in % [:controls "freq"]) (told s))))
        (let [n (last-n s)]
          (sc/reconcile! s (tree :a :b))
          (is (= [] (sent-after s n))))))))

(deftest a-synthdef-that-was-written-anew-replaces-what-plays
  (each-server
    (fn [s]
      (let [tree   (fn [d] [[:synth {:key :a, :def d}] [:synth {:key :b, :def :hum}]])
            before (sc/reconcile! s (tree hum))
            louder (espalier.synthdef/synthdef "hum" ["out" 0, "freq" 110] (fn [out freq] (out:ar out (sin-osc:ar freq :mul 0))))
            report (sc/reconcile! s (tree louder))]
        (is (= [:replace] (map :edit (:edits report))))
        (is (= (:b (:ids before)) (:b (:ids report))))
        (is (= {"out" 0.0, "freq" 110.0} (:controls (first (told s)))))
        (is (= [] (:edits (sc/reconcile! s (tree louder)))))))))

;; ---- time

(deftest what-is-to-come-is-expected
  (each-server
    (fn [s]
      (let [form   [:group {:key :g} [:synth {:key :a, :def :hum}] [:synth {:key :b, :def :hum}]]
            at     (Duration/ofMillis 300)
            first  (sc/reconcile! s form {:at at})
            second (sc/reconcile! s form {:at at})]
        (is (= [false 3] [(:confirmed? first) (count (:edits first))]))
        (is (= [] (:edits second)) "two calls within the latency make no node twice")
        (is (= [] (told s)) "not yet")
        (testing "what is declared later happens later, and is waited for"
          (let [report (sc/reconcile! s [:group {:key :g} [:synth {:key :b, :def :hum}] [:synth {:key :a, :def :hum} {:freq 3}]])]
            (is (= [:move :set] (map :edit (:edits report))))
            (is (:confirmed? report))
            (is (= (:ids first) (:ids report)))
            (is (= [:b :a] (map :key (:children (clojure.core/first (told s))))))))
        (testing "what is still to come is no drift"
          (sc/reconcile! s [:group {:key :g} [:synth {:key :a, :def :hum} {:freq 9}]] {:at (Duration/ofMillis 400)})
          (is (= [] (sc/drift s)))
          (testing "and longer than the call may take it is not waited for"
            (is (= [false true] ((juxt :confirmed? (comp some? :at)) (sc/reconcile! s nil {:timeout-ms 50}))))))
        (testing "with :confirm it is waited for"
          (is (:confirmed? (sc/reconcile! s nil {:at (Duration/ofMillis 50), :confirm true})))
          (is (= [] (told s))))))))

(deftest what-is-to-come-is-not-confirmed-before-it-is-there
  (each-server
    (fn [s]
      (let [form   [:synth {:key :a, :def :hum}]
            first  (sc/reconcile! s form {:at (Duration/ofMillis 300)})
            report (sc/reconcile! s form)]
        (is (= [true [] (:ids first)] ((juxt :confirmed? :edits :ids) report)))
        (is (= [:a] (map :key (told s))) "it was waited for"))
      (testing "a reset ends what was to come, and it is expected no more"
        (sc/reconcile! s nil)
        (let [form [:synth {:key :b, :def :hum}]]
          (sc/reconcile! s form {:at (Duration/ofMillis 300)})
          (sc/reset-server! s)
          (is (= [:add] (map :edit (:edits (sc/reconcile! s form)))))
          (is (= [:b] (map :key (told s))))))
      (testing "buses that are declared no more at a time to come are free then, also where no node changes"
        (sc/reconcile! s nil)
        (let [bus (next-bus s), form [:synth {:key :a, :def :hum}]]
          (sc/reconcile! s {:buses {:x 2}, :tree form})
          (sc/reconcile! s form {:at (Duration/ofMillis 20)})
          (is (eventually #(= bus (next-bus s)))))))))

(deftest a-synth-that-is-played-once-is-not-played-again
  (each-server
    (fn [s]
      (let [form (fn [freq] [[:synth {:key :a, :def :hum} {:freq freq}] [:synth {:key :crash, :def :ping, :once true}]])
            crash (do (sc/reconcile! s (form 1)) (sc/node s :crash))]
        (when crash (sc/await-ended crash))
        (is (= [:set] (map :edit (:edits (sc/reconcile! s (form 2))))))
        (is (= [] (sc/drift s)))
        (testing "unless it was not declared meanwhile"
          (sc/reconcile! s [:synth {:key :a, :def :hum}])
          (is (= [:add] (map :edit (:edits (sc/reconcile! s (form 2)))))))
        (testing "one that is not declared so is a difference, with the reason"
          (sc/reconcile! s nil)
          (let [tree [:synth {:key :ended, :def :ping} {:decay 0.001}]]
            (sc/reconcile! s tree)
            (some-> (sc/node s :ended) sc/await-ended)
            (is (= [[:add :ended]] (map (juxt :edit :node) (sc/drift s))))))))))

;; ---- many at once

(deftest calls-of-many-threads-go-one-after-the-other
  (each-server
    (fn [s]
      (let [form  (fn [i] [:group {:key :g} (for [k (shuffle (range 20))] [:synth {:key [:v k], :def :hum} {:freq (+ i k)}])])
            go    (CountDownLatch. 1)
            calls (doall (for [i (range 6)]
                           (future (.await go) (mapv (fn [j] (:confirmed? (sc/reconcile! s (form (+ (* 100 i) j))))) (range 5)))))]
        (.countDown go)
        (is (every? #(every? true? %) (mapv deref calls)))
        (is (= 21 (dec (count (tree-seq :children :children {:children (told s)})))))
        (is (= [] (sc/drift s)))))))

(deftest two-clients-each-have-their-own
  (each-server
    (fn [s]
      (with-open [^java.io.Closeable other (sc/connect! (sc/server) (merge (servers/address s) {:maximum-logins 2}))]
        (let [form  (fn [who i] [:group {:key :g} (for [k (shuffle (range 10))] [:synth {:key [:v k], :def :hum} {:freq (+ who i k)}])])
              last-of (fn [c who] (future (peek (mapv (fn [i] (let [f (form who i)] (sc/reconcile! c f) f)) (range 20)))))
              [a b] (mapv deref [(last-of s 100) (last-of other 500)])]
          (no-difference s a (sc/default-group s))
          (no-difference other b (sc/default-group other))
          (is (= [[] []] [(sc/drift s) (sc/drift other)])))))))

(deftest a-client-that-interferes-is-mended
  (each-server
    (fn [s]
      (with-open [^java.io.Closeable other (sc/connect! (sc/server) (merge (servers/address s) {:maximum-logins 2}))]
        (let [form [:group {:key :g} (for [k (range 8)] [:synth {:key [:v k], :def :hum} {:freq k}]) [:group {:key :h} [:synth {:key :x, :def :hum}]]]
              ids  (:ids (sc/reconcile! s form))]
          (testing "what drifts is told, and mended"
            (sc/send! other ["/n_set" (ids [:v 3]) "freq" 99])
            (sc/send! other ["/n_free" (ids [:v 1])])
            (sc/send! other ["/g_tail" (ids :h) (ids [:v 0])])
            (sc/send! other ["/n_run" (ids [:v 5]) 0])
            (sc/sync! other)
            (sc/sync! s)
            (is (= #{[:add [:v 1]] [:move [:v 0]] [:set [:v 3]] [:run [:v 5]]} (set (map (juxt :edit :node) (sc/drift s)))))
            (is (= [true] (map :confirmed? (sc/repair! s))))
            (is (= [] (sc/drift s)))
            (no-difference s form))
          (testing "what is set by hand is set again"
            (sc/set-controls! (sc/node s [:v 2]) {:freq 1000})
            (is (= [:set] (map :edit (:edits (sc/reconcile! s form)))))
            (sc/set-controls! (sc/node s :h) {:freq 1000})
            (sc/send! s {:packets [["/n_set" (:id (sc/node s [:v 3])) "freq" 1000]]})
            (is (= [[:set [:v 3]] [:set :x]] (map (juxt :edit :node) (:edits (sc/reconcile! s (assoc form 3 [:group {:key :h} [:synth {:key :x, :def :hum} {:freq 5}]])))))))
          (testing "nodes that are freed all the while"
            (let [stop  (promise)
                  frees (future (while (not (realized? stop))
                                  (when-let [node (first (shuffle (:children (first (told other 1)))))]
                                    (sc/send! other ["/n_free" (:id node)]))
                                  (sc/sync! other)))]
              (dotimes [i 40]
                (let [r (try (sc/reconcile! s (assoc-in form [1 :paused] (even? i)))
                             (catch clojure.lang.ExceptionInfo e (or (:report (ex-data e)) e)))]
                  (is (:differences r) (str r))))
              (deliver stop true)
              @frees
              (sc/reconcile! s form)
              (is (= [] (do (sc/repair! s) (sc/drift s))))
              (no-difference s form))))))))

;; ---- following

(deftest a-reference-is-followed
  (each-server
    (fn [s]
      (let [tree   (fn [i] [:group {:key :g} [:synth {:key :a, :def :hum} {:freq i}] (when (odd? i) [:synth {:key :b, :def :hum} {:freq i}])])
            wanted (atom (tree 0))
            events (servers/events s)
            f      (sc/follow! s wanted)
            go     (CountDownLatch. 1)]
        (let [threads (doall (for [t (range 4)]
                               (future (.await go) (dotimes [i 250] (swap! wanted (fn [_] (tree (+ (* 250 t) i))))))))]
          (.countDown go)
          (run! deref threads)
          (is (:confirmed? (sc/await-followed f)))
          (no-difference s @wanted)
          (let [{:keys [change-count bundle-count]} @f]
            (is (<= 1 bundle-count change-count 1001))))
        (testing "an error is told, and the old sound kept"
          (let [before (told s)]
            (reset! wanted [:group {:key :g} [:synth {:key :a, :def :nonesuch}]])
            (is (= :unknown-synthdef (error-of #(sc/await-followed f))))
            (is (= :espalier.error/unknown-synthdef (error/code (:error @f))))
            (is (= :reconcile-failed (peek (events :reconcile-failed))))
            (is (= before (told s)))
            (reset! wanted (tree 7))
            (sc/await-followed f)
            (is (nil? (:error @f)))
            (no-difference s (tree 7))))
        (testing "of many that follow at once one is left"
          (let [follows (mapv deref (doall (for [_ (range 4)] (future (sc/follow! s wanted)))))]
            (is (= {:ended 3, :following 1} (frequencies (map (comp :status deref) follows))))
            (run! sc/unfollow! follows)))
        (testing "following again replaces, and ends"
          (let [f (sc/follow! s wanted), g (sc/follow! s wanted)]
            (is (= [:ended :following] (map (comp :status deref) [f g])))
            (is (= :not-followed (error-of #(sc/await-followed f))))
            (is (identical? g (sc/unfollow! (sc/unfollow! g))))
            (reset! wanted (tree 8))
            (is (= 7.0 (get-in (told s) [0 :children 0 :controls "freq"])))))
        (testing "looks that take longer than they are apart hold up no change"
          (with-open [^java.io.Closeable g (sc/follow! s wanted {:repair-ms 1})]
            (Thread/sleep 300)
            (reset! wanted (tree 9))
            (is (:confirmed? (sc/await-followed g {:timeout-ms 300})))))
        (testing "drift is mended by itself"
          (with-open [^java.io.Closeable g (sc/follow! s wanted {:repair-ms 20})]
            (sc/send! s ["/n_free" (:id (sc/node s :a))])
            (is (eventually #(= [] (sc/drift s))))
            (is (eventually #(when-let [a (sc/node s :a)] (sc/active? a))))
            (is (str/starts-with? (str g) "#<Follow Atom following, "))
            (let [aside (sc/add-group! s {:target 0, :action :tail, :confirm true})]
              (sc/reconcile! s [:synth {:key :far, :def :hum}] {:root aside})
              (sc/send! s ["/n_free" (:id (sc/node s :far)) (:id (sc/node s :a))])
              (is (eventually #(when-let [a (sc/node s :a)] (sc/active? a))))
              (is (= 1 (count (sc/drift s {:root aside}))) "of another root nothing is repaired")
              (sc/free! aside))))
        (is (= :invalid-argument (error-of #(sc/follow! s (tree 1)))))
        (is (= :unknown-synthdef (error-of #(sc/follow! s (atom [:synth {:key :a, :def :nonesuch}])))))))))

(def ^:private a-var [:synth {:key :a, :def :hum} {:freq 1}])

(deftest a-var-is-followed-through-a-reboot
  (let [s (first (servers/online @handles))]
    (sc/reset-server! s)
    (sc/reconcile! s nil)
    (alter-var-root #'a-var (constantly {:synthdefs [hum], :tree [:synth {:key :a, :def :hum} {:freq 1}]}))
    (with-open [^java.io.Closeable f (sc/follow! s #'a-var)]
      (alter-var-root #'a-var assoc-in [:tree 2 :freq] 2)
      (sc/await-followed f)
      (is (= 2.0 (get-in (told s) [0 :controls "freq"])))
      (sc/quit! s)
      (is (nil? (sc/await-followed f)))
      (is (= :offline (:status @f)))
      (sc/boot! s)
      (is (:confirmed? (sc/await-followed f)))
      (is (eventually #(= 2.0 (get-in (told s) [0 :controls "freq"])))))))

(deftest one-follows-for-one-root
  (let [s (first (servers/online @handles))]
    (sc/reset-server! s)
    (let [a (atom [:synth {:key :a, :def hum}]), b (atom [:synth {:key :b, :def hum}])
          f (sc/follow! s a)]
      (with-open [^java.io.Closeable g (sc/follow! s b)]
        (is (= [:ended :following] (map (comp :status deref) [f g])))
        (reset! a [:synth {:key :c, :def hum}])
        (sc/await-followed g)
        (is (= [:b] (map :key (told s))))
        (testing "a boot that ends well is told once"
          (let [failed (atom 0)]
            (sc/on-lifecycle! s :reconcile-failed (fn [_] (swap! failed inc)))
            (sc/reboot! s)
            (sc/await-followed g)
            (is (= [:b] (map :key (told s))))
            (is (= 0 @failed))))))))

;; ---- what is wrong

(deftest what-is-wrong-is-named-and-nothing-is-sent
  (each-server
    (fn [s]
      (sc/reconcile! s [:synth {:key :a, :def :hum}])
      (sc/reconcile! s [:synth {:key :a, :def :hum}])
      (code-of #(sc/reconcile! s [:synth {:def :nonesuch}]))
      (refused s
               [[:duplicate-key #(sc/reconcile! s [[:synth {:key :a, :def :hum}] [:group {:key :a}]])]
                [:invalid-tree #(sc/reconcile! s [:synth {:def :hum} {} [:synth {:def :hum}]])]
                [:invalid-tree #(sc/reconcile! s [:sinth {:def :hum}])]
                [:invalid-tree #(sc/reconcile! s 5)]
                [:invalid-tree #(sc/reconcile! s [:synth])]
                [:unknown-control #(sc/reconcile! s [:synth {:key :a, :def :hum} {:frq 3}])]
                [:unknown-control #(sc/reconcile! s [:synth {:key :a, :def hum} {:frq 3}])]
                [:unknown-control #(sc/reconcile! s [:synth {:key :a, :def :hum} {17 3}])]
                [:invalid-argument #(sc/reconcile! s [:synth {:key :a, :def :hum} {:freq [1 2]}])]
                [:invalid-argument #(sc/reconcile! s [:synth {:key :a, :def :hum} {:freq "c99999999"}])]
                [:invalid-tree #(sc/reconcile! s [:synth {:key :a, :def :hum} {:freq ##NaN}])]
                [:unknown-option #(sc/reconcile! s nil {:prun false})]
                [:invalid-option #(sc/reconcile! s nil {:prune 1})]
                [:invalid-option #(sc/reconcile! s nil {:root "1"})]
                [:invalid-option #(sc/reconcile! s nil {:root 99999999999})]
                [:invalid-option #(sc/drift s {:root :a})]
                [:invalid-time #(sc/reconcile! s nil {:at "soon"})]
                [:question-in-moment #(sc/at s nil (sc/reconcile! s nil))]
                [:too-many-nodes #(sc/reconcile! s (for [i (range 2100)] [:synth {:key [:v i], :def :hum}]))]
                [:not-declared #(sc/drift s {:root 0})]])
      (is (= [] (sc/drift s)))
      (testing "the number of a bus is no group's"
        (let [b (sc/add-bus! s {:rate :control})]
          (is (= :invalid-option (error-of #(sc/reconcile! s nil {:root b})) (error-of #(sc/plan s nil {:root b})) (error-of #(sc/repair! s {:root b}))))
          (sc/free! b)))
      (testing "a key that named another kind"
        (is (= [:free :add :add] (map :edit (:edits (sc/reconcile! s [:group {:key :a} [:synth {:def :hum}]])))))
        (no-difference s [:group {:key :a} [:synth {:def :hum}]])))))

(deftest a-server-without-memory-says-so
  (sc/with-server [s (servers/options {:executable "scsynth"} {:memory-size 256, :maximum-node-count 8192})]
    (sc/add-synthdefs! s [hum])
    (let [form   (fn [n] [:group {:key :g} (for [i (range n)] [:synth {:key [:v i], :def :hum} {:freq i}])])
          before (do (sc/reconcile! s (form 10)) (told s))]
      (doseq [n [700 4000]]
        (testing n
          (let [e (thrown #(sc/reconcile! s (form n) {:timeout-ms 1500}))]
            (is (= :espalier.error/out-of-memory (error/code e)))
            (is (false? (:confirmed? (:report (ex-data e)))))
            (is (= before (told s)) "what was declared before plays on")
            (is (= [] (sc/drift s))))))
      (testing "and what fits is then what plays"
        (is (:confirmed? (sc/reconcile! s (form 12))))
        (no-difference s (form 12))))))

;; ---- the sound

(defn- largest-step ^double [^doubles xs]
  (loop [i 1, most 0.0]
    (if (< i (alength xs))
      (recur (inc i) (Math/max most (Math/abs (- (aget xs i) (aget xs (dec i))))))
      most)))

(defn- quietest-part
  "The least of the peaks of parts of `n` samples, of what is behind `from`."
  [^doubles xs from n]
  (apply min (for [i (range from (- (alength xs) (long n)) n)]
               (spectrum/peak (java.util.Arrays/copyOfRange xs (int i) (int (+ (long i) (long n))))))))

(defsynth ^:private tone [out 0, amp 0.3]
  (out:ar out (* amp (sin-osc:ar 441))))

(defn- rearranged
  "The tone in one of many places."
  [i]
  (let [it    [:synth {:key :tone, :def tone}]
        other (for [k (shuffle (range 3))] [:synth {:key [:other k], :def tone} {:amp 0}])]
    (case (int (mod i 4))
      0 [it other]
      1 [[:group {:key [:g (mod i 3)]} other [:group {:key :in} it]]]
      2 [other [:group {:key :in, :parallel (even? i)} it]]
      3 [(first other) it (rest other)])))

(deftest a-tone-that-is-moved-about-has-no-gap-and-no-click
  (doseq [kind servers/udp-kinds]
    (testing (:executable kind)
      (sc/with-server [s (servers/options kind {:dummy-period-frames 512, :memory-size 65536})]
        (let [f (File/createTempFile "espalier" ".wav")]
          (try
            (sc/reconcile! s (rearranged 0))
            (let [tone (sc/node s :tone)
                  r    (sc/record! s (str f) {:channel-count 1})]
              (doseq [i (range 100)]
                (sc/reconcile! s (rearranged i)))
              (sc/stop-recording! r)
              (is (= tone (sc/node s :tone)))
              (let [xs (double-array (wav/samples (str f)))]
                (is (< 44100 (alength xs)))
                (is (< (largest-step xs) (* 1.01 0.3 2 Math/PI (/ 441 44100.0))))
                (is (< 0.299 (quietest-part xs 1000 200)))))
            (finally (.delete f))))))))

(ns espalier.testing-test
  "What users test their own with, tested: a passing test passes, and one that must fail does."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.string :as str]
   [clojure.test :as t :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.rehearsal :as rehearsal]
   [espalier.servers :as servers :refer [error-of]]
   [espalier.testing :as kit :refer [is-tree sent-by with-rehearsal with-scsynth]])
  (:import
   (java.time Duration Instant)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- reported
  "What `f` reports to clojure.test."
  [f]
  (let [events (atom [])]
    (binding [t/report #(swap! events conj %)] (f))
    @events))

(defn- skipped
  "What `f` returns, what it prints for a test to tell, and how many tests it counts as pending, as Kaocha calls it."
  [f]
  (let [out      (java.io.StringWriter.)
        counters (ref {})
        returned (binding [t/*test-out* out, t/*report-counters* counters] (f))]
    [returned (str out) (:pending @counters)]))

;; ---- servers

(deftest a-rehearsal-for-a-test
  (let [kept (with-rehearsal [s]
               (is (= [:online :scsynth] ((juxt :status :engine) (datafy s))))
               (is (str/includes? (str s) "[rehearsal "))
               s)]
    (is (= :offline (sc/boot-status kept))))
  (let [kept (atom nil)]
    (is (= "no" (ex-message (servers/thrown #(with-rehearsal [s {:maximum-node-count 16}] (reset! kept s) (is (= 16 (:maximum-node-count (:options (datafy s))))) (throw (ex-info "no" {})))))))
    (is (= :offline (sc/boot-status @kept))))
  (is (= :unknown-option (error-of #(with-rehearsal [s {:clok :virtual}] s))))
  (is (= :invalid-option (error-of #(with-rehearsal [s {:clock :sundial}] s)))))

(deftest a-real-server-for-a-test
  (with-scsynth [s]
    (is (= [:online :dummy] [(sc/boot-status s) (:audio (:options (datafy s)))]))
    (is (not (str/includes? (str s) "rehearsal")))))

(deftest what-is-not-installed-is-skipped-and-said
  (let [ran? (atom false)
        [returned said pending] (skipped #(kit/call-with-scsynth {:executable "scsynth-of-nowhere"} (fn [_] (reset! ran? true))))]
    (is (false? @ran?))
    (is (nil? returned))
    (is (re-matches #"SKIPPED in espalier.testing-test/what-is-not-installed-is-skipped-and-said \(.*testing_test.clj:\d+\): no scsynth-of-nowhere is installed\. .*\n" said))
    (is (= 1 pending)))
  (testing "what is named and not there is no missing installation"
    (is (= :not-executable (error-of #(with-scsynth [s {:executable "./deps.edn"}] s))))))

(deftest fixtures-bind-the-server
  (is (nil? kit/*server*))
  (let [seen (atom [])
        run  (fn [fixture] (fixture (fn [] (swap! seen conj (str kit/*server*) (sc/boot-status kit/*server*) (kit/sent kit/*server*)))))]
    (run (kit/rehearsal-fixture))
    (run (kit/rehearsal-fixture {:clock :virtual, :protocol :tcp}))
    (is (= [:online [] :online []] (remove string? @seen)))
    (is (every? #(str/includes? % "ONLINE [rehearsal ") (filter string? @seen)))
    (is (nil? kit/*server*))
    (is (str/includes? (second (skipped #(run (kit/scsynth-fixture {:executable "scsynth-of-nowhere"})))) "SKIPPED"))))

;; ---- what was said

(defn- chord!
  "A piece to test: a group and three notes of it, as one moment."
  [s when]
  (sc/at s when
    (let [g (sc/add-group! s)]
      (doseq [freq [220.1 275 330]]
        (sc/add-synth! s :pluck {:freq freq, :amp 0.1} {:target g})))))

(defn- note [id freq] ["/s_new" "pluck" id 0 1000 "freq" freq "amp" 0.1])

(def ^:private chord [["/g_new" 1000 0 1] (note 1001 220.1) (note 1002 275) (note 1003 330)])

(defn- says-what-it-sends [s]
  (sc/add-synthdefs! s instruments/pluck)
  (is (= [["/d_recv" {:synthdefs ["pluck"]}]] (kit/sent s)))
  (testing "one bundle, now and at a time"
    (let [time (.plusSeconds (Instant/now) 60)]
      (is (= [{:at nil, :packets chord}] (sent-by [s] (chord! s nil))))
      (is (= [time] (map :at (sent-by [s] (chord! s time)))))))
  (testing "what Espalier asks for itself is no part of it"
    (is (= [] (sent-by [s] (sc/status s) (sc/sync! s) (dotimes [_ 20] (sc/sync! s)) (sc/state s))))
    (is (= [["/n_query" 1000]] (sent-by [s] (sc/query-node s 1000))))
    (is (= [["/g_queryTree" 1 1]] (sent-by [s] (sc/query-tree s {:group 1}))))
    (is (= [["/g_new" 5000 0 1]] (sent-by [s] (sc/add-group! s {:id 5000, :confirm true}))))
    (let [b (sc/add-bus! s)]
      (is (= [["/c_set" (:id b) 0.1] ["/c_get" (:id b)]] (sent-by [s] (sc/get-bus (sc/set-bus! b 0.1)))))))
  (testing "completions are read"
    (is (= [["/d_recv" {:synthdefs ["bell"]} {:completion [["/s_new" "bell" 7000 0 1]]}]]
           (sent-by [s] (sc/at s nil (sc/add-synthdefs! s instruments/bell) (sc/add-synth! s :bell {} {:id 7000}))))))
  (testing "since a mark"
    (let [mark (kit/mark s)]
      (sc/send! s ["/n_free" 7000])
      (sc/send! s ["/n_free" 7001])
      (is (= [["/n_free" 7000] ["/n_free" 7001]] (kit/sent s mark)))
      (is (= [["/n_end" 7000] ["/fail" "/n_free" "Node 7001 not found"]] (map #(cond-> % (= "/n_end" (first %)) (subvec 0 2)) (kit/received s mark))))
      (is (= [["/fail" "/n_free" "Node 7001 not found"]] (kit/failures s mark) (kit/failures s)))
      (is (= [] (kit/failures s (kit/mark s))))))
  (testing "what a call has thrown, too"
    (let [mark (kit/mark s)]
      (is (= :no-such-synthdef (error-of #(sc/add-synth! s :nonesuch {} {:confirm true}))))
      (is (= [["/fail" "/s_new" "SynthDef not found"]] (kit/failures s mark)))))
  (testing "never a part of it"
    (let [mark (kit/mark s)]
      (dotimes [_ 5000] (sc/send! s ["/c_set" 0 0]))
      (is (= :trace-too-short (error-of #(kit/sent s mark)) (error-of #(kit/failures s)))))))

(deftest a-rehearsal-says-what-was-sent (with-rehearsal [s] (says-what-it-sends s)))

(deftest and-a-real-server-the-same (with-scsynth [s] (says-what-it-sends s)))

(deftest supernova-is-looked-at-more-and-that-is-no-part-of-it
  (with-scsynth [s {:executable "supernova"}]
    (sc/add-synthdefs! s instruments/pluck)
    (is (= [["/d_recv" {:synthdefs ["pluck"]}]] (kit/sent s)))
    (is (= [["/g_new" 5000 0 1]] (sent-by [s] (sc/add-group! s {:id 5000, :confirm true}))))
    (is (= [{:at nil, :packets chord}] (sent-by [s] (chord! s {:confirm true}))))
    (is (= [["/n_query" 1001]] (sent-by [s] (sc/query-node s 1001))))))

;; ---- what plays

(defn- tree-tests [s]
  (let [form [:group {:key :mix} [:synth {:key :low, :def instruments/organ} {:freq 110, :amp 0.1}] [:synth {:def :organ} {:freq 330}]]]
    (sc/reconcile! s {:buses {:verb 2}, :tree [form [:synth {:key :out, :def instruments/organ} {:out :verb}]]})
    (testing "what is mentioned is so"
      (doseq [same [[form [:synth {:key :out, :def :organ} {:out :verb}]]
                    {:tree [form [:synth {:key :out, :def :organ}]]}
                    [[:group {:key :mix} (repeat 2 [:synth {:def :organ}])] [:synth {:def "organ"}]]
                    (:children (sc/query-tree s {:group 1}))]]
        (is (= [:pass :pass] (map :type (reported #(is (true? (is-tree s same)))))))))
    (testing "a group alone"
      (is-tree s (drop 2 form) {:root (sc/node s :mix)})
      (is-tree s [[:synth {:def :organ}] [:synth {:def :organ}]] {:root (:id (sc/node s :mix))}))
    (testing "what is not so is told, with what would make it so"
      (doseq [[other words] [[[form] #"    free :out|    free \d+"]
                             [nil #"expected:\n    nothing\nthere:\n"]
                             [[(assoc-in form [2 2 :freq] 111) [:synth {:def :organ}]] #"    set :low: freq 111.0\n"]
                             [[[:synth {:def :organ}] form] #"    move "]
                             [[form [:synth {:def :organ}] [:synth {:def :bell}]] #"    add bell"]
                             [[[:group {:key :other} (drop 2 form)] [:synth {:def :organ}]] #"NODE|group :other"]
                             [[form [:synth {:def :organ} {:out 0}]] #"    set .*: out 0.0\n"]]]
        (let [[{:keys [type message actual file line]} & more] (reported #(is (false? (is-tree s other))))]
          (is (= [:fail [:pass]] [type (map :type more)]))
          (is (re-find words message))
          (is (re-find #"there:\n[^$]*110" message))
          (is (every? :edit actual))
          (is (and (= "testing_test.clj" file) (pos? line)) "where the test is"))))
    (testing "what is under way is waited for"
      (dotimes [_ 20]
        (let [g (sc/add-group! s)]
          (dotimes [_ 10] (sc/add-synth! s :organ {} {:target g}))
          (is-tree s (repeat 10 [:synth {:def :organ}]) {:root g})
          (sc/free! g))))
    (is (= :invalid-tree (error-of #(kit/check-tree s [:sinth {:def :organ}]))))
    (is (= :unknown-name (error-of #(kit/check-tree s [:synth {:def :organ} {:out :reverb}]))))
    (is-tree s [form [:synth {:def :organ} {:out :reverb}]] {:names {:reverb 16}})
    (is (= [] (kit/failures s)))))

(deftest trees-are-as-expected (with-rehearsal [s] (tree-tests s)))

(deftest trees-of-a-real-server-too (with-scsynth [s] (tree-tests s)))

;; ---- time

(defn- piece!
  "Three notes, half a second apart."
  [s]
  (doall (for [i (range 3)]
           (sc/at s (Duration/ofMillis (* 500 i))
             (sc/add-synth! s :pluck {:freq (* 110 (inc i)), :decay 0.3} {:action :tail})))))

(deftest time-is-moved
  (with-rehearsal [s {:clock :virtual}]
    (sc/add-synthdefs! s instruments/pluck)
    (let [start (rehearsal/now s)
          notes (piece! s)
          plays (fn [& is] (is-tree s (for [i is] [:synth {:def :pluck} {:freq (* 110 (inc i))}])))]
      (is (= (map #(.plusMillis start (* 500 %)) (range 3)) (map :at (filter :at (kit/sent s)))))
      (plays 0)
      (is (= [true false false] (map sc/active? notes)))
      (kit/advance! s 499)
      (is (= [] (filter sc/active? notes)) "the first has died away")
      (plays)
      (kit/advance! s 1)
      (plays 1)
      (is (= [false true false] (map sc/active? notes)))
      (kit/advance! s 500)
      (plays 2)
      (is (identical? s (kit/advance! s 500)))
      (plays)
      (is (= (.plusMillis start 1500) (rehearsal/now s)))
      (is (= [] (kit/failures s)))
      (testing "an Instant, a raw bundle, a tree to come"
        (sc/at s (.plusMillis (rehearsal/now s) 100) (sc/add-synth! s :pluck {:freq 1}))
        (sc/send! s {:at (Duration/ofMillis 200), :packets [["/g_new" 8000 1 1]]})
        (sc/reconcile! s [:synth {:key :a, :def :pluck} {:freq 3}] {:at (Duration/ofMillis 250)})
        (plays)
        (kit/advance! s 100)
        (is-tree s [:synth {:def :pluck} {:freq 1}])
        (kit/advance! s 100)
        (is-tree s [[:synth {:def :pluck} {:freq 1}] [:group]])
        (kit/advance! s 50)
        (is-tree s [[:synth {:def :pluck} {:freq 1}] [:group] [:synth {:key :a, :def :pluck} {:freq 3}]]))))
  (is (= :wall-clock (error-of #(with-rehearsal [s] (kit/advance! s 1))))))

(deftest what-is-to-come-is-not-given-up-while-time-stands-still
  (with-rehearsal [s {:clock :virtual, :watch-interval-ms 20}]
    (sc/add-synthdefs! s instruments/pluck)
    (let [note  (sc/at s (Duration/ofMillis 10) (sc/add-synth! s :pluck))
          lost  (sc/add-synth! s :nonesuch)
          there #(contains? (:nodes (sc/state s)) (:id %))]
      (is (servers/eventually #(not (there lost))) "what never came is")
      (is (there note))
      (is (= :node-not-started (error-of #(sc/set-controls! note {:freq 1}))))
      (kit/advance! s 10)
      (is (= {:freq 1.0} (sc/get-controls (sc/set-controls! note {:freq 1}) [:freq]))))))

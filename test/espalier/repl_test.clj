(ns espalier.repl-test
  "The words of a prompt: what they do, what they say, what they return."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.env]
   [espalier.instruments :as instruments]
   [espalier.repl :as repl]
   [espalier.servers :as servers :refer [each-kind error-of eventually options sharing thrown udp-kinds]]
   [espalier.synthdef]
   [espalier.ugens :as ugens])
  (:import
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :once sharing)

(defn- said
  "What `f` prints, its lines, and what it returns."
  [f]
  (let [result (promise), text (with-out-str (deliver result (f)))]
    [(str/split-lines text) @result]))

(defn- line
  "The one line that `f` prints, without the time."
  [f]
  (let [[[text :as lines] _] (said f)]
    (is (= 1 (count lines)) lines)
    (is (re-find #" \(\d+ ms\)$" text) text)
    (str/replace text #" \(\d+ ms\)$" "")))

(defn- quietly [f] (second (said f)))

(defn- playing
  "The SynthDefs that play in the default group, and below it, sorted."
  []
  (sort (keep :def (tree-seq :children :children (sc/query-tree (repl/server) {:group 1, :controls false})))))

(defn- with-ambient
  "Calls `f` with a server of each kind, of the prompt."
  [f]
  (each-kind udp-kinds {} (fn [s]
                            (repl/adopt s)
                            (f s)))
  (repl/adopt (sc/server)))

(deftest none-of-its-names-is-in-the-way
  (doseq [n '[clojure.core clojure.repl clojure.test clojure.pprint espalier.ugens espalier.env espalier.synthdef espalier.instruments user]]
    (when-not (find-ns n) (require n))
    (is (= [] (filter (ns-publics n) (keys (ns-publics 'espalier.repl)))) (str n))))

(deftest a-life
  (repl/adopt (sc/server (dissoc (options (first udp-kinds)) :port)))
  (with-open [taken (java.net.DatagramSocket. nil)]
    ;; Whoever has the usual port.
    (try (.bind taken (java.net.InetSocketAddress. "127.0.0.1" 57110)) (catch java.net.BindException _))
    (let [text (line #(repl/boot))]
      (is (re-find #"^boot: scsynth 3\.\d+\S* on port \d+, without a sound card$" text))
      (is (not (str/includes? text "57110")))))
  (let [s (repl/server)]
    (testing "again, it is the same"
      (is (re-find #"^boot: online already, scsynth .*" (line #(is (identical? s (repl/boot))))))
      (is (not (str/includes? (line #(repl/boot {:audio :dummy, :executable "scsynth"})) "and not with")))
      (is (str/ends-with? (line #(repl/boot {:block-size 128})) ", and not with {:block-size 128}: (reboot {:block-size 128}) boots it so")))
    (testing "loaded again, it is the same"
      (require 'espalier.repl :reload)
      (is (identical? s (repl/server))))
    (is (re-find #"^status: scsynth .* Hz, CPU .* %\), 0 synths of 0 UGens, 2 groups, 0 SynthDefs$" (line repl/status)))
    (quietly #(repl/play [:synth {:key :low, :def :organ}]))
    (testing "booted anew, what played can be brought back"
      (is (re-find #"^boot: scsynth" (line #(repl/reboot (select-keys (servers/address s) [:port])))))
      (is (= [] (playing)))
      (is (= "undo: 1 added" (first (str/split (line repl/undo) #",")))))
    (is (= ["organ"] (playing)))
    (is (= ["quit: the server has ended" "quit: offline already"] [(line repl/quit) (line repl/quit)]))
    (is (= :offline (sc/boot-status s)))
    (is (= :server-offline (error-of repl/status) (error-of #(repl/play :bell)) (error-of repl/undo)))
    (is (str/includes? (ex-message (thrown repl/status)) "(boot) boots it"))
    (repl/adopt (sc/server))))

(deftest what-plays-outlives-its-server
  (swap! @#'repl/ambient assoc :server nil)
  (let [s (repl/server), restored (promise)]
    (sc/on-lifecycle! s :restored (fn [_] (deliver restored true)))
    (quietly #(repl/boot (dissoc (options (first udp-kinds)) :port)))
    (quietly #(repl/play [:synth {:key :low, :def :organ}]))
    (quietly #(repl/play :organ {:freq 330}))
    (servers/signal! "KILL" (servers/pid s))
    (is (true? (deref restored 30000 :lost)))
    (is (= ["organ" "organ"] (playing)))
    (testing "and can be undone as if nothing had happened"
      (quietly repl/undo)
      (is (eventually #(= ["organ"] (playing))))
      (quietly repl/undo)
      (is (eventually #(= [] (playing)))))
    (quietly repl/quit)
    (repl/adopt (sc/server))))

(deftest what-can-be-played
  (with-ambient
    (fn [s]
      (testing "an instrument by its name, which is sent; a SynthDef"
        (is (re-find #"^play: #<Synth \d+ organ>$" (line #(repl/play :organ {:freq 330}))))
        (is (= 330.0 (:freq (sc/get-controls (quietly #(repl/play instruments/organ {:freq 330})) [:freq]))))
        (let [g (sc/add-group! s)]
          (is (= (:id g) (:id (sc/parent (quietly #(repl/play "organ" {} {:target g}))))))))
      (testing "UGens"
        (let [a (quietly #(repl/play (ugens/sin-osc:ar [440 442] :mul 0.1)))
              b (quietly #(repl/play (fn [] (ugens/sin-osc:ar 440 :mul 0.1)) {} {:bus 1}))]
          (is (= [:synth :synth] (map :kind [a b])))
          (is (= 1.0 (:out (sc/get-controls b [:out]))))))
      (testing "a tree, whose instruments are sent"
        (is (re-find #"^#<Report 2 added, 1 bundle of \d+ bytes, confirmed>$"
                     (pr-str (quietly #(repl/play [:group {:key :mix} [:synth {:key :low, :def :pad}]])))))
        (is (some #{"pad"} (playing))))
      (testing "what cannot is named, and nothing changes"
        (let [before (playing)]
          (is (= :invalid-argument (error-of #(repl/play 12)) (error-of #(repl/play {:a 1}))))
          (is (= :no-such-synthdef (error-of #(repl/play :ogran))))
          (is (str/includes? (ex-message (thrown #(repl/play :ogran))) "Did you mean \"organ\"?"))
          (is (= :unknown-control (error-of #(repl/play :organ {:frq 1}))))
          (is (= :invalid-tree (error-of #(repl/play [:sinth]))))
          (is (= before (playing)))))
      (quietly repl/stop)
      (is (= [] (playing))))))

(deftest steps-back-and-forth
  (with-ambient
    (fn [s]
      (let [by-hand (do (sc/add-synthdefs! s instruments/pad) (sc/add-synth! s :pad {} {:confirm true}))]
        (is (= "undo: there is nothing to undo" (line repl/undo)))
        (quietly #(repl/play [:synth {:key :low, :def :organ} {:freq 110}]))
        (quietly #(repl/play [:synth {:key :low, :def :organ} {:freq 220}]))
        (quietly #(repl/play :lead))
        (is (= ["lead" "organ" "pad"] (playing)))
        (is (= "undo: 1 synth freed" (line repl/undo)))
        (is (= ["organ" "pad"] (playing)))
        (is (re-find #"^undo: 1 set, 1 bundle" (line repl/undo)))
        (is (= 110.0 (:freq (sc/get-controls (sc/node s :low) [:freq]))))
        (quietly repl/redo)
        (is (= 220.0 (:freq (sc/get-controls (sc/node s :low) [:freq]))))
        (is (re-find #"^redo: #<Synth \d+ lead>$" (line repl/redo)))
        (is (= "redo: there is nothing to redo" (line repl/redo)))
        (is (re-find #"^stop: 1 synth freed, 1 freed" (line repl/stop)))
        (is (= ["pad"] (playing)) "what was not played here goes on")
        (is (= "stop: nothing plays" (line repl/stop)))
        (quietly repl/undo)
        (is (= ["lead" "organ" "pad"] (playing)))
        (testing "a voice that has ended by itself does not come again"
          (let [lead (first (filter #(= "lead" (:def %)) (sc/children (sc/default-group s))))]
            (sc/free! lead {:confirm true})
            (quietly repl/stop)
            (quietly repl/undo)
            (is (= ["organ" "pad"] (playing)))))
        (testing "nor one whose place is gone, and the step is taken all the same"
          (let [g (sc/add-group! s {:confirm true})]
            (quietly #(repl/play :lead {} {:target g}))
            (quietly repl/stop)
            (sc/free! g {:confirm true})
            (is (re-find #"^undo: 1 synth cannot be started again: #<Group \d+> is not there any more" (line repl/undo)))
            (is (= ["organ" "pad"] (playing)))
            (is (re-find #"^stop: 1 freed" (line repl/stop)))))
        (sc/free! by-hand)))))

(deftest the-tree-is-shown
  (with-ambient
    (fn [_]
      (quietly #(repl/play [:group {:key :mix} [:synth {:key :low, :def :organ}]]))
      (let [[lines found] (said #(repl/tree {:controls false}))]
        (is (some #(re-find #"\d+ organ :low" %) lines))
        (is (re-find #"^tree: \d groups, 1 synth \(\d+ ms\)$" (last lines)))
        (is (re-find #"^#<Tree 0, \d groups, 1 synth>$" (pr-str found)))
        (is (= {:id 0, :kind :group} (select-keys found [:id :kind])) "and is data")))))

(deftest the-log-is-shown-and-tapped
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (repl/adopt s)
               (let [taps (LinkedBlockingQueue.), tap #(.put taps %)
                     next-tap (fn [what] (first (filter #(or (nil? %) (= what (:what %))) (repeatedly #(.poll taps 15 TimeUnit/SECONDS)))))
                     n    (:n (peek (sc/log s)) -1)]
                 (add-tap tap)
                 (try
                   (is (true? (repl/tap-log! true)))
                   (is (= "" (with-out-str
                               (sc/send! s ["/n_set" 999999 "a" 1])
                               (is (= {:level :error, :text "The server refused /n_set: Node 999999 not found."} (select-keys (next-tap :command-failed) [:level :text])))))
                       "nothing prints by itself")
                   (finally (repl/tap-log! false) (remove-tap tap)))
                 (let [[lines found] (said #(repl/logs {:n 3, :level :error}))]
                   (is (re-find #"^\d\d:\d\d:\d\d\.\d{3} error command-failed: The server refused /n_set" (last (butlast lines))))
                   (is (re-find #"^logs: \d (entry|entries), error and above \(\d+ ms\)$" (last lines)))
                   (is (re-find #"^#<Log \d (entry|entries), \d error>$" (pr-str found))))
                 (testing "a bundle that comes late, and what the server prints"
                   (sc/send! s {:at (java.time.Duration/ofMillis -2000), :packets [["/n_set" 1 "a" 1]]})
                   (is (eventually #(some (comp #{:late} :what) (sc/log s {:after n, :level :warn}))))
                   (is (some (comp #{:output} :what) (sc/log s {:after n}))))
                 (testing "a followed tree that drifts"
                   (let [tree (atom [:synth {:key :low, :def :organ}])]
                     (sc/add-synthdefs! s instruments/organ)
                     (with-open [_ ^java.io.Closeable (sc/follow! s tree {:repair-ms 20})]
                       (sc/free! (sc/node s :low) {:confirm true})
                       (is (eventually #(some (fn [{:keys [what edits]}] (and (= :drifted what) (= [:add] (map :edit edits)))) (sc/log s {:after n})))))))
                 (is (= :invalid-option (error-of #(repl/logs {:level :loud}))))
                 (is (= :unknown-option (error-of #(repl/logs {:limit 1})))))))
  (repl/adopt (sc/server)))

(deftest anything-is-looked-up
  (is (str/starts-with? (with-out-str (repl/about :s-new)) ":s-new  /s_new\n  Makes a synth."))
  (is (str/includes? (with-out-str (repl/about "SinOsc")) "sin-osc:ar"))
  (binding [*ns* (the-ns 'espalier.repl-test)]
    (is (re-find #"(?s)^espalier.core/boot!\n\[s\] \[s opts\]\n  Boots the server" (with-out-str (repl/about 'sc/boot!))))
    (is (re-find #"^espalier.core/at, a macro" (with-out-str (repl/about #'sc/at)))))
  (testing "an instrument, and what else has its name"
    (is (re-find #"^\(play :bell\)  an instrument, #<SynthDef bell \[out 0\.0, freq 440\.0.*\n  A struck bell" (with-out-str (repl/about :bell))))
    (is (re-find #"(?s)^\(play :pluck\).*\nPluck  pluck:ar" (with-out-str (repl/about "pluck")))))
  (testing "nothing: the words of the prompt"
    (is (str/includes? (with-out-str (repl/about)) "(undo)")))
  (is (= :nothing-known (error-of #(repl/about :s-nwe))))
  (is (str/includes? (ex-message (thrown #(repl/about ugens/sin-osc:ar))) "(about 'sin-osc:ar)")))

(ns espalier.model.rehearsal-test
  "What a rehearsal's world does with packets: no socket, no thread, no clock. That it is what
  scsynth does, tests against a real one say elsewhere."
  (:require
   [clojure.test :refer [deftest is testing]]
   [espalier.env :as env]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.rehearsal :as model]
   [espalier.model.rehearsal-end :as end]
   [espalier.model.synthdef :as synthdef-file]
   [espalier.runtime.link :as link]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (espalier.kernel OscCodec)
   (java.time Instant)))

(set! *warn-on-reflection* true)

;; ---- a world to play with: an atom of it, time as it says

(def ^:private epoch (espalier.kernel.TimeTag/of (Instant/parse "2026-01-01T00:00:00Z")))

(defn- bytes-of ^bytes [packet]
  (let [encoded (.encode (OscCodec. 65507) (link/packet packet))
        bytes   (byte-array (.remaining encoded))]
    (.get encoded bytes)
    bytes))

(defn- booted
  "A world with these options in which :me is logged in."
  [& [opts]]
  (let [w (atom (model/boot (options/check (or opts {})) epoch))]
    (swap! w #(first (model/step % :me (bytes-of ["/notify" 1]) epoch)))
    w))

(defn- said [out] (mapv #(or (:message %) (:line %)) out))

(defn- ask
  "What is sent and printed for a packet, when all that it begins is done."
  [w packet & [client]]
  (let [[w1 out1] (model/step @w (or client :me) (bytes-of packet) (:now @w))
        [w2 out2] (model/settled w1 model/no-files)]
    (reset! w w2)
    (into (said out1) (said out2))))

(defn- replies [w packet] (filterv vector? (ask w packet)))

(defn- later
  "What happens within so many milliseconds."
  [w ms]
  (let [[w1 out] (model/advance @w (+ (long (:now @w)) (long (* 4294967.296 (double ms)))) model/no-files)]
    (reset! w w1)
    (filterv vector? (said out))))

(defn- in-ms [w ms] (.plusNanos (espalier.kernel.TimeTag/toInstant (:now @w)) (long (* 1e6 (double ms)))))

;; ---- SynthDefs

(defsynth plain [out 0, freq 440, amps [0.1 0.2 0.3]]
  (ugens/out:kr out (* freq (first amps))))

(defsynth breath [out 0, gate 1, dur 0.1, act 2]
  (ugens/out:kr out (ugens/env-gen:kr (env/asr dur 1 dur) gate :done-action act)))

(defsynth line [out 0, dur 0.1, act 2]
  (ugens/out:kr out (ugens/line:kr 0 1 (* dur 2) :done-action act)))

(defsynth listener [out 0]
  (ugens/out:kr out (ugens/detect-silence:kr (ugens/in:kr 5) :done-action :free-self)))

(defn- with-defs [w & defs]
  (ask w ["/d_recv" (synthdef-file/encode defs)])
  w)

;; ---- nodes

(deftest groups-and-synths-come-where-they-are-put
  (let [w (with-defs (booted) plain)]
    (is (= [["/n_go" 1 0 -1 -1 1 -1 -1]] (ask w ["/g_new" 1 0 0])))
    (is (= [["/n_go" 10 1 -1 -1 0]] (ask w ["/s_new" "plain" 10 0 1])))
    (is (= [["/n_go" 11 1 10 -1 0]] (ask w ["/s_new" "plain" 11 1 1])))
    (is (= [["/n_go" 12 1 10 11 0]] (ask w ["/s_new" "plain" 12 2 11])))
    (is (= [["/n_go" 13 1 10 12 0]] (ask w ["/s_new" "plain" 13 3 10])))
    (testing "one that takes another's place: the end of that one is not told"
      (is (= [["/n_go" 14 1 13 11 0]] (ask w ["/s_new" "plain" 14 4 12]))))
    (is (= [["/g_queryTree.reply" 0 1 4 10 -1 "plain" 13 -1 "plain" 14 -1 "plain" 11 -1 "plain"]]
           (ask w ["/g_queryTree" 1 0])))
    (is (= [["/n_end" 13 1 10 14 0]] (ask w ["/n_free" 13])))
    (is (= [["/n_end" 10 -1 -1 -1 0] ["/n_end" 14 -1 -1 -1 0] ["/n_end" 11 -1 -1 -1 0]] (ask w ["/g_freeAll" 1])))))

(deftest what-fails-is-told-in-the-servers-words
  (let [w (with-defs (booted) plain)]
    (ask w ["/s_new" "plain" 10])
    (doseq [[packet words] {["/s_new" "none" 11]      "SynthDef not found"
                            ["/s_new" "plain" 10]     "duplicate node ID"
                            ["/s_new" "plain" -5]     "negative node IDs are reserved"
                            ["/s_new" "plain" 11 0 7] "Group 7 not found"
                            ["/s_new" "plain" 11 2 7] "Node 7 not found"
                            ["/s_new" "plain" 11 9 0] "failed"
                            ["/s_new" 5]              "wrong argument type"
                            ["/g_new" 11 3 7]         "target Node 7 not found"
                            ["/g_new" 11 4 0]         "can't replace group 0"
                            ["/n_free" 7]             "Node 7 not found"
                            ["/c_set" 16384 1]        "index out of range"
                            ["/b_gen" 0 "none"]       "buf gen routine not found"
                            ["/none_such" 1]          "Command not found"}]
      (is (= ["/fail" (first packet) words] (first (replies w packet))) (pr-str packet)))
    (is (= "FAILURE IN SERVER /n_free Node 7 not found" (peek (into ["no line"] (filter string?) (ask w ["/n_free" 7])))))))

(deftest errors-can-be-turned-off
  (let [w (booted)]
    (ask w ["/error" 0])
    (is (= [] (ask w ["/n_free" 7])))
    (ask w ["/error" 1])
    (is (= [] (replies w {:packets [["/error" -1] ["/n_free" 7]]})) "within a bundle")
    (is (= 1 (count (replies w ["/n_free" 7]))))))

(deftest nodes-move
  (let [w (booted)]
    (doseq [id [1 2 3]] (ask w ["/g_new" id 1 0]))
    (is (= [["/n_move" 3 0 -1 1 1 -1 -1]] (ask w ["/n_before" 3 1])))
    (is (= [["/n_move" 3 0 1 2 1 -1 -1]] (ask w ["/n_after" 3 1])))
    (is (= [["/n_move" 2 1 -1 -1 1 -1 -1]] (ask w ["/g_head" 1 2])))
    (is (= [["/n_move" 1 0 3 -1 1 2 2]] (ask w ["/n_order" 1 0 3 1])) "the first, whose group stays, is not told")
    (testing "a group put into itself is nowhere, but keeps its id"
      (ask w ["/g_head" 3 3])
      (is (= [["/g_queryTree.reply" 0 0 1 1 1 2 0]] (ask w ["/g_queryTree" 0 0])))
      (is (= :espalier.error/server-crashed
             (try (ask w ["/g_queryTree" 3 0]) (catch clojure.lang.ExceptionInfo e (error/code e))))))))

(deftest nodes-pause-and-go-on
  (let [w (with-defs (booted) plain)]
    (ask w ["/s_new" "plain" 10])
    (is (= [["/n_off" 10 0 -1 -1 0]] (ask w ["/n_run" 10 0])))
    (is (= [] (ask w ["/n_run" 10 0])))
    (is (= [["/n_on" 10 0 -1 -1 0]] (ask w ["/n_run" 10 1])))
    (testing "one that is paused in the block in which it is made does not go on in that block"
      (is (= [["/n_go" 11 0 -1 10 0] ["/n_off" 11 0 -1 10 0]]
             (ask w {:packets [["/s_new" "plain" 11 0 0] ["/n_run" 11 0] ["/n_run" 11 1]]})))
      (is (= [["/n_go" 12 0 -1 11 0] ["/n_off" 12 0 -1 11 0] ["/n_off" 12 0 -1 11 0]]
             (ask w {:packets [["/s_new" "plain" 12 0 0] ["/n_run" 12 0 12 0]]})) "twice is told twice"))))

(deftest there-are-only-so-many-nodes
  (let [w (booted {:maximum-node-count 4})]
    (is (= [3 1] (map count [(filter #(= "/n_go" (first %)) (replies w {:packets (for [id [1 2 3 4]] ["/g_new" id 0 0])}))
                             (filter #(= "too many nodes" (peek %)) (replies w ["/g_new" 9 0 0]))])))))

(deftest ten-thousand-nodes-are-as-cheap-as-ten
  (let [w    (with-defs (booted {:maximum-node-count 16384}) plain)
        make (fn [ids] (doseq [part (partition-all 500 ids)] (ask w {:packets (for [id part] ["/s_new" "plain" id 1 0])})))
        move (fn [] (let [t (System/nanoTime)] (dotimes [_ 300] (ask w ["/n_order" 0 0 1009 1001])) (- (System/nanoTime) t)))]
    (make (range 1000 1010))
    (move)
    (let [few (move)]
      (make (range 1010 11000))
      (is (< (move) (* 20 few)) "a move looks at neighbours, not at all"))))

;; ---- controls

(deftest controls-are-set-mapped-and-told
  (let [w    (with-defs (booted) plain)
        tree (fn [] (drop 8 (first (ask w ["/g_queryTree" 0 1]))))
        f    float]
    (ask w ["/s_new" "plain" 10 0 0 "freq" 220 "amps" [(f 1) "c7" (f 3)]])
    (is (= ["out" (f 0) "freq" (f 220) "amps" (f 1) 3 "c7" 4 (f 3)] (tree)))
    (ask w ["/n_set" 10 "amps" [5 6 7 8] 0 "a3" "none" 4])
    (is (= ["out" "a3" "freq" (f 220) "amps" (f 5) 3 (f 6) 4 (f 7)] (tree)) "by name an array ends where its control does")
    (ask w ["/n_map" 10 "freq" 9 "out" -1])
    (ask w ["/n_setn" 10 2 2 0.5 0.25])
    (is (= ["out" (f 0) "freq" "c9" "amps" (f 0.5) 3 (f 0.25) 4 (f 7)] (tree)))
    (is (= [["/n_set" 10 "freq" (f 220) 2 (f 0.5) 99 (f 0)]] (ask w ["/s_get" 10 "freq" 2 99])) "what was set, not what is mapped")
    (is (= [["/n_setn" 10 "amps" 4 (f 0.5) (f 0.25) (f 7) (f 0)]] (ask w ["/s_getn" 10 "amps" 4])))
    (testing "a group sets all below"
      (ask w ["/n_set" 0 "freq" 55])
      (is (= [["/n_set" 10 "freq" (f 55)]] (ask w ["/s_get" 10 "freq"]))))
    (testing "of what is too long for one reply the server says so"
      (is (= "buffer overflow" (peek (first (replies w ["/s_getn" 10 0 16000]))))))))

;; ---- buses and buffers

(deftest buses-keep-floats
  (let [w (booted {:control-bus-channel-count 64})]
    (ask w ["/c_set" 3 0.1 63 2])
    (ask w ["/c_setn" 5 2 7 8])
    (ask w ["/c_fill" 60 100 9])
    (is (= [["/c_set" 3 (float 0.1) 63 (float 9)]] (ask w ["/c_get" 3 63])))
    (is (= [["/c_setn" 4 3 (float 0) (float 7) (float 8)]] (ask w ["/c_getn" 4 3])))
    (is (= "index out of range" (peek (first (replies w ["/c_getn" 63 2])))))))

(deftest buffers-are-there-a-block-later
  (let [w        (booted)
        [w1 out] (model/step @w :me (bytes-of {:packets [["/b_alloc" 4 8 2] ["/b_query" 4]]}) (:now @w))]
    (is (= [["/b_info" 4 0 0 (float 0)]] (said out)) "what stands behind it comes before it is done")
    (reset! w w1)
    (is (= [["/done" "/b_alloc" 4]] (later w 10)))
    (is (= [["/b_info" 4 8 2 (float 48000)]] (ask w ["/b_query" 4])))
    (ask w ["/b_setn" 4 14 5 1 2 3 4 5])
    (is (= [["/b_setn" 4 13 3 (float 0) (float 1) (float 2)]] (ask w ["/b_getn" 4 13 3])) "clipped at its end")
    (is (= "index out of range" (peek (first (replies w ["/b_get" 4 16])))))
    (is (= [["/done" "/b_zero" 4] ["/b_set" 4 14 (float 0)]]
           (into (ask w ["/b_zero" 4]) (ask w ["/b_get" 4 14]))))))

(deftest completions-come-before-the-done
  (let [w (booted)]
    (is (= [["/b_info" 4 8 1 (float 48000)] ["/done" "/b_alloc" 4] ["/synced" 7]]
           (ask w {:packets [["/b_alloc" 4 8 1 (bytes-of ["/b_query" 4])] ["/sync" 7]]})))))

(deftest waves-are-generated
  (let [w (booted)]
    (ask w ["/b_alloc" 0 8 1])
    (is (= [["/done" "/b_gen" 0]] (ask w ["/b_gen" 0 "sine1" 4 1])))
    (let [[[_ _ _ _ & xs]] (ask w ["/b_getn" 0 0 8])]
      (is (every? true? (map (fn [i x] (< (Math/abs (- (double x) (Math/sin (* Math/PI 0.25 (double i))))) 1e-6)) (range) xs))))
    (ask w ["/b_gen" 0 "normalize" 0.5])
    (is (= (float 0.5) (peek (first (ask w ["/b_get" 0 2])))))))

;; ---- SynthDefs

(deftest synthdefs-come-and-go
  (let [w (booted)]
    (is (= [["/done" "/d_recv"]] (ask w ["/d_recv" (synthdef-file/encode [plain])])))
    (ask w ["/s_new" "plain" 10])
    (testing "one that is in use is removed when it is not any more"
      (is (= [] (ask w ["/d_free" "plain"])))
      (is (= [["/n_end" 10 0 -1 -1 0] ["/d_removed" "plain"]] (ask w ["/n_free" 10]))))
    (testing "what the server does not take it says in a line, and it is done"
      (let [strange (assoc-in plain [:ugens 0 :class] "NoSuchUGen")]
        (is (= ["exception in GraphDef_Recv: UGen 'NoSuchUGen' not installed." ["/done" "/d_recv"]]
               (ask w ["/d_recv" (synthdef-file/encode [strange])])))))
    (is (= [["/done" "/d_recv"]] (ask w ["/d_recv" (byte-array 12)])))
    (is (= ["/fail" "/d_recv" "failed"] (first (replies w ["/d_recv"]))))))

;; ---- logins

(deftest clients-log-in-and-are-told
  (let [w (booted {:maximum-logins 2})]
    (is (= [["/fail" "/notify" "notify: already registered\n" 0]] (replies w ["/notify" 1])))
    (is (= [["/done" "/notify" 1 2]] (ask w ["/notify" 1] :you)))
    (is (= ["/fail" "/notify" "too many users\n"] (first (ask w ["/notify" 1] :third))))
    (let [[_ out] (model/step @w :me (bytes-of ["/g_new" 1 0 0]) (:now @w))]
      (is (= #{:me :you} (set (map :to out)))))
    (is (= [["/done" "/notify"]] (ask w ["/notify" 0])))
    (is (= [["/done" "/notify" 0 2]] (ask w ["/notify" 1 1] :third)) "a wish that is taken")))

(deftest notifications-beyond-what-a-block-holds-are-lost
  (let [w (booted {:maximum-node-count 4096})]
    (ask w {:packets (for [id (range 1 1501)] ["/g_new" id 0 0])})
    (is (= 1023 (count (ask w ["/g_freeAll" 0]))))))

;; ---- time

(deftest bundles-wait-for-their-time
  (let [w (booted)]
    (is (= [] (ask w {:at (in-ms w 30) :packets [["/g_new" 2 0 0]]})))
    (is (= [] (ask w {:at (in-ms w 10) :packets [["/g_new" 1 0 0] ["/sync" 5]]})))
    (is (= [] (later w 5)))
    (is (= [["/n_go" 1 0 -1 -1 1 -1 -1] ["/synced" 5]] (later w 10)))
    (is (= [["/n_go" 2 0 -1 1 1 -1 -1]] (later w 100)))
    (testing "a late one is carried out, and that is printed"
      (let [said (ask w {:at (in-ms w -2000) :packets [["/n_free" 2]]})]
        (is (re-matches #"late 2\.00\d+" (first said)))
        (is (= "/n_end" (first (second said))))))
    (testing "those within another go by their own time"
      (is (= [["/n_go" 3 0 -1 1 1 -1 -1]]
             (ask w {:at (in-ms w 50) :packets [{:packets [["/g_new" 3 0 0]]}]}))))
    (testing "and all can be dropped"
      (ask w {:at (in-ms w 10) :packets [["/g_new" 9 0 0]]})
      (ask w ["/clearSched"])
      (is (= [] (later w 100))))))

(deftest what-cannot-be-carried-out-is-skipped
  (let [w (booted)]
    (ask w {:at (in-ms w 10) :packets [["/g_new" 1 0 0]]})
    (ask w {:at (in-ms w 20) :packets [["/g_new" 2 0 0]]})
    (swap! w model/skip)
    (is (= [["/n_go" 2 0 -1 -1 1 -1 -1]] (later w 100)) "what is next, and no more")))

(deftest envelopes-end-their-synths
  (let [w     (with-defs (booted) breath line listener)
        ended (fn [ms] (mapv second (filter #(= "/n_end" (first %)) (later w ms))))]
    (testing "when their time is over"
      (ask w ["/s_new" "line" 10 0 0 "dur" 0.1])
      (is (= [] (ended 199)))
      (is (= [10] (ended 4))))
    (testing "when the gate has closed"
      (ask w ["/s_new" "breath" 11 0 0])
      (is (= [] (ended 5000)))
      (ask w ["/n_set" 11 "gate" 0])
      (is (= [] (ended 98)))
      (is (= [11] (ended 6))))
    (testing "a pause does not count"
      (ask w ["/s_new" "line" 12 0 0 "dur" 0.1])
      (is (= [] (ended 100)))
      (ask w ["/n_run" 12 0])
      (is (= [] (ended 5000)))
      (ask w ["/n_run" 12 1])
      (is (= [] (ended 98)))
      (is (= [12] (ended 6))))
    (testing "nor does that of a group"
      (ask w ["/g_new" 1 0 0])
      (ask w ["/s_new" "line" 13 0 1 "dur" 0.1])
      (ask w ["/n_run" 1 0])
      (is (= [] (ended 5000)))
      (ask w ["/n_run" 1 1])
      (is (= [13] (ended 205))))
    (testing "where the time is in a control that reads a bus, nobody knows"
      (ask w ["/s_new" "line" 14 0 0 "dur" "c3"])
      (ask w ["/s_new" "listener" 15 0 0])
      (is (= [] (ended 10000)))
      (is (= [{:id 14, :synthdef "line", :ugen "Line"} {:id 15, :synthdef "listener", :ugen "DetectSilence"}]
             (end/unknown @w))))
    (testing "a gate below -1 says how long it may take"
      (ask w ["/s_new" "breath" 16 0 0])
      (is (= [] (ended 1000)))
      (ask w ["/n_set" 16 "gate" -1.05])
      (is (= [] (ended 48)))
      (is (= [16] (ended 6))))))

(deftest what-is-done-when-a-synth-is-done
  (doseq [[action told] {0  []
                         1  [["/n_off" 3 1 2 4 0]]
                         2  [["/n_end" 3 1 2 4 0]]
                         3  [["/n_end" 2 1 -1 3 0] ["/n_end" 3 1 -1 4 0]]
                         4  [["/n_end" 4 1 3 -1 0] ["/n_end" 3 1 2 -1 0]]
                         9  [["/n_off" 2 1 -1 3 0] ["/n_end" 3 1 2 4 0]]
                         10 [["/n_off" 4 1 3 -1 0] ["/n_end" 3 1 2 4 0]]
                         13 [["/n_end" 4 1 3 -1 0] ["/n_end" 2 1 -1 3 0] ["/n_end" 3 1 -1 -1 0]]
                         14 [["/n_end" 2 -1 -1 -1 0] ["/n_end" 3 -1 -1 -1 0] ["/n_end" 4 -1 -1 -1 0] ["/n_end" 1 0 -1 -1 1 -1 -1]]}]
    (let [w (with-defs (booted) plain line)]
      (ask w {:packets [["/g_new" 1 0 0] ["/s_new" "plain" 2 1 1] ["/s_new" "line" 3 1 1 "act" action] ["/s_new" "plain" 4 1 1]]})
      (is (= told (later w 500)) (str "done action " action)))))

(deftest the-same-world-does-the-same-again
  (let [w      (with-defs (booted) line)
        packet (bytes-of {:packets [["/s_new" "line" 10 0 0] ["/b_alloc" 0 4 1] ["/b_gen" 0 "sine1" 7 1 0.5]]})
        run    (fn [] (let [[w1 out1] (model/step @w :me packet (:now @w))
                            [w2 out2] (model/advance w1 (+ (long (:now w1)) (long 4294967296)) model/no-files)]
                        [(said out1) (said out2) (keys (:nodes w2))]))]
    (is (= (run) (run)))))

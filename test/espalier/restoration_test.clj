(ns espalier.restoration-test
  "What a client has on a server, made so again: on the next server after the old one has died, and from
  snapshots."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.java.shell :as shell]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.restoration :as restoration]
   [espalier.servers :as servers]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer [out:ar sin-osc:ar]])
  (:import
   (java.io File)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private silent {:amp 0})

(defn- voices [n]
  (for [i (range n)]
    [:synth {:key [:voice i], :def instruments/organ} (assoc silent :freq (+ 100 i))]))

(defn- piece [n]
  {:buses   {:verb 2, :lfo :control}
   :buffers {:table {:samples (float-array (range 100))}}
   :tree    [[:group {:key :mix}
              (voices n)
              [:synth {:key :wobbling, :def instruments/organ} (assoc silent :freq [:map :lfo], :out :verb)]]
             [:group {:key :waiting, :paused true}
              [:synth {:key :late, :def instruments/bass} silent]]]})

(defn- die!
  "Has the server of a handle end, not asked by it."
  [s]
  (if (= :rehearsal (:executable (:options (datafy s))))
    (sc/quit! s)
    (do (servers/signal! "KILL" (servers/pid s))
        (servers/eventually #(= :lost (sc/boot-status s))))))

(defn- next-server!
  "Restores on a fresh server what the login of a handle has."
  [s opts]
  (let [remembered (restoration/remember s (handle/session s))]
    (die! s)
    (sc/boot! s)
    (restoration/restore-login! s remembered opts)))

(defn- each
  "Each engine once, and the stand-in."
  []
  (distinct (concat servers/udp-kinds (take 1 servers/rehearsals))))

(defn- samples [b n] (vec (sc/get-sample-range b 0 n)))

;; ---- on the next server

(deftest all-is-as-it-was-on-the-next-server
  (servers/each-kind (each) {:memory-size 65536}
    (fn [s]
      (let [tree   (piece 20)
            _      (sc/reconcile! s tree)
            by-key (sc/node s [:voice 3])
            b      (sc/add-buffer! s {:frame-count 64, :channel-count 2})
            buses  (sc/add-bus-group! s {:count 3})
            group  (sc/add-group! s)
            by-hand (sc/add-synth! s instruments/organ silent {:target group})]
        (sc/set-sample-range! b 5 [0.5 0.25])
        (sc/copy-buffer! b b {:from-sample 5, :to-sample 50, :sample-count 2})
        (sc/set-buses! buses [0.5 0.25 0.125])
        (sc/set-controls! by-hand {:freq 77})
        (let [before (sc/query-tree s), sent (samples b 128)]
          (testing "with what was made by hand, where that is asked for"
            (let [{:keys [restored not-restored ids]} (next-server! s {:by-hand true})]
              (is (= {:synthdefs 2, :buffers 2, :buses 3, :nodes 26} restored))
              (is (= [{} []] [ids not-restored])))
            (is (= before (sc/query-tree s)) "ids, keys, order, controls, and what is paused")
            (is (= [] (sc/drift s)))
            (is (= sent (samples b 128)))
            (is (= [0.5 0.25 0.125] (sc/get-buses buses)))
            (is (= {:freq 103.0} (sc/get-controls by-key [:freq])) "entities of before are valid")
            (is (= {:freq 77.0} (sc/get-controls by-hand [:freq])))
            (is (= 0 (:bundle-count (sc/reconcile! s tree)))))
          (testing "new ones get other numbers"
            (is (not (contains? (set (map :id (sc/children (sc/default-group s)))) (:id (sc/add-group! s)))))
            (is (not= (:id b) (:id (sc/add-buffer! s {:frame-count 8})))))
          (testing "without it elsewhere, and again"
            (is (= 24 (:nodes (:restored (next-server! s {})))))
            (is (= [] (sc/drift s)))
            (is (= :freed-entity (servers/error-of #(sc/set-controls! by-hand {:freq 78}))))
            (is (= {:freq 103.0} (sc/get-controls by-key [:freq])))
            (sc/free! b)
            (is (= :freed-entity (servers/error-of #(samples b 1))))
            (is (= 1 (:bundle-count (sc/reconcile! s nil))))
            (is (= [] (sc/children (sc/default-group s))))))))))

(deftest what-was-set-by-hand-is-as-it-was-declared
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (sc/reconcile! s [:synth {:key :a, :def instruments/organ} {:freq 200, :amp 0}])
      (sc/set-controls! (sc/node s :a) {:freq 300, :pan 0.5})
      (sc/reconcile! s [[:synth {:key :a, :def instruments/organ} {:freq 200, :amp 0}] [:synth {:key :bell, :def instruments/bell} {:amp 0}]])
      (sc/free! (sc/node s :bell) {:confirm true})
      (sc/set-controls! (sc/node s :a) {:freq 300})
      (next-server! s {})
      (is (= {:freq 200.0, :pan 0.5} (sc/get-controls (sc/node s :a) [:freq :pan])))
      (is (some? (sc/node s :bell)) "what had ended is there again")
      (is (= [] (sc/drift s))))))

(deftest what-was-declared-in-groups
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (let [by-hand (sc/add-group! s {:target (sc/add-group! s)})]
        (sc/reconcile! s [[:group {:key :inner}] (voices 1)] {:root by-hand})
        (sc/reconcile! s [:synth {:key :inmost, :def instruments/organ} silent] {:root (sc/node s :inner)})
        (let [before (sc/query-tree s)]
          (is (= [] (:not-restored (next-server! s {}))))
          (is (= before (sc/query-tree s)))
          (is (= [] (sc/drift s)))
          (is (= 2 (count (sc/repair! s)))))))))

(deftest a-follower-goes-on
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (let [tree (atom (voices 3))]
        (with-open [f ^java.io.Closeable (sc/follow! s tree)]
          (next-server! s {})
          (reset! tree (voices 4))
          (sc/await-followed f)
          (is (= 4 (count (sc/children (sc/default-group s)))))
          (is (= [] (sc/drift s))))))))

;; ---- what cannot be

(deftest what-cannot-be-restored-is-named
  (servers/each-kind (take 2 (each)) {}
    (fn [s]
      (let [sound  (File/createTempFile "espalier" ".wav")
            source (sc/add-buffer! s {:samples (map #(/ % 128.0) (range 128))})]
        (try
          (sc/write-buffer! source (str sound) {:header-format :wav, :sample-format :float})
          (let [file   (sc/add-buffer! s {:path (str sound), :start-frame 10, :frame-count 100})
                filled (sc/add-buffer! s {:frame-count 4, :restore-with (fn [b] (sc/fill-samples! b 0 4 0.5))})
                broken (sc/add-buffer! s {:frame-count 4, :restore-with (fn [_] (throw (ex-info "no more" {})))})
                read   (samples file 100)]
            (sc/fill-samples! file 0 3 7.0)
            (is (= [{:kind :buffer, :id (:id broken), :why "the function that fills it has thrown: no more"}] (:not-restored (next-server! s {}))))
            (is (= (into [7.0 7.0 7.0] (drop 3 read)) (samples file 100)))
            (is (= [0.5 0.5 0.5 0.5] (samples filled 4)))
            (.delete sound)
            (let [{:keys [restored not-restored]} (next-server! s {})
                  lacks (first (filter #(= (:id file) (:id %)) not-restored))]
              (is (= [:buffer 2] [(:kind lacks) (count not-restored)]))
              (is (re-find #"espalier.*wav" (:why lacks)))
              (is (= 2 (:buffers restored)))
              (is (= (repeat 100 0.0) (samples file 100)) "it is there, and silent")))
          (finally (.delete sound)))))))

(deftest a-recording-is-not-taken-up-again
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (let [sound (File/createTempFile "espalier" ".wav")]
        (try
          (sc/record! s (str sound))
          (is (= {:synthdefs 0, :buffers 0, :buses 0, :nodes 0} (:restored (next-server! s {:by-hand true}))))
          (is (= 1 (:synth-count (update (sc/status s) :synth-count inc))))
          (finally (.delete sound)))))))

;; ---- snapshots

(defn- same
  "A snapshot without what another server has otherwise."
  [x]
  (dissoc x :engine :options))

(deftest a-snapshot-is-restored-on-any-server
  (doseq [[from to] (partition 2 1 (concat (each) (take 1 (each))))]
    (testing [(:executable from) (:executable to)]
      (sc/with-server [s (servers/options from {:memory-size 65536})]
        (sc/with-server [other (servers/options to {:memory-size 65536})]
          (let [tree (piece 5)
                _    (sc/reconcile! s tree)
                b    (sc/add-buffer! s {:frame-count 512})
                y    (sc/add-synth! s instruments/organ silent {:target (sc/add-group! s)})]
            (sc/generate! b :sine1 {:amplitudes [1 0.5]})
            (sc/set-controls! y {:freq 77})
            (sc/set-controls! (sc/node s :late) {:amp 0.5})
            (sc/set-bus! (sc/add-bus! s) 0.5)
            (let [x (edn/read-string (pr-str (sc/snapshot s)))]
              (is (= x (sc/snapshot s)) "plain EDN")
              (sc/reconcile! other [:synth {:key :old, :def instruments/bass} silent])
              (let [old (sc/node other :old), old-buffer (sc/add-buffer! other {:frame-count 7})]
                (is (= {:synthdefs 2, :buffers 2, :buses 1, :nodes 11} (:restored (sc/restore! other x))))
                (is (= [:freed-entity :freed-entity] (map servers/error-of [#(sc/query-buffer old-buffer) #(sc/set-controls! old {:amp 0})]))
                    "what was there is not any more"))
              (is (= (sc/query-tree s) (sc/query-tree other)))
              (is (= (same x) (same (sc/snapshot other))))
              (is (= (sc/drift s) (sc/drift other)) "what was set by hand is as it was")
              (is (= {:not-restored [], :ids {}} (select-keys (sc/restore! other x) [:not-restored :ids])) "twice is once")
              (is (= (same x) (same (sc/snapshot other))))
              (is (= 1 (count (:edits (sc/reconcile! other tree)))) "what was declared goes on"))))))))

(deftest what-plays-of-a-synthdef-that-was-freed
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (sc/play s (* 0.001 (sin-osc:ar 440)))
      (let [x (sc/snapshot s), tree (sc/query-tree s)]
        (is (= [{} 1] [(:synthdefs x) (count (:freed x))]))
        (is (= [] (:not-restored (sc/restore! s x))))
        (is (= tree (sc/query-tree s)))
        (is (= x (sc/snapshot s)))))))

(defsynth ^:private chord
  "Its last control is an array: supernova does not tell what is mapped of it."
  [amp 0, freqs [220 330]]
  (out:ar 0 (* amp (sin-osc:ar freqs))))

(deftest what-is-mapped-though-the-server-does-not-tell
  (servers/each-kind (take 2 (each)) {}
    (fn [s]
      (sc/add-synthdefs! s chord)
      (let [bus (sc/add-bus! s), y (sc/add-synth! s chord {:freqs [440 550]})]
        (sc/map-controls! y {:amp bus})
        (let [x (sc/snapshot s)]
          (is (= [{"amp" (sc/map-symbol bus), "freqs" [440.0 550.0]}] (map :controls (:nodes x))))
          (sc/restore! s x)
          (is (= x (sc/snapshot s))))))))

(deftest in-another-jvm-on-another-engine
  (let [file (File/createTempFile "espalier" ".edn")]
    (try
      (sc/with-server [s (servers/options {})]
        (sc/reconcile! s (piece 8))
        (let [x (sc/snapshot s), tree (sc/query-tree s)]
          (spit file (pr-str x))
          (let [{:keys [out err exit]} (shell/sh (str (io/file (System/getProperty "java.home") "bin" "java"))
                                                 "-cp" (System/getProperty "java.class.path") "clojure.main" "-m" "espalier.restoring-child"
                                                 (pr-str (servers/options {:executable "supernova"} {:memory-size 65536})) (str file))
                [restored not-restored their-tree again] (edn/read-string out)]
            (is (= 0 exit) err)
            (is (= [{:synthdefs 2, :buffers 1, :buses 0, :nodes 12} []] [restored not-restored]))
            (is (= tree their-tree))
            (is (= (same x) (same again))))))
      (finally (.delete file)))))

(deftest another-client-gets-other-numbers
  (servers/each-kind (take 2 (each)) {:maximum-logins 4, :memory-size 65536}
    (fn [s]
      (with-open [b ^java.io.Closeable (sc/server), c ^java.io.Closeable (sc/server)]
        (sc/connect! b (servers/address s))
        (sc/connect! c (servers/address s))
        (let [tree (piece 2), shape (fn [client] (mapv (juxt :key :kind) (rest (tree-seq :children :children (sc/query-tree client {:group (sc/default-group client)})))))]
          (sc/reconcile! b tree)
          (let [{:keys [ids not-restored]} (sc/restore! c (sc/snapshot b))]
            (is (= [] not-restored))
            (is (= #{:nodes :buffers :control-buses :audio-buses} (set (keys ids))))
            (is (= (shape b) (shape c)))
            (is (= (get-in ids [:audio-buses (long (:out (sc/get-controls (sc/node b :wobbling) [:out])))])
                   (long (:out (sc/get-controls (sc/node c :wobbling) [:out]))))
                "the number of a bus follows")
            (is (= [] (sc/drift c)))
            (is (= 0 (:bundle-count (sc/reconcile! c tree))) "names of buses and buffers mean the new ones")
            (is (= [] (sc/drift b)) "others keep what is theirs")))))))

(deftest what-is-no-snapshot-changes-nothing
  (servers/each-kind (take 1 (each)) {}
    (fn [s]
      (sc/reconcile! s (voices 1))
      (servers/refused s [[:invalid-snapshot #(sc/restore! s {})]
                          [:invalid-snapshot #(sc/restore! s {:espalier/snapshot 2})]
                          [:unknown-option #(sc/restore! s {} {:timeout 5})]])
      (is (= [] (sc/drift s)))))
  (is (= :server-offline (servers/error-of #(sc/snapshot (sc/server))))))

;; ---- any session

(defn- a-session!
  "Gives a client whatever comes by a seed: groups, synths, settings, mappings, buffers, buses, some of them
  freed again, some of them declared."
  [s seed]
  (let [random (java.util.Random. seed)
        below  (fn [n] (.nextInt random (int n)))
        one    (fn [xs] (nth xs (below (count xs))))
        value  (fn [] (/ (double (below 1000)) 8))
        some?  (fn [percent] (< (long (below 100)) (long percent)))
        synth  (fn [more] [:synth (merge {:def (one [instruments/organ instruments/lead])} more) {:freq (value), :amp 0}])
        buses  (vec (repeatedly 3 #(sc/add-bus! s)))
        _      (sc/add-synthdefs! s [instruments/organ instruments/lead])
        groups (reduce (fn [groups _] (conj groups (sc/add-group! s {:target (one groups), :action (one [:head :tail])}))) [(sc/default-group s)] (range 5))
        synths (vec (repeatedly 12 #(sc/add-synth! s (one [instruments/organ instruments/lead]) {:freq (value), :amp 0} {:target (one groups), :action (one [:head :tail])})))
        buffers (vec (repeatedly 4 #(sc/add-buffer! s {:frame-count 256, :channel-count (inc (long (below 2)))})))]
    (dotimes [_ 60]
      (case (long (below 10))
        0 (sc/set-controls! (one synths) {:freq (value)})
        1 (sc/map-controls! (one synths) {:pan (one (conj buses nil))})
        2 (sc/set-bus! (one buses) (value))
        3 (let [start (below 200)] (sc/set-sample-range! (one buffers) start (repeatedly (inc (long (below 50))) value)))
        4 (sc/fill-samples! (one buffers) (below 200) (inc (long (below 50))) (value))
        5 (sc/generate! (one buffers) :sine1 {:amplitudes [1 (value)], :clear (some? 50), :wavetable false})
        6 (let [b (one buffers)] (sc/copy-buffer! (one buffers) b {:to-sample (below 100), :sample-count (below 100)}))
        7 (sc/move! (one synths) (one [:head :tail]) (one groups))
        8 (sc/pause! (one synths))
        9 (sc/resume! (one synths))))
    (sc/free! (one buffers))
    (sc/free! (one buses))
    (sc/free! (one synths) {:confirm true})
    (sc/reconcile! s {:buses   {:verb 2, :lfo :control}
                      :buffers {:table {:samples (vec (repeatedly 20 value))}}
                      :tree    [[:group {:key :mix, :paused (some? 20)} (repeatedly 4 #(synth {}))]
                                (map #(synth {:key [:voice %]}) (range (below 5)))]})))

(defn- all-samples [s]
  (into {} (map (fn [[id {:keys [frame-count channel-count]}]]
                  (let [n (* (long frame-count) (long channel-count))]
                    [id (mapcat (fn [from] (drop 3 (sc/request! s ["/b_getn" id from (min 256 (- n (long from)))] ["/b_setn" id from]))) (range 0 n 256))])))
        (:buffers (sc/snapshot s))))

(defn- comes-back!
  "Asserts that whatever a client has by a seed is the same on another server, and again on that one."
  [s other seed]
  (testing (str "seed " seed)
    (a-session! s seed)
    (let [x (sc/snapshot s), {:keys [not-restored ids]} (sc/restore! other (edn/read-string (pr-str x)))]
      (is (= [[] {}] [not-restored ids]))
      (is (= (same x) (same (sc/snapshot other))))
      (is (= (sc/query-tree s) (sc/query-tree other)))
      (is (= (all-samples s) (all-samples other)))
      ;; For the next seed all begins anew.
      (let [nothing (merge x {:synthdefs {}, :blocks {:buffer [], :control-bus [], :audio-bus []}, :buffers {}, :bus-values {}, :nodes [], :declared {}})]
        (is (= {:synthdefs 0, :buffers 0, :buses 0, :nodes 0} (:restored (sc/restore! s nothing))))
        (is (= [] (sc/children (sc/default-group s))))))))

(deftest whatever-a-client-has-comes-back
  (sc/with-server [s (servers/options (first servers/rehearsals))]
    (sc/with-server [other (servers/options (first servers/rehearsals))]
      (run! #(comes-back! s other %) [1 2 3]))))

(deftest ^:soak many-sessions-come-back
  (doseq [[from to] (partition 2 1 (concat (each) (take 1 (each))))]
    (testing [(:executable from) (:executable to)]
      (sc/with-server [s (servers/options from {:memory-size 65536})]
        (sc/with-server [other (servers/options to {:memory-size 65536})]
          (let [fresh (mod (System/nanoTime) 1000000000)]
            (println "  a fresh seed of sessions:" fresh)
            (run! #(comes-back! s other %) (concat (range 100 110) (range fresh (+ (long fresh) 20))))))))))

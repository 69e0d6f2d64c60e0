(ns ^:many-servers espalier.nodes-test
  "Groups and synths on every kind of server: what a call says that it does, the
  server must say too. One server of each kind plays all of these."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest do-report is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [code-of error-of eventually last-n refused refuses sent-after]])
  (:import
   (java.time Duration Instant)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

;; ---- the servers

(def ^:private synthdefs
  (map #(io/resource (str "golden/instruments/" % ".scsyndef")) ["bell" "pad"]))

(def ^:private handles (atom []))

(defn- with-each-kind [tests]
  (servers/keeping handles (map servers/options servers/kinds) tests))

(use-fixtures :once with-each-kind)

(defn- supernova? [s] (= :supernova (:engine (datafy s))))

(defn- each-server
  "Calls `f` with each server, which has no nodes but the default group. One that a
  test has killed is booted again for the next."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (str (name (:engine (datafy s))) " " (name (:protocol (:options (datafy s)))))
      (sc/reset-server! s)
      (sc/add-synthdefs! s synthdefs)
      (try (f s)
           (catch Throwable e (do-report {:type :error, :expected nil, :actual e})))
      (is (= :online (sc/boot-status s))))))

(defn- another-than [s] (first (remove #(identical? s %) @handles)))

;; ---- what is seen

(defn- ids-in
  "The ids of the children of a group, as the server has them."
  [s group]
  (mapv :id (:children (sc/query-tree s {:group group}))))

(defn- told
  "The controls of a synth as the server's tree has them: mappings too."
  [{:keys [server id]}]
  (loop [[node & more] [(sc/query-tree server)]]
    (cond (nil? node)       :no-such-synth
          (= id (:id node)) (:controls node)
          :else             (recur (concat more (:children node))))))

(defn- heard
  "Listens to messages that fit `pattern`. Returns a function that waits for the next."
  [s pattern]
  (let [queue (LinkedBlockingQueue.)]
    (sc/on-osc! s pattern #(.put queue %))
    #(.poll queue 5 TimeUnit/SECONDS)))

(defn- in-ms [n] (Duration/ofMillis n))

(defn- pad
  "A pad that is there, and ends soon when it is released."
  ([s] (pad s {} {}))
  ([s controls] (pad s controls {}))
  ([s controls opts] (sc/add-synth! s :pad (merge {:attack 0.01, :release 0.01} controls) (merge {:confirm true} opts))))

;; ---- making

(deftest synths-are-put-where-they-are-told
  (each-server
    (fn [s]
      (let [g (sc/add-group! s {:action :tail})
            a (sc/add-synth! s :pad {} {:target g})
            b (sc/add-synth! s "pad" {} {:target (:id g), :action :tail})
            c (sc/add-synth! s 'pad {} {:target a, :action :before})
            d (sc/add-synth! s {:kind :synthdef, :name "pad"} {} {:target (:id a), :action :after})]
        (is (= (mapv :id [c a d b]) (ids-in s g)))
        (is (= ["pad"] (distinct (map :def (:children (sc/query-tree s {:group g}))))))
        (let [e (sc/add-synth! s :pad {} {:target b, :action :replace, :confirm true})]
          (is (= (mapv :id [c a d e]) (ids-in s g))))
        (testing "without a word where, at the head of the default group"
          (let [f (sc/add-synth! s :pad)]
            (is (= [(:id f) (:id g)] (ids-in s 1)))))))))

(deftest what-was-replaced-has-ended
  (each-server
    (fn [s]
      (let [b (pad s)
            e (sc/add-synth! s :pad {} {:target b, :action :replace, :confirm true})]
        (is (= [(:id e)] (ids-in s 1)))
        (is (= b (sc/await-ended b)))
        (refuses s :freed-entity #(sc/set-controls! b {:amp 0}))
        (is (= :no-such-node (error-of #(sc/query-node s (:id b)))))))))

(deftest groups-are-put-where-they-are-told
  (each-server
    (fn [s]
      (let [a (sc/add-group! s)
            b (sc/add-group! s {:action :tail})
            c (sc/add-group! s {:target a, :action :before})
            d (sc/add-group! s {:target a, :action :after})
            e (sc/add-group! s {:target d})]
        (is (= (mapv :id [c a d b]) (ids-in s (sc/default-group s))))
        (is (= [(:id e)] (ids-in s d)))
        (let [f (sc/add-group! s {:target b, :action :replace, :confirm true})]
          (is (= (mapv :id [c a d f]) (ids-in s 1))))
        (testing "with an id of its own, or one that never comes in turn"
          (let [own       (sc/add-group! s {:id 900000, :confirm true})
                permanent (sc/add-group! s {:permanent true, :confirm true})]
            (is (= 900000 (:id own) (:id (sc/query-node s own))))
            (is (< 1 (:id permanent) 1000))
            (is (= (:id permanent) (:id (sc/query-node s permanent))))))))))

(deftest parallel-groups-are-parallel-on-supernova
  (each-server
    (fn [s]
      (let [p (sc/add-group! s {:parallel true})
            g (sc/add-group! s {:action :tail})
            a (sc/add-synth! s :pad {} {:target p})
            b (sc/add-synth! s :pad {} {:target p, :action :tail})]
        (is (= (supernova? s) (:parallel? (sc/query-node s p))))
        (is (false? (:parallel? (sc/query-node s g))))
        (is (= #{(:id a) (:id b)} (set (ids-in s p))))
        (is (= (:id p) (:parent (sc/query-node s a))))
        (is (re-matches #"#<ParallelGroup \d+>" (str p)))))))

(deftest what-the-server-refuses-is-named
  (each-server
    (fn [s]
      (let [p      (pad s)
            before (sc/query-tree s)]
        (doseq [[code call] [[:no-such-synthdef #(sc/add-synth! s :nosuch {} {:confirm true})]
                             [:no-such-node     #(sc/add-synth! s :pad {} {:target 77777, :confirm true})]
                             [:no-such-node     #(sc/add-group! s {:target 77777, :action :after, :confirm true})]
                             [:duplicate-node   #(sc/add-synth! s :pad {} {:id (:id p), :confirm true})]
                             [:duplicate-node   #(sc/add-group! s {:id (:id p), :confirm true})]
                             [:no-such-node     #(sc/query-node s 77777)]]]
          (is (= code (error-of call))))
        (is (= before (sc/query-tree s)))
        (is (= (:id p) (:id (sc/query-node s p))))))))

(deftest a-place-that-is-not-there-is-named
  (each-server
    (fn [s]
      (let [p      (pad s)
            before (sc/query-tree s)]
        (doseq [call [#(sc/move! p :before 77777 {:confirm true})
                      #(sc/move! p :after 77777 {:confirm true})
                      #(sc/move! p :head 77777 {:confirm true})
                      #(sc/move! p :tail 77777 {:confirm true})
                      #(sc/order! :tail (sc/default-group s) [77777] {:confirm true})
                      #(sc/order! :before p [77777] {:confirm true})]]
          (is (= :no-such-node (error-of call))))
        (is (= before (sc/query-tree s)))))))

(deftest a-group-is-not-made-twice
  (each-server
    (fn [s]
      (let [g (sc/add-group! s {:confirm true})]
        (is (= :duplicate-node (error-of #(sc/add-group! s {:id (:id g), :confirm true}))))))))

;; ---- controls

(deftest controls-take-numbers-arrays-buses-and-buffers
  (each-server
    (fn [s]
      (let [bus    (sc/add-bus! s)
            sound  (sc/add-bus! s {:rate :audio})
            buffer (sc/add-buffer! s {:frame-count 64})
            p      (sc/add-synth! s :pad {:out sound, "freqs" [110 220.5 1/2 440], 5 0.25, :gate true, 'attack (int 3), :release 7N})]
        (is (= {"out" (double (:id sound)), "freqs" [110.0 220.5 0.5 440.0], "amp" 0.25, "gate" 1.0, "attack" 3.0, "release" 7.0}
               (told p)))
        (testing "set again"
          (is (identical? p (sc/set-controls! p {:freqs [1 2], "amp" (float 0.5), 0 bus, 'gate 1})))
          (is (= {"freqs" [1.0 2.0 0.5 440.0], "amp" 0.5, "out" (double (:id bus))}
                 (select-keys (told p) ["freqs" "amp" "out"])))
          (sc/set-controls! p {:out buffer, :amp false, 2 33})
          (is (= {"freqs" [1.0 33.0 0.5 440.0], "amp" 0.0, "out" (double (:id buffer))}
                 (select-keys (told p) ["freqs" "amp" "out"])))
          (is (= p (sc/set-controls! p {}))))
        (testing "strings map"
          (sc/set-controls! p {:amp (sc/map-symbol bus), :freqs [(sc/map-symbol sound) 5 "c3" 6]})
          (is (= {"amp" (str "c" (:id bus)), "freqs" [(str "a" (:id sound)) 5.0 "c3" 6.0]}
                 (select-keys (told p) ["amp" "freqs"])))
          (sc/set-controls! p {:amp 0.125, :freqs [1 2 3 4]})
          (is (= {"amp" 0.125, "freqs" [1.0 2.0 3.0 4.0]} (select-keys (told p) ["amp" "freqs"]))))
        (testing "what 32 bits hold, infinity too"
          (sc/set-controls! p {:attack ##Inf, :release -3.4e38} {:confirm true})
          (is (= {:attack ##Inf, :release -3.4E38} (sc/get-controls p [:attack :release]))))
        (run! sc/free! [bus sound buffer])))))

(deftest a-group-sets-all-synths-in-it
  (each-server
    (fn [s]
      (let [g       (sc/add-group! s)
            inner   (sc/add-group! s {:target g})
            a       (sc/add-synth! s :pad {} {:target g})
            b       (sc/add-synth! s :bell {:decay 60} {:target inner})
            outside (sc/add-synth! s :pad {:amp 0.125} {:action :tail})
            amps    #(mapv (fn [node] (get (told node) "amp")) [a b outside])]
        (is (= g (sc/set-controls! g {:amp 0.5})))
        (is (= [0.5 0.5 0.125] (amps)))
        (sc/set-control-range! g :amp [0.75])
        (is (= [0.75 0.75 0.125] (amps)))
        (let [bus (sc/add-bus! s)]
          (sc/map-controls! g {:amp bus})
          (is (= [(sc/map-symbol bus) (sc/map-symbol bus) 0.125] (amps)))
          (sc/free! bus))))))

(deftest ranges-set-a-control-and-those-behind-it
  (each-server
    (fn [s]
      (let [p (pad s)]
        (is (identical? p (sc/set-control-range! p :freqs [10 20 30 40])))
        (is (= [10.0 20.0 30.0 40.0] (get (told p) "freqs") (sc/get-control-range p :freqs 4)))
        (sc/set-control-range! p 2 (list 21 31.5))
        (is (= [10.0 21.0 31.5 40.0] (sc/get-control-range p "freqs" 4)))
        (sc/set-control-range! p 4 (float-array [41 0.25]))
        (is (= [10.0 21.0 31.5 41.0 0.25] (sc/get-control-range p 1 5)))
        (is (= [21.0 31.5] (sc/get-control-range p 2 2)))))))

(deftest get-controls-says-what-the-server-has
  (each-server
    (fn [s]
      (let [p (pad s {:amp 0.5, :freqs [1 2 3 4]})
            b (sc/add-synth! s :bell {:freq 660, :decay 60} {:confirm true})]
        (is (= {:amp 0.5, "release" 0.01, 2 2.0} (sc/get-controls p [:amp "release" 2])))
        (is (= {} (sc/get-controls p [])))
        (is (= (told b) (sc/get-controls b)))
        (is (= {"out" 0.0, "freq" 660.0, "amp" 0.1, "pan" 0.0, "decay" 60.0} (sc/get-controls b)))
        (testing "of a SynthDef that nobody here has sent"
          (let [unknown (assoc p :def "elsewhere")]
            (is (= :unknown-synthdef (error-of #(sc/get-controls unknown))))
            (is (= {:amp 0.5} (sc/get-controls unknown [:amp])))))
        (testing "of a mapped control, what was set last"
          (sc/map-controls! p {:amp (sc/add-bus! s)})
          (is (= {:amp 0.5} (sc/get-controls p [:amp]))))))))

(deftest get-controls-has-arrays-whole
  (each-server
    (fn [s]
      (let [p (pad s {:freqs [1 2 3 4]})]
        (is (= [1.0 2.0 3.0 4.0] (get (told p) "freqs")))
        (is (= {:freqs [1.0 2.0 3.0 4.0]} (sc/get-controls p [:freqs])))
        (is (= (told p) (sc/get-controls p)))))))

(deftest controls-follow-buses
  (each-server
    (fn [s]
      (let [bus    (sc/add-bus! s)
            sound  (sc/add-bus! s {:rate :audio})
            group  (sc/add-bus-group! s {:count 4})
            sounds (sc/add-bus-group! s {:count 2, :rate :audio})
            names  (fn [e] (mapv sc/map-symbol (sc/members e)))
            p      (pad s {:amp 0.5, :freqs [1 2 3 4]})
            shown  (fn [& ks] (mapv (told p) ks))]
        (is (identical? p (sc/map-controls! p {:amp bus, "release" sound})))
        (is (= [(sc/map-symbol bus) (sc/map-symbol sound)] (shown "amp" "release")))
        (testing "a group of buses, from a control on"
          (sc/map-controls! p {:freqs group})
          (is (= [(names group)] (shown "freqs")))
          (sc/map-controls! p {2 sounds})
          (is (= [(assoc (names group) 1 (first (names sounds)) 2 (second (names sounds)))] (shown "freqs"))))
        (testing "several at once, of each sort"
          (sc/map-controls! p {:amp nil, :release bus, :freqs group, 8 sound} {:confirm true})
          (is (= [0.5 (names group)] (shown "amp" "freqs"))))
        (testing "and are let go"
          (sc/map-controls! p {:release nil, 1 nil, 2 nil, 3 nil, 4 nil})
          (is (= [0.01 [1.0 2.0 3.0 4.0]] (shown "release" "freqs")))
          (is (= p (sc/map-controls! p {}))))
        (testing "and follow indeed"
          (sc/map-controls! p {:gate bus})
          (sc/set-bus! bus 0)
          (is (= p (sc/await-ended p))))
        (run! sc/free! [bus sound group sounds])))))

(deftest an-array-control-is-let-go-whole
  (each-server
    (fn [s]
      (let [group (sc/add-bus-group! s {:count 4})
            p     (pad s {:freqs [1 2 3 4]})]
        (sc/map-controls! p {:freqs group})
        (sc/map-controls! p {:freqs nil})
        (is (= [1.0 2.0 3.0 4.0] (get (told p) "freqs")))
        (sc/free! group)))))

;; ---- the end of nodes

(deftest nodes-are-freed
  (each-server
    (fn [s]
      (let [g (sc/add-group! s)
            a (sc/add-synth! s :pad {} {:target g})
            b (sc/add-synth! s :pad {} {:confirm true})]
        (is (identical? b (sc/free! b)))
        (is (= [(:id g)] (ids-in s 1)))
        (is (= b (sc/await-ended b)))
        (is (= b (sc/free! b) (sc/free! b {:confirm true})) "harmless")
        (is (= g (sc/free! g {:confirm true})))
        (is (= [] (ids-in s 1)))
        (is (= a (sc/await-ended a)) "what is in it goes with it")
        (is (= :no-such-node (error-of #(sc/query-node s (:id a)))))))))

(deftest release-lets-a-gate-close
  (each-server
    (fn [s]
      (let [p (pad s)]
        (is (identical? p (sc/release! p)))
        (is (= p (sc/await-ended p)))
        (is (= :no-such-node (error-of #(sc/query-node s (:id p)))))
        (is (= p (sc/release! p)) "harmless"))
      (testing "a long release goes on for a while"
        (let [p (pad s {:release 30})]
          (sc/release! p {:confirm true})
          (is (= {:gate 0.0} (sc/get-controls p [:gate])))
          (is (= (:id p) (:id (sc/query-node s p))))
          (sc/free! p)))
      (testing "without a gate a synth is freed"
        (let [b (sc/add-synth! s :bell {:decay 60} {:confirm true})]
          (sc/release! b {:confirm true})
          (is (= :no-such-node (error-of #(sc/query-node s (:id b)))))))
      (testing "a group releases what is in it, and stays"
        (let [g (sc/add-group! s)
              p (pad s {} {:target g})]
          (sc/release! g)
          (sc/await-ended p)
          (is (= [] (ids-in s g))))))))

(deftest paused-nodes-stand-still
  (each-server
    (fn [s]
      (let [g   (sc/add-group! s)
            p   (pad s {} {:target g})
            off (heard s "/n_off")
            on  (heard s "/n_on")]
        (is (true? (sc/active? p)))
        (is (identical? p (sc/pause! p {:confirm true})))
        (is (= ["/n_off" (:id p)] (subvec (off) 0 2)))
        (is (eventually #(false? (sc/active? p))))
        (sc/release! p)
        (dotimes [_ 40] (sc/sync! s))
        (is (= (:id p) (:id (sc/query-node s p))) "its release does not begin")
        (is (identical? p (sc/resume! p)))
        (is (= ["/n_on" (:id p)] (subvec (on) 0 2)))
        (is (= p (sc/await-ended p)))
        (testing "a group with what is in it"
          (let [p (pad s {} {:target g})]
            (sc/pause! g)
            (is (= ["/n_off" (:id g)] (subvec (off) 0 2)))
            (sc/release! p)
            (dotimes [_ 40] (sc/sync! s))
            (is (= [(:id p)] (ids-in s g)))
            (sc/resume! g)
            (sc/await-ended p)))))))

(defn- paused-unplayed
  "A group that is paused, and a synth in it that is, and has never played."
  [s]
  (let [g (sc/pause! (sc/add-group! s))]
    [g (sc/pause! (pad s {} {:target g}))]))

(deftest no-pause-is-too-much
  (each-server
    (fn [s]
      (let [online? (fn [] (sc/sync! s) (= :online (sc/boot-status s)))]
        (testing "of a synth that cannot have played"
          (doseq [end [(fn [g p] (sc/resume! p) (sc/resume! g))
                       (fn [g p] (sc/resume! g) (sc/resume! p {:confirm true}) (is (sc/active? p)))
                       (fn [_ p] (sc/free! p))
                       (fn [g _] (sc/free! g))]]
            (let [[g p] (paused-unplayed s)]
              (is (identical? p (sc/pause! p)))
              (is (identical? p (sc/pause! p {:confirm true})))
              (is (false? (sc/active? p)))
              (end g p)
              (is (online?)))))
        (testing "within one moment the last counts"
          (doseq [[plays? calls] {false [sc/pause! sc/pause!], true [sc/pause! sc/pause! sc/resume!]}]
            (let [p (sc/at s {:confirm true}
                      (let [p (sc/add-synth! s :pad)]
                        (run! #(% p) calls)
                        p))]
              (is (= plays? (sc/active? p)))
              (sc/resume! p {:confirm true})
              (is (sc/active? p))
              (is (online?)))))
        (testing "of a command's"
          (let [[g p] (paused-unplayed s)]
            (sc/command! s :n-run {:runs [[p false] [g true] [p false] [p true]]})
            (sc/resume! p {:confirm true})
            (is (sc/active? p))
            (is (online?))))
        (testing "at a time to come it is refused, for it is not known"
          (let [[g p] (paused-unplayed s)
                later (fn [] (sc/at s (Duration/ofMillis 1) (sc/pause! p)))]
            (is (= (if (supernova? s) :none :refused-command) (error-of later)))
            (sc/resume! g {:confirm true})
            (is (= :none (error-of later)))
            (is (online?))))))))

(deftest a-pause-and-a-resume-at-once-are-both-done
  (each-server
    (fn [s]
      (let [ps (vec (repeatedly 10 #(sc/resume! (sc/pause! (sc/add-synth! s :pad)))))]
        (sc/sync! s)
        (is (every? sc/active? ps))))))

(deftest what-scsynth-does-not-resume-is-told
  (each-server
    (fn [s]
      (let [[g p] (paused-unplayed s)
            resumes? (supernova? s)]
        (is (= (if resumes? :none :not-resumed) (error-of #(sc/resume! p {:confirm true}))))
        (is (= resumes? (sc/active? p)))
        (testing "in the moment in which its group goes on it goes on"
          (sc/at s {:confirm true} (sc/resume! g) (sc/resume! p))
          (is (sc/active? p)))
        (testing "one that has played goes on in a paused group"
          (sc/pause! g)
          (sc/pause! p)
          (is (= p (sc/resume! p {:confirm true})))
          (is (sc/active? p)))))))

(defn- pauses-at-random
  "Pauses, resumes, makes and frees nodes at random, alone and in moments."
  [s seed n]
  (let [r     (java.util.Random. seed)
        pick  (fn [xs] (when (seq xs) (nth xs (.nextInt r (count xs)))))
        step  (fn [{:keys [groups synths] :as nodes}]
                (case (.nextInt r 8)
                  0     (if-let [g (when (< 8 (count groups)) (peek groups))]
                          (do (sc/free! g) (update nodes :groups pop))
                          (update nodes :groups conj (sc/add-group! s {:target (pick groups)})))
                  (1 2) (if-let [p (when (< 12 (count synths)) (pick synths))]
                          (do (sc/free! p) (update nodes :synths #(filterv (complement #{p}) %)))
                          (update nodes :synths conj (sc/add-synth! s :bell {} {:target (pick groups)})))
                  (let [node (pick (if (zero? (.nextInt r 3)) groups synths))]
                    (when node ((if (.nextBoolean r) sc/pause! sc/resume!) node))
                    nodes)))
        quiet (fn [f nodes]
                (try (f nodes)
                     (catch clojure.lang.ExceptionInfo e
                       (if (:espalier/error (ex-data e)) nodes (throw e)))))]
    (loop [n n, nodes {:groups [(sc/add-group! s)], :synths []}]
      (when (pos? (long n))
        (recur (dec (long n))
               (quiet (fn [nodes]
                        (if (zero? (.nextInt r 3))
                          (sc/at s (pick [nil {:confirm true} (Duration/ofMillis (.nextInt r 20))])
                            (reduce (fn [nodes _] (step nodes)) nodes (range (.nextInt r 5))))
                          (step nodes)))
                      nodes))))
    (sc/sync! s)
    (is (= :online (sc/boot-status s)) (str "seed " seed))))

(deftest pauses-at-random-end-no-server
  (each-server (fn [s] (pauses-at-random s 1 100))))

(deftest ^:soak many-pauses-at-random-end-no-server
  (let [seed (System/currentTimeMillis)]
    (println "pauses at random: seed" seed)
    (doseq [seed (cons 7 (range seed (+ seed 10)))]
      (each-server (fn [s] (pauses-at-random s seed 3000))))))

(deftest what-is-in-a-group-is-freed
  (each-server
    (fn [s]
      (let [g     (sc/add-group! s)
            inner (sc/add-group! s {:target g})
            deep  (sc/add-group! s {:target inner})
            fill  (fn [] (doseq [target [g inner deep]] (sc/add-synth! s :pad {} {:target target, :confirm true})))
            synths #(:synth-count (sc/status s))]
        (fill)
        (is (= 3 (synths)))
        (is (identical? g (sc/free-children! g {:synths-only true})))
        (is (= [[(:id inner)] [(:id deep)] []] (mapv #(ids-in s %) [g inner deep])))
        (fill)
        (is (identical? g (sc/free-children! g {:confirm true})))
        (is (= [] (ids-in s g)))
        (is (= 0 (synths)))
        (is (= deep (sc/await-ended deep)))
        (is (= :freed-entity (error-of #(sc/free-children! deep))))))))

(deftest nodes-of-a-time-to-come-are-waited-for
  (each-server
    (fn [s]
      (let [p (sc/at s (in-ms 150) (sc/add-synth! s :pad))]
        (is (= :no-such-node (error-of #(sc/query-node s (:id p)))))
        (is (identical? p (sc/await-started p)))
        (is (= (:id p) (:id (sc/query-node s p))))
        (is (identical? p (sc/await-started p)) "long since")
        (is (= :no-answer (error-of #(sc/await-ended p {:timeout-ms 30}))))
        (sc/at s (in-ms 50) (sc/free! p))
        (is (identical? p (sc/await-ended p)))
        (is (= :no-such-node (error-of #(sc/query-node s (:id p)))))
        (is (identical? p (sc/await-ended p)) "long since"))
      (testing "until its end, though it has not even begun"
        (let [start (Instant/now)
              p     (sc/at s (.plusMillis start 100) (sc/add-synth! s :pad))]
          (sc/at s (.plusMillis start 300) (sc/free! p))
          (is (identical? p (sc/await-ended p)))
          ;; A bundle is done in the block of its time, whose sound is a little later.
          (is (<= 250 (.toMillis (Duration/between start (Instant/now)))))
          (is (= :no-such-node (error-of #(sc/query-node s (:id p))))))))))

;; ---- places

(deftest nodes-move-to-four-places
  (each-server
    (fn [s]
      (let [g       (sc/add-group! s)
            h       (sc/add-group! s {:action :tail})
            [a b c] (repeatedly 3 #(sc/add-synth! s :pad {} {:target g, :action :tail}))
            in      (fn [group] (ids-in s group))
            ids     (fn [& nodes] (mapv :id nodes))]
        (is (= (ids a b c) (in g)))
        (is (identical? a (sc/move! a :after c)))
        (is (= (ids b c a) (in g)))
        (sc/move! a :before (:id c))
        (is (= (ids b a c) (in g)))
        (sc/move! c :head g)
        (is (= (ids c b a) (in g)))
        (sc/move! c :tail g {:confirm true})
        (is (= (ids b a c) (in g)))
        (testing "to another group"
          (sc/move! a :tail h)
          (sc/move! c :head h)
          (is (= [(ids b) (ids c a)] [(in g) (in h)]))
          (sc/move! h :head g)
          (is (= [(ids h b) (ids c a)] [(in g) (in h)])))
        (testing "a group does not come below itself, nor a node beside itself"
          (refuses s :refused-command #(sc/move! g :tail h))
          (refuses s :refused-command #(sc/move! g :head g))
          (refuses s :refused-command #(sc/move! b :after b))
          (refuses s :refused-command #(sc/move! b :after 0))
          (refuses s :refused-command #(sc/move! (sc/root-node s) :tail g))
          (refuses s :invalid-argument #(sc/move! b :tail a))
          (refuses s :invalid-argument #(sc/move! b :behind a)))
        (is (= [(ids h b) (ids c a)] [(in g) (in h)]))))))

(deftest nodes-move-beside-those-of-another-group
  (each-server
    (fn [s]
      (let [g     (sc/add-group! s)
            h     (sc/add-group! s {:action :tail})
            [a b] (repeatedly 2 #(sc/add-synth! s :pad {} {:target g, :action :tail}))
            c     (sc/add-synth! s :pad {} {:target h})
            ids   (fn [& nodes] (mapv :id nodes))
            in    (fn [group] (try (ids-in s group) (catch clojure.lang.ExceptionInfo e (ex-message e))))]
        (sc/move! b :before c {:confirm true})
        (is (= {:parent (:id h), :previous nil, :next (:id c)} (select-keys (sc/query-node s b) [:parent :previous :next])))
        (is (= [(ids a) (ids b c)] [(in g) (in h)]))
        (sc/move! a :after c {:confirm true})
        (is (= [[] (ids b c a)] [(in g) (in h)]))
        (sc/order! :before b [(sc/add-synth! s :pad {} {:id 800000})] {:confirm true})
        (is (= [[] (into [800000] (ids b c a))] [(in g) (in h)]))
        (is (= (ids g h) (in 1)))))))

(deftest nodes-are-put-in-order
  (each-server
    (fn [s]
      (let [g         (sc/add-group! s)
            h         (sc/add-group! s {:action :tail})
            [a b c d] (repeatedly 4 #(sc/add-synth! s :pad {} {:target g, :action :tail}))
            in        (fn [group] (ids-in s group))
            ids       (fn [& nodes] (mapv :id nodes))]
        (sc/sync! s)
        (is (identical? g (sc/order! :head g [c a b])))
        (is (= (ids c a b d) (in g)))
        (sc/order! :tail g [c (:id b)])
        (is (= (ids a d c b) (in g)))
        (is (identical? d (sc/order! :before d [b c])))
        (is (= (ids a b c d) (in g)))
        (sc/order! :tail h [d c] {:confirm true})
        (is (= [(ids a b) (ids d c)] [(in g) (in h)]))
        (sc/order! :after a [c d])
        ;; supernova itself reverses what it puts :after (facts, section 11).
        (is (= (ids a c d b) (in g)))
        (refuses s :refused-command #(sc/order! :before a [b a]))
        (refuses s :refused-command #(sc/order! :head g [g]))
        (refuses s :invalid-argument #(sc/order! :replace a [b]))
        (refuses s :invalid-argument #(sc/order! :head g []))))))

(deftest nodes-know-their-place
  (each-server
    (fn [s]
      (let [g       (sc/add-group! s)
            h       (sc/add-group! s {:target g})
            [a b c] (repeatedly 3 #(sc/add-synth! s :pad {} {:target h, :action :tail}))
            id      :id]
        (is (= {:id (id b), :kind :synth, :parent (id h), :previous (id a), :next (id c)} (sc/query-node s b)))
        (is (= {:id (id a), :kind :synth, :parent (id h), :previous nil, :next (id b)} (sc/query-node s (id a))))
        (is (= {:id (id h), :kind :group, :parent (id g), :previous nil, :next nil, :head (id a), :tail (id c), :parallel? false}
               (sc/query-node s h)))
        (is (= {:head nil, :tail nil} (select-keys (sc/query-node s (sc/add-group! s {:confirm true})) [:head :tail])))
        (if (supernova? s)
          (refuses s :refused-command #(sc/query-node s 0))
          (is (= {:id 0, :kind :group, :parent nil} (select-keys (sc/query-node s 0) [:id :kind :parent]))))
        (is (= [(id h) :group] ((juxt :id :kind) (sc/parent a))))
        (is (nil? (sc/parent (sc/root-node s))))
        (is (= [(id h) (id g) 1 0] (map :id (sc/parentage b))))
        (is (= [] (sc/parentage (sc/root-node s))))
        (is (= [[:synth (id a) "pad"] [:synth (id b) "pad"] [:synth (id c) "pad"]] (mapv (juxt :kind :id :def) (sc/children h))))
        (is (= [[:group (id h)]] (mapv (juxt :kind :id) (sc/children g))))
        (is (contains? (set (map :id (sc/children (sc/root-node s)))) 1))
        (testing "and what is asked for can be played with"
          (sc/set-controls! (first (sc/children h)) {:amp 0.5})
          (is (= 0.5 (get (told a) "amp")))
          (sc/free! (sc/parent a) {:confirm true})
          (is (= [] (sc/children g))))))))

(deftest what-is-asked-for-equals-what-was-made
  (each-server
    (fn [s]
      (let [g (sc/add-group! s)
            p (pad s {} {:target g})]
        (is (= [p] (sc/children g)))
        (is (= g (sc/parent p)))
        (is (= [g (sc/default-group s) (sc/root-node s)] (sc/parentage p)))))))

(deftest the-ugens-of-a-node-are-printed
  (each-server
    (fn [s]
      (let [p     (pad s)
            lines #(filter (fn [line] (re-find #"LPF" line)) (sc/server-output s))]
        (is (identical? p (sc/print-ugens! p)))
        (is (eventually #(seq (lines))) (str/join "\n" (take-last 5 (sc/server-output s))))))))

;; ---- values

(deftest entities-are-values
  (each-server
    (fn [s]
      (let [g    (sc/add-group! s {:confirm true})
            p    (pad s)
            seen {g :group, p [:synth p]}]
        (is (= (str "#<Group " (:id g) ">") (str g) (pr-str g)))
        (is (= (str "#<Synth " (:id p) " pad>") (str p) (pr-str p)))
        (is (= (str "{:a [#<Synth " (:id p) " pad>]}") (pr-str {:a [p]})))
        (is (= "#<Group 0>" (pr-str (sc/root-node s))))
        (is (= "#<Group 1>" (pr-str (sc/default-group s))))
        (is (= (sc/default-group s) (sc/default-group s)))
        (is (not= g p))
        (is (= [:group [:synth p]] [(seen g) (seen p)]))
        (is (= [:synth "pad" s] ((juxt :kind :def :server) p)))
        (is (true? (sc/entity? p)))
        (is (false? (sc/entity? {:kind :synth, :id 1000})))
        (is (= #{p g} (conj #{p g} p)))
        (testing "an id that comes again is another entity"
          (sc/free! g {:confirm true})
          (is (= g (sc/await-ended g)))
          (let [again (sc/add-group! s {:id (:id g), :confirm true})]
            (is (not= g again))))
        (testing "in a message that is sent as it is"
          (sc/send! s ["/n_set" p "amp" 0.75])
          (is (= 0.75 (get (told p) "amp"))))))))

;; ---- bad input

(deftest unknown-controls-are-named-with-the-nearest
  (each-server
    (fn [s]
      (let [p (pad s)]
        (sc/sync! s)
        (doseq [[meant call] [[":freqs" #(sc/add-synth! s :pad {:frqs 1})]
                              [":freqs" #(sc/set-controls! p {:amp 1, :frqs 1})]
                              ["\"freqs\"" #(sc/set-control-range! p "frqs" [1 2])]
                              [":freqs" #(sc/map-controls! p {:frqs nil})]
                              [":freqs" #(sc/get-controls p [:frqs])]
                              [":freqs" #(sc/get-control-range p :frqs 4)]]
                :let [n (last-n s), e (servers/thrown call)]]
          (is (= :espalier.error/unknown-control (:espalier/error (ex-data e))))
          (is (str/includes? (str (ex-message e)) (str "Did you mean " meant "?")))
          (is (= [] (sent-after s n))))
        (refused s (for [control [9 -1 100000000000000000000N :amp/gate? ""]] [:unknown-control #(sc/set-controls! p {control 1}) control]))
        (is (= 1 (:synth-count (sc/status s))))))))

(deftest bad-nodes-and-places-are-named
  (each-server
    (fn [s]
      (let [p     (pad s)
            g     (sc/add-group! s {:confirm true})
            other (sc/default-group (another-than s))
            tree  (sc/query-tree s)]
        (refused s
          [[:invalid-argument #(sc/add-synth! s :pad {} {:action :haed})]
           [:invalid-argument #(sc/add-group! s {:action 5})]
           [:invalid-argument #(sc/add-group! s {:action -1})]
           [:refused-command #(sc/add-synth! s :pad {} {:target p})]
           [:refused-command #(sc/add-group! s {:target p, :action :tail})]
           [:refused-command #(sc/add-group! s {:target 0, :action :replace})]
           [:refused-command #(sc/add-group! s {:target (sc/root-node s), :action :before})]
           [:refused-command #(sc/add-group! s {:id 5000, :target 5000})]
           [:invalid-argument #(sc/add-synth! s :pad {} {:target -1})]
           [:invalid-argument #(sc/add-synth! s :pad {} {:target "1"})]
           [:invalid-argument #(sc/add-group! s {:target 3000000000})]
           [:invalid-argument #(sc/add-group! s {:id -5})]
           [:invalid-argument #(sc/add-group! s {:id 0})]
           [:invalid-argument #(sc/add-group! s {:id 1.0})]
           [:invalid-argument #(sc/add-group! s {:id 3000000000})]
           [:foreign-id #(sc/add-group! s {:id (bit-shift-left 1 26)})]
           [:foreign-id #(sc/add-synth! s :pad {} {:id (+ 7 (bit-shift-left 3 26))})]
           [:unknown-option #(sc/add-group! s {:traget g})]
           [:invalid-argument #(sc/query-node s -1)]
           [:invalid-argument #(sc/query-node s nil)]
           [:invalid-option #(sc/query-tree s {:group "1"})]
           [:foreign-entity #(sc/add-group! s {:target other})]
           [:foreign-entity #(sc/add-synth! s :pad {} {:target other})]
           [:foreign-entity #(sc/move! p :head other)]
           [:foreign-entity #(sc/order! :head g [p other])]
           [:foreign-entity #(sc/query-node s other)]
           [:foreign-entity #(sc/query-tree s {:group other})]
           [:refused-command #(sc/free! (sc/root-node s))]
           [:no-entity #(sc/set-controls! 1000 {:amp 1})]
           [:no-entity #(sc/free! {:kind :group, :id 1000})]
           [:no-entity #(sc/free! nil)]
           [:no-entity #(sc/children p)]
           [:no-entity #(sc/free-children! p)]
           [:no-entity #(sc/get-controls g)]
           [:no-entity #(sc/pause! (sc/audio-output-bus-group s))]
           [:no-entity #(sc/await-ended 1000)]])
        (is (= tree (sc/query-tree s)))))))

(deftest bad-values-are-named
  (each-server
    (fn [s]
      (let [p       (pad s {:amp 0.5, :freqs [1 2 3 4]})
            bus     (sc/add-bus! s)
            foreign (sc/add-bus! (another-than s))
            before  (told p)]
        (sc/free! bus)
        (refused s
          (for [value [##NaN Float/NaN 2147483648 -2147483649 100000000000000000000N 1e39 -1e39 1e39M nil "440" "c" "c99999" "a99999" "c-1"
                       :c5 \c [] [1 ##NaN] [1 [2]] [nil] {:a 1} p (Object.) "жук"]
                call  [#(sc/set-controls! p {:amp value}) #(sc/add-synth! s :pad {:amp value})]]
            [:invalid-argument call value]))
        (refuses s :foreign-entity #(sc/set-controls! p {:out foreign}))
        (refuses s :foreign-entity #(sc/map-controls! p {:out foreign}))
        (refuses s :freed-entity #(sc/set-controls! p {:out bus}))
        (refuses s :freed-entity #(sc/map-controls! p {:out bus}))
        (refused s
          (for [values [[] [##NaN] nil 5 [3000000000] (float-array [1 Float/NaN]) (float-array 0) "c5"]]
            [:invalid-argument #(sc/set-control-range! p :freqs values) values]))
        (refused s (for [n [0 -1 2147483647 1.5 nil]] [:invalid-argument #(sc/get-control-range p :freqs n) n]))
        (refused s (for [bus [5 -1 "c5" p]] [:invalid-argument #(sc/map-controls! p {:amp bus}) bus]))
        (refused s (for [controls [[:amp 1] nil 5]
                         call     [#(sc/set-controls! p controls) #(sc/add-synth! s :pad controls)]]
                     [:invalid-argument call controls]))
        (refused s (for [synthdef ["" "жук" "a\nb" nil 5 (apply str (repeat 300 \a))]]
                     [:invalid-argument #(sc/add-synth! s synthdef) synthdef]))
        (sc/free! foreign)
        (is (= before (told p)))
        (is (= 1 (:synth-count (sc/status s))))))))

(deftest what-has-ended-is-named
  (each-server
    (fn [s]
      (let [g (sc/add-group! s)
            p (pad s {} {:target g})]
        (sc/free! g {:confirm true})
        (sc/await-ended p)
        (refused s (for [call [#(sc/set-controls! p {:amp 1}) #(sc/set-control-range! p :freqs [1]) #(sc/map-controls! p {:amp nil})
                               #(sc/get-controls p) #(sc/get-control-range p :freqs 4) #(sc/pause! p) #(sc/resume! p) #(sc/move! p :head 1)
                               #(sc/order! :head g [1]) #(sc/print-ugens! p) #(sc/free-children! g) #(sc/parent p) #(sc/children g)
                               #(sc/query-node s p) #(sc/query-tree s {:group g}) #(sc/add-synth! s :pad {} {:target g})
                               #(sc/at s nil (sc/set-controls! p {:amp 1}))]]
                     [:freed-entity call]))
        (is (= 0 (:synth-count (sc/status s))))))))

(deftest ids-that-are-used-up-are-named-and-come-back
  (each-server
    (fn [s]
      (let [n       (last-n s)
            next-id #(let [g (sc/add-group! s {:permanent true, :confirm true})] (sc/free! g {:confirm true}) (:id g))]
        (is (= :no-free-ids (code-of #(sc/at s nil (dotimes [_ 2000] (sc/add-group! s {:permanent true}))))))
        (is (= [] (sent-after s n)))
        (is (< 1 (next-id) 1000) "those of the moment that was not sent are free again")))))

(deftest permanent-ids-come-back-when-their-node-has-ended
  (each-server
    (fn [s]
      (dotimes [_ 20]
        (let [groups (sc/at s nil (vec (repeatedly 50 #(sc/add-group! s {:permanent true, :action :tail}))))]
          (sc/free-children! (sc/default-group s))
          (sc/await-ended (peek groups))))
      (is (= [] (ids-in s 1))))))

(deftest many-nodes-of-one-moment-are-confirmed
  (each-server
    (fn [s]
      (let [groups (sc/at s {:confirm true} (vec (repeatedly 400 #(sc/add-group! s {:action :tail}))))]
        (is (= (map :id groups) (ids-in s 1))))
      (let [e (servers/thrown #(sc/at s {:confirm true}
                                 (dotimes [i 400]
                                   (sc/add-group! s (if (= i 333) {:target 77777} {})))))]
        (is (= [:espalier.error/no-such-node 77777] ((juxt :espalier/error :node) (ex-data e))))
        (is (= 799 (count (ids-in s 1))))))))

(deftest entities-end-with-their-server
  (servers/each-kind servers/udp-kinds {}
    (fn [s]
      (sc/add-synthdefs! s synthdefs)
      (let [p (pad s)
            g (sc/add-group! s)
            calls {:set #(sc/set-controls! p {:amp 1}), :free #(sc/free! p), :release #(sc/release! p), :active #(sc/active? p)
                   :target #(sc/add-group! s {:target g}), :parent #(sc/parent p), :children #(sc/children g)
                   :await-started #(sc/await-started p {:timeout-ms 200}), :await-ended #(sc/await-ended p {:timeout-ms 200})}]
        (sc/quit! s)
        (doseq [[k call] (merge calls {:group #(sc/add-group! s), :synth #(sc/add-synth! s :pad), :default #(sc/default-group s)
                                       :at #(sc/at s nil nil), :state #(sc/state s), :node #(sc/query-node s 1)})]
          (is (= :server-offline (error-of call)) k))
        (sc/boot! s)
        (sc/sync! s)
        (refused s (for [[k call] calls] [:dead-entity call k]))
        (is (= [] (ids-in s 1)))))))

(deftest a-handle-without-a-server-is-named
  (let [s (sc/server)]
    (doseq [call [#(sc/add-group! s) #(sc/add-synth! s :bell) #(sc/add-synth! s :bell {:freq 1} {:action :tail})
                  #(sc/root-node s) #(sc/query-node s 1) #(sc/add-synthdefs! s synthdefs) #(sc/at s nil (sc/add-group! s))]]
      (is (= :server-offline (error-of call))))
    (is (= :no-handle (error-of #(sc/add-group! nil)) (error-of #(sc/add-synth! :bell {}))))))

(ns ^:many-servers espalier.query-tree-test
  "Trees of any size and shape, read from real servers and compared with what was made."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [address code-of error-of options]]
   [espalier.synthdef :refer [synthdef]]
   [espalier.ugens :as ugens]))

(set! *warn-on-reflection* true)

(def ^:private five
  (synthdef :five [:out 0, :freq 440, :amp 0.1, :pan [0.25 -0.5]] (fn [out _ _ _] (ugens/out:kr out 0))))

(def ^:private three
  (synthdef :three [:out 0, :freq 440, :amp 0.1] (fn [out freq amp] (ugens/out:kr out (ugens/add freq amp)))))

(def ^:private foreign
  (synthdef :foreign [:out 0, :rate 3] (fn [out rate] (ugens/out:kr out rate))))

(defn- kinds []
  (remove #{{:executable "scsynth", :protocol :tcp} {:executable :rehearsal, :protocol :tcp}} servers/kinds))

(def ^:private handles (atom []))

(defn- with-each-kind [tests]
  (servers/keeping handles (map #(options % {:maximum-node-count 16384, :memory-size 262144, :maximum-logins 2}) (kinds)) tests))

(use-fixtures :once with-each-kind)

(defn- supernova? [{:keys [executable]}] (= "supernova" executable))

(defn- in-group
  "Calls `f` on servers of some kinds with the kind, the handle and a group, which is paused,
  for thousands of synths are a load, and freed afterwards in parts: supernova does not
  survive the end of many nodes at once."
  [which f]
  (doseq [[kind s] (map vector (kinds) (servers/online @handles))
          :when (which kind)]
    (testing (str (name (:executable kind)) " " (name (:protocol kind)))
      (sc/add-synthdefs! s [five three])
      (let [g (sc/add-group! s {:confirm true})]
        (sc/pause! g)
        (try (f kind s g)
             (finally
               (doseq [some-children (partition-by :kind (sc/children g))
                       some-children (partition-all (if (= :group (:kind (first some-children))) 5 1000) some-children)]
                 (sc/at s nil (run! sc/free! some-children))
                 (sc/sync! s))
               (sc/free! g)))))))

(defn- plain [tree] (dissoc tree :complete? :mappings? :paused))

(defn- shortest [x] (Double/parseDouble (Float/toString (float x))))

(defn- synth-node [id freq amp]
  {:id id, :kind :synth, :def "five", :controls {"out" 0.0, "freq" (shortest freq), "amp" (shortest amp), "pan" [0.25 -0.5]}})

(defn- add-synths!
  "Adds `n` synths to the tail of a group, in one moment; returns the nodes that the tree must tell."
  [s group n]
  (let [values (vec (repeatedly n #(vector (* 1000 (rand)) (rand))))
        synths (sc/at s nil (mapv (fn [[freq amp]] (sc/add-synth! s five {:freq freq, :amp amp} {:target group, :action :tail})) values))]
    (mapv (fn [synth [freq amp]] (synth-node (:id synth) freq amp)) synths values)))

(defn- add-groups!
  "Adds `n` groups of `m` synths each; returns the nodes that the tree must tell."
  [s group n m]
  (vec (for [_ (range n)]
         (let [inner (sc/add-group! s {:target group, :action :tail})]
           {:id (:id inner), :kind :group, :children (add-synths! s inner m)}))))

(defn- node-count [tree] (count (tree-seq :children :children tree)))

(deftest a-small-tree-is-told-as-it-is
  (in-group any?
    (fn [_ s g]
      (let [y     (sc/add-synth! s three {:freq 0.1, :amp 1/3} {:target g})
            top   {:id (:id g), :kind :group, :complete? true, :paused true}
            synth {:id (:id y), :kind :synth, :def "three"}]
        (sc/sync! s)
        (is (= (assoc top :children [(assoc synth :controls {"out" 0.0, "freq" 0.1, "amp" 0.33333334})])
               (dissoc (sc/query-tree s {:group g}) :mappings?)))
        (is (= (assoc top :children [synth]) (sc/query-tree s {:group (:id g), :controls false})))
        (sc/pause! y)
        (sc/sync! s)
        (is (= [true] (map :paused (:children (sc/query-tree s {:group g})))))
        (is (= :no-such-node (error-of #(sc/query-tree s {:group 99999}))))))))

(deftest mapped-controls-are-told
  (doseq [kind (filter #(= :udp (:protocol %)) (kinds))]
    (with-open [^java.io.Closeable s (sc/boot! (sc/server (options kind)))]
      (sc/add-synthdefs! s [five three])
      (let [bus      (sc/add-bus! s {:rate :control}), audio (sc/add-bus! s {:rate :audio})
            y        (sc/add-synth! s three {} {:confirm true})
            _        (sc/map-controls! y {:freq bus, :amp audio})
            controls (fn [] (sc/sync! s) (let [tree (sc/query-tree s)] [(:mappings? tree true) (-> tree :children peek :children peek :controls)]))
            buses    [true {"out" 0.0, "freq" (str "c" (:id bus)), "amp" (str "a" (:id audio))}]]
        (is (= buses (controls)))
        (testing "until a synth was there that supernova does not survive to be asked about"
          (sc/free! (sc/add-synth! s five {} {:confirm true}))
          (is (= (if (supernova? kind) [false {"out" 0.0, "freq" 440.0, "amp" 0.1}] buses) (controls))))))))

(deftest arrays-are-told
  (in-group any?
    (fn [kind s g]
      (let [y     (sc/add-synth! s five {:freq 0.1, :amp 1/3} {:target g})
            plain (sc/add-synth! s three {} {:target (sc/add-group! s {:target g, :action :tail})})]
        (sc/set-controls! y {:pan [0.7 -0.7]})
        (sc/set-controls! plain {:freq 5})
        (sc/sync! s)
        (let [{[{:keys [controls]} inner] :children, :keys [complete? mappings?]} (sc/query-tree s {:group g})]
          (is (= [true (when (supernova? kind) false)] [complete? mappings?]))
          (is (= {"out" 0.0, "freq" 0.1, "amp" 0.33333334, "pan" [0.7 -0.7]} controls))
          (is (= [{"out" 0.0, "freq" 5.0, "amp" 0.1}] (map :controls (:children inner)))))))))

(deftest fifty-groups-of-a-hundred-synths
  (in-group any?
    (fn [kind s g]
      (let [made (add-groups! s g 50 100)
            tree (do (sc/sync! s) (sc/query-tree s {:group g, :timeout-ms 30000}))]
        (is (= {:id (:id g), :kind :group, :paused true, :complete? true} (dissoc tree :children :mappings?)))
        (is (= made (:children tree)))
        (is (= 5051 (node-count (sc/query-tree s {:group g, :controls false}))))
        (testing "and somebody who knows nothing of it"
          (when-not (supernova? kind)
            (with-open [^java.io.Closeable guest (sc/connect! (sc/server) (address s))]
              (is (= (plain tree) (plain (sc/query-tree guest {:group (:id g), :timeout-ms 30000})))))))))))

(deftest one-group-of-many-synths
  (in-group any?
    (fn [_ s g]
      (let [made  (into (add-synths! s g 1000) (add-synths! s g 1000))
            tree  (do (sc/sync! s) (sc/query-tree s {:group g, :timeout-ms 30000}))]
        (is (= {:id (:id g), :kind :group, :paused true, :complete? true, :mappings? false} (dissoc tree :children)))
        (is (= made (:children tree)))))))

(deftest a-group-that-no-reply-tells
  (in-group (complement supernova?)
    (fn [_ s g]
      (let [made (into [] cat (repeatedly 4 #(add-synths! s g 1000)))]
        (sc/sync! s)
        (let [tree (sc/query-tree s {:group g, :timeout-ms 30000})]
          (is (= {:id (:id g), :kind :group, :paused true, :complete? true, :mappings? false} (dissoc tree :children)))
          (is (= made (:children tree))))
        (is (= (map #(dissoc % :controls) made) (:children (sc/query-tree s {:group g, :controls false, :timeout-ms 30000}))))))))

(deftest deep-trees
  (in-group any?
    (fn [kind s g]
      (let [depth  (if (supernova? kind) 900 3000)
            groups (reduce (fn [groups n]
                             (into groups (sc/at s nil
                                            (loop [outer (peek groups), made [], left n]
                                              (if (zero? left)
                                                made
                                                (let [inner (sc/add-group! s {:target outer})]
                                                  (sc/add-synth! s five {} {:target outer, :action :tail})
                                                  (recur inner (conj made inner) (dec left))))))))
                           [g] (repeat (quot depth 300) 300))]
        (sc/sync! s)
        (let [tree (sc/query-tree s {:group g, :timeout-ms 30000})]
          (is (:complete? tree))
          (is (= (map :id groups) (map :id (take-while some? (iterate (comp first :children) tree)))))
          (is (every? #(= ["five"] (map :def (rest (:children %)))) (take depth (iterate (comp first :children) tree)))))
        (doseq [group (reverse (take-nth 300 (rest groups)))]
          (sc/free! group)
          (sc/sync! s))))))

(deftest a-synthdef-of-somebody-else
  (in-group #(= :udp (:protocol %))
    (fn [_ s g]
      (with-open [^java.io.Closeable guest (sc/connect! (sc/server) (address s))]
        (sc/add-synthdefs! guest foreign)
        (let [made (add-synths! s g 1500)
              _    (sc/command! guest :s-new {:synthdef "foreign", :id 70000000, :action 1, :target (:id g)})]
          (sc/sync! guest)
          (let [tree (sc/query-tree s {:group g})]
            (is (false? (:complete? tree)))
            (is (= {70000000 #{:controls}} (:missing tree)))
            (is (= (conj made {:id 70000000, :kind :synth, :def "foreign"}) (:children tree)))
            (is (re-find #"\nINCOMPLETE, not read: controls of 1 synth\n" (with-out-str (sc/print-tree s {:group g}))))))))))

(defn- busily
  "Calls `f` while another thread adds synths to a group, and frees them, without a pause."
  [s group f]
  (let [on?    (atom true)
        worker (future (while @on?
                         (let [ys (sc/at s nil (vec (repeatedly 5 #(sc/add-synth! s five {} {:target group}))))]
                           (sc/sync! s)
                           (sc/at s nil (run! sc/free! ys))
                           (sc/sync! s))))]
    (try (f)
         (finally (reset! on? false) @worker))))

(deftest what-changes-while-it-is-read
  (in-group #(= :udp (:protocol %))
    (fn [kind s g]
      (let [made (add-groups! s g 12 100)
            busy (sc/add-group! s {:target g, :action :tail})
            flat (when-not (supernova? kind)
                   (let [flat (sc/add-group! s {:target g, :action :tail})]
                     {:id (:id flat), :kind :group, :children (into [] cat (repeatedly 4 #(add-synths! s flat 1000)))}))]
        (sc/sync! s)
        (busily s busy
                (fn []
                  (dotimes [_ 3]
                    (let [{:keys [complete? children]} (sc/query-tree s {:group g, :timeout-ms 30000})
                          changing (first (filter #(= (:id busy) (:id %)) children))]
                      (is complete?)
                      (is (= (cond-> made flat (conj flat)) (remove #{changing} children)))
                      (is (contains? #{0 5} (count (:children changing))) "a moment is there, or it is not")))))))))

(deftest the-time-is-over
  (in-group #(= :udp (:protocol %))
    (fn [_ s g]
      (add-groups! s g 50 60)
      (sc/sync! s)
      (doseq [timeout-ms [1 2 5 10 20]]
        (let [tree (try (sc/query-tree s {:group g, :timeout-ms timeout-ms})
                        (catch clojure.lang.ExceptionInfo e (:espalier/error (ex-data e))))]
          (is (or (= :espalier.error/no-answer tree)
                  (true? (:complete? tree))
                  (and (false? (:complete? tree)) (seq (:missing tree)))))))
      (is (:complete? (sc/query-tree s {:group g}))))))

(deftest it-is-printed-as-asked
  (in-group #(= :udp (:protocol %))
    (fn [kind s g]
      (let [inner (sc/add-group! s {:target g})
            a     (sc/add-synth! s three {:freq 55, :amp 0.5} {:target inner})
            b     (sc/add-synth! s three {:freq 66, :amp 1/3} {:target inner, :action :tail})
            shown (fn [opts] (str/replace (cond-> (with-out-str (sc/print-tree s (merge {:group g} opts)))
                                            ;; Of which it may have read values alone.
                                            (supernova? kind) (str/replace #"Of controls that are mapped.*\n" ""))
                                          #"\d{4,}"
                                          (fn [id] (get (zipmap (map #(str (:id %)) [g inner a b]) ["G" "I" "A" "B"]) id id))))]
        (sc/sync! s)
        (is (= (str "NODE TREE G group (paused)\n    I group\n"
                    "        A three\n            out: 0.0, freq: 55.0, amp: 0.5\n"
                    "        B three\n            out: 0.0, freq: 66.0, amp: 0.333333\n")
               (shown {})))
        (is (= "NODE TREE G group (paused)\n    I group\n        A three\n        B three\n" (shown {:controls false})))
        (is (= "NODE TREE group (paused)\n    group\n        three\n        three\n" (shown {:controls false, :ids false})))
        (is (= "NODE TREE G group (paused)\n    I group\n        … 2 nodes\n" (shown {:depth 1})))
        (is (= "NODE TREE G group (paused)\n    … 3 nodes\n" (shown {:depth 0})))
        (is (str/includes? (shown {:colours true}) "\u001b[32mthree\u001b[0m"))
        (is (= [:unknown-option :unknown-option :invalid-option :invalid-option]
               (map code-of [#(sc/print-tree s {:colors true}) #(sc/query-tree s {:depth 1}) #(sc/print-tree s {:depth -1}) #(sc/print-tree s {:group "1"})])))))))

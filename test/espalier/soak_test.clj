(ns espalier.soak-test
  "Half an hour of four threads and two clients on one server, with faults sprinkled in:
  nothing grows, nothing is lost, and in the end the clients know what the server has.

      bin/test espalier.soak-test                                 ; half an hour of each engine
      JAVA_OPTS=-Despalier.soak.minutes=10 bin/test espalier.soak-test"
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.proxy :as proxy]
   [espalier.servers :as servers :refer [error-of eventually]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (java.io Closeable File)
   (java.util Random)
   (java.util.concurrent CountDownLatch TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ^:private hum [out 0, freq 220]
  (ugens/out:kr out freq))

(def ^:private minutes (Double/parseDouble (System/getProperty "espalier.soak.minutes" "30")))

(defn- heap-mb ^double []
  (dotimes [_ 4] (System/gc))
  (let [r (Runtime/getRuntime)] (/ (double (- (.totalMemory r) (.freeMemory r))) 1e6)))

(defn- usage
  "What this JVM has: megabytes on the heap after a collection, threads of ours, open files."
  []
  {:heap-mb     (heap-mb)
   :threads     (count (filter #(.startsWith (.getName ^Thread %) "espalier-") (keys (Thread/getAllStackTraces))))
   :descriptors (count (.list (File. "/proc/self/fd")))})

;; ---- what the threads do

(defn- one-of [^Random r xs] (when (seq xs) (nth xs (.nextInt r (count xs)))))

(defn- act!
  "One random act on a client; `mine` holds what this thread has made. Returns what it has then."
  [s root ^Random r {:keys [synths buffers buses] :as mine}]
  (let [opts {:timeout-ms 1000}]
    (case (.nextInt r 9)
      0 (let [ks (take (.nextInt r 12) (shuffle (range 12)))]
          (sc/reconcile! s (for [k ks] [:group {:key [root k]} [:synth {:key [root k :y], :def hum} {:freq (.nextInt r 1000)}]]) (assoc opts :root root))
          mine)
      1 (if (< (count synths) 20) (update mine :synths conj (sc/add-synth! s :hum {:freq (.nextInt r 1000)} (assoc opts :confirm true))) mine)
      2 (if-let [y (one-of r synths)] (do (sc/set-controls! y {:freq (.nextInt r 1000)}) mine) mine)
      3 (if-let [y (one-of r synths)] (do (sc/free! y opts) (assoc mine :synths (filterv #(not (identical? y %)) synths))) mine)
      4 (if (< (count buffers) 10) (update mine :buffers conj (sc/add-buffer! s (assoc opts :samples (float-array (inc (.nextInt r 9000)) 0.5)))) mine)
      5 (if-let [b (one-of r buffers)] (do (sc/free! b opts) (assoc mine :buffers (filterv #(not (identical? b %)) buffers))) mine)
      6 (if-let [b (one-of r buffers)] (do (sc/get-sample-range b 0 1 opts) mine) mine)
      7 (if (< (count buses) 10)
          (update mine :buses conj (sc/set-bus! (sc/add-bus! s) 1 opts))
          (do (sc/free! (peek buses)) (assoc mine :buses (pop buses))))
      8 (do (sc/query-tree s (assoc opts :group root)) mine))))

(defn- alive
  "What of all this can still be used."
  [mine]
  (update-vals mine (fn [es] (filterv #(not (contains? #{:freed-entity :dead-entity} (error-of (fn [] (case (:kind %)
                                                                                                :synth  (sc/set-controls! % {:freq 1})
                                                                                                :buffer (sc/get-sample-range % 0 1 {:timeout-ms 1000})
                                                                                                (sc/members %)))))) es))))

(defn- work!
  "Acts until `stop?`; counts what became of it in the atom `tally`. Returns what was made."
  [s root seed stop? tally]
  (let [r (Random. seed)]
    (loop [mine {:synths [], :buffers [], :buses []}]
      (if @stop?
        mine
        (recur (try (let [mine (act! s root r mine)] (swap! tally update :did (fnil inc 0)) mine)
                    (catch Throwable e
                      (swap! tally update (or (error/code e) (class e)) (fnil inc 0))
                      (alive mine))))))))

;; ---- the faults

(defn- pause! [ms] (.await (CountDownLatch. 1) ms TimeUnit/MILLISECONDS))

(def ^:private faults
  "By name what goes wrong, for some seconds at the most."
  {:lost       (fn [{:keys [proxy]} r] (proxy/trouble! proxy {:drop 0.1, :seed (.nextInt ^Random r)}) (pause! 3000))
   :doubled    (fn [{:keys [proxy]} r] (proxy/trouble! proxy {:duplicate 0.2, :seed (.nextInt ^Random r)}) (pause! 3000))
   :overtaken  (fn [{:keys [proxy]} r] (proxy/trouble! proxy {:reorder 0.2, :seed (.nextInt ^Random r)}) (pause! 3000))
   :late       (fn [{:keys [proxy]} _] (proxy/trouble! proxy {:delay-ms 30, :jitter-ms 30}) (pause! 3000))
   ;; Too long, and it is ended, and another takes its place.
   :stopped    (fn [{:keys [owner]} ^Random r]
                 (let [pid (servers/pid owner)]
                   (servers/signal! "STOP" pid)
                   (pause! (+ 200 (.nextInt r 1300)))
                   (servers/signal! "CONT" pid)
                   (is (eventually #(= :online (sc/boot-status owner))))))
   :freed      (fn [{:keys [owner guest]} _] (sc/send! owner ["/g_freeAll" (:id (sc/default-group guest))]))
   :handlers   (fn [{:keys [owner]} _]
                 (let [id (sc/on-osc! owner "/n_go" (fn [_] (throw (ex-info "on purpose" {}))))]
                   (pause! 500)
                   (sc/off! owner id)))
   :interrupts (fn [{:keys [guest]} _]
                 (dotimes [_ 20]
                   (let [f (future (sc/sync! guest))] (pause! 1) (future-cancel f))))
   :killed     (fn [{:keys [owner guest]} _]
                 (let [both     [owner guest]
                       restored (mapv (fn [s] (let [p (promise)] [(sc/on-lifecycle! s :restored #(deliver p (:report %))) p])) both)]
                   (servers/signal! "KILL" (servers/pid owner))
                   (doseq [[s [id p]] (map vector both restored)]
                     (is (map? (deref p 60000 :not-restored)))
                     (sc/off! s id))))
   :guests     (fn [{:keys [owner]} _]
                 (with-open [^Closeable s (sc/connect! (sc/server (servers/address owner)))]
                   (sc/add-group! s {:confirm true})))})

(def ^:private handle-options
  {:watch-patience-ms 20000, :on-lost :restore, :restore-by-hand true})

(defn- known-ids [s] (set (keys (:nodes (sc/state s)))))

(defn- told-ids [s]
  (set (map :id (tree-seq :children :children (sc/query-tree s {:controls false, :timeout-ms 20000})))))

(defn- soak!
  "Soaks a server of a kind; returns a row of the table."
  [kind seed]
  (with-open [^Closeable owner (sc/boot! (sc/server (servers/options kind (merge handle-options {:maximum-logins 4, :memory-size 65536}))))
              ^Closeable p     (proxy/start! (servers/address owner))
              ^Closeable guest (sc/connect! (sc/server (merge handle-options (servers/address owner) {:port (proxy/port p)})))]
    (run! #(sc/add-synthdefs! % hum) [owner guest])
    (let [roots   (vec (for [s [owner owner guest guest]] [s (:id (sc/add-group! s {:confirm true, :target 0, :action :tail}))]))
          stop?   (atom false)
          tally   (atom {})
          all     {:owner owner, :guest guest, :proxy p}
          run     (fn [] (doall (map-indexed (fn [i [s root]] (future (work! s root (+ seed i) stop? tally))) roots)))
          r       (Random. seed)
          until   (+ (System/nanoTime) (long (* minutes 60e9)))
          threads (run)
          _       (pause! (min 20000 (long (* minutes 6000))))
          start   (usage)
          happened (loop [happened {}]
                     (if (< (System/nanoTime) until)
                       (let [k (one-of r (vec (sort (keys faults))))]
                         ((faults k) all r)
                         (proxy/trouble! p nil)
                         (pause! 2000)
                         (recur (update happened k (fnil inc 0))))
                       happened))]
      (reset! stop? true)
      (let [made (mapv deref threads)]
        (pause! 1000)
        (doseq [s [owner guest]]
          (sc/sync! s {:timeout-ms 20000})
          (sc/repair! s {:timeout-ms 20000})
          (is (= [] (sc/drift s {:timeout-ms 20000})))
          (is (eventually #(= (known-ids s) (told-ids owner)))))
        (testing "buffers and buses that were given back come again"
          (doseq [mine made, e (concat (:buffers mine) (:buses mine))] (error-of #(sc/free! e)))
          (is (eventually #(= [{} #{} #{}] (let [{:keys [buffers buses]} (sc/state owner)] [buffers (set (:audio buses)) (set (:control buses))])))))
        (let [end (usage)]
          (is (= [:online :online] (map sc/boot-status [owner guest])))
          (is (< (- (:heap-mb end) (:heap-mb start)) 30.0))
          (is (<= (:threads end) (+ 3 (:threads start))))
          ;; The proxy keeps a socket for each of the last eight ports from which the guest has come.
          (is (<= (:descriptors end) (+ 11 (:descriptors start))))
          (is (every? keyword? (keys @tally)) "every error has a name")
          {:kind (:executable kind), :minutes minutes, :seed seed, :start start, :end end, :faults happened, :calls @tally})))))

(deftest ^:soak nothing-grows-and-nothing-is-lost
  (doseq [kind servers/udp-kinds]
    (println (soak! kind (rand-int 1000000)))))

(ns ^:many-servers espalier.healing-test
  "A server that is lost comes back as it was, or the handle says why not."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.model.spectrum :as spectrum]
   [espalier.proxy :as proxy]
   [espalier.rehearsal :as rehearsal]
   [espalier.runtime.handle :as handle]
   [espalier.servers :as servers :refer [error-of events]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :refer [line:ar out:ar sin-osc:ar]]
   [espalier.wav :as wav])
  (:import
   (espalier.kernel ServerProcess ServerProcess$Spec)
   (java.io Closeable File)
   (java.net DatagramSocket InetSocketAddress)
   (java.time Duration)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- handle [kind & [more]]
  (sc/server (servers/options kind (merge {:on-lost :restore} more))))

(defsynth ^:private tone [freq 440]
  (out:ar 0 (* 0.2 (sin-osc:ar freq))))

(defn- piece
  "A tree of so many synths in groups of ten, all with keys."
  [n]
  [:group {:key :all}
   (for [voices (partition-all 10 (range n))]
     [:group {:key [:group (first voices)]}
      (for [i voices]
        [:synth {:key [:voice i], :def instruments/organ} {:freq (+ 100 i), :amp 0.001}])])])

(defn- told
  "What the server says of a client's nodes: keys, order, controls."
  [s]
  (sc/query-tree s {:group (sc/default-group s)}))

(defn- kill! [s]
  (servers/signal! "KILL" (servers/pid s)))

(defn- jack-pid [s]
  (.pid ^ServerProcess (:process (:jack (handle/state s)))))

(defn- event
  "Waits for one of these events of `s` after `f` was called, and returns it; of any other thread's too."
  [s names f]
  (let [queue (LinkedBlockingQueue.)
        id    (sc/on-lifecycle! s names #(.put queue %))]
    (try (f)
         (.poll queue 30 TimeUnit/SECONDS)
         (finally (sc/off! s id)))))

(defn- thief
  "What holds the port of a handle."
  ^Closeable [s]
  (doto (DatagramSocket. nil)
    (.bind (InetSocketAddress. "127.0.0.1" (int (:port (servers/address s)))))))

(deftest a-killed-server-is-as-it-was
  (servers/each-kind (cons {:executable "scsynth", :protocol :tcp} servers/udp-kinds) {:on-lost :restore, :when-restoring :wait}
    (fn [s]
      (let [wanted (atom (piece 12))]
        (with-open [f ^Closeable (sc/follow! s wanted)]
          (let [voice  (sc/node s [:voice 3])
                bus    (doto (sc/add-bus! s) (sc/set-bus! 0.25))
                buffer (sc/add-buffer! s {:samples [0.5 -0.5]})
                before (told s)
                shown  (promise)
                seen   (events s)]
            (sc/on-lifecycle! s :restoring (fn [_] (deliver shown (str s))))
            (kill! s)
            (is (= [:process-died :disconnected :restoring :process-booted :connecting :restored :connected :booted] (seen :booted)))
            (is (str/starts-with? (deref shown 1000 "") "#<Server "))
            (is (= before (told s)) "keys, order, controls and ids")
            (is (= {:freq 103.0} (sc/get-controls voice [:freq])) "what the user holds is valid")
            (is (= 0.25 (sc/get-bus bus)))
            (is (= [0.5 -0.5] (vec (sc/get-sample-range buffer 0 2))))
            (is (= [] (sc/drift s)))
            (is (= {:nodes 15} (select-keys (get-in (datafy s) [:restored :restored]) [:nodes])))
            (is (some #(re-find #"^Restored: 1 SynthDef, 1 buffer, 1 bus and 15 nodes" (:text %)) (sc/log s)))
            (testing "and goes on"
              (reset! wanted (piece 13))
              (sc/await-followed f)
              (is (= {:freq 112.0} (sc/get-controls (sc/node s [:voice 12]) [:freq]))))))))))

(deftest what-is-stopped-is-said-within-a-second
  (with-open [s ^Closeable (sc/boot! (handle {}))]
    (sc/reconcile! s (piece 3))
    (let [before (told s)]
      (doseq [[what why break] [["the server" #"^its process is stopped" #(servers/signal! "STOP" (servers/pid s))]
                                ["its JACK" #"^its JACK server is stopped" #(servers/signal! "STOP" (jack-pid s))]
                                ["JACK killed" #"^its process ended" #(servers/signal! "KILL" (jack-pid s))]]]
        (testing what
          (let [lost (promise), seen (event s :restored (fn [] (sc/on-lifecycle! s :restoring #(deliver lost (:why %))) (break)))]
            (is (= :restored (:event seen)))
            (is (re-find why (deref lost 0 "")))
            (is (= before (told s)))))))))

(deftest a-port-that-is-taken-meanwhile
  (let [stolen (atom nil)
        s      (handle {} {:on-lost (fn [s {:keys [event exit-code]}]
                                      (reset! stolen (thief s))
                                      (when (= [:process-died 137] [event exit-code]) :restore))
                           :restore-attempts 3})
        seen   (events s)]
    (sc/boot! s)
    (seen :booted)
    (sc/reconcile! s (piece 3))
    (let [before (told s)]
      (testing "is named when there is no hope, within bounds"
        (let [{:keys [error]} (event s :restore-failed #(kill! s))]
          (is (= [:process-died :disconnected :restoring :boot-failed :restoring :boot-failed :restoring :boot-failed :restore-failed :lost] (seen :lost)))
          (is (= [:espalier.error/server-not-restored :port-taken] [(:espalier/error (ex-data error)) (:reason (ex-data (ex-cause error)))]))
          (is (= :lost (sc/boot-status s)))
          (is (re-find #"and was not restored in 3 attempts; the last one failed: .*\(sc/reboot! s \{:restore true\}\)" (ex-message (servers/thrown #(sc/status s)))))
          (is (empty? (servers/our-processes)))))
      (testing "and what was lost is not forgotten"
        (is (= :server-cannot-boot (error-of #(sc/reboot! s {:restore true}))))
        (.close ^Closeable @stolen)
        (sc/reboot! s {:restore true})
        (is (= before (told s)))
        (is (= [] (sc/drift s))))
      (testing "calls made meanwhile fail at once"
        (let [failed (promise)]
          (sc/on-lifecycle! s :boot-failed (fn [_] (deliver failed [(str s) (servers/thrown #(sc/sync! s))])))
          (event s :restored (fn []
                               (kill! s)
                               (let [[shown e] (deref failed 10000 nil)]
                                 (is (str/starts-with? shown "#<Server RESTORING ["))
                                 (is (= :espalier.error/server-offline (:espalier/error (ex-data e))))
                                 (is (re-find #"is being restored.*:when-restoring :wait" (ex-message e))))
                               (is (= :server-online (error-of #(sc/boot! s))) "nor can it be booted")
                               (.close ^Closeable @stolen)))
          (is (= before (told s)))))
      (testing "quit! ends it at once"
        (event s :boot-failed #(kill! s))
        (is (= :offline (sc/boot-status (sc/quit! s))))
        (is (empty? (servers/our-processes)))
        (.close ^Closeable @stolen)
        (is (= 2 (:group-count (sc/status (sc/boot! s)))) "and what was there is forgotten"))
      (sc/quit! s))))

(deftest calls-may-wait
  (let [stolen (atom nil)
        s      (sc/boot! (handle {} {:on-lost (fn [s _] (reset! stolen (thief s)) :restore), :when-restoring :wait, :timeout-ms 5000}))]
    (sc/add-bus! s)
    (event s :boot-failed #(kill! s))
    (let [calls (mapv (fn [f] (future (f))) (concat (repeat 3 #(:group-count (sc/status s))) [#(sc/boot-status (sc/reset-server! s))]))]
      (.close ^Closeable @stolen)
      (is (= [2 2 2 :online] (mapv #(deref % 20000 :hangs) calls)))
      (is (= 1 (:id (sc/add-bus! s))) "what is taken stays taken"))
    (testing "not for ever"
      (event s :boot-failed #(kill! s))
      (let [patient (future (error-of #(sc/sync! s)))]
        (sc/quit! s)
        (is (= :server-offline (deref patient 1000 :waits)) "nor when there is nothing to wait for any more"))
      (.close ^Closeable @stolen))))

(deftest who-decides-against-it
  (doseq [[decide said] [[(fn [_ _] :offline) [:process-died :disconnected :lost]]
                         [(fn [_ _] (throw (ex-info "on purpose" {}))) [:process-died :disconnected :handler-failed :lost]]]]
    (let [s    (sc/boot! (handle {} {:on-lost decide}))
          seen (events s)]
      (kill! s)
      (is (= said (seen :lost)))
      (is (= :lost (sc/boot-status s)))
      (is (empty? (servers/our-processes)))))
  (testing "kill-all! means it"
    (let [s    (sc/boot! (handle {}))
          seen (events s)]
      (sc/kill-all!)
      (is (= [:process-died :disconnected :lost] (seen :lost))))))

(deftest what-ends-a-server-again-is-not-restored-for-ever
  (with-open [s ^Closeable (sc/boot! (handle {} {:restore-attempts 2}))]
    (let [seen  (events s)
          ;; What a server of its own accord ends with.
          crash (fn [] (servers/signal! "SEGV" (servers/pid s)))]
      (sc/on-lifecycle! s :restored (fn [_] (crash)))
      (crash)
      (is (= [:process-died :restoring :restored :process-died :restoring :restored :process-died :restore-failed :lost]
             (filter #{:process-died :restoring :restored :restore-failed :lost} (seen :lost))))
      (is (= :lost (sc/boot-status s))))))

(deftest a-rehearsal-comes-again-too
  (with-open [s ^Closeable (sc/boot! (sc/server {:executable :rehearsal, :port (sc/find-free-port), :on-lost :restore}))]
    (sc/reconcile! s (piece 3))
    (let [before (told s)]
      (is (= :restored (:event (event s [:restored :restore-failed] #(rehearsal/die! s)))))
      (is (= before (told s))))))

(deftest reboot-with-everything
  (with-open [s ^Closeable (sc/boot! (sc/server (servers/options {} {:restore-by-hand true})))]
    (sc/reconcile! s (piece 3))
    (let [by-hand (sc/add-synth! s :organ {:freq 500, :amp 0.001})
          before (told s), voice (sc/node s [:voice 1]), seen (events s)]
      (sc/reboot! s {:restore true})
      (is (= [:quitting :process-quit :disconnected :quit :booting :process-booted :connecting :restored :connected :booted] (seen :booted)))
      (is (= [before {:freq 101.0} {:freq 500.0}] [(told s) (sc/get-controls voice [:freq]) (sc/get-controls by-hand [:freq])]))
      (sc/reboot! s)
      (is (= [] (:children (told s))) "as ever")
      (is (= :dead-entity (error-of #(sc/get-controls voice [:freq])))))))

(deftest a-guest-comes-again
  (servers/each-kind servers/udp-kinds {:maximum-logins 4, :on-lost :restore}
    (fn [owner]
      (let [others (vec (repeatedly 2 #(sc/connect! (sc/server (assoc (servers/address owner) :on-lost :restore, :maximum-logins 4)))))
            all    (cons owner others)]
        (doseq [s all] (sc/reconcile! s (piece 2)))
        (let [before (mapv told all)
              ids    (mapv sc/client-id all)
              back   (mapv (fn [s] (let [p (promise)] (sc/on-lifecycle! s :connected (fn [_] (deliver p true))) p)) all)]
          (kill! owner)
          (is (every? #(deref % 30000 false) back))
          (is (= ids (mapv sc/client-id all)) "each is who it was")
          (is (= before (mapv told all)))
          (is (every? #(= [] (sc/drift %)) all)))
        (testing "for a while only, when the server does not"
          (let [[a b] others]
            (is (= :restoring (:event (event a :restoring #(sc/quit! owner)))))
            (is (= :offline (sc/boot-status (sc/disconnect! a))))
            (is (= :offline (do (.close ^Closeable b) (sc/boot-status b))))))))))

(deftest a-guest-that-the-server-has-forgotten
  (with-open [owner ^Closeable (sc/boot! (sc/server (servers/options {} {:maximum-logins 2})))
              guest ^Closeable (sc/connect! (sc/server (assoc (servers/address owner) :on-lost :restore, :maximum-logins 2)))]
    (sc/reconcile! guest (piece 2))
    (let [before (told guest), seen (events guest)]
      ;; As another server in its place would not know it.
      (sc/send! guest ["/notify" 0])
      (sc/sync! guest)
      (is (= :server-slow (:event (event guest :server-slow #(servers/signal! "STOP" (servers/pid owner))))))
      (is (= :restored (:event (event guest :restored #(servers/signal! "CONT" (servers/pid owner))))))
      (is (= [:server-slow :connection-closed :disconnected :restoring :connecting :restored :connected] (seen :connected)))
      (is (= before (told guest)))
      (is (= 1 (sc/client-id guest))))))

(deftest a-guest-that-hears-of-no-end
  (testing "where nothing says that a port is closed, as behind a gateway"
    (servers/each-kind servers/udp-kinds {:maximum-logins 2, :on-lost :restore}
      (fn [owner]
        (with-open [gateway ^Closeable (proxy/start! (servers/address owner))
                    guest   ^Closeable (sc/connect! (sc/server (assoc (servers/address owner) :port (proxy/port gateway), :on-lost :restore, :maximum-logins 2)))]
          (sc/reconcile! guest (piece 2))
          (let [before (told guest)]
            (is (= :restored (:event (event guest :restored #(kill! owner)))))
            (is (= before (told guest)))
            (is (= 1 (sc/client-id guest)))))))))

(deftest what-was-under-way-comes-back-to-nobody
  (with-open [s ^Closeable (sc/boot! (sc/server {:executable :rehearsal, :port (sc/find-free-port), :on-lost :restore}))]
    (let [kept  (sc/add-buffer! s {:samples [0.5 0.25]})
          going (sc/add-buffer! s {:frame-count 64})
          from  (:n (peek (sc/trace s)))
          ;; What is asked of it has no answer until it dies.
          _     (rehearsal/trouble! s {:drop 1.0})
          calls [(future (error-of #(sc/add-buffer! s {:frame-count 64, :timeout-ms 20000})))
                 (future (error-of #(sc/free! going {:timeout-ms 20000})))]]
      (is (servers/eventually #(= 2 (count (sc/trace s {:direction :sent, :address #{"/b_alloc" "/b_free"}, :after from})))))
      (is (= :restored (:event (event s [:restored :restore-failed] #(rehearsal/die! s)))))
      (is (= [:server-offline :server-offline] (map deref calls)))
      (is (= [(:id kept)] (keys (:buffers (sc/state s)))))
      (is (= [0.5 0.25] (vec (sc/get-sample-range kept 0 2))))
      (is (= :freed-entity (error-of #(sc/free! going)))))))

;; ---- at length

(defn- milliseconds ^long [] (quot (System/nanoTime) 1000000))

(deftest ^:soak two-hundred-nodes-come-back-fifty-times
  (doseq [{:keys [executable] :as kind} servers/udp-kinds]
    (testing executable
      (let [s    (handle kind {:memory-size 65536})
            boot (let [start (milliseconds)] (sc/boot! s) (- (milliseconds) start))]
        (sc/reconcile! s (piece 200))
        (let [before (told s)
              times  (sort (vec (repeatedly 50 (fn []
                                                 (let [start (milliseconds)]
                                                   (is (= :restored (:event (event s [:restored :restore-failed] #(kill! s)))))
                                                   (let [ms (- (milliseconds) start)]
                                                     (is (= before (told s)))
                                                     ms))))))]
          (is (= [] (sc/drift s)))
          (println (format "%s: 200 keyed nodes after kill -9, 50 times: min %d, median %d, max %d ms; its boot took %d ms"
                           (name executable) (first times) (nth times 25) (last times) boot))
          ;; On a machine that others keep busy everything takes its time, a boot too.
          (is (< (long (last times)) (max 2000 (* 3 (long boot))))))
        (sc/quit! s)))))

(deftest ^:soak a-machine-whose-jack-is-another
  (let [jackd (fn [rate] (ServerProcess/start (ServerProcess$Spec. ["jackd" "-n" "espalier-test" "-r" "--no-mlock" "-d" "dummy" "-r" rate "-p" "64"])))
        first-jack ^ServerProcess (jackd "44100")
        s     (sc/server {:port (sc/find-free-port), :load-synthdefs false, :input-device "espalier-test:us", :on-lost :restore, :restore-attempts 100})]
    (is (servers/eventually #(= :none (error-of (fn [] (sc/boot! s))))))
    (sc/reconcile! s (piece 3))
    (let [before (told s), seen (events s)]
      (event s :boot-failed #(servers/signal! "KILL" (.pid first-jack)))
      (let [second-jack ^ServerProcess (jackd "48000")]
        (try
          (is (contains? (set (seen :booted)) :restored))
          (is (= [before 48000.0] [(told s) (:target-sample-rate-hz (sc/status s))]))
          (finally
            (sc/quit! s)
            (.end second-jack nil Duration/ZERO (Duration/ofSeconds 5))))))))

(defn- jack!
  "Runs one of JACK's own programs for a private JACK server, and returns what it prints."
  [environment & command]
  (let [builder (doto (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String command)) (.redirectErrorStream true))]
    (.putAll (.environment builder) environment)
    (slurp (.getInputStream (.start builder)))))

(defn- hear!
  "Connects the first channel of what a server plays to the first that another hears."
  [environment]
  (let [ports (str/split-lines (jack! environment "jack_lsp"))
        port  (fn [pattern] (first (filter #(re-find pattern %) ports)))]
    (jack! environment "jack_connect" (port #"^(?i)(supercollider|supernova).*:out\S*_1$") (port #"^listener.*:in\S*_1$"))))

(defn- runs
  "By blocks of samples, whether there is sound, as runs: [[true 200] [false 30] …]."
  [^floats xs block]
  (->> (range 0 (- (alength xs) (long block)) block)
       (map (fn [i] (boolean (some #(< 1e-3 (Math/abs (aget xs (int %)))) (range i (+ (long i) (long block)) 7)))))
       (partition-by identity)
       (mapv (juxt first count))))

(defn- spectrum-of ^doubles [^floats xs from n]
  (spectrum/magnitudes (double-array (map #(aget xs (int %)) (range from (+ (long from) (long n)))))))

(defn- likeness
  "How alike two spectra are: the cosine between them."
  [^doubles a ^doubles b]
  (letfn [(dot [^doubles a ^doubles b] (areduce a i sum 0.0 (+ sum (* (aget a i) (aget b i)))))]
    (/ (double (dot a b)) (Math/sqrt (* (double (dot a a)) (double (dot b b)))))))

(deftest ^:soak the-recording-has-one-gap-and-then-the-same-spectrum
  (doseq [{:keys [executable] :as kind} servers/udp-kinds]
    (testing executable
      (let [file  (doto (File/createTempFile "survival" ".wav") .deleteOnExit)
            s     (sc/boot! (handle kind {:dummy-period-frames 1024}))
            jack  (:environment (:jack (handle/state s)))
            tones (sc/reconcile! s {:synthdefs [tone]
                                    :tree (for [[i freq] (map-indexed vector [220 550 1370])] [:synth {:key [:tone i], :def :tone} {:freq freq}])})]
        (is (:confirmed? tones))
        ;; It hears on the same JACK server, which outlives the one that plays.
        (with-open [listener ^Closeable (sc/boot! (sc/server {:port (sc/find-free-port), :load-synthdefs false
                                                              :input-device (str (get jack "JACK_DEFAULT_SERVER") ":listener")}))]
          (hear! jack)
          (let [recording (sc/record! listener file {:bus (sc/audio-input-bus-group listener), :sample-format "float"})]
            (sc/await-ended (sc/play listener (line:ar 0 0 2 :done-action :free-self)) {:timeout-ms 20000})
            (event s :restored #(kill! s))
            (hear! jack)
            (sc/await-ended (sc/play listener (line:ar 0 0 2 :done-action :free-self)) {:timeout-ms 20000})
            (sc/stop-recording! recording)))
        (sc/quit! s)
        (let [xs     (wav/samples file)
              sound  (drop-while (complement first) (runs xs 1024))
              n      65536
              after  (- (alength xs) n)
              before (* 1024 (long (reduce + (map second (take-while (complement first) (runs xs 1024))))))]
          (println executable "recorded, in blocks of 23 ms:" (vec sound))
          (is (= [true false true] (map first sound)) "one gap")
          (is (< 0.99 (double (likeness (spectrum-of xs before n) (spectrum-of xs after n))))))))))

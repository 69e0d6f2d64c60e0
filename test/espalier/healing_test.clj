(ns ^:many-servers espalier.healing-test
  "A server that is lost comes back as it was, or the handle says why not."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.runtime.handle :as handle]
   [espalier.servers :as servers :refer [error-of events eventually]])
  (:import
   (espalier.kernel ServerProcess)
   (java.io Closeable)
   (java.net DatagramSocket InetSocketAddress)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- handle [kind & [more]]
  (sc/server (servers/options kind (merge {:on-lost :restore} more))))

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

(deftest reboot-with-everything
  (with-open [s ^Closeable (sc/boot! (sc/server (servers/options {})))]
    (sc/reconcile! s (piece 3))
    (let [before (told s), voice (sc/node s [:voice 1]), seen (events s)]
      (sc/reboot! s {:restore true})
      (is (= [:quitting :process-quit :disconnected :quit :booting :process-booted :connecting :restored :connected :booted] (seen :booted)))
      (is (= [before {:freq 101.0}] [(told s) (sc/get-controls voice [:freq])]))
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

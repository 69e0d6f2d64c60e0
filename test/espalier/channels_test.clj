(ns espalier.channels-test
  "What a server tells, as channels that go on, and that hold nobody up."
  (:require
   [clojure.core.async :as a]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.channels :as channels]
   [espalier.core :as sc]
   [espalier.servers :refer [each-kind error-of eventually options sharing udp-kinds]]))

(set! *warn-on-reflection* true)

(use-fixtures :once sharing)

(defn- soon
  "What a channel gives next, nil where it is closed, or :late."
  [c]
  (a/alt!! c ([x] x) (a/timeout 20000) :late))

(defn- rest-of
  "What a channel gives until it closes."
  [c]
  (take-while some? (repeatedly #(soon c))))

(defn- until
  "The first value of a channel that fits; :late or nil where none comes."
  [wanted? c]
  (some (fn [x] (when (or (contains? #{:late nil} x) (wanted? x)) [x])) (repeatedly #(soon c))))

(deftest a-life-as-a-channel
  (let [s      (sc/server (options (first udp-kinds)))
        all    (channels/events s)
        one    (channels/events s {:events :booted})
        starts (channels/osc s "/n_go")]
    (sc/boot! s)
    (is (= "#<Channel of lifecycle events>" (str all)))
    (is (= ["/n_go" 1 0] (take 3 (soon starts))) "the default group")
    (sc/quit! s)
    (is (= [] (rest-of starts)))
    (is (= [:booting :process-booted :connecting :connected :booted :quitting :process-quit :disconnected :quit] (map :event (rest-of all))))
    (is (= [:booted] (map :event (rest-of one))))
    (is (= "#<Channel of lifecycle events, closed>" (str all)))
    (testing "one of the next boot is another"
      (let [again (channels/events s {:events [:booting]})]
        (is (= :server-cannot-boot (error-of #(sc/boot! s {:ip-address "192.0.2.1"}))))
        (is (= :booting (:event (soon again))))
        (a/close! again)))))

(deftest messages-are-kept-as-far-as-was-asked-for
  (each-kind udp-kinds {}
             (fn [s]
               (let [newest (channels/osc s "/n_go" {:buffer 2})
                     oldest (channels/osc s "/n_go" {:buffer 2, :policy :dropping})
                     one    (channels/osc s ["/n_go" 999999])
                     ids    (mapv (fn [_] (:id (sc/add-group! s {:confirm true}))) (range 5))]
                 (is (eventually #(= 3 (channels/dropped newest) (channels/dropped oldest))))
                 (is (= (drop 3 ids) (map second [(soon newest) (soon newest)])))
                 (is (= (take 2 ids) (map second [(soon oldest) (soon oldest)])))
                 (is (= "#<Channel of OSC \"/n_go\", 3 dropped>" (pr-str newest)))
                 (is (zero? (channels/dropped one)))
                 (testing "closed, nothing is heard any more, and what was there can be taken"
                   (sc/add-group! s {:confirm true})
                   (is (eventually #(= "#<Channel of OSC \"/n_go\", 3 dropped>" (str newest))))
                   (let [c (channels/osc s (fn [[address]] (= "/synced" address)))]
                     (sc/sync! s)
                     (is (= "/synced" (first (soon c))))
                     (a/close! c)
                     (sc/sync! s)
                     (is (nil? (soon c)))))
                 (run! a/close! [newest oldest one])))))

(deftest a-consumer-that-never-takes-delays-nobody
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (let [c (channels/osc s "/synced" {:buffer 1})]
                 (dotimes [_ 200] (sc/sync! s))
                 (is (eventually #(= 199 (channels/dropped c))))
                 (a/close! c)))))

(deftest values-of-a-bus
  (each-kind udp-kinds {}
             (fn [s]
               (let [bus (sc/add-bus! s), buses (sc/add-bus-group! s {:count 2})
                     one (channels/bus-values bus {:every-ms 2, :buffer 1}), two (channels/bus-values buses {:every-ms 2, :buffer 1})]
                 (sc/set-bus! bus 0.25)
                 (sc/set-buses! buses [0.5 0.75])
                 (is (= [0.25] (until #{0.25} one)))
                 (is (= [[0.5 0.75]] (until #{[0.5 0.75]} two)))
                 (a/close! two)
                 (sc/free! bus)
                 (is (= [nil] (until nil? one)) "freed, it closes")
                 (is (= :freed-entity (error-of #(channels/bus-values bus))))
                 (is (= :audio-bus (error-of #(channels/bus-values (sc/add-bus! s {:rate :audio})))))
                 (is (= :no-entity (error-of #(channels/bus-values (sc/default-group s)))))))))

(deftest changes-of-the-tree
  (each-kind udp-kinds {}
             (fn [s]
               (sc/sync! s)
               (let [changes (channels/tree-changes s {:every-ms 5})
                     g       (sc/add-group! s {:confirm true})
                     edit    (fn [wanted] (some (fn [e] (when (= wanted (select-keys e (keys wanted))) true))
                                                (mapcat :edits (until #(or (= :late %) (some (fn [e] (= wanted (select-keys e (keys wanted)))) (:edits %))) changes))))]
                 (is (edit {:edit :add, :node (:id g)}))
                 (sc/reconcile! s [:group {:key :mix}])
                 (is (edit {:edit :add, :node :mix}))
                 (sc/pause! (sc/node s :mix))
                 (is (edit {:edit :run, :node :mix}))
                 (sc/free! g)
                 (is (edit {:edit :free, :node (:id g)}))
                 (a/close! changes)))))

(deftest all-end-with-the-login
  (sc/with-server [s (options (first udp-kinds))]
    (let [all [(channels/osc s "/tr") (channels/bus-values (sc/add-bus! s)) (channels/tree-changes s) (channels/events s {:events :lost})]]
      (sc/quit! s)
      (is (every? #(every? (complement #{:late}) (rest-of %)) all)))))

(deftest what-is-wrong-is-named
  (let [s (sc/server)]
    (is (= :invalid-option (error-of #(channels/events s {:buffer 0})) (error-of #(channels/osc s "/tr" {:policy :sinking}))
           (error-of #(channels/tree-changes s {:every-ms 0}))))
    (is (= :unknown-event (error-of #(channels/events s {:events :boted}))))
    (is (= :unknown-option (error-of #(channels/osc s "/tr" {:size 1}))))
    (is (= :invalid-pattern (error-of #(channels/osc s 7))))
    (is (= :server-offline (error-of #(channels/tree-changes s))))
    (is (= :invalid-argument (error-of #(channels/dropped (a/chan)))))))

(ns ^:many-servers espalier.clients-test
  "Several clients on one server."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.register :as register]
   [espalier.runtime.handle :as handle]
   [espalier.servers :as servers :refer [error-of events]])
  (:import
   (espalier.kernel BlockIds NodeIds)))

(set! *warn-on-reflection* true)

(use-fixtures :once servers/sharing)

(defn- kinds
  "scsynth 3.13 tells only one TCP client apart: see `only-one-tcp-client-of-scsynth`."
  []
  (remove #(and (not= "supernova" (:executable %)) (= :tcp (:protocol %))) servers/kinds))

(defn- ids
  "Ids that the allocators of a handle give: some nodes, and all of the rest."
  [s]
  (let [{:keys [^NodeIds nodes buffers control-buses audio-buses]} (:ids (handle/session s))
        all (fn [^BlockIds b] (set (range (.first b) (.end b))))]
    {:nodes (set (repeatedly 1000 #(.next nodes))), :buffers (all buffers), :control-buses (all control-buses), :audio-buses (all audio-buses)}))

(deftest two-clients-and-no-third
  (servers/each-kind (kinds) {:maximum-logins 2}
    (fn [one]
      (let [two   (sc/server (servers/address one))
            three (sc/server (servers/address one))
            seen  (events three)]
        (dotimes [i (servers/often 100)]
          (sc/connect! two)
          (is (= [1 2] (map (comp :id sc/default-group) [one two])))
          (is (= [0 1] (map sc/client-id [one two])))
          (is (= [:too-many-clients :offline] [(error-of #(sc/connect! three)) (sc/boot-status three)]))
          (is (= [:connecting :connect-failed] (seen :connect-failed)))
          (when (zero? i)
            (testing "what is one's is not the other's, and all is the server's"
              (let [a (ids one), b (ids two)]
                (doseq [k (keys a)]
                  (is (seq (a k)) k)
                  (is (not-any? (a k) (b k)) k))
                (is (every? #(<= 0 % 1023) (into (:buffers a) (:buffers b))))
                (is (every? #(<= 0 % 16383) (into (:control-buses a) (:control-buses b))))
                (is (every? #(<= 16 % 1023) (into (:audio-buses a) (:audio-buses b))))))
            (is (re-matches #"#<Server ONLINE \[\w+ at 127.0.0.1:\d+ \(\w+\), client 1 of 2\]>" (pr-str two))))
          (is (= :offline (sc/boot-status (sc/disconnect! two)))))
        (is (= 44100.0 (:target-sample-rate-hz (sc/status one))) "the server plays on")))))

(deftest clients-leave-and-come-in-any-order
  (servers/each-kind (kinds) {:maximum-logins 4}
    (fn [owner]
      (let [[a b c] (repeatedly 3 #(sc/connect! (sc/server (servers/address owner))))]
        (is (= #{0 1 2 3} (set (map sc/client-id [owner a b c]))))
        (sc/disconnect! a)
        (let [d (sc/connect! (sc/server (servers/address owner)))]
          (is (= #{0 1 2 3} (set (map sc/client-id [owner b c d]))) "nobody gets another's id")
          (run! sc/disconnect! [b c d]))))))

(deftest a-client-that-has-died-keeps-no-place
  ;; supernova counts no logins: who dies leaves its claim.
  (servers/each-kind (filter #(= "supernova" (:executable %)) (kinds)) {:maximum-logins 2}
    (fn [owner]
      (let [claims #(register/parse (sc/request! owner ["/g_queryTree" register/group-id 0] ["/g_queryTree.reply" 0 register/group-id]))
            dead   (register/claim-id 1 (sc/find-free-port) 3)]
        (sc/send! owner ["/g_new" dead 1 register/group-id])
        (is (= dead (get-in (claims) [:claims 1])))
        (let [guest (sc/connect! (sc/server (servers/address owner)))]
          (is (= 1 (sc/client-id guest)))
          (is (not= dead (get-in (claims) [:claims 1])))
          (is (= :too-many-clients (error-of #(sc/connect! (sc/server (servers/address owner))))) "who lives keeps it")
          (is (= :online (sc/boot-status guest) (sc/boot-status owner)))
          (sc/disconnect! guest))))))

(deftest what-an-earlier-client-has-left-is-in-nobodys-way
  (servers/each-kind (kinds) {:maximum-logins 2}
    (fn [owner]
      (let [made (vec (for [_ (range 3)]
                        (let [guest (sc/connect! (sc/server (servers/address owner)))
                              group (sc/add-group! guest {:confirm true})]
                          (is (= 1 (sc/client-id guest)))
                          (sc/disconnect! guest)
                          (:id group))))]
        (is (apply distinct? made))
        (is (servers/eventually #(every? (:nodes (sc/state owner)) made)))))))

(deftest logins-are-rounded-as-the-server-rounds-them
  (servers/each-kind [{:executable "scsynth", :protocol :udp}] {:maximum-logins 3}
    (fn [owner]
      (let [others (vec (repeatedly 3 #(sc/connect! (sc/server (servers/address owner)))))]
        (is (= [1 2 3 4] (map (comp :id sc/default-group) (cons owner others))))
        (is (= :too-many-clients (error-of #(sc/connect! (sc/server (servers/address owner))))))
        (is (= 256 (count (:buffers (ids owner)))))
        (run! sc/disconnect! others)))))

(deftest a-guest-resets-only-what-is-its-own
  (servers/each-kind (kinds) {:maximum-logins 2}
    (fn [owner]
      (with-open [guest ^java.io.Closeable (sc/connect! (sc/server (servers/address owner)))]
        (sc/send! owner ["/g_new" 1000 0 1])
        (sc/send! guest ["/g_new" 67109864 0 2])
        (sc/sync! owner)
        (sc/reset-server! guest)
        (is (= [[1000] []] (for [g [1 2]] (mapv :id (:children (sc/query-tree owner {:group g}))))))
        (sc/send! guest ["/g_new" 67109865 0 2])
        (sc/sync! guest)
        (sc/reset-server! owner)
        (is (= [[] []] (for [g [1 2]] (mapv :id (:children (sc/query-tree guest {:group g}))))))))))

(deftest only-the-owner-quits
  (servers/each-kind (kinds) {:maximum-logins 2}
    (fn [owner]
      (let [guest (sc/connect! (sc/server (servers/address owner)))
            saw   [(events owner) (events guest)]]
        (is (false? (sc/owner? guest)))
        (is (= :unowned-server-shutdown (error-of #(sc/quit! guest)) (error-of #(sc/reboot! guest))))
        (is (= :online (sc/boot-status guest) (sc/boot-status owner)))
        (sc/quit! guest {:force true})
        (is (= :offline (sc/boot-status guest)))
        (is (= [:quitting :disconnected :quit] ((second saw) :quit)))
        (is (= [:process-died :disconnected :lost] ((first saw) :lost)))
        (is (= :lost (sc/boot-status owner)))))))

(deftest a-guest-finds-the-owner-gone
  (servers/each-kind (filter #(= :udp (:protocol %)) (kinds)) {:maximum-logins 2}
    (fn [owner]
      (let [guest (sc/connect! (sc/server (merge (servers/address owner) {:watch-interval-ms 100, :watch-patience-ms 500})))
            seen  (events guest)]
        (sc/quit! owner)
        (is (= [:connection-closed :disconnected :lost] (seen :lost)))
        (let [e (servers/thrown #(sc/status guest))]
          (is (re-find #"\(sc/connect! s \{:port \d+\}\)" (ex-message e))))
        (is (= :nobody-listens (error-of #(sc/connect! guest))))
        (is (= :offline (sc/boot-status guest)))))))

(deftest only-one-tcp-client-of-scsynth
  (servers/each-kind [{:executable "scsynth", :protocol :tcp}] {:maximum-logins 2}
    (fn [owner]
      (let [guest (sc/server (servers/address owner))]
        (when (not= :none (error-of #(sc/connect! guest)))
          (is (= :already-registered (error-of #(sc/connect! guest))))
          (is (= :offline (sc/boot-status guest))))
        (sc/disconnect! guest)
        (is (= 44100.0 (:target-sample-rate-hz (sc/status owner))) "the first client is not harmed")))))

(deftest connecting-where-no-server-is
  (doseq [protocol [:udp :tcp]]
    (let [s    (sc/server {:protocol protocol, :port (sc/find-free-port)})
          seen (events s)]
      (is (= :nobody-listens (error-of #(sc/connect! s))) protocol)
      (is (= [:connecting :connect-failed] (seen :connect-failed)))
      (is (= :offline (sc/boot-status s)))))
  (testing "somebody who does not speak OSC"
    (with-open [mute (java.net.DatagramSocket. 0 (java.net.InetAddress/getLoopbackAddress))]
      (let [e (servers/thrown #(sc/connect! (sc/server) {:port (.getLocalPort mute), :timeout-ms 200}))]
        (is (= [:espalier.error/no-answer 200] ((juxt :espalier/error :timeout-ms) (ex-data e)))))))
  (testing "and the handle works afterwards"
    (with-open [mute (java.net.DatagramSocket. 0 (java.net.InetAddress/getLoopbackAddress))]
      (let [s (sc/server (servers/options {}))]
        (is (= :no-answer (error-of #(sc/connect! s {:port (.getLocalPort mute), :timeout-ms 100}))))
        (sc/boot! s)
        (is (= 2 (:group-count (sc/status s))))
        (sc/quit! s)))))

(ns espalier.inspection-test
  "What tools find that look into values: datafy and nav, from the handle on; and pprint."
  (:require
   [clojure.datafy :refer [datafy nav]]
   [clojure.pprint :as pprint]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.repl :as repl]
   [espalier.servers :refer [each-kind eventually last-n options sent-after sharing udp-kinds]]))

(set! *warn-on-reflection* true)

(use-fixtures :once sharing)

(defn- into-key
  "What navigating into a key of what x datafies to leads to."
  [x k]
  (let [data (datafy x)] (nav data k (get data k))))

(defn- down [x & ks] (reduce into-key x ks))

(deftest from-the-handle-to-everything
  (each-kind udp-kinds {}
             (fn [s]
               (sc/add-synthdefs! s instruments/bell)
               (let [buffer (sc/add-buffer! s {:frame-count 64, :channel-count 2})
                     bus    (sc/add-bus! s)
                     {:keys [ids]} (sc/reconcile! s [:group {:key :mix} [:synth {:key :low, :def instruments/organ} {:freq 110, :pan [:map bus]}]])
                     bell   (sc/add-synth! s :bell {:decay 30} {:confirm true})
                     n      (last-n s)]
                 (testing "without asking the server"
                   (is (= [:online 0 true] ((juxt :status :client-id :owner?) (datafy s))))
                   (is (= (sc/root-node s) (down s :tree)))
                   (is (eventually #(some #{(sc/default-group s)} (:children (datafy (sc/root-node s))))))
                   (is (eventually #(= #{(:mix ids) (:id bell)} (set (map :id (down s :default-group :children))))))
                   (is (= {:id (:low ids), :kind :synth, :key :low, :def "organ", :status :playing}
                          (select-keys (datafy (sc/node s :low)) [:id :kind :key :def :status])))
                   (is (= [110.0 (sc/map-symbol bus)] ((juxt #(get % "freq") #(get % "pan")) (:controls (datafy (sc/node s :low))))))
                   (is (= (:mix ids) (:id (down (sc/node s :low) :parent))))
                   (is (= (sc/default-group s) (down (sc/node s :low) :parent :parent)))
                   (is (= 64 (:frame-count (datafy (down s :buffers (:id buffer))))))
                   (is (= {:frame-count 64, :channel-count 2} (select-keys (datafy buffer) [:frame-count :channel-count])))
                   (is (= bus (first (down s :buses :control))))
                   (is (= [(:low ids)] (map :id (down bus :mapped))))
                   (is (= instruments/bell (down bell :def) (down s :synthdefs "bell")))
                   (is (= {:name :port, :value (:port (:options (datafy s))), :default 57110} (select-keys (down s :options :port) [:name :value :default])))
                   (is (= "#<Log" (subs (pr-str (down s :log)) 0 5)))
                   (is (= [] (sent-after s n))))
                 (testing "but for the controls of a synth"
                   (sc/set-controls! bell {:freq 550})
                   (is (= 550.0 (get (down bell :controls) "freq"))))
                 (testing "what is gone says so"
                   (sc/free! bell {:confirm true})
                   (sc/free! buffer)
                   (is (eventually #(= :gone (:status (datafy bell)))))
                   (is (= {:id (:id buffer), :kind :buffer, :status :gone} (select-keys (datafy buffer) [:id :kind :status]))))
                 (sc/free! bus)))))

(deftest nothing-throws-offline
  (let [s (sc/server (options (first udp-kinds)))]
    (is (= :offline (:status (datafy s))))
    (is (= 1024 (:value (down s :options :buffer-count))))
    (sc/boot! s)
    (let [bell (do (sc/add-synthdefs! s instruments/bell) (sc/add-synth! s :bell))
          data (datafy bell), all (datafy s), root (sc/root-node s), buses (sc/audio-output-bus-group s)]
      (is (= {:kind :bus-group, :count 8, :rate :audio} (select-keys (datafy buses) [:kind :count :rate])))
      (sc/quit! s)
      (doseq [data [data all], [k v] data]
        (is (any? (datafy (nav data k v))) (str k)))
      (is (= (:controls data) (nav data :controls (:controls data))) "what is known, where nobody can be asked")
      (is (= [:gone :gone :gone] (map (comp :status datafy) [bell root buses])))
      (is (= :offline (:status (datafy s)))))))

(deftest synthdefs-and-ugens
  (let [{:keys [name controls ugens]} (datafy instruments/bell)]
    (is (= ["bell" 440.0] [name (get-in controls ["freq" :default])]))
    (let [{:keys [doc functions inputs]} (datafy (first (filter #(= "SinOsc" (:class %)) ugens)))]
      (is (str/starts-with? doc "Sine"))
      (is (= ["sin-osc:ar" "sin-osc:kr"] functions))
      (is (seq inputs)))))

(defn- pretty [x] (with-out-str (pprint/pprint x)))

(deftest one-line-by-pprint-too
  (each-kind (take 1 udp-kinds) {}
             (fn [s]
               (sc/add-synthdefs! s instruments/bell)
               (let [plan   (sc/plan s [:group {:key :mix}])
                     report (sc/reconcile! s [:group {:key :mix}])]
                 (doseq [x [plan report]]
                   (is (= (str (pr-str x) "\n") (pretty x))))
                 (is (= (str "[" (pr-str plan) "\n " (pr-str plan) "]\n") (pretty [plan plan])))
                 (repl/adopt s)
                 (is (= "#<Group 1>\n" (pretty (sc/default-group s))))
                 (repl/adopt (sc/server))
                 (is (map? report))
                 (is (= {:confirmed? true} (select-keys report [:confirmed?])))))))

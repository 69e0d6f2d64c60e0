(ns ^:many-servers espalier.buses-test
  "Buses on every kind of server: what a call says that it does, the server must say
  too. One server of each kind, with few buses, plays all of these."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.test :refer [deftest do-report is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers :refer [error-of refused refuses]]))

(set! *warn-on-reflection* true)

;; ---- the servers

(def ^:private control-buses 512)
(def ^:private audio-buses 32)
(def ^:private private-buses "Those that are not of the device." (- audio-buses 16))

(def ^:private handles (atom []))

(defn- with-each-kind [tests]
  (servers/keeping handles (map #(servers/options % {:control-bus-channel-count control-buses
                                                    :audio-bus-channel-count   audio-buses})
                               servers/kinds)
                   tests))

(use-fixtures :once with-each-kind)

(defn- each-server
  "Calls `f` with each server, on which no bus is taken. One that a test has killed is
  booted again for the next."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (str (name (:engine (datafy s))) " " (name (:protocol (:options (datafy s)))))
      (try (f s)
           (catch Throwable e (do-report {:type :error, :expected nil, :actual e})))
      (is (= :online (sc/boot-status s)))
      (is (= {:control #{}, :audio #{}} (:buses (sc/state s))) "each test gives back what it takes"))))

(defn- another-than [s] (first (remove #(identical? s %) @handles)))

;; ---- what is seen

(defn- told
  "The value of a control bus as the server tells it."
  [s id]
  (double (peek (sc/request! s ["/c_get" id] ["/c_set" id]))))

;; ---- values

(deftest a-bus-is-set-and-asked
  (each-server
    (fn [s]
      (let [a (sc/add-bus! s), b (sc/add-bus! s {:rate :control})]
        (sc/set-bus! a 0)
        (sc/set-bus! b 0)
        (is (identical? a (sc/set-bus! a 0.1)))
        (is (identical? b (sc/set-bus! b -7 {:confirm true})))
        (is (= [0.1 -7.0] (mapv sc/get-bus [a b])))
        (is (= [(double (float 0.1)) -7.0] (mapv #(told s (:id %)) [a b])))
        (doseq [[sent kept] {1/4 0.25, 3N 3.0, 0.5M 0.5, ##Inf ##Inf, ##-Inf ##-Inf, -3.4e38 -3.4e38, (int 5) 5.0, (float 1.5) 1.5, 2147483647 2.14748365e9}]
          (sc/set-bus! a sent)
          (is (= kept (sc/get-bus a)) (pr-str sent)))
        (is (= -7.0 (sc/get-bus b)) "the neighbour stays")
        (run! sc/free! [a b])))))

(deftest a-group-of-buses-is-set-filled-and-asked
  (each-server
    (fn [s]
      (let [left  (sc/add-bus! s)
            g     (sc/add-bus-group! s {:count 4})
            right (sc/add-bus! s)
            [a b :as members] (sc/members g)]
        (is (= [(range (:id g) (+ 4 (long (:id g)))) (repeat 4 :bus)] [(map :id members) (map :kind members)]))
        (run! #(sc/set-bus! % 9) [left right])
        (is (identical? g (sc/fill-buses! g 0.5)))
        (is (= [0.5 0.5 0.5 0.5] (sc/get-buses g)))
        (is (identical? g (sc/set-buses! g [1 0.1 -3] {:confirm true})))
        (is (= [1.0 0.1 -3.0 0.5] (sc/get-buses g)))
        (is (= [1.0 -3.0] (mapv #(told s %) [(:id g) (+ 2 (long (:id g)))])))
        (sc/set-buses! g (float-array [4 3 2 1]))
        (is (= [4.0 3.0 2.0 1.0] (sc/get-buses g)))
        (testing "its members by themselves"
          (sc/set-bus! b 33)
          (is (= [4.0 33.0] [(sc/get-bus a) (sc/get-bus b)]))
          (is (= [4.0 33.0 2.0 1.0] (sc/get-buses g)))
          (is (= :part-of-group (error-of #(sc/free! a)))))
        (testing "a single bus is a group of one"
          (sc/set-buses! left [8])
          (sc/fill-buses! left 7)
          (is (= [7.0] (sc/get-buses left))))
        (is (= [7.0 9.0] (mapv sc/get-bus [left right])) "the neighbours stay")
        (run! sc/free! [left g right])))))

(deftest every-bus-of-the-server-is-reached
  (each-server
    (fn [s]
      (let [g (sc/add-bus-group! s {:count control-buses})]
        (sc/set-buses! g (range control-buses))
        (is (= (mapv double (range control-buses)) (sc/get-buses g)))
        (is (= (double (dec control-buses)) (sc/get-bus (peek (sc/members g)))))
        (sc/fill-buses! g 0.25)
        (is (= {0.25 control-buses} (frequencies (sc/get-buses g))))
        (sc/free! g)))))

(deftest requests-of-a-moment-are-one
  (each-server
    (fn [s]
      (let [g (sc/add-bus-group! s {:count 3})
            n (:n (peek (sc/trace s {:limit 1})))]
        (sc/at s nil (run! (fn [[b x]] (sc/set-bus! b x)) (map vector (sc/members g) [1 2 3])))
        (is (= [1.0 2.0 3.0] (sc/get-buses g)))
        (is (= 1 (count (sc/trace s {:direction :sent, :address "/c_set", :after n}))))
        (sc/free! g)))))

;; ---- numbers

(deftest symbols-map-to-buses
  (each-server
    (fn [s]
      (let [a (sc/add-bus! s), b (sc/add-bus! s {:rate :audio})]
        (is (= (str "c" (:id a)) (sc/map-symbol a)))
        (is (= (str "a" (:id b)) (sc/map-symbol b)))
        (is (= "a0" (sc/map-symbol (sc/audio-output-bus-group s))))
        (is (= ["a8" "a9"] (map sc/map-symbol (take 2 (sc/members (sc/audio-input-bus-group s))))))
        (run! sc/free! [a b])
        (is (= :freed-entity (error-of #(sc/map-symbol a))))))))

(deftest private-audio-buses-are-behind-those-of-the-device
  (each-server
    (fn [s]
      (let [g (sc/add-bus-group! s {:count private-buses, :rate :audio})]
        (is (= [16 private-buses] ((juxt :id :count) g)))
        (is (= (set (range 16 audio-buses)) (:audio (:buses (sc/state s)))))
        (sc/free! g)))))

(deftest buses-that-are-used-up-are-named-and-come-back
  (each-server
    (fn [s]
      (doseq [[rate n] {:control control-buses, :audio private-buses}]
        (testing rate
          (refuses s :no-free-ids #(sc/add-bus-group! s {:count (inc (long n)), :rate rate}))
          (let [all  (vec (repeatedly n #(sc/add-bus! s {:rate rate})))
                full (servers/thrown #(sc/add-bus! s {:rate rate}))
                some-bus (nth all 3)]
            (is (= n (count (set (map :id all)))))
            (is (= [:espalier.error/no-free-ids 0] ((juxt :espalier/error :available) (ex-data full))))
            (is (identical? some-bus (sc/free! some-bus)))
            (let [again (sc/add-bus! s {:rate rate})]
              (is (= (:id some-bus) (:id again)))
              (is (not= some-bus again) "another bus, though of the same number")
              (refuses s :freed-entity #(sc/map-symbol some-bus))
              (refuses s :freed-entity #(sc/free! some-bus))
              (is (= :no-free-ids (error-of #(sc/add-bus! s {:rate rate}))))
              (run! sc/free! (conj (into (subvec all 0 3) (subvec all 4)) again))))
          (testing "a moment that throws gives back what it took"
            (is (thrown-with-msg? Exception #"on purpose"
                                  (sc/at s nil
                                    (sc/add-bus-group! s {:count n, :rate rate})
                                    (throw (ex-info "on purpose" {})))))
            (is (= n (:count (sc/free! (sc/add-bus-group! s {:count n, :rate rate})))) "as one row again")))))))

;; ---- values

(deftest buses-are-values
  (each-server
    (fn [s]
      (let [a (sc/add-bus! s)
            g (sc/add-bus-group! s {:count 2, :rate :audio})]
        (is (= (str "#<Bus " (:id a) " control>") (str a) (pr-str a)))
        (is (= "#<BusGroup 16..17 audio>" (pr-str g)))
        (is (= "[#<Bus 16 audio> #<Bus 17 audio>]" (pr-str (sc/members g))))
        (is (= "#<BusGroup 0..7 audio>" (pr-str (sc/audio-output-bus-group s))))
        (is (= "#<BusGroup 8..15 audio>" (pr-str (sc/audio-input-bus-group s))))
        (is (= (sc/audio-output-bus-group s) (sc/audio-output-bus-group s)))
        (is (= (sc/members g) (sc/members g)))
        (is (not= (first (sc/members g)) a))
        (is (= [a] (sc/members a)))
        (is (= {:rate :control, :kind :bus} (select-keys a [:rate :kind])))
        (is (= [:a :g] (map {a :a, g :g} [a g])))
        (is (sc/entity? a))
        (run! sc/free! [a g])))))

;; ---- bad input

(deftest bad-calls-are-named
  (each-server
    (fn [s]
      (let [a     (sc/add-bus! s)
            g     (sc/add-bus-group! s {:count 2})
            sound (sc/add-bus! s {:rate :audio})
            node  (sc/default-group s)]
        (sc/set-bus! a 0.5)
        (sc/fill-buses! g 0.5)
        (sc/sync! s)
        (refused s (for [value [##NaN Float/NaN 3000000000 1e39 -1e39 nil "1" "c5" :x [1] [] true a]
                         call  [#(sc/set-bus! a value) #(sc/fill-buses! g value) #(sc/set-buses! g [0 value])]]
                     [:invalid-argument call value]))
        (refused s
          [[:index-out-of-range #(sc/set-buses! g [1 2 3])]
           [:index-out-of-range #(sc/set-buses! g (range))]
           [:invalid-argument #(sc/set-buses! g [])]
           [:invalid-argument #(sc/set-buses! g nil)]
           [:invalid-argument #(sc/set-buses! g 5)]
           [:invalid-argument #(sc/set-buses! g "12")]
           [:audio-bus #(sc/set-bus! sound 1)]
           [:audio-bus #(sc/get-bus sound)]
           [:audio-bus #(sc/get-buses (sc/audio-output-bus-group s))]
           [:audio-bus #(sc/fill-buses! (sc/audio-input-bus-group s) 1)]
           [:part-of-group #(sc/free! (sc/audio-output-bus-group s))]
           [:part-of-group #(sc/free! (first (sc/members (sc/audio-input-bus-group s))))]
           [:no-entity #(sc/set-bus! 5 1)]
           [:no-entity #(sc/get-bus node)]
           [:no-entity #(sc/map-symbol 5)]
           [:no-entity #(sc/set-bus! nil 1)]
           [:invalid-argument #(sc/add-bus! s {:rate :adio})]
           [:invalid-argument #(sc/add-bus! s {:rate nil})]
           [:unknown-option #(sc/add-bus! s {:count 2})]
           [:unknown-option #(sc/add-bus-group! s {:cuont 2})]
           [:unknown-option #(sc/set-bus! a 1 {:confrim true})]
           [:unknown-option #(sc/free! a {:confrim true})]
           [:invalid-argument #(sc/add-bus-group! s {})]
           [:invalid-argument #(sc/add-bus-group! s {:count 0})]
           [:invalid-argument #(sc/add-bus-group! s {:count -1})]
           [:invalid-argument #(sc/add-bus-group! s {:count 1.5})]
           [:invalid-argument #(sc/add-bus-group! s {:count 3000000000})]
           [:question-in-moment #(sc/at s nil (sc/get-bus a))]
           [:question-in-moment #(sc/at s nil (sc/set-bus! a 1) (sc/get-buses g))]
           [:moment-of-other-server #(sc/at (another-than s) nil (sc/set-bus! a 1))]
           [:invalid-argument #(sc/command! s :c-set {:buses {control-buses 1}})]
           [:invalid-argument #(sc/command! s :c-set {:buses {-1 1}})]
           [:refused-command #(sc/command! s :c-setn {:ranges [[(dec (long control-buses)) [1 2]]]})]
           [:refused-command #(sc/command! s :c-fill {:fills [[0 (inc (long control-buses)) 1]]})]])
        (is (= [0.5 0.5 0.5] (into [(sc/get-bus a)] (sc/get-buses g))))
        (run! sc/free! [a g sound])
        (refused s (map (fn [call] [:freed-entity call])
                     [#(sc/set-bus! a 1) #(sc/get-bus a) #(sc/free! a) #(sc/get-buses g) #(sc/set-buses! g [1]) #(sc/fill-buses! g 1)
                      #(sc/free! g) #(sc/get-bus (first (sc/members g))) #(sc/get-bus sound)]))))))

(deftest buses-end-with-their-server
  (servers/each-kind (take 1 servers/kinds) {}
    (fn [s]
      (let [a     (sc/add-bus! s)
            out   (sc/audio-output-bus-group s)
            calls [#(sc/set-bus! a 1) #(sc/get-bus a) #(sc/free! a) #(sc/map-symbol a) #(sc/map-symbol out)]]
        (sc/quit! s)
        (doseq [call (conj calls #(sc/add-bus! s) #(sc/audio-output-bus-group s))]
          (is (= :server-offline (error-of call))))
        (sc/boot! s)
        (sc/sync! s)
        (refused s (for [call calls] [:dead-entity call]))
        (is (= (:id a) (:id (sc/add-bus! s))) "the first again"))))
  (is (= :server-offline (error-of #(sc/add-bus! (sc/server))) (error-of #(sc/add-bus-group! (sc/server) {:count 2})))))

(ns espalier.model.entity-test
  (:require
   [clojure.test :refer [are deftest is testing]]
   [espalier.model.entity :as entity]))

(set! *warn-on-reflection* true)

(deftest entities-are-maps-that-print-in-a-line
  (are [printed e] (= printed (str e) (pr-str e))
    "#<Group 1>"                 (entity/entity :group 1 :s 1)
    "#<ParallelGroup 1000>"      (entity/entity :group 1000 :s 1 1 {:parallel? true})
    "#<Group 1000>"              (entity/entity :group 1000 :s 1 1 {:parallel? false})
    "#<Synth 1000 bell>"         (entity/entity :synth 1000 :s 1 2 {:def "bell"})
    "#<Synth 1000>"              (entity/entity :synth 1000 :s 1)
    "#<Buffer 0>"                (entity/entity :buffer 0 :s 1)
    "#<BufferGroup 0..7>"        (entity/entity :buffer-group 0 :s 1 3 {:count 8})
    "#<Bus 5 control>"           (entity/entity :bus 5 :s 1 4 {:rate :control})
    "#<BusGroup 16..17 audio>"   (entity/entity :bus-group 16 :s 1 5 {:rate :audio, :count 2})
    "#<BusGroup 16..16 audio>"   (entity/entity :bus-group 16 :s 1 5 {:rate :audio, :count 1}))
  (let [e (entity/entity :synth 1000 :server 3 7 {:def "bell"})]
    (is (= {:kind :synth, :id 1000, :server :server, :era 3, :born 7, :def "bell"} (into {} e)))
    (is (map? e))
    (is (entity/entity? e))
    (is (entity/entity? (assoc e :more 1)))
    (is (= "[#<Synth 1000 bell>]" (pr-str [e])))
    (is (= {:kind :group, :id 1, :server :server, :era 3, :born 0} (into {} (entity/entity :group 1 :server 3))))))

(deftest other-things-are-no-entities
  (are [x] (false? (entity/entity? x))
    nil 1000 {} {:kind :synth, :id 1000} "#<Synth 1000>" [:synth 1000] (into {} (entity/entity :synth 1000 :s 1))))

(deftest entities-are-values
  (is (= (entity/entity :synth 1000 :s 1 2 {:def "bell"}) (entity/entity :synth 1000 :s 1 2 {:def "bell"})))
  (is (= 1 (count (set (repeatedly 3 #(entity/entity :bus 5 :s 1 2 {:rate :audio}))))))
  (testing "a freed id that comes again is another"
    (is (not= (entity/entity :synth 1000 :s 1 2 nil) (entity/entity :synth 1000 :s 1 3 nil)))
    (is (not= (entity/entity :synth 1000 :s 1) (entity/entity :synth 1000 :s 2)))
    (is (not= (entity/entity :synth 1000 :s 1) (entity/entity :synth 1000 :t 1)))))

(deftest groups-have-members
  (let [buffers (entity/entity :buffer-group 4 :s 1 9 {:count 3})
        buses   (entity/entity :bus-group 16 :s 1 9 {:rate :audio, :count 2})]
    (is (= "[#<Buffer 4> #<Buffer 5> #<Buffer 6>]" (pr-str (entity/members buffers))))
    (is (= "[#<Bus 16 audio> #<Bus 17 audio>]" (pr-str (entity/members buses))))
    (doseq [e [buffers buses], m (entity/members e)]
      (is (entity/entity? m))
      (is (vector? (entity/members e)))
      (is (= (select-keys e [:server :era :born :rate]) (select-keys m [:server :era :born :rate])))
      (is (not (contains? m :count)))
      (is (= [m] (entity/members m))))
    (let [bus (entity/entity :bus 5 :s 1 2 {:rate :control})]
      (is (= [bus] (entity/members bus))))))

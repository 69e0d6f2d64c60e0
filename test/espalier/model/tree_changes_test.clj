(ns espalier.model.tree-changes-test
  (:require
   [clojure.test :refer [are deftest is testing]]
   [espalier.model.tree-changes :as tree-changes]))

(set! *warn-on-reflection* true)

(deftest notifications-are-changes
  (are [message change] (= change (tree-changes/change message))
    ["/n_go" 1000 1 -1 -1 0]          {:change :started, :id 1000, :kind :synth, :parent 1}
    ["/n_go" 1001 1 1000 1002 1 -1 -1] {:change :started, :id 1001, :kind :group, :parent 1, :previous 1000, :next 1002}
    ["/n_end" 1000 1 -1 7 0]          {:change :ended, :id 1000, :kind :synth}
    ["/n_off" 1000 1 -1 -1 0]         {:change :paused, :id 1000, :kind :synth, :parent 1}
    ["/n_go" 1000]                    nil
    ["/tr" 1000 1 2 3 4 5]            nil))

(defn- told [limit & messages]
  (tree-changes/told (reduce (fn [changes m] (tree-changes/add changes (tree-changes/change m) limit)) tree-changes/none messages)))

(defn- n [address id & [parent]] [address id (or parent 1) -1 -1 0])

(deftest what-follows-fast-is-one-change
  (is (nil? (told 10)))
  (are [messages changes] (= changes (map (juxt :id :change :parent :paused) (:changes (apply told 10 messages))))
    [(n "/n_go" 1) (n "/n_move" 1 5)]               [[1 :started 5 nil]]
    [(n "/n_move" 1 5) (n "/n_move" 1 6)]           [[1 :moved 6 nil]]
    [(n "/n_go" 1) (n "/n_off" 1) (n "/n_move" 1 5)] [[1 :started 5 true]]
    [(n "/n_go" 1) (n "/n_off" 1) (n "/n_on" 1)]    [[1 :started 1 nil]]
    [(n "/n_off" 1) (n "/n_end" 1)]                 [[1 :ended nil nil]]
    [(n "/n_end" 1) (n "/n_go" 1)]                  [[1 :started 1 nil]]
    [(n "/n_go" 2) (n "/n_go" 1) (n "/n_move" 2)]   [[2 :started 1 nil] [1 :started 1 nil]]
    [(n "/n_go" 1) (n "/n_end" 1) (n "/n_go" 1)]    [[1 :started 1 nil]])
  (is (= {:changes [], :passed 1, :dropped 0} (told 10 (n "/n_go" 1) (n "/n_end" 1)))))

(deftest what-is-too-much-is-counted
  (testing "never more than the limit, whatever comes"
    (let [{:keys [changes passed dropped]} (apply told 3 (mapcat (fn [i] [(n "/n_go" i) (n "/n_end" i)]) (range 10)))]
      (is (= [[] 3 14] [changes passed dropped]))))
  (let [{:keys [changes dropped]} (apply told 3 (map #(n "/n_go" %) (range 10)))]
    (is (= [[0 1 2] 7] [(map :id changes) dropped]))))

(ns espalier.runtime.mirror-test
  (:require
   [clojure.test :refer [deftest is]]
   [espalier.runtime.mirror :as mirror]))

(deftest what-comes-late-and-untold-stays-what-it-was-asked-for-as
  (let [m (mirror/mirror (fn [_]))]
    (doseq [id [1000 1001]]
      (mirror/expect! m id {:kind :synth, :def "bell", :key [:voice id]} false))
    (mirror/sent! m [1000 1001] -1000)
    (is (mirror/replant! m (constantly {:id 0, :kind :group, :children [{:id 1000, :kind :synth, :def "bell"}]})))
    (is (= {:key [:voice 1000], :status :playing} (select-keys (get-in (mirror/known m) [:nodes 1000]) [:key :status])))
    (is (not (mirror/due? m 1000)))
    (is (= [false false] [(mirror/there? m 1001) (contains? (:nodes (mirror/known m)) 1001)]) "what has not come is given up")))

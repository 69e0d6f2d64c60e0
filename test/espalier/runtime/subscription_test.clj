(ns espalier.runtime.subscription-test
  (:require
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.subscription :as subscription]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- subscribe! [s tell]
  (subscription/subscribe! s tell {:tree true, :events #{:late}, :interval-ms 1}))

(deftest whoever-is-slow-hears-less-and-is-told-so
  (let [s     (sc/server)
        told  (atom [])
        reads (promise)
        {:keys [stop add!]} (subscribe! s (fn [news] (swap! told conj news) @reads))]
    (handle/emit! s :late {:late-s 0})
    (is (servers/eventually #(= 1 (count @told))))
    (dotimes [i 1000] (handle/emit! s :late {:late-s (inc i)}))
    (add! {:event :last})
    ;; Emitted events arrive on a thread of their own: the last of them is awaited by a second listener's order.
    (let [behind (promise)]
      (sc/on-lifecycle! s :late (fn [{:keys [late-s]}] (when (= -1 late-s) (deliver behind true))))
      (handle/emit! s :late {:late-s -1})
      (is (deref behind 5000 false)))
    (deliver reads true)
    (is (servers/eventually #(some :events-dropped @told)))
    (let [events (keep :event @told)]
      (is (< (count events) 1003))
      (is (servers/eventually #(= 1003 (+ (count (keep :event @told)) (reduce + (keep :events-dropped @told)))))))
    (stop)))

(deftest it-ends-when-nobody-takes-it
  (let [s     (sc/server)
        calls (atom 0)]
    (subscribe! s (fn [_] (swap! calls inc) (throw (java.io.IOException. "gone"))))
    (is (= 1 (count @(.-listeners ^espalier.runtime.handle.Server s))))
    (handle/emit! s :late {:late-s 1})
    (is (servers/eventually #(empty? @(.-listeners ^espalier.runtime.handle.Server s))))
    (is (= 1 @calls))))

(deftest it-ends-when-told-to
  (let [s (sc/server)
        {:keys [stop]} (subscribe! s (fn [_]))]
    (stop)
    (is (empty? @(.-listeners ^espalier.runtime.handle.Server s)))))

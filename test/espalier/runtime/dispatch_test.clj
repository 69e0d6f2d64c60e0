(ns espalier.runtime.dispatch-test
  (:require
   [clojure.test :refer [deftest is]]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.link :as link]
   [espalier.runtime.listener :as listener]
   [espalier.servers :refer [error-of eventually]])
  (:import
   (java.util.concurrent CountDownLatch LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(defn- arrived! [d & messages]
  (run! #(dispatch/arrived! d (link/packet %)) messages))

(defn- dispatcher [& [on]]
  (dispatch/dispatcher (merge {:fault (fn [_]), :failure (fn [_]), :answer (fn [_]), :sent (constantly 0), :read (fn [_])} on)))

(deftest a-reply-goes-to-who-asked
  (let [d (dispatcher)
        a (dispatch/expect! d ["/sync"] ["/synced" 1])
        b (dispatch/expect! d ["/sync"] ["/synced" 2])]
    (arrived! d ["/synced" 3] ["/other" 1] ["/synced" 2])
    (is (= [false true] (map dispatch/answered? [a b])))
    (is (= ["/synced" 2] (dispatch/await! d b 1000)))
    (is (= :no-answer (error-of #(dispatch/await! d a 20))))
    (arrived! d ["/synced" 1])
    (is (false? (dispatch/answered? a)) "who has gone is not answered")))

(deftest of-those-who-ask-the-same-the-first-is-answered-first
  (let [d  (dispatcher)
        ws (vec (repeatedly 3 #(dispatch/expect! d ["/status"] ["/status.reply"])))]
    (arrived! d ["/status.reply" 1] ["/status.reply" 2])
    (is (= [[2 1] [2 2]] (map #(update (dispatch/await! d % 1000) 0 (constantly 2)) (take 2 ws))))
    (is (false? (dispatch/answered? (ws 2))))))

(deftest a-failure-goes-to-who-caused-it
  (let [d (dispatcher)
        a (dispatch/expect! d ["/b_query"] ["/b_info" 0])
        b (dispatch/expect! d ["/n_query" 5] ["/n_info" 5])]
    (arrived! d ["/fail" "/n_query" "Node 5 not found"] ["/fail" "/nobody" "?"] ["/fail"])
    (is (= ["/fail" "/n_query" "Node 5 not found"] (dispatch/await! d b 1000)))
    (is (false? (dispatch/answered? a)))
    (dispatch/forget! d a)))

(deftest all-waits-end-when-the-server-does
  (let [d     (dispatcher)
        waits (doall (for [i (range 5)]
                       (let [w (dispatch/expect! d ["/sync"] ["/synced" i])]
                         (future (try (dispatch/await! d w 60000) (catch Exception e (ex-message e)))))))]
    (dispatch/fail-all! d (ex-info "gone" {}))
    (is (= ["gone"] (distinct (map #(deref % 5000 :hangs) waits))))))

(deftest the-id-of-a-handler-says-what-it-hears
  (let [d (dispatcher)
        [a b :as ids] (mapv #(dispatch/handle! d % (fn [_]) false) ["/n_go" "/n_go" ["/tr" 1000] some?])]
    (is (= ["#<Listener \"/n_go\">" "#<Listener \"/n_go\">" "#<Listener [\"/tr\" 1000]>" "#<Listener of a predicate>"] (map pr-str ids)))
    (is (not= a b))
    (is (= [true false true] (map #(dispatch/unhandle! d %) [a a b]))))
  (is (= ["#<Listener :booted :lost>" "#<Listener of all lifecycle events>"] (map (comp str listener/of-events) [#{:lost :booted} nil]))))

(deftest handlers-are-apart-from-each-other
  (let [faults (LinkedBlockingQueue.)
        d      (dispatcher {:fault #(.put faults (keys %))})
        heard  (LinkedBlockingQueue.)
        gate   (CountDownLatch. 1)]
    (dispatch/handle! d "/x" (fn [_] (.await gate)) false)
    (dispatch/handle! d "/x" (fn [_] (throw (ex-info "on purpose" {}))) false)
    (let [id (dispatch/handle! d ["/x"] (fn [m] (.put heard m)) false)]
      (doseq [i (range 1000)] (arrived! d ["/x" i]))
      (is (= (map #(vector "/x" %) (range 1000)) (repeatedly 1000 #(.poll heard 5 TimeUnit/SECONDS))) "all, in order")
      (is (eventually #(= 1000 (.size faults))))
      (is (true? (dispatch/unhandle! d id)))
      (is (false? (dispatch/unhandle! d id)))
      (arrived! d ["/x" 1])
      (is (nil? (.poll heard 50 TimeUnit/MILLISECONDS))))
    (.countDown gate)))

(deftest once-is-once-however-many-come-at-a-time
  (let [d     (dispatcher)
        heard (LinkedBlockingQueue.)]
    (dispatch/handle! d #(odd? (second %)) (fn [m] (.put heard (second m))) true)
    (run! deref (doall (for [_ (range 4)] (future (doseq [i (range 100)] (arrived! d ["/x" i]))))))
    (is (odd? (.poll heard 5 TimeUnit/SECONDS)))
    (is (nil? (.poll heard 50 TimeUnit/MILLISECONDS)))))

(deftest a-handler-too-slow-loses-messages-and-says-so-once
  (let [faults (LinkedBlockingQueue.)
        d      (dispatcher {:fault #(.put faults %)})
        gate   (CountDownLatch. 1)
        m      (link/packet ["/x"])]
    (dispatch/handle! d "/x" (fn [_] (.await gate)) false)
    (dotimes [_ 66000] (dispatch/arrived! d m))
    (is (= {:behind 65536} (.poll faults 5 TimeUnit/SECONDS)))
    (is (nil? (.poll faults)))
    (.countDown gate)))

(deftest an-answered-fence-shows-what-was-read
  (let [sent (atom 0), read (atom [])
        d    (dispatcher {:sent #(deref sent), :read #(swap! read conj %)})
        fence (fn [n asynchronous?] (reset! sent n) (second (dispatch/new-fence! d 8 asynchronous?)))
        told  (fn [[address & args]] (if (= "/sync" address) ["/synced" (first args)] (into ["/c_set"] (mapcat (fn [bus] [bus 0.0])) args)))
        a (fence 10 true), b (fence 20 false), c (fence 30 true)]
    (arrived! d (told b) ["/synced" 4711] ["/c_set" 3 0.5] (told c) (told a))
    (is (= [20 30 10] @read))
    (dotimes [_ 300] (fence 40 false))
    (arrived! d (told a))
    (is (= [20 30 10] @read) "what was long ago is forgotten")))

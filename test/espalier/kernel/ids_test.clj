(ns espalier.kernel.ids-test
  (:require
   [clojure.test :refer [deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop])
  (:import
   (espalier.kernel BlockIds NodeIds)
   (java.util OptionalInt)))

(set! *warn-on-reflection* true)

(defn- value [^OptionalInt o] (when (.isPresent o) (.getAsInt o)))

(deftest node-ids-of-a-client
  (is (= [1000 1001 1002] (let [ids (NodeIds. 0 1000)] (repeatedly 3 #(.next ids)))))
  (is (= (+ 1000 (* 31 (bit-shift-left 1 26))) (.next (NodeIds. 31 1000))))
  (testing "they wrap within the client's own"
    (let [last-id (dec (bit-shift-left 1 26))
          ids     (NodeIds. 1 last-id)]
      (is (= [(+ last-id (inc last-id)) (+ last-id (inc last-id))] [(.next ids) (.next ids)]))))
  (testing "permanent ids are others, come back when freed, and end"
    (let [ids (NodeIds. 2 40)
          base (* 2 (bit-shift-left 1 26))
          all (vec (repeatedly 7 #(.nextPermanent ids)))]
      (is (= (map #(+ base %) (range 33 40)) all))
      (is (thrown? IllegalStateException (.nextPermanent ids)))
      (is (true? (.freePermanent ids (all 3))))
      (is (false? (.freePermanent ids (all 3))) "twice is once")
      (is (false? (.freePermanent ids 5)))
      (is (= (all 3) (.nextPermanent ids)))))
  (doseq [[client initial] [[-1 1000] [32 1000] [0 0] [0 32] [0 (bit-shift-left 1 26)]]]
    (is (thrown? IllegalArgumentException (NodeIds. client initial)))))

(deftest node-ids-are-safe-under-threads
  (let [ids  (NodeIds. 0 1000)
        all  (mapcat deref (doall (repeatedly 8 #(future (doall (repeatedly 5000 (fn [] (.next ids))))))))]
    (is (= (range 1000 41000) (sort all)))))

(deftest node-ids-that-were-not-used-come-again
  (let [ids (NodeIds. 3 1000)
        id  #(+ % (* 3 (bit-shift-left 1 26)))]
    (is (= (map id [1000 1001 1002 1003]) (repeatedly 4 #(.next ids))))
    (is (true? (.giveBack ids (id 1002))))
    (is (false? (.giveBack ids (id 1002))) "twice is once")
    (is (true? (.giveBack ids (id 1000))))
    (is (= (map id [1000 1002 1004]) (repeatedly 3 #(.next ids))))
    (is (true? (.giveBack ids (id 1002))) "again, for it was handed out again")
    (doseq [other [(id 1005) (id 999) (id 33) (id 0) 1000 -1 (id -1) (id (bit-shift-left 1 26))
                   Integer/MIN_VALUE Integer/MAX_VALUE]]
      (is (false? (.giveBack ids other)) other)))
  (testing "after the wrap too"
    (let [n     (bit-shift-left 1 26)
          ids   (NodeIds. 31 (- n 3))
          [a b c] (map #(int (+ (* 31 n) (- n %))) [3 2 1])]
      (is (= Integer/MAX_VALUE c))
      (is (= [a b] (repeatedly 2 #(.next ids))))
      (is (false? (.giveBack ids c)))
      (is (= [c a] (repeatedly 2 #(.next ids))))
      (is (true? (.giveBack ids c)))
      (is (= [c b c] (repeatedly 3 #(.next ids))))))
  (testing "so many and no more wait"
    (let [ids (NodeIds. 0 1000)
          all (vec (repeatedly 65540 #(.next ids)))]
      (is (= (concat (repeat 65536 true) (repeat 4 false)) (map #(.giveBack ids %) all)))
      (is (= (concat (take 65536 all) [66540]) (repeatedly 65537 #(.next ids)))))))

(defspec node-ids-in-use-differ {:num-tests 200 :seed 19}
  (prop/for-all [steps (gen/vector (gen/one-of [(gen/return :next) gen/nat]) 1 80)]
    (let [ids (NodeIds. 0 1000)]
      (loop [steps steps, used [], waiting (sorted-set), fresh 1000]
        (if-let [[step & steps] (seq steps)]
          (if (= :next step)
            (let [id (.next ids)]
              (and (= id (or (first waiting) fresh))
                   (recur steps (conj used id) (disj waiting id) (if (seq waiting) fresh (inc fresh)))))
            (let [id (get used (mod step (inc (count used))) 5000)]
              (and (= (some? (some #{id} used)) (.giveBack ids id))
                   (false? (.giveBack ids id))
                   (recur steps (vec (remove #{id} used)) (cond-> waiting (not= 5000 id) (conj id)) fresh))))
          (apply distinct? 0 used))))))

(deftest node-ids-given-back-are-safe-under-threads
  (let [ids    (NodeIds. 0 1000)
        keep-half (fn [n] (let [id (.next ids)] (if (and (odd? n) (.giveBack ids id)) nil id)))
        kept   (mapcat deref (doall (repeatedly 8 #(future (into [] (keep keep-half) (range 5000))))))]
    (is (= 20000 (count kept) (count (set kept))))
    (is (> 21009 (apply max kept)) "and no new one is taken while others wait")))

(deftest node-ids-have-an-owner
  (let [n (bit-shift-left 1 26)]
    (doseq [client [0 1 31], :let [ids (NodeIds. client 1000), base (* client n)]]
      (is (= [true true true true] (map #(.owns ids (int (+ base %))) [0 33 1000 (dec n)])))
      (is (not-any? #(.owns ids (unchecked-int (+ base %))) [-1 n (- n) (+ n n) Integer/MIN_VALUE])))))

;; BlockIds against a model: the set of numbers in use.

(def ^:private gen-steps
  (gen/vector (gen/one-of [(gen/tuple (gen/return :allocate) (gen/choose 1 9))
                           (gen/tuple (gen/return :claim) (gen/choose -3 90) (gen/choose 1 9))
                           (gen/tuple (gen/return :free) gen/nat)])
              1 60))

(defn- fits? [used first-id end count at]
  (and (<= first-id at) (<= (+ at count) end) (not-any? used (range at (+ at count)))))

(defspec blocks-are-first-fit-and-never-overlap 300
  (prop/for-all [first-id (gen/choose 0 20), size (gen/choose 0 64), steps gen-steps]
    (let [ids (BlockIds. first-id size)
          end (+ first-id size)]
      (loop [steps steps, blocks (sorted-map)]
        (let [used (into #{} (mapcat (fn [[at n]] (range at (+ at n)))) blocks)]
          (if-let [[op a b] (first steps)]
            (case op
              :allocate
              (let [got      (value (.allocate ids a))
                    expected (first (filter #(fits? used first-id end a %) (range first-id end)))]
                (and (= expected got)
                     (recur (rest steps) (cond-> blocks got (assoc got a)))))
              :claim
              (let [got (.claim ids a b)]
                (and (= got (fits? used first-id end b a))
                     (recur (rest steps) (cond-> blocks got (assoc a b)))))
              :free
              (let [at (if (seq blocks) (nth (keys blocks) (mod a (count blocks))) a)]
                (and (= (contains? blocks at) (.free ids at))
                     (false? (.free ids at))
                     (recur (rest steps) (dissoc blocks at)))))
            (and (= (- size (count used)) (.available ids))
                 (every? (fn [[at n]] (= n (.sizeOf ids at))) blocks)
                 (every? #(.free ids %) (keys blocks))
                 (or (zero? size) (= first-id (value (.allocate ids size)))))))))))

(deftest blocks-refuse-nonsense
  (is (thrown? IllegalArgumentException (BlockIds. -1 4)))
  (is (thrown? IllegalArgumentException (.allocate (BlockIds. 0 4) 0)))
  (is (thrown? IllegalArgumentException (.claim (BlockIds. 0 4) 0 0)))
  (is (false? (.claim (BlockIds. 0 4) 1 Integer/MAX_VALUE)))
  (is (nil? (value (.allocate (BlockIds. 0 4) Integer/MAX_VALUE)))))

(deftest blocks-are-safe-under-threads
  (let [ids    (BlockIds. 0 4000)
        blocks (mapcat deref (doall (repeatedly 8 #(future (doall (repeatedly 100 (fn [] (value (.allocate ids 5)))))))))]
    (is (= (range 0 4000 5) (sort blocks)))
    (run! deref (doall (for [part (partition 100 blocks)] (future (run! #(.free ids %) part)))))
    (is (= 4000 (.available ids)))
    (is (= 0 (value (.allocate ids 4000))))))

(ns espalier.ugen-table-test
  "The table of UGens is complete, and is what the installed sclang says."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(def ^:private file (io/resource "espalier/ugens.edn"))

(def ^:private table (edn/read-string (slurp file)))

(defn- whole
  "The constructors of a UGen, each with all that holds for it."
  [rates]
  (update-vals rates (fn [{:keys [as rejects] :as row}]
                       (if as
                         (cond-> (dissoc (rates as) :rejects) rejects (assoc :rejects rejects))
                         row))))

(def ^:private ugens (mapv #(update % :rates whole) (:ugens table)))

(defn- maker
  "A function of the namespace that makes the table, which is beside the tests and not on their class path."
  [f]
  (let [n 'espalier.ugen-table]
    (when-not (find-ns n) (load-file "dev/espalier/ugen_table.clj"))
    (ns-resolve n f)))

(deftest nothing-is-missing
  (is (= 382 (count ugens)))
  (is (= 375 (count (filter (comp seq :engines) ugens))) "but for seven that only Bela has")
  (is (= (range 54) (map :index (:unary table))))
  (is (= (range 49) (map :index (:binary table))))
  (is (= (set (range 16)) (set (vals (:done-actions table)))))
  (is (= #{0 1 2 3 4 6 7 8} (set (vals (:env-shapes table)))) "5 is a curve, which is given by a number"))

(deftest each-name-is-there-once
  (doseq [rows [ugens (:unary table) (:binary table)]]
    (is (apply distinct? (map :name rows))))
  (is (= (sort (map :name ugens)) (map :name ugens))))

(deftest each-has-a-sentence
  (doseq [{:keys [doc] n :name} (mapcat table [:ugens :unary :binary])]
    (testing n
      (is (not (str/blank? doc)))
      (is (< (count doc) 220))
      (is (str/ends-with? doc ".")))))

(deftest sentences-call-arguments-by-their-names-in-clojure
  (doseq [{:keys [doc rates] n :name} ugens]
    (is (empty? (set/intersection (into #{} (comp (mapcat :args) (map first) (filter #(re-find #"[A-Z]" %))) (vals rates))
                                  (set (re-seq #"\w+" doc))))
        n)))

(deftest inputs-and-rejections-are-of-arguments
  (doseq [{:keys [rates] n :name} ugens, [constructor {:keys [args inputs nil-defaults returns outputs rejects rate]}] rates
          :let [arg? (set (map first args))]]
    (testing (str n " " constructor)
      (doseq [input inputs]
        (is (or (number? input)
                (arg? (str/replace input #"(\[\d\])?\*$" ""))
                (= "<MaxLocalBufs>" input))))
      (is (set/subset? (set (map first nil-defaults)) arg?))
      (is (every? arg? (keep :arg (filter map? [returns outputs]))))
      (is (every? (fn [[index rates]] (and (nat-int? index) (seq rates) (set/subset? (set rates) #{:audio :control :scalar})))
                  rejects))
      (is (= (some? rate) (= :new constructor)) "the others say their rate"))))

(deftest traits-are-the-known-ones
  (is (= #{:dead-code :width-first :pv-chain :multi-out :demand :out :unipolar :can-free-synth :filter}
         (into #{} (mapcat :traits) ugens)))
  (is (= #{:scsynth :supernova} (into #{} (mapcat :engines) ugens))))

(deftest sclang-says-the-same
  (if-let [answer ((maker 'ask-sclang))]
    (let [measured (into {} (for [engine [:scsynth :supernova]]
                              [engine (set (map :name (filter #(contains? (:engines %) engine) ugens)))]))
          made     ((maker 'table) answer ((maker 'docs)) measured)]
      (if (= (:version answer) (:sclang-version table))
        (is (= (slurp file) ((maker 'text) made)) "bin/clj -M:dev -m espalier.ugen-table makes the file anew")
        (servers/skip! (str "The table of UGens is of sclang " (:sclang-version table) " and was not compared with " (:version answer) "."))))
    (servers/skip! "There is no sclang here: the table of UGens was not compared with it.")))

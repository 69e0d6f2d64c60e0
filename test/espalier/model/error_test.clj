(ns espalier.model.error-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

(deftest errors-carry-code-data-and-cause
  (let [cause (RuntimeException. "below")
        e     (error/error :port-taken "Port 57110 is taken." {:port 57110} cause)]
    (is (instance? clojure.lang.ExceptionInfo e) "returned, not thrown")
    (is (= "Port 57110 is taken." (ex-message e)))
    (is (= {:espalier/error :espalier.error/port-taken, :port 57110} (ex-data e)))
    (is (identical? cause (ex-cause e)))
    (is (str/starts-with? (.getClassName ^StackTraceElement (first (.getStackTrace ^Throwable e))) "espalier.model.error_test$")
        "a prompt tells the place that has seen it")
    (is (= :espalier.error/port-taken (error/code e))))
  (let [e (error/error :no-executable "None." {})]
    (is (= {:espalier/error :espalier.error/no-executable} (ex-data e)))
    (is (nil? (ex-cause e)))))

(deftest codes-of-other-exceptions
  (is (nil? (error/code (RuntimeException. "x"))))
  (is (nil? (error/code (ex-info "x" {:error 1}))))
  (is (nil? (error/code nil))))

(deftest the-nearest-name
  (are [seen known found] (= found (error/nearest seen known))
    :buffer-cuont [:buffer-count :port]     :buffer-count
    :poort        [:buffer-count :port]     :port
    "Port"        [:buffer-count :port]     :port
    'port         [:buffer-count :port]     :port
    :x/port       [:buffer-count :port]     :port
    "supernva"    ["scsynth" "supernova"]   "supernova"
    :buffer       [:buffer-count :port]     :buffer-count
    :my-port-no   [:buffer-count :port]     :port
    :oragn        [:bell :organ]            :organ
    :lof          [:wet :lfo]               :lfo
    :ab           [:xy :ba]                 :ba
    :zzz          [:buffer-count :port]     nil
    :p            [:buffer-count :port]     nil
    ""            [:buffer-count :port]     nil
    nil           [:buffer-count :port]     nil
    42            [:buffer-count :port]     nil
    :port         []                        nil
    :port         nil                       nil))

(deftest hints
  (is (= " Did you mean :port?" (error/hint :prt [:port :timeout-ms])))
  (is (= " Did you mean \"scsynth\"?" (error/hint "scsynht" ["scsynth" "supernova"])))
  (is (= " Did you mean :freq?" (error/hint :frq ["freq"])))
  (is (= "" (error/hint :elephant [:port :protocol]))))

(def ^:private names
  (gen/such-that #(< 5 (count (name %))) gen/keyword 200))

(defspec a-known-name-is-its-own-nearest 200
  (prop/for-all [k names]
                (= k (error/nearest k [k]))))

(defspec one-slip-is-found 200
  (prop/for-all [k names, at gen/nat, c gen/char-alpha]
                (let [s  (name k)
                      at (mod at (count s))
                      slips [(str (subs s 0 at) c (subs s at))
                             (str (subs s 0 at) (subs s (inc at)))
                             (str (subs s 0 at) c (subs s (inc at)))
                             (apply str (let [[a b & more] (drop at s)] (concat (take at s) (when b [b]) [a] more)))]]
                  (every? #(= k (error/nearest % [k])) slips))))

(defspec the-nearest-is-a-known-name-or-none 200
  (prop/for-all [seen (gen/scale #(min 10 %) gen/any-equatable), known (gen/vector gen/keyword 0 10)]
                (let [found (error/nearest seen known)]
                  (and (or (nil? found) (contains? (set known) found))
                       (str/starts-with? (str (error/hint seen known) " ") " ")))))

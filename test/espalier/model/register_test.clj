(ns espalier.model.register-test
  (:require
   [clojure.test :refer [deftest is]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.register :as register]))

(defn- reply [ids]
  (into ["/g_queryTree.reply" 0 register/group-id (count ids)] (mapcat #(vector % 0)) ids))

(def ^:private gen-claims
  (gen/vector (gen/tuple (gen/choose 0 31) (gen/choose 1 65535) (gen/choose 0 14))))

(defspec the-first-claim-of-a-client-wins 200
  (prop/for-all [claims gen-claims, limit (gen/choose 1 32)]
    (let [ids   (map #(apply register/claim-id %) claims)
          known (register/parse (reply (cons (register/limit-id limit) ids)))]
      (and (= limit (:maximum-logins known))
           (= (reduce (fn [m [client :as claim]] (merge {client (apply register/claim-id claim)} m)) {} claims)
              (:claims known))
           (= (first (remove (set (map first claims)) (range limit)))
              (register/free-client known limit))))))

(defspec every-id-of-a-register-is-negative-and-fits 200
  (prop/for-all [client (gen/choose 0 31), port (gen/choose 1 65535), salt (gen/choose 0 14), limit (gen/choose 1 32)]
    (and (<= Integer/MIN_VALUE (register/claim-id client port salt) -1000000)
         (= port (register/port-of (register/claim-id client port salt)))
         (< -1000000 (register/limit-id limit) register/group-id))))

(deftest a-register-is-made-and-read
  (let [rows (register/rows 2 {0 -1000005})]
    (is (= [["/g_new" -1000 1 0] ["/g_new" -100002 0 -1000] ["/g_new" -1000005 1 -1000]] rows))
    (is (= {:maximum-logins 2, :claims {0 -1000005}} (register/parse (reply [-100002 -1000005]))))
    (is (= {:maximum-logins nil, :claims {}} (register/parse (reply []))))))

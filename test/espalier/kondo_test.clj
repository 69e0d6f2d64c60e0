(ns espalier.kondo-test
  "What is exported for clj-kondo fits the source. The linter itself is not run here."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is]]
   [espalier.core]
   [espalier.synthdef]
   [espalier.ugens]))

(def ^:private folder "clj-kondo.exports/espalier/espalier/")

(deftest it-is-told-each-function-that-is-interned
  (load-file "dev/espalier/kondo_names.clj")
  (is (= ((resolve 'espalier.kondo-names/text)) (slurp (io/resource (str folder "hooks/espalier/names.clj_kondo"))))
      "bin/clj -M:dev -m espalier.kondo-names makes it anew"))

(deftest each-macro-that-binds-has-a-hook-and-each-hook-a-macro
  (let [hooks (get-in (edn/read-string (slurp (io/resource (str folder "config.edn")))) [:hooks :analyze-call])
        code  (slurp (io/resource (str folder "hooks/espalier/macros.clj_kondo")))]
    (doseq [[macro hook] hooks]
      (is (:macro (meta (resolve macro))) (str macro))
      (is (str/includes? code (str "(defn " (name hook) " [")) (str hook)))
    (doseq [n '[espalier.core espalier.synthdef espalier.ugens], [k v] (ns-publics n)
            :when (:macro (meta v))]
      (is (contains? hooks (symbol (str n) (str k))) (str v)))))

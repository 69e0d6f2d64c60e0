(ns espalier.kondo-names
  "Makes what clj-kondo knows of the functions that `espalier.ugens` interns, after the
  table of UGens has changed: `bin/clj -M:dev -m espalier.kondo-names`, in the root of the
  checkout."
  (:require
   [clojure.string :as str]
   [espalier.ugens]))

(set! *warn-on-reflection* true)

(def path
  "Where the names are in the checkout."
  "resources/clj-kondo.exports/espalier/espalier/hooks/espalier/names.clj_kondo")

(defn- interned
  "The names of functions of `espalier.ugens` that stand nowhere in its source, for whose
  arglist `pick` returns true."
  [pick]
  (->> (ns-publics 'espalier.ugens)
       (remove (comp :line meta val))
       (filter (fn [[k v]] (pick (str k) (first (:arglists (meta v))))))
       (map (comp str key))
       sort))

(defn- definition [k names]
  (str "(def " k "\n  '[" (str/join "\n    " (map #(str/join " " %) (partition-all 8 names))) "])\n"))

(defn text
  "The file's text."
  []
  (let [ugen? #(str/includes? % ":")]
    (str ";; The functions that espalier.ugens makes of its table: made by dev/espalier/kondo_names.clj; do not edit.\n"
         "(ns hooks.espalier.names)\n\n"
         (definition "ugens" (interned (fn [k _] (ugen? k))))
         "\n"
         (definition "unary-operators" (interned (fn [k args] (and (not (ugen? k)) (= '[a] args)))))
         "\n"
         (definition "binary-operators" (interned (fn [k args] (and (not (ugen? k)) (= '[a b] args))))))))

(defn -main [& _]
  (spit path (text)))

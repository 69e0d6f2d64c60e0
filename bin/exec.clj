;; Calls a function as `clojure -X` and `-T` do: [fn] (key value | [key …] value)* {…}?
(require '[clojure.edn :as edn])

(let [{:keys [exec-fn exec-args ns-default ns-aliases]}
      (:argmap (edn/read-string {:default tagged-literal} (slurp (System/getProperty "clojure.basis"))))

      args         (map edn/read-string *command-line-args*)
      [f args]     (if (symbol? (first args)) [(first args) (rest args)] [exec-fn args])
      [pairs tail] (if (odd? (count args)) [(butlast args) (last args)] [args nil])
      f            (cond (nil? f)                 (throw (ex-info "No function given, and no :exec-fn in the alias." {}))
                         (qualified-symbol? f)    (symbol (str (get ns-aliases (symbol (namespace f)) (namespace f))) (name f))
                         ns-default               (symbol (str ns-default) (str f))
                         :else                    (throw (ex-info (str "No namespace for the function " f) {})))
      argument     (reduce (fn [m [k v]] (assoc-in m (if (vector? k) k [k]) v)) exec-args (partition 2 pairs))]
  ((requiring-resolve f) (merge argument tail))
  (shutdown-agents))

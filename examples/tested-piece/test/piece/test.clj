(ns piece.test
  "Runs the tests: clojure -M:test"
  (:require
   [clojure.test :as t]
   [piece.canon-test]))

(defn -main [& _]
  (let [{:keys [fail error]} (t/run-tests 'piece.canon-test)]
    (shutdown-agents)
    (System/exit (if (zero? (+ fail error)) 0 1))))

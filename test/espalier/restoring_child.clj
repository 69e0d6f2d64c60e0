(ns espalier.restoring-child
  "A JVM of its own for `espalier.restoration-test`: boots a server, makes it what a snapshot in a file
  says, and tells what is there."
  (:require
   [clojure.edn :as edn]
   [espalier.core :as sc]))

(defn -main
  "Boots with the options (EDN), restores the snapshot at the path, and prints the report's counts,
  what could not be restored, the tree, and the snapshot anew."
  [options path]
  (sc/with-server [s (edn/read-string options)]
    (let [{:keys [restored not-restored]} (sc/restore! s (edn/read-string (slurp path)))]
      (prn [restored not-restored (sc/query-tree s) (sc/snapshot s)])))
  (shutdown-agents))

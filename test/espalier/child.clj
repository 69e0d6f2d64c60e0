(ns espalier.child
  "A JVM of its own for `espalier.jvm-test`: boots a server and tells what happens
  to it until it is ended."
  (:require
   [espalier.core :as sc])
  (:import
   (espalier.kernel ServerProcess)))

(defn -main
  "Boots with the options (EDN) and prints, a line each: the process ids of the
  server and its JACK, then the name of each event."
  [options]
  (let [s (sc/server (read-string options))]
    (sc/on-lifecycle! s (fn [{:keys [event]}] (locking s (prn event) (flush))))
    (sc/boot! s)
    (let [jack ^ServerProcess (:process (:jack @(.-state ^espalier.runtime.handle.Server s)))]
      (locking s (prn [(.pid (sc/process s)) (.pid jack)]) (flush)))
    (.await (java.util.concurrent.CountDownLatch. 1))))

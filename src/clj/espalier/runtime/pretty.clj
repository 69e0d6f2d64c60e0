(ns espalier.runtime.pretty
  "One line also where `clojure.pprint` prints: values that `pr` prints as one line are no
  maps of a hundred lines there. It is taught that when it is loaded, and never loaded
  for it."
  (:import
   (clojure.lang MultiFn)))

(set! *warn-on-reflection* true)

(defn teach!
  "Where clojure.pprint is loaded, has it print the records of these classes as `pr` does.
  Called whenever one is made, for it may be loaded at any time; it costs a look-up."
  [& classes]
  (let [dispatch (some-> (find-ns 'clojure.pprint) (ns-resolve 'simple-dispatch) deref)]
    (when (instance? MultiFn dispatch)
      (doseq [^Class c classes :when (not (contains? (.getMethodTable ^MultiFn dispatch) c))]
        (.addMethod ^MultiFn dispatch c pr)))))

(ns espalier.on-rehearsal-test
  "What is tested on real servers, on rehearsals as well: the same tests, with a rehearsal wherever they boot
  a server. `makes-no-sense` names those that a rehearsal cannot pass, with the reason."
  (:require
   [clojure.test :as t :refer [deftest is]]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(def ^:private namespaces
  '[espalier.lifecycle-test espalier.requests-test espalier.clients-test espalier.moments-test espalier.state-test
    espalier.query-tree-test espalier.nodes-test espalier.reconcile-test])

(def ^:private makes-no-sense
  "Tests that are not run on rehearsals, and why."
  '{espalier.nodes-test/controls-follow-buses                    "what a synth does by the values of a bus is not calculated: a gate that follows one does not close"
    espalier.reconcile-test/a-server-without-memory-says-so      "a rehearsal has no real-time memory that could be too little"
    espalier.reconcile-test/a-tone-that-is-moved-about-has-no-gap-and-no-click "sound"})

(defn- tests-of [n]
  (sort-by (comp :line meta)
           (filter (fn [v] (and (:test (meta v)) (not (:soak (meta v))) (not (contains? makes-no-sense (symbol v)))))
                   (vals (ns-interns n)))))

(defn- passes [n]
  (require n)
  (servers/on-rehearsals #(t/test-vars (tests-of n))))

(deftest what-is-left-out-is-there
  (run! require namespaces)
  (doseq [[test why] makes-no-sense]
    (is (:test (meta (resolve test))) test)
    (is (string? why))))

(deftest lifecycle (passes 'espalier.lifecycle-test))

(deftest requests (passes 'espalier.requests-test))

(deftest clients (passes 'espalier.clients-test))

(deftest moments (passes 'espalier.moments-test))

(deftest state (passes 'espalier.state-test))

(deftest query-tree (passes 'espalier.query-tree-test))

(deftest nodes (passes 'espalier.nodes-test))

(deftest reconcile (passes 'espalier.reconcile-test))

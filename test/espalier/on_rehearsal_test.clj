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
  '{espalier.clients-test/a-client-that-has-died-keeps-no-place "a rehearsal counts logins, as scsynth does, and needs no register of them"
    espalier.nodes-test/controls-follow-buses                    "what a synth does by the values of a bus is not calculated: a gate that follows one does not close"
    espalier.reconcile-test/a-server-without-memory-says-so      "a rehearsal has no real-time memory that could be too little"
    espalier.reconcile-test/a-tone-that-is-moved-about-has-no-gap-and-no-click "sound"})

;; A rehearsal is not made for speed, and what is under way has a deadline: thousands of synths are for `soak`.
(def ^:private takes-long
  '#{espalier.query-tree-test/fifty-groups-of-a-hundred-synths
     espalier.query-tree-test/a-group-that-no-reply-tells
     espalier.query-tree-test/deep-trees
     espalier.query-tree-test/a-synthdef-of-somebody-else
     espalier.query-tree-test/what-changes-while-it-is-read})

(defn- tests-of [n wanted?]
  (sort-by (comp :line meta)
           (filter (fn [v] (and (:test (meta v)) (not (:soak (meta v))) (not (contains? makes-no-sense (symbol v))) (wanted? (symbol v))))
                   (vals (ns-interns n)))))

(defn- passes
  "Runs tests of a namespace, which report for themselves."
  ([n] (passes n (complement takes-long)))
  ([n wanted?]
   (require n)
   (let [tests (tests-of n wanted?)]
     (is (seq tests))
     (servers/on-rehearsals #(t/test-vars tests)))))

(deftest what-is-left-out-is-there
  (run! require namespaces)
  (doseq [test (concat (keys makes-no-sense) takes-long)]
    (is (:test (meta (resolve test))) test)))

(deftest ^:soak soak
  (run! #(passes % takes-long) (distinct (map (comp symbol namespace) takes-long))))

(deftest lifecycle (passes 'espalier.lifecycle-test))

(deftest requests (passes 'espalier.requests-test))

(deftest clients (passes 'espalier.clients-test))

(deftest moments (passes 'espalier.moments-test))

(deftest state (passes 'espalier.state-test))

(deftest query-tree (passes 'espalier.query-tree-test))

(deftest nodes (passes 'espalier.nodes-test))

(deftest reconcile (passes 'espalier.reconcile-test))

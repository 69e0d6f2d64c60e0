(ns espalier.testing
  "For the tests of those who play with Espalier: a server for a test, what was said to it as
  data, and whether its tree is as expected. For clojure.test, and what runs its tests.

      (require '[espalier.core :as sc] '[espalier.testing :refer [failures is-tree with-rehearsal]])

      (deftest a-chord-has-three-notes
        (with-rehearsal [s]
          (chord! s [220 275 330])
          (is-tree s (repeat 3 [:synth {:def :bell}]))
          (is (= [] (failures s)))))

  `with-rehearsal` needs nothing installed: it is `espalier.rehearsal`, a silent stand-in within this JVM.
  `with-scsynth` is the same with the real server, and is skipped where there is none.
  doc/testing.md tells more."
  (:require
   [clojure.test :as t]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.traffic :as traffic]
   [espalier.model.tree-check :as tree-check]
   [espalier.rehearsal :as rehearsal]
   [espalier.runtime.audio :as audio]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.handle :as handle]))

(set! *warn-on-reflection* true)

;; ---- servers

(def ^:dynamic *server*
  "The server of the test that runs, a handle: bound by `rehearsal-fixture` and `scsynth-fixture`."
  nil)

(def ^:private ^:dynamic *begun*
  "By handle, the number of the last packet before the test."
  {})

(defn mark
  "The number of the last packet that went either way: `sent`, `received` and `failures` take it as
  where they are to begin."
  [s]
  (:n (peek (sc/trace s {:limit 1})) -1))

(defn- boot!
  "Boots a new handle. A port that somebody took since it was found free is another's."
  [opts]
  (loop [tries 3]
    (or (try (sc/boot! (sc/server (merge {:port (sc/find-free-port), :load-synthdefs false} opts)))
             (catch clojure.lang.ExceptionInfo e
               (when (or (contains? opts :port) (not= :port-taken (:reason (ex-data e))) (zero? tries))
                 (throw e))))
        (recur (dec tries)))))

(defn- call-with-booted [opts f]
  (with-open [^java.io.Closeable s (boot! opts)]
    (binding [*begun* (assoc *begun* s (mark s))]
      (f s))))

(defn call-with-rehearsal
  "Boots a rehearsal, calls `f` with its handle, and quits whatever happens. Returns what `f`
  returns; `with-rehearsal` is sugar over it."
  [opts f]
  (call-with-booted (assoc (dissoc opts :clock) :executable (rehearsal/rehearsal (select-keys opts [:clock]))) f))

(defmacro with-rehearsal
  "Evaluates the body with `s` bound to the handle of a rehearsal of its own, on a free port.
  Returns what the body returns.

  `options`  those of `espalier.core/boot!`; and `:clock`, which is :wall (default), or :virtual: time
             stands still until `advance!` moves it

      (with-rehearsal [s {:clock :virtual}]
        (sc/at s (Duration/ofMillis 500) (sc/add-synth! s :bell))
        (advance! s 500))"
  [[s opts :as binding] & body]
  (when-not (and (vector? binding) (symbol? s) (<= (count binding) 2))
    (throw (IllegalArgumentException. "with-rehearsal wants a vector first: (with-rehearsal [s {:clock :virtual}] …)")))
  `(call-with-rehearsal ~(or opts {}) (fn [~s] ~@body)))

(defn- lacking
  "What of a real server is not installed, in words, or nil."
  [{:keys [executable audio]}]
  (or (try (sc/find-scsynth executable) nil
           (catch clojure.lang.ExceptionInfo e
             (if (= :espalier.error/no-executable (error/code e))
               (str "no " (name (or executable "scsynth")) " is installed")
               (throw e))))
      (when (and (= :dummy audio) (nil? (audio/find-jackd)))
        "no jackd is installed")))

(defn- tell-skipped!
  "Prints that what runs is skipped. For Kaocha, which counts it, it is pending."
  [why]
  (let [{:keys [file line] the-name :name n :ns} (meta (first t/*testing-vars*))]
    (t/inc-report-counter :pending)
    (t/with-test-out
      (println (str "SKIPPED " (if the-name (str "in " (ns-name n) "/" the-name " (" file ":" line ")") "tests") ": " why
                    ". bin/espalier doctor tells what to do.")))))

(defn call-with-scsynth
  "Boots a real server, calls `f` with its handle, and quits whatever happens. Returns what `f`
  returns; nil where no server is installed, after a line that says so. `with-scsynth` is sugar over
  it."
  [opts f]
  (let [opts (merge {:audio :dummy} opts)]
    (if-let [why (lacking opts)]
      (tell-skipped! why)
      (call-with-booted opts f))))

(defmacro with-scsynth
  "Evaluates the body with `s` bound to the handle of a real server, on a free port and, as it
  needs no sound card, on a private JACK with the dummy driver. Returns what the body returns.

  Where that server or jackd is not installed, the body is skipped: a line says so, and nil is returned.

  `options`  those of `espalier.core/boot!`, such as `:executable \"supernova\"`

      (with-scsynth [s {:executable \"supernova\"}]
        (is (= :online (sc/boot-status s))))"
  [[s opts :as binding] & body]
  (when-not (and (vector? binding) (symbol? s) (<= (count binding) 2))
    (throw (IllegalArgumentException. "with-scsynth wants a vector first: (with-scsynth [s {:executable \"supernova\"}] …)")))
  `(call-with-scsynth ~(or opts {}) (fn [~s] ~@body)))

(defn- fixture [call-with opts]
  (fn [tests]
    (call-with opts (fn [s] (binding [*server* s] (tests))))))

(defn rehearsal-fixture
  "A fixture for `clojure.test/use-fixtures`: `*server*` is a rehearsal. With :each every test has its own,
  which takes some milliseconds; with :once those of a namespace share one. Options as of `with-rehearsal`.

      (use-fixtures :each (rehearsal-fixture {:clock :virtual}))"
  ([] (rehearsal-fixture {}))
  ([opts] (fixture call-with-rehearsal opts)))

(defn scsynth-fixture
  "As `rehearsal-fixture`, with a real server; where none is installed, the tests are skipped. Booting takes
  half a second: share it with :once, and begin each test with `(sc/reset-server! *server*)`. Options as of
  `with-scsynth`."
  ([] (scsynth-fixture {}))
  ([opts] (fixture call-with-scsynth opts)))

;; ---- time

(defn advance!
  "Moves the virtual clock of a rehearsal by so many milliseconds, and returns `s`. All that was sent
  before has arrived then, what is due meanwhile has happened in its order, and `s` has heard of it.
  `espalier.rehearsal/now` is the time there, and a Duration given to `espalier.core/at` counts from that.

  `s`   a handle that has booted a rehearsal with `{:clock :virtual}`

  Throws `:espalier.error/wall-clock`, `:espalier.error/no-rehearsal`, `:espalier.error/no-answer`.

      (advance! s 500)"
  [s ms]
  (sc/sync! s)
  (rehearsal/advance! s ms)
  (sc/sync! s))

;; ---- what was said

(defn- entries
  "What the trace has since packet `from`; throws where the trace no longer has all of it."
  [s from]
  (let [from    (or from (get *begun* s -1))
        entries (sc/trace s {:after from})
        lost    (if (seq entries) (- (long (:n (first entries))) (long from) 1) 0)]
    (when (or (pos? lost) (some (comp nil? :packet) entries))
      (throw (error/error :trace-too-short
                          (str "Of what went to the server and came from it, only the last 4,096 packets are kept, and what is asked for has more. "
                               "(mark s) nearer by, and then (sent s mark), asks for less.")
                          {:lost lost})))
    entries))

(defn- packets [s from direction]
  (map :packet (filter #(= direction (:direction %)) (entries s from))))

(defn sent
  "What this handle has sent, since the test began or since a `mark`: a vector of messages, and of bundles
  `{:at instant-or-nil, :packets [message …]}`.

  What Espalier asks by itself is left out: whether the server lives, how its tree is, whether something is
  done; so `espalier.core/status` and `sync!` leave nothing here. Numbers equal what was given; a SynthDef is told by
  its name, `[\"/d_recv\" {:synthdefs [\"bell\"]}]`; and what follows an asynchronous command is the `{:completion
  [message …]}` at its end.

  Throws `:espalier.error/trace-too-short` where more was sent than is kept.

      (sent s before)  ;=> [[\"/s_new\" \"bell\" 1000 0 1 \"freq\" 440]]"
  ([s] (sent s nil))
  ([s mark] (into [] (keep traffic/asked) (packets s mark :sent))))

(defn received
  "What the server has sent to this handle since the test began or since a `mark`, a vector of messages,
  without the answers to what Espalier asks by itself. What was sent before has been done. As `sent`.

      (received s before)  ;=> [[\"/n_go\" 1000 1 -1 -1 0]]"
  ([s] (received s nil))
  ([s mark]
   (sc/sync! s)
   (into [] (keep traffic/told) (packets s mark :received))))

(defn failures
  "The `/fail`s since the test began or since a `mark`, a vector of messages; those too that a call has thrown.
  What was sent before has been done. supernova tells none of nodes.

      (is (= [] (failures s)))"
  ([s] (failures s nil))
  ([s mark] (filterv #(= "/fail" (first %)) (received s mark))))

(defn sent-during
  "What this handle sends while `f` is called, as `sent` tells it. `sent-by` is sugar over it."
  [s f]
  (let [from (mark s)]
    (f)
    (sent s from)))

(defmacro sent-by
  "What this handle sends while the body is evaluated, as `sent` tells it.

      (is (= [[\"/n_set\" 1000 \"freq\" 440]] (sent-by [s] (sc/set-controls! bell {:freq 440}))))"
  [[s :as binding] & body]
  (when-not (and (vector? binding) (= 1 (count binding)))
    (throw (IllegalArgumentException. "sent-by wants the handle in a vector first: (sent-by [s] …)")))
  `(sent-during ~s (fn [] ~@body)))

;; ---- what plays

(defn check-tree
  "How what plays differs from what a form says: `{:edits [edit …], :wanted [node …], :there [node …]}`, with
  no edits where it is so. `is-tree` asserts that. What was sent before has been done.

  `form`   what is in the group `:root`, as for `espalier.core/reconcile!`: a node, a sequence of nodes, nil for
           none, or a map with that as its `:tree`. What it does not mention does not count: ids, keys and
           controls of its nodes
  `:root`  the group, or its id (default: the default group)
  `:names` what keywords among the values of controls stand for (default: the buses and buffers that were
           declared with the tree of that group)

  Throws what `espalier.tree/nodes` and `espalier.core/query-tree` throw.

      (:edits (check-tree s [:synth {:def :bell} {:freq 440}]))  ;=> []"
  ([s form] (check-tree s form {}))
  ([s form opts]
   (let [{:keys [root names]} (options/check-call opts #{:root :names})
         root  (or root (sc/default-group s))
         known (get-in (declared/known (handle/live s)) [:roots (if (int? root) root (:id root))])
         tree  (if (and (map? form) (not (:kind form))) (:tree form) form)]
     (sc/sync! s)
     (tree-check/check (:children (sc/query-tree s {:group root}))
                       tree
                       (or names (update-vals (merge (:buses known) (:buffers known)) :entity))))))

(defn tree-report
  "What `is-tree` reports to clojure.test, a map of `:type` (:pass or :fail), `:message`, `:expected`, `:actual`.
  Takes what `check-tree` takes."
  [s form opts]
  (let [{:keys [edits] :as found} (check-tree s form opts)]
    {:type     (if (empty? edits) :pass :fail)
     :message  (tree-check/text found)
     :expected form
     :actual   (mapv #(dissoc % :synthdef) edits)}))

(defmacro is-tree
  "Asserts, for clojure.test, that what plays is what the form says; returns whether it is so. Where it is
  not, the report tells what would have to change, what was expected and what is there. Takes what
  `check-tree` takes.

      (is-tree s [:group {:key :mix}
                   [:synth {:def :bell} {:freq 440}]
                   [:synth {:def :bell}]])"
  ([s form] `(is-tree ~s ~form {}))
  ([s form opts]
   `(let [report# (tree-report ~s ~form ~opts)]
      (t/do-report report#)
      (= :pass (:type report#)))))

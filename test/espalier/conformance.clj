(ns espalier.conformance
  "Whether two servers are the same: random sequences of commands go to both, and what
  they answer must be equal, message by message and bit by bit. What differs is shrunk
  to the smallest sequence that shows it.

  The parts: `conformance.commands` makes sequences, `conformance.hazards` leaves out what
  a real server does not survive, `conformance.material` has the files and SynthDefs that
  they name, `conformance.side` gives them to a server."
  (:require
   [clojure.edn :as edn]
   [clojure.pprint :refer [pprint]]
   [clojure.test.check :as check]
   [clojure.test.check.properties :as prop]
   [espalier.conformance.commands :as commands]
   [espalier.conformance.hazards :as hazards]
   [espalier.conformance.side :as side]
   [espalier.conformance.supernova :as supernova]
   [espalier.runtime.audio :as audio])
  (:import
   (java.util.concurrent Callable ExecutorService Executors Future)))

(set! *warn-on-reflection* true)

(def not-compared
  "What of the answers is not compared, and why."
  [["`/status.reply`" "the CPU load and the actual sample rate, which are measured"]
   ["`/b_info`" "the sample rate of a buffer that is not there, which is left to chance"]
   ["ids that the server picks" "the numbers, which go on from sequence to sequence; they are compared by the order in which they appear"]
   ["`/d_removed`" "the order within one step, which may be that of the files in a folder"]
   ["replies and notifications" "how they mix within one step, which depends on where the server's blocks begin; each has its own order"]])

;; ---- one pair of servers

(defn pair
  "Two sides, from functions that start a server (`espalier.conformance.side/process`)."
  [left right]
  {:left (side/side left), :right (side/side right), :executor (Executors/newSingleThreadExecutor)})

(defn close-pair!
  "Ends the servers of a pair."
  [{:keys [left right ^ExecutorService executor]}]
  (.shutdown executor)
  (side/close! left)
  (side/close! right))

(defn- difference
  "Where two segments differ: what was sent, how many answers were equal, and those that
  follow."
  [a b]
  (if-let [k (when-not (or (:no-answer a) (:no-answer b) (not= (:sent a) (:sent b)))
               (first (filter #(not= (% a) (% b)) [:replies :notifications :removed])))]
    (let [equal (count (take-while true? (map = (k a) (k b))))]
      {:sent (:sent a), :in k, :equal equal, :left (vec (drop equal (k a))), :right (vec (drop equal (k b)))})
    {:sent (:sent a), :left (dissoc a :sent), :right (dissoc b :sent)}))

(defn compare-sequence!
  "Gives a sequence to both sides of `pair`. nil where they answer the same, else what
  differs first: `{:sent packets, :in :replies, :equal n, :left messages, :right messages}`,
  the messages being those behind the `n` that are equal. A left side that falls silent
  counts as a difference. Where the pair has a `:view`, it is that of each segment that is
  compared."
  [{:keys [left right view ^ExecutorService executor]} packets]
  (let [packets      (hazards/harmless packets)
        ^Callable f  #(side/run-sequence! right packets)
        ^Future told (.submit executor f)
        a            (side/run-sequence! left packets)
        b            (.get told)
        shown        #(if (and view (not (:no-answer %))) (view %) %)]
    (first (for [i     (range (max (count a) (count b)))
                 :let  [x (shown (nth a i nil)), y (shown (nth b i nil))]
                 :when (or (not= x y) (:no-answer x))]
             (difference x y)))))

(defn differs!
  "As `compare-sequence!`, but what differs once only, and not when it is sent again, is put
  into the atom `once`, and is none: the system may lose a packet."
  [pair once packets]
  (when-let [first-time (compare-sequence! pair packets)]
    (or (compare-sequence! pair packets)
        (do (swap! once conj {:packets (hazards/harmless packets), :difference first-time})
            nil))))

(defn check-pair!
  "Runs `n` random sequences of `length` packets over a pair. `{:sequences n, :once […]}`, and
  where a sequence differs the smallest such with what differs: `:packets`, `:difference`.

  `:change`  function of a sequence, applied to each
  `:view`    function of a segment of answers: what of it is compared"
  [pair {:keys [n length seed change view]}]
  (let [pair   (assoc pair :view view)
        once   (atom [])
        change (or change identity)
        result (check/quick-check n
                                  (prop/for-all [packets (commands/sequences length)]
                                    (nil? (differs! pair once (change packets))))
                                  :seed seed)]
    (cond-> {:sequences (:num-tests result), :once @once}
      (not (true? (:result result)))
      (merge (let [packets (hazards/harmless (change (first (get-in result [:shrunk :smallest]))))]
               {:seed seed, :packets packets, :difference (compare-sequence! pair packets)})))))

;; ---- several pairs

(defn with-audio
  "Calls `f` with the environment of a private JACK that servers may share."
  [f]
  (let [jack (audio/start-dummy! {:dummy-sample-rate-hz 48000, :dummy-period-frames 64, :boot-timeout-ms 10000})]
    (try (f (:environment jack))
         (finally (audio/stop-dummy! jack)))))

(defn check-servers!
  "Runs sequences over several pairs of servers at the same time, for most of the time is
  waiting. What `check-pair!` returns, for all of them.

  `left` `right`  functions that start a server
  `:n`            how many sequences
  `:length`       how many packets in each
  `:pairs`        how many pairs
  `:seed`         of the first pair; the others have those that follow"
  [left right {:keys [n pairs seed] :as opts}]
  (let [all (vec (repeatedly pairs #(pair left right)))]
    (try
      (let [results (mapv deref (mapv (fn [i p] (future (check-pair! p (assoc opts :n (quot n pairs) :seed (+ seed i)))))
                                      (range) all))]
        (merge {:sequences (reduce + (map :sequences results)), :once (into [] (mapcat :once) results)}
               (dissoc (first (filter :packets results)) :sequences :once)))
      (finally (run! close-pair! all)))))

(defn regressions
  "The sequences that once differed, `{:why text, :packets […]}`."
  []
  (edn/read-string (slurp "test/espalier/conformance/regressions.edn")))

(defn check-regressions!
  "The regressions that differ between two servers, each with its `:difference`."
  [left right]
  (let [p (pair left right)]
    (try
      (vec (for [{:keys [packets] :as regression} (regressions)
                 :let  [d (differs! p (atom []) packets)]
                 :when d]
             (assoc regression :difference d)))
      (finally (close-pair! p)))))

(defn report
  "What a result says, as text: how to see it again, the smallest sequence, both answers."
  [{:keys [seed packets difference once]}]
  (with-out-str
    (when packets
      (println "The smallest sequence that differs (seed" (str seed "); it belongs in test/espalier/conformance/regressions.edn:"))
      (prn packets)
      (pprint difference))
    (doseq [{:keys [packets difference]} once]
      (println "This differed once, and not again:")
      (prn packets)
      (pprint difference))))

(defn page
  "The text of doc/conformance.md."
  []
  (str "# Conformance\n\n"
       "`espalier.conformance-test` gives random sequences of commands to scsynth and to the rehearsal, and compares all that they\n"
       "answer: replies and notifications in their order, then the node tree, every bus, every buffer; floats bit by bit. What differs is\n"
       "shrunk to the smallest sequence. The tests run 2,000 of them, of 50 commands each: most of a fixed seed, some of a fresh one; `bin/test espalier.conformance-test/many-sequences` as many of a fresh one.\n\n"
       "## What is not compared\n\n"
       "| of | what, and why |\n|---|---|\n"
       (apply str (for [[what why] not-compared] (str "| " what " | " why " |\n")))
       "\n## What is not sent\n\n"
       "scsynth 3.13 crashes of these, loses nodes, or answers what is left to chance; found by sending them.\n\n"
       "| command | which, and why |\n|---|---|\n"
       (apply str (for [{:keys [addresses why]} hazards/table]
                    (str "| " (apply str (interpose ", " (map #(str "`" % "`") (sort addresses)))) " | " why " |\n")))
       "| `/n_before`, `/n_after`, `/n_order`, `/g_head`, `/g_tail` | a node moved next to itself, a group into what may be below it, the root, the node -1:"
       " they leave the tree, and a query of them never ends |\n"
       "\n## supernova\n\n"
       "supernova is compared with scsynth in fewer commands: " (apply str (interpose ", " (map #(str "`" % "`") (sort supernova/compared))))
       ".\nThe others are not sent, as it crashes of them or answers what scsynth does not. Known differences of those that are sent, which are not compared:\n\n"
       "| of | what |\n|---|---|\n"
       (apply str (for [[what why] supernova/differences] (str "| " what " | " why " |\n")))))

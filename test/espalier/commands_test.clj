(ns espalier.commands-test
  "Every command of the table on the real servers, and what must never reach them."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.random :as random]
   [clojure.test.check.rose-tree :as rose]
   [espalier.core :as sc]
   [espalier.model.command :as command]
   [espalier.model.command-table :refer [table]]
   [espalier.servers :as servers])
  (:import
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- read-bytes ^bytes [x]
  (with-open [in (io/input-stream x)] (.readAllBytes in)))

(def ^:private bell (read-bytes (io/resource "golden/instruments/bell.scsyndef")))

(defn- temporary-directory []
  (str (Files/createTempDirectory "espalier-commands" (make-array FileAttribute 0))))

(defn- delete! [directory]
  (run! io/delete-file (reverse (file-seq (io/file directory)))))

(defn- options [{:keys [executable] :as kind}]
  (servers/options kind {:buffer-count 1024, :memory-size (if (= "supernova" executable) 65536 8192), :watch-interval-ms 60000
                         :watch-patience-ms 120000}))

(defn- on-each-engine
  "Calls `f` with a server, its engine, and a directory."
  [f]
  (doseq [{:keys [executable] :as kind} servers/udp-kinds
          :let [directory (temporary-directory)]]
    (testing executable
      (try
        (sc/call-with-server (options kind) (fn [s] (f s (keyword executable) directory)))
        (finally (delete! directory))))))

(defn- steps
  "Right requests in an order in which they can be: command and arguments."
  [directory]
  (let [wav (str directory "/x.wav"), defs (str directory "/defs"), file (str defs "/bell.scsyndef")]
    (io/make-parents file)
    (io/copy bell (io/file file))
    [[:status {}]
     [:version {}]
     [:none {}]
     [:sync {:id 77}]
     [:dump-osc {:mode 1}]
     [:dump-osc {:mode 0}]
     [:error-mode {:mode 1}]
     [:d-recv {:synthdef bell}]
     [:d-load {:path file}]
     [:d-load-directory {:path defs}]
     [:g-new {:groups [[2000 :head 1] [2001 :tail 1]]}]
     [:p-new {:groups [[2002 :tail 1]]}]
     [:s-new {:synthdef "bell", :id 3000, :target 2000, :controls {:freq 220, :amp 0.0}}]
     [:s-new {:synthdef "bell", :id 3001, :action :after, :target 3000}]
     [:s-new-args {:synthdef "bell", :id 3002, :action :tail, :target 2000, :ranges {:freq [330]}}]
     [:s-new {:synthdef "bell", :id 3003, :target 2001}]
     [:n-set {:id 3000, :controls {:freq 440, "amp" 0.5, 0 0.0}}]
     [:n-setn {:id 3000, :ranges {:freq [440.0]}}]
     [:n-fill {:id 3000, :fills [[:freq 1 440.0]]}]
     [:n-map {:id 3000, :buses {:freq 5}}]
     [:n-mapa {:id 3000, :buses {:freq 20}}]
     [:n-mapn {:id 3000, :buses [[:freq 5 1]]}]
     [:n-mapan {:id 3000, :buses [[:freq 20 1]]}]
     [:n-map {:id 3000, :buses {:freq nil}}]
     [:n-run {:runs {3000 false}}]
     [:n-run {:runs {3000 true}}]
     [:n-before {:moves {3001 3000}}]
     [:n-after {:moves {3001 3000}}]
     [:n-order {:action :head, :target 2000, :ids [3001 3000]}]
     [:n-query {:id 3000}]
     [:n-trace {:ids [3000]}]
     [:s-get {:id 3000, :controls [:freq "amp" 0]}]
     [:s-getn {:id 3000, :control :freq, :count 1}]
     [:g-head {:moves {2001 3001}}]
     [:g-tail {:moves {2001 3001}}]
     [:g-dump-tree {:groups {0 true}}]
     [:g-query-tree {:group 0, :with-controls true}]
     [:g-query-tree {:group 2000, :with-controls false}]
     [:s-noid {:ids [3003]}]
     [:g-deep-free {:ids [2001]}]
     [:g-free-all {:ids [2000]}]
     [:n-free {:ids [2000 2001 2002]}]
     [:clear-schedule {}]
     [:d-free {:names ["bell" :never-there]}]
     [:b-alloc {:buffer 7, :frame-count 512, :channel-count 1}]
     [:b-query {:buffers [7 8]}]
     [:b-zero {:buffer 7}]
     [:b-set {:buffer 7, :samples {0 0.25, 511 -0.5}}]
     [:b-setn {:buffer 7, :ranges [[1 [0.5 0.25]] [10 (float-array 300)]]}]
     [:b-fill {:buffer 7, :fills [[500 5 0.125]]}]
     [:b-get {:buffer 7, :samples [0 511]}]
     [:b-getn {:buffer 7, :sample 0, :count 512}]
     [:b-gen {:buffer 7, :routine :sine1, :arguments [7 1 0.5]}]
     [:b-gen {:buffer 7, :routine "normalize", :arguments [0.5]}]
     [:b-write {:buffer 7, :path wav}]
     [:b-alloc-read {:buffer 8, :path wav}]
     [:b-query {:buffers [8]}]
     [:b-gen {:buffer 8, :routine "copy", :arguments [0 7 0 -1]}]
     [:b-alloc-read-channel {:buffer 9, :path wav, :channels [0]}]
     [:b-read {:buffer 8, :path wav, :frame-count 100, :buffer-frame 5}]
     [:b-read-channel {:buffer 8, :path wav, :channels [0]}]
     [:b-read {:buffer 8, :path wav, :leave-open true}]
     [:b-close {:buffer 8}]
     [:b-free {:buffer 9}]
     [:c-set {:buses {5 0.5, 16383 1}}]
     [:c-setn {:ranges {6 [1 2 3]}}]
     [:c-fill {:fills [[9 4 0.25]]}]
     [:c-get {:buses [5 6 16383]}]
     [:c-getn {:bus 5, :count 8}]]))

(def ^:private without-a-plug-in
  "Commands that some plug-in or UGen would have to know."
  [[:plugin {:name "never-there", :arguments [1 2.5 "x"]}]
   [:u-cmd {:id 3100, :ugen 0, :name "never-there"}]])

(defn- refused-on?
  "Whether a command is never sent to version 3.13 of an engine."
  [{:keys [own engines refused since]} engine]
  (boolean (or own since (get refused engine) (and engines (not (engines engine))))))

(defn- answers? [reply request]
  (let [prefix (command/reply-to request)]
    (and (<= (count prefix) (count reply))
         (every? true? (map (fn [wanted x] (or (nil? wanted) (= wanted x))) prefix reply)))))

(deftest every-command-is-taken-by-the-servers
  (on-each-engine
    (fn [s engine directory]
      (let [all     (steps directory)
            failed  (atom [])
            entries (into {} (map (juxt :command identity)) table)]
        (sc/on-lifecycle! s :command-failed #(swap! failed conj (:message %)))
        (is (= command/command-names
               (into (set (map first (concat all without-a-plug-in)))
                     (map :command (filter #(or (:own %) (:since %) (= #{:scsynth} (set (keys (:refused %))) (:engines %)) (= :d-free-all (:command %))) table))))
            "each command is here")
        (doseq [[command args] all
                :let [{:keys [reply async?] :as entry} (entries command)]]
          (testing (pr-str command args)
            (if (refused-on? entry engine)
              (is (= :refused-command (servers/error-of #(sc/command! s command args))))
              (let [answer (try (sc/command! s command args {:confirm true})
                                (catch clojure.lang.ExceptionInfo e (ex-message e)))]
                (is (if (or (not reply) (and async? (nil? answer)))
                      (nil? answer)
                      (and (vector? answer) (answers? answer (command/request command args (assoc command/default-limits :engine engine)))))
                    (pr-str answer))))))
        (doseq [{:keys [command] :as entry} table
                :when (and (refused-on? entry engine) (not-any? #(= command (first %)) all))
                :let  [sent (.sent (sc/osc-client s))]]
          (testing command
            (is (= :refused-command
                   (servers/error-of #(sc/command! s command (case command
                                                               :notify            {:on true}
                                                               :b-set-sample-rate {:buffer 7, :sample-rate-hz 48000}
                                                               {})))))
            (is (= sent (.sent (sc/osc-client s))))))
        (testing "what no plug-in knows"
          (sc/command! s :d-recv {:synthdef bell})
          (sc/command! s :s-new {:synthdef "bell", :id 3100, :target 1} {:confirm true})
          (doseq [[command args] without-a-plug-in]
            (is (= (if (= :scsynth engine) :command-failed :none)
                   (servers/error-of #(sc/command! s command args {:confirm true})))
                (str command))))
        (sc/sync! s)
        (is (= [] @failed))
        (is (= :online (sc/boot-status s)))
        (is (= [3100] (map :id (:children (first (:children (sc/query-tree s)))))))))))

(deftest replies-hold-what-was-sent
  (on-each-engine
    (fn [s _ _]
      (sc/command! s :b-alloc {:buffer 3, :frame-count 64, :channel-count 2})
      (is (= ["/b_info" 3 64 2] (subvec (sc/command! s :b-query {:buffers [3]}) 0 4)))
      (sc/command! s :b-setn {:buffer 3, :ranges [[4 [0.5 0.25]]]})
      (is (= ["/b_setn" 3 3 4 0.0 0.5 0.25 0.0] (sc/command! s :b-getn {:buffer 3, :sample 3, :count 4})))
      (sc/command! s :c-setn {:ranges {100 [1 2]}})
      (is (= ["/c_set" 101 2.0 100 1.0] (sc/command! s :c-get {:buses [101 100]})))
      (testing "a completion is carried out before its command is answered"
        (sc/send! s (command/with-completion ["/b_alloc" 4 32 1] [["/c_set" 100 9.0]]))
        (sc/sync! s)
        (is (= ["/c_set" 100 9.0] (sc/command! s :c-get {:buses [100]})))))))

(deftest numbers-of-this-server-are-its-limits
  (sc/call-with-server (servers/options {:executable "scsynth", :protocol :udp} {:buffer-count 16, :control-bus-channel-count 64})
                       (fn [s]
                         (let [sent (.sent (sc/osc-client s))]
                           (is (= :invalid-argument (servers/error-of #(sc/command! s :b-alloc {:buffer 16, :frame-count 1}))))
                           (is (= :invalid-argument (servers/error-of #(sc/command! s :c-set {:buses {64 1}}))))
                           (is (= :refused-command (servers/error-of #(sc/command! s :c-fill {:fills [[60 5 1]]}))))
                           (is (= sent (.sent (sc/osc-client s)))))
                         (is (nil? (sc/command! s :b-alloc {:buffer 15, :frame-count 1})))
                         (is (= ["/c_set" 63 0.0] (sc/command! s :c-get {:buses [63]}))))))

;; what must not reach a server

(def ^:private wrong
  "What is right for no argument at all."
  (gen/one-of
    [(gen/elements [##NaN (float ##NaN) 1e300 -1e39 2147483648 -2147483649 Long/MIN_VALUE 100000000000000000000N "" "a\u0000b" \a {}
                    {:kind :bus} {:kind :group, :id -5} {:kind :synth, :id "x"} (Object.) inc #inst "2020" (char-array "ab") (object-array 2)
                    (sorted-map 1.5 ##NaN) [nil] [[]] [##NaN] #{##NaN} (list (Object.)) (float-array 0)])
     (gen/fmap (fn [x] [[x]]) (gen/elements [nil ##NaN \a 1e39 {} []]))]))

(defn- broken
  "A generator of right arguments of which one is not, or is unknown, or of a command
  that there is not."
  [all]
  (gen/let [[command args] (gen/elements (vec (filter #(seq (second %)) all)))
            k              (gen/elements (vec (keys args)))
            x              wrong
            way            (gen/choose 0 9)]
    (case (int way)
      0 [(keyword (str (name command) "-x")) args]
      1 [command (assoc args :never x)]
      2 [command x]
      [command (assoc args k x)])))

(defn- samples
  "`n` values of a generator, always the same."
  [g n seed]
  (map #(rose/root (gen/call-gen g %1 (mod (long %2) 50)))
       (gen/lazy-random-states (random/make-random seed))
       (range n)))

(deftest what-is-ill-typed-does-not-reach-a-server
  (on-each-engine
    (fn [s _ directory]
      (sc/command! s :b-alloc {:buffer 7, :frame-count 512})
      (sc/command! s :b-alloc {:buffer 8, :frame-count 512})
      (sc/command! s :g-new {:groups [[2000 :head 1]]} {:confirm true})
      (let [all    (concat (steps directory) without-a-plug-in)
            before (sc/state s)
            n      (:n (peek (sc/trace s)))
            sent   (.sent (sc/osc-client s))
            found  (reduce (fn [found [command args]]
                             (let [code (try (sc/command! s command args) :none
                                             (catch Throwable e (or (some-> (:espalier/error (ex-data e)) name keyword) (class e))))]
                               (if (contains? #{:invalid-argument :unknown-argument :unknown-command :refused-command :invalid-synthdef
                                                :foreign-entity}
                                              code)
                                 (update found :refused inc)
                                 (update found :others conj [code command (binding [*print-length* 5] (pr-str args))]))))
                           {:refused 0, :others []}
                           (samples (broken all) 10000 41))]
        (is (= {:refused 10000, :others []} (update found :others #(vec (take 5 (distinct %))))))
        (let [since (sc/trace s {:direction :sent, :after n})]
          (is (= (count since) (- (.sent (sc/osc-client s)) sent)))
          (is (every? #(= ["/status"] (:packet %)) since) "nothing but the pings of the watch"))
        (is (= before (sc/state s)) "the handle is as it was")
        (is (= :online (sc/boot-status s)))
        (is (= s (sc/sync! s)))
        (is (= ["/b_info" 7 512 1] (subvec (sc/command! s :b-query {:buffers [7]}) 0 4)))
        (is (not (str/includes? (str/join (sc/server-output s)) "FAILURE")))))))

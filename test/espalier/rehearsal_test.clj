(ns espalier.rehearsal-test
  "The rehearsal as a server: its sockets, its clock, what a handle sees of it, its troubles."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.rehearsal :as rehearsal]
   [espalier.runtime.link :as link]
   [espalier.servers :as servers :refer [code-of eventually]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (espalier.kernel Link)
   (java.io Closeable)
   (java.time Duration)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ping [out 0, dur 0.2]
  (ugens/out:kr out (ugens/env-gen:kr (env/triangle dur) :done-action :free-self)))

;; ---- a bare client, as a test of another toolkit would have

(defn- client
  "A link to a rehearsal and a function that returns the next message, or nil after a while."
  [r & [protocol]]
  (let [queue (LinkedBlockingQueue.)]
    [(link/open {:protocol (or protocol :udp), :ip-address "127.0.0.1", :port (rehearsal/port r), :timeout-ms 2000}
                {:packet #(.put queue (link/message %)), :idle? (constantly false), :malformed (fn [_]), :unreachable (fn []), :closed (fn [_])})
     (fn [& [ms]] (.poll queue (or ms 2000) TimeUnit/MILLISECONDS))]))

(defn- with-client [r protocol f]
  (let [[l heard] (client r protocol)]
    (try (f #(link/send! l %) heard)
         (finally (.close ^Link l)))))

(defn- all-until
  "What is heard up to the answer to this /sync."
  [heard n]
  (loop [found []]
    (let [m (heard)]
      (if (or (nil? m) (= ["/synced" n] m)) found (recur (conj found m))))))

(deftest it-answers-on-a-port-of-its-own
  (doseq [protocol [:udp :tcp]]
    (testing protocol
      (with-open [^Closeable r (rehearsal/start! {:port nil, :protocol protocol})
                  ^Closeable q (rehearsal/start! {:port nil, :protocol protocol})]
        (is (not= (rehearsal/port r) (rehearsal/port q)))
        (is (str/includes? (pr-str r) (str "127.0.0.1:" (rehearsal/port r))))
        (is (= :server-cannot-boot (code-of #(rehearsal/start! {:port (rehearsal/port r), :protocol protocol}))))
        (with-client r protocol
          (fn [send! heard]
            (send! ["/notify" 1])
            (is (= ["/done" "/notify" 0 1] (heard)))
            (send! ["/g_new" 1 0 0])
            (is (= ["/n_go" 1 0 -1 -1 1 -1 -1] (heard)))
            (send! ["/status"])
            (is (= ["/status.reply" 1 0 0 2 0] (subvec (heard) 0 6)))
            (send! ["/quit"])
            (is (= ["/done" "/quit"] (heard)))
            (is (eventually #(str/includes? (pr-str r) "exit 0")))))))))

(deftest what-is-printed-is-what-scsynth-prints
  (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})]
    (sc/send! s ["/n_free" 77])
    (sc/sync! s)
    (is (= ["SC_AudioDriver: sample rate = 48000.000000, driver's block size = 64"
            "SuperCollider 3 server ready."
            "FAILURE IN SERVER /n_free Node 77 not found"]
           (remove #(str/includes? % "/n_query") (sc/server-output s))))))

;; ---- a handle boots it

(deftest a-handle-cannot-tell
  (let [s    (sc/server {:executable :rehearsal, :port (sc/find-free-port), :maximum-logins 2})
        seen (servers/events s)]
    (sc/boot! s)
    (is (= [:booting :process-booted :connecting :connected :booted] (seen :booted)))
    (is (re-find #"ONLINE \[rehearsal .*-l 2" (pr-str s)))
    (is (nil? (:pid (datafy s))))
    (is (thrown? UnsupportedOperationException (.pid (sc/process s))) "no number would be safe to send a signal to")
    (sc/add-synthdefs! s ping)
    (let [g (sc/add-group! s), p (sc/add-synth! s :ping {:dur 10} {:target g})]
      (is (= {:dur 10.0} (sc/get-controls p [:dur])))
      (is (= [p] (sc/children g)))
      (with-open [^Closeable other (sc/connect! (sc/server) {:port (:port (servers/address s))})]
        (is (= 1 (sc/client-id other)))))
    (testing "it quits"
      (sc/quit! s)
      (is (= :quit (peek (seen :quit))))
      (is (= :offline (sc/boot-status s))))
    (testing "and boots again, as it was"
      (sc/boot! s)
      (is (= 3 (:group-count (sc/status s))) "the root and the default groups of two")
      (sc/quit! s))))

(deftest one-that-dies-is-noticed
  (doseq [[how die!] {"killed" rehearsal/die!, "killed with all" (fn [_] (sc/kill-all!))}]
    (testing how
      (let [s    (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})
            seen (servers/events s)]
        (die! s)
        (is (= [:process-died :disconnected :lost] (seen :lost)))
        (is (= :lost (sc/boot-status s)))
        (sc/boot! s {:executable :rehearsal, :port (sc/find-free-port)})
        (is (= :online (sc/boot-status s)))
        (sc/quit! s)))))

(deftest what-kills-a-real-one-kills-it
  (with-open [^Closeable r (rehearsal/start! {:port nil})]
    (with-client r :udp
      (fn [send! _]
        (send! ["/g_new" 1 0 0])
        (send! ["/g_head" 1 1])
        (send! ["/g_queryTree" 1 0])
        (is (eventually #(str/includes? (pr-str r) "SIGSEGV")))))
    (is (= :server-offline (code-of #(rehearsal/trouble! r {:drop 0.5}))))))

;; ---- its clock

(deftest time-can-be-moved
  (with-open [^Closeable s (sc/boot! (sc/server) {:executable (rehearsal/rehearsal {:clock :virtual}), :port (sc/find-free-port)})]
    (sc/add-synthdefs! s ping)
    (let [start (sc/add-synth! s :ping {:dur 3600})]
      (sc/at s (Duration/ofSeconds 60) (sc/add-group! s))
      (sc/sync! s)
      (let [groups #(count (filter (comp #{:group} :kind) (sc/children (sc/default-group s))))]
        (is (= 0 (groups)))
        (rehearsal/advance! s 70000)
        (is (= 1 (groups)) "an hour passes at once"))
      (is (= [] (rehearsal/unknown s)))
      (rehearsal/advance! s 3600000)
      (is (= start (sc/await-ended start)))))
  (with-open [^Closeable r (rehearsal/start! {:port nil})]
    (is (= :wall-clock (code-of #(rehearsal/advance! r 5))))))

(deftest synths-end-on-the-walls-clock-too
  (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})]
    (sc/add-synthdefs! s ping)
    (let [p (sc/add-synth! s :ping {:dur 0.02})]
      (is (= p (sc/await-ended p))))))

;; ---- what was said

(deftest traffic-is-kept-as-values
  (with-open [^Closeable r (rehearsal/start! {:port nil})]
    (with-client r :udp
      (fn [send! heard]
        (send! ["/c_set" 5 0.5])
        (send! {:at nil, :packets [["/c_get" 5] ["/sync" 1]]})
        (all-until heard 1)
        (is (= [["/c_set" 5 0.5] {:at nil, :packets [["/c_get" 5] ["/sync" 1]]}] (mapv :packet (rehearsal/received r))))
        (is (= [["/c_set" 5 0.5] ["/synced" 1]] (mapv :packet (rehearsal/sent r))))
        (is (every? #(and (inst? (:at %)) (inst? (:time %)) (string? (:client %))) (rehearsal/sent r)))
        (is (= 0.5 (double (get-in (rehearsal/world r) [:control-buses 5]))))))))

;; ---- trouble

(defn- lost-of
  "Which of 200 questions are not answered, with this trouble."
  [trouble]
  (with-open [^Closeable r (rehearsal/start! {:port nil})]
    (with-client r :udp
      (fn [send! heard]
        (rehearsal/trouble! r trouble)
        (doseq [i (range 200)] (send! ["/c_get" i]))
        (is (eventually #(= 200 (count (rehearsal/received r)))))
        (rehearsal/trouble! r nil)
        (send! ["/sync" 1])
        (let [answers (map second (all-until heard 1))]
          {:lost (remove (set answers) (range 200)), :answers answers})))))

(deftest packets-are-lost-as-the-seed-says
  (let [{:keys [lost]} (lost-of {:drop 0.2, :seed 7})]
    (is (< 20 (count lost) 110))
    (is (= lost (:lost (lost-of {:drop 0.2, :seed 7}))))
    (is (not= lost (:lost (lost-of {:drop 0.2, :seed 8})))))
  (is (= [] (:lost (lost-of {:drop {:received 0, :sent 0}})))))

(deftest packets-come-twice-and-overtake
  (is (< 210 (count (:answers (lost-of {:duplicate {:sent 0.3}})))))
  (let [{:keys [lost answers]} (lost-of {:reorder {:sent 0.3}})]
    (is (= [] lost))
    (is (not= (range 200) answers))
    (is (= (range 200) (sort answers)))))

(deftest limits-and-refusals
  (with-open [^Closeable r (rehearsal/start! {:port nil, :maximum-logins 4})]
    (with-client r :udp
      (fn [send! heard]
        (rehearsal/trouble! r {:refuse-logins true})
        (send! ["/notify" 1])
        (is (= ["/fail" "/notify" "too many users\n"] (heard)))
        (rehearsal/trouble! r {:refuse-logins nil, :notification-limit 2, :reply-limit-bytes 100})
        (send! ["/notify" 1])
        (heard)
        (send! {:at nil, :packets (conj (mapv (fn [id] ["/g_new" id 0 0]) (range 1 6)) ["/sync" 1])})
        (is (= 2 (count (all-until heard 1))))
        (send! ["/c_getn" 0 100])
        (is (= ["/fail" "/c_getn" "buffer overflow"] (heard)))
        (testing "silence"
          (rehearsal/trouble! r {:silent true})
          (send! ["/c_set" 0 1])
          (send! ["/c_get" 0])
          (is (eventually #(= 1 (count (:control-buses (rehearsal/world r))))))
          (is (nil? (heard 20)))
          (rehearsal/trouble! r nil)
          (send! ["/c_get" 0])
          (is (= ["/c_set" 0 (float 1)] (heard))))))
    (is (= :invalid-trouble (code-of #(rehearsal/trouble! r {:drops 0.5}))))
    (is (= :invalid-trouble (code-of #(rehearsal/trouble! r {:drop 5}))))))

(deftest slow-answers-are-timeouts
  (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})]
    (rehearsal/trouble! s {:slow-done-ms 100000})
    (is (= :no-answer (code-of #(sc/sync! s {:timeout-ms 50}))))
    (rehearsal/trouble! s nil)
    (sc/sync! s)))

;; ---- files

(deftest sounds-are-written-and-read
  (let [file (java.io.File/createTempFile "espalier" ".aiff")]
    (try
      (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})]
        (doseq [[header sample] [["wav" "float"] ["aiff" "int24"] ["aiff" "float"] ["wav" "int16"] ["wav" "uint8"]]]
          (let [b (sc/add-buffer! s {:samples [0.5 -0.5 0.25 0.0]})
                c (do (sc/write-buffer! b file {:header-format header, :sample-format sample})
                      (sc/add-buffer! s {:path file}))]
            (is (= [0.5 -0.5 0.25 0.0] (vec (sc/get-sample-range c 0 4))) (str header " " sample))
            (run! sc/free! [b c])))
        (is (= :file-failed (code-of #(sc/add-buffer! s {:path "/no/such/file.wav"})))))
      (finally (io/delete-file file true)))))

(deftest a-recording-is-an-empty-file
  (let [file (java.io.File/createTempFile "espalier" ".wav")]
    (try
      (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})]
        (let [recording (sc/record! s (str file))]
          (is (= {:path (str file), :frames 0, :channel-count 2, :duration-s 0.0} (sc/stop-recording! recording)))
          (is (= [1] (mapv :id (:children (sc/query-tree s)))))))
      (finally (io/delete-file file true)))))

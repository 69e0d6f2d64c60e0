(ns espalier.demo-test
  (:require
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.demo :as demo]
   [espalier.instruments :as instruments]
   [espalier.runtime.executable :as executable]
   [espalier.synthdef :as synthdef]
   [espalier.wav :as wav])
  (:import
   (java.io File StringWriter)
   (java.lang ProcessHandle)))

(set! *warn-on-reflection* true)

;; ---- the score

(def ^:private bundles (demo/score demo/notes {:group 1 :bus 4}))
(def ^:private messages (mapcat :packets bundles))
(def ^:private new-synths (filter (comp #{"/s_new"} first) messages))

(deftest score-is-in-the-order-of-time
  (is (= 0.0 (:at (first bundles))))
  (is (apply < (map :at bundles)))
  (is (< (:at (peek bundles)) 8))
  (is (= ["/g_new" "/p_new" "/s_new" "/s_new"] (map first (take 4 (:packets (first bundles)))))))

(defn- instrument [k]
  (first (filter #(= (name k) (:name %)) instruments/all)))

(deftest score-names-only-what-is-there
  (let [ids (keep (fn [[address a b]] (case address ("/g_new" "/p_new") a "/s_new" b nil)) messages)]
    (is (apply distinct? ids))
    (is (= #{:bass :bell :pad :pluck :reverb} (set (map second new-synths))))
    (doseq [[_ synthdef _ _ target & settings] new-synths
            :let [controls (synthdef/controls (instrument synthdef))]]
      (is (contains? (into #{0 1} ids) target))
      (is (set/subset? (set (map name (take-nth 2 settings))) (set (keys controls)))
          (str synthdef ": a server ignores controls that it does not know")))
    (testing "arrays fit their control"
      (is (= 4 (get-in (synthdef/controls instruments/pad) ["freqs" :size])))
      (doseq [[_ synthdef & more] new-synths :when (= :pad synthdef)]
        (is (= 4 (count (:freqs (apply hash-map (drop 3 more))))))))))

(deftest every-held-note-is-let-go
  (let [at-of (into {} (for [{:keys [at packets]} bundles, m packets] [m at]))]
    (doseq [[_ synthdef id :as m] new-synths :when (= :pad synthdef)]
      (is (< (at-of m) (at-of ["/n_set" id :gate 0] -1))))))

(deftest score-goes-where-it-is-told
  (let [[{[[_ _ _ group] & _] :packets}] (demo/score [] {:group 77})]
    (is (= 77 group)))
  (is (= [12 12] (for [[_ synthdef & more :as m] (mapcat :packets (demo/score (take 1 demo/notes) {:bus 12}))
                       :when (and (= "/s_new" (first m)) (#{:pad :reverb} synthdef))
                       :let [settings (apply hash-map (drop 3 more))]]
                   (get settings (if (= :pad synthdef) :out :in))))))

;; ---- the performance

(defn- with-wav [f]
  (let [file (File/createTempFile "espalier-demo-" ".wav")]
    (try (f (str file)) (finally (.delete file)))))

(defn- run
  "Runs the demo: {:code :out :err}."
  [opts]
  (let [out (StringWriter.) err (StringWriter.)]
    (binding [*out* out *err* err]
      (let [code (demo/run opts)]
        {:code code :out (str out) :err (str err)}))))

(def ^:private ping
  "A second of the music, for the tests."
  [{:at 0.0 :def :bell :set {:freq 880.0 :amp 0.4 :decay 0.5}}
   {:at 0.25 :def :pluck :set {:freq 220.0 :amp 0.3 :decay 0.5}}
   {:at 0.0 :until 0.3 :def :pad :set {:amp 0.2 :attack 0.1 :release 0.2}}])

(defn- plays [executable]
  (with-wav
    (fn [path]
      (let [{:keys [code out err]} (run {:path path :music ping :audio :dummy :executable executable})]
        (is (= [0 ""] [code err]))
        (is (= ["boot" "SynthDefs" "record" "play" "NODE" "status" "recorded"]
               (keep (fn [line] (re-find #"^\w+" line)) (str/split-lines out))))
        (testing "the tree, while it plays"
          (is (str/includes? out (str/join "\n" ["NODE TREE 0 group"
                                                 "    1 group"
                                                 "        1000 group"
                                                 (str "            1001 group" (when (= "supernova" executable) " (parallel)"))
                                                 ""])))
          (is (str/includes? out "out: 4.0, freq: 880.0, amp: 0.4, pan: 0.0, decay: 0.5\n"))
          (is (re-find #"\n    \d+ espalier-recorder-2\n        bus: 0.0, buffer: 0.0\n\n" out) "behind everything"))
        (when (zero? code)
          (let [{:keys [channels sample-rate-hz duration-s peak rms]} (wav/level path)]
            (is (= [2 44100] [channels sample-rate-hz]))
            (is (< 0.3 duration-s))
            (is (< 0.01 rms peak 0.999))))))))

(deftest plays-and-records
  (plays "scsynth"))

(deftest plays-on-supernova-too
  (plays "supernova"))

(defn- without-servers
  "Calls `f` as on a machine on which no server is installed."
  [f]
  (with-redefs [executable/machine (constantly {:platform :linux, :env {}, :home "/nowhere", :folders ["/nowhere"]})]
    (f)))

(deftest without-a-server-it-is-rehearsed
  (without-servers
    (fn []
      (let [folder (File. "/no/such/folder")
            {:keys [code out err]} (run {:path (str (File. folder "demo.wav"))})]
        (is (= [0 ""] [code err]))
        (is (= ["audio" "boot" "SynthDefs" "play" "NODE" "status" "rehearsed"]
               (keep (fn [line] (re-find #"^\w+" line)) (str/split-lines out))))
        (is (re-find #"(?m)^audio +no scsynth is installed here: this is a rehearsal, which makes no sound" out))
        (is (re-find #"bell\n +out: 4.0, freq: 880.0" out) "the tree, while it plays")
        (is (re-find #"(?m)^rehearsed +\d\.\d s of music, without a sound and without a recording$" out)))
      (is (= {:rehearsed true, :duration-s 0.3}
             (binding [*out* (StringWriter.)] (demo/play! {:music ping}))))))
  (testing "one that was asked for is not stood in for"
    (without-servers
      (fn []
        (is (re-find #"^demo: No scsynth found, asked for by the option :executable" (:err (run {:executable "scsynth"}))))))))

(defn- fails [opts expected]
  (let [{:keys [code err]} (run opts)]
    (is (= 1 code))
    (is (re-find expected err))
    (is (= 1 (count (re-seq #"(?m)^\S" err))) "one message, no stack trace")
    (is (not (re-find #"(?m)^\s+at |Exception" err)))))

(deftest a-failure-is-one-message-and-code-1
  (with-wav
    (fn [path]
      (fails {:path path :executable "/no/such/scsynth"} #"^demo: .*no/such/scsynth")
      (fails {:path path :ugen-cuont 7} #"^demo: .*ugen-cuont")))
  (fails {:path "/no/such/folder/demo.wav"} #"^demo: .*/no/such/folder/demo.wav"))

(deftest a-silent-recording-is-a-failure
  (with-wav
    (fn [path]
      (let [quiet (mapv (fn [note] (assoc-in note [:set :amp] 0.002)) ping)
            {:keys [code err]} (run {:path path :music quiet :audio :dummy})]
        (is (= 1 code))
        (is (str/includes? err "next to silent"))))))

(defn- child-pids []
  (set (map (fn [^ProcessHandle p] (.pid p)) (iterator-seq (.iterator (.descendants (ProcessHandle/current)))))))

(deftest leaves-no-process-behind
  (let [before (child-pids)]
    (with-wav (fn [path] (run {:path path :music ping :audio :dummy})))
    (is (empty? (remove before (child-pids))))))

(ns espalier.recording-test
  "Recordings on each server: what is in the file is what was heard."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.recorder :as recorder]
   [espalier.model.synthdef :as synthdef]
   [espalier.runtime.sound-file :as sound-file]
   [espalier.servers :as servers :refer [error-of eventually refused thrown]]
   [espalier.model.spectrum :as spectrum]
   [espalier.wav :as wav])
  (:import
   (java.io File)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

;; ---- the servers

(def ^:private handles (atom []))

(defn- with-each-engine [tests]
  (servers/keeping handles (map #(servers/options % {:memory-size 65536}) servers/udp-kinds) tests))

(use-fixtures :once with-each-engine)

;; ---- what is played

(def ^:private tone
  "A sine of 440 Hz and amplitude 0.5 on the bus of its control."
  {:kind            :synthdef
   :name            "tone"
   :constants       [440.0 0.0 0.5]
   :parameters      [0.0]
   :parameter-names [["out" 0]]
   :ugens           [{:class "Control", :rate :control, :inputs [], :outputs [:control], :special 0}
                     {:class "SinOsc", :rate :audio, :inputs [[:constant 0] [:constant 1]], :outputs [:audio], :special 0}
                     {:class "BinaryOpUGen", :rate :audio, :inputs [[:ugen 1 0] [:constant 2]], :outputs [:audio], :special 2}
                     {:class "Out", :rate :audio, :inputs [[:ugen 0 0] [:ugen 2 0]], :outputs [], :special 0}]
   :variants        []})

(defn- with-files
  "Calls `f` with a function from names to paths in a directory that is deleted then."
  [f]
  (let [directory (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try
      (f (fn [file-name] (str (io/file directory file-name))))
      (finally (run! io/delete-file (reverse (file-seq directory)))))))

(defn- play! [s & [bus]]
  (sc/add-synthdefs! s tone)
  (sc/add-synth! s tone {:out (or bus 0)} {:confirm true}))

(defn- each-server
  "Calls `f` with a server of each engine and a function from names to paths, and asserts
  that nothing of the recordings is left on it."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (name (:engine (datafy s)))
      (with-files (fn [path] (f s path)))
      (when (= :online (sc/boot-status s))
        (sc/reset-server! s)
        (is (= {} (:buffers (sc/state s))))
        (is (= 0 (:synth-count (sc/status s))))))))

(defn- rms [^floats samples]
  (Math/sqrt (/ (areduce samples i sum 0.0 (+ sum (* (double (aget samples i)) (double (aget samples i))))) (alength samples))))

(defn- is-tone
  "Asserts that samples are those of the tone, without a gap."
  [^floats samples]
  (is (< 0.349 (rms samples) 0.358) "the half of the root of a half")
  (is (< 439.5 (spectrum/strongest (double-array samples) 44100) 440.5))
  (testing "each sample follows from the two before it, as those of a sine do"
    (let [c (* 2 (Math/cos (/ (* 2 Math/PI 440) 44100)))]
      (is (every? (fn [i] (< (abs (- (aget samples (+ (long i) 2)) (- (* c (aget samples (inc (long i)))) (aget samples i)))) 1e-3))
                  (range (- (alength samples) 2)))))))

;; ---- files

(deftest a-tone-is-recorded
  (each-server
    (fn [s path]
      (play! s)
      (play! s 1)
      (let [take-1 (path "take.wav")
            r      (sc/record! s take-1 {:duration-s 0.4})]
        (is (= (str "#<Recording RECORDING " take-1 ", 2 channels>") (str r) (pr-str r)))
        (is (= "espalier-recorder-2-timed" (:def (last (:children (sc/query-tree s))))) "at the tail of the root group")
        (let [{:keys [frames duration-s] :as result} (sc/await-recording r)]
          (is (= {:path take-1, :frames 17664, :channel-count 2, :duration-s (/ 17664 44100.0)} result) "0.4 s, and the block that is begun")
          (is (= result (sc/stop-recording! r) (sc/await-recording r)) "it has stopped by itself")
          (is (= (str "#<Recording STOPPED " take-1 ", 2 channels, 17664 frames>") (pr-str r)))
          (is (= [frames 2 44100 duration-s] ((juxt :frames :channels :sample-rate-hz :duration-s) (wav/level take-1))))
          (run! #(is-tone (wav/samples take-1 %)) [0 1]))
        (testing "and is written anew"
          (let [{:keys [frames]} (with-open [^java.io.Closeable r (sc/record! s (io/file take-1) {:channel-count 1, :duration-s 0.2, :sample-format "float"})]
                                   (sc/await-recording r))]
            (is (= [frames 1] ((juxt :frames :channels) (wav/level take-1))))
            (is-tone (wav/samples take-1))))))))

(deftest any-kind-of-file
  (each-server
    (fn [s path]
      (play! s)
      (doseq [[file-name options] [["a.aif" {}] ["b" {:header-format "aiff", :sample-format "float"}] ["c.flac" {}] ["d.w64" {}]]]
        (testing file-name
          (let [{:keys [frames duration-s]} (sc/await-recording (sc/record! s (path file-name) (assoc options :duration-s 0.3, :channel-count 1)))
                ;; Read by the server, whatever it is.
                b (sc/add-buffer! s {:path (path file-name)})]
            (if (= "d.w64" file-name)
              (is (= [nil nil] [frames duration-s]) "of which the header is not read here")
              (is (= {:frames frames, :channels 1, :sample-rate-hz 44100} (sound-file/facts (path file-name)))))
            (is (= {:frame-count 13248, :channel-count 1, :sample-rate-hz 44100.0} (sc/query-buffer b)))
            (is-tone (sc/get-sample-range b 0 13248))
            (sc/free! b)))))))

(deftest any-buses
  (each-server
    (fn [s path]
      (let [bus   (sc/add-bus! s {:rate :audio})
            group (sc/add-bus-group! s {:rate :audio, :count 3})
            [a _ c] (sc/members group)
            level (fn [file channel] (let [x (rms (wav/samples (path file) channel))] (if (< 0.349 (double x) 0.358) :tone (if (zero? (double x)) :none x))))]
        (run! #(play! s %) [bus a c])
        (let [take-for (fn [file options] (sc/record! s (path file) (assoc options :duration-s 0.2)))
              ;; At the same time.
              all [(take-for "bus.wav" {:bus bus})
                   (take-for "group.wav" {:bus group})
                   (take-for "number.wav" {:bus (:id c)})
                   (take-for "one.wav" {:bus (:id c), :channel-count 1})
                   (take-for "outputs.wav" {:bus (sc/audio-output-bus-group s)})]]
          (is (= [1 3 2 1 8] (map (comp :channel-count sc/await-recording) all))))
        (is (= [:tone] (map #(level "bus.wav" %) [0])))
        (is (= [:tone :none :tone] (map #(level "group.wav" %) [0 1 2])))
        (is (= [:tone :none] (map #(level "number.wav" %) [0 1])))
        (is (= (repeat 8 :none) (map #(level "outputs.wav" %) (range 8))))))))

;; ---- the end

(deftest stopped-when-it-is-told
  (each-server
    (fn [s path]
      (play! s)
      (let [r     (sc/record! s (path "a.wav") {:buffer-frames 2048})
            ;; Some halves of the buffer are written by then.
            timed (sc/record! s (path "b.wav") {:duration-s 0.25})]
        (sc/await-recording timed)
        (let [{:keys [frames] :as result} (sc/stop-recording! r)]
          (is (< 11000 (long frames)) "it began before the other and ended after it")
          (is (= result (sc/stop-recording! r {:timeout-ms 1000})) "twice is harmless")
          (is-tone (java.util.Arrays/copyOfRange ^floats (wav/samples (path "a.wav")) 0 (int frames))))
        (is (= :no-answer (let [r (sc/record! s (path "c.wav"))]
                            (try (error-of #(sc/await-recording r {:timeout-ms 1}))
                                 (finally (sc/stop-recording! r))))))))))

(deftest what-else-ends-a-recording-closes-the-file
  (each-server
    (fn [s path]
      (play! s)
      (testing "its synth is freed"
        (let [r (sc/record! s (path "a.wav"))]
          (sc/await-recording (sc/record! s (path "b.wav") {:duration-s 0.1}))
          (sc/reset-server! s)
          (is (= (:frames (sc/await-recording r)) (:frames (wav/level (path "a.wav")))))))
      (testing "the server is quit"
        (play! s)
        (let [r (sc/record! s (path "c.wav"))]
          (sc/await-recording (sc/record! s (path "d.wav") {:duration-s 0.1}))
          (sc/quit! s)
          (is (= (:frames (sc/stop-recording! r)) (:frames (wav/level (path "c.wav")))))
          (is-tone (wav/samples (path "c.wav")))))
      (when (= :scsynth (:engine (datafy (sc/boot! s))))
        (testing "the server dies"
          (let [r (sc/record! s (path "e.wav"))]
            (servers/signal! "KILL" (servers/pid s))
            (is (eventually #(str/includes? (str r) "LOST")))
            (is (= [:recording-lost :recording-lost] (repeatedly 2 (fn [] (error-of #(sc/stop-recording! r))))))))))))

(deftest it-may-be-over-before-anybody-listens
  (each-server
    (fn [s path]
      (let [{:keys [frames]} (sc/await-recording (sc/record! s (path "short.wav") {:duration-s 0.0001}))]
        (is (pos? (long frames)))))))

(deftest a-format-that-is-not-read-here-is-no-failure
  (each-server
    (fn [s path]
      (let [file (path "mu.wav")]
        (is (= {:path file, :frames nil, :channel-count 2, :duration-s nil}
               (sc/stop-recording! (sc/record! s file {:sample-format "mulaw"}))))))))

(deftest another-client-records-and-leaves
  (with-files
    (fn [path]
      (sc/with-server [s (servers/options {:executable "scsynth"} {:maximum-logins 2})]
        (play! s)
        (let [client (sc/connect! (sc/server) (assoc (servers/address s) :maximum-logins 2))
              r      (sc/record! client (path "a.wav"))]
          (sc/await-recording (sc/record! client (path "b.wav") {:duration-s 0.1}))
          (sc/disconnect! client)
          (is-tone (wav/samples (path "a.wav")))
          (is (= :stopped (keyword (str/lower-case (second (re-find #"Recording (\w+)" (str r)))))))
          (is (= 1 (:synth-count (sc/status s)))))))))

;; ---- what cannot be

(deftest bad-recordings-are-named-and-nothing-is-sent
  (each-server
    (fn [s path]
      (refused s
        [[:not-writable #(sc/record! s (path "none/a.wav"))]
         [:not-writable #(sc/record! s (path ""))]
         [:invalid-argument #(sc/record! s nil)]
         [:invalid-argument #(sc/record! s 5)]
         [:invalid-argument #(sc/record! s (path "a.wav") {:bus (sc/add-bus! s)})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:bus -1})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:bus 1023})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:channel-count 0})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:channel-count "2"})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:duration-s 0})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:duration-s "1"})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:buffer-frames 1000})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:header-format "wave"})]
         [:invalid-argument #(sc/record! s (path "a.wav") {:sample-format "int17"})]
         [:unknown-option #(sc/record! s (path "a.wav") {:channels 2})]
         [:question-in-moment #(sc/at s nil (sc/record! s (path "a.wav")))]
         [:invalid-argument #(sc/stop-recording! nil)]
         [:invalid-argument #(sc/await-recording (path "a.wav"))]])
      (is (not (.exists (File. ^String (path "a.wav")))))
      (is (= :file-failed (error-of #(sc/record! s (path "a.flac") {:sample-format "float"}))))
      (testing "more channels than scsynth has wires for"
        (when (= :scsynth (:engine (datafy s)))
          (is (= :synthdef-rejected (error-of #(sc/record! s (path "a.wav") {:bus 0, :channel-count 100}))))))))
  (is (= :server-offline (error-of #(sc/record! (sc/server) "a.wav"))))
  (with-files
    (fn [path]
      (sc/with-server [s (servers/options {:executable "scsynth"} {:restricted-path (path "sounds/")})]
        (is (str/includes? (ex-message (thrown #(sc/record! s (path "a.wav")))) "keeps to"))))))

(deftest the-synthdefs-of-recordings
  (doseq [d [(recorder/recorder 1 false) (recorder/recorder 8 true) recorder/disk-fence]]
    (is (= [d] (synthdef/parse (synthdef/encode [d])))))
  (is (= ["bus" "buffer" "duration"] (keys (synthdef/controls (recorder/recorder 2 true)))))
  (doseq [[path options header sample] [["a.wav" {} "wav" "int24"] ["a.AIF" {} "aiff" "int24"] ["a" {} "wav" "int24"] ["a.b/c" {} "wav" "int24"]
                                        ["a.ogg" {} "ogg" "vorbis"] ["a.flac" {:sample-format "int16"} "flac" "int16"]
                                        ["a.xyz" {:header-format "caf"} "caf" "int24"] ["a.ogg" {:header-format "wav"} "wav" "int24"]]]
    (is (= {:header-format header, :sample-format sample} (recorder/file-format path options)) path)))

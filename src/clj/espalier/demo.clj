(ns espalier.demo
  "A first sound, and the proof that it was made: boots a server, plays a few
  seconds of music, shows the node tree while it plays, records it and measures
  the recording. From a shell: bin/espalier demo

  The music is data. `score` makes all of it, as bundles with their times, before
  the first is sent: the server keeps the time, and nothing here sleeps."
  (:require
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.model.error :refer [error]]
   [espalier.rehearsal :as rehearsal]
   [espalier.wav :as wav])
  (:import
   (java.io File)
   (java.time Duration)
   (java.util Locale)))

(set! *warn-on-reflection* true)

;; ---- the music

(def ^:private bar-s
  "Seconds of a bar; a bar has eight eighths."
  2.0)

(defn- eighths [n] (* n (/ bar-s 8)))

(defn- hz
  "The frequency of a MIDI note, to a hundredth."
  [note]
  (/ (Math/round (* 44000.0 (Math/pow 2.0 (/ (- note 69) 12.0)))) 100.0))

(defn- pads
  "A chord each bar: D minor 9, B flat major 9, F major 9. Each gives way to the next."
  []
  (for [[bar chord until] [[0 [57 60 64 65] 8] [1 [57 60 62 65] 16] [2 [57 60 64 67] 22]]]
    {:at    (* bar bar-s)
     :until (eighths until)
     :def   :pad
     :set   {:freqs (mapv hz chord) :amp 0.14 :attack (if (zero? bar) 0.4 0.7) :release 1.4}}))

(defn- basses []
  (for [[n note dur] [[0 38 0.9] [5 38 0.22] [6 45 0.5], [8 34 0.9] [13 34 0.22] [14 41 0.5], [16 41 1.9]]]
    {:at (eighths n) :def :bass :set {:freq (hz note) :amp 0.2 :dur dur}}))

(defn- plucks []
  (map-indexed
    (fn [n note]
      {:at  (eighths n)
       :def :pluck
       :set {:freq  (hz note)
             :amp   (if (zero? (mod n 4)) 0.17 0.12)
             :pan   (- (* 0.3 (mod n 4)) 0.45)
             :decay 1.6}})
    [62 69 72 76 69 72 77 76, 62 65 69 72 65 69 74 72, 65 69 72 79]))

(defn- bells []
  (for [[n note amp] [[2 81 0.16] [5 76 0.12], [8 77 0.16] [11 74 0.12] [14 72 0.12]
                      [16 81 0.16] [18 79 0.13] [20 84 0.14]]]
    {:at (eighths n) :def :bell :set {:freq (hz note) :amp amp :pan 0.3 :decay 2.2}}))

(def notes
  "The music: `{:at seconds, :def SynthDef, :set controls}`, for the pads with an
  `:until`, the second at which their gate closes."
  (vec (concat (pads) (basses) (plucks) (bells))))

;; ---- the score

(def ^:private mix-group 1000)
(def ^:private voice-group 1001)
(def ^:private reverb 1002)
(def ^:private first-note 1003)

(defn- new-synth [synthdef id target controls]
  (reduce into ["/s_new" synthdef id 1 target] controls))

(defn score
  "All bundles of `music`, a collection like `notes`, in the order of their times.

  `:group`   id of the group to play in, default 1
  `:bus`     first of the two private audio buses into the reverb, default 4

  Returns a vector of `{:at seconds-from-the-start, :packets [message …]}`. The
  first bundle makes the groups, and the reverb behind the voices.

      (score (take 1 notes) {:bus 16})"
  ([music] (score music nil))
  ([music {:keys [group bus] :or {group 1 bus 4}}]
   (->> (concat
          [[0.0 ["/g_new" mix-group 0 group]]
           [0.0 ["/p_new" voice-group 0 mix-group]]        ; supernova plays it on all processors
           [0.0 (new-synth :reverb reverb mix-group {:in bus :out 0 :mix 0.33 :room 0.7 :damp 0.4 :amp 1.4})]]
          (mapcat (fn [id {:keys [at until] :as note}]
                    (cond-> [[at (new-synth (:def note) id voice-group (assoc (:set note) :out bus))]]
                      until (conj [until ["/n_set" id :gate 0]])))
                  (iterate inc first-note)
                  music))
        (group-by first)
        (sort-by key)
        (mapv (fn [[at events]] {:at at :packets (mapv second events)})))))

(defn- first-bell
  "The id of the first bell of a score, or of its reverb where it has none."
  [bundles]
  (or (some (fn [[_ synthdef id]] (when (= :bell synthdef) id)) (mapcat :packets bundles))
      reverb))

;; ---- the performance

(defn- fill
  "`format` with a point in its decimals, whatever the user's language."
  [template & values]
  (String/format Locale/ROOT template (to-array values)))

(defn- say
  "One line: what is done, and what there is to see."
  [stage & text]
  (println (fill "%-10s %s" stage (str/join text)))
  (flush))

(def ^:private synthdefs
  [instruments/bass instruments/bell instruments/pad instruments/pluck instruments/reverb])

(defn- node-event
  "A promise of the next message that begins with `pattern`."
  [s pattern]
  (let [seen (promise)]
    (sc/on-osc! s pattern (fn [message] (deliver seen message)) {:once true})
    seen))

(defn- await-event
  "Waits for a promise of `node-event`; `what` says what it is."
  [event limit-s what]
  (when-not (deref event (long (* 1000 limit-s)) nil)
    (throw (error :no-answer (str "The server did not tell within " limit-s " s that " what
                               ". Is its audio running? {:audio :dummy} needs no sound card.")
                  {:limit-s limit-s}))))

(defn- writable
  "The file at `path`, where one can be written."
  ^File [path]
  (let [file   (.getAbsoluteFile (File. (str path)))
        folder (.getParentFile file)]
    (when-not (if (.exists file)
                (and (.isFile file) (.canWrite file))
                (and folder (.isDirectory folder) (.canWrite folder)))
      (throw (error :not-writable (str "No recording can be written to " file ". Name another file with {:path …}.")
                    {:path (str file)})))
    file))

(defn- show-status [s]
  (let [{:keys [synth-count group-count ugen-count average-cpu-percent actual-sample-rate-hz]} (sc/status s)]
    (say "status" (fill "%d synths, %d groups, %d UGens, %.1f %% CPU, %.0f Hz"
                        synth-count group-count ugen-count average-cpu-percent actual-sample-rate-hz))))

(defn- score-for
  "The score of `music` for a booted server."
  [s music]
  (let [inputs (sc/audio-input-bus-group s)]                ; behind them begin the private buses
    (score music {:group (:id (sc/default-group s))
                  :bus   (+ (:id inputs) (:count inputs))})))

(defn- show-tree [s]
  (println)
  (sc/print-tree s)
  (println)
  (show-status s))

(defn- perform!
  "Plays `music` on the booted server `s` into the file `path`."
  [s music path]
  (let [bundles (score-for s music)
        end-s   (:at (peek bundles))]
    (say "SynthDefs" (str/join " " (sc/add-synthdefs! s synthdefs)))
    (let [recording (sc/record! s path {:sample-format "int16"})
          _       (say "record" path)
          rings   (node-event s ["/n_go" (first-bell bundles)])
          silence (node-event s ["/n_end" reverb])
          start   (+ 0.3 (/ (System/currentTimeMillis) 1000.0))]
      (doseq [bundle bundles]
        (sc/send! s (update bundle :at + start)))
      (say "play" (count music) " notes, " (count bundles) " bundles, all sent ahead of their time")
      (await-event rings 5 "the first bell rings")
      (show-tree s)
      (await-event silence (+ end-s 15) "the last echo has died away")
      (sc/stop-recording! recording))))

(defn- milliseconds [seconds] (Math/round (* 1000.0 (double seconds))))

(defn- perform-silently!
  "Sends `music` to a rehearsal, whose time is moved to the end of it. Returns how long that is."
  [s music]
  (let [bundles (score-for s music)
        bell    (first-bell bundles)
        bell-s  (:at (first (filter (fn [{:keys [packets]}] (some (fn [[_ _ id]] (= bell id)) packets)) bundles)))
        end-s   (:at (peek bundles))]
    (say "SynthDefs" (str/join " " (sc/add-synthdefs! s synthdefs)))
    (doseq [bundle bundles]
      (sc/send! s (update bundle :at #(Duration/ofMillis (milliseconds %)))))
    (sc/sync! s)
    (say "play" (count music) " notes, " (count bundles) " bundles, all sent ahead of their time")
    (rehearsal/advance! s (+ 20 (milliseconds bell-s)))
    (show-tree s)
    (rehearsal/advance! s (milliseconds (- end-s bell-s)))
    (say "rehearsed" (fill "%.1f s of music, without a sound and without a recording" end-s))
    end-s))

(defn- boot!
  "Boots a server on the machine's audio, or, where it has none, on a silent one.
  Options that name the audio are taken at their word."
  [opts]
  (let [opts (merge {:port (sc/find-free-port) :input-bus-channel-count 2 :output-bus-channel-count 2} opts)
        boot (fn [opts]
               (sc/boot! (sc/server)
                         (cond->> opts
                           (= :dummy (:audio opts)) (merge {:dummy-period-frames 1024}))))] ; steady on a busy machine
    (if (:audio opts)
      (boot opts)
      (try (boot opts)
           (catch clojure.lang.ExceptionInfo e
             (when-not (= :no-audio (:reason (ex-data e)))
               (throw e))
             (say "audio" "no sound card and no JACK here: playing into the file only")
             (boot (assoc opts :audio :dummy)))))))

(defn- rehearsal?
  "Whether no server is here and none was asked for: then the music is rehearsed."
  [{:keys [executable]}]
  (and (nil? executable)
       (try (sc/find-scsynth) false
            (catch clojure.lang.ExceptionInfo e
              (when (:origin (ex-data e)) (throw e))
              true))))

(defn- rehearse! [opts music]
  (say "audio" "no scsynth is installed here: this is a rehearsal, which makes no sound (bin/espalier doctor tells what to install)")
  (sc/with-server [s (merge {:port (sc/find-free-port) :input-bus-channel-count 2 :output-bus-channel-count 2} opts
                            {:executable (rehearsal/rehearsal {:clock :virtual})})]
    (say "boot" (pr-str s))
    {:rehearsed true, :duration-s (perform-silently! s music)}))

(defn- play-and-record! [opts music path]
  (let [s (boot! opts)]
    (try
      (say "boot" (pr-str s))
      (perform! s music path)
      (finally (sc/quit! s)))
    (let [{:keys [duration-s peak rms] :as level} (wav/level path)]
      (say "recorded" (fill "%.1f s, peak %.3f, RMS %.3f" duration-s peak rms))
      (when-not (and (< 0.01 rms) (< peak 0.999))          ; 16 bits end at 0.99997
        (throw (error :bad-recording
                      (str path (if (< rms 0.01) " is next to silent." " is too loud: it clips.")
                           " The demo should have an RMS above 0.01 and a peak below 1.")
                      (assoc level :path path))))
      level)))

(defn play!
  "Boots a server, plays, records, quits. Prints a line for each stage and, in the
  middle, the node tree. Where no server is installed and none is named, a rehearsal stands in for
  it: nothing is heard or recorded.

  `opts`  `:path`   the WAV file to write, default \"demo.wav\"
          `:music`  a collection like `notes`, which is the default
          every other key is a server option, see `espalier.core/boot!`, such as
          `:executable`, `:port` (default: a free one), `:audio` (default: the
          machine's, or `:dummy` where it has none)

  Returns what `espalier.wav/level` says of the recording; of a rehearsal `{:rehearsed true, :duration-s 5.5}`.

  Throws what booting throws; `:not-writable`; `:no-answer` where the server falls silent;
  `:bad-recording` where the recording is too quiet (RMS up to 0.01) or clips.

      (play! {:path \"demo.wav\" :audio :dummy})
      ;=> {:duration-s 8.0 :peak 0.46 :rms 0.086 …}"
  [opts]
  (let [{:keys [path music] :as opts} (into {:path "demo.wav" :music notes} (filter (comp some? val)) opts)
        opts (dissoc opts :path :music)]
    (if (rehearsal? opts)
      (rehearse! opts music)
      (play-and-record! opts music (.getAbsolutePath (writable path))))))

(defn run
  "The command `demo`: plays as `play!` does, with the same `opts`.

  Returns the exit code: 0, or 1 after a failure, whose message it prints to
  `*err*`. Throws nothing.

      (run {:path \"/tmp/demo.wav\" :executable \"supernova\"})  ;=> 0"
  [opts]
  (try
    (play! opts)
    0
    (catch Exception e
      (binding [*out* *err*]
        (println (str "demo: " (or (ex-message e) (class e)))))
      1)))

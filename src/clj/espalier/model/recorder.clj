(ns espalier.model.recorder
  "The SynthDefs of recordings, as values: one that writes buses to the file that a buffer
  has open, and one that shows when the server's disk thread has written what it was
  given."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(defn- ugen [ugen-class rate inputs outputs]
  {:class ugen-class, :rate rate, :inputs inputs, :outputs outputs, :special 0})

(defn- synthdef [synthdef-name controls constants ugens]
  {:kind            :synthdef
   :name            synthdef-name
   :constants       constants
   :parameters      (vec (repeat (count controls) 0.0))
   :parameter-names (vec (map-indexed (fn [i control] [control i]) controls))
   :ugens           (into [(ugen "Control" :control [] (vec (repeat (count controls) :control)))] ugens)
   :variants        []})

(defn recorder
  "Writes `channels` audio buses from the control `bus` on to the file of `buffer`.

  `timed?`  whether it ends after `duration` seconds

      (:name (recorder 2 false))  ;=> \"espalier-recorder-2\""
  [channels timed?]
  (synthdef (str "espalier-recorder-" channels (when timed? "-timed"))
            (cond-> ["bus" "buffer"] timed? (conj "duration"))
            (if timed? [0.0 2.0] [])
            (cond-> [(ugen "In" :audio [[:ugen 0 0]] (vec (repeat channels :audio)))
                     (ugen "DiskOut" :audio (into [[:ugen 0 1]] (map (fn [i] [:ugen 1 i])) (range channels)) [:audio])]
              ;; From 0 to 0, and then the synth is freed.
              timed? (conj (ugen "Line" :control [[:constant 0] [:constant 0] [:ugen 0 2] [:constant 1]] [:control])))))

(def disk-fence
  "Reads on in the file of `buffer`. Where that has none open, its first half becomes 0 as
  soon as the disk thread has done all that it was given before."
  (synthdef "espalier-disk-fence" ["buffer"] [0.0]
            [(ugen "DiskIn" :audio [[:ugen 0 0] [:constant 0]] [:audio])]))

(def ^:private formats
  "By the end of a file's name: header format, and sample format where it is not \"int24\"."
  {"wav" ["wav"], "wave" ["wav"], "aif" ["aiff"], "aiff" ["aiff"], "aifc" ["aiff"], "flac" ["flac"], "w64" ["w64"], "caf" ["caf"]
   "raw" ["raw"], "ogg" ["ogg" "vorbis"], "opus" ["ogg" "opus"], "mp3" ["mpeg" "mp3"]})

(defn file-format
  "Header and sample format of a file by its name, where `options` do not say them.

      (file-format \"take.aiff\" {})  ;=> {:header-format \"aiff\", :sample-format \"int24\"}"
  [path {:keys [header-format sample-format]}]
  (let [[header sample] (get formats (some-> (re-find #"\.([^./\\]+)$" path) second str/lower-case) ["wav"])]
    {:header-format (or header-format header)
     :sample-format (or sample-format (when-not header-format sample) "int24")}))

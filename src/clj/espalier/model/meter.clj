(ns espalier.model.meter
  "The SynthDef that measures buses, as a value, and what it tells.")

(set! *warn-on-reflection* true)

(def address
  "The address of the messages that a meter sends."
  "/espalier/meter")

(defn meter
  "Sends peak and RMS of the audio buses from 0 on, `channels` of them, `rate-hz` times a
  second; peaks fall for half a second.

      (:name (meter 2 10))  ;=> \"espalier-meter-2\""
  [channels rate-hz]
  (let [numbers   (concat [rate-hz 0.5 -1 channels] [(count address)] (map int address))
        constants (vec (distinct (map double (cons 0 numbers))))
        input     (fn [x] [:constant (first (keep-indexed (fn [i y] (when (== x y) i)) constants))])
        [before after] (split-at 4 numbers)]
    {:kind            :synthdef
     :name            (str "espalier-meter-" channels)
     :constants       constants
     :parameters      []
     :parameter-names []
     :ugens           [{:class "In", :rate :audio, :special 0, :inputs [(input 0)], :outputs (vec (repeat channels :audio))}
                       {:class  "SendPeakRMS", :rate :audio, :special 0, :outputs []
                        :inputs (-> (mapv input before)
                                    (into (map (fn [i] [:ugen 0 i])) (range channels))
                                    (into (map input) after))}]
     :variants        []}))

(defn levels
  "What a message of a meter tells: for each channel peak and RMS, as amplitudes.

      (levels [\"/espalier/meter\" 1000 -1 0.5 0.25])  ;=> [{:peak 0.5, :rms 0.25}]"
  [message]
  (mapv (fn [[peak rms]] {:peak peak, :rms rms})
        (partition 2 (drop 3 message))))

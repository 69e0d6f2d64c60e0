(ns espalier.model.synthdef-check
  "What a server will not take of a SynthDef, found before it is sent: servers answer
  `/done` to a SynthDef that they reject. What cannot be found here, it names as
  needs, each with a trial: a SynthDef so small that nothing else can be wrong with it,
  which the server takes if it can meet the need, and not otherwise."
  (:require
   [espalier.model.command-type :as command-type]))

(set! *warn-on-reflection* true)

;; ---- wires

(def ^:private apart
  "UGens of scsynth 3.13 and 3.14 that do not write into the buffers which they read."
  #{"Balance2" "BeatTrack" "BeatTrack2" "DecodeB2" "Demand" "DemandEnvGen" "Duty" "GrainBuf" "GrainFM" "GrainIn" "GrainSin"
    "PanAz" "PanB2" "PartConv" "PlayBuf" "TDuty" "TGrains" "Warp1"})

(defn- signals
  "The outputs at audio rate that a UGen reads, as often as it does, each `[ugen output]`."
  [ugens {:keys [inputs]}]
  (into []
        (keep (fn [[kind ugen output]]
                (when (and (= :ugen kind) (= :audio (nth (:outputs (nth ugens ugen)) output)))
                  [ugen output])))
        inputs))

(defn wire-count
  "How many wire buffers scsynth needs for SynthDef `d`, one for each output at audio rate
  that is still to be read while others are written: what its option
  `:wire-buffer-count` is compared with. An output that nobody reads keeps its own to the
  end.

  `apart?`  whether a UGen, by its name, writes into other buffers than those that it
            reads; of the UGens that come with the server this is known

      (wire-count d)  ;=> 2"
  ([d] (wire-count d apart))
  ([{:keys [ugens]} apart?]
   (let [readers (frequencies (mapcat #(signals ugens %) ugens))
         release (fn [{:keys [left] :as acc} output]
                   (let [n (dec (long (left output)))]
                     (cond-> (assoc acc :left (assoc left output n))
                       (zero? n) (update :free inc))))
         alloc   (fn [{:keys [free] :as acc}]
                   (if (pos? (long free)) (assoc acc :free (dec (long free))) (update acc :total inc)))
         step    (fn [acc [_ {:keys [rate outputs] :as ugen}]]
                   (let [written  (count (filter #(= :audio %) outputs))
                         ;; What a UGen at demand rate reads is never let go.
                         read-now (when (not= :demand rate) (signals ugens ugen))
                         writing  (fn [acc] (nth (iterate alloc acc) written))
                         reading  (fn [acc] (reduce release acc read-now))]
                     (if (apart? (:class ugen))
                       (reading (writing acc))
                       (writing (reading acc)))))]
     (:total (reduce step {:left readers, :free 0, :total 0} (map-indexed vector ugens))))))

(def unlisted
  "What SynthDefs are made with beside the UGens of the table; every server has it."
  #{"AudioControl" "BinaryOpUGen" "Control" "LagControl" "MulAdd" "Sum3" "Sum4" "TrigControl" "UnaryOpUGen"})

(defn- most-wires
  "What `wire-count` is at the most: a UGen that is in no table may write apart."
  [d known]
  (wire-count d (fn [ugen] (or (apart ugen) (not (or (nil? known) (contains? known ugen) (unlisted ugen)))))))

;; ---- problems

(defn- classes [{:keys [ugens]}]
  (into (sorted-set) (map :class) ugens))

(defn problem
  "What is wrong, as a map with the words for it.

      (:says (problem :bad-name {:name \"\"} :scsynth))
      ;=> \"its name, \\\"\\\", must have 1 to 255 bytes of Latin-1 letters for scsynth\""
  [code {:keys [ugen wires most] :as data} engine]
  (assoc data
         :problem code
         :says (case code
                 :bad-name      (str "its name, " (pr-str (:name data)) ", must have 1 to " (if (= :supernova engine) 127 255) " bytes of Latin-1 letters for " (name engine))
                 :no-such-ugen  (str "there is no UGen " ugen " on this " (name engine)
                                     "; a plug-in that has it belongs in a directory of {:ugen-plugins-path […]}")
                 :too-many-wires (str "it needs " wires " wire buffers, and this scsynth has " (or most "fewer")
                                      "; (sc/boot! s {:wire-buffer-count " (max 128 (* 2 (long wires))) "}) boots one with more"))))

(defn problems
  "What is known to be wrong with SynthDef `d` on a server, a vector of maps with
  `:problem` (:bad-name, :no-such-ugen or :too-many-wires), `:says`, a phrase, and what it
  is about, `:ugen` or `:wires` and `:most`; empty where nothing is.

  `limits`  `:engine`, and `:wire-buffer-count`, nil where it is not known
  `known`   map from the names of UGens to the engines that have them, a set, or nil; one
            that is not in it may be a plug-in

      (problems d {:engine :scsynth, :wire-buffer-count 64} {\"SinOsc\" #{:scsynth :supernova}})
      ;=> []"
  [d {:keys [engine wire-buffer-count] :as limits} known]
  (let [wires (when (and wire-buffer-count (= :scsynth engine)) (wire-count d))]
    (into []
          cat
          [(when-not ((command-type/reader :name) (:name d) limits nil) [(problem :bad-name {:name (:name d)} engine)])
           (for [ugen (classes d)
                 :when (and (contains? known ugen) (not (contains? (get known ugen) engine)))]
             (problem :no-such-ugen {:ugen ugen} engine))
           (when (and wires (< (long wire-buffer-count) (long wires)))
             [(problem :too-many-wires {:wires wires, :most wire-buffer-count} engine)])])))

(defn definitions
  "How many places of a server's table SynthDefs take: one each, one for each variant.

      (definitions defs)  ;=> 1"
  [defs]
  (+ (count defs) (long (transduce (map (comp count :variants)) + 0 defs))))

;; ---- needs

(defn needs
  "What a server must have for SynthDefs, and is not known to have: a set of `[:ugen name]`,
  and, for scsynth, `[:whole d]` for a SynthDef of which nobody knows whether its wire
  buffers are enough.

  `proven`  `:ugens`, the names of those that it has, and `:wires`, so many wire buffers
  `engine`, `known`  as of `problems`

      (needs [d] {:ugens #{\"Out\"}, :wires 64} :scsynth nil)  ;=> #{[:ugen \"SinOsc\"]}"
  [defs {:keys [ugens wires]} engine known]
  (into #{}
        (mapcat (fn [d]
                  (cond-> (into [] (comp (remove ugens) (map (fn [ugen] [:ugen ugen]))) (classes d))
                    (and (= :scsynth engine) (< (long wires) (long (most-wires d known)))) (conj [:whole d]))))
        defs))

(defn trial
  "The SynthDef of this name that a server takes if it can meet the need. That of `[:room]`,
  a place in its table, and of `[:files]`, a file that it can read, is empty. None is to be
  played.

      (trial [:ugen \"SinOsc\"] \"trial\")"
  [[need x] trial-name]
  (if (= :whole need)
    (assoc x :name trial-name :variants [])
    {:kind            :synthdef
     :name            trial-name
     :constants       []
     :parameters      []
     :parameter-names []
     :ugens           (if (= :ugen need) [{:class x, :rate :scalar, :inputs [], :outputs [], :special 0}] [])
     :variants        []}))

(defn met
  "`proven` when these needs have been met.

      (met {:ugens #{}, :wires 64} [[:ugen \"SinOsc\"]])  ;=> {:ugens #{\"SinOsc\"}, :wires 64}"
  [proven needs]
  (reduce (fn [proven [need x]]
            (case need
              :ugen  (update proven :ugens conj x)
              :whole (update proven :wires max (wire-count x))
              :files (assoc proven :files? true)
              proven))
          proven
          needs))

(defn unmet
  "The problems that needs which were not met make for SynthDef `d`, a vector; empty where
  none is a need of that.

      (unmet d [[:ugen \"SinOsk\"]] :scsynth)"
  [d needs engine]
  (let [ugens (into (sorted-set) (keep (fn [[need x]] (when (= :ugen need) x))) needs)]
    (or (not-empty (into [] (comp (filter ugens) (map (fn [ugen] (problem :no-such-ugen {:ugen ugen} engine)))) (classes d)))
        ;; It was tried as a whole, and all its UGens are there.
        (into [] (comp (filter #{[:whole d]}) (map (fn [_] (problem :too-many-wires {:wires (wire-count d)} engine)))) needs))))

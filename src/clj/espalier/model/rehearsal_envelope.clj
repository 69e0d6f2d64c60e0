(ns espalier.model.rehearsal-envelope
  "When envelopes and lines end: the UGens that may end their synth, as timers that count what
  scsynth counts, blocks at control rate and frames at audio rate.

  A timer can be told where what it reads is a constant, a control, or arithmetic of these.
  The others have `:unknown`, the class of the UGen that nobody can foretell."
  (:require
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

;; ---- what a UGen reads

(defn- binary [index a b]
  (let [a (float a), b (float b)]
    (case (long index)
      0  (unchecked-float (+ a b))
      1  (unchecked-float (- a b))
      2  (unchecked-float (* a b))
      4  (unchecked-float (/ a b))
      8  (if (< a b) (float 1) (float 0))
      9  (if (> a b) (float 1) (float 0))
      10 (if (<= a b) (float 1) (float 0))
      11 (if (>= a b) (float 1) (float 0))
      12 (float (min a b))
      13 (float (max a b))
      25 (unchecked-float (Math/pow a b))
      nil)))

(defn- unary [index a]
  (let [a (double a)]
    (case (long index)
      0  (float (- a))
      5  (float (Math/abs a))
      12 (unchecked-float (* a a))
      13 (unchecked-float (* a a a))
      14 (unchecked-float (Math/sqrt a))
      16 (unchecked-float (/ 1.0 a))
      nil)))

(def ^:private control-classes #{"Control" "AudioControl" "LagControl"})

(defn input-value
  "The number that an input of a UGen of this synth reads, a Float; nil where it depends on a
  signal or a bus."
  [{:keys [synthdef controls maps] :as synth} [kind i output]]
  (if (= :constant kind)
    (float (nth (:constants synthdef) i))
    (let [{:keys [class inputs special]} (nth (:ugens synthdef) i)
          all (fn [] (let [xs (mapv #(input-value synth %) inputs)] (when (every? some? xs) xs)))]
      (cond
        (control-classes class) (let [slot (+ (long special) (long output))]
                                  (when-not (contains? maps slot) (nth controls slot)))
        (= "BinaryOpUGen" class) (when-let [[a b] (all)] (binary special a b))
        (= "UnaryOpUGen" class)  (when-let [[a] (all)] (unary special a))
        (= "MulAdd" class)       (when-let [[a b c] (all)] (binary 0 (binary 2 a b) c))
        (#{"Sum3" "Sum4"} class) (some->> (all) (reduce (fn [a b] (binary 0 a b))))))))

;; ---- which UGens may end a synth

(def ^:private done-input
  "Where the UGens whose end can be told have the number of what they do then."
  {"EnvGen" 4, "Line" 3, "XLine" 3, "Linen" 4})

(defn- done-index
  "Which input of any UGen says what it does when it is done, or nil."
  [class rate]
  (or (done-input class)
      (when-let [spec (ugen/find-spec class rate)]
        (when-let [argument (first (keep-indexed (fn [i {:keys [key]}] (when (= :done-action key) i)) (.-arguments spec)))]
          (first (keep-indexed (fn [i x] (when (= argument x) i)) (.-layout spec)))))))

(defn- never?
  "Whether an input is the constant 0: that nothing is done."
  [constants [kind i]]
  (and (= :constant kind) (zero? (double (nth constants i)))))

(defn- watchers
  "What else ends a synth when UGen `i` is done: by the numbers of what they do."
  [ugens i]
  (into [] (keep (fn [{:keys [class inputs]}]
                   (when (and (= [:ugen i 0] (first inputs)))
                     (case class "FreeSelfWhenDone" 2, "PauseSelfWhenDone" 1, nil))))
        ugens))

(defn timers
  "The UGens of a SynthDef that may end its synths, a vector of maps."
  [{:keys [ugens constants]}]
  (into []
        (keep-indexed
          (fn [i {:keys [class rate inputs]}]
            (let [done     (done-index class rate)
                  done     (when done (nth inputs done nil))
                  watchers (watchers ugens i)
                  timer    {:class class, :rate rate, :inputs inputs, :done done, :watchers watchers}]
              (cond
                (#{"FreeSelf" "PauseSelf"} class)
                {:class class, :rate rate, :inputs inputs, :watchers [(if (= "FreeSelf" class) 2 1)]}

                (and (or (nil? done) (never? constants done)) (empty? watchers)) nil
                :else timer))))
        ugens))

;; ---- one timer. It is read at `:at`, the number of a block: it stands at the beginning of that block's calculation.

(def ^:private for-ever Long/MAX_VALUE)

(defn- frames
  "How many frames or blocks a time is."
  ^long [seconds rate]
  (max 1 (long (* (double seconds) (double rate)))))

(defn- counted [rate {:keys [sample-rate block-size]}]
  (if (= :audio rate) (double sample-rate) (/ (double sample-rate) (double block-size))))

(defn- step-size ^long [rate {:keys [block-size]}] (if (= :audio rate) (long block-size) 1))

(defn- segment-time [inputs stage]
  (let [at (+ 9 (* 4 (long stage)) 1)]
    (unchecked-float (* (float (nth inputs at (float 0))) (float (nth inputs 3))))))

(defn- env-segment
  "An EnvGen that begins with the segment of a stage."
  [{:keys [inputs per-second] :as t} stage seconds]
  (if (> (+ 9 (* 4 (inc (long stage)))) (count inputs))
    (assoc t :left for-ever, :over? true)                            ; past its end: the synth ends
    (assoc t :stage stage, :left (frames (or seconds (segment-time inputs stage)) per-second))))

(defn- env-next
  "An EnvGen whose segment has ended."
  [{:keys [inputs released? stage] :as t}]
  (let [stages  (long (nth inputs 6))
        release (long (nth inputs 7))
        looping (long (nth inputs 8))]
    (cond
      (>= (inc (long stage)) stages) (assoc t :left for-ever, :over? true)
      (and (= (inc (long stage)) release) (not released?))
      (if (< -1 looping stages)
        (env-segment t looping nil)
        (assoc t :left for-ever))
      :else (env-segment t (inc (long stage)) nil))))

(def ^:private not-started 1000000000)

(defn- env-gate [{:keys [inputs gate released? per-second] :as t}]
  (let [before (float gate), now (float (nth inputs 0)), t (assoc t :gate now)]
    (cond
      (and (<= before 0) (> now 0))
      (assoc t :stage -1, :released? false, :left 0, :over? false)

      (and (<= now -1) (> before -1))
      (-> t
          (assoc :released? true)
          (env-segment (dec (long (nth inputs 6))) (- (- now) 1))
          (update :left (fn [n] (if (= for-ever n) n (frames (- (- now) 1) per-second)))))

      (and (> before 0) (<= now 0) (<= 0 (long (nth inputs 7))) (not released?))
      (assoc t :stage (dec (long (nth inputs 7))), :released? true, :left 0)

      :else t)))

(defn- env-start [t]
  (let [t (env-gate (assoc t :stage not-started, :gate (float 0), :released? false, :left 0))
        t (if (pos? (long (:left t))) t (if (= not-started (:stage t)) (assoc t :left for-ever) (env-next t)))]
    (cond-> t
      ;; What is done while the synth is made is forgotten when it is first calculated.
      (:over? t) (assoc :over? false)
      (< (long (:left t)) (long for-ever)) (update :left dec))))

(defn- linen-gate [{:keys [inputs gate per-second] :as t}]
  (let [before (float gate), now (float (nth inputs 0)), t (assoc t :gate now)]
    (if (and (<= before 0) (> now 0))
      (assoc t :stage 0, :left (frames (nth inputs 1) per-second), :over? false)
      t)))

(defn- linen-release [{:keys [inputs per-second] :as t}]
  (let [gate (float (nth inputs 0))]
    (cond
      (<= gate -1) (assoc t :stage 2, :left (frames (- (- gate) 1) per-second))
      (<= gate 0)  (assoc t :stage 2, :left (frames (nth inputs 3) per-second))
      :else        (assoc t :left for-ever))))

(defn- linen-next
  "A Linen in whose stage nothing is left."
  [{:keys [stage] :as t}]
  (case (long stage)
    0 (assoc t :stage 1, :left 1)                                    ; one block looks at the gate, and holds
    1 (linen-release t)
    2 (assoc t :stage 3, :left for-ever, :over? true)
    (assoc t :left for-ever)))

(defn- linen-start [{:keys [inputs] :as t}]
  (let [t (linen-gate (assoc t :gate (float 0), :stage (if (<= (float (nth inputs 0)) -1) 1 4), :left for-ever))]
    (case (long (:stage t))
      0 (update t :left dec)
      1 (linen-release t)
      t)))

(defn- line-start [{:keys [class inputs per-second] :as t}]
  (let [n (long (+ (* (double (nth inputs 2)) (double per-second)) 0.5))]
    (cond
      (pos? n)           (assoc t :left n)
      (= "Line" class)   (assoc t :left 1)
      :else              (assoc t :left for-ever))))

(defn- trigger [{:keys [inputs gate] :as t}]
  (let [before (float gate), now (float (nth inputs 0))]
    (assoc t :gate now, :left (if (and (pos? now) (<= before 0)) 0 for-ever))))

(defn- next-stage [{:keys [class] :as t}]
  (case class
    "EnvGen" (env-next t)
    "Linen"  (linen-next t)
    (assoc t :left for-ever, :over? true)))

(defn- read-inputs
  "A timer with what its inputs are now, or `:unknown`."
  [{:keys [specification] :as t} synth]
  (let [xs (mapv #(input-value synth %) (:inputs specification))
        ;; Levels and curves matter to nobody here.
        needed (case (:class specification)
                 "EnvGen"         (into [0 3 6 7 8] (map (fn [i] (+ 10 (* 4 (long i))))) (range (quot (- (count xs) 9) 4)))
                 "Linen"          [0 1 3]
                 ("Line" "XLine") [2]
                 [0])
        done   (if-let [d (:done specification)] (input-value synth d) (float 0))]
    (if (and done (every? #(some? (nth xs % nil)) needed)
             (#{"EnvGen" "Linen" "Line" "XLine" "FreeSelf" "PauseSelf"} (:class specification)))
      (assoc (dissoc t :unknown) :inputs (mapv #(or % (float 0)) xs), :action (long (double done)))
      (if (and done (zero? (double done)) (empty? (:watchers specification)))
        (assoc (dissoc t :unknown) :idle? true)
        (assoc t :unknown (:class specification))))))

(defn start
  "A timer of a synth that is calculated for the first time in block `block`."
  [{:keys [class rate watchers] :as specification} synth world block]
  (let [t (read-inputs {:class class, :specification specification, :watchers watchers, :at block
                        :per-second (counted rate world), :step (step-size rate world)}
                       synth)]
    (if (or (:unknown t) (:idle? t))
      (assoc t :left for-ever)
      (case class
        "EnvGen" (env-start t)
        "Linen"  (linen-start t)
        ("Line" "XLine") (line-start t)
        (trigger (assoc t :gate (float 0)))))))

(defn- run-stages
  "A timer after so many frames, and how many were left when it was over."
  [t n]
  (loop [t t, n (long n), rounds 0]
    (cond
      (or (zero? n) (:over? t) (= for-ever (:left t))) t
      (zero? (long (:left t))) (recur (next-stage t) n (inc rounds))
      (> rounds 100000)        (assoc t :left for-ever)
      :else (let [m (min n (long (:left t)))]
              (recur (update t :left - m) (- n m) rounds)))))

(defn run-to
  "A timer at the beginning of block `block`, not one that is over by then."
  [{:keys [at step] :as t} block]
  (assoc (run-stages t (* (long step) (max 0 (- (long block) (long at))))) :at block))

(defn update-inputs
  "A timer that reads, from its block on, what the controls are now."
  [t synth]
  (let [idle? (or (:unknown t) (:idle? t))
        now   (read-inputs (dissoc t :idle?) synth)]
    (cond
      (or (:unknown now) (:idle? now)) (assoc now :left for-ever)
      idle?                            (case (:class now)
                                         "EnvGen" (env-start now)
                                         "Linen"  (linen-start now)
                                         (assoc now :left for-ever))
      :else (case (:class now)
              "EnvGen" (env-gate now)
              "Linen"  (linen-gate (cond-> now (and (= 1 (:stage now)) (= for-ever (:left now))) (assoc :left 1)))
              ("FreeSelf" "PauseSelf") (trigger now)
              now))))

(defn- frames-left
  "How many frames until it is over, or nil."
  [t]
  (loop [t t, n 0, rounds 0]
    (cond
      (:over? t)             n
      (= for-ever (:left t)) nil
      (> rounds 10000)       nil                                      ; it loops
      :else                  (recur (next-stage (assoc t :left 0)) (+ n (long (:left t))) (inc rounds)))))

(defn end-block
  "The block in which a timer is over if nothing changes, or nil."
  [{:keys [class at step] :as t}]
  (when-let [n (frames-left t)]
    (let [n (long n), step (long step)]
      (+ (long at)
         (case class
           ("Line" "XLine") (dec (quot (+ n step -1) step))
           (quot n step))))))

(defn actions
  "What is done when a timer is over: numbers as they are in SynthDefs."
  [{:keys [action watchers]}]
  (into (if (and action (pos? (long action))) [action] []) watchers))

(defn over
  "A timer that has been over in block `block`, and has done what it does."
  [t block]
  (assoc t :left for-ever, :over? false, :at block))

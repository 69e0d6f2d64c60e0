(ns espalier.ugens-live-test
  "Each UGen on both servers: a SynthDef of it is loaded, and a synth of that starts. And
  what the operators make of numbers is what the servers make of signals."
  (:require
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.operator :as operator]
   [espalier.model.ugen :as ugen]
   [espalier.servers :as servers]
   [espalier.synthdef :as synthdef]
   [espalier.ugens :refer :all])
  (:import
   (clojure.lang ExceptionInfo)
   (espalier.model.ugen Spec)
   (java.io File)
   (java.util.concurrent CountDownLatch TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

;; --- What a server has for them

(def ^:private buffers
  "The buffers that the UGens below read and write, by name; `make-buffers!` makes them, in
  this order, so that these are their numbers."
  (zipmap [:sound :kernel :wave :wave-2 :wave-3 :wave-4 :spectra :read :write :steps :tap] (range)))

(defn- make-buffers! [s ^File sound-file]
  (let [frames {:wave 1024, :wave-2 1024, :wave-3 1024, :wave-4 1024, :kernel 2048, :spectra 16384, :read 32768, :write 32768, :steps 16, :tap 8192}
        made   (mapv (fn [k] (sc/add-buffer! s {:frame-count (get frames k 4096)})) (map key (sort-by val buffers)))
        of     (fn [k] (made (buffers k)))]
    (is (= (range (count made)) (map :id made)))
    (doseq [k [:wave :wave-2 :wave-3 :wave-4]]
      (sc/generate! (of k) :sine1 {:amplitudes [1 0.5]}))
    (sc/generate! (of :kernel) :sine1 {:amplitudes [1 0.5], :wavetable false})
    (sc/generate! (of :sound) :sine1 {:amplitudes [1 0.5], :wavetable false})
    (sc/set-sample-range! (of :steps) 0 (range 16))
    (sc/request! s ["/b_gen" (buffers :spectra) "PreparePartConv" (buffers :kernel) 1024] ["/done" "/b_gen"])
    (sc/write-buffer! (of :sound) (str sound-file))
    (sc/cue-buffer! (of :read) (str sound-file))
    (sc/write-buffer! (of :write) (str sound-file ".out") {:frame-count 0, :leave-open true})
    made))

;; --- Their arguments

(defn- chain
  ([] (chain 1024))
  ([size] (fft:kr (local-buf:ir size) (sin-osc:ar 440))))

(def ^:private by-class
  "Arguments of UGens of whom the rules below would give others, as functions of the rate."
  {"FFT"                  (fn [_] {:buffer (local-buf:ir 1024)})
   "FFTTrigger"           (fn [_] {:buffer (local-buf:ir 1024)})
   "PackFFT"              (fn [_] {:chain (chain), :bufsize 1024, :magsphases [1 0 1 0], :frombin 0, :tobin 1})
   "Unpack1FFT"           (fn [_] {:chain (chain), :bufsize 1024, :binindex 3})
   "PV_Copy"              (fn [_] {:buffer-a (chain), :buffer-b (local-buf:ir 1024)})
   "BeatTrack"            (fn [_] {:chain (chain)})
   "BeatTrack2"           (fn [_] {:busindex 0, :numfeatures 2})
   "KeyTrack"             (fn [_] {:chain (chain 4096)})
   "PartConv"             (fn [_] {:in (sin-osc:ar 440), :fftsize 1024, :irbufnum (buffers :spectra)})
   "DelTapWr"             (fn [_] {:buffer (buffers :tap), :in (sin-osc:ar 440)})
   "DelTapRd"             (fn [rate] {:buffer   (buffers :tap)
                                      :phase    (if (= :audio rate) (del-tap-wr:ar (buffers :tap) (sin-osc:ar 440)) (del-tap-wr:kr (buffers :tap) (sin-osc:kr 4)))
                                      :del-time 0.05})
   "DiskIn"               (fn [_] {:num-channels 1, :bufnum (buffers :read)})
   "VDiskIn"              (fn [_] {:num-channels 1, :bufnum (buffers :read)})
   "DiskOut"              (fn [_] {:bufnum (buffers :write), :channels-array [(sin-osc:ar 440)]})
   "Demand"               (fn [rate] {:trig (if (= :audio rate) (impulse:ar 100) (impulse:kr 10)), :reset 0, :demand-ugens [(dseq:dr [1 2] ##Inf)]})
   "DemandEnvGen"         (fn [_] {:level (dseq:dr [1 2] ##Inf), :dur 0.1})
   "EnvGen"               (fn [_] {:envelope (env/perc 0.01 10)})
   "IEnvGen"              (fn [_] {:envelope (env/perc 0.01 1), :index 0.5})
   "Klang"                (fn [_] {:specifications-array-ref [[440 660] nil nil]})
   "Klank"                (fn [_] {:specifications-array-ref [[440 660] nil nil], :input (impulse:ar 2)})
   "LocalOut"             (fn [rate] {:channels-array (if (= :audio rate) [(multiply 0.5 (local-in:ar 1))] [(local-in:kr 1)])})
   "InRect"               (fn [_] {:rect [0 0 1 1]})
   "Index"                (fn [_] {:bufnum (buffers :steps)})
   "IndexL"               (fn [_] {:bufnum (buffers :steps)})
   "IndexInBetween"       (fn [_] {:bufnum (buffers :steps)})
   "VOsc"                 (fn [_] {:bufpos (+ 0.5 (long (buffers :wave)))})
   "VOsc3"                (fn [_] {:bufpos (+ 0.5 (long (buffers :wave)))})
   "SetBuf"               (fn [_] {:buf (local-buf:ir 16), :values [1 2 3]})
   "ClearBuf"             (fn [_] {:buf (local-buf:ir 16)})
   "Free"                 (fn [_] {:trig 0, :id -1})
   "Pause"                (fn [_] {:gate 1, :id -1})
   "FreeSelf"             (fn [_] {:in (trig1:kr (sin-osc:kr 1) 1)})
   "PauseSelf"            (fn [_] {:in 0})
   "FreeSelfWhenDone"     (fn [_] {:src (line:kr 0 1 10)})
   "PauseSelfWhenDone"    (fn [_] {:src (line:kr 0 1 10)})
   "Done"                 (fn [_] {:src (line:kr 0 1 10)})
   "Poll"                 (fn [_] {:trig 0.1})
   "SendReply"            (fn [_] {:values [1 2]})
   "TWindex"              (fn [_] {:array [0.5 0.5]})
   "Dwrand"               (fn [_] {:list [1 2], :weights [0.5 0.5]})
   "Select"               (fn [rate] {:which 1, :array (if (= :audio rate) [(saw:ar 100) (sin-osc:ar 100)] [(sin-osc:kr 1) (sin-osc:kr 2)])})
   "GVerb"                (fn [_] {:in (sin-osc:ar 440)})
   "Convolution"          (fn [_] {:in (sin-osc:ar 440), :kernel (saw:ar 220)})
   "StereoConvolution2L"  (fn [_] {:in (sin-osc:ar 440), :kernel-l (buffers :kernel), :kernel-r (buffers :kernel)})})

(def ^:private wave-tables #{"Osc" "OscN" "COsc" "Shaper"})

(defn- by-key
  "What an argument is by its name."
  [^Spec spec k audio]
  (let [class (.class-name spec)
        kr    (sin-osc:kr 1)
        x     (if audio (sin-osc:ar 440) kr)]
    (cond
      (#{:buffer :buffer-a :buffer-b :chain} k)       (chain)
      (= :kernel k)                                   (buffers :kernel)
      (and (wave-tables class) (= :bufnum k))         (buffers :wave)
      (#{:bufnum :sndbuf :buf} k)                     (buffers :sound)
      (= :bus k)                                      20
      (= :num-channels k)                             1
      (= :num-chans k)                                4
      (#{:trig :trigger} k)                           (if audio (impulse:ar 10) (impulse:kr 10))
      (#{:channels-array :input-array :array :sig} k) [x]
      (= :list k)                                     [1 2 3]
      :else                                           x)))

(defn- rejected [^Spec spec i]
  (let [layout (.layout spec)
        [from rates] (.rejects-rest spec)]
    (into (if (and from (= [i] (nth layout from))) rates #{})
          (mapcat (fn [[j rates]] (when (= i (nth layout j nil)) rates)))
          (.rejects spec))))

(defn- arguments
  "The arguments of an example of a spec, by name."
  [^Spec spec]
  (let [given ((get by-class (.class-name spec) (constantly {})) (.rate spec))]
    (into given
          (keep-indexed (fn [i {k :key, :keys [same-as optional] :as argument}]
                          (let [bad (rejected spec i)]
                            (when-not (contains? given k)
                              (when (or (contains? bad :scalar)
                                        (#{:in :bufnum :sndbuf} k)
                                        (not (or (contains? argument :default) same-as optional)))
                                [k (by-key spec k (and (not (contains? bad :audio))
                                                       (or (contains? bad :control) (= :audio (.rate spec)))))])))))
          (.arguments spec))))

(defn- put-out
  "Puts something out on buses where nobody listens, at its rate."
  [x]
  (let [x (if (sequential? x) (first (flatten x)) x)]
    (when (graph/channels? x)
      (case (graph/rate x)
        :audio  (out:ar 20 x)
        :demand (out:kr 100 (demand:kr (impulse:kr 100) 0 x))
        (out:kr 100 x)))))

(defn- example
  "A SynthDef with one UGen of a spec."
  [^Spec spec]
  (synthdef/synthdef (str spec) []
                     (fn []
                       (let [f (ns-resolve 'espalier.ugens (symbol (str spec)))]
                         (put-out (apply f (mapcat identity (arguments spec))))))))

;; --- Their synths

(defn- added!
  "Adds SynthDefs, but those that the server rejects; returns those that it takes."
  [s defs]
  (try (sc/add-synthdefs! s defs)
       defs
       (catch ExceptionInfo e
         (when-not (= :espalier.error/synthdef-rejected (error/code e))
           (throw e))
         (added! s (remove #(contains? (:rejected (ex-data e)) (:name %)) defs)))))

(defn- started
  "The names of those SynthDefs of which a synth starts, a set; nil where the server dies."
  [s defs]
  (let [seen (atom #{})
        id   (sc/on-osc! s "/n_go" (fn [[_ node]] (swap! seen conj node)))]
    (try
      (let [defs   (added! s defs)
            g      (sc/add-group! s)
            synths (sc/at s nil (mapv #(sc/add-synth! s (:name %) {} {:target g}) defs))]
        (sc/sync! s)
        (.await (CountDownLatch. 1) 20 TimeUnit/MILLISECONDS) ; a dozen blocks
        (sc/free! g {:confirm true})
        (sc/sync! s)
        (into #{} (keep (fn [[d x]] (when (@seen (:id x)) (:name d)))) (map vector defs synths)))
      (catch ExceptionInfo e
        (when (= :online (sc/boot-status s))
          (throw e)))
      (finally (sc/off! s id)))))

(def ^:private impossible
  "A SynthDef of a UGen that no server has: it must not start, or this test sees nothing."
  {:kind  :synthdef, :name "impossible", :constants [], :parameters [], :parameter-names [], :variants []
   :ugens [{:class "NoSuchUGen", :rate :control, :inputs [], :outputs [:control], :special 0}]})

(defn- survey
  "Starts a synth of each SynthDef on servers of a kind, many at a time. Where a server
  dies, another is booted, on which they come one by one. Returns `:started` and
  `:deadly`, sets of names."
  [kind defs]
  (let [sound  (File/createTempFile "espalier-" ".wav")
        booted (volatile! [])
        boot   (fn [] (doto (peek (vswap! booted conj (sc/boot! (sc/server (servers/options kind))))) (make-buffers! sound)))]
    (try
      (loop [s (boot), chunks (partition-all 40 defs), found {:started #{}, :deadly #{}}]
        (if-let [[chunk & chunks] (seq chunks)]
          (let [names (started s chunk)]
            (cond
              names        (recur s chunks (update found :started into names))
              (next chunk) (recur (boot) (concat (map list chunk) chunks) found)
              :else        (recur (boot) chunks (update found :deadly conj (:name (first chunk))))))
          found))
      (finally
        (run! sc/quit! @booted)
        (run! #(.delete ^File (io/file %)) [sound (str sound ".out")])))))

(def ^:private unlike-others
  "Specs of which no synth is started, with the reason; none so far."
  {})

(deftest each-ugen-starts-on-both-servers
  (let [specs (remove #(or (= "MaxLocalBufs" (.class-name ^Spec %)) (unlike-others (str %))) (ugen/specs))
        defs  (conj (mapv example specs) impossible)]
    (doseq [kind servers/udp-kinds
            :let [engine (keyword (:executable kind))
                  {:keys [started deadly]} (survey kind defs)
                  known (into #{} (comp (filter #(contains? (:engines (ugen/ugens (.class-name ^Spec %))) engine)) (map str)) specs)]]
      (testing (name engine)
        (is (= #{} deadly) "which end the server")
        (is (= #{} (set/difference known started)) "which the table says it has, and do not start")
        (is (= #{} (set/difference started known)) "which the table says it has not, and start")))))

;; --- Operators of numbers

(defn- told
  "The values of control buses from 0 on as the server tells them, once a synth of `f`,
  which makes the signals, has played."
  [s n f]
  (sc/add-synthdefs! s (synthdef/synthdef :told [] (fn [] (out:kr 0 (f)))))
  (let [x (sc/add-synth! s :told {} {:confirm true})]
    (.await (CountDownLatch. 1) 5 TimeUnit/MILLISECONDS)
    (sc/sync! s)
    (sc/free! x)
    (into [] (mapcat (fn [buses]                             ; no more than fit into supernova's replies
                       (let [[from n] [(first buses) (count buses)]]
                         (take-last n (sc/request! s ["/c_getn" from n] ["/c_setn" from n])))))
          (partition-all 100 (range n)))))

(defn- same? [a b]
  (let [a (double (unchecked-float a)), b (double b)]
    (or (== a b)
        (and (NaN? a) (NaN? b))
        (< (abs (- a b)) (* 1e-4 (max 1.0 (abs b)))))))

(defn- check-operators
  "Asserts of operators that `number-function` gives of their numbers what the servers give
  of signals, of all `cases`: vectors of operands. `make` makes the signal."
  [s operators number-function make cases]
  (let [n (count cases)]
    (doseq [chunk (partition-all 10 (filter #(and (apply number-function (:name %) (first cases)) (not (false? (:server %)))) operators))
            :let  [theirs (told s (* n (count chunk))
                                (fn []
                                  (let [signal (memoize (fn [x] (dc:kr x)))]
                                    (mapv (fn [[index operands]] (apply make index (map signal operands)))
                                          (for [{:keys [index]} chunk, operands cases] [index operands])))))]
            [{operator :name} theirs] (map vector chunk (partition n theirs))]
      (is (= [] (for [[operands theirs] (map vector cases theirs)
                      :let  [ours (apply number-function operator operands)]
                      :when (not (or (same? ours theirs)
                                     (= ["reciprocal" [0.0]] [operator operands])))] ; NaN there
                  [operands ours theirs]))
          operator))))

(deftest operators-make-of-numbers-what-the-servers-make-of-signals
  (servers/each-kind servers/udp-kinds {}
    (fn [s]
      (check-operators s ugen/unary-operators operator/of-number graph/unary
                       (map vector [-7.0 -2.5 -1.0 -0.5 0.0 0.25 0.5 1.0 1.75 3.0 7.0 60.0]))
      (check-operators s ugen/binary-operators operator/of-numbers graph/binary
                       (for [x [-7.0 -2.5 -0.5 0.0 0.5 1.0 3.0 7.0], y [-3.0 -1.0 0.0 0.5 2.0 4.0]] [x y])))))

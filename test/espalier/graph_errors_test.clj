(ns espalier.graph-errors-test
  "What is wrong in a graph function is a named error that says where: which UGen, which
  argument, what value, of which SynthDef, on which line. Nothing else is thrown."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.env :as env]
   [espalier.model.constructor :as constructor]
   [espalier.model.error :as error]
   [espalier.model.graph :as graph]
   [espalier.model.ugen :as ugen]
   [espalier.servers :as servers]
   [espalier.synthdef :as synthdef :refer [synthdef]]
   [espalier.ugens :refer :all])
  (:import
   (clojure.lang ExceptionInfo)
   (espalier.model.ugen Spec)
   (java.util Random)))

(set! *warn-on-reflection* true)

(defmacro ^:private refuses
  "Asserts of each row, `[code data words form]`, that a graph of the form, in which `p` is a
  parameter and `q` one of two values, throws that error: with this data, the SynthDef, the
  line of the form, and all of the words in its message."
  [& rows]
  `(do ~@(for [[code data words form] rows]
           `(let [e#       (servers/thrown (fn [] (synthdef :bad [:p 1, :q [1 2]] (fn [~'p ~'q] (with-operators ~form)))))
                  message# (str (some-> e# ex-message))
                  found#   (ex-data e#)]
              (testing ~(pr-str form)
                (is (= ~(keyword "espalier.error" (name code)) (some-> e# error/code)) message#)
                (is (= ~data (select-keys found# (keys ~data))))
                (is (= ["bad" ~(str "graph_errors_test.clj:" (:line (meta form)))] [(:synthdef found#) (:at found#)]))
                (is (= [] (remove (fn [word#] (str/includes? message# word#)) ~(into ["bad"] words))) message#))))))

;; --- What sclang refuses too

(deftest rates-are-checked
  (refuses
    [:wrong-rate {:ugen "lpf:ar", :argument :in, :rate :control} ["control" "audio" "k2a:ar"]
     (out:ar 0 (lpf:ar (sin-osc:kr 1)))]
    [:wrong-rate {:ugen "lpf:kr", :argument :in, :rate :audio} ["audio" "control" "a2k:kr"]
     (out:kr 0 (lpf:kr (sin-osc:ar 1)))]
    [:wrong-rate {:ugen "lpf:kr", :argument :in, :rate :scalar, :value 1.0} ["1.0" "dc:kr"]
     (out:kr 0 (lpf:kr 1))]
    [:wrong-rate {:ugen "out:ar", :argument :channels-array, :rate :control} ["k2a:ar"]
     (out:ar 0 (sin-osc:kr 1))]
    [:wrong-rate {:ugen "out:ar", :argument :channels-array, :rate :control} []
     (out:ar 0 p)]
    [:wrong-rate {:ugen "out:ar", :argument :channels-array, :value 1.0} ["dc:ar"]
     (out:ar 0 [(sin-osc:ar 1) 1])]
    [:wrong-rate {:ugen "local-out:ar", :argument :channels-array} []
     (local-out:ar (sin-osc:kr 1))]
    [:wrong-rate {:ugen "x-out:ar", :argument :channels-array} []
     (x-out:ar 0 0.5 (sin-osc:kr 1))]
    [:wrong-rate {:ugen "pan2:ar", :argument :in, :rate :control} []
     (out:ar 0 (pan2:ar (sin-osc:kr 1)))]
    [:wrong-rate {:ugen "balance2:ar", :argument :right} []
     (balance2:ar (sin-osc:ar 1) (sin-osc:kr 1))]
    [:wrong-rate {:ugen "demand:kr", :argument :trig, :value 1.0, :rate :scalar} []
     (out:kr 0 (demand:kr 1 0 (dseq:dr [1 2])))]
    [:wrong-rate {:ugen "check-bad-values:ar", :argument :in, :rate :control} []
     (out:ar 0 (check-bad-values:ar (sin-osc:kr 1)))]
    [:wrong-rate {:ugen "select:ar", :argument :array, :value 1.0} []
     (out:ar 0 (select:ar 0 [(sin-osc:ar 1) 1]))]
    [:wrong-rate {:ugen "buf-rd:ar", :argument :phase} []
     (out:ar 0 (buf-rd:ar 1 0 (sin-osc:kr 1)))]
    [:wrong-rate {:ugen "buf-wr:ar", :argument :input-array} []
     (buf-wr:ar [(sin-osc:kr 1)] 0 (sin-osc:ar 1))]
    [:wrong-rate {:ugen "disk-out:ar", :argument :channels-array} []
     (disk-out:ar 0 [(sin-osc:kr 1)])]
    [:wrong-rate {:ugen "median:ar", :argument :in} []
     (median:ar 3 (sin-osc:kr 1))]
    [:wrong-rate {:ugen "t2k:kr", :argument :in} []
     (t2k:kr (impulse:kr 1))]
    [:wrong-rate {:ugen "x-fade2:ar", :argument :in-b} []
     (x-fade2:ar (sin-osc:ar 1) (sin-osc:kr 1))]
    [:wrong-rate {:ugen "duty:kr", :argument :reset, :rate :audio} ["demand"]
     (duty:kr (dseq:dr [1]) (sin-osc:ar 1))]
    [:wrong-rate {:ugen "lpf:ar", :argument :in, :rate :demand} []
     (lpf:ar (dseq:dr [1]))]))

(deftest what-is-no-input-is-refused
  (refuses
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value "foo"} ["\"foo\"" "number"] (out:ar 0 (sin-osc:ar "foo"))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value nil} ["nil"] (out:ar 0 (sin-osc:ar nil))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :phase, :value true} ["1 and 0"] (out:ar 0 (sin-osc:ar 1 true))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq} ["NaN" "silence"] (out:ar 0 (sin-osc:ar ##NaN))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :phase, :value :foo} [":foo"] (out:ar 0 (sin-osc:ar 1 :phase :foo))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value {:a 1}} [] (out:ar 0 (sin-osc:ar {:a 1}))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value \c} [] (out:ar 0 (sin-osc:ar [1 [2 \c]]))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq} ["function was not called"] (out:ar 0 (sin-osc:ar sin-osc:kr))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq} ["puts something out"] (sin-osc:ar (out:kr 0 (sin-osc:kr 1)))]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value []} ["empty"] (sin-osc:ar [])]
    [:invalid-input {:ugen "sin-osc:ar", :argument :freq, :value []} ["empty"] (sin-osc:ar [1 []])]
    [:invalid-input {:ugen "play-buf:ar", :argument :rate, :value []} ["empty"] (play-buf:ar 1 0 [])]
    [:invalid-input {} ["no end"] (sin-osc:ar (repeat 440))]
    [:invalid-input {} ["no end"] (out:ar 0 (cycle [(sin-osc:ar 440)]))]
    [:invalid-input {} ["no end"] (mix (range))]
    [:invalid-input {:argument 1} ["+: the second operand" "puts something out"] (+ 1 (out:kr 0 (sin-osc:kr 1)))]
    [:invalid-input {:argument 1, :value "x"} ["max: the second operand"] (max p "x")]
    [:invalid-input {:argument 0, :value nil} ["midicps: the first operand"] (midicps nil)]
    [:invalid-input {:value :foo} [":minmax"] (linlin p 0 1 0 1 :foo)]
    [:invalid-input {:operator "<"} ["two signals"] (< 1 2 p)]
    [:invalid-input {:ugen "line:kr", :argument :done-action, :value :free-sel} ["Did you mean :free-self?"] (line:kr 0 1 1 :done-action :free-sel)]
    [:invalid-input {:ugen "env-gen:kr", :argument :envelope, :value 1} ["env/perc"] (env-gen:kr 1)]
    [:invalid-input {:ugen "env-gen:kr", :argument :envelope, :value nil} ["env/perc"] (env-gen:kr nil)]
    [:invalid-input {:ugen "send-reply:kr", :argument :cmd-name, :value 5} ["string"] (send-reply:kr (impulse:kr 1) 5 [1])]
    [:invalid-input {:ugen "send-reply:kr", :argument :cmd-name, :value "ü"} ["ASCII"] (send-reply:kr (impulse:kr 1) "ü" [1])]
    [:invalid-input {:ugen "klank:ar", :argument :specifications-array-ref} ["frequencies"] (klank:ar 440 (impulse:ar 1))]
    [:invalid-input {:ugen "in-rect:kr", :argument :rect, :value 5} ["[left top width height]"] (in-rect:kr 0 0 5)]
    [:invalid-input {:ugen "del-tap-rd:ar", :argument :phase, :value 0} ["del-tap-wr:ar" "crash"] (del-tap-rd:ar 0 0 1)]
    [:invalid-input {:ugen "del-tap-wr:ar", :argument :buffer, :value -1} ["crash"] (del-tap-wr:ar -1 (sin-osc:ar 1))]))

(deftest channels-are-a-number-of-the-synthdef
  (refuses
    [:invalid-channel-count {:ugen "play-buf:ar", :argument :num-channels, :value 0} ["0" "part of the SynthDef"] (play-buf:ar 0 0)]
    [:invalid-channel-count {:ugen "play-buf:ar", :argument :num-channels, :value nil} ["nil"] (play-buf:ar nil 0)]
    [:invalid-channel-count {:ugen "in:ar", :argument :num-channels, :value 1.5} ["1.5"] (in:ar 0 1.5)]
    [:invalid-channel-count {:ugen "in:ar", :argument :num-channels, :value -1} ["-1"] (in:ar 0 -1)]
    [:invalid-channel-count {:ugen "in:ar", :argument :num-channels} ["sin-osc:kr"] (in:ar 0 (sin-osc:kr 1))]
    [:invalid-channel-count {:ugen "local-in:ar", :argument :num-channels, :value "2"} [] (local-in:ar "2")]))

(deftest envelopes-are-checked
  (refuses
    [:unknown-shape {:shape :nosuch} [":nosuch" ":lin"] (env-gen:kr (env/envelope [0 1] [1] :nosuch))]
    [:unknown-shape {:shape :expo} ["Did you mean :exp?"] (env-gen:kr (env/perc 1 1 1 :expo))]
    [:unknown-shape {:shape {}} [] (env-gen:kr (env/perc :curve [{} 1]))]
    [:invalid-envelope {:levels 1} ["sequence"] (env/envelope 1 1)]
    [:invalid-envelope {:levels []} [] (env/envelope [] [1])]
    [:invalid-envelope {:levels [1 2], :times [1]} ["2 levels, 1 durations"] (env/step [1 2] [1])]
    [:invalid-envelope {:points 5} [] (env/points 5)]
    [:invalid-input {:ugen "env-gen:kr", :value "x"} [] (env-gen:kr (env/perc "x"))]))

(deftest controls-are-checked
  (refuses
    [:duplicate-control {:control "a"} ["[1.0]" "[2.0]"] (do (control:kr :a 1) (control:kr :a 2))]
    [:duplicate-control {:control "a"} ["control" "trigger"] (do (control:kr :a 1) (control:tr :a 1))]
    ;; sclang writes both, of which a server sets the first
    [:duplicate-control {:control "p"} ["\"p\""] (out:kr 0 [p (control:kr :p 2)])]
    [:duplicate-control {:control "p"} ["\"p\""] (synthdef/with-parameters [p 5] (out:kr 0 p))]
    [:invalid-control {:control "a234567890123456789012345678901x"} ["32 bytes" "31"] (control:kr :a234567890123456789012345678901x)]
    [:invalid-control {:control "üüüüüüüüüüüüüüüü"} ["32 bytes"] (control:kr :üüüüüüüüüüüüüüüü)]
    [:invalid-control {:control 5} ["name"] (control:kr 5)]
    [:invalid-control {:control "a", :value "x"} ["number"] (control:kr :a "x")]
    [:invalid-control {:control "a", :value []} ["number"] (control:kr :a [])]
    [:invalid-control {:control "a", :value :x} ["number"] (control:kr :a 1 :lag :x)]
    [:invalid-control {:control "a"} [":kr"] (control:ar :a 1 :lag 1)]
    [:unknown-argument {:argument :lagg} [":lag"] (control:kr :a 1 :lagg 1)]))

(deftest calls-are-checked
  (refuses
    [:unknown-argument {:ugen "sin-osc:ar", :argument :frq, :known [:freq :phase :mul :add]} ["Did you mean :freq?" "(sin-osc:ar freq phase mul add)"]
     (sin-osc:ar 1 :frq 2)]
    [:unknown-argument {:ugen "sin-osc:ar", :argument :foo} [] (sin-osc:ar :foo)]
    [:unknown-argument {:ugen "adsr", :argument :atack-time} ["Did you mean :attack-time?"] (env/adsr :atack-time 1)]
    [:unknown-argument {:ugen "splay:ar", :argument :sprd} [] (splay:ar [(sin-osc:ar 1)] :sprd 1)]
    [:duplicate-argument {:ugen "sin-osc:ar", :argument :freq} ["twice"] (sin-osc:ar :freq 1 :freq 2)]
    [:duplicate-argument {:ugen "sin-osc:ar", :argument :freq} ["twice"] (sin-osc:ar 440 :freq 2)]
    [:missing-argument {:ugen "sin-osc:ar", :argument :freq} ["no value behind :freq"] (sin-osc:ar :freq)]
    [:missing-argument {:ugen "pan2:ar", :argument :in} ["(pan2:ar in pos level)"] (pan2:ar)]
    [:missing-argument {:ugen "out:kr", :argument :channels-array} ["no channel"] (out:kr 0 [])]
    [:missing-argument {:ugen "beat-track:kr", :argument :chain} [] (beat-track:kr)]
    [:too-many-arguments {:ugen "sin-osc:ar"} ["4 arguments"] (sin-osc:ar 1 2 3 4 5)]))

;; --- Of the SynthDef as a whole

(deftest parameters-names-and-variants-are-checked
  (doseq [[code data words f]
          [[:invalid-name {:synthdef ""} ["1 to 255"] #(synthdef "" [] (fn []))]
           [:invalid-name {} ["1 to 255"] #(synthdef (str/join (repeat 256 "x")) [] (fn []))]
           [:invalid-name {:synthdef nil} [] #(synthdef nil [] (fn []))]
           [:duplicate-control {:control "a"} ["two parameters"] #(synthdef :x [:a 1 :a 2] (fn [_ _]))]
           [:invalid-control {} ["32 bytes"] #(synthdef :x [(str/join (repeat 32 "x")) 2] (fn [_]))]
           [:invalid-control {:control "a", :value "x"} ["default"] #(synthdef :x [:a "x"] (fn [_]))]
           [:invalid-control {:control "a"} ["without values"] #(synthdef :x [:a []] (fn [_]))]
           [:invalid-control {:control "a", :value :xr} [":ir :tr :ar :kr"] #(synthdef :x [:a {:rate :xr}] (fn [_]))]
           [:invalid-control {:control "a", :option :defualt} ["Did you mean :default?"] #(synthdef :x [:a {:defualt 1}] (fn [_]))]
           [:invalid-control {:control "t_a"} ["lag"] #(synthdef :x [:t_a {:default 1, :lag 1}] (fn [_]))]
           [:invalid-control {:value [:a]} ["[freq 440, amp 0.1]"] #(synthdef :x [:a] (fn [_]))]
           [:invalid-control {:control 5} [] #(synthdef :x [5 1] (fn [_]))]
           [:unknown-control {:control :b, :variant "x.low"} [] #(synthdef :x [:a 1] (fn [_]) {:variants {:low {:b 1}}})]
           [:invalid-variant {:control :a, :variant "x.low"} ["2 values"] #(synthdef :x [:a 1] (fn [_]) {:variants {:low {:a [1 2]}}})]
           [:invalid-variant {} ["31 bytes"] #(synthdef :x [:a 1] (fn [_]) {:variants {(str/join (repeat 30 "l")) {:a 1}}})]
           [:invalid-variant {:value [1]} ["{:low {:freq 110}}"] #(synthdef :x [:a 1] (fn [_]) {:variants [1]})]
           [:invalid-control {:value "x"} ["variant"] #(synthdef :x [:a 1] (fn [_]) {:variants {:low {:a "x"}}})]
           [:unknown-option {:option :varaints} ["Did you mean :variants?"] #(synthdef :x [:a 1] (fn [_]) {:varaints {}})]
           [:invalid-option {:value nil} ["graph function"] #(synthdef :x [:a 1] nil)]
           [:invalid-argument {:synthdef "x"} ["declares 1 parameters"] #(synthdef :x [:a 1] (fn []))]
           [:no-graph {:control "a"} ["graph function"] #(control:kr :a 1)]]
          :let [e (servers/thrown f)]]
    (testing (str code " " words)
      (is (= (keyword "espalier.error" (name code)) (some-> e error/code)) (some-> e ex-message))
      (is (= data (select-keys (ex-data e) (keys data))))
      (is (re-matches #"graph_errors_test\.clj:\d+" (str (:at (ex-data e)))))
      (is (= [] (remove #(str/includes? (ex-message e) %) words)) (ex-message e)))))

(deftest a-control-of-another-synthdef-is-refused
  (let [stolen (volatile! nil)]
    (synthdef :other [:freq 1] (fn [freq] (vreset! stolen freq) nil))
    (let [e (servers/thrown #(synthdef :thief [] (fn [] (out:kr 0 @stolen))))]
      (is (= [:espalier.error/foreign-control "thief"] [(error/code e) (:synthdef (ex-data e))]))
      (is (str/includes? (ex-message e) "another SynthDef")))))

;; --- What sclang accepts

(deftest what-sclang-accepts-is-accepted
  (testing "an audio signal where an output is of control rate"
    (is (= [["SinOsc" :audio] ["Out" :control]]
           (map (juxt :class :rate) (:ugens (synthdef :x [] (fn [] (out:kr 0 (sin-osc:ar 1)))))))))
  (testing "an audio signal where an argument is not checked, and a demand UGen too"
    (is (= [["SinOsc" :audio] ["LFNoise1" :control] ["Out" :control]]
           (map (juxt :class :rate) (:ugens (synthdef :x [] (fn [] (out:kr 0 (lf-noise1:kr (sin-osc:ar 1)))))))))
    (is (= [["Dseq" :demand] ["SinOsc" :audio] ["Out" :audio]]
           (map (juxt :class :rate) (:ugens (synthdef :x [] (fn [] (out:ar 0 (sin-osc:ar (dseq:dr [1])))))))))
    (is (= [["SinOsc" :control] ["LocalBuf" :scalar]]
           (remove #(= "MaxLocalBufs" (first %)) (map (juxt :class :rate) (:ugens (synthdef :x [] (fn [] (local-buf:ir (sin-osc:kr 1))))))))))
  (testing "a name of 255 bytes, controls of 31, no UGen at all"
    (is (= 255 (count (:name (synthdef (str/join (repeat 255 "x")) [] (fn []))))))
    (is (= 31 (count (ffirst (:parameter-names (synthdef :x [(str/join (repeat 31 "x")) 1] (fn [_])))))))
    (is (= [] (:ugens (synthdef :x [] (fn []))))))
  (testing "a control asked for again"
    (is (= 1 (count (:parameter-names (synthdef :x [] (fn [] (control:kr :a 1) (out:kr 0 [(control:kr :a) (control:kr :a 1)])))))))))

;; --- Whatever is given

(def ^:dynamic ^:private ^Random *random* nil)

(defn- one-of [xs] (nth xs (.nextInt *random* (count xs))))

(def ^:private things
  "What is no input, what is one and hardly meant, and what is one."
  [nil true false "x" "" :a :free-self :lin 'sym \c 1/3 1.5M 10N 1e400M ##NaN ##Inf ##-Inf 1e300 -1e300 Long/MAX_VALUE Long/MIN_VALUE
   12345678901234567890N inc (Object.) {} {:a 1} #{1} () [] [[]] [nil] [[nil 1] 2] '(1 2) (range 3) #inst "2020" #"re" (byte-array 3)
   (int-array 2) (atom 1) {:kind :envelope} {:kind :envelope, :levels [1], :times nil} -1 0 1 2 1.5 4097 (int 3) (float 2.5) (byte 1)
   {:kind :buffer} {:kind :buffer, :id "x"} {:kind :bus, :id 3} (java.util.ArrayList. [1 2]) #'inc *ns* (Exception. "x")
   (map inc [1 2]) (lazy-seq [1 [2]])])

(defn- signal []
  (one-of [(sin-osc:ar 1) (lf-noise1:kr 1) (rand:ir 0 1) (dseq:dr [1]) (out:kr 0 (dc:kr 1)) (first (pan2:ar (saw:ar 1)))]))

(defn- thing [depth]
  (let [x (.nextInt *random* 10)]
    (cond
      (and (< x 4) (pos? (long depth))) (into (one-of [[] ()]) (repeatedly (.nextInt *random* 4) #(thing (dec (long depth)))))
      (< x 6)                           (signal)
      :else                             (one-of things))))

(defn- thrown-by
  "The class of what a call throws that is no error of ours, or nil."
  [f]
  (try (f)
       nil
       (catch ExceptionInfo e (when-not (error/code e) e))
       (catch Throwable e e)))

(defn- unexpected
  "What calls of functions, `[name function number-of-arguments keys]`, throw that is no
  error of ours: `[name arguments exception]`, the first few."
  [seed times calls]
  (binding [*random* (Random. seed)]
    (into [] (comp cat (take 3))
          (for [_ (range times)]
            (doall
              (for [[call-name f n ks] calls
                    :let  [k     (if ks (.nextInt *random* (inc (long n))) n)
                           given (vec (repeatedly k #(thing 2)))
                           named (mapcat (fn [k] (when (zero? (.nextInt *random* 3)) [k (thing 2)])) (drop k ks))
                           e     (thrown-by #(apply f (concat given named)))]
                    :when e]
                [call-name (pr-str (map class given)) e]))))))

(def ^:private specs (remove #(= "MaxLocalBufs" (.class-name ^Spec %)) (ugen/specs)))

(deftest whatever-a-ugen-is-given-it-is-made-or-names-the-error
  (is (= [] (unexpected 1 5 (for [^Spec spec specs]
                              [(str spec) (fn [& given] (constructor/call spec given)) (count (.arguments spec)) (map :key (.arguments spec))])))))

(deftest whatever-other-functions-are-given-they-return-or-name-the-error
  (let [of-ugens (into #{'add 'subtract 'multiply 'divide 'modulo} (map (comp symbol str)) specs)] ; those: of numbers alone they are clojure.core's
    (is (= [] (unexpected 2 10
                          (for [n         ['espalier.ugens 'espalier.env]
                                [k v]     (sort-by key (ns-publics n))
                                :when     (not (or (of-ugens k) (:macro (meta v))))
                                arguments (:arglists (meta v))
                                :when     (not-any? #{'& 'more} arguments)]
                            [k (fn [& given] (let [x (apply @v given)] (when (seq? x) (doall (take 10 x))))) (count arguments) nil]))))))

(deftest whatever-a-synthdef-is-given-it-is-made-or-names-the-error
  (let [part (fn [] (one-of [:a "b" {:default 1} {:rate :ir} {:default (thing 1), :lag (thing 1)} (thing 1)]))]
    (is (= [] (unexpected 3 500
                          [["synthdef" (fn [x parameters variants] (synthdef x parameters (fn [& _] x) {:variants variants})) 3 nil]
                           ["parameters" (fn [_] (synthdef :x (vec (repeatedly (.nextInt *random* 5) part)) (fn [& signals] (out:kr 0 (vec signals))))) 1 nil]
                           ["variants" (fn [x y z] (synthdef :x [:a 1 :b [1 2]] (fn [& _]) {:variants {x {:a y, :b z}}})) 3 nil]
                           ["result" (fn [x] (synthdef :x [] (fn [] (if (seq? x) (take 3 x) x)))) 1 nil]
                           ["options" (fn [x] (synthdef :x [] (fn []) x)) 1 nil]
                           ["control" (fn [f x y z] (synthdef :x [] (fn [] ((nth [control:kr control:ir control:ar control:tr] (mod (hash f) 4)) x y :lag z)))) 4 nil]])))))

(deftest a-deep-graph-is-no-deep-stack
  (let [d (synthdef :deep [] (fn [] (out:ar 0 (reduce (fn [x _] (lpf:ar x 400)) (saw:ar 100) (range 20000)))))]
    (is (= 20002 (count (:ugens d)))))
  (is (= 20002 (count (graph/finite (range 20002))))))

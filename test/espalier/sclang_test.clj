(ns espalier.sclang-test
  "Random graphs, compiled by us and by sclang 3.13: the bytes are the same. Where there is
  no sclang of that version, this says so and is skipped."
  (:require
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.graph-programs :as programs]
   [espalier.model.error :as error]
   [espalier.model.ugen :as ugen]
   [espalier.servers :as servers]
   [espalier.synthdef :as synthdef])
  (:import
   (espalier.model.graph Output UGen)
   (espalier.model.ugen Spec)
   (java.io DataInputStream File)
   (java.net DatagramSocket)
   (java.nio.charset StandardCharsets)
   (java.nio.file Files)
   (java.util Arrays)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

;; --- sclang

(defn- script
  "Compiles each text of a file, apart by form feeds, and writes for each the bytes, or an
  error, to another."
  [in out]
  (str "(
var out = File(" (pr-str (str out)) ", \"wb\");
var put = { |text| out.putInt32(text.size); out.putString(text) };
put.value(Main.version);
File.readAllString(" (pr-str (str in)) ").split(12.asAscii).do { |source|
	var message, bytes = try { source.interpret.asBytes } { |e| message = e.errorString; nil };
	UGen.buildSynthDef = nil;
	if (bytes.isNil) { out.putInt32(-1); put.value(message) } { out.putInt32(bytes.size); out.write(bytes) };
};
out.close;
0.exit;
)
"))

(defn- free-port [] (with-open [socket (DatagramSocket. 0)] (.getLocalPort socket)))

(defn- run-sclang!
  "Runs a script in sclang, without a display, the user's settings or a sound card. Returns
  what it printed."
  [^File folder script-text]
  (let [file    (io/file folder "script.scd")
        printed (io/file folder "printed.txt")
        builder (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String ["sclang" "-u" (str (free-port)) "-D" (str file)]))]
    (spit file script-text)
    (doto (.environment builder)
      (.put "QT_QPA_PLATFORM" "offscreen")
      (.put "QTWEBENGINE_DISABLE_SANDBOX" "1")
      (.put "HOME" (str folder))
      (.put "XDG_CONFIG_HOME" (str folder))
      (.put "XDG_DATA_HOME" (str folder))
      (.put "XDG_RUNTIME_DIR" (str folder)))
    (let [process (.start (doto builder
                            (.redirectErrorStream true)
                            (.redirectInput (File. "/dev/null"))
                            (.redirectOutput printed)))]
      (try
        (when-not (.waitFor process 300 TimeUnit/SECONDS)
          (throw (ex-info "sclang did not end within 300 s" {:printed (slurp printed)})))
        (finally (.destroyForcibly process)))
      (slurp printed))))

(defn- delete-all! [^File file]
  (run! delete-all! (.listFiles file))
  (.delete file))

(defn- read-text [^DataInputStream in]
  (String. (.readNBytes in (.readInt in)) StandardCharsets/UTF_8))

(defn sclang-compiled
  "What sclang makes of texts: `{:version text, :results [bytes or {:error text} …]}`."
  [texts]
  (let [folder (.toFile (Files/createTempDirectory "espalier-sclang" (make-array java.nio.file.attribute.FileAttribute 0)))
        in     (io/file folder "in.scd")
        out    (io/file folder "out")]
    (try
      (.setReadable folder false false)
      (.setReadable folder true true)
      (spit in (str/join "\f" texts))
      (let [printed (run-sclang! folder (script in out))]
        (when-not (.exists out)
          (throw (ex-info "sclang wrote nothing" {:printed printed})))
        (with-open [in (DataInputStream. (io/input-stream out))]
          {:version (read-text in)
           :results (mapv (fn [_]
                            (let [n (.readInt in)]
                              (if (neg? n) {:error (read-text in)} (.readNBytes in n))))
                          texts)}))
      (finally (delete-all! folder)))))

(defn- installed? []
  (some #(.canExecute (io/file % "sclang")) (str/split (or (System/getenv "PATH") "") (re-pattern File/pathSeparator))))

;; --- Known differences

(defn- without-minus-zero
  "sclang has 0.0 and -0.0 as one constant or as two; here -0.0 is as 0.0."
  [d]
  (let [constants (mapv (fn [x] (+ 0.0 (double x))) (:constants d))
        value     (fn [[kind k :as input]] (if (= :constant kind) [:constant (nth constants k)] input))]
    (-> d
        (assoc :constants (distinct constants))
        (update :ugens (partial map (fn [u] (update u :inputs (partial map value))))))))

(defn- normal
  "A SynthDef without what means nothing in sclang's: the order of variants."
  [d]
  (update (without-minus-zero d) :variants (partial sort-by first)))

(defn- loses-users?
  "Whether sclang may lose count of who reads a UGen, and then leave out what is read: its
  list of readers is full where they are 4, 8, 16 …, and what takes the place of one of
  them, a sum or product that is joined with another, is not noted."
  [ugens]
  (let [readers (java.util.IdentityHashMap.)]
    (doseq [^UGen u ugens
            x       (.inputs u)
            :let    [from (cond (instance? UGen x) x, (instance? Output x) (.ugen ^Output x))]
            :when   from]
      (.put readers from (conj (get readers from #{}) u)))
    (some (fn [those] (and (<= 4 (count those)) (= 1 (Long/bitCount (count those)))
                           (some (fn [^UGen u] (#{"BinaryOpUGen" "UnaryOpUGen" "Sum3"} (.class-name ^Spec (.spec u)))) those)))
          (vals readers))))

(defn- subtracts-itself?
  "Whether a negation is subtracted from itself, of which sclang leaves out too much."
  [ugens]
  (some (fn [^UGen u]
          (let [[a b] (.inputs u)]
            (and (= "BinaryOpUGen" (.class-name ^Spec (.spec u))) (identical? a b)
                 (instance? UGen a) (= "UnaryOpUGen" (.class-name ^Spec (.spec ^UGen a))))))
        ugens))

(defn- told [d]
  (str (synthdef/text d) "  constants " (pr-str (:constants d)) "\n"))

(defn- compiled
  "Our SynthDef of a program, or the error that it is."
  [program]
  (try (programs/compiled program)
       (catch clojure.lang.ExceptionInfo e
         (if (error/code e) e (throw e)))))

(defn- compared
  "What came of a program: `[:same]`, `[:refused]` by both, `[:known]` for a defect of
  sclang's (one more: where it has taken -0.0 for 0.0, it may not find it again), or
  `[:different data]`."
  [program ours theirs]
  (let [different (fn [ours theirs] [:different {:name (:name program), :program (programs/text program), :ours ours, :theirs theirs}])]
    (cond
      (and (instance? Throwable ours) (map? theirs))                                 [:refused]
      (instance? Throwable ours)                                                     (different (ex-message ours) "compiled")
      (and (map? theirs) (str/includes? (:error theirs) "constant not found: -0.0")) [:known]
      (map? theirs)                                                                  (different "compiled" (:error theirs))
      (Arrays/equals (synthdef/encode ours) ^bytes theirs)                           [:same]
      :else
      (let [parsed (try (first (synthdef/parse theirs)) (catch clojure.lang.ExceptionInfo _ nil))]
        (cond
          (and parsed (= (normal ours) (normal parsed)))                        [:same]
          ((some-fn loses-users? subtracts-itself?) (programs/ugens program)) [:known]
          :else                                                                 (different (told ours) (if parsed (told parsed) "a file that is none")))))))

;; --- The test

(defn check
  "Compiles the programs of some seeds in both ways. Returns `:outcomes`, how often there
  was which, `:differences`, `:functions` that were called, and sclang's `:version`."
  [seeds]
  (let [all                       (mapv programs/program seeds)
        all                       (into all (map programs/refused-program) (filter :refused all))
        theirs                    (future (sclang-compiled (map programs/text all)))
        ours                      (mapv compiled all)
        {:keys [version results]} @theirs
        outcomes                  (mapv compared all ours results)]
    {:version     version
     :outcomes    (frequencies (map first outcomes))
     :differences (keep second outcomes)
     :functions   (into #{} (mapcat programs/functions-of) all)}))

(defn- same-as-sclang [seeds]
  (if-not (installed?)
    (servers/skip! "There is no sclang here: no graph was compared with its.")
    (let [{:keys [version outcomes differences functions]} (check seeds)]
      (if-not (str/starts-with? version "3.13.")
        (servers/skip! (str "sclang is " version " here, not 3.13: no graph was compared with its."))
        (do
          (is (= [] (take 3 differences)) (str (count differences) " differ: " outcomes))
          (is (< (get outcomes :known 0) (* 0.01 (count seeds))) "rare")
          (testing "each UGen was among them"
            (is (= #{} (set/difference (into #{} (map str) (ugen/specs)) functions #{"max-local-bufs:ir"})))))))))

(deftest random-graphs-are-the-bytes-of-sclang
  (same-as-sclang (range 1000)))

(deftest ^:soak more-random-graphs-are-the-bytes-of-sclang
  (let [seed (System/nanoTime)]
    (println "seed" seed)
    (same-as-sclang (range seed (+ seed 5000)))))

(ns espalier.picture-test
  "Pictures: the same value is the same text, all of it is well-formed and within its frame,
  whatever names and trees there are; and of what a server has."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.core :as sc]
   [espalier.env :as env]
   [espalier.instruments :as instruments]
   [espalier.model.drawing :as drawing]
   [espalier.model.envelope :as envelope]
   [espalier.model.envelope-picture :as envelope-picture]
   [espalier.model.graph-picture :as graph-picture]
   [espalier.model.nesting :as nesting]
   [espalier.model.synthdef :as model]
   [espalier.model.tree-picture :as tree-picture]
   [espalier.model.ugen-graph :as ugen-graph]
   [espalier.picture :as picture]
   [espalier.servers :as servers]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.tree :as tree]
   [espalier.trees :as trees]
   [espalier.ugens :refer [env-gen:ar out:ar record-buf:ar sin-osc:ar]])
  (:import
   (java.awt GraphicsEnvironment)
   (java.awt.image BufferedImage)
   (java.io ByteArrayInputStream File StringReader)
   (java.nio.file Files)
   (java.util Base64)
   (javax.imageio ImageIO)
   (javax.sound.sampled AudioFileFormat$Type AudioFormat AudioInputStream AudioSystem)
   (javax.xml.parsers DocumentBuilderFactory)
   (org.w3c.dom Document Element)
   (org.xml.sax InputSource)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

;; ---- golden files

(def ^:private before
  [[:group {:key :mix}
    [:synth {:key :low, :def :organ} {:freq 110, :amp 0.1, :drawbars [5 4 8]}]
    [:synth {:key :pad, :def :pad}]
    [:group {:key :old} [:synth {:def :bell}]]]
   [:synth {:key :lead, :def :lead} {:freq 440}]])

(def ^:private after
  [[:synth {:key :lead, :def :lead, :paused true} {:freq 440}]
   [:group {:key :mix}
    [:synth {:key :low, :def :organ} {:freq 220}]
    [:synth {:key :pad, :def :pad-2}]]
   [:group {:key :fx, :parallel true} [:synth {:key :reverb, :def :reverb} {:mix "c5"}]]])

(def ^:private told
  "A tree as a query returns it."
  {:id 0, :kind :group, :complete? false
   :children [{:id 1, :kind :group, :children [{:id 1000, :kind :synth, :def "<&\">", :paused true, :controls {"freq" 440.0, "in" "a3"}}]}
              {:id 2, :kind :group, :children []}]})

(def ^:private golden
  "What each golden file holds."
  {"tree.svg"        #(picture/svg told)
   "tree.dot"        #(picture/dot told)
   "change.svg"      #(picture/svg after {:before before})
   "change.dot"      #(picture/dot after {:before before})
   "synthdef.svg"    #(picture/svg synthdef/default)
   "synthdef.dot"    #(picture/dot synthdef/default)
   "envelope.svg"    #(picture/svg (env/adsr 0.05 0.2 0.5 1) {:theme :dark})
   "wave.svg"        #(picture/svg [0 0.5 1 0.5 0 -0.5 -1 -0.5] {:channel-count 2, :sample-rate-hz 8, :width-px 300})})

(defn write-golden!
  "Writes the golden files anew. Look at them before they are kept."
  []
  (doseq [[file f] golden] (spit (io/file "test/golden/pictures" file) (f))))

(deftest the-same-value-is-the-same-text
  (doseq [[file f] golden]
    (testing file
      (is (= (slurp (io/file "test/golden/pictures" file)) (f))))))

;; ---- any tree, any name

(defn- parsed ^Document [^String xml]
  (.parse (.newDocumentBuilder (DocumentBuilderFactory/newInstance)) (InputSource. (StringReader. xml))))

(defn- texts
  "All that stands in the texts of an SVG."
  [svg]
  (let [nodes (.getElementsByTagName (parsed svg) "text")]
    (map (fn [i] (.getTextContent (.item nodes i))) (range (.getLength nodes)))))

(def ^:private any-name
  (gen/one-of [(gen/elements ["<&\">" "]]>" "\\N{}|<>" "a\nb\tc" "\u0000\u001b" "\ud83c" "🎹 é" "" (apply str (repeat 300 \w))]) gen/string]))

(def ^:private any-tree
  "A tree of as many as 200 nodes, with names of all kinds."
  (gen/let [tree  (trees/tree {:max-nodes 200})
            names (gen/vector any-name 1 8)]
    (nesting/tree
      (map-indexed (fn [i [node p]]
                     (let [some-name (nth names (mod i (count names)))]
                       [(cond-> (assoc node :id i)
                          (= :synth (:kind node)) (assoc :def some-name, :controls (assoc {"x" [1.0 "c1"]} some-name 1.0))
                          (even? i)               (assoc :key some-name))
                        p]))
                   (nesting/rows tree)))))

(defspec any-tree-is-well-formed 20
  (prop/for-all [tree any-tree, dark gen/boolean]
    (some? (parsed (picture/svg tree {:theme (if dark :dark :auto)})))))

(defspec any-name-is-one-text-of-graphviz 20
  (prop/for-all [tree any-tree]
    (let [dot (picture/dot tree)]
      (and (not (re-find #"[\u0000-\u0009\u000b-\u001f]" dot))
           ;; Outside of what is quoted there are only words, numbers and signs.
           (every? #(re-matches #"[\w\s{}\[\]=,;:>.-]*" %) (str/split dot #"\"(?:[^\"\\]|\\.)*\""))))))

(defspec any-change-is-well-formed-and-marked 20
  (prop/for-all [[a b] (trees/pair {})]
    (let [edits (tree/diff a b)
          words (set (mapcat #(str/split % #"\s+") (texts (picture/svg edits {:before a}))))]
      (every? #(contains? words %)
              (keep (fn [{:keys [edit]}] ({:free "freed", :add "added", :move "moved", :set "set", :replace "replaced"} edit)) edits)))))

(defn- right-edges
  "How far to the right shapes reach."
  [shapes]
  (map (fn [[kind {:keys [class x width r anchor d]} content]]
         (case kind
           (:rect :image) (+ (double x) (double width))
           :circle        (+ (double x) (double r))
           :path          (reduce max 0 (map #(nth % (- (count %) 2) 0) d))
           :text          (case (or anchor :start)
                            :start (+ (double x) (drawing/text-width class content))
                            x)))
       shapes))

(defspec nothing-is-beyond-the-frame 25
  (prop/for-all [tree any-tree]
    (let [{:keys [width shapes]} (tree-picture/picture tree {})]
      (every? #(<= (double %) (double width)) (right-edges shapes)))))

(deftest what-is-left-out-is-told
  (let [many {:kind :group, :id 1, :children (mapv (fn [i] {:kind :synth, :id (+ 1000 i), :def "bell"}) (range 50))}]
    (is (some #{"… 10 more"} (texts (picture/svg many))))
    (is (some #{"… 9 more"} (texts (picture/svg (update many :children pop)))))
    (is (not-any? #(str/includes? % "more") (texts (picture/svg (update many :children subvec 0 41)))) "none is left out alone")
    (is (some #{"… 50 nodes"} (texts (picture/svg many {:depth 0}))))
    (is (some #{"no nodes"} (texts (picture/svg []))))))

(deftest a-tree-may-be-deeper-than-the-stack
  (let [deep (nesting/tree (mapv (fn [i] [{:kind :group, :id i} (dec (long i))]) (range 20000)))]
    (is (some #{"… 19975 nodes"} (texts (picture/svg deep))))))

;; ---- SynthDefs

(defn- overlap? [a b]
  (let [[ax ay aw ah] a, [bx by bw bh] b]
    (and (< ax (+ bx bw)) (< bx (+ ax aw)) (< ay (+ by bh)) (< by (+ ay ah)))))

(defn- boxes [d]
  (keep (fn [[kind {:keys [class x y width height]}]] (when (and (= :rect kind) (#{:ugen :pill :pill-ar :pill-ir} class)) (mapv double [x y width height])))
        (:shapes (graph-picture/picture (ugen-graph/graph d)))))

(def ^:private all-defs
  (into (vec (vals (filter (fn [[_ x]] (= :synthdef (:kind x))) (update-vals (ns-publics 'espalier.instruments) deref))))
        (mapcat (fn [^File f] (model/parse (Files/readAllBytes (.toPath f)))))
        (filter #(str/ends-with? (str %) ".scsyndef") (file-seq (io/file "test/golden/synthdefs")))))

(deftest boxes-of-ugens-are-apart
  (is (< 30 (count all-defs)))
  (doseq [d all-defs :let [all (vec (boxes d))]]
    (testing (:name d)
      (is (empty? (for [i (range (count all)), j (range i), :when (overlap? (all i) (all j))] [i j])))
      (is (= (count all) (+ (count (model/controls d)) (count (remove #(model/control-classes (:class %)) (:ugens d)))))
          "each control and each UGen has one"))))

(deftest wires-are-what-the-file-says
  (doseq [d all-defs :let [{:keys [nodes wires]} (ugen-graph/graph d)]]
    (testing (:name d)
      (is (every? (fn [{[a output] :from, [b row] :to}] (and (< (long a) (long b)) (get-in nodes [a :outputs output]) (get-in nodes [b :rows row :wired]))) wires))
      (is (= (count wires)
             (count (for [u (:ugens d), :when (not (model/control-classes (:class u))), [kind] (:inputs u), :when (= :ugen kind)] kind)))))))

(defsynth ^:private beep [freq 440, amp 0.1]
  (out:ar 0 (* amp (sin-osc:ar freq))))

(deftest what-a-node-shows
  (is (= {:name     "beep"
          :variants []
          :nodes    [{:kind :control, :title "freq", :rate :control, :value "440", :note nil, :rows [], :outputs [0]}
                     {:kind :control, :title "amp", :rate :control, :value "0.1", :note nil, :rows [], :outputs [0]}
                     {:kind :ugen, :title "SinOsc", :rate :audio, :outputs [0], :rows [{:name "freq", :wired true} {:name "phase", :value "0"}]}
                     {:kind :ugen, :title "*", :rate :audio, :outputs [0], :rows [{:name "a", :wired true} {:name "b", :wired true}]}
                     {:kind :ugen, :title "Out", :rate :audio, :outputs [], :rows [{:name "bus", :value "0"} {:name "channels-array[0]", :wired true}]}]
          :wires    #{{:from [0 0], :to [2 0], :rate :control}
                      {:from [1 0], :to [3 0], :rate :control}
                      {:from [2 0], :to [3 1], :rate :audio}
                      {:from [3 0], :to [4 1], :rate :audio}}}
         (update (ugen-graph/graph beep) :wires set))))

;; ---- samples

(defn- image ^BufferedImage [^bytes png] (ImageIO/read (ByteArrayInputStream. png)))

(defn- embedded
  "The images in an SVG, as files."
  [svg]
  (let [nodes (.getElementsByTagName (parsed svg) "image")]
    (map (fn [i] (image (.decode (Base64/getDecoder) ^String (subs (.getAttribute ^Element (.item nodes i) "href") (count "data:image/png;base64,")))))
         (range (.getLength nodes)))))

(defn- sine ^floats [hz rate-hz n]
  (float-array (map (fn [i] (Math/sin (/ (* 2 Math/PI (double hz) (long i)) (double rate-hz)))) (range n))))

(defn- brightest-row [^BufferedImage image column]
  (let [light (fn [row] (let [rgb (.getRGB image (int column) (int row))] (+ (bit-and 255 rgb) (bit-and 255 (bit-shift-right rgb 8)) (bit-and 255 (bit-shift-right rgb 16)))))]
    (apply max-key light (range (.getHeight image)))))

(deftest a-spectrogram-is-bright-where-the-tone-is
  (let [tones (float-array (concat (sine 1000 44100 22050) (sine 5000 44100 22050)))
        ^BufferedImage picture (first (embedded (picture/svg tones {:as :spectrogram, :sample-rate-hz 44100, :frequency-axis :linear})))
        hz    (fn [part] (* 22050.0 (- 1.0 (/ (+ 0.5 (double (brightest-row picture (* part (.getWidth picture))))) (.getHeight picture)))))]
    (is (< 900 (hz 1/4) 1100))
    (is (< 4900 (hz 3/4) 5100))))

(deftest pixels-are-drawn-without-a-screen
  (doseq [x [before beep (env/perc) (sine 3 100 100)]]
    (let [^String svg (picture/svg x)
          [_ width height] (re-find #"width=\"(\d+)\" height=\"(\d+)\"" svg)
          drawn (image (picture/png x {:scale 1}))]
      (is (= [(parse-long width) (parse-long height)] [(.getWidth drawn) (.getHeight drawn)]))
      (is (= -1 (.getRGB drawn 0 0)) "the page is white")
      (is (< 10 (count (set (for [x (range (.getWidth drawn)), y (range 0 (.getHeight drawn) 2)] (.getRGB drawn (int x) (int y))))))
          "and there is something on it"))))

(deftest a-page-fills-the-last-pixels
  (doseq [scale [0.3 1.5 1.99]
          :let [drawn (image (picture/png [:synth {:def :odd-width}] {:scale scale}))
                right (dec (.getWidth drawn)), bottom (dec (.getHeight drawn))]]
    (is (= [-1 -1] [(.getRGB drawn right 0) (.getRGB drawn 0 bottom)]))))

(deftest a-recording-is-drawn
  (let [file (File/createTempFile "take" ".wav")]
    (try
      (AudioSystem/write (AudioInputStream. (ByteArrayInputStream. (byte-array 96000)) (AudioFormat. 48000 16 2 true false) 24000)
                         AudioFileFormat$Type/WAVE file)
      (let [svg (picture/svg file)]
        (is (= [(.getName file) "0.5 s"] [(first (texts svg)) (last (texts svg))])))
      (is (= 2 (count (embedded (picture/svg (str file) {:as :spectrogram, :channel 1})))) "the sound and the colours")
      (spit file "no sound")
      (is (= :truncated-wav (servers/error-of #(picture/svg file))))
      (spit file "this is no recording at all")
      (is (= :not-a-wav (servers/error-of #(picture/svg file))))
      (finally (.delete file)))))

(deftest samples-that-are-no-numbers-are-told
  (is (some #{"2 samples are no number, drawn as 0."} (texts (picture/svg (float-array [0 Float/NaN 1 Float/POSITIVE_INFINITY])))))
  (is (some? (parsed (picture/svg (float-array 0))))))

;; ---- the face

(deftest errors-name-what-is-wrong
  (doseq [[code f] {:no-picture     #(picture/svg nil)
                    :invalid-tree   #(picture/svg [:grup])
                    :no-such-file   #(picture/svg "no-such.wav")
                    :unknown-option #(picture/svg before {:thme :dark})
                    :invalid-option #(picture/svg before {:theme :drak})
                    :no-such-node   #(picture/svg [{:edit :free, :node :nobody}] {:before before})}]
    (is (= code (servers/error-of f))))
  (doseq [opts [{:window-size 1000} {:width-px 3} {:channel 0.5} {:low-hz 0} {:low-hz 500, :high-hz 400} {:sample-rate-hz 0} {:channel-count 0}]]
    (is (= :invalid-option (servers/error-of #(picture/svg [0 1] (assoc opts :as :spectrogram)))) (str opts)))
  (is (= :no-such-channel (servers/error-of #(picture/svg [0 1] {:as :spectrogram, :channel 1}))))
  (is (= :unknown-option (servers/error-of #(picture/svg before {:title "tree"}))) "one of another kind of picture")
  (is (= :no-picture (servers/error-of #(picture/svg (tree/diff before after)))))
  (is (= :no-picture (servers/error-of #(picture/dot (env/perc)))))
  (is (= :no-picture (servers/error-of #(picture/svg (env/perc (sin-osc:ar 1))))))
  (is (= :invalid-option (servers/error-of #(picture/save! before "tree.gif")))))

(deftest files-are-what-their-names-say
  (let [file (File/createTempFile "picture" ".svg")]
    (try
      (is (= file (picture/save! before file)))
      (is (= (picture/svg before) (slurp file)))
      ;; A desktop would open a window.
      (when (GraphicsEnvironment/isHeadless)
        (doseq [show [picture/show sc/show]
                :let [^File shown (show before {:ids false})]]
          (is (= (picture/svg before {:ids false}) (slurp shown)))
          (.delete shown)))
      (finally (.delete file)))))

(deftest of-what-a-server-has
  (servers/each-kind [(first servers/kinds)] {}
    (fn [s]
      (sc/add-synthdefs! s instruments/organ)
      (sc/reconcile! s [:group {:key :mix} [:synth {:key :low, :def :organ} {:freq 110}]])
      (testing "its tree"
        (is (some #(str/includes? % ":mix") (texts (picture/svg s))))
        (is (= ["group  :mix" "organ  :low"] (remove #(re-find #"^\d" %) (take 3 (texts (picture/svg (sc/node s :mix) {:controls false})))))))
      (testing "a plan and a report"
        (let [wanted [:group {:key :mix} [:synth {:key :low, :def :organ} {:freq 220}] [:synth {:key :high, :def :organ} {:freq 440}]]
              plan   (sc/plan s wanted)]
          (is (some #(str/includes? % "110 → 220") (texts (picture/svg plan))))
          (is (= (texts (picture/svg plan)) (texts (picture/svg (sc/reconcile! s wanted)))))))
      (testing "a buffer"
        (let [b (sc/add-buffer! s {:samples [0 1 0 -1 0 1 0 -1], :channel-count 2})]
          (is (= ["Buffer 0"] (take 1 (texts (picture/svg b)))))))
      (testing "control buses"
        (let [buses (sc/add-bus-group! s {:count 2})
              _     (sc/set-buses! buses [0.25 -0.5])
              seen  (picture/bus-samples buses {:duration-ms 20, :interval-ms 5})]
          (is (= [[0.25 0.25 0.25 0.25 0.25] [-0.5 -0.5 -0.5 -0.5 -0.5]] (mapv vec (:channels seen))))
          (is (= ["Buses from 0" "20 ms"] [(first (texts (picture/svg seen))) (last (texts (picture/svg seen)))]))))
      (testing "what is asked in vain"
        (is (= :no-picture (servers/error-of #(picture/svg (sc/add-bus! s)))))))))

(def ^:private shapes [:step :lin :exp :sin :wel -4 5 :sqr :cub :hold])

(deftest envelopes-are-drawn-as-the-server-plays-them
  (servers/each-kind [(first servers/kinds)] {}
    (fn [s]
      (let [frames   4410
            buffer   (sc/add-buffer! s {:frame-count frames, :channel-count (count shapes)})
            recorder (synthdef/synthdef "recorder" '[buffer 0]
                                        (fn [buffer]
                                          (record-buf:ar (mapv #(env-gen:ar (env/envelope [0.1 1 1] [0.1 1] %)) shapes) buffer :loop 0 :done-action :free-self)))
            ended    (promise)]
        (sc/on-osc! s "/n_end" (fn [_] (deliver ended true)) {:once true})
        (sc/add-synthdefs! s recorder)
        (sc/add-synth! s recorder {:buffer buffer})
        (is (deref ended 5000 false))
        (let [^floats heard (sc/get-sample-range buffer 0 (* frames (count shapes)))]
          (doseq [[c shape] (map-indexed vector shapes)]
            (testing shape
              (is (every? (fn [i]
                            (< (abs (- (aget heard (+ (long c) (* (long i) (count shapes))))
                                       (double (envelope-picture/level (envelope/shape-number shape) (if (number? shape) shape 0) 0.1 1.0 (/ (long i) (double frames))))))
                               0.002))
                          (range 10 (- frames 10) 20))))))))))

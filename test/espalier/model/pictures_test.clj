(ns espalier.model.pictures-test
  "What pictures are made of: layouts, curves, ticks, widths of texts, marks."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.drawing :as drawing]
   [espalier.model.envelope-picture :as envelope-picture]
   [espalier.model.layers :as layers]
   [espalier.model.marks :as marks]
   [espalier.model.outline]
   [espalier.model.png :as png]
   [espalier.model.svg :as svg]
   [espalier.model.ugen :as ugen])
  (:import
   (java.io ByteArrayInputStream)
   (javax.imageio ImageIO)))

(set! *warn-on-reflection* true)

(deftest docstrings-are-true
  (doseq [n '[espalier.model.drawing espalier.model.envelope-picture espalier.model.layers espalier.model.outline espalier.model.svg]
          [v-name v] (ns-publics n)
          [_ code result] (re-seq #"(?m)^ +(\([^\n]*)(?:\n +| +);=> (.*)$" (or (:doc (meta v)) ""))]
    (testing (str n "/" v-name)
      (is (= (read-string result) (binding [*ns* (the-ns n)] (eval (read-string code))))))))

;; ---- layouts

(def ^:private any-graph
  "Boxes, and wires from each to boxes behind it."
  (gen/let [sizes (gen/vector (gen/tuple (gen/choose 20 120) (gen/choose 20 120)) 1 40)
            ends  (gen/vector (gen/tuple gen/nat gen/nat) 0 80)]
    (let [n (count sizes)]
      [(mapv (fn [[w h]] {:width w, :height h}) sizes)
       (vec (for [[a b] ends, :let [a (mod a n), b (mod b n)], :when (not= a b)]
              {:from [(min a b) 10], :to [(max a b) 15]}))])))

(defspec boxes-are-apart-and-wires-lead-on 60
  (prop/for-all [[boxes wires] any-graph]
    (let [{:keys [width height places routes]} (layers/layout boxes wires)
          rows (mapv (fn [[x y] {w :width, h :height}] [x y (+ x w) (+ y h)]) places boxes)]
      (and (every? (fn [[x y right bottom]] (and (<= -1e-6 x) (<= -1e-6 y) (<= right (+ 1e-6 width)) (<= bottom (+ 1e-6 height)))) rows)
           (empty? (for [i (range (count rows)), j (range i)
                         :let [[ax ay ar ab] (rows i), [bx by br bb] (rows j)]
                         :when (and (< ax br) (< bx ar) (< (+ 1e-6 ay) bb) (< (+ 1e-6 by) ab))]
                     [i j]))
           (every? (fn [points] (apply <= (map first points))) routes)
           (every? true? (map (fn [{[a ay] :from, [b by] :to} points]
                                (and (= [(nth (rows a) 2) (+ (second (places a)) ay)] (first points))
                                     (= [(first (places b)) (+ (second (places b)) by)] (peek points))
                                     (even? (count (rest points)))))
                              wires routes))))))

(deftest wires-do-not-cross-where-they-need-not
  ;; Two chains whose boxes were made in turns.
  (let [boxes  (vec (repeat 6 {:width 50, :height 20}))
        {:keys [places]} (layers/layout boxes [{:from [0 5], :to [3 5]} {:from [1 5], :to [2 5]} {:from [3 5], :to [4 5]} {:from [2 5], :to [5 5]}])
        above? (fn [a b] (< (second (places a)) (second (places b))))]
    (is (= (above? 0 1) (above? 3 2) (above? 4 5)))))

(deftest a-large-graph-is-laid-out
  (let [n 400
        {:keys [places]} (layers/layout (vec (repeat n {:width 60, :height 40}))
                                        (vec (for [i (range 1 n)] {:from [(quot i 2) 10], :to [i 10]})))]
    (is (= n (count places)))))

;; ---- envelopes

(deftest segments-begin-and-end-at-their-levels
  (doseq [[shape-name shape] ugen/envelope-shapes, [a b] [[0.2 1.0] [1.0 0.2]], curve [-4.0 3.0]
          :when (not (#{:step :hold} shape-name))]
    (testing [shape-name a b curve]
      (is (< (abs (- a (double (envelope-picture/level shape curve a b 0.0)))) 1e-9))
      (is (< (abs (- b (double (envelope-picture/level shape curve a b 1.0)))) 1e-9)))))

(deftest shapes-are-those-of-the-server
  (are [shape curve a b middle] (< (abs (- middle (double (envelope-picture/level shape curve a b 0.5)))) 1e-9)
    0 0  0.0 1.0 1.0
    8 0  0.0 1.0 0.0
    2 0  0.01 1.0 0.1
    3 0  0.0 1.0 0.5
    4 0  0.0 1.0 (Math/sin (/ Math/PI 4))
    5 0  0.0 1.0 0.5
    5 -4 0.0 1.0 (/ (- 1 (Math/exp -2)) (- 1 (Math/exp -4)))
    6 0  0.0 1.0 0.25
    7 0  0.0 1.0 0.125))

;; ---- marks

(defn- marked [tree] (into {} (map (juxt :key (comp :mark :marks))) (tree-seq :children :children tree)))

(deftest nodes-are-marked-by-what-becomes-of-them
  (let [synth (fn [k] {:kind :synth, :key k, :def "bell", :controls {"freq" 220.0}})
        [before after] (marks/before-and-after
                         {:kind :group, :id -1, :children [{:kind :group, :key :old, :children [(synth :inner)]} (synth :a) (synth :b) (synth :c)]}
                         [{:edit :free, :node :old}
                          {:edit :add, :node :new, :kind :synth, :def "pad", :controls {}, :to [:tail -1]}
                          {:edit :move, :node :a, :to [:after :b]}
                          {:edit :set, :node :a, :controls {"freq" 330.0}}
                          {:edit :set, :node :b, :controls {"amp" 0.5}}])]
    (is (= {nil nil, :old :freed, :inner :freed, :a :moved, :b :changed, :c nil} (marked before)))
    (is (= {nil nil, :b :changed, :a :moved, :c nil, :new :added} (marked after)))
    (is (= [{"freq" nil} {"freq" 220.0}]
           (map (fn [tree] (some #(when (= :a (:key %)) (:changed (:marks %))) (:children tree))) [before after]))
        "what it was stands behind it")))

;; ---- texts, numbers, pixels

(deftest names-stay-what-they-are
  (is (= "&lt;&amp;&quot;&gt; \ufffd \ufffd 🎹" (svg/escape (str "<&\">\t\u0000\n\ud83c 🎹"))))
  (is (= "ab…" (drawing/cut "abcd" 3)))
  (is (= "a…" (drawing/cut "a🎹bcd" 3)) "no half of a character"))

(deftest numbers-are-short
  (are [x text] (= text (drawing/number-text x))
    0.1 "0.1", 440 "440", 1234567.0 "1234567", 1e12 "1e12", 1e-7 "1e-7", ##NaN "NaN", ##-Inf "-∞", -0.00012 "-0.00012", 3.14159 "3.142"))

(deftest ticks-are-round-and-within
  (are [low high n ticks] (= ticks (drawing/ticks low high n))
    0 1 5     [0.0 0.2 0.4 0.6 0.8 1.0]
    -1 1 3    [-1.0 0.0 1.0]
    0 44100 4 [0.0 20000.0 40000.0]
    3 3 4     [3.0]))

(deftest a-png-holds-its-pixels
  (let [colours [0x000000 0xff8000 0x0000ff]
        image   (ImageIO/read (ByteArrayInputStream. (png/png (byte-array [0 1 2, 2 1 0]) 3 2 colours)))]
    (is (= [[0x000000 0xff8000 0x0000ff] [0x0000ff 0xff8000 0x000000]]
           (for [y (range 2)] (for [x (range 3)] (bit-and 0xffffff (.getRGB image (int x) (int y)))))))))

(deftest what-no-class-uses-is-not-in-the-style
  (let [svg (svg/svg {:width 10, :height 10, :title "A dot", :shapes [[:circle {:class :dot, :x 5, :y 5, :r 2}]]})]
    (is (str/includes? svg ".dot{"))
    (is (not (str/includes? svg ".synth{")))
    (is (= 2 (count (re-seq #"\.dot\{" svg))) "light and dark")
    (is (= 1 (count (re-seq #"\.dot\{" (svg/svg {:width 10, :height 10, :title "A dot", :shapes [[:circle {:class :dot, :x 5, :y 5, :r 2}]]} {:theme :dark})))))))

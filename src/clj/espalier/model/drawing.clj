(ns espalier.model.drawing
  "Pictures as values: what `espalier.model.svg` writes as text and
  `espalier.runtime.raster` as pixels.

      {:width 200, :height 60, :title \"One synth\"
       :shapes [[:rect {:class :synth, :x 10, :y 10, :width 180, :height 40, :radius 6}]
                [:text {:class :name, :x 20, :y 34} \"bell\"]
                [:path {:class :line, :d [[:M 10 55] [:L 190 55]]}]
                [:circle {:class :dot, :x 100, :y 55, :r 3}]
                [:image {:x 10, :y 10, :width 180, :height 40, :columns 90, :rows 20,
                         :pixels bytes, :colours [0x000000 0xffffff]}]]}

  Lengths are pixels, y goes down. The text of `:text` is a string, or runs one behind
  the other, `[[:control \"freq \"] [:value \"440\"]]`; its `:anchor` is :start, :middle or
  :end. A path is of :M, :L, :C and :Z. An image has a byte for each pixel, the number of its
  colour, row by row from the top. A `:class` is one of `styles`, and nothing else says what a shape looks
  like, so that a picture has a light and a dark look."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(def colours
  "The colours by their meaning: `[light dark]`."
  {:page    ["#ffffff" "#16181d"]
   :ink     ["#1f2328" "#e6e8eb"]
   :faint   ["#667080" "#98a1ad"]
   :line    ["#c4cad3" "#474e59"]
   :grid    ["#e6e9ee" "#2a2f37"]
   :group   ["#f4f6f9" "#1e2228"]
   :group-2 ["#e9edf3" "#282d35"]
   :card    ["#ffffff" "#31373f"]
   :pill    ["#e7effd" "#223250"]
   :key     ["#7048e8" "#b9a2fd"]
   :synth   ["#2f6fdb" "#74a9ff"]
   :audio   ["#c2410c" "#fb9a55"]
   :control ["#2f6fdb" "#74a9ff"]
   :scalar  ["#667080" "#98a1ad"]
   :demand  ["#2b8a3e" "#69db7c"]
   :added   ["#2b8a3e" "#69db7c"]
   :freed   ["#d1242f" "#ff7b72"]
   :moved   ["#2f6fdb" "#74a9ff"]
   :changed ["#a85400" "#f0b040"]})

(def font-families
  "What is asked for, the first that is there."
  ["Helvetica Neue" "Helvetica" "Arial" "DejaVu Sans" "sans-serif"])

(def styles
  "What shapes of each class look like: `:fill` and `:stroke`, of `colours`; `:line-width`
  and `:dash` in pixels; `:opacity`, 0 to 1; of texts `:size` in pixels and whether `:bold`."
  (merge
    {:page     {:fill :page}
     :group    {:fill :group, :stroke :line}
     :group-2  {:fill :group-2, :stroke :line}
     :parallel {:stroke :key, :dash [6 3], :line-width 1.5}
     :synth    {:fill :card, :stroke :line}
     :bar      {:fill :synth}
     :veil     {:fill :page, :opacity 0.45}
     :guide    {:stroke :line}
     :grid     {:stroke :grid}
     :axis     {:stroke :line}
     :dashed   {:stroke :faint, :dash [4 3]}
     :frame    {:stroke :line}
     :wave     {:fill :synth, :stroke :synth, :line-width 0.75}
     :curve    {:stroke :synth, :line-width 2}
     :area     {:fill :synth, :opacity 0.12}
     :dot      {:fill :page, :stroke :synth, :line-width 2}
     :pill     {:fill :pill, :stroke :control}
     :pill-ar  {:fill :pill, :stroke :audio}
     :pill-ir  {:fill :pill, :stroke :scalar}
     :ugen     {:fill :card, :stroke :line}
     :title    {:fill :ink, :size 15, :bold true}
     :name     {:fill :ink, :size 13, :bold true}
     :key      {:fill :key, :size 12}
     :id       {:fill :faint, :size 11}
     :note     {:fill :faint, :size 11}
     :input    {:fill :ink, :size 11}
     :value    {:fill :faint, :size 11}
     :tick     {:fill :faint, :size 11}}
    (into {} (mapcat (fn [rate] [[(keyword (str "wire-" (name rate))) {:stroke rate, :line-width 1.5}]
                                 [(keyword (str "port-" (name rate))) {:fill rate, :stroke :page}]
                                 [(keyword (str "bar-" (name rate))) {:fill rate}]
                                 [(keyword (str "text-" (name rate))) {:fill rate, :size 11}]]))
          [:audio :control :scalar :demand])
    (into {} (mapcat (fn [mark] [[mark {:stroke mark, :line-width 2}]
                                 [(keyword (str "text-" (name mark))) {:fill mark, :size 11}]
                                 [(keyword (str "bar-" (name mark))) {:fill mark}]]))
          [:added :freed :moved :changed])))

;; ---- how wide a text is

(def ^:private widths
  "Of the characters from the space to the tilde, thousandths of the size: those of DejaVu Sans, which is
  wider than its like, so that nothing is cut where another is used."
  [318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636 636 636 636 337 337 838
   838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 748 787 603 787 695 635 611 732 684 989 685 611 685 390
   337 390 838 500 500 613 635 550 635 615 352 635 634 278 278 579 278 974 634 612 635 635 411 521 392 634 592 818 592 592 525
   636 337 636 838])

(defn- char-width ^long [^long c]
  (cond
    (<= 32 c 126)     (long (nth widths (- c 32)))
    (< c 0x1100)      660
    (<= 0xd800 c 0xdfff) 600                               ; half of one beyond 16 bits
    (< c 0x2e80)      838
    :else             1050))

(defn text-width
  "How many pixels a text of this class is wide, or runs of texts, which have classes of their own, at the most.

      (text-width :name \"bell\")  ;=> 25.8258"
  ^double [class text]
  (if (string? text)
    (let [{:keys [size bold]} (styles class)]
      (* (double size) (if bold 1.1 1.0)
         0.001 (long (reduce (fn [n c] (+ (long n) (char-width (long (int c))))) 0 text))))
    (reduce (fn [n [class text]] (+ (double n) (text-width class text))) 0.0 text)))

(defn printable
  "A text in one line, in which what neither XML nor Graphviz has a place for is replaced.

      (printable \"a\\nb\")  ;=> \"a b\""
  [text]
  (let [text (str text)
        out  (StringBuilder.)
        n    (.length text)]
    (loop [i 0]
      (when (< i n)
        (let [c    (.codePointAt text i)
              fine (or (<= 0x20 c 0xd7ff) (<= 0xe000 c 0xfffd) (<= 0x10000 c 0x10ffff))]
          (.appendCodePoint out (int (cond fine c, (<= 9 c 13) 0x20, :else 0xfffd)))
          (recur (+ i (Character/charCount c))))))
    (str out)))

(defn cut
  "A text of which no more than `most` characters are left, the last an ellipsis where it
  was longer.

      (cut \"frequency\" 5)  ;=> \"freq…\""
  [^String text most]
  (if (<= (count text) (long most))
    text
    (let [end (dec (long most))
          end (if (Character/isHighSurrogate (.charAt text (dec end))) (dec end) end)]
      (str (subs text 0 end) "…"))))

;; ---- numbers as labels

(defn number-text
  "A number with at most four digits that count, as short as it can be.

      (number-text 440.0)      ;=> \"440\"
      (number-text 0.0123456)  ;=> \"0.01235\""
  [x]
  (let [x (double x)]
    (cond
      (Double/isNaN x)      "NaN"
      (Double/isInfinite x) (if (pos? x) "∞" "-∞")
      (zero? x)             "0"
      :else
      (let [digits (if (<= 1e4 (abs x) 1e7) (java.math.MathContext. 7) (java.math.MathContext. 4))
            rounded (.stripTrailingZeros (.round (BigDecimal. x) digits))]
        (if (<= 1e-4 (abs x) 1e7)
          (.toPlainString rounded)
          (str/replace (str rounded) #"E\+?" "e"))))))

(defn ticks
  "Round numbers between two, about `n` of them, a vector.

      (ticks 0 1 5)  ;=> [0.0 0.2 0.4 0.6 0.8 1.0]"
  [low high n]
  (let [low (double low), high (double high)]
    (if-not (and (< low high) (< (- high low) Double/POSITIVE_INFINITY))
      [low]
      (let [rough (/ (- high low) (double n))
            power (Math/pow 10.0 (Math/floor (Math/log10 rough)))
            step  (* power (double (some (fn [m] (when (<= rough (* (double m) power 1.0001)) m)) [1.0 2.0 5.0 10.0])))
            from  (Math/ceil (- (/ low step) 1e-9))
            until (Math/floor (+ (/ high step) 1e-9))]
        (mapv (fn [i]
                (let [x (* step (+ from (double i)))]
                  ;; Without the dust of the multiplication.
                  (if (zero? x) 0.0 (.doubleValue (.round (BigDecimal. x) (java.math.MathContext. 12))))))
              (range (inc (long (- until from)))))))))

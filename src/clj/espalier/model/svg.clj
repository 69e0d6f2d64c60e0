(ns espalier.model.svg
  "Pictures, see `espalier.model.drawing`, as SVG: text that browsers, editors and
  documents show, in light or dark colours as their reader likes it."
  (:require
   [clojure.string :as str]
   [espalier.model.drawing :as drawing]
   [espalier.model.png :as png])
  (:import
   (java.util Base64)))

(set! *warn-on-reflection* true)

(defn escape
  "A text as it stands in XML, between tags or in an attribute.

      (escape \"<&\\\">\")  ;=> \"&lt;&amp;&quot;&gt;\""
  [text]
  (str/escape (drawing/printable text) {\& "&amp;", \< "&lt;", \> "&gt;", \" "&quot;"}))

(defn- number
  "A number with at most two digits behind the point."
  [x]
  (let [hundredths (Math/round (* 100.0 (double x)))
        whole      (quot hundredths 100)
        rest       (abs (rem hundredths 100))]
    (str (if (and (neg? hundredths) (zero? whole)) "-0" whole)
         (cond (zero? rest) "", (zero? (rem rest 10)) (str "." (quot rest 10)), (< rest 10) (str ".0" rest), :else (str "." rest)))))

(defn- attributes [pairs]
  (str/join (for [[k v] (partition 2 pairs) :when (some? v)]
              (str " " k "=\"" (if (number? v) (number v) (escape v)) "\""))))

;; ---- style

(defn- rule
  "The CSS of a class with the colours that `colour` chooses from a pair; only these where
  the rule is another's with other colours."
  [class colour whole?]
  (let [{:keys [fill stroke line-width dash opacity size bold]} (drawing/styles class)
        paint (fn [k] (if k (colour (drawing/colours k)) "none"))]
    (str "." (name class) "{"
         (str/join ";" (cond-> []
                         (or whole? fill)   (conj (str "fill:" (paint fill)))
                         stroke             (conj (str "stroke:" (paint stroke)))
                         (and whole? stroke line-width) (conj (str "stroke-width:" (number line-width)))
                         (and whole? dash)  (conj (str "stroke-dasharray:" (str/join " " (map number dash))))
                         (and whole? opacity) (conj (str "opacity:" (number opacity)))
                         (and whole? size)  (conj (str "font-size:" (number size) "px"))
                         (and whole? bold)  (conj "font-weight:bold")))
         "}\n")))

(defn- classes
  "The classes that shapes have, in their order by name."
  [shapes]
  (sort (into #{} (mapcat (fn [[_ {:keys [class]} content]]
                            (cond-> (if (vector? content) (map first content) []) class (conj class))))
              shapes)))

(defn- style [shapes theme]
  (let [classes (classes shapes)
        light   (str/join (map #(rule % first true) classes))
        dark    (fn [whole?] (str/join (map #(rule % second whole?) classes)))]
    (str "<style>\n"
         "text{font-family:" (str/join "," (map #(if (str/includes? % " ") (str "'" % "'") %) drawing/font-families)) "}\n"
         (case theme
           :light light
           :dark  (dark true)
           :auto  (str light "@media (prefers-color-scheme:dark){\n" (dark false) "}\n"))
         "</style>\n")))

;; ---- shapes

(defn- steps [d]
  (str/join (map (fn [[step & xs]] (str (name step) (str/join " " (map number xs)))) d)))

(defn- run [[class text]]
  (str "<tspan" (attributes ["class" (name class)]) ">" (escape text) "</tspan>"))

(defn- shape [[kind {:keys [class x y width height radius r anchor d columns rows pixels colours]} content]]
  (let [class (some-> class name)]
    (str (case kind
           :rect   (str "<rect" (attributes ["class" class "x" x "y" y "width" width "height" height "rx" radius]) "/>")
           :circle (str "<circle" (attributes ["class" class "cx" x "cy" y "r" r]) "/>")
           :path   (str "<path" (attributes ["class" class "d" (steps d)]) "/>")
           :text   (str "<text" (attributes ["class" class "x" x "y" y "text-anchor" (when (and anchor (not= :start anchor)) (name anchor))]) ">"
                        (if (vector? content) (str/join (map run content)) (escape content))
                        "</text>")
           :image  (str "<image" (attributes ["x" x "y" y "width" width "height" height "preserveAspectRatio" "none"
                                              "href" (str "data:image/png;base64,"
                                                          (.encodeToString (Base64/getEncoder) (png/png pixels columns rows colours)))])
                        "/>"))
         "\n")))

(defn svg
  "A picture as the text of an SVG file.

  `:theme`  :auto (default), as the reader's desktop is, :light or :dark

      (svg {:width 20, :height 20, :title \"Dot\", :shapes [[:circle {:class :dot, :x 10, :y 10, :r 5}]]})"
  ([picture] (svg picture {}))
  ([{:keys [width height title shapes]} {:keys [theme] :or {theme :auto}}]
   (let [shapes (into [[:rect {:class :page, :x 0, :y 0, :width width, :height height}]] shapes)]
     (str "<svg xmlns=\"http://www.w3.org/2000/svg\""
          (attributes ["width" width "height" height "viewBox" (str "0 0 " (number width) " " (number height)) "xml:space" "preserve" "role" "img"])
          ">\n"
          "<title>" (escape title) "</title>\n"
          (style shapes theme)
          (str/join (map shape shapes))
          "</svg>\n"))))

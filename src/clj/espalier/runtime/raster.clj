(ns espalier.runtime.raster
  "Pictures, see `espalier.model.drawing`, as pixels, drawn by Java 2D without a screen. Is
  loaded where it is used, for some Java runtimes have no java.desktop."
  (:require
   [espalier.model.drawing :as drawing]
   [espalier.model.error :as error])
  (:import
   (java.awt AWTError BasicStroke Color Font FontMetrics Graphics2D GraphicsEnvironment RenderingHints Shape)
   (java.awt.geom AffineTransform Ellipse2D$Double Path2D$Double Rectangle2D$Double RoundRectangle2D$Double)
   (java.awt.image BufferedImage)
   (java.io ByteArrayOutputStream)
   (javax.imageio ImageIO)
   (javax.imageio.stream MemoryCacheImageOutputStream)))

(set! *warn-on-reflection* true)

(defn- colour
  "The colour of a meaning in a theme."
  ^Color [k theme opacity]
  (let [rgb (Color/decode ((if (= :dark theme) second first) (drawing/colours k)))]
    (Color. (.getRed rgb) (.getGreen rgb) (.getBlue rgb) (int (Math/round (* 255.0 (double (or opacity 1))))))))

(defn- family
  "The first of the families that is there."
  []
  (let [there (set (.getAvailableFontFamilyNames (GraphicsEnvironment/getLocalGraphicsEnvironment)))]
    (or (some there drawing/font-families) Font/SANS_SERIF)))

(defn- stroke ^BasicStroke [{:keys [line-width dash]}]
  (BasicStroke. (float (or line-width 1)) BasicStroke/CAP_BUTT BasicStroke/JOIN_ROUND (float 10) (when dash (float-array dash)) (float 0)))

(defn- paint! [^Graphics2D g theme class ^Shape shape]
  (let [{:keys [fill opacity] line :stroke :as style} (drawing/styles class)]
    (when fill
      (.setColor g (colour fill theme opacity))
      (.fill g shape))
    (when line
      (.setColor g (colour line theme opacity))
      (.setStroke g (stroke style))
      (.draw g shape))))

(defn- path ^Shape [d]
  (let [p (Path2D$Double.)]
    (doseq [[step & xs] d]
      (let [[a b c e f h] (map double xs)]
        (case step
          :M (.moveTo p (double a) (double b))
          :L (.lineTo p (double a) (double b))
          :C (.curveTo p (double a) (double b) (double c) (double e) (double f) (double h))
          :Z (.closePath p))))
    p))

(defn- text! [^Graphics2D g theme family {:keys [class x y anchor]} content]
  (let [runs  (if (vector? content) content [[class content]])
        font  (fn [class] (let [{:keys [size bold]} (drawing/styles class)]
                            (.deriveFont (Font. family (int (if bold Font/BOLD Font/PLAIN)) 1) (float size))))
        width (fn [[class ^String text]] (let [^FontMetrics metrics (.getFontMetrics g ^Font (font class))]
                                           (.getWidth (.getStringBounds metrics text g))))
        all   (double (reduce + 0.0 (map width runs)))
        start (- (double x) (case (or anchor :start) :start 0.0, :middle (/ all 2), :end all))]
    (reduce (fn [x [class ^String text :as run]]
              (.setFont g (font class))
              (.setColor g (colour (:fill (drawing/styles class)) theme nil))
              (.drawString g text (float x) (float y))
              (+ (double x) (double (width run))))
            start runs)))

(defn- image! [^Graphics2D g {:keys [x y width height columns rows ^bytes pixels colours]}]
  (let [image  (BufferedImage. columns rows BufferedImage/TYPE_INT_RGB)
        values (int-array (map #(aget (ints (int-array colours)) (bit-and 0xff (long %))) pixels))]
    (.setRGB image 0 0 columns rows values 0 columns)
    (.drawImage g image
                (AffineTransform. (double (/ (double width) (double columns))) 0.0 0.0 (double (/ (double height) (double rows))) (double x) (double y))
                nil)))

(defn- draw! [^Graphics2D g theme family [kind {:keys [class x y width height radius r d] :as shape} content]]
  (case kind
    :rect   (paint! g theme class (if radius
                                    (RoundRectangle2D$Double. x y width height (* 2.0 (double radius)) (* 2.0 (double radius)))
                                    (Rectangle2D$Double. x y width height)))
    :circle (paint! g theme class (Ellipse2D$Double. (- (double x) (double r)) (- (double y) (double r)) (* 2.0 (double r)) (* 2.0 (double r))))
    :path   (paint! g theme class (path d))
    :text   (text! g theme family shape content)
    :image  (image! g shape)))

(def ^:private most-pixels 100000000)

(defn- image ^BufferedImage [{:keys [width height shapes]} {:keys [theme scale] :or {theme :light, scale 2}}]
  (let [scale   (double scale)
        columns (max 1 (long (Math/ceil (* scale (double width)))))
        rows    (max 1 (long (Math/ceil (* scale (double height)))))]
    (when (< (long most-pixels) (*' columns rows))
      (throw (error/error :no-picture (str "The picture would be " columns " by " rows " pixels, more than " most-pixels
                                           ". Draw it smaller, {:scale 1} for example, or as SVG: (picture/svg x).")
                          {:columns columns, :rows rows})))
    (let [image (BufferedImage. columns rows BufferedImage/TYPE_INT_RGB)
          g     (.createGraphics image)]
      (try
        (doto g
          (.setRenderingHint RenderingHints/KEY_ANTIALIASING RenderingHints/VALUE_ANTIALIAS_ON)
          (.setRenderingHint RenderingHints/KEY_TEXT_ANTIALIASING RenderingHints/VALUE_TEXT_ANTIALIAS_ON)
          (.setRenderingHint RenderingHints/KEY_FRACTIONALMETRICS RenderingHints/VALUE_FRACTIONALMETRICS_ON)
          (.setRenderingHint RenderingHints/KEY_STROKE_CONTROL RenderingHints/VALUE_STROKE_PURE)
          (.scale scale scale))
        ;; The last pixels may reach beyond the picture, and are of the page as well.
        (let [page   [:rect {:class :page, :x 0, :y 0, :width (/ columns scale), :height (/ rows scale)}]
              family (family)]
          (run! #(draw! g theme family %) (cons page shapes)))
        (finally (.dispose g)))
      image)))

(defn png
  "The bytes of a PNG file of a picture.

  `:theme`  :light (default) or :dark
  `:scale`  pixels of the file for each of the picture (default 2)

  Throws `:espalier.error/no-picture` where it would have more than 100 million pixels, or this Java cannot draw.

      (png {:width 20, :height 20, :title \"Dot\", :shapes [[:circle {:class :dot, :x 10, :y 10, :r 5}]]} {})"
  ^bytes [picture options]
  (try
    (let [bytes (ByteArrayOutputStream.)]
      (with-open [out (MemoryCacheImageOutputStream. bytes)]
        (ImageIO/write (image picture options) "png" out))
      (.toByteArray bytes))
    (catch AWTError e
      (throw (error/error :no-picture (str "This Java cannot draw: " (.getMessage e) ". Start it with -Djava.awt.headless=true, or draw SVG, which needs nothing: (picture/svg x).")
                          {} e)))
    (catch LinkageError e
      (throw (error/error :no-picture (str "This Java cannot draw: " (.getMessage e) ". Install fontconfig and a font, apt-get install fontconfig fonts-dejavu-core for example, or draw SVG,"
                                           " which needs nothing: (picture/svg x).")
                          {} e)))))

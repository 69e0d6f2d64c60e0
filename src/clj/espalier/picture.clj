(ns espalier.picture
  "Pictures of node trees, SynthDefs, envelopes, samples and recordings, as SVG, PNG and text for
  Graphviz.

      (require '[espalier.picture :as picture])

      (picture/show s)                                     ; the node tree of a server
      (picture/show (sc/plan s tree))                      ; what would change, before and after
      (picture/save! instruments/bell \"bell.svg\")          ; its UGens
      (picture/save! \"take.wav\" \"take.png\" {:as :spectrogram})

  What can be drawn:

  | | |
  |---|---|
  | a server handle, a group of one | its node tree, asked for now |
  | what `espalier.core/query-tree` returns, a tree as one declares it | the tree |
  | a plan or report of `espalier.core` | the tree before and after, with what changes |
  | edits, a vector, with `{:before tree}` | the same |
  | a tree, with `{:before tree}` | the same, of the edits between the two |
  | a SynthDef | its UGens and controls, what they read, constants in their place |
  | an envelope of `espalier.env` | its levels over time |
  | a buffer, an array or sequence of numbers, a sequence of arrays (one a channel) | their waveform |
  | the path of a WAV file | its waveform |
  | what `bus-samples` returns | the values of control buses over time |

  Samples, buffers and WAV files are drawn with `{:as :spectrogram}` as the loudness of each frequency over time.

  Options of all pictures are

  `:theme`  :auto, :light or :dark; :auto (default) is what the reader's desktop likes, and light where
            the picture is a PNG

  of trees and edits `:ids` `:controls` (whether they are shown, default true), `:depth` (levels, default
  24), `:most-children` (nodes of a group, default 40), `:before`, and of handles, groups and buffers `:timeout-ms`;
  of envelopes `:width-px` `:height-px` `:title`; of samples `:sample-rate-hz` (of files and buffers their own), `:channel-count`
  (where channels take turns, default 1), `:width-px`, `:lane-height-px` `:title`; of spectrograms
  `:channel` (default 0), and what `espalier.model.spectrogram/picture` takes.

  The same value is the same text, byte for byte; spectrograms hold pixels that one Java packs as
  another may not."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.model.diff :as diff]
   [espalier.model.dot :as dot]
   [espalier.model.entity :as entity]
   [espalier.model.envelope-picture :as envelope-picture]
   [espalier.model.error :as error]
   [espalier.model.graph-picture :as graph-picture]
   [espalier.model.marks :as marks]
   [espalier.model.options :as options]
   [espalier.model.plan :as plan]
   [espalier.model.spectrogram :as spectrogram]
   [espalier.model.svg :as svg]
   [espalier.model.tree-picture :as tree-picture]
   [espalier.model.ugen-graph :as ugen-graph]
   [espalier.model.wave-picture :as wave-picture]
   [espalier.runtime.handle]
   [espalier.runtime.polling :as polling]
   [espalier.runtime.sound-file :as sound-file]
   [espalier.tree :as tree]
   [espalier.wav :as wav])
  (:import
   (espalier.runtime.handle Server)
   (java.io File)
   (java.nio.file Path)))

(set! *warn-on-reflection* true)

;; ---- what is to be drawn, as data: [kind …]

(defn- no-picture [x]
  (error/error :no-picture
               (str "There is no picture of " (error/shown x) ". (doc espalier.picture) lists what can be drawn.")
               {:value x}))

(defn- edits? [x]
  (and (vector? x) (every? #(and (map? %) (:edit %)) x)))

(defn- top
  "The nodes of a form, or of a tree as a query returns it, in a group that is not drawn."
  [x]
  {:kind :group, :id -1, :children (tree/nodes x)})

(defn- change [before edits]
  (tree/apply-edits (:children before) edits)              ; which tells of edits that do not fit
  [:change before (vec edits)])

(defn- change-to
  "From the tree `before` to what x is: edits, a tree, or a server with its tree."
  [before x opts]
  (let [before (top before)]
    (change before
            (cond (edits? x)           x
                  (instance? Server x) (diff/diff before (top (sc/query-tree x (select-keys opts [:timeout-ms]))))
                  :else                (diff/diff before (top x))))))

(defn- interleaved
  "The channels of samples that take turns, as float arrays."
  [xs channel-count]
  (let [^floats xs (if (instance? float/1 xs) xs (float-array xs))
        n          (long channel-count)
        frames     (quot (alength xs) n)]
    (if (= 1 n)
      [xs]
      (mapv (fn [c]
              (let [out (float-array frames)]
                (dotimes [i frames] (aset out i (aget xs (+ (long c) (* i n)))))
                out))
            (range n)))))

(defn- of-buffer [b opts]
  (let [wait (select-keys opts [:timeout-ms])
        {:keys [frame-count channel-count sample-rate-hz]} (sc/query-buffer b wait)]
    [:samples (if (pos? (long frame-count))
                (interleaved (sc/get-sample-range b 0 (* (long frame-count) (long channel-count)) wait) channel-count)
                [(float-array 0)])
     {:sample-rate-hz (when (pos? (double sample-rate-hz)) sample-rate-hz), :title (str "Buffer " (:id b))}]))

(defn- of-file [x]
  (let [path (str x)
        {:keys [channels sample-rate-hz] :or {channels 1}} (sound-file/facts path)]
    [:samples (mapv #(wav/samples path %) (range channels))
     {:sample-rate-hz sample-rate-hz, :title (.getName (File. path))}]))

(defn- array-of-numbers? [x]
  (or (instance? float/1 x) (instance? double/1 x) (instance? int/1 x) (instance? long/1 x) (instance? short/1 x)))

(defn- of-entity [{:keys [kind id server] :as x} opts]
  (case kind
    :buffer         (of-buffer x opts)
    :group          [:tree (sc/query-tree server (merge {:group id} (select-keys opts [:timeout-ms])))]
    (throw (no-picture x))))

(defn- of-map [{:keys [kind edits before] :as x}]
  (cond
    (= :synthdef kind)                 [:synthdef x]
    (= :envelope kind)                 [:envelope x]
    (and (sequential? edits) before)   (change (top before) edits)
    (contains? #{:group :synth} kind)  [:tree x]
    (= :samples kind)                  [:samples (:channels x) (select-keys x [:sample-rate-hz :title])]
    :else                              (throw (no-picture x))))

(defn- of-sequence [xs {:keys [channel-count] :or {channel-count 1}}]
  (cond
    (and (seq xs) (every? number? xs))            [:samples (interleaved xs channel-count) {}]
    (and (seq xs) (every? array-of-numbers? xs))  [:samples (mapv float-array xs) {}]
    :else                                         [:tree (let [t (top xs)] (if (= 1 (count (:children t))) (first (:children t)) t))]))

(defn- subject
  "What `x` is for a picture."
  [x {:keys [before channel-count] :as opts}]
  (cond
    (contains? opts :before)                  (change-to before x opts)
    (and (edits? x) (seq x))                  (throw (error/error :no-picture "Edits alone make no picture: give the tree that they change, (picture/svg edits {:before tree}), or a whole plan, (picture/svg (sc/plan s tree))." {:edits x}))
    (instance? Server x)                      [:tree (sc/query-tree x (select-keys opts [:timeout-ms]))]
    (entity/entity? x)                        (of-entity x opts)
    (map? x)                                  (of-map x)
    (or (string? x) (instance? File x) (instance? Path x)) (of-file x)
    (array-of-numbers? x)                     [:samples (interleaved x (or channel-count 1)) {}]
    (sequential? x)                           (of-sequence x opts)
    :else                                     (throw (no-picture x))))

;; ---- drawn

(def ^:private known-options
  (let [tree-options [:ids :controls :depth :most-children :before :timeout-ms]
        samples      [:as :sample-rate-hz :channel-count :width-px :lane-height-px :title :timeout-ms]]
    {:tree     tree-options
     :change   tree-options
     :synthdef []
     :envelope [:width-px :height-px :title]
     :samples  (into samples [:channel :window-size :range-db :frequency-axis :low-hz :high-hz :height-px])}))

(def ^:private all-options (into #{:theme :scale} cat (vals known-options)))

(defn- check-option [opts k fine? what]
  (let [x (get opts k)]
    (when-not (or (nil? x) (fine? x))
      (throw (error/error :invalid-option (str k " is " what ", not " (pr-str x) ".") {:option k, :value x})))))

(defn- check-one-of [opts k allowed]
  (check-option opts k (set allowed) (str "one of " (str/join ", " allowed))))

(defn- positive? [x] (and (number? x) (pos? (double x)) (Double/isFinite (double x))))

(defn- power-of-two? [x] (and (int? x) (<= 16 (long x) 1048576) (= 1 (Long/bitCount (long x)))))

(defn- check
  "Throws where an option is wrong, or is not one of pictures of this kind."
  [kind {:keys [low-hz] :as opts}]
  (options/check-call opts (into #{:theme :scale} (known-options kind)))
  (run! #(check-option opts % positive? "a number above 0") [:sample-rate-hz :range-db :high-hz :scale])
  (run! #(check-option opts % (fn [x] (and (int? x) (<= 200 (long x) 20000))) "a number of pixels from 200 to 20000") [:width-px :height-px :lane-height-px])
  (run! #(check-option opts % nat-int? "a whole number, 0 or more") [:depth :most-children :channel])
  (check-option opts :low-hz (fn [x] (or (positive? x) (and (number? x) (zero? (double x)) (= :linear (:frequency-axis opts)))))
                "a number above 0, or 0 with {:frequency-axis :linear}")
  (check-option opts :high-hz (fn [x] (< (double (or low-hz 30)) (double x))) "above :low-hz")
  (check-option opts :window-size power-of-two? "a power of two from 16 to 1048576")
  (check-one-of opts :theme [:auto :light :dark])
  (check-one-of opts :as [:waveform :spectrogram])
  (check-one-of opts :frequency-axis [:log :linear]))

(defn- spectrogram-of [lanes {:keys [channel] :or {channel 0} :as opts}]
  (spectrogram/picture (or (get lanes channel)
                           (throw (error/error :no-such-channel (str "There are " (count lanes) " channels, from 0 on, and none " (pr-str channel) ".") {:channel channel, :channels (count lanes)})))
                       opts))

(defn- present [m] (into {} (remove (comp nil? val)) m))

(defn- checked-subject [x opts]
  (options/check-call opts all-options)                    ; before a server is asked
  (check-option opts :channel-count pos-int? "a whole number, 1 or more")
  (let [[kind :as found] (subject x opts)]
    (check kind opts)
    found))

(defn- drawing
  "The picture of `x`, see `espalier.model.drawing`."
  [x opts]
  (let [[kind a b] (checked-subject x opts)]
    (case kind
      :tree     (tree-picture/picture a opts)
      :change   (let [[before after] (marks/before-and-after a b)]
                  (tree-picture/change before after (if (seq b) (mapv plan/text b) ["nothing changes"]) opts))
      :synthdef (graph-picture/picture (ugen-graph/graph a))
      :envelope (envelope-picture/picture a opts)
      :samples  (let [opts (merge (present b) (present opts))]
                  (if (= :spectrogram (:as opts))
                    (spectrogram-of a opts)
                    (wave-picture/picture a opts))))))

(defn svg
  "The picture of `x` as the text of an SVG file. `x` and the options are those of this namespace.

  Throws `:espalier.error/no-picture` for what cannot be drawn, `:espalier.error/unknown-option`,
  `:espalier.error/invalid-option`, and what asking a server, reading a file or reading a form throws.

      (picture/svg [:group {:key :mix} [:synth {:key :bass, :def :bass} {:freq 55}]])"
  ([x] (svg x {}))
  ([x opts] (svg/svg (drawing x opts) (select-keys opts [:theme]))))

(defn dot
  "A node tree, a change of one, or a SynthDef as text for Graphviz: `dot -Tpdf tree.dot`. Takes what `svg` takes, and
  throws what it throws; of samples and envelopes there is no such text.

      (spit \"bell.dot\" (picture/dot instruments/bell))"
  ([x] (dot x {}))
  ([x opts]
   (let [[kind a b] (checked-subject x opts)]
     (case kind
       :tree     (dot/tree a opts)
       :change   (let [[before after] (marks/before-and-after a b)] (dot/change before after opts))
       :synthdef (dot/graph (ugen-graph/graph a))
       (throw (error/error :no-picture "Graphviz draws graphs, and this is a picture of values over time: (picture/svg x) and (picture/png x) draw it." {:value x}))))))

(defn png
  "The picture of `x` as the bytes of a PNG file, drawn without a screen. Takes what `svg` takes, and

  `:scale`  pixels of the file for each of the picture (default 2)

  Throws what `svg` throws.

      (alength (picture/png (env/adsr)))"
  (^bytes [x] (png x {}))
  (^bytes [x opts]
   (let [drawn (drawing x opts)]
     ((requiring-resolve 'espalier.runtime.raster/png) drawn (present (select-keys opts [:theme :scale]))))))

(defn- ending [path]
  (second (re-find #"\.([A-Za-z]+)$" (str path))))

(defn save!
  "Writes the picture of `x` to a file, whose kind is that of its name: .svg, .png, or .dot and .gv for
  Graphviz. Takes the options of `svg` or `png`. Returns the file, a `java.io.File`.

  Throws what they throw, `:espalier.error/invalid-option` for another ending, and
  `:espalier.error/file-failed` where the file cannot be written.

      (picture/save! s \"tree.svg\")"
  ([x path] (save! x path {}))
  ([x path opts]
   (let [file    (io/file (str path))
         content (case (some-> (ending path) str/lower-case)
                   "svg"        (svg x opts)
                   "png"        (png x opts)
                   ("dot" "gv") (dot x opts)
                   (throw (error/error :invalid-option (str "The name of a picture ends with .svg, .png, .dot or .gv, which says what kind it is: not " (pr-str (str path)) ".") {:path (str path)})))]
     (try (if (string? content)
            (spit file content)
            (io/copy content file))
          (catch java.io.IOException e
            (throw (error/error :file-failed (str "No picture can be written at " file ": " (ex-message e) ".") {:path (str file)} e))))
     file)))

(defn show
  "Opens the picture of `x` with the viewer that the desktop has for SVG files, where there is a
  desktop. Returns the file that was written, a `java.io.File`, whether or not anything has opened. Takes the options of
  `svg`, and

  `:path`  where it is written (default: a file of its own in the directory for temporary files)

  Throws what `save!` throws, and nothing for lack of a desktop.

      (picture/show s)  ;=> #object[java.io.File … \"/tmp/espalier-….svg\"]"
  ([x] (show x {}))
  ([x opts]
   (when-not (map? opts)
     (throw (error/error :invalid-option (str "The options of a picture are a map, not " (error/shown opts) ".") {:value opts})))
   (let [path (:path opts)
         file (save! x (or path (File/createTempFile "espalier-" ".svg")) (dissoc opts :path))]
     ((requiring-resolve 'espalier.runtime.desktop/open!) file)
     file)))

(defn bus-samples
  "The values of a control bus, or of a control bus group, over some time, by asking the server for them again
  and again: what can be drawn. Blocks that long.

  `:duration-ms`  how long, in milliseconds (default 1,000)
  `:interval-ms`  how far apart, in milliseconds (default 10); what changes faster is missed
  `:timeout-ms`   how long each question may take (default: the handle's, 5,000)

  Returns `{:kind :samples, :channels [float-array …], :sample-rate-hz 100.0, :title \"Bus 3\"}`.

  Throws what `espalier.core/get-bus` throws, `:espalier.error/invalid-option`.

      (picture/show (picture/bus-samples lfo))"
  ([bus] (bus-samples bus {}))
  ([bus opts]
   (options/check-call opts #{:duration-ms :interval-ms :timeout-ms})
   (let [{:keys [kind id]} (when (map? bus) bus)
         {:keys [duration-ms interval-ms]} (merge {:duration-ms 1000, :interval-ms 10} opts)
         wait (select-keys opts [:timeout-ms])]
     (run! #(check-option {:duration-ms duration-ms, :interval-ms interval-ms} % positive? "a number above 0") [:duration-ms :interval-ms])
     {:kind           :samples
      :channels       (polling/poll (if (= :bus-group kind) #(sc/get-buses bus wait) #(vector (sc/get-bus bus wait)))
                                    (inc (long (/ (double duration-ms) (double interval-ms))))
                                    interval-ms)
      :sample-rate-hz (/ 1000.0 (double interval-ms))
      :title          (if (= :bus-group kind) (str "Buses from " id) (str "Bus " id))})))

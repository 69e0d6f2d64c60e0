(ns espalier.conformance.material
  "What sequences of commands refer to by name: SynthDefs, bytes that are none, and files
  in a folder of one server's own. Sequences hold the names, so that they print and read
  back; `packet` puts the things in their place."
  (:require
   [clojure.java.io :as io]
   [espalier.synthdef :as synthdef]
   [espalier.ugens :refer [dc:ar out:ar]])
  (:import
   (java.io File)
   (java.nio ByteBuffer ByteOrder)
   (java.nio.charset StandardCharsets)
   (java.time Instant)))

(set! *warn-on-reflection* true)

;; ---- SynthDefs. None ends by itself, triggers, or writes to a bus: what they do cannot depend on when a block begins.

(defn- graph [synthdef-name parameters & [options]]
  (synthdef/synthdef synthdef-name parameters (fn [& _] (out:ar 60 (dc:ar 0))) (or options {})))

(def ^:private plain [:freq 440, :amp 0.1, :pan 0])

(def loaded
  "The SynthDefs that every sequence begins with."
  [(graph "plain" plain)
   (graph "arrays" [:freq [1 2 3], :amp 0.5, :pan [-1 1]])
   (graph "rates" [:freq {:default 100, :rate :ir}, :amp {:default 0.25, :rate :ar}, :pan {:default 0.5, :lag 0.1}])
   (graph "varied" plain {:variants {:low {:freq 55}, :soft {:amp 0.01, :pan -1}}})
   (graph "bare" [])])

(def synthdef-names
  "All that sequences define."
  (into (mapv :name loaded) ["extra" "second" "other"]))

(defn- text-bytes ^bytes [s] (.getBytes ^String s StandardCharsets/ISO_8859_1))

(defn- of-ugen
  "A SynthDef of one UGen without inputs and outputs."
  [synthdef-name ugen control]
  (let [pstring (fn [s] (str (char (count s)) s))]
    (text-bytes (str "SCgf" "\0\0\0\2" "\0\1" (pstring synthdef-name)
                     "\0\0\0\0" "\0\0\0\1" "\0\0\0\0" "\0\0\0\1" (pstring control) "\0\0\0\0"
                     "\0\0\0\1" (pstring ugen) "\1" "\0\0\0\0" "\0\0\0\0" "\0\0" "\0\0"))))

(def files
  "SynthDef files by name: whole ones, and such as a server refuses without harm."
  (delay
    (let [whole   (fn [& defs] (synthdef/encode (vec defs)))
          plain   (whole (first loaded))
          changed (fn [i b] (let [copy (aclone ^bytes plain)] (aset copy i (byte b)) copy))]
      {:plain       plain
       :plain-again (whole (graph "plain" [:freq 220, :cutoff [1 2]]))
       :extra       (whole (graph "extra" [:gain 1, :freq 10]))
       :two         (whole (graph "extra" [:gain 2]) (graph "second" [:freq 20]))
       :other       (whole (graph "other" [:freq 500] {:variants {:high {:freq 5000}}}))
       :other-again (whole (graph "other" [:freq 600] {:variants {:higher {:freq 6000}}}))
       :no-ugen     (of-ugen "unknown" "NoSuchUGen" "a")
       :long-name   (of-ugen "long" "Control" "a-control-with-more-than-31-characters")
       :magic       (changed 0 0)
       :version     (changed 7 9)})))

;; ---- files

(defn- wav
  "A WAV file: `encoding` is 1 for 16-bit integers, 3 for floats."
  ^bytes [encoding channels rate samples]
  (let [width (if (= 1 encoding) 2 4)
        size  (* width (count samples))
        b     (.order (ByteBuffer/allocate (+ 44 size)) ByteOrder/LITTLE_ENDIAN)]
    (doto b
      (.put (text-bytes "RIFF")) (.putInt (+ 36 size)) (.put (text-bytes "WAVEfmt ")) (.putInt 16)
      (.putShort encoding) (.putShort channels) (.putInt rate) (.putInt (* rate width channels))
      (.putShort (* width channels)) (.putShort (* 8 width)) (.put (text-bytes "data")) (.putInt size))
    (doseq [x samples]
      (if (= 1 encoding) (.putShort b (short (* 32767 x))) (.putFloat b (float x))))
    (.array b)))

(defn- ramp [n] (map #(- (/ (* 2.0 %) n) 1.0) (range n)))

(defn fill-folder!
  "Puts into `folder`, a path, the files that sequences read; what was written there goes."
  [folder]
  (run! #(.delete ^File %) (.listFiles (io/file folder "out")))
  (when-not (.exists (io/file folder "mono.wav"))
    (.mkdirs (io/file folder "out"))
    (.mkdirs (io/file folder "defs"))
    (.mkdirs (io/file folder "none"))
    (doseq [[path content] {"mono.wav"           (wav 1 1 22050 (ramp 20))
                            "stereo.wav"         (wav 3 2 96000 (ramp 24))
                            "text.wav"           (text-bytes "This is no sound file.")
                            "extra.scsyndef"     (:extra @files)
                            "two.scsyndef"       (:two @files)
                            "magic.scsyndef"     (:magic @files)
                            "defs/extra.scsyndef" (:extra @files)
                            "defs/plain.scsyndef" (:plain-again @files)}]
      (io/copy ^bytes content (io/file folder path)))))

;; ---- from names to things

(def ^:private times
  {:now nil, :past (Instant/parse "2001-09-09T01:46:40Z"), :never (Instant/parse "2035-01-01T00:00:00Z")})

(declare packet)

(defn- argument [folder x]
  (cond
    (vector? x)     (mapv #(argument folder %) x)
    (map? x)        (let [[k v] (first x)]
                      (case k
                        :synthdef   (get @files v)
                        :bytes      (byte-array v)
                        :path       (str folder "/" v)
                        :completion (if (seq v) {:completion (mapv #(packet folder %) v)} 0)))
    :else           x))

(defn packet
  "What `espalier.runtime.link` sends for a message or bundle of a sequence; paths lie in
  `folder`. A bundle's time is :now, :past, or :never, which is beyond any test."
  [folder x]
  (if (map? x)
    {:at (times (:at x)), :packets (mapv #(packet folder %) (:packets x))}
    (into [(first x)] (map #(argument folder %)) (rest x))))

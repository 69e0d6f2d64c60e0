(ns espalier.trees-page-test
  "What doc/trees.md shows is typed here as it stands, and returns what it says."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :as markdown]
   [espalier.servers :as servers])
  (:import
   (java.io ByteArrayInputStream File)
   (javax.sound.sampled AudioFileFormat$Type AudioFormat AudioInputStream AudioSystem)))

(use-fixtures :each servers/leaves-nothing)

(defn- chunks
  "The code of the page, as far as an empty line, with what it says that it returns."
  [markdown]
  (for [chunk (markdown/chunks markdown)
        :let  [[code result] (str/split chunk #"(?m)^;=> ?" 2)]]
    [code (some-> result (str/replace #"(?m)^;\s*" "") str/trim)]))

(def ^:private used-but-not-told
  "What the page takes for granted."
  "(require '[espalier.synthdef :refer [defsynth]])
   (use 'espalier.ugens)
   (def reverb? true)
   (def reverb instruments/reverb)
   (defsynth lfo [out 0] (out:kr out (sin-osc:kr 0.5)))
   (defsynth player [buffer 0, rate 1, out 0] (out:ar out (play-buf:ar 1 buffer rate)))
   (sc/add-synthdefs! s instruments/organ)")

(deftest what-the-page-shows
  (let [sound (File/createTempFile "kick" ".wav")
        n     (create-ns 'espalier.trees-page-example)
        typed (fn [code]
                (load-string (-> code
                                 (str/replace "{:audio :dummy}" (str "{:audio :dummy :port " (sc/find-free-port) "}"))
                                 (str/replace "kick.wav" (str/re-quote-replacement (.getPath ^File sound))))))]
    (AudioSystem/write (AudioInputStream. (ByteArrayInputStream. (byte-array 128)) (AudioFormat. 48000 16 1 true false) 64)
                       AudioFileFormat$Type/WAVE sound)
    (try
      (binding [*ns* n, *err* (java.io.StringWriter.)]
        (refer-clojure)
        (let [[[code] & more] (chunks (slurp "doc/trees.md"))]
          (typed code)
          (doseq [[code result] (cons (first more) (cons [used-but-not-told] (rest more)))]
            (testing code
              (let [value (typed code)]
                (cond
                  (nil? result)                  (is true)
                  (str/starts-with? result "#<") (is (= result (pr-str value)))
                  :else                          (is (= (read-string result) value))))))))
      (is (= [] (sc/drift @(ns-resolve n 's))))
      (finally
        (some-> (ns-resolve n 's) deref sc/quit!)
        (.delete sound)
        (remove-ns 'espalier.trees-page-example)))))

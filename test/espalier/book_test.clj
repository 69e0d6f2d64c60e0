(ns espalier.book-test
  "What the pages of the book show is typed here as it stands, and returns what they say."
  (:require
   [clojure.java.io :as io]
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :as markdown]
   [espalier.servers :as servers])
  (:import
   (java.io ByteArrayInputStream File)
   (javax.sound.sampled AudioFileFormat$Type AudioFormat AudioInputStream AudioSystem)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- call-with-sounds
  "Calls `f` with what to type in place of the names of sound files, which are gone afterwards."
  [f]
  (let [kick (File/createTempFile "kick" ".wav"), take (File/createTempFile "take" ".wav"), evening (File/createTempFile "evening" ".edn")]
    (AudioSystem/write (AudioInputStream. (ByteArrayInputStream. (byte-array 128)) (AudioFormat. 48000 16 1 true false) 64)
                       AudioFileFormat$Type/WAVE kick)
    (try (f {"kick.wav" (.getPath kick), "take.wav" (.getPath take), "evening.edn" (.getPath evening)})
         (finally (run! io/delete-file [kick take evening])))))

(defn- type-page [path & [{:keys [after] :as options}]]
  (call-with-sounds
    (fn [sounds]
      (markdown/type-page path (assoc options
                                      :replace sounds
                                      :after   (fn [n] (try (when after (after n)) (finally (sc/kill-all!)))))))))

(deftest first-sound
  (type-page "doc/first-sound.md"))

(deftest time-and-bundles
  (type-page "doc/time.md"))

(deftest trees
  (type-page "doc/trees.md"
             {:after (fn [n] (is (= [] (sc/drift @(ns-resolve n 's)))))}))

(deftest synthdefs
  (type-page "doc/synthdefs.md"))

(deftest life-of-a-server
  (type-page "doc/lifecycle.md"))

(deftest what-outlives-a-server
  (type-page "doc/survival.md"))

(deftest many-clients
  (type-page "doc/clients.md"))

(deftest coming-from-elsewhere
  (type-page "doc/coming-from.md"))

(deftest how-it-works
  (type-page "doc/how-it-works.md"))

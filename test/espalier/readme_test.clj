(ns espalier.readme-test
  "What the README shows is typed here as it stands."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :refer [code-blocks]]
   [espalier.servers :as servers]))

(use-fixtures :each servers/leaves-nothing)

(deftest first-sound
  (let [block  (first (code-blocks (slurp "README.md")))
        quiet  (str/replace block "\n(sc/boot! s)" (str "\n(sc/boot! s {:audio :dummy :port " (sc/find-free-port) "})"))
        n      (create-ns 'espalier.readme-example)
        shown  (binding [*ns* n]
                 (refer-clojure)
                 (with-out-str (load-string quiet)))]
    (is (not= block quiet))
    (is (str/includes? shown "1000 bell"))
    (is (= :offline (sc/boot-status @(ns-resolve n 's))))
    (remove-ns 'espalier.readme-example)))

(deftest synthdefs
  (let [block (first (filter #(str/includes? % "defsynth") (code-blocks (slurp "README.md"))))
        free  (str/replace block "{:audio :dummy}" (str "{:audio :dummy :port " (sc/find-free-port) "}"))
        n     (create-ns 'espalier.readme-example)]
    (try
      (binding [*ns* n]
        (refer-clojure)
        (alias 'sc 'espalier.core)
        (is (= :synth (:kind (load-string free)))))
      (finally (remove-ns 'espalier.readme-example)))))

(deftest its-map-is-the-code
  (let [words (set (re-seq #"[\w-]+" (slurp "README.md")))
        files (for [^java.io.File f (file-seq (io/file "src")) :when (str/ends-with? (.getName f) ".clj")]
                (str/replace (str/replace (.getName f) #"\.clj$" "") "_" "-"))]
    (is (= [] (remove #(words (first (str/split % #"-"))) files)))))

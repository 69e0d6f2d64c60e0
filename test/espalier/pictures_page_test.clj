(ns espalier.pictures-page-test
  "What doc/pictures.md shows is typed here as it stands, and makes the pictures that the page has."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :as markdown]
   [espalier.picture :as picture]
   [espalier.servers :as servers])
  (:import
   (java.io File)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(deftest what-the-page-shows
  (let [^File directory (.toFile (Files/createTempDirectory "pictures" (make-array FileAttribute 0)))
        page   (slurp "doc/pictures.md")
        n      (create-ns 'espalier.pictures-page-example)
        shown  (atom 0)
        typed  (fn [code]
                 (load-string (-> code
                                  (str/replace "{:audio :dummy}" (str "{:audio :dummy :port " (sc/find-free-port) "}"))
                                  (str/replace #"\"([\w-]+\.(?:svg|png|dot))\"" (fn [[_ file]] (pr-str (str (io/file directory file))))))))]
    (try
      ;; On a desktop each would open a window.
      (with-redefs [picture/show (fn [x & [opts]] (swap! shown inc) (picture/svg x (or opts {})))]
        (binding [*ns* n, *err* (java.io.StringWriter.)]
          (refer-clojure)
          (doseq [code (markdown/chunks page)]
            (testing code
              (is (or (some? (typed code)) (str/starts-with? code "(require")))))))
      (is (= 4 @shown))
      (doseq [[_ file] (re-seq #"!\[[^\]]*\]\(([^)]+)\)" page)]
        (testing file
          (is (= (slurp (io/file "doc" file)) (slurp (io/file directory file))))))
      (is (= #{"change.svg" "synthdef.svg" "envelope.svg" "wave.png" "sweep.png"} (set (.list directory))))
      (finally
        (some-> (ns-resolve n 's) deref sc/quit!)
        (run! io/delete-file (.listFiles directory))
        (.delete directory)
        (remove-ns 'espalier.pictures-page-example)))))

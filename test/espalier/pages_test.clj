(ns espalier.pages-test
  "What the pages say in passing: where their links lead, the functions and errors that they name; and the pages
  that are made from tables."
  (:require
   [clojure.edn :as edn]
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing]]
   [espalier.model.error-table :as error-table])
  (:import
   (java.io File)))

(set! *warn-on-reflection* true)

(def ^:private pages
  "All pages of the checkout, by path."
  (into (sorted-map)
        (for [^File file (concat (.listFiles (io/file ".")) (mapcat #(file-seq (io/file %)) ["doc" "examples"]))
              :let  [path (str/replace (str file) #"^\./" "")]
              :when (str/ends-with? path ".md")]
          [path (slurp file)])))

;; ---- links

(defn- prose
  "A page without its code."
  [page]
  (-> page (str/replace #"(?s)```.*?```" "") (str/replace #"`[^`\n]*`" "")))

(defn- anchors
  "What can stand behind # in a link to a page."
  [page]
  (set (for [[_ heading] (re-seq #"(?m)^#+ +(.+?) *$" (str/replace page #"(?s)```.*?```" ""))]
         (-> (str/lower-case heading) (str/replace #"[^\p{L}\p{N} _-]" "") (str/replace " " "-")))))

(deftest links-lead-somewhere
  (doseq [[path page] pages
          [_ target anchor] (re-seq #"\]\(((?!https?:|mailto:)[^)#\s]*)(?:#([^)\s]+))?\)" (prose page))]
    (testing (str path " -> " target (some->> anchor (str "#")))
      (let [file (if (= "" target) (io/file path) (io/file (.getParentFile (.getAbsoluteFile (io/file path))) target))]
        (is (.exists file))
        (when (and anchor (.exists file))
          (is (contains? (anchors (slurp file)) anchor)))))))

;; ---- names

(defn- code
  "The code of a page that is ours: blocks of Clojure, what is indented, what stands in the line."
  [page]
  (let [others (str/replace page #"(?s)```(?!clojure\n).*?```" "")
        blocks (map second (re-seq #"(?s)```clojure\n(.*?)```" others))
        prose  (str/replace others #"(?s)```.*?```" "")]
    (str/join "\n" (concat blocks (re-seq #"(?m)^    .*$" prose) (re-seq #"`[^`\n]+`" prose)))))

(def ^:private usual-aliases
  "Of the pages, also where they do not say so."
  (into {'sc 'espalier.core}
        (map (fn [n] [n (symbol (str "espalier." n))]))
        '[async channels demo env future inspector instruments picture rehearsal repl synthdef testing tree ugens wav]))

(defn- aliases [page]
  (into usual-aliases
        (for [[_ n alias] (re-seq #"\[((?:espalier|pieces)\.[\w.-]+) :as ([\w-]+)" page)] [(symbol alias) (symbol n)])))

(defn- named
  "The functions that a text names, as qualified symbols."
  [text aliases]
  (set (for [[_ n v] (re-seq #"(?<![\w./:*-])([a-z][\w.-]*)/([a-zA-Z*][\w*!?<>=+:-]*)" text)
             :let  [n (get aliases (symbol n) (symbol n))]
             :when (re-find #"^espalier\.(?!error$|kernel)" (str n))]
         (symbol (str n) (str/replace v #"[:.]$" "")))))

(defn- there?
  "Whether a name is one; of what needs nREPL only where that is on the class path."
  [n]
  (if (and (re-find #"^espalier\.nrepl" (namespace n)) (nil? (io/resource "nrepl/core.clj")))
    true
    (try (some? (requiring-resolve n))
         (catch java.io.FileNotFoundException _ false))))

(deftest pages-name-what-is-there
  (doseq [[path page] pages]
    (testing path
      (is (= #{} (set (remove there? (named (code page) (aliases page))))))
      (is (= #{} (set/difference (set (map (comp keyword second) (re-seq #":(espalier\.error/[a-z-]+)" page))) (set (keys error-table/table))))))))

(deftest docstrings-name-what-is-there
  (doseq [^File file (file-seq (io/file "src/clj"))
          :when (str/ends-with? (.getName file) ".clj")
          :let  [words (str/join "\n" (re-seq #"`[^`\n]+`" (slurp file)))]]
    (testing file
      (is (= #{} (set (remove there? (named words {}))))))))

;; ---- pages as a whole

(deftest java-is-that-of-the-example
  (let [example (set (map str/trim (str/split-lines (slurp "examples/plain-java/src/main/java/Rehearse.java"))))
        blocks  (map second (re-seq #"(?s)```java\n(.*?)```" (get pages "doc/java.md")))]
    (is (= [] (remove example (mapcat #(map str/trim (str/split-lines %)) (rest blocks)))) "but for the first block")))

(deftest cljdoc-has-each-page
  (let [files (filter string? (map :file (filter map? (tree-seq sequential? seq (:cljdoc.doc/tree (edn/read-string (slurp "doc/cljdoc.edn")))))))]
    (is (apply distinct? files))
    (is (= (set (remove #(str/starts-with? % "examples/") (keys pages))) (set files)))))

(deftest pages-are-made-from-the-tables
  (load-file "dev/espalier/reference.clj")
  (doseq [page ["errors" "ugens"]]
    (is (true? (= ((resolve (symbol "espalier.reference" page))) (get pages (str "doc/" page ".md"))))
        (str "doc/" page ".md is older than what it is made from: bin/clj -M:dev -m espalier.reference makes it anew"))))

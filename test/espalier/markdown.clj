(ns espalier.markdown
  "What the tests read in the pages of the documentation, and how they type it."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [is testing]]
   [espalier.core :as sc]
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

(defn code-blocks
  "The blocks of Clojure of a page, each as it stands between its fences."
  [markdown]
  (map second (re-seq #"(?s)```clojure\n(.*?)```" markdown)))

(defn chunks
  "The pieces of all blocks, which empty lines divide."
  [markdown]
  (mapcat #(str/split (str/trim %) #"\n\n+") (code-blocks markdown)))

(defn- likeness
  "A text without what differs from time to time: ports and process ids, which have five digits and more."
  [text]
  (str/replace text #"\d{5,}" "0"))

(defn- told
  "What stands in a piece behind `;=>`, `; throws` or `; prints`, its lines up to the next such
  one, and without it; nil where there is none."
  [chunk mark]
  (some-> (second (re-find (re-pattern (str "(?ms)^; ?" mark " ?(.*?)(?=^;=>|^; throws|^; prints|^[^;]|\\z)")) chunk))
          (str/replace #"(?m)^;\s*" "")
          str/trim))

(defn- check-value [value result]
  (if (str/includes? result "#<")
    (is (= (likeness result) (likeness (pr-str value))))
    (is (= (read-string result) value))))

(defn type-page
  "Types the Clojure of a page, piece by piece, in a namespace of its own, which is removed
  afterwards, and checks what the page says:

      ;=> what the piece returns, as a value or, with #<…> in it, as it prints
      ; throws :espalier.error/no-such-node
      ; prints lines of what it prints

  Numbers of five digits, such as ports, may differ.

  `:replace`  map from texts of the page to what is typed in their place; `{:audio :dummy` gets
              a free port besides
  `:before`   map from a text to code that is typed before the piece that has it: what the page
              takes for granted
  `:after`    called with the namespace at the end, whatever came of it"
  [path {:keys [before after] replacements :replace}]
  (let [n     (create-ns (gensym "espalier.page"))
        ready (fn [code]
                (reduce-kv (fn [code from to] (str/replace code from (str to)))
                           (str/replace code "{:audio :dummy" (str "{:audio :dummy, :port " (sc/find-free-port)))
                           (or replacements {})))]
    (try
      (binding [*ns* n]
        (refer-clojure)
        (doseq [chunk (chunks (slurp path))]
          (doseq [[text code] before :when (str/includes? chunk text)]
            (load-string (ready code)))
          (testing (str path "\n" chunk)
            (let [value  (promise)
                  code   (ready chunk)
                  throws (some-> (told chunk "throws") (str/split #"[\s,;:.]*\s|$") first read-string)
                  said   (with-out-str
                           (deliver value (try (load-string code)
                                               (catch clojure.lang.Compiler$CompilerException e
                                                 (or (when throws (error/code (ex-cause e))) (throw e))))))]
              (when throws (is (= throws @value)))
              (some->> (told chunk "=>") (check-value @value))
              (doseq [line (some-> (told chunk "prints") str/split-lines)]
                (is (some #{(likeness (str/trim line))} (map (comp likeness str/trim) (str/split-lines said))) said))))))
      (finally
        (when after (after n))
        (remove-ns (ns-name n))))))

(ns espalier.repl-page-test
  "What doc/repl.md shows is typed here as it stands, and says and returns what it tells."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :as markdown]
   [espalier.repl :as repl]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- chunks
  "The code of the page, as far as an empty line, with the lines that it says and what it
  returns; nil where it does not tell."
  [markdown]
  (for [chunk (markdown/chunks markdown)
        :let  [lines (str/split-lines chunk)
               told  (fn [re] (not-empty (keep #(second (re-find re %)) lines)))]]
    {:code   (str/join "\n" (remove #(str/starts-with? % ";") lines))
     :says   (told #"^; (.*)")
     :result (first (told #"^;=> (.*)"))}))

(defn- likeness
  "A line without what differs from time to time: numbers, and whether there is a sound card."
  [line]
  (-> line (str/replace ", without a sound card" "") (str/replace #"\d+([.:]\d+)*" "0")
      (str/replace #"\b(entry|entries)\b" "entries") (str/replace #"0 (\w+?)s?\b" "0 $1")))

(deftest what-the-page-shows
  (repl/adopt (sc/server {:audio :dummy, :port (sc/find-free-port), :load-synthdefs false}))
  (let [n (create-ns 'espalier.repl-page-example)]
    (try
      (binding [*ns* n]
        (refer-clojure)
        (doseq [{:keys [code says result]} (chunks (slurp "doc/repl.md"))]
          (testing code
            (let [value (promise)
                  said  (with-out-str (deliver value (load-string code)))
                  lines (set (map likeness (str/split-lines said)))]
              (doseq [line says]
                (is (contains? lines (likeness line)) said))
              (cond
                (nil? result)                  nil
                (str/starts-with? result "#<") (is (= result (pr-str @value)))
                :else                          (is (= (read-string result) @value)))))))
      (finally
        (repl/tap-log! false)
        (with-out-str (repl/quit))
        (repl/adopt (sc/server))
        (remove-ns 'espalier.repl-page-example)))))

(ns espalier.model.options-page
  "The option table as people read it: as text at a REPL, and as the page
  doc/options.md."
  (:require
   [clojure.string :as str]
   [espalier.model.options :as options]
   [espalier.model.options-table :as options-table]
   [espalier.model.options-type :as options-type]))

(set! *warn-on-reflection* true)

(def ^:private platform-names {:linux "Linux", :macos "macOS", :windows "Windows"})

(defn- flag [{:keys [flag tcp-flag second-of]}]
  (str/join " " (remove nil? [flag tcp-flag second-of])))

(defn- engines [entry]
  (if (next (:engines entry)) "both" (name (first (:engines entry)))))

(defn- remarks
  "What is to be said of an entry beside its own line."
  [{:keys [platforms ignored-by rounded-by since note]}]
  (remove nil?
          (concat
            (for [[engine platform] platforms] (str (name engine) ": on " (platform-names platform) " only"))
            (for [engine rounded-by] (str (name engine) " rounds up to a power of two"))
            (for [engine ignored-by] (str (name engine) " does nothing with it"))
            [note (when since (str "since " since))])))

(defn- line [entry]
  (str/join "; " (cons (:doc entry) (remarks entry))))

(defn- cells [entry]
  [(str (:name entry)) (flag entry) (pr-str (:default entry)) (options-type/brief entry) (engines entry) (line entry)])

(def ^:private heads ["option" "flag" "default" "values" "engines" "what it is"])

(defn- without-flags [row]
  (mapv row [0 2 3 5]))

(defn- align
  "The rows as lines, their columns under each other."
  [rows]
  (let [widths (apply map (fn [& column] (apply max (map count column))) rows)]
    (for [row rows]
      (str/trimr (str/join "  " (map (fn [width cell] (format (str "%-" (max 1 width) "s") cell)) widths row))))))

(defn text
  "Every option in two aligned tables, as a string: the server's, with flag,
  default, values and engines, then Espalier's own.

      (println (text))"
  []
  (str/join "\n"
            (concat
              ["Options of the server"]
              (align (cons heads (map cells options-table/server-options)))
              ["" "Options of Espalier itself"]
              (align (map without-flags (cons heads (map cells options-table/client-options)))))))

(defn- markdown-row [row]
  (str "| " (str/join " | " (map #(str/replace % "|" "\\|") row)) " |"))

(defn- markdown-table [heads rows]
  (concat [(markdown-row heads)
           (markdown-row (map (constantly "---") heads))]
          (map markdown-row rows)))

(defn- as-code [[k flag default values & more]]
  (let [code #(if (= "" %) "" (str "`" % "`"))]
    (into [(code k) (code flag) (code default) values] more)))

(defn markdown
  "The page doc/options.md, as a string."
  []
  (str/join
    "\n"
    (concat
      ["<!-- Made from the option table. After a change there, in the project's folder:"
       "     bin/clj -M -e \"(require 'espalier.model.options-page) (spit \\\"doc/options.md\\\" (espalier.model.options-page/markdown))\" -->"
       ""
       "# Options"
       ""
       "`(sc/options)` returns all of them with their defaults, `(sc/boot! s {:port 56666})` takes any of them,"
       "`(sc/doc-options)` prints these tables. Everything is checked before a server is started."
       ""
       "## Of the server"
       ""
       "Each becomes a flag of the server's command line, unless the server does the same without it. nil means unset."
       ""]
      (markdown-table heads (map (comp as-code cells) options-table/server-options))
      [""
       "## Of Espalier itself"
       ""]
      (markdown-table (without-flags heads) (map (comp without-flags as-code cells) options-table/client-options))
      [""
       "## Rules"
       ""]
      (map #(str "- " (:doc %)) options/rules)
      ["- An option of the other engine, with another value than its default, is an error; so is one of another platform."
       "- Whole numbers may be written as 64, 64.0 or 64N, choices as keywords or strings, paths as strings, Files or Paths."
       ""])))

(ns espalier.markdown
  "What the tests read in the pages of the documentation."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(defn code-blocks
  "The blocks of Clojure of a page, each as it stands between its fences."
  [markdown]
  (map second (re-seq #"(?s)```clojure\n(.*?)```" markdown)))

(defn chunks
  "The pieces of all blocks, which empty lines divide."
  [markdown]
  (mapcat #(str/split (str/trim %) #"\n\n+") (code-blocks markdown)))

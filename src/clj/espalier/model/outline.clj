(ns espalier.model.outline
  "What a picture shows of a node tree: all of a small one, and of a large one how much there
  is more."
  (:require
   [clojure.string :as str]
   [espalier.model.drawing :as drawing]
   [espalier.model.nesting :as nesting]
   [espalier.model.words :refer [counted]]))

(set! *warn-on-reflection* true)

(defn value-text
  "The value of a control as text, as short as it can be.

      (value-text [1.0 0.5])  ;=> \"[1 0.5]\""
  [x]
  (cond (number? x)     (drawing/number-text x)
        (sequential? x) (str "[" (str/join " " (map value-text x)) "]")
        (keyword? x)    (name x)
        :else           (str x)))

(defn- nodes-below
  "How many nodes are below each row, an array."
  ^longs [rows]
  (let [n (long-array (count rows))]
    (loop [i (dec (count rows))]
      (when (pos? i)
        (let [p (int (second (nth rows i)))]
          (aset n p (+ (aget n p) 1 (aget n i)))
          (recur (dec i)))))
    n))

(defn- omission [words] {:kind :omission, :words (str "… " words)})

(def defaults
  "What is shown where nobody says more: `:ids`, `:controls`, so many levels and so many nodes
  of a group."
  {:ids true, :controls true, :depth 24, :most-children 40})

(defn rows
  "What is shown of a tree: rows, see `espalier.model.nesting`, whose nodes have their `:level`, 0 at the top.
  What is left out is a row of the kind :omission with its number in `:words`.

  `:depth`          how many levels below the top are shown
  `:most-children`  how many nodes of a group

      (rows {:kind :group, :children [{:kind :synth, :def \"bell\"}]} {:depth 0, :most-children 40})
      ;=> [[{:kind :group, :level 0} -1] [{:kind :omission, :words \"… 1 node\"} 0]]"
  [tree {:keys [depth most-children]}]
  (let [rows   (nesting/rows tree)
        below  (nodes-below rows)
        n      (count rows)
        sizes  (reduce (fn [sizes [_ p]] (update sizes p (fnil inc 0))) {} rows)
        places (long-array n -1)                           ; the place among those shown; -1 where it is not
        levels (long-array n)
        held   (long-array n)]
    (loop [i 0, out []]
      (if (= i n)
        out
        (let [[node p] (nth rows i)
              p        (long p)
              top?     (neg? p)
              parent   (if top? -1 (aget places p))
              level    (if top? 0 (inc (aget levels p)))
              nth-one  (if top? 0 (aget held p))
              size     (long (get sizes p 0))
              most     (if (= size (inc (long most-children))) size (long most-children))]   ; none is left out alone
          (aset levels i level)
          (when-not top? (aset held p (inc nth-one)))
          (cond
            (and (not top?) (neg? parent))
            (recur (inc i) out)

            (< nth-one most)
            (let [place (count out)
                  cut?  (and (= level (long depth)) (pos? (aget below i)))]
              (when-not cut? (aset places i place))
              (recur (inc i) (cond-> (conj out [(assoc node :level level) parent])
                               cut? (conj [(omission (counted (aget below i) "node")) place]))))

            (= nth-one most)
            (recur (inc i) (conj out [(omission (str (- size most) " more")) parent]))

            :else
            (recur (inc i) out)))))))

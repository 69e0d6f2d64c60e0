(ns espalier.runtime.log
  "The log of a handle: the last things that are worth telling, and who hears of new
  ones. It never prints."
  (:require
   [espalier.model.log :as log])
  (:import
   (clojure.lang PersistentQueue)))

(set! *warn-on-reflection* true)

(def size
  "So many entries are kept, the last ones."
  1000)

(deftype Log [state listeners])                  ; atoms: {:n, :entries, a queue}; id -> function of an entry

(defn log
  "An empty log."
  []
  (Log. (atom {:n 0, :entries PersistentQueue/EMPTY}) (atom {})))

(defn- with-entry [{:keys [n entries]} entry]
  (let [entries (conj entries (assoc entry :n n))]
    {:n       (inc (long n))
     :entries (if (< (long size) (count entries)) (pop entries) entries)}))

(defn add!
  "Adds an entry, and tells the listeners; returns nil. Called on whatever thread."
  [^Log l entry]
  (let [{:keys [n]} (swap! (.-state l) with-entry entry)]
    (run! (fn [f] (f (assoc entry :n (dec (long n))))) (vals @(.-listeners l)))))

(defn entries
  "What is kept, the oldest first.

  `:level`  only entries of this level and those above it
  `:after`  only those with a greater `:n`
  `:limit`  only so many, the last ones"
  [^Log l {:keys [level after limit]}]
  (cond->> (:entries @(.-state l))
    after (remove #(<= (long (:n %)) (long after)))
    level (#(log/at-least % level))
    limit (take-last limit)
    true  vec))

(defn tap!
  "Whether each new entry goes to `tap>` from now on, as a map."
  [^Log l on?]
  (swap! (.-listeners l) (fn [listeners] (if on? (assoc listeners ::tap #(tap> %)) (dissoc listeners ::tap))))
  nil)

(ns espalier.runtime.inspector-page
  "What an inspector shows, one value, `espalier.model.inspector`, and who waits for it to change."
  (:require
   [espalier.model.inspector :as inspector]
   [espalier.runtime.clock :as clock])
  (:import
   (java.util.concurrent CountDownLatch TimeUnit)
   (java.util.concurrent.atomic AtomicInteger)))

(set! *warn-on-reflection* true)

(deftype Page
  [server options
   shown                    ; atom: the value
   ^Object monitor          ; notified when that has changed, and when somebody comes to look
   ^AtomicInteger lookers   ; how many browsers look
   output                   ; atom: the :process whose output was read last, and its :lines
   ^CountDownLatch stopped])

(defn page
  "The page of a server that nobody has looked at yet."
  ^Page [s opts]
  (Page. s opts (atom inspector/page) (Object.) (AtomicInteger.) (atom nil) (CountDownLatch. 1)))

(defn stopped?
  "Whether the inspector has ended."
  [^Page p]
  (zero? (.getCount ^CountDownLatch (.-stopped p))))

(defn pause!
  "Waits so long, or until the inspector ends."
  [^Page p ms]
  (.await ^CountDownLatch (.-stopped p) (long ms) TimeUnit/MILLISECONDS))

(defn wake!
  "Has those look who wait."
  [^Page p]
  (locking (.-monitor p) (.notifyAll ^Object (.-monitor p))))

(defn await-that
  "Waits until `f` returns true, of which `wake!` tells; for so long at the most."
  [^Page p ms f]
  (let [end (+ (clock/milliseconds) (long ms))]
    (locking (.-monitor p)
      (loop []
        (let [left (- end (clock/milliseconds))]
          (cond
            (f)           true
            (pos? left)   (do (.wait ^Object (.-monitor p) left) (recur))
            :else         false))))))

(defn publish!
  "Changes what is shown by `f` with arguments."
  [^Page p f & args]
  (let [[before after] (swap-vals! (.-shown p) #(apply f % args))]
    (when-not (identical? before after)
      (wake! p))))

(defn assoc-new
  "As `assoc`, and the same map where the value is there already."
  [m k v]
  (if (= v (get m k)) m (assoc m k v)))

(defn log!
  "Shows one more entry of the log."
  [p [kind level text]]
  (publish! p inspector/logged (clock/now) kind level text))

(defn looked-at?
  "Whether somebody looks."
  [^Page p]
  (pos? (.get ^AtomicInteger (.-lookers p))))

(ns espalier.runtime.inspector
  "A live page about a server: who is told of it, and what it may do. What is seen of the
  server, `espalier.runtime.inspector-look`, becomes one value, `espalier.runtime.inspector-page`; a
  browser's own thread tells it what is new in that since what it was told last: one
  that reads slowly misses what was between, and delays nobody."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.inspector :as inspector]
   [espalier.model.json :as json]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.inspector-look :as look]
   [espalier.runtime.inspector-page :as page]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.node :as node]
   [espalier.runtime.page-server :as page-server])
  (:import
   (espalier.runtime.inspector_page Page)
   (java.io Closeable Writer)
   (java.util.concurrent CountDownLatch)
   (java.util.concurrent.atomic AtomicInteger)))

(set! *warn-on-reflection* true)

(declare stop! describe)

(deftype Inspector
  [page page-server handlers thread]
  Closeable
  (close [this] (stop! this) nil)
  Object
  (toString [this] (describe this)))

(defmethod print-method Inspector [i ^Writer w] (.write w (str i)))

;; ---- browsers

(def ^:private interval-ms "A browser is told something so often at the most." 100)
(def ^:private alive-ms "And so often at least, for only sending shows whether it is there." 10000)

(defn- event [news]
  (str "data: " (json/text news) "\n\n"))

(defn- tell-news!
  "Tells one browser what there is, and what is new, until it has gone."
  [^Page p send!]
  (let [{:keys [write? meters?]} (.-options p)]
    (send! "retry: 1000\n\n")
    (loop [told nil]
      (let [now  @(.-shown p)
            news (cond (nil? told)               (assoc (inspector/news now) :write write? :metered meters?)
                       (not (identical? told now)) (inspector/news told now))]
        (when news (send! (event news)))
        (when-not (page/pause! p interval-ms)
          (when-not (page/await-that p alive-ms (fn [] (or (page/stopped? p) (not (identical? now @(.-shown p))))))
            (send! ": alive\n\n"))
          (when-not (page/stopped? p)
            (recur now)))))))

(defn tell!
  "Calls `send!` with the page as text of a stream of events, and then with what is new in
  it, ten times a second at the most and not again before it has returned; returns when the
  inspector has ended. What `send!` throws ends it too."
  [^Page p send!]
  (let [^AtomicInteger lookers (.-lookers p)]
    (.incrementAndGet lookers)
    (page/wake! p)
    (try (tell-news! p send!)
         (finally (.decrementAndGet lookers)))))

;; ---- what the page may do

(defn- entity-of
  "The node whose id an action names."
  [^Page p {:strs [id]}]
  (let [s       (.-server p)
        session (handle/live s)
        id      (or (some-> id parse-long) (throw (IllegalArgumentException. "id is a node's number.")))
        kind    (:kind (get (:nodes (mirror/known (:mirror session))) id))]
    (when-not kind
      (throw (error/error :no-such-node (str "There is no node " id " any more.") {:node id})))
    (entities/known-node s session kind id)))

(def ^:private confirmed {:confirm true, :timeout-ms 2000})

(defn- actions [^Page p]
  (cond-> {"drift" (fn [_] (look/look-at-drift! p (handle/live (.-server p))))}
    (:write? (.-options p))
    (assoc "set"    (fn [{:strs [control value] :as asked}]
                      (when (str/blank? control) (throw (IllegalArgumentException. "control is the name of one.")))
                      (node/set-controls! (entity-of p asked) {control (inspector/control-value value)} confirmed)
                      nil)
           "pause"  (fn [asked] (node/set-running! (entity-of p asked) false confirmed) nil)
           "resume" (fn [asked] (node/set-running! (entity-of p asked) true confirmed) nil)
           "free"   (fn [asked] (node/free! (entity-of p asked) confirmed) nil))))

(def ^:private files
  {""         ["espalier/inspector/page.html" "text/html; charset=utf-8"]
   "page.css" ["espalier/inspector/page.css" "text/css; charset=utf-8"]
   "page.js"  ["espalier/inspector/page.js" "text/javascript; charset=utf-8"]})

(def ^:private most-pages "So many browsers may look at once." 16)

;; ---- its life

(defn start!
  "See `espalier.inspector/start!`."
  [s opts]
  (handle/state s)
  (let [opts (inspector/options opts)
        p    (page/page s opts)
        http (page-server/start! {:port (or (:port opts) 0), :files files, :actions (actions p), :stream (fn [send!] (tell! p send!))
                                  :on-fault (fn [e] (when-not (page/stopped? p) (page/log! p ["lifecycle" "error" (str "the inspector failed: " e)])))
                                  :limit most-pages, :name "espalier-inspector"})]
    (look/read-output! p)
    (look/show-server! p {})
    (Inspector. p http (look/handlers! p) (doto (Thread. (fn [] (look/keep-looking! p)) "espalier-inspector-look")
                                            (.setDaemon true)
                                            .start))))

(defn- check-inspector [i]
  (when-not (instance? Inspector i)
    (throw (error/error :invalid-argument (str "An inspector is what (inspector/start! s) returns, not " (pr-str i) ".") {:argument :inspector, :value i}))))

(defn stop!
  "See `espalier.inspector/stop!`."
  [^Inspector i]
  (check-inspector i)
  (let [^Page p (.-page i), ^CountDownLatch stopped (.-stopped p)]
    (locking stopped
      (when-not (page/stopped? p)
        (run! (fn [id] (handle/off! (.-server p) id)) (.-handlers i))
        (.countDown stopped)
        (page/wake! p)
        (page-server/stop! (.-page-server i))
        (.join ^Thread (.-thread i) 5000))))
  i)

(defn url
  "See `espalier.inspector/url`."
  [^Inspector i]
  (check-inspector i)
  (page-server/url (.-page-server i)))

(defn- describe [^Inspector i]
  (let [^Page p (.-page i), n (.get ^AtomicInteger (.-lookers p))]
    (str "#<Inspector " (if (page/stopped? p)
                          "STOPPED"
                          (str (url i) " " (if (:write? (.-options p)) "read-write" "read-only") ", " (counted n "page") " open"))
         ">")))

(ns espalier.runtime.declared
  "What a client has declared on a server: by the id of the group that it is in, the
  tree that is wanted, and what was made for it. It is remembered for one login.

      {:roots {1 {:rows      [[node parent] …]    what is wanted: see `espalier.model.nesting`
                  :shared?   true                 whether others may have nodes directly in the group
                  :prune     true
                  :ids       #{1000 1001}         the nodes that were declared
                  :keys      {:bass 1000}
                  :once      {:crash \"crash\"}     what was played and is not played again
                  :synthdefs {1000 synthdef}      what nodes were made of, where it was given as a value
                  :buses     {:verb {:spec … :entity …}}
                  :buffers   {:kick {:spec … :entity …}}
                  :pending   [{:edits [edit …], :at instant}]}}
       :sent  {\"bass\" synthdef}                   SynthDefs that were sent for trees
       :doubt? true                              whether nobody knows what has become of what was sent
       :there #{\"old\"}}                           names of others that the server was seen to have"
  (:require
   [espalier.model.command :as command]
   [espalier.model.control :as control]
   [espalier.model.error :as error]
   [espalier.model.state :as state]
   [espalier.runtime.mirror :as mirror])
  (:import
   (java.util.concurrent ConcurrentHashMap TimeUnit)
   (java.util.concurrent.locks ReentrantLock)))

(set! *warn-on-reflection* true)

(deftype Memory
  [known                       ; atom: the map above
   ^ConcurrentHashMap controls ; id -> the controls that a declared node has, as far as they were sent from here
   ^ReentrantLock lock])       ; one change of what is declared at a time

(defn memory
  "A memory of nothing."
  []
  (Memory. (atom {:roots {}, :sent {}, :there #{}}) (ConcurrentHashMap.) (ReentrantLock. true)))

(defn known
  "What is remembered in a session, a map."
  [{:keys [^Memory declared]}]
  @(.-known declared))

(defn change!
  "Changes what is remembered, by `f` with arguments."
  [{:keys [^Memory declared]} f & args]
  (apply swap! (.-known declared) f args))

(defn forget-pending!
  "Forgets edits that were to come before an Instant, or all where that is nil: of them
  nothing is heard any more."
  [session before]
  (let [still? (fn [{:keys [at]}] (and before (not (neg? (compare at before)))))]
    (when-not (every? #(every? still? (:pending %)) (vals (:roots (known session))))
      (change! session update :roots update-vals (fn [root] (update root :pending #(filterv still? %)))))))

(defn controls-of
  "The controls that a declared node has, as far as they were sent from here, a map; nil
  where nothing is known."
  [{:keys [^Memory declared]} id]
  (.get ^ConcurrentHashMap (.-controls declared) id))

(defn remember-controls!
  "Notes controls of a declared node, beside what is known of them."
  [{:keys [^Memory declared] :as session} id controls]
  (.put ^ConcurrentHashMap (.-controls declared) id
        (reduce-kv (fn [known k v] (assoc known k (if (contains? known k) (control/overlay (get known k) v) v)))
                   (or (controls-of session id) {})
                   controls)))

(defn forget-controls!
  "Notes that nothing is known of a node any more."
  [{:keys [^Memory declared]} id]
  (.remove ^ConcurrentHashMap (.-controls declared) id))

(defn- doubt-controls!
  "Notes that nobody knows what controls declared nodes have: the next reconcile sets them again."
  [{:keys [^Memory declared]} ids]
  (let [^ConcurrentHashMap controls (.-controls declared)]
    (run! (fn [id] (when (.containsKey controls id) (.put controls id {}))) ids)))

(defn doubt!
  "Notes that nobody knows what has become of what was sent of these nodes: the next reconcile looks, and sets their
  controls again."
  [session ids]
  (change! session assoc :doubt? true)
  (doubt-controls! session ids))

(def ^:private defines-synthdefs
  #{"/d_recv" "/d_load" "/d_loadDir"})

(defn touched!
  "Notes that a request which is being sent sets controls of declared nodes, if it does:
  the next reconcile sets what is declared of them again; or that it defines SynthDefs,
  perhaps others by the names of those that were sent for trees."
  [{:keys [^Memory declared mirror] :as session} request]
  (when (defines-synthdefs (nth request 0))
    (change! session assoc :sent {}))
  (let [^ConcurrentHashMap controls (.-controls declared)]
    (when (and (not (.isEmpty controls)) (command/sets-controls (nth request 0)))
      (when-some [id (nth request 1 nil)]
        (doubt-controls! session (if (.containsKey controls id)
                                   [id]
                                   ;; Settings of a group are of all that is in it.
                                   (state/below (mirror/known mirror) id)))))))

(def ^:private patience-s
  "No change of what is declared takes longer, whatever it waits for." 60)

(defn locked
  "Calls `f` while nobody else changes what is declared.

  Throws `:espalier.error/busy` where one such change takes longer than any should."
  [{:keys [^Memory declared]} f]
  (let [^ReentrantLock lock (.-lock declared)]
    (when-not (.tryLock lock (long patience-s) TimeUnit/SECONDS)
      (throw (error/error :busy (str "What is declared has been changing for " patience-s " s on another thread. Call again when the reconcile!, adopt! or restore! there has returned.") {})))
    (try (f) (finally (.unlock lock)))))

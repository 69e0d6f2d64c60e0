(ns espalier.runtime.stage
  "What somebody at a prompt plays on one server: a declared tree and single synths,
  voices. Both are one value,

      {:tree   [:group {:key :mix} …]                           what `reconcile!` takes, or nil
       :voices {1 {:synthdef \"bell\", :controls {:freq 440}}}}    by number; a SynthDef, a name or a graph

  so that playing, stopping, undo and redo are one thing: from one value to another."
  (:require
   [espalier.model.error :as error]
   [espalier.model.history :as history]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.node :as node]
   [espalier.runtime.playing :as playing]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.synthdefs :as synthdefs]))

(set! *warn-on-reflection* true)

(def ^:private silence {:tree nil, :voices {}})

(defn stage
  "A stage on which nothing has been played."
  []
  (atom {:history (history/history silence)
         :synths  {}                             ; by voice, the entity that plays it
         :counter 0
         :era     nil}))                         ; the login on which all this plays

;; ---- what has ended by itself

(defn- sounds? [session synth]
  (mirror/there? (:mirror session) (:id synth)))

(defn- without-voices [value numbers]
  (update value :voices #(apply dissoc % numbers)))

(defn- up-to-date
  "What is on the stage now: voices that have ended by themselves are forgotten, and on
  another login nothing plays, which can be undone; unless it is one that has restored
  what played."
  [{:keys [synths era history] :as stage} {:keys [eras] :as session}]
  (if (or (= era (:era session)) (and era (contains? eras era)))
    (let [ended (remove #(sounds? session (synths %)) (keys synths))]
      (assoc stage
             :era     (:era session)
             :synths  (apply dissoc synths ended)
             :history (history/revise history #(without-voices % ended))))
    (assoc stage
           :era     (:era session)
           :synths  {}
           :history (if (= silence (:now history)) history (history/change history silence)))))

;; ---- from one value to another

(defn- names-in
  "The names of SynthDefs in what is declared."
  [tree]
  (into #{}
        (comp (filter map?) (map :def) (filter #(or (string? %) (instance? clojure.lang.Named %))) (map name))
        (tree-seq coll? seq tree)))

(defn- send-instruments!
  "Sends those SynthDefs of these names that the server does not have, and
  `espalier.instruments` has."
  [s names]
  (let [known   (:synthdefs (mirror/known (:mirror (handle/live s))))
        unknown (into #{} (remove #(contains? known %)) names)]
    (when (seq unknown)
      (when-let [defs (seq (filter (comp unknown :name) @(requiring-resolve 'espalier.instruments/all)))]
        (synthdefs/add-synthdefs! s defs {})))))

(defn- no-such-synthdef
  "The error of a server that has no SynthDef of a name, with the nearest of those that there
  are."
  [s synthdef e]
  (let [known (into (set (keys (:synthdefs (mirror/known (:mirror (handle/live s))))))
                    (map :name) @(requiring-resolve 'espalier.instruments/all))]
    (error/error :no-such-synthdef
                 (str "Neither the server nor espalier.instruments has a SynthDef " (pr-str synthdef) "." (error/hint synthdef known)
                      " A SynthDef value is sent when it is played.")
                 (assoc (ex-data e) :synthdef synthdef) e)))

(defn- start-synth! [s synthdef controls opts]
  (try (node/add-synth! s synthdef controls opts)
       (catch clojure.lang.ExceptionInfo e
         (throw (if (= :espalier.error/no-such-synthdef (error/code e)) (no-such-synthdef s synthdef e) e)))))

(defn- start! [s {:keys [synthdef controls opts graph]}]
  (let [opts (assoc opts :confirm true)]
    (if graph
      (playing/play-graph! s (fn [synthdef-name opts] ((requiring-resolve 'espalier.synthdef/playable) synthdef-name graph opts)) opts)
      (do (if (map? synthdef)
            (synthdefs/add-synthdefs! s synthdef {})
            (send-instruments! s [synthdef]))
          (start-synth! s synthdef controls opts)))))

(defn- end!
  "Frees a synth, which may have ended meanwhile."
  [synth]
  (try (node/free! synth {:confirm true})
       (catch clojure.lang.ExceptionInfo e
         (when-not (= :espalier.error/no-such-node (error/code e)) (throw e)))))

(defn- declare! [s tree]
  (send-instruments! s (names-in tree))
  (reconcile/reconcile! s tree {}))

(defn- start-all!
  "Starts voices, by number, and notes who plays them. Where not all must be started, those that
  cannot be are passed over. Returns `:started`, and `:failed`, from number to error."
  [s stage voices must?]
  (reduce (fn [result [n voice]]
            (try
              (let [synth (start! s voice)]
                (swap! stage update :synths assoc n synth)
                (update result :started conj synth))
              (catch clojure.lang.ExceptionInfo e
                (when must? (throw e))
                (assoc-in result [:failed n] e))))
          {:started [], :failed {}}
          (sort-by key voices)))

(defn- become!
  "Makes what plays what `value` says; returns what was done."
  [s stage value must?]
  (let [{:keys [history synths]} @stage
        {old-tree :tree, old-voices :voices} (:now history)
        gone   (remove (:voices value) (keys old-voices))
        report (when (not= old-tree (:tree value))
                 (declare! s (:tree value)))
        freed  (into [] (keep synths) gone)]
    (run! end! freed)
    (swap! stage update :synths #(apply dissoc % gone))
    (assoc (start-all! s stage (apply dissoc (:voices value) (keys old-voices)) must?)
           :report report, :freed freed)))

(defn- step!
  "Takes a step in the history, that which `next` says. Returns what was done, nil where there
  is no such step. What throws is no step. `must?` says whether it throws where a voice
  cannot be started, or goes on without that."
  [s stage next must?]
  (let [session (handle/live s)]
    (locking stage
      (swap! stage up-to-date session)
      (when-let [history (next (:history @stage))]
        (let [{:keys [failed] :as done} (become! s stage (:now history) must?)]
          (swap! stage assoc :history (history/revise history #(without-voices % (keys failed))))
          done)))))

;; ---- the steps

(defn play-tree!
  "Declares a tree in place of the one before. Returns what was done, a map of `:report`,
  `:started` and `:freed`."
  [s stage tree]
  (step! s stage (fn [history] (history/change history (assoc (:now history) :tree tree))) true))

(defn play-voice!
  "Starts a synth beside what plays; returns what was done.

  `voice`  `:synthdef`, a value or a name, and `:controls`; or `:graph`, a function. And
           `:opts`, what `add-synth!` or `play-graph!` takes"
  [s stage voice]
  (let [n (:counter (swap! stage update :counter inc))]
    (step! s stage (fn [history] (history/change history (assoc-in (:now history) [:voices n] voice))) true)))

(defn stop!
  "Frees all that was played; returns what was done, nil where nothing plays."
  [s stage]
  (step! s stage (fn [history] (when (not= silence (:now history)) (history/change history silence))) true))

(defn undo!
  "Makes what plays what it was before the last step; nil where there was none. A voice that
  cannot be started any more is among the `:failed`, and forgotten."
  [s stage]
  (step! s stage history/undo false))

(defn redo!
  "Takes back `undo!`; nil where there is nothing to take back."
  [s stage]
  (step! s stage history/redo false))

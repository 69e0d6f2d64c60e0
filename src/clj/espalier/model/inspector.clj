(ns espalier.model.inspector
  "What the inspector's page shows, as a value, and what is new in one against another.

      {:server    {:status \"online\", :engine \"scsynth\", :synth-count 1 …}
       :nodes     {0    {:id 0, :kind :group, :children [1]}
                   1000 {:id 1000, :kind :synth, :def \"bell\", :key \":bass\", :controls [[\"freq\" 440.0]]}}
       :stale     false          whether the nodes are those of a server that has gone
       :complete  true           whether the server told them all
       :drift     {:roots 1, :edits [\"set :bass: freq 55.0\"], :error nil}   nil where nobody has looked
       :meters    [{:peak 0.5, :rms 0.2}]
       :synthdefs [[\"bell\" [[\"freq\" 440.0]]]]
       :log       [{:n 0, :at instant, :kind \"lifecycle\", :level \"info\", :text \"booted\"}]
       :logged    1}             how many lines there were in all"
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.log :as model.log]
   [espalier.model.plan :as plan]
   [espalier.model.state :as state]))

(set! *warn-on-reflection* true)

(def page
  "The page before anything is known."
  {:server {:status "offline", :late-count 0}, :nodes {}, :stale false, :complete true
   :drift nil, :meters nil, :synthdefs [], :log [], :logged 0})

;; ---- what is asked for

(def ^:private defaults
  {:port nil, :write? false, :controls? true, :meters? false, :poll-ms 500, :drift-ms 5000})

(def ^:private rules
  "By option a predicate, and what is expected in words."
  (let [flag [boolean? "true or false"]]
    {:port      [(fn [x] (or (nil? x) (and (int? x) (<= 0 (long x) 65535)))) "a number from 0 to 65535, or nil for a free one"]
     :poll-ms   [(fn [x] (and (int? x) (<= 100 (long x)))) "a number of milliseconds, 100 or more"]
     :drift-ms  [(fn [x] (or (nil? x) (and (int? x) (<= 100 (long x))))) "a number of milliseconds, 100 or more, or nil for never"]
     :write?    flag
     :controls? flag
     :meters?   flag}))

(defn options
  "The options of an inspector, complete, if they are right; `espalier.inspector/start!`
  tells what they mean.

  Throws `:espalier.error/unknown-option`, `:espalier.error/invalid-option`.

      (:poll-ms (options {}))  ;=> 500"
  [opts]
  (when-not (map? opts)
    (throw (error/error :invalid-option (str "The options of the inspector are a map, {:write? true} for example, not " (pr-str opts) ".")
                        {:value opts})))
  (doseq [[k value] opts
          :let [[right? expected :as rule] (get rules k)]]
    (when-not rule
      (throw (error/error :unknown-option
                          (str "The inspector takes no option " (pr-str k) "." (error/hint k (keys rules)) " It takes " (str/join ", " (sort (keys rules))) ".")
                          {:option k, :value value})))
    (when-not (right? value)
      (throw (error/error :invalid-option (str k " is " expected ", not " (pr-str value) ". (inspector/start! s {" k " " (pr-str (get defaults k)) "}) is the default.")
                          {:option k, :value value}))))
  (merge defaults opts))

(defn control-value
  "The value of a control as it was typed: a number, or several for an array.

  Throws an IllegalArgumentException, which says what can be typed.

      (control-value \"0.5, 1\")  ;=> [0.5 1.0]"
  [text]
  (let [numbers (mapv parse-double (re-seq #"[^\s,\[\]]+" (or text "")))]
    (when (or (empty? numbers) (some nil? numbers))
      (throw (IllegalArgumentException. (str "A control is set to a number, or several with commas between, not to \"" text "\"."))))
    (if (next numbers) numbers (first numbers))))

;; ---- nodes

(defn- key-text [k]
  (when (some? k) (pr-str k)))

(defn- flat
  "A node as the page has it: without what does not hold."
  [id kind synthdef k paused? parallel? controls children]
  (cond-> {:id id, :kind kind}
    (= :synth kind) (assoc :def synthdef)
    (= :group kind) (assoc :children children)
    (some? k)       (assoc :key (key-text k))
    paused?         (assoc :paused true)
    parallel?       (assoc :parallel true)
    controls        (assoc :controls controls)))

(defn- known-controls
  "The controls that a node of the page had, where it is one of that SynthDef still."
  [nodes id synthdef]
  (let [before (get nodes id)]
    (when (and before (or (nil? synthdef) (= synthdef (:def before))))
      (:controls before))))

(defn told-nodes
  "The nodes of a page, by id, of a tree that `espalier.core/query-tree` returns. Controls
  that it lacks are those of `nodes`, a page's nodes before.

      (told-nodes {} {:id 0, :kind :group, :children []})
      ;=> {0 {:id 0, :kind :group, :children []}}"
  [nodes tree]
  (loop [todo (list tree), found (transient {})]
    (if-let [{:keys [id kind children controls paused parallel] :as node} (peek todo)]
      (recur (into (pop todo) children)
             (assoc! found id (flat id kind (:def node) (:key node) paused parallel
                                    (if controls (mapv vec controls) (known-controls nodes id (:def node)))
                                    (mapv :id children))))
      (persistent! found))))

(defn known-nodes
  "The nodes of a page, by id, of what `espalier.model.state` knows, which has no values of
  controls: those are of `nodes`, a page's nodes before."
  [nodes known]
  (loop [todo (list 0), found (transient {})]
    (if-let [id (peek todo)]
      (let [{:keys [kind parallel? status] :as node} (get (:nodes known) id)
            children (when (= :group kind) (state/children known id))
            ;; A replaced synth is told of before its SynthDef is.
            synthdef (or (:def node) (:def (get nodes id)))]
        (recur (into (pop todo) (remove (fn [id] (get found id))) children)
               (assoc! found id (flat id kind synthdef (:key node) (= :paused status) parallel?
                                      (when (= :synth kind) (known-controls nodes id synthdef)) children))))
      (persistent! found))))

(defn synthdefs
  "SynthDefs for the page, of those of `espalier.model.state`: by name the controls with
  their defaults, nil where they are not known.

      (synthdefs {\"bell\" {\"freq\" {:index 0, :size 1, :default 440.0}}})
      ;=> [[\"bell\" [[\"freq\" 440.0]]]]"
  [known]
  (mapv (fn [[synthdef controls]]
          [synthdef (when controls
                      (mapv (fn [[control {:keys [default]}]] [(str control) default])
                            (sort-by (comp :index val) controls)))])
        (sort-by key known)))

;; ---- what is told in words

(def ^:private log-limit
  "So many lines of the log are kept."
  500)

(defn logged
  "The page with one more line in its log, of which the last 500 are kept.

  `kind`   \"lifecycle\", \"fail\", \"late\", \"output\" or \"drift\"
  `level`  \"info\", \"warn\" or \"error\"
  `at`     an Instant"
  [{:keys [log logged] :as page} at kind level text]
  (let [log (conj log {:n logged, :at (str at), :kind kind, :level level, :text text})]
    (assoc page
           :log    (if (< log-limit (count log)) (into [] (subvec log (- (count log) log-limit))) log)
           :logged (inc (long logged)))))

(defn- error-text [e]
  (str (when-let [code (error/code e)] (str (name code) ": ")) (or (ex-message e) (str (class e)))))

(defn event-line
  "A lifecycle event as `[kind level text]`.

      (event-line {:event :late, :late-s 0.02})  ;=> [\"late\" \"warn\" \"A bundle came 0.02 s late.\"]"
  [event]
  (let [{:keys [what level text]} (model.log/of-event event)]
    [(case what :late "late", :command-failed "fail", "lifecycle") (name level) text]))

(defn drift
  "What the page shows of drift: of how many roots something is declared, and the edits in
  words that would mend what plays; or the error of having looked."
  ([roots edits] {:roots roots, :edits (mapv plan/text edits), :error nil})
  ([roots _ error] {:roots roots, :edits [], :error (error-text error)}))

;; ---- what is new

(defn- node-news [before after]
  (let [changed (into [] (keep (fn [[id node]] (when-not (= node (get before id)) node))) after)
        gone    (into [] (remove (fn [id] (contains? after id))) (keys before))]
    (when (or (seq changed) (seq gone))
      {:changed changed, :gone gone})))

(defn- line-news
  "The lines that came since `before` was shown, of those that are kept."
  [before after]
  (let [n (- (long (:logged after)) (long (:logged before)))]
    (when (pos? n)
      (vec (take-last n (:log after))))))

(defn news
  "What a browser that shows the page `before` must be told to show `after`, a map of the
  parts that differ: of nodes those that are `:changed`, whole, and the ids of those that
  are `:gone`, of the log the new lines; nil where nothing differs. Without `before` it is
  all of `after`, and `:anew`.

      (news shown (assoc-in shown [:server :status] \"online\"))
      ;=> {:server {:status \"online\", :late-count 0}}"
  ([after] (assoc (dissoc after :logged :nodes)
                  :anew true
                  :nodes {:changed (vec (vals (:nodes after))), :gone []}))
  ([before after]
   (let [nodes (when-not (identical? (:nodes before) (:nodes after)) (node-news (:nodes before) (:nodes after)))
         lines (line-news before after)
         parts (into {}
                     (filter (fn [[k v]] (not= v (get before k))))
                     (select-keys after [:server :stale :complete :drift :meters :synthdefs]))]
     (not-empty (cond-> parts
                  nodes (assoc :nodes nodes)
                  lines (assoc :log lines))))))

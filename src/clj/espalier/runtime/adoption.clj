(ns espalier.runtime.adoption
  "Trees that play already, taken over as if they had been declared from here. Which node is
  which is found by `espalier.model.adoption`."
  (:require
   [clojure.string :as str]
   [espalier.model.adoption :as adoption]
   [espalier.model.error :as error]
   [espalier.model.form :as form]
   [espalier.model.nesting :as nesting]
   [espalier.model.options :as options]
   [espalier.model.state :as state]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.pretty :as pretty]
   [espalier.runtime.reconcile :as reconcile]
   [espalier.runtime.session :as session]
   [espalier.runtime.tree-query :as tree-query]
   [espalier.runtime.wish :as wish])
  (:import
   (java.io Writer)))

(set! *warn-on-reflection* true)

(defrecord Report [] Object (toString [this] (pr-str this)))

(defmethod print-method Report [{:keys [root found missing unknown] :as report} ^Writer w]
  (if (and root found)
    (.write w (str "#<Report adopted " (counted found "node") " of group " root
                   (when (seq missing) (str "; what does not play: " (str/join ", " (take 3 (map pr-str missing))) (when (< 3 (count missing)) " …")))
                   (when (seq unknown) (str "; what plays and is not in the tree: " (str/join ", " (take 3 unknown)) (when (< 3 (count unknown)) " …")))
                   ">"))
    (print-method (into {} report) w)))

(defn- playing-groups
  "The default groups in which something plays, ours first."
  [{:keys [client-id mirror]}]
  (let [known (mirror/known mirror)
        own   (session/default-group-id client-id)]
    (filter (fn [id] (seq (state/children known id)))
            (cons own (sort (filter (fn [id] (and (pos? (long id)) (not= own id) (session/default-group? id))) (keys (:nodes known))))))))

(defn- root-of
  "The id of the group whose content is adopted: what is asked for, or the default group in which
  something plays."
  [s {:keys [client-id] :as session} root]
  (let [own (session/default-group-id client-id)
        [id & more :as ids] (playing-groups session)]
    (cond
      root                 (wish/root-id s session root)
      (or (nil? id) (= own id) (nil? more)) (or id own)
      :else (throw (error/error :invalid-option
                                (str "Several clients play, in the groups " (str/join ", " ids) ". Say which one is adopted: (sc/adopt! s tree {:root " id "}).")
                                {:option :root, :value nil, :choices ids})))))

(defn adopt!
  "See `espalier.core/adopt!`."
  [s x opts]
  (let [{:keys [timeout-ms] :as opts} (options/check-call opts #{:root :timeout-ms})
        _ (moment/refuse-inside! "adopt!")
        {:keys [mirror] :as session} (handle/live s)
        timeout-ms (or timeout-ms (:timeout-ms session))]
    (declared/locked
      session
      (fn []
        (tree-query/mend! session mirror)
        (let [root    (root-of s session (:root opts))
              {:keys [rows buses buffers]} (if (nil? x) {:rows [[{:kind :group} -1]]} (wish/wish s session x {:root root, :timeout-ms timeout-ms}))
              ;; Which numbers they had that play, nobody knows: the next reconcile makes them, and has what plays use them.
              _       (wish/give-back! session (concat (vals buses) (vals buffers)))
              before  (get-in (declared/known session) [:roots root])
              told    (reconcile/told-rows session root before timeout-ms)
              {now :rows, :keys [missing unknown found]} (adoption/adopted rows told)
              ids     (into #{} (map (comp :id first)) (rest now))
              by-key  (into {} (keep (fn [[{:keys [key id]}]] (when (some? key) [key id]))) (rest now))]
          (doseq [[{:keys [id controls]}] (rest now) :when controls]
            (declared/forget-controls! session id)
            (declared/remember-controls! session id controls))
          (let [{:keys [nodes]} (mirror/known mirror)]
            (mirror/tell! mirror [:note (into [] (keep (fn [[{:keys [id key]}]] (when (not= key (:key (get nodes id))) [id {:key key}]))) (rest now))]))
          (declared/change! session assoc-in [:roots root]
                            {:rows      (into [[{:kind :group} -1]]
                                              (map (fn [[node parent]] [(select-keys node [:kind :key :def :controls :paused :parallel :once :synthdef]) parent]))
                                              (rest now))
                             :shared?   (and (nil? (:root opts)) (= root (session/default-group-id (:client-id session))))
                             :prune     true
                             :ids       ids
                             :keys      by-key
                             :once      {}
                             :synthdefs (into {} (keep (fn [[{:keys [id synthdef]}]] (when synthdef [id synthdef]))) now)
                             :buses     (:buses before {})
                             :buffers   (:buffers before {})
                             :pending   []})
          (pretty/teach! Report)
          (map->Report
            {:root    root
             :ids     by-key
             :found   found
             :missing (mapv (fn [[{:keys [key def kind]}]] (or key def kind)) missing)
             :unknown (mapv (fn [[{:keys [id]}]] id) unknown)
             :tree    (mapv form/written (:children (nesting/tree (mapv (fn [[node parent]] [(select-keys node [:kind :key :def :controls :paused :parallel]) parent]) now))))}))))))

(ns espalier.model.runs
  "Which nodes requests pause, and which they let go on.")

(set! *warn-on-reflection* true)

(defn run?
  "Whether a request pauses nodes, or lets them go on."
  [request]
  (= "/n_run" (first request)))

(defn flags
  "The nodes of such a request, `[id flag]` each; 0 pauses.

      (flags [\"/n_run\" 1000 0 1001 1])  ;=> ((1000 0) (1001 1))"
  [request]
  (partition 2 (rest request)))

(defn- with-flags [item flags]
  (assoc item :request (into ["/n_run"] cat flags)))

(defn mentioned?
  "Whether there are such requests among items, completions too."
  [items]
  (boolean (some (fn [{:keys [request completion]}] (or (run? request) (mentioned? completion))) items)))

(defn kept
  "The items with those flags that `keep?`, a function of the id and the flag, is true of. It is
  asked in their order; what nobody has checked, `:raw`, stays."
  [items keep?]
  (into []
        (keep (fn [{:keys [request completion raw] :as item}]
                (cond
                  raw            item
                  (run? request) (when-let [flags (seq (filterv (fn [[id flag]] (keep? id flag)) (flags request)))]
                                   (with-flags item flags))
                  completion     (update item :completion kept keep?)
                  :else          item)))
        items))

(defn- last-of [[seen flags] [id :as flag]]
  (if (contains? seen id)
    [seen flags]
    [(conj seen id) (cons flag flags)]))

(defn last-runs
  "The items with the last flag alone of each node among those that take effect at once. `waits?`
  says of an item whether what is behind it waits until it is done.

      (last-runs [{:request [\"/n_run\" 1000 0]} {:request [\"/n_run\" 1000 1]}] (constantly false))
      ;=> [{:request [\"/n_run\" 1000 1]}]"
  [items waits?]
  (let [step (fn [[seen done] {:keys [request completion raw] :as item}]
               (cond
                 raw            [seen (cons item done)]
                 (run? request) (let [[seen flags] (reduce last-of [seen ()] (reverse (flags request)))]
                                  [seen (if (seq flags) (cons (with-flags item flags) done) done)])
                 completion     [seen (cons (update item :completion last-runs waits?) done)]
                 (waits? item)  [#{} (cons item done)]
                 :else          [seen (cons item done)]))]
    (vec (second (reduce step [#{} ()] (rseq (vec items)))))))

(ns espalier.model.rehearsal-end
  "How the synths of a rehearsal end, or pause, by themselves: their timers are kept up when a
  control or the tree changes, and what is due in a block is done."
  (:require
   [espalier.model.rehearsal-envelope :as envelope]
   [espalier.model.rehearsal-node :as node]))

(set! *warn-on-reflection* true)

;; ---- what is due, and when. A key is [block number]

(defn- enter [w block what]
  (let [k [block (:next-event w)]]
    [(-> w (update :next-event inc) (update :ends assoc k what)) k]))

(defn- schedule
  "The world in which a synth's next end is due when the first of its timers is over."
  [w id]
  (let [{:keys [timers end suspended?]} (get (:nodes w) id)
        w     (cond-> w end (update :ends dissoc end))
        due   (when-not suspended? (keep envelope/end-block timers))]
    (if (seq due)
      (let [[w k] (enter w (apply min due) {:over id})]
        (node/change w id :end k))
      (cond-> w end (node/change id :end nil)))))

(defn- change-timers [w id f]
  (node/change w id :timers (mapv f (:timers (get (:nodes w) id)))))

(defn- begin [w {:keys [id synthdef] :as synth}]
  (-> w
      (node/change id :timers (mapv #(envelope/start % synth w (:block w)) (:timers synthdef)))
      (schedule id)))

(defn- refresh
  "The world in which the timers of a synth count what is so now."
  [{:keys [block] :as w} {:keys [id timers suspended?] :as synth}]
  (let [running? (node/running? w id)
        w        (if suspended?
                   (cond-> w running? (change-timers id #(assoc % :at block)))
                   (change-timers w id #(envelope/run-to % block)))]
    (-> w
        (node/change id :suspended? (not running?))
        (change-timers id #(envelope/update-inputs % synth))
        (schedule id))))

(defn- plan-synth [w id]
  (let [{:keys [kind synthdef calc timers] :as synth} (get (:nodes w) id)]
    (cond
      (or (not= :synth kind) (empty? (:timers synthdef)) (= :end calc)) w
      timers                                                           (refresh w synth)
      (contains? #{:run :null} calc)                                  (begin w synth)
      :else                                                            w)))

(defn plan
  "The world in which what has changed in this block is reckoned with."
  [{:keys [touched] :as w}]
  (if (empty? touched)
    w
    (reduce (fn [w id]
              (if (node/group? (get (:nodes w) id))
                (reduce plan-synth w (into [] (comp (filter (comp :timers :synthdef)) (map :id)) (node/below w id)))
                (plan-synth w id)))
            (assoc w :touched [])
            (distinct touched))))

;; ---- what is done

(defn- doom
  "The world in which a node will be ended when it would be calculated the next time: in the
  next block, or in this one where it is `behind?` the synth that says so."
  [w id behind?]
  (let [{:keys [calc]} (get (:nodes w) id)]
    (cond
      (or (nil? calc) (= 0 id) (= :end calc)) w
      :else
      (-> w
          (cond-> (contains? #{:null :null-first} calc) (update :paused-count dec))
          (node/change id :calc :end)
          (enter (cond-> (long (:block w)) (not behind?) inc) {:free id})
          (nth 0)))))

(defn- doom-line
  "The world in which a node and all that are before it, or behind it, will end."
  [w id direction]
  (loop [w w, at id]
    (if at
      (recur (doom w at (and (= :next direction) (not= at id))) (get (get (:nodes w) at) direction))
      w)))

(defn- perform
  "The world in which a synth has done what this number says."
  [w id action]
  (let [{:keys [parent previous next]} (get (:nodes w) id)
        self (fn [] (doom w id false))
        end  (fn [w other] (doom w other (= other next)))
        with (fn [other f] (cond-> (self) other (f other)))
        all  (fn [free] (fn [w other] (if (node/group? (get (:nodes w) other)) (free w other) (end w other))))]
    (case (long action)
      1  (node/set-run w id false)
      2  (self)
      3  (with previous end)
      4  (with next end)
      5  (with previous (all node/free-all))
      6  (with next (all node/free-all))
      7  (doom-line w id :previous)
      8  (doom-line w id :next)
      9  (with previous #(node/set-run %1 %2 false))
      10 (with next #(node/set-run %1 %2 false))
      11 (with previous (all node/free-synths))
      12 (with next (all node/free-synths))
      13 (-> w (doom-line id :next) (doom-line id :previous))
      14 (cond-> w parent (doom parent false))
      15 (with next #(node/set-run %1 %2 true))
      w)))

(defn- finish-synth
  "The world in which those timers of a synth that are over in this block have been."
  [{:keys [block] :as w} id]
  (let [{:keys [timers]} (get (:nodes w) id)
        over? (fn [t] (some-> (envelope/end-block t) (<= (long block))))
        w     (node/change w id :timers (mapv (fn [t] (if (over? t) (envelope/over t block) t)) timers))
        w     (reduce (fn [w action] (if (get (:nodes w) id) (perform w id action) w))
                      (node/change w id :end nil)
                      (mapcat envelope/actions (filter over? timers)))]
    (if (and (get (:nodes w) id) (not= :end (:calc (get (:nodes w) id))))
      (schedule w id)
      w)))

(defn- free-doomed
  "The world without those nodes that are still to end, in the order in which they are
  calculated."
  [w ids]
  (let [due     (into #{} (filter #(= :end (:calc (get (:nodes w) %)))) ids)
        ordered (fn [id]
                  (let [parent (:parent (get (:nodes w) id))]
                    (filter due (if parent (map :id (node/children w parent)) [id]))))]
    (reduce (fn [w id] (if (get (:nodes w) id) (node/free w id) w))
            w
            (if (next due) (distinct (mapcat ordered (filter due ids))) due))))

(defn- due-keys [{:keys [ends block]}]
  (into [] (comp (take-while (fn [[[at]]] (<= (long at) (long block))))) ends))

(defn run
  "The world in which what was due in this block has been done."
  [w]
  (loop [w w]
    (let [due (due-keys w)]
      (if (empty? due)
        w
        (let [w (assoc w :ends (reduce dissoc (:ends w) (map key due)))
              w (free-doomed w (keep (comp :free val) due))]
          (recur (reduce (fn [w {id :over}]
                           (if (and id (get (:nodes w) id)) (finish-synth w id) w))
                         w
                         (map val due))))))))

(defn unknown
  "The synths whose end nobody can foretell, maps of `:id`, `:synthdef` and `:ugen`."
  [{:keys [nodes]}]
  (into []
        (mapcat (fn [[id {:keys [timers synthdef]}]]
                  (map (fn [ugen] {:id id, :synthdef (:name synthdef), :ugen ugen})
                       (distinct (keep :unknown timers)))))
        (sort-by key nodes)))

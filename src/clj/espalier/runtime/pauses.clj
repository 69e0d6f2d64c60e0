(ns espalier.runtime.pauses
  "Pauses that scsynth survives.

  A synth that is paused before its first block gets that all the same, without a sound. Where
  it is paused once more before, scsynth takes it for one that has had it, and ends when it is to go on, or is
  freed. That first block does not come while a group that it is in is paused, and not within one
  moment. Until it has come, nothing lets such a synth go on."
  (:require
   [espalier.model.bundle :as bundle]
   [espalier.model.error :as error]
   [espalier.model.runs :as runs]
   [espalier.model.state :as state]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.session :as session]))

(set! *warn-on-reflection* true)

(defn- node-of [{:keys [mirror]} id]
  (get (:nodes (mirror/known mirror)) id))

(defn- had-first-block?
  "Whether a synth has been calculated, now or when it will have been made."
  [{:keys [mirror] :as session} id]
  (cond
    (mirror/played? mirror id)                                    true
    (mirror/started? mirror id)                                   (when-not (state/held? (mirror/known mirror) id)
                                                                    (mirror/played! mirror id)
                                                                    true)
    (or (mirror/due? mirror id) (some? (node-of session id))) (not (mirror/groups-paused? mirror))
    ;; It is no node, which the server will say.
    :else                                                         true))

(defn- refuse! [id]
  (throw (error/error :refused-command
                      (str "Synth " id " has never played as far as is known, and is, or will be, paused already: scsynth would not survive another pause of it before it has."
                           " It plays when the groups that it is in do; (sc/resume! …) lets a group go on.")
                      {:node id})))

(defn- pause?
  "Whether a pause is to be sent; `told!` waits until all that was sent before has been told."
  [{:keys [mirror] :as session} id at told!]
  (let [before (mirror/pausing! mirror id)
        {:keys [kind status]} (node-of session id)]
    (cond
      (= :group kind)                              true
      (= :played before)                           true
      (and (nil? before) (not= :paused status)) true
      :else
      (do
        (told!)
        (cond
          (had-first-block? session id)                                true
          ;; It is paused.
          (and (nil? at) (= :paused (:status (node-of session id)))) false
          :else                                                        (refuse! id))))))

(defn- resume!
  "Waits for the first block of a synth whose pause is on its way, or that a group is to go on."
  [{:keys [mirror] :as session} id told!]
  (when (and (mirror/pausing? mirror id)
             (or (contains? #{:playing :expected} (:status (node-of session id)))
                 (state/held? (mirror/known mirror) id)))
    (told!)))

(defn safe
  "The items with those pauses alone that scsynth survives.

  Throws `:espalier.error/refused-command` for one at a time to come, of which nobody knows
  whether it will."
  [{:keys [tells-failures?] :as session} items {:keys [at timeout-ms]}]
  (if (and tells-failures? (runs/mentioned? items))
    (let [told (delay (session/sync! session (or timeout-ms (:timeout-ms session))))]
      (runs/kept (runs/last-runs items bundle/waited-for?)
                 (fn [id flag]
                   (let [id (long id)]
                     (if (zero? (long flag))
                       (pause? session id at #(force told))
                       (do (resume! session id #(force told)) true))))))
    items))

(defn- still-paused? [session id]
  (let [{:keys [kind status]} (node-of session id)]
    (and (= :synth kind) (= :paused status) (mirror/pausing? (:mirror session) id))))

(defn in-vain
  "The error of a request that should have let synths go on and has not, or nil. `flags` are by
  node the last ones that were sent, and all that came of them has been told."
  [{:keys [mirror link] :as session} request flags timeout-ms]
  (when (runs/run? request)
    (some (fn [[id flag]]
            (when (and (= 1 flag (get flags id)) (still-paused? session id))
              (if (state/held? (mirror/known mirror) id)
                (error/error :not-resumed
                             (str "Synth " id " is paused as before: it has never played, and a group that it is in is paused. scsynth lets it go on only after that."
                                  " (sc/resume! …) of the group, and then of the synth, does it.")
                             {:node id, :request request})
                ;; The block in which its group went on was its first.
                (do (link/send! link request)
                    (session/sync! session timeout-ms)))))
          (runs/flags request))))

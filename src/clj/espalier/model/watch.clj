(ns espalier.model.watch
  "When a server that says nothing is lost: a value stepped by the watcher's
  clock. Times are milliseconds of a clock that only goes forward.")

(defn start
  "The watch of a server that has just answered.

  `interval-ms`  how often it is asked for its status
  `patience-ms`  how long it may say nothing at all"
  [now interval-ms patience-ms]
  {:interval-ms interval-ms, :patience-ms patience-ms, :ticked now, :since now})

(defn step
  "The watch after a tick at `now`, with `:action`:

      :ping  ask for the status again
      :lost  nothing was heard for longer than the patience
      :woke  the tick itself came far too late, for this machine or JVM was asleep
             meanwhile: the silence proves nothing, and patience begins anew;
             `:asleep-ms` says how long

  `heard`  when the last packet arrived"
  [{:keys [interval-ms patience-ms ticked since] :as watch} now heard]
  (let [gap    (- now ticked)
        asleep (- gap interval-ms)
        watch  (assoc watch :ticked now)]
    (cond
      (> asleep (max 1000 (quot patience-ms 2)))     (assoc watch :since now :action :woke :asleep-ms asleep)
      (> (- now (max since heard)) patience-ms)      (assoc watch :action :lost)
      :else                                          (assoc watch :action :ping))))

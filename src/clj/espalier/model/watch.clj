(ns espalier.model.watch
  "When a server that says nothing is lost: a value stepped by the watcher's
  clock. Times are milliseconds of a clock that only goes forward.")

(defn settings
  "What `start` wants, from the options of a server. One that is to be restored is watched
  so often that a silence is told within a second.

      (settings {:watch-interval-ms 1000, :watch-patience-ms 5000, :on-lost :offline} true)
      ;=> {:interval-ms 1000, :patience-ms 5000}"
  [{:keys [watch-interval-ms watch-patience-ms on-lost]} owner?]
  (let [asked {:interval-ms watch-interval-ms, :patience-ms watch-patience-ms}]
    (if (= :offline on-lost)
      asked
      ;; Of a server that boots again the port is closed for little more than 100 ms, and nothing else tells a guest.
      (merge-with min asked {:interval-ms (if owner? 200 100), :slow-ms 600, :stopped-ms 400}))))

(defn start
  "The watch of a server that has just answered.

  `:interval-ms`  how often it is asked for its status
  `:patience-ms`  how long it may say nothing at all
  `:slow-ms`      after how long a silence is worth telling; without it, none is
  `:stopped-ms`   how long it may be stopped, and silent; without it, as long as patience lasts"
  ([now interval-ms patience-ms] (start now {:interval-ms interval-ms, :patience-ms patience-ms}))
  ([now settings] (assoc settings :ticked now, :since now, :steady now)))

(defn step
  "The watch after a tick at `now`, with `:action`:

      :ping    ask for the status again
      :slow    ask again; for `:silent-ms` nothing was heard
      :again   ask again; after a :slow, it was heard
      :lost    nothing was heard for longer than the patience, or, with `:stopped`, for so
               long as it may be stopped
      :woke    the tick itself came far too late, for this machine or JVM was asleep
               meanwhile: the silence proves nothing, and patience begins anew;
               `:asleep-ms` says how long

  `heard`    when the last packet arrived
  `stopped`  what is stopped, the server or what it plays on, where that is known"
  ([watch now heard] (step watch now heard nil))
  ([{:keys [interval-ms patience-ms slow-ms stopped-ms ticked since steady slow? stopped-since] :as watch} now heard stopped]
   (let [gap           (- now ticked)
         asleep        (- gap interval-ms)
         ;; Who could not even tick has not listened either.
         steady        (if (> asleep (max 200 interval-ms)) now steady)
         stopped-since (when stopped (max steady (or stopped-since now)))
         silent-ms     (- now (max since heard))
         watch         (assoc watch :ticked now, :steady steady, :stopped-since stopped-since)]
     (cond
       (> asleep (max 1000 (quot patience-ms 2)))
       (assoc watch :since now, :action :woke, :asleep-ms asleep)

       (> silent-ms patience-ms)
       (assoc watch :action :lost, :silent-ms silent-ms)

       (and stopped-ms stopped (>= silent-ms stopped-ms) (>= (- now stopped-since) stopped-ms))
       (assoc watch :action :lost, :silent-ms silent-ms, :stopped stopped)

       (and slow? (< silent-ms slow-ms))
       (assoc watch :action :again, :slow? false)

       (and slow-ms (not slow?) (>= (- now (max since heard steady)) slow-ms))
       (assoc watch :action :slow, :slow? true, :silent-ms silent-ms)

       :else
       (assoc watch :action :ping)))))

(ns espalier.repl
  "For people at a prompt: one server that need not be named, and words that are short.

      (require '[espalier.repl :refer :all])

      (boot)                      ; a server, on a free port, without a sound card too
      (play :bell {:freq 660})    ; an instrument
      (play [:group {:key :mix} [:synth {:key :low, :def :organ} {:freq 110}]])
      (tree)
      (undo)
      (stop)
      (quit)

  Each of these says in one line what it did and how long that took, and returns a value
  that prints in one line. `(about :bell)` looks up anything, `(logs)` shows what happened
  meanwhile. `(server)` is the handle, for all else that `espalier.core` can do.

  No name here is one of `clojure.core`, `clojure.repl`, `clojure.test` or `espalier.ugens`,
  so that all can be referred into one namespace. That is why `about` is not called doc,
  which `clojure.repl` refers into every prompt, and `logs` not log, an operator of UGens.
  Loading this again keeps the server and what can be undone."
  (:require
   [clojure.string :as str]
   [espalier.core :as sc]
   [espalier.model.error :as error]
   [espalier.model.log :as log]
   [espalier.model.options :as options]
   [espalier.model.words :refer [counted]]
   [espalier.runtime.executable :as executable]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.port :as port]
   [espalier.runtime.pretty :as pretty]
   [espalier.runtime.stage :as stage])
  (:import
   (espalier.model.entity Entity)
   (espalier.runtime.handle Server)
   (java.io Closeable Writer)))

(set! *warn-on-reflection* true)

(defonce ^:private ^{:doc "The server of the prompt, how it was booted, what plays on it, whether its log is tapped."}
  ambient
  (atom {:server nil, :options {}, :stage nil, :tap? false}))

;; ---- what is said

(defn- say
  "Prints what a word of this namespace has done, with the time since `start`."
  [word start & text]
  (println (str word ": " (str/join text) " (" (Math/round (/ (- (System/nanoTime) (long start)) 1e6)) " ms)")))

;; ---- the server

(defn adopt
  "Makes a handle that you have the server of the prompt, whatever state it is in. What was
  played on the one before plays on there, and cannot be undone here any more. Returns it.

      (adopt (sc/connect! (sc/server) {:port 57110}))"
  [s]
  ;; Prompts have loaded clojure.pprint by now.
  (pretty/teach! Entity)
  (sc/tap-log! s (:tap? @ambient))
  (swap! ambient assoc :server s, :stage (stage/stage), :options {})
  s)

(defn- of-the-prompt
  "A handle as a prompt has it: what played when its server died plays on."
  []
  (sc/server {:on-lost :restore, :restore-by-hand true, :when-restoring :wait}))

(defn server
  "The handle of the prompt's server, for the functions of `espalier.core`. It is made when it
  is asked for first, offline, with `{:on-lost :restore}`; and anew when all of Espalier was loaded again: quit before
  that, or the server lives as long as the JVM.

      (sc/set-controls! (sc/default-group (server)) {:amp 0.1})"
  []
  (locking ambient
    (let [s (:server @ambient)]
      (cond
        (instance? Server s) s
        (nil? s)             (adopt (of-the-prompt))
        ;; All the code was loaded again, and this handle is of the old one, which may not even be closed.
        :else                (do (try (.close ^Closeable s) (catch ClassCastException _))
                                 (adopt (of-the-prompt)))))))

(defn- online
  "The handle, online."
  []
  (let [s (server), status (sc/boot-status s)]
    (case status
      :online    nil
      :restoring (handle/live s)
      (throw (error/error :server-offline (str "The server is " (name status) ". (boot) boots it.") {:status status})))
    s))

(defn- where
  "What runs where, in words."
  [s]
  (let [{:keys [engine version]} (handle/session s)
        {:keys [port protocol audio]} (handle/effective-options s)]
    (str (name engine) (when version (str " " version)) " on port " port (when (= :tcp protocol) " (tcp)")
         (when (= :dummy audio) ", without a sound card"))))

(defn- with-port
  "Options with a port that is free, where none was asked for and the usual one is taken."
  [opts]
  (let [free? (try (port/check-free! (merge (sc/options) opts) true) true
                   (catch clojure.lang.ExceptionInfo _ false))]
    (cond-> opts
      (not (or free? (contains? opts :port))) (assoc :port (sc/find-free-port)))))

(defn- boot-somehow!
  "Boots; where there is no audio and none was asked for, without a sound card."
  [s opts]
  (try
    (sc/boot! s opts)
    (catch clojure.lang.ExceptionInfo e
      (if (and (= :no-audio (:reason (ex-data e))) (not (contains? opts :audio)))
        (sc/boot! s (assoc opts :audio :dummy))
        (throw e)))))

(defn- different
  "Of options, those that the running server does not have."
  [s opts]
  (let [has   (handle/effective-options s)
        asked (cond-> (options/check opts)
                (:executable opts) (assoc :executable (executable/find-executable (:executable opts))))]
    (into {} (filter (fn [[k]] (not= (get asked k) (get has k)))) opts)))

(defn boot
  "Boots the server, and returns its handle. Where it runs already it stays, and what of
  `opts` it does not have is said.

  `opts`  as for `espalier.core/boot!`. Without a `:port` it takes the usual one, 57110, or where
          that is taken a free one. Without `:audio`, where there is nothing to play on, it boots
          with `{:audio :dummy}`, which is silent, and says so

  Throws what `espalier.core/boot!` throws.

      (boot {:executable \"supernova\"})"
  ([] (boot {}))
  ([opts]
   (let [start (System/nanoTime), s (server)]
     (if (= :online (sc/boot-status s))
       (let [other (different s opts)]
         (say "boot" start "online already, " (where s)
              (when (seq other) (str ", and not with " (pr-str other) ": (reboot " (pr-str opts) ") boots it so"))))
       (do (boot-somehow! s (with-port opts))
           (swap! ambient assoc :options opts)
           (say "boot" start (where s))))
     s)))

(defn- leave!
  "Quits a server of ours, logs out of another's."
  [s]
  (if (sc/owner? s) (sc/quit! s) (sc/disconnect! s)))

(defn quit
  "Quits the server, or logs out where another has booted it. Returns the handle, offline."
  []
  (let [start (System/nanoTime), s (server), ours? (sc/owner? s), online? (= :online (sc/boot-status s))]
    (leave! s)
    (say "quit" start (cond (not online?) "offline already", ours? "the server has ended", :else "logged out, the server goes on"))
    s))

(defn reboot
  "Quits and boots again, with the options of the last `boot` where none are given. Returns
  the handle. What played does not play again by itself: `(undo)` brings it back."
  ([] (reboot (:options @ambient)))
  ([opts]
   (leave! (server))
   (boot opts)))

;; ---- looking

(defn status
  "Says how the server is, and returns what `espalier.core/status` does."
  []
  (let [start (System/nanoTime)
        s     (online)
        {:keys [actual-sample-rate-hz average-cpu-percent peak-cpu-percent ugen-count synth-count group-count synthdef-count] :as found} (sc/status s)]
    (say "status" start (where s) ", " (Math/round (double actual-sample-rate-hz)) " Hz, CPU "
         (format "%.1f %% (peak %.1f %%)" (double average-cpu-percent) (double peak-cpu-percent)) ", "
         (counted synth-count "synth") " of " (counted ugen-count "UGen") ", " (counted group-count "group") ", " (counted synthdef-count "SynthDef"))
    found))

(defn- size
  "How many groups and synths there are in a tree, in words."
  [tree]
  (let [kinds (frequencies (map :kind (tree-seq :children :children tree)))]
    (str (counted (:group kinds 0) "group") ", " (counted (:synth kinds 0) "synth"))))

(defmethod print-method ::tree [tree ^Writer w]
  (if (:children tree)
    (.write w (str "#<Tree " (:id tree) ", " (size tree) ">"))
    (print-method (vary-meta tree dissoc :type) w)))

(defn tree
  "Prints the node tree, and returns it, as `espalier.core/query-tree` does.

  `opts`  as for `espalier.core/print-tree`

      (tree {:depth 2, :controls false})"
  ([] (tree {}))
  ([opts]
   (let [start (System/nanoTime)
         s     (online)]
     (sc/print-tree s opts)
     (let [found (sc/query-tree s (select-keys opts [:group :controls :timeout-ms]))]
       (say "tree" start (size found))
       (vary-meta found assoc :type ::tree, :portal.viewer/default :portal.viewer/tree)))))

(defn logs
  "Prints the newest entries of the log, and returns them: what the server refused, bundles that
  came late, followed trees that had drifted, what the server printed, how it booted and ended.

  `:n`      how many (default 20)
  `:level`  :warn or :error: only those of that level and above (default: all)

  The log goes on where nobody looks, and prints nothing by itself. Entries are as of
  `espalier.core/log`.

      (logs {:n 50, :level :warn})"
  ([] (logs {}))
  ([opts]
   (let [start (System/nanoTime)
         {:keys [n level] :or {n 20}} (options/check-call opts #{:n :level})
         found (sc/log (server) (cond-> {:limit n} level (assoc :level level)))]
     (run! (comp println log/line) found)
     (say "logs" start (counted (count found) "entry" "entries") (when level (str ", " (name level) " and above")))
     found)))

(defn tap-log!
  "Whether each new entry of the log goes to `tap>`, as a map, from now on. Returns that.

      (tap-log! true)"
  [on?]
  (let [on? (boolean on?)]
    (swap! ambient assoc :tap? on?)
    (sc/tap-log! (server) on?)
    on?))

;; ---- looking up

(defn- var-named
  "The var that x is or, a symbol, names in the namespace of the prompt; else nil."
  [x]
  (cond
    (var? x)    x
    (symbol? x) (try (let [found (ns-resolve *ns* x)] (when (var? found) found))
                     (catch Exception _ nil))))

(defn- var-text [v]
  (let [{:keys [arglists doc macro ns], n :name} (meta v)]
    (str/join "\n" (remove nil? [(str (ns-name ns) "/" n (when macro ", a macro"))
                                 (some->> arglists (map pr-str) (str/join " "))
                                 (str "  " (or doc "It has no docstring."))]))))

(defn- instrument-text
  "What is known of an instrument of `espalier.instruments`, nil where none has that name."
  [x]
  (let [wanted (if (instance? clojure.lang.Named x) (name x) x)]
    (when-let [d (some #(when (= wanted (:name %)) %) @(requiring-resolve 'espalier.instruments/all))]
      (str "(play :" wanted ")  an instrument, " d "\n  " (:doc (meta (resolve (symbol "espalier.instruments" wanted))))))))

(defn about
  "Prints what is known by a name: a command, an option, a UGen or operator, an error, an
  instrument, or what a symbol names for Clojure here. Without a name, the words of the
  prompt. Returns nil.

  `x`  a keyword, a symbol or a string, in Clojure's way of writing or SuperCollider's

  Throws `:espalier.error/nothing-known`, with the nearest name. No server is needed.

      (about :s-new)
      (about \"SinOsc\")
      (about :memory-size)
      (about :espalier.error/no-answer)
      (about :bell)
      (about 'sc/at)"
  ([] (println (str "  " (:doc (meta (the-ns 'espalier.repl))))))
  ([x]
   (println (if-let [v (var-named x)]
              (var-text v)
              (let [instrument (instrument-text x)
                    find-it    (if instrument 'espalier.model.glossary/look-up 'espalier.model.glossary/about)
                    texts      (map :text ((requiring-resolve find-it) x))]
                (str/join "\n\n" (if instrument (cons instrument texts) texts)))))))

(defmethod print-method ::findings [rows ^Writer w]
  (.write w (str "#<Doctor " (count (filter :ok? rows)) " of " (count rows) " well>")))

(defn doctor
  "Prints what this machine has of what Espalier needs, and what to do about the rest; boots
  a server for a moment. Returns the rows of that table, maps, as `espalier.doctor/check`."
  []
  (let [start (System/nanoTime)
        rows  ((requiring-resolve 'espalier.doctor/check))]
    (println ((requiring-resolve 'espalier.doctor/report) rows))
    (say "doctor" start (count (filter :ok? rows)) " of " (count rows) " well")
    (with-meta rows {:type ::findings, :portal.viewer/default :portal.viewer/table})))

;; ---- playing

(defn- done
  "What a step has done, in words."
  [{:keys [report started freed failed]}]
  (let [words (remove nil? [(when (seq failed) (str (counted (count failed) "synth") " cannot be started again: " (ex-message (first (vals failed)))))
                            (when (seq started) (str/join ", " (map str started)))
                            (when (seq freed) (str (counted (count freed) "synth") " freed"))
                            (some-> report pr-str (str/replace #"^#<Report |>$" ""))])]
    (if (seq words) (str/join ", " words) "nothing has changed")))

(defn- signals?
  "Whether x is a UGen, or holds some."
  [x]
  (let [signal? (requiring-resolve 'espalier.model.graph/signal?)]
    (boolean (some signal? (flatten [x])))))

(defn- tree-form? [x]
  (or (nil? x)
      (sequential? x)
      (and (map? x) (or (contains? x :tree) (contains? #{:group :synth} (:kind x))))))

(defn- voice-of
  "What a stage plays as a voice, or nil where x is none."
  [x controls opts]
  (cond
    (fn? x)                                           {:graph x, :opts opts}
    (and (map? x) (= :synthdef (:kind x)))            {:synthdef x, :controls controls, :opts opts}
    (or (string? x) (instance? clojure.lang.Named x)) {:synthdef (name x), :controls controls, :opts opts}
    (and (not (map? x)) (signals? x))                 {:graph (constantly x), :opts opts}))

(defn play
  "Plays something beside what plays already, and returns it: a synth, or the report of a tree.

  `x`  | what                                             | how it is played
       | a SynthDef                                       | it is sent, and a synth of it is started
       | the name of one that the server has, or of an instrument of `espalier.instruments` | the same
       | a tree, as `espalier.core/reconcile!` takes it; instruments in it need not be sent | declared, in place of the tree that was played before
       | a UGen, several in a vector, or a function without arguments that returns such | as by `espalier.core/play-graph!`

  `controls`  of a SynthDef, as for `espalier.core/add-synth!`
  `opts`      of a SynthDef its `:target` and `:action`, of a UGen the options of `play-graph!`

  Throws what those functions throw, and `:espalier.error/server-offline`; nothing has
  changed then.

      (play :bell {:freq 660})                  ;=> #<Synth 1000 bell>
      (play [:synth {:key :low, :def :bell}])   ;=> #<Report 1 added, 1 bundle of 176 bytes, confirmed>
      (play (sin-osc:ar [440 442] :mul 0.1))    ;=> #<Synth 1002 play-0-1>"
  ([x] (play x {} {}))
  ([x controls] (play x controls {}))
  ([x controls opts]
   (let [start (System/nanoTime)
         s     (online)
         stage (:stage @ambient)
         voice (voice-of x controls opts)]
     (when-not (or voice (tree-form? x))
       (throw (error/error :invalid-argument
                           (str "What can be played is a SynthDef or the name of one, a tree such as [:synth {:def :bell}], a UGen, or a function"
                                " without arguments that returns UGens, not " (pr-str x) ".")
                           {:argument :x, :value x})))
     (let [{:keys [started report] :as result} (if voice (stage/play-voice! s stage voice) (stage/play-tree! s stage x))]
       (say "play" start (done result))
       (if voice (first started) report)))))

(defn- step
  "Takes a step on the stage, and says so."
  [word take-step! none]
  (let [start  (System/nanoTime)
        s      (online)
        result (take-step! s (:stage @ambient))]
    (say word start (if result (done result) none))
    (or (:report result) (first (:started result)) (first (:freed result)))))

(defn stop
  "Frees what was played, the tree too; what else is on the server goes on. Returns the report
  of the tree, else one of the synths; nil where nothing played."
  []
  (step "stop" stage/stop! "nothing plays"))

(defn undo
  "Makes what plays what it was before the last `play`, `stop` or reboot: the tree that was declared
  before is declared again, synths are freed or started again, but for those that have ended
  by themselves. The last 100 steps can be undone. Returns as `stop` does."
  []
  (step "undo" stage/undo! "there is nothing to undo"))

(defn redo
  "Takes back the last `undo`. Returns as `stop` does."
  []
  (step "redo" stage/redo! "there is nothing to redo"))

(comment
  (boot)
  (play :bell {:freq 660})
  (play [:group {:key :mix} [:synth {:key :low, :def :organ} {:freq 110}]])
  (tree)
  (undo)
  (logs {:level :warn})
  (about "SinOsc")
  (quit))

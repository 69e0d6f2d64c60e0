(ns user
  "The namespace in which a REPL starts: (go) boots a server, (halt) quits it,
  (reset) loads changed code and boots again. Loading it starts nothing and
  loads nothing of Espalier.")

(defonce ^{:doc "The server of this REPL; nil before the first (go) and after (reset)."} server nil)

(defonce ^:private last-options {})

(defn- call [f & args]
  (apply (requiring-resolve f) args))

(defn go
  "Boots `server` with the options of `espalier.core/boot!`, those of the last
  time where none are given, and returns it.

      (go {:audio :dummy})"
  ([] (go last-options))
  ([options]
   (alter-var-root #'last-options (constantly options))
   (alter-var-root #'server #(or % (call 'espalier.core/server)))
   (call 'espalier.core/boot! server options)))

(defn halt
  "Quits `server`, and returns it."
  []
  (some->> server (call 'espalier.core/quit!)))

(defn- loaded
  "The loaded namespaces of Espalier, each after those that it requires."
  []
  (let [ours     (set (filter #(re-find #"^espalier\." (name (ns-name %))) (all-ns)))
        requires #(filter ours (vals (ns-aliases %)))
        add      (fn add [sorted n]
                   (if (some #{n} sorted)
                     sorted
                     (conj (reduce add sorted (requires n)) n)))]
    (map ns-name (reduce add [] ours))))

(defn reset
  "Halts, loads every namespace of Espalier again that had been loaded, and boots
  a new `server`. Classes of the Java kernel stay as they are: compile them with
  bin/clj -T:build javac and start another REPL."
  []
  (halt)
  (run! #(require % :reload) (loaded))
  (alter-var-root #'server (constantly nil))
  (go))

(defn serve
  "Starts an nREPL server on a free port of 127.0.0.1, with Espalier's
  middleware, and writes the port to .nrepl-port, where editors look for it.
  Without nREPL on the classpath it says so."
  []
  (if-let [start (try (requiring-resolve 'nrepl.server/start-server)
                      (catch java.io.FileNotFoundException _))]
    (let [middleware (try (requiring-resolve 'espalier.nrepl/middleware)
                          (catch java.io.FileNotFoundException _))
          handler    (apply (requiring-resolve 'nrepl.server/default-handler) (some-> middleware deref))
          port       (:port (start :bind "127.0.0.1" :handler handler))
          file       (java.io.File. ".nrepl-port")]
      (spit file port)
      ;; Another REPL may have written its own there meanwhile.
      (.addShutdownHook (Runtime/getRuntime)
                        (Thread. (fn [] (when (= (str port) (try (slurp file) (catch java.io.IOException _)))
                                          (.delete file)))))
      (println (str "nREPL listens on 127.0.0.1:" port ", as .nrepl-port says.")))
    (println "nREPL is not installed and its repository does not answer: this is a plain REPL.")))

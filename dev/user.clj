(ns user
  "The namespace in which a REPL starts: (go) boots the server of `espalier.repl`,
  (halt) quits it, (reset) loads changed code and boots again. Loading it starts
  nothing and loads nothing of Espalier itself."
  (:require
   [espalier.class-cache :as class-cache]))

(defn- call [f & args]
  (apply (requiring-resolve f) args))

(defn go
  "Boots the server with the options of `espalier.core/boot!`, those of the last
  time where none are given, and returns it.

      (go {:audio :dummy})"
  ([] (call 'espalier.repl/reboot))
  ([options] (call 'espalier.repl/reboot options)))

(defn halt
  "Quits the server, and returns it."
  []
  (call 'espalier.repl/quit))

(defn- loaded
  "The loaded namespaces of Espalier, each after those that it requires."
  []
  (let [ours     (set (filter #(re-find #"^espalier\." (name (ns-name %))) (all-ns)))
        requires #(filter ours (into (set (vals (ns-aliases %))) (map (comp :ns meta)) (vals (ns-refers %))))
        add      (fn add [sorted n]
                   (if (some #{n} sorted)
                     sorted
                     (conj (reduce add sorted (requires n)) n)))]
    (map ns-name (reduce add [] ours))))

(defn reset
  "Halts, loads every namespace of Espalier again that had been loaded, and boots
  anew. Classes of the Java kernel stay as they are: compile them with
  bin/clj -T:build javac and start another REPL."
  []
  (halt)
  (run! #(require % :reload) (loaded))
  (go))

(defn- nrepl?
  "Whether nREPL is on the classpath."
  []
  (some? (.getResource (clojure.lang.RT/baseLoader) "nrepl/server.clj")))

(def ^:private ^java.io.File port-file (java.io.File. ".nrepl-port"))

(defn- forget-port!
  "Deletes .nrepl-port where nobody listens any more."
  []
  (try (.close (java.net.Socket. "127.0.0.1" (int (parse-long (slurp port-file)))))
       (catch Exception _ (.delete port-file))))

(defn- start-nrepl
  "Starts an nREPL server and returns its port, which .nrepl-port has too."
  []
  (let [handler (apply (requiring-resolve 'nrepl.server/default-handler) @(requiring-resolve 'espalier.nrepl/middleware))
        port    (:port (call 'nrepl.server/start-server :bind "127.0.0.1" :handler handler))]
    (spit port-file port)
    ;; Another REPL may have written its own there meanwhile.
    (.addShutdownHook (Runtime/getRuntime)
                      (Thread. (fn [] (when (= (str port) (try (slurp port-file) (catch java.io.IOException _)))
                                        (.delete port-file)))))
    port))

(def ^:private no-nrepl "nREPL is not installed and its repository does not answer: this is a plain REPL.")

(defn serve
  "Starts an nREPL server on a free port of 127.0.0.1, with Espalier's
  middleware, and writes the port to .nrepl-port, where editors look for it.
  Without nREPL on the classpath it says so."
  []
  (forget-port!)
  (println (if (nrepl?)
             (str "nREPL listens on 127.0.0.1:" (start-nrepl) ", as .nrepl-port says.")
             no-nrepl)))

(defn- load-words
  "Loads what one types at a prompt, and what its first sound needs."
  []
  (binding [*ns* (the-ns 'user)]
    (apply class-cache/require! '[espalier.core :as sc] '[espalier.repl :refer :all] 'espalier.instruments
           @(requiring-resolve 'clojure.main/repl-requires))))

(defn- load-nrepl []
  (class-cache/require! 'nrepl.server 'espalier.nrepl))

(defn prompt
  "A prompt in this namespace with the words of `espalier.repl`, and sc for
  `espalier.core`; beside it nREPL, where there is one. It is there at once, and
  loads all that while one types. Ends the JVM when it ends."
  []
  (in-ns 'user)
  (forget-port!)
  (println (str "Espalier, Clojure " (clojure-version) ": (boot) starts a server, (play :bell) plays, (about) tells more, (quit) ends."))
  (println (if (nrepl?) "nREPL is starting on 127.0.0.1; .nrepl-port will have its port." no-nrepl))
  (let [words (promise)
        all   (future
                (deliver words (try (load-words) (catch Throwable e e)))
                (when (nrepl?)
                  (load-nrepl)
                  (start-nrepl))
                (class-cache/keep!))]
    ;; By name, for clojure.main is not loaded before this namespace.
    (call 'clojure.main/repl
          :eval (fn [form]
                  (when (instance? Throwable @words) (throw @words))
                  (eval form)))
    (println)
    ;; What this start compiles is for the next one, even if nothing was typed here.
    (try @all (catch java.util.concurrent.ExecutionException _))
    (System/exit 0)))

(ns espalier.ill-typed-test
  "Every public function with arguments that make no sense: it returns, or throws an error with
  a name. Nothing else is thrown, nothing hangs, and the server plays on."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.async]
   [espalier.channels]
   [espalier.core :as sc]
   [espalier.env]
   [espalier.future]
   [espalier.model.error :as error]
   [espalier.picture]
   [espalier.servers :as servers]
   [espalier.synthdef :as synthdef :refer [defsynth]]
   [espalier.tree]
   [espalier.ugens :as ugens])
  (:import
   (espalier.runtime.follow Follow)
   (espalier.runtime.recording Recording)
   (java.io Closeable Writer)
   (java.util Random)
   (java.util.concurrent CompletableFuture ExecutionException TimeUnit TimeoutException)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ^:private hum [out 0, freq 220]
  (ugens/out:kr out freq))

;; ---- what is called

(def ^:private left-out
  "What is not called, and why."
  '{espalier.core/kill-all!      "ends what other tests have started"
    espalier.core/boot!          "boots"
    espalier.core/connect!       "connects to whatever is there"
    espalier.core/reboot!        "boots"
    espalier.core/quit!          "ends what is to live"
    espalier.core/disconnect!    "ends what is to live"
    espalier.core/call-with-server "boots"
    espalier.core/find-scsynth   "looks where it is told"
    espalier.picture/show        "opens a window"
    espalier.core/show           "opens a window"
    espalier.future/call         "throws what is thrown by what it calls"})

(def ^:private spaces
  '[espalier.core espalier.future espalier.async espalier.tree espalier.synthdef espalier.env espalier.picture espalier.channels])

(defn- functions
  "The public functions of the namespaces, vars, but for what is left out and its twins."
  []
  (for [n spaces
        [v-name v] (sort-by key (ns-publics n))
        :when (and (:arglists (meta v)) (not (:macro (meta v)))
                   (not (contains? left-out (symbol (str n) (str v-name))))
                   (not (and (contains? '#{espalier.future espalier.async} n) (contains? left-out (symbol "espalier.core" (str v-name))))))]
    v))

;; ---- with what

(defn- material
  "What is there to be given to functions that take it."
  [s other]
  (let [group (sc/add-group! s), bus (sc/add-bus! s), gone (sc/add-buffer! s {:frame-count 8})]
    (sc/free! gone)
    {:s      s
     :other  other
     :group  group
     :synth  (sc/add-synth! s :hum {} {:target group})
     :buffer (sc/add-buffer! s {:frame-count 64})
     :buffers (sc/add-buffer-group! s {:count 2, :frame-count 16})
     :bus    bus
     :audio  (sc/add-bus! s {:rate :audio})
     :buses  (sc/add-bus-group! s {:count 3})
     :freed  (let [y (sc/add-synth! s :hum)] (sc/free! y {:confirm true}) y)
     :gone   gone
     :foreign (sc/add-group! other)
     :foreign-buffer (sc/add-buffer! other {:frame-count 8})
     :def    hum
     :graph  (fn [] (ugens/sin-osc:kr 3))
     :tree   [:group {:key :g} [:synth {:key :y, :def hum} {:freq 1}]]
     :env    (espalier.env/perc 0.1 1)
     :node-tree (sc/query-tree s)}))

(def ^:private nonsense
  "Values that hardly any argument can be; no path in them is one of a directory that is there."
  [nil true false 0 1 -1 2 3.5 -0.0 1/3 ##NaN ##Inf ##-Inf Long/MAX_VALUE Long/MIN_VALUE 2147483648 -2147483649
   123456789012345678901234567890N 1e308 1M \a "" "/nowhere/at/all.wav" "/a\u0000b" (apply str (repeat 70000 \x)) :x :freq :head :nose/mouth 'symbol
   [] {} #{} () [nil] [1 2 3] [[]] [:group] [:synth] [:synth {} {}] [:group {:key 1} [:synth nil]] {:freq 440} {:freq nil} {nil nil} {1 2} {"freq" "x"}
   {:timeout-ms 50} {:timeout-ms -1} {:timeout-ms "x"} {:confirm true, :timeout-ms 50} {:target -5} {:action :nowhere} {:id 5} {:id "a"} {:kind :synth} {:kind :group, :id nil}
   {:tree 5} {:count -1} {:count 1e9} {:frame-count 1/2} {:frame-count -3} {:samples [:a]} {:samples (repeat 3 nil)} {:channel-count 0} {:rate :green} {:at "noon"}
   {:packets [[1]]} ["/n_set"] ["/n_set" nil] ["n_set" 1] ["/nothing" (Object.)] (range 1000) (map inc (range 5)) (lazy-seq [1 nil]) (float-array 3) (byte-array 2)
   (object-array [nil 1]) (Object.) (atom nil) #'clojure.core/inc (delay 1) (java.time.Instant/EPOCH) (java.time.Duration/ofMillis 5) (java.io.File. "/nowhere")
   inc identity (fn [] nil) (fn [& _] (throw (ex-info "of the test" {:espalier/error :test/thrown})))])

(defn- argument
  "An argument for a parameter of this name: often what fits it, and otherwise anything."
  [^Random r {:keys [s group synth buffer buffers bus audio buses freed gone foreign foreign-buffer def graph tree env node-tree] :as all} parameter]
  (let [pick    (fn [xs] (let [xs (vec xs)] (xs (.nextInt r (count xs)))))
        fitting (case (name parameter)
                  ("s" "server")                 [s]
                  ("node" "synth")               [synth group]
                  ("group" "target")             [group buses]
                  ("b" "buffer" "from" "to")     [buffer buffers]
                  ("bus")                        [bus audio]
                  ("e" "x")                      [synth buffer bus group def node-tree tree env]
                  ("synthdef" "synthdefs" "d")   [def :hum "hum"]
                  ("f" "make")                   [graph identity]
                  ("tree" "form" "before" "after") [tree node-tree]
                  ("controls")                   [{:freq 3} [:freq]]
                  ("control")                    [:freq "freq" 0]
                  ("values" "samples")           [[1 2] (float-array 4)]
                  ("opts" "options")             [{} {:timeout-ms 50}]
                  ("command")                    [:n-set :s-new :b-query :g-new]
                  ("args")                       [{:id 1000} {:ids [5]}]
                  nil)]
    (if (and fitting (< (.nextInt r 10) 6))
      (pick fitting)
      (if (< (.nextInt r 10) 3)
        (pick (vals all))
        (pick nonsense)))))

(defn- fixed [arglist] (vec (take-while #(not= '& %) arglist)))

(defn- parameter-name [x]
  (if (symbol? x) x (if (map? x) 'opts 'x)))

(def ^:private paths #{"record!" "write-buffer!" "save!" "write!"})

(defn- call-of
  "A call of a function, by chance: its arguments."
  [^Random r all v]
  (let [arglists  (vec (:arglists (meta v)))
        arglist   (arglists (.nextInt r (count arglists)))
        arguments (mapv #(argument r all (parameter-name %)) (fixed arglist))
        arguments (if (some #{'&} arglist) (into arguments (repeatedly (.nextInt r 3) #(argument r all 'x))) arguments)]
    (if (contains? paths (name (symbol v)))
      (mapv (fn [x] (if (and (or (string? x) (ident? x)) (not (str/starts-with? (str x) "/"))) "/nowhere/else" x)) arguments)
      arguments)))

;; ---- and what comes of it

(def ^:private patience-ms 30000)

(defn- settled
  "What a call returned, or what has become of it where it is under way."
  [x]
  (cond
    (instance? CompletableFuture x) (.get ^CompletableFuture x 20000 TimeUnit/MILLISECONDS)
    (or (instance? Follow x) (instance? Recording x)) (.close ^Closeable x)
    :else x))

(defn- fault
  "What is wrong with how a call ended, or nil."
  [e]
  (let [e (if (instance? ExecutionException e) (ex-cause e) e)]
    (when-not (or (error/code e) (instance? clojure.lang.ArityException e))
      e)))

(defn- outcome
  "Nil where a call ended as it may, otherwise what was wrong."
  [v arguments]
  (let [result (promise)
        thread (doto (Thread. #(deliver result (binding [*out* (Writer/nullWriter), *err* (Writer/nullWriter)]
                                                 (try (settled (apply @v arguments)) nil
                                                      (catch Throwable e (fault e))))))
                 (.setDaemon true)
                 (.start))
        x (deref result patience-ms :hangs)]
    (when (= :hangs x) (.interrupt thread))
    x))

(defn- show [x]
  (let [text (binding [*print-length* 6, *print-level* 4] (try (pr-str x) (catch Throwable _ (str (class x)))))]
    (subs text 0 (min 80 (count text)))))

(defn- well?
  "Whether the server answers, and knows a node that is there."
  [s keeper]
  (and (= :online (sc/boot-status s))
       (= (:id keeper) (:id (sc/query-node s keeper)))
       (= {:freq 123.0} (sc/get-controls keeper [:freq]))))

;; ---- the tests

(defn- call-all
  "Makes `n` calls of each of the functions and asserts what must be so."
  [kind vs n seed]
  (testing (str (:executable kind) " seed " seed)
    (with-open [^Closeable s     (sc/boot! (sc/server (servers/options kind {:timeout-ms 300})))
                ^Closeable other (sc/boot! (sc/server {:executable :rehearsal, :port (sc/find-free-port)}))]
      (let [r (Random. seed)]
        (sc/add-synthdefs! other hum)
        (doseq [part (partition-all 12 vs)]
          (sc/reset-server! s)
          (sc/add-synthdefs! s hum)
          (let [all (material s other)]
            (doseq [v part, _ (range n)]
              (let [arguments (call-of r all v)
                    wrong     (outcome v arguments)]
                (is (nil? wrong) (str (symbol v) " " (str/join " " (map show arguments)))))))
          ;; What it was asked to do may have ended every node.
          (sc/reset-server! s)
          (sc/add-synthdefs! s hum)
          (is (well? s (sc/add-synth! s :hum {:freq 123} {:confirm true})) (pr-str (map symbol part))))))))

(deftest what-is-left-out-is-there
  (doseq [n (keys left-out)]
    (is (resolve n) n)))

(deftest every-function-with-nonsense
  ;; Twins of the same calls are for the soak.
  (call-all {:executable :rehearsal} (remove #(re-find #"future|async" (str (symbol %))) (functions)) 1 4))

(deftest ^:soak ten-thousand-calls-with-nonsense
  (doseq [seed [1 2 (doto (rand-int 1000000) (->> (println "fresh seed")))]]
    (call-all {:executable :rehearsal} (functions) 40 seed))
  (doseq [kind servers/udp-kinds]
    (call-all kind (filter #(= "espalier.core" (str (.ns ^clojure.lang.Var %))) (functions)) 20 3)))

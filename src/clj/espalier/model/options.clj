(ns espalier.model.options
  "The options of a server: from what a user writes to a checked map, and from
  that to a command line. Everything here is computed from one table."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.options-table :as options-table]
   [espalier.model.options-type :as options-type])
  (:import
   (java.nio.charset StandardCharsets)))

(set! *warn-on-reflection* true)

(def ^:private table options-table/table)

(def ^:private entry-of (into {} (map (juxt :name identity)) table))

(defn defaults
  "Every option with its default, in the order of the table; nil means unset.

      (:port (defaults))  ;=> 57110"
  []
  (apply array-map (mapcat (juxt :name :default) table)))

;; ---- what is no process

(defn rehearsal
  "What is asked of a rehearsal, a map, where the option `:executable` is one; nil where it
  names a process.

      (rehearsal :rehearsal)  ;=> {}"
  [executable]
  (cond
    (= :rehearsal executable) {}
    (map? executable)         (dissoc executable :kind)))

;; ---- engines

(defn engine-of
  "`:supernova` where the file name of `executable` (string, keyword or nil) says
  so, else `:scsynth`.

      (engine-of \"/opt/sc/bin/supernova\")  ;=> :supernova"
  [executable]
  (let [file (if (keyword? executable)
               (name executable)
               (last (str/split (str executable) #"[/\\]")))]
    (if (str/includes? (str/lower-case (str file)) "supernova") :supernova :scsynth)))

(defn engine
  "The engine that `options` are for, `:scsynth` or `:supernova`: see `engine-of`.

      (engine {:executable \"supernova\"})  ;=> :supernova"
  [options]
  (engine-of (:executable options)))

(defn- power-of-two-from [n]
  (if (<= n 1) 1 (* 2 (Long/highestOneBit (dec (long n))))))

(defn effective
  "`options` (checked) as the server will have them: numbers that its engine
  rounds up to a power of two are rounded, all else is as asked.

      (:maximum-logins (effective (check {:maximum-logins 3})))  ;=> 4"
  [options]
  (let [engine (engine options)]
    (reduce (fn [m {k :name, :keys [rounded-by]}]
              (if (and (contains? rounded-by engine) (get m k))
                (update m k power-of-two-from)
                m))
            options
            table)))

;; ---- checking

(defn- invalid [k x problem example]
  (error/error :invalid-option
               (str k " is " (error/shown x) ", " problem ". For example: (sc/boot! s " (pr-str example) ")")
               {:option k, :value x, :problem problem, :example example}))

(defn- unknown [k]
  (error/error :unknown-option
               (str "There is no option " (error/shown k) "." (error/hint k (map :name table))
                    " (sc/doc-options) shows them all.")
               {:option k, :known (mapv :name table)}))

(defn- read-option [entry x]
  (if-let [[normal] (options-type/read-value entry x)]
    normal
    (throw (invalid (:name entry) x
                    (str "but must be " (options-type/says entry)
                         (when (and (:why entry) (number? x)) (str ": " (:why entry))))
                    {(:name entry) (get entry :example (:default entry))}))))

(defn- of-other-engine [{k :name, :keys [engines]} x engine]
  (let [other (name (first engines))]
    (error/error :option-of-other-engine
                 (str k " is an option of " other ", but this server is " (name engine) ". Leave it out, or boot "
                      other ": (sc/boot! s " (pr-str {:executable other, k x}) ")")
                 {:option k, :value x, :engine engine, :engines engines})))

(defn- of-other-platform [{k :name, :keys [platforms]} x engine platform]
  (error/error :option-of-other-platform
               (str k " is known to " (name engine) " on " (name (platforms engine)) " only, but this is "
                    (name platform) ", where it would not boot with it. Leave it out.")
               {:option k, :value x, :engine engine, :platform platform}))

(def rules
  "What options must have in common: `:doc`, and `:broken`, a function of the
  checked options, the same as the server will have them, and the engine. It
  returns nil or `[option problem example]`."
  [{:doc    "`:realtime` is true: Espalier plays, it does not render scores."
    :broken (fn [{:keys [realtime]} _ _]
              (when-not realtime
                [:realtime "but Espalier plays in real time only and renders no scores" {:realtime true}]))}

   {:doc    "`:audio-bus-channel-count` is at least the sum of the input and output channels."
    :broken (fn [{:keys [audio-bus-channel-count input-bus-channel-count output-bus-channel-count]} _ _]
              (let [least (+ input-bus-channel-count output-bus-channel-count)]
                (when (< audio-bus-channel-count least)
                  [:audio-bus-channel-count
                   (str "but " input-bus-channel-count " inputs and " output-bus-channel-count
                        " outputs are audio buses already: it must be " least " or more")
                   {:audio-bus-channel-count (+ least 128)}])))}

   {:doc    "scsynth needs 16 bytes of `:memory-size` for each of `:maximum-node-count`, and some to play with."
    :broken (fn [{:keys [memory-size]} {:keys [maximum-node-count]} engine]
              (let [least (inc (quot maximum-node-count 64))]
                (when (and (= :scsynth engine) (< memory-size least))
                  [:memory-size
                   (str "but " maximum-node-count " nodes need " least
                        " KiB or more only to be listed; with less scsynth crashes at boot")
                   {:maximum-node-count maximum-node-count, :memory-size (max 8192 (* 4 least))}])))}

   {:doc    "`:maximum-node-count` is more than `:maximum-logins`: the root group and a default group each."
    :broken (fn [{:keys [maximum-node-count]} {:keys [maximum-logins] nodes :maximum-node-count} engine]
              (when (and (= :scsynth engine) (<= nodes maximum-logins))
                [:maximum-node-count
                 (str "but the root group and the default groups of " maximum-logins " clients are nodes already")
                 {:maximum-node-count 1024}]))}

   {:doc    (str "With `{:audio :dummy}`, `:dummy-period-frames` is a multiple of `:block-size`:"
                 " else scsynth plays nothing or only parts, and supernova does not boot.")
    :broken (fn [{:keys [audio block-size dummy-period-frames]} {block :block-size} _]
              (when (and (= :dummy audio) (pos? (rem dummy-period-frames block)))
                [:block-size
                 (str "but :dummy-period-frames, " dummy-period-frames ", must be a multiple of it"
                      (when (not= block block-size) (str ", which scsynth rounds up to " block)))
                 {:audio :dummy, :block-size block, :dummy-period-frames block}]))}

   {:doc    "With `{:audio :dummy}` there is no `:input-device` or `:output-device`."
    :broken (fn [{:keys [audio] :as options} _ _]
              (when-let [k (and (= :dummy audio) (some #(when (options %) %) [:input-device :output-device]))]
                [k "but :audio is :dummy, which plays on no device: leave one of them out" {:audio :dummy, k nil}]))}

   {:doc    "scsynth listens on IPv4 only; supernova on IPv6 too."
    :broken (fn [{:keys [ip-address]} _ engine]
              (when (and (= :scsynth engine) (options-type/ipv6? ip-address))
                [:ip-address "but scsynth listens on IPv4 addresses only; supernova takes this one"
                 {:executable "supernova", :ip-address ip-address}]))}

   {:doc    "`:password` is at most 31 bytes."
    :broken (fn [{:keys [password]} _ _]
              (when (and password (< 31 (alength (String/.getBytes password StandardCharsets/UTF_8))))
                [:password "but scsynth keeps only 31 bytes of it" {:password "sesame"}]))}

   {:doc    "`:watch-patience-ms` is at least `:watch-interval-ms`."
    :broken (fn [{:keys [watch-interval-ms watch-patience-ms]} _ _]
              (when (< watch-patience-ms watch-interval-ms)
                [:watch-patience-ms
                 (str "but the server is asked only every " watch-interval-ms " ms: it must be that or more")
                 {:watch-interval-ms watch-interval-ms, :watch-patience-ms (min 86400000 (* 5 watch-interval-ms))}]))}])

(defn check
  "The complete map of options: the defaults with `options` over them, each value
  in its normal form (64.0 is 64, \"tcp\" is :tcp, a File is a string).

  `options`   map, or nil for the defaults alone
  `platform`  `:linux`, `:macos` or `:windows`, where the server is to run; without
              it nothing is checked against the platform

  The engine follows from `:executable`; where that is nil scsynth is assumed, so
  whoever finds supernova for nil has to say so: `(assoc options :executable path)`.

  Throws, before anything is started, `:espalier.error/unknown-option`,
  `:invalid-option`, `:option-of-other-engine` (only where it is not at its
  default) or `:option-of-other-platform`.

      (:port (check {:port 56666}))  ;=> 56666"
  ([options] (check options nil))
  ([options platform]
   (when-not (or (nil? options) (map? options))
     (throw (error/error :invalid-option
                         (str "Options are a map, not " (error/shown options) ". For example: (sc/boot! s {:port 57110})")
                         {:value options})))
   (let [checked (reduce (fn [m [k x]]
                           (assoc m k (read-option (or (entry-of k) (throw (unknown k))) x)))
                         (defaults)
                         options)
         engine  (engine checked)]
     (doseq [{k :name, :keys [default engines platforms] :as entry} table
             :let  [x (get checked k)]
             :when (not= x default)]
       (when-not (contains? engines engine)
         (throw (of-other-engine entry x engine)))
       (when-let [only (get platforms engine)]
         (when (and platform (not= only platform))
           (throw (of-other-platform entry x engine platform)))))
     (doseq [{:keys [broken]} rules]
       (when-let [[k problem example] (broken checked (effective checked) engine)]
         (throw (invalid k (get checked k) problem example))))
     checked)))

;; ---- the command line

(defn- word [x]
  (if (keyword? x) (name x) (str x)))

(defn- devices
  "The words of -H: one where input and output are the same, else two, an empty
  one for what is not set."
  [{:keys [input-device output-device]}]
  (cond
    (not= input-device output-device) ["-H" (str input-device) (str output-device)]
    input-device                      ["-H" input-device]))

(defn- flag-words
  "The words that an entry gives for the command line, or nil."
  [{k :name, :keys [flag tcp-flag engines default] :as entry} options engine]
  (let [x (get options k)]
    (cond
      (= "-H" flag)                              (devices options)
      (not (and flag (contains? engines engine))) nil
      (= x (get entry :server-default default))  nil
      (= :switch (:type entry))                  [flag]
      (boolean? x)                               [flag (if x "1" "0")]
      (and tcp-flag (= :tcp (:protocol options))) [tcp-flag (str x)]
      :else                                      [flag (word x)])))

(defn command-line
  "The words that start the server, a vector of strings: `executable`, then the
  flags that its engine takes, in the order of their names. What the server does
  without being told is left out; numbers stand as they were asked for, though the
  server may round them up.

  `options`     from `check`
  `executable`  path of the binary; its file name decides the engine

      (command-line (check {}) \"/usr/bin/scsynth\")
      ;=> [\"/usr/bin/scsynth\" \"-R\" \"0\" \"-l\" \"1\" \"-u\" \"57110\"]"
  [options executable]
  (let [engine  (engine-of executable)
        options (merge (defaults) options)]
    (into [(if (rehearsal executable) "rehearsal" (str executable))]
          cat
          (sort-by first (keep #(flag-words % options engine) table)))))

;; ---- warnings

(defn- warn-about [{:keys [password protocol memory-size restricted-path verbosity ip-address
                           audio sample-rate remote-control-volume safety-clip]
                    :as   options}
                   engine platform]
  [(when password
     (str ":password protects little and costs much: UDP ignores it; over TCP each login holds up the server for"
          " a second or more, and a client that leaves without it takes scsynth down. Listen on 127.0.0.1 instead."))
   (when (and (= :supernova engine) (<= memory-size 8192))
     (str ":memory-size " memory-size " KiB lets supernova abort at 500 to 600 synths or before."
          " {:memory-size 65536} is safer."))
   (when (and restricted-path (not (re-find #"[/\\]$" restricted-path)))
     (str ":restricted-path " (pr-str restricted-path) " admits every path that begins with these letters."
          " End it with a slash."))
   (when (and (= :scsynth engine) (neg? verbosity))
     (str ":verbosity below 0 hides late bundles, and the line that says that scsynth is ready:"
          " the boot waits for its status instead."))
   (when-not (or (str/starts-with? ip-address "127.") (contains? #{"::1" "0:0:0:0:0:0:0:1"} ip-address))
     (str ":ip-address " ip-address " lets everybody who can reach it play on the server,"
          " read and write files through it, and quit it."))
   (when (= [:tcp :supernova] [protocol engine])
     "supernova with a TCP port aborts when it is asked to quit, after its answer.")
   (when (= [:tcp :scsynth] [protocol engine])
     "scsynth 3.13 tells only one TCP client what happens to nodes.")
   (when (and (= :dummy audio) sample-rate (not= sample-rate (:dummy-sample-rate-hz options)))
     ":sample-rate has no effect on {:audio :dummy}, whose rate is :dummy-sample-rate-hz.")
   (when remote-control-volume
     ":remote-control-volume has no effect: no server reads it.")
   (when (and safety-clip platform (not= :macos platform))
     ":safety-clip has no effect but on macOS.")])

(defn warnings
  "What a user should know about `options` (checked) though they are right: a
  vector of sentences, empty at the defaults.

  `platform`  as in `check`

      (warnings (check {:maximum-logins 3}))
      ;=> [\"scsynth rounds :maximum-logins 3 up to 4.\"]"
  ([options] (warnings options nil))
  ([options platform]
   (let [engine (engine options)
         has    (effective options)]
     (filterv some?
              (concat
                (for [{k :name} table
                      :when (not= (options k) (has k))]
                  (str (name engine) " rounds " k " " (options k) " up to " (has k) "."))
                (for [{k :name, :keys [ignored-by default note]} table
                      :when (and (contains? ignored-by engine) (not= default (options k)))]
                  (str (name engine) " does nothing with " k (when note (str "; " note)) "."))
                (for [{k :name, :keys [since default]} table
                      :when (and since (not= default (options k)))]
                  (str k " is known since version " since "; an older " (name engine) " does not boot with it."))
                (warn-about options engine platform))))))

;; ---- the options of a call

(defn check-call
  "The options of a single call, if they are right: a map of the keys in `known`,
  `:timeout-ms` a whole number of 1 or more.

  Throws `:espalier.error/invalid-option` or `:espalier.error/unknown-option`.

      (check-call {:timeout-ms 500} #{:timeout-ms})  ;=> {:timeout-ms 500}"
  [options known]
  (when-not (map? options)
    (throw (error/error :invalid-option
                        (str "The options of this call are a map, not " (error/shown options) ". It takes " (str/join ", " (sort known)) ".")
                        {:value options})))
  (reduce-kv
    (fn [_ k _]
      (when-not (contains? known k)
        (throw (error/error :unknown-option
                            (str "This call takes no option " (error/shown k) "." (error/hint k known) " It takes " (str/join ", " (sort known)) ".")
                            {:option k :value (get options k)}))))
    nil
    options)
  (let [timeout-ms (get options :timeout-ms)]
    (when-not (or (nil? timeout-ms) (and (int? timeout-ms) (<= 1 timeout-ms Integer/MAX_VALUE)))
      (throw (invalid :timeout-ms timeout-ms "but must be a whole number of milliseconds, 1 or more" {:timeout-ms 500}))))
  options)

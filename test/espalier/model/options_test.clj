(ns espalier.model.options-test
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.options-page :as page]
   [espalier.model.options-table :refer [client-options server-options table]]
   [espalier.model.options-type :as options-type])
  (:import
   (java.io File)
   (java.net InetAddress)
   (java.util.concurrent TimeUnit)))

(set! *warn-on-reflection* true)

(defn- thrown
  "What (check options …) throws, or nil."
  [& args]
  (try (apply options/check args) nil
       (catch clojure.lang.ExceptionInfo e e)))

(defn- code [& args]
  (some-> (error/code (apply thrown args)) name keyword))

(defn- words
  "The command line for options, without the binary."
  ([asked] (words asked "/usr/bin/scsynth"))
  ([asked executable] (subvec (options/command-line (options/check asked) executable) 1)))

(def ^:private supernova "/usr/bin/supernova")

;; the table

(deftest table-is-complete
  (doseq [{k :name, :keys [flag engines doc default example] :as entry} table]
    (testing k
      (is (simple-keyword? k))
      (is (and (string? doc) (< 10 (count doc)) (not (str/includes? doc "\n"))))
      (is (seq engines))
      (is (every? #{:scsynth :supernova} engines))
      (is (or (nil? flag) (re-matches #"-[A-Za-z]" flag)))
      (is (= [default] (options-type/read-value entry default)) "the default is a right value, in its normal form")
      (is (some? (if (contains? entry :example) example default)) "there is a value to show")
      (is (options-type/read-value entry (get entry :example default)))
      (is (not (str/blank? (options-type/brief entry))))
      (is (not (str/blank? (options-type/says entry))))
      (is (empty? (remove #{:name :flag :tcp-flag :second-of :type :default :server-default :range :values :engines
                            :platforms :ignored-by :rounded-by :since :doc :example :why :note}
                          (keys entry)))))))

(deftest no-name-or-flag-appears-twice
  (is (apply distinct? (map :name table)))
  (doseq [engine [:scsynth :supernova]]
    (is (apply distinct? (mapcat (juxt :flag :tcp-flag)
                                 (filter #(and (:flag %) (contains? (:engines %) engine))
                                         (map #(update % :tcp-flag (fnil identity (gensym))) server-options)))))))

(deftest every-server-option-has-a-flag
  (is (every? #(or (:flag %) (:second-of %)) server-options))
  (is (not-any? :flag client-options)))

(def ^:private of-the-reference
  "The options that the reference has or has had, with their defaults."
  {:audio-bus-channel-count 1024, :block-size 64, :buffer-count 1024, :control-bus-channel-count 16384
   :executable nil, :hardware-buffer-size nil, :initial-node-id 1000, :input-bus-channel-count 8
   :input-device nil, :input-stream-mask "", :ip-address "127.0.0.1", :load-synthdefs true
   :maximum-logins 1, :maximum-node-count 1024, :maximum-synthdef-count 1024, :memory-locking false
   :memory-size 8192, :output-bus-channel-count 8, :output-device nil, :output-stream-mask ""
   :password nil, :port 57110, :protocol :udp, :random-number-generator-count 64, :realtime true
   :remote-control-volume false, :restricted-path nil, :safety-clip nil, :sample-rate nil, :threads nil
   :ugen-plugins-path nil, :verbosity 0, :wire-buffer-count 64, :zero-configuration false})

(deftest defaults-are-those-of-the-reference
  (is (= of-the-reference (select-keys (options/defaults) (keys of-the-reference))))
  (is (= (map :name table) (keys (options/defaults))) "in the order of the table")
  (is (= (options/defaults) (options/check nil) (options/check {})))
  (is (= [] (options/warnings (options/check {})))))

(deftest page-is-made-from-the-table
  (is (= (page/markdown) (slurp (io/file "doc" "options.md")))
      "doc/options.md is older than the option table: its first lines say how to make it anew")
  (let [text (page/text)]
    (doseq [{k :name, :keys [doc]} table]
      (is (str/includes? text (str k)))
      (is (str/includes? text doc)))))

;; values

(deftest values-have-one-normal-form
  (are [asked checked] (= checked (select-keys (options/check asked) (keys checked)))
    {:port 56666.0}                               {:port 56666}
    {:port 56666N}                                {:port 56666}
    {:port 56666M}                                {:port 56666}
    {:port 113332/2}                              {:port 56666}
    {:port (int 56666)}                           {:port 56666}
    {:protocol "tcp"}                             {:protocol :tcp}
    {:protocol 'tcp}                              {:protocol :tcp}
    {:audio "dummy"}                              {:audio :dummy}
    {:executable :supernova}                      {:executable "supernova"}
    {:executable (io/file "/opt" "scsynth")}      {:executable "/opt/scsynth"}
    {:restricted-path (io/file "/tmp")}           {:restricted-path "/tmp"}
    {:restricted-path (.toPath (io/file "/tmp"))} {:restricted-path "/tmp"}
    {:ugen-plugins-path "/a"}                     {:ugen-plugins-path "/a"}
    {:ugen-plugins-path ["/a" (io/file "/b")]}    {:ugen-plugins-path (str "/a" File/pathSeparator "/b")}
    {:ip-address (InetAddress/getByName "0.0.0.0")} {:ip-address "0.0.0.0"}
    {:safety-clip "inf"}                          {:safety-clip :inf}
    {:safety-clip ##Inf}                          {:safety-clip :inf}
    {:safety-clip 1/2}                            {:safety-clip 0.5}
    {:safety-clip 2.0}                            {:safety-clip 2}
    {:load-synthdefs (Boolean. false)}            {:load-synthdefs false}
    {:input-device nil}                           {:input-device nil}))

(deftest wrong-values-are-refused
  (are [asked] (= :invalid-option (code asked))
    {:port 0}                          {:port 65536}                   {:port "57110"}                {:port nil}
    {:port 57110.5}                    {:port ##NaN}                   {:port ##Inf}                  {:port 1e300}
    {:port (range)}                    {:executable (range)}           {:safety-clip (range)}         {:protocol (range)}
    {:ugen-plugins-path (repeat "/a")} {:ugen-plugins-path []}         {:ugen-plugins-path ["/a" ""]} {:ugen-plugins-path #{"/a"}}
    {:restricted-path "~/sounds"}      {:restricted-path "-x"}         {:restricted-path ""}          {:restricted-path "a\u0000b"}
    {:input-device ""}                 {:input-device "-L"}            {:output-device "a\nb"}        {:input-device :studio}
    {:load-synthdefs nil}              {:load-synthdefs 0}             {:load-synthdefs "false"}      {:memory-locking :true}
    {:ip-address "localhost"}          {:ip-address "127.1"}           {:ip-address "1.2.3.256"}      {:ip-address "010.0.0.1"}
    {:ip-address ".:1"}                {:ip-address ":::1"}            {:ip-address "::1"}            {:ip-address nil}
    {:protocol :sctp}                  {:protocol nil}                 {:audio :real}                 {:safety-clip -1}
    {:input-stream-mask "012"}         {:input-stream-mask nil}        {:password "a\tb"}             {:safety-clip ##NaN}
    {:maximum-logins 0}                {:maximum-logins 33}            {:block-size 0}                {:control-bus-channel-count 1000001}
    {:audio-bus-channel-count 65536}   {:memory-size 15}               {:memory-size 2097153}         {:verbosity -3}
    {:executable ""}                   {:executable :jack}             {:executable 1}                {:timeout-ms 0}
    []                                 "port"                          57110                          #{:port}))

(deftest rules-across-options
  (are [asked] (= :invalid-option (code asked))
    {:realtime false}
    {:audio-bus-channel-count 15}
    {:input-bus-channel-count 1024 :output-bus-channel-count 1}
    {:memory-size 16}
    {:maximum-node-count 524288}
    {:maximum-node-count 300000}                       ; 524288 in scsynth
    {:maximum-node-count 2 :maximum-logins 2}
    {:maximum-node-count 4 :maximum-logins 3}
    {:audio :dummy :block-size 128}
    {:audio :dummy :block-size 65 :dummy-period-frames 65}
    {:audio :dummy :dummy-period-frames 100}
    {:executable "supernova" :audio :dummy :block-size 48}
    {:audio :dummy :input-device "studio"}
    {:audio :dummy :output-device "studio"}
    {:password (str/join (repeat 32 "a"))}
    {:password (str/join (repeat 16 "é"))}
    {:watch-interval-ms 6000})
  (are [asked] (nil? (code asked))
    {:audio-bus-channel-count 16}
    {:input-bus-channel-count 0 :output-bus-channel-count 0 :audio-bus-channel-count 1}
    {:memory-size 17}
    {:memory-size 16 :executable "supernova"}
    {:maximum-node-count 524288 :memory-size 8193}
    {:maximum-node-count 33 :maximum-logins 32}
    {:block-size 128}
    {:audio :dummy :block-size 33}
    {:audio :dummy :block-size 48 :dummy-period-frames 96 :executable "supernova"}
    {:ip-address "::1" :executable "supernova"}
    {:password (str/join (repeat 31 "a"))}
    {:watch-interval-ms 5000}))

(deftest every-rule-is-said
  (doseq [{:keys [doc]} options/rules]
    (is (str/includes? (page/markdown) doc))))

;; errors

(deftest unknown-options-are-errors-with-a-hint
  (are [k hint] (let [e (thrown {k 1})]
                  (and (= :espalier.error/unknown-option (error/code e))
                       (= k (:option (ex-data e)))
                       (str/includes? (ex-message e) hint)))
    :buffer-cuont             "Did you mean :buffer-count?"
    :memorysize               "Did you mean :memory-size?"
    "port"                    "Did you mean :port?"
    'port                     "Did you mean :port?"
    :espalier/prt             "Did you mean :port?"
    nil                       "There is no option nil."
    [1 2]                     "There is no option [1 2]."
    :zzzzzzzzzzzz             "(sc/doc-options)"))

(deftest errors-name-option-value-and-remedy
  (let [e (thrown {:maximum-logins 99})]
    (is (= {:espalier/error :espalier.error/invalid-option, :option :maximum-logins, :value 99
            :example        {:maximum-logins 1}}
           (dissoc (ex-data e) :problem)))
    (is (str/includes? (ex-message e) ":maximum-logins is 99, but must be a whole number from 1 to 32"))
    (is (str/includes? (ex-message e) "(sc/boot! s {:maximum-logins 1})")))
  (testing "the example is a right call"
    (doseq [asked [{:port 0} {:realtime false} {:audio-bus-channel-count 2} {:memory-size 16} {:ip-address "::1"}
                   {:audio :dummy :block-size 100} {:audio :dummy :input-device "x"}
                   {:watch-interval-ms 86400000 :watch-patience-ms 1}
                   {:maximum-node-count 524288} {:maximum-node-count 2 :maximum-logins 8} {:password (str/join (repeat 32 "a"))}
                   {:audio :dummy :block-size 48 :executable "supernova"}]
            :let [example (:example (ex-data (thrown asked)))]]
      (is (map? example))
      (is (nil? (code (merge asked example))) (pr-str asked example))))
  (testing "values that cannot be printed, or not whole"
    (is (str/includes? (ex-message (thrown {:port (iterate inc 0)})) "(0 1 2 3 4 5 6 7 ...)"))
    (is (< (count (ex-message (thrown {:port (str/join (repeat 10000 "x"))}))) 300))
    (is (= :invalid-option (code {:port (reify Object (toString [_] (throw (ex-info "no" {}))))})))))

(deftest options-of-the-other-engine
  (let [e (thrown {:threads 4})]
    (is (= {:espalier/error :espalier.error/option-of-other-engine, :option :threads, :value 4
            :engine         :scsynth, :engines #{:supernova}}
           (ex-data e)))
    (is (str/includes? (ex-message e) "(sc/boot! s {:executable \"supernova\", :threads 4})")))
  (are [asked] (= :option-of-other-engine (code asked))
    {:thread-pinning true} {:use-system-clock false}
    {:executable "supernova" :password "x"} {:executable "supernova" :input-stream-mask "1"})
  (are [asked] (nil? (code asked))
    {:threads nil} {:use-system-clock true} {:executable "supernova" :password nil}
    {:executable "supernova" :threads 4} {:executable "supernova" :maximum-logins 4 :maximum-node-count 4096}))

(deftest options-of-another-platform
  (is (= :option-of-other-platform
         (code {:input-stream-mask "01"} :linux)
         (code {:output-stream-mask "01"} :windows)
         (code {:executable "supernova" :safety-clip 1} :linux)))
  (is (nil? (code {:input-stream-mask "01"} :macos)))
  (is (nil? (code {:input-stream-mask "01"})))
  (is (nil? (code {:input-stream-mask ""} :linux)))
  (is (nil? (code {:safety-clip 1} :linux)) "scsynth takes it everywhere")
  (is (= [":safety-clip has no effect but on macOS."]
         (options/warnings (options/check {:safety-clip 1}) :linux))))

;; engines

(deftest engine-follows-from-the-file-name
  (are [executable engine] (= engine (options/engine {:executable executable}))
    nil                                         :scsynth
    "scsynth"                                   :scsynth
    "supernova"                                 :supernova
    "/usr/bin/supernova"                        :supernova
    "C:\\SuperCollider-3.13.0\\supernova.exe"   :supernova
    "/opt/supernova/scsynth"                    :scsynth
    "/opt/sc/supernova-3.14"                    :supernova
    "/opt/sc/SuperNova"                         :supernova)
  (is (= :scsynth (options/engine {}))))

;; command lines

(deftest command-lines
  (is (= ["/usr/bin/scsynth" "-R" "0" "-l" "1" "-u" "57110"]
         (options/command-line (options/check {}) "/usr/bin/scsynth")
         (options/command-line {} "/usr/bin/scsynth")))
  (are [asked line] (= (str/split line #" ") (words asked))
    {:port 56666}                                "-R 0 -l 1 -u 56666"
    {:protocol :tcp}                             "-R 0 -l 1 -t 57110"
    {:ip-address "0.0.0.0" :port 56666}          "-B 0.0.0.0 -R 0 -l 1 -u 56666"
    {:input-bus-channel-count 2}                 "-R 0 -i 2 -l 1 -u 57110"
    {:maximum-logins 3}                          "-R 0 -l 3 -u 57110"
    {:zero-configuration true}                   "-l 1 -u 57110"
    {:load-synthdefs false :memory-locking true} "-D 0 -L -R 0 -l 1 -u 57110"
    {:verbosity -1}                              "-R 0 -V -1 -l 1 -u 57110"
    {:verbosity 1}                               "-R 0 -V 1 -l 1 -u 57110"
    {:safety-clip :inf}                          "-R 0 -l 1 -s inf -u 57110"
    {:safety-clip 1.5}                           "-R 0 -l 1 -s 1.5 -u 57110"
    {:input-device "a" :output-device "a"}       "-H a -R 0 -l 1 -u 57110"
    {:input-device "a" :output-device "b"}       "-H a b -R 0 -l 1 -u 57110"
    {:output-device "b"}                         "-H  b -R 0 -l 1 -u 57110"
    {:input-device "a"}                          "-H a  -R 0 -l 1 -u 57110"
    {:input-stream-mask "01"}                    "-I 01 -R 0 -l 1 -u 57110"
    {:audio :dummy :timeout-ms 1 :initial-node-id 2000 :remote-control-volume true} "-R 0 -l 1 -u 57110"
    {:audio-bus-channel-count 2048 :block-size 128 :buffer-count 2 :control-bus-channel-count 3
     :maximum-synthdef-count 4 :maximum-node-count 5 :memory-size 17000 :random-number-generator-count 7
     :wire-buffer-count 8 :sample-rate 48000 :hardware-buffer-size 100 :output-bus-channel-count 9
     :password "pw" :restricted-path "/p/" :ugen-plugins-path "/u"}
    "-P /p/ -R 0 -S 48000 -U /u -Z 100 -a 2048 -b 2 -c 3 -d 4 -l 1 -m 17000 -n 5 -o 9 -p pw -r 7 -u 57110 -w 8 -z 128")
  (are [asked line] (= (str/split line #" ") (words (assoc asked :executable supernova) supernova))
    {}                                           "-R 0 -l 1 -u 57110"
    {:threads 4}                                 "-R 0 -T 4 -l 1 -u 57110"
    {:use-system-clock false}                    "-C 0 -R 0 -l 1 -u 57110"
    {:thread-pinning true}                       "-R 0 -l 1 -u 57110 -y 1"
    {:thread-pinning false}                      "-R 0 -l 1 -u 57110 -y 0"
    {:ip-address "::1"}                          "-B ::1 -R 0 -l 1 -u 57110"))

(deftest what-the-server-rounds
  (are [asked has] (= has (select-keys (options/effective (options/check asked)) (keys has)))
    {:maximum-logins 3}                              {:maximum-logins 4}
    {:maximum-logins 4}                              {:maximum-logins 4}
    {:maximum-logins 1}                              {:maximum-logins 1}
    {:block-size 65 :buffer-count 1025}              {:block-size 128 :buffer-count 2048}
    {:maximum-node-count 1000}                       {:maximum-node-count 1024}
    {:maximum-synthdef-count 3}                      {:maximum-synthdef-count 4}
    {:hardware-buffer-size 100}                      {:hardware-buffer-size 128}
    {:hardware-buffer-size nil}                      {:hardware-buffer-size nil}
    {:wire-buffer-count 65 :control-bus-channel-count 5} {:wire-buffer-count 65 :control-bus-channel-count 5}
    {:executable supernova :buffer-count 1025}       {:buffer-count 1025}))

(deftest warnings-are-said
  (are [asked part] (let [said (options/warnings (options/check asked))]
                      (and (= 1 (count said)) (str/includes? (first said) part)))
    {:maximum-logins 3}                 "scsynth rounds :maximum-logins 3 up to 4."
    {:password "x"}                     ":password"
    {:restricted-path "/srv"}           "End it with a slash"
    {:verbosity -1}                     "ready"
    {:ip-address "0.0.0.0"}             "everybody"
    {:protocol :tcp}                    "TCP"
    {:remote-control-volume true}       "no effect"
    {:executable "supernova"}           "{:memory-size 65536}"
    {:executable "supernova" :memory-size 65536 :maximum-node-count 4096} "supernova does nothing with :maximum-node-count."
    {:executable "supernova" :memory-size 65536 :thread-pinning true}     "3.14"
    {:audio :dummy :sample-rate 48000}  ":dummy-sample-rate-hz")
  (are [asked] (= [] (options/warnings (options/check asked)))
    {:restricted-path "/srv/"} {:ip-address "127.0.0.2"} {:executable "supernova" :memory-size 65536}
    {:audio :dummy :sample-rate 48000 :dummy-sample-rate-hz 48000}))

;; properties

(defn- value-generator [{:keys [default example values] [low high] :range :as entry}]
  (gen/one-of
    [(gen/return default)
     (case (:type entry)
       :integer           (gen/one-of [(gen/choose low (min high (+ low 3000))) (gen/choose low high) (gen/return high)])
       :level             (gen/one-of [(gen/return :inf) (gen/double* {:min 0 :max 100 :NaN? false}) gen/nat])
       (:boolean :switch) gen/boolean
       (:text :path)      (gen/fmap #(str "x" %) gen/string-ascii)
       :paths             (gen/vector (gen/fmap #(str "/" %) gen/string-alphanumeric) 1 3)
       :mask              (gen/fmap str/join (gen/vector (gen/elements [0 1])))
       :address           (gen/one-of [(gen/elements ["0.0.0.0" "::" "::1" "255.255.255.255"])
                                       (gen/fmap #(str/join "." %) (gen/vector (gen/choose 0 255) 4))])
       :choice            (gen/elements values)
       :policy            (gen/elements (conj values (fn [_ _] :restore)))
       :executable        (gen/elements ["scsynth" "supernova" "/opt/bin/supernova" :scsynth :supernova example]))]))

(defn- options-generator
  "Option maps that `check` takes on the platform: some entries, and what is given."
  [platform entries given]
  (gen/such-that
    #(nil? (thrown % platform))
    (gen/let [chosen (gen/vector (gen/elements entries) 0 6)
              asked  (apply gen/hash-map (mapcat (juxt :name value-generator) (distinct chosen)))]
      (merge asked given))
    200))

(def ^:private flags-of
  "By engine the flags of the table."
  (into {} (for [engine [:scsynth :supernova]]
             [engine (set (for [entry server-options
                                :when (contains? (:engines entry) engine)
                                flag  [(:flag entry) (:tcp-flag entry)]
                                :when flag]
                            flag))])))

(defspec command-lines-hold-known-flags-only 300
  (prop/for-all [asked (options-generator nil table {})]
                (let [checked          (options/check asked)
                      executable       (str "/opt/bin/" (name (options/engine checked)))
                      [program & line] (options/command-line checked executable)
                      flags            (filter (flags-of (options/engine checked)) line)]
                  (and (= executable program)
                       (every? string? line)
                       (apply distinct? flags)
                       (= flags (sort flags))
                       (every? #(or (contains? (flags-of (options/engine checked)) %)
                                    (not (re-find #"^-[^0-9]" %)))
                               line)))))

(defspec checking-twice-changes-nothing 300
  (prop/for-all [asked (options-generator nil table {})]
                (let [checked (options/check asked)]
                  (and (= checked (options/check checked))
                       (= (set (map :name table)) (set (keys checked)))))))

(defspec effective-is-never-less 300
  (prop/for-all [asked (options-generator nil table {})]
                (let [checked (options/check asked)
                      has     (options/effective checked)]
                  (and (= has (options/effective has))
                       (vector? (options/warnings checked :linux))
                       (every? (fn [[k x]]
                                 (or (= x (has k))
                                     (and (< x (has k) (* 2 x))
                                          (= 1 (Long/bitCount (has k))))))
                               checked)))))

(def ^:private junk
  (let [names (map :name table)]
    (gen/map (gen/one-of [(gen/elements names) (gen/elements names) (gen/elements names) gen/any-equatable])
             (gen/one-of [gen/any-equatable gen/small-integer gen/string-ascii (gen/elements [nil true false :tcp "::1" (Object.)])])
             {:max-elements 4})))

(defspec junk-is-checked-or-refused-by-name 500
  (prop/for-all [asked (gen/scale #(min 20 %) (gen/one-of [junk gen/any-equatable]))]
                (or (contains? #{nil :unknown-option :invalid-option :option-of-other-engine} (code asked))
                    (throw (thrown asked)))))

;; the real servers

(defn- installed [program]
  (let [file (io/file "/usr/bin" program)]
    (when (.canExecute file) (str file))))

(defn- exit-of
  "Exit code of a command line with -v behind it, which makes both servers parse
  it all, print their version and end; and what it printed."
  [line]
  (let [process (.start (doto (ProcessBuilder. ^java.util.List (conj line "-v")) (.redirectErrorStream true)))
        printed (slurp (.getInputStream process))]
    (.waitFor process 10 TimeUnit/SECONDS)
    [(.exitValue process) printed]))

(defn- accepted? [asked executable]
  (let [line           (options/command-line (options/check (assoc asked :executable executable) :linux) executable)
        [exit printed] (exit-of line)]
    (or (= 0 exit)
        (throw (ex-info "A server refused its command line." {:line line, :exit exit, :printed printed})))))

(deftest real-servers-refuse-what-they-do-not-know
  (doseq [program ["scsynth" "supernova"]
          :let    [executable (installed program)]
          :when   executable]
    (is (= 1 (first (exit-of [executable "-q"]))))
    (is (= 0 (first (exit-of [executable "-u" "57110"]))))))

(deftest real-servers-take-every-flag
  (doseq [program ["scsynth" "supernova"]
          :let    [executable (installed program)
                   engine     (options/engine-of program)
                   entries    (for [{:keys [engines platforms since] :as entry} server-options
                                    :when (and (contains? engines engine)
                                               (contains? #{nil :linux} (get platforms engine))
                                               (nil? since))]
                                entry)]
          :when   executable]
    (is (accepted? (into {} (for [{k :name, :keys [default] :as entry} entries]
                              [k (get entry :example (if (boolean? default) (not default) default))]))
                   executable)
        "each at another value than its default")
    (is (accepted? (into {} (for [{k :name, [_ high] :range} entries :when high] [k high])) executable)
        "each at its greatest")
    (is (accepted? (into {:audio-bus-channel-count 1} (for [{k :name, [low] :range} entries :when low] [k low])) executable)
        "each at its least")))

(defspec real-servers-take-any-checked-options 20
  (let [executables (keep installed ["scsynth" "supernova"])
        entries     (remove :since table)]
    (if (empty? executables)
      (prop/for-all [_ gen/nat] true)
      (prop/for-all [[executable asked] (gen/let [executable (gen/elements executables)
                                                  asked      (options-generator :linux entries {:executable executable})]
                                          [executable asked])]
        (accepted? asked executable)))))

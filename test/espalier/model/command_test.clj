(ns espalier.model.command-test
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [are deftest is testing]]
   [clojure.test.check.clojure-test :refer [defspec]]
   [clojure.test.check.generators :as gen]
   [clojure.test.check.properties :as prop]
   [espalier.model.command :as command]
   [espalier.model.command-page :as page]
   [espalier.model.command-table :refer [table]]
   [espalier.model.command-type :as command-type]
   [espalier.model.error :as error]
   [espalier.model.synthdef :as synthdef]
   [espalier.runtime.link :as link])
  (:import
   (espalier.kernel OscCodec)
   (java.io File)))

(set! *warn-on-reflection* true)

(def ^:private scsynth command/default-limits)

(def ^:private supernova (assoc scsynth :engine :supernova))

(def ^:private newest (assoc scsynth :version "3.14.0"))

(defn- thrown [command args limits]
  (try (command/request command args limits) nil
       (catch clojure.lang.ExceptionInfo e e)))

(defn- code
  "The error of a request, or :sent."
  ([command args] (code command args scsynth))
  ([command args limits] (or (some-> (thrown command args limits) error/code name keyword) :sent)))

(defn- read-bytes ^bytes [x]
  (with-open [in (io/input-stream x)] (.readAllBytes in)))

(def ^:private bell (read-bytes (io/resource "golden/instruments/bell.scsyndef")))

(defn- bell-named [synthdef-name]
  (synthdef/encode [(assoc (first (synthdef/parse bell)) :name synthdef-name)]))

;; the table

(def ^:private addresses
  "Every command of scsynth 3.14 and supernova."
  #{"/none" "/notify" "/status" "/quit" "/cmd" "/d_recv" "/d_load" "/d_loadDir" "/d_freeAll" "/s_new" "/n_trace" "/n_free"
    "/n_run" "/n_map" "/n_set" "/n_setn" "/n_fill" "/n_before" "/n_after" "/u_cmd" "/g_new" "/g_head" "/g_tail" "/g_freeAll"
    "/c_set" "/c_setn" "/c_fill" "/b_alloc" "/b_allocRead" "/b_read" "/b_write" "/b_free" "/b_close" "/b_zero" "/b_set"
    "/b_setn" "/b_fill" "/b_gen" "/dumpOSC" "/c_get" "/c_getn" "/b_get" "/b_getn" "/s_get" "/s_getn" "/n_query" "/b_query"
    "/n_mapn" "/s_noid" "/g_deepFree" "/clearSched" "/sync" "/d_free" "/b_allocReadChannel" "/b_readChannel" "/g_dumpTree"
    "/g_queryTree" "/error" "/s_newargs" "/n_mapa" "/n_mapan" "/n_order" "/p_new" "/version" "/rtMemoryStatus"
    "/b_setSampleRate"})

(def ^:private asynchronous
  #{"/notify" "/quit" "/sync" "/d_recv" "/d_load" "/d_loadDir" "/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read"
    "/b_readChannel" "/b_write" "/b_free" "/b_close" "/b_zero" "/b_gen" "/b_setSampleRate"})

(def ^:private completed
  #{"/d_recv" "/d_load" "/d_loadDir" "/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read" "/b_readChannel" "/b_write"
    "/b_free" "/b_close" "/b_zero"})

(deftest table-is-complete
  (is (= addresses (set (map :address table))))
  (is (apply distinct? (map :address table)))
  (is (apply distinct? (map :command table)))
  (is (= command/command-names (set (map :command table))))
  (is (= asynchronous (set (map :address (filter :async? table)))))
  (is (= completed (set (map :address (filter :completion? table))))))

(defn- many? [type] (vector? type))

(deftest entries-are-consistent
  (doseq [{:keys [command address args engines since reply merge refused own doc] :as entry} table]
    (testing command
      (is (simple-keyword? command))
      (is (str/starts-with? address "/"))
      (is (= entry (select-keys entry [:command :address :args :engines :since :async? :completion? :ahead? :reply :merge :refused
                                       :own :doc])))
      (is (re-matches #"(?s)[A-Z][^\n]{8,}\." doc))
      (is (contains? #{nil :all :same} merge))
      (is (or (nil? since) (re-matches #"\d+\.\d+" since)))
      (is (every? #{:scsynth :supernova} (concat engines (keys refused))))
      (is (or (nil? own) (str/includes? own "(sc/")))
      (is (or (not (:completion? entry)) (:async? entry)))
      (is (or (not (:ahead? entry)) (:completion? entry)))
      (is (or (not (:async? entry)) (contains? #{"/done" "/synced"} (first reply))))
      (is (or (empty? args) (apply distinct? (map first args))))
      (is (not-any? #(many? (second %)) (butlast args)) "what takes all that are left is the last")
      (doseq [[arg-name type doc options] args]
        (testing arg-name
          (is (simple-keyword? arg-name))
          (is (and (string? doc) (re-matches #"[^\n]{3,}[^\n.]" doc)))
          (is (= options (not-empty (select-keys options [:default :range :values :min]))))
          (is (or (not (many? type)) (= :many (first type))))
          (doseq [t (if (many? type) (rest type) [type])]
            (is (fn? (command-type/reader t)))
            (is (not (str/blank? (command-type/says t options)))))
          (when (contains? options :default)
            (is (some? ((command-type/reader type) (:default options) scsynth options)) "the default is a right value"))))
      (when reply
        (is (str/starts-with? (first reply) "/"))
        (doseq [part (rest reply)
                :let [named (fn [n] (some #(when (= n (first %)) %) args))]]
          (is (cond
                (string? part)  true
                (keyword? part) (when-let [[_ type] (named part)] (not (many? type)))
                (vector? part)  (and (= (first part) (first (last args)))
                                     (many? (second (last args)))
                                     (every? nil? (rest part))))))))))

(deftest entries-are-found
  (is (= :n-set (:command (command/of ["/n_set" 1]))))
  (is (nil? (command/of ["/foo"])))
  (is (nil? (command/of [])))
  (is (= "/n_set" (:address (command/entry :n-set))))
  (is (thrown-with-msg? clojure.lang.ExceptionInfo #"Did you mean :g-head\? \(sc/doc-command\)" (command/entry :g-haed)))
  (is (thrown? clojure.lang.ExceptionInfo (command-type/reader :colour))))

(deftest page-is-made-from-the-table
  (is (= (page/markdown) (slurp (io/file "doc" "commands.md")))
      "doc/commands.md is older than the table: its first lines say how to make it anew")
  (let [overview (page/overview)]
    (is (= (count table) (count (str/split-lines overview))))
    (doseq [{:keys [command address args doc own since refused]} table
            :let [text (page/text command)]]
      (testing command
        (is (str/includes? overview doc))
        (is (every? #(str/includes? text %) (concat [(str command) address doc] (map (comp str first) args) (map #(nth % 2) args)
                                                    (vals refused) (remove nil? [own since]))))
        (is (not-any? str/blank? (str/split-lines text))))))
  (is (= :espalier.error/unknown-command (error/code (try (page/text :n-sett) (catch clojure.lang.ExceptionInfo e e))))))

;; requests

(def ^:private examples
  "Of each command that can be sent: right arguments and the request."
  [[:status {} ["/status"]]
   [:version {} ["/version"]]
   [:sync {:id 7} ["/sync" 7]]
   [:dump-osc {:mode 1} ["/dumpOSC" 1]]
   [:clear-schedule {} ["/clearSched"]]
   [:error-mode {:mode -2} ["/error" -2]]
   [:plugin {:name "poke", :arguments [1 2.5 "x" :y true]} ["/cmd" "poke" 1 2.5 "x" "y" 1]]
   [:none {} ["/none"]]
   [:d-recv {:synthdef bell} ["/d_recv" bell]]
   [:d-load {:path "/tmp/*.scsyndef"} ["/d_load" "/tmp/*.scsyndef"]]
   [:d-load-directory {:path (File. "/tmp")} ["/d_loadDir" "/tmp"]]
   [:d-free {:names ["bell" :pad {:kind :synthdef, :name "bass"}]} ["/d_free" "bell" "pad" "bass"]]
   [:n-free {:ids [1000 1001]} ["/n_free" 1000 1001]]
   [:n-run {:runs {1000 true}} ["/n_run" 1000 1]]
   [:n-set {:id 1000, :controls [[:freq 440.0] ["amp" 1/2] [3 "c5"] ['pan [0 1.5 "a2"]]]}
    ["/n_set" 1000 "freq" 440.0 "amp" 0.5 3 "c5" "pan" [0 1.5 "a2"]]]
   [:n-setn {:id 1000, :ranges [[:freqs [1 2.0 "c7"]] [4 (list 3)]]} ["/n_setn" 1000 "freqs" 3 1 2.0 "c7" 4 1 3]]
   [:n-map {:id 1000, :buses {:freq 5, :amp nil}} ["/n_map" 1000 "freq" 5 "amp" -1]]
   [:n-mapa {:id 1000, :buses [[:freq 5] [1 -1]]} ["/n_mapa" 1000 "freq" 5 1 -1]]
   [:n-mapn {:id 1000, :buses {:freq [5 2]}} ["/n_mapn" 1000 "freq" 5 2]]
   [:n-mapan {:id 1000, :buses [[:freq 1020 4]]} ["/n_mapan" 1000 "freq" 1020 4]]
   [:n-before {:moves [[1000 1001]]} ["/n_before" 1000 1001]]
   [:n-after {:moves {1000 1001}} ["/n_after" 1000 1001]]
   [:n-order {:action :tail, :target 1, :ids [1000 1001]} ["/n_order" 1 1 1000 1001]]
   [:n-query {:id 1000} ["/n_query" 1000]]
   [:n-trace {:ids 1000} ["/n_trace" 1000]]
   [:s-new {:synthdef "bell", :id 1000, :action :before, :target 1001, :controls {:freq 440, :on true}}
    ["/s_new" "bell" 1000 2 1001 "freq" 440 "on" 1]]
   [:s-new-args {:synthdef "bell", :id 1000, :target 1, :ranges {:freqs [1 2]}} ["/s_newargs" "bell" 1000 0 1 "freqs" 2 1 2]]
   [:s-get {:id 1000, :controls [:freq 2]} ["/s_get" 1000 "freq" 2]]
   [:s-getn {:id 1000, :control :freq, :count 3} ["/s_getn" 1000 "freq" 3]]
   [:s-noid {:ids [1000]} ["/s_noid" 1000]]
   [:g-new {:groups [[1000 :head 1] [1001 :replace 1000]]} ["/g_new" 1000 0 1 1001 4 1000]]
   [:p-new {:groups [[1000 :tail 0]]} ["/p_new" 1000 1 0]]
   [:g-head {:moves [[1000 1001]]} ["/g_head" 1000 1001]]
   [:g-tail {:moves {1000 1001}} ["/g_tail" 1000 1001]]
   [:g-free-all {:ids [0]} ["/g_freeAll" 0]]
   [:g-deep-free {:ids [1]} ["/g_deepFree" 1]]
   [:g-dump-tree {:groups {0 true}} ["/g_dumpTree" 0 1]]
   [:g-query-tree {:group 0, :with-controls false} ["/g_queryTree" 0 0]]
   [:u-cmd {:id 1000, :ugen 2, :name "poke", :arguments [1]} ["/u_cmd" 1000 2 "poke" 1]]
   [:b-alloc {:buffer 0, :frame-count 64, :channel-count 2} ["/b_alloc" 0 64 2]]
   [:b-alloc-read {:buffer 0, :path "/tmp/x.wav", :start-frame 5, :frame-count 6} ["/b_allocRead" 0 "/tmp/x.wav" 5 6]]
   [:b-alloc-read-channel {:buffer 0, :path "/tmp/x.wav", :channels [1 0]} ["/b_allocReadChannel" 0 "/tmp/x.wav" 0 0 1 0]]
   [:b-read {:buffer 0, :path "/tmp/x.wav", :leave-open true} ["/b_read" 0 "/tmp/x.wav" 0 -1 0 1]]
   [:b-read-channel {:buffer 0, :path "/tmp/x.wav", :channels [1]} ["/b_readChannel" 0 "/tmp/x.wav" 0 -1 0 0 1]]
   [:b-write {:buffer 0, :path "/tmp/x.flac", :header-format :flac, :sample-format "int24"}
    ["/b_write" 0 "/tmp/x.flac" "flac" "int24" -1 0 0]]
   [:b-free {:buffer 1023} ["/b_free" 1023]]
   [:b-zero {:buffer 0} ["/b_zero" 0]]
   [:b-close {:buffer 0} ["/b_close" 0]]
   [:b-gen {:buffer 0, :routine :sine1, :arguments [7 1 0.5]} ["/b_gen" 0 "sine1" 7 1 0.5]]
   [:b-set {:buffer 0, :samples {0 0.5}} ["/b_set" 0 0 0.5]]
   [:b-setn {:buffer 0, :ranges [[0 [1 2]] [8 [3.0]]]} ["/b_setn" 0 0 2 1 2 8 1 3.0]]
   [:b-fill {:buffer 0, :fills [[0 8 0.5]]} ["/b_fill" 0 0 8 0.5]]
   [:b-query {:buffers [0 1]} ["/b_query" 0 1]]
   [:b-get {:buffer 0, :samples [5 6]} ["/b_get" 0 5 6]]
   [:b-getn {:buffer 0, :sample 5, :count 6} ["/b_getn" 0 5 6]]
   [:c-set {:buses {5 1.5}} ["/c_set" 5 1.5]]
   [:c-setn {:ranges {5 [1 2]}} ["/c_setn" 5 2 1 2]]
   [:c-fill {:fills [[5 2 1.5]]} ["/c_fill" 5 2 1.5]]
   [:c-get {:buses [5 6]} ["/c_get" 5 6]]
   [:c-getn {:bus 5, :count 2} ["/c_getn" 5 2]]])

(deftest right-arguments-make-requests
  (doseq [[command args request] examples]
    (is (= request (command/request command args)))
    (is (vector? (command/request command args)))
    (is (= command (:command (command/of request)))))
  (is (= ["/n_fill" 1000 "freqs" 3 0.5] (command/request :n-fill {:id 1000, :fills [[:freqs 3 0.5]]} supernova)))
  (is (= ["/rtMemoryStatus"] (command/request :memory-status {} newest)))
  (is (= ["/b_setSampleRate" 0 48000] (command/request :b-set-sample-rate {:buffer 0, :sample-rate-hz 48000} newest)))
  (testing "each command is here, but those that are for no one to send"
    (is (= (into #{:n-fill :memory-status :b-set-sample-rate :notify :quit :d-free-all} (map first examples))
           command/command-names)))
  (testing "a float array stays one, behind its length"
    (let [samples (float-array [1 2 3])
          request (command/request :b-setn {:buffer 0, :ranges [[4 samples]]})]
      (is (= ["/b_setn" 0 4 3] (subvec request 0 4)))
      (is (identical? samples (peek request))))))

(deftest what-is-left-out-has-its-default
  (are [command args request] (= request (command/request command args))
    :s-new                {:synthdef :bell, :id 1000, :target 1}       ["/s_new" "bell" 1000 0 1]
    :s-new-args           {:synthdef :bell, :id 1000, :target 1}       ["/s_newargs" "bell" 1000 0 1]
    :plugin               {:name "x"}                                  ["/cmd" "x"]
    :u-cmd                {:id 5, :ugen 0, :name "x"}                  ["/u_cmd" 5 0 "x"]
    :b-alloc              {:buffer 0, :frame-count 64}                 ["/b_alloc" 0 64 1]
    :b-alloc-read         {:buffer 0, :path "a"}                       ["/b_allocRead" 0 "a" 0 0]
    :b-alloc-read-channel {:buffer 0, :path "a", :channels [0]}        ["/b_allocReadChannel" 0 "a" 0 0 0]
    :b-read               {:buffer 0, :path "a"}                       ["/b_read" 0 "a" 0 -1 0 0]
    :b-read-channel       {:buffer 0, :path "a", :channels [0]}        ["/b_readChannel" 0 "a" 0 -1 0 0 0]
    :b-write              {:buffer 0, :path "a"}                       ["/b_write" 0 "a" "wav" "float" -1 0 0]
    :b-gen                {:buffer 0, :routine "sine1"}                ["/b_gen" 0 "sine1"]))

(deftest numbers-are-those-of-32-bits
  (are [x] (= ["/c_set" 0 x] (command/request :c-set {:buses [[0 x]]}))
    0 -1 2147483647 -2147483648 0.5 -0.0 3.4028234663852886e38 1e-300 ##Inf ##-Inf (float 0.1))
  (are [x sent] (= ["/c_set" 0 sent] (command/request :c-set {:buses [[0 x]]}))
    5N 5, 1/4 0.25, 0.25M 0.25, (short 5) 5, (byte 5) 5, (int 5) 5)
  (are [x] (= :invalid-argument (code :c-set {:buses [[0 x]]}))
    ##NaN (float ##NaN) 2147483648 -2147483649 1e39 -1e39 1e300 100000000000000000000N nil "1" \1 :a [1] {} true)
  (are [x] (= :invalid-argument (code :sync {:id x}))
    1.0 2147483648 -2147483649 nil "1" 1/2 1.0M ##NaN ##Inf true [1] 100000000000000000000N))

(deftest errors-name-argument-value-and-remedy
  (let [e (thrown :s-new {:synthdef "bell", :id "x", :target 1} scsynth)]
    (is (= {:espalier/error :espalier.error/invalid-argument, :command :s-new, :argument :id, :value "x"
            :expected       "a node's id from 1 up"}
           (ex-data e)))
    (is (= ":s-new wants as :id a node's id from 1 up, not \"x\". (sc/doc-command :s-new) tells more." (ex-message e))))
  (testing "of a map, which value it is"
    (doseq [controls [{:amp 1, :freq "x"} [[:amp 1] [:freq "x"]]]]
      (is (re-find #", not \"x\" for :freq\. " (ex-message (thrown :n-set {:id 1000, :controls controls} scsynth))))))
  (is (str/includes? (ex-message (thrown :sync {} scsynth)) "it is missing"))
  (is (str/includes? (ex-message (thrown :b-write {:buffer 0, :path "a", :header-format "wma"} scsynth)) "one of aiff, wav"))
  (is (str/includes? (ex-message (thrown :dump-osc {:mode 4} scsynth)) "from 0 to 3"))
  (is (> 300 (count (ex-message (thrown :sync {:id (str/join (repeat 10000 "x"))} scsynth)))))
  (are [command args hint] (str/includes? (ex-message (thrown command args scsynth)) hint)
    :g-haed        {}                              "There is no command :g-haed. Did you mean :g-head?"
    :n_set         {}                              "Did you mean :n-set?"
    "n-set"        {}                              "Did you mean :n-set?"
    nil            {}                              "There is no command nil."
    :n-set         {:ids 5, :controls {:a 1}}      "Did you mean :id?"
    :n-set         {:id 5, "controls" {:a 1}}      "Did you mean :controls?"
    :b-alloc       {:buffer 0, :frame-cuont 5}     "Did you mean :frame-count?")
  (are [expected command args] (= expected (code command args))
    :unknown-command  :n-sett  {}
    :unknown-argument :status  {:id 1}
    :unknown-argument :n-query {:id 1, nil 2}
    :invalid-argument :n-query nil
    :invalid-argument :n-query [:id 1]
    :invalid-argument :n-query "1"
    :invalid-argument :n-query {:id nil}
    :invalid-argument :n-set   {:id 5}
    :invalid-argument :n-set   {:id 5, :controls {}}
    :invalid-argument :n-set   {:id 5, :controls []}
    :invalid-argument :n-set   {:id 5, :controls nil}
    :invalid-argument :n-set   {:id 5, :controls [:freq 440]}
    :invalid-argument :n-set   {:id 5, :controls [[:freq]]}
    :invalid-argument :n-set   {:id 5, :controls [[:freq 440 1]]}
    :invalid-argument :n-set   {:id 5, :controls {:freq nil}}
    :invalid-argument :n-set   {:id 5, :controls {:freq []}}
    :invalid-argument :n-set   {:id 5, :controls {:freq [[1]]}}
    :invalid-argument :n-set   {:id 5, :controls {:freq [1 ##NaN]}}
    :invalid-argument :n-set   {:id 5, :controls {:freq "440"}}
    :invalid-argument :n-set   {:id 5, :controls {:freq "c16384"}}
    :invalid-argument :n-set   {:id 5, :controls {:freq "a1024"}}
    :invalid-argument :n-set   {:id 5, :controls {:freq "c"}}
    :invalid-argument :n-set   {:id 5, :controls {-1 440}}
    :invalid-argument :n-set   {:id 5, :controls {1.5 440}}
    :invalid-argument :n-set   {:id 5, :controls {"" 440}}
    :invalid-argument :n-set   {:id 5, :controls {"frėq" 440}}
    :invalid-argument :n-set   {:id 5, :controls {"fr\u0000eq" 440}}
    :invalid-argument :n-setn  {:id 5, :ranges [[:freq 440]]}
    :invalid-argument :n-setn  {:id 5, :ranges [[:freq []]]}
    :invalid-argument :n-map   {:id 5, :buses {:freq -2}}
    :invalid-argument :n-mapn  {:id 5, :buses [[:freq -1 1]]}
    :invalid-argument :n-order {:action :replace, :target 1, :ids [5]}
    :invalid-argument :s-new   {:synthdef "", :id 5, :target 1}
    :invalid-argument :s-new   {:synthdef "bell", :id 5, :action :after-all, :target 1}
    :invalid-argument :s-new   {:synthdef "bell", :id 5, :action 5, :target 1}
    :invalid-argument :s-new   {:synthdef "bell", :id 0, :target 1}
    :invalid-argument :s-new   {:synthdef "bell", :id -1, :target 1}
    :invalid-argument :s-new   {:synthdef "bell", :id 5, :target -1}
    :invalid-argument :n-free  {:ids []}
    :invalid-argument :n-free  {:ids [5 nil]}
    :invalid-argument :n-run   {:runs {5 2}}
    :invalid-argument :d-load  {:path ""}
    :invalid-argument :d-load  {:path "a\u0000b"}
    :invalid-argument :d-load  {:path :a}
    :invalid-argument :d-recv  {:synthdef "bell"}
    :invalid-synthdef :d-recv  {:synthdef (byte-array 10)}
    :invalid-argument :b-gen   {:buffer 0, :routine "sine4"}
    :invalid-argument :b-setn  {:buffer 0, :ranges [[0 (float-array 0)]]}
    :invalid-argument :b-setn  {:buffer 0, :ranges [[0 (float-array [1 ##NaN])]]}))

(deftest runs-of-buffers-and-buses-hold-numbers-only
  (are [command args limits] (= :invalid-argument (code command args limits))
    :b-setn {:buffer 0, :ranges [[0 ["c5"]]]}   scsynth
    :b-setn {:buffer 0, :ranges [[0 [1 "a5"]]]} scsynth
    :c-setn {:ranges [[0 ["c5"]]]}              scsynth
    ;; supernova reads numbers only there
    :n-setn {:id 5, :ranges [[:freq ["c5"]]]}   supernova))

;; what would harm a server

(deftest what-a-server-does-not-know-is-refused
  (are [command args limits] (= :refused-command (code command args limits))
    :quit              {}                                         scsynth
    :notify            {:on true}                                 scsynth
    :d-free-all        {}                                         scsynth
    :d-free-all        {}                                         supernova
    :s-new-args        {:synthdef "bell", :id 1000, :target 1}    supernova
    :n-fill            {:id 1000, :fills [[0 1 1]]}               scsynth
    :memory-status     {}                                         scsynth
    :memory-status     {}                                         supernova
    :memory-status     {}                                         (assoc scsynth :version "3.13.0")
    :memory-status     {}                                         (assoc scsynth :version "3.9.1")
    :b-set-sample-rate {:buffer 0, :sample-rate-hz 48000}         (assoc scsynth :version "3.13.0"))
  (are [version] (= :sent (code :memory-status {} (assoc scsynth :version version)))
    "3.14" "3.14.0" "3.15.0-dev" "4.0" "4" nil)
  (is (str/includes? (ex-message (thrown :quit {} scsynth)) "(sc/quit! s)"))
  (is (str/includes? (ex-message (thrown :n-fill {:id 1000, :fills [[0 1 1]]} scsynth)) ":n-setn")))

(deftest numbers-of-what-is-not-there-are-refused
  (doseq [buffer                     [-1 1024 1025 65536 2147483647 -2147483648]
          [command {:keys [args]}] (map (juxt :command identity) table)
          :when                      (some #{:buffer :buffers} (map first args))
          :let                       [[_ right] (some #(when (= command (first %)) %) examples)]
          :when                      right]
    (is (= :invalid-argument (code command (if (:buffers right) (assoc right :buffers [buffer]) (assoc right :buffer buffer))))
        (str command " " buffer)))
  (are [command args] (= :invalid-argument (code command args))
    :c-set   {:buses {16384 1}}
    :c-set   {:buses {-1 1}}
    :c-get   {:buses [16384]}
    :c-getn  {:bus 16384, :count 1}
    :c-setn  {:ranges {-1 [1]}}
    :c-fill  {:fills [[16384 1 1]]}
    :n-map   {:id 5, :buses {:freq 16384}}
    :n-mapa  {:id 5, :buses {:freq 1024}}
    :n-mapan {:id 5, :buses [[:freq 1024 1]]})
  (testing "ranges that begin within and end beyond"
    (are [command args] (= :refused-command (code command args))
      :c-setn  {:ranges {16383 [1 2]}}
      :c-setn  {:ranges [[0 [1]] [16383 [1 2]]]}
      :c-setn  {:ranges [[0 (float-array 5)] [16383 [1 2]]]}
      :c-fill  {:fills [[16383 2 1]]}
      :c-fill  {:fills [[0 1 1] [1 2147483646 1]]}
      :c-getn  {:bus 16383, :count 2}
      :c-getn  {:bus 1, :count 2147483646}
      :n-mapn  {:id 5, :buses [[:freq 16383 2]]}
      :n-mapan {:id 5, :buses [[:freq 1023 2]]}))
  (testing "as many as there are"
    (are [command args] (= :sent (code command args))
      :c-setn  {:ranges {16382 [1 2]}}
      :c-fill  {:fills [[0 16384 1]]}
      :n-mapn  {:id 5, :buses [[:freq 16382 2]]}
      :n-mapan {:id 5, :buses [[:freq 0 1024]]}
      :b-free  {:buffer 1023})))

(deftest huge-counts-are-refused
  (are [expected command args limits] (= expected (code command args limits))
    :invalid-argument :s-getn  {:id 5, :control 0, :count 2147483647}                         scsynth
    :invalid-argument :s-getn  {:id 5, :control 0, :count 4097}                               supernova
    :invalid-argument :s-getn  {:id 5, :control 0, :count 0}                                  scsynth
    :invalid-argument :s-getn  {:id 5, :control 0, :count -1}                                 scsynth
    :invalid-argument :n-fill  {:id 5, :fills [[0 2147483647 1]]}                             supernova
    :invalid-argument :n-mapn  {:id 5, :buses [[0 0 4097]]}                                   scsynth
    :invalid-argument :n-mapan {:id 5, :buses [[0 0 2147483647]]}                             scsynth
    :refused-command  :b-getn  {:buffer 0, :sample 0, :count 13001}                           scsynth
    :refused-command  :b-getn  {:buffer 0, :sample 0, :count 2147483646}                      scsynth
    :refused-command  :c-getn  {:bus 0, :count 13001}                                         scsynth
    :refused-command  :c-getn  {:bus 0, :count 201}                                           supernova
    :sent             :c-getn  {:bus 0, :count 200}                                           supernova
    :invalid-argument :b-alloc {:buffer 0, :frame-count 0}                                    scsynth
    :invalid-argument :b-alloc {:buffer 0, :frame-count -1}                                   supernova
    :invalid-argument :b-alloc {:buffer 0, :frame-count 1, :channel-count 0}                  scsynth
    :refused-command  :b-alloc {:buffer 0, :frame-count 2147483646, :channel-count 2147483646} scsynth
    :refused-command  :b-alloc {:buffer 0, :frame-count 2000000000}                           scsynth
    :sent             :b-alloc {:buffer 0, :frame-count 100000000, :channel-count 2}          scsynth)
  (testing "a place behind the last number kills scsynth, whatever the buffer's size"
    (are [fill] (= :refused-command (code :b-fill {:buffer 0, :fills [fill]}))
      [2 2147483646 1]
      [2147483646 2 1])))

(deftest the-root-is-left-alone
  (are [command args limits] (= :refused-command (code command args limits))
    :n-free   {:ids [0]}                                                      scsynth
    :n-free   {:ids [1000 0]}                                                 supernova
    :n-query  {:id 0}                                                         supernova
    :n-run    {:runs {0 false}}                                               supernova
    :n-run    {:runs [[1000 true] [0 true]]}                                  supernova
    :n-before {:moves {0 1000}}                                               scsynth
    :n-before {:moves {1000 0}}                                               supernova
    :n-after  {:moves [[1000 1001] [1000 0]]}                                 scsynth
    :g-head   {:moves {1000 0}}                                               scsynth
    :n-order  {:action :head, :target 1, :ids [1000 0]}                       supernova
    :n-order  {:action :before, :target 0, :ids [1000]}                       supernova
    :n-order  {:action :after, :target 0, :ids [1000]}                        scsynth
    :s-new    {:synthdef "bell", :id 1000, :action :before, :target 0}        scsynth
    :s-new    {:synthdef "bell", :id 1000, :action :replace, :target 0}       supernova
    :g-new    {:groups [[1000 :head 0] [1001 :after 0]]}                      scsynth
    :p-new    {:groups [[1000 :replace 0]]}                                   supernova)
  (are [command args limits] (= :sent (code command args limits))
    :n-query  {:id 0}                                                         scsynth
    :n-run    {:runs {1 false}}                                               supernova
    :g-head   {:moves {0 1000}}                                               supernova
    :n-order  {:action :tail, :target 0, :ids [1000]}                         scsynth
    :s-new    {:synthdef "bell", :id 1000, :target 0}                         supernova))

(deftest nothing-comes-beside-or-into-itself
  (are [command args] (= :refused-command (code command args) (code command args supernova))
    :n-before {:moves {1000 1000}}
    :n-after  {:moves [[1000 1001] [5 5]]}
    :g-head   {:moves {1000 1000}}
    :g-tail   {:moves {1000 1000}}
    :n-order  {:action :head, :target 1000, :ids [1001 1000]}
    :n-order  {:action :after, :target 1000, :ids [1000]}
    :s-new    {:synthdef "bell", :id 1000, :target 1000}
    :g-new    {:groups [[1000 :after 1000]]}))

(deftest a-node-has-one-place-in-an-order
  ;; scsynth puts a node that comes again behind itself, and so out of the tree.
  (are [ids] (= :refused-command (code :n-order {:action :head, :target 1, :ids ids}))
    [5 5]
    [5 6 6 7]))

(deftest groups-do-not-come-below-themselves
  ;; 1 holds 10, which holds 20, which holds 30
  (let [parents {10 1, 20 10, 30 20}
        below?  (fn [a b] (boolean (some #{b} (take-while some? (rest (iterate parents a))))))]
    (doseq [engine [:scsynth :supernova]
            :let   [limits (assoc scsynth :engine engine :below? below?)]]
      (are [command args] (= :refused-command (code command args limits))
        :g-head   {:moves {30 10}}
        :g-tail   {:moves [[1 30] [20 10]]}
        :n-before {:moves {10 20}}
        :n-after  {:moves {20 30}}
        :n-order  {:action :head, :target 30, :ids [40 20]}
        :n-order  {:action :before, :target 20, :ids [10]})
      (are [command args] (= :sent (code command args limits))
        :g-head   {:moves {10 30}}
        :g-head   {:moves {1 30}}
        :n-before {:moves {30 20}}
        :n-order  {:action :head, :target 1, :ids [30 20 10]})))
  (testing "moves of one request that make a circle together"
    (are [command moves] (= :refused-command (code command {:moves moves}))
      :g-head [[10 20] [20 10]]
      :g-tail [[10 20] [20 30] [30 10]])))

(deftest a-synth-has-no-head-or-tail
  (let [limits (assoc scsynth :kind-of {1 :group, 1000 :synth})]
    (are [expected action target] (= expected
                                     (code :s-new {:synthdef "bell", :id 2000, :action action, :target target} limits)
                                     (code :g-new {:groups [[2000 action target]]} limits))
      :refused-command :head    1000
      :refused-command :tail    1000
      :sent            :before  1000
      :sent            :after   1000
      :sent            :replace 1000
      :sent            :head    1
      :sent            :tail    5)))

(deftest places-lie-within-the-buffer
  (let [samples-of {0 64, 1 1}]
    (doseq [engine [:scsynth :supernova]
            :let   [limits (assoc scsynth :engine engine :samples-of samples-of)]]
      (are [expected command args] (= expected (code command args limits))
        :sent            :b-set  {:buffer 0, :samples {63 1}}
        :refused-command :b-set  {:buffer 0, :samples {64 1}}
        :refused-command :b-set  {:buffer 0, :samples [[0 1] [2147483646 1] [1 1]]}
        :sent            :b-setn {:buffer 0, :ranges [[0 (float-array 64)]]}
        :refused-command :b-setn {:buffer 0, :ranges [[1 (float-array 64)]]}
        :refused-command :b-setn {:buffer 0, :ranges [[0 [1 2]] [63 [1 2]]]}
        :sent            :b-fill {:buffer 0, :fills [[0 64 1]]}
        :refused-command :b-fill {:buffer 0, :fills [[0 1 1] [2147483646 2147483646 1]]}
        :sent            :b-get  {:buffer 0, :samples [0 63]}
        :refused-command :b-get  {:buffer 0, :samples [0 64]}
        :sent            :b-getn {:buffer 0, :sample 0, :count 64}
        :refused-command :b-getn {:buffer 0, :sample 1, :count 64})))
  (testing "supernova writes wherever it is told"
    (let [limits (assoc supernova :samples-of {0 64, 1 63})]
      (are [expected command args] (= expected (code command args limits))
        :refused-command :b-set  {:buffer 2, :samples {0 1}}
        :refused-command :b-setn {:buffer 2, :ranges [[0 [1]]]}
        :refused-command :b-fill {:buffer 2, :fills [[0 1 1]]}
        :refused-command :b-getn {:buffer 2, :sample 0, :count 1}
        :refused-command :b-zero {:buffer 1}
        :refused-command :b-zero {:buffer 2}
        :sent            :b-zero {:buffer 0}
        :refused-command :b-gen  {:buffer 2, :routine "sine1", :arguments [7 1]}
        :sent            :b-gen  {:buffer 0, :routine "sine1", :arguments [7 1]})))
  (testing "scsynth looks itself, where nobody knows"
    (is (= :sent (code :b-set {:buffer 2, :samples {0 1}} (assoc scsynth :samples-of {}))))
    (is (= :sent (code :b-zero {:buffer 2} (assoc scsynth :samples-of {}))))))

(deftest routines-take-what-does-not-kill
  (doseq [limits [scsynth (assoc supernova :samples-of (constantly 64))]]
    (testing "the buffer to copy from is one that can be, and places are not before its beginning"
      (are [arguments] (contains? #{:refused-command :invalid-argument} (code :b-gen {:buffer 0, :routine "copy", :arguments arguments} limits))
        [0 1024 0 -1]
        [0 -1 0 -1]
        [0 99999 0 -1]
        [-1 1 0 -1]
        [0 1 -1000000 -1]))
    (is (= :sent (code :b-gen {:buffer 0, :routine "copy", :arguments [0 1 0 -1]} limits)))
    (testing "both servers divide by a size of 0, and scsynth dies of one that is no power of two"
      (are [arguments] (contains? #{:refused-command :invalid-argument}
                                  (code :b-gen {:buffer 0, :routine "PreparePartConv", :arguments arguments} limits))
        [1 0]
        [1 1000]
        [1]
        [1024 1024]))
    (is (= :sent (code :b-gen {:buffer 0, :routine "PreparePartConv", :arguments [1 1024]} limits)))))

(deftest names-have-the-length-that-servers-can-hold
  (are [expected n limits] (= expected (code :s-new {:synthdef (str/join (repeat n "x")), :id 1000, :target 1} limits))
    :sent             255 scsynth
    :invalid-argument 256 scsynth
    :sent             127 supernova
    :invalid-argument 128 supernova)
  (testing "in bytes: é has two"
    (are [n limits] (= :invalid-argument (code :d-free {:names [(str/join (repeat n "é"))]} limits))
      128 scsynth
      64  supernova))
  (testing "a SynthDef of such a name kills supernova when it arrives"
    (are [expected synthdef-name] (= expected (code :d-recv {:synthdef (bell-named synthdef-name)} supernova))
      :sent             (str/join (repeat 127 "x"))
      :invalid-argument (str/join (repeat 128 "x"))
      :invalid-argument (str/join (repeat 64 "é"))))
  (testing "supernova reads one SynthDef"
    (let [two (synthdef/encode (into (synthdef/parse bell) (synthdef/parse (bell-named "bell-2"))))]
      (is (= :sent (code :d-recv {:synthdef two})))
      (is (= :invalid-argument (code :d-recv {:synthdef two} supernova)))))
  (testing "both servers die of a path that is longer than the system's"
    (doseq [limits [scsynth supernova], command [:d-load :d-load-directory]]
      (is (= :invalid-argument (code command {:path (str "/tmp/" (str/join (repeat 5000 "x")))} limits))))))

;; entities

(deftest entities-are-their-ids
  (let [limits  (assoc scsynth :resolve (fn [{:keys [id]}]
                                          (if (= 99 id) (throw (error/error :foreign-entity "not ours" {})) id)))
        group   {:kind :group, :id 10}
        synth   {:kind :synth, :id 20}
        buffer  {:kind :buffer, :id 3}
        control {:kind :bus, :rate :control, :id 4}
        audio   {:kind :bus-group, :rate :audio, :id 16, :count 2}
        foreign {:kind :buffer, :id 99}]
    (are [command args request] (= request (command/request command args limits))
      :n-free  {:ids [group synth]}                              ["/n_free" 10 20]
      :n-free  {:ids group}                                      ["/n_free" 10]
      :s-new   {:synthdef "bell", :id 1000, :target group, :controls {:buf buffer, :in audio, :x [control 1]}}
      ["/s_new" "bell" 1000 0 10 "buf" 3 "in" 16 "x" [4 1]]
      :n-map   {:id synth, :buses {:a control}}                  ["/n_map" 20 "a" 4]
      :n-mapa  {:id synth, :buses {:a audio}}                    ["/n_mapa" 20 "a" 16]
      :b-zero  {:buffer buffer}                                  ["/b_zero" 3]
      :c-set   {:buses {control 1}}                              ["/c_set" 4 1])
    (are [command args] (= :invalid-argument (code command args limits))
      :n-free  {:ids [buffer]}
      :g-head  {:moves [[synth group]]}
      :s-get   {:id group, :controls [:a]}
      :n-map   {:id synth, :buses {:a audio}}
      :n-mapa  {:id synth, :buses {:a control}}
      :b-zero  {:buffer control}
      :c-set   {:buses {audio 1}}
      :n-set   {:id synth, :controls {:a synth}})
    (is (= :foreign-entity (code :b-zero {:buffer foreign} limits)))
    (testing "maps that only look like one"
      (are [x] (= :invalid-argument (code :n-set {:id 5, :controls {:a x}}))
        {:kind :bus, :id ##NaN}
        {:kind :bus, :id 1e300}
        {:kind :buffer, :id "x"}
        {:kind :buffer, :id 2147483648}
        {:kind :buffer, :id [[1]]}
        {:kind :buffer, :id nil})
      (are [command args] (= :invalid-argument (code command args))
        :n-query {:id (sorted-map 1 2)}
        :n-set   {:id 5, :controls {:a (sorted-map "x" 2)}}
        :d-free  {:names [(sorted-map 1 2)]}
        :c-set   {:buses [[(sorted-map 1 2) 1]]}))))

;; replies and completions

(deftest replies-are-known
  (are [request reply] (= reply (command/reply-to request))
    ["/status"]                            ["/status.reply"]
    ["/version"]                           ["/version.reply"]
    ["/sync" 7]                            ["/synced" 7]
    ["/notify" 1 0]                        ["/done" "/notify"]
    ["/quit"]                              ["/done" "/quit"]
    ["/d_recv" bell]                       ["/done" "/d_recv"]
    ["/n_query" 5]                         ["/n_info" 5]
    ["/s_get" 5 "freq" 2]                  ["/n_set" 5 "freq" nil 2 nil]
    ["/s_getn" 5 "freq" 3]                 ["/n_setn" 5 "freq" 3]
    ["/g_queryTree" 5 1]                   ["/g_queryTree.reply" 1 5]
    ["/b_alloc" 5 64 1]                    ["/done" "/b_alloc" 5]
    ["/b_alloc" 5 64 1 {:completion []}]   ["/done" "/b_alloc" 5]
    ["/b_gen" 5 "sine1" 7 1]               ["/done" "/b_gen" 5]
    ["/b_query" 5 6]                       ["/b_info" 5 nil nil nil 6 nil nil nil]
    ["/b_get" 5 0 9]                       ["/b_set" 5 0 nil 9 nil]
    ["/b_getn" 5 0 9]                      ["/b_setn" 5 0 9]
    ["/c_get" 5 6]                         ["/c_set" 5 nil 6 nil]
    ["/c_getn" 5 2]                        ["/c_setn" 5 2]
    ["/n_set" 5 "freq" 1]                  nil
    ["/foo"]                               nil)
  (testing "of every example"
    (doseq [[_ _ request] examples
            :let [reply (command/reply-to request)]]
      (is (or (nil? reply) (string? (first reply))))
      (is (or (not (:async? (command/of request))) (some? reply))))))

(deftest completions
  (is (= ["/b_zero" 0 {:completion [["/sync" 1]]}] (command/with-completion ["/b_zero" 0] [["/sync" 1]])))
  (is (= ["/b_zero" 0] (command/with-completion ["/b_zero" 0] []) (command/with-completion ["/b_zero" 0] nil)))
  (is (vector? (:completion (peek (command/with-completion ["/b_zero" 0] (map identity [["/sync" 1]]))))))
  (doseq [request [["/b_gen" 0 "sine1"] ["/sync" 1] ["/n_set" 1 "a" 1] ["/foo"]]]
    (is (= :espalier.error/no-completion
           (error/code (try (command/with-completion request [["/sync" 1]]) (catch clojure.lang.ExceptionInfo e e)))))))

;; properties

(def ^:private a-number
  (gen/one-of [gen/small-integer (gen/choose Integer/MIN_VALUE Integer/MAX_VALUE) (gen/double* {:NaN? false, :min -1e38, :max 1e38})
               (gen/elements [1/3 5N 0.25M (float 0.1) ##Inf (int 7)])]))

(def ^:private a-name (gen/elements ["bell" "pad" :bass 'reverb "ä" "a b" "x.y"]))

(def ^:private a-control (gen/one-of [a-name (gen/choose 0 50)]))

(def ^:private a-scalar (gen/one-of [a-number gen/boolean (gen/elements ["c5" "a0" "c16383" {:kind :bus, :rate :audio, :id 5}])]))

(defn- right
  "A generator of right values of a type."
  [type {:keys [values range]}]
  (case type
    :integer             (if range (gen/choose (first range) (second range)) (gen/choose Integer/MIN_VALUE Integer/MAX_VALUE))
    :index               (gen/choose 0 100000)
    :sample              (gen/choose 0 1000)
    (:size :samples)     (gen/choose 1 1000)
    (:count :buses)      (gen/choose 1 20)
    :number              a-number
    :flag                (gen/elements [true false 0 1])
    :name                a-name
    :path                (gen/elements ["/tmp/x" "ä/Ж.wav" (File. "/tmp")])
    :choice              (gen/one-of [(gen/elements values) (gen/elements (map keyword values))])
    :action              (gen/elements [:head :tail :before :after :replace 0 4])
    :order-action        (gen/elements [:head :tail :before :after])
    (:node :new-node :group :synth) (gen/one-of [(gen/choose 1 5) (gen/choose 1 (dec Integer/MAX_VALUE))])
    :buffer              (gen/choose 0 1023)
    :control-bus         (gen/choose 0 16383)
    :audio-bus           (gen/choose 0 1023)
    :control-bus-or-none (gen/one-of [(gen/return nil) (gen/choose -1 16383)])
    :audio-bus-or-none   (gen/one-of [(gen/return nil) (gen/choose -1 1023)])
    :control             a-control
    :value               (gen/one-of [a-scalar (gen/vector a-scalar 1 5)])
    (:run :run-of-buses) (gen/vector a-number 1 5)
    :run-of-samples      (gen/one-of [(gen/vector a-number 1 5) (gen/fmap float-array (gen/vector (gen/double* {:NaN? false}) 1 40))])
    :any                 (gen/one-of [a-number gen/boolean (gen/elements ["x" "Жабá" :key]) (gen/fmap byte-array (gen/vector gen/byte 0 9))])
    :synthdef-bytes      (gen/return bell)))

(defn- right-argument [[_ type _ options]]
  (if (many? type)
    (gen/vector (if (= 2 (count type))
                  (right (second type) options)
                  (apply gen/tuple (map #(right % options) (rest type))))
                (:min options 0) 4)
    (right type options)))

(def ^:private sendable
  (remove #(or (:own %) (:refused %) (:since %)) table))

(defn- right-arguments [{:keys [args]}]
  (apply gen/hash-map (mapcat (juxt first right-argument) args)))

(def ^:private a-request
  "Right arguments as a request, or nil where these together are refused."
  (gen/let [entry (gen/elements sendable)
            args  (right-arguments entry)]
    (try (command/request (:command entry) args)
         (catch clojure.lang.ExceptionInfo e
           (when-not (= :espalier.error/refused-command (error/code e)) (throw e))))))

(def ^:private requests
  "Requests with completions, three deep."
  (letfn [(deep [n]
            (gen/let [rs   (gen/vector (gen/such-that some? a-request 100) 1 4)
                      more (if (pos? n) (gen/one-of [(gen/return nil) (deep (dec n))]) (gen/return nil))]
              (if (and more (:completion? (command/of (peek rs))))
                (conj (pop rs) (command/with-completion (peek rs) more))
                rs)))]
    (deep 3)))

(defspec bytes-are-counted-as-they-are-encoded {:num-tests 1000, :seed 17}
  (prop/for-all [rs requests]
                (and (every? (fn [r]
                               (= (command/bytes-of r)
                                  (OscCodec/sizeOf (link/packet r))
                                  (.limit (.encode (OscCodec. 65536) (link/packet r)))))
                             rs)
                     (= (command/packets-bytes rs)
                        (OscCodec/sizeOf (link/packet (if (next rs) {:packets rs} (first rs))))))))

(defspec requests-begin-with-their-address-and-know-their-reply {:num-tests 1000, :seed 18}
  (prop/for-all [rs requests]
                (every? (fn [r]
                          (let [{:keys [reply async?]} (command/of r)
                                prefix (command/reply-to r)]
                            (and (= (some? reply) (some? prefix))
                                 (or (not async?) (#{"/done" "/synced"} (first prefix))))))
                        rs)))

(defrecord ^:private Thing [id kind])

(def ^:private odd
  (gen/one-of
    [(gen/elements [nil ##NaN ##Inf 1e300 -1e39 (float ##NaN) 2147483648 -2147483649 Long/MAX_VALUE Long/MIN_VALUE (inc (bigint Long/MAX_VALUE))
                    100000000000000000000000N -5N 1/3 1e400M 1e-400M -1 0 1 4097 "" " " "\u0000" "a\u0000b" "\n" "Ж" "\ud800" "c5" "c99999999999" "a-1"
                    (str/join (repeat 300 "x")) \a :a ::a 'a (keyword "") (keyword "a\u0000") (symbol "Ж") true false {} [] #{} () #inst "2020"
                    {:kind :bus} {:kind :bus, :id -1} {:kind :buffer, :id ##NaN} {:kind :buffer, :id [1]} {:kind :synth, :id "x"} {:kind :group, :id 1e9}
                    {:kind :bus, :rate :control, :id 1.5} {:kind :synthdef} {:kind :synthdef, :name 5} {:kind {}} {:completion [["/quit"]]}
                    (sorted-map 1 2) (sorted-map "a" 2) (sorted-set 1 2) (float-array 0) (float-array [1 ##NaN]) (float-array [1 2]) (double-array [1 2])
                    (int-array [1 2]) (char-array "ab") (object-array [nil 1]) (byte-array 0) (byte-array 5) (Object.) inc (->Thing 1 :bus)
                    (->Thing nil :synth) (File. "x") (java.util.ArrayList. [1 2]) (java.util.concurrent.atomic.AtomicLong. 5) (map inc (range 5))])
     (gen/scale #(min 12 %) gen/any)
     (gen/scale #(min 12 %) (gen/vector (gen/one-of [gen/any (gen/vector gen/simple-type 2 3)]) 0 4))
     (gen/scale #(min 12 %) (gen/map gen/simple-type gen/any {:max-elements 3}))]))

(defn- ill-typed-argument [[_ type _ options :as argument]]
  (if (many? type)
    (let [one (fn [t] (gen/frequency [[4 (right t options)] [1 odd]]))]
      (gen/frequency [[3 (gen/vector (if (= 2 (count type)) (one (second type)) (apply gen/tuple (map one (rest type)))) 0 3)]
                      [1 (right-argument argument)]
                      [2 odd]]))
    (gen/frequency [[3 (right-argument argument)] [2 odd]])))

(def ^:private ill-typed
  "A command, arguments right and wrong, some left out and some too many, and limits."
  (gen/let [{:keys [command args]} (gen/elements table)
            command (gen/frequency [[30 (gen/return command)] [1 odd]])
            given   (apply gen/tuple (map #(gen/tuple (gen/frequency [[6 (gen/return (first %))] [1 odd]]) (ill-typed-argument %)) args))
            more    (gen/frequency [[9 (gen/return {})] [1 (gen/map (gen/elements [:id "id" nil 5 [1]]) odd {:max-elements 1})]])
            whole   (gen/frequency [[19 (gen/return nil)] [1 odd]])
            limits  (gen/elements [scsynth supernova newest
                                   (assoc supernova :samples-of {0 64} :below? (constantly false) :kind-of {1 :group, 5 :synth})])]
    [command (if (some? whole) whole (merge (into {} given) more)) limits]))

(defn- sent-number? [x]
  (cond
    (integer? x)                                 (<= Integer/MIN_VALUE x Integer/MAX_VALUE)
    (or (instance? Double x) (instance? Float x)) (or (<= (abs (double x)) Float/MAX_VALUE) (infinite? (double x)))))

(defn- plain? [x]
  (or (sent-number? x) (and (string? x) (not (str/includes? x "\u0000")))))

(defn- well-typed? [request]
  (and (vector? request)
       (contains? addresses (first request))
       (every? (fn [x]
                 (or (plain? x)
                     (and (vector? x) (every? plain? x))
                     (bytes? x)
                     (and (instance? float/1 x) (not-any? NaN? x))))
               (rest request))))

(defspec ill-typed-arguments-make-no-ill-typed-request {:num-tests 10000, :seed 19, :max-size 60}
  (prop/for-all [[command args limits] ill-typed]
                (try
                  (let [request (command/request command args limits)]
                    (and (well-typed? request)
                         (= (command/bytes-of request) (OscCodec/sizeOf (link/packet request)))))
                  (catch clojure.lang.ExceptionInfo e
                    (contains? #{:espalier.error/invalid-argument :espalier.error/unknown-argument :espalier.error/refused-command
                                 :espalier.error/unknown-command :espalier.error/no-completion :espalier.error/invalid-synthdef}
                               (error/code e))))))

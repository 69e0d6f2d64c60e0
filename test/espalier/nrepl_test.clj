(ns espalier.nrepl-test
  "The middleware, by a client in this JVM; where nREPL is not on the classpath, that is said
  and nothing is tested."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.model.operation :as operation]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(def ^:private nrepl? (some? (io/resource "nrepl/core.clj")))

(def s "The server, for names in messages." nil)

(defn- call [f & args] (apply (requiring-resolve f) args))

;; ---- a client

(def ^:private ^:dynamic *client* nil)

(defn- client
  "A connection; what arrives is kept in `:seen`."
  [port]
  (let [transport (call 'nrepl.core/connect :port port)
        seen      (atom [])]
    (doto (Thread. #(try (loop []
                           (when-let [m (call 'nrepl.transport/recv transport)]
                             (swap! seen conj m)
                             (recur)))
                         (catch Exception _)))
      (.setDaemon true)
      (.start))
    {:transport transport, :seen seen}))

(defn- heard
  "Waits for the messages of an id until `enough?` holds of them, and returns them."
  [id enough?]
  (let [mine (fn [] (filterv #(= id (:id %)) @(:seen *client*)))]
    (is (servers/eventually #(enough? (mine))))
    (mine)))

(defn- done? [messages] (some #(some #{"done"} (:status %)) messages))

(defn- send! [message]
  (let [id (str (random-uuid))]
    (call 'nrepl.transport/send (:transport *client*) (assoc message :id id))
    id))

(defn- ask
  "Sends a message and returns what was answered, merged."
  [message]
  (apply merge-with (fn [a b] (cond (string? a) (str a b), (vector? a) (into a b), :else b)) (heard (send! message) done?)))

(defn- session [] (:new-session (ask {:op "clone"})))

(defn- evaluate [session code] (ask {:op "eval", :session session, :code code}))

;; ---- the server

(defn- with-nrepl [f]
  (let [server (call 'nrepl.server/start-server :bind "127.0.0.1"
                     :handler (call 'nrepl.server/default-handler (requiring-resolve 'espalier.nrepl/wrap-espalier)))]
    (try (binding [*client* (client (:port server))]
           (try (f)
                (finally (.close ^java.io.Closeable (:transport *client*)))))
         (finally (call 'nrepl.server/stop-server server)))))

(defn- on-a-server
  "Calls `f` with nREPL and a server in the var `s`."
  [f]
  (servers/each-kind [{:executable "scsynth", :protocol :udp}] {:maximum-logins 2}
                     (fn [handle]
                       (alter-var-root #'s (constantly handle))
                       (try (with-nrepl f)
                            (finally (alter-var-root #'s (constantly nil)))))))

(defn- each-namespace [tests]
  (if nrepl?
    (servers/sharing tests)
    (println "nREPL is not on the classpath: its middleware is not tested.")))

(use-fixtures :once each-namespace)

(def ^:private named "espalier.nrepl-test/s")

;; ---- operations

(deftest describes-itself
  (with-nrepl
    (fn []
      (let [ops (:ops (ask {:op "describe", :verbose? "1"}))]
        (doseq [[op {:keys [doc requires optional returns]}] operation/table
                :let [told (get ops (keyword op))]]
          (is (= doc (:doc told)))
          (is (= [requires optional returns]
                 (map #(update-keys (get told %) (fn [k] (subs (str k) 1))) [:requires :optional :returns]))))))))

(def nothing "No server." nil)

(deftest without-a-server-it-says-so
  (with-nrepl
    (fn []
      (doseq [op ["espalier/status" "espalier/tree" "espalier/log" "espalier/subscribe"]
              :let [{:keys [err status] code :espalier/error} (ask {:op op, :session (session), :server "espalier.nrepl-test/nothing"})]]
        (is (= "espalier.error/no-server" code))
        (is (str/includes? err "espalier.nrepl-test/nothing holds no handle"))
        (is (= #{"error" "done"} (set status))))
      (doseq [op ["espalier/eval-as-bundle" "espalier/plan"]
              :let [{:keys [err] code :espalier/error} (ask {:op op, :code "nil", :session (session), :server "no.such/var"})]]
        (is (= "espalier.error/no-server" code))
        (is (str/includes? err "There is no var no.such/var")))
      (is (contains? (set (:status (ask {:op "espalier/plan", :session (session)}))) "no-code"))
      (is (= "espalier.error/no-session" (:espalier/error (ask {:op "espalier/subscribe"})))))))

(deftest status-and-tree
  (on-a-server
    (fn []
      (let [told (ask {:op "espalier/status"})]
        (is (= named (:server told)))
        (is (= ["online" "scsynth" 1] (map (:espalier/status told) [:status :engine :owner?])))
        (is (= (str s) (:espalier/text told))))
      (sc/add-synthdefs! s instruments/bell)
      (sc/reconcile! s [:group {:key :mix} [:synth {:key :low, :def :bell} {:freq 110.5}]])
      (let [told (ask {:op "espalier/tree", :server named, :group 1})
            mix  (first (:children (:espalier/tree told)))]
        (is (= [":mix" "group"] (map mix [:key :kind])))
        (is (= "110.5" (get-in mix [:children 0 :controls :freq])))
        (is (str/includes? (:espalier/text told) "freq: 110.5")))
      (is (not (str/includes? (:espalier/text (ask {:op "espalier/tree", :controls 0})) "freq")))
      (is (= "espalier.error/no-such-node" (:espalier/error (ask {:op "espalier/tree", :group 77777}))))
      (let [told (ask {:op "espalier/status", :server "no-such-var"})]
        (is (= "espalier.error/no-server" (:espalier/error told)))
        (is (= [named] (map :server (:espalier/choices told)))))
      (is (= named (:server (ask {:op "espalier/status", :server "s", :ns "espalier.nrepl-test"})))))))

(deftest two-servers-are-told-apart
  (on-a-server
    (fn []
      (with-open [_ ^java.io.Closeable (sc/connect! (sc/server) (assoc (servers/address s) :maximum-logins 2))]
        (let [told (ask {:op "espalier/tree"})]
          (is (= "espalier.error/no-server" (:espalier/error told)))
          (is (= #{named ""} (set (map :server (:espalier/choices told)))))
          (is (= named (:server (ask {:op "espalier/tree", :server named})))))))))

(deftest a-bundle-is-evaluated
  (on-a-server
    (fn []
      (sc/add-synthdefs! s instruments/bell)
      (let [session (session)
            n       (servers/last-n s)
            told    (ask {:op "espalier/eval-as-bundle", :session session, :ns "espalier.nrepl-test"
                          :code "(sc/add-group! s {:id 2000}) (sc/add-synth! s :bell {} {:target 2000, :id 2001})"})]
        (is (= "#<Synth 2001 bell>" (:value told)))
        (is (= [["/g_new" "/s_new"]] (map #(map first (:packets %)) (servers/sent-after s n))) "one bundle"))
      (testing "and sends nothing when it throws"
        (let [n (servers/last-n s)
              told (ask {:op "espalier/eval-as-bundle", :session (session), :server named, :ns "espalier.nrepl-test", :line 41
                         :code "(sc/add-group! s)\n(throw (ex-info \"no\" {}))"})]
          (is (contains? (set (:status told)) "eval-error"))
          (is (= [] (servers/sent-after s n)))))
      (testing "waits for what is refused"
        (is (str/includes? (:err (ask {:op "espalier/eval-as-bundle", :session (session), :confirm 1, :ns "espalier.nrepl-test"
                                       :code "(sc/send! s [\"/n_free\" 77777])"}))
                           "77777")))
      (testing "at a time"
        (let [n (servers/last-n s)]
          (ask {:op "espalier/eval-as-bundle", :session (session), :in-ms 100, :ns "espalier.nrepl-test", :code "(sc/add-group! s)"})
          (is (inst? (:at (first (servers/sent-after s n))))))))))

(deftest a-tree-is-planned
  (on-a-server
    (fn []
      (sc/add-synthdefs! s instruments/bell)
      (let [n    (servers/last-n s)
            told (ask {:op "espalier/plan", :session (session), :code "[:group {:key :mix} [:synth {:key :low, :def :bell} {:freq 110}]]"})]
        (is (= ["add" "add"] (map :edit (:espalier/edits told))))
        (is (str/includes? (:espalier/text told) "add bell :low"))
        (is (= ["/g_new" "/s_new"] (map first (:espalier/requests told))))
        (is (str/starts-with? (:value told) "#<Plan add group :mix"))
        (is (= [] (remove #(re-find #"quer|sync|c_get" (str %)) (servers/sent-after s n))))))))

(deftest names-are-completed-and-told
  (on-a-server
    (fn []
      (let [names (fn [message] (set (map :candidate (:completions (ask (assoc message :op "espalier/complete"))))))]
        (sc/add-synthdefs! s instruments/bell)
        (is (contains? (names {:prefix ":s-n"}) ":s-new"))
        (is (contains? (names {:prefix "/n_s"}) "/n_set"))
        (is (contains? (names {:prefix ":max"}) ":maximum-logins"))
        (is (= #{"sin-osc:ar" "sin-osc:kr"} (names {:prefix "sin-osc:"})))
        (is (contains? (names {:prefix ":be"}) ":bell"))
        (is (= #{":freq"} (names {:prefix ":fr", :synthdef "bell", :kinds ["control"]})))
        (is (= 3 (count (names {:prefix "", :limit 3}))))
        (is (= "espalier.error/invalid-argument" (:espalier/error (ask {:op "espalier/complete", :prefix "", :kinds ["tune"]})))))))
  (with-nrepl
    (fn []
      (let [told (ask {:op "espalier/doc", :name ":s-new"})]
        (is (= ["command"] (map :kind (:espalier/docs told))))
        (is (str/includes? (:espalier/text told) "/s_new")))
      (is (= ["ugen"] (map :kind (:espalier/docs (ask {:op "espalier/doc", :name "SinOsc"})))))
      (is (= ["error"] (map :kind (:espalier/docs (ask {:op "espalier/doc", :name "espalier.error/no-answer"})))))
      (let [told (ask {:op "espalier/doc", :name ":prot"})]
        (is (= ":port" (:espalier/nearest told)))
        (is (contains? (set (:status told)) "no-doc"))))))

(deftest what-happened-is-told
  (on-a-server
    (fn []
      (sc/send! s ["/n_set" 77777 "freq" 440.5])
      (is (servers/eventually #(some #{"command-failed"} (map :what (:espalier/log (ask {:op "espalier/log", :level "warn"}))))))
      (is (= [["/n_set" 77777 "freq" "440.5"]]
             (filter #(= "/n_set" (first %)) (map :packet (:espalier/log (ask {:op "espalier/log", :what "packets", :direction "sent"}))))))
      (is (some #(= "output" (:what %)) (:espalier/log (ask {:op "espalier/log", :limit 1000}))))
      (is (= "espalier.error/invalid-option" (:espalier/error (ask {:op "espalier/log", :level "loud"}))))
      (is (= 2 (count (:espalier/log (ask {:op "espalier/log", :what "packets", :limit 2}))))))))

;; ---- news

(defn- news [id k] (into [] (keep k) (filterv #(= id (:id %)) @(:seen *client*))))

(deftest news-are-told
  (on-a-server
    (fn []
      (sc/add-synthdefs! s instruments/bell)
      (let [session (session)
            id      (send! {:op "espalier/subscribe", :session session, :interval-ms 20})]
        (is (done? (heard id done?)))
        (let [group (sc/add-group! s)
              seen  (fn [] (mapcat identity (news id :espalier/changes)))]
          (is (servers/eventually #(some #{[(:id group) "started" "group" 1]} (map (juxt :id :change :kind :parent) (seen)))))
          (sc/free! group)
          (is (servers/eventually #(some #{[(:id group) "ended"]} (map (juxt :id :change) (seen))))))
        (sc/send! s ["/n_free" 77778])
        (testing "what nobody here has caused"
          (is (servers/eventually #(some #{"command-failed"} (map :event (news id :espalier/event))))))
        (is (every? #{named} (news id :server)))
        (is (= 1 (:espalier/ended (ask {:op "espalier/unsubscribe", :session session}))))
        (is (= 0 (:espalier/ended (ask {:op "espalier/unsubscribe", :session session}))))))))

(deftest many-changes-are-few-messages
  (on-a-server
    (fn []
      (let [session (session)
            id      (send! {:op "espalier/subscribe", :session session, :interval-ms 200, :what ["tree"]})]
        (heard id done?)
        (sc/at s nil (dotimes [_ 300] (sc/free! (sc/add-group! s))))
        (sc/at s nil (dotimes [_ 600] (sc/add-group! s)))
        (is (servers/eventually #(<= 600 (reduce + (concat (map count (news id :espalier/changes)) (news id :espalier/dropped))))))
        (is (= 300 (+ (reduce + (news id :espalier/passed))
                      (count (filter #(= "ended" (:change %)) (mapcat identity (news id :espalier/changes))))))
            "one of them may have been between two messages")
        (is (> 20 (count (news id :espalier/changes))))
        (is (every? #(<= (count %) 500) (news id :espalier/changes)))
        (ask {:op "close", :session session})
        (let [n (count (news id :server))]
          (sc/sync! s)
          (sc/add-group! s)
          (sc/sync! s)
          (is (= 0 (call 'espalier.nrepl.news/unsubscribe! session nil)) "a closed session has none")
          (is (= n (count (news id :server)))))))))

;; ---- failures

(defn- failures
  "The requests whose failure was told in messages of an id."
  [id]
  (map :request (news id :espalier/failure)))

(deftest failures-go-to-their-session
  (on-a-server
    (fn []
      (let [[a b] [(session) (session)]
            subscribed (send! {:op "espalier/subscribe", :session b})
            _    (heard subscribed done?)
            ask! (fn [session code] (send! {:op "eval", :session session, :ns "espalier.nrepl-test", :code code}))
            one  (ask! a "(sc/send! s [\"/n_free\" 70001])")
            two  (ask! b "(sc/send! s [\"/n_free\" 70002])")
            far  (ask! a "@(future (sc/send! s [\"/n_free\" 70003]))")
            late (ask! a "(sc/at s (java.time.Duration/ofMillis 150) (sc/send! s [\"/n_free\" 70004]))")
            same (mapv #(ask! % "(sc/send! s [\"/n_free\" 70005])") [a b])]
        (doseq [[id node] [[one 70001] [two 70002] [far 70003] [late 70004]]]
          (is (servers/eventually #(seq (failures id))))
          (is (= [(str "[\"/n_free\" " node "]")] (failures id))))
        (is (servers/eventually #(every? (comp seq failures) same)) "two that send the same are told once each")
        (is (str/includes? (apply str (news one :err)) "Node 70001 not found"))
        (is (= ["espalier.error/no-such-node"] (map :error (news one :espalier/failure))))
        (is (= #{a} (set (map :session (filter #(= one (:id %)) @(:seen *client*))))))
        (is (= [] (filter #{"command-failed"} (map :event (news subscribed :espalier/event)))) "and to nobody else")))))

(deftest failures-in-plenty-are-cut-short
  (on-a-server
    (fn []
      (let [id (send! {:op "eval", :session (session), :ns "espalier.nrepl-test"
                       :code "(dotimes [i 50] (sc/send! s [\"/n_free\" (+ 71000 i)]))"})]
        (is (servers/eventually #(= 21 (count (news id :espalier/failure)))))
        (sc/sync! s)
        (is (str/includes? (last (news id :err)) "more than that"))))))

(def piece "A tree, for the test of a following." nil)

(deftest a-followed-tree-is-told-to-who-has-changed-it
  (on-a-server
    (fn []
      (let [[a b] [(session) (session)]
            change (fn [session tree] (send! {:op "eval", :session session, :ns "espalier.nrepl-test", :code (str "(def piece " tree ")")}))]
        (evaluate b "(espalier.core/follow! espalier.nrepl-test/s #'espalier.nrepl-test/piece)")
        (let [wrong (change a "[:synth {:key :x, :def :not-there}]")]
          (is (servers/eventually #(seq (news wrong :espalier/failure))))
          (is (= ["espalier.error/unknown-synthdef"] (map :error (news wrong :espalier/failure))))
          (let [right (change b "nil")]
            (heard right done?)
            (is (= [] (news right :espalier/failure)))))))))

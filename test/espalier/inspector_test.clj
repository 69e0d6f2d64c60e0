(ns espalier.inspector-test
  "The page of a server, as a browser is told of it."
  (:require
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.inspector :as inspector]
   [espalier.instruments :as instruments]
   [espalier.pages :as pages]
   [espalier.runtime.inspector :as runtime]
   [espalier.servers :as servers :refer [each-kind error-of eventually udp-kinds]]
   [espalier.synthdef :refer [synthdef]]
   [espalier.tree :as tree]
   [espalier.ugens :as ugens])
  (:import
   (espalier.runtime.inspector Inspector)
   (java.io Closeable)
   (java.net ConnectException)
   (java.util.concurrent CountDownLatch LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :once servers/sharing)

(defn- threads-left []
  (for [^Thread t (keys (Thread/getAllStackTraces)) :when (re-find #"espalier-inspector|HTTP-Dispatcher" (.getName t))] (.getName t)))

(defn- shows?
  "Whether a page comes to show the tree that the server tells."
  [s page]
  (eventually (fn [] (let [seen (pages/shown page)]
                       (and (not (:stale seen))
                            (= (pages/told (sc/query-tree s)) (pages/tree seen)))))))

(defn- logs? [page kind pattern]
  (eventually (fn [] (some (fn [line] (and (= kind (:kind line)) (re-find pattern (:text line)))) (:log (pages/shown page))))))

;; ---- who may ask

(deftest only-who-has-the-token-is-answered
  (with-open [^Closeable i (inspector/start! (sc/server))]
    (let [url    (inspector/url i)
          port   (pages/port-of url)
          path   (pages/path-of url)
          status (fn [request] (:status (pages/ask port request)))]
      (testing "with it"
        (let [{:keys [status headers body]} (pages/ask port {:path path})]
          (is (= 200 status))
          (is (str/starts-with? body "<!doctype html>"))
          (is (str/includes? (get headers "content-security-policy") "default-src 'none'"))
          (is (= "no-referrer" (get headers "referrer-policy"))))
        (is (= 200 (status {:path (str path "page.js")})))
        (is (= 200 (status {:path (str path "page.css")})))
        (is (= 200 (status {:path path, :headers {"Host" (str "localhost:" port)}}))))
      (testing "without it"
        (doseq [p ["/" "/favicon.ico" "/page.js" "/events" "/x/" "/x/events" (str "/" (subs path 2)) (subs path 0 (dec (count (str/replace path #"/$" ""))))]]
          (is (= 403 (status {:path p})) p)))
      (testing "by another name of this machine, or by none"
        (doseq [host ["evil.example" (str "evil.example:" port) "127.0.0.1" "127.0.0.1:1" (str "127.0.0.1.evil.example:" port)]]
          (is (= 403 (status {:path path, :headers {"Host" host}})) host)
          (is (= 403 (status {:path (str path "events"), :headers {"Host" host}})) host)))
      (testing "from a page elsewhere"
        (is (= 403 (status {:method "POST", :path (str path "drift"), :body "", :headers {"Origin" "http://evil.example"}})))
        (is (= 403 (status {:method "POST", :path (str path "drift"), :body "", :headers {"Origin" "null"}}))))
      (testing "what there is not"
        (is (= 404 (status {:path (str path "nothing")})))
        (is (= 404 (status {:path (str path "../page.html")})))
        (is (= 405 (status {:method "DELETE", :path path})))
        (is (= 405 (status {:path (str path "drift")}))))
      (testing "it changes nothing"
        (doseq [action ["set" "pause" "resume" "free"]]
          (is (= 404 (status {:method "POST", :path (str path action), :body "id=1"}))))))))

(deftest it-prints-in-a-line-and-ends
  (let [s (sc/server)
        i (inspector/start! s)
        url (inspector/url i)]
    (is (= (str "#<Inspector " url " read-only, 0 pages open>") (pr-str i)))
    (is (re-matches #"http://127\.0\.0\.1:\d+/[\w-]{22}/" url))
    (with-open [page (pages/look url)]
      (is (eventually #(= "offline" (:status (:server (pages/shown page))))))
      (is (= (str "#<Inspector " url " read-only, 1 page open>") (pr-str i)))
      (is (identical? i (inspector/stop! i)))
      (is (identical? i (inspector/stop! i)))
      (is (eventually #(pages/ended? page))))
    (is (= "#<Inspector STOPPED>" (pr-str i)))
    (is (thrown? ConnectException (pages/ask (pages/port-of url) {:path "/"})))
    (is (eventually #(empty? (threads-left))) (str (vec (threads-left))))))

(deftest what-is-wrong-is-said
  (let [s (sc/server)]
    (is (= :no-handle (error-of #(inspector/start! nil))))
    (is (= :unknown-option (error-of #(inspector/start! s {:prot 1}))))
    (is (= :invalid-option (error-of #(inspector/start! s {:write? 1}))))
    (is (= :invalid-option (error-of #(inspector/start! s {:poll-ms 1}))))
    (is (= :invalid-option (error-of #(inspector/start! s nil))))
    (is (= :invalid-argument (error-of #(inspector/stop! s))))
    (with-open [^Closeable i (inspector/start! s)]
      (is (= :port-taken (error-of #(inspector/start! s {:port (pages/port-of (inspector/url i))})))))))

;; ---- what it shows

(deftest it-shows-what-the-server-tells
  (each-kind udp-kinds {}
    (fn [s]
      (with-open [^Closeable i (inspector/start! s {:drift-ms 200})
                  page (pages/look (inspector/url i))]
        (is (shows? s page) "an empty tree")
        (let [lfo (sc/add-bus! s)]
          (sc/reconcile! s [:group {:key :mix}
                            [:synth {:key :low, :def instruments/organ} {:freq 110}]
                            [:synth {:key :high, :def instruments/organ} {:freq 330, :amp 0.05}]])
          (let [low  (sc/node s :low)
                high (sc/node s :high)]
            (is (shows? s page) "what was declared, with its keys")
            (is (= "organ" (get-in (pages/shown page) [:nodes (:id low) :def])))

            (sc/map-controls! low {:amp lfo})
            (sc/set-controls! high {:freq 220})
            (is (eventually #(some #{["amp" (sc/map-symbol lfo)]} (get-in (pages/shown page) [:nodes (:id low) :controls]))))
            (is (shows? s page) "a control that was set, and one that is mapped")

            (sc/pause! high)
            (is (eventually #(get-in (pages/shown page) [:nodes (:id high) :paused])))
            (is (shows? s page) "one that is paused")

            (testing "drift"
              (is (eventually #(= ["set :high: freq 330.0" "resume :high"] (:edits (:drift (pages/shown page))))))
              (is (= (str/split-lines (tree/edits-text (sc/drift s))) (:edits (:drift (pages/shown page)))))
              (sc/repair! s)
              (is (eventually #(= {:roots 1, :edits [], :error nil} (:drift (pages/shown page))))))

            (testing "others"
              (sc/add-group! s {:parallel true})
              (sc/move! low :head (sc/add-group! s))
              (is (shows? s page) "what was moved and made by hand")
              (sc/send! s ["/n_set" (:id high) "freq" 123])
              (sc/free! low)
              (is (shows? s page) "what was set raw, and freed"))))

        (testing "the server"
          (let [{:keys [server synthdefs]} (pages/shown page)]
            (is (= "online" (:status server)))
            (is (= (name (:engine (clojure.core.protocols/datafy s))) (:engine server)))
            (is (eventually #(= (:synth-count (sc/status s)) (:synth-count (:server (pages/shown page))))))
            (is (some #{"freq"} (map first (second (first (filter #(= "organ" (first %)) synthdefs))))))))

        (testing "the log"
          (is (logs? page "output" #"ready"))
          ;; The one is refused by scsynth, the other by supernova.
          (sc/send! s ["/b_gen" 0 "nothing"])
          (sc/send! s ["/b_read" 0 "/nowhere/at/all.wav" 0 -1 0 0])
          (is (logs? page "fail" #"/b_(gen|read)"))
          (sc/at s (.minusSeconds (java.time.Instant/now) 2) (sc/add-group! s))
          (is (logs? page "late" #"late"))
          (is (eventually #(= 1 (:late-count (:server (pages/shown page)))))))))))

(deftest a-server-dies-and-another-is-shown
  (each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (sc/reconcile! s [:group {:key :mix} [:synth {:key :low, :def instruments/organ}]])
      (with-open [^Closeable i (inspector/start! s)
                  page (pages/look (inspector/url i))]
        (is (shows? s page))
        (let [before (pages/tree (pages/shown page))]
          (servers/signal! "KILL" (servers/pid s))
          (is (eventually #(= "lost" (:status (:server (pages/shown page))))))
          (is (eventually #(:stale (pages/shown page))))
          (is (= before (pages/tree (pages/shown page))) "what was seen last stays, and is said to be that")
          (is (logs? page "lifecycle" #"lost: ")))
        (sc/boot! s)
        (is (eventually #(= "online" (:status (:server (pages/shown page))))))
        (is (shows? s page))
        (sc/add-synthdefs! s instruments/organ)
        (sc/add-synth! s :organ {:freq 330})
        (is (shows? s page))
        (testing "a browser that comes again"
          (with-open [again (pages/look (inspector/url i))]
            (is (shows? s again))
            (is (logs? again "lifecycle" #"lost: "))))))))

(deftest a-rehearsal-is-shown
  (with-open [^Closeable s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)})
              ^Closeable i (inspector/start! s)
              page (pages/look (inspector/url i))]
    (sc/add-synthdefs! s instruments/organ)
    (sc/add-synth! s :organ)
    (is (shows? s page))
    (sc/send! s ["/n_set" 4711 "freq" 440])
    (is (logs? page "fail" #"4711"))
    (is (logs? page "output" #"server ready"))
    (is (logs? page "output" #"4711") "what it printed since")))

(def ^:private light
  (synthdef :light [:freq 440, :amp 0.1] (fn [freq amp] (ugens/out:kr 100 (ugens/add freq amp)))))

(deftest a-thousand-nodes
  (each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (sc/add-synthdefs! s light)
      (with-open [^Closeable i (inspector/start! s)
                  page (pages/look (inspector/url i))]
        (let [groups (sc/at s nil (vec (repeatedly 50 #(sc/add-group! s {:action :tail}))))
              synths (sc/at s nil (vec (for [g groups, _ (range 19)] (sc/add-synth! s light {} {:target g, :action :tail}))))]
          (is (shows? s page))
          (is (= 1002 (count (:nodes (pages/shown page)))))
          (let [before (:told (pages/shown page))]
            (sc/at s nil (run! #(sc/set-controls! % {:freq 55}) (take 500 synths)) (run! sc/free! (drop 500 synths)))
            (is (shows? s page))
            (is (< (- (:told (pages/shown page)) before) 60) "what happens at once is told at once")))))))

(deftest a-slow-browser-delays-nobody
  (each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (with-open [^Closeable i (inspector/start! s)
                  page (pages/look (inspector/url i))]
        (let [sent  (LinkedBlockingQueue.)
              reads (CountDownLatch. 1)
              slow  (future (runtime/tell! (.-page ^Inspector i)
                                              (fn [text]
                                                (.put sent text)
                                                (when (pages/event text) (.await reads)))))]
          ;; It has been told the page, and does not read on.
          (is (eventually #(= 2 (.size sent))))
          (dotimes [_ 8]
            (sc/add-group! s)
            (is (shows? s page)))
          (is (= 2 (.size sent)))
          (.countDown reads)
          (is (eventually #(= (pages/told (sc/query-tree s))
                              (pages/tree (reduce pages/apply-news {} (keep pages/event (vec sent)))))))
          (is (< (count (filter pages/event sent)) 8) "of what was between, it is told as one")
          (inspector/stop! i)
          (is (not= :waits (deref slow 5000 :waits))))))))

(deftest nobody-looks-nothing-is-asked
  (each-kind [{:executable "scsynth", :protocol :udp}] {}
    (fn [s]
      (with-open [^Closeable i (inspector/start! s {:poll-ms 100})]
        (let [asked (fn [n] (count (sc/trace s {:direction :sent, :address "/g_queryTree", :after n})))
              n     (servers/last-n s)]
          (with-open [page (pages/look (inspector/url i))]
            (is (eventually #(< 3 (asked n))))
            (is (shows? s page)))
          ;; Only what cannot be sent shows that a browser has gone.
          (is (eventually #(do (sc/add-group! s) (str/includes? (pr-str i) "0 pages"))))
          (sc/sync! s)
          (let [n (servers/last-n s)]
            (dotimes [_ 3] (sc/status s))
            (is (eventually #(<= 2 (count (sc/trace s {:direction :received, :address "/status.reply", :after n})))))
            (is (= 0 (asked n)))))))))

;; ---- what it may do

(deftest it-changes-what-it-is-allowed-to
  (each-kind udp-kinds {}
    (fn [s]
      (sc/add-synthdefs! s instruments/organ)
      (with-open [^Closeable i (inspector/start! s {:write? true})]
        (let [synth (sc/add-synth! s :organ {:freq 110} {:confirm true})
              url   (inspector/url i)
              act   (fn [action params] (pages/act url action (str "id=" (:id synth) params)))]
          (is (str/includes? (pr-str i) "read-write"))
          (is (= 200 (:status (act "set" "&control=freq&value=333"))))
          (is (= 333.0 (:freq (sc/get-controls synth [:freq]))))
          (is (= 200 (:status (act "set" "&control=drawbars&value=1%2C+2%2C3"))))
          (is (= 3.0 (nth (get-in (first (filter #(= (:id synth) (:id %)) (tree-seq :children :children (sc/query-tree s)))) [:controls "drawbars"]) 2)))
          (is (= 200 (:status (act "pause" ""))))
          (is (not (sc/active? synth)))
          (is (= 200 (:status (act "resume" ""))))
          (is (sc/active? synth))
          (testing "and says what cannot be"
            (is (= 400 (:status (act "set" "&control=freq&value=loud"))))
            (is (= 400 (:status (pages/act url "set" "control=freq&value=1"))))
            (let [{:keys [status said]} (act "set" "&control=fraq&value=1")]
              (is (= 422 status))
              (is (re-find #"freq" (:error said))))
            (is (= "no-such-node" (:code (:said (pages/act url "free" "id=999999")))))
            (is (= 422 (:status (pages/act url "free" (str "id=" (:id (sc/default-group s))))))))
          (is (= 200 (:status (act "free" ""))))
          (is (eventually #(= 0 (:synth-count (sc/status s))))))))))

(deftest levels-of-the-outputs
  (each-kind udp-kinds {}
    (fn [s]
      (sc/add-synthdefs! s instruments/organ)
      (let [before (sc/query-tree s)]
        (with-open [^Closeable i (inspector/start! s {:meters? true})
                    page (pages/look (inspector/url i))]
          (sc/add-synth! s :organ {:amp 0.3})
          (is (eventually #(some (fn [{:keys [peak rms]}] (and (< 0.01 peak) (< 0.001 rms peak))) (:meters (pages/shown page)))))
          (is (= 8 (count (:meters (pages/shown page)))))
          (is (shows? s page))
          (sc/reset-server! s)
          (is (eventually #(some (fn [node] (= "espalier-meter-8" (:def node))) (:children (sc/query-tree s))))
              "and after a reset"))
        (is (eventually #(= before (sc/query-tree s))) "nothing of it is left")))))

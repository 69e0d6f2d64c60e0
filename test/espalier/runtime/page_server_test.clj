(ns espalier.runtime.page-server-test
  "A page for this machine alone; who may ask is tested where the inspector is."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.model.error :as error]
   [espalier.pages :as pages]
   [espalier.runtime.page-server :as page-server]
   [espalier.servers :as servers :refer [eventually]])
  (:import
   (java.io Closeable)
   (java.net Socket)
   (java.util.concurrent CountDownLatch LinkedBlockingQueue TimeUnit)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- serving
  "Calls `f` with a server, its address, and the faults that it tells."
  [spec f]
  (let [faults (LinkedBlockingQueue.)
        server (page-server/start! (merge {:port 0, :files {}, :actions {}, :stream (fn [_]), :limit 4, :name "espalier-test-page", :on-fault #(.put faults %)} spec))]
    (try (f server (page-server/url server) faults)
         (finally (page-server/stop! server)))))

(deftest actions
  (serving {:actions {"echo" identity
                      "none" (fn [_])
                      "refuse" (fn [_] (throw (error/error :no-such-node "There is none." {})))
                      "fail" (fn [_] (throw (IllegalStateException. "broken")))}}
    (fn [_ url faults]
      (is (= {:status 200, :said {:a "1 & 2", :b "ü", :c ""}} (pages/act url "echo" "a=1+%26+2&b=%C3%BC&c=&=x")))
      (is (= {:status 200, :said {}} (pages/act url "none" "")))
      (is (= {:status 422, :said {:error "There is none.", :code "no-such-node"}} (pages/act url "refuse" "")))
      (is (= 400 (:status (pages/act url "echo" "a=%zz"))) "what is no form")
      (is (= 413 (:status (pages/act url "echo" (apply str "a=" (repeat 70000 "x"))))))
      (is (= 0 (.size ^LinkedBlockingQueue faults)))
      (testing "one that breaks is told of, and the next is answered"
        (is (thrown? Exception (pages/act url "fail" "")))
        (is (= "broken" (ex-message (.take ^LinkedBlockingQueue faults))))
        (is (= 200 (:status (pages/act url "none" ""))))))))

(deftest so-many-look-at-once
  (let [over (CountDownLatch. 1)]
    (serving {:limit 2, :stream (fn [send!] (send! "data: {}\n\n") (.await over))}
      (fn [_ url _]
        (with-open [a (pages/look url), b (pages/look url)]
          (is (eventually #(and (:told (pages/shown a)) (:told (pages/shown b)))))
          (is (= 503 (:status (pages/ask (pages/port-of url) {:path (str (pages/path-of url) "events")}))))
          (.countDown over)
          (is (eventually #(and (pages/ended? a) (pages/ended? b))))
          (is (= 200 (:status (pages/ask (pages/port-of url) {:path (str (pages/path-of url) "events")})))))))))

(deftest it-ends-whatever-a-browser-does
  (let [sent    (atom 0)
        ended   (promise)
        part    (apply str (repeat 100000 "x"))
        stream  (fn [send!] (try (while true (send! part) (swap! sent inc))
                                 (finally (deliver ended true))))]
    (serving {:stream stream}
      (fn [server url _]
        ;; It asks, and never reads.
        (with-open [^Closeable socket (doto (Socket. "127.0.0.1" (int (pages/port-of url)))
                                        (-> .getOutputStream (.write (.getBytes (str "GET " (pages/path-of url) "events HTTP/1.1\r\nHost: 127.0.0.1:" (pages/port-of url) "\r\n\r\n")))))]
          (is (eventually #(pos? @sent)))
          (is (eventually #(let [n @sent] (.await (CountDownLatch. 1) 100 TimeUnit/MILLISECONDS) (= n @sent))) "it waits for the browser")
          (is (not (realized? ended)))
          (page-server/stop! server)
          (is (deref ended 5000 false)))))))

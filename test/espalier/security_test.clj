(ns espalier.security-test
  "What listens where, who is let in, and the fence around files; and doc/security.md, typed as it stands."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.markdown :as markdown]
   [espalier.servers :as servers :refer [each-kind error-of refused]])
  (:import
   (espalier.kernel Link)
   (java.io File)
   (java.net DatagramPacket DatagramSocket InetAddress InetSocketAddress)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- bound-to
  "The local addresses of the sockets of this machine with a port, in the hexadecimal of /proc, of those that
  listen or know no connections."
  [port]
  (set (for [table ["udp" "udp6" "tcp" "tcp6"]
             line  (rest (try (Files/readAllLines (.toPath (io/file "/proc/net" table))) (catch java.io.IOException _ [])))
             :let  [[_ local remote state] (str/split (str/trim line) #"\s+")]
             :when (and local (str/ends-with? local (format ":%04X" port))
                        (or (str/starts-with? table "udp") (= "0A" state)))]
         (subs local 0 (str/index-of local ":")))))

(def ^:private loopback #{"0100007F"})

(deftest only-this-machine-reaches-what-listens
  (each-kind servers/kinds nil
    (fn [s]
      (let [{:keys [port protocol]} (servers/address s)]
        (when (.exists (io/file "/proc/net/udp"))
          (is (contains? #{loopback #{"0000000000000000FFFF00000100007F"}} (bound-to port)) "the server")
          (when (= :udp protocol)
            (is (contains? #{loopback #{"0000000000000000FFFF00000100007F"}} (bound-to (.localPort ^Link (sc/osc-client s)))) "the handle")))))))

(deftest strangers-are-not-heard
  (each-kind (take 1 servers/udp-kinds) nil
    (fn [s]
      (let [link   (sc/osc-client s)
            forged (byte-array (concat (.getBytes "/n_go\0\0\0,iiiii\0\0") (repeat 20 0)))
            before (servers/last-n s)
            n      (.received link)]
        (with-open [stranger (DatagramSocket. 0 (InetAddress/getByName "127.0.0.1"))]
          (dotimes [_ 20]
            (.send stranger (DatagramPacket. forged (alength forged) (InetSocketAddress. "127.0.0.1" (.localPort link))))))
        (sc/sync! s)
        (is (> 10 (- (.received link) n)) "only what the server said")
        (is (empty? (sc/trace s {:direction :received, :address "/n_go", :after before})))))))

(deftest who-opens-it-is-warned
  (let [told (promise), s (sc/server (servers/options {:executable :rehearsal} {:ip-address "0.0.0.0"}))]
    (sc/on-lifecycle! s :booting #(deliver told %))
    (sc/boot! s)
    (try
      (let [{:keys [ip-address port warnings]} (deref told 10000 nil)]
        (is (= ["0.0.0.0" (:port (servers/address s))] [ip-address port]))
        (is (some #(str/includes? % "everybody") warnings))
        (is (str/includes? (:text (first (sc/log s))) (str "0.0.0.0:" port))))
      (finally (sc/quit! s)))))

(defn- with-directory [f]
  (let [directory (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try (f directory)
         (finally (run! io/delete-file (reverse (file-seq directory)))))))

(deftest a-fence-for-files
  (with-directory
    (fn [^File directory]
      (let [inside (str (io/file directory "fenced")), outside (str (io/file directory "fenced-not"))]
        (.mkdirs (io/file inside))
        (.mkdirs (io/file outside))
        (each-kind (take 1 servers/udp-kinds) {:restricted-path (str inside "/")}
          (fn [s]
            (let [b (sc/add-buffer! s {:frame-count 64})]
              (testing "within it all goes"
                (sc/write-buffer! b (str inside "/a.wav"))
                (sc/write-buffer! b "b.wav")
                (is (= #{"a.wav" "b.wav"} (set (.list (io/file inside)))))
                (is (= 64 (:frame-count (sc/query-buffer (sc/add-buffer! s {:path "b.wav"}))))))
              (testing "what leads out of it is not sent"
                (refused s
                  (for [path [(str outside "/a.wav") "/etc/passwd" (str inside "/../fenced-not/a.wav") "../a.wav"]
                        call [#(sc/add-buffer! s {:path path})
                              #(sc/read-buffer! b path)
                              #(sc/cue-buffer! b path)
                              #(sc/write-buffer! b path)
                              #(sc/command! s :d-load {:path path})
                              #(sc/at s nil (sc/add-buffer! s {:path path}))]]
                    [:outside-restricted-path call path]))
                (is (contains? #{:not-writable :outside-restricted-path} (error-of #(sc/record! s (str outside "/r.wav")))))
                (is (= :outside-restricted-path (error-of #(sc/reconcile! s {:buffers {:k "/etc/motd.wav"}, :tree [:group {:key :g}]}))))
                (is (= [] (vec (.list (io/file outside))) (remove #{"a.wav" "b.wav"} (.list (io/file inside)))))))))))))

;; ---- the page

(deftest what-the-page-shows
  (markdown/type-page "doc/security.md" {:after (fn [_] (sc/kill-all!))}))

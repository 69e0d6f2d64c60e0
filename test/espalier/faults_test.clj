(ns espalier.faults-test
  "What goes wrong has a name, comes within a deadline, leaves the handle usable
  and nothing behind."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.picture :as picture]
   [espalier.servers :as servers :refer [error-of events thrown]]
   [espalier.synthdef :as synthdef])
  (:import
   (espalier.kernel ServerProcess)
   (java.io File)
   (java.net DatagramSocket InetAddress ServerSocket)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)
   (java.time Duration)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private loopback (InetAddress/getLoopbackAddress))

(defn- temporary-directory ^File []
  (doto (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0))) .deleteOnExit))

(defn- script
  "An executable file with this text; its name tells the engine."
  [file-name & lines]
  (let [file (io/file (temporary-directory) file-name)]
    (spit file (str/join "\n" (cons "#!/bin/sh" lines)))
    (.setExecutable file true)
    (str file)))

(defn- boots-afterwards
  "The handle still works: it boots, plays and quits."
  [s opts]
  (is (#{:offline :lost} (sc/boot-status s)))
  (sc/boot! s opts)
  (is (= 2 (:group-count (sc/status s))))
  (sc/quit! s))

(deftest a-taken-port
  (servers/each-kind servers/kinds {}
    (fn [first-server]
      (let [{:keys [port protocol]} (servers/address first-server)
            s    (sc/server (dissoc (servers/options (:options (clojure.core.protocols/datafy first-server))) :port))
            seen (events s)
            e    (thrown #(sc/boot! s {:port port}))]
        (is (= [:espalier.error/server-cannot-boot :port-taken] ((juxt :espalier/error :reason) (ex-data e))))
        (is (= (servers/pid first-server) (:pid (:held-by (ex-data e)))) "it says who holds it")
        (is (str/includes? (ex-message e) "address in use"))
        (is (str/includes? (ex-message e) "(sc/boot! s {:port (sc/find-free-port)})"))
        (is (= [:booting :boot-failed] (seen :boot-failed)))
        (is (= 2 (:group-count (sc/status first-server))) "the first server is untouched")
        (is (.exists (io/file (str "/dev/shm/SuperColliderServer_" port))) "its shared memory too")
        (boots-afterwards s {:port (sc/find-free-port)}))))
  (testing "held by something that is no server"
    (with-open [udp (DatagramSocket. 0 loopback), tcp (ServerSocket. 0 1 loopback)]
      (doseq [opts [{:port (.getLocalPort udp)} {:port (.getLocalPort tcp), :protocol :tcp}]]
        (is (= :port-taken (:reason (ex-data (thrown #(sc/boot! (sc/server opts)))))))))))

(deftest an-address-that-is-not-here
  (is (= [:espalier.error/server-cannot-boot :bad-address]
         ((juxt :espalier/error :reason) (ex-data (thrown #(sc/boot! (sc/server (servers/options {:ip-address "192.0.2.1"})))))))))

(deftest no-such-binary
  (let [s (sc/server)]
    (is (= :no-executable (error-of #(sc/boot! s {:executable "/nowhere/scsynth"}))))
    (is (= :no-executable (error-of #(sc/boot! s {:executable "scsynth-of-tomorrow"}))))
    (is (= :not-executable (error-of #(sc/boot! s {:executable (str (doto (File/createTempFile "scsynth" "") .deleteOnExit))}))))
    (testing "a file that cannot be run"
      (let [e (thrown #(sc/boot! s (servers/options {:executable (script "scsynth" "\u0000\u0001nonsense")})))]
        (is (= [:espalier.error/server-cannot-boot :process-ended] ((juxt :espalier/error :reason) (ex-data e))))))
    (boots-afterwards s (servers/options {}))))

(deftest bad-options
  (let [s (sc/server)]
    (is (= :unknown-option (error-of #(sc/boot! s {:bufer-count 10})) (error-of #(sc/server {:bufer-count 10}))))
    (is (str/includes? (ex-message (thrown #(sc/boot! s {:bufer-count 10}))) ":buffer-count"))
    (is (= :invalid-option (error-of #(sc/boot! s {:buffer-count "many"})) (error-of #(sc/boot! s {:port 70000}))))
    (is (= :option-of-other-engine (error-of #(sc/boot! s {:threads 2}))))
    (is (= :offline (sc/boot-status s)))))

(deftest no-audio
  (doseq [{:keys [executable]} servers/udp-kinds]
    (testing executable
      (let [s (sc/server {:executable executable, :port (sc/find-free-port)})
            e (thrown #(sc/boot! s {:output-device "no-such-jack:us", :input-device "no-such-jack:us"}))]
        (is (= [:espalier.error/server-cannot-boot :no-audio] ((juxt :espalier/error :reason) (ex-data e))))
        (is (str/includes? (ex-message e) "(sc/boot! s {:audio :dummy})"))
        (boots-afterwards s {:audio :dummy})))))

(deftest dies-while-booting
  (let [plugins (temporary-directory)]
    (spit (io/file plugins "broken.so") "no plugin")
    (testing "scsynth takes a broken plugin so ill that it dies"
      (let [s    (sc/server (servers/options {:executable "scsynth"}))
            seen (events s)
            e    (thrown #(sc/boot! s {:ugen-plugins-path (str plugins)}))]
        (is (= [:espalier.error/server-cannot-boot :process-ended] ((juxt :espalier/error :reason) (ex-data e))))
        (is (str/includes? (ex-message e) "exit 139 (SIGSEGV)"))
        (is (= [:booting :process-quit :boot-failed] (seen :boot-failed)))
        (boots-afterwards s {}))))
  (testing "killed by another"
    (doseq [{:keys [executable]} servers/udp-kinds]
      (let [s (sc/server (servers/options {:executable executable}))]
        (sc/on-lifecycle! s [:process-booted] (fn [{:keys [pid]}] (servers/signal! "KILL" pid)))
        (is (contains? #{:server-cannot-boot :none} (error-of #(sc/boot! s))) "before or after it was online")
        (is (servers/eventually #(#{:offline :lost} (sc/boot-status s))))))))

(deftest never-says-that-it-is-ready
  (doseq [{:keys [executable]} servers/udp-kinds]
    (testing executable
      (let [mute (script executable (str "exec " (sc/find-scsynth executable) " \"$@\" >/dev/null 2>&1"))
            s    (sc/server (servers/options {:executable mute}))
            e    (thrown #(sc/boot! s {:boot-timeout-ms 700}))]
        (is (= [:espalier.error/server-cannot-boot :never-ready] ((juxt :espalier/error :reason) (ex-data e))))
        (boots-afterwards s {:executable executable})))))

(deftest dies-while-online
  (servers/each-kind servers/kinds {}
    (fn [s]
      (let [seen (events s)
            port (:port (servers/address s))]
        (servers/signal! "KILL" (servers/pid s))
        (is (= [:process-died :disconnected :lost] (seen :lost)))
        (is (= :lost (sc/boot-status s)))
        (is (str/starts-with? (pr-str s) "#<Server LOST ["))
        (let [e (thrown #(sc/status s))]
          (is (= :espalier.error/server-offline (:espalier/error (ex-data e))))
          (is (str/includes? (ex-message e) "exit 137 (SIGKILL)"))
          (is (str/includes? (ex-message e) "(sc/boot! s)")))
        (is (not (.exists (io/file (str "/dev/shm/SuperColliderServer_" port)))) "its shared memory is gone")
        (boots-afterwards s {})
        (is (= :offline (sc/boot-status s)))))))

(deftest a-wait-ends-when-the-server-dies
  (servers/each-kind servers/udp-kinds {:timeout-ms 60000}
    (fn [s]
      (servers/signal! "STOP" (servers/pid s))
      (let [waits (doall (repeatedly 3 #(future (error-of (fn [] (sc/sync! s))))))]
        (servers/signal! "KILL" (servers/pid s))
        (is (= [:server-offline] (distinct (map #(deref % 10000 :still-waiting) waits))))))))

(def ^:private crosswise
  "Both engines and both protocols, by two servers."
  [{:executable "scsynth", :protocol :udp} {:executable "supernova", :protocol :tcp}])

(deftest says-nothing-any-more
  (servers/each-kind crosswise {:watch-interval-ms 100, :watch-patience-ms 600}
    (fn [s]
      (let [seen (events s)]
        (servers/signal! "STOP" (servers/pid s))
        (is (= [:server-silent :process-quit :disconnected :lost] (seen :lost)))
        (is (= :lost (sc/boot-status s)))
        (is (empty? (servers/our-processes)) "a stopped process is ended too")
        (boots-afterwards s {})))))

(deftest a-pause-shorter-than-the-patience-is-forgiven
  (servers/each-kind servers/udp-kinds {:watch-interval-ms 50, :watch-patience-ms 10000}
    (fn [s]
      (servers/signal! "STOP" (servers/pid s))
      (is (= :no-answer (error-of #(sc/sync! s {:timeout-ms 300}))))
      (servers/signal! "CONT" (servers/pid s))
      (is (= :online (sc/boot-status (sc/sync! s)))))))

(deftest jack-goes-away
  (servers/each-kind crosswise {}
    (fn [s]
      (let [seen (events s)
            jack ^ServerProcess (:process (:jack @(.-state ^espalier.runtime.handle.Server s)))]
        (servers/signal! "KILL" (.pid jack))
        (is (contains? #{[:process-died :disconnected :lost]
                         [:connection-closed :process-quit :disconnected :lost]}
                       (seen :lost)))
        (is (= :lost (sc/boot-status s)))
        (boots-afterwards s {})))))

(deftest a-quit-that-nobody-hears
  (servers/each-kind crosswise {}
    (fn [s]
      (let [seen (events s)]
        (servers/signal! "STOP" (servers/pid s))
        (sc/quit! s)
        (is (= [:quitting :process-quit :disconnected :quit] (seen :quit)))
        (is (empty? (servers/our-processes)))))))

(deftest bad-packets-are-reported-and-harm-nobody
  (with-open [liar (DatagramSocket. 0 loopback)]
    (let [s    (sc/server {:port (.getLocalPort liar), :timeout-ms 300})
          seen (events s)]
      (future (let [packet (java.net.DatagramPacket. (byte-array 1000) 1000)]
                (.receive liar packet)
                (.send liar (doto packet (.setData (.getBytes "what is this?"))))))
      (is (= :no-answer (error-of #(sc/connect! s))))
      (is (= [:connecting :malformed-packet] (seen :malformed-packet))))))

(defn- mounted-small
  "Calls `f` with a directory of a disk that holds 120 KiB, where this user may mount one."
  [f]
  (let [directory (temporary-directory)
        run       (fn [& command] (.waitFor (.start (ProcessBuilder. ^"[Ljava.lang.String;" (into-array String command)))))]
    (when (zero? (try (run "mount" "-t" "tmpfs" "-o" "size=120k" "tmpfs" (str directory)) (catch java.io.IOException _ 1)))
      (try (f directory)
           (finally (run "umount" "-l" (str directory)))))))

(deftest a-disk-that-is-full
  (mounted-small
    (fn [directory]
      (servers/each-kind (take 1 servers/udp-kinds) {}
        (fn [s]
          (let [r (sc/record! s (str directory "/b.wav") {:buffer-frames 1024, :sample-format "float", :duration-s 0.7})
                e (thrown #(sc/await-recording r))]
            (is (= :espalier.error/file-failed (:espalier/error (ex-data e))))
            (is (str/includes? (ex-message e) "is full"))
            (is (pos? (long (:frames (:result (ex-data e)))))))
          (is (= :file-failed (error-of #(sc/record! s (str directory "/c.wav")))) "and another cannot begin")
          (is (= :online (sc/boot-status (sc/sync! s)))))))))

(deftest a-port-that-is-stolen-while-it-reboots
  (let [s     (sc/boot! (sc/server (servers/options {})))
        port  (:port (servers/address s))
        thief (promise)
        id    (sc/on-lifecycle! s :quit (fn [_] (deliver thief (DatagramSocket. (int port) loopback))))]
    (sc/quit! s)
    (with-open [_ ^DatagramSocket (deref thief 10000 nil)]
      (sc/off! s id)
      (let [e (thrown #(sc/boot! s))]
        (is (= [:espalier.error/server-cannot-boot :port-taken] ((juxt :espalier/error :reason) (ex-data e)))))
      (is (= :offline (sc/boot-status s)))
      (is (empty? (servers/our-processes))))
    (boots-afterwards s {})))

(deftest a-server-whose-memory-is-full
  (sc/with-server [s (servers/options {:executable "scsynth"} {:memory-size 256, :maximum-node-count 8192})]
    (let [group (sc/add-group! s {:confirm true})
          made  (loop [n 0]
                  (let [code (error-of #(sc/add-group! s {:target group, :confirm true, :timeout-ms 1000}))]
                    (if (= :none code) (if (< n 8000) (recur (inc n)) [n code]) [n code])))]
      ;; Without memory scsynth passes over what comes to it, and says nothing.
      (is (contains? #{:out-of-memory :no-answer} (second made)) made)
      (sc/free-children! group {:confirm true})
      (is (= :none (error-of #(sc/add-group! s {:target group, :confirm true}))) "and what is freed can be used again"))))

;; ---- where nothing can be written

(deftest what-cannot-be-written-is-named
  ;; Below a file no folder is; /proc takes no file; /dev/full is never large enough.
  (let [below (str (doto (io/file (temporary-directory) "file") (spit "no folder")))]
    (servers/each-kind servers/udp-kinds {}
      (fn [s]
        (let [b (sc/add-buffer! s {:frame-count 60000})]
          (doseq [[folder full?] [[below false] ["/proc" false] ["/dev/full" true]]
                  :let [path (fn [x] (if full? folder (str folder "/" x)))]]
            (testing folder
              (is (contains? #{:not-writable :file-failed} (error-of #(sc/record! s (path "a.wav")))))
              (is (= :file-failed (error-of #(sc/write-buffer! b (path "b.wav")))))
              (is (= :file-failed (error-of #(synthdef/write-file! (path "c.scsyndef") synthdef/default))))
              (when-not full?
                (is (= :file-failed (error-of #(picture/save! s (path "d.svg"))))))))
          (is (= [60000 1] ((juxt :frame-count :channel-count) (sc/query-buffer b))) "the server plays on"))))))

;; ---- clocks that are apart

(def ^:private libfaketime
  (first (filter #(.exists (io/file %)) (for [arch ["x86_64" "aarch64"]] (str "/usr/lib/" arch "-linux-gnu/faketime/libfaketimeMT.so.1")))))

(defn- an-hour-off
  "An scsynth whose clock is an hour ahead, \"+\", or behind, \"-\"."
  [sign]
  (script "scsynth" (str "LD_PRELOAD=" libfaketime " FAKETIME=" sign "3600 FAKETIME_DONT_FAKE_MONOTONIC=1 exec scsynth \"$@\"")))

(deftest a-server-whose-clock-is-an-hour-off
  (if-not (and libfaketime (= "scsynth" servers/*scsynth*))
    (println "  no libfaketime (apt-get install faketime): clocks that are apart are not tried")
    (let [soon  {:when (Duration/ofMillis 50), :confirm true, :timeout-ms 300}
          texts (fn [s] (map :text (sc/log s {:level :warn})))]
      (testing "ahead: what is for later is done at once, and told to be late"
        (sc/with-server [s (servers/options {:executable (an-hour-off "+")})]
          (is (= :group (:kind (sc/at s soon (sc/add-group! s)))))
          (is (servers/eventually #(some (fn [text] (re-find #"A bundle came 3[56]\d\d.* s late\. The server's clock may be ahead" text)) (texts s))))
          (is (< 3500000.0 (double (get-in (sc/health s) [:late :most-ms]))))))
      (testing "behind: it waits, which nobody takes for done"
        (sc/with-server [s (servers/options {:executable (an-hour-off "-")})]
          (let [e (thrown #(sc/at s soon (sc/add-group! s)))]
            (is (= :espalier.error/no-answer (:espalier/error (ex-data e))))
            (is (str/includes? (ex-message e) "its clock is behind")))
          (is (= :group (:kind (sc/add-group! s {:confirm true}))) "what is for now is done now"))))))

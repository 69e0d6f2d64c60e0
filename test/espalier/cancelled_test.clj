(ns espalier.cancelled-test
  "Every call that waits can be cancelled: its thread goes on at once, and nothing of the
  call stays behind."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.future :as future]
   [espalier.rehearsal :as rehearsal]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.servers :as servers :refer [error-of eventually]]
   [espalier.synthdef :refer [defsynth]]
   [espalier.ugens :as ugens])
  (:import
   (java.util.concurrent CountDownLatch)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defsynth ^:private hum [out 0, freq 220]
  (ugens/out:kr out freq))

(def ^:private patient {:timeout-ms 60000})
(def ^:private confirmed (assoc patient :confirm true))

(def ^:private calls
  "By the name of a function a call of it that waits for a server which says nothing."
  {'reset-server!      (fn [{:keys [s]}] (sc/reset-server! s))
   'request!           (fn [{:keys [s]}] (sc/request! s ["/b_query" 0] ["/b_info" 0] patient))
   'sync!              (fn [{:keys [s]}] (sc/sync! s patient))
   'status             (fn [{:keys [s]}] (sc/status s patient))
   'query-tree         (fn [{:keys [s]}] (sc/query-tree s patient))
   'command!           (fn [{:keys [s]}] (sc/command! s :b-query {:buffers [0]} patient))
   'call-at            (fn [{:keys [s]}] (sc/call-at s confirmed #(sc/add-group! s)))
   'call-with-completion (fn [{:keys [s]}] (sc/call-with-completion s #(sc/add-buffer! s {:frame-count 8}) (fn [_] (sc/add-group! s))))
   'add-synthdefs!     (fn [{:keys [s]}] (sc/add-synthdefs! s hum patient))
   'free-synthdefs!    (fn [{:keys [s]}] (sc/free-synthdefs! s "hum" patient))
   'add-group!         (fn [{:keys [s]}] (sc/add-group! s confirmed))
   'add-synth!         (fn [{:keys [s]}] (sc/add-synth! s :hum {} confirmed))
   'play-graph!        (fn [{:keys [s]}] (sc/play-graph! s #(ugens/sin-osc:ar 440) patient))
   'set-controls!      (fn [{:keys [y]}] (sc/set-controls! y {:freq 1} confirmed))
   'set-control-range! (fn [{:keys [y]}] (sc/set-control-range! y :freq [1] confirmed))
   'map-controls!      (fn [{:keys [y]}] (sc/map-controls! y {:freq nil} confirmed))
   'get-controls       (fn [{:keys [y]}] (sc/get-controls y [:freq] patient))
   'get-control-range  (fn [{:keys [y]}] (sc/get-control-range y :freq 1 patient))
   'release!           (fn [{:keys [y]}] (sc/release! y confirmed))
   'pause!             (fn [{:keys [y]}] (sc/pause! y confirmed))
   'resume!            (fn [{:keys [y]}] (sc/resume! y confirmed))
   'move!              (fn [{:keys [y g]}] (sc/move! y :head g confirmed))
   'order!             (fn [{:keys [y g]}] (sc/order! :head g [y] confirmed))
   'print-ugens!       (fn [{:keys [y]}] (sc/print-ugens! y confirmed))
   'free!              (fn [{:keys [b]}] (sc/free! b patient))
   'free-children!     (fn [{:keys [g]}] (sc/free-children! g confirmed))
   'query-node         (fn [{:keys [s g]}] (sc/query-node s g patient))
   'parent             (fn [{:keys [g]}] (sc/parent g patient))
   'parentage          (fn [{:keys [g]}] (sc/parentage g patient))
   'children           (fn [{:keys [g]}] (sc/children g patient))
   'await-started      (fn [{:keys [y]}] (sc/await-started y patient))
   'await-ended        (fn [{:keys [y]}] (sc/await-ended y patient))
   'add-buffer!        (fn [{:keys [s]}] (sc/add-buffer! s (assoc patient :frame-count 8)))
   'add-buffer-group!  (fn [{:keys [s]}] (sc/add-buffer-group! s (assoc patient :frame-count 8, :count 2)))
   'read-buffer!       (fn [{:keys [b]}] (sc/read-buffer! b "/nowhere/a.wav" patient))
   'cue-buffer!        (fn [{:keys [b]}] (sc/cue-buffer! b "/nowhere/a.wav" patient))
   'write-buffer!      (fn [{:keys [b]}] (sc/write-buffer! b "/nowhere/a.wav" patient))
   'close-buffer!      (fn [{:keys [b]}] (sc/close-buffer! b patient))
   'zero-buffer!       (fn [{:keys [b]}] (sc/zero-buffer! b patient))
   'query-buffer       (fn [{:keys [b]}] (sc/query-buffer b patient))
   'set-samples!       (fn [{:keys [b]}] (sc/set-samples! b {0 1} confirmed))
   'set-sample-range!  (fn [{:keys [large]}] (sc/set-sample-range! large 0 (float-array 9000) patient))
   'fill-samples!      (fn [{:keys [b]}] (sc/fill-samples! b 0 4 1 confirmed))
   'get-samples        (fn [{:keys [b]}] (sc/get-samples b [0] patient))
   'get-sample-range   (fn [{:keys [large]}] (sc/get-sample-range large 0 9000 patient))
   'generate!          (fn [{:keys [b]}] (sc/generate! b :sine1 (assoc patient :amplitudes [1])))
   'copy-buffer!       (fn [{:keys [b large]}] (sc/copy-buffer! b large patient))
   'normalize-buffer!  (fn [{:keys [b]}] (sc/normalize-buffer! b patient))
   'set-bus!           (fn [{:keys [bus]}] (sc/set-bus! bus 1 confirmed))
   'set-buses!         (fn [{:keys [bus]}] (sc/set-buses! bus [1] confirmed))
   'fill-buses!        (fn [{:keys [bus]}] (sc/fill-buses! bus 1 confirmed))
   'get-bus            (fn [{:keys [bus]}] (sc/get-bus bus patient))
   'get-buses          (fn [{:keys [bus]}] (sc/get-buses bus patient))
   'record!            (fn [{:keys [s]}] (sc/record! s "/tmp/espalier-cancelled.wav" patient))
   'reconcile!         (fn [{:keys [s]}] (sc/reconcile! s [:group {:key :other}] patient))
   'drift              (fn [{:keys [s]}] (sc/drift s patient))
   'repair!            (fn [{:keys [s]}] (sc/repair! s patient))
   'adopt!             (fn [{:keys [s g]}] (sc/adopt! s nil (assoc patient :root g)))
   'snapshot           (fn [{:keys [s]}] (sc/snapshot s patient))
   'follow!            (fn [{:keys [s]}] (sc/follow! s (atom [:group {:key :another}]) patient))})

(def ^:private elsewhere
  "Calls that wait, and why they are not here."
  '{boot! "interrupts-test", connect! "interrupts-test", quit! "interrupts-test", reboot! "interrupts-test", disconnect! "waits for a logout at the most"
    load-synthdef-directory! "as add-synthdefs!", plan "asks nothing of a server whose tree is known", stop-recording! "recording-test"
    restore! "as reconcile!", await-recording "waits for no answer", await-followed "waits for no answer"})

(deftest every-call-that-waits-is-known
  (is (= (set future/waiting) (into (set (keys calls)) (keys elsewhere)))))

(deftest every-call-that-waits-can-be-cancelled
  (sc/with-server [s {:executable :rehearsal, :port (sc/find-free-port), :watch-patience-ms 600000, :timeout-ms 60000}]
    (doseq [[call-name call] (sort-by key calls)]
      (testing call-name
        (rehearsal/trouble! s nil)
        (sc/reset-server! s)
        (sc/add-synthdefs! s hum)
        (sc/reconcile! s [:synth {:key :declared, :def hum}])
        (let [all     {:s s, :g (sc/add-group! s {:confirm true}), :y (sc/add-synth! s :hum {} {:confirm true}), :bus (sc/add-bus! s)
                       :b (sc/add-buffer! s {:frame-count 8}), :large (sc/add-buffer! s {:frame-count 9000})}
              began   (CountDownLatch. 1)
              outcome (promise)
              ended   (promise)
              _       (rehearsal/trouble! s {:silent true})
              thread  (doto (Thread. (fn []
                                       (.countDown began)
                                       (deliver outcome (try (call all) (catch Throwable e e)))
                                       (deliver ended true)))
                        (.setDaemon true) (.start))]
          (.await began)
          (is (eventually #(contains? #{Thread$State/TIMED_WAITING Thread$State/WAITING Thread$State/TERMINATED} (.getState thread))))
          (.interrupt thread)
          (is (true? (deref ended 10000 :hangs)))
          (let [x (deref outcome 0 nil)]
            (is (or (instance? InterruptedException x) (some #(instance? InterruptedException %) (take-while some? (iterate ex-cause x)))
                    (not (instance? Throwable x)))
                (str x)))
          (rehearsal/trouble! s nil)
          (is (= :none (error-of #(sc/sync! s {:timeout-ms 5000}))) "and the handle works")
          (is (eventually #(dispatch/idle? (.-dispatcher ^espalier.runtime.handle.Server s))) "nobody is still waited for"))))))

(ns espalier.conformance.side
  "One of the two servers that are compared: it is started, it is given a sequence of
  commands, and all that it answers is kept, in the order of its arrival."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.conformance.material :as material]
   [espalier.core :as sc]
   [espalier.model.options :as options]
   [espalier.rehearsal :as rehearsal]
   [espalier.runtime.link :as link]
   [espalier.synthdef :as synthdef])
  (:import
   (espalier.kernel Link ServerOutput ServerOutput$Meaning ServerProcess ServerProcess$Line ServerProcess$Spec)
   (java.io File)
   (java.nio.file Path)
   (java.time Duration)
   (java.util.concurrent LinkedBlockingQueue TimeUnit)
   (java.util.function Consumer Predicate)))

(set! *warn-on-reflection* true)

(def server-options
  "Small limits, so that sequences meet them."
  {:audio-bus-channel-count   64
   :buffer-count              16
   :control-bus-channel-count 32
   :input-bus-channel-count   2
   :load-synthdefs            false
   :maximum-logins            2
   :output-bus-channel-count  2})

;; ---- how a server starts: a function of no arguments that returns {:port …, :alive? f, :said f, :stop! f}

(defn process
  "A function that starts a server of this name, scsynth or supernova, on the audio of
  `environment`."
  [executable environment more]
  (fn []
    (let [opts    (options/check (merge {:executable executable, :port (sc/find-free-port)} server-options more))
          process (ServerProcess/start
                    (ServerProcess$Spec. (options/command-line opts executable) environment
                                         (reify Predicate (test [_ line] (= ServerOutput$Meaning/READY (ServerOutput/meaning line))))
                                         (Path/of (str "/dev/shm/SuperColliderServer_" (:port opts)) (make-array String 0))
                                         (reify Consumer (accept [_ _]))))]
      (.awaitReady process (Duration/ofSeconds 20))
      {:port   (:port opts)
       :supernova? (= :supernova (options/engine-of executable))
       :alive? #(.isAlive process)
       :said   (fn [] (conj (mapv #(.text ^ServerProcess$Line %) (take-last 3 (.output process))) (str (.getNow (.exit process) nil))))
       :stop!  #(.end process nil Duration/ZERO (Duration/ofSeconds 1))})))

(defn rehearsal
  "A function that starts a rehearsal, with other options in `more`."
  [more]
  (fn []
    (let [r (rehearsal/start! (merge server-options {:port nil} more))]
      {:port   (rehearsal/port r)
       :alive? (constantly true)
       :said   (constantly ["the rehearsal says nothing more"])
       :stop!  #(rehearsal/stop! r)})))

;; ---- a side: {:start f, :folder path, :running atom}

(defn- listen! [{:keys [port] :as started}]
  (let [queue (LinkedBlockingQueue.)]
    (assoc started
           :queue queue
           :ready? (atom false)
           :link  (link/open {:protocol :udp, :ip-address "127.0.0.1", :port port, :timeout-ms 1000}
                             {:packet      #(.put queue (link/message %))
                              :malformed   (fn [_] (.put queue [:malformed]))
                              :unreachable (fn [])
                              :closed      (fn [_])
                              :idle?       (constantly false)}))))

(defn side
  "A side that is started by `start` when it is needed, and once more when it has died."
  [start]
  (let [folder (str (java.nio.file.Files/createTempDirectory "espalier-conformance" (make-array java.nio.file.attribute.FileAttribute 0)))]
    {:start start, :folder folder, :running (atom nil), :sync-id (atom 1000000)}))

(defn- end! [{:keys [running]}]
  (when-let [{:keys [^Link link stop!]} @running]
    (.close link)
    (stop!)
    (reset! running nil)))

(defn close!
  "Ends the server of a side and removes its files."
  [{:keys [folder] :as side}]
  (end! side)
  (run! #(.delete ^File %) (reverse (file-seq (io/file folder)))))

(defn- started [{:keys [start running]}]
  (or @running (reset! running (listen! (start)))))

;; ---- sending, and what comes back until a barrier

(def ^:private patience-ms 3000)

(defn- until-synced
  "The messages that arrive before the answer to /sync `id`; nil where it does not come."
  [{:keys [^LinkedBlockingQueue queue alive?]} id]
  (loop [seen [], tries (quot patience-ms 50)]
    (let [m (.poll queue 50 TimeUnit/MILLISECONDS)]
      (cond (= ["/synced" id] m)                 seen
            m                                    (recur (conj seen m) tries)
            (and (pos? tries) (alive?))          (recur seen (dec tries))))))

(defn- barrier!
  "Waits until the server has done all that was sent, `times` times, for each completion
  may begin more. What it said meanwhile, or nil where it says no more."
  [{:keys [sync-id]} {:keys [link] :as server} times]
  (loop [n times, all []]
    (if (zero? n)
      all
      (let [id (swap! sync-id inc)]
        (link/send! link ["/sync" id])
        (when-let [seen (until-synced server id)]
          (recur (dec n) (into all seen)))))))

(defn- flatten-messages [x]
  (if (map? x) (mapcat flatten-messages (:packets x)) [x]))

(def ^:private asynchronous
  "What is done beside the sound; /status counts there, too."
  #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_close" "/b_free" "/b_gen" "/b_read" "/b_readChannel" "/b_write" "/b_zero"
    "/d_load" "/d_loadDir" "/d_recv" "/notify" "/status" "/sync"})

(defn- asynchronous-depth
  "How many asynchronous commands in a packet wait for one another."
  [x]
  (transduce (map (fn [[address & args]]
                    (if (asynchronous address)
                      (inc (long (transduce (comp (filter map?) (mapcat :completion) (map asynchronous-depth)) max 0 args)))
                      0)))
             max 0 (flatten-messages x)))

(defn- late?
  "Whether a bundle of the past is in a packet: it is not done in its place, but behind all
  that arrives in the same block."
  [x]
  (and (map? x) (or (= :past (:at x)) (boolean (some late? (:packets x))))))

(defn- depth
  "How many barriers a packet needs: none where all of it is done at once, one more for
  each asynchronous command in a completion, and one for a bundle of the past."
  [x]
  (cond-> (asynchronous-depth x) (late? x) inc))

;; ---- answers as they are compared

(def ^:private notified #{"/n_go" "/n_end" "/n_on" "/n_off" "/n_move" "/n_info"})

(def ^:private removed #{"/d_removed"})

(defn- exact
  "Numbers so that `=` compares their bits; paths without the folder."
  [folder x]
  (cond
    (float? x)  (let [f (float x)]
                  (cond (Float/isNaN f)                           :nan
                        (= Integer/MIN_VALUE (Float/floatToRawIntBits f)) :minus-zero
                        :else                                     f))
    (string? x) (str/replace x folder "")
    :else       x))

(defn- no-rate
  "A /b_info without the sample rates of buffers that are not there: what they are is left
  to chance."
  [m]
  (into ["/b_info"] (mapcat (fn [[i frames channels rate]] [i frames channels (if (= 0 frames channels) :none rate)])) (partition-all 4 (rest m))))

(defn- plain
  "A message as it is compared: CPU load and the actual sample rate are nobody's
  business, and ids that a server has picked are numbered by their appearance in `seen`."
  [folder seen m]
  (let [m (into [] (map #(exact folder %)) m)
        m (case (first m) "/status.reply" (subvec m 0 6), "/b_info" (no-rate m), m)]
    (mapv (fn [x]
            (if (and (int? x) (<= x -8))
              (or (@seen x) (get (vswap! seen assoc x [:hidden (count @seen)]) x))
              x))
          m)))

(defn- segment
  "What arrived between two barriers, in three streams."
  [folder seen sent messages]
  (let [stream #(into [] (comp (filter %) (map (partial plain folder seen))) messages)
        of     (fn [addresses] (comp addresses first))]
    {:sent          sent
     :replies       (stream (complement (of (into notified removed))))
     :notifications (stream (of notified))
     ;; In the order of the files in a folder, which is nobody's.
     :removed       (sort-by str (stream (of removed)))}))

;; ---- a sequence

(def group-ids  "Ids of groups in sequences; 1 is there from the beginning." [1 100 101 102 103 104])
(def synth-ids  "Ids of synths in sequences." [1000 1001 1002 1003 1004 1005 1006 1007])
(def buffers    "Numbers of buffers in sequences." [0 1 2 3])

(def ^:private clean-up
  "Whatever was before, a server is the same after these."
  (concat [{:at :now, :packets [["/error" 1]]}
           ["/clearSched"] ["/error" 0]]
          (for [id (concat (rest group-ids) synth-ids)] ["/n_free" id])
          [["/g_freeAll" 0] ["/error" 1] ["/c_fill" 0 (:control-bus-channel-count server-options) 0.0]
           ["/notify" 0] ["/notify" 1 0] ["/g_new" 1 0 0]]))

(def ^:private clean-up-of-scsynth
  "And these, which supernova does not survive, or has no need of: a root that was paused,
  and buffers, which keep their sample rate when they are freed."
  (into [["/n_run" 0 1]]
        (mapcat (fn [i] [["/b_alloc" i 1] ["/b_free" i]]))
        (range (:buffer-count server-options))))

(def ^:private questions
  "What shows the state that a sequence has left."
  (concat [["/status"] ["/g_queryTree" 0 1] (into ["/b_query"] buffers)
           ["/c_getn" 0 (:control-bus-channel-count server-options)]]
          (for [id (concat group-ids synth-ids)] ["/n_query" id])))

(defn- reset-server! [{:keys [folder] :as side} {:keys [link supernova? ready?] :as server}]
  (material/fill-folder! folder)
  (run! #(link/send! link (material/packet folder %)) (cond->> clean-up (not supernova?) (concat clean-up-of-scsynth)))
  ;; Not /d_freeAll, which reads what it has freed where a SynthDef has variants.
  (when-not (and supernova? @ready?)                      ; its memory is in ruins after some sixty times
    (link/send! link (into ["/d_free"] material/synthdef-names))
    (doseq [d material/loaded]
      (link/send! link ["/d_recv" (synthdef/encode [d])])))
  (reset! ready? true)
  (barrier! side server 1))

(defn- buffer-contents
  "Requests for all of the samples of the buffers that an answer to /b_query names."
  [messages]
  (for [m                         messages
        :when                     (= "/b_info" (first m))
        [buffer frames channels _] (partition 4 (rest m))
        :when                     (pos? (* frames channels))]
    ["/b_getn" buffer 0 (* frames channels)]))

(defn- ask-all!
  "The last segments of a sequence: its state."
  [{:keys [folder] :as side} {:keys [link] :as server} commands seen]
  (let [ask! (fn [requests]
               (run! #(link/send! link %) requests)
               (when-let [messages (barrier! side server 1)]
                 [(segment folder seen (vec requests) messages) messages]))
        told (if (some #{"/notify"} (map first (mapcat flatten-messages commands)))
               (ask! [["/error" 1] ["/notify" 1 0]])
               (do (link/send! link ["/error" 1]) [nil []]))
        [state messages] (when told (ask! questions))
        [contents]       (when state (ask! (buffer-contents messages)))]
    (if contents
      (filterv some? [(first told) state contents])
      [{:sent :questions, :no-answer true}])))

(defn- runs?
  "Whether a packet has /n_run: what it does to a synth of the same block is another thing."
  [x]
  (boolean (some (comp #{"/n_run"} first) (flatten-messages x))))

(defn- parts
  "A sequence in the parts that have a barrier behind them, each `[packets barriers]`."
  [packets]
  (loop [[x & more :as all] packets, part [], done []]
    (let [barriers (if x (depth x) 0)]
      (cond
        (empty? all)               (cond-> done (seq part) (conj [part 1]))
        (and (or (late? x) (runs? x)) (seq part)) (recur all [] (conj done [part 1]))
        (pos? barriers)            (recur more [] (conj done [(conj part x) barriers]))
        :else                      (recur more (conj part x) done)))))

(defn- answers
  "Sends packets, part by part. A vector of segments; the last says `:no-answer`, the
  server's last words, where it fell silent."
  [{:keys [folder] :as side} {:keys [link] :as server} packets seen]
  (reduce (fn [segments [part barriers]]
            (run! #(link/send! link (material/packet folder %)) part)
            (if-let [messages (barrier! side server barriers)]
              (conj segments (segment folder seen part messages))
              (reduced (conj segments {:sent part, :no-answer true}))))
          [] (parts packets)))

(defn run-sequence!
  "Gives `commands`, a sequence of messages and bundles, to the server of a side in its
  clean state. Returns a vector of segments, from barrier to barrier, each `{:sent
  packets, :replies messages, :notifications messages, :removed messages}`: replies,
  what is told of nodes and what of SynthDefs are in order each, but how they mix depends
  on where the server's blocks begin. The last segments are the state that is left."
  [side commands]
  (let [server (started side)
        seen   (volatile! {})
        result (if (reset-server! side server)
                 (let [segments (answers side server commands seen)]
                   (if (:no-answer (peek segments))
                     segments
                     (into segments (ask-all! side server commands seen))))
                 [{:sent :reset, :no-answer true}])]
    (if (:no-answer (peek result))
      (let [said ((:said server))]
        (end! side)
        (conj (pop result) (assoc (peek result) :no-answer said)))
      result)))

(ns espalier.model.rehearsal-world
  "The world of a rehearsal: all that a scsynth has, as one value, and what every command
  does to it.

      {:nodes           {0 {:id 0 :kind :group :parent nil :previous nil :next nil :head nil :tail nil :calc :run}}
       :synthdefs       {\"bell\" {…}}             ; and a place for each variant
       :control-buses   {5 0.5}                  ; of those that were ever set
       :buffers         {0 {:frames 64 :channels 1 :rate 48000.0 :data 7 …}}   ; as the audio thread sees them
       :buffers-ahead   {…}                      ; as the other thread does, which is ahead of it
       :users           {client-identity {:client c :id 0}}
       :fifo            […]                      ; what the audio thread hands to the other one
       :finishing       […]                      ; and what that hands back
       :out             […]}                     ; `{:to client :message m}` or `{:line \"…\"}`, in order

  Clients are whatever the caller likes. Two that are equal are the same to the server; of a
  map it is the `:identity` that must be equal."
  (:require
   [clojure.string :as str]
   [espalier.model.options :as options]))

(set! *warn-on-reflection* true)

(defn world
  "A server that has just been booted with `opts`, complete and checked.

      (world (options/check {}))"
  [opts]
  (let [has (options/effective opts)]
    {:options         has
     :sample-rate     (double (cond
                                (= :dummy (:audio has)) (:dummy-sample-rate-hz has)
                                (:sample-rate has)      (:sample-rate has)
                                :else                   48000))
     :block-size      (:block-size has)
     :max-nodes       (dec (long (:maximum-node-count has)))
     :max-synthdefs   (:maximum-synthdef-count has)
     :max-users       (:maximum-logins has)
     :nodes           {0 {:id 0, :kind :group, :parent nil, :previous nil, :next nil, :head nil, :tail nil, :calc :run}}
     :synth-count     0
     :group-count     1
     :ugen-count      0
     :fresh           []                                      ; synths that were never calculated
     :blocked         []                                      ; those of them where nothing is
     :touched         []                                      ; nodes whose end may come at another time now
     :paused-count    0
     :hidden-id       -8
     :recent-id       -8
     :synthdefs       {}
     :references      {}
     :next-uid        0
     :control-buses   {}
     :buffers         {}
     :buffers-ahead   {}
     :samples         {}
     :users           {}
     :free-client-ids (vec (range (:maximum-logins has)))
     :errors?         true
     :errors-off      0
     :dump            0
     :block           0
     :scheduled       (sorted-map)
     :next-event      0
     :ends            (sorted-map)
     :notifications   []
     :notification-limit 1023
     :reply-limit     65516
     :fifo            []
     :finishing       []
     :out             []}))

;; ---- what is said

(defn say
  "The world that has printed a line."
  [world line]
  (update world :out conj {:line line}))

(defn enqueue
  "The world whose other thread has one thing more to do."
  [world item]
  (update world :fifo conj item))

(defn reply
  "The world that will send `message` to `client`, after all that it has been asked for before."
  [world client message]
  (enqueue world {:kind :reply, :to client, :message message}))

(defn send-now
  "The world that sends `message` to `client`, called by the thread that does so."
  [world client message]
  (update world :out conj {:to client, :message message}))

(defn fail
  "The world in which the command under way has failed with these words."
  [world words]
  (assoc world :error words))

(defn identity-of
  "What of a client must be equal for two to be the same to the server."
  [client]
  (if (map? client) (:identity client client) client))

(defn users
  "The clients that are logged in."
  [world]
  (mapv :client (vals (:users world))))

(defn broadcast
  "The world that will send `message` to all clients that are logged in now."
  [world message]
  (reduce (fn [w client] (reply w client message)) world (users world)))

(defn touch
  "The world that will look when a node, or what is below it, ends by itself."
  [world id]
  (update world :touched conj id))

;; ---- paths

(defn restricted
  "The path that a server takes for one that it is given: without steps upward, and below
  `:restricted-path` where that is set."
  [{:keys [options]} path]
  (if-let [base (:restricted-path options)]
    (let [path (str/join "/" (remove #{".."} (str/split path #"/" -1)))]
      (cond
        (str/starts-with? path base)                                   path
        (or (str/starts-with? path "/") (str/ends-with? base "/")) (str base path)
        :else                                                          (str base "/" path)))
    path))

;; ---- time. It is counted in blocks since the boot.

(defn block-of
  "The number of the block in which NTP time `tag` is, of a server booted at `:epoch`."
  [{:keys [epoch sample-rate block-size]} tag]
  (let [tag (long tag)]
    ;; A tag without its highest bit is no time of our century: never.
    (if (neg? tag)
      (long (Math/floor (/ (* (double (- tag (long epoch))) (double sample-rate)) (* (double block-size) 4294967296.0))))
      Long/MAX_VALUE)))

(defn tag-of-block
  "The NTP time at which a block begins."
  [{:keys [epoch sample-rate block-size]} block]
  (+ (long epoch) (long (Math/ceil (/ (* (double block) (double block-size) 4294967296.0) (double sample-rate))))))

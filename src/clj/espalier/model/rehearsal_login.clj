(ns espalier.model.rehearsal-login
  "The commands of a rehearsal that are about the server as a whole: who is logged in, whether
  all is done, how it is, its end."
  (:require
   [clojure.string :as str]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

;; ---- logins

(defn- client-id
  "The id that is given where `wish` is wished, and those that remain."
  [free wish]
  (let [id (if (some #{wish} free) wish (first free))]
    [id (into [] (remove #{id}) free)]))

(defn- log-in [{:keys [users free-client-ids max-users refuse-logins?] :as w} client wish]
  (let [me (world/identity-of client)]
    (cond
      (get users me)
      (-> w
          (world/send-now client ["/fail" "/notify" "notify: already registered\n" (:id (get users me))])
          (world/say "/notify : already registered"))

      (or refuse-logins? (>= (count users) (long max-users)))
      (-> w
          (world/send-now client ["/fail" "/notify" "too many users\n"])
          (world/say "too many users"))

      :else
      (let [[id left] (client-id free-client-ids wish)]
        (-> w
            (assoc :users (assoc users me {:client client, :id id}), :free-client-ids left)
            (world/send-now client ["/done" "/notify" id max-users]))))))

(defn- log-out [{:keys [users] :as w} client]
  (let [me (world/identity-of client)]
    (if-let [{:keys [id]} (get users me)]
      (-> w
          (assoc :users (dissoc users me))
          (update :free-client-ids conj id)
          (world/send-now client ["/done" "/notify"]))
      (-> w
          (world/send-now client ["/fail" "/notify" "not registered\n"])
          (world/say "not registered")))))

;; ---- how it is

(defn- status [{:keys [ugen-count synth-count group-count synthdefs sample-rate]}]
  (let [load (+ 0.05 (* 0.002 (double ugen-count)))]
    ["/status.reply" 1 ugen-count synth-count group-count (count synthdefs)
     (float load) (float (* 1.5 load)) (double sample-rate) (double sample-rate)]))

(defn- set-errors [w r]
  (case (message/int! r)
    -1 (update w :errors-off inc)
    -2 (update w :errors-off dec)
    0  (assoc w :errors? false)
    1  (assoc w :errors? true)
    w))

;; ---- what is printed of packets

(defn- argument-text [r]
  (case (message/tag r \i)
    \i (str (message/int! r))
    \f (String/format java.util.Locale/ROOT "%f" (object-array [(message/float! r)]))
    \s (str \" (message/text! r) \")
    \b (str "DATA[" (if-let [blob (message/blob! r)] (count blob) (message/int! r)) "]")
    \[ (do (message/skip-tag! r) "[")
    \] (do (message/skip-tag! r) "]")
    (do (message/skip-tag! r) "?")))

(defn- message-text [bytes from end]
  (let [[address at] (message/address bytes from end)
        r            (message/reader bytes at end)]
    (str "[ \"" address "\","
         (str/join "," (loop [found []]
                         (if (message/more? r)
                           (recur (conj found (str " " (argument-text r))))
                           found)))
         " ]")))

(defn- lines [bytes from end]
  (if (message/bundle? bytes from end)
    (concat [(str "[ \"#bundle\", " (Long/toUnsignedString (message/time-tag bytes from)) ", ")]
            (map #(str "    " (message-text bytes (first %) (second %))) (message/elements bytes from end))
            ["]"])
    [(message-text bytes from end)]))

(defn dumped
  "The world that has printed a packet, where it was asked to print all that comes. It prints
  text, whatever was asked for."
  [{:keys [dump] :as w} ^bytes packet]
  (if (or (zero? (long dump)) (zero? (alength packet)))
    w
    (reduce world/say w (lines packet 0 (alength packet)))))

;; ---- commands

(def commands
  "By name: functions of the world, a reader and the client."
  {"none"       (fn [w _ _] w)
   "cmd"        (fn [w _ _] (world/fail w "failed"))
   "version"    (fn [w _ client] (world/reply w client ["/version.reply" "scsynth" 3 13 ".0" "" "na"]))
   "clearSched" (fn [w _ _] (assoc w :scheduled (sorted-map)))
   "dumpOSC"    (fn [w r _] (assoc w :dump (message/int! r)))
   "error"      (fn [w r _] (set-errors w r))})

(def asynchronous
  "The commands that the other thread works on, by name: see `espalier.model.rehearsal`."
  {"sync"   {:begin  (fn [_ r] {:id (message/int! r)})
             :ahead  (fn [w item] [w item])
             :finish (fn [w _] w)
             :done   (fn [{:keys [id]}] ["/synced" id])}
   "status" {:begin (fn [_ _] {})
             :ahead (fn [w {:keys [client]}] [(if (:quitting? w) w (world/send-now w client (status w))) nil])}
   "notify" {:begin (fn [_ r] (let [on (message/int! r)] {:on? (not= 0 on), :wish (message/int! r -1)}))
             :ahead (fn [w {:keys [client on? wish]}] [(if on? (log-in w client wish) (log-out w client)) nil])}
   "quit"   {:begin  (fn [_ _] {})
             :ahead  (fn [w item] [(assoc w :quitting? true) item])
             :finish (fn [w _] w)
             :done   (fn [_] ["/done" "/quit"])}})

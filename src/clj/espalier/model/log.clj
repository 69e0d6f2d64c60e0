(ns espalier.model.log
  "What is worth telling of a server, as entries of a log: values.

      {:n 12, :at #inst \"…\", :level :warn, :what :late, :text \"A bundle came 0.012 s late.\", :late-s 0.012}

  `:level` is :info, :warn or :error; `:what` is the name of a lifecycle event, or :output
  for a line that the server printed."
  (:require
   [clojure.string :as str]
   [espalier.model.words :refer [counted]])
  (:import
   (java.io Writer)
   (java.time Instant ZoneId)
   (java.time.format DateTimeFormatter)))

(set! *warn-on-reflection* true)

(def levels
  "The levels, the least first."
  [:info :warn :error])

(def ^:private level-of
  {:late            :warn, :handler-behind    :warn, :malformed-packet :warn, :woke        :warn, :drifted      :warn
   :server-slow     :warn, :restoring         :warn
   :command-failed  :error, :handler-failed   :error, :reconcile-failed :error, :boot-failed :error, :connect-failed :error
   :process-died    :error, :connection-closed :error, :server-silent   :error, :lost        :error, :restore-failed :error})

(def ^:private plain-text
  {:connecting    "Logging in."
   :connected     "Logged in."
   :booted        "The server is booted."
   :disconnecting "Logging out."
   :disconnected  "Logged out."
   :quitting      "Quitting."
   :process-quit  "The process has ended."
   :quit          "The server has quit."})

(defn- because [what e] (str what (when e (str ": " (ex-message e)))))

(defn restored
  "What a report of what was restored says, in words.

      (restored {:restored {:synthdefs 1, :buffers 0, :buses 2, :nodes 200}, :not-restored [], :ids {}, :elapsed-ms 40})
      ;=> \"1 SynthDef, 2 buses and 200 nodes in 40 ms\""
  [{:keys [not-restored ids elapsed-ms], {:keys [synthdefs buffers buses nodes]} :restored}]
  (let [parts (for [[n one many] [[synthdefs "SynthDef" "SynthDefs"] [buffers "buffer" "buffers"] [buses "bus" "buses"] [nodes "node" "nodes"]]
                    :when (and n (pos? (long n)))]
                (counted n one many))
        last-part (last parts)]
    (str (cond
           (empty? parts) "nothing"
           (next parts)   (str (str/join ", " (butlast parts)) " and " last-part)
           :else          last-part)
         (when elapsed-ms (str " in " elapsed-ms " ms"))
         (when (seq not-restored) (str "; " (count not-restored) " not"))
         (when (seq ids) (str "; " (reduce + (map count (vals ids))) " under another id")))))

(defn- words [{:keys [event warnings ip-address port protocol pid exit-code reason why patience-ms asleep-ms silent-ms error behind late-s reference edits attempt report]
               [_ address said] :message}]
  (case event
    :booting           (str/join " " (cons (str "Booting" (when port (str ", to listen at " ip-address ":" port " (" (name protocol) ")")) ".") warnings))
    :process-booted    (str "Process " pid " runs.")
    :boot-failed       (because "It did not boot" error)
    :connect-failed    (because "The login failed" error)
    :process-died      (str "The process ended with exit code " exit-code (when reason (str ": " reason)) ".")
    :connection-closed (because "The connection has ended" error)
    :server-silent     (str "The server has said nothing for " patience-ms " ms" (when reason (str ": " reason)) ".")
    :server-slow       (str "The server has said nothing for " silent-ms " ms so far.")
    :restoring         (because (str "Restoring what was lost, for " why "; attempt " attempt) error)
    :restored          (str "Restored: " (restored report) ".")
    :restore-failed    (str "It " (ex-message error))
    :lost              (str "The server is lost: " why ".")
    :woke              (str "The machine slept for " asleep-ms " ms.")
    :command-failed    (str "The server refused " address ": " (str/trim (str said)) ".")
    :handler-failed    (because "A handler threw" error)
    :handler-behind    (str "A handler is too slow: " behind " messages wait for it, and further ones are dropped.")
    :malformed-packet  (because "What came is no OSC packet" error)
    :late              (str "A bundle came " late-s " s late." (when (and late-s (< 10.0 (double late-s))) " The server's clock may be ahead of this one."))
    :reconcile-failed  (because (str "The tree of " reference " was not reconciled") error)
    :drifted           (str "What played had drifted from the tree of " reference ", and was repaired: " (counted (count edits) "edit") ".")
    (or (plain-text event) (name event))))

(defn of-event
  "The entry of a lifecycle event, as `espalier.core/on-lifecycle!` tells it."
  [event]
  (-> (dissoc event :event :server :status)
      (assoc :what (:event event), :level (level-of (:event event) :info), :text (words event))))

(defn of-line
  "The entry of a line that the server printed.

  `failure?`  whether it tells of a failure"
  [line failure? at]
  {:at at, :what :output, :level (if failure? :warn :info), :text line})

(defn at-least
  "The entries of a level and of those above it.

      (at-least entries :warn)"
  [entries level]
  (let [wanted (set (drop-while #(not= level %) levels))]
    (filterv (comp wanted :level) entries)))

(def ^:private clock-time (DateTimeFormatter/ofPattern "HH:mm:ss.SSS"))

(defn line
  "An entry as one line, with the local time.

      12:00:01.250 warn  late: A bundle came 0.012 s late."
  [{:keys [at level what text]}]
  (format "%s %-5s %s: %s"
          (.format ^DateTimeFormatter clock-time (.atZone ^Instant at (ZoneId/systemDefault)))
          (name level) (name what) text))

(defmethod print-method ::entries [entries ^Writer w]
  (if (every? :what entries)
    (let [n (frequencies (map :level entries))]
      (.write w (str "#<Log " (counted (count entries) "entry" "entries")
                     (apply str (for [level (rest levels) :when (n level)] (str ", " (n level) " " (name level)))) ">")))
    (print-method (vary-meta entries dissoc :type) w)))

(defn shown
  "Entries, a vector that prints as one line."
  [entries]
  (with-meta (vec entries) {:type ::entries, :portal.viewer/default :portal.viewer/table}))

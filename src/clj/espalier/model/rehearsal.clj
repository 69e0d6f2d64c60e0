(ns espalier.model.rehearsal
  "What scsynth 3.13 does, as a function: a world and a packet give a world and what is sent
  and printed. No sound is computed.

      (let [[w out] (step (world/world options) :me packet now no-files)]
        out)                            ; => [{:to :me, :message [\"/synced\" 1]}]

  A server has two threads. Most commands take effect at once in the audio thread; their
  replies go through a queue to the other one, which also does what takes long: SynthDefs and
  buffers. What that has prepared comes into force in the audio thread a block later, in
  `settle`, then a completion message is carried out, and `/done` follows.

  `io` is what the caller can do with files: a function of a request, `[:read-sound path]`,
  `[:write-sound path sound]`, `[:synthdef-files pattern]` or `[:synthdef-folder path]`.
  Reading gives a map or byte arrays, failing `{:error \"words\"}`."
  (:require
   [espalier.model.rehearsal-buffer :as buffer]
   [espalier.model.rehearsal-bus :as bus]
   [espalier.model.rehearsal-command :as command]
   [espalier.model.rehearsal-end :as end]
   [espalier.model.rehearsal-login :as login]
   [espalier.model.rehearsal-message :as message]
   [espalier.model.rehearsal-node :as node]
   [espalier.model.rehearsal-synthdef :as synthdef]
   [espalier.model.rehearsal-world :as world]))

(set! *warn-on-reflection* true)

(defn no-files
  "An `io` for tests: there are no files."
  [[kind]]
  (if (contains? #{:synthdef-files :synthdef-folder} kind)
    []
    {:error "No such file or directory."}))

;; ---- the tables

(def ^:private at-once
  (merge command/commands
         bus/commands
         buffer/commands
         synthdef/commands
         login/commands))

(def ^:private asynchronous
  "Each a map: `:begin`, a function of the world and a reader, gives a map of the arguments or
  the words of a failure; `:io` a request for files, or nil; `:ahead` is what the other thread
  does, it returns the world and what is left to finish or nil; `:finish` what the audio
  thread then does; `:done` the last reply."
  (merge buffer/asynchronous synthdef/asynchronous login/asynchronous))

(def ^:private numbered
  "The commands by the number that may stand in place of their address."
  ["none" "notify" "status" "quit" "cmd" "d_recv" "d_load" "d_loadDir" "d_freeAll" "s_new" "n_trace" "n_free" "n_run" nil
   "n_map" "n_set" "n_setn" "n_fill" "n_before" "n_after" "u_cmd" "g_new" "g_head" "g_tail" "g_freeAll" "c_set" "c_setn"
   "c_fill" "b_alloc" "b_allocRead" "b_read" "b_write" "b_free" "b_close" "b_zero" "b_set" "b_setn" "b_fill" "b_gen"
   "dumpOSC" "c_get" "c_getn" "b_get" "b_getn" "s_get" "s_getn" "n_query" "b_query" "n_mapn" "s_noid" "g_deepFree"
   "clearSched" "sync" "d_free" "b_allocReadChannel" "b_readChannel" "g_dumpTree" "g_queryTree" "error" "s_newargs"
   "n_mapa" "n_mapan" "n_order" "p_new" "version"])

(defn- command-name
  "The command that an address, or a number, means, without its slash; nil for none."
  [address]
  (let [found (cond
                (integer? address)             (get numbered address)
                (.startsWith ^String address "/") (subs address 1)
                :else                          address)]
    (when (or (at-once found) (asynchronous found)) found)))

;; ---- one message

(defn- failed
  "The world that tells of the failure of a command, unless it was told not to."
  [{:keys [error errors? errors-off] :as w} client address]
  (let [w (dissoc w :error)]
    (if (and errors? (<= (long errors-off) 0))
      (-> w
          (world/reply client ["/fail" address error])
          (world/say (str "FAILURE IN SERVER " address " " error)))
      w)))

(defn- begin
  "The world in which an asynchronous command waits for the other thread."
  [w command r client]
  (let [item ((:begin (asynchronous command)) w r)]
    (if (string? item)
      (world/fail w item)
      (world/enqueue w (assoc item :kind :asynchronous, :command command, :client client)))))

(defn- perform-message [w client bytes from end]
  (let [[address at] (message/address bytes from end)
        command      (command-name address)]
    (if (nil? command)
      (let [address (if (string? address) address "")]
        (-> w
            (world/reply client ["/fail" address "Command not found"])
            (world/say (str "FAILURE IN SERVER: " address " Command not found"))))
      (let [r (message/reader bytes at end)
            w (if-let [f (at-once command)]
                (f w r client)
                (begin w command r client))]
        (if (:error w)
          (failed w client (if (string? address) address (str "/" command)))
          w)))))

;; ---- one packet

(defn- perform-bundle [w client bytes from end]
  (assoc (reduce (fn [w [from end]] (perform-message w client bytes from end))
                 w
                 (message/elements bytes from end))
         :errors-off 0))

(def ^:private most-scheduled 2048)

(defn- seconds-between ^double [^long a ^long b] (/ (double (- b a)) 4294967296.0))

(defn- schedule
  "The world with a bundle for a time; one that is late runs at the end of this block."
  [{:keys [now scheduled next-event options] :as w} client bytes from end tag]
  (let [w (if (and (< (long tag) (long now)) (<= 0 (long (:verbosity options 0))))
            (world/say w (String/format java.util.Locale/ROOT "late %.9f" (object-array [(seconds-between tag now)])))
            w)]
    (if (>= (count scheduled) most-scheduled)
      w
      (assoc w
             :scheduled  (assoc scheduled [tag next-event] {:client client, :bytes bytes, :from from, :end end})
             :next-event (inc (long next-event))))))

(defn- perform-packet [w client bytes from end]
  (if (message/bundle? bytes from end)
    (let [tag (message/time-tag bytes from)]
      (if (<= 0 tag 1)
        (perform-bundle w client bytes from end)
        (schedule w client bytes from end tag)))
    (assoc (perform-message w client bytes from end) :errors-off 0)))

(defn- unrolled
  "The packets that a server makes of one: each bundle within a bundle is one of its own, by
  its own time; messages beside it are lost."
  [bytes from end]
  (if (message/bundle? bytes from end)
    (let [inner (filter (fn [[from end]] (message/bundle? bytes from end)) (message/elements bytes from end))]
      (if (seq inner)
        (mapcat (fn [[from end]] (unrolled bytes from end)) inner)
        [[from end]]))
    [[from end]]))

;; ---- the other thread

(defn- tell-all [{:keys [notifications] :as w}]
  (let [users (world/users w)]
    (assoc w
           :notifications []
           :out (into (:out w) (mapcat (fn [m] (map (fn [client] {:to client, :message m}) users))) notifications))))

(defn- ahead
  "The world in which the other thread has done its part of a command."
  [w {:keys [command] :as item} io]
  (let [{:keys [ahead] request :io} (asynchronous command)
        request    (when request (request w item))
        [w left]   (ahead w (cond-> item request (assoc :result (io request))))]
    (cond-> w left (update :finishing conj left))))

(defn- work
  "The world in which the other thread has done all that there was."
  [w io]
  (let [w (tell-all w)]
    (reduce (fn [w {:keys [kind to message completed] :as item}]
              (case kind
                :reply        (world/send-now w to message)
                :done         (cond-> (world/send-now w to message) (:quit? item) (assoc :quit? true))
                :asynchronous (ahead w item io)))
            (assoc w :fifo [])
            (:fifo w))))

;; ---- blocks

(defn- due-scheduled
  "The key of the scheduled bundle that is to run in this block, or nil."
  [{:keys [scheduled block] :as w}]
  (when-let [[tag :as k] (first (first scheduled))]
    (when (<= (long (world/block-of w tag)) (long block)) k)))

(defn- run-scheduled [w]
  (loop [w w]
    (if-let [k (due-scheduled w)]
      (let [{:keys [client bytes from end]} (get (:scheduled w) k)]
        (recur (perform-bundle (update w :scheduled dissoc k) client bytes from end)))
      w)))

(defn- run-block
  "The world at the end of its block: what was due has run, nodes have been calculated, the
  other thread has done its work."
  [{:keys [finishing] :as w} io]
  (cond-> (-> w run-scheduled end/run node/calculate-first end/plan (work io))
    (empty? finishing) (assoc :finishing-block (:block w))))

(defn- settle
  "The world in which what the other thread has prepared is in force, and what follows from
  it: completion messages, then `/done`."
  [{:keys [finishing] :as w} io]
  (-> (reduce (fn [w {:keys [command client completion] :as item}]
                (let [{:keys [finish done]} (asynchronous command)
                      w (finish w item)
                      w (if completion (perform-packet w client completion 0 (alength ^bytes completion)) w)]
                  (world/enqueue w {:kind :done, :to client, :message (done item), :quit? (= "quit" command)})))
              (assoc w :finishing [])
              finishing)
      (run-block io)))

(defn- next-block
  "The number of the block in which something is due by itself, or nil."
  [{:keys [scheduled ends finishing finishing-block finishing-delay] :as w}]
  (let [due (cond-> []
              (seq scheduled) (conj (world/block-of w (nth (key (first scheduled)) 0)))
              (seq ends)      (conj (nth (key (first ends)) 0))
              (seq finishing) (conj (+ 1 (long finishing-block) (long (or finishing-delay 0)))))]
    (when (seq due) (apply min due))))

(defn next-time
  "The NTP time at which something is due by itself; nil where nothing is, or never."
  [w]
  (when-let [block (next-block w)]
    (when (< (long block) Long/MAX_VALUE)
      (world/tag-of-block w block))))

(defn skip
  "The world without what is due next by itself, for one that fails at it."
  [w]
  (let [block (long (or (next-block w) -1))]
    (assoc w
           :finishing []
           :scheduled (into (sorted-map) (remove (fn [[[tag]]] (<= (long (world/block-of w tag)) block))) (:scheduled w))
           :ends      (into (sorted-map) (remove (fn [[[at]]] (<= (long at) block))) (:ends w)))))

(defn- turn
  "The world without what was sent and printed, and that: `[world out]`."
  [w]
  [(assoc w :out []) (:out w)])

(defn- advance-to [w tag io]
  (let [target (long (world/block-of w tag))]
    (loop [w w]
      (let [due (next-block w)]
        (if (and due (<= (long due) target) (not (:quit? w)))
          (let [w (assoc w :block (max (long due) (long (:block w))), :now (world/tag-of-block w (max (long due) (long (:block w)))))]
            (recur (if (seq (:finishing w))
                     (settle w io)
                     (run-block w io))))
          (assoc w :block (max target (long (:block w))), :now (max (long tag) (long (:now w)))))))))

(defn advance
  "The world at NTP time `tag`, with all that happened by itself until then: `[world out]`."
  [w tag io]
  (turn (advance-to w tag io)))

(defn settled
  "The world in which all asynchronous commands are done, without time going on, and what
  that sent and printed: `[world out]`."
  [w io]
  (turn (loop [w w]
          (if (and (seq (:finishing w)) (not (:quit? w)))
            (recur (settle w io))
            w))))

(defn boot
  "A world that is booted at NTP time `tag`."
  [opts tag]
  (assoc (world/world opts) :epoch tag, :now tag, :finishing-block 0))

(defn step
  "The world after a packet, and what it sent and printed: `[world out]`.

  `client`  who sent it
  `packet`  its bytes
  `tag`     when it arrived, NTP time
  `io`      what can be done with files; without it there are none

  Throws `:espalier.error/server-crashed` for what kills a real server."
  ([w client packet tag] (step w client packet tag no-files))
  ([w client ^bytes packet tag io]
   (let [w (login/dumped (advance-to w tag io) packet)]
     (turn (run-block (reduce (fn [w [from end]] (perform-packet w client packet from end))
                              w
                              (if (pos? (alength packet)) (unrolled packet 0 (alength packet)) []))
                      io)))))

(ns espalier.model.bundle
  "Requests to bundles: what can be one message becomes one, what follows an
  asynchronous command becomes its completion, what does not fit into a packet is
  split.

  An item is a request with what is to follow it alone: `{:request [\"/b_alloc\" 0 64 1],
  :completion [item …]}`; `:completion` is nil for most. `:raw` says that nobody has
  checked the request, which is then left as it is."
  (:require
   [espalier.model.command :as command]
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

;; ---- merging

(def ^:private most-bytes
  "A message does not grow beyond this by merging."
  8000)

(defn- mergeable? [{a :request, a-raw :raw} {b :request, b-raw :raw}]
  (and (= (nth a 0) (nth b 0))
       (not (or a-raw b-raw))
       (case (:merge (command/of a))
         :all  true
         :same (= (second a) (second b))
         false)
       (< (+ (command/bytes-of a) (command/bytes-of b)) (long most-bytes))))

(defn- joined [a b]
  (into a (subvec b (if (= :all (:merge (command/of a))) 1 2))))

(defn merged
  "The items with neighbours made one where the server lets them be one message
  that does the same: settings of one node, of control buses, of one buffer.

      (merged [{:request [\"/n_set\" 1 \"a\" 1]} {:request [\"/n_set\" 1 \"b\" 2]}])
      ;=> [{:request [\"/n_set\" 1 \"a\" 1 \"b\" 2]}]"
  [items]
  (reduce (fn [done {b :request :as item}]
            (let [{a :request :as before} (peek done)]
              (if (and a (mergeable? before item))
                (conj (pop done) {:request (joined a b)})
                (conj done item))))
          [] items))

;; ---- chaining

(defn asynchronous?
  "Whether the server does a request beside the sound."
  [{:keys [request]}]
  (boolean (:async? (command/of request))))

(def carrier
  "An asynchronous command that does nothing but take a completion: the file of no
  SynthDef. It stands behind a command that takes none."
  {:request ["/d_recv" (byte-array [0x53 0x43 0x67 0x66 0 0 0 2 0 0])]})

(defn waited-for?
  "Whether what is written behind an item waits until it is done."
  [{:keys [completion] :as item}]
  (and (nil? completion) (asynchronous? item)))

(defn levels
  "The items as a list of levels, each `{:now [item …], :async [item …]}`: what is done
  at once, and the asynchronous commands after it, for which the next level waits."
  [items]
  (loop [items items, done []]
    (if (empty? items)
      done
      (let [[now later] (split-with (complement waited-for?) items)
            [run after] (split-with waited-for? later)
            bare?       (and (seq after) (not (:completion? (command/of (:request (last run))))))]
        (recur after (conj done {:now (vec now), :async (cond-> (vec run) bare? (conj carrier))}))))))

(declare chain)

(defn- with-own-completion
  "The request of an item with its own completion, the levels of that, and the ids
  that are left."
  [{:keys [request completion]} sync-ids]
  (if (seq completion)
    (let [{:keys [packets levels ids]} (chain completion sync-ids)]
      {:request (command/with-completion request packets), :levels levels, :ids ids})
    {:request request, :levels [], :ids sync-ids}))

(defn- level
  "One level as packets, with the packets of the levels after it, `later`, as the
  completion of its last asynchronous command."
  [{:keys [now async]} later sync-ids]
  (let [step (fn [acc item]
               (let [{:keys [request levels ids]} (with-own-completion item (:ids acc))]
                 (-> acc (update :packets conj request) (update :levels into levels) (assoc :ids ids)
                     (cond-> (asynchronous? item) (update :asked conj (:request item))))))
        {:keys [packets levels ids asked]} (reduce step {:packets [], :levels [], :ids sync-ids, :asked []} (into now async))
        packets (if (seq (:packets later))
                  (conj (pop packets) (command/with-completion (peek packets) (:packets later)))
                  packets)]
    (if (seq asked)
      {:packets (cond-> packets (seq ids) (conj ["/sync" (first ids)]))
       :levels  (-> [{:sync (first ids), :requests asked}] (into levels) (into (:levels later)))
       :ids     (rest ids)}
      {:packets packets, :levels (into levels (:levels later)), :ids ids})))

(defn chain
  "One bundle of items: `:packets`, the requests with their completions nested, and
  `:levels`, each with the `:requests` that answer `/done` and the `:sync` that follows
  them: its answer means that they are done, or have failed.

  `sync-ids`  a sequence of numbers for `/sync`, one an asynchronous command at the
              most, or nil for none; those that are left are in `:ids`"
  [items sync-ids]
  (reduce (fn [later a-level] (level a-level later (:ids later)))
          {:packets [], :levels [], :ids sync-ids}
          (rseq (levels items))))

;; ---- a time to come

(defn- buffer-of [{:keys [request]}]
  (when (= "/b_" (subs (first request) 0 (min 3 (count (first request)))))
    (second request)))

(defn- copied-from
  "The buffer that a request reads beside its own."
  [{[address _ routine _ source] :request}]
  (when (and (= "/b_gen" address) (= "copy" routine)) source))

(defn- named-buffers [item]
  (remove nil? [(buffer-of item) (copied-from item)]))

(defn- goes-ahead?
  "Whether an item makes something that is not there yet, or fills such a buffer, and
  nothing that waits has to do with it."
  [{:keys [fresh held defs-held?]} {:keys [request] :as item}]
  (let [{:keys [ahead?]} (command/of request)
        buffers (named-buffers item)]
    (and (not-any? held buffers)
         (if ahead?
           (or (seq buffers) (not defs-held?))
           (and (seq buffers) (every? fresh buffers) (not= "/b_free" (first request)))))))

(defn ahead
  "Splits items for a time to come: `[ahead at-the-time]`. Ahead is what makes things
  that were not there, SynthDefs and buffers, and what fills these buffers, as long as
  nothing written before it waits for the time and has to do with the same; the rest,
  and the completions of what is ahead, waits."
  [items]
  (let [{:keys [before then]}
        (reduce (fn [acc {:keys [request completion] :as item}]
                  (if (goes-ahead? acc item)
                    (cond-> (-> acc
                                (update :before conj {:request request})
                                (update :then into completion)
                                (update :held into (mapcat named-buffers) completion))
                      (:ahead? (command/of request)) (update :fresh into (named-buffers item)))
                    (-> acc
                        (update :then conj item)
                        (update :held into (mapcat named-buffers) (cons item completion))
                        (update :defs-held? #(or % (= "/d_free" (first request)))))))
                {:before [], :then [], :fresh #{}, :held #{}, :defs-held? false}
                items)]
    [before then]))

;; ---- limits

(defn parts
  "Requests in as few lists as fit into packets of `limit` bytes, in their order.

  Throws `:espalier.error/packet-too-large` for one that fits into none."
  [requests limit]
  (loop [requests requests, part [], size 16, done []]
    (if-let [r (first requests)]
      (let [bytes (command/bytes-of r)]
        (cond
          (< (long limit) (+ 20 bytes))
          (throw (error/error :packet-too-large
                              (str "The request " (error/shown r) " has " bytes " bytes, and the server takes " limit " at once.")
                              {:limit-bytes limit, :bytes bytes, :command (first r)}))
          (<= (+ (long size) 4 bytes) (long limit)) (recur (next requests) (conj part r) (+ (long size) 4 bytes) done)
          :else (recur requests [] 16 (conj done part))))
      (cond-> done (seq part) (conj part)))))

(defn stages
  "Items that are too many for one packet, as lists of items to be sent one after
  the other; each list is of asynchronous commands, which must be done before the
  next, or takes effect together."
  [items]
  (into []
        (comp (mapcat (fn [{:keys [now async]}]
                        (conj (into [] (mapcat #(if (asynchronous? (first %)) (map vector %) [%]))
                                    (partition-by asynchronous? now))
                              async)))
              (filter seq))
        (levels items)))

(ns espalier.model.command
  "Requests: what a server is asked, checked against the table of its commands.

  A request is the message itself, a vector `[\"/n_set\" 1000 \"freq\" 440.0]`. What is
  known of it, from how it is written to the reply that answers it, is looked up
  by its address in `espalier.model.command-table`."
  (:require
   [espalier.model.command-table :as command-table]
   [espalier.model.command-type :as command-type]
   [espalier.model.error :as error])
  (:import
   (java.util ArrayList)))

(set! *warn-on-reflection* true)

(def default-limits
  "What there is where nobody says otherwise: scsynth with its defaults."
  {:engine :scsynth, :version "3.13", :buffer-count 1024, :control-bus-channel-count 16384, :audio-bus-channel-count 1024})

;; ---- the table, made ready

(defn- many? [type] (and (vector? type) (= :many (first type))))

;; An argument made ready: `slots` are its types, one but where it takes tuples.
(deftype ^:private Slot [read-it run? type])
(deftype ^:private Arg [arg-name many? ^objects slots options default least])

(defn- ready-arg [[arg-name type _ options]]
  (let [types (if (many? type) (rest type) [type])]
    (Arg. arg-name (many? type)
          (object-array (map #(Slot. (command-type/reader %) (command-type/run? %) %) types))
          options (get options :default ::none) (:min options 0))))

(def ^:private commands
  "By name, the entries with their arguments made ready; `:open?` says that nothing bars
  a command on any server."
  (into {}
        (map (fn [{:keys [command args engines since refused own] :as entry}]
               [command (assoc entry
                               :ready (object-array (map ready-arg args))
                               :arg-names (into [] (map first) args)
                               :open? (not (or engines since refused own)))]))
        command-table/table))

(def ^:private by-address
  (into {} (map (juxt :address identity)) (vals commands)))

(def command-names
  "The names of all commands."
  (set (keys commands)))

(def sets-controls
  "The addresses of the commands that set or map controls of nodes that are there."
  (into #{}
        (comp (filter (fn [{[[_ whose] [_ what]] :args}] (and (= :node whose) (many? what) (= :control (second what)))))
              (map :address))
        (vals commands)))

(defn of
  "The entry of a request, or nil where its command is not in the table.

      (:command (of [\"/sync\" 1]))  ;=> :sync"
  [request]
  (by-address (nth request 0 nil)))

(defn entry
  "The entry of a command by its name.

  Throws `:espalier.error/unknown-command` with the nearest name."
  [command]
  (or (commands command)
      (throw (error/error :unknown-command
                          (str "There is no command " (pr-str command) "." (error/hint command command-names)
                               " (sc/doc-command) lists them.")
                          {:command command}))))

;; ---- errors

(defn- invalid
  "The error of a value; `place` is the key of a map that has it, nil where there is none."
  ([command arg-name value expected] (invalid command arg-name value expected nil))
  ([command arg-name value expected place]
   (error/error :invalid-argument
                (str command " wants as " arg-name " " expected ", not " (error/shown value) (when (some? place) (str " for " (error/shown place)))
                     ". (sc/doc-command " command ") tells more.")
                (cond-> {:command command, :argument arg-name, :value value, :expected expected} (some? place) (assoc :place place)))))

(defn- check-names [command args arg-names]
  (doseq [k (keys args)]
    (when-not (some #(= k %) arg-names)
      (throw (error/error :unknown-argument
                          (str command " has no argument " (error/shown k) "." (error/hint k arg-names)
                               " (sc/doc-command " command ") lists them.")
                          {:command command, :argument k})))))

(defn- refused [command why data]
  (error/error :refused-command (str command " is not sent: " why ".") (assoc data :command command)))

;; ---- building

(defn- put-one!
  "Adds what the reader of a slot makes of a value; `place` as of `invalid`."
  [^ArrayList out ^Slot slot value command ^Arg arg limits place]
  (let [x ((.-read_it slot) value limits (.-options arg))]
    (when (nil? x)
      (throw (invalid command (.-arg_name arg) value (command-type/says (.-type slot) (.-options arg)) place)))
    (if (.-run_QMARK_ slot)
      (.addAll out ^java.util.Collection x)
      (.add out x))))

(defn- put-tuple! [out ^Arg arg tuple command limits]
  (let [^objects slots (.-slots arg)
        n              (alength slots)]
    (when-not (and (vector? tuple) (= n (count tuple)))
      (throw (invalid command (.-arg_name arg) tuple (str "for each " n " values in a vector"))))
    (dotimes [i n]
      (put-one! out (aget slots i) (nth tuple i) command arg limits (when (pos? i) (nth tuple 0))))))

(defn- put-many!
  "Adds all values of an argument; returns how many."
  [out ^Arg arg value command limits]
  (let [^objects slots (.-slots arg)
        n              (alength slots)
        key-slot       (aget slots 0)]
    (cond
      (nil? value) 0

      (= 1 n)
      (reduce (fn [sent x] (put-one! out key-slot x command arg limits nil) (inc (long sent)))
              0 (if (or (sequential? value) (set? value)) value [value]))

      (and (= 2 n) (map? value))
      (reduce-kv (fn [sent k x]
                   (put-one! out key-slot k command arg limits nil)
                   (put-one! out (aget slots 1) x command arg limits k)
                   (inc (long sent)))
                 0 value)

      (map? value)
      (reduce-kv (fn [sent k x] (put-tuple! out arg (into [k] (if (sequential? x) x [x])) command limits) (inc (long sent)))
                 0 value)

      (sequential? value)
      (reduce (fn [sent tuple] (put-tuple! out arg tuple command limits) (inc (long sent))) 0 value)

      :else (throw (invalid command (.-arg_name arg) value
                            (if (= 2 n) "a map or a sequence of pairs" (str "a sequence of vectors of " n)))))))

(defn- put!
  "Adds an argument; returns whether it was given."
  [out ^Arg arg args arg-names command limits]
  (let [given (get args (.-arg_name arg) ::none)
        there? (not (identical? ::none given))
        value (if there? given (.-default arg))
        none? (identical? ::none value)]
    (cond
      (.-many_QMARK_ arg)
      (when (< (long (put-many! out arg (when-not none? value) command limits)) (long (.-least arg)))
        (check-names command args arg-names)
        (throw (invalid command (.-arg_name arg) (when-not none? value) "one at least")))

      none?
      (do (check-names command args arg-names)
          (throw (invalid command (.-arg_name arg) nil
                          (str (command-type/says (.-type ^Slot (aget ^objects (.-slots arg) 0)) (.-options arg)) "; it is missing"))))

      :else (put-one! out (aget ^objects (.-slots arg) 0) value command arg limits nil))
    there?))

(defn- version-before? [version since]
  (and version
       (let [numbers (fn [s] (into [] (take 3) (concat (map parse-long (re-seq #"\d+" s)) (repeat 0))))]
         (neg? (compare (numbers version) (numbers since))))))

(defn- check-command [{:keys [command engines since own] not-for :refused} {:keys [engine version]}]
  (when own
    (throw (error/error :refused-command (str command " is not for sending: " own " does it, and keeps the handle right.")
                        {:command command, :instead own})))
  (when (and engines (not (contains? engines engine)))
    (throw (refused command (str (name engine) " does not know it") {:engine engine})))
  (when-let [why (get not-for engine)]
    (throw (refused command why {:engine engine})))
  (when (and since (version-before? version since))
    (throw (refused command (str "this server is version " version ", and it came with " since) {:version version}))))

(declare broken)

(defn request
  "A request, as a vector that is ready to be sent.

  `command`  its name, `:n-set` for example: see the table
  `args`     map from argument names to values; what has a default may be left out
  `limits`   what there is on the server: `default-limits`, and, where they are known, `:resolve` (entity to id),
             `:kind-of` (node id to :group or :synth), `:below?` (whether the first node lies below the second),
             `:samples-of` and `:channels-of` (buffer number to how many it has), `:parent-of` (node id to its group's),
             `:restricted-path` (the directory to which a server keeps)

  Throws `:espalier.error/unknown-command`, `:espalier.error/unknown-argument`,
  `:espalier.error/invalid-argument`, `:espalier.error/refused-command` for what is known
  to crash or to wedge a server, `:espalier.error/outside-restricted-path`, and whatever `:resolve` throws.

      (request :n-set {:id 1000 :controls {:freq 440.0}})
      ;=> [\"/n_set\" 1000 \"freq\" 440.0]"
  ([command args] (request command args default-limits))
  ([command args limits]
   (let [{:keys [address arg-names open? ^objects ready] :as entry} (entry command)
         args (if (and (map? args) (sorted? args)) (into {} args) args)
         out (ArrayList. 16)]
     (when-not open? (check-command entry limits))
     (when-not (map? args)
       (throw (invalid command :arguments args "a map from the names of arguments to their values")))
     (.add out address)
     (let [n     (alength ready)
           _     (when (< n (count args)) (check-names command args arg-names))
           found (loop [i 0, found 0]
                   (if (= i n)
                     found
                     (recur (inc i) (if (put! out (aget ready i) args arg-names command limits) (inc found) found))))]
       (when-not (= found (count args))
         (check-names command args arg-names)))
     (let [v (vec (.toArray out))]
       (when-let [why (broken command v limits)]
         (throw (refused command why {:request v})))
       v))))

;; ---- what would harm a server, though each argument is right

(defn- pairs-of [v from] (partition 2 (subvec v from)))

(defn- node-broken
  "Why a move of `node` beside or into `target` is wrong, or nil."
  [node target {:keys [below? parent-of engine]} into-group?]
  (cond
    (= 0 node)                         "the root stays where it is"
    (= node target)                    (str "node " node " would be put beside or into itself, and play no more")
    (and (= 0 target) (not into-group?)) "there is no place beside the root"
    (and below? (below? target node))  (str "group " node " would be put below itself, and its tree would hang in the air")
    (and parent-of (= :supernova engine) (not into-group?) (parent-of node) (parent-of target)
         (not= (parent-of node) (parent-of target)))
    (str "node " node " is in another group than node " target ", and supernova's tree does not survive such a move."
         " (sc/move! node …) goes by way of the group")))

(defn- moves-broken
  "Why moves of one request, pairs of a node and its target, are wrong together, or
  nil: one may make a circle of what the others were checked against."
  [moves]
  (let [nodes (map first moves)]
    (cond
      (and (next moves) (some (set nodes) (map second moves))) "one of these nodes is also the target of another; give each move a request of its own"
      (and (next nodes) (not (apply distinct? nodes)))         "a node would be moved twice")))

(defn- placed-broken
  "Why a new node cannot go there, or nil."
  [id action target {:keys [kind-of engine]}]
  (cond
    (= id target)                            (str "node " id " is its own target")
    (and (= 0 target) (< 1 (long action)))   "there is no place beside the root, and it cannot be replaced; :head and :tail go into it"
    (and kind-of (< (long action) 2) (= :synth (kind-of target)))
    (str "node " target " is a synth, which has no head or tail; :before, :after and :replace go with it")
    (and (= :supernova engine) (= 4 action))
    "supernova dies of the next question about a node that was replaced; (sc/add-synth! s …) puts the new one behind it and frees it"))

(defn- samples-broken
  "Why these places of a buffer are wrong, or nil. supernova writes wherever it is
  told, so there the size must be known."
  [buffer top {:keys [engine samples-of]}]
  (let [n (when samples-of (samples-of buffer))]
    (cond
      (< Integer/MAX_VALUE (long top)) "it ends beyond what 32 bits can count"
      (and n (< (long n) (long top))) (str "buffer " buffer " has " n " samples, which end before place " (dec (long top)))
      (and (nil? n) samples-of (= :supernova engine))
      (str "how many samples buffer " buffer " has is not known, and supernova writes beyond its end; (sc/query-buffer …) looks"))))

(defn- runs-broken
  "Looks at runs `start n values…`: the reason of the first that ends beyond what
  `broken-at` allows."
  [v from broken-at]
  (loop [i from]
    (when (< i (count v))
      (let [start (long (nth v i)), n (long (nth v (inc i)))
            values (if (instance? float/1 (nth v (+ i 2))) 1 n)]
        (or (broken-at (+ start n))
            (recur (+ i 2 (long values))))))))

(defn- buses-broken [top {:keys [control-bus-channel-count]}]
  (when (< (long control-bus-channel-count) (long top))
    (str "there are only " control-bus-channel-count " control buses")))

(defn- generator-broken
  "Why a /b_gen is wrong, or nil."
  [[_ buffer routine & arguments] {:keys [buffer-count] :as limits}]
  (let [[a b c d] arguments
        place?    (fn [x] (and (int? x) (<= 0 (long x))))
        buffer?   (fn [x] (and (place? x) (< (long x) (long buffer-count))))]
    (case routine
      "copy" (cond
               (not (and (place? a) (buffer? b) (place? c) (int? d) (<= -1 (long d))))
               "copy takes a place, a buffer's number, a place in that, and how many samples, -1 for all"
               (<= 0 (long d))
               (or (samples-broken buffer (+ (long a) (long d)) limits)
                   (samples-broken b (+ (long c) (long d)) limits))
               :else (or (samples-broken buffer (inc (long a)) limits) (samples-broken b (inc (long c)) limits)))
      "PreparePartConv" (when-not (and (buffer? a) (int? b) (<= 16 (long b) 1048576) (= 1 (Long/bitCount b)))
                          "PreparePartConv takes a buffer's number and the size of an FFT, a power of two from 16 up")
      nil)))

(defn- broken [command v {:keys [engine channels-of] :as limits}]
  (let [supernova? (= :supernova engine)]
    (case command
      (:s-new :s-new-args) (placed-broken (nth v 2) (nth v 3) (nth v 4) limits)
      (:g-new :p-new)      (some (fn [[id action target]] (placed-broken id action target limits)) (partition 3 (subvec v 1)))
      :n-free             (when (some #{0} (subvec v 1)) "the root cannot be freed; (sc/free-children! (sc/root-node s)) frees what is in it")
      :n-query            (when (and supernova? (= 0 (nth v 1))) "supernova dies of a question about the root")
      :n-run              (when (and supernova? (some #{0} (take-nth 2 (subvec v 1)))) "supernova dies of pausing the root")
      (:n-before :n-after) (let [moves (pairs-of v 1)]
                             (or (moves-broken moves)
                                 (some (fn [[node target]] (node-broken node target limits false)) moves)))
      (:g-head :g-tail)    (let [moves (map (fn [[group node]] [node group]) (pairs-of v 1))]
                             (or (moves-broken moves)
                                 (some (fn [[node group]] (node-broken node group limits true)) moves)))
      :n-order             (let [[_ action target & nodes] v]
                             (or (moves-broken (map (fn [node] [node target]) nodes))
                                 (some #(node-broken % target limits (< (long action) 2)) nodes)))
      (:n-mapn, :n-mapan) (let [most (if (= :n-mapn command) (:control-bus-channel-count limits) (:audio-bus-channel-count limits))]
                            (some (fn [[_ bus n]] (when (< (long most) (+ (long bus) (long n))) (str "there are only " most " such buses")))
                                  (partition 3 (subvec v 2))))
      :b-alloc            (when (< 536870911 (* (long (nth v 2)) (long (nth v 3)))) "a buffer of more than 2 GiB stops every answer for seconds, or the server for good")
      :b-read-channel     (let [channels (when channels-of (channels-of (nth v 1)))]
                            (when (and channels-of (not= channels (- (count v) 7)))
                              (str "buffer " (nth v 1) " has " (or channels "an unknown number of") " channels, and scsynth dies of reading another number of them"
                                   (when-not channels "; (sc/query-buffer …) looks"))))
      :b-set              (samples-broken (nth v 1) (inc (long (reduce max (take-nth 2 (subvec v 2))))) limits)
      :b-setn             (runs-broken v 2 #(samples-broken (nth v 1) % limits))
      :b-fill             (some (fn [[start n _]] (samples-broken (nth v 1) (+ (long start) (long n)) limits)) (partition 3 (subvec v 2)))
      :b-get              (samples-broken (nth v 1) (inc (long (reduce max (subvec v 2)))) limits)
      :b-getn             (or (when (< 13000 (long (nth v 3))) "no reply holds more than 13,000 samples; (sc/get-sample-range b …) asks in parts")
                              (samples-broken (nth v 1) (+ (long (nth v 2)) (long (nth v 3))) limits))
      :b-zero             (when supernova? (some->> (samples-broken (nth v 1) 64 limits) (str "supernova dies of zeroing fewer than 64 samples: ")))
      :b-gen              (or (generator-broken v limits)
                              (when supernova? (samples-broken (nth v 1) 1 limits)))
      :c-setn             (runs-broken v 1 #(buses-broken % limits))
      :c-fill             (some (fn [[start n _]] (buses-broken (+ (long start) (long n)) limits)) (partition 3 (subvec v 1)))
      :c-getn             (or (buses-broken (+ (long (nth v 1)) (long (nth v 2))) limits)
                              (when (< (if supernova? 200 13000) (long (nth v 2))) "no reply holds that many; (sc/get-buses …) asks in parts"))
      nil)))

;; ---- what is known of a request

(defn reply-to
  "How the reply begins that answers a request, a vector with nil for what may be
  anything; nil for a request that has none.

      (reply-to [\"/s_get\" 1000 \"freq\" \"amp\"])  ;=> [\"/n_set\" 1000 \"freq\" nil \"amp\" nil]"
  [request]
  (let [{:keys [reply args]} (of request)
        index (into {} (map-indexed (fn [i [arg-name]] [arg-name (inc (long i))])) args)]
    (when reply
      (into []
            (mapcat (fn [part]
                      (cond
                        (keyword? part) [(nth request (index part))]
                        (vector? part)  (mapcat #(cons % (rest part)) (subvec request (index (first part))))
                        :else           [part])))
            reply))))

(declare packets-bytes)

(defn with-completion
  "The request with what follows when it is done: a vector of requests, which the
  server carries out as one.

  Throws `:espalier.error/no-completion` for a command that takes none."
  [request requests]
  (if (seq requests)
    (if (:completion? (of request))
      (conj request (with-meta {:completion (vec requests)} {:bytes (packets-bytes requests)}))
      (throw (error/error :no-completion
                          (str (first request) " takes no completion: nothing can be made to follow it but by (sc/sync! s).")
                          {:request request})))
    request))

(defn- padded ^long [^long n] (bit-and (+ n 4) -4))

(defn- text-bytes ^long [^String s]
  (let [n (.length s)]
    (loop [i 0]
      (cond
        (= i n)                      (padded n)
        (< (int (.charAt s i)) 128) (recur (inc i))
        :else                        (padded (alength (.getBytes s java.nio.charset.StandardCharsets/UTF_8)))))))

(defn bytes-of
  "How many bytes a request has on the wire."
  ^long [request]
  (let [n (count request)]
    (loop [i 1, tags 1, size (text-bytes (first request))]
      (if (= i n)
        (+ size (padded tags))
        (let [x (nth request i)]
          (cond
            (number? x)     (recur (inc i) (inc tags) (+ size 4))
            (string? x)     (recur (inc i) (inc tags) (+ size (text-bytes x)))
            (sequential? x) (recur (inc i) (+ tags 2 (count x))
                                   (long (reduce (fn [size x] (+ (long size) (if (string? x) (text-bytes x) 4))) size x)))
            (instance? float/1 x) (recur (inc i) (+ tags (alength ^floats x)) (+ size (* 4 (alength ^floats x))))
            (bytes? x)      (recur (inc i) (inc tags) (+ size 4 (bit-and (+ 3 (alength ^bytes x)) -4)))
            (map? x)        (recur (inc i) (inc tags) (+ size 4 (long (or (:bytes (meta x)) (packets-bytes (:completion x))))))
            :else           (recur (inc i) (inc tags) (+ size 4))))))))

(defn packets-bytes
  "How many bytes a bundle of these requests has on the wire; a single one goes
  without a bundle around it."
  ^long [requests]
  (if (= 1 (count requests))
    (bytes-of (first requests))
    (long (reduce (fn [size r] (+ (long size) 4 (bytes-of r))) 16 requests))))

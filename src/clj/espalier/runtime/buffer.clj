(ns espalier.runtime.buffer
  "Buffers. Each function that `espalier.core` has under the same name is documented
  there."
  (:require
   [espalier.model.command :as command]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.entities :as entities :refer [live-entity]]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.ledger :as ledger]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.session :as session])
  (:import
   (java.util Arrays)))

(set! *warn-on-reflection* true)

(def ^:private buffer #{:buffer})
(def ^:private buffers #{:buffer :buffer-group})

(def ^:private piece-samples
  "So many samples go in one message; supernova takes no larger packets."
  4096)

(defn- invalid [argument value expected]
  (error/error :invalid-argument (str argument " is " expected ", not " (error/shown value) ".") {:argument argument, :value value}))

(defn- send!
  "Sends a command about a buffer; returns the buffer."
  [b session command args opts]
  (moment/request! (:server b) (command/request command args (:limits session)) opts)
  b)

(defn- ask [b session command args timeout-ms]
  (moment/question! (:server b) (command/request command args (:limits session)) timeout-ms))

(defn- facts
  "What is known of a buffer."
  [session b]
  (get (:buffers (mirror/known (:mirror session))) (:id b)))

(defn query-buffer
  "See `espalier.core/query-buffer`."
  [b opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        [_ _ frames channels rate] (ask b (live-entity b buffer) :b-query {:buffers [b]} timeout-ms)]
    {:frame-count (long frames), :channel-count (long channels), :sample-rate-hz (double rate)}))

;; ---- making

(defn- expect-size! [session b frames channels]
  (when (and (int? frames) (int? channels))
    (doseq [{:keys [id]} (entity/members b)]
      (mirror/tell! (:mirror session) [:buffer id {:frame-count frames, :channel-count channels, :status (if (moment/inside? (:server b)) :expected :allocated)}]))))

(def ^:private most-samples
  "A sequence of numbers that is longer is taken for an endless one."
  20000000)

(defn- samples-count ^long [samples]
  (cond
    (instance? float/1 samples) (alength ^floats samples)
    (sequential? samples) (let [n (bounded-count (inc (long most-samples)) samples)]
                            (when (< (long most-samples) (long n))
                              (throw (invalid :samples (take 3 samples) (str "at most " most-samples " numbers in a sequence; a float array may have more"))))
                            n)
    (and (some? samples) (.isArray (class samples))) (java.lang.reflect.Array/getLength samples)
    :else (throw (invalid :samples samples "a float array or a sequence of numbers"))))

(defn- as-floats
  "A float array of the samples.

  Throws `:espalier.error/invalid-argument` for what is no number that 32 bits hold."
  ^floats [samples]
  (let [n   (samples-count samples)
        out (float-array n)]
    (if (instance? float/1 samples)
      (System/arraycopy samples 0 out 0 n)
      (loop [i 0, xs (seq samples)]
        (when xs
          (let [x (first xs)]
            (when-not (and (number? x) (or (<= (abs (double x)) Float/MAX_VALUE) (Double/isInfinite (double x))))
              (throw (invalid :samples x "made of numbers that 32 bits can hold, none of them NaN")))
            (aset out i (unchecked-float (double x)))
            (recur (inc i) (next xs))))))
    (dotimes [i n]
      (when (Float/isNaN (aget out i))
        (throw (invalid :samples (aget out i) "made of numbers, none of them NaN"))))
    out))

(declare set-pieces!)

(defn- fill-with [{:keys [path samples frame-count channel-count start-frame channels] :as opts}]
  (let [given (filter #(contains? opts %) [:path :samples])]
    (cond
      (and samples frame-count) (throw (error/error :invalid-option ":samples say how many frames there are: leave out :frame-count." {:option :frame-count, :value frame-count}))
      (and path channel-count)  (throw (error/error :invalid-option "A file has its own number of channels: leave out :channel-count; :channels says which of them." {:option :channel-count, :value channel-count}))
      (next given) (throw (error/error :invalid-option ":path and :samples are two ways to fill a buffer: give one." {:options given}))
      path    (if channels
                {:command :b-alloc-read-channel, :args {:path path, :start-frame (or start-frame 0), :frame-count (or frame-count 0), :channels channels}}
                {:command :b-alloc-read, :args {:path path, :start-frame (or start-frame 0), :frame-count (or frame-count 0)}})
      samples (let [floats   (as-floats samples)
                    channels (or channel-count 1)]
                (when-not (and (int? channels) (pos? (long channels)) (pos? (alength floats)) (zero? (rem (alength floats) (long channels))))
                  (throw (invalid :samples (str (alength floats) " samples for " channels " channels") "as many for each channel, one at least")))
                {:command :b-alloc, :args {:frame-count (quot (alength floats) (long channels)), :channel-count channels}, :floats floats})
      :else   (do (when (or start-frame channels)
                    (throw (error/error :invalid-option ":start-frame and :channels go with :path." {:options opts})))
                  {:command :b-alloc, :args {:frame-count frame-count, :channel-count (or channel-count 1)}}))))

(defn- make!
  "Allocates the buffers of an entity and fills them; gives the ids back where it
  fails."
  [s b {:keys [command args floats refill]} opts]
  (let [session  (handle/live s)
        inside?  (moment/inside? s)
        send-all (fn [requests]
                   (if (or inside? (nil? (next requests)))
                     (run! #(moment/request! s % opts) requests)
                     (moment/call-at s opts (fn [] (run! #(moment/request! s % {}) requests)))))]
    (try
      (send-all (mapv #(command/request command (assoc args :buffer (:id %)) (:limits session)) (entity/members b)))
      (if (= :b-alloc command)
        (expect-size! session b (:frame-count args) (:channel-count args))
        ;; Of a file only the server knows the size.
        (when-not inside? (query-buffer b opts)))
      (when floats (set-pieces! session b 0 floats opts))
      (when refill (ledger/refill-with! (:ledger session) (:id b) refill))
      b
      (catch Throwable e
        (if (entities/never-sent? e)
          (entities/give-back! b session)
          (entities/give-up-buffer! b session))
        (throw e)))))

(defn reserve-buffer
  "A buffer that is not made yet: its `:entity`, and `:make!`, which makes it. `opts` as for
  `add-buffer!`, and checked."
  [s opts]
  (options/check-call opts #{:frame-count :channel-count :path :start-frame :channels :samples :restore-with :timeout-ms})
  (let [refill (:restore-with opts)
        _    (when-not (or (nil? refill) (ifn? refill)) (throw (invalid :restore-with refill "a function of the buffer, which fills it")))
        what (cond-> (fill-with (dissoc opts :restore-with)) refill (assoc :refill refill))
        b    (entities/add-block s :buffer nil nil)]
    {:entity b, :make! #(make! s b what (select-keys opts [:timeout-ms]))}))

(defn add-buffer!
  "See `espalier.core/add-buffer!`."
  [s opts]
  ((:make! (reserve-buffer s opts))))

(defn add-buffer-group!
  "See `espalier.core/add-buffer-group!`."
  [s opts]
  (options/check-call opts #{:count :frame-count :channel-count :timeout-ms})
  (let [{n :count, :keys [frame-count channel-count]} opts]
    (when-not (int? n) (throw (invalid :count n "how many buffers")))
    (make! s (entities/add-block s :buffer n nil)
           {:command :b-alloc, :args {:frame-count frame-count, :channel-count (or channel-count 1)}}
           (select-keys opts [:timeout-ms]))))

(defn free!
  "Frees a buffer, or a group of them."
  [b opts]
  (let [session  (live-entity b buffers)
        s        (:server b)
        requests (mapv #(command/request :b-free {:buffer (:id %)} (:limits session)) (entity/members b))]
    (when (:part b)
      (throw (entities/part-of-group b)))
    (options/check-call opts #{:timeout-ms})
    (entities/freed! b session)
    (try
      (if (next requests)
        (moment/call-at s (moment/inner-options s opts) (fn [] (run! #(moment/request! s % {}) requests)))
        (moment/request! s (first requests) opts))
      (catch Throwable e
        (if (error/server-gone? e)
          ;; It is gone with the server, and shall not come back with it.
          (run! #(ledger/forget-buffer! (:ledger session) (:id %)) (entity/members b))
          ;; Whether it is freed nobody knows: it can be freed once more.
          (entities/not-freed! b session))
        (throw e)))
    b))

;; ---- files

(defn- read-channels-by-copy!
  "Reads channels of a file by way of another buffer: supernova knows no other."
  [b path {:keys [start-frame frame-count buffer-frame channels leave-open timeout-ms]}]
  (let [session (live-entity b buffer)
        opts    (cond-> {} timeout-ms (assoc :timeout-ms timeout-ms))
        {total :frame-count, own :channel-count} (let [known (facts session b)]
                                                   (if (:channel-count known) known (query-buffer b opts)))
        at      (or buffer-frame 0)]
    (when leave-open
      (throw (error/error :refused-command "supernova leaves no file open of which only some channels are read." {:path path})))
    (when-not (= own (count channels))
      (throw (error/error :refused-command (str b " has " own " channels, not " (count channels) ".") {:entity b, :channels channels})))
    (let [tmp (add-buffer! (:server b) (merge opts {:path path, :channels channels, :start-frame (or start-frame 0)
                                                    :frame-count (if (and frame-count (pos? (long frame-count))) frame-count 0)}))]
      (try
        (let [n (min (long (:frame-count (query-buffer tmp opts))) (- (long total) (long at)))]
          (when (pos? n)
            (send! b session :b-gen {:buffer b, :routine :copy, :arguments [(* (long at) (long own)) (:id tmp) 0 (* n (long own))]} opts)))
        (finally (free! tmp opts))))
    b))

(defn read-buffer!
  "See `espalier.core/read-buffer!`."
  [b path opts]
  (options/check-call opts #{:start-frame :frame-count :buffer-frame :channels :leave-open :timeout-ms})
  (let [{:keys [engine] :as session} (live-entity b buffer)
        args    (into {:buffer b, :path path} (select-keys opts [:start-frame :frame-count :buffer-frame :channels :leave-open]))]
    (cond
      (not (:channels opts)) (send! b session :b-read args (select-keys opts [:timeout-ms]))
      (= :supernova engine)  (read-channels-by-copy! b path opts)
      :else                  (send! b session :b-read-channel args (select-keys opts [:timeout-ms])))))

(defn write-buffer!
  "See `espalier.core/write-buffer!`."
  [b path opts]
  (options/check-call opts #{:header-format :sample-format :frame-count :start-frame :leave-open :timeout-ms})
  (send! b (live-entity b buffer) :b-write (into {:buffer b, :path path} (dissoc opts :timeout-ms)) (select-keys opts [:timeout-ms])))

(defn close-buffer!
  "See `espalier.core/close-buffer!`."
  [b opts]
  (send! b (live-entity b buffer) :b-close {:buffer b} (options/check-call opts #{:timeout-ms})))

(defn zero-buffer!
  "See `espalier.core/zero-buffer!`."
  [b opts]
  (options/check-call opts #{:timeout-ms})
  (let [{:keys [engine] :as session} (live-entity b buffer)
        {:keys [frame-count channel-count]} (facts session b)
        samples (when (and frame-count channel-count) (* (long frame-count) (long channel-count)))]
    (if (and (= :supernova engine) samples (< samples 64))
      (send! b session :b-fill {:buffer b, :fills [[0 samples 0]]} opts)
      (send! b session :b-zero {:buffer b} opts))))

;; ---- samples

(defn- check-place
  "Throws where a buffer does not have `n` samples from `start` on, as far as is known."
  [session b start n]
  (when-not (nat-int? start) (throw (invalid :start start "a place, from 0 up")))
  (when-not (pos-int? n) (throw (invalid :n n "how many samples, 1 or more")))
  (let [{:keys [frame-count channel-count]} (facts session b)
        has (when (and frame-count channel-count) (* (long frame-count) (long channel-count)))
        end (+ (long start) (long n))]
    (when (< (long (or has Integer/MAX_VALUE)) end)
      (throw (error/error :refused-command (str b " has " (or has "at the most 2^31") " samples, which end before place " (dec end) ".")
                          {:entity b, :start start, :count n})))))

(defn set-samples!
  "See `espalier.core/set-samples!`."
  [b samples opts]
  (send! b (live-entity b buffer) :b-set {:buffer b, :samples samples} (options/check-call opts #{:confirm :timeout-ms})))

(defn fill-samples!
  "See `espalier.core/fill-samples!`."
  [b start n value opts]
  (send! b (live-entity b buffer) :b-fill {:buffer b, :fills [[start n value]]} (options/check-call opts #{:confirm :timeout-ms})))

(defn get-samples
  "See `espalier.core/get-samples`."
  [b places opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        places (if (or (sequential? places) (set? places)) (vec places) [places])
        reply (ask b (live-entity b buffer) :b-get {:buffer b, :samples places} timeout-ms)]
    (zipmap places (map message/number (take-nth 2 (drop 3 reply))))))

(def ^:private pieces-in-flight
  "So many pieces may be on their way: a server's UDP socket holds some ten of them."
  6)

(defn set-pieces!
  "Sets successive samples from place `start` on, piece by piece, each with a fence of its
  own: a piece that is lost on the way is not answered."
  [session b start ^floats floats {:keys [timeout-ms]}]
  (let [requests (for [from (range 0 (alength floats) piece-samples)]
                   (command/request :b-setn {:buffer b, :ranges [[(+ (long start) (long from))
                                                                  (Arrays/copyOfRange floats (int from) (int (min (alength floats) (+ (long from) (long piece-samples)))))]]}
                                    (:limits session)))]
    (if (or (moment/inside? (:server b)) (nil? (next requests)))
      (run! #(moment/request! (:server b) % {}) requests)
      (doseq [some-requests (partition-all pieces-in-flight requests)
              :let [fences  (mapv (fn [_] (session/fence! session false)) some-requests)
                    missing (atom (set (map first fences)))]]
        (session/watch! session (mapv (fn [request [_ fence]] {:packets [request fence]}) some-requests fences)
                        (zipmap @missing (repeat nil)) (constantly false) (fn [k _] (empty? (swap! missing disj k)))
                        (or timeout-ms (:timeout-ms session)))))))

(defn set-sample-range!
  "See `espalier.core/set-sample-range!`."
  [b start samples opts]
  (options/check-call opts #{:timeout-ms})
  (let [session (live-entity b buffer)
        floats  (as-floats samples)]
    (when (pos? (alength floats))
      (check-place session b start (alength floats))
      (set-pieces! session b start floats opts))
    b))

(defn get-sample-range
  "See `espalier.core/get-sample-range`."
  ^floats [b start n opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        {:keys [dispatcher] :as session} (live-entity b buffer)
        timeout-ms (or timeout-ms (:timeout-ms session))
        _       (moment/refuse-inside! "get-sample-range")
        _       (check-place session b start n)
        out     (float-array n)
        pieces  (for [from (range 0 (long n) piece-samples)]
                  [from (command/request :b-getn {:buffer b, :sample (+ (long start) (long from)), :count (min (long piece-samples) (- (long n) (long from)))}
                                         (:limits session))])]
    (doseq [some-pieces (partition-all 16 pieces)
            :let [asked (mapv (fn [[from request]] [from request (session/ask-later! session request)]) some-pieces)]]
      (try
        (doseq [[from request waiter] asked]
          (let [^floats floats (or (dispatch/await-floats! dispatcher waiter 3 timeout-ms)
                                   (float-array (drop 4 (session/question! session request timeout-ms))))]
            (System/arraycopy floats 0 out (int from) (alength floats))))
        (finally (run! (fn [[_ _ waiter]] (dispatch/give-up! dispatcher waiter)) asked))))
    out))

;; ---- generated

(defn- flags [{:keys [normalize wavetable clear] :or {normalize true, wavetable true, clear true}}]
  (+ (if normalize 1 0) (if wavetable 2 0) (if clear 4 0)))

(defn generate!
  "See `espalier.core/generate!`."
  [b routine opts]
  (options/check-call opts #{:amplitudes :frequencies :phases :normalize :wavetable :clear :timeout-ms})
  (let [{:keys [amplitudes frequencies phases]} opts
        session (live-entity b buffer)
        rows    (case routine
                  :sine1 [amplitudes]
                  :sine2 [frequencies amplitudes]
                  :sine3 [frequencies amplitudes phases]
                  :cheby [amplitudes]
                  (throw (error/error :invalid-argument
                                      (str "A buffer is generated by :sine1, :sine2, :sine3 or :cheby, not " (pr-str routine) "."
                                           (error/hint routine [:sine1 :sine2 :sine3 :cheby]))
                                      {:argument :routine, :value routine})))]
    (when-not (and (every? sequential? rows) (seq (first rows)) (apply = (map count rows))
                   (= (count rows) (count (keep identity [amplitudes frequencies phases]))))
      (throw (invalid routine opts (str "made from " (case routine (:sine1 :cheby) ":amplitudes" :sine2 ":frequencies and as many :amplitudes"
                                                           ":frequencies and as many :amplitudes and :phases")))))
    (send! b session :b-gen {:buffer b, :routine routine, :arguments (into [(flags opts)] (apply mapcat vector rows))}
           (select-keys opts [:timeout-ms]))))

(defn copy-buffer!
  "See `espalier.core/copy-buffer!`."
  [from to opts]
  (options/check-call opts #{:from-sample :to-sample :sample-count :timeout-ms})
  (let [{:keys [from-sample to-sample sample-count] :or {from-sample 0, to-sample 0, sample-count -1}} opts
        session (live-entity to buffer)]
    (live-entity from buffer)
    (doseq [[k x] {:from-sample from-sample, :to-sample to-sample}]
      (when-not (nat-int? x) (throw (invalid k x "a place, from 0 up"))))
    (send! to session :b-gen {:buffer to, :routine :copy
                              :arguments [to-sample (entities/resolve-in (:server to) session from) from-sample sample-count]}
           (select-keys opts [:timeout-ms]))))

(defn normalize-buffer!
  "See `espalier.core/normalize-buffer!`."
  [b opts]
  (options/check-call opts #{:peak :wavetable :timeout-ms})
  (send! b (live-entity b buffer) :b-gen {:buffer b, :routine (if (:wavetable opts) :wnormalize :normalize), :arguments [(:peak opts 1.0)]}
         (select-keys opts [:timeout-ms])))

(ns espalier.runtime.moment
  "Requests on their way: given to `espalier.runtime.delivery` at once, or gathered in a
  moment first.

  A moment belongs to the thread that opened it. Bindings travel to futures and go
  blocks, so a request from another thread is told, and never slips in."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.error :as error]
   [espalier.runtime.clock :as clock]
   [espalier.runtime.declared :as declared]
   [espalier.runtime.delivery :as delivery]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.pending :as pending]
   [espalier.runtime.session :as session])
  (:import
   (java.time Duration)
   (java.util ArrayList)
   (java.util.concurrent CompletableFuture TimeUnit)))

(set! *warn-on-reflection* true)

;; `items` are the requests so far, `undo` what gives back what was taken for them, `afterwards` what is done when they
;; have been carried out, `later` the moments within this one that are sent after it.
(deftype ^:private Moment
  [^Thread thread server options ^ArrayList items ^ArrayList undo ^ArrayList afterwards ^ArrayList later outer])

(def ^:private ^:dynamic *moment* nil)

;; ---- the moment that is open

(defn- elsewhere []
  (error/error :moment-elsewhere
               (str "This call is written in a moment, (sc/at …), but runs on another thread, where the moment cannot have it."
                    " A future or go block opens a moment of its own: (sc/at s nil …).")
               {:thread (.getName (Thread/currentThread))}))

(defn- of-other-server [s ^Moment m]
  (error/error :moment-of-other-server
               (str "A moment of " (.-server m) " is open, and this call is for " s ". (sc/at that-server nil …) within it sends it along.")
               {:server s}))

(defn- open-moment
  "The moment to which a call for `s` belongs, or nil."
  ^Moment [s]
  (when-some [^Moment inner *moment*]
    (when-not (identical? (Thread/currentThread) (.-thread inner))
      (throw (elsewhere)))
    (loop [^Moment m inner]
      (cond
        (nil? m)                      (throw (of-other-server s inner))
        (identical? s (.-server m)) m
        :else                         (recur (.-outer m))))))

(defn inside?
  "Whether a call for `s` would be gathered in a moment."
  [s]
  (some? (open-moment s)))

(defn refuse-inside!
  "Throws `:espalier.error/question-in-moment` within a moment: `what` cannot be answered
  there."
  [what]
  ;; A future that was started within a moment may ask: it is no part of it.
  (when (and (some? *moment*) (identical? (Thread/currentThread) (.-thread ^Moment *moment*)))
    (throw (error/error :question-in-moment
                        (str what " cannot be answered within a moment, for nothing of it is sent yet. Ask before (sc/at …), or after it.")
                        {:call what}))))

(defn undo!
  "Has `f` called if the moment that is open for `s` is not sent; without one, does
  nothing."
  [s f]
  (when-some [m (open-moment s)]
    (.add ^ArrayList (.-undo m) f)))

(defn afterwards!
  "Has `f` called when the moment that is open for `s` has been sent and its time has
  come; without one, at once."
  [s f]
  (if-some [m (open-moment s)]
    (do (.add ^ArrayList (.-afterwards m) f) nil)
    (f)))

;; ---- limits

(defn limits
  "What `espalier.model.command/request` wants to know of the server of `s`."
  [s]
  (:limits (handle/live s)))

(defn- note-places!
  "Notes where nodes will be by a request that makes or moves them, for on supernova
  that must be known before it is told."
  [{:keys [mirror]} [address & args]]
  (when (contains? #{"/s_new" "/g_new" "/p_new" "/g_head" "/g_tail"} address)
    (let [place! (fn [id action target]
                   (when-let [group (if (< (long action) 2) target (mirror/parent mirror target))]
                     (mirror/headed! mirror id group)))]
      (case address
        "/s_new"                (place! (second args) (nth args 2) (nth args 3))
        ("/g_new" "/p_new")     (run! (fn [[id action target]] (place! id action target)) (partition 3 args))
        ("/g_head" "/g_tail")   (run! (fn [[group id]] (place! id 0 group)) (partition 2 args))
        nil))))

(defn- touched!
  "Notes what a message changes of which this client keeps account, or all in a bundle."
  [session x]
  (cond
    (map? x) (run! #(touched! session %) (let [packets (:packets x)] (when (sequential? packets) packets)))
    (and (sequential? x) (string? (first x)))
    (do (declared/touched! session x)
        (when (= "/clearSched" (first x)) (pending/clear! session)))))

(defn request!
  "Sends a request, or leaves it to the moment that is open. What the server does
  beside the sound is waited for, other things only with `:confirm`.

  `options`  `:confirm`, `:timeout-ms`

  Throws `:espalier.error/server-offline`, and the named errors of what the server
  refuses."
  [s request options]
  (let [m       (open-moment s)
        session (handle/live s)]
    (when-not (:tells-failures? session) (note-places! session request))
    (touched! session request)
    (cond
      m (do (.add ^ArrayList (.-items ^Moment m) {:request request}) nil)
      (or (:confirm options) (:async? (command/of request)) (delivery/careful? session request)) (delivery/send-ready! session (delivery/checked session [{:request request}] options) options)
      :else (link/send! (:link session) request))))

(defn- by-clock
  "A bundle with its time as the Instant that this is on the server's clock."
  [{:keys [clock]} {:keys [at] :as bundle}]
  (cond-> bundle at (assoc :at (clock/instant at clock))))

(defn- send-bundle!
  "Sends a bundle as it is; each bundle in it has a place of its own on the server."
  [{:keys [link clock] :as session} bundle]
  (let [bundle (by-clock session bundle)]
    (doseq [part (tree-seq map? :packets bundle)
            :when (and (map? part) (:at part))]
      (delivery/schedule! session (clock/instant (:at part) clock) 1))
    (link/send! link bundle)))

(defn send-raw!
  "Sends a message or bundle as it is, or leaves a message to the moment that is open.

  Throws `:espalier.error/invalid-message` for a bundle within a moment."
  [s x]
  (touched! (handle/live s) x)
  (if-some [m (open-moment s)]
    (if (and (sequential? x) (string? (first x)))
      (do (.add ^ArrayList (.-items m) {:request (link/normal x), :raw true}) nil)
      (throw (error/error :invalid-message (str "Within a moment only messages are sent, vectors such as [\"/sync\" 1], not " (pr-str x) ".")
                          {:message x})))
    (let [session (handle/live s)]
      (if (and (map? x) (sequential? (:packets x)))
        (send-bundle! session x)
        (link/send! (:link session) x)))))

(defn question!
  "Asks a request and returns the reply, a vector.

  Throws `:espalier.error/question-in-moment`, and what `session/request!` throws."
  [s request timeout-ms]
  (refuse-inside! (first request))
  (let [session (handle/live s)]
    (session/question! session request (or timeout-ms (:timeout-ms session)))))

;; ---- moments

(defn- realised
  "x, with lazy sequences in it realised: the calls in them belong to the moment."
  [x]
  (cond
    (record? x)                     x
    (or (seq? x) (vector? x) (set? x)) (do (run! realised x) x)
    (map? x)                        (do (run! realised (vals x)) x)
    :else                           x))

(defn- roll-back!
  "Undoes what was done since `mark`, the newest first."
  [^ArrayList undo mark]
  (while (< (long mark) (.size undo))
    ((.remove undo (int (dec (.size undo)))))))

(defn- gather!
  "Calls `f` with `m` open; when it throws, takes back what it has added."
  [^Moment m f]
  (let [^ArrayList items (.-items m), ^ArrayList undo (.-undo m), ^ArrayList later (.-later m), ^ArrayList afterwards (.-afterwards m)
        n-items (.size items), n-undo (.size undo), n-later (.size later), n-afterwards (.size afterwards)]
    (try
      (binding [*moment* m] (realised (.call ^Callable f)))
      (catch Throwable e
        (.clear (.subList items n-items (.size items)))
        (.clear (.subList later n-later (.size later)))
        (.clear (.subList afterwards n-afterwards (.size afterwards)))
        (roll-back! undo n-undo)
        (throw e)))))

(def ^:private moment-keys [:when :late :confirm :timeout-ms])

(defn- moment-options [x clock]
  (when (and (map? x) (:kind x))
    (throw (error/error :invalid-time (str "The time of the moment is missing: (sc/at s nil …) is now; " (pr-str x) " is none.") {:when x})))
  (let [options (if (map? x) x {:when x})]
    (doseq [k (keys options)]
      (when-not (some #{k} moment-keys)
        (throw (error/error :unknown-option
                            (str "A moment takes no option " (pr-str k) "." (error/hint k moment-keys) " It takes " (str/join ", " moment-keys) ".")
                            {:option k}))))
    (delivery/check-late (:late options))
    (assoc (dissoc options :when) :at (clock/instant (:when options) clock))))

(defn inner-options
  "The options for a moment that stands for one call: within a moment it is part of
  that, whatever the call asks for itself."
  [s options]
  (when-not (inside? s) options))

(defn- checked-moment
  "What of a moment is to be sent, or nil; throws what can be known to be wrong with it
  before."
  [^Moment m]
  (when (pos? (.size ^ArrayList (.-items m)))
    (delivery/checked (handle/live (.-server m)) (vec (.-items m)) (.-options m))))

(defn- give-back-refused!
  "Gives back the buffers that were taken for requests which the server has refused. Without an answer
  nobody knows whether they are there, and nobody has them: they are freed."
  [undo e]
  (let [refused (into #{}
                      (keep (fn [failure]
                              (let [request (:request (ex-data failure))
                                    [address id] (when (vector? request) request)]
                                (when (contains? #{"/b_alloc" "/b_allocRead" "/b_allocReadChannel"} address) id))))
                      (or (:failures (ex-data e)) [e]))]
    (doseq [f undo
            :let [{{:keys [kind id]} :entity, :keys [give-up!]} (meta f)]
            :when (contains? #{:buffer :buffer-group} kind)]
      (cond
        (= :espalier.error/no-answer (error/code e))          (give-up!)
        (and (= :buffer kind) (contains? refused id)) (f)))))

(defn- send-moment! [^Moment m ready]
  (when ready
    (delivery/send-ready! (handle/live (.-server m)) ready (.-options m)))
  (let [fs (vec (.-afterwards m))
        at (:at (.-options m))]
    (when (seq fs)
      (if at
        (.execute (CompletableFuture/delayedExecutor (delivery/milliseconds-until (handle/live (.-server m)) at) TimeUnit/MILLISECONDS) #(run! (fn [f] (f)) fs))
        (run! (fn [f] (f)) fs)))))

(defn call-at
  "See `espalier.core/call-at`."
  [s when-or-options f]
  (when-not (instance? Callable f)
    (error/check-function "What is one moment is a function without arguments, or a Callable" f))
  (let [{:keys [clock]} (handle/live s)
        {:keys [at] :as options} (moment-options when-or-options clock)
        outer (when-some [^Moment inner *moment*]
                (when (identical? (Thread/currentThread) (.-thread inner)) inner))
        same  (when outer
                (loop [^Moment m outer]
                  (when m (if (identical? s (.-server m)) m (recur (.-outer m))))))]
    (if (and same (nil? at) (nil? (:confirm options)))
      (gather! same f)
      (let [^ArrayList later (if outer (.-later ^Moment outer) (ArrayList.))
            ^ArrayList undo  (if outer (.-undo ^Moment outer) (ArrayList.))
            m (Moment. (Thread/currentThread) s options (ArrayList.) undo (ArrayList.) later outer)]
        (if outer
          (do (.add later m)
              (try (gather! m f)
                   (catch Throwable e
                     (.remove later m)
                     (throw e))))
          (let [result (gather! m f)
                all    (vec (cons m later))
                ready  (try (mapv checked-moment all)
                            (catch Throwable e
                              (roll-back! undo 0)
                              (throw e)))]
            (try
              (dorun (map send-moment! all ready))
              (catch Throwable e
                (give-back-refused! undo e)
                (throw e)))
            result))))))

(defn call-with-completion
  "See `espalier.core/call-with-completion`."
  [s make then]
  (error/check-function "What makes something is a function without arguments" make)
  (error/check-function "What is to follow is a function of what was made" then)
  (if-some [^Moment m (open-moment s)]
    (let [^ArrayList items (.-items m)
          before (.size items)
          made   (make)
          {:keys [request completion] :as item} (when (< before (.size items)) (.remove items (int (dec (.size items)))))]
      (when (or completion (not (:completion? (command/of request))))
        (when item (.add items item))
        (throw (error/error :no-completion
                            (str "What is written first here must end in an asynchronous command that takes a completion,"
                                 " (sc/add-buffer! s …) or (sc/add-synthdefs! s …) for example, not " (pr-str request) ".")
                            {:request request})))
      (let [inner  (Moment. (.-thread m) s {} (ArrayList.) (.-undo m) (.-afterwards m) (.-later m) (.-outer m))
            result (gather! inner #(then made))]
        (.add items {:request request, :completion (vec (.-items inner))})
        result))
    (call-at s nil #(call-with-completion s make then))))

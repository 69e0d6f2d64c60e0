(ns espalier.runtime.bus
  "Buses. Each function that `espalier.core` has under the same name is documented
  there."
  (:require
   [espalier.model.command :as command]
   [espalier.model.entity :as entity]
   [espalier.model.error :as error]
   [espalier.model.message :as message]
   [espalier.model.options :as options]
   [espalier.runtime.entities :as entities :refer [live-entity]]
   [espalier.runtime.moment :as moment]))

(set! *warn-on-reflection* true)

(def ^:private buses #{:bus :bus-group})

(defn add-bus!
  "See `espalier.core/add-bus!` and `espalier.core/add-bus-group!`; `n` of nil is a single
  bus."
  [s n {:keys [rate] :or {rate :control}}]
  (when-not (contains? #{:audio :control} rate)
    (throw (error/error :invalid-argument (str "The :rate of a bus is :audio or :control, not " (pr-str rate) "."
                                               (error/hint rate [:audio :control]))
                        {:argument :rate, :value rate})))
  (entities/add-block s :bus n {:rate rate}))

(defn free!
  "Gives back a bus, or a group of them. The server knows nothing of it."
  [bus opts]
  (options/check-call opts #{})
  (let [session (live-entity bus buses)]
    (when (zero? (long (:born bus)))
      (throw (error/error :part-of-group (str bus " is the device's, and nobody frees it: (sc/free! bus) is for what (sc/add-bus! s …) has returned.")
                          {:entity bus})))
    (when (:part bus)
      (throw (entities/part-of-group bus)))
    (entities/freed! bus session)
    bus))

(defn control-session
  "The session in which control buses may be used, after a look whether they may; `kinds` is as of
  `espalier.runtime.entities/live-entity`.

  Throws what that throws, and `:espalier.error/audio-bus`."
  [bus kinds]
  (let [session (live-entity bus kinds)]
    (when (= :audio (:rate bus))
      (throw (error/error :audio-bus
                          (str bus " carries sound, and only control buses have values that can be set and asked for. A synth can write how loud"
                               " it is to one that (sc/add-bus! s) returns: (out:kr control-bus (amplitude:kr (in:ar " (:id bus) "))).")
                          {:entity bus})))
    session))

(defn set-bus!
  "See `espalier.core/set-bus!`."
  [bus value opts]
  (let [session (control-session bus #{:bus})]
    (moment/request! (:server bus) (command/request :c-set {:buses [[bus value]]} (:limits session))
                     (options/check-call opts #{:confirm :timeout-ms}))
    bus))

(defn set-buses!
  "See `espalier.core/set-buses!`."
  [bus values opts]
  (let [session (control-session bus buses)
        n       (:count bus 1)]
    (when (and (sequential? values) (< (long n) (bounded-count (inc (long n)) values)))
      (throw (error/error :index-out-of-range (str bus " has " n " buses, fewer than there are values.") {:entity bus})))
    (moment/request! (:server bus) (command/request :c-setn {:ranges [[bus values]]} (:limits session))
                     (options/check-call opts #{:confirm :timeout-ms}))
    bus))

(defn fill-buses!
  "See `espalier.core/fill-buses!`."
  [bus value opts]
  (options/check-call opts #{:confirm :timeout-ms})
  (let [{:keys [engine limits]} (control-session bus buses)
        n       (long (:count bus 1))
        last-id (+ (long (:id bus)) n -1)
        request #(command/request %1 %2 limits)]
    ;; supernova fills only as many as there are audio buses, where the last control bus is among them.
    (if (and (= :supernova engine) (< 1 n) (= (inc last-id) (:control-bus-channel-count limits)))
      (moment/call-at (:server bus) (moment/inner-options (:server bus) opts)
                      (fn []
                        (moment/request! (:server bus) (request :c-fill {:fills [[bus (dec n) value]]}) {})
                        (moment/request! (:server bus) (request :c-set {:buses [[last-id value]]}) {})))
      (moment/request! (:server bus) (request :c-fill {:fills [[bus n value]]}) opts))
    bus))

(defn get-buses
  "See `espalier.core/get-buses`."
  [bus opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        {:keys [limits]} (control-session bus buses)
        n (long (:count bus 1))]
    (into []
          (mapcat (fn [i]
                    (map message/number
                         (drop 3 (moment/question! (:server bus)
                                                   (command/request :c-getn {:bus (+ (long (:id bus)) (long i)), :count (min 200 (- n (long i)))} limits)
                                                   timeout-ms)))))
          (range 0 n 200))))

(defn get-bus
  "See `espalier.core/get-bus`."
  [bus opts]
  (let [{:keys [timeout-ms]} (options/check-call opts #{:timeout-ms})
        {:keys [limits]} (control-session bus #{:bus})]
    (message/number (nth (moment/question! (:server bus) (command/request :c-get {:buses [bus]} limits) timeout-ms) 2))))

(defn map-symbol
  "See `espalier.core/map-symbol`."
  [bus]
  (live-entity bus buses)
  (first (entity/bus-symbols bus)))

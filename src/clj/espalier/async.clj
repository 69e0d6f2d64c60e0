(ns espalier.async
  "The calls of `espalier.core` that wait, for go blocks: each function here has the name
  and the arguments of its twin there and returns a promise channel of core.async at
  once.

  One rule: the channel gives one value, for as many takes as there are. It is what the
  twin returns, or the exception that it throws; where the twin returns nil, the channel
  closes. `<??` takes from it within a go block and throws what is an exception.

      (require '[espalier.async :as async] '[clojure.core.async :refer [go]])

      (go (let [b (async/<?? (async/add-buffer! s {:frame-count 44100}))]
            (println (async/<?? (async/query-buffer b)))))

  Deadlines are those of the twins, `:timeout-ms`."
  (:require
   [clojure.core.async :as a]
   [espalier.core]
   [espalier.model.error :as error]
   [espalier.future :as future])
  (:import
   (java.util.concurrent CompletableFuture CompletionException)
   (java.util.function BiConsumer)))

(set! *warn-on-reflection* true)

(defn channel
  "The promise channel of a `CompletableFuture`, by the rule of this namespace."
  [^CompletableFuture f]
  (when-not (instance? CompletableFuture f)
    (throw (error/error :invalid-argument (str "A channel is made of a CompletableFuture, not of " (pr-str f) ".") {:argument :f, :value f})))
  (let [c (a/promise-chan)]
    (.whenComplete f (reify BiConsumer
                       (accept [_ x e]
                         (let [e (if (instance? CompletionException e) (ex-cause e) e)]
                           (cond
                             (some? e) (a/put! c e)
                             (some? x) (a/put! c x))
                           (a/close! c)))))
    c))

(defn value
  "x, unless it is an exception: then it is thrown."
  [x]
  (if (instance? Throwable x) (throw x) x))

(defmacro <??
  "Takes from a channel of this namespace within a go block; throws what is an
  exception."
  [c]
  `(value (a/<! ~c)))

(defmacro ^:private mirror []
  `(do ~@(for [n future/waiting
               :let [twin (ns-resolve 'espalier.core n)
                     twin-name (symbol "espalier.future" (name n))]]
           `(defn ~n
              ~(str "A promise channel of what `espalier.core/" n "` returns or throws, with the same arguments.")
              {:arglists '~(:arglists (meta twin))}
              [& ~'args]
              (channel (apply ~twin-name ~'args))))))

(mirror)

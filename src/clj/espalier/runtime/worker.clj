(ns espalier.runtime.worker
  "Runs a user's function beside ours: a worker calls it with one value after the
  other, in order, on a thread of a shared pool. One that blocks or throws delays
  nobody else, and no thread is kept while there is nothing to do."
  (:import
   (java.util.concurrent CompletableFuture ExecutorService LinkedBlockingQueue SynchronousQueue ThreadFactory ThreadPoolExecutor TimeUnit)
   (java.util.concurrent.atomic AtomicBoolean AtomicLong)
   (java.util.function BiConsumer)))

(set! *warn-on-reflection* true)

(def ^:private queue-limit
  "Values that may wait for one worker before further ones are dropped."
  65536)

(defn threads
  "An ExecutorService of daemon threads, each named `thread-name` and a number, as many as
  there is work at once. They end half a second after their last work.

      (.execute (threads \"espalier-worker\") (fn [] …))"
  ^ExecutorService [thread-name]
  (let [n (AtomicLong.)]
    (ThreadPoolExecutor. 0 Integer/MAX_VALUE 500 TimeUnit/MILLISECONDS (SynchronousQueue.)
                         (reify ThreadFactory
                           (newThread [_ r]
                             (doto (Thread. r (str thread-name "-" (.incrementAndGet n)))
                               (.setDaemon true)))))))

(def ^:private ^ExecutorService pool (threads "espalier-worker"))

(deftype Worker [f on-fault ^LinkedBlockingQueue queue ^AtomicBoolean busy ^AtomicBoolean behind ^AtomicBoolean stopped])

(defn worker
  "A worker that calls `f` with each value it is offered. `on-fault` is called
  with `{:error e}` when `f` throws, and once with `{:behind n}` when n values
  wait and further ones are dropped until there is room."
  [f on-fault]
  (Worker. f on-fault (LinkedBlockingQueue. (int queue-limit)) (AtomicBoolean.) (AtomicBoolean.) (AtomicBoolean.)))

(defn- work [^Worker w]
  (let [^LinkedBlockingQueue queue (.-queue w)
        ^AtomicBoolean busy        (.-busy w)]
    (loop []
      (when-some [x (.poll queue)]
        (when-not (.get ^AtomicBoolean (.-stopped w))
          (try ((.-f w) x)
               (catch Throwable e ((.-on_fault w) {:error e}))))
        (recur)))
    (.set ^AtomicBoolean (.-behind w) false)
    (.set busy false)
    ;; A value that came between the last look and the flag would wait for ever.
    (when (and (not (.isEmpty queue)) (.compareAndSet busy false true))
      (recur w))))

(defn offer!
  "Queues a value for the worker; returns nil at once."
  [^Worker w x]
  (if (.offer ^LinkedBlockingQueue (.-queue w) x)
    (when (.compareAndSet ^AtomicBoolean (.-busy w) false true)
      (.execute pool #(work w)))
    (when (.compareAndSet ^AtomicBoolean (.-behind w) false true)
      ((.-on_fault w) {:behind queue-limit})))
  nil)

(defn backlog
  "How many values wait for the worker."
  ^long [^Worker w]
  (.size ^LinkedBlockingQueue (.-queue w)))

(defn stop!
  "Lets what the worker does end; what still waits is not done."
  [^Worker w]
  (.set ^AtomicBoolean (.-stopped w) true))

(defn completable
  "Calls `f` on a thread of the pool; returns the `CompletableFuture` of what it returns
  or throws. Cancelling it interrupts the thread."
  ^CompletableFuture [f]
  (let [result (CompletableFuture.)
        task   (.submit pool ^Runnable (fn []
                                         (try (.complete result (f))
                                              (catch Throwable e (.completeExceptionally result e)))))]
    (.whenComplete result (reify BiConsumer
                            (accept [_ _ _]
                              (when (.isCancelled result) (.cancel task true)))))
    result))

(ns espalier.model.message
  "What messages say: a server's replies as maps, and which reply answers which
  question. A message is a vector: the address, then its arguments."
  (:require
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

(defn matches?
  "Whether `message` begins with `prefix`, a vector of an address and possibly
  some of its arguments.

      (matches? [\"/done\" \"/notify\"] [\"/done\" \"/notify\" 0 1])  ;=> true"
  [prefix message]
  (let [n (count prefix)]
    (and (<= n (count message))
         (loop [i 0]
           (or (= i n)
               (and (= (nth prefix i) (nth message i))
                    (recur (inc i))))))))

(defn decimal
  "The shortest double that is the 32-bit float of `x`: 0.1, and not 0.10000000149.

      (decimal (float 0.1))  ;=> 0.1"
  ^double [^double x]
  (let [f (double (unchecked-float x))
        a (Math/abs f)]
    (cond
      ;; Where floats are a whole number apart or less, that number has no shorter name.
      (and (< a 16777216.0) (== f (Math/rint f))) f
      (and (< a 16777216.0) (<= 0.001 a))
      ;; f * scale is exact: 24 bits and 21. So the first that is f is the nearest of its length, and the division gives its double.
      (loop [scale 10.0]
        (let [d (/ (Math/rint (* f scale)) scale)]
          (cond
            (== f (double (unchecked-float d))) d
            (< scale 1e9)                       (recur (* scale 10.0))
            :else                               (Double/parseDouble (Float/toString (unchecked-float f))))))
      :else (Double/parseDouble (Float/toString (unchecked-float f))))))

(defn number
  "A number of a message as a double: of a 32-bit float the shortest that is it, 0.1
  and not 0.10000000149.

      (number (float 0.1))  ;=> 0.1"
  [x]
  (if (instance? Float x)
    (decimal (.floatValue ^Float x))
    (double x)))

(defn id?
  "Whether x can be the id of a node or the number of a buffer."
  [x]
  (and (int? x) (<= Integer/MIN_VALUE (long x) Integer/MAX_VALUE)))

(defn begins-with-id?
  "Whether arguments of a message begin with the id of a node; those of a spoilt one may not."
  [arguments]
  (id? (first arguments)))

(defn- bad-reply [message expected]
  (error/error :bad-reply
               (str "The server answered " (pr-str message) " where " expected " was expected.")
               {:message message}))

(defn status
  "The map of a `/status.reply`: counts of UGens, synths, groups (the root
  included) and SynthDefs, CPU load in percent, sample rates in Hz. scsynth and
  supernova send the rates with different type tags; both are read.

  Throws `:espalier.error/bad-reply` for anything else."
  [message]
  (let [[address _ ugens synths groups synthdefs average peak target actual] message]
    (when-not (and (= "/status.reply" address) (every? integer? [ugens synths groups synthdefs]) (every? number? [average peak target actual]))
      (throw (bad-reply message "/status.reply with nine numbers")))
    {:actual-sample-rate-hz (double actual)
     :target-sample-rate-hz (double target)
     :average-cpu-percent   (double average)
     :peak-cpu-percent      (double peak)
     :ugen-count            (long ugens)
     :synth-count           (long synths)
     :group-count           (long groups)
     :synthdef-count        (long synthdefs)}))

(defn version
  "The map of a `/version.reply`: `:engine` (`:scsynth` or `:supernova`),
  `:version` as text.

      (version [\"/version.reply\" \"scsynth\" 3 13 \".0\" \"\" \"na\"])
      ;=> {:engine :scsynth, :version \"3.13.0\"}

  Throws `:espalier.error/bad-reply` for anything else."
  [message]
  (let [[address program major minor patch] message]
    (when-not (and (= "/version.reply" address) (string? program) (integer? minor))
      (throw (bad-reply message "/version.reply with a program and its version")))
    {:engine  (keyword program)
     :version (str major "." minor patch)}))

(defn login
  "What the answer to `/notify 1` says, from the `/done` or the `/fail`:

      {:client-id 0, :maximum-logins 4}  granted; supernova sends no count
      {:already true, :client-id 0}      this socket is logged in already; scsynth says as whom
      {:refused \"too many users\"}      the server's words

      (login [\"/done\" \"/notify\" 0 4])  ;=> {:client-id 0, :maximum-logins 4}"
  [[address _ x y]]
  (cond
    (= "/done" address)                       (cond-> {:client-id (long x)} y (assoc :maximum-logins (long y)))
    (re-find #"already registered" (str x)) (cond-> {:already true} y (assoc :client-id (long y)))
    :else                                     {:refused (.trim (str x))}))

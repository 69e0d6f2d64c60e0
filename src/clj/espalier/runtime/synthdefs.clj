(ns espalier.runtime.synthdefs
  "SynthDefs on their way to the server. Each function that `espalier.core` has under
  the same name is documented there.

  A server says `/done` whether it has taken a SynthDef or not. So what its UGens need is
  tried first, once for each login, by SynthDefs that are nothing else: on scsynth such a
  trial is freed as soon as it is there, and `/d_removed` tells that it was; on
  supernova, which does not tell, a synth of it is made, asked for and freed before it
  plays. With every addition goes one trial more, for a place in scsynth's table."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.engine :as engine]
   [espalier.model.error :as error]
   [espalier.model.options :as options]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.synthdef-check :as check]
   [espalier.runtime.dispatch :as dispatch]
   [espalier.runtime.entities :as entities]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror]
   [espalier.runtime.moment :as moment]
   [espalier.runtime.session :as session]
   [espalier.runtime.synthdef-file :as synthdef-file])
  (:import
   (espalier.kernel RunningServer ServerOutput ServerOutput$Meaning ServerProcess$Line)
   (java.io IOException)
   (java.nio.file Files OpenOption Path)
   (java.nio.file.attribute FileAttribute)
   (java.util ArrayList)
   (java.util.concurrent.atomic AtomicLong)))

(set! *warn-on-reflection* true)

(def ^:private known-ugens
  "By name, the engines that have a UGen."
  (delay (update-vals @(requiring-resolve 'espalier.model.ugen/ugens) :engines)))

;; ---- reading

(defn- read-defs
  "The SynthDefs that x stands for."
  [x]
  (cond
    (and (map? x) (= :synthdef (:kind x))) [x]
    (bytes? x)                             (synthdef/parse x)
    (or (nil? x) (synthdef-file/file? x))  (synthdef-file/read-file x)
    :else
    (throw (error/error :invalid-argument
                        (str "A SynthDef is a value that defsynth, espalier.synthdef/synthdef or read-file returns, the bytes of a SynthDef file,"
                             " or the path, File or URL of one, not " (pr-str x) ".")
                        {:argument :synthdefs, :value x}))))

(defn- all-of
  "One or more, of a map of SynthDefs by name those."
  [x]
  (cond
    (or (sequential? x) (set? x))                                  x
    (and (map? x) (seq x) (every? #(= :synthdef (:kind %)) (vals x))) (vals x)
    :else                                                          [x]))

;; ---- what the server printed

(defn- last-line [^RunningServer process]
  (when process (peek (vec (.output process)))))

(defn- complaints
  "The lines that tell of a failure, of those that a server of ours has printed since
  `line`; waits a little for the first."
  [^RunningServer process line]
  (when process
    (loop [tries 100]
      (let [lines (into []
                        (comp (map #(.text ^ServerProcess$Line %))
                              (filter #(or (= ServerOutput$Meaning/FAILURE (ServerOutput/meaning %)) (str/includes? % "-d cmdline flag"))))
                        (take-while #(not (identical? line %)) (rseq (vec (.output process)))))]
        (if (or (seq lines) (zero? tries))
          (vec (rseq lines))
          (do (Thread/sleep 5) (recur (dec tries))))))))

;; ---- errors

(defn- said [lines]
  (when (seq lines)
    (str " The server said: " (str/join " / " (take 3 lines)) (when (< 3 (count lines)) " …"))))

(defn- rejected
  "The error of SynthDefs with their problems, pairs."
  [rows lines]
  (let [[[d [{:keys [says]} :as problems]] & more] rows]
    (error/error :synthdef-rejected
                 (str "SynthDef " (:name d) " is not added: " says (when (next problems) (str " (and " (dec (count problems)) " more)")) "."
                      (when more (str " " (count more) " others are not either, see :rejected."))
                      " Nothing has changed on the server." (said lines))
                 {:synthdef (:name d), :problems problems, :rejected (into {} (map (fn [[d problems]] [(:name d) problems])) rows), :lines lines})))

(defn- table-full [missing most lines]
  (error/error :too-many-synthdefs
               (str "There is no place for " (if (next missing) (str (count missing) " of these SynthDefs, " (first missing) " among them") (str "SynthDef " (first missing)))
                    (when most (str ": the server has " most ", variants take some too"))
                    ". (sc/free-synthdefs! s …) makes room, (sc/boot! s {:maximum-synthdef-count " (* 4 (long (or most 1024))) "}) boots a server with more." (said lines))
               {:missing (vec missing), :maximum-synthdef-count most, :lines lines}))

(defn- too-large [d bytes why]
  (error/error :synthdef-too-large
               (str "SynthDef " (:name d) " has " bytes " bytes, more than one packet to this server can hold, and " why)
               {:synthdef (:name d), :bytes bytes}))

(defn- check!
  "Throws what can be known to be wrong with SynthDefs."
  [{:keys [limits]} defs]
  (when-let [rows (seq (keep (fn [d] (when-let [problems (seq (check/problems d limits @known-ugens))] [d (vec problems)])) defs))]
    (throw (rejected rows nil)))
  (let [{:keys [engine maximum-synthdef-count]} limits
        those (into {} (map (juxt :name identity)) defs)]
    (when (and maximum-synthdef-count (= :scsynth engine) (< (long maximum-synthdef-count) (long (check/definitions (vals those)))))
      (throw (table-full (keys those) maximum-synthdef-count nil)))))

;; ---- requests

(defn- temporary-file
  "Writes bytes to a new file that a server on this machine may read; notes it in `files`."
  ^Path [s ^ArrayList files bytes]
  (let [name-it (fn [^Path directory] (if directory
                                        (Files/createTempFile directory "espalier-" ".scsyndef" (make-array FileAttribute 0))
                                        (Files/createTempFile "espalier-" ".scsyndef" (make-array FileAttribute 0))))]
    (try
      (let [path ^Path (name-it (some-> ^String (:restricted-path (handle/effective-options s)) (Path/of (make-array String 0))))]
        (.add files path)
        (Files/write path ^bytes bytes ^"[Ljava.nio.file.OpenOption;" (make-array OpenOption 0)))
      (catch IOException e
        (throw (error/error :file-failed (str "No temporary file can be written for a large SynthDef: " (ex-message e) ".") {} e))))))

(defn- request-of
  "What has the server define `d`, with what is to follow, requests: by a packet, or,
  where that cannot hold it, by a file, which is noted in `files`; nil for these where
  none may be written."
  [s {:keys [engine limits limit-bytes link]} files d following by-file?]
  (let [bytes   ^bytes (synthdef/encode [(if (engine/trait engine :knows-variants?) d (assoc d :variants []))])
        request (command/with-completion (command/request :d-recv {:synthdef bytes} limits) following)
        large?  (< (- (long limit-bytes) 256) (command/bytes-of request))]
    (cond
      (not (or large? by-file?)) request
      (nil? files)               (throw (too-large d (alength bytes) "cannot be part of a moment: add it before (sc/at …)."))
      (link/local? link)         (command/with-completion (command/request :d-load {:path (str (temporary-file s files bytes))} limits) following)
      :else
      (throw (too-large d (alength bytes)
                        (str "a server of another machine has no file of this one. Boot it for TCP, which takes larger packets, {:protocol :tcp},"
                             " or copy the SynthDef there as a file and load that: (sc/command! s :d-load {:path …})."))))))

(defn- trial-of
  "A need with the request for its trial, and how the message begins that answers it
  where it is met."
  [s {:keys [engine client-id births] :as session} files [kind :as need]]
  (let [trial-name (str "espalier-trial-" client-id "-" (.incrementAndGet ^AtomicLong births))
        id         (when-not (engine/trait engine :tells-removed?) (entities/next-permanent session))]
    {:need    need
     :id      id
     :request (request-of s session files (check/trial need trial-name)
                          (if id
                            [["/s_new" trial-name id 1 0] ["/n_query" id] ["/n_free" id] ["/d_free" trial-name]]
                            [["/d_free" trial-name]])
                          (= :files kind))
     :reply   (if id ["/n_info" id] ["/d_removed" trial-name])}))

(defn- send-tried!
  "Sends requests and trials, waits until all is done, and returns the needs that were
  not met."
  [s {:keys [dispatcher] :as session} requests trials opts]
  (let [waiters (mapv (fn [{:keys [reply]}] (dispatch/expect! dispatcher ["/d_free"] reply)) trials)]
    (try
      (moment/call-at s opts (fn [] (run! #(moment/request! s % {}) (concat requests (map :request trials)))))
      (let [unmet (into [] (keep (fn [[trial waiter]] (when-not (dispatch/answered? waiter) trial))) (map vector trials waiters))]
        ;; Those of nodes that were come again as these end.
        (run! #(entities/permanent-again! session %) (keep :id unmet))
        (mapv :need unmet))
      (catch clojure.lang.ExceptionInfo e
        (when (entities/never-sent? e)
          (run! #(entities/permanent-again! session %) (keep :id trials)))
        (throw (if (= "/d_load" (first (:request (ex-data e))))
                 (error/error :file-failed (str "The server cannot load " (second (:request (ex-data e))) ", a file of this machine: it runs elsewhere, or may not read there.")
                              (ex-data e) e)
                 e)))
      (finally (run! #(dispatch/forget! dispatcher %) waiters)))))

(defn- with-files
  "Calls `f` with a list for temporary files, which are deleted then."
  [f]
  (let [files (ArrayList.)]
    (try (f files)
         (finally (run! #(Files/deleteIfExists ^Path %) files)))))

;; ---- adding

(defn- prove!
  "Tries what these SynthDefs need and the server was not seen to have.

  Throws `:espalier.error/synthdef-rejected`."
  [s {:keys [engine proven] :as session} defs files by-file? opts]
  (let [{:keys [files?] :as so-far} @proven
        needs   (cond-> (check/needs defs so-far engine @known-ugens)
                  ;; Of a file that it cannot read supernova says nothing.
                  (and by-file? (not files?) (not (engine/trait engine :tells-failures?))) (conj [:files]))
        needs   (cond-> needs
                  (and (seq needs) (engine/trait engine :tells-removed?)) (conj [:room]))
        process (handle/process s)
        line    (last-line process)
        unmet   (when (seq needs)
                  (set (send-tried! s session nil (mapv #(trial-of s session files %) needs) opts)))]
    (swap! proven check/met (remove unmet needs))
    (when (seq unmet)
      (throw (cond
               (unmet [:files])
               (error/error :file-failed "The server cannot load a temporary file of this machine, which a large SynthDef needs: it runs elsewhere, or may not read there." {})
               (unmet [:room])
               (table-full (map :name defs) (:maximum-synthdef-count (:limits session)) (complaints process line))
               :else
               (rejected (keep (fn [d] (when-let [problems (seq (check/unmet d unmet engine))] [d (vec problems)])) defs)
                         (complaints process line)))))))

(defn- refused-names
  "Those of these names that scsynth does not know: synths are asked for in a group that
  cannot be, and it looks for the SynthDef first."
  [s names opts]
  (try (moment/call-at s (assoc opts :confirm true) (fn [] (run! #(moment/send-raw! s ["/s_new" % -1 0 Integer/MAX_VALUE]) names)))
       nil
       (catch clojure.lang.ExceptionInfo e
         (let [failures (or (:failures (ex-data e)) [e])]
           (when-not (every? #(:request (ex-data %)) failures) (throw e))
           (keep #(when (= :espalier.error/no-such-synthdef (error/code %)) (second (:request (ex-data %)))) failures)))))

(defn- unmade-names
  "Those of these names of which supernova makes no synth: each is asked for, looked at
  and freed in one bundle, before it could be heard."
  [{:keys [client-id timeout-ms] :as session} names opts]
  (let [ids     (into {} (map (fn [n] [(entities/next-permanent session) n])) names)
        [k end] (session/fence! session true)
        group   (session/default-group-id client-id)
        seen    (session/watch! session
                                [{:packets (-> (into [] (mapcat (fn [[id n]] [["/s_new" n id 1 group] ["/n_query" id] ["/n_free" id]])) ids)
                                               (conj end))}]
                                {k nil} (constantly false) (fn [answered _] (= k answered)) (or (:timeout-ms opts) timeout-ms))
        made    (into #{} (keep (fn [{[address id] :message}] (when (= "/n_info" address) (long id)))) seen)
        unmade  (remove (comp made key) ids)]
    (run! #(entities/permanent-again! session (key %)) unmade)
    (map val unmade)))

(defn missing
  "Those of these names of SynthDefs that the server does not know, a vector."
  [s {:keys [maximum-node-count tells-failures?] :as session} names opts]
  (filterv
    (into #{}
          (mapcat (fn [names] (if tells-failures? (refused-names s names opts) (unmade-names session names opts))))
          (partition-all (min 100 (dec (long maximum-node-count))) names))
    names))

(defn- known!
  "Notes SynthDefs that the server has from now on."
  [{:keys [mirror defined]} defs]
  (swap! defined into (map (juxt :name identity)) defs)
  (mirror/tell! mirror [:synthdefs (into {} (map (juxt :name synthdef/controls)) defs)]))

(defn- add-now! [s {:keys [engine limits proven] :as session} defs opts]
  (with-files
    (fn [files]
      (let [requests (mapv #(request-of s session files % nil false) defs)]
        (prove! s session defs files (some #(= "/d_load" (first %)) requests) opts)
        (let [process (handle/process s)
              line    (last-line process)
              room    (when (engine/trait engine :tells-removed?) [(trial-of s session files [:room])])
              full?   (seq (send-tried! s session requests room opts))
              lines   (when full? (complaints process line))
              gone    (when full? (missing s session (distinct (map :name defs)) opts))]
          (swap! proven update :doubtful #(reduce disj % (map :name defs)))
          (known! session (remove (comp (set gone) :name) defs))
          (when (seq gone)
            (throw (table-full gone (:maximum-synthdef-count limits) lines))))))))

(defn- add-in-moment! [s {:keys [engine mirror proven] :as session} defs]
  (let [requests (mapv #(request-of s session nil % nil false) defs)
        before   (select-keys (:synthdefs (mirror/known mirror)) (map :name defs))]
    (run! #(moment/request! s % {}) requests)
    (when (seq (check/needs defs @proven engine @known-ugens))
      (swap! proven update :doubtful into (map :name) defs))
    (known! session defs)
    (moment/undo! s #(do (mirror/tell! mirror [:synthdefs-gone (map :name defs)])
                         (mirror/tell! mirror [:synthdefs before])))))

(defn- add!
  "Adds SynthDefs, values; returns their names."
  [s defs opts]
  (let [session (handle/live s)]
    (check! session defs)
    (cond
      (empty? defs)       nil
      (moment/inside? s) (add-in-moment! s session defs)
      :else               (add-now! s session defs opts))
    (mapv :name defs)))

(defn values
  "The SynthDefs that one or more values, paths or bytes stand for, a vector."
  [synthdefs]
  (into [] (mapcat read-defs) (all-of synthdefs)))

(defn add-synthdefs!
  "See `espalier.core/add-synthdefs!`."
  [s synthdefs opts]
  (options/check-call opts #{:timeout-ms})
  (handle/live s)
  (add! s (values synthdefs) opts))

(defn load-synthdef-directory!
  "See `espalier.core/load-synthdef-directory!`."
  [s directory opts]
  (options/check-call opts #{:timeout-ms})
  (handle/live s)
  (add! s (synthdef-file/read-directory directory) opts))

;; ---- freeing

(def ^:private names-at-once
  "So many names of 255 letters fit into any packet." 50)

(defn- undefine!
  "Notes that SynthDefs are gone, and keeps those of which something plays on."
  [{:keys [mirror defined undefined]} names]
  (let [playing     (into #{} (keep :def) (vals (:nodes (mirror/known mirror))))
        [before _] (swap-vals! defined #(reduce dissoc % names))]
    (swap! undefined (fn [known] (select-keys (merge known (select-keys before names)) playing)))))

(defn free-synthdefs!
  "See `espalier.core/free-synthdefs!`."
  [s synthdefs opts]
  (options/check-call opts #{:timeout-ms})
  (let [session  (handle/live s)
        requests (mapv #(command/request :d-free {:names %} (:limits session))
                       (or (seq (partition-all names-at-once (all-of synthdefs))) [[]]))]
    (if (next requests)
      (moment/call-at s (moment/inner-options s opts) (fn [] (run! #(moment/request! s % {}) requests)))
      (moment/request! s (first requests) opts))
    (moment/afterwards! s (fn []
                            (undefine! session (mapcat rest requests))
                            (mirror/tell! (:mirror session) [:synthdefs-gone (mapcat rest requests)])))
    s))

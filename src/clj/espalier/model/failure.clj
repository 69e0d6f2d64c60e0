(ns espalier.model.failure
  "What a server says when it will not: a `/fail`, or, where supernova says
  nothing, what it left undone. The same named error for both."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.error :as error]))

(set! *warn-on-reflection* true)

(def ^:private named
  "By the words of a `/fail`: the error's code, and what repairs it."
  [[#"(?i)(node|group) -?\d+ not found"  :no-such-node "it has ended, never was, or is of another kind; (sc/print-tree s) shows what there is"]
   [#"(?i)synthdef not found"             :no-such-synthdef "(sc/add-synthdefs! s …) sends it"]
   [#"(?i)duplicate node id"              :duplicate-node "without :id, Espalier takes one that is free"]
   [#"(?i)too many nodes"                 :too-many-nodes "(sc/boot! s {:maximum-node-count 4096}) boots a server for more"]
   [#"(?i)out of real time memory|alloc failed|memory allocation failed" :out-of-memory
    "(sc/boot! s {:memory-size 65536}) boots a server with more"]
   [#"(?i)buffer overflow"                :reply-too-large "ask for less at once"]
   [#"(?i)could not be opened|system error|channel mismatch|channel index|channel out of range|channel count mismatch|format|unspecified internal" :file-failed
    "the path is one of the server's machine"]
   [#"(?i)index out of range"             :index-out-of-range "it lies beyond the end"]
   [#"(?i)command not found"              :unknown-command "this server does not know it"]])

(defn- missing-node
  "The id of the node that a server does not have, by what it says; else nil."
  [said]
  (some->> (re-find #"(?i)(?:node|group) (-?\d+) not found" (str said)) second parse-long))

(defn words
  "What a `/fail` says, without its end of line."
  [fail]
  (str/trim (str (nth fail 2 ""))))

(defn error-of
  "The error of a request that failed.

  `request`  the message that was sent
  `said`     what the server said, or what was seen
  `data`     more for the error's data; of it `:known` has the names of the SynthDefs that
             this client has sent"
  [request said {:keys [known] :as data}]
  (let [[_ code repair] (or (some (fn [[pattern :as row]] (when (re-find pattern said) row)) named)
                            [nil :command-failed "(sc/server-output s) may tell more"])
        id (missing-node said)]
    (error/error code
                 (str "The server refused " (error/shown request 12 200) ": " (str/replace said #"\.\s*$" "")
                      (when (= :no-such-synthdef code) (str " (" (second request) ")"))
                      "; " repair "." (when (= :no-such-synthdef code) (error/hint (second request) known)))
                 (cond-> (merge {:request request, :words said} (dissoc data :known))
                   id (assoc :node id)))))

(defn mine?
  "Whether a `/fail` may be of this request: it names the command, and where it
  names a node, buffer or file too, that one.

      (mine? [\"/n_query\" 5] [\"/fail\" \"/n_query\" \"Node 6 not found\"])  ;=> false"
  [request [_ address said third :as fail]]
  (let [node (missing-node said)]
    (and (= address (first request))
         (cond
           node              (boolean (some #(= node %) (rest request)))
           (and (some? third) (str/starts-with? address "/b_")) (= third (second request))
           (and (= 3 (count fail)) (contains? #{"/d_load" "/d_loadDir"} address)) (= said (second request))
           :else             true))))

(defn unanswered
  "The error of a question to which a server has nothing to say."
  [request]
  (let [id (second request)]
    (case (:command (command/of request))
      (:n-query :s-get :s-getn) (error-of request (str "Node " id " not found") {:inferred true})
      :g-query-tree             (error-of request (str "Group " id " not found") {:inferred true})
      (error/error :command-failed
                   (str "The server did not answer " (error/shown request 12 200)
                        " and did not say why; (sc/server-output s) may tell more.")
                   {:request request, :inferred true}))))

;; ---- what a request needs and makes, for a server that tells of no failure

(defn nodes-of
  "The nodes that a request needs to be there, with whether they must be groups,
  and those that it makes.

      (nodes-of [\"/s_new\" \"bell\" 1000 0 1])  ;=> {:needs {1 true}, :makes [1000]}"
  [request]
  (let [placed (fn [rows]
                 (reduce (fn [{:keys [makes] :as nodes} [id action target]]
                           (cond-> (update nodes :makes conj id)
                             (not-any? #{target} makes) (update :needs (partial merge-with #(or %1 %2)) {target (< (long action) 2)})))
                         {:needs {}, :makes []}
                         (filter #(and (= 3 (count %)) (every? int? %)) rows)))
        all    (fn [ids group?] {:needs (zipmap (filter int? ids) (repeat group?)), :makes []})
        tail   (subvec request 1)]
    (case (:command (command/of request))
      (:s-new :s-new-args) (placed [(take 3 (drop 2 request))])
      (:g-new :p-new)      (placed (partition 3 tail))
      (:n-free :n-trace :n-query :s-noid) (all tail false)
      (:g-free-all :g-deep-free) (all tail true)
      :n-run               (all (take-nth 2 tail) false)
      (:n-before :n-after) (all tail false)
      (:g-head :g-tail)    {:needs (reduce (fn [needs [group node]] (merge-with #(or %1 %2) needs {node false} {group true})) {} (partition 2 (filter int? tail))), :makes []}
      :n-order             (let [[action target & ids] tail]
                             (update (all ids false) :needs merge (when (and (int? action) (int? target)) {target (< (long action) 2)})))
      (:n-set :n-setn :n-fill :n-map :n-mapa :n-mapn :n-mapan :u-cmd) (all [(second request)] false)
      {:needs {}, :makes []})))

(defn inferred
  "The error of a request on a server that tells of no failure, from what was seen
  of the nodes before it and after it; nil where nothing is wrong.

  `before` `after`  map from node id to :group or :synth
  `known`           the names of the SynthDefs that this client has sent"
  [request before after known]
  (let [{:keys [needs makes]} (nodes-of request)
        missing (some (fn [[id group?]]
                        (when-not (or (= 0 id) (if group? (= :group (before id)) (before id)))
                          [id group?]))
                      needs)
        taken   (some #(when (before %) %) makes)
        unmade  (some #(when-not (after %) %) makes)]
    (cond
      ;; As scsynth does: the SynthDef first, then the id, then the target.
      (and unmade (not taken) (not missing))
      (error-of request
                (if (and (= "/s_new" (first request)) (not-any? #{(second request)} known))
                  "SynthDef not found"
                  "out of real time memory")
                {:inferred true, :known known})
      taken   (error-of request "duplicate node ID" {:inferred true, :node taken})
      missing (error-of request (str (if (second missing) "Group " "Node ") (first missing) " not found") {:inferred true}))))

(ns espalier.model.tree-plan
  "How a node tree is read that does not fit into one reply: what to ask next, what the
  answers say, whether all of it was so at one moment, and the tree that it makes.

  A reading is a value. It holds parts, by the id of a group: either the whole tree
  below it, from one reply, or the list of its children. What the client knows of its
  server is only a hint of what to ask for; the parts are what the server said.

  What is asked in one bundle is answered of one moment, so a tree whose parts are all
  of one bundle needs no second look. Of others, those that the server's notifications
  have touched meanwhile are asked for again, together: a part that is never quiet
  does no harm, as long as all such parts are of one moment and the others were quiet.

      reading -> wants -> (asked, answered) -> learn -> reading … -> conflicts -> tree"
  (:require
   [espalier.model.control :as control]
   [espalier.model.tree :as tree])
  (:import
   (java.util ArrayList HashMap)))

(set! *warn-on-reflection* true)

;; ---- how large a reply will be

(defn- string-bytes ^long [^String s]
  (bit-and (+ (.length s) 4) (bit-not 3)))

(defn- slots-bytes
  "What the controls of a SynthDef take in a reply."
  ^long [controls]
  (reduce (fn [n [k {:keys [size]}]]
            (+ (long n) (string-bytes k) 4 2 (* 10 (dec (long size)))))
          5
          controls))

(defn ends-in-array?
  "Whether the last of the controls is an array, whose slots are behind the last that has a name."
  [controls]
  (let [named (reduce max -1 (map :index (vals controls)))]
    (< (inc (long named)) (control/control-count controls))))

(defn- synth-bytes
  "What a synth takes in a reply with controls, and without; of a SynthDef that is not
  known the least that it can."
  [synthdefs def-name]
  (let [bare     (+ 11 (if def-name (string-bytes def-name) 4))
        controls (get synthdefs def-name)]
    (long-array [(+ bare (if controls (slots-bytes controls) 5)) bare])))

(def ^:private group-bytes 10)
(def ^:private reply-bytes "What a reply takes beside its nodes." 40)

(defn sizes
  "What the replies of the groups from `top` on will take, as far as is known: a map
  from id to an array of bytes with controls, bytes without, levels below, synths
  directly in it and children.

  `known`  the client's state, as of `espalier.model.state`"
  [{:keys [nodes synthdefs]} top]
  (let [found  (ArrayList.)
        todo   (ArrayList.)
        sized  (HashMap.)
        synths (HashMap.)]
    (.add todo top)
    (while (pos? (.size todo))
      (let [{:keys [kind head] :as node} (get nodes (.remove todo (dec (.size todo))))]
        (when (= :group kind)
          (.add found node)
          (let [sum (long-array [reply-bytes reply-bytes 0 0 0])]
            (.put sized (:id node) sum)
            (loop [id head]
              (when-some [child (when id (get nodes id))]
                (aset sum 4 (inc (aget sum 4)))
                (if (= :group (:kind child))
                  (.add todo id)
                  (let [def-name    (:def child)
                        ^longs size (or (.get synths def-name)
                                        (let [size (synth-bytes synthdefs def-name)] (.put synths def-name size) size))]
                    (aset sum 0 (+ (aget sum 0) (aget size 0)))
                    (aset sum 1 (+ (aget sum 1) (aget size 1)))
                    (aset sum 3 (inc (aget sum 3)))))
                (recur (:next child))))))))
    (loop [i (dec (.size found))]
      (when (<= 0 i)
        (let [{:keys [id parent]} (.get found i)
              ^longs sum (.get sized id)]
          (when-some [^longs above (when (not= id top) (.get sized parent))]
            (aset above 0 (+ (aget above 0) (aget sum 0) (- (long group-bytes) (long reply-bytes))))
            (aset above 1 (+ (aget above 1) (aget sum 1) (- (long group-bytes) (long reply-bytes))))
            (aset above 2 (max (aget above 2) (inc (aget sum 2))))))
        (recur (dec i))))
    sized))

;; ---- what only the client knows

(defn own-knowledge
  "What the client knows of nodes and no reply tells: by id a map of `:key`, `:paused true` and
  `:parallel true`; nodes without any of these are absent."
  [nodes]
  (persistent!
    (reduce-kv (fn [own id node]
                 (let [k         (get node :key)
                       paused?   (identical? :paused (get node :status))
                       parallel? (get node :parallel?)]
                   (if (or (some? k) paused? parallel?)
                     (assoc! own id (cond-> {} (some? k) (assoc :key k), paused? (assoc :paused true), parallel? (assoc :parallel true)))
                     own)))
               (transient {})
               nodes)))

(defn- size-of
  "One of the sizes of a group, or what a group takes of which nothing is known."
  ^long [{:keys [^HashMap sizes]} id ^long i]
  (if-some [^longs sum (.get sizes id)]
    (aget sum (int i))
    (if (< i 2) (long reply-bytes) 0)))

;; ---- a reading

(defn reading
  "A reading of the tree below group `:top`, of which nothing has been asked.

  `:controls?`       whether controls are asked for
  `:known`           the client's state
  `:sizes`           what `sizes` returns of it
  `:tree-controls?`  whether the server survives the question about a tree with controls, whatever
                     synth it may have got meanwhile
  `:limit-bytes`     the largest reply that the server sends
  `:max-depth`       of how many levels it may be asked
  `:max-infos`       of so many nodes it can surely be asked in one block
  `:root-told?`      whether it can be asked about the root"
  [{:keys [known] :as options}]
  (merge (select-keys options [:sizes :top :controls? :tree-controls? :limit-bytes :max-depth :max-infos :root-told?])
         {:nodes (:nodes known), :synthdefs (:synthdefs known)
          :parts {}, :infos {}, :values {}, :parents {}, :needs {}
          :big #{}, :huge #{}, :gone #{}, :silent #{}, :silences {}}))

(defn survived?
  "Whether the server survives the question about all below a group, as far as is known."
  [{:keys [controls? tree-controls? max-depth] :as reading} id]
  (and (or tree-controls? (not controls?))
       (<= (size-of reading id 2) (long max-depth))))

(defn fits?
  "Whether one reply tells all below a group, as far as is known."
  [{:keys [controls? limit-bytes big] :as reading} id]
  (and (not (contains? big id))
       (<= (size-of reading id (if controls? 0 1)) (long limit-bytes))
       (survived? reading id)))

(defn too-large
  "The reading, of which it is known that one reply does not tell all below a group."
  [reading id]
  (update reading :big conj id))

(defn- structure-fits?
  "Whether one reply without controls tells the children of a group, and is worth it."
  [{:keys [controls? tree-controls? limit-bytes max-depth huge] :as reading} id]
  (and controls?
       (not (contains? huge id))
       (<= (size-of reading id 1) (long limit-bytes))
       (<= (size-of reading id 2) (long max-depth))
       (or (not tree-controls?)
           (pos? (size-of reading id 3))
           (zero? (size-of reading id 4))
           (< (quot (long (:max-infos reading)) 2) (size-of reading id 4)))))

(defn- hinted
  "The children that a group has as far as the client knows: nodes as of a list."
  [{:keys [nodes]} id]
  (into []
        (comp (take-while some?)
              (map (fn [child] {:id (:id child), :kind (:kind child), :def (:def child)})))
        (iterate (fn [child] (get nodes (:next child))) (get nodes (:head (get nodes id))))))

(def ^:private info-bytes 60)

(defn- told?
  "Whether the server can be asked about a node; supernova does not survive the question about
  the root."
  [{:keys [root-told?]} id]
  (or root-told? (not= 0 id)))

(defn- info-wants
  "The nodes to ask about for the list of group `id`."
  [{:keys [infos gone needs] :as reading} id hints]
  (into []
        (comp (distinct)
              (remove (fn [i] (or (contains? infos i) (contains? gone i))))
              (map (fn [i] {:what :info, :id i, :bytes info-bytes})))
        (concat (when (told? reading id) [id]) (map :id hints) (get needs id))))

(defn- controls-of
  "The known controls of a synth's SynthDef, or nil."
  [{:keys [synthdefs]} synth]
  (get synthdefs (:def synth)))

(defn- value-want [{:keys [values silent] :as reading} {:keys [id] :as synth}]
  (when-not (or (contains? values id) (contains? silent id))
    (when-some [controls (controls-of reading synth)]
      (let [n (control/control-count controls)]
        (when (pos? n)
          {:what :values, :id id, :slots n, :controls controls, :bytes (+ 60 (* 5 n))})))))

(defn wants
  "What is to be asked next: maps of `:what` (:tree :structure :info :values), `:id` and the
  `:bytes` that the answer may take. What makes the tree's shape comes first. Empty where
  the reading has all that can be asked."
  [{:keys [top parts controls?] :as reading}]
  ;; Below a group whose structure is asked for, that tells the lists of all others too.
  (loop [todo (list [top false]), shape (transient []), values (transient [])]
    (if-some [[id covered?] (peek todo)]
      (let [{:keys [tree children] :as part} (get parts id)]
        (cond
          tree
          (recur (pop todo) shape values)

          (and (nil? part) (fits? reading id))
          (recur (pop todo) (conj! shape {:what :tree, :id id, :bytes (size-of reading id (if controls? 0 1))}) values)

          :else
          (let [children (if part children (hinted reading id))
                structure? (and (nil? part) (structure-fits? reading id))
                asked    (cond
                           (or part covered?)           nil
                           structure? [{:what :structure, :id id, :bytes (size-of reading id 1)}]
                           :else      (info-wants reading id children))]
            (recur (into (pop todo)
                         (comp (filter #(= :group (:kind %))) (map (fn [child] [(:id child) (and (nil? part) (or covered? structure?))])))
                         (rseq (vec children)))
                   (reduce conj! shape asked)
                   (if controls?
                     (transduce (comp (filter #(= :synth (:kind %))) (keep #(value-want reading %))) conj! values children)
                     values)))))
      (into (persistent! shape) (persistent! values)))))

;; ---- what the answers say

(defn- with-list
  "The reading with the list of group `id`, which was read from round `from` to round `to`."
  [reading id children from to]
  (-> reading
      (assoc-in [:parts id] {:children children, :from from, :to to})
      (update :needs dissoc id)
      (update :parents into (map (fn [child] [(:id child) id])) children)))

(defn- with-lists
  "The reading with the lists that a tree without controls tells: of its top, and of those
  groups below whose trees will not be read at once."
  [reading top round]
  (loop [todo (list top), reading reading]
    (if-some [{:keys [id children]} (peek todo)]
      (recur (into (pop todo)
                   (filter (fn [child] (and (= :group (:kind child)) (not (fits? reading (:id child))))))
                   children)
             (with-list reading id (mapv #(select-keys % [:id :kind :def]) children) round round))
      reading)))

(defn- without-list
  "The reading without the list of group `id`, and without what it was made of: it has
  changed meanwhile."
  [reading id]
  (let [ids (cons id (concat (map :id (hinted reading id))
                             (map :id (get-in reading [:parts id :children]))
                             (get-in reading [:needs id])))]
    (-> reading
        (update :parts dissoc id)
        (update :needs dissoc id)
        (update :infos #(reduce dissoc % ids))
        (update :gone #(reduce disj % ids)))))

(defn- near
  "The ids about one that was not expected: they are given in a row, so what is near one that
  was missed was probably missed too."
  [{:keys [max-infos]} id]
  (let [id (long id), n (quot (long max-infos) 2)]
    (concat (range id (+ id n)) (range (max 1 (- id (quot n 2))) id))))

(defn- root-info
  "What an `/n_info` of the root would tell, as far as its children do: without a tail. With
  :need instead where the first child is not found."
  [{:keys [infos gone]}]
  (let [those (filter (fn [{info :info}] (= 0 (nth info 2))) (vals infos))
        first-one (some (fn [{info :info, round :round}] (when (= -1 (nth info 3)) {:info ["/n_info" 0 -1 -1 -1 1 (nth info 1) nil], :round round})) those)]
    (cond
      first-one            first-one
      (seq those)          {:need (loop [i (long (nth (:info (first those)) 3)), n (count infos)]
                                    (let [before (nth (:info (get infos i)) 3 nil)]
                                      (if (and before (pos? n)) (recur (long before) (dec n)) i)))}
      (contains? gone 1)   {:info ["/n_info" 0 -1 -1 -1 1 -1 -1], :round 0}
      :else                {:need 1})))

(defn- chain
  "The children of group `id` as the `/n_info`s tell: `[:list children from to]`, `[:need id]`
  where one is missing, `[:torn]` where they contradict each other, `[:gone]` where it is not
  there or no group."
  [{:keys [infos nodes] :as reading} id]
  (let [{[_ _ _ _ _ group? head tail] :info, need :need, :as own} (if (told? reading id) (get infos id) (root-info reading))
        child (fn [i {[_ _ _ _ _ group?] :info}]
                (if (= 1 group?)
                  {:id i, :kind :group}
                  {:id i, :kind :synth, :def (:def (get nodes i))}))]
    (cond
      need            [:need need]
      (not= 1 group?) [:gone]

      (= -2 head)                                          ; a parallel group, without any order
      (let [those (into [] (comp (map :id) (filter (fn [i] (= id (nth (:info (get infos i)) 2 nil))))) (hinted reading id))
            rounds (cons (:round own) (map #(:round (get infos %)) those))]
        [:list (mapv (fn [i] (child i (get infos i))) those) (reduce min rounds) (reduce max rounds)])

      :else
      (loop [i (long head), before -1, found [], from (:round own), to (:round own)]
        (let [{[_ _ parent previous next] :info, round :round, :as info} (get infos i)]
          (cond
            (= -1 i)                                           (if (or (nil? tail) (= before tail)) [:list found from to] [:torn])
            (nil? info)                                        [:need i]
            (or (not= id parent) (not= before previous)
                (< (count infos) (count found)))               [:torn]
            :else (recur (long next) i (conj found (child i info)) (min (long from) (long round)) (max (long to) (long round)))))))))

(defn- learn-list
  "Makes the list of a group of what is known of its children by now."
  [{:keys [top parents gone] :as reading} id]
  (let [[said x from to] (chain reading id)]
    (case said
      :list (with-list reading id x from to)
      :need (cond
              (seq (info-wants reading id (hinted reading id))) reading          ; some are still to be asked
              (contains? gone x)                                (without-list reading id)
              :else                                             (assoc-in reading [:needs id] (near reading x)))
      :torn (without-list reading id)
      :gone (cond
              (= id top)                                    (assoc reading :no-such-group true)
              (contains? (:parts reading) (get parents id)) (without-list reading (get parents id))
              :else                                         reading))))

(defn- learn-lists
  "Makes all lists that can be made by now."
  [{:keys [top] :as reading}]
  (loop [todo (list top), reading reading]
    (if-some [id (peek todo)]
      (let [{:keys [infos gone parts]} reading
            reading  (if (or (contains? parts id) (fits? reading id) (structure-fits? reading id)
                             (not (or (contains? infos id) (contains? gone id) (not (told? reading id)))))
                       reading
                       (learn-list reading id))
            children (if-some [part (get-in reading [:parts id])]
                       (:children part)
                       (when-not (fits? reading id) (hinted reading id)))]
        (recur (into (pop todo) (comp (filter #(= :group (:kind %))) (map :id)) children) reading))
      reading)))

(def ^:private most-silences
  "So often the values of a synth are asked for again: a busy supernova loses answers." 2)

(defn- learn-one
  "What one answer says, or that there was none."
  [{:keys [parents silences] :as reading} round {:keys [what id controls]} answer]
  (case what
    :tree      (if answer
                 (assoc-in reading [:parts id] {:tree answer, :from round, :to round})
                 (too-large reading id))
    :structure (if answer
                 (with-lists reading answer round)
                 (update reading :huge conj id))
    :info      (if answer
                 (-> reading (assoc-in [:infos id] {:info answer, :round round}) (update :gone disj id))
                 (-> reading (update :infos dissoc id) (update :gone conj id)))
    :values    (cond
                 answer (assoc-in reading [:values id] (tree/named-values controls answer))
                 :else
                 ;; It may have ended since its group was read.
                 (let [part (get-in reading [:parts (get parents id)])]
                   (cond
                     (nil? part)                  reading
                     (< (long (get silences id 0)) (long most-silences))
                     (update reading :silences update id (fnil inc 0))
                     (not= round (:to part))      (without-list reading (get parents id))
                     :else                        (update reading :silent conj id))))))

(defn learn
  "The reading after round `round`.

  `asked`    those of the `wants` that were asked, in one bundle
  `answers`  map from `[what id]` to what was answered: a tree, an `/n_info`, a vector of
             values; where there is none the server had nothing to say"
  [reading round asked answers]
  (learn-lists
    (reduce (fn [reading {:keys [what id] :as want}] (learn-one reading round want (get answers [what id])))
            reading asked)))

;; ---- whether it was all so at one moment

(defn- reached
  "The ids of the groups whose parts make the tree, parents before children."
  [{:keys [top parts]}]
  (loop [todo (list top), found []]
    (if-some [id (peek todo)]
      (recur (into (pop todo) (comp (filter #(= :group (:kind %))) (map :id)) (rseq (vec (get-in parts [id :children]))))
             (conj found id))
      found)))

(defn- members
  "What belongs to parts: `:parts-of`, from a node's id to the parts in which it is, and
  `:parts-in`, from a group's id to those of which its children are."
  [{:keys [parts]} ids]
  (let [parts-of (HashMap.), parts-in (HashMap.)
        note     (fn [^HashMap m k id] (.put m k (conj (or (.get m k) []) id)))]
    (doseq [id ids, :let [{:keys [tree children]} (get parts id)]]
      (note parts-in id id)
      (run! (fn [child] (note parts-of (:id child) id)) children)
      (loop [todo (list tree)]
        (when-some [node (peek todo)]
          (run! (fn [child]
                  (note parts-of (:id child) id)
                  (when (= :group (:kind child)) (note parts-in (:id child) id)))
                (:children node))
          (recur (into (pop todo) (filter :children) (:children node))))))
    {:parts-of parts-of, :parts-in parts-in}))

(defn- touches
  "By part: the places in the journal of what has happened to it."
  [reading ids journal]
  (let [{:keys [^HashMap parts-of ^HashMap parts-in]} (members reading ids)]
    (reduce-kv (fn [touched place [id parent]]
                 (reduce (fn [touched part] (update touched part (fnil conj []) place))
                         touched
                         (concat (.get parts-of id) (.get parts-in parent))))
               {}
               journal)))

(defn conflicts
  "The groups whose parts are not of one moment: nil where all of the tree was so at one, a
  set of those that are to be read again otherwise.

  `journal`  what the server has told since the reading began, a vector of `[node parent]`
  `rounds`   by round, `{:sent n, :done n}`: how much of the journal had come when it was
             sent, and when it was answered"
  [{:keys [parts] :as reading} journal rounds]
  (let [ids     (when (seq journal) (filterv #(contains? parts %) (reached reading)))
        moments (into (sorted-set) (mapcat (fn [id] (let [{:keys [from to]} (get parts id)] [from to]))) ids)]
    (when (next moments)
      (let [touched (touches reading ids journal)
            touched-between? (fn [id from to] (boolean (some (fn [n] (and (<= (long from) (long n)) (< (long n) (long to)))) (get touched id))))
            quiet?  (fn [moment id]
                      (let [{:keys [from to]} (get parts id)]
                        (or (= moment from to)
                            (not (touched-between? id (:sent (get rounds (min (long from) (long moment))))
                                                   (:done (get rounds (max (long to) (long moment)))))))))]
        (when-not (some (fn [moment] (every? #(quiet? moment %) ids)) (rseq moments))
          (into #{} (filter (fn [id] (touched-between? id (:sent (get rounds (:from (get parts id)))) (count journal)))) ids))))))

(defn reread
  "The reading without the parts of these groups."
  [reading ids]
  (reduce (fn [reading id]
            (if (get-in reading [:parts id :tree])
              (update reading :parts dissoc id)
              (without-list reading id)))
          reading
          ids))

;; ---- the tree that it makes

(defn- synth-node
  "A synth of a list, and what of it is missing: [node missing]."
  [{:keys [controls? values] :as reading} {:keys [id] :as synth}]
  (let [controls (when controls?
                   (or (get values id)
                       (when-some [known (controls-of reading synth)]
                         (when (zero? (control/control-count known)) {}))))]
    [(cond-> synth controls (assoc :controls controls))
     (cond-> #{}
       (nil? (:def synth))                 (conj :def)
       (and controls? (nil? controls)) (conj :controls))]))

(defn assembled
  "The tree that the parts make. Its top says `:complete?`, whether it tells all that was
  asked for and was so at one moment; where not, `:missing`, by node what of it was not
  read (`:children`, `:def`, `:controls`), and `:changed`, the groups that may have been otherwise
  at the moment of the others. `:mappings? false` where controls were read one by one, which
  tells a value of those that are mapped.

  `finish`   a function of each node that is made here
  `changed`  what `conflicts` returns"
  [{:keys [top parts values] :as reading} finish changed]
  (let [[trees missing by-value?]
        (reduce (fn [[trees missing by-value?] id]
                  (let [{:keys [tree children] :as part} (get parts id)]
                    (cond
                      tree       [(assoc trees id tree) missing by-value?]
                      (nil? part) [(assoc trees id (finish {:id id, :kind :group, :children []})) (assoc missing id #{:children}) by-value?]
                      :else
                      (let [made  (mapv (fn [{:keys [kind id] :as child}]
                                          (if (= :group kind) [(get trees id)] (synth-node reading child)))
                                        children)
                            lacks (keep (fn [[node lacking]] (when (seq lacking) [(:id node) lacking])) made)]
                        [(assoc trees id (finish {:id id, :kind :group
                                                  :children (mapv (fn [[node] child] (if (= :group (:kind child)) node (finish node))) made children)}))
                         (into missing lacks)
                         (or by-value? (boolean (some (fn [child] (seq (get values (:id child)))) children)))]))))
                [{} {} false]
                (rseq (reached reading)))]
    (cond-> (assoc (get trees top) :complete? (and (empty? missing) (empty? changed)))
      (seq missing) (assoc :missing missing)
      (seq changed) (assoc :changed (set changed))
      by-value?     (assoc :mappings? false))))

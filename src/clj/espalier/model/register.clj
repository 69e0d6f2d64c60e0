(ns espalier.model.register
  "Logins for a server that counts none. supernova's clients keep a register of
  themselves in its node tree: a group whose children are claims. The id of a
  claim says which client it is for; of several for the same client the first in
  the tree has won, for the server puts them in one order. It says too which port the client
  has, for one that dies leaves its claim. All ids are negative, where no client's own nodes are.

      root
        -1000      the register
          -100002    two clients at the most
          -1481516   a claim to client 0, from port 22764
          -2007714   a claim to client 1, from port 7714"
  (:require
   [espalier.model.error :as error]))

(def group-id "The register itself." -1000)

(def ^:private claim-span 1000000)

(defn limit-id
  "The node that says how many clients there may be."
  [maximum-logins]
  (- -100000 maximum-logins))

(def ^:private port-span 65536)

(defn claim-id
  "The node that claims client `client-id` from a local port; `salt` (0 to 14, by chance) keeps
  the claims of two clients of two machines apart."
  [client-id port salt]
  (- (- (* claim-span (inc client-id))) (+ port (* port-span salt))))

(defn port-of
  "The local port of the client that has made a claim."
  [claim]
  (rem (rem (- claim) claim-span) port-span))

(defn- client-of [id]
  (when (<= id (- claim-span))
    (dec (quot (- id) claim-span))))

(defn parse
  "The register that a `/g_queryTree.reply` of it shows: `:maximum-logins`, or nil,
  and `:claims`, from client id to the node that claims it."
  [[_ _ group _ & children :as reply]]
  (when (not= group group-id)
    (throw (error/error :bad-reply (str "The register was asked for, not " (pr-str reply) ".") {:message reply})))
  (reduce (fn [register [id _]]
            (if-let [client (client-of id)]
              (update-in register [:claims client] #(or % id))
              (assoc register :maximum-logins (- (- id) 100000))))
          {:maximum-logins nil, :claims (sorted-map)}
          (partition 2 children)))

(defn free-client
  "The client id `wish` where nobody claims it, else the lowest such, or nil when all
  `maximum-logins` are claimed."
  ([register maximum-logins] (free-client register maximum-logins nil))
  ([register maximum-logins wish]
   (let [free (remove (:claims register) (range maximum-logins))]
     (or (some #{wish} free) (first free)))))

(defn rows
  "The messages that make a register: its group, its limit, the claims that are
  known already."
  [maximum-logins claims]
  (into [["/g_new" group-id 1 0] ["/g_new" (limit-id maximum-logins) 0 group-id]]
        (map (fn [id] ["/g_new" id 1 group-id]))
        (vals claims)))

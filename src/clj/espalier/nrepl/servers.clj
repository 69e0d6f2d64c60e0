(ns espalier.nrepl.servers
  "Which server a message means: by the name of a var, or the only one that is online."
  (:require
   [espalier.core :as sc]
   [espalier.model.error :as error])
  (:import
   (clojure.lang Namespace Var)
   (espalier.runtime.handle Server)))

(set! *warn-on-reflection* true)

(defn- holds? [^Var v s]
  (identical? s (.getRawRoot v)))

(defn name-of
  "The name of a var that holds a handle, `user/s`, or the empty string; one of `user` where
  several do."
  [s]
  (or (first (for [^Namespace n (cons (the-ns 'user) (all-ns))
                   [var-name v] (.getMappings n)
                   :when (and (var? v) (identical? n (.-ns ^Var v)) (holds? v s))]
               (str (ns-name n) "/" var-name)))
      ""))

(defn choices
  "The handles that are online, each in words with the name of its var."
  []
  (mapv (fn [s] {"server" (name-of s), "espalier/text" (str s)}) (sc/servers)))

(defn- no-server [message data]
  (let [online (choices)]
    (error/error :no-server
                 (str message
                      (if (seq online)
                        (apply str " Online are" (interpose "," (map (fn [{n "server", text "espalier/text"}] (str " " n (when (= "" n) "(in no var) ") text)) online)))
                        " None is online; (sc/boot! s) boots one.")
                      (when (next online) " The parameter server says which: \"user/s\"."))
                 (assoc data :choices online))))

(defn- resolved
  "The var of a name in a namespace, or nil."
  [n text]
  (try (let [v (ns-resolve n (symbol text))]
         (when (var? v) v))
       (catch ClassNotFoundException _ nil)))

(defn- named [text n]
  (let [v (resolved n text)
        s (some-> ^Var v .getRawRoot)]
    (if (instance? Server s)
      {:server s, :name (str (symbol v))}
      (throw (no-server (if v (str text " holds no handle.") (str "There is no var " text ".")) {:name text})))))

(defn- message-ns
  "The namespace in which a message names things; of the session it is known while that
  evaluates."
  [{n :ns, :keys [session]}]
  (or (some-> n symbol find-ns)
      (when (instance? clojure.lang.IDeref session) (get @session #'*ns*))
      (the-ns 'user)))

(defn meant
  "`:server`, the handle that a message means, and its `:name`. It may be offline where it is
  named.

  Throws `:espalier.error/no-server`, with `:choices`."
  [{text :server :as message}]
  (if text
    (named text (message-ns message))
    (let [[s & more] (sc/servers)]
      (cond
        (nil? s)   (throw (no-server "No server is named." {}))
        (seq more) (throw (no-server "Several servers are online, and none is named." {}))
        :else      {:server s, :name (name-of s)}))))

(defn meant-if-any
  "As `meant`, but nil where none is named and not one alone is online."
  [{text :server :as message}]
  (when (or text (= 1 (count (sc/servers))))
    (meant message)))

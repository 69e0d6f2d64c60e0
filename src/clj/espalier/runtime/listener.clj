(ns espalier.runtime.listener
  "The id of a handler of messages or of lifecycle events, by which it is removed: equal to itself alone, and in
  print what it hears."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error])
  (:import
   (java.io Writer)))

(set! *warn-on-reflection* true)

(deftype Listener [hears]
  Object
  (toString [_] (str "#<Listener " hears ">")))

(defmethod print-method Listener [l ^Writer w] (.write w (str l)))

(defn of-messages
  "An id for who hears the messages that fit a pattern.

      (of-messages \"/n_go\")  ;=> #<Listener \"/n_go\">"
  [pattern]
  (Listener. (if (fn? pattern) "of a predicate" (error/shown pattern))))

(defn of-events
  "An id for who hears these lifecycle events, a set; nil is all.

      (of-events #{:lost :booted})  ;=> #<Listener :booted :lost>"
  [events]
  (Listener. (if events (str/join " " (sort events)) "of all lifecycle events")))

(ns pieces.main
  "Plays one of the pieces: bin/clj -M:pieces mix             so that it is heard
                            bin/clj -M:pieces mix mix.wav     into a file, without a sound card"
  (:require
   [espalier.core :as sc]
   [espalier.wav :as wav])
  (:import
   (java.io File)))

(def pieces "Their names; each is a namespace beside this one." '[mix stream grains feedback jam])

(defn- in-piece [piece var-name]
  (requiring-resolve (symbol (str "pieces." piece) var-name)))

(defn- options [piece]
  (merge {:port (sc/find-free-port)} (some-> (in-piece piece "options") deref)))

(defn play!
  "Boots a server with the machine's audio, plays a piece, a symbol, and quits."
  [piece]
  (sc/with-server [s (options piece)]
    ((in-piece piece "play!") s)))

(defn render!
  "Plays a piece on a server without a sound card into a WAV file. Returns what `espalier.wav/level` says of it, and
  `:played`, what the piece has returned."
  [piece path]
  (sc/with-server [s (merge {:audio :dummy, :dummy-period-frames 1024} (options piece))]
    (let [recording (sc/record! s path)
          played    ((in-piece piece "play!") s)]
      (sc/stop-recording! recording)
      (assoc (wav/level path) :played played))))

(defn -main [& [piece path]]
  (let [piece (some #{(some-> piece symbol)} pieces)]
    (cond
      (nil? piece) (println "Name one of these, and a WAV file if it is to be recorded:" (apply str (interpose ", " pieces)))
      path         (println path (dissoc (render! piece (.getAbsolutePath (File. ^String path))) :played))
      :else        (play! piece))
    (shutdown-agents)))

(ns espalier.runtime.ledger
  "What was asked of a server that outlives the asking, kept up as packets go out: an atom of
  the value that `espalier.model.ledger` steps. The mirror knows what the server tells; this
  is what it does not."
  (:require
   [espalier.model.ledger :as ledger]
   [espalier.model.state :as state]
   [espalier.runtime.link :as link]
   [espalier.runtime.mirror :as mirror])
  (:import
   (espalier.kernel OscBundle OscMessage OscPacket)))

(set! *warn-on-reflection* true)

(deftype Ledger
  [known      ; atom: what was asked
   refillers  ; atom: from the number of a buffer to the function that fills it again
   mirror])

(defn ledger
  "A ledger of nothing, beside a mirror."
  [mirror]
  (Ledger. (atom ledger/initial) (atom {}) mirror))

(defn known
  "What was asked, a value."
  [^Ledger l]
  @(.-known l))

(defn refillers
  "From the numbers of buffers to the functions that fill them again."
  [^Ledger l]
  @(.-refillers l))

(defn refill-with!
  "Notes the function that fills a buffer again."
  [^Ledger l id f]
  (swap! (.-refillers l) assoc id f))

(defn- request
  "The vector of a message, without a completion."
  [^OscMessage m]
  (let [arguments (.arguments m), n (.size arguments)]
    (cond
      ;; A run of samples stays an array.
      (and (= "/b_setn" (.address m)) (< 3 n) (= n (+ 3 (int (.get arguments 2)))))
      ["/b_setn" (.get arguments 0) (.get arguments 1) (.get arguments 2) (.floats m 3)]

      (and (pos? n) (bytes? (.get arguments (dec n))))
      (pop (link/message m))

      :else (link/message m))))

(def ^:private most-nodes
  "Of so many more synths than are known to be there some have ended untold." 4096)

(defn- step! [^Ledger l request]
  (let [mirror  (.-mirror l)
        context {:known-of (fn [synthdef] (get (:synthdefs (mirror/known mirror)) synthdef))
                 :below    (fn [id] (state/below (mirror/known mirror) id))}
        {:keys [nodes]} (swap! (.-known l) ledger/step request context)]
    (when (= "/b_free" (nth request 0))
      (swap! (.-refillers l) dissoc (nth request 1)))
    (when (and (= "/s_new" (nth request 0)) (zero? (rem (count nodes) (long most-nodes))))
      (swap! (.-known l) ledger/only #(mirror/there? mirror %)))))

(defn forget-buffer!
  "Notes that a buffer is not wanted any more, of which no request may have gone out that
  says so."
  [l id]
  (step! l ["/b_free" id]))

(defn- completed!
  "Takes in what a message has as its completion."
  [l sent! ^OscMessage m]
  (let [arguments (.arguments m)
        blob      (when-not (.isEmpty arguments) (.get arguments (dec (.size arguments))))]
    (when (bytes? blob)
      (some->> (link/embedded blob) (sent! l)))))

(defn sent!
  "Takes in a kernel packet that goes out."
  [^Ledger l ^OscPacket p]
  (if (instance? OscMessage p)
    (let [address (.address ^OscMessage p)]
      (when (ledger/commands address)
        ;; What is sent unchecked may be no request at all.
        (try (step! l (request p))
             (catch RuntimeException _)))
      (case address
        ("/b_alloc" "/b_allocRead" "/b_allocReadChannel" "/b_read" "/b_readChannel" "/b_zero" "/b_close" "/b_free" "/d_recv" "/d_load" "/d_loadDir")
        (completed! l sent! p)
        nil))
    (run! #(sent! l %) (.packets ^OscBundle p))))

(defn arrived!
  "Takes in what the server says."
  [^Ledger l ^OscMessage m]
  (when (= "/n_end" (.address m))
    (swap! (.-known l) ledger/ended (long (.get (.arguments m) 0)))))

(ns espalier.pages
  "What a browser does, for the tests of the inspector: asks, and follows the stream of a
  page."
  (:require
   [clojure.string :as str])
  (:import
   (java.io BufferedReader Closeable InputStreamReader OutputStream PushbackReader StringReader)
   (java.net HttpURLConnection InetAddress ServerSocket Socket URI)
   (java.nio.charset StandardCharsets)))

(set! *warn-on-reflection* true)

;; ---- JSON, read

(declare read-value)

(defn- next-char [^PushbackReader in]
  (loop [c (.read in)]
    (if (Character/isWhitespace c) (recur (.read in)) (char c))))

(defn- read-text [^PushbackReader in]
  (let [out (StringBuilder.)]
    (loop [c (char (.read in))]
      (case c
        \" (str out)
        \\ (let [e (char (.read in))]
             (.append out (case e
                            \n \newline, \t \tab, \r \return, \b \backspace, \f \formfeed
                            \u (char (Integer/parseInt (apply str (repeatedly 4 #(char (.read in)))) 16))
                            e))
             (recur (char (.read in))))
        (do (.append out c) (recur (char (.read in))))))))

(defn- read-members [^PushbackReader in close read-member]
  (loop [found [], c (next-char in)]
    (cond
      (= close c) found
      (= \, c)    (recur found (next-char in))
      :else       (do (.unread in (int c))
                      (recur (conj found (read-member)) (next-char in))))))

(defn- read-word [^PushbackReader in c]
  (let [word (loop [out (str c)]
               (let [n (.read in)]
                 (if (or (neg? n) (str/includes? ",]}" (str (char n))))
                   (do (when-not (neg? n) (.unread in n)) (str/trim out))
                   (recur (str out (char n))))))]
    (case word
      "null" nil, "true" true, "false" false
      (or (parse-long word) (parse-double word) (throw (ex-info (str "no JSON: " word) {}))))))

(defn- read-value [^PushbackReader in]
  (let [c (next-char in)]
    (case c
      \" (read-text in)
      \[ (read-members in \] #(read-value in))
      \{ (into {} (read-members in \} (fn [] (let [k (read-value in)] (next-char in) [(keyword k) (read-value in)]))))
      (read-word in c))))

(defn json
  "What a JSON text says; keys are keywords."
  [^String text]
  (read-value (PushbackReader. (StringReader. text))))

;; ---- questions

(defn ask
  "Sends one request as it stands, and returns its `:status`, `:headers` and `:body`.

  `:method` `:path` `:headers` `:body`; without `:headers` that of the right host"
  [port {:keys [method path headers ^String body] :or {method "GET"}}]
  (with-open [socket (Socket. "127.0.0.1" (int port))]
    (.setSoTimeout socket 10000)
    (let [^OutputStream out (.getOutputStream socket)
          headers (merge {"Host" (str "127.0.0.1:" port), "Connection" "close"}
                         (when body {"Content-Length" (count (.getBytes body StandardCharsets/UTF_8))})
                         headers)]
      (.write out (.getBytes (str method " " path " HTTP/1.1\r\n"
                                  (apply str (for [[k v] headers :when v] (str k ": " v "\r\n")))
                                  "\r\n" body)
                             StandardCharsets/UTF_8))
      (.flush out)
      (let [answer (slurp (.getInputStream socket))
            [head text] (str/split answer #"\r\n\r\n" 2)
            [line & lines] (str/split-lines head)]
        {:status  (parse-long (second (str/split line #" ")))
         :headers (into {} (map (fn [l] (let [[k v] (str/split l #": " 2)] [(str/lower-case k) v]))) lines)
         :body    text}))))

(defn port-of [url] (.getPort (URI. url)))
(defn path-of [url] (.getPath (URI. url)))

(defn act
  "Posts an action; returns `:status` and what was answered."
  [url action body]
  (let [{:keys [status body]} (ask (port-of url) {:method "POST", :path (str (path-of url) action), :body body})]
    {:status status, :said (try (json body) (catch Exception _ body))}))

;; ---- the stream

(defn apply-news
  "The page after what was told of it."
  [page {:keys [nodes log anew] :as news}]
  (let [page (if anew {} page)]
    (cond-> (merge page (dissoc news :nodes :log :anew))
      true  (update :nodes (fn [known] (as-> (or known {}) known
                                         (reduce (fn [m node] (assoc m (:id node) node)) known (:changed nodes))
                                         (reduce dissoc known (:gone nodes)))))
      true  (update :log (fn [lines] (into (or lines []) log)))
      true  (update :told (fnil inc 0)))))

(defn event
  "What one event of the stream tells, or nil for one without data."
  [text]
  (some-> (second (re-find #"(?m)^data: (.*)$" text)) json))

(defprotocol Looking
  (shown [_] "The page as it is now.")
  (ended? [_] "Whether the stream has ended."))

(defn look
  "Looks at a page as a browser does, until it is closed."
  ^Closeable [url]
  (let [connection ^HttpURLConnection (.openConnection (.toURL (URI. (str url "events"))))
        page  (atom {})
        over  (promise)]
    (.setConnectTimeout connection 5000)
    (doto (Thread. (fn []
                     (try (with-open [in (BufferedReader. (InputStreamReader. (.getInputStream connection) StandardCharsets/UTF_8))]
                            (doseq [line (line-seq in)]
                              (some->> (event line) (swap! page apply-news))))
                          (catch java.io.IOException _)
                          (finally (deliver over true))))
                   "looks-at-a-page")
      (.setDaemon true) .start)
    (reify
      Looking
      (shown [_] @page)
      (ended? [_] (realized? over))
      Closeable
      ;; Where nothing is told, it would wait for the reader, which waits for the page.
      (close [_] (deref (future (.disconnect connection)) 1000 nil)))))

;; ---- what it shows

(defn tree
  "The nodes of a page as a tree, in the form of `told`."
  ([page] (tree (:nodes page) 0))
  ([nodes id]
   (let [{:keys [children controls] :as node} (get nodes id)]
     (cond-> (select-keys node [:id :kind :def :key :paused :parallel])
       controls (assoc :controls (mapv (fn [[k v]] [(str k) v]) controls))
       children (assoc :children (mapv #(tree nodes %) children))))))

(defn told
  "A tree as a query returns it, as a page would show it."
  [{:keys [kind controls children] k :key :as node}]
  (cond-> (assoc (select-keys node [:id :def :paused :parallel]) :kind (name kind))
    (some? k)       (assoc :key (pr-str k))
    (= :synth kind) (assoc :controls (mapv (fn [[c v]] [(str c) v]) controls))
    children        (assoc :children (mapv told children))))

;; ---- a connection that breaks

(defprotocol Line
  (line-port [_] "Where it is connected to.")
  (cut! [_] "Breaks all connections that there are; new ones are taken."))

(defn- pump [^Socket from ^Socket to]
  (doto (Thread. #(try (.transferTo (.getInputStream from) (.getOutputStream to))
                       (catch java.io.IOException _)
                       (finally (.close to)))
                 "a-line")
    (.setDaemon true) .start))

(defn line
  "What hands on connections to a port of this machine, and can break them."
  ^Closeable [port]
  (let [door (ServerSocket. 0 50 (InetAddress/getLoopbackAddress))
        ends (atom #{})]
    (doto (Thread. #(try (while true
                           (let [a (.accept door), b (Socket. "127.0.0.1" (int port))]
                             (swap! ends conj a b)
                             (pump a b)
                             (pump b a)))
                         (catch java.io.IOException _))
                   "takes-lines")
      (.setDaemon true) .start)
    (reify
      Line
      (line-port [_] (.getLocalPort door))
      (cut! [_]
        (let [[before _] (reset-vals! ends #{})]
          (run! (fn [^Socket end] (.close end)) before)))
      Closeable
      (close [this] (.close door) (cut! this)))))

(ns espalier.runtime.page-server
  "A page for this machine alone, by the HTTP server of the JDK: files, actions, and a
  stream of events (`text/event-stream`). It listens on 127.0.0.1. The path of each address
  begins with a secret token; what comes without it is refused, and so is what names
  another host, as a page elsewhere does whose name was bound to 127.0.0.1 meanwhile, and
  an action that a page of another origin asks for."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.model.error :as error]
   [espalier.model.json :as json]
   [espalier.runtime.worker :as worker])
  (:import
   (com.sun.net.httpserver HttpExchange HttpHandler HttpServer)
   (java.io ByteArrayOutputStream IOException OutputStream)
   (java.net BindException InetAddress InetSocketAddress URLDecoder)
   (java.nio.charset StandardCharsets)
   (java.security MessageDigest SecureRandom)
   (java.util Base64)
   (java.util.concurrent ExecutorService TimeUnit)
   (java.util.concurrent.atomic AtomicInteger)))

(set! *warn-on-reflection* true)

(deftype PageServer [^HttpServer http ^ExecutorService threads ^String token])

(defn- new-token
  "128 random bits, as letters and digits that need no quoting in an address."
  []
  (let [bytes (byte-array 16)]
    (.nextBytes (SecureRandom.) bytes)
    (.encodeToString (.withoutPadding (Base64/getUrlEncoder)) bytes)))

(defn port
  "The port that it listens on."
  ^long [^PageServer p]
  (.getPort (.getAddress ^HttpServer (.-http p))))

(defn url
  "The address of the page, with the token."
  [^PageServer p]
  (str "http://127.0.0.1:" (port p) "/" (.-token p) "/"))

;; ---- answers

(def ^:private headers
  "What browsers are told with each answer: to load nothing from elsewhere, to show it in
  no frame, to keep nothing, and to tell nobody the address."
  {"Content-Security-Policy" "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
   "Referrer-Policy"         "no-referrer"
   "X-Content-Type-Options"  "nosniff"
   "X-Frame-Options"         "DENY"
   "Cache-Control"           "no-store"})

(defn- begin! [^HttpExchange x status content-type size]
  (let [h (.getResponseHeaders x)]
    (doseq [[k v] headers] (.set h k v))
    (.set h "Content-Type" content-type)
    (.sendResponseHeaders x (int status) (long size))))

(defn- answer! [^HttpExchange x status content-type ^bytes body]
  (begin! x status content-type (if (zero? (alength body)) -1 (alength body)))
  (when (pos? (alength body))
    (with-open [out (.getResponseBody x)] (.write out body))))

(defn- say! [x status text]
  (answer! x status "text/plain; charset=utf-8" (.getBytes (str text "\n") StandardCharsets/UTF_8)))

(defn- say-json! [x status value]
  (answer! x status "application/json; charset=utf-8" (.getBytes (json/text value) StandardCharsets/UTF_8)))

(defn- file! [x [path content-type]]
  (with-open [in (io/input-stream (io/resource path)), out (ByteArrayOutputStream.)]
    (io/copy in out)
    (answer! x 200 content-type (.toByteArray out))))

(defn- stream!
  "Hands `stream` a function that sends an event, and sends what it is called with until
  `stream` returns or the browser has gone."
  [^HttpExchange x ^AtomicInteger open limit stream]
  (if (< (long limit) (.incrementAndGet open))
    (do (.decrementAndGet open)
        (say! x 503 (str "So many pages are open already: " limit ".")))
    (try
      (begin! x 200 "text/event-stream; charset=utf-8" 0)
      (with-open [^OutputStream out (.getResponseBody x)]
        (stream (fn [^String text]
                  (.write out (.getBytes text StandardCharsets/UTF_8))
                  (.flush out))))
      (finally (.decrementAndGet open)))))

;; ---- questions

(def ^:private longest-body "Bytes of an action, at the most." 65536)

(defn- decoded
  "The parameters of a form, `a=1&b=2`."
  [^String text]
  (into {}
        (keep (fn [pair]
                (let [[k v] (str/split pair #"=" 2)
                      plain (fn [^String x] (URLDecoder/decode x StandardCharsets/UTF_8))]
                  (when-not (str/blank? k)
                    [(plain k) (plain (or v ""))]))))
        (str/split text #"&")))

(defn- act!
  "Carries out an action with the parameters in the body of the request."
  [^HttpExchange x action]
  (let [body (.readNBytes (.getRequestBody x) (inc (long longest-body)))]
    (if (< (long longest-body) (alength body))
      (say! x 413 "That is too long.")
      (let [[status value]
            (try [200 (action (decoded (String. body StandardCharsets/UTF_8)))]
                 (catch clojure.lang.ExceptionInfo e
                   [422 {:error (ex-message e), :code (some-> (error/code e) name)}])
                 (catch IllegalArgumentException e
                   [400 {:error (ex-message e)}]))]
        (say-json! x status (or value {}))))))

(defn- equal?
  "Whether two strings are, without telling by the time it takes how much of them."
  [^String a ^String b]
  (MessageDigest/isEqual (.getBytes a StandardCharsets/UTF_8) (.getBytes b StandardCharsets/UTF_8)))

(defn- hosts
  "The names under which this server may be asked."
  [port]
  #{(str "127.0.0.1:" port) (str "localhost:" port)})

(defn- refusal
  "Why a request is refused, or nil."
  [^HttpExchange x port token given]
  (let [h      (.getRequestHeaders x)
        host   (some-> (.getFirst h "Host") str/lower-case)
        origin (some-> (.getFirst h "Origin") str/lower-case)]
    (cond
      (not (contains? (hosts port) host))                                        "This server answers only to 127.0.0.1 and localhost."
      (not (equal? token given))                                                 "The address lacks its token: (inspector/url i) has it."
      (and origin (not (contains? (set (map #(str "http://" %) (hosts port))) origin))) "Only the page itself may ask here."
      (str/includes? (or (.getFirst h "Sec-Fetch-Site") "") "cross-site")
      (when (= "POST" (.getRequestMethod x)) "Only the page itself may ask here."))))

(defn- handle! [^HttpExchange x token {:keys [files actions stream open limit]}]
  (let [method (.getRequestMethod x)
        [given path] (rest (re-matches #"/([^/]*)(?:/(.*))?" (.getPath (.getRequestURI x))))
        port   (.getPort (.getLocalAddress x))]
    (if-let [why (refusal x port token (or given ""))]
      (say! x 403 why)
      (let [known? (fn [m] (contains? m path))]
        (cond
          (and (known? actions) (= "POST" method)) (act! x (get actions path))
          (known? actions)                         (say! x 405 "This is done by POST.")
          (not (or (known? files) (= "events" path))) (say! x 404 "There is nothing here.")
          (not= "GET" method)                      (say! x 405 "This is asked for by GET.")
          (known? files)                           (file! x (get files path))
          :else                                    (stream! x open limit stream))))))

;; ---- its life

(defn- bind ^HttpServer [port]
  (let [address (InetSocketAddress. (InetAddress/getByAddress "127.0.0.1" (byte-array [127 0 0 1])) (int port))]
    (try (HttpServer/create address 0)
         (catch BindException e
           (throw (error/error :port-taken
                               (str "Port " port " of 127.0.0.1 cannot be listened on: " (ex-message e) ". Without :port, a free one is taken.")
                               {:port port} e))))))

(defn start!
  "Starts a server on 127.0.0.1; its threads are daemons.

  `:port`     where to listen (0: a free port)
  `:files`    by path the resource and its content type
  `:actions`  by path what a POST does: a function of the parameters, a map of strings, to
              what is answered as JSON; an `ex-info` that it throws is answered with 422
  `:stream`   what GET of `events` does: a function of a function that sends text. It
              returns when it has ended; sending throws an IOException when the browser has
              gone, and blocks while it does not read
  `:on-fault` called with what else is thrown than for a browser that has gone
  `:limit`    how many streams there may be at once
  `:name`     of its threads

  Throws `:espalier.error/port-taken`."
  [{:keys [port limit] :as spec}]
  (let [http    (bind port)
        token   (new-token)
        threads (worker/threads (:name spec))
        spec    (assoc spec :open (AtomicInteger.) :limit limit)]
    (.setExecutor http threads)
    (.createContext http "/" (reify HttpHandler
                               (handle [_ x]
                                 (try (handle! x token spec)
                                      ;; The browser has gone.
                                      (catch IOException _)
                                      (catch Throwable e ((:on-fault spec) e))
                                      (finally (.close x))))))
    ;; The thread that it makes is a daemon when the one that starts it is.
    (doto (Thread. (fn [] (.start http)) (str (:name spec) "-start"))
      (.setDaemon true) .start .join)
    (PageServer. http threads token)))

(defn stop!
  "Ends the server, its connections and its threads; returns nil."
  [^PageServer p]
  (.stop ^HttpServer (.-http p) 0)
  (doto ^ExecutorService (.-threads p)
    .shutdownNow
    (.awaitTermination 2 TimeUnit/SECONDS))
  nil)

(ns espalier.browser
  "A headless Chromium, where one is installed, by its DevTools protocol."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [espalier.model.json :as json]
   [espalier.pages :as pages])
  (:import
   (java.io Closeable File)
   (java.lang ProcessHandle)
   (java.net URI)
   (java.net.http HttpClient WebSocket WebSocket$Listener)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)
   (java.util.concurrent CompletableFuture ConcurrentHashMap TimeUnit)
   (java.util.concurrent.atomic AtomicLong)))

(set! *warn-on-reflection* true)

(defn executable
  "The path of a Chromium, or nil."
  []
  (first (for [folder (str/split (or (System/getenv "PATH") "") (re-pattern File/pathSeparator))
               program ["chromium" "chromium-browser" "google-chrome"]
               :let  [file (io/file folder program)]
               :when (.canExecute file)]
           (str file))))

(deftype Browser [^Process process ^File folder ^WebSocket socket ^ConcurrentHashMap waiting ^AtomicLong n errors]
  Closeable
  (close [_]
    (.abort socket)
    (let [children (vec (iterator-seq (.iterator (.descendants process))))]
      (.destroy process)
      (when-not (.waitFor process 5 TimeUnit/SECONDS) (.destroyForcibly process))
      (run! (fn [^ProcessHandle p] (.destroyForcibly p)) children)
      (run! (fn [^ProcessHandle p] (deref (.onExit p) 5000 nil)) children))
    ;; The last of them may write while the folder is emptied.
    (run! (fn [^File f] (.delete f)) (reverse (file-seq folder)))))

(defn- listener ^WebSocket$Listener [^ConcurrentHashMap waiting errors]
  (let [text (StringBuilder.)]
    (reify WebSocket$Listener
      (onText [_ socket part end?]
        (.append text part)
        (when end?
          (let [{:keys [id method params] :as answer} (pages/json (str text))]
            (.setLength text 0)
            (when (= "Runtime.exceptionThrown" method) (swap! errors conj params))
            (when (and (= "Log.entryAdded" method) (= "error" (:level (:entry params)))) (swap! errors conj params))
            (some-> ^CompletableFuture (.remove waiting (or id -1)) (.complete answer))))
        (.request socket 1)
        nil))))

(defn- page-socket
  "Where to talk to the page of a browser that begins."
  [port]
  (loop [tries 100]
    (or (:webSocketDebuggerUrl (first (filter #(= "page" (:type %)) (pages/json (slurp (str "http://127.0.0.1:" port "/json/list"))))))
        (when (pos? tries)
          (.await (java.util.concurrent.CountDownLatch. 1) 50 TimeUnit/MILLISECONDS)
          (recur (dec tries))))))

(defn call!
  "Calls a method of the protocol and returns its result."
  [^Browser b method params]
  (let [id     (.incrementAndGet ^AtomicLong (.-n b))
        answer (CompletableFuture.)]
    (.put ^ConcurrentHashMap (.-waiting b) id answer)
    (.join (.sendText ^WebSocket (.-socket b) (json/text {:id id, :method method, :params params}) true))
    (let [{:keys [result error]} (.get answer 20 TimeUnit/SECONDS)]
      (when error (throw (ex-info (str method ": " (:message error)) error)))
      result)))

(defn open
  "A browser that shows an address; `switches` are more of its command line."
  ^Closeable [url & switches]
  (let [folder  (.toFile (Files/createTempDirectory "espalier-browser" (make-array FileAttribute 0)))
        process (.start (doto (ProcessBuilder. ^"[Ljava.lang.String;"
                                               (into-array String (concat [(executable) "--headless=new" "--no-sandbox" "--disable-gpu" "--no-first-run" "--disable-dev-shm-usage"
                                                                   "--remote-debugging-port=0" (str "--user-data-dir=" folder)]
                                                                          switches ["about:blank"])))
                          (.redirectErrorStream true)))
        lines   (line-seq (io/reader (.getInputStream process)))
        port    (or (some #(second (re-find #"DevTools listening on ws://127.0.0.1:(\d+)/" %)) lines)
                    (throw (ex-info "Chromium did not start." {})))
        waiting (ConcurrentHashMap.)
        errors  (atom [])
        ;; What it prints is read on, so that it can print on.
        _       (doto (Thread. #(try (dorun lines) (catch Exception _)) "reads-a-browser") (.setDaemon true) .start)
        socket  (.join (.buildAsync (.newWebSocketBuilder (HttpClient/newHttpClient)) (URI. (page-socket port)) (listener waiting errors)))
        b       (Browser. process folder socket waiting (AtomicLong.) errors)]
    (call! b "Runtime.enable" {})
    (call! b "Log.enable" {})
    (call! b "Page.enable" {})
    (call! b "Page.navigate" {:url url})
    b))

(defn errors
  "What went wrong in the page's own code."
  [^Browser b]
  @(.-errors b))

(defn value
  "The value of an expression of JavaScript in the page, promises awaited."
  [b expression]
  (let [{:keys [result exceptionDetails]} (call! b "Runtime.evaluate" {:expression expression, :returnByValue true, :awaitPromise true})]
    (when exceptionDetails
      (throw (ex-info (str "JavaScript: " (or (get-in exceptionDetails [:exception :description]) (:text exceptionDetails))) {:expression expression})))
    (:value result)))

(defn screenshot!
  "Writes what is seen to a PNG file, at a size and with a `:scheme` of colours, \"light\" or
  \"dark\"."
  [b path {:keys [width height scheme mobile]}]
  (call! b "Emulation.setDeviceMetricsOverride" {:width width, :height height, :deviceScaleFactor 1, :mobile (boolean mobile)})
  (when mobile (call! b "Emulation.setTouchEmulationEnabled" {:enabled true}))
  (call! b "Emulation.setEmulatedMedia" {:features [{:name "prefers-color-scheme", :value scheme}]})
  (let [{:keys [data]} (call! b "Page.captureScreenshot" {:format "png"})]
    (with-open [out (io/output-stream path)]
      (.write out (.decode (java.util.Base64/getDecoder) ^String data)))))

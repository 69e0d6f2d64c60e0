(ns espalier.runtime.port
  "Ports of this machine: whether one is free, who holds it, which one to take.

  A second scsynth on a used port removes the first one's shared memory before it
  fails, so a port is tried before a server is started on it."
  (:require
   [clojure.string :as str]
   [espalier.model.error :as error])
  (:import
   (java.io File IOException)
   (java.net DatagramSocket InetAddress InetSocketAddress ServerSocket)
   (java.nio.charset StandardCharsets)
   (java.nio.file Files Path)))

(set! *warn-on-reflection* true)

(defn- bind-udp ^long [^InetSocketAddress address]
  (with-open [socket (DatagramSocket. nil)]
    (.setReuseAddress socket false)
    (.bind socket address)
    (.getLocalPort socket)))

(defn- bind-tcp ^long [^InetSocketAddress address reuse?]
  (with-open [socket (ServerSocket.)]
    (.setReuseAddress socket (boolean reuse?))
    (.bind socket address)
    (.getLocalPort socket)))

(defn- lines
  "The lines of a file under /proc, none where it cannot be read. Such files have
  no length, which readers of ordinary files stumble over."
  [path]
  (try (str/split-lines (String. (Files/readAllBytes (Path/of path (make-array String 0)))))
       (catch IOException _ [])))

(defn- sockets
  "The sockets of this machine with a local port, from /proc/net (proc(5)), `:address`, `:state` and
  `:inode` of each: the local address is the second column, its port in hexadecimal; the inode the tenth."
  [protocol port]
  (let [suffix (format ":%04X" port)]
    (for [table [(name protocol) (str (name protocol) "6")]
          line  (rest (lines (str "/proc/net/" table)))
          :let  [[_ ^String local _ state _ _ _ _ _ inode] (str/split (str/trim line) #"\s+")]
          :when (and local (str/ends-with? local suffix))]
      {:address (subs local 0 (- (count local) 5)), :state state, :inode inode})))

(defn- listening
  "The sockets of this machine at which a port is heard."
  [protocol port]
  (filter #(or (= :udp protocol) (= "0A" (:state %))) (sockets protocol port)))

(defn- inodes
  "The inodes of the sockets bound to a port."
  [protocol port]
  (into #{} (map :inode) (listening protocol port)))

(defn loopback-alone?
  "Whether a server listens at a port for this machine alone, as far as can be told: not where there
  is no /proc."
  [protocol port]
  (let [those (listening protocol port)]
    (boolean (and (seq those) (every? #(= "0100007F" (:address %)) those)))))

(defn in-use?
  "Whether a socket of this machine has a local port: one that is bound, or connected."
  [port]
  (boolean (or (seq (sockets :udp port))
               (some #(= "01" (:state %)) (sockets :tcp port)))))

(defn holder
  "The process that holds a port of this machine, `{:pid 1234, :command \"scsynth\"}`,
  or nil where it cannot be told: it is another user's, or there is no /proc.

      (holder :udp 57110)"
  [protocol port]
  (let [wanted (into #{} (map #(str "socket:[" % "]")) (inodes protocol port))]
    (when (seq wanted)
      (first
        (for [^File process (.listFiles (File. "/proc"))
              :when         (re-matches #"\d+" (.getName process))
              ^File fd      (.listFiles (File. process "fd"))
              :let          [target (try (str (Files/readSymbolicLink (.toPath fd)))
                                         (catch Exception _ nil))]
              :when         (wanted target)]
          {:pid     (parse-long (.getName process))
           :command (first (lines (str process "/comm")))})))))

(defn- line-of-port
  "The line of a table of sockets whose local address has this port, or nil. What it reads is
  not taken apart where it is not asked for, for this is looked at while others wait."
  [table port]
  (let [^String text (try (String. (Files/readAllBytes (Path/of table (make-array String 0))) StandardCharsets/ISO_8859_1)
                          (catch IOException _ ""))
        ^String wanted (format ":%04X " port)]
    (loop [at (.indexOf text wanted)]
      (when-not (neg? at)
        (let [begin (inc (.lastIndexOf text "\n" at))]
          ;; The local address stands before the remote one: so far from the beginning of a line for IPv4, and so for IPv6.
          (if (contains? #{15 39} (- at begin))
            (subs text begin (.indexOf text "\n" at))
            (recur (.indexOf text wanted (inc at)))))))))

(defn udp-socket
  "What Linux counts of the UDP socket of this machine that is bound to a port: `:unread-bytes`
  that wait in its buffer, and `:dropped`, the packets that had no room there. nil where there
  is none, or no /proc.

      (:dropped (udp-socket 57110))"
  [port]
  (when-let [line (or (line-of-port "/proc/net/udp" port) (line-of-port "/proc/net/udp6" port))]
    (let [columns (str/split (str/trim line) #"\s+")]
      {:unread-bytes (Long/parseLong (subs (nth columns 4) 9) 16)
       :dropped      (parse-long (peek columns))})))

(defn check-free!
  "Throws `:espalier.error/server-cannot-boot` with `:reason :port-taken` where a
  server could not listen on the port; nil otherwise. Any address of IPv4 or IPv6
  may be asked about, also 0.0.0.0.

  `reuses-tcp-port?`  whether the server may take a TCP port that is still in
                      TIME_WAIT"
  [{:keys [protocol ip-address port]} reuses-tcp-port?]
  (let [address (InetSocketAddress. (InetAddress/getByName ip-address) (int port))]
    (try
      (if (= :tcp protocol)
        (bind-tcp address reuses-tcp-port?)
        (bind-udp address))
      nil
      (catch IOException e
        (let [{:keys [pid command] :as who} (holder protocol port)
              transport (str/upper-case (name protocol))
              in-use?   (or who (re-find #"(?i)in use" (str (ex-message e))))]
          (throw
            (error/error
              :server-cannot-boot
              (if in-use?
                (str transport " port " port " of " ip-address " is taken"
                     (if pid (str " by process " pid " (" command ")") "")
                     "; a server would say \"failed to open " transport " socket: address in use\". "
                     "(sc/boot! s {:port (sc/find-free-port)}) takes another, (sc/connect! s {:port " port
                     "}) uses the server that is there.")
                (str "No " transport " port can be opened at " ip-address ":" port ": " (ex-message e)
                     ". :ip-address is an address of this machine, 127.0.0.1 or 0.0.0.0 for example."))
              {:reason     (if in-use? :port-taken :bad-address)
               :protocol   protocol
               :ip-address ip-address
               :port       port
               :held-by    who}
              e)))))))

(defn find-free-port
  "A port of this machine that is free for UDP and for TCP. Nobody reserves it:
  take it soon."
  []
  (loop [tries 50]
    (let [port (bind-udp (InetSocketAddress. 0))
          free (try (= port (bind-tcp (InetSocketAddress. (int port)) false))
                    (catch IOException e (when (zero? tries) (throw e))))]
      (if free port (recur (dec tries))))))

(ns ^:many-servers espalier.synthdefs-test
  "SynthDefs on every kind of server: what is added is there, what is not is named, and
  what was there stays."
  (:require
   [clojure.core.protocols :refer [datafy]]
   [clojure.java.io :as io]
   [clojure.set :as set]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.model.synthdef :as synthdef]
   [espalier.model.synthdef-check :as check]
   [espalier.servers :as servers :refer [error-of eventually refused refuses sent-after thrown]])
  (:import
   (java.io Closeable File FilenameFilter)
   (java.nio.file Files)
   (java.nio.file.attribute FileAttribute)
   (java.util Random)))

(set! *warn-on-reflection* true)

;; ---- SynthDefs

(defn- ugen [ugen-class rate inputs outputs]
  {:class ugen-class, :rate rate, :inputs inputs, :outputs outputs, :special (if (= "BinaryOpUGen" ugen-class) 2 0)})

(defn- named [n ugens]
  {:kind :synthdef, :name n, :constants [440.0 0.0 1.0], :parameters [], :parameter-names [], :ugens ugens, :variants []})

(defn- sines
  "Sines that are heard together: each needs a wire."
  [n k]
  (named n (conj (vec (repeat k (ugen "SinOsc" :audio [[:constant 0] [:constant 1]] [:audio])))
                 (ugen "Out" :audio (into [[:constant 1]] (map (fn [i] [:ugen i 0])) (range k)) []))))

(defn- with-ugen [d ugen-class]
  (update d :ugens conj (ugen ugen-class :control [] [:control])))

(defn- large
  "One of some 35 bytes for each step of its chain; it needs one wire."
  [n k]
  (named n (conj (into [(ugen "SinOsc" :audio [[:constant 0] [:constant 1]] [:audio])]
                       (map (fn [i] (ugen "BinaryOpUGen" :audio [[:ugen i 0] [:constant 2]] [:audio])))
                       (range k))
                 (ugen "Out" :audio [[:constant 1] [:ugen k 0]] []))))

(defn- size [d] (alength ^bytes (synthdef/encode [d])))

;; ---- the servers

(def ^:private handles (atom []))

(defn- with-each-kind [tests]
  (servers/keeping handles (map #(servers/options % {:memory-size 65536, :maximum-logins 2}) servers/kinds) tests))

(use-fixtures :once with-each-kind)

(defn- engine [s] (:engine (datafy s)))

(defn- each-server
  "Calls `f` with each server."
  [f]
  (doseq [s (servers/online @handles)]
    (testing (str (name (engine s)) " " (name (:protocol (:options (datafy s)))))
      (f s)
      (is (= :online (sc/boot-status s)))
      (sc/reset-server! s))))

(defn- each-client
  "Calls `f` with each server and with another client of it. By TCP scsynth tells only one
  client apart."
  [f]
  (each-server
    (fn [s]
      (f s)
      (when-not (and (= :scsynth (engine s)) (= :tcp (:protocol (servers/address s))))
        (with-open [^Closeable client (sc/connect! (sc/server) (assoc (servers/address s) :maximum-logins 2))]
          (testing "another client" (f client)))))))

(defn- there?
  "Whether the server makes a synth of that name."
  [s n]
  (= :none (error-of #(sc/free! (sc/add-synth! s n {} {:confirm true}) {:confirm true}))))

(defn- ugen-count
  "How many UGens a synth of that name has, as the server counts them."
  [s n]
  (let [before (:ugen-count (sc/status s))
        y      (sc/add-synth! s n {} {:confirm true})
        after  (:ugen-count (sc/status s))]
    (sc/free! y {:confirm true})
    (- (long after) (long before))))

(defn- temporary-files []
  (set (.list (io/file (System/getProperty "java.io.tmpdir"))
              (reify FilenameFilter (accept [_ _ n] (and (str/starts-with? n "espalier-") (str/ends-with? n ".scsyndef")))))))

;; ---- adding

(deftest what-is-added-is-there
  (each-client
    (fn [s]
      (is (= ["a" "b"] (sc/add-synthdefs! s [(sines "a" 1) (synthdef/encode [(sines "b" 2)])])))
      (is (= [2 3] [(ugen-count s "a") (ugen-count s "b")]))
      (is (= ["a"] (sc/add-synthdefs! s (sines "a" 3))))
      (is (= 4 (ugen-count s "a")) "redefined")
      (is (= [] (sc/add-synthdefs! s [])))
      (testing "with one round trip, once its UGens were seen"
        (let [n (servers/last-n s)]
          (sc/add-synthdefs! s (sines "a" 2))
          (is (= 1 (count (sent-after s n)))))))))

(deftest what-the-server-does-not-have-is-named-and-what-was-there-stays
  (each-client
    (fn [s]
      (sc/add-synthdefs! s (sines "kept" 1))
      (let [missing (str "NoSuch" (rand-int 1000000))]
        (doseq [[what call] [["a new one" #(sc/add-synthdefs! s (with-ugen (sines "new" 1) missing))]
                             ["a redefinition" #(sc/add-synthdefs! s (with-ugen (sines "kept" 2) missing))]
                             ["among others" #(sc/add-synthdefs! s [(sines "good" 1) (with-ugen (sines "kept" 2) missing) (sines "kept" 3)])]]]
          (testing what
            (let [e (thrown call), {:keys [rejected lines]} (ex-data e)]
              (is (= :espalier.error/synthdef-rejected (:espalier/error (ex-data e))))
              (is (= [missing] (distinct (map :ugen (mapcat val rejected)))))
              (is (str/includes? (ex-message e) missing))
              (if (sc/owner? s)
                (is (and (some #(str/includes? % (str missing (if (= :scsynth (engine s)) "' not installed" " not installed"))) lines)
                         (str/includes? (ex-message e) (first lines)))
                    "the server's own line")
                (is (empty? lines))))))
        (is (= 2 (ugen-count s "kept")) "the old one")
        (is (= [false false] [(there? s "new") (there? s "good")]) "nothing has changed")))))

(deftest more-wires-than-scsynth-has
  (each-client
    (fn [s]
      (if (= :supernova (engine s))
        (is (= ["w"] (sc/add-synthdefs! s (sines "w" 100))))
        (do
          (is (= ["w"] (sc/add-synthdefs! s (sines "w" 64))))
          (let [e (thrown #(sc/add-synthdefs! s (sines "w" 65)))]
            (is (= [:espalier.error/synthdef-rejected [{:problem :too-many-wires, :wires 65}]]
                   [(:espalier/error (ex-data e)) (map #(select-keys % [:problem :wires]) (:problems (ex-data e)))]))
            (is (str/includes? (ex-message e) ":wire-buffer-count")))
          (is (= 65 (ugen-count s "w")) "the old one")
          (when (sc/owner? s)
            (refuses s :synthdef-rejected #(sc/add-synthdefs! s (sines "w" 65)))))))))

(defn- random-synthdef
  "A SynthDef of any UGens with any inputs, not to be played."
  [^Random random n]
  (let [pick (fn [xs] (nth xs (.nextInt random (count xs))))
        size (+ 3 (.nextInt random 30))]
    (loop [i 0, ugens [], outputs []]
      (if (= i size)
        (named n ugens)
        (let [ugen-class (pick ["SinOsc" "LPF" "PlayBuf" "Balance2" "Pan2" "Demand" "Dseq" "In" "Out" "PanAz" "Duty" "A2K"])
              rate       (case ugen-class "Dseq" :demand, "A2K" :control, (pick [:audio :audio :audio :control]))
              inputs     (vec (repeatedly (.nextInt random 5)
                                          #(if (and (seq outputs) (pos? (.nextInt random 4))) (into [:ugen] (pick outputs)) [:constant 0])))
              k          (case ugen-class "Out" 0, ("Balance2" "Pan2") 2, ("PlayBuf" "In" "PanAz" "Demand") (inc (.nextInt random 4)), 1)]
          (recur (inc i) (conj ugens (ugen ugen-class rate inputs (vec (repeat k rate)))) (into outputs (map (fn [o] [i o])) (range k))))))))

(deftest wires-are-those-that-scsynth-counts
  (let [random (Random. 7)
        those  (mapv #(random-synthdef random (str "r" %)) (range 150))]
    (doseq [wires [3 8 16]]
      (sc/with-server [s (servers/options {:executable "scsynth"} {:wire-buffer-count wires})]
        (let [fit   (into #{} (comp (filter #(<= (long (check/wire-count %)) (long wires))) (map :name)) those)
              taken (atom #{})]
          ;; The server says which it had when they are freed.
          (sc/on-osc! s "/d_removed" #(swap! taken conj (second %)))
          (doseq [some-of-them (partition-all 20 those)]
            (sc/send! s {:packets (for [d some-of-them] ["/d_recv" (synthdef/encode [d])])})
            (sc/sync! s))
          (sc/free-synthdefs! s those)
          (is (< 0 (count fit) (count those)))
          (is (eventually #(= fit @taken)) (str "differ: " (set/difference fit @taken) (set/difference @taken fit))))))))

(deftest a-server-that-has-loaded-others-may-have-more-wires
  (sc/with-server [s (servers/options {:executable "scsynth"} {:wire-buffer-count 2, :load-synthdefs true})]
    (is (= ["w"] (sc/add-synthdefs! s (sines "w" 2))))
    (is (= :synthdef-rejected (error-of #(sc/add-synthdefs! s (sines "w" 500)))) "as the server says")))

(deftest names-that-a-server-cannot-take
  (each-server
    (fn [s]
      (refused s
        (for [n (cond-> ["" "жук" "a\nb"] (= :supernova (engine s)) (conj (apply str (repeat 128 \a))))]
          [:synthdef-rejected #(sc/add-synthdefs! s (sines n 1)) n]))
      (refused s
        [[:synthdef-rejected #(sc/add-synthdefs! s (sines (apply str (repeat 256 \a)) 1))]
         [:invalid-synthdef #(sc/add-synthdefs! s (with-ugen (sines "x" 1) (apply str (repeat 32 \a))))]
         [:invalid-argument #(sc/add-synthdefs! s nil)]
         [:invalid-argument #(sc/add-synthdefs! s [:bell])]
         [:invalid-argument #(sc/add-synthdefs! s {:name "bell"})]
         [:file-failed #(sc/add-synthdefs! s "no/such/file.scsyndef")]
         [:unknown-option #(sc/add-synthdefs! s (sines "a" 1) {:confirm true})]])
      (let [longest (apply str (repeat (if (= :supernova (engine s)) 127 255) \n))]
        (is (= [longest] (sc/add-synthdefs! s (sines longest 1))))
        (is (there? s longest))))))

(deftest variants-are-for-scsynth
  (each-server
    (fn [s]
      (let [d (assoc (sines "v" 1) :parameters [1.0] :parameter-names [["amp" 0]] :variants [["v.low" [0.5]]])]
        (is (= ["v"] (sc/add-synthdefs! s d)))
        (is (there? s "v"))
        (is (= (= :scsynth (engine s)) (there? s "v.low")))
        (sc/free-synthdefs! s d)
        (is (= [false false] [(there? s "v") (there? s "v.low")]))))))

;; ---- many

(deftest a-thousand-in-one-call
  (each-server
    (fn [s]
      (let [many (mapv #(sines (str "many-" %) 1) (range 1000))
            n    (servers/last-n s)]
        (is (= (map :name many) (sc/add-synthdefs! s many {:timeout-ms 20000})))
        (is (< (count (sent-after s n)) 20) "in packets as large as they may be")
        (is (<= 1000 (long (:synthdef-count (sc/status s)))))
        (is (= [true true] [(there? s "many-0") (there? s "many-999")]))
        (is (identical? s (sc/free-synthdefs! s many)))
        (sc/sync! s)
        (is (> 100 (long (:synthdef-count (sc/status s)))))))))

(deftest a-full-table-is-named
  (sc/with-server [s (servers/options {:executable "scsynth"} {:maximum-synthdef-count 8, :maximum-logins 2})]
    (refuses s :too-many-synthdefs (fn [] (sc/add-synthdefs! s (mapv #(sines (str "d" %) 1) (range 9)))))
    (refuses s :too-many-synthdefs #(sc/add-synthdefs! s (assoc (sines "d" 1) :variants (vec (repeat 8 ["d.v" []])))))
    (sc/add-synthdefs! s (mapv #(sines (str "d" %) 1) (range 6)))
    (let [e (thrown (fn [] (sc/add-synthdefs! s (mapv #(sines (str "e" %) 1) (range 4)))))]
      (is (= [:espalier.error/too-many-synthdefs ["e2" "e3"] 8] ((juxt :espalier/error :missing :maximum-synthdef-count) (ex-data e))))
      (is (some #(str/includes? % "Could not add SynthDef e2") (:lines (ex-data e))))
      (is (str/includes? (ex-message e) ":maximum-synthdef-count")))
    (is (= [true true false] (map #(there? s %) ["d5" "e1" "e2"])))
    (testing "what is there is redefined all the same"
      (is (= ["d0"] (sc/add-synthdefs! s (sines "d0" 3))))
      (is (= 4 (ugen-count s "d0"))))
    (testing "and another client, that does not know how many there are places for"
      (with-open [^Closeable client (sc/connect! (sc/server) (assoc (servers/address s) :maximum-logins 2))]
        (is (= :too-many-synthdefs (error-of #(sc/add-synthdefs! client (sines "f" 1)))))
        (sc/free-synthdefs! client ["d1" :d2])
        (is (= ["f"] (sc/add-synthdefs! client (sines "f" 1))))
        (is (there? client "f"))))))

;; ---- large

(deftest large-ones-go-by-a-file-where-no-packet-holds-them
  (each-client
    (fn [s]
      (let [before  (temporary-files)
            d       (large "large" 4000)
            by-tcp? (= :tcp (:protocol (servers/address s)))
            n       (servers/last-n s)]
        (is (< 100000 (long (size d))))
        (is (= ["large"] (sc/add-synthdefs! s d)))
        (is (= 4002 (ugen-count s "large")))
        (is (= by-tcp? (not-any? (fn [p] (some (fn [m] (= "/d_load" (first m))) (:packets p [p]))) (sent-after s n))))
        (testing "redefined beside a small one"
          (is (= ["large" "small"] (sc/add-synthdefs! s [(large "large" 3500) (sines "small" 1)])))
          (is (= [3502 2] [(ugen-count s "large") (ugen-count s "small")])))
        (testing "one that the server does not take"
          (is (= :synthdef-rejected (error-of #(sc/add-synthdefs! s (with-ugen (large "large" 4000) "NoSuchInAFile")))))
          (is (= 3502 (ugen-count s "large"))))
        (is (= before (temporary-files)) "no file is left")
        (if by-tcp?
          (is (there? s (do (sc/at s nil (sc/add-synthdefs! s (large "moment" 4000))) "moment")))
          (refuses s :synthdef-too-large #(sc/at s nil (sc/add-synthdefs! s (large "moment" 4000)))))))))

(deftest beyond-what-tcp-takes-too
  (doseq [s (servers/online @handles) :when (= [:supernova :tcp] [(engine s) (:protocol (servers/address s))])]
    (let [d (large "larger" 40000), before (temporary-files)]
      (is (< (bit-shift-left 1 20) (long (size d))))
      (is (= ["larger"] (sc/add-synthdefs! s d)))
      (is (= 40002 (ugen-count s "larger")))
      (is (= before (temporary-files)))
      (sc/reset-server! s))))

(deftest a-restricted-server-loads-files-of-its-directory
  (let [directory (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try
      (sc/with-server [s (servers/options {:executable "scsynth"} {:restricted-path (str directory "/")})]
        (is (= ["large"] (sc/add-synthdefs! s (large "large" 4000))))
        (is (there? s "large"))
        (is (empty? (.list directory))))
      (finally (run! io/delete-file (reverse (file-seq directory)))))))

;; ---- moments

(deftest a-moment-refuses-what-is-known-and-waits-for-nothing
  (each-server
    (fn [s]
      (when (= :scsynth (engine s))
        (refuses s :synthdef-rejected #(sc/at s nil (sc/add-synthdefs! s (sines "m" 65)))))
      (refuses s :synthdef-rejected #(sc/at s nil (sc/add-synthdefs! s (sines "" 1))))
      (let [n (servers/last-n s)
            y (sc/at s nil
                (sc/add-synthdefs! s (sines "m" 1))
                (sc/add-synth! s :m))]
        (is (= 1 (count (sent-after s n))))
        (is (= :synth (:kind (sc/query-node s y)))))
      (is (= :no-such-synthdef
             (error-of #(sc/at s {:confirm true}
                          (sc/add-synthdefs! s (with-ugen (sines "unheard-of" 1) "NoSuchInAMoment"))
                          (sc/add-synth! s "unheard-of"))))))))

;; ---- directories

(defn- with-directory [f]
  (let [directory (.toFile (Files/createTempDirectory "espalier" (make-array FileAttribute 0)))]
    (try (f directory)
         (finally (run! io/delete-file (reverse (file-seq directory)))))))

(defn- write! [^File directory path & defs]
  (let [file (io/file directory path)]
    (io/make-parents file)
    (with-open [out (io/output-stream file)]
      (.write out ^bytes (synthdef/encode (vec defs))))
    file))

(deftest directories-are-loaded
  (with-directory
    (fn [directory]
      (write! directory "b.scsyndef" (sines "one" 1) (sines "two" 2))
      (write! directory "a/c.scsyndef" (sines "three" 3))
      (write! directory "ignore/d.scsyndef" (sines "four" 4))
      (spit (io/file directory "readme.txt") "no SynthDef")
      (each-server
        (fn [s]
          (is (= ["three" "one" "two"] (sc/load-synthdef-directory! s directory) (sc/load-synthdef-directory! s (str directory) {:timeout-ms 5000})))
          (is (= [2 3 4] (map #(ugen-count s %) ["one" "two" "three"])))))
      (testing "a damaged file is named before anything is sent"
        (let [bad   (io/file directory "z.scsyndef")
              whole (synthdef/encode [(sines "five" 5)])]
          (with-open [out (io/output-stream bad)]
            (.write out ^bytes whole 0 (- (alength ^bytes whole) 10)))
          (each-server
            (fn [s]
              (let [n (servers/last-n s)
                    e (thrown #(sc/load-synthdef-directory! s directory))]
                (is (= [:espalier.error/invalid-synthdef (str bad)] ((juxt :espalier/error :path) (ex-data e))))
                (is (< 0 (long (:offset (ex-data e))) (alength ^bytes whole)))
                (is (str/includes? (ex-message e) (str bad)))
                (is (= [] (sent-after s n)))
                (refuses s :invalid-synthdef #(sc/add-synthdefs! s bad))
                (refuses s :file-failed #(sc/load-synthdef-directory! s (io/file directory "none")))
                (refuses s :file-failed #(sc/load-synthdef-directory! s bad))))))))))

;; ---- freeing, and values

(deftest synthdefs-are-freed-by-name-or-value
  (each-server
    (fn [s]
      (let [all [(sines "a" 1) (sines "b" 1) (sines "c" 1) (sines "d" 1)]
            y   (do (sc/add-synthdefs! s all) (sc/add-synth! s "a" {} {:confirm true}))]
        (is (identical? s (sc/free-synthdefs! s [(first all) :b "c"])))
        (is (= [false false false true] (map #(there? s %) ["a" "b" "c" "d"])))
        (is (= :synth (:kind (sc/query-node s y))) "what plays goes on")
        (is (not-any? (set (keys (:synthdefs (sc/state s)))) ["a" "b" "c"]))
        (sc/free-synthdefs! s #{"d" "never-was"})
        (sc/free-synthdefs! s :d)
        (is (not (there? s "d")))
        (refused s [[:invalid-argument #(sc/free-synthdefs! s nil)]
                    [:invalid-argument #(sc/free-synthdefs! s [])]
                    [:invalid-argument #(sc/free-synthdefs! s [5])]
                    [:invalid-argument #(sc/free-synthdefs! s {:name "a"})]])))))

(deftest a-synth-is-made-of-a-value
  (each-server
    (fn [s]
      (let [d (assoc (sines "value" 1) :parameters [1.0 2.0 3.0] :parameter-names [["amp" 0] ["xs" 1]])]
        ;; By hand, so that nothing is known of it but by the value.
        (sc/request! s ["/d_recv" (synthdef/encode [d])] ["/done" "/d_recv"])
        (is (= "value" (:def (sc/add-synth! s d {:amp 0.5, :xs [1 2]} {:confirm true}))))
        (refused s [[:unknown-control #(sc/add-synth! s d {:amq 0.5})]
                    [:unknown-control #(sc/add-synth! s d {3 0.5})]
                    [:invalid-argument #(sc/add-synth! s d {:xs [1 2 3]})]])
        (is (= :none (error-of #(sc/add-synth! s "value" {:amq 0.5} {:confirm true}))) "of the name alone nothing is known")))))

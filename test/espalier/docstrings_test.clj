(ns espalier.docstrings-test
  "The examples of the docstrings are evaluated, and return what they say."
  (:require
   [clojure.java.io :as io]
   [clojure.string :as str]
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.servers :as servers])
  (:import
   (clojure.lang Namespace Var)
   (java.io StringWriter)))


(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private not-evaluated
  "Examples whose result depends on the machine, or that would leave something on it."
  '#{espalier.core/find-scsynth espalier.core/load-synthdef-directory! espalier.core/process espalier.core/record!
     espalier.core/server espalier.demo/play! espalier.demo/run espalier.inspector/url espalier.picture/show
     espalier.runtime.desktop/open! espalier.runtime.executable/find-executable espalier.runtime.sound-file/facts
     espalier.wav/level espalier.wav/samples})

(def ^:private given
  "Code for what the examples of a namespace, or of one var, take for granted."
  '{espalier.core                      [(def s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port), :sample-rate 44100}))
                                        (sc/add-synthdefs! s [instruments/bell (assoc instruments/bass :name "bass")])]
    espalier.core/drift                [(sc/reconcile! s [:synth {:key :bass, :def :bass} {:freq 55}])
                                        (sc/set-controls! (sc/node s :bass) {:freq 60})]
    espalier.core/get-control-range    [(defsynth chord [freqs [220 330 440]] (out:ar 0 (sum (saw:ar freqs))))
                                        (sc/add-synthdefs! s chord)
                                        (def synth (sc/add-synth! s :chord))]
    espalier.core/get-controls         [(def synth (sc/add-synth! s :bell {:freq 440, :amp 0.1}))]
    espalier.core/get-sample-range     [(def b (sc/add-buffer! s {:frame-count 100000}))]
    espalier.core/get-samples          [(def b (sc/add-buffer! s {:frame-count 8}))
                                        (sc/set-samples! b {0 0.5, 7 -0.5})]
    espalier.core/log                  [(sc/send! s ["/n_set" 4711 "freq" 440])
                                        (sc/sync! s)]
    espalier.core/plan                 [(sc/reconcile! s [:synth {:key :bass, :def :bass} {:freq 55}])]
    espalier.core/query-buffer         [(def b (sc/add-buffer! s {:frame-count 44100, :channel-count 2}))]
    espalier.core/query-node           [(sc/add-synth! s :bell)]
    espalier.core/state                [(sc/add-synth! s :bell {} {:confirm true})]
    espalier.model.entity              [(def s nil)]
    espalier.model.inspector           [(def shown {:logged 0, :server {:status "offline", :late-count 0}})]
    espalier.model.state               [(def state (reduce step (initial)
                                                           [["/n_go" 1 0 -1 -1 1 -1 -1]
                                                            ["/n_go" 1000 0 1 -1 0]
                                                            [:note {1000 {:def "bell"}}]]))]
    espalier.model.synthdef            [(defsynth bell [freq 440, amp 0.1] (out:ar 0 (sin-osc:ar freq :mul amp)))
                                        (def d bell)
                                        (ns-unmap *ns* (quote bytes))
                                        (def bytes (synthdef/encode bell))]
    espalier.model.synthdef-check      [(defsynth d [] (out:ar 0 (sin-osc:ar [440 441])))
                                        (def defs [d])]
    espalier.model.traffic             [(ns-unmap *ns* (quote bytes))
                                        (def bytes (synthdef/encode instruments/bell))]
    espalier.rehearsal/unknown         [(def s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)}))
                                        (defsynth gong [] (detect-silence:ar (sin-osc:ar) :done-action :free-self))
                                        (sc/add-synthdefs! s gong)
                                        (sc/add-synth! s gong {} {:confirm true})
                                        (def r s)]
    espalier.repl/play                 [(boot {:executable :rehearsal, :port (sc/find-free-port)})
                                        (def s (server))]
    espalier.synthdef/controls         [(defsynth blip [freq 440] (out:ar 0 (sin-osc:ar freq)))]
    espalier.testing                   [(def s (sc/boot! (sc/server) {:executable :rehearsal, :port (sc/find-free-port)}))
                                        (sc/add-synthdefs! s instruments/bell)
                                        (def before (mark s))
                                        (sc/add-synth! s :bell {:freq 440})]})

(defn- blocks
  "The code of a docstring: its lines that stand six columns in, those in a row together."
  [docstring]
  (->> (str/split-lines docstring)
       (partition-by #(str/starts-with? % "      "))
       (filter #(str/starts-with? (first %) "      "))
       (map (fn [lines] (map #(subs % 6) lines)))))

(defn- examples
  "What a block says: pairs of code and, as text, what it returns. A result may go on in the
  next lines, each with a semicolon in the column of the first."
  [lines]
  (loop [[line & more] lines, code [], found []]
    (if-let [column (some-> line (str/index-of ";=>"))]
      (let [goes-on?     #(str/starts-with? % (str (str/join (repeat column " ")) ";  "))
            [said after] (split-with goes-on? more)]
        (recur after [] (conj found [(str/join "\n" (conj code (subs line 0 column)))
                                     (str/join "\n" (cons (subs line (+ 3 column)) (map #(subs % (inc column)) said)))])))
      (if line
        (recur more (conj code line) found)
        found))))

(def ^:private documented
  "Pairs of every public var that has examples, and these."
  (for [file  (file-seq (io/file "src/clj"))
        :when (str/ends-with? (str file) ".clj")
        :let  [n (second (read-string (slurp file)))]
        :when (not (re-find #"^espalier\.nrepl" (name n)))
        [_ v] (do (require n) (sort-by key (ns-publics n)))
        :let  [found (mapcat examples (some-> v meta :doc blocks))]
        :when (and (seq found) (not (not-evaluated (symbol v))))]
    [v found]))

(defn- likeness
  "A text without the number that a played graph gets, which goes on as long as the JVM."
  [text]
  (str/trim (str/replace text #"play-0-\d+" "play-0-1")))

(defn- as-said?
  "Whether a value is what an example says: it is equal or, with #<…> in it, it prints so."
  [value said]
  (if (str/includes? said "#<")
    (= (likeness said) (likeness (pr-str value)))
    (= (read-string said) value)))

(defn- call-in-scratch
  "Calls `f` in a namespace that sees what the namespace `n` sees, its vars and the faces."
  [n f]
  (let [scratch (create-ns (gensym "espalier.docstring"))]
    (try
      (binding [*ns* scratch, *out* (StringWriter.)]
        (refer-clojure)
        (require '[espalier.core :as sc] '[espalier.env :as env] '[espalier.instruments :as instruments]
                 '[espalier.rehearsal :as rehearsal] '[espalier.synthdef :as synthdef :refer [defsynth]])
        (doseq [[a aliased] (assoc (ns-aliases n) (symbol (re-find #"[^.]+$" (name (ns-name n)))) n) :when (not (get (ns-aliases scratch) a))]
          (alias a (ns-name aliased)))
        (doseq [[s v] (merge (ns-publics 'espalier.ugens) (ns-publics n))]
          (ns-unmap scratch s)
          (.refer ^Namespace scratch s v))
        (f))
      (finally
        (some-> (ns-resolve scratch 's) deref sc/quit!)
        (remove-ns (ns-name scratch))))))

(deftest examples-of-docstrings
  (doseq [[v found] documented
          :let [n (.ns ^Var v)]]
    (call-in-scratch n
      (fn []
        (run! eval (concat (given (ns-name n)) (given (symbol v))))
        (doseq [[code said] found]
          (testing (str (symbol v) "\n" code)
            (let [value (load-string code)]
              (is (as-said? value said) (pr-str value)))))))))

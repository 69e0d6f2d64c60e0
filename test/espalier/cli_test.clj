(ns espalier.cli-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is use-fixtures]]
   [espalier.cli :as cli]
   [espalier.doctor :as doctor]
   [espalier.servers :as servers]))

(use-fixtures :each servers/leaves-nothing)

(defn- said
  "The exit code of a command, and what it prints on either stream."
  [& args]
  (let [out (java.io.StringWriter.)]
    [(binding [*out* out, *err* out] (cli/run args)) (str out)]))

(deftest says-how-it-is-used
  (is (= 0 (first (said "help")) (first (said "--help"))))
  (are [words args] (let [[code text] (apply said args)]
                      (and (= 2 code) (str/includes? text words) (str/includes? text "espalier demo")))
    "espalier doctor"            []
    "There is no command dance." ["dance"]
    "--port wants a value."      ["demo" "--port"]
    "Two paths: a and b."        ["demo" "a" "b"]))

(deftest passes-options-on
  (let [[code text] (said "demo" "--prt" "57120")]
    (is (= 1 code))
    (is (str/includes? text ":prt") "the error names what was typed")))

(deftest the-doctor-looks-at-everything
  (let [rows (doctor/check)
        text (doctor/report rows)]
    (is (= ["java" "scsynth" "supernova" "jackd"] (map :what (take 4 rows))))
    (is (every? #(re-matches #"\d+(\.\d+)*.*" (:version %)) (take 4 rows)))
    (is (every? :ok? rows) text)
    (is (some #(re-find #"44100 Hz|48000 Hz|\d+ Hz" (:found %)) rows) "a server was booted")
    (is (<= (count rows) (count (str/split-lines text))))))

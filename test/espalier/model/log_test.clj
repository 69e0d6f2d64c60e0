(ns espalier.model.log-test
  (:require
   [clojure.string :as str]
   [clojure.test :refer [are deftest is]]
   [espalier.model.log :as log]
   [espalier.runtime.handle :as handle]
   [espalier.runtime.log :as runtime.log])
  (:import
   (java.time Instant)))

(defn- text [event] (:text (log/of-event event)))

(deftest events-are-told-in-words
  (are [words level event] (let [entry (log/of-event event)] (= [words level] [(:text entry) (:level entry)]))
    "A bundle came 0.25 s late."                                  :warn  {:event :late, :late-s 0.25}
    "A bundle came 3599.5 s late. The server's clock may be ahead of this one." :warn {:event :late, :late-s 3599.5}
    "The server refused /n_set: Node 5 not found."                :error {:event :command-failed, :message ["/fail" "/n_set" "Node 5 not found\n"]}
    "A handler threw: no."                                        :error {:event :handler-failed, :error (ex-info "no." {})}
    "What played had drifted from the tree of #'a/b, and was repaired: 1 edit." :warn {:event :drifted, :edits [{}], :reference "#'a/b"}
    "Process 7 runs."                                             :info  {:event :process-booted, :pid 7})
  (doseq [event handle/events]
    (is (not (str/blank? (text {:event event}))) (str event))))

(deftest levels-include-those-above
  (let [entries (mapv (fn [level] {:level level}) [:info :warn :error :info])]
    (is (= [4 2 1] (map #(count (log/at-least entries %)) log/levels)))))

(deftest entries-print-as-one-line
  (let [entries (log/shown [{:what :late, :level :warn} {:what :lost, :level :error} {:what :output, :level :info}])]
    (is (= "#<Log 3 entries, 1 warn, 1 error>" (pr-str entries)))
    (is (= "[1]" (pr-str (into (empty entries) [1]))) "but what is made of them prints as it is"))
  (is (re-find #"^\d\d:\d\d:\d\d\.\d{3} warn  late: A bundle came 0\.1 s late\.$"
               (log/line (assoc (log/of-event {:event :late, :late-s 0.1}) :at (Instant/now))))))

(deftest a-log-keeps-the-last-entries
  (let [l (runtime.log/log)]
    (dotimes [i (+ 5 runtime.log/size)] (runtime.log/add! l {:what :output, :level :info, :text (str i)}))
    (is (= runtime.log/size (count (runtime.log/entries l {}))))
    (is (= (range 5 (+ 5 runtime.log/size)) (map :n (runtime.log/entries l {}))))
    (is (= ["1003" "1004"] (map :text (runtime.log/entries l {:limit 2}))))
    (is (= [1003 1004] (map :n (runtime.log/entries l {:after 1002}))))
    (is (= [] (runtime.log/entries l {:level :warn})))))

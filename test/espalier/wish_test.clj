(ns espalier.wish-test
  "What is said of a declaration that a server could not have: which node, which name,
  and what was meant."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.core :as sc]
   [espalier.instruments :as instruments]
   [espalier.model.error :as error]
   [espalier.servers :as servers]))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(defn- thrown [f]
  (try (f) nil
       (catch clojure.lang.ExceptionInfo e e)))

(deftest errors-tell-the-node-and-the-name
  (sc/call-with-server
    (servers/options {:executable "scsynth"})
    (fn [s]
      (sc/add-synthdefs! s [instruments/organ instruments/pad])
      (let [buffer (sc/add-buffer! s {:frame-count 10})
            organ  (fn [controls] [:group {:key :mix} [:synth {:key [:voice 3], :def :organ} controls]])]
        (doseq [[x code says data]
                [[(organ {:freqq 3})           :unknown-control #"\"freqq\"\. Did you mean \"freq\"\?.* In node \[:voice 3\], below :mix\." {:key [:voice 3], :node [:voice 3], :control "freqq"}]
                 [(organ {:freq [1 2]})        :invalid-argument #"has 1 value, and is given more\. In node \[:voice 3\]" {:key [:voice 3]}]
                 [[:synth {:key :p, :def :pad} {2 1.0}] :unknown-control #"Index 2 is within control \"freqs\" of SynthDef pad.*\{\"freqs\" \[… … … …\]\}\. In node :p" {:control 2, :key :p}]
                 [(organ {:freq "c99999999"})  :invalid-argument #"In node \[:voice 3\]" {:key [:voice 3]}]
                 [[:group {:key :mix} [:synth {:def :organ}] [:synth {:def instruments/organ} {:freqq 3}]] :unknown-control #"In child 2 of :mix\." {:synthdef "organ"}]
                 [[:group {:key :mix} [:synth {:key :a, :def :oragn}]] :unknown-synthdef #"Did you mean \"organ\"\?.* In node :a, below :mix\." {:key :a, :synthdef "oragn"}]
                 [{:buses {:wet 2}, :tree (organ {:freq [:map :wet]})} :invalid-argument #"has 1 value, and the mapping has 2 channels\. \"a\d+\" in its place maps to the first" {:argument "freq"}]
                 [{:key :a, :def :organ, :freq 300} :invalid-tree #"A node as a map wants :kind :synth or :group" {}]
                 [{}                           :invalid-tree #"The map has no :tree; \{:tree nil\} frees all" {}]
                 [{:buses {:wet 2}}            :invalid-tree #"The map has no :tree" {}]
                 [{:buffers {:k {:frames 10}}, :tree nil} :unknown-option #"Buffer :k: .*:frames" {:name :k, :option :frames}]
                 [{:buffers {:k {:frame-count -1}}, :tree nil} :invalid-argument #"Buffer :k: " {:name :k}]
                 [{:buffers {:k {}}, :tree nil} :invalid-argument #"\{:frame-count 1024\} for example, not \{\} for :k" {:name :k}]
                 [{:buffers {:k 3}, :tree nil} :invalid-argument #"not 3 for :k" {:name :k}]
                 [{:buffers {:k "/no/such.wav"}, :tree nil} :file-failed #"Buffer :k: " {:name :k}]
                 [{:buffers {:b buffer}, :tree nil} :invalid-tree #"#<Buffer 0> is there already.*give it to the control itself" {:name :b}]
                 [{:buses {:b buffer}, :tree nil} :invalid-tree #"is there already" {:name :b}]
                 [{:buses {:b 5000}, :tree nil} :invalid-tree #"5000 for :b" {:name :b}]]]
          (testing (pr-str x)
            (let [e (thrown #(sc/reconcile! s x))]
              (is (= (keyword "espalier.error" (name code)) (error/code e)))
              (is (re-find says (str (ex-message e))) (ex-message e))
              (is (= data (select-keys (ex-data e) (keys data)))))))
        (testing "no id stays taken by what is wrong beside it"
          (thrown #(sc/reconcile! s {:buses {:a 1, :b "x"}, :buffers {:c {:frame-count 8}, :d 3}, :tree nil}))
          (is (= (inc (long (:id buffer))) (:id (sc/add-buffer! s {:frame-count 10})))))))))

(ns espalier.runtime.rehearsal-files
  "What a rehearsal does with files."
  (:require
   [espalier.model.rehearsal :as model]))

(set! *warn-on-reflection* true)

(defn io "Answers a request." [request] (model/no-files request))

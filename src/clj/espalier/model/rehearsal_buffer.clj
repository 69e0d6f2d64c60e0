(ns espalier.model.rehearsal-buffer
  "Buffers.")
(set! *warn-on-reflection* true)
(def commands "c" {})
(def asynchronous "a" {})

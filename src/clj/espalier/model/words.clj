(ns espalier.model.words
  "Values in words.")

(set! *warn-on-reflection* true)

(defn counted
  "How many of something there are; `many` where that is more than `one` and an s.

      (counted 1 \"synth\")        ;=> \"1 synth\"
      (counted 2 \"bus\" \"buses\")  ;=> \"2 buses\""
  ([n one] (counted n one (str one "s")))
  ([n one many] (str n " " (if (= 1 n) one many))))

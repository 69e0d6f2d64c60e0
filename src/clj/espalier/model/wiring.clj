(ns espalier.model.wiring
  "Which controls of a SynthDef are numbers of buses or buffers: those that a UGen reads as
  such, with nothing in between."
  (:require
   [espalier.model.synthdef :as synthdef]))

(set! *warn-on-reflection* true)

(defn- space
  "What an input of this name is the number of, in a UGen of this rate."
  [input rate]
  (case input
    "bus"                       (case rate :audio :audio-buses, :control :control-buses, nil)
    ("bufnum" "buffer" "bufpos") :buffers
    nil))

(defn- inputs-of [ugens {:keys [class rate]}]
  (let [{:keys [rates]} (get ugens class)]
    (:inputs (get rates (case rate :audio :ar, :control :kr, :scalar :ir, :demand :dr) (:new rates)))))

(defn numbers
  "From the names of controls to what they are numbers of, :buffers, :control-buses or
  :audio-buses; of an array a vector of these, with nil for a value that is none.

  `ugens`  the table, as `espalier.model.ugen` has it

      (numbers instruments/bell espalier.model.ugen/ugens)  ;=> {\"out\" :audio-buses}"
  [d ugens]
  (let [all   (:ugens d)
        slots (into {}
                    (mapcat (fn [{:keys [rate inputs] :as ugen}]
                              (keep (fn [[input [from i o]]]
                                      (let [{:keys [class special]} (when (= :ugen from) (nth all i))]
                                        (when (synthdef/control-classes class)
                                          (when-let [space (space input rate)]
                                            [(+ (long special) (long o)) space]))))
                                    (map vector (inputs-of ugens ugen) inputs))))
                    all)]
    (into {}
          (keep (fn [[k {:keys [index size]}]]
                  (let [found (mapv slots (range index (+ (long index) (long size))))]
                    (when (some some? found)
                      [k (if (= 1 size) (first found) found)]))))
          (synthdef/controls d))))

(defn moved
  "Controls with other numbers: `numbers` as of a SynthDef, `ids` by :buffers, :control-buses and
  :audio-buses from old numbers to new ones.

      (moved {\"out\" 16.0, \"freq\" 16.0} {\"out\" :audio-buses} {:audio-buses {16 20}})
      ;=> {\"out\" 20.0, \"freq\" 16.0}"
  [controls numbers ids]
  (let [number (fn [x space] (or (when (and space (number? x) (== (double x) (Math/rint (double x))))
                                   (some-> (get-in ids [space (long x)]) double))
                                 x))]
    (reduce-kv (fn [controls k spaces]
                 (if-some [x (get controls k)]
                   (assoc controls k (if (vector? x)
                                       (into [] (map-indexed (fn [i x] (number x (if (vector? spaces) (get spaces i) (when (zero? (long i)) spaces))))) x)
                                       (number x (if (vector? spaces) (first spaces) spaces))))
                   controls))
               controls numbers)))

(ns espalier.model.rehearsal-samples
  "The samples of a buffer as a value: parts of 1,024, of which those that are all zero are
  not there. Setting one copies its part, so that a buffer may be as large as it likes.")

(set! *warn-on-reflection* true)

(def ^:private part-size 1024)

(defn zeros
  "`n` samples, all zero.

      (zeros 512)"
  [n]
  {:size (long n), :parts {}})

(defn value
  "The sample at an index that is within, a Float."
  [{:keys [parts]} i]
  (let [i (long i)]
    (if-let [^floats part (get parts (quot i (long part-size)))]
      (aget part (rem i (long part-size)))
      (float 0))))

(defn floats-of
  "`n` samples from an index on, a float array; beyond the end they are zero."
  ^floats [{:keys [parts ^long size]} from n]
  (let [from (long from)
        out  (float-array n)
        end  (min size (+ from (long n)))]
    (loop [i from]
      (when (< i end)
        (let [k     (quot i (long part-size))
              at    (rem i (long part-size))
              count (min (- (long part-size) at) (- end i))]
          (when-let [part (get parts k)]
            (System/arraycopy part (int at) out (int (- i from)) (int count)))
          (recur (+ i count)))))
    out))

(defn- change-part
  "`samples` with one part changed by `f`, which is given a copy."
  [samples k f]
  (let [^floats part (get (:parts samples) k)
        copy         (if part (aclone part) (float-array part-size))]
    (f copy)
    (assoc samples :parts (assoc (:parts samples) k copy))))

(defn with-value
  "`samples` with one changed."
  [samples i x]
  (let [i (long i)]
    (change-part samples (quot i (long part-size)) (fn [^floats part] (aset part (rem i (long part-size)) (float x))))))

(defn- over-parts
  "`samples` with each part changed between two indices: `f` is given a copy of the part,
  where in it to begin, how many to change, and the index of the first."
  [samples from end f]
  (let [end (long (min (long end) (long (:size samples))))]
    (loop [i (long from), samples samples]
      (if (< i end)
        (let [k  (quot i (long part-size))
              at (rem i (long part-size))
              n  (min (- (long part-size) at) (- end i))]
          (recur (+ i n) (change-part samples k (fn [part] (f part at n i)))))
        samples))))

(defn with-floats
  "`samples` with those of an array from an index on; what goes beyond the end is left out."
  [samples from ^floats xs]
  (let [from (long from)]
    (over-parts samples from (+ from (alength xs))
                (fn [part at n i] (System/arraycopy xs (int (- (long i) from)) part (int at) (int n))))))

(defn filled
  "`samples` with one number from an index to below another."
  [samples from end x]
  (over-parts samples from end
              (fn [^floats part at n _] (java.util.Arrays/fill part (int at) (int (+ (long at) (long n))) (float x)))))

(defn of-floats
  "Samples of a float array."
  [^floats xs]
  (with-floats (zeros (alength xs)) 0 xs))

(ns espalier.model.operator
  "What the operators make of numbers, in double precision, as the class library
  computes where no UGen is among the operands. The formulas are those of the
  server's operators, so that a constant is worth what the signal would be."
  (:require
   [espalier.model.ugen :as ugen]))

(set! *warn-on-reflection* true)

(defn- truth [x] (if x 1.0 0.0))

(defn- log2 ^double [^double x] (/ (Math/log x) (Math/log 2.0)))

(defn- modulo ^double [^double x ^double y]
  (if (zero? y) 0.0 (- x (* y (Math/floor (/ x y))))))

(defn- rounded ^double [^double x ^double y]
  (if (zero? y) x (* y (Math/floor (+ (/ x y) 0.5)))))

(defn- clipped ^double [^double x ^double low ^double high]
  (cond (> x high) high, (< x low) low, :else x))

(defn- folded ^double [^double x ^double low ^double high]
  (let [width (- high low)]
    (cond
      (and (<= low x) (< x high)) x
      (zero? width)               low
      :else                       (let [y (modulo (- x low) (* 2.0 width))]
                                    (+ low (if (<= width y) (- (* 2.0 width) y) y))))))

(defn- wrapped ^double [^double x ^double low ^double high]
  (if (= low high) low (+ low (modulo (- x low) (- high low)))))

(defn- whole ^double [^double x] (double (unchecked-long x)))

(defn- divisor
  "The greatest common divisor, which is negative where neither is above 0."
  ^double [^double x ^double y]
  (let [g (.doubleValue (.gcd (biginteger (unchecked-long x)) (biginteger (unchecked-long y))))]
    (if (and (<= (whole x) 0.0) (<= (whole y) 0.0)) (- g) g)))

(defn- power ^double [^double x ^double y]
  (if (neg? x) (- (Math/pow (- x) y)) (Math/pow x y)))

(def ^:private unary
  {"neg"        (fn [^double x] (- x))
   "not"        (fn [^double x] (truth (not (pos? x))))
   "bitNot"     (fn [^double x] (double (bit-not (unchecked-long x))))
   "abs"        (fn [^double x] (Math/abs x))
   "ceil"       (fn [^double x] (Math/ceil x))
   "floor"      (fn [^double x] (Math/floor x))
   "frac"       (fn [^double x] (- x (Math/floor x)))
   "sign"       (fn [^double x] (Math/signum x))
   "squared"    (fn [^double x] (* x x))
   "cubed"      (fn [^double x] (* x x x))
   "sqrt"       (fn [^double x] (if (neg? x) (- (Math/sqrt (- x))) (Math/sqrt x)))
   "exp"        (fn [^double x] (Math/exp x))
   "reciprocal" (fn [^double x] (/ 1.0 x))
   "midicps"    (fn [^double x] (* 440.0 (Math/pow 2.0 (* (- x 69.0) 0.08333333333333333))))
   "cpsmidi"    (fn [^double x] (+ 69.0 (* 12.0 (log2 (/ x 440.0)))))
   "midiratio"  (fn [^double x] (Math/pow 2.0 (* x 0.08333333333333333)))
   "ratiomidi"  (fn [^double x] (* 12.0 (log2 x)))
   "dbamp"      (fn [^double x] (Math/pow 10.0 (* x 0.05)))
   "ampdb"      (fn [^double x] (* 20.0 (Math/log10 x)))
   "octcps"     (fn [^double x] (* 440.0 (Math/pow 2.0 (- x 4.75))))
   "cpsoct"     (fn [^double x] (+ 4.75 (log2 (/ x 440.0))))
   "log"        (fn [^double x] (Math/log x))
   "log2"       log2
   "log10"      (fn [^double x] (Math/log10 (Math/abs x)))
   "sin"        (fn [^double x] (Math/sin x))
   "cos"        (fn [^double x] (Math/cos x))
   "tan"        (fn [^double x] (Math/tan x))
   "asin"       (fn [^double x] (Math/asin x))
   "acos"       (fn [^double x] (Math/acos x))
   "atan"       (fn [^double x] (Math/atan x))
   "sinh"       (fn [^double x] (Math/sinh x))
   "cosh"       (fn [^double x] (Math/cosh x))
   "tanh"       (fn [^double x] (Math/tanh x))
   "distort"    (fn [^double x] (/ x (+ 1.0 (Math/abs x))))
   "softclip"   (fn [^double x] (let [a (Math/abs x)] (if (<= a 0.5) x (/ (- a 0.25) x))))
   "silence"    (fn [^double _] 0.0)
   "thru"       (fn [^double x] x)
   "rectWindow" (fn [^double x] (truth (<= 0.0 x 1.0)))
   "hanWindow"  (fn [^double x] (if (<= 0.0 x 1.0) (- 0.5 (* 0.5 (Math/cos (* 2.0 Math/PI x)))) 0.0))
   "welWindow"  (fn [^double x] (if (<= 0.0 x 1.0) (Math/sin (* Math/PI x)) 0.0))
   "triWindow"  (fn [^double x] (cond (not (<= 0.0 x 1.0)) 0.0, (< x 0.5) (* 2.0 x), :else (- 2.0 (* 2.0 x))))
   "ramp"       (fn [^double x] (clipped x 0.0 1.0))
   "scurve"     (fn [^double x] (let [x (clipped x 0.0 1.0)] (* x x (- 3.0 (* 2.0 x)))))})

(def ^:private binary
  {"+"          (fn [x y] (if (and (int? x) (int? y)) (+' x y) (+ (double x) (double y))))
   "-"          (fn [x y] (if (and (int? x) (int? y)) (-' x y) (- (double x) (double y))))
   "*"          (fn [x y] (if (and (int? x) (int? y)) (*' x y) (* (double x) (double y))))
   "/"          (fn [x y] (/ (double x) (double y)))
   "div"        (fn [^double x ^double y] (Math/floor (/ x y)))
   "mod"        modulo
   "=="         (fn [^double x ^double y] (truth (== x y)))
   "!="         (fn [^double x ^double y] (truth (not (== x y))))
   "<"          (fn [^double x ^double y] (truth (< x y)))
   ">"          (fn [^double x ^double y] (truth (> x y)))
   "<="         (fn [^double x ^double y] (truth (<= x y)))
   ">="         (fn [^double x ^double y] (truth (>= x y)))
   "min"        (fn [x y] (min x y))
   "max"        (fn [x y] (max x y))
   "bitAnd"     (fn [^double x ^double y] (double (bit-and (unchecked-long x) (unchecked-long y))))
   "bitOr"      (fn [^double x ^double y] (double (bit-or (unchecked-long x) (unchecked-long y))))
   "bitXor"     (fn [^double x ^double y] (double (bit-xor (unchecked-long x) (unchecked-long y))))
   "lcm"        (fn [^double x ^double y]
                  (let [g (divisor x y)]
                    (if (zero? g) 0.0 (/ (* (whole x) (whole y)) g))))
   "gcd"        divisor
   "round"      rounded
   "roundUp"    (fn [^double x ^double y] (if (zero? y) x (* y (Math/ceil (/ x y)))))
   "trunc"      (fn [^double x ^double y] (if (zero? y) x (* y (Math/floor (/ x y)))))
   "atan2"      (fn [^double x ^double y] (Math/atan2 x y))
   "hypot"      (fn [^double x ^double y] (Math/hypot x y))
   "hypotApx"   (fn [^double x ^double y]
                  (let [x (Math/abs x), y (Math/abs y)]
                    (- (+ x y) (* (- (Math/sqrt 2.0) 1.0) (Math/min x y)))))
   "pow"        power
   "leftShift"  (fn [^double x ^double y] (double (unchecked-int (bit-shift-left (unchecked-long x) (bit-and 31 (unchecked-long y))))))
   "rightShift" (fn [^double x ^double y] (double (bit-shift-right (unchecked-int (unchecked-long x)) (bit-and 31 (unchecked-long y)))))
   "ring1"      (fn [^double x ^double y] (+ (* x y) x))
   "ring2"      (fn [^double x ^double y] (+ (* x y) x y))
   "ring3"      (fn [^double x ^double y] (* x x y))
   "ring4"      (fn [^double x ^double y] (- (* x x y) (* x y y)))
   "difsqr"     (fn [^double x ^double y] (- (* x x) (* y y)))
   "sumsqr"     (fn [^double x ^double y] (+ (* x x) (* y y)))
   "sqrsum"     (fn [^double x ^double y] (let [z (+ x y)] (* z z)))
   "sqrdif"     (fn [^double x ^double y] (let [z (- x y)] (* z z)))
   "absdif"     (fn [^double x ^double y] (Math/abs (- x y)))
   "thresh"     (fn [^double x ^double y] (if (< x y) 0.0 x))
   "amclip"     (fn [^double x ^double y] (if (neg? y) 0.0 (* x y)))
   "scaleneg"   (fn [^double x ^double y] (if (neg? x) (* x y) x))
   "clip2"      (fn [^double x ^double y] (clipped x (- y) y))
   "excess"     (fn [^double x ^double y] (- x (clipped x (- y) y)))
   "fold2"      (fn [^double x ^double y] (folded x (- y) y))
   "wrap2"      (fn [^double x ^double y] (wrapped x (- y) y))
   "firstArg"   (fn [x _] x)})

(defn- by-number
  "The functions of operators, a vector by their numbers; nil for those that draw lots:
  each synth draws its own."
  [operators functions]
  (mapv #(functions (:name %)) operators))

(def ^:private unary-functions (by-number ugen/unary-operators unary))

(def ^:private binary-functions (by-number ugen/binary-operators binary))

(defn of-number
  "The function of one number that a unary operator is, nil for one that draws lots.

      ((of-number (ugen/unary-index \"midicps\")) 69.0)  ;=> 440.0"
  [index]
  (nth unary-functions index))

(defn of-numbers
  "The function of two numbers that a binary operator is, as `of-number`.

      ((of-numbers (ugen/binary-index \"hypot\")) 3.0 4.0)  ;=> 5.0"
  [index]
  (nth binary-functions index))

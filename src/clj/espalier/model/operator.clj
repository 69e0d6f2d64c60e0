(ns espalier.model.operator
  "What the operators make of numbers, in double precision, as the class library
  computes where no UGen is among the operands. The formulas are those of the
  server's operators, so that a constant is worth what the signal would be.")

(set! *warn-on-reflection* true)

(defn- truth [x] (if x 1.0 0.0))

(defn- log2 ^double [^double x] (/ (Math/log x) (Math/log 2.0)))

(defn- modulo ^double [^double x ^double y]
  (if (zero? y) 0.0 (- x (* y (Math/floor (/ x y))))))

(defn- rounded ^double [^double x ^double y]
  (if (zero? y) x (* y (Math/floor (+ (/ x y) 0.5)))))

(defn- clipped ^double [^double x ^double low ^double high]
  (cond (> x high) high, (< x low) low, :else x))

(defn- folded
  "x, turned back at its bounds. What is near them is not divided, so that it stays exact."
  ^double [^double x ^double low ^double high]
  (let [once (cond (>= x high) (- (+ high high) x), (< x low) (- (+ low low) x), :else x)]
    (cond
      (and (<= low once) (< once high)) once
      (= x high)                        high
      (= low high)                      low
      :else                             (let [width (- high low)
                                              y     (modulo (- x low) (+ width width))]
                                          (+ low (if (>= y width) (- (+ width width) y) y))))))

(defn- wrapped
  "x, entering again at the other of its bounds; as `folded`."
  ^double [^double x ^double low ^double high]
  (let [width (- high low)
        once  (cond (>= x high) (- x width), (< x low) (+ x width), :else x)]
    (cond
      (and (<= low once) (< once high)) once
      (= low high)                      low
      :else                             (- once (* width (Math/floor (/ (- once low) width)))))))

(defn- whole ^double [^double x] (double (unchecked-long x)))

(defn- divisor
  "The greatest common divisor, which is negative where neither is above 0."
  ^double [^double x ^double y]
  (let [g (double (loop [a (Math/abs (whole x)), b (Math/abs (whole y))]
                    (if (zero? b) a (recur b (rem a b)))))]
    (if (and (<= (whole x) 0.0) (<= (whole y) 0.0)) (- g) g)))

(defn- multiple
  "The least common multiple."
  ^double [^double x ^double y]
  (let [g (divisor x y)]
    (if (zero? g) 0.0 (/ (* (whole x) (whole y)) g))))

(defn- power ^double [^double x ^double y]
  (if (neg? x) (- (Math/pow (- x) y)) (Math/pow x y)))

(defn of-number
  "What a unary operator, by its name, makes of a number; nil for one that draws lots,
  for each synth draws its own.

      (of-number \"midicps\" 69)  ;=> 440.0"
  [operator x]
  (let [x (double x)]
    (case operator
      "neg"        (- x)
      "not"        (truth (not (pos? x)))
      "bitNot"     (double (bit-not (unchecked-long x)))
      "abs"        (Math/abs x)
      "ceil"       (Math/ceil x)
      "floor"      (Math/floor x)
      "frac"       (- x (Math/floor x))
      "sign"       (Math/signum x)
      "squared"    (* x x)
      "cubed"      (* x x x)
      "sqrt"       (if (neg? x) (- (Math/sqrt (- x))) (Math/sqrt x))
      "exp"        (Math/exp x)
      "reciprocal" (/ 1.0 x)
      "midicps"    (* 440.0 (Math/pow 2.0 (* (- x 69.0) 0.08333333333333333)))
      "cpsmidi"    (+ 69.0 (* 12.0 (log2 (/ x 440.0))))
      "midiratio"  (Math/pow 2.0 (* x 0.08333333333333333))
      "ratiomidi"  (* 12.0 (log2 x))
      "dbamp"      (Math/pow 10.0 (* x 0.05))
      "ampdb"      (* 20.0 (Math/log10 x))
      "octcps"     (* 440.0 (Math/pow 2.0 (- x 4.75)))
      "cpsoct"     (+ 4.75 (log2 (/ x 440.0)))
      "log"        (Math/log x)
      "log2"       (log2 x)
      "log10"      (Math/log10 (Math/abs x))
      "sin"        (Math/sin x)
      "cos"        (Math/cos x)
      "tan"        (Math/tan x)
      "asin"       (Math/asin x)
      "acos"       (Math/acos x)
      "atan"       (Math/atan x)
      "sinh"       (Math/sinh x)
      "cosh"       (Math/cosh x)
      "tanh"       (Math/tanh x)
      "distort"    (/ x (+ 1.0 (Math/abs x)))
      "softclip"   (let [a (Math/abs x)] (if (<= a 0.5) x (/ (- a 0.25) x)))
      "silence"    0.0
      "thru"       x
      "rectWindow" (truth (<= 0.0 x 1.0))
      "hanWindow"  (if (<= 0.0 x 1.0) (- 0.5 (* 0.5 (Math/cos (* 2.0 Math/PI x)))) 0.0)
      "welWindow"  (if (<= 0.0 x 1.0) (Math/sin (* Math/PI x)) 0.0)
      "triWindow"  (cond (not (<= 0.0 x 1.0)) 0.0, (< x 0.5) (* 2.0 x), :else (- 2.0 (* 2.0 x)))
      "ramp"       (clipped x 0.0 1.0)
      "scurve"     (let [x (clipped x 0.0 1.0)] (* x x (- 3.0 (* 2.0 x))))
      nil)))

(defn- of-doubles [operator ^double x ^double y]
  (case operator
    "/"          (/ x y)
    "div"        (Math/floor (/ x y))
    "mod"        (modulo x y)
    "=="         (truth (== x y))
    "!="         (truth (not (== x y)))
    "<"          (truth (< x y))
    ">"          (truth (> x y))
    "<="         (truth (<= x y))
    ">="         (truth (>= x y))
    "bitAnd"     (double (bit-and (unchecked-long x) (unchecked-long y)))
    "bitOr"      (double (bit-or (unchecked-long x) (unchecked-long y)))
    "bitXor"     (double (bit-xor (unchecked-long x) (unchecked-long y)))
    "lcm"        (multiple x y)
    "gcd"        (divisor x y)
    "round"      (rounded x y)
    "roundUp"    (if (zero? y) x (* y (Math/ceil (/ x y))))
    "trunc"      (if (zero? y) x (* y (Math/floor (/ x y))))
    "atan2"      (Math/atan2 x y)
    "hypot"      (Math/hypot x y)
    "hypotApx"   (let [x (Math/abs x), y (Math/abs y)] (- (+ x y) (* (- (Math/sqrt 2.0) 1.0) (Math/min x y))))
    "pow"        (power x y)
    "leftShift"  (double (unchecked-int (bit-shift-left (unchecked-long x) (bit-and 31 (unchecked-long y)))))
    "rightShift" (double (bit-shift-right (unchecked-int (unchecked-long x)) (bit-and 31 (unchecked-long y))))
    "ring1"      (+ (* x y) x)
    "ring2"      (+ (* x y) x y)
    "ring3"      (* x x y)
    "ring4"      (- (* x x y) (* x y y))
    "difsqr"     (- (* x x) (* y y))
    "sumsqr"     (+ (* x x) (* y y))
    "sqrsum"     (let [z (+ x y)] (* z z))
    "sqrdif"     (let [z (- x y)] (* z z))
    "absdif"     (Math/abs (- x y))
    "thresh"     (if (< x y) 0.0 x)
    "amclip"     (if (neg? y) 0.0 (* x y))
    "scaleneg"   (if (neg? x) (* x y) x)
    "clip2"      (clipped x (- y) y)
    "excess"     (- x (clipped x (- y) y))
    "fold2"      (folded x (- y) y)
    "wrap2"      (wrapped x (- y) y)
    nil))

(defn- integers? [a b] (and (int? a) (int? b)))

(defn of-numbers
  "What a binary operator, by its name, makes of two numbers, as `of-number`.

      (of-numbers \"hypot\" 3 4)  ;=> 5.0"
  [operator a b]
  (case operator
    "+"          (if (integers? a b) (+' a b) (+ (double a) (double b)))
    "-"          (if (integers? a b) (-' a b) (- (double a) (double b)))
    "*"          (if (integers? a b) (*' a b) (* (double a) (double b)))
    "min"        (min a b)
    "max"        (max a b)
    "firstArg"   a
    (of-doubles operator (double a) (double b))))

(ns espalier.model.layers
  "Places for the boxes of a graph whose wires all lead on: in layers from the left to the
  right, after Sugiyama. A box is as far to the right as what it leads to allows; a wire that passes
  layers has a place of its own in each; barycentres order each layer so that few wires cross; and
  each is then as near to what it is wired to as that order permits.

  Boxes are `{:width 80, :height 40}`, wires `{:from [0 20], :to [1 10]}`: the number of a box and
  how far below its top the wire has its end. The same graph has the same places.")

(set! *warn-on-reflection* true)

(def ^:private box-gap "Pixels between boxes of a layer." 14)
(def ^:private wire-gap "Pixels between wires, or a wire and a box." 8)

(defn- layers-of
  "The layer of each box, a vector: what leads nowhere is in the last, what has no wires in
  the first."
  [n wires]
  (let [depth (int-array n)
        wired (into #{} (mapcat (fn [{[a] :from, [b] :to}] [a b])) wires)
        back  (group-by (comp first :from) wires)]
    (loop [i (dec (long n))]                               ; wires lead to boxes with higher numbers
      (when (<= 0 i)
        (doseq [{[to] :to} (back i)]
          (aset depth i (int (max (aget depth i) (inc (aget depth (int to)))))))
        (recur (dec i))))
    (let [deepest (reduce max 0 depth)]
      (into [] (map-indexed (fn [i d] (if (wired i) (- (long deepest) (long d)) 0))) depth))))

(defn- with-knots
  "Items, which are the boxes and then the knots, the places of wires in the layers that
  they pass, as `{:layer :height :width}`; the links between items of neighbouring layers; and of each wire the items that it
  passes. Wires from one end share their knots."
  [boxes wires]
  (let [layers (layers-of (count boxes) wires)
        items  (mapv (fn [box layer] (assoc box :layer layer)) boxes layers)]
    (reduce
      (fn [{:keys [items knots links routes]} {[from :as start] :from, [to :as end] :to}]
        (let [between (range (inc (long (layers from))) (long (layers to)))
              [items knots route]
              (reduce (fn [[items knots route] layer]
                        (if-let [knot (get knots [start layer])]
                          [items knots (conj route knot)]
                          [(conj items {:layer layer, :height 0, :width 0, :knot true})
                           (assoc knots [start layer] (count items))
                           (conj route (count items))]))
                      [items knots []] between)
              stops (concat [start] (map (fn [k] [k 0]) route) [end])]
          {:items items, :knots knots, :routes (conj routes route)
           :links (into links (map vector stops (rest stops)))}))
      {:items items, :knots {}, :links [], :routes []}
      wires)))

;; ---- order within layers

(defn- neighbours
  "From each item to its links on one side, `[offset-here item offset-there]`."
  [links near far]
  (reduce (fn [m link]
            (let [[here here-y] (near link), [there there-y] (far link)]
              (update m here (fnil conj []) [here-y there there-y])))
          {} links))

(defn- positions [order]
  (into {} (mapcat (fn [layer] (map-indexed (fn [i item] [item i]) layer))) order))

(defn- share
  "How far down its item an end is, 0 to 1."
  ^double [items item y]
  (let [h (double (:height (nth items item)))]
    (if (pos? h) (/ (double y) h) 0.5)))

(defn- crossings
  "How many links cross between the layers."
  [items links place]
  (let [spots (fn [[[a ay] [b by]]] [(+ (double (place a)) (share items a ay)) (+ (double (place b)) (share items b by))])
        by-layer (group-by (fn [[[a]]] (:layer (nth items a))) links)]
    (reduce (fn [n links]
              (let [ends (double-array (map second (sort (map spots links))))
                    size (alength ends)]
                (loop [i 0, j 1, n (long n)]
                  (cond
                    (< j size)       (recur i (inc j) (if (< (aget ends j) (aget ends i)) (inc n) n))
                    (< (+ 2 i) size) (recur (inc i) (+ 2 i) n)
                    :else            n))))
            0 (vals by-layer))))

(defn- swept
  "An order whose layers, one after the other, are sorted by where the neighbours of each
  item are; one without any stays."
  [order items sides]
  (reduce (fn [order [layer near]]
            (let [here  (nth order layer)
                  place (positions order)
                  wish  (fn [i item]
                          (let [links (near item)]
                            (if (seq links)
                              (/ (double (reduce (fn [sum [_ there y]] (+ (double sum) (double (place there)) (share items there y))) 0.0 links))
                                 (count links))
                              (double i))))]
              (assoc order layer (mapv peek (sort (map-indexed (fn [i item] [(wish i item) i item]) here))))))
          order
          sides))

(defn- best-order
  "The layers, vectors of items, with as few crossings as some sweeps find."
  [{:keys [items links]}]
  (let [order  (reduce (fn [order [i {:keys [layer]}]] (update order layer conj i))
                       (vec (repeat (inc (long (reduce max 0 (map :layer items)))) []))
                       (map-indexed vector items))
        left   (neighbours links second first)
        right  (neighbours links first second)
        n      (count order)
        onward (map (fn [l] [l left]) (range 1 n))
        back   (map (fn [l] [l right]) (range (- n 2) -1 -1))
        rounds (if (< 2000 (count items)) 4 12)]
    (loop [round 0, order order, best order, fewest (crossings items links (positions order))]
      (if (or (= round rounds) (zero? (long fewest)))
        best
        (let [order (swept order items (if (even? round) back onward))
              found (crossings items links (positions order))]
          (if (< (long found) (long fewest))
            (recur (inc round) order order found)
            (recur (inc round) order best fewest)))))))

;; ---- heights

(defn- settled
  "Places in their order, as near to those that are wished as can be: the sum of the squares
  of the distances, by their weights, is the least. `needs` says how far each is from the one before."
  [wishes weights needs]
  (let [;; As if none needed room: what each is moved by those before it.
        offsets (vec (reductions + 0.0 (rest needs)))
        blocks  (reduce (fn [blocks [wish weight offset]]
                          (loop [blocks blocks, sum (* (double weight) (- (double wish) (double offset))), weight (double weight), n 1]
                            (let [[s w size] (peek blocks)]
                              (if (and s (< (/ sum weight) (/ (double s) (double w))))
                                (recur (pop blocks) (+ sum (double s)) (+ weight (double w)) (+ n (long size)))
                                (conj blocks [sum weight n])))))
                        [] (map vector wishes weights offsets))]
    (mapv + (mapcat (fn [[sum weight n]] (repeat n (/ (double sum) (double weight)))) blocks) offsets)))

(defn- needs
  "How far the top of each item of a layer is from that of the one before."
  [items layer]
  (into [0.0]
        (map (fn [[a b]]
               (+ (double (:height (items a)))
                  (double (if (or (:knot (items a)) (:knot (items b))) wire-gap box-gap)))))
        (partition 2 1 layer)))

(defn- tops
  "From each item to its top."
  [{:keys [items links]} order]
  (let [left  (neighbours links second first)
        right (neighbours links first second)
        needs (mapv #(needs items %) order)
        first-tops (into {} (mapcat (fn [layer needs] (map vector layer (reductions + needs))) order needs))
        n     (count order)
        wish  (fn [tops links item]
                (if-let [links (seq (mapcat #(% item) links))]
                  (/ (double (reduce (fn [sum [here there y]] (+ (double sum) (- (+ (double (tops there)) (double y)) (double here)))) 0.0 links))
                     (count links))
                  (tops item)))
        adjust (fn [tops [l sides]]
                 (let [layer (order l)]
                   (into tops (map vector layer
                                   (settled (map #(wish tops sides %) layer)
                                            (map (fn [item] (if (:knot (items item)) 4.0 (+ 1.0 (count (mapcat #(% item) sides))))) layer)
                                            (needs l))))))
        onward (map (fn [l] [l [left]]) (range 1 n))
        back   (map (fn [l] [l [right]]) (range (- n 2) -1 -1))
        both   (map (fn [l] [l [left right]]) (range n))]
    (reduce adjust first-tops (concat back onward back onward back both both (reverse both) both))))

(defn- lefts
  "The left of each layer and its width: between layers there is the more room the more
  wires pass there."
  [{:keys [items links]} order]
  (let [widths (mapv (fn [layer] (double (reduce max 0 (map (comp :width items) layer)))) order)
        passed (frequencies (map (fn [[[a]]] (:layer (items a))) links))]
    (mapv vector
          (reductions + 0.0 (map (fn [l w] (+ (double w) (min 120.0 (+ 36.0 (* 3.0 (long (passed l 0))))))) (range (dec (count order))) widths))
          widths)))

(defn layout
  "Where boxes and wires are.

  `boxes`  a vector of `{:width :height}`
  `wires`  `{:from [box offset], :to [box offset]}`, each from a box to one with a higher number

  Returns `:width` and `:height` of all, `:places`, `[x y]` of each box, and `:routes`, of each wire
  the points `[x y]` that it passes: it is straight between the first and the second, the third and
  the fourth, and so on, within a layer.

      (layout [{:width 50 :height 20} {:width 50 :height 20}] [{:from [0 10] :to [1 10]}])
      ;=> {:width 139.0, :height 20.0, :places [[0.0 0.0] [89.0 0.0]], :routes [[[50.0 10.0] [50.0 10.0] [89.0 10.0]]]}"
  [boxes wires]
  (if (empty? boxes)
    {:width 0.0, :height 0.0, :places [], :routes []}
    (let [{:keys [items routes] :as graph} (update (with-knots boxes wires) :links (comp vec distinct))
          order  (best-order graph)
          tops   (tops graph order)
          low    (double (reduce min (vals tops)))
          top    (fn [item] (- (double (tops item)) low))
          lefts  (lefts graph order)
          left   (fn [item] (first (lefts (:layer (items item)))))
          layer-width (fn [item] (second (lefts (:layer (items item)))))
          [last-left last-width] (peek lefts)]
      {:width  (+ (double last-left) (double last-width))
       :height (double (reduce max 0.0 (map (fn [i] (+ (double (top i)) (double (:height (items i))))) (range (count items)))))
       :places (mapv (fn [i] [(left i) (top i)]) (range (count boxes)))
       :routes (mapv (fn [{[a ay] :from, [b by] :to} knots]
                       (-> [[(+ (double (left a)) (double (:width (items a)))) (+ (double (top a)) (double ay))]
                            [(+ (double (left a)) (double (layer-width a))) (+ (double (top a)) (double ay))]]
                           (into (mapcat (fn [k] [[(left k) (top k)] [(+ (double (left k)) (double (layer-width k))) (top k)]])) knots)
                           (conj [(left b) (+ (double (top b)) (double by))])))
                     wires routes)})))

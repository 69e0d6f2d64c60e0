(ns espalier.model.png
  "Pixels of few colours to the bytes of a PNG file, for pictures within pictures."
  (:import
   (java.io ByteArrayOutputStream DataOutputStream)
   (java.nio.charset StandardCharsets)
   (java.util.zip CRC32 DeflaterOutputStream)))

(set! *warn-on-reflection* true)

(defn- chunk! [^DataOutputStream out ^String kind ^bytes content]
  (let [kind (.getBytes kind StandardCharsets/US_ASCII)
        sum  (doto (CRC32.) (.update kind) (.update content))]
    (doto out
      (.writeInt (alength content))
      (.write kind)
      (.write content)
      (.writeInt (unchecked-int (.getValue sum))))))

(defn- bytes-of
  "The bytes that `f` writes."
  ^bytes [f]
  (let [bytes (ByteArrayOutputStream.)]
    (with-open [out (DataOutputStream. bytes)]
      (f out))
    (.toByteArray bytes)))

(defn- packed ^bytes [^bytes pixels columns rows]
  (let [bytes (ByteArrayOutputStream.)]
    (with-open [out (DeflaterOutputStream. bytes)]
      (dotimes [row rows]
        (.write out 0)                                     ; no filter
        (.write out pixels (int (* row (long columns))) (int columns))))
    (.toByteArray bytes)))

(defn png
  "The bytes of a PNG file.

  `pixels`   a byte for each, the number of its colour, row by row from the top
  `columns`  pixels of a row
  `rows`     how many there are
  `colours`  at most 256, as 0xRRGGBB

      (png (byte-array [0 1 1 0]) 2 2 [0x000000 0xffffff])"
  ^bytes [^bytes pixels columns rows colours]
  (bytes-of
    (fn [^DataOutputStream out]
      (.write out (byte-array (map unchecked-byte [0x89 0x50 0x4e 0x47 0x0d 0x0a 0x1a 0x0a])))
      (chunk! out "IHDR" (bytes-of (fn [^DataOutputStream out]
                                     (.writeInt out columns)
                                     (.writeInt out rows)
                                     (.write out (byte-array [8 3 0 0 0])))))   ; 8 bits, by palette
      (chunk! out "PLTE" (bytes-of (fn [^DataOutputStream out]
                                     (doseq [c colours, shift [16 8 0]]
                                       (.writeByte out (bit-shift-right (long c) (long shift)))))))
      (chunk! out "IDAT" (packed pixels columns rows))
      (chunk! out "IEND" (byte-array 0)))))

(ns espalier.runtime.desktop
  "The viewers of the desktop, where there is one. Is loaded where it is used, for some Java
  runtimes have no java.desktop."
  (:import
   (java.awt Desktop Desktop$Action GraphicsEnvironment)
   (java.io File)))

(set! *warn-on-reflection* true)

(defn open!
  "Opens a file with the viewer that the desktop has for it; returns whether there was one.

      (open! (java.io.File. \"tree.svg\"))  ;=> false, on a server"
  [^File file]
  (try
    (if (and (not (GraphicsEnvironment/isHeadless))
             (Desktop/isDesktopSupported)
             (.isSupported (Desktop/getDesktop) Desktop$Action/OPEN))
      (do (.open (Desktop/getDesktop) file)
          true)
      false)
    ;; Without a viewer, or with a display that is named and not there, the file is there all the same.
    (catch Throwable _ false)))

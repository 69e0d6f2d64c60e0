(ns espalier.model.command-page
  "The table of commands as people read it: one command as text at a REPL, all in an
  overview, and the page doc/commands.md."
  (:require
   [clojure.string :as str]
   [espalier.model.command :as command]
   [espalier.model.command-table :refer [table]]
   [espalier.model.command-type :as command-type]))

(set! *warn-on-reflection* true)

(defn- many? [type] (vector? type))

(defn- says [type options]
  (if (many? type)
    (let [types (rest type)]
      (str (if (next types) "for each, in a vector or as a map entry: " "any number of: ")
           (if (next types)
             (str/join "; " (map-indexed (fn [i t] (str "(" (inc (long i)) ") " (command-type/says t options))) types))
             (command-type/says (first types) options))))
    (command-type/says type options)))

(defn- presence [type options]
  (cond
    (contains? options :default) (str "default " (pr-str (:default options)))
    (and (many? type) (pos? (:min options 0))) "one at least"
    (many? type) "may be none"))

(defn- answer [{:keys [reply async? completion? ahead?]}]
  (remove nil?
          [(when reply (str "answered by " (str/join " " (map (fn [x] (cond (vector? x) (str (name (first x)) " …")
                                                                            (keyword? x) (name x)
                                                                            :else x))
                                                              reply))))
           (when async? "asynchronous: done beside the sound, and waited for")
           (when completion? "takes a completion")
           (when ahead? "done ahead of a moment with a future time")]))

(defn- limits [{:keys [engines since refused own]}]
  (remove nil?
          [(when engines (str (str/join ", " (map name engines)) " only"))
           (when since (str "since version " since))
           (when own (str "not to be sent: " own))
           (when refused (str/join "; " (for [[engine why] refused] (str "never sent to " (name engine) ": " why))))]))

(defn text
  "What the table knows of a command, several lines.

  Throws `:espalier.error/unknown-command`.

      (println (text :s-new))"
  [command]
  (let [{:keys [address args doc] :as entry} (command/entry command)]
    (str/join "\n"
              (concat
                [(str command "  " address) (str "  " doc)]
                (for [[arg-name type doc options] args]
                  (str "  " (format "%-14s" (str arg-name)) " " doc
                       "\n                   " (says type options)
                       (when-let [p (presence type options)] (str " (" p ")"))))
                (when (seq (answer entry)) [(str "  " (str/join "; " (answer entry)))])
                (when (seq (limits entry)) [(str "  " (str/join "; " (limits entry)))])))))

(defn overview
  "Every command with its address and what it does, a line each."
  []
  (str/join "\n"
            (for [{:keys [command address doc]} table]
              (format "%-22s %-22s %s" (str command) address doc))))

(defn- cell [s] (str/replace (str s) "|" "\\|"))

(defn markdown
  "The page doc/commands.md."
  []
  (str "# Commands\n\n"
       "Every command that scsynth and supernova know, as `espalier.model.command-table` has them. This page is made from the table:\n"
       "`(spit \"doc/commands.md\" (espalier.model.command-page/markdown))`.\n\n"
       "`(sc/command! s :n-set {:id 1000 :controls {:freq 440}})` sends one, checked; `(sc/request :n-set {…})` makes the message alone.\n"
       "Most have functions of their own in `espalier.core`, which know more: use those first.\n\n"
       (str/join "\n"
                 (for [{:keys [command address args doc] :as entry} table]
                   (str "## `" command "` " address "\n\n" doc
                        (when-let [more (seq (concat (answer entry) (limits entry)))]
                          (str " *" (str/join "; " more) "*"))
                        "\n"
                        (when (seq args)
                          (str "\n| argument | what it is | values | |\n|---|---|---|---|\n"
                               (apply str
                                      (for [[arg-name type doc options] args]
                                        (str "| `" arg-name "` | " (cell doc) " | " (cell (says type options)) " | "
                                             (presence type options) " |\n"))))))))))

(ns espalier.model.operation
  "The operations of the nREPL middleware: a table in the form that nREPL's `describe` tells,
  and the reference in doc/nrepl.md, which follows from it."
  (:require
   [clojure.string :as str]))

(set! *warn-on-reflection* true)

(def ^:private server
  {"server" "The server that is meant: the name of a var that holds its handle, `user/s`, or `s` in the namespace `ns` (default: `user`, or that of the session for operations that evaluate). Without it, the one handle of this JVM that is online."})

(def ^:private timeout
  {"timeout-ms" "How long to wait for the server, an integer (default: that of the handle, 5000)."})

(def ^:private evaluation
  {"ns"     "The namespace to evaluate in (default: that of the session)."
   "file"   "The file that the code is of."
   "line"   "The line at which it begins there."
   "column" "The column at which it begins there."})

(def ^:private failure
  {"espalier/error"   "Where it fails: the code of the error, `espalier.error/no-answer` for example; `err` has its message, and the status is `error`."
   "espalier/choices" "Where it is not clear which server is meant: those that are online, each with its var."})

(def table
  "By name, the operations: `:doc`, and with what is said of each, `:requires`, `:optional` and
  `:returns`."
  {"espalier/status"
   {:doc      "What a server says of itself."
    :requires {}
    :optional (merge server timeout)
    :returns  (merge failure
                     {"server"           "The name of the var that holds the handle, empty where none does."
                      "espalier/status"  "`status`, `engine`, `version`, `port`, `protocol`, `owner?`, `pid`, `client-id`, `maximum-logins`, and what `sc/status` returns: counts, load, sample rates."
                      "espalier/text"    "The handle in one line."
                      "espalier/servers" "All handles that are online, each with its var."})}

   "espalier/tree"
   {:doc      "The node tree, as data and as text."
    :requires {}
    :optional (merge server timeout
                     {"group"    "The id of the group to begin with (default 0, the root)."
                      "controls" "Whether controls are asked for, 0 or 1 (default 1)."
                      "depth"    "How many levels the text shows (default: all)."})
    :returns  (merge failure
                     {"server"        "As of `espalier/status`."
                      "espalier/tree" "The tree as `sc/query-tree` returns it, in strings, integers, lists and maps."
                      "espalier/text" "The tree as `sc/print-tree` prints it."})}

   "espalier/subscribe"
   {:doc      "From now on tells the session what happens on a server, until `espalier/unsubscribe`, or until the session is closed. What happens in quick succession comes in one message; a session that reads slowly gets larger ones, and is told how much it has missed. These messages have the id of this request, and come after its `done`. Subscribing again replaces the subscription of the session to that server. What the server refuses and no evaluation has caused is told to all subscribers."
    :requires {"session" "The session that is to hear of it."}
    :optional (merge server
                     {"what"        "A list: `tree` for what becomes of nodes, `events` for lifecycle events (default: both)."
                      "interval-ms" "How long news gather before they are sent (default 50)."})
    :returns  (merge failure
                     {"server"                  "As of `espalier/status`, in each later message too."
                      "espalier/changes"        "In later messages: the nodes to which something has happened, each with `id`, `kind`, `change` (`started`, `ended`, `moved`, `paused` or `resumed`, the last that holds), and `parent`, `previous`, `next`."
                      "espalier/passed"         "Beside it: how many nodes have come and gone meanwhile."
                      "espalier/dropped"        "Beside it: how many changes are not told; ask for the tree then."
                      "espalier/event"          "In later messages: a lifecycle event of `sc/on-lifecycle!`, a map."
                      "espalier/events-dropped" "In later messages: how many events were not told."
                      "status"                  "Of later messages `espalier/news`."})}

   "espalier/unsubscribe"
   {:doc      "Ends what `espalier/subscribe` has begun."
    :requires {"session" "The session that hears of it."}
    :optional {"server" "The server, as for `espalier/subscribe` (default: all of the session's)."}
    :returns  (merge failure {"espalier/ended" "How many subscriptions that were."})}

   "espalier/eval-as-bundle"
   {:doc      "Evaluates code as `eval` does, within one moment, `sc/at`: what it asks of the server takes effect at one time, or not at all where the code throws."
    :requires {"code"    "The code."
               "session" "The session to evaluate in."}
    :optional (merge server evaluation timeout
                     {"at"      "When, in POSIX seconds, an integer or a string (default: now)."
                      "in-ms"   "When, in milliseconds from now, in place of `at`."
                      "confirm" "1 waits for what the server refuses, and throws it (default 0)."})
    :returns  (merge failure {"value" "What the last form returns; for the rest see `eval`."})}

   "espalier/plan"
   {:doc      "What `sc/reconcile!` would do for a declared tree: the edits. Nothing is changed."
    :requires {"code"    "Code that evaluates to a tree, or to a map with `:tree`, as `sc/reconcile!` takes it."
               "session" "The session to evaluate in."}
    :optional (merge server evaluation timeout
                     {"root"  "The id of the group whose content it is (default: that of this client)."
                      "prune" "0 leaves what was never declared (default 1)."})
    :returns  (merge failure
                     {"server"            "As of `espalier/status`."
                      "espalier/edits"    "The edits, a list of maps."
                      "espalier/requests" "The messages that would be sent, a list of lists."
                      "espalier/text"     "The edits in words, one a line; empty where nothing differs."
                      "value"             "The plan in one line."})}

   "espalier/log"
   {:doc      "What has happened: what `sc/log` tells, lines that the server printed among it, or packets."
    :requires {}
    :optional (merge server
                     {"what"      "`log` (default) or `packets`."
                      "limit"     "Only so many, the last ones (default 100)."
                      "after"     "Only what has a greater `n`."
                      "level"     "Of the log, `info`, `warn` or `error`: that and what is worse (default: all)."
                      "direction" "Of packets, `sent` or `received` (default: both)."})
    :returns  (merge failure
                     {"server"       "As of `espalier/status`."
                      "espalier/log" "A list of maps: with `n`, `at`, `level`, `what`, `text` and what else there is, or with `n`, `at`, `direction` and `packet`."})}

   "espalier/complete"
   {:doc      "What a name may become: commands, options and UGens; where there is a server, its SynthDefs and their controls."
    :requires {"prefix" "How it begins: with a colon for keywords, a slash for addresses."}
    :optional (merge server
                     {"kinds"    "A list of those that are wanted, of `synthdef`, `control`, `command`, `option`, `ugen` (default: all)."
                      "synthdef" "The name of a SynthDef, whose controls are offered too."
                      "limit"    "How many (default 200)."})
    :returns  (merge failure {"completions" "A list of maps with `candidate`, `type` and `doc`."})}

   "espalier/doc"
   {:doc      "What is known of a name: of a command (`:s-new`, `/s_new`), an option (`:port`), a UGen or operator (`SinOsc`, `sin-osc:ar`), or the code of an error (`:no-answer`). No server is needed."
    :requires {"name" "The name."}
    :optional {}
    :returns  {"espalier/docs"    "A list of maps with `kind`, `name`, `doc` and `text`; empty where nothing is known, and the status has `no-doc`."
               "espalier/text"    "All of it, as text."
               "espalier/nearest" "Where nothing is known: the name that is most like it."}}})

;; ---- the page

(defn- cell [text] (str/replace text "|" "\\|"))

(defn- rows [described]
  (map (fn [[n text]] (str "| `" n "` | " (cell text) " |")) (sort-by key described)))

(defn- section [heading described]
  (when (seq described)
    (concat ["" (str "| " heading " | |") "|---|---|"] (rows described))))

(defn reference
  "The reference of the operations, Markdown."
  []
  (str/join "\n"
            (mapcat (fn [[n {:keys [doc requires optional returns]}]]
                      (concat ["" (str "### `" n "`") "" doc]
                              (section "must be given" requires)
                              (section "may be given" optional)
                              (section "comes back" returns)))
                    (sort-by key table))))

(def ^:private mark "<!-- What follows is made from the table of operations. After a change there, in the project's folder:
     bin/clj -M -e \"(require 'espalier.model.operation) (spit \\\"doc/nrepl.md\\\" (espalier.model.operation/page (slurp \\\"doc/nrepl.md\\\")))\" -->")

(defn page
  "The page doc/nrepl.md with its reference made anew; what stands before that stays."
  [written]
  (str (str/trimr (subs written 0 (or (str/index-of written "<!-- What follows") (count written))))
       "\n\n" mark "\n" (reference) "\n"))

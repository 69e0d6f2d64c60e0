(ns espalier.model.command-table
  "Every command that scsynth and supernova know, one entry each: data only.
  `espalier.model.command` reads it; requests, their checks, the replies that
  answer them and the page doc/commands.md follow from it.")

(def ^:private scsynth #{:scsynth})

(def ^:private add-action "where to put it: :head or :tail of the target group, :before or :after the target node, or :replace it")

(def ^:private header-formats
  ["aiff" "wav" "raw" "w64" "caf" "flac" "ogg" "next" "sun" "ircam" "mat4" "mat5" "paf" "svx" "nist" "voc" "pvf" "xi" "htk"
   "sds" "avr" "sd2" "rf64" "wavex" "mpeg"])

(def ^:private sample-formats
  ["int8" "uint8" "int16" "int24" "int32" "float" "double" "mulaw" "ulaw" "alaw" "vorbis" "opus" "mp3"])

(def table
  "In the order of their families.

  | key | what it says |
  |---|---|
  | `:command`     | its name here |
  | `:address`     | its OSC address |
  | `:args`        | the arguments in their order: `[name type doc]`, and a map with `:default`, `:range`, `:values`, `:min` (of a `:many`) |
  | `:engines`     | which servers know it; both where it is absent |
  | `:since`       | the first version that knows it |
  | `:async?`      | the server does it beside the sound, in a thread of its own, and says `/done` |
  | `:completion?` | its last argument may be what follows when it is done |
  | `:ahead?`      | in a moment with a future time it is done before that time, for it makes what others need |
  | `:reply`       | how the reply begins that answers it: strings, names of arguments, or `[name nil …]`: each of its values, followed by as many others |
  | `:merge`       | two of these in a row can be one: `:all`, or `:same` where they name the same first argument |
  | `:refused`     | engine -> why it is never sent there |
  | `:own`         | the call that does it rightly, for it changes the handle too |
  | `:doc`         | one line |

  An argument of the type `[:many t …]` takes all that are left: a sequence, or, where it
  has several types, a map or a sequence of tuples. `:run` stands for a count and so many values."
  [;; ---- the server
   {:command :status, :address "/status", :reply ["/status.reply"]
    :doc "Asks for counts of nodes and UGens, CPU load and sample rates."}

   {:command :version, :address "/version", :reply ["/version.reply"]
    :doc "Asks for the program and its version."}

   {:command :sync, :address "/sync", :async? true, :reply ["/synced" :id]
    :args    [[:id :integer "a number that comes back in the reply"]]
    :doc     "Answers when every asynchronous command before it is done."}

   {:command :notify, :address "/notify", :async? true, :reply ["/done" "/notify"], :own "(sc/connect! s) and (sc/disconnect! s)"
    :args    [[:on :flag "whether to hear of nodes"] [:client-id :integer "the number that is wished for" {:default 0}]]
    :doc     "Logs in or out."}

   {:command :quit, :address "/quit", :async? true, :reply ["/done" "/quit"], :own "(sc/quit! s)"
    :doc     "Ends the server."}

   {:command :dump-osc, :address "/dumpOSC"
    :args    [[:mode :integer "0 off, 1 as text, 2 as bytes, 3 both" {:range [0 3]}]]
    :doc     "Prints what arrives in the server's output."}

   {:command :clear-schedule, :address "/clearSched"
    :doc     "Drops every bundle, of all clients, that waits for its time."}

   {:command :error-mode, :address "/error"
    :args    [[:mode :integer "1 on, 0 off; -2 on and -1 off until the bundle ends" {:range [-2 1]}]]
    :doc     "Whether failures are told and printed. Espalier needs them: off, no error can be told."}

   {:command :plugin, :address "/cmd"
    :args    [[:name :name "the command of a plug-in"] [:arguments [:many :any] "what it takes"]]
    :doc     "Calls a command that a plug-in has defined."}

   {:command :memory-status, :address "/rtMemoryStatus", :engines scsynth, :since "3.14", :reply ["/rtMemoryStatus.reply"]
    :doc     "Asks for the bytes of real-time memory that are free, and the largest piece."}

   {:command :none, :address "/none"
    :doc     "Does nothing."}

   ;; ---- SynthDefs
   {:command :d-recv, :address "/d_recv", :async? true, :completion? true, :ahead? true, :reply ["/done" "/d_recv"]
    :args    [[:synthdef :synthdef-bytes "the bytes of a SynthDef file; for supernova of one SynthDef, for it reads no second"]]
    :doc     "Defines a SynthDef, or, on scsynth, all that a file holds."}

   {:command :d-load, :address "/d_load", :async? true, :completion? true, :ahead? true, :reply ["/done" "/d_load"]
    :args    [[:path :path "a file; scsynth takes * and ? for several"]]
    :doc     "Loads SynthDefs from a file of the server's machine."}

   {:command :d-load-directory, :address "/d_loadDir", :async? true, :completion? true, :ahead? true, :reply ["/done" "/d_loadDir"]
    :args    [[:path :path "a directory"]]
    :doc     "Loads every SynthDef of a directory of the server's machine."}

   {:command :d-free, :address "/d_free"
    :args    [[:names [:many :name] "of SynthDefs" {:min 1}]]
    :doc     "Forgets SynthDefs; synths that play go on."}

   {:command :d-free-all, :address "/d_freeAll", :engines scsynth
    :refused {:scsynth "it frees SynthDefs that synths still use; name them in :d-free"}
    :doc     "Forgets every SynthDef at once."}

   ;; ---- nodes
   {:command :n-free, :address "/n_free"
    :args    [[:ids [:many :node] "nodes; scsynth stops at the first that is not there" {:min 1}]]
    :doc     "Frees nodes, groups with all that is in them."}

   {:command :n-run, :address "/n_run"
    :args    [[:runs [:many :node :flag] "node, and whether it shall run" {:min 1}]]
    :doc     "Pauses nodes and lets them run again."}

   {:command :n-set, :address "/n_set", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:controls [:many :control :value] "control and value: a number, \"c5\" or \"a5\" to map it to a bus, or a sequence of these for an array control" {:min 1}]]
    :doc     "Sets controls."}

   {:command :n-setn, :address "/n_setn", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:ranges [:many :control :run] "first control, and the values for it and those that follow" {:min 1}]]
    :doc     "Sets successive controls."}

   {:command :n-fill, :address "/n_fill"
    :refused {:scsynth "scsynth 3.13 sets the controls to 0 whatever is asked; :n-setn does it rightly"}
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:fills [:many :control :count :number] "first control, how many, and the value" {:min 1}]]
    :doc     "Sets successive controls to one value."}

   {:command :n-map, :address "/n_map", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:buses [:many :control :control-bus-or-none] "control and control bus; -1 lets go" {:min 1}]]
    :doc     "Lets controls follow control buses."}

   {:command :n-mapa, :address "/n_mapa", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:buses [:many :control :audio-bus-or-none] "control and audio bus; -1 lets go" {:min 1}]]
    :doc     "Lets controls follow audio buses."}

   {:command :n-mapn, :address "/n_mapn", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:buses [:many :control :control-bus :count] "first control, first control bus, how many" {:min 1}]]
    :doc     "Lets successive controls follow successive control buses."}

   {:command :n-mapan, :address "/n_mapan", :merge :same
    :args    [[:id :node "a synth, or a group for all synths in it"]
              [:buses [:many :control :audio-bus :count] "first control, first audio bus, how many" {:min 1}]]
    :doc     "Lets successive controls follow successive audio buses."}

   {:command :n-before, :address "/n_before"
    :args    [[:moves [:many :node :node] "node, and the one to put it before" {:min 1}]]
    :doc     "Moves nodes before others."}

   {:command :n-after, :address "/n_after"
    :args    [[:moves [:many :node :node] "node, and the one to put it after" {:min 1}]]
    :doc     "Moves nodes after others."}

   {:command :n-order, :address "/n_order"
    :args    [[:action :order-action "where: :head or :tail of the target group, :before or :after the target node"]
              [:target :node "the group or node"]
              [:ids [:many :node] "in the order that they shall have" {:min 1}]]
    :doc     "Puts nodes in an order at one place."}

   {:command :n-query, :address "/n_query", :reply ["/n_info" :id]
    :args    [[:id :node "the node"]]
    :doc     "Asks for a node's parent and neighbours."}

   {:command :n-trace, :address "/n_trace"
    :args    [[:ids [:many :node] "nodes" {:min 1}]]
    :doc     "Prints the UGens of nodes with their inputs and outputs in the server's output."}

   ;; ---- synths
   {:command :s-new, :address "/s_new"
    :args    [[:synthdef :name "the name of its SynthDef"]
              [:id :new-node "its id"]
              [:action :action add-action {:default :head}]
              [:target :node "the group or node that the action names"]
              [:controls [:many :control :value] "control and value, as in :n-set"]]
    :doc     "Makes a synth."}

   {:command :s-new-args, :address "/s_newargs", :engines scsynth
    :args    [[:synthdef :name "the name of its SynthDef"]
              [:id :new-node "its id"]
              [:action :action add-action {:default :head}]
              [:target :node "the group or node that the action names"]
              [:ranges [:many :control :run] "first control, and the values for it and those that follow"]]
    :doc     "Makes a synth, with ranges of controls."}

   {:command :s-get, :address "/s_get", :reply ["/n_set" :id [:controls nil]]
    :args    [[:id :synth "the synth"]
              [:controls [:many :control] "which controls" {:min 1}]]
    :doc     "Asks for the values of controls; of a mapped one, the number that was set last."}

   {:command :s-getn, :address "/s_getn", :reply ["/n_setn" :id :control :count]
    :args    [[:id :synth "the synth"]
              [:control :control "the first control"]
              [:count :count "how many"]]
    :doc     "Asks for the values of successive controls."}

   {:command :s-noid, :address "/s_noid"
    :args    [[:ids [:many :synth] "synths" {:min 1}]]
    :doc     "Lets synths play on without an id: nobody can reach them any more."}

   ;; ---- groups
   {:command :g-new, :address "/g_new"
    :args    [[:groups [:many :new-node :action :node] "id, where, and the target of that" {:min 1}]]
    :doc     "Makes groups."}

   {:command :p-new, :address "/p_new"
    :args    [[:groups [:many :new-node :action :node] "id, where, and the target of that" {:min 1}]]
    :doc     "Makes groups whose children supernova computes at the same time, in no order; on scsynth, groups."}

   {:command :g-head, :address "/g_head"
    :args    [[:moves [:many :group :node] "group, and the node to put at its head" {:min 1}]]
    :doc     "Moves nodes to the head of groups."}

   {:command :g-tail, :address "/g_tail"
    :args    [[:moves [:many :group :node] "group, and the node to put at its tail" {:min 1}]]
    :doc     "Moves nodes to the tail of groups."}

   {:command :g-free-all, :address "/g_freeAll"
    :args    [[:ids [:many :group] "groups" {:min 1}]]
    :doc     "Frees all that is in groups."}

   {:command :g-deep-free, :address "/g_deepFree"
    :args    [[:ids [:many :group] "groups" {:min 1}]]
    :doc     "Frees every synth in groups and in groups within them; the groups stay."}

   {:command :g-dump-tree, :address "/g_dumpTree"
    :args    [[:groups [:many :group :flag] "group, and whether to print controls too" {:min 1}]]
    :doc     "Prints a tree in the server's output; (sc/query-tree s) asks for it as data."}

   {:command :g-query-tree, :address "/g_queryTree", :reply ["/g_queryTree.reply" :with-controls :group]
    :args    [[:group :group "where to begin"]
              [:with-controls :flag "whether to tell controls too"]]
    :doc     "Asks for the tree below a group."}

   {:command :u-cmd, :address "/u_cmd"
    :args    [[:id :synth "the synth"]
              [:ugen :index "the place of the UGen in its SynthDef"]
              [:name :name "a command of that UGen"]
              [:arguments [:many :any] "what it takes"]]
    :doc     "Calls a command of one UGen of a synth."}

   ;; ---- buffers
   {:command :b-alloc, :address "/b_alloc", :async? true, :completion? true, :ahead? true, :reply ["/done" "/b_alloc" :buffer]
    :args    [[:buffer :buffer "its number"]
              [:frame-count :size "frames"]
              [:channel-count :size "channels" {:default 1}]]
    :doc     "Makes a buffer of zeros."}

   {:command :b-alloc-read, :address "/b_allocRead", :async? true, :completion? true, :ahead? true
    :reply   ["/done" "/b_allocRead" :buffer]
    :args    [[:buffer :buffer "its number"]
              [:path :path "a sound file of the server's machine"]
              [:start-frame :index "the first frame of the file" {:default 0}]
              [:frame-count :index "how many frames; 0 is all" {:default 0}]]
    :doc     "Makes a buffer of a sound file."}

   {:command :b-alloc-read-channel, :address "/b_allocReadChannel", :async? true, :completion? true, :ahead? true
    :reply   ["/done" "/b_allocReadChannel" :buffer]
    :args    [[:buffer :buffer "its number"]
              [:path :path "a sound file of the server's machine"]
              [:start-frame :index "the first frame of the file" {:default 0}]
              [:frame-count :index "how many frames; 0 is all" {:default 0}]
              [:channels [:many :index] "which channels of the file, from 0" {:min 1}]]
    :doc     "Makes a buffer of some channels of a sound file."}

   {:command :b-read, :address "/b_read", :async? true, :completion? true, :reply ["/done" "/b_read" :buffer]
    :args    [[:buffer :buffer "a buffer with the file's number of channels"]
              [:path :path "a sound file of the server's machine"]
              [:start-frame :index "the first frame of the file" {:default 0}]
              [:frame-count :integer "how many frames; -1 is as many as fit" {:default -1, :range [-1 Integer/MAX_VALUE]}]
              [:buffer-frame :index "where in the buffer" {:default 0}]
              [:leave-open :flag "whether the file stays open, for DiskIn" {:default false}]]
    :doc     "Reads a sound file into a buffer that is there."}

   {:command :b-read-channel, :address "/b_readChannel", :async? true, :completion? true, :reply ["/done" "/b_readChannel" :buffer]
    :refused {:supernova "supernova 3.13 finds a wrong number of channels in every file; :b-alloc-read-channel does it rightly"}
    :args    [[:buffer :buffer "a buffer with as many channels"]
              [:path :path "a sound file of the server's machine"]
              [:start-frame :index "the first frame of the file" {:default 0}]
              [:frame-count :integer "how many frames; -1 is as many as fit" {:default -1, :range [-1 Integer/MAX_VALUE]}]
              [:buffer-frame :index "where in the buffer" {:default 0}]
              [:leave-open :flag "whether the file stays open, for DiskIn" {:default false}]
              [:channels [:many :index] "which channels of the file, from 0" {:min 1}]]
    :doc     "Reads some channels of a sound file into a buffer that is there."}

   {:command :b-write, :address "/b_write", :async? true, :completion? true, :reply ["/done" "/b_write" :buffer]
    :args    [[:buffer :buffer "the buffer"]
              [:path :path "a file of the server's machine"]
              [:header-format :choice "of the file" {:default "wav", :values header-formats}]
              [:sample-format :choice "of its samples" {:default "float", :values sample-formats}]
              [:frame-count :integer "how many frames; -1 is to the end" {:default -1, :range [-1 Integer/MAX_VALUE]}]
              [:start-frame :index "the first frame of the buffer" {:default 0}]
              [:leave-open :flag "whether the file stays open, for DiskOut" {:default false}]]
    :doc     "Writes a buffer to a sound file."}

   {:command :b-free, :address "/b_free", :async? true, :completion? true, :reply ["/done" "/b_free" :buffer]
    :args    [[:buffer :buffer "the buffer"]]
    :doc     "Frees a buffer."}

   {:command :b-zero, :address "/b_zero", :async? true, :completion? true, :reply ["/done" "/b_zero" :buffer]
    :args    [[:buffer :buffer "the buffer; on supernova one of 64 samples or more"]]
    :doc     "Sets a buffer to zero."}

   {:command :b-close, :address "/b_close", :async? true, :completion? true, :reply ["/done" "/b_close" :buffer]
    :args    [[:buffer :buffer "the buffer"]]
    :doc     "Closes the file that a buffer has left open."}

   {:command :b-gen, :address "/b_gen", :async? true, :reply ["/done" "/b_gen" :buffer]
    :args    [[:buffer :buffer "the buffer; on supernova one that is there"]
              [:routine :choice "what makes it"
               {:values ["sine1" "sine2" "sine3" "cheby" "copy" "normalize" "wnormalize" "env" "cantorFill" "PreparePartConv"]}]
              [:arguments [:many :number] "flags and numbers of the routine"]]
    :doc     "Fills a buffer by a routine."}

   {:command :b-set, :address "/b_set"
    :args    [[:buffer :buffer "the buffer"]
              [:samples [:many :sample :number] "place and value; channels are interleaved" {:min 1}]]
    :doc     "Sets samples of a buffer."}

   {:command :b-setn, :address "/b_setn", :merge :same
    :args    [[:buffer :buffer "the buffer"]
              [:ranges [:many :sample :run-of-samples] "first place, and the values from there on" {:min 1}]]
    :doc     "Sets successive samples of a buffer."}

   {:command :b-fill, :address "/b_fill", :merge :same
    :args    [[:buffer :buffer "the buffer"]
              [:fills [:many :sample :samples :number] "first place, how many, and the value" {:min 1}]]
    :doc     "Sets successive samples of a buffer to one value."}

   {:command :b-query, :address "/b_query", :reply ["/b_info" [:buffers nil nil nil]]
    :args    [[:buffers [:many :buffer] "buffers" {:min 1}]]
    :doc     "Asks for frames, channels and sample rate of buffers."}

   {:command :b-get, :address "/b_get", :reply ["/b_set" :buffer [:samples nil]]
    :args    [[:buffer :buffer "the buffer"]
              [:samples [:many :sample] "places" {:min 1}]]
    :doc     "Asks for samples of a buffer."}

   {:command :b-getn, :address "/b_getn", :reply ["/b_setn" :buffer :sample :count]
    :args    [[:buffer :buffer "the buffer"]
              [:sample :sample "the first place"]
              [:count :samples "how many"]]
    :doc     "Asks for successive samples of a buffer."}

   {:command :b-set-sample-rate, :address "/b_setSampleRate", :engines scsynth, :since "3.14", :async? true
    :reply   ["/done" "/b_setSampleRate" :buffer]
    :args    [[:buffer :buffer "the buffer"]
              [:sample-rate-hz :number "the rate, in Hz"]]
    :doc     "Says at which rate a buffer is to be played."}

   ;; ---- control buses
   {:command :c-set, :address "/c_set", :merge :all
    :args    [[:buses [:many :control-bus :number] "bus and value" {:min 1}]]
    :doc     "Sets control buses."}

   {:command :c-setn, :address "/c_setn", :merge :all
    :args    [[:ranges [:many :control-bus :run-of-buses] "first bus, and the values from there on" {:min 1}]]
    :doc     "Sets successive control buses."}

   {:command :c-fill, :address "/c_fill", :merge :all
    :args    [[:fills [:many :control-bus :buses :number] "first bus, how many, and the value" {:min 1}]]
    :doc     "Sets successive control buses to one value."}

   {:command :c-get, :address "/c_get", :reply ["/c_set" [:buses nil]]
    :args    [[:buses [:many :control-bus] "buses" {:min 1}]]
    :doc     "Asks for the values of control buses."}

   {:command :c-getn, :address "/c_getn", :reply ["/c_setn" :bus :count]
    :args    [[:bus :control-bus "the first bus"]
              [:count :buses "how many"]]
    :doc     "Asks for the values of successive control buses."}])

(ns espalier.model.options-table
  "Every option of a server, one entry each: data only. `espalier.model.options`
  reads it; checks, command lines and the page doc/options.md follow from it.")

(def ^:private both #{:scsynth :supernova})
(def ^:private scsynth #{:scsynth})
(def ^:private supernova #{:supernova})

(def ^:private milliseconds [1 86400000])

(def server-options
  "What becomes a flag of the server's command line, in the order of the names.

  | key | what it says |
  |---|---|
  | `:name`           | the option's key |
  | `:flag`           | its flag; `:tcp-flag` in its place where `:protocol` is `:tcp`; `:second-of` where it is the second word of another option's flag |
  | `:type`           | `:integer :level :boolean :switch :text :path :paths :address :mask :choice :executable :policy`; a `:switch` is a flag without a value |
  | `:default`        | Espalier's; nil means unset, and lets the option be nil |
  | `:server-default` | what the server does without the flag, where that is not `:default` |
  | `:range`          | least and greatest integer; the greatest is what both engines were seen to boot with |
  | `:values`         | what a `:choice` or a `:policy` can be |
  | `:engines`        | which take the flag |
  | `:platforms`      | engine -> the only platform where it takes the flag |
  | `:ignored-by`     | engines that take the flag and do nothing with it |
  | `:rounded-by`     | engines that round the number up to a power of two |
  | `:since`          | the first version of the server that knows it |
  | `:doc`            | one line, with the unit |
  | `:example`        | a right value, where `:default` shows none |
  | `:why`            | the reason of an unexpected limit |
  | `:note`           | what holds though an engine ignores the flag |"
  [{:name :audio-bus-channel-count, :flag "-a", :type :integer, :default 1024, :range [1 65535]
    :engines both
    :doc "audio buses, of one channel each, the outputs and inputs among them"}

   {:name :block-size, :flag "-z", :type :integer, :default 64, :range [1 8192]
    :engines both, :rounded-by scsynth
    :doc "frames computed at a time; the audio device's period must be a multiple of it"}

   {:name :buffer-count, :flag "-b", :type :integer, :default 1024, :range [1 1048576]
    :engines both, :rounded-by scsynth
    :doc "buffers that sounds and other numbers can be loaded into"}

   {:name :control-bus-channel-count, :flag "-c", :type :integer, :default 16384, :range [1 1000000]
    :engines both
    :doc "control buses, of one channel each"
    :why "they live in 8 MiB of shared memory"}

   {:name :hardware-buffer-size, :flag "-Z", :type :integer, :default nil, :range [1 65536], :example 512
    :engines both, :rounded-by scsynth
    :doc "frames a period that are asked of the audio device; JACK's own stand as they are"}

   {:name :input-bus-channel-count, :flag "-i", :type :integer, :default 8, :range [0 1024]
    :engines both
    :doc "audio input channels"}

   {:name :input-device, :flag "-H", :type :text, :default nil, :example "studio:espalier"
    :engines both
    :doc "audio input device; with JACK \"server:client\", or alone scsynth's client, supernova's server"}

   {:name :input-stream-mask, :flag "-I", :type :mask, :default "", :example "0110"
    :engines scsynth, :platforms {:scsynth :macos}
    :doc "input streams of the device to use, a 1 or 0 each"}

   {:name :ip-address, :flag "-B", :type :address, :default "127.0.0.1"
    :engines both
    :doc "address that the server listens on; 0.0.0.0 is all of them; IPv6 is for supernova only"}

   {:name :load-synthdefs, :flag "-D", :type :boolean, :default true
    :engines both
    :doc "load the SynthDefs that lie in the user's synthdefs directory at boot"}

   {:name :maximum-logins, :flag "-l", :type :integer, :default 1, :server-default 64, :range [1 32]
    :engines both, :ignored-by supernova, :rounded-by scsynth
    :doc "clients at a time; ids, buses and buffers are divided among so many"
    :why "more clients than 32 have no node ids of their own"
    :note "Espalier's clients keep to it among themselves"}

   {:name :maximum-node-count, :flag "-n", :type :integer, :default 1024, :range [2 1048576]
    :engines both, :ignored-by supernova, :rounded-by scsynth
    :doc "nodes at a time, the root group among them"}

   {:name :maximum-synthdef-count, :flag "-d", :type :integer, :default 1024, :range [1 1048576]
    :engines both, :ignored-by supernova, :rounded-by scsynth
    :doc "SynthDefs at a time"}

   {:name :memory-locking, :flag "-L", :type :switch, :default false
    :engines both
    :doc "keep the server's memory from being swapped out; needs unlimited memlock"}

   {:name :memory-size, :flag "-m", :type :integer, :default 8192, :range [16 2097152]
    :engines both
    :doc "KiB of real-time memory, for nodes and for UGens that delay"}

   {:name :output-bus-channel-count, :flag "-o", :type :integer, :default 8, :range [0 1024]
    :engines both
    :doc "audio output channels"}

   {:name :output-device, :second-of "-H", :type :text, :default nil, :example "Built-in Output"
    :engines both
    :doc "audio output device, where it is not the input device; JACK knows only the input device"}

   {:name :output-stream-mask, :flag "-O", :type :mask, :default "", :example "1100"
    :engines scsynth, :platforms {:scsynth :macos}
    :doc "output streams of the device to use, a 1 or 0 each"}

   {:name :password, :flag "-p", :type :text, :default nil, :example "sesame"
    :engines scsynth
    :doc "password for TCP clients, at most 31 bytes; hardly usable, see the warnings"}

   {:name :port, :flag "-u", :tcp-flag "-t", :type :integer, :default 57110, :server-default nil, :range [1 65535]
    :engines both
    :doc "UDP or TCP port that the server listens on"
    :why "with 0 the server would take a port that it tells nobody"}

   {:name :random-number-generator-count, :flag "-r", :type :integer, :default 64, :range [1 1048576]
    :engines both
    :doc "random number generators that can be seeded"}

   {:name :restricted-path, :flag "-P", :type :path, :default nil, :example "/srv/sounds/"
    :engines both, :ignored-by supernova
    :doc "directory that the server's file commands are kept to; end it with a slash"}

   {:name :safety-clip, :flag "-s", :type :level, :default nil, :example 1.26
    :engines both, :platforms {:supernova :macos}
    :doc "amplitude that the output is clipped to, on macOS only; 0 or :inf is no clipping; unset 1.26"}

   {:name :sample-rate, :flag "-S", :type :integer, :default nil, :range [1000 768000], :example 48000
    :engines both
    :doc "frames a second that are asked of the audio device; JACK's own stand as they are"}

   {:name :thread-pinning, :flag "-y", :type :boolean, :default nil, :example true
    :engines supernova, :since "3.14"
    :doc "keep each audio thread on one processor; unset: on Linux only"}

   {:name :threads, :flag "-T", :type :integer, :default nil, :range [1 256], :example 4
    :engines supernova
    :doc "audio threads; unset: as many as physical processors"}

   {:name :ugen-plugins-path, :flag "-U", :type :paths, :default nil, :example ["/usr/lib/SuperCollider/plugins"]
    :engines both
    :doc "directories to load UGens from, in place of the standard ones"}

   {:name :use-system-clock, :flag "-C", :type :boolean, :default true
    :engines supernova
    :doc "time bundles by the system's clock; false: by counting samples, exact but drifting"}

   {:name :verbosity, :flag "-V", :type :integer, :default 0, :range [-2 4]
    :engines both
    :doc "how much the server prints: -1 less, -2 hardly anything"}

   {:name :wire-buffer-count, :flag "-w", :type :integer, :default 64, :range [1 1048576]
    :engines both, :ignored-by supernova
    :doc "wires between the UGens of one SynthDef"}

   {:name :zero-configuration, :flag "-R", :type :boolean, :default false, :server-default true
    :engines both, :ignored-by supernova
    :doc "publish the port by zero configuration networking"}])

(def client-options
  "What Espalier keeps to itself: entries as in `server-options`, without a flag."
  [{:name :audio, :type :choice, :default nil, :values [:dummy], :example :dummy
    :engines both
    :doc "what to play on: unset, the machine's audio; :dummy, a private JACK without any"}

   {:name :boot-timeout-ms, :type :integer, :default 10000, :range milliseconds
    :engines both
    :doc "milliseconds that a process may take to be ready"}

   {:name :dummy-period-frames, :type :integer, :default 64, :range [1 8192]
    :engines both
    :doc "frames a period of the :dummy audio; one period decides every round trip"}

   {:name :dummy-sample-rate-hz, :type :integer, :default 44100, :range [1000 768000]
    :engines both
    :doc "frames a second of the :dummy audio"}

   {:name :executable, :type :executable, :default nil, :example "supernova"
    :engines both
    :doc "server to run: a path, or a name to look for; unset, what ESPALIER_SCSYNTH says, or scsynth; :rehearsal for a silent one in this JVM"}

   {:name :initial-node-id, :type :integer, :default 1000, :range [33 67108863]
    :engines both
    :doc "node id that a client's allocator begins with"}

   {:name :on-lost, :type :policy, :default :offline, :values [:offline :restore]
    :engines both
    :doc "what becomes of a handle whose server is lost: :restore boots again, or logs in again, and restores what was there"}

   {:name :protocol, :type :choice, :default :udp, :values [:udp :tcp]
    :engines both
    :doc "how server and client talk"}

   {:name :realtime, :type :boolean, :default true
    :engines both
    :doc "play in real time; false is refused, Espalier renders no scores"}

   {:name :remote-control-volume, :type :boolean, :default false
    :engines both
    :doc "whether others may set the volume: known from sclang, read by no server"}

   {:name :restore-attempts, :type :integer, :default 10, :range [1 1000]
    :engines both
    :doc "times in a row that restoring is tried, with growing pauses, before the handle stays lost"}

   {:name :restore-by-hand, :type :boolean, :default false
    :engines both
    :doc "whether nodes that were made by hand are restored too, beside declared trees"}

   {:name :timeout-ms, :type :integer, :default 5000, :range milliseconds
    :engines both
    :doc "milliseconds that any reply may take"}

   {:name :watch-interval-ms, :type :integer, :default 1000, :range milliseconds
    :engines both
    :doc "milliseconds between two questions whether the server is alive"}

   {:name :watch-patience-ms, :type :integer, :default 5000, :range milliseconds
    :engines both
    :doc "milliseconds of silence after which a server counts as lost"}

   {:name :when-restoring, :type :choice, :default :fail, :values [:fail :wait]
    :engines both
    :doc "what calls do while a server is restored: fail at once, or wait for it, :timeout-ms at the most"}])

(def table
  "All options."
  (into server-options client-options))

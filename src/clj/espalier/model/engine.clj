(ns espalier.model.engine
  "How the servers differ where their clients must know: as data, so that no
  other code asks for an engine by name. Measured on version 3.13.")

(def engines
  "By engine:

  | key | what it says |
  |---|---|
  | `:max-packet-bytes`       | the largest packet it reads, by protocol |
  | `:counts-logins?`         | it limits logins and tells how many there are; where it does not, clients keep a register in the node tree |
  | `:reuses-tcp-port?`       | it boots on a TCP port that its predecessor has just left |
  | `:tcp-clients`            | how many TCP clients it tells apart |
  | `:tells-failures?`        | it answers a request that fails with `/fail`; where it does not, failure shows in what is not there |
  | `:always-says-ready?`     | it says that it is ready whatever its verbosity |
  | `:tells-removed?`         | it says `/d_removed` when a SynthDef is gone |
  | `:knows-variants?`        | a SynthDef can have variants |
  | `:max-reply-bytes`        | the largest tree that it tells in one reply, by protocol |
  | `:max-reply-depth`        | how many levels of groups it tells of; it does not survive the question about many more |
  | `:max-infos`              | so many questions about single nodes it can surely be asked in one block |
  | `:tells-root?`            | it survives an `/n_query` of the root |
  | `:keeps-to-path?`         | it minds its option `:restricted-path` |
  | `:max-unread-packets`     | so many packets may wait in its queue, which it looks at once a period of the audio; of supernova half of the 2,048 that it holds, for it needs a while to make room |
  | `:max-unread-bytes`       | so many bytes, likewise |
  | `:max-pending-bundles`    | so many bundles it keeps for their time; it drops others |
  | `:tells-last-array?`      | it tells a tree in which a synth's last control is an array; where not, it reads names behind the end of its table, which are garbage or its end |"
  {:scsynth   {:max-packet-bytes       {:udp 65507, :tcp (bit-shift-left 1 24)}
               :counts-logins?         true
               :reuses-tcp-port?       true
               :tcp-clients            1
               :tells-failures?        true
               :always-says-ready?     false
               :tells-removed?         true
               :knows-variants?        true
               :max-reply-bytes        {:udp 65507, :tcp 65516}
               :max-reply-depth        Long/MAX_VALUE
               :max-infos              500
               :keeps-to-path?         true
               :max-unread-packets     60000
               :max-pending-bundles    2048
               :max-unread-bytes       Long/MAX_VALUE
               :tells-root?            true
               :tells-last-array?      true}
   :supernova {:max-packet-bytes       {:udp 32768, :tcp (bit-shift-left 1 20)}
               :counts-logins?         false
               :reuses-tcp-port?       false
               :tcp-clients            Long/MAX_VALUE
               :tells-failures?        false
               :always-says-ready?     true
               :tells-removed?         false
               :knows-variants?        false
               :max-reply-bytes        {:udp 65507, :tcp (bit-shift-left 1 20)}
               :max-reply-depth        1000
               :max-infos              1000
               :keeps-to-path?         false
               :max-unread-packets     1000
               :max-pending-bundles    Long/MAX_VALUE
               :max-unread-bytes       400000
               :tells-root?            false
               :tells-last-array?      false}})

(defn trait
  "What the engine is like in one respect; an engine that is not known is taken
  for scsynth, whose protocol they all speak.

      (trait :supernova :counts-logins?)  ;=> false"
  [engine k]
  (get (get engines engine (:scsynth engines)) k))

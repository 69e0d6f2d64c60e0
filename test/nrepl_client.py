"""An nREPL client that is no Clojure: bencode over a socket, and nothing else.

    python3 test/nrepl_client.py PORT check     # plays through what doc/nrepl.md promises, says what it saw
    python3 test/nrepl_client.py PORT eval CODE

Ends with 0 where all is as promised. Every wait has a deadline.
"""
import socket
import sys
import time
import uuid

PATIENCE_S = 30


def encode(x):
    if isinstance(x, int):
        return b"i%de" % x
    if isinstance(x, str):
        b = x.encode()
        return b"%d:" % len(b) + b
    if isinstance(x, list):
        return b"l" + b"".join(map(encode, x)) + b"e"
    return b"d" + b"".join(encode(k) + encode(x[k]) for k in sorted(x)) + b"e"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.bytes = self.socket.makefile("rb")
        self.seen = []

    def decode(self):
        c = self.bytes.read(1)
        if c == b"i":
            digits = b""
            while (c := self.bytes.read(1)) != b"e":
                digits += c
            return int(digits)
        if c in (b"l", b"d"):
            items = []
            while (item := self.decode()) is not None:
                items.append(item)
            return items if c == b"l" else dict(zip(items[::2], items[1::2]))
        if c == b"e":
            return None
        if not c.isdigit():
            raise EOFError("the connection has ended, or this is no bencode: %r" % c)
        digits = c
        while (c := self.bytes.read(1)) != b":":
            digits += c
        return self.bytes.read(int(digits)).decode()

    def send(self, op, **more):
        identity = str(uuid.uuid4())
        self.socket.sendall(encode({"op": op, "id": identity, **{k.replace("_", "-"): v for k, v in more.items()}}))
        return identity

    def wait(self, what, wanted):
        """The first message, of those that came and will come, for which `wanted` holds."""
        deadline = time.monotonic() + PATIENCE_S
        looked = 0
        while True:
            for message in self.seen[looked:]:
                if wanted(message):
                    return message
            looked = len(self.seen)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("%s has not come; what came: %r" % (what, self.seen[-5:]))
            self.socket.settimeout(left)
            self.seen.append(self.decode())

    def ask(self, op, **more):
        """What was answered, merged."""
        identity = self.send(op, **more)
        self.wait("the end of " + op, lambda m: m.get("id") == identity and "done" in m.get("status", []))
        answer = {}
        for message in self.of(identity):
            for k, v in message.items():
                answer[k] = answer[k] + v if k in answer and k in ("status", "err", "out") else v
        return answer

    def of(self, identity):
        return [m for m in self.seen if m.get("id") == identity]

    def evaluate(self, session, code):
        answer = self.ask("eval", session=session, code=code)
        if "eval-error" in answer["status"]:
            raise RuntimeError(answer.get("err"))
        return answer.get("value")


def expect(what, truth):
    if not truth:
        raise AssertionError("not as promised: " + what)
    print("ok: " + what, flush=True)


def check(c):
    ops = c.ask("describe", **{"verbose?": "1"})["ops"]
    ours = sorted(op for op in ops if op.startswith("espalier/"))
    expect("nine operations, each with its doc", len(ours) == 9 and all(ops[op]["doc"] for op in ours))

    playing = c.ask("clone")["new-session"]
    other = c.ask("clone")["new-session"]
    nothing = c.ask("espalier/tree")
    expect("without a server it names the call that boots one",
           nothing["espalier/error"] == "espalier.error/no-server" and "(sc/boot! s)" in nothing["err"])

    c.evaluate(playing, """(require '[espalier.core :as sc] '[espalier.instruments :as instruments])
                           (def s (sc/server {:port (sc/find-free-port)}))
                           (sc/boot! s {:audio :dummy})""")
    expect("the only server needs no name", c.ask("espalier/status")["server"] == "user/s")

    news = c.send("espalier/subscribe", session=playing, interval_ms=20)
    elsewhere = c.send("espalier/subscribe", session=other)
    c.wait("the subscription", lambda m: m.get("id") == elsewhere and "done" in m.get("status", []))
    c.evaluate(playing, """(sc/reconcile! s [:group {:key :mix}
                                               [:synth {:key :low, :def instruments/organ} {:freq 110.5}]])""")
    change = c.wait("news of the synth", lambda m: m.get("id") == news and any(
        x["change"] == "started" and x["kind"] == "synth" for x in m.get("espalier/changes", [])))
    expect("a declared tree is told as it starts", change["session"] == playing and change["server"] == "user/s")
    tree = c.ask("espalier/tree", server="user/s", group=1)
    mix = tree["espalier/tree"]["children"][0]
    expect("the tree as data and as text", mix["key"] == ":mix" and mix["children"][0]["controls"]["freq"] == "110.5"
           and "freq: 110.5" in tree["espalier/text"])
    plan = c.ask("espalier/plan", session=playing, code="[:synth {:key :high, :def :organ} {:freq 440}]")
    expect("a plan, without doing it", "add organ :high" in plan["espalier/text"]
           and [e["edit"] for e in plan["espalier/edits"]].count("add") == 1)

    refused = c.send("eval", session=playing, code='(sc/send! s ["/n_free" 70001])')
    c.wait("the end of the evaluation", lambda m: m.get("id") == refused and "done" in m.get("status", []))
    told = c.wait("the failure", lambda m: "espalier/failure" in m)
    expect("a /fail reaches the evaluation that caused it", told["id"] == refused and told["session"] == playing
           and told["espalier/failure"]["error"] == "espalier.error/no-such-node" and "70001" in told["err"])
    c.evaluate(other, '(sc/send! s ["/n_free" 70002])')
    c.wait("the other failure", lambda m: "70002" in m.get("err", ""))
    failures = {m["session"]: m["espalier/failure"]["request"] for m in c.seen if "espalier/failure" in m}
    expect("and no other session", failures == {playing: '["/n_free" 70001]', other: '["/n_free" 70002]'}
           and not any(m.get("espalier/event", {}).get("event") == "command-failed" for m in c.seen))

    bundle = c.ask("espalier/eval-as-bundle", session=playing, code="(sc/add-group! s) (sc/add-group! s)")
    sent = [p["packet"] for p in c.ask("espalier/log", what="packets", direction="sent", limit=50)["espalier/log"]]
    expect("two groups in one packet", bundle["value"].startswith("#<Group") and any(
        isinstance(p, dict) and len([m for m in p["packets"] if m[0] == "/g_new"]) == 2 for p in sent))
    c.evaluate(playing, "(sc/quit! s)")
    c.wait("news of the end", lambda m: m.get("id") == elsewhere and m.get("espalier/event", {}).get("event") == "quit")
    print("all is as promised", flush=True)


def main(port, command, *more):
    c = Connection(int(port))
    if command == "eval":
        print(c.evaluate(c.ask("clone")["new-session"], *more))
    else:
        check(c)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, RuntimeError, TimeoutError, OSError, EOFError) as e:
        print(e, flush=True)
        sys.exit(1)

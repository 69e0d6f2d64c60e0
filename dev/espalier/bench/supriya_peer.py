"""Supriya's figures for the table of `bin/clj -M:bench`, one section a call:

    python supriya_peer.py boot       PORT TIMES SCSYNTH
    python supriya_peer.py round-trip PORT TIMES TRIPS
    python supriya_peer.py send       PORT TIMES MESSAGES BURST
    python supriya_peer.py play       PORT TIMES SETTINGS BURST SYNTHS
    python supriya_peer.py load       TIMES

Each prints one EDN map. `boot` starts the program SCSYNTH at PORT, on the JACK that
the environment names, and without its folder of synthdefs: where that is missing,
scsynth prints a line for which Supriya gives up. `round-trip`, `send` and `play` connect to
what listens at PORT; `load` starts fresh interpreters. Before TIMES there is one
time that does not count.
"""

import statistics
import subprocess
import sys
import time

import supriya


def tell(**figures):
    print("{" + ", ".join(f":{name} {value}" for name, value in figures.items()) + "}")


def elapsed_s(thunk):
    begin = time.perf_counter()
    thunk()
    return time.perf_counter() - begin


def counted(times, measure):
    """What `measure` returns, `times` times after one that does not count."""
    return [measure() for _ in range(times + 1)][1:]


def boot(port, times, scsynth):
    def boot_s():
        server = supriya.Server()
        s = elapsed_s(lambda: server.boot(port=int(port), executable=scsynth, load_synthdefs=False))
        server.quit()
        return s

    tell(ms=1e3 * statistics.median(counted(int(times), boot_s)))


def round_trip(port, times, trips):
    server = supriya.Server().connect(port=int(port))
    rounds = counted(int(times), lambda: [elapsed_s(server.sync) for _ in range(int(trips))])
    server.disconnect()
    percentiles = statistics.quantiles([1e6 * s for trips_s in rounds for s in trips_s], n=100)
    tell(p50=percentiles[49], p99=percentiles[98])


def send(port, times, messages, burst):
    """The messages are numbered throughout; the clock stands still during a sync."""
    server = supriya.Server().connect(port=int(port))
    messages, burst, sent = int(messages), int(burst), 0

    def send_burst():
        for number in range(sent, sent + burst):
            server.send(["/n_set", number, "freq", 440.0, "amp", 0.1])

    def send_s():
        nonlocal sent
        s = 0.0
        for _ in range(messages // burst):
            s += elapsed_s(send_burst)
            sent += burst
            server.sync()
        return s

    rate = messages / statistics.median(counted(int(times), send_s))
    server.disconnect()
    tell(rate=rate, sent=sent)


def play(port, times, settings, burst, synths):
    """Settings of two controls of one synth, and a moment of so many synths with five."""
    server = supriya.Server().connect(port=int(port))
    settings, burst = int(settings), int(burst)
    synth = server.add_synth(supriya.default)

    def set_burst():
        for _ in range(burst):
            synth.set(frequency=440.0, amplitude=0.1)

    def set_s():
        s = 0.0
        for _ in range(settings // burst):
            s += elapsed_s(set_burst)
            server.sync()
        return s

    def chord():
        with server.at():
            for i in range(int(synths)):
                server.add_synth(supriya.default, frequency=200.5 + i, amplitude=0.2, gate=2, out=1, pan=0.5)

    def chord_s():
        s = elapsed_s(chord)
        server.sync()
        return s

    rate = settings / statistics.median(counted(int(times), set_s))
    moment = 1e3 * statistics.median(counted(20, chord_s))
    server.disconnect()
    tell(rate=rate, moment=moment)


def load(times):
    def python_ms(code):
        return 1e3 * elapsed_s(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    pairs = counted(int(times), lambda: (python_ms("import supriya"), python_ms("pass")))
    bare = statistics.median(b for _, b in pairs)
    tell(beyond=statistics.median(a - b for a, b in pairs), bare=bare)


if __name__ == "__main__":
    {"boot": boot, "round-trip": round_trip, "send": send, "play": play, "load": load}[sys.argv[1]](*sys.argv[2:])

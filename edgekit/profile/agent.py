"""The agent: measures model files on the machine that it runs on. A device needs Python 3.8, numpy and one runtime.

edgekit packs this file with its neighbours (`parcel.PARTS`) and `run.timing` into one file that Python runs,
`agent.pyz`:

    python3 agent.pyz < job.json            prints a JSON document
    python3 agent.pyz --remote job.json     ends when its stdin does, and frames what it prints

Each model file sits in a process of its own, so that a crash and a peak of memory have a name, and only one of them
runs at any time. What a job and an answer hold is said at `run` and `probe`; times are in seconds, sizes in bytes.

Why not edgekit's own runners: they need Python 3.11 and edgekit. Inputs and outputs go by their place in the file, not
by name, so that old runtimes without signatures do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from edgekit.profile import environment, packages
from edgekit.profile.alone import Alone, Row
from edgekit.profile.bench import Bench, Failure, Json, one_line, serve
from edgekit.profile.player import FILE, LOOK_S, OPS, Player
from edgekit.profile.power import Watch, meters

SCHEMA = 1
ALIVE_S = 2.0  # between two signs of life
IDLE_S = 1.0  # how long the device is watched while nothing runs, where it has a power meter
POWER_S = 2.0  # a file runs at least as long where there is a power meter: many average over 0.1 s and more
WINDOW_S, TIMED_S, TIMED_RUNS = 1.0, 0.2, 200  # of a soak: how long a window is, and what of it is timed


# ---- the parent: plays the files in turns ----------------------------------------------------------------------------


def run(job: Json, say: Callable[[str], None]) -> Json:
    """Measure the files of a job.

    job: artifacts [{path, format: onnx or tflite, inputs: an .npz with arrays "0", "1", ... in the file's order, ops:
    single ones to measure beside it, if any, as `alone.Row` takes them}], threads, runs (counted ones per file, null
    for as many as it takes), limit_s (for each answer of a file), outputs_bytes (outputs up to this size come along, of
    larger ones only the hash), root (of the system's files), soak_s (the first file first runs for so long, as it would
    in use), per_op (also ask the runtime for the time of each op).
    """
    root = job.get("root", "/")
    tick = _heart(say)
    before = environment.snapshot(root)
    with contextlib.ExitStack() as stack:
        players = []
        for index, artifact in enumerate(job["artifacts"]):
            players.append(Player(index, artifact, job, tick))
            stack.callback(players[-1].close)
        rails = meters(root)
        idle = _idle(rails)
        for player in players:
            player.watch = Watch(rails)
        rows = _rows(job, tick, say)
        for row in rows.values():
            stack.callback(row.close)
        warmths = [player.ask("warm_up") for player in players]
        windows = _soak(players[0], warmths[0]["run_s"], job["soak_s"], root, say) if job.get("soak_s") else []
        from edgekit.run import timing  # it needs numpy, whose absence is told by a child

        least_s = max(timing.FAST_S, POWER_S * len(players)) if rails else timing.FAST_S
        rounds, turns = timing.plan([warmth["run_s"] for warmth in warmths], least_s, job.get("runs"))
        timed: List[List[Json]] = [[] for _ in players]
        clocks = []
        for done in range(rounds):
            for player, turn, turns_taken in zip(players, turns, timed):
                turns_taken.append(player.time_runs(turn))
            for row in rows.values():
                row.time_round(rounds)
            clocks.append(environment.now(root))
            say("progress {} {}".format(*((done + 1 + rounds, 2 * rounds) if rows else (done + 1, rounds))))
        results = [
            _result(player, warmth, times, job, rows.get(index))
            for index, (player, warmth, times) in enumerate(zip(players, warmths, timed))
        ]
    return {
        "system": environment.system(),
        "before": before,
        "during": clocks,
        "after": environment.snapshot(root),
        "idle": idle,
        "artifacts": results,
        "soak": windows,
    }


def sweep(job: Json, say: Callable[[str], None]) -> Json:
    """Run many small files one after the other, in passes, so that a disturbance does not meet a file in all of them.

    job: nets [{name, format, shapes}], archive (a zip that holds them), passes, burst_s and evict_bytes (for each, see
    `Bench.burst`), threads, limit_s, root. Gives, beside the surroundings, runtimes (by format: name and version) and
    nets: the seconds of each pass, or why there are none.
    """
    root, tick = job.get("root", "/"), _heart(say)
    before = environment.snapshot(root)
    nets, steps = job["nets"], job["passes"] * len(job["nets"])
    found: List[Json] = [{"seconds": [], "failed": None} for _ in nets]
    how = {key: job[key] for key in ("archive", "threads", "burst_s", "evict_bytes")}
    runtimes: Json = {}
    with contextlib.ExitStack() as stack:
        players: Json = {}
        for step in range(steps):
            net, entry = nets[step % len(nets)], found[step % len(nets)]
            if entry["failed"] is None:
                if net["format"] not in players:
                    players[net["format"]] = Player(step % len(nets), None, job, tick)
                    stack.callback(players[net["format"]].close)
                try:
                    burst = players[net["format"]].ask("burst", dict(net, **how))
                    entry["seconds"].append(burst["seconds"])
                    runtimes[net["format"]] = {"runtime": burst["runtime"], "version": burst["version"]}
                except Failure as failure:
                    if failure.kind in ("numpy", "runtime"):
                        raise
                    entry["failed"] = failure.text[:2000]
                    if failure.kind not in ("load", "run"):  # its process has gone, or hangs
                        players.pop(net["format"]).close()
            say("progress {} {}".format(step + 1, steps))
    return {
        "system": environment.system(),
        "before": before,
        "after": environment.snapshot(root),
        "runtimes": runtimes,
        "nets": found,
    }


def _rows(job: Json, tick: Callable[[], None], say: Callable[[str], None]) -> Dict[int, Row]:
    """The single ops of each file that has some, ready to run. Getting them ready is half of the progress."""
    asked = [(index, artifact) for index, artifact in enumerate(job["artifacts"]) if artifact.get("ops")]
    total = sum(len(artifact["ops"]["cuts"]) for _, artifact in asked)
    done = 0

    def opened() -> None:
        nonlocal done
        done += 1
        say("progress {} {}".format(done, 2 * total))

    return {index: Row(index, artifact, job, tick, opened) for index, artifact in asked}


def _result(player: Player, warmth: Json, timed: List[Json], job: Json, row: Optional[Row]) -> Json:
    """Of one file; times_s: of every counted run, in order. Its memory is read before its runtime profiles itself."""
    outputs = player.ask("outputs", job.get("outputs_bytes", 0))
    return dict(
        player.opened,
        steady=warmth["steady"],
        times_s=[t for one in timed for t in one["times_s"]],
        cpu_share=sorted(one["cpu_share"] for one in timed)[len(timed) // 2],
        power=player.watch.means(),
        ops=player.ask("per_op") if job.get("per_op") else None,
        alone=None if row is None else row.results(),
        **outputs,
    )


def _soak(player: Player, run_s: float, soak_s: float, root: str, say: Callable[[str], None]) -> List[Json]:
    """Keep it running: in each window a part is timed, and what the device says of itself is read at its end."""
    windows: List[Json] = []
    counted = max(1, min(TIMED_RUNS, int(TIMED_S / max(run_s, 1e-7))))
    start = time.monotonic()
    while time.monotonic() - start < soak_s:
        player.ask("spin", WINDOW_S - TIMED_S)
        times = sorted(player.ask("time_runs", counted)["times_s"])
        at_s = time.monotonic() - start
        windows.append(dict(environment.now(root), at_s=at_s, median_s=times[len(times) // 2]))
        say("progress {} {}".format(min(int(at_s), int(soak_s)), int(soak_s) + 1))
    return windows


def _idle(rails: List[Any]) -> List[Json]:
    """What the meters show while nothing runs."""
    watch = Watch(rails)
    if rails:
        watch.start()
        start = time.monotonic()
        while time.monotonic() - start < IDLE_S:
            time.sleep(LOOK_S)
            watch.look()
        watch.stop(time.monotonic() - start)
    return watch.means()


def _heart(say: Callable[[str], None]) -> Callable[[], None]:
    """A function to call often, which gives a sign of life now and then."""
    last = [time.monotonic()]

    def tick() -> None:
        if time.monotonic() - last[0] > ALIVE_S:
            last[0] = time.monotonic()
            say("alive")

    return tick


def probe(job: Json, say: Callable[[str], None]) -> Json:
    """What this device has: system, sensors, Python and its packages. job: root, as for `run`."""
    root = job.get("root", "/")
    return {
        "system": environment.system(),
        "before": environment.snapshot(root),
        "power": [
            dict(meter.reading(), name=meter.name) if not meter.counts else {"name": meter.name, "source": meter.source}
            for meter in meters(root)
        ],
        "packages": packages.installed(_heart(say)),
        "installing": packages.installing(),
    }


# ---- the door --------------------------------------------------------------------------------------------------------


def main(arguments: List[str]) -> None:
    if arguments in ([FILE], [OPS]):
        serve(Bench() if arguments == [FILE] else Alone())
        return
    remote = arguments[:1] == ["--remote"]
    if remote:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with _source(arguments[1:] if remote else arguments) as file:
        job = json.load(file)
    answer = _answer(job, _say if remote else _silent)
    document = json.dumps(answer).encode()
    if remote:
        _say("result {} {}".format(len(document), hashlib.sha256(document).hexdigest()))
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)


def _answer(job: Json, say: Callable[[str], None]) -> Json:
    answer: Json = {"schema": SCHEMA}
    try:
        act = probe if job.get("probe") else sweep if job.get("nets") else run
        answer.update(act(job, say))
    except Failure as failure:
        answer["failure"] = failure.as_json()
    except OSError as error:  # no room, no permission, no process left to be had
        answer["failure"] = Failure("system", one_line(error)).as_json()
    return answer


@contextlib.contextmanager
def _source(arguments: List[str]) -> Iterator[Any]:
    if not arguments:
        yield sys.stdin
        return
    with open(arguments[0], encoding="utf-8") as file:  # noqa: PTH123  (Python 3.8 has no better)
        yield file


def _say(words: str) -> None:
    sys.stdout.write("edgekit-{}\n".format(words))
    sys.stdout.flush()


def _silent(words: str) -> None:
    """Nobody reads along."""


def _end_with_stdin() -> None:
    """Whoever asked has gone: end, and all children with it. They see the end of their own stdin."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(75)

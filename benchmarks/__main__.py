"""`python -m benchmarks`: generate, measure, compare."""

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.growth import FACTORS, Growth
from benchmarks.measure import own_peak_bytes
from benchmarks.results import Measured, Results
from benchmarks.subjects import ENGINE, PEERS, ROOT, Missing, Subject, compiled_modules, find_peer, pcapflow_subjects
from benchmarks.turns import Limits, Series, compare, say, take_turns
from benchmarks.workloads import SEED, WORKLOADS, Generated, cached_path, generate, read_note, write_note

WORK: Final = ROOT / "benchmarks" / "work"
_ALL: Final = "all"
_NONE: Final = "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None for this process's own.

    Returns:
        The exit status: 0, or 1 where pcapflow itself could not be measured.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["generate"]:
        return _generate(words[1:])
    return _measure(words)


def _generate(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks generate", description="Write one workload to a file.")
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--packets", type=_positive, help="default: the workload's size at scale 1")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--whole-frames", action="store_true", help="bulk: keep every payload byte")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(words)
    packets = options.packets or WORKLOADS[options.workload].packets
    generated = generate(options.workload, packets, options.output, seed=options.seed, whole=options.whole_frames)
    write_note(generated, options.output)
    print(f"{options.output}: {generated.packets} packets, {generated.connections} connections, {generated.size} bytes")
    return 0


def _measure(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        results, own = _results(options, Path(scratch))
    results.write(options.out)
    print(results.to_markdown(), end="")
    say(f"written: {options.out / 'results.json'}, {options.out / 'results.md'}")
    failed = any(series.error for one in results.measured for series in one.series if series.subject in own)
    return 1 if failed else 0


def _results(options: argparse.Namespace, scratch: Path) -> tuple[Results, set[str]]:
    """Measure what the options ask for.

    Args:
        options: As parsed.
        scratch: A directory for what the programs write.

    Returns:
        The results, and which subjects are pcapflow.
    """
    own = pcapflow_subjects(scratch, options.python)
    if options.engine_only:
        own = [subject for subject in own if subject.name == ENGINE]
    results = Results(options.runs, options.scale, compiled_modules(options.python), own_peak_bytes())
    peers: list[Subject] = []
    for name in _peer_names(options.peers):
        peer = find_peer(name, scratch)
        if isinstance(peer, Missing):
            say(f"skipped {name}: {peer.reason}")
            results.missing.append(peer)
        else:
            peers.append(peer)
    run_all = functools.partial(
        take_turns,
        runs=options.runs,
        limits=Limits(options.timeout, options.memory_limit * 2**30),
        output=scratch / "output.txt",
        tell=say,
    )
    for name in options.workload or WORKLOADS:
        generated, capture = _capture(name, options.scale, options.seed)
        series = run_all([*own, *peers], capture)
        results.measured.append(Measured(generated, series, compare(generated, series)))
        if options.growth and WORKLOADS[name].scales:
            results.growth += _growth(name, own, options, run_all)
    return results, {subject.name for subject in own}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure pcapflow beside its peers. `python -m benchmarks generate --help` for the captures alone.",
    )
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="repeatable; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="times the workloads' sizes (default 1)")
    parser.add_argument("--runs", type=_positive, default=3, help="turns (default 3)")
    parser.add_argument(
        "--peers",
        default=_ALL,
        help=f"comma-separated, {_ALL!r} (default) or {_NONE!r}: " + ", ".join(f"{name!r}" for name in PEERS),
    )
    parser.add_argument("--engine-only", action="store_true", help="reading and tracking, without rules and report")
    parser.add_argument("--growth", action="store_true", help="also at 2, 4 and 8 times the size, pcapflow alone")
    parser.add_argument("--out", type=Path, default=WORK / "results", help="directory of results.json and results.md")
    parser.add_argument(
        "--python",
        type=_program,
        metavar="EXE",
        help="interpreter of an environment with pcapflow installed (default: checkout)",
    )
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that one run may take (default 900)")
    parser.add_argument(
        "--memory-limit", type=_positive, default=_default_memory_gib(), help="GiB of address space a process"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    return parser


def _program(text: str) -> str:
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: no such program")
    # Not resolved: an environment's interpreter is a link, and its place tells which environment.
    return str(Path(found).absolute())


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _default_memory_gib() -> int:
    """Three quarters of the machine's memory: a peer that wants more fails, and the machine goes on."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, total * 3 // 4 // 2**30)


def _peer_names(text: str) -> list[str]:
    if text == _NONE:
        return []
    if text == _ALL:
        return list(PEERS)
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise SystemExit(f"unknown peer {unknown[0]!r}; there are: {', '.join(PEERS)}")
    return names


def _growth(
    name: str,
    subjects: Sequence[Subject],
    options: argparse.Namespace,
    run_all: Callable[[Sequence[Subject], Path], list[Series]],
) -> list[Growth]:
    """Each size in turn; what is larger than the workload itself is deleted once measured."""
    points: dict[str, list[tuple[int, float, int]]] = {subject.name: [] for subject in subjects}
    for factor in FACTORS:
        generated, capture = _capture(name, options.scale * factor, options.seed)
        for series in run_all(subjects, capture):
            if series.error is None:
                points[series.subject].append((generated.packets, series.seconds, series.peak_bytes))
        if factor > 1:
            capture.unlink()
            capture.with_suffix(".json").unlink()
    return [
        Growth(name, subject, *zip(*found, strict=True))
        for subject, found in points.items()
        if len(found) == len(FACTORS)
    ]


def _capture(name: str, scale: float, seed: int) -> tuple[Generated, Path]:
    """The capture of a workload, generated where it is not kept from an earlier run.

    Another process generates: this one stays small, since what it runs starts with its size.
    """
    workload = WORKLOADS[name]
    packets = max(1, round(workload.packets * scale)) if workload.scales else workload.packets
    path = cached_path(WORK, name, packets, seed)
    generated = read_note(path)
    if generated is None:
        for stale in WORK.glob(f"{name}-{packets}-{seed}-*"):
            stale.unlink()
        say(f"{name}: generating {packets} packets")
        words = [name, "--packets", str(packets), "--seed", str(seed), "-o", str(path)]
        command = [sys.executable, "-m", "benchmarks", "generate", *words]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        generated = read_note(path)
        assert generated is not None
    say(f"{name}: {generated.packets} packets, {generated.connections} connections")
    return generated, path


if __name__ == "__main__":
    sys.exit(main())

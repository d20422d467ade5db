"""``python -m bench``: measure the product beside its floors, on a PostgreSQL and a Redis of its own."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report
from bench.environment import Surroundings, surroundings
from bench.figures import Result
from bench.servers import ProgramMissing

BENCHMARKS = ("events", "loop", "matching", "claims", "loading")
PAGE = Path("docs/benchmarks.md")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 1 when something that must hold did not, or a server is missing."""
    options = _parser().parse_args(arguments)
    began, load_before = time.monotonic(), machine.load_average()
    results: list[Result] = []
    try:
        with surroundings(options.rounds, options.quick, options.database_url, options.redis_url) as around:
            head = [*machine.described(), *around.servers.versions()]
            for name in options.only or BENCHMARKS:
                results.append(_measure(name, around))
                print(report.plain(results[-1:]), flush=True)
    except ProgramMissing as problem:
        print(problem, file=sys.stderr)
        return 1
    command = " ".join(["python -m bench", *(arguments if arguments is not None else sys.argv[1:])])
    head += [
        ("date", datetime.now(UTC).date().isoformat()),
        ("command", f"`{command}`"),
        ("rounds", str(options.rounds)),
        ("load average", f"{load_before:.2f} before, {machine.load_average():.2f} at the end"),
        ("took", f"{(time.monotonic() - began) / 60:.1f} minutes"),
    ]
    print("\n" + "\n".join(f"{what}: {which}" for what, which in head))
    if options.write:
        report.write(PAGE, report.markdown(results, head))
        print(f"written to {PAGE}")
    return 0 if all(result.is_sound for result in results) else 1


def _measure(name: str, around: Surroundings) -> Result:
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    result: Result = importlib.import_module(f"bench.{name}").run(around)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of ours and the floor")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, its figures mean little")
    parser.add_argument("--write", action="store_true", help=f"put the results into {PAGE}")
    parser.add_argument("--database-url", default="", help="a PostgreSQL where databases bench_… may be made")
    parser.add_argument("--redis-url", default="", help="a Redis database that nothing else uses")
    return parser


if __name__ == "__main__":
    sys.exit(main())

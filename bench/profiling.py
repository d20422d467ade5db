"""Where time goes, by the functions of ours that spend it and by the libraries below them."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.environment import ROOT

SHOWN = 14
PARTS = ("config", "integrations", "waitlist", "scheduling", "audit", "bench")


def profile(work: Callable[[], object], calls: int) -> str:
    """Run ``work``, which makes so many calls, and return the text of what it spent per call.

    First the time by package, each function's own; then our functions with all that they called.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        work()
    finally:
        profiler.disable()
    # pstats keeps per function: (primitive calls, calls, own seconds, seconds with callees, callers).
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    own: Counter[str] = Counter()
    ours: list[tuple[float, int, str]] = []
    for (path, _, function), (_, count, own_seconds, total_seconds, _) in stats.items():
        package = _package(path)
        own[package] += own_seconds  # type: ignore[assignment]
        if package in PARTS:
            ours.append((total_seconds, count, f"{Path(path).relative_to(ROOT)}:{function}"))
    whole = sum(own.values())
    lines = [f"{whole / calls * 1000:.2f} ms a call under the profiler, of it by package (own time):"]
    lines += [f"  {seconds / calls * 1000:8.3f} ms  {name}" for name, seconds in own.most_common(8)]
    lines.append("our functions with what they call:")
    lines += [
        f"  {seconds / calls * 1000:8.3f} ms  {count / calls:6.1f} x  {name}"
        for seconds, count, name in sorted(ours, reverse=True)[:SHOWN]
    ]
    return "\n".join(lines)


def _package(path: str) -> str:
    if path.startswith(str(ROOT)) and "site-packages" not in path:
        return Path(path).relative_to(ROOT).parts[0]
    parts = Path(path).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "built in" if path.startswith(("~", "<")) else "Python"

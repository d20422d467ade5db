"""Sends prepared requests to a local web server from a process of its own, over connections that are kept open.

``python -m bench.caller`` reads requests from its standard input, each preceded by its length in four bytes, and
writes one JSON object: seconds for all, and each request's seconds and status in the order they were given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_SECONDS = 300
MOST_REQUESTS = 50_000


@dataclass(frozen=True, slots=True)
class Calls:
    """How a batch of calls went. ``seconds`` from the first request to the last answer."""

    seconds: float
    latencies: tuple[float, ...]
    statuses: tuple[int, ...]

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def count(self, *statuses: int) -> int:
        """Return how many answers had one of these statuses."""
        return sum(status in statuses for status in self.statuses)


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return an HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def call(port: int, requests: list[bytes], connections: int) -> Calls:
    """Send the requests from another process, over so many connections, and return how it went."""
    if len(requests) > MOST_REQUESTS:
        raise ValueError(f"{len(requests)} requests are more than the {MOST_REQUESTS} this is made for")
    sent = b"".join(len(each).to_bytes(4, "big") + each for each in requests)
    arguments = [sys.executable, "-m", "bench.caller", "--port", str(port), "--connections", str(connections)]
    done = subprocess.run(arguments, input=sent, stdout=subprocess.PIPE, timeout=LONGEST_SECONDS, check=True)
    told = json.loads(done.stdout)
    return Calls(told["seconds"], tuple(told["latencies"]), tuple(told["statuses"]))


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    if b"\r\ncontent-length:" in lower:
        await reader.readexactly(int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]))
    elif b"\r\ntransfer-encoding: chunked" in lower:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return status


async def _connection(port: int, requests: list[bytes], waiting: list[int], answers: list[tuple[float, int]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while waiting:
        number = waiting.pop()
        began = time.perf_counter()
        try:
            writer.write(requests[number])
            status = await _answer(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The server closed a kept connection; what was sent on it is sent again only if nothing came back.
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests[number])
            status = await _answer(reader)
        answers[number] = (time.perf_counter() - began, status)
    writer.close()


async def _all(port: int, requests: list[bytes], connections: int) -> dict[str, object]:
    waiting = list(range(len(requests)))[::-1]
    answers = [(0.0, 0)] * len(requests)
    began = time.perf_counter()
    async with asyncio.timeout(LONGEST_SECONDS):
        await asyncio.gather(*(_connection(port, requests, waiting, answers) for _ in range(connections)))
    return {
        "seconds": time.perf_counter() - began,
        "latencies": [seconds for seconds, _ in answers],
        "statuses": [status for _, status in answers],
    }


def _read(data: bytes) -> list[bytes]:
    requests, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        requests.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return requests


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    options = parser.parse_args()
    requests = _read(sys.stdin.buffer.read())
    print(json.dumps(asyncio.run(_all(options.port, requests, options.connections))))


if __name__ == "__main__":
    main()

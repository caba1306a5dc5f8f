"""Own the processes that benchmarks run: a private Redis, APIs, workers and peers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

import psutil
from redis import Redis

from graphql_api.local.redis_server import private_redis, reserve_port
from tests.processes import running, running_api_process, running_worker, wait_until


@dataclass(frozen=True)
class Server:
    """A listening server and its process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Stage:
    """A Redis and the processes that use it; we use its first database, peers the second.

    Attributes:
        folder: for data and logs.
        redis_url: our database.
        rounds: number of rounds whose median is taken.
        share: share of the usual work to do, in [0, 1].
        records: number of kept tasks in the benchmarks of growth.
    """

    folder: Path
    redis_url: str
    rounds: int
    share: float
    records: int

    def times(self, count: int) -> int:
        """Scale an amount of work by `share`."""
        return max(1, round(count * self.share))

    @property
    def peer_redis_url(self) -> str:
        """Return the database of the peers."""
        return self.redis_url.removesuffix("0") + "1"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of all processes."""
        return {
            "REDIS_URL": self.redis_url,
            "PEER_REDIS_URL": self.peer_redis_url,
            "ENQUEUE_RATE": "1000000",  # high enough to measure no throttling
            "ENQUEUE_BURST": "10000000",
            "FLOWER_UNAUTHENTICATED_API": "true",
            # Keep bytecode, as installations do, so that the compiler is not measured.
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def redis(self) -> Redis:
        """Return a client of our database."""
        client: Redis = Redis.from_url(self.redis_url, decode_responses=True)
        return client

    @property
    def redis_pid(self) -> int:
        """Return the process id of Redis."""
        with self.redis() as redis:
            return int(redis.info("server")["process_id"])

    @contextmanager
    def api(self) -> Iterator[Server]:
        """Run our API."""
        log = self.folder / "api.log"
        with running_api_process(self.environment, log) as (url, process):
            yield Server(url, process.pid)

    @contextmanager
    def worker(self, concurrency: int = 2) -> Iterator[int]:
        """Run our worker for plain tasks, and yield its process id."""
        log = self.folder / "worker.log"
        with running_worker("celery", self.environment, log, concurrency=concurrency) as process:
            yield process.pid

    @contextmanager
    def stock_worker(self, concurrency: int = 2) -> Iterator[int]:
        """Run a stock worker, and yield its process id."""
        argv = ["celery", "-A", "bench.peers.stock", "worker", "-n", "stock@%h", "-l", "INFO"]
        log = self.folder / "stock.log"
        with running([*argv, "-c", str(concurrency)], self.environment, log) as process:
            wait_until(lambda: " ready." in log.read_text(), "stock worker ready")
            yield process.pid

    @contextmanager
    def peer(self, module: str) -> Iterator[Server]:
        """Run a peer under uvicorn."""
        port = reserve_port()
        argv = ["uvicorn", f"bench.peers.{module}:app", "--port", str(port), "--no-access-log"]
        with self.listening(argv, port) as process:
            yield Server(f"http://127.0.0.1:{port}", process.pid)

    @contextmanager
    def listening(
        self, argv: list[str], port: int, python: str = sys.executable
    ) -> Iterator[Popen[bytes]]:
        """Run a module, and yield its process once it listens."""
        log = self.folder / f"{port}.log"
        with running(argv, self.environment, log, python=python) as process:
            connections = psutil.Process(process.pid).net_connections

            def listens() -> bool:
                assert process.poll() is None, log.read_text()
                return any(c.status == psutil.CONN_LISTEN for c in connections("tcp"))

            wait_until(listens, argv[0])
            yield process


@contextmanager
def set_up(rounds: int, share: float, records: int) -> Iterator[Stage]:
    """Start a Redis whose files are in memory, so that no disk is measured."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # in a new folder
    with TemporaryDirectory(dir=memory) as name, private_redis(Path(name) / "redis") as url:
        yield Stage(Path(name), url, rounds, share, records)

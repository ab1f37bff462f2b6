"""A Dask cluster on this computer: a scheduler and two workers that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent


class Cluster:
    """A scheduler and workers, each a process of its own, without a nanny that restarts them."""

    def __init__(self, folder, seconds_a_batch):
        self.loads = folder / "loads"
        self.loads.mkdir()
        self._file = folder / "scheduler.json"
        self._environment = os.environ | {
            "PYTHONPATH": str(TESTS),
            "TEST_LOADS": str(self.loads),
            "TEST_SECONDS_A_BATCH": str(seconds_a_batch),
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.cache = folder / "cache"
        self._log = (folder / "cluster.log").open("w")
        options = ("--scheduler-file", str(self._file))
        address = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start("distributed.cli.dask_scheduler", *address, *options)
        one = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
        self.workers = [self._start("distributed.cli.dask_worker", *one) for _ in range(2)]
        deadline = time.monotonic() + 120
        while not self._file.exists() or not self._file.read_text():
            assert self.scheduler.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.address = json.loads(self._file.read_text())["address"]

    def _start(self, module, *arguments):
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            command, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )

    def wait_for(self, workers):
        import distributed

        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._log.close()

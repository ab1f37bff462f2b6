"""Downloads from bad servers and tars not to be believed: no end, no file and no truth is lost.

    python -m benchmarks.attacks.downloads

Each server of ``tests/bad_servers.py`` and each archive of ``tests/bad_tars.py``, the large ones
too, once each time; the servers a second time with a wish to stop at a random moment. Then ten
times two processes that download one file, and ten downloads killed at a random moment.
"""

from __future__ import annotations

import hashlib
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from benchmarks.attacks import harness
from benchmarks.attacks.harness import Tally

QUIET_S = 1.0
MOST_S = 40.0
MOST_CANCEL_S = 2.0
MOST_MB = 300
KEPT = "are kept, and the next try goes on there"
MINE = {"mine.jpg": b"mine", "w.pth.txt": b"mine"}


def _remote(address: str):
    from bad_servers import CONTENT, LARGER

    from napari_sem_classify.core.common.download import Remote
    from napari_sem_classify.core.common.errors import ModelError

    def check(path: Path) -> bool:
        return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()

    return Remote(f"{address}/w.pth", "the file", check, ModelError, LARGER, quiet_s=QUIET_S)


def _told(work: Callable[[], object]) -> tuple[str, list[str]]:
    """The sentence with which a piece of work ended, "" where it did well, and its faults."""
    from napari_sem_classify.core.common.errors import Cancelled, SemClassifyError

    try:
        work()
    except (SemClassifyError, Cancelled) as error:
        sentence = str(error)
        good = sentence.endswith(".") and harness.printable(sentence) and "\n" not in sentence
        return sentence, [] if good else [f"no sentence ({sentence!r})"]
    except BaseException as error:
        return "?", [f"not foreseen ({error!r})"]
    return "", []


def _server(name: str, folder: Path, stop_after_s: float | None) -> list[str]:
    from bad_servers import CONTENT, SERVERS, WELL, answering, good

    from napari_sem_classify.core.common.download import download
    from napari_sem_classify.core.common.job import Job

    folder.mkdir()
    for mine, content in MINE.items():
        (folder / mine).write_bytes(content)
    path, job, stopped = folder / "w.pth", Job(), []
    with answering(SERVERS[name]) as address:
        timer = threading.Timer(
            stop_after_s or 0.0, lambda: (stopped.append(time.monotonic()), job.cancel())
        )
        if stop_after_s is not None:
            timer.start()
        start = time.monotonic()
        sentence, wrong = _told(lambda: download(_remote(address), path, job=job))
        took = time.monotonic() - start
        if stopped and time.monotonic() - stopped[0] > MOST_CANCEL_S:
            wrong.append(f"stopped after {time.monotonic() - stopped[0]:.1f} s")
        timer.cancel()
    if took > MOST_S:
        wrong.append(f"no end in {took:.0f} s")
    if not sentence and path.read_bytes() != CONTENT:
        wrong.append("taken for whole")
    if sentence and name in WELL and stop_after_s is None:
        wrong.append(f"no file ({sentence})")
    kept = {".part-w.pth", ".part-w.pth.json"} if KEPT in sentence else set()
    there = kept | set(MINE) | (set() if sentence else {path.name})
    if {each.name for each in folder.iterdir()} != there:
        wrong.append(f"in the folder: {sorted(each.name for each in folder.iterdir())} {sentence}")
    # What is kept has to serve: a good server afterwards gives the file, and only the rest of it.
    starts: list[int | None] = []

    def behaviour(client):
        starts.append(client.start)
        good(client)

    if sentence:
        port = int(address.rpartition(":")[2])
        with answering(behaviour, port) as again:
            after, faults = _told(lambda: download(_remote(again), path))
        wrong += faults + ([f"afterwards: {after}"] if after else [])
        if path.is_file() and path.read_bytes() != CONTENT:
            wrong.append("damaged by what was kept")
        if kept and starts[:1] == [None]:
            wrong.append("what is kept was not used")
    if any((folder / mine).read_bytes() != content for mine, content in MINE.items()):
        wrong.append("a file of the user's was touched")
    return wrong


def _tar(name: str, folder: Path) -> int:
    """In a process of its own, for its memory; prints what is wrong."""
    from bad_tars import write_tar

    from napari_sem_classify.core.evaluate.image_tar import unpack_images

    folder.mkdir()
    (folder / "mine.jpg").write_bytes(b"mine")
    archive = folder / "Tips.tar"
    with archive.open("wb") as file:
        write_tar(name, file)
    before = harness.contents(folder.parent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sentence, wrong = _told(lambda: unpack_images(archive, folder / "Tips"))
    more_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 2**10
    if not sentence:
        wrong.append("unpacked")
    if more_mb > MOST_MB:
        wrong.append(f"{more_mb:.0f} MB of memory")
    if harness.contents(folder.parent) != before:
        wrong.append("something was left, or changed")
    archive.unlink()
    print("; ".join(wrong))
    return 0


def _slow_server(port: int) -> int:
    """Serve the file in small pieces, ranges too, until this process is killed."""
    from bad_servers import CONTENT, answering

    def behaviour(client):
        start = client.start or 0
        span = f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        lines = (f"Content-Length: {len(CONTENT) - start}", 'ETag: "1"', span)
        client.head(206 if start else 200, *(lines if start else lines[:2]))
        for at in range(start, len(CONTENT), 20_000):
            client.send(CONTENT[at : at + 20_000])
            time.sleep(0.02)

    with answering(behaviour, port):
        time.sleep(3600)
    return 0


@contextmanager
def _serving() -> Iterator[str]:
    """Give the address of the slow server, in a process of its own: this one is to be forked."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = harness.Process(partial(_slow_server, port))
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _one_download(address: str, path: Path) -> int:
    from napari_sem_classify.core.common.download import download

    sentence, wrong = _told(lambda: download(_remote(address), path))
    print(*wrong, sentence)
    return 2 if wrong else int(bool(sentence))


def _two_at_once(address: str, folder: Path) -> list[str]:
    from bad_servers import CONTENT

    folder.mkdir()
    path = folder / "w.pth"
    both = [harness.Process(partial(_one_download, address, path)) for _ in range(2)]
    ended = [each.wait(MOST_S) for each in both]
    wrong = [each.out for each in ended if each.status and "Another run" not in each.out]
    if not any(each.status == 0 for each in ended) or path.read_bytes() != CONTENT:
        wrong.append("no file")
    if len(list(folder.iterdir())) != 1:
        wrong.append(f"in the folder: {sorted(each.name for each in folder.iterdir())}")
    return wrong


def _killed(address: str, folder: Path, after_s: float) -> list[str]:
    from bad_servers import CONTENT

    folder.mkdir()
    path = folder / "w.pth"
    first = harness.Process(partial(_one_download, address, path))
    time.sleep(after_s)
    first.kill()
    first.wait()
    wrong = []
    if path.exists() and path.read_bytes() != CONTENT:
        wrong.append("taken for whole")
    ran = harness.run(partial(_one_download, address, path), MOST_S)
    if ran.status or path.read_bytes() != CONTENT:
        wrong.append(f"afterwards: {ran.out}{ran.err[-200:]}")
    if len(list(folder.iterdir())) != 1:
        wrong.append(f"in the folder: {sorted(each.name for each in folder.iterdir())}")
    return wrong


def tallies(place: Path, times: int, seed: int) -> Iterator[Tally]:
    """Give the rows of the table."""
    from bad_servers import SERVERS
    from bad_tars import TARS

    chance = random.Random(seed)
    # The archives first: their processes are forks, and the servers are threads.
    tally = Tally(f"{len(TARS)} tars")
    for number in range(times):
        for name in TARS:
            ran = harness.run(partial(_tar, name, place / f"tar-{number}-{tally.tried}"), MOST_S)
            wrong = [*harness.faults(ran, 0), ran.out.strip()]
            tally.count([each for each in wrong if each], name)
    yield tally
    two, killed = Tally("two downloads of one file"), Tally("downloads killed")
    with _serving() as address:
        for number in range(10 * times):
            two.count(_two_at_once(address, place / f"two-{number}"))
            killed.count(_killed(address, place / f"killed-{number}", chance.uniform(0.0, 0.8)))
    yield from (two, killed)
    tally = Tally(f"{len(SERVERS)} servers")
    for number in range(times):
        for name in SERVERS:
            folder = place / f"server-{number}-{tally.tried}"
            tally.count(_server(name, folder, None), name)
    yield tally
    tally = Tally(f"{len(SERVERS)} servers, cancelled")
    for number in range(times):
        for name in SERVERS:
            folder = place / f"stopped-{number}-{tally.tried}"
            tally.count(_server(name, folder, chance.uniform(0.0, 1.5)), name)
    yield tally


if __name__ == "__main__":
    given = harness.options(__doc__, 1).parse_args()
    with harness.workplace() as workplace:
        harness.warm_up()
        kinds = tallies(workplace, given.times, given.seed)
        harness.print_table(each for each in kinds if given.only in each.kind)

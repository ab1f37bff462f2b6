"""What all attacks share: a workplace, commands in processes of their own, a judge, a table."""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
for _folder in ("src", "tests"):
    sys.path.insert(0, str(REPOSITORY / _folder))

HOMES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR")


@dataclass
class Tally:
    """How many attacks of a kind were survived; `lost` tells of the others, a sentence each."""

    kind: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, faults: Sequence[str], attack: str = "") -> None:
        """Count one attack, survived where there are no faults."""
        self.tried += 1
        if faults:
            self.lost.append(f"{attack}: {'; '.join(faults)}" if attack else "; ".join(faults))

    def print_row(self) -> None:
        """Print the row of the table, and below it what was lost."""
        print(f"| {self.kind} | {self.tried - len(self.lost)}/{self.tried} |", flush=True)
        for sentence in self.lost:
            print(f"    lost: {sentence}", file=sys.stderr, flush=True)


def options(doc: str, times: int) -> argparse.ArgumentParser:
    """The command line of an attack, which takes ``--times`` and ``--seed``."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--times", type=int, default=times, help="attacks of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    return parser


def print_table(tallies: Iterator[Tally]) -> None:
    """Print a row for each kind as it is done; ends with status 1 where anything was lost."""
    print("| attack | survived/tried |\n|---|---|", flush=True)
    lost = False
    for tally in tallies:
        tally.print_row()
        lost |= bool(tally.lost) or not tally.tried
    sys.exit(1 if lost else 0)


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a temporary folder that is the current one; caches and settings lie in it too."""
    before, place = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sem-attack-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for home in HOMES:
            path = folder / "home" / home.split("_")[0 if home == "TMPDIR" else 1].lower()
            path.mkdir(parents=True)
            os.environ[home] = str(path)
        tempfile.tempdir = None
        os.environ["OMP_NUM_THREADS"] = "1"
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(place)
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None


@dataclass(frozen=True)
class Ran:
    """What became of a process.

    Attributes
    ----------
    status : int
        Exit status; minus the signal's number where one ended it.
    out, err : str
        What it printed; bytes that are no UTF-8 are kept as lone surrogates.
    late : bool
        It did not end in its time and was killed.
    """

    status: int
    out: str
    err: str
    seconds: float
    peak_mb: float
    late: bool = False


class Process:
    """A command of the program, or a function, in a process of its own.

    It is a fork of this one, so that what is imported already (see `warm_up`) costs nothing.

    Parameters
    ----------
    work : sequence of str, or callable
        Arguments of the command line, or a function without arguments.
    megabytes, file_kilobytes : int, optional
        Memory that it may take beyond what it has; largest file that it may write.
    """

    def __init__(
        self,
        work: Sequence[object] | Callable[[], Any],
        *,
        megabytes: int | None = None,
        file_kilobytes: int | None = None,
    ) -> None:
        self.started = time.monotonic()
        self._texts = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be_the_process(work, megabytes, file_kilobytes)

    def _be_the_process(self, work: Any, megabytes: int | None, file_kilobytes: int | None) -> None:
        status = 99
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, file in enumerate(self._texts, start=1):
                os.dup2(file.fileno(), number)
            if megabytes is not None:
                has = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
                    "SC_PAGE_SIZE"
                )
                most = has + megabytes * 2**20
                resource.setrlimit(resource.RLIMIT_AS, (most, most))
            if file_kilobytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                most = file_kilobytes * 1024
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            status = command(work) if not callable(work) else int(work() or 0)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except OSError:
                    status = status or 98
            os._exit(status)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process and its children."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            os.kill(self.pid, number)  # it has not yet its own group
        except PermissionError:
            pass  # ended, on macOS

    def kill_after(self, seconds: float) -> bool:
        """Kill it so long after its start; False where it had ended by then."""
        time.sleep(max(0.0, self.started + seconds - time.monotonic()))
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        self.kill()
        return self.wait().status == -signal.SIGKILL and ended is None

    def signal_after(self, seconds: float, number: int, patience: float) -> tuple[Ran, float]:
        """Send a signal so long after its start; how it ended, and how long that took then."""
        time.sleep(max(0.0, self.started + seconds - time.monotonic()))
        wish = time.monotonic()
        self.kill(number)
        ended = self.wait(patience)
        return ended, time.monotonic() - wish

    def wait(self, seconds: float = 120.0) -> Ran:
        """Wait until it ends; it is killed where that takes longer than `seconds`."""
        deadline, late = time.monotonic() + seconds, False
        while True:
            pid, code, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline and not late:
                late = True
                self.kill()
            time.sleep(0.005)
        took = time.monotonic() - self.started
        texts = []
        for file in self._texts:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape"))
            file.close()
        unit = 2**20 if sys.platform == "darwin" else 2**10
        status = os.waitstatus_to_exitcode(code)
        return Ran(status, texts[0], texts[1], took, usage.ru_maxrss / unit, late)


def command(arguments: Sequence[object]) -> int:
    """Run a command of the program in this process, which it may end."""
    from napari_sem_classify.cli import main

    sys.argv = ["napari-sem-classify", *map(str, arguments)]
    main()
    return 0


def run(work: Sequence[object] | Callable[[], Any], seconds: float = 120.0, **limits: Any) -> Ran:
    """Run a command or a function to its end; see `Process`."""
    return Process(work, **limits).wait(seconds)


def warm_up(*, network: bool = False) -> None:
    """Import what commands import, once.

    With `network` also what uses it, and a tiny network stands in the usual one's place. Nothing is
    computed here: a process that used several threads must not be forked.
    """
    import numpy  # noqa: F401
    import PIL.Image  # noqa: F401
    import tifffile  # noqa: F401

    import napari_sem_classify.cli
    import napari_sem_classify.core.sem_io  # noqa: F401

    if network:
        import matplotlib.figure  # noqa: F401
        import sklearn.linear_model  # noqa: F401
        import torch.nn  # noqa: F401

        from benchmarks.attacks.inputs import use_tiny_network

        use_tiny_network()


def faults(ran: Ran, *statuses: int, sentences: int | None = 1) -> list[str]:
    """What is wrong with how a command ended; nothing where it ended well.

    Parameters
    ----------
    statuses : int
        The exit statuses that are right; 0 and 1 where none is given.
    sentences : int, optional
        With status 1: lines on stderr that there should be; None for one or more.
    """
    wrong = []
    if ran.late:
        wrong.append(f"no end after {ran.seconds:.0f} s")
    elif ran.status not in (statuses or (0, 1)):
        wrong.append(f"status {ran.status} ({ran.err.strip()[-200:]!r})")
    if "Traceback" in ran.out + ran.err:
        wrong.append(f"a traceback ({ran.err.strip()[-200:]!r})")
    if "unexpected" in ran.err:
        wrong.append(f"not foreseen ({ran.err.strip()[-200:]!r})")
    if not printable(ran.out + ran.err):
        wrong.append("text that is not printable")
    if ran.status == 1 and not ran.late:
        lines = ran.err.splitlines()
        if not lines or (sentences is not None and len(lines) != sentences):
            wrong.append(f"{len(lines)} lines instead of a sentence ({ran.err[-300:]!r})")
        wrong += [f"no sentence ({line!r})" for line in lines if not line.endswith(".")]
    return wrong


def printable(text: str) -> bool:
    """Whether text is safe on a terminal: no control characters, no bytes that are no text."""
    return all(each.isprintable() or each in "\n\t" for each in text)


def contents(folder: Path, but: Sequence[str] = ()) -> dict[str, str]:
    """The hash of each file in a folder and below, by its path there; folders have ""."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name not in but:
            whole = path.is_file() and not path.is_symlink()
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
            found[str(path.relative_to(folder))] = digest
    return found


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Content with one to four of the faults that disks, networks and people make."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        length = len(made)
        at = chance.randrange(length) if length else 0
        # Half of the faults hit the start, where headers lie.
        if chance.random() < 0.5:
            at = min(at, chance.randrange(1024))
        some = chance.choice((1, 2, 4, 8, 64, 1000))
        kind = chance.randrange(7)
        if kind == 0 and length:
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at : at + some] = chance.randbytes(some)
        elif kind == 2:
            made[at : at + some] = bytes(chance.choice((b"\x00", b"\xff", b"\x7f"))) * some
        elif kind == 3:
            del made[at:]
        elif kind == 4:
            del made[at : at + some]
        elif kind == 5:
            made[at:at] = made[at : at + some] or b"\x00"
        else:
            made[at : at + 1] = chance.choice(_TEXTS)
    return bytes(made)


_TEXTS = (
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"[" * 600,
    b'"',
    b"\x1b]0;x\x07",
    b"99999999999999999999",
)

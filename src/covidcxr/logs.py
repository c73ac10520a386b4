"""What a step says while it works: a log file, the terminal, and errors for people."""

import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from covidcxr.errors import InputError

log = logging.getLogger("covidcxr")
LINE_EVERY_SECONDS = 10.0


@contextmanager
def step(log_file: str | Path | None = None, *, quiet: bool = False) -> Iterator[None]:
    """Run a step: its log lines go to stderr and to `log_file`, its input errors become one line.

    An `InputError` ends the process with status 1 and no traceback; any other exception is written
    to the log with its traceback and raised again. What libraries say, also below Python, goes to
    `log_file` alone; with `quiet` so does what is no warning or error. The last line of a step that
    succeeded says when it ended, where, and what it took (`ending`); the report reads it.
    """
    start = time.monotonic()
    with _only_ours(log_file, quiet) as terminal:
        handlers: list[logging.Handler] = [terminal]
        if log_file is not None:
            handlers.append(logging.FileHandler(log_file, mode="a"))
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(message)s",
            datefmt="%H:%M:%S",
            handlers=handlers,
            force=True,
        )
        logging.captureWarnings(True)
        try:
            yield
        except InputError as error:
            log.error("%s", error)
            sys.exit(1)
        except Exception:
            log.exception("the step failed")
            raise
        finally:
            logging.captureWarnings(False)
            for handler in handlers:
                logging.getLogger().removeHandler(handler)
                handler.close()
    if log_file is not None:
        with Path(log_file).open("a") as file:
            file.write(f"{ending(time.monotonic() - start)}\n")


@contextmanager
def _only_ours(log_file: str | Path | None, quiet: bool) -> Iterator[logging.Handler]:
    """Give a handler for the terminal that passes our own lines, all else going to `log_file`.

    TensorFlow writes to the file descriptor of standard error, so this is what is led away;
    `sys.stderr` goes on to the terminal. Without `log_file` nothing is led anywhere.
    """
    before = shown = sys.stderr
    with ExitStack() as stack:
        if log_file is not None:
            path = Path(log_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
            before.flush()
            terminal = stack.enter_context(os.fdopen(os.dup(2), "w", buffering=1))
            stack.callback(os.dup2, terminal.fileno(), 2)
            os.dup2(stack.enter_context(path.open("a")).fileno(), 2)
            # A test or a notebook has put its own in place, which has no such descriptor.
            if before is sys.__stderr__:
                shown = terminal
                # Bars are drawn on it.
                sys.stderr = before if quiet else terminal
                stack.callback(setattr, sys, "stderr", before)
        handler = logging.StreamHandler(shown)
        handler.setLevel(logging.WARNING if quiet else logging.INFO)
        handler.addFilter(lambda record: record.name == "covidcxr")
        yield handler


def ending(seconds: float) -> str:
    """Say that a step of `seconds` ends now, where, and what its process took since it began."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    # Snakemake tells a job's threads in this variable, which numerical libraries read.
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return (
        f"finished {now} on {platform.node()}, threads {threads}, "
        f"seconds {max(seconds, process_age()):.2f}, CPU seconds {cpu_seconds():.2f}, "
        f"peak MB {peak_memory():.0f}"
    )


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it waited for."""
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def process_age() -> float:
    """Return the seconds since this process began, its imports included; 0 without Linux' /proc."""
    process, system = Path("/proc/self/stat"), Path("/proc/uptime")
    if not process.is_file() or not system.is_file():
        return 0.0
    # The command's name, in brackets, may hold spaces; the start is the 20th number behind it.
    begun = float(process.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(system.read_text().split()[0]) - begun


def peak_memory() -> float:
    """Return the most memory that this process held so far, in MB; NaN where Linux is not there.

    `getrusage` would not do: a new process starts with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else float("nan")


def progress(iterable: Any = None, **options: Any) -> Any:
    """Return a `tqdm` bar: drawn live on a terminal, a line every ten seconds in a log."""
    from tqdm import tqdm  # planning a run shows none

    if sys.stderr.isatty():
        return tqdm(iterable, mininterval=0.2, file=sys.stderr, **options)
    return tqdm(iterable, mininterval=LINE_EVERY_SECONDS, file=_Lines(), ascii=True, **options)


class _Lines:
    """Standard error for a bar that is not watched: each state on a line of its own."""

    def write(self, text: str) -> None:
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self) -> None:
        sys.stderr.flush()

"""What a step says while it works: a log file, the terminal, and errors for people."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from covidcxr.errors import InputError

LINE_EVERY_SECONDS = 10.0


@contextmanager
def step(log_file: str | Path | None = None) -> Iterator[None]:
    """Run a step: its log lines go to stderr and to `log_file`, its input errors become one line.

    An `InputError` ends the process with status 1 and no traceback; any other exception is written
    to the log with its traceback and raised again.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w"))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    log = logging.getLogger("covidcxr")
    try:
        yield
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception:
        log.exception("the step failed")
        raise


def progress(iterable: Any = None, **options: Any) -> Any:
    """Return a `tqdm` bar: drawn live on a terminal, a line every ten seconds in a log."""
    if sys.stderr.isatty():
        return tqdm(iterable, mininterval=0.2, file=sys.stderr, **options)
    return tqdm(iterable, mininterval=LINE_EVERY_SECONDS, file=_Lines(), ascii=True, **options)


class _Lines:
    """Standard error for a bar that is not watched: each state on a line of its own."""

    def write(self, text: str) -> None:
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self) -> None:
        sys.stderr.flush()

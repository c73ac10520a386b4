import logging
import subprocess
import sys
from pathlib import Path

import pytest

from covidcxr.errors import InputError
from covidcxr.logs import progress, step


def test_input_error_ends_with_one_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_, step(tmp_path / "a.log"):
        raise InputError("table.csv, row 3: no image 'x.png'")
    assert exit_.value.code == 1
    for text in ((tmp_path / "a.log").read_text(), capsys.readouterr().err):
        assert text.strip().endswith("ERROR table.csv, row 3: no image 'x.png'")
        assert "Traceback" not in text


def test_other_errors_keep_their_traceback_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), step(tmp_path / "a.log"):
        _ = 1 / 0
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_log_lines_reach_the_file(tmp_path: Path) -> None:
    with step(tmp_path / "deep/a.log"):
        logging.getLogger("covidcxr").info("three images")
    assert "three images" in (tmp_path / "deep/a.log").read_text()


def test_progress_in_a_log_is_lines_and_not_a_redrawn_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in progress(range(3), desc="images"):
        pass
    text = capsys.readouterr().err
    assert "\r" not in text
    assert "images: 100%" in text.splitlines()[-1]


def test_what_libraries_say_below_python_goes_to_the_log_and_ours_to_both(tmp_path: Path) -> None:
    script = """
import logging, os, sys, warnings
from covidcxr.logs import progress, step
with step("a.log"):
    os.write(2, b"noise of a library\\n")
    warnings.warn("a warning")
    logging.getLogger("absl").warning("a line of absl")
    logging.getLogger("covidcxr").info("our line")
    for _ in progress(range(2)): pass
os.write(2, b"afterwards\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    noise = ("noise of a library", "a warning", "a line of absl")
    log = (tmp_path / "a.log").read_text()
    assert all(text in log and text not in done.stderr for text in noise)
    assert "our line" in log
    for text in ("our line", "100%", "afterwards"):
        assert text in done.stderr


def test_a_quiet_step_shows_warnings_only_and_logs_all(tmp_path: Path) -> None:
    script = """
import logging
from covidcxr.logs import progress, step
with step("a.log", quiet=True):
    logging.getLogger("covidcxr").info("our line")
    for _ in progress(range(2)): pass
    logging.getLogger("covidcxr").warning("a problem")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[0].endswith("WARNING a problem")
    assert len(done.stderr.splitlines()) == 1
    log = (tmp_path / "a.log").read_text()
    assert all(text in log for text in ("our line", "100%", "a problem"))

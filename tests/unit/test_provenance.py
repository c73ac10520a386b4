from pathlib import Path

import pytest

from covidcxr import provenance

USED = "from covidcxr.deep import VALUE\n\ndef f(x):\n    return x + VALUE\n"
DOCUMENTED = '''"""Module."""
from covidcxr.deep import VALUE


def f(x):
    """Function."""
    # why
    return (x + VALUE)
'''


@pytest.fixture
def digest_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that writes an adapter and a small package and returns the digest."""
    package = tmp_path / "covidcxr"
    files = {
        "covidcxr/__init__.py": "",
        "covidcxr/stage/__init__.py": "",
        "covidcxr/stage/used.py": USED,
        "covidcxr/deep.py": "VALUE = 1\n",
        "covidcxr/unused.py": "VALUE = 1\n",
        **{f"covidcxr/{name}": "VALUE = 1\n" for name in provenance.PLUMBING},
        "script.py": "from covidcxr.stage.used import f\nf(1)\n",
    }
    monkeypatch.setattr(provenance, "PACKAGE", package)

    def digest(**changes: str) -> str:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(changes.get(path.stem, text))
        provenance._read.cache_clear()
        return provenance.code_digest(tmp_path / "script.py")

    return digest


def test_comment_docstring_and_formatting_do_not_change_the_digest(digest_after) -> None:
    assert digest_after(used=DOCUMENTED) == digest_after()


@pytest.mark.parametrize(
    "changes",
    [
        {"used": "from covidcxr.deep import VALUE\n\ndef f(x):\n    return x - VALUE\n"},
        {"deep": "VALUE = 2\n"},
        {"script": "from covidcxr.stage.used import f\nf(2)\n"},
    ],
    ids=["module", "module it imports", "adapter"],
)
def test_code_that_the_step_runs_changes_the_digest(digest_after, changes: dict[str, str]) -> None:
    assert digest_after(**changes) != digest_after()


def test_code_that_the_step_does_not_run_leaves_the_digest(digest_after) -> None:
    assert digest_after(unused="VALUE = 2\n") == digest_after()


@pytest.mark.parametrize("name", provenance.PLUMBING)
def test_what_cannot_change_a_result_leaves_the_digest(digest_after, name: str) -> None:
    module = Path(name).with_suffix("")
    script = f"from covidcxr.{'.'.join(module.parts)} import VALUE\n"
    assert digest_after(script=script) == digest_after(
        script=script, **{module.name: "VALUE = 2\n"}
    )


def test_the_modules_that_leave_the_digest_are_those_of_logs_errors_and_downloads() -> None:
    assert set(provenance.PLUMBING) == {
        *("logs.py", "errors.py", "provenance.py"),
        *("data/download.py", "data/repository.py"),
    }


def test_import_inside_a_function_counts(digest_after) -> None:
    lazy = {"script": "def g():\n    from covidcxr.stage import used\n    used.f(1)\n"}
    assert digest_after(**lazy) != digest_after(**lazy, deep="VALUE = 2\n")


def test_string_values_count_as_code(digest_after) -> None:
    assert digest_after(deep="VALUE = 'a'\n") != digest_after(deep="VALUE = 'b'\n")

"""Which code a result was made with: a digest that formatting and comments do not change."""

import ast
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from covidcxr.errors import InputError

PACKAGE = Path(__file__).parent
NAME = PACKAGE.name
PLUMBING = ("logs.py", "errors.py", "provenance.py", "data/download.py", "data/repository.py")
"""Modules that cannot change a result: log lines, progress bars, the kind of an error, and how
files are fetched, since their content is held against published checksums."""


def code_digest(script: str | Path) -> str:
    """Return the digest of `script` and of every module of this package that it leads to.

    The digest is taken over the syntax trees without docstrings: only what changes behaviour
    counts. Imports inside functions do, `PLUMBING` does not. Sixteen hexadecimal digits.
    """
    script = Path(script)
    parts = [_read(script).digest]
    for module in sorted(_reachable(script)):
        parts.append(f"{module.relative_to(PACKAGE)} {_read(module).digest}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def step_digest(step: str) -> str:
    """Return the digest of step `<stage>/<step>`, see `code_digest`."""
    return code_digest(PACKAGE / f"{step}.py")


@dataclass(frozen=True)
class _Module:
    """A file of code: the digest of its syntax tree, and the files of this package it imports."""

    digest: str
    imports: tuple[Path, ...]


def _reachable(script: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = list(_read(script).imports)
    while waiting:
        module = waiting.pop()
        if module not in found and module.relative_to(PACKAGE).as_posix() not in PLUMBING:
            found.add(module)
            waiting.extend(_read(module).imports)
    return found


@cache
def _read(path: Path) -> _Module:
    """Read a file once: every step of the workflow asks for its digest when Snakemake starts."""
    names: list[str] = []
    written = _dump(ast.parse(path.read_text()), names)
    imports = dict.fromkeys(file for name in names for file in _files_of(name))
    return _Module(hashlib.sha256(written.encode()).hexdigest(), tuple(imports))


def _files_of(name: str) -> Iterator[Path]:
    """Yield the file of module `name`, if it is of this package, and of packages it stands in."""
    parts = name.split(".")
    if parts[0] != NAME:
        return
    for depth in range(len(parts)):
        place = PACKAGE.joinpath(*parts[1 : depth + 1])
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
        elif depth and place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _dump(node: object, names: list[str]) -> str:
    """Write a syntax tree as `ast.dump` does, whose form for empty fields differs by version.

    Docstrings are left out, and the names of what is imported added to `names`.
    """
    if isinstance(node, list):
        return f"[{', '.join([_dump(one, names) for one in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import):
        names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        # The package imports itself by full name only (ruff's TID252), so `level` is 0.
        names += [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
    elif isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    written = [
        f"{name}={_dump(one, names)}"
        for name, one in ast.iter_fields(node)
        if one is not None and one != []
    ]
    return f"{type(node).__name__}({', '.join(written)})"


def commit() -> str:
    """Return the commit of the checkout that this package stands in, "" where there is none.

    "+" after it: files of the checkout differ from the commit.
    """
    try:
        found = subprocess.run(
            ["git", "-C", PACKAGE, "describe", "--always", "--abbrev=10", "--dirty=+"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def share_folder() -> Path:
    """Return the folder of workflow, config and profiles: the wheel's, or that of the checkout.

    Raises
    ------
    InputError
        Neither holds them.
    """
    for folder in (PACKAGE / "share", PACKAGE.parents[1]):
        if (folder / "workflow/Snakefile").is_file():
            return folder
    raise InputError(f"{PACKAGE} came without its workflow: pip install 'covidcxr[workflow]'")

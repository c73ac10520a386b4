"""Which code a result was made with: a digest that formatting and comments do not change."""

import ast
import hashlib
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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
    digest = hashlib.sha256(_tree(script).encode())
    for module in sorted(_reachable(script)):
        digest.update(f"{module.relative_to(PACKAGE)}\0{_tree(module)}\0".encode())
    return digest.hexdigest()[:16]


def step_digest(step: str) -> str:
    """Return the digest of step `<stage>/<step>`, see `code_digest`."""
    return code_digest(PACKAGE / f"{step}.py")


def _reachable(script: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = list(_imports(script))
    while waiting:
        module = waiting.pop()
        if module not in found and module.relative_to(PACKAGE).as_posix() not in PLUMBING:
            found.add(module)
            waiting.extend(_imports(module))
    return found


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    return tuple(file for name in _imported_names(path) for file in _files_of(name))


def _imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The package imports itself by full name only (ruff's TID252), so `level` is 0.
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


@cache
def _tree(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return _dump(tree)


def _dump(node: object) -> str:
    """Write a syntax tree as `ast.dump` does, whose form for empty fields differs by version."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={_dump(value)}"
            for name, value in ast.iter_fields(node)
            if value not in (None, [])
        ]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    return repr(node)


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

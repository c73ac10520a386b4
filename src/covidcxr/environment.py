"""What the user's environment may not change: settings of libraries, pinned before their import.

A configuration of Keras, a switch of a numerical library or the locale can move a number or break a
step. Jobs of the workflow and the command `covidcxr` start from here instead.
"""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PINNED = {
    # No folder, so no `keras.json` is read or written there.
    "KERAS_HOME": os.devnull,
    "KERAS_BACKEND": "tensorflow",
    "LC_ALL": "C",
    "MPLBACKEND": "agg",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
REMOVED = (
    *("BLIS_", "CUBLAS_", "CUDNN_", "DNNL_", "GOTO_", "JOBLIB_", "KERAS_", "KMP_", "LANG", "LC_"),
    *("LOKY_", "MATPLOTLIB", "MKL_", "MPL", "NPY_", "NUMEXPR_", "NUMPY_", "NVIDIA_TF32", "OMP_"),
    *("ONEDNN_", "OPENBLAS_", "OPENCV_", "PANDAS_", "PYTHON", "SCIPY_", "SKLEARN_", "TF_"),
    *("TFLITE_", "TQDM_", "VECLIB_", "XLA_"),
    *("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE"),
)
"""Beginnings of the names of variables that switch something in Python or a library."""

KEPT = (
    # The machine's, not the result's.
    *("MPLCONFIGDIR", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR"),
    *("TF_GPU_HOST_MEM_LIMIT_IN_MB", "TF_PER_DEVICE_MEMORY_LIMIT_MB"),
    # Where Python finds its modules and keeps their compiled form.
    *("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONEXECUTABLE"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"),
    # Snakemake gives each job its threads in these.
    *(f"{name}_NUM_THREADS" for name in ("GOTO", "MKL", "NUMEXPR", "OMP", "OPENBLAS")),
    "VECLIB_MAXIMUM_THREADS",
)
XLA_KEPT = "--xla_gpu_cuda_data_dir"
"""The flag of `XLA_FLAGS` that says where CUDA is installed."""


def pinned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which results do not depend on the given one's settings."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in KEPT or not name.startswith(REMOVED)
    }
    flags = [flag for flag in environment.get("XLA_FLAGS", "").split() if XLA_KEPT in flag]
    if flags:
        kept["XLA_FLAGS"] = " ".join(flags)
    return kept | PINNED


def pin() -> set[str]:
    """Pin this process' environment, before a library reads it; return the names that changed.

    Where the user's folder cannot be written, caches go to the folder for temporary files.
    """
    before = dict(os.environ)
    after = pinned(before)
    for name, folder in (("MPLCONFIGDIR", ".config"), ("XDG_CACHE_HOME", ".cache")):
        if not writable(Path(after.get(name, Path("~").expanduser() / folder))):
            after[name] = _scratch()
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    for name in changed:
        if name in after:
            os.environ[name] = after[name]
        else:
            del os.environ[name]
    return changed


def restart_pinned() -> None:
    """Pin the environment; start this process once more if Python itself reads what changed."""
    if any(name.startswith(("LC_", "PYTHON")) for name in pin()):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collection, and Keras without what only its extras need.

    Keras tries scikit-learn and Matplotlib, for wrappers and galleries that nothing here uses, and
    goes on where they are missing. A job of seconds pays for either; a step's own imports of them
    are left alone.
    """
    sys.meta_path.insert(0, _NotForKeras)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        sys.meta_path.remove(_NotForKeras)


class _NotForKeras:
    """A finder that finds nothing, and hides some packages while Keras is being imported."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        spec = getattr(sys.modules.get("keras"), "__spec__", None)
        if name in ("matplotlib", "sklearn") and getattr(spec, "_initializing", False):
            raise ModuleNotFoundError(f"not for Keras: {name}", name=name)


def writable(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, or in the one where it would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _scratch() -> str:
    folder = Path(tempfile.gettempdir()) / f"covidcxr-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    own = folder.stat().st_uid == os.getuid()
    return str(folder if own else tempfile.mkdtemp(prefix="covidcxr-"))

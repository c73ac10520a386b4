"""What steps run in: the pinned packages, and nothing of the user's own settings."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from covidcxr.environment import KEPT, PINNED, REMOVED, pinned

from ..workflow.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def pythons() -> list[str]:
    """Return an interpreter of each supported version that is here, those of pyenv too."""
    kept = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*"))
    found = []
    for minor in range(11, 14):
        named = [str(path / "bin/python") for path in kept if path.name.startswith(f"3.{minor}.")]
        for python in [f"python3.{minor}", *named]:
            if (
                shutil.which(python)
                and not subprocess.run(
                    [python, "-c", ""], capture_output=True, check=False
                ).returncode
            ):
                found.append(python)
                break
    return found


def requirement(line: str) -> tuple[str, Requirement]:
    found = Requirement(line)
    return re.sub(r"[-_.]+", "-", found.name).lower(), found


def locked() -> dict[str, str]:
    lock = (REPOSITORY / "requirements.lock").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))


def test_conda_environment_has_the_locked_version_of_what_the_project_needs() -> None:
    environment = yaml.safe_load((REPOSITORY / "envs/covidcxr.yaml").read_text())
    pins = dict(map(requirement, environment["dependencies"][-1]["pip"]))
    assert list(pins) == [name for name, _ in map(requirement, PROJECT["dependencies"])]
    for name, pin in pins.items():
        assert str(pin.specifier) == f"=={locked()[name]}"


def test_lock_file_is_within_the_ranges_of_the_project() -> None:
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *chain.from_iterable(extras)]:
        name, needed = requirement(line)
        assert needed.specifier.contains(locked()[name]), line


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(REMOVED), st.text("ABC_", max_size=4)).map("".join), st.text()
    )
)
def test_switches_of_libraries_do_not_pass_and_other_variables_do(
    switches: dict[str, str],
) -> None:
    own = {"HOME": "/home/me", "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "3"}
    assert pinned(own | switches) == own | PINNED
    assert pinned(pinned(own | switches)) == pinned(own)


def test_only_the_place_of_cuda_passes_of_xlas_flags() -> None:
    given = {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_gpu_cuda_data_dir=/opt/cuda"}
    assert pinned(given)["XLA_FLAGS"] == "--xla_gpu_cuda_data_dir=/opt/cuda"
    assert not set(KEPT) & set(PINNED)


SETTINGS = """
import json, locale, os, sys
import keras, matplotlib
from covidcxr.evaluate.style import figure_style
with figure_style():
    rc = {name: matplotlib.rcParams[name] for name in ("font.size", "lines.linestyle", "backend")}
print(json.dumps({
    "keras": [keras.config.floatx(), keras.config.epsilon(), keras.config.backend(),
              keras.config.image_data_format(), keras.config.max_epochs()],
    "figures": rc, "hash": hash("a"), "encoding": open(os.devnull).encoding,
    "flags": [sys.flags.optimize, sys.flags.utf8_mode, sys.warnoptions],
}))
"""


def shown(folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Start in a folder as the command does, and return what the settings are."""
    start = f"from covidcxr.environment import restart_pinned; restart_pinned()\n{SETTINGS}"
    (folder / "start.py").write_text(start)
    done = subprocess.run(
        [sys.executable, "start.py"],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings without any of the user's."""
    found = shown(tmp_path_factory.mktemp("plain"), {})
    assert found["keras"] == ["float32", 1e-7, "tensorflow", "channels_last", None]
    assert found["figures"]["font.size"] == 8
    assert found["encoding"] == "utf-8"
    return found


@pytest.mark.parametrize("home", ["settings", "none"])
def test_the_users_settings_change_nothing(
    home: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "settings/.keras").mkdir(parents=True)
    odd = {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}
    (tmp_path / "settings/.keras/keras.json").write_text(json.dumps(odd | {"backend": "torch"}))
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linestyle: --\n")
    # The list of fonts takes seconds to make, and is no setting.
    kept = tmp_path / "settings/.cache/matplotlib"
    shutil.copytree(matplotlib.get_cachedir(), kept, ignore=shutil.ignore_patterns("*.tex*"))
    variables = {
        "HOME": str(tmp_path / "settings") if home == "settings" else os.devnull,
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "1",
        "LC_ALL": "de_DE.ISO-8859-1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "17",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    assert shown(tmp_path, variables) == plain


QUICK = """
import gc, sys
from covidcxr.environment import quick_imports
with quick_imports():
    import keras
    print(gc.isenabled(), "sklearn" in sys.modules, "matplotlib" in sys.modules)
    import matplotlib, sklearn
print(gc.isenabled(), "_NotForKeras" in str(sys.meta_path), sklearn.__name__, matplotlib.__name__)
"""


def test_keras_is_imported_without_its_extras_and_a_step_may_import_them_itself() -> None:
    done = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
    inside, after = done.stdout.splitlines()
    assert inside == "False False False"
    assert after == "True False sklearn matplotlib"


def test_code_digest_is_the_same_on_every_version_of_python() -> None:
    if len(pythons()) < 2:
        pytest.skip("one version of Python only is on this machine")
    code = "from covidcxr.provenance import code_digest, PACKAGE\n"
    code += "for path in sorted(PACKAGE.rglob('*.py')): print(path, code_digest(path))"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    digests = {
        subprocess.run(
            [python, "-c", code], env=environment, capture_output=True, check=True
        ).stdout
        for python in pythons()
    }
    assert len(digests) == 1

"""The wheel carries the workflow as `covidcxr/share`; in a checkout it stands once, at the root."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = ("workflow", "config", "profiles", "envs")


class BuildWithWorkflow(build_py):
    """Copy the workflow's folders beside the package's modules, unless the install is editable."""

    def run(self) -> None:
        """Copy the modules, then the folders."""
        super().run()
        for name in () if self.editable_mode else SHARED:
            place = Path(self.build_lib) / "covidcxr/share" / name
            copytree(name, place, dirs_exist_ok=True, ignore=ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithWorkflow})

"""What pyproject.toml cannot say: the page lies where the WebUI looks for it, beside the package.

An installed package has it inside (lib_singlelora/embedded/paths.py).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPage(build_py):
    """Copies the page into the package that is built."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "lib_singlelora"
        shutil.copytree("javascript", package / "javascript", dirs_exist_ok=True)
        shutil.copy("style.css", package)


setup(cmdclass={"build_py": BuildWithPage})

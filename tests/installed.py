"""Programs that no Python package brings: found, or their test is skipped, but never where it counts.

On somebody's laptop a test without its program is skipped and says what to install. In CI it fails, as a skip there
would hide that nothing is tested; `.ci/run` installs them.
"""

import os
import shutil

import pytest

#: Debian keeps servers where users have no path to.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def installed(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails in CI."""
    if found := shutil.which(program, path=_PATH):
        return found
    missing = f"{program} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)

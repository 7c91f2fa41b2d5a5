"""Start here when you have no WebUI: `python singlelora.py demo`.

This file only finds a Python that fits and hands over to lib_singlelora/bootstrap/launcher.py.
Its syntax is old on purpose: an old Python must be able to read it, to say that it is too old.
"""
from __future__ import print_function

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
OLDEST = (3, 10)
NEWEST = (3, 13)  # The newest one for which every package that is installed has wheels.


def fits(version):
    return OLDEST <= tuple(version)[:2] <= NEWEST


def other_pythons():
    """Command lines of the Pythons that may be there, newest first."""
    names = ["3.%d" % minor for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    if os.name == "nt":
        return [["py", "-" + name] for name in names]
    return [["python" + name] for name in names]


def works(command):
    """Whether the command starts a Python that fits; a pyenv shim, for one, exists and may not."""
    check = "import sys; sys.exit(not %r <= sys.version_info[:2] <= %r)" % (OLDEST, NEWEST)
    try:
        with open(os.devnull, "w") as nowhere:
            return subprocess.call(command + ["-c", check], stdout=nowhere, stderr=nowhere) == 0
    except OSError:
        return False


def hand_over(command):
    """Become the command; on Windows, where that would free the console too early, wait for it."""
    if os.name != "nt":
        os.execvp(command[0], command)
    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:  # The child got it as well and decides.
            pass


def main():
    if not fits(sys.version_info):
        found = "%d.%d" % sys.version_info[:2]
        for command in other_pythons():
            if works(command):
                hand_over(command + [os.path.join(ROOT, "singlelora.py")] + sys.argv[1:])
        if tuple(sys.version_info)[:2] < OLDEST:
            print("singlelora: found Python %s, expected %d.%d to %d.%d; install one of these and"
                  " call it by its name, such as: python3.12 singlelora.py demo"
                  % ((found,) + OLDEST + NEWEST), file=sys.stderr)
            sys.exit(1)
        print("singlelora: Python %s is newer than %d.%d; if a package has no wheel for it,"
              " install an older one too" % ((found,) + NEWEST), file=sys.stderr)
    sys.path.insert(0, ROOT)
    from lib_singlelora.bootstrap import launcher

    sys.exit(launcher.main(sys.argv[1:]))


if __name__ == "__main__":
    main()

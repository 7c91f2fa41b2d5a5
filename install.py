"""The WebUI runs this before it starts: it adds what is missing, changes no version, and says
nothing when all is there.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from lib_singlelora.bootstrap.webui_requirements import add, wanted  # noqa: E402


def main() -> None:
    """Add what is missing; the WebUI starts whatever happens here."""
    missing = wanted()
    if missing:
        add(missing, ROOT / ".install-failed.json", lambda text: sys.stdout.write(text + "\n"))


if __name__ == "__main__":
    main()

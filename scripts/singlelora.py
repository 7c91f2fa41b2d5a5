"""Entrance for AUTOMATIC1111's WebUI.

The WebUI runs every scripts/*.py of an extension when it starts and at "Reload UI".
"""

import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

try:
    from lib_singlelora.extension.register import register
except ImportError as error:
    # The WebUI must start whatever is missing here: its console and a tab say what.
    traceback.print_exc()
    from lib_singlelora.extension.missing_packages import register_missing

    register_missing(error)
else:
    register()

"""Start Home Assistant; run by the Python in which it is installed, with the arguments of its own command `hass`.

It wants Python 3.13.2 for the fixes of 3.13.1 and 3.13.2; nothing that these tests use depends on them.
"""

from __future__ import annotations

import sys

import homeassistant.const  # type: ignore[import-not-found,unused-ignore]

homeassistant.const.REQUIRED_PYTHON_VER = min(homeassistant.const.REQUIRED_PYTHON_VER, sys.version_info[:3])

from homeassistant.__main__ import main  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

sys.exit(main())

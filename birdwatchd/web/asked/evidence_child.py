"""Be the process that makes one evidence map: the last to get a processor, the first to go where memory is short."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from birdwatchd.camera.process.memory import bound_data
from birdwatchd.commands.why import explain
from birdwatchd.errors import BirdwatchError, ModelMissing
from birdwatchd.settings.config import Config
from birdwatchd.store.media import Media
from birdwatchd.web.asked.evidence import KIND, Evidence, write_evidence
from birdwatchd.web.pictures.kept import KeptPictures

__all__ = ["main", "make_map"]

# torch and birder have 1.2 GB of it (with the demo's small model); the largest published weights of birds have 0.5 GB,
# and are there twice while they are read.
MOST_MB = 4096
MOST_CPU_S = 1200  # of all its threads together
NO_MODEL = "run birdwatchd with it once, or `birdwatchd check --probe`: both fetch it; then ask again"


def make_map(order: dict[str, Any]) -> dict[str, str]:
    """Make a map and keep it; returns why there is none, and what to do: nothing where there is one."""
    config = Config.model_validate(order["config"])
    config = config.model_copy(update={"model": config.model.model_copy(update={"download": False})})
    crop, media = str(order["crop"]), Media(config.home, config.without_pictures)
    version = media.version(crop)
    if version is None:
        return {"problem": "the picture is not kept any more", "hint": ""}
    try:
        found = explain(config, config.home / crop)
    except ModelMissing:
        return {"problem": f"the model {config.model.name} is not on this machine", "hint": NO_MODEL}
    except BirdwatchError as error:
        return {"problem": error.message, "hint": error.hint}
    except MemoryError:
        return {"problem": "there is not enough memory for the model", "hint": ""}
    evidence = Evidence(found.name, round(found.probability, 4), found.model, str(order["weights"]))
    if not KeptPictures(media).put(crop, KIND, write_evidence(found.image, evidence), version):
        return {"problem": "the map cannot be kept", "hint": "the disk is full, or the home is not yours to write to"}
    return {}


def main() -> int:
    """Do what stdin says; returns the exit status."""
    os.nice(19)
    # A library of the model's looks for semaphores when it is imported, and warns where there can be none, as here.
    # Nothing here uses its processes: this switches them off.
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    bound_data(MOST_MB)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_page, name="stdin", daemon=True).start()
    sys.stdout.write(json.dumps(make_map(order)))
    return 0


def _end_with_the_page() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())

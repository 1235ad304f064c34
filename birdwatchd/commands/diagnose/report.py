"""`birdwatchd report`: collect what a bug report needs into one archive, with the secrets taken out.

Every part is masked when it is collected, and all of them are searched once more before anything is written. A part
that cannot be had is named with the reason; the others are there all the same.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import sqlite3
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from birdwatchd import __version__
from birdwatchd.address import Secret
from birdwatchd.commands.status import examine
from birdwatchd.commands.terminal import err, out, plain, shown
from birdwatchd.disk import DiskRoom
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.monitor.local_socket import NobodyAnswers, ask
from birdwatchd.monitor.masking import HIDDEN, Mask, secrets_of
from birdwatchd.monitor.scrape import NotServed, read_live
from birdwatchd.records import rfc3339
from birdwatchd.settings.config import Config, default_home
from birdwatchd.settings.load import load_config
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.rescue.examine import examine_database
from birdwatchd.store.rescue.salvage import open_raw
from birdwatchd.text_file import NotText, read_text
from birdwatchd.whole_file import write_whole

__all__ = ["run_report"]

MOST_LINES, MOST_LENGTH = 2000, 2000  # of the log, and characters of each
MOST_CONFIG = 1_000_000  # bytes
JOURNAL_S = 20.0
UNIT = "birdwatchd.service"
LIBRARIES = (
    *("torch", "torchvision", "birder", "numpy", "av", "opencv-python-headless", "pillow", "sqlalchemy", "alembic"),
    *("pydantic", "paho-mqtt", "apprise", "prometheus-client"),
)
_REMOVED = ("latitude", "longitude", "username")
_KEY = re.compile(r"^(\s*(?:- )?[\w.-]+:)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Station:
    """What the parts are collected from; `config` is None where the file cannot be used, with the `problem`."""

    home: Path
    config: Config | None
    text: str
    problem: str
    log_file: Path | None
    now: datetime


class _Missing(Exception):
    """A part cannot be had; the text says why."""


def run_report(config_file: Path | None, file: Path, *, home: Path | None, log_file: Path | None) -> int:
    """Write the archive and say what is in it.

    Args:
        config_file: None for the defaults.
        file: ends with .zip, .tar.gz or .tgz.
        home: instead of that of the configuration.
        log_file: its end is taken instead of the daemon's own newest lines.

    Raises:
        ConfigError: the archive cannot be written there.
    """
    if not file.name.endswith((".zip", ".tar.gz", ".tgz")):
        raise ConfigError(f"{file}: what kind of archive is this?", "let its name end with .zip or .tar.gz")
    station = _station(config_file, home, log_file)
    mask = Mask(secrets_of(station.config, station.text, os.environ))
    parts: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, collect in PARTS.items():
        try:
            parts[name] = mask.text(collect(station))
        except (_Missing, BirdwatchError, NotServed, NobodyAnswers, OSError, sqlite3.Error) as error:
            missing[name] = mask.text(plain(error))
    parts = {"README.txt": mask.text(_readme(station, parts, missing)), **parts}
    if leaking := [name for name, text in parts.items() if mask.leaks(text)]:
        raise ConfigError(f"{', '.join(leaking)} would hold a secret; nothing was written", "please report this bug")
    _write(file, parts)
    out.print(f"{shown(file)}: {', '.join(parts)}", soft_wrap=True)
    for name, why in missing.items():
        err.print(f"  without {name}: {shown(why)}", soft_wrap=True)
    out.print("Look through it before you send it: it names cameras, hosts and birds.", soft_wrap=True)
    return 0


def _station(config_file: Path | None, home: Path | None, log_file: Path | None) -> _Station:
    config, problem, text = None, "", ""
    if config_file is not None:
        try:
            text = read_text(config_file, most_bytes=MOST_CONFIG)
        except NotText as why:
            problem = f"{config_file}: {why}"
    if not problem:
        try:
            config = load_config(config_file)
        except ConfigError as error:
            problem = "\n".join(error.problems)
    if config is not None and home is not None:
        config = config.model_copy(update={"home": home})
    where = home or (config.home if config is not None else default_home())
    return _Station(where, config, text, problem, log_file, datetime.now(UTC))


def _readme(station: _Station, parts: Mapping[str, str], missing: Mapping[str, str]) -> str:
    lines = [f"birdwatchd {__version__}, report of {rfc3339(station.now)}", ""]
    lines += [f"Secrets, addresses of channels and the station's position are shown as {HIDDEN}.", ""]
    lines += [f"{name}: {len(text):,} characters" for name, text in parts.items()]
    lines += [f"{name} is missing: {why}" for name, why in missing.items()]
    return "\n".join(lines) + "\n"


# -- parts ------------------------------------------------------------------------------------------------------------


def _configuration(station: _Station) -> str:
    """The configuration in use, without secrets; of one that cannot be used, its keys and what is wrong."""
    if station.config is None:
        keys = "\n".join(match[1] for match in _KEY.finditer(station.text))
        return f"{station.problem}\n\nits keys, without values:\n{keys}\n"
    return json.dumps(_without_secrets(station.config), indent=1, ensure_ascii=False) + "\n"


def _without_secrets(value: Any, key: str = "") -> Any:
    """A setting as JSON: secrets and the position hidden, of a path only its last part."""
    if key in _REMOVED or isinstance(value, Secret):
        return HIDDEN if value not in (None, "", Secret("")) else None
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {name: _without_secrets(getattr(value, name), name) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _without_secrets(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(one) for one in value]
    if isinstance(value, Path):
        return "given" if key in ("bar_chart", "names_file") else f"…/{value.name}"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _versions(station: _Station) -> str:
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    facts: dict[str, Any] = {
        "birdwatchd": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None,
        "root": os.geteuid() == 0,
        "clock": rfc3339(station.now),
    }
    for name in LIBRARIES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = None
    return json.dumps(facts, indent=1) + "\n"


def _status(station: _Station) -> str:
    return json.dumps(asdict(examine(_config(station), station.now)), indent=1, ensure_ascii=False) + "\n"


def _metrics(station: _Station) -> str:
    config = _config(station)
    if not config.metrics.bind:
        raise _Missing("metrics.bind is not set, so nobody serves them")
    lines = []
    for (name, labels), value in sorted(read_live(config.metrics.local_url).values.items(), key=repr):
        shown_labels = ",".join(f'{key}="{text}"' for key, text in sorted(labels))
        lines.append(f"{name}{{{shown_labels}}} {value:g}")
    return "\n".join(lines) + "\n"


def _database(station: _Station) -> str:
    path = station.home / FILE_NAME
    found = examine_database(station.home)
    facts = asdict(found) | {"bytes": path.stat().st_size if found.exists else 0, "rows": {}}
    if found.exists and not found.problems:
        with closing(open_raw(path, read_only=True)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            for (raw,) in names:
                name = raw.decode() if isinstance(raw, bytes) else str(raw)
                facts["rows"][name] = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # names of tables
    return json.dumps(facts, indent=1) + "\n"


def _files(station: _Station) -> str:
    """How many files of each kind the home has, and their size; and the room on its disk."""
    kinds: dict[str, list[int]] = {}
    for folder, _, names in os.walk(station.home):
        below = Path(folder).relative_to(station.home).parts[:1]
        for name in names:
            kind = "/".join((*below, f"*{Path(name).suffix}" if below else name))
            try:
                size = os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # it went meanwhile
                continue
            kinds[kind] = [kinds.get(kind, [0, 0])[0] + 1, kinds.get(kind, [0, 0])[1] + size]
    room = DiskRoom.at(station.home)
    facts = {"files_and_bytes": dict(sorted(kinds.items())), "disk_free": room.free, "disk_size": room.total}
    return json.dumps(facts, indent=1) + "\n"


def _log(station: _Station) -> str:
    """The end of a log file, else the newest lines of the running daemon, else of systemd's journal."""
    if station.log_file is not None:
        data = station.log_file.read_bytes()[-MOST_LINES * MOST_LENGTH :]
        return _lines(data.decode("utf-8", "replace").splitlines())
    try:
        return _lines([str(answer["line"]) for answer in ask(station.home, "log")])
    except (NobodyAnswers, KeyError) as why:
        not_running = str(why)
    command = ["journalctl", "--unit", UNIT, "--lines", str(MOST_LINES), "--output", "cat", "--no-pager", "--quiet"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=JOURNAL_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        found = b""
    if not found.strip():
        raise _Missing(f"{not_running}, and the journal has nothing of {UNIT}; give the log with --log FILE")
    return _lines(found.decode("utf-8", "replace").splitlines())


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(plain(line)[:MOST_LENGTH] for line in lines[-MOST_LINES:]) + "\n"


def _config(station: _Station) -> Config:
    if station.config is None:
        raise _Missing("the configuration cannot be used")
    return station.config


PARTS: dict[str, Callable[[_Station], str]] = {
    "configuration.txt": _configuration,
    "versions.json": _versions,
    "status.json": _status,
    "metrics.txt": _metrics,
    "database.json": _database,
    "files.json": _files,
    "log.txt": _log,
}


# -- archive ----------------------------------------------------------------------------------------------------------


def _write(file: Path, parts: Mapping[str, str]) -> None:
    """Write the archive in place of what was there, readable for its owner only.

    Raises:
        ConfigError: it cannot be written.
    """
    data = io.BytesIO()
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in parts.items():
                archive.writestr(f"birdwatchd-report/{name}", text.encode("utf-8", "replace"))
    else:
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for name, text in parts.items():
                content = text.encode("utf-8", "replace")
                entry = tarfile.TarInfo(f"birdwatchd-report/{name}")  # of nobody, from 1970
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    try:
        write_whole(file, data.getvalue(), 0o600)
    except OSError as error:
        hint = "choose a folder that exists and that you may write to"
        raise ConfigError(f"{file}: {error.strerror}", hint) from None

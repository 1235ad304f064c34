"""Find what `${NAME}` in the configuration stands for: in the environment, or in a credential, a file of that name.

Credentials are what systemd hands over to a service (`LoadCredential=`, in the folder `$CREDENTIALS_DIRECTORY`), and
the files in `credentials/` beside the configuration, which commands read that a person types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from birdwatchd.errors import ConfigError
from birdwatchd.text_file import NotText, read_text

__all__ = ["CREDENTIALS", "LOADED", "Variables"]

CREDENTIALS = "credentials"  # the folder beside the configuration
LOADED = "birdwatchd"  # systemd names the files of a folder that a service loads `birdwatchd_NAME`
MOST_BYTES = 1_000_000


class Variables(Mapping[str, str]):
    """Values by name; a credential is read when it is asked for."""

    def __init__(self, environ: Mapping[str, str], beside: Path | None = None) -> None:
        """
        Args:
            environ: environment variables, which count most.
            beside: the configuration file.
        """
        self._environ = environ
        self._files: dict[str, Path] = {}
        self._barred: Path | None = None  # a folder of credentials that this user may not enter
        if beside is not None:
            self._add(beside.parent / CREDENTIALS)
        if loaded := environ.get("CREDENTIALS_DIRECTORY"):
            self._add(Path(loaded))

    def _add(self, folder: Path) -> None:
        try:
            files = [file for file in sorted(folder.iterdir()) if file.is_file()]
        except PermissionError:
            self._barred = folder
            return
        except OSError:  # there is none
            return
        for file in files:
            self._files[file.name.removeprefix(f"{LOADED}_")] = file

    def __getitem__(self, name: str) -> str:
        """The value, of a file without the line break at its end.

        Raises:
            KeyError: there is none.
            ConfigError: its file cannot be read.
        """
        if name in self._environ:
            return self._environ[name]
        file = self._files[name]
        try:
            return read_text(file, most_bytes=MOST_BYTES).rstrip("\r\n")
        except NotText as problem:
            hint = f"it stands for ${{{name}}} in the configuration; let the user that runs birdwatchd read it"
            raise ConfigError(f"{file} {problem}", hint) from None

    def __contains__(self, name: object) -> bool:
        """Whether there is such a value.

        Raises:
            ConfigError: nobody can tell: this user may not look.
        """
        if name in self._environ or name in self._files:
            return True
        if self._barred is not None:
            hint = f"${{{name}}} in the configuration may be there; run it as root"
            raise ConfigError(f"{self._barred} cannot be read (Permission denied)", hint)
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ.keys() | self._files.keys())

    def __len__(self) -> int:
        return len(self._environ.keys() | self._files.keys())

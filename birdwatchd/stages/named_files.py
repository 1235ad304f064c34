"""Read the files that a configuration names before anything slow begins: passwords, certificates, lists of species.

Loading PyTorch and a model takes ten seconds and more; who mistyped the path of a password should not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from birdwatchd.errors import ConfigError
from birdwatchd.mqtt.connection import Credentials
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.names import read_names
from birdwatchd.species.verdict.ebird import read_bar_chart

__all__ = ["require_named_files", "require_species_files"]


def require_named_files(config: Config) -> None:
    """Refuse a configuration that names files which cannot be used; the page's password is seen to by the page.

    Raises:
        ConfigError: all of them are named.
    """
    parts: list[Callable[[], object]] = [partial(require_species_files, config.species)]
    if config.mqtt.url:
        parts.append(partial(Credentials.read, config.mqtt))
    for name, channel in config.channels.items():
        parts += [partial(channel.read_address, name), partial(channel.read_headers, name)]
    _read_all(parts)


def require_species_files(species: SpeciesSettings) -> None:
    """The same for the bar chart and the table of names, which is all that commands without messages need.

    Raises:
        ConfigError: all that cannot be used are named.
    """
    parts: list[Callable[[], object]] = []
    if species.bar_chart is not None:
        parts.append(partial(read_bar_chart, species.bar_chart))
    if species.names_file is not None:
        parts.append(partial(read_names, species.names_file, species.names_language))
    _read_all(parts)


def _read_all(parts: list[Callable[[], object]]) -> None:
    problems: list[str] = []
    for read in parts:
        try:
            read()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError("; ".join(problems), problems=tuple(problems))

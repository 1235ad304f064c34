"""Check the configuration, and test what it names: cameras, model, database, broker, channels.

Everything is looked at, also after the first thing that fails: who drives to a station wants to know of all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from birdwatchd.commands.terminal import counted, out, shown, too_small
from birdwatchd.errors import BirdwatchError, ConfigError, StoreError
from birdwatchd.records import CameraState
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings

__all__ = ["check_config", "list_probes", "probe_all", "run_check"]

BROKER_TIMEOUT_S = 10.0


def run_check(config: Config, path: Path | None, *, probe: bool) -> int:
    """Summarise a valid configuration and, with `probe`, test all that it names; 1 if anything of it fails.

    Raises:
        ConfigError, StoreError: without `probe`: files that the configuration names, or its home, cannot be used.
    """
    from birdwatchd.store.rescue.usable import is_usable_home

    problems: tuple[str, ...] = ()
    try:
        check_config(config, path)
    except ConfigError as error:
        problems = error.problems
    if probe:
        return probe_all(config, problems)
    try:
        is_usable_home(config.home)
    except StoreError as error:
        if not problems:
            raise
        problems = (*problems, str(error))
    if problems:
        raise ConfigError("; ".join(problems), problems=problems)
    out.print("[bold green]good[/]")
    return 0


def check_config(config: Config, path: Path | None) -> None:
    """Summarise a valid configuration; warn of settings that are allowed but probably mistakes.

    Raises:
        ConfigError: files that it names cannot be used; all of them are named.
    """
    out.print(shown(path or "built-in defaults"), soft_wrap=True)
    enabled = [key for key, camera in config.cameras.items() if camera.enabled]
    none_yet = "none yet; add one below `cameras:`, or let `birdwatchd init` write a configuration"
    facts = {
        "cameras": ", ".join(enabled) or none_yet,
        "model": config.model.file or config.model.name,
        "home": config.home,
        "broker": config.mqtt.url or "none; nothing is published",
        "page": f"{config.web.local_url}, while `birdwatchd run` runs" if config.web.bind else "none; `web: off`",
    }
    for name, fact in facts.items():
        out.print(f"  {name:<10} {shown(fact)}", soft_wrap=True)
    _print_privacy(config.cameras)
    problems: list[str] = []
    for part in (
        partial(_print_expected, config.species),
        partial(_read_credentials, config),
        partial(_read_page_password, config),
        *(partial(_print_channel, config, name) for name in config.channels),
        partial(_print_rules, config),
    ):
        try:
            part()
        except ConfigError as error:
            problems += error.problems
    if config.metrics.bind:
        out.print(f"  {'metrics':<10} {shown(config.metrics.local_url)}/metrics", soft_wrap=True)
    if not config.metrics.is_local:
        _warn(
            f"Whoever reaches {config.metrics.bind} can read the metrics:",
            "they need no password. They hold no address, but say when which camera sees birds and whether it works.",
        )
    if problems:
        raise ConfigError("; ".join(problems), problems=tuple(problems))


def _read_credentials(config: Config) -> None:
    """Raises ConfigError where the broker's password or certificates cannot be read."""
    from birdwatchd.mqtt.connection import Credentials

    if config.mqtt.url:
        Credentials.read(config.mqtt)


def _read_page_password(config: Config) -> None:
    """Raises ConfigError where the hash of the page's password cannot be read."""
    config.web.read_password_hash()


def _print_privacy(cameras: Mapping[str, CameraSettings]) -> None:
    """Print which pictures are kept where that is not the usual, and what is masked in them."""
    kept = {"crops": "", "frames": "whole frames are kept too", "nothing": "no picture is kept or sent"}
    for key, camera in cameras.items():
        masked = f"{counted(len(camera.mask), 'place')} masked, so no clips" if camera.mask else ""
        if said := ", ".join(filter(None, (masked, kept[camera.store]))):
            out.print(f"  {'pictures':<10} {shown(f'{key}: {said}')}", soft_wrap=True)


def _print_channel(config: Config, name: str) -> None:
    """Print a channel; raises ConfigError where the file with its address or headers cannot be used."""
    settings = config.channels[name]
    used = [rule.name for rule in config.alerts if name in rule.to]
    way = "webhook" if settings.is_webhook else "Apprise"
    said = f"{name} ({way}), for {', '.join(used) or 'no rule; name it below `to` of a rule'}"
    out.print(f"  {'channel':<10} {shown(said)}", soft_wrap=True)
    settings.read_address(name)
    settings.read_headers(name)


def _print_rules(config: Config) -> None:
    """Print alert rules, and warn of those that are probably mistakes."""
    from birdwatchd.alerts.engine import build_station, unknown_names

    for rule in config.alerts:
        targets = [*rule.to, *(["MQTT"] if rule.mqtt and config.mqtt.url else [])]
        said = f"{rule.name}: {', '.join(rule.when)}; sent to {', '.join(targets) or 'nothing yet'}"
        out.print(f"  {'rule':<10} {shown(said)}", soft_wrap=True)
        if not targets:
            _warn(f"Alerts of rule {rule.name} go nowhere:", "name a channel below `to`, or set mqtt.url.")
    if config.alerts:
        for rule_name, bird in unknown_names(config.alerts, build_station(config).bird_names):
            _warn(f"Unknown species {bird} in rule {rule_name}:", "check the spelling, or the names of your own model.")


def _warn(what: str, remedy: str) -> None:
    out.print(f"[bold yellow]{shown(what)}[/] {shown(remedy)}", soft_wrap=True)


def _print_expected(species: SpeciesSettings) -> None:
    """Print the lists and files that say which species to expect; warn when there are none."""
    from birdwatchd.species.names import read_names
    from birdwatchd.species.verdict.ebird import read_bar_chart

    active = [f"{len(names)} on `{key}`" for key in ("allow", "deny", "always") if (names := getattr(species, key))]
    if species.months:
        active.append(f"months of {len(species.months)}")
    if species.bar_chart is not None:
        chart = read_bar_chart(species.bar_chart)
        active.append(f"bar chart of {len(chart.taxa)} species from {chart.checklists.sum():,.0f} checklists")
    if species.names_file is not None:
        names = read_names(species.names_file, species.names_language)
        out.print(f"  {'names':<10} {len(names)} in {shown(species.names_file)}", soft_wrap=True)
    if active:
        out.print(f"  {'expected':<10} {shown(', '.join(active))}", soft_wrap=True)
        return
    out.print(
        "[bold yellow]No bar chart or species list is set,[/] so birds from other regions and seasons are considered"
        " just as likely as local ones.\n  Set species.bar_chart to a file from ebird.org, or list your birds below"
        " species.allow.",
        soft_wrap=True,
    )


def probe_all(config: Config, unusable: Sequence[str] = ()) -> int:
    """Test everything and print one line each, then what failed; returns 1 if anything did.

    Args:
        unusable: what cannot be used of the configuration already.
    """
    probes = list_probes(config)
    for key, camera in config.cameras.items():
        if not camera.enabled:
            out.print(f"[dim]not tried[/]  {shown(f'camera {key}: enabled is false')}", soft_wrap=True)
    failed = ["configuration"] if unusable else []
    for problem in unusable:
        out.print(f"[red]fails[/]  {shown(f'configuration: {problem}')}", soft_wrap=True)
    for name, probe in probes:
        try:
            out.print(f"[green]works[/]  {shown(f'{name}: {probe()}')}", soft_wrap=True)
        except BirdwatchError as error:
            failed.append(name)
            out.print(f"[red]fails[/]  {shown(f'{name}: {error}')}", soft_wrap=True)
    if not failed:
        out.print(f"[bold green]all {len(probes)} work[/]")
        return 0
    what = f"{len(failed)} of {len(probes) + bool(unusable)} fail:"
    out.print(f"[bold red]{what}[/] {shown(', '.join(failed))}", soft_wrap=True)
    return 1


def list_probes(config: Config) -> list[tuple[str, Callable[[], str]]]:
    """What can be tested, in this order: names, and what says what was found or raises BirdwatchError."""
    probes: list[tuple[str, Callable[[], str]]] = [("database", partial(_probe_store, config))]
    for key, camera in config.cameras.items():
        if camera.enabled:
            probes += [(name, partial(_probe_camera, config, key, stream)) for name, stream in _streams(key, camera)]
    if config.mqtt.url:
        probes.append(("broker", partial(_probe_broker, config)))
    probes += [(f"channel {name}", partial(_probe_channel, config, name)) for name in config.channels]
    probes.append(("model", partial(_probe_model, config)))
    return probes


def _streams(key: str, camera: CameraSettings) -> list[tuple[str, str]]:
    """What is opened of a camera: names for people, and keys of the configuration."""
    gate = [(f"gate_source of {key}", "gate_source")] if camera.gate_source is not None else []
    return [(f"camera {key}", "source"), *gate]


def _probe_store(config: Config) -> str:
    from birdwatchd.store import Store
    from birdwatchd.store.rescue.usable import is_usable_home

    if not is_usable_home(config.home):  # made by who checks, it would be theirs and not the service's
        return f"{config.home} can be made"
    Store.open(config.home, zone=config.station.zone, check=True).close()
    return f"{config.home} is writable"


def _probe_camera(config: Config, key: str, stream: str) -> str:
    from birdwatchd.camera.process.supervisor import probe_camera

    settings = config.cameras[key]
    source = getattr(settings, stream)
    status = probe_camera(key, settings.model_copy(update={"source": source, "gate_source": None}))
    if status.state is not CameraState.ONLINE:
        raise BirdwatchError(status.detail or f"{source} gave no picture")
    size = f"{status.width}×{status.height} pixels"
    return size if stream == "gate_source" else f"{size}; {too_small(settings, status.width, status.height)}"


def _probe_broker(config: Config) -> str:
    from birdwatchd.mqtt.probe import probe_broker

    return probe_broker(config, BROKER_TIMEOUT_S)


def _probe_channel(config: Config, name: str) -> str:
    from birdwatchd.channels.apprise import build_service

    settings = config.channels[name]
    address = settings.read_address(name)
    kind = "a webhook" if settings.is_webhook else f"{build_service(address).service_name} by Apprise"
    return f"{kind}; nothing was sent, `birdwatchd rules send {name}` sends a test"


def _probe_model(config: Config) -> str:
    from birdwatchd.species.network.network import load_network
    from birdwatchd.species.verdict.build import shown_labels
    from birdwatchd.species.verdict.fusion import unmatched_species
    from birdwatchd.species.verdict.prior import Prior
    from birdwatchd.species.verdict.same_species import SameSpecies

    began = datetime.now(UTC)
    network = load_network(config.model, config.model_cache)
    took = (datetime.now(UTC) - began).total_seconds()
    labels = shown_labels(network.labels, config.species)
    if wrong := unmatched_species(config.species, labels):
        raise ConfigError(
            f"{network.model_id} does not know: {', '.join(f'{name} (species.{key})' for key, name in wrong)}",
            "check the spelling against the model's labels",
        )
    species = SameSpecies(labels).labels
    prior = Prior(species, config.species, config.station.zone)
    if prior.missing:
        out.print(
            f"  {len(prior.missing)} of the {len(species)} classes are not in the bar chart, or have another name"
            f" there: {shown(', '.join(prior.missing[:8]))}{' …' if len(prior.missing) > 8 else ''}",
            soft_wrap=True,
        )
    return f"{network.model_id} on {network.device}, {len(network.labels)} classes, ready in {took:.1f} s"

"""Check the configuration, and test what it names: cameras, model, database, broker, channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from birdwatchd.commands.terminal import counted, out, shown, too_small
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.records import CameraState
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.species import SpeciesSettings

__all__ = ["check_config", "probe_all"]

BROKER_TIMEOUT_S = 10.0


def check_config(config: Config, path: Path | None) -> None:
    """Summarise a valid configuration; warn of settings that are allowed but probably mistakes."""
    out.print(f"{shown(path or 'built-in defaults')}: good", soft_wrap=True)
    enabled = [key for key, camera in config.cameras.items() if camera.enabled]
    facts = {
        "cameras": ", ".join(enabled) or "none yet; add one below `cameras:`",
        "model": config.model.file or config.model.name,
        "home": config.home,
        "broker": config.mqtt.url or "none; nothing is published",
    }
    for name, fact in facts.items():
        out.print(f"  {name:<10} {shown(fact)}", soft_wrap=True)
    _print_privacy(config.cameras)
    _print_expected(config.species)
    if config.mqtt.url:
        from birdwatchd.mqtt.connection import Credentials

        Credentials.read(config.mqtt)
    _print_notifications(config)
    if config.metrics.bind:
        out.print(f"  {'metrics':<10} {shown(config.metrics.local_url)}/metrics", soft_wrap=True)
    if not config.metrics.is_local:
        _warn(
            f"Whoever reaches {config.metrics.bind} can read the metrics:",
            "they need no password. They hold no address, but say when which camera sees birds and whether it works.",
        )


def _print_privacy(cameras: Mapping[str, CameraSettings]) -> None:
    """Print which pictures are kept where that is not the usual, and what is masked in them."""
    kept = {"crops": "", "frames": "whole frames are kept too", "nothing": "no picture is kept or sent"}
    for key, camera in cameras.items():
        masked = f"{counted(len(camera.mask), 'place')} masked, so no clips" if camera.mask else ""
        if said := ", ".join(filter(None, (masked, kept[camera.store]))):
            out.print(f"  {'pictures':<10} {shown(f'{key}: {said}')}", soft_wrap=True)


def _print_notifications(config: Config) -> None:
    """Print channels and alert rules, and warn of those that are probably mistakes.

    Raises:
        ConfigError: a file with an address or headers cannot be used.
    """
    from birdwatchd.alerts.engine import build_station, unknown_names

    for name, settings in config.channels.items():
        settings.read_address(name)
        settings.read_headers(name)
        used = [rule.name for rule in config.alerts if name in rule.to]
        way = "webhook" if settings.is_webhook else "Apprise"
        said = f"{name} ({way}), for {', '.join(used) or 'no rule; name it below `to` of a rule'}"
        out.print(f"  {'channel':<10} {shown(said)}", soft_wrap=True)
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


def probe_all(config: Config) -> int:
    """Test everything and print one line each; returns 1 if anything failed."""
    probes: list[tuple[str, Callable[[], str]]] = [("database", partial(_probe_store, config))]
    for key, camera in config.cameras.items():
        if camera.enabled:
            probes.append((f"camera {key}", partial(_probe_camera, config, key)))
    if config.mqtt.url:
        probes.append(("broker", partial(_probe_broker, config)))
    probes += [(f"channel {name}", partial(_probe_channel, config, name)) for name in config.channels]
    probes.append(("model", partial(_probe_model, config)))
    failed = 0
    for name, probe in probes:
        try:
            out.print(f"[green]works[/]  {shown(f'{name}: {probe()}')}", soft_wrap=True)
        except BirdwatchError as error:
            failed += 1
            out.print(f"[red]fails[/]  {shown(f'{name}: {error}')}", soft_wrap=True)
    return 1 if failed else 0


def _probe_store(config: Config) -> str:
    from birdwatchd.store import Store

    Store.open(config.home, zone=config.station.zone, check=True).close()
    return f"{config.home} is writable"


def _probe_camera(config: Config, key: str) -> str:
    from birdwatchd.camera.process.supervisor import probe_camera

    settings = config.cameras[key]
    works, of_size = [], ""
    for name, source in (("", settings.source), (", gate_source ", settings.gate_source)):
        if source is not None:
            status = probe_camera(key, settings.model_copy(update={"source": source, "gate_source": None}))
            if status.state is not CameraState.ONLINE:
                raise BirdwatchError(f"{name.strip(', ')} {status.detail or 'gave no picture'}".strip())
            works.append(f"{name}{status.width}×{status.height} pixels")
            of_size = of_size or too_small(settings, status.width, status.height)
    return f"{''.join(works)}; {of_size}"


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

"""Name the options that many commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "SINCE_HELP",
    "STATE_HELP",
    "VISIT_HELP",
    "ConfigOption",
    "HomeOption",
    "MinBirdOption",
    "ModelOption",
    "VerboseOption",
]

SINCE_HELP = "Only visits since then: today, yesterday, 12h, 7d, 2026-05-01."
STATE_HELP = "Only visits in this state: confirmed, uncertain, unknown, rejected; may be repeated."
VISIT_HELP = "Id of the visit or its beginning; 'last' or 'last:CAMERA' for the newest."

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        readable=False,  # who reads it says what to do
        help="Configuration file [default: ./birdwatchd.yaml, then /etc/birdwatchd/birdwatchd.yaml, then built-in].",
    ),
]
HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", readable=False, help="Folder of the database, crops and clips.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME-OR-FILE", help="Classifier; 'demo' knows eight cartoon birds only."),
]
MinBirdOption = Annotated[
    int | None,
    typer.Option(
        "--min-bird", min=8, max=2000, help="Smallest bird, in pixels of the frame [default: by the size of the frame]."
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Verbose output.")]

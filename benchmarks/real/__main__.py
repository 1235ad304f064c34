"""Scan a list of recorded clips and print what each rule says of them, or what each mechanism of naming is worth."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.real.clips import read_clips
from benchmarks.real.mechanisms import mechanisms_table, try_mechanisms
from benchmarks.real.page import page
from benchmarks.real.sections import HEADINGS, kept_sections, with_section
from benchmarks.real.visits import read_model, scan_clips


def main(arguments: list[str] | None = None) -> None:
    """Read, scan, count, print or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument(
        "clips", type=Path, help="CSV: repository, path, kind (bird, none), species (scientific, | between)"
    )
    parser.add_argument("folders", type=Path, nargs="+", help="that hold owner__repository/path")
    parser.add_argument("--model", type=Path, required=True, help="weights of a classifier in birder's format")
    parser.add_argument(
        "--mechanisms", action="store_true", help="scan once without each mechanism instead of comparing rules"
    )
    parser.add_argument("--markdown", type=Path, help="write into this page instead of printing")
    given = parser.parse_args(arguments)
    clips = read_clips(given.clips, given.folders)
    model = read_model(given.model.resolve())
    earlier = given.markdown.read_text(encoding="utf-8") if given.markdown and given.markdown.exists() else ""
    if given.mechanisms:
        table = mechanisms_table(try_mechanisms(clips, model), clips)
        text = with_section(earlier, HEADINGS[0], table)
    else:
        text = kept_sections(page(clips, scan_clips([clip.path for clip in clips], model), model), earlier)
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

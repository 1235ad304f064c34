"""Write one section of a page of figures and keep the others, each of which takes minutes to measure again."""

from __future__ import annotations

__all__ = ["HEADINGS", "kept_sections", "with_section"]

HEADINGS = ("## Each mechanism left out", "## Live", "## Live, each clip alone", "## Time with a bird inside a visit")
"""Sections that have a command of their own, in the order of the page's end."""


def with_section(page: str, heading: str, text: str) -> str:
    """A page with this text below a heading of `HEADINGS`; it replaces what is there.

    Args:
        page: Markdown.
        heading: the whole line.
        text: what stands below, without other headings of the same level.
    """
    sections = _sections(page) | {heading: f"{heading}\n\n{text.strip()}\n"}
    own = [part for name, part in sections.items() if name not in HEADINGS]
    last = [sections[name] for name in HEADINGS if name in sections]
    return "\n".join(part.strip() + "\n" for part in (*own, *last))


def kept_sections(page: str, earlier: str) -> str:
    """A new page with those sections of an earlier one that have a command of their own."""
    for heading, text in _sections(earlier).items():
        if heading in HEADINGS:
            page = with_section(page, heading, text.removeprefix(heading))
    return page


def _sections(page: str) -> dict[str, str]:
    """Text by heading of the second level, headings included; by an empty one what comes before the first."""
    sections: dict[str, str] = {}
    heading = ""
    for line in page.splitlines(keepends=True):
        if line.startswith("## "):
            heading = line.strip()
        sections[heading] = sections.get(heading, "") + line
    return sections

"""Hold the texts of the page in each of its languages: gettext's catalogue, read as translators write it.

English is what stands in the templates and the code. Any other language is a file `locale/CODE/LC_MESSAGES/page.po`.
It is read when the first page in it is asked for, which takes some hundredths of a second: so there is no build step
that can be forgotten, and no binary beside the text that can differ from it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from babel import Locale
from babel.dates import format_date, get_month_names
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

__all__ = ["ENGLISH", "LANGUAGES", "N_", "Language", "language"]

ENGLISH = "en"
# Codes of the languages, and what their speakers call them.
LANGUAGES = {ENGLISH: "English", "he": "עברית"}
_LATIN = re.compile("[A-Za-z]")
ISOLATE, END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


def N_(text: str) -> str:  # noqa: N802  # gettext's own name for it
    """Mark a text for the catalogue where it is written down, and not yet said."""
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """One language: its texts, and how it writes numbers and dates.

    A text names its values as `%(name)s`; a percent sign is written twice.
    """

    locale: Locale
    texts: NullTranslations

    @property
    def code(self) -> str:
        """As `lang` in HTML: `en`."""
        return str(self.locale.language)

    @property
    def direction(self) -> str:
        """As `dir` in HTML: `ltr` or `rtl`."""
        return str(self.locale.text_direction)

    def gettext(self, text: str, **values: object) -> str:
        """A text of the catalogue with its values."""
        return self.texts.gettext(text) % self.isolated(values)

    def ngettext(self, one: str, many: str, number: int, **values: object) -> str:
        """A text that depends on a number, which it may name as `%(num)s`."""
        return self.texts.ngettext(one, many, number) % {"num": self.number(number), **self.isolated(values)}

    def isolated(self, values: Mapping[str, object]) -> dict[str, object]:
        """Values for a text: in a language from right to left, a Latin name keeps its question mark on its own side."""
        if self.direction == "ltr":
            return dict(values)
        latin = {name for name, value in values.items() if isinstance(value, str) and _LATIN.search(value)}
        return {name: f"{ISOLATE}{value}{END}" if name in latin else value for name, value in values.items()}

    def number(self, number: float) -> str:
        """A number: `1,234`, or `12.3` with the digits that it has."""
        return str(format_decimal(number, locale=self.locale))

    def date(self, day: date, pattern: str) -> str:
        """A day, by a pattern of the catalogue in the letters of CLDR: `EEEE d MMMM`."""
        return str(format_date(day, self.texts.gettext(pattern), locale=self.locale))

    def months(self) -> tuple[str, ...]:
        """The twelve months, short."""
        names = get_month_names("abbreviated", locale=self.locale)
        return tuple(str(names[number]) for number in range(1, 13))


@cache
def language(code: str) -> Language:
    """One of `LANGUAGES`."""
    return Language(Locale(code), _texts(code))


def _texts(code: str) -> NullTranslations:
    if code == ENGLISH:
        return NullTranslations()
    written = files("birdwatchd.web").joinpath("locale", code, "LC_MESSAGES", "page.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(written)))
    compiled.seek(0)
    return GNUTranslations(compiled)

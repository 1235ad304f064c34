"""Write the page's texts into its catalogues: `python -m tools.texts`. What is new waits there for its translation.

A translation whose English changed is not kept under the new one: it may say something else now.
"""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

__all__ = ["FOLDER", "catalogue_of", "found"]

WEB = Path(__file__).parents[1] / "birdwatchd" / "web"
FOLDER = WEB / "locale"
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "_n": (1, 2), "pgettext": ((1, "c"), 2)}
METHODS = [("templates/*.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
OPTIONS = {"templates/*.html": {"silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}}
HEADER = """\
# The texts of the page. `python -m tools.texts` adds those that are new; see CONTRIBUTING.md.
msgid ""
msgstr ""
"Language: {code}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {plural}\\n"

"""


def found(folder: Path = WEB) -> Catalog:
    """Every text in the templates and the code of the page."""
    texts = Catalog(charset="utf-8")
    for file, _, text, comments, context in extract_from_dir(
        folder, METHODS, OPTIONS, KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    ):
        texts.add(text, None, [(file, None)], auto_comments=comments, context=context)  # type: ignore[list-item]
    return texts


def catalogue_of(code: str) -> Catalog:
    """The catalogue of a language, as it is written down."""
    with (FOLDER / code / "LC_MESSAGES" / "page.po").open("rb") as file:
        return read_po(file, locale=code)


def main() -> int:
    """Bring every catalogue up to date; 1 where texts wait for a translation."""
    missing = 0
    for file in sorted(FOLDER.glob("*/LC_MESSAGES/page.po")):
        code = file.parents[1].name
        texts = catalogue_of(code)
        texts.update(found(), no_fuzzy_matching=True)
        texts.obsolete.clear()
        with file.open("wb") as out:
            out.write(HEADER.format(code=code, plural=texts.plural_forms).encode())
            write_po(out, texts, width=110, sort_output=True, omit_header=True, include_lineno=False)
        for one in texts:
            if one.id and not (one.string and all(one.string)):
                missing += 1
                sys.stdout.write(f"{code}: {one.id!r} waits for its translation\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

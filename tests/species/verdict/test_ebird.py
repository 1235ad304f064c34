"""The file that eBird gives: written here in its exact format, old and new."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.species.verdict.ebird import QUARTERS, Taxon, quarter_of, read_bar_chart
from tests.support.ebird import ebird_file


def test_species_are_read_and_what_is_none_is_not(tmp_path: Path) -> None:
    """`gull sp.` at 30 % would make some gull out of every white bird."""
    file = ebird_file(
        tmp_path / "chart.txt",
        {
            'House Sparrow (<em class="sci">Passer domesticus</em>)': [0.5] * 48,
            "Great Tit": [0.00041] * 48,
            'gull sp. (<em class="sci">Larinae sp.</em>)': [0.3] * 48,
            'Hooded/Carrion Crow (<em class="sci">Corvus cornix/corone</em>)': [0.3] * 48,
            'Mallard x Gadwall (hybrid) (<em class="sci">Anas platyrhynchos x Mareca strepera</em>)': [0.1] * 48,
            'Mallard (<em class="sci">Anas platyrhynchos</em>)': [0.25] * 48,
            'Mallard (Domestic type) (<em class="sci">Anas platyrhynchos (Domestic type)</em>)': [0.25] * 48,
        },
    )
    chart = read_bar_chart(file)
    assert chart.taxa == (
        Taxon("House Sparrow", "Passer domesticus"),
        Taxon("Great Tit", None),
        Taxon("Mallard", "Anas platyrhynchos"),
    )
    assert chart.frequency[:, 7] == pytest.approx([0.5, 0.00041, 0.5])
    assert chart.checklists.sum() == 4800


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    """The file passes through a spreadsheet or a Windows desktop before it comes to the station."""
    file = ebird_file(tmp_path / "chart.txt", {"Great Tit": [0.1] * 48})
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_bar_chart(file).taxa == (Taxon("Great Tit", None),)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace("Sample Size:", "Sample:"), "no line that begins with `Sample Size:`"),
        (lambda text: text.replace("Great Tit\t0.1\t", "Great Tit\t"), ":9: is not 48 numbers"),
        (lambda text: text.replace("Great Tit\t0.1", "Great Tit\t1.1"), ":9: is not 48 numbers from 0 to 1"),
        (lambda text: text.replace("Great Tit\t0.1", "Great Tit\tnan"), ":9: is not 48 numbers"),
        (lambda text: text.replace("Great Tit\t0.1", "Great Tit\tmany"), ":9: is not 48 numbers"),
        (lambda text: text.split("Great Tit")[0], "names no species"),
        (lambda text: "<html>Sign in</html>", "no line that begins with"),
    ],
)
def test_another_file_is_refused_with_what_to_do(tmp_path: Path, damage: object, says: str) -> None:
    """The sign-in page saved as chart.txt must not quietly mean that nothing lives here."""
    file = ebird_file(tmp_path / "chart.txt", {"Great Tit": [0.1] * 48})
    file.write_text(damage(file.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=says) as caught:
        read_bar_chart(file)
    assert "ebird.org" in str(caught.value) or "sightings" in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A typing mistake in the path, a binary file."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_bar_chart(tmp_path / "none.txt")
    (tmp_path / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_bar_chart(tmp_path / "photo.txt")


@pytest.mark.parametrize(
    ("day", "quarter"),
    [((1, 1), 0), ((1, 7), 0), ((1, 8), 1), ((1, 22), 3), ((1, 31), 3), ((2, 1), 4), ((2, 29), 7), ((12, 31), 47)],
)
def test_quarters_begin_on_the_1st_8th_15th_and_22nd(day: tuple[int, int], quarter: int) -> None:
    """As eBird's own weeks do; a chart that is read a week off moves every migrant."""
    assert quarter_of(date(2024, *day)) == quarter


def test_every_day_has_its_quarter() -> None:
    """The last quarter of a month has the days that are left over."""
    days = [date.fromordinal(number) for number in range(date(2024, 1, 1).toordinal(), date(2025, 1, 1).toordinal())]
    quarters = np.array([quarter_of(day) for day in days])
    assert (np.diff(quarters) >= 0).all()
    assert sorted(set(quarters)) == list(range(QUARTERS))

"""The page stands alone, and says what is to be said."""

import re

import numpy as np

from equipot import pictures
from equipot.audit import page
from equipot.audit.run import Line
from equipot.audit.verdict import judged, shown


def picture():
    with pictures.drawing("a picture", 1, 1) as made:
        made.axes[0].plot([0, 1], [1, 2], label="a line")
        made.axes[0].legend()
        made.axes[0].set_xlabel("distance, Å")
    return made.svg


def lines():
    verdicts = [
        judged("rotation", 1e-13, 1e-10, "eV/Å", "Turned & compared <twice>."),
        judged("forces", 2.0, 1e-6, "eV/Å", "Wrong.", picture()),
        judged("stress", np.nan, 1e-7, "eV/Å³", "Not finite."),
        shown("errors", "A table.", detail="a < b"),
    ]
    return [Line(verdict=own, seconds=1.0) for own in verdicts]


def test_a_page_needs_nothing_from_elsewhere():
    text = page.render("water", {"file": "water.equipot"}, lines())
    assert "<script" not in text
    assert not re.search(r"""(src|href)\s*=\s*["'](?!\#|data:)""", text)
    assert not re.search(r"@import|url\((?!#)", text)


def test_each_line_has_its_verdict_and_the_failed_are_named():
    text = page.render("water", {}, lines())
    assert "2 of 3 judged lines FAILED: forces, stress." in text
    assert text.count('class="passed">passed') == 1
    assert "Turned &amp; compared &lt;twice&gt;." in text
    assert "a &lt; b" in text


def test_pictures_take_the_color_of_the_page():
    assert "currentColor" in picture()
    for text in re.findall(r"<text[^>]*>", picture()):
        assert "fill: currentColor" in text
    assert picture() == picture()


def test_what_is_not_a_number_is_no_pass():
    assert judged("forces", np.nan, 1.0, "", "").passed is False

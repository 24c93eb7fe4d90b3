"""The page in a real browser: nothing complains, nothing is loaded, and every way of looking at it works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pcapflow.config import Config
from pcapflow.report import build, render
from pcapflow.report.colours import STATE_LOOKS
from pcapflow.report.ladder_choice import wanted_flows
from pcapflow.tcp.states import CLOSE_WAIT, FIN_WAIT_2
from pcapflow.views.groups import anomaly_groups
from tests.report.browser import Page, browser
from tests.report.scenes import checkout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene, found = checkout()
    tables, config = scene.tables(), Config()
    drawn = wanted_flows(tables, anomaly_groups(found), config)
    file = tmp_path_factory.mktemp("report") / "checkout.html"
    text = render(build(tables, found, config, {flow: scene.segments[flow] for flow in drawn}))
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium: Page, report: Path) -> Page:
    chromium.emulate()
    chromium.load(report)
    return chromium


def _visible(page: Page, selector: str) -> int:
    script = f"[...document.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).length"
    return int(page.evaluate(script))


def _rgb(colour: str) -> str:
    return f"rgb({int(colour[1:3], 16)}, {int(colour[3:5], 16)}, {int(colour[5:7], 16)})"


def test_nothing_complains_and_nothing_is_loaded(page: Page) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("file:")] == []
    assert len(page.requests) == 1


def test_the_worst_finding_is_open_and_the_others_are_folded(page: Page) -> None:
    opened = page.evaluate("[...document.querySelectorAll('details.card')].map(d => d.open)")

    # The last one holds the hosts.
    assert opened == [True, False, False, False]
    assert _visible(page, "details.card > .columns") == 1


def test_chips_and_words_filter_the_connections(page: Page) -> None:
    everything = _visible(page, "#rows tbody tr")
    page.evaluate("document.querySelector('#filters button[data-value=finding]').click()")
    with_findings = _visible(page, "#rows tbody tr")
    page.evaluate("(() => { const s = document.getElementById('search'); s.value = '5432';"
                  " s.dispatchEvent(new Event('input')); })()")  # fmt: skip

    assert (everything, with_findings, _visible(page, "#rows tbody tr")) == (128, 28, 2)


def test_the_table_follows_the_pointer_over_the_charts(page: Page) -> None:
    count = "Number(document.querySelectorAll('.ss .loud .now')[1].textContent)"
    at_the_end = page.evaluate(count)
    box = page.evaluate("(r => [r.left, r.top, r.width, r.height])"
                        "(document.querySelector('#charts figure svg').getBoundingClientRect())")  # fmt: skip
    page.evaluate("document.querySelector('#charts figure svg').dispatchEvent(new PointerEvent('pointermove',"
                  f" {{bubbles: true, clientX: {box[0] + box[2] / 2}, clientY: {box[1] + 5}}}))")  # fmt: skip

    assert at_the_end == 25
    assert 0 < page.evaluate(count) < 25
    assert page.evaluate("document.getElementById('moment').textContent").startswith("at 14:04:")


def test_a_link_to_a_ladder_opens_what_it_is_folded_into(page: Page) -> None:
    before = _visible(page, "#ladder-98 svg")
    page.evaluate("location.hash = '#ladder-98'")
    page.evaluate("new Promise(done => setTimeout(done, 200))")

    assert (before, _visible(page, "#ladder-98 svg")) == (0, 1)


def test_states_keep_their_colours_on_a_light_and_on_a_dark_page(page: Page) -> None:
    look = STATE_LOOKS[FIN_WAIT_2]
    for dark in (False, True):
        page.emulate(dark=dark)

        fill = page.evaluate(f"getComputedStyle(document.querySelector('rect.s{FIN_WAIT_2}')).fill")
        loud = page.evaluate(f"getComputedStyle(document.querySelector('rect.s{CLOSE_WAIT}')).fill")
        assert fill == _rgb(look.dark if dark else look.light)
        assert f"#pattern-{CLOSE_WAIT}" in loud


def test_the_page_never_scrolls_sideways(page: Page) -> None:
    for width in (360, 400, 700, 1120, 1900):
        page.emulate(width=width)

        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_in_print_every_card_is_open(page: Page) -> None:
    page.emulate(width=720, media="print")

    assert _visible(page, "details.card > .columns") == 3
    assert _visible(page, "figure.ladder svg") == page.evaluate("document.querySelectorAll('figure.ladder svg').length")
    assert page.pdf().startswith(b"%PDF")


def test_everything_can_be_read_without_script(chromium: Page, report: Path) -> None:
    chromium.emulate()
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.load(report)
        assert _visible(chromium, "#rows tbody tr") == 128
        assert _visible(chromium, "details.card > summary") == 4
        assert _visible(chromium, "#filters") == 0
        assert chromium.complaints == []
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)

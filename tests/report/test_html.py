"""The page: safe, self-contained, the same every time, and small."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.reader.capture import Undecoded
from pcapflow.report import build, render
from pcapflow.report.ladder_choice import wanted_flows
from pcapflow.tcp import states as s
from pcapflow.views.groups import anomaly_groups
from tests.report.scenes import Scene, checkout

HOSTILE = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}{% raw %}"


class _Page(HTMLParser):
    """Collects what a browser would act on."""

    VOID = frozenset({"meta", "input", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)


def _html(scene: Scene, found: list[Anomaly], config: Config | None = None) -> str:
    tables, config = scene.tables(), config or Config()
    drawn = wanted_flows(tables, anomaly_groups(found), config)
    return render(build(tables, found, config, {flow: scene.segments[flow] for flow in drawn}))


def _hostile() -> str:
    scene, found = checkout(
        name=HOSTILE,
        truncated=HOSTILE,
        format=HOSTILE,
        link_types=(HOSTILE,),
        checksum=lambda: HOSTILE,
        undecoded=(Undecoded(HOSTILE, HOSTILE, 3, 1),),
    )
    found = [dataclasses.replace(a, detail=HOSTILE, cause=HOSTILE, alternatives=(HOSTILE,)) for a in found]
    return _html(scene, found)


def test_every_element_is_closed_where_it_should_be() -> None:
    page = _Page(_html(*checkout()))

    assert page.misnested == []
    assert page.open == []


def test_what_comes_from_a_capture_is_text_and_nothing_else() -> None:
    plain, hostile = _Page(_html(*checkout())), _Page(_hostile())

    assert hostile.misnested == []
    assert {tag for tag, _ in hostile.tags} == {tag for tag, _ in plain.tags}
    assert sum(tag == "script" for tag, _ in hostile.tags) == 1
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)


def test_template_syntax_in_a_name_is_not_run() -> None:
    assert "{{ 7*7 }}" in _hostile()


def test_the_page_loads_nothing() -> None:
    text = _html(*checkout())
    page = _Page(text)

    loaders = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "formaction", "background"}
    targets = [value for _, attributes in page.tags for name, value in attributes.items() if name in loaders]
    assert all((target or "").startswith("#") for target in targets)
    assert not any(tag in {"link", "iframe", "object", "embed", "base"} for tag, _ in page.tags)
    assert re.findall(r"url\((?!#pattern-)", text) == []
    assert "@import" not in text
    assert re.findall(r"https?://", text) == []


def test_a_policy_forbids_everything_but_its_own_style_and_script() -> None:
    page = _Page(_html(*checkout()))

    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[^']{44}'; script-src 'sha256-[^']{44}'", policy or "")
    assert not any("style" in attributes for _, attributes in page.tags)


def test_the_same_capture_gives_the_same_bytes() -> None:
    assert _html(*checkout()) == _html(*checkout())


def test_links_lead_somewhere_and_no_two_places_have_one_name() -> None:
    page = _Page(_html(*checkout()))

    ids = [a["id"] for _, a in page.tags if "id" in a]
    links = {(a["href"] or "")[1:] for tag, a in page.tags if tag == "a"}
    labels = {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert len(ids) == len(set(ids))
    assert links - set(ids) == set()
    assert labels - set(ids) == set()


def test_every_picture_says_in_words_what_it_shows() -> None:
    page = _Page(_html(*checkout()))

    pictures = [a for tag, a in page.tags if tag == "svg"]
    assert pictures
    assert all(a.get("aria-hidden") == "true" or (a.get("role") == "img" and a.get("aria-label")) for a in pictures)


def test_a_hundred_thousand_connections_fit_in_two_megabytes() -> None:
    scene, found = checkout()
    leaks = found[0].flows
    for i in range(len(scene.flows), 100_000):
        row = dict(scene.flows[leaks[i % len(leaks)]])
        row |= {"flow": i, "stream": i}
        scene.flows.append(row)
        scene.segments[i] = []
        scene.transitions += [(i, *move[1:]) for move in scene.transitions[:12]]
    found += [
        Anomaly(
            code=code,
            name="stuck-close-wait",
            severity=severity,
            flow=flow,
            endpoint=s.SERVER,
            time_ns=scene.ns(5),
            frames=tuple(range(flow, flow + 12)),
            detail="the server acknowledged the FIN and sent none of its own for 200 s, to the end of the capture " * 2,
            alternatives=("a half-close at work whose answer takes long",),
            flows=(flow,),
        )
        for code, severity in (("PF203", Severity.MEDIUM), ("PF202", Severity.LOW), ("PF205", Severity.LOW))
        for flow in range(1000, 1200)
    ]

    text = _html(scene, found)

    print(f"{len(text.encode()):,} bytes")
    assert len(text.encode()) < 2_000_000
    assert "200 of 100,000 shown" in text


def test_the_script_adds_comforts_only() -> None:
    text = _html(*checkout())
    without = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)

    assert without.count('<tr data-text="') == 128
    assert without.count("<details") == text.count("<details")
    assert '<form class="filters" id="filters" hidden>' in without

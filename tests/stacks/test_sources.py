"""Stacks in C: the private list of sources, and the drivers' shared part."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.stacks import sources
from fixtures.stacks.sources import as_sources, compiled, debian_source
from fixtures.stacks.stack import DRIVERS, StackUnavailableError

COMMON = DRIVERS / "common"


def test_a_list_of_one_line_entries_becomes_one_of_their_sources() -> None:
    text = "# a mirror\ndeb [signed-by=/k.gpg] http://mirror.example stable main\ndeb-src http://mirror.example x y\n"

    assert as_sources(text).splitlines() == [
        "# a mirror",
        "deb-src [signed-by=/k.gpg] http://mirror.example stable main",
        "deb-src http://mirror.example x y",
    ]


def test_a_list_of_stanzas_becomes_one_of_their_sources() -> None:
    text = "Types: deb\nURIs: http://mirror.example/debian\nSuites: stable\nComponents: main\nSigned-By: /k.gpg\n"

    assert as_sources(text) == text.replace("Types: deb", "Types: deb-src")


def test_a_host_without_apt_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(StackUnavailableError, match="needs the command apt-get"):
        debian_source("lwip", tmp_path)


def test_an_unpacked_source_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(sources, "build_step", lambda *_, **__: pytest.fail("fetched"))
    (tmp_path / "lwip-2.1").mkdir()

    assert debian_source("lwip", tmp_path) == tmp_path / "lwip-2.1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the drivers speak through Linux's packet sockets")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_what_the_drivers_share_compiles_without_warnings(tmp_path: Path) -> None:
    warnings = [*sources.WARNINGS, "-Werror"]
    source, made = COMMON / "lab.c", tmp_path / "lab.o"

    done = subprocess.run(
        ["gcc", "-std=gnu11", "-O2", *warnings, "-c", str(source), "-o", str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_stack_that_does_not_compile_is_not_to_be_had(tmp_path: Path) -> None:
    broken = tmp_path / "broken.c"
    broken.write_text("int broken(")

    with pytest.raises(StackUnavailableError, match="gcc failed"):
        compiled("lwip", tmp_path, [broken], [tmp_path])

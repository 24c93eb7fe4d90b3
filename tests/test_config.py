"""The table [stack] of the configuration: which host runs which stack, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcapflow.config import Config, load_config
from pcapflow.errors import ConfigError
from pcapflow.stacks import STACKS


def load(tmp_path: Path, text: str) -> Config:
    """Reads a configuration with this text."""
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_without_the_table_linux_is_assumed(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Config()
    assert Config().msl2_s == STACKS["linux"].time_wait_s
    assert Config().ephemeral_ports == STACKS["linux"].ports


def test_a_name_sets_what_the_stack_does(tmp_path: Path) -> None:
    config = load(tmp_path, '[stack]\nname = "windows"')

    assert (config.stack, config.msl2_s, config.ephemeral_ports) == ("windows", 120, 16_384)


def test_a_setting_of_its_own_wins_over_the_stack(tmp_path: Path) -> None:
    config = load(tmp_path, 'ephemeral_ports = 5000\n[stack]\nname = "windows"')

    assert (config.ephemeral_ports, config.msl2_s) == (5000, 120)


@pytest.mark.parametrize(
    ("address", "stack"),
    [
        ("10.0.0.1", "windows"),
        ("10.0.1.1", "macos"),
        ("10.0.1.7", "lwip"),
        ("10.1.0.1", ""),
        ("2001:db8::1", "freebsd"),
        ("2001:db9::1", ""),
        ("0.0.0.1", ""),
    ],
)
def test_the_smallest_network_that_holds_a_host_counts(tmp_path: Path, address: str, stack: str) -> None:
    config = load(
        tmp_path,
        '[stack.hosts]\n"10.0.1.0/24" = "macos"\n"10.0.1.7" = "lwip"\n"10.0.0.0/16" = "windows"\n'
        '"2001:db8::/32" = "freebsd"',
    )

    assert config.stack_at(address) == stack
    own = config.of_host(address)
    assert own.msl2_s == (STACKS[stack] if stack else STACKS["linux"]).time_wait_s
    assert own.ephemeral_ports == (STACKS[stack] if stack else STACKS["linux"]).ports


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[stack]\nname = "beos"', "no stack is called 'beos'; known are linux, windows"),
        ('[stack.hosts]\n"10.0.0.1" = "\\u001b[2J"', r"no stack is called '\\x1b\[2J'"),
        ("[stack]\nname = 3", "no stack is called '3'"),
        ('[stack.hosts]\n"10.0.0.1/24" = "linux"', "has host bits set"),
        ('[stack.hosts]\n"db.internal" = "linux"', "db.internal"),
        ('[stack]\nhost = "linux"', "has no setting 'host'"),
        ("stack = 1", "must be tables"),
        ("[stack]\nhosts = 1", "must be tables"),
        ('stack_hosts = "x"', "unknown setting 'stack_hosts'"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(tmp_path, text)
    assert "own.toml" in str(caught.value)

"""The laboratory of other stacks: its parts, without root and without a stack."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.lab.namespaces import Side
from fixtures.lab.sockets import ScenarioError
from fixtures.stacks import program as program_module
from fixtures.stacks.program import Program
from fixtures.stacks.registry import Group
from fixtures.stacks.run import runs_of
from fixtures.stacks.score import as_rfc
from fixtures.stacks.stack import Quirk, Stack, StackUnavailableError, all_stacks, build_step, is_newer, stack_called

ECHO = """
import sys
print("state 1.5 10.99.0.1 40000 10.99.0.2 80 CLOSED SYN_SENT", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "read":
        print("ok", words[2])
    elif words[0] == "abort":
        print("reset 2.5 10.99.0.1 40000 10.99.0.2 80 ESTABLISHED abort")
        print("ok")
    elif words[0] == "connect":
        print("error refused by nobody")
    elif words[0] == "die":
        print("out of memory", file=sys.stderr)
        sys.exit(1)
    else:
        print("what?")
    sys.stdout.flush()
"""


def quirk(logged: str, meant: str) -> Quirk:
    return Quirk(tuple(logged.split()), tuple(meant.split()), "why", "file:1")


def stack_with(*quirks: Quirk, cannot: dict[str, str] | None = None) -> Stack:
    return Stack("some", "a stack", lambda folder: [str(folder)], quirks=quirks, cannot=cannot or {})


def read(stack: Stack, states: str) -> str:
    path, _ = stack.read_path([(float(n), state) for n, state in enumerate(states.split())], "run_as_client")
    return " ".join(state for _, state in path)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """A driver that answers without any stack, in no namespace."""
    monkeypatch.setattr(program_module, "inside", lambda _: contextlib.nullcontext())
    started = Program([sys.executable, "-c", ECHO], "none", [])
    yield started
    started.close()


def test_a_quirk_is_replaced_wherever_it_stands() -> None:
    stack = stack_with(quirk("LAST_ACK FIN_WAIT_1", "LAST_ACK"))

    assert read(stack, "ESTABLISHED LAST_ACK FIN_WAIT_1 CLOSED") == "ESTABLISHED LAST_ACK CLOSED"
    assert read(stack, "ESTABLISHED LAST_ACK CLOSED") == "ESTABLISHED LAST_ACK CLOSED"


def test_a_quirk_may_be_tied_to_the_beginning_or_the_end() -> None:
    stack = stack_with(
        quirk("FIN_WAIT_2 $", "FIN_WAIT_2 TIME_WAIT $"), quirk("^ ESTABLISHED", "^ SYN_RCVD ESTABLISHED")
    )

    assert read(stack, "ESTABLISHED FIN_WAIT_1 FIN_WAIT_2") == "SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT"
    assert read(stack, "SYN_SENT ESTABLISHED FIN_WAIT_2 CLOSED") == "SYN_SENT ESTABLISHED FIN_WAIT_2 CLOSED"


def test_a_path_is_read_as_the_rfc_has_it() -> None:
    path = [(float(n), state) for n, state in enumerate(("FIN_WAIT_1", "TIME_WAIT", "CLOSED"))]

    assert as_rfc(path) == [(0.0, "FIN_WAIT_1"), (1.0, "FIN_WAIT_2"), (1.0, "TIME_WAIT"), (2.0, "CLOSED")]


def test_answers_come_in_order_and_logs_beside_them(driver: Program) -> None:
    first, second = driver.begin("read", "a", 10), driver.begin("read", "a", 20)

    assert (second.wait(), first.wait()) == (["20"], ["10"])
    driver.call("abort", "a")
    assert [(event.t, event.old, event.new) for event in driver.events] == [(1.5, "CLOSED", "SYN_SENT")]
    assert [(reset.state, reset.reason) for reset in driver.resets] == [("ESTABLISHED", "abort")]


def test_an_error_of_the_stack_is_a_failed_connection(driver: Program) -> None:
    with pytest.raises(ConnectionError, match="refused by nobody"):
        driver.call("connect", "a", "10.99.0.2", 80)


def test_a_driver_that_dies_says_its_last_words(driver: Program) -> None:
    with pytest.raises(ScenarioError, match="out of memory"):
        driver.call("die")


def test_what_the_protocol_does_not_know_is_kept(driver: Program) -> None:
    pending = driver.begin("listen", 80)
    driver.begin("read", "a", 1)
    pending.wait()

    assert driver.faults == ["what?"]


def test_a_scenario_is_run_in_both_roles() -> None:
    group = Group()

    @group.scenario()
    def close_somehow(lab: object) -> None:
        """Somehow."""

    assert [(run.name, run.role) for run in group.runs] == [
        ("close_somehow_as_client", Side.CLIENT),
        ("close_somehow_as_server", Side.SERVER),
    ]


def test_a_scenario_says_what_it_shows() -> None:
    with pytest.raises(ValueError, match="does not say what it shows"):
        Group().scenario()(lambda _: None)


def test_what_a_stack_cannot_do_is_left_out() -> None:
    names = [run.name for run in runs_of(stack_with(cannot={"*_as_server": "it only dials"}), ["close_client_first_*"])]

    assert names == ["close_client_first_as_client"]


def test_an_unknown_stack_or_scenario_is_named() -> None:
    with pytest.raises(LookupError, match="no stack is called windows"):
        stack_called("windows")
    with pytest.raises(LookupError, match="no scenario is called close_never"):
        runs_of(all_stacks()[0], ["close_never"])


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(StackUnavailableError, match="no such compiler"):
        build_step(sys.executable, "-c", "import sys; sys.exit('no such compiler')")
    with pytest.raises(StackUnavailableError):
        build_step(str(tmp_path / "missing"))


def test_what_is_made_is_made_anew_when_its_source_changes(tmp_path: Path) -> None:
    source, product = tmp_path / "source", tmp_path / "product"
    source.write_text("a")
    assert not is_newer(product, source)
    product.write_text("b")
    os.utime(source, ns=(1, 1))
    assert is_newer(product, source)
    os.utime(product, ns=(0, 0))
    assert not is_newer(product, source)

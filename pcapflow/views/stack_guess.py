"""Which stack a host may run, by the SYNs that it sent: a guess, and said as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from pcapflow.stacks import Syn, has_window, signature_of
from pcapflow.text.phrases import counted, number


class Guess(NamedTuple):
    """A guess at a host's stack.

    Attributes:
        stack: what it is called to people; "" where no known stack sends such SYNs.
        confidence: ``likely`` where order of options, TTL and window of all its SYNs fit, else ``possible``; "" without
            a stack. It is never certain: anybody can send such a SYN.
        why: the SYN that it rests on; "" where none passed.
    """

    stack: str
    confidence: Literal["likely", "possible", ""]
    why: str


NO_GUESS: Final = Guess("", "", "")
_MOST_STACKS: Final = 3


def guess(syns: Sequence[tuple[Syn, int]], syn_acks: Sequence[tuple[Syn, int]] = ()) -> Guess:
    """Guesses at the stack of one host.

    Args:
        syns: its SYNs without ACK and how many of each, the most frequent first.
        syn_acks: its SYN-ACKs likewise; they count where there are no others, and say less: their options are those
            that the client offered, and a stack may order them as it does for a SYN or not.
    """
    if not syns:
        return _by_syn_ack(syn_acks)
    stacks: dict[str, int] = {}
    for syn, count in syns:
        signature = signature_of(syn)
        name = signature.stack if signature else ""
        stacks[name] = stacks.get(name, 0) + count
    known = sorted((name for name in stacks if name), key=lambda name: -stacks[name])
    if not known:
        return Guess("", "", _words("SYN", syns[0][0]))
    most = known[0]
    example = _words("SYN", next(syn for syn, _ in syns if _is_of(syn, most)))
    if len(stacks) > 1:
        named = [f"{counted(stacks[name], 'SYN')} as {name}" for name in known[:_MOST_STACKS]]
        others = sum(stacks.values()) - sum(stacks[name] for name in known[:_MOST_STACKS])
        named += [f"{number(others)} as others"] if others else []
        return Guess(most, "possible", f"its SYNs differ, as behind a NAT: {', '.join(named)}; {example}")
    all_fit = all((signature := signature_of(syn)) is not None and has_window(signature, syn) for syn, _ in syns)
    return Guess(most, "likely" if all_fit else "possible", example)


def _by_syn_ack(syn_acks: Sequence[tuple[Syn, int]]) -> Guess:
    if not syn_acks:
        return NO_GUESS
    for syn, _ in syn_acks:
        if signature := signature_of(syn):
            return Guess(signature.stack, "possible", _words("SYN-ACK", syn))
    return Guess("", "", _words("SYN-ACK", syn_acks[0][0]))


def _is_of(syn: Syn, stack: str) -> bool:
    signature = signature_of(syn)
    return signature is not None and signature.stack == stack


def _words(kind: str, syn: Syn) -> str:
    return f"{kind}: {syn.words()}"

"""Ctrl-C and SIGTERM of a command that shares its work out: the first ends the work, the second ends the command."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

if TYPE_CHECKING:
    import socket

_T = TypeVar("_T")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SIGNAL_STATUS: Final = 128
"""Added to a signal's number it is the exit status that shells give."""


class Terminated(BaseException):
    """SIGTERM came, as KeyboardInterrupt says that Ctrl-C did; no handler of faults must take it for one."""


class Stop:
    """While it is entered, the first Ctrl-C or SIGTERM is noted, and the work asks for it; any further one raises.

    Outside :meth:`noting` the first raises too. What was ignored when the program was started (Ctrl-C, in a background
    job) is ignored still, and in another thread than the main one nothing is changed: Python gives no signals there.

    Attributes:
        signal: the one that was noted, 0 without.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._raised: BaseException | None = None
        self._is_noting = False
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._ends: tuple[socket.socket, ...] = ()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # It comes late: what has no workers needs none of it.
            import socket

            # A handler runs only between two steps of the interpreter; a byte in this pair ends a wait as well.
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
            self._wakeup_before = signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._ends:
            signal.set_wakeup_fd(self._wakeup_before)
        for end in self._ends:
            end.close()
        self._ends = ()

    @property
    def status(self) -> int:
        """The exit status for the signal that was noted."""
        return SIGNAL_STATUS + self.signal

    @property
    def waitables(self) -> tuple[socket.socket, ...]:
        """What is readable from the moment when a signal came, for :func:`multiprocessing.connection.wait`."""
        return self._ends[:1]

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Within, the first signal is noted and does not raise; whoever waits must wait for :attr:`waitables` too."""
        self._is_noting = True
        try:
            yield
        finally:
            self._is_noting = False

    def ending(self, work: Callable[[], _T]) -> tuple[_T, ...]:
        """Within :meth:`noting`: does work that the first signal ends, until it calls :meth:`note_from_here`.

        Returns:
            What the work came to; nothing where a signal ended it.
        """
        result: tuple[_T, ...] = ()
        self._is_noting = False
        try:
            result = (work(),)
        except (KeyboardInterrupt, Terminated):
            if self._raised is None or self.signal:
                raise
        finally:
            self._is_noting = True
        if self._raised is None or self.signal:
            return result
        # Or some library has taken it for a fault of its own.
        self.signal = signal.SIGINT if isinstance(self._raised, KeyboardInterrupt) else signal.SIGTERM
        self._raised = None
        return ()

    def note_from_here(self) -> None:
        """From now on the first signal is noted again."""
        self._is_noting = True

    def check(self) -> None:
        """Raises again what a signal raised and some library took for a fault of its own, such as a failed import.

        To be called before something that may wait for ever.
        """
        if self._raised is not None:
            raise self._raised

    def drain(self) -> None:
        """Takes what made them readable: any signal that Python handles does, not these two alone."""
        for end in self.waitables:
            with contextlib.suppress(BlockingIOError):
                end.recv(4096)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- as the signal module calls it
        if self._is_noting and not self.signal:
            self.signal = number
            return
        self._raised = KeyboardInterrupt() if number == signal.SIGINT else Terminated()
        raise self._raised


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds Ctrl-C back from this thread, and from a process that is started within, until that one decides."""
    mask: Callable[..., set[int]] | None = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # Windows
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """Ignores Ctrl-C from now on, also one that :func:`held_back` held back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

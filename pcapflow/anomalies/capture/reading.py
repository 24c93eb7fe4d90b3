"""PF904 to PF907: what could not be read, decoded or followed."""

from __future__ import annotations

from typing import Final

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.hits import single
from pcapflow.anomalies.model import Finding, Hits, Severity
from pcapflow.anomalies.rule import Limit, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, how_often, were

REASONS_NAMED: Final = 5


@rule("PF904", "truncated-capture", title="The file ends early", limit=Limit.END)
def truncated_capture(tables: Tables, config: Config) -> Hits:
    """The capture file ends inside a record.

    Means: the file was cut off: the disk was full, the capturing program was killed, or the copy is incomplete.
        Everything before the cut is analysed.
    Do:
        Capture: copy the file again, or stop the capturing program with an interrupt and let it finish.
    Else: a file that is still being written ends so, too.
    Source: the pcap and pcapng formats; each record tells its own length.
    """
    del config
    capture = tables.capture
    if not capture.truncated:
        return single(None)
    return single(
        Finding(
            severity=Severity.LOW,
            time_ns=capture.last_ns,
            frames=proof([capture.frames]),
            detail=f"{capture.truncated}; {_before(capture.frames)}",
        )
    )


def _before(frames: int) -> str:
    if not frames:
        return "there is no frame before it"
    return f"the {counted(frames, 'frame')} before it {'was' if frames == 1 else 'were'} analysed"


@rule("PF905", "clock-went-back", title="Time stamps that go back", limit=Limit.CLOCK)
def clock_went_back(tables: Tables, config: Config) -> Hits:
    """A time stamp lies before the one of the frame in front of it.

    Means: the clock of the capturing machine was set back, or files were joined out of order. The order of the file is
        kept; durations across such a step are not to be trusted.
    Do:
        Capture: let the clock be slewed and not stepped (chrony, ntpd -x); join files with mergecap, which sorts.
    Else: several network cards or processor cores may deliver packets slightly out of order; what that explains is not
        counted.
    Source: the pcap format does not promise ascending time stamps; see also reordercap.
    """
    del config
    capture = tables.capture
    if capture.clock_steps <= 0:
        return single(None)
    first = capture.first_clock_step_frame
    return single(
        Finding(
            severity=Severity.LOW,
            time_ns=capture.first_ns,
            frames=proof([first - 1, first]),
            detail=(
                f"time stamps go back {how_often(capture.clock_steps)}, first at frame {first}; the order of the "
                "file is kept, and what hangs on durations is less sure"
            ),
        )
    )


@rule("PF906", "undecoded", title="Packets that could not be decoded", limit=Limit.UNDECODED)
def undecoded(tables: Tables, config: Config) -> Hits:
    """Some packets could not be followed down to TCP.

    Means: their link type, tunnel or header is unknown here, or is damaged or cut short. If TCP is inside, it is
        missing from all that is said here.
    Do:
        Capture: if headers are cut off, raise the snap length; if the link type is unknown, try `--reader pyshark`.
    Else: damaged and experimental traffic is ordinary in small numbers.
    Source: counted by the reader, by layer and reason.
    """
    del config
    capture = tables.capture
    kinds = sorted(capture.undecoded, key=lambda kind: (-kind.count, kind.first_frame))
    total = sum(kind.count for kind in kinds)
    if not total:
        return single(None)
    named = [
        f"{kind.count:,} for {kind.layer}: {kind.reason}{in_frame(kind.first_frame)}" for kind in kinds[:REASONS_NAMED]
    ]
    rest = total - sum(kind.count for kind in kinds[:REASONS_NAMED])
    return single(
        Finding(
            severity=Severity.LOW if total * 10 > capture.frames else Severity.INFO,
            time_ns=capture.first_ns,
            frames=proof(kind.first_frame for kind in kinds),
            detail=f"{counted(total, 'frame')} of {capture.frames:,} could not be decoded: "
            + "; ".join([*named, *([f"{rest:,} for other reasons"] if rest else [])]),
            count=total,
        )
    )


@rule("PF907", "connections-let-go", title="Connections evicted at the limit on open ones")
def connections_let_go(tables: Tables, config: Config) -> Hits:
    """More connections were open at once than the setting allows, and the oldest were no longer followed.

    Means: their state up to that moment is in the tables; later packets of the same connection begin a new row, as if
        the capture began there.
    Do:
        Capture: raise max_open_flows if the machine has the memory, or split the capture by host with a filter.
    Else: under a flood of spoofed SYNs this is as it should be.
    Source: the setting max_open_flows.
    """
    capture = tables.capture
    if capture.evicted <= 0:
        return single(None)
    return single(
        Finding(
            severity=Severity.LOW,
            time_ns=capture.first_ns,
            frames=(),
            detail=(
                f"{were(capture.evicted, 'connection')} evicted before the end, because more than "
                f"{config.max_open_flows:,} were open at once"
            ),
            count=capture.evicted,
        )
    )

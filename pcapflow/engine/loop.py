"""One reading of a capture, and the flow tables that are fed by it: the only loop over all packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pcapflow.config import Config
from pcapflow.reader import OpenCapture
from pcapflow.reader.segment_batch import SHARDS, SegmentBatch
from pcapflow.tracker import FlowTable
from pcapflow.tracker.closed_queue import MAX_CLOSED

if TYPE_CHECKING:
    from pcapflow.engine.partition import PartitionResult


def follow(
    opened: OpenCapture,
    batch: SegmentBatch,
    more: bool,
    shards: Sequence[int],
    config: Config,
    on_batch: Callable[[], None] | None = None,
) -> list[PartitionResult]:
    """Follows shards of the connections to the end of a capture.

    Args:
        opened: the capture.
        batch: its first batch, which was read from it; those after it hold no segments of a shard that is not followed.
        more: whether there may be more.
        shards: of :data:`SHARDS`, those to follow.
        config: thresholds; limits are for all connections, and each shard has its share.
        on_batch: is called after each batch.

    Returns:
        What each shard came to.

    Raises:
        CaptureError: a later file cannot be read.
    """
    # A second process is started before numpy is imported, which may start threads of its own.
    from pcapflow.engine.collect import Collector

    share = len(SHARDS)
    collectors = [
        Collector(
            FlowTable(
                config.marks_per_flow,
                -(-config.max_open_flows // share),
                int(config.rto_s * 1e9),
                MAX_CLOSED // share,
                shard,
            )
        )
        for shard in shards
    ]
    while True:
        for collector in collectors:
            collector.consume(batch)
        if on_batch is not None:
            on_batch()
        if not more:
            break
        if len(shards) == 1:
            # The first batch was read before anybody knew, and holds all.
            (batch.shard,) = shards
        more = opened.read(batch)
    return [collector.finish(opened.last_ns) for collector in collectors]

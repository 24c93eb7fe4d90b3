"""Capture files in, batches of TCP segments out."""

from pcapflow.reader.open import OpenCapture, open_capture

__all__ = ["OpenCapture", "open_capture"]

"""The pyshark engine: whatever Wireshark can read, as the batches that the native reader makes.

pyshark starts tshark and takes its output apart, frame by frame. It is asked for the fields of the headers alone, in
the newline-delimited JSON that pyshark calls EK: the quickest that pyshark has. Its default prints and parses all that
Wireshark knows of a packet. No packet is kept.

A TCP header is put together again from its fields and handed to the decoder, so that both engines share the reading of
options and the writing of rows. Reassembly of IP fragments, tunnels and the link layer are Wireshark's.

:mod:`process` runs tshark, :mod:`layout` and :mod:`fields` say what its fields mean, :mod:`records` makes the batches.
"""

"""Names of output files: from the name of the capture, plain text that fits any file system, and each its own."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from pcapflow.text.escape import as_utf8

CAPTURE_SUFFIXES: Final = (".pcap", ".pcapng", ".cap", ".dmp", ".snoop", ".erf", ".trc")
PACKING_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4")
LONGEST_SUFFIX: Final = ".pcapflow.html"

_NAME_MAX: Final = 255
"""Bytes of a file name on the file systems of Linux, macOS and Windows."""
_STEM_MAX: Final = _NAME_MAX - len(LONGEST_SUFFIX)
_DIGITS: Final = (0, 8, 16, 32, 64)
"""Hexadecimal digits of the hash that a name carries: eight, and more only where somebody made eight collide."""


def stem(capture: str) -> str:
    """The name of a capture without its directory and the suffixes that say what it is."""
    if capture == "-":
        return "stdin"
    name = as_utf8(Path(capture).name)
    return _without(_without(name, PACKING_SUFFIXES), CAPTURE_SUFFIXES) or "capture"


def is_capture_name(name: str) -> bool:
    """Whether a file is called like a capture, packed or not."""
    unpacked = _without(name, PACKING_SUFFIXES)
    return name.lower().endswith(CAPTURE_SUFFIXES) or _without(unpacked, CAPTURE_SUFFIXES) != unpacked


def _without(name: str, suffixes: Iterable[str]) -> str:
    """The name without the one of these suffixes that it ends with, if anything is left then."""
    for suffix in suffixes:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def output_stems(captures: Iterable[str], reserved: Collection[str] = ()) -> dict[str, str]:
    """What the names of each capture's output files begin with.

    It is the stem of the capture. A hash of the path's bytes (the first eight digits of their SHA-256) follows where
    that is not enough, and depends on no order: where two captures have the same stem, also where letter case and
    Unicode normalisation make no difference; where it is reserved; where it holds what cannot be decoded or shown,
    which becomes ``_``; where it is too long for a file name.

    Args:
        captures: paths, as the user named them; a path that is repeated is one capture.
        reserved: stems that other outputs have.

    Returns:
        The stem by path, in order, each at most 241 bytes long.
    """
    paths = list(dict.fromkeys(captures))
    taken = {_key(name) for name in reserved}
    level = {path: int(_plain(path) != stem(path) or _key(_plain(path)) in taken) for path in paths}
    while True:
        names = {path: _named(path, _DIGITS[level[path]]) for path in paths}
        uses = Counter(map(_key, names.values()))
        # What ends in all digits of the hash is alike only where the paths are.
        clashing = [p for p in paths if uses[_key(names[p])] > 1 and level[p] < len(_DIGITS) - 1]
        if not clashing:
            # Under a locale that is not UTF-8 a file has the same bytes for its name all the same.
            return {path: os.fsdecode(name.encode()) for path, name in names.items()}
        for path in clashing:
            level[path] += 1


def _named(path: str, digits: int) -> str:
    if not digits:
        return _plain(path)
    mark = "-" + hashlib.sha256(os.fsencode(path)).hexdigest()[:digits]
    return _cut(_plain(path), _STEM_MAX - len(mark)) + mark


def _plain(path: str) -> str:
    text = "".join(character if character.isprintable() else "_" for character in stem(path))
    return _cut(text, _STEM_MAX)


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def _key(name: str) -> str:
    """Equal for names that some file system takes for one; the Unicode standard, definition D145."""
    if name.isascii():
        return name.casefold()
    import unicodedata

    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())

"""The names of output files are plain text that fits, each capture's own, and no matter of order."""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata

import pytest

from pcapflow.export.names import LONGEST_SUFFIX, output_stems, stem


def hashed(path: str, digits: int = 8) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:digits]


@pytest.mark.parametrize(
    ("capture", "name"),
    [
        ("a.pcap", "a"),
        ("dir/a.b.pcapng.gz", "a.b"),
        ("A.CAP", "A"),
        ("trace.gz", "trace"),
        ("ring.pcap3", "ring.pcap3"),
        (".pcap", ".pcap"),
        ("-", "stdin"),
    ],
)
def test_the_stem_of_a_capture(capture: str, name: str) -> None:
    assert stem(capture) == name
    assert output_stems([capture]) == {capture: name}


def test_all_that_would_collide_carry_a_hash_and_the_others_none() -> None:
    paths = ["a/x.pcap", "b/X.pcap", "x.pcapng", "x-2.pcap", "y.pcap"]
    assert output_stems(paths) == {
        "a/x.pcap": f"x-{hashed('a/x.pcap')}",
        "b/X.pcap": f"X-{hashed('b/X.pcap')}",
        "x.pcapng": f"x-{hashed('x.pcapng')}",
        "x-2.pcap": "x-2",
        "y.pcap": "y",
    }


def test_the_order_makes_no_difference() -> None:
    paths = ["a/x.pcap", "b/x.pcap", "c/index.pcap", "d/z.pcap"]
    expected = output_stems(paths, ["index"])
    assert all(output_stems(order, ["index"]) == expected for order in itertools.permutations(paths))


def test_names_that_are_one_after_normalisation_collide() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café.pcap") for form in ("NFC", "NFD"))
    assert len({unicodedata.normalize("NFC", name) for name in output_stems([composed, decomposed]).values()}) == 2
    assert all(name[-9] == "-" for name in output_stems([composed, decomposed]).values())
    assert all(name[-9] == "-" for name in output_stems(["straße.pcap", "STRASSE.pcap"]).values())


def test_what_is_reserved_is_nobodys_in_any_case() -> None:
    assert output_stems(["Index.pcap"], ["index"]) == {"Index.pcap": f"Index-{hashed('Index.pcap')}"}


def test_a_path_that_is_repeated_is_one_capture() -> None:
    assert output_stems(["a.pcap", "a.pcap"]) == {"a.pcap": "a"}


def test_a_name_made_to_look_like_anothers_is_told_apart() -> None:
    evil = f"x-{hashed('a/x.pcap')}.pcap"
    names = output_stems(["a/x.pcap", "b/x.pcap", evil])
    assert len(set(names.values())) == 3


def test_hashes_that_collide_get_longer() -> None:
    # Found by trying: the SHA-256 of both paths begins with the same eight digits.
    seen: dict[str, str] = {}
    for number in itertools.count():
        path = f"{number}/x.pcap"
        other = seen.setdefault(hashed(path), path)
        if other != path:
            break
    assert output_stems([path, other]) == {p: f"x-{hashed(p, 16)}" for p in (path, other)}


def test_every_name_fits() -> None:
    names = output_stems(["n" * 255, "語" * 85, "\udcff" * 255, "m" * 241])
    assert max(len(os.fsencode(f"{name}{LONGEST_SUFFIX}")) for name in names.values()) <= 255
    assert names["m" * 241] == "m" * 241
    assert all(name.isprintable() for name in names.values())

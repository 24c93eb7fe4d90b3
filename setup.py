"""Builds the compiled modules; everything else about the package is in pyproject.toml.

Reader and tracker are ordinary typed Python. mypyc makes extension modules of them where a C compiler is at hand, and
the package works without: a missing compiler, or a mypyc that fails, gives a pure installation with the same results.

``PCAPFLOW_COMPILE=0`` builds nothing. An editable installation builds nothing either unless ``PCAPFLOW_COMPILE=1``,
since a compiled module would shadow the source that is being edited.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Final

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

COMPILED_FOLDERS: Final = ("tcp", "reader", "tracker")
"""The hot path lies in these folders of the package, and nothing else is compiled."""

INTERPRETED: Final = (
    "reader/capture.py",  # a dataclass that is made once, with attributes of any kind
    "reader/compression.py",  # modules that are imported by name
    "reader/file_state.py",
    "reader/members.py",
    "reader/open.py",
    "reader/stream.py",  # the interpreter looks for Ctrl-C between its steps, compiled code does not
    "reader/tshark/fields.py",  # text, as tshark prints it
    "reader/tshark/layout.py",
    "reader/tshark/process.py",  # subclasses of pyshark's classes
    "reader/tshark/records.py",
    "reader/waypoints.py",
)
"""Modules there that stay as they are."""


def compiled() -> list[str]:
    """The modules to compile, by their paths in the checkout."""
    found = (path for folder in COMPILED_FOLDERS for path in Path("pcapflow", folder).rglob("*.py"))
    named = {f"pcapflow/{name}" for name in INTERPRETED}
    return sorted(path.as_posix() for path in found if path.name != "__init__.py" and path.as_posix() not in named)


OPTIONS: Final = ("--config-file=", "--follow-imports=skip")
"""The compiled modules are checked among themselves: a build has neither numpy nor pandas, and need not."""

CALLED_DIRECTLY: Final = [] if sys.platform == "win32" else ["-fvisibility=hidden"]
"""Functions of the compiled modules call one another as they are: what another library might replace, by the rules of
ELF, the compiler could not inline."""

INLINED: Final = [
    "-finline-limit=2000",
    "--param=large-function-growth=1000",
    "--param=inline-unit-growth=200",
    # Two numbers that were just stored one by one, loaded back as one vector, wait until both stores have reached the
    # cache (store forwarding): a tenth of what following a segment took.
    "-fno-tree-slp-vectorize",
]
"""gcc's limits are for code that people write; the functions that mypyc makes are long, and called from one place."""

_BUILDING: Final = {"bdist_wheel", "build", "build_ext", "install"}


def wanted() -> bool:
    """Whether this run of setup builds something, and is to compile it."""
    commands = set(sys.argv[1:])
    choice = os.environ.get("PCAPFLOW_COMPILE")
    if choice == "0":
        return False
    return bool(commands & _BUILDING) or (choice == "1" and bool(commands & {"develop", "editable_wheel"}))


class BuildAllOrNothing(build_ext):
    """Builds every extension module or, where one fails, none: the compiled modules only work together."""

    def build_extensions(self) -> None:
        """Compiles; what goes wrong is said and leaves a pure installation."""
        try:
            super().build_extensions()
        except Exception as error:  # noqa: BLE001 -- whatever is the matter with a compiler, there is a way without
            give_up(error)
            for module in self.extensions:
                Path(self.get_ext_fullpath(module.name)).unlink(missing_ok=True)
            self.extensions = []


def is_gcc() -> bool:
    """Whether the compiler is known to be gcc."""
    return "gcc" in (os.environ.get("CC") or sysconfig.get_config_var("CC") or "")


def give_up(error: BaseException) -> None:
    """Says that the installation goes on without compiled modules."""
    reason = f"{type(error).__name__}: {str(error)[:200]}"
    print(f"pcapflow: not compiled, the interpreted modules will be used ({reason})", file=sys.stderr)


def extensions() -> list[Extension]:
    """The extension modules; none where mypyc cannot make them."""
    try:
        from mypyc.build import mypycify

        modules: list[Extension] = mypycify([*OPTIONS, *compiled()], opt_level="3", group_name="pcapflow")
        for module in modules:
            # A list of its own: mypyc gives all modules the same one.
            module.extra_compile_args = [*module.extra_compile_args, *CALLED_DIRECTLY, *(INLINED if is_gcc() else [])]
    # mypyc ends the process when it finds a fault; that must not end the installation.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        give_up(error)
        return []
    return modules


setup(
    # The templates lie outside the package in a checkout, and are a package of their own in an installation.
    packages=[*find_packages(include=["pcapflow", "pcapflow.*"]), "pcapflow.templates"],
    ext_modules=extensions() if wanted() else [],
    cmdclass={"build_ext": BuildAllOrNothing},
)

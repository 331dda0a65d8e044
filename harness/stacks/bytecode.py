"""Puts an environment's byte code where its Python looks for it; run by that Python: `python bytecode.py FOLDER STORE`.

Compiling all modules of a stack takes the better part of a minute, and most of them are those of the stack before. So
what was compiled is kept in STORE by the content of its source, and a file that any environment has had is only written
again, as Python itself would have written it (below PYTHONPYCACHEPREFIX) but for the source's path inside, which each
import sets. Any number of processes may share a store, and be killed: a file is there whole or not at all, and a
damaged one is compiled anew.

It runs inside measured environments: it imports nothing beyond the standard library, and nothing of the project.
"""

import hashlib
import importlib.util
import marshal
import os
import struct
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

_CHECK = 16  # bytes of a digest that a kept file begins with


def place(store: Path, source: Path) -> None:
    """Write the byte code of a module, compiled now or ever before. What does not compile is left out.

    Raises:
        OSError: a file cannot be read or written.
    """
    text, status = source.read_bytes(), source.stat()
    digest = hashlib.blake2b(text, digest_size=_CHECK).hexdigest()
    kept = store / f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}" / digest[:2] / digest
    code = _read(kept)
    if code is None:
        try:
            code = marshal.dumps(compile(text, str(source), "exec", dont_inherit=True))
        except (SyntaxError, ValueError, RecursionError):
            return  # templates, and tests of other versions' syntax, are nobody's concern
        _write(kept, _digest(code) + code)
    stamp = struct.pack("<III", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    _write(Path(importlib.util.cache_from_source(str(source))), importlib.util.MAGIC_NUMBER + stamp + code)


def _digest(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=_CHECK).digest()


def _read(path: Path) -> bytes | None:
    """What is kept in a file, or None when it is not there, or not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    check, code = content[:_CHECK], content[_CHECK:]
    return code if check == _digest(code) else None


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def main() -> None:
    """Place the byte code of all modules below a folder, but for packages' tests."""
    folder, store = map(Path, sys.argv[1:])
    # Compiling warns of escapes in other people's strings.
    warnings.simplefilter("ignore")
    sources = []
    for here, below, names in os.walk(folder):
        below[:] = sorted(set(below) - {"test", "tests"})
        sources += [Path(here, name) for name in sorted(names) if name.endswith(".py")]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(place, store), sources, chunksize=32):
            pass


if __name__ == "__main__":
    main()

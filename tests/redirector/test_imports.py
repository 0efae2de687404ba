"""The redirector stays small: what its process must never load."""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = {"asyncpg", "dramatiq", "aioboto3", "jwt", "redis", "locust"}


def test_redirector_loads_neither_postgresql_nor_dramatiq() -> None:
    code = "import sys, redirector.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not FORBIDDEN & set(done.stdout.split())

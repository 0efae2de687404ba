from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import WORKER
from tests.databases import Databases


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[str]:
    """The owner's address of a database without tables."""
    name = f"stampgate_empty_{WORKER}"
    await databases.create(name)
    yield databases.urls(name).migrate
    await databases.drop(name)

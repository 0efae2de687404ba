"""A running gateway, and what its workers would do with the tasks that it leaves behind."""

from __future__ import annotations

from tests.gateway.conftest import (
    app,
    client,
    db,
    enter,
    fast_lane,
    gateway,
    open_partitions,
    pytest_asyncio_loop_factories,
    session,
    settings,
    staff,
)

__all__ = [
    "app",
    "client",
    "db",
    "enter",
    "fast_lane",
    "gateway",
    "open_partitions",
    "pytest_asyncio_loop_factories",
    "session",
    "settings",
    "staff",
]

"""A parent for the tests: `parent_app.py PORT METRICS_PORT WORKERS [worker arguments]`."""

from __future__ import annotations

import logging
import sys

from web import parent


def main() -> int:
    port, metrics_port, workers = map(int, sys.argv[1:4])
    argv = [sys.executable, "-m", "tests.web.worker", *sys.argv[4:]]
    logging.basicConfig(level="INFO")
    return parent.run_parent(
        "test",
        [parent.Child(f"test-{index}", argv, index) for index in range(workers)],
        listen=[parent.Address("127.0.0.1", port, "TEST_PORT")] * workers,
        metrics=parent.Address("127.0.0.1", metrics_port, "TEST_METRICS_PORT"),
        shutdown_timeout_s=1.0 if "--deaf" in sys.argv else 5.0,
        start_timeout_s=1.0 if "--hasty" in sys.argv else parent.START_TIMEOUT_S,
    )


if __name__ == "__main__":
    sys.exit(main())

"""`python -m edgewise.local.probe TARGET`: a health check from beside a process, for containers that have no curl.

TARGET is an address that must answer 200, or a file with the id of a process that must live. Imports next to nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgewise.local.probes import http_ok

USAGE = "usage: python -m edgewise.local.probe http://127.0.0.1:8080/healthz | /path/of/a.ready"


def main(arguments: Sequence[str]) -> int:
    """0 when all is well, 1 when it is not (with the reason on stderr), 2 for wrong usage."""
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    target = arguments[0]
    well = asyncio.run(_answers(target)) if target.startswith("http://") else names_a_live_process(Path(target))
    if not well:
        print(f"not well: {target}", file=sys.stderr)
    return 0 if well else 1


async def _answers(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    return await http_ok(f"{scheme}://{address}", slash + path or "/")


def names_a_live_process(file: Path) -> bool:
    """Whether the file is there and the process that it names lives, whoever's it is."""
    try:
        process_id = int(file.read_text(encoding="utf-8"))
        if process_id <= 0:  # not one process, but a group of them
            return False
        os.kill(process_id, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

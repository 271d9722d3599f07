"""`edgewise policy key`: the public key that devices verify policy bundles with (role operator)."""

from __future__ import annotations

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.tables import print_json, print_table, when


def policy_key(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """The public key that signs policy bundles, and the bundles that devices are offered now."""
    with operator(url, key, data_dir) as client:
        found = call(client, "GET", "/admin/v1/policy-key")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['public_key']}   ({found['key_id']})")
    rows = [
        (
            str(each["policy_version"]),
            str(each["version"]),
            each["digest"][:12],
            when(each["issued_at"]),
            when(each["not_after"]),
        )
        for each in found["bundles"]
    ]
    print_table(("policy", "bundle", "digest", "issued", "good until"), rows)

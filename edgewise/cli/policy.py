"""The command group `edgewise policy`: which commands there are, and in which order; what they do lies beside it."""

from __future__ import annotations

import typer

from edgewise.cli import (
    policy_diff,
    policy_explain,
    policy_fmt,
    policy_interchange,
    policy_key,
    policy_lint,
    policy_rollout,
    policy_tests,
    policy_trial,
    policy_versions,
)

app = typer.Typer(name="policy", help="Routing policies.", no_args_is_help=True)

_HERE = "On documents, without a server"
_THERE = "On the control plane (role operator)"

app.command("check", rich_help_panel=_HERE)(policy_lint.check_policy)
app.command("lint", rich_help_panel=_HERE)(policy_lint.lint)
app.command("test", rich_help_panel=_HERE)(policy_tests.run_tests)
app.command("fmt", rich_help_panel=_HERE)(policy_fmt.fmt)
app.command("diff", rich_help_panel=_HERE)(policy_diff.diff)
app.command("explain", rich_help_panel=_HERE)(policy_explain.explain)
app.command("import", rich_help_panel=_HERE)(policy_interchange.import_policy)
app.command("export", rich_help_panel=_HERE)(policy_interchange.export_policy)
app.command("key", rich_help_panel=_THERE)(policy_key.policy_key)
app.command("list", rich_help_panel=_THERE)(policy_versions.list_policies)
app.command("show", rich_help_panel=_THERE)(policy_versions.show_policy)
app.command("try", rich_help_panel=_THERE)(policy_trial.try_policy)
app.command("replay", rich_help_panel=_THERE)(policy_trial.replay)
app.command("save", rich_help_panel=_THERE)(policy_versions.save_policy)
app.command("apply", rich_help_panel=_THERE)(policy_versions.apply_policy)
app.command("activate", rich_help_panel=_THERE)(policy_versions.activate)
app.command("rollback", rich_help_panel=_THERE)(policy_versions.roll_back)
app.add_typer(policy_rollout.app, rich_help_panel=_THERE)

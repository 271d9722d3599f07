"""The `edgewise` command: one file per command group. It speaks to a running stack over HTTP; `up` starts one."""

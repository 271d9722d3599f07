"""Everything that crosses a process border: frames, errors, manifests, limits. No behaviour, no sockets."""

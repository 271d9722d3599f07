#!/bin/sh
# Makes keys for nodes, once: each argument is NAME:ROLE, each key goes to NAME.ROLE in the volume of keys.
# Asks the control plane as its operator; a node's key is bound to the node's name.
set -eu
umask 077
cd "${EDGEWISE_KEYS_DIR:-/var/lib/edgewise-keys}"
for wanted in "$@"; do
    name=${wanted%%:*}
    role=${wanted##*:}
    file=$name.$role
    if [ -s "$file" ]; then
        continue
    fi
    if [ "$role" = node ]; then
        edgewise keys create "$name" --role "$role" --device "$name" >".$file"
    else
        edgewise keys create "$name" --role "$role" >".$file"
    fi
    mv ".$file" "$file"
    echo "$file is made"
done

#!/bin/sh
# Makes what compose.yaml needs to be secret, once: passwords, and files that hold them, in the folder secrets/ beside it.
# Nobody else can enter that folder; the files in it are readable, because processes in containers run as other users.
set -eu
cd "$(dirname "$0")"

if [ -e secrets ]; then
    echo "secrets/ is here already; nothing was changed. To do: remove it first if you want new ones" >&2
    exit 1
fi

secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

umask 077
mkdir secrets
database=$(secret)
log=$(secret)
broker=$(secret)
metrics=$(secret)

printf '%s' "$database" >secrets/postgres-password
printf '%s' "$metrics" >secrets/metrics-token
printf '%s' "$(secret)" >secrets/grafana-password
printf 'requirepass %s\n' "$log" >secrets/token-log.conf
printf 'requirepass %s\n' "$broker" >secrets/broker.conf
cat >secrets/control.env <<END
EDGEWISE_DATABASE_URL=postgresql://edgewise:$database@postgres:5432/edgewise
EDGEWISE_LOG_URL=redis://:$log@token-log:6379/0
EDGEWISE_BROKER_URL=redis://:$broker@broker:6379/0
EDGEWISE_METRICS_TOKEN=$metrics
END
chmod 0444 secrets/postgres-password secrets/metrics-token secrets/grafana-password secrets/token-log.conf secrets/broker.conf
chmod 0400 secrets/control.env
echo "secrets/ is made. Grafana's user is admin, its password is in secrets/grafana-password"

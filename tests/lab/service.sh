#!/bin/sh
# service.sh - what a service manager does to the engine: reload, a bad reload, a second start, a stop
#
# Needs root. Ends with "N passed, N failed", and 0 only if none failed.

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
flowreeve=${FLOWREEVE:-$root/target/debug/flowreeve}
# shellcheck source=tests/lab/stage.sh
. "$root/tests/lab/stage.sh"

logged() { grep -q "$1" "$dir/engine.log"; }
pid_is() { [ "$(cat "$dir/engine.pid")" = "$1" ] && kill -0 "$1"; }

# scripts ENDING: settings under which exes_download knows this one ending.
scripts() {
    cat >"$dir/scripts.json" <<EOF
{"version": "1.0", "modules": {"scripts": {"0": {"id": 0, "name": "Default", "config": {"flow": {
  "exes_download": {"all": {"enabled": true, "script_conf": {"items": ["$1"]}}}}}}}}}
EOF
}

stage_up
web_up
scripts exe
engine_config "list plugins '$root/plugins'"
rules_up
engine_up
pid=$(cat "$dir/engine.pid")

check "setup.exe does not arrive" fetch_nothing "$web4" setup.exe
check "notes.txt arrives" fetch "$web4" notes.txt

scripts txt
kill -HUP "$pid"
check "a reload is logged" wait_for 3 logged 'configuration read again'
check "after it, setup.exe arrives" wait_for 3 fetch "$web4" setup.exe
check "and notes.txt does not" fetch_nothing "$web4" notes.txt

sed -i "s/option mode 'enforce'/option mode 'enforced'/" "$dir/flowreeve.conf"
kill -HUP "$pid"
check "a configuration with a slip is refused with file and line" \
    wait_for 3 logged "flowreeve.conf:3: .*enforced"
check "and the one before it stays in force" fetch_nothing "$web4" notes.txt
check "the engine is the same process" pid_is "$pid"
sed -i "s/option mode 'enforced'/option mode 'enforce'/" "$dir/flowreeve.conf"

status=0
ip netns exec "$prefix-router" timeout 5 "$flowreeve" run --config "$dir/flowreeve.conf" \
    >"$dir/second.log" 2>&1 || status=$?
check "a second engine ends with exit code 4" [ "$status" = 4 ]
check "and says that the queue is taken" grep -q 'another program is bound' "$dir/second.log"
check "the first goes on" fetch_nothing "$web4" notes.txt

begun=$(date +%s)
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
check "TERM ends it with exit code 0" [ "$status" = 0 ]
check "within two seconds" [ $(($(date +%s) - begun)) -le 2 ]
check "its flows are in the record, ended by the stop" grep -q '"reason":"shutdown"' "$dir/eve.json"
check "and so are its counters" grep -q '"event_type":"stats"' "$dir/eve.json"
check "its queue is gone" wait_for 3 queue_unbound
check "traffic goes on" fetch "$web4" notes.txt

summary

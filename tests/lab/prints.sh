#!/bin/sh
# prints.sh - scripts print a lot and nobody reads it: no packet waits for that
#
# Needs root. Ends with "N passed, N failed", and 0 only if none failed.

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
flowreeve=${FLOWREEVE:-$root/target/debug/flowreeve}
# shellcheck source=tests/lab/stage.sh
. "$root/tests/lab/stage.sh"

stage_up
web_up
mkdir -p "$dir/plugins/callbacks/interface/flow"
cat >"$dir/plugins/callbacks/interface/flow/loud.lua" <<'EOF'
local script = { hooks = {} }
function script.hooks.protocolDetected()
  for _ = 1, 200 do io.write(("x"):rep(70), "\n") end
end
return script
EOF
engine_config "list plugins '$dir/plugins'"
rules_up

# A pipe that is open at its other end, and never read there.
mkfifo "$dir/pipe"
exec 9<>"$dir/pipe"
ip netns exec "$prefix-router" "$flowreeve" run --config "$dir/flowreeve.conf" \
    >"$dir/pipe" 2>"$dir/engine.log" 9<&- &
echo $! >"$dir/engine.pid"
pids="$pids $!"
check "the engine runs" wait_for 10 queue_bound

# 14 KiB a flow: a pipe holds 64.
for number in 1 2 3 4 5 6 7 8; do
    check "download $number arrives" fetch "$web4" notes.txt
done
check_not "the watchdog found nobody stuck" grep -q 'closed it' "$dir/engine.log"
stop engine
check "and it stops when told" wait_for 3 queue_unbound
check "in its own words" grep -q stopped "$dir/engine.log"

summary

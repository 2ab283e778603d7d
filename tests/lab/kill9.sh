#!/bin/sh
# kill9.sh - the engine dies under traffic: traffic goes on, and after a restart it blocks again
#
# Needs root. Ends with "N passed, N failed", and 0 only if none failed.

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
flowreeve=${FLOWREEVE:-$root/target/debug/flowreeve}
# shellcheck source=tests/lab/stage.sh
. "$root/tests/lab/stage.sh"

stage_up
web_up
engine_config "list plugins '$root/plugins'"
rules_up
engine_up

for at in "$web4" "$web6"; do
    check "before: notes.txt at $at arrives" fetch "$at" notes.txt
    check "before: setup.exe at $at does not" fetch_nothing "$at" setup.exe
done

# Two downloads of about four seconds, one a family; the engine dies in their middle.
start film4 client curl -gsf -m 30 --limit-rate 4M -o "$dir/film4" "http://$web4/files/film.bin"
start film6 client curl -gsf -m 30 --limit-rate 4M -o "$dir/film6" "http://[$web6]/files/film.bin"
wait_for 5 test -s "$dir/film4"
wait_for 5 test -s "$dir/film6"
stop engine KILL
check "its queue is gone" wait_for 5 queue_unbound

for at in "$web4" "$web6"; do
    check "without it: notes.txt at $at arrives" fetch "$at" notes.txt
    check "without it: setup.exe at $at arrives too, as fail_open says" fetch "$at" setup.exe
done
for film in film4 film6; do
    wait "$(cat "$dir/$film.pid")" || :
    check "$film, begun before, is whole" cmp -s "$dir/$film" "$dir/www/files/film.bin"
done

engine_start
for at in "$web4" "$web6"; do
    check "after: notes.txt at $at arrives" fetch "$at" notes.txt
    check "after: setup.exe at $at does not" fetch_nothing "$at" setup.exe
done

summary

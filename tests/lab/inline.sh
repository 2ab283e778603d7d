#!/bin/sh
# inline.sh - bundled plugins and the pages' examples before real clients and servers, both IP versions
#
# Needs root. Ends with "N passed, N failed", and 0 only if none failed.

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
flowreeve=${FLOWREEVE:-$root/target/debug/flowreeve}
examples=$root/tests/plugins/examples
# shellcheck source=tests/lab/stage.sh
. "$root/tests/lab/stage.sh"

# scripts SCRIPT ITEM...: the configuration of one script with a list.
scripts() {
    script=$1
    shift
    items=$(printf ',"%s"' "$@")
    cat >"$dir/scripts.json" <<EOF
{"version":"1.0","modules":{"scripts":{"0":{"id":0,"name":"Default","config":{"flow":{
  "$script":{"all":{"enabled":true,"script_conf":{"items":[${items#,}]}}}}}}}}}
EOF
}

# said TEXT: by a script, on the engine's output.
said() { grep -qF "$1" "$dir/engine.log"; }

stage_up
web_up
dns_up
tls_up
scripts unexpected_hosts bad.example
engine_config "list plugins '$root/plugins'"
rules_up

echo "== bundled: hosts by name"
engine_up
for at in "$web4" "$web6"; do
    check "TLS to good.example at $at comes about" handshake "$at" good.example
    check_not "TLS to www.bad.example at $at does not" handshake "$at" www.bad.example
    check "the engine says why" test "$(reason drop "$at" 443)" = \
        "score 200 > 100: unexpected_hosts/status_unexpected_host"
    check_not "HTTP for bad.example at $at brings nothing" fetch "$at" notes.txt -H 'Host: bad.example'
    check "a query for good.example at $at is answered" lookup "$at" good.example
    check_not "a query for a.bad.example at $at is not" lookup "$at" a.bad.example
done
stop engine

echo "== example: the tutorial's first step prints"
engine_config "list plugins '$examples/tutorial_first'"
engine_up
for at in "$web4" "$web6"; do
    check "setup.exe at $at arrives" fetch "$at" setup.exe
    check "its URL is printed" wait_for 3 said "last_url: $(bracketed "$at")/files/setup.exe [[HTTP] TCP "
done
stop engine

echo "== example: the tutorial's plugin alerts, and blocks over a threshold of 99"
engine_config "list plugins '$examples/tutorial'"
engine_up
for at in "$web4" "$web6"; do
    check "setup.exe at $at arrives" fetch "$at" setup.exe
    check "there is an alert" wait_for 3 event alert "$at" 80
done
stop engine
engine_config "list plugins '$examples/tutorial'" "option threshold '99'"
engine_up
for at in "$web4" "$web6"; do
    check "no byte of setup.exe at $at arrives" fetch_nothing "$at" setup.exe
    check "the engine says why" test "$(reason drop "$at" 80)" = \
        "score 100 > 99: exes_download/status_exe_download"
    check "notes.txt at $at arrives" fetch "$at" notes.txt
done
stop engine

echo "== example: the country script speaks"
engine_config "list plugins '$dir/none'" "list flow_scripts '$examples/countries/callbacks/interface/flow'" \
    "option geo_country '$root/tests/plugins/countries.mmdb'"
engine_up
check "a query to a server in Germany is answered" lookup "$web4" good.example
check_not "and nothing is said" said "From China"
check "a query to a server in China is answered" lookup "$bad4" good.example
check "and its country is named" wait_for 3 said " string From China"
stop engine

echo "== example: the blog's plugin alerts, and blocks over a threshold of 99"
scripts unexpected_dns "$web4" "$web6"
engine_config "list plugins '$examples/blog'"
engine_up
for at in "$bad4" "$bad6"; do
    check "the server at $at answers" lookup "$at" good.example
    check "there is an alert" wait_for 3 event alert "$at" 53
done
stop engine
engine_config "list plugins '$examples/blog'" "option threshold '99'"
engine_up
for at in "$bad4" "$bad6"; do
    check_not "the server at $at gives no answer" lookup "$at" good.example
    check "the engine says why" test "$(reason drop "$at" 53)" = \
        "score 100 > 99: unexpected_dns/status_unexpected_dns"
done
for at in "$web4" "$web6"; do
    check "the allowed server at $at answers" lookup "$at" good.example
done
stop engine

echo "== example: the custom script alerts"
engine_config "list plugins '$dir/none'" "option custom_scripts '$examples/custom/callbacks/checks/flows'"
engine_up
for at in "$web4" "$web6"; do
    check "the server at $at answers" lookup "$at" good.example
    check "there is an alert" wait_for 3 event alert "$at" 53
    check "with the script's message" grep -qF 'dummy alert message' "$dir/eve.json"
done
stop engine

summary

#!/bin/sh
# run.sh - the product at work: downloads and DNS queries that pass, and some that do not
#
#   make demo           builds, shows, and stays up to be tried by hand until Ctrl-C
#   make demo ONCE=1    shows and ends; 0 only if each expectation held
#
# As root, and with NFQUEUE in the kernel, it plays live between three network namespaces; nothing outside them is
# touched. Otherwise it says so and replays captures through the same engine.

set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
flowreeve=${FLOWREEVE:-$root/target/release/flowreeve}
# shellcheck source=tests/lab/stage.sh
. "$root/tests/lab/stage.sh"

packages="nginx-light dnsmasq-base bind9-dnsutils curl iproute2 iptables nftables conntrack ethtool openssl procps
    iputils-ping"

# A C compiler builds Lua; the rest is for the live stage.
install_missing() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    missing=
    command -v cc >/dev/null || missing=build-essential
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    # Packages that bring a service must not start it: the demo runs its own. (101: "not allowed", invoke-rc.d(8))
    policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    # shellcheck disable=SC2086
    { timeout 300 apt-get -qq update &&
        DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq -y --no-install-recommends install $missing; } \
        >/dev/null || echo "could not install all of it; going on with what is here"
    [ -z "$policy" ] || rm -f "$policy"
}

# row WHAT RESULT REASON [ok|bad]
row() {
    printf '  %-34s %-12s %s\n' "$1" "$2" "$3"
    "count_$4"
}
count_ok() { passed=$((passed + 1)); }
count_bad() { failed=$((failed + 1)); }

# passes WHAT COMMAND...: it must work.
passes() {
    what=$1
    shift
    if "$@"; then row "$what" passed "" ok; else row "$what" "NO" "should have passed" bad; fi
}

# blocked WHAT ADDRESS PORT COMMAND...: COMMAND succeeds if nothing came through, and the engine has a reason.
blocked() {
    what=$1 at=$2 port=$3
    shift 3
    if ! "$@"; then
        row "$what" "NO" "should have been stopped" bad
    elif why=$(reason drop "$at" "$port"); then
        row "$what" stopped "$why" ok
    else
        row "$what" "NO" "did not come through, but the engine names no reason" bad
    fi
}

# Neither a byte of the body at the client nor the request at the server.
download_dies() {
    fetch_nothing "$1" setup.exe && ! grep -q "^$2 /files/setup.exe " "$dir/access.log"
}

# Neither an answer at the client nor the query at the server.
query_dies() {
    ! lookup "$1" shop.example && ! grep -q "shop.example from $2" "$dir/dns-bad.queries"
}

live() {
    stage_up
    web_up
    dns_up
    cp "$root/demo/scripts.json" "$dir/scripts.json"
    engine_config "list plugins '$root/plugins'"
    rules_up
    engine_up
    echo
    echo "A client, a router with flowreeve inside, a server: what the client asks for crosses the router."
    for family in 4 6; do
        if [ $family = 4 ]; then
            good=$web4 other=$bad4 client=10.77.1.2
        else
            good=$web6 other=$bad6 client=fd77:1::2
        fi
        echo
        echo "IPv$family"
        passes "download notes.txt" fetch "$good" notes.txt
        blocked "download setup.exe" "$good" 80 download_dies "$good" "$client"
        passes "ask the allowed DNS server" lookup "$good" shop.example
        blocked "ask another DNS server" "$other" 53 query_dies "$other" "$client"
    done
    echo
    [ -z "${ONCE:-}" ] || return 0
    cat <<EOF
It stays up. Try it from another terminal:

  ip netns exec $prefix-client curl -m 5 http://$web4/files/setup.exe -o /dev/null
  ip netns exec $prefix-client curl -m 5 http://$web4/files/notes.txt -o /dev/null
  ip netns exec $prefix-client dig +time=2 +tries=1 @$bad4 example.org
  ip netns exec $prefix-client dig +time=2 +tries=1 @$web4 example.org
  tail -f $dir/eve.json

Ctrl-C ends it. What is stopped meanwhile:

EOF
    trap 'exit 0' INT
    tail -n 0 -F --pid="$(cat "$dir/engine.pid")" "$dir/eve.json" 2>/dev/null | stopped_flows &
    wait "$(cat "$dir/engine.pid")" || :
}

# Drop events, a line each.
stopped_flows() {
    while read -r line; do
        case $line in *'"event_type":"drop"'*) ;; *) continue ;; esac
        echo "$line" | sed -n 's/.*"dest_ip":"\([^"]*\)".*"reason":"\([^"]*\)".*/  to \1: \2/p'
    done
}

# replayed WHAT WANTED CAPTURE: the verdict on a capture's flow.
replayed() {
    events=$(timeout 60 "$flowreeve" replay --config "$dir/flowreeve.conf" \
        "$root/tests/captures/$3" 2>"$dir/replay.log") || {
        row "$1" "NO" "replay failed: $(tail -n 1 "$dir/replay.log")" bad
        return
    }
    why=$(echo "$events" | grep '"event_type":"drop"' | sed -n 's/.*"reason":"\([^"]*\)".*/\1/p' | head -n 1)
    if [ "$2" = stopped ] && [ -n "$why" ]; then
        row "$1" stopped "$why" ok
    elif [ "$2" = passed ] && [ -z "$why" ] && echo "$events" | grep -q '"event_type":"flow"'; then
        row "$1" passed "" ok
    else
        row "$1" "NO" "should have been $2" bad
    fi
}

replay() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/flowreeve.XXXXXX")
    trap 'rm -rf "$dir"' EXIT
    engine_config "list plugins '$root/plugins'"
    cp "$root/tests/plugins/unexpected_dns/allowed/scripts.json" "$dir/scripts.json"
    for family in 4 6; do
        echo
        echo "IPv$family"
        replayed "download of a page" passed http_ok_v$family.pcap
        replayed "download of a program" stopped http_exe_v$family.pcap
        replayed "query to the allowed DNS server" passed dns_v$family.pcap
        replayed "query to another DNS server" stopped dns_other_server_v$family.pcap
    done
    echo
}

install_missing
[ -n "${FLOWREEVE:-}" ] || cargo build --release --locked --manifest-path "$root/Cargo.toml"
lacks=$(stage_lacks)
if [ -z "$lacks" ]; then
    live
else
    echo
    echo "No live stage here: $lacks. Replaying captures through the same engine instead."
    replay
fi
summary

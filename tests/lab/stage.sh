# shellcheck shell=sh
# stage.sh - the stage on which the demo and the lab tests play; sourced, not run
#
# Three namespaces (netns.sh): client, router, server. In the server's: nginx, two dnsmasq (one we
# allow, one we do not), openssl s_server. In the router's: flowreeve, with the firewall rules it renders itself.
# Whoever sources this has set $root (the project's folder) and $flowreeve (the program); it gets $dir (a temporary
# folder, gone at the end) and a trap that ends what was started here, and nothing else.

: "${root:?names the folder of the project}" "${flowreeve:?names the program}"
prefix=${LAB_PREFIX:-reeve$$}
netns=${LAB_NETNS:-$root/tests/lab/netns.sh}

# Beside the router's other side; the second pair is the forbidden DNS server's.
web4=10.77.2.2 web6=fd77:2::2
bad4=10.77.2.3 bad6=fd77:2::3

dir=
pids=
passed=0
failed=0

# ---------------------------------------------------------------- helpers --

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    tries=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

# start NAME NAMESPACE COMMAND...: in the background, output to $dir/NAME.log, pid in $dir/NAME.pid.
start() {
    name=$1 place=$2
    shift 2
    ip netns exec "$prefix-$place" "$@" >>"$dir/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
    pids="$pids $!"
}

# stop NAME [SIGNAL]: what start started; waits until it is gone.
stop() {
    pid=$(cat "$dir/$1.pid")
    kill "-${2:-TERM}" "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
    kept=
    for other in $pids; do
        [ "$other" = "$pid" ] || kept="$kept $other"
    done
    pids=$kept
}

ok() { passed=$((passed + 1)); printf 'ok      %s\n' "$*"; }
bad() { failed=$((failed + 1)); printf 'FAILED  %s\n' "$*"; }

# check TEXT COMMAND...: must succeed.   check_not TEXT COMMAND...: must not.
check() {
    text=$1
    shift
    if "$@"; then ok "$text"; else bad "$text"; fi
}

check_not() {
    text=$1
    shift
    if "$@"; then bad "$text"; else ok "$text"; fi
}

# The last line, and how the script ends.
summary() {
    if [ "$failed" -gt 0 ] && [ -s "$dir/engine.log" ]; then
        echo "--- the engine said:"
        tail -n 20 "$dir/engine.log"
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# What is missing here for a live stage, in words; nothing if it can be.
stage_lacks() {
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    for tool in ip iptables ip6tables nft nginx dnsmasq dig curl openssl; do
        command -v "$tool" >/dev/null 2>&1 || { echo "no $tool"; return; }
    done
    ip netns add "$prefix-probe" 2>/dev/null || { echo "no network namespaces"; return; }
    if ! ip netns exec "$prefix-probe" iptables -w -t mangle -A FORWARD \
        -j NFQUEUE --queue-num 1 --queue-bypass 2>/dev/null; then
        echo "no NFQUEUE in this kernel"
    fi
    ip netns del "$prefix-probe"
}

# ------------------------------------------------------------------- stage --

stage_up() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/flowreeve.XXXXXX")
    trap stage_down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$netns" up --prefix "$prefix" --mode plain
    ip netns exec "$prefix-server" ip addr add "$bad4/24" dev s0
    ip netns exec "$prefix-server" ip -6 addr add "$bad6/64" dev s0 nodad
}

stage_down() {
    trap - EXIT INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in $pids; do
        # Whoever has not gone after two seconds is not asked again.
        wait_for 2 gone "$pid" || kill -9 "$pid" 2>/dev/null || :
    done
    "$netns" down --prefix "$prefix" >/dev/null 2>&1 || :
    [ -z "$dir" ] || rm -rf "$dir"
}

gone() {
    ! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# An allowed file, a large one, and one called setup.exe, over both families.
web_up() {
    mkdir -p "$dir/www/files"
    head -c 65536 /dev/urandom >"$dir/www/files/notes.txt"
    head -c 1048576 /dev/urandom >"$dir/www/files/setup.exe"
    head -c 16777216 /dev/urandom >"$dir/www/files/film.bin"
    cat >"$dir/nginx.conf" <<EOF
user root;
daemon off;
worker_processes 1;
pid $dir/nginx-master.pid;
error_log $dir/nginx-error.log;
events { worker_connections 256; }
http {
    log_format plain '\$remote_addr \$request_uri \$status';
    access_log $dir/access.log plain;
    client_body_temp_path $dir/nginx-body;
    proxy_temp_path $dir/nginx-proxy;
    fastcgi_temp_path $dir/nginx-fastcgi;
    uwsgi_temp_path $dir/nginx-uwsgi;
    scgi_temp_path $dir/nginx-scgi;
    server {
        listen $web4:80;
        listen [$web6]:80;
        root $dir/www;
    }
}
EOF
    start nginx server nginx -p "$dir" -e "$dir/nginx-error.log" -c "$dir/nginx.conf"
    wait_for 5 listens tcp 80
}

# Both answer every name with the same address: only who is asked differs.
dns_up() {
    dns_server good "$web4" "$web6"
    dns_server bad "$bad4" "$bad6"
    wait_for 5 listens udp 53
}

dns_server() {
    start "dns-$1" server dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
        --user=root --pid-file="$dir/dnsmasq-$1.pid" --bind-interfaces --except-interface=lo \
        --listen-address="$2" --listen-address="$3" --log-queries --log-facility="$dir/dns-$1.queries" \
        '--address=/#/192.0.2.80'
}

tls_up() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=good.example -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
    start tls4 server openssl s_server -quiet -accept "$web4:443" -key "$dir/tls.key" -cert "$dir/tls.crt" -www
    start tls6 server openssl s_server -quiet -accept "[$web6]:443" -key "$dir/tls.key" -cert "$dir/tls.crt" -www
    wait_for 5 listens tcp 443
}

# listens tcp|udp PORT: two sockets there, one a family.
listens() {
    [ "$(ip netns exec "$prefix-server" ss -Hln "--$1" "sport = :$2" | wc -l)" -ge 2 ]
}

# ------------------------------------------------------------------ engine --

# engine_config LINE...: $dir/flowreeve.conf, enforcing on what the client's side forwards; LINEs are further ones
# of its main section.
engine_config() {
    {
        printf '%s\n' "config main" \
            "	option enabled '1'" \
            "	option mode 'enforce'" \
            "	list device 'r0'" \
            "	option queues '1'" \
            "	option scripts_file '$dir/scripts.json'"
        for line; do printf '\t%s\n' "$line"; done
        printf '%s\n' "" "config eve" "	option output '$dir/eve.json'"
    } >"$dir/flowreeve.conf"
}

# The kernel's side: all in nft where the kernel has its queue statement, else with iptables' NFQUEUE.
rules_up() {
    "$flowreeve" render-nft --config "$dir/flowreeve.conf" >"$dir/rules.nft"
    if ip netns exec "$prefix-router" nft -f "$dir/rules.nft" 2>/dev/null; then
        return
    fi
    "$flowreeve" render-nft --no-queue --config "$dir/flowreeve.conf" >"$dir/rules.nft"
    "$flowreeve" render-iptables --config "$dir/flowreeve.conf" >"$dir/rules.sh"
    ip netns exec "$prefix-router" nft -f "$dir/rules.nft"
    ip netns exec "$prefix-router" sh -e "$dir/rules.sh"
}

# Starts it on an empty record of events; waits until its queue is there.
engine_up() {
    rm -f "$dir/eve.json" "$dir/engine.log"
    engine_start
}

engine_start() {
    start engine router "$flowreeve" run --config "$dir/flowreeve.conf"
    wait_for 10 queue_bound || {
        echo "the engine did not come up:" >&2
        cat "$dir/engine.log" >&2
        return 1
    }
}

queue_bound() {
    ip netns exec "$prefix-router" grep -q . /proc/net/netfilter/nfnetlink_queue
}

queue_unbound() { ! queue_bound; }

# event TYPE ADDRESS PORT: the last event of this type with this server, one JSON line; fails if there is none.
event() {
    grep "\"event_type\":\"$1\"" "$dir/eve.json" 2>/dev/null |
        grep "\"dest_ip\":\"$2\"" | grep "\"dest_port\":$3[,}]" | tail -n 1 | grep .
}

# reason TYPE ADDRESS PORT: why the engine judged as it did, in its own words. Waits for the record.
reason() {
    wait_for 3 event "$@" || return 1
    # Greedy: the last "reason" is the verdict's, the one before it may be the flow's end.
    event "$@" | sed -n 's/.*"reason":"\([^"]*\)".*/\1/p'
}

# ------------------------------------------------------------------ client --

# The address of a URL: IPv6 in brackets.
bracketed() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }

# fetch ADDRESS FILE [curl options]: the file, whole, as it is on the server.
fetch() (
    url=http://$(bracketed "$1")/files/$2 file=$2
    shift 2
    rm -f "$dir/body"
    ip netns exec "$prefix-client" curl -gsf -m 4 -o "$dir/body" "$@" "$url" &&
        cmp -s "$dir/body" "$dir/www/files/$file"
)

# fetch_nothing ADDRESS FILE: not one byte of it arrives.
fetch_nothing() { ! fetch "$1" "$2" && [ ! -s "$dir/body" ]; }

# lookup ADDRESS NAME: the server there answers.
lookup() {
    ip netns exec "$prefix-client" dig +short +time=2 +tries=1 "@$1" "$2" A 2>/dev/null | grep -qx 192.0.2.80
}

# handshake ADDRESS NAME: TLS comes about with this server name.
handshake() {
    ip netns exec "$prefix-client" timeout 4 openssl s_client -connect "$(bracketed "$1"):443" \
        -servername "$2" </dev/null 2>/dev/null | grep -q 'BEGIN CERTIFICATE'
}

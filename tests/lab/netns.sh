#!/bin/sh
# netns.sh - a router between two hosts, in three network namespaces
#
#     PREFIX-client            PREFIX-router             PREFIX-server
#       c0 10.77.1.2/24  <-->  r0 10.77.1.1/24
#                              r1 10.77.2.1/24  <-->  s0 10.77.2.2/24
#       fd77:1::2/64           fd77:1::1 fd77:2::1        fd77:2::2/64
#
# The router forwards IPv4 and IPv6. What stands in its FORWARD hook is chosen:
#
#     plain   connections are tracked, nothing is queued
#     queue   every packet is queued, by one bare rule and nothing else
#     ours    the product's own table (standard input, as `render-nft --no-queue`
#             prints it) and the iptables rule that queues by its mark
#
# An engine runs inside the router's namespace:
#
#     flowreeve render-nft --no-queue | netns.sh up --mode ours --queue 4200
#     netns.sh exec router flowreeve run ... &
#     netns.sh exec client curl http://10.77.2.2/
#     netns.sh down
#
# Nothing outside the three namespaces is touched, and no address in them can be
# reached from outside. Labs with different prefixes do not see each other.
#
# Needs root, iproute2, iptables with NFQUEUE; for `ours` nft, for `forget` and
# `flows` conntrack. ethtool is used where there is one.

set -eu

me=${0##*/}
PREFIX=${LAB_PREFIX:-flowreeve}
MODE=plain
QUEUE=4200          # number of the first queue
QUEUES=1
BYPASS=on           # accept when nobody listens on the queue
GSO=on              # TSO, GSO and GRO of the links; off: packets of wire size
MTU=1500
SINK=9000:9999      # UDP ports the server counts and throws away

usage() {
    cat <<EOF
usage: $me COMMAND [options]

commands
  up                 build the lab (removes one of the same prefix first)
  down               remove it and end what runs in it
  rules              write the router's rules anew, everything else stays
  exec NS COMMAND    run COMMAND in client, router or server
  status             addresses, rules with counters, queues
  counters           packets in and out, and those the queues lost, in one line
  forget             forget all connections: the next packet of each is a first
  flows              connections that carry a mark

options
  --prefix NAME            names of the namespaces       [$PREFIX]
  --mode plain|queue|ours  see above                     [$MODE]
  --queue N                first queue                   [$QUEUE]
  --queues N               how many                      [$QUEUES]
  --bypass on|off          accept if nobody listens      [$BYPASS]
  --gso on|off             offloads of the links         [$GSO]
  --mtu N                                                [$MTU]
  --sink A:B               UDP ports the server drops    [$SINK]
EOF
}

die() { echo "$me: $*" >&2; exit 1; }

in_ns() { _ns=$PREFIX-$1; shift; ip netns exec "$_ns" "$@"; }

there() { ip netns list | awk '{print $1}' | grep -qx "$PREFIX-$1"; }

both_iptables() { # the same rule for both IP versions: NAMESPACE RULE...
    _n=$1; shift
    in_ns "$_n" iptables -w "$@"
    in_ns "$_n" ip6tables -w "$@"
}

# NAMESPACE KEY VALUE; a key this kernel lacks is passed over
tune() { in_ns "$1" sysctl -qw "$2=$3" 2>/dev/null || :; }

address() { # NAMESPACE DEVICE V4 V6
    in_ns "$1" ip addr add "$3" dev "$2"
    in_ns "$1" ip -6 addr add "$4" dev "$2" nodad
}

build() {
    remove
    for n in client router server; do
        ip netns add "$PREFIX-$n"
        in_ns $n ip link set lo up
    done
    # Pairs are made inside, so that no name of theirs shows up on the machine.
    in_ns router ip link add r0 type veth peer name c0 netns "$PREFIX-client"
    in_ns router ip link add r1 type veth peer name s0 netns "$PREFIX-server"
    tune_all
    for link in client:c0 router:r0 router:r1 server:s0; do
        n=${link%%:*}; device=${link##*:}
        in_ns "$n" ip link set dev "$device" mtu "$MTU" txqueuelen 10000
        if command -v ethtool >/dev/null; then
            in_ns "$n" ethtool -K "$device" tso "$GSO" gso "$GSO" gro "$GSO" >/dev/null 2>&1 || :
            # without GSO no postponed checksums either: packets are complete
            [ "$GSO" = on ] ||
                in_ns "$n" ethtool -K "$device" tx off sg off >/dev/null 2>&1 || :
        fi
        in_ns "$n" ip link set dev "$device" up
    done
    address client c0 10.77.1.2/24 fd77:1::2/64
    address router r0 10.77.1.1/24 fd77:1::1/64
    address router r1 10.77.2.1/24 fd77:2::1/64
    address server s0 10.77.2.2/24 fd77:2::2/64
    for version in -4 -6; do
        case $version in -4) a=10.77.1.1 b=10.77.2.1 ;; *) a=fd77:1::1 b=fd77:2::1 ;; esac
        in_ns client ip $version route add default via $a
        in_ns server ip $version route add default via $b
    done
    # Before anything else can see them: no receiving program is measured along.
    both_iptables server -t raw -A PREROUTING -p udp --dport "$SINK" -j DROP
    rules
    # Settles ARP and neighbour discovery. The router's own packets are not queued.
    for to in 10.77.1.2 10.77.2.2 fd77:1::2 fd77:2::2; do
        in_ns router ping -c1 -W1 $to >/dev/null 2>&1 || :
    done
}

tune_all() {
    tune router net.ipv4.ip_forward 1
    tune router net.ipv6.conf.all.forwarding 1
    tune router net.netfilter.nf_conntrack_acct 1
    # Short connections by the thousand are not to fill tables or use up ports.
    tune router net.netfilter.nf_conntrack_tcp_timeout_time_wait 1
    tune router net.netfilter.nf_conntrack_tcp_timeout_close 1
    for n in client server; do
        tune $n net.ipv4.ip_local_port_range "1024 65000"
        tune $n net.ipv4.tcp_tw_reuse 1
        tune $n net.core.somaxconn 8192
        tune $n net.ipv4.tcp_max_syn_backlog 8192
        tune $n net.ipv4.tcp_congestion_control cubic
        tune $n net.ipv4.tcp_no_metrics_save 1
        # Who has been dropped gives up soon, and does not disturb what comes next.
        tune $n net.ipv4.tcp_orphan_retries 1
    done
    for n in client router server; do
        tune $n net.ipv4.conf.all.rp_filter 0
        tune $n net.ipv4.conf.default.rp_filter 0
        tune $n net.ipv6.conf.default.accept_dad 0
        tune $n net.ipv6.conf.default.accept_ra 0
        tune $n net.ipv4.icmp_ratelimit 0
    done
}

rules() {
    both_iptables router -t mangle -F
    if command -v nft >/dev/null; then
        for table in $(in_ns router nft list tables inet | awk '{print $3}'); do
            in_ns router nft delete table inet "$table"
        done
    fi
    # Connections are tracked only while a rule asks for it. This one asks and does
    # nothing, so that the modes differ in what they are named for.
    both_iptables router -t mangle -A FORWARD -m conntrack --ctstate INVALID
    case $MODE in
        plain) return ;;
        queue) set -- ;;
        ours)
            in_ns router nft -f -
            set -- -m mark --mark 0x0f000000/0x0f000000
            ;;
    esac
    if [ "$QUEUES" -gt 1 ]; then
        set -- "$@" -j NFQUEUE --queue-balance "$QUEUE:$((QUEUE + QUEUES - 1))"
    else
        set -- "$@" -j NFQUEUE --queue-num "$QUEUE"
    fi
    [ "$BYPASS" = off ] || set -- "$@" --queue-bypass
    both_iptables router -t mangle -A FORWARD "$@"
}

remove() {
    for n in client router server; do
        there $n || continue
        # by number, and only what runs inside
        for pid in $(ip netns pids "$PREFIX-$n"); do
            kill "$pid" 2>/dev/null || :
        done
        ip netns del "$PREFIX-$n"
    done
}

statistic() { in_ns "$1" cat "/sys/class/net/$2/statistics/$3"; }

queue_column() {
    # shellcheck disable=SC2016 # the columns are awk's
    in_ns router awk -v c="$1" '{s += $c} END {print s + 0}' /proc/net/netfilter/nfnetlink_queue
}

counters() {
    echo "client_tx=$(statistic client c0 tx_packets)" \
        "router_rx=$(statistic router r0 rx_packets)" \
        "router_tx=$(statistic router r1 tx_packets)" \
        "server_rx=$(statistic server s0 rx_packets)" \
        "server_rx_bytes=$(statistic server s0 rx_bytes)" \
        "queue_dropped=$(queue_column 6) user_dropped=$(queue_column 7)"
}

status() {
    for n in client router server; do
        echo "== $PREFIX-$n"
        in_ns $n ip -br addr
    done
    echo "== rules"
    in_ns router iptables -t mangle -vnL FORWARD
    in_ns router nft list ruleset inet 2>/dev/null || :
    echo "== queues: number port waiting mode range queue-dropped user-dropped last-number"
    in_ns router cat /proc/net/netfilter/nfnetlink_queue
    counters
}

[ $# -gt 0 ] || { usage; exit 2; }
command=$1; shift

if [ "$command" = exec ]; then
    [ "${1:-}" != --prefix ] || { PREFIX=$2; shift 2; }
    [ $# -ge 2 ] || die "exec wants a namespace and a command"
    there "$1" || die "no namespace $PREFIX-$1 ('$me up' makes it)"
    name=$PREFIX-$1; shift
    exec ip netns exec "$name" "$@"
fi

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "'$1' wants a value"
    case $1 in
        --mode)   case $2 in plain|queue|ours) ;; *) die "no mode '$2'" ;; esac ;;
        --bypass|--gso) case $2 in on|off) ;; *) die "$1 is on or off, not '$2'" ;; esac ;;
        --queue|--queues|--mtu) case $2 in ''|*[!0-9]*) die "$1 wants a number, not '$2'" ;; esac ;;
    esac
    case $1 in
        --prefix) PREFIX=$2 ;;
        --mode)   MODE=$2 ;;
        --queue)  QUEUE=$2 ;;
        --queues) QUEUES=$2 ;;
        --bypass) BYPASS=$2 ;;
        --gso)    GSO=$2 ;;
        --mtu)    MTU=$2 ;;
        --sink)   SINK=$2 ;;
        *) die "no option '$1' ('$me help' lists them)" ;;
    esac
    shift 2
done

case $command in help|-h|--help) usage; exit 0 ;; esac
[ "$(id -u)" = 0 ] || die "needs root"
case $command in up|down) ;; *) there router || die "no lab '$PREFIX' ('$me up' builds it)" ;; esac
case $command in
    up)       build ;;
    down)     remove ;;
    rules)    rules ;;
    status)   status ;;
    counters) counters ;;
    forget)   in_ns router conntrack -D >/dev/null 2>&1 || : ;;
    flows)    in_ns router conntrack -L 2>/dev/null | grep 'mark=[^0]' || : ;;
    *) die "no command '$command' ('$me help' lists them)" ;;
esac

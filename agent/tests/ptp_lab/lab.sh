#!/usr/bin/env bash
# The network of ptp_lab.rs: two namespaces with a link between them, and faults on it.
#
#   lab.sh up DIR ID          namespaces sxM-ID (grandmaster) and sxS-ID (slave), configurations in DIR
#   lab.sh down ID            everything away; may be called at any time
#   lab.sh link ID up|down    the grandmaster's end of the link
#   lab.sh shift ID HEX HEX   adds HEX (a correctionField) to Follow_Up, the other to Delay_Resp
#   lab.sh lose ID TYPE..     sends messages of these PTP types (0x0, 0x8, 0x9, 0xb) nowhere
#   lab.sh clear ID           no faults
#
# Clocks are never disciplined: both ends run on the node's own (free_running), and the slave's
# servo is made to report what it would do by SYNCHRONIZATION_UNCERTAIN_NP. Lost messages go to a
# sink and not to "drop": ptp4l would see the error and take its own port for faulty. Faults are
# on the sender's egress, because packet sockets see frames before any ingress hook.
set -euo pipefail

master() { echo "sxM-$1"; }
slave() { echo "sxS-$1"; }

config() { # file socket domain: the [global] part that both ends share
    cat >"$1" <<EOF
[global]
time_stamping           software
network_transport       L2
domainNumber            $3
uds_address             $2
free_running            1
logAnnounceInterval     -3
logSyncInterval         -4
logMinDelayReqInterval  -4
announceReceiptTimeout  6
summary_interval        -4
freq_est_interval       0
use_syslog              0
EOF
    # 3.1 has one socket and refuses the option of another.
    if ptp4l -v 2>&1 | grep -q '^[4-9]'; then
        echo "uds_ro_address ${2}ro" >>"$1"
    fi
}

up() {
    local dir=$1 m s
    m=$(master "$2") s=$(slave "$2")
    ip netns add "$m"
    ip netns add "$s"
    ip link add vM netns "$m" address 02:00:00:00:01:01 type veth \
        peer name vS netns "$s" address 02:00:00:00:01:02
    ip -n "$m" link add x0 type veth peer name x1
    for link in x0 x1 vM lo; do ip -n "$m" link set "$link" up; done
    for link in vS lo; do ip -n "$s" link set "$link" up; done
    config "$dir/ptp4l.gm.config" "$dir/ptp4l.gm.socket" 24
    printf 'priority1 100\nclockClass 6\nclockAccuracy 0x21\n[vM]\n' >>"$dir/ptp4l.gm.config"
    config "$dir/ptp4l.sl.config" "$dir/ptp4l.sl.socket" 24
    printf 'slaveOnly 1\nclockClass 255\ndelay_filter_length 4\nfault_reset_interval -2\n#profile: lab\n[vS]\n' \
        >>"$dir/ptp4l.sl.config"
    # A second clock of another domain on the slave's side, with nobody to follow.
    config "$dir/ptp4l.other.config" "$dir/ptp4l.other.socket" 44
    printf 'priority1 200\n[vS]\n' >>"$dir/ptp4l.other.config"
}

down() {
    ip netns del "$(master "$1")" 2>/dev/null || true
    ip netns del "$(slave "$1")" 2>/dev/null || true
}

rules() { # id, then rules on stdin
    ip netns exec "$(master "$1")" nft -f - <<EOF
table netdev faults
delete table netdev faults
table netdev faults {
    chain egress {
        type filter hook egress device "vM" priority 0;
$(cat)
    }
}
EOF
}

lose() {
    local id=$1
    shift
    for type in "$@"; do
        echo "        ether type 0x88f7 @nh,4,4 $type fwd to \"x0\""
    done | rules "$id"
}

shift_time() {
    rules "$1" <<EOF
        ether type 0x88f7 @nh,4,4 0x8 @nh,64,64 set $2
        ether type 0x88f7 @nh,4,4 0x9 @nh,64,64 set $3
EOF
}

command=$1
shift
case "$command" in
up) up "$@" ;;
down) down "$@" ;;
link) ip -n "$(master "$1")" link set vM "$2" ;;
shift) shift_time "$@" ;;
lose) lose "$@" ;;
clear) rules "$1" </dev/null ;;
*)
    echo "lab.sh: no command $command" >&2
    exit 2
    ;;
esac

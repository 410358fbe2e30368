//! Network devices, the receive path, connection tracking and neighbours.

metrics! {
    UP = gauge("node_network_up", "", "1 if a network device is operational.");
    INFO = gauge("node_network_info", "", "Addresses, duplex and state of a network device; always 1.");
    ADDRESS_ASSIGN_TYPE = gauge("node_network_address_assign_type", "", "How a network device got its hardware address (NET_ADDR_*).");
    CARRIER = gauge("node_network_carrier", "", "1 if a network device has a link.");
    CARRIER_CHANGES = counter("node_network_carrier_changes_total", "1", "Times that a network device's link came or went.");
    CARRIER_UP_CHANGES = counter("node_network_carrier_up_changes_total", "1", "Times that a network device's link came.");
    CARRIER_DOWN_CHANGES = counter("node_network_carrier_down_changes_total", "1", "Times that a network device's link went.");
    DEVICE_ID = gauge("node_network_device_id", "", "Number that tells devices with one hardware address apart.");
    DORMANT = gauge("node_network_dormant", "", "1 if a network device waits for something, such as authentication.");
    FLAGS = gauge("node_network_flags", "", "Flags of a network device (IFF_*).");
    IFACE_ID = gauge("node_network_iface_id", "", "Index of a network device.");
    IFACE_LINK = gauge("node_network_iface_link", "", "Index of the network device that one is stacked on; its own if on none.");
    IFACE_LINK_MODE = gauge("node_network_iface_link_mode", "", "Link mode of a network device (IF_LINK_MODE_*).");
    MTU = gauge("node_network_mtu_bytes", "By", "Largest packet that a network device sends.");
    NAME_ASSIGN_TYPE = gauge("node_network_name_assign_type", "", "How a network device got its name (NET_NAME_*).");
    NET_DEV_GROUP = gauge("node_network_net_dev_group", "", "Group of a network device.");
    SPEED = gauge("node_network_speed_bytes", "By/s", "Speed of a network device's link in bytes a second; negative if it does not know.");
    QUEUE_LENGTH = gauge("node_network_transmit_queue_length", "1", "Packets that a network device's transmit queue holds.");
    PROTOCOL_TYPE = gauge("node_network_protocol_type", "", "Hardware type of a network device (ARPHRD_*).");
    NO_HANDLER = counter("node_network_receive_nohandler_total", "1", "Packets received that nothing wanted.");
    SOFTNET_PROCESSED = counter("node_softnet_processed_total", "1", "Packets that a CPU has taken from the network.");
    SOFTNET_DROPPED = counter("node_softnet_dropped_total", "1", "Packets dropped because a CPU's backlog was full.");
    SOFTNET_SQUEEZED = counter("node_softnet_times_squeezed_total", "1", "Times that a CPU had to stop with packets left to process.");
    SOFTNET_COLLISION = counter("node_softnet_cpu_collision_total", "1", "Times that a CPU found a device's lock taken when it wanted to transmit.");
    SOFTNET_RPS = counter("node_softnet_received_rps_total", "1", "Times that a CPU was woken by another to process packets.");
    SOFTNET_FLOW_LIMIT = counter("node_softnet_flow_limit_count_total", "1", "Packets dropped because one flow filled a CPU's backlog.");
    SOFTNET_BACKLOG = gauge("node_softnet_backlog_len", "1", "Packets in a CPU's backlog.");
    CONNTRACK_ENTRIES = gauge("node_nf_conntrack_entries", "1", "Connections that are tracked.");
    CONNTRACK_LIMIT = gauge("node_nf_conntrack_entries_limit", "1", "Connections that can be tracked.");
    CONNTRACK_FOUND = counter("node_nf_conntrack_stat_found", "1", "Lookups of tracked connections that found one.");
    CONNTRACK_INVALID = counter("node_nf_conntrack_stat_invalid", "1", "Packets that cannot be tracked.");
    CONNTRACK_IGNORE = counter("node_nf_conntrack_stat_ignore", "1", "Packets that already belonged to a tracked connection.");
    CONNTRACK_INSERT = counter("node_nf_conntrack_stat_insert", "1", "Connections entered into the table.");
    CONNTRACK_INSERT_FAILED = counter("node_nf_conntrack_stat_insert_failed", "1", "Connections that could not be entered into the table.");
    CONNTRACK_DROP = counter("node_nf_conntrack_stat_drop", "1", "Packets dropped because they could not be tracked.");
    CONNTRACK_EARLY_DROP = counter("node_nf_conntrack_stat_early_drop", "1", "Tracked connections dropped early to make room in a full table.");
    CONNTRACK_SEARCH_RESTART = counter("node_nf_conntrack_stat_search_restart", "1", "Lookups begun again because the table was resized.");
    ARP_ENTRIES = gauge("node_arp_entries", "1", "Neighbours in the ARP table of a network device.");
    BONDING_SLAVES = gauge("node_bonding_slaves", "1", "Network devices that a bond has.");
    BONDING_ACTIVE = gauge("node_bonding_active", "1", "Network devices of a bond that have a link.");
    UDP_QUEUES = gauge("node_udp_queues", "By", "Bytes in the queues of UDP sockets.");
}

// In the order of the columns of /proc/net/dev.
fields! { NETDEV:
    "bytes" = counter("node_network_receive_bytes_total", "By", "Bytes received by a network device.");
    "packets" = counter("node_network_receive_packets_total", "1", "Packets received by a network device.");
    "errs" = counter("node_network_receive_errs_total", "1", "Packets received with an error.");
    "drop" = counter("node_network_receive_drop_total", "1", "Packets received and dropped.");
    "fifo" = counter("node_network_receive_fifo_total", "1", "Receive FIFO errors of a network device.");
    "frame" = counter("node_network_receive_frame_total", "1", "Framing, length, overrun and checksum errors of a network device.");
    "compressed" = counter("node_network_receive_compressed_total", "1", "Compressed packets received.");
    "multicast" = counter("node_network_receive_multicast_total", "1", "Multicast packets received.");
    "bytes" = counter("node_network_transmit_bytes_total", "By", "Bytes sent by a network device.");
    "packets" = counter("node_network_transmit_packets_total", "1", "Packets sent by a network device.");
    "errs" = counter("node_network_transmit_errs_total", "1", "Packets that could not be sent for an error.");
    "drop" = counter("node_network_transmit_drop_total", "1", "Packets dropped on their way out.");
    "fifo" = counter("node_network_transmit_fifo_total", "1", "Transmit FIFO errors of a network device.");
    "colls" = counter("node_network_transmit_colls_total", "1", "Collisions when sending.");
    "carrier" = counter("node_network_transmit_carrier_total", "1", "Carrier, abort, heartbeat and window errors of a network device.");
    "compressed" = counter("node_network_transmit_compressed_total", "1", "Compressed packets sent.");
}

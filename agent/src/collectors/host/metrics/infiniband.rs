//! InfiniBand and RoCE ports.

metrics! {
    INFO = gauge("node_infiniband_info", "", "Board, firmware and type of an InfiniBand device; always 1.");
    STATE = gauge("node_infiniband_state_id", "", "Logical state of a port (4 is active).");
    PHYSICAL_STATE = gauge("node_infiniband_physical_state_id", "", "Physical state of a port (5 is link up).");
    RATE = gauge("node_infiniband_rate_bytes_per_second", "By/s", "Signalling rate of a port.");
}

// Keyed by the file below `counters` of a port.
fields! { COUNTERS:
    "excessive_buffer_overrun_errors" = counter("node_infiniband_excessive_buffer_overrun_errors_total", "1", "Buffer overruns beyond a port's threshold.");
    "link_downed" = counter("node_infiniband_link_downed_total", "1", "Times that a link failed to recover and went down.");
    "link_error_recovery" = counter("node_infiniband_link_error_recovery_total", "1", "Times that a link recovered from an error.");
    "local_link_integrity_errors" = counter("node_infiniband_local_link_integrity_errors_total", "1", "Local physical errors beyond a port's threshold.");
    "multicast_rcv_packets" = counter("node_infiniband_multicast_packets_received_total", "1", "Multicast packets that a port has received.");
    "multicast_xmit_packets" = counter("node_infiniband_multicast_packets_transmitted_total", "1", "Multicast packets that a port has sent.");
    "port_rcv_constraint_errors" = counter("node_infiniband_port_constraint_errors_received_total", "1", "Packets received and dropped by a constraint of a port.");
    "port_xmit_constraint_errors" = counter("node_infiniband_port_constraint_errors_transmitted_total", "1", "Packets not sent for a constraint of a port.");
    "port_rcv_data" = counter("node_infiniband_port_data_received_bytes_total", "By", "Bytes that a port has received.");
    "port_xmit_data" = counter("node_infiniband_port_data_transmitted_bytes_total", "By", "Bytes that a port has sent.");
    "port_rcv_discards" = counter("node_infiniband_port_discards_received_total", "1", "Packets received and dropped because a port was down or congested.");
    "port_xmit_discards" = counter("node_infiniband_port_discards_transmitted_total", "1", "Packets not sent because a port was down or congested.");
    "port_rcv_errors" = counter("node_infiniband_port_errors_received_total", "1", "Packets received with an error.");
    "port_rcv_packets" = counter("node_infiniband_port_packets_received_total", "1", "Packets that a port has received, those with errors included.");
    "port_xmit_packets" = counter("node_infiniband_port_packets_transmitted_total", "1", "Packets that a port has sent.");
    "port_xmit_wait" = counter("node_infiniband_port_transmit_wait_total", "1", "Ticks in which a port had data to send and was not allowed to.");
    "port_rcv_remote_physical_errors" = counter("node_infiniband_port_receive_remote_physical_errors_total", "1", "Packets received that were marked bad on their way.");
    "port_rcv_switch_relay_errors" = counter("node_infiniband_port_receive_switch_relay_errors_total", "1", "Packets received that a switch could not pass on.");
    "symbol_error" = counter("node_infiniband_symbol_error_total", "1", "Minor link errors on a port's lanes.");
    "unicast_rcv_packets" = counter("node_infiniband_unicast_packets_received_total", "1", "Unicast packets that a port has received.");
    "unicast_xmit_packets" = counter("node_infiniband_unicast_packets_transmitted_total", "1", "Unicast packets that a port has sent.");
    "VL15_dropped" = counter("node_infiniband_vl15_dropped_total", "1", "Management packets dropped because a port's buffers were full.");
}

//! Which of a driver's counters tell of losses, and nothing else: drivers have hundreds more.
//! Names are those of the kernel's drivers; a version that lacks one has no series for it.

/// ConnectX and BlueField. `rx_out_of_buffer` is the application or kernel not keeping up,
/// `*_discards_phy` the port's buffers, `rx_steer_missed_packets` no flow that matches.
const MLX5: &[&str] = &[
    "rx_out_of_buffer",
    "rx_steer_missed_packets",
    "rx_discards_phy",
    "tx_discards_phy",
    "tx_errors_phy",
    "rx_crc_errors_phy",
    "rx_symbol_err_phy",
    "rx_in_range_len_errors_phy",
    "rx_out_of_range_len_phy",
    "rx_oversize_pkts_phy",
    "rx_undersize_pkts_phy",
    "rx_fragments_phy",
    "rx_jabbers_phy",
    "rx_buff_alloc_err",
    "rx_wqe_err",
    "tx_cqe_err",
    "tx_queue_dropped",
    "rx_vport_error_packets",
    "tx_vport_error_packets",
    "rx_pci_signal_integrity",
    "tx_pci_signal_integrity",
    "link_down_events_phy",
];

/// E810 and E830. Those with `.nic` count for the port, all functions together.
const ICE: &[&str] = &[
    "rx_dropped",
    "rx_alloc_fail",
    "rx_pg_alloc_fail",
    "tx_errors",
    "rx_dropped.nic",
    "rx_crc_errors.nic",
    "rx_length_errors.nic",
    "rx_undersize.nic",
    "rx_fragments.nic",
    "rx_oversize.nic",
    "rx_jabber.nic",
    "illegal_bytes.nic",
    "mac_local_faults.nic",
    "mac_remote_faults.nic",
    "tx_errors.nic",
    "tx_timeout.nic",
    "tx_dropped_link_down.nic",
];

/// X710 and XL710. `port.rx_dropped` is called `port.rx_discards` in newer kernels.
const I40E: &[&str] = &[
    "rx_dropped",
    "rx_missed_errors",
    "tx_dropped",
    "rx_crc_errors",
    "port.rx_dropped",
    "port.rx_discards",
    "port.rx_crc_errors",
    "port.illegal_bytes",
    "port.rx_length_errors",
    "port.mac_local_faults",
    "port.mac_remote_faults",
    "port.tx_errors",
    "port.tx_timeout",
    "port.tx_dropped_link_down",
];

/// 82599, X540, X550.
const IXGBE: &[&str] = &[
    "rx_missed_errors",
    "rx_no_dma_resources",
    "rx_crc_errors",
    "rx_length_errors",
    "rx_long_length_errors",
    "rx_short_length_errors",
    "alloc_rx_page_failed",
    "alloc_rx_buff_failed",
    "tx_timeout_count",
];

/// 82576, I350.
const IGB: &[&str] = &[
    "rx_missed_errors",
    "rx_no_buffer_count",
    "rx_crc_errors",
    "rx_align_errors",
    "rx_long_length_errors",
    "rx_short_length_errors",
    "tx_timeout_count",
    "tx_dma_out_of_sync",
];

/// NetXtreme-C and -E.
const BNXT: &[&str] = &[
    "rx_total_buf_errors",
    "rx_total_oom_discards",
    "rx_total_ring_discards",
    "tx_total_ring_discards",
    "rx_stat_discard",
    "rx_stat_err",
    "tx_stat_discard",
    "tx_stat_error",
    "rx_fcs_err_frames",
    "rx_pcs_symbol_err",
    "rx_fec_uncorrectable_blocks",
    "link_down_events",
];

/// The counters of a driver that tell of losses; none for a driver that is not known.
pub(super) fn of(driver: &str) -> &'static [&'static str] {
    match driver {
        "mlx5_core" => MLX5,
        "ice" => ICE,
        "i40e" => I40E,
        "ixgbe" => IXGBE,
        "igb" => IGB,
        "bnxt_en" => BNXT,
        _ => &[],
    }
}

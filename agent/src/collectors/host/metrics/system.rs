//! What the node is and what the kernel has of scarce things.

metrics! {
    UNAME = gauge("node_uname_info", "", "Kernel and machine as uname(2) tells; always 1.");
    OS_INFO = gauge("node_os_info", "", "The operating system as os-release tells; always 1.");
    OS_VERSION = gauge("node_os_version", "", "The operating system's major.minor version as a number.");
    OS_SUPPORT_END = gauge("node_os_support_end_timestamp_seconds", "s", "When the operating system's support ends, in seconds since 1970.");
    DMI_INFO = gauge("node_dmi_info", "", "Machine, board and firmware as DMI tells; always 1.");
    ENTROPY_AVAILABLE = gauge("node_entropy_available_bits", "bit", "Entropy that the kernel has.");
    ENTROPY_POOL_SIZE = gauge("node_entropy_pool_size_bits", "bit", "Entropy that the kernel's pool can hold.");
    FILES_ALLOCATED = gauge("node_filefd_allocated", "1", "Open files of the whole node.");
    FILES_MAXIMUM = gauge("node_filefd_maximum", "1", "Open files that the whole node can have.");
    SELINUX_ENABLED = gauge("node_selinux_enabled", "", "1 if SELinux is on.");
    SELINUX_CURRENT_MODE = gauge("node_selinux_current_mode", "", "1 if SELinux enforces now, 0 if it only logs.");
}

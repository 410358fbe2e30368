//! Disks, software RAID, NVMe controllers and file systems.

metrics! {
    DISK_INFO = gauge("node_disk_info", "", "Who a disk is, from udev; always 1.");
    DISK_FILESYSTEM = gauge("node_disk_filesystem_info", "", "The file system that udev found on a disk; always 1.");
    DISK_DEVICE_MAPPER = gauge("node_disk_device_mapper_info", "", "What a device-mapper disk is called; always 1.");
    DISK_ATA_WRITE_CACHE = gauge("node_disk_ata_write_cache", "", "1 if an ATA disk has a write cache.");
    DISK_ATA_WRITE_CACHE_ENABLED = gauge("node_disk_ata_write_cache_enabled", "", "1 if an ATA disk's write cache is on.");
    DISK_ATA_ROTATION = gauge("node_disk_ata_rotation_rate_rpm", "1/min", "How fast an ATA disk turns; 0 for one that does not.");
    NVME_INFO = gauge("node_nvme_info", "", "Who an NVMe controller is and what state it is in; always 1.");
    MD_STATE = gauge("node_md_state", "", "1 for the state that a software RAID device is in, 0 for the others.");
    MD_DISKS = gauge("node_md_disks", "1", "Disks of a software RAID device by state.");
    MD_DISKS_REQUIRED = gauge("node_md_disks_required", "1", "Disks that a software RAID device needs to be complete.");
    MD_BLOCKS = gauge("node_md_blocks", "1", "Size of a software RAID device in blocks of 1 KiB.");
    MD_BLOCKS_SYNCED = gauge("node_md_blocks_synced", "1", "Blocks of a software RAID device that are in sync.");
    FS_SIZE = gauge("node_filesystem_size_bytes", "By", "Size of a file system.");
    FS_FREE = gauge("node_filesystem_free_bytes", "By", "Space of a file system that is not used, what is kept for root included.");
    FS_AVAIL = gauge("node_filesystem_avail_bytes", "By", "Space of a file system that anyone can use.");
    FS_FILES = gauge("node_filesystem_files", "1", "Inodes that a file system has.");
    FS_FILES_FREE = gauge("node_filesystem_files_free", "1", "Inodes of a file system that are not used.");
    FS_READONLY = gauge("node_filesystem_readonly", "", "1 if a file system is mounted read-only.");
    FS_ERROR = gauge("node_filesystem_device_error", "", "1 if a file system could not be asked for its numbers, or does not answer.");
}

// In the order of the columns of /proc/diskstats; the key says what one unit of a column is.
fields! { DISKSTATS:
    "count" = counter("node_disk_reads_completed_total", "1", "Reads that a disk has finished.");
    "count" = counter("node_disk_reads_merged_total", "1", "Reads that were merged with a neighbour before they reached a disk.");
    "sectors" = counter("node_disk_read_bytes_total", "By", "Bytes read from a disk.");
    "ms" = counter("node_disk_read_time_seconds_total", "s", "Time that a disk's reads have taken, added up.");
    "count" = counter("node_disk_writes_completed_total", "1", "Writes that a disk has finished.");
    "count" = counter("node_disk_writes_merged_total", "1", "Writes that were merged with a neighbour before they reached a disk.");
    "sectors" = counter("node_disk_written_bytes_total", "By", "Bytes written to a disk.");
    "ms" = counter("node_disk_write_time_seconds_total", "s", "Time that a disk's writes have taken, added up.");
    "count" = gauge("node_disk_io_now", "1", "Requests that a disk is working on.");
    "ms" = counter("node_disk_io_time_seconds_total", "s", "Time in which a disk had something to do.");
    "ms" = counter("node_disk_io_time_weighted_seconds_total", "s", "Time that a disk had something to do, times the requests under way.");
    "count" = counter("node_disk_discards_completed_total", "1", "Discards that a disk has finished.");
    "count" = counter("node_disk_discards_merged_total", "1", "Discards that were merged with a neighbour before they reached a disk.");
    "count" = counter("node_disk_discarded_sectors_total", "1", "Sectors of 512 bytes that were discarded.");
    "ms" = counter("node_disk_discard_time_seconds_total", "s", "Time that a disk's discards have taken, added up.");
    "count" = counter("node_disk_flush_requests_total", "1", "Flushes that a disk has finished.");
    "ms" = counter("node_disk_flush_requests_time_seconds_total", "s", "Time that a disk's flushes have taken, added up.");
}

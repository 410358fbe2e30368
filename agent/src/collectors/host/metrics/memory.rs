//! Memory: /proc/meminfo up to Linux 6.18, the counters of /proc/vmstat that are sent.

// In the order of the kernel, which is what makes looking a line up one comparison.
fields! { MEMINFO:
    "MemTotal" = gauge("node_memory_MemTotal_bytes", "By", "Memory that the kernel can use.");
    "MemFree" = gauge("node_memory_MemFree_bytes", "By", "Memory that nothing uses.");
    "MemAvailable" = gauge("node_memory_MemAvailable_bytes", "By", "Memory that programs could get without swapping.");
    "Buffers" = gauge("node_memory_Buffers_bytes", "By", "Memory that caches raw blocks of disks.");
    "Cached" = gauge("node_memory_Cached_bytes", "By", "Memory that caches files, swap cache aside.");
    "SwapCached" = gauge("node_memory_SwapCached_bytes", "By", "Memory that is in swap as well.");
    "Active" = gauge("node_memory_Active_bytes", "By", "Memory used recently.");
    "Inactive" = gauge("node_memory_Inactive_bytes", "By", "Memory not used recently.");
    "Active(anon)" = gauge("node_memory_Active_anon_bytes", "By", "Anonymous memory used recently.");
    "Inactive(anon)" = gauge("node_memory_Inactive_anon_bytes", "By", "Anonymous memory not used recently.");
    "Active(file)" = gauge("node_memory_Active_file_bytes", "By", "Cached files used recently.");
    "Inactive(file)" = gauge("node_memory_Inactive_file_bytes", "By", "Cached files not used recently.");
    "Unevictable" = gauge("node_memory_Unevictable_bytes", "By", "Memory that cannot be reclaimed.");
    "Mlocked" = gauge("node_memory_Mlocked_bytes", "By", "Memory locked by programs.");
    "HighTotal" = gauge("node_memory_HighTotal_bytes", "By", "High memory, on 32-bit kernels.");
    "HighFree" = gauge("node_memory_HighFree_bytes", "By", "High memory that nothing uses, on 32-bit kernels.");
    "LowTotal" = gauge("node_memory_LowTotal_bytes", "By", "Low memory, on 32-bit kernels.");
    "LowFree" = gauge("node_memory_LowFree_bytes", "By", "Low memory that nothing uses, on 32-bit kernels.");
    "MmapCopy" = gauge("node_memory_MmapCopy_bytes", "By", "Memory that holds copies of mapped files, on kernels without an MMU.");
    "SwapTotal" = gauge("node_memory_SwapTotal_bytes", "By", "Swap space.");
    "SwapFree" = gauge("node_memory_SwapFree_bytes", "By", "Swap space that nothing uses.");
    "Zswap" = gauge("node_memory_Zswap_bytes", "By", "Memory that holds compressed pages.");
    "Zswapped" = gauge("node_memory_Zswapped_bytes", "By", "Memory that the compressed pages would take uncompressed.");
    "Dirty" = gauge("node_memory_Dirty_bytes", "By", "Memory that waits to be written to disk.");
    "Writeback" = gauge("node_memory_Writeback_bytes", "By", "Memory that is being written to disk.");
    "AnonPages" = gauge("node_memory_AnonPages_bytes", "By", "Anonymous memory mapped by programs.");
    "Mapped" = gauge("node_memory_Mapped_bytes", "By", "Files mapped by programs.");
    "Shmem" = gauge("node_memory_Shmem_bytes", "By", "Shared memory and tmpfs.");
    "KReclaimable" = gauge("node_memory_KReclaimable_bytes", "By", "Kernel memory that can be reclaimed.");
    "Slab" = gauge("node_memory_Slab_bytes", "By", "Memory of the kernel's slab caches.");
    "SReclaimable" = gauge("node_memory_SReclaimable_bytes", "By", "Slab memory that can be reclaimed.");
    "SUnreclaim" = gauge("node_memory_SUnreclaim_bytes", "By", "Slab memory that cannot be reclaimed.");
    "KernelStack" = gauge("node_memory_KernelStack_bytes", "By", "Kernel stacks.");
    "ShadowCallStack" = gauge("node_memory_ShadowCallStack_bytes", "By", "Shadow call stacks of the kernel.");
    "PageTables" = gauge("node_memory_PageTables_bytes", "By", "Page tables of programs.");
    "SecPageTables" = gauge("node_memory_SecPageTables_bytes", "By", "Secondary page tables, such as those of virtual machines.");
    "NFS_Unstable" = gauge("node_memory_NFS_Unstable_bytes", "By", "Memory sent to an NFS server and not yet on its disk; 0 on current kernels.");
    "Bounce" = gauge("node_memory_Bounce_bytes", "By", "Bounce buffers of block devices.");
    "WritebackTmp" = gauge("node_memory_WritebackTmp_bytes", "By", "Memory that FUSE uses to write back.");
    "CommitLimit" = gauge("node_memory_CommitLimit_bytes", "By", "Memory that can be committed to when overcommit is off.");
    "Committed_AS" = gauge("node_memory_Committed_AS_bytes", "By", "Memory that programs have been promised.");
    "VmallocTotal" = gauge("node_memory_VmallocTotal_bytes", "By", "Address space of vmalloc.");
    "VmallocUsed" = gauge("node_memory_VmallocUsed_bytes", "By", "Address space of vmalloc in use.");
    "VmallocChunk" = gauge("node_memory_VmallocChunk_bytes", "By", "Largest free piece of vmalloc's address space; 0 on current kernels.");
    "Percpu" = gauge("node_memory_Percpu_bytes", "By", "Memory of per-CPU allocations.");
    "EarlyMemtestBad" = gauge("node_memory_EarlyMemtestBad_bytes", "By", "Memory that the early memory test found bad.");
    "HardwareCorrupted" = gauge("node_memory_HardwareCorrupted_bytes", "By", "Memory that the kernel has taken out of use because it was corrupt.");
    "AnonHugePages" = gauge("node_memory_AnonHugePages_bytes", "By", "Anonymous huge pages mapped by programs.");
    "ShmemHugePages" = gauge("node_memory_ShmemHugePages_bytes", "By", "Shared memory and tmpfs in huge pages.");
    "ShmemPmdMapped" = gauge("node_memory_ShmemPmdMapped_bytes", "By", "Shared memory mapped with huge pages.");
    "FileHugePages" = gauge("node_memory_FileHugePages_bytes", "By", "Cached files in huge pages.");
    "FilePmdMapped" = gauge("node_memory_FilePmdMapped_bytes", "By", "Cached files mapped with huge pages.");
    "CmaTotal" = gauge("node_memory_CmaTotal_bytes", "By", "Memory kept for contiguous allocations.");
    "CmaFree" = gauge("node_memory_CmaFree_bytes", "By", "Memory kept for contiguous allocations that is free.");
    "Unaccepted" = gauge("node_memory_Unaccepted_bytes", "By", "Memory that a confidential guest has not accepted yet.");
    "Balloon" = gauge("node_memory_Balloon_bytes", "By", "Memory given back to the hypervisor.");
    "GPUActive" = gauge("node_memory_GPUActive_bytes", "By", "System memory that graphics drivers use.");
    "GPUReclaim" = gauge("node_memory_GPUReclaim_bytes", "By", "System memory that graphics drivers keep and could give back.");
    "HugePages_Total" = gauge("node_memory_HugePages_Total", "1", "Huge pages of the default size.");
    "HugePages_Free" = gauge("node_memory_HugePages_Free", "1", "Huge pages of the default size that are free.");
    "HugePages_Rsvd" = gauge("node_memory_HugePages_Rsvd", "1", "Huge pages of the default size that are promised.");
    "HugePages_Surp" = gauge("node_memory_HugePages_Surp", "1", "Huge pages of the default size beyond what was set.");
    "Hugepagesize" = gauge("node_memory_Hugepagesize_bytes", "By", "Size of a huge page by default.");
    "Hugetlb" = gauge("node_memory_Hugetlb_bytes", "By", "Memory in huge pages of all sizes.");
    "DirectMap4k" = gauge("node_memory_DirectMap4k_bytes", "By", "Kernel memory mapped in pages of 4 KiB.");
    "DirectMap4M" = gauge("node_memory_DirectMap4M_bytes", "By", "Kernel memory mapped in pages of 4 MiB.");
    "DirectMap2M" = gauge("node_memory_DirectMap2M_bytes", "By", "Kernel memory mapped in pages of 2 MiB.");
    "DirectMap1G" = gauge("node_memory_DirectMap1G_bytes", "By", "Kernel memory mapped in pages of 1 GiB.");
}

fields! { VMSTAT:
    "pgpgin" = counter("node_vmstat_pgpgin", "1", "KiB read from disks.");
    "pgpgout" = counter("node_vmstat_pgpgout", "1", "KiB written to disks.");
    "pswpin" = counter("node_vmstat_pswpin", "1", "Pages read from swap.");
    "pswpout" = counter("node_vmstat_pswpout", "1", "Pages written to swap.");
    "pgfault" = counter("node_vmstat_pgfault", "1", "Page faults.");
    "pgmajfault" = counter("node_vmstat_pgmajfault", "1", "Page faults that had to read from a disk.");
    "oom_kill" = counter("node_vmstat_oom_kill", "1", "Processes killed because memory ran out.");
}

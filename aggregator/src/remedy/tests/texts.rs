//! Texts as people paste them, each with the class that it is of.

/// Class and texts; the first class that a text is found to be of is this one.
pub(super) const TEXTS: &[(&str, &[&str])] = &[
    (
        "GpuFallenOffBus",
        &[
            "[ 1234.567] NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            "Unable to determine the device handle for GPU 0000:86:00.0: Unknown Error",
        ],
    ),
    (
        "GpuUncorrectableMemory",
        &[
            "NVRM: Xid (PCI:0000:af:00): 48, pid=2345, DBE (double bit error) ECC Error",
            "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        ],
    ),
    (
        "GpuContainedMemory",
        &[
            "NVRM: Xid (PCI:0000:18:00): 94, pid=991, name=python, Contained: CE User Channel (0x9).",
            "kernel: nvidia 0000:18:00.0: Contained ECC error in application python",
        ],
    ),
    (
        "GpuRowRemap",
        &[
            "NVRM: Xid (PCI:0000:18:00): 63, pid=1, Row Remapper: New row (0x00000000) marked for remapping, reset gpu to activate.",
            "GPU 3: row remapping is pending, reset needed",
        ],
    ),
    (
        "GpuSystemProcessor",
        &[
            "NVRM: Xid (PCI:0000:0f:00): 119, pid=4242, name=nvidia-smi, Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76",
            "xid 120: GSP task exception",
        ],
    ),
    (
        "GpuNvlink",
        &[
            "NVRM: Xid (PCI:0000:05:00): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on link 6",
            "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
        ],
    ),
    (
        "GpuFabricManager",
        &[
            "CUDA initialization: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
            "nvidia-fabricmanager.service: fabric manager failed to start: version mismatch with the driver",
        ],
    ),
    (
        "GpuDriverMismatch",
        &[
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54",
            "RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
        ],
    ),
    (
        "GpuDriverUnavailable",
        &[
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.",
            "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]].",
            "torch.cuda: RuntimeError: no CUDA-capable device is detected",
        ],
    ),
    (
        "GpuApplicationFault",
        &[
            "NVRM: Xid (PCI:0000:65:00): 31, pid=7745, name=python, Ch 00000008, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0",
            "RuntimeError: CUDA error: an illegal memory access was encountered",
            "CUDA error: device-side assert triggered",
        ],
    ),
    (
        "GpuXid",
        &[
            "NVRM: Xid (PCI:0000:65:00): 62, pid=1, name=<unknown>, 2027(36ec)",
            "we saw Xid 109 on two hosts",
        ],
    ),
    (
        "GpuOutOfMemory",
        &[
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 79.15 GiB total capacity)",
            "tensorflow: RESOURCE_EXHAUSTED: OOM when allocating tensor with shape[4096,4096]",
        ],
    ),
    (
        "NcclFailure",
        &[
            "[rank3]:[E ProcessGroupNCCL.cpp:607] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=120, OpType=ALLREDUCE) ran for 600043 ms",
            "node7: NCCL WARN Call to ibv_poll_cq failed",
            "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1275, ncclSystemError: System call (e.g. socket, malloc) failed",
        ],
    ),
    (
        "GpuUnschedulable",
        &[
            "0/12 nodes are available: 12 Insufficient nvidia.com/gpu. preemption: 0/12 nodes are available",
            "Warning  FailedScheduling  default-scheduler  0/3 nodes are available: 3 Insufficient nvidia.com/mig-1g.10gb.",
        ],
    ),
    (
        "PtpAnnounceTimeout",
        &[
            "ptp4l[4312.880]: [ptp4l.0.config] port 1 (ens1f0): SLAVE to MASTER on ANNOUNCE_RECEIPT_TIMEOUT_EXPIRES",
            "ptp4l[77.1]: port 1 (ens2f1): rx sync timeout",
        ],
    ),
    (
        "PtpPortFaulty",
        &[
            "ptp4l[512.2]: port 1 (ens1f0): SLAVE to FAULTY on FAULT_DETECTED (FT_UNSPECIFIED)",
            "ptp4l[9.1]: timed out while polling for tx timestamp\nptp4l[9.1]: increasing tx_timestamp_timeout may correct this issue, but it is likely caused by a driver bug",
        ],
    ),
    (
        "PtpClockJump",
        &[
            "ptp4l[100.2]: clockcheck: clock jumped forward or running faster than expected!",
            "phc2sys[88.1]: CLOCK_REALTIME phc offset -37000000123 s0 freq -1200 delay 500",
        ],
    ),
    (
        "PtpFreerun",
        &[
            "event: sync-state of ptp clock is FREERUN on cell-site-4",
            "PTP source has lost lock, clock in holdover",
        ],
    ),
    (
        "SriovUnschedulable",
        &[
            "0/5 nodes are available: 5 Insufficient openshift.io/intel_nics_du.",
            "Warning FailedScheduling 0/2 nodes are available: 2 Insufficient intel.com/sriov_vfio",
        ],
    ),
    (
        "SriovVfSetup",
        &[
            "SRIOV-CNI failed to load netconf: LoadConf(): failed to get VF information",
            "ixgbe 0000:02:00.0: not enough MMIO resources for SR-IOV",
            "echo: write error: failed to set sriov_numvfs on ens1f0: Device or resource busy",
        ],
    ),
    (
        "DpdkFailure",
        &[
            "EAL: No free hugepages reported in hugepages-1048576kB",
            "EAL: Error - exiting with code: 1\n  Cause: Cannot init mbuf pool",
        ],
    ),
    (
        "LinkDown",
        &[
            "ice 0000:98:00.0 ens2f0: NIC Link is Down",
            "NETDEV WATCHDOG: eno1 (ixgbe): transmit queue 3 timed out",
        ],
    ),
    (
        "DiskFull",
        &[
            "write /var/lib/app/data: No space left on device",
            "OSError: [Errno 28] ENOSPC while writing checkpoint",
        ],
    ),
    (
        "DiskFailure",
        &[
            "blk_update_request: I/O error, dev sdc, sector 123456 op 0x0:(READ)",
            "EXT4-fs error (device nvme0n1p2): ext4_find_entry:1455: inode #2: comm bash: reading directory lblock 0",
            "bash: touch: cannot touch 'x': Read-only file system",
        ],
    ),
    (
        "HardwareMemoryError",
        &[
            "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0",
            "mce: [Hardware Error]: Machine check events logged",
        ],
    ),
    (
        "TooManyOpenFiles",
        &["accept4: too many open files", "Error: EMFILE, open '/app/config.json'"],
    ),
    (
        "ConntrackFull",
        &[
            "nf_conntrack: nf_conntrack: table full, dropping packet",
            "kernel: [99.1] nf_conntrack: table full, dropping packet",
        ],
    ),
    (
        "OOMKilled",
        &[
            "Last State:     Terminated\n  Reason:       OOMKilled\n  Exit Code:    137",
            "Memory cgroup out of memory: Killed process 12345 (java) total-vm:8123456kB, anon-rss:4194304kB",
            "[E] command terminated with exit code 137",
        ],
    ),
    (
        "ImagePullBackOff",
        &[
            "Failed to pull image \"registry.example.org/web:1.2.4\": rpc error: code = NotFound desc = manifest unknown",
            "web-1   0/1   ImagePullBackOff   0   4m",
        ],
    ),
    (
        "ContainerConfigError",
        &[
            "Error: configmap \"app-settings\" not found (CreateContainerConfigError)",
            "OCI runtime create failed: runc create failed: exec: \"/app/srv\": stat /app/srv: no such file or directory: unknown",
        ],
    ),
    (
        "VolumeMountFailure",
        &[
            "Multi-Attach error for volume \"pvc-1b2c\" Volume is already exclusively attached to one node and can't be attached to another",
            "Warning  FailedMount  kubelet  MountVolume.SetUp failed for volume \"data\" : timed out waiting for the condition",
        ],
    ),
    (
        "PodEvicted",
        &[
            "The node was low on resource: ephemeral-storage. Container web was using 5Gi, request is 0.",
            "web-1   0/1   Evicted   0   3h",
        ],
    ),
    (
        "NodePressure",
        &[
            "Conditions:\n  MemoryPressure   True    Tue, 04 Mar 2025   KubeletHasInsufficientMemory",
            "Warning  EvictionThresholdMet  kubelet  Attempting to reclaim memory",
        ],
    ),
    (
        "NodeNotReady",
        &[
            "Normal  NodeNotReady  node-controller  Node worker-3 status is now: NodeNotReady",
            "worker-7   NotReady   worker   41d   v1.30.2",
            "PLEG is not healthy: pleg was last seen active 3m12s ago; threshold is 3m0s",
        ],
    ),
    (
        "Unschedulable",
        &[
            "Warning  FailedScheduling  0/6 nodes are available: 3 node(s) had untolerated taint {dedicated: db}",
            "0/4 nodes are available: 4 Insufficient cpu.",
        ],
    ),
    (
        "ResourceQuotaExceeded",
        &[
            "Error from server (Forbidden): pods \"web\" is forbidden: exceeded quota: compute, requested: cpu=2, used: cpu=9, limited: cpu=10",
            "pods \"x\" is forbidden: failed quota: compute: must specify limits.memory",
        ],
    ),
    (
        "PodSecurityRefused",
        &[
            "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: policy disallow-latest-tag",
        ],
    ),
    (
        "PermissionDenied",
        &[
            "Error from server (Forbidden): pods is forbidden: User \"system:serviceaccount:shop:web\" cannot list resource \"pods\" in API group \"\"",
            "open /data/x: permission denied",
            "error: You must be logged in to the server (Unauthorized)",
        ],
    ),
    (
        "DnsFailure",
        &[
            "dial tcp: lookup db.shop.svc on 10.96.0.10:53: no such host",
            "curl: (6) Could not resolve host: example.org",
        ],
    ),
    (
        "CertificateError",
        &[
            "Get \"https://10.0.0.1:6443\": x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z",
            "requests.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self signed certificate",
        ],
    ),
    (
        "NetworkError",
        &[
            "dial tcp 10.2.3.4:5432: connect: connection refused",
            "read tcp 10.0.0.2:44210->10.0.0.9:443: i/o timeout",
        ],
    ),
    (
        "ReadinessProbeFailure",
        &[
            "Warning  Unhealthy  kubelet  Readiness probe failed: HTTP probe failed with statuscode: 503",
            "Readiness probe errored: rpc error: code = Unknown",
        ],
    ),
    (
        "LivenessProbeFailure",
        &[
            "Warning  Unhealthy  kubelet  Liveness probe failed: Get \"http://10.1.2.3:8080/healthz\": context deadline exceeded",
            "Container web failed liveness probe, will be restarted",
        ],
    ),
    (
        "CrashLoopBackOff",
        &[
            "web-1   0/1   CrashLoopBackOff   14 (2m ago)   41m",
            "Back-off restarting failed container web in pod web-1_shop(1234-abcd)",
        ],
    ),
    (
        "TerraformStateLock",
        &[
            "Error: Error acquiring the state lock\nError message: ConditionalCheckFailedException\nLock Info:\n  ID:        6638e3d8-8ee2-a0c5-9b2a-6f1e5a8f1c11",
            "terraform plan: state locked by ci@runner-4",
        ],
    ),
    (
        "TerraformProviderError",
        &[
            "Error: configuring Terraform AWS Provider: no valid credential sources for Terraform AWS Provider found.",
            "NoCredentialProviders: no valid providers in chain. Deprecated.",
        ],
    ),
    (
        "CiFailure",
        &[
            "##[error]Process completed with exit code 1.",
            "ERROR: Job failed: exit code 2",
            "make: *** [Makefile:12: test] Error 2",
        ],
    ),
];

/// Texts that tell of nothing that failed.
pub(super) const HARMLESS: &[&str] = &[
    "hello",
    "Hello, how are you today?",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
    "test result: ok. 112 passed; 0 failed; 0 ignored; finished in 2.10s",
    "Build succeeded.\n    0 Warning(s)\n    0 Error(s)\nTime Elapsed 00:00:04.21",
    "NAME    READY   STATUS    RESTARTS   AGE\nweb-1   1/1     Running   0          3d",
    "Successfully pulled image \"nginx:1.27\" in 1.2s\nStarted container web",
    "PLAY RECAP: host1 : ok=12 changed=3 unreachable=0 failed=0 skipped=2",
    "ptp4l[812.1]: port 1 (ens1f0): UNCALIBRATED to SLAVE on MASTER_CLOCK_SELECTED",
    "  MemoryPressure   False   KubeletHasSufficientMemory   kubelet has sufficient memory available",
    "Tolerations: node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
    "command finished with exit code 0",
    "GET /index.html HTTP/1.1 200 1043 in 12 ms",
    "8 packets transmitted, 8 received, 0% packet loss",
    "{\"level\":\"info\",\"msg\":\"listening\",\"port\":8080,\"timeout\":\"30s\"}",
    "",
    "   \n\t",
    "🎉🎉🎉",
];

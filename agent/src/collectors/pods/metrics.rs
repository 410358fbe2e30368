//! How the attribution of devices to pods goes, and whose the devices are that no other
//! collector knows.
//!
//! Entities: the node; `container` with `namespace`, `pod` and `container`, which is empty for
//! what a pod has as a whole.

metrics! {
    UP = gauge("sextant_pods_up", "", "1 if the kubelet's PodResources socket answers.");
    AGE = gauge("sextant_pods_age_seconds", "s", "Age of the answer in use.");
    DEVICES = gauge("sextant_pods_devices", "1", "Devices that containers have; label resource.");
    MALFORMED = counter("sextant_pods_malformed_total", "1", "Device ids, entries and answers that could not be understood.");
    DROPPED = counter("sextant_pods_dropped_total", "1", "Entries beyond the bound on what is kept.");
    DEVICE_INFO = gauge("pod_device_info", "", "A device of a container: namespace, pod, container, resource, device; always 1.");
    CPU_INFO = gauge("pod_cpu_info", "", "Exclusive CPUs of a container: namespace, pod, container, cpus (a list as the kernel writes it), numa_nodes; always 1.");
}

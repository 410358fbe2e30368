//! The pods collector against a kubelet in this process: whose devices and processes are, and
//! what becomes of it when the kubelet is slow, away, old or wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kubelet;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kubelet::{Answer, Kubelet, Listening, container, pod};
use sextant_agent::collectors::pods::{Attribution, Owner, Pods, PodsConfig};
use sextant_agent::collectors::{CollectError, Collector, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::podresources::{
    ClaimResource, ContainerDevices, ContainerResources, DynamicResource, PodResources,
};
use tempfile::TempDir;
use tonic::Code;

const A: &str = "8f2c1d90-3e5a-4b1c-9d2e-0a1b2c3d4e5f";
const B: &str = "1b2c3d4e-3e5a-4b1c-9d2e-0a1b2c3d4e5f";
const C: &str = "77777777-3e5a-4b1c-9d2e-0a1b2c3d4e5f";
/// Container ids.
const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A node with a collector.
struct Node {
    dir: TempDir,
    attribution: Arc<Attribution>,
    pods: Pods,
    batch: Batch,
}

/// One tick: samples as `name{label=value,...}` and the failed sources.
type Tick = (BTreeMap<String, f64>, Vec<(&'static str, String)>);

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let paths =
            Paths { proc: at("proc"), sys: at("sys"), root: at("root"), ..Paths::default() };
        let attribution = Arc::new(Attribution::new(paths.proc.clone()));
        let pods = Pods::new(&PodsConfig::default(), &paths, &attribution);
        Self { dir, attribution, pods, batch: Batch::default() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("root/var/lib/kubelet/pod-resources/kubelet.sock")
    }

    fn tick(&mut self) -> Result<Tick, CollectError> {
        self.batch.begin();
        self.pods.collect(0, &mut self.batch)?;
        let failures = self.batch.failures().to_vec();
        let tick = self.batch.finish("pods", 10_000);
        let layout = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        let mut values = tick.values.iter();
        let mut samples = BTreeMap::new();
        for entity in &layout.entities {
            for series in &entity.series {
                let labels = entity.labels.iter().chain(&series.labels);
                let labels: Vec<_> = labels.map(|l| format!("{}={}", l.name, l.value)).collect();
                let name = &layout.metrics[series.metric as usize].name;
                let key = format!("{name}{{{}}}", labels.join(","));
                assert_eq!(samples.insert(key, *values.next().unwrap()), None);
            }
        }
        Ok((samples, failures))
    }

    /// A tick in which the kubelet has answered.
    fn good_tick(&mut self) -> BTreeMap<String, f64> {
        let (samples, failures) = self.tick().unwrap();
        assert_eq!(failures, []);
        assert_eq!(
            (samples["sextant_pods_up{}"], samples["sextant_pods_age_seconds{}"]),
            (1.0, 0.0)
        );
        samples
    }

    /// A tick in which it has not: what the collector says of it.
    fn bad_tick(&mut self) -> (BTreeMap<String, f64>, String) {
        let (samples, failures) = self.tick().unwrap();
        assert_eq!(samples["sextant_pods_up{}"], 0.0);
        let [(source, error)] = &failures[..] else { panic!("one failure: {failures:?}") };
        assert_eq!(*source, "podresources");
        (samples, error.clone())
    }

    /// The owners of a device as "pod/container resource", with "+" if it is shared.
    fn owners(&self, device: &str) -> Vec<String> {
        let owners = self.attribution.owners(device);
        owners.iter().map(text).collect()
    }

    fn process(&self, pid: u32, cgroup: &str) {
        let dir = self.dir.path().join("proc").join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cgroup"), cgroup).unwrap();
    }

    /// Makes what the kubelet makes for a container's log.
    fn log(&self, pod: &str, uid: &str, container: &str, id: &str) {
        let logs = self.dir.path().join("root/var/log");
        let target = logs.join(format!("pods/ml_{pod}_{uid}/{container}"));
        fs::create_dir_all(&target).unwrap();
        fs::create_dir_all(logs.join("containers")).unwrap();
        let link = logs.join(format!("containers/{pod}_ml_{container}-{id}.log"));
        std::os::unix::fs::symlink(target.join("0.log"), link).unwrap();
    }
}

fn text(owner: &Owner) -> String {
    assert_eq!(owner.namespace, "ml");
    let shared = if owner.shared { "+" } else { "" };
    format!("{}/{} {}{shared}", owner.pod, owner.container, owner.resource)
}

fn gpu(pod_name: &str, ids: &[&str]) -> PodResources {
    pod(pod_name, vec![container("main", "nvidia.com/gpu", ids)])
}

fn claim(driver: &str, device: &str) -> ContainerResources {
    let device = ClaimResource {
        driver_name: driver.into(),
        pool_name: "node".into(),
        device_name: device.into(),
        ..Default::default()
    };
    let claim = DynamicResource { claim_resources: vec![device], ..Default::default() };
    ContainerResources { name: "main".into(), dynamic_resources: vec![claim], ..Default::default() }
}

#[test]
fn every_form_of_device_id_leads_to_its_owner() {
    let mut node = Node::new();
    let [gpu_a, mig_b] = [format!("GPU-{A}"), format!("MIG-{B}")];
    let [slice_0, slice_1] = [0, 1].map(|n| format!("GPU-{C}::{n}"));
    let legacy = format!("MIG-GPU-{A}/7/0");
    let vf = container("main", "intel.com/sriov", &["0000:3b:02.1", "0000:3B:02.2"]);
    let kubelet = Kubelet::new(vec![
        gpu("whole", &[&gpu_a]),
        pod("mig", vec![container("main", "nvidia.com/mig-1g.10gb", &[&mig_b])]),
        gpu("slice-0", &[&slice_0]),
        gpu("slice-1", &[&slice_1]),
        gpu("legacy", &[&legacy]),
        gpu("gke", &["nvidia3"]),
        gpu("gke-mig", &["nvidia4/gi2"]),
        gpu("gke-share-a", &["nvidia5/vgpu0"]),
        gpu("gke-mig-share", &["nvidia4/gi3/vgpu1"]),
        pod("vfs", vec![vf]),
        pod("dra", vec![claim("gpu.nvidia.com", "gpu-6")]),
        pod("dra-unknown", vec![claim("gpu.nvidia.com", "gpu-9")]),
        pod("dra-vf", vec![claim("sriovnetwork.k8snetworkplumbingwg.io", "0000-3b-02-3")]),
        pod("kvm", vec![container("main", "devices.kubevirt.io/kvm", &["kvm1"])]),
        pod("idle", vec![ContainerResources { name: "main".into(), ..Default::default() }]),
    ]);
    let _listening = kubelet.listen(&node.socket());
    let aliases = [
        ("nvidia3", "GPU-3"),
        ("nvidia4/gi2", "MIG-4-2"),
        ("nvidia4/gi3", "MIG-4-3"),
        ("nvidia5", "GPU-5"),
        ("gpu-6", "GPU-6"),
        ("kvm1", "GPU-kvm"),
        (legacy.as_str(), "MIG-new"),
    ];
    let as_gpu_collector = aliases.map(|(name, id)| (name.to_owned(), id.to_owned())).to_vec();
    node.attribution.set_aliases("gpu", as_gpu_collector);
    let samples = node.good_tick();

    let cases: [(&str, &[&str]); 19] = [
        (&gpu_a, &["whole/main nvidia.com/gpu"]),
        (&mig_b, &["mig/main nvidia.com/mig-1g.10gb"]),
        (&format!("GPU-{C}"), &["slice-0/main nvidia.com/gpu+", "slice-1/main nvidia.com/gpu+"]),
        (&slice_0, &[]),
        ("MIG-new", &["legacy/main nvidia.com/gpu"]),
        (&legacy, &["legacy/main nvidia.com/gpu"]),
        ("GPU-3", &["gke/main nvidia.com/gpu"]),
        ("nvidia3", &["gke/main nvidia.com/gpu"]),
        ("MIG-4-2", &["gke-mig/main nvidia.com/gpu"]),
        ("GPU-5", &["gke-share-a/main nvidia.com/gpu+"]),
        ("MIG-4-3", &["gke-mig-share/main nvidia.com/gpu+"]),
        ("0000:3b:02.1", &["vfs/main intel.com/sriov"]),
        ("0000:3b:02.2", &["vfs/main intel.com/sriov"]),
        ("0000:3b:02.3", &["dra-vf/main sriovnetwork.k8snetworkplumbingwg.io"]),
        ("GPU-6", &["dra/main gpu.nvidia.com"]),
        ("gpu-9", &["dra-unknown/main gpu.nvidia.com"]),
        ("kvm1", &["kvm/main devices.kubevirt.io/kvm"]),
        ("GPU-kvm", &[]),
        ("GPU-none", &[]),
    ];
    for (device, owners) in cases {
        assert_eq!(node.owners(device), owners, "{device}");
    }
    assert_eq!(samples["sextant_pods_devices{resource=nvidia.com/gpu}"], 8.0);
    assert_eq!(samples["sextant_pods_devices{resource=gpu.nvidia.com}"], 2.0);
    assert_eq!(samples["sextant_pods_devices{resource=intel.com/sriov}"], 2.0);
    assert_eq!(samples["sextant_pods_malformed_total{}"], 0.0);
    let infos: Vec<_> = samples.keys().filter(|key| key.starts_with("pod_device_info")).collect();
    let other = "namespace=ml,pod=kvm,container=main,resource=devices.kubevirt.io/kvm,device=kvm1";
    assert!(infos.contains(&&format!("pod_device_info{{{other}}}")), "{infos:?}");
    let unknown =
        "namespace=ml,pod=dra-unknown,container=main,resource=gpu.nvidia.com,device=gpu-9";
    assert!(infos.contains(&&format!("pod_device_info{{{unknown}}}")), "{infos:?}");
    assert_eq!(infos.len(), 2, "{infos:?}");
}

#[test]
fn device_of_several_containers_is_shared_and_equal_names_of_plugins_are_not() {
    let mut node = Node::new();
    let gpu_a = format!("GPU-{A}");
    let kubelet = Kubelet::new(vec![
        gpu("b", &[&gpu_a]),
        pod(
            "a",
            vec![
                container("x", "nvidia.com/gpu.shared", &[&gpu_a]),
                container("y", "other.com/thing", &["0"]),
            ],
        ),
        pod("c", vec![container("main", "example.com/thing", &["0"])]),
        pod("d", vec![container("main", "fuse", &["f"])]),
        pod("e", vec![container("main", "fuse", &["f", "f"])]),
        gpu("f", &[&format!("GPU-{B}::0"), &format!("GPU-{B}::1")]),
    ]);
    let _listening = kubelet.listen(&node.socket());
    node.good_tick();
    assert_eq!(node.owners(&gpu_a), ["a/x nvidia.com/gpu.shared+", "b/main nvidia.com/gpu+"]);
    assert_eq!(node.owners("0"), ["a/y other.com/thing", "c/main example.com/thing"]);
    assert_eq!(node.owners("f"), ["d/main fuse+", "e/main fuse+"]);
    assert_eq!(node.owners(&format!("GPU-{B}")), ["f/main nvidia.com/gpu+"]);
}

#[test]
fn generation_grows_only_when_an_answer_changes() {
    let mut node = Node::new();
    let [a, b] = [gpu("a", &["nvidia0"]), gpu("b", &["nvidia1"])];
    let kubelet = Kubelet::new(vec![a.clone(), b.clone()]);
    let _listening = kubelet.listen(&node.socket());
    let mut last = node.attribution.generation();
    let mut grew = |node: &Node| {
        let now = node.attribution.generation();
        let grew = now > last;
        last = now;
        grew
    };
    node.good_tick();
    assert!(grew(&node));
    *kubelet.answer() = Answer::Pods(vec![b, a.clone()]);
    node.good_tick();
    assert!(!grew(&node));
    let aliases = vec![("nvidia0".to_owned(), format!("GPU-{A}"))];
    node.attribution.set_aliases("gpu", aliases.clone());
    assert!(grew(&node));
    node.attribution.set_aliases("gpu", aliases);
    assert!(!grew(&node));
    *kubelet.answer() = Answer::Pods(vec![a]);
    node.good_tick();
    assert!(grew(&node));
    assert_eq!(node.owners(&format!("GPU-{A}")), ["a/main nvidia.com/gpu"]);
    assert_eq!(node.owners("nvidia1"), [""; 0]);
    node.log("a", A, "main", ONE);
    node.good_tick();
    assert!(grew(&node));
    assert_eq!(node.attribution.owners("nvidia0")[0].uid.as_deref(), Some(A));
}

#[test]
fn exclusive_cpus_and_devices_of_a_container_are_told_together() {
    let mut node = Node::new();
    for (numa, cpus) in [("node0", "0-3\n"), ("node1", "4-7\n")] {
        let dir = node.dir.path().join("sys/devices/system/node").join(numa);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cpulist"), cpus).unwrap();
    }
    let mut pinned = container("dpdk", "fuse", &["f"]);
    pinned.cpu_ids = vec![5, 2, 3, 6, 7];
    let mut whole = pod("whole", vec![]);
    whole.cpu_ids = vec![0, 1];
    let kubelet = Kubelet::new(vec![pod("cnf", vec![pinned]), whole]);
    let _listening = kubelet.listen(&node.socket());
    let cnf = "namespace=ml,pod=cnf,container=dpdk";
    let expected = [
        format!("pod_cpu_info{{{cnf},cpus=2-3,5-7,numa_nodes=0-1}}"),
        "pod_cpu_info{namespace=ml,pod=whole,container=,cpus=0-1,numa_nodes=0}".to_owned(),
        format!("pod_device_info{{{cnf},resource=fuse,device=f}}"),
    ];
    for _ in 0..2 {
        let samples = node.good_tick();
        let infos: Vec<_> = samples.keys().filter(|key| key.starts_with("pod_")).cloned().collect();
        assert_eq!(infos, expected);
    }
    *kubelet.answer() = Answer::Pods(vec![]);
    assert!(node.good_tick().keys().all(|key| !key.starts_with("pod_")));
}

#[test]
fn node_without_a_kubelet_has_nothing_to_collect() {
    let mut node = Node::new();
    assert!(matches!(node.tick(), Err(CollectError::Absent(what)) if what.ends_with(".sock")));
    let kubelet = Kubelet::new(vec![]);
    let _listening = kubelet.listen(&node.socket());
    node.good_tick();
}

#[test]
fn kubelet_that_is_away_leaves_its_last_answer() {
    let mut node = Node::new();
    let kubelet = Kubelet::new(vec![gpu("a", &["nvidia0"])]);
    let listening = kubelet.listen(&node.socket());
    node.good_tick();
    let generation = node.attribution.generation();
    drop(listening);
    let (first, error) = node.bad_tick();
    assert!(error.starts_with("connect to") && error.contains("kubelet.sock"), "{error}");
    let (second, _) = node.bad_tick();
    let age = |samples: &BTreeMap<String, f64>| samples["sextant_pods_age_seconds{}"];
    assert!(0.0 < age(&first) && age(&first) < age(&second));
    assert_eq!(second["sextant_pods_devices{resource=nvidia.com/gpu}"], 1.0);
    assert_eq!(node.owners("nvidia0"), ["a/main nvidia.com/gpu"]);
    assert_eq!(node.attribution.generation(), generation);

    let _listening = kubelet.listen(&node.socket());
    node.good_tick();
}

#[test]
fn kubelet_that_was_restarted_between_ticks_is_not_missed() {
    let mut node = Node::new();
    let kubelet = Kubelet::new(vec![gpu("a", &["nvidia0"])]);
    let listening = kubelet.listen(&node.socket());
    node.good_tick();
    node.good_tick();
    assert_eq!(kubelet.asked.available_permits(), 2);
    drop(listening);
    let kubelet = Kubelet::new(vec![gpu("b", &["nvidia0"])]);
    let _listening = kubelet.listen(&node.socket());
    node.good_tick();
    assert_eq!(node.owners("nvidia0"), ["b/main nvidia.com/gpu"]);
}

#[test]
fn answers_that_are_of_no_use_are_told_and_counted() {
    let mut node = Node::new();
    let kubelet = Kubelet::new(vec![gpu("a", &["nvidia0"])]);
    let listening = kubelet.listen(&node.socket());
    node.good_tick();
    let huge = pod(&"x".repeat(17 << 20), vec![]);
    let cases = [
        (Answer::Refuse(Code::Unimplemented), "no PodResources v1", 0.0),
        (Answer::Refuse(Code::ResourceExhausted), "as the test says", 0.0),
        (Answer::Refuse(Code::Internal), "as the test says", 1.0),
        (Answer::Pods(vec![huge]), "too large", 2.0),
    ];
    for (answer, says, malformed) in cases {
        *kubelet.answer() = answer;
        let (samples, error) = node.bad_tick();
        assert!(error.contains(says), "{error}");
        assert_eq!(samples["sextant_pods_malformed_total{}"], malformed, "{error}");
        assert_eq!(node.owners("nvidia0"), ["a/main nvidia.com/gpu"]);
    }
    drop(listening);

    // A message whose first field is longer than the message.
    let body = [&[0, 0, 0, 0, 2][..], &[0x0a, 0x7f]].concat();
    let handler = axum::routing::any(move || {
        let body = body.clone();
        async move { ([("content-type", "application/grpc")], body) }
    });
    let router = axum::Router::new().route("/v1.PodResourcesLister/List", handler);
    let listening = Listening::start(&node.socket(), router.into());
    let (samples, error) = node.bad_tick();
    assert!(error.contains("cannot be used"), "{error}");
    assert_eq!(samples["sextant_pods_malformed_total{}"], 3.0);
    drop(listening);

    // No gRPC at all.
    let listener = UnixListener::bind(node.socket()).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (_, error) = node.bad_tick();
    assert!(!error.is_empty());
    other.join().unwrap();
    fs::remove_file(node.socket()).unwrap();

    *kubelet.answer() = Answer::Pods(vec![gpu("b", &["nvidia0"])]);
    let _listening = kubelet.listen(&node.socket());
    node.good_tick();
    assert_eq!(node.owners("nvidia0"), ["b/main nvidia.com/gpu"]);
}

#[test]
fn slow_kubelet_is_given_up_and_asked_again() {
    let mut node = Node::new();
    node.pods = node.pods.with_timeout(Duration::from_millis(50));
    let kubelet = Kubelet::new(vec![]);
    *kubelet.answer() = Answer::Wait;
    let _listening = kubelet.listen(&node.socket());
    let (samples, error) = node.bad_tick();
    assert!(error.contains("not answered within 50ms"), "{error}");
    assert!(!samples.contains_key("sextant_pods_age_seconds{}"));
    node.pods = node.pods.with_timeout(Duration::from_secs(60));
    *kubelet.answer() = Answer::Pods(vec![gpu("a", &["nvidia0"])]);
    node.good_tick();
    assert_eq!(node.owners("nvidia0"), ["a/main nvidia.com/gpu"]);
}

#[test]
fn questions_do_not_wait_for_a_kubelet_that_hangs() {
    let mut node = Node::new();
    node.pods = node.pods.with_timeout(Duration::from_secs(60));
    let kubelet = Kubelet::new(vec![gpu("a", &["nvidia0"])]);
    let _listening = kubelet.listen(&node.socket());
    node.log("a", A, "main", ONE);
    node.process(7, &format!("0::/kubepods/pod{A}/{ONE}\n"));
    node.good_tick();
    *kubelet.answer() = Answer::Wait;
    let attribution = Arc::clone(&node.attribution);
    std::thread::scope(|scope| {
        // As small as those that collectors run on.
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let collecting = thread.spawn_scoped(scope, || node.good_tick()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(kubelet.asked.acquire_many(2)).unwrap().forget();
        assert_eq!(attribution.owners("nvidia0").len(), 1);
        assert_eq!(attribution.process(7).unwrap().owner.unwrap().pod, "a");
        assert_eq!(attribution.owner_of(7, "nvidia0").unwrap().pod, "a");
        attribution.set_aliases("gpu", vec![("nvidia0".into(), format!("GPU-{A}"))]);
        assert_eq!(attribution.owners(&format!("GPU-{A}")).len(), 1);
        assert!(!collecting.is_finished());
        kubelet.go.add_permits(1);
        collecting.join().unwrap();
    });
    assert_eq!(attribution.owners("nvidia0").len(), 0);
}

#[test]
fn process_is_named_by_its_cgroup_and_the_log_directories() {
    let mut node = Node::new();
    let gpu_a = format!("GPU-{A}");
    let train = pod(
        "train",
        vec![
            container("main", "nvidia.com/gpu", &[&gpu_a]),
            ContainerResources { name: "side".into(), ..Default::default() },
        ],
    );
    let kubelet = Kubelet::new(vec![train]);
    let _listening = kubelet.listen(&node.socket());
    node.log("train", A, "main", ONE);
    node.log("train", A, "side-car", TWO);
    node.log("exporter", B, "main", &"3".repeat(64));
    let slice = format!("kubepods-burstable-pod{}.slice", A.replace('-', "_"));
    node.process(1, "0::/init.scope\n");
    node.process(10, &format!("0::/kubepods.slice/{slice}/cri-containerd-{ONE}.scope\n"));
    node.process(11, &format!("0::/kubepods.slice/{slice}/crio-{TWO}.scope\n"));
    node.process(
        12,
        &format!("0::/kubepods.slice/{slice}/cri-containerd-{}.scope\n", "9".repeat(64)),
    );
    node.process(13, &format!("3:cpu:/kubepods/besteffort/pod{B}/{}\n0::/\n", "3".repeat(64)));
    node.process(14, &format!("0::/kubepods/pod{C}/{ONE}\n"));
    node.good_tick();
    let owner = |pid| node.attribution.process(pid).and_then(|process| process.owner);
    assert_eq!(text(&owner(10).unwrap()), "train/main nvidia.com/gpu");
    assert_eq!(owner(10).unwrap().uid.as_deref(), Some(A));
    assert_eq!(text(&owner(11).unwrap()), "train/side-car ");
    // The log is gone, but only one container has anything.
    assert_eq!(text(&owner(12).unwrap()), "train/main nvidia.com/gpu");
    assert_eq!(text(&owner(13).unwrap()), "exporter/main ");
    assert_eq!(owner(14), None);
    let process = node.attribution.process(14).unwrap();
    assert_eq!((process.pod_uid.as_str(), process.container_id.as_str()), (C, ONE));
    assert_eq!(node.attribution.process(1), None);
    assert_eq!(node.attribution.process(99), None);

    let owner_of = |pid| node.attribution.owner_of(pid, &gpu_a).map(|owner| text(&owner));
    assert_eq!(owner_of(10).unwrap(), "train/main nvidia.com/gpu");
    assert_eq!(owner_of(11).unwrap(), "train/side-car ");
    assert_eq!(owner_of(13).unwrap(), "exporter/main ");
    // The device's pod has a UID, and it is not that of the process.
    assert_eq!(owner_of(14), None);
    assert_eq!(owner_of(1), None);
}

#[test]
fn process_of_an_unnamed_pod_is_the_only_owners_of_its_device() {
    let mut node = Node::new();
    let [gpu_a, gpu_b] = [A, B].map(|uuid| format!("GPU-{uuid}"));
    let two = |resource: &str| ContainerDevices {
        resource_name: resource.into(),
        device_ids: vec![gpu_a.clone()],
        topology: None,
    };
    let mut only = container("main", "nvidia.com/gpu", &[]);
    only.devices = vec![two("nvidia.com/gpu"), two("nvidia.com/gpu.shared")];
    let kubelet = Kubelet::new(vec![
        pod("only", vec![only]),
        gpu("b1", &[&format!("{gpu_b}::0")]),
        gpu("b2", &[&format!("{gpu_b}::1")]),
    ]);
    let _listening = kubelet.listen(&node.socket());
    node.process(1, "0::/init.scope\n");
    node.process(10, &format!("0::/kubepods/pod{C}/{ONE}\n"));
    node.good_tick();
    let owner = |pid, device| node.attribution.owner_of(pid, device).map(|owner| text(&owner));
    assert_eq!(owner(10, &gpu_a).unwrap(), "only/main nvidia.com/gpu");
    assert_eq!(owner(10, &gpu_b), None);
    assert_eq!(owner(1, &gpu_a), None);
    assert_eq!(node.attribution.process(10).unwrap().owner, None);
}

#[test]
fn attribution_can_be_made_of_owners() {
    let owner = |pod: &str| Owner {
        namespace: "ml".into(),
        pod: pod.into(),
        container: "main".into(),
        resource: "nvidia.com/gpu".into(),
        uid: Some(A.into()),
        shared: false,
    };
    let gpu_a = format!("GPU-{A}");
    let attribution = Attribution::with_owners(vec![
        (gpu_a.clone(), owner("a")),
        (format!("GPU-{B}::0"), owner("b")),
        ("0000:3b:02.1".into(), owner("c")),
    ]);
    assert_eq!(*attribution.owners(&gpu_a), [owner("a")]);
    assert_eq!(*attribution.owners("0000:3b:02.1"), [owner("c")]);
    assert_eq!(*attribution.owners(&format!("GPU-{B}")), [Owner { shared: true, ..owner("b") }]);
    assert!(attribution.generation() > 0);
}

//! The data files of the measurement: what the fleet is like, the faults, what only looks like a
//! fault, and which runs are made. They know nothing of detectors.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::rng::Rng;

const PHYSICS: &str = include_str!("../../../scenarios/physics.toml");
const FAULTS: &str = include_str!("../../../scenarios/faults.toml");
const CONFUSERS: &str = include_str!("../../../scenarios/confusers.toml");
const RUNS: &str = include_str!("../../../scenarios/runs.toml");

/// All four files.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) physics: Physics,
    pub(crate) faults: Vec<FaultSpec>,
    pub(crate) confusers: Vec<ConfuserSpec>,
    pub(crate) runs: Runs,
}

/// `physics.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Physics {
    pub(crate) start_unix_s: i64,
    pub(crate) fleet: Fleet,
    pub(crate) tiers: Tiers,
    pub(crate) vary: Vary,
    pub(crate) job: JobMix,
}

/// Of what size the fleet is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fleet {
    pub(crate) nodes: usize,
    pub(crate) gpus: usize,
    pub(crate) pfs: usize,
    pub(crate) vfs: usize,
    pub(crate) cpus: usize,
}

/// Seconds between samples.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tiers {
    pub(crate) gpu_fast: i64,
    pub(crate) gpu_medium: i64,
    pub(crate) gpu_slow: i64,
    pub(crate) host: i64,
    pub(crate) ptp: i64,
    pub(crate) pf: i64,
    pub(crate) vf: i64,
    pub(crate) agent: i64,
}

/// Numbers that the seed moves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vary {
    vary: f64,
    pub(crate) gpu: Numbers,
    pub(crate) room: Numbers,
    pub(crate) ptp: Numbers,
    pub(crate) network: Numbers,
    pub(crate) host: Numbers,
    pub(crate) job: Numbers,
}

/// How the GPUs are shared out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobMix {
    pub(crate) sizes: Vec<f64>,
}

/// Numbers by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// # Panics
    /// When the file has none of that name: the file comes with the program, and every name is
    /// asked for when a world is made.
    pub(crate) fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("the data files have a number {name}"))
    }

    fn varied(&self, by: f64, rng: &mut Rng) -> Self {
        Self(self.0.iter().map(|(name, value)| (name.clone(), rng.vary(*value, by))).collect())
    }
}

impl Vary {
    /// The numbers as a seed moves them.
    pub(crate) fn moved(&self, rng: &mut Rng) -> Self {
        let Self { vary, gpu, room, ptp, network, host, job } = self;
        let mut moved = |numbers: &Numbers| numbers.varied(*vary, rng);
        Self {
            vary: 0.0,
            gpu: moved(gpu),
            room: moved(room),
            ptp: moved(ptp),
            network: moved(network),
            host: moved(host),
            job: moved(job),
        }
    }
}

/// What is asked of detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    Deterministic,
    Gray,
    /// Gray, with a target of its own: 3 % slow.
    Straggler,
    /// Nobody may be paged.
    Quiet,
}

/// What a fault happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    Gpu,
    /// A GPU that is part of a gang.
    TrainingGpu,
    Node,
    Pf,
    Vf,
    /// The PTP domain's grandmaster.
    Domain,
    /// A boundary clock.
    Boundary,
}

/// A kind of fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultSpec {
    pub(crate) class: Class,
    pub(crate) group: Group,
    pub(crate) scope: Scope,
    pub(crate) duration_s: [f64; 2],
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Parameter>,
}

/// A parameter of a fault.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
    /// Moved by 30 %.
    Default(f64),
    /// Anything in between; by decades where the ends are far apart.
    Range([f64; 2]),
}

impl FaultSpec {
    /// The parameters of one fault.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Numbers {
        let one = |(name, parameter): (&String, &Parameter)| {
            let value = match *parameter {
                Parameter::Default(value) => rng.vary(value, 0.3),
                Parameter::Range([low, high]) if low > 0.0 && high / low > 5.0 => {
                    rng.between_decades(low, high)
                }
                Parameter::Range([low, high]) => rng.between(low, high),
            };
            (name.clone(), value)
        };
        Numbers(self.parameters.iter().map(one).collect())
    }
}

macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        pub(crate) enum $name { $(#[serde(rename = $text)] $variant,)* }

        impl $name {
            /// As the data files and the tables write it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

names! {
    /// What fails.
    Class {
        ThermalThrottle = "thermal_throttle",
        PowerBrake = "power_brake",
        PowerCap = "power_cap",
        Xid79 = "xid_79",
        Xid48 = "xid_48",
        Xid94 = "xid_94",
        Xid95 = "xid_95",
        Xid63 = "xid_63",
        Xid64 = "xid_64",
        EccStorm = "ecc_storm",
        NvlinkDegrade = "nvlink_degrade",
        PcieWidth = "pcie_width",
        PcieGeneration = "pcie_generation",
        Straggler3 = "straggler_3",
        Straggler5 = "straggler_5",
        Straggler10 = "straggler_10",
        Straggler20 = "straggler_20",
        GmLoss = "gm_loss",
        BmcaFlap = "bmca_flap",
        AsymmetryStep = "asymmetry_step",
        DelayJitter = "delay_jitter",
        VfDropStorm = "vf_drop_storm",
        PfQueueExhaustion = "pf_queue_exhaustion",
        LinkFlap = "link_flap",
        VfStuck = "vf_stuck",
        HostOom = "host_oom",
        Steal = "steal",
    }
}

names! {
    /// What looks like a fault.
    Confuser {
        CronSpike = "cron_spike",
        DriverUpgrade = "driver_upgrade",
        GmSwitch = "gm_switch",
        NodeReboot = "node_reboot",
        AgentGap = "agent_gap",
        LateBacklog = "late_backlog",
        CounterReset = "counter_reset",
        CounterWrap = "counter_wrap",
        DuplicateSamples = "duplicate_samples",
        DstChange = "dst_change",
        Maintenance = "maintenance",
    }
}

/// A kind of what looks like a fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfuserSpec {
    pub(crate) kind: Confuser,
    pub(crate) per_node_day: f64,
    pub(crate) duration_s: [f64; 2],
}

/// `runs.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {
    pub(crate) seeds: Seeds,
    pub(crate) full: Plan,
    pub(crate) quick: Plan,
    pub(crate) spacing: Spacing,
}

/// Where the seeds of a set begin.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seeds {
    pub(crate) train: u64,
    pub(crate) heldback: u64,
}

/// How many runs of what size.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) hours: f64,
    pub(crate) warm_up_hours: f64,
    pub(crate) fault_runs: usize,
    pub(crate) clean_runs: usize,
    pub(crate) confuser_runs: usize,
    pub(crate) baseline_runs: usize,
}

/// Room between faults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spacing {
    pub(crate) after_s: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultFile {
    fault: Vec<FaultSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfuserFile {
    confuser: Vec<ConfuserSpec>,
}

impl Spec {
    /// The files that come with the program.
    ///
    /// # Errors
    /// When one of them is not of its format.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let faults: FaultFile = toml::from_str(FAULTS).context("bench/scenarios/faults.toml")?;
        let confusers: ConfuserFile =
            toml::from_str(CONFUSERS).context("bench/scenarios/confusers.toml")?;
        Ok(Self {
            physics: toml::from_str(PHYSICS).context("bench/scenarios/physics.toml")?,
            faults: faults.fault,
            confusers: confusers.confuser,
            runs: toml::from_str(RUNS).context("bench/scenarios/runs.toml")?,
        })
    }
}

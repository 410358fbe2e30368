//! One GPU of the world: who it is, what holds for it, what it has counted.

use parking_lot::Mutex;

use crate::code::Code;
use crate::effects::{Effects, Mistake};
use crate::mig::{self, Instance};
use crate::physics::{Counters, LINKS, Physics};
use crate::profiles::{self, Profile};
use crate::scenario::{self, Act, Scenario};

/// Errors that a link counts: CRC flit, CRC data, replay, recovery, ECC, malformed, overrun,
/// received, remote, local integrity, effective, symbol.
pub(crate) const LINK_ERRORS: usize = 12;

/// What it is, whatever happens to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    pub uuid: String,
    pub pci: String,
    pub pci_address: (u32, u32, u32),
    pub serial: String,
    pub minor: u32,
    pub numa: u32,
    /// From 1, as boards number their modules.
    pub module: u32,
}

/// Counters of things that happen, as opposed to those that the model integrates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Corrected and uncorrected by place, since driver load.
    pub ecc: [[u64; 8]; 2],
    pub sram: [u64; 3],
    pub pcie_replays: u64,
    pub pcie_errors: [u64; 11],
    pub links: [[u64; LINK_ERRORS]; LINKS],
}

/// What a driver reload does not touch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifelong {
    pub ecc: [[u64; 8]; 2],
    pub sram: [u64; 3],
    pub remapped: [u32; 2],
    pub retired: [u32; 2],
}

/// Everything of a GPU that changes with time.
#[derive(Debug)]
pub(crate) struct State {
    pub physics: Physics,
    pub tally: Tally,
    pub lifelong: Lifelong,
}

/// A GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub spec: scenario::Gpu,
    pub profile: &'static Profile,
    pub identity: Identity,
    pub effects: Effects,
    pub state: Mutex<State>,
    /// MIG is on, with these devices.
    pub mig: Option<Vec<Instance>>,
    /// Grows whenever the MIG devices change, so that old handles are known.
    pub mig_generation: u32,
}

impl Gpu {
    pub(crate) fn new(
        scenario: &Scenario,
        spec: &scenario::Gpu,
        slot: usize,
        time: f64,
    ) -> Result<Self, Mistake> {
        let profile = profiles::named(&spec.profile)
            .ok_or_else(|| Mistake(format!("no profile is called {}", spec.profile)))?;
        let identity = identity(scenario, spec, slot)?;
        let effects = Effects::new(scenario, spec.set.clone())?;
        let seed = hash(scenario.seed, slot as u64);
        let physics = Physics::new(seed, time, profile, &effects.conditions);
        let state = State { physics, tally: Tally::default(), lifelong: Lifelong::default() };
        let mut made = Self {
            spec: spec.clone(),
            profile,
            identity,
            effects,
            state: Mutex::new(state),
            mig: None,
            mig_generation: 0,
        };
        made.lay_out_mig()?;
        Ok(made)
    }

    /// Puts other conditions into force at `time`.
    pub(crate) fn change(&mut self, effects: Effects, time: f64) -> Result<(), Mistake> {
        self.settle(time);
        self.effects = effects;
        self.state.get_mut().physics.begin(time, self.profile, &self.effects.conditions);
        self.lay_out_mig()
    }

    fn lay_out_mig(&mut self) -> Result<(), Mistake> {
        let conditions = &self.effects.conditions;
        let wanted = match &conditions.mig {
            Some(layout) if conditions.mig_off != Some(true) => {
                Some(mig::lay_out(self.profile, &self.identity.uuid, layout)?)
            }
            _ => None,
        };
        if wanted != self.mig {
            self.mig = wanted;
            self.mig_generation += 1;
        }
        Ok(())
    }

    /// Goes on to `time` under what holds.
    pub(crate) fn settle(&mut self, time: f64) {
        let (profile, conditions) = (self.profile, &self.effects.conditions);
        self.state.get_mut().physics.advance(time, profile, conditions);
    }

    /// The state at `time`.
    pub(crate) fn at(&self, time: f64) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.physics.advance(time, self.profile, &self.effects.conditions);
        state
    }

    /// Counters go to 0, as by a driver reload.
    pub(crate) fn reset(&mut self) {
        let state = self.state.get_mut();
        state.physics.reset();
        state.tally = Tally::default();
    }

    /// Counts what happens.
    pub(crate) fn act(&mut self, act: &Act) -> Result<(), Mistake> {
        let State { tally, lifelong, .. } = self.state.get_mut();
        if let Some(ecc) = &act.ecc {
            if ecc.location >= 8 {
                return Err(Mistake(format!("memory location {} is not below 8", ecc.location)));
            }
            for counts in [&mut tally.ecc, &mut lifelong.ecc] {
                counts[0][ecc.location] += ecc.corrected;
                counts[1][ecc.location] += ecc.uncorrected;
            }
        }
        if let Some(sram) = &act.sram {
            for counts in [&mut tally.sram, &mut lifelong.sram] {
                counts[0] += sram.corrected;
                counts[1] += sram.parity;
                counts[2] += sram.secded;
            }
            for counts in [&mut tally.ecc, &mut lifelong.ecc] {
                counts[0][7] += sram.corrected;
                counts[1][7] += sram.parity + sram.secded;
            }
        }
        if let Some(remap) = &act.remap {
            lifelong.remapped[0] += remap.correctable;
            lifelong.remapped[1] += remap.uncorrectable;
        }
        if let Some(retire) = &act.retire {
            lifelong.retired[0] += retire.single_bit;
            lifelong.retired[1] += retire.double_bit;
        }
        tally.pcie_replays += act.pcie_replays;
        for (count, more) in tally.pcie_errors.iter_mut().zip(act.pcie_errors.in_order()) {
            *count += more;
        }
        for errors in &act.nvlink_errors {
            let link = tally
                .links
                .get_mut(errors.link)
                .ok_or_else(|| Mistake(format!("there is no link {}", errors.link)))?;
            let more = [
                errors.crc_flit,
                errors.crc_data,
                errors.replay,
                errors.recovery,
                errors.ecc,
                errors.malformed,
                errors.overrun,
                errors.received,
                errors.received_remote,
                errors.local_integrity,
                errors.effective,
                errors.symbol,
            ];
            link.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        Ok(())
    }

    /// What every call about it answers, if it is not what was asked for.
    pub(crate) fn broken(&self) -> Option<Code> {
        let conditions = &self.effects.conditions;
        let gone = conditions.lost == Some(true) || conditions.removed == Some(true);
        if gone { Some(Code::GPU_IS_LOST) } else { conditions.code }
    }

    pub(crate) fn removed(&self) -> bool {
        self.effects.conditions.removed == Some(true)
    }
}

impl State {
    /// Errors since driver load: `[corrected, uncorrected][place]`.
    pub(crate) fn volatile_ecc(&self, counters: &Counters) -> [[u64; 8]; 2] {
        let mut all = self.tally.ecc;
        all[0][2] += crate::number::whole(counters.ecc_corrected);
        all
    }

    /// Errors of its life.
    pub(crate) fn aggregate_ecc(&self, counters: &Counters) -> [[u64; 8]; 2] {
        let mut all = self.lifelong.ecc;
        all[0][2] += crate::number::whole(counters.ecc_corrected);
        all
    }
}

fn identity(scenario: &Scenario, spec: &scenario::Gpu, slot: usize) -> Result<Identity, Mistake> {
    let number = u32::try_from(slot).map_err(|_| Mistake("too many GPUs".into()))?;
    // As HGX boards have them: a bus every so often, half of the GPUs on each socket.
    let pci = match &spec.pci {
        Some(pci) => pci.clone(),
        None => format!("00000000:{:02X}:00.0", 0x18 + number * 0x11 % 0xe0),
    };
    let pci_address = parse_pci(&pci).ok_or_else(|| Mistake(format!("{pci} is no PCI address")))?;
    let uuid = spec.uuid.clone().unwrap_or_else(|| uuid("GPU", scenario.seed, u64::from(number)));
    Ok(Identity {
        uuid,
        pci,
        pci_address,
        serial: spec.serial.clone().unwrap_or_else(|| format!("16510230{number:05}")),
        minor: number,
        numa: number / 4 % 2,
        module: number % 8 + 1,
    })
}

/// Domain, bus and device of `00000000:18:00.0` or `0000:18:00.0`.
pub(crate) fn parse_pci(text: &str) -> Option<(u32, u32, u32)> {
    let (rest, _function) = text.split_once('.')?;
    let mut parts = rest.split(':').map(|part| u32::from_str_radix(part, 16).ok());
    let (domain, bus, device) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((domain, bus, device))
}

/// A UUID that is the same for the same seed and number.
pub(crate) fn uuid(prefix: &str, seed: u64, number: u64) -> String {
    let (a, b) = (hash(seed, number * 2), hash(seed, number * 2 + 1));
    format!(
        "{prefix}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

/// Splitmix64 of the two.
pub(crate) fn hash(seed: u64, number: u64) -> u64 {
    let mut x = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

//! Where a fault happens: aggregators, senders under load, and the reckoning at the end.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sextant_agent::spool::SpoolConfig;
use sextant_agent::uplink::UplinkConfig;
use tokio::time::{Instant, sleep};

use super::audit;
use super::daemon::{self, Daemon};
use super::ledger::{Fate, Ledger};
use super::sender::{Control, SENDER, Setup};
use crate::process::Child;

const LOOK: Duration = Duration::from_millis(10);
/// Longer than an agent waits for an ack or between two tries.
const PATIENCE: Duration = Duration::from_secs(150);

/// Windows of two senders, and what their uplinks have read beyond, at two changes of state.
const MOST_ON_THE_ROAD: u64 = 4 * (256 + 64);

/// What came of a run of a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) stored: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) lost_by_design: u64,
    /// Missing and neither lost by design nor in memory at a kill.
    pub(super) unexplained: i64,
    /// Of those on a damaged disk, which hides how many there were: beyond what was counted.
    pub(super) hidden_by_damage: u64,
    /// Given up and counted, and stored all the same.
    pub(super) counted_but_stored: u64,
    /// In memory at a kill of the agent, and nowhere else.
    pub(super) killed_in_memory: u64,
    pub(super) recoveries_ms: Vec<u64>,
}

/// A sender and its files.
pub(super) struct Sender {
    pub(super) setup: Setup,
    pub(super) prefix: Vec<String>,
    control: Control,
    dir: PathBuf,
    child: Option<Child>,
}

impl Sender {
    fn file(&self) -> PathBuf {
        self.dir.join("setup.json")
    }

    /// Starts it, again where it was killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.steer(|_| ())?;
        std::fs::write(self.file(), serde_json::to_vec(&self.setup)?)?;
        let program = std::env::current_exe().context("this program's path")?;
        let mut words = self.prefix.clone();
        words.extend([program.to_string_lossy().into_owned(), SENDER.into()]);
        words.push(self.file().to_string_lossy().into_owned());
        self.child = Some(Child::start(Path::new(&words.remove(0)), &words, &self.dir)?);
        Ok(())
    }

    /// Ends it without a warning.
    pub(super) fn kill(&mut self) {
        self.child = None;
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        daemon::signal(self.child.as_ref().context("the sender does not run")?, signal)
    }

    /// Tells it what to do from the next tick on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn steer(&mut self, edit: impl FnOnce(&mut Control)) -> anyhow::Result<()> {
        edit(&mut self.control);
        let new = self.setup.control.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&self.control)?)?;
        Ok(std::fs::rename(new, &self.setup.control)?)
    }

    /// What it has done until now.
    ///
    /// # Errors
    /// When its ledger cannot be read.
    pub(super) fn ledger(&self) -> anyhow::Result<Ledger> {
        Ledger::read(&self.setup.ledger)
    }

    /// Waits until its ledger says so.
    ///
    /// # Errors
    /// When it has ended, or it takes too long.
    pub(super) async fn until(
        &mut self,
        what: &str,
        done: impl Fn(&Ledger) -> bool,
    ) -> anyhow::Result<Ledger> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // What it has written before it ended counts.
            let alive = self.child.as_mut().map_or(Ok(()), Child::alive);
            let ledger = self.ledger()?;
            if done(&ledger) {
                return Ok(ledger);
            }
            alive?;
            if Instant::now() > deadline {
                let (name, counts) = (&self.setup.name, ledger.counts.last());
                bail!("{name}: no {what} after {PATIENCE:?}: {counts:?}");
            }
            sleep(LOOK).await;
        }
    }
}

/// One run of a fault.
pub(super) struct Stage {
    pub(super) dir: tempfile::TempDir,
    program: PathBuf,
    pub(super) daemons: Vec<Daemon>,
    pub(super) senders: Vec<Sender>,
    random: u64,
    /// How long load lasts before and after.
    pub(super) load: Duration,
    recoveries_ms: Vec<u64>,
}

impl Stage {
    /// An empty stage.
    ///
    /// # Errors
    /// When there is no room for its directory.
    pub(super) fn new(program: &Path, seed: u64, load: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            dir: tempfile::tempdir().context("directory of a fault")?,
            program: program.into(),
            daemons: Vec::new(),
            senders: Vec::new(),
            random: seed,
            load,
            recoveries_ms: Vec::new(),
        })
    }

    /// A number below `below`, another one each time.
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.random >> 33) % below.max(1)
    }

    /// A random part of the load.
    pub(super) async fn moment(&mut self) {
        let load = u64::try_from(self.load.as_millis()).unwrap_or(u64::MAX);
        let while_ms = self.random(load);
        sleep(Duration::from_millis(while_ms)).await;
    }

    /// One more aggregator that does not run yet.
    ///
    /// # Errors
    /// When there is no port for it.
    pub(super) fn daemon(&mut self) -> anyhow::Result<usize> {
        let index = self.daemons.len();
        let host = Ipv4Addr::new(127, 0, 0, u8::try_from(index + 1)?);
        let dir = self.dir.path().join(format!("aggregator-{index}"));
        self.daemons.push(Daemon::new(&self.program, dir, host)?);
        Ok(index)
    }

    /// One more sender that does not run yet.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub(super) fn sender(&mut self, endpoint: String) -> anyhow::Result<usize> {
        let index = self.senders.len();
        let name = format!("sender-{index}");
        let dir = self.dir.path().join(&name);
        std::fs::create_dir_all(&dir)?;
        let setup = Setup {
            node: name.clone(),
            name,
            uplink: UplinkConfig { endpoint, ..UplinkConfig::default() },
            spool: SpoolConfig { dir: dir.join("spool"), ..SpoolConfig::default() },
            addresses: None,
            ledger: dir.join("ledger"),
            control: dir.join("control.json"),
        };
        let (prefix, control) = (Vec::new(), Control::default());
        self.senders.push(Sender { setup, prefix, control, dir, child: None });
        Ok(index)
    }

    /// An aggregator and so many senders, all running, each with something acknowledged.
    ///
    /// # Errors
    /// When one of them does not.
    pub(super) async fn begin(&mut self, senders: usize) -> anyhow::Result<()> {
        let index = self.daemon()?;
        let endpoint = self.daemons[index].endpoint();
        for _ in 0..senders {
            self.sender(endpoint.clone())?;
        }
        self.start_all().await
    }

    /// Starts the senders while there is no aggregator: nothing that they give up can be stored.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(super) fn start_alone(&mut self) -> anyhow::Result<()> {
        self.senders.iter_mut().try_for_each(Sender::start)
    }

    /// Starts all there is, and waits for the first acks.
    ///
    /// # Errors
    /// When one does not run.
    pub(super) async fn start_all(&mut self) -> anyhow::Result<()> {
        for daemon in &mut self.daemons {
            daemon.start().await?;
        }
        for sender in &mut self.senders {
            sender.start()?;
        }
        for sender in &mut self.senders {
            sender.until("first ack", |ledger| ledger.acked > 0).await?;
        }
        Ok(())
    }

    /// The fault is over: waits for the next ack of every sender, and notes how long that took.
    ///
    /// # Errors
    /// When one does not come.
    pub(super) async fn recovered(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        for sender in &mut self.senders {
            let before = sender.ledger()?.count(Fate::Acked);
            sender.until("ack after the fault", |now| now.count(Fate::Acked) > before).await?;
            let took = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.recoveries_ms.push(took);
        }
        Ok(())
    }

    /// Load for a while.
    pub(super) async fn under_load(&self) {
        sleep(self.load).await;
    }

    /// Ends the load, waits until all is acknowledged, stops everything, checks the stores, and
    /// compares what they have with what was sent.
    ///
    /// # Errors
    /// When anything does not end as it should, or a store is damaged.
    pub(super) async fn finish(self) -> anyhow::Result<Outcome> {
        self.finish_then(|| ()).await
    }

    /// As [`Stage::finish`]; `then` is called when all is read and before its directory goes.
    ///
    /// # Errors
    /// As [`Stage::finish`].
    pub(super) async fn finish_then(mut self, then: impl FnOnce()) -> anyhow::Result<Outcome> {
        for sender in &mut self.senders {
            sender.steer(|control| {
                control.drain = true;
                control.tick_ms = 5;
            })?;
        }
        let mut ledgers = Vec::new();
        for sender in &mut self.senders {
            let ledger = sender.until("drained spool", |ledger| ledger.drained).await?;
            ledgers.push((sender.setup.name.clone(), ledger));
            sender.kill();
        }
        let mut stored = audit::Stored::new();
        for daemon in &mut self.daemons {
            daemon.alive()?;
            daemon.stop().await?;
            if daemon.data.is_dir() {
                daemon.check()?;
                audit::read(&daemon.data, &mut stored)?;
            }
        }
        then();
        let mut outcome = Outcome { recoveries_ms: self.recoveries_ms, ..Outcome::default() };
        for (name, ledger) in &ledgers {
            ensure!(ledger.lives > 0, "{name} never ran");
            outcome.add(name, ledger, &stored);
        }
        let known = |(name, number): &(String, u64)| {
            ledgers.iter().any(|(own, ledger)| own == name && ledger.fates.contains_key(number))
        };
        let unknown = stored.keys().filter(|key| !known(key)).count();
        ensure!(unknown == 0, "{unknown} samples are stored that were never sent");
        Ok(outcome)
    }
}

impl Outcome {
    /// Adds a sender's.
    fn add(&mut self, name: &str, ledger: &Ledger, stored: &audit::Stored) {
        let by_design: u64 = ledger.counts.iter().map(super::ledger::Counts::dropped).sum();
        let mut in_doubt: u64 = ledger.counts.iter().map(|counts| counts.in_doubt).sum();
        let (mut missing, mut missing_acked) = (0u64, 0u64);
        for (number, fate) in &ledger.fates {
            let times = stored.get(&(name.to_owned(), *number)).copied().unwrap_or_default();
            self.sent += 1;
            self.acked += u64::from(*fate == Fate::Acked);
            self.stored += times.min(1);
            // Twice where the agent has said that it may be is as designed.
            let doubtful = times.saturating_sub(1).min(in_doubt);
            in_doubt -= doubtful;
            self.duplicated += times.saturating_sub(1) - doubtful;
            match (times, fate) {
                (0, Fate::Open) => self.killed_in_memory += 1,
                (0, _) => {
                    missing += 1;
                    missing_acked += u64::from(*fate == Fate::Acked);
                }
                _ => {}
            }
        }
        self.lost += missing_acked.saturating_sub(by_design);
        self.lost_by_design += by_design;
        let difference = i64::try_from(missing).unwrap_or(i64::MAX)
            - i64::try_from(by_design).unwrap_or(i64::MAX);
        // Two senders' differences do not make up for each other.
        self.unexplained += difference.abs();
    }

    /// What is missing was on a disk that was damaged while no aggregator could have any of it:
    /// the product counts at least one frame, and no more than are missing.
    pub(super) fn of_damage(mut self) -> Self {
        let missing = self.sent - self.stored;
        if self.lost_by_design <= missing && (self.lost_by_design > 0 || missing == 0) {
            self.hidden_by_damage = missing - self.lost_by_design;
            (self.lost, self.unexplained, self.killed_in_memory) = (0, 0, 0);
        }
        self
    }

    /// Frames were given up while they were on the road: the product counts them, and those that
    /// arrived all the same are stored.
    pub(super) fn given_up_on_the_road(mut self) -> Self {
        let missing = self.sent - self.stored - self.killed_in_memory;
        let surplus = self.lost_by_design.saturating_sub(missing);
        if surplus <= MOST_ON_THE_ROAD && i64::try_from(surplus) == Ok(self.unexplained) {
            self.counted_but_stored = surplus;
            self.lost_by_design -= surplus;
            self.unexplained = 0;
        }
        self
    }

    /// Adds another run's.
    pub(super) fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.stored += other.stored;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.lost_by_design += other.lost_by_design;
        self.unexplained += other.unexplained;
        self.killed_in_memory += other.killed_in_memory;
        self.hidden_by_damage += other.hidden_by_damage;
        self.counted_but_stored += other.counted_but_stored;
        self.recoveries_ms.extend(other.recoveries_ms);
    }

    /// Whether the product kept what it promises.
    pub(super) fn is_right(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.unexplained == 0 && self.sent > 0
    }
}

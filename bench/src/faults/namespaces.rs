//! A network that loses packets, resets connections or is parted: both ends run in a network
//! namespace of their own, whose packet filter does it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::stage::{Outcome, Stage};
use super::{Fault, fault, root};
use crate::process;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("network_parted", |stage| Box::pin(bad(stage, "drop"))).needs(absent),
        fault("packets_lost_5_percent", |stage| {
            Box::pin(bad(stage, "numgen random mod 100 < 5 drop"))
        })
        .needs(absent),
        fault("packets_lost_30_percent", |stage| {
            Box::pin(bad(stage, "numgen random mod 100 < 30 drop"))
        })
        .needs(absent),
        fault("connections_reset", |stage| {
            Box::pin(bad(stage, "meta l4proto tcp reject with tcp reset"))
        })
        .needs(absent),
    ]
}

fn absent() -> Option<String> {
    if let Some(why) = root() {
        return Some(why);
    }
    for program in ["ip", "nft"] {
        if process::in_path(program).is_none() {
            return Some(format!("needs `{program}`"));
        }
    }
    match Namespace::new("probe") {
        Ok(_) => None,
        Err(error) => Some(format!("needs network namespaces: {error:#}")),
    }
}

/// A network namespace with a loopback and an empty packet filter.
pub(super) struct Namespace(String);

impl Namespace {
    fn new(what: &str) -> anyhow::Result<Self> {
        let name = format!("sextant-bench-{}-{what}", std::process::id());
        ip(&["netns", "add", &name])?;
        let new = Self(name);
        new.run(&["ip", "link", "set", "lo", "up"])?;
        new.run(&["nft", "add", "table", "inet", "bench"])?;
        let hook = "{ type filter hook input priority 0; policy accept; }";
        new.run(&["nft", "add", "chain", "inet", "bench", "input", hook])?;
        Ok(new)
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        ip(&[&["netns", "exec", &self.0], words].concat())
    }

    fn prefix(&self) -> Vec<String> {
        ["/usr/bin/env", "ip", "netns", "exec", &self.0].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(ip(&["netns", "delete", &self.0]));
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let program = process::in_path("ip").context("no `ip`")?;
    process::output(Path::new(&program), words).map(drop)
}

async fn bad(mut stage: Stage, rule: &str) -> anyhow::Result<Outcome> {
    let number = stage.random(u64::from(u32::MAX));
    let namespace = Namespace::new(&format!("{number:x}"))?;
    let index = stage.daemon()?;
    stage.daemons[index].prefix = namespace.prefix();
    let endpoint = stage.daemons[index].endpoint();
    for _ in 0..2 {
        let sender = stage.sender(endpoint.clone())?;
        stage.senders[sender].prefix = namespace.prefix();
    }
    stage.start_all().await?;
    stage.moment().await;
    let add = ["nft", "add", "rule", "inet", "bench", "input"];
    namespace.run(&[&add, &rule.split(' ').collect::<Vec<_>>()[..]].concat())?;
    sleep(stage.load * 2).await;
    namespace.run(&["nft", "flush", "chain", "inet", "bench", "input"])?;
    sleep(Duration::from_millis(1)).await;
    stage.recovered().await?;
    stage.finish().await
}

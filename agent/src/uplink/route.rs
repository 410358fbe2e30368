//! Which aggregator this agent belongs to, where there are several behind one name.
//!
//! The name of a headless service resolves to an address for each aggregator. Every agent ranks
//! them by a hash of its node's name and the address (rendezvous hashing): agents spread evenly,
//! and when an address comes or goes, only the agents that have to move do. The names are looked
//! up again every [`RouteConfig`]'s interval; nothing is asked where the endpoint is an address.
//!
//! An agent leaves an aggregator that works only when everything that it sent there is
//! acknowledged. When one fails, what was sent and not acknowledged may be on its disk: before
//! the agent goes elsewhere it asks all of them what they have ([`Uplink::settle`]).
//!
//! [`RouteConfig`]: super::UplinkConfig
//! [`Uplink::settle`]: super::Uplink

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

/// An address is left alone for so long after it failed, when there are others.
const FAILED_FOR: Duration = Duration::from_secs(300);
/// An address that is still named is given up when it failed for so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How a name becomes addresses.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a name.
    fn resolve(&self, host: &str, port: u16) -> Resolved<'_>;
}

/// What comes of a lookup.
pub type Resolved<'a> = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, host: &str, port: u16) -> Resolved<'_> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
    }
}

/// The address that an agent should use; `None` leaves the choice to the transport.
pub(super) type Target = Option<SocketAddr>;

/// Finds the aggregator of a node.
pub(super) struct Route {
    node: String,
    /// Host and port of the endpoint; `None` when it is an address already.
    name: Option<(String, u16)>,
    interval: Duration,
    resolver: Arc<dyn Resolve>,
    failed: BTreeMap<SocketAddr, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    since: Instant,
    last: Instant,
}

impl Route {
    /// `interval` 0 looks the name up only before a connection is made.
    pub(super) fn new(
        node: &str,
        endpoint: &str,
        interval: Duration,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        Self {
            node: node.to_owned(),
            name: host_and_port(endpoint),
            interval,
            resolver,
            failed: BTreeMap::new(),
        }
    }

    /// All aggregators, best first; empty when the name is none of several, or says nothing now.
    pub(super) async fn ranked(&self) -> Vec<SocketAddr> {
        let Some((host, port)) = &self.name else { return Vec::new() };
        match timeout(LOOKUP_TIMEOUT, self.resolver.resolve(host, *port)).await {
            Ok(Ok(addresses)) => rank(&self.node, &one_family(addresses)),
            Ok(Err(error)) => {
                tracing::debug!(host, %error, "aggregator's name does not resolve");
                Vec::new()
            }
            Err(_) => {
                tracing::debug!(host, "aggregator's name is not resolved in time");
                Vec::new()
            }
        }
    }

    /// Where to connect. Stays with `current` while that is named, has not failed for long and
    /// nothing better is known to work.
    pub(super) fn choose(&self, ranked: &[SocketAddr], current: Target, now: Instant) -> Target {
        if ranked.len() < 2 {
            return ranked.first().copied().or(current);
        }
        if let Some(current) = current.filter(|c| ranked.contains(c))
            && let Some(failure) = self.failed.get(&current)
            && now.duration_since(failure.since) < GIVE_UP_AFTER
        {
            return Some(current);
        }
        let works = |a: &&SocketAddr| {
            self.failed.get(a).is_none_or(|f| now.duration_since(f.last) >= FAILED_FOR)
        };
        let oldest = || ranked.iter().min_by_key(|a| self.failed.get(a).map(|f| f.last));
        ranked.iter().find(works).or_else(oldest).copied()
    }

    /// A stream to it could not be had, or broke before anything was acknowledged.
    pub(super) fn failed(&mut self, target: Target, now: Instant) {
        if let Some(address) = target {
            let failure = self.failed.entry(address).or_insert(Failure { since: now, last: now });
            failure.last = now;
        }
        self.failed.retain(|_, failure| now.duration_since(failure.last) < FAILED_FOR);
    }

    /// It acknowledges.
    pub(super) fn works(&mut self, target: Target) {
        if let Some(address) = target {
            self.failed.remove(&address);
        }
    }

    /// Ends when the agent should be elsewhere than at `current`.
    pub(super) async fn moved(&self, current: Target) {
        if self.name.is_none() || self.interval.is_zero() {
            return std::future::pending().await;
        }
        loop {
            sleep(self.interval).await;
            let ranked = self.ranked().await;
            // A name that has gone says nothing of an aggregator that answers.
            if !ranked.is_empty() && self.choose(&ranked, current, Instant::now()) != current {
                return;
            }
        }
    }
}

/// Highest score first: a 64-bit hash of the node's name and the address without its port.
fn rank(node: &str, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let score = |a: &SocketAddr| xxh3_64(format!("{node}\0{}", a.ip()).as_bytes());
    let mut ranked: Vec<_> = addresses.iter().map(|a| (score(a), *a)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.dedup();
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// An aggregator with addresses of both families is one aggregator.
fn one_family(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    if v4.is_empty() { v6 } else { v4 }
}

/// Of `http://host:port`; `None` for an address, and for `localhost`, which is one host however
/// many addresses it has.
fn host_and_port(endpoint: &str) -> Option<(String, u16)> {
    let uri: tonic::transport::Uri = endpoint.parse().ok()?;
    let host = uri.host()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let literal = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    (!literal && host != "localhost").then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| SocketAddr::from(([10, 0, 0, n], 9317))).collect()
    }

    fn route() -> Route {
        Route::new("n", "http://sextant:9317", Duration::ZERO, Arc::new(System))
    }

    #[test]
    fn nodes_spread_evenly_and_only_those_that_must_move() {
        let (all, fewer) = (addresses(5), addresses(4));
        let mut count = [0u32; 5];
        let mut moved = 0;
        for node in 0..10_000 {
            let name = format!("node-{node}");
            let (with, without) = (rank(&name, &all)[0], rank(&name, &fewer)[0]);
            count[all.iter().position(|a| *a == with).expect("one of them")] += 1;
            if with != without {
                assert_eq!(with, all[4], "only the nodes of the one that went may move");
                moved += 1;
            }
        }
        assert!(count.iter().all(|c| (1_800..2_200).contains(c)), "{count:?}");
        assert_eq!(moved, count[4]);
    }

    #[test]
    fn ranking_does_not_depend_on_the_order_of_the_answer() {
        let mut reversed = addresses(7);
        reversed.reverse();
        assert_eq!(rank("n", &addresses(7)), rank("n", &reversed));
        let twice = [addresses(3), addresses(3)].concat();
        assert_eq!(rank("n", &twice).len(), 3);
    }

    #[test]
    fn failing_aggregator_is_kept_a_while_then_left_and_later_tried_again() {
        let mut route = route();
        let ranked = rank("n", &addresses(3));
        let (best, next) = (Some(ranked[0]), Some(ranked[1]));
        let start = Instant::now();
        assert_eq!(route.choose(&ranked, None, start), best);
        route.failed(best, start);
        assert_eq!(route.choose(&ranked, best, start + Duration::from_secs(1)), best);
        let later = start + GIVE_UP_AFTER;
        route.failed(best, later);
        assert_eq!(route.choose(&ranked, best, later), next);
        assert_eq!(route.choose(&ranked, next, later), next);
        assert_eq!(route.choose(&ranked, next, later + FAILED_FOR), best);
        route.works(best);
        assert_eq!(route.choose(&ranked, next, later), best);
    }

    #[test]
    fn address_that_is_named_no_more_is_left_at_once() {
        let mut route = route();
        let ranked = rank("n", &addresses(3));
        let now = Instant::now();
        route.failed(Some(ranked[0]), now);
        assert_eq!(route.choose(&ranked[1..], Some(ranked[0]), now), Some(ranked[1]));
        assert_eq!(route.choose(&[], Some(ranked[0]), now), Some(ranked[0]));
        for address in &ranked {
            route.failed(Some(*address), now + GIVE_UP_AFTER);
        }
        assert!(route.choose(&ranked, None, now + GIVE_UP_AFTER).is_some(), "one is tried anyhow");
    }

    #[test]
    fn only_names_are_looked_up() {
        for (endpoint, want) in [
            ("http://sextant.sextant.svc:9317", Some(("sextant.sextant.svc".to_owned(), 9317))),
            ("https://a", Some(("a".to_owned(), 443))),
            ("http://127.0.0.1:9317", None),
            ("http://[::1]:9317", None),
            ("http://localhost:9317", None),
        ] {
            assert_eq!(host_and_port(endpoint), want, "{endpoint}");
        }
        let both = ["10.0.0.1:1", "[fd00::1]:1"].map(|a| a.parse().expect("an address"));
        assert_eq!(one_family(both.to_vec()), both[..1]);
        assert_eq!(one_family(both[1..].to_vec()), both[1..]);
    }
}

//! `events -f`: the past, then what happens, for as long as it takes. A subscription is made
//! before the past is asked for, so nothing falls between the two; what came twice is printed
//! once. After a lost connection, or when the aggregator dropped messages because this reader
//! was slow, the past is asked for again, and only what is new in it is printed.

use std::collections::BTreeSet;
use std::io::Write;

use sextant_proto::chain::chain;
use sextant_proto::v1::subscribe_response::Message;
use sextant_proto::v1::{Anomaly, ListAnomaliesRequest, StoredEvent, SubscribeRequest};
use tonic::Streaming;

use super::connection::Client;
use super::events::{Args, Line, Lines};
use super::{CliError, Context};

type Subscription = Streaming<sextant_proto::v1::SubscribeResponse>;

/// Follows until the output ends or the aggregator refuses.
pub(super) async fn run(
    args: &Args,
    client: Client,
    context: &Context,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut follow = Follow { args, context, seen: Seen::default(), lines: Lines::default() };
    let mut client = Some(client);
    let mut lost = false;
    loop {
        let outcome = match client.take() {
            Some(client) => follow.until_lost(client, &mut lost, out).await,
            None => match args.connect.open().await {
                Ok(client) => follow.until_lost(client, &mut lost, out).await,
                Err(error) => Err(error),
            },
        };
        let reason = match outcome {
            Ok(()) => "the aggregator ended the stream".into(),
            Err(CliError::Unavailable { reason, .. }) => reason,
            Err(CliError::Connect(error)) => chain(&error),
            Err(error) => return Err(error),
        };
        if !lost {
            writeln!(out, "-- connection lost: {reason}; trying again")?;
            out.flush()?;
            lost = true;
        }
        tokio::time::sleep(context.retry_after).await;
    }
}

struct Follow<'a> {
    args: &'a Args,
    context: &'a Context,
    seen: Seen,
    lines: Lines,
}

impl Follow<'_> {
    async fn until_lost(
        &mut self,
        mut client: Client,
        lost: &mut bool,
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        let mut subscription = self.subscribe(&mut client).await?;
        let missed = self.missed(&mut client).await?;
        if std::mem::take(lost) {
            writeln!(out, "-- connected again")?;
        }
        self.lines.write(missed, out)?;
        out.flush()?;
        loop {
            let message = subscription.message().await;
            let Some(message) = message.map_err(|status| client.refusal(&status))? else {
                return Ok(());
            };
            let fresh = match message.message {
                Some(Message::Event(event)) => self.event(event).into_iter().collect(),
                Some(Message::Anomaly(anomaly)) => self.anomaly(&anomaly).into_iter().collect(),
                Some(Message::Lagged(lagged)) => {
                    let dropped = lagged.dropped;
                    writeln!(out, "-- too slow: {dropped} messages missed, reading them again")?;
                    self.missed(&mut client).await?
                }
                Some(Message::Samples(_) | Message::CloudEvent(_) | Message::Incident(_))
                | None => {
                    continue;
                }
            };
            self.lines.write(fresh, out)?;
            out.flush()?;
        }
    }

    async fn subscribe(&self, client: &mut Client) -> Result<Subscription, CliError> {
        let request = SubscribeRequest {
            events: true,
            anomalies: self.anomalies_wanted(),
            selector: String::new(),
            cluster: self.args.cluster.clone(),
            node: self.args.node.clone(),
            cloud_events: false,
            incidents: false,
        };
        client.subscribe(request).await
    }

    /// Someone who asks for a type of event asks for no anomalies.
    fn anomalies_wanted(&self) -> bool {
        self.args.kind.is_empty()
    }

    /// What the past holds and was not printed yet.
    async fn missed(&mut self, client: &mut Client) -> Result<Vec<Line>, CliError> {
        let request = self.args.request((self.context.now)());
        let anomalies = ListAnomaliesRequest {
            cluster: self.args.cluster.clone(),
            node: self.args.node.clone(),
            active_only: false,
            start_unix_ms: request.start_unix_ms,
            end_unix_ms: 0,
            limit: self.args.limit,
        };
        let start_ms = request.start_unix_ms;
        let mut lines = Vec::new();
        let mut events = client.events(request).await?;
        events.sort_by_key(|event| event.id);
        lines.extend(events.into_iter().filter_map(|event| self.event(event)));
        if self.anomalies_wanted() {
            let mut anomalies = client.anomalies(anomalies).await?;
            anomalies.sort_by_key(|anomaly| anomaly.id);
            for anomaly in anomalies {
                let opening = Anomaly { closed_unix_ms: 0, ..anomaly.clone() };
                let opened = self.anomaly(&opening).filter(|_| opening.opened_unix_ms >= start_ms);
                lines.extend(opened);
                if anomaly.closed_unix_ms != 0 {
                    lines.extend(self.anomaly(&anomaly));
                }
            }
        }
        Ok(lines)
    }

    fn event(&mut self, stored: StoredEvent) -> Option<Line> {
        let wanted = stored.event.as_ref().is_some_and(|event| self.args.wants(event));
        (wanted && self.seen.event(stored.id)).then(|| Line::of_event(stored))
    }

    fn anomaly(&mut self, anomaly: &Anomaly) -> Option<Line> {
        self.seen.anomaly(anomaly).then(|| Line::of_anomaly(anomaly))
    }
}

/// What was printed. Ids grow, so that one number stands for all events; of anomalies, the open
/// ones are kept to tell the closing.
#[derive(Default)]
struct Seen {
    last_event: u64,
    last_anomaly: u64,
    open: BTreeSet<u64>,
}

impl Seen {
    /// Whether this event is new.
    fn event(&mut self, id: u64) -> bool {
        let new = id > self.last_event;
        self.last_event = self.last_event.max(id);
        new
    }

    /// Whether this edge of an anomaly is new.
    fn anomaly(&mut self, anomaly: &Anomaly) -> bool {
        let id = anomaly.id;
        let unknown = id > self.last_anomaly;
        self.last_anomaly = self.last_anomaly.max(id);
        match anomaly.closed_unix_ms {
            0 if unknown => self.open.insert(id),
            0 => false,
            _ => self.open.remove(&id) || unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edge_is_new_once() {
        let mut seen = Seen::default();
        assert_eq!([3, 3, 2, 4].map(|id| seen.event(id)), [true, false, false, true]);
        let mut f = |id: u64, closed: i64, want: bool| {
            let anomaly = Anomaly { id, closed_unix_ms: closed, ..Anomaly::default() };
            assert_eq!(seen.anomaly(&anomaly), want, "{id} {closed}");
        };
        f(1, 0, true);
        f(1, 0, false);
        f(1, 9, true);
        f(1, 9, false);
        f(2, 9, true);
        f(2, 9, false);
        f(1, 0, false);
    }
}

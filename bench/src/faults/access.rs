//! An agent that is turned away until somebody puts right what it comes in with.

use std::path::Path;

use super::stage::{Outcome, Stage};
use super::{Fault, fault};

/// As long as a token must be at least.
const OLD: &str = "oooooooooooooooooooooooooooooooo";
const NEW: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

pub(super) fn faults() -> Vec<Fault> {
    vec![fault("token_refused_then_repaired", |stage| Box::pin(token(stage)))]
}

fn tokens(path: &Path, token: &str) -> std::io::Result<()> {
    let entry = format!("[[token]]\nname = \"agents\"\ntoken = \"{token}\"\nrole = \"agent\"\n");
    std::fs::write(path, entry)
}

async fn token(mut stage: Stage) -> anyhow::Result<Outcome> {
    let (server, client) = (stage.dir.path().join("tokens.toml"), stage.dir.path().join("token"));
    tokens(&server, OLD)?;
    std::fs::write(&client, OLD)?;
    let index = stage.daemon()?;
    let path = toml::Value::String(server.to_string_lossy().into_owned());
    let auth = toml::Table::from_iter([("tokens_file".to_owned(), path)]);
    stage.daemons[index].config.insert("auth".into(), auth.into());
    let endpoint = stage.daemons[index].endpoint();
    let sender = stage.sender(endpoint)?;
    stage.senders[sender].setup.uplink.token_file = Some(client.clone());
    stage.start_all().await?;
    stage.daemons[0].stop().await?;
    tokens(&server, NEW)?;
    stage.daemons[0].start().await?;
    stage.under_load().await;
    std::fs::write(&client, NEW)?;
    stage.recovered().await?;
    stage.finish().await
}

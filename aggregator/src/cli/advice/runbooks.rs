//! `runbooks` and `runbook`: what there is to read, and one of it.

use std::io::Write;

use sextant_proto::v1::{Runbook, RunbookStep, SuggestRunbookRequest};

use super::{json, list, step};
use crate::cli::table::Side::{Left, Right};
use crate::cli::table::Table;
use crate::cli::{CliError, ConnectArgs, format};
use crate::remedy::json as wire;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Option<ListCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum ListCommand {
    /// Only those that answer an error, a rule's name or some words, best first
    Search(SearchArgs),
}

#[derive(Debug, clap::Args)]
struct SearchArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    text: String,
    /// At most so many, up to 20
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20))]
    limit: u32,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Its id
    id: String,
    /// The runbook as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn list_all(
    args: &ListArgs,
    out: &mut impl Write,
) -> Result<(), CliError> {
    if let Some(ListCommand::Search(args)) = &args.command {
        return search(args, out).await;
    }
    let answer = args.connect.open().await?.runbooks().await?;
    if answer.runbooks.is_empty() {
        writeln!(out, "no runbooks")?;
    } else {
        let mut table = Table::new(&[("ID", Left), ("SEVERITY", Left), ("TITLE", Left)]);
        for book in &answer.runbooks {
            let severity = wire::urgency(book.severity()).to_lowercase();
            table.row(vec![book.id.clone(), severity, book.title.clone()]);
        }
        table.write(out)?;
    }
    if !answer.reload_error.is_empty() {
        let error = format::escape(&answer.reload_error);
        writeln!(out, "-- changes in the directory cannot be used: {error}")?;
    }
    Ok(())
}

async fn search(args: &SearchArgs, out: &mut impl Write) -> Result<(), CliError> {
    let request = SuggestRunbookRequest {
        text: args.text.clone(),
        top_k: args.limit,
        ..SuggestRunbookRequest::default()
    };
    let answer = args.connect.open().await?.suggest_runbook(request).await?;
    if args.json {
        return json(out, &wire::suggestions(&answer));
    }
    if answer.results.is_empty() {
        return Ok(writeln!(out, "no runbook has any of it")?);
    }
    let mut table =
        Table::new(&[("RELEVANCE", Right), ("ID", Left), ("TITLE", Left), ("BECAUSE", Left)]);
    for found in &answer.results {
        let relevance = format!("{:.2}", found.relevance_score);
        let because = found.reasons.join("; ");
        table.row(vec![relevance, found.id.clone(), found.title.clone(), because]);
    }
    table.write(out)?;
    let shown = answer.results.len();
    if usize::try_from(answer.total_matched).is_ok_and(|all| all > shown) {
        writeln!(out, "({shown} of {}; --limit shows more)", answer.total_matched)?;
    }
    Ok(())
}

pub(in crate::cli) async fn show(args: &ShowArgs, out: &mut impl Write) -> Result<(), CliError> {
    let book = args.connect.open().await?.runbook(&args.id).await?;
    if args.json {
        return json(out, &wire::runbook(&book));
    }
    let severity = wire::urgency(book.severity());
    writeln!(out, "{severity}  {}: {}", book.id, format::escape(&book.title))?;
    if !book.file.is_empty() {
        writeln!(out, "from {}", format::escape(&book.file))?;
    }
    list(out, "SYMPTOMS", &book.symptoms)?;
    steps("CHECK", &book.checks, out)?;
    steps("WHAT TO DO", &book.steps, out)?;
    list(out, "SO THAT IT DOES NOT COME AGAIN", &book.prevention)?;
    background(&book, out)?;
    let answers = [&book.rules, &book.events, &book.error_classes];
    let answers: Vec<String> = answers.into_iter().flatten().cloned().collect();
    list(out, "ANSWERS", &answers)?;
    list(out, "SOURCES", &book.sources)
}

fn steps(heading: &str, steps: &[RunbookStep], out: &mut impl Write) -> Result<(), CliError> {
    if !steps.is_empty() {
        writeln!(out, "\n{heading}")?;
    }
    for (at, one) in steps.iter().enumerate() {
        let risk = wire::risk(one.risk_level());
        let beside = [("beware", one.warning.as_str())];
        step(out, at + 1, risk, &one.description, &one.commands, &beside)?;
    }
    Ok(())
}

fn background(book: &Runbook, out: &mut impl Write) -> Result<(), CliError> {
    writeln!(out)?;
    for line in book.body.lines() {
        writeln!(out, "{}", format::escape(line))?;
    }
    Ok(())
}

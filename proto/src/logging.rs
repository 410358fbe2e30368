//! How a process logs: one line of JSON an event, or text for people when standard error is a
//! terminal; and traces by OTLP when an endpoint is configured.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Json,
    Text,
}

/// The `[log]` section of both daemons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A filter of `tracing`: "info", or "info,sextant_agent::uplink=debug".
    pub level: String,
    pub format: Format,
    /// Where traces go by OTLP over gRPC: "http://127.0.0.1:4317". None: no traces are made.
    pub otlp_endpoint: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: Format::Auto, otlp_endpoint: None }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level {0:?} is not a filter")]
    Level(String, #[source] tracing_subscriber::filter::ParseError),
    #[error("log.otlp_endpoint {0:?} cannot be used")]
    Otlp(String, #[source] opentelemetry_otlp::ExporterBuildError),
}

/// The traces of a process; they end with [`Traces::finish`].
#[must_use = "what is left of the traces is sent by finish"]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what is left. The sending waits for the runtime that [`start`] was called in, so
    /// it happens beside it: blocking there would wait for itself.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "traces not all sent"),
            Err(error) => tracing::warn!(%error, "traces not all sent"),
        }
    }
}

/// Checks the section without starting anything.
///
/// # Errors
/// [`LogError::Level`] when the filter does not parse.
pub fn check(config: &LogConfig) -> Result<(), LogError> {
    filter(config).map(drop)
}

fn filter(config: &LogConfig) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(&config.level).map_err(|e| LogError::Level(config.level.clone(), e))
}

/// Starts logging for the process `service` ("sextant-agent"). Called once, within a tokio
/// runtime when there is an OTLP endpoint.
///
/// # Errors
/// [`LogError`] when the filter or the endpoint is unusable.
pub fn start(config: &LogConfig, service: &'static str) -> Result<Traces, LogError> {
    let json = match config.format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = if json {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(std::io::stderr)
            .boxed()
    } else {
        let colour = std::io::stderr().is_terminal();
        tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(std::io::stderr).boxed()
    };
    let provider = config.otlp_endpoint.as_deref().map(|e| provider(e, service)).transpose()?;
    let traces =
        provider.as_ref().map(|p| tracing_opentelemetry::layer().with_tracer(p.tracer(service)));
    tracing_subscriber::registry().with(filter(config)?).with(lines).with(traces).init();
    Ok(Traces(provider))
}

fn provider(endpoint: &str, service: &'static str) -> Result<SdkTracerProvider, LogError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|e| LogError::Otlp(endpoint.to_owned(), e))?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

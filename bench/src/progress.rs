//! A bar on standard error for whoever waits; nothing where that is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(200);

/// A bar of so many steps.
pub(crate) fn bar(what: &str, steps: u64) -> ProgressBar {
    let template = "{msg:<24} {bar:40} {percent:>3} %  {elapsed}";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    let bar = ProgressBar::new(steps).with_style(style).with_message(what.to_owned());
    bar.enable_steady_tick(REDRAW);
    bar
}

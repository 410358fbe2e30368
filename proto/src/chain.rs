//! An error with what caused it, as one line: errors name what failed and leave the reason to
//! their source, and a log in JSON shows only the first of them.

use std::error::Error;

/// "connect to http://a:1: connection refused".
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut last = error.to_string();
    let mut text = last.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some of the transport's errors say what their source says.
        if next != last {
            text = format!("{text}: {next}");
        }
        last = next;
        source = error.source();
    }
    text
}

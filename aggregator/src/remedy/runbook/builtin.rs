//! The runbooks that come with the aggregator; a test compares the list with the directory.

macro_rules! runbooks {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../knowledge/runbooks/", $name)))),*]
    };
}

/// File names and contents.
pub(super) const BUILTIN: &[(&str, &str)] =
    runbooks!["kubernetes-crash-loop.md", "kubernetes-image-pull.md", "kubernetes-oom-killed.md",];

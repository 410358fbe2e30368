//! Which runbooks are suggested.

use sextant_proto::v1::{RunbookMatch, Severity};

use super::super::suggest::{Topic, of_topic};
use super::{BUILTIN, anomaly};

fn best(topic: &Topic<'_>) -> Option<RunbookMatch> {
    of_topic(&BUILTIN, topic).into_iter().next()
}

#[test]
fn error_text_leads_to_the_runbook_of_its_class() {
    for (text, want) in [
        ("Last State: Terminated, Reason: OOMKilled, Exit Code: 137", "kubernetes-oom-killed"),
        ("Back-off restarting failed container web in pod web-1_shop(1)", "kubernetes-crash-loop"),
        ("Failed to pull image \"r/a:1\": manifest unknown", "kubernetes-image-pull"),
        ("my pods keep getting killed for memory", "kubernetes-oom-killed"),
        ("registry credentials imagePullSecrets", "kubernetes-image-pull"),
    ] {
        let found = best(&Topic::Text(text)).expect(text);
        assert_eq!(found.id, want, "{text}: {found:?}");
        assert!((0.0..=1.0).contains(&found.relevance_score) && !found.reasons.is_empty());
        assert!(!found.summary.is_empty() && found.summary.chars().count() <= 200);
    }
}

#[test]
fn words_that_no_runbook_has_suggest_nothing() {
    for text in ["", "a", "my dog ate it", "hello"] {
        let found = of_topic(&BUILTIN, &Topic::Text(text));
        assert!(found.is_empty(), "{text:?}: {found:?}");
    }
}

#[test]
fn class_says_more_than_words_and_both_more_than_one() {
    let score = |text: &str| best(&Topic::Text(text)).map_or(0.0, |m| m.relevance_score);
    assert!(score("OOMKilled") > score("memory"));
    let found = of_topic(&BUILTIN, &Topic::Text("CrashLoopBackOff after OOMKilled"));
    let ids: Vec<&str> = found.iter().map(|m| &*m.id).collect();
    assert_eq!(ids[..2], ["kubernetes-oom-killed", "kubernetes-crash-loop"]);
    assert!(found.windows(2).all(|w| w[0].relevance_score >= w[1].relevance_score));
}

#[test]
fn unknown_rule_suggests_nothing() {
    assert_eq!(best(&Topic::Rule("NoSuchRule")), None);
    let open = [anomaly("NoSuchRule", Severity::Critical, &[])];
    assert_eq!(best(&Topic::Anomalies(&open)), None);
}

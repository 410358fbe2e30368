//! Maintenance windows: a time in which nothing pages for a cluster, a node or a component of
//! it. What is found is recorded all the same.

use sextant_proto::v1;

use super::topology::Place;

/// Windows that are kept, ended ones included until they are pruned.
pub(super) const MAX_WINDOWS: usize = 10_000;

/// Whether a window is in force.
#[must_use]
pub(super) fn is_active(window: &v1::Maintenance, now_ms: i64) -> bool {
    window.from_unix_ms <= now_ms && now_ms < end_ms(window)
}

/// When it ends, or ended.
#[must_use]
pub(super) fn end_ms(window: &v1::Maintenance) -> i64 {
    match window.ended_unix_ms {
        0 => window.to_unix_ms,
        ended => ended.min(window.to_unix_ms),
    }
}

/// Whether a window selects a node as a whole.
#[must_use]
pub fn selects_node(window: &v1::Maintenance, cluster: &str, node: &str) -> bool {
    (window.cluster.is_empty() || window.cluster == cluster)
        && (window.node.is_empty() || window.node == node)
}

/// Whether a window covers a place: its cluster, its node, itself or what it is part of.
pub(super) fn covers(window: &v1::Maintenance, place: &Place) -> bool {
    let own = &place.component;
    if !selects_node(window, &own.cluster, &own.node) {
        return false;
    }
    let named = |kind: &str, name: &str| {
        (window.entity_type.is_empty() || window.entity_type == kind)
            && (window.entity.is_empty() || window.entity == name)
    };
    named(&own.kind, &own.name) || place.above.iter().any(|c| named(&c.kind, &c.name))
}

/// Why a window cannot be made.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(window: &v1::Maintenance) -> Result<(), String> {
    const LONGEST_MS: i64 = 90 * 86_400_000;
    const MAX_TEXT: usize = 1000;
    if window.to_unix_ms <= window.from_unix_ms {
        return Err("it ends before it begins".into());
    }
    if window.to_unix_ms.saturating_sub(window.from_unix_ms) > LONGEST_MS {
        return Err("it is longer than 90 days".into());
    }
    if window.cluster.is_empty() && window.node.is_empty() {
        return Err("it names neither a cluster nor a node".into());
    }
    if !window.entity.is_empty() && window.entity_type.is_empty() {
        return Err("it names an entity without its type".into());
    }
    if window.reason.trim().is_empty() {
        return Err("it has no reason".into());
    }
    let texts =
        [&window.cluster, &window.node, &window.entity_type, &window.entity, &window.reason];
    if texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(format!("a text is longer than {MAX_TEXT} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_that_makes_no_sense_is_refused() {
        let good = v1::Maintenance {
            node: "a".into(),
            from_unix_ms: 1000,
            to_unix_ms: 2000,
            reason: "fan".into(),
            ..v1::Maintenance::default()
        };
        assert_eq!(check(&good), Ok(()));
        let f = |change: fn(&mut v1::Maintenance), want: &str| {
            let mut window = good.clone();
            change(&mut window);
            let said = check(&window).expect_err(want);
            assert!(said.contains(want), "{said}");
        };
        f(|w| w.to_unix_ms = 1000, "ends before it begins");
        f(|w| w.to_unix_ms = i64::MAX, "longer than 90 days");
        f(|w| w.node.clear(), "neither a cluster nor a node");
        f(|w| w.entity = "GPU-1".into(), "without its type");
        f(|w| w.reason = " ".into(), "no reason");
        f(|w| w.reason = "x".repeat(1001), "longer than 1000");
    }

    #[test]
    fn window_is_over_when_it_was_ended() {
        let mut window =
            v1::Maintenance { from_unix_ms: 10, to_unix_ms: 20, ..v1::Maintenance::default() };
        let active = |w: &v1::Maintenance| [9, 10, 19, 20].map(|now| is_active(w, now));
        assert_eq!(active(&window), [false, true, true, false]);
        window.ended_unix_ms = 15;
        assert_eq!(active(&window), [false, true, false, false]);
    }
}

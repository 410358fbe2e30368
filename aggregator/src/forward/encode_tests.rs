use super::*;
use crate::series::{NodeId, NodeKey, SeriesId};

fn run(number: u32, points: &[(i64, f64)]) -> Run {
    let node = NodeKey { id: NodeId(0), cluster: "c".into(), name: "n".into() };
    let series = Series {
        id: SeriesId(number),
        node: Arc::new(node),
        metric: "up".into(),
        kind: MetricKind::Gauge,
        entity_type: "disk".into(),
        entity: vec![],
        labels: vec![
            ("device".into(), number.to_string().as_str().into()),
            ("z".into(), "".into()),
        ],
    };
    Run { series: Arc::new(series), points: points.to_vec() }
}

fn external() -> BTreeMap<String, String> {
    [("cluster", "other"), ("region", "eu")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
}

const SORTED: [&str; 10] =
    ["__name__", "up", "cluster", "c", "device", "7", "node", "n", "region", "eu"];

fn plain(body: &Bytes) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(body).expect("snappy")
}

#[test]
fn labels_are_sorted_without_empty_ones_and_external_ones_give_way() {
    let body = body(Version::One, &[run(7, &[(5, 1.5)])], &external(), &Catalog::default());
    let request = WriteRequest::decode(&*plain(&body)).expect("v1");
    let labels = request.timeseries[0].labels.iter().flat_map(|l| [&*l.name, &*l.value]);
    assert_eq!(labels.collect::<Vec<_>>(), SORTED);
    assert_eq!(request.timeseries[0].samples, [Sample { value: 1.5, timestamp: 5 }]);
}

#[test]
fn second_version_has_each_string_once() {
    let catalog = Catalog::default();
    let metric = sextant_proto::v1::MetricDescriptor {
        name: "up".into(),
        kind: MetricKind::Gauge.into(),
        unit: "celsius".into(),
        help: "Helps.".into(),
    };
    catalog.describe(&[metric]);
    let runs = [run(7, &[(5, 1.0)]), run(8, &[(5, 1.0)])];
    let body = body(Version::Two, &runs, &external(), &catalog);
    let request = Request::decode(&*plain(&body)).expect("v2");
    let text = |number: u32| &*request.symbols[number as usize];
    assert_eq!(text(0), "");
    let mut once = request.symbols.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), request.symbols.len());
    let labels = request.timeseries[0].labels_refs.iter().map(|n| text(*n));
    assert_eq!(labels.collect::<Vec<_>>(), SORTED);
    let metadata = request.timeseries[1].metadata.expect("metadata");
    assert_eq!((metadata.r#type, text(metadata.help_ref)), (GAUGE, "Helps."));
    assert_eq!(text(metadata.unit_ref), "celsius");
}

#[test]
fn requests_are_bounded_and_keep_order() {
    let long: Vec<(i64, f64)> = (0..25_000).map(|at| (at, 0.0)).collect();
    let all = requests(vec![run(1, &[(1, 0.0)]), run(2, &long), run(3, &[(1, 0.0)])]);
    assert!(all.iter().all(|request| samples(request) <= MAX_SAMPLES));
    let of_two = all.iter().flatten().filter(|run| run.series.id.0 == 2);
    let times: Vec<i64> = of_two.flat_map(|run| run.points.iter().map(|p| p.0)).collect();
    assert_eq!(times, (0..25_000).collect::<Vec<_>>());
    assert_eq!(all.iter().map(|request| samples(request)).sum::<usize>(), 25_002);
}

#[test]
fn halves_are_of_time_then_of_series_until_small() {
    let points: Vec<(i64, f64)> = (0..10).map(|at| (at, 0.0)).collect();
    let (before, after) = halves(&[run(1, &points), run(2, &points)]).expect("large");
    assert!(before.iter().all(|run| run.points.iter().all(|p| p.0 <= 4)));
    assert_eq!((samples(&before), samples(&after)), (10, 10));
    let instant: Vec<Run> = (0..9).map(|number| run(number, &[(1, 0.0)])).collect();
    let (before, after) = halves(&instant).expect("large");
    assert_eq!((before.len(), after.len()), (4, 5));
    assert!(halves(&instant[..8]).is_none());
}

use bytes::Bytes;

use super::*;
use crate::v1::{Codec, Frame, Label};

/// xorshift64*: the same numbers at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 33) % end
    }
}

const ODD: [f64; 14] = [
    0.0,
    -0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::from_bits(0x7ff8_dead_beef_0001),
    f64::from_bits(0xfff0_0000_0000_0001),
    f64::MIN_POSITIVE / 8.0,
    f64::MAX,
    f64::MIN,
    9_007_199_254_740_992.0,
    -9_007_199_254_740_993.0,
    0.1 + 0.2,
    ABSENT,
];

/// Series that behave in many ways, and change how they do.
struct Source {
    random: Random,
    series: Vec<(u64, f64)>,
    tick_ms: i64,
}

impl Source {
    fn new(seed: u64, series: usize) -> Self {
        let mut random = Random(seed * 2 + 1);
        let series = (0..series).map(|_| (random.below(14), random.below(1000) as f64)).collect();
        Self { random, series, tick_ms: 1_700_000_000_000 }
    }

    fn tick(&mut self, values: &mut Vec<f64>) -> i64 {
        let random = &mut self.random;
        for (kind, value) in &mut self.series {
            if random.below(200) == 0 {
                *kind = random.below(14);
            }
            *value = match *kind {
                0 => *value,
                1 => *value + 10.0,
                2 => *value + random.below(1_000_000) as f64,
                3 => random.below(100) as f64,
                4 => random.below(100_000) as f64 / 1e3,
                5 => (*value / 4096.0).round() * 4096.0 + (random.below(9) * 4096) as f64,
                6 => f64::from_bits(random.next()),
                7 => ODD[usize::try_from(random.below(14)).unwrap()],
                8 if random.below(3) == 0 => ABSENT,
                9 => random.below(1 << 50) as f64 * 8192.0,
                10 => f64::from(random.below(1 << 32) as f32 / 3.0),
                11 => random.below(7) as f64 * 0.1,
                12 if random.below(50) > 0 => *value,
                13 => 15e6 * random.below(100) as f64,
                _ => random.below(10) as f64 / 10f64.powi(i32::try_from(random.below(20)).unwrap()),
            };
            values.push(*value);
        }
        self.tick_ms += match random.below(20) {
            0 => 17,
            1 => -3_000,
            _ => 1_000,
        };
        self.tick_ms
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn values_survive_bit_for_bit() {
    for seed in 0..60 {
        let series = 1 + usize::try_from(seed).unwrap() * 3;
        let mut source = Source::new(seed, series);
        let (mut encoder, mut decoder) = (ChainEncoder::new(), ChainDecoder::new());
        let mut follower = ChainDecoder::new();
        for number in 0..150 {
            let (mut ticks, mut values) = (Vec::new(), Vec::new());
            for _ in 0..1 + source.random.below(4) {
                ticks.push(source.tick(&mut values));
            }
            let frame = encoder.encode(7, &ticks, &values, &[]);
            assert_eq!(frame.key.is_empty(), number > 0);
            // Any frame can be read alone, with the key that a follower makes.
            if let Some(key) = follower.key(7) {
                let keyed = Frame { key, ..frame.clone() };
                let alone = ChainDecoder::new().decode(&keyed, |_| Some(series)).unwrap();
                assert_eq!(bits(&alone.values), bits(&values), "seed {seed}, frame {number}");
            }
            follower.skip(&frame).unwrap();
            let decoded = decoder.decode_keyed(&frame, |_| Some(series), |of| of == ticks);
            let (decoded, made) = decoded.unwrap();
            assert_eq!(bits(&decoded.values), bits(&values), "seed {seed}, frame {number}");
            assert_eq!((decoded.ticks_ms, decoded.layout, decoded.series), (ticks, 7, series));
            let again = Frame { key: made, ..frame };
            let again = ChainDecoder::new().decode(&again, |_| Some(series)).unwrap();
            assert_eq!(bits(&again.values), bits(&values), "seed {seed}, frame {number}");
            assert_eq!(decoder.key(7), follower.key(7));
        }
    }
}

#[test]
fn steady_series_cost_next_to_nothing() {
    let mut encoder = ChainEncoder::new();
    let mut sizes = Vec::new();
    for tick in 0..40 {
        let values: Vec<_> = (0..500).map(|i| f64::from(i * tick) * 0.25).collect();
        let frame = encoder.encode(7, &[1_700_000_000_000 + i64::from(tick) * 1000], &values, &[]);
        assert_eq!(frame.codec(), Codec::Columnar);
        sizes.push(frame.payload.len());
    }
    assert!(sizes[1] > 500 && sizes[39] <= 22, "{sizes:?}");
}

#[test]
fn chain_that_does_not_fit_is_refused_and_left_as_it_is() {
    let mut source = Source::new(1, 20);
    let mut encoder = ChainEncoder::new();
    let frames: Vec<_> = (0..6)
        .map(|_| {
            let mut values = Vec::new();
            let tick = source.tick(&mut values);
            encoder.encode(7, &[tick], &values, &[])
        })
        .collect();
    let mut decoder = ChainDecoder::new();
    let f = |decoder: &mut ChainDecoder, frame: usize| {
        decoder.decode(&frames[frame], |_| Some(20)).map(|_| ())
    };
    assert_eq!(f(&mut decoder, 1), Err(FrameError::Chain(7)), "nothing came before");
    assert_eq!(f(&mut decoder, 0), Ok(()));
    assert_eq!(f(&mut decoder, 2), Err(FrameError::Chain(7)), "a hole");
    assert_eq!(f(&mut decoder, 1), Ok(()));
    assert_eq!(f(&mut decoder, 1), Err(FrameError::Chain(7)), "again");
    assert_eq!(f(&mut decoder, 2), Ok(()));
    assert_eq!(decoder.only(8).key(7), None);
    assert_eq!(decoder.only(7).key(7), decoder.key(7));
    // The key of another frame does not fit.
    let wrong = Frame { key: decoder.key(7).unwrap(), ..frames[5].clone() };
    assert!(matches!(decoder.decode(&wrong, |_| Some(20)), Err(FrameError::Decode(_))));
    assert_eq!((decoder.key(7), decoder.series()), (None, 0));
    assert_eq!(f(&mut decoder, 3), Err(FrameError::Chain(7)), "it ended");
}

#[test]
fn layouts_are_chains_of_their_own_and_a_long_pause_begins_one_anew() {
    let (mut encoder, mut decoder) = (ChainEncoder::new(), ChainDecoder::new());
    let mut f = |layout: u64, series: usize, tick: i64| {
        let frame = encoder.encode(layout, &[tick], &vec![1.5; series], &[]);
        decoder.decode(&frame, |_| Some(series)).unwrap();
        !frame.key.is_empty()
    };
    assert!(f(1, 3, 1_000) && f(2, 4, 1_000));
    assert!(!f(1, 3, 2_000) && !f(2, 4, 2_000) && !f(1, 3, 1_800_000));
    assert!(f(2, 4, 1_803_000), "half an hour");
    assert!(!f(1, 3, 8_900_000), "four times its last distance is longer");
    for layout in 3..19 {
        f(layout, 1, 9_000_000);
    }
    assert!(f(1, 3, 9_000_000), "it had to make room");
    assert!(f(18, 2, 9_001_000), "as many columns are another layout");
    encoder.forget(17);
    assert!(!encoder.encode(17, &[9_001_000], &[1.5], &[]).key.is_empty());
}

#[test]
fn decoder_keeps_no_more_series_than_a_node_may_have() {
    let mut decoder = ChainDecoder::new();
    for layout in 1..=15 {
        let values = vec![0.0; limits::MAX_SAMPLES_PER_FRAME];
        let tick = i64::try_from(layout).unwrap() * 1_000;
        let frame = ChainEncoder::new().encode(layout, &[tick], &values, &[]);
        decoder.decode(&frame, |_| Some(values.len())).unwrap();
        assert!(decoder.series() <= limits::MAX_SERIES_PER_NODE);
    }
    assert!(decoder.key(5).is_none() && decoder.key(6).is_some());
}

fn event(message: &str) -> Event {
    let label = Label { name: "gpu".into(), value: "0".into() };
    Event { time_unix_ms: 5, message: message.into(), entity: vec![label], ..Event::default() }
}

#[test]
fn events_travel_with_samples_and_alone_and_are_packed() {
    let (mut encoder, mut decoder) = (ChainEncoder::new(), ChainDecoder::new());
    let text = event(&"the same text again and again ".repeat(20));
    let frame = encoder.encode(7, &[1_000], &[1.0], std::slice::from_ref(&text));
    assert_eq!(frame.codec(), Codec::ColumnarZstd);
    assert!(frame.payload.len() < 150);
    let decoded = decoder.decode(&frame, |_| Some(1)).unwrap();
    assert_eq!((decoded.values, decoded.events), (vec![1.0], vec![text]));
    let alone = encoder.encode(0, &[], &[], &[event("x")]);
    let decoded = decoder.decode(&alone, |_| None).unwrap();
    assert_eq!((decoded.ticks_ms.len(), decoded.events.len()), (0, 1));
    decoder.skip(&alone).unwrap();
    let frame = encoder.encode(7, &[2_000], &[1.0], &[]);
    decoder.decode(&frame, |_| Some(1)).unwrap();
}

#[test]
fn content_that_is_refused_does_not_break_the_chain() {
    let (mut encoder, mut decoder) = (ChainEncoder::new(), ChainDecoder::new());
    let mut f = |tick: i64, events: &[Event]| {
        let frame = encoder.encode(7, &[tick], &[1.5, 2.0], events);
        decoder.decode(&frame, |_| Some(2)).map(|_| ())
    };
    assert_eq!(f(1, &[]), Ok(()));
    for tick in [i64::MIN, -1, limits::MAX_TIME_MS + 1, i64::MAX] {
        let refused = f(tick, &[]).expect_err("beyond time");
        assert_eq!(refused, FrameError::Decode("ticks beyond the range of time".into()));
    }
    let many = vec![Event::default(); limits::MAX_EVENTS_PER_FRAME + 1];
    let limit = limits::MAX_EVENTS_PER_FRAME;
    assert_eq!(f(2, &many), Err(FrameError::Limit { what: "events", limit }));
    assert_eq!(f(3, &[]), Ok(()));
}

#[test]
fn damaged_frames_are_refused_and_never_panic() {
    let mut source = Source::new(3, 40);
    let mut encoder = ChainEncoder::new();
    let (mut follower, mut frame) = (ChainDecoder::new(), Frame::default());
    for number in 0..30 {
        let mut values = Vec::new();
        let ticks = [source.tick(&mut values), source.tick(&mut values)];
        frame = encoder.encode(7, &ticks, &values, &[event("text")]);
        if number < 29 {
            follower.skip(&frame).unwrap();
        }
    }
    let decode = |frame: &Frame| ChainDecoder::new().decode(frame, |_| Some(40));
    frame.key = follower.key(7).unwrap();
    let good = decode(&frame).unwrap();
    for cut in 0..frame.payload.len() {
        // A cut between two fields of the message leaves a message: it is another frame.
        let cut = Frame { payload: frame.payload.slice(..cut), ..frame.clone() };
        assert!(decode(&cut).is_err() || decode(&cut).unwrap().events.is_empty());
    }
    for cut in 1..frame.key.len() {
        assert!(decode(&Frame { key: frame.key.slice(..cut), ..frame.clone() }).is_err());
    }
    let flipped = |bytes: &Bytes, bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        Bytes::from(bytes)
    };
    for bit in 0..frame.payload.len() * 8 {
        for codec in [Codec::Columnar, Codec::ColumnarZstd, Codec::Plain, Codec::PlainZstd] {
            let payload = flipped(&frame.payload, bit);
            drop(decode(&Frame { codec: codec.into(), payload, ..frame.clone() }));
        }
    }
    for bit in 0..frame.key.len() * 8 {
        drop(decode(&Frame { key: flipped(&frame.key, bit), ..frame.clone() }));
    }
    assert_eq!(decode(&Frame { codec: 99, ..frame.clone() }), Err(FrameError::Codec(99)));
    let mut other = ChainDecoder::new();
    assert_eq!(other.decode(&frame, |_| None), Err(FrameError::UnknownLayout(7)));
    assert!(matches!(other.decode(&frame, |_| Some(39)), Err(FrameError::Decode(_))));
    assert_eq!(bits(&other.decode(&frame, |_| Some(40)).unwrap().values), bits(&good.values));
}

#[test]
fn random_columns_never_panic() {
    let mut random = Random(77);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = vec![0; 4];
        bytes.push(u8::try_from(1 + random.below(20)).unwrap());
        bytes.extend((0..random.below(200)).map(|_| random.next().to_le_bytes()[7]));
        let mut columns = Vec::new();
        prost::encoding::bytes::encode(3, &bytes, &mut columns);
        let mut payload = vec![9, 7, 0, 0, 0, 0, 0, 0, 0];
        payload.extend(columns);
        let frame = Frame { seq: 0, codec: 3, payload: payload.into(), key: vec![0, 10].into() };
        drop(ChainDecoder::new().decode(&frame, |_| Some(10)));
        drop(ChainDecoder::new().skip(&frame));
    }
}

#[test]
fn hostile_sizes_are_refused_before_they_are_reserved() {
    let mut decoder = ChainDecoder::new();
    let bomb = zstd::bulk::compress(&vec![0; limits::MAX_PAYLOAD_BYTES + 1], 1).unwrap();
    let key = Bytes::from_static(&[0, 1]);
    let limit = limits::MAX_PAYLOAD_BYTES;
    for codec in [Codec::PlainZstd, Codec::ColumnarZstd] {
        let payload = bomb.clone().into();
        let frame = Frame { codec: codec.into(), payload, key: key.clone(), seq: 0 };
        let refused = decoder.decode(&frame, |_| Some(1));
        assert_eq!(refused, Err(FrameError::Limit { what: "decompressed bytes", limit }));
    }
    // A key that unpacks to more than the series that it is for.
    let mut fat = vec![2, 1];
    fat.extend(zstd::bulk::compress(&[0; 4096], 1).unwrap());
    let good = ChainEncoder::new().encode(7, &[1], &[1.0], &[]);
    let frame = Frame { key: fat.into(), ..good.clone() };
    assert!(matches!(decoder.decode(&frame, |_| Some(1)), Err(FrameError::Limit { .. })));
    // Ticks without end, and a key of more series than any frame has.
    let mut payload = vec![9, 7, 0, 0, 0, 0, 0, 0, 0, 0x1a, 9, 0, 0, 0, 0];
    payload.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    let frame = Frame { payload: payload.into(), key, ..good.clone() };
    let limit = limits::MAX_SAMPLES_PER_FRAME;
    let refused = decoder.decode(&frame, |_| Some(1));
    assert_eq!(refused, Err(FrameError::Limit { what: "samples", limit }));
    let key = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(decoder.skip(&Frame { key, ..good }), Err(FrameError::Chain(7)));
}

#[test]
fn plain_frames_stand_alone() {
    let frame = plain::encode(7, &[1, 5], &ODD, vec![event("x")]);
    let decoded = ChainDecoder::new().decode(&frame, |_| Some(7)).unwrap();
    assert_eq!((bits(&decoded.values), decoded.ticks_ms), (bits(&ODD), vec![1, 5]));
    let columns = ChainDecoder::new().decode(&frame, |_| Some(6));
    assert_eq!(columns, Err(FrameError::Columns { bytes: 112, ticks: 2, series: 6 }));
    assert_eq!(plain::encode(7, &[1], &[1.0; 500], vec![]).codec(), Codec::PlainZstd);
    assert_eq!(plain::encode(7, &[1], &[1.0], vec![]).codec(), Codec::Plain);
}

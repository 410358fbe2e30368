//! A steady tick costs one allocation to write: the bytes of its frame.

mod counting;

use sextant_proto::frame::ChainEncoder;

#[test]
fn steady_frame_allocates_its_bytes_and_nothing_else() {
    let mut encoder = ChainEncoder::new();
    let mut values = vec![0.0; 500];
    let mut tick = 0u32;
    let mut most = 0;
    for round in 0..60 {
        for (series, value) in values.iter_mut().enumerate() {
            *value = match series % 4 {
                0 => f64::from(tick) * 12.5,
                1 => f64::from(tick.wrapping_mul(2_654_435_761) >> 20),
                2 => (f64::from(tick) + series as f64).sqrt(),
                _ => 3.0,
            };
        }
        tick += 1;
        let before = counting::of_this_thread();
        let frame = encoder.encode(7, &[i64::from(tick) * 1000], &values, &[]);
        let allocated = counting::of_this_thread() - before;
        assert!(!frame.payload.is_empty());
        if round >= 20 {
            most = most.max(allocated);
        }
    }
    assert_eq!(most, 1);
}

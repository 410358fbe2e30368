//! Whatever the bytes of a frame and of its key: an error or values, and two decoders that read
//! the same stand at the same state. `cargo fuzz run frame_decode`
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_proto::frame::ChainDecoder;
use sextant_proto::v1::Frame;

const SERIES: usize = 20;

fuzz_target!(|input: (u8, Vec<u8>, Vec<Vec<u8>>)| {
    let (codec, key, payloads) = input;
    let (mut decoder, mut follower) = (ChainDecoder::new(), ChainDecoder::new());
    let mut key = key;
    for payload in payloads {
        let frame = Frame {
            seq: 1,
            codec: i32::from(codec % 6),
            payload: payload.into(),
            key: std::mem::take(&mut key).into(),
        };
        let decoded = decoder.decode_keyed(&frame, |_| Some(SERIES), |_| true);
        if let Ok((decoded, _)) = &decoded {
            let skipped = follower.skip(&frame);
            assert!(skipped.is_ok());
            assert_eq!(decoder.key(decoded.layout), follower.key(decoded.layout));
        }
    }
});

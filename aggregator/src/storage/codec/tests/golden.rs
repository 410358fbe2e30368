//! Format 2 as bytes: blocks that were written must be read for ever.

use super::*;

const HOT: &str = "\
    5358424b02012a000000a001060180a0abfef962a09c017f05000006c05debfd071000ae03006131cfa0000a80\
    897a66452502552122255558884802555585889454612102225555152252528502858854555588484902151622\
    52555521026788200a000245250255212225555888480255558588945461210222555515225252850285885455\
    55884849021516225255552102732f000a8092f401cb019b014a02558988855552226202555525221656498902\
    88555595885858250225225655552262610295948858555589082197044808000801feff030002000500008004\
    07020f06170a1f0e800407120f16172f1f1e800407270f26171f1f2e800407170f13170f1f3e800107079261f0\
    0de8cc99b3e6cc99d37f00b5e6cc99b3e6cce93f7f0280010f017f0231f0";
const COLD: &str = "\
    5358424b02012a000000a001060180a0abfef962a09c017f0500000600f5596a071000ae03005c86b039010e80\
    897a660425025200000080802000006cf52102000204258101142ca39651f8e91a411dc35d3047e1b92e94058c\
    1a4aaa010e8092f401cb01074a0252000000ffff1f00002b19054808000801feff030002000100000181051224\
    40fa4fd4dfcbd0e5feeb983b35483e7f65931903af22f101e8cc99b3e6cc99d37f00b5e6cc99b3e6cce93f8101\
    0305d1eb1e3d";

fn sample() -> Block {
    let ticks = (0..160).map(|t| 1_700_000_000_000 + t * 10_000).collect();
    let number = |t: i32| f64::from(t * t % 37);
    let columns = vec![
        vec![21.5; 160],
        (0..160).map(|t| 1e6 + f64::from(t) * 50.0 + number(t)).collect(),
        (0..160).map(|t| number(t) / 100.0).collect(),
        (0..160).map(|t| 2e6 - f64::from(t) * 100.0 - 2.0 * number(t)).collect(),
        (0..160).map(|t| if t % 9 == 0 { ABSENT } else { number(t / 9) }).collect(),
        (0..160).map(|t| if t < 80 { 0.1 + 0.2 } else { -0.0 }).collect(),
    ];
    (ticks, columns)
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn blocks_of_old_are_read() {
    let (ticks, columns) = sample();
    for golden in [HOT, COLD] {
        let (read_ticks, read) = read_all(&unhex(golden)).unwrap();
        assert_eq!(read_ticks, ticks);
        assert_eq!(bits(&read), bits(&columns));
    }
}

#[test]
fn cold_block_has_a_reference() {
    let reads = |column| reads::read(&unhex(COLD), &[column]).1;
    assert!(reads(1) + reads(3) > 2);
}

#[test]
fn blocks_are_written_as_before() {
    let (ticks, columns) = sample();
    for (golden, effort) in [(HOT, Effort::Hot), (COLD, Effort::Cold)] {
        let block = encode_block(&ticks, &columns, effort).unwrap();
        assert_eq!(hex(&block), golden, "{effort:?}");
    }
}

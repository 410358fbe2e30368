use std::path::Path;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, VfInfo as Theirs, VfLinkState};

use super::super::vf_info::{Link, VfInfo, parse_bytes};
use super::fake;
use super::kernel::{BuiltPf, BuiltVf, FULL, NO_STATS};

/// Before the attributes of a captured message.
const HEADERS: usize = 32;

fn captured(mask: u32) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sriov");
    std::fs::read(dir.join(format!("getlink_eth0_mask{mask}.bin"))).unwrap()
}

fn built(vfs: Vec<BuiltVf>) -> BuiltPf {
    let (name, pci) = ("eth0".to_owned(), "0000:01:00.0".to_owned());
    BuiltPf { index: 2, name, pci, packets: 7, vfs }
}

fn parse(pf: &BuiltPf, mask: u32) -> Link {
    parse_bytes(&pf.payload(mask)[16..])
}

/// What the captured igb says of a virtual function.
fn captured_vf(number: u32) -> BuiltVf {
    let message = parse_bytes(&captured(FULL)[HEADERS..]);
    let told = &message.vfs[number as usize];
    BuiltVf {
        mac: told.mac.as_deref().unwrap().try_into().unwrap(),
        vlan: told.vlan.unwrap(),
        qos: told.qos.unwrap(),
        protocol: told.vlan_protocol.unwrap(),
        rates: [told.min_rate.unwrap(), told.max_rate.unwrap()],
        spoof_check: told.spoof_check.unwrap().into(),
        trust: told.trust.unwrap().into(),
        ..BuiltVf::igb_like(number)
    }
}

#[test]
fn captured_igb_is_read_in_full() {
    let link = parse_bytes(&captured(FULL)[HEADERS..]);
    assert!(!link.damaged);
    assert_eq!((link.name.as_str(), link.parent.as_deref()), ("eth0", Some("0000:01:00.0")));
    assert_eq!((link.count, link.vfs.len()), (Some(7), 7));
    assert!(link.packets > 0);
    let vf = &link.vfs[0];
    assert_eq!(
        (vf.number, vf.vlan, vf.qos, vf.vlan_protocol),
        (0, Some(100), Some(3), Some(0x8100))
    );
    assert_eq!((vf.spoof_check, vf.trust, vf.rss_query), (Some(true), Some(false), None));
    assert_eq!((vf.link_state, vf.mac.as_deref()), (Some(0), Some(&[0; 6][..])));
    assert!(link.vfs.iter().all(|vf| vf.stats.is_some_and(|stats| stats.is_zero())));

    let without = parse_bytes(&captured(NO_STATS)[HEADERS..]);
    assert_eq!(without.vfs.len(), 7);
    assert!(without.vfs.iter().all(|vf| vf.stats.is_none()) && !without.damaged);
    let none = parse_bytes(&captured(0)[HEADERS..]);
    assert_eq!((none.count, none.vfs.len(), none.damaged), (None, 0, false));
}

#[test]
fn built_list_is_the_captured_one() {
    for mask in [FULL, NO_STATS] {
        let stats = (mask == FULL).then_some([0; 8]);
        let vfs = (0..7).map(|n| BuiltVf { stats, ..captured_vf(n) }.bytes());
        let list = vfs.collect::<Vec<_>>().concat();
        let captured = captured(mask);
        assert!(captured.windows(list.len()).any(|window| window == list), "mask {mask}");
    }
}

/// What the netlink library reads, in our words. It has no word for "does not say".
fn theirs(payload: &[u8]) -> Vec<VfInfo> {
    let bytes = fake::message(16, 0, 1, payload);
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).unwrap();
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = message.payload else {
        panic!("not a link");
    };
    let list = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::VfInfoList(list) => Some(list),
        _ => None,
    });
    let vf = |infos: &Vec<Theirs>| {
        let mut vf = VfInfo::default();
        for info in infos {
            match info {
                Theirs::Mac(mac) => {
                    vf.number = mac.vf_id;
                    vf.mac = Some(mac.mac[..6].to_vec());
                }
                Theirs::Vlan(vlan) => (vf.vlan, vf.qos) = (Some(vlan.vlan_id), Some(vlan.qos)),
                Theirs::Rate(rate) => {
                    vf.min_rate = Some(rate.min_tx_rate);
                    vf.max_rate = Some(rate.max_tx_rate);
                }
                Theirs::SpoofCheck(check) => vf.spoof_check = Some(check.enabled),
                Theirs::Trust(trust) => vf.trust = Some(trust.enabled),
                Theirs::RssQueryEn(query) => vf.rss_query = Some(query.enabled),
                Theirs::LinkState(link) => {
                    vf.link_state = Some(match link.state {
                        VfLinkState::Auto => 0,
                        VfLinkState::Enable => 1,
                        VfLinkState::Disable => 2,
                        other => other.into(),
                    });
                }
                _ => {}
            }
        }
        vf
    };
    list.unwrap().iter().map(|info| vf(&info.0)).collect()
}

#[test]
fn built_lists_are_read_as_the_netlink_library_reads_them() {
    for count in [1, 7, 64, 128, 221] {
        let vfs = (0..count).map(|n| BuiltVf { rss_query: 0, ..BuiltVf::counting(n) });
        let pf = built(vfs.collect());
        let ours = parse(&pf, FULL);
        assert!(!ours.damaged);
        let plain = |vf: &VfInfo| VfInfo { stats: None, vlan_protocol: None, ..vf.clone() };
        let ours: Vec<VfInfo> = ours.vfs.iter().map(plain).collect();
        assert_eq!(ours, theirs(&pf.payload(FULL)), "{count}");
    }
}

#[test]
fn list_that_wraps_at_222_functions_is_damaged_and_one_fewer_is_whole() {
    let list = |count| built((0..count).map(BuiltVf::counting).collect());
    assert!(!parse(&list(221), FULL).damaged);
    let wrapped = parse(&list(222), FULL);
    assert!(wrapped.damaged && wrapped.vfs.is_empty(), "{wrapped:?}");
    assert!(!parse(&list(334), NO_STATS).damaged);
    assert!(parse(&list(335), NO_STATS).damaged);
}

#[test]
fn all_ones_is_what_the_driver_does_not_say() {
    let none = u32::MAX;
    let silent = BuiltVf {
        spoof_check: none,
        link_state: none,
        trust: none,
        rates: [none; 2],
        ..BuiltVf::igb_like(0)
    };
    let link = parse(&built(vec![silent]), FULL);
    let vf = &link.vfs[0];
    assert_eq!((vf.spoof_check, vf.trust, vf.rss_query), (None, None, None));
    assert_eq!((vf.link_state, vf.min_rate, vf.max_rate), (None, None, None));
}

#[test]
fn function_that_the_driver_leaves_out_is_no_damage() {
    let pf = built([0, 1, 3].map(BuiltVf::counting).to_vec());
    let numbers: Vec<u32> = parse(&pf, FULL).vfs.iter().map(|vf| vf.number).collect();
    assert_eq!(numbers, [0, 1, 3]);
    assert!(!parse(&pf, FULL).damaged);
}

#[test]
fn message_cut_anywhere_within_the_list_is_damaged() {
    let bytes = captured(FULL);
    let attributes = &bytes[HEADERS..];
    let list = built((0..7).map(captured_vf).collect());
    let first = list.vfs[0].bytes();
    let start = attributes.windows(first.len()).position(|w| w == first).unwrap();
    for cut in start..start + 7 * first.len() {
        let link = parse_bytes(&attributes[..cut]);
        assert!(link.damaged, "{cut}");
        assert!(link.vfs.is_empty(), "{cut}");
    }
}

#[test]
fn lengths_that_lie_are_damage_and_never_more_functions_than_there_are() {
    let pf = built((0..3).map(BuiltVf::counting).collect());
    let good = pf.payload(FULL)[16..].to_vec();
    let start = good.len() - 3 * 296;
    for at in (0..good.len()).filter(|at| at % 4 < 2) {
        for value in [0, 1, 3, 4, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let link = parse_bytes(&bytes);
            assert!(link.vfs.len() <= 3 + usize::from(at >= start), "{at}");
            assert!(link.vfs.iter().all(|vf| vf.number < 65_536));
        }
    }
}

#[test]
fn arbitrary_bytes_are_survived() {
    let base = built((0..2).map(BuiltVf::counting).collect()).payload(FULL)[16..].to_vec();
    let mut state = 0x5eed_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 20).unwrap()
    };
    for round in 0..20_000 {
        let mut bytes = base.clone();
        bytes.truncate(next() % (bytes.len() + 1));
        for _ in 0..next() % 8 {
            if let Some(last) = bytes.len().checked_sub(1) {
                let at = next() % (last + 1);
                bytes[at] = u8::try_from(next() % 256).unwrap();
            }
        }
        let link = parse_bytes(&bytes);
        assert!(link.vfs.len() <= bytes.len() / 8, "{round}");
    }
}

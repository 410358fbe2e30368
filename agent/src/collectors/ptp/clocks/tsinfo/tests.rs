use fake_node::netlink::{Fake, Request, attribute};

use super::super::tests::{has, noise, tick};
use super::*;

const FAMILY: u16 = 21;

/// The answer about the family by name.
fn family(request: &Request) -> Vec<Vec<u8>> {
    let attributes = [attribute(1, &FAMILY.to_ne_bytes()), attribute(3, &1u32.to_ne_bytes())];
    let answer = [vec![1, 2, 0, 0], attributes.concat()].concat();
    vec![request.answer(16, &answer), request.error(0)]
}

/// The name of the device that a request is about.
fn device(request: &Request) -> String {
    assert_eq!((request.kind, request.payload[0]), (FAMILY, TSINFO_GET));
    let attributes = Attributes::new(&request.payload[4..]);
    let header = attributes.find(TSINFO_HEADER).unwrap().nested();
    assert_eq!(header.find(HEADER_FLAGS).and_then(|a| a.u32()), Some(COMPACT_BITSETS));
    header.find(HEADER_DEV_NAME).unwrap().text().unwrap().to_owned()
}

fn info(bits: u32, phc: Option<i32>) -> Vec<u8> {
    let bitset = [attribute(2, &18u32.to_ne_bytes()), attribute(4, &bits.to_ne_bytes())].concat();
    let mut out = attribute(TSINFO_TIMESTAMPING | 0x8000, &bitset);
    if let Some(phc) = phc {
        out.extend(attribute(TSINFO_PHC_INDEX, &phc.to_ne_bytes()));
    }
    out
}

fn answer(request: &Request, attributes: &[u8]) -> Vec<Vec<u8>> {
    let message = [&[26, 1, 0, 0], attributes].concat();
    vec![[request.answer(FAMILY, &message), request.error(0)].concat()]
}

struct Node(tempfile::TempDir);

impl Node {
    fn new(devices: &[(&str, &str)]) -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        for (name, what) in devices {
            node.add(name, what);
        }
        node
    }

    fn add(&self, name: &str, what: &str) {
        let dir = self.0.path().join("class/net").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        match what {
            "hardware" => std::fs::create_dir(dir.join("device")).unwrap(),
            kind => std::fs::write(dir.join("uevent"), format!("DEVTYPE={kind}\n")).unwrap(),
        }
    }

    fn tsinfo(
        &self,
        mut kernel: impl FnMut(&Request) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (TsInfo, Fake) {
        let (fd, fake) = Fake::start(move |r| if r.kind == FAMILY { kernel(r) } else { family(r) });
        let paths = Paths { sys: self.0.path().into(), ..Paths::default() };
        (TsInfo::with(&paths, Netlink::from_fd(fd).unwrap()), fake)
    }
}

fn read(tsinfo: &mut TsInfo, now: Instant, clocks_changed: bool) -> Vec<String> {
    tick(|batch| {
        tsinfo.collect(batch, now, clocks_changed);
        assert!(batch.failures().is_empty(), "{:?}", batch.failures());
        tsinfo.set(batch);
    })
}

#[test]
fn fake_kernel_is_asked_about_devices_that_ptp_can_run_on_and_once() {
    let node = Node::new(&[("eth0", "hardware"), ("eth0.7", "vlan"), ("veth1", "veth")]);
    let (asked, told) = std::sync::mpsc::sync_channel(16);
    let (mut tsinfo, _fake) = node.tsinfo(move |r| {
        let name = device(r);
        asked.send(name.clone()).unwrap();
        match name.as_str() {
            "eth0" => answer(r, &info(0b101_1111, Some(1))),
            "eth0.7" => answer(r, &info(0b1_1010, Some(-1))),
            _ => vec![r.error(libc::EOPNOTSUPP)],
        }
    });
    let start = Instant::now();
    let rows = read(&mut tsinfo, start, false);
    let name = "ptp_netdev_timestamping_info";
    has(&rows, &format!("{name}{{device=eth0,hardware=both,software=both,phc=ptp1}} 1"));
    has(&rows, &format!("{name}{{device=eth0.7,hardware=none,software=both,phc=}} 1"));
    assert_eq!(rows.len(), 2);
    assert_eq!((tsinfo.phc("eth0"), tsinfo.phc("eth0.7"), tsinfo.phc("x")), (Some(1), None, None));

    let later = start + RELIST;
    node.add("eth9", "hardware");
    assert_eq!(read(&mut tsinfo, later, false), rows);
    let names: Vec<String> = told.try_iter().collect();
    assert_eq!(names, ["eth0", "eth0.7", "eth9"]);
    read(&mut tsinfo, later, true);
    assert_eq!(told.try_iter().count(), 3);
    std::fs::remove_dir_all(node.0.path().join("class/net/eth0")).unwrap();
    assert_eq!(read(&mut tsinfo, later + RELIST, false).len(), 1);
}

#[test]
fn malformed_answer_is_counted_and_a_refusal_fails_the_source() {
    let node = Node::new(&[("eth0", "hardware")]);
    let mut refuse = false;
    let (mut tsinfo, _fake) = node.tsinfo(move |r| {
        if std::mem::replace(&mut refuse, true) {
            return vec![r.error(libc::EPERM)];
        }
        answer(r, &attribute(TSINFO_PHC_INDEX, &[1]))
    });
    let start = Instant::now();
    assert!(read(&mut tsinfo, start, false).is_empty());
    assert_eq!(tsinfo.malformed(), 1);
    let mut batch = Batch::default();
    batch.begin();
    tsinfo.collect(&mut batch, start, true);
    assert_eq!(batch.failures().len(), 1);
}

#[test]
fn arbitrary_answers_are_read_or_refused() {
    let good = info(0b11, Some(3));
    assert_eq!(Stamping::parse(Attributes::new(&good)).unwrap().phc, Some(3));
    let mut refused = 0;
    for seed in 0..20_000 {
        let mut next = noise(seed);
        let mut bytes = good.clone();
        for _ in 0..3 {
            let at = usize::from(next()) % bytes.len();
            bytes[at] = next();
        }
        bytes.truncate(usize::from(next()) % (bytes.len() + 1));
        refused += u32::from(Stamping::parse(Attributes::new(&bytes)).is_none());
    }
    assert!((1..20_000).contains(&refused), "{refused}");
}

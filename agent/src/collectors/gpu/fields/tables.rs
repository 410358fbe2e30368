//! Which fields there are. Numbers and meanings are those of `nvml.h`'s `NVML_FI_DEV_*`, as
//! CUDA 12 numbers them.

use super::{Field, Unit};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::ALL_LINKS;
use crate::sample::Metric;

/// The field that says how many NVLinks there are.
pub(in crate::collectors::gpu) const LINK_COUNT: u32 = 91;
/// More links than `nvml.h` knows (18) are not read one by one.
const MOST_LINKS: usize = 18;
/// The whole GPU, where fields have a scope.
const GPU: u32 = 0;

const LINKS: [&str; MOST_LINKS] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17",
];

/// What decides which fields mean something.
#[derive(Debug, Clone, Copy)]
pub(in crate::collectors::gpu) struct Product {
    pub(in crate::collectors::gpu) links: usize,
    /// GeForce and Titan answer questions about remapped rows with nonsense.
    pub(in crate::collectors::gpu) consumer: bool,
}

impl Product {
    /// The links with their label.
    pub(in crate::collectors::gpu) fn links(self) -> impl Iterator<Item = (u32, &'static str)> {
        (0..).zip(LINKS).take(self.links)
    }
}

fn plain(id: u32, metric: &'static Metric, unit: Unit) -> Field {
    Field::new(id, GPU, metric, &[], unit)
}

fn labelled(
    id: u32,
    metric: &'static Metric,
    name: &'static str,
    value: &'static str,
    unit: Unit,
) -> Field {
    Field::new(id, GPU, metric, &[(name, value)], unit)
}

/// Power, energy, memory temperature and time throttled.
pub(in crate::collectors::gpu) fn fast() -> Vec<Field> {
    let mut fields = vec![
        plain(82, &m::MEMORY_TEMPERATURE, Unit::Celsius),
        plain(83, &m::ENERGY, Unit::Millijoules),
        plain(185, &m::POWER, Unit::Milliwatts),
        plain(186, &m::POWER_INSTANT, Unit::Milliwatts),
    ];
    let reasons = [
        (74, "power"),
        (75, "thermal"),
        (76, "sync_boost"),
        (77, "board_limit"),
        (78, "low_utilization"),
        (79, "reliability"),
        (251, "sw_thermal"),
        (252, "hw_thermal"),
        (253, "hw_power_brake"),
    ];
    for (id, reason) in reasons {
        fields.push(labelled(id, &m::THROTTLE, "reason", reason, Unit::Nanoseconds));
    }
    fields
}

/// ECC, remapped rows, PCIe and NVLink totals, and what the driver asks for.
pub(in crate::collectors::gpu) fn medium(product: Product) -> Vec<Field> {
    let ecc = |id, error| {
        let labels = [("error", error), ("counter", "volatile")];
        Field::new(id, GPU, &m::ECC_ERRORS, &labels, Unit::Count)
    };
    let mut fields = vec![
        ecc(3, "corrected"),
        ecc(4, "uncorrected"),
        plain(94, &m::PCIE_REPLAY, Unit::Count),
        plain(95, &m::PCIE_REPLAY_ROLLOVER, Unit::Count),
        plain(197, &m::PCIE_TRANSMIT, Unit::Bytes),
        plain(198, &m::PCIE_RECEIVE, Unit::Bytes),
        plain(230, &m::RECOVERY_ACTION, Unit::Count),
    ];
    if !product.consumer {
        fields.extend([
            labelled(142, &m::REMAPPED_ROWS, "cause", "correctable", Unit::Count),
            labelled(143, &m::REMAPPED_ROWS, "cause", "uncorrectable", Unit::Count),
            plain(144, &m::ROW_REMAP_PENDING, Unit::Flag),
            plain(145, &m::ROW_REMAP_FAILED, Unit::Flag),
        ]);
    }
    if product.links > 0 {
        let all = |id, metric, unit| Field::new(id, ALL_LINKS, metric, &[], unit);
        fields.extend([
            plain(LINK_COUNT, &m::NVLINK_LINKS, Unit::Count),
            all(138, &m::NVLINK_TRANSMIT, Unit::Kibibytes),
            all(139, &m::NVLINK_RECEIVE, Unit::Kibibytes),
            all(140, &m::NVLINK_RAW_TRANSMIT, Unit::Kibibytes),
            all(141, &m::NVLINK_RAW_RECEIVE, Unit::Kibibytes),
        ]);
        let totals = [
            (38, GPU, "crc_flit"),
            (163, ALL_LINKS, "crc_flit"),
            (45, GPU, "crc_data"),
            (52, GPU, "replay"),
            (161, ALL_LINKS, "replay"),
            (59, GPU, "recovery"),
            (162, ALL_LINKS, "recovery"),
            (160, GPU, "ecc"),
        ];
        for (id, scope, error) in totals {
            let labels = [("error", error)];
            fields.push(Field::new(id, scope, &m::NVLINK_ERRORS, &labels, Unit::Count));
        }
    }
    for (link, label) in product.links() {
        fields.push(Field::new(165, link, &m::NVLINK_UP, &[("link", label)], Unit::Flag));
    }
    fields
}

/// Details: ECC by place, PCIe errors, retired pages, limits, links one by one.
pub(in crate::collectors::gpu) fn slow(product: Product) -> Vec<Field> {
    let mut fields = vec![
        plain(1, &m::ECC_MODE, Unit::Flag),
        labelled(29, &m::RETIRED_PAGES, "cause", "single_bit", Unit::Count),
        labelled(30, &m::RETIRED_PAGES, "cause", "double_bit", Unit::Count),
        plain(31, &m::RETIRED_PAGES_PENDING, Unit::Flag),
    ];
    for (id, error) in [(5, "corrected"), (6, "uncorrected")] {
        let labels = [("error", error), ("counter", "aggregate")];
        fields.push(Field::new(id, GPU, &m::ECC_ERRORS, &labels, Unit::Count));
    }
    fields.extend(ecc_by_location());
    let pcie = [
        "correctable",
        "naks_received",
        "receiver",
        "bad_tlp",
        "naks_sent",
        "bad_dllp",
        "non_fatal",
        "fatal",
        "unsupported_request",
        "lcrc",
        "lane",
    ];
    for (id, error) in (173..).zip(pcie) {
        fields.push(labelled(id, &m::PCIE_ERRORS, "error", error, Unit::Count));
    }
    let power =
        [(187, "min"), (188, "max"), (189, "default"), (192, "requested"), (190, "requested")];
    for (id, limit) in power {
        fields.push(labelled(id, &m::POWER_LIMIT, "limit", limit, Unit::Milliwatts));
    }
    for (id, limit) in [(193, "shutdown"), (194, "slowdown"), (195, "memory_max"), (196, "gpu_max")]
    {
        fields.push(labelled(id, &m::TEMPERATURE_MARGIN_LIMIT, "limit", limit, Unit::Margin));
    }
    for (link, label) in product.links() {
        fields.extend(of_link(link, label));
    }
    fields
}

/// Fields 7 to 28: volatile, then aggregate; the control block unit has no corrected errors.
fn ecc_by_location() -> impl Iterator<Item = Field> {
    const PLACES: [&str; 6] = ["l1", "l2", "dram", "register_file", "texture", "cbu"];
    let counters = [(7, "volatile"), (18, "aggregate")];
    counters.into_iter().flat_map(|(first, counter)| {
        let pairs = PLACES.into_iter().flat_map(|place| {
            let both = [(place, "corrected"), (place, "uncorrected")];
            both.into_iter().filter(|pair| *pair != ("cbu", "corrected"))
        });
        (first..).zip(pairs).map(move |(id, (place, error))| {
            let labels = [("error", error), ("counter", counter), ("location", place)];
            Field::new(id, GPU, &m::ECC_LOCATION_ERRORS, &labels, Unit::Count)
        })
    })
}

fn of_link(link: u32, label: &'static str) -> Vec<Field> {
    let error = |id, scope, error| {
        let labels = [("link", label), ("error", error)];
        Field::new(id, scope, &m::NVLINK_LINK_ERRORS, &labels, Unit::Count)
    };
    let plain = |id, metric, unit| Field::new(id, link, metric, &[("link", label)], unit);
    let ratio = |id, ber| {
        let labels = [("link", label), ("ber", ber)];
        Field::new(id, link, &m::NVLINK_BER, &labels, Unit::ErrorRatio)
    };
    let mut fields = vec![
        plain(138, &m::NVLINK_LINK_TRANSMIT, Unit::Kibibytes),
        plain(139, &m::NVLINK_LINK_RECEIVE, Unit::Kibibytes),
        error(163, link, "crc_flit"),
        error(161, link, "replay"),
        error(162, link, "recovery"),
        error(206, link, "malformed_packet"),
        error(207, link, "buffer_overrun"),
        error(208, link, "received"),
        error(209, link, "received_remote"),
        error(211, link, "local_link_integrity"),
        error(215, link, "link_recovery"),
        error(219, link, "effective"),
        error(221, link, "symbol"),
        ratio(220, "effective"),
        ratio(222, "symbol"),
    ];
    // Up to NVLink 3 each link has fields of its own: six in one place, six in another.
    let older = [
        (32, 96, "crc_flit"),
        (39, 102, "crc_data"),
        (46, 108, "replay"),
        (53, 114, "recovery"),
        (148, 154, "ecc"),
    ];
    for (first, second, name) in older {
        match link {
            0..6 => fields.push(error(first + link, GPU, name)),
            6..12 => fields.push(error(second + link - 6, GPU, name)),
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_ecc_errors_are_fields_7_to_28() {
        let fields: Vec<_> = ecc_by_location().map(|f| (f.id, f.labels)).collect();
        assert_eq!(fields.len(), 22);
        assert_eq!(fields[0].0, 7);
        assert_eq!(fields[21].0, 28);
        let cbu = [("error", "uncorrected"), ("counter", "volatile"), ("location", "cbu")];
        assert!(fields.contains(&(17, cbu)));
        let aggregate = [("error", "corrected"), ("counter", "aggregate"), ("location", "l1")];
        assert!(fields.contains(&(18, aggregate)));
    }

    #[test]
    fn older_links_have_fields_of_their_own() {
        let ids = |link| {
            let fields = of_link(link, "x");
            let own = fields.into_iter().filter(|f| f.scope == GPU && f.id < 165);
            own.map(|f| f.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(5), [37, 44, 51, 58, 153]);
        assert_eq!(ids(11), [101, 107, 113, 119, 159]);
        assert_eq!(ids(12), Vec::<u32>::new());
    }
}

use super::*;

fn xid_of(text: &str) -> Xid {
    match parse(text) {
        Some(Line::Xid(xid)) => xid,
        other => panic!("{text}: {other:?}"),
    }
}

fn address(text: &str) -> PciAddress {
    PciAddress::parse(text).unwrap()
}

/// Messages as drivers of several branches print them.
#[test]
fn xid_messages_of_every_driver_are_read() {
    type Want = (&'static str, u32, Option<u32>, Option<&'static str>, &'static str);
    let cases: &[(&str, Want)] = &[
        (
            "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus.",
            ("0000:3b:00", 79, Some(1234), Some("python"), "GPU has fallen off the bus."),
        ),
        (
            "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",
            ("0000:01:00", 79, None, None, "GPU has fallen off the bus."),
        ),
        (
            "NVRM: Xid (PCI:0000:01:00): 79, pid=1122, GPU has fallen off the bus.",
            ("0000:01:00", 79, Some(1122), None, "GPU has fallen off the bus."),
        ),
        (
            "NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics Exception: ESR 0x57c730=0xc04000b",
            ("0000:cb:00", 13, None, None, "Graphics Exception: ESR 0x57c730=0xc04000b"),
        ),
        (
            "NVRM: Xid (PCI:0000:65:00): 74, pid=<n/a>, name=<unknown>, NVLink: fatal error detected on link 2",
            ("0000:65:00", 74, None, None, "NVLink: fatal error detected on link 2"),
        ),
        (
            "NVRM: Xid (PCI:0000:C8:00): 31, pid=79749, name=exe, Ch 0000000a, intr 00000000. MMU Fault: ENGINE GRAPHICS",
            (
                "0000:c8:00",
                31,
                Some(79749),
                Some("exe"),
                "Ch 0000000a, intr 00000000. MMU Fault: ENGINE GRAPHICS",
            ),
        ),
        (
            "NVRM: Xid (PCI:00010000:3B:00): 43, pid=7, name=trigger_xid, channel 0x0b00000a",
            ("10000:3b:00", 43, Some(7), Some("trigger_xid"), "channel 0x0b00000a"),
        ),
        (
            "NVRM: Xid (PCI:0000:86:00): 63, pid='<unknown>', name='<unknown>', Row Remapper: new row marked",
            ("0000:86:00", 63, None, None, "Row Remapper: new row marked"),
        ),
        (
            "NVRM: Xid (PCI:0002:00:00): 119, pid=1582259, name=nvc:[driver], Timeout after 6s of waiting for RPC response from GPU1 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20802a02 0x8).",
            (
                "0002:00:00",
                119,
                Some(1_582_259),
                Some("nvc:[driver]"),
                "Timeout after 6s of waiting for RPC response from GPU1 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20802a02 0x8).",
            ),
        ),
        (
            "NVRM: Xid (PCI:0000:2b:00): 43, pid=146239, name=VLLM::Worker, channel 0x00000008",
            ("0000:2b:00", 43, Some(146_239), Some("VLLM::Worker"), "channel 0x00000008"),
        ),
        (
            "NVRM: Xid (PCI:0000:0f:00): 94, pid=2503421, name=python3, Ch 00000008\n",
            ("0000:0f:00", 94, Some(2_503_421), Some("python3"), "Ch 00000008"),
        ),
        (
            "NVRM: Xid (PCI:0000:b9:00): 94, pid=1234, name=python",
            ("0000:b9:00", 94, Some(1234), Some("python"), ""),
        ),
        (
            "NVRM: Xid (0000:03:00): 13, 0003 00000000 00008297 00001b0c 1000f010 00000040",
            ("0000:03:00", 13, None, None, "0003 00000000 00008297 00001b0c 1000f010 00000040"),
        ),
        ("NVRM: Xid (PCI:0000:83:00): 48", ("0000:83:00", 48, None, None, "")),
    ];
    for (text, (at, xid, pid, process, rest)) in cases {
        let got = xid_of(text);
        assert_eq!((got.address, got.xid, got.pid), (address(at), *xid, *pid), "{text}");
        assert_eq!((got.process.as_deref(), got.text.as_str()), (*process, *rest), "{text}");
    }
}

#[test]
fn mig_instances_are_read_from_the_parenthesis() {
    let one = xid_of(
        "NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE User Channel (0x9). RST: No, D-RST: No",
    );
    assert_eq!((one.gpu_instance, one.compute_instance), (Some(5), None));
    let both = xid_of("NVRM: Xid (PCI:0000:01:00 GPU-I:02 GPU-CI:00): 43, pid=7, name=a, b");
    assert_eq!((both.gpu_instance, both.compute_instance), (Some(2), Some(0)));
}

#[test]
fn details_say_what_a_rule_can_act_on() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            "149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x026001c6 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)",
            &[
                ("unit", "NETIR_LINK_EVT"),
                ("fatal", "true"),
                ("link", "0"),
                ("subcode", "38"),
                ("interrupt_info", "0x026001c6"),
                ("error_status", "0x00000000"),
            ],
        ),
        (
            "145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a0c2 0x00000008 0x00000001 0x00000000 0x00100000 0x00000004)",
            &[
                ("unit", "RLW_RXPIPE"),
                ("fatal", "false"),
                ("link", "13"),
                ("subcode", "0"),
                ("interrupt_info", "0x0409a0c2"),
                ("error_status", "0x00000008"),
            ],
        ),
        (
            "149, NETIR Fatal XC0 i0 Link -1 (0x000fe406 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)",
            &[
                ("unit", "NETIR"),
                ("fatal", "true"),
                ("subcode", "0"),
                ("interrupt_info", "0x000fe406"),
                ("error_status", "0x00000000"),
            ],
        ),
        ("144, something else", &[]),
        (
            "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
            &[("recovery_action", "1"), ("recovery_action_text", "GPU Reset Required")],
        ),
        (
            "154, GPU recovery action changed from 0x0 (None) to 0x2 (OS Reboot)",
            &[("recovery_action", "2"), ("recovery_action_text", "OS Reboot")],
        ),
        (
            "154, GPU recovery action changed from None to Node Reboot Required",
            &[("recovery_action", "2"), ("recovery_action_text", "Node Reboot Required")],
        ),
        (
            "94, pid=7062, Contained: CE User Channel (0x9). RST: No, D-RST: No",
            &[
                ("location", "CE User Channel"),
                ("reset_required", "false"),
                ("drain_reset_required", "false"),
            ],
        ),
        (
            "95, pid=7062, Uncontained: LTC TAG (0x2,0x0). RST: Yes, D-RST: No",
            &[
                ("location", "LTC TAG"),
                ("reset_required", "true"),
                ("drain_reset_required", "false"),
            ],
        ),
        (
            "95, pid=5171, Uncontained: FBHUB. RST: Yes, D-RST: No",
            &[("location", "FBHUB"), ("reset_required", "true"), ("drain_reset_required", "false")],
        ),
        ("94, pid=1234, name=python3, Contained ECC error", &[]),
        (
            "63, pid=1896, Row Remapper: New row marked for remapping, reset gpu to activate.",
            &[("retirement", "row_remap"), ("pending", "true")],
        ),
        (
            "64, pid='<unknown>', name=<unknown>, Row Remapper Error: (0x00000002eebc4100) - All reserved rows for bank are remapped",
            &[("retirement", "row_remap")],
        ),
        (
            "63, Dynamic Page Retirement: New page retired, reboot to activate (0x00000000000a1b2c).",
            &[("retirement", "page"), ("pending", "true")],
        ),
        (
            "74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)",
            &[("link", "14"), ("registers", "0x0 0x0 0x10000 0x0 0x0 0x0 0x0")],
        ),
        (
            "13, pid=25450, Graphics SM Global Exception on (GPC 0, TPC 1, SM 2): Multiple Warp Errors",
            &[("gpc", "0"), ("tpc", "1"), ("sm", "2")],
        ),
        (
            "45, pid=1818990, name=python3, Ch 00000001 caused by previous Xid 149",
            &[("caused_by_xid", "149")],
        ),
    ];
    for (text, want) in cases {
        let got = xid_of(&format!("NVRM: Xid (PCI:0000:01:00): {text}"));
        let got: Vec<_> = got.details.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(got, *want, "{text}");
    }
}

#[test]
fn other_messages_of_the_driver_are_read() {
    let gpu = address("0000:01:00");
    for text in [
        "NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",
        "NVRM: GPU at 0000:01:00.0 has fallen off the bus.",
        "NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:2204) installed in this system has fallen off the bus and is not responding to commands.",
    ] {
        let got = parse(text);
        assert!(matches!(&got, Some(Line::FallenOff { address, .. }) if *address == gpu), "{text}");
    }
    let failed = parse("NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x72:1447)");
    let Some(Line::InitFailed { address: Some(at), text }) = failed else { panic!("{failed:?}") };
    assert_eq!(
        (at, text.as_str()),
        (gpu, "GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x72:1447)")
    );
    let nowhere = parse("NVRM: RmInitAdapter failed! (0x62:0x65:2028)");
    assert!(matches!(nowhere, Some(Line::InitFailed { address: None, .. })));
    let uuid = "GPU-9a613ad4-057b-4fb1-8572-ae2d3c112a92";
    let named = Some(Line::Uuid { address: gpu, uuid: uuid.into() });
    assert_eq!(parse(&format!("NVRM: GPU at PCI:0000:01:00: {uuid}")), named);
    for text in [
        "NVRM: API mismatch: the client has the version 535.247.01, but this kernel module has the version 535.230.02.  Please make sure",
        "NVRM: API mismatch: the client 'nvidia-smi' (pid 77) has the version 535.247.01, but this kernel module has the version 535.230.02.",
    ] {
        let Some(Line::Mismatch { client, module }) = parse(text) else { panic!("{text}") };
        assert_eq!(client.as_deref(), Some("535.247.01"));
        assert_eq!(module.as_deref(), Some("535.230.02"));
    }
}

#[test]
fn switch_errors_are_read_and_their_registers_are_not_errors() {
    let text = "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)";
    let Some(Line::Sxid(error)) = parse(text) else { panic!() };
    assert_eq!((error.address, error.sxid), (address("0000:c1:00"), 12_028));
    assert_eq!(
        (error.switch.as_str(), error.fatal, error.link),
        ("nvidia-nvswitch3", Some(false), Some(32))
    );
    let text = "nvidia-nvswitch0: SXid (PCI:0000:59:00.0): 23001, Fatal, Link 12 Always Fatal";
    assert!(matches!(parse(text), Some(Line::Sxid(Sxid { fatal: Some(true), .. }))));
    let text = "nvidia-nvswitch1 SXid (PCI:0000:06:00.0): 00019, something";
    assert!(matches!(parse(text), Some(Line::Sxid(Sxid { fatal: None, sxid: 19, .. }))));
    for text in [
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Severity 0 Engine instance 32 Sub-engine instance 00",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Data {0x00140004, 0x00000003}",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): garbled, Fatal",
        "nvidia-nvswitch: SXid (PCI:0000:c1:00.0): 1, Fatal",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn what_is_not_the_drivers_is_ignored() {
    for text in [
        "",
        "NVRM: ",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05",
        "NVRM: Xid (PCI:0000:01:00): ",
        "NVRM: Xid (PCI:0000:01:00): x, y",
        "NVRM: Xid (PCI:0000:01:00: 79",
        "NVRM: Xid (PCI:zz:01:00): 79, a",
        "NVRM: Xid (PCI:0000:01:00): 99999999999, a",
        "NVRM: GPU at PCI:0000:01:00: not-a-uuid",
        "oom-kill: task=NVRM: Xid (PCI:0000:01:00): 79, a",
        "usb 1-1: name NVRM: Xid (PCI:0000:01:00): 79, a",
        "python[77]: segfault at 0 ip 0 sp 0 error 4",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

/// Every prefix and every text with one byte changed is read without a panic, and nothing that
/// is kept grows beyond its bound.
#[test]
fn damaged_messages_never_panic() {
    let whole = [
        "NVRM: Xid (PCI:0000:01:00 GPU-I:02 GPU-CI:00): 149, pid=7, name=é, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x026001c6 0x00000000)",
        "NVRM: Xid (PCI:0000:01:00): 94, pid=7, name=a, Contained: CE User Channel (0x9). RST: No, D-RST: No",
        "NVRM: Xid (PCI:0000:01:00): 74, NVLink: fatal error detected on link 14(0x0, 0x0)",
        "NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress",
        "NVRM: API mismatch: the client has the version 1.2, but this kernel module has the version 3.4.",
        "NVRM: GPU at PCI:0000:01:00: GPU-9a613ad4",
    ];
    let mut read = 0;
    for text in whole {
        for end in 0..=text.len() {
            read += usize::from(parse(&String::from_utf8_lossy(&text.as_bytes()[..end])).is_some());
        }
        for at in 0..text.len() {
            for byte in [0, b' ', b':', b'(', b')', b',', b'9', b'x', 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                read += usize::from(parse(&String::from_utf8_lossy(&bytes)).is_some());
            }
        }
    }
    assert!(read > whole.len());
    let long = format!(
        "NVRM: Xid (PCI:0000:01:00): 13, pid=1, name={}, {}",
        "n".repeat(9_999),
        "é".repeat(9_999)
    );
    let long = xid_of(&long);
    assert!(long.text.len() <= TEXT && long.process.unwrap().len() <= NAME);
}

//! The form of `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`): a line
//! `priority,sequence,microseconds,flags[,…];text` for each message, and lines that begin with a
//! space for its dictionary.
//!
//! Bytes may come in pieces and may be anything. A line without such a head is a message without
//! number and time, which is what a file that stands in for the log may have. Lines that cannot
//! be the driver's are only numbered: nothing is allocated for them.

use super::super::nvrm;

/// Longest line: the kernel's own bound for a message with its dictionary is 8 KiB.
const LINE: usize = 8 << 10;

/// A message that may be the driver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Since boot, by the kernel's clock for the log.
    pub(super) micros: Option<u64>,
    /// Unescaped, in one line.
    pub(super) text: String,
}

/// Bytes in, messages out.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The line is too long, and left out to its end.
    skipping: bool,
    last: Option<u64>,
    lines: u64,
    lost: u64,
}

impl Parser {
    /// Takes bytes in any pieces; messages that may matter go to `found`.
    pub(super) fn feed(&mut self, bytes: &[u8], found: &mut impl FnMut(Message)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.add(&rest[..end]);
            rest = &rest[end + 1..];
            if !std::mem::take(&mut self.skipping) {
                let line = std::mem::take(&mut self.line);
                found_in(self.head(&line), found);
                self.line = line;
            }
            self.line.clear();
        }
        self.add(rest);
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LINE {
            self.skipping = true;
            self.line.clear();
        }
        if !self.skipping {
            self.line.extend_from_slice(bytes);
        }
    }

    /// Reads the head of a line and counts messages that are missing before it.
    fn head<'a>(&mut self, line: &'a [u8]) -> Option<(Option<u64>, &'a [u8])> {
        self.lines += 1;
        if line.first() == Some(&b' ') {
            return None;
        }
        let split = line.iter().position(|b| *b == b';').and_then(|at| {
            let mut fields = std::str::from_utf8(&line[..at]).ok()?.split(',');
            fields.next()?.parse::<u32>().ok()?;
            let sequence = fields.next()?.parse::<u64>().ok()?;
            let micros = fields.next()?.parse::<u64>().ok()?;
            Some((sequence, micros, &line[at + 1..]))
        });
        let Some((sequence, micros, text)) = split else { return Some((None, line)) };
        if let Some(last) = self.last {
            self.lost += sequence.saturating_sub(last).saturating_sub(1);
        }
        self.last = Some(sequence);
        Some((Some(micros), text))
    }

    /// The log says that messages were overwritten. How many, the next number tells; without a
    /// number before it, one.
    pub(super) fn overwritten(&mut self) {
        self.line.clear();
        if self.last.is_none() {
            self.lost += 1;
        }
    }

    /// Takes the number of messages that were lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Takes the number of lines since the last call.
    pub(super) fn take_lines(&mut self) -> u64 {
        std::mem::take(&mut self.lines)
    }
}

fn found_in(message: Option<(Option<u64>, &[u8])>, found: &mut impl FnMut(Message)) {
    if let Some((micros, text)) = message
        && nvrm::is_candidate(text)
    {
        found(Message { micros, text: plain(text) });
    }
}

/// Undoes the kernel's `\xNN` and makes one line of several that were printed at once.
fn plain(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| rest.get(..4)).flatten().and_then(|escape| {
            let digits = std::str::from_utf8(escape.strip_prefix(b"\\x")?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    let text = String::from_utf8_lossy(&out).replace("\nNVRM: ", " ");
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(parser: &mut Parser, bytes: &[u8]) -> Vec<(Option<u64>, String)> {
        let mut out = Vec::new();
        parser.feed(bytes, &mut |message| out.push((message.micros, message.text)));
        out
    }

    const LOG: &[u8] = b"6,339,5140900,-;NET: Registered PF_INET protocol family\n\
        3,340,690716,-,caller=T88;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=a\\x5cb, gone\n \
        SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0\n\
        4,341,690720,-;NVRM: API mismatch: the client has the version 1.2, but\\x0aNVRM: this is\\x0a\n\
        NVRM: Xid (PCI:0000:3b:00): 13, bare\n";

    #[test]
    fn messages_are_the_same_however_the_bytes_come() {
        let want = [
            (Some(690_716), "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=a\\b, gone"),
            (Some(690_720), "NVRM: API mismatch: the client has the version 1.2, but this is"),
            (None, "NVRM: Xid (PCI:0000:3b:00): 13, bare"),
        ]
        .map(|(micros, text)| (micros, text.to_owned()));
        for piece in [1, 2, 3, 7, 64, LOG.len()] {
            let mut parser = Parser::default();
            let got: Vec<_> =
                LOG.chunks(piece).flat_map(|bytes| messages(&mut parser, bytes)).collect();
            assert_eq!(got, want, "{piece}");
            assert_eq!((parser.take_lost(), parser.take_lines()), (0, 6));
        }
    }

    #[test]
    fn missing_numbers_are_counted_as_lost() {
        let mut parser = Parser::default();
        parser.overwritten();
        assert_eq!(parser.take_lost(), 1);
        messages(&mut parser, b"6,10,1,-;a\n6,11,1,-;b\n");
        assert_eq!(parser.take_lost(), 0);
        messages(&mut parser, b"6,12,1,-;half of a line");
        parser.overwritten();
        messages(&mut parser, b"6,19,1,-;c\n6,5,1,-;d\n");
        assert_eq!(parser.take_lost(), 7);
    }

    #[test]
    fn line_without_an_end_is_bounded_and_left_out() {
        let mut parser = Parser::default();
        for _ in 0..100 {
            assert!(messages(&mut parser, &[b'x'; 1_000]).is_empty());
            assert!(parser.line.capacity() <= 2 * LINE);
        }
        let got = messages(&mut parser, b"\n6,1,2,-;NVRM: after\n");
        assert_eq!(got, [(Some(2), "NVRM: after".to_owned())]);
    }

    /// Bytes of a generator, most of them such as the format is made of.
    #[test]
    fn arbitrary_bytes_never_panic() {
        const ALPHABET: &[u8] = b"0123456789,;-: \n\\xNVRM: Xid (PCI:)abcdef\xff\x00\xc3";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut parser = Parser::default();
        let mut found = 0;
        for round in 0..2_000 {
            let mut bytes = LOG[..round % LOG.len()].to_vec();
            for _ in 0..round % 97 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pick = usize::try_from(state >> 40).unwrap();
                bytes.push(if pick % 5 == 0 {
                    (pick >> 8).to_le_bytes()[0]
                } else {
                    ALPHABET[pick % ALPHABET.len()]
                });
            }
            for (_, text) in messages(&mut parser, &bytes) {
                nvrm::parse(&text);
                found += 1;
            }
            assert!(parser.line.len() <= LINE);
        }
        assert!(found > 1_000);
    }
}

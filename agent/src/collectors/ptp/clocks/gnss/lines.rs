//! Lines out of a stream, in one buffer that is kept. A line that is longer than the buffer is
//! passed over and counted.

/// gpsd's longest line is 10240 bytes (`GPS_JSON_RESPONSE_MAX`).
const BYTES: usize = 16 << 10;

/// Bytes of the stream that are no whole line yet.
pub(super) struct Lines {
    buffer: Box<[u8]>,
    used: usize,
    /// Within a line that is too long.
    passing_over: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { buffer: vec![0; BYTES].into(), used: 0, passing_over: false }
    }
}

impl Lines {
    /// Where the next bytes go; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.used..]
    }

    /// Says how many bytes were put there.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.buffer.len());
    }

    /// Gives the whole lines to `take`, which says whether it understood them. Returns how many
    /// it did not, with those that were too long.
    pub(super) fn each(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> u64 {
        let (mut start, mut bad) = (0, 0);
        while let Some(end) = self.buffer[start..self.used].iter().position(|b| *b == b'\n') {
            let line = self.buffer[start..start + end].trim_ascii();
            start += end + 1;
            if std::mem::take(&mut self.passing_over) || line.is_empty() {
                continue;
            }
            bad += u64::from(!take(line));
        }
        self.buffer.copy_within(start..self.used, 0);
        self.used -= start;
        if self.used == self.buffer.len() {
            bad += u64::from(!self.passing_over);
            (self.used, self.passing_over) = (0, true);
        }
        bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces and gives the lines and how many were bad.
    fn feed(text: &[u8], piece: usize) -> (Vec<Vec<u8>>, u64) {
        let (mut lines, mut seen, mut bad) = (Lines::default(), Vec::new(), 0);
        for piece in text.chunks(piece) {
            let room = lines.room();
            assert!(room.len() >= piece.len());
            room[..piece.len()].copy_from_slice(piece);
            lines.filled(piece.len());
            bad += lines.each(|line| {
                seen.push(line.to_vec());
                line != b"bad"
            });
        }
        (seen, bad)
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        for piece in 1..12 {
            let (seen, bad) = feed(b"one\r\n\n two \nbad\nrest", piece);
            assert_eq!(seen, [&b"one"[..], b"two", b"bad"], "{piece}");
            assert_eq!(bad, 1);
        }
    }

    #[test]
    fn line_that_is_too_long_is_counted_once_and_the_next_is_read() {
        let long = [vec![b'x'; 3 * BYTES + 5], b"\nnext\n".to_vec()].concat();
        assert_eq!(feed(&long, 1), (vec![b"next".to_vec()], 1));
        assert_eq!(feed(&long, 1024).1, 1);
    }
}

//! A series as one line of block characters. Each cell stands for an equal part of the time and
//! shows the highest sample in it, so that a spike shorter than a cell is still seen; a part
//! without a sample is blank. The scale is the series' own lowest to highest sample.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is kept of a series while its samples stream by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sparkline {
    start_ms: i64,
    end_ms: i64,
    cells: Vec<Option<f64>>,
    samples: usize,
    range: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
    last_ms: i64,
}

impl Sparkline {
    /// An empty line of `width` cells; both ends of the time count.
    pub(super) fn new(start_ms: i64, end_ms: i64, width: usize) -> Self {
        let cells = vec![None; width.max(1)];
        Self { start_ms, end_ms: end_ms.max(start_ms), cells, samples: 0, range: None }
    }

    /// Takes a sample, in any order. NaN says nothing and is skipped.
    pub(super) fn add(&mut self, time_ms: i64, value: f64) {
        if value.is_nan() {
            return;
        }
        self.samples += 1;
        let seen = Range { min: value, max: value, last: value, last_ms: time_ms };
        let range = self.range.get_or_insert(seen);
        range.min = range.min.min(value);
        range.max = range.max.max(value);
        if time_ms >= range.last_ms {
            (range.last, range.last_ms) = (value, time_ms);
        }
        if let Some(cell) = self.cell(time_ms) {
            *cell = Some(cell.map_or(value, |highest| highest.max(value)));
        }
    }

    fn cell(&mut self, time_ms: i64) -> Option<&mut Option<f64>> {
        let span = i128::from(self.end_ms) - i128::from(self.start_ms) + 1;
        let offset = i128::from(time_ms) - i128::from(self.start_ms);
        let width = i128::try_from(self.cells.len()).ok()?;
        self.cells.get_mut(usize::try_from((offset * width).div_euclid(span)).ok()?)
    }

    /// The most cells at which samples in a steady interval leave none blank.
    pub(super) fn dense_width(&self) -> usize {
        self.samples.div_ceil(2)
    }

    /// Lowest, highest and last sample; `None` without samples.
    pub(super) fn range(&self) -> Option<Range> {
        self.range
    }

    /// The line, in at most `width` characters: cells beyond are merged with their neighbours.
    pub(super) fn draw(&self, width: usize) -> String {
        let Some(range) = self.range else { return String::new() };
        let width = width.clamp(1, self.cells.len());
        let mut merged: Vec<Option<f64>> = vec![None; width];
        for (i, cell) in self.cells.iter().enumerate() {
            let into = &mut merged[i * width / self.cells.len()];
            *into = into.iter().chain(cell).copied().reduce(f64::max);
        }
        merged.iter().map(|cell| cell.map_or(' ', |value| block(range, value))).collect()
    }
}

fn block(range: Range, value: f64) -> char {
    let highest = BLOCKS.len() - 1;
    if value <= range.min {
        return BLOCKS[0];
    }
    let height = (value - range.min) / (range.max - range.min) * BLOCKS.len() as f64;
    let index = (0..highest).find(|i| height < (*i as f64) + 1.0);
    BLOCKS[index.unwrap_or(highest)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_blocks() {
        let f = |width: usize, samples: &[(i64, f64)], want: &str| {
            let mut line = Sparkline::new(0, 99, width);
            samples.iter().for_each(|(t, v)| line.add(*t, *v));
            assert_eq!(line.draw(width), want, "{samples:?}");
        };
        let ramp: Vec<_> = (0..8).map(|i| (i * 13, i as f64)).collect();
        f(8, &ramp, "▁▂▃▄▅▆▇█");
        f(4, &[], "");
        f(4, &[(0, 5.0), (99, 5.0)], "▁  ▁");
        f(4, &[(0, 1.0), (10, 9.0), (11, 1.0), (30, 1.0), (60, 5.0)], "█▁▅ ");
        f(2, &[(0, f64::NAN), (99, 1.0)], " ▁");
        f(2, &[(0, 0.0), (99, f64::INFINITY)], "▁█");
        f(2, &[(-5, 1.0), (200, 2.0), (99, 1.0)], " ▁");
    }

    #[test]
    fn narrower_line_keeps_every_spike() {
        let mut line = Sparkline::new(0, 99, 10);
        (0..100).for_each(|t| line.add(t, if t == 55 { 9.0 } else { 0.0 }));
        assert_eq!(line.draw(10), "▁▁▁▁▁█▁▁▁▁");
        assert_eq!(line.draw(3), "▁█▁");
        assert_eq!(line.draw(0), "█");
    }

    #[test]
    fn range_is_that_of_all_samples_and_last_is_last_in_time() {
        let mut line = Sparkline::new(0, 99, 1);
        assert_eq!(line.range(), None);
        for (t, v) in [(50, 2.0), (90, 7.0), (10, -1.0)] {
            line.add(t, v);
        }
        let range = line.range().expect("has samples");
        assert_eq!((range.min, range.max, range.last), (-1.0, 7.0, 7.0));
    }
}

//! Clean series of many kinds, seeded.

pub(super) const PER_DAY: usize = 1440;

/// Marsaglia's xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normal, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

type Next = Box<dyn FnMut(usize, &mut Random) -> f64>;

/// A kind of series: its value at each minute.
pub(super) struct Clean {
    pub(super) name: &'static str,
    pub(super) counter: bool,
    pub(super) next: Next,
}

fn gauge(name: &'static str, next: impl FnMut(usize, &mut Random) -> f64 + 'static) -> Clean {
    Clean { name, counter: false, next: Box::new(next) }
}

fn counter(name: &'static str, mut step: impl FnMut(usize, &mut Random) -> f64 + 'static) -> Clean {
    let mut total = 1e6;
    let next = move |minute: usize, random: &mut Random| {
        total += step(minute, random);
        total
    };
    Clean { name, counter: true, next: Box::new(next) }
}

fn correlated(name: &'static str, share: f64) -> Clean {
    let mut value = 0.0;
    gauge(name, move |_, random| {
        value = share * value + random.normal();
        value
    })
}

pub(super) fn day(minute: usize) -> f64 {
    (minute as f64 / PER_DAY as f64 * std::f64::consts::TAU).sin()
}

/// Bursts that begin at random, about once an hour, last for minutes and differ in size.
fn bursts() -> impl FnMut(usize, &mut Random) -> f64 {
    let (mut left, mut level) = (0, 0.0);
    move |_, random| {
        if left == 0 && random.unit() < 1.0 / 60.0 {
            left = 1 + usize::from(random.unit() < 0.7) * 5;
            level = (1.0 + random.normal()).exp() * 1e7;
        }
        left = usize::saturating_sub(left, 1);
        if left > 0 { level * (0.8 + 0.4 * random.unit()) } else { 0.02 * random.unit() }
    }
}

pub(super) fn kinds() -> Vec<Clean> {
    let mut walk = 0.0;
    vec![
        gauge("constant", |_, _| 3.3e10),
        gauge("white", |_, r| 50.0 + 2.0 * r.normal()),
        correlated("autocorrelated", 0.9),
        correlated("slowly autocorrelated", 0.999),
        gauge("heavy tails", |_, r| 10.0 + r.unit().powf(-0.5)),
        gauge("skewed", |_, r| r.normal().exp()),
        gauge("whole degrees", |t, r| (45.0 + 4.0 * day(t) + r.normal()).round()),
        gauge("small counts", |_, r| (3.0 + 0.5 * r.normal()).round().max(0.0)),
        gauge("rarely one", |_, r| f64::from(u8::from(r.unit() < 0.001))),
        gauge("days and a trend", |t, r| {
            500.0 * (1.2 + day(t)) + 0.02 * t as f64 + 20.0 * r.normal()
        }),
        gauge("working days", |t, r| {
            let busy = (t / PER_DAY) % 7 < 5 && day(t) > 0.0;
            if busy { 80.0 + 5.0 * r.normal() } else { 5.0 + r.normal() }
        }),
        gauge("random walk", move |_, r| {
            walk = f64::clamp(walk + 1e6 * r.normal(), -4e9, 4e9);
            walk
        }),
        counter("steady counter", |_, r| 1.2e6 + 3e4 * r.normal()),
        counter("bursts", bursts()),
    ]
}

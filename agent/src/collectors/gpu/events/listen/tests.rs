use std::collections::VecDeque;
use std::time::Instant;

use fake_nvml::scenario::{DriverEvent, Xid};
use fake_nvml::{Act, Code as Answer, Conditions, Entry, Scenario, ScenarioFile};

use super::super::kinds;
use super::super::queue::What;
use super::thread::{CLOCK_EVENTS, Window};
use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// GPUs behind a library of their own: a copy of the file is another library to the linker.
struct Machine {
    _dir: tempfile::TempDir,
    file: ScenarioFile,
    fake: fake_nvml::Library,
    library: Arc<Library>,
    queue: Arc<Queue>,
    listener: Listener,
    devices: Vec<Device>,
}

/// What came: which GPU, and its kinds or its event (kind, data, GPU instance).
#[derive(Debug, PartialEq)]
enum Heard {
    Listening(usize, u64),
    Event(usize, u64, u64, Option<u32>),
}

impl Machine {
    fn new(scenario: Scenario) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libnvidia-ml.so.1");
        std::fs::copy(fake_nvml::library_path().unwrap(), &path).unwrap();
        let file = ScenarioFile::create(dir.path().join("scenario.toml"), scenario).unwrap();
        let fake = fake_nvml::Library::open(&path).unwrap();
        fake.set_scenario(&file).unwrap();
        let library = Arc::new(Library::open(path.as_os_str()).unwrap());
        let device = |index| {
            let handle = library.handle_by_index(index).unwrap();
            let uuid = Arc::from(format!("GPU-{index}"));
            Device { gpu: Gpu { uuid, address: None }, handle }
        };
        let devices = (0..library.count().unwrap()).map(device).collect();
        let (queue, listener) = (Arc::default(), Listener::default());
        Self { _dir: dir, file, fake, library, queue, listener, devices }
    }

    fn attach(&mut self) {
        self.listener.attach(&self.library, self.devices.clone(), &self.queue);
    }

    /// What comes until there is so much of it.
    fn hear(&self, count: usize) -> Vec<Heard> {
        let (end, mut heard) = (Instant::now() + DEADLINE, Vec::new());
        let index = |gpu: &Gpu| self.devices.iter().position(|d| d.gpu == *gpu).unwrap();
        let mut seen = VecDeque::new();
        while heard.len() < count {
            assert!(Instant::now() < end, "{heard:?}");
            std::thread::yield_now();
            self.queue.take(&mut seen);
            heard.extend(seen.drain(..).map(|seen| match seen.what {
                What::Listening { gpu, kinds } => Heard::Listening(index(&gpu), kinds),
                What::Driver { gpu, kind, data, gpu_instance, .. } => {
                    Heard::Event(index(&gpu), kind, data, gpu_instance)
                }
                other @ What::Kernel { .. } => panic!("{other:?}"),
            }));
        }
        heard
    }

    /// The next event, however many sets were listened with before it.
    fn hear_event(&self) -> Heard {
        loop {
            let mut heard = self.hear(1);
            heard.retain(|heard| matches!(heard, Heard::Event(..)));
            if let Some(event) = heard.pop() {
                return event;
            }
        }
    }

    /// Lets go, and waits for that.
    fn let_go(&mut self) -> bool {
        self.listener.detach();
        self.listener.wait_detached(DEADLINE)
    }

    fn happens(&mut self, entry: Entry) {
        self.file.push(entry).unwrap();
        self.fake.reload().unwrap();
    }

    fn calls(&self, function: &str) -> u64 {
        self.fake.stats().unwrap().calls_of(function)
    }

    fn until_called(&self, function: &str, times: u64) {
        let end = Instant::now() + DEADLINE;
        while self.calls(function) < times {
            assert!(Instant::now() < end, "{function}");
            std::thread::yield_now();
        }
    }
}

fn xid(code: u64) -> Act {
    Act { xid: Some(Xid::Plain(code)), ..Act::default() }
}

fn answers(function: &str, answer: Answer) -> Conditions {
    Conditions { status: [(function.to_owned(), answer)].into(), ..Conditions::default() }
}

fn gpu_of(heard: &Heard) -> usize {
    match heard {
        Heard::Listening(gpu, _) | Heard::Event(gpu, ..) => *gpu,
    }
}

#[test]
fn gpus_that_cannot_be_listened_to_do_not_keep_the_others_from_it() {
    for answer in [Answer::NOT_SUPPORTED, Answer::UNKNOWN, Answer::GPU_IS_LOST] {
        let mut machine = Machine::new(Scenario::of("h100-sxm", 3));
        machine.happens(Entry::gpu(1).set(answers("RegisterEvents", answer)));
        machine.attach();
        // A set that was spoilt is made anew with the GPU before it.
        let listening = machine.hear(if answer == Answer::UNKNOWN { 3 } else { 2 });
        assert!(listening.iter().all(|heard| gpu_of(heard) != 1), "{listening:?}");
        machine.happens(Entry::all().act(xid(31)));
        let heard = machine.hear(2);
        let want = [0, 2].map(|gpu| Heard::Event(gpu, kinds::XID, 31, None));
        assert_eq!(heard, want, "{answer:?}");
        assert!(machine.let_go());
    }
}

#[test]
fn events_come_with_their_instance_and_kinds_that_are_not_known() {
    let mut machine = Machine::new(Scenario::of("h100-sxm", 1));
    machine.attach();
    let [Heard::Listening(0, told)] = machine.hear(1)[..] else { panic!() };
    assert_eq!(told & (kinds::XID | kinds::PERFORMANCE_STATE), kinds::XID);
    let instance = Xid::Instance { code: 94, gpu_instance: 2, compute_instance: 0 };
    machine.happens(Entry::gpu(0).act(Act { xid: Some(instance), ..Act::default() }));
    for bit in [0x2, told & !(told >> 1)] {
        let event = DriverEvent { bit, data: 7, ..DriverEvent::default() };
        machine.happens(Entry::gpu(0).act(Act { event: Some(event), ..Act::default() }));
    }
    assert_eq!(
        machine.hear(2)[..2],
        [Heard::Event(0, kinds::XID, 94, Some(2)), Heard::Event(0, 0x2, 7, None)]
    );
}

#[test]
fn letting_go_frees_the_set_and_the_library() {
    let mut machine = Machine::new(Scenario::of("h100-sxm", 2));
    machine.attach();
    machine.hear(2);
    // Attaching again is no second ear.
    machine.attach();
    machine.hear(2);
    machine.happens(Entry::gpu(1).act(xid(48)));
    assert_eq!(machine.hear(1), [Heard::Event(1, kinds::XID, 48, None)]);
    assert!(machine.let_go() && machine.let_go());
    machine.until_called("nvmlEventSetFree", 2);
    assert_eq!(machine.fake.stats().unwrap().event_sets, 0);
    let end = Instant::now() + DEADLINE;
    while Arc::strong_count(&machine.library) > 1 {
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
    assert!(machine.queue.dropped() == 0 && machine.fake.stats().unwrap().stale_handles == 0);
}

#[test]
fn driver_that_hangs_is_left_behind_and_says_nothing_afterwards() {
    let mut machine = Machine::new(Scenario::of("h100-sxm", 1));
    let hang = Conditions { hang: vec!["EventSetCreate".into()], ..Conditions::default() };
    machine.happens(Entry::all().set(hang));
    machine.attach();
    machine.listener.detach();
    assert!(!machine.listener.wait_detached(Duration::from_millis(50)));
    machine.listener.detach();
    assert!(!machine.listener.wait_detached(Duration::ZERO), "it hangs all the same");
    machine.file.calm().unwrap();
    machine.fake.reload().unwrap();
    machine.until_called("nvmlEventSetFree", 1);
    assert!(machine.listener.wait_detached(DEADLINE));
    machine.attach();
    assert!(matches!(machine.hear(1)[..], [Heard::Listening(0, _)]));
    machine.happens(Entry::gpu(0).act(xid(13)));
    assert_eq!(machine.hear(1), [Heard::Event(0, kinds::XID, 13, None)]);
}

#[test]
fn threads_that_hang_are_few_and_listening_waits_for_them() {
    let mut machine = Machine::new(Scenario::of("h100-sxm", 1));
    let hang = Conditions { hang: vec!["EventSetCreate".into()], ..Conditions::default() };
    machine.happens(Entry::all().set(hang));
    for _ in 0..2 * THREADS {
        machine.attach();
        assert!(machine.listener.threads.load(Ordering::Relaxed) <= THREADS);
    }
    assert!(machine.listener.waiting.is_some());
    machine.file.calm().unwrap();
    machine.fake.reload().unwrap();
    let end = Instant::now() + DEADLINE;
    while machine.listener.waiting.is_some() {
        assert!(Instant::now() < end);
        machine.listener.start_waiting(&machine.queue);
        std::thread::yield_now();
    }
    assert!(matches!(machine.hear(1)[..], [Heard::Listening(0, _)]));
}

#[test]
fn failing_driver_is_asked_rarely_and_heard_again_when_it_recovers() {
    for answer in [Answer::UNKNOWN, Answer::GPU_IS_LOST, Answer::TIMEOUT] {
        let mut machine = Machine::new(Scenario::of("h100-sxm", 1));
        machine.attach();
        machine.hear(1);
        let since = Instant::now();
        machine.happens(Entry::all().set(answers("EventSetWait_v2", answer)));
        let waits = machine.calls("nvmlEventSetWait_v2");
        machine.until_called("nvmlEventSetWait_v2", waits + 2);
        // At least a pause of a second lies between two answers.
        assert!(since.elapsed() >= Duration::from_millis(900), "{answer:?}");
        // Counted while it still fails: nobody knows how soon after that it is asked again.
        let sets = machine.calls("nvmlEventSetCreate");
        machine.file.calm().unwrap();
        machine.fake.reload().unwrap();
        if answer != Answer::TIMEOUT {
            machine.until_called("nvmlEventSetCreate", sets + 1);
        }
        let waits = machine.calls("nvmlEventSetWait_v2");
        machine.until_called("nvmlEventSetWait_v2", waits + 1);
        machine.happens(Entry::gpu(0).act(xid(119)));
        assert_eq!(machine.hear_event(), Heard::Event(0, kinds::XID, 119, None), "{answer:?}");
    }
}

#[test]
fn driver_without_events_is_left_alone() {
    let scenario = Scenario { omit: vec!["EventSetCreate".into()], ..Scenario::of("t4", 1) };
    let mut machine = Machine::new(scenario);
    machine.attach();
    machine.until_called("nvmlEventSetCreate", 1);
    assert!(machine.let_go());
    assert_eq!(machine.calls("nvmlEventSetCreate"), 1);
}

#[test]
fn only_many_clock_events_in_a_short_time_are_noise() {
    let (mut window, start) = (Window::default(), Instant::now());
    let slow: Vec<_> = (0..1_000).map(|n| window.count(start + Duration::from_secs(n))).collect();
    assert!(slow.iter().all(|count| *count <= CLOCK_EVENTS));
    let mut window = Window::default();
    let fast = (0..1_000).map(|n| window.count(start + Duration::from_millis(n)));
    assert!(fast.last().unwrap() > CLOCK_EVENTS);
}

#[test]
fn too_many_clock_events_are_no_longer_asked_for() {
    let mut machine = Machine::new(Scenario::of("h100-sxm", 1));
    machine.attach();
    let [Heard::Listening(0, told)] = machine.hear(1)[..] else { panic!() };
    assert_ne!(told & kinds::CLOCK, 0);
    let clock = DriverEvent { bit: kinds::CLOCK, ..DriverEvent::default() };
    let clock = Act { event: Some(clock), ..Act::default() };
    let burst = (0..=CLOCK_EVENTS).map(|_| Entry::gpu(0).act(clock.clone()));
    machine.file.edit(|scenario| scenario.timeline.extend(burst)).unwrap();
    machine.fake.reload().unwrap();
    let heard = machine.hear(CLOCK_EVENTS as usize + 2);
    assert_eq!(heard.last(), Some(&Heard::Listening(0, told & !kinds::CLOCK)));
}

#[test]
fn pause_ends_when_stopped() {
    let control = Control::default();
    assert!(!control.pause(Duration::from_millis(1)));
    std::thread::scope(|scope| {
        scope.spawn(|| control.stop());
        assert!(control.pause(Duration::from_secs(3_600)));
    });
    assert!(control.is_stopped());
}

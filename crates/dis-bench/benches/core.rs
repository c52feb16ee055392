//! What the scheduler core costs by itself: no threads, no switch, a clock that is a number.
//!
//! An operation is what a host does for one scheduling event: *yield* is `schedule(Leave::Yield)` and `switched`
//! (account for the time run, queue the task, pick the next, say until when); *unpark+block* is `unpark` of a blocked task
//! and `schedule(Leave::Block)` of the running one, so two events; *job* is `schedule(Leave::NextPeriod)` of a
//! Realtime task while others are released by the timer queue.

use std::cell::Cell as StdCell;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use dis_bench::child::{Values, parameter, value};
use dis_bench::{Candidate, Options, Report, Runner, measure};
use dis_core::api::{BlockReason, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use lock_api::RawMutex;

/// What a task runs between two events, by the core's clock.
const RUN_NS: u64 = 40;

/// The lock of a host that has one thread.
struct NoLock(StdCell<bool>);

// SAFETY: the benchmark has one thread; the flag refuses a second holder all the same.
unsafe impl RawMutex for NoLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = NoLock(StdCell::new(false));
    type GuardMarker = lock_api::GuardNoSend;
    #[inline]
    fn lock(&self) {
        assert!(self.try_lock(), "locked twice");
    }
    #[inline]
    fn try_lock(&self) -> bool {
        !self.0.replace(true)
    }
    #[inline]
    unsafe fn unlock(&self) {
        self.0.set(false);
    }
}

/// The uncontended path of the runtime's lock: a compare-exchange and a swap.
struct AtomicLock(AtomicU32);

// SAFETY: only the compare-exchange from 0 to 1 succeeds in locking.
unsafe impl RawMutex for AtomicLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = AtomicLock(AtomicU32::new(0));
    type GuardMarker = lock_api::GuardNoSend;
    #[inline]
    fn lock(&self) {
        while !self.try_lock() {
            std::hint::spin_loop();
        }
    }
    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            std::thread::yield_now();
        }
    }
}

/// One CPU with `ready` tasks of one class besides the running one.
struct Rig<R> {
    core: Executor<u64, R>,
    now: u64,
    running: TaskId,
    /// When to ask again, as the last decision said.
    until: u64,
    /// Blocked tasks, woken in turn.
    blocked: std::collections::VecDeque<TaskId>,
}

fn intent(class: QueueType, ready: u64, what: What) -> Intent {
    match class {
        QueueType::System => Intent::system(),
        // Jobs of a microsecond, together 90 % of the CPU.
        QueueType::Realtime if what == What::Job => {
            let period = (ready + 1) * 112 / 100 + 1;
            Intent::realtime(period, period, 1)
        }
        // Together half of the CPU, whatever their number.
        QueueType::Realtime => Intent::realtime(1_000_000, 1_000_000, (500_000 / (ready + 1)).max(1)),
        QueueType::Interactive => Intent::interactive(2_000),
        QueueType::Batch => Intent::batch(),
        QueueType::Background => Intent::background(),
    }
}

impl<R: RawMutex> Rig<R> {
    fn new(case: &Case, ready: u64) -> Self {
        let Case { class, policy, what, mixed } = *case;
        let mut modules = SchedulerRegistry::with_builtins();
        if let Some(name) = policy {
            modules.set_active(class, name).expect("a built-in policy");
        }
        let core = Executor::with_modules(Config { admission: false, ..Config::new(1) }, &modules)
            .expect("a valid configuration");
        let mut now = 1_000;
        for i in 0..=ready {
            now += RUN_NS;
            let intent = if mixed { Intent::interactive(500 * (1 + i * 7 % 16)) } else { intent(class, ready, what) };
            let spec = TaskSpec::new(String::new(), intent, 0);
            let _ = core.spawn(Timestamp::from_nanos(now), Some(0), spec).expect("room for the task");
        }
        let mut rig = Rig { core, now, running: TaskId::INVALID, until: 0, blocked: Default::default() };
        rig.event(Leave::Ask);
        if what == What::WakeBlock {
            // A few blocked tasks in rotation; the others stay ready.
            for _ in 0..ready.min(64) / 2 {
                rig.blocked.push_back(rig.running);
                rig.event(Leave::Block(BlockReason::Event, None));
            }
        }
        rig
    }

    #[inline]
    fn event(&mut self, leave: Leave) {
        self.now += RUN_NS;
        let decision = self.core.schedule(0, Timestamp::from_nanos(self.now), leave).expect("a legal question");
        self.core.switched(0);
        self.running = decision.next.map_or(TaskId::INVALID, |next| next.id);
        self.until = decision.until.map_or(self.now, Timestamp::as_nanos);
        black_box(&decision);
    }

    /// A window that callgrind can recognise.
    #[inline(never)]
    fn callgrind_window(&mut self, what: What, ops: u64) {
        match what {
            What::Yield => (0..ops).for_each(|_| self.event(Leave::Yield)),
            What::Job => {
                for _ in 0..ops {
                    // A job takes a microsecond.
                    self.now += 1_000 - RUN_NS;
                    self.event(Leave::NextPeriod);
                    while self.running == TaskId::INVALID {
                        self.now = self.until;
                        self.event(Leave::Ask);
                    }
                }
            }
            What::WakeBlock => {
                for _ in 0..ops {
                    if let Some(id) = self.blocked.pop_front() {
                        self.now += RUN_NS;
                        let _ = black_box(self.core.unpark(Timestamp::from_nanos(self.now), id));
                    }
                    self.blocked.push_back(self.running);
                    self.event(Leave::Block(BlockReason::Event, None));
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Yield,
    WakeBlock,
    Job,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            What::Yield => "yield",
            What::WakeBlock => "unpark+block",
            What::Job => "job",
        }
    }
}

/// One line of the table.
struct Case {
    class: QueueType,
    policy: Option<&'static str>,
    what: What,
    /// Tasks differ, so that their deadlines do not arrive in ascending order.
    mixed: bool,
}

impl Case {
    fn name(&self) -> String {
        let policy = self.policy.map_or(String::new(), |p| format!(" ({p})"));
        let mixed = if self.mixed { ", 16 targets," } else { "" };
        format!("{}{policy}{mixed} {}", self.class, self.what.name())
    }
}

/// A case with its rig, and at one size a second one with the runtime's kind of lock.
type Rigs<'a> = (&'a Case, Rig<NoLock>, Option<Rig<AtomicLock>>);

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for what in [What::Yield, What::WakeBlock] {
        cases.extend(QueueType::ALL.map(|class| Case { class, policy: None, what, mixed: false }));
    }
    cases.push(Case { class: QueueType::Interactive, policy: None, what: What::Yield, mixed: true });
    cases.push(Case { class: QueueType::Realtime, policy: None, what: What::Job, mixed: false });
    for name in ["round-robin", "priority", "edf", "fair"] {
        cases.push(Case { class: QueueType::Batch, policy: Some(name), what: What::Yield, mixed: false });
    }
    cases
}

const SIZES: [u64; 3] = [10, 1_000, 100_000];

/// Operations a round: enough for the clock, and once around all tasks.
const OPS: u64 = 20_000;

fn round<R: RawMutex>(rig: &mut Rig<R>, what: What) -> f64 {
    measure::per_op(OPS, || rig.callgrind_window(what, OPS))
}

/// The same in a process of its own, for callgrind: case, size, operations.
fn count(parameters: &[String]) -> Values {
    let case = &cases()[parameter(parameters, 0) as usize];
    let mut rig = Rig::<NoLock>::new(case, parameter(parameters, 1));
    rig.callgrind_window(case.what, parameter(parameters, 2));
    value("done", 1.0)
}

/// Instructions an operation, if valgrind is installed. Two runs of different length; the difference is the operations'.
fn instructions(case: usize, size: u64) -> Option<f64> {
    let collected = |ops: u64| {
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*callgrind_window*"])
            .arg(std::env::current_exe().ok()?)
            .args(["--child", "count", &case.to_string(), &size.to_string(), &ops.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let line = text.lines().find_map(|line| line.split_once("Collected :"))?.1;
        line.trim().parse::<f64>().ok()
    };
    Some((collected(2_000)? - collected(1_000)?) / 1_000.0)
}

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), &[Candidate { name: "count", run: count }]);
    let mut report = Report::begin(
        "core",
        "core alone, ns per event (unpark+block: two events), median (best) over the rounds",
        &options,
    );
    let cases = cases();
    let chosen: Vec<(usize, &Case)> = cases.iter().enumerate().filter(|(_, c)| options.wants(&c.name())).collect();
    for size in SIZES {
        let column = format!("{size} ready");
        // All cases of a size are alive together and take turns.
        let mut rigs: Vec<Rigs> = chosen
            .iter()
            .map(|(_, c)| {
                let locked = (size == 1_000).then(|| Rig::new(c, size));
                (*c, Rig::new(c, size), locked)
            })
            .collect();
        for turn in 0..options.rounds(40) + 1 {
            for (case, plain, locked) in &mut rigs {
                let (plain, locked) = (round(plain, case.what), locked.as_mut().map(|rig| round(rig, case.what)));
                // The first turn warms up.
                if turn > 0 {
                    report.push(&case.name(), &column, plain);
                    if let Some(ns) = locked {
                        report.push(&case.name(), &format!("{size} ready, locked"), ns);
                    }
                }
            }
        }
        for (case, ..) in &rigs {
            if case.policy.is_none() && case.what != What::Job {
                let ops = if case.what == What::WakeBlock { 2.0 } else { 1.0 };
                let value = report.median(&case.name(), &column).map(|v| v / ops);
                report.check(&format!("{} per event, {size} ready, ns", case.name()), value, 50.0);
            }
        }
    }
    for (index, case) in &chosen {
        match instructions(*index, 1_000) {
            Some(n) => report.push(&case.name(), "instructions", n),
            None => report.say(&case.name(), "instructions", "no valgrind"),
        }
    }
    report.finish(&options);
}

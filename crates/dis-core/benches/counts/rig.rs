//! The operations, each with a machine of one CPU in the state that it needs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;

use dis_core::api::{BlockReason, Duration, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Bandwidth, Domain, DomainSpec, Quota, Right};
use dis_core::scheduler::Config;
use lock_api::RawMutex;

/// The lock of a host that has one thread.
struct NoLock(Cell<bool>);

// SAFETY: the benchmark has one thread; the flag refuses a second holder all the same.
unsafe impl RawMutex for NoLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = NoLock(Cell::new(false));
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

/// Tasks that are ready beside the one that runs.
const READY: u64 = 1_000;
/// What a task runs between two events, ns.
const RUN: u64 = 40;

/// An operation and how to make its window.
pub struct Operation {
    pub name: &'static str,
    pub prepare: fn() -> Window,
}

/// What is repeated.
pub struct Window {
    rig: Rig,
    once: fn(&mut Rig),
}

impl Window {
    /// The part that callgrind counts.
    #[inline(never)]
    pub fn counted_window(&mut self, times: u64) {
        for _ in 0..times {
            (self.once)(&mut self.rig);
        }
    }
}

/// One CPU, and what the operations need.
struct Rig {
    core: Executor<u64, NoLock>,
    now: u64,
    running: TaskId,
    until: Option<Timestamp>,
    /// Blocked tasks, woken in turn.
    blocked: VecDeque<TaskId>,
    domain: Option<Domain>,
    intent: Intent,
}

fn intent(class: QueueType) -> Intent {
    match class {
        QueueType::System => Intent::system(),
        // Together half of the CPU.
        QueueType::Realtime => Intent::realtime(1_000_000, 1_000_000, 500_000 / (READY + 1)),
        QueueType::Interactive => Intent::interactive(2_000),
        QueueType::Batch => Intent::batch(),
        QueueType::Background => Intent::background(),
    }
}

impl Rig {
    fn new(class: QueueType, spec: Option<DomainSpec>) -> Rig {
        let core = Executor::new(Config { admission: false, ..Config::new(1) }).expect("a valid configuration");
        let domain = spec.map(|spec| core.create_domain(None, spec).expect("a domain"));
        let (running, blocked) = (TaskId::INVALID, VecDeque::new());
        let mut rig = Rig { core, now: 1_000, running, until: None, blocked, domain, intent: intent(class) };
        for _ in 0..=READY {
            rig.spawn();
        }
        rig.ask(Leave::Ask);
        rig
    }

    /// With some tasks that are blocked, and as many fewer ready.
    fn with_blocked(class: QueueType, spec: Option<DomainSpec>) -> Rig {
        let mut rig = Rig::new(class, spec);
        for _ in 0..32 {
            rig.blocked.push_back(rig.running);
            rig.ask(Leave::Block(BlockReason::Event, None));
        }
        rig
    }

    fn at(&mut self) -> Timestamp {
        self.now += RUN;
        Timestamp::from_nanos(self.now)
    }

    fn spawn(&mut self) {
        let at = self.at();
        let spec = TaskSpec::new(String::new(), self.intent.clone(), 0);
        let spec = match &self.domain {
            Some(domain) => spec.in_domain(domain),
            None => spec,
        };
        let _ = self.core.spawn(at, Some(0), spec).expect("room for the task");
    }

    #[inline]
    fn ask(&mut self, leave: Leave) {
        let at = self.at();
        let decision = self.core.schedule(0, at, leave).expect("a legal question");
        self.core.switched(0);
        self.running = decision.next.map_or(TaskId::INVALID, |next| next.id);
        self.until = decision.until;
        black_box(&decision);
    }

    fn unpark_and_block(&mut self) {
        if let Some(id) = self.blocked.pop_front() {
            let at = self.at();
            let _ = black_box(self.core.unpark(at, id));
        }
        self.blocked.push_back(self.running);
        self.ask(Leave::Block(BlockReason::Event, None));
    }

    /// As above, but the call is a task's, which its domain must allow.
    fn unpark_as_task_and_block(&mut self) {
        if let Some(id) = self.blocked.pop_front() {
            let at = self.at();
            let _ = black_box(self.core.as_task(self.running).and_then(|subject| subject.unpark(at, id)));
        }
        self.blocked.push_back(self.running);
        self.ask(Leave::Block(BlockReason::Event, None));
    }

    /// Time passes until the CPU must ask, which is at the end of a slice.
    fn preempt(&mut self) {
        let until = self.until.expect("others wait, so slices end");
        self.now = until.as_nanos() - RUN;
        self.ask(Leave::Ask);
    }

    fn spawn_and_exit(&mut self) {
        self.spawn();
        self.ask(Leave::Exit(0));
    }

    /// A call and its reply, of a server that waits.
    fn call_and_reply(&mut self) {
        let (at, server) = (self.at(), self.blocked.front().copied().expect("a server"));
        let called = self.core.call(0, server, None, || at).expect("it waits to be called");
        self.core.switched(0);
        black_box(&called);
        let replied = self.core.reply(0, || at).expect("it has been called");
        self.core.switched(0);
        black_box(&replied);
    }

    fn check(&mut self) {
        let at = self.at();
        // What speaks for the domain is made once by whoever checks often; that is counted with the calls above.
        let subject = self.domain.as_ref().map(|domain| self.core.as_domain(domain));
        let subject = subject.as_ref().expect("a domain");
        for _ in 0..CHECKS {
            let _ = black_box(black_box(subject).check(black_box(at), black_box(Right::Wake)));
        }
    }

    fn check_at_the_root(&mut self) {
        let at = self.at();
        let subject = self.core.as_task(self.running).expect("a task runs");
        for _ in 0..CHECKS {
            let _ = black_box(black_box(&subject).check(black_box(at), black_box(Right::Wake)));
        }
    }

    fn check_on(&mut self) {
        let at = self.at();
        let subject = self.domain.as_ref().map(|domain| self.core.as_domain(domain));
        let subject = subject.as_ref().expect("a domain");
        for _ in 0..CHECKS {
            let _ = black_box(black_box(subject).check_on(black_box(at), black_box(Right::Wake), self.running));
        }
    }
}

/// Checks are too short to be counted one by one.
const CHECKS: u64 = 100;

fn window(rig: Rig, once: fn(&mut Rig)) -> Window {
    Window { rig, once }
}

fn yields(class: QueueType, spec: Option<DomainSpec>) -> Window {
    window(Rig::new(class, spec), |rig| rig.ask(Leave::Yield))
}

fn blocks(class: QueueType, spec: Option<DomainSpec>) -> Window {
    window(Rig::with_blocked(class, spec), Rig::unpark_and_block)
}

fn calls(class: QueueType) -> Window {
    let mut rig = Rig::new(class, None);
    rig.blocked.push_back(rig.running);
    rig.ask(Leave::Block(BlockReason::Receive, None));
    window(rig, Rig::call_and_reply)
}

fn plain() -> Option<DomainSpec> {
    Some(DomainSpec::new("counted"))
}

/// A quota that is never used up here.
fn limited() -> Option<DomainSpec> {
    let cpu = Some(Bandwidth { budget: Duration::from_millis(100), period: Duration::from_millis(100) });
    Some(DomainSpec::new("counted").with_quota(Quota { cpu, ..Quota::default() }))
}

macro_rules! operations {
    ($($name:literal: $window:expr;)*) => {
        /// All operations, in the order of the table.
        pub const OPERATIONS: &[Operation] = &[$(Operation { name: $name, prepare: || $window }),*];
    };
}

use QueueType::{Background, Batch, Interactive, Realtime, System};

operations! {
    "yield, system": yields(System, None);
    "yield, realtime": yields(Realtime, None);
    "yield, interactive": yields(Interactive, None);
    "yield, batch": yields(Batch, None);
    "yield, background": yields(Background, None);
    "yield, batch, in a domain": yields(Batch, plain());
    "yield, batch, in a domain with a CPU quota": yields(Batch, limited());
    "unpark and block, system": blocks(System, None);
    "unpark and block, realtime": blocks(Realtime, None);
    "unpark and block, interactive": blocks(Interactive, None);
    "unpark and block, batch": blocks(Batch, None);
    "unpark and block, background": blocks(Background, None);
    "unpark and block, batch, in a domain": blocks(Batch, plain());
    "unpark by a task and block, batch": window(Rig::with_blocked(Batch, None), Rig::unpark_as_task_and_block);
    "unpark by a task and block, batch, in a domain":
        window(Rig::with_blocked(Batch, plain()), Rig::unpark_as_task_and_block);
    "call and reply, interactive": calls(Interactive);
    "call and reply, batch": calls(Batch);
    "preempt, interactive": window(Rig::new(Interactive, None), Rig::preempt);
    "preempt, batch": window(Rig::new(Batch, None), Rig::preempt);
    "spawn and exit, system": window(Rig::new(System, None), Rig::spawn_and_exit);
    "spawn and exit, interactive": window(Rig::new(Interactive, None), Rig::spawn_and_exit);
    "spawn and exit, batch": window(Rig::new(Batch, None), Rig::spawn_and_exit);
    "spawn and exit, batch, in a domain": window(Rig::new(Batch, plain()), Rig::spawn_and_exit);
    "100 checks of a right": window(Rig::new(Batch, plain()), Rig::check);
    "100 checks of a right, at the root": window(Rig::new(Batch, None), Rig::check_at_the_root);
    "100 checks of a right on a task": window(Rig::new(Batch, plain()), Rig::check_on);
}

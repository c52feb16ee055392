//! A host whose CPUs are threads of the shuttle model checker, and whose time stands still but for what a wake-up says: a
//! CPU that must ask again by an instant does so right then. No other timer ever helps, so a task that is forgotten, or a
//! wake-up that is lost, is a deadlock that shuttle reports.
#![allow(dead_code)]

use dis_core::api::{Duration, SchedResult, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Decision, Executor, Kill, Leave, Wake};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;
use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// When the models begin.
pub const NOW: Timestamp = Timestamp::ZERO;

/// A spin lock whose every step shuttle sees.
pub struct Spin(AtomicBool);

// SAFETY: only whoever changed `false` to `true` holds the lock, until it stores `false`.
unsafe impl lock_api::RawMutex for Spin {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Spin = Spin(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Lets others go first, for a while that differs from run to run.
pub fn dawdle() {
    let steps = shuttle::rand::thread_rng().gen_range(0..60);
    (0..steps).for_each(|_| thread::yield_now());
}

/// A call or a reply, which the core may refuse.
pub type Exchange = Box<dyn FnOnce(&Executor<u32, Spin>, usize, Timestamp) -> SchedResult<Decision<u32>>>;

/// What a task does when it has the CPU.
pub enum Act {
    Leave(Leave),
    /// It calls or replies. If that is refused, it yields.
    Exchange(Exchange),
    /// It ends, and unparks the task of this number.
    ExitAndUnpark(u32),
    /// It computes until it is interrupted.
    Compute,
    /// It computes until the CPU has to ask again, for so long that its budget is used up.
    UseUp,
    /// It goes on.
    Again,
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    bell: Condvar,
}

pub struct World {
    pub x: Executor<u32, Spin>,
    bells: Vec<Bell>,
    /// Whose registers are in some CPU.
    loaded: Vec<AtomicBool>,
    /// Tasks that have yet to end.
    left: AtomicUsize,
    now: AtomicU64,
    ids: Mutex<Vec<TaskId>>,
    /// Time goes on to what idle CPUs wait for.
    has_timers: bool,
    /// An idle CPU does so on a stack of its own, as a kernel's does; else the last task's registers stay loaded until somebody must have them.
    idles_apart: bool,
}

impl World {
    pub fn new(cpus: usize, tasks: usize) -> Arc<World> {
        Self::with(Config::new(cpus), tasks, false, false)
    }

    /// A world in which time goes on to what idle CPUs wait for.
    pub fn with_timers(config: Config, tasks: usize) -> Arc<World> {
        Self::with(config, tasks, true, false)
    }

    /// A world in which servers can be called from another CPU once theirs is idle.
    pub fn idle_apart(cpus: usize, tasks: usize) -> Arc<World> {
        Self::with(Config::new(cpus), tasks, false, true)
    }

    fn with(config: Config, tasks: usize, has_timers: bool, idles_apart: bool) -> Arc<World> {
        let cpus = config.cpus;
        Arc::new(World {
            has_timers,
            idles_apart,
            x: Executor::new(config).unwrap(),
            bells: (0..cpus).map(|_| Bell::default()).collect(),
            loaded: (0..tasks).map(|_| AtomicBool::new(false)).collect(),
            left: AtomicUsize::new(tasks),
            now: AtomicU64::new(NOW.as_nanos()),
            ids: Mutex::new(vec![TaskId::INVALID; tasks]),
        })
    }

    pub fn spawn(&self, from: Option<usize>, number: u32, intent: Intent) -> TaskId {
        let spec = TaskSpec::new("", intent, number).joinable();
        let (id, wake) = self.x.spawn(self.now(), from, spec).unwrap();
        self.ids.lock().unwrap()[number as usize] = id;
        self.obey(wake);
        id
    }

    pub fn id(&self, number: u32) -> TaskId {
        self.ids.lock().unwrap()[number as usize]
    }

    pub fn is_loaded(&self, number: u32) -> bool {
        self.loaded[number as usize].load(Ordering::SeqCst)
    }

    /// The time; it never goes back.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::SeqCst))
    }

    /// Time goes on to `until`.
    pub fn pass(&self, until: Timestamp) {
        self.now.fetch_max(until.as_nanos(), Ordering::SeqCst);
    }

    pub fn obey(&self, wake: Wake) {
        if let Some(until) = wake.until {
            self.pass(until);
        }
        if wake.interrupt || wake.until.is_some() {
            self.ring(wake.cpu);
        }
    }

    pub fn unpark(&self, number: u32) {
        if let Ok(wake) = self.x.unpark(self.now(), self.id(number)) {
            self.obey(wake);
        }
    }

    /// Kills a task; its stack may be freed from the moment that this answers `Done`.
    pub fn kill(&self, number: u32) {
        match self.x.kill(self.now(), self.id(number)) {
            Ok(Kill::Done(joiner)) => {
                assert!(!self.is_loaded(number), "it has ended, and its registers are in a CPU");
                self.count_killed();
                if let Some(cpu) = joiner {
                    self.ring(cpu);
                }
            }
            Ok(Kill::Pending(cpu)) => self.ring(cpu),
            Err(_) => {}
        }
    }

    pub fn ring(&self, cpu: usize) {
        *self.bells[cpu].rung.lock().unwrap() = true;
        self.bells[cpu].bell.notify_all();
    }

    /// A task has ended.
    pub fn ended(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            (0..self.bells.len()).for_each(|cpu| self.ring(cpu));
        }
    }

    fn answered(&self, cpu: usize) -> bool {
        std::mem::take(&mut *self.bells[cpu].rung.lock().unwrap())
    }

    fn wait(&self, cpu: usize) {
        let bell = &self.bells[cpu];
        let mut rung = bell.rung.lock().unwrap();
        while !*rung {
            rung = bell.bell.wait(rung).unwrap();
        }
        *rung = false;
    }

    /// A CPU, until all tasks have ended. `before` is called before each decision, and what it answers is handed to
    /// `act` with the number of the task that has the CPU.
    pub fn cpu<T>(&self, cpu: usize, before: impl Fn() -> T, act: impl Fn(usize, u32, &T) -> Act) {
        let mut leave = Leave::Ask;
        let mut live: Option<u32> = None;
        let (mut waiter, mut exchange) = (None, None::<Exchange>);
        while self.left.load(Ordering::SeqCst) > 0 {
            // For schedules with priorities: what a task spins for is done by somebody else.
            thread::yield_now();
            let told = before();
            let exits = matches!(leave, Leave::Exit(_));
            let now = self.now();
            let decision = match (exchange.take(), waiter.take()) {
                // Refused, it lets others go first, as time stands still: whoever it waits for may be ready on this CPU.
                (Some(exchange), _) => exchange(&self.x, cpu, now).or_else(|_| self.x.schedule(cpu, now, Leave::Yield)),
                (None, Some(waiter)) => self.x.exit_and_unpark(cpu, now, 0, self.id(waiter)),
                (None, None) => self.x.schedule(cpu, now, leave),
            };
            let decision = decision.expect("a CPU that has saved");
            leave = Leave::Ask;
            if let Some(other) = decision.interrupt {
                self.ring(other);
            }
            let switch = decision.next.is_some_and(|next| next.switch);
            let saves = decision.next.is_none() && live.is_some() && self.idles_apart;
            if switch || decision.vacate || saves {
                if let Some(old) = live.take() {
                    self.loaded[old as usize].store(false, Ordering::SeqCst);
                }
                if let Some(next) = decision.next {
                    let elsewhere = self.loaded[next.context as usize].swap(true, Ordering::SeqCst);
                    assert!(!elsewhere, "task {} is loaded twice", next.context);
                    live = Some(next.context);
                }
                if self.x.switched(cpu) {
                    self.ring(cpu);
                }
            }
            if exits {
                self.ended();
            }
            self.count_killed();
            let soon = decision.until.is_some_and(|until| until <= now + Duration::from_nanos(1));
            let Some(next) = decision.next else {
                if !soon && self.left.load(Ordering::SeqCst) > 0 {
                    match decision.until.filter(|_| self.has_timers) {
                        Some(until) => self.pass(until),
                        None => self.wait(cpu),
                    }
                }
                continue;
            };
            assert_eq!(Some(next.context), live);
            while !soon && !self.answered(cpu) {
                match act(cpu, next.context, &told) {
                    Act::Leave(how) => {
                        leave = how;
                        break;
                    }
                    Act::Exchange(how) => {
                        exchange = Some(how);
                        break;
                    }
                    Act::ExitAndUnpark(number) => {
                        (leave, waiter) = (Leave::Exit(0), Some(number));
                        break;
                    }
                    Act::Compute => {
                        if self.left.load(Ordering::SeqCst) > 0 {
                            self.wait(cpu);
                        }
                        break;
                    }
                    Act::UseUp => {
                        decision.until.into_iter().for_each(|until| self.pass(until));
                        break;
                    }
                    Act::Again => {}
                }
            }
        }
    }

    /// Tasks that have been killed end when their CPUs ask; the host sees zombies.
    fn count_killed(&self) {
        for number in 0..self.loaded.len() as u32 {
            let id = self.id(number);
            if self.x.with_task(id, |task| task.exit_status()) == Ok(Some(dis_core::api::ExitStatus::Killed))
                && self.x.detach(id) == Ok(())
            {
                self.ended();
            }
        }
    }
}

/// Of the schedules, so that a commit always gets the same verdict. `SHUTTLE_RANDOM_SEED` sets another.
const SEED: u64 = 1;

/// Runs a model many times, with random schedules and with such of few preemptions. `DIS_MODELS=n` runs it n times as
/// often.
pub fn check(share: usize, model: fn()) {
    let scale: usize = share * std::env::var("DIS_MODELS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut config = shuttle::Config::new();
    config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
    config.failure_persistence = shuttle::FailurePersistence::Print;
    let random = shuttle::scheduler::RandomScheduler::new_from_seed(SEED, 3_000 * scale);
    shuttle::Runner::new(random, config.clone()).run(model);
    let preempting = shuttle::scheduler::PctScheduler::new_from_seed(SEED, 3, 1_500 * scale);
    shuttle::Runner::new(preempting, config).run(model);
}

/// Negative control: the model, from which a step has been taken away, must fail in one of many runs.
pub fn check_fails(fault: impl std::fmt::Debug, model: impl Fn() + Send + Sync + 'static) {
    const MOST: usize = 100_000;
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    let random = shuttle::scheduler::RandomScheduler::new_from_seed(SEED, MOST);
    let runner = shuttle::Runner::new(random, config);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runner.run(model))).is_err();
    assert!(failed, "{fault:?} goes unnoticed in {MOST} runs");
}

/// Starts a thread for each CPU and waits for all.
pub fn run<T: 'static>(
    world: &Arc<World>,
    cpus: usize,
    before: impl Fn() -> T + Clone + Send + 'static,
    act: impl Fn(usize, u32, &T) -> Act + Clone + Send + 'static,
) {
    let threads: Vec<_> = (0..cpus)
        .map(|cpu| {
            let (world, before, act) = (world.clone(), before.clone(), act.clone());
            thread::spawn(move || world.cpu(cpu, before, act))
        })
        .collect();
    for cpu in threads {
        cpu.join().unwrap();
    }
}

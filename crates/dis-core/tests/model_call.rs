//! Calls that end in every way at once with wake-ups from elsewhere; and where a CPU has no room for one more task: with this feature it
//! has for 64.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskSpec, TaskState, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;
use model::{Act, NOW, Spin, World, check, check_fails, dawdle, run};
use shuttle::rand::Rng;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use shuttle::thread;

const UNTIL: Timestamp = Timestamp::from_nanos(1_000);

/// A task that runs on `cpu`, where none does.
fn begin(x: &Executor<u32, Spin>, cpu: usize) -> TaskId {
    let intent = Intent::batch().with_affinity(CpuMask::single(cpu));
    let (id, _) = x.spawn(NOW, None, TaskSpec::new("", intent, 0)).unwrap();
    x.schedule(cpu, NOW, Leave::Ask).unwrap();
    x.switched(cpu);
    id
}

#[test]
fn a_server_for_which_there_is_no_room_keeps_its_time_out() {
    let model = || {
        let x: Executor<u32, Spin> = Executor::new(Config::new(2)).unwrap();
        let server = begin(&x, 0);
        x.schedule(0, NOW, Leave::Block(BlockReason::Receive, Some(UNTIL))).unwrap();
        x.switched(0);
        let _ = x.set_affinity(NOW, server, CpuMask::ALL).unwrap();
        begin(&x, 1);
        let spec = || TaskSpec::new("", Intent::batch().with_affinity(CpuMask::single(1)), 0);
        let full = (0..).find_map(|_| x.spawn(NOW, None, spec()).err());
        assert_eq!(full, Some(SchedError::ResourceExhausted));
        assert_eq!(x.call(1, server, None, || NOW).map(|_| ()), Err(SchedError::ResourceExhausted));
        assert_eq!((x.cpu_of(server), x.wake_time(server)), (Ok(0), Some(UNTIL)));
        let decision = x.schedule(0, UNTIL, Leave::Ask).unwrap();
        assert_eq!(decision.next.map(|next| next.id), Some(server));
    };
    shuttle::check_random(model, 1);
}

const CALLER: u32 = 0;
const SERVER: u32 = 1;

/// Values of `Endpoint::phase`, as in the runtime's `sync::endpoint`.
const IDLE: u32 = 0;
const CALLED: u32 = 1;
const SERVING: u32 = 2;
const ANSWERED: u32 = 3;
const ABANDONED: u32 = 4;

/// What befalls the caller from another CPU, or the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The call's time is over.
    TimeOut,
    Kill,
    /// It is to give up, and is told until it has.
    Cancel,
    /// The server is to end: it is told, and woken once.
    Tell,
}

/// A step taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The server announces its answer by a plain store before the core has taken its reply.
    AnswersFirst,
    /// Who wakes the caller does not.
    Unwoken,
}

struct Endpoint {
    phase: AtomicU32,
    /// Whether the server has been called since the caller went on last.
    called: AtomicBool,
    rounds: AtomicU32,
    serves: AtomicBool,
    works: AtomicBool,
    note: AtomicBool,
    signal: AtomicBool,
    struck: AtomicBool,
    fault: Fault,
    blow: Blow,
}

impl Endpoint {
    fn change(&self, from: u32, to: u32) -> bool {
        self.phase.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// The caller calls twice, then waits for a signal.
    fn caller(self: &Arc<Self>, server: TaskId) -> Act {
        if self.called.swap(false, SeqCst) {
            self.rounds.fetch_add(1, SeqCst);
            let came = self.phase.load(SeqCst) == ANSWERED;
            let given_up = !came && (self.change(CALLED, IDLE) || self.change(SERVING, ABANDONED));
            assert!(came || self.blow != Blow::Tell, "a call that nothing befalls ends with a reply");
            if !given_up {
                assert_eq!(self.phase.swap(IDLE, SeqCst), ANSWERED);
            }
        }
        if self.rounds.load(SeqCst) == 2 {
            return if self.signal.load(SeqCst) { Act::Leave(Leave::Exit(0)) } else { Act::Leave(EVENT) };
        }
        if self.phase.load(SeqCst) != IDLE {
            return Act::Leave(Leave::Yield);
        }
        let (own, until) = (self.clone(), (self.blow == Blow::TimeOut).then_some(UNTIL));
        Act::Exchange(Box::new(move |x, cpu, now| {
            let called = x.call(cpu, server, until, || now);
            match called {
                Ok(_) => {
                    own.phase.store(CALLED, SeqCst);
                    own.called.store(true, SeqCst);
                }
                Err(_) if x.with_task(server, |task| task.state()) == Ok(TaskState::Zombie) => {
                    own.rounds.store(2, SeqCst)
                }
                Err(_) => {}
            }
            called
        }))
    }

    fn server(self: &Arc<Self>) -> Act {
        if self.change(CALLED, SERVING) {
            self.serves.store(true, SeqCst);
            self.works.store(shuttle::rand::thread_rng().gen_bool(0.5), SeqCst);
        }
        if self.serves.load(SeqCst) {
            // Whoever computes until it is interrupted must be.
            if self.works.swap(false, SeqCst) {
                let ends = self.blow == Blow::Tell || self.struck.load(SeqCst);
                return if ends { Act::Leave(Leave::Yield) } else { Act::Compute };
            }
            self.serves.store(false, SeqCst);
            let own = self.clone();
            return Act::Exchange(Box::new(move |x, cpu, now| {
                let announce = || assert_eq!(own.phase.swap(ANSWERED, SeqCst), SERVING, "the caller is still there");
                if own.fault == Fault::AnswersFirst {
                    announce();
                }
                let replied = x.reply(cpu, || now);
                if own.fault != Fault::AnswersFirst {
                    match &replied {
                        Ok(_) => announce(),
                        Err(_) if own.change(SERVING, ANSWERED) => {}
                        Err(_) => own.phase.store(IDLE, SeqCst),
                    }
                }
                replied
            }));
        }
        if self.note.load(SeqCst) {
            return Act::Leave(Leave::Exit(0));
        }
        Act::Leave(Leave::Block(BlockReason::Receive, None))
    }
}

const EVENT: Leave = Leave::Block(BlockReason::Event, None);

fn has_ended(world: &World, number: u32) -> bool {
    let state = world.x.with_task(world.id(number), |task| task.state());
    state.is_err() || state == Ok(TaskState::Zombie)
}

/// A caller and a server at home on different CPUs. A third CPU wakes the caller, and a fourth deals the blow.
fn calls(blow: Blow, fault: Fault) {
    let world = World::idle_apart(2, 2);
    let endpoint = Arc::new(Endpoint {
        phase: AtomicU32::new(IDLE),
        called: AtomicBool::new(false),
        rounds: AtomicU32::new(0),
        serves: AtomicBool::new(false),
        works: AtomicBool::new(false),
        note: AtomicBool::new(false),
        signal: AtomicBool::new(false),
        struck: AtomicBool::new(false),
        fault,
        blow,
    });
    let server = world.spawn(Some(1), SERVER, Intent::batch());
    world.spawn(Some(0), CALLER, Intent::batch());
    let outside = |f: fn(&World, &Endpoint)| {
        let (world, endpoint) = (world.clone(), endpoint.clone());
        thread::spawn(move || f(&world, &endpoint))
    };
    let wakes = outside(|world, endpoint| {
        // At any time, or about when the caller is to wait for it.
        let late = shuttle::rand::thread_rng().gen_bool(0.5);
        while late && endpoint.rounds.load(SeqCst) < 2 && !has_ended(world, CALLER) {
            thread::yield_now();
        }
        dawdle();
        endpoint.signal.store(true, SeqCst);
        if endpoint.fault != Fault::Unwoken {
            world.unpark(CALLER);
        }
    });
    let strikes = outside(|world, endpoint| {
        dawdle();
        endpoint.struck.store(true, SeqCst);
        match endpoint.blow {
            Blow::TimeOut => {
                world.pass(UNTIL);
                (0..2).for_each(|cpu| world.ring(cpu));
            }
            Blow::Kill => world.kill(CALLER),
            Blow::Cancel => {
                while !has_ended(world, CALLER) {
                    if let Ok(wake) = world.x.cancel_call(world.id(CALLER)) {
                        world.obey(wake);
                    }
                    thread::yield_now();
                }
            }
            Blow::Tell => {
                endpoint.note.store(true, SeqCst);
                return world.unpark(SERVER);
            }
        }
        while !has_ended(world, CALLER) {
            thread::yield_now();
        }
        endpoint.note.store(true, SeqCst);
        world.unpark(SERVER);
    });
    let own = endpoint.clone();
    run(&world, 2, || (), move |_, number, ()| if number == CALLER { own.caller(server) } else { own.server() });
    wakes.join().unwrap();
    strikes.join().unwrap();
}

#[test]
fn a_time_out_and_a_wake_up_from_elsewhere() {
    check(1, || calls(Blow::TimeOut, Fault::None));
}

#[test]
fn a_kill_and_a_wake_up_from_elsewhere() {
    check(1, || calls(Blow::Kill, Fault::None));
}

#[test]
fn a_cancellation_and_a_wake_up_from_elsewhere() {
    check(1, || calls(Blow::Cancel, Fault::None));
}

/// "Look whether there is something to do, then reply and wait to be called" loses no wake-up that falls between the two.
#[test]
fn a_wake_up_for_a_server_that_replies() {
    check(1, || calls(Blow::Tell, Fault::None));
}

#[test]
fn each_step_is_needed() {
    for (blow, fault) in
        [(Blow::TimeOut, Fault::AnswersFirst), (Blow::Cancel, Fault::AnswersFirst), (Blow::TimeOut, Fault::Unwoken)]
    {
        check_fails((blow, fault), move || calls(blow, fault));
    }
}

//! A model of hand-overs and kicks, over shuttle: no kick is lost, wherever the worker is or goes meanwhile.
//!
//! The protocol is written down a second time here, step by step, because the real one consists of system calls and signals:
//!
//! | here | mirrors |
//! |---|---|
//! | `Model::kick`, `Model::sleep` | `worker.rs`, the functions of the same names |
//! | `Model::post`, `Model::await_order` | `klt.rs`, `Klt::post` and `Klt::await_order` |
//! | `Model::ask` | `dispatch.rs`, `begin_question` and the core's answer |
//! | `Model::turn` | `dispatch.rs`, `turn`, `give_up`, `next_order` |
//! | `Model::leave_runtime` | `dispatch.rs`, `leave_runtime` and `leave_slowly` |
//! | `Model::interrupted` | `signal.rs`, `handler`, and `dispatch.rs`, `preempt` |
//! | `Futex`, `Klt::signal` | the kernel: futex words, `tgkill` to one thread |
//!
//! There are no timers: a worker that misses the last kick sleeps or computes for ever, which shuttle reports as a
//! deadlock. Each of the [`Fault`]s takes away one step on which the argument in `Worker::kick` rests; the model fails then.
//! Shuttle's atomics are sequentially consistent, as are the real ones where it matters.
//! In optimised builds only: it takes a minute otherwise.
#![cfg(not(debug_assertions))]

#[path = "common/shuttled.rs"]
mod shuttled;

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use shuttled::{Futex, check, check_fails, dawdle, random};

const KLTS: usize = 3;
const KICKERS: usize = 2;
const KICKS: usize = 2;

const BUSY: usize = 0;
const ASLEEP: usize = 1;
const ROUSED: usize = 2;

/// What is left out or turned round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Who leaves the runtime does not look at `pending` again.
    NoCheckOnLeaving,
    /// The handler does not look at `pending` again before it returns to the task.
    NoCheckAfterPreemption,
    /// Who goes to sleep looks at `pending` before it says that it sleeps, not after.
    NoCheckBeforeSleep,
    /// The new carrier is entered after it was told.
    CarrierTooLate,
    /// The kicker reads where the worker is before it sets `pending`.
    PendingTooLate,
    /// `pending` is cleared after the question.
    ClearedTooLate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    Quit,
}

struct Klt {
    mail: Futex,
    order: Mutex<Order>,
    in_runtime: AtomicBool,
    has_role: AtomicBool,
    /// A signal is pending; who computes sleeps on it.
    signal: Futex,
}

struct Model {
    fault: Fault,
    klts: Vec<Klt>,
    // The worker.
    pending: AtomicBool,
    carrier: AtomicUsize,
    idle: Futex,
    /// The core: how many reasons to decide anew there have been.
    reasons: AtomicUsize,
    /// How many there will be.
    all_reasons: usize,
}

enum Decision {
    Continue,
    Hand(usize),
    Idle,
    /// All reasons have been seen.
    End,
}

/// Whether the KLT goes on, or its thread ends.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Model {
    fn new(fault: Fault, all_reasons: usize) -> Model {
        let klt = |_| Klt {
            mail: Futex::new(0),
            order: Mutex::new(Order::Quit),
            in_runtime: AtomicBool::new(true),
            has_role: AtomicBool::new(false),
            signal: Futex::new(0),
        };
        Model {
            fault,
            klts: (0..KLTS).map(klt).collect(),
            pending: AtomicBool::new(false),
            carrier: AtomicUsize::new(0),
            idle: Futex::new(BUSY),
            reasons: AtomicUsize::new(0),
            all_reasons,
        }
    }

    fn tgkill(&self, klt: usize) {
        self.klts[klt].signal.word.store(1, SeqCst);
        self.klts[klt].signal.wake();
    }

    fn kick(&self) {
        let too_late = self.fault == Fault::PendingTooLate;
        if !too_late {
            self.pending.store(true, SeqCst);
        }
        let idle = self.idle.word.compare_exchange(ASLEEP, ROUSED, SeqCst, SeqCst);
        let carrier = self.carrier.load(SeqCst);
        if too_late {
            dawdle(30);
            self.pending.store(true, SeqCst);
        }
        match idle {
            Ok(_) => self.idle.wake(),
            Err(ROUSED) => {}
            Err(_) => self.tgkill(carrier),
        }
    }

    fn sleep(&self) {
        let mut look = true;
        if self.fault == Fault::NoCheckBeforeSleep {
            look = false;
            if self.pending.load(SeqCst) {
                return;
            }
            dawdle(8);
        }
        self.idle.word.store(ASLEEP, SeqCst);
        while !(look && self.pending.load(SeqCst)) && self.idle.word.load(SeqCst) == ASLEEP {
            self.idle.wait(ASLEEP);
        }
        self.idle.word.store(BUSY, SeqCst);
    }

    fn post(&self, to: usize) {
        let late = self.fault == Fault::CarrierTooLate;
        if !late {
            self.carrier.store(to, SeqCst);
        }
        *self.klts[to].order.lock().unwrap() = Order::Run;
        self.mail(to);
        if late {
            dawdle(200);
            self.carrier.store(to, SeqCst);
        }
    }

    fn mail(&self, to: usize) {
        assert_eq!(self.klts[to].mail.word.swap(1, SeqCst), 0, "two orders at once");
        self.klts[to].mail.wake();
    }

    fn await_order(&self, me: usize) -> Then {
        let klt = &self.klts[me];
        while klt.mail.word.load(SeqCst) == 0 {
            klt.mail.wait(0);
        }
        klt.mail.word.store(0, SeqCst);
        let order = *klt.order.lock().unwrap();
        klt.has_role.store(order == Order::Run, SeqCst);
        // A stale signal is delivered while it waits or now: to the handler, which returns at once.
        self.handler(me);
        if order == Order::Run { Then::GoOn } else { Then::End }
    }

    /// The core sees all reasons up to now. What it decides does not matter.
    fn ask(&self, me: usize) -> Decision {
        let late = self.fault == Fault::ClearedTooLate;
        if !late && self.pending.load(SeqCst) {
            self.pending.store(false, SeqCst);
        }
        let seen = self.reasons.load(SeqCst);
        dawdle(8);
        if late && self.pending.load(SeqCst) {
            self.pending.store(false, SeqCst);
        }
        self.handler(me);
        if seen == self.all_reasons {
            return Decision::End;
        }
        match random(6) {
            0 | 1 => Decision::Continue,
            2 => Decision::Idle,
            _ => Decision::Hand((me + 1 + random(KLTS - 1)) % KLTS),
        }
    }

    fn turn(&self, me: usize) -> Then {
        loop {
            match self.ask(me) {
                Decision::Continue => return Then::GoOn,
                Decision::Idle => self.sleep(),
                Decision::Hand(other) => {
                    self.klts[me].has_role.store(false, SeqCst);
                    self.post(other);
                    return self.await_order(me);
                }
                Decision::End => {
                    self.klts[me].has_role.store(false, SeqCst);
                    for other in (0..KLTS).filter(|other| *other != me) {
                        *self.klts[other].order.lock().unwrap() = Order::Quit;
                        self.mail(other);
                    }
                    return Then::End;
                }
            }
        }
    }

    /// Delivers a pending signal. Inside the runtime the handler has nothing to do. Must be called there.
    fn handler(&self, me: usize) {
        assert!(self.klts[me].in_runtime.load(SeqCst));
        self.klts[me].signal.word.store(0, SeqCst);
    }

    fn enter(&self, me: usize) {
        self.klts[me].in_runtime.store(true, SeqCst);
    }

    fn lower_flag(&self, me: usize) {
        self.handler(me);
        self.klts[me].in_runtime.store(false, SeqCst);
    }

    fn leave_runtime(&self, me: usize) -> Then {
        self.lower_flag(me);
        while self.fault != Fault::NoCheckOnLeaving && self.pending.load(SeqCst) {
            self.enter(me);
            if self.turn(me) == Then::End {
                return Then::End;
            }
            self.lower_flag(me);
        }
        Then::GoOn
    }

    /// The handler, on top of a task.
    fn interrupted(&self, me: usize) -> Then {
        let klt = &self.klts[me];
        if klt.in_runtime.load(SeqCst) || !klt.has_role.load(SeqCst) {
            return Then::GoOn;
        }
        while self.pending.load(SeqCst) {
            self.enter(me);
            if self.turn(me) == Then::End {
                return Then::End;
            }
            self.lower_flag(me);
            if self.fault == Fault::NoCheckAfterPreemption {
                break;
            }
        }
        Then::GoOn
    }

    /// A KLT with one task: it makes a few calls that may wait, between which it computes, and then computes for ever.
    fn life(&self, me: usize) {
        if me == 0 {
            self.post(0);
        }
        if self.await_order(me) == Then::End || self.leave_runtime(me) == Then::End {
            return;
        }
        for _ in 0..random(3) {
            if self.klts[me].signal.word.swap(0, SeqCst) == 1 && self.interrupted(me) == Then::End {
                return;
            }
            self.enter(me);
            if self.turn(me) == Then::End || self.leave_runtime(me) == Then::End {
                return;
            }
        }
        loop {
            self.klts[me].signal.wait(0);
            if self.klts[me].signal.word.swap(0, SeqCst) == 1 && self.interrupted(me) == Then::End {
                return;
            }
        }
    }
}

fn scenario(fault: Fault) {
    let kicks = 1 + random(KICKS);
    let model = Arc::new(Model::new(fault, KICKERS * kicks));
    let mut threads: Vec<_> = (0..KLTS)
        .map(|me| {
            let model = model.clone();
            thread::spawn(move || model.life(me))
        })
        .collect();
    for _ in 0..KICKERS {
        let model = model.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..kicks {
                dawdle(30);
                // As in a wake-up: the core learns of the reason, then the worker is told.
                model.reasons.fetch_add(1, SeqCst);
                model.kick();
            }
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn no_kick_is_lost() {
    check(5_000, || scenario(Fault::None));
}

/// The model tells a protocol that works from one that does not.
#[test]
fn every_step_is_needed() {
    let faults = [
        Fault::NoCheckOnLeaving,
        Fault::NoCheckAfterPreemption,
        Fault::NoCheckBeforeSleep,
        Fault::CarrierTooLate,
        Fault::PendingTooLate,
        Fault::ClearedTooLate,
    ];
    for fault in faults {
        check_fails(fault, move || scenario(fault));
    }
}

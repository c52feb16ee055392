//! Run-queue cases of Zircon's `lib/sched` (zircon/kernel/lib/sched/run-queue-tests.cc; read in github.com/misttech/mist-os),
//! restated. A thread there has a period, a firm capacity in each, and a weight in what the firm ones leave; here it is a
//! Realtime task. Where our answer differs, the test says why; `docs/golden-schedules.md` has the table.

mod common;

use common::at;
use common::lock::Lock;
use common::machine::{Machine, Op::*};
use common::ms;
use dis_core::api::{BlockReason, Duration, SchedError, TaskId, TaskSpec};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

/// A unit of time of the cases, ns.
const UNIT: u64 = 1_000_000;

/// One CPU that is asked by hand. Names its tasks A, B, C in the order in which they are spawned.
struct Cpu {
    x: Executor<u32, Lock>,
    ids: Vec<TaskId>,
}

impl Cpu {
    /// Tasks of (period, capacity, start). All of a CPU may be reserved, as in the source.
    fn new(tasks: &[(u64, u64, u64)]) -> Cpu {
        let mut config = Config::new(1);
        // The window is so short that no share of it is a nanosecond.
        (config.limits.realtime, config.limits.system, config.limits.window) = (1_000, 1, Duration::from_nanos(999));
        let mut cpu = Cpu { x: Executor::new(config).unwrap(), ids: Vec::new() };
        for &(period, capacity, start) in tasks {
            cpu.spawn(0, period, capacity, start).expect("admitted");
        }
        cpu
    }

    fn spawn(&mut self, now: u64, period: u64, capacity: u64, start: u64) -> Result<(), SchedError> {
        let intent = Intent::realtime(period * 1_000, period * 1_000, capacity * 1_000);
        let name = self.ids.len() as u32;
        let spec = TaskSpec { start: Some(at(start * UNIT)), ..TaskSpec::new("", intent, name) };
        self.ids.push(self.x.spawn(at(now * UNIT), None, spec)?.0);
        Ok(())
    }

    /// Who runs at `now`, and until when at most: `A7`, or `-10` for nobody until 10, `-` for nobody for ever.
    fn ask(&self, now: u64, leave: Leave) -> String {
        let decision = self.x.schedule(0, at(now * UNIT), leave).unwrap();
        self.x.switched(0);
        let who = decision.next.map_or('-', |next| char::from(b'A' + next.context as u8));
        let until = decision.until.map_or(String::new(), |t| (t.as_nanos() / UNIT).to_string());
        format!("{who}{until}")
    }

    /// Asks whenever an answer has run out, and answers who ran until when.
    fn run(&self, from: u64, to: u64) -> String {
        let (mut now, mut seen) = (from, Vec::<String>::new());
        while now < to {
            let answer = self.ask(now, Leave::Ask);
            now = answer[1..].parse().unwrap_or(to).min(to);
            match seen.last_mut() {
                Some(last) if last[..1] == answer[..1] => *last = format!("{}{now}", &answer[..1]),
                _ => seen.push(format!("{}{now}", &answer[..1])),
            }
        }
        seen.join(" ")
    }
}

#[test]
fn z1_nobody_until_the_first_start() {
    assert_eq!(Cpu::new(&[]).ask(0, Leave::Ask), "-");
    assert_eq!(Cpu::new(&[(10, 5, 10), (10, 2, 12), (15, 3, 14)]).ask(0, Leave::Ask), "-10");
}

#[test]
fn z2_the_rest_of_a_capacity() {
    for (ran, answer) in [(0, "A10"), (3, "A7"), (1, "A9")] {
        let cpu = Cpu::new(&[(10, 5, 0)]);
        if ran > 0 {
            // It runs for so long, and wakes up at 5 with what is left.
            assert_eq!(cpu.ask(0, Leave::Ask), "A5");
            cpu.ask(ran, Leave::Sleep(at(5 * UNIT)));
        }
        // Half of its capacity or less is left of half of its period: it keeps both. Else a new period begins, with more
        // capacity than in the source (Abeni and Buttazzo's rule).
        let ours = if ran == 1 { "A10" } else { answer };
        assert_eq!(cpu.ask(5, Leave::Ask), ours, "{ran}");
    }
}

/// Utilisation 1.4: admission refuses B, as it must. A alone goes on in its next period, as in the source.
#[test]
fn z3_a_full_period_is_followed_by_the_next() {
    let mut cpu = Cpu::new(&[(5, 5, 0)]);
    assert_eq!(cpu.spawn(0, 10, 2, 10), Err(SchedError::NoCpu));
    assert_eq!(cpu.ask(0, Leave::Ask), "A5");
    assert_eq!(cpu.ask(5, Leave::Ask), "A10");
}

/// Equal ends: the source takes the earlier start, we the lower id.
#[test]
fn z4_equal_deadlines() {
    assert_eq!(Cpu::new(&[(15, 2, 0), (10, 5, 5)]).ask(5, Leave::Ask), "A7");
    let by_id = Cpu::new(&[(10, 5, 5), (15, 2, 0)]);
    assert_eq!(by_id.ask(5, Leave::Ask), "A10", "the later start has the lower id");
}

#[test]
fn z5_the_start_of_one_that_ends_earlier() {
    let cpu = Cpu::new(&[(10, 5, 0), (5, 1, 1)]);
    assert_eq!(cpu.ask(0, Leave::Ask), "A1");
    assert_eq!(cpu.ask(1, Leave::Ask), "B2");
}

/// The source moves whoever's period has passed to the next one before it chooses, so that C goes first; what was not used
/// is lost. Here a job keeps its deadline until it is finished: A and B are late, and late ones go first. (With its own
/// capacities, 7 of 10, 3 of 5 and 3 of 4, the set is refused.)
#[test]
fn z6_periods_that_have_passed() {
    let mut refused = Cpu::new(&[(10, 7, 0)]);
    assert_eq!(refused.spawn(0, 5, 3, 5), Err(SchedError::NoCpu));
    let cpu = Cpu::new(&[(10, 2, 0), (5, 1, 5), (4, 1, 10)]);
    assert_eq!(cpu.run(10, 14), "A12 B13 C14");
}

/// Both end at 20. In the source B has started earlier; here A, which ran for 10 with a capacity of 5, has none at all.
#[test]
fn z7_asked_too_late() {
    let cpu = Cpu::new(&[(10, 5, 0), (15, 3, 5)]);
    assert_eq!(cpu.ask(0, Leave::Ask), "A5");
    assert_eq!(cpu.ask(10, Leave::Ask), "B13");
}

/// Flexible threads share their period by weight, in slices of their shares. Ours share by weight too, in slices of 10 ms
/// each: whoever has twice the weight has twice as many.
#[test]
fn z8_flexible_threads_share_by_weight() {
    let mut m = Machine::new(1);
    let tasks = [192, 128, 192].map(|priority| {
        let task = m.spawn(Intent::batch(), &[]);
        m.call(task, |x, now, id| x.set_priority(now, id, priority)).unwrap();
        task
    });
    m.run_until(ms(400));
    m.reconcile();
    for period in 0..10 {
        let ran = tasks.map(|task| m.actors[task].ran_between(ms(period * 40), ms(period * 40 + 40)));
        assert_eq!(ran, [ms(10), ms(20), ms(10)], "capacities 1, 2, 1 of 4 in each period");
    }
}

/// A's flexible part has no room, and ours has no such part: the same schedule. At 5, A's next period begins and the CPU asks
/// once more; equal deadlines do not preempt.
#[test]
fn z9_no_room_for_the_flexible_part() {
    assert_eq!(Cpu::new(&[(5, 1, 0), (10, 8, 0)]).run(0, 10), "A1 B9 A10");
}

/// Here the source gives A one unit more of each period, by its weight. A Realtime task has its capacity and no more; a Batch
/// task with a reservation has both, though not in the same order: the reservation's window is 10 ms for all.
#[test]
fn z10_room_for_the_flexible_part() {
    assert_eq!(Cpu::new(&[(5, 1, 0), (10, 6, 0)]).run(0, 10), "A1 B7 A8 -10");
    let mut m = Machine::new(1);
    let a = m.spawn(Intent::batch().with_cpu_share(200, 0), &[]);
    let b = m.spawn(Intent::realtime(10_000, 10_000, 6_000), &[Run(ms(6)), NextPeriod]);
    m.run_until(ms(100));
    m.reconcile();
    for period in 0..10 {
        let ran = [a, b].map(|task| m.actors[task].ran_between(ms(period * 10), ms(period * 10 + 10)));
        assert_eq!(ran, [ms(4), ms(6)], "2 of each 5, and 6 of each 10");
    }
}

/// While A is blocked, its firm demand is kept for it: B has no more than its own. From 10 on B has all in the source, as it
/// is flexible too; here it is stopped at 16.
#[test]
fn z11_a_blocked_thread_keeps_its_demand() {
    let cpu = Cpu::new(&[(10, 4, 0), (10, 6, 0)]);
    assert_eq!(cpu.ask(0, Leave::Ask), "A4");
    assert_eq!(cpu.ask(2, Leave::Block(BlockReason::Event, None)), "B8");
    assert_eq!(cpu.ask(8, Leave::Ask), "-10");
    assert_eq!(cpu.ask(10, Leave::Ask), "B16");
}

/// A wakes up within its period and keeps what is left. The source lets it go first, as the two are equal but for their
/// addresses; here equal deadlines do not preempt, so B goes on. Both have what they need by 10.
#[test]
fn z12_a_thread_that_wakes_keeps_its_period() {
    let cpu = Cpu::new(&[(10, 4, 0), (10, 6, 0)]);
    assert_eq!(cpu.ask(0, Leave::Ask), "A4");
    assert_eq!(cpu.ask(2, Leave::Block(BlockReason::Event, None)), "B8");
    let _ = cpu.x.unpark(at(4 * UNIT), cpu.ids[0]).unwrap();
    assert_eq!(cpu.run(4, 10), "B8 A10");
}

/// The source asks again at 5, when the blocked A's period ends and its demand is free; here B's budget is its own from the
/// start, so one question is enough. The schedule is the same.
#[test]
fn z13_a_blocked_thread_whose_period_ends() {
    let cpu = Cpu::new(&[(5, 2, 0), (10, 6, 0)]);
    assert_eq!(cpu.ask(0, Leave::Ask), "A2");
    assert_eq!(cpu.ask(1, Leave::Block(BlockReason::Event, None)), "B7");
    assert_eq!(cpu.run(1, 7), "B7");
}

/// All that was to be had is used up: the next periods adjoin the last ones.
#[test]
fn z14_the_next_periods() {
    let cpu = Cpu::new(&[(10, 5, 0), (10, 2, 1), (15, 3, 2)]);
    assert_eq!(cpu.run(0, 10), "A5 B7 C10");
    assert_eq!(cpu.ask(10, Leave::Ask), "A11", "until B's next period begins");
    cpu.ask(17, Leave::Ask);
    let periods = [0, 1, 2].map(|task| {
        let period = cpu.x.with_task(cpu.ids[task], |t| [t.budget_start().expect("a budget"), t.urgency().deadline]);
        period.unwrap().map(|t| t.as_nanos() / UNIT)
    });
    assert_eq!(periods, [[10, 20], [11, 21], [17, 32]]);
}

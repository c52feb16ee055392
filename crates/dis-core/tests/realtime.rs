//! Realtime: admission, budgets, releases, deadlines.

mod common;

use common::machine::{Machine, Op::*};
use common::{at, ms, ns, us};
use dis_core::admission::{Assignment, RejectReason, Verdict};
use dis_core::api::{BlockReason, CpuMask, SchedError, TaskSpec, TaskState, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::scheduler::{Config, Urgency};

/// Times in ms.
fn realtime(period: u64, deadline: u64, wcet: u64) -> Intent {
    Intent::realtime(period * 1_000, deadline * 1_000, wcet * 1_000)
}

fn misses(m: &Machine, task: usize) -> u64 {
    m.task(task, |t| t.stats.deadline_misses)
}

#[test]
fn an_overrun_hurts_only_itself() {
    let mut m = Machine::new(1);
    let bad = m.spawn(realtime(10, 10, 4), &[Run(ms(7)), NextPeriod]);
    let good = m.spawn(realtime(10, 10, 5), &[Run(ms(5)), NextPeriod]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert_eq!(misses(&m, good), 0);
    assert!(misses(&m, bad) > 0 && m.task(bad, |t| t.stats.overruns) > 0);
    assert!(m.actors[bad].cpu_time <= ms(400));
    assert_eq!(m.actors[good].cpu_time, ms(500));
}

/// A job that arrives later is released later, with the deadline that follows; one that arrives too early waits for the period.
#[test]
fn a_sporadic_job_is_released_when_it_arrives_but_not_within_a_period() {
    for (next, released) in [(15, 17), (9, 11), (3, 10), (0, 10)] {
        let mut m = Machine::new(1);
        let task = m.spawn(realtime(10, 8, 4), &[Run(ms(2)), NextJob(ms(next)), Run(ms(3)), NextPeriod]);
        m.run_until(ms(released) - 1);
        assert_eq!(m.actors[task].cpu_time, ms(2), "{next}");
        m.run_until(ms(released + 1));
        assert_eq!(m.task(task, |t| t.urgency().deadline), at(ms(released + 8)), "{next}");
        m.run_until(ms(released + 3));
        assert_eq!(m.actors[task].cpu_time, ms(5), "{next}");
        assert_eq!((misses(&m, task), m.task(task, |t| t.stats.overruns)), (0, 0));
        m.reconcile();
    }
    // Arrivals without a pause: 4 of each 10 ms, and an honest neighbour loses nothing.
    let mut m = Machine::new(1);
    let eager = m.spawn(realtime(10, 10, 4), &[Run(ms(4)), NextJob(0)]);
    let other = m.spawn(realtime(10, 10, 5), &[Run(ms(5)), NextPeriod]);
    m.run_until(ms(1_000));
    assert_eq!((m.actors[eager].cpu_time, m.actors[other].cpu_time), (ms(400), ms(500)));
    assert_eq!((misses(&m, eager), misses(&m, other)), (0, 0));
}

/// Whoever waits for a lock keeps deadline and budget, as its holder runs in its place; whoever sleeps may not keep both.
#[test]
fn a_wait_for_a_lock_does_not_postpone_a_deadline() {
    for (wait, deadline) in [(BlockFor(BlockReason::Mutex, ms(5)), 10), (Sleep(ms(5)), 16)] {
        let mut m = Machine::new(1);
        let task = m.spawn(realtime(10, 10, 4), &[Run(ms(1)), wait, Run(ms(2)), NextPeriod]);
        m.run_until(ms(7));
        assert_eq!(m.task(task, |t| t.urgency().deadline), at(ms(deadline)));
    }
    // Once its deadline has passed, it is as late as anybody: a new period, so that it does not go before all others.
    let mut m = Machine::new(1);
    let task = m.spawn(realtime(10, 8, 4), &[Run(ms(1)), BlockFor(BlockReason::Mutex, ms(8)), Run(ms(2)), NextPeriod]);
    m.run_until(us(9_500));
    assert_eq!(m.task(task, |t| t.urgency().deadline), at(ms(17)));
}

/// The control: the same urgency on loan, to a task without a budget.
#[test]
fn without_budgets_an_overrun_hurts_others() {
    let mut m = Machine::new(1);
    let bad = m.spawn(Intent::batch(), &[Run(ms(7)), Sleep(ms(3))]);
    let lent = Urgency { class: QueueType::Realtime, priority: 0, deadline: at(0) };
    m.inherit(bad, Some(lent)).unwrap();
    let good = m.spawn(realtime(10, 10, 5), &[Run(ms(5)), NextPeriod]);
    m.run_until(ms(1_000));
    assert!(misses(&m, good) > 50);
}

/// As above on a host where jobs may go on with the next budget: the bandwidth is the same, but for one budget.
#[test]
fn an_overrun_that_borrows_hurts_only_itself() {
    let mut config = Config::new(1);
    config.limits.budget_borrowing = true;
    let mut m = Machine::with(config);
    let bad = m.spawn(realtime(10, 10, 4), &[Run(ms(7)), NextPeriod]);
    let worse = m.spawn(realtime(20, 15, 1), &[Run(ms(5)), NextPeriod]);
    let good = m.spawn(Intent::realtime(10_000, 10_000, 4_800), &[Run(us(4_800)), NextPeriod]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert_eq!(misses(&m, good), 0);
    for (task, budgets) in [(bad, ms(4) * 101), (worse, 51 * ms(1))] {
        assert!(misses(&m, task) > 0 && m.task(task, |t| t.stats.overruns) > 0);
        assert!(m.actors[task].cpu_time <= budgets, "{}", m.actors[task].cpu_time);
    }
}

/// One job in five needs more than its budget, all together less than theirs.
#[test]
fn an_outlier_borrows_and_misses_nothing() {
    for borrowing in [false, true] {
        let mut config = Config::new(1);
        config.limits.budget_borrowing = borrowing;
        let mut m = Machine::with(config);
        let script = [1, 1, 1, 1, 3].into_iter().flat_map(|run| [Run(ms(run)), NextPeriod]);
        let task = m.spawn(realtime(10, 8, 2), &script.collect::<Vec<_>>());
        m.spawn(Intent::batch(), &[]);
        m.run_until(ms(995));
        m.reconcile();
        let (misses, overruns) = (misses(&m, task), m.task(task, |t| t.stats.overruns));
        assert_eq!((misses > 0, overruns > 0), (!borrowing, !borrowing), "{misses} {overruns}");
    }
}

fn measuring() -> Executor<u32, common::lock::Lock> {
    let mut config = Config::new(1);
    config.measures = true;
    Executor::new(config).unwrap()
}

#[test]
fn a_budget_is_used_up_when_it_has_been_measured() {
    let x = measuring();
    let (id, _) = x.spawn(at(0), None, TaskSpec::new("", realtime(10, 10, 2), 0)).unwrap();
    let ask = |t| x.schedule(0, at(t), Leave::Ask);
    let overruns = || x.with_task(id, |task| task.stats.overruns).unwrap();
    assert_eq!(ask(0).unwrap().until, Some(at(ms(2))));
    x.switched(0);
    assert_eq!(ask(ms(1)).unwrap().until, Some(at(ms(2))), "no doubt yet");
    assert_eq!(ask(ms(2)), Err(SchedError::Unmeasured));
    assert_eq!(ask(ms(2)), Err(SchedError::Unmeasured), "and again until it is answered");
    x.measured(0, dis_core::api::Duration::from_micros(1_500)).unwrap();
    let decision = ask(ms(2)).unwrap();
    assert_eq!((decision.next.map(|next| next.id), decision.until), (Some(id), Some(at(us(2_500)))));
    assert_eq!(overruns(), 0);
    // What remained has really been used.
    assert_eq!(ask(us(2_500)), Err(SchedError::Unmeasured));
    x.measured(0, dis_core::api::Duration::from_micros(500)).unwrap();
    let decision = ask(us(2_501)).unwrap();
    assert_eq!((decision.next, decision.until, overruns()), (None, Some(at(ms(10))), 1));
    assert_eq!(x.measured(1, dis_core::api::Duration::ZERO), Err(SchedError::NoCpu));
}

/// A job that ended in time although the host lost the CPU for a while leaves no debt to the next one.
#[test]
fn time_that_the_host_lost_is_no_debt() {
    for (used, debt) in [(ms(1), 0), (ms(3), ms(1)), (u64::MAX, ms(2))] {
        let x = measuring();
        let (id, _) = x.spawn(at(0), None, TaskSpec::new("", realtime(10, 10, 2), 0)).unwrap();
        assert!(x.schedule(0, at(0), Leave::Ask).is_ok());
        x.switched(0);
        assert_eq!(x.schedule(0, at(ms(4)), Leave::NextPeriod), Err(SchedError::Unmeasured));
        x.measured(0, dis_core::api::Duration::from_nanos(used)).unwrap();
        assert!(x.schedule(0, at(ms(4)), Leave::NextPeriod).is_ok());
        x.switched(0);
        let decision = x.schedule(0, at(ms(10)), Leave::Ask).unwrap();
        let runs_until = decision.until.filter(|_| decision.next.is_some());
        assert_eq!(runs_until, (debt < ms(2)).then_some(at(ms(12) - debt)), "{used}");
        assert_eq!(x.with_task(id, |task| task.stats.deadline_misses).unwrap(), 0);
    }
}

/// Who ends, owes nothing; a host is not asked in vain.
#[test]
fn the_end_of_a_task_needs_no_measurement() {
    let x = measuring();
    let _ = x.spawn(at(0), None, TaskSpec::new("", realtime(10, 10, 2), 0)).unwrap();
    assert!(x.schedule(0, at(0), Leave::Ask).is_ok());
    x.switched(0);
    assert!(x.schedule(0, at(ms(4)), Leave::Exit(0)).is_ok());
}

#[test]
fn the_hosts_overhead_is_admitted_and_granted() {
    let mut config = Config::new(1);
    config.limits.budget_slack = 100;
    config.limits.budget_overhead = dis_core::api::Duration::from_micros(300);
    let mut m = Machine::with(config);
    let task = m.spawn(realtime(10, 10, 2), &[Run(us(2_500)), NextPeriod]);
    assert_eq!(m.executor.reserved_ppm(), [250_000]);
    m.run_until(ms(1_000));
    assert_eq!((misses(&m, task), m.task(task, |t| t.stats.overruns)), (0, 0));
    // Never more than the deadline leaves: 1 ms of a deadline of 1 ms is all of a CPU, more than admission gives.
    let refused = m.try_spawn(TaskSpec::new("", Intent::realtime(10_000, 1_000, 700), 0), &[]);
    assert_eq!(refused.unwrap_err(), SchedError::NoCpu);
    let limits = dis_core::optimizer::Limits {
        budget_overhead: dis_core::api::Duration::from_micros(300),
        ..Default::default()
    };
    let budget = |wcet, deadline| {
        let us = dis_core::api::Duration::from_micros;
        limits.budget(us(wcet), us(deadline)).as_nanos()
    };
    assert_eq!((budget(600, 1_000), budget(800, 1_000)), (us(900), ms(1)));
}

/// A job that blocks in its middle must not get a second budget by waking up late.
#[test]
fn a_job_that_suspends_itself_hurts_only_itself() {
    let mut config = Config::new(1);
    config.limits.realtime = 1000;
    let mut m = Machine::with(config);
    m.spawn(realtime(8, 8, 4), &[Run(ms(1)), Sleep(us(6_500)), Run(ms(3)), NextPeriod]);
    let good = m.spawn(Intent::realtime(8_000, 8_000, 3_600), &[Run(us(3_600)), NextPeriod]);
    m.run_until(ms(2_000));
    m.reconcile();
    assert_eq!(misses(&m, good), 0);
    assert!(m.actors[0].cpu_time <= ms(1_004), "{}", m.actors[0].cpu_time);
}

#[test]
fn nobody_gets_more_than_a_budget_a_period() {
    let scripts: [&[common::machine::Op]; 4] = [
        &[],
        &[Run(us(300)), Yield],
        &[Run(us(900)), Sleep(us(700))],
        &[Run(us(1_700)), Block(BlockReason::Io), NextPeriod],
    ];
    for script in scripts {
        let mut m = Machine::new(1);
        let task = m.spawn(realtime(10, 8, 2), script);
        m.spawn(Intent::batch(), &[]);
        for i in 1..2_000 {
            m.at(i * us(613), move |m| {
                let _ = m.unpark(task);
            });
        }
        m.run_until(ms(1_000));
        m.reconcile();
        let used = m.actors[task].cpu_time;
        assert!(used <= ms(202), "{used} with {script:?}");
        // In no 10 ms more than two budgets: the end of one period and the beginning of the next.
        for start in (0..ms(990)).step_by(777_777) {
            assert!(m.actors[task].ran_between(start, start + ms(10)) <= ms(4), "{script:?} from {start}");
        }
    }
}

#[test]
fn a_full_cpu_meets_all_deadlines() {
    // Utilisation 0.95 with periods that do not divide one another, a Batch hog waiting all the time.
    let mut config = Config::new(1);
    config.limits.realtime = 950;
    let mut m = Machine::with(config);
    let tasks: Vec<usize> = [(10_000, 3_000), (14_000, 4_200), (25_000, 7_500)]
        .into_iter()
        .map(|(period, wcet)| m.spawn(Intent::realtime(period, period, wcet), &[Run(us(wcet)), NextPeriod]))
        .collect();
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(7_000));
    m.reconcile();
    for &task in &tasks {
        assert_eq!(misses(&m, task), 0);
        assert_eq!(m.task(task, |t| t.stats.overruns), 0, "wcet is enough");
    }
    assert!(m.actors[batch].cpu_time >= ms(7_000) / 11);
}

#[test]
fn admission_counts_what_is_there() {
    let mut m = Machine::new(2);
    let task = |period, deadline, wcet, cpu| {
        let intent = Intent::realtime(period, deadline, wcet);
        TaskSpec::new("", intent.with_affinity(CpuMask::single(cpu)), 0)
    };
    let half = |cpu| task(10_000, 10_000, 5_000, cpu);
    let first = m.try_spawn(half(0), &[]).unwrap();
    m.try_spawn(half(1), &[]).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [500_000, 500_000]);
    assert_eq!(m.try_spawn(half(0), &[]).unwrap_err(), SchedError::NoCpu);
    // System is left a hundredth, and twice that at once: 9.3 ms of 10 are sure.
    assert_eq!(m.try_spawn(task(10_000, 10_000, 4_301, 0), &[]).unwrap_err(), SchedError::NoCpu);
    m.try_spawn(task(10_000, 10_000, 4_300, 0), &[]).unwrap();
    // A short deadline counts by what is due within it, not as if it came again and again.
    let short = |cpu| task(100_000, 2_000, 1_000, cpu);
    assert_eq!(m.try_spawn(short(0), &[]).unwrap_err(), SchedError::NoCpu);
    m.try_spawn(short(1), &[]).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [930_000, 510_000]);
    assert!(m.executor.fits_by_density(0) && !m.executor.fits_by_density(1));
    m.kill(first).unwrap();
    m.run_for(0);
    // The other job has waited for it; when that has had its budget, the share is free.
    assert_eq!(m.try_spawn(half(0), &[]).unwrap_err(), SchedError::NoCpu);
    m.run_for(ms(10));
    assert_eq!(m.executor.reserved_ppm(), [430_000, 510_000]);
    m.try_spawn(half(0), &[]).unwrap();
}

/// The question is answered as a spawn would be, and changes nothing; a refusal says who fails, where, and by how much.
#[test]
fn a_refusal_says_by_how_much() {
    let mut m = Machine::new(1);
    let here = m.spawn(realtime(10, 10, 5), &[]);
    assert_eq!(m.executor.admission(&realtime(10, 10, 4)), Ok(Some(Assignment::Whole(0))));
    assert_eq!(m.executor.admission(&Intent::batch()), Ok(None));
    let Err(rejection) = m.executor.admission(&realtime(20, 9, 5)) else { panic!("5 and 5 within 9 of 10") };
    let RejectReason::NoRoom(shortfall) = rejection.reason else { panic!("{rejection}") };
    let Verdict::Overload(overload) = shortfall.verdict else { panic!("{rejection}") };
    assert_eq!(overload.interval, ns(ms(10)));
    assert_eq!(overload.excess(), ns(us(700)));
    assert_eq!((shortfall.cpu, shortfall.late), (0, Some(m.actors[here].id)));
    assert_eq!(m.executor.reserved_ppm(), [500_000]);
    assert_eq!(m.try_spawn(TaskSpec::new("", realtime(20, 9, 5), 0), &[]).unwrap_err(), SchedError::NoCpu);
}

/// On a host without admission what does not fit goes where least is reserved, and may miss.
#[test]
fn without_admission_everything_is_let_in() {
    let mut config = Config::new(2);
    config.admission = false;
    let mut m = Machine::with(config);
    let tasks: Vec<usize> = (0..5).map(|_| m.spawn(realtime(10, 10, 5), &[Run(ms(5)), NextPeriod])).collect();
    m.run_until(ms(500));
    m.reconcile();
    assert!(tasks.iter().map(|&task| misses(&m, task)).sum::<u64>() > 10);
    // One that is not in the book moves all the same.
    m.call(tasks[4], |x, now, id| x.set_affinity(now, id, CpuMask::single(0))).unwrap();
    m.call(tasks[4], |x, now, id| x.set_affinity(now, id, CpuMask::single(1))).unwrap();
    m.run_for(ms(50));
    assert_eq!(m.executor.cpu_of(m.actors[tasks[4]].id), Ok(1));
}

#[test]
fn an_intent_changes_only_if_there_is_room() {
    let mut m = Machine::new(1);
    m.spawn(realtime(10, 10, 5), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    let refused = m.set_intent(batch, &realtime(10, 10, 5));
    assert_eq!(refused.unwrap_err(), SchedError::NoCpu);
    assert_eq!(m.task(batch, |t| t.intent.class.queue()), QueueType::Batch);
    m.set_intent(batch, &realtime(10, 10, 4)).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [900_000]);
    m.set_intent(batch, &Intent::batch()).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [500_000]);
}

/// What ran as Batch is not owed by the Realtime task that it becomes.
#[test]
fn a_new_intent_begins_without_debts() {
    let mut m = Machine::new(1);
    let task = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(500));
    m.set_intent(task, &realtime(10, 10, 2)).unwrap();
    m.run_until(ms(600));
    m.reconcile();
    assert_eq!(m.actors[task].ran_between(ms(500), ms(600)), ms(20));
}

#[test]
fn a_blocked_task_that_becomes_realtime_is_released_when_it_wakes() {
    let mut m = Machine::new(1);
    let task =
        m.spawn(Intent::batch(), &[Block(BlockReason::Event), Run(ms(1)), NextPeriod, Block(BlockReason::Event)]);
    m.run_until(ms(10));
    m.set_intent(task, &realtime(10, 10, 2)).unwrap();
    m.run_until(ms(1_000));
    m.unpark(task).unwrap();
    assert_eq!(m.task(task, |t| (t.job().number, t.deadline)), (1, Some(at(ms(1_010)))));
    m.run_until(ms(1_005));
    assert_eq!(misses(&m, task), 0);
}

#[test]
fn releases_are_exact_multiples() {
    let mut m = Machine::new(1);
    let mut spec = TaskSpec::new("", Intent::realtime(7_001, 7_001, 1_000), 0);
    spec.start = Some(at(us(333)));
    let task = m.try_spawn(spec, &[Run(us(613)), NextPeriod]).unwrap();
    m.spawn(realtime(3, 3, 1), &[Run(us(999)), NextPeriod]);
    m.spawn(Intent::system(), &[Run(us(100)), Sleep(us(1_777))]);
    m.run_until(us(333) + 1_000 * us(7_001) + 1);
    let job = m.task(task, |t| t.job());
    assert_eq!((job.number, job.release), (1_001, at(us(333) + 1_000 * us(7_001))));
    assert_eq!(job.deadline, job.release + dis_core::api::Duration::from_micros(7_001));
    // Nobody begins before the release.
    let starts = m.actors[task].runs.iter().filter(|run| (run.0 - us(333)).is_multiple_of(us(7_001))).count();
    assert!(starts > 300);
}

#[test]
fn late_releases_are_skipped_and_counted() {
    let mut m = Machine::new(1);
    let task = m.spawn(realtime(10, 10, 2), &[Run(ms(1)), Block(BlockReason::Io), NextPeriod]);
    m.run_until(ms(35));
    m.unpark(task).unwrap();
    m.run_until(ms(35));
    let job = m.task(task, |t| t.job());
    // The job of 0 was late; those of 10 and 20 could only be late; the one of 30 is due at 40.
    assert_eq!((job.number, job.release, job.missed, job.skipped), (4, at(ms(30)), true, 2));
    assert_eq!(misses(&m, task), 3);
    assert_eq!(m.executor.stats().deadline_misses, 3);
    m.run_until(ms(37));
    m.unpark(task).unwrap();
    m.run_until(ms(41));
    let job = m.task(task, |t| t.job());
    assert_eq!((job.number, job.release, job.missed, job.skipped), (5, at(ms(40)), false, 0));
    assert_eq!(m.task(task, |t| t.history.miss_rate_ppm()), 500_000);
}

#[test]
fn a_deadline_met_to_the_nanosecond_is_met() {
    for (late, missed) in [(0, 0), (1, 1)] {
        let mut m = Machine::new(1);
        let task = m.spawn(realtime(20, 10, 9), &[Run(ms(1)), Block(BlockReason::Io), NextPeriod]);
        m.run_until(ms(10) + late);
        m.unpark(task).unwrap();
        m.run_for(0);
        assert_eq!(misses(&m, task), missed);
    }
}

#[test]
fn the_end_of_time_stops_nobody() {
    let machine = Executor::<u32, common::lock::Lock>::new(Config::new(1)).unwrap();
    let end = Timestamp::MAX;
    for (i, intent) in
        [realtime(10, 10, 1), Intent::interactive(5), Intent::batch(), Intent::system()].into_iter().enumerate()
    {
        let _ = machine.spawn(end, None, TaskSpec::new("", intent, i as u32)).unwrap();
    }
    for _ in 0..4 {
        let decision = machine.schedule(0, end, Leave::Ask).unwrap();
        assert!(decision.next.is_some());
        machine.switched(0);
        machine.schedule(0, end, Leave::Exit(0)).unwrap();
        machine.switched(0);
    }
    assert!(machine.task_ids().is_empty());
}

/// A job ends within its deadline although the class below waits, and starts at its release although one runs.
#[test]
fn a_release_preempts_at_once() {
    let mut m = Machine::new(1);
    m.spawn(Intent::batch(), &[]);
    let task = m.spawn(Intent::realtime(5_000, 1_000, 400), &[Run(us(300)), NextPeriod]);
    m.run_until(ms(500));
    for e in m.trace.iter().filter(|e| e.task == Some(task)) {
        assert_eq!((e.t % ms(5), e.waited), (0, 0));
    }
    assert_eq!(m.state(task), TaskState::Running);
}

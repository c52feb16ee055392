//! What domains may take of the CPUs, and what is left of them when they are destroyed, on a simulated machine.

mod common;

use common::at;
use common::machine::{Machine, Op::*};
use common::{ms, us};
use dis_core::api::{BlockReason, Duration, SchedError, TaskId, TaskSpec};
use dis_core::executor::Kill;
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Bandwidth, Domain, DomainSpec, Quota, Right, Rights, Sweep};
use dis_core::scheduler::Urgency;

fn quota(share: u32) -> Quota {
    Quota { cpu: Some(Bandwidth::per_mille(share)), ..Quota::default() }
}

fn domain(m: &Machine, parent: Option<&Domain>, quota: Quota) -> Domain {
    m.executor.create_domain(parent, DomainSpec::new("").with_quota(quota)).expect("created")
}

fn spawn(m: &mut Machine, domain: &Domain, intent: Intent, script: &[common::machine::Op]) -> usize {
    m.try_spawn(TaskSpec::new("", intent, 0).in_domain(domain), script).expect("spawned")
}

/// CPU time of all tasks in `domain` and below, ns, as the host has counted it.
fn used(m: &Machine, domain: &Domain) -> u64 {
    let within = |id: TaskId| m.executor.domain_of(id).ok().flatten().is_some_and(|other| other.is_within(domain));
    m.actors.iter().filter(|actor| within(actor.id)).map(|actor| actor.cpu_time).sum()
}

#[test]
fn a_domain_gets_its_quota_and_no_more_on_any_number_of_cpus() {
    for (cpus, hogs, share) in
        [(1, 1, 300), (1, 7, 300), (2, 7, 300), (2, 2, 1500), (4, 9, 250), (4, 9, 2500), (8, 20, 100)]
    {
        for idle in [true, false] {
            let mut m = Machine::new(cpus);
            let limited = domain(&m, None, quota(share));
            for _ in 0..hogs {
                spawn(&mut m, &limited, Intent::batch(), &[]);
            }
            let free: Vec<usize> =
                (0..if idle { 0 } else { cpus }).map(|_| m.spawn(Intent::background(), &[])).collect();
            m.run_until(ms(1000));
            m.reconcile();
            let (got, most) = (used(&m, &limited), ms(1000) * u64::from(share) / 1000);
            let what = format!("{hogs} hogs with {share} on {cpus} CPUs: {got}");
            assert!(got.abs_diff(most) <= most / 100, "{what}");
            assert_eq!(limited.usage().cpu_time, got, "{what}");
            let rest: u64 = free.iter().map(|&task| m.actors[task].cpu_time).sum();
            assert!(idle || rest + got == ms(1000) * cpus as u64, "others have what is left, {rest}: {what}");
        }
    }
}

#[test]
fn every_quota_on_the_way_to_the_root_holds() {
    let mut m = Machine::new(2);
    let outer = domain(&m, None, quota(800));
    let [one, other] = [600, 500].map(|share| domain(&m, Some(&outer), quota(share)));
    for domain in [&one, &other] {
        (0..3).for_each(|_| assert!(spawn(&mut m, domain, Intent::batch(), &[]) < 6));
    }
    m.run_until(ms(1000));
    m.reconcile();
    let (one, other) = (used(&m, &one), used(&m, &other));
    assert!((one + other).abs_diff(ms(800)) <= ms(8), "{one} and {other}");
    assert!(one <= ms(606) && other <= ms(505), "{one} and {other}");
}

#[test]
fn tasks_that_sleep_and_wake_do_not_escape() {
    let mut m = Machine::new(2);
    let limited = domain(&m, None, quota(200));
    for n in 0..6 {
        spawn(
            &mut m,
            &limited,
            Intent::interactive(5_000),
            &[Run(us(300 + n * 37)), Sleep(us(100)), Run(us(50)), Yield],
        );
    }
    m.run_until(ms(1000));
    m.reconcile();
    let got = used(&m, &limited);
    assert!(got.abs_diff(ms(200)) <= ms(2), "{got}");
}

/// A task that is out of its domain's budget and holds what an urgent one waits for goes on, at its domain's expense.
#[test]
fn who_works_for_another_does_not_wait_for_its_domains_budget() {
    let mut m = Machine::new(1);
    let limited = domain(&m, None, quota(100));
    let holder = spawn(&mut m, &limited, Intent::batch(), &[]);
    m.run_until(ms(5));
    assert!(m.task(holder, |task| task.is_throttled()));
    let lent = Urgency { class: QueueType::Interactive, priority: 50, deadline: at(ms(6)) };
    m.inherit(holder, Some(lent)).unwrap();
    m.run_until(ms(9));
    assert_eq!(m.current(0), Some(holder));
    m.inherit(holder, None).unwrap();
    m.run_until(ms(35));
    m.reconcile();
    let got = m.actors[holder].cpu_time;
    assert_eq!(got, ms(5), "one at first, four on loan, which the next four periods pay");
    m.run_until(ms(60));
    m.reconcile();
    assert_eq!(m.actors[holder].cpu_time, ms(6));
}

#[test]
fn reservations_are_refused_where_a_quota_could_break_them() {
    let mut m = Machine::new(1);
    let outer = domain(&m, None, quota(500));
    let inner = domain(&m, Some(&outer), Quota::default());
    for intent in [Intent::realtime(10_000, 10_000, 1_000), Intent::batch().with_cpu_share(100, 0)] {
        let spec = TaskSpec::new("", intent.clone(), 0).in_domain(&inner);
        assert!(matches!(m.try_spawn(spec, &[]), Err(SchedError::NotSupported(_))));
        let task = spawn(&mut m, &inner, Intent::batch(), &[]);
        assert!(matches!(m.set_intent(task, &intent), Err(SchedError::NotSupported(_))));
    }
    let bad = |budget, period| {
        let cpu = Some(Bandwidth { budget: Duration::from_micros(budget), period: Duration::from_micros(period) });
        m.executor.create_domain(None, DomainSpec::new("").with_quota(Quota { cpu, ..Quota::default() })).is_err()
    };
    assert!(bad(99, 10_000) && bad(500, 999) && bad(500, 1_000_001) && !bad(100, 1_000));
}

#[test]
fn destruction_ends_everything_and_gives_everything_back() {
    let mut m = Machine::new(4);
    m.checked = false;
    let above = domain(&m, None, Quota { tasks: Some(1000), memory: Some(1 << 20), ..Quota::default() });
    let doomed = domain(&m, Some(&above), quota(1500));
    let inner = domain(&m, Some(&doomed), Quota::default());
    let before = (above.usage().tasks, m.executor.task_ids().len());
    let bystander = spawn(&mut m, &above, Intent::batch(), &[Run(us(300)), Sleep(us(100))]);
    let waiting = m.spawn(Intent::batch(), &[Block(BlockReason::Event)]);
    for n in 0..300u64 {
        let place = if n % 3 == 0 { &inner } else { &doomed };
        let intent = [Intent::batch(), Intent::interactive(1_000), Intent::background()][n as usize % 3].clone();
        let script: &[_] = match n % 5 {
            0 => &[Run(us(200)), Sleep(ms(3))],
            1 => &[Run(us(100)), Block(BlockReason::Event)],
            2 => &[Run(us(50)), Yield],
            3 => &[Run(us(70)), Exit(7)],
            _ => &[],
        };
        let spec = TaskSpec::new("", intent, 0).joinable().in_domain(place);
        let task = m.try_spawn(spec, script).unwrap();
        m.executor.charge_memory(m.actors[task].id, 100).unwrap();
    }
    inner.charge_memory(500).unwrap();
    m.run_until(ms(100));
    assert!(above.usage().tasks > 300 && above.usage().memory == 30_500);
    let last = m.actors.len() - 1;
    assert_eq!(m.join(last, waiting), Ok(None), "somebody outside waits for one");

    let (mut sweep, mut steps, mut ended) = (Sweep::default(), 0, 0);
    loop {
        let mut interrupts = Vec::new();
        let now = at(m.now);
        let gone = m.executor.destroy_domain(now, &doomed, &mut sweep, 32, |_, kill| {
            ended += 1;
            if let Some(Kill::Done(Some(cpu)) | Kill::Pending(cpu)) = kill {
                interrupts.push(cpu);
            }
        });
        assert!(ended <= 32 * (steps + 1), "a bounded number a step");
        steps += 1;
        interrupts.into_iter().for_each(|cpu| m.interrupt(cpu));
        if gone.unwrap() {
            break;
        }
        let late = m.executor.spawn(now, None, TaskSpec::new("", Intent::batch(), 0).in_domain(&inner));
        assert_eq!(late.err(), Some(SchedError::InvalidState), "nothing new in what ends");
        assert!(steps < 1000, "{:?}", doomed.usage());
        m.run_for(us(10));
    }
    assert_eq!(ended, 300);
    assert_eq!((above.usage().tasks, above.usage().memory), (before.0 - 2 + 1, 0), "the bystander is left");
    assert_eq!(m.executor.task_ids().len(), before.1 + 2);
    assert_eq!(m.executor.domains(), std::slice::from_ref(&above));
    let again = m.executor.destroy_domain(at(m.now), &doomed, &mut Sweep::default(), 32, |_, _| ());
    assert_eq!(again, Err(SchedError::InvalidState));
    assert_eq!(inner.charge_memory(1), Err(SchedError::InvalidState));
    let had = m.actors[bystander].cpu_time;
    m.run_for(ms(10));
    assert!(m.actors[bystander].cpu_time > had);
    assert!(m.actors[waiting].gone || m.task(waiting, |task| task.stats.wakes) == 1, "who waited was woken");
}

#[test]
fn a_task_may_destroy_only_what_is_below_its_own_domain() {
    let m = Machine::new(1);
    let own = domain(&m, None, Quota::default());
    let below = domain(&m, Some(&own), Quota::default());
    let beside = domain(&m, None, Quota::default());
    let destroy = |by: &Domain, what: &Domain| {
        m.executor.as_domain(by).destroy_domain(at(0), what, &mut Sweep::default(), 16, |_, _| ())
    };
    assert_eq!(destroy(&own, &own), Err(SchedError::PermissionDenied));
    assert_eq!(destroy(&own, &beside), Err(SchedError::PermissionDenied));
    own.restrict(Rights::ALL.without(Right::Kill));
    assert_eq!(destroy(&own, &below), Err(SchedError::PermissionDenied));
    assert_eq!(m.executor.denied(), 3);
    let other = domain(&m, Some(&beside), Quota::default());
    assert_eq!(destroy(&beside, &other), Ok(true));
}

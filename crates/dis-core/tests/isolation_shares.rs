//! A domain that has more tasks gets no more CPU: group fairness on a simulated machine.

mod common;

use common::machine::{Machine, Op, Op::*};
use common::{at, ms, us};
use dis_core::api::{CpuMask, Duration, SchedError, TaskSpec};
use dis_core::intent::Intent;
use dis_core::isolation::{Bandwidth, Domain, DomainSpec, Quota, Sweep};

fn machine(cpus: usize) -> Machine {
    let mut m = Machine::new(cpus);
    // A look at hundreds of tasks after each event takes long.
    m.checked = cpus <= 2;
    m
}

fn domain(m: &Machine, parent: Option<&Domain>, weight: u16) -> Domain {
    m.executor.create_domain(parent, DomainSpec::new("").with_weight(weight)).expect("created")
}

fn spawn(m: &mut Machine, domain: &Domain, intent: Intent, script: &[Op]) -> usize {
    m.try_spawn(TaskSpec::new("", intent, 0).in_domain(domain), script).expect("spawned")
}

fn hogs(m: &mut Machine, domain: &Domain, count: usize, intent: &Intent) {
    (0..count).for_each(|_| assert!(spawn(m, domain, intent.clone(), &[]) < m.actors.len()));
}

/// What each of `domains` gets in a second, ‰ of one CPU; within a slice on each CPU, as what runs has not been charged yet.
fn shares(m: &mut Machine, domains: &[&Domain]) -> Vec<u64> {
    let used = || domains.iter().map(|domain| domain.usage().cpu_time);
    let before: Vec<u64> = used().collect();
    m.run_for(ms(1000));
    used().zip(before).map(|(now, before)| (now - before) / 1_000_000).collect()
}

/// Asserts that each got what it should, within `tolerance`, all in ‰ of one CPU.
fn assert_near(got: &[u64], wanted: &[u64], tolerance: u64, what: &str) {
    let near = got.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(*wanted) <= tolerance);
    assert!(near, "{what}: {got:?} instead of {wanted:?}");
}

/// One hog for each CPU against fifty for each: half and half, within 2 %; 5 % in Background, whose slices are 50 ms, and in Interactive, where
/// the second begins with the head starts of all.
#[test]
fn fifty_hogs_get_what_one_gets() {
    let intents = [(Intent::batch(), 20), (Intent::background(), 50), (Intent::interactive(2_000), 50)];
    for cpus in 1..=8usize {
        for (n, (intent, tolerance)) in intents.iter().enumerate() {
            let mut m = machine(cpus);
            let (few, many) = (domain(&m, None, 100), domain(&m, None, 100));
            let few_first = (cpus + n) % 2 == 0;
            if few_first {
                hogs(&mut m, &few, cpus, intent);
            }
            hogs(&mut m, &many, 50 * cpus, intent);
            if !few_first {
                hogs(&mut m, &few, cpus, intent);
            }
            let got = shares(&mut m, &[&few, &many]);
            let (cpus, what) = (cpus as u64, format!("{cpus} CPUs, {:?}", intent.class));

            assert_near(&got, &[500 * cpus, 500 * cpus], tolerance * cpus, &what);
        }
    }
}

/// Nobody deserves more than one CPU; a domain with a single task and weight enough has one to itself before long.
#[test]
fn a_single_hog_has_a_cpu_among_many() {
    for cpus in 2..=8usize {
        let mut m = machine(cpus);
        let (one, many) = (domain(&m, None, 100 * cpus as u16), domain(&m, None, 100));
        hogs(&mut m, &many, 10 * cpus, &Intent::batch());
        hogs(&mut m, &one, 1, &Intent::batch());
        m.run_until(ms(2000));
        assert_near(&shares(&mut m, &[&one]), &[1000], 40, &format!("{cpus} CPUs"));
    }
}

#[test]
fn a_domain_shares_as_a_task_beside_it_does() {
    for cpus in [1, 2, 4] {
        let mut m = machine(cpus);
        let group = domain(&m, None, 100);
        (0..2 * cpus).for_each(|_| assert!(m.spawn(Intent::batch(), &[]) < m.actors.len()));
        hogs(&mut m, &group, 20 * cpus, &Intent::batch());
        m.run_until(ms(1000));
        let cpus = cpus as u64;
        assert_near(&shares(&mut m, &[&group]), &[1000 * cpus / (2 * cpus + 1)], 15 * cpus, &format!("{cpus} CPUs"));
    }
}

#[test]
fn weights_of_domains_count() {
    for cpus in [1usize, 2, 4, 8] {
        let mut m = machine(cpus);
        let domains = [50, 100, 250, 1600].map(|weight| domain(&m, None, weight));
        for (n, domain) in domains.iter().enumerate() {
            hogs(&mut m, domain, (7 - n) * cpus, &Intent::batch());
        }
        m.run_until(ms(500));
        let got = shares(&mut m, &[&domains[0], &domains[1], &domains[2], &domains[3]]);
        let wanted = [25, 50, 125, 800].map(|share| share * cpus as u64);
        assert_near(&got, &wanted, 20 * cpus as u64, &format!("{cpus} CPUs"));
    }
    let m = machine(1);
    for weight in [0, 10_001] {
        let refused = m.executor.create_domain(None, DomainSpec::new("").with_weight(weight)).err();
        assert!(matches!(refused, Some(SchedError::NotSupported(_))));
    }
}

#[test]
fn domains_within_domains_share_what_the_outer_one_gets() {
    for cpus in [1usize, 2, 4] {
        let mut m = machine(cpus);
        let (outer, other) = (domain(&m, None, 100), domain(&m, None, 100));
        let inner = [100, 300].map(|weight| domain(&m, Some(&outer), weight));
        let deep = domain(&m, Some(&inner[1]), 100);
        hogs(&mut m, &other, cpus, &Intent::batch());
        hogs(&mut m, &inner[0], 10 * cpus, &Intent::batch());
        hogs(&mut m, &inner[1], cpus, &Intent::batch());
        hogs(&mut m, &deep, 5 * cpus, &Intent::batch());
        m.run_until(ms(500));
        let got = shares(&mut m, &[&outer, &other, &inner[0], &inner[1]]);
        let wanted = [500, 500, 125, 375].map(|share| share * cpus as u64);
        assert_near(&got, &wanted, 20 * cpus as u64, &format!("{cpus} CPUs"));
        // `deep` is to the tasks of the domain that it is in as one task; with one of those on each CPU, that is (1 of 1 + CPUs).
        let deep = shares(&mut m, &[&deep])[0];
        assert_near(&[deep], &[375 * cpus as u64 / (1 + cpus as u64)], 60 * cpus as u64, &format!("deep, {cpus} CPUs"));
    }
}

/// Children that run for a moment, or for a whole turn, and end: what they have had is not forgotten with them.
#[test]
fn a_fork_bomb_gets_its_share() {
    for cpus in [1usize, 2, 4] {
        for (run, each) in [(us(300), 10), (ms(9), 10), (ms(11), 40)] {
            let mut m = machine(cpus);
            m.checked = false;
            let (good, bomb) = (domain(&m, None, 100), domain(&m, None, 100));
            hogs(&mut m, &good, cpus, &Intent::batch());
            let before = [&good, &bomb].map(|domain| domain.usage().cpu_time);
            for _ in 0..1000 {
                while bomb.usage().tasks < each * cpus as u32 {
                    spawn(&mut m, &bomb, Intent::batch(), &[Run(run), Exit(0)]);
                }
                m.run_for(ms(1));
            }
            let got = [&good, &bomb].map(|domain| domain.usage().cpu_time);
            let got = [0, 1].map(|n| (got[n] - before[n]) / 1_000_000);

            let half = 500 * cpus as u64;
            assert!(got[0] + 20 * cpus as u64 >= half, "{cpus} CPUs, children of {run} ns: {got:?}");
        }
    }
}

/// Tasks that sleep and wake, on and off each other's CPUs, at random times.
#[test]
fn sleepers_get_no_more_than_their_domain_does() {
    for cpus in [1usize, 2, 4] {
        let mut m = machine(cpus);
        let (good, many) = (domain(&m, None, 100), domain(&m, None, 100));
        hogs(&mut m, &good, cpus, &Intent::batch());
        for n in 0..20 * cpus as u64 {
            let script = [Run(us(900 + 37 * n)), Sleep(us(700 + 211 * n)), Run(us(50)), Yield];
            spawn(&mut m, &many, Intent::batch(), &script);
        }
        let got = shares(&mut m, &[&good, &many]);

        let half = 500 * cpus as u64;
        assert_near(&got, &[half, half], 25 * cpus as u64, &format!("{cpus} CPUs"));
    }
}

/// Who uses little of it waits for nobody's turns but one: its domain is owed something whenever it wakes.
#[test]
fn a_domain_that_sleeps_most_of_the_time_is_served_soon() {
    let mut m = machine(1);
    let (quiet, loud) = (domain(&m, None, 100), domain(&m, None, 100));
    hogs(&mut m, &loud, 50, &Intent::batch());
    let task = spawn(&mut m, &quiet, Intent::batch(), &[Run(ms(1)), Sleep(ms(50))]);
    m.run_until(ms(1000));
    let waits = m.trace.iter().filter(|event| event.task == Some(task) && event.switch).map(|event| event.waited);
    let longest = waits.clone().max().unwrap_or(u64::MAX);
    assert!(waits.count() >= 15 && longest <= ms(11), "one request of whoever runs, {longest}");
}

/// A domain that is destroyed leaves its place to another, which begins anew.
#[test]
fn places_of_domains_are_used_again() {
    let mut m = machine(2);
    m.checked = false;
    let good = domain(&m, None, 100);
    hogs(&mut m, &good, 2, &Intent::batch());
    for _ in 0..20 {
        let other = domain(&m, None, 300);
        hogs(&mut m, &other, 7, &Intent::batch());
        let got = shares(&mut m, &[&good, &other]);
        assert_near(&got, &[500, 1500], 60, "two CPUs");
        let mut sweep = Sweep::default();
        for _ in 0..1000 {
            let mut told = Vec::new();
            let now = at(m.now);
            let done = m.executor.destroy_domain(now, &other, &mut sweep, 64, |_, kill| told.push(kill)).unwrap();
            (0..2).for_each(|cpu| m.interrupt(cpu));
            m.run_for(us(10));
            if done {
                break;
            }
        }
    }
    assert_eq!(m.executor.domains().len(), 1);
}

/// A quota and a share at once: the quota's rest is the other's.
#[test]
fn a_quota_below_the_share_holds() {
    let mut m = machine(1);
    let cpu = Some(Bandwidth { budget: Duration::from_millis(2), period: Duration::from_millis(10) });
    let limited = DomainSpec::new("").with_weight(300).with_quota(Quota { cpu, ..Quota::default() });
    let limited = m.executor.create_domain(None, limited).unwrap();
    let free = domain(&m, None, 100);
    hogs(&mut m, &limited, 10, &Intent::batch());
    hogs(&mut m, &free, 3, &Intent::batch());
    assert_near(&shares(&mut m, &[&limited, &free]), &[200, 800], 20, "a fifth");
}

/// Within a domain weights count as beside it.
#[test]
fn priorities_within_a_domain_count() {
    let mut m = machine(1);
    let (group, other) = (domain(&m, None, 100), domain(&m, None, 100));
    hogs(&mut m, &other, 3, &Intent::batch());
    let tasks = [56, 156].map(|priority| {
        let task = spawn(&mut m, &group, Intent::batch(), &[]);
        m.set_priority(task, priority).unwrap();
        task
    });
    m.run_until(ms(3000));
    m.reconcile();
    let got = tasks.map(|task| m.actors[task].cpu_time / 1_000_000);
    assert_near(&got, &[1000, 500], 30, "200 to 100 of half the CPU");
}

/// Whoever is in no domain does what it did, to the nanosecond, whether or not there are domains.
#[test]
fn nothing_changes_for_those_in_no_domain() {
    let run = |domains: bool| {
        let mut m = machine(2);
        if domains {
            let outer = domain(&m, None, 100);
            domain(&m, Some(&outer), 500);
        }
        for n in 0..9u64 {
            let intent =
                [Intent::batch(), Intent::background(), Intent::interactive(1_000 + n)][n as usize % 3].clone();
            m.spawn(intent, &[Run(us(400 + 531 * n)), Sleep(us(100 * (n % 4))), Run(ms(n)), Yield]);
        }
        m.spawn(Intent::batch().with_affinity(CpuMask::single(1)), &[]);
        m.run_until(ms(2000));
        m.trace.iter().map(|event| (event.t, event.cpu, event.task, event.until, event.waited)).collect::<Vec<_>>()
    };
    let (without, with) = (run(false), run(true));
    assert!(without.len() > 1000 && without == with);
}

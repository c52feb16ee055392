//! After every call of a random sequence: the sums are those of the members, and the choice is the one that the rule
//! names when it looks at all of them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::policy::fair::queue::RECHECKS;

/// As many tasks as can be put back for one choice, so that the choice is exact.
const TASKS: usize = RECHECKS;

#[derive(Debug, Clone, Copy)]
enum Call {
    Spawn(usize),
    Wake(usize),
    Remove(usize),
    Reweigh(usize, u8),
    Run(u64),
    Block,
    PutBack(Arrival),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        (0..TASKS).prop_map(Call::Spawn),
        (0..TASKS).prop_map(Call::Wake),
        (0..TASKS).prop_map(Call::Wake),
        (0..TASKS).prop_map(Call::Remove),
        (0..TASKS, 0u8..=255).prop_map(|(task, priority)| Call::Reweigh(task, priority)),
        (0u64..40_000).prop_map(Call::Run),
        (0u64..40).prop_map(Call::Run),
        Just(Call::Block),
        prop_oneof![Just(Arrival::Yield), Just(Arrival::Preempt), Just(Arrival::SliceEnd)].prop_map(Call::PutBack),
    ]
}

/// The rule of EEVDF, by looking at every queued task. Without an eligible one, the first to become so.
fn by_rule(machine: &Machine) -> Option<TaskKey> {
    let (v, total) = machine.policy.clock.exact();
    let queued = || {
        (machine.tasks.iter())
            .filter_map(|task| Some((task.key, machine.policy.queue.member(task.key)?)))
            .filter(|(_, member)| member.queued != Queued::No)
    };
    let eligible = queued().filter(|(_, member)| i128::from(member.vruntime.0) * total <= v);
    let first = eligible.min_by_key(|(_, member)| (member.vdeadline.0, member.turn));
    first.or_else(|| queued().min_by_key(|(_, member)| (member.vruntime.0, member.turn))).map(|(key, _)| key)
}

fn check(machine: &mut Machine) -> Result<(), TestCaseError> {
    let members: Vec<Member> = (0..machine.tasks.len()).filter_map(|task| machine.member(task)).collect();
    let total: i128 = members.iter().map(|member| i128::from(member.weight)).sum();
    let sum: i128 = members.iter().map(|member| i128::from(member.weight) * i128::from(member.vruntime.0)).sum();
    prop_assert_eq!(machine.policy.clock.exact(), (sum, total));
    let lags: i128 = (0..machine.tasks.len()).filter_map(|task| machine.owed(task)).sum();
    prop_assert_eq!(lags, 0, "what some are owed, others have had");
    let queued = members.iter().filter(|member| member.queued != Queued::No).count();
    prop_assert_eq!(machine.policy.len(), queued);
    prop_assert_eq!(machine.policy.peek(NOW), by_rule(machine));
    Ok(())
}

fn apply(machine: &mut Machine, call: Call) {
    let idle = |machine: &Machine, task: usize| machine.member(task).is_none();
    match call {
        Call::Spawn(task) if idle(machine, task) => machine.ready(task, Arrival::Spawn),
        Call::Wake(task) if idle(machine, task) => machine.ready(task, Arrival::Wake),
        Call::Remove(task) => {
            let queued = machine.member(task).is_some_and(|member| member.queued != Queued::No);
            assert_eq!(machine.policy.remove(&mut machine.tasks[task], NOW), queued);
        }
        Call::Reweigh(task, priority) => {
            machine.policy.update(&mut machine.tasks[task], priority, Timestamp::MAX, NOW);
        }
        Call::Run(span) if machine.running.is_some() || machine.select().is_some() => machine.run(span),
        Call::Block if machine.running.is_some() => machine.block(),
        Call::PutBack(why) if machine.running.is_some() => machine.put_back(why),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::with_cases(600)
    })]

    #[test]
    fn the_choice_is_that_of_the_rule(
        tasks in vec((1u16..=256, 1u64..50_000), TASKS..=TASKS),
        calls in vec(call(), 0..200),
    ) {
        let mut machine = Machine::new(exact(Duration::from_nanos(1)));
        tasks.into_iter().for_each(|(weight, slice)| { machine.task(weight, slice); });
        for call in calls {
            apply(&mut machine, call);
            check(&mut machine)?;
        }
    }

    /// With the same tasks all along, nobody is owed, or has overdrawn, more than the longest request.
    #[test]
    fn lags_stay_within_a_request(
        tasks in vec((1u16..=256, 1u64..50_000), 1..=TASKS),
        stops in vec((1u64..60_000, any::<bool>()), 0..300),
    ) {
        let mut machine = Machine::new(exact(Duration::from_nanos(1)));
        let longest = tasks.iter().map(|&(_, slice)| slice).max().unwrap_or(0);
        tasks.into_iter().for_each(|(weight, slice)| { machine.spawn(weight, slice); });
        for (span, preempted) in stops {
            machine.select();
            // A task may lose the CPU early, but does not keep it beyond its slice.
            let slice = machine.slice();
            machine.run(span.min(slice));
            machine.put_back(if preempted && span < slice { Arrival::Preempt } else { Arrival::SliceEnd });
            let (_, total) = machine.policy.clock.exact();
            // In 2^-16 ns, and a unit of rounding for each unit of weight.
            let bound = (i128::from(longest) << 16) + total;
            for task in 0..machine.tasks.len() {
                let owed = machine.owed(task).expect("it competes");
                prop_assert!(owed.abs() <= bound * total, "task {} is owed {} of {}", task, owed / total, bound);
            }
        }
    }
}

//! The action tables of RTEMS' `testsuites/smptests/smpschededf02/init.c` (github.com/RTEMS/rtems), restated: five tasks of
//! fixed priority on two CPUs, and who runs where after each action.

mod common;

use common::machine::{Machine, Op};
use common::us;
use dis_core::api::{BlockReason, CpuMask};
use dis_core::executor::Leave;
use dis_core::intent::Intent;

const NONE: usize = 9;
const BOTH: &[usize] = &[0, 1];

#[derive(Debug, Clone, Copy)]
enum Action {
    Unblock(usize),
    Block(usize),
    Priority(usize, u8),
    Affinity(usize, &'static [usize]),
}
use Action::*;

/// Why the pair is another one here.
#[derive(Debug, Clone, Copy)]
enum Why {
    /// Priorities count on the CPU where a task waits; one that is raised there is not moved to where a lower one runs.
    Local,
    /// A running task is not moved to make room for one that is bound to its CPU.
    Stays,
}
use Why::*;

/// An action; the pair that the source expects after it, the task on CPU 0 and the one on CPU 1; ours, if it differs.
type Row = (Action, [usize; 2], Option<(Why, [usize; 2])>);
type Table = &'static [Row];

const TABLES: [(&str, Table); 6] = [
    (
        "priorities and affinities",
        &[
            (Unblock(0), [0, NONE], None),
            (Unblock(1), [0, 1], None),
            (Unblock(3), [0, 1], None),
            (Priority(1, 2), [0, 1], None),
            (Priority(3, 1), [0, 3], Some((Local, [0, 1]))),
            (Block(3), [0, 1], None),
            (Affinity(1, BOTH), [0, 1], None),
            (Affinity(1, &[0]), [1, 0], Some((Stays, [0, NONE]))),
            (Affinity(1, BOTH), [1, 0], Some((Stays, [0, 1]))),
            (Affinity(1, &[0]), [1, 0], Some((Stays, [0, NONE]))),
            (Affinity(1, &[1]), [0, 1], None),
            (Block(0), [NONE, 1], None),
            (Unblock(0), [0, 1], None),
            (Block(1), [0, NONE], None),
            (Unblock(1), [0, 1], None),
        ],
    ),
    (
        "first come, first served among equals",
        &[
            (Priority(1, 0), [NONE, NONE], None),
            (Priority(2, 1), [NONE, NONE], None),
            (Priority(3, 1), [NONE, NONE], None),
            (Affinity(3, &[0]), [NONE, NONE], None),
            (Priority(4, 1), [NONE, NONE], None),
            (Affinity(4, &[0]), [NONE, NONE], None),
            (Unblock(0), [0, NONE], None),
            (Unblock(1), [0, 1], None),
            (Unblock(2), [0, 1], None),
            (Unblock(3), [0, 1], None),
            (Unblock(4), [0, 1], None),
            (Block(1), [0, 2], None),
            (Block(2), [3, 0], Some((Stays, [0, NONE]))),
            (Block(3), [4, 0], Some((Stays, [0, NONE]))),
        ],
    ),
    (
        "two that are bound to one CPU",
        &[
            (Unblock(0), [0, NONE], None),
            (Unblock(1), [0, 1], None),
            (Priority(1, 2), [0, 1], None),
            (Affinity(3, &[1]), [0, 1], None),
            (Unblock(3), [0, 1], None),
            (Priority(2, 1), [0, 1], None),
            (Affinity(2, &[1]), [0, 1], None),
            (Unblock(2), [0, 2], None),
            (Block(1), [0, 2], None),
            (Block(2), [0, 3], None),
        ],
    ),
    (
        "a free task makes room for a bound one",
        &[
            (Unblock(0), [0, NONE], None),
            (Affinity(1, &[0]), [0, NONE], None),
            (Unblock(1), [1, 0], Some((Stays, [0, NONE]))),
        ],
    ),
    (
        "a bound task blocks, another one waits there",
        &[
            (Affinity(1, &[0]), [NONE, NONE], None),
            (Affinity(3, &[0]), [NONE, NONE], None),
            (Unblock(0), [0, NONE], None),
            (Unblock(1), [1, 0], Some((Stays, [0, NONE]))),
            (Unblock(2), [1, 0], Some((Stays, [0, 2]))),
            (Unblock(3), [1, 0], Some((Stays, [0, 2]))),
            (Block(1), [2, 0], Some((Stays, [0, 2]))),
            (Block(0), [3, 2], None),
        ],
    ),
    (
        "a bound task does not get the other CPU",
        &[
            (Affinity(1, &[0]), [NONE, NONE], None),
            (Affinity(2, &[0]), [NONE, NONE], None),
            (Unblock(0), [0, NONE], None),
            (Unblock(1), [1, 0], Some((Stays, [0, NONE]))),
            (Unblock(2), [1, 0], Some((Stays, [0, NONE]))),
            (Block(0), [1, NONE], None),
        ],
    ),
];

/// Runs a table and answers the pair after each action.
fn run(table: Table) -> Vec<[usize; 2]> {
    let mut m = Machine::new(2);
    for task in 0..5 {
        m.spawn(Intent::system(), &[Op::Block(BlockReason::Event), Op::Run(u64::MAX / 2)]);
        m.call(task, |x, now, id| x.set_priority(now, id, task as u8)).unwrap();
        m.run_for(us(1));
    }
    let mut seen = Vec::new();
    for &(action, ..) in table {
        match action {
            Unblock(task) => drop(m.unpark(task).unwrap()),
            Block(task) => match (0..2).find(|&cpu| m.current(cpu) == Some(task)) {
                Some(cpu) => drop(m.ask(cpu, Leave::Block(BlockReason::Event, None))),
                // Only a running task blocks here; for the rest of the table, its end is as good.
                None => assert!(m.kill(task).unwrap()),
            },
            Priority(task, priority) => drop(m.call(task, |x, now, id| x.set_priority(now, id, priority)).unwrap()),
            Affinity(task, cpus) => {
                let mask: CpuMask = cpus.iter().copied().collect();
                m.call(task, |x, now, id| x.set_affinity(now, id, mask)).unwrap();
            }
        }
        m.run_for(us(1));
        seen.push([0, 1].map(|cpu| m.current(cpu).unwrap_or(NONE)));
    }
    seen
}

#[test]
fn smpschededf02() {
    for (name, table) in TABLES {
        for (step, (&(action, source, ours), seen)) in table.iter().zip(run(table)).enumerate() {
            let expected = ours.map_or(source, |(_, pair)| pair);
            assert_eq!(seen, expected, "{name}, step {step}, {action:?}, {ours:?}");
            assert!(ours.is_none_or(|(_, pair)| pair != source), "{name}, step {step}: the same as the source");
        }
    }
}

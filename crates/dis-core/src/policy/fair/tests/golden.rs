//! Worked examples of EEVDF, from the message of Linux commit 857b158dc5 ("sched/eevdf: Use sched_attr::sched_runtime
//! to set request/slice suggestion"), restated: total weight 4, a quantum of 8, initial virtual runtimes 0, 1, 2, 3.

use alloc::string::String;
use alloc::vec::Vec;

use super::*;

/// A unit of the examples' virtual time: 1 ns at weight 1.
const UNIT: i128 = 1 << 16;
const QUANTUM: u64 = 8;

/// Weights and requests of A, B, …; a period's schedule, one letter a quantum; V at each choice, in quarters.
type Example = (&'static [(u16, u64)], &'static str, &'static [i128]);

const EXAMPLES: [Example; 5] = [
    (&[(1, 8), (1, 8), (1, 8), (1, 8)], "ABCD", &[6, 14, 22, 30]),
    // The commit prints 8.25 and 12.25 for the last two; its own rule gives 9.25 and 13.25.
    (&[(1, 16), (1, 16), (2, 16)], "AACCBBCC", &[5, 21, 37, 53]),
    (&[(1, 16), (1, 8), (1, 16), (1, 16)], "BAACCBDD", &[6, 14, 30, 46, 54]),
    (&[(1, 16), (1, 8), (2, 16)], "BCCAABCC", &[5, 13, 29, 45, 53]),
    (&[(1, 16), (2, 16), (1, 8)], "BBCAABBC", &[4, 20, 28, 44, 60]),
];

#[test]
fn worked_examples() {
    for (tasks, schedule, v) in EXAMPLES {
        let mut machine = Machine::new(exact(Duration::ZERO));
        for (name, &(weight, request)) in tasks.iter().enumerate() {
            machine.spawn(weight, request);
            machine.shift(name, name as i64 * UNIT as i64);
        }
        let (mut order, mut seen) = (String::new(), Vec::new());
        while order.len() < 3 * schedule.len() {
            let (sum, weight) = machine.policy.clock.exact();
            assert_eq!(weight, 4);
            seen.push(sum * 4 / weight / UNIT);
            let before = machine.clock;
            let name = char::from(b'A' + machine.turn() as u8);
            (before..machine.clock).step_by(QUANTUM as usize).for_each(|_| order.push(name));
        }
        assert_eq!(order, schedule.repeat(3), "each period is like the first");
        assert_eq!(seen[..v.len()], *v, "{schedule}");
    }
}

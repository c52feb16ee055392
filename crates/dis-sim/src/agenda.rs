//! When something is due on which CPU.

/// What is due at one instant, in the order in which it happens: work that ends before timers and interrupts, so that a
/// job which needs its whole budget, or ends at its deadline, is finished and not late; then the lower CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    /// When, ns.
    pub at: u64,
    /// 0: the running task's work ends, or a switch is complete; 1: a timer or an interrupt.
    pub rank: u8,
}

impl Due {
    pub const NEVER: Due = Due { at: u64::MAX, rank: u8::MAX };
}

/// One entry a CPU: a tournament. O(1) for the first, O(log CPUs) for a change.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// A complete binary tree: the leaves from `leaves` on are the CPUs, each other node the first of its children.
    nodes: Box<[Node]>,
    leaves: usize,
}

/// A packed `(Due, CPU)`, which is compared in one step.
type Node = (u64, u16);

fn node(due: Due, cpu: usize) -> Node {
    // The rank decides before the CPU. There are at most 256 CPUs.
    (due.at, u16::from(due.rank) << 8 | cpu as u16)
}

impl Agenda {
    /// Nothing is due on so many CPUs, at most 256.
    pub fn new(cpus: usize) -> Agenda {
        let leaves = cpus.next_power_of_two();
        Agenda { nodes: vec![node(Due::NEVER, 0xff); 2 * leaves].into(), leaves }
    }

    /// What is due first, and where.
    #[inline]
    pub fn first(&self) -> (u64, usize) {
        let (at, rest) = self.nodes[1];
        (at, usize::from(rest & 0xff))
    }

    /// What is due on `cpu` has changed.
    #[inline]
    pub fn set(&mut self, cpu: usize, due: Due) {
        let mut place = self.leaves + cpu;
        let mut first = node(due, cpu);
        while self.nodes[place] != first {
            self.nodes[place] = first;
            if place == 1 {
                return;
            }
            first = first.min(self.nodes[place ^ 1]);
            place /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_earliest_then_the_end_of_work_then_the_lowest_cpu() {
        let mut agenda = Agenda::new(5);
        assert_eq!(agenda.first().0, u64::MAX);
        let due = |at, rank| Due { at, rank };
        agenda.set(4, due(9, 1));
        agenda.set(2, due(7, 1));
        assert_eq!(agenda.first(), (7, 2));
        agenda.set(3, due(7, 0));
        assert_eq!(agenda.first(), (7, 3));
        agenda.set(1, due(7, 0));
        assert_eq!(agenda.first(), (7, 1));
        agenda.set(1, Due::NEVER);
        agenda.set(3, due(8, 0));
        assert_eq!(agenda.first(), (7, 2));
        agenda.set(2, Due::NEVER);
        assert_eq!(agenda.first(), (8, 3));
    }

    #[test]
    fn a_single_cpu_and_the_most() {
        for cpus in [1, 256] {
            let mut agenda = Agenda::new(cpus);
            agenda.set(cpus - 1, Due { at: 3, rank: 1 });
            assert_eq!(agenda.first(), (3, cpus - 1));
            agenda.set(cpus - 1, Due { at: 5, rank: 1 });
            assert_eq!(agenda.first(), (5, cpus - 1));
        }
    }
}

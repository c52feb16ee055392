//! Tasks as the host knows them: what they do, and what was seen of them.

use std::collections::BTreeSet;

use dis_core::api::{BlockReason, TaskId};

use super::budgets::Account;
use super::counts::Counts;
use super::turns::Turn;

/// A step of a script.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Needs this much CPU time, ns.
    Run(u64),
    /// Sleeps for so long, ns.
    Sleep(u64),
    Block(BlockReason),
    /// Blocks for at most so long, ns.
    BlockFor(BlockReason, u64),
    Yield,
    NextPeriod,
    /// The next job arrives so long from now, ns.
    NextJob(u64),
    Exit(i32),
    /// Unparks the task of this number, if it lives.
    Unpark(usize),
    Wake(usize),
    Kill(usize),
    /// Goes on at this step.
    Goto(usize),
}

/// A task as the host knows it. Its number is the core's context.
#[derive(Debug, Clone)]
pub struct Actor {
    pub id: TaskId,
    /// Steps; at the end it begins again. Without steps it runs for ever.
    pub(super) script: Vec<Op>,
    pub(super) step: usize,
    /// What is left of the current `Run`.
    pub(super) left: Option<u64>,
    /// CPU time given to it, counted by the host.
    pub cpu_time: u64,
    pub switches: u64,
    /// When it ran: from, to, CPU.
    pub runs: Vec<(u64, u64, usize)>,
    /// How often it has done each step.
    pub done: Vec<u64>,
    /// Gone for good: the id is stale.
    pub gone: bool,
    pub(super) zombie: bool,
    /// What it has undergone, counted by the host.
    pub(super) counts: Counts,
    /// Whether a wake-up waits for its next block; `None`: the host cannot know.
    pub(super) token: Option<bool>,
    /// Who is told when it ends.
    pub(super) joiner: Option<usize>,
    /// Its intent has changed, or something was lent to it: its budgets are not followed any more.
    pub(super) changed: bool,
    /// The loan it has.
    pub(super) lent: bool,
    pub(super) account: Option<Account>,
    /// It was seen ready on a CPU where it may not run: no queue holds it until that CPU has let it go.
    pub(super) leaving: bool,
    pub(super) wait: Wait,
    pub(super) turn: Turn,
}

/// How long an Interactive task has waited.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait {
    /// What its peers got after its deadline, ns.
    pub overdue: u64,
    /// Those peers.
    pub peers: BTreeSet<usize>,
}

impl Actor {
    pub(super) fn new(id: TaskId, script: &[Op]) -> Actor {
        Actor {
            id,
            script: script.to_vec(),
            step: 0,
            left: None,
            cpu_time: 0,
            switches: 0,
            runs: Vec::new(),
            done: vec![0; script.len()],
            gone: false,
            zombie: false,
            counts: Counts::default(),
            token: Some(false),
            joiner: None,
            changed: false,
            lent: false,
            account: None,
            leaving: false,
            wait: Wait::default(),
            turn: Turn::default(),
        }
    }

    /// CPU time between two instants.
    pub fn ran_between(&self, from: u64, to: u64) -> u64 {
        let recent = self.runs.iter().rev().take_while(|run| run.1 > from);
        recent.map(|&(a, b, _)| b.min(to).saturating_sub(a.max(from))).sum()
    }

    /// The longest time between `from` and `to` in which it did not run at all.
    pub fn longest_gap(&self, from: u64, to: u64) -> u64 {
        let (mut gap, mut last) = (0, from);
        for &(a, b, _) in self.runs.iter().filter(|run| run.1 > from && run.0 < to) {
            gap = gap.max(a.saturating_sub(last));
            last = b;
        }
        gap.max(to.saturating_sub(last))
    }
}

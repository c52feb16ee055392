//! The conformance suite: what every policy has to do, whatever order it keeps.
//!
//! It needs nothing but the module, so it works for built-in ones, for those of one's own crate in its tests, and for those
//! from files. A policy that never comes back hangs it: `dis module check` runs it in a process of its own.

mod growth;
mod model;
mod order;
mod tasks;

use std::fmt;

use dis_core::modules::SchedulerModule;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// After random events: whoever was queued comes out, once; nobody else does; and the count is right after each.
    Tasks,
    /// The same events give the same answers.
    Repeatable,
    /// A task is found and taken out wherever it stands, and nowhere else.
    Removal,
    /// New priorities and deadlines keep every task.
    Update,
    /// Those that are shown to other CPUs are queued, are 16 or all, and showing them stops when asked to.
    Visit,
    /// The order that the classes promise which the module says it keeps.
    Order,
    /// No call takes time in proportion to the number of tasks.
    Growth,
}

impl Check {
    /// All, in the order in which they are made.
    pub const ALL: [Check; 7] =
        [Check::Tasks, Check::Repeatable, Check::Removal, Check::Update, Check::Visit, Check::Order, Check::Growth];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Tasks => "tasks",
            Check::Repeatable => "repeatable",
            Check::Removal => "removal",
            Check::Update => "update",
            Check::Visit => "visit",
            Check::Order => "order",
            Check::Growth => "growth",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub check: Check,
    /// What is wrong; `None`: nothing.
    pub wrong: Option<String>,
    /// What was tried, or measured.
    pub tried: String,
}

/// What the suite has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each check.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.wrong.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { check, wrong, tried } in &self.findings {
            match wrong {
                None => writeln!(f, "  ok      {:<11} {tried}", check.name())?,
                Some(wrong) => writeln!(f, "  FAILED  {:<11} {wrong}", check.name())?,
            }
        }
        Ok(())
    }
}

/// Runs the suite against policies of a module, which has been set up. Some seconds at most, most of them for
/// [`Check::Growth`].
pub fn check(module: &dyn SchedulerModule) -> Report {
    let findings = Check::ALL.map(|check| {
        let result = match check {
            Check::Tasks => model::tasks(module),
            Check::Repeatable => model::repeatable(module),
            Check::Removal => model::removal(module),
            Check::Update => model::update(module),
            Check::Visit => model::visit(module),
            Check::Order => order::promised(module),
            Check::Growth => growth::measure(module),
        };
        match result {
            Ok(tried) => Finding { check, wrong: None, tried },
            Err(wrong) => Finding { check, wrong: Some(wrong), tried: String::new() },
        }
    });
    Report { findings: findings.into() }
}

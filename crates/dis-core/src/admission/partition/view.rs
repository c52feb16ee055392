//! What the book says of one CPU, for further analyses.

use alloc::vec::Vec;

use super::book::Admission;
use super::reserved;
use crate::admission::{SporadicTask, Supply};
use crate::api::{Duration, TaskId};

/// The tasks of one CPU as the analysis sees them.
#[derive(Debug, Clone)]
pub struct CpuTasks {
    /// Tasks, and pieces of split ones, and behind them what reservations ask for, as one more task, if there are any.
    pub tasks: Vec<SporadicTask>,
    /// Whose the task at the same place is. One shorter if there are reservations.
    pub owners: Vec<TaskId>,
    /// What they get.
    pub supply: Supply,
}

impl Admission {
    /// What is admitted on `cpu`, and its supply if System may use `system` per mille of each window, besides `loan` of each
    /// window in which others run on loan as Realtime. `None` if there is no such CPU.
    pub fn cpu_tasks(&self, cpu: usize, system: u16, loan: Duration) -> Option<CpuTasks> {
        let book = self.cpus.get(cpu)?;
        let supply = self.rules.supply(system, book.sums().load.saturating_add(loan));
        let (reserved, supply) = reserved::demand(&self.rules, supply, book.sums());
        let tasks = book.tasks().iter().copied().chain(reserved).collect();
        Some(CpuTasks { tasks, owners: book.owners().to_vec(), supply })
    }

    /// The least share of each window that System keeps, per mille: what everything is admitted with.
    pub fn system_floor(&self) -> u16 {
        self.rules.floor()
    }
}

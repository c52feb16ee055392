//! Questions to the book of reservations that change nothing.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::TaskManager;
use super::book::request;
use crate::admission::{Assignment, Rejection, Remedy, Request, SporadicTask};
use crate::api::{CpuMask, Duration};
use crate::intent::{Intent, IntentClass};

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Whether a (valid) intent would be admitted now, and where it would run; `None` if it reserves nothing. Nothing changes.
    ///
    /// # Errors
    /// Why not, by how much, and who would be late.
    pub fn admission(&self, intent: &Intent) -> Result<Option<Assignment>, Rejection> {
        let Some(request) = request(intent, &self.config.limits) else { return Ok(None) };
        self.open_book().book.admission.ask(request).map(Some)
    }

    /// What would make a Realtime intent that is not admitted fit now: the longest wcet, the shortest longer deadline, in
    /// microseconds. Each question is one of [`admission`](Self::admission). Of other intents it knows nothing.
    pub fn remedy(&self, intent: &Intent) -> Remedy {
        let IntentClass::Realtime { period_us, deadline_us, wcet_us } = intent.class else { return Remedy::default() };
        let [period, deadline, wcet] = [period_us, deadline_us, wcet_us].map(Duration::from_micros);
        let limits = &self.config.limits;
        let affinity = intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL);
        let admission = &mut self.open_book().book.admission;
        Remedy::seek(&SporadicTask::new(wcet, deadline, period), Duration::from_micros(1), |task| {
            let task = SporadicTask { wcet: limits.budget(task.wcet, task.deadline), ..*task };
            admission.ask(Request::realtime(task).on(affinity)).is_ok()
        })
    }

    /// Utilisation reserved on each CPU, by Realtime tasks and by shares, per million.
    pub fn reserved_ppm(&self) -> Vec<u64> {
        let book = self.open_book();
        (0..self.cpu_count()).map(|cpu| book.book.admission.utilisation_ppb(cpu) / 1000).collect()
    }
}

//! How long a user task has been in user and in system mode. Clocked where it goes from one to the other, not sampled.

use core::cell::Cell;

/// Time since the last [`take`](Times::take), ns. Only the CPU that runs the task uses it.
#[derive(Debug, Default)]
pub struct Times {
    since: Cell<u64>,
    user: Cell<u64>,
    system: Cell<u64>,
}

impl Times {
    /// The task gets a CPU.
    pub fn begin(&self, now: u64) {
        self.since.set(now);
    }

    /// It has been in user mode until now.
    pub fn was_user(&self, now: u64) {
        self.user.set(self.user.get() + now.saturating_sub(self.since.replace(now)));
    }

    /// It has been in system mode until now.
    pub fn was_system(&self, now: u64) {
        self.system.set(self.system.get() + now.saturating_sub(self.since.replace(now)));
    }

    /// Both, and begins anew from zero.
    pub fn take(&self) -> (u64, u64) {
        (self.user.take(), self.system.take())
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn both_kinds_of_time_add_up() {
        let times = Times::default();
        times.begin(100);
        times.was_user(150);
        times.was_system(170);
        times.begin(1000);
        times.was_system(1005);
        times.was_user(1006);
        assert_eq!(times.take(), (51, 25));
        assert_eq!(times.take(), (0, 0));
    }
}

//! What takes a host time: to save registers, and to deliver interrupts.

use dis_core::executor::Wake;

use super::{Machine, Rng};

impl Machine {
    pub(super) fn save(&mut self, cpu: usize) {
        self.slowest = self.slowest.max(self.save_delay);
        match self.save_delay {
            0 => self.saved(cpu),
            most => {
                let done = self.now + self.delay(cpu, most);
                self.cpus[cpu].saving = Some(done);
                // The task that has been chosen makes no progress before.
                self.cpus[cpu].mark = done;
            }
        }
    }

    /// A delay of at most `most`, the same whatever happened before.
    fn delay(&self, cpu: usize, most: u64) -> u64 {
        if most == 0 { 0 } else { Rng::new(self.seed ^ self.now << 8 ^ cpu as u64).below(most + 1) }
    }

    pub(super) fn saved(&mut self, cpu: usize) {
        self.cpus[cpu].unsaved = None;
        self.cpus[cpu].mark = self.now;
        if self.executor.switched(cpu) {
            self.interrupt(cpu);
        }
    }

    pub fn interrupt(&mut self, cpu: usize) {
        let t = self.now + self.delay(cpu, self.interrupt_delay);
        let pending = &mut self.cpus[cpu].interrupt;
        *pending = Some(pending.map_or(t, |earlier| earlier.min(t)));
    }

    pub fn obey(&mut self, wake: Wake) {
        if wake.interrupt {
            self.interrupt(wake.cpu);
        }
        if let Some(t) = wake.until {
            let until = &mut self.cpus[wake.cpu].until;
            *until = Some(until.map_or(t.as_nanos(), |earlier| earlier.min(t.as_nanos())));
        }
    }
}

//! Who goes first: the order inside the classes, the order of the classes, and the caps and turns that bound it.

use dis_core::executor::Reason;
use dis_core::intent::QueueType;
use dis_core::optimizer::Limits;

use super::Machine;
use super::seen::Seen;

/// What System and Realtime have used of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    number: u64,
    high: u64,
    system: u64,
    /// What System may use of it, per mille.
    share: u16,
    /// The least that System might use, as reservations came and went.
    system_cap: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window { number: 0, high: 0, system: 0, share: 0, system_cap: u64::MAX }
    }
}

/// A class's turn before the classes above it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    class: QueueType,
    end: u64,
}

impl Machine {
    /// The window of `cpu` that contains now.
    fn window(&self, cpu: usize) -> Window {
        let number = self.now / self.limits.window.as_nanos();
        let window = self.cpus[cpu].window;
        if window.number == number { window } else { Window { number, share: window.share, ..Window::default() } }
    }

    /// `class` has run on `cpu` from `from` up to now.
    pub(super) fn use_window(&mut self, cpu: usize, class: QueueType, from: u64) {
        let mut window = self.window(cpu);
        let ran = self.now - from.max(window.number * self.limits.window.as_nanos());
        if class <= QueueType::Realtime {
            window.high += ran;
        }
        if class == QueueType::System {
            window.system += ran;
        }
        self.cpus[cpu].window = window;
    }

    /// Reservations may have changed.
    pub(super) fn follow_system_cap(&mut self, cpu: usize, share: u16) {
        let mut window = self.window(cpu);
        window.share = share;
        window.system_cap = window.system_cap.min(self.system_cap(share));
        self.cpus[cpu].window = window;
    }

    /// A class goes before a higher one only for its turn: once it has waited for its bound, for a limited time.
    pub(super) fn begin_turn(&mut self, cpu: usize, class: QueueType, reason: Reason) {
        let Some((wait, length)) = self.turns_of(class) else {
            assert_ne!(reason, Reason::WaitBound, "{class} has no turns");
            return;
        };
        let strict = self.is_prompt() && self.checked;
        let here = &mut self.cpus[cpu];
        let forgotten = here.forgotten.is_some_and(|t| self.now - t <= wait);
        let waited = here.waits[class.rank()].map(|since| self.now - since);
        let due = forgotten || waited >= Some(wait);
        if due && reason != Reason::Continue {
            here.due = Some((class, self.now));
        }
        let under_way = here.turn.is_some_and(|turn| turn.class == class && self.now < turn.end);
        if reason == Reason::WaitBound && !under_way {
            here.turn = Some(Turn { class, end: self.now + length });
            assert!(!strict || due, "{class} has a turn on {cpu} after {waited:?} ns at {}", self.now);
        }
    }

    /// A class that was due, and has the CPU anyway, has not been served before time passes: if a higher one comes in the same
    /// instant, the turn begins then.
    pub(super) fn follow_turn(&mut self, cpu: usize) {
        let Some((class, at)) = self.cpus[cpu].due else { return };
        let higher = |other: &QueueType| *other < class && self.queues(cpu, *other).next().is_some();
        let begins = at == self.now && self.cpus[cpu].turn.is_none_or(|turn| self.now >= turn.end);
        if let Some((_, length)) = self.turns_of(class).filter(|_| begins && QueueType::ALL[2..].iter().any(higher)) {
            self.cpus[cpu].turn = Some(Turn { class, end: self.now + length });
        }
    }

    /// How long a class waits for its turn, and how long that is, ns.
    fn turns_of(&self, class: QueueType) -> Option<(u64, u64)> {
        let Limits { batch_wait, batch_turn, background_wait, background_turn, .. } = self.limits;
        let (wait, length) = match class {
            QueueType::Batch => (batch_wait, batch_turn),
            QueueType::Background => (background_wait, background_turn),
            _ => return None,
        };
        Some((wait.as_nanos(), length.as_nanos()))
    }

    /// The chosen task is the first of its class.
    pub(super) fn check_first(&self, cpu: usize, chosen: usize, class: QueueType) {
        if !self.checked {
            return;
        }
        let Some(mine) = self.seen[chosen].as_ref().map(|seen| seen.urgency) else { return };
        for (other, Seen { urgency, .. }) in self.queues(cpu, class) {
            let first = match (class, self.policies[class.rank()]) {
                (QueueType::Realtime | QueueType::Interactive, "edf") => mine.deadline <= urgency.deadline,
                (_, "priority") => mine.priority <= urgency.priority,
                _ => true,
            };
            assert!(first, "{class} on {cpu}: {chosen} {mine:?} goes before {other} {urgency:?} at {}", self.now);
        }
    }

    /// Whether interrupts and the saving of registers take no time.
    pub(super) fn is_prompt(&self) -> bool {
        self.slowest == 0 && self.save_delay == 0 && self.interrupt_delay == 0
    }

    /// Nothing is under way: each CPU runs what it should.
    pub(super) fn check_order(&self) {
        // The core never asks for an answer at once, but for one a nanosecond later; and a CPU that has more than one other to
        // name names the next one then.
        let asks = self.cpus.iter().any(|cpu| cpu.until.is_some_and(|t| t <= self.now + 1));
        for cpu in 0..self.cpus.len() {
            let Some((running, class)) = self.cpus[cpu].current else { continue };
            // It leaves its class at the next decision.
            let stays = self.seen[running].as_ref().is_some_and(|seen| seen.urgency.class == class);
            if stays {
                self.check_first(cpu, running, class);
            }
            if self.is_prompt() && !asks {
                self.check_classes(cpu, class);
            }
        }
    }

    fn check_classes(&self, cpu: usize, running: QueueType) {
        let waits = |class: QueueType| self.queues(cpu, class).next().is_some();
        let low_waits = QueueType::ALL[2..].iter().any(|&class| waits(class));
        let others_wait = QueueType::ALL[1..].iter().any(|&class| waits(class));
        let window = self.window(cpu);
        let cap = self.limits.window.as_nanos() * u64::from(self.limits.realtime) / 1000;
        let capped = window.high >= cap;
        let system_capped = window.system >= self.system_cap(window.share);
        let told = || format!("CPU {cpu} runs {running}, {window:?} at {}", self.now);
        if running <= QueueType::Realtime {
            assert!(!(capped && low_waits), "beyond the cap: {}", told());
            assert!(running != QueueType::System || !(system_capped && others_wait), "beyond its cap: {}", told());
        } else {
            assert!(!waits(QueueType::Realtime) || capped, "Realtime waits: {}", told());
        }
        if running > QueueType::System {
            // A cap that has risen counts from the next decision on.
            let held_back =
                window.system >= window.system_cap || (capped && (low_waits || running > QueueType::Realtime));
            assert!(!waits(QueueType::System) || held_back, "System waits: {}", told());
        }
        let higher = QueueType::ALL[2..].iter().any(|&class| class < running && waits(class));
        if running > QueueType::Interactive && higher {
            let turn = self.cpus[cpu].turn.is_some_and(|turn| turn.class == running && self.now < turn.end);
            assert!(turn, "no turn of its own: {}", told());
        }
    }

    /// What System may use of a window.
    fn system_cap(&self, share: u16) -> u64 {
        self.limits.window.as_nanos() * u64::from(share) / 1000
    }

    /// The core does not let a CPU ask again and again without a change.
    pub(super) fn check_calm(&mut self, cpu: usize) {
        const MANY: usize = 12;
        let asked = &mut self.cpus[cpu].asked;
        asked.push_back(self.now);
        if asked.len() > MANY {
            let first = asked.pop_front().expect("many");
            let last: Vec<_> = self.trace.iter().rev().filter(|event| event.cpu == cpu).take(3).collect();
            assert!(self.now - first > 100, "{MANY} timers on CPU {cpu} within {} ns: {last:#?}", self.now - first);
        }
    }
}

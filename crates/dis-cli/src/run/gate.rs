//! Lets the threads of a round begin together.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the threads wait until all are ready.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    ready: usize,
    refused: Option<String>,
    /// Whether to go on, once that is known.
    open: Option<bool>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread is ready, or could not be made so. True if it is to go on.
    pub fn pass(&self, result: Result<(), String>) -> bool {
        let mut state = self.lock();
        match result {
            Ok(()) => state.ready += 1,
            Err(why) => state.refused = state.refused.take().or(Some(why)),
        }
        self.changed.notify_all();
        while state.open.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.open == Some(true)
    }

    /// Waits until so many threads are ready.
    pub fn wait(&self, count: usize, patience: Duration) -> Result<(), String> {
        let blocked = |state: &mut GateState| state.ready < count && state.refused.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, blocked);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.refused.take() {
            Some(why) => Err(why),
            None if timeout.timed_out() => Err("the threads did not get ready in time".into()),
            None => Ok(()),
        }
    }

    /// Lets all go, on or home.
    pub fn open(&self, go_on: bool) {
        self.lock().open = Some(go_on);
        self.changed.notify_all();
    }
}

/// Sends the threads home and waits until they are gone, so that the next round finds what they held.
pub fn give_up(gate: &Gate, threads: impl Iterator<Item = JoinHandle<()>>) {
    gate.open(false);
    // What became of them does not matter any more.
    threads.for_each(|thread| drop(thread.join()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn all_go_or_none() {
        for refused in [false, true] {
            let gate = Arc::new(Gate::default());
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || gate.pass(if refused && n == 1 { Err("no".into()) } else { Ok(()) }))
                })
                .collect();
            let result = gate.wait(3, Duration::from_secs(20));
            assert_eq!(result, if refused { Err("no".into()) } else { Ok(()) });
            gate.open(result.is_ok());
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() != refused));
        }
        assert!(Gate::default().wait(1, Duration::from_millis(1)).unwrap_err().contains("in time"));
    }
}

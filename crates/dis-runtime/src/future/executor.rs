//! For libraries that spawn by an executor that they are given.

use dis_core::intent::Intent;

/// Spawns what a library gives it, with one intent, as [`future::spawn`](crate::future::spawn) does: into the runtime that the
/// caller is in. A clone spawns with the same intent.
///
/// It is a `futures::task::Spawn` (feature `futures`) and a `hyper::rt::Executor` (feature `hyper`).
#[derive(Debug, Clone)]
pub struct Spawner {
    intent: Intent,
}

impl Spawner {
    /// One that spawns with this intent.
    pub fn new(intent: Intent) -> Spawner {
        Spawner { intent }
    }

    /// The intent.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }
}

#[cfg(feature = "futures")]
impl futures_task::Spawn for Spawner {
    fn spawn_obj(&self, future: futures_task::FutureObj<'static, ()>) -> Result<(), futures_task::SpawnError> {
        // That is the only error it has.
        super::spawn(self.intent.clone(), future).map(drop).map_err(|_| futures_task::SpawnError::shutdown())
    }
}

/// A future that is refused (the runtime shuts down, there is none, or the intent is not admitted) is dropped, so its peer sees a
/// closed connection: hyper gives no way to say more.
#[cfg(feature = "hyper")]
impl<F> hyper::rt::Executor<F> for Spawner
where
    F: std::future::Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(super::spawn(self.intent.clone(), future));
    }
}

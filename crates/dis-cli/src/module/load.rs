//! Modules from files where no task of a runtime can wait for them: native ones, and WebAssembly with the feature `wasm`.

use std::path::Path;

use dis_core::modules::SchedulerModule;
use dis_module::{Faults, LoadError};

/// Loads a module of either kind.
///
/// # Errors
/// See [`LoadError`]. Without the feature `wasm` WebAssembly is refused by the native loader, which names the feature.
pub fn load(file: &Path) -> Result<(Box<dyn SchedulerModule>, Faults), LoadError> {
    #[cfg(feature = "wasm")]
    if dis_module::is_wasm(file) {
        let module = dis_module::load_wasm(file)?;
        let faults = module.faults();
        return Ok((Box::new(module), faults));
    }
    load_native(file)
}

/// Loads a shared library.
///
/// # Errors
/// See [`LoadError`].
pub fn load_native(file: &Path) -> Result<(Box<dyn SchedulerModule>, Faults), LoadError> {
    let module = dis_module::load(file)?;
    let faults = module.faults();
    Ok((Box::new(module), faults))
}

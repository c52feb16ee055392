//! The host's side: a file becomes a module.

mod elf;
mod error;
mod escape;
mod library;
mod policy;
mod watch;

use std::ffi::c_void;
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use dis_core::intent::QueueType;
use dis_core::modules::{Module, ModuleError, ModuleResult, SchedulerModule, Version};
use dis_core::policy::SchedulingPolicy;

use crate::abi::{Classes, FAULTY_CLASSES, FAULTY_NUMBER, Memory, Outcome};
pub use error::LoadError;
use library::Library;
use policy::LoadedPolicy;
pub(crate) use policy::Refuser;
pub use watch::PATIENCE;

/// A module from a file.
///
/// The library stays loaded as long as the module or one of its policies lives.
#[derive(Debug)]
pub struct LoadedModule {
    library: Arc<Library>,
    /// The module over there.
    this: *mut c_void,
    name: &'static str,
    version: Version,
    supported: Vec<QueueType>,
    possible: Classes,
    path: PathBuf,
}

// SAFETY: the module over there is `Send + Sync` (`Module` says so), and every call that changes it needs `&mut self`.
unsafe impl Send for LoadedModule {}
// SAFETY: as above; the others change nothing, or what they change is synchronised over there.
unsafe impl Sync for LoadedModule {}

/// Loads a module. Its set-up ([`Module::init`]) has not been called.
///
/// A private copy of the file is loaded: the file may be replaced at any time, and loading it again then gives the new one,
/// whether the old one is in use or not. Code of the library runs in this process from here on, before any question of
/// whether it is a good module.
///
/// # Errors
/// See [`LoadError`]; each names the file.
pub fn load(path: impl AsRef<Path>) -> Result<LoadedModule, LoadError> {
    let path = path.as_ref();
    let library = Arc::new(Library::open(path)?);
    let table = library.descriptor().module;
    let faulty = |call| LoadError::Fault { path: path.into(), call, message: library.fault() };
    // SAFETY: a descriptor of this ABI, whose functions may be called in this order; so with the calls below.
    let this = unsafe { (table.create)() };
    if this.is_null() {
        return Err(faulty("default"));
    }
    // From here on it is destroyed when it is dropped.
    let mut module = LoadedModule {
        library: Arc::clone(&library),
        this,
        name: "",
        version: Version::new(0, 0, 0),
        supported: Vec::new(),
        possible: 0,
        path: path.into(),
    };
    // SAFETY: as above; the text is the library's, which is loaded.
    let name = unsafe { (table.name)(this).to_text() };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(LoadError::Name { path: path.into(), name });
    }
    // SAFETY: as above.
    let version = unsafe { (table.version)(this) };
    if version == FAULTY_NUMBER {
        return Err(faulty("version"));
    }
    // SAFETY: as above.
    let (supported, possible) = unsafe { ((table.supported)(this), (table.possible)(this)) };
    if supported == FAULTY_CLASSES || possible == FAULTY_CLASSES {
        return Err(faulty("supported_intents or can_schedule"));
    }
    // Names go into registries and statistics, which keep them for ever; they are few and short.
    module.name = Box::leak(name.into_boxed_str());
    module.version = Version::new((version >> 48) as u16, (version >> 32) as u16, (version >> 16) as u16);
    module.supported = QueueType::ALL.into_iter().filter(|class| supported >> class.rank() & 1 == 1).collect();
    module.possible = possible;
    watch::start();
    Ok(module)
}

impl LoadedModule {
    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it does wrong, also after it has been given away.
    pub fn faults(&self) -> Faults {
        Faults::new(self.name, Arc::<Library>::clone(&self.library))
    }

    /// What the library has allocated so far; zeros if it has an allocator of its own.
    pub fn memory(&self) -> Memory {
        self.library.memory()
    }

    fn outcome(&self, outcome: Outcome) -> ModuleResult<()> {
        // SAFETY: the library's, which is loaded.
        let why = || -> &'static str { Box::leak(unsafe { outcome.why.to_text() }.into_boxed_str()) };
        match outcome.code {
            Outcome::DONE => Ok(()),
            Outcome::EXHAUSTED => Err(ModuleError::ResourceExhausted),
            Outcome::UNSUPPORTED => Err(ModuleError::Unsupported(why())),
            Outcome::FAULT => Err(ModuleError::Failed(Box::leak(self.library.fault().into_boxed_str()))),
            _ => Err(ModuleError::Failed(why())),
        }
    }
}

impl Module for LoadedModule {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    fn init(&mut self) -> ModuleResult<()> {
        // SAFETY: made by `create`.
        self.outcome(unsafe { (self.library.descriptor().module.init)(self.this) })
    }

    fn cleanup(&mut self) -> ModuleResult<()> {
        if self.library.is_stopped() {
            // Nothing of it may be called any more.
            return Ok(());
        }
        // SAFETY: made by `create`.
        self.outcome(unsafe { (self.library.descriptor().module.cleanup)(self.this) })
    }
}

impl SchedulerModule for LoadedModule {
    /// If making one panics over there, or one of the module's policies had to be stopped, a policy whose first answer is wrong: the core replaces it by the built-in one, and
    /// counts that.
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        let make = || {
            // SAFETY: made by `create`.
            unsafe { (self.library.descriptor().module.policy)(self.this) }
        };
        let policy = if self.library.is_stopped() { ptr::null_mut() } else { make() };
        if policy.is_null() {
            self.library.count_fault();
            return Box::new(Refuser::new(self.name));
        }
        Box::new(LoadedPolicy::new(self.name, policy, Arc::clone(&self.library)))
    }

    fn supported_intents(&self) -> &[QueueType] {
        &self.supported
    }

    fn can_schedule(&self, class: QueueType) -> bool {
        self.possible >> class.rank() & 1 == 1
    }
}

impl Drop for LoadedModule {
    fn drop(&mut self) {
        if !self.library.is_stopped() {
            // SAFETY: made by `create`, and not used any more.
            unsafe { (self.library.descriptor().module.destroy)(self.this) };
        }
    }
}

/// Where what a module does wrong is noted.
pub(crate) trait FaultLog: fmt::Debug + Send + Sync {
    fn count(&self) -> u64;
    fn message(&self) -> String;
}

impl FaultLog for Library {
    fn count(&self) -> u64 {
        self.faults()
    }
    fn message(&self) -> String {
        self.fault()
    }
}

/// What a module has done wrong.
#[derive(Debug, Clone)]
pub struct Faults {
    log: Arc<dyn FaultLog>,
    name: &'static str,
}

impl Faults {
    pub(crate) fn new(name: &'static str, log: Arc<dyn FaultLog>) -> Faults {
        Faults { log, name }
    }

    /// The module's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many of its policies have panicked or were stopped, or could not be made.
    pub fn count(&self) -> u64 {
        self.log.count()
    }

    /// What its first panic said, and where, or in which call one of its policies was stopped; empty if there was neither.
    pub fn message(&self) -> String {
        self.log.message()
    }
}

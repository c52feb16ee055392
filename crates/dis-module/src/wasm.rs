//! Policies in WebAssembly, which need not be trusted: they have their own memory, of limited size, and limited fuel for each call.
//!
//! The interpreter is wasmi: deterministic, no machine code is made, and what a call may cost is counted in instructions. Its calls
//! may allocate, so a policy of this kind serves where no task can be inside the allocator: the simulator and the conformance
//! suite, not a runtime whose signal handler decides.

mod policy;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dis_core::intent::QueueType;
use dis_core::modules::{ModuleError, ModuleResult, SchedulerModule, Version};
use dis_core::policy::SchedulingPolicy;
use wasmi::{Caller, Engine, Instance, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedFunc};

use crate::abi::wasm as abi;
use crate::abi::{Classes, Outcome};
use crate::load::{FaultLog, Faults, LoadError};
use policy::{Refuser, WasmPolicy};

/// Most memory of an instance: 64 MiB.
pub const MEMORY: usize = 64 << 20;
/// Instructions (of wasmi) that a decision may take: some milliseconds.
pub const FUEL: u64 = 2_000_000;
/// The same for what is done once, or looks at all tasks.
pub const MUCH_FUEL: u64 = 200_000_000;

/// What the host keeps beside an instance.
struct Host {
    limits: StoreLimits,
    /// Keys that `visit` has shown.
    shown: Vec<u32>,
    message: String,
}

/// What a module did wrong.
#[derive(Default)]
struct Log(Mutex<(u64, String)>);

impl Log {
    fn note(&self, message: String) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.0 += 1;
        if log.1.is_empty() {
            log.1 = message;
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl FaultLog for Log {
    fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
    fn message(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// A module that runs: its memory and its functions.
struct Guest {
    store: Store<Host>,
    memory: Memory,
    buffer: usize,
    ask: TypedFunc<u32, u64>,
    call: TypedFunc<(u32, u64, u64, u64), u64>,
}

/// A module from a WebAssembly file.
pub struct WasmModule {
    engine: Engine,
    code: Module,
    name: &'static str,
    version: Version,
    supported: Vec<QueueType>,
    possible: Classes,
    path: PathBuf,
    log: Arc<Log>,
}

impl fmt::Debug for WasmModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmModule").field("path", &self.path).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a file is WebAssembly.
pub fn is_wasm(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *b"\0asm"
}

/// Loads a module in WebAssembly. Nothing of it can touch this process's memory.
///
/// # Errors
/// See [`LoadError`]; each names the file.
pub fn load_wasm(path: impl AsRef<Path>) -> Result<WasmModule, LoadError> {
    let path = path.as_ref();
    let loader = |why: String| LoadError::Loader { path: path.into(), why };
    let bytes = std::fs::read(path).map_err(|error| LoadError::Io { path: path.into(), error })?;
    let mut config = wasmi::Config::default();
    config.consume_fuel(true);
    let engine = Engine::new(&config);
    let code = Module::new(&engine, &bytes[..]).map_err(|error| loader(error.to_string()))?;
    let mut module = WasmModule {
        engine,
        code,
        name: "",
        version: Version::new(0, 0, 0),
        supported: Vec::new(),
        possible: 0,
        path: path.into(),
        log: Arc::default(),
    };
    let mut guest = module.guest().map_err(loader)?;
    let mut ask = |what, call| guest.ask(what).map_err(|message| LoadError::Fault { path: path.into(), call, message });
    let (name, version) = (ask(abi::NAME, "name")?, ask(abi::MODULE_VERSION, "version")?);
    let (supported, possible) = (ask(abi::SUPPORTED, "supported_intents")?, ask(abi::POSSIBLE, "can_schedule")?);
    let name = guest.text((name >> 32) as usize, (name & 0xffff_ffff) as usize);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(LoadError::Name { path: path.into(), name });
    }
    // As for native modules: names are kept for ever, and are few and short.
    module.name = Box::leak(name.into_boxed_str());
    module.version = Version::new((version >> 48) as u16, (version >> 32) as u16, (version >> 16) as u16);
    module.supported = QueueType::ALL.into_iter().filter(|class| supported >> class.rank() & 1 == 1).collect();
    module.possible = possible as Classes;
    Ok(module)
}

impl WasmModule {
    /// What it does wrong, also after it has been given away.
    pub fn faults(&self) -> Faults {
        Faults::new(self.name, Arc::<Log>::clone(&self.log))
    }

    /// An instance with its module made.
    fn guest(&self) -> Result<Guest, String> {
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).instances(1).memories(1).tables(4).build();
        let mut store = Store::new(&self.engine, Host { limits, shown: Vec::new(), message: String::new() });
        store.limiter(|host| &mut host.limits);
        let text = |error: wasmi::Error| error.to_string();
        store.set_fuel(MUCH_FUEL).map_err(text)?;
        let mut linker = Linker::new(&self.engine);
        let show = |mut caller: Caller<'_, Host>, key: u32| -> u32 {
            let host = caller.data_mut();
            let full = host.shown.len() >= MEMORY / 4;
            if !full {
                host.shown.push(key);
            }
            u32::from(full)
        };
        let panicked = |mut caller: Caller<'_, Host>, start: u32, len: u32| {
            let memory = caller.get_export("memory").and_then(wasmi::Extern::into_memory);
            let mut bytes = vec![0; (len as usize).min(1_000)];
            if memory.is_some_and(|memory| memory.read(&caller, start as usize, &mut bytes).is_ok()) {
                caller.data_mut().message = String::from_utf8_lossy(&bytes).into_owned();
            }
        };
        linker.func_wrap("dis", "show", show).map_err(|error| error.to_string())?;
        linker.func_wrap("dis", "panicked", panicked).map_err(|error| error.to_string())?;
        let instance = linker.instantiate_and_start(&mut store, &self.code).map_err(text)?;
        let version = function::<(), u32>(&instance, &store, "dis_abi")?.call(&mut store, ()).map_err(text)?;
        if version != abi::VERSION {
            return Err(format!(
                "it is built for version {version} of the WebAssembly ABI, and this program has version {}",
                abi::VERSION
            ));
        }
        let memory = instance.get_memory(&store, "memory").ok_or("it exports no memory")?;
        let buffer = function::<(), u32>(&instance, &store, "dis_buffer")?.call(&mut store, ()).map_err(text)? as usize;
        if buffer + 2 * abi::TASK > memory.data(&store).len() {
            return Err("its buffer lies outside its memory".into());
        }
        let create = function::<(), ()>(&instance, &store, "dis_create")?;
        let ask = function(&instance, &store, "dis_ask")?;
        let call = function(&instance, &store, "dis_call")?;
        let mut guest = Guest { store, memory, buffer, ask, call };
        create.call(&mut guest.store, ()).map_err(|error| guest.trap(&error))?;
        Ok(guest)
    }
}

fn function<P: wasmi::WasmParams, R: wasmi::WasmResults>(
    instance: &Instance,
    store: &Store<Host>,
    name: &str,
) -> Result<TypedFunc<P, R>, String> {
    let found = instance.get_typed_func(store, name);
    found.map_err(|error| {
        format!("no function {name} as the WebAssembly ABI has it ({error}): is `export_scheduler!` missing?")
    })
}

impl Guest {
    /// Asks the module.
    fn ask(&mut self, what: u32) -> Result<u64, String> {
        let set = self.store.set_fuel(MUCH_FUEL);
        set.and_then(|()| self.ask.call(&mut self.store, what)).map_err(|error| self.trap(&error))
    }

    /// Why it was stopped.
    fn trap(&mut self, error: &wasmi::Error) -> String {
        let message = std::mem::take(&mut self.store.data_mut().message);
        match error.as_trap_code() {
            Some(wasmi::TrapCode::OutOfFuel) => "used up its fuel: it does not come back".into(),
            _ if !message.is_empty() => message,
            _ => error.to_string(),
        }
    }

    fn text(&self, start: usize, len: usize) -> String {
        let bytes = self.memory.data(&self.store).get(start..start.saturating_add(len.min(256)));
        String::from_utf8_lossy(bytes.unwrap_or(&[])).into_owned()
    }
}

impl dis_core::modules::Module for WasmModule {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Version {
        self.version
    }

    /// Each policy has an instance of its own, which is set up before it; this tries it once.
    fn init(&mut self) -> ModuleResult<()> {
        let code = self.guest().and_then(|mut guest| guest.ask(abi::INIT));
        let failed = |why: String| ModuleError::Failed(Box::leak(why.into_boxed_str()));
        match code.map_err(failed)? as u32 {
            Outcome::DONE => Ok(()),
            Outcome::EXHAUSTED => Err(ModuleError::ResourceExhausted),
            _ => Err(ModuleError::Failed("its own set-up fails")),
        }
    }
}

impl SchedulerModule for WasmModule {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        let made = self.guest().and_then(|mut guest| {
            guest.ask(abi::INIT)?;
            guest.ask(abi::MAKE_POLICY)?;
            Ok(guest)
        });
        match made {
            Ok(guest) => Box::new(WasmPolicy::new(self.name, guest, Arc::clone(&self.log))),
            Err(why) => {
                self.log.note(why);
                Box::new(Refuser::new(self.name))
            }
        }
    }

    fn supported_intents(&self) -> &[QueueType] {
        &self.supported
    }

    fn can_schedule(&self, class: QueueType) -> bool {
        self.possible >> class.rank() & 1 == 1
    }
}

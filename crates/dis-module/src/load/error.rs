//! Why a file is no module.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::abi::{SYMBOL, TOOLKIT, VERSION};

/// Why a file is no module.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// It cannot be read, or copied to where it is loaded from.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no library for this machine.
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// The system's loader refuses it.
    Loader {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        why: String,
    },
    /// It does not export [`SYMBOL`].
    NoSymbol {
        /// The file.
        path: PathBuf,
    },
    /// What it exports under [`SYMBOL`] is something else.
    NoDescriptor {
        /// The file.
        path: PathBuf,
    },
    /// It was built for another ABI.
    Version {
        /// The file.
        path: PathBuf,
        /// The ABI's version that it was built for.
        found: u32,
        /// With what.
        toolkit: String,
    },
    /// It has no name, or one that is not made of ASCII letters, digits and `-_.`.
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// It panicked.
    Fault {
        /// The file.
        path: PathBuf,
        /// In what.
        call: &'static str,
        /// What the panic said.
        message: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            LoadError::NotALibrary { path, what } => {
                write!(f, "{}: is {what}; a module is a shared library (crate-type = [\"cdylib\"])", path.display())
            }
            LoadError::Loader { path, why } => write!(f, "{}: cannot be loaded: {why}", path.display()),
            LoadError::NoSymbol { path } => {
                write!(f, "{}: exports no {SYMBOL}: is `export_scheduler!` missing?", path.display())
            }
            LoadError::NoDescriptor { path } => {
                write!(f, "{}: what it exports as {SYMBOL} is not the description of a module", path.display())
            }
            LoadError::Version { path, found, toolkit } => write!(
                f,
                "{}: is built for version {found} of the module ABI (with {toolkit}), and this program has version \
                 {VERSION} ({TOOLKIT}); build it again with that",
                path.display()
            ),
            LoadError::Name { path, name } => write!(
                f,
                "{}: the module's name is {name:?}; it must be made of ASCII letters, digits, '-', '_' and '.'",
                path.display()
            ),
            LoadError::Fault { path, call, message } => {
                write!(f, "{}: the module panics in {call}: {message}", path.display())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

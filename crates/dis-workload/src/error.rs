//! What is wrong with a file, all of it at once.

use std::fmt;

/// Most problems that one [`WorkloadError`] lists.
pub const MAX_PROBLEMS: usize = 20;

/// A file that cannot be run, with every problem found in it (the first [`MAX_PROBLEMS`]).
///
/// Its `Display` prints one problem a line: `file:line:column: field: what is wrong; what is allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadError {
    /// The file as the caller named it.
    pub file: String,
    /// What is wrong, in the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// How many further problems are left out.
    pub left_out: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// Column in characters, from 1, where known.
    pub column: Option<usize>,
    /// The field: `task "encode".instances`; empty when the file as a whole is meant.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl WorkloadError {
    /// An error about the file as a whole.
    pub(crate) fn whole(file: &str, message: impl Into<String>) -> Self {
        let problem = Problem { line: None, column: None, field: String::new(), message: message.into() };
        Self { file: file.into(), problems: vec![problem], left_out: 0 }
    }
}

impl fmt::Display for WorkloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
                if let Some(column) = problem.column {
                    write!(f, ":{column}")?;
                }
            }
            write!(f, ": {problem}")?;
        }
        match self.left_out {
            0 => Ok(()),
            1 => write!(f, "\n{}: and 1 more problem", self.file),
            more => write!(f, "\n{}: and {more} more problems", self.file),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for WorkloadError {}

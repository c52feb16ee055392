//! The file being read, and what has been found wrong with it so far.

use crate::error::{MAX_PROBLEMS, Problem, WorkloadError};
use crate::model::Note;

/// Collects problems and notes with their positions.
pub(crate) struct Context<'a> {
    file: &'a str,
    text: &'a str,
    /// Byte offset at which each line begins.
    lines: Vec<usize>,
    problems: Vec<(usize, Problem)>,
    notes: Vec<(usize, Note)>,
}

impl<'a> Context<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, lines, problems: Vec::new(), notes: Vec::new() }
    }

    /// What the file is called.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset).max(1)
    }

    /// Line and column (in characters) of a byte offset, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.lines[line - 1];
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// Adds a problem at a byte offset.
    pub fn problem(&mut self, offset: usize, field: impl Into<String>, message: impl Into<String>) {
        let (line, column) = self.position(offset);
        let problem = Problem { line: Some(line), column: Some(column), field: field.into(), message: message.into() };
        self.problems.push((offset, problem));
    }

    /// Adds a note at a byte offset.
    pub fn note(&mut self, offset: usize, path: impl Into<String>, text: impl Into<String>) {
        let line = Some(self.line(offset));
        self.notes.push((offset, Note { file: self.file.into(), line, path: path.into(), text: text.into() }));
    }

    /// How many problems there are so far.
    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Whether anything is wrong so far.
    pub fn failed(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The notes in the order of the file, or the error.
    pub fn finish(mut self) -> Result<Vec<Note>, WorkloadError> {
        if self.failed() {
            self.problems.sort_by_key(|(offset, _)| *offset);
            let left_out = self.problems.len().saturating_sub(MAX_PROBLEMS);
            let problems = self.problems.into_iter().map(|(_, problem)| problem).take(MAX_PROBLEMS).collect();
            return Err(WorkloadError { file: self.file.into(), problems, left_out });
        }
        self.notes.sort_by_key(|(offset, _)| *offset);
        Ok(self.notes.into_iter().map(|(_, note)| note).collect())
    }
}

/// `a`, `b` or `c`, each quoted with backticks.
pub(crate) fn join_or<'s>(words: impl IntoIterator<Item = &'s str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}

/// Text of the file as a message quotes it: control characters escaped, at most 40 characters.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_survive_any_offset() {
        let context = Context::new("f", "ab\näöx\n");
        assert_eq!(context.position(0), (1, 1));
        assert_eq!(context.position(7), (2, 3));
        assert_eq!(context.position(8), (2, 4));
        for offset in 0..20 {
            context.position(offset);
        }
        assert_eq!(Context::new("f", "").position(5), (1, 1));
    }

    #[test]
    fn words_are_joined() {
        assert_eq!(join_or(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(join_or(["a"]), "`a`");
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_are_limited() {
        let text = "\n".repeat(30);
        let mut context = Context::new("f", &text);
        (0..25).rev().for_each(|offset| context.problem(offset, "x", "y"));
        let error = context.finish().unwrap_err();
        assert_eq!((error.problems.len(), error.left_out), (MAX_PROBLEMS, 5));
        assert_eq!(error.problems[0].line, Some(1));
        assert!(error.to_string().ends_with("f:20:1: x: y\nf: and 5 more problems"), "{error}");
    }
}

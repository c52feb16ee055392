//! Static checks of a body.
use super::{Objects, TaskSpec};
/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyProblem {}
/// Checks one task.
pub fn check_body(_task: &TaskSpec, _objects: &Objects) -> Vec<BodyProblem> {
    Vec::new()
}

//! Placing tasks that are all known beforehand.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::assignment::Assignment;
use super::book::{Admission, Entry};
use super::rejection::Rejection;
use super::request::Request;
use crate::admission::SporadicTask;
use crate::admission::utilisation::Utilisation;
use crate::api::TaskId;

/// After how many tasks that cannot be split planning gives up on splitting.
const MAX_FAILED_SPLITS: usize = 16;

impl Admission {
    /// The place of a request among those that are to be placed together: whoever may use the fewest CPUs first, then whoever
    /// is densest.
    pub(crate) fn rank(&self, request: &Request) -> (u32, Reverse<u128>) {
        (self.allowed(request).count(), Reverse(density(&request.task)))
    }

    /// Admits as many of `requests` as it can, beside what is admitted already, and answers for each, in the order given.
    ///
    /// First-fit decreasing: whoever may use the fewest CPUs first, then whoever is densest, then the order given; each whole
    /// on the first CPU that takes it. Those that are left are split afterwards, so that no more are than need be; once that has
    /// failed for sixteen, the others are not tried, nor is any of more than sixteen whose utilisation exceeds what is left. If
    /// then one to sixteen have no place, it is tried to split each in its turn: a large task finds larger pieces so, which only
    /// whoever comes later might need whole. Whatever admits more counts.
    ///
    /// O(n log n), and at most four times what [`admit`](Self::admit) takes for each.
    pub fn plan(&mut self, requests: &[(TaskId, Request)]) -> Vec<Result<Assignment, Rejection>> {
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by_cached_key(|&i| self.rank(&requests[i].1));
        let mut at_once = self.clone();
        let later = self.place_all(requests, &order, true);
        let rejected = |answers: &[Result<_, _>]| answers.iter().filter(|answer| answer.is_err()).count();
        if !(1..=MAX_FAILED_SPLITS).contains(&rejected(&later)) {
            return later;
        }
        let answers = at_once.place_all(requests, &order, false);
        if rejected(&answers) >= rejected(&later) {
            return later;
        }
        *self = at_once;
        answers
    }

    /// Places `requests` in this order; what does not fit whole is split in its turn, or `later`.
    fn place_all(
        &mut self,
        requests: &[(TaskId, Request)],
        order: &[usize],
        later: bool,
    ) -> Vec<Result<Assignment, Rejection>> {
        let mut answers = alloc::vec![None; requests.len()];
        let mut left = Vec::new();
        for &i in order {
            let (id, request) = requests[i];
            match self.check(id, &request).map(|allowed| self.whole(&request, &allowed, None)) {
                Ok(Some(assignment)) => {
                    answers[i] = Some(Ok(self.enter(id, Entry { request, assignment }).clone()));
                }
                Ok(None) if later => left.push(i),
                Ok(None) => answers[i] = Some(self.admit(id, request).cloned()),
                Err(rejection) => answers[i] = Some(Err(rejection)),
            }
        }
        let left_over: u128 = left.iter().map(|&i| Utilisation::of(&[requests[i].1.task]).low).sum();
        let mut tries = if left.len() > MAX_FAILED_SPLITS && left_over > self.room() { 0 } else { MAX_FAILED_SPLITS };
        for i in left {
            let (id, request) = requests[i];
            let answer = if tries > 0 { self.admit(id, request) } else { self.admit_whole(id, request) };
            tries -= usize::from(tries > 0 && answer.is_err());
            answers[i] = Some(answer.cloned());
        }
        answers.into_iter().flatten().collect()
    }
}

/// wcet / (deadline - jitter), 64 bits behind the point.
fn density(task: &SporadicTask) -> u128 {
    (u128::from(task.wcet.as_nanos()) << 64) / u128::from(task.effective_deadline().max(1))
}

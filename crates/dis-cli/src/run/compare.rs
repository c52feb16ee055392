//! Who runs when.

use std::fmt::Write;

use super::baseline::Baseline;

/// Rounds of each contender when there are several: a disturbance of the machine should hit all alike.
const ROUNDS: u64 = 3;
/// Longer rounds become more rounds.
const LONGEST_ROUND_NS: u64 = 5_000_000_000;
/// More rounds than that tell nothing new.
const MOST_ROUNDS: u64 = 100;

/// A scheduler that runs the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// Ours.
    Dis,
    /// The operating system's.
    Linux(Baseline),
}

impl Contender {
    /// Its `host` in the report.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Dis => "linux",
            Contender::Linux(baseline) => baseline.name(),
        }
    }
}

/// The rounds of a run.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Who takes part; DIS first.
    pub contenders: Vec<Contender>,
    /// How many rounds each has.
    pub rounds: u64,
    /// Length of a round, ns; `u64::MAX` without end.
    pub length: u64,
}

impl Schedule {
    /// Each contender runs for `duration` altogether.
    pub fn new(duration: Option<u64>, contenders: Vec<Contender>) -> Self {
        let alone = contenders.len() == 1;
        let rounds = match duration {
            None => 1,
            Some(_) if alone => 1,
            Some(duration) => duration.div_ceil(LONGEST_ROUND_NS).clamp(ROUNDS, MOST_ROUNDS),
        };
        let length = duration.map_or(u64::MAX / 4, |duration| (duration / rounds).max(1));
        Schedule { contenders, rounds, length }
    }

    /// Length of everything, ns; 0 without end.
    pub fn total(&self) -> u64 {
        if self.length >= u64::MAX / 4 {
            return 0;
        }
        self.length.saturating_mul(self.rounds).saturating_mul(self.contenders.len() as u64)
    }

    /// What is run, for the progress line.
    pub fn label(&self, contender: Contender, round: u64) -> String {
        match self.contenders.len() {
            1 => String::new(),
            _ => format!(
                "{} {}/{}",
                if contender == Contender::Dis { "DIS" } else { contender.name() },
                round + 1,
                self.rounds
            ),
        }
    }

    /// What will happen, in a sentence.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.contenders.iter().skip(1).map(|contender| contender.name()).collect();
        if names.is_empty() {
            return "nothing is left to compare with; DIS runs alone".into();
        }
        let mut text = format!("DIS takes turns with {}", names.join(", "));
        let _ = match self.total() {
            0 => write!(text, ", each until its tasks have ended"),
            total => write!(
                text,
                ": {} rounds of {:.2} s each, {:.1} s in all",
                self.rounds,
                self.length as f64 / 1e9,
                total as f64 / 1e9
            ),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_share_the_duration() {
        let both = vec![Contender::Dis, Contender::Linux(Baseline::Eevdf)];
        let schedule = Schedule::new(Some(6_000_000_000), both.clone());
        assert_eq!((schedule.rounds, schedule.length, schedule.total()), (3, 2_000_000_000, 12_000_000_000));
        assert_eq!(schedule.describe(), "DIS takes turns with linux-eevdf: 3 rounds of 2.00 s each, 12.0 s in all");
        assert_eq!(Schedule::new(Some(60_000_000_000), both.clone()).rounds, 12);
        assert_eq!(Schedule::new(Some(6_000_000_000), vec![Contender::Dis]).rounds, 1);
        let endless = Schedule::new(None, both);
        assert_eq!((endless.rounds, endless.total()), (1, 0));
        assert_eq!(endless.label(Contender::Dis, 0), "DIS 1/1");
    }
}

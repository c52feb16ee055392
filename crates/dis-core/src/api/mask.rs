//! Sets of CPUs.

use core::fmt;

/// How many CPUs the scheduler can name; the one place that fixes the width of [`CpuMask`].
pub const MAX_CPUS: usize = 256;

const WORDS: usize = MAX_CPUS / 64;

/// A set of CPUs (`0..MAX_CPUS`). Questions about CPUs beyond the width answer "not in the set";
/// adding such a CPU does nothing, as no machine that the scheduler can drive has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CpuMask([u64; WORDS]);

impl CpuMask {
    /// Every CPU.
    pub const ALL: CpuMask = CpuMask([!0; WORDS]);
    /// No CPU.
    pub const EMPTY: CpuMask = CpuMask([0; WORDS]);

    /// Only `cpu`; the empty set if `cpu >= MAX_CPUS`.
    pub const fn single(cpu: usize) -> Self {
        let mut mask = Self::EMPTY;
        if cpu < MAX_CPUS {
            mask.0[cpu / 64] = 1 << (cpu % 64);
        }
        mask
    }

    /// The CPUs `0..count`.
    pub fn first(count: usize) -> Self {
        (0..count.min(MAX_CPUS)).collect()
    }

    /// Whether there is more than one CPU in the set.
    pub const fn has_several(&self) -> bool {
        let (mut found, mut i) = (false, 0);
        while i < WORDS {
            let word = self.0[i];
            if word & word.wrapping_sub(1) != 0 || (word != 0 && found) {
                return true;
            }
            found |= word != 0;
            i += 1;
        }
        false
    }

    /// Whether `cpu` is in the set.
    pub const fn contains(&self, cpu: usize) -> bool {
        cpu < MAX_CPUS && self.0[cpu / 64] & (1 << (cpu % 64)) != 0
    }

    /// Puts `cpu` into the set.
    pub fn add(&mut self, cpu: usize) {
        *self = self.union(&Self::single(cpu));
    }

    /// Takes `cpu` out of the set.
    pub fn remove(&mut self, cpu: usize) {
        if cpu < MAX_CPUS {
            self.0[cpu / 64] &= !(1 << (cpu % 64));
        }
    }

    /// How many CPUs the set holds.
    pub const fn count(&self) -> u32 {
        let (mut sum, mut i) = (0, 0);
        while i < WORDS {
            sum += self.0[i].count_ones();
            i += 1;
        }
        sum
    }

    /// Whether the set holds no CPU.
    pub const fn is_empty(&self) -> bool {
        let (mut all, mut i) = (0, 0);
        while i < WORDS {
            all |= self.0[i];
            i += 1;
        }
        all == 0
    }

    /// The CPUs in both sets.
    pub fn intersection(&self, other: &CpuMask) -> CpuMask {
        CpuMask(core::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Whether any CPU is in both sets.
    pub fn intersects(&self, other: &CpuMask) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Whether all CPUs of this set are in the other.
    pub fn is_subset(&self, other: &CpuMask) -> bool {
        self.intersection(other) == *self
    }

    /// The CPUs in either set.
    pub fn union(&self, other: &CpuMask) -> CpuMask {
        CpuMask(core::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// The CPUs of the set in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            core::iter::successors((word != 0).then_some(word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| i * 64 + w.trailing_zeros() as usize)
        })
    }
}

impl Default for CpuMask {
    /// The empty set, as the reference has it. An intent without an affinity means [`CpuMask::ALL`].
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<usize> for CpuMask {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut mask = CpuMask::EMPTY;
        cpus.into_iter().for_each(|cpu| mask.add(cpu));
        mask
    }
}

impl fmt::Display for CpuMask {
    /// As ranges: `0-3,8`; `all` and `none` for the extremes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        let (mut cpu, mut separator) = (0, "");
        while cpu < MAX_CPUS {
            if !self.contains(cpu) {
                cpu += 1;
                continue;
            }
            let first = cpu;
            while self.contains(cpu + 1) {
                cpu += 1;
            }
            match cpu - first {
                0 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{cpu}")?,
            }
            separator = ",";
            cpu += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuMask({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn holds_cpus_beyond_64() {
        let mut mask = CpuMask::single(64);
        assert!(mask.contains(64) && !mask.contains(0));
        mask.add(255);
        mask.add(3);
        assert_eq!(mask.iter().collect::<Vec<_>>(), [3, 64, 255]);
        mask.remove(64);
        assert_eq!(mask.count(), 2);
    }

    #[test]
    fn cpus_beyond_the_width_are_in_no_set() {
        assert!(CpuMask::single(MAX_CPUS).is_empty());
        assert!(!CpuMask::ALL.contains(MAX_CPUS));
        let mut mask = CpuMask::EMPTY;
        mask.add(usize::MAX);
        mask.remove(usize::MAX);
        assert!(mask.is_empty());
    }

    #[test]
    fn prints_ranges() {
        let mask: CpuMask = [0, 1, 2, 5, 9, 10].into_iter().collect();
        assert_eq!(mask.to_string(), "0-2,5,9-10");
        assert_eq!(CpuMask::ALL.to_string(), "all");
        assert_eq!(CpuMask::EMPTY.to_string(), "none");
        assert_eq!(CpuMask::single(255).to_string(), "255");
    }
}

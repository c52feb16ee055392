//! Capabilities.

use core::fmt;

/// Something that a task may do to others, if its domain has the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Right {
    /// Spawn tasks, and make domains below.
    Spawn = 0,
    /// Kill tasks, and destroy domains below.
    Kill = 1,
    /// Wake and unpark tasks.
    Wake = 2,
    /// Change priorities within the class.
    SetPriority = 3,
    /// Change the allowed CPUs.
    SetAffinity = 4,
    /// Declare tasks to be for something else.
    SetIntent = 5,
    /// In doing so, or by a spawn, go to a more urgent class (up to the ceiling).
    RaiseClass = 6,
    /// Load, activate and unload scheduler modules.
    LoadModule = 7,
}

impl Right {
    /// All rights.
    pub const ALL: [Right; 8] = [
        Right::Spawn,
        Right::Kill,
        Right::Wake,
        Right::SetPriority,
        Right::SetAffinity,
        Right::SetIntent,
        Right::RaiseClass,
        Right::LoadModule,
    ];

    /// The right's name as workloads and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Right::Spawn => "spawn",
            Right::Kill => "kill",
            Right::Wake => "wake",
            Right::SetPriority => "set_priority",
            Right::SetAffinity => "set_affinity",
            Right::SetIntent => "set_intent",
            Right::RaiseClass => "raise_class",
            Right::LoadModule => "load_module",
        }
    }

    /// The right of that name.
    pub fn from_name(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u32);

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);
    /// Every right.
    pub const ALL: Rights = Rights((1 << Right::ALL.len()) - 1);

    /// The same with one right more.
    pub const fn with(self, right: Right) -> Rights {
        Rights(self.0 | 1 << right as u32)
    }

    /// The same without one right.
    pub const fn without(self, right: Right) -> Rights {
        Rights(self.0 & !(1 << right as u32))
    }

    /// Whether the right is in the set.
    #[inline(always)]
    pub const fn contains(self, right: Right) -> bool {
        self.0 & 1 << right as u32 != 0
    }

    /// Whether all rights of the set are in `other`.
    pub const fn is_subset_of(self, other: Rights) -> bool {
        self.0 & !other.0 == 0
    }

    /// The rights of both sets.
    pub const fn intersection(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// The rights of the set.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |&right| self.contains(right))
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn from_bits(bits: u32) -> Rights {
        Rights(bits)
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        rights.into_iter().fold(Rights::NONE, Rights::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_a_bit_and_a_name_of_its_own() {
        for right in Right::ALL {
            assert_eq!(Right::from_name(right.name()), Some(right));
            assert_eq!(Rights::NONE.with(right).iter().collect::<alloc::vec::Vec<_>>(), [right]);
            assert!(Rights::ALL.contains(right) && !Rights::ALL.without(right).contains(right));
        }
        assert_eq!(Rights::from_iter(Right::ALL), Rights::ALL);
        assert_eq!(Right::from_name("fly"), None);
    }
}

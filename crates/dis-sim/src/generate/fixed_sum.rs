//! Stafford's RandFixedSum.

use super::random::Random;

/// Draws vectors of n values of 0 to 1 with a fixed sum s, uniformly among all such vectors.
///
/// These vectors are the cut of a unit cube by a plane. Stafford divides the cut into simplices, all of which can be reached
/// by walking through the dimensions from n down to 2 and taking, at each, one of two kinds of facet: those where a value is 0
/// or those where it is 1. `choice` holds the probability of the latter, proportional to the volumes behind each kind. Within
/// the simplex that the walk ends in, a point is drawn uniformly; the values are then shuffled, since a walk reaches only
/// the simplices of one order of the dimensions.
///
/// Source: R. Stafford, "Random vectors with fixed sum" (MATLAB Central, 2006); Emberson, Stafford, Davis, "Techniques for the
/// Synthesis of Multiprocessor Tasksets", WATERS 2010, section 3.
#[derive(Debug)]
pub struct FixedSum {
    n: usize,
    /// At most n / 2: of a greater sum what is missing to n is divided instead.
    sum: f64,
    mirrored: bool,
    /// Row i − 2 for dimension i: the probability of "a value is 1" when `column` steps of that kind are still to come.
    choice: Vec<Vec<f64>>,
}

impl FixedSum {
    /// Prepares for `n` values above 0 with a sum of 0 to `n`. Time and space O(n · sum).
    pub fn new(n: usize, sum: f64) -> Self {
        let mirrored = sum > n as f64 / 2.0;
        let sum = if mirrored { n as f64 - sum } else { sum };
        let whole = (sum as usize).min(n - 1);
        let fraction = sum - whole as f64;
        let mut choice = Vec::with_capacity(n - 1);
        // Volumes behind each state up to a common factor, by columns from 1 on; `volume[0]` is a state that cannot be.
        let mut volume = vec![0.0, 1.0];
        for i in 2..=n {
            let columns = i.min(whole + 1);
            let (mut next, mut row) = (vec![0.0; columns + 1], vec![0.0; columns]);
            for column in 0..columns {
                let zero = volume.get(column + 1).map_or(0.0, |volume| volume * (fraction + column as f64));
                let one = volume[column] * ((i - column) as f64 - fraction);
                next[column + 1] = zero + one;
                row[column] = if one > 0.0 { one / (zero + one) } else { 0.0 };
            }
            // Only the ratios in a row count, and factorials overflow soon. What underflows here has no chance to be entered.
            let greatest = next.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            volume = next.into_iter().map(|volume| volume / greatest).collect();
            choice.push(row);
        }
        FixedSum { n, sum, mirrored, choice }
    }

    /// A vector. O(n).
    pub fn draw(&self, random: &mut Random) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.n);
        let mut column = (self.sum as usize).min(self.n - 1);
        // The sum on the facet, the part of a value that all facets so far have fixed, and by how much they have shrunk.
        let (mut sum, mut base, mut scale) = (self.sum, 0.0, 1.0);
        for i in (2..=self.n).rev() {
            let is_one = random.unit() < self.choice[i - 2][column];
            let along = libm::pow(random.unit(), 1.0 / (i - 1) as f64);
            base += (1.0 - along) * scale * sum / i as f64;
            scale *= along;
            values.push(base + if is_one { scale } else { 0.0 });
            if is_one {
                sum -= 1.0;
                column -= 1;
            }
        }
        values.push(base + scale * sum);
        for last in (1..self.n).rev() {
            values.swap(last, random.below(last + 1));
        }
        if self.mirrored {
            values.iter_mut().for_each(|value| *value = 1.0 - *value);
        }
        values
    }
}

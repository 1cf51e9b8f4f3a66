//! Figures of a row of samples.

/// Samples of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds those of `more`.
    pub(crate) fn append(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that at least `percent` in a hundred do not exceed; 0 without samples.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The mean; 0 without samples.
    pub(crate) fn mean(&self) -> f64 {
        // A sum by ones keeps the count a float without a cast.
        let count: f64 = self.0.iter().map(|_| 1.0).sum();
        if count > 0.0 { self.0.iter().sum::<f64>() / count } else { 0.0 }
    }

    /// The largest; 0 without samples.
    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// Samples of the parts of a whole, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts(Vec<(String, Samples)>);

impl Parts {
    /// Adds one sample of each part that is named.
    pub(crate) fn add(&mut self, parts: Vec<(String, f64)>) {
        for (part, value) in parts {
            match self.0.iter_mut().find(|(name, _)| *name == part) {
                Some((_, samples)) => samples.push(value),
                None => self.0.push((part, [value].into_iter().collect())),
            }
        }
    }

    /// The mean of each.
    pub(crate) fn means(&self) -> Vec<(String, f64)> {
        self.0.iter().map(|(part, samples)| (part.clone(), samples.mean())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[track_caller]
    fn check(samples: &[f64], percent: usize, expected: f64) {
        let samples: Samples = samples.iter().copied().collect();
        assert!((samples.percentile(percent) - expected).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        check(&[], 50, 0.0);
        check(&[7.0], 50, 7.0);
        check(&[7.0], 99, 7.0);
        check(&[4.0, 1.0, 3.0, 2.0], 50, 2.0);
        check(&[4.0, 1.0, 3.0, 2.0], 99, 4.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        check(&hundred, 50, 50.0);
        check(&hundred, 99, 99.0);
    }

    #[test]
    fn mean_and_max_of_nothing_are_zero() {
        let none = Samples::default();
        assert!(none.mean().abs() < 1e-9 && none.max().abs() < 1e-9);
        let some: Samples = [1.0, 2.0, 6.0].into_iter().collect();
        assert!((some.mean() - 3.0).abs() < 1e-9 && (some.max() - 6.0).abs() < 1e-9);
    }
}

//! Which images may go. Pure: the caller says what is known, and carries out the plan.

use model::ids::Digest;
use model::units::UnixMs;

/// An image as the record knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneCandidate {
    /// Which.
    pub digest: Digest,
    /// What it takes on the disk.
    pub size_bytes: u64,
    /// When a machine was last made or started from it, or when it came.
    pub last_used_at: UnixMs,
    /// Whether anything refers to it: such an image is never in a plan.
    pub is_in_use: bool,
}

/// What stays although nobody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: every unused image goes.
    Nothing,
    /// What was used at this moment or later.
    UsedSince(UnixMs),
    /// So many unused images, those that were used last.
    Last(usize),
    /// As much as fits: those that were used longest ago go until all images, the used ones too,
    /// take at most so many bytes.
    Bytes(u64),
}

/// What would go, longest unused first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Images and their sizes in bytes.
    pub images: Vec<(Digest, u64)>,
}

impl PrunePlan {
    /// Bytes that carrying it out frees.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        self.images
            .iter()
            .map(|(_, size_bytes)| size_bytes)
            .fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// Plans which of `images` go, so that what `keep` says stays.
///
/// Pure: the same arguments give the same plan; ties are broken by digest.
#[must_use]
pub fn plan_prune(images: &[PruneCandidate], keep: Keep) -> PrunePlan {
    let mut unused: Vec<&PruneCandidate> = images.iter().filter(|i| !i.is_in_use).collect();
    unused.sort_by(|a, b| (a.last_used_at, &a.digest).cmp(&(b.last_used_at, &b.digest)));
    let n_doomed = match keep {
        Keep::Nothing => unused.len(),
        Keep::UsedSince(moment) => unused.partition_point(|image| image.last_used_at < moment),
        Keep::Last(n_kept) => unused.len().saturating_sub(n_kept),
        Keep::Bytes(budget) => {
            let sizes = images.iter().map(|image| image.size_bytes);
            n_beyond(&unused, sizes.fold(0, u64::saturating_add), budget)
        }
    };
    let doomed = unused.into_iter().take(n_doomed);
    PrunePlan { images: doomed.map(|image| (image.digest.clone(), image.size_bytes)).collect() }
}

/// How many of the first must go until no more than `budget` of `total` bytes are left.
fn n_beyond(unused: &[&PruneCandidate], total: u64, budget: u64) -> usize {
    let mut left = total;
    let mut is_too_much = |image: &&&PruneCandidate| {
        let goes = left > budget;
        left = left.saturating_sub(image.size_bytes);
        goes
    };
    unused.iter().take_while(|image| is_too_much(image)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(n: u8, size_bytes: u64, last_used: u64, is_in_use: bool) -> PruneCandidate {
        let digest = format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap();
        PruneCandidate { digest, size_bytes, last_used_at: UnixMs(last_used), is_in_use }
    }

    /// Five images, 1 to 5, of 10 bytes each; 2 is in use; used in the order 3, 2, 1, 5, 4.
    fn shelf() -> Vec<PruneCandidate> {
        let order = [(1, 30), (2, 20), (3, 10), (4, 50), (5, 40)];
        order.map(|(n, used)| image(n, 10, used, n == 2)).to_vec()
    }

    #[track_caller]
    fn check(keep: Keep, expected: &[u8]) {
        let plan = plan_prune(&shelf(), keep);
        let doomed: Vec<u8> = plan
            .images
            .iter()
            .map(|(digest, _)| u8::from_str_radix(&digest.hex()[..2], 16).unwrap())
            .collect();
        assert_eq!(doomed, expected, "{keep:?}");
        assert_eq!(plan.freed_bytes(), 10 * u64::try_from(expected.len()).unwrap());
    }

    #[test]
    fn the_longest_unused_go_first_and_the_used_never() {
        check(Keep::Nothing, &[3, 1, 5, 4]);
        check(Keep::UsedSince(UnixMs(0)), &[]);
        check(Keep::UsedSince(UnixMs(30)), &[3]);
        check(Keep::UsedSince(UnixMs(31)), &[3, 1]);
        check(Keep::UsedSince(UnixMs(u64::MAX)), &[3, 1, 5, 4]);
        check(Keep::Last(0), &[3, 1, 5, 4]);
        check(Keep::Last(3), &[3]);
        check(Keep::Last(9), &[]);
        check(Keep::Bytes(50), &[]);
        check(Keep::Bytes(49), &[3]);
        check(Keep::Bytes(30), &[3, 1]);
        check(Keep::Bytes(0), &[3, 1, 5, 4]);
    }

    fn shelves() -> impl Strategy<Value = Vec<PruneCandidate>> {
        let one = (0..1000_u64, 0..50_u64, any::<bool>());
        proptest::collection::vec(one, 0..40).prop_map(|shelf| {
            let numbered = (0_u8..).zip(shelf);
            numbered.map(|(n, (size, used, in_use))| image(n, size, used, in_use)).collect()
        })
    }

    proptest! {
        #[test]
        fn a_budget_is_met_with_the_fewest_of_the_oldest(shelf in shelves(), budget in 0..20_000_u64) {
            let plan = plan_prune(&shelf, Keep::Bytes(budget));
            let total: u64 = shelf.iter().map(|image| image.size_bytes).sum();
            let left = total - plan.freed_bytes();
            let is_doomed = |i: &&PruneCandidate| plan.images.iter().any(|(d, _)| *d == i.digest);
            prop_assert!(shelf.iter().filter(is_doomed).all(|image| !image.is_in_use));
            let n_unused = shelf.iter().filter(|image| !image.is_in_use).count();
            prop_assert!(left <= budget || plan.images.len() == n_unused);
            let last = plan.images.last().map_or(0, |(_, size_bytes)| *size_bytes);
            prop_assert!(plan.images.is_empty() || left + last > budget, "one fewer is too few");
            let newest_doomed = shelf.iter().filter(is_doomed).map(|i| i.last_used_at).max();
            let spared = shelf.iter().filter(|i| !i.is_in_use && !is_doomed(i));
            prop_assert!(spared.map(|i| Some(i.last_used_at)).all(|used| used >= newest_doomed));
        }
    }
}

//! Which of several machines gets a visitor? Pure. Source: machines-api 4.2 and 4.3.

use crate::dice::Dice;

/// A machine that could get the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What can be done with it.
    pub(crate) is: Availability,
    /// Visitors that it has.
    pub(crate) load: u32,
    /// From here on others are preferred.
    pub(crate) soft_limit: u32,
    /// Never more than this.
    pub(crate) hard_limit: Option<u32>,
}

/// What can be done with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// Bytes can be sent to it.
    Routable,
    /// It runs, and its checks have not said yet how it is.
    Unsure,
    /// It runs, and a check fails.
    Sick,
    /// Somebody has knocked on it and waits.
    Knocked {
        /// How many are held for it.
        n_held: u32,
    },
    /// A knock may wake it.
    Sleeper,
    /// It cannot be had.
    Closed,
}

/// What to do with the visitor. Numbers are places in the list of candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It goes to this one, and another is woken because all are busy.
    Go {
        /// To whom.
        to: usize,
        /// Who is woken beside.
        wake: Option<usize>,
    },
    /// It is held for this one, which is knocked on unless it was before.
    Hold {
        /// For whom.
        on: usize,
    },
    /// It is held until a place is free, or a check passes.
    Queue,
    /// There is none; whether one runs and fails its checks.
    Nobody {
        /// A check is the reason.
        is_sick: bool,
    },
}

impl Candidate {
    const fn is_below_soft(&self) -> bool {
        self.load < self.soft_limit
    }

    fn has_room(&self) -> bool {
        self.hard_limit.is_none_or(|hard| self.load < hard)
    }
}

/// Chooses among the candidates.
pub(crate) fn choose(candidates: &[Candidate], dice: &mut Dice) -> Choice {
    let which = |is_it: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        (0..candidates.len()).filter(|idx| is_it(&candidates[*idx])).collect()
    };
    let open = which(&|c| c.is == Availability::Routable && c.has_room());
    let idle = open.iter().copied().filter(|idx| candidates[*idx].is_below_soft());
    let idle: Vec<usize> = idle.collect();
    if let Some(to) = less_loaded_of_two(candidates, &idle, dice) {
        return Choice::Go { to, wake: None };
    }
    let sleepers = which(&|c| c.is == Availability::Sleeper);
    let is_more_coming = candidates
        .iter()
        .any(|c| matches!(c.is, Availability::Knocked { .. } | Availability::Unsure));
    if let Some(to) = less_loaded_of_two(candidates, &open, dice) {
        let wake = sleepers.first().copied().filter(|_| !is_more_coming);
        return Choice::Go { to, wake };
    }
    hold(candidates, &sleepers)
}

/// Nobody has room now: who is worth waiting for?
fn hold(candidates: &[Candidate], sleepers: &[usize]) -> Choice {
    let knocked = candidates.iter().enumerate().filter_map(|(idx, c)| match c.is {
        Availability::Knocked { n_held } => Some((n_held, idx)),
        _ => None,
    });
    let least_awaited = knocked.min();
    if let Some((n_held, on)) = least_awaited
        && n_held < candidates[on].soft_limit
    {
        return Choice::Hold { on };
    }
    let is = |what| candidates.iter().any(|c| c.is == what);
    if candidates.iter().any(|c| c.is == Availability::Unsure && c.is_below_soft()) {
        return Choice::Queue;
    }
    if let Some(&on) = sleepers.first() {
        return Choice::Hold { on };
    }
    if let Some((_, on)) = least_awaited {
        return Choice::Hold { on };
    }
    if is(Availability::Routable) || is(Availability::Unsure) {
        return Choice::Queue;
    }
    Choice::Nobody { is_sick: is(Availability::Sick) }
}

/// Of two taken at random the one with less to do: spreads nearly as well as looking at all, and
/// does not send everyone to the same one.
fn less_loaded_of_two(all: &[Candidate], among: &[usize], dice: &mut Dice) -> Option<usize> {
    let one = *among.get(dice.below(among.len()))?;
    let other = *among.get(dice.below(among.len()))?;
    Some(if all[other].load < all[one].load { other } else { one })
}

#[cfg(test)]
mod tests {
    use super::{Availability, Candidate, Choice, choose};
    use crate::dice::Dice;

    fn machine(is: Availability, load: u32) -> Candidate {
        Candidate { is, load, soft_limit: 2, hard_limit: Some(4) }
    }

    #[track_caller]
    fn check(candidates: &[(Availability, u32)], expected: Choice) {
        let candidates: Vec<_> = candidates.iter().map(|(is, load)| machine(*is, *load)).collect();
        for seed in 0..64 {
            assert_eq!(choose(&candidates, &mut Dice::new(seed)), expected, "seed {seed}");
        }
    }

    use Availability::{Closed, Knocked, Routable, Sick, Sleeper, Unsure};

    #[test]
    fn the_table_of_choices() {
        let go = |to| Choice::Go { to, wake: None };
        check(&[], Choice::Nobody { is_sick: false });
        check(&[(Closed, 0)], Choice::Nobody { is_sick: false });
        check(&[(Closed, 0), (Sick, 0)], Choice::Nobody { is_sick: true });
        check(&[(Routable, 0)], go(0));
        check(&[(Routable, 2), (Routable, 1)], go(1));
        check(&[(Routable, 1), (Sleeper, 0)], go(0));
        check(&[(Routable, 2), (Sleeper, 0)], Choice::Go { to: 0, wake: Some(1) });
        check(&[(Routable, 2), (Knocked { n_held: 9 }, 0), (Sleeper, 0)], go(0));
        check(&[(Routable, 4), (Sleeper, 0)], Choice::Hold { on: 1 });
        check(&[(Routable, 4), (Routable, 4)], Choice::Queue);
        check(&[(Routable, 4), (Routable, 3)], go(1));
        check(&[(Sleeper, 0), (Sleeper, 0)], Choice::Hold { on: 0 });
        check(&[(Sleeper, 0), (Knocked { n_held: 1 }, 0)], Choice::Hold { on: 1 });
        check(&[(Sleeper, 0), (Knocked { n_held: 2 }, 0)], Choice::Hold { on: 0 });
        check(&[(Knocked { n_held: 7 }, 0), (Knocked { n_held: 5 }, 0)], Choice::Hold { on: 1 });
        check(&[(Unsure, 0), (Sleeper, 0)], Choice::Queue);
        check(&[(Unsure, 0), (Sick, 0)], Choice::Queue);
        check(&[(Sick, 0), (Sleeper, 0)], Choice::Hold { on: 1 });
    }

    #[test]
    fn visitors_spread_over_equals() {
        let two = [machine(Routable, 0), machine(Routable, 0)];
        let mut dice = Dice::new(7);
        let mut hits = [0; 2];
        for _ in 0..1_000 {
            if let Choice::Go { to, .. } = choose(&two, &mut dice) {
                hits[to] += 1;
            }
        }
        assert!(hits.iter().all(|hits| *hits > 400), "{hits:?}");
    }
}

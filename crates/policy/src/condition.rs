//! A compiled condition.

use crate::cel::evaluate::Scene;
use crate::cel::program::{Node, Program};
use crate::names::{Name, Vocabulary};
use crate::reading::{Outcome, Values};
use crate::text::TextError;
use model::UnixMs;

/// A condition, checked against its policy and ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    pub(crate) program: Program,
}

impl Condition {
    pub(crate) fn compile(text: &str, vocabulary: &Vocabulary<'_>) -> Result<Self, TextError> {
        let program = crate::cel::check::compile(text, vocabulary)?;
        Ok(Self { text: text.to_owned(), program })
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names it uses, each once: when one of them changes, it must be evaluated again.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.program.slots.iter().map(|slot| &slot.name)
    }

    /// Its answer at `now`, and what was read for it.
    ///
    /// Takes at most one step for each part of the text, so at most [`crate::limits::NODES_MAX`].
    pub fn evaluate(&self, values: &dyn Values, now: UnixMs) -> Outcome {
        Scene::new(&self.program, values).outcome(now)
    }

    /// The first moment after `now` at which time alone changes its answer; `None`: never.
    pub fn next_crossing(&self, values: &dyn Values, now: UnixMs) -> Option<UnixMs> {
        Scene::new(&self.program, values).next_crossing(now)
    }

    /// Both at once, reading the values once.
    pub fn evaluate_with_next(
        &self,
        values: &dyn Values,
        now: UnixMs,
    ) -> (Outcome, Option<UnixMs>) {
        let scene = Scene::new(&self.program, values);
        (scene.outcome(now), scene.next_crossing(now))
    }

    pub(crate) const fn root(&self) -> &Node {
        &self.program.node
    }
}

//! What a machine may change in its own policy.

use crate::document::{Document, Part};

/// Why a machine may not replace its policy by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendRefused {
    /// A part differs that `amend` does not list.
    #[error("the machine may not change `{}`: `amend` does not list it", .0.as_str())]
    Part(Part),
    /// `amend` or `note` differs, which only the owner changes.
    #[error("only the owner may change `amend` and `note`")]
    Rights,
}

impl Part {
    /// The field's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Alarms => "alarms",
            Self::Peers => "peers",
            Self::Rules => "rules",
        }
    }
}

impl Document {
    /// Whether a machine with this policy may replace it by `new`.
    ///
    /// # Errors
    /// [`AmendRefused`] names the first part that it may not change.
    pub fn check_amend(&self, new: &Self) -> Result<(), AmendRefused> {
        if self.amend != new.amend || self.note != new.note {
            return Err(AmendRefused::Rights);
        }
        let changes = [
            (Part::Facts, self.facts != new.facts),
            (Part::Alarms, self.alarms != new.alarms),
            (Part::Peers, self.peers != new.peers),
            (Part::Rules, self.rules != new.rules),
        ];
        let refused = changes.iter().find(|(part, differs)| *differs && !self.amend.contains(part));
        refused.map_or(Ok(()), |(part, _)| Err(AmendRefused::Part(*part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn only_the_listed_parts_may_change() {
        let old = document(r#"{"amend":["alarms"],"alarms":{"a":{"every":"1h"}}}"#);
        let check = |text| old.check_amend(&document(text));
        assert_eq!(check(r#"{"amend":["alarms"],"alarms":{"a":{"every":"60m"}}}"#), Ok(()));
        assert_eq!(check(r#"{"amend":["alarms"],"alarms":{}}"#), Ok(()));
        let rules = r#"{"amend":["alarms"],"rules":[{"id":"r","effect":"hold","when":"true"}]}"#;
        assert_eq!(check(rules), Err(AmendRefused::Part(Part::Rules)));
        assert_eq!(check(r#"{"amend":["alarms","rules"]}"#), Err(AmendRefused::Rights));
        assert_eq!(document("{}").check_amend(&old), Err(AmendRefused::Rights));
    }
}

//! Names by which a layer deletes what earlier layers brought.

/// What a `.wh.` name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// Delete this name.
    Of(&'a [u8]),
    /// Delete everything that earlier layers put into the directory.
    Opaque,
    /// Nothing: bookkeeping of a file system that is no more, or no name at all.
    Ignored,
}

impl<'a> Whiteout<'a> {
    /// The meaning of the last component of an entry's name, if it is a whiteout.
    pub(super) fn of(name: &'a [u8]) -> Option<Self> {
        Some(match name.strip_prefix(b".wh.")? {
            b".wh..opq" => Self::Opaque,
            b"" | b"." | b".." => Self::Ignored,
            hidden if hidden.starts_with(b".wh.") => Self::Ignored,
            hidden => Self::Of(hidden),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_told_by_their_prefix() {
        let check = |name: &str, expected| assert_eq!(Whiteout::of(name.as_bytes()), expected);
        check("a", None);
        check("wh.a", None);
        check(".wh.a", Some(Whiteout::Of(b"a")));
        check(".wh..wh..opq", Some(Whiteout::Opaque));
        check(".wh..wh.plnk", Some(Whiteout::Ignored));
        check(".wh.", Some(Whiteout::Ignored));
        check(".wh...", Some(Whiteout::Ignored));
        check(".wh.a.wh.b", Some(Whiteout::Of(b"a.wh.b")));
    }
}

//! Where to begin.

use crate::contract::index::Index;
use crate::v1::index;
use crate::v1::operation::{Operation, Right, get};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/", index::index)
            .is("Index_show", "Where to begin: links, first steps, all operations.")
            .needs(Right::Nobody)
            .answers::<Index>(200),
        get("/v1", index::index)
            .is("Index_show_v1", "The same.")
            .needs(Right::Nobody)
            .answers::<Index>(200),
    ]
}

//! What the fuzz targets share.

mod pen;

pub use pen::{NOW, Pen};

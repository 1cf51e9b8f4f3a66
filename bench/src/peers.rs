//! Who else can start such a program, and how each is asked.

pub(crate) mod docker;
pub(crate) mod floor;
pub(crate) mod nginx;
pub(crate) mod own;
pub(crate) mod podman;
pub(crate) mod qemu;
pub(crate) mod runc;

use crate::report::Row;

/// Somebody who can start a prepared program.
pub(crate) trait Starts {
    /// Name of the row.
    fn name(&self) -> &'static str;

    /// Starts the program of machine `round` (modulo the prepared ones); returns milliseconds from
    /// the request to the program's first instruction.
    fn start(&mut self, round: usize) -> anyhow::Result<f64>;

    /// Kills what `start` started; returns when it is gone.
    fn stop(&mut self) -> anyhow::Result<()>;

    /// Called before the pause that precedes `start`, and after the one that follows it.
    fn look(&mut self) {}

    /// Adds what only this contender can tell.
    fn add_details(&self, _row: &mut Row) {}
}

/// Somebody who can make a machine from a cached image.
pub(crate) trait Creates {
    /// Name of the row.
    fn name(&self) -> &'static str;

    /// Makes and starts one; returns milliseconds until it is said to be started.
    fn create(&mut self) -> anyhow::Result<f64>;

    /// Removes what `create` made.
    fn destroy(&mut self) -> anyhow::Result<()>;
}

/// Somebody who lets a visitor in to a web server that sleeps.
pub(crate) trait Wakes {
    /// Name of the row.
    fn name(&self) -> &'static str;

    /// Visits the web server `round` (modulo the prepared ones), which is put to sleep by `rest`;
    /// returns milliseconds from before the connection until the answer has come.
    fn knock(&mut self, round: usize) -> anyhow::Result<f64>;

    /// Stops the web server that was visited; returns when it is gone.
    fn rest(&mut self) -> anyhow::Result<()>;

    /// Adds what only this contender can tell.
    fn add_details(&self, _row: &mut Row) {}
}

/// Somebody who can make a machine from an image of a registry.
pub(crate) trait Pulls {
    /// First part of the name of its rows.
    fn name(&self) -> &'static str;

    /// Pulls the image and makes a machine of it that is not started; returns milliseconds until it
    /// could be.
    fn pull(&mut self, reference: &str) -> anyhow::Result<f64>;

    /// Removes machine and image.
    fn discard(&mut self) -> anyhow::Result<()>;
}

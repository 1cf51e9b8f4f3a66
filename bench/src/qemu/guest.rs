//! The guest init of a machine that nobody has furnished, as the host hears it.

use super::soon;
use anyhow::{Context as _, bail};
use guest_proto::{FromGuest, ToGuest, VERSION, VERSION_MIN};
use shim_proto::connection::{Connection, Filled};
use std::os::unix::net::UnixStream;

/// Epoch of all that is said. Newer than any in a template, whose guest has rehearsed a start.
const EPOCH: u32 = 100;

/// The guest init.
#[derive(Debug)]
pub(super) struct Guest(Connection);

impl Guest {
    pub(super) fn new(channel: UnixStream) -> anyhow::Result<Self> {
        let connection = Connection::new(channel, EPOCH);
        Ok(Self(connection.context("cannot use the guest's channel")?))
    }

    /// Returns when a kernel that boots has said that it waits.
    pub(super) fn wait_for_boot(&mut self) -> anyhow::Result<()> {
        match self.hear()? {
            FromGuest::Waiting { .. } => Ok(()),
            other => bail!("the guest says {other:?}, and was to wait"),
        }
    }

    /// Greets it; returns when it has answered.
    pub(super) fn greet(&mut self) -> anyhow::Result<()> {
        let hello = ToGuest::Hello { version: VERSION, version_min: VERSION_MIN };
        self.0.send(&hello).context("cannot speak to the guest")?;
        match self.hear()? {
            FromGuest::Hello { .. } => Ok(()),
            other => bail!("the guest answers {other:?}"),
        }
    }

    /// Its next message.
    fn hear(&mut self) -> anyhow::Result<FromGuest> {
        loop {
            if let Some(frame) = self.0.next_frame().context("the guest cannot be understood")? {
                return frame.message().context("the guest cannot be understood");
            }
            self.0.wait_readable(soon()).context("the guest is silent")?;
            if self.0.fill().context("cannot hear the guest")? == Filled::Closed {
                bail!("the virtual machine has ended");
            }
        }
    }
}

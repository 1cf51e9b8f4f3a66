//! The caller's terminal: its size, and raw mode that ends by itself.

use api::contract::TerminalSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;

/// Whether input comes from a terminal.
pub(crate) fn is_input() -> bool {
    isatty(io::stdin())
}

/// Size of the terminal that output goes to; 24 × 80 when there is none.
pub(crate) fn size() -> TerminalSize {
    match tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) {
        Ok(size) if size.ws_row > 0 => TerminalSize { rows: size.ws_row, cols: size.ws_col },
        Ok(_) | Err(_) => TerminalSize { rows: 24, cols: 80 },
    }
}

/// Raw mode of the terminal on stdin, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Keys go to the machine as they are typed.
    ///
    /// # Errors
    /// Input is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.before).unwrap_or_default();
    }
}

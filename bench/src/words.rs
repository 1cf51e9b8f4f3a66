//! The two ways out: the answer on standard output, everything else on standard error.

use std::io::Write;

/// Writes a line of the answer.
pub(crate) fn answer(text: &str) {
    write_line(&mut std::io::stdout().lock(), text);
}

/// Writes a line about how it goes.
pub(crate) fn tell(text: &str) {
    write_line(&mut std::io::stderr().lock(), text);
}

fn write_line(out: &mut dyn Write, text: &str) {
    // Nobody listens any more: measuring on is still right, because cleaning up must happen.
    let _nobody_listens = writeln!(out, "{}", text.trim_end_matches('\n'));
}

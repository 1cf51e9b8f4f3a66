//! CPU time: counted when a run ends, and while it is up once a minute if a rule reads it.

use super::Sheet;
use crate::machine::task::Task;
use govern::Report;
use model::State;
use policy::{Name, Platform, Policy};
use shim_proto::ToShim;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two reports of a machine that is up.
const EVERY: Duration = Duration::from_secs(60);

/// How much of the CPU time of the present run has been counted.
#[derive(Debug, Default)]
pub(in crate::machine) struct CpuMeter {
    /// In microseconds; `None` when an earlier control process may have counted some.
    counted_us: Option<u64>,
    question: Option<u64>,
    ask_at: Option<Instant>,
    /// An answer that has yet to be counted.
    heard_us: Option<u64>,
}

impl CpuMeter {
    /// A run begins.
    pub(in crate::machine) fn begin(&mut self) {
        *self = Self { counted_us: Some(0), ..Self::default() };
    }

    /// When the next question is due.
    pub(in crate::machine) fn ask_at(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Takes the answer to a question of its own.
    pub(in crate::machine) fn hear(&mut self, question: u64, cpu_us: Option<u64>) -> bool {
        let is_own = self.question == Some(question);
        if is_own {
            self.question = None;
            self.heard_us = cpu_us;
        }
        is_own
    }

    /// Whether an answer has yet to be counted.
    pub(in crate::machine) fn has_news(&self) -> bool {
        self.heard_us.is_some()
    }

    /// What of `cpu_us` has not been counted, in milliseconds. The first answer about a run that an
    /// earlier process counted for is where counting goes on.
    fn uncounted_ms(&self, cpu_us: u64) -> u64 {
        cpu_us.saturating_sub(self.counted_us.unwrap_or(cpu_us)) / 1000
    }
}

impl Task {
    /// Arms or disarms the questions, as the state and the rules are now.
    pub(super) fn arm_cpu(&mut self, policy: &Policy) {
        let is_up = matches!(self.state(), State::Started { .. } | State::Resting { .. });
        if !is_up || !reads_cpu(policy) {
            self.cpu.ask_at = None;
        } else if self.cpu.ask_at.is_none() {
            // Where counting goes on must be known before the first minute is over.
            let wait = if self.cpu.counted_us.is_some() { EVERY } else { Duration::ZERO };
            self.cpu.ask_at = Some(Instant::now() + wait);
        }
    }

    /// Asks the shim for the CPU time of the run.
    pub(in crate::machine) fn ask_cpu(&mut self) {
        self.cpu.ask_at = Some(Instant::now() + EVERY);
        let id = self.next_question;
        self.next_question += 1;
        self.cpu.question = Some(id);
        if let Err(error) = self.send(&ToShim::Usage { id }) {
            tracing::debug!(machine = %self.id, %error, "its CPU time is counted later");
        }
    }

    /// Counts what the shim has answered.
    pub(in crate::machine) async fn count_cpu(&mut self) {
        let Some(cpu_us) = self.cpu.heard_us.take() else { return };
        let used_ms = self.cpu.uncounted_ms(cpu_us);
        if used_ms == 0 {
            self.cpu.counted_us.get_or_insert(cpu_us);
            return;
        }
        let Ok(own) = self.own() else { return };
        let own = own.clone();
        let mut sheet = Sheet::new(&own, &self.inner.config.boot);
        sheet.report(Report::Cpu { used_ms }, model::clock::now());
        match self.store_sheet(sheet).await {
            Ok(()) => self.cpu.counted_us = Some(cpu_us),
            Err(error) => {
                tracing::warn!(machine = %self.id, %error, "its CPU time is counted later");
            }
        }
    }

    /// What the run that has ended used beyond what was counted, in milliseconds.
    pub(super) fn uncounted_cpu_ms(&self, policy: &Policy) -> u64 {
        let counted_us = match self.cpu.counted_us {
            Some(counted_us) => counted_us,
            None if reads_cpu(policy) => self.run_cpu_us,
            None => 0,
        };
        self.run_cpu_us.saturating_sub(counted_us) / 1000
    }
}

fn reads_cpu(policy: &Policy) -> bool {
    let conditions =
        policy.rules().iter().flat_map(|rule| std::iter::once(&rule.when).chain(&rule.until));
    let is_cpu =
        |name: &Name| matches!(name, Name::Platform(Platform::CpuDay | Platform::CpuMonth));
    conditions.flat_map(|condition| condition.names()).any(is_cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let mut cpu = CpuMeter::default();
        assert_eq!(cpu.uncounted_ms(9_000_000), 0, "an earlier process may have");
        cpu.begin();
        assert_eq!(cpu.uncounted_ms(9_000_000), 9_000);
        cpu.counted_us = Some(8_000_000);
        assert_eq!(cpu.uncounted_ms(9_000_000), 1_000);
    }

    #[test]
    fn only_its_own_question_is_answered() {
        let mut cpu = CpuMeter { question: Some(7), ..CpuMeter::default() };
        assert!(!cpu.hear(6, Some(1)));
        assert!(cpu.hear(7, Some(2)));
        assert!(cpu.has_news());
        assert!(!cpu.hear(7, Some(3)));
    }
}

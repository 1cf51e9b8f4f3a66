//! What a machine brings along: its policy, from its configuration or the label of its image, and the
//! alarm of its schedule.

use super::own::Own;
use super::sheet::{Sheet, Stored};
use crate::error::ControlError;
use crate::inner::Inner;
use crate::machine::VersionChange;
use crate::machine::task::Task;
use govern::write::NoRows;
use govern::{Selfhood, Write, Writer};
use model::spec::ImageConfig;
use model::{DurationMs, MachineId, UnixMs};
use policy::document::AlarmText;
use policy::period::Period;
use serde_json::Value as Json;

/// Label of an image that carries a policy. Source: design, section 7.
const POLICY_LABEL: &str = "dev.dormouse.policy";

/// Name of the alarm that `schedule` of the configuration becomes.
const SCHEDULE: &str = "schedule";

/// What a new machine remembers from the beginning.
#[derive(Debug)]
pub(crate) struct Founding(Sheet);

impl Founding {
    /// For a machine of this configuration and image. `policy`: that of the configuration, which wins
    /// over that of the image.
    ///
    /// # Errors
    /// [`ControlError::Self_`] with the findings, when the policy has errors.
    pub(crate) fn of(
        inner: &Inner,
        policy: Option<&str>,
        config: &Json,
        image: &ImageConfig,
    ) -> Result<Self, ControlError> {
        let now = model::clock::now();
        let own =
            Own { selfhood: Selfhood::default(), policy: inner.policies.none(), next_at: None };
        let mut sheet = Sheet::new(&own, &inner.config.boot);
        match (policy, label(image)) {
            (Some(text), _) => set_policy(&mut sheet, text, &Writer::Owner, now)?,
            (None, Some(text)) => set_policy(&mut sheet, text, &Writer::Platform, now)?,
            (None, None) => {}
        }
        schedule(&mut sheet, config, now)?;
        Ok(Self(sheet))
    }

    /// As it is stored with the machine; `None` when there is nothing to remember.
    pub(crate) fn stored(&self, machine: &MachineId) -> Option<Stored> {
        (!self.0.is_empty()).then(|| self.0.to_stored(machine, false))
    }
}

impl Task {
    /// What an update changes in the self: a new policy, that of another image in the place of one
    /// that came with an image, another schedule.
    pub(in crate::machine) fn amended(
        &mut self,
        change: &VersionChange,
        now: UnixMs,
    ) -> Result<Option<Sheet>, ControlError> {
        let own = self.own()?.clone();
        let mut sheet = Sheet::new(&own, &self.inner.config.boot);
        let is_of_image = match &own.selfhood.policy {
            Some(policy) => policy.by == Writer::Platform,
            None => true,
        };
        let labels = (label(&self.record.image_config), label(&change.record.image_config));
        match (&change.policy, labels) {
            (Some(text), _) => set_policy(&mut sheet, text, &Writer::Owner, now)?,
            (None, (old, new)) if is_of_image && old != new => {
                set_policy(&mut sheet, new.unwrap_or("{}"), &Writer::Platform, now)?;
            }
            (None, _) => {}
        }
        if change.record.config["schedule"] != self.record.config["schedule"] {
            schedule(&mut sheet, &change.record.config, now)?;
        }
        Ok((!sheet.is_empty()).then_some(sheet))
    }
}

fn label(image: &ImageConfig) -> Option<&str> {
    image.labels.get(POLICY_LABEL).map(String::as_str)
}

fn set_policy(
    sheet: &mut Sheet,
    text: &str,
    writer: &Writer,
    now: UnixMs,
) -> Result<(), ControlError> {
    let write = Write::Policy { text: text.to_owned(), hash: None, if_match: None };
    sheet.write(&write, writer, &NoRows, u64::MAX, now)?;
    Ok(())
}

/// Makes the schedule of a configuration an alarm of the platform, or takes that away.
fn schedule(sheet: &mut Sheet, config: &Json, now: UnixMs) -> Result<(), ControlError> {
    let is_set = sheet.own.selfhood.schedule() == Some(SCHEDULE);
    let name = SCHEDULE.to_owned();
    let write = match config["schedule"].as_str().and_then(period) {
        Some(every) => {
            let alarm = AlarmText {
                at: None,
                every: Some(Period(every)),
                cron: None,
                tz: None,
                missed: policy::document::Missed::Once,
            };
            Write::Alarm { name, alarm }
        }
        None if is_set => Write::DropAlarm { name },
        None => return Ok(()),
    };
    Ok(sheet.write_by_platform(&write, now)?)
}

/// The time between two starts. Source: machines-api 2.1, `schedule`: counted from creation.
fn period(schedule: &str) -> Option<DurationMs> {
    let hours = match schedule {
        "hourly" => 1,
        "daily" => 24,
        "weekly" => 7 * 24,
        "monthly" => 30 * 24,
        _ => return None,
    };
    Some(DurationMs::from_secs(hours * 3600))
}

//! From a write that makes a wake rule true to the first instruction of the program, and the same
//! from a plain start, in alternating rounds.

use super::{POLICY, Setting};
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::dormouse::api::Api;
use crate::report::Row;
use crate::stamp;
use crate::stats::Samples;
use crate::words;
use serde_json::json;
use std::rc::Rc;

/// Measured rounds.
pub(super) const ROUNDS: u32 = 50;

/// One round before that is not counted.
const WARM_UPS: u32 = 1;

/// Every machine is woken once, by a call or by a write: a governed wake follows a rest of at least five
/// seconds, and there is a budget of them.
pub(super) fn measure(
    setting: &Setting<'_>,
    instance: &Rc<Instance>,
    rounds: u32,
) -> anyhow::Result<Vec<Row>> {
    let n = 2 * usize::try_from(rounds + WARM_UPS)?;
    words::tell(&format!("creating {n} governed machines"));
    let mut api = instance.connect()?;
    let machines =
        (0..n).map(|_| api.create_governed(POLICY)).collect::<anyhow::Result<Vec<_>>>()?;
    for id in &machines {
        api.start(id)?;
        api.stop(id)?;
    }
    let (mut starts, mut writes) = (Samples::default(), Samples::default());
    for (round, pair) in machines.chunks_exact(2).enumerate() {
        let [by_call, by_write] = pair else { continue };
        let start_ms =
            one(setting, instance, &mut api, by_call, |api, id| api.start(id).map(drop))?;
        let write_ms = one(setting, instance, &mut api, by_write, |api, id| {
            api.write_memory(id, &json!({"go": true}))
        })?;
        if round >= usize::try_from(WARM_UPS)? {
            starts.push(start_ms);
            writes.push(write_ms);
        }
    }
    for id in &machines {
        api.destroy_fully(id)?;
    }
    let mut write = Row::timed("write", &writes);
    write.figures.push(("over_start_ms", writes.percentile(50) - starts.percentile(50)));
    Ok(vec![Row::timed("start", &starts), write])
}

/// Wakes the machine and stops it again; milliseconds from the request to the program's first instruction.
fn one(
    setting: &Setting<'_>,
    instance: &Instance,
    api: &mut Api,
    id: &str,
    wake: impl Fn(&mut Api, &str) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    setting.pause();
    let log = instance.machine_dir(id).join("log");
    let asked_ns = now_ns();
    wake(api, id)?;
    let ms = ms_between(asked_ns, stamp::wait_in_log(&log, asked_ns)?);
    setting.pause();
    api.stop(id)?;
    Ok(ms)
}

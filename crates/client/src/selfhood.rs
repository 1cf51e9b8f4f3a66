//! What a machine remembers: memory, intent, holds, alarms, rests, hold-down. Messages: `inbox`.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::Ok as Done;
use api::contract::selfhood::{
    AlarmPut, Alarms, Export, FactReply, HoldDownPut, HoldDownReply, HoldPut, Holds, IntentChange,
    IntentReply, Memory, MemoryPatch, SignalsNow, WakeReply, Whole, Written,
};
use hyper::Method;
use hyper::header::IF_MATCH;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

impl Client {
    /// Everything about a machine's self at once.
    ///
    /// # Errors
    /// [`ClientError`]; code `machine_not_found`.
    pub async fn whole_self(&self, app: &str, id: &str) -> Result<Whole, ClientError> {
        self.get(&path::selfhood(app, id, "")).await
    }

    /// The facts that count.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn memory(&self, app: &str, id: &str) -> Result<Memory, ClientError> {
        self.get(&path::selfhood(app, id, "/memory")).await
    }

    /// The facts when the revision is greater than `revision`, or after `timeout_s` (60) seconds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wait_memory(
        &self,
        app: &str,
        id: &str,
        revision: u64,
        timeout_s: u64,
    ) -> Result<Memory, ClientError> {
        let rest = format!("/memory?wait_revision={revision}&timeout={timeout_s}");
        self.get(&path::selfhood(app, id, &rest)).await
    }

    /// One fact.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_missing`.
    pub async fn fact(&self, app: &str, id: &str, key: &str) -> Result<FactReply, ClientError> {
        self.get(&of(app, id, "memory", key)).await
    }

    /// Changes facts, all of them or none; with `if_match` only at that revision.
    ///
    /// # Errors
    /// [`ClientError`]; codes `self_revision`, `self_rights` and those of `docs/governance.md`.
    pub async fn patch_memory(
        &self,
        app: &str,
        id: &str,
        patch: &MemoryPatch,
        if_match: Option<u64>,
    ) -> Result<Written, ClientError> {
        self.write_if(Method::PATCH, &path::selfhood(app, id, "/memory"), patch, if_match).await
    }

    /// Writes one fact, whatever it was.
    ///
    /// # Errors
    /// As [`Client::patch_memory`].
    pub async fn put_fact(
        &self,
        app: &str,
        id: &str,
        key: &str,
        value: &Value,
    ) -> Result<Written, ClientError> {
        let body = serde_json::json!({"value": value});
        self.call(Method::PUT, &of(app, id, "memory", key), &body).await
    }

    /// Deletes one fact.
    ///
    /// # Errors
    /// As [`Client::patch_memory`].
    pub async fn delete_fact(
        &self,
        app: &str,
        id: &str,
        key: &str,
    ) -> Result<Written, ClientError> {
        self.delete(&of(app, id, "memory", key)).await
    }

    /// What it is for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn intent(&self, app: &str, id: &str) -> Result<IntentReply, ClientError> {
        self.get(&path::selfhood(app, id, "/intent")).await
    }

    /// Changes what it is for.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_rights`.
    pub async fn change_intent(
        &self,
        app: &str,
        id: &str,
        change: &IntentChange,
    ) -> Result<Written, ClientError> {
        self.call(Method::PATCH, &path::selfhood(app, id, "/intent"), change).await
    }

    /// What keeps it awake.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn holds(&self, app: &str, id: &str) -> Result<Holds, ClientError> {
        self.get(&path::selfhood(app, id, "/holds")).await
    }

    /// Puts or renews a hold.
    ///
    /// # Errors
    /// [`ClientError`]; codes `self_time_invalid`, `self_full`, `self_name_invalid`.
    pub async fn put_hold(
        &self,
        app: &str,
        id: &str,
        name: &str,
        hold: &HoldPut,
    ) -> Result<Written, ClientError> {
        self.call(Method::PUT, &of(app, id, "holds", name), hold).await
    }

    /// Removes a hold.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_missing`.
    pub async fn drop_hold(&self, app: &str, id: &str, name: &str) -> Result<Written, ClientError> {
        self.delete(&of(app, id, "holds", name)).await
    }

    /// Its alarms.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn alarms(&self, app: &str, id: &str) -> Result<Alarms, ClientError> {
        self.get(&path::selfhood(app, id, "/alarms")).await
    }

    /// Sets or replaces an alarm.
    ///
    /// # Errors
    /// [`ClientError`]; codes `alarm_invalid`, `alarm_of_policy`, `self_time_invalid`, `self_full`.
    pub async fn put_alarm(
        &self,
        app: &str,
        id: &str,
        name: &str,
        alarm: &AlarmPut,
    ) -> Result<Written, ClientError> {
        self.call(Method::PUT, &of(app, id, "alarms", name), alarm).await
    }

    /// Removes an alarm.
    ///
    /// # Errors
    /// [`ClientError`]; codes `self_missing`, `alarm_of_policy`.
    pub async fn drop_alarm(
        &self,
        app: &str,
        id: &str,
        name: &str,
    ) -> Result<Written, ClientError> {
        self.delete(&of(app, id, "alarms", name)).await
    }

    /// Acknowledges one firing of an alarm.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_missing`.
    pub async fn ack_alarm(&self, app: &str, id: &str, name: &str) -> Result<Written, ClientError> {
        self.post(&format!("{}/ack", of(app, id, "alarms", name)), &()).await
    }

    /// Takes a machine's own `rest until` back.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_rights`.
    pub async fn clear_rest(&self, app: &str, id: &str) -> Result<Written, ClientError> {
        self.delete(&path::selfhood(app, id, "/rest")).await
    }

    /// Why it was last woken.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn last_wake(&self, app: &str, id: &str) -> Result<WakeReply, ClientError> {
        self.get(&path::selfhood(app, id, "/wake")).await
    }

    /// What the host sees of it now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn signals_now(&self, app: &str, id: &str) -> Result<SignalsNow, ClientError> {
        self.get(&path::selfhood(app, id, "/signals")).await
    }

    /// Whether it is held down.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hold_down(&self, app: &str, id: &str) -> Result<HoldDownReply, ClientError> {
        self.get(&path::selfhood(app, id, "/hold-down")).await
    }

    /// Holds it down: nothing wakes it.
    ///
    /// # Errors
    /// [`ClientError`]; codes `self_rights`, `self_time_invalid`.
    pub async fn put_hold_down(
        &self,
        app: &str,
        id: &str,
        wish: &HoldDownPut,
    ) -> Result<Written, ClientError> {
        self.call(Method::PUT, &path::selfhood(app, id, "/hold-down"), wish).await
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_rights`.
    pub async fn release_hold_down(&self, app: &str, id: &str) -> Result<Written, ClientError> {
        self.delete(&path::selfhood(app, id, "/hold-down")).await
    }

    /// Closes the circuit breaker, and forgets wakes without progress.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_rights`.
    pub async fn reset_breaker(&self, app: &str, id: &str) -> Result<Written, ClientError> {
        self.delete(&path::selfhood(app, id, "/breaker")).await
    }

    /// Stops the machine, as it would stop itself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn self_stop(&self, app: &str, id: &str) -> Result<(), ClientError> {
        self.post::<Done>(&path::selfhood(app, id, "/stop"), &()).await.map(|_| ())
    }

    /// A whole self, to be brought to another machine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_self(&self, app: &str, id: &str) -> Result<Export, ClientError> {
        self.get(&path::selfhood(app, id, "/export")).await
    }

    /// Brings a whole self in.
    ///
    /// # Errors
    /// [`ClientError`]; codes `import_invalid`, `self_rights`.
    pub async fn import_self(
        &self,
        app: &str,
        id: &str,
        export: &Export,
    ) -> Result<Written, ClientError> {
        self.post(&path::selfhood(app, id, "/import"), export).await
    }

    /// A write that is only made at revision `if_match`, when that is given.
    pub(crate) async fn write_if<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        if_match: Option<u64>,
    ) -> Result<T, ClientError> {
        let tag = if_match.map(|revision| format!("\"{revision}\""));
        let headers: Vec<_> = tag.iter().map(|tag| (IF_MATCH, tag.as_str())).collect();
        self.exchanged(self.request(method, path, body, &headers)?).await
    }
}

/// Path of one thing of a kind.
fn of(app: &str, id: &str, kind: &str, name: &str) -> String {
    path::selfhood(app, id, &format!("/{kind}/{}", encoded(name)))
}

//! Hooks of apps, and what is posted to them.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::hooks::{
    self, HOOK_NAME_MAX_BYTES, HOOKS_MAX, Hook, HookPost, HookPosted, HookRefused, HookSignature,
    HookWish, SecretWish, standard, turnover,
};
use crate::inner::chance;
use crate::notify::waybill;
use govern::write::{Message, Reply};
use model::{AppName, MachineId, State};
use store::{HookRecord, OldSecret, Reader, StoreError, Tx};
use tokio::time::Instant;

impl Control {
    /// Makes a hook, in place of the one of this name. The secret is returned when it was drawn
    /// here, and never again. One that was there counts no more, nor do those before it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for app or machine, [`ControlError::Invalid`].
    pub async fn put_hook(
        &self,
        app: &AppName,
        name: &str,
        wish: HookWish,
    ) -> Answer<(Hook, Option<String>)> {
        expect_name(name)?;
        self.app(app)?;
        let machine = self.machine_called(app, &wish.machine)?;
        let (of_app, of_hook, drawn) = (app.clone(), name.to_owned(), chance());
        let is_drawn = matches!(wish.secret, SecretWish::Generate);
        let keeps_secrets = wish.signature.is_none() && matches!(wish.secret, SecretWish::Keep);
        let put = move |tx: &Tx<'_>| {
            let before = tx.hook(&of_app, &of_hook)?;
            if before.is_none() && tx.hooks(&of_app)?.len() >= HOOKS_MAX {
                return Ok(Err(too_many()));
            }
            let record = match record_of(of_app, of_hook, machine, wish, before, drawn) {
                Ok(record) => record,
                Err(why) => return Ok(Err(why)),
            };
            tx.put_hook(&record)?;
            if !keeps_secrets {
                tx.replace_old_hook_secrets(&record.app, &record.name, &[])?;
            }
            Ok(Ok(record.secret))
        };
        let secret = self.inner.store.write("hook.put", put).await??;
        Ok((self.hook(app, name)?, secret.filter(|_| is_drawn)))
    }

    /// The hooks of an app, by name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for the app.
    pub fn hooks(&self, app: &AppName) -> Answer<Vec<Hook>> {
        self.app(app)?;
        let with_old = |reader: &Reader<'_>| {
            let hooks = reader.hooks(app)?.into_iter();
            hooks.map(|hook| Ok((reader.old_hook_secrets(app, &hook.name)?, hook))).collect()
        };
        let found: Vec<(Vec<OldSecret>, HookRecord)> = self.inner.store.read(with_old)?;
        found.into_iter().map(|(old, hook)| hook_of(hook, old)).collect()
    }

    /// A hook.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn hook(&self, app: &AppName, name: &str) -> Answer<Hook> {
        let (hook, old) = self.hook_and_old_secrets(app, name)?;
        hook_of(hook.ok_or(ControlError::NotFound { what: "hook" })?, old)
    }

    fn hook_and_old_secrets(
        &self,
        app: &AppName,
        name: &str,
    ) -> Result<(Option<HookRecord>, Vec<OldSecret>), StoreError> {
        self.inner.store.read(|r| Ok((r.hook(app, name)?, r.old_hook_secrets(app, name)?)))
    }

    /// Removes a hook.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn remove_hook(&self, app: &AppName, name: &str) -> Answer<()> {
        let (app, name) = (app.clone(), name.to_owned());
        let removed =
            self.inner.store.write("hook.remove", move |tx| tx.remove_hook(&app, &name)).await?;
        if removed { Ok(()) } else { Err(ControlError::NotFound { what: "hook" }) }
    }

    /// Posts to a hook, as anybody may who knows it, and its secret if it has one.
    ///
    /// # Errors
    /// [`HookRefused`].
    pub async fn post_to_hook(
        &self,
        app: &AppName,
        name: &str,
        post: HookPost,
    ) -> Result<HookPosted, HookRefused> {
        let (found, old) = self.hook_and_old_secrets(app, name).map_err(ControlError::from)?;
        let record = found.ok_or(HookRefused::Unknown)?;
        let now = model::clock::now();
        let mut scheme = None;
        if let Some(secret) = &record.secret {
            let signature = signature_of(&record)?;
            let old = turnover::counting(old, now);
            let old = old.iter().map(|old| old.secret.as_str());
            signature.verify_any(std::iter::once(secret.as_str()).chain(old), &post, now)?;
            scheme = Some(signature.scheme);
        }
        self.inner.hooks.admit(app, name, Instant::now())?;
        let id = hooks::id_of(name, &post, scheme);
        let hops = self.hops_of(&post)?;
        self.fill_inbox(&record, Message { id, body: post.body, hops, wake: record.wake }).await
    }

    /// Hands a letter of the app's own to one of its hooks: no signature is needed within a house,
    /// but it counts like any other post, and it has passed a machine.
    pub(crate) async fn deliver_to_hook(
        &self,
        app: &AppName,
        name: &str,
        id: &str,
        body: &str,
    ) -> Result<HookPosted, HookRefused> {
        let found = self.inner.store.read(|reader| reader.hook(app, name));
        let record = found.map_err(ControlError::from)?.ok_or(HookRefused::Unknown)?;
        self.inner.hooks.admit(app, name, Instant::now())?;
        let id = Some(hooks::message_id(name, id));
        let hops = waybill(body).map_or(1, |(_, hops)| hops);
        let message = Message { id, body: body.to_owned(), hops, wake: record.wake };
        self.fill_inbox(&record, message).await
    }

    /// Machines that a post has passed: as it says, if it is a letter that an app of this host has
    /// signed. Everybody else begins at none.
    fn hops_of(&self, post: &HookPost) -> Answer<u8> {
        let Some((app, hops)) = waybill(&post.body) else { return Ok(0) };
        let header = |name| post.headers.get(name).map(String::as_str).unwrap_or_default();
        let signatures = header(standard::SIGNATURE_HEADER);
        if signatures.is_empty() {
            return Ok(0);
        }
        let keys = self.known_signing_keys(&app)?;
        let (id, at) = (header(standard::ID_HEADER), header(standard::TIMESTAMP_HEADER));
        let is_ours = keys.is_some_and(|keys| keys.verify(id, at, &post.body, signatures));
        Ok(if is_ours { hops } else { 0 })
    }

    async fn fill_inbox(
        &self,
        hook: &HookRecord,
        message: Message,
    ) -> Result<HookPosted, HookRefused> {
        let write = govern::Write::Post(message);
        match self.self_write(&hook.machine, write, hooks::writer_of(&hook.name)).await {
            Ok(written) => match written.reply {
                Reply::Posted { seq, is_new } => Ok(HookPosted { seq, is_new }),
                other => Err(bug(&format!("a post was answered with {other:?}")).into()),
            },
            Err(ControlError::NotFound { .. }) => Err(HookRefused::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// The machine of the app with this id or name.
    fn machine_called(&self, app: &AppName, called: &str) -> Answer<MachineId> {
        let found = self.inner.store.read(|reader| match called.parse::<MachineId>() {
            Ok(id) => reader.machine(&id),
            Err(_no_id) => reader.machine_by_name(app, called),
        })?;
        found
            .filter(|record| record.app == *app)
            .filter(|record| !matches!(record.machine.state, State::Destroyed { .. }))
            .map(|record| record.id)
            .ok_or(ControlError::NotFound { what: "machine" })
    }
}

/// The record of a hook that is wanted in the place of `before`.
fn record_of(
    app: AppName,
    name: String,
    machine: MachineId,
    wish: HookWish,
    before: Option<HookRecord>,
    drawn: [u8; 32],
) -> Answer<HookRecord> {
    let signature = match (wish.signature, &before) {
        (Some(signature), _) => signature,
        (None, Some(before)) => signature_of(before)?,
        (None, None) => HookSignature::standard(),
    };
    let secret = match wish.secret {
        SecretWish::Keep => before.and_then(|before| before.secret),
        SecretWish::Given(secret) => Some(secret),
        SecretWish::Generate => Some(signature.secret_from(drawn)),
    };
    expect_secret(secret.as_deref(), &signature)?;
    let signature = serde_json::to_string(&signature).map_err(|e| bug(&e))?;
    let created_at = model::clock::now();
    Ok(HookRecord { app, name, machine, secret, signature, wake: wish.wake, created_at })
}

fn hook_of(record: HookRecord, old: Vec<OldSecret>) -> Answer<Hook> {
    let signature = record.secret.is_some().then(|| signature_of(&record)).transpose()?;
    let old_secrets = turnover::shown(&turnover::counting(old, model::clock::now()));
    let HookRecord { app, name, machine, wake, created_at, .. } = record;
    Ok(Hook { app, name, machine, wake, signature, created_at, old_secrets })
}

pub(super) fn signature_of(record: &HookRecord) -> Answer<HookSignature> {
    serde_json::from_str(&record.signature).map_err(|e| bug(&e))
}

pub(super) fn bug(error: &dyn std::fmt::Display) -> ControlError {
    ControlError::Bug { message: error.to_string() }
}

fn expect_name(name: &str) -> Answer<()> {
    if hooks::is_hook_name(name) {
        return Ok(());
    }
    Err(ControlError::Invalid {
        code: "invalid_hook_name",
        message: "this is no name of a hook".to_owned(),
        hint: format!("use 1 to {HOOK_NAME_MAX_BYTES} letters, digits, `_` or `-`"),
    })
}

pub(super) fn expect_secret(secret: Option<&str>, signature: &HookSignature) -> Answer<()> {
    if secret.is_none_or(|secret| signature.takes(secret)) {
        return Ok(());
    }
    Err(ControlError::Invalid {
        code: "invalid_hook_secret",
        message: "the secret does not suit the scheme".to_owned(),
        hint:
            "send `{\"generate\": true}`; for `standard-webhooks` a secret is `whsec_` and 24 to \
               64 bytes in base64, for the others 8 to 256 bytes of text"
                .to_owned(),
    })
}

fn too_many() -> ControlError {
    ControlError::Precondition {
        code: "too_many_hooks",
        message: format!("the app has {HOOKS_MAX} hooks already"),
        hint: "remove one that is no longer needed",
    }
}

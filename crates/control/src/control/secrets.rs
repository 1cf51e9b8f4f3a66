//! The secrets that sign what apps send, and that sign what is posted to their hooks: how they are
//! changed.

use super::hooks::{bug, expect_secret, signature_of};
use super::{Answer, Control};
use crate::error::ControlError;
use crate::hooks::{Hook, SigningSecret, standard, turnover};
use crate::inner::chance;
use model::{AppName, DurationMs};
use store::{HookRecord, OldSecret, Reader, StoreError, Tx};

/// A secret that may not have been drawn yet, and those before it that still count.
type SigningSecrets = (Option<String>, Vec<OldSecret>);

impl Control {
    /// What signs the notifications of the app's machines; drawn when it is first asked for.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn signing_secret(&self, app: &AppName) -> Answer<SigningSecret> {
        let (secret, old) = self.signing_secrets(app).await?;
        Ok(SigningSecret { secret, old_secrets: turnover::shown(&old) })
    }

    /// Gives the app another signing secret, at once; the one before signs beside it for `overlap`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`]; [`ControlError::Precondition`] when too
    /// many still count.
    pub async fn rotate_signing_secret(
        &self,
        app: &AppName,
        overlap: DurationMs,
    ) -> Answer<SigningSecret> {
        self.app(app)?;
        let (of, drawn) = (app.clone(), standard::secret_from(chance()));
        let rotate = move |tx: &Tx<'_>| {
            let (current, old) = (tx.signing_secret(&of)?, tx.old_signing_secrets(&of)?);
            match turnover::turn_over(current, old, &drawn, overlap, model::clock::now()) {
                Ok(old) => tx.replace_signing_secret(&of, &drawn, &old).map(Ok),
                Err(why) => Ok(Err(why)),
            }
        };
        self.inner.store.write("app.rotate_signing_secret", rotate).await??;
        self.signing_secret(app).await
    }

    /// The keys by which the app's notifications are signed now.
    pub(crate) async fn signing_keys(&self, app: &AppName) -> Answer<standard::Keys> {
        let (secret, old) = self.signing_secrets(app).await?;
        keys_of(&(Some(secret), old)).ok_or_else(|| bug(&"a signing secret is no secret"))
    }

    /// The same, if there is such an app and it has ever signed anything.
    pub(super) fn known_signing_keys(&self, app: &AppName) -> Answer<Option<standard::Keys>> {
        match self.known_signing_secrets(app) {
            Err(StoreError::NotFound { .. }) => Ok(None),
            known => Ok(keys_of(&known?)),
        }
    }

    async fn signing_secrets(&self, app: &AppName) -> Answer<(String, Vec<OldSecret>)> {
        match self.known_signing_secrets(app) {
            Err(StoreError::NotFound { .. }) => {
                return Err(ControlError::NotFound { what: "app" });
            }
            Ok((Some(secret), old)) => return Ok((secret, old)),
            known => drop(known?),
        }
        let (app, drawn) = (app.clone(), standard::secret_from(chance()));
        let ensure = move |tx: &Tx<'_>| tx.ensure_signing_secret(&app, &drawn);
        Ok((self.inner.store.write("app.signing_secret", ensure).await?, Vec::new()))
    }

    /// The app's signing secret, if it has one, and those before it that still count.
    fn known_signing_secrets(&self, app: &AppName) -> Result<SigningSecrets, StoreError> {
        let both = |r: &Reader<'_>| Ok((r.signing_secret(app)?, r.old_signing_secrets(app)?));
        let (secret, old) = self.inner.store.read(both)?;
        Ok((secret, turnover::counting(old, model::clock::now())))
    }

    /// Gives a hook that has a secret another one, at once; the one before counts for `overlap` too.
    /// The secret is returned when it was drawn here, and never again.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`]; [`ControlError::Precondition`] when it
    /// has none, or too many that still count.
    pub async fn rotate_hook_secret(
        &self,
        app: &AppName,
        name: &str,
        given: Option<String>,
        overlap: DurationMs,
    ) -> Answer<(Hook, Option<String>)> {
        let (of_app, of_hook, drawn) = (app.clone(), name.to_owned(), chance());
        let is_drawn = given.is_none();
        let rotate = move |tx: &Tx<'_>| {
            let Some(hook) = tx.hook(&of_app, &of_hook)? else {
                return Ok(Err(ControlError::NotFound { what: "hook" }));
            };
            let old = tx.old_hook_secrets(&of_app, &of_hook)?;
            match rotated(&hook, old, given, drawn, overlap) {
                Ok((secret, old)) => {
                    tx.put_hook(&HookRecord { secret: Some(secret.clone()), ..hook })?;
                    tx.replace_old_hook_secrets(&of_app, &of_hook, &old)?;
                    Ok(Ok(secret))
                }
                Err(why) => Ok(Err(why)),
            }
        };
        let secret = self.inner.store.write("hook.rotate", rotate).await??;
        Ok((self.hook(app, name)?, is_drawn.then_some(secret)))
    }
}

fn keys_of((secret, old): &SigningSecrets) -> Option<standard::Keys> {
    let secret = secret.as_deref()?;
    standard::Keys::of(std::iter::once(secret).chain(old.iter().map(|old| old.secret.as_str())))
}

/// What the secret of a hook and those before it are after `given`, or one that is drawn, has taken
/// its place.
fn rotated(
    hook: &HookRecord,
    old: Vec<OldSecret>,
    given: Option<String>,
    drawn: [u8; 32],
    overlap: DurationMs,
) -> Answer<(String, Vec<OldSecret>)> {
    let Some(current) = hook.secret.clone() else { return Err(no_secret()) };
    let signature = signature_of(hook)?;
    let secret = given.unwrap_or_else(|| signature.secret_from(drawn));
    expect_secret(Some(&secret), &signature)?;
    let now = model::clock::now();
    let old = turnover::turn_over(Some(current), old, &secret, overlap, now)?;
    Ok((secret, old))
}

fn no_secret() -> ControlError {
    ControlError::Precondition {
        code: "no_hook_secret",
        message: "the hook has no secret that could be changed".to_owned(),
        hint: "give it one with `PUT`: posts must be signed with it from then on",
    }
}

//! Host names of apps and their certificates.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::hostnames::{
    CERTIFICATES_MAX_BYTES, CertificateSource, CertificateView, HOSTNAMES_MAX, Hostname,
    HostnamePage, HostnameRefused, HostnameView, LookedUp, OwnCertificate, PAGE_MAX, authority,
    chain, looked_up,
};
use model::{AppName, UnixMs};
use std::time::Duration;
use store::{AuthorityRecord, CertificateRecord, HostnameRecord, Reader, StoreError, Tx};

/// Pause between two looks at certificates that end: a small part of the time in which they are
/// renewed.
const RENEW_EVERY: Duration = Duration::from_secs(3_600);

/// Certificates that are renewed in one go, so that nobody waits for the store meanwhile.
const RENEWED_AT_ONCE: u32 = 64;

impl Control {
    /// Host names of an app that contain `filter`, by name, after the name `after`; `limit` is at
    /// most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for the app.
    pub fn hostnames(
        &self,
        app: &AppName,
        filter: &str,
        after: &str,
        limit: u32,
    ) -> Answer<HostnamePage> {
        self.app(app)?;
        let limit = limit.clamp(1, PAGE_MAX);
        Ok(self.inner.store.read(|reader| {
            let mut records = reader.hostnames(app, filter, after, limit + 1)?;
            let is_more = records.len() > limit as usize;
            records.truncate(limit as usize);
            let next = records.last().filter(|_| is_more).map(|last| last.name.clone());
            let hostnames: Result<_, StoreError> =
                records.into_iter().map(|record| view(reader, record)).collect();
            Ok(HostnamePage {
                hostnames: hostnames?,
                next,
                n_all: reader.hostname_count(app, filter)?,
            })
        })?)
    }

    /// One host name of an app.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], also when another app has it.
    pub fn hostname(&self, app: &AppName, name: &str) -> Answer<HostnameView> {
        let name = named(name)?;
        self.inner
            .store
            .read(|reader| {
                let record = reader.hostname(name.as_str())?.filter(|record| record.app == *app);
                record.map(|record| view(reader, record)).transpose()
            })?
            .ok_or_else(missing)
    }

    /// Adds a host name with its owner's certificate, or gives a host name of the app one.
    ///
    /// # Errors
    /// [`ControlError::Hostname`]; [`ControlError::NotFound`] for the app.
    pub async fn add_own_certificate(
        &self,
        app: &AppName,
        name: &str,
        own: OwnCertificate,
    ) -> Answer<HostnameView> {
        let name: Hostname = name.parse().map_err(HostnameRefused::from)?;
        let now = model::clock::now();
        let fit =
            chain::fit(&name, &own.chain, &own.private_key, now).map_err(HostnameRefused::from)?;
        let certificate = CertificateRecord {
            hostname: name.to_string(),
            source: CertificateSource::Custom,
            issuer: fit.issuer,
            key_kind: fit.key_kind.to_owned(),
            created_at: now,
            expires_at: fit.expires_at,
            chain: fit.chain,
            private_key: fit.private_key,
        };
        self.put_certificate(app, name, certificate, own.replaces).await
    }

    /// Adds a host name with a certificate of the host's own authority, or gives a host name of the
    /// app one.
    ///
    /// # Errors
    /// As [`Control::add_own_certificate`].
    pub async fn add_local_certificate(&self, app: &AppName, name: &str) -> Answer<HostnameView> {
        let name: Hostname = name.parse().map_err(HostnameRefused::from)?;
        self.app(app)?;
        let certificate = self.issue(name.clone()).await?;
        self.put_certificate(app, name, certificate, false).await
    }

    /// Removes a host name with its certificates.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn remove_hostname(&self, app: &AppName, name: &str) -> Answer<()> {
        let name = named(name)?;
        let of = app.clone();
        let remove = move |tx: &Tx<'_>| tx.remove_hostname(&of, name.as_str());
        if !self.inner.store.write("hostname.remove", remove).await? {
            return Err(missing());
        }
        self.inner.proxy.app_changed(app.as_str());
        Ok(())
    }

    /// Removes the certificate of one source; the host name stays the app's.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn remove_certificate(
        &self,
        app: &AppName,
        name: &str,
        source: CertificateSource,
    ) -> Answer<HostnameView> {
        let hostname = named(name)?;
        let (of, now) = (app.clone(), model::clock::now());
        let is_removed = self
            .inner
            .store
            .write("certificate.remove", move |tx| {
                let is_own = tx.hostname(hostname.as_str())?.is_some_and(|record| record.app == of);
                Ok(is_own && tx.remove_certificate(&of, hostname.as_str(), source, now)?)
            })
            .await?;
        if !is_removed {
            return Err(missing());
        }
        self.inner.proxy.app_changed(app.as_str());
        self.hostname(app, name)
    }

    /// Looks a host name of an app up in the DNS and notes what was found.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn check_hostname(
        &self,
        app: &AppName,
        name: &str,
    ) -> Answer<(HostnameView, LookedUp)> {
        self.hostname(app, name)?;
        let hostname = named(name)?;
        let found = looked_up::look_up(&hostname, model::clock::now()).await;
        let text = serde_json::to_string(&found).map_err(StoreError::from)?;
        let note = move |tx: &Tx<'_>| tx.put_looked_up(hostname.as_str(), &text);
        self.inner.store.write("hostname.looked_up", note).await?;
        Ok((self.hostname(app, name)?, found))
    }

    /// The certificate of the host's own authority, as PEM; made when it is first needed.
    ///
    /// # Errors
    /// What the store said.
    pub async fn authority_certificate(&self) -> Answer<String> {
        Ok(self.authority().await?.certificate)
    }

    async fn put_certificate(
        &self,
        app: &AppName,
        name: Hostname,
        certificate: CertificateRecord,
        replaces: bool,
    ) -> Answer<HostnameView> {
        let (of, hostname) = (app.clone(), name.clone());
        let put = move |tx: &Tx<'_>| {
            let put = Put { app: &of, name: &hostname, certificate: &certificate, replaces };
            put.run(tx)
        };
        self.inner.store.write("certificate.put", put).await??;
        self.inner.proxy.app_changed(app.as_str());
        self.hostname(app, name.as_str())
    }

    async fn issue(&self, name: Hostname) -> Answer<CertificateRecord> {
        let authority = self.authority().await?;
        let now = model::clock::now();
        self.blocking(move |_| authority::issue(&authority, &name, now)).await
    }

    async fn authority(&self) -> Answer<AuthorityRecord> {
        let now = model::clock::now();
        let known = self.inner.store.read(|reader| reader.authority())?;
        if let Some(known) = known.filter(|known| authority::is_lasting(known, now)) {
            return Ok(known);
        }
        let host_id = self.inner.store.host_id().to_owned();
        let made = self.blocking(move |_| authority::found(&host_id, now)).await?;
        let kept = self
            .inner
            .store
            .write("authority.ensure", move |tx| match tx.authority()? {
                // Somebody else was faster.
                Some(known) if authority::is_lasting(&known, now) => Ok(known),
                _ => tx.put_authority(&made).map(|()| made),
            })
            .await?;
        Ok(kept)
    }

    /// Renews certificates made here that end soon; whether there may be more of them.
    async fn renew(&self, now: UnixMs) -> Answer<bool> {
        let end = now.plus(authority::RENEW_BEFORE);
        let local = CertificateSource::Local;
        let ending = self
            .inner
            .store
            .read(|reader| reader.certificates_ending(local, end, RENEWED_AT_ONCE))?;
        for record in &ending {
            let Ok(name) = record.name.parse::<Hostname>() else { continue };
            let certificate = self.issue(name).await?;
            let app = record.app.clone();
            self.inner
                .store
                .write("certificate.renew", move |tx| {
                    let found = tx.certificates(&certificate.hostname)?;
                    // It may have been removed meanwhile, and then it stays so.
                    if found.iter().any(|found| found.source == local) {
                        tx.put_certificate(&app, &certificate)?;
                    }
                    Ok(())
                })
                .await?;
            self.inner.proxy.app_changed(record.app.as_str());
            tracing::info!(app = %record.app, hostname = record.name, "certificate renewed");
        }
        Ok(ending.len() >= RENEWED_AT_ONCE as usize)
    }
}

/// Renews certificates made here in time, for as long as control lives.
pub(super) async fn renew_for_ever(control: Control) {
    let mut hours = tokio::time::interval(RENEW_EVERY);
    loop {
        hours.tick().await;
        loop {
            match control.renew(model::clock::now()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "certificates are not renewed");
                    break;
                }
            }
        }
    }
}

/// A certificate on its way into the store.
struct Put<'a> {
    app: &'a AppName,
    name: &'a Hostname,
    certificate: &'a CertificateRecord,
    replaces: bool,
}

impl Put<'_> {
    /// Refuses before anything is written.
    fn run(&self, tx: &Tx<'_>) -> Result<Result<(), ControlError>, StoreError> {
        let Some(app) = tx.app(self.app)? else {
            return Ok(Err(ControlError::NotFound { what: "app" }));
        };
        let known = tx.hostname(self.name.as_str())?;
        if let Some(refused) = self.refusal(tx, &app.org, known.as_ref())? {
            return Ok(Err(refused.into()));
        }
        if known.is_none() {
            let now = self.certificate.created_at;
            tx.insert_hostname(&HostnameRecord {
                name: self.name.to_string(),
                app: self.app.clone(),
                created_at: now,
                updated_at: now,
                looked_up: None,
            })?;
        }
        tx.put_certificate(self.app, self.certificate).map(Ok)
    }

    fn refusal(
        &self,
        tx: &Tx<'_>,
        org: &str,
        known: Option<&HostnameRecord>,
    ) -> Result<Option<HostnameRefused>, StoreError> {
        let source = self.certificate.source;
        match known {
            Some(known) if known.app != *self.app => return Ok(Some(HostnameRefused::Taken)),
            Some(_) => {
                let found = tx.certificates(self.name.as_str())?;
                if !self.replaces && found.iter().any(|found| found.source == source) {
                    return Ok(Some(HostnameRefused::Exists(source)));
                }
            }
            None => {
                if is_anothers(tx, self.name, org)? {
                    return Ok(Some(HostnameRefused::Taken));
                }
                if tx.hostname_count(self.app, "")? >= HOSTNAMES_MAX {
                    return Ok(Some(HostnameRefused::TooMany));
                }
            }
        }
        let others = tx.certificate_bytes(self.app, (self.name.as_str(), source))?;
        let own = self.certificate.chain.len() + self.certificate.private_key.len();
        let is_too_much = others + own as u64 > CERTIFICATES_MAX_BYTES;
        Ok(is_too_much.then_some(HostnameRefused::TooMuch))
    }
}

/// Whether another organisation has the wildcard around the name, or names below this wildcard.
fn is_anothers(reader: &Reader<'_>, name: &Hostname, org: &str) -> Result<bool, StoreError> {
    if let Some(base) = name.wildcard_base() {
        return reader.is_other_org_below(base, org);
    }
    let Some(above) = name.wildcard_above() else { return Ok(false) };
    let Some(holder) = reader.hostname(&above)? else { return Ok(false) };
    Ok(reader.app(&holder.app)?.is_none_or(|holder| holder.org != org))
}

fn view(reader: &Reader<'_>, record: HostnameRecord) -> Result<HostnameView, StoreError> {
    let certificates = reader.certificates(&record.name)?;
    let looked_up = record.looked_up.as_deref().map(serde_json::from_str::<LookedUp>);
    Ok(HostnameView {
        name: record.name,
        created_at: record.created_at,
        updated_at: record.updated_at,
        // What a later release wrote differently is looked up again.
        looked_up: looked_up.and_then(Result::ok),
        certificates: certificates.into_iter().map(certificate_view).collect(),
    })
}

fn certificate_view(record: CertificateRecord) -> CertificateView {
    CertificateView {
        source: record.source,
        issuer: record.issuer,
        key_kind: record.key_kind,
        created_at: record.created_at,
        expires_at: record.expires_at,
    }
}

/// What is no host name is nobody's.
fn named(name: &str) -> Answer<Hostname> {
    name.parse().map_err(|_invalid| missing())
}

fn missing() -> ControlError {
    ControlError::NotFound { what: "certificate" }
}

//! Host names of apps, their certificates, and the authority that signs those made here.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{AppName, UnixMs};

/// A name under which an app is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostnameRecord {
    /// The name, unique on this host.
    pub name: String,
    /// The app it belongs to.
    pub app: AppName,
    /// When it was added.
    pub created_at: UnixMs,
    /// When something of it changed.
    pub updated_at: UnixMs,
    /// What the last look into the DNS found, as JSON text; `None` before the first one.
    pub looked_up: Option<String>,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateSource {
    /// Its owner brought it.
    Custom,
    /// It was made here, by the host's own authority.
    Local,
}

/// A certificate of a host name.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The name it is for.
    pub hostname: String,
    /// Where it comes from.
    pub source: CertificateSource,
    /// Who signed it, in one line.
    pub issuer: String,
    /// Kind of its key, a word.
    pub key_kind: String,
    /// When it was stored.
    pub created_at: UnixMs,
    /// From then on nobody takes it any more.
    pub expires_at: UnixMs,
    /// The chain as PEM, the host name's own certificate first.
    pub chain: String,
    /// Its private key as PEM.
    pub private_key: String,
}

/// The authority that signs certificates made here.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityRecord {
    /// Its certificate as PEM.
    pub certificate: String,
    /// Its private key as PEM.
    pub private_key: String,
    /// From then on nobody takes what it signs any more.
    pub expires_at: UnixMs,
}

/// What the proxy must know of a host name.
#[derive(Clone, PartialEq, Eq)]
pub struct HostnameRoute {
    /// The name.
    pub name: String,
    /// Chain and private key as PEM: the owner's own before one made here.
    pub certificate: Option<(String, String)>,
}

impl std::fmt::Debug for CertificateRecord {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateRecord")
            .field("hostname", &self.hostname)
            .field("source", &self.source)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AuthorityRecord {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityRecord")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HostnameRoute {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostnameRoute").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CertificateSource {
    /// Its name in the database.
    const fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Local => "local",
        }
    }
}

impl std::str::FromStr for CertificateSource {
    type Err = UnknownSource;

    fn from_str(word: &str) -> Result<Self, UnknownSource> {
        [Self::Custom, Self::Local]
            .into_iter()
            .find(|source| source.word() == word)
            .ok_or(UnknownSource)
    }
}

/// The word for a certificate's source is not one of ours.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no source of certificates has this name")]
pub struct UnknownSource;

impl HostnameRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.plain("name")?,
            app: row.parsed("app")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
            looked_up: row.plain("looked_up")?,
        })
    }
}

impl CertificateRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            hostname: row.plain("hostname")?,
            source: row.parsed("source")?,
            issuer: row.plain("issuer")?,
            key_kind: row.plain("key_kind")?,
            created_at: row.at("created_at")?,
            expires_at: row.at("expires_at")?,
            chain: row.plain("chain")?,
            private_key: row.plain("private_key")?,
        })
    }
}

impl Reader<'_> {
    /// The host name, whosever it is.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn hostname(&self, name: &str) -> Result<Option<HostnameRecord>, StoreError> {
        let sql = "SELECT * FROM hostnames WHERE name = ?1";
        self.one("hostnames", sql, [name], HostnameRecord::from_row)
    }

    /// Host names of an app that contain `filter`, by name, after the name `after`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn hostnames(
        &self,
        app: &AppName,
        filter: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<HostnameRecord>, StoreError> {
        let sql = "SELECT * FROM hostnames WHERE app = ?1 AND name > ?3
                   AND (?2 = '' OR instr(name, ?2) > 0) ORDER BY name LIMIT ?4";
        let params = (app.as_str(), filter, after, limit);
        self.all("hostnames", sql, params, HostnameRecord::from_row)
    }

    /// How many host names of an app contain `filter`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn hostname_count(&self, app: &AppName, filter: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS n FROM hostnames WHERE app = ?1
                   AND (?2 = '' OR instr(name, ?2) > 0)";
        let n = self.one("hostnames", sql, (app.as_str(), filter), |row| row.count("n"))?;
        Ok(n.unwrap_or(0))
    }

    /// Whether another organisation than `org` has a name one label below `base`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn is_other_org_below(&self, base: &str, org: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS n FROM hostnames JOIN apps ON apps.name = hostnames.app
                   WHERE apps.org <> ?2
                   AND substr(hostnames.name, instr(hostnames.name, '.') + 1) = ?1 LIMIT 1";
        let found: Option<u64> = self.one("hostnames", sql, (base, org), |row| row.count("n"))?;
        Ok(found.is_some())
    }

    /// The certificates of a host name, the owner's own first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn certificates(&self, hostname: &str) -> Result<Vec<CertificateRecord>, StoreError> {
        let sql = "SELECT * FROM certificates WHERE hostname = ?1 ORDER BY source";
        self.all("certificates", sql, [hostname], CertificateRecord::from_row)
    }

    /// Bytes of all chains and keys of an app, those of one host name and source left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn certificate_bytes(
        &self,
        app: &AppName,
        without: (&str, CertificateSource),
    ) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(length(chain) + length(private_key)), 0) AS n
                   FROM certificates JOIN hostnames ON hostnames.name = certificates.hostname
                   WHERE hostnames.app = ?1 AND NOT (hostname = ?2 AND source = ?3)";
        let params = (app.as_str(), without.0, without.1.word());
        Ok(self.one("certificates", sql, params, |row| row.count("n"))?.unwrap_or(0))
    }

    /// Host names whose certificates of this source end before `end`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn certificates_ending(
        &self,
        source: CertificateSource,
        end: UnixMs,
        limit: u32,
    ) -> Result<Vec<HostnameRecord>, StoreError> {
        let sql = "SELECT hostnames.* FROM certificates
                   JOIN hostnames ON hostnames.name = certificates.hostname
                   WHERE source = ?1 AND expires_at < ?2 ORDER BY expires_at LIMIT ?3";
        let params = (source.word(), at_column(end), limit);
        self.all("certificates", sql, params, HostnameRecord::from_row)
    }

    /// What the proxy must know of an app's host names, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn hostname_routes(&self, app: &AppName) -> Result<Vec<HostnameRoute>, StoreError> {
        let sql = "SELECT name, chain, private_key FROM hostnames
                   LEFT JOIN certificates ON hostname = name AND source = (
                       SELECT min(source) FROM certificates WHERE hostname = name)
                   WHERE app = ?1 ORDER BY name";
        self.all("hostnames", sql, [app.as_str()], |row| {
            let (chain, key): (Option<String>, Option<String>) =
                (row.plain("chain")?, row.plain("private_key")?);
            Ok(HostnameRoute { name: row.plain("name")?, certificate: chain.zip(key) })
        })
    }

    /// The generation of what the proxy must know of an app: it grows with each change of that.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`], [`StoreError::NotFound`].
    pub fn route_generation(&self, app: &AppName) -> Result<u64, StoreError> {
        let sql = "SELECT max(created_at, route_generation) AS n FROM apps WHERE name = ?1";
        self.one("apps", sql, [app.as_str()], |row| row.count("n"))?
            .ok_or_else(|| StoreError::not_found("app", app))
    }

    /// The authority that signs certificates made here; `None` before the first one.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn authority(&self) -> Result<Option<AuthorityRecord>, StoreError> {
        self.one("authority", "SELECT * FROM authority WHERE id = 1", [], |row| {
            Ok(AuthorityRecord {
                certificate: row.plain("certificate")?,
                private_key: row.plain("private_key")?,
                expires_at: row.at("expires_at")?,
            })
        })
    }
}

impl Tx<'_> {
    /// Adds a host name.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when an app has it, [`StoreError::Database`] when there is no such app.
    pub fn insert_hostname(&self, hostname: &HostnameRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO hostnames (name, app, created_at, updated_at, looked_up)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = (
            &hostname.name,
            hostname.app.as_str(),
            at_column(hostname.created_at),
            at_column(hostname.updated_at),
            &hostname.looked_up,
        );
        self.execute(sql, row)?;
        self.raise_route_generation(&hostname.app)
    }

    /// Removes a host name of an app with its certificates; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_hostname(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM hostnames WHERE app = ?1 AND name = ?2";
        if self.execute(sql, (app.as_str(), name))? == 0 {
            return Ok(false);
        }
        self.raise_route_generation(app).map(|()| true)
    }

    /// Notes what a look into the DNS has found; the host name may be gone.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_looked_up(&self, name: &str, looked_up: &str) -> Result<(), StoreError> {
        let sql = "UPDATE hostnames SET looked_up = ?2 WHERE name = ?1";
        self.execute(sql, (name, looked_up)).map(drop)
    }

    /// Stores a certificate of an app's host name, in place of the one from the same source.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when there is no such host name.
    pub fn put_certificate(
        &self,
        app: &AppName,
        certificate: &CertificateRecord,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO certificates (hostname, source, issuer, key_kind, created_at,
                     expires_at, chain, private_key)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (hostname, source) DO UPDATE SET issuer = excluded.issuer,
                     key_kind = excluded.key_kind, created_at = excluded.created_at,
                     expires_at = excluded.expires_at, chain = excluded.chain,
                     private_key = excluded.private_key";
        let row = (
            &certificate.hostname,
            certificate.source.word(),
            &certificate.issuer,
            &certificate.key_kind,
            at_column(certificate.created_at),
            at_column(certificate.expires_at),
            &certificate.chain,
            &certificate.private_key,
        );
        self.execute(sql, row)?;
        self.touch_hostname(app, &certificate.hostname, certificate.created_at)
    }

    /// Removes the certificate of this source; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_certificate(
        &self,
        app: &AppName,
        hostname: &str,
        source: CertificateSource,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM certificates WHERE hostname = ?1 AND source = ?2";
        if self.execute(sql, (hostname, source.word()))? == 0 {
            return Ok(false);
        }
        self.touch_hostname(app, hostname, now).map(|()| true)
    }

    /// Stores the authority that signs certificates made here, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_authority(&self, authority: &AuthorityRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO authority (id, certificate, private_key, expires_at)
                   VALUES (1, ?1, ?2, ?3)
                   ON CONFLICT (id) DO UPDATE SET certificate = excluded.certificate,
                     private_key = excluded.private_key, expires_at = excluded.expires_at";
        let end = at_column(authority.expires_at);
        self.execute(sql, (&authority.certificate, &authority.private_key, end)).map(drop)
    }

    fn touch_hostname(&self, app: &AppName, name: &str, now: UnixMs) -> Result<(), StoreError> {
        let sql = "UPDATE hostnames SET updated_at = ?2 WHERE name = ?1";
        self.execute(sql, (name, at_column(now)))?;
        self.raise_route_generation(app)
    }

    fn raise_route_generation(&self, app: &AppName) -> Result<(), StoreError> {
        let next = count_column(self.route_generation(app)? + 1);
        let sql = "UPDATE apps SET route_generation = ?2 WHERE name = ?1";
        self.execute(sql, (app.as_str(), next)).map(drop)
    }
}

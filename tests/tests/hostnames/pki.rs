//! A private authority, such as a company has, and what it signs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// An authority whose certificate lies in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) file: PathBuf,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one, called `name`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let file = dir.join(format!("{name}.pem"));
        std::fs::write(&file, &pem).expect("written");
        Self { issuer: Issuer::new(params, key), pem, file }
    }

    /// Signs a certificate for these names.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_params| {})
    }

    /// The same, of other make.
    pub(crate) fn sign_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, &self.issuer).expect("signed");
        Signed { chain: own.pem(), key: key.serialize_pem() }
    }

    /// Its certificate for curl.
    pub(crate) fn cacert(&self) -> [&str; 2] {
        ["--cacert", self.file.to_str().expect("a plain path")]
    }
}

impl Signed {
    /// As the body that adds it to a host name.
    pub(crate) fn body(&self, hostname: &str) -> Value {
        json!({"hostname": hostname, "fullchain": self.chain, "private_key": self.key})
    }
}

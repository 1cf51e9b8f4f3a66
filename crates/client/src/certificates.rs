//! Host names of an app and their certificates.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::certificates::{
    Authority, CertificateDetail, CertificateList, CreateAcmeCertificate, CreateCustomCertificate,
};
use hyper::Method;
use serde::de::IgnoredAny;

/// Host names asked for at a time: the most that the API gives.
const PAGE: u32 = 500;

impl Client {
    /// The host names of an app that contain `filter`, all pages.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn certificates(
        &self,
        app: &str,
        filter: &str,
    ) -> Result<CertificateList, ClientError> {
        let mut all = CertificateList::default();
        let mut cursor = String::new();
        loop {
            let query = format!(
                "/certificates?limit={PAGE}&filter={}&cursor={}",
                encoded(filter),
                encoded(&cursor)
            );
            let page: CertificateList = self.get(&path::app(app, &query)).await?;
            all.certificates.extend(page.certificates);
            all.total_count = page.total_count;
            match page.next_cursor {
                // A cursor that stands still would be asked for without end.
                Some(next) if next > cursor => cursor = next,
                _ => return Ok(all),
            }
        }
    }

    /// A host name with its certificates.
    ///
    /// # Errors
    /// [`ClientError`]; code `certificate_not_found`.
    pub async fn certificate(
        &self,
        app: &str,
        hostname: &str,
    ) -> Result<CertificateDetail, ClientError> {
        self.get(&of(app, hostname, "")).await
    }

    /// Adds a host name with a certificate of the host's own authority.
    ///
    /// # Errors
    /// [`ClientError`]; codes `invalid_hostname`, `hostname_taken`, `certificate_exists`.
    pub async fn create_acme_certificate(
        &self,
        app: &str,
        wish: &CreateAcmeCertificate,
    ) -> Result<CertificateDetail, ClientError> {
        self.post(&path::app(app, "/certificates/acme"), wish).await
    }

    /// Adds a host name with a certificate of one's own.
    ///
    /// # Errors
    /// [`ClientError`]; codes as above, and one for each thing that can be wrong with a certificate.
    pub async fn create_custom_certificate(
        &self,
        app: &str,
        wish: &CreateCustomCertificate,
    ) -> Result<CertificateDetail, ClientError> {
        self.post(&path::app(app, "/certificates/custom"), wish).await
    }

    /// Looks a host name up in the DNS.
    ///
    /// # Errors
    /// [`ClientError`]; code `certificate_not_found`.
    pub async fn check_certificate(
        &self,
        app: &str,
        hostname: &str,
    ) -> Result<CertificateDetail, ClientError> {
        self.post(&of(app, hostname, "/check"), &()).await
    }

    /// Removes a host name with its certificates.
    ///
    /// # Errors
    /// [`ClientError`]; code `certificate_not_found`.
    pub async fn remove_certificate(&self, app: &str, hostname: &str) -> Result<(), ClientError> {
        let path = of(app, hostname, "");
        self.call::<IgnoredAny>(Method::DELETE, &path, &()).await.map(drop)
    }

    /// The certificate of the host's own authority.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn authority(&self) -> Result<Authority, ClientError> {
        self.get("/v1/certificates/authority").await
    }
}

fn of(app: &str, hostname: &str, rest: &str) -> String {
    path::app(app, &format!("/certificates/{}{rest}", encoded(hostname)))
}

//! `dormouse certs …`: own names of apps and their certificates.

use crate::context::Context;
use crate::output;
use anyhow::Context as _;
use api::contract::certificates::{
    CertificateDetail, CertificateList, CreateAcmeCertificate, CreateCustomCertificate,
};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest chain or key that is read from a file; the daemon says whether it is too long.
const FILE_MAX_BYTES: u64 = 256 * 1024;

/// What to do with host names.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsVerb {
    /// List the host names of an app
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Add a host name, with a certificate from files or of the host's own authority
    #[command(visible_alias = "create")]
    Add(AddArgs),
    /// Show a host name with its certificates
    Show(HostnameArgs),
    /// Look a host name up in the DNS, and show what was found
    Check(HostnameArgs),
    /// Remove a host name with its certificates
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(HostnameArgs),
    /// Print the certificate of the host's own authority
    Authority,
}

/// Of which app.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only names that contain this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    of: AppArg,
}

/// Which host name.
#[derive(Debug, Args)]
pub(crate) struct HostnameArgs {
    /// The host name
    hostname: String,
    #[command(flatten)]
    of: AppArg,
}

/// Which host name, with which certificate.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The host name; `*` for its first label stands for any one label
    hostname: String,
    /// File with its certificate and those up to the root, as PEM; without one the host's own
    /// authority makes a certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// File with the private key, as PEM; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Put it in the place of the one that is there
    #[arg(long, requires = "cert")]
    replace: bool,
    #[command(flatten)]
    of: AppArg,
}

/// An app.
#[derive(Debug, Args)]
struct AppArg {
    /// App
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true, default_value = "default")]
    app: String,
}

pub(super) async fn certs(context: &Context, verb: &CertsVerb) -> anyhow::Result<ExitCode> {
    let client = &context.client;
    match verb {
        CertsVerb::List(args) => {
            let list = client.certificates(&args.of.app, &args.filter).await?;
            context.show(&list, table)?;
        }
        CertsVerb::Add(args) => context.show(&add(context, args).await?, text)?,
        CertsVerb::Show(args) => {
            let detail = client.certificate(&args.of.app, &args.hostname).await?;
            context.show(&detail, text)?;
        }
        CertsVerb::Check(args) => {
            let detail = client.check_certificate(&args.of.app, &args.hostname).await?;
            context.show(&detail, text)?;
        }
        CertsVerb::Remove(args) => {
            client.remove_certificate(&args.of.app, &args.hostname).await?;
        }
        CertsVerb::Authority => {
            let authority = client.authority().await?;
            context.show(&authority, |authority| authority.certificate.trim_end().to_owned())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(context: &Context, args: &AddArgs) -> anyhow::Result<CertificateDetail> {
    let hostname = args.hostname.clone();
    let (Some(cert), Some(key)) = (&args.cert, &args.key) else {
        let wish = CreateAcmeCertificate { hostname };
        return Ok(context.client.create_acme_certificate(&args.of.app, &wish).await?);
    };
    let wish = CreateCustomCertificate {
        hostname,
        fullchain: read(cert)?,
        private_key: read(key)?,
        replace: args.replace,
    };
    Ok(context.client.create_custom_certificate(&args.of.app, &wish).await?)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => stdin().lock().take(FILE_MAX_BYTES).read_to_string(&mut text),
        _ => File::open(file).and_then(|f| f.take(FILE_MAX_BYTES).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text)
}

fn table(list: &CertificateList) -> String {
    let rows: Vec<_> = list
        .certificates
        .iter()
        .map(|one| {
            let source = match (one.has_custom_certificate, one.has_fly_certificate) {
                (true, _) => "own",
                (false, true) => "local authority",
                (false, false) => "none",
            };
            [one.hostname.clone(), one.status.clone(), source.to_owned(), one.created_at.clone()]
        })
        .collect();
    output::table(["HOSTNAME", "STATUS", "CERTIFICATE", "ADDED"], &rows)
}

fn text(detail: &CertificateDetail) -> String {
    let mut pairs = vec![("hostname", detail.hostname.clone()), ("status", detail.status.clone())];
    for one in &detail.certificates {
        let source = if one.source == "custom" { "own" } else { "local authority" };
        pairs.push(("certificate", source.to_owned()));
        pairs.push(("issuer", output::one_line(&one.issuer)));
        pairs.push(("expires", one.expires_at.clone()));
    }
    if let Some(records) = &detail.dns_records {
        let addresses = match records.resolved_addresses.as_slice() {
            [] => "none".to_owned(),
            addresses => addresses.join(" "),
        };
        pairs.push(("addresses", addresses));
        let leads = if detail.validation.dns_configured { "yes" } else { "no" };
        pairs.push(("leads here", leads.to_owned()));
    }
    let mut lines = vec![output::pairs(&pairs)];
    for error in &detail.validation_errors {
        lines.push(format!("note: {}", error.message));
        lines.push(format!("hint: {}", error.remediation));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{table, text};
    use api::contract::certificates::{
        CertificateDetail, CertificateEntry, CertificateList, CertificateSummary,
        CertificateValidationError, DnsRecords,
    };

    #[test]
    fn a_host_name_is_shown_with_what_visitors_stumble_over() {
        let detail = CertificateDetail {
            hostname: "www.example.com".to_owned(),
            status: "active".to_owned(),
            certificates: vec![CertificateEntry {
                source: "fly".to_owned(),
                status: "active".to_owned(),
                issuer: "CN=an authority".to_owned(),
                created_at: String::new(),
                expires_at: "2027-11-21T10:00:00Z".to_owned(),
                issued: Vec::new(),
            }],
            validation_errors: vec![CertificateValidationError {
                code: "dns_not_found".to_owned(),
                message: "nobody knows it".to_owned(),
                remediation: "point it here".to_owned(),
                timestamp: String::new(),
            }],
            dns_records: Some(DnsRecords::default()),
            ..CertificateDetail::default()
        };
        let expected = "hostname:    www.example.com\n\
                        status:      active\n\
                        certificate: local authority\n\
                        issuer:      CN=an authority\n\
                        expires:     2027-11-21T10:00:00Z\n\
                        addresses:   none\n\
                        leads here:  no\n\
                        note: nobody knows it\n\
                        hint: point it here";
        assert_eq!(text(&detail), expected);
    }

    #[test]
    fn a_list_says_whose_certificate_is_served() {
        let one = |hostname: &str, own, local| CertificateSummary {
            hostname: hostname.to_owned(),
            status: "Ready".to_owned(),
            has_custom_certificate: own,
            has_fly_certificate: local,
            ..CertificateSummary::default()
        };
        let list = CertificateList {
            certificates: vec![one("a.example.com", true, true), one("b.example.com", false, true)],
            ..CertificateList::default()
        };
        let expected = "HOSTNAME       STATUS  CERTIFICATE      ADDED\n\
                        a.example.com  Ready   own\n\
                        b.example.com  Ready   local authority";
        assert_eq!(table(&list), expected);
    }
}

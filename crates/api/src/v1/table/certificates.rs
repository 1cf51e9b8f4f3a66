//! Host names of apps and their certificates.

use crate::contract::certificates::{
    Authority, CertificateDetail, CertificateList, CreateAcmeCertificate, CreateCustomCertificate,
};
use crate::v1::certificates;
use crate::v1::operation::{Kind, Operation, Right, delete, get, post, query};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/v1/certificates/authority", certificates::authority)
            .is("Certificates_authority", "The certificate of the host's own authority.")
            .needs(Right::Any)
            .answers::<Authority>(200),
        get("/v1/apps/{app}/certificates", certificates::list)
            .is("App_Certificates_list", "List the host names of an app.")
            .takes(&[
                query("filter", Kind::Text, "Only names with this in them."),
                query("cursor", Kind::Text, "The page after this; from `next_cursor`."),
                query("limit", Kind::Count, "Names of a page: 25 by default, at most 500."),
            ])
            .answers::<CertificateList>(200),
        post("/v1/apps/{app}/certificates/acme", certificates::create_acme)
            .is(
                "App_Certificates_acme_create",
                "Have a certificate made by the host's own authority; nobody outside is asked.",
            )
            .sends::<CreateAcmeCertificate>()
            .answers::<CertificateDetail>(201)
            .refuses(&[409, 422]),
        post("/v1/apps/{app}/certificates/custom", certificates::create_custom)
            .is("App_Certificates_custom_create", "Bring a certificate with its key.")
            .sends::<CreateCustomCertificate>()
            .answers::<CertificateDetail>(201)
            .refuses(&[409, 422]),
        get("/v1/apps/{app}/certificates/{hostname}", certificates::show)
            .is("App_Certificates_show", "Show a host name with its certificates.")
            .answers::<CertificateDetail>(200),
        delete("/v1/apps/{app}/certificates/{hostname}", certificates::remove)
            .is("App_Certificates_delete", "Remove a host name with its certificates.")
            .answers_nothing(204),
        post("/v1/apps/{app}/certificates/{hostname}/check", certificates::check)
            .is("App_Certificates_check", "Look where the host name leads, and show it.")
            .answers::<CertificateDetail>(200),
        delete("/v1/apps/{app}/certificates/{hostname}/acme", certificates::remove_acme)
            .is("App_Certificates_acme_delete", "Remove the certificate of the host's authority.")
            .answers::<CertificateDetail>(200),
        delete("/v1/apps/{app}/certificates/{hostname}/custom", certificates::remove_custom)
            .is("App_Certificates_custom_delete", "Remove the certificate that was brought.")
            .answers::<CertificateDetail>(200),
    ]
}
